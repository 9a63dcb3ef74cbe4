//! The tools over directories that the real store wrote, whole and damaged, through the real command line:
//! what they say, their exit codes, and that whoever only looks leaves everything as it was.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use bytes::Bytes;
use jute::records::data::{Acl, Id, StatPersisted};
use jute::records::txn::{CreateSessionTxn, CreateTxn, SetDataTxn, TxnHeader};
use jute::{Record, encode};
use quoll::state::walk::Progress;
use quoll::state::{Machine, Settings, SnapshotWalk, TreeView};
use quoll::store::files::Lock;
use quoll::store::snapshots::PutNode;
use quoll::store::{
    DiskCommand, DiskEvent, EpochFile, Files, RealFiles, Restore, SnapshotSource, Store, StoreOptions,
    Trailer,
};
use quoll::types::{Entry, Epoch, SessionId, Zxid};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use tempfile::TempDir;

/// What a run of the binary came to.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}\n{}", self.out, self.err))
    }
}

fn quoll(arguments: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_quoll")).args(arguments).env("TZ", "UTC").output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap_or_else(|| panic!("killed: {}", text(output.stderr.clone())));
    let ran = Ran { code, out: text(output.stdout), err: text(output.stderr) };
    assert!(!ran.err.contains("panicked"), "{arguments:?}: {}", ran.err);
    ran
}

#[track_caller]
fn expect(code: i32, arguments: &[&str]) -> Ran {
    let ran = quoll(arguments);
    assert_eq!(ran.code, code, "{arguments:?}\n{}\n{}", ran.out, ran.err);
    ran
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

const SESSION: i64 = 0x0100_0000_0000_0001;

/// From here on nodes are only changed, so that the tree of a long test stays small.
const LAST_CREATE: i64 = 600;

/// The transaction of this number: a session first, then nodes and changes of them.
fn txn(zxid: i64) -> Entry {
    let header = |op| TxnHeader { client_id: SESSION, cxid: 1, zxid, time: 1_795_180_960_000 + zxid, op };
    let anyone = Id { scheme: Some("world".into()), id: Some("anyone".into()) };
    let data = vec![b'a' + (zxid % 26) as u8; 40 + (zxid % 7) as usize * 90];
    let create = |path: String, ephemeral| CreateTxn {
        path: Some(path.into()),
        data: Some(&data),
        acl: Some(vec![Acl { perms: 31, id: anyone.clone() }]),
        ephemeral,
        parent_c_version: -1,
    };
    let (op, mut body) = match zxid {
        1 => (-10, encode(&CreateSessionTxn { time_out: 10_000 })),
        2 => (1, encode(&create("/e".into(), true))),
        _ if zxid % 3 == 0 && zxid <= LAST_CREATE => (1, encode(&create(format!("/n{zxid}"), false))),
        _ => {
            let path = Some(format!("/n{}", zxid % LAST_CREATE / 3 * 3).into());
            (5, encode(&SetDataTxn { path, data: Some(&data), version: 1 }))
        }
    };
    let mut payload = Vec::new();
    header(op).write(&mut payload);
    payload.append(&mut body);
    Entry { zxid: Zxid(zxid), payload: Bytes::from(payload) }
}

struct Ignore;

impl Restore for Ignore {
    fn clear(&mut self) {}
    fn session(&mut self, _: SessionId, _: i32) {}
    fn acl(&mut self, _: i64, _: &[Acl<'_>]) -> Result<(), String> {
        Ok(())
    }
    fn node(&mut self, _: &str, _: Option<&[u8]>, _: i64, _: &StatPersisted) -> Result<(), String> {
        Ok(())
    }
    fn snapshot(&mut self, _: Zxid, _: &Trailer) -> Result<(), String> {
        Ok(())
    }
    fn txn(&mut self, _: Entry) -> Result<(), String> {
        Ok(())
    }
}

struct Source<'a>(&'a Machine, SnapshotWalk);

impl SnapshotSource for Source<'_> {
    fn sessions(&mut self) -> Vec<(SessionId, i32)> {
        self.0.sessions().into_iter().map(|(s, t)| (s, t.0 as i32)).collect()
    }
    fn acls(&mut self) -> Vec<(i64, Vec<Acl<'static>>)> {
        let own = |s: &str| Some(s.to_owned().into());
        let lists = self.0.acl_lists().into_iter();
        lists
            .map(|(id, list)| {
                let one = |e: &quoll::auth::AclEntry| Acl {
                    perms: e.perms,
                    id: Id { scheme: own(&e.scheme), id: own(&e.id) },
                };
                (id, list.iter().map(one).collect())
            })
            .collect()
    }
    fn next_slice(&mut self, put: &mut PutNode<'_>) -> bool {
        self.1.next_slice(self.0, 100, put) == Progress::More
    }
    fn digest(&mut self) -> Option<(Zxid, i64)> {
        Some((self.0.last_zxid(), self.0.digest()?.cast_signed()))
    }
    fn last_zxid(&mut self) -> Option<Zxid> {
        Some(self.0.last_zxid())
    }
}

