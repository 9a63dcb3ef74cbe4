//! The benchmark's clock: nanoseconds since it began, monotonic.

use std::time::{Duration, Instant};

/// Nanoseconds of one second.
pub(super) const SECOND: u64 = 1_000_000_000;

/// A start to count from; copies count from the same start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock(Instant);

impl Clock {
    /// Starts.
    #[expect(clippy::disallowed_methods, reason = "this is the benchmark's clock; measuring is its purpose")]
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    /// Nanoseconds since the start.
    #[expect(clippy::disallowed_methods, reason = "this is the benchmark's clock; measuring is its purpose")]
    pub(super) fn now(self) -> u64 {
        u64::try_from(Instant::now().saturating_duration_since(self.0).as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Nanoseconds of a number of seconds.
pub(super) fn nanos(seconds: f64) -> u64 {
    u64::try_from(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX).as_nanos())
        .unwrap_or(u64::MAX)
}

/// Seconds of a number of nanoseconds.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
pub(super) fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}
