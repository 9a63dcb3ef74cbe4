//! The other servers, as this one deals with them: what the brain wants of them goes out through the sockets of the
//! net room, what they say comes in as inputs.
//!
//! It decides nothing. Invariant: nothing waits under the brain's lock; whatever reads files or walks the tree does so
//! on a thread of its own, at the pace of the peer.

use super::config_files::ConfigDesk;
use super::core::Core;
use super::disk::DiskLog;
use super::known::{Known, doors, roster};
use super::perform::Peers;
use super::transfer::{Arriving, HistoryFeed, TreeFeed};
use super::{history, shutdown};
use crate::net::peer::{Feed, Left, Links, Mesh, PeerService, SnapshotSink};
use crate::replica::zab::{LearnerHello, Notification, Packet};
use crate::replica::{ConfigEffect, Effect, HistoryPlan, Input, LinkInput, Stage, Stream};
use crate::report::Totals;
use crate::state::Machine;
use crate::types::{LinkId, Millis, ServerId, Zxid};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Notify;

/// What this server needs to know to deal with others.
#[derive(Debug, Clone)]
pub(super) struct AbroadSettings {
    /// This server.
    pub(super) server: ServerId,
    /// How trees are made.
    pub(super) state: crate::state::machine::Settings,
    /// How long one attempt to reach a leader may take.
    pub(super) connect: Duration,
    /// Where followers take observers, if they do.
    pub(super) observer_master_port: Option<u16>,
    /// Listen on every address (`quorumListenOnAllIPs`).
    pub(super) everywhere: bool,
    /// Share of a snapshot up to which the log on disk is sent instead; negative: never.
    pub(super) log_sync_factor: f64,
    /// The longest string or buffer of a tree from a leader.
    pub(super) limit: usize,
}

/// The ticket of the port for observers, of which the brain hears nothing.
const OBSERVERS: u64 = 0;

/// The sockets, once they are there.
struct Sockets {
    links: Links,
    mesh: Mesh,
}

/// The other servers.
pub(super) struct Abroad {
    settings: AbroadSettings,
    core: OnceLock<Weak<Core>>,
    log: Arc<DiskLog>,
    sockets: OnceLock<Sockets>,
    runtime: Handle,
    known: Mutex<Known>,
    /// The ids of learners, as they are shown, by their links.
    learners: RwLock<BTreeMap<LinkId, Box<str>>>,
    /// The last time that the port for learners was to be opened.
    ticket: AtomicU64,
    /// Tells the timer that it was set earlier.
    alarm: Notify,
    pub(super) config: ConfigDesk,
}

impl Abroad {
    pub(super) fn new(
        settings: AbroadSettings,
        log: Arc<DiskLog>,
        runtime: Handle,
        known: Known,
        config: ConfigDesk,
    ) -> Self {
        Self {
            settings,
            core: OnceLock::new(),
            log,
            sockets: OnceLock::new(),
            runtime,
            known: Mutex::new(known),
            learners: RwLock::default(),
            ticket: AtomicU64::new(0),
            alarm: Notify::new(),
            config,
        }
    }

    /// The server is put together: from here on others are heard.
    pub(super) fn open(
        self: &Arc<Self>,
        core: &Arc<Core>,
        links: crate::net::peer::LinkSettings,
        mesh: crate::net::peer::MeshSettings,
    ) {
        let _ = self.core.set(Arc::downgrade(core));
        let service: Arc<dyn PeerService> = Arc::<Self>::clone(self);
        let links = Links::start(links, Arc::clone(&service));
        let roster = roster(&self.known.lock(), self.settings.server, self.settings.everywhere);
        let mesh = Mesh::start(mesh, roster, service);
        let _ = self.sockets.set(Sockets { links, mesh });
    }

    /// Closes every port and connection between servers.
    pub(super) fn close(&self) {
        if let Some(sockets) = self.sockets.get() {
            sockets.links.stop();
            sockets.mesh.stop();
        }
    }

    fn core(&self) -> Option<Arc<Core>> {
        self.core.get().and_then(Weak::upgrade)
    }

    fn link(&self, link: LinkId, what: LinkInput) {
        if let Some(core) = self.core() {
            core.drive(|step| step.input(Input::Link(link, what)));
        }
    }

