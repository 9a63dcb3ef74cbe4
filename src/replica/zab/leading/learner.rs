//! The learners of a leader: how far each of them is, and what is sent to many of them at once.
//!
//! It decides nothing about epochs or commits. Invariant: a learner that forwards got, or will get in this order,
//! every proposal and every commit behind what it was brought up to; a commit never reaches it between NEWLEADER
//! and UPTODATE, where followers up to 3.9.2 fail on one (ZOOKEEPER-4394).

use crate::replica::io::{Effect, Effects};
use crate::replica::zab::Packet;
use crate::types::{Entry, LinkId, Millis, ServerId, Zxid};
use std::collections::{BTreeMap, BTreeSet};

/// How far a learner is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum At {
    /// It has said nothing yet.
    Silent,
    /// It has said who it is, and waits for an epoch.
    Known,
    /// It was told the epoch.
    Asked,
    /// It has promised the epoch and said what it has, and waits until a quorum has.
    Promised,
    /// The disk is asked for its way.
    Asking,
    /// The tree is on its way to it, and behind that what is decided meanwhile. The tree shows some of that already,
    /// so NEWLEADER has to wait: what it makes the learner store must be whole (ZOOKEEPER-3104).
    Streaming,
    /// It is being brought up to the leader's history; NEWLEADER is on its way.
    Syncing,
    /// It has adopted the history, and waits until a quorum has.
    Adopted,
    /// It was told to serve.
    Serving,
}

/// What an observer's synchronization costs, for the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cost {
    Snapshot,
    Transactions,
}

/// One learner.
#[derive(Debug)]
pub(super) struct Learner {
    /// Who; invented where it gave no id.
    pub(super) server: ServerId,
    pub(super) observer: bool,
    pub(super) at: At,
    /// Its last transaction, as it said.
    pub(super) last: Zxid,
    /// The last committed transaction it was brought up to: has it adopted the history, it has this on disk.
    pub(super) base: Zxid,
    pub(super) cost: Option<Cost>,
    /// The tick at whose end it counts as lost if nothing is heard of it.
    pub(super) until: i64,
    /// Pings sent since it serves, and how many of them it has answered: it answers none before, and later all.
    pub(super) pings: u64,
    pub(super) pongs: u64,
    /// Acknowledged before the history was adopted.
    early: Zxid,
    /// Commits that wait for UPTODATE.
    held: Vec<Packet>,
    /// A proposal that it has not acknowledged, since when, and the newest behind it.
    watch: Option<(Zxid, Millis)>,
    behind: Option<(Zxid, Millis)>,
}

impl Learner {
    fn new(until: i64) -> Self {
        Self {
            server: ServerId(0),
            observer: false,
            at: At::Silent,
            last: Zxid::ZERO,
            base: Zxid::ZERO,
            cost: None,
            until,
            pings: 0,
            pongs: 0,
            early: Zxid::ZERO,
            held: Vec::new(),
            watch: None,
            behind: None,
        }
    }

    /// Does it get what is decided from now on?
    pub(super) fn forwards(&self) -> bool {
        self.at >= At::Streaming
    }

    /// It takes part in the acknowledging of proposals, with or without a vote.
    pub(super) fn follows(&self) -> bool {
        self.forwards() && !self.observer
    }

    fn proposed(&mut self, zxid: Zxid, now: Millis) {
        if self.at < At::Serving {
            return;
        }
        if self.watch.is_none() {
            self.watch = Some((zxid, now));
        } else {
            self.behind = Some((zxid, now));
        }
    }

    /// It has acknowledged a proposal, and everything before. What it says before it has adopted the history counts
    /// when it has.
    pub(super) fn acknowledged(&mut self, zxid: Zxid) -> Option<Zxid> {
        if self.watch.is_some_and(|(watched, _)| zxid >= watched) {
            self.watch = self.behind.take().filter(|(newest, _)| *newest > zxid);
        }
        if self.at < At::Adopted {
            self.early = self.early.max(zxid);
            return None;
        }
        Some(zxid)
    }

