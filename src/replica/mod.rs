//! Everything one server decides, as a function of what it is told: sessions, validation, order, elections.
//!
//! There is no socket, clock, disk or randomness behind [`Replica::step`]: time comes with each input, disk
//! and peers are effects that somebody else performs, in the order they were emitted, and reports back.
//!
//! Invariant: equal inputs over equal trees give equal effects, and every write that was accepted for
//! ordering takes exactly one zxid, also when validation turns it down.

mod authority;
mod io;
pub mod prep;
pub mod session;
pub mod zab;

pub use authority::Authority;
pub use io::{
    ClientWrite, Commit, ConfigEffect, Effect, Effects, HistoryPlan, Input, Level, LinkInput, Origin, Stage,
    Stream,
};

use crate::auth::Rules;
use crate::state::TreeView;
use crate::types::limits::MAX_BUFFER;
use crate::types::{Epoch, Millis, Now, ServerId, SessionId, Zxid};
use prep::Ask;
use session::{LocalSessions, SessionIds, Strangers, Via};
use zab::leading::Leading;
use zab::learning::Learning;
use zab::looking::Looking;
use zab::member::Begin;
use zab::{Ctx, EnsembleSettings, Flow, Member, PeerState, Solo, Vote, election};

/// What the replica needs to know of the configuration.
#[derive(Debug, Clone)]
pub struct ReplicaSettings {
    /// Goes into the top byte of session ids.
    pub server_id: ServerId,
    /// Granularity of session expiry.
    pub tick: Millis,
    /// TTL nodes are allowed.
    pub extended_types: bool,
    /// Hard quotas are enforced.
    pub enforce_quota: bool,
    /// Transactions carry the digest of the tree.
    pub digest: bool,
    /// closeSession transactions list what they delete.
    pub close_session_txn: bool,
    /// reconfig is allowed at all.
    pub reconfig_enabled: bool,
    /// Keeps clients from choosing paths that collide.
    pub hash_seed: u64,
    /// No server reads transactions longer than this, neither from a peer nor from its own log.
    pub longest_txn: usize,
}

impl Default for ReplicaSettings {
    fn default() -> Self {
        Self {
            server_id: ServerId(1),
            tick: Millis(3000),
            extended_types: false,
            enforce_quota: false,
            digest: true,
            close_session_txn: true,
            reconfig_enabled: false,
            hash_seed: 0,
            longest_txn: 2 * MAX_BUFFER,
        }
    }
}

/// One server's brain.
#[derive(Debug)]
pub struct Replica {
    mind: Mind,
}

#[derive(Debug)]
enum Mind {
    Alone(Box<Alone>),
    Member(Box<Member>, Box<Role>),
}

/// A standalone server: it decides, and its disk is the quorum.
#[derive(Debug)]
struct Alone {
    ids: SessionIds,
    authority: Authority,
    order: Solo,
}

#[derive(Debug)]
enum Role {
    Looking(Looking),
    Leading(Leading),
    Learning(Learning),
}

impl Replica {
    /// A standalone server that continues from what recovery found in `tree`. Every session it knows gets
    /// its full timeout from now.
    #[must_use]
    pub fn solo(settings: &ReplicaSettings, rules: &Rules, now: Now, tree: &impl TreeView) -> Self {
        let ids = SessionIds::new(settings.server_id, now);
        let authority = Authority::new(settings, rules, now, tree, Strangers::Unknown);
        let order = Solo::new(tree.last_zxid());
        Self { mind: Mind::Alone(Box::new(Alone { ids, authority, order })) }
    }

    /// A member of an ensemble, about to look for a leader; its first effects come with the first step.
    #[must_use]
    pub fn member(
        begin: Begin,
        settings: ReplicaSettings,
        ensemble: EnsembleSettings,
        rules: Rules,
        now: Now,
    ) -> Self {
        let member = Member::new(begin, settings, ensemble, rules, now);
        let looking = Looking::at_start(now);
        Self { mind: Mind::Member(Box::new(member), Box::new(Role::Looking(looking))) }
    }

    /// Takes one input, appends what follows from it.
    pub fn step<T: TreeView>(&mut self, now: Now, input: Input<'_>, tree: &T, out: &mut Effects) {
        match &mut self.mind {
            Mind::Alone(alone) => alone.step(now, input, tree, out),
            Mind::Member(me, role) => step_member(me, role, now, input, tree, out),
        }
    }

