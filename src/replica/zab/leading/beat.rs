//! The leader's clock: pings, ticks, and everything that ends because nothing was heard for too long.
//!
//! Invariant: a leader that no quorum answers, or whose own disk does not take what is proposed, gives up, so that
//! others can lead.

use super::agreement::Step;
use super::{Leading, Reign};
use crate::replica::io::{Effect, Input};
use crate::replica::zab::member::{Ctx, Flow};
use crate::state::TreeView;
use crate::types::{Millis, Zxid};

/// When what is due.
#[derive(Debug)]
pub(super) struct Beat {
    begun: Millis,
    next_half: Millis,
    halves: i64,
    /// Each agreement before the service has its own.
    step_ends: Option<Millis>,
    /// The disk has not got further than this since then.
    stalled: Option<(Zxid, Millis)>,
    /// This server did not run for a while. Touches that came meanwhile wait in the sockets; until they are read,
    /// nobody's silence is proved.
    no_expiry_before: Millis,
}

impl Beat {
    pub(super) fn new<T: TreeView>(ctx: &Ctx<'_, T>) -> Self {
        Self {
            begun: ctx.now.mono,
            next_half: ctx.after(half(ctx)),
            halves: 0,
            step_ends: Some(ctx.after(ctx.me.ticks(ctx.me.ensemble.init_limit))),
            stalled: None,
            no_expiry_before: ctx.now.mono,
        }
    }

    /// When this server began to lead.
    pub(super) fn begun(&self) -> Millis {
        self.begun
    }

    /// Ticks of service.
    pub(super) fn tick(&self) -> i64 {
        self.halves / 2
    }

    /// Before this nobody's silence is proved.
    pub(super) fn no_expiry_before(&self) -> Millis {
        self.no_expiry_before
    }

    pub(super) fn next(&self) -> Millis {
        self.step_ends.map_or(self.next_half, |end| end.min(self.next_half))
    }

    /// One agreement is reached, the next begins.
    pub(super) fn next_step<T: TreeView>(&mut self, ctx: &Ctx<'_, T>) {
        self.step_ends = Some(ctx.after(ctx.me.ticks(ctx.me.ensemble.init_limit)));
    }

    pub(super) fn start_of_service<T: TreeView>(&mut self, ctx: &Ctx<'_, T>) {
        self.step_ends = None;
        self.next_half = ctx.after(half(ctx));
    }

    /// Is a half tick over? After a pause there is one, not many.
    fn take_half<T: TreeView>(&mut self, ctx: &Ctx<'_, T>) -> bool {
        let late = ctx.now.mono.0.saturating_sub(self.next_half.0);
        if late < 0 {
            return false;
        }
        let span = half(ctx).0;
        if late >= ctx.me.settings.tick.0 {
            self.no_expiry_before = ctx.after(ctx.me.settings.tick);
            self.stalled = None;
        }
        self.next_half =
            if late < span { Millis(self.next_half.0.saturating_add(span)) } else { ctx.after(half(ctx)) };
        true
    }

    /// Has the disk taken nothing for longer than a follower's would be waited for?
    fn is_stalled<T: TreeView>(&mut self, ctx: &Ctx<'_, T>) -> bool {
        let ledger = &ctx.me.ledger;
        if ledger.is_durable() {
            self.stalled = None;
            return false;
        }
        match self.stalled {
            Some((at, since)) if at == ledger.durable() => {
                ctx.now.mono.0.saturating_sub(since.0) > ctx.me.ticks(ctx.me.ensemble.sync_limit).0
            }
            _ => {
                self.stalled = Some((ledger.durable(), ctx.now.mono));
                false
            }
        }
    }
}

fn half<T>(ctx: &Ctx<'_, T>) -> Millis {
    Millis((ctx.me.settings.tick.0 / 2).max(1))
}

