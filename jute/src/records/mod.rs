//! Every record of the protocol: one file per module of the reference's definitions, in its order.

pub mod data;
pub mod persistence;
pub mod proto;
pub mod quorum;
pub mod txn;
