//! First frames: with and without the flag, of every length, for every session.

use jute::{OpCode, writer};

use super::{Directed, Script, deviating, script};
use crate::request::{auth, bare, create, exists, get, paths, ping, set_watches};
use crate::step::{Greeting, Passwd, Seen, Wanted};

fn renew(of: usize) -> Greeting {
    Greeting { wanted: Wanted::OfSlot(of), ..Greeting::plain() }
}

/// The plain first frame: length prefix included.
fn hello(flag: Option<bool>) -> Vec<u8> {
    let mut out = Vec::new();
    let mark = writer::begin_frame(&mut out);
    writer::i32(&mut out, 0);
    writer::i64(&mut out, 0);
    writer::i32(&mut out, 40_000);
    writer::i64(&mut out, 0);
    writer::buffer(&mut out, Some(&[0; 16]));
    out.extend(flag.map(u8::from));
    writer::end_frame(&mut out, mark);
    out
}

/// The frame with the length prefix of what is left of it.
fn shortened(n: usize) -> Vec<u8> {
    let body: Vec<u8> = hello(Some(false)).into_iter().skip(4).take(n).collect();
    let len = u32::try_from(n).unwrap_or(0).to_be_bytes();
    [&len[..], &body].concat()
}

fn flags(s: &mut Script) {
    for read_only in [None, Some(false), Some(true)] {
        for passwd in [Passwd::Right, Passwd::Null, Passwd::Short, Passwd::Long, Passwd::Wrong] {
            s.greet(0, Greeting { read_only, passwd, ..Greeting::plain() });
            s.each(0, [ping(), bare(OpCode::CloseSession)]);
        }
    }
    s.greet(0, Greeting { trailing: vec![9, 9, 9], ..Greeting::plain() });
    s.each(0, [ping()]);
}

fn timeouts(s: &mut Script) {
    for timeout in [i32::MIN, -1, 0, 1, 3_999, 4_000, 4_001, 39_999, 40_000, 40_001, i32::MAX] {
        s.greet(0, Greeting { timeout, ..Greeting::plain() });
        s.each(0, [bare(OpCode::CloseSession)]);
    }
    s.greet(0, Greeting { timeout: 10_000, ..Greeting::plain() });
    for timeout in [12_000, 0, 99_000] {
        s.greet(0, Greeting { timeout, ..renew(0) });
    }
}

fn lengths(s: &mut Script) {
    for n in [0, 1, 4, 12, 16, 24, 27, 28, 32, 43, 44] {
        s.first(0, "a first frame cut short", shortened(n));
    }
    let mut negative = hello(Some(false));
    if let Some(field) = negative.get_mut(28..32) {
        field.copy_from_slice(&[0xff, 0xff, 0xff, 0xfe]);
    }
    s.first(0, "a password of negative length", negative.clone());
    if let Some(field) = negative.get_mut(28..32) {
        field.copy_from_slice(&[0x7f, 0, 0, 0]);
    }
    s.first(0, "a password of immense length", negative);
    for (text, prefix) in
        [("negative", [0xff_u8; 4]), ("too long", [0, 0x10, 0, 0]), ("most negative", [0x80, 0, 0, 0])]
    {
        s.first(0, text, prefix.to_vec());
    }
}

fn renewals(s: &mut Script) {
    for read_only in [None, Some(false), Some(true)] {
        s.greet(0, Greeting { read_only, ..renew(0) });
        s.each(0, [get(s.root.clone(), false)]);
    }
    for passwd in [Passwd::Wrong, Passwd::Null, Passwd::Short, Passwd::Long] {
        for read_only in [None, Some(false)] {
            s.drop(0);
            s.greet(0, Greeting { passwd, read_only, ..renew(0) });
        }
    }
    for id in [1, -1, i64::MIN, i64::MAX, 0x0100_0000_0000_0000] {
        for passwd in [Passwd::Right, Passwd::Null] {
            s.greet(0, Greeting { wanted: Wanted::Unknown(id), passwd, ..Greeting::plain() });
        }
    }
    s.greet(0, renew(0));
    s.each(0, [ping(), bare(OpCode::CloseSession)]);
    s.greet(0, renew(0));
}

