//! The task that owns one client's socket: read what is there, run it, send what came of it.
//!
//! One readable batch costs one read and one write of the socket, whatever the number of requests in it. Reads
//! run right here, under the shared lock of the state; writes go to the order. It never blocks and holds no
//! lock while it touches the socket.
//!
//! Invariant: requests of the connection run in the order they came, except auth and sasl, which the
//! protocol answers out of band.

use super::answer::answer;
use super::conn::{Conn, Phase};
use super::frames::{Frames, Item, Unfit};
use super::lane::{Held, Waiting};
use super::outbox::Taken;
use super::service::{Pressure, Service};
use super::tally::Tally;
use crate::replica::Origin;
use crate::state::{Caller, TreeView as _};
use crate::types::Millis;
use crate::types::limits::{LANE_BYTES, LANE_DEPTH, OUTBOX_SOFT, READ_CHUNK};
use crate::wire::{Envelope, Greeting, Refusal, Request, parse, reply};
use jute::records::proto::{AuthPacket, GetSaslRequest, SetSaslResponse};
use jute::{ErrorCode, OpCode, Record};
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Rounds of read, run and send before other connections get their turn.
const ROUNDS: usize = 4;

/// Length of a request's xid and operation.
const REQUEST_HEADER: usize = 8;

/// Capacity that a connection keeps for what it sends.
const KEEP: usize = 1024;

thread_local! {
    /// Every connection of a thread reads into this; only halves of frames are kept by the connection.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_CHUNK]);
}

/// What stands behind the header of a request's frame.
fn body(frame: &[u8]) -> &[u8] {
    frame.get(REQUEST_HEADER..).unwrap_or_default()
}

/// The socket went away, or the client is not worth talking to any more.
#[derive(Debug)]
struct Over;

