//! Taking a consistent copy of files that a server may be writing to.
//!
//! Snapshots are never changed once they are complete, and logs only grow. So: the newest sound snapshot
//! first, then the logs behind it, each up to its last whole record, until no newer log has appeared. A log is
//! read once more after its successor was seen, because only then is it certain to be at its end.

use super::manifest::Held;
use crate::store::datadir::LogFile;
use crate::store::epochs::{self, EpochFile};
use crate::store::files::Mode;
use crate::store::format::log::{self, LogEnd, Why};
use crate::store::format::mark::{self, Mark};
use crate::store::format::{epoch, names};
use crate::store::log_reader::{LogCursor, Next, files_behind};
use crate::store::snapshots::{self, CANDIDATES};
use crate::store::{DataDir, Files, RealFiles};
use crate::tools::failure::Failure;
use crate::tools::io::{FileReader, FileWriter, Seal, Sealer, copy};
use crate::tools::output::Meter;
use crate::tools::snapshot;
use crate::types::Zxid;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a file is looked at again while a server is at work on it.
const ATTEMPTS: u32 = 10;

/// And after which pause: a write or the server's own write buffer takes less.
const PAUSE: Duration = Duration::from_millis(200);

/// What was copied.
pub(super) struct Copied {
    pub(super) files: Vec<Held>,
    pub(super) snapshot: String,
    /// The last transaction in the copy.
    pub(super) last: Zxid,
    /// Newer snapshots that are of no use.
    pub(super) passed_over: Vec<String>,
}

struct Taken {
    name: String,
    zxid: Zxid,
    reach: Option<Zxid>,
    held: Held,
}

/// Copies everything that is needed into `folder`.
pub(super) fn take(dir: &DataDir, folder: &Path, limit: usize, in_use: bool) -> Result<Copied, Failure> {
    one_history(dir)?;
    // Before anything else: what is durable now must be in the copy.
    let mark = dir.files.read(&dir.logs.join(names::MARK), mark::LEN).ok().and_then(|b| Mark::decode(&b));
    let mut passed_over = Vec::new();
    let mut newest_damaged = None;
    let mut newer = dir.snapshot_files()?;
    let taken = newest_snapshot(dir, folder, limit, &mut passed_over, &mut newest_damaged)?;
    newer.retain(|s| s.zxid > taken.zxid && s.zxid.counter() != 0);
    let passed: Vec<Zxid> = newer.iter().map(|s| s.zxid).collect();
    let newest_damaged = newest_damaged.max(passed.iter().copied().max());
    let mut files = vec![taken.held.clone()];
    let last = taken.zxid;
    let mut logs = Logs { dir, folder, limit, in_use, last, passed, pending: None, done: Vec::new() };
    let copied = logs.copy(taken.zxid, taken.reach)?;
    files.extend(copied);
    let last = logs.last;
    if let Some((path, at, why)) = logs.pending {
        return Err(Failure::Found(format!(
            "{} is damaged at offset {at}: {why}; a backup would silently end there. `quoll data verify` tells what can \
             be done",
            path.display()
        )));
    }
    if let Some(damaged) = newest_damaged.filter(|z| *z > last) {
        return Err(Failure::Found(format!(
            "snapshot {damaged} is damaged, and older files lead only to {last}; `quoll data verify` tells what can be \
             done"
        )));
    }
    if let Some(mark) = mark.filter(|m| m.last > last && logs.done.iter().any(|f| f.zxid == m.file)) {
        return Err(Failure::Found(format!(
            "the logs end at {last}, but {} was written and acknowledged (log.{:x}); `quoll data verify` tells what can \
             be done",
            mark.last, mark.file.0
        )));
    }
    // Last of all: an epoch is raised before its first transaction is logged, so these are never behind.
    for (file, name) in
        [(EpochFile::Accepted, names::ACCEPTED_EPOCH), (EpochFile::Current, names::CURRENT_EPOCH)]
    {
        if let Some(value) = epochs::read(dir, file)? {
            files.push(Held::new(name, write_small(&folder.join(name), &epoch::encode(value))?));
        }
    }
    one_history(dir)?;
    RealFiles.sync_dir(folder).map_err(|e| Failure::io("sync", folder, &e))?;
    Ok(Copied { files, snapshot: taken.name, last, passed_over })
}

/// While a history is being replaced or discarded, what is there is neither the old one nor the new one.
fn one_history(dir: &DataDir) -> Result<(), Failure> {
    let note = dir.logs.join(names::INSTALL);
    match RealFiles.kind(&note).map_err(|e| Failure::io("look for", &note, &e))? {
        None => Ok(()),
        Some(_) => Err(Failure::Unable(format!(
            "{} says that the history here is being replaced by a leader's: start the server once, which finishes that, \
             and take the backup then",
            note.display()
        ))),
    }
}