    /// When [`Input::Tick`] is due next, on the monotonic clock. A standalone server wants it once a tick, at the
    /// tick's multiples.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        match &self.mind {
            Mind::Alone(_) => None,
            Mind::Member(_, role) => match &**role {
                Role::Looking(looking) => looking.deadline(),
                Role::Leading(leading) => leading.deadline(),
                Role::Learning(learning) => learning.deadline(),
            },
        }
    }

    /// Plain figures for the report.
    #[must_use]
    pub fn status(&self) -> Status {
        match &self.mind {
            Mind::Alone(alone) => Status {
                sessions: alone.authority.sessions.len(),
                in_flight: alone.order.in_flight(),
                pending: alone.authority.prep.pending(),
                peer: None,
            },
            Mind::Member(me, role) => {
                let mut status = match &**role {
                    Role::Looking(looking) => looking.status(),
                    Role::Leading(leading) => leading.status(me),
                    Role::Learning(learning) => learning.status(me),
                };
                status.peer.get_or_insert_default().fill(me);
                status
            }
        }
    }

    /// The expiry buckets of sessions that every member knows: when, and who. Empty on a learner.
    #[must_use]
    pub fn expiry_buckets(&self) -> Vec<(Millis, Vec<SessionId>)> {
        match &self.mind {
            Mind::Alone(alone) => alone.authority.sessions.buckets(),
            Mind::Member(_, role) => match &**role {
                Role::Leading(leading) => leading.expiry_buckets(),
                Role::Looking(_) | Role::Learning(_) => Vec::new(),
            },
        }
    }

    /// The same of sessions that only this server knows.
    #[must_use]
    pub fn local_buckets(&self) -> Vec<(Millis, Vec<SessionId>)> {
        let Mind::Member(_, role) = &self.mind else { return Vec::new() };
        let local = match &**role {
            Role::Leading(leading) => leading.local_sessions(),
            Role::Learning(learning) => learning.local_sessions(),
            Role::Looking(_) => None,
        };
        local.map_or_else(Vec::new, LocalSessions::buckets)
    }

    /// Forgets how long the proposals of this leader were, for figures that begin anew.
    pub fn forget_proposal_sizes(&mut self) {
        if let Mind::Member(_, role) = &mut self.mind
            && let Role::Leading(leading) = &mut **role
        {
            leading.forget_proposal_sizes();
        }
    }

    /// What outlives the roles of a member.
    #[must_use]
    pub fn as_member(&self) -> Option<&Member> {
        match &self.mind {
            Mind::Alone(_) => None,
            Mind::Member(me, _) => Some(me),
        }
    }
}

impl Alone {
    fn step(&mut self, now: Now, input: Input<'_>, tree: &impl TreeView, out: &mut Effects) {
        let Self { ids, authority, order } = self;
        match input {
            Input::Write(write) => {
                let ClientWrite { origin, session, ids, request, .. } = write;
                let ask = Ask { session, cxid: origin.xid, ids, via: Via::Here, request };
                let entry = authority.write(now, order.next_zxid(), &ask, tree);
                out.extend(authority.take_overruns().into_iter().map(Effect::OverQuota));
                order.propose(entry, Some(origin), out);
            }
            Input::Sync { origin, .. } => order.sync(origin, out),
            Input::OpenSession { conn, timeout } => {
                let session = ids.take(|id| authority.sessions.knows(id));
                let entry = authority.open(now, order.next_zxid(), session, timeout, Via::Here);
                order.propose(entry, Some(Origin { conn, xid: 0 }), out);
            }
            Input::CloseSession { origin, session } => {
                out.push(Effect::Closing(session, None));
                let entry = authority.close(now, order.next_zxid(), session, origin.xid, tree);
                order.propose(entry, Some(origin), out);
            }
            Input::ResumeSession { conn, session, timeout } => {
                let alive = authority.sessions.touch(session, timeout, now.mono);
                out.push(Effect::Resumed { conn, session, timeout: alive.then_some(timeout) });
            }
            Input::Touch(heard) => {
                for (session, timeout, at) in heard {
                    authority.sessions.touch(*session, *timeout, *at);
                }
            }
            Input::Tick => {
                for (session, timeout) in authority.sessions.take_expired(now.mono) {
                    out.push(Effect::Closing(session, Some(timeout)));
                    let entry = authority.close(now, order.next_zxid(), session, 0, tree);
                    order.propose(entry, None, out);
                }
            }
            Input::Reap(path) => {
                let zxid = order.next_zxid();
                let entry = authority.reap(now, zxid, (SessionId::NONE, 0), path, tree);
                order.propose(entry, None, out);
            }
            Input::Flushed(proof) => order.flushed(proof, out),
            Input::Applied(zxid, gone) => authority.applied(zxid, gone),
            Input::EpochSaved(..)
            | Input::Truncated(_)
            | Input::Installed(..)
            | Input::History(..)
            | Input::Vote(..)
            | Input::Link(..)
            | Input::Listening(_) => {}
        }
    }
}

