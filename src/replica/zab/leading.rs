//! A leader: agrees on an epoch, brings learners up to its history, then orders what everybody asks.
//!
//! This file holds the role and what it does with each input; the parts are in the files below it. Invariant: no
//! transaction is ordered before a quorum has adopted this leader's history, and none after it gave up.

mod agreement;
mod beat;
mod broadcast;
pub(super) mod decision;
mod discovery;
mod learner;
mod order;
mod reconfig;
mod requests;
mod rounds;
mod synchronize;

#[cfg(test)]
mod tests;

use super::member::{Ctx, Flow, Member};
use super::packet::Notification;
use super::{Packet, PeerState, Vote};
use crate::replica::io::{Effect, Input, LinkInput, Stage};
use crate::replica::session::LocalSessions;
use crate::replica::{Authority, LearnerStatus, PeerStatus, Status};
use crate::state::TreeView;
use crate::types::{LinkId, Millis, ServerId, SessionId};
use agreement::{Agreement, Step};
use beat::Beat;
use learner::{At, Learners};
use order::Order;
use rounds::Syncs;

/// A leader.
#[derive(Debug)]
pub struct Leading {
    agreement: Agreement,
    learners: Learners,
    beat: Beat,
    /// What it rules with, once a quorum has adopted its history.
    reign: Option<Box<Reign>>,
}

/// A leader that orders requests.
#[derive(Debug)]
struct Reign {
    authority: Authority,
    local: LocalSessions,
    order: Order,
    syncs: Syncs,
    /// It has to go, for this reason.
    over: Option<String>,
    /// Another server leads the membership that was committed last: nothing is ordered or committed here any more.
    handover: Option<Handover>,
}

/// A leader on its way out.
#[derive(Debug, Clone, Copy)]
struct Handover {
    to: Vote,
    /// It waits no longer than this for its followers to go.
    until: Millis,
}

impl Leading {
    /// The election was won.
    pub fn begin<T: TreeView>(ctx: &mut Ctx<'_, T>) -> Self {
        ctx.emit(Effect::Become(Stage::Leading { serving: false }));
        Self {
            agreement: Agreement::new(ctx.me),
            learners: Learners::default(),
            beat: Beat::new(ctx),
            reign: None,
        }
    }

