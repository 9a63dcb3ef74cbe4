//! The settings of a server: typed, checked, grouped by what they are about.
//!
//! Plain values without behaviour beyond small questions; `build` makes them, `report` shows them. Fields keep
//! the unit of their key, which is in the name.
//!
//! Invariant: a `Settings` that exists passed every start-up check of the reference that needs no directory.

use super::ensemble::{Membership, Mode, Role};
use super::keys::{Feature, Key};
use super::origin::{Origin, SystemProperties};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Everything a server needs to know before it starts.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Directories.
    pub paths: Paths,
    /// Client ports.
    pub client: Client,
    /// Ticks and session timeouts.
    pub sessions: Sessions,
    /// Limits on connections and requests.
    pub limits: Limits,
    /// Throttling of connections and requests.
    pub throttle: Throttle,
    /// The transaction log.
    pub storage: Storage,
    /// Snapshots.
    pub snapshots: Snapshots,
    /// Removal of old snapshots and logs.
    pub purge: Purge,
    /// Containers, TTL nodes and quotas.
    pub nodes: Nodes,
    /// Authentication and ACL checks.
    pub auth: Auth,
    /// Which four-letter words are answered.
    pub four_letter_words: Whitelist,
    /// The HTTP admin server.
    pub admin: Admin,
    /// The metrics provider.
    pub metrics: Metrics,
    /// The audit log.
    pub audit: Audit,
    /// Log lines.
    pub log: Log,
    /// Members, elections, learners.
    pub quorum: Quorum,
    /// Whether the server runs alone.
    pub mode: Mode,
    pub(super) source: String,
    pub(super) text: Vec<u8>,
    pub(super) properties: SystemProperties,
    pub(super) effective: Vec<Effective>,
    pub(super) warnings: Vec<Warning>,
    pub(super) unknown: Vec<Unknown>,
}

impl Settings {
    /// The file as the user named it, or what stands in its place.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The raw text of the configuration file, as the admin command `initial_configuration` serves it.
    #[must_use]
    pub fn initial_text(&self) -> &[u8] {
        &self.text
    }

    /// System properties after the file was read: what flags and environment said, then the file's own.
    #[must_use]
    pub fn properties(&self) -> &SystemProperties {
        &self.properties
    }

    /// Every effective value with its origin, in the order of the key table.
    #[must_use]
    pub fn effective(&self) -> &[Effective] {
        &self.effective
    }

    /// Where the value of a key comes from.
    #[must_use]
    pub fn origin(&self, key: &str) -> Option<&Origin> {
        self.effective.iter().find(|value| value.name == key).map(|value| &value.origin)
    }

    /// What should be logged at start: values that were reset, odd memberships, relative paths.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Keys that were set but wait for a feature Quoll does not have yet, the asked-for ones only.
    pub fn not_yet(&self) -> impl Iterator<Item = (&Effective, Feature)> {
        self.effective.iter().filter_map(|value| value.waits_for(self.mode).map(|feature| (value, feature)))
    }

    /// One warning that names everything of [`Settings::not_yet`]; `None` if there is nothing to say.
    #[must_use]
    pub fn not_yet_warning(&self) -> Option<String> {
        let mut by_feature: std::collections::BTreeMap<Feature, Vec<&str>> =
            std::collections::BTreeMap::new();
        for (value, feature) in self.not_yet() {
            by_feature.entry(feature).or_default().push(&value.name);
        }
        let parts: Vec<String> = by_feature
            .iter()
            .map(|(feature, names)| format!("{} ({})", feature.name(), names.join(", ")))
            .collect();
        (!parts.is_empty()).then(|| format!("Not supported yet and without effect: {}", parts.join("; ")))
    }

    /// Keys nobody knows; the reference keeps them as system properties without a word.
    #[must_use]
    pub fn unknown(&self) -> &[Unknown] {
        &self.unknown
    }
}

