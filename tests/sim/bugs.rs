//! Which planted bug is at work, if any, and the hunt for them.

pub use quoll::types::planted::Bug;

/// Is this bug planted?
pub fn is(bug: Bug) -> bool {
    quoll::types::planted::is(bug)
}

/// Looks for a seed that shows a bug, without the help of what only the world can know.
#[cfg(feature = "planted-bugs")]
pub fn hunt(bug: Bug, from: u64, within: u64) -> Option<(u64, String)> {
    use super::plan::Plan;
    use super::runner::run_with;
    use std::sync::atomic::{AtomicU64, Ordering};
    let (next, found) = (AtomicU64::new(from), AtomicU64::new(u64::MAX));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let work = || {
            quoll::types::planted::plant(Some(bug));
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= from + within || seed > found.load(Ordering::Relaxed) {
                    return None;
                }
                let outcome = run_with(Plan::new(seed), |world| world.invariants = false);
                if let Some(why) = outcome.failure {
                    found.fetch_min(seed, Ordering::Relaxed);
                    return Some((seed, why));
                }
            }
        };
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let results: Vec<_> = handles.into_iter().filter_map(|h| h.join().expect("a hunt")).collect();
        results.into_iter().min()
    })
}
