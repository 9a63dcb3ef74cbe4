//! Rows for what operators look at, and for tuning: four-letter words, AdminServer, metrics, audit, log lines.
//!
//! Rows only; see the parent for their meaning.

use super::Fallback::{Bool, Derived, Int, Real, Text, Unset};
use super::Status::{NoEffect, NotYet, Supported};
use super::{Feature, Key, rows};

const ADMIN_: super::Status = NotYet(Feature::Admin);
const PROMETHEUS: super::Status = NotYet(Feature::Prometheus);
const JVM: super::Status = NoEffect("tunes the Java virtual machine");
const WATCHES: super::Status = NoEffect("Quoll has one watch table, compact and with every kind of watch");
const PIPELINE: super::Status = NoEffect("tunes threads of the Java server that Quoll does not have");
const PATHS: super::Status = NotYet(Feature::PathStats);
const CLIENT: super::Status = NoEffect("read by clients, not by servers");

pub(super) const FOUR_LETTER_WORDS: &[Key] = rows! { FourLetterWords:
    System "4lw.commands.whitelist", "four_letter_words.whitelist", List, Unset, Supported,
        "* allows all; srvr is always allowed, isro with readonlymode.enabled=true",
        "Four-letter words that are answered";
};

pub(super) const ADMIN: &[Key] = rows! { Admin:
    System "admin.enableServer", "admin.enabled", OnUnlessFalse, Bool(true), ADMIN_, "only false turns it off",
        "Starts the HTTP admin server";
    System "admin.serverAddress", "admin.address", Host, Text("0.0.0.0"), ADMIN_, "", "Address it binds to";
    System "admin.serverPort", "admin.port", Int, Int(8_080), ADMIN_, "", "Port it listens on";
    System "admin.idleTimeout", "admin.idle_timeout_ms", Int, Int(30_000), ADMIN_, "",
        "Closes an HTTP connection that is idle for this long";
    System "admin.commandURL", "admin.command_url", Text, Text("/commands"), ADMIN_, "", "Path prefix of its commands";
    System "admin.httpVersion", "admin.http_version", Int, Int(11), ADMIN_, "", "HTTP version offered behind TLS";
    System "admin.portUnification", "admin.port_unification", Bool, Bool(false), ADMIN_, "",
        "Serves HTTP and HTTPS on one port";
    System "admin.forceHttps", "admin.force_https", Bool, Bool(false), ADMIN_, "", "Serves HTTPS only";
    System "admin.needClientAuth", "admin.need_client_certificate", Bool, Bool(false), ADMIN_, "",
        "Requires a client certificate";
    System "admin.rateLimiterIntervalInMS", "admin.rate_limit_ms", Int, Int(300_000), ADMIN_, "",
        "Shortest time between two snapshot or restore commands";
    System "admin.snapshot.enabled", "admin.snapshot", Bool, Bool(true), ADMIN_, "", "Offers the command snapshot";
    System "admin.restore.enabled", "admin.restore", Bool, Bool(true), ADMIN_, "", "Offers the command restore";
};

pub(super) const METRICS: &[Key] = rows! { Metrics:
    File "metricsProvider.className", "metrics.provider", Class,
        Text("org.apache.zookeeper.metrics.impl.DefaultMetricsProvider"), PROMETHEUS,
        "the default, the null or the Prometheus provider of the reference; any other name stops the start",
        "How metrics leave the server besides mntr";
    File "metricsProvider.httpHost", "metrics.http_address", Host, Text("0.0.0.0"), PROMETHEUS, "",
        "Address of the Prometheus endpoint";
    File "metricsProvider.httpPort", "metrics.http_port", Int, Int(7_000), PROMETHEUS, "",
        "Port of the Prometheus endpoint";
    File "metricsProvider.exportJvmInfo", "metrics.export_process", Bool, Bool(true), PROMETHEUS, "",
        "Adds metrics of the process";
    File "metricsProvider.numWorkerThreads", "metrics.worker_threads", Int, Int(1),
        NoEffect("metrics are updated in place"), "", "Threads that update summaries";
    File "metricsProvider.maxQueueSize", "metrics.max_queue", Int, Int(1_000_000),
        NoEffect("metrics are updated in place"), "", "Updates of summaries that may wait";
    File "metricsProvider.workerShutdownTimeoutMs", "metrics.worker_shutdown_ms", Int, Int(1_000),
        NoEffect("metrics are updated in place"), "", "Time those threads have to stop";
    File "metricsProvider.*", "metrics.options", Family, Unset, PROMETHEUS, "",
        "Any other option of the metrics provider";
};

pub(super) const AUDIT: &[Key] = rows! { Audit:
    System "audit.enable", "audit.enabled", Bool, Bool(false), NotYet(Feature::Audit), "", "Writes an audit log";
    System "audit.impl.class", "audit.logger", Class, Text("org.apache.zookeeper.audit.Slf4jAuditLogger"),
        NotYet(Feature::Audit), "", "Class that writes the audit log";
};

pub(super) const LOG: &[Key] = rows! { Log:
    System "quoll.log.level", "log.level", Text, Text("info"), Supported,
        "error, warn, info, debug or trace; `--log-level` and `QUOLL_LOG` win",
        "Least severe level that is logged; a key of Quoll";
    System "quoll.log.format", "log.format", Text, Text("human"), Supported,
        "human or json; `--log-format` and `QUOLL_LOG_FORMAT` win", "How log lines look; a key of Quoll";
};

