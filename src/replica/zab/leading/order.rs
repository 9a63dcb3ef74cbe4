//! The order that a leader makes: the next zxid, proposals that wait, who has acknowledged what.
//!
//! Acknowledgements are one mark per server, because logs have no gaps: the newest transaction up to which it has
//! everything on disk. Invariant: what may be committed has a quorum in every membership in force at its zxid, and
//! commits leave in zxid order.

use crate::config::ensemble::Membership;
use crate::replica::Origin;
use crate::replica::zab::Views;
use crate::types::planted;
use crate::types::{Epoch, ServerId, Zxid};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// A proposal that waits. The entry itself is in the ledger's tail, at the same place.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) zxid: Zxid,
    /// Who waits for it here.
    pub(super) origin: Option<Origin>,
    /// The membership it proposes.
    pub(super) membership: Option<Arc<Membership>>,
}

/// The order of one epoch.
#[derive(Debug)]
pub(super) struct Order {
    last: Zxid,
    waiting: VecDeque<Waiting>,
    marks: BTreeMap<ServerId, Zxid>,
    /// Smallest, largest and last length of a proposal.
    pub(super) sizes: Option<(usize, usize, usize)>,
}

impl Order {
    /// Begins an epoch.
    pub(super) fn new(epoch: Epoch) -> Self {
        Self { last: Zxid::new(epoch, 0), waiting: VecDeque::new(), marks: BTreeMap::new(), sizes: None }
    }

    /// The last zxid that was given out; counter 0 before the first.
    pub(super) fn last(&self) -> Zxid {
        self.last
    }

    #[cfg(test)]
    pub(super) fn skip_to(&mut self, counter: u32) {
        self.last = Zxid::new(self.last.epoch(), counter);
    }

    /// The next zxid; `None` when the epoch has no more.
    pub(super) fn take_zxid(&mut self) -> Option<Zxid> {
        let next = self.last.next();
        if next.counter() == planted::last_counter() || next.epoch() != self.last.epoch() {
            return None;
        }
        self.last = next;
        Some(next)
    }

    pub(super) fn push(&mut self, waiting: Waiting, length: usize) {
        let (least, most, _) = self.sizes.unwrap_or((length, length, length));
        self.sizes = Some((least.min(length), most.max(length), length));
        self.waiting.push_back(waiting);
    }

    /// Is everything up to here committed?
    pub(super) fn is_done(&self, zxid: Zxid) -> bool {
        self.waiting.front().is_none_or(|w| w.zxid > zxid)
    }

    /// Proposals that wait.
    pub(super) fn in_flight(&self) -> usize {
        self.waiting.len()
    }

    /// A server has everything up to here on disk.
    pub(super) fn mark(&mut self, server: ServerId, zxid: Zxid) {
        // What was never proposed cannot have been acknowledged.
        let zxid = zxid.min(self.last);
        let mark = self.marks.entry(server).or_insert(zxid);
        *mark = zxid.max(*mark);
    }

    /// A server's log is being changed: what it acknowledged does not count any more.
    pub(super) fn unmark(&mut self, server: ServerId) {
        self.marks.remove(&server);
    }

    /// The newest that may be committed.
    pub(super) fn agreed(&self, views: &Views) -> Zxid {
        let Some(old) = views.committed.agreed(&self.marks) else { return Zxid::ZERO };
        let Some(proposed) = &views.proposed else { return old };
        // From its own transaction on, a membership has a say.
        let before = Zxid(proposed.version().saturating_sub(1));
        let new = proposed.agreed(&self.marks).unwrap_or(Zxid::ZERO);
        old.min(new.max(before))
    }

    /// Takes the first that waits if it is not behind `limit`.
    pub(super) fn pop(&mut self, limit: Zxid) -> Option<Waiting> {
        self.waiting.pop_front_if(|w| w.zxid <= limit)
    }

