//! Requests, with reads and writes as different types: a read cannot reach `prep`, and a write cannot be
//! answered from the tree.
//!
//! Everything borrows from the frame. What must outlive it keeps the frame's bytes and parses them again.

use jute::records::proto::{
    AddWatchRequest, AuthPacket, CheckVersionRequest, CreateRequest, CreateTtlRequest, DeleteRequest,
    GetSaslRequest, PathRequest, ReconfigRequest, RequestHeader, SetAclRequest, SetDataRequest, SetWatches,
    SetWatches2, WatchRequest, WatcherTypeRequest,
};
use jute::{DecodeError, ErrorCode, OpCode, Reader, Record};

use super::multi::{self, NoMulti, ReadOp, WriteOp};

/// A request with its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// Echoed by the reply.
    pub xid: i32,
    /// The operation's number as it came.
    pub op: i32,
    /// What is asked, or why it cannot be.
    pub request: Result<Request<'a>, Refusal>,
}

/// Why a frame with a sound header is no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The operation is unknown, or not one that clients may ask for: answered with Unimplemented and a
    /// zxid of -1, then the connection is closed.
    Unknown,
    /// The body is no record of that operation: answered with MarshallingError.
    Malformed,
    /// A multiRead made of writes: the same, with the end of a result list behind it.
    WritesInMultiRead,
    /// The body of an auth or sasl packet is broken: the connection is closed without an answer.
    Close,
}

