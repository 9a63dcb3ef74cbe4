//! The role as a whole: inputs go in, effects come out, as short lines.

mod rig;
mod together;

use super::*;
use crate::replica::io::{ClientWrite, HistoryPlan, Origin};
use crate::replica::zab::LearnerHello;
use crate::types::{ConnId, Entry, Epoch, Now, Zxid};
use jute::ErrorCode;
use proptest::prelude::*;
use rig::{Rig, create, z};

const THREE: &str = "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\nversion=0";

#[test]
fn a_cold_start_of_three() {
    let mut rig = Rig::new(THREE, Zxid::ZERO);
    assert_eq!(rig.step(Input::Listening(true)), "");
    assert_eq!(rig.accept(1), "patience 1 20000");
    assert_eq!(rig.packet(1, Rig::hello(1, 0)), "save Accepted 1", "the leader and one are a quorum");
    assert_eq!(rig.accept(2), "patience 2 20000");
    assert_eq!(rig.packet(2, Rig::hello(2, 0)), "", "nothing before it is on disk");
    assert_eq!(rig.saved(), "1<LEADERINFO 1; 2<LEADERINFO 1");
    assert_eq!(rig.packet(1, Rig::ack_epoch(Zxid::ZERO, 0)), "save Current 1");
    assert_eq!(rig.packet(2, Rig::ack_epoch(Zxid::ZERO, 0)), "");
    let (one, two) = ("1<DIFF 0:0; 1<NEWLEADER 1", "2<DIFF 0:0; 2<NEWLEADER 1");
    assert_eq!(rig.saved(), format!("{one}; {two}"));
    assert_eq!(rig.packet(2, Packet::Ack(z(1, 0))), "patience 2 10000; config 0; serve; 2<UPTODATE");
    assert_eq!(rig.packet(1, Packet::Ack(z(1, 0))), "patience 1 10000; 1<UPTODATE");
    assert_eq!(rig.packet(1, Packet::Ack(z(1, 0))), "", "the second one says nothing new");
    assert_eq!(rig.me.vote.epoch, Epoch(1));
    assert_eq!(rig.role.status(&rig.me).peer.unwrap().state, "leading - broadcast");
}

#[test]
fn a_voter_alone_leads_alone() {
    let mut rig = Rig::new("server.3=c:1:2\nversion=0", z(4, 7));
    rig.me.accepted = Epoch(4);
    rig.role = Rig::begin(&mut rig.me, &rig.tree);
    assert_eq!(rig.step(Input::Listening(true)), "save Accepted 5");
    assert_eq!(rig.saved(), "save Current 5");
    assert_eq!(rig.saved(), "config 0; serve");
    assert_eq!(rig.write(1, "/a"), "append 5:1");
    assert_eq!(rig.sync(2), "", "behind what was proposed before it");
    assert_eq!(rig.flushed(z(5, 1)), "commit 5:1 for 1; synced 2");
    assert_eq!(rig.sync(3), "synced 3");
}

#[test]
fn a_write_is_proposed_before_the_own_disk_has_it_and_committed_by_any_two() {
    let mut rig = Rig::serving(&[1, 2]);
    assert_eq!(rig.write(1, "/a"), "1<PROPOSAL 1:1; 2<PROPOSAL 1:1; append 1:1");
    assert_eq!(rig.write(2, "/b"), "1<PROPOSAL 1:2; 2<PROPOSAL 1:2; append 1:2");
    assert_eq!(rig.packet(1, Packet::Ack(z(1, 2))), "", "one of three");
    assert_eq!(rig.packet(1, Packet::Ack(z(1, 2))), "", "still one");
    let first = "1<COMMIT 1:1; 2<COMMIT 1:1; commit 1:1 for 1";
    assert_eq!(rig.packet(2, Packet::Ack(z(1, 1))), first, "without the leader's own");
    assert_eq!(rig.flushed(z(1, 2)), "1<COMMIT 1:2; 2<COMMIT 1:2; commit 1:2 for 2");
    assert_eq!(rig.packet(2, Packet::Ack(z(1, 2))), "");
    assert_eq!(rig.packet(2, Packet::Ack(z(1, 9))), "", "what was never proposed");
}