impl Leading {
    /// Time has passed.
    pub(super) fn tick<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>) -> Flow {
        if self.beat.step_ends.is_some_and(|end| ctx.now.mono >= end) {
            let what = match self.agreement.step {
                Step::Opening => "the port for learners did not open",
                Step::Gathering | Step::Promising => "no quorum said which epochs it has promised",
                Step::Asking | Step::Adopting => "no quorum promised the epoch",
                Step::Syncing | Step::Serving => "no quorum adopted the history",
            };
            return Flow::Leave(format!("{what} in time (initLimit)"));
        }
        if self.beat.take_half(ctx) {
            let flow = self.half_tick(ctx);
            if flow != Flow::Stay {
                return flow;
            }
        }
        if ctx.now.mono >= self.beat.no_expiry_before {
            self.expire(ctx);
        }
        self.hand_over(ctx)
    }

    fn half_tick<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>) -> Flow {
        self.ping_all(ctx);
        if self.reign.is_none() {
            return Flow::Stay;
        }
        self.beat.halves += 1;
        if self.beat.halves % 2 != 0 {
            return Flow::Stay;
        }
        let mut set = self.learners.heard_servers(self.beat.tick());
        set.insert(ctx.me.id);
        let leaving = self.reign.as_ref().is_some_and(|r| r.handover.is_some());
        if !leaving && !ctx.me.views.is_quorum(&set) {
            return Flow::Leave(format!("no quorum is heard of any more, only {set:?}"));
        }
        let alone = ctx.me.views.is_quorum(&[ctx.me.id].into());
        if self.beat.is_stalled(ctx) && !alone {
            return Flow::Leave(
                "the log's disk takes too long (syncLimit); another server may lead".to_owned(),
            );
        }
        Flow::Stay
    }

    fn ping_all<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>) {
        let Some(epoch) = self.agreement.epoch() else { return };
        let last = self.reign.as_ref().map_or(Zxid::new(epoch, 0), |r| r.order.last());
        let since = Millis(ctx.now.mono.0.saturating_sub(ctx.me.ticks(ctx.me.ensemble.sync_limit).0));
        let all: Vec<_> = self.learners.iter().map(|(link, l)| (link, l.is_late(since))).collect();
        for (link, late) in all {
            if late {
                self.refuse(ctx, link, "it acknowledged a proposal too late (syncLimit)");
            } else {
                self.learners.ping(link, last, ctx.out);
            }
        }
        if let Some(reign) = &mut self.reign {
            reign.syncs.pinged(&self.learners);
        }
    }

    /// Sessions that were silent for too long end.
    fn expire<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>) {
        let Some(Reign { authority, local, handover: None, .. }) = self.reign.as_deref_mut() else { return };
        for (session, _) in local.take_expired(ctx.now.mono) {
            ctx.emit(Effect::ClosedLocal { origin: None, session });
        }
        for (session, timeout) in authority.sessions.take_expired(ctx.now.mono) {
            ctx.emit(Effect::Closing(session, Some(timeout)));
            self.close_session(ctx, session, 0, None);
        }
    }

    /// What only clients, their sessions and the reaper say.
    pub(super) fn client<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, input: Input<'_>) -> Flow {
        if self.reign.as_ref().is_none_or(|r| r.handover.is_some()) {
            return Flow::Stay;
        }
        match input {
            Input::Write(write) => self.write(ctx, &write),
            Input::Sync { origin, .. } => self.sync(ctx, super::rounds::Asker::Client(origin)),
            Input::OpenSession { conn, timeout } => self.open_session(ctx, conn, timeout),
            Input::CloseSession { origin, session } => self.end_session(ctx, origin, session),
            Input::ResumeSession { conn, session, timeout } => {
                self.resume_session(ctx, conn, session, timeout)
            }
            Input::Touch(heard) => self.touch(heard),
            Input::Reap(path) => self.reap(ctx, path),
            _ => {}
        }
        Flow::Stay
    }
}
