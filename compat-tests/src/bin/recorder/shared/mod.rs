//! What is shared with the simulation: a client that speaks the protocol byte by byte, and its source of chance.
//!
//! Nothing of it is copied. Invariant: it knows no socket and no clock.

#[path = "../../../../../tests/sim/client.rs"]
pub(crate) mod client;
#[path = "../../../../../tests/sim/rng.rs"]
pub(crate) mod rng;
