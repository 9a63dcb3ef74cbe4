//! A member without a leader: first everything that was logged becomes durable and visible in the tree, then it
//! votes.
//!
//! Invariant: no vote names a transaction that is not on disk here, and no election begins over a tree that lacks
//! a logged transaction.

use super::election::Election;
use super::member::{Ctx, Flow};
use super::packet::{Notification, Vote};
use crate::config::ensemble::Role;
use crate::replica::io::{Effect, Input, LinkInput, Stage};
use crate::replica::{PeerStatus, Status};
use crate::state::TreeView;
use crate::types::{Millis, Now, ServerId, Zxid};
use std::collections::BTreeMap;

/// Shortest time without a leader before reads are served, in milliseconds (QuorumPeer.run).
const READ_ONLY_PATIENCE: i64 = 2000;

/// A member that looks for a leader.
#[derive(Debug)]
pub struct Looking {
    /// The tree has to show this before anything else: the end of the log.
    until: Zxid,
    /// Who leads from here on, where a membership has said so.
    known: Option<Vote>,
    /// The leader whose loss led here.
    lost: Option<ServerId>,
    /// An observer waits a little before it asks again.
    not_before: Option<Millis>,
    election: Option<Election>,
    /// What came before the election could begin: the last vote of each voter, so it cannot outgrow the ensemble.
    early: BTreeMap<ServerId, Notification>,
    read_only: ReadOnly,
}

/// Reads without a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReadOnly {
    /// Not wanted, or the time has not begun.
    Off,
    /// Served from then on.
    At(Millis),
    /// Served.
    On,
}

impl Looking {
    /// After the start of the process.
    #[must_use]
    pub fn at_start(now: Now) -> Self {
        Self {
            until: Zxid(i64::MIN),
            known: None,
            lost: None,
            not_before: Some(now.mono),
            election: None,
            early: BTreeMap::new(),
            read_only: ReadOnly::Off,
        }
    }

    /// After a role.
    pub fn after_role<T: TreeView>(ctx: &mut Ctx<'_, T>, known: Option<Vote>) -> Self {
        let observes = ctx.me.role() == Role::Observer;
        let pause = ctx.me.ensemble.observer_election.0;
        let not_before = (observes && known.is_none() && pause > 0).then(|| {
            let pause = ctx.me.random(pause.unsigned_abs());
            ctx.after(Millis(i64::try_from(pause).unwrap_or(0)))
        });
        // Still the vote that won: the leader that was followed.
        let lost = Some(ctx.me.vote.leader).filter(|l| *l != ctx.me.id);
        let until = ctx.me.ledger.last_logged();
        Self { until, known, lost, not_before, ..Self::at_start(ctx.now) }
    }

    /// Goes on as soon as it may.
    pub fn resume<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>) -> Flow {
        if ctx.me.ensemble.read_only_mode && self.read_only == ReadOnly::Off {
            let patience = Millis(ctx.me.settings.tick.0.max(READ_ONLY_PATIENCE));
            self.read_only = ReadOnly::At(ctx.after(patience));
        }
        // Once the pause is over, what is still missing reports itself: there is nothing more to be woken for.
        self.not_before = self.not_before.filter(|at| ctx.now.mono < *at);
        let settled = ctx.me.ledger.is_durable() && ctx.me.applied >= self.until;
        if !settled || self.election.is_some() || self.not_before.is_some() {
            return Flow::Stay;
        }
        if let Some(vote) = self.known.take() {
            return Flow::Elected { vote, round: ctx.me.round };
        }
        let (mut election, mut flow) = Election::begin(ctx, self.lost);
        for (from, notification) in std::mem::take(&mut self.early) {
            if flow == Flow::Stay {
                flow = election.heard(ctx, from, &notification);
            }
        }
        self.election = Some(election);
        flow
    }

    /// One input.
    pub fn step<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, input: Input<'_>) -> Flow {
        let flow = match (&mut self.election, input) {
            (Some(election), Input::Vote(from, notification)) => election.heard(ctx, from, &notification),
            (None, Input::Vote(from, notification)) => {
                if ctx.me.views.is_voter(from) && from != ctx.me.id {
                    self.early.insert(from, notification);
                }
                Flow::Stay
            }
            (_, Input::Tick) => {
                if let ReadOnly::At(at) = self.read_only
                    && ctx.now.mono >= at
                {
                    self.read_only = ReadOnly::On;
                    ctx.emit(Effect::Become(Stage::ReadOnly));
                }
                match &mut self.election {
                    Some(election) => election.tick(ctx),
                    None => self.resume(ctx),
                }
            }
            // The role had asked for it before it ended: the history is another one now, so the vote is, too.
            (_, Input::Truncated(last)) => {
                ctx.me.cut(last);
                self.anew(ctx)
            }
            (_, Input::Installed(_, last)) => {
                ctx.me.ledger.replace(last);
                self.anew(ctx)
            }
            (None, Input::Flushed(_) | Input::Applied(..)) => self.resume(ctx),
            // A learner that came while the role before ended: it is to look for the next one, and not to wait here.
            (_, Input::Link(link, LinkInput::Accepted | LinkInput::AcceptedObserver)) => {
                ctx.emit(Effect::Close(link));
                Flow::Stay
            }
            // Nobody is served: clients are refused before they come here, and what comes from links is late.
            _ => Flow::Stay,
        };
        if flow != Flow::Stay && self.read_only == ReadOnly::On {
            // Whoever reads without a leader is let go before there is one.
            ctx.emit(Effect::Become(Stage::Looking));
        }
        flow
    }

    fn anew<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>) -> Flow {
        self.until = ctx.me.ledger.last_logged();
        self.election = None;
        self.resume(ctx)
    }

    /// When time matters next.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        let next = match &self.election {
            Some(election) => election.deadline(),
            None => self.not_before,
        };
        let read_only = match self.read_only {
            ReadOnly::At(at) => Some(at),
            ReadOnly::Off | ReadOnly::On => None,
        };
        next.into_iter().chain(read_only).min()
    }

    /// Figures.
    #[must_use]
    pub fn status(&self) -> Status {
        let peer = PeerStatus { state: "looking".to_owned(), ..PeerStatus::default() };
        Status { peer: Some(peer), ..Status::default() }
    }
}
