//! What the world knows and no server does: the one order of transactions, as it was committed.
//!
//! Invariant: what is in here was committed by a server that served, or was the history of a leader when its
//! epoch began; nothing ever goes out of it.

use bytes::Bytes;
use quoll::store::log_reader::follows;
use quoll::types::{Entry, Epoch, Zxid};
use std::collections::{BTreeMap, VecDeque};

/// What a server has logged, as its disk should have it.
#[derive(Debug, Clone, Default)]
pub struct Held {
    /// The history before the first entry ends here.
    pub base: Zxid,
    pub entries: BTreeMap<i64, Bytes>,
    pub durable: Zxid,
    /// Newest epoch that it was to promise, and the newest that is on disk: for the guard of damaging faults.
    pub asked: Epoch,
    pub promised: Epoch,
}

impl Held {
    pub fn last(&self) -> Zxid {
        self.entries.last_key_value().map_or(self.base, |(z, _)| Zxid(*z).max(self.base))
    }

    pub fn append(&mut self, entry: &Entry) {
        self.entries.insert(entry.zxid.0, entry.payload.clone());
    }

    pub fn flushed(&mut self, zxid: Zxid) {
        self.durable = self.durable.max(zxid);
    }

    /// The log is to end here.
    pub fn cut(&mut self, last: Zxid) {
        self.entries.split_off(&(last.0 + 1));
        self.durable = self.durable.min(last);
        self.base = self.base.min(last);
    }

    /// The history of a leader takes its place, up to here.
    pub fn replace(&mut self, last: Zxid, leader: Option<&Self>) {
        self.durable = self.durable.min(last);
        self.entries.clear();
        self.base = last;
        if let Some(leader) = leader {
            self.entries.extend(leader.entries.range(..=last.0).map(|(z, p)| (*z, p.clone())));
            self.base = leader.base.min(last);
        }
    }

    /// The server has started and found this. Says what is lost of what was durable.
    pub fn restarted(&mut self, last: Zxid, found: &VecDeque<Entry>) -> Option<String> {
        let lost = (last < self.durable).then(|| format!("{} was durable, {last} is there", self.durable));
        self.entries.split_off(&(last.0 + 1));
        for entry in found {
            self.entries.insert(entry.zxid.0, entry.payload.clone());
        }
        if self.last() < last || self.base > last {
            self.base = last;
        }
        self.durable = last;
        lost
    }
}

/// The one order.
#[derive(Debug, Default)]
pub struct Truth {
    pub committed: BTreeMap<i64, Bytes>,
    leaders: BTreeMap<i64, usize>,
    digests: BTreeMap<i64, (u64, usize)>,
}

impl Truth {
    /// The last one committed.
    pub fn last(&self) -> Zxid {
        self.committed.last_key_value().map_or(Zxid::ZERO, |(z, _)| Zxid(*z))
    }

    /// A server that serves commits this.
    pub fn committed(&mut self, n: usize, entry: &Entry) -> Result<(), String> {
        let zxid = entry.zxid;
        if let Some(there) = self.committed.get(&zxid.0) {
            return if *there == entry.payload {
                Ok(())
            } else {
                Err(format!("server {} commits another transaction as {zxid}", n + 1))
            };
        }
        let last = self.last();
        if !self.committed.is_empty() && !follows(last, zxid) {
            return Err(format!("server {} commits {zxid}, which does not follow {last}", n + 1));
        }
        self.committed.insert(zxid.0, entry.payload.clone());
        Ok(())
    }

    /// A leader's epoch begins with this history.
    pub fn established(&mut self, n: usize, epoch: Epoch, held: &Held) -> Result<(), String> {
        if let Some(other) = self.leaders.insert(epoch.0, n) {
            return Err(format!("servers {} and {} both lead epoch {}", other + 1, n + 1, epoch.0));
        }
        if self.leaders.range(epoch.0 + 1..).next().is_some() {
            return self.overtaken(n, held);
        }
        let last = self.last();
        if held.last() < last {
            return Err(format!("server {} leads with {} where {last} is committed", n + 1, held.last()));
        }
        let from = held.entries.first_key_value().map_or(i64::MAX, |(z, _)| *z);
        for (zxid, payload) in self.committed.range(from..) {
            if held.entries.get(zxid) != Some(payload) {
                return Err(format!("server {} leads without the committed {}", n + 1, Zxid(*zxid)));
            }
        }
        for (zxid, payload) in held.entries.range(last.0 + 1..) {
            self.committed.insert(*zxid, payload.clone());
        }
        Ok(())
    }

    /// A leader stood still before it heard that a quorum is with it, and a newer one went on meanwhile. It can commit
    /// nothing; but what it begins with had a quorum, so the newer one must have taken that over.
    fn overtaken(&self, n: usize, held: &Held) -> Result<(), String> {
        let from = self.committed.first_key_value().map_or(i64::MAX, |(z, _)| *z);
        match held.entries.range(from..).find(|(zxid, payload)| self.committed.get(zxid) != Some(payload)) {
            None => Ok(()),
            Some((zxid, _)) => {
                Err(format!("server {} leads with {}, which a newer leader has not", n + 1, Zxid(*zxid)))
            }
        }
    }

    /// A server that serves has applied this, and its tree has this digest.
    pub fn applied(&mut self, n: usize, zxid: Zxid, digest: u64) -> Result<(), String> {
        let (there, by) = *self.digests.entry(zxid.0).or_insert((digest, n));
        if there != digest {
            return Err(format!("the trees of servers {} and {} differ at {zxid}", by + 1, n + 1));
        }
        Ok(())
    }
}
