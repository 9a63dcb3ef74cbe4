//! The logs behind a snapshot: order, gaps, and the judgement on every file's end.
//!
//! The scan runs on the reader's side and decides; the sink only applies. Files are repaired when everything
//! else has succeeded, so a start that is refused leaves the logs as they were.

use super::datadir::{DataDir, LogFile};
use super::error::StoreError;
use super::files::{Files, Mode};
use super::format::log::{self, LogEnd, Scanned, Why};
use super::format::mark::{self, Mark};
use super::format::names;
use super::log_reader::{LogCursor, Next, files_behind, follows};
use super::options::{HolePolicy, StoreOptions};
use super::recover::{INLINE, Phase, Progress, Recovered, Restore, hand_over};
use super::truncate::{self, cut_at};
use crate::types::{Entry, Zxid};
use std::path::{Path, PathBuf};

/// Records handed over at once, and bytes of them: a multi may hold as much as hundreds of small ones.
const RECORDS: usize = 512;
const BYTES: usize = 256 * 1024;

/// Warnings of one recovery at most: a directory can be wrong in as many places as it has records.
const WARNINGS: usize = 100;

/// Records on their way to the sink, and where they came from.
struct Records {
    file: PathBuf,
    records: Vec<Scanned>,
    bytes: u64,
}

/// What is to be done to the files once the replay has succeeded.
#[derive(Default)]
struct Repairs {
    /// Cut this file here.
    cut: Vec<(PathBuf, u64)>,
    /// Remove this file: no record in it ever arrived.
    remove: Vec<PathBuf>,
}

/// A file that ended where its successor did not simply go on.
struct Broken {
    cursor: LogCursor,
    file: LogFile,
    records: bool,
}

/// The scan over all logs behind the snapshot.
struct Scan<'a> {
    dir: &'a DataDir,
    options: &'a StoreOptions,
    /// The snapshot's zxid: what is not behind it is passed over.
    start: Zxid,
    last: Zxid,
    /// Snapshots that were passed over. Each is named after a transaction, which the logs must hold if they lead there.
    passed: Vec<Zxid>,
    mark: Option<Mark>,
    standalone: bool,
    broken: Vec<Broken>,
    repairs: Repairs,
    warnings: Vec<String>,
    hole: Option<(Zxid, Zxid)>,
}

