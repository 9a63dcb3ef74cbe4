//! When the next snapshot is due. It counts and decides; taking one is others' work.

use super::options::StoreOptions;

/// When a snapshot is due: half the limit, and a random part of the other half, so that the servers of an
/// ensemble do not all take theirs at once.
#[derive(Debug)]
pub(super) struct SnapRule {
    count_limit: u64,
    size_limit: Option<u64>,
    state: u64,
    txns: u64,
    bytes: u64,
    max_txns: u64,
    max_bytes: u64,
}

impl SnapRule {
    pub(super) fn new(options: &StoreOptions) -> Self {
        let mut rule = Self {
            count_limit: options.snap_count.max(2),
            size_limit: options.snap_size_limit,
            state: options.seed | 1,
            txns: 0,
            bytes: 0,
            max_txns: 0,
            max_bytes: 0,
        };
        rule.reset();
        rule
    }

    fn random(&mut self, below: u64) -> u64 {
        // xorshift64*: spreads well enough for a jitter, and is the same everywhere for one seed.
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        if below == 0 { 0 } else { (self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % below }
    }

    fn reset(&mut self) {
        self.txns = 0;
        self.bytes = 0;
        let half = self.count_limit / 2;
        self.max_txns = half + self.random(half);
        let half = self.size_limit.unwrap_or(0) / 2;
        self.max_bytes = half + self.random(half);
    }

    pub(super) fn count(&mut self, bytes: u64) -> bool {
        self.txns += 1;
        self.bytes += bytes;
        let due = self.txns > self.max_txns || (self.size_limit.is_some() && self.bytes > self.max_bytes);
        if due {
            self.reset();
        }
        due
    }
}
