//! A server: a replica with its state and its disk, its start and its end, and the inputs it gets.
//!
//! The performer beside it (`perform`, `storage`, `door`) keeps the contract of `replica::io` to the letter. Invariant:
//! nothing but its disk outlives a process.

use super::disk::{Disk, Image, Job, begin_at, options};
use super::net::Host;
use super::plan::Plan;
use super::truth::Held;
use super::world::{Happening, World};
use quoll::auth::{Identity, Rules};
use quoll::config::ensemble::Membership;
use quoll::replica::zab::member::Begin;
use quoll::replica::zab::{EnsembleSettings, Ledger, Views};
use quoll::replica::{Commit, Effects, HistoryPlan, Input, Origin, Replica, ReplicaSettings, Stage};
use quoll::state::{Machine, SnapshotWalk, TreeView as _, Watches};
use quoll::store::DiskEvent;
use quoll::store::files::SimFiles;
use quoll::types::{Entry, Epoch, LinkId, Millis, Now, ServerId, SessionId, Zxid};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// A client connection.
#[derive(Debug)]
pub struct Conn {
    pub session: SessionId,
    pub timeout: Millis,
    pub greeted: bool,
    pub lane: VecDeque<Waiting>,
    pub out: Vec<u8>,
    /// Events that a planted bug keeps back.
    pub late: Vec<u8>,
    pub closing: bool,
    pub ids: Arc<[Identity]>,
}

/// What a connection waits for.
#[derive(Debug)]
pub enum Waiting {
    /// A write or the end of the session, by xid.
    Write(i32),
    /// A sync, with its frame.
    Sync(i32, Vec<u8>),
    /// A read behind them.
    Held(Vec<u8>),
    /// One that was turned down before its turn.
    Refused(i32, jute::ErrorCode),
}

/// What is applied in this order.
#[derive(Debug)]
pub enum Ordered {
    Commit(Commit),
    FastForward(Vec<Entry>),
    Synced(Origin),
    Refused(Origin, jute::ErrorCode),
    Show(Arc<Membership>),
}

/// A tree being walked through.
pub struct Walking {
    pub walk: SnapshotWalk,
    pub zxid: Zxid,
    pub image: Image,
}

/// A running process.
pub struct Live {
    pub replica: Replica,
    pub machine: Machine,
    pub watches: Watches,
    pub disk: Disk,
    pub conns: BTreeMap<u32, Conn>,
    pub sessions: BTreeMap<SessionId, u32>,
    pub links: BTreeMap<LinkId, (u32, usize)>,
    pub ordered: VecDeque<Ordered>,
    pub stage: Stage,
    pub heard: BTreeMap<SessionId, (Millis, Millis)>,
    pub rules: Rules,
    pub gone: Vec<SessionId>,
    pub next_link: u64,
    pub effects: Effects,
    pub timer_at: u64,
    pub applying: bool,
    pub candidates: BTreeMap<LinkId, Machine>,
    pub installing: Option<(LinkId, Machine)>,
    pub walks: BTreeMap<Option<LinkId>, Walking>,
    pub snaps: BTreeMap<LinkId, Zxid>,
    /// The log is durable up to here, as far as it was told.
    pub durable: Zxid,
    /// The tree holds effects of transactions up to here: nobody may look before it has all of them.
    pub reach: Zxid,
    pub reaches: BTreeMap<LinkId, Zxid>,
    /// What a planted bug writes when it likes to.
    pub lazy: Vec<Job>,
    /// What planted bugs report before its time.
    pub early: VecDeque<DiskEvent>,
}

/// A machine with its process, if it runs.
pub struct Server {
    pub id: ServerId,
    pub life: u64,
    pub live: Option<Live>,
    /// The disk while no process has it.
    pub files: SimFiles,
    pub config: Arc<Membership>,
    pub paused_until: u64,
    /// Millionths by which its clock is too fast.
    pub ppm: i64,
    pub wall_shift: i64,
    pub slow_disk_until: u64,
    pub no_port: bool,
    /// It has not served yet since its disk was empty: nobody may rely on its vote.
    pub blank: bool,
    /// It once lost what it had told others to have: votes for it may name more than it has.
    pub forgot: bool,
    /// Its disk was damaged so that it may refuse to start.
    pub damaged: bool,
    /// What it has logged, as its disk should have it.
    pub held: Held,
    seed: u64,
}

