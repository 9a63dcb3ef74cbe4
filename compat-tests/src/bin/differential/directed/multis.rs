//! Several operations as one.

use std::slice::from_ref;

use jute::OpCode;

use super::{Directed, Script, deviating, script};
use crate::request::*;

const DAY: i64 = 86_400_000;

/// The failing operation at every place.
fn failing(s: &mut Script) {
    let root = s.root.clone();
    let good = |i: usize| create(format!("{root}/g{i}"), 0);
    let bad = [
        delete("/none/none", -1),
        check(&root, 7),
        set(&root, None, 7),
        create(&root, 0),
        create("bad", 0),
        create_as(OpCode::Create, format!("{root}/x"), None, &only(31, "nonsense", ""), 0),
        create_as(OpCode::Create, format!("{root}/x"), None, &Some(vec![]), 0),
        delete(&root, -1),
        check("/none", -1),
        create_ttl(format!("{root}/t"), None, &open(), 5, 0),
    ];
    for wrong in bad {
        for at in 0..3 {
            let mut subs: Vec<Req> = (0..3).map(good).collect();
            subs.insert(at, wrong.clone());
            s.each(0, [multi(&subs), exists(format!("{root}/g0"), false)]);
        }
        s.each(0, [multi(from_ref(&wrong)), multi(&[wrong.clone(), wrong])]);
    }
}

/// Types of results, and operations that see the ones before.
fn working(s: &mut Script) {
    let p = s.at("/p");
    s.each(
        0,
        [
            multi(&[create(&p, 0), create2(format!("{p}/2"), 0), container(format!("{p}/c"), 0)]),
            multi(&[create_ttl(format!("{p}/t"), Some(b"t"), &open(), 5, DAY), create(format!("{p}/c4"), 4)]),
            multi(&[
                create2(format!("{p}/c5"), 4),
                create(format!("{p}/c4/kid"), 0),
                create(format!("{p}/s"), 3),
            ]),
            multi(&[create_ttl(format!("{p}/s"), None, &open(), 6, DAY), create(format!("{p}/s"), 2)]),
            multi(&[
                create(format!("{p}/x"), 0),
                create(format!("{p}/x/y"), 0),
                set(format!("{p}/x"), None, 0),
                check(format!("{p}/x"), 1),
            ]),
            multi(&[
                delete(format!("{p}/x/y"), 0),
                delete(format!("{p}/x"), 1),
                create(format!("{p}/x"), 1),
                check(format!("{p}/x"), 0),
            ]),
            multi(&[create(format!("{p}/x/y"), 0)]),
            multi(&[set(&p, Some(b"1"), -1), set(&p, Some(b"2"), 1), set(&p, Some(b"2"), 2), check(&p, 3)]),
            multi(&[delete(&p, -1)]),
            multi(&[
                create_ttl(format!("{p}/u0"), None, &open(), 0, -1),
                create_ttl(format!("{p}/u1"), None, &open(), 1, 5),
            ]),
            multi(&[
                create_ttl(format!("{p}/u4"), None, &open(), 4, -1),
                create_ttl(format!("{p}/u2"), None, &open(), 2, -1),
            ]),
            exists(format!("{p}/u4"), false),
            children2(&p, false),
            multi(&[]),
            multi(&[]),
            get(&p, false),
        ],
    );
}

/// Layouts that are none.
fn layouts(s: &mut Script) {
    let root = s.root.clone();
    let good = create(format!("{root}/g"), 0);
    let strangers = [
        set_acl(&root, &open(), -1),
        exists(&root, false),
        get(&root, false),
        children(&root, false),
        children2(&root, false),
        of_path(OpCode::DeleteContainer, &root),
        of_path(OpCode::Sync, &root),
        bare(OpCode::CloseSession),
        bare(OpCode::Ping),
        multi(&[]),
        multi(from_ref(&good)),
        raw(0, vec![], ""),
        raw(-1, vec![0, 0, 0, 0], ""),
        raw(99, vec![], ""),
        create(format!("{root}/f"), 7),
        create(format!("{root}/f"), -1),
        create(format!("{root}/f"), 5),
        create2(format!("{root}/f"), 6),
        container(format!("{root}/f"), 5),
        container(format!("{root}/f"), 9),
        create_ttl(format!("{root}/f"), None, &open(), 9, 5),
        create_as(OpCode::Create, format!("{root}/f"), None, &None, 0),
        create_as(OpCode::CreateContainer, format!("{root}/f"), None, &None, 0),
        create_ttl(format!("{root}/f"), None, &None, 5, DAY),
    ];
    for stranger in &strangers {
        s.each(
            0,
            [
                multi(from_ref(stranger)),
                multi(&[good.clone(), stranger.clone()]),
                multi(&[stranger.clone(), good.clone()]),
                multi_read(from_ref(stranger)),
                multi_read(&[get(&root, false), stranger.clone()]),
                exists(format!("{root}/g"), false),
            ],
        );
        s.each(0, [delete(format!("{root}/g"), -1)]);
    }
    for op in [OpCode::Multi, OpCode::MultiRead] {
        s.each(
            0,
            [unfinished(op, &[]), unfinished(op, from_ref(&good)), unfinished(op, &[get(&root, false)])],
        );
        s.each(0, [finished(op, &[]).trailing(b"more")]);
        // The end marker counts whatever its type and error say; so does `done` on a real operation.
        for header in [
            [0, 0, 0, 1, 1, 0, 0, 0, 0],
            [0, 0, 0, 99, 7, 0, 0, 0, 9],
            [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0],
        ] {
            s.each(0, [raw(op.code(), header.to_vec(), header.escape_ascii().to_string())]);
        }
    }
    s.each(0, [get(&root, false)]);
}

