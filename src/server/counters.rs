//! What is counted while serving. Plain atomics: a figure may be a moment old, never wrong by more.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// Counters of the whole server.
#[derive(Debug, Default)]
pub struct Counters {
    /// Frames received since start or `srst`.
    pub packets_received: AtomicU64,
    /// Frames sent since start or `srst`.
    pub packets_sent: AtomicU64,
    /// Bytes received.
    pub bytes_received: AtomicU64,
    /// Bytes of replies.
    pub response_bytes: AtomicU64,
    /// Bytes of events.
    pub watch_bytes: AtomicU64,
    /// Smallest latency, ms.
    pub min_latency: AtomicI64,
    /// Largest latency, ms.
    pub max_latency: AtomicI64,
    /// Sum of latencies, ms.
    pub total_latency: AtomicI64,
    /// Replies in that sum.
    pub replies: AtomicU64,
    /// Size of the last reply; -1 before the first.
    pub last_response: AtomicI64,
    /// Size of the smallest reply.
    pub min_response: AtomicI64,
    /// Size of the largest reply.
    pub max_response: AtomicI64,
    /// Writes that changed something for a client of this server.
    pub updates: AtomicU64,
    /// Greetings.
    pub connection_requests: AtomicU64,
    /// Greetings that bring a session back.
    pub connection_revalidates: AtomicU64,
    /// Connections refused by limits or throttle.
    pub connections_rejected: AtomicU64,
    /// Connections whose client went away.
    pub connections_dropped: AtomicU64,
    /// Connections closed for having no session.
    pub sessionless_connections_expired: AtomicU64,
    /// Sessions that expired.
    pub stale_sessions_expired: AtomicU64,
    /// Snapshots written.
    pub snapshots: AtomicU64,
    /// addauth that failed.
    pub auth_failed: AtomicU64,
}

impl Counters {
    /// All zero, sizes unknown.
    #[must_use]
    pub fn new() -> Self {
        let counters = Self::default();
        counters.reset();
        counters
    }

    /// `count` replies of `bytes` in all went out, `latency` ms after their requests.
    pub fn replied(&self, latency: i64, count: u64, bytes: u64) {
        self.packets_sent.fetch_add(count, Relaxed);
        self.response_bytes.fetch_add(bytes, Relaxed);
        let latency = latency.max(0);
        if self.replies.fetch_add(count, Relaxed) == 0 || latency < self.min_latency.load(Relaxed) {
            self.min_latency.store(latency, Relaxed);
        }
        if latency > 0 {
            self.total_latency.fetch_add(latency.saturating_mul(count.cast_signed()), Relaxed);
            self.max_latency.fetch_max(latency, Relaxed);
        }
        let size = i64::try_from(bytes.checked_div(count).unwrap_or(0)).unwrap_or(i64::MAX);
        self.last_response.store(size, Relaxed);
        if size > self.max_response.load(Relaxed) {
            self.max_response.store(size, Relaxed);
        }
        let min = self.min_response.load(Relaxed);
        if min < 0 || size < min {
            self.min_response.store(size, Relaxed);
        }
    }

    /// An event of this size went out.
    pub fn notified(&self, bytes: usize) {
        self.packets_sent.fetch_add(1, Relaxed);
        self.watch_bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// `srst`.
    pub fn reset(&self) {
        for counter in [&self.packets_received, &self.packets_sent, &self.replies] {
            counter.store(0, Relaxed);
        }
        for counter in [&self.min_latency, &self.max_latency, &self.total_latency] {
            counter.store(0, Relaxed);
        }
        for size in [&self.last_response, &self.min_response, &self.max_response] {
            size.store(-1, Relaxed);
        }
    }
}
