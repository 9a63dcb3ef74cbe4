//! The task that owns one client's socket: read what is there, have it run, send what came of it.
//!
//! One readable batch costs one read and one write of the socket, whatever the number of requests in it. What a
//! request is and does is the runner's to know. It never blocks and holds no lock while it touches the socket.
//!
//! Invariant: bytes are run in the order they came, each once.

use super::ahead::{Early, Looked};
use super::conn::{Conn, Phase};
use super::frames::Frames;
use super::outbox::Taken;
use super::runner::{Batch, Over, Runner};
use super::service::{Pressure, Service};
use crate::types::Millis;
use crate::types::limits::{OUTBOX_SOFT, READ_CHUNK};
use crate::wire::{Request, parse};
use jute::OpCode;
use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Rounds of read, run and send before other connections get their turn.
const ROUNDS: usize = 4;

/// What is read at most in place of a task: a request that is longer is worth waking it.
const AHEAD: usize = 4096;

/// Capacity that a connection keeps for what it sends.
const KEEP: usize = 1024;

thread_local! {
    /// Every connection of a thread reads into this; only halves of frames are kept by the connection.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_CHUNK]);
}

/// One connection at work. `IO` is a TCP stream, later a TLS stream, in tests a pipe.
pub(super) struct Task<S: Service, IO> {
    runner: Runner<S>,
    io: IO,
    /// Bytes of frames that are not whole yet, or may not run yet.
    partial: Vec<u8>,
    sending: Vec<u8>,
    sent: usize,
    /// Bytes of `partial` that the backlog knows of.
    counted: usize,
    stall: Option<Stall>,
    round: Option<Pin<Box<Sleep>>>,
}

/// Does a whole write stand at the front of this?
fn is_write(bytes: &[u8]) -> bool {
    let Some((prefix, rest)) = bytes.split_first_chunk::<4>() else { return false };
    let frame = usize::try_from(i32::from_be_bytes(*prefix)).ok().and_then(|len| rest.get(..len));
    frame.is_some_and(|frame| {
        parse(frame).is_ok_and(|envelope| matches!(envelope.request, Ok(Request::Write(_))))
    })
}

/// Requests that wait in front of the gate: the first bytes of what was read and not run.
#[derive(Debug, Clone, Copy)]
struct Stall {
    since: Millis,
    bytes: usize,
}

impl<S: Service, IO: AsyncRead + AsyncWrite + Unpin> Task<S, IO> {
    pub(super) fn new(service: Arc<S>, conn: Arc<Conn>, io: IO) -> Self {
        Self {
            runner: Runner { service, conn },
            io,
            partial: Vec::new(),
            sending: Vec::new(),
            sent: 0,
            counted: 0,
            stall: None,
            round: None,
        }
    }

