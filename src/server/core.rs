//! One server at work: the brain behind its lock, the state behind its lock, the connections, and the order
//! in which one may hold them.
//!
//! # Locks
//! Held together only in these orders, each a chain from left to right:
//! * brain, then state (shared), then lane: validation reads the tree, and a write takes its place in the lane.
//! * brain, then commits: what was committed is queued in its order.
//! * brain, then memberships known, links, names of learners, desks of the mesh, candidates, each by itself: effects for
//!   other servers.
//! * history, then applying, then state (exclusive): a history that was cut or replaced gets its tree in place.
//! * brain, then connections, sessions, outbox, one after the other: effects that speak to a client.
//! * applying, then connections, then state (exclusive), then sessions, lane, outbox: applying and replying.
//! * state (shared), then watches, outbox: a read on its connection's task.
//! * a connection's task, then any of these: by whoever is the task for the moment; nobody waits for it.
//!
//! Nobody waits for the brain, for `history`, for `applying` or for the connections while holding the state.
//!
//! Invariant: effects leave the brain in the order they were decided, because they are performed before its
//! lock is given back; commits are queued there and applied by whoever finds nobody applying.

use super::acks::Acks;
use super::clock::Clock;
use super::conns::{ConnLimits, Conns};
use super::facts::Facts;
use super::lookout::Lookout;
use super::meter::Meter;
use super::perform::{Outcome, Peers};
use super::standing::{Standing, StandingCell};
use super::throttle::{Hush, Throttle, also};
use crate::auth::Rules;
use crate::config::ensemble::Membership;
use crate::net::client::{Budget, Conn, Gate, GateSettings, Looked, Nudge};
use crate::replica::{Commit, Effect, Effects, Input, Origin, Replica};
use crate::report::{Counters, DirSizes};
use crate::state::{Machine, Shared};
use crate::types::{Entry, Epoch, EpochFile, Flushed, LinkId, Millis, Now, SessionId, Zxid};
use jute::ErrorCode;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};

/// Where entries go to become durable. Called under the brain's lock, so it must not wait.
pub trait Log: Send + Sync + 'static {
    /// Takes the entry; [`Core::flushed`] follows from the log's own thread.
    fn append(&self, entry: Entry);

    /// Writes an epoch file behind everything that was appended; [`Input::EpochSaved`] follows.
    fn save_epoch(&self, file: EpochFile, epoch: Epoch);

    /// The tree shows what may never be committed: a snapshot that is being written and would not tell is given up.
    fn disturb(&self) {}

    /// Asked by the log's own thread: has somebody else apply what was committed, as this thread has more to write.
    /// False if the asker should do it.
    fn hand_over(&self) -> bool {
        false
    }

    /// Bytes in the directories of snapshots and of logs.
    fn sizes(&self) -> DirSizes;
}

/// What the core needs to know of the configuration.
#[derive(Debug, Clone)]
pub struct CoreSettings {
    /// Shortest session timeout.
    pub min_session_timeout: Millis,
    /// Longest session timeout.
    pub max_session_timeout: Millis,
    /// Longest frame of a client.
    pub max_frame: usize,
    /// How much may be in the works.
    pub gate: GateSettings,
    /// Bytes of replies and events that may wait for one client.
    pub client_backlog: usize,
    /// Bytes that may wait for and from all clients together.
    pub total_backlog: usize,
    /// Sessions stay on this server.
    pub local_sessions: bool,
    /// A connection without a session is closed after this.
    pub sessionless_timeout: Millis,
    /// Connection limits.
    pub limits: ConnLimits,
    /// The latency of acknowledgements is looked at in one transaction of so many, if that is positive.
    pub ack_sample: i32,
}

/// Lines that would come without end: what clients can provoke, and a tree that stays wrong.
#[derive(Debug, Default)]
pub(super) struct Hushes {
    pub(super) per_address: Hush,
    pub(super) total: Hush,
    pub(super) throttled: Hush,
    pub(super) password: Hush,
    backlog: Hush,
    pub(super) digest: Hush,
    pub(super) quota: Hush,
}

