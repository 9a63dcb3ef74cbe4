//! Rows for what every server has: directories, client ports, sessions, limits, throttling, storage, nodes.
//!
//! Rows only; see the parent for their meaning.

use super::Fallback::{Bool, Derived, Int, Real, Text, Unset};
use super::Status::{NoEffect, NotYet, Supported};
use super::{Feature, Key, rows};

const THREADS: super::Status = NoEffect("tunes threads of the Java server that Quoll does not have");
const BUFFERS: super::Status =
    NoEffect("tunes buffers or caches of the Java server that Quoll does not have");
const NETTY: super::Status = NoEffect("belongs to the Netty stack of the Java server");

pub(super) const PATHS: &[Key] = rows! { Paths:
    File "dataDir", "paths.data_dir", Path, Unset, Supported,
        "mandatory in zoo.cfg; Quoll without a file uses ./data",
        "Directory of snapshots (under version-2), myid and initialize, and of transaction logs unless dataLogDir is set";
    File "dataLogDir", "paths.data_log_dir", Path, Derived("dataDir"), Supported,
        "must not hold snapshots, nor dataDir logs, when the two differ",
        "Directory of transaction logs (under version-2)";
    System "datadir.autocreate", "paths.create", Bool, Bool(true), Supported,
        "false and a missing directory: exit code 3",
        "Creates the version-2 directories when they are missing";
    System "db.autocreate", "paths.create_database", Bool, Bool(true), Supported, "",
        "When false, an empty database may vote only if the file initialize exists";
};

pub(super) const CLIENT: &[Key] = rows! { Client:
    File "clientPort", "client.port", Port, Unset, Supported,
        "0 takes a free port; unset means no plain listener unless the server line names one",
        "Plain client port";
    File "clientPortAddress", "client.address", Host, Derived("every address"), Supported,
        "needs clientPort; must resolve",
        "Address the client port binds to";
    File "secureClientPort", "client.secure_port", Port, Unset, NotYet(Feature::Tls),
        "needs serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory",
        "TLS client port";
    File "secureClientPortAddress", "client.secure_address", Host, Derived("every address"), NotYet(Feature::Tls),
        "needs secureClientPort; must resolve",
        "Address the TLS client port binds to";
    File "clientPortListenBacklog", "client.listen_backlog", Int, Int(-1), Supported,
        "-1 means the default of the Java server, 50",
        "Length of the queue of connections not yet accepted";
    System "serverCnxnFactory", "client.connection_factory", Class,
        Text("org.apache.zookeeper.server.NIOServerCnxnFactory"),
        NoEffect("Quoll has one network stack; the name is checked because it decides whether secureClientPort is legal"),
        "the NIO or the Netty factory of the reference; any other name stops the start",
        "Network stack of the Java server";
    System "clientTcpKeepAlive", "client.tcp_keep_alive", Bool, Bool(false), Supported, "",
        "SO_KEEPALIVE on client sockets";
    System "nio.sessionlessCnxnTimeout", "client.sessionless_timeout_ms", Int, Int(10_000), Supported, "",
        "Closes a connection that has no session after this time";
    System "nio.numSelectorThreads", "client.nio_selector_threads", Int, Derived("max(1, sqrt(cores / 2))"), THREADS,
        "at least 1", "Selector threads";
    System "nio.numWorkerThreads", "client.nio_worker_threads", Int, Derived("2 x cores"), THREADS, "",
        "Worker threads; 0 lets selectors do the work";
    System "nio.directBufferBytes", "client.nio_direct_buffer_bytes", Int, Int(65_536), BUFFERS, "",
        "Direct buffer per worker; 0 means gathered writes";
    System "nio.shutdownTimeout", "client.nio_shutdown_timeout_ms", Long, Int(5_000), THREADS, "",
        "Time the worker pool has to stop";
    System "netty.advancedFlowControl.enabled", "client.netty_advanced_flow_control", Bool, Bool(false), NETTY, "",
        "Reads from a socket on demand only";
    System "netty.server.outstandingHandshake.limit", "client.netty_outstanding_handshake_limit", Int, Int(-1),
        NotYet(Feature::Tls), "0 or less: no limit",
        "Refuses connections while more TLS handshakes than this are under way";
    System "netty.server.earlyDropSecureConnectionHandshakes", "client.netty_early_drop", Bool, Bool(false),
        NotYet(Feature::Tls), "",
        "Drops TLS connections before the handshake while the server does not serve";
};