    /// Sends until there is nothing left, or the socket is full.
    fn send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Over>> {
        loop {
            while let Some(rest) = self.sending.get(self.sent..).filter(|r| !r.is_empty()) {
                match Pin::new(&mut self.io).poll_write(cx, rest) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Over)),
                    Poll::Ready(Ok(n)) => self.sent += n,
                    // A client that does not read must still be closed when its time has come.
                    Poll::Pending if self.runner.conn.outbox.stick(cx.waker()) => return Poll::Pending,
                    Poll::Pending => return Poll::Ready(Err(Over)),
                }
            }
            self.runner.conn.outbox.backlog().sub(self.sending.len());
            self.sending.clear();
            self.sent = 0;
            match self.runner.conn.outbox.take(&mut self.sending, cx.waker()) {
                Taken::Bytes => {}
                Taken::Close => return Poll::Ready(Err(Over)),
                Taken::Nothing => {
                    if self.sending.capacity() > KEEP {
                        self.sending = Vec::new();
                    }
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    /// The end: what was answered before it leaves with it, as far as the socket takes it at once.
    pub(super) fn part(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = self.send(cx);
        Poll::Ready(())
    }

    /// Should the socket wait until work in progress is done? Whoever finishes it puts a reply into the
    /// outbox, and that wakes this task.
    fn is_paused(&self) -> bool {
        self.runner.conn.phase() == Phase::Greeting
            || self.runner.is_lane_full()
            || self.runner.conn.outbox.len() >= OUTBOX_SOFT
    }

    /// The requests that were read wait until there is room in the works, or until they are stale.
    fn wait_in_line(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Over>> {
        let service = Arc::clone(&self.runner.service);
        let (Some(stall), Some(throttle)) = (self.stall, service.gate().throttle()) else {
            return Poll::Ready(Ok(()));
        };
        loop {
            let waited = service.now().0.saturating_sub(stall.since.0);
            let late = throttle.stale_latency
                && self.runner.conn.phase() == Phase::Open
                && waited > self.runner.conn.timeout().0
                && !self.is_farewell_next();
            if late && throttle.drop_stale {
                service.pressed(Pressure::StaleDropped);
                return Poll::Ready(Err(Over));
            }
            if !service.gate().wait(self.runner.conn.id, cx.waker()) {
                self.round = None;
                return Poll::Ready(self.look_for_client(cx, late));
            }
            let round = self.round.get_or_insert_with(|| {
                service.pressed(Pressure::Stalled);
                Box::pin(sleep(throttle.stall))
            });
            ready!(round.as_mut().poll(cx));
            self.round = None;
        }
    }

    /// Is the client still there, now that its turn has come?
    fn look_for_client(&mut self, cx: &mut Context<'_>, late: bool) -> Result<(), Over> {
        let service = Arc::clone(&self.runner.service);
        let Some(throttle) = service.gate().throttle() else { return Ok(()) };
        let mut gone = false;
        if throttle.stale_connection && self.partial.len() < READ_CHUNK && !self.is_farewell_next() {
            gone = SCRATCH.with_borrow_mut(|scratch| {
                let mut buf = ReadBuf::new(scratch);
                let read = Pin::new(&mut self.io).poll_read(cx, &mut buf);
                self.partial.extend_from_slice(buf.filled());
                matches!(read, Poll::Ready(Err(_))) || (read.is_ready() && buf.filled().is_empty())
            });
        }
        if gone && throttle.drop_stale {
            service.pressed(Pressure::StaleDropped);
            service.vanished();
            return Err(Over);
        }
        if gone || late {
            service.pressed(Pressure::Stale);
        }
        Ok(())
    }

    /// Is the next request the end of the session? That one is never stale: it has to clean up.
    fn is_farewell_next(&self) -> bool {
        let frame = self.partial.get(4..).unwrap_or_default();
        parse(frame).is_ok_and(|envelope| envelope.op == OpCode::CloseSession.code())
    }

    /// Reads once and runs what is whole.
    fn receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Over>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buf = ReadBuf::new(scratch);
            if ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf)).is_err() {
                return Poll::Ready(Err(Over));
            }
            let fresh = buf.filled();
            if fresh.is_empty() {
                self.runner.service.vanished();
                return Poll::Ready(Err(Over));
            }
            if self.partial.is_empty() {
                let used = self.run(fresh)?;
                self.partial.extend_from_slice(fresh.get(used..).unwrap_or_default());
                self.count_partial();
            } else {
                self.partial.extend_from_slice(fresh);
                self.run_partial()?;
            }
            Poll::Ready(Ok(()))
        })
    }

    fn run_partial(&mut self) -> Result<(), Over> {
        let bytes = std::mem::take(&mut self.partial);
        let used = self.run(&bytes)?;
        if used == 0 {
            self.partial = bytes;
        } else {
            self.partial.extend_from_slice(bytes.get(used..).unwrap_or_default());
        }
        self.count_partial();
        Ok(())
    }

    fn count_partial(&mut self) {
        let (before, after) = (self.counted, self.partial.len());
        let backlog = self.runner.conn.outbox.backlog();
        backlog.add(after.saturating_sub(before));
        backlog.sub(before.saturating_sub(after));
        self.counted = after;
    }

    /// Nothing is half done, and the next that concerns this connection is what comes over its socket.
    pub(super) fn is_idle(&self) -> bool {
        self.runner.conn.phase() == Phase::Open
            && self.stall.is_none()
            && self.partial.is_empty()
            && self.sending.is_empty()
            && self.runner.conn.outbox.is_quiet()
            && !self.is_paused()
    }

    /// Runs the whole frames at the front of `input`; returns how many bytes they took.
    fn run(&mut self, input: &[u8]) -> Result<usize, Over> {
        let mut input = Frames::new(input, self.runner.service.max_frame());
        let now = self.runner.service.now();
        let stall = self.stall.take();
        if self.runner.conn.phase() == Phase::Fresh {
            self.runner.greet(&mut input, now)?;
        }
        if self.runner.conn.phase() == Phase::Open {
            let before = input.count;
            let ran = self.open_requests(stall, &mut input, now);
            // Halves of frames keep nobody alive; what came before a frame that ends the connection does.
            if input.count > before {
                self.runner.conn.hear(now);
            }
            ran?;
        }
        if input.held_up && self.stall.is_none() {
            self.stall = Some(Stall { since: now, bytes: input.left() });
        }
        if input.count > 0 {
            self.runner.conn.stats.received.fetch_add(input.count, Relaxed);
            self.runner.service.received(input.count, input.used as u64);
        }
        if self.runner.conn.phase() == Phase::Closing {
            return Ok(input.bytes.len());
        }
        Ok(input.used)
    }

    /// Runs the requests of a session: first those that waited, then what came since.
    fn open_requests(
        &mut self,
        stall: Option<Stall>,
        input: &mut Frames<'_>,
        now: Millis,
    ) -> Result<(), Over> {
        if let Some(stall) = stall {
            self.stalled_requests(stall, input, now)?;
        }
        if self.stall.is_none() {
            self.runner.requests(input, Batch { since: now, waited: Millis(0), throttled: false })?;
        }
        Ok(())
    }

    /// Runs the requests that waited in front of the gate, as of the time they were read.
    fn stalled_requests(&mut self, stall: Stall, input: &mut Frames<'_>, now: Millis) -> Result<(), Over> {
        let waited = Millis(now.0.saturating_sub(stall.since.0));
        let limit = self.runner.service.gate().throttle().and_then(|throttle| throttle.operation_wait);
        let throttled = limit.is_some_and(|limit| waited > limit);
        let mut front = input.front(stall.bytes);
        self.runner.requests(&mut front, Batch { since: stall.since, waited, throttled })?;
        input.took(&front);
        if front.held_up {
            self.stall = Some(Stall { since: stall.since, bytes: stall.bytes.saturating_sub(front.used) });
        }
        Ok(())
    }
}

