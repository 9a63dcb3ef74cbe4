//! A server's disk: the real store on simulated files, and what crashes and damage leave of them.
//!
//! Work for the disk is done when it is begun and reported when it has taken its time; a crash in between keeps
//! any prefix of its operations. Invariant: whatever was reported is on the disk, unless the plan says that this
//! disk lies.

use super::rng::Rng;
use jute::records::data::{Acl, StatPersisted};
use quoll::rebuild::{Rebuild, Window};
use quoll::state::{Loader, Machine, Settings};
use quoll::store::files::{CrashPlan, Fault, Op, SimFiles, Tear};
use quoll::store::snapshots::{PutNode, SnapshotSource};
use quoll::store::{
    DataDir, DiskCommand, DiskEvent, DiskWork, EpochFile, Epochs, HolePolicy, Recovered, Store, StoreError,
    StoreOptions, epochs, install, recover, snapshots,
};
use quoll::types::{Entry, Millis, SessionId, Zxid};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

/// The directory of every server.
pub const HOME: &str = "/d";

/// Machine settings of every server.
pub const MACHINE: Settings = Settings { hash_seed: 7, extended_types: false, digest: true };

/// A job for the disk.
#[derive(Debug)]
pub enum Job {
    /// In the store's own queue.
    Command(DiskCommand),
    /// A snapshot that replaces the tree; the log may hold nothing newer.
    Install(Zxid, Box<Image>),
    /// A snapshot of the living tree.
    Snapshot(Zxid, Box<Image>),
}

/// A tree as a snapshot has it.
#[derive(Debug, Clone, Default)]
pub struct Image {
    pub sessions: Vec<(SessionId, i32)>,
    pub acls: Vec<(i64, Vec<Acl<'static>>)>,
    pub nodes: Vec<(String, Option<Vec<u8>>, i64, StatPersisted)>,
    pub digest: Option<(Zxid, i64)>,
    pub last: Option<Zxid>,
}

impl SnapshotSource for Image {
    fn sessions(&mut self) -> Vec<(SessionId, i32)> {
        self.sessions.clone()
    }

    fn acls(&mut self) -> Vec<(i64, Vec<Acl<'static>>)> {
        self.acls.clone()
    }

    fn next_slice(&mut self, put: &mut PutNode<'_>) -> bool {
        for (path, data, acl, stat) in &self.nodes {
            put(path, data.as_deref(), *acl, stat);
        }
        false
    }

    fn digest(&mut self) -> Option<(Zxid, i64)> {
        self.digest
    }

    fn last_zxid(&mut self) -> Option<Zxid> {
        self.last
    }
}

impl Image {
    /// The tree it shows, named after this zxid.
    pub fn load(&self, zxid: Zxid) -> Machine {
        let mut loader = Loader::new(MACHINE);
        for (session, timeout) in &self.sessions {
            loader.session(*session, Millis(i64::from(*timeout)));
        }
        for (id, list) in &self.acls {
            loader.acl(*id, list);
        }
        for (path, data, acl, stat) in &self.nodes {
            loader.node(path, data.as_deref(), *acl, stat).expect("a walk shows parents first");
        }
        if let Some((at, sum)) = self.digest {
            loader.digest(at.0, sum.cast_unsigned());
        }
        loader.finish(zxid.0)
    }
}

/// The disk thread of a living server.
pub struct Disk {
    pub dir: DataDir,
    options: StoreOptions,
    work: DiskWork,
    waiting: VecDeque<Job>,
    /// What is done and not told yet, each with the number of operations it rests on.
    running: VecDeque<(usize, DiskEvent)>,
    /// Operations that everything told so far rests on.
    told: usize,
    files: SimFiles,
}

/// What a server finds when it starts.
pub struct Found {
    pub recovered: Recovered,
    pub epochs: Epochs,
    pub machine: Machine,
    pub entries: VecDeque<Entry>,
    /// No epoch was ever promised here.
    pub fresh: bool,
}

/// Options of every server's store.
pub fn options(pre_alloc: u64, snap_count: u64, seed: u64) -> StoreOptions {
    StoreOptions {
        pre_alloc,
        snap_count,
        snap_size_limit: None,
        hole: HolePolicy::EndHistory,
        limit: 1 << 20,
        seed,
        ..StoreOptions::new(HOME, HOME)
    }
}

impl Disk {
    /// Starts on these files, as a server does.
    pub fn start(files: &SimFiles, options: StoreOptions) -> Result<(Self, Found), StoreError> {
        let opened = Store::open(Arc::new(files.clone()), options.clone())?;
        let dir = opened.dir().clone();
        let fresh = epochs::read(&dir, EpochFile::Accepted)?.is_none()
            && epochs::read(&dir, EpochFile::Current)?.is_none();
        let mut sink = Rebuild::keeping(MACHINE, Window { txns: usize::MAX, bytes: usize::MAX });
        let recovered = opened.recover(&mut sink, &mut |_| {})?;
        let last = recovered.last_zxid.max(Zxid::ZERO);
        let epochs = opened.epochs(last)?;
        let entries = sink.take_recent();
        let work = DiskWork::new(dir.clone(), options.clone(), last, Arc::default());
        let told = files.recorded();
        let disk = Self {
            dir,
            options,
            work,
            waiting: VecDeque::new(),
            running: VecDeque::new(),
            told,
            files: files.clone(),
        };
        Ok((disk, Found { recovered, epochs, machine: sink.finish(), entries, fresh }))
    }

