//! What a start has read is made durable before anything is built on it.
//!
//! The process before may have been killed between a write and its sync. And a sync may have failed: then the system
//! takes the pages for clean, shows their content for as long as they stay in memory, and the next sync says that all is
//! well without writing anything. So what no sync is known to have covered is written once more.
//!
//! Invariant: nothing changes but where the bytes are.

use super::datadir::{DataDir, LogFile};
use super::error::StoreError;
use super::files::Mode;
use super::format::mark::{self, Mark};
use super::format::names;
use std::io;

/// Read and written at once.
const CHUNK: usize = 256 * 1024;

/// Makes durable what recovery has read. Only the newest log can hold what is not: a batch is synced before the next
/// file begins, and each start goes through here.
pub(super) fn harden(dir: &DataDir) -> Result<(), StoreError> {
    if let Some(newest) = dir.log_files()?.last() {
        let mark = dir.files.read(&dir.logs.join(names::MARK), mark::LEN).ok();
        let from = doubtful(newest, mark.and_then(|bytes| Mark::decode(&bytes)));
        rewrite(dir, newest, from).map_err(|e| StoreError::io("sync", &newest.path, e))?;
    }
    for home in [&dir.logs, &dir.snaps] {
        dir.files.sync_dir(home).map_err(|e| StoreError::io("sync", home, e))?;
    }
    Ok(())
}

/// From where on the file may not be on disk. Without a note of ours it is the reference's, or restored: nobody has seen
/// a sync of it fail.
fn doubtful(newest: &LogFile, mark: Option<Mark>) -> u64 {
    match mark {
        Some(mark) if mark.file == newest.zxid => mark.offset,
        Some(mark) if mark.file < newest.zxid => 0,
        _ => newest.len,
    }
}

fn rewrite(dir: &DataDir, log: &LogFile, mut at: u64) -> io::Result<()> {
    let mut file = dir.files.open(&log.path, Mode::Write)?;
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = file.read_at(at, &mut chunk)?;
        let bytes = chunk.get(..read).unwrap_or_default();
        if bytes.is_empty() {
            return file.sync_all();
        }
        // What was only set aside reads as zeros on disk, too.
        if bytes.iter().any(|byte| *byte != 0) {
            file.write_at(at, bytes)?;
        }
        at = at.saturating_add(read as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::super::committer::{DiskCommand, DiskWork};
    use super::super::files::{CrashPlan, Fault, Files, SimFiles};
    use super::super::options::StoreOptions;
    use super::super::txn_log::LogGauges;
    use super::*;
    use crate::types::{Entry, Zxid};
    use bytes::Bytes;
    use std::path::Path;
    use std::sync::Arc;

    fn entry(zxid: i64) -> DiskCommand {
        let mut payload = vec![0; 12];
        payload.extend_from_slice(&zxid.to_be_bytes());
        payload.resize(300, 7);
        DiskCommand::Append(Entry { zxid: Zxid(zxid), payload: Bytes::from(payload) })
    }

    fn open(sim: &SimFiles) -> DataDir {
        DataDir::open(Arc::new(sim.clone()), &StoreOptions::new("/d", "/d")).unwrap()
    }

    /// A log of `durable` transactions, and behind it one whose sync failed.
    fn failed_behind(durable: i64) -> SimFiles {
        let sim = SimFiles::new();
        let options = StoreOptions::new("/d", "/d");
        let gauges = Arc::new(LogGauges::default());
        let mut work = DiskWork::new(open(&sim), options, Zxid(0), gauges);
        for zxid in 1..=durable {
            work.run([entry(zxid)], &mut |_| {}).unwrap();
        }
        sim.inject(Fault::FailedSync, 0);
        assert!(work.run([entry(durable + 1)], &mut |_| {}).is_err());
        drop(work);
        sim.cut_off(sim.recorded())
    }

    /// The log as it is behind a power failure that takes all it can.
    fn after_the_worst(sim: &SimFiles) -> Vec<u8> {
        let prefix = sim.recorded();
        let dropped = sim.unsynced(prefix).into_iter().collect();
        sim.crash(&CrashPlan { prefix, dropped, torn: None })
            .read(Path::new("/d/version-2/log.1"), 1 << 30)
            .unwrap_or_default()
    }

    #[test]
    fn what_a_failed_sync_left_is_written_again() {
        for durable in [1, 5] {
            let sim = failed_behind(durable);
            let shown = sim.read(Path::new("/d/version-2/log.1"), 1 << 30).unwrap();
            let mut file = sim.open(Path::new("/d/version-2/log.1"), Mode::Write).unwrap();
            file.sync_all().unwrap();
            assert_ne!(after_the_worst(&sim), shown, "a sync alone says yes and does nothing");
            harden(&open(&sim)).unwrap();
            assert_eq!(after_the_worst(&sim), shown, "behind {durable}");
        }
    }

    #[test]
    fn what_is_known_to_be_durable_is_left_alone() {
        let log = |zxid, len| LogFile { path: "/d/log".into(), zxid: Zxid(zxid), len };
        let mark = |file, offset| Some(Mark { file: Zxid(file), offset, last: Zxid(file) });
        assert_eq!(doubtful(&log(5, 900), mark(5, 300)), 300);
        assert_eq!(doubtful(&log(5, 900), mark(1, 300)), 0, "its first batch already failed");
        assert_eq!(doubtful(&log(5, 900), None), 900);
        let sim = SimFiles::new();
        sim.create_dirs(Path::new("/d/version-2")).unwrap();
        sim.plant(Path::new("/d/version-2/log.1"), &[7; 1000]);
        harden(&open(&sim)).unwrap();
        assert!(sim.ops().iter().all(|op| !matches!(op, super::super::files::Op::Write { .. })));
    }
}
