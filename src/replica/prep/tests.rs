//! Validation over a tree of a few nodes: order of checks, what pipelined writes see, what a multi takes back.

use super::*;
use crate::auth::AccessList;
use crate::state::NodeView;
use crate::state::quota::Verdict;
use crate::types::Owner;
use jute::records::data::{Acl, Id, StatPersisted};
use jute::records::proto::{CreateRequest, DeleteRequest, SetAclRequest, SetDataRequest};
use jute::records::txn::{CloseSessionTxn, CreateTxn, MultiTxn, SetDataTxn};
use jute::{Reader, decode_exact};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A tree as a map from path to owner and children; everything else is as born.
#[derive(Default)]
struct Map(BTreeMap<String, (Owner, i32)>);

impl TreeView for Map {
    fn node(&self, path: &str) -> Option<NodeView<'_>> {
        let (owner, num_children) = if path == "/" { (Owner::Persistent, 1) } else { *self.0.get(path)? };
        let stat = StatPersisted { cversion: num_children, ..Default::default() };
        Some(NodeView { stat, owner, num_children, acl: AccessList::Open, data: Some(b"") })
    }
    fn last_zxid(&self) -> Zxid {
        Zxid(0)
    }
    fn digest(&self) -> Option<u64> {
        Some(0)
    }
    fn ephemerals(&self, session: SessionId) -> Vec<Box<str>> {
        self.0
            .iter()
            .filter(|(_, (o, _))| *o == Owner::Ephemeral(session))
            .map(|(p, _)| p.as_str().into())
            .collect()
    }
    fn sessions(&self) -> Vec<(SessionId, Millis)> {
        vec![]
    }
    fn check_quota(&self, _: &str, _: i64, _: i64) -> Verdict {
        Verdict::Within
    }
}

const S: SessionId = SessionId(7);

struct Bench {
    prep: Prep,
    sessions: Tracker,
    tree: Map,
    zxid: i64,
}

impl Bench {
    fn new() -> Self {
        let mut sessions = Tracker::new(Millis(1000));
        sessions.track(S, Millis(10_000), Millis(0));
        let prep = Prep::new(ReplicaSettings::default(), Rules::default(), Some(0));
        Self { prep, sessions, tree: Map::default(), zxid: 0 }
    }

    fn write(&mut self, request: WriteRequest<'_>) -> Entry {
        self.zxid += 1;
        let write = Ask { session: S, cxid: 1, ids: &[], via: Via::Here, request };
        self.prep.write(Now::default(), Zxid(self.zxid), &write, &self.sessions, &self.tree)
    }

    fn code(&mut self, request: WriteRequest<'_>) -> i32 {
        error_of(&self.write(request))
    }
}

/// The error of an entry, or zero.
fn error_of(entry: &Entry) -> i32 {
    let mut r = Reader::new(&entry.payload);
    let header = TxnHeader::read(&mut r).unwrap();
    if header.op == OpCode::Error.code() { ErrorTxn::read(&mut r).unwrap().err } else { 0 }
}

fn create(path: &str, flags: i32) -> WriteRequest<'_> {
    WriteRequest::Create(OpCode::Create, create_request(path, flags))
}

fn create_request(path: &str, flags: i32) -> CreateRequest<'_> {
    let open = Acl { perms: 31, id: Id { scheme: Some("world".into()), id: Some("anyone".into()) } };
    CreateRequest { path: Some(path.into()), data: Some(b"x"), acl: Some(vec![open]), flags }
}

fn delete(path: &str) -> WriteRequest<'_> {
    WriteRequest::Delete(DeleteRequest { path: Some(path.into()), version: -1 })
}

