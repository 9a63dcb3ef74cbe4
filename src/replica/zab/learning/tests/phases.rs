//! Connecting, discovery, synchronization, broadcast: the way of a follower, step by step.

use super::*;

const LEFT: &str = "become Looking";

fn left(told: &[String]) -> bool {
    told.last().is_some_and(|s| s == LEFT)
}

#[test]
fn five_attempts_and_then_another_election() {
    let mut s = Server::follower();
    assert_eq!(s.take(), ["become Following { serving: false }", "connect 3"]);
    for n in 1..5 {
        assert!(s.on(Input::Link(LinkId(1 << 63 | n), LinkInput::Lost)).is_empty());
        assert_eq!(s.replica.deadline(), Some(Millis(s.mono + 100)));
        s.mono += 100;
        assert_eq!(s.on(Input::Tick), ["connect 3"]);
    }
    assert_eq!(
        s.on(Input::Link(LinkId(1 << 63 | 5), LinkInput::Lost)),
        ["# the leader could not be reached", LEFT]
    );
}

#[test]
fn an_attempt_that_hangs_ends_with_the_limit() {
    let mut s = Server::new(1, |me| me.ensemble.connect_limit = 3);
    assert_eq!(s.replica.deadline(), Some(Millis(3000)));
    s.mono = 3000;
    assert!(left(&s.on(Input::Tick)));
}

#[test]
fn a_higher_epoch_is_promised_once_it_is_on_disk() {
    let mut s = Server::follower();
    s.take();
    assert_eq!(s.link(LinkInput::Connected), ["patience 10000", "send FOLLOWERINFO 0 1:0 server Some(1)"]);
    assert_eq!(s.state(), "following - discovery");
    assert_eq!(s.gets(leader_info(2)), ["save Accepted 2"]);
    assert!(s.saved(EpochFile::Accepted, 1).is_empty(), "of another time");
    assert_eq!(s.saved(EpochFile::Accepted, 2), ["send ACKEPOCH 1:8 Some(1)"]);
}

#[test]
fn an_epoch_that_was_promised_before_does_not_count_again_and_a_lower_one_is_left() {
    let mut s = Server::follower();
    s.link(LinkInput::Connected);
    assert_eq!(s.gets(leader_info(1)), ["send ACKEPOCH 1:8 None"]);
    let mut s = Server::new(1, |me| me.accepted = Epoch(5));
    s.link(LinkInput::Connected);
    assert!(left(&s.gets(leader_info(4))));
}

#[test]
fn a_history_that_may_not_vote_makes_no_promise_and_asks_for_a_snapshot() {
    let mut s = Server::new(1, |me| me.may_vote = false);
    s.link(LinkInput::Connected);
    s.gets(leader_info(2));
    assert_eq!(s.saved(EpochFile::Accepted, 2), ["send ACKEPOCH -1 None"]);
    s.gets(Packet::Snap(z(1, 9)));
    s.gets(new_leader(2));
    s.on(Input::Installed(LINK, z(1, 9)));
    assert!(!s.me().may_vote);
    s.saved(EpochFile::Current, 2);
    assert!(s.me().may_vote && !s.me().fresh);
}

#[test]
fn a_history_with_a_hole_is_not_gone_on_with() {
    for packet in [Packet::Diff(z(1, 9)), Packet::Trunc(z(1, 3))] {
        let mut s = Server::new(1, |me| me.may_vote = false);
        s.link(LinkInput::Connected);
        s.gets(leader_info(2));
        s.saved(EpochFile::Accepted, 2);
        assert!(left(&s.gets(packet)));
    }
}

