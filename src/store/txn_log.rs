//! The log as it is written: one open file, one buffer, one durable write per batch. No thread and no queue; those are
//! [`committer`](super::committer)'s.
//!
//! Invariant: nothing is reported as durable that a sync did not cover, and after the first failure nothing is
//! ever again. The file on disk is always header, sound records, zeros.

use super::blocks::Blocks;
use super::datadir::DataDir;
use super::error::StoreError;
use super::files::{BLOCK, File, Files, Mode};
use super::format::log::{self, BATCH_BYTES};
use super::format::mark::Mark;
use super::format::names;
use super::options::StoreOptions;
use super::snap_rule::SnapRule;
use crate::types::limits::COMMIT_BATCH;
use crate::types::{Entry, Flushed, Zxid};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Blocks are asked for in steps of this size within the preallocated length: early enough that a full disk
/// shows before a batch is half written, and no more space than is soon used.
const RESERVE: u64 = 4 * 1024 * 1024;

/// Zeros are really written ahead in steps of this size. The first write to a block that is only reserved changes
/// the file system's own records, so that the sync behind it waits for its journal too; a sync over blocks that
/// were written before takes half the time. Larger steps would be felt as pauses.
const FILL: u64 = 256 * 1024;

/// A batch of this size pays for its own blocks: writing them twice would cost more.
const FILL_BELOW: usize = 64 * 1024;

/// The file grows when no more than this is left of it, as the reference's does.
const GROW_AHEAD: u64 = 4096;

/// Room for the blocks of a small batch and the zeros behind it; more is given back after the batch.
const KEEP_BLOCKS: usize = FILL as usize + 2 * FILL_BELOW;

/// A write buffer larger than this is given back after the batch.
const KEEP_BUFFER: usize = 2 * BATCH_BYTES;

/// Counters of the log. Plain numbers that others read whenever they like.
#[derive(Debug, Default)]
pub struct LogGauges {
    /// Syncs done.
    pub fsyncs: AtomicU64,
    /// Their time altogether, in microseconds.
    pub fsync_micros: AtomicU64,
    /// The longest, in microseconds.
    pub fsync_max_micros: AtomicU64,
    /// The last one, in microseconds.
    pub fsync_last_micros: AtomicU64,
    /// How many took longer than the warning threshold.
    pub fsync_threshold_exceeded: AtomicU64,
    /// Batches written.
    pub batches: AtomicU64,
    /// Entries in them.
    pub entries: AtomicU64,
    /// Entries of the last one.
    pub last_batch: AtomicU64,
    /// Bytes written.
    pub bytes: AtomicU64,
    /// Log files begun.
    pub files: AtomicU64,
    /// Highest durable zxid.
    pub durable: AtomicU64,
    /// Entries that wait for the disk.
    pub waiting: AtomicU64,
    /// Their bytes.
    pub waiting_bytes: AtomicU64,
}

impl LogGauges {
    fn synced(&self, took: Duration, threshold: Duration) -> bool {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.fsyncs.fetch_add(1, Ordering::Relaxed);
        self.fsync_micros.fetch_add(micros, Ordering::Relaxed);
        self.fsync_max_micros.fetch_max(micros, Ordering::Relaxed);
        self.fsync_last_micros.store(micros, Ordering::Relaxed);
        let slow = took > threshold;
        if slow {
            self.fsync_threshold_exceeded.fetch_add(1, Ordering::Relaxed);
        }
        slow
    }

    /// Highest durable zxid.
    #[must_use]
    pub fn durable_zxid(&self) -> Zxid {
        Zxid(self.durable.load(Ordering::Acquire).cast_signed())
    }
}

/// What the buffer says after an entry went in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// More may follow in this batch.
    More,
    /// The batch is large enough: commit it.
    Full,
    /// The batch ends here: commit, then the log is to be rolled and a snapshot taken.
    SnapshotDue,
}

