//! The network: connections that keep their order, and everything that may happen to them.
//!
//! A pipe is one TCP connection. What is sent arrives late, in order and once, or not at all because the pipe
//! broke. Invariant: nothing overtakes inside a pipe; a cut holds back, it does not lose.

use super::disk::Image;
use quoll::replica::zab::Packet;
use quoll::types::LinkId;
use std::collections::VecDeque;

/// One end of a pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// A server's quorum port or the connection it made to one: server, its life, the link.
    Peer(usize, u64, LinkId),
    /// A server's client port: server, its life.
    Server(usize, u64),
    /// A client.
    Client(usize),
}

impl End {
    /// The machine it is on: servers first, then clients.
    pub fn host(self) -> Host {
        match self {
            Self::Peer(n, ..) | Self::Server(n, _) => Host::Server(n),
            Self::Client(n) => Host::Client(n),
        }
    }
}

/// A machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    Server(usize),
    Client(usize),
}

/// What travels.
#[derive(Debug)]
pub enum Message {
    /// Between servers.
    Packet(Packet),
    /// SNAP with all that stands behind it.
    Snapshot(quoll::types::Zxid, Box<Image>),
    /// Between client and server: one or more frames.
    Bytes(Vec<u8>),
    /// The other side is there: the answer to a connection attempt.
    Open,
    /// The other side closed.
    Fin,
}

/// One direction of a pipe.
#[derive(Debug, Default)]
pub struct Lane {
    /// Sent and not arrived, each with the time it may arrive.
    pub queue: VecDeque<(u64, Message)>,
    /// When the last one sent arrives.
    pub last: u64,
    /// An event to deliver the front is under way.
    pub scheduled: bool,
    /// The receiver reads nothing before this.
    pub slow_until: u64,
}

/// One connection.
#[derive(Debug)]
pub struct Pipe {
    /// Who asked for it, and who was asked.
    pub ends: [End; 2],
    /// An end that is closed neither sends nor hears.
    pub open: [bool; 2],
    /// By receiving end.
    pub lanes: [Lane; 2],
    /// When an end last heard anything, in time of the world.
    pub heard: [u64; 2],
    /// Silence, in time of the world, after which an end gives up.
    pub patience: [Option<u64>; 2],
    /// Waits for a stream to end before anything is sent from this end.
    pub blocked: [bool; 2],
    /// What waits for that.
    pub backlog: [VecDeque<Message>; 2],
}

impl Pipe {
    pub fn new(from: End, to: End, now: u64) -> Self {
        Self {
            ends: [from, to],
            open: [true, true],
            lanes: [Lane::default(), Lane::default()],
            heard: [now, now],
            patience: [None, None],
            blocked: [false, false],
            backlog: [VecDeque::new(), VecDeque::new()],
        }
    }
}

/// Which ways between servers are cut, and which clients reach which server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cuts {
    servers: Vec<u64>,
    clients: Vec<u64>,
}

impl Cuts {
    pub fn new(servers: usize, clients: usize) -> Self {
        Self { servers: vec![0; servers], clients: vec![0; clients] }
    }

    /// Nothing from `from` reaches `to`.
    pub fn cut(&mut self, from: usize, to: usize) {
        self.servers[from] |= 1 << to;
    }

    /// The client and the server do not hear each other.
    pub fn cut_client(&mut self, client: usize, server: usize) {
        self.clients[client] |= 1 << server;
    }

    pub fn heal(&mut self) {
        self.servers.iter_mut().chain(&mut self.clients).for_each(|c| *c = 0);
    }

    /// Is the way from one machine to another cut?
    pub fn blocks(&self, from: Host, to: Host) -> bool {
        match (from, to) {
            (Host::Server(a), Host::Server(b)) => self.servers[a] >> b & 1 == 1,
            (Host::Server(s), Host::Client(c)) | (Host::Client(c), Host::Server(s)) => {
                self.clients[c] >> s & 1 == 1
            }
            (Host::Client(_), Host::Client(_)) => false,
        }
    }
}