fn membership(plan: &Plan) -> Arc<Membership> {
    let mut text = String::new();
    for n in 1..=plan.servers() {
        let role = if n <= plan.voters { "participant" } else { "observer" };
        text.push_str(&format!("server.{n}=10.0.0.{n}:2888:3888:{role};2181\n"));
    }
    if plan.hierarchical {
        text.push_str(
            "group.1=1:2:3\ngroup.2=4:5\nweight.1=1\nweight.2=1\nweight.3=1\nweight.4=1\nweight.5=1\n",
        );
    }
    text.push_str("version=0");
    Arc::new(Membership::from_text(text.as_bytes(), false).expect("a good text"))
}

impl Server {
    pub fn new(index: usize, plan: &Plan) -> Self {
        let files = SimFiles::new();
        let mut rng = super::rng::Rng::new(plan.seed, 50 + index as u64);
        let mut held = Held::default();
        if plan.rollover {
            let last = Zxid::new(Epoch(1), 0xffff_ffff - 20 - (plan.seed % 60) as u32);
            begin_at(&files, last);
            held.base = last;
        }
        Self {
            id: ServerId(index as i64 + 1),
            life: 0,
            live: None,
            files,
            config: membership(plan),
            paused_until: 0,
            ppm: if plan.skew { rng.range(0, 200_001) as i64 - 100_000 } else { 0 },
            wall_shift: 0,
            slow_disk_until: 0,
            no_port: false,
            damaged: false,
            blank: true,
            forgot: false,
            held,
            seed: rng.next(),
        }
    }

    /// Its clocks.
    pub fn clock(&self, now: u64) -> Now {
        let now = now as i64;
        let mono = (now + now / 1_000_000 * self.ppm + now % 1_000_000 * self.ppm / 1_000_000) / 1000;
        Now { mono: Millis(mono + 1_000_000), wall: 1_700_000_000_000 + now / 1000 + self.wall_shift }
    }

    /// When its monotonic clock shows this.
    pub fn when(&self, mono: Millis) -> u64 {
        let us = i128::from(mono.0 - 1_000_000) * 1000;
        let mut at = (us * 1_000_000 / i128::from(1_000_000 + self.ppm)).max(0) as u64;
        while self.clock(at).mono < mono {
            at += 500;
        }
        at
    }

    pub fn serving(&self) -> bool {
        self.live.as_ref().is_some_and(Live::open)
    }

    pub fn describe(&self) -> String {
        let Some(live) = &self.live else { return format!("{} down", self.id.0) };
        let me = live.replica.as_member().expect("a member");
        format!(
            "{} {:?} vote {:?} round {} applied {} logged {} accepted {} current {}",
            self.id.0,
            live.stage,
            me.vote,
            me.round,
            live.machine.last_zxid(),
            me.ledger.last_logged(),
            me.accepted.0,
            me.current.0
        )
    }
}

impl Live {
    /// One input, without anything that follows.
    pub fn input(&mut self, now: Now, input: Input<'_>) {
        let Self { replica, machine, effects, .. } = self;
        replica.step(now, input, machine, effects);
    }

    /// Clients are let in.
    pub fn open(&self) -> bool {
        self.serving() && self.machine.last_zxid() >= self.reach
    }

    pub fn serving(&self) -> bool {
        matches!(
            self.stage,
            Stage::Leading { serving: true }
                | Stage::Following { serving: true }
                | Stage::Observing { serving: true }
        )
    }
}

impl World {
    // --- life and death --------------------------------------------------------------------------------------------