struct Open {
    file: Box<dyn File>,
    path: PathBuf,
    name: Zxid,
    /// End of the last record, all of it durable between batches.
    end: u64,
    /// Length of the file.
    len: u64,
    /// Blocks are reserved up to here.
    reserved: u64,
    /// Blocks were written up to here, if only with zeros; a boundary of them.
    filled: u64,
    /// What is written, block by block.
    blocks: Blocks,
}

/// The log of a running server.
pub struct TxnLog {
    dir: DataDir,
    options: StoreOptions,
    gauges: Arc<LogGauges>,
    current: Option<Open>,
    buffer: Vec<u8>,
    /// First and last zxid in the buffer, and how many.
    pending: Option<(Zxid, Zxid, u64)>,
    rule: SnapRule,
    last: Zxid,
    mark: Option<Box<dyn File>>,
    marked: Option<Mark>,
    poisoned: bool,
}

impl std::fmt::Debug for TxnLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TxnLog")
            .field("last", &self.last)
            .field("poisoned", &self.poisoned)
            .finish_non_exhaustive()
    }
}

impl TxnLog {
    /// A log that goes on behind `last`. Nothing is opened before the first entry.
    #[must_use]
    pub fn new(dir: DataDir, options: StoreOptions, last: Zxid, gauges: Arc<LogGauges>) -> Self {
        gauges.durable.store(last.0.cast_unsigned(), Ordering::Release);
        let rule = SnapRule::new(&options);
        Self {
            dir,
            options,
            gauges,
            current: None,
            // Room for a small batch from the start: growing later would look like a leak.
            buffer: Vec::with_capacity(2 * FILL_BELOW),
            pending: None,
            rule,
            last,
            mark: None,
            marked: None,
            poisoned: false,
        }
    }

    /// The counters.
    #[must_use]
    pub const fn gauges(&self) -> &Arc<LogGauges> {
        &self.gauges
    }

    /// Puts an entry into the batch.
    pub fn push(&mut self, entry: &Entry) -> Result<Room, StoreError> {
        if self.poisoned {
            return Err(StoreError::Poisoned);
        }
        let (len, limit) = (entry.payload.len(), self.options.limit);
        if len > limit {
            // The next start would take it for damage, and everything behind it would be lost with it.
            self.poisoned = true;
            return Err(StoreError::TooLong { zxid: entry.zxid, len, limit });
        }
        let before = self.buffer.len();
        log::push_record(&mut self.buffer, &entry.payload);
        let (first, count) = self.pending.map_or((entry.zxid, 0), |(first, _, count)| (first, count));
        if entry.zxid <= self.last {
            tracing::warn!(
                "Current zxid {} is <= {} for a new transaction of the log",
                entry.zxid,
                self.last
            );
        }
        self.last = self.last.max(entry.zxid);
        self.pending = Some((first, self.last, count + 1));
        let added = (self.buffer.len() - before) as u64;
        Ok(if self.rule.count(added) {
            Room::SnapshotDue
        } else if count + 1 >= COMMIT_BATCH as u64 || self.buffer.len() >= BATCH_BYTES {
            Room::Full
        } else {
            Room::More
        })
    }

    /// Writes and syncs the batch. What it returns may be acknowledged.
    pub fn commit(&mut self) -> Result<Option<Flushed>, StoreError> {
        if self.poisoned {
            return Err(StoreError::Poisoned);
        }
        let Some((first, last, count)) = self.pending.take() else { return Ok(None) };
        if let Err(e) = self.write_batch(first) {
            // The kernel may drop what it could not write and call the next sync a success: there is no next.
            self.poisoned = true;
            return Err(e);
        }
        self.gauges.batches.fetch_add(1, Ordering::Relaxed);
        self.gauges.entries.fetch_add(count, Ordering::Relaxed);
        self.gauges.last_batch.store(count, Ordering::Relaxed);
        self.gauges.bytes.fetch_add(self.buffer.len() as u64, Ordering::Relaxed);
        self.gauges.durable.store(last.0.cast_unsigned(), Ordering::Release);
        self.buffer.clear();
        if self.buffer.capacity() > KEEP_BUFFER {
            self.buffer = Vec::new();
        }
        Ok(Some(Flushed::mint(last)))
    }

