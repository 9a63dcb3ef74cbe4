//! What a node and a watch cost.

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

/// The budget is 185 bytes for a node of 100 bytes with a name of 8, whose block allocators round up to 112.
#[test]
fn nodes_are_small() {
    let mut m = Machine::new(Settings { digest: false, ..Settings::default() });
    m.replay(&payload(1, 1, 0, &create("/bench"), None)).unwrap();
    let n = 100_000;
    for i in 0..n {
        let path = Text::Owned(format!("/bench/n{i:07}"));
        let Body::Create(mut c) = create("/") else { panic!() };
        (c.path, c.data) = (path, Some([7; 100].as_slice()));
        m.replay(&payload(1, i + 2, 0, &Body::Create(c), None)).unwrap();
    }
    let each = m.tree.bytes() as f64 / n as f64;
    assert!((64.0 + 108.0..181.0).contains(&each), "{each}");
}

#[test]
fn a_million_watches_find_room() {
    let w = Watches::new(1);
    let count = 1_000_000_u32;
    for n in 0..count {
        w.add(WatcherId(n % 1000), &format!("/bench/n{n:07}"), Table::Data, Mode::Standard);
    }
    assert_eq!((w.counts().total, w.counts().data_watchers), (count as usize, 1000));
    let each = w.bytes() as f64 / f64::from(count);
    assert!((60.0..250.0).contains(&each), "{each}");
}
