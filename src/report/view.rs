//! The server as operators see it: what four-letter words, the admin server and metrics pages are made of.
//!
//! A trait, because its parts cost very different amounts: `ruok` must stay free on a server with a million
//! watches. Every method is one look; a renderer asks for what it prints and nothing else. The answers are
//! plain values: numbers, texts, no handles.

use super::counters::{ResponseSizes, Traffic};
use super::java::Zone;
use super::metrics::Metrics;
use crate::types::{Millis, SessionId, Zxid};

/// What a server is to its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The only server.
    Standalone,
    /// Leader of an ensemble.
    Leader,
    /// Voting follower.
    Follower,
    /// Follower without a vote.
    Observer,
    /// Cut off from its ensemble, answering reads.
    ReadOnly,
}

impl Mode {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standalone => "standalone",
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Observer => "observer",
            Self::ReadOnly => "read-only",
        }
    }
}

/// What `srvr` and `stat` show beside traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status {
    /// Open client connections, of all listeners.
    pub connections: usize,
    /// Requests in the works.
    pub outstanding: usize,
    /// Last transaction applied.
    pub last_zxid: Zxid,
    /// Nodes as the reference counts them.
    pub node_count: usize,
    /// Sizes of proposals, on a leader.
    pub proposals: Option<ResponseSizes>,
}

/// What `mntr` shows of this very moment, beside [`Status`] and [`Traffic`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Gauges {
    /// Milliseconds since the server began to serve in its role.
    pub uptime: i64,
    /// Watches on data and on children.
    pub watch_count: usize,
    /// Ephemeral nodes.
    pub ephemerals_count: usize,
    /// Lengths of paths and data.
    pub approximate_data_size: i64,
    /// Sessions that every member knows.
    pub global_sessions: usize,
    /// Sessions of this server alone.
    pub local_sessions: usize,
    /// Files open, -1 where that is not known.
    pub open_files: i64,
    /// Files that may be open, -1 where that is not known.
    pub max_files: i64,
    /// Probability with which the throttle refuses connections.
    pub connection_drop_probability: f64,
    /// TLS handshakes in the works.
    pub outstanding_tls_handshakes: usize,
    /// Connections from other hosts without a certificate.
    pub non_mtls_remote: usize,
    /// Connections from this host without a certificate.
    pub non_mtls_local: usize,
    /// Voters of the ensemble, on its members.
    pub quorum_size: Option<usize>,
    /// Observers that follow this server, where it takes any.
    pub synced_observers: Option<usize>,
    /// What leaders show.
    pub leader: Option<LeaderGauges>,
    /// Quotas by namespace.
    pub quotas: Vec<NamespaceQuota>,
}

/// What leaders show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeaderGauges {
    /// Learners connected.
    pub learners: usize,
    /// Voting followers in sync.
    pub synced_followers: usize,
    /// Other followers in sync.
    pub synced_non_voting_followers: usize,
    /// Syncs that wait.
    pub pending_syncs: usize,
    /// Milliseconds since the leadership began.
    pub uptime: i64,
}

/// Limits and use under one top-level path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NamespaceQuota {
    /// First element of the path.
    pub namespace: Box<str>,
    /// Limit on nodes.
    pub count_limit: i64,
    /// Limit on bytes.
    pub bytes_limit: i64,
    /// Nodes.
    pub count_usage: i64,
    /// Bytes.
    pub bytes_usage: i64,
}

/// What members of an ensemble say about themselves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PeerInfo {
    /// State, phase and way of synchronization, as `following - broadcast`.
    pub state: String,
    /// The server an observer follows.
    pub observer_master: Option<i64>,
}

/// One client connection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConnInfo {
    /// Address and port, IPv6 in full.
    pub remote: String,
    /// Came in by the TLS listener.
    pub secure: bool,
    /// What the server waits for: 1 to read, 4 to write; the connection that asks shows 0.
    pub interest: u8,
    /// Requests in the works.
    pub outstanding: usize,
    /// Frames received.
    pub received: u64,
    /// Frames sent.
    pub sent: u64,
    /// When it was accepted, milliseconds since 1970.
    pub established: i64,
    /// Its session, once it has one.
    pub session: Option<SessionInfo>,
}

/// The session of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SessionInfo {
    /// Its number.
    pub id: SessionId,
    /// Negotiated timeout.
    pub timeout: Millis,
    /// Operation of the last reply; `None` before the first.
    pub last_op: Option<i32>,
    /// xid of the last reply to a request of the client; negative before the first.
    pub last_cxid: i32,
    /// zxid of the last reply; -1 before the first.
    pub last_zxid: i64,
    /// Monotonic time of the last reply.
    pub last_response: Millis,
    /// Latency of the last reply, ms.
    pub last_latency: i64,
    /// Smallest latency, ms.
    pub min_latency: i64,
    /// Mean latency, ms.
    pub avg_latency: i64,
    /// Largest latency, ms.
    pub max_latency: i64,
}

