//! Single writes: the order of checks where two of them disagree, paths, modes, versions, counters.

use jute::OpCode;

use super::{Directed, Script, script};
use crate::garbage::bad_paths;
use crate::request::*;

const DAY: i64 = 86_400_000;

/// Every pair of reasons to refuse a create: the first in the order must win.
fn create_order(s: &mut Script) {
    s.each(
        0,
        [
            create_as(OpCode::Create, s.at("/shut"), None, &only(1, "world", "anyone"), 0),
            create(s.at("/e"), 1),
            create(s.at("/full"), 0),
            create(s.at("/c"), 4),
        ],
    );
    let parents = ["", "/shut", "/e", "/none", "/full", "/c"];
    let names = ["/x", "/full", "/", "/\u{1}", "//", "/."];
    let lists = [open(), None, Some(vec![]), only(31, "nonsense", "x")];
    for parent in parents {
        for name in names {
            let path = s.at(&format!("{parent}{name}"));
            for list in &lists {
                for flags in [0, 1, 2, 7] {
                    s.each(0, [create_as(OpCode::Create2, &path, None, list, flags)]);
                }
                s.each(0, [create_ttl(&path, None, list, 5, 0), create_ttl(&path, None, list, 5, DAY)]);
            }
        }
    }
    s.each(0, [children2(s.root.clone(), false)]);
}

fn modes(s: &mut Script) {
    let ops = [OpCode::Create, OpCode::Create2, OpCode::CreateContainer];
    for op in ops {
        for flags in [0, 1, 2, 3, 4, 5, 6, 7, 8, -1, i32::MAX, i32::MIN] {
            let path = s.at(&format!("/{}-{flags}", op.name()));
            s.each(
                0,
                [
                    create_as(op, &path, Some(b"d"), &open(), flags),
                    exists(&path, false),
                    create(format!("{path}/kid"), 0),
                    create(format!("{path}0000000000/kid"), 0),
                ],
            );
        }
    }
    let ttls = [DAY, 1_099_511_627_775, 1_099_511_627_776, 0, -1, i64::MIN, i64::MAX];
    for (i, ttl) in ttls.into_iter().enumerate() {
        for flags in [5, 6] {
            s.each(0, [create_ttl(s.at(&format!("/t{i}{flags}")), None, &open(), flags, ttl)]);
        }
        // Negative ones are left out here: they end the reference.
        for flags in [0, 1, 2, 3, 4, 7, -1].into_iter().filter(|_| ttl >= 0) {
            s.each(0, [create_ttl(s.at(&format!("/u{i}{flags}")), None, &open(), flags, ttl)]);
        }
    }
    s.each(0, [children2(s.root.clone(), false), of_path(OpCode::GetEphemerals, "/")]);
}

/// Every bad path for every operation.
fn paths_everywhere(s: &mut Script) {
    let root = s.root.clone();
    s.each(0, [create(s.at("/a"), 0)]);
    for path in bad_paths(&s.at("/a")) {
        s.each(
            0,
            [
                create(&path, 0),
                create(&path, 2),
                create2(&path, 3),
                container(&path, 0),
                create_ttl(&path, None, &open(), 5, DAY),
                exists(&path, true),
                get(&path, true),
                get_acl(&path),
                children(&path, true),
                children2(&path, true),
                of_path(OpCode::GetAllChildrenNumber, &path),
                of_path(OpCode::GetEphemerals, &path),
                of_path(OpCode::Sync, &path),
                add_watch(&path, 0),
                check_watches(&path, 3),
                remove_watches(&path, 3),
                multi(&[check(&path, -1)]),
                multi(&[create(&path, 0), delete(&path, -1)]),
                multi_read(&[get(&path, false), children(&path, false)]),
            ],
        );
        // The roots of the tree are changed by other sequences.
        if path != Str::from("/") && path != Str::from("") {
            s.each(0, [set(&path, Some(b"p"), -1), set_acl(&path, &open(), -1)]);
        }
        s.each(0, [delete(&path, -1), exists(&root, false)]);
    }
}

