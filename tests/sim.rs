//! Whole replicas with the real state and the real store, on one thread, under virtual time and every fault that
//! a seed asks for; what clients saw is judged by `tests/check`.
//!
//! `scripts/sim` runs many seeds, or one again with all that happened in it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops where it is wrong"
)]
#![allow(unreachable_pub, reason = "one crate of tests")]

mod check;
#[path = "sim/mod.rs"]
mod sim;

use sim::plan::Plan;
use sim::world::World;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|v| v.parse().expect("a number"))
}

#[test]
fn seeds() {
    let from = number("SIM_FROM").unwrap_or(1);
    let count = number("SIM_SEEDS").unwrap_or(20);
    for seed in from..from + count {
        let mut world = World::new(Plan::new(seed));
        if std::env::var_os("SIM_TRACE").is_some() {
            world.told = Some(Vec::new());
        }
        let outcome = world.run();
        if let Some(why) = &outcome.failure {
            for line in world.told.iter().flatten() {
                println!("{line}");
            }
            panic!("seed {seed}: {why}");
        }
        println!(
            "seed {seed}: {} events, {} calls, trace {:016x}",
            outcome.events, outcome.calls, outcome.trace
        );
    }
}