#[test]
fn a_diff_is_logged_and_durable_before_the_epoch_and_the_epoch_before_the_ack() {
    let mut s = Server::follower().promised();
    s.take();
    assert_eq!(s.gets(Packet::Diff(z(1, 10))), ["# synchronization by DIFF, from 0x100000008"]);
    assert_eq!(s.me().ledger.last_logged(), z(1, 8), "2355: not what the packet says");
    assert_eq!(s.state(), "following - synchronization - diff");
    assert!(s.gets(proposal(1, 9)).is_empty());
    assert_eq!(s.gets(commit(1, 9)), ["append 1:9", "commit 1:9"]);
    assert!(s.gets(proposal(1, 10)).is_empty());
    assert_eq!(s.gets(commit(1, 10)), ["append 1:10", "commit 1:10"]);
    assert!(s.gets(proposal(2, 1)).is_empty(), "outstanding");
    assert!(s.gets(Packet::Ping(z(2, 1))).is_empty(), "not answered");
    assert!(s.gets(new_leader(2)).is_empty(), "1:10 is not on disk");
    assert!(s.flushed(1, 9).is_empty());
    assert_eq!(s.flushed(1, 10), ["save Current 2"]);
    assert!(s.gets(commit(2, 1)).is_empty(), "4394: between NEWLEADER and UPTODATE");
    assert_eq!(s.saved(EpochFile::Current, 2), ["patience 5000", "send ACK 2:0"]);
    assert!(s.gets(proposal(2, 2)).is_empty());
    assert_eq!(s.state(), "following - synchronization");
    assert_eq!(
        s.gets(Packet::UpToDate),
        [
            "show config 0",
            "send ACK 2:0",
            "become Following { serving: true }",
            "append 2:1",
            "commit 2:1",
            "append 2:2"
        ]
    );
    assert_eq!(s.me().vote.epoch, Epoch(2));
    assert_eq!(s.flushed(2, 2), ["send ACK 2:1", "send ACK 2:2"], "all of a flush at once, none before");
}

#[test]
fn uptodate_before_the_disk_is_done_waits() {
    let mut s = Server::follower().promised();
    s.gets(Packet::Diff(z(1, 9)));
    s.gets(proposal(1, 9));
    s.gets(commit(1, 9));
    s.gets(new_leader(2));
    assert!(s.gets(Packet::UpToDate).is_empty());
    assert!(s.gets(proposal(2, 1)).is_empty());
    s.flushed(1, 9);
    let told = s.saved(EpochFile::Current, 2);
    assert_eq!(told.last().unwrap(), "append 2:1");
    assert_eq!(told.iter().filter(|t| *t == "send ACK 2:0").count(), 2);
}

#[test]
fn a_hole_in_a_diff_is_left_and_a_snapshot_asked_for() {
    for hole in [vec![proposal(1, 10)], vec![proposal(1, 9), proposal(1, 11)], vec![proposal(2, 2)]] {
        let mut s = Server::follower().promised();
        s.gets(Packet::Diff(z(1, 11)));
        let told: Vec<_> = hole.into_iter().map(|p| s.gets(p)).collect();
        assert!(left(told.last().unwrap()), "{told:?}");
        assert!(s.me().needs_snapshot);
        assert_eq!(s.me().ledger.last_logged(), z(1, 8));
    }
    let mut s = Server::new(1, |me| me.needs_snapshot = true);
    s.link(LinkInput::Connected);
    s.gets(leader_info(2));
    assert_eq!(s.saved(EpochFile::Accepted, 2), ["send ACKEPOCH 0:0 Some(1)"], "counts all the same");
    assert!(left(&s.gets(Packet::Diff(z(1, 8)))), "transactions from the beginning do not fit");
    assert!(!s.me().needs_snapshot, "so it does not ask for ever");
}

#[test]
fn a_transaction_of_a_later_epoch_than_the_leader_s_is_not_taken() {
    let mut s = Server::follower().promised();
    s.gets(Packet::Diff(z(1, 8)));
    assert!(left(&s.gets(proposal(3, 1))));
    let mut s = Server::follower().live();
    assert!(left(&s.gets(proposal(3, 1))));
}