#[test]
fn learners_that_cannot_be_led() {
    let mut rig = Rig::new(THREE, Zxid::ZERO);
    rig.step(Input::Listening(true));
    let hello = |server, f: &dyn Fn(&mut LearnerHello)| {
        let Packet::Hello(mut hello) = Rig::hello(server, 0) else { unreachable!() };
        f(&mut hello);
        Packet::Hello(hello)
    };
    for (n, packet) in [
        hello(1, &|h| h.protocol = 1),
        hello(1, &|h| h.config_version = 1),
        hello(1, &|h| h.accepted = Epoch(i64::from(i32::MAX))),
        hello(1, &|h| h.accepted = Epoch(-1)),
        hello(3, &|_| ()),
        Packet::Pong(Zxid(0), vec![]),
        Packet::Ack(Zxid(0)),
    ]
    .into_iter()
    .enumerate()
    {
        let link = 10 + n as u64;
        rig.accept(link);
        let got = rig.packet(link, packet);
        assert!(got.starts_with("warn: ") && got.ends_with(&format!("; close {link}")), "{got}");
        assert_eq!(rig.packet(link, Rig::hello(1, 0)), "", "it is gone");
    }
    rig.accept(1);
    assert_eq!(rig.packet(1, Rig::hello(1, 0)), "save Accepted 1");
    rig.saved();
    let got = rig.packet(1, Rig::ack_epoch(z(0, 1), 0));
    assert!(got.contains("ahead of this leader; close 1"), "{got}");
}

#[test]
fn sizes_of_proposals_are_forgotten_on_demand() {
    let mut rig = Rig::serving(&[1, 2]);
    let sizes = |rig: &Rig| rig.role.status(&rig.me).peer.unwrap().proposals;
    assert_eq!(sizes(&rig), None);
    rig.write(1, "/a");
    rig.write(1, "/abc");
    let (least, most, last) = sizes(&rig).unwrap();
    assert_eq!((most, last), (least + 2, most));
    rig.role.forget_proposal_sizes();
    assert_eq!(sizes(&rig), None);
    rig.write(1, "/b");
    assert_eq!(sizes(&rig), Some((least, least, least)));
}

#[test]
fn a_server_that_connects_again_has_one_connection() {
    let mut rig = Rig::serving(&[1, 2]);
    rig.accept(7);
    assert_eq!(rig.packet(7, Rig::hello(1, 1)), "close 1; 7<LEADERINFO 1");
    assert_eq!(rig.packet(1, Packet::Ack(z(1, 1))), "");
    assert_eq!(rig.write(1, "/a"), "2<PROPOSAL 1:1; append 1:1");
}

#[test]
fn who_comes_late_gets_what_it_misses_and_its_commits_after_uptodate() {
    let mut rig = Rig::serving(&[1]);
    for n in 1..=3 {
        rig.write(n, &format!("/{n}"));
    }
    rig.flushed(z(1, 2));
    rig.packet(1, Packet::Ack(z(1, 3)));
    rig.accept(2);
    assert_eq!(rig.packet(2, Rig::hello(2, 1)), "2<LEADERINFO 1");
    let missing = "2<DIFF 1:2; 2<PROPOSAL 1:1; 2<COMMIT 1:1; 2<PROPOSAL 1:2; 2<COMMIT 1:2";
    let got = rig.packet(2, Packet::AckEpoch { last: Zxid::ZERO, current: None });
    assert_eq!(got, format!("{missing}; 2<PROPOSAL 1:3; 2<NEWLEADER 1"));
    assert_eq!(rig.flushed(z(1, 3)), "1<COMMIT 1:3; commit 1:3 for 3", "none to a follower in between");
    assert_eq!(rig.write(4, "/4"), "1<PROPOSAL 1:4; 2<PROPOSAL 1:4; append 1:4");
    assert_eq!(rig.packet(2, Packet::Ack(z(1, 4))), "", "an early one (4685) neither counts nor harms");
    assert_eq!(
        rig.packet(2, Packet::Ack(z(1, 0))),
        "patience 2 10000; 2<UPTODATE; 2<COMMIT 1:3",
        "and alone it is no quorum"
    );
    assert_eq!(rig.flushed(z(1, 4)), "1<COMMIT 1:4; 2<COMMIT 1:4; commit 1:4 for 4", "now it counts");
}

