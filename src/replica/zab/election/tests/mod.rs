//! Elections as a table of cases, over a small network, and in every order of delivery.

mod net;
mod orders;

use super::ballot::{Cast, beats};
use super::*;
use crate::replica::io::Input;
use crate::replica::zab::Views;
use crate::types::{Epoch, Zxid};
use PeerState::{Following, Leading, Looking, Observing};
use net::{Disk, EMPTY, Net, history, letter, membership, voters};
use proptest::prelude::*;

fn vote(epoch: i64, zxid: i64, leader: i64) -> Vote {
    Vote { leader: ServerId(leader), zxid: Zxid(zxid), epoch: Epoch(epoch) }
}

#[test]
fn the_epoch_comes_first_then_the_zxid_then_the_server() {
    let weights = "server.1=a:1:2\nserver.2=b:1:2\nserver.9=c:1:2\ngroup.1=1:2:9\nweight.9=0\nversion=0";
    let views = Views::new(membership(weights));
    for (new, old, better) in [
        (vote(2, 5, 1), vote(1, 9, 2), true),
        (vote(1, 9, 2), vote(2, 5, 1), false),
        (vote(1, 6, 1), vote(1, 5, 2), true),
        (vote(1, 5, 2), vote(1, 5, 1), true),
        (vote(1, 5, 1), vote(1, 5, 1), false),
        (vote(9, 9, 9), vote(1, 1, 1), false),
        (vote(1, -1, 2), vote(1, 0, 1), false),
        (vote(0, 0, 1), vote(i64::MIN, i64::MIN, i64::MIN), true),
    ] {
        assert_eq!(beats(&views, &new, &old), better, "{new:?} {old:?}");
    }
}

#[test]
fn votes_are_equal_in_all_or_behind_an_election_in_leader_and_epoch() {
    let cast = |state, vote, round, version| Cast { vote, round, state, version };
    let base = cast(Following, vote(1, 5, 3), 1, 2);
    for (other, equal) in [
        (cast(Leading, vote(1, 5, 3), 1, 2), true),
        (cast(Leading, vote(1, 9, 3), 7, 2), true),
        (cast(Leading, vote(2, 5, 3), 1, 2), false),
        (cast(Leading, vote(1, 5, 2), 1, 2), false),
        (cast(Leading, vote(2, 5, 3), 1, 0), true),
        (cast(Leading, vote(2, 5, 2), 1, 0), false),
        (cast(Looking, vote(1, 5, 3), 1, 2), true),
        (cast(Looking, vote(1, 5, 3), 2, 2), false),
        (cast(Looking, vote(1, 6, 3), 1, 2), false),
        (cast(Looking, vote(2, 5, 3), 1, 0), false),
    ] {
        assert_eq!(base.agrees(&other), equal, "{other:?}");
        assert_eq!(other.agrees(&base), equal, "{other:?}");
    }
}

#[test]
fn a_cold_start_elects_the_largest_id_as_soon_as_all_were_heard() {
    for n in [3, 5, 7] {
        let disks: Vec<_> = (1..=n).map(|id| (id, EMPTY)).collect();
        let mut net = Net::new(&voters(n), &disks);
        let took = net.run(5000);
        assert_eq!(net.leaders(), vec![n; disks.len()]);
        assert!(took < 20, "{n} servers: {took} ms");
    }
}

#[test]
fn one_voter_elects_itself_at_once() {
    let mut net = Net::new(&voters(1), &[(1, EMPTY)]);
    assert_eq!(net.run(5000), 0);
    assert_eq!(net.leaders(), [1]);
    assert!(net.sent.is_empty());
}

#[test]
fn a_silent_voter_is_waited_for_once() {
    let mut net = Net::new(&voters(3), &[(1, history(1, 8)), (2, history(1, 8))]);
    let took = net.run(5000);
    assert_eq!(net.leaders(), [2, 2]);
    assert!((200..260).contains(&took), "{took}");
    // It comes with more than they have, and follows all the same.
    net.start(3, &voters(3), history(1, 9));
    assert!(net.run(5000) < 20);
    assert_eq!(net.leaders(), [2, 2, 2]);
}