/// One connection at work. `IO` is a TCP stream, later a TLS stream, in tests a pipe.
pub(super) struct Task<S: Service, IO> {
    service: Arc<S>,
    conn: Arc<Conn>,
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

/// Requests that wait in front of the gate: the first bytes of what was read and not run.
#[derive(Debug, Clone, Copy)]
struct Stall {
    since: Millis,
    bytes: usize,
}

/// What is common to requests that run together.
#[derive(Debug, Clone, Copy)]
struct Batch {
    /// When they were read.
    since: Millis,
    /// How long they waited in front of the gate.
    waited: Millis,
    /// That was too long.
    throttled: bool,
}

impl<S: Service, IO: AsyncRead + AsyncWrite + Unpin> Task<S, IO> {
    pub(super) fn new(service: Arc<S>, conn: Arc<Conn>, io: IO) -> Self {
        Self {
            service,
            conn,
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
                    Poll::Pending if self.conn.outbox.stick(cx.waker()) => return Poll::Pending,
                    Poll::Pending => return Poll::Ready(Err(Over)),
                }
            }
            self.conn.outbox.backlog().sub(self.sending.len());
            self.sending.clear();
            self.sent = 0;
            match self.conn.outbox.take(&mut self.sending, cx.waker()) {
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
    fn part(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = self.send(cx);
        Poll::Ready(())
    }

    /// Should the socket wait until work in progress is done? Whoever finishes it puts a reply into the
    /// outbox, and that wakes this task.
    fn is_paused(&self) -> bool {
        self.conn.phase() == Phase::Greeting || self.is_lane_full() || self.conn.outbox.len() >= OUTBOX_SOFT
    }

    /// Is enough of this connection in the works? Never while there is nothing, so that there is always a reply
    /// to come which wakes this task.
    fn is_lane_full(&self) -> bool {
        let (len, counted, bytes) = {
            let lane = self.conn.lane.lock();
            (lane.len(), lane.counted(), lane.bytes())
        };
        if len == 0 {
            return false;
        }
        let backlog = self.conn.outbox.backlog();
        len >= LANE_DEPTH
            || bytes >= LANE_BYTES
            || (counted > 0 && self.service.gate().is_overloaded())
            || (backlog.is_large() && backlog.budget().is_over())
    }

    /// The requests that were read wait until there is room in the works, or until they are stale.
    fn wait_in_line(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Over>> {
        let service = Arc::clone(&self.service);
        let (Some(stall), Some(throttle)) = (self.stall, service.gate().throttle()) else {
            return Poll::Ready(Ok(()));
        };
        loop {
            let waited = service.now().0.saturating_sub(stall.since.0);
            let late = throttle.stale_latency
                && self.conn.phase() == Phase::Open
                && waited > self.conn.timeout().0
                && !self.is_farewell_next();
            if late && throttle.drop_stale {
                service.pressed(Pressure::StaleDropped);
                return Poll::Ready(Err(Over));
            }
            if !service.gate().wait(self.conn.id, cx.waker()) {
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
        let service = Arc::clone(&self.service);
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
                self.service.vanished();
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
        let backlog = self.conn.outbox.backlog();
        backlog.add(after.saturating_sub(before));
        backlog.sub(before.saturating_sub(after));
        self.counted = after;
    }

    /// Runs the whole frames at the front of `input`; returns how many bytes they took.
    fn run(&mut self, input: &[u8]) -> Result<usize, Over> {
        let mut input = Frames::new(input, self.service.max_frame());
        let now = self.service.now();
        let stall = self.stall.take();
        if self.conn.phase() == Phase::Fresh {
            self.greet(&mut input, now)?;
        }
        if self.conn.phase() == Phase::Open {
            let before = input.count;
            if let Some(stall) = stall {
                self.stalled_requests(stall, &mut input, now)?;
            }
            if self.stall.is_none() {
                self.requests(&mut input, Batch { since: now, waited: Millis(0), throttled: false })?;
            }
            // Halves of frames keep nobody alive.
            if input.count > before {
                self.conn.hear(now);
            }
        }
        if input.held_up && self.stall.is_none() {
            self.stall = Some(Stall { since: now, bytes: input.left() });
        }
        if input.count > 0 {
            self.conn.stats.received.fetch_add(input.count, Relaxed);
            self.service.received(input.count, input.used as u64);
        }
        if self.conn.phase() == Phase::Closing {
            return Ok(input.bytes.len());
        }
        Ok(input.used)
    }

    /// Runs the requests that waited in front of the gate, as of the time they were read.
    fn stalled_requests(&mut self, stall: Stall, input: &mut Frames<'_>, now: Millis) -> Result<(), Over> {
        let waited = Millis(now.0.saturating_sub(stall.since.0));
        let limit = self.service.gate().throttle().and_then(|throttle| throttle.operation_wait);
        let throttled = limit.is_some_and(|limit| waited > limit);
        let mut front = input.front(stall.bytes);
        self.requests(&mut front, Batch { since: stall.since, waited, throttled })?;
        input.took(&front);
        if front.held_up {
            self.stall = Some(Stall { since: stall.since, bytes: stall.bytes.saturating_sub(front.used) });
        }
        Ok(())
    }

    /// The next whole frame.
    fn frame<'f>(&self, input: &mut Frames<'f>) -> Result<Option<&'f [u8]>, Over> {
        input.next(self.service.gate()).map_err(|unfit| {
            if unfit == Unfit::Large {
                self.service.pressed(Pressure::LargeRejected);
            }
            Over
        })
    }

    /// The first frame: a four-letter word or a greeting.
    fn greet(&self, input: &mut Frames<'_>, now: Millis) -> Result<(), Over> {
        let Some((word, rest)) = input.bytes.split_first_chunk::<4>() else { return Ok(()) };
        if let Some(answer) = self.service.four_letter(&self.conn, *word, rest) {
            self.conn.enter(Phase::Closing);
            drop(self.conn.outbox.put(|out| out.extend_from_slice(&answer)));
            drop(self.conn.outbox.close_when_flushed());
            return Ok(());
        }
        let Some(frame) = self.frame(input)? else { return Ok(()) };
        let greeting = Greeting::parse(frame).map_err(|_| Over)?;
        if self.service.gate().is_full() {
            input.hold_up(frame);
            return Ok(());
        }
        self.conn.hear(now);
        self.conn.enter(Phase::Greeting);
        self.service.greet(&self.conn, &greeting);
        Ok(())
    }

    fn requests(&self, input: &mut Frames<'_>, batch: Batch) -> Result<(), Over> {
        let mut next = self.next_request(input, batch)?;
        while let Some(item) = next.take() {
            if !item.is_out_of_band()
                && self.service.rules().is_enforcing()
                && !self.service.rules().admits(&self.conn.ids())
            {
                self.turn_away(item.request.xid);
                return Ok(());
            }
            if batch.throttled && item.is_throttlable() {
                next = self.turn_down(&item, input, batch)?;
                continue;
            }
            next = match &item.request.request {
                Ok(Request::Auth(packet)) => {
                    self.auth(item.request.xid, packet);
                    if self.conn.phase() == Phase::Closing { None } else { self.next_request(input, batch)? }
                }
                Ok(Request::Sasl(GetSaslRequest { token: None })) => return Err(Over),
                Ok(Request::Sasl(_)) => {
                    self.sasl(item.request.xid);
                    self.next_request(input, batch)?
                }
                Err(Refusal::Close) => return Err(Over),
                Ok(Request::Write(_) | Request::Sync(_) | Request::CloseSession) => {
                    self.writes(item, input, batch)?
                }
                Ok(Request::Read(_)) | Err(_) => self.reads(item, input, batch)?,
            };
        }
        Ok(())
    }

    fn next_request<'f>(&self, input: &mut Frames<'f>, batch: Batch) -> Result<Option<Item<'f>>, Over> {
        if self.conn.phase() != Phase::Open {
            return Ok(None);
        }
        let Some(frame) = self.frame(input)? else { return Ok(None) };
        let request = parse(frame).map_err(|_| Over)?;
        let item = Item { frame, request };
        if self.service.gate().throttle().is_some() && !item.is_out_of_band() {
            if self.service.gate().is_full() {
                input.hold_up(frame);
                return Ok(None);
            }
            self.service.pressed(Pressure::Waited(batch.waited));
        }
        Ok(Some(item))
    }

