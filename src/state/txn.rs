//! Transactions read from the bytes that log, peers and tree share: header, body, maybe a digest.
//!
//! Nothing is applied before all of it was understood, down to the last part of a multi.

use jute::records::data::Acl;
use jute::records::txn::{
    CheckVersionTxn, CloseSessionTxn, CreateContainerTxn, CreateSessionTxn, CreateTtlTxn, CreateTxn,
    CreateTxnV0, DeleteTxn, ErrorTxn, MultiTxn, SetAclTxn, SetDataTxn, TxnDigest, TxnHeader,
};
use jute::{DecodeError, ErrorCode, OpCode, Reader, Record, Text};

use crate::types::{Millis, Owner, SessionId};

/// Why bytes are no transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TxnError {
    /// They do not have the shape.
    #[error("{0}")]
    Decode(#[from] DecodeError),
    /// No transaction has this type, or not at this place.
    #[error("transaction type {0}")]
    Type(i32),
    /// A path is missing.
    #[error("a null path")]
    NullPath,
}

/// A transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodedTxn<'e> {
    /// Session, cxid, zxid, time, type.
    pub header: TxnHeader,
    /// What it does.
    pub body: Body<'e>,
    /// Digest of the tree behind it.
    pub digest: Option<TxnDigest>,
}

/// A create of any type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Create<'e> {
    /// create, create2, createTTL or createContainer.
    pub op: OpCode,
    /// The final path.
    pub path: Text<'e>,
    /// The data.
    pub data: Option<&'e [u8]>,
    /// The access list, resolved.
    pub acl: Vec<Acl<'e>>,
    /// The parent's counter behind it; -1 for one more than it is.
    pub parent_cversion: i32,
    /// Whose it is.
    pub owner: Owner,
}