    /// Wakes the brain whenever it wants to hear that time has passed.
    pub(super) async fn keep_time(self: Arc<Self>, core: Arc<Core>) {
        loop {
            let due = core.next_deadline();
            let wait = due.map(|at| at.0.saturating_sub(core.clock.mono().0));
            match wait {
                Some(wait) if wait <= 0 => core.tick(),
                Some(wait) => {
                    let wait = Duration::from_millis(wait.unsigned_abs());
                    let _ = tokio::time::timeout(wait, self.alarm.notified()).await;
                }
                None => self.alarm.notified().await,
            }
        }
    }

    fn become_(&self, sockets: &Sockets, stage: Stage) {
        let links = &sockets.links;
        match stage {
            Stage::Looking => {
                links.unlisten();
                links.unlisten_observers();
                links.close_all();
                self.learners.write().clear();
                self.drop_candidates(|_| true);
            }
            Stage::Leading { serving: false } => {
                let ticket = self.ticket.fetch_add(1, Relaxed) + 1;
                let own = self.known.lock().own(self.settings.server, |a| a.quorum_port);
                links.listen(ticket, doors(own, self.settings.everywhere));
            }
            Stage::Following { serving: true } => {
                if let Some(port) = self.settings.observer_master_port {
                    let own = self.known.lock().own(self.settings.server, |_| port);
                    links.listen_observers(OBSERVERS, doors(own, self.settings.everywhere));
                }
            }
            Stage::Leading { serving: true }
            | Stage::Following { serving: false }
            | Stage::Observing { .. }
            | Stage::ReadOnly => {}
        }
    }

    /// Forgets trees whose links are over, save those that are going to be installed. A large tree takes its time to
    /// go, so it goes elsewhere.
    fn drop_candidates(&self, is_over: impl Fn(LinkId) -> bool) {
        let Some(core) = self.core() else { return };
        let dropped: Vec<Machine> = {
            let mut candidates = core.candidates.lock();
            let candidates = &mut *candidates;
            candidates.awaited.retain(|link| !is_over(*link));
            let promised = &candidates.promised;
            let over: Vec<LinkId> =
                candidates.trees.keys().copied().filter(|l| is_over(*l) && !promised.contains(l)).collect();
            over.iter().filter_map(|link| candidates.trees.remove(link)).collect()
        };
        if !dropped.is_empty() {
            self.runtime.spawn_blocking(move || drop(dropped));
        }
    }

    fn stream(&self, links: &Links, link: LinkId, stream: Stream) {
        let Some(core) = self.core() else { return };
        let feed: Box<dyn Feed + Send> = match stream {
            Stream::Snapshot => Box::new(TreeFeed::new(core, link)),
            Stream::History { after, until } => {
                let Some(store) = self.log.store() else { return };
                Box::new(HistoryFeed::new(store, after, until))
            }
        };
        links.stream(link, feed);
    }

    fn ask_history(&self, link: LinkId, after: Zxid) {
        let (core, store, factor) = (self.core(), self.log.store(), self.settings.log_sync_factor);
        self.runtime.spawn_blocking(move || {
            let (Some(core), Some(store)) = (core, store) else { return };
            let plan = store.plan_history(after, factor).unwrap_or_else(|error| {
                tracing::warn!("Cannot look for a way through the log: {error}");
                None
            });
            let plan = plan.map(|plan| HistoryPlan { at: plan.at, until: plan.until });
            core.drive(|step| step.input(Input::History(link, plan)));
        });
    }

    fn config(&self, sockets: &Sockets, effect: ConfigEffect) {
        let roster = {
            let mut known = self.known.lock();
            match &effect {
                ConfigEffect::Propose(membership) => known.proposed = Some(Arc::clone(membership)),
                ConfigEffect::Commit(membership) => {
                    let version = membership.version;
                    known.committed = Arc::clone(membership);
                    known.proposed = known.proposed.take().filter(|proposed| proposed.version > version);
                }
            }
            roster(&known, self.settings.server, self.settings.everywhere)
        };
        sockets.mesh.update(roster);
        self.config.put(effect);
    }
}

