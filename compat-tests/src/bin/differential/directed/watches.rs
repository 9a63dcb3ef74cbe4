//! Who is told what, in which order, and who is not.

use jute::OpCode;

use super::{Directed, Script, script};
use crate::request::*;
use crate::step::{Greeting, Wanted};

/// All changes a node can see, one after the other.
fn changes(s: &mut Script, slot: usize) {
    let list = [
        create(s.at("/w"), 0),
        set(s.at("/w"), None, -1),
        create(s.at("/w/k"), 0),
        set(s.at("/w/k"), None, -1),
        create(s.at("/w/k/g"), 0),
        delete(s.at("/w/k/g"), -1),
        set_acl(s.at("/w"), &open(), -1),
        delete(s.at("/w/k"), -1),
        delete(s.at("/w"), -1),
    ];
    s.each(slot, list);
    s.barrier();
}

/// One kind of watch on the node, its parent and its child, over its whole life.
fn each_kind(s: &mut Script) {
    let kinds: [fn(String) -> Req; 7] = [
        |p| exists(p, true),
        |p| get(p, true),
        |p| children(p, true),
        |p| children2(p, true),
        |p| add_watch(p, 0),
        |p| add_watch(p, 1),
        |p| add_watch(p, 2),
    ];
    for kind in kinds {
        for at in ["", "/w", "/w/k"] {
            s.connect(1);
            s.each(1, [kind(s.at(at))]);
            changes(s, 0);
            s.each(0, [create(s.at("/w"), 0), create(s.at("/w/k"), 0)]);
            s.each(1, [kind(s.at(at)), kind(s.at(at))]);
            s.each(0, [delete(s.at("/w/k"), -1), delete(s.at("/w"), -1)]);
            changes(s, 0);
            s.each(1, [check_watches(s.at(at), 3), bare(OpCode::CloseSession)]);
        }
    }
}

/// Kinds on the same node do not disturb one another, and a deletion is told once.
fn together(s: &mut Script) {
    let w = s.at("/w");
    for kinds in [
        vec![get(&w, true), children(&w, true)],
        vec![exists(&w, true), add_watch(&w, 0)],
        vec![add_watch(&w, 0), add_watch(&w, 1), get(&w, true), children(&w, true)],
        vec![add_watch(&w, 1), get(&w, true)],
        vec![
            add_watch(&w, 1),
            add_watch("/", 1),
            add_watch(s.root.clone(), 1),
            children(s.root.clone(), true),
        ],
    ] {
        s.connect(1);
        s.each(0, [create(&w, 0)]);
        s.each(1, kinds.clone());
        s.each(0, [set(&w, None, -1), create(s.at("/w/k"), 0), delete(s.at("/w/k"), -1), delete(&w, -1)]);
        changes(s, 0);
        s.each(1, [check_watches(&w, 1), check_watches(&w, 2), check_watches(&w, 4), check_watches(&w, 5)]);
        s.each(1, [bare(OpCode::CloseSession)]);
    }
}