/// What a transaction does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body<'e> {
    /// A session begins, with this timeout.
    CreateSession(Millis),
    /// A session ends, with these ephemerals. Old writers name none.
    CloseSession(Option<Vec<Text<'e>>>),
    /// A write was turned down.
    Error(ErrorCode),
    /// A node comes.
    Create(Create<'e>),
    /// A node goes: delete or deleteContainer.
    Delete(OpCode, Text<'e>),
    /// Data changes, to this version: setData or reconfig.
    SetData(OpCode, Text<'e>, Option<&'e [u8]>, i32),
    /// The access list changes, to this version.
    SetAcl(Text<'e>, Vec<Acl<'e>>, i32),
    /// A version was checked.
    Check(Text<'e>, i32),
    /// Several of them.
    Multi(Vec<Self>),
}

impl Body<'_> {
    /// The operation this is the transaction of.
    #[must_use]
    pub fn op(&self) -> OpCode {
        match self {
            Self::CreateSession(_) => OpCode::CreateSession,
            Self::CloseSession(_) => OpCode::CloseSession,
            Self::Error(_) => OpCode::Error,
            Self::Create(create) => create.op,
            Self::Delete(op, _) | Self::SetData(op, ..) => *op,
            Self::SetAcl(..) => OpCode::SetAcl,
            Self::Check(..) => OpCode::Check,
            Self::Multi(_) => OpCode::Multi,
        }
    }
}

/// Bytes of a digest behind a body.
const DIGEST: usize = 12;

impl<'e> DecodedTxn<'e> {
    /// Reads a log record's payload.
    pub fn parse(payload: &'e [u8]) -> Result<Self, TxnError> {
        let mut r = Reader::new(payload);
        let header = TxnHeader::read(&mut r)?;
        let op = OpCode::from_code(header.op).ok_or(TxnError::Type(header.op))?;
        let body = match op {
            OpCode::CloseSession => Body::CloseSession(close_session(&mut r)?),
            OpCode::Multi => Body::Multi(multi(&mut r, header.client_id)?),
            op => body(op, &mut r, header.client_id)?,
        };
        let digest = if r.remaining() >= DIGEST { Some(TxnDigest::read(&mut r)?) } else { None };
        Ok(Self { header, body, digest })
    }
}

fn path(path: Option<Text<'_>>) -> Result<Text<'_>, TxnError> {
    path.ok_or(TxnError::NullPath)
}

fn body<'e>(op: OpCode, r: &mut Reader<'e>, session: i64) -> Result<Body<'e>, TxnError> {
    Ok(match op {
        OpCode::CreateSession => Body::CreateSession(Millis(CreateSessionTxn::read(r)?.time_out.into())),
        OpCode::Error => {
            let err = ErrorTxn::read(r)?.err;
            Body::Error(ErrorCode::from_code(err).unwrap_or(ErrorCode::SystemError))
        }
        OpCode::Create | OpCode::Create2 => {
            let txn = create(op, r)?;
            let owner = if txn.ephemeral { session } else { 0 };
            // A session id is what it is; only creates of their own type make containers and TTL nodes.
            let owner = if owner == 0 { Owner::Persistent } else { Owner::Ephemeral(SessionId(owner)) };
            new_node(op, txn.path, txn.data, txn.acl, txn.parent_c_version, owner)?
        }
        OpCode::CreateTtl => {
            let CreateTtlTxn { path, data, acl, parent_c_version, ttl } = CreateTtlTxn::read(r)?;
            new_node(op, path, data, acl, parent_c_version, Owner::Ttl(Millis(ttl)))?
        }
        OpCode::CreateContainer => {
            let CreateContainerTxn { path, data, acl, parent_c_version } = CreateContainerTxn::read(r)?;
            new_node(op, path, data, acl, parent_c_version, Owner::Container)?
        }
        OpCode::Delete | OpCode::DeleteContainer => Body::Delete(op, path(DeleteTxn::read(r)?.path)?),
        OpCode::SetData | OpCode::Reconfig => {
            let txn = SetDataTxn::read(r)?;
            Body::SetData(op, path(txn.path)?, txn.data, txn.version)
        }
        OpCode::SetAcl => {
            let txn = SetAclTxn::read(r)?;
            Body::SetAcl(path(txn.path)?, txn.acl.unwrap_or_default(), txn.version)
        }
        OpCode::Check => {
            let txn = CheckVersionTxn::read(r)?;
            Body::Check(path(txn.path)?, txn.version)
        }
        other => return Err(TxnError::Type(other.code())),
    })
}

/// Type 1 as written up to 3.3 has no parent counter and ends before it.
fn create<'e>(op: OpCode, r: &mut Reader<'e>) -> Result<CreateTxn<'e>, TxnError> {
    let start = r.clone();
    match CreateTxn::read(r) {
        Err(DecodeError::Short { .. }) if op == OpCode::Create => {
            *r = start;
            let CreateTxnV0 { path, data, acl, ephemeral } = CreateTxnV0::read(r)?;
            Ok(CreateTxn { path, data, acl, ephemeral, parent_c_version: -1 })
        }
        txn => Ok(txn?),
    }
}

fn new_node<'e>(
    op: OpCode,
    node: Option<Text<'e>>,
    data: Option<&'e [u8]>,
    acl: Option<Vec<Acl<'e>>>,
    parent_cversion: i32,
    owner: Owner,
) -> Result<Body<'e>, TxnError> {
    let (path, acl) = (path(node)?, acl.unwrap_or_default());
    Ok(Body::Create(Create { op, path, data, acl, parent_cversion, owner }))
}

/// Old writers leave the body out, and newer ones told to do so put only a digest there: twelve bytes that
/// start with its version, which would be a vector of two strings that do not fit.
fn close_session<'e>(r: &mut Reader<'e>) -> Result<Option<Vec<Text<'e>>>, TxnError> {
    let start = r.clone();
    match CloseSessionTxn::read(r) {
        Ok(txn) => Ok(txn.paths_to_delete.map(|paths| paths.into_iter().flatten().collect())),
        Err(_) if start.remaining() == 0 => Ok(None),
        Err(_) if start.remaining() == DIGEST && start.rest().starts_with(&[0, 0, 0, 2]) => {
            *r = start;
            Ok(None)
        }
        Err(e) => Err(e.into()),
    }
}

