//! Summaries: count, sum, extremes and percentiles of what is measured while serving.
//!
//! Atomics only: adding never waits and never allocates after its first time. A figure that is read while
//! others are added may be a moment old, and a sum one value ahead of its count; never more.

use super::java;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// Values kept for percentiles, as the reference's reservoir.
pub const RESERVOIR: usize = 4096;

/// What a summary has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Values.
    pub count: u64,
    /// Their sum.
    pub sum: i64,
    /// The smallest, 0 without any.
    pub min: i64,
    /// The largest, 0 without any.
    pub max: i64,
}

impl Totals {
    /// Their mean with four decimals, 0 without any.
    #[must_use]
    pub fn avg(&self) -> f64 {
        java::average(self.sum, self.count)
    }

    /// Together with those of another part.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self.count, other.count) {
            (0, _) => other,
            (_, 0) => self,
            _ => Self {
                count: self.count.wrapping_add(other.count),
                sum: self.sum.wrapping_add(other.sum),
                min: self.min.min(other.min),
                max: self.max.max(other.max),
            },
        }
    }
}

/// Count, sum and extremes.
#[derive(Debug)]
pub struct Summary {
    count: AtomicU64,
    sum: AtomicI64,
    min: AtomicI64,
    max: AtomicI64,
}

impl Default for Summary {
    fn default() -> Self {
        Self {
            count: AtomicU64::new(0),
            sum: AtomicI64::new(0),
            min: AtomicI64::new(i64::MAX),
            max: AtomicI64::new(i64::MIN),
        }
    }
}

impl Summary {
    /// One value.
    pub fn add(&self, value: i64) {
        self.add_many(value, 1);
    }

    /// The same value several times.
    pub fn add_many(&self, value: i64, times: u64) {
        let sum = value.wrapping_mul(times.cast_signed());
        self.merge(Totals { count: times, sum, min: value, max: value });
    }

    /// Values that were added up elsewhere.
    pub fn merge(&self, part: Totals) {
        if part.count == 0 {
            return;
        }
        self.count.fetch_add(part.count, Relaxed);
        if part.sum != 0 {
            self.sum.fetch_add(part.sum, Relaxed);
        }
        // Extremes hardly ever move, and a load is cheaper than a write that changes nothing.
        if part.min < self.min.load(Relaxed) {
            self.min.fetch_min(part.min, Relaxed);
        }
        if part.max > self.max.load(Relaxed) {
            self.max.fetch_max(part.max, Relaxed);
        }
    }

    /// What it has come to.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let (min, max) = (self.min.load(Relaxed), self.max.load(Relaxed));
        Totals {
            count: self.count.load(Relaxed),
            sum: self.sum.load(Relaxed),
            min: if min == i64::MAX { 0 } else { min },
            max: if max == i64::MIN { 0 } else { max },
        }
    }

    /// Begins anew.
    pub fn reset(&self) {
        self.count.store(0, Relaxed);
        self.sum.store(0, Relaxed);
        self.min.store(i64::MAX, Relaxed);
        self.max.store(i64::MIN, Relaxed);
    }
}

/// Percentiles of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quantiles {
    /// Half of the values are no larger.
    pub p50: i64,
    /// 95 of 100.
    pub p95: i64,
    /// 99 of 100.
    pub p99: i64,
    /// 999 of 1000.
    pub p999: i64,
}

/// A uniform sample of all values (algorithm R). Its slots come into being with the first value, so a measure
/// that this server never takes costs nothing.
#[derive(Debug, Default)]
pub struct Reservoir {
    seen: AtomicU64,
    slots: OnceLock<Box<[AtomicI64]>>,
}

