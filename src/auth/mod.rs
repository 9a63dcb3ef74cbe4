//! Who is asking, what a scheme matches, and whether they may. This room sees no tree, no socket, no file.

pub mod acl;
pub mod identity;
pub mod rules;
pub mod scheme;

pub use acl::{AccessList, AclEntry};
pub use identity::Identity;
pub use rules::{AuthSettings, Rules, mask};