#[test]
fn an_observer_is_informed_and_has_no_say() {
    let mut rig = Rig::serving(&[1]);
    rig.accept(9);
    let Packet::Hello(hello) = Rig::hello(9, 1) else { unreachable!() };
    assert_eq!(rig.packet(9, Packet::Hello(LearnerHello { observer: true, ..hello })), "9<LEADERINFO 1");
    rig.packet(9, Packet::AckEpoch { last: Zxid::ZERO, current: None });
    assert_eq!(rig.packet(9, Packet::Ack(z(1, 0))), "patience 9 10000; 9<UPTODATE");
    assert_eq!(rig.write(1, "/a"), "1<PROPOSAL 1:1; append 1:1");
    assert_eq!(rig.packet(9, Packet::Ack(z(1, 1))), "");
    assert_eq!(rig.flushed(z(1, 1)), "");
    let want = "1<COMMIT 1:1; 9<INFORM 1:1; commit 1:1 for 1";
    assert_eq!(rig.packet(1, Packet::Ack(z(1, 1))), want);
}

#[test]
fn an_uncommitted_tail_is_cut_and_a_cut_server_s_acks_are_void() {
    let mut rig = Rig::serving(&[1, 2]);
    rig.write(1, "/a");
    rig.packet(1, Packet::Ack(z(1, 1)));
    rig.link(2, LinkInput::Lost);
    rig.link(1, LinkInput::Lost);
    rig.accept(7);
    rig.packet(7, Rig::hello(1, 1));
    // Nothing of this ensemble was ever committed: there is no place to cut at.
    let got = rig.packet(7, Packet::AckEpoch { last: z(1, 1), current: None });
    assert_eq!(got, "7<SNAP 0:0; 7<SNAPSHOT; 7<PROPOSAL 1:1");
    assert_eq!(rig.flushed(z(1, 1)), "", "the ack of its former log does not count");
    assert_eq!(rig.link(7, LinkInput::Streamed), "7<NEWLEADER 1");
    assert_eq!(rig.link(7, LinkInput::Streamed), "", "once");
    rig.packet(7, Packet::Ack(z(1, 0)));
    assert_eq!(rig.packet(7, Packet::Ack(z(1, 1))), "7<COMMIT 1:1; commit 1:1 for 1");
    rig.write(2, "/b");
    rig.accept(8);
    rig.packet(8, Rig::hello(2, 1));
    let got = rig.packet(8, Packet::AckEpoch { last: z(1, 2), current: None });
    assert_eq!(got, "8<TRUNC 1:1; 8<PROPOSAL 1:2; 8<NEWLEADER 1");
}

#[test]
fn newleader_is_behind_all_that_a_tree_on_its_way_may_show() {
    let mut rig = Rig::serving(&[1]);
    rig.me.ensemble.force_snapshot_sync = true;
    rig.accept(2);
    rig.packet(2, Rig::hello(2, 1));
    let got = rig.packet(2, Packet::AckEpoch { last: Zxid::ZERO, current: None });
    assert_eq!(got, "2<SNAP 0:0; 2<SNAPSHOT");
    rig.write(1, "/a");
    rig.flushed(z(1, 1));
    assert_eq!(rig.packet(1, Packet::Ack(z(1, 1))), "1<COMMIT 1:1; 2<COMMIT 1:1; commit 1:1 for 1");
    assert_eq!(rig.write(2, "/b"), "1<PROPOSAL 1:2; 2<PROPOSAL 1:2; append 1:2");
    assert_eq!(rig.link(2, LinkInput::Streamed), "2<NEWLEADER 1");
    rig.packet(1, Packet::Ack(z(1, 2)));
    assert_eq!(rig.flushed(z(1, 2)), "1<COMMIT 1:2; commit 1:2 for 2");
    assert_eq!(rig.packet(2, Packet::Ack(z(1, 0))), "patience 2 10000; 2<UPTODATE; 2<COMMIT 1:2");
}

