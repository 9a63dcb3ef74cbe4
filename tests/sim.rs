//! Whole replicas with the real state and the real store, on one thread, under virtual time and every fault that
//! a seed asks for; what clients saw is judged by `tests/check`.
//!
//! `scripts/sim` runs many seeds, or one again with all that happened in it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops where it is wrong"
)]
#![allow(unreachable_pub, reason = "one crate of tests")]
#![allow(dead_code, reason = "the checkers also serve the suite that breaks real servers")]
#![allow(clippy::wrong_self_convention, reason = "a world is told what comes from whom, and to whom it goes")]

mod check;
#[path = "sim/mod.rs"]
mod sim;

use sim::plan::{KINDS, Plan};
use sim::runner::{self, Sums};

/// What a full run must reach: seeds, events, and each kind of fault.
const FLOORS: (u64, u64, u64) = (20_000, 250_000_000, 1_000);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|v| v.parse().expect("a number"))
}

/// What is checked out: a seed's plan may mean another run in another state of the sources.
fn commit() -> String {
    let asked = std::process::Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    let name = asked
        .ok()
        .filter(|o| o.status.success())
        .map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned());
    name.unwrap_or_else(|| "unknown".to_owned())
}

/// Says all there is to say about a failure, and how to see it again.
fn explain(seed: u64, why: &str) -> String {
    if std::env::var_os("SIM_RAW").is_some() {
        return format!("seed {seed}: {why}");
    }
    let whole = runner::run(Plan::new(seed));
    let (steps, last) = runner::shrink(seed, why);
    let plan = Plan::new(seed);
    let kinds: Vec<String> = steps.iter().map(|n| format!("{:?}", plan.steps[*n].kind)).collect();
    let list: Vec<String> = steps.iter().map(ToString::to_string).collect();
    format!(
        "seed {seed} at commit {}, trace {:016x}: {why}\n  with {kinds:?}: {last}\n  again: scripts/sim --seed {seed} \
         --keep {} --trace",
        commit(),
        whole.trace,
        if list.is_empty() { "none".to_owned() } else { list.join(",") }
    )
}

fn judge(sums: &Sums) {
    println!("{}", sums.report());
    if sums.failures.is_empty() {
        return;
    }
    let shown: Vec<String> = sums
        .failures
        .iter()
        .take(if std::env::var_os("SIM_RAW").is_some() { 100 } else { 5 })
        .map(|(seed, why)| explain(*seed, why))
        .collect();
    panic!("{} of {} seeds failed\n{}", sums.failures.len(), sums.seeds, shown.join("\n"));
}

#[test]
fn seeds() {
    let floors = std::env::var_os("SIM_FLOORS").is_some();
    let count = number("SIM_SEEDS").unwrap_or(if floors { FLOORS.0 } else { 100 });
    let sums = runner::many(number("SIM_FROM").unwrap_or(1), count, number("SIM_STOP").unwrap_or(5));
    judge(&sums);
    if floors {
        assert!(sums.seeds >= FLOORS.0, "{} seeds are fewer than {}", sums.seeds, FLOORS.0);
        assert!(sums.events >= FLOORS.1, "{} events are fewer than {}", sums.events, FLOORS.1);
        for kind in KINDS {
            let n = sums.counts[kind as usize];
            assert!(n >= FLOORS.2, "{kind:?} happened {n} times, less often than {}", FLOORS.2);
        }
    }
}

#[test]
fn equal_plans_are_equal_runs() {
    for seed in 1..=number("SIM_TWICE").unwrap_or(100) {
        let (one, two) = (runner::run(Plan::new(seed)), runner::run(Plan::new(seed)));
        assert_eq!((one.trace, one.events), (two.trace, two.events), "seed {seed}");
    }
}

/// One seed, told from start to end.
#[test]
#[ignore = "for scripts/sim --seed"]
fn one() {
    let seed = number("SIM_SEED").expect("SIM_SEED");
    let mut plan = Plan::new(seed);
    if let Ok(list) = std::env::var("SIM_KEEP") {
        let steps: Vec<usize> = list.split(',').filter_map(|n| n.parse().ok()).collect();
        plan = runner::keep(seed, &steps);
    }
    println!("{plan:#?}");
    let mut world = sim::world::World::new(plan);
    if std::env::var_os("SIM_TRACE").is_some() {
        world.aloud = true;
    }
    let outcome = world.run();
    println!("seed {seed}: {} events, trace {:016x}, {:?}", outcome.events, outcome.trace, outcome.judged);
    if let Some(why) = outcome.failure {
        panic!("seed {seed}: {why}");
    }
}

#[test]
fn spoiled_histories_are_found_out() {
    let found = sim::mutations::spoil_all();
    let sum: usize = found.values().sum();
    println!("{sum} spoiled histories, by the rule that found them: {found:?}");
    assert!(sum >= 200, "{sum} are fewer than 200");
    sim::mutations::lying_zxids();
    sim::mutations::lines();
}

/// Every planted bug, within so many seeds.
#[cfg(feature = "planted-bugs")]
#[test]
fn planted_bugs_are_found() {
    const WITHIN: u64 = 2_000;
    let missed: Vec<_> = quoll::types::planted::ALL
        .into_iter()
        .filter(|bug| {
            let found = sim::bugs::hunt(*bug, 1, WITHIN);
            match &found {
                Some((seed, why)) => println!("{bug:?}: seed {seed}: {why}"),
                None => println!("{bug:?}: not found in {WITHIN} seeds"),
            }
            found.is_none()
        })
        .collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
}

/// Seeds that have failed once.
#[test]
fn seeds_that_have_failed_once() {
    for line in include_str!("sim/seeds.txt").lines() {
        let (what, why) = line.split_once('#').unwrap_or((line, ""));
        let mut words = what.split_whitespace();
        let Some(seed) = words.next() else { continue };
        let seed: u64 = seed.parse().expect("a seed");
        let plan = match words.next() {
            None => Plan::new(seed),
            Some(list) => {
                let steps: Vec<usize> = list.split(',').filter_map(|n| n.parse().ok()).collect();
                runner::keep(seed, &steps)
            }
        };
        if let Some(failure) = runner::run(plan).failure {
            panic!("seed {seed} fails again ({}): {failure}", why.trim());
        }
    }
}
