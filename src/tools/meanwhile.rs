//! For tests: the real files, and something that happens to them between two looks, as a server at work makes it.
//!
//! It is no server: what happens is the test's. Invariant: it happens once, behind the look that was asked for.

use crate::store::RealFiles;
use crate::store::files::{File, Files, Kind, Listed, Lock, Mode};
use crate::store::format::log;
use parking_lot::Mutex;
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

type Deed = Box<dyn FnOnce() + Send>;

/// The real files; the deed is done once so many looks were taken.
pub(super) struct Meanwhile(Mutex<(usize, Option<Deed>)>);

impl Meanwhile {
    pub(super) fn new(looks: usize, deed: impl FnOnce() + Send + 'static) -> Self {
        Self(Mutex::new((looks, Some(Box::new(deed)))))
    }

    /// There were as many looks as that.
    pub(super) fn happened(&self) -> bool {
        self.0.lock().1.is_none()
    }

    fn looked<T>(&self, seen: T) -> T {
        let mut state = self.0.lock();
        if state.0 == 0
            && let Some(deed) = state.1.take()
        {
            deed();
        }
        state.0 = state.0.saturating_sub(1);
        seen
    }
}

impl Files for Meanwhile {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Box<dyn File>> {
        self.looked(RealFiles.open(path, mode))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        self.looked(RealFiles.list(dir))
    }

    fn kind(&self, path: &Path) -> io::Result<Option<Kind>> {
        self.looked(RealFiles.kind(path))
    }

    fn writable(&self, dir: &Path) -> bool {
        RealFiles.writable(dir)
    }

    fn create_dirs(&self, dir: &Path) -> io::Result<()> {
        RealFiles.create_dirs(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealFiles.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealFiles.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealFiles.sync_dir(dir)
    }

    fn lock(&self, dir: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        RealFiles.lock(dir)
    }

    fn monotonic(&self) -> Duration {
        RealFiles.monotonic()
    }
}

/// Transactions that every tree takes: each ends a session that is not there.
pub(super) fn records(zxids: RangeInclusive<i64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for zxid in zxids {
        let mut payload = vec![0; 32];
        payload.splice(12..20, zxid.to_be_bytes());
        payload.splice(28..32, (-11i32).to_be_bytes());
        log::push_record(&mut bytes, &payload);
    }
    bytes
}

/// A log of them.
pub(super) fn log_of(zxids: RangeInclusive<i64>) -> Vec<u8> {
    [log::header().to_vec(), records(zxids)].concat()
}
