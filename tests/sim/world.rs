//! The world: virtual time, one heap of what happens next, and everything that lives in it.
//!
//! What counts as an event: one input to a replica, one message that arrives (between servers, or between client
//! and server), one report of a disk, one step of a client, one thing that goes wrong. Invariant: equal plans give
//! equal runs, to the last event.

use super::client::Client;
use super::disk::logged;
use super::net::{Cuts, End, Host, Pipe};
use super::plan::{KINDS, Kind, Plan};
use super::rng::Rng;
use super::server::Server;
use super::truth::Truth;
use crate::check::history::{Digest, History, Logged};
use crate::check::{self, Judged, Terms};
use quoll::replica::HistoryPlan;
use quoll::replica::zab::Notification;
use quoll::state::TreeView as _;
use quoll::types::LinkId;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};

/// One second of the world's time.
pub const SECOND: u64 = 1_000_000;

/// How long a write may take once all is well.
pub const PATIENCE: u64 = 20 * SECOND;

/// What happens.
#[derive(Debug)]
pub enum Happening {
    /// The front of a pipe's lane arrives at this end.
    Deliver(u32, usize),
    /// A connection attempt arrives.
    Arrive(u32),
    /// The silence at this end may be long enough.
    Silence(u32, usize),
    /// A vote arrives.
    Vote(usize, usize, Box<Notification>),
    /// The disk has done something.
    Disk(usize, u64),
    /// What was committed is applied.
    Apply(usize, u64),
    /// A server's clock.
    Timer(usize, u64),
    /// The port of leaders is open, or not.
    Listening(usize, u64, bool),
    /// The log on disk was looked at.
    History(usize, u64, LinkId, Option<HistoryPlan>),
    /// The next slice of a tree on its way to a file, or to a link.
    Walk(usize, u64, Option<LinkId>),
    /// A client does something.
    Client(usize),
    /// A server starts.
    Start(usize, u64),
    /// A fault of the plan begins.
    Fault(usize),
    /// A cut is over.
    Heal,
    /// A disk works again.
    Mend(usize),
}

impl Happening {
    /// The server that must be awake for it.
    fn server(&self, pipes: &[Pipe]) -> Option<usize> {
        let of = |end: End| match end.host() {
            Host::Server(n) => Some(n),
            Host::Client(_) => None,
        };
        match self {
            Self::Deliver(pipe, side) | Self::Silence(pipe, side) => of(pipes[*pipe as usize].ends[*side]),
            Self::Arrive(pipe) => of(pipes[*pipe as usize].ends[1]),
            Self::Vote(_, to, _) => Some(*to),
            Self::Disk(n, _)
            | Self::Apply(n, _)
            | Self::Timer(n, _)
            | Self::Listening(n, ..)
            | Self::History(n, ..)
            | Self::Walk(n, ..) => Some(*n),
            Self::Client(_) | Self::Start(..) | Self::Fault(_) | Self::Heal | Self::Mend(_) => None,
        }
    }

    fn trace(&self) -> u64 {
        let of = |kind: u64, a: u64, b: u64| kind << 56 ^ a << 28 ^ b;
        match self {
            Self::Deliver(p, s) => of(1, u64::from(*p), *s as u64),
            Self::Arrive(p) => of(2, u64::from(*p), 0),
            Self::Silence(p, s) => of(3, u64::from(*p), *s as u64),
            Self::Vote(a, b, n) => of(4, (*a as u64) << 8 | *b as u64, n.round.cast_unsigned()),
            Self::Disk(n, l) => of(5, *n as u64, *l),
            Self::Apply(n, l) => of(6, *n as u64, *l),
            Self::Timer(n, l) => of(7, *n as u64, *l),
            Self::Listening(n, l, _) => of(8, *n as u64, *l),
            Self::History(n, l, ..) => of(9, *n as u64, *l),
            Self::Walk(n, l, _) => of(10, *n as u64, *l),
            Self::Client(n) => of(11, *n as u64, 0),
            Self::Start(n, l) => of(12, *n as u64, *l),
            Self::Fault(n) => of(13, *n as u64, 0),
            Self::Heal => of(14, 0, 0),
            Self::Mend(n) => of(15, *n as u64, 0),
        }
    }
}

struct Due {
    at: u64,
    seq: u64,
    what: Happening,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.seq == other.seq
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.seq).cmp(&(self.at, self.seq))
    }
}

