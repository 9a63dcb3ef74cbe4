//! The one place where committed transactions change the state, and where everybody who waits is told.
//!
//! Replies and events are put down while the exclusive lock is held, so a client sees an event before any
//! data newer than it. Reads that waited behind a write run right after it, at exactly its zxid. Nobody is
//! woken before the lock is gone.

use super::conns::Lookup;
use super::core::{Core, Ordered, Wakers, wake};
use super::meter::Run;
use crate::net::client::{Conn, Held, Lane, Ready, Refused, Service as _, Tally, Turn, answer};
use crate::replica::{Commit, Input, Origin};
use crate::state::{Applied, Caller, Fired, Machine, TreeView as _, TxnError, Watches, Witness};
use crate::types::limits::APPLY_BATCH;
use crate::types::{Entry, LinkId, Millis, SessionId, Zxid};
use crate::wire::{parse, reply};
use jute::{ErrorCode, OpCode, codes::perms};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// What is left to do once the locks of a batch are gone.
#[derive(Default)]
struct After {
    wakers: Wakers,
    /// Sessions that are over.
    gone: Vec<SessionId>,
    /// Requests of clients that are done.
    done: usize,
    /// The wall clock when the batch began, against the time that stands in each transaction.
    began: i64,
    propagation: Run,
}

/// Tells connections of events, and counters of writes.
struct Ears<'a> {
    core: &'a Core,
    conns: &'a Lookup<'a>,
    wakers: &'a mut Wakers,
}

impl Witness for Ears<'_> {
    fn fired(&mut self, fired: &Fired<'_>) {
        self.core.tell(fired, self.conns, self.wakers);
    }

    fn wrote(&mut self, path: &str, data: usize) {
        self.core.counters.wrote(path, data);
    }
}

/// It was validated here, or by a leader, or came from the log: a server that cannot read it must not go on.
fn unreadable(zxid: Zxid, why: &TxnError) -> ! {
    tracing::error!("Cannot apply the transaction {zxid}: {why}; stopping");
    super::shutdown::abort()
}

impl Core {
    /// Applies everything that was committed, unless somebody is at it already; that one then sees it.
    pub(super) fn apply_ready(&self) {
        loop {
            let Some(applying) = self.applying.try_lock() else { return };
            loop {
                let batch: Vec<Ordered> = {
                    let mut commits = self.commits.lock();
                    let n = commits.len().min(APPLY_BATCH);
                    commits.drain(..n).collect()
                };
                if batch.is_empty() {
                    break;
                }
                self.apply_batch(&batch);
            }
            drop(applying);
            if self.commits.lock().is_empty() {
                return;
            }
        }
    }

    fn apply_batch(&self, batch: &[Ordered]) {
        let mut after = After { began: self.clock.now().wall, ..After::default() };
        self.conns.with(|conns| {
            self.shared.write(|machine| {
                let watches = self.shared.watches();
                for ordered in batch {
                    match ordered {
                        Ordered::Commit(commit) => {
                            self.apply_one(commit, machine, watches, conns, &mut after);
                        }
                        Ordered::Synced(origin) => self.synced(*origin, machine, watches, conns, &mut after),
                        Ordered::Refused(origin, code) => {
                            self.refuse(*origin, *code, machine, watches, conns, &mut after);
                        }
                        Ordered::Closed(origin, session) => {
                            self.closed_local(*origin, *session, machine, watches, conns, &mut after);
                        }
                        Ordered::FastForward(entries) => self.fast_forward(entries, machine, &mut after),
                        Ordered::Prepare(link, entry) => self.prepare(*link, entry),
                        Ordered::Install(link, last) => self.install(*link, *last),
                        Ordered::ShowConfig(membership) => {
                            let wall = self.clock.now().wall;
                            let text = membership.text();
                            machine.set_config(text.as_bytes(), membership.version, wall);
                            self.counters.wrote(crate::state::machine::CONFIG, text.len());
                        }
                    }
                }
            });
        });
        let After { wakers, gone, done, mut propagation, .. } = after;
        propagation.pour(&self.counters.propagation_latency);
        self.gate.finish(done);
        wake(wakers);
        let last = batch.iter().rev().find_map(|ordered| match ordered {
            Ordered::Commit(commit) => Some(commit.entry.get().zxid),
            Ordered::FastForward(entries) => entries.last().map(|entry| entry.zxid),
            _ => None,
        });
        if let Some(last) = last {
            self.applied(last, &gone);
        }
    }

