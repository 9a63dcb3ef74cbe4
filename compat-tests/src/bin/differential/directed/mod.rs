//! Sequences written by hand: one per trap of the protocol, so that none depends on luck.
//!
//! They expect nothing; the reference beside them is the expectation. Invariant: a sequence works below its
//! own root, and one that shows a known deviation ends with it.

mod access;
mod handshake;
mod multis;
mod reads;
mod sessions;
mod watches;
mod wire;
mod writes;

use crate::request::{Req, create};
use crate::step::{Greeting, Step};

/// A named sequence.
#[derive(Debug, Clone)]
pub(crate) struct Directed {
    pub(crate) name: &'static str,
    pub(crate) steps: Vec<Step>,
    pub(crate) exact_sessions: bool,
    /// Made to show a deviation.
    pub(crate) deviates: bool,
}

/// Collects the steps of one sequence.
#[derive(Debug)]
struct Script {
    root: String,
    steps: Vec<Step>,
}

impl Script {
    /// A path below the sequence's root.
    fn at(&self, rest: &str) -> String {
        format!("{}{rest}", self.root)
    }

    fn greet(&mut self, slot: usize, greeting: Greeting) {
        self.steps.push(Step::Greet { slot, greeting });
    }

    /// A new session in the slot.
    fn connect(&mut self, slot: usize) {
        self.greet(slot, Greeting::plain());
    }

    /// One request after the other.
    fn each(&mut self, slot: usize, reqs: impl IntoIterator<Item = Req>) {
        self.steps.extend(reqs.into_iter().map(|r| Step::Send { slot, reqs: vec![r] }));
    }

    /// All at once.
    fn burst(&mut self, slot: usize, reqs: impl IntoIterator<Item = Req>) {
        self.steps.push(Step::Send { slot, reqs: reqs.into_iter().collect() });
    }

    fn drop(&mut self, slot: usize) {
        self.steps.push(Step::Drop { slot });
    }

    fn bytes(&mut self, slot: usize, text: &str, bytes: Vec<u8>, wait: bool) {
        self.steps.push(Step::Bytes { slot, bytes, text: text.into(), wait });
    }

    fn first(&mut self, slot: usize, text: &str, bytes: Vec<u8>) {
        self.steps.push(Step::First { slot, bytes, text: text.into() });
    }

    fn barrier(&mut self) {
        self.steps.push(Step::Barrier);
    }
}

/// A script with connections in the first slots and its root created.
fn script(name: &'static str, connections: usize, write: impl FnOnce(&mut Script)) -> Directed {
    let mut s = Script { root: format!("/d-{name}"), steps: Vec::new() };
    for slot in 0..connections {
        s.connect(slot);
    }
    if connections > 0 {
        let root = s.root.clone();
        s.each(0, [create(root, 0)]);
    }
    write(&mut s);
    Directed { name, steps: s.steps, exact_sessions: false, deviates: false }
}

/// A script that shows a deviation, which is its last step.
fn deviating(name: &'static str, connections: usize, write: impl FnOnce(&mut Script)) -> Directed {
    Directed { deviates: true, ..script(name, connections, write) }
}

/// All of them, in the order in which they run.
pub(crate) fn all() -> Vec<Directed> {
    [
        handshake::all(),
        wire::all(),
        writes::all(),
        reads::all(),
        multis::all(),
        watches::all(),
        access::all(),
        sessions::all(),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique() {
        let all = super::all();
        let names: BTreeSet<_> = all.iter().map(|d| d.name).collect();
        assert_eq!(names.len(), all.len());
    }
}