/// checkWatches and removeWatches: every type against every registration.
fn removal(s: &mut Script) {
    let w = s.at("/w");
    s.each(0, [create(&w, 0)]);
    let kinds = [get(&w, true), exists(&w, true), children(&w, true), add_watch(&w, 0), add_watch(&w, 1)];
    for kind in &kinds {
        for wanted in [0, 1, 2, 3, 4, 5, 6, -1] {
            s.each(
                1,
                [
                    kind.clone(),
                    check_watches(&w, wanted),
                    remove_watches(&w, wanted),
                    remove_watches(&w, wanted),
                ],
            );
            s.each(0, [set(&w, None, -1), create(s.at("/w/k"), 0), delete(s.at("/w/k"), -1)]);
            s.each(1, [check_watches(&w, 3), remove_watches(&w, 3)]);
        }
    }
    for wanted in [1, 2, 3, 4, 5] {
        s.each(1, kinds.clone());
        s.each(1, [remove_watches(&w, wanted)]);
        s.each(1, [1, 2, 3, 4, 5].map(|t| check_watches(&w, t)));
        s.each(0, [set(&w, None, -1), create(s.at("/w/k"), 0), delete(s.at("/w/k"), -1)]);
        s.each(1, [remove_watches(&w, 3), check_watches(&w, 3)]);
    }
    // A watch of another connection, of another path, and of a missing node.
    s.each(0, [remove_watches(&w, 3), check_watches(s.at("/none"), 3), exists(s.at("/none"), true)]);
    s.each(
        0,
        [check_watches(s.at("/none"), 2), check_watches(s.at("/none"), 1), remove_watches(s.at("/none"), 2)],
    );
    // A recursive watch covers descendants, but is removed where it stands.
    s.each(
        1,
        [
            add_watch(s.root.clone(), 1),
            remove_watches(&w, 5),
            check_watches(&w, 5),
            remove_watches(s.root.clone(), 5),
        ],
    );
    s.each(0, [set(&w, None, -1)]);
}

/// setWatches and setWatches2: replay or registration, per list.
fn again(s: &mut Script) {
    let names = ["/old", "/new", "/gone", "/kids", "/less"];
    s.each(
        0,
        [
            create(s.at("/old"), 0),
            create(s.at("/gone"), 0),
            create(s.at("/kids"), 0),
            create(s.at("/less"), 0),
        ],
    );
    s.each(0, [create(s.at("/less/k"), 0), exists(s.root.clone(), false)]);
    let later = [
        create(s.at("/new"), 0),
        delete(s.at("/gone"), -1),
        create(s.at("/kids/k"), 0),
        delete(s.at("/less/k"), -1),
        set(s.at("/old"), None, -1),
    ];
    s.each(0, later);
    let full: Vec<String> = names.iter().map(|n| s.at(n)).collect();
    let mut list: Vec<&str> = full.iter().map(String::as_str).collect();
    list.extend(["/", "", "bad", "//"]);
    for delta in [0, -1, -2, -3, -4, -5, -6, -1000, 1, 1 << 40] {
        for (op, n) in [(OpCode::SetWatches, 3), (OpCode::SetWatches2, 5)] {
            for at in 0..n {
                s.connect(1);
                let mut lists = vec![paths(&[]); n];
                if let Some(l) = lists.get_mut(at) {
                    *l = paths(&list);
                }
                s.each(1, [set_watches(op, delta, &lists)]);
                s.each(1, list.iter().map(|p| check_watches(*p, 3)));
                s.each(1, [bare(OpCode::CloseSession)]);
            }
        }
    }
    s.connect(1);
    let every = vec![paths(&list); 5];
    s.burst(
        1,
        [set_watches(OpCode::SetWatches2, -3, &every), ping(), set_watches(OpCode::SetWatches2, 0, &every)],
    );
    s.each(0, [set(s.at("/old"), None, -1), create(s.at("/gone"), 0), create(s.at("/kids/l"), 0)]);
    s.barrier();
}

/// Watches die with their connection, not with their session.
fn gone_with_the_connection(s: &mut Script) {
    let w = s.at("/w");
    s.each(0, [create(&w, 0)]);
    s.each(1, [get(&w, true), add_watch(&w, 1), children(&w, true)]);
    s.drop(1);
    s.greet(1, Greeting { wanted: Wanted::OfSlot(1), ..Greeting::plain() });
    s.each(1, [check_watches(&w, 3)]);
    s.each(0, [set(&w, None, -1), create(s.at("/w/k"), 0)]);
    s.barrier();
}

