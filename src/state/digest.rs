//! The tree digest, version 2: a sum over node checksums that every server of an ensemble can compare.
//!
//! Nodes below `/zookeeper/` are outside, as servers may differ there. `/zookeeper` itself is inside.

use crate::types::limits::{DIGEST_INTERVAL, DIGEST_LOG};
use crc32fast::Hasher;
use jute::records::data::StatPersisted;
use std::collections::VecDeque;

/// The version that is written and compared.
pub const DIGEST_VERSION: i32 = 2;

/// Does a node not count?
pub(super) fn is_outside(path: &str) -> bool {
    path.starts_with("/zookeeper/")
}

/// One node's share, in two steps, so that path and data are read once for a stat before and after.
#[derive(Debug, Clone, Copy)]
pub struct Share(
    /// Checksum of path and data; `None` outside.
    Option<u32>,
);

impl Share {
    /// Of a node that does not count.
    pub const NOTHING: Self = Self(None);

    /// Of the node at `path`; the root's is `/` or empty.
    #[must_use]
    pub fn new(path: &str, data: Option<&[u8]>) -> Self {
        if is_outside(path) {
            return Self::NOTHING;
        }
        let mut hasher = Hasher::new();
        if path != "/" {
            hasher.update(path.as_bytes());
        }
        hasher.update(data.unwrap_or_default());
        Self(Some(hasher.finalize()))
    }

    /// With this stat.
    #[must_use]
    pub fn of(&self, s: &StatPersisted) -> u64 {
        let Some(begun) = self.0 else { return 0 };
        let mut bytes = [0; 60];
        let (longs, rest) = bytes.split_at_mut(40);
        for (to, from) in longs.chunks_exact_mut(8).zip([s.czxid, s.mzxid, s.pzxid, s.ctime, s.mtime]) {
            to.copy_from_slice(&from.to_be_bytes());
        }
        let (ints, owner) = rest.split_at_mut(12);
        for (to, from) in ints.chunks_exact_mut(4).zip([s.version, s.cversion, s.aversion]) {
            to.copy_from_slice(&from.to_be_bytes());
        }
        owner.copy_from_slice(&s.ephemeral_owner.to_be_bytes());
        let mut hasher = Hasher::new_with_initial(begun);
        hasher.update(&bytes);
        u64::from(hasher.finalize())
    }
}

/// One node's whole share.
#[must_use]
pub fn node_digest(path: &str, data: Option<&[u8]>, stat: &StatPersisted) -> u64 {
    Share::new(path, data).of(stat)
}

/// The running digest and its history.
#[derive(Debug, Default)]
pub struct Digest {
    sum: u64,
    /// Recorded last: zxid and digest; zeros before the first.
    recorded: (i64, u64),
    log: VecDeque<(i64, u64)>,
    mismatches: u64,
    /// The zxid up to which the tree may be fuzzy, and the snapshot's own digest for it. While it is here, nothing else is
    /// compared.
    fuzzy_until: Option<(i64, Option<u64>)>,
}

impl Digest {
    /// Of the whole tree.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// A node's share changed.
    pub fn change(&mut self, before: u64, after: u64) {
        self.sum = self.sum.wrapping_sub(before).wrapping_add(after);
    }

    /// What a snapshot writes: zeros if nothing was applied since loading.
    #[must_use]
    pub fn recorded(&self) -> (i64, u64) {
        self.recorded
    }

    /// The remembered ones, oldest first.
    #[must_use]
    pub fn log(&self) -> Vec<(i64, u64)> {
        self.log.iter().copied().collect()
    }

    /// How often a transaction's digest was not ours.
    #[must_use]
    pub fn mismatches(&self) -> u64 {
        self.mismatches
    }

