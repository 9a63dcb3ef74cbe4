//! Things that are not quite right: paths, access lists, damaged bodies, frames that are none.
//!
//! Invariant: nothing here makes the reference die. What does is never built, nor made by damage: createTTL
//! with flags of another mode and a negative time to live, a `zookeeper_stats` that cannot be read, and
//! `zookeeper_limits` directly below the root of the quotas.

use jute::OpCode;

use crate::request::{Acls, NULL, Req, Str, acl, open, raw};
use crate::rng::Rng;

/// Endings that make a path bad, or look as if they did.
const ENDINGS: &[&[u8]] = &[
    b"/",
    b"//a",
    b"/.",
    b"/..",
    b"/./a",
    b"/../a",
    b"/\0",
    b"/a\0b",
    b"/\x01",
    b"/\x1f",
    b"/\x7f",
    b"/...",
    b"/.a",
    b"/a.",
    b"/a b",
    b"/~",
    "/\u{80}".as_bytes(),
    "/\u{9f}".as_bytes(),
    "/\u{a0}".as_bytes(),
    "/\u{d7ff}".as_bytes(),
    "/\u{e000}".as_bytes(),
    "/\u{f8ff}".as_bytes(),
    "/\u{f900}".as_bytes(),
    "/\u{ffef}".as_bytes(),
    "/\u{fff0}".as_bytes(),
    "/\u{fffd}".as_bytes(),
    "/\u{ffff}".as_bytes(),
    "/\u{10000}".as_bytes(),
    "/\u{1f600}".as_bytes(),
    "/\u{e4}\u{4e2d}".as_bytes(),
    b"/\xff",
    b"/\xc0\x80",
    b"/\xe2\x82",
    b"/\xed\xa0\x80",
    b"/\xed\xa0\xbd\xed\xb8\x80",
    b"/\xf0\x9f\x98",
    b"/\xf5\x80\x80\x80",
    b"/a\xc3(",
    b"a",
    b"",
];

/// All the endings behind a path, and paths that are bad as a whole.
pub(crate) fn bad_paths(root: &str) -> Vec<Str> {
    let mut out: Vec<Str> = ENDINGS.iter().map(|e| Str::from([root.as_bytes(), e].concat())).collect();
    out.extend([NULL, Str::from(""), Str::from("/"), Str::from("//"), Str::from("a"), Str::from("a/b")]);
    out.extend(["/.", "/..", "./", " ", "\0", "/\0", "zookeeper"].map(Str::from));
    out.push(Str::from(format!("{root}{root}")));
    out.push(Str::from(format!("{root}/{}", "n".repeat(3000))));
    out
}

/// One of them.
pub(crate) fn bad_path(rng: &mut Rng, root: &str) -> Str {
    rng.pick(&bad_paths(root)).clone()
}

/// Access lists with something about them, good and bad.
pub(crate) fn odd_acls() -> Vec<Acls> {
    let world = || acl(31, "world", "anyone");
    vec![
        None,
        Some(vec![]),
        Some(vec![acl(31, "world", "bob")]),
        Some(vec![acl(31, "world", NULL)]),
        Some(vec![acl(31, NULL, "anyone")]),
        Some(vec![acl(31, "", "")]),
        Some(vec![acl(31, "super", "")]),
        Some(vec![acl(31, "sasl", "bob")]),
        Some(vec![acl(31, "x509", "CN=bob")]),
        Some(vec![acl(31, "nonsense", "bob")]),
        Some(vec![acl(31, "digest", "bob")]),
        Some(vec![acl(31, "digest", "bob:")]),
        Some(vec![acl(31, "digest", ":x")]),
        Some(vec![acl(31, "digest", "a:b:c")]),
        Some(vec![acl(31, "digest", "a:b:")]),
        Some(vec![acl(31, "digest", NULL)]),
        Some(vec![acl(31, "digest", "")]),
        Some(vec![acl(31, "ip", "127.0.0.1")]),
        Some(vec![acl(31, "ip", "127.0.0.0/8")]),
        Some(vec![acl(31, "ip", "10.0.0.0/8")]),
        Some(vec![acl(31, "ip", "127.0.0.1/33")]),
        Some(vec![acl(31, "ip", "127.0.0.1/-1")]),
        Some(vec![acl(31, "ip", "127.0.0.1/x")]),
        Some(vec![acl(31, "ip", "127.0.0.256")]),
        Some(vec![acl(31, "ip", "127.1")]),
        Some(vec![acl(31, "ip", "::1")]),
        Some(vec![acl(31, "ip", "fe80::/10")]),
        Some(vec![acl(31, "ip", "localhost")]),
        Some(vec![acl(31, "ip", "")]),
        Some(vec![acl(31, "ip", NULL)]),
        Some(vec![world(), world()]),
        Some(vec![acl(1, "world", "anyone"), acl(2, "world", "anyone"), acl(1, "world", "anyone")]),
        Some(vec![acl(0, "world", "anyone")]),
        Some(vec![acl(-1, "world", "anyone")]),
        Some(vec![acl(64 | 1, "world", "anyone")]),
        Some(vec![world(), acl(31, "nonsense", "x")]),
        Some(vec![acl(31, "auth", "")]),
        Some(vec![acl(3, "auth", "ignored"), acl(1, "world", "anyone")]),
        Some(vec![acl(31, "auth", NULL)]),
        open(),
    ]
}

