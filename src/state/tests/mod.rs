//! The room as a whole: transactions as bytes go in, trees, replies and events come out.

mod apply;
mod fuzzy;
mod memory;
mod model;
mod quota;
mod read;

use super::txn::{Body, Create};
use super::{Fired, Machine, Settings, WatcherId, Watches};
use crate::auth::AclEntry;
use crate::types::{Committed, Entry, Millis, Owner, SessionId, Zxid};
use crate::wire::Outcome;
use jute::records::data::Acl;
use jute::records::txn::{
    CheckVersionTxn, CloseSessionTxn, CreateContainerTxn, CreateSessionTxn, CreateTtlTxn, CreateTxn,
    DeleteTxn, ErrorTxn, MultiTxn, SetAclTxn, SetDataTxn, SubTxn, TxnDigest, TxnHeader,
};
use jute::{OpCode, Record, Text};

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |p: &[u8]| u8::from_str_radix(std::str::from_utf8(p).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// A body as the leader writes it.
fn encode_body(body: &Body<'_>) -> Vec<u8> {
    let some = |path: &Text<'_>| Some(Text::Owned(path.to_string()));
    match body.clone() {
        Body::CreateSession(Millis(t)) => jute::encode(&CreateSessionTxn { time_out: t as i32 }),
        Body::CloseSession(None) => Vec::new(),
        Body::CloseSession(Some(paths)) => {
            jute::encode(&CloseSessionTxn { paths_to_delete: Some(paths.iter().map(some).collect()) })
        }
        Body::Error(code) => jute::encode(&ErrorTxn { err: code.code() }),
        Body::Create(Create { op, path, data, acl, parent_cversion: parent_c_version, owner }) => {
            let (path, acl) = (some(&path), Some(acl));
            match owner {
                Owner::Ttl(Millis(ttl)) => {
                    jute::encode(&CreateTtlTxn { path, data, acl, parent_c_version, ttl })
                }
                Owner::Container => jute::encode(&CreateContainerTxn { path, data, acl, parent_c_version }),
                Owner::Persistent | Owner::Ephemeral(_) => {
                    assert!(matches!(op, OpCode::Create | OpCode::Create2));
                    let ephemeral = owner != Owner::Persistent;
                    jute::encode(&CreateTxn { path, data, acl, ephemeral, parent_c_version })
                }
            }
        }
        Body::Delete(_, path) => jute::encode(&DeleteTxn { path: some(&path) }),
        Body::SetData(_, path, data, version) => {
            jute::encode(&SetDataTxn { path: some(&path), data, version })
        }
        Body::SetAcl(path, acl, version) => {
            jute::encode(&SetAclTxn { path: some(&path), acl: Some(acl), version })
        }
        Body::Check(path, version) => jute::encode(&CheckVersionTxn { path: some(&path), version }),
        Body::Multi(parts) => {
            let bodies: Vec<(i32, Vec<u8>)> = parts.iter().map(|p| (p.op().code(), encode_body(p))).collect();
            let txns = bodies.iter().map(|(op, data)| SubTxn { op: *op, data: Some(data) }).collect();
            jute::encode(&MultiTxn { txns: Some(txns) })
        }
    }
}

/// A whole payload.
fn payload(session: i64, zxid: i64, time: i64, body: &Body<'_>, digest: Option<u64>) -> Vec<u8> {
    let op = body.op().code();
    let mut bytes = jute::encode(&TxnHeader { client_id: session, cxid: 9, zxid, time, op });
    bytes.extend(encode_body(body));
    if let Some(digest) = digest {
        TxnDigest { version: 2, tree_digest: digest.cast_signed() }.write(&mut bytes);
    }
    bytes
}

fn committed(payload: Vec<u8>, zxid: i64) -> Committed<Entry> {
    Committed::mint(Entry { zxid: Zxid(zxid), payload: payload.into() })
}

fn world(perms: i32) -> Vec<Acl<'static>> {
    vec![Acl {
        perms,
        id: jute::records::data::Id { scheme: Some("world".into()), id: Some("anyone".into()) },
    }]
}

fn create(path: &str) -> Body<'static> {
    create_as(OpCode::Create, path, Owner::Persistent)
}

fn create_as(op: OpCode, path: &str, owner: Owner) -> Body<'static> {
    let path = Text::Owned(path.to_owned());
    Body::Create(Create { op, path, data: Some(b"data"), acl: world(31), parent_cversion: -1, owner })
}

