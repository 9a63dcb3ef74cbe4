//! Every order in which messages arrive and waits end, for three servers.
//!
//! Messages of one connection keep their order; everything else is free, also a wait that ends before anything
//! arrives. States that were seen are not entered again.

use super::net::{Disk, EMPTY, Node, history, voters};
use super::*;
use crate::replica::io::{Effect, Effects};
use crate::types::Now;
use std::collections::{BTreeMap, HashSet, VecDeque};

/// What can happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Move {
    Deliver(i64, i64),
    /// The last wait is over.
    Finalize(i64),
    /// It notices that its leader is gone.
    Notice(i64),
    /// It sends its vote again.
    Repeat(i64),
}

struct World {
    nodes: BTreeMap<i64, Node>,
    links: BTreeMap<(i64, i64), VecDeque<Notification>>,
    unnoticed: BTreeSet<i64>,
    at: Now,
    repeats: i64,
}

const BEGIN: Now = Now { mono: Millis(0), wall: 0 };
/// Behind the last wait and before the vote is sent again.
const LATER: Now = Now { mono: Millis(300), wall: 0 };

impl World {
    fn cold(disks: &[(i64, Disk)]) -> Self {
        let mut world = Self {
            nodes: BTreeMap::new(),
            links: BTreeMap::new(),
            unnoticed: BTreeSet::new(),
            at: BEGIN,
            repeats: 0,
        };
        for (id, disk) in disks {
            let mut node = Node::new(*id, &voters(3), *disk, BEGIN);
            node.me.ensemble.min_notification = Millis(1_000_000);
            node.me.ensemble.max_notification = Millis(1_000_000);
            let effects = node.step(BEGIN, Input::Tick);
            world.nodes.insert(*id, node);
            world.post(*id, effects);
        }
        world
    }

    /// Servers 1 and 2 follow server 3, which is dead.
    fn orphaned() -> Self {
        let mut world = Self::cold(&[(1, history(1, 8)), (2, history(1, 8)), (3, history(1, 8))]);
        while let Some(next) = world.moves().into_iter().find(|m| matches!(m, Move::Deliver(..))) {
            world.make(next);
        }
        assert!(world.nodes.values().all(|n| n.leader() == Some(3)));
        world.nodes.remove(&3);
        world.links.clear();
        world.unnoticed = [1, 2].into();
        world
    }

    fn post(&mut self, from: i64, effects: Effects) {
        for effect in effects {
            if let Effect::Notify(to, n) = effect
                && self.nodes.contains_key(&to.0) | (self.at == BEGIN && to.0 <= 3)
            {
                self.links.entry((from, to.0)).or_default().push_back(n);
            }
        }
    }

    fn moves(&self) -> Vec<Move> {
        let full = self.links.iter().filter(|((_, to), l)| !l.is_empty() && self.nodes.contains_key(to));
        let mut moves: Vec<Move> = full.map(|((from, to), _)| Move::Deliver(*from, *to)).collect();
        let waits = |n: &Node| n.deadline().is_some_and(|d| d <= LATER.mono);
        moves.extend(self.nodes.iter().filter(|(_, n)| waits(n)).map(|(id, _)| Move::Finalize(*id)));
        moves.extend(self.unnoticed.iter().map(|id| Move::Notice(*id)));
        moves
    }

    fn make(&mut self, m: Move) {
        let (id, effects) = match m {
            Move::Deliver(from, to) => {
                let n = self.links.get_mut(&(from, to)).unwrap().pop_front().unwrap();
                (to, self.nodes.get_mut(&to).unwrap().step(BEGIN, Input::Vote(ServerId(from), n)))
            }
            Move::Finalize(id) => (id, self.nodes.get_mut(&id).unwrap().step(LATER, Input::Tick)),
            Move::Notice(id) => {
                self.unnoticed.remove(&id);
                (id, self.nodes.get_mut(&id).unwrap().leave(BEGIN))
            }
            Move::Repeat(id) => {
                self.repeats += 1;
                let now = Now { mono: Millis(self.repeats * 10_000_000), wall: 0 };
                (id, self.nodes.get_mut(&id).unwrap().step(now, Input::Tick))
            }
        };
        self.post(id, effects);
    }