/// Scatters a counter: which slot a value falls into must not follow its rhythm.
fn scatter(counter: u64) -> u64 {
    let mut z = counter.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Reservoir {
    fn slots(&self) -> &[AtomicI64] {
        self.slots.get_or_init(|| (0..RESERVOIR).map(|_| AtomicI64::new(0)).collect())
    }

    /// The same value several times. A large batch is drawn for once, with the odds of all its values.
    pub fn add_many(&self, value: i64, times: u64) {
        let capacity = RESERVOIR as u64;
        let before = self.seen.fetch_add(times, Relaxed);
        let slots = self.slots();
        let put = |at: u64| {
            if let Some(slot) = usize::try_from(at).ok().and_then(|at| slots.get(at)) {
                slot.store(value, Relaxed);
            }
        };
        let filling = times.min(capacity.saturating_sub(before));
        (before..before + filling).for_each(put);
        let left = times - filling;
        if left == 0 {
            return;
        }
        let seen = before.saturating_add(times);
        let random = scatter(seen);
        // On average `left * capacity / seen` of them stay: the whole part surely, the rest by chance.
        let (sure, odds) = ((left * capacity) / seen, (left * capacity) % seen);
        let staying = sure + u64::from(random % seen < odds);
        for n in 0..staying.min(capacity) {
            put(scatter(random.wrapping_add(n)) % capacity);
        }
    }

    /// Percentiles of what is in it.
    #[must_use]
    pub fn quantiles(&self) -> Quantiles {
        let kept = usize::try_from(self.seen.load(Relaxed)).unwrap_or(RESERVOIR).min(RESERVOIR);
        let Some(slots) = self.slots.get().filter(|_| kept > 0) else { return Quantiles::default() };
        let mut values: Vec<i64> = slots.iter().take(kept).map(|slot| slot.load(Relaxed)).collect();
        values.sort_unstable();
        let at = |per_mille| quantile(&values, per_mille);
        Quantiles { p50: at(500), p95: at(950), p99: at(990), p999: at(999) }
    }

    /// Begins anew.
    pub fn reset(&self) {
        self.seen.store(0, Relaxed);
    }
}

/// The value at `per_mille` of a sorted sample, between its neighbours by their distance, rounded half up.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "milliseconds and a few thousand"
)]
fn quantile(values: &[i64], per_mille: usize) -> i64 {
    let position = per_mille * (values.len() + 1);
    let (index, rest) = (position / 1000, position % 1000);
    let (Some(first), Some(last)) = (values.first(), values.last()) else { return 0 };
    match (index.checked_sub(1).and_then(|below| values.get(below)), values.get(index)) {
        (None, _) => *first,
        (_, None) => *last,
        (Some(lower), Some(upper)) => {
            let distance = upper.wrapping_sub(*lower) as f64 * rest as f64 / 1000.0;
            lower.wrapping_add((distance + 0.5).floor() as i64)
        }
    }
}

/// Count, sum, extremes and percentiles.
#[derive(Debug, Default)]
pub struct Percentiles {
    summary: Summary,
    reservoir: Reservoir,
}

impl Percentiles {
    /// One value.
    pub fn add(&self, value: i64) {
        self.add_many(value, 1);
    }

    /// The same value several times.
    pub fn add_many(&self, value: i64, times: u64) {
        if times > 0 {
            self.summary.add_many(value, times);
            self.reservoir.add_many(value, times);
        }
    }

    /// What it has come to.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.summary.totals()
    }

    /// Its percentiles.
    #[must_use]
    pub fn quantiles(&self) -> Quantiles {
        self.reservoir.quantiles()
    }

    /// Begins anew.
    pub fn reset(&self) {
        self.summary.reset();
        self.reservoir.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_ones_are_zero() {
        let p = Percentiles::default();
        assert_eq!((p.totals(), p.quantiles()), (Totals::default(), Quantiles::default()));
        p.add(-5);
        assert_eq!(p.totals(), Totals { count: 1, sum: -5, min: -5, max: -5 });
        p.reset();
        assert_eq!((p.totals(), p.quantiles()), (Totals::default(), Quantiles::default()));
    }

    #[test]
    fn few_values_are_all_kept() {
        let p = Percentiles::default();
        (1..=100).for_each(|v| p.add(v));
        // Positions 50.5, 95.95, 99.99 and beyond the end.
        assert_eq!(p.quantiles(), Quantiles { p50: 51, p95: 96, p99: 100, p999: 100 });
        assert_eq!(java::double(p.totals().avg()), "50.5");
        p.reset();
        p.add(7);
        assert_eq!(p.quantiles(), Quantiles { p50: 7, p95: 7, p99: 7, p999: 7 });
    }

    #[test]
    fn many_values_are_sampled_fairly() {
        for batch in [1, 64] {
            let p = Percentiles::default();
            // Nine of ten are 1, the last tenth, all of it late, is 100.
            (0..90_000 / batch).for_each(|_| p.add_many(1, batch));
            (0..10_000 / batch).for_each(|_| p.add_many(100, batch));
            let slots = p.reservoir.slots();
            let large = slots.iter().filter(|slot| slot.load(Relaxed) == 100).count();
            assert!((330..490).contains(&large), "{large} of 4096 in batches of {batch}");
            assert_eq!((p.quantiles().p50, p.quantiles().p95), (1, 100));
        }
    }

    #[test]
    fn parts_add_up() {
        let (a, b) =
            (Totals { count: 2, sum: 5, min: 1, max: 4 }, Totals { count: 1, sum: -1, min: -1, max: -1 });
        assert_eq!(a.and(b), Totals { count: 3, sum: 4, min: -1, max: 4 });
        assert_eq!((a.and(Totals::default()), Totals::default().and(b)), (a, b));
    }
}
