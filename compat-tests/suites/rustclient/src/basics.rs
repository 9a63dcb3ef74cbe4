//! Single operations: nodes in every mode, access lists, credentials, the lesser known queries.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use zookeeper_client::{
    Acl, Acls, AuthId, AuthUser, Client, CreateMode, EnsembleUpdate, Error, Permission, SessionState,
};

use crate::check;
use crate::support::{
    Check, EPHEMERAL, Main, Must, OPEN, PERSISTENT, SEQUENTIAL, client, close, connect, fails, holds, make,
    pause, put, reaches, same, server, text, vanishes,
};

const CREATOR: Acls<'static> = Acls::creator_all();

pub fn checks() -> Vec<Check> {
    vec![
        check!("connect: session id, state, negotiated timeout", 20, connects),
        check!("connect: a client for read-only servers too", 20, read_only),
        check!("connect: a client that believes in an old server", 20, old_create),
        check!("create, get: data and stat", 20, create_and_get),
        check!("create: errors", 20, create_errors),
        check!("create: sequences", 20, sequences),
        check!("create: ephemerals", 20, ephemerals),
        check!("create: containers are swept once emptied", 25, containers),
        check!("create: TTL nodes are swept when their time is over", 35, ttl),
        check!("mkdir", 20, mkdir),
        check!("set: versions", 20, set_versions),
        check!("delete: versions and children", 20, deletes),
        check!("check_stat", 20, check_stat),
        check!("children: names with and without stat", 20, children),
        check!("count of descendants", 20, descendants),
        check!("ephemerals of this session", 15, list_ephemerals),
        check!("sync", 20, sync),
        check!("one million bytes", 15, big_data),
        check!("one thousand pipelined, answered in order", 20, pipelined),
        check!("pipelined writes and reads see each other", 20, dependent),
        check!("acl: default, set, versions, refusals", 20, acls),
        check!("auth: digest, later and at connecting", 15, digest),
        check!("auth: super user", 20, super_user),
        check!("auth: unknown scheme", 15, unknown_scheme),
        check!("whoAmI", 20, who_am_i),
        check!("configuration node and reconfig", 20, configuration),
        check!("chroot", 15, chroot),
    ]
}

async fn connects(_: Main, _: String) {
    let first = client().await;
    holds(first.session_id().0 != 0, "the session id is zero");
    same(first.state(), SessionState::SyncConnected);
    same(first.session_timeout(), Duration::from_secs(10));
    close(first).await;
    for (asked, granted) in [(1, 4), (90, 40)] {
        let other = connect(Duration::from_secs(asked)).await;
        same(other.session_timeout(), Duration::from_secs(granted));
        close(other).await;
    }
}

async fn read_only(_: Main, root: String) {
    let client = Client::connector().with_readonly(true).connect(server().await).await.must();
    same(client.state(), SessionState::SyncConnected);
    holds(!client.session().is_readonly(), "the session is read-only");
    make(&client, &format!("{root}/n"), "v").await;
}

/// Told of an old server, the client creates with opcode 1 and gets no stat.
async fn old_create(_: Main, root: String) {
    let client = Client::connector().with_server_version(3, 4, 14).connect(server().await).await.must();
    let (stat, sequence) = client.create(&format!("{root}/s-"), b"v", SEQUENTIAL).await.must();
    holds(stat.is_invalid(), "there is a stat");
    same(sequence.into_i64(), 0);
    same(text(&client, &format!("{root}/s-0000000000")).await, "v".into());
}

async fn create_and_get(client: Main, root: String) {
    let path = format!("{root}/n");
    let stat = make(&client, &path, "hello").await;
    let (data, read) = client.get_data(&path).await.must();
    same(data, b"hello".to_vec());
    same(read, stat);
    same((stat.version, stat.cversion, stat.aversion, stat.data_length, stat.num_children), (0, 0, 0, 5, 0));
    same((stat.mzxid, stat.pzxid, stat.mtime, stat.ephemeral_owner), (stat.czxid, stat.czxid, stat.ctime, 0));
    #[expect(clippy::disallowed_methods, reason = "the age of a node can only be judged by a clock")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).must();
    holds((now.as_millis() as i64 - stat.ctime).abs() < 60_000, "ctime is not near the present");
}

async fn create_errors(client: Main, root: String) {
    let (node, below) = (format!("{root}/n"), format!("{root}/gone/n"));
    make(&client, &node, "").await;
    fails(client.create(&node, b"", PERSISTENT).await, Error::NodeExists);
    fails(client.create(&below, b"", PERSISTENT).await, Error::NoNode);
    fails(client.get_data(&below).await, Error::NoNode);
    let unknown = [Acl::new(Permission::ALL, AuthId::new("nonesuch", "x"))];
    let options = CreateMode::Persistent.with_acls(Acls::new(&unknown));
    fails(client.create(&format!("{root}/x"), b"", &options).await, Error::InvalidAcl);
    let options = CreateMode::Persistent.with_acls(CREATOR);
    fails(client.create(&format!("{root}/x"), b"", &options).await, Error::InvalidAcl);
}

