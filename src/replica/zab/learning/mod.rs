//! A follower or an observer: promises the leader's epoch, takes its history, then what it proposes and commits.
//!
//! Each phase has a file: `connect`, `discovery`, `sync`, `live`. Invariant: a phase is left only forwards;
//! whatever ends the connection to the leader ends the role, and the role does not end while the disk replaces
//! the history, so nobody votes for a history that is about to be another one.

mod clients;
mod connect;
mod discovery;
mod live;
mod master;
mod sync;
mod txn;

#[cfg(test)]
mod tests;

use super::member::{Ctx, Flow, Member};
use crate::config::ensemble::Role;
use crate::replica::io::{Effect, Input, LinkInput, Stage};
use crate::replica::session::LocalSessions;
use crate::replica::{PeerStatus, Status};
use crate::state::TreeView;
use crate::types::{LinkId, Millis, ServerId};
use connect::Connecting;
use discovery::Discovery;
use jute::ErrorCode;
use live::Live;
use sync::Syncing;

/// A follower or an observer.
#[derive(Debug)]
pub struct Learning {
    observer: bool,
    /// The follower that is followed in the leader's place.
    through: Option<ServerId>,
    phase: Phase,
    /// How the role ends as soon as the disk has done what it was asked for.
    ending: Option<Flow>,
}

#[derive(Debug)]
enum Phase {
    Connecting(Connecting),
    Discovering(Discovery),
    Syncing(Box<Syncing>),
    Live(Box<Live>),
}

/// What follows from an input, for the role.
#[derive(Debug)]
enum Next {
    Stay,
    Phase(Phase),
    Over(Flow),
}

impl Next {
    fn leave(why: impl Into<String>) -> Self {
        Self::Over(Flow::Leave(why.into()))
    }
}

impl From<Flow> for Next {
    fn from(flow: Flow) -> Self {
        match flow {
            Flow::Stay => Self::Stay,
            over => Self::Over(over),
        }
    }
}

impl Learning {
    /// The election named this leader.
    pub fn begin<T: TreeView>(ctx: &mut Ctx<'_, T>, leader: ServerId) -> Self {
        let observer = ctx.me.role() == Role::Observer;
        ctx.emit(Effect::Become(stage(observer, false)));
        // A membership that was learned from votes may have made a voter of it.
        let ending =
            return_to_disk(ctx).then(|| Flow::Leave("the tree goes back to what is on disk".to_owned()));
        let connecting = Connecting::begin(ctx, leader, observer, ending.is_none());
        Self { observer, through: None, phase: Phase::Connecting(connecting), ending }
    }

    /// Is it an observer?
    #[must_use]
    pub fn observes(&self) -> bool {
        self.observer
    }

