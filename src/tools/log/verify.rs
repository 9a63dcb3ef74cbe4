//! `quoll log verify`

use super::examine::{Examination, examine};
use super::salvage::Behind;
use crate::store::RealFiles;
use crate::tools::failure::{FINE, FOUND, Failure};
use crate::tools::output::{Out, count, size};
use std::path::PathBuf;

pub(in crate::tools) fn verify(out: &mut Out<'_>, files: &[PathBuf], limit: usize) -> Result<u8, Failure> {
    let mut all = Vec::new();
    for path in files {
        let found = examine(&RealFiles, path, limit)?;
        tell(out, &found)?;
        all.push(found);
    }
    let sound = all.iter().all(Examination::sound);
    out.document(&serde_json::json!({ "sound": sound, "logs": all }))?;
    Ok(if sound { FINE } else { FOUND })
}

/// `0x1 to 0x31`, or that there is nothing.
fn range(found: &Examination) -> String {
    match (&found.first, &found.last) {
        (Some(first), Some(last)) => {
            format!("{}, {first} to {last}", count(found.records, "transaction"))
        }
        _ => "no transactions".to_owned(),
    }
}

fn tell(out: &mut Out<'_>, found: &Examination) -> Result<(), Failure> {
    let file = &found.file;
    let what = range(found);
    let at = found.offset.unwrap_or_default();
    match (&found.fault, found.torn()) {
        (Some(why), _) => {
            out.line(format_args!("{file}: DAMAGED at offset {at}: {why}; {what} before it"))?;
            if let Some(behind) = &found.behind {
                out.line(format_args!("  behind it: {}", lost(behind)))?;
            }
            out.line(format_args!(
                "  a server refuses to start on it where it needs it. Restore the file from a backup, or move the \
                 data directory away and let the server fetch a snapshot from the ensemble; only without either, \
                 `quoll log repair {file} --truncate --accept-loss` keeps what is before the damage"
            ))?;
        }
        (None, true) => {
            out.line(format_args!("{file}: sound up to a torn tail at offset {at}: {what}"))?;
            out.line(
                "  a write was never completed there (a crash, or a server that is writing just now). In the newest log \
                 nothing acknowledged is lost by that, and the next start cuts it",
            )?;
        }
        (None, false) => out.line(format_args!(
            "{file}: sound: {what}, {} used of {}",
            size(found.used),
            size(found.length)
        ))?,
    }
    for note in &found.notes {
        out.line(format_args!("  note: {note}"))?;
    }
    Ok(())
}

/// What is behind damage, in words.
pub(super) fn lost(behind: &Behind) -> String {
    let more = if behind.incomplete { ", and perhaps more" } else { "" };
    match (&behind.first, &behind.last) {
        (Some(first), Some(last)) => {
            format!("{} still readable, {first} to {last}{more}", count(behind.records, "transaction"))
        }
        _ => format!("no readable transaction{more}"),
    }
}