async fn sequences(client: Main, root: String) {
    for number in 0..3 {
        let (_, sequence) = client.create(&format!("{root}/s-"), b"", SEQUENTIAL).await.must();
        same(sequence.to_string(), format!("{number:010}"));
    }
    client.delete(&format!("{root}/s-0000000002"), None).await.must();
    same(client.create(&format!("{root}/t-"), b"", SEQUENTIAL).await.must().1.into_i64(), 3);
    let options = CreateMode::PersistentSequential.with_acls(OPEN).with_ttl(Duration::from_secs(3600));
    same(client.create(&format!("{root}/t-"), b"", &options).await.must().1.into_i64(), 4);
}

async fn ephemerals(client: Main, root: String) {
    let (stat, _) = client.create(&format!("{root}/e"), b"", EPHEMERAL).await.must();
    same(stat.ephemeral_owner, client.session_id().0);
    fails(client.create(&format!("{root}/e/c"), b"", PERSISTENT).await, Error::NoChildrenForEphemerals);
    let options = CreateMode::EphemeralSequential.with_acls(OPEN);
    let (stat, sequence) = client.create(&format!("{root}/es-"), b"", &options).await.must();
    same((stat.ephemeral_owner, sequence.into_i64()), (client.session_id().0, 1));
}

/// An emptied container goes away; one that never had a child stays.
async fn containers(client: Main, root: String) {
    let (used, unused) = (format!("{root}/c"), format!("{root}/d"));
    let options = CreateMode::Container.with_acls(OPEN);
    same(client.create(&used, b"v", &options).await.must().0.ephemeral_owner, 0);
    client.create(&unused, b"", &options).await.must();
    make(&client, &format!("{used}/child"), "").await;
    pause(1200).await;
    client.delete(&format!("{used}/child"), None).await.must();
    vanishes(&client, &used, 10).await;
    holds(client.check_stat(&unused).await.must().is_some(), "the unused container is gone");
}

async fn ttl(client: Main, root: String) {
    let path = |name: &str| format!("{root}/{name}");
    let short = CreateMode::Persistent.with_acls(OPEN).with_ttl(Duration::from_millis(700));
    let long = CreateMode::Persistent.with_acls(OPEN).with_ttl(Duration::from_secs(3600));
    same(client.create(&path("short"), b"", &short).await.must().0.ephemeral_owner, 0);
    client.create(&path("busy"), b"", &short).await.must();
    make(&client, &path("busy/child"), "").await;
    client.create(&path("long"), b"", &long).await.must();
    vanishes(&client, &path("short"), 10).await;
    holds(client.check_stat(&path("busy")).await.must().is_some(), "a node with a child was swept");
    holds(client.check_stat(&path("long")).await.must().is_some(), "a node was swept before its time");
    client.delete(&path("busy/child"), None).await.must();
    vanishes(&client, &path("busy"), 10).await;
}

async fn mkdir(client: Main, root: String) {
    client.mkdir(&format!("{root}/a/b/c"), PERSISTENT).await.must();
    client.mkdir(&format!("{root}/a/b/c"), PERSISTENT).await.must();
    same(client.list_children(&format!("{root}/a/b")).await.must(), vec!["c".to_string()]);
    client.mkdir(&format!("{root}/x/y"), &CreateMode::Container.with_acls(OPEN)).await.must();
    same(client.count_descendants_number(&root).await.must(), 5);
}

async fn set_versions(client: Main, root: String) {
    let path = format!("{root}/n");
    make(&client, &path, "a").await;
    same(put(&client, &path, "b").await.version, 1);
    let stat = client.set_data(&path, b"b", Some(1)).await.must();
    same((stat.version, stat.data_length), (2, 1));
    holds(stat.mzxid > stat.czxid, "mzxid did not grow");
    fails(client.set_data(&path, b"c", Some(1)).await, Error::BadVersion);
    fails(client.set_data(&format!("{root}/gone"), b"c", None).await, Error::NoNode);
    same(client.get_data(&path).await.must().1, stat);
}

async fn deletes(client: Main, root: String) {
    let (node, child) = (format!("{root}/n"), format!("{root}/n/c"));
    make(&client, &node, "").await;
    make(&client, &child, "").await;
    fails(client.delete(&node, None).await, Error::NotEmpty);
    fails(client.delete(&child, Some(9)).await, Error::BadVersion);
    client.delete(&child, Some(0)).await.must();
    client.delete(&node, None).await.must();
    fails(client.delete(&node, None).await, Error::NoNode);
}

