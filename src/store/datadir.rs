//! The two directories: where files are, the checks before anything is touched, and the lock that keeps a
//! second server out.

use super::error::StoreError;
use super::files::{Files, Kind, Lock};
use super::format::names::{self, Compression, NameKind};
use super::options::StoreOptions;
use crate::types::Zxid;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A log file of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    /// The zxid in its name.
    pub zxid: Zxid,
    /// Where it is.
    pub path: PathBuf,
    /// Its length.
    pub len: u64,
}

/// A snapshot file of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotFile {
    /// The zxid in its name.
    pub zxid: Zxid,
    /// Where it is.
    pub path: PathBuf,
    /// Its length.
    pub len: u64,
    /// How it is packed.
    pub compression: Compression,
}

/// Bytes on disk, as lengths of files: preallocated space counts, as it does in the reference's answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DirSizes {
    /// Snapshots and epoch files.
    pub data_dir: u64,
    /// Logs.
    pub log_dir: u64,
}

/// The directories of one server.
#[derive(Clone)]
pub struct DataDir {
    /// The file system.
    pub files: Arc<dyn Files>,
    /// `<dataDir>/version-2`
    pub snaps: PathBuf,
    /// `<dataLogDir>/version-2`
    pub logs: PathBuf,
    homes: [PathBuf; 2],
    _locks: Arc<Vec<Box<dyn Lock>>>,
}

impl std::fmt::Debug for DataDir {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataDir")
            .field("snaps", &self.snaps)
            .field("logs", &self.logs)
            .finish_non_exhaustive()
    }
}

impl DataDir {
    /// Checks both directories as the reference does, in its order, and locks them.
    pub fn open(files: Arc<dyn Files>, options: &StoreOptions) -> Result<Self, StoreError> {
        let snaps = options.data_dir.join(names::FOLDER);
        let logs = options.data_log_dir.join(names::FOLDER);
        prepare(&*files, &logs, "data", options.create_dirs)?;
        prepare(&*files, &snaps, "snap", options.create_dirs)?;
        let apart = snaps != logs;
        if apart {
            stray(&*files, &logs, "snapshot.", "Log directory has snapshot files.")?;
            stray(&*files, &snaps, "log.", "Snapshot directory has log files.")?;
        }
        let mut locks = Vec::new();
        for dir in [Some(&snaps), apart.then_some(&logs)].into_iter().flatten() {
            match files.lock(dir) {
                Ok(Some(lock)) => locks.push(lock),
                Ok(None) => return Err(StoreError::Locked { dir: dir.clone() }),
                Err(e) => return Err(StoreError::io("lock", dir, e)),
            }
        }
        let homes = [options.data_log_dir.clone(), options.data_dir.clone()];
        Ok(Self { files, snaps, logs, homes, _locks: Arc::new(locks) })
    }

    /// The directories without checks and without the lock: for tools that only read.
    #[must_use]
    pub fn unlocked(files: Arc<dyn Files>, options: &StoreOptions) -> Self {
        Self {
            files,
            snaps: options.data_dir.join(names::FOLDER),
            logs: options.data_log_dir.join(names::FOLDER),
            homes: [options.data_log_dir.clone(), options.data_dir.clone()],
            _locks: Arc::default(),
        }
    }

    /// Logs, oldest first.
    pub fn log_files(&self) -> Result<Vec<LogFile>, StoreError> {
        let listed = self.files.list(&self.logs).map_err(|e| StoreError::io("list", &self.logs, e))?;
        let mut found: Vec<LogFile> = listed
            .into_iter()
            .filter_map(|f| {
                let zxid = names::log_zxid(&f.name)?;
                Some(LogFile { zxid, path: self.logs.join(f.name), len: f.len })
            })
            .collect();
        found.sort_by(|a, b| (a.zxid, &a.path).cmp(&(b.zxid, &b.path)));
        Ok(found)
    }

    /// Snapshots, newest first.
    pub fn snapshot_files(&self) -> Result<Vec<SnapshotFile>, StoreError> {
        let listed = self.files.list(&self.snaps).map_err(|e| StoreError::io("list", &self.snaps, e))?;
        let mut found: Vec<SnapshotFile> = listed
            .into_iter()
            .filter_map(|f| {
                let zxid = names::snapshot_zxid(&f.name)?;
                let compression = Compression::of_name(&f.name);
                Some(SnapshotFile { zxid, path: self.snaps.join(f.name), len: f.len, compression })
            })
            .collect();
        found.sort_by(|a, b| (b.zxid, &a.path).cmp(&(a.zxid, &b.path)));
        Ok(found)
    }

    /// Files that claim to be a log or a snapshot under a zxid that cannot be read. A purge removes them.
    pub(crate) fn unreadable_names(&self) -> Result<Vec<PathBuf>, StoreError> {
        let mut found = Vec::new();
        for (dir, kind) in [(&self.logs, NameKind::Log), (&self.snaps, NameKind::Snapshot)] {
            let listed = self.files.list(dir).map_err(|e| StoreError::io("list", dir, e))?;
            found.extend(
                listed
                    .into_iter()
                    .filter(|f| names::parse(&f.name) == Some((kind, None)))
                    .map(|f| dir.join(f.name)),
            );
        }
        Ok(found)
    }

