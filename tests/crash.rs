//! Crashes of the real store on a simulated disk: at every operation, with every kind of loss that an operating
//! system may cause, and once more while recovering from that.
//!
//! The oracle after each crash: the store starts; every transaction that was acknowledged is there; what is
//! there is a prefix of what was written, without a gap; a second crash during recovery changes nothing.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use bytes::Bytes;
use jute::records::data::{Acl, StatPersisted};
use quoll::store::files::{CrashPlan, Fault, Op, SimFiles, Tear};
use quoll::store::{
    Compression, DiskCommand, DiskEvent, DiskWork, EpochFile, Files, HolePolicy, Recovered, Restore,
    SnapshotSource, Store, StoreError, StoreOptions, Trailer, Truncated, install, purge, snapshots,
};
use quoll::types::{Entry, Epoch, SessionId, Zxid};
use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;

/// A tree of which every node is one transaction: it says exactly which ones are in it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Tree {
    txns: BTreeSet<i64>,
}

impl Restore for Tree {
    fn clear(&mut self) {
        self.txns.clear();
    }
    fn session(&mut self, _: SessionId, _: i32) {}
    fn acl(&mut self, _: i64, _: &[Acl<'_>]) -> Result<(), String> {
        Ok(())
    }
    fn node(&mut self, path: &str, data: Option<&[u8]>, _: i64, stat: &StatPersisted) -> Result<(), String> {
        if let Some(zxid) = path.strip_prefix("/t") {
            assert_eq!(zxid, stat.czxid.to_string());
            assert_eq!(data, Some(&content(stat.czxid)[..]));
            self.txns.insert(stat.czxid);
        }
        Ok(())
    }
    fn snapshot(&mut self, _: Zxid, _: &Trailer) -> Result<(), String> {
        Ok(())
    }
    fn txn(&mut self, entry: Entry) -> Result<(), String> {
        assert_eq!(entry, txn(entry.zxid.0), "what is read is what was written");
        self.txns.insert(entry.zxid.0);
        Ok(())
    }
}

/// Bytes that only this transaction has. Some are long enough to span sectors, one in nine is full of zeros.
fn content(zxid: i64) -> Vec<u8> {
    let mut seed = (zxid as u32).wrapping_mul(2_654_435_761) ^ (zxid >> 32) as u32 ^ 0x9e37;
    let len = [20, 300, 45, 900, 130, 2600, 60][zxid as usize % 7];
    let zeros = zxid % 9 == 4;
    (0..len)
        .map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if zeros { 0 } else { (seed >> 24) as u8 }
        })
        .collect()
}

fn txn(zxid: i64) -> Entry {
    let mut payload = vec![0x11; 12];
    payload.extend_from_slice(&zxid.to_be_bytes());
    payload.extend_from_slice(&[0, 0, 1, 0x6f, 0, 0, 0, 1, 0, 0, 0, 5]);
    payload.extend_from_slice(&content(zxid));
    Entry { zxid: Zxid(zxid), payload: Bytes::from(payload) }
}

struct Source<'a> {
    tree: &'a Tree,
    at: i64,
    root: bool,
}

impl SnapshotSource for Source<'_> {
    fn sessions(&mut self) -> Vec<(SessionId, i32)> {
        vec![(SessionId(0x77), 4000)]
    }
    fn acls(&mut self) -> Vec<(i64, Vec<Acl<'static>>)> {
        vec![(1, vec![Acl::default()])]
    }
    fn next_slice(&mut self, put: &mut snapshots::PutNode<'_>) -> bool {
        if !self.root {
            self.root = true;
            put("", Some(b""), -1, &StatPersisted::default());
        }
        for zxid in self.tree.txns.range(self.at + 1..).take(5) {
            let stat = StatPersisted { czxid: *zxid, ..StatPersisted::default() };
            put(&format!("/t{zxid}"), Some(&content(*zxid)), 1, &stat);
            self.at = *zxid;
        }
        self.tree.txns.range(self.at + 1..).next().is_some()
    }
    fn digest(&mut self) -> Option<(Zxid, i64)> {
        Some((self.last_zxid()?, 5))
    }
    fn last_zxid(&mut self) -> Option<Zxid> {
        Some(Zxid(self.tree.txns.last().copied().unwrap_or(0)))
    }
}

