//! Which planted bug is at work, if any.

pub use quoll::types::planted::Bug;

/// Is this bug planted?
pub fn is(bug: Bug) -> bool {
    quoll::types::planted::is(bug)
}
