//! The state of a server: tree, access lists, sessions, quotas, digest, and how far it is.
//!
//! It changes through `apply` and through loading, nowhere else. Same transactions, same state.

use super::acl_table::{AclId, AclTable};
use super::digest::{Digest, Share};
use super::quota::{NamespaceQuota, Quotas, Verdict};
use super::tree::{NodeId, Owners, ROOT, Tree};
use super::view::{NodeView, TreeView};
use crate::auth::{AccessList, AclEntry};
use crate::types::{Millis, Owner, SessionId, Zxid};
use jute::codes::perms;
use jute::records::data::{Acl, Id, Stat, StatPersisted};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The node that shows the membership.
pub const CONFIG: &str = "/zookeeper/config";
const BUILT_IN: [&str; 2] = ["/zookeeper", "/zookeeper/quota"];

/// What an operator may set about the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Seeds the hashes of paths.
    pub hash_seed: u64,
    /// Are there nodes with a time to live (`zookeeper.extendedTypesEnabled`).
    pub extended_types: bool,
    /// Is the digest kept (`zookeeper.digest.enabled`).
    pub digest: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { hash_seed: 0, extended_types: false, digest: true }
    }
}

/// The state.
#[derive(Debug)]
pub struct Machine {
    pub(super) tree: Tree,
    pub(super) acls: AclTable,
    pub(super) owners: Owners,
    pub(super) sessions: BTreeMap<SessionId, Millis>,
    pub(super) quotas: Quotas,
    /// `None` where digests are off.
    pub(super) digest: Option<Digest>,
    pub(super) last_zxid: i64,
}

/// Plain numbers for the report room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Nodes as the reference counts them: the root twice.
    pub znode_count: usize,
    /// Path and data lengths summed up.
    pub approximate_data_size: i64,
    /// Ephemeral nodes.
    pub ephemerals_count: usize,
    /// Sessions.
    pub sessions: usize,
    /// Access lists in use.
    pub access_lists: usize,
    /// Last applied zxid.
    pub last_zxid: Zxid,
    /// Digest of the tree.
    pub digest: Option<u64>,
    /// Remembered digests by zxid.
    pub digest_log: Vec<(i64, u64)>,
    /// Transactions whose digest was not ours.
    pub digest_mismatches: u64,
    /// Limits and use by top-level path.
    pub quotas: Vec<NamespaceQuota>,
}