/// What had been promised when so many operations were recorded.
#[derive(Debug, Clone)]
struct Promise {
    from: usize,
    /// Acknowledged: must be there.
    acked: Vec<i64>,
    /// Written or being written: may be there, in this order.
    written: Vec<i64>,
}

/// A run of the real store, and everything the oracle needs to know of it.
struct Run {
    sim: SimFiles,
    options: StoreOptions,
    promises: Vec<Promise>,
}

struct Driver {
    sim: SimFiles,
    options: StoreOptions,
    tree: Tree,
    history: Vec<i64>,
    promises: Vec<Promise>,
    /// The part of an old history that a truncation under way may still show.
    seed: u64,
}

impl Driver {
    fn new(seed: u64, compression: Compression) -> Self {
        let sim = SimFiles::new();
        let options = StoreOptions {
            pre_alloc: 8192,
            snap_count: 1000,
            compression,
            seed,
            ..StoreOptions::new("/data", if seed.is_multiple_of(2) { "/data" } else { "/logs" })
        };
        let promises = vec![Promise { from: 0, acked: vec![], written: vec![] }];
        Self {
            sim,
            options,
            tree: Tree::default(),
            history: vec![],
            promises,
            seed: seed.wrapping_mul(0x9e37_79b9) | 1,
        }
    }

    fn random(&mut self, below: u64) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed % below
    }

    fn promise(&mut self, acked: &[i64], written: &[i64]) {
        self.promises.push(Promise {
            from: self.sim.recorded(),
            acked: acked.to_vec(),
            written: written.to_vec(),
        });
    }

    fn start(&mut self) -> DiskWork {
        let opened = Store::open(Arc::new(self.sim.clone()), self.options.clone()).unwrap();
        let mut tree = Tree::default();
        let found = opened.recover(&mut tree, &mut |_| {}).unwrap();
        assert_eq!(tree.txns.iter().copied().collect::<Vec<_>>(), self.history);
        assert_eq!(found.uncovered, None);
        self.tree = tree;
        DiskWork::new(opened.dir().clone(), self.options.clone(), found.last_zxid, Arc::default())
    }

    /// One batch: written together, acknowledged after its sync.
    fn batch(&mut self, work: &mut DiskWork, n: usize) {
        let acked = self.history.clone();
        for _ in 0..n {
            let next = self.history.last().map_or(1, |z| z + 1);
            self.history.push(next);
        }
        let all = self.history.clone();
        self.promise(&acked, &all);
        let commands: Vec<_> = all[acked.len()..].iter().map(|z| DiskCommand::Append(txn(*z))).collect();
        let sim = self.sim.clone();
        let mut flushed = None;
        work.run(commands, &mut |event| {
            if let DiskEvent::Flushed(f) = event {
                flushed = Some((sim.recorded(), f.zxid().0));
            }
        })
        .unwrap();
        let (from, zxid) = flushed.unwrap();
        assert_eq!(Some(&zxid), all.last());
        self.promises.push(Promise { from, acked: all.clone(), written: all.clone() });
        self.tree.txns.extend(&all[acked.len()..]);
    }

    fn snapshot(&mut self, dir: &quoll::store::DataDir) {
        let tree = self.tree.clone();
        // Named after an earlier transaction than its content reaches: fuzzy, as in life.
        let behind = self.history.len().saturating_sub(3);
        let zxid = Zxid(self.history.get(behind).copied().unwrap_or(0));
        let mut source = Source { tree: &tree, at: 0, root: false };
        snapshots::write(dir, zxid, self.options.compression, &mut source, &mut || true).unwrap().unwrap();
    }

    fn truncate(&mut self, work: &mut DiskWork, drop: usize) {
        let old = self.history.clone();
        let keep = old[..old.len() - drop].to_vec();
        // While it runs, anything between the two ends may be there; what is kept must be.
        self.promise(&keep, &old);
        let to = Zxid(*keep.last().unwrap());
        let mut cut = None;
        work.run([DiskCommand::TruncateAfter(to)], &mut |event| {
            if let DiskEvent::Truncated(t) = event {
                cut = Some(t);
            }
        })
        .unwrap();
        let cut = cut.unwrap();
        assert!(cut.recoverable && cut.last == to, "{cut:?}");
        self.history.clone_from(&keep);
        self.tree.txns = keep.iter().copied().collect();
        self.promise(&keep, &keep);
    }

    fn epoch(&mut self, work: &mut DiskWork, epoch: i64) {
        for file in [EpochFile::Accepted, EpochFile::Current] {
            work.run([DiskCommand::SaveEpoch(file, Epoch(epoch))], &mut |_| {}).unwrap();
        }
    }

    fn done(self) -> Run {
        Run { sim: self.sim, options: self.options, promises: self.promises }
    }
}