fn delete_order(s: &mut Script) {
    let shut = s.at("/shut");
    s.each(
        0,
        [
            create(&shut, 0),
            create(format!("{shut}/kid"), 0),
            create(format!("{shut}/kid/kid"), 0),
            set_acl(&shut, &only(1, "world", "anyone"), -1),
            create(s.at("/p"), 0),
            create(s.at("/p/kid"), 0),
            create(s.at("/l"), 0),
            set(s.at("/l"), None, -1),
        ],
    );
    for path in
        ["/shut/kid", "/shut/none", "/shut", "/none/none", "/none", "/p", "/p/kid", "/l", "/p/", "/l/"]
    {
        for version in [5, i32::MIN, -2, 0, 1, -1] {
            s.each(0, [delete(s.at(path), version)]);
        }
    }
    for path in ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config", "", "a", "/zookeeper/none"] {
        s.each(0, [delete(path, -1), delete(path, 9)]);
    }
}

fn set_order(s: &mut Script) {
    s.each(
        0,
        [
            create_as(OpCode::Create, s.at("/ro"), Some(b"d"), &only(1, "world", "anyone"), 0),
            create_as(OpCode::Create, s.at("/wo"), Some(b"d"), &only(2, "world", "anyone"), 0),
            create_as(OpCode::Create, s.at("/ad"), Some(b"d"), &only(16, "world", "anyone"), 0),
            create(s.at("/rw"), 0),
        ],
    );
    for path in ["/ro", "/wo", "/ad", "/rw", "/none", "/rw/", "//", "/ro/none"] {
        for version in [9, -2, 0, 0, 1, -1] {
            s.each(0, [set(s.at(path), Some(b"d"), version)]);
            s.each(0, [exists(s.at(path), false)]);
        }
        for version in [9, -2, 0, 0, 1, -1] {
            let list = only(31, "nonsense", "x");
            s.each(0, [set_acl(s.at(path), &list, version)]);
            let list = only(if version == -1 { 31 } else { 17 }, "world", "anyone");
            s.each(0, [set_acl(s.at(path), &list, version), get_acl(s.at(path))]);
        }
    }
}

/// What each change does to the stats of a node and of its parent.
fn stats(s: &mut Script) {
    let (a, k) = (s.at("/a"), s.at("/a/k"));
    let look = |s: &mut Script| {
        let reqs = [exists(s.root.clone(), false), exists(s.at("/a"), false), exists(s.at("/a/k"), false)];
        s.each(0, reqs);
    };
    let changes = [
        create(&a, 0),
        create(&k, 0),
        set(&k, Some(b"same"), -1),
        set(&k, Some(b"same"), -1),
        set_acl(&k, &open(), -1),
        set(&a, None, 0),
        create(format!("{a}/n"), 2),
        delete(&k, -1),
        create(&k, 1),
        multi(&[set(&k, Some(b"1"), -1), set(&k, Some(b"22"), -1), delete(&k, 2), create(&k, 0)]),
        delete(format!("{a}/n0000000001"), -1),
        create(format!("{a}/n"), 2),
        create(format!("{a}/n"), 2),
        delete(&k, 0),
        multi(&[check(&a, 1), check(&k, 0)]),
    ];
    for change in changes {
        s.each(0, [change]);
        look(s);
    }
    for path in ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"] {
        s.each(
            0,
            [
                get(path, false),
                get_acl(path),
                children2(path, false),
                of_path(OpCode::GetAllChildrenNumber, path),
            ],
        );
    }
}

fn sequences(s: &mut Script) {
    let q = s.at("/q");
    s.each(
        0,
        [
            create(&q, 0),
            create(format!("{q}/"), 2),
            create(format!("{q}/a-"), 2),
            create(format!("{q}/b"), 0),
        ],
    );
    s.each(
        0,
        [
            create(format!("{q}/a-"), 3),
            delete(format!("{q}/a-0000000001"), -1),
            create2(format!("{q}/a-"), 2),
            container(format!("{q}/a-"), 2),
            container(format!("{q}/a-"), 3),
            create_ttl(format!("{q}/a-"), None, &open(), 6, DAY),
            multi(&[create(format!("{q}/m-"), 2), create(format!("{q}/m-"), 2), check(&q, 77)]),
            multi(&[create(format!("{q}/m-"), 2), create(format!("{q}/m-"), 3), check(&q, 0)]),
            create(format!("{q}/a-"), 2),
            create(format!("{q}/0000000012"), 0),
            create(format!("{q}/"), 2),
            create(format!("{q}/"), 2),
            create(format!("{q}/"), 2),
            create(format!("{q}//"), 2),
            create("/", 0),
            create("", 0),
            create("", 2),
            children2(&q, false),
        ],
    );
    let name = format!("{q}/z-");
    s.burst(0, (0..8).map(|i| create(&name, 2 + (i & 1))));
    s.each(0, [create("/", 2), create("/d-seq", 2)]);
}

