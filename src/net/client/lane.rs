//! The order of one connection's requests. Reads run at once unless a write of the same connection is still
//! on its way; then they wait here and run right behind it, at exactly its zxid.
//!
//! Invariant: the front is always an unfinished write or sync, so an empty lane means that a read may run now.

use crate::auth::Identity;
use crate::types::limits::REQUEST_OVERHEAD;
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
    /// Length of its frame.
    pub bytes: usize,
    /// Those of them that count as large.
    pub large: usize,
}

/// A frame that is no write, or one that will not be run.
#[derive(Debug)]
pub struct Held {
    /// The frame.
    pub frame: Box<[u8]>,
    /// Its xid.
    pub xid: i32,
    /// When it was read, on the monotonic clock in ms.
    pub since: i64,
    /// Who the connection was when it was read: what it becomes later does not count.
    pub ids: Arc<[Identity]>,
    /// Bytes of it that count as large.
    pub large: usize,
    /// It waited too long before it came here: answered with ThrottledOp.
    pub throttled: bool,
}

#[derive(Debug)]
enum Item {
    Write(Waiting),
    /// Goes through the order like a write, and is answered like a read.
    Sync(Held),
    Held(Held),
}

impl Item {
    fn xid(&self) -> i32 {
        match self {
            Self::Write(write) => write.xid,
            Self::Sync(held) | Self::Held(held) => held.xid,
        }
    }

    fn bytes(&self) -> usize {
        REQUEST_OVERHEAD
            + match self {
                Self::Write(write) => write.bytes,
                Self::Sync(held) | Self::Held(held) => held.frame.len(),
            }
    }
}

/// What was dropped with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// Requests that nobody will run any more. Writes will be, their order is decided.
    pub held: usize,
    /// Bytes of large requests, writes among them.
    pub large: usize,
    /// Bytes in all.
    pub bytes: usize,
}

/// What a connection has in the works.
#[derive(Debug, Default)]
pub struct Lane {
    items: VecDeque<Item>,
    bytes: usize,
    /// Requests with an xid of the client's own counting.
    counted: usize,
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

    /// Bytes of them.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Requests in it that a limit on requests in flight is about: not pings and their like, whose xids are
    /// negative.
    #[must_use]
    pub fn counted(&self) -> usize {
        self.counted
    }

    fn push(&mut self, item: Item) -> usize {
        let bytes = item.bytes();
        self.bytes += bytes;
        self.counted += usize::from(item.xid() > 0);
        self.items.push_back(item);
        bytes
    }

    fn pop(&mut self) -> Option<(Item, usize)> {
        let item = self.items.pop_front()?;
        let bytes = item.bytes();
        self.bytes -= bytes;
        self.counted -= usize::from(item.xid() > 0);
        Some((item, bytes))
    }

    /// A write enters the order. Returns the bytes it holds from here on.
    pub fn push_write(&mut self, write: Waiting) -> usize {
        self.push(Item::Write(write))
    }

    /// A sync enters the order. Returns the bytes it holds from here on.
    pub fn push_sync(&mut self, sync: Held) -> usize {
        self.push(Item::Sync(sync))
    }

    /// The sync at the front is done, if it is this one; with the bytes it held.
    pub fn complete_sync(&mut self, xid: i32) -> Option<(Held, usize)> {
        if !matches!(self.items.front(), Some(Item::Sync(sync)) if sync.xid == xid && !self.closed) {
            return None;
        }
        match self.pop() {
            Some((Item::Sync(sync), bytes)) => Some((sync, bytes)),
            _ => None,
        }
    }

    /// A read waits for the writes before it, and there must be some. Returns the bytes it holds from here on.
    pub fn hold(&mut self, held: Held) -> usize {
        debug_assert!(!self.items.is_empty(), "nothing to wait for");
        self.push(Item::Held(held))
    }

    /// The write at the front is done, if it is this one; with the bytes it held.
    pub fn complete(&mut self, xid: i32) -> Option<(Waiting, usize)> {
        match self.items.front() {
            Some(Item::Write(write)) if write.xid == xid && !self.closed => {
                let write = *write;
                self.pop().map(|(_, bytes)| (write, bytes))
            }
            _ => None,
        }
    }

    /// The next frame that may run, now that the write before it is done; with the bytes it held.
    pub fn next_held(&mut self) -> Option<(Held, usize)> {
        match self.items.front() {
            Some(Item::Held(_)) => match self.pop() {
                Some((Item::Held(held), bytes)) => Some((held, bytes)),
                _ => None,
            },
            _ => None,
        }
    }

    /// The connection is gone: nothing of it will run any more.
    pub fn close(&mut self) -> Dropped {
        self.closed = true;
        let mut dropped = Dropped { bytes: self.bytes, ..Dropped::default() };
        for item in std::mem::take(&mut self.items) {
            match item {
                Item::Write(write) => dropped.large += write.large,
                Item::Sync(sync) => dropped.large += sync.large,
                Item::Held(held) => {
                    dropped.held += 1;
                    dropped.large += held.large;
                }
            }
        }
        (self.bytes, self.counted) = (0, 0);
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(xid: i32) -> Waiting {
        Waiting { xid, op: 1, since: 0, bytes: 10, large: 10 }
    }

    fn held(frame: &[u8], xid: i32) -> Held {
        Held { frame: frame.into(), xid, since: 0, ids: Arc::from([]), large: 0, throttled: false }
    }

    #[test]
    fn reads_wait_behind_own_writes_only() {
        let mut lane = Lane::default();
        assert!(lane.is_empty(), "a read runs at once");
        lane.push_write(write(1));
        lane.hold(held(b"r1", 2));
        lane.push_write(write(3));
        lane.hold(held(b"r2", 4));
        assert!(lane.next_held().is_none(), "its write is not done");
        assert!(lane.complete(3).is_none(), "writes finish in order");
        assert!(lane.complete(1).is_some());
        assert_eq!(lane.next_held().map(|h| h.0.frame), Some(b"r1".as_slice().into()));
        assert!(lane.next_held().is_none());
        lane.close();
        assert!(lane.complete(3).is_none());
    }

    #[test]
    fn what_goes_in_comes_out_of_the_figures() {
        let mut lane = Lane::default();
        let (first, ping) = (lane.push_write(write(1)), lane.hold(held(b"ping", -2)));
        let second = lane.push_write(write(2));
        assert_eq!((lane.len(), lane.counted(), lane.bytes()), (3, 2, first + ping + second));
        assert_eq!(lane.complete(1).map(|done| done.1), Some(first));
        assert_eq!(lane.counted(), 1, "pings do not count");
        assert_eq!(lane.close(), Dropped { held: 1, large: 10, bytes: ping + second });
        assert_eq!((lane.len(), lane.counted(), lane.bytes()), (0, 0, 0));
    }
}
