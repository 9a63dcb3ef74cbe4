//! Records of transactions: what the log keeps and a proposal carries.

use super::data::Acl;
use crate::macros::records;
use crate::text::Text;

records! {
    /// In front of every transaction.
    TxnHeader {
        /// Session.
        client_id: i64,
        /// xid of the request.
        cxid: i32,
        /// zxid.
        zxid: i64,
        /// The leader's wall clock, ms.
        time: i64,
        /// Operation.
        op: i32,
    }

    /// Behind a transaction: the digest of the tree after it.
    TxnDigest {
        /// 2.
        version: i32,
        /// Sum of the node digests.
        tree_digest: i64,
    }

    /// A create as written up to 3.3.
    CreateTxnV0<'a> {
        /// Path.
        path: Option<Text<'a>>,
        /// Data.
        data: Option<&'a [u8]>,
        /// Access list.
        acl: Option<Vec<Acl<'a>>>,
        /// Goes with its session.
        ephemeral: bool,
    }

    /// create, create2
    CreateTxn<'a> {
        /// Path.
        path: Option<Text<'a>>,
        /// Data.
        data: Option<&'a [u8]>,
        /// Access list.
        acl: Option<Vec<Acl<'a>>>,
        /// Goes with its session.
        ephemeral: bool,
        /// The parent's counter after this creation.
        parent_c_version: i32,
    }

    /// createTTL
    CreateTtlTxn<'a> {
        /// Path.
        path: Option<Text<'a>>,
        /// Data.
        data: Option<&'a [u8]>,
        /// Access list.
        acl: Option<Vec<Acl<'a>>>,
        /// The parent's counter after this creation.
        parent_c_version: i32,
        /// Time to live in ms.
        ttl: i64,
    }

    /// createContainer
    CreateContainerTxn<'a> {
        /// Path.
        path: Option<Text<'a>>,
        /// Data.
        data: Option<&'a [u8]>,
        /// Access list.
        acl: Option<Vec<Acl<'a>>>,
        /// The parent's counter after this creation.
        parent_c_version: i32,
    }

    /// delete, deleteContainer
    DeleteTxn<'a> {
        /// Path.
        path: Option<Text<'a>>,
    }

    /// setData, reconfig
    SetDataTxn<'a> {
        /// Path.
        path: Option<Text<'a>>,
        /// Data.
        data: Option<&'a [u8]>,
        /// The new version.
        version: i32,
    }

    /// check
    CheckVersionTxn<'a> {
        /// Path.
        path: Option<Text<'a>>,
        /// The version plus one.
        version: i32,
    }

    /// setACL
    SetAclTxn<'a> {
        /// Path.
        path: Option<Text<'a>>,
        /// Access list.
        acl: Option<Vec<Acl<'a>>>,
        /// The new access list version.
        version: i32,
    }

    /// Defined by the reference, never written.
    SetMaxChildrenTxn<'a> {
        /// Path.
        path: Option<Text<'a>>,
        /// Limit.
        max: i32,
    }

    /// createSession
    CreateSessionTxn {
        /// Session timeout in ms.
        time_out: i32,
    }

    /// closeSession
    CloseSessionTxn<'a> {
        /// Ephemerals that go with it.
        paths_to_delete: Option<Vec<Option<Text<'a>>>>,
    }

    /// A write that was turned down.
    ErrorTxn {
        /// Error code.
        err: i32,
    }

    /// One part of a multi.
    SubTxn<'a> {
        /// Operation.
        op: i32,
        /// Its body.
        data: Option<&'a [u8]>,
    }

    /// multi
    MultiTxn<'a> {
        /// Parts, in order.
        txns: Option<Vec<SubTxn<'a>>>,
    }
}
