//! Frames, headers and bodies: what is odd about bytes, whatever they ask for.

use jute::OpCode;

use super::{Directed, Script, deviating, script};
use crate::garbage::{NO_OPERATIONS, bad_frames, no_operation};
use crate::request::*;

fn frames(s: &mut Script) {
    for (text, bytes) in bad_frames() {
        s.connect(1);
        s.bytes(1, text, bytes, true);
        s.each(0, [ping()]);
    }
}

fn operations(s: &mut Script) {
    for op in NO_OPERATIONS {
        s.connect(1);
        s.each(1, [no_operation(*op)]);
        s.each(0, [ping()]);
    }
    s.connect(1);
    s.each(1, [check(s.root.clone(), -1)]);
}

/// Data just inside and just outside of the longest frame.
fn longest(s: &mut Script) {
    let path = s.at("/big");
    let empty = create_as(OpCode::Create, &path, Some(b""), &open(), 0);
    let room = 0xf_ffff - empty.body.len() - 8;
    let of = |n: usize| create_as(OpCode::Create, &path, Some(&vec![b'x'; n]), &open(), 0);
    s.each(0, [of(room), exists(&path, false), get(&path, false), of(room + 1)]);
    s.connect(0);
    s.each(0, [exists(&path, false), delete(&path, -1), create(&path, 0)]);
    let room = 0xf_ffff - set(&path, Some(b""), -1).body.len() - 8;
    s.each(0, [set(&path, Some(&vec![b'y'; room]), -1), set(&path, Some(&vec![b'z'; room + 1]), -1)]);
    s.connect(0);
    s.each(0, [exists(&path, false)]);
}

/// A sound body for every operation.
fn one_of_each(root: &str) -> Vec<Req> {
    let lists = |n: usize| vec![paths(&[root]); n];
    vec![
        create(format!("{root}/c"), 0),
        create2(format!("{root}/c2"), 0),
        container(format!("{root}/cc"), 0),
        create_ttl(format!("{root}/ct"), Some(b"d"), &open(), 5, 86_400_000),
        delete(format!("{root}/c"), 0),
        set(root, Some(b"data"), -1),
        set_acl(root, &open(), -1),
        exists(root, true),
        get(root, true),
        get_acl(root),
        children(root, true),
        children2(root, true),
        of_path(OpCode::Sync, root),
        of_path(OpCode::GetEphemerals, root),
        of_path(OpCode::GetAllChildrenNumber, root),
        add_watch(root, 0),
        check_watches(root, 3),
        remove_watches(root, 3),
        set_watches(OpCode::SetWatches, 0, &lists(3)),
        set_watches(OpCode::SetWatches2, 0, &lists(5)),
        multi(&[create(format!("{root}/m"), 0), check(root, -1), delete(format!("{root}/m"), -1)]),
        multi_read(&[get(root, false), children(root, false)]),
        reconfig(NULL, NULL, Str::from("server.1=127.0.0.1:1:2"), -1),
        bare(OpCode::WhoAmI),
        ping(),
    ]
}

/// Every body cut at every place. One session, for -5 closes nothing.
fn truncated(s: &mut Script) {
    for req in one_of_each(&s.root.clone()) {
        for n in 0..req.body.len() {
            s.each(0, [req.clone().cut(n)]);
        }
    }
    s.each(0, [get(s.root.clone(), false)]);
}

fn trailing(s: &mut Script) {
    for req in one_of_each(&s.root.clone()) {
        s.each(0, [req.clone().trailing(&[1]), req.trailing(&[0xff; 40])]);
    }
    s.burst(0, [bare(OpCode::CloseSession).trailing(b"bye")]);
}

fn patched(mut req: Req, at: usize, value: i32) -> Req {
    if let Some(place) = req.body.get_mut(at..at + 4) {
        place.copy_from_slice(&value.to_be_bytes());
    }
    req.text = format!("{} with {value} at byte {at}", req.text);
    req
}

/// Lengths and counts that promise too much, too little, or nothing.
fn lengths(s: &mut Script) {
    let root = s.root.clone();
    let values = [-1, -2, i32::MIN, i32::MAX, 0x20_0000, 0x20_0001, 2_097_150, 2_097_151, 100];
    for req in one_of_each(&root) {
        // Its flags would no longer be those of a time to live.
        let last = if req.op == OpCode::CreateTtl.code() { 0 } else { req.body.len().saturating_sub(4) };
        for at in [0, 4 + root.len() + 2, 8].into_iter().filter(|at| *at <= last) {
            for value in values {
                s.each(0, [patched(req.clone(), at, value)]);
            }
        }
    }
    // The count of an access list.
    let req = create(s.at("/v"), 0);
    let at = 4 + s.at("/v").len() + 4 + 1;
    for value in values {
        s.each(0, [patched(req.clone(), at, value)]);
    }
    s.each(0, [get(root, false)]);
}