pub(super) const SESSIONS: &[Key] = rows! { Sessions:
    File "tickTime", "sessions.tick_time_ms", Int, Int(3_000), Supported,
        "0 and negative values stop the start",
        "Base time unit: session expiry and the ticks of initLimit and syncLimit";
    File "minSessionTimeout", "sessions.min_timeout_ms", Int, Derived("2 x tickTime"), Supported,
        "-1 means the default; not above maxSessionTimeout",
        "Shortest session timeout a client can get";
    File "maxSessionTimeout", "sessions.max_timeout_ms", Int, Derived("20 x tickTime"), Supported,
        "-1 means the default; not below minSessionTimeout",
        "Longest session timeout a client can get";
    File "localSessionsEnabled", "sessions.local", Bool, Bool(false), Supported, "",
        "Keeps sessions on the connected server only; standalone servers ignore it";
    File "localSessionsUpgradingEnabled", "sessions.local_upgrading", Bool, Bool(false), Supported, "",
        "Makes a local session global when it first creates an ephemeral node";
    System "closeSessionTxn.enabled", "sessions.close_txn_lists_paths", Bool, Bool(true), Supported, "",
        "Lists the nodes to delete in the transaction that closes a session";
};

pub(super) const LIMITS: &[Key] = rows! { Limits:
    File "maxClientCnxns", "limits.connections_per_address", Int, Int(60), Supported,
        "0 or less: no limit; 0 when started by port and directory arguments",
        "Connections one client address may hold";
    System "maxCnxns", "limits.connections", Int, Int(0), Supported,
        "0: no limit; below 0 is taken as 0 with a warning",
        "Connections one listener may hold";
    Bare "jute.maxbuffer", "limits.max_buffer_bytes", Int, Int(1_048_575), Supported,
        "set it on clients too",
        "Longest request or record that is accepted";
    System "jute.maxbuffer.extrasize", "limits.max_buffer_extra_bytes", Int, Derived("jute.maxbuffer"), Supported,
        "below 1024 is taken as 1024",
        "Room beyond jute.maxbuffer for what the server adds to a transaction";
    System "globalOutstandingLimit", "limits.outstanding_requests", Int, Int(1_000), Supported, "",
        "Requests in flight above which the server stops reading from clients";
    System "largeRequestThreshold", "limits.large_request_bytes", Int, Int(-1), Supported,
        "-1: off; 0 and other negative values are taken as -1 with a warning",
        "Size from which a request counts as large";
    System "largeRequestMaxBytes", "limits.large_requests_total_bytes", Int, Int(104_857_600), Supported,
        "0 or less is ignored with a warning",
        "Bytes of large requests that may be in flight together; a connection that exceeds it is closed";
    System "maxResponseCacheSize", "limits.response_cache", Int, Int(400), BUFFERS, "0 or less: off",
        "Entries in the cache of getData replies";
    System "maxGetChildrenResponseCacheSize", "limits.children_response_cache", Int, Int(400), BUFFERS, "0 or less: off",
        "Entries in the cache of getChildren replies";
    System "intBufferStartingSizeBytes", "limits.starting_buffer_bytes", Int, Int(1_024), BUFFERS,
        "below 32 stops the start", "First size of a buffer that a reply is written to";
};

