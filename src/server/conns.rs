//! Every client connection of this process, by number and by address.
//!
//! Invariant: a slot is free again only after the watches of its connection were dropped, so a watch can
//! never fire into a stranger's outbox; and a number is never given twice, so neither can a late reply.

use crate::net::client::{Budget, Conn};
use crate::state::watch::WatcherId;
use crate::types::{ConnId, Millis, Now, SessionId};
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use slab::Slab;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Limits on connections; zero means none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnLimits {
    /// From one address.
    pub per_address: usize,
    /// In all.
    pub total: usize,
}

#[derive(Debug, Default)]
struct Tables {
    slots: Slab<Arc<Conn>>,
    by_address: HashMap<IpAddr, usize>,
    opened: u64,
}

/// Connections that may end before somebody must collect what they said last: more than end between two beats on any
/// ordinary day, and 100 KiB.
const PARTED: usize = 4096;

/// The connections.
#[derive(Debug)]
pub struct Conns {
    limits: ConnLimits,
    budget: Arc<Budget>,
    tables: RwLock<Tables>,
    /// What connections said last that are gone since. Added to while the tables are held exclusively, so that nobody
    /// who holds them shared finds a connection neither there nor here.
    parted: Mutex<Vec<(SessionId, Millis, Millis)>>,
}

/// Numbers hold the slot in their lower half and how often any slot was given in their upper one.
fn slot_of(id: ConnId) -> usize {
    usize::try_from(id.0 & 0xffff_ffff).unwrap_or(usize::MAX)
}

impl Conns {
    /// None yet; what waits for them is counted in `budget`.
    #[must_use]
    pub fn new(limits: ConnLimits, budget: Budget) -> Self {
        Self { limits, budget: Arc::new(budget), tables: RwLock::default(), parted: Mutex::default() }
    }

    /// What waits for all of them.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// A slot for a new connection, or why there is none. On a port of both families an IPv4 client is what it would be
    /// on one of IPv4 alone.
    pub fn admit(&self, remote: SocketAddr, now: Now) -> Result<Arc<Conn>, Full> {
        let remote = match remote.ip().to_canonical() {
            ip @ IpAddr::V4(_) => SocketAddr::new(ip, remote.port()),
            IpAddr::V6(_) => remote,
        };
        let mut tables = self.tables.write();
        if self.limits.total > 0 && tables.slots.len() >= self.limits.total {
            return Err(Full::Total(self.limits.total));
        }
        let of_address = tables.by_address.get(&remote.ip()).copied().unwrap_or(0);
        if self.limits.per_address > 0 && of_address >= self.limits.per_address {
            return Err(Full::Address(self.limits.per_address));
        }
        tables.opened += 1;
        let opened = tables.opened;
        let entry = tables.slots.vacant_entry();
        let Ok(slot) = u32::try_from(entry.key()) else { return Err(Full::Total(u32::MAX as usize)) };
        let id = ConnId(opened << 32 | u64::from(slot));
        let conn = Arc::new(Conn::new(id, WatcherId(slot), remote, now, Arc::clone(&self.budget)));
        entry.insert(Arc::clone(&conn));
        *tables.by_address.entry(remote.ip()).or_insert(0) += 1;
        Ok(conn)
    }

    /// The connection is over and its watches are dropped. True if sessions heard of should be asked for now.
    #[must_use]
    pub fn remove(&self, conn: &Conn) -> bool {
        let mut tables = self.tables.write();
        let is_full = {
            let mut parted = self.parted.lock();
            parted.extend(conn.take_heard());
            parted.len() >= PARTED
        };
        if tables.slots.get(slot_of(conn.id)).is_some_and(|c| c.id == conn.id) {
            tables.slots.remove(slot_of(conn.id));
        }
        if let Some(n) = tables.by_address.get_mut(&conn.remote.ip()) {
            *n -= 1;
            if *n == 0 {
                tables.by_address.remove(&conn.remote.ip());
            }
        }
        is_full
    }

    /// Runs `f` with look-ups by number, under one lock.
    pub fn with<R>(&self, f: impl FnOnce(&Lookup<'_>) -> R) -> R {
        f(&Lookup(&self.tables.read()))
    }

    /// All of them, in no order.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Conn>> {
        self.tables.read().slots.iter().map(|(_, c)| Arc::clone(c)).collect()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tables.read().slots.len()
    }

    /// True with no connection.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sessions heard of since the last call.
    #[must_use]
    pub fn take_heard(&self) -> Vec<(SessionId, Millis, Millis)> {
        let tables = self.tables.read();
        let mut heard = std::mem::take(&mut *self.parted.lock());
        heard.extend(tables.slots.iter().filter_map(|(_, c)| c.take_heard()));
        heard
    }
}

/// Look-ups while the tables are held.
#[derive(Debug)]
pub struct Lookup<'a>(&'a Tables);

impl Lookup<'_> {
    /// By number.
    #[must_use]
    pub fn by_id(&self, id: ConnId) -> Option<&Arc<Conn>> {
        self.0.slots.get(slot_of(id)).filter(|c| c.id == id)
    }

    /// By the number in the watch tables.
    #[must_use]
    pub fn by_watcher(&self, watcher: WatcherId) -> Option<&Arc<Conn>> {
        self.0.slots.get(watcher.0 as usize)
    }
}

/// Why a connection was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// `maxCnxns`.
    Total(usize),
    /// `maxClientCnxns`.
    Address(usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_numbers() {
        let conns = Conns::new(ConnLimits { per_address: 2, total: 0 }, Budget::default());
        let a = "127.0.0.1:1".parse().unwrap();
        let first = conns.admit(a, Now::default()).unwrap();
        let second = conns.admit(a, Now::default()).unwrap();
        assert_eq!(conns.admit(a, Now::default()).unwrap_err(), Full::Address(2));
        assert!(!conns.remove(&first));
        assert_eq!(conns.len(), 1);
        assert!(conns.with(|l| l.by_id(second.id).is_some()));
        let third = conns.admit(a, Now::default()).unwrap();
        assert_eq!(third.watcher, first.watcher, "the slot is used again");
        assert_ne!(third.id, first.id, "the number is not");
        assert!(conns.with(|l| l.by_id(first.id).is_none()));
    }

    #[test]
    fn who_is_gone_is_asked_for_in_time() {
        let conns = Conns::new(ConnLimits { per_address: 0, total: 0 }, Budget::default());
        for n in 1..=PARTED {
            let conn = conns.admit("127.0.0.1:1".parse().unwrap(), Now::default()).unwrap();
            conn.hear(Millis(5));
            conn.attach(SessionId(7), Millis(100));
            assert_eq!(conns.remove(&conn), n == PARTED);
        }
        assert_eq!(conns.take_heard().len(), PARTED);
        let conn = conns.admit("127.0.0.1:1".parse().unwrap(), Now::default()).unwrap();
        conn.hear(Millis(5));
        assert!(!conns.remove(&conn));
        assert!(conns.take_heard().is_empty(), "nobody has been given a session");
    }
}
