//! The only room that knows files: what is durable, how it got there, and what a restart makes of it.
//!
//! [`mod@format`] is pure and says what bytes mean; [`files`] is the seam to the file system; everything between
//! is written against those two. The room knows no tree, no order and no socket: it takes entries and gives
//! back proof that they are on disk, and it reads them back into whatever implements [`Restore`].

mod blocks;
pub mod committer;
pub mod datadir;
pub mod epochs;
pub mod error;
pub mod files;
pub mod format;
mod harden;
pub mod install;
pub mod log_reader;
pub mod options;
pub mod plan;
pub mod purge;
pub mod recover;
pub mod replay;
mod snap_rule;
pub mod snapshots;
pub mod stream;
pub mod truncate;
pub mod txn_log;

pub use committer::{Committer, DiskCommand, DiskEvent, DiskWork, Listen, Refused, Report};
pub use datadir::{DataDir, DirSizes};
pub use epochs::{EpochFile, Epochs};
pub use error::StoreError;
pub use files::{Files, RealFiles};
pub use format::names::Compression;
pub use format::snapshot::{Trailer, TreeDigest};
pub use log_reader::History;
pub use options::{HolePolicy, StoreOptions};
pub use plan::Plan;
pub use recover::{Phase, Progress, Recovered, Restore};
pub use snapshots::{SnapshotSource, Written};
pub use stream::{Fed, Incoming, Outgoing};
pub use truncate::Truncated;
pub use txn_log::LogGauges;

use crate::types::{Entry, Zxid};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The directories, checked and locked, before anything is running.
#[derive(Debug)]
pub struct Opened {
    dir: DataDir,
    options: StoreOptions,
}

/// The store of a running server.
#[derive(Debug)]
pub struct Store {
    dir: DataDir,
    options: StoreOptions,
    committer: Committer,
    snapshotting: AtomicBool,
}

/// What the store says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreStatus {
    /// Highest durable transaction.
    pub durable: Zxid,
    /// Lengths of the files in both directories.
    pub sizes: DirSizes,
    /// A snapshot is being written.
    pub snapshotting: bool,
}

impl Store {
    /// Checks both directories, makes them where allowed, and locks them.
    pub fn open(files: Arc<dyn Files>, options: StoreOptions) -> Result<Opened, StoreError> {
        let dir = DataDir::open(files, &options)?;
        Ok(Opened { dir, options })
    }

    /// Queues a transaction for the log. Cheap.
    pub fn append(&self, entry: Entry) -> Result<(), Refused> {
        self.committer.append(entry)
    }

    /// Queues anything for the disk thread; one queue, never reordered.
    pub fn submit(&self, command: DiskCommand) -> Result<(), Refused> {
        self.committer.submit(command)
    }

    /// The log's counters.
    #[must_use]
    pub fn log_gauges(&self) -> &Arc<LogGauges> {
        self.committer.gauges()
    }

    /// Writes a snapshot on the caller's thread. `zxid` was sampled before; `between` may pause between two
    /// slices, and its false gives up. `Ok(None)`: given up, or another one is being written.
    pub fn write_snapshot(
        &self,
        zxid: Zxid,
        source: &mut dyn SnapshotSource,
        between: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Written>, StoreError> {
        if self.snapshotting.swap(true, Ordering::Acquire) {
            tracing::warn!("Too busy to snap, skipping");
            return Ok(None);
        }
        let outcome = snapshots::write(&self.dir, zxid, self.options.compression, source, between);
        self.snapshotting.store(false, Ordering::Release);
        outcome
    }

    /// Recovers once more, after a truncation: the disk thread must be idle, as it is when it has reported it.
    pub fn recover(
        &self,
        sink: &mut dyn Restore,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Recovered, StoreError> {
        recover::recover(&self.dir, &self.options, sink, progress)
    }

    /// The durable transactions behind `after`, oldest first, from the files.
    pub fn read_from(&self, after: Zxid) -> Result<History, StoreError> {
        let until = self.log_gauges().durable_zxid();
        History::new(self.dir.clone(), self.options.limit, after, until)
    }

    /// A way through the log on disk for a learner whose last transaction is `after`, if it costs less than a
    /// snapshot: see [`plan`]. Reads files; not for a thread that others wait for.
    pub fn plan_history(&self, after: Zxid, factor: f64) -> Result<Option<Plan>, StoreError> {
        let until = self.log_gauges().durable_zxid();
        plan::plan(&self.dir, self.options.limit, after, until, factor)
    }

    /// Writes a tree that came from a leader as the snapshot of this name, durably, on the caller's thread. The
    /// history must then be made to begin there, before anything is logged: [`DiskCommand::Restart`]. Nothing else may
    /// be writing snapshots meanwhile.
    pub fn write_received(&self, zxid: Zxid, source: &mut dyn SnapshotSource) -> Result<Written, StoreError> {
        match install::write(&self.dir, zxid, self.options.compression, source)? {
            Some(written) => Ok(written),
            None => Err(StoreError::Lost(format!("the snapshot {zxid} of the leader was given up"))),
        }
    }

    /// Removes what is no longer needed.
    pub fn purge(&self, retain: usize) -> Result<Vec<PathBuf>, StoreError> {
        purge::purge(&self.dir, retain)
    }

    /// The directories.
    #[must_use]
    pub const fn dir(&self) -> &DataDir {
        &self.dir
    }

    /// What the store says of itself.
    pub fn status(&self) -> Result<StoreStatus, StoreError> {
        Ok(StoreStatus {
            durable: self.log_gauges().durable_zxid(),
            sizes: self.dir.sizes()?,
            snapshotting: self.snapshotting.load(Ordering::Acquire),
        })
    }

    /// Writes what is left and lets go of the directories.
    pub fn close(self) {
        self.committer.close();
    }
}

impl Opened {
    /// Loads everything into `sink`, and makes durable what was loaded. May be repeated.
    pub fn recover(
        &self,
        sink: &mut dyn Restore,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Recovered, StoreError> {
        let found = recover::recover(&self.dir, &self.options, sink, progress)?;
        if self.options.force_sync {
            harden::harden(&self.dir)?;
        }
        Ok(found)
    }

    /// Nothing was ever written here: no history, and no promise to a leader.
    pub fn is_blank(&self) -> Result<bool, StoreError> {
        let epoch = |file| epochs::read(&self.dir, file).map(|epoch| epoch.is_some());
        Ok(self.dir.log_files()?.is_empty()
            && self.dir.snapshot_files()?.is_empty()
            && !epoch(EpochFile::Accepted)?
            && !epoch(EpochFile::Current)?)
    }

    /// The epoch files of an ensemble member, judged against the end of its history. A standalone server
    /// leaves them alone.
    pub fn epochs(&self, last: Zxid) -> Result<Epochs, StoreError> {
        epochs::load(&self.dir, last)
    }

    /// The directories.
    #[must_use]
    pub const fn dir(&self) -> &DataDir {
        &self.dir
    }

    /// Starts the disk thread behind `last`. `name` is the thread's.
    pub fn start(self, last: Zxid, name: &str, report: Report) -> Result<Store, StoreError> {
        let Self { dir, options } = self;
        let committer = Committer::start(dir.clone(), options.clone(), last, name, report)?;
        Ok(Store { dir, options, committer, snapshotting: AtomicBool::new(false) })
    }
}