pub(super) struct Brain {
    pub(super) replica: Replica,
    effects: Effects,
    /// Requests of clients that the replica has and did not answer yet.
    handed: usize,
    meter: Meter,
}

/// What the apply loop does, in the order in which the brain decided it.
#[derive(Debug)]
pub(super) enum Ordered {
    /// Apply a transaction.
    Commit(Commit),
    /// Answer a sync.
    Synced(Origin),
    /// Answer a request that was never ordered.
    Refused(Origin, ErrorCode),
    /// A session of this server alone is over: answer who asked, close its connection.
    Closed(Option<Origin>, SessionId),
    /// Apply what was logged, telling nobody.
    FastForward(Vec<Entry>),
    /// Apply a transaction to the tree that came over a link.
    Prepare(LinkId, Entry),
    /// The tree that came over a link is to be put in place.
    Install(LinkId, Zxid),
    /// Put a membership into its node.
    ShowConfig(Arc<Membership>),
}

/// Trees that leaders sent.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    pub(super) trees: BTreeMap<LinkId, Machine>,
    /// Links over which one is coming, while somebody waits for it.
    pub(super) awaited: BTreeSet<LinkId>,
    /// Those of them that are going to be installed, whatever becomes of their link.
    pub(super) promised: BTreeSet<LinkId>,
}

/// The server.
pub struct Core {
    pub(super) clock: Clock,
    pub(super) settings: CoreSettings,
    pub(super) rules: Rules,
    pub(super) shared: Shared,
    pub(super) conns: Conns,
    pub(super) sessions: Mutex<HashMap<SessionId, Arc<Conn>>>,
    pub(super) counters: Counters,
    pub(super) gate: Gate,
    pub(super) throttle: Option<Throttle>,
    pub(super) hushes: Hushes,
    pub(super) brain: Mutex<Brain>,
    pub(super) commits: Mutex<VecDeque<Ordered>>,
    pub(super) applying: Mutex<()>,
    /// Where the next write is looked for.
    pub(super) lookout: Mutex<Lookout>,
    /// What the server is to its clients; changes under the brain's lock only.
    pub(super) standing: StandingCell,
    /// It leads, be it for itself only (`leaderServes=no`).
    pub(super) is_leading: AtomicBool,
    /// Since when it has been that, on the monotonic clock.
    pub(super) serving_since: AtomicI64,
    /// When the brain wants to hear that time has passed; the largest number: never.
    deadline: AtomicI64,
    /// Trees that leaders sent, until they are put in place.
    pub(super) candidates: Mutex<Candidates>,
    pub(super) facts: Facts,
    pub(super) log: Box<dyn Log>,
    pub(super) peers: Box<dyn Peers>,
}

/// The brain at hand: what a caller of [`Core::drive`] may do.
pub(super) struct Step<'a> {
    replica: &'a mut Replica,
    effects: &'a mut Effects,
    machine: &'a Machine,
    now: Now,
    standing: Standing,
    counters: &'a Counters,
    meter: &'a mut Meter,
    handed: &'a mut usize,
    given_up: &'a mut usize,
}

impl Step<'_> {
    /// What the server is to its clients while this lasts.
    pub(super) fn standing(&self) -> Standing {
        self.standing
    }

    /// Does the tree know this session?
    pub(super) fn has_session(&self, session: SessionId) -> bool {
        self.machine.has_session(session)
    }

    /// A request of a client, which is in the works already. The replica answers it, unless its role ends before.
    pub(super) fn hand(&mut self, input: Input<'_>) {
        *self.handed += 1;
        self.input(input);
    }

    /// A request of a client that nobody will answer: its connection is as good as closed.
    pub(super) fn give_up(&mut self) {
        *self.given_up += 1;
    }

    /// Something that follows without the replica's doing.
    pub(super) fn effect(&mut self, effect: Effect) {
        *self.handed += 1;
        self.effects.push(effect);
    }

    pub(super) fn input(&mut self, input: Input<'_>) {
        self.meter.input(&input, self.now, self.counters);
        self.replica.step(self.now, input, self.machine, self.effects);
    }
}

