//! What accepted but not yet applied writes will have done, laid over the tree
//! (`ZooKeeperServer.outstandingChanges`). Validation reads through it, so pipelined writes see each other.
//!
//! Invariant: a row leaves only when the tree has caught up with it. It may stay a little longer; it then
//! says the same as the tree, so it is late but never wrong.

use super::rows::{Row, Rows, Slot};
use crate::auth::AccessList;
use crate::state::{Share, TreeView};
use crate::types::{Owner, SessionId, Zxid};
use jute::records::data::StatPersisted;
use std::collections::{BTreeSet, VecDeque};

/// A node as validation sees it.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) stat: StatPersisted,
    pub(super) owner: Owner,
    pub(super) num_children: i32,
    pub(super) acl: AccessList,
    pub(super) data_len: i64,
    /// What of the digest hangs on path and data.
    pub(super) share: Share,
    /// What the node counts in the digest; known of those in rows.
    counts: Option<u64>,
}

impl Node {
    /// Persistent or owned, without children.
    pub(super) fn born(
        stat: StatPersisted,
        owner: Owner,
        acl: AccessList,
        data_len: i64,
        share: Share,
    ) -> Self {
        Self { stat, owner, num_children: 0, acl, data_len, share, counts: None }
    }
}

/// A place in the tree, with the hash that it is found by here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spot<'p> {
    pub(super) path: &'p str,
    pub(super) hash: u64,
}

/// The rows, and the order in which they may leave.
#[derive(Debug)]
pub(super) struct Pending {
    rows: Rows,
    leaving: VecDeque<(Zxid, Slot)>,
    ephemerals: BTreeSet<(SessionId, Box<str>)>,
    /// Digest of the tree with all rows in it; `None` where digests are off.
    pub(super) digest: Option<u64>,
    undo: Option<Undo>,
}

impl Pending {
    pub(super) fn new(digest: Option<u64>, seed: u64) -> Self {
        Self {
            rows: Rows::new(seed),
            leaving: VecDeque::new(),
            ephemerals: BTreeSet::new(),
            digest,
            undo: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn spot<'p>(&self, path: &'p str) -> Spot<'p> {
        Spot { path, hash: self.rows.hash(path) }
    }

    /// What of the digest hangs on path and data; nothing where digests are off.
    pub(super) fn share(&self, path: &str, data: Option<&[u8]>) -> Share {
        if self.digest.is_some() { Share::new(path, data) } else { Share::NOTHING }
    }

    /// The node at a place after everything accepted so far.
    pub(super) fn node(&self, spot: Spot<'_>, tree: &impl TreeView) -> Option<Node> {
        if let Some(row) = self.rows.find(spot) {
            return row.node.clone();
        }
        let view = tree.node(spot.path)?;
        Some(Node {
            share: self.share(spot.path, view.data),
            data_len: view.data.map_or(0, |d| i64::try_from(d.len()).unwrap_or(i64::MAX)),
            stat: view.stat,
            owner: view.owner,
            num_children: view.num_children,
            acl: view.acl,
            counts: None,
        })
    }

    /// Records that a place turns from `old` into `new` at `zxid`.
    pub(super) fn change(&mut self, zxid: Zxid, spot: Spot<'_>, old: Option<&Node>, mut new: Option<Node>) {
        if let Some(sum) = &mut self.digest {
            let before = old.map_or(0, |n| n.counts.unwrap_or_else(|| n.share.of(&n.stat)));
            let after = new.as_mut().map_or(0, |n| *n.counts.insert(n.share.of(&n.stat)));
            *sum = sum.wrapping_sub(before).wrapping_add(after);
        }
        let row = Row { zxid, node: new };
        let after = row.ephemeral_of();
        let (slot, before) = self.rows.put(spot, row);
        self.note_owner(spot.path, before.as_ref().and_then(Row::ephemeral_of), after);
        self.leaving.push_back((zxid, slot));
        if let Some(undo) = &mut self.undo {
            undo.rows.push((slot, before));
        }
    }

    /// Keeps the index of ephemerals true.
    fn note_owner(&mut self, path: &str, before: Option<SessionId>, after: Option<SessionId>) {
        if before == after {
            return;
        }
        if let Some(session) = before {
            self.ephemerals.remove(&(session, path.into()));
        }
        if let Some(session) = after {
            self.ephemerals.insert((session, path.into()));
        }
    }

    /// The session's ephemeral nodes after everything accepted so far.
    pub(super) fn ephemerals(&self, session: SessionId, tree: &impl TreeView) -> BTreeSet<Box<str>> {
        let of_session = |path: &str| match self.rows.find(self.spot(path)) {
            None => true,
            Some(row) => row.ephemeral_of() == Some(session),
        };
        let from = (session, Box::from(""));
        let pending = self.ephemerals.range(from..).take_while(|(s, _)| *s == session);
        let pending = pending.map(|(_, path)| path.clone());
        tree.ephemerals(session).into_iter().chain(pending).filter(|path| of_session(path)).collect()
    }

    /// The tree has everything up to `zxid`.
    pub(super) fn applied(&mut self, zxid: Zxid) {
        while let Some((at, slot)) = self.leaving.pop_front_if(|(at, _)| *at <= zxid) {
            // A later change of the same place keeps its row.
            if self.rows.get(slot).is_none_or(|row| row.zxid != at) {
                continue;
            }
            self.take_out(slot);
        }
        self.rows.settle();
    }

    fn take_out(&mut self, slot: Slot) {
        if let Some(session) = self.rows.get(slot).and_then(Row::ephemeral_of) {
            self.ephemerals.remove(&(session, self.rows.path(slot).into()));
        }
        self.rows.take(slot);
    }

    /// Puts back what a row replaced.
    fn put_back(&mut self, slot: Slot, before: Option<Row>) {
        let Some(before) = before else { return self.take_out(slot) };
        let path = self.rows.path(slot).to_owned();
        let is = self.rows.get(slot).and_then(Row::ephemeral_of);
        self.note_owner(&path, is, before.ephemeral_of());
        self.rows.set(slot, before);
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
        for (slot, before) in undo.rows.into_iter().rev() {
            self.put_back(slot, before);
        }
    }
}

/// What a multi changed, to be put back if one of its parts fails: for each change the row it replaced.
#[derive(Debug)]
struct Undo {
    digest: Option<u64>,
    rows: Vec<(Slot, Option<Row>)>,
}
