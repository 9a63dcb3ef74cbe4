//! The tables behind the lock: paths by number, watchers of each path, paths of each watcher.
//!
//! Invariants: a path has a row exactly while somebody watches it; a watcher's reverse list names a path
//! exactly once while it has a watch there in either table; the counts agree with the rows.

use super::{Mode, Table, WatcherId};
use crate::state::{Map, Set};
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};

/// Watchers of a path in one table, with the bits of their modes. Most paths have one or none.
#[derive(Debug, Default)]
#[expect(clippy::box_collection, reason = "two words for each table of a path, for most have one watcher")]
enum Watchers {
    #[default]
    None,
    One(u32, u8),
    Many(Box<BTreeMap<u32, u8>>),
}

impl Watchers {
    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(..) => 1,
            Self::Many(all) => all.len(),
        }
    }

    fn modes(&self, watcher: u32) -> u8 {
        match self {
            Self::One(w, modes) if *w == watcher => *modes,
            Self::Many(all) => all.get(&watcher).copied().unwrap_or(0),
            _ => 0,
        }
    }

    fn set(&mut self, watcher: u32, modes: u8) {
        match self {
            Self::One(w, m) if *w != watcher && modes != 0 => {
                *self = Self::Many(Box::new(BTreeMap::from([(*w, *m), (watcher, modes)])));
            }
            Self::One(w, _) if *w != watcher => {}
            Self::None | Self::One(..) => {
                *self = if modes == 0 { Self::None } else { Self::One(watcher, modes) };
            }
            Self::Many(all) => {
                if modes == 0 {
                    all.remove(&watcher);
                } else {
                    all.insert(watcher, modes);
                }
                match all.first_key_value() {
                    None => *self = Self::None,
                    Some((&w, &m)) if all.len() == 1 => *self = Self::One(w, m),
                    Some(_) => {}
                }
            }
        }
    }

    fn for_each(&self, mut f: impl FnMut(u32, u8)) {
        match self {
            Self::None => {}
            Self::One(w, m) => f(*w, *m),
            Self::Many(all) => all.iter().for_each(|(w, m)| f(*w, *m)),
        }
    }
}

#[derive(Debug)]
struct Row {
    path: Box<str>,
    data: Watchers,
    child: Watchers,
}

impl Row {
    fn side(&mut self, table: Table) -> &mut Watchers {
        match table {
            Table::Data => &mut self.data,
            Table::Child => &mut self.child,
        }
    }
}

/// Paths of a watcher.
#[derive(Debug)]
enum Paths {
    One(u32),
    Many(Box<Set<u32>>),
}

#[derive(Debug)]
struct Watcher {
    paths: Paths,
    /// How many of them in the data table.
    data: u32,
}

#[derive(Debug)]
pub(super) struct Inner {
    rows: slab::Slab<Row>,
    index: HashTable<u32>,
    hasher: FixedState,
    watchers: Map<u32, Watcher>,
    /// Pairs by table, paths and watchers of the data table, recursive registrations.
    data_pairs: usize,
    child_pairs: usize,
    data_paths: usize,
    data_watchers: usize,
    recursive: usize,
}

