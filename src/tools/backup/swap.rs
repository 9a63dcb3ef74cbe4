//! Putting a new `version-2` in the place of an old one, so that at every moment one of them stands there.

use crate::store::{Files, RealFiles};
use crate::tools::failure::Failure;
use std::io;
use std::path::{Path, PathBuf};

/// While two directories are being replaced, this file stands in the old log directory. Snapshots do not belong
/// there, so that every server refuses to start on a new snapshot with old logs.
pub(super) const BARRIER: &str = "snapshot.restore-is-unfinished-run-it-again";

/// Why the two did not change places.
#[derive(Debug)]
pub(super) struct Undone {
    pub(super) failure: Failure,
    /// What was at the place is where the new one was built: nobody may remove that.
    pub(super) stranded: bool,
}

impl From<Failure> for Undone {
    fn from(failure: Failure) -> Self {
        Self { failure, stranded: false }
    }
}

/// Something that is done with two names.
type Step<'a> = &'a dyn Fn(&Path, &Path) -> io::Result<()>;

/// Puts `new` at `place`; what was there goes to `aside`. True when something was. After a failure the old one is at
/// its place again, or the error says where it is.
pub(super) fn swap(new: &Path, place: &Path, aside: &Path) -> Result<bool, Undone> {
    let fail = |e: io::Error| Failure::io("put the restored files at", place, &e);
    let old = RealFiles.kind(place).map_err(fail)?.is_some();
    if old {
        let exchange = |one: &Path, other: &Path| RealFiles.exchange(one, other);
        let rename = |from: &Path, to: &Path| RealFiles.rename(from, to);
        replace(&exchange, &rename, new, place, aside)?;
    } else {
        RealFiles.rename(new, place).map_err(fail)?;
    }
    for dir in [super::parent(place), super::parent(new)] {
        RealFiles.sync_dir(dir).map_err(fail)?;
    }
    Ok(old)
}

fn replace(
    exchange: Step<'_>,
    rename: Step<'_>,
    new: &Path,
    place: &Path,
    aside: &Path,
) -> Result<(), Undone> {
    let fail = |e: io::Error| Failure::io("put the restored files at", place, &e);
    match exchange(new, place) {
        Ok(()) => rename(new, aside).map_err(|e| back(exchange(new, place), &e, place, new, true)),
        // A file system that cannot exchange: between these two there is nothing at the place.
        Err(e) if unsupported(&e) => {
            rename(place, aside).map_err(fail)?;
            rename(new, place).map_err(|e| back(rename(aside, place), &e, place, aside, false))
        }
        Err(e) => Err(fail(e).into()),
    }
}

/// What to say when a swap stopped half-way, and whether the old one could be put back.
fn back(outcome: io::Result<()>, error: &io::Error, place: &Path, old: &Path, stranded: bool) -> Undone {
    let failure = Failure::io("put the restored files at", place, error);
    let Err(again) = outcome else { return failure.into() };
    let text = failure.message().unwrap_or_default();
    let failure = Failure::Unable(format!(
        "{text}; and what was there cannot be put back ({again}): it is whole in {}; move it to {} by hand, or run the \
         restore again, before a server is started",
        old.display(),
        place.display()
    ));
    Undone { failure, stranded }
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

    /// `new` with a file `n` and `version-2` with a file `o`.
    fn both() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, file) in [("new", "n"), ("version-2", "o")] {
            fs::create_dir(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name).join(file), b"").unwrap();
        }
        dir
    }

    #[test]
    fn the_old_one_stays_when_it_cannot_be_put_aside() {
        let dir = both();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("aside/full")).unwrap();
        assert!(swap(&at("new"), &at("version-2"), &at("aside")).is_err());
        assert!(at("version-2").join("o").exists() && at("new").join("n").exists());
    }

    #[test]
    fn where_the_old_one_is_stranded_is_said_and_nothing_removes_it() {
        use std::cell::Cell;
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        for exchanges in [true, false] {
            let dir = both();
            let at = |name: &str| dir.path().join(name);
            let done = Cell::new(0);
            // The first step succeeds, everything behind it fails.
            let once = |one: &Path, other: &Path, how: Step<'_>| {
                done.set(done.get() + 1);
                if done.get() == 1 { how(one, other) } else { Err(full()) }
            };
            let exchange = |one: &Path, other: &Path| match exchanges {
                true => once(one, other, &|a, b| RealFiles.exchange(a, b)),
                false => Err(io::ErrorKind::Unsupported.into()),
            };
            let rename = |from: &Path, to: &Path| once(from, to, &|a, b| RealFiles.rename(a, b));
            let e = replace(&exchange, &rename, &at("new"), &at("version-2"), &at("aside")).unwrap_err();
            let old = at(if exchanges { "new" } else { "aside" });
            assert!(old.join("o").exists());
            assert_eq!(e.stranded, exchanges, "only what was staged is removed by its guard");
            let text = e.failure.message().unwrap().to_owned();
            assert!(text.contains(&format!("it is whole in {}", old.display())), "{text}");
        }
    }

    #[test]
    fn old_and_new_change_places() {
        let dir = both();
        let at = |name: &str| dir.path().join(name);
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