    /// The request goes behind the writes of this connection that are in the works; false if there are none.
    fn hold(&self, item: &Item<'_>, batch: Batch, throttled: bool) -> bool {
        let mut lane = self.conn.lane.lock();
        if lane.is_empty() {
            return false;
        }
        let gate = self.service.gate();
        gate.begin();
        let large = gate.take_large(item.frame.len());
        let (xid, since) = (item.request.xid, batch.since.0);
        let bytes =
            lane.hold(Held { frame: item.frame.into(), xid, since, ids: self.conn.ids(), large, throttled });
        // Before the lane is let go of: whoever takes it out again takes it off these figures.
        self.conn.outbox.backlog().add(bytes);
        true
    }

    /// What comes behind a request that has gone into the lane: nothing for now if that is enough.
    fn next_behind<'f>(&self, input: &mut Frames<'f>, batch: Batch) -> Result<Option<Item<'f>>, Over> {
        if self.is_lane_full() { Ok(None) } else { self.next_request(input, batch) }
    }

    /// Answers a request that waited too long, in its order.
    fn turn_down<'f>(
        &self,
        item: &Item<'f>,
        input: &mut Frames<'f>,
        batch: Batch,
    ) -> Result<Option<Item<'f>>, Over> {
        self.service.pressed(Pressure::Throttled);
        if self.hold(item, batch, true) {
            return self.next_behind(input, batch);
        }
        let zxid = self.service.read(|machine, _| machine.last_zxid().0);
        self.reply_aside(|out| reply::bare(out, item.request.xid, zxid, ErrorCode::ThrottledOp));
        self.next_request(input, batch)
    }

    /// Runs requests from `first` on for as long as they are no writes; returns the first that is.
    fn reads<'f>(
        &self,
        first: Item<'f>,
        input: &mut Frames<'f>,
        batch: Batch,
    ) -> Result<Option<Item<'f>>, Over> {
        if self.hold(&first, batch, false) {
            return self.next_behind(input, batch);
        }
        let now = batch.since;
        let ids = self.conn.ids();
        self.service.read(|machine, watches| {
            let caller = Caller {
                session: self.conn.session(),
                ids: &ids,
                watcher: self.conn.watcher,
                rules: self.service.rules(),
            };
            let mut tally = Tally::default();
            let (mut last_op, mut last_xid) = (0, -1);
            let mut next = Ok(Some(first));
            let mut closes = false;
            self.put(|out| {
                while let Ok(Some(item)) = std::mem::replace(&mut next, Ok(None)) {
                    last_op = item.request.op;
                    last_xid = if item.request.xid < 0 { last_xid } else { item.request.xid };
                    let before = out.len();
                    closes = answer(machine, watches, &caller, &item.request, out);
                    let frames = out.get(before..).unwrap_or_default();
                    tally.add(&item.request, frames, |n, reads| self.service.read_namespace(n, reads));
                    // The rest of what was read waits until this much has left: a small batch of requests
                    // may ask for a thousand times its size.
                    if closes || out.len() >= OUTBOX_SOFT {
                        break;
                    }
                    next = self.next_request(input, batch);
                    let runs_here =
                        matches!(&next, Ok(Some(item)) if !item.is_write() && !item.is_out_of_band());
                    if batch.throttled || !runs_here {
                        break;
                    }
                }
            });
            if closes {
                self.close_gently();
            }
            tally.finish(|n, reads| self.service.read_namespace(n, reads));
            let zxid = machine.last_zxid().0;
            self.conn.stats.replied(last_op, last_xid, zxid, now.0, now.0, tally.replies);
            self.conn.stats.sent.fetch_add(tally.events, Relaxed);
            let answered = if batch.waited.0 > 0 { self.service.now() } else { now };
            self.service.answered(now, answered, &tally);
            next
        })
    }

    /// Hands requests from `first` on to the order for as long as they are writes.
    fn writes<'f>(
        &self,
        first: Item<'f>,
        input: &mut Frames<'f>,
        batch: Batch,
    ) -> Result<Option<Item<'f>>, Over> {
        let mut next = Ok(Some(first));
        self.service.drive(&self.conn, |driver| {
            while let Ok(Some(item)) = std::mem::replace(&mut next, Ok(None)) {
                let Envelope { xid, op, request } = item.request;
                let origin = Origin { conn: self.conn.id, xid };
                let gate = self.service.gate();
                gate.begin();
                let bytes = item.frame.len();
                let large = gate.take_large(bytes);
                let since = batch.since.0;
                let bytes = match &request {
                    Ok(Request::Sync(_)) => self.conn.lane.lock().push_sync(Held {
                        frame: item.frame.into(),
                        xid,
                        since,
                        ids: self.conn.ids(),
                        large,
                        throttled: false,
                    }),
                    _ => self.conn.lane.lock().push_write(Waiting { xid, op, since, bytes, large }),
                };
                self.conn.outbox.backlog().add(bytes);
                match request {
                    Ok(Request::Write(write)) => {
                        driver.write(&self.conn, origin, op, body(item.frame), write)
                    }
                    Ok(Request::Sync(_)) => driver.sync(&self.conn, origin, body(item.frame)),
                    _ => {
                        self.conn.enter(Phase::Closing);
                        driver.close_session(&self.conn, origin);
                    }
                }
                next = self.next_behind(input, batch);
                if batch.throttled || !matches!(&next, Ok(Some(item)) if item.is_write()) {
                    break;
                }
            }
        });
        next
    }

    fn auth(&self, xid: i32, packet: &AuthPacket<'_>) {
        let scheme = packet.scheme.as_deref().unwrap_or_default();
        let ids = self.service.rules().add_auth(scheme, packet.auth, &self.conn.remote_ip);
        let error = if ids.is_some() { ErrorCode::Ok } else { ErrorCode::AuthFailed };
        self.reply_aside(|out| reply::bare(out, xid, 0, error));
        match ids {
            Some(ids) => self.conn.add_ids(ids),
            None => self.close_gently(),
        }
    }

    /// No mechanism is configured: the reference then answers with a null token.
    fn sasl(&self, xid: i32) {
        self.reply_aside(|out| {
            let reply = reply::ReplyWriter::begin(out, xid, 0);
            SetSaslResponse { token: None }.write(out);
            reply.finish(out, ErrorCode::Ok);
        });
    }

    fn turn_away(&self, xid: i32) {
        self.reply_aside(|out| reply::bare(out, xid, 0, ErrorCode::SessionClosedRequireSaslAuth));
        self.close_gently();
    }

    fn close_gently(&self) {
        self.conn.enter(Phase::Closing);
        drop(self.conn.outbox.close_when_flushed());
    }

    /// Puts a reply into the outbox that answers no request of the session's order.
    fn reply_aside(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let bytes = self.put(|out| {
            let before = out.len();
            write(out);
            out.len().saturating_sub(before) as u64
        });
        self.conn.stats.sent.fetch_add(1, Relaxed);
        self.service.replied_aside(bytes);
    }

    /// Puts something into the outbox; this task is awake, so nobody needs waking.
    fn put<R>(&self, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let (result, nudge) = self.conn.outbox.put(write);
        drop(nudge);
        result
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
                this.conn.outbox.listen();
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
            if (waited || this.conn.phase() == Phase::Open) && !this.partial.is_empty() {
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
        self.conn.enter(Phase::Closing);
        self.conn.outbox.shut();
        if self.stall.is_some() {
            self.service.gate().leave(self.conn.id);
        }
        let dropped = self.conn.lane.lock().close();
        self.conn.outbox.backlog().sub(dropped.bytes);
        self.service.gate().give_large(dropped.large);
        self.service.gate().finish(dropped.held);
        self.service.gone(&self.conn);
    }
}
