//! What servers say to each other, as values: packets of the quorum port and votes of the election port.
//!
//! No bytes here: `net::peer` turns them into frames and back. Invariant: a value of these types can be written
//! as the reference writes it, and a reader that knows who speaks can read it back.

use crate::auth::Identity;
use crate::types::{Entry, Epoch, Millis, ServerId, SessionId, Zxid};
use bytes::Bytes;

/// The version of the protocol between servers that learners and leaders name to each other.
pub const PROTOCOL: i32 = 0x1_0000;

/// What a server does, as a vote tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerState {
    /// It looks for a leader.
    Looking,
    /// It follows.
    Following,
    /// It leads.
    Leading,
    /// It observes.
    Observing,
}

/// Whom a server would follow, and what that server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vote {
    /// The server.
    pub leader: ServerId,
    /// Its last transaction.
    pub zxid: Zxid,
    /// Its current epoch.
    pub epoch: Epoch,
}

/// One message of an election.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// What its sender does.
    pub state: PeerState,
    /// Whom it is for.
    pub vote: Vote,
    /// The round of the election.
    pub round: i64,
    /// 0 for peers older than 3.5, else 2.
    pub version: i32,
    /// The committed membership of its sender as text; empty where none came.
    pub config: Bytes,
}

/// A request that a learner passes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarded {
    /// Whose it is.
    pub session: SessionId,
    /// Its number among that session's.
    pub cxid: i32,
    /// The operation's number.
    pub op: i32,
    /// The body as the client sent it.
    pub body: Bytes,
    /// Who asks; `None` is a null vector, which the reference takes for opening sessions only.
    pub ids: Option<Vec<Identity>>,
}

/// What a learner says of itself first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LearnerHello {
    /// An observer, not a follower.
    pub observer: bool,
    /// The epoch it has promised last.
    pub accepted: Epoch,
    /// Its id, where it gave one.
    pub server: Option<ServerId>,
    /// The protocol it speaks.
    pub protocol: i32,
    /// The version of its committed membership.
    pub config_version: i64,
}

/// One packet of the quorum port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// FOLLOWERINFO or OBSERVERINFO.
    Hello(LearnerHello),
    /// LEADERINFO: the epoch to come.
    LeaderInfo {
        /// The epoch.
        epoch: Epoch,
        /// The protocol the leader speaks.
        protocol: i32,
    },
    /// ACKEPOCH.
    AckEpoch {
        /// The learner's last logged transaction.
        last: Zxid,
        /// Its current epoch; `None` (-1) when it had accepted this epoch before.
        current: Option<Epoch>,
    },
    /// DIFF: transactions follow.
    Diff(Zxid),
    /// TRUNC: cut the log behind this first.
    Trunc(Zxid),
    /// SNAP: the whole tree follows.
    Snap(Zxid),
    /// NEWLEADER: the epoch begins behind what was sent; with the leader's newest membership as text.
    NewLeader {
        /// The epoch.
        epoch: Epoch,
        /// The text; empty where none came.
        config: Bytes,
    },
    /// UPTODATE: serve.
    UpToDate,
    /// PROPOSAL.
    Proposal(Entry),
    /// ACK.
    Ack(Zxid),
    /// COMMIT.
    Commit(Zxid),
    /// COMMITANDACTIVATE: commit of a new membership, led by this server.
    CommitAndActivate(Zxid, ServerId),
    /// INFORM.
    Inform(Entry),
    /// INFORMANDACTIVATE.
    InformAndActivate(Entry, ServerId),
    /// PING of a leader: its last proposed zxid.
    Ping(Zxid),
    /// PING of a learner: the ping's zxid, and the sessions that were heard of since the last one.
    Pong(Zxid, Vec<(SessionId, Millis)>),
    /// REQUEST.
    Request(Forwarded),
    /// REVALIDATE of a learner.
    Revalidate(SessionId, Millis),
    /// REVALIDATE of a leader: is the session alive.
    Revalidated(SessionId, bool),
    /// SYNC: everything committed before the request was sent before this.
    Sync,
    /// A type that is none of these; ignored, as the reference does.
    Unknown(i32),
}

impl Packet {
    /// Its name on the wire, for messages.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hello(hello) if hello.observer => "OBSERVERINFO",
            Self::Hello(_) => "FOLLOWERINFO",
            Self::LeaderInfo { .. } => "LEADERINFO",
            Self::AckEpoch { .. } => "ACKEPOCH",
            Self::Diff(_) => "DIFF",
            Self::Trunc(_) => "TRUNC",
            Self::Snap(_) => "SNAP",
            Self::NewLeader { .. } => "NEWLEADER",
            Self::UpToDate => "UPTODATE",
            Self::Proposal(_) => "PROPOSAL",
            Self::Ack(_) => "ACK",
            Self::Commit(_) => "COMMIT",
            Self::CommitAndActivate(..) => "COMMITANDACTIVATE",
            Self::Inform(_) => "INFORM",
            Self::InformAndActivate(..) => "INFORMANDACTIVATE",
            Self::Ping(_) | Self::Pong(..) => "PING",
            Self::Request(_) => "REQUEST",
            Self::Revalidate(..) | Self::Revalidated(..) => "REVALIDATE",
            Self::Sync => "SYNC",
            Self::Unknown(_) => "a packet of unknown type",
        }
    }
}
