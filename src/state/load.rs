//! A state from a snapshot: sessions, access lists, nodes in any order that has parents first.
//!
//! What is being loaded is not a [`Machine`] yet; [`Loader::finish`] makes it one, and drops what nobody uses.

use super::digest;
use super::machine::{Machine, Settings};
use super::tree::{NodeId, ROOT};
use crate::types::{Millis, SessionId};
use jute::records::data::{Acl, StatPersisted};

/// Why nodes are no tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// A node without its parent.
    #[error("node {0:?} comes without its parent")]
    NoParent(Box<str>),
    /// A node that came before.
    #[error("node {0:?} comes twice")]
    Twice(Box<str>),
    /// A path that is none.
    #[error("{0:?} is no path of a node")]
    BadPath(Box<str>),
}

/// A state being loaded.
#[derive(Debug)]
pub struct Loader {
    machine: Machine,
    /// The parent of the last node: siblings often follow each other.
    parent: (String, NodeId),
    digest: Option<(i64, u64)>,
    /// The last transaction that a node shows, of those that count in the digest.
    shown: i64,
}

impl Loader {
    /// An empty one.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { machine: Machine::bare(settings), parent: (String::new(), ROOT), digest: None, shown: 0 }
    }

    /// A session with its timeout.
    pub fn session(&mut self, session: SessionId, timeout: Millis) {
        self.machine.sessions.insert(session, timeout);
    }

    /// An access list.
    pub fn acl(&mut self, number: i64, list: &[Acl<'_>]) {
        self.machine.acls.load(number, list);
    }

    /// A node; the root's path is empty. Its access list may be missing: a fuzzy snapshot's table is older
    /// than its nodes.
    pub fn node(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        acl: i64,
        stat: &StatPersisted,
    ) -> Result<(), LoadError> {
        if !digest::is_outside(path) {
            self.shown = self.shown.max(stat.czxid).max(stat.mzxid).max(stat.pzxid);
        }
        let machine = &mut self.machine;
        let acl = machine.acls.number(acl);
        machine.acls.retain(acl);
        if path.is_empty() {
            machine.tree.set_acl(ROOT, acl);
            machine.tree.set_data(ROOT, data);
            machine.tree.set_stat(ROOT, stat);
            return Ok(());
        }
        let (parent, name) = path.rsplit_once('/').ok_or_else(|| LoadError::BadPath(path.into()))?;
        if name.is_empty() {
            return Err(LoadError::BadPath(path.into()));
        }
        if machine.tree.find(path).is_some() {
            return Err(LoadError::Twice(path.into()));
        }
        if self.parent.0 != parent {
            let id = machine.tree.find(parent).ok_or_else(|| LoadError::NoParent(path.into()))?;
            self.parent = (parent.to_owned(), id);
        }
        let id = machine.tree.insert(self.parent.1, path, data, acl, stat);
        machine.owners.add(id, stat.ephemeral_owner);
        let share = machine.share(path, id);
        machine.digest_change(0, share);
        Ok(())
    }

    /// The snapshot's digest section.
    pub fn digest(&mut self, zxid: i64, digest: u64) {
        self.digest = Some((zxid, digest));
    }

    /// Ends loading. `zxid` is the one the snapshot is named after.
    #[must_use]
    pub fn finish(self, zxid: i64) -> Machine {
        let mut machine = self.machine;
        machine.add_root_share();
        machine.add_built_ins();
        machine.acls.finish_load();
        machine.quotas.rebuild(&mut machine.tree);
        machine.last_zxid = zxid;
        if let (Some(digest), Some((at, sum))) = (&mut machine.digest, self.digest) {
            digest.suspend(at, sum, zxid, self.shown);
        }
        machine
    }
}