    fn applied(&self, zxid: Zxid, gone: &[SessionId]) {
        self.drive(|step| step.input(Input::Applied(zxid, gone)));
    }

    fn apply_one(
        &self,
        commit: &Commit,
        machine: &mut Machine,
        watches: &Watches,
        conns: &Lookup<'_>,
        after: &mut After,
    ) {
        after.done += usize::from(commit.origin.is_some());
        let mut ears = Ears { core: self, conns, wakers: &mut after.wakers };
        let applied = match machine.apply(&commit.entry, watches, &mut ears) {
            Ok(applied) => applied,
            Err(e) => unreadable(commit.entry.get().zxid, &e),
        };
        after.propagation.add(after.began.saturating_sub(applied.time), &self.counters.propagation_latency);
        if !applied.digest_agrees {
            self.counters.digest_mismatches.fetch_add(1, Relaxed);
        }
        let origin = commit.origin.and_then(|o| Some((o, conns.by_id(o.conn)?)));
        if let Some((origin, conn)) = origin {
            match (applied.op, &applied.outcome) {
                (OpCode::CreateSession, _) => {
                    let timeout = applied.opened_session.map_or(Millis(0), |(_, timeout)| timeout);
                    let (since, now) = (conn.last_heard(), self.clock.mono());
                    conn.stats.measured(applied.op.code(), 0, applied.zxid, since.0, now.0, 1);
                    self.counters.updated(now.0.saturating_sub(since.0));
                    self.attach(conn, applied.session, timeout, &mut after.wakers);
                }
                _ => self.reply(conn, origin.xid, &applied, machine, watches, after),
            }
        }
        if let Some(session) = applied.closed_session {
            after.gone.push(session);
            let conn = self.sessions.lock().remove(&session);
            if let Some(conn) = conn {
                let own = commit.origin.is_some_and(|o| o.conn == conn.id);
                let outbox = &conn.outbox;
                after.wakers.extend(if own { outbox.close_when_flushed() } else { outbox.close_now() });
            }
        }
    }

    /// Brings the tree up to what was logged when a role ended. Nobody is connected to be told.
    fn fast_forward(&self, entries: &[Entry], machine: &mut Machine, after: &mut After) {
        for entry in entries {
            if entry.zxid <= machine.last_zxid() {
                continue;
            }
            match machine.replay(&entry.payload) {
                Ok(header) if header.op == OpCode::CloseSession.code() => {
                    after.gone.push(SessionId(header.client_id));
                }
                Ok(_) => {}
                Err(e) => unreadable(entry.zxid, &e),
            }
        }
    }

    /// A transaction for a tree that is not in place yet.
    fn prepare(&self, link: LinkId, entry: &Entry) {
        let mut candidates = self.candidates.lock();
        let Some(machine) = candidates.trees.get_mut(&link) else { return };
        // A fuzzy tree may know it already; replay tolerates that.
        if let Err(e) = machine.replay(&entry.payload) {
            unreadable(entry.zxid, &e);
        }
    }

    fn install(&self, link: LinkId, last: Zxid) {
        let machine = {
            let mut candidates = self.candidates.lock();
            candidates.promised.remove(&link);
            candidates.trees.remove(&link)
        };
        match machine {
            Some(machine) => self.peers.install(link, last, machine),
            None => tracing::error!("There is no tree to install from link {}", link.0),
        }
    }

