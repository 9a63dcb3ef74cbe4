//! One test a rule of applying, and the reference's own records and digests.

use super::*;
use crate::state::watch::{Mode, Table};
use crate::state::{Loader, TreeView, TxnError};
use jute::ErrorCode;
use jute::records::data::{Stat, StatPersisted};

fn stat(w: &World, path: &str) -> Stat {
    w.machine.shown_stat(w.machine.tree.find(path).unwrap())
}

fn stored(w: &World, path: &str) -> StatPersisted {
    w.machine.node(path).unwrap().stat
}

#[test]
fn stats_follow_the_reference() {
    let mut w = World::new();
    assert_eq!(w.apply(create("/a")), Outcome::Created("/a".into()));
    let a = stat(&w, "/a");
    assert_eq!((a.czxid, a.mzxid, a.pzxid, a.ctime, a.mtime), (1, 1, 1, 1001, 1001));
    assert_eq!((a.version, a.cversion, a.aversion, a.data_length, a.num_children), (0, 0, 0, 4, 0));
    assert_eq!((stat(&w, "/").cversion, stat(&w, "/").pzxid), (0, 1), "two children, one of them created");
    let made = w.apply(create_as(OpCode::Create2, "/a/b", Owner::Persistent));
    assert_eq!(made, Outcome::CreatedWithStat("/a/b".into(), stat(&w, "/a/b")));
    w.apply(create("/a/c"));
    assert_eq!((stat(&w, "/a").cversion, stat(&w, "/a").pzxid, stat(&w, "/a").num_children), (2, 3, 2));
    assert_eq!(w.apply(delete("/a/b")), Outcome::Done(OpCode::Delete));
    assert_eq!((stat(&w, "/a").cversion, stat(&w, "/a").pzxid, stored(&w, "/a").cversion), (3, 4, 2));
    let changed = w.apply(set_data("/a", b"longer", 1));
    assert_eq!(changed, Outcome::Changed(OpCode::SetData, stat(&w, "/a")));
    let a = stat(&w, "/a");
    assert_eq!((a.version, a.mzxid, a.mtime, a.data_length, a.czxid, a.pzxid), (1, 5, 1005, 6, 1, 4));
    let changed = w.apply(Body::SetAcl("/a".into(), world(1), 1));
    assert_eq!(changed, Outcome::Changed(OpCode::SetAcl, stat(&w, "/a")));
    assert_eq!((stat(&w, "/a").aversion, stat(&w, "/a").mzxid), (1, 5));
    assert_eq!(w.machine.last_zxid(), Zxid(6));
}

#[test]
fn owners_are_shown_of_ephemerals_only() {
    let mut w = World::new();
    w.apply(ephemeral("/e", 7));
    let container = create_as(OpCode::CreateContainer, "/c", Owner::Container);
    assert!(matches!(w.apply(container), Outcome::CreatedWithStat(_, s) if s.ephemeral_owner == 0));
    w.apply(create_as(OpCode::CreateTtl, "/t", Owner::Ttl(Millis(100))));
    assert_eq!(["/e", "/c", "/t"].map(|p| stat(&w, p).ephemeral_owner), [7, 0, 0]);
    assert_eq!(stored(&w, "/c").ephemeral_owner, i64::MIN);
    assert_eq!(w.machine.gauges().ephemerals_count, 1);

    let time = 1003;
    assert!(w.machine.ttl_candidates(time + 100).is_empty());
    assert_eq!(w.machine.ttl_candidates(time + 101), ["/t".into()]);
    w.apply(create("/t/child"));
    assert!(w.machine.ttl_candidates(i64::MAX).is_empty(), "it has a child");
    assert!(w.machine.container_candidates(i64::MAX, 0).is_empty(), "never used");
    assert!(w.machine.container_candidates(1002 + 50, 50).is_empty());
    assert_eq!(w.machine.container_candidates(1002 + 51, 50), ["/c".into()]);
    w.apply(create("/c/x"));
    assert!(w.machine.container_candidates(i64::MAX, 50).is_empty());
    w.apply(delete("/c/x"));
    assert_eq!(w.machine.container_candidates(0, 0), ["/c".into()]);
    w.apply(Body::Delete(OpCode::DeleteContainer, "/c".into()));
    assert!(w.machine.container_candidates(0, 0).is_empty());
}

