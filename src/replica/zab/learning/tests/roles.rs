//! Observers, servers outside of the membership, and memberships that change roles and leaders.

use super::*;

/// A reconfig transaction.
fn reconfig(zxid: Zxid, text: &str) -> Entry {
    let body = jute::records::txn::SetDataTxn {
        path: Some("/zookeeper/config".into()),
        data: Some(text.as_bytes()),
        version: -1,
    };
    let mut bytes = Vec::new();
    body.write(&mut bytes);
    txn(zxid, 5, 5, 16, &bytes)
}

#[test]
fn an_observer_logs_and_applies_at_once_and_acknowledges_nothing() {
    let mut s = Server::observer();
    assert_eq!(s.take()[0], "become Observing { serving: false }");
    assert_eq!(s.link(LinkInput::Connected)[1], "send OBSERVERINFO 0 1:0 server Some(4)");
    let mut s = Server::observer().live();
    assert_eq!(s.state(), "observing - broadcast");
    assert_eq!(s.gets(inform(2, 1)), ["append 2:1", "commit 2:1"]);
    assert!(s.flushed(2, 1).is_empty());
    assert!(s.gets(inform(2, 1)).is_empty(), "once more behind a snapshot");
    assert_eq!(s.gets(proposal(2, 2)).len(), 1, "a warning");
    assert!(s.gets(inform(2, 3)).contains(&"become Looking".to_owned()), "a gap");
}

#[test]
fn an_observer_in_synchronization_takes_pairs_and_informs() {
    let mut s = Server::observer().promised();
    s.gets(Packet::Diff(z(1, 9)));
    s.gets(proposal(1, 9));
    assert_eq!(s.gets(commit(1, 9)), ["append 1:9", "commit 1:9"]);
    assert_eq!(s.gets(inform(1, 10)), ["append 1:10", "commit 1:10"]);
    s.gets(new_leader(2));
    assert!(s.gets(inform(2, 1)).is_empty());
    s.flushed(1, 10);
    s.saved(EpochFile::Current, 2);
    let told = s.gets(Packet::UpToDate);
    assert_eq!(told[told.len() - 2..], ["append 2:1", "commit 2:1"]);
}

#[test]
fn an_observer_without_a_disk_keeps_its_place_and_goes_back_to_the_disk_when_it_needs_one() {
    let mut s = Server::new(4, |me| me.ensemble.observer_writes_disk = false).live();
    assert_eq!(s.gets(inform(2, 1)), ["commit 2:1"]);
    assert_eq!(s.gets(inform(2, 2)), ["commit 2:2"]);
    let ledger = &s.me().ledger;
    assert_eq!((ledger.last_logged(), ledger.stored()), (z(2, 2), Some(z(1, 8))));
    assert!(ledger.is_durable(), "nothing to wait for");
    let Mind::Member(me, _) = s.replica.mind else { unreachable!() };
    let mut me = *me;
    let mut out = Effects::new();
    let now = Now { mono: Millis(0), wall: 0 };
    let mut begin = |me: &mut Member| {
        out.clear();
        let learning = Learning::begin(&mut Ctx { now, tree: &NoTree, me, out: &mut out }, ServerId(3));
        (learning, out.iter().map(show).collect::<Vec<_>>())
    };
    let (_, told) = begin(&mut me);
    assert_eq!(told[1], "connect 3", "as an observer it goes on from there");
    me.views = Views::new(membership("server.3=c:1:2\nserver.4=d:1:2\nversion=5"));
    let (learning, told) = begin(&mut me);
    assert_eq!(told, ["become Following { serving: false }", "truncate 1:8"]);
    let mut s = Server {
        replica: Replica { mind: Mind::Member(Box::new(me), Box::new(Role::Learning(learning))) },
        mono: 0,
        out: Effects::new(),
    };
    assert!(s.on(Input::Truncated(z(1, 8))).contains(&"become Looking".to_owned()));
    assert_eq!((s.me().ledger.last_logged(), s.me().ledger.stored()), (z(1, 8), None));
}

#[test]
fn an_observer_without_a_disk_keeps_no_epoch_that_its_disk_does_not_bear_out() {
    let diskless = || Server::new(4, |me| me.ensemble.observer_writes_disk = false).promised();
    let mut s = diskless();
    s.gets(Packet::Diff(z(1, 9)));
    s.gets(proposal(1, 9));
    assert_eq!(s.gets(commit(1, 9)), ["commit 1:9"]);
    assert_eq!(s.gets(new_leader(2)), ["patience 5000", "send ACK 2:0"]);
    let mut s = diskless();
    s.gets(Packet::Snap(z(1, 20)));
    assert_eq!(s.gets(new_leader(2)), ["install 1:20"]);
    assert_eq!(s.on(Input::Installed(LINK, z(1, 20))), ["save Current 2"], "the snapshot is on disk");
}

