//! The order of one connection's requests. Reads run at once unless a write of the same connection is still
//! on its way; then they wait here and run right behind it, at exactly its zxid.
//!
//! Invariant: the front is always an unfinished write, so an empty lane means that a read may run now.

use crate::auth::Identity;
use std::collections::VecDeque;
use std::sync::Arc;

/// A write that was handed to the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Its xid.
    pub xid: i32,
    /// Its operation, for the statistics.
    pub op: i32,
    /// When it was read, on the monotonic clock in ms.
    pub since: i64,
}

#[derive(Debug)]
enum Item {
    Write(Waiting),
    Held(Held),
}

/// A request that is no write and waits behind one.
#[derive(Debug)]
pub struct Held {
    /// Its frame.
    pub frame: Box<[u8]>,
    /// When it was read.
    pub since: i64,
    /// Who the connection was when it was read: what it becomes later does not count.
    pub ids: Arc<[Identity]>,
}

/// What a connection has in the works.
#[derive(Debug, Default)]
pub struct Lane {
    items: VecDeque<Item>,
    closed: bool,
}

impl Lane {
    /// May a read run now?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Requests in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// A write enters the order.
    pub fn push_write(&mut self, write: Waiting) {
        self.items.push_back(Item::Write(write));
    }

    /// A read waits for the writes before it. Gives the frame back if there are none.
    pub fn hold(&mut self, frame: &[u8], since: i64, ids: impl FnOnce() -> Arc<[Identity]>) -> bool {
        if self.items.is_empty() {
            return false;
        }
        self.items.push_back(Item::Held(Held { frame: frame.into(), since, ids: ids() }));
        true
    }

    /// The write at the front is done, if it is this one.
    pub fn complete(&mut self, xid: i32) -> Option<Waiting> {
        match self.items.front() {
            Some(Item::Write(write)) if write.xid == xid && !self.closed => {
                let write = *write;
                self.items.pop_front();
                Some(write)
            }
            _ => None,
        }
    }

    /// The next frame that may run, now that the write before it is done.
    pub fn next_held(&mut self) -> Option<Held> {
        match self.items.pop_front_if(|item| matches!(item, Item::Held(_))) {
            Some(Item::Held(held)) => Some(held),
            _ => None,
        }
    }

    /// The connection is gone: nothing of it will run any more.
    pub fn close(&mut self) {
        self.closed = true;
        self.items = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_wait_behind_own_writes_only() {
        let mut lane = Lane::default();
        let nobody = || Arc::from([]);
        assert!(!lane.hold(b"r0", 0, nobody), "nothing to wait for");
        lane.push_write(Waiting { xid: 1, op: 1, since: 0 });
        assert!(lane.hold(b"r1", 0, nobody));
        lane.push_write(Waiting { xid: 2, op: 1, since: 0 });
        assert!(lane.hold(b"r2", 0, nobody));
        assert!(lane.next_held().is_none(), "its write is not done");
        assert!(lane.complete(2).is_none(), "writes finish in order");
        assert!(lane.complete(1).is_some());
        assert_eq!(lane.next_held().map(|h| h.frame), Some(b"r1".as_slice().into()));
        assert!(lane.next_held().is_none());
        lane.close();
        assert!(lane.complete(2).is_none());
    }
}
