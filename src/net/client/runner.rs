//! Runs one client's requests: who gets an answer at once, who goes to the order, who waits in the lane.
//!
//! Reads run right here, under the shared lock of the state; writes go to the order. It never blocks and touches no
//! socket.
//!
//! Invariant: requests of the connection run in the order they came, except auth and sasl, which the
//! protocol answers out of band.

use super::answer::answer;
use super::conn::{Conn, Phase};
use super::frames::{Frames, Item, Unfit};
use super::lane::{Held, Waiting};
use super::service::{Pressure, Service};
use super::tally::Tally;
use crate::replica::Origin;
use crate::state::{Caller, TreeView as _};
use crate::types::Millis;
use crate::types::limits::{LANE_BYTES, LANE_DEPTH, OUTBOX_SOFT};
use crate::wire::{Envelope, Greeting, Refusal, Request, parse, reply};
use jute::records::proto::{AuthPacket, GetSaslRequest, SetSaslResponse};
use jute::{ErrorCode, Record};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Length of a request's xid and operation.
const REQUEST_HEADER: usize = 8;

/// The socket went away, or the client is not worth talking to any more.
#[derive(Debug)]
pub(super) struct Over;

/// What stands behind the header of a request's frame.
fn body(frame: &[u8]) -> &[u8] {
    frame.get(REQUEST_HEADER..).unwrap_or_default()
}

/// What is common to requests that run together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Batch {
    /// When they were read.
    pub(super) since: Millis,
    /// How long they waited in front of the gate.
    pub(super) waited: Millis,
    /// That was too long.
    pub(super) throttled: bool,
}

/// What requests need of their connection. It knows no socket: what it answers goes into the outbox.
pub(super) struct Runner<S> {
    pub(super) service: Arc<S>,
    pub(super) conn: Arc<Conn>,
}

impl<S: Service> Runner<S> {
    /// Is enough of this connection in the works? Never while there is nothing, so that there is always a reply
    /// to come which wakes this task.
    pub(super) fn is_lane_full(&self) -> bool {
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
    pub(super) fn greet(&self, input: &mut Frames<'_>, now: Millis) -> Result<(), Over> {
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

    pub(super) fn requests(&self, input: &mut Frames<'_>, batch: Batch) -> Result<(), Over> {
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
        let taken = ids.is_some_and(|ids| self.conn.add_ids(ids));
        let error = if taken { ErrorCode::Ok } else { ErrorCode::AuthFailed };
        self.reply_aside(|out| reply::bare(out, xid, 0, error));
        if !taken {
            self.close_gently();
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
