//! The store, as the core sees it: entries go in under the brain's lock, proofs come back from the disk's own
//! thread.

use super::applier::Applier;
use super::core::{Core, Log};
use super::{shutdown, snapshotter};
use crate::replica::Input;
use crate::report::DirSizes;
use crate::store::{DiskCommand, DiskEvent, Listen, Opened, Refused, Store, StoreError, Truncated};
use crate::types::{Entry, Epoch, EpochFile, Millis, Zxid};
use parking_lot::{Mutex, MutexGuard, RwLock};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, OnceLock, Weak};

/// The running store, until shutdown takes it away.
#[derive(Debug, Default)]
pub(super) struct DiskLog {
    store: RwLock<Option<Arc<Store>>>,
    core: OnceLock<Weak<Core>>,
    applier: Applier,
    /// Syncs that were measured.
    syncs: AtomicU64,
    /// Whoever writes a snapshot, or cuts or replaces the history, has this. So no snapshot of a history that is
    /// given up can appear behind the cut.
    history: Mutex<()>,
    /// Histories that were given up: a snapshot begun before one gives up, too.
    generation: AtomicU64,
    /// Until when, on the monotonic clock, no snapshot is due.
    pause: AtomicI64,
    /// Who waits for a change of the history; it holds `history`, so there is one at most.
    waiter: Mutex<Option<SyncSender<Changed>>>,
}

/// A change of the history that the disk thread has made.
#[derive(Debug, Clone, Copy)]
pub(super) enum Changed {
    /// It was cut.
    Cut(Truncated),
    /// It begins with a snapshot from a leader.
    Begun,
}

/// The right to change the history, held while it is changed and what was made of it is put in place.
pub(super) struct HistoryGuard<'a> {
    log: &'a DiskLog,
    _held: MutexGuard<'a, ()>,
}

impl HistoryGuard<'_> {
    /// Has the disk thread do it, behind everything queued before; waits. `None`: the server is stopping.
    pub(super) fn change(&self, command: DiskCommand) -> Option<Changed> {
        let (done, wait) = sync_channel(1);
        *self.log.waiter.lock() = Some(done);
        self.log.store()?.submit(command).ok()?;
        wait.recv().ok()
    }
}

/// What the disk thread calls.
struct Ear(Arc<DiskLog>);

impl Listen for Ear {
    fn report(&mut self, event: DiskEvent) {
        self.0.report(event);
    }

    fn idle(&mut self) {
        if let Some(core) = self.0.core.get().and_then(Weak::upgrade) {
            core.look_ahead();
        }
    }
}

impl DiskLog {
    /// Starts the disk thread behind `last`. `server` is in its name, which shows in its warnings.
    pub(super) fn start(self: &Arc<Self>, opened: Opened, last: Zxid, server: i64) -> Result<(), StoreError> {
        let ear = Box::new(Ear(Arc::clone(self)));
        let store = opened.start(last, &format!("SyncThread:{server}"), ear)?;
        *self.store.write() = Some(Arc::new(store));
        Ok(())
    }

    /// From here on proofs reach the core.
    pub(super) fn connect(&self, core: &Arc<Core>) {
        if self.core.set(Arc::downgrade(core)).is_ok() {
            self.applier.start(Arc::downgrade(core));
        }
    }

    fn report(self: &Arc<Self>, event: DiskEvent) {
        let core = self.core.get().and_then(Weak::upgrade);
        match (event, core) {
            (DiskEvent::Fatal(error), _) => shutdown::fatal(&error),
            (DiskEvent::Truncated(done), _) => self.changed(Changed::Cut(done)),
            (DiskEvent::Restarted(_), _) => self.changed(Changed::Begun),
            (DiskEvent::Flushed(proof), Some(core)) => {
                self.measure(&core);
                core.flushed(proof);
            }
            (DiskEvent::EpochSaved(file, epoch), Some(core)) => {
                core.drive(|step| step.input(Input::EpochSaved(file, epoch)));
            }
            (DiskEvent::SnapshotDue, Some(core)) => snapshotter::spawn(core, Arc::clone(self)),
            (_, None) => {}
        }
    }

    fn changed(&self, changed: Changed) {
        if let Some(waiter) = self.waiter.lock().take() {
            // It has room for one, and gets one.
            let _ = waiter.try_send(changed);
        }
    }

