//! The disk thread: what the order decides is written here, in that order, and reported when it is durable.
//!
//! Log entries, epoch files and truncations share one queue and are never reordered. What gathers while one
//! sync runs is the next batch, so there is group commit without a timer. The thread decides nothing: the
//! work itself is [`DiskWork`], which the simulator drives without any thread.
//!
//! Invariant: a report leaves after the sync it speaks of, and after a failure only that failure is reported.

use super::datadir::DataDir;
use super::epochs::{self, EpochFile};
use super::error::StoreError;
use super::install;
use super::options::StoreOptions;
use super::truncate::{self, Truncated};
use super::txn_log::{LogGauges, Room, TxnLog};
use crate::types::{Entry, Epoch, Flushed, Patience, Zxid};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

/// Entries that may wait for the disk. Far above what admission lets through (`globalOutstandingLimit`), so
/// that reaching it means the throttle is broken; memory is then worth more than going on.
pub const QUEUE_LIMIT: usize = 1 << 20;

/// Bytes that may wait for the disk.
pub const QUEUE_BYTES: usize = 1 << 30;

/// How often the thread looks for more before it sleeps, and lets others run in between: one to three tenths of a
/// millisecond, if nobody else wants the processor.
const LOOKS: u32 = 256;

/// Something for the disk, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiskCommand {
    /// A transaction for the log.
    Append(Entry),
    /// An epoch file.
    SaveEpoch(EpochFile, Epoch),
    /// Forget everything behind this zxid.
    TruncateAfter(Zxid),
    /// Begin a new log file with the next entry.
    Roll,
    /// The snapshot of this name, which came from a leader, is the history from here on: remove what it replaced.
    Restart(Zxid),
}

/// What the disk thread reports. The callback runs on that thread and must not wait for it.
#[derive(Debug)]
pub enum DiskEvent {
    /// Everything up to here is durable.
    Flushed(Flushed),
    /// Enough was logged since the last time: take a snapshot, unless one is being taken.
    SnapshotDue,
    /// The epoch file is durable.
    EpochSaved(EpochFile, Epoch),
    /// The log was cut.
    Truncated(Truncated),
    /// The history begins with this snapshot now.
    Restarted(Zxid),
    /// The disk failed. Nothing is done or reported any more: end the process.
    Fatal(StoreError),
}

/// Who is told. Called on the disk thread.
pub trait Listen: Send {
    /// Something has happened.
    fn report(&mut self, event: DiskEvent);

    /// Nothing waits for the disk, and the thread is going to look once more before it sleeps: who knows where
    /// something may come from can look there. Called some hundred times in a row.
    fn idle(&mut self) {}
}

impl<F: FnMut(DiskEvent) + Send> Listen for F {
    fn report(&mut self, event: DiskEvent) {
        self(event);
    }
}

/// The listener of a disk thread.
pub type Report = Box<dyn Listen>;

/// Why a command was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Too much waits already.
    #[error("too many transactions wait for the disk")]
    Full,
    /// The disk failed or the store was closed.
    #[error("the transaction log takes no more writes")]
    Closed,
}

/// The work of the disk thread, without the thread.
#[derive(Debug)]
pub struct DiskWork {
    dir: DataDir,
    options: StoreOptions,
    log: TxnLog,
}

impl DiskWork {
    /// Goes on behind `last`.
    #[must_use]
    pub fn new(dir: DataDir, options: StoreOptions, last: Zxid, gauges: Arc<LogGauges>) -> Self {
        let log = TxnLog::new(dir.clone(), options.clone(), last, gauges);
        Self { dir, options, log }
    }

