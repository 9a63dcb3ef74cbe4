//! `quoll snapshot`: one snapshot file, or two, read as a stream. Compressed ones too.

mod compare;
mod dump;
mod scan;
mod soundness;
mod summary;
mod verify;

pub(super) use compare::compare;
pub(super) use dump::dump;
pub(super) use scan::Source;
pub(super) use soundness::{Examination, examine};
pub(super) use summary::summary;
pub(super) use verify::verify;
