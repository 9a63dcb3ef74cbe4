//! The data model: what a transaction does, what a read sees, who is told. No socket, clock or disk.

pub mod acl_table;
pub mod apply;
pub mod digest;
pub mod load;
pub mod machine;
pub mod quota;
pub mod read;
pub mod shared;
pub mod tree;
pub mod txn;
pub mod view;
pub mod walk;
pub mod watch;

pub use acl_table::AclId;
pub use apply::{Applied, Fired, Witness};
pub use digest::Share;
pub use load::{LoadError, Loader};
pub use machine::{Gauges, Machine, Settings};
pub use read::Caller;
pub use shared::Shared;
pub use txn::{Body, DecodedTxn, TxnError};
pub use view::{NodeView, TreeView};
pub use walk::SnapshotWalk;
pub use watch::{WatcherId, Watches};

use foldhash::fast::FixedState;
use std::hash::{BuildHasher, Hash};

/// Maps of this room: fixed seed, so that two servers fed alike do alike.
type Map<K, V> = hashbrown::HashMap<K, V, FixedState>;
/// Sets of this room.
type Set<T> = hashbrown::HashSet<T, FixedState>;

fn hash_of(value: impl Hash) -> u64 {
    FixedState::default().hash_one(value)
}

#[cfg(test)]
mod tests;
