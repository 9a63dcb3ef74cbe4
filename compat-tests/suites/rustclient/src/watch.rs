//! Watches: one-shot, persistent, recursive; their events, their order, their end.

use tokio::time::{Duration, timeout};
use zookeeper_client::{AddWatchMode, EventType, PersistentWatcher, SessionState, WatchedEvent};

use crate::check;
use crate::support::{
    Check, EPHEMERAL, Main, Must, PERSISTENT, Relay, client, close, event, fail, happened, holds, make,
    pause, put, quiet, reaches, same, word,
};
use zookeeper_client::Client;

pub fn checks() -> Vec<Check> {
    vec![
        check!("watch: data, with the zxid of its cause", 20, data),
        check!("watch: stat of present and absent nodes", 20, stat),
        check!("watch: children", 20, children),
        check!("watch: the event precedes the reply of the writer", 15, before_reply),
        check!("watch: a failed read registers nothing", 20, failed_read),
        check!("watch: persistent, on one node", 20, persistent),
        check!("watch: recursive, on a subtree", 20, recursive),
        check!("watch: recursive, end of a session", 15, recursive_session_end),
        check!("watch: several kinds on one node", 20, together),
        check!("watch: a multi fires in its order", 20, multi_order),
        check!("watch: dropped watchers are removed on the server", 20, removal),
        check!("watch: a dropped child watcher is removed on the server", 20, child_removal),
        check!("watch: one of two persistent watchers is removed", 20, partial_removal),
        check!("watch: configuration", 20, configuration),
        check!("reconnect: one-shot watches, missed events", 40, missed_oneshot),
        check!("reconnect: persistent watches, added again", 40, persistent_again),
    ]
}

async fn next(what: &str, watcher: &mut PersistentWatcher) -> WatchedEvent {
    event(what, watcher.changed()).await
}

async fn data(client: Main, root: String) {
    let path = format!("{root}/n");
    make(&client, &path, "a").await;
    let (_, _, watcher) = client.get_and_watch_data(&path).await.must();
    let stat = put(&client, &path, "b").await;
    let changed = event("change", watcher.changed()).await;
    happened(&changed, EventType::NodeDataChanged, &path);
    same(changed.zxid, stat.mzxid);
    let (data, _, watcher) = client.get_and_watch_data(&path).await.must();
    same(data, b"b".to_vec());
    client.delete(&path, None).await.must();
    let deleted = event("deletion", watcher.changed()).await;
    happened(&deleted, EventType::NodeDeleted, &path);
    holds(deleted.zxid > changed.zxid, "the zxid of the event did not grow");
}

async fn stat(client: Main, root: String) {
    let path = format!("{root}/n");
    let (absent, watcher) = client.check_and_watch_stat(&path).await.must();
    same(absent, None);
    let stat = make(&client, &path, "").await;
    let created = event("creation", watcher.changed()).await;
    happened(&created, EventType::NodeCreated, &path);
    same(created.zxid, stat.czxid);
    let (present, watcher) = client.check_and_watch_stat(&path).await.must();
    same(present, Some(stat));
    put(&client, &path, "x").await;
    happened(&event("change", watcher.changed()).await, EventType::NodeDataChanged, &path);
}

async fn children(client: Main, root: String) {
    let path = format!("{root}/n");
    make(&client, &path, "").await;
    let (_, watcher) = client.list_and_watch_children(&path).await.must();
    put(&client, &path, "x").await;
    let stat = make(&client, &format!("{path}/c"), "").await;
    let changed = event("new child", watcher.changed()).await;
    happened(&changed, EventType::NodeChildrenChanged, &path);
    same(changed.zxid, stat.czxid);
    let (_, stat, watcher) = client.get_and_watch_children(&path).await.must();
    same(stat.num_children, 1);
    client.delete(&format!("{path}/c"), None).await.must();
    happened(&event("lost child", watcher.changed()).await, EventType::NodeChildrenChanged, &path);
    let (_, _, watcher) = client.get_and_watch_children(&path).await.must();
    client.delete(&path, None).await.must();
    happened(&event("deletion", watcher.changed()).await, EventType::NodeDeleted, &path);
}

