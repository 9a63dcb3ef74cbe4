//! Every node for a snapshot, in slices, while transactions go on in between: fuzzy, as the reference's
//! snapshots are.
//!
//! It goes by slots, not by siblings: what is next is a number, which no transaction can take away. Invariants:
//! a parent comes before its children; no node comes twice; a node that was there all along comes.

use super::acl_table::AclId;
use super::machine::Machine;
use super::tree::{NodeId, ROOT};
use jute::records::data::StatPersisted;
use std::sync::Arc;

/// What is to be done with each node: path (the root's is empty), data, number of the access list, stat.
pub type Visit<'v> = dyn FnMut(&str, Option<&[u8]>, i64, &StatPersisted) + 'v;

/// Where a walk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// There is more.
    More,
    /// That was all.
    Done,
    /// The state was replaced: what came so far fits nothing that is there now.
    Lost,
}

/// A walk over all nodes. While it lives, new nodes get numbers behind its end, so what it meets before its
/// end was there at the start, and with it all its ancestors.
#[derive(Debug)]
pub struct SnapshotWalk {
    hold: Arc<()>,
    next: u32,
    end: u32,
    /// The newest access list at the start.
    newest: AclId,
    /// A bit for each slot.
    seen: Vec<u64>,
    path: String,
    /// A node and its ancestors that did not come yet.
    chain: Vec<NodeId>,
}

impl SnapshotWalk {
    /// Starts one. The snapshot is named after the last zxid of this very look.
    #[must_use]
    pub fn new(machine: &Machine) -> Self {
        let end = machine.tree.top();
        let seen = vec![0; (end as usize).div_ceil(64)];
        let (hold, newest) = (machine.tree.hold(), machine.acls.newest());
        Self { hold, next: ROOT.0, end, newest, seen, path: String::new(), chain: Vec::new() }
    }

    /// The number of a list as the snapshot may name it. Its table of lists stands in front, so it may lack one that a
    /// node was given since, and the reference does not start on a number that it cannot find (ZOOKEEPER-4846). The
    /// transaction that gave it stands in the log behind the snapshot, and gives it again.
    fn listed(&self, acl: AclId) -> i64 {
        if acl > self.newest { AclId::OPEN.disk() } else { acl.disk() }
    }

    /// Marks a node; did it come before?
    fn see(&mut self, id: NodeId) -> bool {
        let Some(bits) = self.seen.get_mut(id.0 as usize / 64) else { return true };
        let bit = 1 << (id.0 % 64);
        std::mem::replace(bits, *bits | bit) & bit != 0
    }

    /// Shows the nodes of the next `slots` slots, and ancestors of theirs that did not come yet.
    pub fn next_slice(&mut self, machine: &Machine, slots: u32, visit: &mut Visit<'_>) -> Progress {
        let tree = &machine.tree;
        if !tree.holds(&self.hold) {
            return Progress::Lost;
        }
        let until = self.next.saturating_add(slots.max(1)).min(self.end);
        while self.next < until {
            let mut at = tree.at(self.next);
            self.next += 1;
            while let Some(id) = at.filter(|id| !self.see(*id)) {
                self.chain.push(id);
                at = tree.parent(id);
            }
            while let Some(id) = self.chain.pop() {
                tree.path_into(id, &mut self.path);
                visit(&self.path, tree.data(id), self.listed(tree.acl(id)), &tree.stat(id));
            }
        }
        if self.next < self.end { Progress::More } else { Progress::Done }
    }
}
