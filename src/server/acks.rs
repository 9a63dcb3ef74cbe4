//! How long each server's acknowledgements take, looked at in one transaction of so many
//! (`leader.ackLoggingFrequency`).
//!
//! It only watches. Invariant: it holds samples of transactions that are proposed and not committed, so no more than
//! are on their way, and names of servers whose links are open.

use crate::report::Counters;
use crate::types::{LinkId, ServerId, Zxid};
use std::collections::{BTreeMap, VecDeque};

/// A transaction that is looked at.
#[derive(Debug)]
struct Sample {
    zxid: Zxid,
    /// The leader's wall clock when it made the transaction.
    made: i64,
    /// The leader itself has it on its disk.
    own: bool,
}

/// Transactions that wait for a quorum, and whose acknowledgement comes over which link.
#[derive(Debug, Default)]
pub(super) struct Acks {
    /// One of so many; none if it is not positive.
    every: i64,
    own: Box<str>,
    names: BTreeMap<LinkId, Box<str>>,
    open: VecDeque<Sample>,
}

impl Acks {
    pub(super) fn new(own: ServerId, every: i32) -> Self {
        Self { every: i64::from(every), own: own.0.to_string().into(), ..Self::default() }
    }

    /// A learner has said who it is.
    pub(super) fn named(&mut self, link: LinkId, server: ServerId) {
        if self.every > 0 {
            self.names.insert(link, server.0.to_string().into());
        }
    }

    /// The link is gone.
    pub(super) fn gone(&mut self, link: LinkId) {
        self.names.remove(&link);
    }

    /// The role has ended.
    pub(super) fn end(&mut self) {
        self.names.clear();
        self.open.clear();
    }

    pub(super) fn proposed(&mut self, zxid: Zxid, made: i64) {
        if self.every > 0 && zxid.0.checked_rem(self.every) == Some(0) {
            self.open.push_back(Sample { zxid, made, own: false });
        }
    }

    /// This server's own disk has everything up to here.
    pub(super) fn flushed(&mut self, upto: Zxid, wall: i64, counters: &Counters) {
        for sample in self.open.iter_mut().filter(|sample| sample.zxid <= upto && !sample.own) {
            sample.own = true;
            add(&self.own, wall.saturating_sub(sample.made), counters);
        }
    }

    /// A learner has this one.
    pub(super) fn acknowledged(&self, link: LinkId, zxid: Zxid, wall: i64, counters: &Counters) {
        let Some(sample) = self.open.iter().find(|sample| sample.zxid == zxid) else { return };
        if let Some(name) = self.names.get(&link) {
            add(name, wall.saturating_sub(sample.made), counters);
        }
    }

    /// A quorum has it: whoever comes later is not looked at (`Leader.processAck`).
    pub(super) fn committed(&mut self, zxid: Zxid) {
        while self.open.pop_front_if(|sample| sample.zxid <= zxid).is_some() {}
    }
}

/// Told from two clocks of one server, of which the wall clock may be set back: less than nothing is left out.
fn add(server: &str, latency: i64, counters: &Counters) {
    if latency >= 0 {
        counters.ack_latencies.with(server, |latencies| latencies.add(latency));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(counters: &Counters) -> Vec<(Box<str>, u64, i64)> {
        let all = counters.ack_latencies.totals().into_iter();
        all.map(|(server, (totals, _))| (server, totals.count, totals.sum)).collect()
    }

    #[test]
    fn one_of_so_many_is_looked_at_until_a_quorum_has_it() {
        let (mut acks, counters) = (Acks::new(ServerId(1), 10), Counters::new());
        acks.named(LinkId(7), ServerId(2));
        acks.named(LinkId(8), ServerId(3));
        (15..=30).for_each(|zxid| acks.proposed(Zxid(zxid), 100));
        acks.acknowledged(LinkId(7), Zxid(19), 105, &counters);
        acks.acknowledged(LinkId(7), Zxid(20), 106, &counters);
        acks.acknowledged(LinkId(9), Zxid(20), 106, &counters);
        acks.flushed(Zxid(25), 107, &counters);
        acks.flushed(Zxid(26), 108, &counters);
        acks.committed(Zxid(20));
        acks.acknowledged(LinkId(8), Zxid(20), 109, &counters);
        assert_eq!(told(&counters), [("1".into(), 1, 7), ("2".into(), 1, 6)]);
        // The clock was set back.
        acks.acknowledged(LinkId(8), Zxid(30), 99, &counters);
        acks.gone(LinkId(7));
        acks.acknowledged(LinkId(7), Zxid(30), 111, &counters);
        acks.acknowledged(LinkId(8), Zxid(30), 111, &counters);
        assert_eq!(told(&counters)[2..], [("3".into(), 1, 11)]);
        acks.end();
        assert!(acks.open.is_empty() && acks.names.is_empty());
    }

    #[test]
    fn switched_off_it_keeps_nothing() {
        for every in [0, -1] {
            let mut acks = Acks::new(ServerId(1), every);
            acks.named(LinkId(7), ServerId(2));
            acks.proposed(Zxid(0), 0);
            assert!(acks.open.is_empty() && acks.names.is_empty());
        }
    }
}