/// A server as far as its disk is concerned.
struct Server {
    store: Store,
    machine: Machine,
    durable: Arc<(Mutex<i64>, Condvar)>,
    next: i64,
}

impl Server {
    fn start(data: &Path, logs: &Path) -> Self {
        let mut options = StoreOptions::new(data, logs);
        options.pre_alloc = 64 * 1024;
        let opened = Store::open(Arc::new(RealFiles), options).unwrap();
        let found = opened.recover(&mut Ignore, &mut |_| {}).unwrap();
        let durable = Arc::new((Mutex::new(found.last_zxid.0), Condvar::new()));
        let told = Arc::clone(&durable);
        let report = move |event| match event {
            DiskEvent::Flushed(flushed) => {
                *told.0.lock().unwrap() = flushed.zxid().0;
                told.1.notify_all();
            }
            DiskEvent::Fatal(e) => panic!("{e}"),
            _ => {}
        };
        let store = opened.start(found.last_zxid, "disk", Box::new(report)).unwrap();
        Self { store, machine: Machine::new(Settings::default()), durable, next: 1 }
    }

    /// Writes so many transactions and waits until they are durable.
    fn write(&mut self, n: i64) {
        for _ in 0..n {
            let entry = txn(self.next);
            self.machine.replay(&entry.payload).unwrap();
            self.store.append(entry).unwrap();
            self.next += 1;
        }
        let guard = self.durable.0.lock().unwrap();
        drop(self.durable.1.wait_while(guard, |d| *d < self.next - 1).unwrap());
    }

    fn snapshot(&mut self) {
        self.store.submit(DiskCommand::Roll).unwrap();
        let mut source = Source(&self.machine, SnapshotWalk::new(&self.machine));
        let zxid = self.machine.last_zxid();
        self.store.write_snapshot(zxid, &mut source, &mut || true).unwrap().unwrap();
    }

    fn roll(&mut self) {
        self.store.submit(DiskCommand::Roll).unwrap();
    }

    fn stop(self) {
        self.store.close();
    }
}

/// snapshot.0, .28, .50, .78 (hexadecimal 0, 1c, 32, 4e) and logs from 1, 1d, 33, 3d, 4f; the end is 0x5a.
fn world() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let mut server = Server::start(home.path(), home.path());
    for n in [28, 22] {
        server.write(n);
        server.snapshot();
    }
    server.write(10);
    server.roll();
    server.write(18);
    server.snapshot();
    server.write(12);
    server.stop();
    home
}

const END: &str = "0x5a";