    fn write_batch(&mut self, first: Zxid) -> Result<(), StoreError> {
        let fresh = self.current.is_none();
        let mut open = match self.current.take() {
            Some(open) => open,
            None => begin(&self.dir, first, self.options.limit)?,
        };
        let mut outcome = self.write_to(&mut open, fresh);
        if fresh {
            let temporary = temporary(&self.dir, first);
            outcome = outcome.and_then(|()| self.publish(&temporary, &open.path));
            if outcome.is_err() {
                // Nothing in it was acknowledged. Leave no file behind that consists of a header.
                let _ = self.dir.files.remove(&temporary);
                let _ = self.dir.files.remove(&open.path);
            }
        }
        outcome?;
        if fresh {
            self.gauges.files.fetch_add(1, Ordering::Relaxed);
        }
        self.current = Some(open);
        Ok(())
    }

    fn write_to(&mut self, open: &mut Open, fresh: bool) -> Result<(), StoreError> {
        if fresh {
            self.buffer.splice(0..0, log::header());
        }
        let end = open.end + self.buffer.len() as u64;
        self.grow(open, end)?;
        let zeros = usize::try_from(self.fill_to(open, end) - end).unwrap_or(0);
        let blocks = open.blocks.lay(&self.buffer, zeros);
        let offset = open.end / BLOCK as u64 * BLOCK as u64;
        let start = self.dir.files.monotonic();
        let written = if self.options.force_sync {
            open.file.write_durably(offset, blocks)
        } else {
            open.file.write_at(offset, blocks)
        };
        written.map_err(|e| StoreError::log("write", &open.path, e))?;
        let reached = offset + blocks.len() as u64;
        open.blocks.written();
        open.end = end;
        open.filled = open.filled.max(reached);
        open.len = open.len.max(reached);
        if self.options.force_sync {
            let took = self.dir.files.monotonic().saturating_sub(start);
            if self.gauges.synced(took, self.options.fsync_warning) {
                tracing::warn!(
                    "fsync-ing the write ahead log in {} took {}ms which will adversely effect operation latency.\
                     File size is {} bytes. See the ZooKeeper troubleshooting guide",
                    std::thread::current().name().unwrap_or("SyncThread"),
                    took.as_millis(),
                    open.len
                );
            }
        }
        Ok(())
    }

    /// Gives a file with its first batch its name. A crash before that leaves no log without a header, or of
    /// zeros alone, which the reference would refuse to start on.
    fn publish(&self, temporary: &Path, path: &Path) -> Result<(), StoreError> {
        self.dir.files.rename(temporary, path).map_err(|e| StoreError::log("name", path, e))?;
        self.dir.files.sync_dir(&self.dir.logs).map_err(|e| StoreError::log("sync", &self.dir.logs, e))
    }

    /// Keeps the file longer than its content, so that a sync carries no new length.
    fn grow(&self, open: &mut Open, end: u64) -> Result<(), StoreError> {
        let step = self.options.pre_alloc;
        if step == 0 {
            return Ok(());
        }
        let position = open.end.max(log::HEADER_LEN as u64);
        let len = open.len.max(log::HEADER_LEN as u64);
        if position + GROW_AHEAD >= len {
            let grown = if position > len { (position + step) / step * step } else { len + step };
            open.file.set_len(grown).map_err(|e| StoreError::log("extend", &open.path, e))?;
            open.len = grown;
        }
        if end > open.reserved {
            let to = (end / RESERVE + 1).saturating_mul(RESERVE).min(open.len.max(end));
            let from = open.reserved;
            open.file
                .reserve(from, to.saturating_sub(from).max(1))
                .map_err(|e| StoreError::log("extend", &open.path, e))?;
            open.reserved = to;
        }
        Ok(())
    }

    /// Up to where the write of a batch that ends at `end` goes on with zeros; within the preallocated length.
    fn fill_to(&self, open: &Open, end: u64) -> u64 {
        if end <= open.filled || self.buffer.len() >= FILL_BELOW {
            return end;
        }
        (end / FILL + 1).saturating_mul(FILL).min(open.len / BLOCK as u64 * BLOCK as u64).max(end)
    }