fn nulls(s: &mut Script) {
    let root = s.root.clone();
    let null_paths = vec![
        create(NULL, 0),
        create2(NULL, 0),
        container(NULL, 0),
        create_ttl(NULL, None, &open(), 5, 86_400_000),
        delete(NULL, -1),
        set(NULL, None, -1),
        set_acl(NULL, &open(), -1),
        exists(NULL, true),
        get(NULL, true),
        get_acl(NULL),
        children(NULL, true),
        children2(NULL, true),
        of_path(OpCode::Sync, NULL),
        of_path(OpCode::GetEphemerals, NULL),
        of_path(OpCode::GetAllChildrenNumber, NULL),
        add_watch(NULL, 0),
        add_watch(NULL, 1),
        check_watches(NULL, 3),
        remove_watches(NULL, 3),
        multi(&[check(NULL, -1)]),
        multi(&[create(NULL, 0)]),
        multi(&[delete(NULL, -1)]),
        multi(&[set(NULL, None, -1)]),
        multi_read(&[get(NULL, false)]),
        multi_read(&[children(NULL, false)]),
        reconfig(NULL, NULL, NULL, -1),
        reconfig(NULL, NULL, NULL, 5),
    ];
    for req in null_paths {
        s.each(0, [req, get(root.clone(), false)]);
    }
    for n in [3, 5] {
        let op = if n == 3 { OpCode::SetWatches } else { OpCode::SetWatches2 };
        for at in 0..n {
            let mut lists = vec![paths(&[]); n];
            if let Some(list) = lists.get_mut(at) {
                *list = None;
            }
            s.each(0, [set_watches(op, 0, &lists)]);
            if let Some(list) = lists.get_mut(at) {
                *list = Some(vec![NULL]);
            }
            s.each(0, [set_watches(op, 0, &lists), ping()]);
        }
    }
    s.each(0, [exists(root, false)]);
}

fn null_and_empty_data(s: &mut Script) {
    for (i, data) in [None, Some(&b""[..]), Some(&b"x"[..])].into_iter().enumerate() {
        let path = s.at(&format!("/{i}"));
        s.each(
            0,
            [create_as(OpCode::Create2, &path, data, &open(), 0), get(&path, false), exists(&path, false)],
        );
        for other in [Some(&b"yy"[..]), None, Some(b"")] {
            s.each(0, [set(&path, other, -1), get(&path, false)]);
        }
        s.each(0, [multi(&[set(&path, None, -1)]), multi_read(&[get(&path, false)])]);
    }
}

fn xids(s: &mut Script) {
    let root = s.root.clone();
    for xid in [0, -2, -3, -4, -8, -100, i32::MIN, i32::MAX, 5, 5] {
        s.each(
            0,
            [
                get(&root, false).xid(xid),
                set(&root, None, -1).xid(xid),
                get("/none", false).xid(xid),
                delete("/none", -1).xid(xid),
                auth("digest", Some(b"a:b")).xid(xid),
                set_watches(OpCode::SetWatches, 0, &[paths(&[]), paths(&[]), paths(&[])]).xid(xid),
                bare(OpCode::Ping).xid(xid),
                sasl(Some(b"")).xid(xid),
            ],
        );
    }
    for op in [999, 0] {
        s.connect(0);
        s.each(0, [no_operation(op).xid(-4)]);
    }
}

/// Writes that depend on writes which are still on their way, with reads between them.
fn pipelined(s: &mut Script) {
    let p = |i: usize| format!("/p{i}");
    let mut burst = Vec::new();
    for i in 0..12 {
        let path = s.at(&p(i));
        burst.extend([
            create(&path, 0),
            create(format!("{path}/kid"), 0),
            get(&path, true),
            set(&path, Some(b"1"), 0),
            set(&path, Some(b"2"), 0),
            exists(&path, true),
            create(format!("{path}/n"), 2),
            create(format!("{path}/n"), 3),
            children2(&path, true),
            delete(&path, -1),
            delete(format!("{path}/kid"), -1),
            multi(&[check(&path, 1), set(&path, Some(b"3"), 1), check(&path, 2)]),
            multi(&[create(format!("{path}/m"), 0), check(&path, 0)]),
            create(format!("{path}/m"), 0),
            set_acl(&path, &open(), 0),
            set_acl(&path, &open(), 0),
            get_acl(&path),
            ping(),
            of_path(OpCode::Sync, &path),
        ]);
    }
    s.burst(0, burst);
}

/// Clients may not ask for these, though the reference lets them.
fn server_operations(s: &mut Script) {
    let path = s.at("/c");
    s.each(0, [container(&path, 0), of_path(OpCode::DeleteContainer, &path)]);
}

fn session_operation(s: &mut Script) {
    s.each(0, [raw(OpCode::CreateSession.code(), 40_000_i32.to_be_bytes().to_vec(), "40000")]);
}

pub(super) fn all() -> Vec<Directed> {
    vec![
        script("bad-frames", 1, frames),
        script("unknown-operations", 1, operations),
        script("longest-frame", 1, longest),
        script("truncated-bodies", 1, truncated),
        script("trailing-bytes", 1, trailing),
        script("lengths-and-counts", 1, lengths),
        script("null-paths-and-lists", 1, nulls),
        script("null-and-empty-data", 1, null_and_empty_data),
        script("fixed-xids", 1, xids),
        script("pipelined-writes", 1, pipelined),
        deviating("client-deletes-a-container", 1, server_operations),
        deviating("client-creates-a-session", 1, session_operation),
    ]
}
