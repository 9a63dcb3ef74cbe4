//! A server of an ensemble: what it begins with, and what runs beside its clients.
//!
//! Start-up only; nothing here decides. Invariant: no vote leaves before the disk was read, and none names a history
//! with a hole.

use super::abroad::{Abroad, AbroadSettings};
use super::config_files::ConfigDesk;
use super::core::Core;
use super::disk::DiskLog;
use super::known::Known;
use crate::config::Settings;
use crate::net::peer::{LinkSettings, MeshSettings};
use crate::replica::zab::member::Begin;
use crate::replica::zab::{EnsembleSettings, Ledger, Views};
use crate::store::{Epochs, Opened, Recovered, StoreError};
use crate::types::{Entry, Millis, ServerId, Zxid};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// Looks at the disk before anything is read from it or written to it.
pub(super) struct Before {
    /// Nothing was ever written here.
    pub(super) fresh: bool,
}

/// What a member begins with, out of what recovery found.
pub(super) fn begin(
    settings: &Settings,
    opened: &Opened,
    before: &Before,
    recovered: &Recovered,
    recent: VecDeque<Entry>,
    seed: u64,
) -> Result<Begin, StoreError> {
    let last = recovered.last_zxid.max(Zxid::ZERO);
    let Epochs { accepted, current } = opened.epochs(last)?;
    let quorum = &settings.quorum;
    let mut views = Views::new(Arc::new(quorum.membership.clone()));
    if let Some(proposed) = &quorum.proposed {
        views.propose(Arc::new(proposed.clone()));
    }
    let keep = usize::try_from(settings.storage.committed_log_count).unwrap_or(0);
    let may_vote = recovered.may_vote() && recovered.uncovered.is_none();
    match recovered.hole {
        Some((last, next)) => tracing::warn!(
            "Transactions between {last} and {next} are missing in the data directory: this server does not vote before \
             a leader has sent it a snapshot. If every server says so, choose the one with the highest zxid, move its \
             logs and snapshots from {next} on to another place, and start it again"
        ),
        None if !may_vote => tracing::warn!(
            "The history here is not whole: this server takes a snapshot from a leader before it votes"
        ),
        None => {}
    }
    Ok(Begin {
        id: ServerId(quorum.my_id.unwrap_or(0)),
        views,
        ledger: Ledger::new(last, recent, keep),
        accepted,
        current,
        may_vote,
        fresh: before.fresh,
        seed,
    })
}

/// The settings of the replica's roles.
pub(super) fn ensemble_settings(settings: &Settings) -> EnsembleSettings {
    let quorum = &settings.quorum;
    let ms = |v: i32| Millis(i64::from(v));
    let count = |n: i32| usize::try_from(n).unwrap_or(0);
    let min_notification = ms(quorum.election_min_interval_ms.max(1));
    EnsembleSettings {
        init_limit: i64::from(quorum.init_limit),
        sync_limit: i64::from(quorum.sync_limit),
        connect_limit: i64::from(quorum.connect_limit),
        min_notification,
        max_notification: ms(quorum.election_max_interval_ms).max(min_notification),
        connect_retry: ms(quorum.connect_retry_ms.max(0)),
        leader_serves: quorum.leader_serves,
        commit_log_count: count(settings.storage.committed_log_count),
        force_snapshot_sync: quorum.force_snapshot_sync,
        log_sync: quorum.log_sync_factor >= 0.0,
        concurrent_snap_syncs: count(quorum.concurrent_snap_syncs),
        concurrent_diff_syncs: count(quorum.concurrent_diff_syncs),
        local_sessions: settings.sessions.local,
        local_upgrading: settings.sessions.local_upgrading,
        observer_writes_disk: quorum.observer_writes_disk,
        observer_masters: quorum.observer_master_port.is_some(),
        observer_reconnect: Millis(quorum.observer_reconnect_ms.max(0)),
        observer_election: Millis(quorum.observer_election_ms.max(0)),
        read_only_mode: quorum.read_only_mode,
        epoch_wait: (quorum.epoch_wait_ms >= 0).then(|| ms(quorum.epoch_wait_ms)),
        min_voters: if quorum.standalone_enabled { 2 } else { 1 },
        multi_address: quorum.multi_address,
        ..EnsembleSettings::default()
    }
}

/// Ticks as a duration.
fn ticks(settings: &Settings, n: i32) -> Duration {
    let tick = u64::try_from(settings.sessions.tick_time_ms).unwrap_or(0);
    Duration::from_millis(tick.saturating_mul(u64::try_from(n).unwrap_or(0)))
}

/// The other servers, not spoken to yet.
pub(super) fn abroad(
    settings: &Settings,
    state: crate::state::machine::Settings,
    log: &Arc<DiskLog>,
    runtime: Handle,
) -> Arc<Abroad> {
    let quorum = &settings.quorum;
    let known = Known {
        committed: Arc::new(quorum.membership.clone()),
        proposed: quorum.proposed.clone().map(Arc::new),
    };
    let limit = i64::from(settings.limits.max_buffer) + i64::from(settings.limits.max_buffer_extra);
    let abroad = AbroadSettings {
        server: ServerId(quorum.my_id.unwrap_or(0)),
        state,
        connect: ticks(settings, quorum.sync_limit),
        observer_master_port: quorum.observer_master_port,
        everywhere: quorum.listen_on_all_addresses,
        log_sync_factor: quorum.log_sync_factor,
        limit: usize::try_from(limit).unwrap_or(usize::MAX),
    };
    let desk = ConfigDesk::new(settings);
    desk.back_up(settings);
    Arc::new(Abroad::new(abroad, Arc::clone(log), runtime, known, desk))
}

/// Opens the ports between servers and lets the brain begin. Must be called on the runtime.
pub(super) fn open(settings: &Settings, core: &Arc<Core>, abroad: &Arc<Abroad>) {
    let quorum = &settings.quorum;
    let max_data = settings.limits.max_buffer.saturating_add(settings.limits.max_buffer_extra);
    let links = LinkSettings {
        max_data: usize::try_from(max_data).unwrap_or(0),
        patience: ticks(settings, quorum.init_limit),
        leader_nodelay: quorum.leader_nodelay,
        learner_nodelay: quorum.follower_nodelay,
        ..LinkSettings::default()
    };
    let positive = |ms: i32| Duration::from_millis(u64::try_from(ms).unwrap_or(0).max(1));
    let mesh = MeshSettings {
        server: ServerId(quorum.my_id.unwrap_or(0)),
        multi_address: quorum.multi_address,
        connect_timeout: positive(quorum.connect_timeout_ms),
        hello_timeout: positive(quorum.election_read_timeout_ms),
        bind_retries: quorum.election_bind_retries.unwrap_or(0),
        keep_alive: quorum.tcp_keep_alive,
    };
    abroad.open(core, links, mesh);
    tokio::spawn(Arc::clone(abroad).keep_time(Arc::clone(core)));
    core.tick();
}
