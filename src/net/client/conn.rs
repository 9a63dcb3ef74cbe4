//! One client connection, as everybody but its own task sees it.
//!
//! Its locks are small and always taken last: identities, lane, outbox. The task in `task.rs` owns the socket
//! and nothing here can wait for it.

use super::ahead::{Ahead, Looked};
use super::budget::{Backlog, Budget};
use super::lane::Lane;
use super::outbox::Outbox;
use crate::auth::Identity;
use crate::auth::identity::sort_as_reference;
use crate::state::watch::WatcherId;
use crate::types::limits::{IDENTITIES, IDENTITY_BYTES};
use crate::types::{ConnId, Millis, Now, SessionId};
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, Weak};

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Nothing has been said yet.
    Fresh = 0,
    /// The greeting waits for its answer; nothing else is read.
    Greeting = 1,
    /// It has a session.
    Open = 2,
    /// Nothing more is taken from it.
    Closing = 3,
}

/// Figures of one connection, as `cons` prints them.
#[derive(Debug, Default)]
pub struct ConnStats {
    /// Frames received.
    pub received: AtomicU64,
    /// Frames sent.
    pub sent: AtomicU64,
    /// Operation of the last reply; 0 before the first.
    pub last_op: AtomicI32,
    /// xid of the last reply; negative before the first.
    pub last_cxid: AtomicI32,
    /// zxid of the last reply.
    pub last_zxid: AtomicI64,
    /// Monotonic ms of the last reply.
    pub last_response: AtomicI64,
    /// Latency of the last reply, ms.
    pub last_latency: AtomicI64,
    /// Smallest latency, ms.
    pub min_latency: AtomicI64,
    /// Largest latency, ms.
    pub max_latency: AtomicI64,
    /// Sum of latencies, ms.
    pub total_latency: AtomicI64,
    /// Replies counted for it.
    pub replies: AtomicU64,
}

impl ConnStats {
    /// One or more replies have gone to the outbox.
    pub fn replied(&self, op: i32, xid: i32, zxid: i64, since: i64, now: i64, count: u64) {
        self.measured(op, xid, zxid, since, now, count);
        self.sent.fetch_add(count, Relaxed);
    }

    /// One or more requests are done, whatever was sent for them.
    pub fn measured(&self, op: i32, xid: i32, zxid: i64, since: i64, now: i64, count: u64) {
        let latency = now.saturating_sub(since).max(0);
        self.last_op.store(op, Relaxed);
        // The xids of pings and their like say nothing about how far the client is.
        if xid >= 0 {
            self.last_cxid.store(xid, Relaxed);
        }
        self.last_zxid.store(zxid, Relaxed);
        self.last_response.store(now, Relaxed);
        self.last_latency.store(latency, Relaxed);
        if self.replies.fetch_add(count, Relaxed) == 0 || latency < self.min_latency.load(Relaxed) {
            self.min_latency.store(latency, Relaxed);
        }
        if latency > 0 {
            self.total_latency.fetch_add(latency.saturating_mul(count.cast_signed()), Relaxed);
            self.max_latency.fetch_max(latency, Relaxed);
        }
    }

    /// `crst`.
    pub fn reset(&self) {
        for counter in [&self.received, &self.sent, &self.replies] {
            counter.store(0, Relaxed);
        }
        for counter in [&self.last_latency, &self.min_latency, &self.max_latency, &self.total_latency] {
            counter.store(0, Relaxed);
        }
        self.last_op.store(0, Relaxed);
        self.last_cxid.store(-1, Relaxed);
        self.last_zxid.store(-1, Relaxed);
        self.last_response.store(0, Relaxed);
    }
}

/// A connection.
#[derive(Debug)]
pub struct Conn {
    /// Its number in this process.
    pub id: ConnId,
    /// Its number in the watch tables; free again once the connection is gone.
    pub watcher: WatcherId,
    /// The client's address.
    pub remote: SocketAddr,
    /// The address as the `ip` scheme writes it.
    pub remote_ip: String,
    /// Wall clock ms of the accept.
    pub established: i64,
    /// Monotonic ms of the accept.
    pub accepted: i64,
    /// What waits to be sent.
    pub outbox: Arc<Outbox>,
    /// What is in the works.
    pub lane: Mutex<Lane>,
    /// Figures.
    pub stats: ConnStats,
    ids: Mutex<Arc<[Identity]>>,
    phase: AtomicU8,
    session: AtomicI64,
    timeout: AtomicI64,
    last_heard: AtomicI64,
    heard: AtomicBool,
    knows_read_only: AtomicBool,
    ahead: OnceLock<Weak<dyn Ahead>>,
}

impl Conn {
    /// A connection that has just been accepted; what waits for it is counted in `budget`.
    #[must_use]
    pub fn new(id: ConnId, watcher: WatcherId, remote: SocketAddr, now: Now, budget: Arc<Budget>) -> Self {
        let remote_ip = shown_ip(&remote);
        let ids = Mutex::new(Arc::from([Identity::new("ip", &remote_ip)]));
        let stats = ConnStats::default();
        stats.reset();
        Self {
            id,
            watcher,
            remote,
            remote_ip,
            established: now.wall,
            accepted: now.mono.0,
            outbox: Arc::new(Outbox::new(Backlog::new(budget))),
            lane: Mutex::default(),
            stats,
            knows_read_only: AtomicBool::new(false),
            ids,
            phase: AtomicU8::new(Phase::Fresh as u8),
            session: AtomicI64::new(0),
            timeout: AtomicI64::new(0),
            last_heard: AtomicI64::new(now.mono.0),
            heard: AtomicBool::new(false),
            ahead: OnceLock::new(),
        }
    }

