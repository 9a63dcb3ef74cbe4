//! What this server has logged and what of it is known to be committed: the part of the order that outlives
//! every role.
//!
//! Invariant: `recent` and `tail` together are one unbroken piece of history that ends with the last entry that
//! was handed to the log; only the front of `tail` can be committed. `recent` ends with the last committed one.

use crate::replica::io::{Commit, Effect, Effects, Origin};
use crate::types::planted::{self, Bug};
use crate::types::{Committed, Entry, Flushed, Zxid};
use std::collections::{VecDeque, vec_deque};

/// Bytes of committed transactions kept for learners that fell behind, beyond the fixed number of them: enough
/// for a hundred thousand small ones, the work of some seconds.
pub const RECENT_BYTES: usize = 32 * 1024 * 1024;

/// What a kept transaction costs beside its bytes.
const OVERHEAD: usize = 64;

/// Logged and committed transactions.
#[derive(Debug)]
pub struct Ledger {
    /// Committed, oldest first.
    recent: VecDeque<Entry>,
    /// What stands right before the first of `recent`, where that is known.
    base: Option<Zxid>,
    recent_bytes: usize,
    /// Kept whatever their size (`commitLogCount`).
    keep: usize,
    /// Bytes kept beyond that number.
    room: usize,
    /// Handed to the log, not committed.
    tail: VecDeque<Entry>,
    last_logged: Zxid,
    durable: Zxid,
    committed: Zxid,
    /// Where the log on disk ends, while the tree of an observer without a disk is ahead of it.
    stored: Option<Zxid>,
}

impl Ledger {
    /// After recovery: the last transaction in the log, and the newest of them in order.
    #[must_use]
    pub fn new(last: Zxid, recovered: impl IntoIterator<Item = Entry>, keep: usize) -> Self {
        let mut ledger = Self {
            recent: VecDeque::new(),
            base: None,
            recent_bytes: 0,
            keep,
            room: RECENT_BYTES,
            tail: VecDeque::new(),
            last_logged: last,
            durable: last,
            committed: last,
            stored: None,
        };
        let mut before = None;
        for entry in recovered {
            let zxid = entry.zxid;
            ledger.remember(before, entry);
            before = Some(zxid);
        }
        if ledger.recent.back().is_some_and(|e| e.zxid != last) {
            ledger.forget();
        }
        ledger
    }

    /// Keeps so many transactions as are asked for and no more: learners that need others are to get a snapshot.
    pub fn keep_no_more(&mut self) {
        self.room = 0;
    }

    /// The last transaction handed to the log. Once it is durable, a vote may name it.
    #[must_use]
    pub fn last_logged(&self) -> Zxid {
        self.last_logged
    }

    /// The last transaction known to be on disk.
    #[must_use]
    pub fn durable(&self) -> Zxid {
        self.durable
    }

    /// The last transaction known to be committed.
    #[must_use]
    pub fn committed(&self) -> Zxid {
        self.committed
    }