fn file(home: &TempDir, name: &str) -> PathBuf {
    home.path().join("version-2").join(name)
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

fn cut(path: &Path, len: u64) {
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(len).unwrap();
}

/// Every file below, with content.
fn content(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(content(&path));
            found.insert(path, Vec::new());
        } else {
            found.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    found
}

/// Runs something that must not change anything.
#[track_caller]
fn looking(home: &Path, look: impl FnOnce() -> Ran) -> Ran {
    let before = content(home);
    let ran = look();
    assert!(content(home) == before, "something was changed");
    ran
}

#[track_caller]
fn verify(home: &TempDir, code: i32) -> Value {
    let ran = looking(home.path(), || expect(code, &["data", "verify", text(home.path()), "--json"]));
    ran.json()
}

fn findings(report: &Value) -> String {
    let list = report["findings"].as_array().unwrap().iter();
    list.map(|f| format!("{}: {}\n", f["kind"].as_str().unwrap(), f["text"].as_str().unwrap())).collect()
}

#[test]
fn a_sound_directory() {
    let home = world();
    let report = verify(&home, 0);
    assert_eq!(report["sound"], true);
    assert_eq!(report["start"]["zxid"], END);
    assert_eq!(report["start"]["snapshot"], "snapshot.4e");
    assert_eq!(report["start"]["transactions"], 12);
    assert_eq!(report["snapshots"].as_array().unwrap().len(), 4);
    let ranges: Vec<_> =
        report["logs"].as_array().unwrap().iter().map(|l| (&l["first"], &l["last"])).collect();
    let expected = [("0x1", "0x1c"), ("0x1d", "0x32"), ("0x33", "0x3c"), ("0x3d", "0x4e"), ("0x4f", END)];
    assert!(
        ranges
            .into_iter()
            .eq(expected.map(|(a, b)| (Value::from(a), Value::from(b))).iter().map(|(a, b)| (a, b)))
    );
    assert_eq!(findings(&report), "");
    let people = looking(home.path(), || expect(0, &["data", "verify", text(&file(&home, ""))])).out;
    assert!(people.ends_with(&format!("VERDICT     sound: a server starts with zxid {END}\n")), "{people}");
}

#[test]
fn dumps() {
    let home = world();
    let (log, snapshot) = (file(&home, "log.1"), file(&home, "snapshot.4e"));
    let lines = looking(home.path(), || expect(0, &["log", "dump", text(&log)])).out;
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines[0], "ZooKeeper Transactional Log File with dbid 0 txnlog format version 2");
    assert_eq!(
        lines[1],
        "11/20/26, 1:22:40 PM UTC session 0x100000000000001 cxid 0x1 zxid 0x1 createSession 10000"
    );
    assert!(
        lines[2].contains(" zxid 0x2 create /e,cccc")
            && lines[2].ends_with(",[31,s{'world,'anyone}],true,-1")
    );
    assert_eq!(lines[29], "EOF reached after 28 txns.");
    let json = expect(0, &["log", "dump", text(&log), "--json"]).out;
    let last: Value = serde_json::from_str(json.lines().last().unwrap()).unwrap();
    assert_eq!((&last["end"], &last["records"]), (&"clean".into(), &28.into()));
    assert!(json.lines().all(|l| serde_json::from_str::<Value>(l).is_ok()));

    let dump = looking(home.path(), || expect(0, &["snapshot", "dump", text(&snapshot), "--data"])).out;
    assert!(dump.contains("\n/n3\n  cZxid = 0x00000000000003\n"), "{dump}");
    assert!(dump.contains("\n/e\n") && dump.contains("  ephemeralOwner = 0x100000000000001\n"));
    assert!(dump.ends_with("Session Details (sid, timeout, ephemeralCount):\n0x100000000000001, 10000, 1\n----\nLast zxid: 0x4e\n"));
    let nodes: u64 = dump.lines().filter(|l| l.starts_with('/')).count() as u64;
    assert!(dump.starts_with(&format!("ZNode Details (count={nodes}):\n")));
    let json = expect(0, &["snapshot", "dump", text(&snapshot), "--json"]).out;
    assert_eq!(json.lines().filter(|l| l.contains("\"path\"")).count() as u64, nodes);
}

