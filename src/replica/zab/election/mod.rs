//! Fast leader election: votes go round until a quorum names the same server.
//!
//! No sockets: votes come in, votes go out. Invariant: a decision rests on a quorum of the views in force, and a
//! server never votes for less than it has.
//!
//! The rules are those of the reference (FastLeaderElection.lookForLeader), so that both kinds of servers elect
//! together. Three things differ, and none of them shows in a message that the reference would not send:
//!
//! - The last wait is left out where nobody can bring a better vote any more: see `Election::outstanding` and
//!   `docs/decisions/finalize-wait.md`.
//! - Votes are sent again by a clock that no message stops, so that chatter of one server cannot silence another.
//! - A server that was still following somebody when it got a vote is told the vote again when it begins to vote
//!   itself; the reference leaves that to the next repetition.

mod ballot;
#[cfg(test)]
mod tests;

pub use ballot::{Mandate, Trace};

use super::member::{Ctx, Flow, Member};
use super::packet::{Notification, PeerState, Vote};
use super::{member, membership};
use crate::state::TreeView;
use crate::types::{Millis, ServerId};
use ballot::{Cast, Casts, MUTE, beats, behind};
use std::collections::BTreeSet;

/// One round after the other until it is decided. The vote and its round stand in [`Member`].
///
/// All tables are keyed by voters of the views in force, so none of them outgrows the ensemble.
#[derive(Debug)]
pub struct Election {
    /// Votes of this round, the own one included.
    received: Casts,
    /// Votes of servers that follow or lead, whatever their round.
    outside: Casts,
    /// Voters that said in this round that their vote must not count.
    mute: BTreeSet<ServerId>,
    /// Voters that got the vote while they were in no election.
    deaf: BTreeSet<ServerId>,
    /// The leader whose loss led to this election.
    lost: Option<ServerId>,
    /// When the vote is sent again, and how long after the time before that.
    resend_at: Millis,
    wait: Millis,
    /// When the quorum that stands behind the vote becomes final.
    final_at: Option<Millis>,
}

impl Election {
    /// A new round, after the loss of a leader or without one.
    pub fn begin<T: TreeView>(ctx: &mut Ctx<'_, T>, lost: Option<ServerId>) -> (Self, Flow) {
        ctx.me.round = ctx.me.round.saturating_add(1);
        ctx.me.vote = ctx.me.initial_vote();
        ctx.me.mandate = None;
        let mut election = Self {
            received: Casts::new(),
            outside: Casts::new(),
            mute: BTreeSet::new(),
            deaf: BTreeSet::new(),
            lost,
            resend_at: ctx.now.mono,
            wait: ctx.me.ensemble.min_notification.max(Millis(1)),
            final_at: None,
        };
        ctx.info(format!("looking for a leader in round {}, {}", ctx.me.round, shown(&ctx.me.vote)));
        election.tell_all(ctx);
        let flow = election.count(ctx);
        (election, flow)
    }

