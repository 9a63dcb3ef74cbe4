//! What this server has logged and what of it is known to be committed: the part of the order that outlives
//! every role.
//!
//! Invariant: `recent` and `tail` together are one unbroken piece of history that ends with the last entry that
//! was handed to the log; only the front of `tail` can be committed.

use crate::replica::io::{Commit, Effect, Effects, Origin};
use crate::types::{Committed, Entry, Flushed, Zxid};
use std::collections::VecDeque;

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
    recent_bytes: usize,
    /// Kept whatever their size (`commitLogCount`).
    keep: usize,
    /// Handed to the log, not committed.
    tail: VecDeque<Entry>,
    last_logged: Zxid,
    durable: Zxid,
    committed: Zxid,
    /// Where the log on disk ends, while the tree of an observer without a disk is ahead of it.
    stored: Option<Zxid>,
}

/// Does `next` follow `last` without a gap: the next counter, or a later epoch?
#[must_use]
pub fn follows(last: Zxid, next: Zxid) -> bool {
    next == last.next() || next.epoch() > last.epoch()
}

impl Ledger {
    /// After recovery: the last transaction in the log, and the newest of them in order.
    #[must_use]
    pub fn new(last: Zxid, recovered: impl IntoIterator<Item = Entry>, keep: usize) -> Self {
        let mut ledger = Self {
            recent: VecDeque::new(),
            recent_bytes: 0,
            keep,
            tail: VecDeque::new(),
            last_logged: last,
            durable: last,
            committed: last,
            stored: None,
        };
        for entry in recovered {
            ledger.remember(entry);
        }
        if ledger.recent.back().is_some_and(|e| e.zxid != last) {
            ledger.forget();
        }
        ledger
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
        self.committed = entry.zxid;
        self.remember(entry.clone());
        out.push(Effect::Commit(Commit { entry: Committed::mint(entry.clone()), origin }));
        Some(entry)
    }

    /// Commits a transaction that the log will not see: an observer without a disk has heard of it. A restart
    /// begins again at [`Ledger::stored`].
    pub fn commit_unlogged(&mut self, entry: Entry, origin: Option<Origin>, out: &mut Effects) {
        self.stored.get_or_insert(self.last_logged);
        (self.last_logged, self.durable, self.committed) = (entry.zxid, entry.zxid, entry.zxid);
        self.remember(entry.clone());
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
            self.committed = entry.zxid;
            self.remember(entry.clone());
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
        self.recent_bytes = 0;
    }

    fn remember(&mut self, entry: Entry) {
        if self.recent.back().is_some_and(|last| !follows(last.zxid, entry.zxid)) {
            self.forget();
        }
        self.recent_bytes += entry.payload.len() + OVERHEAD;
        self.recent.push_back(entry);
        while self.recent.len() > self.keep && self.recent_bytes > RECENT_BYTES {
            if let Some(old) = self.recent.pop_front() {
                self.recent_bytes -= old.payload.len() + OVERHEAD;
            }
        }
    }
}
