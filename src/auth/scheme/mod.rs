//! What each scheme knows: the form of its names, and when one matches another.

pub mod digest;
pub mod ip;
