//! `quoll log`: transaction logs, record by record.

mod dump;
mod examine;
mod repair;
mod salvage;
mod text;
mod verify;

pub(super) use dump::dump;
pub(super) use examine::{Examination, examine};
pub(super) use repair::repair;
pub(super) use verify::verify;
