//! The only clocks of the server. Everything else is told what time it is.

use crate::types::{Millis, Now};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Both clocks. The monotonic one starts at the time since boot, as the reference's does, so that figures
/// which are printed from it look alike.
#[derive(Debug)]
pub struct Clock {
    start: Instant,
    offset: i64,
}

impl Clock {
    /// Starts.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn start() -> Self {
        let boot = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let offset = boot.tv_sec.saturating_mul(1000).saturating_add(boot.tv_nsec / 1_000_000);
        Self { start: Instant::now(), offset }
    }

    /// The monotonic clock.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn mono(&self) -> Millis {
        let elapsed = Instant::now().saturating_duration_since(self.start).as_millis();
        Millis(i64::try_from(elapsed).unwrap_or(i64::MAX).saturating_add(self.offset))
    }

    /// Both clocks.
    #[must_use]
    pub fn now(&self) -> Now {
        Now { mono: self.mono(), wall: wall() }
    }
}

/// Milliseconds since 1970.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn wall() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}