#[test]
fn compare_and_summary() {
    let home = world();
    let (old, new) = (file(&home, "snapshot.32"), file(&home, "snapshot.4e"));
    expect(0, &["snapshot", "compare", text(&old), text(&old)]);
    let report = expect(1, &["snapshot", "compare", text(&old), text(&new), "--json"]).json();
    assert_eq!(report["added"].as_array().unwrap().len(), 10, "{report}");
    assert_eq!(
        (report["removed"].as_array().unwrap().len(), report["changed"].as_array().unwrap().len()),
        (0, 0)
    );
    let back = expect(1, &["snapshot", "compare", text(&new), text(&old)]).out;
    assert!(back.ends_with("0 added, 10 removed, 0 changed, 20 the same (persistent nodes)\n"), "{back}");
    expect(0, &["snapshot", "compare", text(&old), text(&new), "--nodes", "10", "--bytes", "100000"]);
    let grown = expect(1, &["snapshot", "compare", text(&old), text(&new), "--nodes", "9"]).out;
    assert_eq!(grown.lines().count(), 2, "{grown}");
    let sum = looking(home.path(), || expect(0, &["snapshot", "summary", text(&new), "--json"])).json();
    let root = &sum["subtrees"][0];
    assert_eq!((&root["path"], &root["ephemerals"]), (&"/".into(), &1.into()));
    expect(2, &["snapshot", "summary", text(&new), "/none"]);
    expect(2, &["snapshot", "summary", text(&new), "none"]);
}

#[test]
fn flipped_bits_are_found_or_harmless() {
    let home = world();
    for name in ["log.4f", "log.1d", "snapshot.4e", "snapshot.32"] {
        let path = file(&home, name);
        let whole = std::fs::read(&path).unwrap();
        let used = whole.iter().rposition(|b| *b != 0).unwrap() + 1;
        // Version and id in the header are read by no server.
        for at in (0..4).chain((16..used).step_by(used / 24)) {
            flip(&path, at);
            let code = if name.starts_with("log") { "log" } else { "snapshot" };
            expect(1, &[code, "verify", text(&path)]);
            let report = verify(&home, 1);
            assert!(findings(&report).contains(&format!("damage: {}", path.display())), "{name} {at}");
            let starts = report["start"]["succeeds"] == true;
            assert_eq!(starts, name != "log.4f", "{name} {at}: {}", findings(&report));
            if starts {
                assert_eq!(report["start"]["zxid"], END, "{name} {at}");
            }
            std::fs::write(&path, &whole).unwrap();
        }
    }
    verify(&home, 0);
}

#[test]
fn torn_tails_lose_nothing_and_damage_does() {
    let home = world();
    let path = file(&home, "log.4f");
    let report = expect(0, &["log", "verify", text(&path), "--json"]).json();
    let used = report["logs"][0]["used"].as_u64().unwrap();
    // A write that never completed, behind all that was acknowledged.
    let whole = std::fs::read(&path).unwrap();
    let mut torn = whole[..used as usize].to_vec();
    torn.extend_from_slice(&[0, 0, 0, 0, 0x7f, 1, 2, 3, 0, 0, 1, 0, 9, 9]);
    std::fs::write(&path, &torn).unwrap();
    let found = looking(home.path(), || expect(0, &["log", "verify", text(&path)])).out;
    assert!(found.contains(&format!("torn tail at offset {used}")), "{found}");
    let report = verify(&home, 0);
    assert_eq!(report["start"]["zxid"], END);
    assert!(findings(&report).contains("the next start cuts it"), "{}", findings(&report));
    // What was acknowledged is cut off: the note of what is durable tells.
    cut(&path, used - 5);
    expect(0, &["log", "verify", text(&path)]);
    let report = verify(&home, 1);
    assert!(findings(&report).contains("0x5a was written and acknowledged"), "{}", findings(&report));
    expect(1, &["backup", "--data-dir", text(home.path()), text(&home.path().join("b"))]);
    // Without the note nobody can know.
    std::fs::remove_file(file(&home, "durable")).unwrap();
    assert_eq!(verify(&home, 0)["start"]["zxid"], "0x59");
}

