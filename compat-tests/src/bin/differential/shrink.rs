//! Makes a failing sequence small: steps are left out as long as the same difference remains.
//!
//! Invariant: what it returns still fails in the same way; and it stops after a bounded number of runs and a
//! bounded time.

use std::time::{Duration, Instant};

use crate::clock;
use crate::duel::{Difference, Duel};
use crate::step::Step;

/// Runs of one search: beyond it the result is merely not the smallest one.
const RUNS: usize = 400;
/// The same for its time, which goes quickly where a server does not answer.
const TIME: Duration = Duration::from_secs(15);

struct Search<'a> {
    duel: &'a mut Duel,
    signature: String,
    exact_sessions: bool,
    runs: usize,
    until: Instant,
}

impl Search<'_> {
    fn fails(&mut self, steps: &[Step]) -> Option<Difference> {
        if self.runs >= RUNS || clock::now() > self.until {
            return None;
        }
        self.runs += 1;
        let found = self.duel.run(steps, self.exact_sessions);
        found.into_iter().find(|d| d.signature() == self.signature)
    }
}

/// A smaller sequence with the same difference, or `None` when it does not happen again.
pub(crate) fn shrink(
    duel: &mut Duel,
    steps: &[Step],
    found: &Difference,
    exact_sessions: bool,
) -> Option<(Vec<Step>, Difference)> {
    let mut search =
        Search { duel, signature: found.signature(), exact_sessions, runs: 0, until: clock::now() + TIME };
    let mut best: Vec<Step> = steps.iter().take(found.at + 1).cloned().collect();
    let mut last = search.fails(&best)?;
    let mut size = best.len().div_ceil(2);
    while size > 0 {
        let mut start = 0;
        let mut shorter = false;
        while start < best.len() {
            let end = (start + size).min(best.len());
            let without: Vec<Step> = best
                .iter()
                .enumerate()
                .filter(|(i, _)| !(start..end).contains(i))
                .map(|(_, s)| s.clone())
                .collect();
            match search.fails(&without) {
                Some(d) => {
                    best = without;
                    last = d;
                    shorter = true;
                }
                None => start = end,
            }
        }
        size = if size == 1 && shorter { 1 } else { size / 2 };
    }
    split_bursts(&mut search, &mut best, &mut last);
    Some((best, last))
}

/// Leaves out requests of bursts.
fn split_bursts(search: &mut Search<'_>, best: &mut Vec<Step>, last: &mut Difference) {
    let mut at = 0;
    while let Some(step) = best.get(at).cloned() {
        let Step::Send { slot, reqs } = step else {
            at += 1;
            continue;
        };
        let smaller = (0..reqs.len()).filter(|_| reqs.len() > 1).find_map(|drop| {
            let mut fewer = reqs.clone();
            fewer.remove(drop);
            let mut steps = best.clone();
            if let Some(place) = steps.get_mut(at) {
                *place = Step::Send { slot, reqs: fewer };
            }
            search.fails(&steps).map(|d| (steps, d))
        });
        match smaller {
            Some((steps, d)) => {
                *best = steps;
                *last = d;
            }
            None => at += 1,
        }
    }
}