impl Machine {
    /// The state of an empty history.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let mut fresh = Self::bare(settings);
        fresh.add_root_share();
        fresh.add_built_ins();
        fresh
    }

    /// Nothing but a root, outside the digest still.
    pub(super) fn bare(settings: Settings) -> Self {
        Self {
            tree: Tree::new(settings.hash_seed),
            acls: AclTable::default(),
            owners: Owners::new(settings.extended_types),
            sessions: BTreeMap::new(),
            quotas: Quotas::default(),
            digest: settings.digest.then(Digest::default),
            last_zxid: 0,
        }
    }

    pub(super) fn add_root_share(&mut self) {
        let share = self.share("", ROOT);
        self.digest_change(0, share);
    }

    /// The nodes that are always there.
    pub(super) fn add_built_ins(&mut self) {
        let read =
            Acl { perms: perms::READ, id: Id { scheme: Some("world".into()), id: Some("anyone".into()) } };
        for path in BUILT_IN {
            self.add_built_in(path, AclId::OPEN, &StatPersisted::default());
        }
        if self.tree.find(CONFIG).is_none() {
            let acl = self.acls.intern(&[read]);
            self.add_built_in(CONFIG, acl, &StatPersisted { aversion: -1, ..Default::default() });
        }
    }

    fn add_built_in(&mut self, path: &str, acl: AclId, stat: &StatPersisted) {
        let parent = path.rsplit_once('/').and_then(|(parent, _)| self.tree.find(parent));
        if let (None, Some(parent)) = (self.tree.find(path), parent) {
            let id = self.tree.insert(parent, path, Some(&[]), acl, stat);
            let share = self.share(path, id);
            self.digest_change(0, share);
        }
    }

    /// A node's share of the digest.
    pub(super) fn share(&self, path: &str, id: NodeId) -> u64 {
        match self.digest {
            Some(_) => Share::new(path, self.tree.data(id)).of(&self.tree.stat(id)),
            None => 0,
        }
    }

    pub(super) fn digest_change(&mut self, before: u64, after: u64) {
        if let Some(digest) = &mut self.digest {
            digest.change(before, after);
        }
    }

    /// Changes a stat, and the digest with it.
    pub(super) fn restat(&mut self, id: NodeId, path: &str, change: impl FnOnce(&mut StatPersisted)) {
        let before = self.tree.stat(id);
        let mut after = before.clone();
        change(&mut after);
        if after == before {
            return;
        }
        self.tree.set_stat(id, &after);
        if self.digest.is_some() {
            let share = Share::new(path, self.tree.data(id));
            self.digest_change(share.of(&before), share.of(&after));
        }
    }

    /// The stat that clients see.
    pub(super) fn shown_stat(&self, id: NodeId) -> Stat {
        let mut stat = self.tree.shown_stat(id);
        stat.ephemeral_owner = self.owners.unpack(stat.ephemeral_owner).shown();
        stat
    }

    pub(super) fn acl_of(&self, id: NodeId) -> &Arc<[AclEntry]> {
        self.acls.get(self.tree.acl(id))
    }

    pub(super) fn paths_of(&self, ids: impl Iterator<Item = NodeId>) -> Vec<Box<str>> {
        ids.map(|id| self.tree.path(id).into_boxed_str()).collect()
    }

    /// The membership as this server knows it, put into its node outside of any transaction, as every member
    /// of an ensemble does at start. `version` is the configuration's.
    pub fn set_config(&mut self, text: &[u8], version: i64, mtime: i64) {
        if let Some(id) = self.tree.find(CONFIG) {
            self.tree.set_data(id, Some(text));
            self.restat(id, CONFIG, |s| (s.version, s.mzxid, s.mtime) = (-1, version, mtime));
        }
    }

    /// Removes ephemerals of sessions that are not there, as a server does before it starts serving writes.
    /// Returns those sessions.
    pub fn drop_orphans(&mut self) -> Vec<SessionId> {
        let mut orphaned = self.owners.sessions();
        orphaned.retain(|session| !self.sessions.contains_key(session));
        for session in &orphaned {
            self.end_session(*session, None, &mut super::apply::Audience::nobody(self.last_zxid));
        }
        orphaned
    }

    /// Timeout of a session, if it is there.
    #[must_use]
    pub fn session(&self, session: SessionId) -> Option<Millis> {
        self.sessions.get(&session).copied()
    }

    /// Sessions with their ephemeral paths, in order; for `dump`.
    #[must_use]
    pub fn ephemerals_by_session(&self) -> Vec<(SessionId, Vec<Box<str>>)> {
        let of = |session: SessionId| {
            let mut paths = self.paths_of(self.owners.of(session).into_iter());
            paths.sort_unstable();
            (session, paths)
        };
        self.owners.sessions().into_iter().map(of).collect()
    }

    /// Containers that may go: empty, and either used before or unused for longer than `never_used_ms`, where
    /// that is not 0.
    #[must_use]
    pub fn container_candidates(&self, now_wall: i64, never_used_ms: i64) -> Vec<Box<str>> {
        let may_go = |id: &NodeId| {
            let stat = self.tree.stat(*id);
            let idle = now_wall.saturating_sub(stat.mtime);
            let due = stat.cversion > 0 || (never_used_ms != 0 && idle > never_used_ms);
            self.tree.num_children(*id) == 0 && due
        };
        self.paths_of(self.owners.containers().filter(may_go))
    }

    /// Nodes that outlived their time to live: childless, and not written for longer than it.
    #[must_use]
    pub fn ttl_candidates(&self, now_wall: i64) -> Vec<Box<str>> {
        let may_go = |id: &NodeId| {
            let stat = self.tree.stat(*id);
            let Owner::Ttl(ttl) = self.owners.unpack(stat.ephemeral_owner) else { return false };
            let idle = now_wall.saturating_sub(stat.mtime);
            self.tree.num_children(*id) == 0 && ttl.0 != 0 && idle > ttl.0
        };
        self.paths_of(self.owners.ttls().filter(may_go))
    }

    /// Every access list with its number, for a snapshot.
    #[must_use]
    pub fn acl_lists(&self) -> Vec<(i64, Arc<[AclEntry]>)> {
        self.acls.dump()
    }

    /// zxid and digest for a snapshot's digest section; `None` where digests are off.
    #[must_use]
    pub fn recorded_digest(&self) -> Option<(i64, u64)> {
        self.digest.as_ref().map(Digest::recorded)
    }

    /// Digests that differed from a transaction's.
    #[must_use]
    pub fn digest_mismatches(&self) -> u64 {
        self.digest.as_ref().map_or(0, Digest::mismatches)
    }

    /// Nodes as the reference counts them: the root twice.
    #[must_use]
    pub fn node_count(&self) -> usize {
        self.tree.len() + 1
    }

    /// Plain numbers for the report room.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        Gauges {
            znode_count: self.node_count(),
            approximate_data_size: self.tree.data_size(),
            ephemerals_count: self.owners.ephemeral_count(),
            sessions: self.sessions.len(),
            access_lists: self.acls.len(),
            last_zxid: Zxid(self.last_zxid),
            digest: self.digest(),
            digest_log: self.digest.as_ref().map(Digest::log).unwrap_or_default(),
            digest_mismatches: self.digest_mismatches(),
            quotas: self.quotas.namespaces(&self.tree),
        }
    }

    /// Is this session alive, as far as transactions tell?
    #[must_use]
    pub fn has_session(&self, session: SessionId) -> bool {
        self.sessions.contains_key(&session)
    }
}

