//! The order of one connection's requests. Reads run at once unless a write of the same connection is still
//! on its way; then they wait here and run right behind it, at exactly its zxid.
//!
//! Invariant: the front is always an unfinished write or sync, so an empty lane means that a read may run now.

use crate::auth::Identity;
use crate::types::limits::REQUEST_OVERHEAD;
use jute::ErrorCode;
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

/// A request that was never ordered, and is answered when its turn comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Its xid.
    pub xid: i32,
    /// What it is told.
    pub code: ErrorCode,
    /// The connection ends behind the answer.
    pub closes: bool,
    /// Bytes of it that count as large.
    pub large: usize,
    /// Length of its frame.
    bytes: usize,
}

/// What may be answered now, because all before it was.
#[derive(Debug)]
pub enum Ready {
    /// To be run.
    Held(Held),
    /// To be turned down.
    Refused(Refused),
}

/// What has become of an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn<T> {
    /// It is the next that the client expects; with the bytes that the request held.
    Now(T, usize),
    /// The client expects others first.
    TooEarly,
    /// Nobody waits for it any more.
    Gone,
}

#[derive(Debug)]
enum Item {
    Write(Waiting),
    /// Goes through the order like a write, and is answered like a read.
    Sync(Held),
    Held(Held),
    Refused(Refused),
}

impl Item {
    fn xid(&self) -> i32 {
        match self {
            Self::Write(write) => write.xid,
            Self::Sync(held) | Self::Held(held) => held.xid,
            Self::Refused(refused) => refused.xid,
        }
    }

    fn bytes(&self) -> usize {
        REQUEST_OVERHEAD
            + match self {
                Self::Write(write) => write.bytes,
                Self::Sync(held) | Self::Held(held) => held.frame.len(),
                Self::Refused(refused) => refused.bytes,
            }
    }

    fn is_write(&self) -> bool {
        matches!(self, Self::Write(_))
    }

    fn is_sync(&self) -> bool {
        matches!(self, Self::Sync(_))
    }

