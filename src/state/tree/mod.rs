//! The znodes: found by path, linked to parent and siblings, packed small. No transaction rule lives here.
//!
//! A path is stored nowhere. The index holds node ids under the hash of their full path; whether a candidate
//! is the right one is seen by walking up and comparing names from the path's end.
//!
//! Invariants: every node but the root is in the index and in its parent's list of children; `data_size` is
//! the sum of path and data lengths, counted as the reference counts them.

mod index;
mod node;
mod owners;
mod slab;

use super::acl_table::AclId;
use foldhash::fast::FixedState;
use index::Index;
use jute::records::data::{Stat, StatPersisted};
use node::Node;
use slab::{NONE, Slab, VACANT};
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

pub use owners::Owners;

/// A node's place in the tree. Good as long as the node is there; afterwards another node may get it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(super) u32);

/// The root is made first.
pub const ROOT: NodeId = NodeId(0);

/// All znodes of a server.
#[derive(Debug)]
pub struct Tree {
    slab: Slab,
    index: Index,
    hasher: FixedState,
    data_size: i64,
}

/// Length in UTF-16 units, which is what the reference sums up.
fn units(text: &str) -> i64 {
    let n = if text.is_ascii() { text.len() } else { text.chars().map(char::len_utf16).sum() };
    n.cast_signed() as i64
}

/// The root goes by two names.
fn canonical(path: &str) -> &str {
    if path == "/" { "" } else { path }
}

