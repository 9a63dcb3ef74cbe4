//! What waits to be sent to one client: replies and events, as bytes, in the order of their decisions.
//!
//! Whoever puts something in holds the lock of the state it speaks about, so the order of this buffer is the
//! order clients may rely on: an event comes before any data newer than it. Putting in never waits for the
//! client; a client that lets too much pile up is cut off.
//!
//! Invariant: nothing leaves after a close, and what was put in before a gentle close leaves before it.

use crate::types::limits::OUTBOX_HARD;
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
    fate: Fate,
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
}

impl Default for Outbox {
    fn default() -> Self {
        Self { inner: Mutex::new(Inner { bytes: Vec::new(), waker: None, fate: Fate::Open }) }
    }
}

impl Outbox {
    /// Lets `write` append whole frames. Returns the waker to call once no lock is held.
    #[must_use = "the task sleeps until its waker is called"]
    pub fn put<R>(&self, write: impl FnOnce(&mut Vec<u8>) -> R) -> (R, Option<Waker>) {
        let mut inner = self.inner.lock();
        let before = inner.bytes.len();
        let result = write(&mut inner.bytes);
        if inner.fate != Fate::Open {
            inner.bytes.truncate(before);
        } else if inner.bytes.len() > OUTBOX_HARD {
            inner.fate = Fate::Closed;
            inner.bytes = Vec::new();
        }
        (result, inner.waker.take())
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
        inner.fate = Fate::Closed;
        inner.bytes = Vec::new();
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

    /// Swaps what waits into `into`, which must be empty; with nothing there, leaves `waker` to be called.
    pub fn take(&self, into: &mut Vec<u8>, waker: &Waker) -> Taken {
        let mut inner = self.inner.lock();
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
        if !inner.waker.as_ref().is_some_and(|w| w.will_wake(waker)) {
            inner.waker = Some(waker.clone());
        }
        Taken::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_before_a_gentle_close_leaves_before_it() {
        let (outbox, mut into) = (Outbox::default(), Vec::new());
        assert_eq!(outbox.take(&mut into, Waker::noop()), Taken::Nothing);
        let ((), waker) = outbox.put(|out| out.push(1));
        assert!(waker.is_some(), "somebody sleeps");
        assert!(outbox.close_when_flushed().is_none(), "and was told once");
        let _ = outbox.put(|out| out.push(2));
        assert_eq!(outbox.take(&mut into, Waker::noop()), Taken::Bytes);
        assert_eq!(into, [1], "and nothing behind it");
        into.clear();
        assert_eq!(outbox.take(&mut into, Waker::noop()), Taken::Close);
    }

    #[test]
    fn a_client_that_never_reads_is_cut_off() {
        let (outbox, mut into) = (Outbox::default(), Vec::new());
        let _ = outbox.put(|out| out.resize(OUTBOX_HARD + 1, 0));
        assert_eq!(outbox.take(&mut into, Waker::noop()), Taken::Close);
    }
}
