//! The directories a tool is pointed at, and who is working on them.
//!
//! Nothing is made and nothing is locked here: a tool that only looks must not get in a server's way.

use super::failure::Failure;
use crate::store::files::Kind;
use crate::store::format::names::FOLDER;
use crate::store::{DataDir, Files, StoreOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The two directories of a server.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// `dataDir`
    pub(super) data: PathBuf,
    /// `dataLogDir`
    pub(super) logs: PathBuf,
    pub(super) options: StoreOptions,
}

impl Place {
    /// The directories by what the operator gave; the `version-2` inside may be given as well.
    pub(super) fn new(data: &Path, logs: Option<&Path>, limit: usize) -> Self {
        let data = home(data);
        let logs = logs.map_or_else(|| data.clone(), home);
        let mut options = StoreOptions::new(&data, &logs);
        options.limit = limit;
        options.create_dirs = false;
        Self { data, logs, options }
    }

    /// Are they two?
    pub(super) fn apart(&self) -> bool {
        self.data != self.logs
    }

    /// Where snapshots are.
    pub(super) fn snapshots(&self) -> PathBuf {
        self.data.join(FOLDER)
    }

    /// Where logs are.
    pub(super) fn log_folder(&self) -> PathBuf {
        self.logs.join(FOLDER)
    }

    /// Both folders, or the one.
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        let mut folders = vec![self.snapshots()];
        if self.apart() {
            folders.push(self.log_folder());
        }
        folders
    }

    /// The directories as the store sees them, without lock.
    pub(super) fn open(&self, files: Arc<dyn Files>) -> Result<DataDir, Failure> {
        for (home, option) in [(&self.data, "the data directory"), (&self.logs, "--log-dir")] {
            let folder = home.join(FOLDER);
            let kind = files.kind(&folder).map_err(|e| Failure::io("look into", &folder, &e))?;
            if kind != Some(Kind::Dir) {
                let there = matches!(files.kind(home), Ok(Some(Kind::Dir)));
                let why = if there {
                    "has no folder `version-2`, so no server ever worked there"
                } else {
                    "is not there"
                };
                return Err(Failure::Unable(format!(
                    "{} {why}; give the dataDir of a server (and its dataLogDir with --log-dir) as {option}",
                    home.display()
                )));
            }
        }
        Ok(DataDir::unlocked(files, &self.options))
    }

    /// Files of the other kind, which a server refuses: the two directories were exchanged.
    pub(super) fn strays(&self, files: &dyn Files) -> Result<Vec<PathBuf>, Failure> {
        let mut found = Vec::new();
        if self.apart() {
            for (dir, prefix) in [(self.log_folder(), "snapshot."), (self.snapshots(), "log.")] {
                let listed = files.list(&dir).map_err(|e| Failure::io("list", &dir, &e))?;
                found.extend(listed.iter().filter(|f| f.name.starts_with(prefix)).map(|f| dir.join(&f.name)));
            }
        }
        Ok(found)
    }

    /// Refuses exchanged directories.
    pub(super) fn refuse_strays(&self, files: &dyn Files) -> Result<(), Failure> {
        match self.strays(files)?.first() {
            None => Ok(()),
            Some(file) => Err(Failure::Unable(format!(
                "{} does not belong there: check which directory is dataDir and which is dataLogDir",
                file.display()
            ))),
        }
    }
}

fn home(given: &Path) -> PathBuf {
    let inside = given.file_name().is_some_and(|n| n == FOLDER) && !given.join(FOLDER).is_dir();
    let outer = given.parent().filter(|p| !p.as_os_str().is_empty());
    match (inside, outer) {
        (true, Some(outer)) => outer.to_path_buf(),
        (true, None) => PathBuf::from("."),
        _ => given.to_path_buf(),
    }
}

/// A process that works on a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User {
    pub(super) pid: u32,
    /// What it is called.
    pub(super) name: String,
}

impl std::fmt::Display for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {} ({})", self.pid, self.name)
    }
}

/// Processes that have a file below one of the folders open for writing, as far as this process may see them:
/// a server of any make, once it has written. Where the system does not tell, nobody is found.
pub(super) fn writers(folders: &[PathBuf]) -> Vec<User> {
    let folders: Vec<PathBuf> = folders.iter().filter_map(|f| f.canonicalize().ok()).collect();
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let own = std::process::id();
    let mut found = Vec::new();
    for process in processes.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        if pid != own && writes(&process.path(), &folders) {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            found.push(User { pid, name: name.trim().to_owned() });
        }
    }
    found.sort_by_key(|u| u.pid);
    found
}

fn writes(process: &Path, folders: &[PathBuf]) -> bool {
    let Ok(handles) = std::fs::read_dir(process.join("fd")) else { return false };
    handles.flatten().any(|handle| {
        let inside = std::fs::read_link(handle.path())
            .is_ok_and(|file| folders.iter().any(|folder| file.starts_with(folder)));
        inside && {
            let info = process.join("fdinfo").join(handle.file_name());
            opened_for_writing(&std::fs::read_to_string(info).unwrap_or_default())
        }
    })
}

/// The octal flags of an open file: the last two bits are the access mode, and 0 is reading.
fn opened_for_writing(info: &str) -> bool {
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    flags.and_then(|f| u64::from_str_radix(f.trim(), 8).ok()).is_some_and(|f| f & 3 != 0)
}

/// Refuses to touch a directory that a server of any make has files of open for writing.
pub(super) fn refuse_writers(folders: &[PathBuf]) -> Result<(), Failure> {
    match writers(folders).first() {
        None => Ok(()),
        Some(user) => Err(Failure::Unable(format!(
            "{user} is working on {}: stop that server first",
            folders.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join(" and ")
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_inside_may_be_given() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join(FOLDER);
        std::fs::create_dir(&inner).unwrap();
        assert_eq!(Place::new(&inner, None, 9).data, dir.path());
        assert_eq!(Place::new(dir.path(), None, 9).snapshots(), inner);
        assert_eq!(home(Path::new(FOLDER)), Path::new("."));
    }

    #[test]
    fn writers_are_found_and_readers_are_not() {
        assert!(opened_for_writing("pos:\t0\nflags:\t0100002\nmnt_id:\t1\n"));
        assert!(opened_for_writing("flags:\t0100001\n"));
        assert!(!opened_for_writing("pos:\t0\nflags:\t0100000\n"));
        assert!(!opened_for_writing(""));
        let dir = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(dir.path().join("log.1")).unwrap();
        let folders = [dir.path().to_path_buf()];
        assert!(writers(&folders).is_empty(), "this process itself does not count");
        let mut child = std::process::Command::new("sleep").arg("60").stdout(log).spawn().unwrap();
        let found = writers(&folders);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found, [User { pid: child.id(), name: "sleep".into() }]);
    }
}
