//! One znode in one cache line: what nearly every node has, packed; what few nodes have, behind a pointer.
//!
//! A node that was only ever created (no new data, no children, no owner) has no [`More`]: the missing fields
//! follow from its birth. Name and data share one heap block, name first.

use super::slab::NONE;

/// Set in [`Node::name_len`] where the data is null, which differs from empty.
const NULL_DATA: u32 = 1 << 31;

/// The packed node.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Node {
    pub(super) czxid: i64,
    pub(super) ctime: i64,
    /// Name, then data.
    block: Box<[u8]>,
    more: Option<Box<More>>,
    name_len: u32,
    pub(super) acl: u32,
    /// Of the full path; kept so that neither growth of the index nor most mismatches walk to the root.
    pub(super) hash: u32,
    pub(super) parent: u32,
    pub(super) next: u32,
    pub(super) prev: u32,
}

/// What differs from birth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct More {
    pub(super) mzxid: i64,
    pub(super) mtime: i64,
    pub(super) pzxid: i64,
    /// Packed: session, container, TTL or 0.
    pub(super) owner: i64,
    pub(super) version: i32,
    pub(super) cversion: i32,
    pub(super) aversion: i32,
    pub(super) first_child: u32,
    pub(super) num_children: u32,
}

const _: () = assert!(size_of::<Node>() == 64);
const _: () = assert!(size_of::<More>() == 56);

impl More {
    pub(super) fn birth(czxid: i64, ctime: i64) -> Self {
        Self {
            mzxid: czxid,
            mtime: ctime,
            pzxid: czxid,
            owner: 0,
            version: 0,
            cversion: 0,
            aversion: 0,
            first_child: NONE,
            num_children: 0,
        }
    }
}

fn block(name: &[u8], data: Option<&[u8]>) -> (Box<[u8]>, u32) {
    let bytes = data.unwrap_or_default();
    let mut block = Vec::with_capacity(name.len() + bytes.len());
    block.extend_from_slice(name);
    block.extend_from_slice(bytes);
    // A name is part of a path in a frame or a file record, both of which have 31-bit lengths.
    let len = u32::try_from(name.len()).unwrap_or(0);
    (block.into_boxed_slice(), if data.is_none() { len | NULL_DATA } else { len })
}

impl Node {
    pub(super) fn new(name: &str, data: Option<&[u8]>, acl: u32, czxid: i64, ctime: i64) -> Self {
        let (block, name_len) = block(name.as_bytes(), data);
        let (more, hash, parent, next, prev) = (None, 0, NONE, NONE, NONE);
        Self { czxid, ctime, block, more, name_len, acl, hash, parent, next, prev }
    }

    /// A free slot, with the next free one behind it.
    pub(super) fn vacant(next: u32) -> Self {
        let mut node = Self::new("", None, 0, 0, 0);
        (node.parent, node.next) = (super::slab::VACANT, next);
        node
    }

    fn split(&self) -> (&[u8], &[u8]) {
        let len = (self.name_len & !NULL_DATA) as usize;
        self.block.split_at_checked(len).unwrap_or_default()
    }

    pub(super) fn name_bytes(&self) -> &[u8] {
        self.split().0
    }

    pub(super) fn name(&self) -> &str {
        std::str::from_utf8(self.split().0).unwrap_or_default()
    }

    pub(super) fn data(&self) -> Option<&[u8]> {
        (self.name_len & NULL_DATA == 0).then(|| self.split().1)
    }

    pub(super) fn data_len(&self) -> usize {
        self.split().1.len()
    }

    pub(super) fn set_data(&mut self, data: Option<&[u8]>) {
        (self.block, self.name_len) = block(self.split().0, data);
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.block.len() + self.more.as_ref().map_or(0, |_| size_of::<More>())
    }

    pub(super) fn more(&self) -> Option<&More> {
        self.more.as_deref()
    }

    pub(super) fn more_mut(&mut self) -> &mut More {
        let (czxid, ctime) = (self.czxid, self.ctime);
        self.more.get_or_insert_with(|| Box::new(More::birth(czxid, ctime)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_and_data_share_a_block() {
        let mut n = Node::new("name", Some(b"data"), 1, 2, 3);
        assert_eq!((n.name(), n.data()), ("name", Some(&b"data"[..])));
        n.set_data(None);
        assert_eq!((n.name(), n.data(), n.data_len()), ("name", None, 0));
        n.set_data(Some(b""));
        assert_eq!((n.name(), n.data()), ("name", Some(&b""[..])));
    }
}