#[test]
fn the_disk_is_asked_for_what_memory_has_not() {
    let mut rig = Rig::new(THREE, z(4, 100));
    rig.me.accepted = Epoch(4);
    rig.me.current = Epoch(4);
    rig.role = Rig::begin(&mut rig.me, &rig.tree);
    rig.step(Input::Listening(true));
    rig.accept(1);
    rig.packet(1, Rig::hello(1, 4));
    rig.saved();
    rig.packet(1, Rig::ack_epoch(z(4, 7), 4));
    assert_eq!(rig.saved(), "history? 1 4:7");
    let plan = HistoryPlan { at: z(4, 7), until: z(4, 100) };
    let got = rig.step(Input::History(LinkId(1), Some(plan)));
    assert_eq!(got, "1<DIFF 4:100; 1<LOG 4:7-4:100; 1<NEWLEADER 5");
    assert_eq!(rig.step(Input::History(LinkId(1), None)), "", "once");
}

#[test]
fn requests_of_learners_become_one_transaction_each() {
    let mut rig = Rig::serving(&[1, 2]);
    let body = jute::encode(&create("/a", 0));
    let request = |session, op, body: &[u8], ids| Rig::request(session, op, body, ids);
    let to_both = |n| format!("1<PROPOSAL 1:{n}; 2<PROPOSAL 1:{n}; append 1:{n}");
    assert_eq!(rig.packet(1, request(7, -10, &5000i32.to_be_bytes(), false)), to_both(1));
    assert_eq!(rig.error(), 0);
    assert_eq!(rig.packet(1, request(7, 1, &body, true)), to_both(2));
    assert_eq!(rig.error(), 0);
    for (n, op, body, ids, from, code) in [
        (3, 1, &body[..], false, 1, ErrorCode::MarshallingError),
        (4, 1, &body[..3], true, 1, ErrorCode::MarshallingError),
        (5, 13, &body[..], true, 1, ErrorCode::Unimplemented),
        (6, -10, &[][..], false, 1, ErrorCode::MarshallingError),
        (7, 1, &body[..], true, 2, ErrorCode::SessionMoved),
        (8, 16, &[0; 20][..], true, 1, ErrorCode::ReconfigDisabled),
    ] {
        assert_eq!(rig.packet(from, request(7, op, body, ids)), to_both(n));
        assert_eq!(rig.error(), code.code(), "{op}");
    }
    let got = rig.packet(1, request(7, 4, &body, true));
    assert!(got.starts_with("warn: "), "a read is nothing for a leader: {got}");
    assert_eq!(rig.packet(2, Packet::Revalidate(SessionId(7), Millis(5000))), "2<REVALIDATED 7 true");
    assert_eq!(rig.packet(2, Packet::Revalidate(SessionId(8), Millis(5000))), "2<REVALIDATED 8 false");
    rig.packet(2, request(7, 1, &jute::encode(&create("/b", 0)), true));
    assert_eq!(rig.error(), 0, "it acts through the other one now");
    rig.packet(1, request(7, 1, &body, true));
    assert_eq!(rig.error(), ErrorCode::SessionMoved.code());
    rig.packet(1, request(7, -11, &[], true));
    assert_eq!(rig.error(), 0, "anybody may end it: expiry does, too");
    rig.packet(2, request(7, 1, &body, true));
    assert_eq!(rig.error(), ErrorCode::SessionExpired.code());
}

#[test]
fn a_sync_waits_for_a_quorum_that_was_asked_after_it_came() {
    let mut rig = Rig::serving(&[1, 2]);
    rig.at(1000);
    assert_eq!(rig.step(Input::Tick), "1<PING 1:0; 2<PING 1:0");
    assert_eq!(rig.sync(5), "1<PING 1:0; 2<PING 1:0");
    assert_eq!(rig.packet(1, Packet::Pong(z(1, 0), vec![])), "", "the answer to the ping before");
    assert_eq!(rig.sync(6), "", "in the next round");
    assert_eq!(rig.packet(2, Rig::request(7, 9, b"", true)), "");
    assert_eq!(rig.packet(1, Packet::Pong(z(1, 0), vec![])), "1<PING 1:0; 2<PING 1:0; synced 5");
    rig.write(8, "/a");
    for _ in 0..2 {
        assert_eq!(rig.packet(2, Packet::Pong(z(1, 0), vec![])), "");
    }
    rig.link(1, LinkInput::Lost);
    assert_eq!(rig.packet(2, Packet::Pong(z(1, 0), vec![])), "synced 6; 2<SYNC");
    assert_eq!(rig.packet(2, Packet::Pong(z(1, 0), vec![])), "", "an answer to nothing");
    assert_eq!(rig.sync(9), "2<PING 1:1");
    assert_eq!(rig.packet(2, Packet::Pong(z(1, 1), vec![])), "", "confirmed, but behind the write");
    rig.flushed(z(1, 1));
    assert_eq!(rig.packet(2, Packet::Ack(z(1, 1))), "2<COMMIT 1:1; commit 1:1 for 8; synced 9");
}

