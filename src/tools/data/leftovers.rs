//! What lies in a server's directories besides its data: half-written, copied, set aside. Each is a note, none is damage.

use super::examine::Report;
use crate::store::Files;
use crate::store::format::names::{self, NameKind};
use crate::tools::failure::Failure;
use crate::tools::place::Place;
use std::sync::Arc;

pub(super) fn leftovers(place: &Place, files: &Arc<dyn Files>, report: &mut Report) -> Result<(), Failure> {
    for folder in place.folders() {
        let listed = files.list(&folder).map_err(|e| Failure::io("list", &folder, &e))?;
        let mut names: Vec<String> = listed.into_iter().map(|f| f.name).collect();
        names.sort();
        for name in names {
            let path = folder.join(&name);
            let shown = path.display();
            if name.starts_with(names::TEMPORARY) || name.ends_with(".tmp") {
                report.note(format!(
                    "{shown} is half-written, by a crash or by a server that is writing it now"
                ));
            } else if let Some((kind, None)) = names::parse(&name) {
                let what = if kind == NameKind::Log { "log" } else { "snapshot" };
                report.note(format!(
                    "{shown} is named as a {what} but has no zxid: nobody reads it, a purge removes it"
                ));
            } else if is_copy(&name) {
                report.note(format!(
                    "{shown} counts for servers as what its name begins with; move copies elsewhere"
                ));
            } else if name.starts_with("repaired.") || name.starts_with("before-repair-") {
                report.note(format!("{shown} is from `quoll log repair`; nobody reads it"));
            }
        }
    }
    for home in [&place.data, &place.logs] {
        let Ok(entries) = std::fs::read_dir(home) else { continue };
        let mut names: Vec<String> =
            entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect();
        names.sort();
        for name in names {
            let path = home.join(&name);
            if name.starts_with(&format!("{}.before-restore-", names::FOLDER)) {
                report.note(format!(
                    "{} is what a restore replaced; remove it when all is well",
                    path.display()
                ));
            } else if name.starts_with("restore-") && name.ends_with(".partial") {
                report.note(format!("{} is from a restore that was interrupted; remove it", path.display()));
            } else if name == names::INITIALIZE {
                report.note(format!("{}: the next start may begin an empty database", path.display()));
            }
        }
        if !place.apart() {
            break;
        }
    }
    Ok(())
}

/// `log.5.old`: servers look at the first two parts of a name only.
fn is_copy(name: &str) -> bool {
    let parts: Vec<&str> = name.split('.').collect();
    match (names::parse(name), parts.get(2)) {
        (Some((NameKind::Log, Some(_))), Some(_)) => true,
        (Some((NameKind::Snapshot, Some(_))), Some(suffix)) => {
            parts.len() > 3 || !matches!(*suffix, "gz" | "snappy")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_told_from_what_servers_write() {
        for name in ["log.5.old", "log.5.fixed", "snapshot.5.bak", "snapshot.5.gz.old"] {
            assert!(is_copy(name), "{name}");
        }
        for name in
            ["log.5", "snapshot.5", "snapshot.5.gz", "snapshot.5.snappy", "repaired.log.5", "log.zz.old"]
        {
            assert!(!is_copy(name), "{name}");
        }
    }
}