impl Inner {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rows: slab::Slab::new(),
            index: HashTable::new(),
            hasher: FixedState::with_seed(seed),
            watchers: Map::default(),
            data_pairs: 0,
            child_pairs: 0,
            data_paths: 0,
            data_watchers: 0,
            recursive: 0,
        }
    }

    /// What all rows and lists take, but for the rounding of the allocator. Boxed sets of a row count as their pairs.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let row = |row: &Row| row.path.len() + (row.data.len() + row.child.len()).saturating_sub(1) * 8;
        let rows: usize = self.rows.iter().map(|(_, r)| row(r)).sum();
        let paths = |w: &Watcher| match &w.paths {
            Paths::One(_) => 0,
            // One byte of control for each bucket.
            Paths::Many(all) => (all.capacity() * 8 / 7).next_power_of_two() * (size_of::<u32>() + 1),
        };
        let watchers: usize = self.watchers.values().map(|w| size_of::<Watcher>() + paths(w)).sum();
        self.rows.capacity() * (size_of::<Row>() + size_of::<usize>())
            + rows
            + self.index.allocation_size()
            + watchers
    }

    pub(super) fn total(&self) -> usize {
        self.data_pairs + self.child_pairs
    }

    fn hash(&self, path: &str) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(path.as_bytes());
        hasher.finish()
    }

    fn find(&self, path: &str) -> Option<u32> {
        let same = |id: &u32| self.rows.get(*id as usize).is_some_and(|row| &*row.path == path);
        self.index.find(self.hash(path), same).copied()
    }

    fn intern(&mut self, path: &str) -> u32 {
        if let Some(id) = self.find(path) {
            return id;
        }
        let row = Row { path: path.into(), data: Watchers::None, child: Watchers::None };
        // Each row costs far more than a byte, so there are never 2^32 of them.
        let id = self.rows.insert(row) as u32;
        let (hash, rows, hasher) = (self.hash(path), &self.rows, &self.hasher);
        self.index.insert_unique(hash, id, |id| {
            let mut state = hasher.build_hasher();
            state.write(rows.get(*id as usize).map_or(&[], |row| row.path.as_bytes()));
            state.finish()
        });
        id
    }

    pub(super) fn modes(&self, watcher: u32, path: &str, table: Table) -> u8 {
        let row = self.find(path).and_then(|id| self.rows.get(id as usize));
        row.map_or(0, |row| match table {
            Table::Data => row.data.modes(watcher),
            Table::Child => row.child.modes(watcher),
        })
    }

    pub(super) fn add(&mut self, watcher: u32, path: &str, table: Table, modes: u8) {
        let id = self.intern(path);
        let held = self.modes_at(id, watcher, table);
        self.set(id, watcher, table, held | modes);
    }

    /// Takes modes away; were there any of them?
    pub(super) fn remove(&mut self, watcher: u32, path: &str, table: Table, modes: u8) -> bool {
        let Some(id) = self.find(path) else { return false };
        let held = self.modes_at(id, watcher, table);
        self.set(id, watcher, table, held & !modes);
        held & modes != 0
    }

    fn modes_at(&self, id: u32, watcher: u32, table: Table) -> u8 {
        self.rows.get(id as usize).map_or(0, |row| match table {
            Table::Data => row.data.modes(watcher),
            Table::Child => row.child.modes(watcher),
        })
    }

    /// The one place that changes rows, and with them counts and reverse lists.
    fn set(&mut self, id: u32, watcher: u32, table: Table, modes: u8) {
        let Some(row) = self.rows.get_mut(id as usize) else { return };
        let elsewhere = match table {
            Table::Data => row.child.modes(watcher),
            Table::Child => row.data.modes(watcher),
        };
        let side = row.side(table);
        let held = side.modes(watcher);
        if held == modes {
            return;
        }
        let before = side.len();
        side.set(watcher, modes);
        let after = side.len();
        let empty = row.data.len() + row.child.len() == 0;
        let recursive = Mode::Recursive as u8;
        match (held & recursive != 0, modes & recursive != 0) {
            (false, true) => self.recursive += 1,
            (true, false) => self.recursive -= 1,
            _ => {}
        }
        if table == Table::Data {
            self.data_pairs = self.data_pairs + after - before;
            self.data_paths = self.data_paths + usize::from(after > 0) - usize::from(before > 0);
        } else {
            self.child_pairs = self.child_pairs + after - before;
        }
        self.note(id, watcher, table, (held != 0, modes != 0), elsewhere != 0);
        if empty {
            self.forget(id);
        }
    }

    /// Keeps the reverse list: `(was, is)` watched in this table, and `elsewhere` in the other one.
    fn note(&mut self, id: u32, watcher: u32, table: Table, (was, is): (bool, bool), elsewhere: bool) {
        if was == is {
            return;
        }
        if is {
            let entry = self.watchers.entry(watcher).or_insert(Watcher { paths: Paths::One(id), data: 0 });
            match &mut entry.paths {
                Paths::One(one) if *one == id => {}
                Paths::One(one) => entry.paths = Paths::Many(Box::new([*one, id].into_iter().collect())),
                Paths::Many(all) => _ = all.insert(id),
            }
            if table == Table::Data {
                self.data_watchers += usize::from(entry.data == 0);
                entry.data += 1;
            }
            return;
        }
        let Some(entry) = self.watchers.get_mut(&watcher) else { return };
        if table == Table::Data {
            entry.data -= 1;
            self.data_watchers -= usize::from(entry.data == 0);
        }
        if !elsewhere {
            let gone = match &mut entry.paths {
                Paths::One(_) => true,
                Paths::Many(all) => {
                    all.remove(&id);
                    all.is_empty()
                }
            };
            if gone {
                self.watchers.remove(&watcher);
            }
        }
    }

    fn forget(&mut self, id: u32) {
        let Some(row) = self.rows.try_remove(id as usize) else { return };
        if let Ok(entry) = self.index.find_entry(self.hash(&row.path), |other| *other == id) {
            entry.remove();
        }
    }

    pub(super) fn fire(&mut self, table: Table, path: &str, out: &mut Vec<WatcherId>) {
        if let Some(id) = self.find(path) {
            self.fire_at(id, table, out);
        }
        // Only data look-ups meet recursive watches: none is ever in the child table.
        if table == Table::Child || self.recursive == 0 {
            return;
        }
        let mut at = path;
        while let Some((parent, name)) = at.rsplit_once('/') {
            if parent.is_empty() && name.is_empty() {
                return;
            }
            at = parent;
            self.covers(if at.is_empty() { "/" } else { at }, out);
        }
    }

    fn covers(&self, ancestor: &str, out: &mut Vec<WatcherId>) {
        let Some(row) = self.find(ancestor).and_then(|id| self.rows.get(id as usize)) else { return };
        row.data.for_each(|watcher, modes| {
            if modes & Mode::Recursive as u8 != 0 {
                out.push(WatcherId(watcher));
            }
        });
    }

    fn fire_at(&mut self, id: u32, table: Table, out: &mut Vec<WatcherId>) {
        let Some(row) = self.rows.get_mut(id as usize) else { return };
        let mut used_up = Vec::new();
        row.side(table).for_each(|watcher, modes| {
            out.push(WatcherId(watcher));
            if modes & Mode::Standard as u8 != 0 {
                used_up.push((watcher, modes & !(Mode::Standard as u8)));
            }
        });
        for (watcher, rest) in used_up {
            self.set(id, watcher, table, rest);
        }
    }

    pub(super) fn drop_watcher(&mut self, watcher: u32) {
        let Some(entry) = self.watchers.get(&watcher) else { return };
        let ids: Vec<u32> = match &entry.paths {
            Paths::One(one) => vec![*one],
            Paths::Many(all) => all.iter().copied().collect(),
        };
        for id in ids {
            self.set(id, watcher, Table::Data, 0);
            self.set(id, watcher, Table::Child, 0);
        }
    }

    pub(super) fn counts(&self) -> super::WatchCounts {
        super::WatchCounts {
            total: self.total(),
            data: self.data_pairs,
            data_watchers: self.data_watchers,
            data_paths: self.data_paths,
        }
    }

    pub(super) fn by_path(&self) -> Vec<(Box<str>, Vec<WatcherId>)> {
        let of = |row: &Row| {
            let mut watchers = Vec::with_capacity(row.data.len());
            row.data.for_each(|watcher, _| watchers.push(WatcherId(watcher)));
            watchers
        };
        let rows = self.rows.iter().filter(|(_, row)| row.data.len() > 0);
        rows.map(|(_, row)| (row.path.clone(), of(row))).collect()
    }

    pub(super) fn by_watcher(&self) -> Vec<(u32, Vec<Box<str>>)> {
        let mut all: Map<u32, Vec<Box<str>>> = Map::default();
        for (_, row) in &self.rows {
            row.data.for_each(|watcher, _| all.entry(watcher).or_default().push(row.path.clone()));
        }
        all.values_mut().for_each(|paths| paths.sort_unstable());
        all.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_behind() {
        let mut t = Inner::new(3);
        for watcher in 0..20 {
            for path in 0..watcher {
                t.add(watcher, &format!("/p/{path}"), Table::Data, 1);
                t.add(watcher, &format!("/p/{path}"), Table::Child, 1 | 4);
            }
        }
        assert_eq!((t.data_pairs, t.child_pairs, t.data_paths, t.data_watchers), (190, 190, 19, 19));
        let mut out = Vec::new();
        t.fire(Table::Data, "/p/3", &mut out);
        assert_eq!((out.len(), t.data_pairs, t.data_paths), (16, 174, 18));
        for watcher in 0..20 {
            t.drop_watcher(watcher);
        }
        assert_eq!((t.total(), t.data_paths, t.data_watchers, t.recursive), (0, 0, 0, 0));
        assert!(t.rows.is_empty() && t.index.is_empty() && t.watchers.is_empty());
    }
}
