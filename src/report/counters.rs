//! The metrics registry: everything that is counted and timed while serving. Its table is in `rows.rs`.
//!
//! All of it is relaxed atomics, so whoever counts never waits. What every request touches lives in stripes,
//! one per group of threads, so that cores do not fight over a cache line; reading adds them up.

use super::metrics::Metrics;
pub use super::rows::Counters;
use super::summary::{Summary, Totals};
use jute::EventType;
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Stripes of what every request touches. More threads than this share them in turns.
pub(super) const STRIPES: usize = 8;

thread_local! {
    static STRIPE: Cell<usize> = const { Cell::new(usize::MAX) };
}

static NEXT_STRIPE: AtomicUsize = AtomicUsize::new(0);

fn own_stripe() -> usize {
    STRIPE.with(|stripe| {
        if stripe.get() == usize::MAX {
            stripe.set(NEXT_STRIPE.fetch_add(1, Relaxed) % STRIPES);
        }
        stripe.get()
    })
}

/// What every request touches.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Stripe {
    packets_received: AtomicU64,
    bytes_received: AtomicU64,
    packets_sent: AtomicU64,
    response_bytes: AtomicU64,
    latency: Summary,
    reads: Summary,
}

/// Sizes of what clients are sent; -1 before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseSizes {
    /// Of the last reply or event.
    pub last: i64,
    /// Of the smallest.
    pub min: i64,
    /// Of the largest.
    pub max: i64,
}

impl ResponseSizes {
    /// Of one frame; the reference leaves out the length in front.
    fn of_frame(frame: u64) -> Self {
        let size = i64::try_from(frame.saturating_sub(4)).unwrap_or(i64::MAX);
        Self { last: size, min: size, max: size }
    }
}

impl Default for ResponseSizes {
    fn default() -> Self {
        Self { last: -1, min: -1, max: -1 }
    }
}

/// What `stat` and `srvr` show of the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Frames and four-letter words received.
    pub packets_received: u64,
    /// Frames and pieces of answers sent.
    pub packets_sent: u64,
    /// Time from a request's arrival to its reply, ms.
    pub latency: Totals,
    /// Sizes of replies and events.
    pub responses: ResponseSizes,
    /// Attempts to authenticate that failed.
    pub auth_failed: u64,
}

impl Counters {
    /// All zero, sizes unknown.
    #[must_use]
    pub fn new() -> Self {
        let counters = Self::default();
        counters.reset();
        counters
    }

    fn stripe(&self) -> &Stripe {
        let [first, ..] = &self.stripes;
        self.stripes.get(own_stripe()).unwrap_or(first)
    }

    /// Frames came in, of `bytes` in all.
    pub fn received(&self, frames: u64, bytes: u64) {
        let stripe = self.stripe();
        stripe.packets_received.fetch_add(frames, Relaxed);
        stripe.bytes_received.fetch_add(bytes, Relaxed);
    }

    /// Replies and events went out: how many, the bytes of the replies among them, and the sizes of all.
    pub fn sent(&self, packets: u64, bytes: u64, sizes: ResponseSizes) {
        if packets > 0 {
            let stripe = self.stripe();
            stripe.packets_sent.fetch_add(packets, Relaxed);
            stripe.response_bytes.fetch_add(bytes, Relaxed);
            self.sized(sizes);
        }
    }

    /// A reply went out; `frame` is its length with the prefix.
    pub fn replied(&self, frame: u64) {
        self.sent(1, frame, ResponseSizes::of_frame(frame));
    }

    /// An event went out; `frame` is its length with the prefix.
    pub fn notified(&self, frame: u64) {
        self.stripe().packets_sent.fetch_add(1, Relaxed);
        self.watch_bytes.fetch_add(frame, Relaxed);
        self.sized(ResponseSizes::of_frame(frame));
    }

    /// Something else went out: answers to greetings, pieces of answers to four-letter words.
    pub fn sent_pieces(&self, pieces: u64) {
        self.stripe().packets_sent.fetch_add(pieces, Relaxed);
    }

    /// Reads were answered, `latency` ms after they came.
    pub fn read(&self, latency: i64, count: u64) {
        if count > 0 {
            let latency = latency.max(0);
            let stripe = self.stripe();
            stripe.latency.add_many(latency, count);
            stripe.reads.add_many(latency, count);
            self.read_sample.add_many(latency, count);
        }
    }

    /// A write was answered, `latency` ms after it came.
    pub fn updated(&self, latency: i64) {
        self.stripe().latency.add(latency.max(0));
        self.update_latency.add(latency.max(0));
    }

