//! The election port: one connection for each pair of servers, and the votes on it.
//!
//! Each peer has a desk, where one message waits at most, and a courier, the task that connects, writes and reads for
//! it alone. Invariant: what becomes of one peer, or of a stranger at the port, delays no vote from or to another.

mod courier;
mod desk;
mod entrance;
mod talk;

use super::codec::vote;
use super::lobby::Lobby;
use super::place::{Door, Place};
use super::service::PeerService;
use crate::replica::zab::Notification;
use crate::types::ServerId;
use bytes::Bytes;
use desk::Desk;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Desks of servers that are no members: those that join, observers without a number, and made-up ones.
const STRANGERS: usize = 64;

/// What the mesh needs to know of the configuration.
#[derive(Debug, Clone)]
pub struct MeshSettings {
    /// This server.
    pub server: ServerId,
    /// Tell peers all addresses of this server; those before 3.6 do not understand it (`multiAddress.enabled`).
    pub multi_address: bool,
    /// How long connecting may take (`cnxTimeout`).
    pub connect_timeout: Duration,
    /// How long an introduction may take (`quorumCnxnTimeoutMs`, or tickTime times syncLimit).
    pub hello_timeout: Duration,
    /// Attempts to open the port, a second apart (`electionPortBindRetry`); 0: without end.
    pub bind_retries: u32,
    /// Probe silent peers (`tcpKeepAlive`).
    pub keep_alive: bool,
}

impl Default for MeshSettings {
    fn default() -> Self {
        Self {
            server: ServerId(1),
            multi_address: false,
            connect_timeout: Duration::from_secs(5),
            hello_timeout: Duration::from_secs(10),
            bind_retries: 3,
            keep_alive: false,
        }
    }
}

/// Where election ports are. Addresses are looked up again before each attempt to connect.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Roster {
    /// Where this server listens.
    pub doors: Vec<Door>,
    /// What it tells others of itself.
    pub own: Vec<Place>,
    /// The other members, as committed.
    pub members: BTreeMap<ServerId, Vec<Place>>,
    /// The other members of a membership that is proposed; used where the committed address is not known or fails.
    pub upcoming: BTreeMap<ServerId, Vec<Place>>,
}

impl Roster {
    fn knows(&self, server: ServerId) -> bool {
        self.members.contains_key(&server) || self.upcoming.contains_key(&server)
    }

    /// Where a server may be, what is more likely first.
    fn places(&self, server: ServerId) -> Vec<Vec<Place>> {
        let mut found: Vec<_> =
            [&self.members, &self.upcoming].iter().filter_map(|map| map.get(&server).cloned()).collect();
        found.dedup();
        found
    }
}

/// The mesh of this server.
#[derive(Clone)]
pub struct Mesh {
    shared: Arc<Shared>,
}

impl fmt::Debug for Mesh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mesh").field("server", &self.shared.settings.server).finish_non_exhaustive()
    }
}

struct Shared {
    settings: MeshSettings,
    service: Arc<dyn PeerService>,
    runtime: Handle,
    stop: CancellationToken,
    lobby: Arc<Lobby>,
    state: Mutex<State>,
}

struct State {
    roster: Arc<Roster>,
    desks: BTreeMap<ServerId, Arc<Desk>>,
    /// The port: how to close it, and when it is closed.
    entrance: Option<(CancellationToken, JoinHandle<()>)>,
    /// The number of the last observer without one of its own.
    last_anonymous: i64,
}

impl Mesh {
    /// Opens the port and waits for messages. Must be called on the runtime that will carry the connections; everything
    /// else may be called from any thread.
    #[must_use]
    pub fn start(settings: MeshSettings, roster: Roster, service: Arc<dyn PeerService>) -> Self {
        let shared = Arc::new(Shared {
            settings,
            service,
            runtime: Handle::current(),
            stop: CancellationToken::new(),
            lobby: Arc::default(),
            state: Mutex::new(State {
                roster: Arc::new(roster),
                desks: BTreeMap::new(),
                entrance: None,
                last_anonymous: 0,
            }),
        });
        shared.open(&mut shared.state.lock());
        Self { shared }
    }

    /// Puts down a message for another server, in place of one that has not left yet. Never waits.
    pub fn notify(&self, to: ServerId, notification: &Notification) {
        let mut frame = Vec::with_capacity(64 + notification.config.len());
        vote::write(notification, &mut frame);
        self.shared.at_desk(to, |desk| desk.put(Bytes::from(frame)));
    }

    /// The membership changed. Connections that stand are kept; new addresses are used from the next attempt on, and
    /// the port moves if it has to.
    pub fn update(&self, roster: Roster) {
        let mut state = self.shared.state.lock();
        let moves = state.roster.doors != roster.doors;
        state.roster = Arc::new(roster);
        if moves {
            self.shared.open(&mut state);
        }
    }

    /// Closes the port and every connection.
    pub fn stop(&self) {
        self.shared.stop.cancel();
        self.shared.state.lock().desks.clear();
    }

    /// Servers that are connected now.
    #[must_use]
    pub fn connected(&self) -> Vec<ServerId> {
        let state = self.shared.state.lock();
        state.desks.values().filter(|desk| desk.is_talking()).map(|desk| desk.server).collect()
    }
}

impl Shared {
    fn roster(&self) -> Arc<Roster> {
        Arc::clone(&self.state.lock().roster)
    }

    /// Puts something on the desk of a server, which has a courier from then on. False if there are too many
    /// strangers, or the end is near. Under the lock that desks are taken away under, so that nothing is put on one
    /// that nobody looks at any more.
    fn at_desk(self: &Arc<Self>, server: ServerId, put: impl FnOnce(&Desk)) -> bool {
        let mut state = self.state.lock();
        if let Some(desk) = state.desks.get(&server) {
            put(desk);
            return true;
        }
        if self.stop.is_cancelled() || server == self.settings.server {
            return false;
        }
        let State { roster, desks, .. } = &mut *state;
        if !roster.knows(server) {
            let strangers = || desks.iter().filter(|(server, _)| !roster.knows(**server));
            if strangers().count() >= STRANGERS {
                // One that has no connection makes room.
                let idle = strangers().find(|(_, desk)| !desk.is_talking()).map(|(server, _)| *server);
                let Some(gone) = idle.and_then(|server| desks.remove(&server)) else { return false };
                gone.close();
            }
        }
        let desk = Arc::new(Desk::new(server));
        put(&desk);
        desks.insert(server, Arc::clone(&desk));
        self.runtime.spawn(courier::run(Arc::clone(self), desk));
        true
    }

    /// A courier has nothing to do for a stranger: the desk goes, unless something was put on it meanwhile.
    fn dismiss(&self, desk: &Arc<Desk>) -> bool {
        let mut state = self.state.lock();
        if state.roster.knows(desk.server) || !desk.is_idle() {
            return false;
        }
        if state.desks.get(&desk.server).is_some_and(|known| Arc::ptr_eq(known, desk)) {
            state.desks.remove(&desk.server);
        }
        true
    }
}