/// One value that is in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Effective {
    /// Its row of the table.
    pub key: &'static Key,
    /// The key itself; differs from the row's name in a family.
    pub name: String,
    /// The value as text; `None` if unset.
    pub value: Option<String>,
    /// Where it comes from.
    pub origin: Origin,
}

impl Effective {
    fn waits_for(&self, mode: Mode) -> Option<Feature> {
        let super::keys::Status::NotYet(feature) = self.key.status else { return None };
        if self.origin == Origin::Default || (feature == Feature::Oracle && mode == Mode::Standalone) {
            return None;
        }
        // A switch that is off asks for nothing.
        let off = self.key.kind.is_switch() && self.value.as_deref() == Some("false");
        let plain_metrics = self.name == "metricsProvider.className"
            && !self.value.as_deref().unwrap_or_default().contains("prometheus");
        (!off && !plain_metrics).then_some(feature)
    }

    /// The value for display: secrets hidden, unset values named.
    #[must_use]
    pub fn shown(&self) -> &str {
        match self.value.as_deref() {
            None => "(unset)",
            Some("") => "(empty)",
            Some(_) if super::keys::is_secret(&self.name) => "(hidden)",
            Some(value) => value,
        }
    }
}

/// Something to log at start that does not keep the server from starting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The sentence, in the words of the reference where it has any.
    pub text: String,
    /// The value it is about.
    pub origin: Origin,
}

/// A key that no row covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// The key as written.
    pub key: String,
    /// Its value.
    pub value: String,
    /// Where it stands.
    pub origin: Origin,
    /// What was probably meant.
    pub hint: Option<String>,
}

/// Directories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// Snapshots go below its `version-2`; `myid` and `initialize` are in it.
    pub data_dir: PathBuf,
    /// Logs go below its `version-2`.
    pub data_log_dir: PathBuf,
    /// Whether missing `version-2` directories are created.
    pub create: bool,
    /// Whether an empty database may vote without the file `initialize`.
    pub create_database: bool,
}

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// The host as configured; `None` when only a port was given.
    pub host: Option<String>,
    /// The address it stands for; `0.0.0.0` also means every IPv6 address, as in Java.
    pub ip: IpAddr,
    /// The port; 0 takes a free one.
    pub port: u16,
}

impl Listen {
    /// Address and port.
    #[must_use]
    pub fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.port)
    }

    /// Whether it binds every address, of both families.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.ip.is_unspecified()
    }
}

impl std::fmt::Display for Listen {
    /// As Java prints an `InetSocketAddress`: name, slash, literal address, port.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match &self.host {
            None => "0.0.0.0",
            Some(host) if host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() => "",
            Some(host) => host,
        };
        let address = super::ensemble::HostPort::new(&self.ip.to_string(), self.port);
        write!(f, "{name}/{address}")
    }
}

/// Client ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The plain listener, if there is one.
    pub plain: Option<Listen>,
    /// The TLS listener, if there is one.
    pub secure: Option<Listen>,
    /// Connections the system queues; -1 means the default.
    pub listen_backlog: i32,
    /// `SO_KEEPALIVE`.
    pub tcp_keep_alive: bool,
    /// How long a connection may be without a session.
    pub sessionless_timeout_ms: i32,
}

impl Client {
    /// The backlog to ask for; without a setting that of the Java server.
    #[must_use]
    pub fn backlog(&self) -> u32 {
        u32::try_from(self.listen_backlog).ok().filter(|backlog| *backlog > 0).unwrap_or(50)
    }
}

/// Ticks and session timeouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sessions {
    /// Base time unit.
    pub tick_time_ms: i32,
    /// Shortest timeout.
    pub min_timeout_ms: i32,
    /// Longest timeout.
    pub max_timeout_ms: i32,
    /// Whether sessions stay on the connected server.
    pub local: bool,
    /// Whether local sessions are promoted on demand.
    pub local_upgrading: bool,
    /// Whether the closing transaction lists the nodes to delete.
    pub close_txn_lists_paths: bool,
}

