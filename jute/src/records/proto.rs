//! Records between clients and servers.

use super::data::{Acl, ClientInfo, Stat};
use crate::macros::records;
use crate::text::Text;

records! {
    /// First frame of a client, without the optional trailing readOnly byte.
    ConnectRequest<'a> {
        /// Always 0.
        protocol_version: i32,
        /// Highest zxid the client has seen.
        last_zxid_seen: i64,
        /// Wanted session timeout in ms.
        time_out: i32,
        /// 0 for a new session.
        session_id: i64,
        /// 16 bytes, or null.
        passwd: Option<&'a [u8]>,
    }

    /// Answer to it, without the optional trailing readOnly byte.
    ConnectResponse<'a> {
        /// Always 0.
        protocol_version: i32,
        /// Negotiated session timeout in ms; 0 for a session that is over.
        time_out: i32,
        /// The session.
        session_id: i64,
        /// 16 bytes.
        passwd: Option<&'a [u8]>,
    }

    /// In front of every request but the first.
    RequestHeader {
        /// Echoed by the reply.
        xid: i32,
        /// Operation.
        op: i32,
    }

    /// In front of every reply and notification but the first.
    ReplyHeader {
        /// xid of the request, or -1.
        xid: i32,
        /// See the protocol sheet.
        zxid: i64,
        /// Error code.
        err: i32,
    }

    /// In front of every operation and result of a multi.
    MultiHeader {
        /// Operation.
        op: i32,
        /// True for the end marker.
        done: bool,
        /// Error code of a result.
        err: i32,
    }

    /// auth
    AuthPacket<'a> {
        /// Always 0, ignored.
        kind: i32,
        /// Scheme.
        scheme: Option<Text<'a>>,
        /// Credentials.
        auth: Option<&'a [u8]>,
    }

    /// sasl
    GetSaslRequest<'a> {
        /// Token of the mechanism.
        token: Option<&'a [u8]>,
    }

    /// sasl
    SetSaslResponse<'a> {
        /// Token of the mechanism.
        token: Option<&'a [u8]>,
    }

    /// create, create2, createContainer
    CreateRequest<'a> {
        /// Path.
        path: Option<Text<'a>>,
        /// Data.
        data: Option<&'a [u8]>,
        /// Access list.
        acl: Option<Vec<Acl<'a>>>,
        /// Create mode.
        flags: i32,
    }

    /// createTTL
    CreateTtlRequest<'a> {
        /// Path.
        path: Option<Text<'a>>,
        /// Data.
        data: Option<&'a [u8]>,
        /// Access list.
        acl: Option<Vec<Acl<'a>>>,
        /// Create mode.
        flags: i32,
        /// Time to live in ms.
        ttl: i64,
    }

    /// delete
    DeleteRequest<'a> {
        /// Path.
        path: Option<Text<'a>>,
        /// Expected version, or -1.
        version: i32,
    }

    /// exists, getData, getChildren, getChildren2
    WatchRequest<'a> {
        /// Path.
        path: Option<Text<'a>>,
        /// Register a watch.
        watch: bool,
    }

    /// getACL, getAllChildrenNumber, getEphemerals, sync, deleteContainer
    PathRequest<'a> {
        /// Path.
        path: Option<Text<'a>>,
    }

    /// setData
    SetDataRequest<'a> {
        /// Path.
        path: Option<Text<'a>>,
        /// Data.
        data: Option<&'a [u8]>,
        /// Expected version, or -1.
        version: i32,
    }

    /// setACL
    SetAclRequest<'a> {
        /// Path.
        path: Option<Text<'a>>,
        /// Access list.
        acl: Option<Vec<Acl<'a>>>,
        /// Expected access list version, or -1.
        version: i32,
    }

    /// check
    CheckVersionRequest<'a> {
        /// Path.
        path: Option<Text<'a>>,
        /// Expected version, or -1.
        version: i32,
    }

    /// reconfig
    ReconfigRequest<'a> {
        /// Servers that join.
        joining_servers: Option<Text<'a>>,
        /// Servers that leave.
        leaving_servers: Option<Text<'a>>,
        /// The whole new list.
        new_members: Option<Text<'a>>,
        /// Expected version of the configuration, or -1.
        cur_config_id: i64,
    }

    /// checkWatches, removeWatches
    WatcherTypeRequest<'a> {
        /// Path.
        path: Option<Text<'a>>,
        /// Watcher type.
        kind: i32,
    }

    /// addWatch
    AddWatchRequest<'a> {
        /// Path.
        path: Option<Text<'a>>,
        /// Mode.
        mode: i32,
    }

    /// setWatches
    SetWatches<'a> {
        /// Last zxid the client has seen.
        relative_zxid: i64,
        /// Data watches.
        data: Option<Vec<Option<Text<'a>>>>,
        /// Exists watches.
        exist: Option<Vec<Option<Text<'a>>>>,
        /// Child watches.
        child: Option<Vec<Option<Text<'a>>>>,
    }

    /// setWatches2
    SetWatches2<'a> {
        /// Last zxid the client has seen.
        relative_zxid: i64,
        /// Data watches.
        data: Option<Vec<Option<Text<'a>>>>,
        /// Exists watches.
        exist: Option<Vec<Option<Text<'a>>>>,
        /// Child watches.
        child: Option<Vec<Option<Text<'a>>>>,
        /// Persistent watches.
        persistent: Option<Vec<Option<Text<'a>>>>,
        /// Persistent recursive watches.
        persistent_recursive: Option<Vec<Option<Text<'a>>>>,
    }

    /// create, sync: a path
    PathResponse<'a> {
        /// Path.
        path: Option<Text<'a>>,
    }

    /// create2, createContainer, createTTL
    Create2Response<'a> {
        /// Path.
        path: Option<Text<'a>>,
        /// Stat.
        stat: Stat,
    }

    /// exists, setData, setACL
    StatResponse {
        /// Stat.
        stat: Stat,
    }

    /// getData, reconfig
    GetDataResponse<'a> {
        /// Data.
        data: Option<&'a [u8]>,
        /// Stat.
        stat: Stat,
    }

    /// getChildren, getEphemerals: names or paths
    NamesResponse<'a> {
        /// Names.
        names: Option<Vec<Option<Text<'a>>>>,
    }

    /// getChildren2
    GetChildren2Response<'a> {
        /// Names.
        children: Option<Vec<Option<Text<'a>>>>,
        /// Stat.
        stat: Stat,
    }

    /// getAllChildrenNumber
    GetAllChildrenNumberResponse {
        /// Number of descendants.
        total_number: i32,
    }

    /// getACL
    GetAclResponse<'a> {
        /// Access list.
        acl: Option<Vec<Acl<'a>>>,
        /// Stat.
        stat: Stat,
    }

    /// addWatch, and a failed operation of a multi
    ErrorResponse {
        /// Error code.
        err: i32,
    }

    /// whoAmI
    WhoAmIResponse<'a> {
        /// Identities.
        client_info: Option<Vec<ClientInfo<'a>>>,
    }

    /// Body of a notification.
    WatcherEvent<'a> {
        /// Event type.
        kind: i32,
        /// Keeper state.
        state: i32,
        /// Path.
        path: Option<Text<'a>>,
    }

    /// Defined by the reference, used by no operation.
    GetMaxChildrenRequest<'a> {
        /// Path.
        path: Option<Text<'a>>,
    }

    /// Defined by the reference, used by no operation.
    GetMaxChildrenResponse {
        /// Limit.
        max: i32,
    }

    /// Defined by the reference, used by no operation.
    SetMaxChildrenRequest<'a> {
        /// Path.
        path: Option<Text<'a>>,
        /// Limit.
        max: i32,
    }
}