#[test]
fn missing_logs() {
    for (name, needed) in [("log.3d", false), ("log.4f", true), ("log.33", false)] {
        let home = world();
        std::fs::remove_file(file(&home, name)).unwrap();
        let report = verify(&home, 1);
        assert_eq!(report["start"]["succeeds"], !needed, "{name}: {}", findings(&report));
        // Members of an ensemble get snapshots from their leader, which leave such gaps.
        std::fs::write(file(&home, "currentEpoch"), "0").unwrap();
        std::fs::write(file(&home, "acceptedEpoch"), "0").unwrap();
        if !needed {
            assert!(findings(&verify(&home, 0)).contains("are in no log"));
        }
    }
    let home = world();
    for snapshot in ["snapshot.4e", "snapshot.32"] {
        std::fs::remove_file(file(&home, snapshot)).unwrap();
    }
    assert_eq!(verify(&home, 0)["start"]["snapshot"], "snapshot.1c");
    std::fs::remove_file(file(&home, "log.33")).unwrap();
    let report = verify(&home, 1);
    let text = findings(&report);
    assert!(text.contains("damage: transactions between 0x32 and 0x3d are in no log"), "{text}");
    assert!(
        text.contains("a server refuses to start: transactions are missing: 0x32 is followed by 0x3d"),
        "{text}"
    );
}

#[test]
fn truncated_snapshots() {
    let home = world();
    let path = file(&home, "snapshot.4e");
    let len = std::fs::metadata(&path).unwrap().len();
    for keep in [0, 5, 17, len / 2, len - 1] {
        cut(&path, keep);
        expect(1, &["snapshot", "verify", text(&path)]);
        let report = verify(&home, 1);
        assert_eq!((&report["start"]["succeeds"], &report["start"]["zxid"]), (&true.into(), &END.into()));
        assert_eq!(report["start"]["snapshot"], "snapshot.32");
    }
    for name in ["snapshot.32", "snapshot.1c", "snapshot.0"] {
        cut(&file(&home, name), 30);
    }
    let report = verify(&home, 1);
    assert_eq!(report["start"]["succeeds"], false);
    assert!(
        findings(&report).contains("No snapshot found, but there are log entries"),
        "{}",
        findings(&report)
    );
}

#[test]
fn everything_else_in_a_directory() {
    let home = world();
    let broken = |name: &Path, text: &str, finding: &str, code: i32| {
        std::fs::write(name, text).unwrap();
        let report = verify(&home, code);
        assert!(findings(&report).contains(finding), "{}: {}", name.display(), findings(&report));
        std::fs::remove_file(name).unwrap();
    };
    broken(&home.path().join("myid"), "three", "is no server id", 1);
    broken(&file(&home, "currentEpoch"), "x", "holds no epoch number", 1);
    broken(&file(&home, "log.zz"), "", "a purge removes it", 0);
    broken(&file(&home, "tmp-snapshot.99"), "ZKSN", "half-written", 0);
    broken(&file(&home, "snapshot.99.tmp"), "ZKSN", "half-written", 0);
    broken(&home.path().join("initialize"), "", "may begin an empty database", 0);
    std::fs::write(home.path().join("myid"), "3\n").unwrap();
    assert_eq!(verify(&home, 0)["my_id"], "3");
    std::fs::write(file(&home, "acceptedEpoch"), "1").unwrap();
    std::fs::write(file(&home, "currentEpoch"), "2").unwrap();
    assert!(findings(&verify(&home, 1)).contains("accepted epoch, 1 is less than the current epoch, 2"));
    std::fs::copy(file(&home, "log.1"), file(&home, "log.1.old")).unwrap();
    let copies = findings(&verify(&home, 1));
    assert!(
        copies.contains("move copies elsewhere") && copies.contains("apply what comes twice twice"),
        "{copies}"
    );
}

