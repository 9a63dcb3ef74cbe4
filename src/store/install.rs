//! A snapshot that came from a leader takes the place of the whole history: durably, and at once.
//!
//! A note in the log directory names what the snapshot replaces. It is written before the snapshot has its name, and
//! goes when everything it names is gone; a start in between looks whether the snapshot is there, and either
//! finishes the exchange or forgets it. So no log of the old history is ever read behind the new snapshot, and
//! the old history is whole until the new one is durable. The same note without a snapshot discards everything.

use super::datadir::{DataDir, SnapshotFile};
use super::error::StoreError;
use super::files::{self, Kind, Mode};
use super::format::names::{self, Compression};
use super::snapshots::{self, SnapshotSource, Written};
use super::truncate;
use crate::types::Zxid;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The longest note that makes sense: some ten thousand names.
const NOTE_LIMIT: usize = 1 << 20;

/// So many bytes at the end of a snapshot tell it from another one of the same name: its checksum is among them.
const TAIL: usize = 64;

/// Stands for the snapshot in a note that replaces everything by nothing.
const NOTHING: &str = "nothing";

/// Writes the snapshot `zxid`, which replaces everything there is. `finish` has to follow before anything is logged.
pub fn write(
    dir: &DataDir,
    zxid: Zxid,
    compression: Compression,
    source: &mut dyn SnapshotSource,
) -> Result<Option<Written>, StoreError> {
    let path = dir.snaps.join(names::snapshot(zxid, compression));
    snapshots::write_noting(dir, zxid, compression, source, &mut || true, &mut |temporary| {
        let found = fingerprint(dir, temporary).map_err(|e| StoreError::snapshot("read", temporary, e))?;
        note(dir, &path, &found, zxid)
    })
}

fn fingerprint(dir: &DataDir, path: &Path) -> std::io::Result<String> {
    let file = dir.files.open(path, Mode::Read)?;
    let len = file.len()?;
    let mut tail = [0; TAIL];
    let n = file.read_at(len.saturating_sub(TAIL as u64), &mut tail)?;
    let mut text = len.to_string();
    for byte in tail.iter().take(n) {
        _ = write!(text, ":{byte:x}");
    }
    Ok(text)
}

fn note_path(dir: &DataDir) -> PathBuf {
    dir.logs.join(names::INSTALL)
}

/// Names all logs, and all snapshots that recovery would prefer to the new one.
fn note(dir: &DataDir, snapshot: &Path, fingerprint: &str, zxid: Zxid) -> Result<(), StoreError> {
    let rival = |s: &SnapshotFile| s.zxid >= zxid && s.path != snapshot;
    let rivals: Vec<SnapshotFile> = dir.snapshot_files()?.into_iter().filter(rival).collect();
    write_note(dir, &format!("{} {fingerprint}", name(snapshot)), &rivals)
}

fn name(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

fn write_note(dir: &DataDir, first: &str, snapshots: &[SnapshotFile]) -> Result<(), StoreError> {
    let mut text = format!("{first}\n");
    for log in dir.log_files()?.iter().rev() {
        _ = writeln!(text, "{}", name(&log.path));
    }
    for old in snapshots {
        _ = writeln!(text, "{}", name(&old.path));
    }
    let path = note_path(dir);
    let temporary = dir.logs.join(format!("{}{}", names::TEMPORARY, names::INSTALL));
    files::replace(&*dir.files, &path, &temporary, text.as_bytes())
        .map_err(|e| StoreError::io("write", &path, e))
}

/// Removes the whole history. A part of it may be less than this server has acknowledged, so from the note on no start
/// of ours uses any: the server has no vote until a leader has sent it everything. The reference, which knows no note,
/// finds a history it can start on at every step: logs go first, newest first, and the newest snapshot last.
pub(crate) fn discard(dir: &DataDir) -> Result<(), StoreError> {
    let mut snapshots = dir.snapshot_files()?;
    snapshots.reverse();
    write_note(dir, &format!("{NOTHING} -"), &snapshots)?;
    finish(dir)
}

/// Removes what an installed snapshot replaced; forgets the note of one that never got its name. Without a note
/// it does nothing.
pub(crate) fn finish(dir: &DataDir) -> Result<(), StoreError> {
    let path = note_path(dir);
    let io = |what, at: &Path, e| StoreError::io(what, at, e);
    if dir.files.kind(&path).map_err(|e| io("look for", &path, e))? != Some(Kind::File) {
        return Ok(());
    }
    let bytes = dir.files.read(&path, NOTE_LIMIT).map_err(|e| io("read", &path, e))?;
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.lines();
    let (snapshot, wanted) = lines.next().and_then(|line| line.split_once(' ')).unwrap_or_default();
    let discards = snapshot == NOTHING;
    let is_there = names::snapshot_zxid(snapshot).is_some()
        && fingerprint(dir, &dir.snaps.join(snapshot)).is_ok_and(|found| found == wanted);
    if is_there || discards {
        truncate::forget_mark(dir)?;
        for name in lines {
            let home = match (names::log_zxid(name), names::snapshot_zxid(name)) {
                (Some(_), _) => &dir.logs,
                (_, Some(_)) => &dir.snaps,
                // Nothing else was ever noted.
                _ => continue,
            };
            let doomed = home.join(name);
            match dir.files.remove(&doomed) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(io("remove", &doomed, e)),
                _ => {}
            }
            if discards {
                dir.files.sync_dir(home).map_err(|e| io("sync", home, e))?;
            }
        }
        for home in [&dir.logs, &dir.snaps] {
            dir.files.sync_dir(home).map_err(|e| io("sync", home, e))?;
        }
    }
    dir.files.remove(&path).map_err(|e| io("remove", &path, e))?;
    dir.files.sync_dir(&dir.logs).map_err(|e| io("sync", &dir.logs, e))
}

