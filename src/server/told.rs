//! What each room is told of the settings, in that room's own terms.
//!
//! It checks nothing: settings that exist are sound. What is out of a room's range becomes the nearest that is in it.

use super::conns::ConnLimits;
use super::core::CoreSettings;
use super::facts;
use super::reaper::ReaperSettings;
use crate::auth::scheme::digest::Algorithm;
use crate::auth::{AuthSettings, Rules};
use crate::config::settings::DigestAlgorithm;
use crate::config::{self, Mode, Settings};
use crate::net::client::{GateSettings, LargeRequests, RequestThrottle};
use crate::replica::ReplicaSettings;
use crate::store::{Compression, HolePolicy, StoreOptions};
use crate::types::limits::{BACKLOG_SHARE, BACKLOG_TOTAL, MAX_BUFFER, OUTBOX_HARD};
use crate::types::{Millis, ServerId};
use std::time::Duration;

fn algorithm(set: DigestAlgorithm) -> Algorithm {
    match set {
        DigestAlgorithm::Sha1 => Algorithm::Sha1,
        DigestAlgorithm::Sha224 => Algorithm::Sha224,
        DigestAlgorithm::Sha256 => Algorithm::Sha256,
        DigestAlgorithm::Sha384 => Algorithm::Sha384,
        DigestAlgorithm::Sha512 => Algorithm::Sha512,
        DigestAlgorithm::Sha512_224 => Algorithm::Sha512To224,
        DigestAlgorithm::Sha512_256 => Algorithm::Sha512To256,
    }
}

pub(super) fn rules(settings: &Settings) -> Rules {
    let auth = &settings.auth;
    Rules::new(AuthSettings {
        skip_acl: auth.skip_acl,
        digest_enabled: auth.digest,
        digest_algorithm: algorithm(auth.digest_algorithm),
        super_digest: auth.super_digest.clone(),
        enforced_schemes: auth.enforced_schemes.as_ref().map(|s| s.iter().cloned().collect()),
    })
}

pub(super) fn core_settings(settings: &Settings) -> CoreSettings {
    let ms = |v: i32| Millis(i64::from(v));
    let count = |n: Option<u32>| n.map_or(0, |n| n as usize);
    CoreSettings {
        min_session_timeout: ms(settings.sessions.min_timeout_ms),
        max_session_timeout: ms(settings.sessions.max_timeout_ms),
        max_frame: usize::try_from(settings.limits.max_buffer).unwrap_or(MAX_BUFFER),
        gate: gate_settings(settings),
        client_backlog: OUTBOX_HARD,
        total_backlog: total_backlog(),
        // A server by itself keeps no other kind of session apart.
        local_sessions: settings.sessions.local && settings.mode != Mode::Standalone,
        sessionless_timeout: ms(settings.client.sessionless_timeout_ms),
        limits: ConnLimits {
            per_address: count(settings.limits.connections_per_address),
            total: count(settings.limits.connections),
        },
        ack_sample: settings.quorum.ack_logging_frequency,
    }
}

/// Requests of clients in the works at which others wait: members share the limit with their leader.
fn outstanding(settings: &Settings) -> usize {
    // A negative limit stops whoever has anything in the works, and so does zero.
    let limit = usize::try_from(settings.limits.outstanding_requests).unwrap_or(0);
    match settings.quorum.membership.voters().count() {
        voters if settings.mode == Mode::Ensemble && voters > 2 => limit / (voters - 1),
        _ => limit,
    }
}

