//! What a client is told of what was decided: the answer to its write, then to the reads that waited behind it.
//!
//! It changes no state. Invariant: a client gets its answers in the order of its requests; a read that waited sees the
//! state at exactly the zxid of what it waited for.

use super::conns::Lookup;
use super::core::{Core, Wakers};
use super::meter::Run;
use crate::net::client::{Conn, Held, Lane, Ready, Refused, Service as _, Tally, Turn, answer};
use crate::replica::Origin;
use crate::state::{Applied, Caller, Machine, TreeView as _, Watches};
use crate::types::{Millis, SessionId};
use crate::wire::{parse, reply};
use jute::ErrorCode;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// What is left to do once the locks of a batch are gone.
#[derive(Default)]
pub(super) struct After {
    pub(super) wakers: Wakers,
    /// Sessions that are over.
    pub(super) gone: Vec<SessionId>,
    /// Requests of clients that are done.
    pub(super) done: usize,
    /// The wall clock when the batch began, against the time that stands in each transaction.
    pub(super) began: i64,
    pub(super) propagation: Run,
}

/// The state as it is behind the transaction at hand, and who may be told of it.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) core: &'a Core,
    pub(super) machine: &'a Machine,
    pub(super) watches: &'a Watches,
    pub(super) conns: &'a Lookup<'a>,
}

impl Scene<'_> {
    /// Answers a sync with what it asked, then the reads that waited behind it.
    pub(super) fn synced(&self, origin: Origin, after: &mut After) {
        after.done += 1;
        let Some(conn) = self.conns.by_id(origin.conn) else { return };
        let mut lane = conn.lane.lock();
        let (sync, freed) = match lane.complete_sync(origin.xid) {
            Turn::Now(sync, freed) => (sync, freed),
            Turn::TooEarly => return self.out_of_order(conn, origin.xid, after),
            Turn::Gone => return,
        };
        self.release(conn, &mut lane, freed, after, |out, zxid, now| {
            self.run_held(conn, &sync, zxid, now, out)
        });
    }

    /// An answer came before another one that the client expects first. No leader does that; rather than to keep the
    /// client waiting for ever, the connection is closed: it comes back and asks again.
    fn out_of_order(&self, conn: &Conn, xid: i32, after: &mut After) {
        tracing::error!(
            "The answer to request {xid} of {} came before its turn: closing the connection",
            conn.remote
        );
        after.wakers.extend(conn.outbox.close_now());
    }

    /// Answers a write that was never ordered, then the reads that waited behind it; with `closes` the connection ends
    /// there.
    pub(super) fn turn_down(&self, origin: Origin, code: ErrorCode, closes: bool, after: &mut After) {
        after.done += 1;
        let Some(conn) = self.conns.by_id(origin.conn) else { return };
        let mut lane = conn.lane.lock();
        let Turn::Now(refused, freed) = lane.refuse(origin.xid, code, closes) else { return };
        self.release(conn, &mut lane, freed, after, |out, zxid, _| {
            self.answer_refused(conn, refused, zxid, out)
        });
    }

    /// True if the connection must be closed behind the answer.
    fn answer_refused(&self, conn: &Conn, refused: Refused, zxid: i64, out: &mut Vec<u8>) -> bool {
        self.core.gate.give_large(refused.large);
        let before = out.len();
        reply::bare(out, refused.xid, zxid, refused.code);
        conn.stats.sent.fetch_add(1, Relaxed);
        self.core.counters.replied(out.len().saturating_sub(before) as u64);
        refused.closes
    }

    /// Answers the write, then the reads that waited behind it.
    pub(super) fn reply(&self, conn: &Arc<Conn>, xid: i32, applied: &Applied<'_>, after: &mut After) {
        let mut lane = conn.lane.lock();
        let (waiting, freed) = match lane.complete(xid) {
            Turn::Now(waiting, freed) => (waiting, freed),
            Turn::TooEarly => return self.out_of_order(conn, xid, after),
            Turn::Gone => return,
        };
        self.core.gate.give_large(waiting.large);
        self.release(conn, &mut lane, freed, after, |out, zxid, now| {
            // Whoever else has the session now must not see it answered here (`FinalRequestProcessor`).
            if applied.outcome.header_error() == ErrorCode::SessionMoved {
                return true;
            }
            let before = out.len();
            reply::outcome(out, xid, zxid, &applied.outcome);
            let bytes = out.len().saturating_sub(before) as u64;
            conn.stats.replied(waiting.op, xid, zxid, waiting.since, now.0, 1);
            self.core.counters.replied(bytes);
            self.core.counters.updated(now.0.saturating_sub(waiting.since));
            false
        });
    }

    /// The front of a lane is done: `head` puts its answer down, and the reads behind it are run. True from
    /// either closes the connection behind its answer.
    fn release(
        &self,
        conn: &Arc<Conn>,
        lane: &mut Lane,
        mut freed: usize,
        after: &mut After,
        head: impl FnOnce(&mut Vec<u8>, i64, Millis) -> bool,
    ) {
        let now = self.core.clock.mono();
        let zxid = self.machine.last_zxid().0;
        let (closes, waker) = conn.outbox.put(|out| {
            if head(out, zxid, now) {
                return true;
            }
            while let Some((ready, bytes)) = lane.next_ready() {
                freed += bytes;
                let closes = match ready {
                    Ready::Held(held) => {
                        after.done += 1;
                        self.run_held(conn, &held, zxid, now, out)
                    }
                    Ready::Refused(refused) => self.answer_refused(conn, refused, zxid, out),
                };
                if closes {
                    return true;
                }
                // Beyond this the connection is cut off: no use in answering the rest.
                if out.len() > conn.outbox.backlog().budget().per_client() {
                    break;
                }
            }
            false
        });
        after.wakers.extend(waker);
        if closes {
            let dropped = lane.close();
            freed += dropped.bytes;
            after.done += dropped.held;
            self.core.gate.give_large(dropped.large);
            after.wakers.extend(conn.outbox.close_when_flushed());
        }
        conn.outbox.backlog().sub(freed);
    }

    /// Runs a request that waited; true if the connection must be closed behind its answer.
    fn run_held(&self, conn: &Arc<Conn>, held: &Held, zxid: i64, now: Millis, out: &mut Vec<u8>) -> bool {
        self.core.gate.give_large(held.large);
        let Ok(envelope) = parse(&held.frame) else { return false };
        let before = out.len();
        if held.throttled {
            reply::bare(out, held.xid, zxid, ErrorCode::ThrottledOp);
            conn.stats.replied(envelope.op, held.xid, zxid, held.since, now.0, 1);
            self.core.counters.replied(out.len().saturating_sub(before) as u64);
            return false;
        }
        let caller = Caller {
            session: conn.session(),
            ids: &held.ids,
            watcher: conn.watcher,
            rules: &self.core.rules,
        };
        let closes = answer(self.machine, self.watches, &caller, &envelope, out);
        let mut tally = Tally::default();
        let frames = out.get(before..).unwrap_or_default();
        tally.add(&envelope, frames, |n, reads| self.core.read_namespace(n, reads));
        tally.finish(|n, reads| self.core.read_namespace(n, reads));
        conn.stats.replied(envelope.op, envelope.xid, zxid, held.since, now.0, 1);
        conn.stats.sent.fetch_add(tally.events, Relaxed);
        self.core.answered(Millis(held.since), now, &tally);
        closes
    }
}