    fn sized(&self, sizes: ResponseSizes) {
        if sizes.last != self.last_response.load(Relaxed) {
            self.last_response.store(sizes.last, Relaxed);
        }
        if sizes.max > self.max_response.load(Relaxed) {
            self.max_response.fetch_max(sizes.max, Relaxed);
        }
        let min = self.min_response.load(Relaxed);
        if min < 0 || sizes.min < min {
            self.min_response.store(sizes.min, Relaxed);
        }
    }

    /// An event was fired to so many watchers.
    pub fn fired(&self, kind: EventType, watchers: usize) {
        let summary = match kind {
            EventType::NodeCreated => &self.created_watchers,
            EventType::NodeDeleted => &self.deleted_watchers,
            EventType::NodeDataChanged => &self.changed_watchers,
            EventType::NodeChildrenChanged => &self.children_watchers,
            _ => return,
        };
        summary.add(i64::try_from(watchers).unwrap_or(i64::MAX));
    }

    /// A node at `path` was written with so many bytes of data; a deletion has none.
    pub fn wrote(&self, path: &str, data: usize) {
        if let Some(namespace) = namespace(path) {
            self.writes_by_namespace.with(namespace, |summary| summary.add(length(path) + size(data)));
        }
    }

    /// Nodes of one namespace were read: sizes of path, data and stat.
    pub fn read_namespace(&self, namespace: &str, part: Totals) {
        self.reads_by_namespace.with(namespace, |summary| summary.merge(part));
    }

    /// What `stat` and `srvr` show.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let mut traffic = Traffic {
            responses: ResponseSizes {
                last: self.last_response.load(Relaxed),
                min: self.min_response.load(Relaxed),
                max: self.max_response.load(Relaxed),
            },
            auth_failed: self.auth_failed.load(Relaxed),
            ..Traffic::default()
        };
        for stripe in &self.stripes {
            traffic.packets_received += stripe.packets_received.load(Relaxed);
            traffic.packets_sent += stripe.packets_sent.load(Relaxed);
            traffic.latency = traffic.latency.and(stripe.latency.totals());
        }
        traffic
    }

    fn striped(&self, of: impl Fn(&Stripe) -> &AtomicU64) -> u64 {
        self.stripes.iter().map(|stripe| of(stripe).load(Relaxed)).sum()
    }

    /// Everything that is counted and timed, for `mntr` and its kin.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let mut metrics = Metrics::default();
        metrics.counters.push(("bytes_received_count", self.striped(|s| &s.bytes_received)));
        metrics.counters.push(("response_bytes", self.striped(|s| &s.response_bytes)));
        let reads = self.stripes.iter().fold(Totals::default(), |all, stripe| all.and(stripe.reads.totals()));
        metrics.percentiles.push(("readlatency", reads, self.read_sample.quantiles()));
        self.rows_to(&mut metrics);
        let exceeded = self.quota_exceeded.all();
        if !exceeded.is_empty() {
            let rows = exceeded.into_iter().map(|(key, count)| (key, count.load(Relaxed))).collect();
            metrics.counter_sets.push(("quota_exceeded_error_per_namespace", rows));
        }
        metrics.keyed_summaries.push(("read_per_namespace", self.reads_by_namespace.totals()));
        metrics.keyed_summaries.push(("write_per_namespace", self.writes_by_namespace.totals()));
        metrics.keyed_summaries.push(("learner_handler_qp_size", self.learner_packets.totals()));
        metrics.keyed_percentiles.push(("learner_handler_qp_time_ms", self.learner_waits.totals()));
        metrics.keyed_percentiles.push(("ack_latency", self.ack_latencies.totals()));
        metrics
    }

    /// `srst`.
    pub fn reset(&self) {
        for stripe in &self.stripes {
            for counter in [
                &stripe.packets_received,
                &stripe.bytes_received,
                &stripe.packets_sent,
                &stripe.response_bytes,
            ] {
                counter.store(0, Relaxed);
            }
            stripe.latency.reset();
            stripe.reads.reset();
        }
        for size in [&self.last_response, &self.min_response, &self.max_response] {
            size.store(-1, Relaxed);
        }
        self.read_sample.reset();
        self.reset_rows();
        self.quota_exceeded.all().iter().for_each(|(_, count)| count.store(0, Relaxed));
        self.reads_by_namespace.reset();
        self.writes_by_namespace.reset();
        self.learner_packets.reset();
        self.learner_waits.reset();
        self.ack_latencies.reset();
    }
}

