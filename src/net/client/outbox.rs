//! What waits to be sent to one client: replies and events, as bytes, in the order of their decisions.
//!
//! Whoever puts something in holds the lock of the state it speaks about, so the order of this buffer is the
//! order clients may rely on: an event comes before any data newer than it. Putting in never waits for the
//! client; a client that lets too much pile up is cut off.
//!
//! The bytes leave through the connection's task, or, while that sleeps and only a few wait, from the thread that put
//! them in ([`Nudge::send`]). One of the two holds what is on its way; the other leaves the rest alone meanwhile.
//!
//! Invariant: nothing leaves after a close, what was put in before a gentle close leaves before it, and bytes leave in
//! the order they were put in.

use super::budget::Backlog;
use parking_lot::Mutex;
use std::fmt::Debug;
use std::io;
use std::sync::Arc;
use std::task::Waker;

/// Capacity that an idle connection's buffers may keep.
const KEEP: usize = 1024;

/// Rounds that somebody else sends for a task: what comes after that is the task's own work.
const ROUNDS: usize = 2;

/// A socket that takes bytes from any thread and never waits.
pub trait Direct: Send + Sync + Debug {
    /// Takes some of the bytes at once, or fails with `WouldBlock`.
    fn try_send(&self, bytes: &[u8]) -> io::Result<usize>;
}

/// Who has bytes in hand that came out of here and may not have left yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    Nobody,
    Task,
    Other,
}

/// A task that has something to do, once no lock is held.
#[derive(Debug)]
#[must_use = "the task sleeps until it is told"]
pub struct Nudge {
    waker: Waker,
    outbox: Option<Arc<Outbox>>,
}

impl Nudge {
    /// Wakes the task.
    pub fn wake(self) {
        self.waker.wake();
    }