    /// The process starts, unless it has in the meantime.
    pub fn start(&mut self, n: usize, life: u64) {
        if self.servers[n].life != life || self.servers[n].live.is_some() {
            return;
        }
        let plan = &self.plan;
        let server = &mut self.servers[n];
        server.life += 1;
        let options = options(plan.pre_alloc, plan.snap_count, server.seed);
        let (disk, found) = match Disk::start(&server.files, options) {
            Ok(started) => started,
            Err(error) if server.damaged => {
                // What an operator does: an empty directory, and the others have the rest.
                self.tell(|| format!("server {} refuses to start: {error}", n + 1));
                self.wipe(n);
                let life = self.servers[n].life;
                return self.after(100_000, Happening::Start(n, life));
            }
            Err(error) => return self.fail(|| format!("server {} does not start: {error}", n + 1)),
        };
        let now = server.clock(self.now);
        let last = found.recovered.last_zxid.max(Zxid::ZERO);
        if found.recovered.hole.is_some() && !server.damaged {
            return self.fail(|| format!("server {} has a hole: {:?}", n + 1, found.recovered.hole));
        }
        let lost = server.held.restarted(last, &found.entries);
        if let Some(lost) = lost.filter(|_| !server.damaged) {
            return self.fail(|| format!("B: server {} lost what it had made durable: {lost}", n + 1));
        }
        let server = &mut self.servers[n];
        server.forgot |= server.damaged;
        // Until a snapshot from a leader takes the place of what is there.
        server.damaged = found.recovered.hole.is_some();
        let settings = ReplicaSettings {
            server_id: server.id,
            tick: Millis(plan.tick),
            reconfig_enabled: true,
            ..ReplicaSettings::default()
        };
        let ensemble = EnsembleSettings {
            force_snapshot_sync: plan.force_snapshots,
            log_sync: plan.log_sync,
            commit_log_count: plan.commit_log_count,
            ..EnsembleSettings::default()
        };
        let rules = Rules::default();
        let begin = Begin {
            id: server.id,
            views: Views::new(Arc::clone(&server.config)),
            ledger: Ledger::new(last, found.entries, plan.commit_log_count),
            accepted: found.epochs.accepted,
            current: found.epochs.current,
            may_vote: found.recovered.may_vote(),
            fresh: found.fresh,
            seed: server.seed.wrapping_add(server.life),
        };
        let mut machine = found.machine;
        machine.set_config(server.config.text().as_bytes(), server.config.version, now.wall);
        let replica = Replica::member(begin, settings, ensemble, rules.clone(), now);
        server.live = Some(Live {
            replica,
            machine,
            watches: Watches::new(7),
            disk,
            conns: BTreeMap::new(),
            sessions: BTreeMap::new(),
            links: BTreeMap::new(),
            ordered: VecDeque::new(),
            stage: Stage::Looking,
            heard: BTreeMap::new(),
            rules,
            gone: Vec::new(),
            next_link: 0,
            effects: Effects::new(),
            timer_at: u64::MAX,
            applying: false,
            candidates: BTreeMap::new(),
            installing: None,
            walks: BTreeMap::new(),
            snaps: BTreeMap::new(),
            durable: last,
            reach: found.recovered.uncovered.unwrap_or_default(),
            reaches: BTreeMap::new(),
            lazy: Vec::new(),
            early: VecDeque::new(),
        });
        let (from, warnings) = (found.recovered.snapshot, found.recovered.warnings);
        self.tell(|| {
            let from = from.map(|s| s.path);
            format!("server {} starts at {last}, from {from:?}, {warnings:?}", n + 1)
        });
        self.release_votes();
        self.step(n, Input::Tick);
    }

    /// The process ends. `quietly`: its machine does, too, and nobody is told.
    pub fn stop(&mut self, n: usize, files: SimFiles, quietly: bool) {
        let server = &mut self.servers[n];
        server.files = files;
        server.paused_until = 0;
        server.life += 1;
        server.live = None;
        self.held_votes.retain(|(from, _), _| *from != n);
        for index in 0..self.pipes.len() {
            for side in 0..2 {
                if self.pipes[index].open[side] && self.pipes[index].ends[side].host() == Host::Server(n) {
                    if quietly {
                        self.pipes[index].open[side] = false;
                    } else {
                        self.close(index as u32, side);
                    }
                }
            }
        }
    }

    /// Its disk failed or its state cannot go on: the process ends by itself.
    pub fn die(&mut self, n: usize, why: &str) {
        self.tell(|| format!("server {} ends: {why}", n + 1));
        let mut rng = self.rng.clone();
        let Some(live) = &self.servers[n].live else { return };
        let files = live.disk.kill(&mut rng);
        self.rng = rng;
        self.stop(n, files, false);
        let (life, delay) = (self.servers[n].life, 300_000 + self.rng.below(500_000));
        self.after(delay, Happening::Start(n, life));
    }

