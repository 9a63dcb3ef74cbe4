//! Forgetting the end of the history: a leader says that nothing behind a zxid was ever committed.
//!
//! The order of the steps keeps every state on the way a sound, if longer, history: newest first, and the file
//! that holds the cut last. Snapshots that may hold what is forgotten go too, or a restart would bring it back. Where
//! nothing leads to the place, everything goes, by a note that a restart obeys: see [`install`].

use super::datadir::{DataDir, LogFile};
use super::error::StoreError;
use super::files::Mode;
use super::format::names;
use super::install;
use super::log_reader::{LogCursor, Next, files_behind, follows};
use super::options::StoreOptions;
use super::snapshots;
use crate::types::Zxid;

/// What is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truncated {
    /// The end of the history.
    pub last: Zxid,
    /// A snapshot and the logs behind it still lead to `last`: recover from them. When not, everything was
    /// discarded and `last` is zero: ask for a full snapshot.
    pub recoverable: bool,
}

/// Cuts the history behind `to`.
pub(crate) fn after(dir: &DataDir, options: &StoreOptions, to: Zxid) -> Result<Truncated, StoreError> {
    let refuse = |why: &str| StoreError::Truncate { to, why: why.to_owned() };
    let cannot = |e: StoreError| match e {
        StoreError::Truncate { .. } => e,
        other => StoreError::Truncate { to, why: other.to_string() },
    };
    let logs = dir.log_files().map_err(cannot)?;
    let snapshots = dir.snapshot_files().map_err(cannot)?;
    // A snapshot from a leader may be all there is, and know more than is to be kept: then it goes.
    if logs.is_empty() && snapshots.iter().all(|s| s.zxid < to) {
        return Err(refuse("no log files found to truncate"));
    }
    // Which snapshots know nothing of what is to be forgotten, and is there a way from one of them to the cut?
    let mut dirty = Vec::new();
    let mut recoverable = false;
    for snapshot in &snapshots {
        if snapshot.zxid > to {
            dirty.push(snapshot);
            continue;
        }
        match snapshots::verify(dir, snapshot, options.limit) {
            Ok(trailer) if trailer.reach().is_some_and(|reach| reach > to) => dirty.push(snapshot),
            Ok(_) => {
                recoverable =
                    recoverable || reaches(dir, options, &logs, snapshot.zxid, to).map_err(cannot)?
            }
            // A damaged one proves nothing either way; recovery passes over it.
            Err(_) => {}
        }
    }
    if !recoverable {
        if highest(dir, options, &logs).map_err(cannot)?.max(snapshots.first().map(|s| s.zxid)) < Some(to) {
            return Err(refuse("the history here ends before it"));
        }
        install::discard(dir).map_err(cannot)?;
        return Ok(Truncated { last: Zxid::ZERO, recoverable });
    }
    forget_mark(dir).map_err(cannot)?;
    for snapshot in &dirty {
        dir.files.remove(&snapshot.path).map_err(|e| cannot(StoreError::io("remove", &snapshot.path, e)))?;
    }
    if !dirty.is_empty() {
        dir.files.sync_dir(&dir.snaps).map_err(|e| cannot(StoreError::io("sync", &dir.snaps, e)))?;
    }
    for file in logs.iter().rev() {
        cut_file(dir, options, file, to).map_err(cannot)?;
    }
    Ok(Truncated { last: to, recoverable })
}

/// The note of what is durable must not outlive what is cut on purpose.
pub(crate) fn forget_mark(dir: &DataDir) -> Result<(), StoreError> {
    let path = dir.logs.join(names::MARK);
    match dir.files.remove(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(StoreError::io("remove", &path, e)),
        Ok(()) => dir.files.sync_dir(&dir.logs).map_err(|e| StoreError::io("sync", &dir.logs, e)),
    }
}

/// Removes everything behind `to` from one file; a file that keeps nothing goes. One sync per step, so that no
/// later step can be on disk before an earlier one.
fn cut_file(dir: &DataDir, options: &StoreOptions, file: &LogFile, to: Zxid) -> Result<(), StoreError> {
    let mut cursor = LogCursor::open(&*dir.files, &file.path, options.limit)?;
    let mut keep = None;
    while let Next::Record(record) = cursor.step()? {
        if record.zxid > to {
            break;
        }
        keep = Some(cursor.offset());
    }
    let Some(end) = keep else {
        dir.files.remove(&file.path).map_err(|e| StoreError::io("remove", &file.path, e))?;
        return dir.files.sync_dir(&dir.logs).map_err(|e| StoreError::io("sync", &dir.logs, e));
    };
    if end == cursor.file_len() {
        return Ok(());
    }
    cut_at(dir, &file.path, end)
}

/// Gives a file another end, durably.
pub(crate) fn cut_at(dir: &DataDir, path: &std::path::Path, end: u64) -> Result<(), StoreError> {
    let mut file = dir.files.open(path, Mode::Write).map_err(|e| StoreError::io("open", path, e))?;
    file.set_len(end).map_err(|e| StoreError::io("cut", path, e))?;
    file.sync_all().map_err(|e| StoreError::io("sync", path, e))
}

