//! The tools that look after a server's files: looking into snapshots and logs, checking a whole directory,
//! repairing, purging, backing up and restoring. They work on what Quoll wrote and on what Apache ZooKeeper
//! 3.4 to 3.9 wrote, and they need no server; a running one is not disturbed.
//!
//! Not here: what the bytes mean (`store::format`), how a server recovers (`store::recover`), what a
//! transaction does (`state`). The tools ask those rooms, so that what a tool says is what a server does.
//!
//! Invariants: a tool that only looks never changes anything, because all its access goes through
//! `observe`, which has no way to; a tool that changes something leaves what was there under another name.
//! Exit codes: 0 fine, 1 damage or a difference was found, 2 the question could not be answered.

mod backup;
pub mod cli;
mod clock;
mod data;
mod failure;
mod io;
mod log;
#[cfg(test)]
mod meanwhile;
mod observe;
mod output;
mod place;
mod purge;
mod rehearse;
mod snapshot;

pub use cli::{Tool, run};
