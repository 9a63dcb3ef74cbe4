//! The groups every server has: paths, ports, sessions, limits, throttling, storage, nodes, admin, metrics.
//!
//! Each function reads and checks one group. Messages are the reference's where it has any.
//!
//! Invariant: every number handed out is inside the range its users rely on.

use super::reader::{self, Reader};
use crate::config::error::{ConfigError, EXIT_UNEXPECTED};
use crate::config::settings::{
    Admin, Audit, Client, Compression, ConnectionThrottle, Limits, Listen, Log, LogFormat, Metrics,
    MetricsProvider, Nodes, Paths, Purge, Sessions, Snapshots, Storage, Throttle, Whitelist,
};
use crate::config::world::World;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

const MIN_SNAPSHOTS: i32 = 3;
const NIO: &str = "org.apache.zookeeper.server.NIOServerCnxnFactory";
const NETTY: &str = "org.apache.zookeeper.server.NettyServerCnxnFactory";

pub(super) fn purge(reader: &mut Reader) -> Result<Purge, ConfigError> {
    const RETAIN: &str = "autopurge.snapRetainCount";
    let mut keep = reader.int(RETAIN)?;
    let hours = reader.int("autopurge.purgeInterval")?;
    if keep < MIN_SNAPSHOTS {
        reader.warn(RETAIN, format!("Invalid {RETAIN}: {keep}. Defaulting to {MIN_SNAPSHOTS}"));
        keep = MIN_SNAPSHOTS;
        reader.reset(RETAIN, keep);
    }
    Ok(Purge {
        keep_snapshots: keep.unsigned_abs(),
        every_hours: u32::try_from(hours).ok().filter(|hours| *hours > 0),
    })
}

pub(super) fn paths(reader: &mut Reader) -> Result<Paths, ConfigError> {
    let directory = |reader: &mut Reader, name: &str| -> Result<Option<PathBuf>, ConfigError> {
        let Some(value) = reader.text(name) else { return Ok(None) };
        if value.is_empty() {
            return Err(reader.fault(name, "empty path").expected("a directory").code(EXIT_UNEXPECTED));
        }
        if let Some(warning) = super::relative(&value) {
            reader.warn(name, warning);
        }
        Ok(Some(PathBuf::from(value)))
    };
    let data_dir = directory(reader, "dataDir")?;
    let data_log_dir = directory(reader, "dataLogDir")?;
    let Some(data_dir) = data_dir else {
        let error =
            ConfigError::new("dataDir is not set").remedy("add a line such as dataDir=/var/lib/zookeeper");
        return Err(reader.fault_of_file(error, None));
    };
    if data_log_dir.is_none() {
        reader.reset("dataLogDir", data_dir.display());
    }
    Ok(Paths {
        data_log_dir: data_log_dir.unwrap_or_else(|| data_dir.clone()),
        data_dir,
        create: reader.switch("datadir.autocreate")?,
        create_database: reader.switch("db.autocreate")?,
    })
}

pub(super) fn listeners(
    reader: &mut Reader,
    world: &dyn World,
) -> Result<(Option<Listen>, Option<Listen>), ConfigError> {
    let plain = listener(reader, "clientPort", "clientPortAddress", world)?;
    let secure = listener(reader, "secureClientPort", "secureClientPortAddress", world)?;
    Ok((plain, secure))
}

fn listener(
    reader: &mut Reader,
    port_key: &str,
    host_key: &str,
    world: &dyn World,
) -> Result<Option<Listen>, ConfigError> {
    let number = reader.maybe_int(port_key)?;
    let host = reader.text(host_key);
    let Some(number) = number else {
        return match host {
            Some(_) => Err(reader
                .fault(host_key, format!("{host_key} is set but {port_key} is not set"))
                .remedy(format!("add {port_key}"))),
            None => Ok(None),
        };
    };
    let port = u16::try_from(number).map_err(|_| {
        reader.fault(port_key, format!("port out of range:{number}")).expected("an integer from 0 to 65535")
    })?;
    let ip = match &host {
        None => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Some(name) => world.resolve(name).ok_or_else(|| {
            reader
                .fault(host_key, format!("{name}: Name or service not known"))
                .expected("a host name or address of this machine")
        })?,
    };
    let host = host.map(|host| if host.is_empty() { "localhost".to_owned() } else { host });
    Ok(Some(Listen { host, ip, port }))
}

