//! The numbers of the protocol: operations, errors, events, states, modes, packets, fixed xids.
//!
//! A closed enum per table. Unknown numbers stay numbers: looking one up gives `None` and the caller keeps it.

use crate::macros::codes;

codes! {
    /// What a request asks for, and the type of a transaction.
    OpCode {
        /// Server to client only; a request with it is unknown.
        Notification = 0,
        /// Create a znode, answer with its path.
        Create = 1,
        /// Delete a znode.
        Delete = 2,
        /// Stat of a znode.
        Exists = 3,
        /// Data and stat.
        GetData = 4,
        /// Replace the data.
        SetData = 5,
        /// Access list and stat.
        GetAcl = 6,
        /// Replace the access list.
        SetAcl = 7,
        /// Names of the children.
        GetChildren = 8,
        /// Catch up with the leader.
        Sync = 9,
        /// Heartbeat.
        Ping = 11,
        /// Names of the children and stat.
        GetChildren2 = 12,
        /// Version check, inside a multi only.
        Check = 13,
        /// Several writes as one.
        Multi = 14,
        /// Create a znode, answer with path and stat.
        Create2 = 15,
        /// Change the membership.
        Reconfig = 16,
        /// Is a watch there.
        CheckWatches = 17,
        /// Take watches away.
        RemoveWatches = 18,
        /// Create a container.
        CreateContainer = 19,
        /// Remove an empty container or an expired TTL node; only servers ask for it.
        DeleteContainer = 20,
        /// Create a node with a time to live.
        CreateTtl = 21,
        /// Several reads as one.
        MultiRead = 22,
        /// Add an identity.
        Auth = 100,
        /// Register watches again after a reconnect.
        SetWatches = 101,
        /// One step of a SASL exchange.
        Sasl = 102,
        /// Ephemeral nodes of the session.
        GetEphemerals = 103,
        /// Number of descendants.
        GetAllChildrenNumber = 104,
        /// `SetWatches` with the persistent lists.
        SetWatches2 = 105,
        /// Add a persistent watch.
        AddWatch = 106,
        /// Identities of the connection.
        WhoAmI = 107,
        /// Transaction: a session begins.
        CreateSession = -10,
        /// A session ends.
        CloseSession = -11,
        /// Transaction: a write that was turned down; also a result inside a multi.
        Error = -1,
    }

    /// The error of a reply header.
    ErrorCode {
        /// No error.
        Ok = 0,
        /// Marks a range; not sent.
        SystemError = -1,
        /// An operation behind the failing one of a multi.
        RuntimeInconsistency = -2,
        /// Not sent by servers.
        DataInconsistency = -3,
        /// Clients only.
        ConnectionLoss = -4,
        /// The body could not be read.
        MarshallingError = -5,
        /// Unknown or switched off operation.
        Unimplemented = -6,
        /// Clients only.
        OperationTimeout = -7,
        /// A bad path, flag or argument.
        BadArguments = -8,
        /// The session is not known.
        UnknownSession = -12,
        /// The new configuration has no quorum.
        NewConfigNoQuorum = -13,
        /// One reconfiguration at a time.
        ReconfigInProgress = -14,
        /// Marks a range.
        ApiError = -100,
        /// The znode does not exist.
        NoNode = -101,
        /// Not allowed.
        NoAuth = -102,
        /// The version does not match.
        BadVersion = -103,
        /// Ephemeral znodes have no children.
        NoChildrenForEphemerals = -108,
        /// The znode exists.
        NodeExists = -110,
        /// The znode has children.
        NotEmpty = -111,
        /// The session is over.
        SessionExpired = -112,
        /// Clients only.
        InvalidCallback = -113,
        /// The access list is not valid.
        InvalidAcl = -114,
        /// Authentication failed.
        AuthFailed = -115,
        /// The session moved to another server.
        SessionMoved = -118,
        /// A write on a read-only server.
        NotReadOnly = -119,
        /// An ephemeral on a local session.
        EphemeralOnLocalSession = -120,
        /// No such watch.
        NoWatcher = -121,
        /// Clients only.
        RequestTimeout = -122,
        /// Reconfiguration is switched off.
        ReconfigDisabled = -123,
        /// The session must authenticate first.
        SessionClosedRequireSaslAuth = -124,
        /// A hard quota would be exceeded.
        QuotaExceeded = -125,
        /// The request waited too long.
        ThrottledOp = -127,
    }

    /// What a notification tells.
    EventType {
        /// A connection event; clients only.
        None = -1,
        /// The node was created.
        NodeCreated = 1,
        /// The node was deleted.
        NodeDeleted = 2,
        /// The node's data changed.
        NodeDataChanged = 3,
        /// A child came or went.
        NodeChildrenChanged = 4,
    }

    /// The state in a notification; servers send only `SyncConnected`.
    KeeperState {
        /// No connection.
        Disconnected = 0,
        /// Connected.
        SyncConnected = 3,
        /// Authentication failed.
        AuthFailed = 4,
        /// Connected to a read-only server.
        ConnectedReadOnly = 5,
        /// Authenticated through SASL.
        SaslAuthenticated = 6,
        /// Closed by the client.
        Closed = 7,
        /// Expired.
        Expired = -112,
    }

    /// The flags of a create request.
    CreateMode {
        /// Stays until deleted.
        Persistent = 0,
        /// Goes with its session.
        Ephemeral = 1,
        /// Stays; the name gets a number.
        PersistentSequential = 2,
        /// Goes with its session; the name gets a number.
        EphemeralSequential = 3,
        /// Goes when its last child has gone.
        Container = 4,
        /// Goes when untouched for its time to live.
        PersistentWithTtl = 5,
        /// The same, and the name gets a number.
        PersistentSequentialWithTtl = 6,
    }

    /// The mode of an addWatch request.
    AddWatchMode {
        /// Stays until removed.
        Persistent = 0,
        /// Stays, and covers all descendants.
        PersistentRecursive = 1,
    }

    /// Which watches checkWatches and removeWatches mean.
    WatcherType {
        /// Child watches.
        Children = 1,
        /// Data and exists watches.
        Data = 2,
        /// All of them.
        Any = 3,
        /// Persistent ones.
        Persistent = 4,
        /// Persistent recursive ones.
        PersistentRecursive = 5,
    }

    /// The type of a packet between servers.
    PacketType {
        /// Learner forwards a request.
        Request = 1,
        /// Leader proposes a transaction.
        Proposal = 2,
        /// Learner has made it durable.
        Ack = 3,
        /// Leader commits a transaction.
        Commit = 4,
        /// Heartbeat both ways.
        Ping = 5,
        /// Is this session alive.
        Revalidate = 6,
        /// Answer to a sync.
        Sync = 7,
        /// A committed transaction for observers.
        Inform = 8,
        /// Commit of a reconfiguration.
        CommitAndActivate = 9,
        /// The new leader's epoch begins.
        NewLeader = 10,
        /// A follower introduces itself.
        FollowerInfo = 11,
        /// The learner may serve.
        UpToDate = 12,
        /// Synchronise by transactions.
        Diff = 13,
        /// Cut the log first.
        Trunc = 14,
        /// A whole database follows.
        Snap = 15,
        /// An observer introduces itself.
        ObserverInfo = 16,
        /// The proposed epoch.
        LeaderInfo = 17,
        /// The learner's promise.
        AckEpoch = 18,
        /// `Inform` of a reconfiguration.
        InformAndActivate = 19,
    }
}