fn ephemeral(path: &str, session: i64) -> Body<'static> {
    create_as(OpCode::Create, path, Owner::Ephemeral(SessionId(session)))
}

fn delete(path: &str) -> Body<'static> {
    Body::Delete(OpCode::Delete, Text::Owned(path.to_owned()))
}

fn set_data(path: &str, data: &'static [u8], version: i32) -> Body<'static> {
    Body::SetData(OpCode::SetData, Text::Owned(path.to_owned()), Some(data), version)
}

/// A state with its watches and what was told.
struct World {
    machine: Machine,
    watches: Watches,
    zxid: i64,
    /// kind, path, zxid, watchers, permissions of the first entry
    told: Vec<(i32, String, i64, Vec<u32>, i32)>,
}

impl World {
    fn new() -> Self {
        let settings = Settings { extended_types: true, ..Settings::default() };
        Self { machine: Machine::new(settings), watches: Watches::new(5), zxid: 0, told: Vec::new() }
    }

    /// Applies it as the next transaction, of session 7 at time 1000 + zxid.
    fn apply(&mut self, body: Body<'_>) -> Outcome<'static> {
        self.apply_for(7, body)
    }

    fn apply_for(&mut self, session: i64, body: Body<'_>) -> Outcome<'static> {
        self.zxid += 1;
        let entry = committed(payload(session, self.zxid, 1000 + self.zxid, &body, None), self.zxid);
        let told = &mut self.told;
        let mut tell = |f: &Fired<'_>| {
            let watchers = f.watchers.iter().map(|WatcherId(w)| *w).collect();
            told.push((f.kind.code(), f.path.to_owned(), f.zxid, watchers, f.acl[0].perms));
        };
        let applied = self.machine.apply(&entry, &self.watches, &mut tell).unwrap();
        assert_eq!((applied.zxid, applied.cxid, applied.session), (self.zxid, 9, SessionId(session)));
        owned(applied.outcome)
    }

    fn told(&mut self) -> Vec<(i32, String, i64, Vec<u32>)> {
        std::mem::take(&mut self.told).into_iter().map(|(k, p, z, w, _)| (k, p, z, w)).collect()
    }
}

fn owned(outcome: Outcome<'_>) -> Outcome<'static> {
    match outcome {
        Outcome::Created(path) => Outcome::Created(path.into_owned().into()),
        Outcome::CreatedWithStat(path, stat) => Outcome::CreatedWithStat(path.into_owned().into(), stat),
        Outcome::Done(op) => Outcome::Done(op),
        Outcome::Changed(op, stat) => Outcome::Changed(op, stat),
        Outcome::Reconfigured(text, stat) => Outcome::Reconfigured(text.into_owned().into(), stat),
        Outcome::Failed(code) => Outcome::Failed(code),
        Outcome::Multi(parts) => Outcome::Multi(parts.into_iter().map(owned).collect()),
    }
}

/// Everything that two states can differ in, as text that shows where.
fn portrait(machine: &Machine) -> String {
    use super::TreeView;
    use std::fmt::Write;
    let mut ids: Vec<_> = machine.tree.subtree(super::tree::ROOT).collect();
    ids.sort_by_key(|id| machine.tree.path(*id));
    let mut text = String::new();
    for id in ids {
        let (path, tree) = (machine.tree.path(id), &machine.tree);
        let acl: &[AclEntry] = machine.acl_of(id);
        let rest = (tree.data(id), acl, tree.stat(id), tree.shown_stat(id).num_children);
        writeln!(text, "{path}: {rest:?}").unwrap();
    }
    writeln!(text, "sessions {:?}", machine.sessions()).unwrap();
    writeln!(text, "ephemerals {:?}", machine.ephemerals_by_session()).unwrap();
    let mut lists: Vec<_> = machine.acl_lists().into_iter().map(|(_, list)| list).collect();
    lists.sort();
    writeln!(text, "lists {lists:?}").unwrap();
    let candidates = (machine.container_candidates(i64::MAX, 1), machine.ttl_candidates(i64::MAX));
    let (mut containers, mut ttls) = candidates;
    containers.sort();
    ttls.sort();
    writeln!(text, "may go {containers:?} {ttls:?}").unwrap();
    let g = machine.gauges();
    writeln!(text, "{:?}", (g.znode_count, g.approximate_data_size, g.ephemerals_count, g.digest)).unwrap();
    text
}