/// Things that expire together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket<T> {
    /// When, milliseconds since 1970.
    pub wall: i64,
    /// When, on the monotonic clock.
    pub mono: Millis,
    /// What.
    pub items: Vec<T>,
}

/// Sessions, as far as the server keeps track of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionDump {
    /// By this server: standalone or leader.
    Tracked {
        /// Sessions of this server alone, where there may be such.
        local: Option<Vec<Bucket<SessionId>>>,
        /// All others.
        global: Vec<Bucket<SessionId>>,
    },
    /// By its leader.
    Learner {
        /// Sessions of this server alone, where there may be such.
        local: Option<Vec<Bucket<SessionId>>>,
        /// All others with their timeouts.
        global: Vec<(SessionId, Millis)>,
    },
}

/// What `wchs` shows: watches on data and existence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WatchSummary {
    /// Connections that watch.
    pub connections: usize,
    /// Paths watched.
    pub paths: usize,
    /// Pairs of them.
    pub total: usize,
}

/// Bytes on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DirSizes {
    /// Of the snapshot directory.
    pub data: u64,
    /// Of the log directory.
    pub log: u64,
}

/// What `conf` shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerConf {
    /// Plain port, -1 without one.
    pub client_port: i32,
    /// TLS port, -1 without one.
    pub secure_client_port: i32,
    /// Directory of snapshots, absolute.
    pub data_dir: String,
    /// Directory of logs, absolute.
    pub data_log_dir: String,
    /// Their sizes.
    pub sizes: DirSizes,
    /// Length of a tick, ms.
    pub tick_time: i32,
    /// Connections of one address, 0 without limit.
    pub max_client_cnxns: i32,
    /// Shortest timeout, ms.
    pub min_session_timeout: i32,
    /// Longest timeout, ms.
    pub max_session_timeout: i32,
    /// Backlog as configured, -1 without.
    pub listen_backlog: i32,
    /// Own number; 0 standalone.
    pub server_id: i64,
    /// The ensemble, on its members.
    pub ensemble: Option<EnsembleConf>,
}

/// What `conf` shows of an ensemble.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EnsembleConf {
    /// Ticks to connect and catch up.
    pub init_limit: i32,
    /// Ticks a learner may lag.
    pub sync_limit: i32,
    /// Election algorithm.
    pub election_alg: i32,
    /// Ports of elections, joined by `|`.
    pub election_port: String,
    /// Ports of the quorum, joined by `|`.
    pub quorum_port: String,
    /// 0 is a participant, 1 an observer.
    pub peer_type: i32,
    /// Server lines and `version=`; a read-only server does not say.
    pub membership: Option<String>,
}

/// Keys and values of `envi`, in its order.
pub type Environment = Vec<(&'static str, String)>;

/// One look at a server, asked for by one connection.
pub trait View {
    /// What this server is, or `None` while it does not serve.
    fn mode(&self) -> Option<Mode>;

    /// How it calls itself: `x.y.z-hash, built on date`.
    fn version(&self) -> String;

    /// The time zone in which dates are printed.
    fn zone(&self) -> &Zone;

    /// Bits that say what is traced.
    fn trace_mask(&self) -> i64;

    /// Latency, packets, sizes.
    fn traffic(&self) -> Traffic;

    /// The numbers of `srvr`.
    fn status(&self) -> Status;

    /// Times the log was slow.
    fn fsync_threshold_exceeded(&self) -> u64;

    /// The other numbers of `mntr`.
    fn gauges(&self) -> Gauges;

    /// What it is within its ensemble.
    fn peer(&self) -> Option<PeerInfo>;

    /// Counters and summaries.
    fn metrics(&self) -> Metrics;

    /// Was the TLS listener asked?
    fn is_secure(&self) -> bool;

    /// Connections of all listeners, in no order. Costly.
    fn connections(&self) -> Vec<ConnInfo>;

    /// Sessions and when they expire. Costly.
    fn sessions(&self) -> SessionDump;

    /// When connections that stay silent will be closed, with their sessions; `None` where nobody keeps
    /// track by time. Costly.
    fn connection_deadlines(&self) -> Option<Vec<Bucket<(String, SessionId)>>>;

    /// Ephemeral nodes by session. Costly.
    fn ephemerals(&self) -> Vec<(SessionId, Vec<Box<str>>)>;

    /// Numbers of watches.
    fn watch_summary(&self) -> WatchSummary;

    /// Watched paths by session. Costly.
    fn watches_by_session(&self) -> Vec<(SessionId, Vec<Box<str>>)>;

    /// Sessions by watched path. Costly.
    fn watches_by_path(&self) -> Vec<(Box<str>, Vec<SessionId>)>;

    /// Digests remembered, with their zxids.
    fn digests(&self) -> Vec<(Zxid, u64)>;

    /// Sizes of the directories. Reads them.
    fn dir_sizes(&self) -> DirSizes;

    /// The configuration. Reads the directories.
    fn conf(&self) -> ServerConf;

    /// What the process runs on.
    fn environment(&self) -> Environment;
}
