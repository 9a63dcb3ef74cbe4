//! Backups and restores: whole ones, damaged ones, those of a server that writes, and what they may not touch.

use crate::world::{END, Server, content, cut, expect, file, flip, looking, quoll, text, txn, verify, world};
use jute::encode;
use jute::records::txn::{CreateSessionTxn, TxnHeader};
use quoll::store::format::log;
use quoll::store::{EpochFile, Files, RealFiles, StoreOptions};
use quoll::types::Epoch;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

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

/// A log of one session after the other.
fn log_of(zxids: &[i64]) -> Vec<u8> {
    let mut bytes = log::header().to_vec();
    for zxid in zxids {
        let header = TxnHeader { client_id: *zxid, cxid: 1, zxid: *zxid, time: 5, op: -10 };
        let mut payload = encode(&header);
        payload.append(&mut encode(&CreateSessionTxn { time_out: 10_000 }));
        log::push_record(&mut bytes, &payload);
    }
    bytes
}

/// A snapshot that came from a leader has no logs before it: where it is damaged, an older one and the logs of a later
/// epoch look like a whole history.
#[test]
fn a_backup_never_passes_over_what_only_a_damaged_snapshot_held() {
    let whole = std::fs::read(file(&world(), "snapshot.4e")).unwrap();
    let mut altered = whole.clone();
    altered[whole.len() / 2] ^= 0x10;
    let through: Vec<i64> = (1..=7).map(|n| 0x1_0000_0000 + n).collect();
    for damaged in [&altered[..], &whole[..whole.len() - 1]] {
        let home = tempfile::tempdir().unwrap();
        let away = tempfile::tempdir().unwrap();
        let target = away.path().join("b");
        Server::start(home.path(), home.path()).stop();
        let put = |name: &str, bytes: &[u8]| std::fs::write(file(&home, name), bytes).unwrap();
        let backup = |code| {
            let ran = expect(code, &["backup", "--data-dir", text(home.path()), text(&target)]);
            assert_eq!(target.exists(), code == 0, "{}", ran.err);
            ran
        };
        put("currentEpoch", b"2");
        put("acceptedEpoch", b"2");
        put("log.200000001", &log_of(&[0x2_0000_0001]));
        put("snapshot.100000007", damaged);
        let ran = backup(1);
        assert!(ran.err.contains("snapshot 0x100000007 is damaged"), "{}", ran.err);
        // Behind the end of all that is left.
        std::fs::rename(file(&home, "snapshot.100000007"), file(&home, "snapshot.200000003")).unwrap();
        let ran = backup(1);
        assert!(ran.err.contains("snapshot 0x200000003 is damaged"), "{}", ran.err);
        // Nothing is missing where the logs lead through it.
        std::fs::rename(file(&home, "snapshot.200000003"), file(&home, "snapshot.100000007")).unwrap();
        put("log.100000001", &log_of(&through));
        backup(0);
    }
}

/// While a snapshot from a leader takes the place of a history, the logs of the old one still stand behind it.
#[test]
fn a_backup_never_mixes_two_histories() {
    let home = world();
    let away = tempfile::tempdir().unwrap();
    let target = away.path().join("b");
    let note = file(&home, "install");
    std::fs::write(&note, "snapshot.4e 1:2\nlog.4f\n").unwrap();
    let ran = looking(home.path(), || expect(2, &["backup", "--data-dir", text(home.path()), text(&target)]));
    assert!(ran.err.contains(text(&note)) && ran.err.contains("start the server once"), "{}", ran.err);
    assert_eq!(std::fs::read_dir(away.path()).unwrap().count(), 0);
    std::fs::remove_file(&note).unwrap();
    expect(0, &["backup", "--data-dir", text(home.path()), text(&target)]);
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

/// Ends the writer whatever becomes of the test.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
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
        let end = Done(&done);
        while acknowledged.load(Ordering::SeqCst) < 500 {
            assert!(!writer.is_finished(), "the server stopped");
            std::thread::sleep(Duration::from_millis(5));
        }
        for n in 0..4 {
            let before = acknowledged.load(Ordering::SeqCst);
            let target = away.path().join(if n % 2 == 0 { format!("b{n}") } else { format!("b{n}.tgz") });
            let ran = quoll(&["backup", "--data-dir", text(home.path()), text(&target), "--json"]);
            assert!(ran.code == 0, "{n}: {}{}", ran.out, ran.err);
            let zxid = ran.json()["manifest"]["zxid"].as_str().unwrap().to_owned();
            let zxid = i64::from_str_radix(&zxid[2..], 16).unwrap();
            assert!(zxid >= before, "{zxid:#x} does not cover {before:#x}, which was acknowledged before");
            assert_eq!(ran.json()["server_running"], true);
            let report = quoll(&["data", "verify", text(home.path()), "--json"]);
            assert!(report.code == 0, "{}{}", report.out, report.err);
        }
        drop(end);
        writer.join().unwrap();
    });
}
