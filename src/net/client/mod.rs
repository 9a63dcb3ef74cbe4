//! The client port: accepting, the handshake, one task for each connection, its outbox and its lane.

mod ahead;
mod answer;
pub mod budget;
pub mod conn;
mod frames;
pub mod gate;
pub mod lane;
pub mod listener;
pub mod outbox;
mod runner;
pub mod service;
mod socket;
mod tally;
mod task;

pub use ahead::Looked;
pub use answer::answer;
pub use budget::{Backlog, Budget};
pub use conn::{Conn, ConnStats, Phase};
pub use gate::{Gate, GateSettings, LargeRequests, RequestThrottle};
pub use lane::{Dropped, Held, Lane, Ready, Refused, Turn, Waiting};
pub use listener::{Doorman, ListenSettings, Listener, attend, serve};
pub use outbox::{Nudge, Outbox};
pub use service::{Driver, Pressure, Service};
pub use tally::{Reads, Tally};