#[test]
fn a_ttl_without_extended_types_is_a_session_that_is_not_there() {
    let mut m = Machine::new(Settings::default());
    let ttl = create_as(OpCode::CreateTtl, "/t", Owner::Ttl(Millis(100)));
    m.replay(&payload(7, 1, 0, &ttl, None)).unwrap();
    assert!(m.ttl_candidates(i64::MAX).is_empty());
    assert_eq!(m.drop_orphans().len(), 1);
    assert!(m.node("/t").is_none());
}

#[test]
fn sessions_come_and_go_with_their_nodes() {
    let mut w = World::new();
    w.apply(Body::CreateSession(Millis(5000)));
    assert_eq!(w.machine.sessions(), [(SessionId(7), Millis(5000))]);
    w.apply(create("/p"));
    for path in ["/p/1", "/p/2", "/x"] {
        w.apply(ephemeral(path, 7));
    }
    w.apply_for(8, ephemeral("/other", 8));
    assert_eq!(w.machine.ephemerals(SessionId(7)).len(), 3);
    let paths = vec!["/p/2".into(), "/gone".into(), "/p/1".into()];
    assert_eq!(w.apply(Body::CloseSession(Some(paths))), Outcome::Done(OpCode::CloseSession));
    assert!(["/p/1", "/p/2", "/x"].iter().all(|p| w.machine.node(p).is_none()), "even those not listed");
    assert_eq!((stat(&w, "/p").pzxid, stat(&w, "/p").cversion), (7, 4));
    assert!(w.machine.session(SessionId(7)).is_none() && w.machine.node("/other").is_some());
    assert_eq!(w.machine.drop_orphans(), [SessionId(8)]);
    assert_eq!((w.machine.gauges().ephemerals_count, stat(&w, "/").pzxid), (0, 7));
}

#[test]
fn a_multi_is_all_or_nothing() {
    let mut w = World::new();
    let parts = vec![create("/a"), create("/a/b"), set_data("/a", b"x", 1), Body::Check("/a".into(), 2)];
    let Outcome::Multi(parts) = w.apply(Body::Multi(parts)) else { panic!() };
    assert_eq!(parts[1], Outcome::Created("/a/b".into()));
    assert!(matches!(parts[2], Outcome::Changed(OpCode::SetData, _)));
    assert_eq!(parts[3], Outcome::Done(OpCode::Check));
    assert_eq!((stat(&w, "/a").czxid, stat(&w, "/a").mzxid, stat(&w, "/a").pzxid), (1, 1, 1));
    let before = portrait(&w.machine);
    let parts = vec![
        create("/c"),
        Body::Error(ErrorCode::NoNode),
        delete("/a/b"),
        Body::Error(ErrorCode::RuntimeInconsistency),
    ];
    let failed = [ErrorCode::Ok, ErrorCode::NoNode, ErrorCode::RuntimeInconsistency];
    let want = failed.iter().chain(&failed[2..]).map(|code| Outcome::Failed(*code)).collect();
    assert_eq!(w.apply(Body::Multi(parts)), Outcome::Multi(want));
    assert_eq!((portrait(&w.machine), w.machine.last_zxid()), (before, Zxid(2)));
    let empty = w.apply(Body::Multi(vec![]));
    assert_eq!(empty, Outcome::Multi(vec![]));
}