    /// It has adopted the history: what it has on disk by that.
    pub(super) fn adopted(&mut self) -> Zxid {
        self.at = At::Adopted;
        self.cost = None;
        self.base.max(self.early)
    }

    /// Has it left a proposal unacknowledged since before this moment?
    pub(super) fn is_late(&self, since: Millis) -> bool {
        self.watch.is_some_and(|(_, at)| at < since)
    }
}

/// All learners, by connection.
#[derive(Debug, Default)]
pub(super) struct Learners {
    by_link: BTreeMap<LinkId, Learner>,
    /// Ids given to learners without one, downwards.
    invented: i64,
}

impl Learners {
    pub(super) fn accept(&mut self, link: LinkId, until: i64) {
        self.by_link.insert(link, Learner::new(until));
    }

    pub(super) fn invent(&mut self) -> ServerId {
        self.invented -= 1;
        ServerId(self.invented)
    }

    pub(super) fn get(&self, link: LinkId) -> Option<&Learner> {
        self.by_link.get(&link)
    }

    pub(super) fn get_mut(&mut self, link: LinkId) -> Option<&mut Learner> {
        self.by_link.get_mut(&link)
    }

    /// Nothing more goes to this link.
    pub(super) fn drop(&mut self, link: LinkId) -> Option<Learner> {
        self.by_link.remove(&link)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (LinkId, &Learner)> {
        self.by_link.iter().map(|(link, learner)| (*link, learner))
    }

    /// Links of learners that are exactly so far.
    pub(super) fn links_at(&self, at: At) -> Vec<LinkId> {
        self.iter().filter(|(_, l)| l.at == at).map(|(link, _)| link).collect()
    }

    /// Links of this server.
    pub(super) fn links_of(&self, server: ServerId) -> Vec<LinkId> {
        self.iter().filter(|(_, l)| l.at > At::Silent && l.server == server).map(|(link, _)| link).collect()
    }

    /// Observers that are being synchronized at this cost.
    pub(super) fn syncing(&self, cost: Cost) -> usize {
        self.by_link.values().filter(|l| l.observer && l.cost == Some(cost)).count()
    }

    /// Followers that are heard of in time (`LearnerHandler.synced`).
    pub(super) fn heard(&self, tick: i64) -> impl Iterator<Item = (LinkId, &Learner)> {
        self.iter().filter(move |(_, l)| l.at > At::Silent && !l.observer && tick <= l.until)
    }

    /// The servers among them.
    pub(super) fn heard_servers(&self, tick: i64) -> BTreeSet<ServerId> {
        self.heard(tick).map(|(_, l)| l.server).collect()
    }

    /// A proposal goes to all followers.
    pub(super) fn propose(&mut self, entry: &Entry, now: Millis, out: &mut Effects) {
        for (link, learner) in self.by_link.iter_mut().filter(|(_, l)| l.follows()) {
            learner.proposed(entry.zxid, now);
            out.push(Effect::Send(*link, Packet::Proposal(entry.clone())));
        }
    }

    /// A commit goes to all: to followers without the transaction, to observers with it. `activate` is the leader
    /// that a new membership designates.
    pub(super) fn commit(&mut self, entry: &Entry, activate: Option<ServerId>, out: &mut Effects) {
        for (link, learner) in self.by_link.iter_mut().filter(|(_, l)| l.forwards()) {
            let packet = match (learner.observer, activate) {
                (true, None) => Packet::Inform(entry.clone()),
                (true, Some(leader)) => Packet::InformAndActivate(entry.clone(), leader),
                (false, None) => Packet::Commit(entry.zxid),
                (false, Some(leader)) => Packet::CommitAndActivate(entry.zxid, leader),
            };
            if learner.observer || matches!(learner.at, At::Streaming | At::Serving) {
                out.push(Effect::Send(*link, packet));
            } else {
                learner.held.push(packet);
            }
        }
    }

    /// A quorum has adopted the history, and this one has: it serves from here on, and gets what was held back.
    /// `last` is the newest proposal.
    pub(super) fn up_to_date(&mut self, link: LinkId, last: Zxid, now: Millis, out: &mut Effects) {
        let Some(learner) = self.by_link.get_mut(&link) else { return };
        learner.at = At::Serving;
        // It will acknowledge the proposals that it got, if there are any in this epoch.
        if !learner.observer && last.counter() != 0 && last > learner.base.max(learner.early) {
            learner.watch = Some((last, now));
        }
        out.push(Effect::Send(link, Packet::UpToDate));
        out.extend(std::mem::take(&mut learner.held).into_iter().map(|packet| Effect::Send(link, packet)));
    }

    /// A ping goes to this learner, if it has got past its first packet: that one must be none.
    pub(super) fn ping(&mut self, link: LinkId, last: Zxid, out: &mut Effects) {
        let Some(learner) = self.by_link.get_mut(&link).filter(|l| l.forwards()) else { return };
        learner.pings += u64::from(learner.at == At::Serving);
        out.push(Effect::Send(link, Packet::Ping(last)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn entry(zxid: i64) -> Entry {
        Entry { zxid: Zxid(zxid), payload: Bytes::new() }
    }

    fn learner(all: &mut Learners, link: u64, observer: bool, at: At) -> LinkId {
        let id = LinkId(link);
        all.accept(id, 0);
        let learner = all.get_mut(id).unwrap();
        (learner.observer, learner.at) = (observer, at);
        id
    }

    fn sent(out: &mut Effects) -> Vec<(u64, Packet)> {
        out.drain(..)
            .map(|e| if let Effect::Send(link, packet) = e { (link.0, packet) } else { panic!("{e:?}") })
            .collect()
    }

    #[test]
    fn commits_wait_for_uptodate() {
        let (mut all, mut out) = (Learners::default(), Effects::new());
        let syncing = learner(&mut all, 1, false, At::Syncing);
        learner(&mut all, 2, false, At::Serving);
        learner(&mut all, 3, true, At::Syncing);
        learner(&mut all, 4, false, At::Promised);
        all.propose(&entry(7), Millis(0), &mut out);
        all.commit(&entry(7), None, &mut out);
        let want = [
            (1, Packet::Proposal(entry(7))),
            (2, Packet::Proposal(entry(7))),
            (2, Packet::Commit(Zxid(7))),
            (3, Packet::Inform(entry(7))),
        ];
        assert_eq!(sent(&mut out), want);
        all.get_mut(syncing).unwrap().adopted();
        all.commit(&entry(8), Some(ServerId(3)), &mut out);
        out.clear();
        all.up_to_date(syncing, Zxid(8), Millis(0), &mut out);
        let want = [
            (1, Packet::UpToDate),
            (1, Packet::Commit(Zxid(7))),
            (1, Packet::CommitAndActivate(Zxid(8), ServerId(3))),
        ];
        assert_eq!(sent(&mut out), want);
    }

    #[test]
    fn an_early_ack_counts_once_the_history_is_adopted() {
        let mut all = Learners::default();
        let link = learner(&mut all, 1, false, At::Syncing);
        let one = all.get_mut(link).unwrap();
        one.base = Zxid(5);
        assert_eq!(one.acknowledged(Zxid(6)), None);
        assert_eq!(one.adopted(), Zxid(6));
        assert_eq!(one.acknowledged(Zxid(7)), Some(Zxid(7)));
    }

    #[test]
    fn a_proposal_without_an_ack_is_late_and_acks_move_the_watch() {
        let (mut all, mut out) = (Learners::default(), Effects::new());
        let link = learner(&mut all, 1, false, At::Serving);
        for (zxid, at) in [(1, 10), (2, 20), (3, 30)] {
            all.propose(&entry(zxid), Millis(at), &mut out);
        }
        let one = all.get_mut(link).unwrap();
        assert!(one.is_late(Millis(11)) && !one.is_late(Millis(10)));
        one.acknowledged(Zxid(2));
        assert!(one.is_late(Millis(31)) && !one.is_late(Millis(30)), "the newest is watched now");
        one.acknowledged(Zxid(3));
        assert!(!one.is_late(Millis(1000)));
    }
}