    /// Sends what waits from this thread, if nothing else is to be done; otherwise wakes the task.
    pub fn send(self) {
        match self.outbox {
            Some(outbox) => outbox.send_for_task(self.waker),
            None => self.waker.wake(),
        }
    }
}

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
    /// The task waits for more than the bytes: whoever sends them wakes it.
    listening: bool,
    holder: Holder,
    direct: Option<Arc<dyn Direct>>,
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
        let inner = Inner {
            bytes: Vec::new(),
            waker: None,
            stuck: false,
            listening: false,
            holder: Holder::Nobody,
            direct: None,
            fate: Fate::Open,
        };
        Self { inner: Mutex::new(inner), backlog }
    }

    /// Everything that waits for and from this connection: its other parts are counted here too.
    pub fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    /// From here on others than the task may send, through `direct`.
    pub fn open_to_others(&self, direct: Arc<dyn Direct>) {
        self.inner.lock().direct = Some(direct);
    }

    /// The task is over: nobody sends any more.
    pub fn shut(&self) {
        self.inner.lock().direct = None;
    }

    /// The task is going to sleep until something happens that comes with bytes put in here.
    pub fn listen(&self) {
        self.inner.lock().listening = true;
    }

    /// Lets `write` append whole frames. Returns whom to tell once no lock is held.
    #[must_use = "the task sleeps until it is told"]
    pub fn put<R>(self: &Arc<Self>, write: impl FnOnce(&mut Vec<u8>) -> R) -> (R, Option<Nudge>) {
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
        let waker = if concerned { inner.waker.take() } else { None };
        let others = inner.direct.is_some() && inner.fate == Fate::Open;
        (result, waker.map(|waker| Nudge { waker, outbox: others.then(|| Arc::clone(self)) }))
    }

    /// Closes once everything put in so far has left.
    #[must_use = "the task sleeps until it is told"]
    pub fn close_when_flushed(&self) -> Option<Nudge> {
        let mut inner = self.inner.lock();
        if inner.fate == Fate::Open {
            inner.fate = Fate::CloseWhenFlushed;
        }
        inner.waker.take().map(|waker| Nudge { waker, outbox: None })
    }

    /// Closes at once; what waits is dropped.
    #[must_use = "the task sleeps until it is told"]
    pub fn close_now(&self) -> Option<Nudge> {
        let mut inner = self.inner.lock();
        inner.close(&self.backlog);
        inner.waker.take().map(|waker| Nudge { waker, outbox: None })
    }

    /// True once a close was asked for.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.inner.lock().fate != Fate::Open
    }

    /// Nothing waits, and no close was asked for.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let inner = self.inner.lock();
        inner.fate == Fate::Open && inner.bytes.is_empty()
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
        inner.listening = false;
        if inner.fate == Fate::Closed {
            return Taken::Close;
        }
        if inner.holder == Holder::Other {
            // Who sends looks again when it is done.
            inner.leave(waker);
            return Taken::Nothing;
        }
        inner.holder = if inner.bytes.is_empty() { Holder::Nobody } else { Holder::Task };
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

    /// Sends what waits in place of the task that `waker` wakes.
    fn send_for_task(&self, waker: Waker) {
        let mut sending = Vec::new();
        let mut inner = self.inner.lock();
        for _ in 0..ROUNDS {
            let idle = inner.fate == Fate::Open && !inner.listening;
            if !idle || inner.bytes.is_empty() || inner.holder != Holder::Nobody {
                break;
            }
            let Some(direct) = inner.direct.clone() else { break };
            inner.holder = Holder::Other;
            std::mem::swap(&mut inner.bytes, &mut sending);
            drop(inner);
            let sent = direct.try_send(&sending).unwrap_or(0);
            drop(direct);
            inner = self.inner.lock();
            inner.holder = Holder::Nobody;
            if inner.fate == Fate::Closed {
                self.backlog.sub(sending.len());
                break;
            }
            self.backlog.sub(sent);
            if sent < sending.len() {
                // The task finds out what is wrong with its socket.
                sending.drain(..sent);
                sending.append(&mut inner.bytes);
                inner.bytes = sending;
                drop(inner);
                waker.wake();
                return;
            }
            sending.clear();
            if inner.bytes.is_empty() {
                std::mem::swap(&mut inner.bytes, &mut sending);
            }
        }
        if inner.holder == Holder::Other
            || (inner.fate == Fate::Open && !inner.listening && inner.bytes.is_empty())
        {
            // Nothing is left for the task. Another one that sends looks at what came meanwhile.
            inner.leave(&waker);
        } else {
            drop(inner);
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::client::budget::Budget;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::task::Wake;

    fn outbox(per_client: usize) -> Arc<Outbox> {
        Arc::new(Outbox::new(Backlog::new(Arc::new(Budget::new(per_client, usize::MAX)))))
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

    /// A socket with room for so many bytes.
    #[derive(Debug)]
    struct Pipe {
        room: AtomicUsize,
        got: Mutex<Vec<u8>>,
    }

    impl Direct for Pipe {
        fn try_send(&self, bytes: &[u8]) -> io::Result<usize> {
            let n = self.room.load(Relaxed).min(bytes.len());
            if n == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.room.fetch_sub(n, Relaxed);
            self.got.lock().extend_from_slice(&bytes[..n]);
            Ok(n)
        }
    }

    #[derive(Debug, Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    fn direct(room: usize) -> (Arc<Outbox>, Arc<Pipe>, Arc<Count>, Waker) {
        // More than any test here puts in: a thread that is kept waiting is no reason to cut the client off.
        let (outbox, count) = (outbox(1_000_000), Arc::<Count>::default());
        let pipe = Arc::new(Pipe { room: AtomicUsize::new(room), got: Mutex::default() });
        outbox.open_to_others(Arc::<Pipe>::clone(&pipe));
        let waker = Waker::from(Arc::clone(&count));
        assert_eq!(outbox.take(&mut Vec::new(), &waker), Taken::Nothing);
        (outbox, pipe, count, waker)
    }

    fn put(outbox: &Arc<Outbox>, bytes: &[u8]) -> Option<Nudge> {
        outbox.put(|out| out.extend_from_slice(bytes)).1
    }

    #[test]
    fn others_send_while_the_task_sleeps() {
        let (outbox, pipe, count, _) = direct(100);
        for _ in 0..3 {
            put(&outbox, b"ab").unwrap().send();
        }
        assert_eq!(*pipe.got.lock(), b"ababab");
        assert_eq!((count.0.load(Relaxed), outbox.backlog().bytes()), (0, 0));
        outbox.shut();
        put(&outbox, b"c").unwrap().send();
        assert_eq!((count.0.load(Relaxed), outbox.len()), (1, 1), "from here on it is the task's");
    }

    #[test]
    fn what_a_full_socket_leaves_stays_in_its_order() {
        let (outbox, pipe, count, waker) = direct(3);
        put(&outbox, b"abcde").unwrap().send();
        assert_eq!((count.0.load(Relaxed), outbox.backlog().bytes()), (1, 2));
        assert!(put(&outbox, b"f").is_none(), "the task was told");
        let mut into = Vec::new();
        assert_eq!(outbox.take(&mut into, &waker), Taken::Bytes);
        assert_eq!((pipe.got.lock().as_slice(), into.as_slice()), (b"abc".as_slice(), b"def".as_slice()));
    }

    #[test]
    fn nobody_overtakes_the_task() {
        let (outbox, pipe, count, waker) = direct(100);
        let late = put(&outbox, b"ab").unwrap();
        let mut into = Vec::new();
        assert_eq!(outbox.take(&mut into, &waker), Taken::Bytes);
        assert!(put(&outbox, b"cd").is_none());
        late.send();
        assert!(pipe.got.lock().is_empty(), "the task has bytes in hand that come before these");
        assert_eq!(count.0.load(Relaxed), 1);
        into.clear();
        assert_eq!(outbox.take(&mut into, &waker), Taken::Bytes);
        assert_eq!(into, b"cd");
    }

    #[test]
    fn a_task_that_waits_for_more_than_bytes_is_woken() {
        let (outbox, pipe, count, waker) = direct(100);
        outbox.listen();
        put(&outbox, b"a").unwrap().send();
        assert_eq!((count.0.load(Relaxed), pipe.got.lock().len()), (1, 0), "it sends by itself");
        let mut into = Vec::new();
        assert_eq!(outbox.take(&mut into, &waker), Taken::Bytes);
        into.clear();
        assert_eq!(outbox.take(&mut into, &waker), Taken::Nothing);
        let nudge = put(&outbox, b"b").unwrap();
        assert!(outbox.close_when_flushed().is_none());
        nudge.send();
        assert_eq!(count.0.load(Relaxed), 2, "it has to close");
    }

    #[test]
    fn many_threads_lose_and_swap_nothing() {
        let (outbox, pipe, count, waker) = direct(usize::MAX);
        std::thread::scope(|scope| {
            let putter = scope.spawn(|| {
                for n in 0..20_000_u32 {
                    if let Some(nudge) = put(&outbox, &n.to_be_bytes()) {
                        nudge.send();
                    }
                }
            });
            let mut into = Vec::new();
            while !putter.is_finished() {
                if outbox.take(&mut into, &waker) == Taken::Bytes {
                    pipe.try_send(&into).unwrap();
                    outbox.backlog().sub(into.len());
                    into.clear();
                }
            }
            while outbox.take(&mut into, &waker) == Taken::Bytes {
                pipe.try_send(&into).unwrap();
                outbox.backlog().sub(into.len());
                into.clear();
            }
        });
        let expected: Vec<u8> = (0..20_000_u32).flat_map(u32::to_be_bytes).collect();
        assert!(*pipe.got.lock() == expected);
        assert_eq!(outbox.backlog().bytes(), 0, "{count:?}");
    }
}
