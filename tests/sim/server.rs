//! A server: a replica with its state and its disk, and the performer that does what the replica wants.
//!
//! It keeps the contract of `replica::io` to the letter: effects in order, one disk queue, candidates for
//! snapshots. Bugs that live in a performer are planted here.

use super::bugs::{self, Bug};
use super::disk::{Disk, Image, Job, MACHINE, begin_at, options};
use super::net::{End, Host, Message};
use super::plan::{Kind, Plan};
use super::truth::Held;
use super::world::{Happening, World};
use jute::records::data::{Acl, Id};
use quoll::auth::{AclEntry, Identity, Rules};
use quoll::config::ensemble::Membership;
use quoll::replica::zab::member::Begin;
use quoll::replica::zab::{EnsembleSettings, Ledger, Packet, Views};
use quoll::replica::{
    Commit, ConfigEffect, Effect, Effects, HistoryPlan, Input, LinkInput, Origin, Replica, ReplicaSettings,
    Stage, Stream,
};
use quoll::state::{Machine, SnapshotWalk, TreeView as _, Watches, walk};
use quoll::store::files::SimFiles;
use quoll::store::log_reader::{LogCursor, Next, files_behind};
use quoll::store::{DiskCommand, DiskEvent, Truncated};
use quoll::types::{Entry, Epoch, Flushed, LinkId, Millis, Now, ServerId, SessionId, Zxid};
use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Nodes of a tree that travel in one slice.
const SLICE: u32 = 6;

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
    walk: SnapshotWalk,
    zxid: Zxid,
    image: Image,
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
    next_link: u64,
    effects: Effects,
    timer_at: u64,
    applying: bool,
    candidates: BTreeMap<LinkId, Machine>,
    installing: Option<(LinkId, Machine)>,
    walks: BTreeMap<Option<LinkId>, Walking>,
    snaps: BTreeMap<LinkId, Zxid>,
    /// The log is durable up to here, as far as it was told.
    pub durable: Zxid,
    /// The tree holds effects of transactions up to here: nobody may look before it has all of them.
    pub reach: Zxid,
    reaches: BTreeMap<LinkId, Zxid>,
    /// What planted bugs report before its time.
    early: VecDeque<DiskEvent>,
}

