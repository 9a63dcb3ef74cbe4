//! Sockets. What arrives is framed and handed on; what is to be sent leaves in the order it was put down.
//!
//! This room decides nothing about the tree or the order: it asks a [`client::Service`] and a [`peer::PeerService`],
//! which the server room implements.

pub mod client;
pub mod peer;
