//! One client on a real connection: it connects wherever it can, keeps some requests under way, and comes back.
//!
//! What it asks and what it makes of the answers is the simulation's client. Invariant: a connection is never used
//! again under the same number, and what was on its way when it ended stays without an answer.

use crate::check::history::History;
use crate::shared::client::Client;
use crate::shared::rng::Rng;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Between two attempts to connect.
const RETRY: Duration = Duration::from_millis(10);
/// How long a server may take to answer a connection; a dead network gives no answer at all.
const DIAL: Duration = Duration::from_millis(300);
/// How long one wait for bytes takes at most, so that it is time to send.
const NAP: Duration = Duration::from_millis(5);
/// Requests under way at once.
const DEPTH: usize = 8;
/// Connections of one client: its numbers do not meet those of the next one.
const CONNECTIONS: u32 = 1_000_000;
/// Larger frames are not answers to what is asked here.
const FRAME: usize = 8 << 20;

/// Microseconds since the beginning.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the recorder's clock; real servers take real time")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    #[expect(clippy::disallowed_methods, reason = "the recorder's clock; real servers take real time")]
    fn now(self) -> u64 {
        u64::try_from(Instant::now().saturating_duration_since(self.0).as_micros()).unwrap_or(u64::MAX)
    }
}

/// A server, by its place in the list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target(SocketAddr);

impl Target {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|e| format!("{text}: {e}"))
    }
}

/// One client.
#[derive(Debug)]
pub(crate) struct Line {
    client: Client,
    chance: Rng,
    history: History,
    targets: Vec<Target>,
    connections: u32,
    /// Microseconds between two requests.
    gap: u64,
    clock: Clock,
    socket: Option<TcpStream>,
    received: Vec<u8>,
    /// Answered, of what is in the history.
    counted: usize,
}

impl Line {
    pub(crate) fn new(
        id: u32,
        seed: u64,
        timeout: i32,
        targets: Vec<Target>,
        pace: u64,
        clock: Clock,
    ) -> Self {
        Self {
            client: Client::new(id, Rng::new(seed, u64::from(id)), timeout),
            chance: Rng::new(seed, u64::from(id) + 1000),
            history: History::default(),
            targets,
            connections: 0,
            gap: 1_000_000 / pace.max(1),
            clock,
            socket: None,
            received: Vec::new(),
            counted: 0,
        }
    }

    /// Until it is told to halt, and until what is under way is answered or has taken too long.
    /// What was never answered although the connection stands is worth a sentence.
    pub(crate) fn run(mut self, halt: &AtomicBool, answered: &AtomicU64) -> (History, Option<String>) {
        let mut next = self.clock.now();
        let mut ends: Option<u64> = None;
        loop {
            let now = self.clock.now();
            if halt.load(Ordering::Relaxed) {
                let end = *ends.get_or_insert(now + 3_000_000);
                let left = self.client.in_flight();
                if self.socket.is_none() || left == 0 {
                    return (self.history, None);
                }
                if now > end {
                    let server = self.client.server + 1;
                    return (
                        self.history,
                        Some(format!("D: server {server} left {left} requests unanswered")),
                    );
                }
            } else if self.socket.is_none() && !self.dial() {
                std::thread::sleep(RETRY);
                continue;
            }
            let good = self.speak(&mut next, ends.is_none()) && self.hear();
            if !good {
                self.part();
            }
            let done = self.history.calls.len() - self.client.in_flight();
            answered.fetch_add(done.saturating_sub(self.counted) as u64, Ordering::Relaxed);
            self.counted = self.counted.max(done);
        }
    }

    fn part(&mut self) {
        self.client.disconnected();
        self.socket = None;
    }

    /// A connection to any server, and the greeting on it.
    fn dial(&mut self) -> bool {
        let server = self.chance.index(self.targets.len());
        let Ok(socket) = TcpStream::connect_timeout(&self.targets[server].0, DIAL) else { return false };
        let set = socket.set_nodelay(true).and_then(|()| socket.set_read_timeout(Some(NAP)));
        if set.and_then(|()| socket.set_write_timeout(Some(DIAL))).is_err() {
            return false;
        }
        self.connections += 1;
        self.client.server = server;
        self.received.clear();
        let pipe = self.client.id * CONNECTIONS + self.connections;
        let mut out = Vec::new();
        self.client.greet(self.clock.now(), pipe, server as i64 + 1, &mut self.history, &mut out);
        self.socket = Some(socket);
        if self.send(&out) {
            return true;
        }
        self.part();
        false
    }

    /// Requests that are due. A server that says nothing for two thirds of the timeout is given up.
    fn speak(&mut self, next: &mut u64, asking: bool) -> bool {
        let now = self.clock.now();
        let timeout = u64::from(self.client.timeout.unsigned_abs()) * 1000;
        if now.saturating_sub(self.client.heard) > timeout * 2 / 3 {
            return false;
        }
        let mut out = Vec::new();
        if self.client.is_connected() {
            if now.saturating_sub(self.client.spoke) > timeout / 3 {
                self.client.ping(now, &mut out);
            }
            while asking && *next <= now && self.client.in_flight() < DEPTH {
                self.client.ask(now, false, &mut self.history, &mut out);
                // Whoever was kept waiting does not make up for it.
                *next = (*next + self.gap).max(now.saturating_sub(self.gap * 4));
            }
        }
        out.is_empty() || self.send(&out)
    }

    fn send(&mut self, out: &[u8]) -> bool {
        self.socket.as_mut().is_some_and(|s| s.write_all(out).is_ok())
    }

    /// What has come, whole frames at a time.
    fn hear(&mut self) -> bool {
        let Some(socket) = self.socket.as_mut() else { return false };
        let mut chunk = [0; 65536];
        match socket.read(&mut chunk) {
            Ok(0) => return false,
            Ok(n) => self.received.extend_from_slice(&chunk[..n]),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return true,
            Err(_) => return false,
        }
        let now = self.clock.now();
        let mut out = Vec::new();
        let mut whole = 0;
        while let Some(head) = self.received.get(whole..whole + 4) {
            let size = u32::from_be_bytes(head.try_into().expect("four bytes")) as usize;
            assert!(size < FRAME, "a frame of {size} bytes");
            if self.received.len() < whole + 4 + size {
                break;
            }
            whole += 4 + size;
        }
        let frames: Vec<u8> = self.received.drain(..whole).collect();
        if !self.client.receive(now, frames, &mut self.history, &mut out) {
            return false;
        }
        out.is_empty() || self.send(&out)
    }
}