    /// The markers that let an empty server begin: the reference looks in one home, its helper script writes
    /// to the other.
    pub(crate) fn initialize_markers(&self) -> Vec<PathBuf> {
        let mut markers: Vec<PathBuf> = self.homes.iter().map(|home| home.join(names::INITIALIZE)).collect();
        markers.dedup();
        markers.retain(|path| matches!(self.files.kind(path), Ok(Some(Kind::File))));
        markers
    }

    /// Removes what a crash left half-written under a temporary name.
    pub(crate) fn sweep(&self) -> Result<(), StoreError> {
        let mut dirs = vec![&self.snaps];
        if self.logs != self.snaps {
            dirs.push(&self.logs);
        }
        for dir in dirs {
            let listed = self.files.list(dir).map_err(|e| StoreError::io("list", dir, e))?;
            for file in listed.iter().filter(|f| f.name.starts_with(names::TEMPORARY)) {
                let path = dir.join(&file.name);
                self.files.remove(&path).map_err(|e| StoreError::io("remove", &path, e))?;
            }
        }
        Ok(())
    }

    /// How much both hold.
    pub fn sizes(&self) -> Result<DirSizes, StoreError> {
        let sum = |dir: &Path| -> Result<u64, StoreError> {
            let listed = self.files.list(dir).map_err(|e| StoreError::io("list", dir, e))?;
            Ok(listed.iter().map(|f| f.len).sum())
        };
        Ok(DirSizes { data_dir: sum(&self.snaps)?, log_dir: sum(&self.logs)? })
    }
}

/// One directory: there, or made; a directory; writable. `FileTxnSnapLog`'s messages.
fn prepare(files: &dyn Files, dir: &Path, what: &str, create: bool) -> Result<(), StoreError> {
    let shown = dir.display();
    match files.kind(dir) {
        Ok(Some(Kind::Dir)) => {}
        Ok(None) if !create => {
            return Err(StoreError::DataDir(format!(
                "Missing {what} directory {shown}, automatic data directory creation is disabled \
                 (zookeeper.datadir.autocreate is false). Please create this directory manually."
            )));
        }
        found => {
            let why = match found {
                Ok(Some(_)) => "it is a file".to_owned(),
                Ok(None) => match files.create_dirs(dir) {
                    Ok(()) => return Ok(()),
                    Err(e) => e.to_string(),
                },
                Err(e) => e.to_string(),
            };
            return Err(StoreError::DataDir(format!("Unable to create {what} directory {shown} ({why})")));
        }
    }
    if files.writable(dir) {
        Ok(())
    } else {
        Err(StoreError::DataDir(format!("Cannot write to {what} directory {shown}")))
    }
}

/// Files of the other kind mean that the two settings were exchanged.
fn stray(files: &dyn Files, dir: &Path, prefix: &str, message: &str) -> Result<(), StoreError> {
    let listed = files.list(dir).map_err(|e| StoreError::io("list", dir, e))?;
    if listed.iter().any(|f| f.name.starts_with(prefix)) {
        return Err(StoreError::DataDir(format!(
            "{message} Check if dataLogDir and dataDir configuration is correct."
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::files::SimFiles;
    use super::*;

    fn options() -> StoreOptions {
        StoreOptions::new("/data", "/logs")
    }

    fn open(sim: &SimFiles, options: &StoreOptions) -> Result<DataDir, StoreError> {
        DataDir::open(Arc::new(sim.clone()), options)
    }

    #[test]
    fn missing_directories() {
        let sim = SimFiles::new();
        let no = StoreOptions { create_dirs: false, ..options() };
        let e = open(&sim, &no).unwrap_err();
        assert_eq!(e.exit_code(), 3);
        assert_eq!(
            e.to_string(),
            "Missing data directory /logs/version-2, automatic data directory creation is disabled \
             (zookeeper.datadir.autocreate is false). Please create this directory manually."
        );
        open(&sim, &options()).unwrap();
        open(&sim, &no).unwrap();
        let sim = SimFiles::new();
        sim.plant(Path::new("/logs/version-2"), b"");
        let e = open(&sim, &options()).unwrap_err().to_string();
        assert_eq!(e, "Unable to create data directory /logs/version-2 (it is a file)");
    }

    #[test]
    fn exchanged_directories() {
        let sim = SimFiles::new();
        open(&sim, &options()).unwrap();
        sim.plant(Path::new("/data/version-2/log.1"), b"");
        assert_eq!(
            open(&sim, &options()).unwrap_err().to_string(),
            "Snapshot directory has log files. Check if dataLogDir and dataDir configuration is correct."
        );
        open(&sim, &StoreOptions::new("/data", "/data")).unwrap();
    }

    #[test]
    fn a_second_server_is_kept_out() {
        let sim = SimFiles::new();
        let first = open(&sim, &options()).unwrap();
        let e = open(&sim, &StoreOptions::new("/other", "/logs")).unwrap_err();
        assert_eq!(e.exit_code(), 3);
        assert!(e.to_string().starts_with("/logs/version-2 is in use by another server"), "{e}");
        drop(first);
        open(&sim, &options()).unwrap();
    }
}
