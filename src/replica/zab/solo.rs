//! One server by itself: the same inputs and effects as an ensemble, with its own disk as the quorum.
//!
//! It holds no election and opens no epoch: zxids continue as one plain counter over restarts and the epoch
//! files are left alone, as the reference does standalone. Invariant: commits leave in zxid order, and none
//! before its flush.

use crate::replica::{Commit, Effect, Effects, Origin};
use crate::types::{Committed, Entry, Flushed, Zxid};
use std::collections::VecDeque;

/// The order of a standalone server.
#[derive(Debug)]
pub struct Solo {
    last: Zxid,
    outstanding: VecDeque<(Entry, Option<Origin>)>,
    /// Syncs, and the transaction each of them waits for.
    syncs: VecDeque<(Zxid, Origin)>,
}

impl Solo {
    /// Continues behind the last transaction on disk.
    #[must_use]
    pub fn new(last: Zxid) -> Self {
        Self { last, outstanding: VecDeque::new(), syncs: VecDeque::new() }
    }

    /// Takes the next zxid; what is validated under it must be proposed.
    pub fn next_zxid(&mut self) -> Zxid {
        self.last = self.last.next();
        self.last
    }

    /// Sends a transaction to the disk.
    pub fn propose(&mut self, entry: Entry, origin: Option<Origin>, out: &mut Effects) {
        out.push(Effect::Append(entry.clone()));
        self.outstanding.push_back((entry, origin));
    }

    /// Commits everything that is durable.
    pub fn flushed(&mut self, proof: Flushed, out: &mut Effects) {
        while let Some((entry, origin)) = self.outstanding.pop_front_if(|(e, _)| e.zxid <= proof.zxid()) {
            let zxid = entry.zxid;
            out.push(Effect::Commit(Commit { entry: Committed::mint(entry), origin }));
            while let Some((_, origin)) = self.syncs.pop_front_if(|(after, _)| *after <= zxid) {
                out.push(Effect::Synced(origin));
            }
        }
    }

    /// A sync is done behind everything that was proposed before it.
    pub fn sync(&mut self, origin: Origin, out: &mut Effects) {
        match self.outstanding.back() {
            None => out.push(Effect::Synced(origin)),
            Some((entry, _)) => self.syncs.push_back((entry.zxid, origin)),
        }
    }

    /// Transactions waiting for the disk.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.outstanding.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_committed_before_its_flush() {
        let mut solo = Solo::new(Zxid(9));
        let mut out = Effects::new();
        for _ in 0..3 {
            let zxid = solo.next_zxid();
            solo.propose(Entry { zxid, payload: Default::default() }, None, &mut out);
        }
        assert!(out.drain(..).all(|e| matches!(e, Effect::Append(_))));
        solo.flushed(Flushed::mint(Zxid(11)), &mut out);
        let committed: Vec<_> = out
            .iter()
            .map(|e| if let Effect::Commit(c) = e { c.entry.get().zxid.0 } else { panic!("{e:?}") })
            .collect();
        assert_eq!(committed, [10, 11]);
        assert_eq!(solo.in_flight(), 1);
    }
}
