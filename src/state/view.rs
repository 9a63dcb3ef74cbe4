//! What validation may see of the tree: the last applied state, node by node. Prep lays its pending changes
//! over it; tests and the simulator implement it with a map.

use super::quota::Verdict;
use crate::auth::AccessList;
use crate::types::{Millis, Owner, SessionId, Zxid};

/// One node as validation needs it. `stat` counts as stored: `cversion` is creations only.
#[derive(Debug, Clone)]
pub struct NodeView<'a> {
    /// czxid, mzxid, times, versions, packed owner, pzxid.
    pub stat: jute::records::data::StatPersisted,
    /// What keeps it alive.
    pub owner: Owner,
    /// Direct children.
    pub num_children: i32,
    /// The access list.
    pub acl: AccessList,
    /// The data.
    pub data: Option<&'a [u8]>,
}

/// The applied state, as far as validation looks.
pub trait TreeView {
    /// The node at `path`. The empty path is the root, as everywhere.
    fn node(&self, path: &str) -> Option<NodeView<'_>>;

    /// The last applied zxid.
    fn last_zxid(&self) -> Zxid;

    /// Digest of the whole tree; `None` where digests are off.
    fn digest(&self) -> Option<u64>;

    /// Paths of the session's ephemeral nodes, in any order.
    fn ephemerals(&self, session: SessionId) -> Vec<Box<str>>;

    /// Every session with its timeout.
    fn sessions(&self) -> Vec<(SessionId, Millis)>;

    /// What creating (`count` 1) or changing data by `bytes` at `path` would do to the quota over it.
    fn check_quota(&self, path: &str, bytes: i64, count: i64) -> Verdict;
}