/// A machine with its process, if it runs.
pub struct Server {
    pub index: usize,
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
            index,
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

fn begin_walk(machine: &Machine) -> Walking {
    let own = |s: &str| Some(Cow::Owned(s.to_owned()));
    let record = |e: &AclEntry| Acl { perms: e.perms, id: Id { scheme: own(&e.scheme), id: own(&e.id) } };
    let image = Image {
        sessions: machine.sessions().into_iter().map(|(s, t)| (s, t.0 as i32)).collect(),
        acls: machine
            .acl_lists()
            .into_iter()
            .map(|(id, list)| (id, list.iter().map(record).collect()))
            .collect(),
        ..Image::default()
    };
    Walking { walk: SnapshotWalk::new(machine), zxid: machine.last_zxid(), image }
}

/// One slice; false when it was the last, `None` when the tree is another one by now.
fn slice(walking: &mut Walking, machine: &Machine, slots: u32) -> Option<bool> {
    let nodes = &mut walking.image.nodes;
    let progress = walking.walk.next_slice(machine, slots, &mut |path, data, acl, stat| {
        nodes.push((path.to_owned(), data.map(<[u8]>::to_vec), acl, stat.clone()));
    });
    match progress {
        walk::Progress::More => return Some(true),
        walk::Progress::Lost => return None,
        walk::Progress::Done => {}
    }
    walking.image.digest = machine.recorded_digest().map(|(zxid, sum)| (Zxid(zxid), sum.cast_signed()));
    walking.image.last = Some(machine.last_zxid());
    Some(false)
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
        if let Some(lost) = lost.filter(|_| !server.damaged && !bugs::is(Bug::EpochBeforeLog)) {
            return self.fail(|| format!("B: server {} lost what it had made durable: {lost}", n + 1));
        }
        let server = &mut self.servers[n];
        server.damaged = false;
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
            early: VecDeque::new(),
        });
        self.tell(|| format!("server {} starts at {last}", n + 1));
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

    fn set_timer(&mut self, n: usize) {
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
    fn touch(&mut self, n: usize) {
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

    // --- links -----------------------------------------------------------------------------------------------------

    /// Somebody connects to the port of leaders.
    pub fn accept_peer(&mut self, n: usize, pipe: u32) -> bool {
        let life = self.servers[n].life;
        let Some(live) = &mut self.servers[n].live else { return false };
        if !matches!(live.stage, Stage::Leading { .. }) {
            return false;
        }
        live.next_link += 1;
        let link = LinkId(live.next_link);
        live.links.insert(link, (pipe, 1));
        let entry = &mut self.pipes[pipe as usize];
        entry.ends[1] = End::Peer(n, life, link);
        entry.open[1] = true;
        entry.heard[1] = self.now;
        self.step(n, Input::Link(link, LinkInput::Accepted));
        true
    }

    pub fn link_input(&mut self, n: usize, life: u64, link: LinkId, input: LinkInput) {
        let Some(live) = self.live(n, life) else { return };
        if live.links.contains_key(&link) {
            self.step(n, Input::Link(link, input));
        }
    }

    pub fn link_lost(&mut self, n: usize, life: u64, link: LinkId) {
        let Some(live) = self.live(n, life) else { return };
        live.candidates.remove(&link);
        live.walks.remove(&Some(link));
        if live.links.remove(&link).is_some() {
            self.step(n, Input::Link(link, LinkInput::Lost));
        }
    }

    pub fn from_peer(&mut self, n: usize, life: u64, link: LinkId, message: Message) {
        match message {
            Message::Packet(packet) => {
                if let Packet::Ping(_) = packet {
                    self.touch(n);
                }
                self.tell(|| format!("server {} gets {packet:?} on {link:?}", n + 1));
                self.link_input(n, life, link, LinkInput::Packet(packet));
            }
            Message::Snapshot(zxid, image) => {
                self.tell(|| format!("server {} gets SNAP {zxid} on {link:?}", n + 1));
                let candidate = image.load(zxid);
                let reach = image.last.max(image.digest.map(|(z, _)| z)).unwrap_or_default();
                if let Some(live) = self.live(n, life) {
                    live.reaches.insert(link, reach);
                    live.candidates.insert(link, candidate);
                }
                self.link_input(n, life, link, LinkInput::Packet(Packet::Snap(zxid)));
            }
            Message::Bytes(_) | Message::Open | Message::Fin => {}
        }
    }

    // --- effects ---------------------------------------------------------------------------------------------------

    fn perform(&mut self, n: usize) {
        loop {
            let Some(live) = &mut self.servers[n].live else { return };
            if live.effects.is_empty() {
                break;
            }
            let mut effects = std::mem::take(&mut live.effects);
            for effect in effects.drain(..) {
                self.effect(n, effect);
                if self.servers[n].live.is_none() {
                    return;
                }
            }
            if let Some(live) = &mut self.servers[n].live
                && live.effects.is_empty()
            {
                live.effects = effects;
            }
        }
        self.begin_disk(n);
    }

    fn effect(&mut self, n: usize, effect: Effect) {
        let life = self.servers[n].life;
        let Some(live) = &mut self.servers[n].live else { return };
        match effect {
            Effect::Append(entry) => {
                let zxid = entry.zxid;
                self.servers[n].held.append(&entry);
                self.submit(n, Job::Command(DiskCommand::Append(entry)));
                if bugs::is(Bug::AckBeforeFsync) {
                    self.early(n, DiskEvent::Flushed(Flushed::mint(zxid)));
                }
            }
            Effect::SaveEpoch(file, epoch) => self.save_epoch(n, file, epoch),
            Effect::Truncate(zxid) => self.truncate(n, zxid),
            Effect::Commit(commit) => {
                let serving = live.serving();
                if serving {
                    let entry = commit.entry.get();
                    if let Err(why) = self.truth.committed(n, entry) {
                        return self.fail(|| format!("A: {why}"));
                    }
                }
                if let Some(live) = &mut self.servers[n].live {
                    live.ordered.push_back(Ordered::Commit(commit));
                }
            }
            Effect::FastForward(entries) => live.ordered.push_back(Ordered::FastForward(entries)),
            Effect::Synced(origin) => live.ordered.push_back(Ordered::Synced(origin)),
            Effect::Refuse(origin, code) => live.ordered.push_back(Ordered::Refused(origin, code)),
            Effect::ShowConfig(membership) => live.ordered.push_back(Ordered::Show(membership)),
            Effect::Prepare(link, entry) => {
                if let Some(candidate) = live.candidates.get_mut(&link)
                    && let Err(error) = candidate.replay(&entry.payload)
                {
                    self.fail(|| format!("server {} cannot prepare {}: {error}", n + 1, entry.zxid));
                }
            }
            Effect::Install(link, last) => self.install(n, link, last),
            Effect::Resumed { conn, session, timeout } => self.resumed(n, conn, session, timeout),
            Effect::OpenedLocal { conn, session, timeout } => self.resumed(n, conn, session, Some(timeout)),
            Effect::Notify(to, vote) => self.notify(n, to, vote),
            Effect::Connect { link, to, .. } => {
                let to = to.0 as usize - 1;
                let pipe = self.connect(End::Peer(n, life, link), to);
                if let Some(live) = &mut self.servers[n].live {
                    live.links.insert(link, (pipe, 0));
                }
            }
            Effect::Send(link, packet) => self.send_packet(n, link, packet),
            Effect::Stream(link, stream) => self.stream(n, link, stream),
            Effect::AskHistory(link, zxid) => {
                let plan = if self.plan.log_sync { self.plan_history(n, zxid) } else { None };
                let delay = self.rng.below(5_000);
                self.after(delay, Happening::History(n, life, link, plan));
            }
            Effect::Patience(link, span) => {
                if let Some((pipe, side)) = live.links.get(&link).copied() {
                    let us = span.0.max(1) as u64 * 1000;
                    let us =
                        (i128::from(us) * 1_000_000 / i128::from(1_000_000 + self.servers[n].ppm)) as u64;
                    let entry = &mut self.pipes[pipe as usize];
                    let first = entry.patience[side].replace(us).is_none();
                    entry.heard[side] = self.now;
                    if first {
                        self.after(us, Happening::Silence(pipe, side));
                    }
                }
            }
            Effect::Close(link) => {
                live.candidates.remove(&link);
                live.walks.remove(&Some(link));
                if let Some((pipe, side)) = live.links.remove(&link) {
                    self.close(pipe, side);
                }
            }
            Effect::Become(stage) => self.become_stage(n, stage),
            Effect::Config(ConfigEffect::Commit(membership)) => self.servers[n].config = membership,
            Effect::Config(ConfigEffect::Propose(_))
            | Effect::ClosedLocal { .. }
            | Effect::OverQuota(_)
            | Effect::Closing(..) => {}
            Effect::Say(level, text) => self.tell(|| format!("server {} says {level:?}: {text}", n + 1)),
        }
    }

    fn notify(&mut self, n: usize, to: ServerId, vote: quoll::replica::zab::Notification) {
        let to = to.0 as usize - 1;
        if to >= self.servers.len() {
            return;
        }
        let server = &self.servers[n];
        let Some(live) = &server.live else { return };
        let own = vote.vote.leader == server.id && vote.state == quoll::replica::zab::PeerState::Looking;
        if own && self.invariants && vote.vote.zxid > live.durable {
            let (zxid, durable) = (vote.vote.zxid, live.durable);
            return self
                .fail(|| format!("server {} votes with {zxid} while only {durable} is durable", n + 1));
        }
        let delay = self.delay();
        let last = self.vote_times.entry((n, to)).or_default();
        let at = (self.now + delay).max(*last);
        *last = at;
        self.held_votes.remove(&(n, to));
        self.tell(|| {
            format!(
                "server {} votes {:?} {:?} round {} to {}",
                n + 1,
                vote.state,
                vote.vote,
                vote.round,
                to + 1
            )
        });
        if self.plan.twice_one_in > 0 && !self.calm && self.rng.one_in(self.plan.twice_one_in) {
            self.count(Kind::DuplicateVote);
            self.at(at + 1, Happening::Vote(n, to, Box::new(vote.clone())));
        }
        self.at(at, Happening::Vote(n, to, Box::new(vote)));
    }

    fn send_packet(&mut self, n: usize, link: LinkId, packet: Packet) {
        let Some(live) = &mut self.servers[n].live else { return };
        let Some((pipe, side)) = live.links.get(&link).copied() else { return };
        if let Packet::Snap(zxid) = packet {
            live.snaps.insert(link, zxid);
            return;
        }
        if let Packet::Ack(zxid) = packet
            && zxid.counter() != 0
            && zxid > live.durable
            && self.invariants
        {
            let durable = live.durable;
            return self.fail(|| format!("server {} acknowledges {zxid}, durable is {durable}", n + 1));
        }
        self.send(pipe, side, Message::Packet(packet));
    }

    fn stream(&mut self, n: usize, link: LinkId, stream: Stream) {
        let life = self.servers[n].life;
        let Some(live) = &mut self.servers[n].live else { return };
        let Some((pipe, side)) = live.links.get(&link).copied() else { return };
        match stream {
            Stream::Snapshot => {
                live.walks.insert(Some(link), begin_walk(&live.machine));
                self.pipes[pipe as usize].blocked[side] = true;
                let delay = self.delay();
                self.after(delay, Happening::Walk(n, life, Some(link)));
            }
            Stream::History { after, until } => {
                for entry in self.logged(n, after, until) {
                    let zxid = entry.zxid;
                    self.send(pipe, side, Message::Packet(Packet::Proposal(entry)));
                    self.send(pipe, side, Message::Packet(Packet::Commit(zxid)));
                }
            }
        }
    }

    /// The next slice of a tree.
    pub fn walk(&mut self, n: usize, life: u64, link: Option<LinkId>) {
        let Some(live) = self.live(n, life) else { return };
        let Live { walks, machine, links, snaps, .. } = live;
        let Some(walking) = walks.get_mut(&link) else { return };
        match slice(walking, machine, SLICE) {
            Some(true) => {
                let delay = self.rng.below(4_000);
                return self.after(delay, Happening::Walk(n, life, link));
            }
            None => {
                // The tree is another one: a file is given up, a link ends.
                walks.remove(&link);
                if let Some((pipe, side)) = link.and_then(|link| links.get(&link).copied()) {
                    self.close(pipe, side);
                    self.link_lost(n, life, link.unwrap_or_default());
                }
                return;
            }
            Some(false) => {}
        }
        let Some(walking) = walks.remove(&link) else { return };
        let Some(link) = link else {
            live.disk.submit(Job::Snapshot(walking.zxid, Box::new(walking.image)));
            return self.begin_disk(n);
        };
        let (Some((pipe, side)), Some(zxid)) = (links.get(&link).copied(), snaps.remove(&link)) else {
            return;
        };
        self.pipes[pipe as usize].blocked[side] = false;
        self.send(pipe, side, Message::Snapshot(zxid, Box::new(walking.image)));
        self.unblock(pipe, side);
        self.link_input(n, life, link, LinkInput::Streamed);
        self.step(n, Input::Link(link, LinkInput::Streamed));
    }

    fn become_stage(&mut self, n: usize, stage: Stage) {
        self.tell(|| format!("server {} becomes {stage:?}", n + 1));
        let life = self.servers[n].life;
        let Some(live) = &mut self.servers[n].live else { return };
        let was_serving = live.serving();
        live.stage = stage;
        match stage {
            Stage::Looking => {
                live.candidates.clear();
                live.snaps.clear();
                live.walks.retain(|link, _| link.is_none());
                let links: Vec<_> = std::mem::take(&mut live.links).into_values().collect();
                let conns: Vec<u32> = live.conns.keys().copied().collect();
                for (pipe, side) in links {
                    self.close(pipe, side);
                }
                for pipe in conns {
                    self.drop_conn(n, pipe);
                }
            }
            Stage::Leading { serving: false } => {
                let open = !std::mem::take(&mut self.servers[n].no_port);
                let delay = self.rng.below(2_000);
                self.after(delay, Happening::Listening(n, life, open));
            }
            Stage::Leading { serving: true } if !was_serving => {
                let me = live.replica.as_member().expect("a member");
                let (epoch, server) = (me.current, &self.servers[n]);
                if let Err(why) = self.truth.established(n, epoch, &server.held) {
                    self.fail(|| format!("A: {why}"));
                }
            }
            _ => {}
        }
    }

    // --- the disk --------------------------------------------------------------------------------------------------

    pub fn submit(&mut self, n: usize, job: Job) {
        if let Some(live) = &mut self.servers[n].live {
            live.disk.submit(job);
        }
    }

    fn early(&mut self, n: usize, event: DiskEvent) {
        if let Some(live) = &mut self.servers[n].live {
            live.early.push_back(event);
        }
    }

    fn save_epoch(&mut self, n: usize, file: quoll::types::EpochFile, epoch: Epoch) {
        use quoll::types::EpochFile;
        self.servers[n].held.asked = self.servers[n].held.asked.max(epoch);
        let Some(live) = &mut self.servers[n].live else { return };
        if bugs::is(Bug::EpochReuse) && file == EpochFile::Accepted {
            return self.early(n, DiskEvent::EpochSaved(file, epoch));
        }
        if bugs::is(Bug::EpochBeforeLog) && file == EpochFile::Current {
            // Ahead of everything that waits, and nobody waits for that.
            let waiting = live.disk.take_waiting();
            live.disk.submit(Job::Command(DiskCommand::SaveEpoch(file, epoch)));
            for job in waiting {
                live.disk.submit(job);
            }
            let last = self.servers[n].held.last();
            return self.early(n, DiskEvent::Flushed(Flushed::mint(last)));
        }
        self.submit(n, Job::Command(DiskCommand::SaveEpoch(file, epoch)));
    }

    fn truncate(&mut self, n: usize, zxid: Zxid) {
        self.tell(|| format!("server {} truncates behind {zxid}", n + 1));
        if bugs::is(Bug::NoTrunc) {
            return self.early(n, DiskEvent::Truncated(Truncated { last: zxid, recoverable: true }));
        }
        let Some(live) = &mut self.servers[n].live else { return };
        if bugs::is(Bug::WriteAfterRoleChange) {
            // What the last role wrote last comes behind the cut.
            let late = self.servers[n].held.entries.last_key_value().map(|(z, p)| (*z, p.clone()));
            self.submit(n, Job::Command(DiskCommand::TruncateAfter(zxid)));
            if let Some((zxid, payload)) = late {
                self.submit(n, Job::Command(DiskCommand::Append(Entry { zxid: Zxid(zxid), payload })));
            }
        } else {
            live.disk.submit(Job::Command(DiskCommand::TruncateAfter(zxid)));
        }
        self.servers[n].held.cut(zxid);
    }

    fn install(&mut self, n: usize, link: LinkId, last: Zxid) {
        self.tell(|| format!("server {} installs {last}", n + 1));
        let Some(live) = &mut self.servers[n].live else { return };
        let Some(candidate) = live.candidates.remove(&link) else {
            return self.fail(|| format!("server {} installs a snapshot that it has not", n + 1));
        };
        let mut walking = begin_walk(&candidate);
        let _ = slice(&mut walking, &candidate, u32::MAX);
        if let Some(live) = &mut self.servers[n].live {
            live.disk.submit(Job::Install(last, Box::new(walking.image)));
            live.installing = Some((link, candidate));
        }
        self.servers[n].held.replace(last);
    }

    pub fn begin_disk(&mut self, n: usize) {
        let server = &mut self.servers[n];
        let Some(live) = &mut server.live else { return };
        if !live.disk.can_begin() {
            return;
        }
        match live.disk.begin() {
            Err(error) => self.die(n, &error.to_string()),
            Ok(false) => self.begin_disk(n),
            Ok(true) => self.disk_later(n),
        }
    }

    fn disk_later(&mut self, n: usize) {
        let mut delay = 20 + self.rng.below(self.plan.disk);
        if self.servers[n].slow_disk_until > self.now {
            delay += self.servers[n].slow_disk_until - self.now;
        }
        let life = self.servers[n].life;
        self.after(delay, Happening::Disk(n, life));
    }

    /// The disk tells what it has done.
    pub fn disk_done(&mut self, n: usize, life: u64) {
        let Some(live) = self.live(n, life) else { return };
        let Some(report) = live.disk.tell() else { return };
        match report {
            DiskEvent::Flushed(proof) => {
                live.durable = live.durable.max(proof.zxid());
                self.servers[n].held.flushed(proof.zxid());
                self.step(n, Input::Flushed(proof));
            }
            DiskEvent::EpochSaved(file, epoch) => {
                let held = &mut self.servers[n].held;
                held.promised = held.promised.max(epoch);
                self.step(n, Input::EpochSaved(file, epoch));
            }
            DiskEvent::SnapshotDue => {
                if !live.walks.contains_key(&None) {
                    live.walks.insert(None, begin_walk(&live.machine));
                    self.after(1_000, Happening::Walk(n, life, None));
                }
            }
            DiskEvent::Truncated(done) => {
                if live.installing.is_none() {
                    self.truncated(n, done.last);
                }
            }
            DiskEvent::Fatal(error) => self.die(n, &error.to_string()),
            DiskEvent::Restarted(last) => {
                live.durable = last;
                if let Some((link, candidate)) = live.installing.take() {
                    live.machine = candidate;
                    live.reach = Zxid::ZERO;
                    if live.reaches.remove(&link).is_some_and(|reach| reach > last) {
                        return self.fail(|| {
                            format!("R: server {} installs a tree of {last} that shows more", n + 1)
                        });
                    }
                    live.walks.remove(&None);
                    self.servers[n].held.flushed(last);
                    self.step(n, Input::Installed(link, last));
                }
            }
        }
        let Some(live) = self.live(n, life) else { return };
        if live.disk.has_more() {
            self.disk_later(n);
        } else {
            self.begin_disk(n);
        }
    }

    fn truncated(&mut self, n: usize, last: Zxid) {
        let Some(live) = &mut self.servers[n].live else { return };
        live.reach = Zxid::ZERO;
        if last == Zxid::ZERO {
            live.machine = Machine::new(MACHINE);
            self.servers[n].held.replace(Zxid::ZERO);
        } else {
            match live.disk.rebuild() {
                Ok((found, machine)) if found.last_zxid == last || bugs::is(Bug::WriteAfterRoleChange) => {
                    live.reach = found.uncovered.unwrap_or_default();
                    live.machine = machine;
                }
                Ok((found, _)) => {
                    return self.fail(|| format!("cut at {last}, recovered to {}", found.last_zxid));
                }
                Err(error) => {
                    return self.fail(|| format!("nothing to recover behind a cut at {last}: {error}"));
                }
            }
        }
        let Some(live) = &mut self.servers[n].live else { return };
        live.walks.remove(&None);
        live.durable = last;
        self.step(n, Input::Truncated(last));
    }

    /// Transactions of the log on disk behind `after`, up to `until`.
    fn logged(&self, n: usize, after: Zxid, until: Zxid) -> Vec<Entry> {
        let Some(live) = &self.servers[n].live else { return Vec::new() };
        let dir = &live.disk.dir;
        let mut found: Vec<Entry> = Vec::new();
        for file in files_behind(dir.log_files().unwrap_or_default(), after) {
            let Ok(mut cursor) = LogCursor::open(&*dir.files, &file.path, 1 << 20) else { continue };
            while let Ok(Next::Record(r)) = cursor.step() {
                if r.zxid > after && r.zxid <= until && found.last().is_none_or(|e| r.zxid > e.zxid) {
                    found.push(Entry { zxid: r.zxid, payload: r.payload });
                }
            }
        }
        found
    }

    /// What the log holds around and behind a zxid.
    fn plan_history(&self, n: usize, zxid: Zxid) -> Option<HistoryPlan> {
        let live = self.servers[n].live.as_ref()?;
        let until = live.durable;
        let all = self.logged(n, Zxid(-1), until);
        let at = all.iter().rev().map(|e| e.zxid).find(|z| *z <= zxid)?;
        let mut last = at;
        for entry in all.iter().filter(|e| e.zxid > at) {
            if !quoll::store::log_reader::follows(last, entry.zxid) {
                return None;
            }
            last = entry.zxid;
        }
        (last == until).then_some(HistoryPlan { at, until })
    }
}