#[cfg(test)]
mod tests {
    use super::super::files::{CrashPlan, Files, SimFiles};
    use super::super::format::log;
    use super::super::options::StoreOptions;
    use super::super::snapshots::PutNode;
    use super::*;
    use crate::types::SessionId;
    use jute::records::data::{Acl, StatPersisted};
    use std::sync::Arc;

    struct Nodes(&'static [&'static str]);

    impl SnapshotSource for Nodes {
        fn sessions(&mut self) -> Vec<(SessionId, i32)> {
            Vec::new()
        }
        fn acls(&mut self) -> Vec<(i64, Vec<Acl<'static>>)> {
            Vec::new()
        }
        fn next_slice(&mut self, put: &mut PutNode<'_>) -> bool {
            self.0.iter().for_each(|path| put(path, None, -1, &StatPersisted::default()));
            false
        }
        fn digest(&mut self) -> Option<(Zxid, i64)> {
            None
        }
        fn last_zxid(&mut self) -> Option<Zxid> {
            None
        }
    }

    fn old_history(sim: &SimFiles) -> DataDir {
        let dir = DataDir::open(Arc::new(sim.clone()), &StoreOptions::new("/d", "/d")).unwrap();
        snapshots::write(&dir, Zxid(5), Compression::Plain, &mut Nodes(&["", "/old"]), &mut || true).unwrap();
        snapshots::write(&dir, Zxid(9), Compression::Plain, &mut Nodes(&["", "/old"]), &mut || true).unwrap();
        for name in ["log.1", "log.8"] {
            sim.plant(&dir.logs.join(name), &log::header());
        }
        dir
    }

    fn names_of(sim: &SimFiles) -> Vec<String> {
        sim.list(Path::new("/d/version-2")).unwrap().into_iter().map(|f| f.name).collect()
    }

    #[test]
    fn everything_older_goes_and_what_recovery_would_prefer() {
        let sim = SimFiles::new();
        let dir = old_history(&sim);
        write(&dir, Zxid(7), Compression::Plain, &mut Nodes(&["", "/new"])).unwrap().unwrap();
        finish(&dir).unwrap();
        assert_eq!(names_of(&sim), ["snapshot.5", "snapshot.7"]);
        finish(&dir).unwrap();
        assert!(sim.unsynced(sim.recorded()).is_empty());
    }

    #[test]
    fn a_crash_leaves_either_the_old_history_or_the_new_snapshot() {
        for name in [Zxid(7), Zxid(5), Zxid(9)] {
            let sim = SimFiles::new();
            let dir = old_history(&sim);
            let before = sim.recorded();
            write(&dir, name, Compression::Plain, &mut Nodes(&["", "/new", "/more"])).unwrap().unwrap();
            finish(&dir).unwrap();
            let new_one = dir.snaps.join(names::snapshot(name, Compression::Plain));
            let new_one = fingerprint(&dir, &new_one).unwrap();
            let (mut old, mut new) = (0, 0);
            for at in before..=sim.recorded() {
                let after = sim.crash(&CrashPlan {
                    prefix: at,
                    dropped: sim.unsynced(at).into_iter().collect(),
                    torn: None,
                });
                let dir = DataDir::unlocked(Arc::new(after.clone()), &StoreOptions::new("/d", "/d"));
                dir.sweep().unwrap();
                finish(&dir).unwrap();
                let left = names_of(&after);
                let newest = dir.snapshot_files().unwrap()[0].clone();
                if fingerprint(&dir, &newest.path).unwrap() == new_one {
                    new += 1;
                    assert!(!left.iter().any(|n| n.starts_with("log.")), "{at}: {left:?}");
                } else {
                    old += 1;
                    assert_eq!(left.iter().filter(|n| n.starts_with("log.")).count(), 2, "{at}: {left:?}");
                    assert_eq!(newest.zxid, Zxid(9));
                }
            }
            assert!(old > 2 && new > 2, "{old} {new}");
        }
    }
}
