//! The order of transactions. A payload is never looked into here: only zxids, acks and commits count.

mod solo;

pub use solo::Solo;
