//! A leader over a tree that always has what was committed, with a performer that writes effects down.

use super::*;
use crate::auth::{AccessList, Identity, Rules};
use crate::config::ensemble::Membership;
use crate::replica::ReplicaSettings;
use crate::replica::io::{ConfigEffect, Effects, Stream};
use crate::replica::zab::member::Begin;
use crate::replica::zab::{EnsembleSettings, Forwarded, Ledger, PROTOCOL, Views};
use crate::state::NodeView;
use crate::state::quota::Verdict;
use crate::types::{EpochFile, Flushed, Owner};
use crate::wire::WriteRequest;
use jute::records::data::{Acl, Id, StatPersisted};
use jute::records::proto::{CreateRequest, ReconfigRequest};
use jute::records::txn::{ErrorTxn, TxnHeader};
use jute::{OpCode, Reader, Record};
use std::collections::VecDeque;
use std::sync::Arc;

/// The root, the configuration's node, and one session.
pub(super) struct Tree(Zxid);

impl TreeView for Tree {
    fn node(&self, path: &str) -> Option<NodeView<'_>> {
        ["/", "", "/zookeeper/config"].contains(&path).then(|| NodeView {
            stat: StatPersisted::default(),
            owner: Owner::Persistent,
            num_children: 0,
            acl: AccessList::Open,
            data: None,
        })
    }
    fn last_zxid(&self) -> Zxid {
        self.0
    }
    fn digest(&self) -> Option<u64> {
        Some(0)
    }
    fn ephemerals(&self, _: SessionId) -> Vec<Box<str>> {
        vec![]
    }
    fn sessions(&self) -> Vec<(SessionId, Millis)> {
        vec![(SessionId(1), Millis(3_600_000))]
    }
    fn check_quota(&self, _: &str, _: i64, _: i64) -> Verdict {
        Verdict::Within
    }
}

pub(super) fn z(epoch: i64, counter: u32) -> Zxid {
    Zxid::new(Epoch(epoch), counter)
}

fn short(zxid: Zxid) -> String {
    format!("{}:{}", zxid.epoch().0, zxid.counter())
}

pub(super) fn create(path: &str, flags: i32) -> CreateRequest<'_> {
    let open = Acl { perms: 31, id: Id { scheme: Some("world".into()), id: Some("anyone".into()) } };
    CreateRequest { path: Some(path.into()), data: None, acl: Some(vec![open]), flags }
}

pub(super) struct Rig {
    pub(super) me: Member,
    pub(super) role: Leading,
    pub(super) tree: Tree,
    pub(super) now: Now,
    pub(super) flow: Flow,
    pub(super) session: SessionId,
    saves: VecDeque<(EpochFile, Epoch)>,
    appended: Option<Entry>,
}

impl Rig {
    /// Server 3 of this membership, whose history ends here. A tick is two seconds, initLimit 10, syncLimit 5.
    pub(super) fn new(membership: &str, last: Zxid) -> Self {
        let begin = Begin {
            id: ServerId(3),
            views: Views::new(Arc::new(Membership::from_text(membership.as_bytes(), false).unwrap())),
            ledger: Ledger::new(last, [], 500),
            accepted: Epoch(0),
            current: Epoch(0),
            may_vote: true,
            fresh: false,
            seed: 1,
        };
        let settings = ReplicaSettings { tick: Millis(2000), server_id: ServerId(3), ..Default::default() };
        let rules = Rules::default();
        let mut me = Member::new(begin, settings, EnsembleSettings::default(), rules, Now::default());
        me.vote.leader = ServerId(3);
        let tree = Tree(last);
        let role = Self::begin(&mut me, &tree);
        Self {
            me,
            role,
            tree,
            now: Now::default(),
            flow: Flow::Stay,
            session: SessionId(1),
            saves: VecDeque::new(),
            appended: None,
        }
    }

    pub(super) fn begin(me: &mut Member, tree: &Tree) -> Leading {
        let mut out = Effects::new();
        Leading::begin(&mut Ctx { now: Now::default(), tree, me, out: &mut out })
    }

