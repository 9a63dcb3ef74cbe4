//! Files in memory that remember every change in order, so that a test can build what a crash might have left.
//!
//! The model is the strict one of POSIX: content is durable after a sync of the file, a name after a sync of
//! its directory, and nothing else promises anything. Between two syncs every change may be there or not, in
//! any combination, and a write may be there in part, sector by sector.

mod disk;

use super::{File, Files, Kind, Listed, Lock, Mode, NO_SPACE};
use disk::{Disk, Inner};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use disk::{CrashPlan, Fault, Op, Tear};

/// The file system in memory. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct SimFiles(Arc<Mutex<Inner>>);

struct SimFile {
    inode: u64,
    writable: bool,
    disk: Arc<Mutex<Inner>>,
}

struct SimLock(PathBuf, Arc<Mutex<Inner>>);

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.1.lock().locks.remove(&self.0);
    }
}

impl SimFiles {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn with(disk: Disk) -> Self {
        let next_inode = disk.inodes.keys().next_back().map_or(0, |last| last + 1);
        Self(Arc::new(Mutex::new(Inner { initial: disk.clone(), now: disk, next_inode, ..Inner::default() })))
    }

    /// Everything recorded so far.
    #[must_use]
    pub fn ops(&self) -> Vec<Op> {
        self.0.lock().ops.clone()
    }

    /// How many operations were recorded so far.
    #[must_use]
    pub fn recorded(&self) -> usize {
        self.0.lock().ops.len()
    }

    /// From the `after`-th call on from now, things go wrong.
    pub fn inject(&self, fault: Fault, after: usize) {
        let mut inner = self.0.lock();
        inner.calls = 0;
        inner.fault = Some((fault, after));
    }

    /// Things go well again.
    pub fn heal(&self) {
        self.0.lock().fault = None;
    }

    /// Puts a file there, durable, unrecorded.
    pub fn plant(&self, path: &Path, bytes: &[u8]) {
        let mut inner = self.0.lock();
        let inode = inner.next_inode;
        inner.next_inode += 1;
        let Inner { initial, now, .. } = &mut *inner;
        for disk in [initial, now] {
            disk.names.insert(path.to_path_buf(), inode);
            disk.inodes.insert(inode, bytes.to_vec());
        }
    }

    /// The operations before `prefix` that no sync covers there.
    #[must_use]
    pub fn unsynced(&self, prefix: usize) -> Vec<usize> {
        self.0.lock().unsynced(prefix)
    }

    /// The disk that this crash leaves, with nothing recorded yet.
    #[must_use]
    pub fn crash(&self, plan: &CrashPlan) -> Self {
        let inner = self.0.lock();
        let mut disk = inner.initial.clone();
        disk.dirs.clone_from(&inner.now.dirs);
        for (i, op) in inner.ops.iter().take(plan.prefix).enumerate() {
            if plan.dropped.contains(&i) {
                continue;
            }
            let tear = plan.torn.filter(|(torn, _)| *torn == i).map(|(_, tear)| tear);
            disk.apply(op, tear);
        }
        let Disk { names, inodes, .. } = &mut disk;
        let linked: BTreeSet<u64> = names.values().copied().collect();
        inodes.retain(|inode, _| linked.contains(inode));
        Self::with(disk)
    }

    /// The disk that a process leaves which was killed behind its first `prefix` operations. It goes on: what no sync
    /// covers yet can still be covered, or be lost when the power fails.
    #[must_use]
    pub fn cut_off(&self, prefix: usize) -> Self {
        let inner = self.0.lock();
        if !inner.forsaken.is_empty() {
            // What is durable may stand behind what is not: nothing can be folded.
            return Self(Arc::new(Mutex::new(inner.at(prefix))));
        }
        let pending: BTreeSet<usize> = inner.unsynced(prefix).into_iter().collect();
        let mut initial = inner.initial.clone();
        initial.dirs.clone_from(&inner.now.dirs);
        let mut ops = Vec::new();
        for (i, op) in inner.ops.iter().take(prefix).enumerate() {
            // What is pending came behind all that is durable of the same file and directory.
            if pending.contains(&i) {
                ops.push(op.clone());
            } else {
                initial.apply(op, None);
            }
        }
        let mut now = initial.clone();
        ops.iter().for_each(|op| now.apply(op, None));
        let next_inode = inner.next_inode;
        Self(Arc::new(Mutex::new(Inner { initial, now, ops, next_inode, ..Inner::default() })))
    }

