//! Requests of a learner's clients: on to the leader, and back.

use super::*;
use crate::auth::Identity;
use crate::replica::{ClientWrite, Origin};
use crate::wire::WriteRequest;
use jute::OpCode;
use jute::records::proto::CreateRequest;

fn origin(conn: u64, xid: i32) -> Origin {
    Origin { conn: ConnId(conn), xid }
}

fn write(s: &mut Server, session: i64, origin: Origin, flags: i32) -> Vec<String> {
    let r = CreateRequest { path: Some("/a".into()), data: None, acl: None, flags };
    let ids = [Identity::new("ip", "127.0.0.1")];
    s.on(Input::Write(ClientWrite {
        origin,
        session: SessionId(session),
        ids: &ids,
        op: 1,
        body: b"body",
        request: WriteRequest::Create(OpCode::Create, r),
    }))
}

fn ordered(s: &mut Server, zxid: Zxid, session: i64, cxid: i32, op: i32) -> Vec<String> {
    s.gets(Packet::Proposal(txn(zxid, session, cxid, op, &[])));
    s.gets(Packet::Commit(zxid))
}

#[test]
fn a_write_goes_on_as_it_came_and_its_commit_finds_its_client() {
    let mut s = Server::follower().live();
    assert_eq!(write(&mut s, 7, origin(3, 1), 0), ["send REQUEST 7 1 op 1 [98, 111, 100, 121] ids Some(1)"]);
    write(&mut s, 7, origin(3, 2), 0);
    assert_eq!(ordered(&mut s, z(2, 1), 8, 1, 1), ["commit 2:1"], "of another session");
    assert_eq!(ordered(&mut s, z(2, 2), 7, 1, 1), ["commit 2:2 for 3/1"]);
    assert_eq!(ordered(&mut s, z(2, 3), 7, 1, 1), ["commit 2:3"], "once");
    assert_eq!(ordered(&mut s, z(2, 4), 7, 2, -1), ["commit 2:4 for 3/2"], "turned down");
}

#[test]
fn the_same_number_twice_is_answered_in_order() {
    let mut s = Server::follower().live();
    write(&mut s, 7, origin(3, 1), 0);
    write(&mut s, 7, origin(4, 1), 0);
    assert_eq!(ordered(&mut s, z(2, 1), 7, 1, 1), ["commit 2:1 for 3/1"]);
    assert_eq!(ordered(&mut s, z(2, 2), 7, 1, 1), ["commit 2:2 for 4/1"]);
}

#[test]
fn the_end_of_a_silent_session_answers_no_request() {
    let mut s = Server::follower().live();
    write(&mut s, 7, origin(3, 0), 0);
    assert_eq!(ordered(&mut s, z(2, 1), 7, 0, -11), ["commit 2:1"]);
}

#[test]
fn sessions_open_and_close_through_the_leader() {
    let mut s = Server::follower().live();
    let told = s.on(Input::OpenSession { conn: ConnId(3), timeout: Millis(20_000) });
    let id = told[0].split(' ').nth(2).unwrap().parse::<i64>().unwrap();
    assert_eq!(id >> 56, 1, "of this server");
    assert_eq!(told, [format!("send REQUEST {id} 0 op -10 [0, 0, 78, 32] ids None")]);
    assert_eq!(ordered(&mut s, z(2, 1), id, 0, -10), ["commit 2:1 for 3/0"]);
    let session = SessionId(id);
    assert_eq!(
        s.on(Input::CloseSession { origin: origin(3, 9), session }),
        [format!("closing {id}"), format!("send REQUEST {id} 9 op -11 [] ids Some(0)")]
    );
    assert_eq!(ordered(&mut s, z(2, 2), id, 9, -11), ["commit 2:2 for 3/9"]);
}

#[test]
fn a_sync_ends_behind_the_commits_before_it() {
    let mut s = Server::follower().live();
    for xid in [1, 2] {
        let sync = Input::Sync { origin: origin(3, xid), session: SessionId(7), ids: &[], body: b"/" };
        assert_eq!(s.on(sync), [format!("send REQUEST 7 {xid} op 9 [47] ids Some(0)")]);
    }
    assert_eq!(s.replica.status().peer.unwrap().pending_syncs, 2);
    assert_eq!(s.gets(Packet::Sync), ["synced 3/1"]);
    assert_eq!(s.gets(Packet::Sync), ["synced 3/2"]);
}

