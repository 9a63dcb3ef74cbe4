//! The task that owns one client's socket: read what is there, run it, send what came of it.
//!
//! One readable batch costs one read and one write of the socket, whatever the number of requests in it. Reads
//! run right here, under the shared lock of the state; writes go to the order. It never blocks and holds no
//! lock while it touches the socket.
//!
//! Invariant: requests of the connection run in the order they came, except auth and sasl, which the
//! protocol answers out of band.

use super::conn::{Conn, Phase};
use super::lane::Waiting;
use super::outbox::Taken;
use super::service::Service;
use super::tally::Tally;
use crate::replica::Origin;
use crate::state::{Caller, Machine, TreeView as _, Watches};
use crate::types::Millis;
use crate::types::limits::{LANE_DEPTH, OUTBOX_SOFT, READ_CHUNK};
use crate::wire::{Envelope, Greeting, Refusal, Request, parse, reply};
use jute::records::proto::{AuthPacket, GetSaslRequest, SetSaslResponse};
use jute::{ErrorCode, Record};
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Rounds of read, run and send before other connections get their turn.
const ROUNDS: usize = 4;

/// Capacity that a connection keeps for what it sends.
const KEEP: usize = 1024;

thread_local! {
    /// Every connection of a thread reads into this; only halves of frames are kept by the connection.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_CHUNK]);
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
}

impl<S: Service, IO: AsyncRead + AsyncWrite + Unpin> Task<S, IO> {
    pub(super) fn new(service: Arc<S>, conn: Arc<Conn>, io: IO) -> Self {
        Self { service, conn, io, partial: Vec::new(), sending: Vec::new(), sent: 0 }
    }

    /// Sends until there is nothing left, or the socket is full.
    fn send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Over>> {
        loop {
            while let Some(rest) = self.sending.get(self.sent..).filter(|r| !r.is_empty()) {
                match ready!(Pin::new(&mut self.io).poll_write(cx, rest)) {
                    Ok(0) | Err(_) => return Poll::Ready(Err(Over)),
                    Ok(n) => self.sent += n,
                }
            }
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

    /// Should the socket wait until work in progress is done? Whoever finishes it puts a reply into the
    /// outbox, and that wakes this task.
    fn is_paused(&self) -> bool {
        let lane = self.conn.lane.lock().len();
        self.conn.phase() == Phase::Greeting
            || lane >= LANE_DEPTH
            || (lane > 0 && self.service.is_overloaded())
            || self.conn.outbox.len() >= OUTBOX_SOFT
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
            Poll::Ready(if self.partial.is_empty() {
                let used = self.run(fresh)?;
                self.keep(fresh.get(used..).unwrap_or_default());
                Ok(())
            } else {
                self.partial.extend_from_slice(fresh);
                self.run_partial()
            })
        })
    }

    /// Keeps the beginning of a frame, with room for its rest once its length is known.
    fn keep(&mut self, rest: &[u8]) {
        if rest.is_empty() {
            return;
        }
        if let Some((prefix, _)) = rest.split_first_chunk::<4>() {
            let wanted =
                usize::try_from(i32::from_be_bytes(*prefix)).unwrap_or(0).min(self.service.max_frame());
            self.partial.reserve_exact((wanted + 4).max(rest.len()));
        }
        self.partial.extend_from_slice(rest);
    }

    fn run_partial(&mut self) -> Result<(), Over> {
        let bytes = std::mem::take(&mut self.partial);
        let used = self.run(&bytes)?;
        if used == 0 {
            self.partial = bytes;
        } else {
            self.keep(bytes.get(used..).unwrap_or_default());
        }
        Ok(())
    }

    /// Runs the whole frames at the front of `input`; returns how many bytes they took.
    fn run(&self, input: &[u8]) -> Result<usize, Over> {
        let mut input = Frames { bytes: input, used: 0, count: 0, max: self.service.max_frame() };
        let now = self.service.now();
        if self.conn.phase() == Phase::Fresh {
            self.greet(&mut input, now)?;
        }
        if self.conn.phase() == Phase::Open {
            self.conn.hear(now);
            self.requests(&mut input, now)?;
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

    /// The first frame: a four-letter word or a greeting.
    fn greet(&self, input: &mut Frames<'_>, now: Millis) -> Result<(), Over> {
        let Some((word, rest)) = input.bytes.split_first_chunk::<4>() else { return Ok(()) };
        if let Some(answer) = self.service.four_letter(&self.conn, *word, rest) {
            self.conn.enter(Phase::Closing);
            drop(self.conn.outbox.put(|out| out.extend_from_slice(&answer)));
            drop(self.conn.outbox.close_when_flushed());
            return Ok(());
        }
        let Some(frame) = input.next()? else { return Ok(()) };
        let greeting = Greeting::parse(frame).map_err(|_| Over)?;
        self.conn.hear(now);
        self.conn.enter(Phase::Greeting);
        self.service.greet(&self.conn, &greeting);
        Ok(())
    }

    fn requests(&self, input: &mut Frames<'_>, now: Millis) -> Result<(), Over> {
        let mut next = self.next_request(input)?;
        while let Some(item) = next.take() {
            if !item.is_out_of_band()
                && self.service.rules().is_enforcing()
                && !self.service.rules().admits(&self.conn.ids())
            {
                self.turn_away(item.request.xid);
                return Ok(());
            }
            next = match &item.request.request {
                Ok(Request::Auth(packet)) => {
                    self.auth(item.request.xid, packet);
                    if self.conn.phase() == Phase::Closing { None } else { self.next_request(input)? }
                }
                Ok(Request::Sasl(GetSaslRequest { token: None })) => return Err(Over),
                Ok(Request::Sasl(_)) => {
                    self.sasl(item.request.xid);
                    self.next_request(input)?
                }
                Err(Refusal::Close) => return Err(Over),
                Ok(Request::Write(_) | Request::CloseSession) => self.writes(item, input, now)?,
                Ok(Request::Read(_) | Request::Sync(_)) | Err(_) => self.reads(item, input, now)?,
            };
        }
        Ok(())
    }

    fn next_request<'f>(&self, input: &mut Frames<'f>) -> Result<Option<Item<'f>>, Over> {
        if self.conn.phase() != Phase::Open {
            return Ok(None);
        }
        let Some(frame) = input.next()? else { return Ok(None) };
        let request = parse(frame).map_err(|_| Over)?;
        Ok(Some(Item { frame, request }))
    }

