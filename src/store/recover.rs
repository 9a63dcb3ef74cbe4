//! Start-up: the newest sound snapshot, the logs behind it, and the judgement on everything that is wrong.
//!
//! Nothing is guessed. A write that no sync covered is cut away, with a warning; whatever else is missing or
//! altered refuses, naming file, offset and what helps. Between two attempts the sink is cleared entirely.
//! A thread reads, unpacks and checks while the caller's thread applies; small directories do without it.

use super::datadir::{DataDir, LogFile, SnapshotFile};
use super::epochs::{self, EpochFile};
use super::error::StoreError;
use super::files::Mode;
use super::format::log::{self, LogEnd, Scanned, Why};
use super::format::mark::{self, Mark};
use super::format::names;
use super::format::snapshot::Trailer;
use super::log_reader::{LogCursor, Next, files_behind, follows};
use super::options::{HolePolicy, StoreOptions};
use super::snapshots::{self, CANDIDATES, Part, Unusable};
use super::truncate::{self, cut_at};
use crate::types::{Entry, SessionId, Zxid};
use jute::records::data::{Acl, StatPersisted};
use std::path::PathBuf;

/// Below this much on disk a second thread costs more than it saves.
const INLINE: u64 = 1024 * 1024;

/// Parts on their way from the reader to the sink: enough to keep both busy, and a bound on memory.
const IN_FLIGHT: usize = 4;

/// Records handed over at once.
const RECORDS: usize = 512;

/// Who takes the recovered state. An error of `node`, `acl` or `snapshot` makes that snapshot unusable and the
/// next older one is tried; an error of `txn` ends the recovery.
pub trait Restore {
    /// Back to the fresh tree of a new server: root, `/zookeeper` and what belongs under it. No sessions.
    fn clear(&mut self);

    /// A session and its timeout in ms.
    fn session(&mut self, id: SessionId, timeout: i32);