/// The client reads its socket in order, so an event behind the reply would not be here yet.
async fn before_reply(client: Main, root: String) {
    let path = format!("{root}/n");
    make(&client, &path, "").await;
    for round in 0..20 {
        let (_, _, watcher) = client.get_and_watch_data(&path).await.must();
        put(&client, &path, "x").await;
        if timeout(Duration::ZERO, watcher.changed()).await.is_err() {
            fail(&format!("round {round}: the reply overtook the event"));
        }
    }
}

async fn failed_read(client: Main, root: String) {
    let path = format!("{root}/n");
    holds(client.get_and_watch_data(&path).await.is_err(), "an absent node was read");
    holds(client.get_and_watch_children(&path).await.is_err(), "an absent node was listed");
    holds(!word("wchp").await.lines().any(|line| line == path), "a watch was registered");
}

async fn persistent(client: Main, root: String) {
    let path = format!("{root}/n");
    let mut watcher = client.watch(&path, AddWatchMode::Persistent).await.must();
    for round in 0..2 {
        let stat = make(&client, &path, "").await;
        let created = next("creation", &mut watcher).await;
        happened(&created, EventType::NodeCreated, &path);
        same(created.zxid, stat.czxid);
        put(&client, &path, "x").await;
        put(&client, &path, "y").await;
        for _ in 0..2 {
            happened(&next("change", &mut watcher).await, EventType::NodeDataChanged, &path);
        }
        make(&client, &format!("{path}/c{round}"), "").await;
        happened(&next("new child", &mut watcher).await, EventType::NodeChildrenChanged, &path);
        put(&client, &format!("{path}/c{round}"), "x").await;
        client.delete(&format!("{path}/c{round}"), None).await.must();
        happened(&next("lost child", &mut watcher).await, EventType::NodeChildrenChanged, &path);
        client.delete(&path, None).await.must();
        happened(&next("deletion", &mut watcher).await, EventType::NodeDeleted, &path);
    }
    quiet("persistent watch", watcher.changed()).await;
}

async fn recursive(client: Main, root: String) {
    let path = format!("{root}/n");
    let mut watcher = client.watch(&path, AddWatchMode::PersistentRecursive).await.must();
    let (child, grandchild) = (format!("{path}/c"), format!("{path}/c/g"));
    for created in [&path, &child, &grandchild] {
        make(&client, created, "").await;
    }
    put(&client, &grandchild, "x").await;
    put(&client, &path, "x").await;
    make(&client, &format!("{root}/neighbour"), "").await;
    make(&client, &format!("{path}ext"), "").await;
    for deleted in [&grandchild, &child, &path] {
        client.delete(deleted, None).await.must();
    }
    let expected = [
        (EventType::NodeCreated, &path),
        (EventType::NodeCreated, &child),
        (EventType::NodeCreated, &grandchild),
        (EventType::NodeDataChanged, &grandchild),
        (EventType::NodeDataChanged, &path),
        (EventType::NodeDeleted, &grandchild),
        (EventType::NodeDeleted, &child),
        (EventType::NodeDeleted, &path),
    ];
    for (kind, path) in expected {
        happened(&next("event", &mut watcher).await, kind, path);
    }
    quiet("recursive watch", watcher.changed()).await;
}

async fn recursive_session_end(main: Main, root: String) {
    let mut watcher = main.watch(&root, AddWatchMode::PersistentRecursive).await.must();
    let other = client().await;
    make(&other, &format!("{root}/d"), "").await;
    happened(&next("creation", &mut watcher).await, EventType::NodeCreated, &format!("{root}/d"));
    let path = format!("{root}/d/e");
    other.create(&path, b"", EPHEMERAL).await.must();
    happened(&next("ephemeral", &mut watcher).await, EventType::NodeCreated, &path);
    close(other).await;
    happened(&next("its end", &mut watcher).await, EventType::NodeDeleted, &path);
}

async fn together(client: Main, root: String) {
    let path = format!("{root}/n");
    make(&client, &path, "").await;
    let (_, _, once) = client.get_and_watch_data(&path).await.must();
    let (_, _, listed) = client.get_and_watch_children(&path).await.must();
    let mut here = client.watch(&path, AddWatchMode::Persistent).await.must();
    let mut below = client.watch(&root, AddWatchMode::PersistentRecursive).await.must();
    put(&client, &path, "x").await;
    happened(&event("one-shot", once.changed()).await, EventType::NodeDataChanged, &path);
    happened(&next("persistent", &mut here).await, EventType::NodeDataChanged, &path);
    happened(&next("recursive", &mut below).await, EventType::NodeDataChanged, &path);
    make(&client, &format!("{path}/c"), "").await;
    happened(&event("children", listed.changed()).await, EventType::NodeChildrenChanged, &path);
    happened(&next("persistent", &mut here).await, EventType::NodeChildrenChanged, &path);
    happened(&next("recursive", &mut below).await, EventType::NodeCreated, &format!("{path}/c"));
    quiet("persistent", here.changed()).await;
    quiet("recursive", below.changed()).await;
}

