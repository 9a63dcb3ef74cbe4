//! Proof tokens: what was made durable, what was committed. Each is minted in one place, which
//! `tests/walls.rs` knows, so an ack without an fsync or an apply without a quorum cannot be written.

use super::ids::Zxid;
use bytes::Bytes;

/// One transaction in the form that the log, the peers and the tree share: encoded once, never again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the order.
    pub zxid: Zxid,
    /// Header, body and digest, as in a log record's payload and a PROPOSAL's data.
    pub payload: Bytes,
}

/// Everything up to this zxid is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flushed(Zxid);

impl Flushed {
    /// Only the store may say so, after its fsync returned.
    #[must_use]
    pub fn mint(zxid: Zxid) -> Self {
        Self(zxid)
    }

    /// The highest durable zxid.
    #[must_use]
    pub fn zxid(self) -> Zxid {
        self.0
    }
}

/// A quorum has it: it may be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed<T>(T);

impl<T> Committed<T> {
    /// Only the order (`replica::zab`) may say so, after a quorum's acks.
    #[must_use]
    pub fn mint(inner: T) -> Self {
        Self(inner)
    }

    /// What was committed.
    #[must_use]
    pub fn get(&self) -> &T {
        &self.0
    }
}
