//! The data model: what a transaction does, what a read sees, who is told. No socket, clock or disk.

pub mod view;

pub use view::{NodeView, TreeView};