    /// A vote came.
    pub fn heard<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, from: ServerId, n: &Notification) -> Flow {
        if from == ctx.me.id {
            return Flow::Stay;
        }
        if adopt_membership(ctx, n) {
            let (election, flow) = Self::begin(ctx, self.lost);
            *self = election;
            if flow != Flow::Stay {
                return flow;
            }
        }
        if !ctx.me.views.is_voter(from) {
            // Only who looks is answered. The reference answers all that a non-voter says, and an observer all that
            // a looking server says: the two then answer each other for as long as one of them looks.
            if n.state == PeerState::Looking {
                tell(ctx, from);
            }
            return Flow::Stay;
        }
        if n.state == PeerState::Looking && n.round < ctx.me.round {
            tell(ctx, from);
        }
        self.note_trace(ctx, n);
        if !ctx.me.views.is_voter(n.vote.leader) {
            return Flow::Stay;
        }
        match n.state {
            PeerState::Looking => self.heard_vote(ctx, from, n),
            PeerState::Following | PeerState::Leading => self.heard_outcome(ctx, from, n),
            PeerState::Observing => Flow::Stay,
        }
    }

    /// Others have a history: an empty disk may be a lost one, and what it was about to vote is taken back.
    fn note_trace<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, n: &Notification) {
        let had_say = ctx.me.has_say();
        ctx.me.others = ctx.me.others.max(Trace::of(n));
        if had_say && !ctx.me.has_say() {
            ctx.warn("the disk is empty but others have a history: not voting before a leader has sent it");
            ctx.me.vote = ctx.me.initial_vote();
            self.received.remove(&ctx.me.id);
            self.tell_all(ctx);
        }
    }

    /// A vote of somebody who looks, too.
    fn heard_vote<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, from: ServerId, n: &Notification) -> Flow {
        if !ctx.me.has_say() {
            // Others elect without this server, and it learns whom only when it asks: soon, then.
            self.wait = ctx.me.ensemble.min_notification.max(Millis(1));
            self.resend_at = self.resend_at.min(ctx.after(self.wait));
            return Flow::Stay;
        }
        if n.vote.zxid == MUTE {
            if n.round == ctx.me.round {
                self.received.remove(&from);
                self.mute.insert(from);
            }
            return self.count(ctx);
        }
        if n.round < ctx.me.round {
            return Flow::Stay;
        }
        if n.round > ctx.me.round {
            ctx.me.round = n.round;
            (self.received, self.mute) = (Casts::new(), BTreeSet::new());
            let own = ctx.me.initial_vote();
            ctx.me.vote = if beats(&ctx.me.views, &n.vote, &own) { n.vote } else { own };
            self.tell_all(ctx);
        } else if beats(&ctx.me.views, &n.vote, &ctx.me.vote) {
            ctx.me.vote = n.vote;
            self.tell_all(ctx);
        } else if self.deaf.contains(&from) {
            tell(ctx, from);
        }
        self.deaf.remove(&from);
        self.mute.remove(&from);
        self.received.insert(from, Cast::of(n));
        self.count(ctx)
    }

    /// Do enough stand behind the own vote?
    fn count<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>) -> Flow {
        let own = Cast { vote: ctx.me.vote, round: ctx.me.round, state: PeerState::Looking, version: 2 };
        if ctx.me.views.is_voter(ctx.me.id) && ctx.me.has_say() {
            self.received.insert(ctx.me.id, own);
        }
        let backers = behind(&self.received, &own);
        if !ctx.me.views.is_quorum(&backers) {
            self.final_at = None;
            return Flow::Stay;
        }
        if self.outstanding(ctx.me).is_empty() {
            return Self::decide(ctx, backers);
        }
        let wait = ctx.me.ensemble.finalize_wait;
        self.final_at.get_or_insert(ctx.after(wait));
        Flow::Stay
    }

    /// Voters from whom a better vote could still come.
    ///
    /// Not from those that were heard in this round: everybody begins a round with its own history, so theirs is
    /// known. Not from those without a say or without weight. And not from the leader that was lost just now: it is
    /// dead, or it has given up, or it cannot reach us, and none of these is a reason to wait for it. Should it live
    /// and know more, nothing was committed that a quorum without it lacks.
    fn outstanding(&self, me: &Member) -> BTreeSet<ServerId> {
        let mut voters = me.views.voters();
        voters.retain(|s| {
            !self.received.contains_key(s)
                && !self.mute.contains(s)
                && self.lost != Some(*s)
                && me.views.committed.weight(*s) != 0
        });
        voters
    }

    fn decide<T: TreeView>(ctx: &mut Ctx<'_, T>, backers: BTreeSet<ServerId>) -> Flow {
        if ctx.me.vote.leader == ctx.me.id {
            ctx.me.mandate = Some(Mandate { epoch: ctx.me.current, backers });
        }
        Flow::Elected { vote: ctx.me.vote, round: ctx.me.round }
    }

    /// Somebody follows or leads already.
    fn heard_outcome<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, from: ServerId, n: &Notification) -> Flow {
        self.deaf.insert(from);
        let cast = Cast::of(n);
        if n.round == ctx.me.round {
            // The reference keeps no version in this table, so that here only the leader is compared
            // (FastLeaderElection.receivedFollowingNotification): some may not have told the new epoch yet.
            self.received.insert(from, Cast { version: 0, ..cast });
            if stands(ctx.me, &self.received, &cast) {
                return Flow::Elected { vote: n.vote, round: n.round };
            }
        }
        self.outside.insert(from, cast);
        if stands(ctx.me, &self.outside, &cast) {
            ctx.me.round = n.round;
            return Flow::Elected { vote: n.vote, round: n.round };
        }
        Flow::Stay
    }

    /// Time has passed.
    pub fn tick<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>) -> Flow {
        if self.final_at.is_some_and(|at| at <= ctx.now.mono) {
            let own = Cast { vote: ctx.me.vote, round: ctx.me.round, state: PeerState::Looking, version: 2 };
            return Self::decide(ctx, behind(&self.received, &own));
        }
        if self.resend_at <= ctx.now.mono {
            self.wait = Millis(self.wait.0.saturating_mul(2)).min(ctx.me.ensemble.max_notification);
            self.wait = self.wait.max(Millis(1));
            self.send(ctx);
        }
        Flow::Stay
    }

    /// When time matters next.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        Some(self.final_at.map_or(self.resend_at, |at| at.min(self.resend_at)))
    }

    /// The vote is a new one.
    fn tell_all<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>) {
        self.final_at = None;
        self.send(ctx);
    }

    fn send<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>) {
        self.resend_at = ctx.after(self.wait);
        let notification = ctx.me.notification(ctx.me.round);
        let mut others = ctx.me.views.voters();
        others.remove(&ctx.me.id);
        for voter in others {
            ctx.notify(voter, notification.clone());
        }
    }
}

