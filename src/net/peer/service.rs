//! What the sockets between servers ask of the server, and what it gives them to carry. The server room implements
//! it; scripted ones serve in tests.
//!
//! Invariant: no lock of this room is held while a method is called, so an implementation may take the brain's.

use crate::replica::zab::{Notification, Packet};
use crate::types::{LinkId, Millis, ServerId, Zxid};
use std::io;
use std::net::SocketAddr;

/// The server, as far as the sockets between servers see it. Methods run on the runtime's threads: they may lock for
/// a moment, never wait. A call that was under way while the link was closed from here still arrives.
pub trait PeerService: Send + Sync + 'static {
    /// A vote came.
    fn vote(&self, from: ServerId, notification: Notification);

    /// The election port could not be bound, and trying again is over. The reference ends its process with code 14.
    fn election_port_failed(&self, reason: String);

    /// What became of [`Links::listen`](super::Links::listen) with this ticket. Nothing is reported for a ticket
    /// that was overtaken by another one or by `unlisten`, a report that was under way aside.
    fn listening(&self, ticket: u64, result: Result<(), String>);

    /// A learner connected and has introduced itself; its introduction follows as its first packet. `observers`: to
    /// the port for observers. Links that were accepted count from 1.
    fn accepted(&self, link: LinkId, observers: bool, remote: SocketAddr);

    /// The connection that was asked for stands.
    fn connected(&self, link: LinkId);

    /// Packets of one link, in order, at least one.
    fn packets(&self, link: LinkId, packets: Vec<Packet>);

    /// Packets for a learner have left.
    fn left(&self, link: LinkId, left: Left);

    /// A link is over, or never came to be; nothing more comes from it. Not called for a link that was closed from
    /// here.
    fn lost(&self, link: LinkId, reason: String);

    /// The whole tree follows on this link, as it was at `zxid`. What the service makes of it is its candidate for
    /// this link; the packet SNAP is handed over once the sink has seen the end.
    fn open_snapshot(&self, link: LinkId, zxid: Zxid) -> Box<dyn SnapshotSink + Send>;
}

/// How packets that have left had waited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// How many they were.
    pub packets: u64,
    /// How many waited already when each was put down: all added up.
    pub ahead: u64,
    /// The fewest that waited already.
    pub fewest: u64,
    /// The most.
    pub most: u64,
    /// When every thousandth was put down, by the clock of whoever did it.
    pub marked: Vec<Millis>,
}

impl Default for Left {
    fn default() -> Self {
        Self { packets: 0, ahead: 0, fewest: u64::MAX, most: 0, marked: Vec::new() }
    }
}

impl Left {
    /// One more is put down behind so many.
    pub(super) fn note(&mut self, ahead: u64) {
        self.packets += 1;
        self.ahead += ahead;
        self.fewest = self.fewest.min(ahead);
        self.most = self.most.max(ahead);
    }
}

/// Takes a snapshot as its bytes arrive, on a thread that may block.
pub trait SnapshotSink {
    /// The next bytes. The sink finds the end of the tree and of the signature behind it by itself. A reason closes
    /// the link.
    fn feed(&mut self, bytes: &[u8]) -> Result<Fed, String>;
}

/// What a sink says to bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fed {
    /// All were taken, more must come.
    More,
    /// So many of them were taken, and nothing is missing.
    Done(usize),
}

/// Something long to send, made piece by piece on a thread that may block, at the pace of the peer.
pub trait Feed {
    /// Appends the next bytes, some ten thousand at a time. False: there is nothing behind these. An error closes
    /// the link.
    fn next(&mut self, out: &mut Vec<u8>) -> io::Result<bool>;
}