async fn multi_order(client: Main, root: String) {
    let path = |name: &str| format!("{root}/{name}");
    make(&client, &path("a"), "").await;
    make(&client, &path("b"), "").await;
    let mut watcher = client.watch(&root, AddWatchMode::PersistentRecursive).await.must();
    let mut writer = client.new_multi_writer();
    writer.add_create(&path("c"), b"", PERSISTENT).must();
    writer.add_delete(&path("b"), None).must();
    writer.add_set_data(&path("a"), b"x", None).must();
    writer.add_delete(&path("c"), None).must();
    writer.commit().await.must();
    let zxid = client.check_stat(&path("a")).await.must().map(|stat| stat.mzxid);
    let expected = [
        (EventType::NodeCreated, "c"),
        (EventType::NodeDeleted, "b"),
        (EventType::NodeDataChanged, "a"),
        (EventType::NodeDeleted, "c"),
    ];
    for (kind, name) in expected {
        let received = next("event", &mut watcher).await;
        happened(&received, kind, &path(name));
        same(Some(received.zxid), zxid);
    }
}

async fn watched(path: &str) -> bool {
    word("wchp").await.lines().any(|line| line == path)
}

/// The server's own list of data watches shows whether it has let go.
async fn unwatched(path: &str) {
    for _ in 0..100 {
        if !watched(path).await {
            return;
        }
        pause(50).await;
    }
    fail(&format!("the server still watches {path}"));
}

async fn removal(client: Main, root: String) {
    let path = format!("{root}/n");
    make(&client, &path, "").await;

    let (_, _, data) = client.get_and_watch_data(&path).await.must();
    holds(watched(&path).await, "the data watch is not listed");
    drop(data);
    unwatched(&path).await;

    let absent = format!("{root}/absent");
    let (_, exist) = client.check_and_watch_stat(&absent).await.must();
    holds(watched(&absent).await, "the watch on an absent node is not listed");
    drop(exist);
    unwatched(&absent).await;

    for mode in [AddWatchMode::Persistent, AddWatchMode::PersistentRecursive] {
        let watcher = client.watch(&path, mode).await.must();
        put(&client, &path, "x").await;
        drop(watcher);
        let (_, _, again) = client.get_and_watch_data(&path).await.must();
        put(&client, &path, "y").await;
        happened(&event("later watch", again.changed()).await, EventType::NodeDataChanged, &path);
        unwatched(&path).await;
    }
}

/// The number of watches of all kinds, once it is what it ought to be.
async fn watches(expected: usize) {
    let mut count = 0;
    for _ in 0..100 {
        count = watch_count().await;
        if count == expected {
            return;
        }
        pause(50).await;
    }
    same(count, expected);
}

async fn watch_count() -> usize {
    let answer = word("mntr").await;
    let value = answer.lines().find_map(|line| line.strip_prefix("zk_watch_count\t"));
    value.unwrap_or_else(|| fail("mntr has no zk_watch_count")).parse().must()
}

/// Child watches are not in that list, but they are counted.
async fn child_removal(client: Main, root: String) {
    client.sync(&root).await.must();
    pause(300).await;
    let before = watch_count().await;
    let (_, _, children) = client.get_and_watch_children(&root).await.must();
    watches(before + 1).await;
    let (_, _, data) = client.get_and_watch_data(&root).await.must();
    watches(before + 2).await;
    drop(children);
    watches(before + 1).await;
    put(&client, &root, "x").await;
    happened(&event("data watch", data.changed()).await, EventType::NodeDataChanged, &root);
    watches(before).await;
}