/// Writes a small new file, durably.
pub(super) fn write_small(path: &Path, bytes: &[u8]) -> Result<Seal, Failure> {
    let fail = |e: std::io::Error| Failure::io("write", path, &e);
    let mut writer = FileWriter::new(RealFiles.open(path, Mode::CreateNew).map_err(fail)?);
    let seal = copy(&mut &bytes[..], &mut writer, &mut |_| {}).map_err(fail)?;
    writer.sync().map_err(fail)?;
    Ok(seal)
}

/// Copies one whole file, durably.
pub(super) fn copy_file(from: &Path, to: &Path) -> Result<Seal, Failure> {
    let source = RealFiles.open(from, Mode::Read).map_err(|e| Failure::io("open", from, &e))?;
    let len = source.len().map_err(|e| Failure::io("read", from, &e))?;
    let target = RealFiles.open(to, Mode::CreateNew).map_err(|e| Failure::io("create", to, &e))?;
    let mut writer = FileWriter::new(target);
    let mut meter = Meter::new(format!("copying {}", from.display()), len);
    let seal = copy(&mut FileReader::new(source), &mut writer, &mut |n| meter.at(n))
        .map_err(|e| Failure::io("copy", from, &e))?;
    writer.sync().map_err(|e| Failure::io("write", to, &e))?;
    Ok(seal)
}

fn newest_snapshot(
    dir: &DataDir,
    folder: &Path,
    limit: usize,
    passed_over: &mut Vec<String>,
    newest_damaged: &mut Option<Zxid>,
) -> Result<Taken, Failure> {
    for file in snapshots::candidates(dir, CANDIDATES)? {
        let name = file.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let target = folder.join(&name);
        let seal = match copy_file(&file.path, &target) {
            // A purge took it: there is a newer one by now, or an older one will do.
            Err(_) if matches!(RealFiles.kind(&file.path), Ok(None)) => {
                let _ = RealFiles.remove(&target);
                continue;
            }
            other => other?,
        };
        let source = snapshot::Source::open(std::sync::Arc::new(RealFiles), &target, limit)?;
        let found = snapshot::examine(&source)?;
        if let Some(why) = &found.fault {
            passed_over.push(format!("{} is passed over: {why}", file.path.display()));
            newest_damaged.get_or_insert(file.zxid);
            RealFiles.remove(&target).map_err(|e| Failure::io("remove", &target, &e))?;
            continue;
        }
        return Ok(Taken { held: Held::new(&name, seal), name, zxid: file.zxid, reach: found.reach });
    }
    Err(Failure::Found(format!(
        "there is no sound snapshot in {}; `quoll data verify` tells what is there{}",
        dir.snaps.display(),
        passed_over.iter().map(|p| format!("; {p}")).collect::<String>()
    )))
}

/// The logs behind a snapshot.
struct Logs<'a> {
    dir: &'a DataDir,
    folder: &'a Path,
    limit: usize,
    in_use: bool,
    last: Zxid,
    /// Newer snapshots than the one that was taken, whatever is wrong with them. Each is named after a transaction, which
    /// the logs must hold if they lead there.
    passed: Vec<Zxid>,
    /// Damage at the end of a file, until a later file goes on without a gap.
    pending: Option<(PathBuf, u64, Why)>,
    done: Vec<LogFile>,
}

impl Logs<'_> {
    fn copy(&mut self, from: Zxid, reach: Option<Zxid>) -> Result<Vec<Held>, Failure> {
        let mut copied = Vec::new();
        while let Some(file) = self.next(from, None)? {
            let mut log = LogCopy::new(&file, self.folder);
            let mut superseded = false;
            let mut tries = 0;
            let newest = loop {
                let end = self.catch_up(&mut log)?;
                let newer = self.next(from, Some(&file))?.is_some();
                if newer && !superseded {
                    superseded = true;
                    continue;
                }
                let damaged = matches!(end, LogEnd::Corrupt(..));
                let behind = !newer && reach.is_some_and(|reach| reach > self.last);
                if self.in_use && (damaged || behind) && tries < ATTEMPTS {
                    tries += 1;
                    std::thread::sleep(PAUSE);
                    continue;
                }
                if let LogEnd::Corrupt(at, why) = end {
                    self.pending = Some((file.path.clone(), at, why));
                }
                break !newer;
            };
            copied.extend(log.finish()?);
            self.done.push(file);
            // A file that appears from here on may lie behind records that this one got after it was last read.
            if newest {
                break;
            }
        }
        Ok(copied)
    }

    /// The first file that was not copied yet, behind `current` if that is given.
    fn next(&self, from: Zxid, current: Option<&LogFile>) -> Result<Option<LogFile>, Failure> {
        let files = files_behind(self.dir.log_files()?, from);
        let known = |f: &LogFile| {
            self.done.iter().chain(current).any(|d| d.path == f.path)
                || current.is_some_and(|c| f.zxid <= c.zxid)
        };
        Ok(files.into_iter().find(|f| !known(f)))
    }

    /// Copies the whole records that were not copied yet.
    fn catch_up(&mut self, log: &mut LogCopy<'_>) -> Result<LogEnd, Failure> {
        let mut cursor = LogCursor::open(&*self.dir.files, &log.file.path, self.limit)?;
        let mut meter = Meter::new(format!("copying {}", log.file.path.display()), log.file.len);
        while let Next::Record(record) = cursor.step()? {
            if record.offset < log.read {
                continue;
            }
            if record.zxid == self.last.next() {
                self.pending = None;
            }
            if let Some(lost) = self.passed.iter().find(|s| self.last < **s && **s < record.zxid) {
                return Err(Failure::Found(format!(
                    "snapshot {lost} is damaged, and the transactions that lead to it are in no log: {} is followed by {} \
                     in {}; `quoll data verify` tells what can be done",
                    self.last,
                    record.zxid,
                    log.file.path.display()
                )));
            }
            self.last = self.last.max(record.zxid);
            log.push(&record.payload)?;
            log.read = cursor.offset();
            meter.at(log.read);
        }
        Ok(cursor.judge()?)
    }
}

