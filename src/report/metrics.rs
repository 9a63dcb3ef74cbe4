//! What the registry has come to at one moment, grouped by kind, in the order in which it is shown.

use super::summary::{Quantiles, Totals};

/// Values by key.
pub type ByKey<T> = Vec<(Box<str>, T)>;

/// All metrics but the gauges.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metrics {
    /// Counters.
    pub counters: Vec<(&'static str, u64)>,
    /// Counters by key.
    pub counter_sets: Vec<(&'static str, ByKey<u64>)>,
    /// Summaries.
    pub summaries: Vec<(&'static str, Totals)>,
    /// Summaries with percentiles.
    pub percentiles: Vec<(&'static str, Totals, Quantiles)>,
    /// Summaries by key.
    pub keyed_summaries: Vec<(&'static str, ByKey<Totals>)>,
    /// Summaries with percentiles by key.
    pub keyed_percentiles: Vec<(&'static str, ByKey<(Totals, Quantiles)>)>,
}
