//! Sessions: who is alive, until when, and the password that proves it.

mod local;
pub mod password;
mod tracker;

pub use local::{Before, LocalSessions};
pub use tracker::{SessionFault, SessionIds, Strangers, Tracker, Via};