/// Everything.
pub struct World {
    pub plan: Plan,
    pub now: u64,
    seq: u64,
    heap: BinaryHeap<Due>,
    pub servers: Vec<Server>,
    pub clients: Vec<Client>,
    pub pipes: Vec<Pipe>,
    pub cuts: Cuts,
    /// Newest vote of a server for another one that it does not reach.
    pub held_votes: BTreeMap<(usize, usize), Box<Notification>>,
    /// Votes on their way from one to another; the newest one behind them waits among the held.
    pub votes_sent: BTreeMap<(usize, usize), u32>,
    pub rng: Rng,
    pub history: History,
    pub truth: Truth,
    /// How often each kind of fault happened.
    pub counts: [u64; KINDS.len()],
    pub events: u64,
    trace: u64,
    /// No more faults: all is healed.
    pub calm: bool,
    /// Tells everything: a replay.
    pub aloud: bool,
    pub failure: Option<String>,
    /// Until then clients write and do nothing else.
    pub started_writing: u64,
    pub invariants: bool,
    pub open_cuts: u32,
    /// Clients ask nothing more.
    pub quiet: bool,
    pub judged: Judged,
}

/// What a run comes to.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub trace: u64,
    pub events: u64,
    pub counts: [u64; KINDS.len()],
    pub judged: Judged,
    pub failure: Option<String>,
}

impl World {
    pub fn new(plan: Plan) -> Self {
        let servers = (0..plan.servers()).map(|n| Server::new(n, &plan)).collect::<Vec<_>>();
        let clients: Vec<Client> = (0..plan.clients)
            .map(|n| {
                let mut rng = Rng::new(plan.seed, 100 + n as u64);
                let timeout = *rng.pick(&[4, 8, 20, 40]) * plan.tick as i32;
                Client::new(n as u32, rng, timeout)
            })
            .collect();
        let mut world = Self {
            now: 0,
            seq: 0,
            heap: BinaryHeap::new(),
            cuts: Cuts::new(servers.len(), clients.len()),
            servers,
            clients,
            pipes: Vec::new(),
            held_votes: BTreeMap::new(),
            votes_sent: BTreeMap::new(),
            rng: Rng::new(plan.seed, 2),
            history: History::default(),
            truth: Truth::default(),
            counts: [0; KINDS.len()],
            events: 0,
            trace: 0xcbf2_9ce4_8422_2325,
            calm: false,
            aloud: false,
            failure: None,
            started_writing: 0,
            invariants: true,
            open_cuts: 0,
            quiet: false,
            judged: Judged::default(),
            plan,
        };
        for n in 0..world.servers.len() {
            let at = world.rng.below(200_000);
            world.at(at, Happening::Start(n, 0));
        }
        for n in 0..world.clients.len() {
            let at = 300_000 + world.rng.below(300_000);
            world.at(at, Happening::Client(n));
        }
        for (n, at) in world.plan.steps.iter().map(|s| s.at).enumerate().collect::<Vec<_>>() {
            world.at(at, Happening::Fault(n));
        }
        // Without the feature `planted-bugs` an epoch lasts for four thousand million transactions.
        quoll::types::planted::end_epochs_at(world.epoch_ends_at());
        if world.plan.skew {
            world.count(Kind::Skew);
        }
        world
    }

    /// The counter at which epochs end.
    pub fn epoch_ends_at(&self) -> u32 {
        if self.plan.rollover { 30 + (self.plan.seed % 90) as u32 } else { u32::MAX }
    }

    /// Something happens then.
    pub fn at(&mut self, at: u64, what: Happening) {
        self.seq += 1;
        self.heap.push(Due { at: at.max(self.now), seq: self.seq, what });
    }

    /// Something happens so much later.
    pub fn after(&mut self, delay: u64, what: Happening) {
        self.at(self.now + delay, what);
    }

    pub fn count(&mut self, kind: Kind) {
        self.counts[kind as usize] += 1;
    }

    /// The run is over: this must never happen.
    pub fn fail(&mut self, why: impl FnOnce() -> String) {
        if self.failure.is_none() {
            self.failure = Some(why());
        }
    }

    /// A line of a replay.
    pub fn tell(&mut self, line: impl FnOnce() -> String) {
        if self.aloud {
            println!("{:>12} {}", self.now, line());
        }
    }

    /// Runs everything, and judges it.
    pub fn run(&mut self) -> Outcome {
        self.run_until(self.plan.calm, |_| false);
        if self.failure.is_none() {
            self.calm_down();
            let limit = self.now + PATIENCE;
            self.started_writing = self.now;
            if !self.run_until(limit, |w| w.has_written()) && self.failure.is_none() {
                let state = self.state();
                self.fail(|| format!("L: no write succeeded within 20 s of calm: {state}"));
            }
        }
        if self.failure.is_none() {
            self.quiet = true;
            let limit = self.now + 3 * PATIENCE;
            if !self.run_until(limit, Self::is_settled) && self.failure.is_none() {
                let state = self.state();
                self.fail(|| format!("L: the servers did not come to one state within 60 s: {state}"));
            }
        }
        if self.failure.is_none() {
            self.conclude();
        }
        self.outcome()
    }