impl Scan<'_> {
    fn run(&mut self, files: Vec<LogFile>, emit: &mut dyn FnMut(Records) -> bool) -> Result<(), StoreError> {
        let mut bytes = 0;
        for file in files {
            let mut cursor = LogCursor::open(&*self.dir.files, &file.path, self.options.limit)?;
            let mut batch = Vec::new();
            let mut held = 0;
            let mut any = false;
            let mut open = true;
            while open {
                match cursor.step()? {
                    Next::Record(record) => {
                        any = true;
                        if record.zxid <= self.start {
                            continue;
                        }
                        if !self.admit(&file, &record)? {
                            self.hand(&file, &mut batch, bytes + cursor.offset(), emit);
                            return Ok(());
                        }
                        held += record.payload.len();
                        batch.push(record);
                    }
                    Next::End => open = false,
                }
                if batch.len() < RECORDS && held < BYTES {
                    continue;
                }
                held = 0;
                if !self.hand(&file, &mut batch, bytes + cursor.offset(), emit) {
                    return Ok(());
                }
            }
            if !self.hand(&file, &mut batch, bytes + cursor.offset(), emit) {
                return Ok(());
            }
            self.against_mark(&file, &cursor)?;
            bytes += file.len;
            self.broken.push(Broken { cursor, file, records: any });
        }
        self.settle()?;
        self.against_lost_mark()
    }

    fn hand(
        &self,
        file: &LogFile,
        batch: &mut Vec<Scanned>,
        bytes: u64,
        emit: &mut dyn FnMut(Records) -> bool,
    ) -> bool {
        if batch.is_empty() {
            return true;
        }
        emit(Records { file: file.path.clone(), records: std::mem::take(batch), bytes })
    }

    /// Does this record go on where the last one ended? False ends the history here.
    fn admit(&mut self, file: &LogFile, record: &Scanned) -> Result<bool, StoreError> {
        let (last, next) = (self.last, record.zxid);
        if next <= last {
            // The reference applies it again and complains; replay tolerates repeats.
            self.warnings.push(format!("{}: {next} again, behind {last}", file.path.display()));
            self.warnings.truncate(WARNINGS);
            return Ok(true);
        }
        if next == last.next() {
            // Whatever stood at the end of earlier files was superseded by this.
            self.supersede();
        } else if follows(last, next)
            && !self.passed.iter().any(|snapshot| (last < *snapshot) && (*snapshot < next))
        {
            // A new epoch does not prove that nothing of the old one is missing: each file's end must explain itself,
            // and a snapshot that was passed over is proof that something is.
            self.settle()?;
        } else {
            self.settle()?;
            if self.options.hole == HolePolicy::EndHistory {
                self.hole = Some((last, next));
                self.warnings.push(format!(
                    "transactions between {last} and {next} are missing in {}: the history ends at {last}",
                    file.path.display()
                ));
                return Ok(false);
            }
            return Err(StoreError::Hole {
                file: file.path.clone(),
                offset: record.offset,
                last,
                found: next,
            });
        }
        self.last = next;
        Ok(true)
    }

    /// The history went on without a gap behind these files, so what stands at their ends is of no account.
    /// Those without any record would stop the reference, and go.
    fn supersede(&mut self) {
        for broken in self.broken.drain(..) {
            if !broken.records {
                self.warnings
                    .push(format!("{} holds no transaction and is removed", broken.file.path.display()));
                self.repairs.remove.push(broken.file.path);
            }
        }
    }

    /// Judges the ends of files that nothing has superseded.
    fn settle(&mut self) -> Result<(), StoreError> {
        for broken in std::mem::take(&mut self.broken) {
            let path = broken.file.path;
            match broken.cursor.judge()? {
                LogEnd::Clean(_) if broken.records || broken.cursor.offset() > 0 => {}
                LogEnd::Clean(at) | LogEnd::TornTail(at) => {
                    self.warnings.push(format!(
                        "{} ends with a write that was never completed, at offset {at}; it is cut there",
                        path.display()
                    ));
                    if broken.records {
                        self.repairs.cut.push((path, at));
                    } else {
                        self.repairs.remove.push(path);
                    }
                }
                LogEnd::Corrupt(at, why) => return Err(damaged(path, at, &why)),
            }
        }
        Ok(())
    }

    /// The note of what is durable, against a file that ends before it although its length says more.
    fn against_mark(&self, file: &LogFile, cursor: &LogCursor) -> Result<(), StoreError> {
        let Some(mark) = self.mark.filter(|m| m.file == file.zxid && cursor.offset() < m.offset) else {
            return Ok(());
        };
        // A shorter file may have been cut on purpose by a leader's order to the reference; see the other check.
        if file.len >= mark.offset {
            return Err(damaged(file.path.clone(), cursor.offset(), &Why::KnownDurable));
        }
        Ok(())
    }

    /// A standalone server's history is never cut: what was noted as durable must be there.
    fn against_lost_mark(&self) -> Result<(), StoreError> {
        match self.mark {
            Some(mark) if self.standalone && mark.last > self.last => Err(StoreError::Lost(format!(
                "the logs in {} end at {}, but {} was written and acknowledged (log.{:x}): put the missing file back; \
                 if an older copy was restored here on purpose, remove {} and start again",
                self.dir.logs.display(),
                self.last,
                mark.last,
                mark.file.0,
                self.dir.logs.join(names::MARK).display()
            ))),
            _ => Ok(()),
        }
    }
}

/// The note of what is durable in this directory, if there is one that can be read.
fn read_mark(files: &dyn Files, home: &Path) -> Option<Mark> {
    let bytes = files.read(&home.join(names::MARK), mark::LEN).ok()?;
    Mark::decode(&bytes)
}

/// The note beside a log, if it speaks of that log. Take it before the log is read: a server may be writing both.
#[must_use]
pub fn mark_beside(files: &dyn Files, path: &Path) -> Option<Mark> {
    let home = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let named = names::log_zxid(path.file_name()?.to_str()?)?;
    read_mark(files, home).filter(|mark| mark.file == named)
}

/// The verdict on a log by itself, in the light of the note about it: what is missing before the place that is known to
/// be durable was acknowledged, and is no torn write. A file that ends there between two records was cut on purpose, by
/// a leader's order to the reference.
#[must_use]
pub fn with_mark(end: LogEnd, len: u64, mark: Option<Mark>) -> LogEnd {
    let at = end.offset();
    let cut = matches!(end, LogEnd::Clean(_)) && at == len;
    match (end, mark) {
        (LogEnd::Clean(_) | LogEnd::TornTail(_), Some(mark)) if at < mark.offset && !cut => {
            LogEnd::Corrupt(at, Why::KnownDurable)
        }
        _ => end,
    }
}

