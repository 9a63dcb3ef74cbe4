//! A follower that takes observers.

use super::*;
use crate::replica::io::HistoryPlan;
use crate::replica::zab::{Forwarded, LearnerHello};

const OBSERVER: LinkId = LinkId(5);

fn master() -> Server {
    Server::new(1, |me| me.ensemble.observer_masters = true).live()
}

fn hello() -> LearnerHello {
    LearnerHello {
        observer: true,
        accepted: Epoch(1),
        server: Some(ServerId(4)),
        protocol: 0x1_0000,
        config_version: 0,
    }
}

impl Server {
    fn says(&mut self, packet: Packet) -> Vec<String> {
        self.on(Input::Link(OBSERVER, LinkInput::Packet(packet)))
    }

    /// With one observer that has what this server has.
    fn serving(mut self) -> Self {
        self.on(Input::Link(OBSERVER, LinkInput::AcceptedObserver));
        self.says(Packet::Hello(hello()));
        self.says(Packet::AckEpoch { last: z(1, 8), current: None });
        self.says(Packet::Ack(z(2, 0)));
        self
    }
}

#[test]
fn an_observer_is_brought_up_to_what_is_committed_here_without_waiting() {
    let mut s = master();
    s.gets(proposal(2, 1));
    s.gets(commit(2, 1));
    s.gets(proposal(2, 2));
    assert_eq!(s.on(Input::Link(OBSERVER, LinkInput::AcceptedObserver)), ["patience 10000"]);
    assert_eq!(s.says(Packet::Hello(hello())), ["send to 5 LEADERINFO 2"]);
    let told = s.says(Packet::AckEpoch { last: z(1, 8), current: Some(Epoch(1)) });
    let sent: Vec<_> = told.iter().filter(|t| t.starts_with("send")).collect();
    assert_eq!(
        sent,
        ["send to 5 DIFF 2:1", "send to 5 PROPOSAL 2:1", "send to 5 COMMIT 2:1", "send to 5 NEWLEADER 2"],
        "and nothing of what is only proposed"
    );
    assert_eq!(s.gets(commit(2, 2)), ["commit 2:2", "send to 5 INFORM 2:2"]);
    assert_eq!(s.says(Packet::Ack(z(2, 0))), ["patience 5000", "send to 5 UPTODATE"]);
    assert!(s.says(Packet::Ack(z(2, 0))).is_empty(), "for UPTODATE");
    let learners = s.replica.status().peer.unwrap().learners;
    assert!(learners.len() == 1 && learners[0].synced && learners[0].observer);
    assert_eq!(s.says(Packet::Ack(z(2, 2))).last().unwrap(), "close 5", "observers acknowledge nothing");
}

#[test]
fn only_observers_that_know_no_later_membership_are_let_in() {
    let wrong = [
        LearnerHello { observer: false, ..hello() },
        LearnerHello { protocol: 1, ..hello() },
        LearnerHello { config_version: 9, ..hello() },
        LearnerHello { server: Some(ServerId(1)), ..hello() },
    ];
    for hello in wrong {
        let mut s = master();
        s.on(Input::Link(OBSERVER, LinkInput::AcceptedObserver));
        assert_eq!(s.says(Packet::Hello(hello)).last().unwrap(), "close 5");
    }
    let mut s = Server::follower().live();
    assert_eq!(s.on(Input::Link(OBSERVER, LinkInput::AcceptedObserver)), ["close 5"], "not configured");
    let mut s = master();
    assert_eq!(s.on(Input::Link(OBSERVER, LinkInput::Accepted)), ["close 5"], "only leaders lead");
}

