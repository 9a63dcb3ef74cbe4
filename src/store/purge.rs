//! Removing what is no longer needed, by the reference's rules: the newest snapshots stay, and every log that
//! the oldest of them may need.

use super::datadir::DataDir;
use super::error::StoreError;
use super::snapshots;
use std::path::PathBuf;

/// Fewer snapshots than this are never kept.
pub const RETAIN_MIN: usize = 3;

/// Removes old snapshots and logs; returns what went, in the order it went.
///
/// Snapshots that fail the quick check do not count as kept. Snapshots go before logs and old before new, so
/// that what is left at any moment can still be recovered from.
pub fn purge(dir: &DataDir, retain: usize) -> Result<Vec<PathBuf>, StoreError> {
    let kept = snapshots::candidates(dir, retain.max(RETAIN_MIN))?;
    let Some(oldest) = kept.last().map(|s| s.zxid) else { return Ok(Vec::new()) };
    let mut doomed: Vec<(_, PathBuf)> =
        dir.snapshot_files()?.into_iter().filter(|s| s.zxid < oldest).map(|s| (s.zxid, s.path)).collect();
    doomed.sort();
    let mut doomed: Vec<PathBuf> = doomed.into_iter().map(|(_, path)| path).collect();
    let logs = dir.log_files()?;
    let needed = logs.iter().filter(|l| l.zxid <= oldest).map(|l| l.zxid).max();
    doomed.extend(logs.into_iter().filter(|l| l.zxid < oldest && Some(l.zxid) != needed).map(|l| l.path));
    doomed.extend(dir.unreadable_names()?);
    for path in &doomed {
        match dir.files.remove(path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::io("remove", path, e));
            }
            _ => {}
        }
    }
    Ok(doomed)
}

#[cfg(test)]
mod tests {
    use super::super::files::{Files, SimFiles};
    use super::super::format::{log, snapshot};
    use super::super::options::StoreOptions;
    use super::*;
    use std::path::Path;
    use std::sync::Arc;

    #[test]
    fn keeps_three_sound_snapshots_and_the_logs_they_need() {
        let sim = SimFiles::new();
        let dir = DataDir::open(Arc::new(sim.clone()), &StoreOptions::new("/d", "/d")).unwrap();
        let at = |name: &str| Path::new("/d/version-2").join(name);
        for zxid in [0, 0x10, 0x20, 0x30, 0x40] {
            sim.plant(&at(&format!("snapshot.{zxid:x}")), &snapshot::empty());
        }
        sim.plant(&at("snapshot.50"), b"torn, without the tail");
        sim.plant(&at("snapshot.zz"), b"");
        for zxid in [1, 0x11, 0x18, 0x21, 0x31] {
            sim.plant(&at(&format!("log.{zxid:x}")), &log::header());
        }
        sim.plant(&at("currentEpoch"), b"1");
        let gone = purge(&dir, 1).unwrap();
        assert_eq!(gone, [at("snapshot.0"), at("snapshot.10"), at("log.1"), at("log.11"), at("snapshot.zz")]);
        let left: Vec<String> = sim.list(&dir.snaps).unwrap().into_iter().map(|f| f.name).collect();
        assert_eq!(
            left,
            [
                "currentEpoch",
                "log.18",
                "log.21",
                "log.31",
                "snapshot.20",
                "snapshot.30",
                "snapshot.40",
                "snapshot.50"
            ]
        );
    }

    #[test]
    fn nothing_sound_nothing_purged() {
        let sim = SimFiles::new();
        let dir = DataDir::open(Arc::new(sim.clone()), &StoreOptions::new("/d", "/d")).unwrap();
        sim.plant(Path::new("/d/version-2/snapshot.5"), b"torn");
        assert!(purge(&dir, 3).unwrap().is_empty());
    }
}
