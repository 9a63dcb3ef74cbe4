//! Learners, told one thing after the other: what they want done is compared as text.

mod clients;
mod fuzz;
mod masters;
mod phases;
mod roles;

use super::Learning;
use crate::auth::Rules;
use crate::config::ensemble::Membership;
use crate::replica::io::{ConfigEffect, Effect, Effects, Input, LinkInput, Stage};
use crate::replica::zab::member::{Begin, Ctx, EnsembleSettings, Member};
use crate::replica::zab::{Ledger, Packet, PeerState, Views, Vote};
use crate::replica::{Mind, Replica, ReplicaSettings, Role};
use crate::state::quota::Verdict;
use crate::state::{NodeView, TreeView};
use crate::types::{
    ConnId, Entry, Epoch, EpochFile, Flushed, LinkId, Millis, Now, ServerId, SessionId, Zxid,
};
use bytes::Bytes;
use jute::Record as _;
use jute::records::txn::TxnHeader;
use std::sync::Arc;

/// A tree that nothing depends on.
#[derive(Debug)]
struct NoTree;

impl TreeView for NoTree {
    fn node(&self, _path: &str) -> Option<NodeView<'_>> {
        None
    }

    fn last_zxid(&self) -> Zxid {
        Zxid::ZERO
    }

    fn digest(&self) -> Option<u64> {
        None
    }

    fn ephemerals(&self, _session: SessionId) -> Vec<Box<str>> {
        Vec::new()
    }

    fn sessions(&self) -> Vec<(SessionId, Millis)> {
        Vec::new()
    }

    fn check_quota(&self, _path: &str, _bytes: i64, _count: i64) -> Verdict {
        Verdict::Within
    }
}

fn z(epoch: i64, counter: u32) -> Zxid {
    Zxid::new(Epoch(epoch), counter)
}

/// A transaction of this type that answers request `cxid` of `session`.
fn txn(zxid: Zxid, session: i64, cxid: i32, op: i32, body: &[u8]) -> Entry {
    let header = TxnHeader { client_id: session, cxid, zxid: zxid.0, time: 0, op };
    let mut payload = Vec::new();
    header.write(&mut payload);
    payload.extend_from_slice(body);
    Entry { zxid, payload: Bytes::from(payload) }
}

fn entry(epoch: i64, counter: u32) -> Entry {
    txn(z(epoch, counter), 9, 0, 5, &[])
}

fn proposal(epoch: i64, counter: u32) -> Packet {
    Packet::Proposal(entry(epoch, counter))
}

fn commit(epoch: i64, counter: u32) -> Packet {
    Packet::Commit(z(epoch, counter))
}

fn inform(epoch: i64, counter: u32) -> Packet {
    Packet::Inform(entry(epoch, counter))
}

fn new_leader(epoch: i64) -> Packet {
    Packet::NewLeader { epoch: Epoch(epoch), config: Bytes::new() }
}

fn leader_info(epoch: i64) -> Packet {
    Packet::LeaderInfo { epoch: Epoch(epoch), protocol: 0x1_0000 }
}

fn membership(text: &str) -> Arc<Membership> {
    Arc::new(Membership::from_text(text.as_bytes(), false).unwrap())
}

const MEMBERS: &str = "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\nserver.4=d:1:2:observer\nversion=0";

/// The first connection that a server asks for.
const LINK: LinkId = LinkId(1 << 63 | 1);

/// One server that learns from server 3.
struct Server {
    replica: Replica,
    mono: i64,
    out: Effects,
}

impl Server {
    /// A follower (1) or an observer (4) that has everything up to 1:8 and epoch 1, before it connects.
    fn new(id: i64, change: impl FnOnce(&mut Member)) -> Self {
        let begin = Begin {
            id: ServerId(id),
            views: Views::new(membership(MEMBERS)),
            ledger: Ledger::new(z(1, 8), [entry(1, 7), entry(1, 8)], 500),
            accepted: Epoch(1),
            current: Epoch(1),
            may_vote: true,
            fresh: false,
            seed: 7,
        };
        let now = Now { mono: Millis(0), wall: 0 };
        let settings = ReplicaSettings { tick: Millis(1000), ..ReplicaSettings::default() };
        let ensemble = EnsembleSettings::default();
        let mut me = Member::new(begin, settings, ensemble, Rules::default(), now);
        me.vote = Vote { leader: ServerId(3), zxid: z(1, 8), epoch: Epoch(1) };
        me.state = PeerState::Following;
        change(&mut me);
        let mut out = Effects::new();
        let learning =
            Learning::begin(&mut Ctx { now, tree: &NoTree, me: &mut me, out: &mut out }, ServerId(3));
        let mind = Mind::Member(Box::new(me), Box::new(Role::Learning(learning)));
        Self { replica: Replica { mind }, mono: 0, out }
    }

    fn follower() -> Self {
        Self::new(1, |_| {})
    }

    fn observer() -> Self {
        Self::new(4, |_| {})
    }

    fn me(&self) -> &Member {
        self.replica.as_member().unwrap()
    }

    fn learns(&self) -> bool {
        matches!(&self.replica.mind, Mind::Member(_, role) if matches!(**role, Role::Learning(_)))
    }

    fn state(&self) -> String {
        self.replica.status().peer.unwrap().state
    }

    /// What was wanted so far; what happens after the role is left out.
    fn take(&mut self) -> Vec<String> {
        let over = self.out.iter().position(|e| matches!(e, Effect::Become(Stage::Looking)));
        let effects: Vec<_> = self.out.drain(..).collect();
        effects.iter().take(over.map_or(usize::MAX, |n| n + 1)).map(show).collect()
    }

