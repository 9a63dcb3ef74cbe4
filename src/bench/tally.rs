//! What was counted: latencies in histograms, faults by kind.

use hdrhistogram::Histogram;
use jute::ErrorCode;
use std::collections::BTreeMap;

/// Longest latency that is told apart from longer ones: one minute.
const LONGEST: u64 = 60_000_000_000;

/// Latencies of one kind of operation, in nanoseconds, within 0.1 percent.
#[derive(Debug, Clone)]
pub(super) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(super) fn new() -> Self {
        let bounded = Histogram::new_with_bounds(1, LONGEST, 3);
        // These bounds are valid; were they not, an empty auto-sized one still counts right.
        let histogram = bounded.or_else(|_| Histogram::new(3));
        Self(histogram.unwrap_or_else(|_| unreachable!("three digits are allowed")))
    }

    /// Counts `n` operations that took so long.
    #[inline]
    pub(super) fn record(&mut self, nanos: u64, n: u64) {
        self.0.saturating_record_n(nanos.max(1), n);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        // Both have the same bounds, so adding cannot fail.
        let _ = self.0.add(&other.0);
    }

    #[cfg(test)]
    fn count(&self) -> u64 {
        self.0.len()
    }

    /// Microseconds that this share of operations (0 to 1) did not exceed.
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    pub(super) fn micros_at(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1e3
    }

    pub(super) fn mean_micros(&self) -> f64 {
        self.0.mean() / 1e3
    }

    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    pub(super) fn max_micros(&self) -> f64 {
        self.0.max() as f64 / 1e3
    }
}

/// Everything that went wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Faults {
    /// Replies with an error, by code.
    pub(super) errors: BTreeMap<i32, u64>,
    /// Replies whose xid was not the one due, and bytes that are no reply.
    pub(super) out_of_order: u64,
    /// Replies without error that had not the length they must have.
    pub(super) wrong_length: u64,
    /// Connections that ended before they should.
    pub(super) lost: u64,
    /// Requests that nobody answered in time.
    pub(super) unanswered: u64,
}

impl Faults {
    pub(super) fn merge(&mut self, other: &Self) {
        for (&code, &n) in &other.errors {
            self.error(code, n);
        }
        self.out_of_order += other.out_of_order;
        self.wrong_length += other.wrong_length;
        self.lost += other.lost;
        self.unanswered += other.unanswered;
    }

    pub(super) fn error(&mut self, code: i32, n: u64) {
        *self.errors.entry(code).or_insert(0) += n;
    }

    pub(super) fn total(&self) -> u64 {
        self.errors.values().sum::<u64>()
            + self.out_of_order
            + self.wrong_length
            + self.lost
            + self.unanswered
    }

    pub(super) fn is_clean(&self) -> bool {
        self.total() == 0
    }

    /// Every kind that happened, with its number.
    pub(super) fn named(&self) -> Vec<(String, u64)> {
        let errors = self.errors.iter().map(|(&code, &n)| {
            (ErrorCode::from_code(code).map_or_else(|| format!("error {code}"), |c| c.name().to_owned()), n)
        });
        let others = [
            ("out of order", self.out_of_order),
            ("wrong length", self.wrong_length),
            ("connections lost", self.lost),
            ("unanswered", self.unanswered),
        ];
        let others = others.into_iter().filter(|(_, n)| *n > 0).map(|(name, n)| (name.to_owned(), n));
        errors.chain(others).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_what_was_recorded() {
        let mut latencies = Latencies::new();
        for micros in 1..=1000u64 {
            latencies.record(micros * 1000, 1);
        }
        for (quantile, micros) in [(0.5, 500.0), (0.9, 900.0), (0.99, 990.0), (0.999, 999.0)] {
            let got = latencies.micros_at(quantile);
            assert!((got - micros).abs() <= micros * 0.002, "{quantile}: {got}");
        }
        assert!((latencies.max_micros() - 1000.0).abs() < 2.0);
        assert!((latencies.mean_micros() - 500.5).abs() < 1.0);
    }

    #[test]
    fn a_run_counts_as_many_and_two_halves_make_a_whole() {
        let (mut a, mut b) = (Latencies::new(), Latencies::new());
        a.record(1_000, 64);
        b.record(9_000, 36);
        a.merge(&b);
        assert_eq!(a.count(), 100);
        assert!(a.micros_at(0.6) < 1.1 && a.micros_at(0.7) > 8.9);
    }

    #[test]
    fn a_latency_beyond_the_bounds_is_counted_at_the_bound() {
        let mut latencies = Latencies::new();
        latencies.record(u64::MAX, 1);
        latencies.record(0, 1);
        assert_eq!(latencies.count(), 2);
        assert!(latencies.max_micros() >= 6e7);
    }

    #[test]
    fn any_fault_makes_a_run_unclean_and_has_a_name() {
        assert!(Faults::default().is_clean());
        let mut faults = Faults { lost: 2, ..Faults::default() };
        let mut other = Faults { wrong_length: 1, ..Faults::default() };
        other.error(ErrorCode::NoNode.code(), 3);
        other.error(-999, 1);
        faults.merge(&other);
        assert_eq!(faults.total(), 7);
        let names: Vec<String> = faults.named().into_iter().map(|(name, n)| format!("{name} {n}")).collect();
        assert_eq!(names, ["error -999 1", "NoNode 3", "wrong length 1", "connections lost 2"]);
    }
}