#[test]
fn a_better_vote_puts_the_decision_off() {
    let mut net = Net::new(&voters(5), &[(1, EMPTY), (2, EMPTY), (3, EMPTY)]);
    net.run(150);
    assert_eq!(net.leaders(), [0, 0, 0]);
    net.start(5, &voters(5), EMPTY);
    net.run(5000);
    assert_eq!(net.leaders(), [5, 5, 5, 5]);
}

#[test]
fn the_lost_leader_is_not_waited_for() {
    for n in [3, 5] {
        let disks: Vec<_> = (1..=n).map(|id| (id, history(1, 8))).collect();
        let mut net = Net::new(&voters(n), &disks);
        net.run(5000);
        net.kill(n);
        net.lose(n);
        let took = net.run(5000);
        assert_eq!(net.leaders(), vec![n - 1; disks.len() - 1]);
        assert!(took < 10, "{n} servers: {took} ms");
        // Another one is gone already: it might know more than all the others.
        if n == 5 {
            net.kill(4);
            net.kill(1);
            net.start(4, &voters(5), history(1, 9));
            net.cut.insert(4);
            net.lose(4);
            net.run(100);
            assert_eq!(net.nodes[&2].leader(), None);
        }
    }
}

#[test]
fn a_follower_that_notices_late_is_told_again() {
    let disks: Vec<_> = (1..=3).map(|id| (id, history(1, 8))).collect();
    let mut net = Net::new(&voters(3), &disks);
    net.run(5000);
    net.kill(3);
    // Server 2 notices five milliseconds before server 1, which still follows when it gets the vote.
    let now = net.now();
    let effects = net.nodes.get_mut(&2).unwrap().leave(now);
    for effect in effects {
        if let crate::replica::io::Effect::Notify(to, n) = effect
            && to == ServerId(1)
        {
            net.say(2, 1, n);
        }
    }
    net.run(5);
    assert_eq!(net.leaders(), [3, 0]);
    net.lose(3);
    assert!(net.run(5000) < 10);
    assert_eq!(net.leaders(), [2, 2]);
}

#[test]
fn observers_and_strangers_learn_the_leader_and_change_nothing() {
    let text = "server.1=a:1:2\nserver.2=b:1:2\nserver.4=d:1:2:observer\nversion=0";
    let mut net = Net::new(text, &[(1, history(1, 3)), (2, history(1, 3))]);
    net.run(5000);
    net.start(4, text, history(1, 9));
    net.start(7, text, history(1, 9));
    net.sent.clear();
    assert!(net.run(5000) < 20);
    assert_eq!(net.leaders(), [2, 2, 2, 2]);
    let shown: Vec<_> = net.sent.iter().filter(|(_, to, _)| *to == 2 || *to > 3).cloned().collect();
    let i = |from| shown.iter().find(|(f, _, _)| *f == from).unwrap().2.vote;
    assert_eq!(i(4), vote(i64::MIN, i64::MIN, i64::MIN));
    assert_eq!(i(7), vote(1, 1 << 32 | 9, i64::MIN));
    assert!(shown.iter().filter(|(_, to, _)| *to > 3).all(|(_, _, n)| n.round == 1));
}

#[test]
fn an_observer_alone_makes_no_quorum() {
    let text = "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\nserver.4=d:1:2:observer\nversion=0";
    let mut net = Net::new(text, &[(1, history(1, 3)), (4, history(1, 3))]);
    net.run(3000);
    assert_eq!(net.leaders(), [0, 0]);
}

#[test]
fn stale_messages_of_an_old_round_do_not_mislead_who_comes_back() {
    let disks: Vec<_> = (1..=3).map(|id| (id, history(1, 8))).collect();
    let mut net = Net::new(&voters(3), &disks[1..]);
    net.run(5000);
    net.start(1, &voters(3), history(1, 4));
    net.run(0);
    // What the others sent last, again (23.3).
    for from in [2, 3] {
        net.say(from, 1, letter(Looking, 3, 1 << 32 | 8, 1, 1));
        net.say(from, 1, letter(Looking, from, 1 << 32 | 8, 1, 0));
    }
    net.run(5000);
    assert_eq!(net.leaders(), [3, 3, 3]);
}

