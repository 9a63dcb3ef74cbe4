//! The store, as the core sees it: entries go in under the brain's lock, proofs come back from the disk's own
//! thread.

use super::core::{Core, Log};
use super::{shutdown, snapshotter};
use crate::report::DirSizes;
use crate::store::{DiskEvent, Opened, Store, StoreError};
use crate::types::{Entry, Zxid};
use parking_lot::RwLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, Weak};

/// The running store, until shutdown takes it away.
#[derive(Debug, Default)]
pub(super) struct DiskLog {
    store: RwLock<Option<Arc<Store>>>,
    core: OnceLock<Weak<Core>>,
    /// Syncs that were measured.
    syncs: AtomicU64,
}

impl DiskLog {
    /// Starts the disk thread behind `last`.
    pub(super) fn start(self: &Arc<Self>, opened: Opened, last: Zxid) -> Result<(), StoreError> {
        let log = Arc::clone(self);
        let report = Box::new(move |event| log.report(event));
        *self.store.write() = Some(Arc::new(opened.start(last, "SyncThread:0", report)?));
        Ok(())
    }

    /// From here on proofs reach the core.
    pub(super) fn connect(&self, core: &Arc<Core>) {
        let _ = self.core.set(Arc::downgrade(core));
    }

    fn report(self: &Arc<Self>, event: DiskEvent) {
        let Some(core) = self.core.get().and_then(Weak::upgrade) else { return };
        match event {
            DiskEvent::Flushed(proof) => {
                self.measure(&core);
                core.flushed(proof);
            }
            DiskEvent::SnapshotDue => snapshotter::spawn(core, Arc::clone(self)),
            DiskEvent::Fatal(error) => shutdown::fatal(&error),
            DiskEvent::EpochSaved(..) | DiskEvent::Truncated(_) | DiskEvent::Restarted(_) => {}
        }
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
        if let Some(Err(refused)) = self.store.read().as_ref().map(|store| store.append(entry)) {
            tracing::debug!("A transaction was not logged: {refused}");
        }
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
