//! Transactions as plain values, read from the bytes that logs and proposals share.

use jute::records::txn::{
    CheckVersionTxn, CloseSessionTxn, CreateContainerTxn, CreateSessionTxn, CreateTtlTxn, CreateTxn,
    DeleteTxn, ErrorTxn, MultiTxn, SetAclTxn, SetDataTxn, TxnHeader,
};
use jute::{OpCode, Reader, Record, Text};

/// One transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Txn {
    /// Its place.
    pub zxid: i64,
    /// Whose.
    pub session: i64,
    /// The number of the request.
    pub cxid: i32,
    /// What it does.
    pub change: Change,
}

/// What a transaction does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A session begins, with this timeout in ms.
    Open(i32),
    /// A session ends, with these nodes.
    Close(Vec<String>),
    /// A request was turned down.
    Error(i32),
    /// A node comes: path, data, is it its session's, the parent's counter of creations behind it.
    Create(String, Vec<u8>, bool, i32),
    /// A node goes.
    Delete(String),
    /// Data changes, to this version.
    Set(String, Vec<u8>, i32),
    /// The configuration changes.
    Reconfig(Vec<u8>),
    /// The access list changes.
    SetAcl(String, i32),
    /// A version was looked at.
    Check(String),
    /// Several of them.
    Multi(Vec<Self>),
}

fn own(path: Option<Text<'_>>) -> String {
    path.unwrap_or_default().into_owned()
}

fn bytes(data: Option<&[u8]>) -> Vec<u8> {
    data.unwrap_or_default().to_vec()
}

fn change(op: i32, r: &mut Reader<'_>) -> Result<Change, String> {
    let bad = |e: jute::DecodeError| format!("a transaction of type {op} cannot be read: {e}");
    Ok(match OpCode::from_code(op).ok_or_else(|| format!("no transaction has type {op}"))? {
        OpCode::CreateSession => Change::Open(CreateSessionTxn::read(r).map_err(bad)?.time_out),
        OpCode::CloseSession => {
            let listed = if r.remaining() > 12 {
                CloseSessionTxn::read(r).map_err(bad)?.paths_to_delete.unwrap_or_default()
            } else {
                Vec::new()
            };
            Change::Close(listed.into_iter().map(own).collect())
        }
        OpCode::Error => Change::Error(ErrorTxn::read(r).map_err(bad)?.err),
        OpCode::Create | OpCode::Create2 => {
            let t = CreateTxn::read(r).map_err(bad)?;
            Change::Create(own(t.path), bytes(t.data), t.ephemeral, t.parent_c_version)
        }
        OpCode::CreateTtl => {
            let t = CreateTtlTxn::read(r).map_err(bad)?;
            Change::Create(own(t.path), bytes(t.data), false, t.parent_c_version)
        }
        OpCode::CreateContainer => {
            let t = CreateContainerTxn::read(r).map_err(bad)?;
            Change::Create(own(t.path), bytes(t.data), false, t.parent_c_version)
        }
        OpCode::Delete | OpCode::DeleteContainer => {
            Change::Delete(own(DeleteTxn::read(r).map_err(bad)?.path))
        }
        OpCode::SetData => {
            let t = SetDataTxn::read(r).map_err(bad)?;
            Change::Set(own(t.path), bytes(t.data), t.version)
        }
        OpCode::Reconfig => Change::Reconfig(bytes(SetDataTxn::read(r).map_err(bad)?.data)),
        OpCode::SetAcl => {
            let t = SetAclTxn::read(r).map_err(bad)?;
            Change::SetAcl(own(t.path), t.version)
        }
        OpCode::Check => Change::Check(own(CheckVersionTxn::read(r).map_err(bad)?.path)),
        OpCode::Multi => {
            let parts = MultiTxn::read(r).map_err(bad)?.txns.unwrap_or_default();
            let part = |p: &jute::records::txn::SubTxn<'_>| {
                change(p.op, &mut Reader::new(p.data.unwrap_or_default()))
            };
            Change::Multi(parts.iter().map(part).collect::<Result<_, _>>()?)
        }
        other => return Err(format!("{other:?} is no transaction")),
    })
}

impl Txn {
    /// Reads a payload.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(payload: &[u8]) -> Result<Self, String> {
        let mut r = Reader::new(payload);
        let header = TxnHeader::read(&mut r).map_err(|e| format!("no transaction header: {e}"))?;
        let change = change(header.op, &mut r)?;
        Ok(Self { zxid: header.zxid, session: header.client_id, cxid: header.cxid, change })
    }
}