/// Batches, rolls, snapshots, a purge and a restart, as a standalone server lives.
fn standalone(seed: u64, compression: Compression) -> Run {
    let mut d = Driver::new(seed, compression);
    let mut work = d.start();
    let opened = quoll::store::DataDir::unlocked(Arc::new(d.sim.clone()), &d.options);
    for round in 0..4 {
        for _ in 0..2 {
            let n = 1 + d.random(9) as usize;
            d.batch(&mut work, n);
        }
        work.run([DiskCommand::Roll], &mut |_| {}).unwrap();
        d.batch(&mut work, 2);
        d.snapshot(&opened);
        if round == 2 {
            work.close(&mut |_| {}).unwrap();
            drop(work);
            work = d.start();
        }
        d.batch(&mut work, 1);
    }
    purge::purge(&opened, 3).unwrap();
    d.batch(&mut work, 3);
    d.done()
}

/// The same with epochs and truncations, as an ensemble member lives.
fn member(seed: u64, compression: Compression) -> Run {
    let mut d = Driver::new(seed, compression);
    let mut work = d.start();
    let dir = quoll::store::DataDir::unlocked(Arc::new(d.sim.clone()), &d.options);
    d.epoch(&mut work, 1);
    d.history.clear();
    for round in 0..3 {
        let n = 3 + d.random(8) as usize;
        d.batch(&mut work, n);
        d.snapshot(&dir);
        work.run([DiskCommand::Roll], &mut |_| {}).unwrap();
        d.batch(&mut work, 4);
        let drop = 1 + d.random(6) as usize;
        d.truncate(&mut work, drop);
        d.epoch(&mut work, round + 2);
        // The first of a new epoch: the batch counts on from here.
        let last = *d.history.last().unwrap();
        let first = Zxid::new(Epoch(Zxid(last).epoch().0 + 1), 0).0;
        new_epoch(&mut d, &mut work, first + 1);
        d.batch(&mut work, 2);
    }
    d.done()
}

fn new_epoch(d: &mut Driver, work: &mut DiskWork, first: i64) {
    let acked = d.history.clone();
    d.history.push(first);
    let all = d.history.clone();
    d.promise(&acked, &all);
    work.run([DiskCommand::Append(txn(first))], &mut |_| {}).unwrap();
    d.promise(&all, &all);
    d.tree.txns.insert(first);
}

fn recover(sim: &SimFiles, options: &StoreOptions) -> Result<(Vec<i64>, Recovered), StoreError> {
    let opened = Store::open(Arc::new(sim.clone()), options.clone())?;
    let mut tree = Tree::default();
    let found = opened.recover(&mut tree, &mut |_| {})?;
    Ok((tree.txns.into_iter().collect(), found))
}

