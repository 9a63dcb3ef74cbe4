//! Bytes that wait for clients or from them: replies and events not sent, requests in the works, halves of
//! frames. Each connection counts its own; the server bounds their sum.
//!
//! What a connection holds is put on the common account in steps, so that ordinary traffic touches nothing but
//! its own counter. The account therefore knows of the large ones only, which is what it is for.
//!
//! Invariant: the account is the sum over all connections of whole steps held, and nothing stays on it once a
//! connection is gone.

use crate::types::limits::{BACKLOG_STEP, OUTBOX_HARD};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tokio::sync::Notify;

/// The common account.
#[derive(Debug)]
pub struct Budget {
    per_client: usize,
    limit: usize,
    held: AtomicUsize,
    exceeded: Notify,
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(OUTBOX_HARD, usize::MAX)
    }
}

impl Budget {
    /// What may wait for one client, and for all of them together.
    #[must_use]
    pub fn new(per_client: usize, limit: usize) -> Self {
        Self { per_client, limit, held: AtomicUsize::new(0), exceeded: Notify::new() }
    }

    /// Bytes of replies and events that may wait for one client.
    #[must_use]
    pub fn per_client(&self) -> usize {
        self.per_client
    }

    /// Is more held than may be?
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.held.load(Relaxed) > self.limit
    }

    /// Bytes to let go of until there is room again; 0 while nothing is over.
    #[must_use]
    pub fn excess(&self) -> usize {
        let held = self.held.load(Relaxed);
        // An eighth below, so that the next byte does not call for help again.
        if held > self.limit { held - (self.limit - self.limit / 8) } else { 0 }
    }

    /// Waits until more is held than may be.
    pub async fn exceeded(&self) {
        while !self.is_over() {
            self.exceeded.notified().await;
        }
    }

    fn moved(&self, before: usize, after: usize) {
        let (before, after) = (before / BACKLOG_STEP * BACKLOG_STEP, after / BACKLOG_STEP * BACKLOG_STEP);
        if after > before {
            let held = self.held.fetch_add(after - before, Relaxed);
            if held.saturating_add(after - before) > self.limit {
                self.exceeded.notify_one();
            }
        } else if before > after {
            self.held.fetch_sub(before - after, Relaxed);
        }
    }
}

/// What one connection holds.
#[derive(Debug, Default)]
pub struct Backlog {
    budget: Arc<Budget>,
    bytes: AtomicUsize,
}

impl Backlog {
    /// Nothing yet.
    #[must_use]
    pub fn new(budget: Arc<Budget>) -> Self {
        Self { budget, bytes: AtomicUsize::new(0) }
    }

    /// The account it is on.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// So much more.
    pub fn add(&self, bytes: usize) {
        if bytes > 0 {
            let before = self.bytes.fetch_add(bytes, Relaxed);
            self.budget.moved(before, before.saturating_add(bytes));
        }
    }

    /// So much less, of what was added.
    pub fn sub(&self, bytes: usize) {
        if bytes > 0 {
            let before = self.bytes.fetch_sub(bytes, Relaxed);
            self.budget.moved(before, before.saturating_sub(bytes));
        }
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// Does the account know of it?
    #[must_use]
    pub fn is_large(&self) -> bool {
        self.bytes() >= BACKLOG_STEP
    }
}

impl Drop for Backlog {
    fn drop(&mut self) {
        self.budget.moved(*self.bytes.get_mut(), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_is_the_sum_of_whole_steps() {
        let budget = Arc::new(Budget::new(usize::MAX, 10 * BACKLOG_STEP));
        let (a, b) = (Backlog::new(Arc::clone(&budget)), Backlog::new(Arc::clone(&budget)));
        a.add(BACKLOG_STEP - 1);
        assert_eq!(budget.held.load(Relaxed), 0, "small ones cost nothing");
        a.add(1);
        b.add(9 * BACKLOG_STEP + 5);
        assert!(!budget.is_over() && budget.excess() == 0);
        a.add(BACKLOG_STEP);
        assert!(budget.is_over());
        assert_eq!(budget.excess(), 11 * BACKLOG_STEP - (10 * BACKLOG_STEP - 10 * BACKLOG_STEP / 8));
        b.sub(6);
        assert_eq!(budget.held.load(Relaxed), 10 * BACKLOG_STEP);
        drop(a);
        b.sub(9 * BACKLOG_STEP - 1);
        assert_eq!((budget.held.load(Relaxed), b.bytes()), (0, 0));
    }

    #[test]
    fn many_threads_leave_nothing_behind() {
        let budget = Arc::new(Budget::new(usize::MAX, usize::MAX));
        let shared = Backlog::new(Arc::clone(&budget));
        std::thread::scope(|scope| {
            for n in 1..=4 {
                let shared = &shared;
                scope.spawn(move || {
                    for round in 0..1000 {
                        shared.add(round * n * 37);
                        shared.sub(round * n * 37);
                    }
                });
            }
        });
        assert_eq!((budget.held.load(Relaxed), shared.bytes()), (0, 0));
    }
}
