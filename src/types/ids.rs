//! Identifiers of the domain. Each is its own type, so that a session cannot be passed for a zxid.

use std::fmt;

/// The order of everything: epoch in the upper half, counter in the lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Zxid(pub i64);

impl Zxid {
    /// The zxid of an empty history.
    pub const ZERO: Self = Self(0);

    /// The zxid with this epoch and counter.
    #[must_use]
    pub const fn new(epoch: Epoch, counter: u32) -> Self {
        Self((epoch.0 << 32) | counter as i64)
    }

    /// The epoch in the upper half.
    #[must_use]
    pub const fn epoch(self) -> Epoch {
        Epoch(self.0 >> 32)
    }

    /// The counter in the lower half.
    #[must_use]
    pub const fn counter(self) -> u32 {
        (self.0 & 0xffff_ffff) as u32
    }

    /// The one behind it. In standalone mode the whole number is one counter, so this carries over.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// May `next` directly follow in one history? Inside an epoch without a gap; a new epoch begins with 1. (A
    /// standalone server counts on through all 64 bits, which is the first case.)
    #[must_use]
    pub fn leads_to(self, next: Self) -> bool {
        next == self.next() || (next.epoch() > self.epoch() && next.counter() <= 1)
    }
}

impl fmt::Display for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

/// The number of a leadership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub i64);

/// A server of the ensemble; 0 is nobody's, and what a standalone server calls itself outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ServerId(pub i64);

/// One connection on a quorum port, for as long as the process lives; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LinkId(pub u64);

/// The two numbers an ensemble member keeps in files of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EpochFile {
    /// The newest epoch promised to a leader.
    Accepted,
    /// The epoch whose history was adopted.
    Current,
}

/// A client session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SessionId(pub i64);

impl SessionId {
    /// No session: a connection before its handshake, and requests of the server itself.
    pub const NONE: Self = Self(0);
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

/// A client connection of this process; never reused while the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ConnId(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zxid_is_epoch_and_counter() {
        let z = Zxid::new(Epoch(3), 7);
        assert_eq!((z.0, z.epoch(), z.counter()), (0x3_0000_0007, Epoch(3), 7));
        assert_eq!(z.to_string(), "0x300000007");
    }
}
