//! Ends of sessions, and what they leave.

use jute::OpCode;

use super::{Directed, Script, script};
use crate::request::*;
use crate::step::{Greeting, Wanted};

fn renew(of: usize) -> Greeting {
    Greeting { wanted: Wanted::OfSlot(of), ..Greeting::plain() }
}

/// Requests before and behind the end of a session in one write.
fn closing(s: &mut Script) {
    s.each(1, [create(s.at("/e"), 1), create(s.at("/p"), 0)]);
    s.burst(1, [create(s.at("/late"), 1), set(s.at("/e"), None, -1), bare(OpCode::CloseSession)]);
    s.each(0, [exists(s.at("/e"), false), exists(s.at("/late"), false), exists(s.at("/p"), false)]);
    s.greet(1, renew(1));
    s.connect(1);
    s.each(1, [bare(OpCode::CloseSession).xid(-7)]);
}

/// Ephemerals outlive their connection, and belong to the session on any other.
fn outliving(s: &mut Script) {
    s.each(1, [create(s.at("/e"), 1)]);
    s.drop(1);
    s.each(0, [exists(s.at("/e"), true), set(s.at("/e"), None, -1), create(s.at("/e/kid"), 0)]);
    s.greet(2, renew(1));
    s.each(2, [of_path(OpCode::GetEphemerals, "/"), create(s.at("/e2"), 1), exists(s.at("/e2"), false)]);
    s.each(0, [delete(s.at("/e"), -1)]);
    s.each(2, [of_path(OpCode::GetEphemerals, "/"), bare(OpCode::CloseSession)]);
    s.each(0, [exists(s.at("/e2"), false)]);
}

/// An ephemeral deleted and made again by another session stays with the other.
fn changing_hands(s: &mut Script) {
    let e = s.at("/e");
    s.each(1, [create(&e, 1)]);
    s.each(0, [delete(&e, -1), create(&e, 1)]);
    s.each(1, [create(&e, 1), of_path(OpCode::GetEphemerals, ""), bare(OpCode::CloseSession)]);
    s.each(0, [exists(&e, false), multi(&[delete(&e, -1), create(&e, 0)])]);
    s.each(0, [of_path(OpCode::GetEphemerals, ""), bare(OpCode::CloseSession)]);
    s.connect(0);
    s.each(0, [exists(&e, false)]);
}

/// Many at once: deletions of one session, one zxid.
fn many(s: &mut Script) {
    let p = s.at("/many");
    s.each(0, [create(&p, 0)]);
    s.burst(1, (0..40).map(|i| create(format!("{p}/n"), if i % 3 == 0 { 2 } else { 3 })));
    s.each(0, [add_watch(&p, 0), children2(&p, true)]);
    s.each(1, [of_path(OpCode::GetEphemerals, &p), bare(OpCode::CloseSession)]);
    s.barrier();
    s.each(0, [children2(&p, false)]);
}

pub(super) fn all() -> Vec<Directed> {
    vec![
        script("closing-a-session", 2, closing),
        script("ephemerals-outlive-connections", 2, outliving),
        script("ephemerals-change-hands", 2, changing_hands),
        script("many-ephemerals", 2, many),
    ]
}