fn gate_settings(settings: &Settings) -> GateSettings {
    let (limits, throttle) = (&settings.limits, &settings.throttle);
    let positive = |n: i32| usize::try_from(n).ok().filter(|n| *n > 0);
    GateSettings {
        outstanding: outstanding(settings),
        throttle: positive(throttle.max_requests).map(|max_requests| RequestThrottle {
            max_requests,
            stall: Duration::from_millis(throttle.stall_ms.max(1).unsigned_abs().into()),
            drop_stale: throttle.drop_stale,
            stale_connection: throttle.stale_connection_check,
            stale_latency: throttle.stale_latency_check,
            operation_wait: (throttle.operation_wait_ms > 0)
                .then(|| Millis(throttle.operation_wait_ms.into())),
        }),
        large: limits.large_request.map(|threshold| LargeRequests {
            threshold: threshold as usize,
            total: limits.large_requests_total as usize,
        }),
    }
}

/// What may wait for all clients: the fixed bound, or this machine's share where it is small.
fn total_backlog() -> usize {
    let share = facts::usable_memory().map_or(BACKLOG_TOTAL, |memory| memory / BACKLOG_SHARE);
    share.clamp(OUTBOX_HARD, BACKLOG_TOTAL)
}

/// Its number in the ensemble; 0 for a server by itself, whatever its file `myid` says.
pub(super) fn server_id(settings: &Settings) -> ServerId {
    match settings.mode {
        Mode::Ensemble => ServerId(settings.quorum.my_id.unwrap_or(0)),
        Mode::Standalone => ServerId(0),
    }
}

pub(super) fn replica_settings(settings: &Settings, hash_seed: u64) -> ReplicaSettings {
    ReplicaSettings {
        server_id: if settings.mode == Mode::Ensemble { server_id(settings) } else { ServerId(1) },
        tick: Millis(i64::from(settings.sessions.tick_time_ms)),
        extended_types: settings.nodes.ttl,
        enforce_quota: settings.nodes.enforce_quota,
        digest: settings.storage.digest,
        close_session_txn: settings.sessions.close_txn_lists_paths,
        reconfig_enabled: settings.quorum.reconfig_enabled,
        hash_seed,
        longest_txn: longest_record(settings),
    }
}

/// What servers read of a record: `jute.maxbuffer` and its extra size.
fn longest_record(settings: &Settings) -> usize {
    let limit = i64::from(settings.limits.max_buffer) + i64::from(settings.limits.max_buffer_extra);
    usize::try_from(limit).unwrap_or(usize::MAX)
}

pub(super) fn store_options(settings: &Settings, seed: u64) -> StoreOptions {
    let bytes = |kib: u64| kib.saturating_mul(1024);
    StoreOptions {
        create_dirs: settings.paths.create,
        create_database: settings.paths.create_database,
        trust_empty: settings.snapshots.trust_empty,
        force_sync: settings.storage.force_sync,
        pre_alloc: bytes(u64::try_from(settings.storage.prealloc_kib).unwrap_or(0)),
        snap_count: u64::try_from(settings.snapshots.every_txns).unwrap_or(2),
        snap_size_limit: settings.snapshots.every_kib.map(bytes),
        log_size_limit: settings.storage.log_size_limit_kib.map(bytes),
        fsync_warning: Duration::from_millis(
            u64::try_from(settings.storage.fsync_warning_ms).unwrap_or(1000),
        ),
        compression: match settings.snapshots.compression {
            config::settings::Compression::Plain => Compression::Plain,
            config::settings::Compression::Gzip => Compression::Gzip,
            config::settings::Compression::Snappy => Compression::Snappy,
        },
        limit: longest_record(settings),
        hole: match settings.mode {
            Mode::Standalone => HolePolicy::Refuse,
            Mode::Ensemble => HolePolicy::EndHistory,
        },
        seed,
        ..StoreOptions::new(&settings.paths.data_dir, &settings.paths.data_log_dir)
    }
}

pub(super) fn reaper_settings(settings: &Settings) -> ReaperSettings {
    let nodes = &settings.nodes;
    ReaperSettings {
        every: Duration::from_millis(u64::try_from(nodes.container_check_ms).unwrap_or(60_000).max(1)),
        max_per_minute: u32::try_from(nodes.container_max_per_minute).unwrap_or(10_000),
        never_used_ms: nodes.container_never_used_ms,
    }
}
