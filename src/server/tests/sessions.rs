//! What is told of sessions when their connections end, who a connection may be, and who comes in without a leader.

use super::*;

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