/// Do the logs lead from a snapshot to the cut without a gap?
fn reaches(
    dir: &DataDir,
    options: &StoreOptions,
    logs: &[LogFile],
    from: Zxid,
    to: Zxid,
) -> Result<bool, StoreError> {
    let mut last = from;
    for file in files_behind(logs.to_vec(), from) {
        let mut cursor = LogCursor::open(&*dir.files, &file.path, options.limit)?;
        while last != to {
            match cursor.step()? {
                Next::Record(r) if r.zxid <= last => {}
                Next::Record(r) if r.zxid <= to && follows(last, r.zxid) => last = r.zxid,
                Next::Record(_) => return Ok(false),
                Next::End => break,
            }
        }
    }
    Ok(last == to)
}

/// The last transaction of the newest log that has one.
fn highest(dir: &DataDir, options: &StoreOptions, logs: &[LogFile]) -> Result<Option<Zxid>, StoreError> {
    for file in logs.iter().rev() {
        let mut cursor = LogCursor::open(&*dir.files, &file.path, options.limit)?;
        let mut last = None;
        while let Next::Record(record) = cursor.step()? {
            last = last.max(Some(record.zxid));
        }
        if last.is_some() {
            return Ok(last);
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::super::files::{Files, SimFiles};
    use super::super::format::log;
    use super::super::format::snapshot::{Encoder, Trailer, TreeDigest};
    use super::*;
    use std::path::Path;
    use std::sync::Arc;

    fn directory(logs: &[&[i64]], snapshots: &[(i64, i64)]) -> (SimFiles, DataDir, StoreOptions) {
        let sim = SimFiles::new();
        let options = StoreOptions::new("/d", "/d");
        let dir = DataDir::open(Arc::new(sim.clone()), &options).unwrap();
        for zxids in logs {
            let mut out = log::header().to_vec();
            for zxid in *zxids {
                let mut payload = vec![1; 12];
                payload.extend_from_slice(&zxid.to_be_bytes());
                payload.resize(40, 3);
                log::push_record(&mut out, &payload);
            }
            out.resize(out.len() + 700, 0);
            sim.plant(&dir.logs.join(names::log(Zxid(zxids[0]))), &out);
        }
        for (zxid, reach) in snapshots {
            let mut encoder = Encoder::new(&[], &[]);
            let digest = TreeDigest { zxid: Zxid(*reach), version: 2, value: 0 };
            encoder.finish(&Trailer { digest: Some(digest), last_zxid: None });
            sim.plant(&dir.snaps.join(format!("snapshot.{zxid:x}")), encoder.buffered());
        }
        (sim, dir, options)
    }

    fn left(sim: &SimFiles) -> Vec<(String, u64)> {
        let listed = sim.list(Path::new("/d/version-2")).unwrap();
        listed.into_iter().map(|f| (f.name, f.len)).collect()
    }

    #[test]
    fn everything_behind_goes_with_the_snapshots_that_know_of_it() {
        let (sim, dir, options) = directory(&[&[1, 2, 3], &[4, 5], &[6]], &[(0, 0), (2, 4), (5, 5)]);
        sim.plant(&dir.logs.join(names::MARK), b"x");
        let done = after(&dir, &options, Zxid(2)).unwrap();
        assert_eq!(done, Truncated { last: Zxid(2), recoverable: true });
        let end = 16 + 2 * 53;
        assert_eq!(left(&sim), [("log.1".into(), end), ("snapshot.0".into(), 16 + 8 + 5 + 13 + 33)]);
        assert!(sim.unsynced(sim.recorded()).is_empty());
    }

    #[test]
    fn a_place_that_is_not_logged_never_leaves_a_later_record() {
        // The snapshot came from the leader; the log behind it begins later than the cut.
        let (sim, dir, options) = directory(&[&[4, 5]], &[(3, 3)]);
        assert_eq!(after(&dir, &options, Zxid(3)).unwrap().last, Zxid(3));
        assert_eq!(left(&sim).len(), 1, "{:?}", left(&sim));
    }

    #[test]
    fn with_no_way_to_the_place_everything_goes() {
        let (sim, dir, options) = directory(&[&[4, 5, 6]], &[(3, 6)]);
        let done = after(&dir, &options, Zxid(5)).unwrap();
        assert_eq!(done, Truncated { last: Zxid::ZERO, recoverable: false });
        assert!(left(&sim).is_empty());
    }

    #[test]
    fn a_snapshot_from_a_leader_alone_is_forgotten_as_well() {
        let (sim, dir, options) = directory(&[], &[(0, 0), (9, 9)]);
        let done = after(&dir, &options, Zxid(5)).unwrap();
        assert_eq!(done, Truncated { last: Zxid::ZERO, recoverable: false });
        assert!(left(&sim).is_empty());
        let (_, dir, options) = directory(&[], &[(0, 0), (9, 9)]);
        assert_eq!(after(&dir, &options, Zxid(9)).unwrap().last, Zxid(9));
    }

    #[test]
    fn beyond_the_end_is_refused_and_nothing_is_touched() {
        let (sim, dir, options) = directory(&[&[1, 2]], &[(0, 0)]);
        let e = after(&dir, &options, Zxid(9)).unwrap_err();
        assert_eq!(e.exit_code(), 13);
        assert_eq!(sim.recorded(), 0);
        let (_, dir, options) = directory(&[], &[(0, 0)]);
        assert!(
            after(&dir, &options, Zxid(9))
                .unwrap_err()
                .to_string()
                .contains("no log files found to truncate")
        );
    }
}