pub(super) const THROTTLE: &[Key] = rows! { Throttle:
    System "connection_throttle_tokens", "throttle.connection_tokens", Int, Int(0), Supported, "0: off",
        "Size of the token bucket for new and renewed sessions";
    System "connection_throttle_fill_time", "throttle.connection_fill_ms", Int, Int(1), Supported, "",
        "Time after which tokens are added";
    System "connection_throttle_fill_count", "throttle.connection_fill_count", Int, Int(1), Supported, "",
        "Tokens added each time";
    System "connection_throttle_freeze_time", "throttle.connection_freeze_ms", Int, Int(-1), Supported, "-1: off",
        "Shortest time between two changes of the drop probability";
    System "connection_throttle_drop_increase", "throttle.connection_drop_increase", Real, Real(0.02), Supported,
        "a value that is no number stops the start",
        "Added to the drop probability when the bucket is empty";
    System "connection_throttle_drop_decrease", "throttle.connection_drop_decrease", Real, Real(0.002), Supported,
        "a value that is no number stops the start",
        "Taken from the drop probability when the bucket has room";
    System "connection_throttle_decrease_ratio", "throttle.connection_decrease_ratio", Real, Real(0.0), Supported,
        "a value that is no number stops the start",
        "Share of used tokens below which the drop probability falls";
    System "connection_throttle_weight_enabled", "throttle.connection_weights", Bool, Bool(false), Supported, "",
        "Lets kinds of sessions cost different numbers of tokens";
    System "connection_throttle_global_session_weight", "throttle.connection_global_weight", Int, Int(3), Supported,
        "0 or less means the default; raised to the local weight",
        "Tokens a new global session costs";
    System "connection_throttle_local_session_weight", "throttle.connection_local_weight", Int, Int(1), Supported,
        "0 or less means the default", "Tokens a new local session costs";
    System "connection_throttle_renew_session_weight", "throttle.connection_renew_weight", Int, Int(2), Supported,
        "0 or less means the default; raised to the local weight",
        "Tokens a renewed session costs";
    System "request_throttle_max_requests", "throttle.requests", Int, Int(0), Supported, "0: off",
        "Requests in flight above which further ones wait";
    System "request_throttle_stall_time", "throttle.request_stall_ms", Int, Int(100), Supported, "",
        "Longest wait before a stalled request is looked at again";
    System "request_throttle_drop_stale", "throttle.request_drop_stale", Bool, Bool(true), Supported, "",
        "Drops stale requests and closes their connection";
    System "request_stale_connection_check", "throttle.request_stale_connection_check", Bool, Bool(true), Supported, "",
        "Counts a request of a closed connection as stale";
    System "request_stale_latency_check", "throttle.request_stale_latency_check", Bool, Bool(false), Supported, "",
        "Counts a request that waited longer than its session timeout as stale";
    System "request_throttler.shutdownTimeout", "throttle.request_drain_ms", Int, Int(10_000), Supported, "",
        "Time queued requests have to drain at shutdown";
    System "throttled_op_wait_time", "throttle.operation_wait_ms", Int, Int(0), Supported, "0: off",
        "Time in the queue after which an operation is answered with ThrottledOp";
};

