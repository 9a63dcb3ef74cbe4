//! Quoll: a wire-compatible Apache ZooKeeper server.
//!
//! This file is the map: one line per room, in the order a write visits them. What a room may see of the
//! others is written in `docs/ARCHITECTURE.md` and kept by `tests/walls.rs`.

pub mod auth;
pub mod bench;
pub mod config;
pub mod net;
pub mod rebuild;
pub mod replica;
pub mod report;
pub mod server;
pub mod state;
pub mod store;
pub mod tools;
pub mod types;
pub mod wire;
