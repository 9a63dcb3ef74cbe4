//! Packets, votes and introductions to bytes and back. No socket here.
//!
//! Invariant: what these writers write, the reference reads, and these readers read back as the same value; a reader
//! holds no more than what arrived, and a number in the bytes only ever makes it wait or refuse.

pub mod extent;
pub mod hello;
pub mod packet;
pub mod vote;

pub use extent::Extent;
pub use hello::Hello;

use jute::DecodeError;
use std::fmt;

/// Who wrote the packets that are read: PING and REVALIDATE look different from either side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// A learner, to its leader or to a follower for observers.
    Learner,
    /// A leader, or a follower that takes observers.
    Leader,
}

/// Why bytes of another server cannot be used. The connection they came on is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerError {
    /// A field does not hold what it must.
    Record(&'static str, DecodeError),
    /// A field that must be there is null.
    Null(&'static str),
    /// More bytes than are taken.
    Length {
        /// Of what.
        what: &'static str,
        /// As it was announced, or as it came.
        length: i64,
        /// What would be taken at most.
        most: usize,
    },
    /// An introduction that is none.
    Hello(&'static str),
}

impl fmt::Display for PeerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(what, e) => write!(f, "{what}: {e}"),
            Self::Null(what) => write!(f, "{what} without data"),
            Self::Length { what, length, most } => {
                write!(f, "{what} of {length} bytes, 0 to {most} are taken")
            }
            Self::Hello(why) => write!(f, "an introduction with {why}"),
        }
    }
}

impl std::error::Error for PeerError {}

#[cfg(test)]
mod tests;
