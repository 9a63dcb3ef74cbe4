//! `quoll backup` and `quoll restore`.
//!
//! A backup is a data directory of its own, `version-2` with the newest sound snapshot and the logs behind it,
//! and beside it `backup.json`, which names every file with its length and SHA-256. As one file it is a
//! gzipped tar of the same. Any ZooKeeper server starts on an unpacked one.
//!
//! Invariants: a target under its final name is complete and was recovered from once; a restore changes
//! nothing of a data directory before the new one stands complete beside it, and removes nothing at all.

mod archive;
mod copy;
mod create;
mod manifest;
mod restore;
mod swap;

pub(super) use create::backup;
pub(super) use restore::restore;

use super::failure::Failure;
use super::rehearse::{Rehearsal, rehearse};
use crate::state::TreeView as _;
use crate::store::{Files, RealFiles};
use crate::tools::place::Place;
use crate::types::Zxid;
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Removes a directory of ours that was not finished.
struct Staging {
    path: PathBuf,
    /// Something of the server's ended up in it.
    kept: Cell<bool>,
}

impl Staging {
    /// Makes it; nothing may be there.
    fn make(path: PathBuf) -> Result<Self, Failure> {
        if !matches!(RealFiles.kind(&path), Ok(None)) {
            return Err(Failure::Unable(format!("{} is there already; remove it first", path.display())));
        }
        RealFiles.create_dirs(&path).map_err(|e| Failure::io("create", &path, &e))?;
        Ok(Self { path, kept: Cell::new(false) })
    }

    /// It is not removed any more.
    fn keep(&self) {
        self.kept.set(true);
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // It bears a name that nobody else uses, and what is in it is a copy.
        if !self.kept.get() {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// What a proven copy leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Proof {
    zxid: Zxid,
    transactions: u64,
    nodes: u64,
    sessions: u64,
    digest: Option<String>,
}

/// Recovers from a copy as a server would, and refuses one that is not complete.
fn prove(place: &Place, what: &Path) -> Result<Proof, Failure> {
    let Rehearsal { outcome, machine, epochs, .. } = rehearse(place, Arc::new(RealFiles));
    let refuse = |why: String| Failure::Found(format!("{} cannot be recovered from: {why}", what.display()));
    let found = outcome.map_err(|e| refuse(e.to_string()))?;
    if let Some(reach) = found.uncovered {
        return Err(refuse(format!(
            "the snapshot holds effects of transactions up to {reach}, but the logs end at {}",
            found.last_zxid
        )));
    }
    if let Some(Err(why)) = epochs {
        return Err(refuse(why.to_string()));
    }
    let Some(machine) = machine else { return Err(refuse("there is no database in it".to_owned())) };
    Ok(Proof {
        zxid: found.last_zxid,
        transactions: found.txns,
        nodes: machine.node_count() as u64,
        sessions: machine.sessions().len() as u64,
        digest: machine.digest().map(|d| format!("{d:x}")),
    })
}

/// The directory a path is in.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_staged_goes_unless_it_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        for kept in [false, true] {
            let staging = Staging::make(dir.path().join("partial")).unwrap();
            if kept {
                staging.keep();
            }
            drop(staging);
            assert_eq!(dir.path().join("partial").exists(), kept);
        }
    }
}
