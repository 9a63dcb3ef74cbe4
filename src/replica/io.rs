//! What the replica is told and what it wants done: the contract between the brain and whoever performs for it,
//! the server room or the simulator.
//!
//! It decides nothing. Invariant: effects are performed in the order they were emitted; what a performer reports
//! back comes as an input, never as a return value.

use super::zab::{Notification, Packet};
use crate::auth::Identity;
use crate::config::ensemble::Membership;
use crate::state::quota::Overrun;
use crate::types::{
    Committed, ConnId, Entry, Epoch, EpochFile, Flushed, LinkId, Millis, ServerId, SessionId, Zxid,
};
use crate::wire::WriteRequest;
use jute::ErrorCode;
use std::sync::Arc;

/// Who gets the answer to an ordered request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The connection it came from.
    pub conn: ConnId,
    /// Its xid.
    pub xid: i32,
}

/// A write of a client.
#[derive(Debug)]
pub struct ClientWrite<'a> {
    /// Where the answer goes.
    pub origin: Origin,
    /// The session it belongs to.
    pub session: SessionId,
    /// The connection's identities when the request was read.
    pub ids: &'a [Identity],
    /// Its operation's number, as it came.
    pub op: i32,
    /// Its body as it came: a learner sends these very bytes to its leader.
    pub body: &'a [u8],
    /// What it asks.
    pub request: WriteRequest<'a>,
}

/// What the replica is told.
#[derive(Debug)]
pub enum Input<'a> {
    /// A client wants to change the tree.
    Write(ClientWrite<'a>),
    /// A client wants to see everything that was committed before now. Answered by [`Effect::Synced`].
    Sync {
        /// Where the answer goes.
        origin: Origin,
        /// The session it belongs to.
        session: SessionId,
        /// The connection's identities.
        ids: &'a [Identity],
        /// The request's body as it came.
        body: &'a [u8],
    },
    /// A client wants a new session with this negotiated timeout.
    OpenSession {
        /// Where the answer goes.
        conn: ConnId,
        /// Negotiated timeout.
        timeout: Millis,
    },
    /// A client ends its session.
    CloseSession {
        /// Where the answer goes.
        origin: Origin,
        /// The session.
        session: SessionId,
    },
    /// A client comes back with a session whose password was right.
    ResumeSession {
        /// Where the answer goes.
        conn: ConnId,
        /// The session.
        session: SessionId,
        /// The timeout it has from now on.
        timeout: Millis,
    },
    /// Sessions that were heard of: id, timeout, and when that was on the monotonic clock.
    Touch(&'a [(SessionId, Millis, Millis)]),
    /// Time has passed: see [`Replica::deadline`](super::Replica::deadline).
    Tick,
    /// A container or TTL node looks ready to go.
    Reap(&'a str),
    /// The log is durable up to here.
    Flushed(Flushed),
    /// The epoch file is durable.
    EpochSaved(EpochFile, Epoch),
    /// [`Effect::Truncate`] is done and the tree was rebuilt from what is left, which ends here. Zero: nothing is
    /// left, and only a snapshot helps.
    Truncated(Zxid),
    /// [`Effect::Install`] is done: this tree is on disk and in place.
    Installed(LinkId, Zxid),
    /// The answer to [`Effect::AskHistory`].
    History(LinkId, Option<HistoryPlan>),
    /// The tree has everything up to here, and these sessions are gone from it.
    Applied(Zxid, &'a [SessionId]),
    /// A vote from another server, or from this one.
    Vote(ServerId, Notification),
    /// Something about a connection between servers.
    Link(LinkId, LinkInput),
    /// The sockets of a role are up, or could not be opened: see [`Effect::Become`].
    Listening(bool),
}

/// What happens to a connection between servers.
#[derive(Debug)]
pub enum LinkInput {
    /// A learner connected to the port of leaders.
    Accepted,
    /// An observer connected to this follower's port for observers.
    AcceptedObserver,
    /// The connection that [`Effect::Connect`] asked for stands.
    Connected,
    /// A packet came. [`Packet::Snap`] comes only when the stream behind it was read completely and stands aside
    /// as the link's candidate.
    Packet(Packet),
    /// The tree that [`Stream::Snapshot`] takes apart was read to its end. What it shows was committed, and sent to
    /// this link, before now.
    Streamed,
    /// It is over, or never came to be. Nothing more comes from it.
    Lost,
}

/// A way through the log on disk for a learner that is behind the transactions kept in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryPlan {
    /// The newest transaction on disk that is not behind the learner's last one; zero when the log begins there.
    /// Equal to the learner's last: it shares this history. Less: the learner has something this server has not.
    pub at: Zxid,
    /// The last transaction that the files are sure to hold without a gap.
    pub until: Zxid,
}

/// What goes to a learner before anything that is sent to it later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// The living tree, fuzzy, and the signature behind it. The packet SNAP was sent just before. Reported by
    /// [`LinkInput::Streamed`].
    Snapshot,
    /// PROPOSAL and COMMIT for every transaction on disk behind `after`, up to and with `until`.
    History {
        /// The last one the learner has.
        after: Zxid,
        /// The last one to send.
        until: Zxid,
    },
}

/// What a server is at the moment, for its sockets and its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It looks for a leader and serves nobody. Every client connection is closed, every link too.
    Looking,
    /// It leads. The port for learners is open; clients are served once `serving`.
    Leading {
        /// A quorum follows, and clients may come here.
        serving: bool,
    },
    /// It follows with or without a vote.
    Following {
        /// It is in sync, and clients may come here.
        serving: bool,
    },
    /// It observes.
    Observing {
        /// It is in sync, and clients may come here.
        serving: bool,
    },
    /// No leader was found for long: clients that only read are served from the tree as it is.
    ReadOnly,
}