#[test]
fn what_cannot_be_read_changes_nothing() {
    let mut m = Machine::new(Settings::default());
    let before = portrait(&m);
    let good = create("/a");
    let mut bytes = payload(7, 1, 0, &Body::Multi(vec![good.clone(), good]), None);
    bytes.truncate(bytes.len() - 1);
    assert!(m.replay(&bytes).is_err());
    assert_eq!(m.replay(&payload(7, 1, 0, &Body::Check("/a".into(), 0), None)).map(|h| h.zxid), Ok(1));
    let mut unknown = payload(7, 2, 0, &Body::CloseSession(None), None);
    unknown[28..32].copy_from_slice(&77_i32.to_be_bytes());
    assert_eq!(m.replay(&unknown), Err(TxnError::Type(77)));
    assert_eq!((portrait(&m), m.last_zxid()), (before, Zxid(1)));
}

#[test]
fn errors_only_move_the_zxid() {
    let mut w = World::new();
    let before = portrait(&w.machine);
    assert_eq!(w.apply(Body::Error(ErrorCode::NodeExists)), Outcome::Failed(ErrorCode::NodeExists));
    assert_eq!((portrait(&w.machine), w.machine.last_zxid()), (before, Zxid(1)));
    let old = payload(7, 0, 0, &create("/old"), None);
    w.machine.replay(&old).unwrap();
    assert_eq!(w.machine.last_zxid(), Zxid(1), "never back");
}

#[test]
fn a_repeated_create_mends_list_and_parent() {
    let mut w = World::new();
    w.apply(create("/p"));
    w.apply(create("/p/x"));
    let again = |op, cversion| {
        let (path, data, acl) = ("/p/x".into(), Some(&b"other"[..]), world(1));
        Body::Create(Create { op, path, data, acl, parent_cversion: cversion, owner: Owner::Persistent })
    };
    assert_eq!(w.apply(again(OpCode::Create, 1)), Outcome::Failed(ErrorCode::NodeExists));
    let x = w.machine.node("/p/x").unwrap();
    assert_eq!((x.acl[0].perms, x.data, x.stat.czxid), (1, Some(&b"data"[..]), 2));
    assert_eq!((stored(&w, "/p").cversion, stored(&w, "/p").pzxid), (1, 2), "not raised");
    w.apply(again(OpCode::Create2, 9));
    assert_eq!((stored(&w, "/p").cversion, stored(&w, "/p").pzxid), (1, 2), "type 1 only");
    w.apply(again(OpCode::Create, 5));
    assert_eq!((stored(&w, "/p").cversion, stored(&w, "/p").pzxid), (5, 5));
    w.apply(Body::Multi(vec![again(OpCode::Create, -1)]));
    assert_eq!((stored(&w, "/p").cversion, stored(&w, "/p").pzxid), (6, 6), "-1 is one more; parts as well");
    assert_eq!(w.machine.acl_lists().len(), 2, "the replaced list is gone: {:?}", w.machine.acl_lists());
}

#[test]
fn a_create_never_lowers_its_parent() {
    let mut w = World::new();
    w.apply(create("/p"));
    w.apply(create("/p/x"));
    w.apply(create("/p/y"));
    w.zxid = 0;
    w.apply(delete("/p/x"));
    assert_eq!((stored(&w, "/p").cversion, stored(&w, "/p").pzxid), (2, 3));
    let Body::Create(mut again) = create("/p/x") else { panic!() };
    again.parent_cversion = 1;
    assert_eq!(w.apply(Body::Create(again)), Outcome::Created("/p/x".into()));
    assert_eq!((stored(&w, "/p").cversion, stored(&w, "/p").pzxid), (2, 3));
}