impl<S: Service, IO: AsyncRead + AsyncWrite + Unpin + Early> Task<S, IO> {
    /// Takes a small write that is there already and hands it to the order, in place of the task. Anything else that is
    /// there waits for the task.
    pub(super) fn look(&mut self) -> Result<Looked, Over> {
        if !self.is_idle() {
            return Ok(Looked::Other);
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let room = scratch.get_mut(..AHEAD).unwrap_or_default();
            match self.io.peek_now(room) {
                Ok(there) if is_write(room.get(..there).unwrap_or_default()) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(Looked::Nothing),
                // What ends here, or goes wrong, the task finds out.
                _ => return Ok(Looked::Other),
            }
            let read = self.io.read_now(room).map_err(|_| Over)?;
            let fresh = room.get(..read).unwrap_or_default();
            let used = self.run(fresh)?;
            self.partial.extend_from_slice(fresh.get(used..).unwrap_or_default());
            self.count_partial();
            Ok(Looked::Taken)
        })
    }
}

impl<S: Service, IO: AsyncRead + AsyncWrite + Unpin> Future for Task<S, IO> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        for _ in 0..ROUNDS {
            match this.send(cx) {
                Poll::Ready(Err(Over)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) => {}
                Poll::Pending => return Poll::Pending,
            }
            if this.is_paused() {
                this.runner.conn.outbox.listen();
                // What it waits for may have happened before it listened.
                if this.is_paused() {
                    return Poll::Pending;
                }
            }
            let waited = this.stall.is_some();
            if waited && ready!(this.wait_in_line(cx)).is_err() {
                return Poll::Ready(());
            }
            // What came behind the greeting, or had to wait, runs before anything more is read.
            if (waited || this.runner.conn.phase() == Phase::Open) && !this.partial.is_empty() {
                let before = this.partial.len();
                match this.run_partial() {
                    Err(Over) => return this.part(cx),
                    Ok(()) if this.stall.is_some() || this.partial.len() != before => continue,
                    Ok(()) => {}
                }
            }
            match this.receive(cx) {
                Poll::Ready(Err(Over)) => return this.part(cx),
                Poll::Ready(Ok(())) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: Service, IO> Drop for Task<S, IO> {
    fn drop(&mut self) {
        self.runner.conn.enter(Phase::Closing);
        self.runner.conn.outbox.shut();
        if self.stall.is_some() {
            self.runner.service.gate().leave(self.runner.conn.id);
        }
        let dropped = self.runner.conn.lane.lock().close();
        self.runner.conn.outbox.backlog().sub(dropped.bytes);
        self.runner.service.gate().give_large(dropped.large);
        self.runner.service.gate().finish(dropped.held);
        self.runner.service.gone(&self.runner.conn);
    }
}