fn step_member<T: TreeView>(
    me: &mut Member,
    role: &mut Role,
    now: Now,
    input: Input<'_>,
    tree: &T,
    out: &mut Effects,
) {
    match &input {
        Input::Flushed(proof) => me.ledger.flushed(*proof),
        Input::EpochSaved(file, epoch) => me.epoch_saved(*file, *epoch),
        Input::Applied(zxid, _) => me.applied = me.applied.max(*zxid),
        Input::Truncated(last) | Input::Installed(_, last) => me.applied = *last,
        _ => {}
    }
    let mut ctx = Ctx { now, tree, me, out };
    let flow = match (&mut *role, input) {
        (Role::Looking(looking), input) => looking.step(&mut ctx, input),
        (Role::Leading(leading), Input::Vote(from, notification)) => {
            match election::answer(&mut ctx, from, &notification) {
                Flow::Stay => leading.heard(&mut ctx, from, &notification),
                over => over,
            }
        }
        // Whoever leads or learns answers those who look, and lets nothing else in.
        (_, Input::Vote(from, notification)) => election::answer(&mut ctx, from, &notification),
        (Role::Leading(leading), input) => leading.step(&mut ctx, input),
        (Role::Learning(learning), input) => learning.step(&mut ctx, input),
    };
    turn(&mut ctx, role, flow);
}

/// From one role to the next.
fn turn<T: TreeView>(ctx: &mut Ctx<'_, T>, role: &mut Role, flow: Flow) {
    match flow {
        Flow::Stay => {}
        Flow::Leave(why) => {
            ctx.info(why);
            leave(ctx, role, None);
        }
        Flow::Follow(vote) => leave(ctx, role, Some(vote)),
        Flow::Elected { vote, round } => {
            (ctx.me.vote, ctx.me.round) = (vote, round);
            *role = if vote.leader == ctx.me.id {
                ctx.me.state = PeerState::Leading;
                Role::Leading(Leading::begin(ctx))
            } else {
                let learning = Learning::begin(ctx, vote.leader);
                ctx.me.state = if learning.observes() { PeerState::Observing } else { PeerState::Following };
                Role::Learning(learning)
            };
        }
    }
}

/// Every role ends here: the tree is brought up to the log, committed or not, and only then is anything voted.
fn leave<T: TreeView>(ctx: &mut Ctx<'_, T>, role: &mut Role, known: Option<Vote>) {
    ctx.me.state = PeerState::Looking;
    ctx.emit(Effect::Become(Stage::Looking));
    ctx.me.ledger.settle(ctx.out);
    let mut looking = Looking::after_role(ctx, known);
    let flow = looking.resume(ctx);
    *role = Role::Looking(looking);
    turn(ctx, role, flow);
}

/// Figures of the replica.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// Sessions tracked for expiry.
    pub sessions: usize,
    /// Transactions proposed and not yet committed.
    pub in_flight: usize,
    /// Rows that validation lays over the tree.
    pub pending: usize,
    /// What a member of an ensemble is.
    pub peer: Option<PeerStatus>,
}

/// What a member of an ensemble is and how far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PeerStatus {
    /// `looking`, `leading`, `following`, `observing` and behind it the phase and the way of synchronization, as
    /// the reference writes them.
    pub state: String,
    /// Whom it follows or would vote for.
    pub leader: ServerId,
    /// Current epoch.
    pub epoch: Epoch,
    /// Last transaction proposed (leader) or logged.
    pub last: Zxid,
    /// Number of voters in force.
    pub voters: usize,
    /// Learners connected: server, does it vote, is it in sync.
    pub learners: Vec<LearnerStatus>,
    /// Syncs that wait for a commit or a quorum.
    pub pending_syncs: usize,
    /// The follower that an observer follows instead of the leader.
    pub observer_master: Option<ServerId>,
    /// Sessions of this server alone.
    pub local_sessions: usize,
    /// Smallest, largest and last length of a proposal, on a leader.
    pub proposals: Option<(usize, usize, usize)>,
}

impl PeerStatus {
    fn fill(&mut self, me: &Member) {
        self.leader = me.vote.leader;
        self.epoch = me.current;
        self.last = me.ledger.last_logged();
        self.voters = me.views.committed.voters().len();
    }
}

/// A learner, as its leader sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LearnerStatus {
    /// Which server.
    pub server: ServerId,
    /// It observes.
    pub observer: bool,
    /// It has a vote.
    pub voter: bool,
    /// It is in sync.
    pub synced: bool,
}