pub(super) fn sessions(reader: &mut Reader) -> Result<Sessions, ConfigError> {
    let tick_time_ms = reader.int("tickTime")?;
    let (min, max) = (reader.int_or("minSessionTimeout", -1)?, reader.int_or("maxSessionTimeout", -1)?);
    if tick_time_ms == 0 {
        return Err(reader
            .fault("tickTime", "tickTime is not set")
            .expected("a positive number of milliseconds"));
    }
    // The reference multiplies in 32 bits; beyond them the comparison below fails here as it does there.
    let min_timeout_ms = if min == -1 { tick_time_ms.wrapping_mul(2) } else { min };
    let max_timeout_ms = if max == -1 { tick_time_ms.wrapping_mul(20) } else { max };
    reader.reset("minSessionTimeout", min_timeout_ms);
    reader.reset("maxSessionTimeout", max_timeout_ms);
    if min_timeout_ms > max_timeout_ms {
        let name = match (min, max) {
            (-1, -1) => "tickTime",
            (-1, _) => "maxSessionTimeout",
            _ => "minSessionTimeout",
        };
        return Err(reader
            .fault(name, "minSessionTimeout must not be larger than maxSessionTimeout")
            .remedy(format!("they are {min_timeout_ms} and {max_timeout_ms} ms")));
    }
    if tick_time_ms < 0 {
        return Err(reader
            .fault("tickTime", "tickTime is negative")
            .expected("a positive number of milliseconds"));
    }
    Ok(Sessions {
        tick_time_ms,
        min_timeout_ms,
        max_timeout_ms,
        local: reader.switch("localSessionsEnabled")?,
        local_upgrading: reader.switch("localSessionsUpgradingEnabled")?,
        close_txn_lists_paths: reader.switch("closeSessionTxn.enabled")?,
    })
}

pub(super) fn client(
    reader: &mut Reader,
    plain: Option<Listen>,
    secure: Option<Listen>,
) -> Result<Client, ConfigError> {
    const FACTORY: &str = "serverCnxnFactory";
    let factory = reader.text(FACTORY).unwrap_or_default();
    if factory != NIO && factory != NETTY {
        return Err(reader
            .fault(FACTORY, format!("Couldn't instantiate {factory}"))
            .expected(format!("{NIO} or {NETTY}"))
            .code(EXIT_UNEXPECTED));
    }
    if secure.is_some() && factory != NETTY {
        return Err(reader
            .fault("secureClientPort", "SSL isn't supported in NIOServerCnxn")
            .remedy(format!("add {FACTORY}={NETTY}"))
            .code(EXIT_UNEXPECTED));
    }
    let selectors = reader.maybe_int("nio.numSelectorThreads")?;
    if selectors.is_some_and(|count| count < 1) {
        return Err(reader
            .fault("nio.numSelectorThreads", "numSelectorThreads must be at least 1")
            .code(EXIT_UNEXPECTED));
    }
    Ok(Client {
        plain,
        secure,
        listen_backlog: reader.int("clientPortListenBacklog")?,
        tcp_keep_alive: reader.switch("clientTcpKeepAlive")?,
        sessionless_timeout_ms: reader.int("nio.sessionlessCnxnTimeout")?,
    })
}

fn positive(value: i32) -> Option<u32> {
    u32::try_from(value).ok().filter(|value| *value > 0)
}