    /// From here on others than its task may take writes off its socket.
    pub(super) fn open_ahead(&self, task: Weak<dyn Ahead>) {
        // A connection has one task.
        let _ = self.ahead.set(task);
    }

    /// Takes the next write if it is there already, in place of the task. No lock may be held.
    pub fn look_ahead(&self) -> Looked {
        self.ahead.get().and_then(Weak::upgrade).map_or(Looked::Other, |task| task.look())
    }

    /// How far it has come.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::Fresh,
            1 => Phase::Greeting,
            2 => Phase::Open,
            _ => Phase::Closing,
        }
    }

    /// Moves on; a closing connection stays one.
    pub fn enter(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Relaxed);
    }

    /// Its session, or [`SessionId::NONE`].
    #[must_use]
    pub fn session(&self) -> SessionId {
        SessionId(self.session.load(Relaxed))
    }

    /// The session's negotiated timeout.
    #[must_use]
    pub fn timeout(&self) -> Millis {
        Millis(self.timeout.load(Relaxed))
    }

    /// The handshake is done.
    pub fn attach(&self, session: SessionId, timeout: Millis) {
        self.timeout.store(timeout.0, Relaxed);
        self.session.store(session.0, Relaxed);
        self.enter(Phase::Open);
    }

    /// Remembers whether the client knows the readOnly flag of the handshake.
    pub fn set_read_only_flag(&self, flag: Option<bool>) {
        self.knows_read_only.store(flag.is_some(), Relaxed);
    }

    /// The flag as the answer must carry it: not at all for clients that do not know it.
    #[must_use]
    pub fn read_only_flag(&self) -> Option<bool> {
        self.knows_read_only.load(Relaxed).then_some(false)
    }

    /// The client was heard of.
    pub fn hear(&self, now: Millis) {
        self.last_heard.store(now.0, Relaxed);
        self.heard.store(true, Relaxed);
    }

    /// When it was last heard of.
    #[must_use]
    pub fn last_heard(&self) -> Millis {
        Millis(self.last_heard.load(Relaxed))
    }

    /// News of the session since the last call, for whoever tracks expiry: what a connection that is closing has said
    /// counts as well.
    #[must_use]
    pub fn take_heard(&self) -> Option<(SessionId, Millis, Millis)> {
        let news =
            self.heard.load(Relaxed) && self.session() != SessionId::NONE && self.heard.swap(false, Relaxed);
        news.then(|| (self.session(), self.timeout(), self.last_heard()))
    }

    /// Who it is.
    #[must_use]
    pub fn ids(&self) -> Arc<[Identity]> {
        Arc::clone(&self.ids.lock())
    }

    /// It is somebody more; saying so twice changes nothing. False if that were too many for one connection.
    #[must_use]
    pub fn add_ids(&self, mut more: Vec<Identity>) -> bool {
        let mut ids = self.ids.lock();
        more.retain(|id| !ids.contains(id));
        if more.is_empty() {
            return true;
        }
        let mut all = ids.to_vec();
        all.append(&mut more);
        if all.len() > IDENTITIES || all.iter().map(Identity::len).sum::<usize>() > IDENTITY_BYTES {
            return false;
        }
        sort_as_reference(&mut all);
        *ids = Arc::from(all);
        true
    }
}

/// An address as the reference's runtime prints it: IPv6 in full, without zeros compressed, with the number of its
/// zone where it has one.
#[must_use]
pub fn shown_ip(address: &SocketAddr) -> String {
    match address {
        SocketAddr::V4(a) => a.ip().to_string(),
        SocketAddr::V6(a) => match a.ip().to_ipv4_mapped() {
            Some(v4) => v4.to_string(),
            None => {
                let zone = if a.scope_id() == 0 { String::new() } else { format!("%{}", a.scope_id()) };
                a.ip().segments().map(|s| format!("{s:x}")).join(":") + &zone
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_only_grow() {
        let remote = "127.0.0.1:4000".parse().unwrap();
        let conn = Conn::new(ConnId(1), WatcherId(0), remote, Now::default(), Arc::default());
        assert!(conn.add_ids(vec![Identity::new("digest", "bob:x"), Identity::new("ip", "127.0.0.1")]));
        assert_eq!(conn.ids().len(), 2);
    }

    #[test]
    fn addresses() {
        assert_eq!(shown_ip(&"[::1]:1".parse().unwrap()), "0:0:0:0:0:0:0:1");
        assert_eq!(shown_ip(&"[::ffff:10.0.0.1]:1".parse().unwrap()), "10.0.0.1");
        assert_eq!(shown_ip(&"[fe80::1%2]:1".parse().unwrap()), "fe80:0:0:0:0:0:0:1%2");
    }
}
