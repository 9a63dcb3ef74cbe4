//! How many requests, and how many bytes of large ones, may be in the works: `globalOutstandingLimit`, the
//! request throttle (`RequestThrottler`) and the limit on large requests (`ZooKeeperServer`).
//!
//! There is no queue in front of our pipeline. A request that must wait stays in the bytes its connection has
//! read, and the connection reads no more; so it waits in its order and costs no memory beyond them.
//!
//! Invariant: whoever waits here is woken when room appears, and looks again after the stall time besides.

use crate::types::{ConnId, Millis};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Waker;
use std::time::Duration;

/// The request throttle, where it is on.
#[derive(Debug, Clone, Copy)]
pub struct RequestThrottle {
    /// Requests in the works at which others wait.
    pub max_requests: usize,
    /// How long a round of waiting is.
    pub stall: Duration,
    /// Drop stale requests, and with them their connection.
    pub drop_stale: bool,
    /// A request whose connection is closed is stale.
    pub stale_connection: bool,
    /// A request older than the timeout of its session is stale.
    pub stale_latency: bool,
    /// Operations that waited longer are answered with ThrottledOp.
    pub operation_wait: Option<Millis>,
}

/// The limit on large requests, where it is on.
#[derive(Debug, Clone, Copy)]
pub struct LargeRequests {
    /// Longer ones are large.
    pub threshold: usize,
    /// Bytes of them in the works.
    pub total: usize,
}

/// All of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct GateSettings {
    /// Requests in the works at which connections with some of them are not read.
    pub outstanding: usize,
    /// The request throttle.
    pub throttle: Option<RequestThrottle>,
    /// The limit on large requests.
    pub large: Option<LargeRequests>,
}

/// The gate.
#[derive(Debug)]
pub struct Gate {
    settings: GateSettings,
    /// Requests of clients that are ordered and not answered yet, and reads that wait behind them.
    at_work: AtomicUsize,
    large_bytes: AtomicUsize,
    /// At most one entry for each connection that waits.
    waiting: Mutex<BTreeMap<ConnId, Waker>>,
}

impl Gate {
    /// Nothing in the works.
    #[must_use]
    pub fn new(settings: GateSettings) -> Self {
        Self {
            settings,
            at_work: AtomicUsize::new(0),
            large_bytes: AtomicUsize::new(0),
            waiting: Mutex::default(),
        }
    }

    /// Requests in the works.
    #[must_use]
    pub fn at_work(&self) -> usize {
        self.at_work.load(Relaxed)
    }

    /// A request is in the works from here on.
    pub fn begin(&self) {
        self.at_work.fetch_add(1, Relaxed);
    }

    /// So many are done or given up.
    pub fn finish(&self, requests: usize) {
        if requests == 0 {
            return;
        }
        self.at_work.fetch_sub(requests, Relaxed);
        if self.settings.throttle.is_some() && !self.is_full() {
            let waiting = std::mem::take(&mut *self.waiting.lock());
            waiting.into_values().for_each(Waker::wake);
        }
    }

    /// Should connections with work in progress pause reading?
    #[must_use]
    pub fn is_overloaded(&self) -> bool {
        self.at_work() > self.settings.outstanding
    }

    /// The request throttle, where it is on.
    #[must_use]
    pub fn throttle(&self) -> Option<&RequestThrottle> {
        self.settings.throttle.as_ref()
    }

    /// Must requests wait?
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.settings.throttle.is_some_and(|throttle| self.at_work() >= throttle.max_requests)
    }

    /// Wakes the connection once there is room; false if there is room now.
    pub fn wait(&self, conn: ConnId, waker: &Waker) -> bool {
        let mut waiting = self.waiting.lock();
        // Looked at under the lock that wakers are taken under, so that none is forgotten.
        if self.is_full() {
            waiting.insert(conn, waker.clone());
            return true;
        }
        waiting.remove(&conn);
        false
    }

    /// The connection waits no more.
    pub fn leave(&self, conn: ConnId) {
        self.waiting.lock().remove(&conn);
    }

    /// May a frame of this length be taken, with what is in the works already?
    #[must_use]
    pub fn admits(&self, length: usize) -> bool {
        self.settings.large.is_none_or(|large| {
            length <= large.threshold || self.large_bytes.load(Relaxed).saturating_add(length) <= large.total
        })
    }

    /// The bytes that count as large of a request which is in the works from here on.
    #[must_use]
    pub fn take_large(&self, length: usize) -> usize {
        match self.settings.large {
            Some(large) if length > large.threshold => {
                self.large_bytes.fetch_add(length, Relaxed);
                length
            }
            _ => 0,
        }
    }

    /// Gives back what [`Gate::take_large`] gave.
    pub fn give_large(&self, bytes: usize) {
        if bytes > 0 {
            self.large_bytes.fetch_sub(bytes, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::task::Wake;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    fn throttled(max_requests: usize) -> Gate {
        let throttle = RequestThrottle {
            max_requests,
            stall: Duration::from_millis(100),
            drop_stale: true,
            stale_connection: true,
            stale_latency: false,
            operation_wait: None,
        };
        Gate::new(GateSettings { outstanding: 1, throttle: Some(throttle), large: None })
    }

    #[test]
    fn who_waits_is_woken_once_there_is_room() {
        let gate = throttled(2);
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        assert!(!gate.wait(ConnId(1), &waker), "there is room");
        (0..3).for_each(|_| gate.begin());
        assert!(gate.wait(ConnId(1), &waker) && gate.wait(ConnId(2), &waker) && gate.wait(ConnId(3), &waker));
        assert!(gate.wait(ConnId(1), &waker), "and waits once");
        gate.leave(ConnId(3));
        gate.finish(1);
        assert_eq!(count.0.load(Relaxed), 0, "still full");
        gate.finish(1);
        assert_eq!(count.0.load(Relaxed), 2);
        assert!(!gate.is_overloaded());
    }

    #[test]
    fn large_requests_share_their_bytes() {
        let large = LargeRequests { threshold: 100, total: 250 };
        let gate = Gate::new(GateSettings { large: Some(large), ..GateSettings::default() });
        assert!(gate.admits(100) && gate.take_large(100) == 0, "not larger than the threshold");
        assert!(gate.admits(101) && !gate.admits(251));
        let taken = gate.take_large(200);
        assert!(gate.admits(100) && !gate.admits(101));
        gate.give_large(taken);
        assert!(gate.admits(101));
        let off = Gate::new(GateSettings::default());
        assert!(off.admits(usize::MAX) && off.take_large(usize::MAX) == 0 && !off.is_full());
    }
}