fn built_in(s: &mut Script) {
    for path in ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"] {
        s.each(
            0,
            [
                create(path, 0),
                set(path, Some(b"new"), 7),
                set(path, Some(b"new"), -1),
                get(path, false),
                set(path, Some(b""), -1),
            ],
        );
    }
    for path in ["/", "/zookeeper", "/zookeeper/quota"] {
        s.each(0, [set_acl(path, &open(), 9), set_acl(path, &open(), -1), get_acl(path)]);
    }
    for path in ["/zookeeper/mine", "/zookeeper/quota/mine", "/zookeeper/config/mine"] {
        s.each(0, [create(path, 0), set(path, None, 0), delete(path, -1)]);
    }
    s.each(0, [set_acl("/zookeeper/config", &open(), -1)]);
}

fn quotas(s: &mut Script) {
    let q = format!("/zookeeper/quota{}", s.root);
    let (limits, usage) = (format!("{q}/zookeeper_limits"), format!("{q}/zookeeper_stats"));
    let write = |path: &str, data: &[u8]| create_as(OpCode::Create2, path, Some(data), &open(), 0);
    let look = || [get(&usage, false), get(&limits, false)];
    s.each(
        0,
        [
            create(s.at("/kid"), 0),
            create(&q, 0),
            write(&limits, b"count=3,bytes=4"),
            write(&usage, b"count=0,bytes=0"),
        ],
    );
    s.each(1, [get(&usage, true)]);
    s.each(0, look());
    let kid = s.at("/kid");
    let changes = [
        set(&kid, Some(b"12345"), -1),
        create(format!("{kid}/deep"), 0),
        create(format!("{kid}/eph"), 1),
        set(s.root.clone(), None, -1),
        delete(format!("{kid}/deep"), -1),
        multi(&[
            create(format!("{kid}/m"), 0),
            set(format!("{kid}/m"), Some(b"abc"), 0),
            set(&kid, None, -1),
        ]),
        set_acl(&kid, &open(), -1),
        set(&usage, Some(b"count=99,bytes=99"), -1),
        create(format!("{kid}/after"), 0),
        set(&limits, Some(b"count=1,bytes=1=;byteHardLimit=1;countHardLimit=1"), -1),
        create(format!("{kid}/hard"), 0),
    ];
    for change in changes {
        s.each(0, [change]);
        s.each(0, look());
    }
    // A deeper quota takes its part over.
    let deep = format!("{q}/kid");
    s.each(
        0,
        [
            create(&deep, 0),
            write(&format!("{deep}/zookeeper_stats"), b"junk"),
            write(&format!("{deep}/zookeeper_limits"), b"junk"),
            create(format!("{kid}/x"), 0),
            get(format!("{deep}/zookeeper_stats"), false),
        ],
    );
    s.each(0, look());
    s.each(0, [delete(format!("{deep}/zookeeper_limits"), -1), create(format!("{kid}/y"), 0)]);
    s.each(0, [get(format!("{deep}/zookeeper_stats"), false)]);
    s.each(0, look());
    s.each(0, [delete(&limits, -1), create(format!("{kid}/z"), 0), get(&usage, false)]);
    s.each(0, [delete(&usage, -1), write(&limits, b""), create(format!("{kid}/zz"), 0)]);
    let elsewhere = s.at("/zookeeper_stats");
    s.each(0, [write(&elsewhere, b"no quota"), get(&elsewhere, false)]);
    // Never directly below the quotas' root: a quota of no path ends the reference.
}

pub(super) fn all() -> Vec<Directed> {
    vec![
        script("order-of-checks-create", 1, create_order),
        script("order-of-checks-delete", 1, delete_order),
        script("order-of-checks-set", 1, set_order),
        script("create-modes", 1, modes),
        script("paths-everywhere", 1, paths_everywhere),
        script("stats-after-every-change", 1, stats),
        script("sequence-numbers", 1, sequences),
        script("built-in-nodes", 1, built_in),
        script("quotas", 2, quotas),
    ]
}