/// Every way in which the operations before `prefix` may have reached the disk, as the reliability contract
/// lists them.
fn plans(sim: &SimFiles, ops: &[Op], prefix: usize) -> Vec<CrashPlan> {
    let unsynced = sim.unsynced(prefix);
    let all: BTreeSet<usize> = unsynced.iter().copied().collect();
    let plan = |dropped: BTreeSet<usize>, torn| CrashPlan { prefix, dropped, torn };
    let mut plans = vec![plan(BTreeSet::new(), None), plan(all.clone(), None)];
    for (i, one) in unsynced.iter().enumerate() {
        plans.push(plan([*one].into(), None));
        plans.push(plan(all.iter().copied().filter(|o| o != one).collect(), None));
        plans.extend(unsynced[i + 1..].iter().map(|two| plan([*one, *two].into(), None)));
        let Op::Write { offset, bytes, .. } = &ops[*one] else { continue };
        let mut tears = vec![Tear::LengthAlone];
        for sector in [512, 4096] {
            let first = *offset as usize / sector;
            let sectors = (*offset as usize + bytes.len()).div_ceil(sector) - first;
            for index in 0..sectors {
                tears.push(Tear::Front { sector, keep: index });
                tears.push(Tear::Without { sector, index });
                tears.push(Tear::Only { sector, index });
            }
        }
        for tear in tears {
            plans.push(plan(BTreeSet::new(), Some((*one, tear))));
            plans.push(plan(all.iter().copied().filter(|o| o > one).collect(), Some((*one, tear))));
        }
    }
    plans
}

struct Tally {
    seen: HashSet<u64>,
    states: usize,
    repaired: usize,
    torn: usize,
}

fn examine(run: &Run, tally: &mut Tally) {
    let ops = run.sim.ops();
    for prefix in 0..=ops.len() {
        let promise = run.promises.iter().rfind(|p| p.from <= prefix).unwrap();
        for plan in plans(&run.sim, &ops, prefix) {
            let crashed = run.sim.crash(&plan);
            // The same bytes under another promise are another case.
            if !tally
                .seen
                .insert(crashed.fingerprint() ^ (promise.acked.len() as u64) << 48 ^ promise.from as u64)
            {
                continue;
            }
            tally.states += 1;
            tally.torn += usize::from(plan.torn.is_some());
            let what =
                || format!("prefix {prefix} of {}, {plan:?}; before it {}", ops.len(), brief(&ops[..prefix]));
            let first = judge(&crashed, run, promise, &what);
            let repairs = crashed.recorded();
            tally.repaired += usize::from(repairs > 0);
            for second in 0..=repairs {
                for again in plans(&crashed, &crashed.ops(), second) {
                    let twice = crashed.crash(&again);
                    if !tally.seen.insert(twice.fingerprint() ^ 0x5555 ^ promise.from as u64) {
                        continue;
                    }
                    tally.states += 1;
                    let what = || format!("{}, then {again:?}", what());
                    let after = judge(&twice, run, promise, &what);
                    assert_eq!(after, first, "{}", what());
                }
            }
        }
    }
}

fn judge(crashed: &SimFiles, run: &Run, promise: &Promise, what: &dyn Fn() -> String) -> Vec<i64> {
    let (got, found) = match recover(crashed, &run.options) {
        Ok(recovered) => recovered,
        Err(e) => panic!("does not start: {e}\n{}\n{}", what(), listing(crashed)),
    };
    assert!(
        got.len() >= promise.acked.len()
            && got[..] == promise.written[..got.len().min(promise.written.len())],
        "acknowledged {:?}\nfound {got:?}\n{}\n{}\n{:?}",
        promise.acked,
        what(),
        listing(crashed),
        found.warnings
    );
    assert_eq!(found.last_zxid.0, got.last().copied().unwrap_or(0));
    assert_eq!(found.uncovered, None, "{}", what());
    got
}

/// The last operations before a crash, without their bytes.
fn brief(ops: &[Op]) -> String {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let one = |op: &Op| match op {
        Op::Create { path, inode } => format!("create {} as {inode}", name(path)),
        Op::Write { inode, offset, bytes } => format!("write {inode} at {offset}, {}", bytes.len()),
        Op::SetLen { inode, len } => format!("length {inode} {len}"),
        Op::SyncFile { inode } => format!("sync {inode}"),
        Op::Rename { from, to, .. } => format!("rename {} {}", name(from), name(to)),
        Op::Remove { path } => format!("remove {}", name(path)),
        Op::SyncDir { .. } => "sync dir".to_owned(),
    };
    let from = ops.len().saturating_sub(25);
    ops[from..]
        .iter()
        .enumerate()
        .map(|(i, op)| format!("{}: {}", from + i, one(op)))
        .collect::<Vec<_>>()
        .join("; ")
}

