//! Equal access lists share one entry. Nodes keep its number; an entry goes with its last node.
//!
//! Invariant: a number is never given out twice in the life of a table, so a fuzzy snapshot cannot take one
//! list for another.

use super::{Map, hash_of};
use crate::auth::AclEntry;
use hashbrown::HashTable;
use jute::records::data::Acl;
use std::sync::Arc;

/// The number of an access list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AclId(pub(super) u32);

impl AclId {
    /// Everything for everybody, as built-in nodes have it. It is in no table.
    pub const OPEN: Self = Self(0);

    /// The number as snapshots write it.
    #[must_use]
    pub const fn disk(self) -> i64 {
        if self.0 == 0 { -1 } else { self.0 as i64 }
    }
}

#[derive(Debug)]
struct Row {
    list: Arc<[AclEntry]>,
    uses: u32,
}

/// All access lists in use.
#[derive(Debug)]
pub struct AclTable {
    rows: Map<u32, Row>,
    by_list: HashTable<u32>,
    last: u32,
    open: Arc<[AclEntry]>,
    /// Stands in where a fuzzy snapshot names a list that it lacks: lets nobody pass but the super user.
    missing: Arc<[AclEntry]>,
    /// Numbers of a loaded file that fit no `u32`.
    foreign: Map<i64, u32>,
}

fn parts<'a>(acl: &'a Acl<'_>) -> (i32, &'a str, &'a str) {
    let text = |t: &'a Option<jute::Text<'_>>| t.as_deref().unwrap_or_default();
    (acl.perms, text(&acl.id.scheme), text(&acl.id.id))
}

fn entry_parts(entry: &AclEntry) -> (i32, &str, &str) {
    (entry.perms, &entry.scheme, &entry.id)
}

fn list_hash<'a>(parts: impl Iterator<Item = (i32, &'a str, &'a str)>) -> u64 {
    hash_of(parts.fold(0, |h: u64, part| h.rotate_left(5) ^ hash_of(part)))
}

impl Default for AclTable {
    fn default() -> Self {
        Self {
            rows: Map::default(),
            by_list: HashTable::new(),
            last: 0,
            open: Arc::new([AclEntry::open()]),
            missing: Arc::new([AclEntry { perms: 0, scheme: "".into(), id: "".into() }]),
            foreign: Map::default(),
        }
    }
}

impl AclTable {
    /// The list behind a number.
    #[must_use]
    pub fn get(&self, id: AclId) -> &Arc<[AclEntry]> {
        if id == AclId::OPEN {
            return &self.open;
        }
        self.rows.get(&id.0).map_or(&self.missing, |row| &row.list)
    }

    /// The highest number given out so far.
    pub(super) fn newest(&self) -> AclId {
        AclId(self.last)
    }

