//! What is told of sessions when their connections end, who a connection may be, and who comes in without a leader.

use super::*;
use crate::replica::session::password;
use crate::server::standing::Standing;
use crate::server::view::shown_address;
use crate::types::SessionId;
use crate::types::limits::{IDENTITIES, IDENTITY_BYTES};

fn auth(xid: i32, credentials: &[u8]) -> Vec<u8> {
    ask(xid, OpCode::Auth, |out| {
        writer::i32(out, 0);
        writer::text(out, Some("digest"));
        writer::buffer(out, Some(credentials));
    })
}

/// A greeting of a client that can do with reading.
fn reading(session: SessionId, passwd: &[u8]) -> Vec<u8> {
    let mut frame = greeting(session.0, passwd);
    frame.push(1);
    let length = u8::try_from(frame.len() - 4).unwrap();
    frame[3] = length;
    frame
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_said_last_counts_when_its_connection_is_gone() {
    let server = Server::new(settings());
    let mut client = server.client(1 << 16).await;
    let session = client.conn.session();
    _ = server.core.conns.take_heard();
    client.send(&get(1, "/")).await;
    assert_eq!(client.reply().await, (1, 0));
    let heard = client.conn.last_heard();
    drop(client);
    until("it is gone", || server.core.conns.is_empty()).await;
    assert_eq!(server.core.conns.take_heard(), [(session, Millis(30_000), heard)]);
    assert_eq!(server.core.conns.take_heard(), [], "told once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_before_a_broken_request_was_said_as_well() {
    let server = Server::new(settings());
    let mut client = server.client(1 << 16).await;
    let session = client.conn.session();
    _ = server.core.conns.take_heard();
    client.send(&[get(1, "/"), framed(&[0; 3])].concat()).await;
    assert_eq!(client.reply().await, (1, 0));
    client.ends().await;
    until("it is gone", || server.core.conns.is_empty()).await;
    let heard: Vec<_> = server.core.conns.take_heard().iter().map(|news| news.0).collect();
    assert_eq!(heard, [session]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_not_more_and_more_people() {
    let server = Server::new(settings());
    let mut client = server.client(1 << 16).await;
    let mut xid = 0;
    // From its address it is one already.
    for n in 1..IDENTITIES {
        xid += 1;
        client.send(&auth(xid, format!("user{n}:secret").as_bytes())).await;
        assert_eq!(client.reply().await, (xid, 0));
    }
    let before = client.conn.ids();
    assert_eq!(before.len(), IDENTITIES);
    client.send(&auth(1000, b"user1:secret")).await;
    assert_eq!(client.reply().await, (1000, 0), "it is that one already");
    assert!(Arc::ptr_eq(&before, &client.conn.ids()), "nothing was made anew");
    client.send(&auth(1001, b"one:more")).await;
    assert_eq!(client.reply().await, (1001, ErrorCode::AuthFailed.code()));
    client.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_of_any_length_are_no_way_to_fill_the_memory() {
    let server = Server::new(settings());
    let mut client = server.client(1 << 16).await;
    client.send(&auth(1, &vec![b'x'; IDENTITY_BYTES / 2])).await;
    assert_eq!(client.reply().await, (1, 0));
    client.send(&auth(2, &vec![b'y'; IDENTITY_BYTES / 2])).await;
    assert_eq!(client.reply().await, (2, ErrorCode::AuthFailed.code()));
    client.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_leader_a_session_that_all_know_is_not_renewed() {
    let server = Server::new(settings());
    let client = server.client(1 << 16).await;
    let global = client.conn.session();
    drop(client);
    until("it is gone", || server.core.conns.is_empty()).await;
    server.core.standing.set(Standing::ReadOnly);
    for passwd in [password::of(global), [7; 16]] {
        let mut renewal = server.dial(1 << 16);
        renewal.send(&reading(global, &passwd)).await;
        renewal.ends().await;
    }
    let mut reader = server.dial(1 << 16);
    reader.send(&reading(SessionId::NONE, &[0; 16])).await;
    let answer = reader.frame().await.expect("a session of this server alone");
    assert_eq!(answer.last(), Some(&1), "it is told that it may only read");
    reader.send(&ask(5, OpCode::CloseSession, |_| {})).await;
    assert_eq!(reader.reply().await, (5, 0));
    reader.ends().await;
    // Nobody here knows this one; others may.
    let stranger = SessionId(global.0 ^ 0x00ff_0000_0000_0000);
    let mut client = server.dial(1 << 16);
    client.send(&reading(stranger, &password::of(stranger))).await;
    assert!(client.frame().await.is_some());
    client.send(&ask(6, OpCode::CloseSession, |_| {})).await;
    assert_eq!(client.reply().await, (6, ErrorCode::NotReadOnly.code()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_are_counted_and_shown_as_one_family() {
    let mut limited = settings();
    limited.limits.per_address = 1;
    let server = Server::new(limited);
    let mapped = server.core.admit("[::ffff:10.0.0.1]:9".parse().unwrap()).unwrap();
    assert!(server.core.admit("10.0.0.1:10".parse().unwrap()).is_none(), "the same client");
    assert_eq!(mapped.remote_ip, "10.0.0.1");
    assert_eq!(mapped.remote, "10.0.0.1:9".parse().unwrap());
    assert!(!server.core.conns.remove(&mapped));
    assert!(server.core.admit("10.0.0.1:11".parse().unwrap()).is_some(), "its place is free again");
    let local = server.core.admit("[::1]:7".parse().unwrap()).unwrap();
    assert_eq!(local.remote_ip, "0:0:0:0:0:0:0:1");
    assert_eq!(shown_address(&local), "[0:0:0:0:0:0:0:1]:7");
    assert_eq!(shown_address(&mapped), "10.0.0.1:9");
}