/// What must happen to the files of the configuration.
#[derive(Debug, Clone)]
pub enum ConfigEffect {
    /// Somebody proposed this membership: it is remembered beside the committed one.
    Propose(Arc<Membership>),
    /// This membership is in force from here on; sockets move where addresses changed.
    Commit(Arc<Membership>),
}

/// What somebody must do for the replica, in this order.
#[derive(Debug)]
pub enum Effect {
    /// Write this to the log and report [`Input::Flushed`].
    Append(Entry),
    /// Write this epoch file behind everything that was appended, and report [`Input::EpochSaved`].
    SaveEpoch(EpochFile, Epoch),
    /// Cut the log behind this zxid, rebuild the tree from what is left, and report [`Input::Truncated`].
    Truncate(Zxid),
    /// Apply this to the tree, tell the origin, and report [`Input::Applied`].
    Commit(Commit),
    /// Bring the tree up to what was logged when a role ended: applied without telling anybody, committed or
    /// not, and reported with [`Input::Applied`].
    FastForward(Vec<Entry>),
    /// Apply this to the candidate tree of a link, which came as its snapshot.
    Prepare(LinkId, Entry),
    /// The candidate becomes the tree, once it is on disk as a snapshot of this name; nothing in the log may
    /// then be newer. Reported with [`Input::Installed`].
    Install(LinkId, Zxid),
    /// What [`Input::Sync`] waited for is there, once everything emitted before is applied.
    Synced(Origin),
    /// Answer a resumed session: alive with this timeout, or over.
    Resumed {
        /// Where the answer goes.
        conn: ConnId,
        /// The session.
        session: SessionId,
        /// The timeout, or `None` if the session is over.
        timeout: Option<Millis>,
    },
    /// A session of this server alone: answer its client, remember it.
    OpenedLocal {
        /// Where the answer goes.
        conn: ConnId,
        /// The session.
        session: SessionId,
        /// The timeout.
        timeout: Millis,
    },
    /// A session of this server alone is over: answer who asked, close its connection.
    ClosedLocal {
        /// Who asked; `None` when it was silent for too long.
        origin: Option<Origin>,
        /// The session.
        session: SessionId,
    },
    /// Answer a request that will never be ordered.
    Refuse(Origin, ErrorCode),
    /// A limit was passed: refused if it is a hard one, else only worth a line in the log.
    OverQuota(Overrun),
    /// The session will take no more requests; its end is being ordered. Its timeout is given when silence
    /// was the reason.
    Closing(SessionId, Option<Millis>),
    /// A voter votes again instead of following, and for that this leader goes: worth a figure, nothing more.
    Deserted(ServerId),
    /// Send a vote to another server (never to this one), on the election port.
    Notify(ServerId, Notification),
    /// Connect to a leader or to a follower that takes observers, and report what becomes of it.
    Connect {
        /// The number the connection will have.
        link: LinkId,
        /// Where to.
        to: ServerId,
        /// To its port for observers.
        observer_master: bool,
    },
    /// Send a packet. Packets of a link leave in order, behind its streams.
    Send(LinkId, Packet),
    /// Send something long. What is sent to this link later waits behind it.
    Stream(LinkId, Stream),
    /// What the log on disk holds around and behind this zxid: see [`HistoryPlan`]. `None` is answered where it
    /// would be more than a snapshot costs, where there is a gap, or where it is switched off.
    AskHistory(LinkId, Zxid),
    /// A peer has shown life and time: from here on silence for this long ends the link.
    Patience(LinkId, Millis),
    /// Close a link. No [`LinkInput::Lost`] follows.
    Close(LinkId),
    /// The server is something else now. For `Leading { serving: false }` report [`Input::Listening`].
    Become(Stage),
    /// Memberships changed.
    Config(ConfigEffect),
    /// Put this text with this version into the configuration's node, outside of any transaction, behind
    /// everything emitted before.
    ShowConfig(Arc<Membership>),
    /// A line for the log of the operator.
    Say(Level, String),
}

/// How loud.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The course of things.
    Info,
    /// Something to look at.
    Warn,
}

/// A transaction that may be applied.
#[derive(Debug)]
pub struct Commit {
    /// The transaction.
    pub entry: Committed<Entry>,
    /// Who is waiting for it here.
    pub origin: Option<Origin>,
}

/// The effects of one or more steps.
pub type Effects = Vec<Effect>;