impl Tree {
    /// A tree with nothing but an empty root. `seed` keeps clients from choosing colliding paths.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut slab = Slab::new();
        slab.insert(Node::new("", Some(&[]), AclId::OPEN.0, 0, 0));
        // The reference keeps its root under both names, and counts both.
        Self { slab, index: Index::new(), hasher: FixedState::with_seed(seed), data_size: 1 }
    }

    fn hash(&self, path: &str) -> u32 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(path.as_bytes());
        let h = hasher.finish();
        (h ^ (h >> 32)) as u32
    }

    fn is_at(&self, id: u32, path: &[u8]) -> bool {
        let (mut id, mut rest) = (id, path);
        while id != ROOT.0 {
            let node = self.slab.node(id);
            match rest.strip_suffix(node.name_bytes()).and_then(|r| r.strip_suffix(b"/")) {
                Some(r) => rest = r,
                None => return false,
            }
            id = node.parent;
        }
        rest.is_empty()
    }

    /// The node at a path; the empty path is the root.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<NodeId> {
        let path = canonical(path);
        if path.is_empty() {
            return Some(ROOT);
        }
        let hash = self.hash(path);
        let is = |id: &u32| self.slab.node(*id).hash == hash && self.is_at(*id, path.as_bytes());
        self.index.find(hash, is).map(NodeId)
    }

    /// Nodes, the root once.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// Never: there is always a root.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Path and data lengths summed up.
    #[must_use]
    pub fn data_size(&self) -> i64 {
        self.data_size
    }

    /// One more than the highest number of a node.
    pub(super) fn top(&self) -> u32 {
        self.slab.top()
    }

    /// Until the answer is dropped, new nodes get numbers behind all that are or were there.
    pub(super) fn hold(&self) -> Arc<()> {
        self.slab.hold()
    }

    /// Is this hold one of this tree?
    pub(super) fn holds(&self, hold: &Arc<()>) -> bool {
        self.slab.holds(hold)
    }

    /// The node with this number, if it is in use.
    pub(super) fn at(&self, number: u32) -> Option<NodeId> {
        self.slab.get(number).map(|_| NodeId(number))
    }

    /// Adds a node. `path` is the parent's path, `/` and a name, and is not taken.
    pub fn insert(
        &mut self,
        parent: NodeId,
        path: &str,
        data: Option<&[u8]>,
        acl: AclId,
        stat: &StatPersisted,
    ) -> NodeId {
        let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
        let mut node = Node::new(name, data, acl.0, stat.czxid, stat.ctime);
        node.hash = self.hash(path);
        node.parent = parent.0;
        let (hash, first) = (node.hash, self.slab.node(parent.0).more().map_or(NONE, |m| m.first_child));
        node.next = first;
        let id = self.slab.insert(node);
        if first != NONE {
            self.slab.node_mut(first).prev = id;
        }
        let family = self.slab.node_mut(parent.0).more_mut();
        family.first_child = id;
        family.num_children += 1;
        let slab = &self.slab;
        self.index.insert(hash, id, |id| slab.node(id).hash);
        self.data_size += units(path) + self.slab.node(id).data_len().cast_signed() as i64;
        self.set_stat(NodeId(id), stat);
        NodeId(id)
    }

    /// Takes a childless node out. The root stays.
    pub fn remove(&mut self, id: NodeId, path: &str) {
        let node = self.slab.node(id.0);
        if id == ROOT || node.parent == VACANT {
            return;
        }
        let (parent, next, prev, hash) = (node.parent, node.next, node.prev, node.hash);
        self.data_size -= units(path) + node.data_len().cast_signed() as i64;
        self.index.remove(hash, id.0);
        if next != NONE {
            self.slab.node_mut(next).prev = prev;
        }
        if prev != NONE {
            self.slab.node_mut(prev).next = next;
        }
        let family = self.slab.node_mut(parent).more_mut();
        family.num_children -= 1;
        if prev == NONE {
            family.first_child = next;
        }
        self.slab.remove(id.0);
    }

    /// The last component.
    #[must_use]
    pub fn name(&self, id: NodeId) -> &str {
        self.slab.node(id.0).name()
    }

    /// The data.
    #[must_use]
    pub fn data(&self, id: NodeId) -> Option<&[u8]> {
        self.slab.node(id.0).data()
    }

    /// Puts other data in; nothing else changes.
    pub fn set_data(&mut self, id: NodeId, data: Option<&[u8]>) {
        let node = self.slab.node_mut(id.0);
        let before = node.data_len().cast_signed() as i64;
        node.set_data(data);
        self.data_size += node.data_len().cast_signed() as i64 - before;
    }

    /// The access list's number.
    #[must_use]
    pub fn acl(&self, id: NodeId) -> AclId {
        AclId(self.slab.node(id.0).acl)
    }

    /// Puts another access list in.
    pub fn set_acl(&mut self, id: NodeId, acl: AclId) {
        self.slab.node_mut(id.0).acl = acl.0;
    }

    /// The parent; the root has none.
    #[must_use]
    pub fn parent(&self, id: NodeId) -> Option<NodeId> {
        let parent = self.slab.node(id.0).parent;
        (parent != NONE && parent != VACANT).then_some(NodeId(parent))
    }

    /// Direct children.
    #[must_use]
    pub fn num_children(&self, id: NodeId) -> i32 {
        self.slab.node(id.0).more().map_or(0, |m| m.num_children.cast_signed())
    }

    /// The children, newest first.
    pub fn children(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        let first = self.slab.node(id.0).more().map_or(NONE, |m| m.first_child);
        let some = |id: u32| (id != NONE).then_some(NodeId(id));
        std::iter::successors(some(first), move |id| some(self.slab.node(id.0).next))
    }

    /// How many nodes are below.
    #[must_use]
    pub fn descendants(&self, id: NodeId) -> usize {
        if id == ROOT { self.len() - 1 } else { self.subtree(id).count() - 1 }
    }

    /// The node and everything below it, parents first.
    pub fn subtree(&self, top: NodeId) -> impl Iterator<Item = NodeId> {
        std::iter::successors(Some(top), move |&at| {
            if let Some(child) = self.children(at).next() {
                return Some(child);
            }
            let mut at = at;
            while at != top {
                let node = self.slab.node(at.0);
                if node.next != NONE {
                    return Some(NodeId(node.next));
                }
                at = NodeId(node.parent);
            }
            None
        })
    }

    /// The stat as stored: `cversion` counts creations, the owner is packed.
    #[must_use]
    pub fn stat(&self, id: NodeId) -> StatPersisted {
        let node = self.slab.node(id.0);
        let (czxid, ctime) = (node.czxid, node.ctime);
        match node.more() {
            None => {
                StatPersisted { czxid, mzxid: czxid, ctime, mtime: ctime, pzxid: czxid, ..Default::default() }
            }
            Some(m) => StatPersisted {
                czxid,
                mzxid: m.mzxid,
                ctime,
                mtime: m.mtime,
                version: m.version,
                cversion: m.cversion,
                aversion: m.aversion,
                ephemeral_owner: m.owner,
                pzxid: m.pzxid,
            },
        }
    }

    /// The stat as clients see it, but for the owner, which depends on settings: it is packed here.
    #[must_use]
    pub fn shown_stat(&self, id: NodeId) -> Stat {
        let s = self.stat(id);
        let num_children = self.num_children(id);
        Stat {
            czxid: s.czxid,
            mzxid: s.mzxid,
            ctime: s.ctime,
            mtime: s.mtime,
            version: s.version,
            cversion: s.cversion.wrapping_mul(2).wrapping_sub(num_children),
            aversion: s.aversion,
            ephemeral_owner: s.ephemeral_owner,
            data_length: i32::try_from(self.slab.node(id.0).data_len()).unwrap_or(i32::MAX),
            num_children,
            pzxid: s.pzxid,
        }
    }

    /// Replaces the whole stat.
    pub fn set_stat(&mut self, id: NodeId, s: &StatPersisted) {
        let node = self.slab.node_mut(id.0);
        (node.czxid, node.ctime) = (s.czxid, s.ctime);
        let born = (s.czxid, s.ctime, s.czxid, 0, 0, 0, 0)
            == (s.mzxid, s.mtime, s.pzxid, s.ephemeral_owner, s.version, s.cversion, s.aversion);
        if born && node.more().is_none() {
            return;
        }
        let m = node.more_mut();
        (m.mzxid, m.mtime, m.pzxid, m.owner) = (s.mzxid, s.mtime, s.pzxid, s.ephemeral_owner);
        (m.version, m.cversion, m.aversion) = (s.version, s.cversion, s.aversion);
    }

    /// What all nodes take, but for the rounding of the allocator and the rest of the last chunk.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let node = |n: u32| self.slab.get(n).map_or(0, Node::bytes);
        (0..self.slab.top()).map(node).sum::<usize>() + self.index.bytes()
    }

    /// Does the node need more than its cache line?
    #[cfg(test)]
    pub(super) fn has_extras(&self, id: NodeId) -> bool {
        self.slab.node(id.0).more().is_some()
    }

    /// Replaces `text` by the node's path; the root's is empty.
    pub fn path_into(&self, id: NodeId, text: &mut String) {
        let mut bytes = std::mem::take(text).into_bytes();
        bytes.clear();
        let mut at = id.0;
        let mut len = 0;
        while at != ROOT.0 {
            let node = self.slab.node(at);
            len += node.name_bytes().len() + 1;
            at = node.parent;
        }
        bytes.resize(len, b'/');
        let mut rest = bytes.as_mut_slice();
        at = id.0;
        while at != ROOT.0 {
            let node = self.slab.node(at);
            let name = node.name_bytes();
            let Some((front, tail)) = rest.split_at_mut_checked(rest.len() - name.len()) else { break };
            tail.copy_from_slice(name);
            let Some((_, front)) = front.split_last_mut() else { break };
            rest = front;
            at = node.parent;
        }
        *text = String::from_utf8(bytes).unwrap_or_default();
    }

    /// The node's path as clients write it.
    #[must_use]
    pub fn path(&self, id: NodeId) -> String {
        let mut text = String::new();
        self.path_into(id, &mut text);
        if text.is_empty() {
            text.push('/');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(tree: &mut Tree, path: &str) -> NodeId {
        let parent = tree.find(path.rsplit_once('/').unwrap().0).unwrap();
        tree.insert(parent, path, Some(b"x"), AclId::OPEN, &StatPersisted::default())
    }

    #[test]
    fn finds_by_path_and_nothing_else() {
        let mut tree = Tree::new(1);
        let a = add(&mut tree, "/a");
        let b = add(&mut tree, "/a/b");
        assert_eq!((tree.find("/a"), tree.find("/a/b")), (Some(a), Some(b)));
        assert_eq!((tree.find(""), tree.find("/")), (Some(ROOT), Some(ROOT)));
        for none in ["a", "/a/", "//a", "/b", "/a/b/", "/a/b/c", "b"] {
            assert_eq!(tree.find(none), None, "{none}");
        }
        assert_eq!((tree.path(b), tree.path(ROOT)), ("/a/b".to_owned(), "/".to_owned()));
        assert_eq!(tree.data_size(), 1 + 3 + 5);
    }

    #[test]
    fn children_come_and_go() {
        let mut tree = Tree::new(1);
        add(&mut tree, "/a");
        for n in 0..5 {
            add(&mut tree, &format!("/a/{n}"));
        }
        let a = tree.find("/a").unwrap();
        for gone in ["/a/0", "/a/2", "/a/4"] {
            tree.remove(tree.find(gone).unwrap(), gone);
        }
        let names: Vec<&str> = tree.children(a).map(|c| tree.name(c)).collect();
        assert_eq!((names, tree.num_children(a)), (vec!["3", "1"], 2));
        assert_eq!(tree.find("/a/2"), None);
        tree.remove(tree.find("/a/1").unwrap(), "/a/1");
        assert_eq!(tree.children(a).map(|c| tree.name(c)).collect::<Vec<_>>(), ["3"]);
        add(&mut tree, "/a/1");
        assert_eq!(tree.subtree(ROOT).count(), 4);
        assert_eq!(tree.subtree(a).count(), 3);
    }

    #[test]
    fn the_size_counts_utf16_units() {
        let mut tree = Tree::new(1);
        add(&mut tree, "/ü漢");
        assert_eq!(tree.data_size(), 1 + 3 + 1);
    }
}