    /// Does it wait for an answer of others?
    fn is_open(&self) -> bool {
        self.is_write() || self.is_sync()
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

    /// What this number stands for among requests of this kind, where no answer has come for it. Clients may use a
    /// number twice.
    fn turn(&mut self, xid: i32, kind: fn(&Item) -> bool) -> Turn<Item> {
        let awaits = |item: &Item| kind(item) && item.xid() == xid;
        match self.items.front() {
            _ if self.closed => Turn::Gone,
            Some(front) if awaits(front) => match self.pop() {
                Some((item, bytes)) => Turn::Now(item, bytes),
                None => Turn::Gone,
            },
            _ if self.items.iter().any(awaits) => Turn::TooEarly,
            _ => Turn::Gone,
        }
    }

    /// A sync is done.
    pub fn complete_sync(&mut self, xid: i32) -> Turn<Held> {
        match self.turn(xid, Item::is_sync) {
            Turn::Now(Item::Sync(sync), bytes) => Turn::Now(sync, bytes),
            Turn::TooEarly => Turn::TooEarly,
            _ => Turn::Gone,
        }
    }

    /// A request is turned down. Where others come first, it is so when its turn has come.
    pub fn refuse(&mut self, xid: i32, code: ErrorCode, closes: bool) -> Turn<Refused> {
        let refused = |item: &Item| {
            let (large, bytes) = match item {
                Item::Write(write) => (write.large, write.bytes),
                Item::Sync(held) | Item::Held(held) => (held.large, held.frame.len()),
                Item::Refused(refused) => (refused.large, refused.bytes),
            };
            Refused { xid, code, closes, large, bytes }
        };
        match self.turn(xid, Item::is_open) {
            Turn::Now(item, bytes) => Turn::Now(refused(&item), bytes),
            Turn::TooEarly => {
                if let Some(item) = self.items.iter_mut().find(|item| item.is_open() && item.xid() == xid) {
                    *item = Item::Refused(refused(item));
                }
                Turn::TooEarly
            }
            Turn::Gone => Turn::Gone,
        }
    }

    /// A read waits for the writes before it, and there must be some. Returns the bytes it holds from here on.
    pub fn hold(&mut self, held: Held) -> usize {
        debug_assert!(!self.items.is_empty(), "nothing to wait for");
        self.push(Item::Held(held))
    }

    /// A write is done.
    pub fn complete(&mut self, xid: i32) -> Turn<Waiting> {
        match self.turn(xid, Item::is_write) {
            Turn::Now(Item::Write(write), bytes) => Turn::Now(write, bytes),
            Turn::TooEarly => Turn::TooEarly,
            _ => Turn::Gone,
        }
    }

    /// The next that may be answered, now that the write before it is done; with the bytes it held.
    pub fn next_ready(&mut self) -> Option<(Ready, usize)> {
        if !matches!(self.items.front(), Some(Item::Held(_) | Item::Refused(_))) {
            return None;
        }
        match self.pop()? {
            (Item::Held(held), bytes) => Some((Ready::Held(held), bytes)),
            (Item::Refused(refused), bytes) => Some((Ready::Refused(refused), bytes)),
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
                Item::Refused(refused) => dropped.large += refused.large,
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
        assert!(lane.next_ready().is_none(), "its write is not done");
        assert_eq!(lane.complete(3), Turn::TooEarly, "writes finish in order");
        assert!(matches!(lane.complete(1), Turn::Now(..)));
        assert!(matches!(lane.next_ready(), Some((Ready::Held(h), _)) if *h.frame == *b"r1"));
        assert!(lane.next_ready().is_none());
        lane.close();
        assert_eq!(lane.complete(3), Turn::Gone);
    }

    #[test]
    fn a_refusal_waits_for_its_turn() {
        let mut lane = Lane::default();
        lane.push_write(write(1));
        let bytes = lane.push_write(write(2));
        lane.hold(held(b"r", 3));
        assert_eq!(lane.refuse(2, ErrorCode::BadArguments, false), Turn::TooEarly);
        assert_eq!(lane.refuse(2, ErrorCode::Ok, false), Turn::Gone, "it has its answer");
        assert_eq!(lane.bytes() - REQUEST_OVERHEAD * 2 - 10 - 1, bytes, "and is still there");
        assert!(lane.next_ready().is_none());
        assert!(matches!(lane.complete(1), Turn::Now(..)));
        let ready = lane.next_ready();
        assert!(
            matches!(ready, Some((Ready::Refused(r), n)) if r.code == ErrorCode::BadArguments && r.large == 10 && n == bytes)
        );
        assert!(matches!(lane.next_ready(), Some((Ready::Held(_), _))));
        assert!(lane.is_empty());
    }

    #[test]
    fn numbers_that_come_twice_are_answered_one_after_the_other() {
        let mut lane = Lane::default();
        lane.push_write(write(1));
        lane.push_write(write(1));
        assert!(matches!(lane.complete(1), Turn::Now(..)));
        assert!(matches!(lane.refuse(1, ErrorCode::NoNode, true), Turn::Now(r, _) if r.closes));
        assert_eq!(lane.complete(1), Turn::Gone);
        lane.push_sync(held(b"s", 2));
        lane.push_write(write(2));
        assert_eq!(lane.complete(2), Turn::TooEarly, "the sync of that number comes first");
        assert!(matches!(lane.complete_sync(2), Turn::Now(..)));
        assert!(matches!(lane.complete(2), Turn::Now(..)));
    }

    #[test]
    fn what_goes_in_comes_out_of_the_figures() {
        let mut lane = Lane::default();
        let (first, ping) = (lane.push_write(write(1)), lane.hold(held(b"ping", -2)));
        let second = lane.push_write(write(2));
        assert_eq!((lane.len(), lane.counted(), lane.bytes()), (3, 2, first + ping + second));
        assert!(matches!(lane.complete(1), Turn::Now(_, bytes) if bytes == first));
        assert_eq!(lane.counted(), 1, "pings do not count");
        assert_eq!(lane.close(), Dropped { held: 1, large: 10, bytes: ping + second });
        assert_eq!((lane.len(), lane.counted(), lane.bytes()), (0, 0, 0));
    }
}