    /// A session that only this server knew is over.
    fn closed_local(
        &self,
        origin: Option<Origin>,
        session: SessionId,
        machine: &Machine,
        watches: &Watches,
        conns: &Lookup<'_>,
        after: &mut After,
    ) {
        let known = self.sessions.lock().remove(&session);
        let Some(origin) = origin else {
            after.wakers.extend(known.and_then(|conn| conn.outbox.close_now()));
            return;
        };
        self.turn_down(origin, ErrorCode::Ok, true, machine, watches, conns, after);
    }

    /// Puts an event into the outbox of everybody who listens and may know.
    fn tell(&self, fired: &Fired<'_>, conns: &Lookup<'_>, wakers: &mut Wakers) {
        let mut frame = Vec::with_capacity(48 + fired.path.len());
        reply::event(&mut frame, fired.zxid, fired.kind, fired.path);
        self.counters.fired(fired.kind, fired.watchers.len());
        let open = self.rules.permits(fired.acl, perms::READ, &[]);
        for conn in fired.watchers.iter().filter_map(|w| conns.by_watcher(*w)) {
            if !open && !self.rules.permits(fired.acl, perms::READ, &conn.ids()) {
                continue;
            }
            wakers.extend(conn.outbox.put(|out| out.extend_from_slice(&frame)).1);
            conn.stats.sent.fetch_add(1, Relaxed);
            self.counters.notified(frame.len() as u64);
        }
    }