impl Peers for Arc<Abroad> {
    fn perform(&self, errand: Effect) {
        let Some(sockets) = self.sockets.get() else { return };
        let Sockets { links, mesh } = sockets;
        match errand {
            Effect::Notify(to, notification) => mesh.notify(to, &notification),
            Effect::Connect { link, to, observer_master } => {
                let port = self.settings.observer_master_port.filter(|_| observer_master);
                let places = self.known.lock().places(to, |a| port.unwrap_or(a.quorum_port));
                links.connect(link, places, self.settings.connect);
            }
            Effect::Send(link, packet) => {
                links.send(link, &packet, || self.core().map_or(Millis(0), |core| core.clock.mono()));
            }
            Effect::Stream(link, stream) => self.stream(links, link, stream),
            Effect::AskHistory(link, after) => self.ask_history(link, after),
            Effect::Patience(link, patience) => links.patience(link, patience),
            Effect::Close(link) => {
                links.close(link);
                self.learners.write().remove(&link);
                self.drop_candidates(|other| other == link);
            }
            Effect::Become(stage) => self.become_(sockets, stage),
            Effect::Config(effect) => self.config(sockets, effect),
            Effect::Truncate(to) => {
                if let Some(core) = self.core() {
                    history::truncate(core, Arc::clone(&self.log), self.settings.state, to);
                }
            }
            // All others are performed before they could come here.
            _ => {}
        }
    }

    fn install(&self, link: LinkId, last: Zxid, machine: Machine) {
        if let Some(core) = self.core() {
            history::install(core, Arc::clone(&self.log), link, last, machine);
        }
    }

    fn rearm(&self) {
        self.alarm.notify_one();
    }
}

impl PeerService for Abroad {
    fn vote(&self, from: ServerId, notification: Notification) {
        if let Some(core) = self.core() {
            core.drive(|step| step.input(Input::Vote(from, notification)));
        }
    }

    fn election_port_failed(&self, reason: String) {
        tracing::error!("{reason}");
        shutdown::leave(shutdown::NO_ELECTION_PORT);
    }

    fn listening(&self, ticket: u64, result: Result<(), String>) {
        if let Err(reason) = &result {
            tracing::error!("{reason}");
        }
        // Late news of a port that was to be opened before is no news of this one.
        if ticket == OBSERVERS || ticket != self.ticket.load(Relaxed) {
            return;
        }
        if let Some(core) = self.core() {
            core.drive(|step| step.input(Input::Listening(result.is_ok())));
        }
    }

    fn accepted(&self, link: LinkId, observers: bool, remote: SocketAddr) {
        tracing::debug!("A learner connected from {remote}: link {}", link.0);
        self.link(link, if observers { LinkInput::AcceptedObserver } else { LinkInput::Accepted });
    }

    fn connected(&self, link: LinkId) {
        self.link(link, LinkInput::Connected);
    }

    fn packets(&self, link: LinkId, packets: Vec<Packet>) {
        let Some(core) = self.core() else { return };
        if let Some(Packet::Hello(LearnerHello { server: Some(server), .. })) = packets.first() {
            self.learners.write().insert(link, server.0.to_string().into());
        }
        // The answer to a ping tells who was heard of: what was heard up to now belongs to it.
        let pinged = packets.iter().any(|packet| matches!(packet, Packet::Ping(_)));
        let heard = if pinged { core.conns.take_heard() } else { Vec::new() };
        core.drive(|step| {
            if !heard.is_empty() {
                step.input(Input::Touch(&heard));
            }
            for packet in packets {
                step.input(Input::Link(link, LinkInput::Packet(packet)));
            }
        });
    }

    fn left(&self, link: LinkId, left: Left) {
        let learners = self.learners.read();
        let (Some(learner), Some(core)) = (learners.get(&link), self.core()) else { return };
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let Left { packets, ahead, fewest, most, marked } = left;
        let part = Totals { count: packets, sum: number(ahead), min: number(fewest), max: number(most) };
        core.counters.learner_packets.with(learner, |summary| summary.merge(part));
        for then in marked {
            let waited = core.clock.mono().0.saturating_sub(then.0);
            core.counters.learner_waits.with(learner, |waits| waits.add(waited));
        }
    }

    fn lost(&self, link: LinkId, reason: String) {
        self.learners.write().remove(&link);
        tracing::info!("Connection between servers lost (link {}): {reason}", link.0 & !(1 << 63));
        self.link(link, LinkInput::Lost);
        self.drop_candidates(|other| other == link);
    }

    fn open_snapshot(&self, link: LinkId, zxid: Zxid) -> Box<dyn SnapshotSink + Send> {
        tracing::info!("Getting a snapshot from leader {zxid}");
        if let Some(core) = self.core() {
            core.candidates.lock().awaited.insert(link);
        }
        Box::new(Arriving::new(
            self.core.get().cloned(),
            link,
            zxid,
            self.settings.state,
            self.settings.limit,
        ))
    }
}
