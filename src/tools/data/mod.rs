//! `quoll data verify`: everything about a server's directories at once.
//!
//! Each file is examined by itself, then the files together, and then a start is rehearsed by the very code
//! that a server starts with, over a layer that cannot change anything.

mod examine;
mod leftovers;
mod report;

use crate::tools::failure::{FINE, FOUND, Failure};
use crate::tools::output::Out;
use crate::tools::place::Place;
use std::path::Path;

pub(super) fn verify(
    out: &mut Out<'_>,
    data: &Path,
    logs: Option<&Path>,
    limit: usize,
) -> Result<u8, Failure> {
    let place = Place::new(data, logs, limit);
    let report = examine::examine(&place, logs.is_some())?;
    report::tell(out, &report)?;
    out.document(&report)?;
    Ok(if report.sound { FINE } else { FOUND })
}
