//! The rows of accepted changes, found by path, each in a slot that is used again. Which rows there must be is not
//! known here.
//!
//! Invariant: a slot in use is in the index under its hash; a free one is not, and keeps its buffer for the next path.

use super::pending::{Node, Spot};
use crate::types::{SessionId, Zxid};
use foldhash::quality::FixedState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// Slots that stay when nothing is in them: as many as a deep pipeline needs. Beyond, memory goes back.
const SPARE: usize = 4096;

/// The longest path whose buffer a free slot keeps.
const KEPT_PATH: usize = 256;

/// The last accepted change of one place.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) zxid: Zxid,
    /// `None`: deleted.
    pub(super) node: Option<Node>,
}

impl Row {
    pub(super) fn ephemeral_of(&self) -> Option<SessionId> {
        self.node.as_ref()?.owner.session()
    }
}

/// Where a row is. Good until it is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(u32);

#[derive(Debug)]
struct Held {
    hash: u64,
    path: String,
    row: Option<Row>,
}

/// The rows.
#[derive(Debug)]
pub(super) struct Rows {
    hasher: FixedState,
    index: HashTable<u32>,
    slots: Vec<Held>,
    free: Vec<u32>,
}

impl Rows {
    /// None. `seed` keeps clients from choosing paths that collide.
    pub(super) fn new(seed: u64) -> Self {
        let hasher = FixedState::with_seed(seed);
        Self { hasher, index: HashTable::new(), slots: Vec::new(), free: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn hash(&self, path: &str) -> u64 {
        self.hasher.hash_one(path)
    }

    fn held(&self, slot: u32) -> Option<&Held> {
        self.slots.get(slot as usize)
    }

    fn slot_of(&self, spot: Spot<'_>) -> Option<u32> {
        let is = |slot: &u32| self.held(*slot).is_some_and(|h| h.hash == spot.hash && h.path == spot.path);
        self.index.find(spot.hash, is).copied()
    }

    pub(super) fn find(&self, spot: Spot<'_>) -> Option<&Row> {
        self.get(Slot(self.slot_of(spot)?))
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Row> {
        self.held(slot.0)?.row.as_ref()
    }

    /// Path of a row that is there.
    pub(super) fn path(&self, slot: Slot) -> &str {
        self.held(slot.0).map_or("", |held| &held.path)
    }

    /// Replaces a row that is there.
    pub(super) fn set(&mut self, slot: Slot, row: Row) -> Option<Row> {
        self.slots.get_mut(slot.0 as usize)?.row.replace(row)
    }

    /// Puts a row in; where, and what was there.
    pub(super) fn put(&mut self, spot: Spot<'_>, row: Row) -> (Slot, Option<Row>) {
        if let Some(slot) = self.slot_of(spot) {
            return (Slot(slot), self.set(Slot(slot), row));
        }
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(Held { hash: 0, path: String::new(), row: None });
                // One row for each of a write's changes in the works, which memory bounds long before.
                u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
            }
        };
        if let Some(held) = self.slots.get_mut(slot as usize) {
            held.hash = spot.hash;
            held.path.push_str(spot.path);
            held.row = Some(row);
        }
        let slots = &self.slots;
        self.index.insert_unique(spot.hash, slot, |slot| slots.get(*slot as usize).map_or(0, |h| h.hash));
        (Slot(slot), None)
    }

    /// Takes a row out.
    pub(super) fn take(&mut self, slot: Slot) {
        let Some(held) = self.slots.get_mut(slot.0 as usize) else { return };
        held.row = None;
        held.path.clear();
        held.path.shrink_to(KEPT_PATH);
        if let Ok(entry) = self.index.find_entry(held.hash, |other| *other == slot.0) {
            entry.remove();
            self.free.push(slot.0);
        }
    }

    /// Gives back what a burst took, once it is over.
    pub(super) fn settle(&mut self) {
        if self.index.is_empty() && self.slots.len() > SPARE {
            (self.index, self.slots, self.free) = (HashTable::new(), Vec::new(), Vec::new());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(zxid: i64) -> Row {
        Row { zxid: Zxid(zxid), node: None }
    }

    #[test]
    fn rows_come_and_go_and_slots_are_used_again() {
        let mut rows = Rows::new(7);
        let paths: Vec<String> = (0..100).map(|n| format!("/n{n}")).collect();
        let spot = |rows: &Rows, n: usize| Spot { path: &paths[n], hash: rows.hash(&paths[n]) };
        let slots: Vec<Slot> = (0..100).map(|n| rows.put(spot(&rows, n), row(n as i64)).0).collect();
        assert_eq!((rows.len(), rows.path(slots[7])), (100, "/n7"));
        let (slot, before) = rows.put(spot(&rows, 7), row(700));
        assert_eq!((slot, before.map(|r| r.zxid)), (slots[7], Some(Zxid(7))));
        rows.take(slots[3]);
        rows.take(slots[3]);
        assert!(rows.find(spot(&rows, 3)).is_none() && rows.get(slots[3]).is_none());
        assert_eq!(rows.put(Spot { path: "/other", hash: rows.hash("/other") }, row(1)).0, slots[3]);
        assert!(rows.find(spot(&rows, 3)).is_none());
        assert_eq!(rows.find(spot(&rows, 7)).map(|r| r.zxid), Some(Zxid(700)));
        assert_eq!(rows.len(), 100);
    }

    #[test]
    fn a_burst_gives_its_memory_back() {
        let mut rows = Rows::new(7);
        let slots: Vec<Slot> = (0..=SPARE)
            .map(|n| {
                let path = format!("/{n}");
                rows.put(Spot { path: &path, hash: rows.hash(&path) }, row(1)).0
            })
            .collect();
        let (last, others) = slots.split_last().unwrap();
        others.iter().for_each(|slot| rows.take(*slot));
        rows.settle();
        assert_eq!(rows.slots.len(), SPARE + 1, "one is in use");
        rows.take(*last);
        rows.settle();
        assert_eq!((rows.slots.len(), rows.len()), (0, 0));
    }
}