async fn check_stat(client: Main, root: String) {
    same(client.check_stat(&format!("{root}/n")).await.must(), None);
    let stat = make(&client, &format!("{root}/n"), "v").await;
    same(client.check_stat(&format!("{root}/n")).await.must(), Some(stat));
}

async fn children(client: Main, root: String) {
    for name in ["c", "a", "b"] {
        make(&client, &format!("{root}/{name}"), "").await;
    }
    client.delete(&format!("{root}/b"), None).await.must();
    let mut names = client.list_children(&root).await.must();
    names.sort();
    same(names.clone(), vec!["a".to_string(), "c".to_string()]);
    let (mut again, stat) = client.get_children(&root).await.must();
    again.sort();
    same(again, names);
    same((stat.num_children, stat.cversion, stat.version), (2, 4, 0));
    same(client.list_children(&format!("{root}/a")).await.must(), vec![]);
    fails(client.list_children(&format!("{root}/gone")).await, Error::NoNode);
    fails(client.get_children(&format!("{root}/gone")).await, Error::NoNode);
}

async fn descendants(client: Main, root: String) {
    same(client.count_descendants_number(&root).await.must(), 0);
    for path in ["a", "a/b", "a/b/c", "ab"] {
        make(&client, &format!("{root}/{path}"), "").await;
    }
    same(client.count_descendants_number(&root).await.must(), 4);
    same(client.count_descendants_number(&format!("{root}/a")).await.must(), 2);
    fails(client.count_descendants_number(&format!("{root}/gone")).await, Error::NoNode);
}

async fn list_ephemerals(main: Main, root: String) {
    let client = client().await;
    make(&client, &format!("{root}/d"), "").await;
    let mut expected = vec![format!("{root}/a"), format!("{root}/d/b")];
    for path in &expected {
        client.create(path, b"", EPHEMERAL).await.must();
    }
    main.create(&format!("{root}/d/foreign"), b"", EPHEMERAL).await.must();
    let mut all = client.list_ephemerals(&root).await.must();
    all.sort();
    same(all.clone(), expected.clone());
    let mut everywhere = client.list_ephemerals("/").await.must();
    everywhere.sort();
    same(everywhere, all);
    same(client.list_ephemerals(&format!("{root}/d")).await.must(), vec![expected.remove(1)]);
    same(client.list_ephemerals(&format!("{root}/gone")).await.must(), vec![]);
    let inner = client.clone().chroot(format!("{root}/d")).map_err(|_| "the chroot is refused").must();
    same(inner.list_ephemerals("/").await.must(), vec!["/b".to_string()]);
}

async fn sync(client: Main, root: String) {
    client.sync(&root).await.must();
    client.sync(&format!("{root}/gone")).await.must();
}

async fn big_data(client: Main, root: String) {
    let path = format!("{root}/n");
    let data: Vec<u8> = (0..1_000_000_u32).map(|number| (number % 251) as u8).collect();
    client.create(&path, &data, PERSISTENT).await.must();
    let (back, stat) = client.get_data(&path).await.must();
    holds(back == data, "the data differs");
    same(stat.data_length, 1_000_000);
    client.delete(&path, None).await.must();
}

async fn pipelined(client: Main, root: String) {
    let path = format!("{root}/p-");
    // Each call sends at once; only the replies are awaited one by one.
    let calls: Vec<_> = (0..1000).map(|_| client.create(&path, b"", SEQUENTIAL)).collect();
    let mut last = 0;
    for (number, call) in calls.into_iter().enumerate() {
        let (stat, sequence) = call.await.must();
        same(sequence.into_i64(), number as i64);
        holds(stat.czxid > last, "czxid did not grow");
        last = stat.czxid;
    }
    same(client.check_stat(&root).await.must().map(|stat| stat.num_children), Some(1000));
}

async fn dependent(client: Main, root: String) {
    let (parent, child) = (format!("{root}/a"), format!("{root}/a/b"));
    let first = client.create(&parent, b"", PERSISTENT);
    let second = client.create(&child, b"1", PERSISTENT);
    let third = client.set_data(&child, b"2", Some(0));
    let read = client.get_data(&child);
    let refused = client.set_data(&child, b"3", Some(0));
    let deleted = client.delete(&child, Some(1));
    let listed = client.list_children(&parent);
    first.await.must();
    second.await.must();
    third.await.must();
    same(read.await.must().0, b"2".to_vec());
    fails(refused.await, Error::BadVersion);
    deleted.await.must();
    same(listed.await.must(), vec![]);
}