/// Limits on connections and requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `maxClientCnxns` as it was set, for display.
    pub max_client_cnxns: i32,
    /// Connections of one address; `None` is unlimited.
    pub connections_per_address: Option<u32>,
    /// Connections of one listener; `None` is unlimited.
    pub connections: Option<u32>,
    /// `jute.maxbuffer`: longest request or record.
    pub max_buffer: i32,
    /// Room beyond it for what the server adds.
    pub max_buffer_extra: i32,
    /// Requests in flight above which reading from clients stops.
    pub outstanding_requests: i32,
    /// Size of a large request; `None` is off.
    pub large_request: Option<u32>,
    /// Bytes of large requests in flight.
    pub large_requests_total: u32,
}

/// Throttling of connections and requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Throttle {
    /// Token bucket for connections.
    pub connections: ConnectionThrottle,
    /// Requests in flight above which others wait; 0 is off.
    pub max_requests: i32,
    /// Wait per round.
    pub stall_ms: i32,
    /// Whether stale requests are dropped.
    pub drop_stale: bool,
    /// A request of a closed connection is stale.
    pub stale_connection_check: bool,
    /// A request older than its session timeout is stale.
    pub stale_latency_check: bool,
    /// Time queued requests have to drain at shutdown.
    pub drain_ms: i32,
    /// Wait after which an operation is answered with ThrottledOp; 0 is off.
    pub operation_wait_ms: i32,
}

/// Token bucket for new and renewed sessions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConnectionThrottle {
    /// Bucket size; 0 is off.
    pub tokens: i32,
    /// Time between refills.
    pub fill_ms: i32,
    /// Tokens per refill.
    pub fill_count: i32,
    /// Shortest time between changes of the drop probability; -1 is off.
    pub freeze_ms: i32,
    /// Added to the probability when the bucket is empty.
    pub drop_increase: f64,
    /// Taken from it when the bucket has room.
    pub drop_decrease: f64,
    /// Share of used tokens below which it falls.
    pub decrease_ratio: f64,
    /// Whether kinds of sessions weigh differently.
    pub weights: bool,
    /// Weight of a new global session.
    pub global_weight: i32,
    /// Weight of a new local session.
    pub local_weight: i32,
    /// Weight of a renewed session.
    pub renew_weight: i32,
}

/// The transaction log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Storage {
    /// Growth step of a log file.
    pub prealloc_kib: i64,
    /// Whether writes are synced before they are acknowledged.
    pub force_sync: bool,
    /// Sync time worth a warning.
    pub fsync_warning_ms: i64,
    /// Delay of a group of writes.
    pub flush_delay_ms: i64,
    /// Idle time that ends the delay early.
    pub flush_idle_ms: i64,
    /// Number of writes that ends the delay early.
    pub flush_max_writes: i32,
    /// Size at which a log rolls; `None` is off.
    pub log_size_limit_kib: Option<u64>,
    /// Committed transactions kept in memory.
    pub committed_log_count: i32,
    /// Whether tree digests are kept and checked.
    pub digest: bool,
}

/// How snapshots are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    Plain,
    /// gzip, suffix `.gz`.
    Gzip,
    /// Snappy, suffix `.snappy`.
    Snappy,
}

/// Snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshots {
    /// Transactions between two, at most.
    pub every_txns: i32,
    /// KiB of log between two, at most; `None` is off.
    pub every_kib: Option<u64>,
    /// Their compression.
    pub compression: Compression,
    /// Whether logs without any snapshot are accepted.
    pub trust_empty: bool,
    /// Whether the last zxid closes the file.
    pub last_zxid_section: bool,
}

/// Removal of old snapshots and logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purge {
    /// Snapshots kept.
    pub keep_snapshots: u32,
    /// Hours between runs; `None` is off.
    pub every_hours: Option<u32>,
}

