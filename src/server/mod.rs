//! The only room that wires: it owns the threads, the clocks and the locks, performs what the replica decides,
//! and is imported by nobody.

mod abroad;
mod acks;
mod answers;
mod applier;
mod apply;
mod client_door;
pub mod clock;
mod config_files;
pub mod conns;
pub mod core;
mod disk;
pub mod facts;
mod greeting;
mod history;
mod known;
mod lookout;
mod member;
mod meter;
mod perform;
mod progress;
mod read_only;
mod reaper;
mod service;
pub mod shutdown;
mod snapshotter;
mod standing;
pub mod start;
#[cfg(test)]
mod tests;
pub mod throttle;
mod told;
mod transfer;
mod view;

pub use start::{StartError, run};