#[test]
fn a_cut_log_takes_what_follows_once_it_is_cut() {
    let mut s = Server::follower().promised();
    assert_eq!(s.gets(Packet::Trunc(z(1, 6)))[0], "truncate 1:6");
    assert_eq!(s.state(), "following - synchronization - trunc");
    assert!(s.gets(proposal(1, 7)).is_empty() && s.gets(commit(1, 7)).is_empty(), "the log is being cut");
    assert!(s.gets(new_leader(2)).is_empty());
    assert_eq!(s.on(Input::Truncated(z(1, 6))), ["append 1:7", "commit 1:7"]);
    assert_eq!(s.flushed(1, 7), ["save Current 2"]);
    assert_eq!(s.saved(EpochFile::Current, 2).last().unwrap(), "send ACK 2:0");
}

#[test]
fn a_log_that_ends_elsewhere_after_the_cut_is_what_the_next_leader_hears_of() {
    for rest in [z(1, 4), Zxid::ZERO] {
        let mut s = Server::follower().promised();
        s.gets(Packet::Trunc(z(1, 6)));
        assert!(left(&s.on(Input::Truncated(rest))));
        assert_eq!((s.me().ledger.last_logged(), s.me().applied), (rest, rest));
        assert_eq!(s.me().has_say(), rest != Zxid::ZERO, "whoever had to give all away has no vote");
    }
}

#[test]
fn nobody_votes_while_the_disk_replaces_the_history() {
    let mut s = Server::follower().promised();
    s.gets(Packet::Trunc(z(1, 6)));
    assert_eq!(s.link(LinkInput::Lost), ["close"]);
    assert!(s.learns() && s.on(Input::Tick).is_empty());
    assert!(left(&[LEFT.to_owned()]) && s.on(Input::Truncated(z(1, 6))).contains(&LEFT.to_owned()));
    assert_eq!(s.me().ledger.last_logged(), z(1, 6));

    let mut s = Server::follower().promised();
    s.gets(Packet::Snap(z(1, 20)));
    assert_eq!(s.gets(new_leader(2)), ["install 1:20"]);
    assert_eq!(s.link(LinkInput::Lost), ["close"]);
    assert!(s.on(Input::Installed(LINK, z(1, 20))).contains(&LEFT.to_owned()));
    assert_eq!((s.me().ledger.last_logged(), s.me().current), (z(1, 20), Epoch(1)));
}

#[test]
fn a_snapshot_stands_aside_until_the_epoch_begins() {
    let mut s = Server::follower().promised();
    s.gets(Packet::Snap(z(1, 20)));
    assert_eq!(s.state(), "following - synchronization - snap");
    // Chosen at 1:18, read at 1:20: two of those that were queued are in it.
    for n in [19, 20] {
        assert!(s.gets(proposal(1, n)).is_empty() && s.gets(commit(1, n)).is_empty());
    }
    s.gets(proposal(1, 21));
    assert_eq!(s.gets(commit(1, 21)), ["prepare 1:21"]);
    s.gets(proposal(2, 1));
    assert_eq!(s.me().ledger.last_logged(), z(1, 8), "log and tree are the old ones");
    assert_eq!(s.gets(new_leader(2)), ["install 1:21"]);
    assert!(s.gets(commit(2, 1)).is_empty());
    assert!(s.on(Input::Installed(LinkId(5), z(1, 9))).is_empty(), "of another link");
    let mut s2 = s;
    assert_eq!(s2.on(Input::Installed(LINK, z(1, 21))), ["save Current 2"]);
    s2.saved(EpochFile::Current, 2);
    let told = s2.gets(Packet::UpToDate);
    assert_eq!(told[told.len() - 2..], ["append 2:1", "commit 2:1"]);
}

#[test]
fn a_snapshot_that_breaks_off_changes_nothing() {
    let packets = || [Packet::Snap(z(1, 20)), proposal(1, 21), commit(1, 21), proposal(2, 1)];
    for stop in 0..=packets().len() {
        let mut s = Server::follower().promised();
        for packet in packets().into_iter().take(stop) {
            s.gets(packet);
        }
        let told = s.link(LinkInput::Lost);
        assert!(left(&told), "{told:?}");
        assert!(!told.iter().any(|t| t.starts_with("install") || t.starts_with("append")));
        assert_eq!((s.me().ledger.last_logged(), s.me().current), (z(1, 8), Epoch(1)));
    }
}