/// Containers, TTL nodes and quotas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nodes {
    /// Whether TTL nodes are allowed.
    pub ttl: bool,
    /// Whether their owners are in the encoding of 3.5.3.
    pub ttl_as_3_5_3: bool,
    /// Time between two looks.
    pub container_check_ms: i32,
    /// Nodes reaped per minute.
    pub container_max_per_minute: i32,
    /// Age at which a container without any child ever is reaped; 0 is never.
    pub container_never_used_ms: i64,
    /// Whether hard quotas are enforced.
    pub enforce_quota: bool,
}

/// Hash of the scheme `digest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the hashes")]
pub enum DigestAlgorithm {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
    Sha512_224,
    Sha512_256,
}

/// A further authentication provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// What follows `authProvider.`.
    pub suffix: String,
    /// The class.
    pub class: String,
    /// The scheme of the class, if it is one of the reference's.
    pub scheme: Option<&'static str>,
}

/// Authentication and ACL checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// Whether ACL checks are skipped.
    pub skip_acl: bool,
    /// Whether the scheme `digest` is offered.
    pub digest: bool,
    /// `super:<digest>`.
    pub super_digest: Option<String>,
    /// Hash of the scheme `digest`.
    pub digest_algorithm: DigestAlgorithm,
    /// Schemes of which one must have succeeded; `None` if authentication is not enforced.
    pub enforced_schemes: Option<BTreeSet<String>>,
    /// Further providers in the order of their suffixes.
    pub providers: Vec<Provider>,
    /// Names accepted by the scheme `ensemble`.
    pub ensemble_names: Option<String>,
    /// Certificate subject that becomes super.
    pub x509_super_user: Option<String>,
    /// SASL identities that become super.
    pub sasl_super_users: Vec<String>,
    /// ACL id that matches every SASL user.
    pub any_sasl_user_id: Option<String>,
    /// Whether a connection survives a failed SASL exchange.
    pub allow_failed_sasl: bool,
    /// Whether learners check ACLs before they pass writes on.
    pub eager_acl_check: bool,
}

/// Which four-letter words are answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Whitelist {
    /// Whether `*` is among them.
    pub all: bool,
    /// The words.
    pub words: BTreeSet<String>,
}

impl Whitelist {
    /// Whether a known word is answered.
    #[must_use]
    pub fn allows(&self, word: &str) -> bool {
        self.all || self.words.contains(word)
    }
}

/// The HTTP admin server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Whether it is asked for; the default is yes.
    pub enabled: bool,
    /// Address it binds to.
    pub address: String,
    /// Port it listens on.
    pub port: i32,
    /// Idle time after which a connection is closed.
    pub idle_timeout_ms: i32,
    /// Path prefix of its commands.
    pub command_url: String,
    /// Shortest time between snapshot or restore commands.
    pub rate_limit_ms: i32,
    /// Whether the command snapshot is offered.
    pub snapshot: bool,
    /// Whether the command restore is offered.
    pub restore: bool,
    /// HTTP and HTTPS on one port.
    pub port_unification: bool,
    /// HTTPS only.
    pub force_https: bool,
    /// Client certificate required.
    pub need_client_certificate: bool,
    /// Whether the client address is taken from `X-Forwarded-For`.
    pub use_x_forwarded_for: bool,
}

/// How metrics leave the server besides `mntr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsProvider {
    /// By four-letter words and the admin server only.
    Default,
    /// Not at all.
    Null,
    /// By a Prometheus endpoint.
    Prometheus,
}

/// The metrics provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metrics {
    /// Which one.
    pub provider: MetricsProvider,
    /// Address of the endpoint.
    pub http_address: String,
    /// Port of the endpoint.
    pub http_port: i32,
    /// Whether metrics of the process are added.
    pub export_process: bool,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object each.
    Json,
}

