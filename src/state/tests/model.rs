//! The machine against the most naive tree there is: a map from paths to nodes, every rule written out anew,
//! every number recomputed from scratch.

use super::*;
use crate::state::digest::node_digest;
use jute::ErrorCode;
use jute::records::data::StatPersisted;
use proptest::prelude::*;
use std::collections::BTreeMap;

pub(super) const PATHS: [&str; 12] = [
    "/a",
    "/b",
    "/a/x",
    "/a/y",
    "/b/x",
    "/a/x/1",
    "/a/x/2",
    "/b/x/1",
    "/zookeeper/z",
    "/ü",
    "/a/x/1/deep",
    "/abc",
];
const DATA: [Option<&[u8]>; 4] = [None, Some(b""), Some(b"one"), Some(b"a longer piece of data")];

#[derive(Debug, Clone)]
pub(super) struct Node {
    data: Option<&'static [u8]>,
    acl: Vec<Acl<'static>>,
    stat: StatPersisted,
}

#[derive(Debug, Clone)]
pub(super) struct Model {
    nodes: BTreeMap<String, Node>,
    sessions: BTreeMap<i64, i64>,
}

fn parent_of(path: &str) -> Option<String> {
    path.rsplit_once('/').map(|(parent, _)| parent.to_owned())
}

impl Model {
    pub(super) fn new() -> Self {
        let node = |perms, aversion| Node {
            data: Some(b""),
            acl: world(perms),
            stat: StatPersisted { aversion, ..Default::default() },
        };
        let nodes = [("", node(31, 0)), ("/zookeeper", node(31, 0)), ("/zookeeper/quota", node(31, 0))];
        let mut nodes: BTreeMap<_, _> = nodes.map(|(p, n)| (p.to_owned(), n)).into();
        nodes.insert("/zookeeper/config".to_owned(), node(1, -1));
        Self { nodes, sessions: BTreeMap::new() }
    }

    fn below(&self, path: &str) -> Vec<String> {
        self.nodes.keys().filter(|p| p.starts_with(&format!("{path}/"))).cloned().collect()
    }

    fn children(&self, path: &str) -> i32 {
        self.nodes.keys().filter(|p| parent_of(p).as_deref() == Some(path)).count() as i32
    }

    pub(super) fn digest(&self) -> u64 {
        self.nodes.iter().fold(0, |sum, (p, n)| sum.wrapping_add(node_digest(p, n.data, &n.stat)))
    }

    pub(super) fn perform(&mut self, session: i64, zxid: i64, time: i64, body: &Body<'static>) {
        match body {
            Body::CreateSession(Millis(t)) => _ = self.sessions.insert(session, *t),
            Body::CloseSession(listed) => {
                for path in listed.iter().flatten() {
                    self.delete(zxid, path);
                }
                let own = |n: &Node| n.stat.ephemeral_owner == session;
                let rest: Vec<_> =
                    self.nodes.iter().filter(|(_, n)| own(n)).map(|(p, _)| p.clone()).collect();
                rest.iter().for_each(|path| self.delete(zxid, path));
                self.sessions.remove(&session);
            }
            Body::Error(_) | Body::Check(..) => {}
            Body::Multi(parts) if parts.iter().any(|p| matches!(p, Body::Error(_))) => {}
            Body::Multi(parts) => parts.iter().for_each(|p| self.perform(session, zxid, time, p)),
            Body::Create(c) => self.create(zxid, time, c),
            Body::Delete(_, path) => self.delete(zxid, path),
            Body::SetData(_, path, data, version) => {
                if let Some(n) = self.nodes.get_mut(&**path) {
                    n.data = *data;
                    (n.stat.version, n.stat.mzxid, n.stat.mtime) = (*version, zxid, time);
                }
            }
            Body::SetAcl(path, acl, version) => {
                if let Some(n) = self.nodes.get_mut(&**path) {
                    n.acl = acl.clone();
                    n.stat.aversion = *version;
                }
            }
        }
    }

    fn create(&mut self, zxid: i64, time: i64, c: &Create<'static>) {
        let exists = self.nodes.contains_key(&*c.path);
        let Some(parent) = parent_of(&c.path).and_then(|p| self.nodes.get_mut(&p)) else { return };
        if !exists || c.op == OpCode::Create {
            let next = parent.stat.cversion.wrapping_add(1);
            let want = if c.parent_cversion == -1 { next } else { c.parent_cversion };
            if want > parent.stat.cversion {
                parent.stat.cversion = want;
                parent.stat.pzxid = zxid;
            }
        }
        if exists {
            self.nodes.get_mut(&*c.path).unwrap().acl = c.acl.clone();
            return;
        }
        let stat = StatPersisted {
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime: time,
            mtime: time,
            ephemeral_owner: c.owner.pack(),
            ..Default::default()
        };
        self.nodes.insert(c.path.to_string(), Node { data: c.data, acl: c.acl.clone(), stat });
    }

