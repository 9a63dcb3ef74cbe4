//! The quorum port and the port for observers: one link for each connection to a learner or to a leader.
//!
//! What goes out is put down at any moment, under any lock, and leaves at the pace of the peer; what comes in is handed
//! over packet by packet. Invariant: a link that is closed is forgotten at once, and its number is never used again.

mod door;
mod line;
mod outbox;

use super::codec::{Speaker, packet};
use super::place::{Door, Place};
use super::service::{Feed, PeerService};
use super::socket::{self, Tuning};
use crate::replica::zab::Packet;
use crate::types::{LinkId, Millis};
use bytes::BytesMut;
use door::Doorway;
use line::Line;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// What links need to know of the configuration.
#[derive(Debug, Clone)]
pub struct LinkSettings {
    /// Longest data of a packet: `jute.maxbuffer` and what is allowed beyond it.
    pub max_data: usize,
    /// How long a learner may take to introduce itself, and the patience of every link until it is changed.
    pub patience: Duration,
    /// Send small packets to learners at once (`leader.nodelay`).
    pub leader_nodelay: bool,
    /// Send small packets to the leader at once (`follower.nodelay`).
    pub learner_nodelay: bool,
    /// Bytes that may wait for one peer.
    pub backlog: usize,
    /// Links from learners at the same time.
    pub learners: usize,
}

impl Default for LinkSettings {
    fn default() -> Self {
        Self {
            max_data: 2 * crate::types::limits::MAX_BUFFER,
            patience: Duration::from_secs(20),
            leader_nodelay: true,
            learner_nodelay: true,
            // What is written while a learner loads a snapshot waits here: at 25 MB/s for ten seconds.
            backlog: 256 * 1024 * 1024,
            // Hundreds of observers are in use; each link costs a read buffer.
            learners: 1000,
        }
    }
}

/// All links of this server.
#[derive(Clone)]
pub struct Links {
    shared: Arc<Shared>,
}

struct Shared {
    settings: LinkSettings,
    service: Arc<dyn PeerService>,
    runtime: Handle,
    lines: RwLock<BTreeMap<LinkId, Arc<Line>>>,
    last_accepted: AtomicU64,
    learners: AtomicUsize,
    leader_door: Mutex<Doorway>,
    observer_door: Mutex<Doorway>,
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Links").field("open", &self.shared.lines.read().len()).finish_non_exhaustive()
    }
}