    /// Is everything handed to the log on disk?
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.durable >= self.last_logged
    }

    /// Transactions logged and not committed.
    #[must_use]
    pub fn tail(&self) -> &VecDeque<Entry> {
        &self.tail
    }

    /// Committed transactions that are remembered, oldest first.
    #[must_use]
    pub fn recent(&self) -> &VecDeque<Entry> {
        &self.recent
    }

    /// The newest of what is remembered that is not behind `at`, or what stands right before all of it.
    #[must_use]
    pub fn floor(&self, at: Zxid) -> Option<Zxid> {
        let behind = self.recent.partition_point(|e| e.zxid <= at);
        let found = match behind.checked_sub(1) {
            Some(last) => self.recent.get(last).map(|e| e.zxid),
            None if self.recent.is_empty() => Some(self.committed),
            None => self.base,
        };
        found.filter(|zxid| *zxid <= at)
    }

    /// Everything committed behind `after`, if that is a known place and nothing in between is missing.
    #[must_use]
    pub fn since(&self, after: Zxid) -> Option<vec_deque::Iter<'_, Entry>> {
        let behind = self.recent.partition_point(|e| e.zxid <= after);
        (self.floor(after) == Some(after)).then(|| self.recent.range(behind..))
    }

    /// Hands a transaction to the log.
    pub fn append(&mut self, entry: Entry, out: &mut Effects) {
        self.last_logged = entry.zxid;
        self.tail.push_back(entry.clone());
        out.push(Effect::Append(entry));
    }

    /// The log is durable up to here.
    pub fn flushed(&mut self, proof: Flushed) {
        self.durable = self.durable.max(proof.zxid());
    }

    /// The next transaction that can be committed.
    #[must_use]
    pub fn head(&self) -> Option<Zxid> {
        self.tail.front().map(|e| e.zxid)
    }

    /// Commits the front of the tail: a quorum has it, or the leader says so.
    pub fn commit(&mut self, origin: Option<Origin>, out: &mut Effects) -> Option<Entry> {
        let entry = self.tail.pop_front()?;
        let before = std::mem::replace(&mut self.committed, entry.zxid);
        self.remember(Some(before), entry.clone());
        out.push(Effect::Commit(Commit { entry: Committed::mint(entry.clone()), origin }));
        Some(entry)
    }

    /// Commits a transaction that the log will not see: an observer without a disk has heard of it. A restart
    /// begins again at [`Ledger::stored`].
    pub fn commit_unlogged(&mut self, entry: Entry, origin: Option<Origin>, out: &mut Effects) {
        self.stored.get_or_insert(self.last_logged);
        let before = self.committed;
        (self.last_logged, self.durable, self.committed) = (entry.zxid, entry.zxid, entry.zxid);
        self.remember(Some(before), entry.clone());
        out.push(Effect::Commit(Commit { entry: Committed::mint(entry), origin }));
    }

    /// Where the log on disk ends, if the tree is ahead of it. Nothing may be appended then.
    #[must_use]
    pub fn stored(&self) -> Option<Zxid> {
        self.stored
    }

    /// A role ends: the tree takes what was logged and not committed, as it would after a restart.
    pub fn settle(&mut self, out: &mut Effects) {
        if self.tail.is_empty() {
            return;
        }
        let tail: Vec<Entry> = self.tail.drain(..).collect();
        for entry in &tail {
            let before = std::mem::replace(&mut self.committed, entry.zxid);
            self.remember(Some(before), entry.clone());
        }
        out.push(Effect::FastForward(tail));
    }

    /// The log was cut, and ends here now.
    pub fn cut(&mut self, last: Zxid) {
        self.tail.clear();
        while self.recent.back().is_some_and(|e| e.zxid > last) {
            if let Some(entry) = self.recent.pop_back() {
                self.recent_bytes -= entry.payload.len() + OVERHEAD;
            }
        }
        if self.recent.back().is_some_and(|e| e.zxid != last) {
            self.forget();
        }
        (self.last_logged, self.durable, self.committed) = (last, last, last);
        self.stored = None;
    }

    /// The history was replaced by a snapshot that ends here.
    pub fn replace(&mut self, last: Zxid) {
        self.tail.clear();
        self.forget();
        (self.last_logged, self.durable, self.committed) = (last, last, last);
        self.stored = None;
    }

    fn forget(&mut self) {
        self.recent.clear();
        self.base = None;
        self.recent_bytes = 0;
    }

    fn remember(&mut self, before: Option<Zxid>, entry: Entry) {
        // An epoch that does not begin with 1 was seen in part only, and nobody may be brought past that.
        let before = before.filter(|last| last.leads_to(entry.zxid));
        if before.is_none() {
            self.forget();
        }
        if self.recent.is_empty() {
            // Inside an epoch there are no gaps, so the one before is known without having been seen.
            let inside = entry.zxid.counter() > 1;
            self.base = before.or(inside.then_some(Zxid(entry.zxid.0 - 1)));
        }
        if planted::is(Bug::CommittedLogGap) && entry.zxid.counter() % 7 == 3 {
            return;
        }
        self.recent_bytes += entry.payload.len() + OVERHEAD;
        self.recent.push_back(entry);
        while self.recent.len() > self.keep && self.recent_bytes > self.room {
            if let Some(old) = self.recent.pop_front() {
                self.base = Some(old.zxid);
                self.recent_bytes -= old.payload.len() + OVERHEAD;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Epoch;

    fn z(epoch: i64, counter: u32) -> Zxid {
        Zxid::new(Epoch(epoch), counter)
    }

    fn entry(zxid: Zxid) -> Entry {
        Entry { zxid, payload: bytes::Bytes::from_static(&[0; 100]) }
    }

    fn run(ledger: &mut Ledger, zxids: &[Zxid]) {
        let mut out = Effects::new();
        for zxid in zxids {
            ledger.append(entry(*zxid), &mut out);
            ledger.commit(None, &mut out).unwrap();
        }
    }

    fn since(ledger: &Ledger, after: Zxid) -> Option<Vec<Zxid>> {
        Some(ledger.since(after)?.map(|e| e.zxid).collect())
    }

    #[test]
    fn what_followed_is_known_from_every_place_that_is_remembered_and_from_no_other() {
        let mut ledger = Ledger::new(z(1, 8), [], 500);
        assert_eq!(since(&ledger, z(1, 8)), Some(vec![]));
        assert_eq!(since(&ledger, z(1, 7)), None);
        run(&mut ledger, &[z(2, 1), z(2, 2)]);
        assert_eq!(since(&ledger, z(1, 8)), Some(vec![z(2, 1), z(2, 2)]), "right before the first");
        assert_eq!(since(&ledger, z(2, 1)), Some(vec![z(2, 2)]));
        assert_eq!(since(&ledger, z(2, 2)), Some(vec![]));
        assert_eq!((since(&ledger, z(2, 3)), since(&ledger, z(2, 0))), (None, None));
        assert_eq!(ledger.floor(z(2, 0)), Some(z(1, 8)));
        assert_eq!(ledger.floor(z(1, 7)), None);
    }

    #[test]
    fn recovered_transactions_tell_what_stood_before_them_only_inside_an_epoch() {
        let ledger = Ledger::new(z(1, 8), [7, 8].map(|n| entry(z(1, n))), 500);
        assert_eq!(since(&ledger, z(1, 6)).map(|v| v.len()), Some(2));
        let ledger = Ledger::new(z(2, 1), [entry(z(2, 1))], 500);
        assert_eq!(since(&ledger, z(1, 6)), None);
        let hole = Ledger::new(z(1, 9), [6, 8, 9].map(|n| entry(z(1, n))), 500);
        assert_eq!((since(&hole, z(1, 6)), since(&hole, z(1, 8)).map(|v| v.len())), (None, Some(1)));
        let odd = Ledger::new(z(2, 5), [z(1, 8), z(2, 5)].map(entry), 500);
        assert_eq!((since(&odd, z(1, 8)), since(&odd, z(2, 4)).map(|v| v.len())), (None, Some(1)));
    }

    #[test]
    fn the_oldest_go_when_they_are_many_and_large() {
        let mut ledger = Ledger::new(Zxid::ZERO, [], 2);
        let big = bytes::Bytes::from(vec![0; RECENT_BYTES / 2]);
        let mut out = Effects::new();
        for n in 1..=4 {
            ledger.append(Entry { zxid: z(1, n), payload: big.clone() }, &mut out);
            ledger.commit(None, &mut out).unwrap();
        }
        assert_eq!(since(&ledger, z(1, 2)), Some(vec![z(1, 3), z(1, 4)]));
        assert_eq!(since(&ledger, z(1, 1)), None);
        ledger.cut(z(1, 3));
        assert_eq!((ledger.committed(), since(&ledger, z(1, 2))), (z(1, 3), Some(vec![z(1, 3)])));
    }
}