    fn delete(&mut self, zxid: i64, path: &str) {
        let Some(parent) = parent_of(path).and_then(|p| self.nodes.get_mut(&p)) else { return };
        parent.stat.pzxid = parent.stat.pzxid.max(zxid);
        if self.nodes.remove(path).is_some() {
            for child in self.below(path) {
                self.nodes.remove(&child);
            }
        }
    }

    pub(super) fn compare(&self, m: &Machine) {
        use crate::state::TreeView;
        let paths: Vec<_> = m.tree.subtree(crate::state::tree::ROOT).map(|id| m.tree.path(id)).collect();
        assert_eq!(paths.len(), self.nodes.len(), "{paths:?} {:?}", self.nodes.keys());
        for (path, want) in &self.nodes {
            let got = m.node(path).unwrap_or_else(|| panic!("{path} is missing"));
            assert_eq!((got.data, &got.stat), (want.data, &want.stat), "{path}");
            assert_eq!(got.num_children, self.children(path), "{path}");
            assert_eq!(got.acl.iter().map(AclEntry::record).collect::<Vec<_>>(), want.acl, "{path}");
            let shown = m.shown_stat(m.tree.find(path).unwrap());
            assert_eq!(shown.cversion, want.stat.cversion.wrapping_mul(2).wrapping_sub(got.num_children));
            assert_eq!(m.tree.path(m.tree.find(path).unwrap()), if path.is_empty() { "/" } else { path });
        }
        let sessions: Vec<_> = self.sessions.iter().map(|(s, t)| (SessionId(*s), Millis(*t))).collect();
        assert_eq!(m.sessions(), sessions);
        for session in 1..4 {
            let own = |n: &Node| n.stat.ephemeral_owner == session;
            let want: Vec<_> = self.nodes.iter().filter(|(_, n)| own(n)).map(|(p, _)| p.clone()).collect();
            let mut got = m.ephemerals(SessionId(session));
            got.sort();
            assert_eq!(got.iter().map(|p| p.to_string()).collect::<Vec<_>>(), want);
        }
        assert_eq!(m.digest(), Some(self.digest()));
        let size = |(p, n): (&String, &Node)| p.encode_utf16().count() + n.data.map_or(0, <[u8]>::len);
        assert_eq!(m.gauges().approximate_data_size, 1 + self.nodes.iter().map(size).sum::<usize>() as i64);
        let mut lists: Vec<_> = self.nodes.values().map(|n| n.acl.clone()).collect();
        lists.retain(|l| *l != world(31));
        lists.sort_by_key(|l| l[0].perms);
        lists.dedup();
        let closed = m.acl_lists().into_iter().filter(|(_, l)| l[0].perms != 31).count();
        assert_eq!(closed, lists.len(), "{:?}", m.acl_lists());
    }
}

/// Something to do, before it is known whether it can be done.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Create { path: usize, data: usize, perms: i32, kind: u8, cversion: i32 },
    Delete { path: usize },
    SetData { path: usize, data: usize, version: i32 },
    SetAcl { path: usize, perms: i32, version: i32 },
    OpenSession,
    CloseSession { listed: Vec<usize> },
    Error,
    Multi(Vec<Self>),
}

pub(super) fn op() -> impl Strategy<Value = Op> {
    let path = 0..PATHS.len();
    let part = prop_oneof![
        6 => (path.clone(), 0..DATA.len(), 1..4_i32, 0..5_u8, -1..4_i32)
            .prop_map(|(path, data, perms, kind, cversion)| Op::Create { path, data, perms, kind, cversion }),
        3 => path.clone().prop_map(|path| Op::Delete { path }),
        2 => (path.clone(), 0..DATA.len(), -2..5_i32)
            .prop_map(|(path, data, version)| Op::SetData { path, data, version }),
        1 => Just(Op::Error),
    ];
    let set_acl = (path.clone(), 1..4_i32, 0..4_i32).prop_map(|(path, perms, version)| Op::SetAcl {
        path,
        perms,
        version,
    });
    prop_oneof![
        9 => part.clone(),
        1 => set_acl,
        1 => Just(Op::OpenSession),
        1 => prop::collection::vec(path, 0..4).prop_map(|listed| Op::CloseSession { listed }),
        2 => prop::collection::vec(part, 0..5).prop_map(Op::Multi),
    ]
}

impl Op {
    /// Taken at its word, whatever the tree says.
    fn raw(&self, session: i64) -> Body<'static> {
        let at = |path: &usize| Text::Borrowed(PATHS[*path]);
        match self {
            Self::Create { path, data, perms, kind, cversion } => {
                let (op, owner) = kind_of(*kind, session);
                let (path, data, acl) = (at(path), DATA[*data], world(*perms));
                Body::Create(Create { op, path, data, acl, parent_cversion: *cversion, owner })
            }
            Self::Delete { path } => Body::Delete(OpCode::Delete, at(path)),
            Self::SetData { path, data, version } => {
                Body::SetData(OpCode::SetData, at(path), DATA[*data], *version)
            }
            Self::SetAcl { path, perms, version } => Body::SetAcl(at(path), world(*perms), *version),
            Self::OpenSession => Body::CreateSession(Millis(session * 1000)),
            Self::CloseSession { listed } => Body::CloseSession(Some(listed.iter().map(at).collect())),
            Self::Error => Body::Error(ErrorCode::BadVersion),
            Self::Multi(parts) => Body::Multi(parts.iter().map(|p| p.raw(session)).collect()),
        }
    }
}