/// What a client may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request<'a> {
    /// Answered from this server's state.
    Read(ReadRequest<'a>),
    /// Goes through the order.
    Write(WriteRequest<'a>),
    /// Wait for everything the leader has committed so far.
    Sync(PathRequest<'a>),
    /// End the session; goes through the order.
    CloseSession,
    /// Add an identity; answered at once, out of order.
    Auth(AuthPacket<'a>),
    /// One step of SASL; answered at once, out of order.
    Sasl(GetSaslRequest<'a>),
}

/// Requests that the connected server answers, in the session's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadRequest<'a> {
    /// ping
    Ping,
    /// exists
    Exists(WatchRequest<'a>),
    /// getData
    GetData(WatchRequest<'a>),
    /// getACL
    GetAcl(PathRequest<'a>),
    /// getChildren
    GetChildren(WatchRequest<'a>),
    /// getChildren2
    GetChildren2(WatchRequest<'a>),
    /// getAllChildrenNumber
    GetAllChildrenNumber(PathRequest<'a>),
    /// getEphemerals
    GetEphemerals(PathRequest<'a>),
    /// multiRead
    MultiRead(Vec<ReadOp<'a>>),
    /// setWatches and setWatches2; the former has no persistent lists.
    SetWatches(SetWatches2<'a>),
    /// addWatch
    AddWatch(AddWatchRequest<'a>),
    /// checkWatches
    CheckWatches(WatcherTypeRequest<'a>),
    /// removeWatches
    RemoveWatches(WatcherTypeRequest<'a>),
    /// whoAmI
    WhoAmI,
}

/// Requests that change the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteRequest<'a> {
    /// create, create2 or createContainer: the operation decides, the flags add to it.
    Create(OpCode, CreateRequest<'a>),
    /// createTTL
    CreateTtl(CreateTtlRequest<'a>),
    /// delete
    Delete(DeleteRequest<'a>),
    /// setData
    SetData(SetDataRequest<'a>),
    /// setACL
    SetAcl(SetAclRequest<'a>),
    /// check: inside a multi only.
    Check(CheckVersionRequest<'a>),
    /// reconfig
    Reconfig(ReconfigRequest<'a>),
    /// multi
    Multi(Vec<WriteOp<'a>>),
    /// A multi that is none: it is ordered as an error, as in the reference.
    MalformedMulti,
}

/// Reads a frame behind the handshake. An error means that not even the header is there: close.
pub fn parse(frame: &[u8]) -> Result<Envelope<'_>, DecodeError> {
    let mut r = Reader::new(frame);
    let RequestHeader { xid, op } = RequestHeader::read(&mut r)?;
    Ok(Envelope { xid, op, request: body(op, r) })
}

/// Reads the body of a request whose header came in another form, as learners pass it on.
///
/// # Errors
/// Why it is no request.
pub fn parse_body(op: i32, bytes: &[u8]) -> Result<Request<'_>, Refusal> {
    body(op, Reader::new(bytes))
}

fn body(op: i32, mut r: Reader<'_>) -> Result<Request<'_>, Refusal> {
    use ReadRequest as R;
    use WriteRequest as W;
    let op = OpCode::from_code(op).ok_or(Refusal::Unknown)?;
    fn rec<'a, T: Record<'a>>(r: &mut Reader<'a>) -> Result<T, Refusal> {
        T::read(r).map_err(|_| Refusal::Malformed)
    }
    Ok(match op {
        OpCode::Ping => Request::Read(R::Ping),
        OpCode::GetData => Request::Read(R::GetData(rec(&mut r)?)),
        OpCode::Exists => Request::Read(R::Exists(rec(&mut r)?)),
        OpCode::GetChildren => Request::Read(R::GetChildren(rec(&mut r)?)),
        OpCode::GetChildren2 => Request::Read(R::GetChildren2(rec(&mut r)?)),
        OpCode::GetAcl => Request::Read(R::GetAcl(rec(&mut r)?)),
        OpCode::GetAllChildrenNumber => Request::Read(R::GetAllChildrenNumber(rec(&mut r)?)),
        OpCode::GetEphemerals => Request::Read(R::GetEphemerals(rec(&mut r)?)),
        OpCode::MultiRead => {
            let ops = multi::read_ops(&mut r.clone());
            let mut writes = || multi::write_ops(&mut r).is_ok_and(|ops| !ops.is_empty());
            Request::Read(R::MultiRead(
                ops.map_err(|_| if writes() { Refusal::WritesInMultiRead } else { Refusal::Malformed })?,
            ))
        }
        OpCode::SetWatches => {
            let s: SetWatches<'_> = rec(&mut r)?;
            Request::Read(R::SetWatches(SetWatches2 {
                relative_zxid: s.relative_zxid,
                data: s.data,
                exist: s.exist,
                child: s.child,
                persistent: Some(Vec::new()),
                persistent_recursive: Some(Vec::new()),
            }))
        }
        OpCode::SetWatches2 => Request::Read(R::SetWatches(rec(&mut r)?)),
        OpCode::AddWatch => Request::Read(R::AddWatch(rec(&mut r)?)),
        OpCode::CheckWatches => Request::Read(R::CheckWatches(rec(&mut r)?)),
        OpCode::RemoveWatches => Request::Read(R::RemoveWatches(rec(&mut r)?)),
        OpCode::WhoAmI => Request::Read(R::WhoAmI),
        OpCode::Create | OpCode::Create2 | OpCode::CreateContainer => {
            Request::Write(W::Create(op, rec(&mut r)?))
        }
        OpCode::CreateTtl => Request::Write(W::CreateTtl(rec(&mut r)?)),
        OpCode::Delete => Request::Write(W::Delete(rec(&mut r)?)),
        OpCode::SetData => Request::Write(W::SetData(rec(&mut r)?)),
        OpCode::SetAcl => Request::Write(W::SetAcl(rec(&mut r)?)),
        OpCode::Reconfig => Request::Write(W::Reconfig(rec(&mut r)?)),
        OpCode::Multi => Request::Write(match multi::write_ops(&mut r) {
            Ok(ops) => W::Multi(ops),
            Err(NoMulti::Layout) => W::MalformedMulti,
            Err(NoMulti::Null) => return Err(Refusal::Malformed),
        }),
        OpCode::Sync => Request::Sync(rec(&mut r)?),
        OpCode::CloseSession => Request::CloseSession,
        OpCode::Auth => Request::Auth(AuthPacket::read(&mut r).map_err(|_| Refusal::Close)?),
        OpCode::Sasl => Request::Sasl(GetSaslRequest::read(&mut r).map_err(|_| Refusal::Close)?),
        OpCode::Notification
        | OpCode::Check
        | OpCode::Error
        | OpCode::CreateSession
        | OpCode::DeleteContainer => return Err(Refusal::Unknown),
    })
}

/// The error that a refusal is answered with, where it is answered.
impl Refusal {
    /// The code of the reply header.
    #[must_use]
    pub fn code(self) -> ErrorCode {
        match self {
            Self::Unknown => ErrorCode::Unimplemented,
            Self::Malformed | Self::WritesInMultiRead | Self::Close => ErrorCode::MarshallingError,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sheet_s_vectors() {
        let frame = [0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 2, b'/', b'b', 1];
        let e = parse(&frame).unwrap();
        assert_eq!(e.xid, 2);
        let want = WatchRequest { path: Some("/b".into()), watch: true };
        assert_eq!(e.request, Ok(Request::Read(ReadRequest::Exists(want))));
    }

    #[test]
    fn what_is_no_request() {
        assert!(parse(&[0, 0, 0, 1]).is_err(), "no header");
        for op in [0, 10, 13, 20, -1, -10, 77] {
            let mut f = vec![0, 0, 0, 1];
            f.extend_from_slice(&i32::to_be_bytes(op));
            assert_eq!(parse(&f).unwrap().request, Err(Refusal::Unknown), "{op}");
        }
        let short = [0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 9];
        assert_eq!(parse(&short).unwrap().request, Err(Refusal::Malformed));
        let auth = [0, 0, 0, 1, 0, 0, 0, 100, 0];
        assert_eq!(parse(&auth).unwrap().request, Err(Refusal::Close));
    }
}
