//! Names for numbers, and the few values that cross rooms. This room imports nothing.

pub mod ids;
pub mod limits;
pub mod owner;
pub mod path;
pub mod patience;
pub mod planted;
pub mod proof;
pub mod time;

pub use ids::{ConnId, Epoch, EpochFile, LinkId, ServerId, SessionId, Zxid};
pub use owner::Owner;
pub use patience::Patience;
pub use proof::{Committed, Entry, Flushed};
pub use time::{Millis, Now};