/// One of them.
pub(crate) fn odd_acl(rng: &mut Rng) -> Acls {
    rng.pick(&odd_acls()).clone()
}

/// A sound request, damaged.
pub(crate) fn damage(rng: &mut Rng, req: Req) -> Req {
    let len = req.body.len();
    // A time to live must not change its meaning: see above.
    let gentle = req.op == OpCode::CreateTtl.code() || len < 4;
    match rng.below(if gentle { 2 } else { 6 }) {
        0 => {
            let n = rng.below(len);
            req.cut(n)
        }
        1 => {
            let n = 1 + rng.below(20);
            req.trailing(&vec![0xa5; n])
        }
        2 | 3 => {
            let lengths = [-1, -2, i32::MIN, i32::MAX, 0, 1, 0x0010_0000, 0x0020_0000, 0x7fff];
            let value = *rng.pick(&lengths);
            let at = if rng.one_in(2) { 0 } else { 4 * rng.below(len / 4) };
            patch(req, at, &value.to_be_bytes())
        }
        _ => {
            let at = rng.below(len);
            let byte = u8::try_from(rng.below(256)).unwrap_or(0);
            patch(req, at, &[byte])
        }
    }
}

fn patch(mut req: Req, at: usize, bytes: &[u8]) -> Req {
    if let Some(place) = req.body.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
    req.text = format!("{} with {} at {at}", req.text, bytes.escape_ascii());
    req
}

/// Operations that do not exist, or not for clients. Those that the reference carries out nevertheless are
/// not here.
pub(crate) const NO_OPERATIONS: &[i32] = &[0, 10, 13, 23, -1, -2, -12, 99, 108, 1000, i32::MAX, i32::MIN];

/// A request for one.
pub(crate) fn no_operation(op: i32) -> Req {
    raw(op, vec![0, 0, 0, 2, b'/', b'a', 0, 0, 0, 0], "")
}

/// Frames behind the handshake that end the connection, each with its name.
pub(crate) fn bad_frames() -> Vec<(&'static str, Vec<u8>)> {
    let auth = |body: &[u8]| {
        let len = u32::try_from(body.len() + 8).unwrap_or(0);
        [&len.to_be_bytes()[..], &[0, 0, 0, 9, 0, 0, 0, 100], body].concat()
    };
    vec![
        ("an empty frame", vec![0, 0, 0, 0]),
        ("half a header", vec![0, 0, 0, 4, 0, 0, 0, 1]),
        ("a header less one byte", vec![0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0]),
        ("a negative length", vec![0xff, 0xff, 0xff, 0xff]),
        ("the most negative length", vec![0x80, 0, 0, 0]),
        ("one byte too long", vec![0, 0x10, 0, 0]),
        ("much too long", vec![0x7f, 0xff, 0xff, 0xff]),
        ("an auth packet without a body", auth(&[])),
        ("an auth packet cut short", auth(&[0, 0, 0, 0, 0, 0, 0, 6, b'd'])),
        ("a sasl packet without a body", vec![0, 0, 0, 8, 0, 0, 0, 9, 0, 0, 0, 102]),
    ]
}