    /// Answers a sync with what it asked, then the reads that waited behind it.
    fn synced(
        &self,
        origin: Origin,
        machine: &Machine,
        watches: &Watches,
        conns: &Lookup<'_>,
        after: &mut After,
    ) {
        after.done += 1;
        let Some(conn) = conns.by_id(origin.conn) else { return };
        let mut lane = conn.lane.lock();
        let (sync, freed) = match lane.complete_sync(origin.xid) {
            Turn::Now(sync, freed) => (sync, freed),
            Turn::TooEarly => return self.out_of_order(conn, origin.xid, after),
            Turn::Gone => return,
        };
        self.release(conn, &mut lane, freed, machine, watches, after, |out, zxid, now| {
            self.run_held(conn, &sync, zxid, now, machine, watches, out)
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

    /// Answers a write that was never ordered, then the reads that waited behind it.
    fn refuse(
        &self,
        origin: Origin,
        code: ErrorCode,
        machine: &Machine,
        watches: &Watches,
        conns: &Lookup<'_>,
        after: &mut After,
    ) {
        self.turn_down(origin, code, false, machine, watches, conns, after);
    }

    /// The same; with `closes` the connection ends behind the answer.
    #[expect(clippy::too_many_arguments, reason = "a request with everything that its answer needs")]
    fn turn_down(
        &self,
        origin: Origin,
        code: ErrorCode,
        closes: bool,
        machine: &Machine,
        watches: &Watches,
        conns: &Lookup<'_>,
        after: &mut After,
    ) {
        after.done += 1;
        let Some(conn) = conns.by_id(origin.conn) else { return };
        let mut lane = conn.lane.lock();
        let Turn::Now(refused, freed) = lane.refuse(origin.xid, code, closes) else { return };
        self.release(conn, &mut lane, freed, machine, watches, after, |out, zxid, _| {
            self.answer_refused(conn, refused, zxid, out)
        });
    }

    /// True if the connection must be closed behind the answer.
    fn answer_refused(&self, conn: &Conn, refused: Refused, zxid: i64, out: &mut Vec<u8>) -> bool {
        self.gate.give_large(refused.large);
        let before = out.len();
        reply::bare(out, refused.xid, zxid, refused.code);
        conn.stats.sent.fetch_add(1, Relaxed);
        self.counters.replied(out.len().saturating_sub(before) as u64);
        refused.closes
    }

    /// Answers the write, then the reads that waited behind it.
    fn reply(
        &self,
        conn: &Arc<Conn>,
        xid: i32,
        applied: &Applied<'_>,
        machine: &Machine,
        watches: &Watches,
        after: &mut After,
    ) {
        let mut lane = conn.lane.lock();
        let (waiting, freed) = match lane.complete(xid) {
            Turn::Now(waiting, freed) => (waiting, freed),
            Turn::TooEarly => return self.out_of_order(conn, xid, after),
            Turn::Gone => return,
        };
        self.gate.give_large(waiting.large);
        self.release(conn, &mut lane, freed, machine, watches, after, |out, zxid, now| {
            // Whoever else has the session now must not see it answered here (`FinalRequestProcessor`).
            if applied.outcome.header_error() == ErrorCode::SessionMoved {
                return true;
            }
            let before = out.len();
            reply::outcome(out, xid, zxid, &applied.outcome);
            let bytes = out.len().saturating_sub(before) as u64;
            conn.stats.replied(waiting.op, xid, zxid, waiting.since, now.0, 1);
            self.counters.replied(bytes);
            self.counters.updated(now.0.saturating_sub(waiting.since));
            false
        });
    }

    /// The front of a lane is done: `head` puts its answer down, and the reads behind it are run. True from
    /// either closes the connection behind its answer.
    #[expect(clippy::too_many_arguments, reason = "one place for everything that ends a wait")]
    fn release(
        &self,
        conn: &Arc<Conn>,
        lane: &mut Lane,
        mut freed: usize,
        machine: &Machine,
        watches: &Watches,
        after: &mut After,
        head: impl FnOnce(&mut Vec<u8>, i64, Millis) -> bool,
    ) {
        let now = self.clock.mono();
        let zxid = machine.last_zxid().0;
        let (closes, waker) = conn.outbox.put(|out| {
            if head(out, zxid, now) {
                return true;
            }
            while let Some((ready, bytes)) = lane.next_ready() {
                freed += bytes;
                let closes = match ready {
                    Ready::Held(held) => {
                        after.done += 1;
                        self.run_held(conn, &held, zxid, now, machine, watches, out)
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
            self.gate.give_large(dropped.large);
            after.wakers.extend(conn.outbox.close_when_flushed());
        }
        conn.outbox.backlog().sub(freed);
    }

    /// Runs a request that waited; true if the connection must be closed behind its answer.
    #[expect(clippy::too_many_arguments, reason = "a request with everything it is judged by")]
    fn run_held(
        &self,
        conn: &Arc<Conn>,
        held: &Held,
        zxid: i64,
        now: Millis,
        machine: &Machine,
        watches: &Watches,
        out: &mut Vec<u8>,
    ) -> bool {
        self.gate.give_large(held.large);
        let Ok(envelope) = parse(&held.frame) else { return false };
        let before = out.len();
        if held.throttled {
            reply::bare(out, held.xid, zxid, ErrorCode::ThrottledOp);
            conn.stats.replied(envelope.op, held.xid, zxid, held.since, now.0, 1);
            self.counters.replied(out.len().saturating_sub(before) as u64);
            return false;
        }
        let caller =
            Caller { session: conn.session(), ids: &held.ids, watcher: conn.watcher, rules: &self.rules };
        let closes = answer(machine, watches, &caller, &envelope, out);
        let mut tally = Tally::default();
        let frames = out.get(before..).unwrap_or_default();
        tally.add(&envelope, frames, |n, reads| self.read_namespace(n, reads));
        tally.finish(|n, reads| self.read_namespace(n, reads));
        conn.stats.replied(envelope.op, envelope.xid, zxid, held.since, now.0, 1);
        conn.stats.sent.fetch_add(tally.events, Relaxed);
        self.answered(Millis(held.since), now, &tally);
        closes
    }
}
