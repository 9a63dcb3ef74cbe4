//! The tools over directories that the real store wrote, whole and damaged, through the real command line:
//! what they say, their exit codes, and that whoever only looks leaves everything as it was.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

#[path = "tools/backups.rs"]
mod backups;
#[path = "tools/world.rs"]
mod world;

use quoll::store::files::Lock;
use quoll::store::{Files as _, RealFiles};
use serde_json::Value;
use std::path::Path;
use world::{END, content, cut, expect, file, findings, flip, looking, text, verify, world};

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
    expect(1, &["log", "verify", text(&path)]);
    let ran = expect(1, &["log", "repair", "--truncate", text(&path)]);
    assert!(!ran.out.contains("nothing that was acknowledged"), "{}", ran.out);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), used - 5);
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
