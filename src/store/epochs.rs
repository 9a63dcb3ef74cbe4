//! The two epoch files of an ensemble member: saving them so that no crash shows half a number, and judging
//! them against the history at start. A standalone server never comes here.

use super::datadir::DataDir;
use super::error::StoreError;
use super::files::{self, Kind};
use super::format::{epoch, names};
use crate::types::{Epoch, Zxid};
use std::path::PathBuf;

pub use crate::types::EpochFile;

const fn name(file: EpochFile) -> &'static str {
    match file {
        EpochFile::Accepted => names::ACCEPTED_EPOCH,
        EpochFile::Current => names::CURRENT_EPOCH,
    }
}

fn path(dir: &DataDir, file: EpochFile) -> PathBuf {
    dir.snaps.join(name(file))
}

fn temporary(dir: &DataDir, file: EpochFile) -> PathBuf {
    dir.snaps.join(format!("{}.tmp", name(file)))
}

/// Both, as an ensemble member begins with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epochs {
    /// The newest epoch promised to a leader.
    pub accepted: Epoch,
    /// The epoch whose history was adopted.
    pub current: Epoch,
}

/// Writes one, durably.
pub fn save(dir: &DataDir, file: EpochFile, value: Epoch) -> Result<(), StoreError> {
    let path = path(dir, file);
    files::replace(&*dir.files, &path, &temporary(dir, file), &epoch::encode(value))
        .map_err(|e| StoreError::io("write", &path, e))
}

/// Reads one; `None` when there is none.
pub fn read(dir: &DataDir, file: EpochFile) -> Result<Option<Epoch>, StoreError> {
    read_at(dir, path(dir, file))
}

fn read_at(dir: &DataDir, path: PathBuf) -> Result<Option<Epoch>, StoreError> {
    if dir.files.kind(&path).map_err(|e| StoreError::io("look for", &path, e))? != Some(Kind::File) {
        return Ok(None);
    }
    let bytes = dir.files.read(&path, epoch::LIMIT).map_err(|e| StoreError::io("read", &path, e))?;
    match epoch::decode(&bytes) {
        Some(value) => Ok(Some(value)),
        None => Err(StoreError::Damaged {
            file: path,
            offset: 0,
            what: "it holds no epoch number".into(),
            remedy: "take the number from another member's file of the same name, never a lower one than any vote \
                     of this server, or move the whole data directory away and let it fetch a snapshot"
                .into(),
        }),
    }
}

/// Both files against the last transaction, as `QuorumPeer.loadDataBase` judges them: missing ones are made
/// from the history, a half-finished raise of the current epoch is completed, contradictions refuse.
pub fn load(dir: &DataDir, last: Zxid) -> Result<Epochs, StoreError> {
    let of_history = Epoch(last.epoch().0.max(0));
    let current = match read(dir, EpochFile::Current)? {
        None => {
            save(dir, EpochFile::Current, of_history)?;
            of_history
        }
        Some(current) if of_history > current => {
            let raised = read_at(dir, temporary(dir, EpochFile::Current)).ok().flatten();
            match raised.filter(|raised| *raised >= of_history) {
                Some(raised) => {
                    save(dir, EpochFile::Current, raised)?;
                    raised
                }
                // A synchronization was cut short: the history is there, up to some transaction of a newer epoch, and
                // with it all that this epoch began with. The promise that came first proves it. The reference refuses.
                None if read(dir, EpochFile::Accepted)?.is_some_and(|accepted| accepted >= of_history) => {
                    save(dir, EpochFile::Current, of_history)?;
                    of_history
                }
                None => {
                    return Err(StoreError::Epoch(format!(
                        "The current epoch, {:x}, is older than the last zxid, {} ({})",
                        current.0,
                        last.0,
                        path(dir, EpochFile::Current).display()
                    )));
                }
            }
        }
        Some(current) => current,
    };
    let stored = read(dir, EpochFile::Accepted)?;
    let accepted = stored.unwrap_or(of_history);
    if accepted < current {
        return Err(StoreError::Epoch(format!(
            "The accepted epoch, {:x} is less than the current epoch, {:x} ({})",
            accepted.0,
            current.0,
            path(dir, EpochFile::Accepted).display()
        )));
    }
    if stored.is_none() {
        save(dir, EpochFile::Accepted, accepted)?;
    }
    Ok(Epochs { accepted, current })
}

#[cfg(test)]
mod tests {
    use super::super::files::{Files, SimFiles};
    use super::super::options::StoreOptions;
    use super::*;
    use std::path::Path;
    use std::sync::Arc;

    fn dir() -> (SimFiles, DataDir) {
        let sim = SimFiles::new();
        let dir = DataDir::open(Arc::new(sim.clone()), &StoreOptions::new("/d", "/d")).unwrap();
        (sim, dir)
    }

    fn at(epoch: i64, counter: u32) -> Zxid {
        Zxid::new(Epoch(epoch), counter)
    }

    #[test]
    fn missing_files_are_made_from_the_history() {
        let (sim, dir) = dir();
        assert_eq!(load(&dir, at(3, 5)).unwrap(), Epochs { accepted: Epoch(3), current: Epoch(3) });
        assert_eq!(sim.read(Path::new("/d/version-2/currentEpoch"), 99).unwrap(), b"3");
        assert!(sim.unsynced(sim.recorded()).is_empty());
        assert_eq!(load(&dir, at(3, 9)).unwrap().current, Epoch(3));
    }

    #[test]
    fn a_raise_cut_short_is_completed() {
        let (sim, dir) = dir();
        save(&dir, EpochFile::Current, Epoch(3)).unwrap();
        save(&dir, EpochFile::Accepted, Epoch(3)).unwrap();
        assert!(load(&dir, at(4, 1)).unwrap_err().to_string().contains("older than the last zxid"));
        save(&dir, EpochFile::Accepted, Epoch(5)).unwrap();
        sim.plant(Path::new("/d/version-2/currentEpoch.tmp"), b"4");
        assert_eq!(load(&dir, at(4, 1)).unwrap(), Epochs { accepted: Epoch(5), current: Epoch(4) });
    }

    #[test]
    fn a_synchronization_cut_short_is_a_history_of_its_newest_epoch() {
        let (sim, dir) = dir();
        save(&dir, EpochFile::Current, Epoch(2)).unwrap();
        save(&dir, EpochFile::Accepted, Epoch(8)).unwrap();
        assert_eq!(load(&dir, at(7, 16)).unwrap(), Epochs { accepted: Epoch(8), current: Epoch(7) });
        assert!(sim.unsynced(sim.recorded()).is_empty());
    }

    #[test]
    fn contradictions_and_damage_refuse() {
        let (sim, dir) = dir();
        save(&dir, EpochFile::Current, Epoch(3)).unwrap();
        save(&dir, EpochFile::Accepted, Epoch(2)).unwrap();
        assert!(load(&dir, at(3, 1)).unwrap_err().to_string().contains("less than the current epoch"));
        sim.plant(Path::new("/d/version-2/acceptedEpoch"), b"4x");
        assert!(matches!(load(&dir, at(3, 1)), Err(StoreError::Damaged { .. })));
    }
}