fn damaged(file: PathBuf, offset: u64, why: &Why) -> StoreError {
    let remedy = format!(
        "look at it with `quoll log dump {0}`, restore it from a backup or fetch a snapshot from another member; \
         `quoll log repair {0}` tells what cutting it there would lose",
        file.display()
    );
    StoreError::Damaged { file, offset, what: why.to_string(), remedy }
}

pub(super) struct Replay<'a> {
    scan: Scan<'a>,
    files: Vec<LogFile>,
    found: &'a mut Recovered,
}

impl<'a> Replay<'a> {
    pub(super) fn new(
        dir: &'a DataDir,
        options: &'a StoreOptions,
        standalone: bool,
        found: &'a mut Recovered,
    ) -> Result<Self, StoreError> {
        let start = found.last_zxid;
        let mark = read_mark(&*dir.files, &dir.logs);
        let files = files_behind(dir.log_files()?, start);
        // The reference names the first snapshot of a leader after a place in the order that no transaction has.
        let named = |zxid: &Zxid| *zxid > start && zxid.counter() != 0;
        let passed = dir.snapshot_files()?.iter().map(|s| s.zxid).filter(named).collect();
        let scan = Scan {
            dir,
            options,
            start,
            last: start,
            passed,
            mark,
            standalone,
            broken: Vec::new(),
            repairs: Repairs::default(),
            warnings: Vec::new(),
            hole: None,
        };
        Ok(Self { scan, files, found })
    }

    pub(super) fn run(
        self,
        sink: &mut dyn Restore,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), StoreError> {
        let Self { mut scan, files, found } = self;
        let total = files.iter().map(|f| f.len).sum();
        let mut txns = 0;
        let scanner = &mut scan;
        let large = files.iter().map(|f| f.len).sum::<u64>() >= INLINE;
        hand_over(
            large,
            move |emit| scanner.run(files, emit),
            |part: Records| {
                for record in part.records {
                    let offset = record.offset;
                    let entry = Entry { zxid: record.zxid, payload: record.payload };
                    sink.txn(entry).map_err(|why| StoreError::Rejected {
                        file: part.file.clone(),
                        offset,
                        why,
                    })?;
                    txns += 1;
                }
                progress(Progress { phase: Phase::Log, items: txns, bytes: part.bytes, total });
                Ok(())
            },
        )?;
        found.txns = txns;
        found.last_zxid = scan.last;
        found.hole = scan.hole;
        found.warnings.append(&mut scan.warnings);
        repair(scan.dir, &scan.repairs)
    }
}

/// Cuts what was torn, so that no later reader, ours or the reference, meets it behind newer files.
fn repair(dir: &DataDir, repairs: &Repairs) -> Result<(), StoreError> {
    for path in &repairs.remove {
        dir.files.remove(path).map_err(|e| StoreError::io("remove", path, e))?;
    }
    if !repairs.remove.is_empty() {
        dir.files.sync_dir(&dir.logs).map_err(|e| StoreError::io("sync", &dir.logs, e))?;
    }
    for (path, at) in &repairs.cut {
        cut_at(dir, path, *at)?;
    }
    Ok(())
}

/// What `quoll log repair` does to one file: cuts it where sound records end. Returns the offset and the
/// verdict. Damage is cut only with `lossy`; the note of what is durable goes then, for it is no longer true.
pub fn repair_log(
    dir: &DataDir,
    options: &StoreOptions,
    path: &Path,
    lossy: bool,
) -> Result<LogEnd, StoreError> {
    let mark = mark_beside(&*dir.files, path);
    let mut cursor = LogCursor::open(&*dir.files, path, options.limit)?;
    while cursor.step()? != Next::End {}
    let end = with_mark(cursor.judge()?, cursor.file_len(), mark);
    match end {
        LogEnd::Clean(_) => {}
        LogEnd::Corrupt(..) if !lossy => {}
        LogEnd::Corrupt(at, _) | LogEnd::TornTail(at) => {
            if matches!(end, LogEnd::Corrupt(..)) {
                truncate::forget_mark(dir)?;
            }
            if at < log::HEADER_LEN as u64 {
                let mut file =
                    dir.files.open(path, Mode::Replace).map_err(|e| StoreError::io("open", path, e))?;
                file.write_at(0, &log::header()).map_err(|e| StoreError::io("write", path, e))?;
                file.sync_all().map_err(|e| StoreError::io("sync", path, e))?;
            } else {
                cut_at(dir, path, at)?;
            }
        }
    }
    Ok(end)
}