#[test]
fn what_is_not_there() {
    let mut w = World::new();
    w.apply(create("/p"));
    let no_node = Outcome::Failed(ErrorCode::NoNode);
    for body in [
        create("/q/x"),
        create("x"),
        delete("/q/x"),
        delete("x"),
        set_data("/q", b"", 1),
        Body::SetAcl("/q".into(), world(1), 1),
    ] {
        assert_eq!(w.apply(body), no_node);
    }
    assert_eq!(w.apply(delete("/p/gone")), no_node);
    assert_eq!(stored(&w, "/p").pzxid, w.zxid, "told the parent before it failed");
    assert_eq!(w.apply(delete("/")), no_node, "the root stays");
    assert_eq!(w.machine.acl_lists().len(), 2, "nothing leaked: {:?}", w.machine.acl_lists());
}

#[test]
fn deleting_takes_children_out_of_the_future_along() {
    let mut w = World::new();
    w.apply(create("/p"));
    let before = portrait(&w.machine);
    w.apply(create("/p/x"));
    w.apply(ephemeral("/p/x/y", 7));
    w.apply(create("/p/x/y/z"));
    w.zxid = 1;
    assert_eq!(w.apply(delete("/p/x")), Outcome::Done(OpCode::Delete));
    assert_eq!((w.machine.node_count(), w.machine.gauges().ephemerals_count), (6, 0));
    w.machine.restat(w.machine.tree.find("/p").unwrap(), "/p", |s| (s.cversion, s.pzxid) = (0, 1));
    assert_eq!(portrait(&w.machine), before);
}

#[test]
fn events_come_in_the_reference_s_order() {
    let mut w = World::new();
    w.apply(create("/q"));
    w.apply(Body::SetAcl("/q".into(), world(17), 1));
    for (id, path, table) in [
        (1, "/q/p", Table::Data),
        (1, "/q/p", Table::Child),
        (2, "/q/p", Table::Child),
        (3, "/q", Table::Child),
    ] {
        w.watches.add(WatcherId(id), path, table, Mode::Standard);
    }
    w.watches.add_recursive(WatcherId(4), "/");
    w.watches.add_persistent(WatcherId(5), "/q");
    w.apply(create("/q/p"));
    let path = |p: &str| p.to_owned();
    assert_eq!(w.told.iter().map(|t| t.4).collect::<Vec<_>>(), [31, 17], "of whom the event is about");
    assert_eq!(w.told(), [(1, path("/q/p"), 3, vec![1, 4]), (4, path("/q"), 3, vec![3, 5])]);
    w.watches.add(WatcherId(1), "/q/p", Table::Data, Mode::Standard);
    w.apply(set_data("/q/p", b"", 1));
    assert_eq!(w.told(), [(3, path("/q/p"), 4, vec![1, 4])]);
    w.apply(Body::SetAcl("/q/p".into(), world(31), 1));
    assert_eq!(w.told(), []);
    w.watches.add(WatcherId(1), "/q/p", Table::Data, Mode::Standard);
    w.apply(delete("/q/p"));
    let deleted = (2, path("/q/p"), 6);
    assert_eq!(
        w.told(),
        [
            (deleted.0, deleted.1.clone(), deleted.2, vec![1, 4]),
            (deleted.0, deleted.1, deleted.2, vec![2]),
            (4, path("/q"), 6, vec![5]),
        ]
    );
    assert_eq!(w.watches.counts().total, 3, "one-shots are used up");
    w.watches.add(WatcherId(9), "/", Table::Child, Mode::Standard);
    w.apply(Body::Multi(vec![create("/a"), create("/b"), Body::Error(ErrorCode::NoNode)]));
    assert_eq!(w.told(), [], "nothing happened");
    w.apply(Body::Multi(vec![create("/a"), create("/b")]));
    assert_eq!(
        w.told(),
        [(1, path("/a"), 8, vec![4]), (4, path("/"), 8, vec![9]), (1, path("/b"), 8, vec![4]),]
    );
}

