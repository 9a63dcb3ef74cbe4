//! The client port: accepting, the handshake, one task for each connection, its outbox and its lane.

pub mod conn;
pub mod lane;
pub mod listener;
pub mod outbox;
pub mod service;
mod tally;
mod task;

pub use conn::{Conn, ConnStats, Phase};
pub use lane::{Lane, Waiting};
pub use listener::{Doorman, ListenSettings, Listener, serve};
pub use outbox::Outbox;
pub use service::{Driver, Service};
pub use tally::{Reads, Tally};
pub use task::answer;