#[test]
fn a_hole_behind_a_snapshot_is_left() {
    for first in [z(1, 22), z(2, 2)] {
        let mut s = Server::follower().promised();
        s.gets(Packet::Snap(z(1, 20)));
        assert!(left(&s.gets(Packet::Proposal(txn(first, 1, 1, 5, &[])))));
    }
    let mut s = Server::follower().promised();
    s.gets(Packet::Snap(z(1, 20)));
    s.gets(proposal(1, 18));
    assert!(left(&s.gets(proposal(1, 20))));
}

#[test]
fn what_is_not_said_in_a_phase_ends_the_role() {
    let mut s = Server::follower();
    s.link(LinkInput::Connected);
    assert!(left(&s.gets(Packet::Diff(z(1, 8)))), "before LEADERINFO");
    let mut s = Server::follower().promised();
    assert!(left(&s.gets(new_leader(2))), "without DIFF");
    let mut s = Server::follower().promised();
    s.gets(Packet::Diff(z(1, 8)));
    assert!(left(&s.gets(new_leader(1))), "for another epoch");
    let mut s = Server::follower().promised();
    s.gets(Packet::Diff(z(1, 8)));
    assert!(left(&s.gets(Packet::UpToDate)), "without NEWLEADER");
    let mut s = Server::follower().promised();
    s.gets(Packet::Diff(z(1, 8)));
    assert!(left(&s.gets(commit(1, 9))), "without its proposal");
}

#[test]
fn acks_follow_their_flush_and_commits_meet_the_head() {
    let mut s = Server::follower().live();
    assert_eq!(s.gets(proposal(2, 1)), ["append 2:1"]);
    assert_eq!(s.gets(proposal(2, 2)), ["append 2:2"]);
    assert_eq!(s.gets(commit(2, 1)), ["commit 2:1"], "a quorum without this server");
    assert_eq!(s.flushed(2, 1), ["send ACK 2:1"]);
    assert_eq!(s.flushed(2, 2), ["send ACK 2:2"]);
    assert!(s.flushed(2, 2).is_empty(), "once");
    assert_eq!(s.gets(commit(2, 2)), ["commit 2:2"]);
    assert_eq!(s.gets(commit(2, 2)).len(), 1, "a warning");
    assert!(s.learns());
    assert!(left(&s.gets(commit(2, 3))), "unknown");
}

#[test]
fn another_commit_than_the_next_ends_the_role_and_the_tree_takes_what_was_logged() {
    let mut s = Server::follower().live();
    s.gets(proposal(2, 1));
    s.gets(proposal(2, 2));
    s.raw(Input::Link(LINK, LinkInput::Packet(commit(2, 2))));
    let told: Vec<_> = s.out.iter().map(show).collect();
    assert!(told.contains(&LEFT.to_owned()) && told.contains(&"fast-forward 2".to_owned()), "{told:?}");
    let mut s = Server::follower().live();
    assert!(left(&s.gets(proposal(2, 2))), "a gap");
}

#[test]
fn live_packets_that_mean_nothing_are_ignored_and_those_of_a_new_beginning_are_not() {
    let mut s = Server::follower().live();
    for packet in [Packet::UpToDate, Packet::Unknown(77), inform(2, 1), new_leader(2), Packet::Sync] {
        assert_eq!(s.gets(packet).len(), 1, "a warning");
        assert!(s.learns());
    }
    assert!(left(&s.gets(Packet::Snap(z(1, 1)))));
}

#[test]
fn a_follower_in_synchronization_lets_nobody_in() {
    let mut s = Server::follower().promised();
    s.take();
    assert_eq!(s.on(Input::Link(LinkId(5), LinkInput::AcceptedObserver)), ["close 5"]);
    let origin = crate::replica::Origin { conn: ConnId(1), xid: 2 };
    assert_eq!(s.on(Input::CloseSession { origin, session: SessionId(1) }), ["refuse 1/2 ConnectionLoss"]);
}
