//! What the brain decided, done: each effect in its order, under the brain's lock, so nothing here waits.
//!
//! Effects on the tree are queued for the apply loop, those on the disk for the disk thread, those on other servers
//! for their sockets; what speaks to a client goes into its outbox.

use super::core::{Core, Ordered, Wakers, wake};
use super::meter::Meter;
use super::standing::Standing;
use super::throttle::also;
use crate::replica::{Effect, Effects, Level, Stage};
use crate::state::Machine;
use crate::state::quota::Overrun;
use crate::types::{LinkId, Now, Zxid};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// What a member of an ensemble does beside its log and its clients: sockets between servers, files of the
/// configuration, histories that are cut or replaced. Called under the brain's lock or by the apply loop: it must not
/// wait.
pub trait Peers: Send + Sync + 'static {
    /// Does it, or sees to it that it is done.
    fn perform(&self, errand: Effect);

    /// The tree that came from a leader is whole: it goes to disk and takes the place of the one in use, and
    /// [`Input::Installed`](crate::replica::Input::Installed) follows.
    fn install(&self, link: LinkId, last: Zxid, machine: Machine);

    /// The brain wants to be woken at this time, earlier than it said before.
    fn rearm(&self);
}

/// A server by itself has none.
impl Peers for () {
    fn perform(&self, _: Effect) {}
    fn install(&self, _: LinkId, _: Zxid, _: Machine) {}
    fn rearm(&self) {}
}

/// What performing has left for when the brain is free again.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) wakers: Wakers,
    /// What there is for the apply loop.
    pub(super) to_apply: usize,
    /// Requests that were given up.
    pub(super) given_up: usize,
}

impl Core {
    /// Performs effects in their order. `handed` counts the requests of clients that the brain has and did not
    /// answer yet.
    pub(super) fn perform(
        &self,
        effects: &mut Effects,
        now: Now,
        meter: &mut Meter,
        handed: &mut usize,
        outcome: &mut Outcome,
    ) {
        for effect in effects.drain(..) {
            meter.effect(&effect, now, &self.counters);
            if let Some(ordered) = self.perform_one(effect, handed, outcome) {
                self.commits.lock().push_back(ordered);
                outcome.to_apply += 1;
            }
        }
        meter.pour(&self.counters);
    }

    fn perform_one(&self, effect: Effect, handed: &mut usize, outcome: &mut Outcome) -> Option<Ordered> {
        let answered = matches!(
            &effect,
            Effect::Synced(_)
                | Effect::Refuse(..)
                | Effect::OpenedLocal { .. }
                | Effect::ClosedLocal { origin: Some(_), .. }
        ) || matches!(&effect, Effect::Commit(commit) if commit.origin.is_some());
        *handed = handed.saturating_sub(usize::from(answered));
        match effect {
            Effect::Append(entry) => {
                self.counters.prep_queued.fetch_add(1, Relaxed);
                self.counters.sync_queued.fetch_add(1, Relaxed);
                self.log.append(entry);
            }
            Effect::SaveEpoch(file, epoch) => self.log.save_epoch(file, epoch),
            Effect::Commit(commit) => return Some(Ordered::Commit(commit)),
            Effect::FastForward(entries) => return Some(Ordered::FastForward(entries)),
            Effect::Prepare(link, entry) => return Some(Ordered::Prepare(link, entry)),
            Effect::Install(link, last) => {
                self.candidates.lock().promised.insert(link);
                return Some(Ordered::Install(link, last));
            }
            Effect::ShowConfig(membership) => return Some(Ordered::ShowConfig(membership)),
            Effect::Synced(origin) => return Some(Ordered::Synced(origin)),
            Effect::Refuse(origin, code) => return Some(Ordered::Refused(origin, code)),
            Effect::ClosedLocal { origin, session } => return Some(Ordered::Closed(origin, session)),
            Effect::Resumed { conn, session, timeout } => {
                if let Some(conn) = self.conns.with(|l| l.by_id(conn).cloned()) {
                    self.resumed(&conn, session, timeout, &mut outcome.wakers);
                }
            }
            Effect::OpenedLocal { conn, session, timeout } => {
                outcome.given_up += 1;
                if let Some(conn) = self.conns.with(|l| l.by_id(conn).cloned()) {
                    self.attach(&conn, session, timeout, &mut outcome.wakers);
                }
            }
            Effect::OverQuota(overrun) => self.over_quota(&overrun),
            Effect::Closing(session, Some(timeout)) => {
                self.counters.stale_sessions_expired.fetch_add(1, Relaxed);
                tracing::info!("Expiring session {session}, timeout of {}ms exceeded", timeout.0);
            }
            Effect::Closing(_, None) | Effect::Deserted(_) => {}
            Effect::Say(Level::Info, text) => tracing::info!("{text}"),
            Effect::Say(Level::Warn, text) => tracing::warn!("{text}"),
            Effect::Become(stage) => {
                self.become_(stage, handed, outcome);
                self.peers.perform(Effect::Become(stage));
            }
            errand @ (Effect::Truncate(_)
            | Effect::Notify(..)
            | Effect::Connect { .. }
            | Effect::Send(..)
            | Effect::Stream(..)
            | Effect::AskHistory(..)
            | Effect::Patience(..)
            | Effect::Close(_)
            | Effect::Config(_)) => self.peers.perform(errand),
        }
        None
    }

    /// The server is something else now. Clients it no longer serves are closed; they find another server, or come
    /// back.
    fn become_(&self, stage: Stage, handed: &mut usize, outcome: &mut Outcome) {
        let (before, now) = (self.standing.get(), Standing::of(stage));
        self.is_leading.store(matches!(stage, Stage::Leading { .. }), Relaxed);
        if before == now {
            return;
        }
        self.standing.set(now);
        if before == Standing::Away {
            // They began to wait when nobody was served.
            self.serving_since.store(self.clock.mono().0, Relaxed);
            return;
        }
        // What the brain still had of them it has forgotten with its role.
        outcome.given_up += std::mem::take(handed);
        self.sessions.lock().clear();
        outcome.wakers.extend(self.conns.all().iter().filter_map(|conn| conn.outbox.close_now()));
    }

    /// Says so at most once a second: a client that keeps on writing must not fill the log.
    fn over_quota(&self, overrun: &Overrun) {
        if overrun.is_hard {
            let namespace = overrun.path.split('/').nth(1).unwrap_or_default();
            self.counters.quota_exceeded.with(namespace, |count| {
                count.fetch_add(1, Relaxed);
            });
        }
        if let Some(withheld) = self.hushes.quota.breaks(self.clock.mono()) {
            tracing::warn!("{overrun}{}", also(withheld));
        }
    }

    /// What performing has left, once no lock is held.
    pub(super) fn after(&self, outcome: Outcome) {
        let Outcome { wakers, to_apply, given_up } = outcome;
        self.gate.finish(given_up);
        wake(wakers);
        if to_apply > 0 {
            self.apply_ready();
        }
    }

    /// Puts another tree in, between two batches of the apply loop. Returns the old one, to be dropped at leisure.
    pub(super) fn replace_tree(self: &Arc<Self>, machine: Machine) -> Machine {
        let old = {
            let _applying = self.applying.lock();
            self.shared.replace(machine)
        };
        // Whoever had something to apply meanwhile left it to us.
        self.apply_ready();
        old
    }
}
