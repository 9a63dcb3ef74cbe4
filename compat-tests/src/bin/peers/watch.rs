//! What the sockets bring, kept for the script; and the script's checks.
//!
//! Invariant: every wait is bounded.

use quoll::net::peer::{Fed, Left, PeerService, SnapshotSink};
use quoll::replica::zab::{Notification, Packet};
use quoll::types::{LinkId, ServerId, Zxid};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const STEP: Duration = Duration::from_millis(20);
const STEPS: u32 = 2000;

#[derive(Debug, Default)]
struct Seen {
    votes: Vec<(i64, Notification)>,
    packets: Vec<Packet>,
    pings: Vec<Zxid>,
    answered: usize,
    tree: Option<usize>,
    lost: Option<String>,
}

/// Everything that came.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    seen: Arc<Mutex<Seen>>,
}

impl Watch {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn until<T>(&self, find: impl Fn(&Seen) -> Option<T>) -> Option<T> {
        for _ in 0..STEPS {
            let found = find(&self.seen());
            if found.is_some() {
                return found;
            }
            tokio::time::sleep(STEP).await;
        }
        None
    }

    pub(crate) async fn vote(&self, pick: impl Fn(i64, &Notification) -> bool) -> Option<Notification> {
        self.until(|seen| seen.votes.iter().find(|(from, n)| pick(*from, n)).map(|(_, n)| n.clone())).await
    }

    pub(crate) async fn packet<T>(&self, pick: impl Fn(&Packet) -> Option<T>) -> Option<T> {
        self.until(|seen| seen.packets.iter().find_map(&pick)).await
    }

    /// The last vote of each server.
    pub(crate) fn latest(&self) -> BTreeMap<i64, Notification> {
        self.seen().votes.iter().cloned().collect()
    }

    pub(crate) fn forget(&self) {
        self.seen().votes.clear();
    }

    /// Pings that were not answered yet.
    pub(crate) fn pings(&self) -> Vec<Zxid> {
        let mut seen = self.seen();
        let pings = std::mem::take(&mut seen.pings);
        seen.answered += pings.len();
        pings
    }

    pub(crate) fn answered(&self) -> usize {
        self.seen().answered
    }

    pub(crate) fn tree(&self) -> Option<usize> {
        self.seen().tree
    }

    pub(crate) fn lost(&self) -> Option<String> {
        self.seen().lost.clone()
    }
}

impl PeerService for Watch {
    fn vote(&self, from: ServerId, notification: Notification) {
        println!(
            "   vote of {}: {:?} for {} at {}, round {}, epoch {}",
            from.0,
            notification.state,
            notification.vote.leader.0,
            notification.vote.zxid,
            notification.round,
            notification.vote.epoch.0
        );
        self.seen().votes.push((from.0, notification));
    }

    fn election_port_failed(&self, reason: String) {
        println!("   {reason}");
    }

    fn listening(&self, _: u64, _: Result<(), String>) {}

    fn accepted(&self, _: LinkId, _: bool, _: SocketAddr) {}

    fn connected(&self, link: LinkId) {
        println!("   link {:x} is connected", link.0);
    }

    fn packets(&self, _: LinkId, packets: Vec<Packet>) {
        let mut seen = self.seen();
        for packet in packets {
            match packet {
                Packet::Ping(zxid) => seen.pings.push(zxid),
                packet => {
                    println!("   {packet:?}");
                    seen.packets.push(packet);
                }
            }
        }
    }

    fn left(&self, _: LinkId, _: Left) {}

    fn lost(&self, _: LinkId, reason: String) {
        println!("   the link is lost: {reason}");
        self.seen().lost = Some(reason);
    }

    fn open_snapshot(&self, _: LinkId, _: Zxid) -> Box<dyn SnapshotSink + Send> {
        Box::new(Tree { bytes: Vec::new(), seen: Arc::clone(&self.seen) })
    }
}

const SIGNATURE: &[u8] = b"\0\0\0\x0aBenWasHere";

/// The bytes of a tree up to its signature.
struct Tree {
    bytes: Vec<u8>,
    seen: Arc<Mutex<Seen>>,
}

impl SnapshotSink for Tree {
    fn feed(&mut self, bytes: &[u8]) -> Result<Fed, String> {
        let before = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        let Some(at) = self.bytes.windows(SIGNATURE.len()).position(|w| w == SIGNATURE) else {
            return Ok(Fed::More);
        };
        let end = at + SIGNATURE.len();
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).tree = Some(end);
        Ok(Fed::Done(end.saturating_sub(before)))
    }
}

/// Counts.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    passed: usize,
    failed: usize,
}

impl Checks {
    pub(crate) fn ok(&mut self, what: &str, passed: bool) {
        if passed {
            self.passed += 1;
            println!("ok {what}");
        } else {
            self.failed(what, "no");
        }
    }

    pub(crate) fn failed(&mut self, what: &str, why: &str) {
        self.failed += 1;
        println!("not ok {what}: {why}");
    }

    pub(crate) fn sum(&self) -> ExitCode {
        println!("{} passed, {} failed", self.passed, self.failed);
        if self.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