async fn acls(client: Main, root: String) {
    let path = format!("{root}/n");
    make(&client, &path, "").await;
    let (list, stat) = client.get_acl(&path).await.must();
    same(list, vec![Acl::new(Permission::ALL, AuthId::anyone())]);
    same(stat.aversion, 0);
    let closed = [Acl::new(Permission::READ | Permission::ADMIN, AuthId::anyone())];
    same(client.set_acl(&path, &closed, Some(0)).await.must().aversion, 1);
    fails(client.set_acl(&path, &closed, Some(0)).await, Error::BadVersion);
    same(client.get_acl(&path).await.must().0, closed.to_vec());
    fails(client.set_data(&path, b"x", None).await, Error::NoAuth);
    fails(client.create(&format!("{path}/c"), b"", PERSISTENT).await, Error::NoAuth);
    let away = [Acl::new(Permission::ALL, AuthId::new("ip", "10.1.2.3"))];
    let options = CreateMode::Persistent.with_acls(Acls::new(&away));
    client.create(&format!("{root}/away"), b"", &options).await.must();
    fails(client.get_data(&format!("{root}/away")).await, Error::NoAuth);
    fails(client.get_acl(&format!("{root}/gone")).await, Error::NoNode);
}

async fn digest(main: Main, root: String) {
    let path = format!("{root}/n");
    let owner = Client::connector().with_auth("digest", b"ann:secret").connect(server().await).await.must();
    owner.create(&path, b"v", &CreateMode::Persistent.with_acls(CREATOR)).await.must();
    let expected = Acl::new(Permission::ALL, AuthId::new("digest", "ann:7RJfAeIvrl4zdj6sS2fXrQHDvHM="));
    same(owner.get_acl(&path).await.must().0, vec![expected]);
    fails(main.get_data(&path).await, Error::NoAuth);
    let other = client().await;
    other.auth("digest", b"ann:wrong").await.must();
    fails(other.get_data(&path).await, Error::NoAuth);
    other.auth("digest", b"ann:secret").await.must();
    same(text(&other, &path).await, "v".into());
}

async fn super_user(main: Main, root: String) {
    let path = format!("{root}/n");
    let closed = [Acl::new(Permission::ALL, AuthId::new("digest", "x:y"))];
    main.create(&path, b"v", &CreateMode::Persistent.with_acls(Acls::new(&closed))).await.must();
    fails(main.get_data(&path).await, Error::NoAuth);
    let admin = client().await;
    admin.auth("digest", b"super:test").await.must();
    same(text(&admin, &path).await, "v".into());
    admin.delete(&path, None).await.must();
}

async fn unknown_scheme(_: Main, _: String) {
    let client = client().await;
    fails(client.auth("nonesuch", b"x").await, Error::AuthFailed);
    reaches(&client, SessionState::AuthFailed, 5).await;
}

async fn who_am_i(main: Main, _: String) {
    same(main.list_auth_users().await.must(), vec![AuthUser::new("ip", "127.0.0.1")]);
    let client = client().await;
    client.auth("digest", b"ann:secret").await.must();
    client.auth("digest", b"bob:secret").await.must();
    let mut users = client.list_auth_users().await.must();
    users.sort_by(|one, other| one.user().cmp(other.user()));
    same(
        users,
        vec![
            AuthUser::new("ip", "127.0.0.1"),
            AuthUser::new("digest", "ann"),
            AuthUser::new("digest", "bob"),
        ],
    );
}

async fn configuration(client: Main, _: String) {
    let (data, stat) = client.get_config().await.must();
    same(data.len(), 0);
    same((stat.version, stat.czxid), (0, 0));
    let joining = ["server.9=127.0.0.1:1:2;3"];
    let update = EnsembleUpdate::New { ensemble: joining.into_iter() };
    fails(client.update_ensemble(update, None).await, Error::ReconfigDisabled);
}

async fn chroot(main: Main, root: String) {
    let inner = Client::connector().connect(&format!("{}{root}/in", server().await)).await.must();
    same(inner.path(), &format!("{root}/in"));
    fails(inner.create("/n", b"", PERSISTENT).await, Error::NoNode);
    make(&main, &format!("{root}/in"), "").await;
    make(&inner, "/n", "v").await;
    same(text(&main, &format!("{root}/in/n")).await, "v".into());
    same(inner.list_children("/").await.must(), vec!["n".to_string()]);
    let (_, _, watcher) = inner.get_and_watch_data("/n").await.must();
    put(&main, &format!("{root}/in/n"), "w").await;
    same(watcher.changed().await.path, "/n".to_string());
}
