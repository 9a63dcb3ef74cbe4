//! Start-up and the life of the process: settings in, exit code out.

use super::abroad::Abroad;
use super::client_door::ClientDoor;
use super::clock::Clock;
use super::core::{Core, Parts};
use super::disk::DiskLog;
use super::facts::Facts;
use super::member::{self, Before};
use super::perform::Peers;
use super::progress::Meter;
use super::reaper;
use super::throttle::Throttle;
use super::told::{core_settings, reaper_settings, replica_settings, rules, server_id, store_options};
use super::{shutdown, snapshotter};
use crate::config::{Mode, Settings};
use crate::rebuild::{Rebuild, Window};
use crate::replica::Replica;
use crate::replica::zab::ledger::RECENT_BYTES;
use crate::report::Counters;
use crate::state::{self, Machine, Shared};
use crate::store::{Opened, Phase, RealFiles, Recovered, Store, StoreError};
use crate::types::limits::COMMITTED_RING;
use crate::types::{Entry, Zxid};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting that this server does not serve yet.
    #[error("{0}")]
    Unsupported(String),
    /// The client port.
    #[error(
        "cannot listen on {address}: {source}; is another server running there? Choose another clientPort"
    )]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The data directories, or what is in them.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The runtime.
    #[error("cannot start: {0}")]
    Runtime(#[from] io::Error),
}

impl StartError {
    /// The exit code, as the reference's.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Unsupported(_) => 2,
            Self::Store(error) => error.exit_code(),
            Self::Bind { .. } | Self::Runtime(_) => 1,
        }
    }
}

/// What a member keeps of the log, for learners that are a little behind.
const RECENT: Window = Window { txns: COMMITTED_RING, bytes: RECENT_BYTES };

/// The state as the disk has it: of a server by itself, ephemerals of sessions that are over are gone already. For a
/// member with the newest transactions.
fn recover(
    opened: &Opened,
    settings: state::machine::Settings,
    clock: &Clock,
    counters: &Counters,
    is_member: bool,
) -> Result<(Machine, Recovered, VecDeque<Entry>), StoreError> {
    let mut rebuild = if is_member { Rebuild::keeping(settings, RECENT) } else { Rebuild::new(settings) };
    let mut meter = Meter::new();
    let began = clock.mono();
    let mut log_began = None;
    let recovered = opened.recover(&mut rebuild, &mut |at| {
        if at.phase == Phase::Log {
            log_began.get_or_insert_with(|| clock.mono());
        }
        meter.show(at);
    });
    meter.finish();
    let recovered = recovered?;
    let ended = clock.mono();
    let log_began = log_began.unwrap_or(ended);
    counters.startup_snapshot_time.add(log_began.0 - began.0);
    counters.startup_txns_time.add(ended.0 - log_began.0);
    counters.startup_txns.add(i64::try_from(recovered.txns).unwrap_or(i64::MAX));
    for warning in &recovered.warnings {
        tracing::warn!("{warning}");
    }
    let recent = rebuild.take_recent();
    let mut machine = rebuild.finish();
    let mismatches = machine.digest_mismatches();
    if mismatches > 0 {
        tracing::error!("Digests are not matching: {mismatches} of {} replayed transactions", recovered.txns);
        counters.digest_mismatches.fetch_add(mismatches, std::sync::atomic::Ordering::Relaxed);
    }
    if !is_member {
        // In an ensemble the order of transactions does that, for all trees alike.
        machine.drop_orphans();
    }
    Ok((machine, recovered, recent))
}