    /// A snapshot named `start` carried this digest, and its nodes show transactions up to `shown`. The reference takes
    /// the digest while it applies the next transaction; what shows a part of that fits no digest before it is whole.
    pub fn suspend(&mut self, zxid: i64, digest: u64, start: i64, shown: i64) {
        let until = if shown > zxid { (shown, None) } else { (zxid, Some(digest)) };
        self.fuzzy_until = (zxid > 0 && zxid >= start).then_some(until);
        self.settle(start);
    }

    fn settle(&mut self, zxid: i64) {
        let Some((at, digest)) = self.fuzzy_until else { return };
        if zxid >= at {
            self.mismatches += u64::from(zxid == at && digest.is_some_and(|digest| digest != self.sum));
            self.fuzzy_until = None;
        }
    }

    /// A whole transaction was applied, carrying `expected`. False on a mismatch, which is never fatal.
    pub fn record(&mut self, zxid: i64, expected: Option<(i32, i64)>) -> bool {
        if self.fuzzy_until.is_some() {
            let before = self.mismatches;
            self.settle(zxid);
            return before == self.mismatches;
        }
        self.recorded = (zxid, self.sum);
        if zxid % DIGEST_INTERVAL == 0 {
            if self.log.len() == DIGEST_LOG {
                self.log.pop_front();
            }
            self.log.push_back(self.recorded);
        }
        match expected {
            Some((DIGEST_VERSION, digest)) if digest.cast_unsigned() != self.sum => {
                self.mismatches += 1;
                false
            }
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_s_nodes() {
        let time = 0x0000_01a1_f926_0464;
        let stat = StatPersisted {
            czxid: 8,
            mzxid: 8,
            pzxid: 8,
            ctime: time,
            mtime: time,
            ephemeral_owner: 0xff00_0000_0000_ea60_u64.cast_signed(),
            ..Default::default()
        };
        assert_eq!(node_digest("/t", Some(b"x"), &stat), 0x478b_bdbe);
        let root = StatPersisted { cversion: 8, pzxid: 0x14, ..Default::default() };
        assert_eq!(node_digest("/", Some(b""), &root), 0x527e_5067);
        assert_eq!(node_digest("", None, &StatPersisted::default()), 0x0412_8908);
        assert_eq!(node_digest("/zookeeper", None, &StatPersisted::default()), 0x4db4_4d58);
        assert_eq!(node_digest("/zookeeper/config", None, &stat), 0);
    }

    #[test]
    fn a_fuzzy_range_is_not_compared() {
        let mut d = Digest::default();
        d.suspend(20, 5, 10, 20);
        assert!(d.record(11, Some((2, 99))));
        assert_eq!(d.recorded(), (0, 0));
        d.change(0, 5);
        assert!(d.record(20, Some((2, 99))), "the snapshot's digest is the one that counts here");
        assert!(d.record(21, Some((2, 5))));
        assert!(!d.record(22, Some((2, 6))));
        assert!(d.record(23, Some((1, 6))), "another version");
        assert_eq!((d.mismatches(), d.recorded()), (1, (23, 5)));
        d.suspend(9, 1, 10, 0);
        assert!(!d.record(24, Some((2, 6))), "an older digest is ignored");
    }

    #[test]
    fn a_snapshot_that_shows_more_than_its_digest_proves_nothing() {
        let mut d = Digest::default();
        d.suspend(20, 7, 10, 22);
        d.change(0, 5);
        assert!(d.record(20, Some((2, 99))) && d.record(21, Some((2, 99))) && d.record(22, Some((2, 99))));
        assert!(d.record(23, Some((2, 5))));
        assert!(!d.record(24, Some((2, 6))), "from here on every digest counts");
    }

    #[test]
    fn the_log_is_bounded() {
        let mut d = Digest::default();
        for n in 0..2000 {
            d.record(n * 64, None);
        }
        assert_eq!((d.log().len(), d.log()[0].0, d.log()[1].0), (1000, 0, 128));
        for n in 1000..1100 {
            d.record(n * 128, None);
        }
        assert_eq!(d.log().len(), DIGEST_LOG);
    }
}
