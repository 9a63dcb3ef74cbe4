//! The layout of multi and multiRead: a header in front of each operation, a header with `done` at the end
//! (`MultiOperationRecord`). Iteration stops at the first `done`; what follows is ignored.

use jute::records::proto::{
    CheckVersionRequest, CreateRequest, CreateTtlRequest, DeleteRequest, MultiHeader, SetDataRequest,
    WatchRequest,
};
use jute::{CreateMode, DecodeError, OpCode, Reader, Record};

/// One operation of a multi.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteOp<'a> {
    /// create, create2, createContainer
    Create(OpCode, CreateRequest<'a>),
    /// createTTL
    CreateTtl(CreateTtlRequest<'a>),
    /// delete
    Delete(DeleteRequest<'a>),
    /// setData
    SetData(SetDataRequest<'a>),
    /// check
    Check(CheckVersionRequest<'a>),
}

/// One operation of a multiRead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadOp<'a> {
    /// getData; its watch flag is ignored.
    GetData(WatchRequest<'a>),
    /// getChildren; its watch flag is ignored.
    GetChildren(WatchRequest<'a>),
}

/// Why a multi is none. All are answered alike, but not all take a zxid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoMulti {
    /// The layout is broken. The reference orders an error for it.
    Layout,
    /// A value is missing that must be there. The reference fails before it takes a zxid.
    Null,
}

impl From<DecodeError> for NoMulti {
    fn from(_: DecodeError) -> Self {
        Self::Layout
    }
}

fn next_op(r: &mut Reader<'_>) -> Result<Option<OpCode>, NoMulti> {
    let header = MultiHeader::read(r)?;
    if header.done {
        return Ok(None);
    }
    OpCode::from_code(header.op).map(Some).ok_or(NoMulti::Layout)
}

/// The operation that a create inside a multi becomes: a container's flag makes it one.
fn by_mode(op: OpCode, mode: CreateMode) -> OpCode {
    if mode == CreateMode::Container { OpCode::CreateContainer } else { op }
}

/// The operations of a multi. The reference builds client-side operations from them, which turns down bad
/// flags, null access lists and null paths here, and changes the operation where flag and operation differ.
pub(super) fn write_ops<'a>(r: &mut Reader<'a>) -> Result<Vec<WriteOp<'a>>, NoMulti> {
    let mut ops = Vec::new();
    while let Some(op) = next_op(r)? {
        ops.push(match op {
            OpCode::Create | OpCode::Create2 | OpCode::CreateContainer => {
                let request = CreateRequest::read(r)?;
                let mode = CreateMode::from_code(request.flags).ok_or(NoMulti::Layout)?;
                if request.acl.is_none() {
                    return Err(NoMulti::Null);
                }
                if mode.is_ttl() {
                    return Err(NoMulti::Layout);
                }
                WriteOp::Create(by_mode(op, mode), request)
            }
            OpCode::CreateTtl => {
                let request = CreateTtlRequest::read(r)?;
                match CreateMode::from_code(request.flags).filter(|mode| !mode.is_ttl()) {
                    None => WriteOp::CreateTtl(request),
                    Some(mode) => {
                        let CreateTtlRequest { path, data, acl, flags, .. } = request;
                        let op = by_mode(OpCode::Create, mode);
                        WriteOp::Create(op, CreateRequest { path, data, acl, flags })
                    }
                }
            }
            OpCode::Delete => WriteOp::Delete(DeleteRequest::read(r)?),
            OpCode::SetData => WriteOp::SetData(SetDataRequest::read(r)?),
            OpCode::Check => WriteOp::Check(CheckVersionRequest::read(r)?),
            _ => return Err(NoMulti::Layout),
        });
    }
    Ok(ops)
}

/// The operations of a multiRead.
pub(super) fn read_ops<'a>(r: &mut Reader<'a>) -> Result<Vec<ReadOp<'a>>, NoMulti> {
    let mut ops = Vec::new();
    while let Some(op) = next_op(r)? {
        ops.push(match op {
            OpCode::GetData => ReadOp::GetData(WatchRequest::read(r)?),
            OpCode::GetChildren => ReadOp::GetChildren(WatchRequest::read(r)?),
            _ => return Err(NoMulti::Layout),
        });
    }
    Ok(ops)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(op: i32, done: bool) -> Vec<u8> {
        jute::encode(&MultiHeader { op, done, err: -1 })
    }

    #[test]
    fn an_empty_multi_is_legal() {
        let bytes = header(-1, true);
        assert_eq!(write_ops(&mut Reader::new(&bytes)), Ok(vec![]));
    }

    #[test]
    fn no_end_no_multi() {
        let mut bytes = header(2, false);
        DeleteRequest { path: Some("/a".into()), version: -1 }.write(&mut bytes);
        assert_eq!(write_ops(&mut Reader::new(&bytes)), Err(NoMulti::Layout));
        bytes.extend(header(-1, true));
        assert_eq!(write_ops(&mut Reader::new(&bytes)).map(|v| v.len()), Ok(1));
    }

    #[test]
    fn a_container_flag_makes_a_container() {
        let mut bytes = header(1, false);
        CreateRequest { path: Some("/a".into()), acl: Some(vec![]), flags: 4, ..Default::default() }
            .write(&mut bytes);
        bytes.extend(header(-1, true));
        let ops = write_ops(&mut Reader::new(&bytes)).unwrap();
        assert!(matches!(ops.as_slice(), [WriteOp::Create(OpCode::CreateContainer, _)]));
    }
}
