//! Where nodes live: chunks that never move and never grow, and a list of the free slots among them.
//!
//! Invariant: an id handed out stays valid until it is freed; after that it may be handed out again, but not
//! while anybody holds the slab: during a hold new nodes go behind all that are or were there.

use super::node::Node;
use std::sync::Arc;

/// No node.
pub(super) const NONE: u32 = u32::MAX;
/// The parent of a free slot.
pub(super) const VACANT: u32 = u32::MAX - 1;

/// Numbers of a chunk. 256 KiB of nodes: growth costs one such step, never a copy of what is there.
const CHUNK: usize = 4096;
/// Nodes of a chunk: the last number stays unused, as the allocator rounds a full 256 KiB up by a quarter.
const SLOTS: usize = CHUNK - 1;
const SHIFT: u32 = CHUNK.trailing_zeros();

#[derive(Debug)]
pub(super) struct Slab {
    chunks: Vec<Vec<Node>>,
    free: u32,
    len: usize,
    /// Every other owner of this is a hold.
    token: Arc<()>,
}

impl Slab {
    pub(super) fn new() -> Self {
        Self { chunks: Vec::new(), free: NONE, len: 0, token: Arc::new(()) }
    }

    /// Until the answer is dropped, no free slot is used again.
    pub(super) fn hold(&self) -> Arc<()> {
        self.token.clone()
    }

    /// Is this hold one of this slab?
    pub(super) fn holds(&self, hold: &Arc<()>) -> bool {
        Arc::ptr_eq(&self.token, hold)
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// One more than the highest id ever handed out.
    pub(super) fn top(&self) -> u32 {
        match self.chunks.split_last() {
            Some((last, full)) => ((full.len() << SHIFT) + last.len()) as u32,
            None => 0,
        }
    }

    /// The first id that was never handed out.
    fn next(&self) -> u32 {
        match self.chunks.last() {
            Some(last) if last.len() == SLOTS => (self.chunks.len() << SHIFT) as u32,
            _ => self.top(),
        }
    }

    /// The node in use under this number, if there is one.
    pub(super) fn get(&self, id: u32) -> Option<&Node> {
        let node = self.chunks.get((id >> SHIFT) as usize)?.get(id as usize & (CHUNK - 1))?;
        (node.parent != VACANT).then_some(node)
    }

    /// The node behind an id that the tree itself keeps.
    #[expect(clippy::indexing_slicing, reason = "ids are made here and kept by the tree alone")]
    pub(super) fn node(&self, id: u32) -> &Node {
        &self.chunks[(id >> SHIFT) as usize][id as usize & (CHUNK - 1)]
    }

    #[expect(clippy::indexing_slicing, reason = "ids are made here and kept by the tree alone")]
    pub(super) fn node_mut(&mut self, id: u32) -> &mut Node {
        &mut self.chunks[(id >> SHIFT) as usize][id as usize & (CHUNK - 1)]
    }

    pub(super) fn insert(&mut self, node: Node) -> u32 {
        self.len += 1;
        if self.free != NONE && Arc::strong_count(&self.token) == 1 {
            let id = self.free;
            self.free = self.node(id).next;
            *self.node_mut(id) = node;
            return id;
        }
        let id = self.next();
        match self.chunks.last_mut() {
            Some(last) if last.len() < SLOTS => last.push(node),
            _ => {
                let mut chunk = Vec::with_capacity(SLOTS);
                chunk.push(node);
                self.chunks.push(chunk);
            }
        }
        id
    }

    pub(super) fn remove(&mut self, id: u32) {
        self.len -= 1;
        *self.node_mut(id) = Node::vacant(self.free);
        self.free = id;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_used_again() {
        let mut slab = Slab::new();
        let ids: Vec<u32> = (0..5000).map(|n| slab.insert(Node::new("n", None, 0, n, 0))).collect();
        assert_eq!((slab.len(), slab.top(), ids[4999]), (5000, 5001, 5000));
        slab.remove(7);
        slab.remove(4500);
        assert!(slab.get(7).is_none() && slab.get(8).is_some() && slab.get(4095).is_none());
        assert_eq!(slab.insert(Node::new("a", None, 0, 0, 0)), 4500);
        assert_eq!(slab.insert(Node::new("b", None, 0, 0, 0)), 7);
        assert_eq!((slab.len(), slab.top()), (5000, 5001));
    }

    #[test]
    fn not_while_somebody_holds_them() {
        let mut slab = Slab::new();
        for n in 0..10 {
            slab.insert(Node::new("n", None, 0, n, 0));
        }
        slab.remove(3);
        let hold = slab.hold();
        assert!(slab.holds(&hold) && !Slab::new().holds(&hold));
        slab.remove(4);
        slab.remove(5);
        assert_eq!(slab.insert(Node::new("a", None, 0, 0, 0)), 10);
        drop(hold);
        let mut again: Vec<u32> = (0..4).map(|_| slab.insert(Node::new("c", None, 0, 0, 0))).collect();
        again.sort_unstable();
        assert_eq!(again, [3, 4, 5, 11]);
    }
}
