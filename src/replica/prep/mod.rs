//! Validation: from what a client asks to the transaction that all servers apply (`PrepRequestProcessor`).
//!
//! The order of the checks is the reference's, because it decides which error a client sees. Nothing here
//! touches the tree: accepted writes leave rows in `pending`, which later writes are validated against.
//!
//! Invariant: every call returns exactly one entry with the zxid it was given; a write that is turned down
//! becomes an error transaction.

mod ops;
mod pending;
mod rows;

use super::ReplicaSettings;
use super::session::{Tracker, Via};
use crate::auth::{Identity, Rules};
use crate::config::ensemble::Membership;
use crate::state::TreeView;
use crate::state::digest::DIGEST_VERSION;
use crate::state::quota::Overrun;
use crate::types::limits::MAX_BUFFER;
use crate::types::{Entry, Millis, Now, SessionId, Zxid};
use crate::wire::WriteRequest;
use crate::wire::multi::WriteOp;
use bytes::Bytes;
use jute::records::txn::{CloseSessionTxn, CreateSessionTxn, ErrorTxn, TxnDigest, TxnHeader};
use jute::{ErrorCode, OpCode, Record, writer};
use pending::Pending;
use std::borrow::Cow;
use std::sync::Arc;

/// Bytes of a transaction header, and where its operation stands in it.
const HEADER: usize = 32;
const HEADER_OP: usize = 28;

/// Bytes of the digest behind a transaction.
const DIGEST: usize = 12;

/// A closeSession that lists more than this lists nothing. No server reads transactions longer than
/// `jute.maxbuffer` and its extra size, neither from a peer nor from its own log, so one that is too long ends an
/// ensemble for good (ZOOKEEPER-4306). Without a list each server deletes what its tree has of the session, which is
/// the same everywhere; without a digest behind it the reference sees that nothing is listed
/// (`SerializeUtils.deserializeTxn`).
const LONGEST_CLOSE: usize = MAX_BUFFER;

/// Why a write does not become what it asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It is not allowed or does not fit; inside a multi the part fails.
    Refused(ErrorCode),
    /// It is no request at all (nulls where values must be); inside a multi the whole fails.
    Broken,
}

impl From<ErrorCode> for Fault {
    fn from(code: ErrorCode) -> Self {
        if code == ErrorCode::MarshallingError { Self::Broken } else { Self::Refused(code) }
    }
}

/// A write, and whose it is.
#[derive(Debug)]
pub struct Ask<'a> {
    /// The session it belongs to.
    pub session: SessionId,
    /// Its number among the session's.
    pub cxid: i32,
    /// Who asks.
    pub ids: &'a [Identity],
    /// The server it came through.
    pub via: Via,
    /// What it asks.
    pub request: WriteRequest<'a>,
}

/// One write being validated.
struct Case<'a, T> {
    now: Now,
    zxid: Zxid,
    session: SessionId,
    via: Via,
    ids: &'a [Identity],
    sessions: &'a Tracker,
    tree: &'a T,
}

impl<T> Case<'_, T> {
    fn check_session(&self, for_ephemeral: bool) -> Result<(), Fault> {
        self.sessions
            .check(self.session, self.via, for_ephemeral)
            .map_err(|fault| Fault::Refused(fault.code(for_ephemeral)))
    }
}

/// Validation and what it has accepted so far.
#[derive(Debug)]
pub struct Prep {
    settings: ReplicaSettings,
    rules: Rules,
    pending: Pending,
    /// Limits that the last write passed; at most two for each of its parts.
    overruns: Vec<Overrun>,
}

impl Prep {
    /// Starts over a tree with this digest.
    #[must_use]
    pub fn new(settings: ReplicaSettings, rules: Rules, digest: Option<u64>) -> Self {
        let digest = digest.filter(|_| settings.digest);
        let pending = Pending::new(digest, settings.hash_seed);
        Self { settings, rules, pending, overruns: Vec::new() }
    }

    /// The tree has everything up to `zxid`.
    pub fn applied(&mut self, zxid: Zxid) {
        self.pending.applied(zxid);
    }

    /// Limits that the last write passed.
    pub fn take_overruns(&mut self) -> Vec<Overrun> {
        std::mem::take(&mut self.overruns)
    }