impl Links {
    /// No link and no open port yet. Must be called on the runtime that will carry the links; everything else may be
    /// called from any thread.
    #[must_use]
    pub fn start(settings: LinkSettings, service: Arc<dyn PeerService>) -> Self {
        let shared = Shared {
            settings,
            service,
            runtime: Handle::current(),
            lines: RwLock::default(),
            last_accepted: AtomicU64::new(0),
            learners: AtomicUsize::new(0),
            leader_door: Mutex::default(),
            observer_door: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Opens the port for learners, in place of one that is open. Reported with `ticket`.
    pub fn listen(&self, ticket: u64, doors: Vec<Door>) {
        self.shared.leader_door.lock().open(&self.shared, false, ticket, doors);
    }

    /// Closes the port for learners.
    pub fn unlisten(&self) {
        self.shared.leader_door.lock().close();
    }

    /// Opens the port for observers, in place of one that is open. Reported with `ticket`.
    pub fn listen_observers(&self, ticket: u64, doors: Vec<Door>) {
        self.shared.observer_door.lock().open(&self.shared, true, ticket, doors);
    }

    /// Closes the port for observers.
    pub fn unlisten_observers(&self) {
        self.shared.observer_door.lock().close();
    }

    /// Connects to a leader, or to a follower that takes observers: once, to all of its addresses at the same time.
    /// What is sent until it is connected waits.
    pub fn connect(&self, link: LinkId, places: Vec<Place>, limit: Duration) {
        let shared = Arc::clone(&self.shared);
        let line = shared.line(link, Speaker::Leader, CancellationToken::new());
        self.shared.runtime.spawn(async move {
            let connected = tokio::select! {
                () = line.stop.cancelled() => Err("closed".to_owned()),
                connected = socket::dial_until_open(&places, limit) => connected,
            };
            let tuning =
                Tuning { nodelay: shared.settings.learner_nodelay, keep_alive: false, unheard: None };
            match connected
                .and_then(|stream| tuning.apply(&stream).map(|()| stream).map_err(|e| e.to_string()))
            {
                Ok(stream) => {
                    if !line.stop.is_cancelled() {
                        shared.service.connected(link);
                    }
                    shared.carry(&line, stream, BytesMut::new()).await;
                }
                Err(reason) => {
                    line.fail(reason);
                    shared.bury(&line);
                }
            }
        });
    }

    /// Puts down a packet. It leaves behind everything that was put down before. Now and then `now` is asked for the
    /// time, which comes back with [`PeerService::left`].
    pub fn send(&self, link: LinkId, packet: &Packet, now: impl FnOnce() -> Millis) {
        let lines = self.shared.lines.read();
        let Some(line) = lines.get(&link) else { return };
        if !line.outbox.put(now, |out| packet::write(packet, out)) {
            line.fail(format!(
                "{} bytes wait for the peer, more than it may leave unread",
                line.outbox.bytes()
            ));
        }
    }

    /// Puts down something long. What is put down later waits behind it.
    pub fn stream(&self, link: LinkId, feed: Box<dyn Feed + Send>) {
        if let Some(line) = self.shared.lines.read().get(&link) {
            line.outbox.stream(feed);
        }
    }

    /// From here on silence for so long ends the link.
    pub fn patience(&self, link: LinkId, patience: Millis) {
        if let Some(line) = self.shared.lines.read().get(&link) {
            line.set_patience(patience);
        }
    }

    /// Closes a link. What was put down before still leaves, as far as the peer takes it within a second; something
    /// long that has not left does not.
    pub fn close(&self, link: LinkId) {
        let line = self.shared.lines.write().remove(&link);
        if let Some(line) = line {
            line.close();
        }
    }

    /// Closes every link. The ports stay as they are.
    pub fn close_all(&self) {
        let lines = std::mem::take(&mut *self.shared.lines.write());
        lines.values().for_each(|line| line.close());
    }

    /// Closes everything.
    pub fn stop(&self) {
        self.unlisten();
        self.unlisten_observers();
        self.close_all();
    }

    /// Bytes that wait for a peer.
    #[must_use]
    pub fn backlog(&self, link: LinkId) -> usize {
        self.shared.lines.read().get(&link).map_or(0, |line| line.outbox.bytes())
    }
}

impl Shared {
    /// A link that can be reached from here on.
    fn line(&self, id: LinkId, speaker: Speaker, stop: CancellationToken) -> Arc<Line> {
        let line = Line::new(id, speaker, self.settings.patience, self.settings.backlog, stop);
        if let Some(old) = self.lines.write().insert(id, Arc::clone(&line)) {
            old.close();
        }
        line
    }

    async fn carry(&self, line: &Arc<Line>, mut stream: TcpStream, read: BytesMut) {
        let (from, to) = stream.split();
        line.run(&self.service, from, to, read, self.settings.max_data).await;
        self.bury(line);
    }

    /// The link is over: forget it, and say so unless it was closed from here.
    fn bury(&self, line: &Arc<Line>) {
        let Some(reason) = line.epitaph() else { return };
        let mut lines = self.lines.write();
        if lines.get(&line.id).is_some_and(|known| Arc::ptr_eq(known, line)) {
            lines.remove(&line.id);
            drop(lines);
            self.service.lost(line.id, reason);
        }
    }

    fn next_accepted(&self) -> LinkId {
        LinkId(self.last_accepted.fetch_add(1, Relaxed) + 1)
    }
}