#[test]
fn a_leader_that_does_not_say_so_itself_is_not_followed() {
    let mut net = Net::new(&voters(3), &[(1, history(1, 4))]);
    net.run(0);
    net.say(2, 1, letter(Following, 3, 1 << 32 | 8, 1, 4));
    assert_eq!(net.leaders(), [0]);
    net.say(3, 1, letter(Looking, 3, 1 << 32 | 8, 1, 2));
    assert_eq!(net.leaders(), [0]);
    net.say(3, 1, letter(Leading, 3, 1 << 32 | 8, 1, 4));
    assert_eq!(net.leaders(), [3]);
    assert_eq!(net.nodes[&1].me.round, 4);
}

#[test]
fn who_is_taken_for_the_leader_leads_only_in_that_round_and_with_that_history() {
    for (disk, round, leader) in [(history(1, 8), 1, 3), (history(1, 8), 2, 0), (history(1, 7), 1, 0)] {
        let mut net = Net::new(&voters(3), &[(3, disk)]);
        net.run(0);
        for from in [1, 2] {
            net.say(from, 3, letter(Following, 3, 1 << 32 | 8, 1, round));
        }
        assert_eq!(net.leaders(), [leader], "{disk:?} {round}");
    }
}

#[test]
fn blackholed_peers_cost_no_more_than_the_last_wait() {
    let disks: Vec<_> = (1..=5).map(|id| (id, history(1, 8))).collect();
    for cut in [vec![4], vec![5], vec![1, 5], vec![4, 5]] {
        let mut net = Net::new(&voters(5), &disks);
        net.cut = cut.iter().copied().collect();
        let took = net.run(5000);
        assert!(took < 400, "{cut:?}: {took} ms");
    }
}

#[test]
fn votes_are_sent_again_with_longer_and_longer_pauses() {
    let mut net = Net::new(&voters(3), &[(1, history(1, 8))]);
    net.run(200_000);
    let to_two = net.sent.iter().filter(|(_, to, _)| *to == 2).count();
    // 0, 0.2, 0.6, 1.4, 3, 6.2, 12.6, 25.4, 51, 102.2, 162.2 seconds.
    assert_eq!(to_two, 11);
}

#[test]
fn chatter_does_not_keep_a_vote_from_being_sent_again() {
    let mut net = Net::new(&voters(3), &[(1, history(1, 8))]);
    for _ in 0..1000 {
        net.run(1);
        net.say(3, 1, letter(Observing, 3, 0, 0, 1));
    }
    assert_eq!(net.sent.iter().filter(|(_, to, _)| *to == 2).count(), 3);
}

#[test]
fn a_wiped_server_is_no_part_of_a_quorum() {
    // Server 2 has more than server 1, and with server 3, now wiped, it had committed it.
    for wiped in [EMPTY, Disk { accepted: 2, ..EMPTY }] {
        let mut net = Net::new(&voters(3), &[(1, history(1, 8)), (3, wiped)]);
        net.run(10_000);
        assert_eq!(net.leaders(), [0, 0], "{wiped:?}");
        assert_eq!(net.nodes[&3].me.vote.zxid, MUTE);
        net.start(2, &voters(3), history(1, 9));
        net.run(70_000);
        assert_eq!(net.leaders(), [2, 2, 2], "{wiped:?}");
    }
}

#[test]
fn a_wiped_leader_that_everybody_still_follows_does_not_lead() {
    let disks: Vec<_> = (1..=3).map(|id| (id, history(1, 8))).collect();
    let mut net = Net::new(&voters(3), &disks);
    net.run(5000);
    net.start(3, &voters(3), EMPTY);
    net.run(1000);
    assert_eq!(net.leaders(), [3, 3, 0]);
}

#[test]
fn a_history_with_a_hole_has_no_say() {
    let hole = Disk { may_vote: false, ..history(2, 9) };
    let mut net = Net::new(&voters(3), &[(1, history(1, 8)), (3, hole)]);
    net.run(10_000);
    assert_eq!(net.leaders(), [0, 0]);
    net.start(2, &voters(3), history(1, 7));
    net.run(70_000);
    assert_eq!(net.leaders(), [1, 1, 1]);
}