fn kind_of(kind: u8, session: i64) -> (OpCode, Owner) {
    match kind {
        0 => (OpCode::Create, Owner::Persistent),
        1 => (OpCode::Create2, Owner::Persistent),
        2 => (OpCode::Create, Owner::Ephemeral(SessionId(session))),
        3 => (OpCode::CreateContainer, Owner::Container),
        _ => (OpCode::CreateTtl, Owner::Ttl(Millis(5))),
    }
}

impl Model {
    /// What a leader would make of it: values out of the tree, an error where it cannot be.
    pub(super) fn prepare(&self, session: i64, zxid: i64, time: i64, op: &Op) -> Body<'static> {
        let no = |code| Body::Error(code);
        match (op, op.raw(session)) {
            (Op::Create { .. }, Body::Create(mut c)) => {
                let parent = parent_of(&c.path).and_then(|p| self.nodes.get(&p));
                let Some(parent) = parent else { return no(ErrorCode::NoNode) };
                if self.nodes.contains_key(&*c.path) {
                    return no(ErrorCode::NodeExists);
                }
                let owner = Owner::unpack(parent.stat.ephemeral_owner, true);
                let stranger = c.owner.session().is_some() && !self.sessions.contains_key(&session);
                if owner.session().is_some() || stranger {
                    return no(ErrorCode::NoChildrenForEphemerals);
                }
                c.parent_cversion = parent.stat.cversion + 1;
                Body::Create(c)
            }
            (_, Body::Delete(op, path)) => match self.nodes.get(&*path) {
                None => no(ErrorCode::NoNode),
                Some(_) if self.children(&path) > 0 => no(ErrorCode::NotEmpty),
                Some(_) => Body::Delete(op, path),
            },
            (_, Body::SetData(op, path, data, _)) => match self.nodes.get(&*path) {
                None => no(ErrorCode::NoNode),
                Some(n) => Body::SetData(op, path, data, n.stat.version.wrapping_add(1)),
            },
            (_, Body::SetAcl(path, acl, _)) => match self.nodes.get(&*path) {
                None => no(ErrorCode::NoNode),
                Some(n) => Body::SetAcl(path, acl, n.stat.aversion.wrapping_add(1)),
            },
            (_, Body::CloseSession(_)) => {
                let own = |n: &Node| n.stat.ephemeral_owner == session;
                let paths = self.nodes.iter().filter(|(_, n)| own(n)).map(|(p, _)| Text::Owned(p.clone()));
                Body::CloseSession(Some(paths.collect()))
            }
            (Op::Multi(ops), _) => {
                let mut ahead = self.clone();
                let mut parts: Vec<Body<'static>> = Vec::new();
                for op in ops {
                    let failed = parts.iter().any(|p| matches!(p, Body::Error(_)));
                    let part = match ahead.prepare(session, zxid, time, op) {
                        _ if failed => no(ErrorCode::RuntimeInconsistency),
                        part => part,
                    };
                    ahead.perform(session, zxid, time, &part);
                    parts.push(part);
                }
                Body::Multi(parts)
            }
            (_, body) => body,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Transactions that no leader would write: recovery's rules.
    #[test]
    fn any_transactions(ops in prop::collection::vec((op(), 1..4_i64), 1..60)) {
        let mut model = Model::new();
        let mut m = Machine::new(Settings { extended_types: true, ..Settings::default() });
        for (n, (op, session)) in ops.iter().enumerate() {
            let (zxid, time, body) = (n as i64 + 1, 5000 + n as i64, op.raw(*session));
            model.perform(*session, zxid, time, &body);
            m.replay(&payload(*session, zxid, time, &body, Some(model.digest()))).unwrap();
            prop_assert_eq!(m.digest_mismatches(), 0, "{:?}", body);
        }
        model.compare(&m);
    }

    /// Transactions as a leader writes them.
    #[test]
    fn sound_transactions(ops in prop::collection::vec((op(), 1..4_i64), 1..60)) {
        let mut model = Model::new();
        let mut w = World::new();
        for (n, (op, session)) in ops.iter().enumerate() {
            let zxid = n as i64 + 1;
            let body = model.prepare(*session, zxid, 1000 + zxid, op);
            model.perform(*session, zxid, 1000 + zxid, &body);
            let failed = matches!(body, Body::Error(_));
            let outcome = w.apply_for(*session, body);
            prop_assert_eq!(matches!(outcome, Outcome::Failed(_)), failed, "{:?}", outcome);
        }
        model.compare(&w.machine);
    }
}
