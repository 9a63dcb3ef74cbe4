//! Meshes and links over the loopback, against each other and against peers that follow a script.

mod links;
mod mesh;

use super::place::{Door, Place};
use super::service::{Fed, Left, PeerService, SnapshotSink};
use crate::replica::zab::{Notification, Packet, PeerState, Vote};
use crate::types::{Epoch, LinkId, ServerId, Zxid};
use bytes::Bytes;
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// The longest wait for something that must happen.
const SOON: Duration = Duration::from_secs(10);

/// What a service was told.
#[derive(Debug, Clone, PartialEq)]
enum Heard {
    Vote(ServerId, Notification),
    NoElectionPort(String),
    Listening(u64, bool),
    Accepted(LinkId, bool),
    Connected(LinkId),
    Packet(LinkId, Packet),
    Left(LinkId, Left),
    Lost(LinkId, String),
    /// A snapshot was read to its end: so many bytes.
    Tree(LinkId, Zxid, usize),
}

/// Writes down what it is told.
#[derive(Default)]
struct Scribe {
    heard: Mutex<Vec<Heard>>,
}

impl Scribe {
    fn note(&self, what: Heard) {
        self.heard.lock().push(what);
    }

    fn all(&self) -> Vec<Heard> {
        self.heard.lock().clone()
    }

    fn count(&self, pick: impl Fn(&Heard) -> bool) -> usize {
        self.heard.lock().iter().filter(|heard| pick(heard)).count()
    }

    /// The first thing that `pick` takes, once it is there.
    #[track_caller]
    fn wait<T>(self: &Arc<Self>, pick: impl Fn(&Heard) -> Option<T>) -> impl Future<Output = T> {
        let (this, caller) = (Arc::clone(self), std::panic::Location::caller());
        async move {
            let looking = async {
                loop {
                    if let Some(found) = this.heard.lock().iter().find_map(&pick) {
                        return found;
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            };
            let found = tokio::time::timeout(SOON, looking).await;
            found.unwrap_or_else(|_| panic!("{caller}: never came; what came is {:?}", this.all()))
        }
    }
}

/// Takes bytes up to "BenWasHere".
struct Trees {
    scribe: Arc<Scribe>,
    link: LinkId,
    zxid: Zxid,
    seen: Vec<u8>,
}

const SIGNATURE: &[u8] = b"BenWasHere";

impl SnapshotSink for Trees {
    fn feed(&mut self, bytes: &[u8]) -> Result<Fed, String> {
        let before = self.seen.len();
        self.seen.extend_from_slice(bytes);
        if self.seen.starts_with(b"bad") {
            return Err("no tree".to_owned());
        }
        let from = before.saturating_sub(SIGNATURE.len());
        match self.seen[from..].windows(SIGNATURE.len()).position(|w| w == SIGNATURE) {
            None => Ok(Fed::More),
            Some(at) => {
                let end = from + at + SIGNATURE.len();
                self.scribe.note(Heard::Tree(self.link, self.zxid, end));
                Ok(Fed::Done(end - before))
            }
        }
    }
}

struct Told(Arc<Scribe>);

impl PeerService for Told {
    fn vote(&self, from: ServerId, notification: Notification) {
        self.0.note(Heard::Vote(from, notification));
    }
    fn election_port_failed(&self, reason: String) {
        self.0.note(Heard::NoElectionPort(reason));
    }
    fn listening(&self, ticket: u64, result: Result<(), String>) {
        self.0.note(Heard::Listening(ticket, result.is_ok()));
    }
    fn accepted(&self, link: LinkId, observers: bool, _: SocketAddr) {
        self.0.note(Heard::Accepted(link, observers));
    }
    fn connected(&self, link: LinkId) {
        self.0.note(Heard::Connected(link));
    }
    fn packets(&self, link: LinkId, packets: Vec<Packet>) {
        assert!(!packets.is_empty());
        packets.into_iter().for_each(|packet| self.0.note(Heard::Packet(link, packet)));
    }
    fn left(&self, link: LinkId, left: Left) {
        self.0.note(Heard::Left(link, left));
    }
    fn lost(&self, link: LinkId, reason: String) {
        self.0.note(Heard::Lost(link, reason));
    }
    fn open_snapshot(&self, link: LinkId, zxid: Zxid) -> Box<dyn SnapshotSink + Send> {
        Box::new(Trees { scribe: Arc::clone(&self.0), link, zxid, seen: Vec::new() })
    }
}

fn scribe() -> (Arc<Scribe>, Arc<dyn PeerService>) {
    let scribe = Arc::new(Scribe::default());
    let service: Arc<dyn PeerService> = Arc::new(Told(Arc::clone(&scribe)));
    (scribe, service)
}

fn vote(leader: i64, round: i64) -> Notification {
    Notification {
        state: PeerState::Looking,
        vote: Vote { leader: ServerId(leader), zxid: Zxid(5), epoch: Epoch(1) },
        round,
        version: 2,
        config: Bytes::from_static(b"version=0"),
    }
}

/// A place on the loopback where nobody listens, kept by nobody else while the tests run: ports below the range of
/// outgoing connections, each given out once.
fn place() -> Place {
    use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = 12_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    loop {
        let port = start + NEXT.fetch_add(1, Relaxed);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Place::new("127.0.0.1", port);
        }
    }
}

fn door(place: &Place) -> Door {
    Door::At(place.clone())
}

async fn listen(place: &Place) -> TcpListener {
    TcpListener::bind((place.host.as_str(), place.port)).await.unwrap()
}

/// A connection to a port that may be about to open.
async fn knock(place: &Place) -> TcpStream {
    let connecting = async {
        loop {
            match TcpStream::connect((place.host.as_str(), place.port)).await {
                Ok(stream) => return stream,
                Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
    };
    tokio::time::timeout(SOON, connecting).await.expect("the port opens")
}

/// A place that answers nothing at all: its queue of connections is full, and nobody accepts.
async fn blackhole() -> (Place, Vec<TcpStream>, TcpListener) {
    let socket = TcpSocket::new_v4().unwrap();
    let place = place();
    socket.bind(format!("{place}").parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let mut held = Vec::new();
    loop {
        let connecting = TcpStream::connect((place.host.as_str(), place.port));
        match tokio::time::timeout(Duration::from_millis(100), connecting).await {
            Ok(stream) => held.push(stream.unwrap()),
            Err(_) => return (place, held, listener),
        }
    }
}

#[track_caller]
fn soon<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move { tokio::time::timeout(SOON, future).await.unwrap_or_else(|_| panic!("{caller}: too late")) }
}