fn reading(s: &mut Script) {
    let root = s.root.clone();
    s.each(
        0,
        [
            create_as(OpCode::Create, s.at("/ro"), None, &only(30, "world", "anyone"), 0),
            create_as(OpCode::Create, s.at("/null"), None, &open(), 0),
            multi_read(&[get(&root, true), children(&root, true), get(s.at("/null"), true)]),
            multi_read(&[
                get("/none", true),
                get(&root, false),
                children("/none", false),
                get(s.at("/ro"), false),
            ]),
            multi_read(&[]),
            multi_read(&[children(s.at("/ro"), false), children("", false), get("", false)]),
            check_watches(&root, 3),
            set(&root, None, -1),
            multi_read(&[children2(&root, false)]),
            multi_read(&[get(&root, false), exists(&root, false)]),
            multi_read(&[delete(&root, -1)]),
        ],
    );
}

/// Events of one multi come in the order of its operations, all before the reply.
fn events(s: &mut Script) {
    let root = s.root.clone();
    for slot in [0, 1] {
        s.each(
            slot,
            [add_watch(&root, 1), add_watch(&root, 0), children(&root, true), exists(s.at("/a"), true)],
        );
    }
    let all = multi(&[
        create(s.at("/a"), 0),
        create(s.at("/a/b"), 0),
        set(s.at("/a"), None, -1),
        set(&root, None, -1),
        delete(s.at("/a/b"), -1),
        check(s.at("/a"), 1),
        delete(s.at("/a"), -1),
        create(s.at("/z"), 0),
    ]);
    s.each(0, [all.clone(), delete(s.at("/z"), -1), all]);
    s.each(0, [multi(&[create(s.at("/no"), 0), check(&root, 77)])]);
    s.barrier();
}

fn access(s: &mut Script) {
    let shut = s.at("/shut");
    s.each(1, [auth("digest", Some(b"bob:bobsecret"))]);
    s.each(1, [create_as(OpCode::Create, &shut, None, &only(31, "auth", ""), 0)]);
    for slot in [0, 1] {
        s.each(
            slot,
            [
                multi(&[check(&shut, 0)]),
                multi(&[set(&shut, None, 0)]),
                multi(&[create(format!("{shut}/k"), 0), delete(format!("{shut}/k"), -1)]),
                multi(&[create_as(
                    OpCode::Create,
                    s.at(&format!("/own{slot}")),
                    None,
                    &only(31, "auth", ""),
                    0,
                )]),
                multi(&[delete(format!("{shut}/none"), -1)]),
            ],
        );
    }
    let closed = only(1, "world", "anyone");
    s.each(
        0,
        [multi(&[
            create_as(OpCode::Create, s.at("/fresh"), None, &closed, 0),
            create(s.at("/fresh/kid"), 0),
        ])],
    );
    s.each(
        0,
        [multi(&[create_as(OpCode::Create, s.at("/fresh"), None, &closed, 1), set(s.at("/fresh"), None, 0)])],
    );
    s.each(0, [multi(&[create(s.at("/eph"), 1), create(s.at("/eph/kid"), 0)])]);
}

/// Flags of an ephemeral node with the operation that makes a container, and a child in the same multi.
fn ephemeral_container(s: &mut Script) {
    let path = s.at("/c");
    s.each(0, [multi(&[container(&path, 1), create(format!("{path}/kid"), 0)])]);
}

pub(super) fn all() -> Vec<Directed> {
    vec![
        deviating("container-that-says-ephemeral", 1, ephemeral_container),
        script("multi-failing", 1, failing),
        script("multi-working", 1, working),
        script("multi-layouts", 1, layouts),
        script("multi-read", 1, reading),
        script("multi-events", 2, events),
        script("multi-access", 2, access),
    ]
}