    /// The number of this list, with one use more.
    pub fn intern(&mut self, list: &[Acl<'_>]) -> AclId {
        let hash = list_hash(list.iter().map(parts));
        let same = |id: &u32| {
            let row = self.rows.get(id);
            row.is_some_and(|row| row.list.iter().map(entry_parts).eq(list.iter().map(parts)))
        };
        if let Some(&id) = self.by_list.find(hash, same) {
            self.retain(AclId(id));
            return AclId(id);
        }
        self.last += 1;
        self.put(self.last, list.iter().map(AclEntry::from_record).collect(), 1);
        AclId(self.last)
    }

    fn put(&mut self, id: u32, list: Arc<[AclEntry]>, uses: u32) {
        let hash = |list: &[AclEntry]| list_hash(list.iter().map(entry_parts));
        let own = hash(&list);
        self.rows.insert(id, Row { list, uses });
        let rows = &self.rows;
        self.by_list.insert_unique(own, id, |id| rows.get(id).map_or(0, |row| hash(&row.list)));
    }

    /// One use more.
    pub fn retain(&mut self, id: AclId) {
        if let Some(row) = self.rows.get_mut(&id.0) {
            row.uses += 1;
        }
    }

    /// One use less.
    pub fn release(&mut self, id: AclId) {
        let Some(row) = self.rows.get_mut(&id.0) else { return };
        row.uses = row.uses.saturating_sub(1);
        if row.uses == 0 {
            self.drop_row(id.0);
        }
    }

    fn drop_row(&mut self, id: u32) {
        let Some(row) = self.rows.remove(&id) else { return };
        let hash = list_hash(row.list.iter().map(entry_parts));
        if let Ok(entry) = self.by_list.find_entry(hash, |other| *other == id) {
            entry.remove();
        }
    }

    /// Every list with its number, in order of numbers.
    #[must_use]
    pub fn dump(&self) -> Vec<(i64, Arc<[AclEntry]>)> {
        let mut all: Vec<_> = self.rows.iter().map(|(id, row)| (i64::from(*id), row.list.clone())).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }

    /// Lists in the table.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// No list at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The number that a snapshot's number has here. Numbering goes on behind the highest one seen, even one
    /// whose list is missing, lest the next new list turn up at that node.
    pub(super) fn number(&mut self, disk: i64) -> AclId {
        match u32::try_from(disk) {
            Ok(id) if id > 0 && id < u32::MAX / 2 => {
                self.last = self.last.max(id);
                AclId(id)
            }
            _ if disk == -1 => AclId::OPEN,
            _ => {
                let next = self.last + 1;
                let id = *self.foreign.entry(disk).or_insert(next);
                self.last = self.last.max(id);
                AclId(id)
            }
        }
    }

    /// Takes a list from a snapshot's table, without any use yet.
    pub(super) fn load(&mut self, disk: i64, list: &[Acl<'_>]) {
        let AclId(id) = self.number(disk);
        if id != AclId::OPEN.0 {
            self.drop_row(id);
            self.put(id, list.iter().map(AclEntry::from_record).collect(), 0);
        }
    }

    /// Ends loading: drops lists that nobody uses.
    pub(super) fn finish_load(&mut self) {
        self.foreign = Map::default();
        let unused: Vec<u32> = self.rows.iter().filter(|(_, row)| row.uses == 0).map(|(id, _)| *id).collect();
        for id in unused {
            self.drop_row(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(perms: i32, id: &str) -> AclEntry {
        AclEntry { perms, scheme: "digest".into(), id: id.into() }
    }

    #[test]
    fn equal_lists_share_and_the_last_use_drops() {
        let mut table = AclTable::default();
        let (a, b) = (one(31, "a"), one(1, "b"));
        let first = table.intern(&[a.record(), b.record()]);
        assert_eq!((table.intern(&[a.record(), b.record()]), first.disk()), (first, 1));
        let other = table.intern(&[b.record(), a.record()]);
        assert_ne!(other, first, "order counts");
        table.release(first);
        assert_eq!(table.get(first).len(), 2);
        table.release(first);
        assert_eq!((table.len(), table.get(first)[0].perms), (1, 0), "gone: nobody passes");
        assert_eq!(table.intern(&[a.record(), b.record()]), AclId(3), "numbers are not used again");
    }

    #[test]
    fn the_open_list_of_built_in_nodes_is_apart() {
        let mut table = AclTable::default();
        assert_eq!((AclId::OPEN.disk(), table.number(-1)), (-1, AclId::OPEN));
        assert_eq!(table.intern(&[AclEntry::open().record()]).disk(), 1);
        assert_eq!(table.get(AclId::OPEN)[..], [AclEntry::open()]);
    }

    #[test]
    fn loading_keeps_numbers_and_drops_the_unused() {
        let mut table = AclTable::default();
        table.load(7, &[one(1, "x").record()]);
        table.load(9, &[one(1, "y").record()]);
        table.load(1 << 40, &[one(1, "z").record()]);
        table.retain(AclId(7));
        assert_eq!(table.number(1 << 40), table.number(1 << 40));
        assert_eq!(table.number(30), AclId(30), "named by a node, not in the map");
        table.finish_load();
        assert_eq!(table.dump().iter().map(|(id, _)| *id).collect::<Vec<_>>(), [7]);
        assert_eq!(table.intern(&[one(1, "x").record()]), AclId(7));
        assert_eq!(table.intern(&[one(1, "y").record()]), AclId(31));
    }
}