async fn partial_removal(client: Main, root: String) {
    let path = format!("{root}/n");
    make(&client, &path, "").await;
    let mut kept = client.watch(&path, AddWatchMode::Persistent).await.must();
    let dropped = client.watch(&path, AddWatchMode::Persistent).await.must();
    let (_, _, child) = client.get_and_watch_children(&path).await.must();
    let (_, _, data) = client.get_and_watch_data(&path).await.must();
    drop(dropped);
    drop(child);
    client.sync(&path).await.must();
    put(&client, &path, "x").await;
    happened(&next("kept watch", &mut kept).await, EventType::NodeDataChanged, &path);
    happened(&event("data watch", data.changed()).await, EventType::NodeDataChanged, &path);
}

async fn configuration(client: Main, root: String) {
    let (data, stat, watcher) = client.get_and_watch_config().await.must();
    same((data.len(), stat.version), (0, 0));
    put(&client, &root, "x").await;
    quiet("configuration", watcher.changed()).await;
}

async fn through(relay: &Relay) -> Client {
    Client::connector().with_session_timeout(Duration::from_secs(20)).connect(&relay.address).await.must()
}

async fn missed_oneshot(main: Main, root: String) {
    let path = |name: &str| format!("{root}/{name}");
    for name in ["changed", "deleted", "parent", "calm"] {
        make(&main, &path(name), "").await;
    }
    let relay = Relay::new().await;
    let away = through(&relay).await;
    let id = away.session_id();
    let (_, _, changed) = away.get_and_watch_data(&path("changed")).await.must();
    let (_, deleted) = away.check_and_watch_stat(&path("deleted")).await.must();
    let (_, created) = away.check_and_watch_stat(&path("created")).await.must();
    let (_, parent) = away.list_and_watch_children(&path("parent")).await.must();
    let (_, _, calm) = away.get_and_watch_data(&path("calm")).await.must();
    let (_, absent) = away.check_and_watch_stat(&path("absent")).await.must();
    relay.cut();
    reaches(&away, SessionState::Disconnected, 10).await;
    put(&main, &path("changed"), "x").await;
    main.delete(&path("deleted"), None).await.must();
    make(&main, &path("created"), "").await;
    make(&main, &path("parent/c"), "").await;
    relay.mend();
    reaches(&away, SessionState::SyncConnected, 15).await;
    same(away.session_id(), id);
    for (watcher, kind, name) in [
        (changed, EventType::NodeDataChanged, "changed"),
        (deleted, EventType::NodeDeleted, "deleted"),
        (created, EventType::NodeCreated, "created"),
        (parent, EventType::NodeChildrenChanged, "parent"),
    ] {
        let received = event(name, watcher.changed()).await;
        happened(&received, kind, &path(name));
        same(received.zxid, WatchedEvent::NO_ZXID);
    }
    away.sync(&root).await.must();
    put(&main, &path("calm"), "x").await;
    make(&main, &path("absent"), "").await;
    happened(&event("calm", calm.changed()).await, EventType::NodeDataChanged, &path("calm"));
    happened(&event("absent", absent.changed()).await, EventType::NodeCreated, &path("absent"));
}

/// This release of the client does not restore persistent watches, so they are added again. What happened
/// meanwhile is not told to them.
async fn persistent_again(main: Main, root: String) {
    let path = format!("{root}/n");
    make(&main, &path, "").await;
    let relay = Relay::new().await;
    let away = through(&relay).await;
    let mut first = away.watch(&path, AddWatchMode::Persistent).await.must();
    relay.cut();
    reaches(&away, SessionState::Disconnected, 10).await;
    put(&main, &path, "missed").await;
    relay.mend();
    reaches(&away, SessionState::SyncConnected, 15).await;
    same(next("loss", &mut first).await, WatchedEvent::new_session(SessionState::Disconnected));
    same(next("return", &mut first).await, WatchedEvent::new_session(SessionState::SyncConnected));
    let mut here = away.watch(&path, AddWatchMode::Persistent).await.must();
    let mut below = away.watch(&root, AddWatchMode::PersistentRecursive).await.must();
    let stat = make(&main, &format!("{path}/c"), "").await;
    let changed = next("persistent", &mut here).await;
    happened(&changed, EventType::NodeChildrenChanged, &path);
    let created = next("recursive", &mut below).await;
    happened(&created, EventType::NodeCreated, &format!("{path}/c"));
    same((changed.zxid, created.zxid), (stat.czxid, stat.czxid));
}