    /// Runs requests from `first` on for as long as they are no writes; returns the first that is.
    fn reads<'f>(
        &self,
        first: Item<'f>,
        input: &mut Frames<'f>,
        now: Millis,
    ) -> Result<Option<Item<'f>>, Over> {
        if self.conn.lane.lock().hold(first.frame, now.0, || self.conn.ids()) {
            return self.next_request(input);
        }
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
                    if closes {
                        break;
                    }
                    next = self.next_request(input);
                    if matches!(&next, Ok(Some(item)) if item.is_write() || item.is_out_of_band()) {
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
            self.service.answered(now, now, &tally);
            next
        })
    }

    /// Hands requests from `first` on to the order for as long as they are writes.
    fn writes<'f>(
        &self,
        first: Item<'f>,
        input: &mut Frames<'f>,
        now: Millis,
    ) -> Result<Option<Item<'f>>, Over> {
        let mut next = Ok(Some(first));
        self.service.drive(&self.conn, |driver| {
            while let Ok(Some(item)) = std::mem::replace(&mut next, Ok(None)) {
                let Envelope { xid, op, request } = item.request;
                let origin = Origin { conn: self.conn.id, xid };
                self.conn.lane.lock().push_write(Waiting { xid, op, since: now.0 });
                match request {
                    Ok(Request::Write(write)) => driver.write(&self.conn, origin, write),
                    _ => {
                        self.conn.enter(Phase::Closing);
                        driver.close_session(&self.conn, origin);
                    }
                }
                next = self.next_request(input);
                if !matches!(&next, Ok(Some(item)) if item.is_write()) {
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
        let (result, waker) = self.conn.outbox.put(write);
        drop(waker);
        result
    }
}

/// Answers one request that is no write. True if the connection must be closed behind the answer.
///
/// Called with the shared lock held by the connection's own task, and with the exclusive lock by the apply
/// loop for requests that waited behind a write.
pub fn answer(
    machine: &Machine,
    watches: &Watches,
    caller: &Caller<'_>,
    request: &Envelope<'_>,
    out: &mut Vec<u8>,
) -> bool {
    let xid = request.xid;
    match &request.request {
        Ok(Request::Read(read)) => machine.answer(xid, read, caller, watches, out),
        Ok(Request::Sync(sync)) => {
            let reply = reply::ReplyWriter::begin(out, xid, machine.last_zxid().0);
            sync.write(out);
            reply.finish(out, ErrorCode::Ok);
        }
        Err(Refusal::Unknown) => {
            reply::bare(out, xid, -1, ErrorCode::Unimplemented);
            return true;
        }
        Err(Refusal::WritesInMultiRead) => reply::writes_in_multi_read(out, xid, machine.last_zxid().0),
        Err(refusal) => reply::bare(out, xid, machine.last_zxid().0, refusal.code()),
        Ok(Request::Write(_) | Request::CloseSession | Request::Auth(_) | Request::Sasl(_)) => {}
    }
    false
}

/// One request, with the bytes it came in.
struct Item<'f> {
    frame: &'f [u8],
    request: Envelope<'f>,
}

impl Item<'_> {
    fn is_write(&self) -> bool {
        matches!(self.request.request, Ok(Request::Write(_) | Request::CloseSession))
    }

    fn is_out_of_band(&self) -> bool {
        matches!(self.request.request, Ok(Request::Auth(_) | Request::Sasl(_)) | Err(Refusal::Close))
    }
}

/// Whole frames off the front of a buffer.
struct Frames<'f> {
    bytes: &'f [u8],
    used: usize,
    count: u64,
    max: usize,
}

impl<'f> Frames<'f> {
    fn next(&mut self) -> Result<Option<&'f [u8]>, Over> {
        let rest = self.bytes.get(self.used..).unwrap_or_default();
        let Some((prefix, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let length = usize::try_from(i32::from_be_bytes(*prefix)).map_err(|_| Over)?;
        if length > self.max {
            return Err(Over);
        }
        let Some(frame) = rest.get(..length) else { return Ok(None) };
        self.used += 4 + length;
        self.count += 1;
        Ok(Some(frame))
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
                return Poll::Pending;
            }
            // What came behind the greeting runs before anything more is read.
            if this.conn.phase() == Phase::Open && !this.partial.is_empty() {
                let before = this.partial.len();
                match this.run_partial() {
                    Err(Over) => return Poll::Ready(()),
                    Ok(()) if this.partial.len() != before => continue,
                    Ok(()) => {}
                }
            }
            match this.receive(cx) {
                Poll::Ready(Err(Over)) => return Poll::Ready(()),
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
        self.conn.lane.lock().close();
        self.service.gone(&self.conn);
    }
}