pub(super) fn limits(reader: &mut Reader) -> Result<Limits, ConfigError> {
    const THRESHOLD: &str = "largeRequestThreshold";
    const TOTAL: &str = "largeRequestMaxBytes";
    const EXTRA: &str = "jute.maxbuffer.extrasize";
    let max_client_cnxns = reader.int("maxClientCnxns")?;
    let mut connections = reader.int("maxCnxns")?;
    if connections < 0 {
        reader.warn("maxCnxns", "maxCnxns should be greater than or equal to 0, using default value 0.");
        connections = 0;
        reader.reset("maxCnxns", connections);
    }
    let max_buffer = reader.int("jute.maxbuffer")?;
    let mut max_buffer_extra = reader.int_or(EXTRA, max_buffer)?;
    if max_buffer_extra < 1024 {
        max_buffer_extra = 1024;
        reader.reset(EXTRA, max_buffer_extra);
    }
    let mut large_request = reader.int(THRESHOLD)?;
    if large_request == 0 || large_request < -1 {
        reader.warn(THRESHOLD, format!("Invalid value {large_request} of {THRESHOLD}, using -1: no limit"));
        large_request = -1;
        reader.reset(THRESHOLD, large_request);
    }
    let usual = reader::fallback_int(TOTAL);
    let mut large_requests_total = reader.int(TOTAL)?;
    if large_requests_total <= 0 {
        reader.warn(TOTAL, format!("Invalid value {large_requests_total} of {TOTAL}, using {usual}"));
        large_requests_total = usual;
        reader.reset(TOTAL, usual);
    }
    let buffer = reader.int("intBufferStartingSizeBytes")?;
    if buffer < 32 {
        return Err(reader
            .fault("intBufferStartingSizeBytes", format!("buffer starting size {buffer} is too small"))
            .expected("at least 32")
            .code(EXIT_UNEXPECTED));
    }
    Ok(Limits {
        max_client_cnxns,
        connections_per_address: positive(max_client_cnxns),
        connections: positive(connections),
        max_buffer,
        max_buffer_extra,
        outstanding_requests: reader.int("globalOutstandingLimit")?,
        large_request: positive(large_request),
        large_requests_total: large_requests_total.unsigned_abs(),
    })
}

pub(super) fn throttle(reader: &mut Reader) -> Result<Throttle, ConfigError> {
    const PREFIX: &str = "connection_throttle_";
    let name = |rest: &str| format!("{PREFIX}{rest}");
    let weight = |reader: &mut Reader, kind: &str, floor: i32| -> Result<i32, ConfigError> {
        let name = format!("{PREFIX}{kind}_session_weight");
        let mut value = reader.int(&name)?;
        if value <= 0 {
            value = reader::fallback_int(&name);
        }
        value = value.max(floor);
        reader.reset(&name, value);
        Ok(value)
    };
    let local_weight = weight(reader, "local", 1)?;
    Ok(Throttle {
        connections: ConnectionThrottle {
            tokens: reader.int(&name("tokens"))?,
            fill_ms: reader.int(&name("fill_time"))?,
            fill_count: reader.int(&name("fill_count"))?,
            freeze_ms: reader.int(&name("freeze_time"))?,
            drop_increase: reader.strict_real(&name("drop_increase"))?,
            drop_decrease: reader.strict_real(&name("drop_decrease"))?,
            decrease_ratio: reader.strict_real(&name("decrease_ratio"))?,
            weights: reader.switch(&name("weight_enabled"))?,
            global_weight: weight(reader, "global", local_weight)?,
            local_weight,
            renew_weight: weight(reader, "renew", local_weight)?,
        },
        max_requests: reader.int("request_throttle_max_requests")?,
        stall_ms: reader.int("request_throttle_stall_time")?,
        drop_stale: reader.switch("request_throttle_drop_stale")?,
        stale_connection_check: reader.switch("request_stale_connection_check")?,
        stale_latency_check: reader.switch("request_stale_latency_check")?,
        drain_ms: reader.int("request_throttler.shutdownTimeout")?,
        operation_wait_ms: reader.int("throttled_op_wait_time")?,
    })
}

