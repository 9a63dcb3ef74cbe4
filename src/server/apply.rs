//! The one place where committed transactions change the state, and where everybody who waits is told.
//!
//! Replies and events are put down while the exclusive lock is held, so a client sees an event before any
//! data newer than it. Reads that waited behind a write run right after it, at exactly its zxid. Nobody is
//! woken before the lock is gone.

use super::answers::{After, Scene};
use super::conns::Lookup;
use super::core::{Core, Ordered, Wakers, wake};
use super::throttle::also;
use crate::replica::{Commit, Input, Origin};
use crate::state::{Fired, Machine, TreeView as _, TxnError, Witness};
use crate::types::limits::APPLY_BATCH;
use crate::types::{Entry, LinkId, Millis, SessionId, Zxid};
use crate::wire::reply;
use jute::{ErrorCode, OpCode, codes::perms};
use std::sync::atomic::Ordering::Relaxed;

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
                for ordered in batch {
                    match ordered {
                        Ordered::Commit(commit) => {
                            self.apply_one(commit, machine, conns, &mut after);
                        }
                        Ordered::Synced(origin) => self.scene(machine, conns).synced(*origin, &mut after),
                        Ordered::Refused(origin, code) => {
                            self.scene(machine, conns).turn_down(*origin, *code, false, &mut after);
                        }
                        Ordered::Closed(origin, session) => {
                            self.closed_local(*origin, *session, &self.scene(machine, conns), &mut after);
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
        self.lookout.lock().answered(match batch {
            [Ordered::Commit(commit)] => commit.origin.map(|origin| origin.conn),
            _ => None,
        });
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

    fn scene<'a>(&'a self, machine: &'a Machine, conns: &'a Lookup<'a>) -> Scene<'a> {
        Scene { core: self, machine, watches: self.shared.watches(), conns }
    }

    fn applied(&self, zxid: Zxid, gone: &[SessionId]) {
        self.drive(|step| step.input(Input::Applied(zxid, gone)));
    }

    fn apply_one(&self, commit: &Commit, machine: &mut Machine, conns: &Lookup<'_>, after: &mut After) {
        after.done += usize::from(commit.origin.is_some());
        let mut ears = Ears { core: self, conns, wakers: &mut after.wakers };
        let applied = match machine.apply(&commit.entry, self.shared.watches(), &mut ears) {
            Ok(applied) => applied,
            Err(e) => unreadable(commit.entry.get().zxid, &e),
        };
        after.propagation.add(after.began.saturating_sub(applied.time), &self.counters.propagation_latency);
        if !applied.digest_agrees {
            self.counters.digest_mismatches.fetch_add(1, Relaxed);
            if let Some(withheld) = self.hushes.digest.breaks(self.clock.mono()) {
                let (zxid, also) = (commit.entry.get().zxid, also(withheld));
                tracing::error!(
                    "Digests are not matching. Value is Zxid: {zxid}; this tree is not the leader's{also}"
                );
            }
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
                _ => self.scene(machine, conns).reply(conn, origin.xid, &applied, after),
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
        // With digests a snapshot says how far its nodes go; without, nobody could tell that a cut has to take it along.
        if machine.digest().is_none() {
            self.log.disturb();
        }
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
    fn closed_local(&self, origin: Option<Origin>, session: SessionId, scene: &Scene<'_>, after: &mut After) {
        let known = self.sessions.lock().remove(&session);
        let Some(origin) = origin else {
            after.wakers.extend(known.and_then(|conn| conn.outbox.close_now()));
            return;
        };
        scene.turn_down(origin, ErrorCode::Ok, true, after);
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
}
