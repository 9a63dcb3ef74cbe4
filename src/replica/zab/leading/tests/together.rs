//! Three whole replicas over real trees in one room: a leader and two learners that come and go. Disks write at once
//! and the network loses nothing but connections; `tests/sim` is where the rest goes wrong.

use crate::auth::{Identity, Rules};
use crate::config::ensemble::Membership;
use crate::replica::io::{ClientWrite, Effect, Effects, HistoryPlan, Input, LinkInput, Stage, Stream};
use crate::replica::zab::member::Begin;
use crate::replica::zab::{EnsembleSettings, Ledger, Notification, Packet, Views};
use crate::replica::{Origin, Replica, ReplicaSettings};
use crate::state::{Machine, Settings, TreeView as _};
use crate::types::{
    ConnId, Entry, Epoch, EpochFile, Flushed, LinkId, Millis, Now, ServerId, SessionId, Zxid,
};
use crate::wire::WriteRequest;
use jute::OpCode;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

const THREE: &str = "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\nversion=0";

/// What waits to be told to a server.
enum Told {
    Flushed(Zxid),
    Saved(EpochFile, Epoch),
    Truncated(Zxid),
    Installed(LinkId, Zxid),
    History(LinkId, Option<HistoryPlan>),
    Applied(Zxid),
    Vote(ServerId, Notification),
    Link(LinkId, LinkInput),
    Listening,
}

/// What a server keeps when it is killed, and what it is.
struct Node {
    replica: Option<Replica>,
    machine: Machine,
    /// The snapshot, as the transactions in it, and the log behind it.
    base: Vec<Entry>,
    log: Vec<Entry>,
    accepted: Epoch,
    current: Epoch,
    stage: Stage,
    told: VecDeque<Told>,
    candidates: BTreeMap<LinkId, Vec<Entry>>,
    /// Transactions in the tree.
    applied: usize,
}

impl Node {
    fn new() -> Self {
        Self {
            replica: None,
            machine: Machine::new(Settings::default()),
            base: Vec::new(),
            log: Vec::new(),
            accepted: Epoch(0),
            current: Epoch(0),
            stage: Stage::Looking,
            told: VecDeque::new(),
            candidates: BTreeMap::new(),
            applied: 0,
        }
    }

    fn history(&self) -> impl Iterator<Item = &Entry> {
        self.base.iter().chain(&self.log)
    }

    fn last(&self) -> Zxid {
        self.history().last().map_or(Zxid::ZERO, |e| e.zxid)
    }

    fn apply(&mut self, entry: &Entry) {
        assert!(entry.zxid > self.machine.last_zxid(), "{} twice", entry.zxid);
        self.machine.replay(&entry.payload).unwrap();
        self.applied += 1;
    }

    /// The tree anew from the disk.
    fn rebuild(&mut self) {
        self.machine = Machine::new(Settings::default());
        self.applied = 0;
        for entry in self.history().cloned().collect::<Vec<_>>() {
            self.apply(&entry);
        }
    }
}

struct Room {
    nodes: BTreeMap<i64, Node>,
    /// Both ends of each connection, from each end.
    wires: BTreeMap<(i64, LinkId), (i64, LinkId)>,
    accepted: u64,
    now: Now,
    /// First packets of synchronizations, as `leader>learner WAY`.
    ways: Vec<String>,
    synced: Vec<i32>,
    session: SessionId,
    /// How far memory reaches back in a server that starts.
    remembers: usize,
    /// Does the log help learners?
    log_helps: bool,
}

impl Room {
    fn new() -> Self {
        let mut room = Self {
            nodes: (1..=3).map(|id| (id, Node::new())).collect(),
            wires: BTreeMap::new(),
            accepted: 0,
            now: Now { mono: Millis(1000), wall: 1_700_000_000_000 },
            ways: Vec::new(),
            synced: Vec::new(),
            session: SessionId(0),
            remembers: usize::MAX,
            log_helps: true,
        };
        for id in 1..=3 {
            room.start(id);
        }
        room
    }

    fn start(&mut self, id: i64) {
        let now = self.now;
        let node = self.nodes.get_mut(&id).unwrap();
        node.rebuild();
        let recent = node.log[node.log.len().saturating_sub(self.remembers)..].to_vec();
        let begin = Begin {
            id: ServerId(id),
            views: Views::new(Arc::new(Membership::from_text(THREE.as_bytes(), false).unwrap())),
            ledger: Ledger::new(node.last(), recent, 500),
            accepted: node.accepted,
            current: node.current,
            may_vote: true,
            fresh: false,
            seed: 7 + id.unsigned_abs(),
        };
        let settings =
            ReplicaSettings { server_id: ServerId(id), tick: Millis(2000), ..ReplicaSettings::default() };
        let replica = Replica::member(begin, settings, EnsembleSettings::default(), Rules::default(), now);
        node.replica = Some(replica);
        self.step(id, Input::Tick);
    }