pub(super) const TUNING: &[Key] = rows! { Tuning:
    System "commitProcessor.numWorkerThreads", "tuning.commit_workers", Int, Derived("cores"), PIPELINE, "",
        "Threads that apply reads; 0 means one";
    System "commitProcessor.maxReadBatchSize", "tuning.commit_read_batch", Int, Int(-1), PIPELINE, "",
        "Reads processed before the next commit";
    System "commitProcessor.maxCommitBatchSize", "tuning.commit_batch", Int, Int(1), PIPELINE,
        "0 and less stop the start", "Commits processed before the next reads";
    System "commitProcessor.shutdownTimeout", "tuning.commit_shutdown_ms", Long, Int(5_000), PIPELINE, "",
        "Time those threads have to stop";
    System "watchManagerName", "tuning.watch_manager", Class,
        Text("org.apache.zookeeper.server.watch.WatchManager"), WATCHES,
        "the default or the optimised manager of the reference; any other name stops the start",
        "Class that keeps watches";
    System "watcherCleanThreadsNum", "tuning.watcher_clean_threads", Int, Int(2), WATCHES, "",
        "Threads that remove dead watchers";
    System "watcherCleanThreshold", "tuning.watcher_clean_threshold", Int, Int(1_000), WATCHES, "",
        "Dead watchers that are removed together";
    System "watcherCleanIntervalInSeconds", "tuning.watcher_clean_interval_s", Int, Int(600), WATCHES, "",
        "Longest time dead watchers are kept";
    System "maxInProcessingDeadWatchers", "tuning.watcher_max_dead", Int, Int(-1), WATCHES, "-1: no limit",
        "Dead watchers above which closing a connection waits";
    System "bitHashCacheSize", "tuning.watcher_bit_hash_cache", Int, Int(10), WATCHES, "",
        "Recently used entries per path that are kept in a set";
    System "pathStats.enabled", "tuning.path_stats", Bool, Bool(false), PATHS, "",
        "Logs statistics of requests by path";
    System "pathStats.slotCapacity", "tuning.path_stats_slots", Int, Int(60), PATHS, "", "Number of slots kept";
    System "pathStats.slotDuration", "tuning.path_stats_slot_s", Int, Int(15), PATHS, "", "Length of a slot";
    System "pathStats.maxDepth", "tuning.path_stats_depth", Int, Int(6), PATHS, "", "Depth at which paths are cut";
    System "pathStats.sampleRate", "tuning.path_stats_sample_rate", Real, Real(0.1), PATHS, "",
        "Share of requests that are counted";
    System "pathStats.initialDelay", "tuning.path_stats_initial_delay_min", Int, Int(5), PATHS, "",
        "Minutes before the first report";
    System "pathStats.delay", "tuning.path_stats_delay_min", Int, Int(5), PATHS, "", "Minutes between two reports";
    System "pathStats.topPathMax", "tuning.path_stats_top", Int, Int(20), PATHS, "", "Paths in a report";
    File "jvm.pause.monitor", "tuning.jvm_pause_monitor", Bool, Bool(false), JVM, "",
        "Watches for pauses of the virtual machine";
    File "jvm.pause.warn-threshold.ms", "tuning.jvm_pause_warn_ms", Long, Int(10_000), JVM, "",
        "Pause that is worth a warning";
    File "jvm.pause.info-threshold.ms", "tuning.jvm_pause_info_ms", Long, Int(1_000), JVM, "",
        "Pause that is worth a line";
    File "jvm.pause.sleep.time.ms", "tuning.jvm_pause_sleep_ms", Long, Int(500), JVM, "",
        "Time between two looks";
    System "jmx.log4j.disable", "tuning.jmx_log4j_disable", Bool, Bool(false), JVM, "",
        "Leaves the logger out of the management beans";
};

pub(super) const CLIENT_SIDE: &[Key] = rows! { ClientSide:
    System "client.secure", "client_side.secure", Bool, Bool(false), CLIENT, "", "Clients connect with TLS";
    System "clientCnxnSocket", "client_side.socket_class", Class, Unset, CLIENT, "", "Network stack of the Java client";
    System "request.timeout", "client_side.request_timeout_ms", Int, Unset, CLIENT, "", "Time a request may take";
    System "disableAutoWatchReset", "client_side.disable_auto_watch_reset", Bool, Bool(false), CLIENT, "",
        "Does not set watches again after a reconnect";
    Bare "zookeeper.server.principal", "client_side.server_principal", Text, Unset, CLIENT,
        "in zoo.cfg a key that starts with server. is a member", "Kerberos name of the server";
    System "sasl.client", "client_side.sasl", Bool, Bool(true), CLIENT, "", "Clients authenticate with SASL";
    System "sasl.client.username", "client_side.sasl_username", Text, Text("zookeeper"), CLIENT, "",
        "Name part of the server's principal";
    System "sasl.client.canonicalize.hostname", "client_side.sasl_canonicalize", Bool, Bool(true), CLIENT, "",
        "Resolves the server's host name to its canonical form";
    System "sasl.clientconfig", "client_side.sasl_config", Text, Text("Client"), CLIENT, "",
        "Login section of the client";
};
