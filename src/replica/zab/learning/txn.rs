//! What a learner reads in a transaction that passes through: whose it is, and which membership it brings.
//!
//! Everything else in a payload is the tree's. Invariant: bytes that are no transaction give `None`, never a panic.

use crate::config::ensemble::Membership;
use crate::replica::zab::member;
use crate::types::{Entry, SessionId};
use jute::records::txn::{SetDataTxn, TxnHeader};
use jute::{OpCode, Reader, Record};
use std::sync::Arc;

/// The request that a transaction came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) session: SessionId,
    pub(super) cxid: i32,
    pub(super) op: i32,
}

pub(super) fn source(entry: &Entry) -> Option<Source> {
    let header = TxnHeader::read(&mut Reader::new(&entry.payload)).ok()?;
    Some(Source { session: SessionId(header.client_id), cxid: header.cxid, op: header.op })
}

/// The membership that a reconfig transaction brings.
pub(super) fn membership(entry: &Entry, multi_address: bool) -> Option<Arc<Membership>> {
    let mut r = Reader::new(&entry.payload);
    let header = TxnHeader::read(&mut r).ok()?;
    if header.op != OpCode::Reconfig.code() {
        return None;
    }
    member::membership(SetDataTxn::read(&mut r).ok()?.data?, multi_address)
}