#[test]
fn repair_destroys_nothing() {
    let home = world();
    let path = file(&home, "log.4f");
    let whole = std::fs::read(&path).unwrap();
    expect(0, &["log", "repair", text(&path)]);
    assert_eq!(content(home.path()).len(), content(home.path()).len());
    // Two thirds into what is used.
    flip(&path, 3000);
    let damaged = std::fs::read(&path).unwrap();
    let ran = expect(1, &["log", "repair", text(&path)]);
    assert!(ran.out.contains("lost: the transaction at the damage, and behind it"), "{}", ran.out);
    assert_eq!(std::fs::read(&path).unwrap(), damaged);
    let repaired = file(&home, "repaired.log.4f");
    expect(0, &["log", "verify", text(&repaired)]);
    assert!(whole.starts_with(&std::fs::read(&repaired).unwrap()));
    expect(2, &["log", "repair", text(&path)]);
    expect(2, &["log", "repair", text(&path), "--output", text(&file(&home, "log.4f.repaired"))]);
    expect(2, &["log", "repair", text(&path), "--accept-loss"]);
    expect(1, &["log", "repair", text(&path), "--truncate"]);
    assert_eq!(std::fs::read(&path).unwrap(), damaged);
    let held: Box<dyn Lock> = RealFiles.lock(&file(&home, "")).unwrap().unwrap();
    let ran = expect(2, &["log", "repair", text(&path), "--truncate", "--accept-loss"]);
    assert!(ran.err.contains("in use by a server"), "{}", ran.err);
    drop(held);
    let report = expect(0, &["log", "repair", text(&path), "--truncate", "--accept-loss", "--json"]).json();
    let kept = report["kept"].as_str().unwrap();
    assert!(kept.contains("/version-2/before-repair-") && kept.ends_with(".log.4f"), "{kept}");
    assert_eq!(std::fs::read(kept).unwrap(), damaged);
    let report = verify(&home, 0);
    let last = report["start"]["zxid"].as_str().unwrap();
    assert!(("0x50".."0x59").contains(&last), "{last}");
}

#[test]
fn purge_by_the_rules() {
    let home = world();
    let dir = text(home.path());
    let told = looking(home.path(), || expect(0, &["purge", dir, "--dry-run", "--json"])).json();
    let done = expect(0, &["purge", dir, "--json"]).json();
    assert_eq!(told["removed"], done["removed"]);
    assert_eq!(done["removed"], serde_json::json!([text(&file(&home, "snapshot.0"))]));
    expect(2, &["purge", dir, "-n", "2"]);
    expect(0, &["purge", dir, "-n", "9"]);
    assert_eq!(verify(&home, 0)["start"]["zxid"], END);
}

#[test]
fn backup_and_restore() {
    let home = world();
    let away = tempfile::tempdir().unwrap();
    let (dir, packed) = (away.path().join("b"), away.path().join("b.tar.gz"));
    for target in [&dir, &packed] {
        let ran = looking(home.path(), || {
            expect(0, &["backup", "--data-dir", text(home.path()), text(target), "--json"])
        });
        assert_eq!(ran.json()["manifest"]["zxid"], END);
        expect(2, &["backup", "--data-dir", text(home.path()), text(target)]);
    }
    assert_eq!(std::fs::read_dir(away.path()).unwrap().count(), 2, "nothing half-done is left");
    expect(0, &["data", "verify", text(&dir)]);
    let digest = verify(&home, 0)["start"]["digest"].clone();
    for (n, backup) in [&dir, &packed].into_iter().enumerate() {
        // To an empty machine, over something else, with two directories.
        let new = away.path().join(format!("new{n}"));
        expect(0, &["restore", text(backup), "--data-dir", text(&new)]);
        std::fs::write(new.join("version-2/log.1"), "something else").unwrap();
        let report = expect(0, &["restore", text(backup), "--data-dir", text(&new), "--json"]).json();
        let kept = PathBuf::from(report["kept"][0].as_str().unwrap());
        assert_eq!(std::fs::read(kept.join("log.1")).unwrap(), b"something else");
        let report = expect(0, &["data", "verify", text(&new), "--json"]).json();
        assert_eq!((&report["start"]["zxid"], &report["start"]["digest"]), (&END.into(), &digest));
        let (data, logs) = (new.join("d"), new.join("l"));
        for _ in 0..2 {
            expect(0, &["restore", text(backup), "--data-dir", text(&data), "--log-dir", text(&logs)]);
            expect(0, &["data", "verify", text(&data), "--log-dir", text(&logs)]);
        }
        assert!(!content(&new).keys().any(|p| text(p).contains("unfinished") || text(p).contains("partial")));
        // And a server goes on from there.
        let mut server = Server::start(&data, &logs);
        server.next = 0x5b;
        server.store.append(txn(0x5b)).unwrap();
        server.stop();
    }
}