    fn key(&self) -> String {
        let nodes: Vec<String> = self.nodes.values().map(Node::key).collect();
        let links: Vec<_> = self.links.iter().filter(|(_, l)| !l.is_empty()).collect();
        format!("{nodes:?}{links:?}{:?}", self.unnoticed)
    }
}

/// What time would bring: a leader that does not lead cannot be reached, one that too few follow gives up, and votes
/// are sent again.
fn forlorn(world: &World) -> Option<Move> {
    let leader = |id: &i64| world.nodes.get(id).and_then(Node::leader);
    let followed = |l: i64| world.nodes.keys().filter(|id| leader(id) == Some(l)).count();
    let lost = |id: &&i64| leader(id).is_some_and(|l| leader(&l) != Some(l) || followed(l) < 2);
    let notice = world.nodes.keys().find(lost).map(|id| Move::Notice(*id));
    let looking = || world.nodes.keys().filter(|id| leader(id).is_none()).count();
    let turn = || usize::try_from(world.repeats).unwrap() % looking().max(1);
    notice.or_else(|| {
        world.nodes.keys().filter(|id| leader(id).is_none()).nth(turn()).map(|id| Move::Repeat(*id))
    })
}

/// Walks through all states that `begin` leads to. Those in which nothing happens by itself any more go on until
/// everybody has what it can reach, and are looked at then.
///
/// Worlds cannot be copied, so each is made anew from the moves that led to it.
fn walk(rounds: i64, begin: impl Fn() -> World, end: impl Fn(&World)) -> usize {
    let mut seen = HashSet::new();
    let mut open: Vec<Vec<Move>> = vec![Vec::new()];
    while let Some(path) = open.pop() {
        let mut world = begin();
        path.iter().for_each(|m| world.make(*m));
        if !seen.insert(world.key()) {
            continue;
        }
        // A new round begins where a decision came too early for somebody. Rounds without end are possible as long as
        // all waits do, so from there on only one of the orders is gone through.
        let moves = world.moves();
        if moves.is_empty() || world.nodes.values().any(|n| n.me.round > rounds) {
            for _ in 0..200 {
                let Some(next) = world.moves().first().copied().or_else(|| forlorn(&world)) else { break };
                world.make(next);
            }
            end(&world);
            continue;
        }
        open.extend(moves.into_iter().map(|m| path.iter().copied().chain([m]).collect()));
    }
    seen.len()
}

fn all_agree(world: &World) {
    let leaders: Vec<_> = world.nodes.values().map(Node::leader).collect();
    let one = leaders[0].unwrap_or_else(|| panic!("{}", world.key()));
    assert!(leaders.iter().all(|l| *l == Some(one)), "{leaders:?}");
    assert!(world.nodes.contains_key(&one), "{one} is dead");
}

#[test]
fn a_cold_start_ends_with_one_leader_in_every_order() {
    let states = walk(1, || World::cold(&[(1, EMPTY), (2, EMPTY), (3, EMPTY)]), all_agree);
    assert!(states > 1000, "{states}");
}

#[test]
fn different_histories_end_with_one_leader_in_every_order() {
    let states =
        walk(1, || World::cold(&[(1, history(1, 9)), (2, history(2, 1)), (3, history(1, 8))]), all_agree);
    assert!(states > 1000, "{states}");
}

#[test]
fn two_orphans_end_with_the_better_one_in_every_order() {
    let states = walk(2, World::orphaned, |world| {
        all_agree(world);
        assert_eq!(world.nodes[&1].leader(), Some(2));
    });
    assert!(states > 10, "{states}");
}

#[test]
fn beside_a_wiped_server_the_others_elect_in_every_order() {
    let states = walk(
        1,
        || World::cold(&[(1, history(1, 8)), (2, history(1, 8)), (3, EMPTY)]),
        |world| {
            all_agree(world);
            assert_eq!(world.nodes[&1].leader(), Some(2));
        },
    );
    assert!(states > 500, "{states}");
}

#[test]
fn one_server_and_a_wiped_one_elect_nobody_in_any_order() {
    let states = walk(
        1,
        || World::cold(&[(1, history(1, 8)), (3, EMPTY)]),
        |world| assert!(world.nodes.values().all(|n| n.leader().is_none())),
    );
    assert!(states >= 5, "{states}");
}