    /// Does all of `commands`, reporting on the way. After an error nothing more may be asked of it.
    pub fn run(
        &mut self,
        commands: impl IntoIterator<Item = DiskCommand>,
        report: &mut dyn FnMut(DiskEvent),
    ) -> Result<(), StoreError> {
        for command in commands {
            match command {
                DiskCommand::Append(entry) => match self.log.push(&entry)? {
                    Room::More => {}
                    Room::Full => self.commit(report)?,
                    Room::SnapshotDue => {
                        self.commit(report)?;
                        self.log.roll()?;
                        report(DiskEvent::SnapshotDue);
                    }
                },
                DiskCommand::SaveEpoch(file, epoch) => {
                    self.commit(report)?;
                    epochs::save(&self.dir, file, epoch).inspect_err(|_| self.log.poison())?;
                    report(DiskEvent::EpochSaved(file, epoch));
                }
                DiskCommand::TruncateAfter(to) => {
                    self.commit(report)?;
                    self.log.roll()?;
                    let done =
                        truncate::after(&self.dir, &self.options, to).inspect_err(|_| self.log.poison())?;
                    self.log.restart_behind(done.last);
                    report(DiskEvent::Truncated(done));
                }
                DiskCommand::Restart(at) => {
                    self.commit(report)?;
                    self.log.roll()?;
                    install::finish(&self.dir).inspect_err(|_| self.log.poison())?;
                    self.log.restart_behind(at);
                    report(DiskEvent::Restarted(at));
                }
                DiskCommand::Roll => {
                    self.commit(report)?;
                    self.log.roll()?;
                }
            }
        }
        self.commit(report)
    }

    fn commit(&mut self, report: &mut dyn FnMut(DiskEvent)) -> Result<(), StoreError> {
        if let Some(flushed) = self.log.commit()? {
            report(DiskEvent::Flushed(flushed));
            self.log.after_commit()?;
        }
        Ok(())
    }

    /// Writes what is left and gives back what was preallocated.
    pub fn close(&mut self, report: &mut dyn FnMut(DiskEvent)) -> Result<(), StoreError> {
        self.commit(report)?;
        self.log.roll()
    }
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<DiskCommand>,
    bytes: usize,
    asleep: bool,
    closing: bool,
    dead: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    gauges: Arc<LogGauges>,
}

/// The handle to the disk thread. Dropping it writes what is left and waits for the thread.
pub struct Committer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Committer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Committer")
            .field("durable", &self.shared.gauges.durable_zxid())
            .finish_non_exhaustive()
    }
}

impl Committer {
    /// Starts the thread. `name` shows in its warnings, as `SyncThread:<id>` does for the reference.
    pub fn start(
        dir: DataDir,
        options: StoreOptions,
        last: Zxid,
        name: &str,
        report: Report,
    ) -> Result<Self, StoreError> {
        let gauges = Arc::<LogGauges>::default();
        let logs = dir.logs.clone();
        let work = DiskWork::new(dir, options, last, Arc::clone(&gauges));
        let shared = Arc::new(Shared { queue: Mutex::default(), wake: Condvar::new(), gauges });
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || run(&theirs, work, report))
            .map_err(|e| StoreError::io("start the disk thread for", &logs, e))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Queues a transaction. Cheap: a short lock, and a wake-up only when the thread sleeps.
    pub fn append(&self, entry: Entry) -> Result<(), Refused> {
        self.submit(DiskCommand::Append(entry))
    }

    /// Queues anything.
    pub fn submit(&self, command: DiskCommand) -> Result<(), Refused> {
        let bytes = match &command {
            DiskCommand::Append(entry) => entry.payload.len(),
            _ => 0,
        };
        let mut queue = self.shared.queue.lock();
        if queue.dead || queue.closing {
            return Err(Refused::Closed);
        }
        if queue.waiting.len() >= QUEUE_LIMIT || queue.bytes + bytes > QUEUE_BYTES {
            return Err(Refused::Full);
        }
        queue.waiting.push_back(command);
        queue.bytes += bytes;
        self.shared.gauges.waiting.store(queue.waiting.len() as u64, Ordering::Relaxed);
        self.shared.gauges.waiting_bytes.store(queue.bytes as u64, Ordering::Relaxed);
        let wake = std::mem::take(&mut queue.asleep);
        drop(queue);
        if wake {
            self.shared.wake.notify_one();
        }
        Ok(())
    }

    /// The counters.
    #[must_use]
    pub fn gauges(&self) -> &Arc<LogGauges> {
        &self.shared.gauges
    }

