//! What accepted but not yet applied writes will have done, laid over the tree
//! (`ZooKeeperServer.outstandingChanges`). Validation reads through it, so pipelined writes see each other.
//!
//! Invariant: a row leaves only when the tree has caught up with it. It may stay a little longer; it then
//! says the same as the tree, so it is late but never wrong.

use super::digest;
use crate::auth::AclEntry;
use crate::state::TreeView;
use crate::types::{Owner, SessionId, Zxid};
use hashbrown::HashMap;
use hashbrown::hash_map::{Entry, EntryRef};
use jute::records::data::StatPersisted;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// A node as validation sees it.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) stat: StatPersisted,
    pub(super) owner: Owner,
    pub(super) num_children: i32,
    pub(super) acl: Arc<[AclEntry]>,
    pub(super) data_len: i64,
    /// Checksum of path and data: what the node's digest starts with.
    pub(super) body_crc: u32,
}

#[derive(Debug, Clone)]
struct Row {
    zxid: Zxid,
    /// `None`: deleted.
    node: Option<Node>,
}

/// The rows, and the order in which they may leave.
#[derive(Debug)]
pub(super) struct Pending {
    rows: HashMap<Arc<str>, Row, foldhash::quality::FixedState>,
    leaving: VecDeque<(Zxid, Arc<str>)>,
    ephemerals: BTreeSet<(SessionId, Arc<str>)>,
    /// Digest of the tree with all rows in it; `None` where digests are off.
    pub(super) digest: Option<u64>,
    undo: Option<Undo>,
}

impl Row {
    fn ephemeral_of(&self) -> Option<SessionId> {
        self.node.as_ref()?.owner.session()
    }
}

impl Pending {
    pub(super) fn new(digest: Option<u64>) -> Self {
        Self {
            rows: HashMap::with_hasher(foldhash::quality::FixedState::with_seed(0)),
            leaving: VecDeque::new(),
            ephemerals: BTreeSet::new(),
            digest,
            undo: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The node at `path` after everything accepted so far.
    pub(super) fn node(&self, path: &str, tree: &impl TreeView) -> Option<Node> {
        if let Some(row) = self.rows.get(path) {
            return row.node.clone();
        }
        let view = tree.node(path)?;
        Some(Node {
            body_crc: if self.digest.is_some() { digest::body(path, view.data) } else { 0 },
            data_len: view.data.map_or(0, |d| i64::try_from(d.len()).unwrap_or(i64::MAX)),
            stat: view.stat,
            owner: view.owner,
            num_children: view.num_children,
            acl: view.acl,
        })
    }

    /// Records that `path` turns from `old` into `new` at `zxid`.
    pub(super) fn change(&mut self, zxid: Zxid, path: &str, old: Option<&Node>, new: Option<Node>) {
        if let Some(sum) = &mut self.digest {
            let of = |node: Option<&Node>| node.map_or(0, |n| digest::node(path, n.body_crc, &n.stat));
            *sum = sum.wrapping_sub(of(old)).wrapping_add(of(new.as_ref()));
        }
        let row = Row { zxid, node: new };
        let after = row.ephemeral_of();
        let (key, before) = match self.rows.entry_ref(path) {
            EntryRef::Occupied(mut there) => (Arc::clone(there.key()), Some(there.insert(row))),
            EntryRef::Vacant(place) => {
                let key = Arc::from(path);
                place.insert_with_key(Arc::clone(&key), row);
                (key, None)
            }
        };
        self.note_owner(&key, before.as_ref().and_then(Row::ephemeral_of), after);
        self.leaving.push_back((zxid, Arc::clone(&key)));
        if let Some(undo) = &mut self.undo {
            undo.rows.push((key, before));
        }
    }

    /// Keeps the index of ephemerals true.
    fn note_owner(&mut self, path: &Arc<str>, before: Option<SessionId>, after: Option<SessionId>) {
        if before == after {
            return;
        }
        if let Some(session) = before {
            self.ephemerals.remove(&(session, Arc::clone(path)));
        }
        if let Some(session) = after {
            self.ephemerals.insert((session, Arc::clone(path)));
        }
    }

    /// Puts back what a row replaced.
    fn put_back(&mut self, path: Arc<str>, row: Option<Row>) {
        let after = row.as_ref().and_then(Row::ephemeral_of);
        let before = match row {
            Some(row) => self.rows.insert(Arc::clone(&path), row),
            None => self.rows.remove(&path),
        };
        self.note_owner(&path, before.as_ref().and_then(Row::ephemeral_of), after);
    }

    /// The session's ephemeral nodes after everything accepted so far.
    pub(super) fn ephemerals(&self, session: SessionId, tree: &impl TreeView) -> BTreeSet<Box<str>> {
        let of_session = |path: &str| match self.rows.get(path) {
            None => true,
            Some(row) => row.ephemeral_of() == Some(session),
        };
        let from = (session, Arc::from(""));
        let pending =
            self.ephemerals.range(from..).take_while(|(s, _)| *s == session).map(|(_, p)| Box::from(&**p));
        tree.ephemerals(session).into_iter().chain(pending).filter(|path| of_session(path)).collect()
    }

    /// The tree has everything up to `zxid`.
    pub(super) fn applied(&mut self, zxid: Zxid) {
        while let Some((at, path)) = self.leaving.pop_front_if(|(at, _)| *at <= zxid) {
            let Entry::Occupied(row) = self.rows.entry(path) else { continue };
            if row.get().zxid == at {
                let (path, row) = row.remove_entry();
                self.note_owner(&path, row.ephemeral_of(), None);
            }
        }
    }

    /// From here on changes can be taken back.
    pub(super) fn begin_multi(&mut self) {
        self.undo = Some(Undo { digest: self.digest, rows: Vec::new() });
    }

    /// The changes since [`Pending::begin_multi`] stay.
    pub(super) fn keep_multi(&mut self) {
        self.undo = None;
    }

    /// The changes since [`Pending::begin_multi`] were never made.
    pub(super) fn roll_back(&mut self) {
        let Some(undo) = self.undo.take() else { return };
        self.digest = undo.digest;
        self.leaving.truncate(self.leaving.len().saturating_sub(undo.rows.len()));
        for (path, before) in undo.rows.into_iter().rev() {
            self.put_back(path, before);
        }
    }
}

/// What a multi changed, to be put back if one of its parts fails: for each change the row it replaced.
#[derive(Debug)]
struct Undo {
    digest: Option<u64>,
    rows: Vec<(Arc<str>, Option<Row>)>,
}