    /// The right to change the history. A snapshot that is being written gives up soon.
    pub(super) fn change_history(&self) -> HistoryGuard<'_> {
        self.generation.fetch_add(1, Relaxed);
        HistoryGuard { log: self, _held: self.history.lock() }
    }

    /// The right to write a snapshot of the history as it is, if nobody else has it; with its generation.
    pub(super) fn keep_history(&self) -> Option<(u64, MutexGuard<'_, ()>)> {
        let held = self.history.try_lock()?;
        Some((self.generation.load(Relaxed), held))
    }

    /// Is the history of this generation still the one?
    pub(super) fn is_current(&self, generation: u64) -> bool {
        self.generation.load(Relaxed) == generation
    }

    /// No snapshot is due before this.
    pub(super) fn pause_until(&self, at: Millis) {
        self.pause.store(at.0, Relaxed);
    }

    /// Is it too early for a snapshot?
    pub(super) fn pauses(&self, now: Millis) -> bool {
        now.0 < self.pause.load(Relaxed)
    }

    /// What the batch that has just become durable took.
    fn measure(&self, core: &Core) {
        let store = self.store.read();
        let Some(gauges) = store.as_ref().map(|store| store.log_gauges()) else { return };
        let number = |of: &AtomicU64| i64::try_from(of.load(Relaxed)).unwrap_or(i64::MAX);
        let counters = &core.counters;
        counters.sync_batch.add(number(&gauges.last_batch));
        counters.sync_queue_size.add(number(&gauges.waiting));
        // Without forceSync there are batches that nobody syncs.
        let syncs = gauges.fsyncs.load(Relaxed);
        if self.syncs.swap(syncs, Relaxed) != syncs {
            counters.fsync_time.add(number(&gauges.fsync_last_micros) / 1000);
        }
        counters.fsync_threshold_exceeded.store(gauges.fsync_threshold_exceeded.load(Relaxed), Relaxed);
    }

    /// The store, if it is still there.
    pub(super) fn store(&self) -> Option<Arc<Store>> {
        self.store.read().clone()
    }

    /// Writes what is left and lets go of the directories. What comes later is neither written nor answered;
    /// a snapshot being written is given up with the process.
    pub(super) fn close(&self) {
        let store = self.store.write().take();
        if let Some(store) = store.and_then(Arc::into_inner) {
            store.close();
        }
    }
}

impl Log for Arc<DiskLog> {
    fn append(&self, entry: Entry) {
        let zxid = entry.zxid;
        match self.store.read().as_ref().map(|store| store.append(entry)) {
            // What comes later would be logged behind a gap, and acknowledged with it.
            Some(Err(Refused::Full)) => shutdown::overrun(zxid),
            Some(Err(refused)) => tracing::debug!("A transaction was not logged: {refused}"),
            Some(Ok(())) | None => {}
        }
    }

    fn save_epoch(&self, file: EpochFile, epoch: Epoch) {
        let command = DiskCommand::SaveEpoch(file, epoch);
        match self.store.read().as_ref().map(|store| store.submit(command)) {
            Some(Err(Refused::Full)) => shutdown::overrun(Zxid::new(epoch, 0)),
            Some(Err(refused)) => tracing::debug!("An epoch was not saved: {refused}"),
            Some(Ok(())) | None => {}
        }
    }

    fn disturb(&self) {
        self.generation.fetch_add(1, Relaxed);
    }

    fn hand_over(&self) -> bool {
        let store = self.store.read();
        let more = store.as_ref().is_some_and(|store| store.log_gauges().waiting.load(Relaxed) > 0);
        more && self.applier.wake()
    }

    fn sizes(&self) -> DirSizes {
        let Some(store) = self.store() else { return DirSizes::default() };
        match store.dir().sizes() {
            Ok(sizes) => DirSizes { data: sizes.data_dir, log: sizes.log_dir },
            Err(error) => {
                tracing::warn!("Cannot measure the data directories: {error}");
                DirSizes::default()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_over_when_its_time_has_come() {
        let log = DiskLog::default();
        assert!(!log.pauses(Millis(0)), "none before the first snapshot");
        log.pause_until(Millis(30));
        assert!(log.pauses(Millis(29)));
        assert!(!log.pauses(Millis(30)));
    }
}
