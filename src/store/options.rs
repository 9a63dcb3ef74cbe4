//! What an operator can set about the disk, already checked and in plain units. The names of the settings
//! and their texts are `config`'s business.

use super::format::log::DEFAULT_LIMIT;
use super::format::names::Compression;
use std::path::PathBuf;
use std::time::Duration;

/// What to do where transactions are missing between two that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HolePolicy {
    /// Refuse to start: for a standalone server nobody else has them.
    #[default]
    Refuse,
    /// Let the history end before the hole. The server may then not vote by it; others give it the rest.
    EndHistory,
}

/// The settings of the store.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Home of snapshots and epoch files (`dataDir`).
    pub data_dir: PathBuf,
    /// Home of transaction logs (`dataLogDir`).
    pub data_log_dir: PathBuf,
    /// Make missing directories (`datadir.autocreate`).
    pub create_dirs: bool,
    /// Let an empty server begin with an empty database (`db.autocreate`).
    pub create_database: bool,
    /// Take logs without any snapshot for a history from the start (`snapshot.trust.empty`).
    pub trust_empty: bool,
    /// Sync the log before saying so (`forceSync`).
    pub force_sync: bool,
    /// Step in bytes by which a log grows ahead of its content (`preAllocSize`); 0 is off.
    pub pre_alloc: u64,
    /// Transactions after which a log is rolled and a snapshot due, at most (`snapCount`).
    pub snap_count: u64,
    /// Bytes of log with the same effect (`snapSizeLimitInKb`); `None` is off.
    pub snap_size_limit: Option<u64>,
    /// Bytes of one log file after which it is rolled without a snapshot (`txnLogSizeLimitInKb`).
    pub log_size_limit: Option<u64>,
    /// A sync that takes longer is worth a warning (`fsync.warningthresholdms`).
    pub fsync_warning: Duration,
    /// How snapshots are packed (`snapshot.compression.method`).
    pub compression: Compression,
    /// The longest buffer, string or transaction that is read (`jute.maxbuffer` and its extra size).
    pub limit: usize,
    /// Missing transactions: refuse, or end the history.
    pub hole: HolePolicy,
    /// Where the jitter of the snapshot rule starts; any number, different on each server.
    pub seed: u64,
}

impl StoreOptions {
    /// The reference's defaults for these directories.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>, data_log_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            data_log_dir: data_log_dir.into(),
            create_dirs: true,
            create_database: true,
            trust_empty: false,
            force_sync: true,
            pre_alloc: 64 * 1024 * 1024,
            snap_count: 100_000,
            snap_size_limit: Some(4 * 1024 * 1024 * 1024),
            log_size_limit: None,
            fsync_warning: Duration::from_secs(1),
            compression: Compression::Plain,
            limit: DEFAULT_LIMIT,
            hole: HolePolicy::Refuse,
            seed: 0,
        }
    }
}