/// Does a quorum stand behind a leader that says itself that it leads (FastLeaderElection.checkLeader)? If everybody
/// else takes this server for the leader, it must be the one it was in that very round, with all that it had then.
fn stands(me: &Member, casts: &Casts, cast: &Cast) -> bool {
    let leads = if cast.vote.leader == me.id {
        let own = me.initial_vote();
        cast.round == me.round && me.has_say() && (cast.vote.epoch, cast.vote.zxid) <= (own.epoch, own.zxid)
    } else {
        casts.get(&cast.vote.leader).is_some_and(|c| c.state == PeerState::Leading)
    };
    // Whom to follow is asked of the membership in force alone: a proposed one that this server has logged may have
    // lost, and only that leader can tell. It is safe to follow, for a leader's own quorums are the leader's business.
    let behind = behind(casts, cast);
    let enough = if cast.vote.leader == me.id {
        me.views.is_quorum(&behind)
    } else {
        me.views.committed.is_quorum(&behind)
    };
    leads && enough
}

/// A newer membership travels with votes. True if it changes who belongs to the ensemble.
fn adopt_membership<T: TreeView>(ctx: &mut Ctx<'_, T>, n: &Notification) -> bool {
    if !ctx.me.settings.reconfig_enabled {
        return false;
    }
    let Some(newer) = member::membership(&n.config, ctx.me.ensemble.multi_address)
        .filter(|m| m.version > ctx.me.views.committed.version() && m.voters().next().is_some())
    else {
        return false;
    };
    let before = ctx.me.views.committed.membership().clone();
    let differs = !membership::same_members(&before, &newer);
    // What it means for a role does not matter: there is none, and a changed one votes anew.
    let _ = membership::commit(ctx, newer, None, ctx.me.ledger.last_logged());
    differs
}

/// What a server says to votes while it is in no election itself. A leader learns here that those who elected it
/// have changed their mind before it had its epoch.
pub fn answer<T: TreeView>(ctx: &mut Ctx<'_, T>, from: ServerId, n: &Notification) -> Flow {
    if from == ctx.me.id {
        return Flow::Stay;
    }
    if n.state != PeerState::Looking {
        return Flow::Stay;
    }
    tell(ctx, from);
    if ctx.me.views.is_voter(from) { withdraw(ctx, from, n) } else { Flow::Stay }
}

/// A decision without the last wait may come before a better vote reaches those it rests on. They then elect another,
/// and this leader would wait in vain until its time is over.
fn withdraw<T: TreeView>(ctx: &mut Ctx<'_, T>, from: ServerId, n: &Notification) -> Flow {
    let Some(mut mandate) = ctx.me.mandate.take() else { return Flow::Stay };
    if mandate.epoch != ctx.me.current || ctx.me.state != PeerState::Leading {
        return Flow::Stay;
    }
    let better = n.round >= ctx.me.round
        && n.vote.zxid != MUTE
        && ctx.me.views.is_voter(n.vote.leader)
        && beats(&ctx.me.views, &n.vote, &ctx.me.vote);
    if better {
        mandate.backers.remove(&from);
    }
    if better && !ctx.me.views.is_quorum(&mandate.backers) {
        return Flow::Leave(format!(
            "server {} now votes for server {}, {}",
            from.0,
            n.vote.leader.0,
            shown(&n.vote)
        ));
    }
    ctx.me.mandate = Some(mandate);
    Flow::Stay
}

/// Sends the vote as it is to one server.
fn tell<T: TreeView>(ctx: &mut Ctx<'_, T>, to: ServerId) {
    let notification = ctx.me.notification(ctx.me.round);
    ctx.notify(to, notification);
}

fn shown(vote: &Vote) -> String {
    format!("zxid {:#x}, epoch {:#x}", vote.zxid.0, vote.epoch.0)
}