/// Tasks to tell once no lock is held.
pub(super) type Wakers = Vec<Nudge>;

/// Replies to so few connections are sent by the thread that has them, which saves waking a task. More are the work
/// of the tasks: this thread is the one that the next batch waits for.
const SENT_AT_ONCE: usize = 4;

pub(super) fn wake(wakers: Wakers) {
    let few = wakers.len() <= SENT_AT_ONCE;
    for nudge in wakers {
        if few { nudge.send() } else { nudge.wake() }
    }
}

/// So many transactions are worth waking another thread to apply them; fewer are done in that time.
const WORTH_A_THREAD: usize = 128;

/// What [`Core::new`] is made of.
pub struct Parts {
    /// The clocks.
    pub clock: Clock,
    /// Settings.
    pub settings: CoreSettings,
    /// The rules of access.
    pub rules: Rules,
    /// The recovered state.
    pub shared: Shared,
    /// The brain over it.
    pub replica: Replica,
    /// The throttle on sessions.
    pub throttle: Option<Throttle>,
    /// Figures.
    pub counters: Counters,
    /// What operators may ask about and does not change.
    pub facts: Facts,
    /// The log.
    pub log: Box<dyn Log>,
    /// What a member does beside it.
    pub peers: Box<dyn Peers>,
}