/// Says what is starting, and what of the configuration will not do what it says.
fn announce(settings: &Settings) {
    let paths = &settings.paths;
    tracing::info!(
        "Quoll {} (speaks ZooKeeper {}), {}: configuration {}, data in {}, log in {}",
        env!("CARGO_PKG_VERSION"),
        crate::report::version::REFERENCE,
        if settings.mode == Mode::Standalone { "standalone" } else { "ensemble member" },
        settings.source(),
        paths.data_dir.display(),
        paths.data_log_dir.display(),
    );
    for warning in settings.warnings() {
        tracing::warn!("{}: {}", warning.origin, warning.text);
    }
    for unknown in settings.unknown() {
        if let Some(hint) = &unknown.hint {
            tracing::warn!("{}: unknown key {}: {hint}", unknown.origin, unknown.key);
        }
    }
    if let Some(warning) = settings.not_yet_warning() {
        tracing::warn!("{warning}");
    }
}

/// Runs the server until a signal ends it; returns the exit code.
pub fn run(settings: &Settings) -> Result<u8, StartError> {
    announce(settings);
    let is_member = settings.mode == Mode::Ensemble;
    let clock = Clock::start();
    let seed = hash_seed(&clock);
    let began = clock.mono();
    let opened = Store::open(Arc::new(RealFiles), store_options(settings, seed))?;
    let state = state::machine::Settings {
        hash_seed: seed,
        extended_types: settings.nodes.ttl,
        digest: settings.storage.digest,
    };
    let counters = Counters::new();
    let before = Before { fresh: opened.is_blank()? };
    let (mut machine, recovered, recent) = recover(&opened, state, &clock, &counters, is_member)?;
    let took = clock.mono().0 - began.0;
    counters.db_init_time.add(took);
    tracing::info!(
        "Database loaded in {took} ms: {} znodes, {} transactions replayed, highest zxid is {}",
        machine.node_count(),
        recovered.txns,
        recovered.last_zxid,
    );
    let rules = rules(settings);
    let log = Arc::new(DiskLog::default());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(workers()).enable_all().build()?;
    let abroad = is_member.then(|| member::abroad(settings, state, &log, runtime.handle().clone()));
    let replica = if is_member {
        let begin = member::begin(settings, &opened, &before, &recovered, recent, seed)?;
        let membership = &settings.quorum.membership;
        machine.set_config(membership.text().as_bytes(), membership.version, clock.now().wall);
        let ensemble = member::ensemble_settings(settings);
        Replica::member(begin, replica_settings(settings, seed), ensemble, rules.clone(), clock.now())
    } else {
        Replica::solo(&replica_settings(settings, seed), &rules, clock.now(), &machine)
    };
    log.start(opened, recovered.last_zxid.max(Zxid::ZERO), server_id(settings).0)?;
    let throttle = Throttle::new(&settings.throttle.connections, clock.mono(), seed);
    let core = Arc::new(Core::new(Parts {
        clock,
        throttle,
        settings: core_settings(settings),
        rules,
        shared: Shared::new(machine, seed),
        replica,
        counters,
        facts: Facts::of(settings),
        log: Box::new(Arc::clone(&log)),
        peers: abroad
            .as_ref()
            .map_or_else(|| Box::new(()) as Box<dyn Peers>, |abroad| Box::new(Arc::clone(abroad))),
    }));
    log.connect(&core);
    let code = runtime.block_on(live(settings, &core, &log, &recovered, abroad.as_ref()));
    if let Some(abroad) = &abroad {
        abroad.close();
    }
    log.close();
    runtime.shutdown_background();
    code
}

/// Threads that serve connections: half of the processors. The other half is for the disk's thread, which also
/// applies, and for the kernel's own work on the packets. One worker for each processor only took turns with them:
/// with two processors two workers answered a quarter fewer reads than one.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, |processors| processors.get().div_ceil(2))
}

/// Keeps clients from choosing paths that collide.
fn hash_seed(clock: &Clock) -> u64 {
    let mut bytes = [0; 8];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(8) => u64::from_ne_bytes(bytes),
        _ => clock.now().wall.cast_unsigned(),
    }
}