fn multi<'e>(r: &mut Reader<'e>, session: i64) -> Result<Vec<Body<'e>>, TxnError> {
    let parts = MultiTxn::read(r)?.txns.unwrap_or_default();
    parts
        .into_iter()
        .map(|part| match OpCode::from_code(part.op) {
            Some(
                op @ (OpCode::Create
                | OpCode::Create2
                | OpCode::CreateTtl
                | OpCode::CreateContainer
                | OpCode::Delete
                | OpCode::DeleteContainer
                | OpCode::SetData
                | OpCode::Check
                | OpCode::Error),
            ) => body(op, &mut Reader::new(part.data.unwrap_or_default()), session),
            _ => Err(TxnError::Type(part.op)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn unhex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let pair = |p: &[u8]| u8::from_str_radix(std::str::from_utf8(p).unwrap(), 16).unwrap();
        digits.chunks(2).map(pair).collect()
    }

    fn header(op: i32) -> Vec<u8> {
        jute::encode(&TxnHeader { client_id: 7, cxid: 1, zxid: 2, time: 3, op })
    }

    #[test]
    fn records_of_the_reference() {
        let session = unhex(
            "01000016095a0000 00000000 0000000000000001 000001a1f9260435 fffffff6 00004e20
             00000002 0000000051c6d660",
        );
        let txn = DecodedTxn::parse(&session).unwrap();
        assert_eq!(txn.body, Body::CreateSession(Millis(20_000)));
        assert_eq!(txn.digest.unwrap().tree_digest, 0x51c6_d660);
        let close = unhex(
            "01000016095a0000 00000012 0000000000000014 000001a1f92606f1 fffffff5 00000002
             0000000f 2f702f732d30303030303030303031 00000002 2f65 00000002 00000002d7d82a22",
        );
        let txn = DecodedTxn::parse(&close).unwrap();
        assert_eq!(txn.body, Body::CloseSession(Some(vec!["/p/s-0000000001".into(), "/e".into()])));
        assert_eq!(txn.digest.unwrap().tree_digest, 0x2_d7d8_2a22);
        let failed = unhex(
            "01000016095a0000 0000000b 000000000000000c 000001a1f9260479 0000000e 00000003
             00000005 00000010 00000002 2f70 00000002 7a7a 00000002
             ffffffff 00000004 ffffff9b ffffffff 00000004 fffffffe 00000002 0000000368af88b0",
        );
        let Body::Multi(parts) = DecodedTxn::parse(&failed).unwrap().body else { panic!() };
        assert_eq!(
            parts[1..],
            [Body::Error(ErrorCode::NoNode), Body::Error(ErrorCode::RuntimeInconsistency)]
        );
        let error = unhex("01000016095a0000 0000000c 000000000000000d 000001a1f926047e ffffffff ffffff92");
        let txn = DecodedTxn::parse(&error).unwrap();
        assert_eq!((txn.body, txn.digest), (Body::Error(ErrorCode::NodeExists), None));
    }

    #[test]
    fn bodies_of_old_writers() {
        let mut v0 = header(1);
        let (path, acl) = (Some("/a".into()), Some(vec![]));
        CreateTxnV0 { path, data: None, acl, ephemeral: true }.write(&mut v0);
        let Body::Create(create) = DecodedTxn::parse(&v0).unwrap().body else { panic!() };
        assert_eq!((create.parent_cversion, create.owner), (-1, Owner::Ephemeral(SessionId(7))));
        v0.splice(28..32, [0, 0, 0, 15]);
        assert!(DecodedTxn::parse(&v0).is_err(), "type 1 only");

        let mut close = header(-11);
        assert_eq!(DecodedTxn::parse(&close).unwrap().body, Body::CloseSession(None));
        TxnDigest { version: 2, tree_digest: 0x1_2345_6789 }.write(&mut close);
        let txn = DecodedTxn::parse(&close).unwrap();
        assert_eq!((txn.body, txn.digest.is_some()), (Body::CloseSession(None), true));
    }

    #[test]
    fn what_is_no_transaction() {
        assert_eq!(DecodedTxn::parse(&header(4)), Err(TxnError::Type(4)));
        assert_eq!(DecodedTxn::parse(&header(77)), Err(TxnError::Type(77)));
        let mut null = header(2);
        DeleteTxn { path: None }.write(&mut null);
        assert_eq!(DecodedTxn::parse(&null), Err(TxnError::NullPath));
        let mut nested = header(14);
        let txns = Some(vec![jute::records::txn::SubTxn { op: 14, data: Some(&[0, 0, 0, 0]) }]);
        MultiTxn { txns }.write(&mut nested);
        assert_eq!(DecodedTxn::parse(&nested), Err(TxnError::Type(14)));
    }
}