#[test]
fn pipelined_writes_see_each_other() {
    let mut b = Bench::new();
    assert_eq!(b.code(create("/a/b", 0)), ErrorCode::NoNode.code());
    assert_eq!(b.code(create("/a", 0)), 0);
    assert_eq!(b.code(create("/a/b", 0)), 0);
    assert_eq!(b.code(delete("/a")), ErrorCode::NotEmpty.code());
    assert_eq!(b.code(create("/a", 0)), ErrorCode::NodeExists.code());
    assert_eq!(b.code(delete("/a/b")), 0);
    assert_eq!(b.code(delete("/a")), 0);
    assert_eq!(b.code(delete("/a")), ErrorCode::NoNode.code());
}

/// Row 28 of docs/RELIABILITY.md: a transaction that no server could read is never made.
#[test]
fn what_grows_beyond_what_servers_read_is_refused_whole() {
    let mut b = Bench::new();
    b.prep.settings.longest_txn = 4096;
    let broken = ErrorCode::MarshallingError.code();
    let long = |id: usize| {
        let id = format!("{}:x", "i".repeat(id));
        vec![Acl { perms: 31, id: Id { scheme: Some("digest".into()), id: Some(id.into()) } }]
    };
    let with =
        |path: &'static str, id: usize| CreateRequest { acl: Some(long(id)), ..create_request(path, 0) };
    for fill in [3900, 4096, 10_000] {
        let digest = b.prep.pending.digest;
        let entry = b.write(WriteRequest::Create(OpCode::Create, with("/a", fill)));
        let refused = error_of(&entry) == broken;
        assert!(entry.payload.len() <= 4096 && refused == (fill > 3900), "{fill}");
        assert_eq!(b.prep.pending.digest == digest, refused);
        b.write(delete("/a"));
    }
    assert_eq!(b.code(create("/a", 0)), 0);
    for fill in [5000, 3900] {
        let set = SetAclRequest { path: Some("/a".into()), acl: Some(long(fill)), version: -1 };
        assert_eq!(b.code(WriteRequest::SetAcl(set)), if fill > 3900 { broken } else { 0 });
    }
    // Each part fits, all together do not; nothing of them stays.
    let parts: Vec<_> = ["/b", "/c", "/d"].map(|p| WriteOp::Create(OpCode::Create, with(p, 1900))).into();
    let digest = b.prep.pending.digest;
    assert_eq!(b.code(WriteRequest::Multi(parts.clone())), broken);
    assert_eq!((b.code(delete("/b")), b.prep.pending.digest), (ErrorCode::NoNode.code(), digest));
    assert_eq!(b.code(WriteRequest::Multi(parts[..2].to_vec())), 0);
    // One that fails is written as well, its good parts at full length.
    let mut failing = vec![WriteOp::Delete(DeleteRequest { path: Some("/b".into()), version: -1 }); 1];
    failing.extend(["/e", "/f"].map(|p| WriteOp::Create(OpCode::Create, with(p, 1950))));
    failing.extend(vec![WriteOp::Delete(DeleteRequest { path: Some("/no".into()), version: -1 }); 30]);
    let entry = b.write(WriteRequest::Multi(failing));
    assert!(entry.payload.len() <= 4096);
    assert_eq!((error_of(&entry), b.code(delete("/e"))), (broken, ErrorCode::NoNode.code()));
    assert_eq!(b.code(delete("/b")), 0);
}

#[test]
fn sequential_names_count_creations() {
    let mut b = Bench::new();
    b.write(create("/q", 0));
    for n in 0..3 {
        let entry = b.write(create("/q/n-", 2));
        let mut r = Reader::new(&entry.payload);
        TxnHeader::read(&mut r).unwrap();
        let txn = CreateTxn::read(&mut r).unwrap();
        assert_eq!(txn.path.as_deref(), Some(format!("/q/n-{n:010}").as_str()));
        assert_eq!(txn.parent_c_version, n + 1);
    }
}

