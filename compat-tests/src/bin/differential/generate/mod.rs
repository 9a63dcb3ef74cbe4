//! Random sequences. The generator keeps a rough idea of the tree, so that many requests succeed; being wrong
//! about it costs nothing.
//!
//! Invariant: a seed and a length make one sequence, on every machine.

mod requests;

use std::collections::{BTreeMap, VecDeque};

use jute::OpCode;

use crate::garbage::{self, NO_OPERATIONS};
use crate::request::{self as r, Req, Str};
use crate::rng::Rng;
use crate::step::{Greeting, Passwd, SLOTS, Seen, Step, Wanted};

#[derive(Debug, Clone, Default)]
struct Node {
    version: i32,
    aversion: i32,
    creations: i32,
    owner: Option<usize>,
}

type Tree = BTreeMap<String, Node>;

struct Generator {
    rng: Rng,
    root: String,
    tree: Tree,
    /// Whether each slot is believed to have a connection.
    up: [bool; SLOTS],
    steps: Vec<Step>,
    left: usize,
    /// Paths that were watched lately.
    watched: VecDeque<Str>,
}

/// The name of a seed's own part of the tree.
pub(crate) fn root_of(seed: u64) -> String {
    format!("/s{seed}")
}

/// The sequence of a seed.
pub(crate) fn sequence(seed: u64, requests: usize) -> Vec<Step> {
    let mut g = Generator {
        rng: Rng::new(seed),
        root: root_of(seed),
        tree: Tree::new(),
        up: [false; SLOTS],
        steps: Vec::new(),
        left: requests,
        watched: VecDeque::new(),
    };
    g.start();
    while g.left > 0 {
        g.step();
    }
    g.steps
}

impl Generator {
    fn push(&mut self, step: Step) {
        self.left = self.left.saturating_sub(step.weight());
        self.steps.push(step);
    }

    fn send(&mut self, slot: usize, reqs: Vec<Req>) {
        self.push(Step::Send { slot, reqs });
    }

    fn start(&mut self) {
        let slots = 2 + self.rng.below(SLOTS - 1);
        for slot in 0..slots {
            self.greet_new(slot);
        }
        let root = self.root.clone();
        self.tree.insert(root.clone(), Node::default());
        let mut first = vec![r::create(&root, 0)];
        for name in ["a", "b", "c"] {
            let path = format!("{root}/{name}");
            self.tree.insert(path.clone(), Node::default());
            first.push(r::create(path, 0));
        }
        self.send(0, first);
    }

    fn up_slots(&self) -> Vec<usize> {
        (0..SLOTS).filter(|s| self.up.get(*s) == Some(&true)).collect()
    }

    fn set_up(&mut self, slot: usize, up: bool) {
        if let Some(place) = self.up.get_mut(slot) {
            *place = up;
        }
    }

    fn step(&mut self) {
        let up = self.up_slots();
        if up.is_empty() {
            let slot = self.rng.below(SLOTS);
            return self.greet_new(slot);
        }
        let slot = *self.rng.pick(&up);
        match self.rng.weighted(&[600, 170, 14, 22, 8, 12, 5, 14, 6]) {
            0 => {
                let req = self.request(slot);
                self.send(slot, vec![req]);
            }
            1 => {
                let n = 2 + self.rng.below(9);
                let mut burst = self.burst(slot, n);
                if self.rng.one_in(6) {
                    burst.insert(0, self.login());
                }
                self.send(slot, burst);
            }
            2 => {
                let slot = self.rng.below(SLOTS);
                self.greet_new(slot);
            }
            3 => self.renew(slot),
            4 => {
                self.push(Step::Drop { slot });
                self.set_up(slot, false);
            }
            5 => {
                let login = self.login();
                self.send(slot, vec![login]);
            }
            6 => self.end(slot),
            7 => self.quota(slot),
            _ => {
                let paths = self.node_paths();
                self.send(slot, paths.iter().take(12).map(|p| r::get(p, false)).collect());
            }
        }
    }

    /// Requests for one write. A setACL is the last of them: the reference checks the writes behind it against
    /// the new list or the old one, as its threads happen to run.
    fn burst(&mut self, slot: usize, n: usize) -> Vec<Req> {
        let mut burst = Vec::new();
        while burst.len() < n && burst.last().is_none_or(|r: &Req| r.op != OpCode::SetAcl.code()) {
            burst.push(self.request(slot));
        }
        burst
    }