/// A client's answers come in its order, whatever a quorum hears of first.
#[test]
fn a_sync_is_answered_before_the_commit_of_what_came_behind_it() {
    let mut rig = Rig::serving(&[1, 2]);
    rig.write(4, "/a");
    rig.sync(5);
    rig.packet(2, Rig::request(7, 9, b"", true));
    rig.write(6, "/b");
    rig.flushed(z(1, 2));
    let both = "1<COMMIT 1:1; 2<COMMIT 1:1; commit 1:1 for 4; synced 5; 2<SYNC; 1<COMMIT 1:2; 2<COMMIT 1:2; commit 1:2 for 6";
    assert_eq!(rig.packet(2, Packet::Ack(z(1, 2))), both);
    assert_eq!(rig.packet(2, Packet::Pong(z(1, 0), vec![])), "", "there is nothing left to confirm");
}

#[test]
fn a_leader_goes_when_no_quorum_is_heard_of() {
    let mut rig = Rig::serving(&[1, 2]);
    rig.at(2000);
    for at in (1..=11).map(|n| n * 1000 + 2000) {
        rig.step(Input::Tick);
        rig.packet(1, Packet::Pong(z(1, 0), vec![]));
        rig.at(at);
    }
    assert_eq!(rig.flow, Flow::Stay, "one of two is enough");
    for at in (1..=21).map(|n| n * 1000 + 13_000) {
        rig.at(at);
        rig.step(Input::Tick);
    }
    assert!(matches!(&rig.flow, Flow::Leave(why) if why.contains("no quorum is heard of")), "{:?}", rig.flow);
}

#[test]
fn a_leader_that_waits_for_epochs_goes_when_a_voter_has_voted_again_for_too_long() {
    let mut rig = Rig::new(THREE, Zxid::ZERO);
    rig.me.ensemble.epoch_wait = Some(Millis(500));
    rig.step(Input::Listening(true));
    let (state, vote, config) = (PeerState::Looking, rig.me.vote, bytes::Bytes::new());
    let vote = Notification { state, vote, round: 1, version: 2, config };
    let heard = |rig: &mut Rig, at, from| {
        rig.at(at);
        let mut out = Vec::new();
        let mut ctx = Ctx { now: rig.now, tree: &rig.tree, me: &mut rig.me, out: &mut out };
        let flow = rig.role.heard(&mut ctx, ServerId(from), &vote);
        let deserted = out.iter().any(|e| matches!(e, Effect::Deserted(who) if who.0 == from));
        assert_eq!(deserted, flow != Flow::Stay);
        deserted
    };
    assert!(!heard(&mut rig, 499, 1));
    assert!(!heard(&mut rig, 500, 9), "it has no vote");
    assert!(heard(&mut rig, 500, 1));
}

#[test]
fn a_leader_goes_when_its_own_disk_does_not_get_further() {
    let mut rig = Rig::serving(&[1, 2]);
    let beat = |rig: &mut Rig, at| {
        rig.at(at);
        rig.step(Input::Tick);
        for link in [1, 2] {
            rig.packet(link, Packet::Pong(z(1, 0), vec![]));
        }
    };
    rig.write(1, "/a");
    for link in [1, 2] {
        rig.packet(link, Packet::Ack(z(1, 1)));
    }
    for n in 1..=12 {
        beat(&mut rig, n * 1000);
    }
    assert_eq!(rig.flow, Flow::Stay);
    for n in 13..=16 {
        beat(&mut rig, n * 1000);
    }
    assert!(matches!(&rig.flow, Flow::Leave(why) if why.contains("disk")), "{:?}", rig.flow);
}