fn listing(sim: &SimFiles) -> String {
    ["/data/version-2", "/logs/version-2"]
        .iter()
        .filter_map(|dir| Some(format!("{dir}: {:?}", sim.list(Path::new(dir)).ok()?)))
        .collect::<Vec<_>>()
        .join("\n")
}

const FLOOR: usize = 50_000;

#[test]
fn every_crash_keeps_what_was_acknowledged() {
    let packing = [Compression::Plain, Compression::Plain, Compression::Snappy, Compression::Gzip];
    let runs: Vec<u64> = (2..19).collect();
    let work = std::sync::Mutex::new(runs);
    let totals = std::sync::Mutex::new((0, 0, 0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(seed) = work.lock().unwrap().pop() else { return };
                    let compression = packing[seed as usize / 4 % 4];
                    let run = if seed % 4 < 2 { standalone } else { member }(seed, compression);
                    let mut tally = Tally { seen: HashSet::new(), states: 0, repaired: 0, torn: 0 };
                    examine(&run, &mut tally);
                    let mut totals = totals.lock().unwrap();
                    totals.0 += tally.states;
                    totals.1 += tally.repaired;
                    totals.2 += tally.torn;
                }
            });
        }
    });
    let (states, repaired, torn) = totals.into_inner().unwrap();
    eprintln!("{states} crash states, {torn} with a torn write, {repaired} repaired on the way");
    assert!(states >= FLOOR, "only {states} states");
    assert!(repaired > 5_000 && torn > 8_000, "the interesting ones are too few: {repaired} {torn}");
}

/// Everything, or nothing and no vote. Says which.
fn all_or_nothing(sim: &SimFiles, options: &StoreOptions, all: &[i64], what: &dyn Fn() -> String) -> bool {
    let (got, found) = match recover(sim, options) {
        Ok(recovered) => recovered,
        Err(e) => panic!("does not start: {e}\n{}\n{}", what(), listing(sim)),
    };
    if got == all && found.may_vote() {
        return true;
    }
    assert!(got.is_empty() && found.last_zxid == Zxid(-1), "{got:?} {found:?}\n{}\n{}", what(), listing(sim));
    false
}

/// Where nothing leads to the place of a cut, everything goes. A crash on the way leaves all of the old history, or a
/// server that waits for a leader and has no vote; never logs without a snapshot, on which no server starts.
#[test]
fn every_crash_of_a_discard_leaves_all_or_nothing() {
    let mut states = [0; 2];
    for (seed, to) in [(2, 17), (3, 17), (2, 19), (3, 19)] {
        let mut d = Driver::new(seed, Compression::Plain);
        d.options.hole = HolePolicy::EndHistory;
        let mut work = d.start();
        let dir = quoll::store::DataDir::unlocked(Arc::new(d.sim.clone()), &d.options);
        d.batch(&mut work, 3);
        d.epoch(&mut work, 0);
        // From a leader: begun at 18, and with what changed up to 20 meanwhile.
        d.history = (1..=18).collect();
        d.tree.txns = (1..=20).collect();
        let tree = d.tree.clone();
        let mut source = Source { tree: &tree, at: 0, root: false };
        install::write(&dir, Zxid(18), Compression::Plain, &mut source).unwrap().unwrap();
        work.run([DiskCommand::Restart(Zxid(18))], &mut |_| {}).unwrap();
        d.batch(&mut work, 4);
        work.run([DiskCommand::Roll], &mut |_| {}).unwrap();
        d.batch(&mut work, 3);
        d.snapshot(&dir);
        let before = d.sim.recorded();
        let mut cut = None;
        work.run([DiskCommand::TruncateAfter(Zxid(to))], &mut |event| {
            if let DiskEvent::Truncated(t) = event {
                cut = Some(t);
            }
        })
        .unwrap();
        assert_eq!(cut, Some(Truncated { last: Zxid::ZERO, recoverable: false }));
        let (options, ops) = (&d.options, d.sim.ops());
        for prefix in before..=ops.len() {
            for plan in plans(&d.sim, &ops, prefix) {
                let crashed = d.sim.crash(&plan);
                let what = || format!("prefix {prefix}, {plan:?}; before it {}", brief(&ops[..prefix]));
                let names = listing(&crashed);
                assert!(names.contains("\"snapshot.") || !names.contains("\"log."), "{}\n{names}", what());
                let first = all_or_nothing(&crashed, options, &d.history, &what);
                states[usize::from(first)] += 1;
                for second in 0..=crashed.recorded() {
                    for again in plans(&crashed, &crashed.ops(), second) {
                        let what = || format!("{}, then {again:?}", what());
                        let twice = crashed.crash(&again);
                        assert_eq!(all_or_nothing(&twice, options, &d.history, &what), first, "{}", what());
                    }
                }
            }
        }
    }
    assert!(states.iter().all(|n| *n > 20), "{states:?}");
}