fn size(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Length of a path as the reference counts it: in UTF-16 units.
fn length(path: &str) -> i64 {
    size(if path.is_ascii() { path.len() } else { path.encode_utf16().count() })
}

/// First element of a path; the root has none.
#[must_use]
pub fn namespace(path: &str) -> Option<&str> {
    path.strip_prefix('/')?.split('/').next().filter(|first| !first.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(metrics: &Metrics, name: &str) -> u64 {
        metrics.counters.iter().find(|row| row.0 == name).unwrap().1
    }

    fn summary(metrics: &Metrics, name: &str) -> Totals {
        metrics.summaries.iter().find(|row| row.0 == name).unwrap().1
    }

    fn keyed(metrics: &Metrics, name: &str) -> Vec<(Box<str>, Totals)> {
        metrics.keyed_summaries.iter().find(|row| row.0 == name).unwrap().1.clone()
    }

    #[test]
    fn traffic_of_many_threads_adds_up() {
        let counters = Counters::new();
        assert_eq!(counters.traffic(), Traffic::default());
        std::thread::scope(|scope| {
            for latency in 1..=2 * STRIPES as i64 {
                let counters = &counters;
                scope.spawn(move || {
                    counters.received(3, 100);
                    counters.sent(2, 40, ResponseSizes { last: 17, min: 16, max: 20 });
                    counters.read(latency, 2);
                });
            }
        });
        let traffic = counters.traffic();
        assert_eq!((traffic.packets_received, traffic.packets_sent), (48, 32));
        assert_eq!(traffic.latency, Totals { count: 32, sum: 272, min: 1, max: 16 });
        assert_eq!(traffic.responses, ResponseSizes { last: 17, min: 16, max: 20 });
        let metrics = counters.metrics();
        assert_eq!(counter(&metrics, "bytes_received_count"), 1600);
        let reads = metrics.percentiles.iter().find(|row| row.0 == "readlatency").unwrap();
        assert_eq!((reads.1.count, reads.2.p50, reads.2.p999), (32, 9, 16));
    }

    #[test]
    fn a_reset_leaves_no_counter_and_no_summary() {
        let counters = Counters::new();
        let fresh = counters.metrics();
        counters.received(1, 1);
        counters.replied(88);
        counters.read(1, 1);
        counters.notified(40);
        counters.fired(EventType::NodeCreated, 2);
        counters.fsync_time.add(3);
        counters.updated(3);
        counters.looking.fetch_add(1, Relaxed);
        counters.auth_failed.fetch_add(1, Relaxed);
        assert_eq!(counters.traffic().responses, ResponseSizes { last: 36, min: 36, max: 84 });
        assert_eq!(summary(&counters.metrics(), "node_created_watch_count").max, 2);
        assert_ne!(counters.metrics(), fresh);
        counters.reset();
        assert_eq!(counters.metrics(), fresh);
        assert_eq!(counters.traffic(), Traffic { auth_failed: 1, ..Traffic::default() });
    }

    #[test]
    fn namespaces_as_the_reference_counted_them() {
        let counters = Counters::new();
        // 260 writes of the numbers from 0 to /app, as in the recorded answer.
        for n in 0..260 {
            counters.wrote("/app", n.to_string().len());
        }
        counters.wrote("/", 10);
        let writes = keyed(&counters.metrics(), "write_per_namespace");
        assert_eq!(writes, [("app".into(), Totals { count: 260, sum: 1710, min: 5, max: 7 })]);
        counters.read_namespace("b", Totals { count: 2, sum: 162, min: 80, max: 82 });
        counters.read_namespace("app", Totals { count: 1, sum: 84, min: 84, max: 84 });
        counters.read_namespace("b", Totals { count: 1, sum: 70, min: 70, max: 70 });
        assert_eq!(
            keyed(&counters.metrics(), "read_per_namespace"),
            [
                ("app".into(), Totals { count: 1, sum: 84, min: 84, max: 84 }),
                ("b".into(), Totals { count: 3, sum: 232, min: 70, max: 82 }),
            ]
        );
        counters.reset();
        assert_eq!(keyed(&counters.metrics(), "write_per_namespace"), [("app".into(), Totals::default())]);
    }

    #[test]
    fn every_name_stands_once() {
        let metrics = Counters::new().metrics();
        let mut names: Vec<&str> = metrics.counters.iter().map(|row| row.0).collect();
        names.extend(metrics.summaries.iter().map(|row| row.0));
        names.extend(metrics.percentiles.iter().map(|row| row.0));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!((names.len(), count), (116, 116));
        assert_eq!((metrics.summaries.len(), metrics.percentiles.len()), (42, 23));
    }
}