#[test]
fn a_leader_without_a_quorum_does_not_wait_for_ever() {
    for steps in 0..=2 {
        let mut rig = Rig::new(THREE, Zxid::ZERO);
        rig.step(Input::Listening(true));
        if steps > 0 {
            rig.accept(1);
            rig.packet(1, Rig::hello(1, 0));
            rig.at(15_000);
            rig.saved();
        }
        if steps > 1 {
            rig.packet(1, Rig::ack_epoch(Zxid::ZERO, 0));
            rig.saved();
        }
        let end = if steps > 0 { 35_000 } else { 20_000 };
        assert!(rig.role.deadline() <= Some(Millis(end)));
        rig.at(end - 1);
        rig.step(Input::Tick);
        assert_eq!(rig.flow, Flow::Stay, "{steps}");
        rig.at(end);
        rig.step(Input::Tick);
        assert!(matches!(rig.flow, Flow::Leave(_)), "{steps}");
    }
    let mut rig = Rig::new(THREE, Zxid::ZERO);
    rig.step(Input::Listening(false));
    assert!(matches!(rig.flow, Flow::Leave(_)));
}

#[test]
fn a_follower_that_acknowledges_nothing_is_closed() {
    let mut rig = Rig::serving(&[1, 2]);
    rig.write(1, "/a");
    rig.packet(1, Packet::Ack(z(1, 1)));
    rig.at(10_000);
    rig.step(Input::Tick);
    rig.at(11_000);
    let got = rig.step(Input::Tick);
    assert!(got.starts_with("warn: ") && got.contains("close 2; ") || got.contains("close 2"), "{got}");
    assert!(!got.contains("close 1"), "{got}");
}

#[test]
fn sessions_end_when_they_are_silent_and_touches_of_learners_keep_them() {
    let mut rig = Rig::serving(&[1, 2]);
    for session in [7, 8] {
        rig.packet(1, Rig::request(session, -10, &5000i32.to_be_bytes(), false));
    }
    rig.at(4000);
    rig.step(Input::Tick);
    rig.packet(1, Packet::Pong(z(1, 0), vec![(SessionId(7), Millis(5000)), (SessionId(99), Millis(5000))]));
    rig.at(5000);
    rig.step(Input::Tick);
    rig.at(5999);
    assert!(!rig.step(Input::Tick).contains("closing"));
    rig.at(6000);
    let got = rig.step(Input::Tick);
    assert!(got.contains("closing 8 5000; 1<PROPOSAL 1:3") && !got.contains("closing 7"), "{got}");
    rig.packet(1, Packet::Ack(z(1, 3)));
    rig.flushed(z(1, 3));
    // A pause of this server proves nobody's silence before its sockets were read.
    rig.at(60_000);
    assert!(!rig.step(Input::Tick).contains("closing 7"));
    rig.at(61_000);
    assert!(!rig.step(Input::Tick).contains("closing 7"));
    rig.at(62_000);
    let got = rig.step(Input::Tick);
    assert!(got.contains("closing 7"), "{got} {:?}", rig.flow);
}

#[test]
fn local_sessions_of_the_leader_s_own_clients() {
    let mut rig = Rig::new(THREE, Zxid::ZERO);
    rig.me.ensemble.local_sessions = true;
    rig.serve(&[1]);
    let opened = rig.step(Input::OpenSession { conn: ConnId(5), timeout: Millis(4000) });
    assert!(opened.starts_with("opened locally 5 "), "{opened}");
    let session = SessionId(opened.rsplit(' ').next().unwrap().parse().unwrap());
    rig.session = session;
    assert_eq!(rig.write(1, "/a"), "1<PROPOSAL 1:1; append 1:1");
    assert_eq!(rig.error(), 0);
    rig.ephemeral(2, "/e");
    assert_eq!(rig.error(), ErrorCode::EphemeralOnLocalSession.code());
    rig.me.ensemble.local_upgrading = true;
    let end = rig.step(Input::CloseSession { origin: Rig::origin(3), session });
    assert_eq!(end, "", "behind the answers to what was asked before");
    rig.flushed(z(1, 2));
    let got = rig.packet(1, Packet::Ack(z(1, 2)));
    assert!(got.ends_with("commit 1:2 for 2; closed locally 3"), "{got}");

    let mut rig = Rig::new(THREE, Zxid::ZERO);
    (rig.me.ensemble.local_sessions, rig.me.ensemble.local_upgrading) = (true, true);
    rig.serve(&[1]);
    let opened = rig.step(Input::OpenSession { conn: ConnId(5), timeout: Millis(4000) });
    rig.session = SessionId(opened.rsplit(' ').next().unwrap().parse().unwrap());
    let got = rig.ephemeral(2, "/e");
    assert_eq!(got, "1<PROPOSAL 1:1; append 1:1; 1<PROPOSAL 1:2; append 1:2", "the session first");
    assert_eq!(rig.error(), 0);
    assert_eq!(rig.role.status(&rig.me).sessions, 2, "with the one of the tree");
}