    /// Hands the history over to the checkers.
    fn conclude(&mut self) {
        let members: Vec<bool> =
            self.servers.iter().map(|s| self.is_member(s) && !self.is_locked_out(s)).collect();
        for (server, _) in self.servers.iter().zip(members).filter(|(_, is_member)| *is_member) {
            let Some(live) = &server.live else { continue };
            let (zxid, tree) = (live.machine.last_zxid().0, live.machine.digest().unwrap_or(0));
            // A list's number is its server's own: it depends on which ones were in use when a snapshot was taken.
            let mut lists: Vec<_> =
                live.machine.acl_lists().into_iter().map(|(_, list)| format!("{list:?}")).collect();
            lists.sort();
            let rest = format!("{:?} {lists:?}", live.machine.sessions());
            if self.aloud {
                println!("{:?} at {zxid:x}: {rest}", server.id);
            }
            let rest = hash(&rest);
            self.history.digests.push(Digest { server: server.id.0, zxid, tree, rest });
            let entries = logged(&live.disk.files());
            if self.aloud {
                let zxids: Vec<_> = entries.iter().map(|e| e.zxid.0).collect();
                println!(
                    "{:?} base {} files {:?} log {zxids:x?}",
                    server.id,
                    server.held.base,
                    live.disk.names()
                );
            }
            // What is behind the last commit may still be on its way.
            for entry in entries.into_iter().filter(|e| e.zxid <= self.truth.last()) {
                let (zxid, payload) = (entry.zxid.0, entry.payload.to_vec());
                self.history.logs.push(Logged { server: server.id.0, zxid, payload });
            }
        }
        for (zxid, payload) in &self.truth.committed {
            self.history.logs.push(Logged { server: 0, zxid: *zxid, payload: payload.to_vec() });
        }
        let terms = Terms { tick: self.plan.tick as u64 * 1000, ..Terms::default() };
        match check::all(&self.history, &terms) {
            Ok(judged) => self.judged = judged,
            Err(why) => self.fail(|| why),
        }
    }

    /// What it came to.
    pub fn outcome(&self) -> Outcome {
        Outcome {
            trace: self.trace,
            events: self.events,
            counts: self.counts,
            judged: self.judged,
            failure: self.failure.clone(),
        }
    }

    pub fn has_written(&self) -> bool {
        self.clients.iter().any(|c| c.wrote_at.is_some_and(|at| at > self.started_writing))
    }

    /// Goes on until then, or until `done`, which it returns.
    pub fn run_until(&mut self, until: u64, done: impl Fn(&Self) -> bool) -> bool {
        let mut n = 0_u32;
        let mut spins = 0_u32;
        while self.failure.is_none() {
            n += 1;
            if n.is_multiple_of(32) && done(self) {
                return true;
            }
            if self.heap.peek().is_none_or(|due| due.at > until) {
                self.now = until;
                return done(self);
            }
            let Some(due) = self.heap.pop() else { return false };
            // A server that asks to be woken at once, again and again, would burn its processor.
            spins = if due.at == self.now { spins + 1 } else { 0 };
            if spins > 20_000 {
                let what = format!("{:?}", due.what);
                self.fail(|| format!("L: time stands still: {what}"));
                break;
            }
            self.now = due.at;
            if let Some(server) = due.what.server(&self.pipes)
                && self.servers[server].paused_until > self.now
            {
                let at = self.servers[server].paused_until;
                self.at(at, due.what);
                continue;
            }
            self.events += 1;
            self.trace =
                (self.trace ^ due.at ^ due.what.trace()).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
            self.happen(due.what);
        }
        false
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Deliver(pipe, side) => self.deliver(pipe, side),
            Happening::Arrive(pipe) => self.arrive(pipe),
            Happening::Silence(pipe, side) => self.silence(pipe, side),
            Happening::Vote(from, to, vote) => self.vote(from, to, vote),
            Happening::Disk(n, life) => self.disk_done(n, life),
            Happening::Apply(n, life) => self.apply_due(n, life),
            Happening::Timer(n, life) => self.timer(n, life),
            Happening::Listening(n, life, open) => self.listening(n, life, open),
            Happening::History(n, life, link, plan) => self.history_read(n, life, link, plan),
            Happening::Walk(n, life, link) => self.walk(n, life, link),
            Happening::Client(n) => self.client_step(n),
            Happening::Start(n, life) => self.start(n, life),
            Happening::Fault(n) => self.fault(n),
            Happening::Heal => self.heal_cuts(),
            Happening::Mend(n) => self.mend(n),
        }
    }

    fn state(&self) -> String {
        let states: Vec<String> = self.servers.iter().map(Server::describe).collect();
        states.join("; ")
    }
}

fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}