#[test]
fn the_leader_knows_whether_a_session_lives() {
    let mut s = Server::follower().live();
    let resume =
        |conn| Input::ResumeSession { conn: ConnId(conn), session: SessionId(7), timeout: Millis(500) };
    assert_eq!(s.on(resume(3)), ["send REVALIDATE 7 500"]);
    s.on(resume(4));
    assert_eq!(s.gets(Packet::Revalidated(SessionId(7), true)), ["resumed 3 Some(500)"]);
    assert_eq!(s.gets(Packet::Revalidated(SessionId(7), false)), ["resumed 4 None"]);
    assert_eq!(s.gets(Packet::Revalidated(SessionId(7), false)).len(), 1, "a warning");
}

#[test]
fn pings_are_answered_with_whom_was_heard_of() {
    let mut s = Server::follower().live();
    assert_eq!(s.gets(Packet::Ping(z(2, 4))), ["send PING 2:4 []"]);
    let heard = |n: i64| (SessionId(n), Millis(500 + n), Millis(0));
    s.on(Input::Touch(&[heard(7), heard(8)]));
    s.on(Input::Touch(&[heard(7)]));
    assert_eq!(s.gets(Packet::Ping(z(2, 5))), ["send PING 2:5 [7=507 8=508]"]);
    assert_eq!(s.gets(Packet::Ping(z(2, 6))), ["send PING 2:6 []"]);
    let many: Vec<_> = (1..=100_001).map(heard).collect();
    s.on(Input::Touch(&many));
    s.raw(Input::Link(LINK, LinkInput::Packet(Packet::Ping(z(2, 7)))));
    assert!(matches!(&s.out[..], [Effect::Send(_, Packet::Pong(_, heard))] if heard.len() == 100_000));
    s.out.clear();
    assert_eq!(s.gets(Packet::Ping(z(2, 8))), ["send PING 2:8 [100001=100501]"]);
}

#[test]
fn sessions_of_this_server_alone_become_known_when_they_need_to_be() {
    let mut s = Server::new(1, |me| {
        (me.ensemble.local_sessions, me.ensemble.local_upgrading) = (true, true);
    })
    .live();
    s.raw(Input::OpenSession { conn: ConnId(3), timeout: Millis(4000) });
    let Some(Effect::OpenedLocal { session, .. }) = s.out.pop() else { panic!("not local") };
    assert_eq!(write(&mut s, session.0, origin(3, 1), 0).len(), 1, "needs no session");
    let told = write(&mut s, session.0, origin(3, 2), 1);
    assert_eq!(told[0], format!("send REQUEST {} 0 op -10 [0, 0, 15, 160] ids None", session.0));
    assert_eq!(told.len(), 2);
    assert_eq!(ordered(&mut s, z(2, 1), session.0, 0, -10), ["commit 2:1"], "nobody waits for it");
    assert_eq!(ordered(&mut s, z(2, 2), session.0, 2, 1), ["commit 2:2 for 3/2"]);

    s.raw(Input::OpenSession { conn: ConnId(4), timeout: Millis(4000) });
    let Some(Effect::OpenedLocal { session, .. }) = s.out.pop() else { panic!("not local") };
    let resume = Input::ResumeSession { conn: ConnId(5), session, timeout: Millis(4000) };
    assert_eq!(s.on(resume), ["resumed 5 Some(4000)"]);
    s.on(Input::Touch(&[(session, Millis(4000), Millis(500))]));
    assert_eq!(s.gets(Packet::Ping(z(2, 2))), ["send PING 2:2 []"], "the leader does not hear of it");
    s.mono = s.replica.deadline().unwrap().0;
    assert_eq!(s.on(Input::Tick), ["closed local None"]);
}

#[test]
fn without_upgrading_an_ephemeral_of_a_local_session_is_refused() {
    let mut s = Server::new(1, |me| me.ensemble.local_sessions = true).live();
    s.raw(Input::OpenSession { conn: ConnId(3), timeout: Millis(4000) });
    let Some(Effect::OpenedLocal { session, .. }) = s.out.pop() else { panic!("not local") };
    assert_eq!(write(&mut s, session.0, origin(3, 1), 1), ["refuse 3/1 EphemeralOnLocalSession"]);
    assert_eq!(s.on(Input::CloseSession { origin: origin(3, 2), session }), ["closed local Some(2)"]);
}

#[test]
fn what_was_asked_is_forgotten_with_the_role() {
    let mut s = Server::follower().live();
    write(&mut s, 7, origin(3, 1), 0);
    s.link(LinkInput::Lost);
    assert!(!s.learns());
}