pub(super) fn storage(reader: &mut Reader) -> Result<Storage, ConfigError> {
    const PREALLOC: &str = "preAllocSize";
    const COMMITTED: &str = "commitLogCount";
    let prealloc_kib =
        reader.warned_long(PREALLOC, |value| format!("{value} is not a valid value for {PREALLOC}"));
    let flush_delay_ms = reader.long("flushDelay")?;
    let mut committed_log_count = reader.int(COMMITTED)?;
    let least = reader::fallback_int(COMMITTED);
    if committed_log_count < least {
        reader.warn(
            COMMITTED,
            format!("Configured {COMMITTED} {committed_log_count} is below {least}, using {least}"),
        );
        committed_log_count = least;
        reader.reset(COMMITTED, least);
    }
    Ok(Storage {
        prealloc_kib,
        force_sync: reader.switch("forceSync")?,
        fsync_warning_ms: reader.long("fsync.warningthresholdms")?,
        flush_delay_ms,
        flush_idle_ms: reader.long_or("maxWriteQueuePollTime", flush_delay_ms / 3)?,
        flush_max_writes: reader.int("maxBatchSize")?,
        log_size_limit_kib: u64::try_from(reader.long("txnLogSizeLimitInKb")?)
            .ok()
            .filter(|limit| *limit > 0),
        committed_log_count,
        digest: reader.switch("digest.enabled")?,
    })
}

pub(super) fn snapshots(reader: &mut Reader) -> Result<Snapshots, ConfigError> {
    const COUNT: &str = "snapCount";
    let mut every_txns = reader.int(COUNT)?;
    if every_txns < 2 {
        reader.warn(COUNT, "SnapCount should be 2 or more. Now, snapCount is reset to 2");
        every_txns = 2;
        reader.reset(COUNT, every_txns);
    }
    let method = reader.text("snapshot.compression.method").unwrap_or_default();
    Ok(Snapshots {
        every_txns,
        every_kib: u64::try_from(reader.long("snapSizeLimitInKb")?).ok().filter(|limit| *limit > 0),
        compression: match method.to_ascii_lowercase().as_str() {
            "gz" => Compression::Gzip,
            "snappy" => Compression::Snappy,
            _ => Compression::Plain,
        },
        trust_empty: reader.switch("snapshot.trust.empty")?,
        last_zxid_section: reader.switch("serializeLastProcessedZxid.enabled")?,
    })
}

pub(super) fn nodes(reader: &mut Reader) -> Result<Nodes, ConfigError> {
    Ok(Nodes {
        ttl: reader.switch("extendedTypesEnabled")?,
        ttl_as_3_5_3: reader.switch("emulate353TTLNodes")?,
        container_check_ms: reader.int("znode.container.checkIntervalMs")?,
        container_max_per_minute: reader.int("znode.container.maxPerMinute")?,
        container_never_used_ms: reader.long("znode.container.maxNeverUsedIntervalMs")?,
        enforce_quota: reader.switch("enforceQuota")?,
    })
}

pub(super) fn whitelist(reader: &mut Reader) -> Whitelist {
    const KEY: &str = "4lw.commands.whitelist";
    let list = reader.text(KEY);
    let mut words: std::collections::BTreeSet<String> = list
        .iter()
        .flat_map(|list| list.split(','))
        .map(|word| word.trim().to_owned())
        .filter(|word| !word.is_empty())
        .collect();
    let all = words.remove("*");
    words.insert("srvr".to_owned());
    if reader.properties.get("readonlymode.enabled").is_some_and(|sourced| sourced.value == "true") {
        words.insert("isro".to_owned());
    }
    if list.is_none() {
        reader.reset(KEY, words.iter().cloned().collect::<Vec<_>>().join(","));
    }
    Whitelist { all, words }
}

