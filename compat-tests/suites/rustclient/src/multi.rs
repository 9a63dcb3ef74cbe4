//! Several operations in one request: writes that stand or fall together, reads of one moment.

use zookeeper_client::{Acl, AuthId};
use zookeeper_client::{
    CheckWriteError, CreateMode, Error, MultiReadResult, MultiWriteError, MultiWriteResult, Permission,
};

use crate::check;
use crate::support::{
    Check, EPHEMERAL, Main, Must, OPEN, PERSISTENT, SEQUENTIAL, fail, fails, holds, make, put, same, text,
};

pub fn checks() -> Vec<Check> {
    vec![
        check!("multi: every operation, stats included", 20, every_operation),
        check!("multi: containers and TTL", 20, special_nodes),
        check!("multi: a failure leaves nothing behind", 20, failure),
        check!("multi: operations see those before them", 20, inner_order),
        check!("multi: check with another operation", 20, check_writer),
        check!("multi: empty", 20, empty),
        check!("multi read: data, children and errors", 20, reads),
        check!("multi read: one reply is one moment", 30, one_moment),
    ]
}

async fn every_operation(client: Main, root: String) {
    let path = |name: &str| format!("{root}/{name}");
    make(&client, &path("old"), "").await;
    put(&client, &path("old"), "1").await;
    let mut writer = client.new_multi_writer();
    writer.add_check_version(&path("old"), 1).must();
    writer.add_create(&path("a"), b"x", PERSISTENT).must();
    writer.add_set_data(&path("a"), b"yy", Some(0)).must();
    writer.add_create(&path("a/s-"), b"", SEQUENTIAL).must();
    writer.add_create(&path("e"), b"", EPHEMERAL).must();
    writer.add_delete(&path("old"), Some(1)).must();
    let results = writer.commit().await.must();
    same(results.len(), 6);
    same(&results[0], &MultiWriteResult::Check);
    same(&results[5], &MultiWriteResult::Delete);
    let MultiWriteResult::Create { path: made, stat } = &results[1] else { fail("no create result") };
    same(made, &path("a"));
    same((stat.version, stat.data_length, stat.mzxid), (0, 1, stat.czxid));
    let MultiWriteResult::SetData { stat: changed } = &results[2] else { fail("no set result") };
    same((changed.version, changed.data_length, changed.mzxid), (1, 2, stat.czxid));
    let MultiWriteResult::Create { path: made, stat: sequential } = &results[3] else {
        fail("no create result")
    };
    same(made, &path("a/s-0000000000"));
    same(sequential.czxid, stat.czxid);
    let MultiWriteResult::Create { stat: ephemeral, .. } = &results[4] else { fail("no create result") };
    same(ephemeral.ephemeral_owner, client.session_id().0);
    same(client.check_stat(&path("old")).await.must(), None);
    same(client.check_stat(&path("e")).await.must(), Some(*ephemeral));
}

async fn special_nodes(client: Main, root: String) {
    let mut writer = client.new_multi_writer();
    writer.add_create(&format!("{root}/c"), b"v", &CreateMode::Container.with_acls(OPEN)).must();
    let ttl = CreateMode::PersistentSequential.with_acls(OPEN).with_ttl(std::time::Duration::from_secs(3600));
    writer.add_create(&format!("{root}/t-"), b"w", &ttl).must();
    let results = writer.commit().await.must();
    let [MultiWriteResult::Create { path: container, .. }, MultiWriteResult::Create { path: timed, .. }] =
        &results[..]
    else {
        fail(&format!("unexpected results {results:?}"))
    };
    same(container, &format!("{root}/c"));
    same(timed, &format!("{root}/t-0000000001"));
    same(text(&client, container).await, "v".into());
    same(text(&client, timed).await, "w".into());
}

async fn failure(client: Main, root: String) {
    let before = client.check_stat(&root).await.must();
    let mut writer = client.new_multi_writer();
    writer.add_create(&format!("{root}/a"), b"", PERSISTENT).must();
    writer.add_delete(&format!("{root}/gone"), None).must();
    writer.add_create(&format!("{root}/b"), b"", PERSISTENT).must();
    same(writer.commit().await, Err(MultiWriteError::OperationFailed { index: 1, source: Error::NoNode }));
    same(client.check_stat(&root).await.must(), before);
    let readable = [Acl::new(Permission::READ, AuthId::anyone())];
    let closed = CreateMode::Persistent.with_acls(zookeeper_client::Acls::new(&readable));
    client.create(&format!("{root}/closed"), b"v", &closed).await.must();
    let mut writer = client.new_multi_writer();
    writer.add_set_data(&format!("{root}/closed"), b"w", None).must();
    same(writer.commit().await, Err(MultiWriteError::OperationFailed { index: 0, source: Error::NoAuth }));
}

