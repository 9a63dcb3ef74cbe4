//! What a transaction does to the state. Live and recovery go the same way: the rules tolerate what a fuzzy
//! snapshot shows of the future, and in live order those cases do not come up (`DataTree.processTxn`).
//!
//! Invariant: a transaction that cannot be read changes nothing; one that can always moves the last zxid,
//! and only after the tree shows all of it.

use super::machine::Machine;
use super::tree::{NodeId, ROOT};
use super::txn::{Body, Create, DecodedTxn, TxnError};
use super::watch::{Table, WatcherId, Watches};
use crate::auth::AclEntry;
use crate::types::planted::{self, Bug};
use crate::types::{Committed, Entry, Millis, SessionId};
use crate::wire::Outcome;
use jute::records::data::{Acl, StatPersisted};
use jute::records::txn::TxnHeader;
use jute::{ErrorCode, EventType, OpCode, Text};
use std::borrow::Cow;
use std::sync::Arc;

/// What a committed transaction did.
#[derive(Debug)]
pub struct Applied<'e> {
    /// Who asked.
    pub session: SessionId,
    /// xid of the request.
    pub cxid: i32,
    /// Its place in the order.
    pub zxid: i64,
    /// The leader's wall clock.
    pub time: i64,
    /// Its type; `Error` for a write that was turned down.
    pub op: OpCode,
    /// What its client is told.
    pub outcome: Outcome<'e>,
    /// A session that began, with its timeout.
    pub opened_session: Option<(SessionId, Millis)>,
    /// A session that ended.
    pub closed_session: Option<SessionId>,
    /// False if it carried a digest that is not the tree's: worth a line in the log, nothing more.
    pub digest_agrees: bool,
}

/// An event, and who registered for it. Whether they may hear of it depends on `acl`: READ is wanted.
#[derive(Debug)]
pub struct Fired<'a> {
    /// What happened.
    pub kind: EventType,
    /// Where.
    pub path: &'a str,
    /// zxid of the transaction.
    pub zxid: i64,
    /// Access list of the node that the event is about.
    pub acl: &'a [AclEntry],
    /// Watchers, each once, in order of numbers.
    pub watchers: &'a [WatcherId],
}

/// Hears of what a transaction does, at once.
pub trait Witness {
    /// An event, with those who registered for it.
    fn fired(&mut self, fired: &Fired<'_>);

    /// A node was created, written or deleted; `data` is the length of what it holds now.
    fn wrote(&mut self, path: &str, data: usize) {
        let _ = (path, data);
    }
}

impl<F: FnMut(&Fired<'_>)> Witness for F {
    fn fired(&mut self, fired: &Fired<'_>) {
        self(fired);
    }
}

/// Who hears of changes: the watches, or in recovery nobody.
pub(super) struct Audience<'w> {
    to: Option<(&'w Watches, &'w mut dyn Witness)>,
    zxid: i64,
    /// Watchers of the last data look-up, and of the last child look-up.
    data: Vec<WatcherId>,
    child: Vec<WatcherId>,
}

impl<'w> Audience<'w> {
    pub(super) fn nobody(zxid: i64) -> Self {
        Self { to: None, zxid, data: Vec::new(), child: Vec::new() }
    }

    fn watching(zxid: i64, watches: &'w Watches, told: &'w mut dyn Witness) -> Self {
        Self { to: Some((watches, told)), zxid, data: Vec::new(), child: Vec::new() }
    }

    fn wrote(&mut self, path: &str, data: Option<&[u8]>) {
        if let Some((_, told)) = &mut self.to {
            told.wrote(path, data.map_or(0, <[u8]>::len));
        }
    }

    fn data(&mut self, kind: EventType, path: &str, acl: &[AclEntry]) {
        let Some((watches, told)) = &mut self.to else { return };
        watches.fire(Table::Data, path, &[], &mut self.data);
        if !self.data.is_empty() {
            told.fired(&Fired { kind, path, zxid: self.zxid, acl, watchers: &self.data });
        }
    }