/// One log on its way into the copy.
struct LogCopy<'a> {
    file: &'a LogFile,
    path: PathBuf,
    name: String,
    /// Offset in the original behind the last copied record.
    read: u64,
    writer: Option<(std::io::BufWriter<FileWriter>, Sealer)>,
    frame: Vec<u8>,
}

impl<'a> LogCopy<'a> {
    fn new(file: &'a LogFile, folder: &Path) -> Self {
        let name = names::log(file.zxid);
        Self { file, path: folder.join(&name), name, read: 0, writer: None, frame: Vec::new() }
    }

    fn push(&mut self, payload: &[u8]) -> Result<(), Failure> {
        let fail = |e: std::io::Error| Failure::io("write", &self.path, &e);
        let (writer, sealer) = match &mut self.writer {
            Some(open) => open,
            empty => {
                let file = RealFiles.open(&self.path, Mode::CreateNew).map_err(fail)?;
                let mut writer =
                    std::io::BufWriter::with_capacity(crate::tools::io::CHUNK, FileWriter::new(file));
                let mut sealer = Sealer::default();
                writer.write_all(&log::header()).map_err(fail)?;
                sealer.add(&log::header());
                empty.insert((writer, sealer))
            }
        };
        self.frame.clear();
        log::push_record(&mut self.frame, payload);
        writer.write_all(&self.frame).map_err(fail)?;
        sealer.add(&self.frame);
        Ok(())
    }

    /// A log without any record is not copied at all.
    fn finish(self) -> Result<Option<Held>, Failure> {
        let Some((writer, sealer)) = self.writer else { return Ok(None) };
        let fail = |e: std::io::Error| Failure::io("write", &self.path, &e);
        let writer = writer.into_inner().map_err(|e| fail(e.into_error()))?;
        writer.sync().map_err(fail)?;
        Ok(Some(Held::new(self.name, sealer.finish())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreOptions;
    use crate::store::format::snapshot as stream;
    use crate::tools::meanwhile::{Meanwhile, log_of, records};
    use std::sync::Arc;

    const LIMIT: usize = 1 << 20;

    #[test]
    fn a_server_that_goes_on_in_other_files_leaves_no_gap_in_a_copy() {
        for call in 0.. {
            let (home, away) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let folder = home.path().join(names::FOLDER);
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join("snapshot.0"), stream::empty()).unwrap();
            std::fs::write(folder.join("log.1"), log_of(1..=3)).unwrap();
            let goes_on = move || {
                let mut old = std::fs::OpenOptions::new().append(true).open(folder.join("log.1")).unwrap();
                old.write_all(&records(4..=4)).unwrap();
                std::fs::write(folder.join("log.5"), log_of(5..=6)).unwrap();
                std::fs::write(folder.join("log.7"), log_of(7..=7)).unwrap();
            };
            let files = Arc::new(Meanwhile::new(call, goes_on));
            let dir = DataDir::unlocked(
                Arc::clone(&files) as Arc<dyn Files>,
                &StoreOptions::new(home.path(), home.path()),
            );
            let copied = take(&dir, away.path(), LIMIT, true).unwrap();
            let mut found = Vec::new();
            for file in copied.files.iter().filter(|f| f.name.starts_with("log.")) {
                let mut cursor = LogCursor::open(&RealFiles, &away.path().join(&file.name), LIMIT).unwrap();
                while let Next::Record(record) = cursor.step().unwrap() {
                    found.push(record.zxid.0);
                }
            }
            assert_eq!(found, (1..=copied.last.0).collect::<Vec<_>>(), "at call {call}");
            assert!(copied.last.0 >= 3);
            if !files.happened() {
                assert!(call > 5, "only {call} calls");
                break;
            }
        }
    }
}