/// What a gzip stream holds, if it is sound.
fn unpacked(bytes: &[u8]) -> Option<Vec<u8>> {
    use std::io::Read as _;
    let mut out = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut out).ok()?;
    Some(out)
}

#[test]
fn a_damaged_backup_touches_nothing() {
    let home = world();
    let away = tempfile::tempdir().unwrap();
    let packed = away.path().join("b.tar.gz");
    let dir = away.path().join("b");
    for target in [&packed, &dir] {
        expect(0, &["backup", "--data-dir", text(home.path()), text(target)]);
    }
    let good = std::fs::read(&packed).unwrap();
    let restore = |from: &Path| {
        looking(home.path(), || {
            let ran = quoll(&["restore", text(from), "--data-dir", text(home.path())]);
            assert_ne!(ran.code, 0, "{}", ran.out);
            ran
        })
    };
    // The first ten bytes are gzip's own header, of which most are read by nobody.
    for at in (10..good.len()).step_by(good.len() / 40) {
        flip(&packed, at);
        // Deflate can name the same bytes in more than one way: then nothing is damaged.
        if unpacked(&std::fs::read(&packed).unwrap()) != unpacked(&good) {
            restore(&packed);
        }
        std::fs::write(&packed, &good).unwrap();
        cut(&packed, at as u64);
        restore(&packed);
        std::fs::write(&packed, &good).unwrap();
    }
    for name in ["log.4f", "snapshot.4e"] {
        let path = dir.join("version-2").join(name);
        let whole = std::fs::read(&path).unwrap();
        flip(&path, whole.len() / 2);
        assert_eq!(restore(&dir).code, 1);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(restore(&dir).code, 1);
        std::fs::write(&path, whole).unwrap();
    }
    let text_of = std::fs::read_to_string(dir.join("backup.json")).unwrap();
    std::fs::write(dir.join("backup.json"), text_of.replace("log.4f", "../log.4f")).unwrap();
    assert_eq!(restore(&dir).code, 1);
    std::fs::remove_file(dir.join("backup.json")).unwrap();
    assert_eq!(restore(&dir).code, 2);
    assert_eq!(restore(&away.path().join("none")).code, 2);
    std::fs::write(dir.join("backup.json"), text_of).unwrap();
    let held = RealFiles.lock(&file(&home, "")).unwrap().unwrap();
    let ran = restore(&dir);
    assert!(ran.code == 2 && ran.err.contains("in use by a server: stop it first"), "{}", ran.err);
    drop(held);
    // A server that knows no locks, but has a log open.
    let log = std::fs::OpenOptions::new().append(true).open(file(&home, "log.4f")).unwrap();
    let mut other = Command::new("sleep").arg("60").stdout(log).spawn().unwrap();
    let ran = restore(&dir);
    other.kill().unwrap();
    other.wait().unwrap();
    assert!(ran.code == 2 && ran.err.contains("(sleep) is working on"), "{}", ran.err);
    expect(0, &["restore", text(&dir), "--data-dir", text(home.path())]);
}

#[test]
fn a_promise_to_a_leader_outlives_a_restore() {
    let home = world();
    let away = tempfile::tempdir().unwrap();
    let backup = away.path().join("b");
    let dir =
        |place: &Path| quoll::store::DataDir::unlocked(Arc::new(RealFiles), &StoreOptions::new(place, place));
    let save = |file, n| quoll::store::epochs::save(&dir(home.path()), file, Epoch(n)).unwrap();
    save(EpochFile::Current, 2);
    save(EpochFile::Accepted, 3);
    expect(0, &["backup", "--data-dir", text(home.path()), text(&backup)]);
    save(EpochFile::Current, 7);
    save(EpochFile::Accepted, 9);
    let ran = expect(0, &["restore", text(&backup), "--data-dir", text(home.path())]);
    assert!(
        ran.out.contains("acceptedEpoch stays 9") && ran.out.contains("restore every member"),
        "{}",
        ran.out
    );
    let report = verify(&home, 0);
    assert_eq!((&report["accepted_epoch"], &report["current_epoch"]), (&9.into(), &2.into()));
}