    /// An access list.
    fn acl(&mut self, id: i64, list: &[Acl<'_>]) -> Result<(), String>;

    /// A node; its parent came before. The root has the empty path.
    fn node(&mut self, path: &str, data: Option<&[u8]>, acl: i64, stat: &StatPersisted)
    -> Result<(), String>;

    /// The snapshot of this name is complete and sound.
    fn snapshot(&mut self, zxid: Zxid, trailer: &Trailer) -> Result<(), String>;

    /// A transaction behind the snapshot.
    fn txn(&mut self, entry: Entry) -> Result<(), String>;
}

/// What the recovery is busy with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Loading a snapshot.
    Snapshot,
    /// Replaying logs.
    Log,
}

/// How far the recovery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What it does.
    pub phase: Phase,
    /// Nodes or transactions so far.
    pub items: u64,
    /// Bytes done, of what is unpacked.
    pub bytes: u64,
    /// Length of the files on disk; packed ones hold more than this.
    pub total: u64,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Recovered {
    /// End of the history; -1 when an empty server may not begin by itself: it must not vote.
    pub last_zxid: Zxid,
    /// The snapshot it began with.
    pub snapshot: Option<SnapshotFile>,
    /// What the snapshot said of itself.
    pub trailer: Trailer,
    /// Nodes in the snapshot.
    pub nodes: u64,
    /// Transactions replayed.
    pub txns: u64,
    /// The snapshot holds effects of transactions up to here, but the logs end before: the tree is a mixture
    /// until a leader has sent the rest.
    pub uncovered: Option<Zxid>,
    /// The history was ended at a gap between these two, by [`HolePolicy::EndHistory`].
    pub hole: Option<(Zxid, Zxid)>,
    /// Logs without a snapshot were trusted: write a snapshot soon.
    pub trusted_empty: bool,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

impl Recovered {
    /// May this server vote by its history?
    #[must_use]
    pub fn may_vote(&self) -> bool {
        self.last_zxid >= Zxid::ZERO && self.hole.is_none()
    }
}

/// Recovers everything.
pub fn recover(
    dir: &DataDir,
    options: &StoreOptions,
    sink: &mut dyn Restore,
    progress: &mut dyn FnMut(Progress),
) -> Result<Recovered, StoreError> {
    dir.sweep()?;
    let mut found = Recovered::default();
    let standalone =
        epochs::read(dir, EpochFile::Accepted)?.is_none() && epochs::read(dir, EpochFile::Current)?.is_none();
    let candidates = snapshots::candidates(dir, CANDIDATES)?;
    let rejected_early = dir.snapshot_files()?.len() > candidates.len();
    let damaged_reach = load_snapshot(dir, options, &candidates, sink, progress, &mut found)?;
    if found.snapshot.is_none()
        && !begin_without_snapshot(dir, options, standalone, rejected_early, sink, &mut found)?
    {
        return Ok(found);
    }
    if found.snapshot.is_none() && !found.trusted_empty {
        // The empty database was just written: read it like any other.
        let fresh = snapshots::candidates(dir, CANDIDATES)?;
        load_snapshot(dir, options, &fresh, sink, progress, &mut found)?;
    }
    remove_markers(dir)?;
    Replay::new(dir, options, standalone, &mut found)?.run(sink, progress)?;
    let last = found.last_zxid;
    if let Some(file) = damaged_reach.filter(|file| file.zxid > last) {
        return Err(StoreError::Lost(format!(
            "{} is damaged, and older snapshots and logs lead only to {last}, not to {}: restore the file from a \
             backup or another member, or move it away to go on without those transactions",
            file.path.display(),
            file.zxid
        )));
    }
    found.uncovered = found.trailer.reach().filter(|reach| *reach > last);
    if let Some(reach) = found.uncovered {
        found
            .warnings
            .push(format!("the logs end at {last} and do not cover the snapshot, which reaches {reach}"));
    }
    Ok(found)
}

/// Tries the candidates, newest first. Returns the newest one that had to be passed over.
fn load_snapshot(
    dir: &DataDir,
    options: &StoreOptions,
    candidates: &[SnapshotFile],
    sink: &mut dyn Restore,
    progress: &mut dyn FnMut(Progress),
    found: &mut Recovered,
) -> Result<Option<SnapshotFile>, StoreError> {
    let mut damaged: Option<SnapshotFile> = None;
    for file in candidates {
        sink.clear();
        match take_snapshot(dir, options, file, sink, progress) {
            Ok((trailer, nodes)) => {
                found.last_zxid = file.zxid;
                found.snapshot = Some(file.clone());
                found.trailer = trailer;
                found.nodes = nodes;
                return Ok(damaged);
            }
            Err(why) => {
                found.warnings.push(format!("snapshot {} is not used: {why}", file.path.display()));
                damaged.get_or_insert_with(|| file.clone());
            }
        }
    }
    if damaged.is_some() {
        return Err(StoreError::NoSnapshot(format!(
            "Not able to find valid snapshots in {}: {}; restore one from a backup or another member, or move the \
             data directory away to fetch a full snapshot (`quoll data verify` shows each file)",
            dir.snaps.display(),
            found.warnings.join("; ")
        )));
    }
    Ok(None)
}

fn take_snapshot(
    dir: &DataDir,
    options: &StoreOptions,
    file: &SnapshotFile,
    sink: &mut dyn Restore,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Trailer, u64), Unusable> {
    let mut nodes = 0;
    let mut trailer = None;
    hand_over(
        file.len >= INLINE,
        |emit| snapshots::read_parts(dir, file, options.limit, emit).map(|_| ()),
        |part: Part| {
            for (id, timeout) in &part.sessions {
                sink.session(*id, *timeout);
            }
            for (id, list) in &part.acls {
                sink.acl(*id, list).map_err(Unusable::Rejected)?;
            }
            part.each_node(|path, data, acl, stat| {
                nodes += 1;
                sink.node(path, data, acl, stat).map_err(Unusable::Rejected)
            })?;
            trailer = part.end;
            progress(Progress { phase: Phase::Snapshot, items: nodes, bytes: part.read, total: file.len });
            Ok(())
        },
    )?;
    let trailer = trailer.ok_or(Unusable::Fault(super::format::snapshot::Fault::Ended))?;
    sink.snapshot(file.zxid, &trailer).map_err(Unusable::Rejected)?;
    Ok((trailer, nodes))
}

/// The empty-database rule. False: the server has no history of its own and may not begin one.
fn begin_without_snapshot(
    dir: &DataDir,
    options: &StoreOptions,
    standalone: bool,
    rejected_early: bool,
    sink: &mut dyn Restore,
    found: &mut Recovered,
) -> Result<bool, StoreError> {
    let logs = dir.log_files()?;
    sink.clear();
    if holds_anything(dir, options, &logs)? {
        if !options.trust_empty {
            return Err(StoreError::NoSnapshot(format!(
                "No snapshot found, but there are log entries in {}. Something is broken! Restore the newest \
                 snapshot, or set snapshot.trust.empty=true if these logs are the whole history (servers of 3.4 \
                 could run without snapshots)",
                dir.logs.display()
            )));
        }
        found.trusted_empty = true;
        found.warnings.push("no snapshot found; the logs are trusted to be the whole history".into());
        return Ok(true);
    }
    if rejected_early {
        return Err(StoreError::NoSnapshot(format!(
            "Not able to find valid snapshots in {}: none of the files there is complete; restore one from a \
             backup or another member, or move them away to begin with an empty database",
            dir.snaps.display()
        )));
    }
    let invited = !dir.initialize_markers().is_empty();
    // Epoch files without any history: this server voted once and lost its data. It must not vote as a new one.
    if invited || (options.create_database && standalone) {
        snapshots::write_empty(dir)?;
        return Ok(true);
    }
    found.last_zxid = Zxid(-1);
    found.warnings.push(
        "the database is empty and may not be begun here: this server does not vote until a leader has sent \
         it a snapshot (create the file `initialize` in dataDir to begin a new ensemble)"
            .into(),
    );
    Ok(false)
}

/// Any log with a record, or with a name that cannot come from a torn beginning.
fn holds_anything(dir: &DataDir, options: &StoreOptions, logs: &[LogFile]) -> Result<bool, StoreError> {
    for file in logs {
        let mut cursor = LogCursor::open(&*dir.files, &file.path, options.limit)?;
        if cursor.step()? != Next::End || !matches!(cursor.judge()?, LogEnd::TornTail(_) | LogEnd::Clean(_)) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn remove_markers(dir: &DataDir) -> Result<(), StoreError> {
    for marker in dir.initialize_markers() {
        dir.files.remove(&marker).map_err(|e| StoreError::io("remove", &marker, e))?;
        if let Some(home) = marker.parent() {
            dir.files.sync_dir(home).map_err(|e| StoreError::io("sync", home, e))?;
        }
    }
    Ok(())
}

/// Runs a producer and a consumer, the producer on a thread of its own when that is worth it.
fn hand_over<T: Send, E: Send>(
    threaded: bool,
    produce: impl FnOnce(&mut dyn FnMut(T) -> bool) -> Result<(), E> + Send,
    mut consume: impl FnMut(T) -> Result<(), E>,
) -> Result<(), E> {
    if !threaded {
        let mut failed = None;
        let outcome = produce(&mut |item| match consume(item) {
            Ok(()) => true,
            Err(e) => {
                failed = Some(e);
                false
            }
        });
        return failed.map_or(outcome, Err);
    }
    std::thread::scope(|scope| {
        let (tx, rx) = std::sync::mpsc::sync_channel(IN_FLIGHT);
        let reader = scope.spawn(move || produce(&mut |item| tx.send(item).is_ok()));
        for item in &rx {
            consume(item)?;
        }
        match reader.join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

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
                        batch.push(record);
                    }
                    Next::End => open = false,
                }
                if batch.len() >= RECORDS && !self.hand(&file, &mut batch, bytes + cursor.offset(), emit) {
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
            self.warnings.truncate(100);
            return Ok(true);
        }
        if next == last.next() {
            // Whatever stood at the end of earlier files was superseded by this.
            self.supersede();
        } else if follows(last, next) {
            // A new epoch does not prove that nothing of the old one is missing: each file's end must explain itself.
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

fn damaged(file: PathBuf, offset: u64, why: &Why) -> StoreError {
    let remedy = format!(
        "look at it with `quoll log dump {0}`, restore it from a backup or fetch a snapshot from another member; \
         `quoll log repair {0}` cuts it there and loses what follows",
        file.display()
    );
    StoreError::Damaged { file, offset, what: why.to_string(), remedy }
}

struct Replay<'a> {
    scan: Scan<'a>,
    files: Vec<LogFile>,
    found: &'a mut Recovered,
}

impl<'a> Replay<'a> {
    fn new(
        dir: &'a DataDir,
        options: &'a StoreOptions,
        standalone: bool,
        found: &'a mut Recovered,
    ) -> Result<Self, StoreError> {
        let start = found.last_zxid;
        let path = dir.logs.join(names::MARK);
        let mark = dir.files.read(&path, mark::LEN).ok().and_then(|bytes| Mark::decode(&bytes));
        let files = files_behind(dir.log_files()?, start);
        let scan = Scan {
            dir,
            options,
            start,
            last: start,
            mark,
            standalone,
            broken: Vec::new(),
            repairs: Repairs::default(),
            warnings: Vec::new(),
            hole: None,
        };
        Ok(Self { scan, files, found })
    }

    fn run(self, sink: &mut dyn Restore, progress: &mut dyn FnMut(Progress)) -> Result<(), StoreError> {
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
    path: &std::path::Path,
    lossy: bool,
) -> Result<LogEnd, StoreError> {
    let mut cursor = LogCursor::open(&*dir.files, path, options.limit)?;
    while cursor.step()? != Next::End {}
    let end = cursor.judge()?;
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
