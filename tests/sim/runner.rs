//! Many seeds on many threads, with sums; and one failing seed made small.
//!
//! Invariant: a seed's run depends on nothing but the seed and what was left out of its plan.

use super::plan::{KINDS, Plan};
use super::world::{Outcome, World};
use crate::check::Judged;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Sums over many runs.
#[derive(Debug, Default, Clone)]
pub struct Sums {
    pub seeds: u64,
    pub events: u64,
    pub counts: [u64; KINDS.len()],
    pub judged: Judged,
    /// Two transactions for each hash, so that the sum of two runs can be compared.
    pub trace: u64,
    pub failures: Vec<(u64, String)>,
}

impl Sums {
    fn add(&mut self, seed: u64, outcome: Outcome) {
        self.seeds += 1;
        self.events += outcome.events;
        for (sum, n) in self.counts.iter_mut().zip(outcome.counts) {
            *sum += n;
        }
        let (sum, one) = (&mut self.judged, outcome.judged);
        sum.txns += one.txns;
        sum.calls += one.calls;
        sum.reads += one.reads;
        sum.events += one.events;
        sum.due += one.due;
        sum.searched += one.searched;
        self.trace ^= outcome.trace.wrapping_mul(seed | 1);
        if let Some(why) = outcome.failure {
            self.failures.push((seed, why));
        }
    }

    fn join(&mut self, other: Self) {
        let Self { seeds, events, counts, judged, trace, failures } = other;
        self.seeds += seeds;
        self.events += events;
        for (sum, n) in self.counts.iter_mut().zip(counts) {
            *sum += n;
        }
        let sum = &mut self.judged;
        sum.txns += judged.txns;
        sum.calls += judged.calls;
        sum.reads += judged.reads;
        sum.events += judged.events;
        sum.due += judged.due;
        sum.searched += judged.searched;
        self.trace ^= trace;
        self.failures.extend(failures);
    }

    /// For people.
    pub fn report(&self) -> String {
        let j = &self.judged;
        let mut text = format!(
            "{} seeds, {} events, trace {:016x}\n{} transactions, {} answers, {} compared with a state, {} events of \
             watches ({} due), {} operations ordered by search\n",
            self.seeds, self.events, self.trace, j.txns, j.calls, j.reads, j.events, j.due, j.searched
        );
        for kind in KINDS {
            let _ = writeln!(text, "{:>9} {kind:?}", self.counts[kind as usize]);
        }
        text
    }
}

/// Runs one plan. A panic is a failure like any other.
pub fn run(plan: Plan) -> Outcome {
    run_with(plan, |_| {})
}

/// The same, with a hand on the world before it starts.
pub fn run_with(plan: Plan, prepare: impl FnOnce(&mut World)) -> Outcome {
    let mut world = World::new(plan);
    prepare(&mut world);
    match catch_unwind(AssertUnwindSafe(|| world.run())) {
        Ok(outcome) => outcome,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            let mut outcome = world.outcome();
            outcome.failure = Some(format!("panic: {}", text.unwrap_or_default()));
            outcome
        }
    }
}

/// The plan of a seed with only these of its steps.
pub fn keep(seed: u64, steps: &[usize]) -> Plan {
    let mut plan = Plan::new(seed);
    plan.steps = steps.iter().filter_map(|n| plan.steps.get(*n).copied()).collect();
    plan
}

/// Runs seeds on all processors, until they are done or some have failed.
pub fn many(from: u64, count: u64, stop_at: u64) -> Sums {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, failed, stop) = (AtomicU64::new(from), AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let work = || {
            let mut sums = Sums::default();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= from + count || stop.load(Ordering::Relaxed) {
                    return sums;
                }
                let outcome = run(Plan::new(seed));
                if outcome.failure.is_some() && failed.fetch_add(1, Ordering::Relaxed) + 1 >= stop_at {
                    stop.store(true, Ordering::Relaxed);
                }
                sums.add(seed, outcome);
            }
        };
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut all = Sums::default();
        for handle in handles {
            all.join(handle.join().expect("a thread of runs"));
        }
        all.failures.sort();
        all
    })
}

/// Leaves out faults as long as the run still breaks the same rule. Returns the steps that are left.
pub fn shrink(seed: u64, why: &str) -> (Vec<usize>, String) {
    let rule = |why: &str| why.split([':', ' ']).next().unwrap_or_default().to_owned();
    let wanted = rule(why);
    let mut steps: Vec<usize> = (0..Plan::new(seed).steps.len()).collect();
    let mut last = why.to_owned();
    let mut size = steps.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        while at < steps.len() {
            let mut fewer = steps.clone();
            fewer.drain(at..(at + size).min(fewer.len()));
            match run(keep(seed, &fewer)).failure {
                Some(why) if rule(&why) == wanted => (steps, last) = (fewer, why),
                _ => at += size,
            }
        }
        size /= 2;
    }
    (steps, last)
}