/// Without READ there is no event, but the watch is used up.
fn filtered(s: &mut Script) {
    let w = s.at("/w");
    let shut = only(30, "world", "anyone");
    for kind in [get(&w, true), exists(&w, true), children(&w, true), add_watch(&w, 0), add_watch(&w, 1)] {
        s.each(0, [create(&w, 0)]);
        s.each(1, [kind.clone()]);
        s.each(0, [set_acl(&w, &shut, -1), set(&w, None, -1), create(s.at("/w/k"), 0)]);
        s.each(1, [exists(&w, true), get(&w, true), children(&w, true), check_watches(&w, 3)]);
        s.each(0, [set_acl(&w, &open(), -1), set(&w, None, -1), set_acl(&w, &shut, -1)]);
        s.each(0, [delete(s.at("/w/k"), -1), delete(&w, -1)]);
        s.each(1, [check_watches(&w, 3), remove_watches(&w, 3)]);
        // Born unreadable.
        s.each(1, [exists(&w, true), add_watch(s.root.clone(), 1)]);
        s.each(0, [create_as(OpCode::Create, &w, None, &shut, 0)]);
        s.each(1, [check_watches(&w, 3), remove_watches(s.root.clone(), 3)]);
        s.each(0, [delete(&w, -1)]);
    }
    // The parent's list decides over the news about children.
    s.each(1, [add_watch(s.root.clone(), 0)]);
    s.each(0, [set_acl(s.root.clone(), &only(30, "world", "anyone"), -1), create(&w, 0), delete(&w, -1)]);
    s.barrier();
}

/// Failing reads leave no watch, except exists.
fn failing_reads(s: &mut Script) {
    let (none, shut) = (s.at("/none"), s.at("/shut"));
    s.each(0, [create_as(OpCode::Create, &shut, None, &only(30, "world", "anyone"), 0)]);
    for read in [
        get(&none, true),
        children(&none, true),
        children2(&none, true),
        get(&shut, true),
        exists(&shut, true),
    ] {
        s.each(1, [read, check_watches(&none, 3), check_watches(&shut, 3)]);
    }
    s.each(1, [children2(&shut, true), check_watches(&shut, 3)]);
    s.each(1, [exists(&none, true), check_watches(&none, 2), exists("bad\0", true), exists("bad", true)]);
    s.each(1, [check_watches("bad\0", 3), check_watches("bad", 3)]);
    s.each(0, [create(&none, 0), delete(&none, -1)]);
    s.barrier();
}

/// The event of one's own write comes before its reply, and before the reply to a read that saw it.
fn own_writes(s: &mut Script) {
    let w = s.at("/w");
    s.burst(
        0,
        [
            exists(&w, true),
            create(&w, 0),
            get(&w, true),
            set(&w, None, -1),
            get(&w, true),
            children(&w, true),
            create(s.at("/w/k"), 1),
            children(&w, true),
            delete(s.at("/w/k"), -1),
            delete(&w, -1),
            get(&w, true),
        ],
    );
}

/// Ephemerals that end with their session, before the eyes of others.
fn ended_session(s: &mut Script) {
    let names = ["/e1", "/e2", "/e3"];
    s.each(1, names.map(|n| create(s.at(n), 1)));
    s.each(1, [get(s.at("/e1"), true), add_watch(s.root.clone(), 1), children(s.root.clone(), true)]);
    s.each(0, [children(s.root.clone(), true), exists(s.at("/e2"), true), add_watch(s.root.clone(), 0)]);
    s.each(2, [add_watch(s.root.clone(), 1), children(s.root.clone(), true), children(s.at("/e3"), true)]);
    s.each(1, [bare(OpCode::CloseSession)]);
    s.barrier();
    s.each(0, [exists(s.root.clone(), false)]);
}

pub(super) fn all() -> Vec<Directed> {
    vec![
        script("watches-each-kind", 1, each_kind),
        script("watches-together", 1, together),
        script("watches-checked-and-removed", 2, removal),
        script("watches-set-again", 1, again),
        script("watches-and-connections", 2, gone_with_the_connection),
        script("watches-without-read", 2, filtered),
        script("watches-of-failing-reads", 2, failing_reads),
        script("watches-of-own-writes", 1, own_writes),
        script("watches-of-an-ended-session", 3, ended_session),
    ]
}
