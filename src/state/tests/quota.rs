//! Quota bookkeeping and verdicts, through transactions.

use super::*;
use crate::state::quota::{Overrun, Verdict};
use crate::state::{Loader, TreeView};

fn text(m: &Machine, path: &str) -> String {
    String::from_utf8(m.node(path).unwrap().data.unwrap().to_vec()).unwrap()
}

const STATS: &str = "/zookeeper/quota/a/zookeeper_stats";
const LIMITS: &str = "/zookeeper/quota/a/zookeeper_limits";

fn node(path: &str, data: &'static [u8]) -> Body<'static> {
    let Body::Create(mut c) = create(path) else { panic!() };
    c.data = Some(data);
    Body::Create(c)
}

fn with_quota(limits: &'static [u8]) -> World {
    let mut w = World::new();
    for body in [node("/a", b"12"), node("/a/b", b"345"), node("/zookeeper/quota/a", b"")] {
        w.apply(body);
    }
    w.apply(node(LIMITS, limits));
    w.apply(node(STATS, b"count=0,bytes=0"));
    w
}

#[test]
fn stats_follow_the_subtree_without_a_trace() {
    let mut w = with_quota(b"count=5,bytes=-1");
    assert_eq!(text(&w.machine, STATS), "count=2,bytes=5");
    let stat = w.machine.node(STATS).unwrap().stat;
    w.watches.add_recursive(WatcherId(1), "/zookeeper");
    w.apply(node("/a/b/c", b"6789"));
    assert_eq!(text(&w.machine, STATS), "count=3,bytes=9");
    w.apply(set_data("/a", b"", 1));
    assert_eq!(text(&w.machine, STATS), "count=3,bytes=7");
    w.apply(delete("/a/b/c"));
    w.apply(node("/ab", b"not below"));
    assert_eq!(text(&w.machine, STATS), "count=2,bytes=3");
    assert_eq!((w.machine.node(STATS).unwrap().stat, w.told().len()), (stat, 0));
    w.apply(delete(LIMITS));
    w.apply(node("/a/x", b"x"));
    assert_eq!(text(&w.machine, STATS), "count=2,bytes=3", "no longer tracked");
}

#[test]
fn only_the_deepest_counts() {
    let mut w = with_quota(b"count=5,bytes=-1");
    w.apply(node("/zookeeper/quota/a/b", b""));
    w.apply(node("/zookeeper/quota/a/b/zookeeper_limits", b"count=1,bytes=1"));
    w.apply(node("/zookeeper/quota/a/b/zookeeper_stats", b""));
    w.apply(node("/a/b/c", b"1"));
    assert_eq!(text(&w.machine, "/zookeeper/quota/a/b/zookeeper_stats"), "count=2,bytes=4");
    assert_eq!(text(&w.machine, STATS), "count=2,bytes=5");
    let quotas = w.machine.gauges().quotas;
    assert_eq!(quotas.len(), 1);
    assert_eq!((quotas[0].count_usage, quotas[0].bytes_usage, quotas[0].count_limit), (4, 9, 6));
}

#[test]
fn verdicts() {
    let w = with_quota(b"count=2,bytes=100=;byteHardLimit=8");
    let m = &w.machine;
    let over = |what, wanted, limit, is_hard| Overrun { path: "/a".into(), what, wanted, limit, is_hard };
    assert_eq!(m.check_quota("/a/x", 0, 1), Verdict::Soft(over("count", 3, 2, false)));
    assert_eq!(m.check_quota("/a/x", 3, 0), Verdict::Within);
    assert_eq!(m.check_quota("/a/x", 4, 1), Verdict::Hard(over("bytes", 9, 8, true)));
    assert_eq!(m.check_quota("/b", 1000, 1), Verdict::Within);
    assert!(
        matches!(m.check_quota("/a", 4, 0), Verdict::Hard(_))
            && !matches!(m.check_quota("/a", 0, 1), Verdict::Hard(_))
    );
    let full = with_quota(b"byteHardLimit=3");
    assert!(matches!(full.machine.check_quota("/a", -1, 0), Verdict::Hard(_)), "shrinking, but still above");
    assert!(!matches!(full.machine.check_quota("/a", 0, 1), Verdict::Hard(_)));
}

#[test]
fn totals_are_found_anew_after_loading() {
    let w = with_quota(b"countHardLimit=10");
    let tree = &w.machine.tree;
    let mut loader = Loader::new(Settings::default());
    for id in tree.subtree(crate::state::tree::ROOT) {
        let path = tree.path(id);
        let path = if path == "/" { "" } else { &path };
        let data =
            if path == STATS { Some(&b"count=99,bytes=99=;countHardLimit=7"[..]) } else { tree.data(id) };
        loader.node(path, data, -1, &tree.stat(id)).unwrap();
    }
    let mut m = loader.finish(20);
    assert_eq!(text(&m, STATS), "count=2,bytes=5", "over whatever stood there");
    m.replay(&payload(1, 21, 0, &node("/a/new", b"1"), None)).unwrap();
    assert_eq!(text(&m, STATS), "count=3,bytes=6");
}
