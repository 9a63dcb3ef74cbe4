//! Who wants to hear about which path. Two tables, as in the reference: data and children.
//!
//! Behind one small lock of its own, taken last. Registrations happen under a shared read of the tree, so
//! none can slip between a look and a change; firing happens under the exclusive one.

mod table;

use jute::WatcherType;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use table::Inner;

/// A connection, as the server numbers it. A number may be used again once its watches were dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WatcherId(pub u32);

/// How long a watch lasts and what it covers. One connection may have several on a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// Fires once.
    Standard = 1,
    /// Stays, for this path.
    Persistent = 2,
    /// Stays, for this path and all below it.
    Recursive = 4,
}

/// Which table a look-up goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// Data and existence.
    Data,
    /// Children.
    Child,
}

/// Numbers about watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WatchCounts {
    /// Pairs of connection and path, both tables: `watch_count`.
    pub total: usize,
    /// Pairs in the data table: `Total watches` of wchs.
    pub data: usize,
    /// Connections in the data table.
    pub data_watchers: usize,
    /// Paths in the data table.
    pub data_paths: usize,
}

/// All watches of a server.
#[derive(Debug)]
pub struct Watches {
    inner: Mutex<Inner>,
    /// Pairs in the data and in the child table; lets a write see without the lock that nobody listens.
    total: AtomicUsize,
}

