//! Jute: the archive format of the Apache ZooKeeper protocol, its records and its code tables.
//!
//! This crate turns bytes into records and back, and nothing else: it knows no socket, no file, no tree and
//! no validation rule beyond the archive's own. Reading borrows from the input ([`Reader`]), so strings and
//! buffers of a request are slices of the frame they came in.
//!
//! Invariant: no allocation is ever sized by a number read from the wire, and no input makes it panic.

pub mod codes;
mod error;
mod macros;
mod reader;
mod record;
pub mod records;
pub mod text;
pub mod writer;

pub use codes::{
    AddWatchMode, CreateMode, ErrorCode, EventType, KeeperState, OpCode, PacketType, WatcherType,
};
pub use error::DecodeError;
pub use reader::Reader;
pub use record::{Record, decode_exact, encode};
pub use text::Text;
