//! What waits to be sent to one client: replies and events, as bytes, in the order of their decisions.
//!
//! Whoever puts something in holds the lock of the state it speaks about, so the order of this buffer is the
//! order clients may rely on: an event comes before any data newer than it. Putting in never waits for the
//! client; a client that lets too much pile up is cut off.
//!
//! Invariant: nothing leaves after a close, and what was put in before a gentle close leaves before it.

use super::budget::Backlog;
use parking_lot::Mutex;
use std::task::Waker;

/// Capacity that an idle connection's buffers may keep.
const KEEP: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Open,
    CloseWhenFlushed,
    Closed,
}

#[derive(Debug)]
struct Inner {
    bytes: Vec<u8>,
    waker: Option<Waker>,
    /// The task waits for its socket: only a close concerns it.
    stuck: bool,
    fate: Fate,
}

impl Inner {
    fn leave(&mut self, waker: &Waker) {
        if !self.waker.as_ref().is_some_and(|w| w.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
    }

    fn close(&mut self, backlog: &Backlog) {
        self.fate = Fate::Closed;
        backlog.sub(self.bytes.len());
        self.bytes = Vec::new();
    }
}

/// What the connection's task finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Bytes to send.
    Bytes,
    /// Nothing yet; the waker will be called.
    Nothing,
    /// Nothing, ever again: close the socket.
    Close,
}

/// The buffer between everybody who speaks to a client and the task that owns its socket.
#[derive(Debug)]
pub struct Outbox {
    inner: Mutex<Inner>,
    backlog: Backlog,
}

impl Outbox {
    /// Nothing waits yet; what will is counted in `backlog`.
    #[must_use]
    pub fn new(backlog: Backlog) -> Self {
        let inner = Inner { bytes: Vec::new(), waker: None, stuck: false, fate: Fate::Open };
        Self { inner: Mutex::new(inner), backlog }
    }

    /// Everything that waits for and from this connection: its other parts are counted here too.
    pub fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    /// Lets `write` append whole frames. Returns the waker to call once no lock is held.
    #[must_use = "the task sleeps until its waker is called"]
    pub fn put<R>(&self, write: impl FnOnce(&mut Vec<u8>) -> R) -> (R, Option<Waker>) {
        let mut inner = self.inner.lock();
        let before = inner.bytes.len();
        let result = write(&mut inner.bytes);
        if inner.fate != Fate::Open {
            inner.bytes.truncate(before);
        } else {
            self.backlog.add(inner.bytes.len().saturating_sub(before));
            if inner.bytes.len() > self.backlog.budget().per_client() {
                inner.close(&self.backlog);
            }
        }
        let concerned = !inner.stuck || inner.fate == Fate::Closed;
        (result, if concerned { inner.waker.take() } else { None })
    }

    /// Closes once everything put in so far has left.
    #[must_use = "the task sleeps until its waker is called"]
    pub fn close_when_flushed(&self) -> Option<Waker> {
        let mut inner = self.inner.lock();
        if inner.fate == Fate::Open {
            inner.fate = Fate::CloseWhenFlushed;
        }
        inner.waker.take()
    }

    /// Closes at once; what waits is dropped.
    #[must_use = "the task sleeps until its waker is called"]
    pub fn close_now(&self) -> Option<Waker> {
        let mut inner = self.inner.lock();
        inner.close(&self.backlog);
        inner.waker.take()
    }

    /// True once a close was asked for.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.inner.lock().fate != Fate::Open
    }

    /// Bytes waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.lock().bytes.len()
    }

    /// True with nothing waiting.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The task waits until its socket takes more: `waker` will be called if the connection is closed before.
    /// False if it is closed already.
    pub fn stick(&self, waker: &Waker) -> bool {
        let mut inner = self.inner.lock();
        inner.stuck = true;
        inner.leave(waker);
        inner.fate != Fate::Closed
    }

    /// Swaps what waits into `into`, which must be empty; with nothing there, leaves `waker` to be called. Who
    /// takes the bytes takes them off the backlog once they have left.
    pub fn take(&self, into: &mut Vec<u8>, waker: &Waker) -> Taken {
        let mut inner = self.inner.lock();
        inner.stuck = false;
        if inner.fate == Fate::Closed {
            return Taken::Close;
        }
        if !inner.bytes.is_empty() {
            if into.capacity() > KEEP {
                *into = Vec::new();
            }
            std::mem::swap(&mut inner.bytes, into);
            return Taken::Bytes;
        }
        if inner.fate == Fate::CloseWhenFlushed {
            return Taken::Close;
        }
        if inner.bytes.capacity() > KEEP {
            inner.bytes = Vec::new();
        }
        inner.leave(waker);
        Taken::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::client::budget::Budget;
    use std::sync::Arc;

    fn outbox(per_client: usize) -> Outbox {
        Outbox::new(Backlog::new(Arc::new(Budget::new(per_client, usize::MAX))))
    }

    #[test]
    fn what_was_put_in_before_a_gentle_close_leaves_before_it() {
        let (outbox, mut into) = (outbox(10), Vec::new());
        assert_eq!(outbox.take(&mut into, Waker::noop()), Taken::Nothing);
        let ((), waker) = outbox.put(|out| out.push(1));
        assert!(waker.is_some(), "somebody sleeps");
        assert!(outbox.close_when_flushed().is_none(), "and was told once");
        let _ = outbox.put(|out| out.push(2));
        assert_eq!(outbox.take(&mut into, Waker::noop()), Taken::Bytes);
        assert_eq!(into, [1], "and nothing behind it");
        assert_eq!(outbox.backlog().bytes(), 1, "until it has left");
        into.clear();
        assert_eq!(outbox.take(&mut into, Waker::noop()), Taken::Close);
    }

    #[test]
    fn a_client_that_never_reads_is_cut_off() {
        let (outbox, mut into) = (outbox(10), Vec::new());
        let _ = outbox.put(|out| out.resize(10, 0));
        assert!(!outbox.is_closing());
        let _ = outbox.put(|out| out.push(0));
        assert_eq!(outbox.take(&mut into, Waker::noop()), Taken::Close);
        assert_eq!(outbox.backlog().bytes(), 0);
    }

    #[test]
    fn a_task_that_waits_for_its_socket_hears_of_closes_only() {
        let (full, mut into) = (outbox(10), Vec::new());
        assert!(full.stick(Waker::noop()));
        assert!(full.put(|out| out.resize(10, 0)).1.is_none(), "its socket is full as it is");
        assert!(full.put(|out| out.push(0)).1.is_some(), "but now it is cut off");
        assert!(!full.stick(Waker::noop()));

        let closed = outbox(10);
        assert!(closed.stick(Waker::noop()));
        assert!(closed.close_now().is_some());

        let awake = outbox(10);
        assert!(awake.stick(Waker::noop()));
        assert_eq!(awake.take(&mut into, Waker::noop()), Taken::Nothing);
        assert!(awake.put(|out| out.push(0)).1.is_some(), "the socket took everything in between");
    }
}