    /// The tree as the files have it now.
    pub fn rebuild(&self) -> Result<(Recovered, Machine), StoreError> {
        let mut sink = Rebuild::new(MACHINE);
        let recovered = recover::recover(&self.dir, &self.options, &mut sink, &mut |_| {})?;
        Ok((recovered, sink.finish()))
    }

    /// Queues a job.
    pub fn submit(&mut self, job: Job) {
        self.waiting.push_back(job);
    }

    /// Jobs wait, and none is being done.
    pub fn can_begin(&self) -> bool {
        self.running.is_empty() && !self.waiting.is_empty()
    }

    /// Is nothing waiting and nothing on its way?
    pub fn idle(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    /// Does what waits. True if there will be something to tell.
    pub fn begin(&mut self) -> Result<bool, StoreError> {
        let Self { dir, work, waiting, running, files, .. } = self;
        let mut batch = Vec::with_capacity(waiting.len());
        while let Some(Job::Command(_)) = waiting.front() {
            if let Some(Job::Command(command)) = waiting.pop_front() {
                batch.push(command);
            }
        }
        let mut report = |event| running.push_back((files.recorded(), event));
        if !batch.is_empty() {
            work.run(batch, &mut report)?;
        }
        match waiting.pop_front() {
            Some(Job::Install(last, mut image)) => {
                install::write(dir, last, quoll::store::Compression::Plain, &mut *image)?;
                let mut report = |event| running.push_back((files.recorded(), event));
                work.run([DiskCommand::Restart(last)], &mut report)?;
            }
            Some(Job::Snapshot(zxid, mut image)) => {
                snapshots::write(dir, zxid, quoll::store::Compression::Plain, &mut *image, &mut || true)?;
            }
            _ => {}
        }
        Ok(!running.is_empty())
    }

    /// The next thing to tell, now that its time has passed.
    pub fn tell(&mut self) -> Option<DiskEvent> {
        let (ops, report) = self.running.pop_front()?;
        self.told = self.told.max(ops);
        Some(report)
    }

    /// Is there more to tell of what was begun?
    pub fn has_more(&self) -> bool {
        !self.running.is_empty()
    }

    /// From the next operation on the disk fails, until it is healed.
    pub fn fail(&self, fault: Fault, after: usize) {
        self.files.inject(fault, after);
    }

    /// Their names and lengths, for a replay.
    pub fn names(&self) -> Vec<(String, u64)> {
        use quoll::store::Files as _;
        let listed = self.files.list(&Path::new(HOME).join("version-2")).unwrap_or_default();
        listed.into_iter().map(|f| (f.name, f.len)).collect()
    }

    /// Its files.
    pub fn files(&self) -> SimFiles {
        self.files.clone()
    }

    /// It works again.
    pub fn heal(&self) {
        self.files.heal();
    }

    /// What a killed process leaves: all it has done so far.
    pub fn kill(&self, rng: &mut Rng) -> SimFiles {
        let end = self.files.recorded();
        let prefix = rng.range(self.told as u64, end as u64 + 1) as usize;
        self.files.heal();
        self.files.cut_off(prefix)
    }

    /// What a power failure leaves: of what no sync covers, anything. `lying`: the last syncs of the log were none.
    pub fn power_off(&self, rng: &mut Rng, lying: bool) -> (SimFiles, Damage) {
        let end = self.files.recorded();
        let prefix = rng.range(self.told as u64, end as u64 + 1) as usize;
        self.files.heal();
        let mut damage = Damage::default();
        let unsynced = self.files.unsynced(prefix);
        let mut plan = CrashPlan { prefix, ..CrashPlan::default() };
        let ops = self.files.ops();
        match rng.below(4) {
            0 => {}
            1 => plan.dropped.extend(unsynced.iter().copied()),
            2 => plan.dropped.extend(unsynced.iter().copied().filter(|_| rng.one_in(2))),
            _ => {
                plan.dropped.extend(unsynced.iter().copied().filter(|_| rng.one_in(3)));
                let writes: Vec<usize> =
                    unsynced.iter().copied().filter(|i| matches!(ops[*i], Op::Write { .. })).collect();
                if let Some(&torn) = writes.last() {
                    plan.dropped.remove(&torn);
                    let sector = *rng.pick(&[512, 4096]);
                    let tear = match rng.below(3) {
                        0 => Tear::Front { sector, keep: rng.index(2) },
                        1 => Tear::LengthAlone,
                        _ => Tear::Only { sector, index: rng.index(2) },
                    };
                    plan.torn = Some((torn, tear));
                    damage.torn = true;
                }
            }
        }
        damage.lost = !plan.dropped.is_empty();
        damage.reordered =
            plan.dropped.iter().any(|i| unsynced.iter().any(|j| j > i && !plan.dropped.contains(j)));
        if lying {
            damage.lied = lie(&ops, prefix, rng, &mut plan);
        }
        (self.files.crash(&plan), damage)
    }
}

/// What a power failure did.
#[derive(Debug, Default, Clone, Copy)]
pub struct Damage {
    pub torn: bool,
    pub lost: bool,
    pub reordered: bool,
    pub lied: bool,
}

/// Drops the last writes to the newest log, synced or not.
fn lie(ops: &[Op], prefix: usize, rng: &mut Rng, plan: &mut CrashPlan) -> bool {
    let mut log = None;
    for op in &ops[..prefix] {
        if let Op::Rename { inode, to, .. } = op
            && to.file_name().is_some_and(|n| n.to_string_lossy().starts_with("log."))
        {
            log = Some(*inode);
        }
    }
    let Some(log) = log else { return false };
    let writes: Vec<usize> = (0..prefix)
        .filter(|i| matches!(&ops[*i], Op::Write { inode, .. } if *inode == log) && !plan.dropped.contains(i))
        .collect();
    if writes.len() < 2 {
        return false;
    }
    let lost = 1 + rng.index(writes.len() - 1).min(4);
    plan.dropped.extend(&writes[writes.len() - lost..]);
    if plan.torn.is_some_and(|(torn, _)| plan.dropped.contains(&torn)) {
        plan.torn = None;
    }
    true
}

/// Changes one bit of a log or a snapshot, and says which. `None` if there is none.
pub fn flip(files: &SimFiles, rng: &mut Rng) -> Option<String> {
    use quoll::store::Files as _;
    let dir = Path::new(HOME).join("version-2");
    let Ok(listed) = files.list(&dir) else { return None };
    let named =
        |f: &&quoll::store::files::Listed| f.name.starts_with("log.") || f.name.starts_with("snapshot.");
    let candidates: Vec<_> = listed.iter().filter(named).filter(|f| f.len > 20).collect();
    if candidates.is_empty() {
        return None;
    }
    let file = candidates[rng.index(candidates.len())];
    let path = dir.join(&file.name);
    let Ok(mut bytes) = files.read(&path, usize::MAX) else { return None };
    let content = bytes.iter().rposition(|b| *b != 0).map_or(0, |n| n + 1);
    if content <= 20 {
        return None;
    }
    let at = 16 + rng.index(content - 16);
    bytes[at] ^= 1 << rng.below(8);
    files.plant(&path, &bytes);
    Some(format!("bit of byte {at} of {} in {}", content, file.name))
}

/// Changes one bit of this file, and says which. `None` if it is not there.
pub fn flip_in(files: &SimFiles, name: &str, rng: &mut Rng) -> Option<String> {
    use quoll::store::Files as _;
    let path = Path::new(HOME).join("version-2").join(name);
    let mut bytes = files.read(&path, usize::MAX).ok().filter(|bytes| !bytes.is_empty())?;
    let at = rng.index(bytes.len());
    bytes[at] ^= 1 << rng.below(8);
    files.plant(&path, &bytes);
    Some(format!("byte {at} of {name} is {:#x}", bytes[at]))
}

/// Puts a history there that ends at `last`, with an empty tree.
pub fn begin_at(files: &SimFiles, last: Zxid) {
    use quoll::store::Files as _;
    let dir = Path::new(HOME).join("version-2");
    files.create_dirs(&dir).expect("a new disk");
    files.plant(&dir.join(format!("snapshot.{:x}", last.0)), &quoll::store::format::snapshot::empty());
    for name in ["currentEpoch", "acceptedEpoch"] {
        files.plant(&dir.join(name), last.epoch().0.to_string().as_bytes());
    }
}

/// The transactions in the files of a server that is down, as far as they are sound.
pub fn logged(files: &SimFiles) -> Vec<Entry> {
    use quoll::store::Files as _;
    let dir = Path::new(HOME).join("version-2");
    let mut all = Vec::new();
    for file in files.list(&dir).unwrap_or_default().iter().filter(|f| f.name.starts_with("log.")) {
        let bytes = bytes::Bytes::from(files.read(&dir.join(&file.name), usize::MAX).unwrap_or_default());
        let (records, _) = quoll::store::format::log::scan(&bytes, 1 << 20);
        all.extend(records.into_iter().map(|r| Entry { zxid: r.zxid, payload: r.payload }));
    }
    all.sort_by_key(|e| e.zxid);
    all
}