    /// Rows laid over the tree.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    fn begin(now: Now, zxid: Zxid, session: SessionId, cxid: i32, op: OpCode, room: usize) -> Vec<u8> {
        let mut payload = Vec::with_capacity(HEADER + room + 12);
        let header = TxnHeader { client_id: session.0, cxid, zxid: zxid.0, time: now.wall, op: op.code() };
        header.write(&mut payload);
        payload
    }

    /// May a transaction be this long, with its digest? A write becomes longer than its request: an access list is
    /// filled in, a sequence number is appended, bytes that are no UTF-8 become three each. One that nobody could read
    /// is refused, here and not on disk.
    fn fits(&self, len: usize) -> Result<(), Fault> {
        if len.saturating_add(DIGEST) <= self.settings.longest_txn { Ok(()) } else { Err(Fault::Broken) }
    }

    /// Puts the digest behind the body and closes the entry.
    fn finish(&self, zxid: Zxid, mut payload: Vec<u8>) -> Entry {
        if let Some(digest) = self.pending.digest {
            TxnDigest { version: DIGEST_VERSION, tree_digest: digest.cast_signed() }.write(&mut payload);
        }
        Entry { zxid, payload: Bytes::from(payload) }
    }

    /// Makes the entry an error; errors carry no digest.
    fn fail(zxid: Zxid, mut payload: Vec<u8>, code: ErrorCode) -> Entry {
        payload.truncate(HEADER_OP);
        writer::i32(&mut payload, OpCode::Error.code());
        ErrorTxn { err: code.code() }.write(&mut payload);
        Entry { zxid, payload: Bytes::from(payload) }
    }

    /// A session begins.
    pub(super) fn create_session(&self, now: Now, zxid: Zxid, session: SessionId, timeout: Millis) -> Entry {
        let mut payload = Self::begin(now, zxid, session, 0, OpCode::CreateSession, 4);
        CreateSessionTxn { time_out: i32::try_from(timeout.0).unwrap_or(i32::MAX) }.write(&mut payload);
        self.finish(zxid, payload)
    }

    /// A session ends, and its ephemeral nodes with it: those of the tree, and those still pending.
    pub(super) fn close_session(
        &mut self,
        now: Now,
        zxid: Zxid,
        session: SessionId,
        cxid: i32,
        tree: &impl TreeView,
    ) -> Entry {
        let paths = self.pending.ephemerals(session, tree);
        for path in &paths {
            ops::remove(&mut self.pending, zxid, path, tree);
        }
        let mut payload = Self::begin(now, zxid, session, cxid, OpCode::CloseSession, 16);
        if self.settings.close_session_txn {
            let listed = paths.iter().map(|p| Some(Cow::Borrowed(&**p))).collect();
            CloseSessionTxn { paths_to_delete: Some(listed) }.write(&mut payload);
            if payload.len() > LONGEST_CLOSE || self.fits(payload.len()).is_err() {
                payload.truncate(HEADER);
                return Entry { zxid, payload: Bytes::from(payload) };
            }
        }
        self.finish(zxid, payload)
    }

    /// A request that is turned down before it is looked into.
    pub(super) fn refuse(now: Now, zxid: Zxid, session: SessionId, cxid: i32, code: ErrorCode) -> Entry {
        Self::fail(zxid, Self::begin(now, zxid, session, cxid, OpCode::Error, 4), code)
    }

    /// A container without children or a TTL node past its time goes, unless somebody was faster. Nobody asks for
    /// it: no session and no number, unless a learner passed it on.
    pub(super) fn delete_container(
        &mut self,
        now: Now,
        zxid: Zxid,
        (session, cxid): (SessionId, i32),
        path: &str,
        tree: &impl TreeView,
    ) -> Entry {
        let mut payload = Self::begin(now, zxid, session, cxid, OpCode::DeleteContainer, path.len() + 4);
        match ops::delete_container(&mut self.pending, zxid, path, tree) {
            Ok(()) => {
                writer::text(&mut payload, Some(path));
                self.finish(zxid, payload)
            }
            Err(code) => Self::fail(zxid, payload, code),
        }
    }

    /// A client's write.
    pub(super) fn write(
        &mut self,
        now: Now,
        zxid: Zxid,
        write: &Ask<'_>,
        sessions: &Tracker,
        tree: &impl TreeView,
    ) -> Entry {
        let Ask { session, cxid, ids, via, .. } = *write;
        let case = Case { now, zxid, session, via, ids, sessions, tree };
        let begin = |op, room| Self::begin(now, zxid, write.session, cxid, op, room);
        let single = |prep: &mut Self, op: WriteOp<'_>, room: usize| {
            let mut payload = begin(op.code(), room);
            match prep.op(&case, &op, &mut payload) {
                Ok(()) => prep.finish(zxid, payload),
                Err(Fault::Refused(code)) => Self::fail(zxid, payload, code),
                Err(Fault::Broken) => Self::fail(zxid, payload, ErrorCode::MarshallingError),
            }
        };
        match &write.request {
            WriteRequest::Create(op, r) => {
                let room = room(r.data) + 96;
                single(self, WriteOp::Create(*op, r.clone()), room)
            }
            WriteRequest::CreateTtl(r) => {
                let room = room(r.data) + 96;
                single(self, WriteOp::CreateTtl(r.clone()), room)
            }
            WriteRequest::Delete(r) => single(self, WriteOp::Delete(r.clone()), 64),
            WriteRequest::SetData(r) => {
                let room = room(r.data) + 64;
                single(self, WriteOp::SetData(r.clone()), room)
            }
            WriteRequest::Check(r) => single(self, WriteOp::Check(r.clone()), 64),
            WriteRequest::SetAcl(r) => {
                let mut payload = begin(OpCode::SetAcl, 96);
                match self.set_acl(&case, r, &mut payload) {
                    Ok(()) => self.finish(zxid, payload),
                    Err(Fault::Refused(code)) => Self::fail(zxid, payload, code),
                    Err(Fault::Broken) => Self::fail(zxid, payload, ErrorCode::MarshallingError),
                }
            }
            WriteRequest::Reconfig(_) => {
                let code = self.refuse_reconfig(&case);
                Self::fail(zxid, begin(OpCode::Reconfig, 4), code)
            }
            WriteRequest::Multi(parts) => {
                let payload = begin(OpCode::Multi, 128 * parts.len());
                self.multi(&case, parts, payload)
            }
            WriteRequest::MalformedMulti => {
                Self::fail(zxid, begin(OpCode::Multi, 4), ErrorCode::MarshallingError)
            }
        }
    }

    /// Another membership, which `next` makes of the request where that is possible. Its version is the zxid.
    pub(super) fn reconfig<T: TreeView>(
        &mut self,
        now: Now,
        zxid: Zxid,
        write: &Ask<'_>,
        next: impl FnOnce() -> Result<Arc<Membership>, ErrorCode>,
        sessions: &Tracker,
        tree: &T,
    ) -> (Entry, Option<Arc<Membership>>) {
        let Ask { session, cxid, ids, via, .. } = *write;
        let case = Case { now, zxid, session, via, ids, sessions, tree };
        let mut payload = Self::begin(now, zxid, session, cxid, OpCode::Reconfig, 512);
        match self.reconfigured(&case, next, &mut payload) {
            Ok(membership) => (self.finish(zxid, payload), Some(membership)),
            Err(Fault::Refused(code)) => (Self::fail(zxid, payload, code), None),
            Err(Fault::Broken) => (Self::fail(zxid, payload, ErrorCode::MarshallingError), None),
        }
    }

    fn reconfigured<T: TreeView>(
        &mut self,
        case: &Case<'_, T>,
        next: impl FnOnce() -> Result<Arc<Membership>, ErrorCode>,
        out: &mut Vec<u8>,
    ) -> Result<Arc<Membership>, Fault> {
        if !self.settings.reconfig_enabled {
            return Err(Fault::Refused(ErrorCode::ReconfigDisabled));
        }
        case.check_session(false)?;
        let next = next()?;
        self.set_config(case, next.text().as_bytes(), out)?;
        Ok(next)
    }

    /// Membership cannot change here: switched off, or there is no ensemble.
    fn refuse_reconfig<T>(&self, case: &Case<'_, T>) -> ErrorCode {
        if !self.settings.reconfig_enabled {
            return ErrorCode::ReconfigDisabled;
        }
        match case.check_session(false) {
            Err(Fault::Refused(code)) => code,
            _ => ErrorCode::Unimplemented,
        }
    }

    /// All of the parts, or none: a failing part takes back what the earlier ones left in the overlay, counters
    /// included. The parts are written either way, as the reference logs them.
    fn multi<T: TreeView>(
        &mut self,
        case: &Case<'_, T>,
        parts: &[WriteOp<'_>],
        mut payload: Vec<u8>,
    ) -> Entry {
        if parts.iter().any(|part| part.path().is_none()) {
            return Self::fail(case.zxid, payload, ErrorCode::MarshallingError);
        }
        self.pending.begin_multi();
        let mut failed = false;
        writer::count(&mut payload, Some(parts.len()));
        for part in parts {
            let start = payload.len();
            writer::i32(&mut payload, part.code().code());
            let body = writer::begin_frame(&mut payload);
            let result = if failed {
                Err(Fault::Refused(ErrorCode::RuntimeInconsistency))
            } else {
                self.op(case, part, &mut payload).and_then(|()| self.fits(payload.len()))
            };
            match result {
                Ok(()) => writer::end_frame(&mut payload, body),
                Err(fault) => {
                    self.pending.roll_back();
                    let Fault::Refused(code) = fault else {
                        return Self::fail(case.zxid, payload, ErrorCode::MarshallingError);
                    };
                    failed = true;
                    payload.truncate(start);
                    writer::i32(&mut payload, OpCode::Error.code());
                    writer::buffer(&mut payload, Some(&code.code().to_be_bytes()));
                }
            }
        }
        if self.fits(payload.len()).is_err() {
            // What failed has left nothing behind, but is written at the length of what came before.
            return Self::fail(case.zxid, payload, ErrorCode::MarshallingError);
        }
        self.pending.keep_multi();
        self.finish(case.zxid, payload)
    }
}

fn room(data: Option<&[u8]>) -> usize {
    data.map_or(0, <[u8]>::len)
}

#[cfg(test)]
mod tests;