/// Log lines, where neither a flag nor the environment says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Least severe level.
    pub level: String,
    /// How they look.
    pub format: LogFormat,
}

/// The audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Audit {
    /// Whether it is written.
    pub enabled: bool,
}

/// Members, elections, learners.
#[derive(Debug, Clone, PartialEq)]
pub struct Quorum {
    /// Who belongs to the ensemble; empty if there are no server lines.
    pub membership: Membership,
    /// A newer membership that was proposed and, as far as this server knows, not agreed (`.dynamic.next`).
    pub proposed: Option<Membership>,
    /// The number in the `myid` file, if there is one.
    pub my_id: Option<i64>,
    /// Role of this server.
    pub role: Role,
    /// Ticks to connect and catch up.
    pub init_limit: i32,
    /// Ticks a learner may lag.
    pub sync_limit: i32,
    /// Ticks to connect; 0 is `init_limit`.
    pub connect_limit: i32,
    /// Whether one voter runs alone.
    pub standalone_enabled: bool,
    /// Whether members may be changed while the ensemble runs.
    pub reconfig_enabled: bool,
    /// The file that holds the members.
    pub dynamic_file: Option<PathBuf>,
    /// The oracle file of two voters.
    pub oracle_path: Option<PathBuf>,
    /// Whether the leader serves clients.
    pub leader_serves: bool,
    /// Whether quorum and election ports bind every address.
    pub listen_on_all_addresses: bool,
    /// `SO_KEEPALIVE` on election sockets.
    pub tcp_keep_alive: bool,
    /// Time an election connection may take to open.
    pub connect_timeout_ms: i32,
    /// Time an election connection may be silent; `sync_limit` ticks unless set.
    pub election_read_timeout_ms: i32,
    /// Attempts to bind the election port; `None` is for ever.
    pub election_bind_retries: Option<u32>,
    /// First wait before votes are sent again.
    pub election_min_interval_ms: i32,
    /// Longest wait before votes are sent again.
    pub election_max_interval_ms: i32,
    /// Time after which a leader without epoch gives up; -1 is off.
    pub epoch_wait_ms: i32,
    /// Observers sent a snapshot at the same time.
    pub concurrent_snap_syncs: i32,
    /// Observers sent differences at the same time.
    pub concurrent_diff_syncs: i32,
    /// Transactions between two measurements of acknowledgements; 0 or less is off.
    pub ack_logging_frequency: i32,
    /// Pause before a learner connects again.
    pub connect_retry_ms: i32,
    /// TCP_NODELAY towards the leader.
    pub follower_nodelay: bool,
    /// TCP_NODELAY towards learners.
    pub leader_nodelay: bool,
    /// Whether several addresses were asked for.
    pub multi_address: bool,
    /// Whether addresses are checked.
    pub multi_address_check: bool,
    /// Time that check may take.
    pub multi_address_check_ms: i32,
    /// Share of the snapshot up to which the log on disk is sent instead; negative is off.
    pub log_sync_factor: f64,
    /// Always send a snapshot.
    pub force_snapshot_sync: bool,
    /// Whether reads are served without a quorum.
    pub read_only_mode: bool,
    /// Port for observers on followers.
    pub observer_master_port: Option<u16>,
    /// Bytes of packets kept for observers.
    pub observer_master_buffer: i32,
    /// Longest wait before an observer connects again.
    pub observer_reconnect_ms: i64,
    /// Wait before an observer looks for a leader again.
    pub observer_election_ms: i64,
    /// Whether an observer writes to disk.
    pub observer_writes_disk: bool,
    /// TLS between servers.
    pub tls: bool,
    /// TLS and plain on the same ports.
    pub port_unification: bool,
    /// SASL between servers.
    pub sasl: bool,
    /// A learner authenticates itself.
    pub sasl_learner_require: bool,
    /// A server refuses learners that did not.
    pub sasl_server_require: bool,
}