    pub fn live(&mut self, n: usize, life: u64) -> Option<&mut Live> {
        let server = &mut self.servers[n];
        if server.life == life { server.live.as_mut() } else { None }
    }

    // --- inputs ----------------------------------------------------------------------------------------------------

    /// One input, and everything that follows from it at once.
    pub fn step(&mut self, n: usize, input: Input<'_>) {
        let server = &mut self.servers[n];
        let now = server.clock(self.now);
        let Some(live) = &mut server.live else { return };
        let Live { replica, machine, effects, .. } = live;
        replica.step(now, input, machine, effects);
        self.settle(n);
    }

    /// Performs what is wanted, applies what may be, until nothing is left.
    pub fn settle(&mut self, n: usize) {
        loop {
            self.perform(n);
            let lag = self.plan.lag;
            let now = self.servers[n].clock(self.now);
            let Some(live) = &mut self.servers[n].live else { return };
            if let Some(event) = live.early.pop_front() {
                let Live { replica, machine, effects, .. } = live;
                match event {
                    DiskEvent::Flushed(proof) => replica.step(now, Input::Flushed(proof), machine, effects),
                    DiskEvent::EpochSaved(f, e) => {
                        replica.step(now, Input::EpochSaved(f, e), machine, effects)
                    }
                    DiskEvent::Truncated(t) => replica.step(now, Input::Truncated(t.last), machine, effects),
                    DiskEvent::SnapshotDue | DiskEvent::Restarted(_) | DiskEvent::Fatal(_) => {}
                }
                continue;
            }
            if live.ordered.is_empty() {
                break;
            }
            if lag == 0 {
                self.apply(n);
            } else {
                if !std::mem::replace(&mut live.applying, true) {
                    let (life, delay) = (self.servers[n].life, self.rng.below(lag));
                    self.after(delay, Happening::Apply(n, life));
                }
                break;
            }
            if self.failure.is_some() {
                return;
            }
        }
        self.set_timer(n);
        self.flush_conns(n);
    }

    pub fn set_timer(&mut self, n: usize) {
        let server = &self.servers[n];
        let Some(live) = &server.live else { return };
        let Some(deadline) = live.replica.deadline() else { return };
        let at = server.when(deadline).max(self.now);
        if at < live.timer_at {
            let life = server.life;
            if let Some(live) = &mut self.servers[n].live {
                live.timer_at = at;
            }
            self.at(at, Happening::Timer(n, life));
        }
    }

    pub fn timer(&mut self, n: usize, life: u64) {
        let clock = self.servers[n].clock(self.now);
        let now = self.now;
        let Some(live) = self.live(n, life) else { return };
        if live.timer_at > now {
            return;
        }
        live.timer_at = u64::MAX;
        if live.replica.deadline().is_some_and(|at| at <= clock.mono) {
            self.touch(n);
            self.step(n, Input::Tick);
        } else {
            self.set_timer(n);
        }
    }

    /// Tells the replica who was heard of.
    pub fn touch(&mut self, n: usize) {
        let Some(live) = &mut self.servers[n].live else { return };
        if !live.heard.is_empty() {
            let heard: Vec<_> =
                std::mem::take(&mut live.heard).into_iter().map(|(s, (t, at))| (s, t, at)).collect();
            self.step(n, Input::Touch(&heard));
        }
    }

    pub fn listening(&mut self, n: usize, life: u64, open: bool) {
        if self.live(n, life).is_some() {
            self.step(n, Input::Listening(open));
        }
    }

    pub fn history_read(&mut self, n: usize, life: u64, link: LinkId, plan: Option<HistoryPlan>) {
        if self.live(n, life).is_some() {
            self.step(n, Input::History(link, plan));
        }
    }

    pub fn apply_due(&mut self, n: usize, life: u64) {
        if let Some(live) = self.live(n, life) {
            live.applying = false;
            self.apply(n);
            self.settle(n);
        }
    }
}
