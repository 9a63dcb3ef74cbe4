//! The world: virtual time, one heap of what happens next, and everything that lives in it.
//!
//! What counts as an event: one input to a replica, one message that arrives (between servers, or between client
//! and server), one report of a disk, one step of a client, one thing that goes wrong. Invariant: equal plans give
//! equal runs, to the last event.

use super::client::Client;
use super::disk::logged;
use super::net::{Cuts, End, Host, Lane, Message, Pipe};
use super::plan::{KINDS, Kind, Plan};
use super::rng::Rng;
use super::server::Server;
use super::truth::Truth;
use crate::check::history::{Digest, History, Logged};
use crate::check::{self, Judged, Terms};
use quoll::replica::zab::Notification;
use quoll::replica::{HistoryPlan, LinkInput};
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
    /// When the last vote from one to another arrives.
    pub vote_times: BTreeMap<(usize, usize), u64>,
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
            vote_times: BTreeMap::new(),
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
        if world.plan.rollover {
            world.count(Kind::Rollover);
        }
        if world.plan.skew {
            world.count(Kind::Skew);
        }
        world
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
        for server in &self.servers {
            let Some(live) = &server.live else { continue };
            let (zxid, tree) = (live.machine.last_zxid().0, live.machine.digest().unwrap_or(0));
            let rest = hash(&format!("{:?} {:?}", live.machine.sessions(), live.machine.acl_lists()));
            self.history.digests.push(Digest { server: server.id.0, zxid, tree, rest });
            // What stands before a leader's snapshot may be of a history that was given up.
            let base = server.held.base;
            for entry in logged(&live.disk.files()).into_iter().filter(|e| e.zxid > base) {
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

    // --- the network -----------------------------------------------------------------------------------------------

    /// How long a message takes.
    pub fn delay(&mut self) -> u64 {
        let delay = 50 + self.rng.below(self.plan.delay);
        if self.plan.slow_one_in > 0 && !self.calm && self.rng.one_in(self.plan.slow_one_in) {
            self.count(Kind::Delay);
            return delay * 100;
        }
        delay
    }

    /// A new pipe, on its way.
    pub fn connect(&mut self, from: End, to: usize) -> u32 {
        let target = match from {
            End::Client(_) => End::Server(to, 0),
            _ => End::Peer(to, 0, LinkId(0)),
        };
        let index = self.pipes.len() as u32;
        let mut pipe = Pipe::new(from, target, self.now);
        pipe.open[1] = false;
        pipe.patience[0] = Some(5 * SECOND);
        self.pipes.push(pipe);
        let delay = self.delay();
        self.after(delay, Happening::Arrive(index));
        self.after(5 * SECOND, Happening::Silence(index, 0));
        index
    }

    fn arrive(&mut self, index: u32) {
        let [from, to] = self.pipes[index as usize].ends;
        if !self.pipes[index as usize].open[0] || self.cuts.blocks(from.host(), to.host()) {
            return;
        }
        let accepted = match to {
            End::Peer(n, ..) => self.accept_peer(n, index),
            End::Server(n, _) => self.accept_client(n, index),
            End::Client(_) => false,
        };
        match accepted {
            true => self.send(index, 1, Message::Open),
            // A machine without power says nothing; a living one refuses.
            false if self.servers[server_of(to)].live.is_some() => self.reset_back(index, 0),
            false => {}
        }
    }

    /// The end hears that the connection is no more, after a while.
    fn reset_back(&mut self, index: u32, side: usize) {
        let pipe = &self.pipes[index as usize];
        let (from, to) = (pipe.ends[1 - side].host(), pipe.ends[side].host());
        if !self.cuts.blocks(from, to) {
            self.pipes[index as usize].open[1 - side] = false;
            let delay = self.delay();
            let lane = &mut self.pipes[index as usize].lanes[side];
            lane.queue.clear();
            let at = self.now + delay;
            lane.queue.push_back((at, Message::Fin));
            lane.last = at;
            if !lane.scheduled {
                lane.scheduled = true;
                self.at(at, Happening::Deliver(index, side));
            }
        }
    }

    /// Sends from this end.
    pub fn send(&mut self, index: u32, from: usize, message: Message) {
        let pipe = &mut self.pipes[index as usize];
        if !pipe.open[from] {
            return;
        }
        if pipe.blocked[from] {
            pipe.backlog[from].push_back(message);
            return;
        }
        let delay = self.delay();
        let lane = &mut self.pipes[index as usize].lanes[1 - from];
        let at = (self.now + delay).max(lane.last);
        lane.last = at;
        lane.queue.push_back((at, message));
        if !lane.scheduled {
            lane.scheduled = true;
            self.at(at, Happening::Deliver(index, 1 - from));
        }
    }

    /// What waited behind a stream leaves.
    pub fn unblock(&mut self, index: u32, from: usize) {
        self.pipes[index as usize].blocked[from] = false;
        for message in std::mem::take(&mut self.pipes[index as usize].backlog[from]) {
            self.send(index, from, message);
        }
    }

    /// Closes this end; the other one hears of it behind what was sent before.
    pub fn close(&mut self, index: u32, side: usize) {
        let pipe = &mut self.pipes[index as usize];
        if !pipe.open[side] {
            return;
        }
        pipe.blocked[side] = false;
        pipe.backlog[side].clear();
        self.send(index, side, Message::Fin);
        self.pipes[index as usize].open[side] = false;
    }

    fn deliver(&mut self, index: u32, side: usize) {
        let now = self.now;
        let pipe = &mut self.pipes[index as usize];
        let (from, to) = (pipe.ends[1 - side].host(), pipe.ends[side].host());
        pipe.lanes[side].scheduled = false;
        if self.cuts.blocks(from, to) {
            return;
        }
        let pipe = &mut self.pipes[index as usize];
        if !pipe.open[side] {
            pipe.lanes[side] = Lane::default();
            let up = match to {
                Host::Server(n) => self.servers[n].live.is_some(),
                Host::Client(_) => true,
            };
            if up && pipe.open[1 - side] {
                self.lost_later(index, 1 - side);
            }
            return;
        }
        let lane = &mut pipe.lanes[side];
        if lane.slow_until > now {
            lane.scheduled = true;
            let at = lane.slow_until;
            return self.at(at, Happening::Deliver(index, side));
        }
        let Some((_, message)) = lane.queue.pop_front() else { return };
        if let Some((at, _)) = lane.queue.front() {
            lane.scheduled = true;
            let at = *at;
            self.at(at, Happening::Deliver(index, side));
        }
        let pipe = &mut self.pipes[index as usize];
        pipe.heard[side] = now;
        match message {
            Message::Open => {
                pipe.patience[side] = None;
                self.opened(index);
            }
            Message::Fin => self.lost(index, side),
            message => match pipe.ends[side] {
                End::Peer(n, life, link) => self.from_peer(n, life, link, message),
                End::Server(n, life) => self.from_client(n, life, index, message),
                End::Client(n) => self.to_client(n, index, message),
            },
        }
    }

    /// This end is told that the other one is gone, as soon as the way allows.
    fn lost_later(&mut self, index: u32, side: usize) {
        self.reset_back(index, side);
    }

    fn opened(&mut self, index: u32) {
        match self.pipes[index as usize].ends[0] {
            End::Peer(n, life, link) => self.link_input(n, life, link, LinkInput::Connected),
            End::Client(n) => self.client_opened(n, index),
            End::Server(..) => {}
        }
    }

    /// This end loses the connection.
    pub fn lost(&mut self, index: u32, side: usize) {
        let pipe = &mut self.pipes[index as usize];
        if !pipe.open[side] {
            return;
        }
        pipe.open[side] = false;
        pipe.backlog[side].clear();
        match pipe.ends[side] {
            End::Peer(n, life, link) => self.link_lost(n, life, link),
            End::Server(n, life) => self.client_gone(n, life, index),
            End::Client(n) => self.client_lost(n, index),
        }
    }

    fn silence(&mut self, index: u32, side: usize) {
        let pipe = &self.pipes[index as usize];
        let Some(patience) = pipe.patience[side].filter(|_| pipe.open[side]) else { return };
        let until = pipe.heard[side] + patience;
        if until > self.now {
            return self.at(until, Happening::Silence(index, side));
        }
        self.tell(|| format!("pipe {index} end {side} has heard nothing for too long"));
        // The other end hears of it, if it can.
        self.pipes[index as usize].backlog[side].clear();
        self.pipes[index as usize].blocked[side] = false;
        self.send(index, side, Message::Fin);
        self.lost(index, side);
    }

    fn vote(&mut self, from: usize, to: usize, vote: Box<Notification>) {
        if self.servers[to].live.is_none() || self.cuts.blocks(Host::Server(from), Host::Server(to)) {
            self.held_votes.insert((from, to), vote);
            return;
        }
        self.step(to, quoll::replica::Input::Vote(self.servers[from].id, *vote));
    }

    /// All cuts end: what was held back goes on.
    pub fn heal_cuts(&mut self) {
        self.open_cuts = self.open_cuts.saturating_sub(1);
        if self.open_cuts > 0 && !self.calm {
            return;
        }
        self.cuts.heal();
        for index in 0..self.pipes.len() {
            for side in 0..2 {
                let lane = &mut self.pipes[index].lanes[side];
                if !lane.queue.is_empty() && !lane.scheduled {
                    lane.scheduled = true;
                    let delay = self.rng.below(5_000);
                    self.after(delay, Happening::Deliver(index as u32, side));
                }
            }
        }
        self.release_votes();
    }

    /// Votes that were held back are sent anew.
    pub fn release_votes(&mut self) {
        for ((from, to), vote) in std::mem::take(&mut self.held_votes) {
            let delay = self.delay();
            self.after(delay, Happening::Vote(from, to, vote));
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

fn server_of(end: End) -> usize {
    match end.host() {
        Host::Server(n) | Host::Client(n) => n,
    }
}
