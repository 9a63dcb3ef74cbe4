//! The simulator. See `tests/sim.rs`.

pub mod bugs;
pub mod client;
pub mod disk;
pub mod door;
pub mod faults;
pub mod mutations;
pub mod net;
pub mod perform;
pub mod plan;
pub mod rng;
pub mod rows;
pub mod runner;
pub mod server;
pub mod storage;
pub mod truth;
pub mod wires;
pub mod world;