    fn kill(&mut self, id: i64) {
        self.close_all(id);
        let node = self.nodes.get_mut(&id).unwrap();
        (node.replica, node.stage) = (None, Stage::Looking);
        node.told.clear();
    }

    fn close(&mut self, id: i64, link: LinkId) {
        if let Some((other, there)) = self.wires.remove(&(id, link)) {
            self.wires.remove(&(other, there));
            self.tell(other, Told::Link(there, LinkInput::Lost));
        }
    }

    fn close_all(&mut self, id: i64) {
        let links: Vec<LinkId> =
            self.wires.keys().filter(|(node, _)| *node == id).map(|(_, link)| *link).collect();
        for link in links {
            self.close(id, link);
        }
    }

    fn tell(&mut self, id: i64, told: Told) {
        let node = self.nodes.get_mut(&id).unwrap();
        if node.replica.is_some() {
            node.told.push_back(told);
        }
    }

    fn step(&mut self, id: i64, input: Input<'_>) {
        let mut out = Effects::new();
        let node = self.nodes.get_mut(&id).unwrap();
        if let Some(replica) = &mut node.replica {
            replica.step(self.now, input, &node.machine, &mut out);
        }
        for effect in out {
            self.perform(id, effect);
        }
    }

    fn packet(&mut self, id: i64, link: LinkId, packet: Packet) {
        if let Some((other, there)) = self.wires.get(&(id, link)).copied() {
            self.tell(other, Told::Link(there, LinkInput::Packet(packet)));
        }
    }