#[test]
fn empty_servers_elect_beside_one_that_was_alone_or_died_with_its_first_epoch() {
    // Transactions without an epoch: a standalone server that grows.
    let alone = Disk { zxid: 500, ..EMPTY };
    let mut net = Net::new(&voters(3), &[(1, alone), (2, EMPTY), (3, EMPTY)]);
    net.run(5000);
    assert_eq!(net.leaders(), [1, 1, 1]);
    // The first leader had an epoch and no transaction; a quorum had promised it.
    let promised = Disk { accepted: 1, ..EMPTY };
    let led = Disk { current: 1, ..promised };
    let mut net = Net::new(&voters(3), &[(1, promised), (2, led), (3, EMPTY)]);
    net.run(5000);
    assert_eq!(net.leaders(), [2, 2, 2]);
}

#[test]
fn without_weight_nobody_wins_and_nobody_is_waited_for() {
    let text = "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\ngroup.1=1:2:3\nweight.3=0\nversion=0";
    let mut net = Net::new(text, &[(1, history(1, 8)), (2, history(1, 8)), (3, history(1, 9))]);
    net.run(5000);
    assert_eq!(net.leaders(), [2, 2, 2]);
    let mut net = Net::new(text, &[(1, history(1, 8)), (2, history(1, 8))]);
    assert!(net.run(5000) < 20);
    assert_eq!(net.leaders(), [2, 2]);
}

#[test]
fn most_of_the_groups_decide() {
    let servers: String = (1..=6).map(|n| format!("server.{n}=h{n}:1:2\n")).collect();
    let text = format!("{servers}group.1=1:2\ngroup.2=3:4\ngroup.3=5:6\nversion=0");
    let disks: Vec<_> = [1, 2, 3, 5].map(|id| (id, history(1, 8))).into();
    let mut net = Net::new(&text, &disks);
    net.run(3000);
    assert_eq!(net.leaders(), [0; 4]);
    net.start(4, &text, history(1, 8));
    net.run(70_000);
    assert_eq!(net.leaders(), [5; 5]);
}

#[test]
fn a_newer_membership_in_a_vote_begins_a_new_round() {
    let old = voters(3);
    let new = format!("{}server.4=h4:1:2\nserver.5=h5:1:2\nversion=100000007", old.replace("version=0", ""));
    let mut net = Net::new(&old, &[(1, history(1, 7))]);
    net.run(0);
    let mut n = letter(Looking, 2, 1 << 32 | 7, 1, 1);
    n.config = new.clone().into();
    net.say(2, 1, n);
    let me = &net.nodes[&1].me;
    assert_eq!((me.views.committed.version(), me.round), (0x1_0000_0007, 2));
    assert!(net.sent.iter().any(|(_, to, n)| *to == 5 && n.config.ends_with(b"version=100000007")));
    // The same members under a later number are taken over without another round.
    let mut n = letter(Looking, 2, 1 << 32 | 7, 1, 2);
    n.config = new.replace("100000007", "100000008").into();
    net.say(2, 1, n);
    let me = &net.nodes[&1].me;
    assert_eq!((me.views.committed.version(), me.round), (0x1_0000_0008, 2));
    // One without voters, and what is none, are passed over.
    for text in ["version=200000000", "server.1=h", "\u{0}"] {
        let mut n = letter(Looking, 2, 1 << 32 | 7, 1, 2);
        n.config = text.to_owned().into();
        net.say(2, 1, n);
        assert_eq!(net.nodes[&1].me.views.committed.version(), 0x1_0000_0008);
    }
}

#[test]
fn a_leader_whose_voters_change_their_mind_gives_up_before_it_has_its_epoch() {
    let mut net = Net::new(&voters(3), &[(1, history(1, 8)), (2, history(1, 8))]);
    net.run(5000);
    assert_eq!(net.leaders(), [2, 2]);
    let better = letter(Looking, 3, 1 << 32 | 9, 1, 1);
    // Who did not vote for it changes nothing.
    net.say(3, 2, better.clone());
    assert_eq!(net.leaders(), [2, 2]);
    net.say(1, 2, letter(Looking, 1, 1 << 32 | 8, 1, 2));
    assert_eq!(net.leaders(), [2, 2], "a voter that comes back with less");
    net.say(1, 2, better.clone());
    assert_eq!(net.leaders(), [2, 0]);
    // With its epoch it stays.
    let mut net = Net::new(&voters(3), &[(1, history(1, 8)), (2, history(1, 8))]);
    net.run(5000);
    net.nodes.get_mut(&2).unwrap().me.current = Epoch(2);
    net.say(1, 2, better);
    assert_eq!(net.leaders(), [2, 2]);
}