    /// What can wait until the batch was reported: the durable mark, and a roll by size.
    pub fn after_commit(&mut self) -> Result<(), StoreError> {
        if self.poisoned {
            return Err(StoreError::Poisoned);
        }
        let Some(open) = &self.current else { return Ok(()) };
        if self.options.force_sync {
            let mark = Mark { file: open.name, offset: open.end, last: self.last };
            if self.marked != Some(mark) {
                write_mark(&*self.dir.files, &self.dir, &mut self.mark, &mark);
                self.marked = Some(mark);
            }
        }
        match self.options.log_size_limit {
            Some(limit) if open.end > limit => self.roll(),
            _ => Ok(()),
        }
    }

    /// Ends the current file; the next entry begins another. What was preallocated is given back, which needs
    /// no sync: with or without it the file says the same.
    pub fn roll(&mut self) -> Result<(), StoreError> {
        if self.poisoned {
            return Err(StoreError::Poisoned);
        }
        if let Some(mut open) = self.current.take()
            && open.len > open.end
            && let Err(e) = open.file.set_len(open.end)
        {
            self.poisoned = true;
            return Err(StoreError::log("trim", &open.path, e));
        }
        Ok(())
    }

    /// The log was cut: it goes on behind `last`, in a new file.
    pub(crate) fn restart_behind(&mut self, last: Zxid) {
        self.current = None;
        self.buffer.clear();
        self.pending = None;
        self.last = last;
        self.marked = None;
        self.mark = None;
        self.gauges.durable.store(last.0.cast_unsigned(), Ordering::Release);
    }

    /// Something beside the log failed: nothing is acknowledged any more.
    pub(crate) const fn poison(&mut self) {
        self.poisoned = true;
    }
}

/// Where a log is until its first batch is durable.
fn temporary(dir: &DataDir, first: Zxid) -> PathBuf {
    dir.logs.join(format!("{}{}", names::TEMPORARY, names::log(first)))
}

/// Begins `log.<first>`, under a temporary name. A file of the real name can only be one whose records were all
/// torn; one that holds a sound record is never overwritten.
fn begin(dir: &DataDir, first: Zxid, limit: usize) -> Result<Open, StoreError> {
    let path = dir.logs.join(names::log(first));
    if dir.files.kind(&path).map_err(|e| StoreError::log("look at", &path, e))?.is_some() {
        let mut front = vec![0; log::HEADER_LEN + log::FRAME_LEN + limit];
        let old = dir.files.open(&path, Mode::Read).map_err(|e| StoreError::log("open", &path, e))?;
        let n = old.read_at(0, &mut front).map_err(|e| StoreError::log("read", &path, e))?;
        front.truncate(n);
        let record = front.get(log::HEADER_LEN..).map(|window| log::step(window, limit));
        if matches!(record, Some(log::Step::Record { .. })) {
            let source = std::io::Error::new(std::io::ErrorKind::AlreadyExists, "it holds transactions");
            return Err(StoreError::log("begin", &path, source));
        }
    }
    let file =
        dir.files.open(&temporary(dir, first), Mode::Log).map_err(|e| StoreError::log("create", &path, e))?;
    Ok(Open {
        file,
        path,
        name: first,
        end: 0,
        len: 0,
        reserved: 0,
        filled: 0,
        blocks: Blocks::new(KEEP_BLOCKS),
    })
}

/// Notes how far the log is durable. It is a help for recovery only, so its own failure is not worth a stop.
fn write_mark(files: &dyn Files, dir: &DataDir, file: &mut Option<Box<dyn File>>, mark: &Mark) {
    if file.is_none() {
        let path = dir.logs.join(names::MARK);
        *file = files.open(&path, Mode::Write).or_else(|_| files.open(&path, Mode::CreateNew)).ok();
    }
    if let Some(open) = file
        && let Err(e) = open.write_at(0, &mark.encode())
    {
        tracing::warn!("cannot note the durable end of the log in {}: {e}", names::MARK);
        *file = None;
    }
}