    /// Writes what is left, ends the file and waits for the thread.
    pub fn close(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        let mut queue = self.shared.queue.lock();
        queue.closing = true;
        queue.asleep = false;
        drop(queue);
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            // A panic there has ended the process already (panic = abort) or is a test's to see.
            let _ = thread.join();
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Waits a little for more. A client that has just been answered asks again in less time than it takes to put a
/// processor to sleep and to wake it.
fn linger(shared: &Shared, patience: &mut Patience, listener: &mut dyn Listen) {
    if !patience.tries() {
        return;
    }
    let is_there = || shared.gauges.waiting.load(Ordering::Relaxed) > 0;
    for _ in 0..LOOKS {
        if is_there() {
            patience.paid();
            return;
        }
        listener.idle();
        if !is_there() {
            std::thread::yield_now();
        }
    }
    patience.in_vain();
}

fn run(shared: &Shared, mut work: DiskWork, mut listener: Report) {
    let mut batch = VecDeque::new();
    let mut patience = Patience::default();
    loop {
        linger(shared, &mut patience, listener.as_mut());
        let mut queue = shared.queue.lock();
        while queue.waiting.is_empty() {
            if queue.closing {
                queue.dead = true;
                drop(queue);
                if let Err(e) = work.close(&mut |event| listener.report(event)) {
                    listener.report(DiskEvent::Fatal(e));
                }
                return;
            }
            queue.asleep = true;
            shared.wake.wait(&mut queue);
        }
        queue.asleep = false;
        std::mem::swap(&mut queue.waiting, &mut batch);
        queue.bytes = 0;
        shared.gauges.waiting.store(0, Ordering::Relaxed);
        shared.gauges.waiting_bytes.store(0, Ordering::Relaxed);
        drop(queue);
        if let Err(e) = work.run(batch.drain(..), &mut |event| listener.report(event)) {
            let mut queue = shared.queue.lock();
            queue.dead = true;
            queue.waiting.clear();
            queue.bytes = 0;
            drop(queue);
            listener.report(DiskEvent::Fatal(e));
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::files::{Fault, RealFiles, SimFiles};
    use super::*;
    use bytes::Bytes;
    use std::sync::mpsc;
    use std::time::Duration;

    fn entry(zxid: i64) -> Entry {
        let mut payload = vec![0; 12];
        payload.extend_from_slice(&zxid.to_be_bytes());
        payload.resize(132, 7);
        Entry { zxid: Zxid(zxid), payload: Bytes::from(payload) }
    }

    fn start(
        options: &StoreOptions,
        files: Arc<dyn super::super::files::Files>,
    ) -> (Committer, mpsc::Receiver<DiskEvent>) {
        let dir = DataDir::open(files, options).unwrap();
        let (tx, rx) = mpsc::sync_channel(1 << 20);
        let report = Box::new(move |event| tx.send(event).unwrap());
        (Committer::start(dir, options.clone(), Zxid::ZERO, "SyncThread:0", report).unwrap(), rx)
    }

    #[test]
    fn everything_queued_is_flushed_in_order() {
        let home = tempfile::tempdir().unwrap();
        let options = StoreOptions { snap_count: 5000, ..StoreOptions::new(home.path(), home.path()) };
        let (committer, events) = start(&options, Arc::new(RealFiles));
        for zxid in 1..=20_000 {
            committer.append(entry(zxid)).unwrap();
        }
        let gauges = Arc::clone(committer.gauges());
        committer.close();
        let (mut last, mut due) = (0, 0);
        for event in events.try_iter() {
            match event {
                DiskEvent::Flushed(f) => {
                    assert!(f.zxid().0 > last);
                    last = f.zxid().0;
                }
                DiskEvent::SnapshotDue => due += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(last, 20_000);
        assert!((4..=8).contains(&due), "{due}");
        assert_eq!(gauges.entries.load(Ordering::Relaxed), 20_000);
        assert!(gauges.batches.load(Ordering::Relaxed) >= 20);
        assert_eq!(gauges.fsyncs.load(Ordering::Relaxed), gauges.batches.load(Ordering::Relaxed));
    }

    #[test]
    fn a_failure_is_the_last_report() {
        let sim = SimFiles::new();
        let (committer, events) = start(&StoreOptions::new("/d", "/d"), Arc::new(sim.clone()));
        committer.append(entry(1)).unwrap();
        let wait = || events.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(matches!(wait(), DiskEvent::Flushed(f) if f.zxid() == Zxid(1)));
        sim.inject(Fault::Io, 0);
        committer.append(entry(2)).unwrap();
        assert!(matches!(wait(), DiskEvent::Fatal(StoreError::LogWrite { .. })));
        sim.heal();
        assert_eq!(committer.append(entry(3)), Err(Refused::Closed));
        committer.close();
        assert!(events.try_iter().next().is_none());
    }
}