#[test]
fn votes_that_come_too_early_are_kept() {
    let text = voters(3);
    let mut net = Net::new(&text, &[(1, history(1, 8))]);
    // It has not begun: the first tick is still to come.
    net.say(3, 1, letter(Looking, 3, 1 << 32 | 8, 1, 1));
    net.say(2, 1, letter(Looking, 3, 1 << 32 | 8, 1, 1));
    net.say(9, 1, letter(Looking, 3, 1 << 32 | 8, 1, 1));
    assert_eq!(net.leaders(), [0]);
    net.run(1);
    assert_eq!(net.leaders(), [3]);
}

fn any_letter() -> impl Strategy<Value = (i64, Notification)> {
    let state = prop_oneof![Just(Looking), Just(Following), Just(Leading), Just(Observing)];
    let edge = prop_oneof![-2..6_i64, Just(i64::MIN), Just(i64::MAX), Just(1 << 32 | 8), any::<i64>()];
    let id = prop_oneof![0..6_i64, Just(i64::MIN), any::<i64>()];
    (id.clone(), state, id, edge.clone(), edge.clone(), edge).prop_map(
        |(from, state, leader, zxid, epoch, round)| (from, letter(state, leader, zxid, epoch, round)),
    )
}

proptest! {
    #[test]
    fn no_votes_stop_an_election(letters in prop::collection::vec(any_letter(), 0..40)) {
        let mut net = Net::new(&voters(3), &[(1, history(1, 8))]);
        net.run(3);
        for (from, n) in letters {
            net.say(from, 1, n);
            net.run(3);
            if let Some(leader) = net.nodes[&1].leader() {
                prop_assert!((1..=3).contains(&leader));
            }
        }
        let me = &net.nodes[&1].me;
        prop_assert!(me.round >= 1);
    }

    #[test]
    fn honest_servers_elect_whatever_one_voter_says(
        letters in prop::collection::vec(any_letter(), 0..40),
    ) {
        let disks: Vec<_> = (1..=4).map(|id| (id, history(1, 8))).collect();
        let mut net = Net::new(&voters(5), &disks);
        for (turn, (_, mut n)) in letters.into_iter().enumerate() {
            // Behind the last round of all there is no next one in which old votes would not count any more; nor has
            // the reference one.
            n.round = n.round.min(i64::MAX - 1000);
            net.run(2);
            net.say(5, 1 + i64::try_from(turn).unwrap() % 4, n);
        }
        net.run(3000);
        net.kill(5);
        // It may have talked them into itself, the reference's servers, too; then they come back without it.
        // So does whoever leads too few, or is thought to lead.
        for _ in 0..9 {
            let leaders = net.leaders();
            let leads = |l: i64| net.nodes.get(&l).is_some_and(|n| n.leader() == Some(l));
            let few = |l: &&i64| !leads(**l) || leaders.iter().filter(|other| other == l).count() < 3;
            let Some(lost) = leaders.iter().filter(|l| **l != 0).find(few).copied() else { break };
            net.lose(lost);
            net.run(3000);
        }
        // Those that agree get an epoch, with it votes of one epoch, and a leader that no vote of a straggler makes give
        // up; one that was talked into a round of its own asks them sooner or later.
        for node in net.nodes.values_mut().filter(|n| n.leader().is_some()) {
            (node.me.vote.epoch, node.me.current) = (Epoch(9), Epoch(9));
        }
        net.run(130_000);
        prop_assert!(!net.leaders().contains(&5));
        let leader = net.leaders()[0];
        prop_assert_eq!(net.leaders(), vec![leader; 4]);
        prop_assert!(leader != 0);
    }
}

#[test]
fn the_first_input_of_all_may_be_anything() {
    let mut net = Net::new(&voters(3), &[(1, history(1, 8))]);
    let now = net.now();
    let node = net.nodes.get_mut(&1).unwrap();
    node.step(now, Input::Listening(true));
    node.step(now, Input::Applied(Zxid(3), &[]));
    node.step(now, Input::Truncated(Zxid(1 << 32 | 2)));
    assert_eq!(node.me.vote.zxid, Zxid(1 << 32 | 2));
    node.step(now, Input::Truncated(Zxid::ZERO));
    assert!(!node.me.has_say(), "all was given away");
}
