//! The binary's command line, and a data directory that the real store wrote: what the tests of the tools stand on.
//! It looks at nothing itself.

use bytes::Bytes;
use jute::records::data::{Acl, Id, StatPersisted};
use jute::records::txn::{CreateSessionTxn, CreateTxn, SetDataTxn, TxnHeader};
use jute::{Record, encode};
use quoll::state::walk::Progress;
use quoll::state::{Machine, Settings, SnapshotWalk, TreeView};
use quoll::store::snapshots::PutNode;
use quoll::store::{
    DiskCommand, DiskEvent, RealFiles, Restore, SnapshotSource, Store, StoreOptions, Trailer,
};
use quoll::types::{Entry, SessionId, Zxid};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use tempfile::TempDir;

/// What a run of the binary came to.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}\n{}", self.out, self.err))
    }
}

pub(crate) fn quoll(arguments: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_quoll")).args(arguments).env("TZ", "UTC").output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap_or_else(|| panic!("killed: {}", text(output.stderr.clone())));
    let ran = Ran { code, out: text(output.stdout), err: text(output.stderr) };
    assert!(!ran.err.contains("panicked"), "{arguments:?}: {}", ran.err);
    ran
}

#[track_caller]
pub(crate) fn expect(code: i32, arguments: &[&str]) -> Ran {
    let ran = quoll(arguments);
    assert_eq!(ran.code, code, "{arguments:?}\n{}\n{}", ran.out, ran.err);
    ran
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

const SESSION: i64 = 0x0100_0000_0000_0001;

/// From here on nodes are only changed, so that the tree of a long test stays small.
const LAST_CREATE: i64 = 600;

/// The transaction of this number: a session first, then nodes and changes of them.
pub(crate) fn txn(zxid: i64) -> Entry {
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
pub(crate) struct Server {
    pub(crate) store: Store,
    machine: Machine,
    durable: Arc<(Mutex<i64>, Condvar)>,
    pub(crate) next: i64,
}

impl Server {
    pub(crate) fn start(data: &Path, logs: &Path) -> Self {
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
    pub(crate) fn write(&mut self, n: i64) {
        for _ in 0..n {
            let entry = txn(self.next);
            self.machine.replay(&entry.payload).unwrap();
            self.store.append(entry).unwrap();
            self.next += 1;
        }
        let guard = self.durable.0.lock().unwrap();
        drop(self.durable.1.wait_while(guard, |d| *d < self.next - 1).unwrap());
    }

    pub(crate) fn snapshot(&mut self) {
        self.store.submit(DiskCommand::Roll).unwrap();
        let mut source = Source(&self.machine, SnapshotWalk::new(&self.machine));
        let zxid = self.machine.last_zxid();
        self.store.write_snapshot(zxid, &mut source, &mut || true).unwrap().unwrap();
    }

    pub(crate) fn roll(&mut self) {
        self.store.submit(DiskCommand::Roll).unwrap();
    }

    pub(crate) fn stop(self) {
        self.store.close();
    }
}

/// snapshot.0, .28, .50, .78 (hexadecimal 0, 1c, 32, 4e) and logs from 1, 1d, 33, 3d, 4f; the end is 0x5a.
pub(crate) fn world() -> TempDir {
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

pub(crate) const END: &str = "0x5a";

pub(crate) fn file(home: &TempDir, name: &str) -> PathBuf {
    home.path().join("version-2").join(name)
}

pub(crate) fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

pub(crate) fn cut(path: &Path, len: u64) {
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(len).unwrap();
}

/// Every file below, with content.
pub(crate) fn content(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
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
pub(crate) fn looking(home: &Path, look: impl FnOnce() -> Ran) -> Ran {
    let before = content(home);
    let ran = look();
    assert!(content(home) == before, "something was changed");
    ran
}

#[track_caller]
pub(crate) fn verify(home: &TempDir, code: i32) -> Value {
    let ran = looking(home.path(), || expect(code, &["data", "verify", text(home.path()), "--json"]));
    ran.json()
}

pub(crate) fn findings(report: &Value) -> String {
    let list = report["findings"].as_array().unwrap().iter();
    list.map(|f| format!("{}: {}\n", f["kind"].as_str().unwrap(), f["text"].as_str().unwrap())).collect()
}