pub(super) const STORAGE: &[Key] = rows! { Storage:
    System "preAllocSize", "storage.prealloc_kib", Long, Int(65_536), Supported,
        "a value that is no number is ignored with a warning",
        "Step by which a log file grows ahead of what is written";
    System "forceSync", "storage.force_sync", OnUnlessNo, Bool(true), Supported, "only no turns it off",
        "Syncs the log to disk before a write is acknowledged";
    Both "fsync.warningthresholdms", "storage.fsync_warning_ms", Long, Int(1_000), Supported, "",
        "Warns when a sync takes longer";
    System "flushDelay", "storage.flush_delay_ms", Long, Int(0), NoEffect("what gathers during one sync is the next group, without a delay"), "",
        "Holds a group of writes back for this long before it is synced";
    System "maxWriteQueuePollTime", "storage.flush_idle_ms", Long, Derived("flushDelay / 3"), NoEffect("there is no delay to end"), "",
        "Syncs early when no write came for this long";
    System "maxBatchSize", "storage.flush_max_writes", Int, Int(1_000), NoEffect("there is no delay to end"), "",
        "Syncs early after this many writes";
    System "txnLogSizeLimitInKb", "storage.log_size_limit_kib", Long, Int(-1), Supported, "0 or less: off",
        "Starts a new log file when the current one is larger";
    System "commitLogCount", "storage.committed_log_count", Int, Int(500), Supported,
        "below 500 is taken as 500 with a warning",
        "Committed transactions kept in memory for followers that lag";
    System "digest.enabled", "storage.digest", Bool, Bool(true), Supported, "",
        "Keeps digests of the tree in logs and snapshots and checks them on load";
};

pub(super) const SNAPSHOTS: &[Key] = rows! { Snapshots:
    System "snapCount", "snapshots.every_txns", Int, Int(100_000), Supported,
        "below 2 is taken as 2 with a warning",
        "Takes a snapshot after a random number of transactions between half of this and this";
    System "snapSizeLimitInKb", "snapshots.every_kib", Long, Int(4_194_304), Supported, "0 or less: off",
        "The same by bytes of log";
    System "snapshot.compression.method", "snapshots.compression", Text, Text(""), Supported,
        "gz or snappy in any case; anything else means none",
        "Compression of snapshots";
    System "snapshot.trust.empty", "snapshots.trust_empty", Bool, Bool(false), Supported, "",
        "Starts even if there are logs but no snapshot";
    System "serializeLastProcessedZxid.enabled", "snapshots.last_zxid_section", Bool, Bool(true), NoEffect("the section is always written behind the digest, and every release reads that"), "",
        "Ends a snapshot with the last zxid it contains";
};

pub(super) const PURGE: &[Key] = rows! { Purge:
    File "autopurge.snapRetainCount", "purge.keep_snapshots", Int, Int(3), Supported,
        "below 3 is taken as 3 with a warning",
        "Snapshots the purge task keeps, with the logs they need";
    File "autopurge.purgeInterval", "purge.every_hours", Int, Int(0), Supported, "0 or less: off",
        "Hours between two runs of the purge task, the first of them at the start";
};

pub(super) const NODES: &[Key] = rows! { Nodes:
    System "extendedTypesEnabled", "nodes.ttl", Bool, Bool(false), Supported, "server id below 255",
        "Allows TTL nodes";
    System "emulate353TTLNodes", "nodes.ttl_as_3_5_3", Bool, Bool(false), NotYet(Feature::OldTtl), "server id up to 127",
        "Reads owners of TTL nodes in the encoding of 3.5.3";
    Bare "znode.container.checkIntervalMs", "nodes.container_check_ms", Int, Int(60_000), Supported, "",
        "Time between two looks for empty containers and expired TTL nodes";
    Bare "znode.container.maxPerMinute", "nodes.container_max_per_minute", Int, Int(10_000), Supported, "",
        "Nodes that may be reaped in a minute";
    Bare "znode.container.maxNeverUsedIntervalMs", "nodes.container_never_used_ms", Long, Int(0), Supported, "0: never",
        "Reaps a container that never had children after this time";
    System "enforceQuota", "nodes.enforce_quota", Bool, Bool(false), Supported, "",
        "Refuses writes beyond hard quotas";
    System "testingonly.initialZxid", "nodes.testing_initial_zxid", Long, Unset,
        NoEffect("a test aid of the Java server"), "", "First zxid of a new database";
    System "test.allowDiscontinuousProposals", "nodes.testing_discontinuous_proposals", Bool, Bool(false),
        NoEffect("a test aid of the Java server"), "", "Lets a follower accept gaps between proposals";
};