    /// One input.
    pub fn step<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, input: Input<'_>) -> Flow {
        self.settle(ctx, &input);
        if self.ending.is_some() {
            return self.end(&input);
        }
        match self.react(ctx, input) {
            Next::Stay => Flow::Stay,
            Next::Phase(phase) => {
                if let Phase::Discovering(discovery) = &phase {
                    self.through = discovery.through();
                }
                self.phase = phase;
                Flow::Stay
            }
            Next::Over(flow) => self.over(ctx, flow),
        }
    }

    fn over<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, flow: Flow) -> Flow {
        match &self.phase {
            Phase::Syncing(syncing) if syncing.replaces_history() => {
                ctx.emit(Effect::Close(syncing.link()));
            }
            // A membership made a voter of an observer, or of one that looks for a leader next.
            _ if return_to_disk(ctx) => ctx.emit(Effect::Become(stage(self.observer, false))),
            _ => return flow,
        }
        self.ending = Some(flow);
        Flow::Stay
    }

    /// The history on disk is another one now, whether or not the role goes on.
    fn settle<T: TreeView>(&self, ctx: &mut Ctx<'_, T>, input: &Input<'_>) {
        match input {
            Input::Truncated(last) => ctx.me.cut(*last),
            Input::Installed(_, last) => {
                ctx.me.ledger.replace(*last);
                ctx.me.needs_snapshot = false;
            }
            _ => {}
        }
    }

    fn end(&mut self, input: &Input<'_>) -> Flow {
        match input {
            Input::Truncated(_) | Input::Installed(..) => self.ending.take().unwrap_or(Flow::Stay),
            _ => Flow::Stay,
        }
    }

    fn react<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, input: Input<'_>) -> Next {
        match (&mut self.phase, input) {
            (Phase::Live(live), input) => live.step(ctx, input),
            // It lets in nobody before it has what others want.
            (_, Input::Link(link, LinkInput::Accepted | LinkInput::AcceptedObserver)) => {
                ctx.emit(Effect::Close(link));
                Next::Stay
            }
            // Clients were let go when the role began. What one of them still had on its way was not ordered.
            (_, Input::Write(write)) => refuse(ctx, write.origin),
            (_, Input::Sync { origin, .. } | Input::CloseSession { origin, .. }) => refuse(ctx, origin),
            (Phase::Connecting(connecting), input) => connecting.step(ctx, input, self.observer),
            (Phase::Discovering(discovery), input) => discovery.step(ctx, input),
            (Phase::Syncing(syncing), input) => syncing.step(ctx, input),
        }
    }

    /// When time matters next.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        match &self.phase {
            Phase::Connecting(connecting) if self.ending.is_none() => connecting.deadline(),
            Phase::Live(live) => live.deadline(),
            // Silence ends these through the patience of the link, and the disk always answers.
            Phase::Connecting(_) | Phase::Discovering(_) | Phase::Syncing(_) => None,
        }
    }

    /// Sessions that only this server knows.
    #[must_use]
    pub fn local_sessions(&self) -> Option<&LocalSessions> {
        match &self.phase {
            Phase::Live(live) => Some(live.local_sessions()),
            _ => None,
        }
    }

    /// What operators are told.
    #[must_use]
    pub fn status(&self, me: &Member) -> Status {
        let role = if self.observer { "observing" } else { "following" };
        let mut peer = PeerStatus { observer_master: self.through, ..PeerStatus::default() };
        let mut status = Status { in_flight: me.ledger.tail().len(), ..Status::default() };
        peer.state = match &self.phase {
            Phase::Connecting(_) | Phase::Discovering(_) => format!("{role} - discovery"),
            Phase::Syncing(syncing) => match syncing.mode() {
                Some(mode) => format!("{role} - synchronization - {mode}"),
                None => format!("{role} - synchronization"),
            },
            Phase::Live(live) => {
                live.fill(&mut peer);
                format!("{role} - broadcast")
            }
        };
        status.peer = Some(peer);
        status
    }
}

/// Who has observed without a disk and needs one now begins again where the log ends: no vote names what is not
/// on disk, and nothing is appended behind a hole.
fn return_to_disk<T: TreeView>(ctx: &mut Ctx<'_, T>) -> bool {
    let observer = ctx.me.role() == Role::Observer;
    let stored = ctx.me.ledger.stored().filter(|_| writes_disk(ctx.me, observer));
    ctx.out.extend(stored.map(Effect::Truncate));
    stored.is_some()
}

/// Does a learner of this kind keep a log?
fn writes_disk(me: &Member, observer: bool) -> bool {
    !observer || me.ensemble.observer_writes_disk
}

fn stage(observer: bool, serving: bool) -> Stage {
    if observer { Stage::Observing { serving } } else { Stage::Following { serving } }
}

fn refuse<T: TreeView>(ctx: &mut Ctx<'_, T>, origin: crate::replica::Origin) -> Next {
    ctx.emit(Effect::Refuse(origin, ErrorCode::ConnectionLoss));
    Next::Stay
}

/// Is this about that connection?
fn of<'a>(link: LinkId, input: &'a Input<'_>) -> Option<&'a LinkInput> {
    match input {
        Input::Link(of, what) if *of == link => Some(what),
        _ => None,
    }
}