    /// One input.
    pub fn step<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, input: Input<'_>) -> Flow {
        let flow = match input {
            Input::Listening(true) => self.listening(ctx),
            Input::Listening(false) => Flow::Leave("cannot open the port for learners".to_owned()),
            Input::Link(link, input) => self.link(ctx, link, input),
            Input::EpochSaved(file, epoch) if self.agreement.is_awaited(file, epoch) => {
                self.epoch_saved(ctx, file)
            }
            Input::Flushed(_) => self.flushed(ctx),
            Input::Tick => self.tick(ctx),
            Input::History(link, plan) => self.history(ctx, link, plan),
            Input::Applied(zxid, gone) => {
                if let Some(reign) = &mut self.reign {
                    reign.authority.applied(zxid, gone);
                }
                Flow::Stay
            }
            input => self.client(ctx, input),
        };
        self.conclude(flow)
    }

    /// A reason to go that came up on the way counts once the step is done.
    fn conclude(&mut self, flow: Flow) -> Flow {
        match (flow, self.reign.as_mut().and_then(|r| r.over.take())) {
            (Flow::Stay, Some(why)) => Flow::Leave(why),
            (flow, _) => flow,
        }
    }

    fn link<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, link: LinkId, input: LinkInput) -> Flow {
        match input {
            LinkInput::Accepted => {
                self.accept(ctx, link);
                Flow::Stay
            }
            LinkInput::Lost => {
                self.learners.drop(link);
                self.hand_over(ctx)
            }
            LinkInput::Packet(packet) => self.packet(ctx, link, packet),
            LinkInput::Streamed => {
                self.new_leader(ctx, link);
                Flow::Stay
            }
            LinkInput::AcceptedObserver | LinkInput::Connected => Flow::Stay,
        }
    }

    fn packet<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, link: LinkId, packet: Packet) -> Flow {
        let until = self.beat.tick() + ctx.me.ensemble.sync_limit;
        let Some(learner) = self.learners.get_mut(link) else { return Flow::Stay };
        if learner.at >= At::Adopted {
            learner.until = until;
        }
        match (learner.at, packet) {
            (At::Silent, Packet::Hello(hello)) => self.hello(ctx, link, hello),
            (At::Silent, _) => {
                self.refuse(ctx, link, "its first packet does not say who it is");
                Flow::Stay
            }
            (At::Asked, Packet::AckEpoch { last, current }) => self.ack_epoch(ctx, link, last, current),
            (At::Syncing | At::Adopted | At::Serving, Packet::Ack(zxid)) => self.ack(ctx, link, zxid),
            (At::Serving, Packet::Pong(_, heard)) => self.pong(ctx, link, &heard),
            (At::Serving, Packet::Revalidate(session, timeout)) => {
                self.revalidate(ctx, link, session, timeout);
                Flow::Stay
            }
            (At::Serving, Packet::Request(request)) => self.request(ctx, link, &request),
            // Late, early, or of a newer kind: the reference passes over them, too.
            _ => Flow::Stay,
        }
    }

    /// A server that has a vote looks for a leader while this one waits for epochs. With
    /// `leader.maxTimeToWaitForEpoch` it does not wait for that one longer.
    pub fn heard<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, from: ServerId, n: &Notification) -> Flow {
        let waits = self.agreement.step <= Step::Gathering;
        let looks = n.state == PeerState::Looking && ctx.me.views.committed.is_voter(from);
        let over = ctx.me.ensemble.epoch_wait.is_some_and(|w| self.beat.begun().0 + w.0 <= ctx.now.mono.0);
        if waits && looks && over && from != ctx.me.id {
            ctx.emit(Effect::Deserted(from));
            return Flow::Leave(format!("server {} votes again instead of following", from.0));
        }
        Flow::Stay
    }

    /// Closes the link of a learner that cannot be led, and tells why.
    fn refuse<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, link: LinkId, why: &str) {
        if let Some(learner) = self.learners.drop(link) {
            let who = if learner.at > At::Silent {
                format!("server {}", learner.server.0)
            } else {
                format!("{link:?}")
            };
            ctx.warn(format!("closing the connection of {who}: {why}"));
            ctx.emit(Effect::Close(link));
        }
    }

    /// When time matters next.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        // Behind a pause of this server nobody expires for a while, and nothing is to be woken for.
        let expiry = |at: Millis| at.max(self.beat.no_expiry_before());
        let sessions = self.reign.as_ref().and_then(|r| r.authority.sessions.next_deadline()).map(expiry);
        let local = self.reign.as_ref().and_then(|r| r.local.deadline()).map(expiry);
        let handover = self.reign.as_ref().and_then(|r| r.handover).map(|h| h.until);
        [Some(self.beat.next()), sessions, local, handover].into_iter().flatten().min()
    }

    /// Figures.
    #[must_use]
    pub fn status(&self, me: &Member) -> Status {
        let phase = match self.agreement.step {
            Step::Opening | Step::Gathering | Step::Promising | Step::Asking => "discovery",
            Step::Adopting | Step::Syncing => "synchronization",
            Step::Serving => "broadcast",
        };
        let learners = self.learners.iter().filter(|(_, l)| l.at > At::Silent).map(|(_, l)| LearnerStatus {
            server: l.server,
            observer: l.observer,
            voter: !l.observer && me.views.committed.is_voter(l.server),
            synced: l.at == At::Serving && self.beat.tick() <= l.until,
        });
        let reign = self.reign.as_ref();
        let peer = PeerStatus {
            state: format!("leading - {phase}"),
            learners: learners.collect(),
            pending_syncs: reign.map_or(0, |r| r.syncs.len()),
            local_sessions: reign.map_or(0, |r| r.local.len()),
            proposals: reign.and_then(|r| r.order.sizes),
            ..PeerStatus::default()
        };
        Status {
            sessions: reign.map_or(0, |r| r.authority.sessions.len()),
            in_flight: reign.map_or(0, |r| r.order.in_flight()),
            pending: reign.map_or(0, |r| r.authority.prep.pending()),
            peer: Some(peer),
        }
    }

    /// Forgets how long proposals were.
    pub fn forget_proposal_sizes(&mut self) {
        if let Some(reign) = &mut self.reign {
            reign.order.sizes = None;
        }
    }

    /// The expiry buckets.
    #[must_use]
    pub fn expiry_buckets(&self) -> Vec<(Millis, Vec<SessionId>)> {
        self.reign.as_ref().map_or_else(Vec::new, |r| r.authority.sessions.buckets())
    }

    /// Sessions that only this server knows.
    #[must_use]
    pub fn local_sessions(&self) -> Option<&LocalSessions> {
        self.reign.as_ref().map(|r| &r.local)
    }
}