impl Core {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { clock, settings, rules, shared, replica, throttle, counters, facts, log, peers } = parts;
        let started = clock.mono();
        let (standing, meter) = match replica.as_member() {
            Some(me) => {
                let acks = Acks::new(me.id, settings.ack_sample);
                (Standing::Away, Meter::member(started, acks, &counters))
            }
            None => (Standing::Alone, Meter::default()),
        };
        Self {
            conns: Conns::new(settings.limits, Budget::new(settings.client_backlog, settings.total_backlog)),
            sessions: Mutex::default(),
            counters,
            gate: Gate::new(settings.gate),
            throttle,
            hushes: Hushes::default(),
            brain: Mutex::new(Brain { replica, effects: Vec::new(), handed: 0, meter }),
            commits: Mutex::default(),
            applying: Mutex::new(()),
            lookout: Mutex::default(),
            standing: StandingCell::new(standing),
            is_leading: AtomicBool::new(false),
            serving_since: AtomicI64::new(started.0),
            deadline: AtomicI64::new(i64::MAX),
            candidates: Mutex::default(),
            clock,
            settings,
            rules,
            shared,
            facts,
            log,
            peers,
        }
    }

    /// Runs `f` with the brain at hand, performs what follows, applies what was committed.
    pub(super) fn drive<R>(&self, f: impl FnOnce(&mut Step<'_>) -> R) -> R {
        let (result, outcome) = self.think(f);
        self.after(outcome);
        result
    }

    /// Runs `f` with the brain at hand and performs what follows; the outcome is for [`Core::after`].
    fn think<R>(&self, f: impl FnOnce(&mut Step<'_>) -> R) -> (R, Outcome) {
        let now = self.clock.now();
        let mut outcome = Outcome::default();
        let result = {
            let mut brain = self.brain.lock();
            let Brain { replica, effects, handed, meter } = &mut *brain;
            let standing = self.standing.get();
            let given_up = &mut outcome.given_up;
            let counters = &self.counters;
            let result = self.shared.read(|machine| {
                f(&mut Step { replica, effects, machine, now, standing, counters, meter, handed, given_up })
            });
            self.perform(effects, now, meter, handed, &mut outcome);
            self.due(replica.deadline());
            result
        };
        (result, outcome)
    }

    /// Notes when the brain wants to hear that time has passed. Under its lock, so that the last word counts.
    fn due(&self, deadline: Option<Millis>) {
        let due = deadline.map_or(i64::MAX, |at| at.0);
        if self.deadline.swap(due, Relaxed) > due {
            self.peers.rearm();
        }
    }

    /// Does this server decide about writes: alone, or as a leader?
    pub(super) fn decides(&self) -> bool {
        self.standing.get() == Standing::Alone || self.is_leading.load(Relaxed)
    }

    /// When the brain wants to hear that time has passed, if ever.
    pub(super) fn next_deadline(&self) -> Option<Millis> {
        Some(Millis(self.deadline.load(Relaxed))).filter(|at| at.0 < i64::MAX)
    }

    /// The log is durable up to here. Called from its thread.
    pub fn flushed(&self, proof: Flushed) {
        let ((), mut outcome) = self.think(|step| step.input(Input::Flushed(proof)));
        if outcome.to_apply >= WORTH_A_THREAD && self.log.hand_over() {
            outcome.to_apply = 0;
        }
        self.after(outcome);
    }

    /// Takes the next write of the client that was answered last, if it is there already. Called by the log's thread
    /// while it has nothing else to do.
    pub(super) fn look_ahead(&self) {
        let Some(id) = self.lookout.lock().conn() else { return };
        let conn = self.conns.with(|conns| conns.by_id(id).cloned());
        let found = conn.map_or(Looked::Other, |conn| conn.look_ahead());
        self.lookout.lock().looked(id, found);
    }

    /// One beat of the expiry clock: who was heard of, and who was not.
    pub fn tick(&self) {
        let heard = self.conns.take_heard();
        self.drive(|step| {
            step.input(Input::Touch(&heard));
            step.input(Input::Tick);
        });
    }

    /// Tells the order who was heard of, without expiring anybody.
    pub fn collect_touches(&self) {
        let heard = self.conns.take_heard();
        self.drive(|step| step.input(Input::Touch(&heard)));
    }

    /// A container or TTL node looks ready to go.
    pub fn reap(&self, path: &str) {
        self.drive(|step| step.input(Input::Reap(path)));
    }

    /// Closes connections that never got a session, and those that have been silent beyond their timeout.
    pub fn sweep(&self) {
        let now = self.clock.mono();
        let mut wakers = Wakers::new();
        for conn in self.conns.all() {
            if now < self.deadline(&conn) {
                continue;
            }
            if !conn.outbox.is_closing() {
                // The reference counts them here whether they have a session or not.
                self.counters.sessionless_connections_expired.fetch_add(1, Relaxed);
            }
            wakers.extend(conn.outbox.close_now());
        }
        wake(wakers);
    }

    /// Closes the connections that hold the most while more waits for all clients together than may.
    pub fn relieve(&self) {
        let mut excess = self.conns.budget().excess();
        if excess == 0 {
            return;
        }
        let mut large: Vec<_> = self
            .conns
            .all()
            .into_iter()
            .filter(|conn| conn.outbox.backlog().is_large())
            .map(|conn| (conn.outbox.backlog().bytes(), conn))
            .collect();
        large.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        let mut wakers = Wakers::new();
        for (bytes, conn) in large {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(bytes);
            if let Some(withheld) = self.hushes.backlog.breaks(self.clock.mono()) {
                tracing::warn!(
                    "Closing session {} of {}: {bytes} bytes wait for it, and too many for all clients{}",
                    conn.session(),
                    conn.remote,
                    also(withheld)
                );
            }
            wakers.extend(conn.outbox.close_now());
        }
        wake(wakers);
    }

    /// Closes every connection; their sessions live on.
    pub fn close_all(&self) {
        wake(self.conns.all().iter().filter_map(|conn| conn.outbox.close_now()).collect());
    }
}
