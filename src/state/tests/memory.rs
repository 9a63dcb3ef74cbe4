//! What a node and a watch cost, by sizes of types and of allocator classes.

use super::*;
use crate::state::watch::{Mode, Table};

#[test]
fn a_plain_leaf_needs_no_second_allocation() {
    let mut m = Machine::new(Settings::default());
    m.replay(&payload(1, 1, 0, &create("/a"), None)).unwrap();
    let id = m.tree.find("/a").unwrap();
    assert!(!m.tree.has_extras(id), "a leaf that was only created");
    assert_eq!(m.tree.stat(id).mtime, 0);
    m.replay(&payload(1, 2, 0, &set_data("/a", b"x", 1), None)).unwrap();
    assert!(m.tree.has_extras(id));
}

#[test]
fn a_million_watches_find_room() {
    let w = Watches::new(1);
    for n in 0..1000_u32 {
        w.add(WatcherId(n % 10), &format!("/bench/n{n:07}"), Table::Data, Mode::Standard);
    }
    assert_eq!((w.counts().total, w.counts().data_watchers), (1000, 10));
}
