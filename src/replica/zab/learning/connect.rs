//! A learner on its way to its leader, or to a follower that takes observers: attempts, pauses and an end.
//!
//! Nothing is said yet. Invariant: one attempt at a time, a fixed number of them, all before one deadline.

use super::discovery::Discovery;
use super::{Next, Phase};
use crate::replica::io::{Effect, Input, LinkInput};
use crate::replica::zab::member::Ctx;
use crate::state::TreeView;
use crate::types::{LinkId, Millis, ServerId};

/// Attempts per server (`Learner.connectToLeader`).
const ATTEMPTS: usize = 5;

/// On its way.
#[derive(Debug)]
pub(super) struct Connecting {
    /// The leader, or all followers that may be asked, in the order they are tried.
    targets: Vec<ServerId>,
    observer_master: bool,
    /// Attempts so far.
    tried: usize,
    /// The attempt that is on its way.
    link: Option<LinkId>,
    /// When the next one is due.
    next: Option<Millis>,
    give_up: Millis,
}

impl Connecting {
    pub(super) fn begin<T: TreeView>(
        ctx: &mut Ctx<'_, T>,
        leader: ServerId,
        observer: bool,
        at_once: bool,
    ) -> Self {
        let mut targets = Vec::new();
        if observer && ctx.me.ensemble.observer_masters {
            let me = ctx.me.id;
            targets
                .extend(ctx.me.views.committed.voters().iter().copied().filter(|s| *s != leader && *s != me));
            shuffle(ctx, &mut targets);
        }
        // A leader that is alone takes its observers itself.
        let observer_master = !targets.is_empty();
        if !observer_master {
            targets.push(leader);
        }
        let limit = match ctx.me.ensemble.connect_limit {
            0 => ctx.me.ensemble.init_limit,
            limit => limit,
        };
        let pause = if observer { ctx.me.ensemble.observer_reconnect } else { Millis(0) };
        let pause = random(ctx, pause);
        let give_up = ctx.after(Millis(ctx.me.ticks(limit).0.saturating_add(pause.0)));
        let mut this = Self { targets, observer_master, tried: 0, link: None, next: None, give_up };
        if pause.0 > 0 {
            this.next = Some(ctx.after(pause));
        } else if at_once {
            this.attempt(ctx);
        }
        this
    }

    fn attempt<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>) {
        self.next = None;
        let Some(to) = self.target() else { return };
        let link = ctx.me.next_link();
        self.tried += 1;
        self.link = Some(link);
        ctx.emit(Effect::Connect { link, to, observer_master: self.observer_master });
    }

    /// Who is tried next: all of them, then all of them again.
    fn target(&self) -> Option<ServerId> {
        self.targets.get(self.tried.checked_rem(self.targets.len())?).copied()
    }

    pub(super) fn step<T: TreeView>(
        &mut self,
        ctx: &mut Ctx<'_, T>,
        input: Input<'_>,
        observer: bool,
    ) -> Next {
        match input {
            Input::Tick if ctx.now.mono >= self.give_up => Next::leave("no connection to the leader in time"),
            Input::Tick => {
                if self.next.is_some_and(|at| ctx.now.mono >= at) {
                    self.attempt(ctx);
                }
                Next::Stay
            }
            Input::Link(link, what) if Some(link) == self.link => match what {
                LinkInput::Connected => {
                    let last = self.tried.saturating_sub(1).checked_rem(self.targets.len());
                    let through = last.and_then(|n| self.targets.get(n)).filter(|_| self.observer_master);
                    let discovery = Discovery::begin(ctx, link, observer, through.copied());
                    Next::Phase(Phase::Discovering(discovery))
                }
                LinkInput::Lost => self.lost(ctx),
                _ => Next::Stay,
            },
            _ => Next::Stay,
        }
    }

    fn lost<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>) -> Next {
        self.link = None;
        let len = self.targets.len();
        if self.tried >= ATTEMPTS.saturating_mul(len) {
            return Next::leave("the leader could not be reached");
        }
        if self.tried.checked_rem(len) == Some(0) {
            self.next = Some(ctx.after(ctx.me.ensemble.connect_retry));
        } else {
            self.attempt(ctx);
        }
        Next::Stay
    }

    pub(super) fn deadline(&self) -> Option<Millis> {
        Some(self.next.map_or(self.give_up, |next| next.min(self.give_up)))
    }
}

/// A pause up to this long.
fn random<T: TreeView>(ctx: &mut Ctx<'_, T>, longest: Millis) -> Millis {
    let bound = u64::try_from(longest.0).unwrap_or(0);
    Millis(i64::try_from(ctx.me.random(bound)).unwrap_or(0))
}

/// Observers spread over the followers by chance.
fn shuffle<T: TreeView>(ctx: &mut Ctx<'_, T>, servers: &mut [ServerId]) {
    for n in (1..servers.len()).rev() {
        let bound = u64::try_from(n).unwrap_or(0).saturating_add(1);
        servers.swap(n, usize::try_from(ctx.me.random(bound)).unwrap_or(0));
    }
}