fn seen(s: &mut Script) {
    for seen in [Seen::Last(0), Seen::Last(-1), Seen::Exactly(0), Seen::Exactly(-1), Seen::Exactly(i64::MIN)]
    {
        s.greet(0, Greeting { seen, ..renew(0) });
        s.greet(1, Greeting { seen, ..Greeting::plain() });
    }
    for seen in [Seen::Last(1), Seen::Last(2), Seen::Exactly(i64::MAX)] {
        s.greet(0, Greeting { seen, ..renew(0) });
        s.greet(1, Greeting { seen, ..Greeting::plain() });
    }
    s.greet(0, renew(0));
    s.each(0, [ping()]);
}

/// The second connection of a session ends the first; what it watched is gone.
fn stealing(s: &mut Script) {
    s.each(0, [create(s.at("/e"), 1), get(s.at("/e"), true), exists(s.at("/x"), true)]);
    s.greet(0, Greeting { steal: true, ..renew(0) });
    s.each(1, [create(s.at("/x"), 0)]);
    s.greet(2, renew(0));
    s.barrier();
    s.each(2, [create(s.at("/e2"), 1), ping()]);
    s.greet(0, renew(2));
    s.each(0, [bare(OpCode::CloseSession)]);
    s.each(1, [exists(s.at("/e"), false), exists(s.at("/e2"), false)]);
}

fn wrong_password_of_a_used_session(s: &mut Script) {
    s.each(0, [ping()]);
    s.greet(0, Greeting { passwd: Passwd::Wrong, steal: true, ..renew(0) });
}

/// Requests in the same write as the first frame.
fn behind(s: &mut Script) {
    let root = s.root.clone();
    let reqs = vec![
        auth("digest", Some(b"bob:bobsecret")).xid(-4),
        set_watches(OpCode::SetWatches, 0, &[paths(&[&root]), paths(&[]), paths(&[&root])]).xid(-8),
        get(&root, true),
        create(s.at("/early"), 0),
        get(s.at("/early"), false),
    ];
    s.greet(1, Greeting { behind: reqs.clone(), ..Greeting::plain() });
    s.greet(0, Greeting { behind: reqs.clone(), read_only: None, ..renew(0) });
    s.greet(2, Greeting { behind: vec![ping(), bare(OpCode::CloseSession)], ..Greeting::plain() });
    s.greet(3, Greeting { behind: vec![ping()], wanted: Wanted::Unknown(77), ..Greeting::plain() });
}

/// A first frame in pieces, and a second one, which is read as a request.
fn in_pieces(s: &mut Script) {
    let again = hello(Some(false));
    s.bytes(0, "a second first frame", again, true);
    s.connect(0);
    s.bytes(0, "half a ping", vec![0, 0, 0, 8, 0xff, 0xff], false);
    s.each(1, [ping()]);
    s.bytes(0, "its other half", vec![0xff, 0xfe, 0, 0, 0, 11], true);
    s.bytes(0, "half a ping", vec![0, 0, 0, 8, 0xff, 0xff], false);
    s.each(1, [ping()]);
    s.drop(0);
    s.first(
        0,
        "a first frame in a larger one",
        [&[0, 0, 0, 60][..], hello(None).get(4..).unwrap_or(&[]), &[0; 16]].concat(),
    );
}

fn shapes(s: &mut Script) {
    s.connect(0);
    s.connect(1);
    s.greet(0, renew(0));
}

pub(super) fn all() -> Vec<Directed> {
    let mut shape = script("session-id-and-password", 0, shapes);
    shape.exact_sessions = true;
    vec![
        shape,
        script("first-frame-flags", 1, flags),
        script("first-frame-timeouts", 0, timeouts),
        script("first-frame-lengths", 1, lengths),
        script("renewals", 2, renewals),
        script("last-zxid-seen", 2, seen),
        script("session-on-a-second-connection", 2, stealing),
        script("requests-behind-the-first-frame", 1, behind),
        script("first-frame-in-pieces", 2, in_pieces),
        deviating("wrong-password-for-a-session-in-use", 1, wrong_password_of_a_used_session),
    ]
}