#[test]
fn a_backup_of_a_server_that_is_writing() {
    let home = tempfile::tempdir().unwrap();
    let away = tempfile::tempdir().unwrap();
    let acknowledged = AtomicI64::new(0);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut server = Server::start(home.path(), home.path());
            while !done.load(Ordering::Relaxed) {
                server.write(7);
                std::thread::sleep(Duration::from_millis(1));
                acknowledged.store(server.next - 1, Ordering::SeqCst);
                if server.next % 700 < 7 {
                    server.snapshot();
                    server.store.purge(3).unwrap();
                }
            }
            server.stop();
        });
        while acknowledged.load(Ordering::SeqCst) < 500 {
            assert!(!writer.is_finished(), "the server stopped");
            std::thread::sleep(Duration::from_millis(5));
        }
        for n in 0..4 {
            let before = acknowledged.load(Ordering::SeqCst);
            let target = away.path().join(if n % 2 == 0 { format!("b{n}") } else { format!("b{n}.tgz") });
            let ran = quoll(&["backup", "--data-dir", text(home.path()), text(&target), "--json"]);
            if ran.code != 0 {
                done.store(true, Ordering::Relaxed);
                panic!("{n}: {}{}", ran.out, ran.err);
            }
            let zxid = ran.json()["manifest"]["zxid"].as_str().unwrap().to_owned();
            let zxid = i64::from_str_radix(&zxid[2..], 16).unwrap();
            assert!(zxid >= before, "{zxid:#x} does not cover {before:#x}, which was acknowledged before");
            assert_eq!(ran.json()["server_running"], true);
            let report = quoll(&["data", "verify", text(home.path()), "--json"]);
            assert!(report.code == 0, "{}{}", report.out, report.err);
        }
        done.store(true, Ordering::Relaxed);
        writer.join().unwrap();
    });
}

#[test]
fn wrong_use() {
    let empty = tempfile::tempdir().unwrap();
    let none = empty.path().join("none");
    for arguments in [
        &["data", "verify", text(empty.path())][..],
        &["data", "verify", text(&none)],
        &["snapshot", "verify", text(&none)],
        &["snapshot", "dump", text(empty.path())],
        &["log", "verify", text(&none)],
        &["log", "repair", text(&none)],
        &["purge", text(&none)],
        &["backup", "--data-dir", text(&none), "x"],
        &["restore", text(&none), "--data-dir", text(empty.path())],
        &["snapshot", "verify"],
        &["log"],
    ] {
        let ran = looking(empty.path(), || expect(2, arguments));
        assert!(!ran.err.is_empty() && ran.out.is_empty(), "{arguments:?}: {}", ran.out);
    }
    let ran = expect(2, &["data", "verify", text(&none), "--json"]);
    assert_eq!(ran.json()["exit_code"], 2);
    let home = world();
    let (log, snapshot) = (file(&home, "log.1"), file(&home, "snapshot.32"));
    let ran = expect(1, &["log", "verify", text(&snapshot)]);
    assert!(ran.out.contains("the header is not that of a transaction log"), "{}", ran.out);
    let ran = expect(1, &["snapshot", "verify", text(&log)]);
    assert!(ran.out.contains("the header is not that of a snapshot"), "{}", ran.out);
    let inside = file(&home, "backup");
    expect(2, &["backup", "--data-dir", text(home.path()), text(&inside)]);
    // Exchanged directories.
    let other = tempfile::tempdir().unwrap();
    std::fs::create_dir(other.path().join("version-2")).unwrap();
    let ran = expect(2, &["purge", text(home.path()), "--log-dir", text(other.path())]);
    assert!(ran.err.contains("which directory is dataDir"), "{}", ran.err);
    expect(1, &["data", "verify", text(home.path()), "--log-dir", text(other.path())]);
}
