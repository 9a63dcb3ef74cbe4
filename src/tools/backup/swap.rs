//! Putting a new `version-2` in the place of an old one, so that at every moment one of them stands there.

use crate::store::{Files, RealFiles};
use crate::tools::failure::Failure;
use std::io;
use std::path::{Path, PathBuf};

/// While two directories are being replaced, this file stands in the old log directory. Snapshots do not belong
/// there, so that every server refuses to start on a new snapshot with old logs.
pub(super) const BARRIER: &str = "snapshot.restore-is-unfinished-run-it-again";

/// Puts `new` at `place`; what was there goes to `aside`. True when something was.
pub(super) fn swap(new: &Path, place: &Path, aside: &Path) -> Result<bool, Failure> {
    let fail = |e: io::Error| Failure::io("put the restored files at", place, &e);
    let old = RealFiles.kind(place).map_err(fail)?.is_some();
    if old {
        match RealFiles.exchange(new, place) {
            Ok(()) => RealFiles.rename(new, aside).map_err(fail)?,
            // A file system that cannot exchange: between these two there is nothing at the place.
            Err(e) if unsupported(&e) => {
                RealFiles.rename(place, aside).map_err(fail)?;
                RealFiles.rename(new, place).map_err(fail)?;
            }
            Err(e) => return Err(fail(e)),
        }
    } else {
        RealFiles.rename(new, place).map_err(fail)?;
    }
    for dir in [super::parent(place), super::parent(new)] {
        RealFiles.sync_dir(dir).map_err(fail)?;
    }
    Ok(old)
}

fn unsupported(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput)
}

/// A name beside `folder` that is free: `version-2.before-restore-<time>`, with a number where that is taken.
pub(super) fn aside(folder: &Path, time: &str) -> PathBuf {
    let name = folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let named = |n: u32| match n {
        1 => folder.with_file_name(format!("{name}.before-restore-{time}")),
        n => folder.with_file_name(format!("{name}.before-restore-{time}-{n}")),
    };
    (1..u32::MAX).map(named).find(|p| matches!(RealFiles.kind(p), Ok(None))).unwrap_or_else(|| named(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn old_and_new_change_places() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for (name, file) in [("new", "n"), ("version-2", "o")] {
            fs::create_dir(at(name)).unwrap();
            fs::write(at(name).join(file), b"").unwrap();
        }
        let aside = aside(&at("version-2"), "T");
        assert_eq!(aside, at("version-2.before-restore-T"));
        assert!(swap(&at("new"), &at("version-2"), &aside).unwrap());
        assert!(at("version-2").join("n").exists() && aside.join("o").exists() && !at("new").exists());
        assert_eq!(super::aside(&at("version-2"), "T"), at("version-2.before-restore-T-2"));
        fs::create_dir(at("new")).unwrap();
        assert!(!swap(&at("new"), &at("elsewhere"), &at("x")).unwrap());
        assert!(at("elsewhere").exists());
    }
}