#[test]
fn the_order_of_create_s_checks() {
    let mut b = Bench::new();
    b.tree.0.insert("/e".into(), (Owner::Ephemeral(S), 0));
    assert_eq!(b.code(create("a", 9)), ErrorCode::BadArguments.code());
    assert_eq!(b.code(create("/x/y", 5)), ErrorCode::Unimplemented.code(), "flags come before the path");
    assert_eq!(b.code(create("/none/..", 0)), ErrorCode::NoNode.code(), "the parent before the full path");
    assert_eq!(b.code(create("/", 0)), ErrorCode::NodeExists.code());
    assert_eq!(b.code(create("/e/c", 0)), ErrorCode::NoChildrenForEphemerals.code());
    assert_eq!(b.code(delete("/zookeeper")), ErrorCode::BadArguments.code());
    let mut no_acl = create_request("/b", 0);
    no_acl.acl = None;
    assert_eq!(b.code(WriteRequest::Create(OpCode::Create, no_acl)), ErrorCode::InvalidAcl.code());
}

#[test]
fn a_failed_multi_takes_everything_back() {
    let mut b = Bench::new();
    b.write(create("/q", 0));
    let digest = b.prep.pending.digest;
    let parts = vec![
        WriteOp::Create(OpCode::Create, create_request("/q/n-", 3)),
        WriteOp::SetData(SetDataRequest { path: Some("/q".into()), data: None, version: 5 }),
        WriteOp::Delete(DeleteRequest { path: Some("/q".into()), version: -1 }),
    ];
    let entry = b.write(WriteRequest::Multi(parts));
    let mut r = Reader::new(&entry.payload);
    assert_eq!(TxnHeader::read(&mut r).unwrap().op, OpCode::Multi.code());
    let types: Vec<_> = MultiTxn::read(&mut r).unwrap().txns.unwrap().iter().map(|t| t.op).collect();
    assert_eq!(types, [1, -1, -1]);
    assert_eq!(b.prep.pending.digest, digest);
    let entry = b.write(create("/q/n-", 2));
    let txn: CreateTxn<'_> = Record::read(&mut Reader::new(&entry.payload[HEADER..])).unwrap();
    assert_eq!(txn.path.as_deref(), Some("/q/n-0000000000"), "the counter too");
    assert!(b.prep.pending.ephemerals(S, &b.tree).is_empty());
}

#[test]
fn a_multi_s_parts_see_each_other() {
    let mut b = Bench::new();
    let parts = vec![
        WriteOp::Create(OpCode::Create, create_request("/m", 0)),
        WriteOp::Create(OpCode::Create, create_request("/m/c", 0)),
        WriteOp::Delete(DeleteRequest { path: Some("/m/c".into()), version: 0 }),
        WriteOp::SetData(SetDataRequest { path: Some("/m".into()), data: None, version: 0 }),
    ];
    assert_eq!(b.code(WriteRequest::Multi(parts)), 0);
    assert_eq!(b.code(create("/m/d", 0)), 0);
}

#[test]
fn closing_lists_committed_and_pending_ephemerals() {
    let mut b = Bench::new();
    b.tree.0.insert("/old".into(), (Owner::Ephemeral(S), 0));
    b.tree.0.insert("/gone".into(), (Owner::Ephemeral(S), 0));
    b.write(delete("/gone"));
    b.write(create("/new", 1));
    b.write(create("/brief", 1));
    b.write(delete("/brief"));
    b.prep.applied(Zxid(0));
    b.zxid += 1;
    let entry = b.prep.close_session(Now::default(), Zxid(b.zxid), S, 9, &b.tree);
    let body = &entry.payload[HEADER..entry.payload.len() - 12];
    let txn: CloseSessionTxn<'_> = decode_exact(body).unwrap();
    let paths: Vec<_> = txn.paths_to_delete.unwrap().into_iter().flatten().collect();
    assert_eq!(paths, ["/new", "/old"]);
}

