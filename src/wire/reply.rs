//! Replies, written straight into a connection's outbox: header first, body behind it, the frame's length
//! last. An error has no body, so what was written of one is taken back.

use jute::records::data::Stat;
use jute::records::proto::{
    ErrorResponse, GetDataResponse, MultiHeader, PathResponse, ReplyHeader, StatResponse, WatcherEvent,
};
use jute::{ErrorCode, EventType, KeeperState, OpCode, Record, codes::xid, writer};
use std::borrow::Cow;

/// What an applied transaction did, as far as its client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// create: the path.
    Created(Cow<'a, str>),
    /// create2, createContainer, createTTL: path and stat.
    CreatedWithStat(Cow<'a, str>, Stat),
    /// delete, check and the like: nothing.
    Done(OpCode),
    /// setData, setACL: the stat.
    Changed(OpCode, Stat),
    /// reconfig: the new text and stat.
    Reconfigured(Cow<'a, [u8]>, Stat),
    /// It was turned down.
    Failed(ErrorCode),
    /// multi: one for each operation. If one failed, all of them are `Failed`, with Ok before it and
    /// RuntimeInconsistency behind it.
    Multi(Vec<Self>),
}

impl Outcome<'_> {
    /// The error of the reply header; a failed multi has none there.
    #[must_use]
    pub fn header_error(&self) -> ErrorCode {
        match self {
            Self::Failed(code) => *code,
            _ => ErrorCode::Ok,
        }
    }

    /// Appends the body.
    pub fn write_body(&self, out: &mut Vec<u8>) {
        match self {
            Self::Created(path) => PathResponse { path: Some(Cow::Borrowed(path)) }.write(out),
            Self::CreatedWithStat(path, stat) => {
                writer::text(out, Some(path));
                stat.write(out);
            }
            Self::Done(_) | Self::Failed(_) => {}
            Self::Changed(_, stat) => StatResponse { stat: stat.clone() }.write(out),
            Self::Reconfigured(data, stat) => {
                GetDataResponse { data: Some(data), stat: stat.clone() }.write(out);
            }
            Self::Multi(parts) => {
                for part in parts {
                    part.write_multi_part(out);
                }
                MultiHeader { op: -1, done: true, err: -1 }.write(out);
            }
        }
    }

    fn write_multi_part(&self, out: &mut Vec<u8>) {
        let header = |op: OpCode| MultiHeader { op: op.code(), done: false, err: 0 };
        match self {
            Self::Failed(code) => write_multi_error(out, *code),
            Self::Created(_) => header(OpCode::Create).write(out),
            Self::CreatedWithStat(..) => header(OpCode::Create2).write(out),
            Self::Done(op) | Self::Changed(op, _) => header(*op).write(out),
            Self::Reconfigured(..) => header(OpCode::Reconfig).write(out),
            Self::Multi(_) => header(OpCode::Multi).write(out),
        }
        self.write_body(out);
    }
}

/// Appends the result of a failed operation inside a multi or multiRead.
pub fn write_multi_error(out: &mut Vec<u8>, code: ErrorCode) {
    MultiHeader { op: OpCode::Error.code(), done: false, err: code.code() }.write(out);
    ErrorResponse { err: code.code() }.write(out);
}

/// One reply being written.
#[derive(Debug)]
pub struct ReplyWriter {
    mark: usize,
}

/// Bytes of a reply header behind the frame's length.
const HEADER: usize = 16;

impl ReplyWriter {
    /// Starts a frame with an errorless header.
    #[must_use]
    pub fn begin(out: &mut Vec<u8>, xid: i32, zxid: i64) -> Self {
        let mark = writer::begin_frame(out);
        ReplyHeader { xid, zxid, err: 0 }.write(out);
        Self { mark }
    }

    /// Ends it. With an error the body goes away.
    pub fn finish(self, out: &mut Vec<u8>, error: ErrorCode) {
        if error != ErrorCode::Ok {
            out.truncate(self.mark + 4 + HEADER - 4);
            writer::i32(out, error.code());
        }
        writer::end_frame(out, self.mark);
    }
}

impl ReplyWriter {
    /// Ends it and keeps the body, also behind an error: a multiRead that breaks off shows what it has.
    pub fn finish_with_body(self, out: &mut [u8], error: ErrorCode) {
        if let Some(slot) = out.get_mut(self.mark + HEADER..self.mark + HEADER + 4) {
            slot.copy_from_slice(&error.code().to_be_bytes());
        }
        writer::end_frame(out, self.mark);
    }
}

/// Appends a whole reply without a body.
pub fn bare(out: &mut Vec<u8>, xid: i32, zxid: i64, error: ErrorCode) {
    ReplyWriter::begin(out, xid, zxid).finish(out, error);
}

/// Appends the reply to a multiRead made of writes: an error with an empty result list behind it.
pub fn writes_in_multi_read(out: &mut Vec<u8>, xid: i32, zxid: i64) {
    let mark = writer::begin_frame(out);
    ReplyHeader { xid, zxid, err: ErrorCode::MarshallingError.code() }.write(out);
    MultiHeader { op: -1, done: true, err: -1 }.write(out);
    writer::end_frame(out, mark);
}

/// Appends the reply to a write.
pub fn outcome(out: &mut Vec<u8>, xid: i32, zxid: i64, outcome: &Outcome<'_>) {
    let reply = ReplyWriter::begin(out, xid, zxid);
    outcome.write_body(out);
    reply.finish(out, outcome.header_error());
}

/// Appends a notification.
pub fn event(out: &mut Vec<u8>, zxid: i64, kind: EventType, path: &str) {
    let reply = ReplyWriter::begin(out, xid::NOTIFICATION, zxid);
    WatcherEvent {
        kind: kind.code(),
        state: KeeperState::SyncConnected.code(),
        path: Some(Cow::Borrowed(path)),
    }
    .write(out);
    reply.finish(out, ErrorCode::Ok);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn the_sheet_s_vectors() {
        let mut out = Vec::new();
        outcome(&mut out, 1, 2, &Outcome::Created("/a".into()));
        assert_eq!(hex(&out), "0000001600000001000000000000000200000000000000022f61");
        out.clear();
        bare(&mut out, 2, 2, ErrorCode::NoNode);
        assert_eq!(hex(&out), "00000010000000020000000000000002ffffff9b");
        out.clear();
        event(&mut out, 3, EventType::NodeCreated, "/b");
        assert_eq!(hex(&out), "0000001effffffff0000000000000003000000000000000100000003000000022f62");
    }

    #[test]
    fn a_failed_multi() {
        let mut out = Vec::new();
        let parts = vec![
            Outcome::Failed(ErrorCode::Ok),
            Outcome::Failed(ErrorCode::BadVersion),
            Outcome::Failed(ErrorCode::RuntimeInconsistency),
        ];
        outcome(&mut out, 4, 5, &Outcome::Multi(parts));
        assert_eq!(
            hex(&out),
            "0000004000000004000000000000000500000000ffffffff000000000000000000ffffffff00ffffff99ffffff99\
             ffffffff00fffffffefffffffeffffffff01ffffffff"
        );
    }
}
