//! `quoll snapshot verify`

use super::scan::Source;
use super::soundness::{Examination, examine};
use crate::store::RealFiles;
use crate::tools::failure::{FINE, FOUND, Failure};
use crate::tools::output::{Out, count, size};
use std::path::PathBuf;
use std::sync::Arc;

pub(in crate::tools) fn verify(out: &mut Out<'_>, files: &[PathBuf], limit: usize) -> Result<u8, Failure> {
    let mut all = Vec::new();
    for path in files {
        let found = examine(&Source::open(Arc::new(RealFiles), path, limit)?)?;
        tell(out, &found)?;
        all.push(found);
    }
    let sound = all.iter().all(Examination::sound);
    out.document(&serde_json::json!({ "sound": sound, "snapshots": all }))?;
    Ok(if sound { FINE } else { FOUND })
}

fn tell(out: &mut Out<'_>, found: &Examination) -> Result<(), Failure> {
    match (&found.fault, found.offset) {
        (Some(why), offset) => {
            out.line(format_args!(
                "{}: DAMAGED at offset {} of the unpacked stream: {why} ({} read before)",
                found.file,
                offset.unwrap_or_default(),
                count(found.nodes, "node")
            ))?;
            out.line(
                "  a server passes it over and uses an older snapshot with the logs behind that; keep both, or \
                 restore this file from a backup (`quoll data verify` tells whether a server would start)",
            )?;
        }
        (None, _) => out.line(format_args!(
            "{}: sound: {} ({} ephemeral), {} of data, {}, {}, {} matched{}",
            found.file,
            count(found.nodes, "node"),
            found.ephemerals,
            size(found.data_bytes),
            count(found.sessions, "session"),
            count(found.access_lists, "access list"),
            count(found.seals.into(), "checksum"),
            match &found.reaches {
                Some(reach) if found.zxid.as_ref() != Some(reach) && reach != "0x0" => {
                    format!(", reaches {reach}")
                }
                _ => String::new(),
            }
        ))?,
    }
    for note in &found.notes {
        out.line(format_args!("  note: {note}"))?;
    }
    if found.sound() && found.zxid.is_none() {
        out.line(
            "  note: its name is not that of a snapshot (snapshot.<zxid in hex>): no server would read it",
        )?;
    }
    Ok(())
}
