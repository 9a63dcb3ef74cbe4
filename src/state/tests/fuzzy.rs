//! A snapshot taken while transactions go on, plus all transactions behind its zxid, is the same as no
//! snapshot at all: for our own walk, and for one that goes down the children as the reference does.

use super::model::{Model, Op, op};
use super::*;
use crate::state::tree::{NodeId, ROOT};
use crate::state::walk::Progress;
use crate::state::{Loader, SnapshotWalk, TreeView};
use jute::records::data::StatPersisted;
use proptest::prelude::*;

const SETTINGS: Settings = Settings { hash_seed: 3, extended_types: true, digest: true };

/// What a snapshot file would hold.
#[derive(Debug, Default)]
struct File {
    zxid: i64,
    sessions: Vec<(SessionId, Millis)>,
    lists: Vec<(i64, std::sync::Arc<[AclEntry]>)>,
    nodes: Vec<(String, Option<Vec<u8>>, i64, StatPersisted)>,
    digest: (i64, u64),
}

impl File {
    fn begin(m: &Machine) -> Self {
        let (sessions, lists) = (m.sessions(), m.acl_lists());
        Self { zxid: m.last_zxid().0, sessions, lists, ..Self::default() }
    }

    fn restore(&self, settings: Settings) -> Machine {
        let mut loader = Loader::new(settings);
        self.sessions.iter().for_each(|(session, timeout)| loader.session(*session, *timeout));
        for (id, list) in &self.lists {
            loader.acl(*id, &list.iter().map(AclEntry::record).collect::<Vec<_>>());
        }
        for (path, data, acl, stat) in &self.nodes {
            loader.node(path, data.as_deref(), *acl, stat).unwrap();
        }
        loader.digest(self.digest.0, self.digest.1);
        loader.finish(self.zxid)
    }
}

/// Two ways to walk, a slice at a time.
enum Walk {
    Slots(SnapshotWalk),
    /// The reference's: paths still to visit; a node's children are listed when it is visited.
    Paths(Vec<String>),
}

impl Walk {
    fn slice(&mut self, m: &Machine, file: &mut File) -> bool {
        match self {
            Self::Slots(walk) => {
                let listed: Vec<i64> = file.lists.iter().map(|(id, _)| *id).collect();
                let mut put = |path: &str, data: Option<&[u8]>, acl: i64, stat: &StatPersisted| {
                    assert!(acl == -1 || listed.contains(&acl), "{path} has a list that is not in the table");
                    file.nodes.push((path.to_owned(), data.map(<[u8]>::to_vec), acl, stat.clone()));
                };
                walk.next_slice(m, 1, &mut put) == Progress::Done
            }
            Self::Paths(paths) => {
                let Some(path) = paths.pop() else { return true };
                if let Some(id) = m.tree.find(&path) {
                    let data = m.tree.data(id).map(<[u8]>::to_vec);
                    file.nodes.push((path.clone(), data, m.tree.acl(id).disk(), m.tree.stat(id)));
                    paths.extend(m.tree.children(id).map(|c| format!("{path}/{}", m.tree.name(c))));
                }
                paths.is_empty()
            }
        }
    }
}

fn check(ops: &[(Op, i64)], start: usize, pace: &[u8], slots: bool) {
    let mut model = Model::new();
    let mut live = Machine::new(SETTINGS);
    let mut log: Vec<(i64, Vec<u8>)> = Vec::new();
    let mut walk: Option<(Walk, File)> = None;
    let mut finished = false;
    for (n, (op, session)) in ops.iter().enumerate() {
        if n == start {
            let walker =
                if slots { Walk::Slots(SnapshotWalk::new(&live)) } else { Walk::Paths(vec![String::new()]) };
            walk = Some((walker, File::begin(&live)));
        }
        let zxid = n as i64 + 1;
        let body = model.prepare(*session, zxid, 1000 + zxid, op);
        model.perform(*session, zxid, 1000 + zxid, &body);
        let bytes = payload(*session, zxid, 1000 + zxid, &body, Some(model.digest()));
        live.replay(&bytes).unwrap();
        log.push((zxid, bytes));
        if let Some((walk, file)) = &mut walk {
            for _ in 0..pace[n % pace.len()] {
                if !finished {
                    finished = walk.slice(&live, file);
                    file.digest = live.recorded_digest().unwrap();
                }
            }
        }
    }
    let Some((mut walk, mut file)) = walk else { return };
    while !finished {
        finished = walk.slice(&live, &mut file);
        file.digest = live.recorded_digest().unwrap();
    }
    let mut restored = file.restore(SETTINGS);
    for (_, bytes) in log.iter().filter(|(zxid, _)| *zxid > file.zxid) {
        restored.replay(bytes).unwrap();
    }
    assert_eq!(portrait(&restored), portrait(&live));
    assert_eq!((live.digest_mismatches(), restored.digest_mismatches()), (0, 0));
    model.compare(&restored);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_fuzzy_snapshot_and_the_log_behind_it(
        ops in prop::collection::vec((op(), 1..4_i64), 2..80),
        start in 0..40_usize,
        pace in prop::collection::vec(0..3_u8, 1..6),
        slots in any::<bool>(),
    ) {
        check(&ops, start, &pace, slots);
    }
}

fn grown(n: usize) -> Machine {
    let mut m = Machine::new(SETTINGS);
    for i in 0..n as i64 {
        let path = if i % 10 == 0 { format!("/n{i}") } else { format!("/n{}/c{i}", i - i % 10) };
        m.replay(&payload(1, i + 1, 0, &create(&path), None)).unwrap();
    }
    m
}

#[test]
fn slices_are_small_and_the_whole_is_whole() {
    let m = grown(500);
    let mut walk = SnapshotWalk::new(&m);
    let mut paths: Vec<String> = Vec::new();
    let mut slices = 0;
    loop {
        let before = paths.len();
        let progress = walk.next_slice(&m, 16, &mut |path, _, _, _| {
            let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
            assert!(path.is_empty() || paths.iter().any(|p| p == parent), "{path} before {parent}");
            paths.push(path.to_owned());
        });
        slices += 1;
        assert!(paths.len() - before <= 16);
        if progress == Progress::Done {
            break;
        }
    }
    assert_eq!((paths.len(), slices), (504, 32));
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), 504);
    let other = grown(500);
    assert_eq!(walk.next_slice(&other, 1, &mut |_, _, _, _| panic!()), Progress::Lost);
}

#[test]
fn slots_are_used_again_after_the_walk() {
    let mut m = grown(100);
    let walk = SnapshotWalk::new(&m);
    m.replay(&payload(1, 200, 0, &delete("/n0/c1"), None)).unwrap();
    m.replay(&payload(1, 201, 0, &create("/new"), None)).unwrap();
    assert_eq!(m.tree.find("/new"), Some(NodeId(104)));
    drop(walk);
    m.replay(&payload(1, 202, 0, &create("/newer"), None)).unwrap();
    assert!(m.tree.find("/newer").unwrap() < NodeId(104) && m.tree.find("/newer").unwrap() > ROOT);
}
