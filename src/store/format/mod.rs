//! What the bytes on disk mean. Everything below is a pure function of its input: no file, no clock, no log line.
//!
//! Invariant: no input makes these parsers panic, and none makes them allocate more than the input's own size
//! or the limit they were given. `docs/DISK.md` draws every structure.

pub mod compress;
pub mod epoch;
pub mod log;
pub mod mark;
pub mod names;
pub mod snapshot;
