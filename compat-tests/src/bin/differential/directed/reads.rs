//! The small read operations, and reconfig where it has nothing to do.

use jute::OpCode;

use super::{Directed, Script, script};
use crate::request::*;

fn counting(s: &mut Script) {
    let root = s.root.clone();
    let reads = |path: String| {
        [of_path(OpCode::GetAllChildrenNumber, &path), children(&path, false), children2(&path, false)]
    };
    for name in ["/a", "/a/b", "/a/b/c", "/ab", "/a/d"] {
        s.each(0, [create(s.at(name), 0)]);
    }
    for name in ["", "/a", "/a/b", "/a/b/c", "/ab", "/none", "/a/"] {
        s.each(0, reads(s.at(name)));
    }
    for path in ["/", "", "/zookeeper"] {
        s.each(0, reads(path.into()));
    }
    s.each(0, [set_acl(s.at("/a"), &only(30, "world", "anyone"), -1)]);
    s.each(0, reads(s.at("/a")));
    s.each(0, reads(root));
}

fn ephemerals(s: &mut Script) {
    for (slot, names) in [(0, ["/a1", "/a2", "/b"]), (1, ["/c", "/ab", "/a"])] {
        s.each(slot, names.map(|n| create(s.at(n), 1)));
    }
    for slot in [0, 1, 2] {
        let root = s.root.clone();
        let prefixes = [
            "",
            "/",
            " ",
            "\t\n",
            "/d",
            "nothing",
            &root,
            &s.at("/a"),
            &s.at("/a/"),
            &s.at("/a1"),
            &s.at("/"),
        ];
        s.each(slot, prefixes.map(|p| of_path(OpCode::GetEphemerals, p)));
        s.each(slot, [of_path(OpCode::GetEphemerals, NULL)]);
    }
    s.each(1, [delete(s.at("/a1"), -1)]);
    s.each(0, [of_path(OpCode::GetEphemerals, "/")]);
}

fn syncs(s: &mut Script) {
    for path in ["/", "", "none", "/none/none", "/a//b", "/\u{1}"] {
        s.each(0, [of_path(OpCode::Sync, path)]);
    }
    let root = s.root.clone();
    s.burst(0, [set(&root, None, -1), of_path(OpCode::Sync, &root), get(&root, false)]);
}

fn who(s: &mut Script) {
    s.each(0, [bare(OpCode::WhoAmI)]);
    for login in
        [&b"bob:bobsecret"[..], b"alice:pw", b"bob:bobsecret", b"nobody", b"super:test", b":", b"", b"a:b:c"]
    {
        s.each(0, [auth("digest", Some(login)), bare(OpCode::WhoAmI)]);
    }
    s.each(0, [auth("ip", Some(b"1.2.3.4")), bare(OpCode::WhoAmI)]);
    s.each(1, [bare(OpCode::WhoAmI)]);
}

fn reconfigs(s: &mut Script) {
    let line = || Str::from("server.9=127.0.0.1:1:2;3");
    for who in [None, Some(auth_super())] {
        s.each(0, who);
        s.each(
            0,
            [
                reconfig(line(), NULL, NULL, -1),
                reconfig(NULL, Str::from("1"), NULL, -1),
                reconfig(NULL, NULL, line(), -1),
                reconfig(NULL, NULL, Str::from("nonsense"), -1),
                reconfig(NULL, NULL, NULL, 99),
                get("/zookeeper/config", false),
            ],
        );
    }
}

pub(super) fn all() -> Vec<Directed> {
    vec![
        script("children-and-their-number", 1, counting),
        script("ephemerals-by-prefix", 3, ephemerals),
        script("sync", 1, syncs),
        script("who-am-i", 2, who),
        script("reconfig-switched-off", 1, reconfigs),
    ]
}
