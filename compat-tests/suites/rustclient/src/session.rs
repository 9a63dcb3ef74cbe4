//! Sessions and what is built on them: reattaching, expiry, locks, a server that restarts or dies.

use std::time::Duration;

use zookeeper_client::{
    Acls, Client, CreateMode, Error, EventType, LockOptions, LockPrefix, SessionState, WatchedEvent,
};

use crate::check;
use crate::support::{
    Check, EPHEMERAL, Main, Must, OPEN, PERSISTENT, Relay, SEQUENTIAL, client, close, connect, event, fails,
    happened, holds, make, pause, put, reaches, ready, restart_server, same, server, text, vanishes, within,
};

pub fn checks() -> Vec<Check> {
    vec![
        check!("session: close removes ephemerals at once", 15, close_removes),
        check!("session: detached and taken up again", 20, reattached),
        check!("session: expires when abandoned", 30, expires),
        check!("session: a short one is kept alive by pings", 20, kept_alive),
        check!("session: lost behind a cut connection", 40, lost),
        check!("lock: Curator's naming, in order of arrival", 30, curator_locks),
        check!("lock: shared and custom prefixes", 20, other_locks),
        check!("lock: writes guarded by the lock", 20, guarded),
        check!("restart: session, stats, watches and credentials go on", 90, restart),
        check!("kill: what was acknowledged is there afterwards", 90, kill),
    ]
}

async fn close_removes(main: Main, root: String) {
    let path = format!("{root}/e");
    let other = client().await;
    other.create(&path, b"", EPHEMERAL).await.must();
    let (_, watcher) = main.check_and_watch_stat(&path).await.must();
    close(other).await;
    happened(&event("deletion", watcher.changed()).await, EventType::NodeDeleted, &path);
    same(main.check_stat(&path).await.must(), None);
}

async fn detached(timeout: u64) -> Client {
    let connector = Client::connector().with_session_timeout(Duration::from_secs(timeout)).with_detached();
    connector.connect(server().await).await.must()
}

async fn reattached(main: Main, root: String) {
    let path = format!("{root}/e");
    let first = detached(20).await;
    first.create(&path, b"", EPHEMERAL).await.must();
    let session = first.into_session();
    let id = session.id();
    let second = Client::connector().with_session(session).connect(server().await).await.must();
    same(second.session_id(), id);
    same(second.check_stat(&path).await.must().map(|stat| stat.ephemeral_owner), Some(id.0));
    close(second).await;
    same(main.check_stat(&path).await.must(), None);
}

async fn expires(main: Main, root: String) {
    let path = format!("{root}/e");
    let first = detached(4).await;
    first.create(&path, b"", EPHEMERAL).await.must();
    let session = first.into_session();
    holds(main.check_stat(&path).await.must().is_some(), "gone at once");
    vanishes(&main, &path, 15).await;
    fails(Client::connector().with_session(session).connect(server().await).await, Error::SessionExpired);
}

async fn kept_alive(main: Main, root: String) {
    let path = format!("{root}/e");
    let idle = connect(Duration::from_secs(4)).await;
    let mut states = idle.state_watcher();
    same(states.state(), SessionState::SyncConnected);
    idle.create(&path, b"", EPHEMERAL).await.must();
    holds(within(7, "", states.changed()).await.is_err(), "the state changed");
    holds(main.check_stat(&path).await.must().is_some(), "the ephemeral is gone");
}

async fn lost(main: Main, root: String) {
    let path = format!("{root}/e");
    let relay = Relay::new().await;
    let away =
        Client::connector().with_session_timeout(Duration::from_secs(4)).connect(&relay.address).await.must();
    away.create(&path, b"", EPHEMERAL).await.must();
    let (_, _, watcher) = away.get_and_watch_data(&path).await.must();
    relay.cut();
    vanishes(&main, &path, 15).await;
    relay.mend();
    reaches_end(&away).await;
    same(
        event("end of the session", watcher.changed()).await,
        WatchedEvent::new_session(SessionState::Expired),
    );
    fails(away.get_data(&root).await, Error::SessionExpired);
}

async fn reaches_end(client: &Client) {
    let mut states = client.state_watcher();
    let mut state = states.state();
    let end = async {
        while !state.is_terminated() {
            state = states.changed().await;
        }
    };
    within(15, "end of the session", end).await.must();
    same(state, SessionState::Expired);
}

fn options() -> LockOptions<'static> {
    LockOptions::new(OPEN).with_ancestor_options(PERSISTENT.clone()).must()
}

async fn queued(client: &Client, path: &str, count: usize) {
    let full = async {
        while client.list_children(path).await.map_or(0, |children| children.len()) != count {
            pause(20).await;
        }
    };
    within(10, &format!("{count} contenders"), full).await.must();
}