    /// A leader of epoch 1 with these followers.
    pub(super) fn serving(followers: &[u64]) -> Self {
        let mut rig = Self::new(THREE, Zxid::ZERO);
        rig.serve(followers);
        rig
    }

    pub(super) fn serve(&mut self, followers: &[u64]) {
        self.step(Input::Listening(true));
        for link in followers {
            self.accept(*link);
            self.packet(*link, Self::hello(*link as i64, 0));
        }
        self.saved();
        for link in followers {
            self.packet(*link, Self::ack_epoch(Zxid::ZERO, 0));
        }
        self.saved();
        for link in followers {
            self.packet(*link, Packet::Ack(z(1, 0)));
        }
        assert_eq!(self.role.agreement.step, Step::Serving);
    }

    pub(super) fn at(&mut self, mono: i64) {
        self.now.mono = Millis(mono);
    }

    pub(super) fn hello(server: i64, accepted: i64) -> Packet {
        Packet::Hello(LearnerHello {
            observer: false,
            accepted: Epoch(accepted),
            server: Some(ServerId(server)),
            protocol: PROTOCOL,
            config_version: 0,
        })
    }

    pub(super) fn ack_epoch(last: Zxid, current: i64) -> Packet {
        Packet::AckEpoch { last, current: Some(Epoch(current)) }
    }

    pub(super) fn request(session: i64, op: i32, body: &[u8], ids: bool) -> Packet {
        let ids = ids.then(|| vec![Identity::new("ip", "127.0.0.1")]);
        let body = bytes::Bytes::copy_from_slice(body);
        Packet::Request(Forwarded { session: SessionId(session), cxid: 1, op, body, ids })
    }

    pub(super) fn accept(&mut self, link: u64) -> String {
        self.link(link, LinkInput::Accepted)
    }

    pub(super) fn link(&mut self, link: u64, input: LinkInput) -> String {
        self.step(Input::Link(LinkId(link), input))
    }

    pub(super) fn packet(&mut self, link: u64, packet: Packet) -> String {
        self.link(link, LinkInput::Packet(packet))
    }

    pub(super) fn origin(xid: i32) -> Origin {
        Origin { conn: ConnId(1), xid }
    }

    fn client(&mut self, xid: i32, request: WriteRequest<'_>) -> String {
        let (origin, session) = (Self::origin(xid), self.session);
        let ids = [Identity::new("ip", "127.0.0.1")];
        self.step(Input::Write(ClientWrite { origin, session, ids: &ids, op: 0, body: &[], request }))
    }

    pub(super) fn write(&mut self, xid: i32, path: &str) -> String {
        self.client(xid, WriteRequest::Create(OpCode::Create, create(path, 0)))
    }

    pub(super) fn ephemeral(&mut self, xid: i32, path: &str) -> String {
        self.client(xid, WriteRequest::Create(OpCode::Create, create(path, 1)))
    }

    pub(super) fn reconfig(&mut self, xid: i32, members: &str) -> String {
        let members = Some(members.to_owned().into());
        let request = ReconfigRequest {
            joining_servers: None,
            leaving_servers: None,
            new_members: members,
            cur_config_id: -1,
        };
        self.client(xid, WriteRequest::Reconfig(request))
    }

    pub(super) fn sync(&mut self, xid: i32) -> String {
        let (origin, session) = (Self::origin(xid), self.session);
        self.step(Input::Sync { origin, session, ids: &[], body: &[] })
    }

    pub(super) fn flushed(&mut self, zxid: Zxid) -> String {
        self.step(Input::Flushed(Flushed::mint(zxid)))
    }

    /// The epoch file that was last written is durable.
    pub(super) fn saved(&mut self) -> String {
        let (file, epoch) = self.saves.pop_front().expect("nothing was to be saved");
        self.step(Input::EpochSaved(file, epoch))
    }

    /// The error of the last transaction, or 0.
    pub(super) fn error(&self) -> i32 {
        let entry = self.appended.as_ref().unwrap();
        let mut r = Reader::new(&entry.payload);
        let header = TxnHeader::read(&mut r).unwrap();
        assert_eq!(header.zxid, entry.zxid.0);
        if header.op == OpCode::Error.code() { ErrorTxn::read(&mut r).unwrap().err } else { 0 }
    }

