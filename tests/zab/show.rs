//! Messages as the traces of the protocol write them: zxids as epoch and counter.

use jute::OpCode;
use quoll::replica::Stage;
use quoll::replica::zab::{Notification, Packet, PeerState};
use quoll::state::{Body, DecodedTxn};
use quoll::types::{Entry, Zxid};

pub fn zxid(zxid: Zxid) -> String {
    match zxid.0 {
        -1 => "-1".to_owned(),
        i64::MIN => "none".to_owned(),
        _ => format!("{:x}:{:x}", zxid.epoch().0, zxid.counter()),
    }
}

pub fn vote(n: &Notification) -> String {
    let state = match n.state {
        PeerState::Looking => "LOOKING",
        PeerState::Following => "FOLLOWING",
        PeerState::Leading => "LEADING",
        PeerState::Observing => "OBSERVING",
    };
    let or_none = |n: i64| if n == i64::MIN { "none".to_owned() } else { n.to_string() };
    let (leader, epoch) = (or_none(n.vote.leader.0), or_none(n.vote.epoch.0));
    format!("{state} vote {leader}, {}, round {}, epoch {epoch}", zxid(n.vote.zxid), n.round)
}

fn txn(entry: &Entry) -> String {
    let Ok(txn) = DecodedTxn::parse(&entry.payload) else { return "?".to_owned() };
    match &txn.body {
        Body::CreateSession(_) => "createSession".to_owned(),
        Body::CloseSession(_) => "closeSession".to_owned(),
        Body::Create(create) => format!("create {}", create.path),
        Body::SetData(OpCode::Reconfig, ..) => "reconfig".to_owned(),
        Body::SetData(_, path, ..) => format!("setData {path}"),
        Body::Error(code) => format!("error {code:?}"),
        other => format!("{:?}", other.op()),
    }
}

fn op(op: i32) -> String {
    OpCode::from_code(op).map_or_else(|| op.to_string(), |op| format!("{op:?}"))
}

fn version(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let version = text.rsplit_once("version=").and_then(|(_, v)| i64::from_str_radix(v, 16).ok());
    version.map_or_else(|| "none".to_owned(), |v| zxid(Zxid(v)))
}

/// `None` for what comes all the time.
pub fn packet(packet: &Packet) -> Option<String> {
    Some(match packet {
        Packet::Ping(_) | Packet::Pong(..) => return None,
        Packet::Hello(hello) => {
            let kind = if hello.observer { "OBSERVERINFO" } else { "FOLLOWERINFO" };
            format!("{kind} {:x}:0, config {}", hello.accepted.0, zxid(Zxid(hello.config_version)))
        }
        Packet::LeaderInfo { epoch, .. } => format!("LEADERINFO {:x}:0", epoch.0),
        Packet::AckEpoch { last, current } => {
            let current = current.map_or_else(|| "-1".to_owned(), |e| format!("{:x}", e.0));
            format!("ACKEPOCH {} {{{current}}}", zxid(*last))
        }
        Packet::Diff(z) => format!("DIFF {}", zxid(*z)),
        Packet::Trunc(z) => format!("TRUNC {}", zxid(*z)),
        Packet::Snap(z) => format!("SNAP {}", zxid(*z)),
        Packet::NewLeader { epoch, config } => {
            format!("NEWLEADER {:x}:0, config {}", epoch.0, version(config))
        }
        Packet::UpToDate => "UPTODATE".to_owned(),
        Packet::Proposal(entry) => format!("PROPOSAL {} {}", zxid(entry.zxid), txn(entry)),
        Packet::Ack(z) => format!("ACK {}", zxid(*z)),
        Packet::Commit(z) => format!("COMMIT {}", zxid(*z)),
        Packet::CommitAndActivate(z, leader) => format!("COMMITANDACTIVATE {} {{{}}}", zxid(*z), leader.0),
        Packet::Inform(entry) => format!("INFORM {} {}", zxid(entry.zxid), txn(entry)),
        Packet::InformAndActivate(entry, leader) => {
            format!("INFORMANDACTIVATE {} {} {{{}}}", zxid(entry.zxid), txn(entry), leader.0)
        }
        Packet::Request(request) => format!("REQUEST {}", op(request.op)),
        Packet::Revalidate(..) => "REVALIDATE".to_owned(),
        Packet::Revalidated(_, alive) => format!("REVALIDATE {alive}"),
        Packet::Sync => "SYNC".to_owned(),
        other => format!("{other:?}"),
    })
}

pub fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Looking => "looks for a leader",
        Stage::Leading { serving: false } => "leads",
        Stage::Leading { serving: true } => "leads and serves",
        Stage::Following { serving: false } => "follows",
        Stage::Following { serving: true } => "follows and serves",
        Stage::Observing { serving: false } => "observes",
        Stage::Observing { serving: true } => "observes and serves",
        Stage::ReadOnly => "serves reads",
    }
}
