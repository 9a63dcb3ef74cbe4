//! Start-up and the life of the process: settings in, exit code out.

use super::clock::Clock;
use super::conns::ConnLimits;
use super::core::{Core, CoreSettings, Log, Parts};
use super::counters::Counters;
use super::shutdown;
use crate::auth::scheme::digest::Algorithm;
use crate::auth::{AuthSettings, Rules};
use crate::config::settings::DigestAlgorithm;
use crate::config::{Mode, Settings};
use crate::net::client::{ListenSettings, Listener, serve};
use crate::replica::{Replica, ReplicaSettings};
use crate::state::{self, Machine, Shared};
use crate::types::limits::MAX_BUFFER;
use crate::types::{Entry, Flushed, Millis, ServerId};
use parking_lot::{Condvar, Mutex};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;
use tokio::sync::watch;

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
            Self::Bind { .. } | Self::Runtime(_) => 1,
        }
    }
}

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

fn rules(settings: &Settings) -> Rules {
    let auth = &settings.auth;
    Rules::new(AuthSettings {
        skip_acl: auth.skip_acl,
        digest_enabled: auth.digest,
        digest_algorithm: algorithm(auth.digest_algorithm),
        super_digest: auth.super_digest.clone(),
        enforced_schemes: auth.enforced_schemes.as_ref().map(|s| s.iter().cloned().collect()),
    })
}

fn core_settings(settings: &Settings) -> CoreSettings {
    let ms = |v: i32| Millis(i64::from(v));
    let count = |n: Option<u32>| n.map_or(0, |n| n as usize);
    CoreSettings {
        min_session_timeout: ms(settings.sessions.min_timeout_ms),
        max_session_timeout: ms(settings.sessions.max_timeout_ms),
        max_frame: usize::try_from(settings.limits.max_buffer).unwrap_or(MAX_BUFFER),
        outstanding_limit: usize::try_from(settings.limits.outstanding_requests).unwrap_or(1000),
        sessionless_timeout: ms(settings.client.sessionless_timeout_ms),
        limits: ConnLimits {
            per_address: count(settings.limits.connections_per_address),
            total: count(settings.limits.connections),
        },
    }
}

/// Runs the server until a signal ends it; returns the exit code.
pub fn run(settings: &Settings) -> Result<u8, StartError> {
    if settings.mode != Mode::Standalone {
        return Err(StartError::Unsupported("ensembles".to_owned()));
    }
    let clock = Clock::start();
    let seed = clock.now().wall.cast_unsigned();
    let machine = Machine::new(state::machine::Settings {
        hash_seed: seed,
        extended_types: settings.nodes.ttl,
        digest: settings.storage.digest,
    });
    let rules = rules(settings);
    let replica = Replica::solo(
        ReplicaSettings {
            server_id: ServerId(1),
            tick: Millis(i64::from(settings.sessions.tick_time_ms)),
            extended_types: settings.nodes.ttl,
            enforce_quota: settings.nodes.enforce_quota,
            digest: settings.storage.digest,
            close_session_txn: settings.sessions.close_txn_lists_paths,
            reconfig_enabled: settings.quorum.reconfig_enabled,
        },
        rules.clone(),
        clock.now(),
        &machine,
    );
    let log = Arc::new(MemoryLog::default());
    let core = Arc::new(Core::new(Parts {
        clock,
        settings: core_settings(settings),
        rules,
        shared: Shared::new(machine, seed),
        replica,
        counters: Counters::new(),
        log: Box::new(Arc::clone(&log)),
    }));
    log.start(Arc::downgrade(&core));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(live(settings, core))
}

async fn live(settings: &Settings, core: Arc<Core>) -> Result<u8, StartError> {
    let (stop, stopped) = watch::channel(false);
    if let Some(listen) = &settings.client.plain {
        let address = listen.socket();
        let listener = Listener::bind(&ListenSettings {
            address,
            backlog: settings.client.listen_backlog,
            keep_alive: settings.client.tcp_keep_alive,
        })
        .map_err(|source| StartError::Bind { address, source })?;
        let bound = listener.address()?;
        tracing::info!("binding to port {bound}");
        tokio::spawn(serve(listener, Arc::clone(&core), stopped));
    }
    let tick = Duration::from_millis(u64::try_from(settings.sessions.tick_time_ms).unwrap_or(3000).max(1));
    tokio::spawn(every(tick, Arc::clone(&core), Core::tick));
    tokio::spawn(every(Duration::from_secs(1), Arc::clone(&core), Core::sweep));
    let code = shutdown::signal().await?;
    let _ = stop.send(true);
    Ok(code)
}

async fn every(period: Duration, core: Arc<Core>, act: fn(&Core)) {
    let mut beat = tokio::time::interval(period);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        act(&core);
    }
}

/// A log that keeps nothing.
#[derive(Debug, Default)]
struct MemoryLog {
    queue: Mutex<Vec<Entry>>,
    some: Condvar,
    core: OnceLock<Weak<Core>>,
}

impl Log for Arc<MemoryLog> {
    fn append(&self, entry: Entry) {
        self.queue.lock().push(entry);
        self.some.notify_one();
    }
}

impl MemoryLog {
    fn start(self: &Arc<Self>, core: Weak<Core>) {
        let log = Arc::clone(self);
        let _ = self.core.set(core.clone());
        std::thread::spawn(move || {
            loop {
                let batch = {
                    let mut queue = log.queue.lock();
                    while queue.is_empty() {
                        log.some.wait(&mut queue);
                    }
                    std::mem::take(&mut *queue)
                };
                let Some(core) = core.upgrade() else { return };
                if let Some(last) = batch.last() {
                    core.flushed(Flushed::mint(last.zxid));
                }
            }
        });
    }
}