#[test]
fn reconfig_shows_text_and_stat() {
    let mut w = World::new();
    w.watches.add(WatcherId(1), "/zookeeper/config", Table::Data, Mode::Standard);
    let text = &b"version=1"[..];
    let outcome = w.apply(Body::SetData(OpCode::Reconfig, "/zookeeper/config".into(), Some(text), -1));
    assert_eq!(outcome, Outcome::Reconfigured(text.into(), stat(&w, "/zookeeper/config")));
    assert_eq!(w.told(), [(3, "/zookeeper/config".to_owned(), 1, vec![1])]);
    assert_eq!(w.machine.digest(), Some(0x51c6_d660));
}

/// Disk sheet 12: the first transactions of a real log; each one's digest must be ours.
#[test]
fn the_reference_s_log_and_digests() {
    let mut m = Machine::new(Settings { extended_types: true, ..Settings::default() });
    let acl = "00000001 0000001f 00000005776f726c64 00000006616e796f6e65";
    let head = |zxid: &str, time: &str, op: &str| format!("01000016095a0000 00000001 {zxid} {time} {op}");
    let records = [
        "01000016095a0000 00000000 0000000000000001 000001a1f9260435 fffffff6 00004e20
         00000002 0000000051c6d660"
            .to_owned(),
        format!(
            "{} 00000002 2f70 00000005 68656c6c6f {acl} 00 00000001 00000002 000000009684b325",
            head("0000000000000002", "000001a1f9260445", "00000001")
        ),
    ];
    for record in &records {
        m.replay(&unhex(record)).unwrap();
    }
    assert_eq!((m.digest(), m.digest_mismatches()), (Some(0x9684_b325), 0));
    assert_eq!(m.recorded_digest(), Some((2, 0x9684_b325)));
    let mut wrong = unhex(&records[1]);
    *wrong.last_mut().unwrap() ^= 1;
    m.replay(&wrong).unwrap();
    assert_eq!(m.digest_mismatches(), 1, "a wrong one is seen, and changes nothing");
}

#[test]
fn one_digest_in_128_is_remembered() {
    let mut w = World::new();
    for n in 0..300 {
        w.apply(create(&format!("/n{n}")));
    }
    let log = w.machine.gauges().digest_log;
    assert_eq!(log.iter().map(|(z, _)| *z).collect::<Vec<_>>(), [128, 256]);
    assert_ne!(log[0].1, log[1].1);
    let mut off = Machine::new(Settings { digest: false, ..Settings::default() });
    off.replay(&payload(7, 128, 0, &create("/a"), Some(1))).unwrap();
    assert_eq!((off.digest(), off.recorded_digest(), off.digest_mismatches()), (None, None, 0));
}

#[test]
fn loading_refuses_what_is_no_tree_and_adds_what_is_missing() {
    use crate::state::LoadError;
    let zero = StatPersisted::default();
    let mut l = Loader::new(Settings::default());
    assert_eq!(l.node("/a/b", None, -1, &zero), Err(LoadError::NoParent("/a/b".into())));
    assert_eq!(l.node("a", None, -1, &zero), Err(LoadError::BadPath("a".into())));
    assert_eq!(l.node("/", None, -1, &zero), Err(LoadError::BadPath("/".into())));
    l.acl(3, &world(4));
    l.acl(4, &world(2));
    l.node("", Some(b""), -1, &zero).unwrap();
    l.node("/a", Some(b"x"), 3, &zero).unwrap();
    l.node("/b", None, 9, &zero).unwrap();
    assert_eq!(l.node("/a", None, -1, &zero), Err(LoadError::Twice("/a".into())));
    l.session(SessionId(5), Millis(10));
    let m = l.finish(77);
    assert_eq!((m.last_zxid(), m.node_count(), m.sessions().len()), (Zxid(77), 7, 1));
    assert_eq!(m.node("/zookeeper/config").unwrap().stat.aversion, -1);
    assert_eq!(m.node("/b").unwrap().acl[0].perms, 0, "its list is missing: nobody may");
    assert_eq!(m.acl_lists().iter().map(|(id, _)| *id).collect::<Vec<_>>(), [3, 10]);
}