    /// A look-up in the child table. The node's own deletion is not told to those who just heard of it.
    fn child(&mut self, kind: EventType, path: &str, acl: &[AclEntry]) {
        let Some((watches, told)) = &mut self.to else { return };
        let skip = if kind == EventType::NodeDeleted { self.data.as_slice() } else { &[] };
        watches.fire(Table::Child, path, skip, &mut self.child);
        if !self.child.is_empty() {
            told.fired(&Fired { kind, path, zxid: self.zxid, acl, watchers: &self.child });
        }
    }

    /// The parent's children changed. The root is watched as `/`.
    fn family(&mut self, parent: &str, acl: &[AclEntry]) {
        self.child(EventType::NodeChildrenChanged, if parent.is_empty() { "/" } else { parent }, acl);
    }
}

/// When: the order's and the leader's clock.
#[derive(Debug, Clone, Copy)]
struct Moment {
    zxid: i64,
    time: i64,
}

impl Machine {
    /// Applies a committed transaction. Every event is handed to `told` at once, in the reference's order; the
    /// caller puts it on its connections before it lets go of the state.
    pub fn apply<'e>(
        &mut self,
        entry: &'e Committed<Entry>,
        watches: &Watches,
        told: &mut dyn Witness,
    ) -> Result<Applied<'e>, TxnError> {
        let txn = DecodedTxn::parse(&entry.get().payload)?;
        let mut audience = Audience::watching(txn.header.zxid, watches, told);
        Ok(self.perform(txn, &mut audience))
    }

    /// Applies a transaction out of the log, which the tree may know already, in whole or in part.
    pub fn replay(&mut self, payload: &[u8]) -> Result<TxnHeader, TxnError> {
        let txn = DecodedTxn::parse(payload)?;
        let header = txn.header.clone();
        self.perform(txn, &mut Audience::nobody(header.zxid));
        Ok(header)
    }

    fn perform<'e>(&mut self, txn: DecodedTxn<'e>, audience: &mut Audience<'_>) -> Applied<'e> {
        let DecodedTxn { header: TxnHeader { client_id, cxid, zxid, time, .. }, body, digest } = txn;
        let (session, op) = (SessionId(client_id), body.op());
        let (mut opened_session, mut closed_session) = (None, None);
        match &body {
            Body::CreateSession(timeout) => {
                self.sessions.insert(session, *timeout);
                opened_session = Some((session, *timeout));
            }
            Body::CloseSession(paths) => {
                self.end_session(session, paths.as_deref(), audience);
                closed_session = Some(session);
            }
            _ => {}
        }
        let outcome = self.carry_out(Moment { zxid, time }, body, audience);
        self.last_zxid = self.last_zxid.max(zxid);
        let expected = digest.map(|d| (d.version, d.tree_digest));
        let digest_agrees = self.digest.as_mut().is_none_or(|digest| digest.record(zxid, expected));
        Applied { session, cxid, zxid, time, op, outcome, opened_session, closed_session, digest_agrees }
    }

    fn carry_out<'e>(&mut self, at: Moment, body: Body<'e>, audience: &mut Audience<'_>) -> Outcome<'e> {
        let op = body.op();
        let result = match body {
            Body::CreateSession(_) | Body::CloseSession(_) | Body::Check(..) => Ok(Outcome::Done(op)),
            Body::Error(code) => Err(code),
            Body::Create(create) => self.create(at, create, audience),
            Body::Delete(_, path) => self.delete(at.zxid, &path, audience).map(|()| Outcome::Done(op)),
            Body::SetData(_, path, data, version) => {
                self.set_data(at, &path, data, version, audience).map(|id| match op {
                    OpCode::Reconfig => {
                        Outcome::Reconfigured(Cow::Borrowed(data.unwrap_or_default()), self.shown_stat(id))
                    }
                    _ => Outcome::Changed(op, self.shown_stat(id)),
                })
            }
            Body::SetAcl(path, acl, version) => {
                self.set_acl(&path, &acl, version).map(|id| Outcome::Changed(op, self.shown_stat(id)))
            }
            Body::Multi(parts) => Ok(self.multi(at, parts, audience)),
        };
        result.unwrap_or_else(Outcome::Failed)
    }

    /// All or nothing: with one error inside, nothing is done, and each part is told its own lot.
    fn multi<'e>(&mut self, at: Moment, parts: Vec<Body<'e>>, audience: &mut Audience<'_>) -> Outcome<'e> {
        if !parts.iter().any(|part| matches!(part, Body::Error(_))) {
            return Outcome::Multi(
                parts.into_iter().map(|part| self.carry_out(at, part, audience)).collect(),
            );
        }
        if planted::is(Bug::PartialMulti) {
            for part in parts.iter().take_while(|part| !matches!(part, Body::Error(_))).cloned() {
                self.carry_out(at, part, audience);
            }
        }
        let mut failed = false;
        let lots = parts.iter().map(|part| match part {
            Body::Error(code) => {
                failed = true;
                Outcome::Failed(*code)
            }
            _ if failed => Outcome::Failed(ErrorCode::RuntimeInconsistency),
            _ => Outcome::Failed(ErrorCode::Ok),
        });
        Outcome::Multi(lots.collect())
    }

    fn create<'e>(
        &mut self,
        at: Moment,
        create: Create<'e>,
        audience: &mut Audience<'_>,
    ) -> Result<Outcome<'e>, ErrorCode> {
        let Create { op, path, data, acl, parent_cversion, owner } = create;
        let (parent_path, _) = path.rsplit_once('/').ok_or(ErrorCode::NoNode)?;
        let parent = self.tree.find(parent_path).ok_or(ErrorCode::NoNode)?;
        let acl = self.acls.intern(&acl);
        if let Some(id) = self.tree.find(&path) {
            // A fuzzy snapshot may name a list that its earlier table lacks: this one is the true one.
            self.acls.release(self.tree.acl(id));
            self.tree.set_acl(id, acl);
            if op == OpCode::Create {
                self.count_creation(at.zxid, parent, parent_path, parent_cversion);
            }
            return Err(ErrorCode::NodeExists);
        }
        self.count_creation(at.zxid, parent, parent_path, parent_cversion);
        let stat = StatPersisted {
            czxid: at.zxid,
            mzxid: at.zxid,
            ctime: at.time,
            mtime: at.time,
            ephemeral_owner: owner.pack(),
            pzxid: at.zxid,
            ..Default::default()
        };
        let id = self.tree.insert(parent, &path, data, acl, &stat);
        self.owners.add(id, stat.ephemeral_owner);
        let share = self.share(&path, id);
        self.digest_change(0, share);
        // The client is told the node as it was born, also where the books are written into it right after.
        let born = (op != OpCode::Create).then(|| self.shown_stat(id));
        self.quotas.created(&mut self.tree, &path, length(data));
        audience.wrote(&path, data);
        audience.data(EventType::NodeCreated, &path, self.acl_of(id));
        audience.family(parent_path, self.acl_of(parent));
        Ok(match born {
            None => Outcome::Created(path),
            Some(stat) => Outcome::CreatedWithStat(path, stat),
        })
    }

    /// The parent's counter and pzxid, which a repeated create only ever raises.
    fn count_creation(&mut self, zxid: i64, parent: NodeId, path: &str, cversion: i32) {
        self.restat(parent, path, |s| {
            let cversion = if cversion == -1 { s.cversion.wrapping_add(1) } else { cversion };
            if cversion > s.cversion {
                (s.cversion, s.pzxid) = (cversion, zxid);
            }
        });
    }

    fn delete(&mut self, zxid: i64, path: &str, audience: &mut Audience<'_>) -> Result<(), ErrorCode> {
        let (parent_path, _) = path.rsplit_once('/').ok_or(ErrorCode::NoNode)?;
        let parent = self.tree.find(parent_path).ok_or(ErrorCode::NoNode)?;
        self.restat(parent, parent_path, |s| s.pzxid = s.pzxid.max(zxid));
        let id = self.tree.find(path).filter(|id| *id != ROOT).ok_or(ErrorCode::NoNode)?;
        // Children here are out of the future of a fuzzy snapshot; replay will make them again.
        let early: Vec<NodeId> = self.tree.subtree(id).skip(1).collect();
        for child in early.into_iter().rev() {
            let path = self.tree.path(child);
            self.take_out(child, &path);
        }
        let acl = self.take_out(id, path);
        audience.wrote(path, None);
        audience.data(EventType::NodeDeleted, path, &acl);
        audience.child(EventType::NodeDeleted, path, &acl);
        audience.family(parent_path, self.acl_of(parent));
        Ok(())
    }

    /// Removes a childless node from everything that knows it; its list is still wanted for the events.
    fn take_out(&mut self, id: NodeId, path: &str) -> Arc<[AclEntry]> {
        let share = self.share(path, id);
        self.digest_change(share, 0);
        let (acl, bytes) = (self.tree.acl(id), length(self.tree.data(id)));
        let list = self.acls.get(acl).clone();
        self.owners.remove(id, self.tree.stat(id).ephemeral_owner);
        self.tree.remove(id, path);
        self.acls.release(acl);
        self.quotas.deleted(&mut self.tree, path, bytes);
        list
    }

    fn set_data(
        &mut self,
        at: Moment,
        path: &str,
        data: Option<&[u8]>,
        version: i32,
        audience: &mut Audience<'_>,
    ) -> Result<NodeId, ErrorCode> {
        let id = self.tree.find(path).ok_or(ErrorCode::NoNode)?;
        let grown = length(data) - length(self.tree.data(id));
        let before = self.share(path, id);
        self.tree.set_data(id, data);
        let mut stat = self.tree.stat(id);
        (stat.version, stat.mzxid, stat.mtime) = (version, at.zxid, at.time);
        self.tree.set_stat(id, &stat);
        let after = self.share(path, id);
        self.digest_change(before, after);
        self.quotas.changed(&mut self.tree, path, grown, 0);
        audience.wrote(path, data);
        audience.data(EventType::NodeDataChanged, path, self.acl_of(id));
        Ok(id)
    }

    fn set_acl(&mut self, path: &str, acl: &[Acl<'_>], version: i32) -> Result<NodeId, ErrorCode> {
        let id = self.tree.find(path).ok_or(ErrorCode::NoNode)?;
        let acl = self.acls.intern(acl);
        self.acls.release(self.tree.acl(id));
        self.tree.set_acl(id, acl);
        self.restat(id, path, |s| s.aversion = version);
        Ok(id)
    }

    /// Ends a session: the ephemerals that the transaction lists, then whatever else is known of it.
    pub(super) fn end_session(
        &mut self,
        session: SessionId,
        listed: Option<&[Text<'_>]>,
        audience: &mut Audience<'_>,
    ) {
        let zxid = audience.zxid;
        if planted::is(Bug::OrphanEphemeral) && zxid % 3 == 0 {
            self.sessions.remove(&session);
            return;
        }
        for path in listed.unwrap_or_default() {
            // A path that is gone already is nothing to report.
            _ = self.delete(zxid, path, audience);
        }
        // By path: in recovery one of them may be below another and go with it.
        for path in self.paths_of(self.owners.of(session).into_iter()) {
            _ = self.delete(zxid, &path, audience);
        }
        self.sessions.remove(&session);
    }
}

fn length(data: Option<&[u8]>) -> i64 {
    data.map_or(0, <[u8]>::len).cast_signed() as i64
}
