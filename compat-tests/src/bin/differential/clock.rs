//! The runner's clock: the one place that reads it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Now, for deadlines.
#[expect(clippy::disallowed_methods, reason = "the runner talks to real servers and bounds every wait")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Now, in the milliseconds of a stat.
#[expect(clippy::disallowed_methods, reason = "times in replies are checked against the real day")]
pub(crate) fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