#[test]
fn an_epoch_ends_before_its_last_zxid() {
    let mut rig = Rig::serving(&[1]);
    while rig.role.reign.as_mut().unwrap().order.last().counter() < 3 {
        rig.role.reign.as_mut().unwrap().order.take_zxid();
    }
    rig.role.reign.as_mut().unwrap().order.skip_to(u32::MAX - 2);
    assert_eq!(rig.write(1, "/a"), format!("1<PROPOSAL 1:{0}; append 1:{0}", u32::MAX - 1));
    assert_eq!(rig.flow, Flow::Stay);
    assert_eq!(rig.write(2, "/b"), "");
    assert!(matches!(&rig.flow, Flow::Leave(why) if why.contains("zxids")), "{:?}", rig.flow);
}

#[test]
fn a_change_of_members_needs_both_quorums_and_a_leader_that_is_not_kept_hands_over() {
    let mut rig = Rig::new(THREE, Zxid::ZERO);
    rig.me.settings.reconfig_enabled = true;
    rig.serve(&[1, 2]);
    assert_eq!(rig.me.views.committed.version(), z(1, 0).0, "the first epoch numbers the first membership");
    for server in [4, 5] {
        rig.accept(server);
        rig.packet(server, Rig::hello(server as i64, 1));
        rig.packet(server, Packet::AckEpoch { last: Zxid::ZERO, current: None });
    }
    let list = |ids: &[i64]| -> String {
        ids.iter().map(|n| format!("server.{n}=h{n}:1:2;{}", 100 + n)).collect::<Vec<_>>().join(",")
    };
    let got = rig.reconfig(1, &list(&[4, 5]));
    assert!(got.starts_with("propose 10000000"), "{got}");
    assert_eq!(rig.error(), 0);
    rig.reconfig(2, &list(&[1, 2]));
    assert_eq!(rig.error(), ErrorCode::ReconfigInProgress.code());
    rig.flushed(z(1, 2));
    assert_eq!(rig.packet(1, Packet::Ack(z(1, 2))), "", "the old alone");
    rig.packet(4, Packet::Ack(z(1, 0)));
    assert_eq!(rig.packet(4, Packet::Ack(z(1, 2))), "");
    rig.packet(5, Packet::Ack(z(1, 0)));
    let got = rig.packet(5, Packet::Ack(z(1, 1)));
    let activate: Vec<String> = [1, 2, 4, 5].iter().map(|n| format!("{n}<ACTIVATE 1:1 by 4")).collect();
    assert!(got.contains(&activate.join("; ")), "{got}");
    assert!(got.ends_with("commit 1:1 for 1"), "nothing behind it is committed here: {got}");
    assert_eq!(rig.flow, Flow::Stay, "the packets have to leave first");
    assert_eq!(rig.write(9, "/late"), "");
    rig.link(4, LinkInput::Lost);
    assert_eq!(rig.flow, Flow::Stay);
    rig.link(5, LinkInput::Lost);
    assert!(matches!(rig.flow, Flow::Follow(to) if to.leader == ServerId(4)), "{:?}", rig.flow);
}