pub(super) fn admin(reader: &mut Reader) -> Result<Admin, ConfigError> {
    Ok(Admin {
        enabled: reader.switch("admin.enableServer")?,
        address: reader.text("admin.serverAddress").unwrap_or_default(),
        port: reader.int("admin.serverPort")?,
        idle_timeout_ms: reader.int("admin.idleTimeout")?,
        command_url: reader.text("admin.commandURL").unwrap_or_default(),
        rate_limit_ms: reader.int("admin.rateLimiterIntervalInMS")?,
        snapshot: reader.switch("admin.snapshot.enabled")?,
        restore: reader.switch("admin.restore.enabled")?,
        port_unification: reader.switch("admin.portUnification")?,
        force_https: reader.switch("admin.forceHttps")?,
        need_client_certificate: reader.switch("admin.needClientAuth")?,
        use_x_forwarded_for: reader.switch("IPAuthenticationProvider.usexforwardedfor")?,
    })
}

pub(super) fn metrics(reader: &mut Reader) -> Result<Metrics, ConfigError> {
    const CLASS: &str = "metricsProvider.className";
    let class = reader.text(CLASS).unwrap_or_default();
    let provider = match class.as_str() {
        "org.apache.zookeeper.metrics.impl.DefaultMetricsProvider" => MetricsProvider::Default,
        "org.apache.zookeeper.metrics.impl.NullMetricsProvider" => MetricsProvider::Null,
        "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider" => MetricsProvider::Prometheus,
        _ => {
            return Err(reader
                .fault(CLASS, "metrics provider class was not found")
                .expected("the default, the null or the Prometheus provider of the reference"));
        }
    };
    let read = provider == MetricsProvider::Prometheus;
    let http_port = reader.option_int("metricsProvider.httpPort", read)?;
    for name in ["numWorkerThreads", "maxQueueSize", "workerShutdownTimeoutMs"] {
        reader.option_int(&format!("metricsProvider.{name}"), read)?;
    }
    Ok(Metrics {
        provider,
        http_address: reader.text("metricsProvider.httpHost").unwrap_or_default(),
        http_port,
        export_process: reader
            .text("metricsProvider.exportJvmInfo")
            .is_none_or(|value| value.eq_ignore_ascii_case("true")),
    })
}

/// Log lines. They are ours alone, so that a bad value can be told at once.
pub(super) fn log(reader: &mut Reader) -> Result<Log, ConfigError> {
    const LEVEL: &str = "quoll.log.level";
    const FORMAT: &str = "quoll.log.format";
    let level = reader.text(LEVEL).unwrap_or_default().to_ascii_lowercase();
    if !["error", "warn", "info", "debug", "trace"].contains(&level.as_str()) {
        return Err(reader.fault(LEVEL, "no such level").expected("error, warn, info, debug or trace"));
    }
    let format = match reader.text(FORMAT).unwrap_or_default().as_str() {
        "human" => LogFormat::Human,
        "json" => LogFormat::Json,
        _ => return Err(reader.fault(FORMAT, "no such format").expected("human or json")),
    };
    Ok(Log { level, format })
}

pub(super) fn audit(reader: &mut Reader) -> Result<Audit, ConfigError> {
    Ok(Audit { enabled: reader.switch("audit.enable")? })
}

/// Keys without effect whose bad values stop the reference all the same.
pub(super) fn tuning(reader: &mut Reader) -> Result<(), ConfigError> {
    const BATCH: &str = "commitProcessor.maxCommitBatchSize";
    const WATCHES: &str = "watchManagerName";
    if reader.int(BATCH)? <= 0 {
        return Err(reader.fault(BATCH, "must be positive").expected("at least 1").code(EXIT_UNEXPECTED));
    }
    let manager = reader.text(WATCHES).unwrap_or_default();
    let known = [
        "org.apache.zookeeper.server.watch.WatchManager",
        "org.apache.zookeeper.server.watch.WatchManagerOptimized",
    ];
    if !known.contains(&manager.as_str()) {
        return Err(reader
            .fault(WATCHES, format!("Couldn't instantiate {manager}"))
            .expected(known.join(" or "))
            .code(EXIT_UNEXPECTED));
    }
    Ok(())
}
