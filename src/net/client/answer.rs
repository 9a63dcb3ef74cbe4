//! The answer to one request that is no write.
//!
//! Invariant: it is written whole, or the connection is closed behind what was written.

use crate::state::{Caller, Machine, TreeView as _, Watches};
use crate::wire::{Envelope, Refusal, Request, reply};
use jute::{ErrorCode, Record as _};

/// Answers one request that is no write. True if the connection must be closed behind the answer.
///
/// Called with the shared lock held by the connection's own task, and with the exclusive lock by the apply
/// loop for requests that waited behind a write.
pub fn answer(
    machine: &Machine,
    watches: &Watches,
    caller: &Caller<'_>,
    request: &Envelope<'_>,
    out: &mut Vec<u8>,
) -> bool {
    let xid = request.xid;
    match &request.request {
        Ok(Request::Read(read)) => machine.answer(xid, read, caller, watches, out),
        Ok(Request::Sync(sync)) => {
            let reply = reply::ReplyWriter::begin(out, xid, machine.last_zxid().0);
            sync.write(out);
            reply.finish(out, ErrorCode::Ok);
        }
        Err(Refusal::Unknown) => {
            reply::bare(out, xid, -1, ErrorCode::Unimplemented);
            return true;
        }
        Err(Refusal::WritesInMultiRead) => reply::writes_in_multi_read(out, xid, machine.last_zxid().0),
        Err(refusal) => reply::bare(out, xid, machine.last_zxid().0, refusal.code()),
        Ok(Request::Write(_) | Request::CloseSession | Request::Auth(_) | Request::Sasl(_)) => {}
    }
    false
}
