//! The ports between servers: the mesh of election connections, and the links of the quorum port.
//!
//! Nothing is decided here: votes and packets are handed to a [`PeerService`] and come from its brain as values.
//! Invariant: no peer, whatever it sends or leaves unsent, delays another one, a listener, or whoever puts
//! something down to be sent; and nothing that a peer names as a number sizes an allocation.

pub mod codec;
pub mod links;
mod lobby;
pub mod mesh;
pub mod place;
pub mod service;
mod socket;

pub use links::{LinkSettings, Links};
pub use mesh::{Mesh, MeshSettings, Roster};
pub use place::{Door, Place};
pub use service::{Fed, Feed, Left, PeerService, SnapshotSink};

#[cfg(test)]
mod tests;