#[cfg(test)]
mod tests {
    use super::super::files::{CrashPlan, Fault, Op, SimFiles};
    use super::*;
    use bytes::Bytes;

    fn entry(zxid: i64, len: usize) -> Entry {
        let mut payload = vec![0; 12];
        payload.extend_from_slice(&zxid.to_be_bytes());
        payload.resize(32 + len, 7);
        Entry { zxid: Zxid(zxid), payload: Bytes::from(payload) }
    }

    fn options() -> StoreOptions {
        StoreOptions { pre_alloc: 65_536, snap_count: 1000, ..StoreOptions::new("/d", "/d") }
    }

    fn log_on(sim: &SimFiles, options: &StoreOptions) -> TxnLog {
        let dir = DataDir::open(Arc::new(sim.clone()), options).unwrap();
        TxnLog::new(dir, options.clone(), Zxid::ZERO, Arc::default())
    }

    fn read(sim: &SimFiles, name: &str) -> Bytes {
        sim.read(&Path::new("/d/version-2").join(name), usize::MAX).unwrap().into()
    }

    #[test]
    fn a_batch_is_one_write_and_one_sync() {
        let sim = SimFiles::new();
        let mut log = log_on(&sim, &options());
        for zxid in 1..=3 {
            assert_eq!(log.push(&entry(zxid, 10)).unwrap(), Room::More);
        }
        assert_eq!(log.commit().unwrap().unwrap().zxid(), Zxid(3));
        assert_eq!(log.commit().unwrap(), None);
        let bytes = read(&sim, "log.1");
        assert_eq!(bytes.len(), 16 + 65_536, "the reference's length after the first batch");
        let (found, end) = log::scan(&bytes, 1 << 20);
        assert_eq!(found.len(), 3);
        assert_eq!(end, log::LogEnd::Clean(16 + 3 * 55));
        let before = sim.recorded();
        log.push(&entry(4, 10)).unwrap();
        log.commit().unwrap();
        assert_eq!(sim.recorded() - before, 2, "write and sync, nothing else");
        assert!(sim.unsynced(sim.recorded()).is_empty());
    }

    #[test]
    fn every_write_is_of_whole_blocks_and_says_what_the_log_says() {
        for (pre_alloc, force_sync) in [(0, true), (65_536, true), (1 << 20, true), (65_536, false)] {
            let sim = SimFiles::new();
            let mut log = log_on(&sim, &StoreOptions { pre_alloc, force_sync, ..options() });
            let mut expected = log::header().to_vec();
            for zxid in 1..=300 {
                let len = if zxid % 50 == 0 { 2 * FILL_BELOW } else { 50 * zxid as usize % 6000 };
                log.push(&entry(zxid, len)).unwrap();
                log::push_record(&mut expected, &entry(zxid, len).payload);
                log.commit().unwrap();
                assert!(!force_sync || sim.unsynced(sim.recorded()).is_empty());
            }
            for op in sim.ops() {
                let Op::Write { offset, bytes, .. } = op else { continue };
                assert_eq!((offset % BLOCK as u64, bytes.len() % BLOCK), (0, 0));
            }
            let bytes = read(&sim, "log.1");
            assert_eq!(bytes[..expected.len()], expected);
            assert!(bytes[expected.len()..].iter().all(|byte| *byte == 0));
            log.roll().unwrap();
            assert_eq!(read(&sim, "log.1"), expected);
        }
    }

    #[test]
    fn rolls_give_back_the_rest_and_name_the_next_by_its_first() {
        let sim = SimFiles::new();
        let mut log = log_on(&sim, &options());
        log.push(&entry(1, 10)).unwrap();
        log.commit().unwrap();
        log.roll().unwrap();
        log.push(&entry(2, 10)).unwrap();
        log.commit().unwrap();
        assert_eq!(read(&sim, "log.1").len(), 16 + 55);
        assert_eq!(log::scan(&read(&sim, "log.2"), 1 << 20).0.len(), 1);
    }