/// Permission bits of an access list entry.
pub mod perms {
    /// Read data and children.
    pub const READ: i32 = 1;
    /// Write data.
    pub const WRITE: i32 = 2;
    /// Create children.
    pub const CREATE: i32 = 4;
    /// Delete children.
    pub const DELETE: i32 = 8;
    /// Change the access list.
    pub const ADMIN: i32 = 16;
    /// All of them.
    pub const ALL: i32 = 31;
}

/// Fixed xids.
pub mod xid {
    /// A notification.
    pub const NOTIFICATION: i32 = -1;
    /// A ping and its reply.
    pub const PING: i32 = -2;
    /// An auth packet, by most clients.
    pub const AUTH: i32 = -4;
    /// setWatches, by the C client.
    pub const SET_WATCHES: i32 = -8;
}

/// `ephemeralOwner` of a container.
pub const CONTAINER_OWNER: i64 = i64::MIN;
/// The longest time to live, in milliseconds: five bytes.
pub const MAX_TTL: i64 = 0xff_ffff_ffff;

impl CreateMode {
    /// The name gets the parent's counter appended.
    #[must_use]
    pub const fn is_sequential(self) -> bool {
        matches!(
            self,
            Self::PersistentSequential | Self::EphemeralSequential | Self::PersistentSequentialWithTtl
        )
    }

    /// The node goes with its session.
    #[must_use]
    pub const fn is_ephemeral(self) -> bool {
        matches!(self, Self::Ephemeral | Self::EphemeralSequential)
    }

    /// The node has a time to live.
    #[must_use]
    pub const fn is_ttl(self) -> bool {
        matches!(self, Self::PersistentWithTtl | Self::PersistentSequentialWithTtl)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_find_their_rows() {
        for op in OpCode::ALL {
            assert_eq!(OpCode::from_code(op.code()), Some(*op));
        }
        for e in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_code(e.code()), Some(*e));
        }
        assert_eq!(OpCode::from_code(10), None, "10 was never assigned");
    }
}
