//! Start-up: the newest sound snapshot, the logs behind it, and the judgement on everything that is wrong.
//!
//! Nothing is guessed. A write that no sync covered is cut away, with a warning; whatever else is missing or
//! altered refuses, naming file, offset and what helps. Between two attempts the sink is cleared entirely.
//! A thread reads, unpacks and checks while the caller's thread applies; small directories do without it.

use super::datadir::{DataDir, LogFile, SnapshotFile};
use super::epochs::{self, EpochFile};
use super::error::StoreError;
use super::format::log::LogEnd;
use super::format::snapshot::{Fault, Trailer};
use super::install;
use super::log_reader::{LogCursor, Next};
use super::options::{HolePolicy, StoreOptions};
use super::replay::Replay;
use super::snapshots::{self, CANDIDATES, Part, Unusable};
use crate::types::{Entry, SessionId, Zxid};
use jute::records::data::{Acl, StatPersisted};

/// Below this much on disk a second thread costs more than it saves.
pub(super) const INLINE: u64 = 1024 * 1024;

/// Parts on their way from the reader to the sink: enough to keep both busy, and a bound on memory.
const IN_FLIGHT: usize = 4;

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
    install::finish(dir)?;
    let mut found = Recovered::default();
    let standalone =
        epochs::read(dir, EpochFile::Accepted)?.is_none() && epochs::read(dir, EpochFile::Current)?.is_none();
    let candidates = snapshots::candidates(dir, CANDIDATES)?;
    let rejected_early = dir.snapshot_files()?.len() > candidates.len();
    let passed_over = load_snapshot(dir, options, &candidates, sink, progress, &mut found)?;
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
    // What fails the quick check is no candidate, and yet it says by its name how far the history once went. The
    // reference leaves such a file when it is killed over its first snapshot as a leader, named after no transaction.
    let start = found.last_zxid;
    let named = |file: &SnapshotFile| file.zxid > start && file.zxid.counter() != 0;
    let cut_short = dir.snapshot_files()?.into_iter().find(named);
    Replay::new(dir, options, standalone, &mut found)?.run(sink, progress)?;
    let last = found.last_zxid;
    let passed_over = passed_over.into_iter().chain(cut_short).max_by_key(|file| file.zxid);
    if let Some(file) = passed_over.filter(|file| file.zxid > last && found.hole.is_none()) {
        if options.hole == HolePolicy::Refuse {
            return Err(StoreError::Lost(format!(
                "{} is damaged, and older snapshots and logs lead only to {last}, not to {}: restore the file from a \
                 backup or another member, or move it away to go on without those transactions",
                file.path.display(),
                file.zxid
            )));
        }
        found.hole = Some((last, file.zxid));
        found.warnings.push(format!(
            "{} is damaged, and what leads to {} is missing: the history ends at {last}",
            file.path.display(),
            file.zxid
        ));
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
    let trailer = trailer.ok_or(Unusable::Fault(Fault::Ended))?;
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
pub(super) fn hand_over<T: Send, E: Send>(
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

#[cfg(test)]
mod tests {
    use super::super::files::{Files, SimFiles};
    use super::super::format::log;
    use super::super::format::mark::Mark;
    use super::super::format::names;
    use super::super::format::snapshot::{Encoder, TreeDigest};
    use super::super::replay::repair_log;
    use super::*;
    use crate::types::Epoch;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    #[derive(Debug, Default)]
    struct Seen {
        sessions: usize,
        nodes: Vec<String>,
        txns: Vec<i64>,
    }

    impl Restore for Seen {
        fn clear(&mut self) {
            *self = Self::default();
        }
        fn session(&mut self, _: SessionId, _: i32) {
            self.sessions += 1;
        }
        fn acl(&mut self, _: i64, _: &[Acl<'_>]) -> Result<(), String> {
            Ok(())
        }
        fn node(&mut self, path: &str, _: Option<&[u8]>, _: i64, _: &StatPersisted) -> Result<(), String> {
            if path == "/refused" {
                return Err("no such parent".into());
            }
            self.nodes.push(path.to_owned());
            Ok(())
        }
        fn snapshot(&mut self, _: Zxid, _: &Trailer) -> Result<(), String> {
            Ok(())
        }
        fn txn(&mut self, entry: Entry) -> Result<(), String> {
            self.txns.push(entry.zxid.0);
            Ok(())
        }
    }

    fn options() -> StoreOptions {
        StoreOptions::new("/d", "/d")
    }

    fn sim() -> SimFiles {
        let sim = SimFiles::new();
        sim.create_dirs(Path::new("/d/version-2")).unwrap();
        sim
    }

    fn at(name: &str) -> PathBuf {
        Path::new("/d/version-2").join(name)
    }

    fn log_of(zxids: &[i64]) -> Vec<u8> {
        let mut out = log::header().to_vec();
        for zxid in zxids {
            let mut payload = vec![1; 12];
            payload.extend_from_slice(&zxid.to_be_bytes());
            payload.resize(90, 3);
            log::push_record(&mut out, &payload);
        }
        out
    }

    fn snapshot_of(paths: &[&str], reach: i64) -> Vec<u8> {
        let mut encoder = Encoder::new(&[(SessionId(1), 4000)], &[]);
        for path in paths {
            encoder.node(path, None, -1, &StatPersisted::default());
        }
        let digest = TreeDigest { zxid: Zxid(reach), version: 2, value: 1 };
        encoder.finish(&Trailer { digest: Some(digest), last_zxid: Some(Zxid(reach)) });
        encoder.buffered().to_vec()
    }

    fn run(sim: &SimFiles, options: &StoreOptions) -> Result<(Seen, Recovered), StoreError> {
        let dir = DataDir::open(Arc::new(sim.clone()), options)?;
        let mut seen = Seen::default();
        let found = recover(&dir, options, &mut seen, &mut |_| {})?;
        Ok((seen, found))
    }

    #[test]
    fn an_empty_directory_begins_with_an_empty_database() {
        let sim = sim();
        let (seen, found) = run(&sim, &options()).unwrap();
        assert_eq!((found.last_zxid, seen.nodes.len()), (Zxid::ZERO, 4));
        assert!(found.may_vote() && sim.unsynced(sim.recorded()).is_empty());
        assert_eq!(sim.list(Path::new("/d/version-2")).unwrap()[0].name, "snapshot.0");
    }

    #[test]
    fn without_autocreate_only_the_marker_begins_one() {
        let never = StoreOptions { create_database: false, ..options() };
        let sim = sim();
        assert!(!run(&sim, &never).unwrap().1.may_vote());
        sim.plant(Path::new("/d/initialize"), b"");
        assert!(run(&sim, &never).unwrap().1.may_vote());
        assert_eq!(sim.kind(Path::new("/d/initialize")).unwrap(), None);
        assert!(run(&sim, &never).unwrap().1.may_vote());
    }

    #[test]
    fn a_wiped_member_does_not_vote_as_a_new_one() {
        let sim = sim();
        let dir = DataDir::open(Arc::new(sim.clone()), &options()).unwrap();
        epochs::save(&dir, EpochFile::Current, Epoch(4)).unwrap();
        drop(dir);
        let (_, found) = run(&sim, &options()).unwrap();
        assert_eq!((found.last_zxid, found.may_vote()), (Zxid(-1), false));
    }

    #[test]
    fn logs_without_a_snapshot_refuse_unless_trusted() {
        let sim = sim();
        sim.plant(&at("log.1"), &log_of(&[1, 2]));
        let e = run(&sim, &options()).unwrap_err();
        assert!(
            e.exit_code() == 1 && e.to_string().starts_with("No snapshot found, but there are log entries")
        );
        let trusting = StoreOptions { trust_empty: true, ..options() };
        let (seen, found) = run(&sim, &trusting).unwrap();
        assert_eq!((seen.txns, found.last_zxid, found.trusted_empty), (vec![1, 2], Zxid(2), true));
    }

    #[test]
    fn a_damaged_snapshot_gives_way_to_an_older_one_and_nothing_of_it_stays() {
        for damage in ["seal", "refused"] {
            let sim = sim();
            sim.plant(&at("snapshot.0"), &snapshot_of(&["", "/old"], 0));
            sim.plant(&at("log.1"), &log_of(&[1, 2, 3, 4]));
            let mut newer = snapshot_of(if damage == "seal" { &["", "/new"] } else { &["", "/refused"] }, 3);
            if damage == "seal" {
                let at = newer.len() - 30;
                newer[at] ^= 1;
            }
            sim.plant(&at("snapshot.3"), &newer);
            let (seen, found) = run(&sim, &options()).unwrap();
            assert_eq!((seen.sessions, seen.nodes), (1, vec![String::new(), "/old".into()]));
            assert_eq!((seen.txns, found.warnings.len()), (vec![1, 2, 3, 4], 1));
            // Without the logs that lead there, history would be lost silently.
            sim.plant(&at("log.1"), &log_of(&[1, 2]));
            let e = run(&sim, &options()).unwrap_err().to_string();
            assert!(e.contains("snapshot.3 is damaged") && e.contains("0x2, not to 0x3"), "{e}");
        }
    }

    #[test]
    fn no_sound_snapshot_refuses() {
        let sim = sim();
        sim.plant(&at("snapshot.3"), b"0123456789\0\0\0\x01/");
        let e = run(&sim, &options()).unwrap_err();
        assert!(e.to_string().starts_with("Not able to find valid snapshots"), "{e}");
        let sim = self::sim();
        sim.plant(&at("snapshot.3"), b"no tail");
        assert!(matches!(run(&sim, &options()), Err(StoreError::NoSnapshot(_))));
    }

    #[test]
    fn a_hole_refuses_or_ends_the_history() {
        let sim = sim();
        sim.plant(&at("snapshot.0"), &snapshot_of(&[""], 0));
        sim.plant(&at("log.1"), &log_of(&[1, 2]));
        sim.plant(&at("log.4"), &log_of(&[4, 5]));
        let e = run(&sim, &options()).unwrap_err().to_string();
        assert!(e.contains("0x2 is followed by 0x4 in /d/version-2/log.4 at offset 16"), "{e}");
        let ending = StoreOptions { hole: HolePolicy::EndHistory, ..options() };
        let (seen, found) = run(&sim, &ending).unwrap();
        assert_eq!((seen.txns, found.hole), (vec![1, 2], Some((Zxid(2), Zxid(4)))));
        assert!(!found.may_vote());
    }

    #[test]
    fn a_snapshot_that_was_passed_over_shows_what_is_missing() {
        let first = |epoch| Zxid::new(Epoch(epoch), 1).0;
        let sim = sim();
        sim.plant(&at("snapshot.0"), &snapshot_of(&[""], 0));
        sim.plant(&at("snapshot.100000007"), b"0123456789\0\0\0\x01/");
        sim.plant(&at("log.200000001"), &log_of(&[first(2)]));
        assert!(matches!(run(&sim, &options()), Err(StoreError::Hole { .. })));
        let ending = StoreOptions { hole: HolePolicy::EndHistory, ..options() };
        // The hole stays on the disk, so that it is there to be seen after the next crash, too.
        for _ in 0..2 {
            let (seen, found) = run(&sim, &ending).unwrap();
            assert_eq!((seen.txns, found.hole), (vec![], Some((Zxid::ZERO, Zxid(first(2))))));
            assert!(!found.may_vote());
        }
        sim.plant(&at("log.200000001"), b"");
        assert!(matches!(run(&sim, &options()), Err(StoreError::Lost(_))));
        let (_, found) = run(&sim, &ending).unwrap();
        assert_eq!(found.hole, Some((Zxid::ZERO, Zxid(first(1) + 6))));
        // Where the log leads through it, nothing is missing.
        let through: Vec<i64> = (0..7).map(|n| first(1) + n).collect();
        sim.plant(&at("log.100000001"), &log_of(&through));
        assert_eq!(run(&sim, &options()).unwrap().1.txns, 7);
    }

    #[test]
    fn a_snapshot_that_was_cut_short_shows_what_is_missing() {
        let sim = sim();
        sim.plant(&at("snapshot.0"), &snapshot_of(&[""], 0));
        let whole = snapshot_of(&["", "/new"], 7);
        sim.plant(&at("snapshot.7"), &whole[..whole.len() - 1]);
        assert!(matches!(run(&sim, &options()), Err(StoreError::Lost(_))));
        let ending = StoreOptions { hole: HolePolicy::EndHistory, ..options() };
        let (_, found) = run(&sim, &ending).unwrap();
        assert_eq!((found.hole, found.may_vote()), (Some((Zxid::ZERO, Zxid(7))), false));
        // The logs lead past it, or it is older than the one that was loaded: nothing is missing.
        sim.plant(&at("log.1"), &log_of(&[1, 2, 3, 4, 5, 6, 7]));
        assert!(run(&sim, &ending).unwrap().1.may_vote());
        sim.plant(&at("snapshot.9"), &snapshot_of(&[""], 9));
        sim.plant(&at("log.1"), &log_of(&[1, 2]));
        assert!(run(&sim, &ending).unwrap().1.may_vote());
        // A name that no transaction has: the reference leaves such a file when it is killed over its first snapshot.
        sim.remove(&at("snapshot.9")).unwrap();
        sim.remove(&at("snapshot.7")).unwrap();
        sim.plant(&at("snapshot.100000000"), &whole[..whole.len() - 1]);
        assert!(run(&sim, &ending).unwrap().1.may_vote());
    }

    #[test]
    fn a_tear_is_cut_once_and_superseded_ends_are_left_alone() {
        let sim = sim();
        sim.plant(&at("snapshot.0"), &snapshot_of(&[""], 0));
        let mut torn = log_of(&[1, 2, 3]);
        let cut = torn.len() - 50;
        torn.truncate(cut);
        sim.plant(&at("log.1"), &torn);
        sim.plant(&at("log.3"), &[&log_of(&[3])[..100], &[0; 4000]].concat());
        let (seen, found) = run(&sim, &options()).unwrap();
        assert_eq!(seen.txns, [1, 2]);
        assert_eq!(found.warnings.len(), 2, "{:?}", found.warnings);
        assert_eq!(sim.read(&at("log.1"), 9999).unwrap(), log_of(&[1, 2]));
        assert_eq!(sim.kind(&at("log.3")).unwrap(), None, "no record in it ever arrived");
        assert!(run(&sim, &options()).unwrap().1.warnings.is_empty());
        sim.plant(&at("log.1"), &torn);
        sim.plant(&at("log.3"), &log_of(&[3, 4]));
        let (seen, found) = run(&sim, &options()).unwrap();
        assert_eq!((seen.txns, found.warnings.len()), (vec![1, 2, 3, 4], 0));
        assert_eq!(sim.read(&at("log.1"), 9999).unwrap(), torn);
    }

    #[test]
    fn a_new_epoch_does_not_excuse_a_damaged_end() {
        let first = Zxid::new(Epoch(1), 1).0;
        let sim = sim();
        sim.plant(&at("snapshot.0"), &snapshot_of(&[""], 0));
        sim.plant(&at("log.1"), &log_of(&[1, 2]));
        sim.plant(&at("log.100000001"), &log_of(&[first]));
        assert_eq!(run(&sim, &options()).unwrap().0.txns, [1, 2, first]);
        let mut bad = log_of(&[1, 2]);
        let last = bad.len() - 20;
        bad[last] ^= 4;
        sim.plant(&at("log.1"), &bad);
        let e = run(&sim, &options()).unwrap_err().to_string();
        assert!(e.contains("log.1 is damaged at offset 119") && e.contains("quoll log repair"), "{e}");
    }

    #[test]
    fn an_uncovered_snapshot_is_reported() {
        let sim = sim();
        sim.plant(&at("snapshot.2"), &snapshot_of(&[""], 5));
        sim.plant(&at("log.1"), &log_of(&[1, 2, 3]));
        let (seen, found) = run(&sim, &options()).unwrap();
        assert_eq!((seen.txns, found.uncovered), (vec![3], Some(Zxid(5))));
    }

    #[test]
    fn large_files_are_read_by_a_thread_of_their_own() {
        let sim = sim();
        sim.plant(&at("snapshot.0"), &snapshot_of(&[""], 0));
        let zxids: Vec<i64> = (1..=20_000).collect();
        sim.plant(&at("log.1"), &log_of(&zxids));
        let (seen, found) = run(&sim, &options()).unwrap();
        assert_eq!((seen.txns, found.txns), (zxids, 20_000));
    }

    #[test]
    fn repair_takes_no_tear_for_harmless_that_the_note_of_what_is_durable_denies() {
        let sim = sim();
        let whole = log_of(&[1, 2, 3]);
        let mark = Mark { file: Zxid(1), offset: whole.len() as u64, last: Zxid(3) };
        let dir = DataDir::open(Arc::new(sim.clone()), &options()).unwrap();
        let zeros = [&whole[..whole.len() - 40], &[0; 40]].concat();
        for torn in [&whole[..whole.len() - 40], &zeros] {
            sim.plant(&at(names::MARK), &mark.encode());
            sim.plant(&at("log.1"), torn);
            let verdict = repair_log(&dir, &options(), &at("log.1"), false).unwrap();
            assert_eq!(verdict, LogEnd::Corrupt(222, log::Why::KnownDurable));
            assert_eq!(sim.read(&at("log.1"), 9999).unwrap(), torn);
            repair_log(&dir, &options(), &at("log.1"), true).unwrap();
            assert_eq!(sim.read(&at("log.1"), 9999).unwrap(), log_of(&[1, 2]));
            assert_eq!(sim.kind(&at(names::MARK)).unwrap(), None, "it is no longer true");
        }
        // A note about another file says nothing of this one, and a leader's order cuts between two records.
        sim.plant(&at("log.1"), &whole[..whole.len() - 40]);
        sim.plant(&at(names::MARK), &Mark { file: Zxid(9), ..mark }.encode());
        assert_eq!(repair_log(&dir, &options(), &at("log.1"), false).unwrap(), LogEnd::TornTail(222));
        sim.plant(&at(names::MARK), &mark.encode());
        assert_eq!(repair_log(&dir, &options(), &at("log.1"), false).unwrap(), LogEnd::Clean(222));
    }

    #[test]
    fn repair_cuts_damage_only_when_told_to() {
        let sim = sim();
        let mut bad = log_of(&[1, 2, 3]);
        bad[150] ^= 4;
        sim.plant(&at("log.1"), &bad);
        let dir = DataDir::open(Arc::new(sim.clone()), &options()).unwrap();
        assert!(matches!(repair_log(&dir, &options(), &at("log.1"), false), Ok(LogEnd::Corrupt(119, _))));
        assert_eq!(sim.read(&at("log.1"), 9999).unwrap(), bad);
        repair_log(&dir, &options(), &at("log.1"), true).unwrap();
        assert_eq!(sim.read(&at("log.1"), 9999).unwrap(), log_of(&[1]));
    }
}
