//! Sessions: who is alive, until when, and the password that proves it.

pub mod password;
mod tracker;

pub use tracker::{SessionFault, SessionIds, Tracker, Via};