impl Watches {
    /// See [`Inner::bytes`].
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.inner.lock().bytes()
    }

    /// None yet. `seed` keeps clients from choosing colliding paths.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { inner: Mutex::new(Inner::new(seed)), total: AtomicUsize::new(0) }
    }

    fn with<R>(&self, f: impl FnOnce(&mut Inner) -> R) -> R {
        let mut inner = self.inner.lock();
        let result = f(&mut inner);
        self.total.store(inner.total(), Ordering::Release);
        result
    }

    /// Registers. Twice is once.
    pub fn add(&self, watcher: WatcherId, path: &str, table: Table, mode: Mode) {
        self.with(|inner| inner.add(watcher.0, path, table, mode as u8));
    }

    /// addWatch with mode 0.
    pub fn add_persistent(&self, watcher: WatcherId, path: &str) {
        self.with(|inner| {
            inner.add(watcher.0, path, Table::Data, Mode::Persistent as u8);
            inner.add(watcher.0, path, Table::Child, Mode::Persistent as u8);
        });
    }

    /// addWatch with mode 1.
    pub fn add_recursive(&self, watcher: WatcherId, path: &str) {
        self.add(watcher, path, Table::Data, Mode::Recursive);
    }

    /// checkWatches: is there one of this kind?
    #[must_use]
    pub fn check(&self, watcher: WatcherId, path: &str, kind: WatcherType) -> bool {
        let inner = self.inner.lock();
        let modes = |table| inner.modes(watcher.0, path, table);
        match kind {
            WatcherType::Children => modes(Table::Child) & Mode::Standard as u8 != 0,
            WatcherType::Data => modes(Table::Data) & Mode::Standard as u8 != 0,
            WatcherType::Persistent => modes(Table::Data) & Mode::Persistent as u8 != 0,
            WatcherType::PersistentRecursive => modes(Table::Data) & Mode::Recursive as u8 != 0,
            WatcherType::Any => modes(Table::Data) | modes(Table::Child) != 0,
        }
    }

    /// removeWatches: was there one of this kind?
    pub fn remove(&self, watcher: WatcherId, path: &str, kind: WatcherType) -> bool {
        self.with(|inner| {
            let mut take = |table, modes| inner.remove(watcher.0, path, table, modes);
            match kind {
                WatcherType::Children => take(Table::Child, Mode::Standard as u8),
                WatcherType::Data => take(Table::Data, Mode::Standard as u8),
                WatcherType::Persistent => {
                    let data = take(Table::Data, Mode::Persistent as u8);
                    take(Table::Child, Mode::Persistent as u8) || data
                }
                WatcherType::PersistentRecursive => take(Table::Data, Mode::Recursive as u8),
                WatcherType::Any => {
                    let data = take(Table::Data, u8::MAX);
                    take(Table::Child, u8::MAX) || data
                }
            }
        })
    }

    /// One look-up: puts into `out` every watcher of this path once, in order of numbers, and uses up the
    /// one-shot watches. Those in `told` (sorted) were notified of the same change already.
    pub fn fire(&self, table: Table, path: &str, told: &[WatcherId], out: &mut Vec<WatcherId>) {
        out.clear();
        if self.total.load(Ordering::Acquire) == 0 {
            return;
        }
        self.with(|inner| inner.fire(table, path, out));
        out.sort_unstable();
        out.dedup();
        if !told.is_empty() {
            out.retain(|watcher| told.binary_search(watcher).is_err());
        }
    }

    /// The connection is gone, and its watches with it.
    pub fn drop_watcher(&self, watcher: WatcherId) {
        if self.total.load(Ordering::Acquire) != 0 {
            self.with(|inner| inner.drop_watcher(watcher.0));
        }
    }

    /// Numbers.
    #[must_use]
    pub fn counts(&self) -> WatchCounts {
        self.inner.lock().counts()
    }

    /// Paths of the data table by connection, both in order: wchc.
    #[must_use]
    pub fn by_watcher(&self) -> Vec<(WatcherId, Vec<Box<str>>)> {
        let mut all = self.inner.lock().by_watcher();
        all.sort_unstable();
        all.into_iter().map(|(watcher, paths)| (WatcherId(watcher), paths)).collect()
    }

    /// Connections of the data table by path, both in order: wchp.
    #[must_use]
    pub fn by_path(&self) -> Vec<(Box<str>, Vec<WatcherId>)> {
        let mut all = self.inner.lock().by_path();
        all.sort_unstable();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: WatcherId = WatcherId(1);
    const B: WatcherId = WatcherId(2);

    fn fired(w: &Watches, table: Table, path: &str) -> Vec<u32> {
        let mut out = Vec::new();
        w.fire(table, path, &[], &mut out);
        out.iter().map(|w| w.0).collect()
    }

    #[test]
    fn one_shots_fire_once_and_persistent_ones_stay() {
        let w = Watches::new(1);
        w.add(A, "/a", Table::Data, Mode::Standard);
        w.add(A, "/a", Table::Data, Mode::Standard);
        w.add_persistent(A, "/a");
        w.add(B, "/a", Table::Data, Mode::Standard);
        assert_eq!(w.counts(), WatchCounts { total: 3, data: 2, data_watchers: 2, data_paths: 1 });
        assert_eq!(fired(&w, Table::Data, "/a"), [1, 2], "once for each, modes or not");
        assert_eq!(fired(&w, Table::Data, "/a"), [1]);
        assert_eq!(fired(&w, Table::Child, "/a"), [1]);
        assert_eq!(fired(&w, Table::Data, "/b"), [0; 0]);
        w.drop_watcher(A);
        w.drop_watcher(B);
        assert_eq!(w.counts(), WatchCounts::default());
        assert_eq!(fired(&w, Table::Data, "/a"), [0; 0]);
    }

    #[test]
    fn recursive_ones_hear_of_everything_below_but_not_of_children() {
        let w = Watches::new(1);
        w.add_recursive(A, "/");
        w.add_recursive(B, "/a");
        for path in ["/a", "/a/b", "/a/b/c"] {
            assert_eq!(fired(&w, Table::Data, path), [1, 2], "{path}");
            assert_eq!(fired(&w, Table::Child, path), [0; 0], "{path}");
        }
        assert_eq!(fired(&w, Table::Data, "/ab"), [1]);
        assert_eq!(fired(&w, Table::Data, "/"), [1]);
        w.add_recursive(A, "/a");
        w.add(A, "/a/b", Table::Data, Mode::Standard);
        assert_eq!(fired(&w, Table::Data, "/a/b"), [1, 2], "three reasons, one event");
        assert!(w.remove(A, "/a", WatcherType::Any));
        assert!(w.remove(A, "/", WatcherType::PersistentRecursive));
        assert!(w.remove(B, "/a", WatcherType::Any));
        assert_eq!(fired(&w, Table::Data, "/a/b"), [0; 0]);
    }

    #[test]
    fn who_was_told_is_not_told_again_but_used_up() {
        let w = Watches::new(1);
        w.add(A, "/a", Table::Child, Mode::Standard);
        w.add(B, "/a", Table::Child, Mode::Standard);
        let mut out = Vec::new();
        w.fire(Table::Child, "/a", &[A], &mut out);
        assert_eq!(out, [B]);
        assert_eq!(w.counts().total, 0);
    }

    #[test]
    fn kinds_are_told_apart() {
        use WatcherType as K;
        let w = Watches::new(1);
        let held = |w: &Watches| K::ALL.iter().filter(|k| w.check(A, "/a", **k)).copied().collect::<Vec<_>>();
        assert_eq!(held(&w), []);
        w.add(A, "/a", Table::Child, Mode::Standard);
        assert_eq!(held(&w), [K::Children, K::Any]);
        w.add(A, "/a", Table::Data, Mode::Standard);
        w.add_persistent(A, "/a");
        w.add_recursive(A, "/a");
        assert_eq!(held(&w), [K::Children, K::Data, K::Any, K::Persistent, K::PersistentRecursive]);
        assert!(!w.check(B, "/a", K::Any) && !w.remove(B, "/a", K::Any) && !w.remove(A, "/b", K::Any));
        assert!(w.remove(A, "/a", K::Data) && !w.remove(A, "/a", K::Data));
        assert_eq!(held(&w), [K::Children, K::Any, K::Persistent, K::PersistentRecursive]);
        assert!(w.remove(A, "/a", K::Persistent));
        assert_eq!(held(&w), [K::Children, K::Any, K::PersistentRecursive]);
        assert!(w.remove(A, "/a", K::Children));
        assert!(w.remove(A, "/a", K::Any));
        assert_eq!((held(&w), w.counts()), (vec![], WatchCounts::default()));
    }

    #[test]
    fn dumps_show_the_data_table() {
        let w = Watches::new(1);
        w.add(B, "/x", Table::Data, Mode::Standard);
        w.add(A, "/x", Table::Data, Mode::Standard);
        w.add(A, "/a", Table::Data, Mode::Standard);
        w.add(A, "/c", Table::Child, Mode::Standard);
        assert_eq!(w.by_watcher(), [(A, vec!["/a".into(), "/x".into()]), (B, vec!["/x".into()])]);
        assert_eq!(w.by_path(), [("/a".into(), vec![A]), ("/x".into(), vec![A, B])]);
        assert_eq!(w.counts(), WatchCounts { total: 4, data: 3, data_watchers: 2, data_paths: 2 });
    }
}