async fn live(
    settings: &Settings,
    core: &Arc<Core>,
    log: &Arc<DiskLog>,
    recovered: &Recovered,
    abroad: Option<&Arc<Abroad>>,
) -> Result<u8, StartError> {
    let stop = CancellationToken::new();
    if settings.client.plain.is_none() {
        tracing::warn!("No clientPort is set: no client can connect");
    }
    let mut door = ClientDoor::new(settings, core, &stop);
    if let Some(listen) = &settings.client.plain {
        door.open(listen.socket())?;
    }
    // A member's tree may hold what will never be committed: it takes one once enough was.
    let snapshot_now =
        recovered.trusted_empty || (abroad.is_none() && (recovered.txns > 0 || recovered.snapshot.is_none()));
    if snapshot_now {
        snapshotter::spawn(Arc::clone(core), Arc::clone(log));
    }
    match abroad {
        Some(abroad) => {
            tracing::info!("Starting quorum peer, myid={}", server_id(settings).0);
            member::open(settings, core, abroad);
            tokio::spawn(follow_config(Arc::clone(abroad), door));
        }
        None => {
            let tick = u64::try_from(settings.sessions.tick_time_ms).unwrap_or(3000).max(1);
            tokio::spawn(expire(Duration::from_millis(tick), Arc::clone(core)));
        }
    }
    tokio::spawn(snapshotter::on_demand(Arc::clone(core), Arc::clone(log)));
    tokio::spawn(sweep(Arc::clone(core)));
    tokio::spawn(relieve(Arc::clone(core)));
    tokio::spawn(reaper::run(Arc::clone(core), reaper_settings(settings)));
    if let Some(hours) = settings.purge.every_hours {
        tokio::spawn(purge(hours, settings.purge.keep_snapshots as usize, Arc::clone(log)));
    }
    let code = shutdown::signal().await?;
    tracing::info!("Stopping on a signal");
    stop.cancel();
    core.close_all();
    Ok(code)
}

/// Moves the client port when a new membership says so.
async fn follow_config(abroad: Arc<Abroad>, mut door: ClientDoor) {
    loop {
        if let Some(membership) = abroad.config.next().await {
            door.follow(&membership).await;
        }
    }
}

/// Beats at the multiples of the tick, where deadlines are.
async fn expire(tick: Duration, core: Arc<Core>) {
    let tick = i64::try_from(tick.as_millis()).unwrap_or(i64::MAX);
    loop {
        let now = core.clock.mono().0;
        let wait = tick - now.rem_euclid(tick);
        tokio::time::sleep(Duration::from_millis(wait.unsigned_abs())).await;
        core.tick();
    }
}

/// The shortest time between two looks for silent connections.
const SWEEP: i64 = 100;

/// Beats at the multiples of the time without a session, where the deadlines of connections are.
async fn sweep(core: Arc<Core>) {
    let step = core.settings.sessionless_timeout.0.max(1);
    loop {
        let wait = step - core.clock.mono().0.rem_euclid(step);
        tokio::time::sleep(Duration::from_millis(wait.max(SWEEP.min(step)).unsigned_abs())).await;
        core.sweep();
    }
}

/// How long connections that were closed for room have until others are.
const RELIEF: Duration = Duration::from_millis(10);

pub(super) async fn relieve(core: Arc<Core>) {
    loop {
        core.conns.budget().exceeded().await;
        core.relieve();
        tokio::time::sleep(RELIEF).await;
    }
}

async fn purge(hours: u32, keep: usize, log: Arc<DiskLog>) {
    loop {
        let log = Arc::clone(&log);
        let run = move || log.store().map(|store| store.purge(keep));
        tracing::info!("Purge task started.");
        match tokio::task::spawn_blocking(run).await {
            Ok(Some(Err(error))) => tracing::warn!("Cannot purge: {error}"),
            _ => tracing::info!("Purge task completed."),
        }
        tokio::time::sleep(Duration::from_secs(u64::from(hours) * 3600)).await;
    }
}
