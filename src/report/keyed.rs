//! Summaries by key, where the keys come up while serving: namespaces, learners.

use super::summary::{Percentiles, Quantiles, Summary, Totals};
use hashbrown::HashMap;
use parking_lot::RwLock;
use std::sync::Arc;

/// Keys at most. Each shows as five lines of `mntr`; beyond this many nobody reads them, and a client that
/// creates top-level nodes without end must not cost memory after they are gone.
pub const KEYS: usize = 10_000;

/// Learners at most, as many as may be connected at a time. The percentiles of each hold 32 KiB, and a stranger at the
/// port can give any id.
pub const LEARNERS: usize = 1000;

/// One value per key, made when the key first comes up, and for no more than so many keys.
#[derive(Debug)]
pub struct Keyed<T, const MOST: usize = KEYS> {
    by_key: RwLock<HashMap<Box<str>, Arc<T>>>,
}

impl<T, const MOST: usize> Default for Keyed<T, MOST> {
    fn default() -> Self {
        Self { by_key: RwLock::default() }
    }
}

impl<T: Default, const MOST: usize> Keyed<T, MOST> {
    /// Runs `f` with the value of this key. A new key is left out once there are as many as may be.
    pub fn with(&self, key: &str, f: impl FnOnce(&T)) {
        if let Some(value) = self.by_key.read().get(key) {
            return f(value);
        }
        let mut by_key = self.by_key.write();
        if by_key.len() < MOST || by_key.contains_key(key) {
            f(by_key.entry(key.into()).or_default());
        }
    }

    /// Every key with its value, in order of keys.
    #[must_use]
    pub fn all(&self) -> Vec<(Box<str>, Arc<T>)> {
        let mut all: Vec<_> =
            self.by_key.read().iter().map(|(key, value)| (key.clone(), Arc::clone(value))).collect();
        all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        all
    }
}

impl<const MOST: usize> Keyed<Summary, MOST> {
    /// What each has come to.
    #[must_use]
    pub fn totals(&self) -> Vec<(Box<str>, Totals)> {
        self.all().into_iter().map(|(key, summary)| (key, summary.totals())).collect()
    }

    /// Begins anew; the keys stay.
    pub fn reset(&self) {
        self.by_key.read().values().for_each(|summary| summary.reset());
    }
}

impl<const MOST: usize> Keyed<Percentiles, MOST> {
    /// What each has come to.
    #[must_use]
    pub fn totals(&self) -> Vec<(Box<str>, (Totals, Quantiles))> {
        self.all().into_iter().map(|(key, p)| (key, (p.totals(), p.quantiles()))).collect()
    }

    /// Begins anew; the keys stay.
    pub fn reset(&self) {
        self.by_key.read().values().for_each(|percentiles| percentiles.reset());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_bounded_and_outlive_a_reset() {
        let keyed: Keyed<Summary> = Keyed::default();
        keyed.with("app", |s| s.add(7));
        for n in 0..KEYS + 10 {
            keyed.with(&n.to_string(), |s| s.add(1));
        }
        keyed.with("app", |s| s.add(1));
        assert_eq!(keyed.all().len(), KEYS);
        let app = |k: &Keyed<Summary>| k.totals().into_iter().find(|t| &*t.0 == "app").unwrap().1;
        assert_eq!(app(&keyed), Totals { count: 2, sum: 8, min: 1, max: 7 });
        keyed.reset();
        assert_eq!(app(&keyed), Totals::default());
        let few: Keyed<Percentiles, 1> = Keyed::default();
        ["1", "2", "1"].iter().for_each(|key| few.with(key, |p| p.add(4)));
        let quantiles = Quantiles { p50: 4, p95: 4, p99: 4, p999: 4 };
        assert_eq!(few.totals(), [("1".into(), (Totals { count: 2, sum: 8, min: 4, max: 4 }, quantiles))]);
        few.reset();
        assert_eq!(few.totals(), [("1".into(), Default::default())]);
    }
}