/// A disk that says "synced" and lies loses data, and the oracle must notice: it can fail.
#[test]
fn the_oracle_sees_a_lying_disk() {
    let mut d = Driver::new(2, Compression::Plain);
    let mut work = d.start();
    d.sim.inject(Fault::LyingSync, 0);
    d.batch(&mut work, 3);
    let run = d.done();
    let mut tally = Tally { seen: HashSet::new(), states: 0, repaired: 0, torn: 0 };
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| examine(&run, &mut tally)));
    assert!(outcome.is_err());
}

/// What a killed process had written is read by the next one, whether a sync had covered it or not. It counts from then
/// on, so it must not be lost with the power.
#[test]
fn what_a_killed_process_left_is_made_durable() {
    let mut d = Driver::new(2, Compression::Plain);
    let mut work = d.start();
    d.batch(&mut work, 3);
    d.sim.inject(Fault::LyingSync, 0);
    d.batch(&mut work, 2);
    drop(work);
    d.sim.heal();
    assert!(!d.sim.unsynced(d.sim.recorded()).is_empty());
    let (got, _) = recover(&d.sim, &d.options).unwrap();
    assert_eq!(got, d.history);
    let prefix = d.sim.recorded();
    let dropped = d.sim.unsynced(prefix).into_iter().collect();
    let without_power = d.sim.crash(&CrashPlan { prefix, dropped, torn: None });
    assert_eq!(recover(&without_power, &d.options).unwrap().0, got);
}

/// One altered byte, anywhere: the whole history or a refusal, never less than was acknowledged.
#[test]
fn every_flipped_byte_is_survived_or_refused() {
    let mut d = Driver::new(2, Compression::Plain);
    let mut work = d.start();
    d.epoch(&mut work, 0);
    let dir = quoll::store::DataDir::unlocked(Arc::new(d.sim.clone()), &d.options);
    d.batch(&mut work, 3);
    d.snapshot(&dir);
    work.run([DiskCommand::Roll], &mut |_| {}).unwrap();
    d.batch(&mut work, 3);
    d.batch(&mut work, 1);
    let history = d.history.clone();
    let options = d.options.clone();
    let good = d.sim.killed();
    let (mut right, mut refused, mut epochs_refused) = (0, 0, 0);
    let data = Path::new("/data/version-2");
    for file in good.list(data).unwrap() {
        let path = data.join(&file.name);
        let bytes = good.read(&path, usize::MAX).unwrap();
        for at in 0..bytes.len() {
            // Padding is all alike: a few of its bytes stand for the rest.
            let padding = bytes[at..].iter().all(|b| *b == 0);
            if padding && at % 97 != 0 {
                continue;
            }
            for change in [0xff, 1, 0x20] {
                let mut altered = bytes.clone();
                altered[at] ^= change;
                let bad = good.killed();
                bad.plant(&path, &altered);
                match recover(&bad, &options) {
                    Ok((got, found)) => {
                        assert_eq!(got, history, "{} byte {at} ^ {change}: {:?}", file.name, found.warnings);
                        right += 1;
                        let opened = Store::open(Arc::new(bad.clone()), options.clone()).unwrap();
                        match opened.epochs(found.last_zxid) {
                            Ok(epochs) => {
                                assert!(epochs.current >= Epoch(0) && epochs.accepted >= epochs.current)
                            }
                            Err(_) => epochs_refused += 1,
                        }
                    }
                    Err(e) => {
                        assert!(e.to_string().contains("/data/version-2"), "{e}");
                        refused += 1;
                    }
                }
            }
        }
    }
    eprintln!("{right} right, {refused} refused, {epochs_refused} by the epochs alone");
    assert!(right > 1000 && refused > 1000, "{right} {refused}");
}