impl TreeView for Machine {
    fn node(&self, path: &str) -> Option<NodeView<'_>> {
        let id = self.tree.find(path)?;
        let stat = self.tree.stat(id);
        Some(NodeView {
            owner: self.owners.unpack(stat.ephemeral_owner),
            stat,
            num_children: self.tree.num_children(id),
            acl: AccessList::Listed(self.acl_of(id).clone()),
            data: self.tree.data(id),
        })
    }

    fn last_zxid(&self) -> Zxid {
        Zxid(self.last_zxid)
    }

    fn digest(&self) -> Option<u64> {
        self.digest.as_ref().map(Digest::sum)
    }

    fn ephemerals(&self, session: SessionId) -> Vec<Box<str>> {
        self.paths_of(self.owners.of(session).into_iter())
    }

    fn sessions(&self) -> Vec<(SessionId, Millis)> {
        self.sessions.iter().map(|(session, timeout)| (*session, *timeout)).collect()
    }

    fn check_quota(&self, path: &str, bytes: i64, count: i64) -> Verdict {
        self.quotas.check(&self.tree, path, bytes, count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_tree() {
        let m = Machine::new(Settings::default());
        let g = m.gauges();
        assert_eq!((g.znode_count, g.approximate_data_size, g.digest), (5, 44, Some(0x51c6_d660)));
        assert_eq!(m.recorded_digest(), Some((0, 0)));
        let lists = m.acl_lists();
        assert_eq!((lists.len(), lists[0].0, lists[0].1[0].perms), (1, 1, perms::READ));
        let shown = |path| m.shown_stat(m.tree.find(path).unwrap());
        assert_eq!((shown("/").cversion, shown("/").num_children), (-1, 1));
        assert_eq!((shown("/zookeeper").cversion, shown("/zookeeper").num_children), (-2, 2));
        assert_eq!(shown(CONFIG), Stat { aversion: -1, ..Default::default() });
        assert_eq!(m.tree.data(m.tree.find(CONFIG).unwrap()), Some(&[][..]));
    }

    #[test]
    fn the_configuration_is_outside_the_digest() {
        let mut m = Machine::new(Settings::default());
        m.set_config(b"server.1=a:1:2:participant\nversion=0", 0, 77);
        let node = m.node(CONFIG).unwrap();
        assert_eq!((node.stat.version, node.stat.mtime, node.stat.aversion), (-1, 77, -1));
        assert_eq!(m.digest(), Some(0x51c6_d660));
    }
}