    /// Who should lead the next membership: of its voters the one that has acknowledged most, and its own
    /// transaction at least (`Leader.getDesignatedLeader`).
    pub(super) fn successor(&self, me: ServerId, next: &Membership) -> Option<ServerId> {
        next.voters()
            .map(ServerId)
            .filter(|s| *s != me)
            .filter_map(|s| self.marks.get(&s).map(|mark| (*mark, s)))
            .filter(|(mark, _)| mark.0 >= next.version)
            .max()
            .map(|(_, server)| server)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn membership(voters: &[i64], version: i64) -> Arc<Membership> {
        let lines: String = voters.iter().map(|n| format!("server.{n}=h{n}:1:2\n")).collect();
        Arc::new(Membership::from_text(format!("{lines}version={version:x}").as_bytes(), false).unwrap())
    }

    fn waiting(zxid: Zxid) -> Waiting {
        Waiting { zxid, origin: None, membership: None }
    }

    #[test]
    fn the_last_counter_is_never_used() {
        let mut order = Order::new(Epoch(3));
        assert_eq!(order.take_zxid(), Some(Zxid::new(Epoch(3), 1)));
        order.last = Zxid::new(Epoch(3), u32::MAX - 2);
        assert_eq!(order.take_zxid(), Some(Zxid::new(Epoch(3), u32::MAX - 1)));
        assert_eq!(order.take_zxid(), None);
        assert_eq!(order.take_zxid(), None);
        assert_eq!(order.last(), Zxid::new(Epoch(3), u32::MAX - 1));
    }

    #[test]
    fn two_memberships_from_the_proposal_on() {
        let mut order = Order::new(Epoch(1));
        for _ in 0..3 {
            let zxid = order.take_zxid().unwrap();
            order.push(waiting(zxid), 10);
        }
        let at = |n| Zxid::new(Epoch(1), n);
        let mut views = Views::new(membership(&[1, 2, 3], 0));
        assert!(views.propose(membership(&[3, 4, 5], at(2).0)));
        order.mark(ServerId(1), at(3));
        order.mark(ServerId(2), at(3));
        assert_eq!(order.agreed(&views), at(1), "the old one alone, before the proposal");
        order.mark(ServerId(4), at(3));
        assert_eq!(order.agreed(&views), at(1));
        order.mark(ServerId(5), at(2));
        assert_eq!(order.agreed(&views), at(2), "both");
        assert_eq!(order.successor(ServerId(3), views.newest().membership()), Some(ServerId(4)));
        order.unmark(ServerId(4));
        assert_eq!(order.agreed(&views), at(1));
        order.mark(ServerId(9), Zxid(i64::MAX));
        assert_eq!(order.agreed(&views), at(1), "strangers have no say");
    }

    proptest! {
        #[test]
        fn whatever_comes_is_committed_in_order_and_by_a_quorum(
            acks in proptest::collection::vec((1i64..=6, 0u32..=12), 0..60),
            voters in 1i64..=5,
        ) {
            let ids: Vec<i64> = (1..=voters).collect();
            let views = Views::new(membership(&ids, 0));
            let mut order = Order::new(Epoch(1));
            for _ in 0..10 {
                let zxid = order.take_zxid().unwrap();
                order.push(waiting(zxid), 1);
            }
            let mut highest: BTreeMap<ServerId, Zxid> = BTreeMap::new();
            let mut last = Zxid::new(Epoch(1), 0);
            for (server, counter) in acks {
                let (server, zxid) = (ServerId(server), Zxid::new(Epoch(1), counter));
                order.mark(server, zxid);
                let mark = highest.entry(server).or_insert(zxid);
                *mark = zxid.max(*mark);
                let limit = order.agreed(&views);
                while let Some(done) = order.pop(limit) {
                    prop_assert_eq!(done.zxid, last.next());
                    last = done.zxid;
                    let having: BTreeSet<_> =
                        highest.iter().filter(|(_, z)| **z >= last).map(|(s, _)| *s).collect();
                    prop_assert!(views.is_quorum(&having));
                }
                let next: BTreeSet<_> =
                    highest.iter().filter(|(_, z)| **z > last).map(|(s, _)| *s).collect();
                prop_assert!(order.in_flight() == 0 || !views.is_quorum(&next), "none waits for nothing");
            }
        }
    }
}
