//! Can a learner that is far behind be sent transactions from the log on disk, and is that less than a snapshot?
//!
//! It reads and decides nothing else. Invariant: a plan is given only for a piece of history that was read here
//! without a gap, from its first transaction to its last.

use super::datadir::DataDir;
use super::error::StoreError;
use super::log_reader::{LogCursor, Next, files_behind, follows};
use crate::types::Zxid;

/// A log of so many bytes is sent whatever the snapshot's size: at a disk's and a loopback's speed it is a matter
/// of a fraction of a second, and it spares the learner a snapshot of its own.
pub const FLOOR: u64 = 64 * 1024 * 1024;

/// Where a learner's last transaction stands in the log, and how far the log goes on from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The newest transaction that is not behind the learner's last one.
    pub at: Zxid,
    /// The last one.
    pub until: Zxid,
}

/// Looks for a way from `after` to `until`. `factor` of the newest snapshot's size is how much log may be read;
/// a negative one means none (`snapshotSizeFactor`).
pub(crate) fn plan(
    dir: &DataDir,
    limit: usize,
    after: Zxid,
    until: Zxid,
    factor: f64,
) -> Result<Option<Plan>, StoreError> {
    if factor < 0.0 {
        return Ok(None);
    }
    let snapshot = dir.snapshot_files()?.first().map_or(0, |s| s.len);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of a size"
    )]
    let share = (snapshot as f64 * factor) as u64;
    let mut budget = share.max(FLOOR);
    let mut at = None;
    let mut last: Option<Zxid> = None;
    for file in files_behind(dir.log_files()?, after) {
        let mut cursor = LogCursor::open(&*dir.files, &file.path, limit)?;
        while let Next::Record(record) = cursor.step()? {
            if record.zxid > until {
                break;
            }
            if record.zxid <= after {
                at = Some(record.zxid);
                last = at;
                continue;
            }
            // The first record has to be one that the learner may have: else nobody knows what is missing.
            let Some(before) = last else { return Ok(None) };
            if record.zxid <= before {
                continue;
            }
            let size = record.payload.len() as u64;
            if !follows(before, record.zxid) || size > budget {
                return Ok(None);
            }
            budget -= size;
            last = Some(record.zxid);
        }
    }
    Ok(at.zip(last).map(|(at, until)| Plan { at, until }))
}

#[cfg(test)]
mod tests {
    use super::super::files::SimFiles;
    use super::super::format::{log, names};
    use super::super::options::StoreOptions;
    use super::*;
    use std::sync::Arc;

    fn directory(logs: &[&[i64]]) -> DataDir {
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
        dir
    }

    #[test]
    fn a_way_is_unbroken_and_begins_with_something_the_learner_may_have() {
        let dir = directory(&[&[3, 4], &[5, 6, 7]]);
        let ask = |after, until| plan(&dir, 1 << 20, Zxid(after), Zxid(until), 0.33).unwrap();
        let way = |at, until| Some(Plan { at: Zxid(at), until: Zxid(until) });
        assert_eq!(ask(4, 7), way(4, 7));
        assert_eq!(ask(4, 6), way(4, 6), "no further than what is durable");
        assert_eq!(ask(9, 7), way(7, 7), "the learner has more");
        assert_eq!(ask(2, 7), None, "what was before is not known");
        assert_eq!(plan(&dir, 1 << 20, Zxid(4), Zxid(7), -1.0).unwrap(), None, "switched off");
        let gap = directory(&[&[3, 4], &[6, 7]]);
        assert_eq!(plan(&gap, 1 << 20, Zxid(3), Zxid(7), 0.33).unwrap(), None);
        let epochs = directory(&[&[0x1_0000_0001, 0x1_0000_0002, 0x2_0000_0001]]);
        let found = plan(&epochs, 1 << 20, Zxid(0x1_0000_0005), Zxid(0x2_0000_0001), 0.33).unwrap();
        assert_eq!(found.map(|p| p.at), Some(Zxid(0x1_0000_0002)));
    }
}