async fn inner_order(client: Main, root: String) {
    let path = format!("{root}/n");
    let mut writer = client.new_multi_writer();
    writer.add_create(&path, b"1", PERSISTENT).must();
    writer.add_set_data(&path, b"2", Some(0)).must();
    writer.add_check_version(&path, 1).must();
    writer.add_delete(&path, Some(1)).must();
    writer.add_create(&path, b"3", PERSISTENT).must();
    writer.commit().await.must();
    let (data, stat) = client.get_data(&path).await.must();
    same((data, stat.version), (b"3".to_vec(), 0));
    same(client.check_stat(&root).await.must().map(|stat| stat.cversion), Some(3));
}

async fn check_writer(client: Main, root: String) {
    let (guard, path) = (format!("{root}/guard"), format!("{root}/n"));
    make(&client, &guard, "").await;
    let mut writer = client.new_check_writer(&guard, Some(0)).must();
    writer.add_create(&path, b"", PERSISTENT).must();
    same(writer.commit().await.must().len(), 1);
    let mut writer = client.new_check_writer(&guard, Some(7)).must();
    writer.add_delete(&path, None).must();
    same(writer.commit().await, Err(CheckWriteError::CheckFailed { source: Error::BadVersion }));
    let mut writer = client.new_check_writer(&format!("{root}/gone"), None).must();
    writer.add_delete(&path, None).must();
    same(writer.commit().await, Err(CheckWriteError::CheckFailed { source: Error::NoNode }));
    let mut writer = client.new_check_writer(&guard, None).must();
    writer.add_delete(&path, Some(3)).must();
    same(
        writer.commit().await,
        Err(CheckWriteError::OperationFailed { index: 0, source: Error::BadVersion }),
    );
    holds(client.check_stat(&path).await.must().is_some(), "the guarded node is gone");
}

async fn empty(client: Main, _: String) {
    same(client.new_multi_writer().commit().await.must(), vec![]);
    holds(client.new_multi_reader().commit().await.must().is_empty(), "there are results");
}

async fn reads(client: Main, root: String) {
    let stat = make(&client, &format!("{root}/a"), "v").await;
    make(&client, &format!("{root}/b"), "").await;
    let hidden = [Acl::new(Permission::WRITE, AuthId::anyone())];
    let closed = CreateMode::Persistent.with_acls(zookeeper_client::Acls::new(&hidden));
    client.create(&format!("{root}/closed"), b"", &closed).await.must();
    let mut reader = client.new_multi_reader();
    reader.add_get_data(&format!("{root}/a")).must();
    reader.add_get_data(&format!("{root}/gone")).must();
    reader.add_get_children(&root).must();
    reader.add_get_children(&format!("{root}/closed")).must();
    let mut results = reader.commit().await.must();
    same(results.len(), 4);
    let MultiReadResult::Children { children } = &mut results[2] else { fail("no children") };
    children.sort();
    same(children.join(" "), "a b closed".into());
    let MultiReadResult::Data { data, stat: read } = &results[0] else { fail("no data") };
    same((data.as_slice(), *read), (&b"v"[..], stat));
    for (index, expected) in [(1, Error::NoNode), (3, Error::NoAuth)] {
        let MultiReadResult::Error { err } = &results[index] else { fail("no error") };
        fails(Err::<(), _>(err.clone()), expected);
    }
}

/// Two nodes are always written together; no multi read may see them apart.
async fn one_moment(client: Main, root: String) {
    let (a, b) = (format!("{root}/a"), format!("{root}/b"));
    make(&client, &a, "0").await;
    make(&client, &b, "0").await;
    let writer = crate::support::client().await;
    let (one, other) = (a.clone(), b.clone());
    let writing = tokio::spawn(async move {
        for round in 0..100 {
            let value = round.to_string();
            let mut multi = writer.new_multi_writer();
            multi.add_set_data(&one, value.as_bytes(), None).must();
            multi.add_set_data(&other, value.as_bytes(), None).must();
            multi.commit().await.must();
        }
    });
    let mut moments = 0;
    while !writing.is_finished() {
        let mut reader = client.new_multi_reader();
        reader.add_get_data(&a).must();
        reader.add_get_data(&b).must();
        match &reader.commit().await.must()[..] {
            [
                MultiReadResult::Data { data: one, stat: first },
                MultiReadResult::Data { data: other, stat: second },
            ] => {
                same(one, other);
                same(first.mzxid.max(first.czxid + 1), second.mzxid.max(first.czxid + 1));
            }
            results => fail(&format!("unexpected results {results:?}")),
        }
        moments += 1;
    }
    writing.await.must();
    holds(moments > 0, "nothing was read");
}