#[test]
fn a_list_too_long_to_be_read_is_left_out() {
    let mut b = Bench::new();
    for n in 0..50_000 {
        let path = format!("/{n:0100}");
        b.tree.0.insert(path, (Owner::Ephemeral(S), 0));
    }
    let close = b.prep.close_session(Now::default(), Zxid(1), S, 9, &b.tree);
    assert_eq!(close.payload.len(), HEADER, "neither a list nor a digest");
    let header: TxnHeader = decode_exact(&close.payload).unwrap();
    assert_eq!((header.client_id, header.cxid, header.op), (S.0, 9, OpCode::CloseSession.code()));
    assert_eq!(b.code(delete("/0")), ErrorCode::NoNode.code());
    let gone = format!("/{:0100}", 7);
    assert_eq!(b.code(delete(&gone)), ErrorCode::NoNode.code(), "they are gone for later writes");
}

#[test]
fn another_membership_is_the_new_content_of_its_node() {
    let mut b = Bench::new();
    b.prep.settings.reconfig_enabled = true;
    b.tree.0.insert("/zookeeper/config".into(), (Owner::Persistent, 0));
    let text = "server.1=a:1:2\nversion=5";
    let next = || Ok(Arc::new(Membership::from_text(text.as_bytes(), false).unwrap()));
    let write =
        |session| Ask { session, cxid: 1, ids: &[], via: Via::Here, request: WriteRequest::MalformedMulti };
    let (entry, membership) = b.prep.reconfig(Now::default(), Zxid(5), &write(S), next, &b.sessions, &b.tree);
    assert_eq!((entry.zxid, membership.unwrap().version), (Zxid(5), 5));
    let mut r = Reader::new(&entry.payload);
    assert_eq!(TxnHeader::read(&mut r).unwrap().op, OpCode::Reconfig.code());
    let txn = SetDataTxn::read(&mut r).unwrap();
    assert_eq!((txn.path.as_deref(), txn.version), (Some("/zookeeper/config"), -1));
    assert_eq!(txn.data, Some(&b"server.1=a:1:2:participant\nversion=5"[..]));

    let refused = |b: &mut Bench, session, next: Result<Arc<Membership>, ErrorCode>| {
        let (entry, membership) =
            b.prep.reconfig(Now::default(), Zxid(6), &write(session), || next, &b.sessions, &b.tree);
        assert!(membership.is_none());
        error_of(&entry)
    };
    let strange = refused(&mut b, SessionId(99), next());
    assert_eq!(strange, ErrorCode::UnknownSession.code());
    let no_quorum = refused(&mut b, S, Err(ErrorCode::NewConfigNoQuorum));
    assert_eq!(no_quorum, ErrorCode::NewConfigNoQuorum.code());
    b.prep.settings.reconfig_enabled = false;
    assert_eq!(refused(&mut b, SessionId(99), next()), ErrorCode::ReconfigDisabled.code());
}

#[test]
fn rows_leave_with_the_zxid_that_wrote_them_last() {
    let mut b = Bench::new();
    b.write(create("/a", 1));
    b.write(delete("/a"));
    b.prep.applied(Zxid(1));
    assert!(b.prep.pending.node(b.prep.pending.spot("/a"), &b.tree).is_none());
    b.prep.applied(Zxid(2));
    assert_eq!(b.prep.pending(), 0);
    b.tree.0.insert("/a".into(), (Owner::Persistent, 0));
    assert!(b.prep.pending.ephemerals(S, &b.tree).is_empty(), "no trace of the ephemeral that was");
}

#[test]
fn nulls_are_no_requests() {
    let mut b = Bench::new();
    let null = DeleteRequest { path: None, version: -1 };
    assert_eq!(b.code(WriteRequest::Delete(null.clone())), ErrorCode::MarshallingError.code());
    let parts = vec![WriteOp::Create(OpCode::Create, create_request("/a", 0)), WriteOp::Delete(null)];
    assert_eq!(b.code(WriteRequest::Multi(parts)), ErrorCode::MarshallingError.code());
    assert_eq!(b.code(create("/a", 0)), 0, "the whole multi is gone");
}