    /// A number that is the same for the same names and contents, to tell states apart.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let inner = self.0.lock();
        let mut state = 0x9e37_79b9_7f4a_7c15;
        let mut mix = |bytes: &[u8]| {
            let (words, rest) = bytes.as_chunks::<8>();
            let tail = rest.iter().fold(bytes.len() as u64, |n, b| n << 8 | u64::from(*b));
            for word in words.iter().map(|w| u64::from_le_bytes(*w)).chain([tail]) {
                state = (state ^ word).wrapping_mul(0x2545_f491_4f6c_dd1d).rotate_left(29);
            }
        };
        for (path, inode) in &inner.now.names {
            mix(path.as_os_str().as_encoded_bytes());
            mix(inner.now.inodes.get(inode).map(Vec::as_slice).unwrap_or_default());
        }
        state
    }

    /// The disk as it is now, with nothing recorded yet and everything durable: a process that was killed.
    #[must_use]
    pub fn killed(&self) -> Self {
        Self::with(self.0.lock().now.clone())
    }
}

impl File for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.lock().now.inodes.get(&self.inode).map_or(0, |c| c.len() as u64))
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let inner = self.disk.lock();
        let content = inner.now.inodes.get(&self.inode).map(Vec::as_slice).unwrap_or_default();
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
        let rest = content.get(from..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        if let (Some(to), Some(bytes)) = (buf.get_mut(..n), rest.get(..n)) {
            to.copy_from_slice(bytes);
        }
        Ok(n)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if !self.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let mut inner = self.disk.lock();
        let outcome = inner.check(true);
        // A full disk takes what still fits.
        let taken = match &outcome {
            Err(e) if e.raw_os_error() == Some(NO_SPACE) => bytes.len() / 2,
            Err(_) => return outcome,
            Ok(()) => bytes.len(),
        };
        let bytes = bytes.get(..taken).unwrap_or_default().to_vec();
        inner.record(Op::Write { inode: self.inode, offset, bytes });
        outcome
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        let mut inner = self.disk.lock();
        inner.check(false)?;
        inner.record(Op::SetLen { inode: self.inode, len });
        Ok(())
    }

    fn reserve(&mut self, _: u64, _: u64) -> io::Result<()> {
        self.disk.lock().check(true)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.disk.lock().sync(Op::SyncFile { inode: self.inode })
    }

    fn sync_all(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

impl Files for SimFiles {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Box<dyn File>> {
        let mut inner = self.0.lock();
        let there = inner.now.names.get(path).copied();
        let inode = match (mode, there) {
            (Mode::Read | Mode::Write, None) => return Err(io::ErrorKind::NotFound.into()),
            (Mode::CreateNew, Some(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Mode::Read | Mode::Write, Some(inode)) => inode,
            (Mode::Replace | Mode::Log, Some(inode)) => {
                inner.check(false)?;
                inner.record(Op::SetLen { inode, len: 0 });
                inode
            }
            (Mode::CreateNew | Mode::Replace | Mode::Log, None) => {
                if path.parent().is_none_or(|dir| !inner.now.dirs.contains(dir)) {
                    return Err(io::ErrorKind::NotFound.into());
                }
                inner.check(true)?;
                let inode = inner.next_inode;
                inner.next_inode += 1;
                inner.record(Op::Create { path: path.to_path_buf(), inode });
                inode
            }
        };
        Ok(Box::new(SimFile { inode, writable: mode != Mode::Read, disk: Arc::clone(&self.0) }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        let inner = self.0.lock();
        if !inner.now.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let name = |path: &Path| path.file_name().and_then(|n| n.to_str()).map(str::to_owned);
        Ok(inner
            .now
            .names
            .iter()
            .filter(|(path, _)| path.parent() == Some(dir))
            .filter_map(|(path, inode)| {
                let len = inner.now.inodes.get(inode).map_or(0, |c| c.len() as u64);
                Some(Listed { name: name(path)?, len })
            })
            .collect())
    }

    fn kind(&self, path: &Path) -> io::Result<Option<Kind>> {
        let inner = self.0.lock();
        Ok(if inner.now.dirs.contains(path) {
            Some(Kind::Dir)
        } else {
            inner.now.names.contains_key(path).then_some(Kind::File)
        })
    }

    fn writable(&self, _: &Path) -> bool {
        true
    }

    fn create_dirs(&self, dir: &Path) -> io::Result<()> {
        let mut inner = self.0.lock();
        for above in dir.ancestors().filter(|a| !a.as_os_str().is_empty()) {
            inner.now.dirs.insert(above.to_path_buf());
            inner.initial.dirs.insert(above.to_path_buf());
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.0.lock();
        inner.check(false)?;
        let Some(inode) = inner.now.names.get(from).copied() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        inner.record(Op::Rename { inode, from: from.to_path_buf(), to: to.to_path_buf() });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.0.lock();
        inner.check(false)?;
        if !inner.now.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        inner.record(Op::Remove { path: path.to_path_buf() });
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.lock().sync(Op::SyncDir { dir: dir.to_path_buf() })
    }

    fn lock(&self, dir: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        let fresh = self.0.lock().locks.insert(dir.to_path_buf());
        Ok(fresh.then(|| -> Box<dyn Lock> { Box::new(SimLock(dir.to_path_buf(), Arc::clone(&self.0))) }))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.0.lock().calls as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> PathBuf {
        Path::new("/d").join(name)
    }

    fn written() -> SimFiles {
        let sim = SimFiles::new();
        sim.create_dirs(Path::new("/d")).unwrap();
        let mut file = sim.open(&path("a"), Mode::CreateNew).unwrap();
        file.write_at(0, &[1; 1024]).unwrap();
        file.sync_data().unwrap();
        file.write_at(1024, &[2; 1024]).unwrap();
        sim.sync_dir(Path::new("/d")).unwrap();
        sim.rename(&path("a"), &path("b")).unwrap();
        sim
    }

    #[test]
    fn what_no_sync_covers_may_be_missing() {
        let sim = written();
        assert_eq!(sim.unsynced(sim.recorded()), [3, 5]);
        assert_eq!(sim.unsynced(3), [0], "the name is not durable by the file's sync");
        let all = CrashPlan { prefix: 6, ..CrashPlan::default() };
        assert_eq!(sim.crash(&all).read(&path("b"), 9999).unwrap().len(), 2048);
        let none = CrashPlan { prefix: 6, dropped: [3, 5].into(), torn: None };
        assert_eq!(sim.crash(&none).read(&path("a"), 9999).unwrap(), [1; 1024]);
    }

    #[test]
    fn tears() {
        let sim = written();
        let with = |tear| {
            let plan = CrashPlan { prefix: 4, dropped: BTreeSet::new(), torn: Some((3, tear)) };
            sim.crash(&plan).read(&path("a"), 9999).unwrap()
        };
        assert_eq!(with(Tear::Front { sector: 512, keep: 1 })[1024..], [2; 512]);
        assert_eq!(with(Tear::Without { sector: 512, index: 0 })[1024..], [[0; 512], [2; 512]].concat());
        assert_eq!(with(Tear::Only { sector: 512, index: 0 })[1024..], [2; 512]);
        assert_eq!(with(Tear::LengthAlone)[1024..], [0; 1024]);
    }

    #[test]
    fn faults() {
        let sim = written();
        let mut file = sim.open(&path("b"), Mode::Write).unwrap();
        sim.inject(Fault::NoSpace, 0);
        assert_eq!(file.write_at(2048, &[3; 10]).unwrap_err().raw_os_error(), Some(NO_SPACE));
        assert_eq!(file.len().unwrap(), 2053, "what fits is there");
        sim.inject(Fault::Io, 1);
        assert!(file.write_at(0, &[3]).is_ok());
        assert!(file.sync_data().is_err());
        sim.inject(Fault::LyingSync, 0);
        assert!(file.sync_data().is_ok());
        assert!(!sim.unsynced(sim.recorded()).is_empty());
    }
}