/// A log that is deleted, emptied, zeroed or cut is noticed, whichever it is.
#[test]
fn a_missing_log_is_noticed() {
    let run = {
        let mut d = Driver::new(2, Compression::Plain);
        let mut work = d.start();
        for _ in 0..4 {
            d.batch(&mut work, 4);
            work.run([DiskCommand::Roll], &mut |_| {}).unwrap();
        }
        d.batch(&mut work, 4);
        d.done()
    };
    let good = run.sim.killed();
    let whole = recover(&good.killed(), &run.options).unwrap().0;
    let data = Path::new("/data/version-2");
    let logs: Vec<_> = good.list(data).unwrap().into_iter().filter(|f| f.name.starts_with("log.")).collect();
    assert_eq!(logs.len(), 5);
    for file in logs {
        let path = data.join(&file.name);
        let bytes = good.read(&path, usize::MAX).unwrap();
        let zeros_from = |at: usize| [&bytes[..at], &vec![0; bytes.len() - at]].concat();
        let damages: Vec<Option<Vec<u8>>> = vec![
            None,
            Some(vec![]),
            Some(bytes[..16].to_vec()),
            Some(bytes[..200].to_vec()),
            Some(zeros_from(0)),
            Some(zeros_from(16)),
            Some(zeros_from(512)),
        ];
        for (i, damage) in damages.into_iter().enumerate() {
            let bad = good.killed();
            match damage {
                None => bad.remove(&path).unwrap(),
                Some(bytes) => bad.plant(&path, &bytes),
            }
            match recover(&bad, &run.options) {
                Ok((got, found)) => assert_eq!(got, whole, "{} damage {i}: {:?}", file.name, found.warnings),
                Err(e) => assert!(e.to_string().contains("/data/version-2"), "{e}"),
            }
        }
    }
}

/// A full disk at any operation: the process ends, and after space was made it starts with everything.
#[test]
fn a_full_disk_is_survived() {
    for after in 0..60 {
        let mut d = Driver::new(2, Compression::Plain);
        let mut work = d.start();
        d.batch(&mut work, 3);
        let acked = d.history.clone();
        d.sim.inject(Fault::NoSpace, after);
        let next = *acked.last().unwrap() + 1;
        let mut last = *acked.last().unwrap();
        let mut commands: Vec<_> = (0..4).map(|i| DiskCommand::Append(txn(next + i))).collect();
        commands.push(DiskCommand::Roll);
        commands.push(DiskCommand::Append(txn(next + 4)));
        let outcome = work.run(commands, &mut |event| {
            if let DiskEvent::Flushed(f) = event {
                last = f.zxid().0;
            }
        });
        assert_eq!(outcome.is_ok(), last == next + 4);
        // Still full: it starts and stops again, any number of times, and leaves no litter.
        for _ in 0..3 {
            drop(recover(&d.sim, &d.options));
        }
        d.sim.heal();
        let (got, _) = recover(&d.sim.killed(), &d.options).unwrap();
        assert!(*got.last().unwrap() >= last, "after {after}");
        assert_eq!(got, (1..=got.len() as i64).collect::<Vec<_>>());
    }
}