    fn raw(&mut self, input: Input<'_>) {
        let now = Now { mono: Millis(self.mono), wall: self.mono };
        self.replica.step(now, input, &NoTree, &mut self.out);
    }

    fn on(&mut self, input: Input<'_>) -> Vec<String> {
        self.raw(input);
        self.take()
    }

    fn link(&mut self, what: LinkInput) -> Vec<String> {
        self.on(Input::Link(LINK, what))
    }

    fn gets(&mut self, packet: Packet) -> Vec<String> {
        self.link(LinkInput::Packet(packet))
    }

    fn flushed(&mut self, epoch: i64, counter: u32) -> Vec<String> {
        self.on(Input::Flushed(Flushed::mint(z(epoch, counter))))
    }

    fn saved(&mut self, file: EpochFile, epoch: i64) -> Vec<String> {
        self.on(Input::EpochSaved(file, Epoch(epoch)))
    }

    /// Up to the promise of epoch 2.
    fn promised(mut self) -> Self {
        self.link(LinkInput::Connected);
        self.gets(leader_info(2));
        self.saved(EpochFile::Accepted, 2);
        self
    }

    /// In sync in epoch 2 with nothing but what it had.
    fn live(self) -> Self {
        let mut this = self.promised();
        this.gets(Packet::Diff(z(1, 8)));
        this.gets(new_leader(2));
        this.saved(EpochFile::Current, 2);
        this.gets(Packet::UpToDate);
        assert!(this.state().ends_with("broadcast"), "{}", this.state());
        this.take();
        this
    }
}

fn at(zxid: Zxid) -> String {
    if zxid.0 < 0 { zxid.0.to_string() } else { format!("{}:{}", zxid.epoch().0, zxid.counter()) }
}

fn say(packet: &Packet) -> String {
    let more = match packet {
        Packet::Hello(h) => {
            format!("{} {}:0 server {:?}", h.config_version, h.accepted.0, h.server.map(|s| s.0))
        }
        Packet::LeaderInfo { epoch, .. } => format!("{}", epoch.0),
        Packet::AckEpoch { last, current } => format!("{} {:?}", at(*last), current.map(|e| e.0)),
        Packet::NewLeader { epoch, .. } => format!("{}", epoch.0),
        Packet::Proposal(e) | Packet::Inform(e) | Packet::InformAndActivate(e, _) => at(e.zxid),
        Packet::Ping(z) | Packet::Ack(z) | Packet::Commit(z) | Packet::CommitAndActivate(z, _) => at(*z),
        Packet::Diff(z) | Packet::Trunc(z) | Packet::Snap(z) => at(*z),
        Packet::Pong(z, heard) => {
            let heard: Vec<_> = heard.iter().map(|(s, t)| format!("{}={}", s.0, t.0)).collect();
            format!("{} [{}]", at(*z), heard.join(" "))
        }
        Packet::Request(f) => {
            let ids = f.ids.as_ref().map(Vec::len);
            format!("{} {} op {} {:?} ids {ids:?}", f.session.0, f.cxid, f.op, &f.body[..])
        }
        Packet::Revalidate(s, t) => format!("{} {}", s.0, t.0),
        Packet::Revalidated(s, alive) => format!("{} {alive}", s.0),
        Packet::UpToDate | Packet::Sync => return packet.name().to_owned(),
        Packet::Unknown(kind) => format!("{kind}"),
    };
    format!("{} {more}", packet.name())
}

fn show(effect: &Effect) -> String {
    match effect {
        Effect::Append(e) => format!("append {}", at(e.zxid)),
        Effect::SaveEpoch(file, epoch) => format!("save {file:?} {}", epoch.0),
        Effect::Truncate(zxid) => format!("truncate {}", at(*zxid)),
        Effect::Commit(c) => {
            let origin = c.origin.map(|o| format!(" for {}/{}", o.conn.0, o.xid)).unwrap_or_default();
            format!("commit {}{origin}", at(c.entry.get().zxid))
        }
        Effect::FastForward(entries) => format!("fast-forward {}", entries.len()),
        Effect::Prepare(_, e) => format!("prepare {}", at(e.zxid)),
        Effect::Install(_, zxid) => format!("install {}", at(*zxid)),
        Effect::Synced(o) => format!("synced {}/{}", o.conn.0, o.xid),
        Effect::Resumed { conn, timeout, .. } => format!("resumed {} {:?}", conn.0, timeout.map(|t| t.0)),
        Effect::OpenedLocal { conn, .. } => format!("opened local {}", conn.0),
        Effect::ClosedLocal { origin, .. } => format!("closed local {:?}", origin.map(|o| o.xid)),
        Effect::Refuse(o, code) => format!("refuse {}/{} {code:?}", o.conn.0, o.xid),
        Effect::Closing(session, _) => format!("closing {}", session.0),
        Effect::Connect { to, observer_master, .. } => {
            format!("connect {}{}", to.0, if *observer_master { " as observer" } else { "" })
        }
        Effect::Send(link, packet) if *link == LINK => format!("send {}", say(packet)),
        Effect::Send(link, packet) => format!("send to {} {}", link.0, say(packet)),
        Effect::Patience(_, span) => format!("patience {}", span.0),
        Effect::Close(link) if *link == LINK => "close".to_owned(),
        Effect::Close(link) => format!("close {}", link.0),
        Effect::Become(stage) => format!("become {stage:?}"),
        Effect::Config(ConfigEffect::Propose(m)) => format!("proposed config {:x}", m.version),
        Effect::Config(ConfigEffect::Commit(m)) => format!("committed config {:x}", m.version),
        Effect::ShowConfig(m) => format!("show config {:x}", m.version),
        Effect::Say(_, text) => format!("# {text}"),
        other => format!("{other:?}"),
    }
}
