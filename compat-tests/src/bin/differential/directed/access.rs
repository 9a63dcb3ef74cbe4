//! Identities and access lists.

use jute::OpCode;

use super::{Directed, Script, script};
use crate::garbage::odd_acls;
use crate::request::*;

const BOB: &str = "bob:WGAwC+XYxdw8bJ5K6KcPh8oL58U=";

/// Every odd list, by somebody without and with identities.
fn lists(s: &mut Script) {
    s.each(1, [auth("digest", Some(b"bob:bobsecret"))]);
    for (i, list) in odd_acls().iter().enumerate() {
        for slot in [0, 1] {
            let path = s.at(&format!("/{i}-{slot}"));
            s.each(
                slot,
                [
                    create_as(OpCode::Create2, &path, None, list, 0),
                    get_acl(&path),
                    create(format!("{path}/kid"), 0),
                    set_acl(&path, list, -1),
                    multi(&[create_as(OpCode::Create, s.at("/m"), None, list, 0), delete(s.at("/m"), -1)]),
                ],
            );
            s.each(1 - slot, [get_acl(&path), get(&path, false), exists(&path, false)]);
        }
    }
}

/// One bit at a time against every operation.
fn bits(s: &mut Script) {
    for perms in [0, 1, 2, 4, 8, 16, 31, 30, 32, -1] {
        let p = s.at(&format!("/p{perms}"));
        let kid = format!("{p}/kid");
        s.each(0, [create(&p, 0), create(&kid, 0), set_acl(&p, &only(perms, "world", "anyone"), -1)]);
        s.each(
            0,
            [
                get(&p, false),
                exists(&p, false),
                children(&p, false),
                children2(&p, false),
                of_path(OpCode::GetAllChildrenNumber, &p),
                get_acl(&p),
                set(&p, None, -1),
                create(format!("{p}/new"), 0),
                delete(&kid, -1),
                multi(&[check(&p, -1)]),
                multi_read(&[get(&p, false), children(&p, false)]),
                of_path(OpCode::Sync, &p),
                set_acl(&p, &open(), -1),
                delete(&p, -1),
            ],
        );
    }
}

/// Identities add up, last until the connection ends, and count from the moment they were read.
fn identities(s: &mut Script) {
    let p = s.at("/bob");
    s.each(0, [create_as(OpCode::Create, &p, Some(b"d"), &only(31, "digest", BOB), 0), get(&p, false)]);
    s.burst(0, [auth("digest", Some(b"bob:bobsecret")), get(&p, false)]);
    s.each(0, [auth("digest", Some(b"alice:pw")), get(&p, false), set(&p, None, -1)]);
    s.each(1, [auth("digest", Some(b"bob:wrong")), get(&p, false)]);
    s.each(1, [auth("digest", Some(b"bob:bobsecret")), get(&p, false)]);
    s.each(2, [get(&p, false), auth_super(), get(&p, false), set_acl(&p, &only(1, "world", "anyone"), -1)]);
    s.each(2, [get_acl(&p), set_acl("/zookeeper/config", &only(1, "world", "anyone"), 77)]);
    s.each(
        2,
        [create_as(OpCode::Create, s.at("/auth"), None, &only(31, "auth", ""), 0), get_acl(s.at("/auth"))],
    );
    s.each(
        0,
        [create_as(OpCode::Create, s.at("/auth2"), None, &only(5, "auth", "x"), 0), get_acl(s.at("/auth2"))],
    );
}

/// Secrets are not shown to those who may not change them.
fn masking(s: &mut Script) {
    let list = |perms| {
        Some(vec![
            acl(perms, "world", "anyone"),
            acl(31, "digest", BOB),
            acl(31, "digest", "a:b"),
            acl(31, "ip", "127.0.0.1/32"),
        ])
    };
    let far =
        |perms| Some(vec![acl(perms, "world", "anyone"), acl(31, "digest", BOB), acl(3, "ip", "10.1.1.1")]);
    for (i, list) in [list(1), far(1), far(16), far(17), far(2), far(0)].iter().enumerate() {
        let p = s.at(&format!("/{i}"));
        s.each(0, [create_as(OpCode::Create, &p, None, list, 0), get_acl(&p)]);
        s.each(1, [auth("digest", Some(b"bob:bobsecret")), get_acl(&p)]);
    }
}

/// Logins that fail, and what is left of the connection.
fn failed_logins(s: &mut Script) {
    let tries = [
        auth("nonsense", Some(b"x")),
        auth("world", Some(b"anyone")),
        auth("auth", Some(b"")),
        auth("super", Some(b"super:test")),
        auth("sasl", Some(b"bob")),
        auth("x509", Some(b"CN=bob")),
        auth(NULL, Some(b"x")),
        auth("", Some(b"x")),
        auth("DIGEST", Some(b"bob:bobsecret")),
        auth("digest", None),
        auth("digest", Some(b"")),
        auth("digest", Some(b"\xff\xfe:\xfd")),
        auth("ip", None),
        auth("ip", Some(b"nonsense")),
        auth("ensemble", Some(b"")),
        auth("digest", Some(b"bob:bobsecret")).trailing(b"more"),
    ];
    for attempt in tries {
        s.connect(1);
        s.each(1, [attempt, bare(OpCode::WhoAmI)]);
        s.each(0, [ping()]);
    }
    for attempt in [sasl(None), sasl(Some(b"")), sasl(Some(b"token")), sasl(Some(b"x")).trailing(b"more")] {
        s.connect(1);
        s.each(1, [attempt, bare(OpCode::WhoAmI)]);
    }
}

pub(super) fn all() -> Vec<Directed> {
    vec![
        script("access-lists", 2, lists),
        script("access-bits", 1, bits),
        script("identities", 3, identities),
        script("access-lists-masked", 2, masking),
        script("failed-logins", 1, failed_logins),
    ]
}