#[test]
fn an_observer_without_a_disk_that_becomes_a_voter_goes_back_to_the_disk_before_it_votes() {
    let mut s = Server::new(4, |me| {
        (me.ensemble.observer_writes_disk, me.settings.reconfig_enabled) = (false, true);
    })
    .live();
    s.gets(inform(2, 1));
    let text = MEMBERS.replace(":observer", "").replace("version=0", "version=200000002");
    let told = s.gets(Packet::InformAndActivate(reconfig(z(2, 2), &text), ServerId(3)));
    assert_eq!(told[told.len() - 3..], ["commit 2:2", "truncate 1:8", "become Observing { serving: false }"]);
    assert!(s.gets(inform(2, 3)).is_empty() && s.learns());
    s.raw(Input::Truncated(z(1, 8)));
    assert_eq!(s.me().ledger.last_logged(), z(1, 8));
    let told: Vec<_> = s.out.iter().map(show).collect();
    assert!(told.contains(&"become Following { serving: false }".to_owned()), "{told:?}");
}

#[test]
fn observers_go_round_the_followers_that_take_them() {
    let mut s = Server::new(4, |me| me.ensemble.observer_masters = true);
    let mut asked = Vec::new();
    for n in 1..=10 {
        let told = s.take();
        asked.push(told.last().unwrap().clone());
        s.raw(Input::Link(LinkId(1 << 63 | n), LinkInput::Lost));
        s.mono += 100;
        s.raw(Input::Tick);
    }
    assert!(!s.learns());
    let (one, two) = ("connect 1 as observer".to_owned(), "connect 2 as observer".to_owned());
    assert!(asked.contains(&one) && asked.contains(&two), "{asked:?}");
    assert!(asked.windows(2).all(|w| w[0] != w[1]), "each after the other: {asked:?}");
    let mut s = Server::new(4, |me| me.ensemble.observer_masters = true);
    s.link(LinkInput::Connected);
    assert!([1, 2].contains(&s.replica.status().peer.unwrap().observer_master.unwrap().0));
}

#[test]
fn an_observer_waits_a_little_before_it_connects() {
    let mut s = Server::new(4, |me| me.ensemble.observer_reconnect = Millis(1000));
    assert_eq!(s.take().len(), 1);
    s.mono = s.replica.deadline().unwrap().0;
    assert!(s.mono > 0 && s.mono < 1000);
    assert_eq!(s.on(Input::Tick), ["connect 3"]);
}

#[test]
fn a_server_outside_of_the_membership_follows_without_a_vote() {
    let mut s = Server::new(9, |_| {});
    assert_eq!(s.take()[0], "become Following { serving: false }");
    assert_eq!(s.link(LinkInput::Connected)[1], "send FOLLOWERINFO 0 1:0 server Some(9)");
    let mut s = Server::new(9, |_| {}).live();
    s.gets(proposal(2, 1));
    assert_eq!(s.flushed(2, 1), ["send ACK 2:1"], "leaders do not count it");
}

const FIVE: &str = "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\nserver.5=e:1:2\nversion=200000001";

#[test]
fn a_membership_is_remembered_with_its_proposal_and_in_force_with_its_commit() {
    let mut s = Server::new(1, |me| me.settings.reconfig_enabled = true).live();
    let told = s.gets(Packet::Proposal(reconfig(z(2, 1), FIVE)));
    assert_eq!(told, ["proposed config 200000001", "append 2:1"]);
    let told = s.gets(Packet::CommitAndActivate(z(2, 1), ServerId(3)));
    assert_eq!(told, ["committed config 200000001", "show config 200000001", "commit 2:1"]);
    assert!(s.learns(), "same role, same leader");
}

#[test]
fn another_leader_is_followed_without_an_election() {
    let mut s = Server::new(1, |me| me.settings.reconfig_enabled = true).live();
    let text = "server.1=a:1:2\nserver.2=b:1:2\nversion=200000001";
    s.gets(Packet::Proposal(reconfig(z(2, 1), text)));
    let told = s.gets(Packet::CommitAndActivate(z(2, 1), ServerId(2)));
    assert!(told.contains(&"commit 2:1".to_owned()), "{told:?}");
    s.flushed(2, 1);
    let told = s.on(Input::Applied(z(2, 1), &[]));
    assert_eq!(told, ["become Following { serving: false }", "connect 2"]);
}

#[test]
fn where_reconfiguration_is_off_nothing_changes() {
    let mut s = Server::follower().live();
    assert_eq!(s.gets(Packet::Proposal(reconfig(z(2, 1), FIVE))), ["append 2:1"]);
    assert_eq!(s.gets(Packet::CommitAndActivate(z(2, 1), ServerId(2))), ["commit 2:1"]);
}

#[test]
fn the_membership_of_the_new_leader_is_in_force_before_clients_come() {
    let mut s = Server::new(1, |me| me.settings.reconfig_enabled = true).promised();
    s.gets(Packet::Diff(z(1, 8)));
    let text = FIVE.replace("200000001", "200000000");
    let told = s.gets(Packet::NewLeader { epoch: Epoch(2), config: Bytes::from(text.into_bytes()) });
    assert_eq!(told, ["proposed config 200000000", "save Current 2"]);
    s.saved(EpochFile::Current, 2);
    let told = s.gets(Packet::UpToDate);
    assert_eq!(told[..2], ["committed config 200000000", "show config 200000000"]);
    assert_eq!(told.last().unwrap(), "become Following { serving: true }");
}