    #[test]
    fn snapshots_are_due_between_half_and_all_of_the_count() {
        for seed in 0..50 {
            let mut rule = SnapRule::new(&StoreOptions { snap_count: 100, seed, ..options() });
            for _ in 0..20 {
                let n = (1..).find(|_| rule.count(1)).unwrap();
                assert!((51..=100).contains(&n), "{n}");
            }
        }
        let mut rule = SnapRule::new(&StoreOptions { snap_size_limit: Some(1000), ..options() });
        let n = (1..).find(|_| rule.count(10)).unwrap();
        assert!((51..=100).contains(&n), "{n}");
    }

    #[test]
    fn what_no_start_would_read_is_never_written() {
        let sim = SimFiles::new();
        let mut log = log_on(&sim, &StoreOptions { limit: 132, ..options() });
        log.push(&entry(1, 100)).unwrap();
        log.commit().unwrap();
        let whole = read(&sim, "log.1");
        let e = log.push(&entry(2, 101)).unwrap_err().to_string();
        assert!(e.contains("0x2") && e.contains("133 bytes") && e.contains("jute.maxbuffer"), "{e}");
        assert!(matches!(log.push(&entry(3, 1)), Err(StoreError::Poisoned)));
        assert!(log.commit().is_err());
        assert_eq!((read(&sim, "log.1"), log.gauges().durable_zxid()), (whole, Zxid(1)));
    }

    #[test]
    fn the_first_failure_ends_it() {
        for after in 0..4 {
            let sim = SimFiles::new();
            let mut log = log_on(&sim, &options());
            log.push(&entry(1, 10)).unwrap();
            log.commit().unwrap();
            log.push(&entry(2, 10)).unwrap();
            sim.inject(Fault::Io, after);
            let first = log.commit();
            sim.heal();
            if first.is_err() {
                assert!(matches!(log.push(&entry(3, 10)), Err(StoreError::Poisoned)));
                assert!(matches!(log.commit(), Err(StoreError::Poisoned)));
                assert_eq!(log.gauges().durable_zxid(), Zxid(1));
            } else {
                assert!(after >= 2, "write and sync must fail");
            }
        }
    }

    #[test]
    fn a_full_disk_leaves_no_file_of_a_header() {
        for after in 0..6 {
            let sim = SimFiles::new();
            let mut log = log_on(&sim, &options());
            log.push(&entry(1, 10)).unwrap();
            sim.inject(Fault::NoSpace, after);
            let outcome = log.commit();
            sim.heal();
            let there = sim.list(Path::new("/d/version-2")).unwrap();
            assert_eq!(there.len(), usize::from(outcome.is_ok()), "{there:?}");
        }
    }

    #[test]
    fn a_killed_server_leaves_no_log_without_a_transaction() {
        let sim = SimFiles::new();
        let mut log = log_on(&sim, &options());
        for zxid in 1..=3 {
            log.push(&entry(zxid, 10)).unwrap();
            log.commit().unwrap();
            log.roll().unwrap();
        }
        for prefix in 0..=sim.recorded() {
            let left = sim.crash(&CrashPlan { prefix, ..CrashPlan::default() });
            for file in left.list(Path::new("/d/version-2")).unwrap() {
                if names::log_zxid(&file.name).is_some() {
                    let (records, _) = log::scan(&read(&left, &file.name), 1 << 20);
                    assert_eq!(records.len(), 1, "{} after {prefix} operations", file.name);
                }
            }
        }
    }

    #[test]
    fn sound_transactions_are_never_overwritten() {
        let sim = SimFiles::new();
        let mut first = log_on(&sim, &options());
        first.push(&entry(1, 10)).unwrap();
        first.commit().unwrap();
        drop(first);
        let mut second = log_on(&sim, &options());
        second.push(&entry(1, 99)).unwrap();
        assert!(second.commit().is_err());
        assert_eq!(log::scan(&read(&sim, "log.1"), 1 << 20).0[0].payload.len(), 42);
    }
}