#[test]
fn a_change_of_members_without_enough_of_them_in_sync_is_refused() {
    let mut rig = Rig::new(THREE, Zxid::ZERO);
    rig.me.settings.reconfig_enabled = true;
    rig.serve(&[1, 2]);
    let got = rig.reconfig(1, "server.7=h7:1:2;107,server.8=h8:1:2;108");
    assert_eq!(got, "1<PROPOSAL 1:1; 2<PROPOSAL 1:1; append 1:1");
    assert_eq!(rig.error(), ErrorCode::NewConfigNoQuorum.code());
    let kept = "server.1=a:1:2;101,server.2=b:1:2;102,server.3=c:1:2;103,server.9=h9:1:2:observer;109";
    rig.reconfig(2, kept);
    assert_eq!(rig.error(), 0);
    rig.flushed(z(1, 2));
    let got = rig.packet(2, Packet::Ack(z(1, 2)));
    assert!(got.contains("1<ACTIVATE 1:2 by 3; 2<ACTIVATE 1:2 by 3"), "{got}");
    assert_eq!((&rig.flow, rig.me.views.committed.version()), (&Flow::Stay, z(1, 2).0));
    assert_eq!(rig.write(3, "/a"), "1<PROPOSAL 1:3; 2<PROPOSAL 1:3; append 1:3");
}

/// What may happen to a leader of three with an observer.
#[derive(Debug, Clone)]
enum Event {
    Ack(u64, u32),
    Write,
    Flush,
    Pong(u64),
    Sync,
    Reconnect(u64, u32),
    NewLeaderAck(u64),
    Tick,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let link = 1u64..=3;
    proptest::collection::vec(
        prop_oneof![
            4 => (link.clone(), 0u32..12).prop_map(|(l, n)| Event::Ack(l, n)),
            4 => Just(Event::Write),
            2 => Just(Event::Flush),
            1 => link.clone().prop_map(Event::Pong),
            1 => Just(Event::Sync),
            1 => (link.clone(), 0u32..12).prop_map(|(l, n)| Event::Reconnect(l, n)),
            2 => link.prop_map(Event::NewLeaderAck),
            1 => Just(Event::Tick),
        ],
        0..80,
    )
}

proptest! {
    /// Packets in any order, of learners that lie, come early, repeat themselves and come back.
    #[test]
    fn nothing_is_committed_without_a_quorum_whatever_comes(events in events()) {
        let mut rig = Rig::serving(&[1, 2]);
        let mut fresh = 10u64;
        let mut links = [1u64, 2, 3];
        let (mut committed, mut durable) = (z(1, 0), z(1, 0));
        for (n, event) in events.into_iter().enumerate() {
            let link = |l: u64| links[l as usize - 1];
            let got = match event {
                Event::Ack(l, n) => rig.packet(link(l), Packet::Ack(z(1, n))),
                Event::Write => rig.write(n as i32, &format!("/{n}")),
                Event::Flush => {
                    durable = rig.me.ledger.last_logged();
                    rig.flushed(durable)
                }
                Event::Pong(l) => rig.packet(link(l), Packet::Pong(z(1, 0), vec![])),
                Event::Sync => rig.sync(n as i32),
                Event::Reconnect(l, n) => {
                    fresh += 1;
                    links[l as usize - 1] = fresh;
                    rig.accept(fresh);
                    let Packet::Hello(hello) = Rig::hello(l as i64, 1) else { unreachable!() };
                    let hello = LearnerHello { observer: l == 3, server: (l < 3).then_some(ServerId(l as i64)), ..hello };
                    let hello = rig.packet(fresh, Packet::Hello(hello));
                    let last = if n == 0 { Zxid::ZERO } else { z(1, n) };
                    hello + &rig.packet(fresh, Packet::AckEpoch { last, current: None })
                }
                Event::NewLeaderAck(l) => rig.packet(link(l), Packet::Ack(z(1, 0))),
                Event::Tick => {
                    rig.at(rig.now.mono.0 + 500);
                    rig.step(Input::Tick)
                }
            };
            prop_assert!(!got.contains("append 1:0"));
            let now = rig.me.ledger.committed().max(z(1, 0));
            prop_assert!(now >= committed && now <= rig.me.ledger.last_logged().max(z(1, 0)));
            let order = &rig.role.reign.as_ref().unwrap().order;
            prop_assert!(order.in_flight() == rig.me.ledger.tail().len());
            committed = now;
            if rig.flow != Flow::Stay {
                break;
            }
        }
        let _ = durable;
    }
}