#[test]
fn what_is_not_remembered_comes_from_the_disk_or_as_a_snapshot() {
    for (plan, want) in [(Some(HistoryPlan { at: z(1, 2), until: z(1, 8) }), "DIFF 1:8"), (None, "SNAP 0:0")]
    {
        let mut s = master();
        s.on(Input::Link(OBSERVER, LinkInput::AcceptedObserver));
        s.says(Packet::Hello(hello()));
        let told = s.says(Packet::AckEpoch { last: z(1, 2), current: None });
        assert!(told[0].starts_with("AskHistory"), "{told:?}");
        assert!(s.gets(Packet::Ping(z(2, 0))).len() == 1);
        let told = s.on(Input::History(OBSERVER, plan));
        if plan.is_some() {
            assert_eq!(told[1], format!("send to 5 {want}"));
            assert!(told[2].starts_with("Stream"));
        } else {
            // The tree of this test shows nothing, and what follows nothing is not remembered.
            assert_eq!(told.last().unwrap(), "close 5");
        }
    }
}

#[test]
fn requests_go_up_as_they_came_and_answers_find_their_observer() {
    let mut s = master().serving();
    let request = |op| {
        Packet::Request(Forwarded {
            session: SessionId(7),
            cxid: 3,
            op,
            body: Bytes::from_static(b"x"),
            ids: Some(vec![]),
        })
    };
    assert_eq!(s.says(request(1)), ["send REQUEST 7 3 op 1 [120] ids Some(0)"]);
    s.gets(Packet::Proposal(txn(z(2, 1), 7, 3, 1, &[])));
    assert_eq!(s.gets(commit(2, 1)), ["commit 2:1", "send to 5 INFORM 2:1"]);
    let mine = crate::replica::Origin { conn: ConnId(2), xid: 1 };
    s.on(Input::Sync { origin: mine, session: SessionId(1), ids: &[], body: b"/" });
    assert_eq!(s.says(request(9)).len(), 1);
    assert_eq!(s.gets(Packet::Sync), ["synced 2/1"], "in the order they were sent");
    assert_eq!(s.gets(Packet::Sync), ["send to 5 SYNC"]);
    assert_eq!(s.says(Packet::Revalidate(SessionId(8), Millis(9))), ["send REVALIDATE 8 9"]);
    assert_eq!(s.gets(Packet::Revalidated(SessionId(8), true)), ["send to 5 REVALIDATE 8 true"]);
}

#[test]
fn an_observer_that_is_gone_takes_nobody_else_s_answer() {
    let mut s = master().serving();
    let sync = Packet::Request(Forwarded {
        session: SessionId(7),
        cxid: 3,
        op: 9,
        body: Bytes::new(),
        ids: Some(vec![]),
    });
    s.says(sync);
    let mine = crate::replica::Origin { conn: ConnId(2), xid: 1 };
    s.on(Input::Sync { origin: mine, session: SessionId(1), ids: &[], body: b"/" });
    s.on(Input::Link(OBSERVER, LinkInput::Lost));
    assert!(s.gets(Packet::Sync).is_empty());
    assert_eq!(s.gets(Packet::Sync), ["synced 2/1"]);
    s.gets(proposal(2, 1));
    assert_eq!(s.gets(commit(2, 1)), ["commit 2:1"]);
}

#[test]
fn observers_are_pinged_twice_a_tick_and_their_sessions_are_the_follower_s() {
    let mut s = master().serving();
    s.gets(proposal(2, 1));
    s.mono = s.replica.deadline().unwrap().0;
    assert_eq!(s.on(Input::Tick), ["send to 5 PING 0:0"], "told of nothing yet");
    s.gets(commit(2, 1));
    s.mono += 500;
    assert_eq!(s.on(Input::Tick), ["send to 5 PING 2:1"]);
    s.says(Packet::Pong(z(2, 1), vec![(SessionId(7), Millis(400))]));
    assert_eq!(s.gets(Packet::Ping(z(2, 1))), ["send PING 2:1 [7=400]"]);
}

#[test]
fn an_observer_that_connects_anew_replaces_itself() {
    let mut s = master().serving();
    s.on(Input::Link(LinkId(6), LinkInput::AcceptedObserver));
    let told = s.on(Input::Link(LinkId(6), LinkInput::Packet(Packet::Hello(hello()))));
    assert_eq!(told, ["close 5", "send to 6 LEADERINFO 2"]);
}