    fn perform(&mut self, id: i64, effect: Effect) {
        let node = self.nodes.get_mut(&id).unwrap();
        match effect {
            Effect::Append(entry) => {
                assert!(entry.zxid > node.last(), "{} behind {}", entry.zxid, node.last());
                let zxid = entry.zxid;
                node.log.push(entry);
                self.tell(id, Told::Flushed(zxid));
            }
            Effect::SaveEpoch(file, epoch) => {
                let place = if file == EpochFile::Accepted { &mut node.accepted } else { &mut node.current };
                assert!(epoch >= *place);
                *place = epoch;
                self.tell(id, Told::Saved(file, epoch));
            }
            Effect::Truncate(last) => {
                node.log.retain(|e| e.zxid <= last);
                node.rebuild();
                let last = node.last();
                self.tell(id, Told::Truncated(last));
            }
            Effect::Commit(commit) => {
                node.apply(commit.entry.get());
                self.tell(id, Told::Applied(commit.entry.get().zxid));
            }
            Effect::FastForward(entries) => {
                entries.iter().for_each(|entry| node.apply(entry));
                let last = node.machine.last_zxid();
                self.tell(id, Told::Applied(last));
            }
            Effect::Prepare(link, entry) => node.candidates.get_mut(&link).unwrap().push(entry),
            Effect::Install(link, last) => {
                node.base = node.candidates.remove(&link).unwrap();
                node.log.clear();
                node.rebuild();
                assert_eq!(node.last(), last);
                self.tell(id, Told::Installed(link, last));
            }
            Effect::Synced(origin) => self.synced.push(origin.xid),
            Effect::Notify(to, notification) => self.tell(to.0, Told::Vote(ServerId(id), notification)),
            Effect::Connect { link, to, .. } => self.connect(id, link, to.0),
            Effect::Send(_, Packet::Snap(_)) => {}
            Effect::Send(link, packet) => {
                if let Packet::Diff(_) | Packet::Trunc(_) = &packet {
                    self.note(id, link, if matches!(packet, Packet::Diff(_)) { "DIFF" } else { "TRUNC" });
                }
                self.packet(id, link, packet);
            }
            Effect::Stream(link, Stream::Snapshot) => self.snapshot(id, link),
            Effect::Stream(link, Stream::History { after, until }) => {
                let rest = node.history().filter(|e| e.zxid > after && e.zxid <= until).cloned();
                for entry in rest.collect::<Vec<_>>() {
                    let zxid = entry.zxid;
                    self.packet(id, link, Packet::Proposal(entry));
                    self.packet(id, link, Packet::Commit(zxid));
                }
                self.note(id, link, "LOG");
            }
            Effect::AskHistory(link, peer) => {
                let at = node.log.iter().rev().map(|e| e.zxid).find(|z| *z <= peer);
                let at = at.or(node.base.is_empty().then_some(Zxid::ZERO));
                let plan = at.map(|at| HistoryPlan { at, until: node.last() });
                let plan = plan.filter(|_| self.log_helps);
                self.tell(id, Told::History(link, plan));
            }
            Effect::Close(link) => self.close(id, link),
            Effect::Become(stage) => {
                node.stage = stage;
                match stage {
                    Stage::Looking => self.close_all(id),
                    Stage::Leading { serving: false } => self.tell(id, Told::Listening),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn connect(&mut self, id: i64, link: LinkId, to: i64) {
        if !matches!(self.nodes[&to].stage, Stage::Leading { .. }) {
            return self.tell(id, Told::Link(link, LinkInput::Lost));
        }
        self.accepted += 1;
        let there = LinkId(self.accepted);
        self.wires.insert((id, link), (to, there));
        self.wires.insert((to, there), (id, link));
        self.tell(to, Told::Link(there, LinkInput::Accepted));
        self.tell(id, Told::Link(link, LinkInput::Connected));
    }

    fn note(&mut self, id: i64, link: LinkId, way: &str) {
        if let Some((other, _)) = self.wires.get(&(id, link)) {
            self.ways.push(format!("{id}>{other} {way}"));
        }
    }

    /// The whole tree, and only then the packet before it.
    fn snapshot(&mut self, id: i64, link: LinkId) {
        let Some((other, there)) = self.wires.get(&(id, link)).copied() else { return };
        self.note(id, link, "SNAP");
        let node = &self.nodes[&id];
        let candidate: Vec<Entry> = node.history().take(node.applied).cloned().collect();
        let last = candidate.last().map_or(Zxid::ZERO, |e| e.zxid);
        self.nodes.get_mut(&other).unwrap().candidates.insert(there, candidate);
        self.packet(id, link, Packet::Snap(last));
        self.tell(id, Told::Link(link, LinkInput::Streamed));
    }

    /// Tells everybody what waits, in turns, until nothing does.
    fn settle(&mut self) {
        for _ in 0..100_000 {
            let Some(id) = self.nodes.iter().find(|(_, n)| !n.told.is_empty()).map(|(id, _)| *id) else {
                return;
            };
            match self.nodes.get_mut(&id).unwrap().told.pop_front().unwrap() {
                Told::Flushed(zxid) => self.step(id, Input::Flushed(Flushed::mint(zxid))),
                Told::Saved(file, epoch) => self.step(id, Input::EpochSaved(file, epoch)),
                Told::Truncated(last) => self.step(id, Input::Truncated(last)),
                Told::Installed(link, last) => self.step(id, Input::Installed(link, last)),
                Told::History(link, plan) => self.step(id, Input::History(link, plan)),
                Told::Applied(zxid) => self.step(id, Input::Applied(zxid, &[])),
                Told::Vote(from, vote) => self.step(id, Input::Vote(from, vote)),
                Told::Link(link, input) => self.step(id, Input::Link(link, input)),
                Told::Listening => self.step(id, Input::Listening(true)),
            }
        }
        panic!("it never comes to rest");
    }

    /// Lets time pass until it is so.
    fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..2000 {
            self.settle();
            if is_so(self) {
                return;
            }
            let next = self.nodes.values().filter_map(|n| n.replica.as_ref()?.deadline()).min().unwrap();
            self.now.mono = Millis(next.0.max(self.now.mono.0 + 1));
            let due: Vec<i64> = self.nodes.keys().copied().collect();
            for id in due {
                let deadline = self.nodes[&id].replica.as_ref().and_then(Replica::deadline);
                if deadline.is_some_and(|at| at <= self.now.mono) {
                    self.step(id, Input::Tick);
                }
            }
        }
        panic!("never: {what}; {:?}", self.nodes.values().map(|n| n.stage).collect::<Vec<_>>());
    }

    fn leader(&self) -> Option<i64> {
        self.nodes.iter().find(|(_, n)| n.stage == Stage::Leading { serving: true }).map(|(id, _)| *id)
    }

    /// All that run serve, and their trees and histories are the same.
    fn agree(&mut self, servers: &[i64]) {
        let ids = servers.to_vec();
        self.until("all serve", move |room| {
            ids.iter().all(|id| {
                matches!(
                    room.nodes[id].stage,
                    Stage::Leading { serving: true } | Stage::Following { serving: true }
                )
            })
        });
        let of = |id: &i64| {
            let node = &self.nodes[id];
            let history: Vec<Entry> = node.history().cloned().collect();
            (node.machine.last_zxid(), node.machine.digest(), node.machine.node_count(), history)
        };
        let want = of(&servers[0]);
        for id in servers {
            let got = of(id);
            assert_eq!((got.0, got.1, got.2), (want.0, want.1, want.2), "tree of {id}");
            assert_eq!(got.3, want.3, "history of {id}");
            assert_eq!(self.nodes[id].machine.digest_mismatches(), 0);
        }
    }

    fn open_session(&mut self) {
        let leader = self.leader().unwrap();
        self.step(leader, Input::OpenSession { conn: ConnId(1), timeout: Millis(600_000) });
        self.settle();
        self.session = self.nodes[&leader].machine.sessions()[0].0;
    }

    fn write(&mut self, id: i64, path: &str) {
        let (session, ids) = (self.session, [Identity::new("ip", "127.0.0.1")]);
        let create = super::rig::create(path, 0);
        let body = jute::encode(&create);
        let origin = Origin { conn: ConnId(1), xid: 1 };
        let request = WriteRequest::Create(OpCode::Create, create);
        let op = OpCode::Create.code();
        self.step(id, Input::Write(ClientWrite { origin, session, ids: &ids, op, body: &body, request }));
    }

    fn writes(&mut self, id: i64, names: std::ops::Range<u32>) {
        for n in names {
            self.write(id, &format!("/n{n}"));
        }
        self.settle();
    }
}

#[test]
fn writes_through_any_server_are_in_all_and_who_was_away_gets_a_diff() {
    let mut room = Room::new();
    room.agree(&[1, 2, 3]);
    assert_eq!(room.leader(), Some(3));
    room.open_session();
    room.writes(3, 0..5);
    room.agree(&[1, 2, 3]);
    assert_eq!(room.nodes[&1].machine.last_zxid(), Zxid::new(Epoch(1), 6));
    room.kill(1);
    room.writes(3, 5..10);
    room.ways.clear();
    room.start(1);
    room.agree(&[1, 2, 3]);
    assert_eq!(room.ways, ["3>1 DIFF"]);
    assert!(room.nodes[&1].machine.node("/n9").is_some());
    // Through a follower, with a sync behind it.
    let origin = Origin { conn: ConnId(1), xid: 77 };
    let session = room.session;
    room.step(
        1,
        Input::Sync { origin, session, ids: &[], body: &jute::encode(&Some(jute::Text::from("/"))) },
    );
    room.settle();
    assert_eq!(room.synced, [77]);
}

#[test]
fn a_leader_s_own_tail_is_cut_when_it_comes_back_early_and_replaced_when_late() {
    for late in [false, true] {
        let mut room = Room::new();
        room.agree(&[1, 2, 3]);
        room.open_session();
        room.writes(3, 0..5);
        room.kill(1);
        room.kill(2);
        room.writes(3, 5..8);
        assert_eq!(room.nodes[&3].log.len(), 9, "logged, and committed by nobody");
        room.kill(3);
        assert!(room.nodes[&3].machine.node("/n5").is_none());
        room.start(1);
        room.start(2);
        room.agree(&[1, 2]);
        assert_eq!(room.leader(), Some(2));
        if late {
            room.open_session();
        }
        room.ways.clear();
        room.start(3);
        assert!(room.nodes[&3].machine.node("/n5").is_some(), "after a restart it counts here");
        room.agree(&[1, 2, 3]);
        assert_eq!(room.ways, [if late { "2>3 SNAP" } else { "2>3 TRUNC" }]);
        assert!(room.nodes[&3].machine.node("/n5").is_none());
        room.writes(2, 20..22);
        room.agree(&[1, 2, 3]);
    }
}

#[test]
fn a_wiped_server_is_brought_back_from_the_log_or_by_a_snapshot() {
    for log_helps in [true, false] {
        let mut room = Room::new();
        (room.log_helps, room.remembers) = (log_helps, 2);
        room.agree(&[1, 2, 3]);
        room.open_session();
        room.writes(3, 0..5);
        // All start again, so that little is in memory.
        for id in 1..=3 {
            room.kill(id);
        }
        *room.nodes.get_mut(&1).unwrap() = Node::new();
        room.start(2);
        room.start(3);
        room.agree(&[2, 3]);
        room.writes(3, 5..6);
        room.ways.clear();
        room.start(1);
        room.agree(&[1, 2, 3]);
        let want: &[&str] = if log_helps { &["3>1 DIFF", "3>1 LOG"] } else { &["3>1 SNAP"] };
        assert_eq!(room.ways, want);
        room.writes(3, 6..9);
        room.agree(&[1, 2, 3]);
        room.kill(3);
        room.agree(&[1, 2]);
        room.open_session();
        room.writes(room.leader().unwrap(), 9..12);
        room.start(3);
        room.agree(&[1, 2, 3]);
    }
}
