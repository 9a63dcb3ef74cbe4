//! A member without a leader: first everything that was logged becomes durable and visible in the tree, then it
//! votes.
//!
//! Invariant: no vote names a transaction that is not on disk here, and no election begins over a tree that lacks
//! a logged transaction.

use super::election::Election;
use super::member::{Ctx, Flow};
use super::packet::Vote;
use crate::replica::io::{Effect, Input, Stage};
use crate::replica::{PeerStatus, Status};
use crate::state::TreeView;
use crate::types::{Millis, Now, Zxid};

/// A member that looks for a leader.
#[derive(Debug)]
pub struct Looking {
    /// The tree has to show this before anything else: the end of the log.
    until: Zxid,
    /// Who leads from here on, where a membership has said so.
    known: Option<Vote>,
    /// An observer waits a little before it asks again.
    not_before: Option<Millis>,
    election: Option<Election>,
    /// From when on reads are served without a leader.
    read_only_at: Option<Millis>,
}

impl Looking {
    /// After the start of the process.
    #[must_use]
    pub fn at_start(now: Now) -> Self {
        Self {
            until: Zxid(i64::MIN),
            known: None,
            not_before: Some(now.mono),
            election: None,
            read_only_at: None,
        }
    }

    /// After a role.
    pub fn after_role<T: TreeView>(ctx: &mut Ctx<'_, T>, known: Option<Vote>) -> Self {
        let observes = ctx.me.role() == crate::config::ensemble::Role::Observer;
        let pause = ctx.me.ensemble.observer_election.0;
        let not_before = (observes && known.is_none() && pause > 0).then(|| {
            let pause = ctx.me.random(pause.unsigned_abs());
            ctx.after(Millis(i64::try_from(pause).unwrap_or(0)))
        });
        Self { until: ctx.me.ledger.last_logged(), known, not_before, election: None, read_only_at: None }
    }

    /// Goes on as soon as it may.
    pub fn resume<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>) -> Flow {
        let settled = ctx.me.ledger.is_durable() && ctx.me.applied >= self.until;
        if !settled || self.election.is_some() || self.not_before.is_some_and(|at| ctx.now.mono < at) {
            return Flow::Stay;
        }
        if ctx.me.ensemble.read_only_mode {
            let patience = Millis(ctx.me.settings.tick.0.max(2000));
            self.read_only_at = Some(ctx.after(patience));
        }
        if let Some(vote) = self.known.take() {
            return Flow::Elected { vote, round: ctx.me.round };
        }
        let (election, flow) = Election::begin(ctx);
        self.election = Some(election);
        flow
    }

    /// One input.
    pub fn step<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, input: Input<'_>) -> Flow {
        match (&mut self.election, input) {
            (Some(election), Input::Vote(from, notification)) => election.heard(ctx, from, &notification),
            (None, Input::Vote(from, notification)) => {
                super::election::answer(ctx, from, &notification);
                Flow::Stay
            }
            (_, Input::Tick) => {
                if self.read_only_at.is_some_and(|at| ctx.now.mono >= at) {
                    self.read_only_at = None;
                    ctx.emit(Effect::Become(Stage::ReadOnly));
                }
                match &mut self.election {
                    Some(election) => election.tick(ctx),
                    None => self.resume(ctx),
                }
            }
            (None, Input::Flushed(_) | Input::Applied(..)) => self.resume(ctx),
            // Nobody is served: clients are refused before they come here, and what comes from links is late.
            _ => Flow::Stay,
        }
    }

    /// When time matters next.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        let next = match &self.election {
            Some(election) => election.deadline(),
            None => self.not_before,
        };
        next.into_iter().chain(self.read_only_at).min()
    }

    /// Figures.
    #[must_use]
    pub fn status(&self) -> Status {
        let peer = PeerStatus { state: "looking".to_owned(), ..PeerStatus::default() };
        Status { peer: Some(peer), ..Status::default() }
    }
}