    fn node_paths(&self) -> Vec<String> {
        self.tree.keys().cloned().collect()
    }

    fn greet_new(&mut self, slot: usize) {
        let mut g = Greeting::plain();
        g.read_only = *self.rng.pick(&[Some(false), Some(false), Some(true), None]);
        g.passwd = *self.rng.pick(&[Passwd::Right, Passwd::Right, Passwd::Null, Passwd::Short, Passwd::Long]);
        g.timeout = *self.rng.pick(&[40_000, 40_000, 30_000, 60_000, i32::MAX]);
        g.seen = *self.rng.pick(&[Seen::Exactly(0), Seen::Last(0), Seen::Last(-3), Seen::Exactly(-5)]);
        if self.rng.one_in(8) {
            g.behind = self.burst(slot, 3);
        }
        if g.read_only.is_some() && self.rng.one_in(10) {
            g.trailing = vec![1, 2, 3];
        }
        self.push(Step::Greet { slot, greeting: g });
        self.set_up(slot, true);
    }

    /// A session comes back, or tries to.
    fn renew(&mut self, slot: usize) {
        let mut g = Greeting::plain();
        g.read_only = *self.rng.pick(&[Some(false), Some(true), None]);
        let mut up = true;
        match self.rng.below(12) {
            // A wrong password for a session that is in use would end the other connection first: see the
            // directed sequences.
            0 => {
                self.push(Step::Drop { slot });
                g.wanted = Wanted::OfSlot(slot);
                g.passwd = *self.rng.pick(&[Passwd::Wrong, Passwd::Null, Passwd::Short, Passwd::Long]);
                up = false;
            }
            1 => {
                g.wanted =
                    Wanted::Unknown(*self.rng.pick(&[1, -1, i64::MIN, i64::MAX, 0x0100_0000_0000_0000]));
                up = false;
            }
            2 => {
                g.wanted = Wanted::OfSlot(slot);
                g.seen = Seen::Last(*self.rng.pick(&[1, 1000, 1 << 40]));
                up = false;
            }
            3 => {
                let other = self.rng.below(SLOTS);
                g.wanted = Wanted::OfSlot(other);
                if other != slot {
                    self.set_up(other, false);
                }
            }
            n => {
                g.wanted = Wanted::OfSlot(slot);
                g.steal = n < 6;
                g.seen = Seen::Last(0);
            }
        }
        if up && self.rng.one_in(3) {
            g.behind = vec![self.watches_again()];
        }
        self.push(Step::Greet { slot, greeting: g });
        self.set_up(slot, up);
    }

    /// Something that ends the connection.
    fn end(&mut self, slot: usize) {
        match self.rng.below(5) {
            0 | 1 => {
                let before = self.request(slot);
                self.send(slot, vec![before, r::bare(OpCode::CloseSession)]);
                self.tree.retain(|_, n| n.owner != Some(slot));
            }
            2 => {
                let op = *self.rng.pick(NO_OPERATIONS);
                self.send(slot, vec![garbage::no_operation(op)]);
            }
            3 => {
                let frames = garbage::bad_frames();
                let (text, bytes) = self.rng.pick(&frames).clone();
                self.push(Step::Bytes { slot, bytes, text: text.into(), wait: true });
            }
            _ => {
                let req = match self.rng.below(3) {
                    0 => r::auth("nonsense", Some(b"x")),
                    1 => r::auth("world", Some(b"anyone")),
                    _ => r::auth("", Some(b"")),
                };
                self.send(slot, vec![req]);
            }
        }
        self.set_up(slot, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_one_sequence() {
        assert_eq!(sequence(3, 300), sequence(3, 300));
        assert_ne!(sequence(3, 300), sequence(4, 300));
        let weight: usize = sequence(5, 400).iter().map(Step::weight).sum();
        assert!((400..430).contains(&weight), "{weight}");
    }

    /// The one request that ends the reference must never be made.
    #[test]
    fn no_ttl_without_a_mode_is_negative() {
        for seed in 0..200 {
            for step in sequence(seed, 300) {
                let Step::Send { reqs, .. } = step else { continue };
                for req in reqs.iter().filter(|q| q.op == OpCode::CreateTtl.code()) {
                    let bad = req.text.contains("ttl=-")
                        && !req.text.contains("flags=5")
                        && !req.text.contains("flags=6");
                    assert!(!bad, "{}", req.text);
                }
            }
        }
    }
}