async fn curator_locks(main: Main, root: String) {
    let path = format!("{root}/lock");
    let prefix = LockPrefix::new_curator(&path, "lock-").must();
    let first = main.lock(prefix, b"first", options()).await.must();
    holds(first.lock_path().starts_with(&format!("{path}/_c_")), "unexpected name");
    holds(first.lock_path().ends_with("-lock-0000000000"), "unexpected number");
    let (entered, mut order) = tokio::sync::mpsc::channel(8);
    let mut contenders = Vec::new();
    for number in 0..3 {
        let (dir, entered) = (path.clone(), entered.clone());
        contenders.push(tokio::spawn(async move {
            let client = client().await;
            let prefix = LockPrefix::new_curator(&dir, "lock-").must();
            let lock = client.lock(prefix, b"", options()).await.must();
            entered.send(number).await.must();
            drop(lock);
        }));
        queued(&main, &path, number + 2).await;
    }
    holds(order.try_recv().is_err(), "somebody else holds the lock");
    drop(first);
    for number in 0..3 {
        same(within(10, "next holder", order.recv()).await.must(), Some(number));
    }
    for contender in contenders {
        contender.await.must();
    }
    queued(&main, &path, 0).await;
}

async fn other_locks(main: Main, root: String) {
    let shared = format!("{root}/shared/x-");
    let held = main.lock(LockPrefix::new_shared(&shared).must(), b"", options()).await.must();
    same(held.lock_path(), &format!("{shared}0000000000"));
    let other = client().await;
    let custom = format!("{root}/shared/me-x-");
    let waiting = other.lock(LockPrefix::new_custom(custom.clone(), "x-").must(), b"", options());
    let mut waiting = Box::pin(waiting);
    holds(within(1, "", &mut waiting).await.is_err(), "two hold the lock");
    drop(held);
    let lock = within(10, "the lock", waiting).await.must().must();
    same(lock.lock_path(), &format!("{custom}0000000001"));
}

async fn guarded(main: Main, root: String) {
    let path = format!("{root}/n");
    let dir = format!("{root}/lock");
    let lock = main.lock(LockPrefix::new_curator(&dir, "lock-").must(), b"", options()).await.must();
    lock.create(&path, b"a", PERSISTENT).await.must();
    same(lock.set_data(&path, b"b", Some(0)).await.must().version, 1);
    fails(lock.set_data(&path, b"c", Some(0)).await, Error::BadVersion);
    let other = client().await;
    other.delete(lock.lock_path(), None).await.must();
    fails(lock.set_data(&path, b"d", None).await, Error::RuntimeInconsistent);
    same(text(&main, &path).await, "b".into());
}

async fn restart(main: Main, root: String) {
    let path = |name: &str| format!("{root}/{name}");
    let connector =
        Client::connector().with_session_timeout(Duration::from_secs(30)).with_auth("digest", b"cat:pw");
    let client = connector.connect(server().await).await.must();
    let id = client.session_id();
    client.create(&path("closed"), b"v", &CreateMode::Persistent.with_acls(Acls::creator_all())).await.must();
    client.create(&path("e"), b"", EPHEMERAL).await.must();
    client.create(&path("s-"), b"", SEQUENTIAL).await.must();
    let ttl = CreateMode::Persistent.with_acls(OPEN).with_ttl(Duration::from_secs(3600));
    client.create(&path("t"), b"", &ttl).await.must();
    client.set_data(&path("t"), b"x", None).await.must();
    let before = stats(&client, &root).await;
    let (_, _, changed) = client.get_and_watch_data(&path("e")).await.must();
    let (_, created) = client.check_and_watch_stat(&path("later")).await.must();

    restart_server("stop", &client).await;
    ready(&main).await;
    reaches(&client, SessionState::SyncConnected, 40).await;
    same(client.session_id(), id);
    same(text(&client, &path("closed")).await, "v".into());
    same(stats(&client, &root).await, before);
    same(client.list_ephemerals(&root).await.must(), vec![path("e")]);
    put(&main, &path("e"), "x").await;
    happened(&event("data watch", changed.changed()).await, EventType::NodeDataChanged, &path("e"));
    make(&main, &path("later"), "").await;
    happened(&event("stat watch", created.changed()).await, EventType::NodeCreated, &path("later"));
    same(client.create(&path("s-"), b"", SEQUENTIAL).await.must().1.into_i64(), 5);
}

async fn stats(client: &Client, root: &str) -> Vec<(String, zookeeper_client::Stat)> {
    let (mut names, stat) = client.get_children(root).await.must();
    names.sort();
    let mut all = vec![(root.to_string(), stat)];
    for name in names {
        let path = format!("{root}/{name}");
        let stat = client.check_stat(&path).await.must();
        all.push((path, stat.ok_or("a listed node is gone").must()));
    }
    all
}

async fn kill(main: Main, root: String) {
    let mut made = Vec::new();
    for _ in 0..50 {
        made.push(main.create(&format!("{root}/n-"), b"v", SEQUENTIAL).await.must().0);
    }
    restart_server("kill", &main).await;
    ready(&main).await;
    let found = stats(&main, &root).await;
    same(found.into_iter().skip(1).map(|(_, stat)| stat).collect::<Vec<_>>(), made);
    make(&main, &format!("{root}/later"), "").await;
}
