//! Time, as it is handed in. Nothing behind the server room reads a clock.

/// A span or a point on the monotonic clock, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Millis(pub i64);

/// The two clocks at one moment: order and time-outs use `mono`, transaction headers carry `wall`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Monotonic, from an arbitrary start.
    pub mono: Millis,
    /// Milliseconds since 1970.
    pub wall: i64,
}