    /// One step, as [`crate::replica::Replica`] makes it.
    pub(super) fn step(&mut self, input: Input<'_>) -> String {
        match &input {
            Input::Flushed(proof) => self.me.ledger.flushed(*proof),
            Input::EpochSaved(file, epoch) => self.me.epoch_saved(*file, *epoch),
            _ => {}
        }
        let mut out = Effects::new();
        let mut ctx = Ctx { now: self.now, tree: &self.tree, me: &mut self.me, out: &mut out };
        let flow = self.role.step(&mut ctx, input);
        if self.flow == Flow::Stay {
            self.flow = flow;
        }
        let lines: Vec<String> = out.into_iter().filter_map(|effect| self.line(effect)).collect();
        lines.join("; ")
    }

    fn line(&mut self, effect: Effect) -> Option<String> {
        Some(match effect {
            Effect::Append(entry) => {
                let line = format!("append {}", short(entry.zxid));
                self.appended = Some(entry);
                line
            }
            Effect::SaveEpoch(file, epoch) => {
                self.saves.push_back((file, epoch));
                format!("save {file:?} {}", epoch.0)
            }
            Effect::Commit(commit) => {
                self.tree.0 = commit.entry.get().zxid;
                let who = commit.origin.map_or(String::new(), |o| format!(" for {}", o.xid));
                format!("commit {}{who}", short(self.tree.0))
            }
            Effect::Synced(origin) => format!("synced {}", origin.xid),
            Effect::OpenedLocal { conn, session, .. } => format!("opened locally {} {}", conn.0, session.0),
            Effect::ClosedLocal { origin, .. } => format!("closed locally {}", origin.map_or(0, |o| o.xid)),
            Effect::Closing(session, timeout) => {
                format!("closing {} {}", session.0, timeout.map_or(0, |t| t.0))
            }
            Effect::Send(link, packet) => format!("{}<{}", link.0, packet_line(&packet)),
            Effect::Stream(link, Stream::Snapshot) => format!("{}<SNAPSHOT", link.0),
            Effect::Stream(link, Stream::History { after, until }) => {
                format!("{}<LOG {}-{}", link.0, short(after), short(until))
            }
            Effect::AskHistory(link, zxid) => format!("history? {} {}", link.0, short(zxid)),
            Effect::Patience(link, span) => format!("patience {} {}", link.0, span.0),
            Effect::Close(link) => format!("close {}", link.0),
            Effect::Become(Stage::Leading { serving: true }) => "serve".to_owned(),
            Effect::Config(ConfigEffect::Propose(m)) => format!("propose {:x}", m.version),
            Effect::Config(ConfigEffect::Commit(m)) => format!("activate {:x}", m.version),
            Effect::ShowConfig(m) => format!("config {:x}", m.version),
            Effect::Say(crate::replica::Level::Warn, text) => format!("warn: {text}"),
            Effect::Say(..) => return None,
            other => format!("{other:?}"),
        })
    }
}

fn packet_line(packet: &Packet) -> String {
    match packet {
        Packet::LeaderInfo { epoch, .. } => format!("LEADERINFO {}", epoch.0),
        Packet::Diff(z) => format!("DIFF {}", short(*z)),
        Packet::Trunc(z) => format!("TRUNC {}", short(*z)),
        Packet::Snap(z) => format!("SNAP {}", short(*z)),
        Packet::NewLeader { epoch, .. } => format!("NEWLEADER {}", epoch.0),
        Packet::UpToDate => "UPTODATE".to_owned(),
        Packet::Proposal(entry) => format!("PROPOSAL {}", short(entry.zxid)),
        Packet::Commit(z) => format!("COMMIT {}", short(*z)),
        Packet::CommitAndActivate(z, leader) => format!("ACTIVATE {} by {}", short(*z), leader.0),
        Packet::Inform(entry) => format!("INFORM {}", short(entry.zxid)),
        Packet::Ping(z) => format!("PING {}", short(*z)),
        Packet::Revalidated(session, alive) => format!("REVALIDATED {} {alive}", session.0),
        Packet::Sync => "SYNC".to_owned(),
        other => format!("{other:?}"),
    }
}
