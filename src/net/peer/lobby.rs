//! Connections that have not introduced themselves yet. There is room for so many, in all and from one address.
//!
//! Invariant: whoever is new gets in; if it is too crowded, the oldest of the address with the most of them has to go. So
//! peers that say nothing cannot keep out one that speaks at once.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// In all: more servers than an ensemble has.
pub(super) const IN_ALL: usize = 256;

/// From one address: all servers of a test cluster on one machine, each with some connections at once.
pub(super) const FROM_ONE: usize = 32;

#[derive(Debug)]
struct Guest {
    ticket: u64,
    address: IpAddr,
    out: CancellationToken,
}

#[derive(Debug, Default)]
struct Guests {
    last: u64,
    /// Oldest first.
    waiting: Vec<Guest>,
}

/// Who waits.
#[derive(Debug, Default)]
pub(super) struct Lobby {
    guests: Mutex<Guests>,
}

impl Lobby {
    /// Takes somebody in, until the pass is dropped.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Pass {
        let mut guests = self.guests.lock();
        let same = guests.waiting.iter().filter(|guest| guest.address == address).count();
        if same >= FROM_ONE {
            guests.show_out(address);
        } else if guests.waiting.len() >= IN_ALL
            && let Some(crowd) = guests.crowd()
        {
            guests.show_out(crowd);
        }
        guests.last += 1;
        let (ticket, out) = (guests.last, CancellationToken::new());
        guests.waiting.push(Guest { ticket, address, out: out.clone() });
        Pass { lobby: Arc::clone(self), ticket, out }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.guests.lock().waiting.len()
    }
}

impl Guests {
    fn crowd(&self) -> Option<IpAddr> {
        let mut counts: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for guest in &self.waiting {
            *counts.entry(guest.address).or_default() += 1;
        }
        counts.into_iter().max_by_key(|(_, count)| *count).map(|(address, _)| address)
    }

    fn show_out(&mut self, address: IpAddr) {
        if let Some(at) = self.waiting.iter().position(|guest| guest.address == address) {
            self.waiting.remove(at).out.cancel();
        }
    }
}

/// A place in the lobby.
#[derive(Debug)]
pub(super) struct Pass {
    lobby: Arc<Lobby>,
    ticket: u64,
    out: CancellationToken,
}

impl Pass {
    /// Returns once the place was needed for somebody else.
    pub(super) async fn shown_out(&self) {
        self.out.cancelled().await;
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.lobby.guests.lock().waiting.retain(|guest| guest.ticket != self.ticket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn ip(n: usize) -> IpAddr {
        Ipv4Addr::from(u32::try_from(n).unwrap()).into()
    }

    #[test]
    fn the_oldest_of_the_largest_crowd_has_to_go() {
        let lobby = Arc::new(Lobby::default());
        let crowd: Vec<_> = (0..FROM_ONE + 3).map(|_| lobby.enter(ip(1))).collect();
        let gone = |passes: &[Pass]| passes.iter().filter(|p| p.out.is_cancelled()).count();
        assert_eq!((gone(&crowd), lobby.len()), (3, FROM_ONE), "no more from one address");
        assert!(crowd[..3].iter().all(|p| p.out.is_cancelled()), "the oldest went");
        let others: Vec<_> = (0..IN_ALL).map(|n| lobby.enter(ip(100 + n))).collect();
        assert_eq!(lobby.len(), IN_ALL);
        assert_eq!(gone(&crowd), 3 + FROM_ONE - 1, "the crowd made room");
        assert!(!others.last().unwrap().out.is_cancelled(), "who is new got in");
        drop((crowd, others));
        assert_eq!(lobby.len(), 0);
    }
}
