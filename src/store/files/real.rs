//! Files of the operating system. Thin: every method is one or two system calls.

use super::{File, Files, Kind, Listed, Lock, Mode};
use rustix::fs::{Access, FallocateFlags, FlockOperation, OFlags};
use rustix::io::{Errno, ReadWriteFlags, pwritev2};
use std::fs;
use std::io::{self, ErrorKind, IoSlice};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

const DIRECT: i32 = OFlags::DIRECT.bits().cast_signed();

/// The real file system. Files are made 0600 and directories 0700: the data holds everybody's secrets.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealFiles;

struct RealFile {
    file: fs::File,
    /// The same file for [`File::write_durably`], where the file system has such a way.
    direct: Option<fs::File>,
}

struct RealLock(
    #[expect(dead_code, reason = "held, never read: the lock goes with the descriptor")] fs::File,
);

impl Lock for RealLock {}

/// Writes all of it; it is durable then. The flag belongs to the write, since rustix opens with the stronger `O_SYNC`,
/// which also syncs the time of the change, when it is asked for `O_DSYNC`.
fn write_through(file: &fs::File, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match pwritev2(file, &[IoSlice::new(bytes)], offset, ReadWriteFlags::DSYNC) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(n) => {
                offset += n as u64;
                bytes = bytes.get(n..).unwrap_or_default();
            }
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

impl File for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, mut offset: u64, mut buf: &mut [u8]) -> io::Result<usize> {
        let wanted = buf.len();
        while !buf.is_empty() {
            match self.file.read_at(buf, offset) {
                Ok(0) => break,
                Ok(n) => {
                    offset += n as u64;
                    buf = buf.get_mut(n..).unwrap_or_default();
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(wanted - buf.len())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn write_durably(&mut self, offset: u64, blocks: &[u8]) -> io::Result<()> {
        if let Some(direct) = &self.direct {
            match write_through(direct, offset, blocks) {
                // It could be opened like that, but not be written: this file system or disk wants larger blocks.
                Err(e) if matches!(e.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => {
                    self.direct = None;
                }
                outcome => return outcome,
            }
        }
        self.write_at(offset, blocks)?;
        self.sync_data()
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn reserve(&mut self, offset: u64, len: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, offset, len) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn sync_all(&mut self) -> io::Result<()> {
        self.file.sync_all()
    }
}

impl Files for RealFiles {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Box<dyn File>> {
        let mut options = fs::OpenOptions::new();
        options.read(true).mode(0o600);
        match mode {
            Mode::Read => {}
            Mode::Write => {
                options.write(true);
            }
            Mode::CreateNew => {
                options.write(true).create_new(true);
            }
            Mode::Replace | Mode::Log => {
                options.write(true).create(true).truncate(true);
            }
        }
        let file = options.open(path)?;
        let direct = || fs::OpenOptions::new().write(true).custom_flags(DIRECT).open(path).ok();
        let direct = (mode == Mode::Log).then(direct).flatten();
        Ok(Box::new(RealFile { file, direct }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            // A file that vanishes between the two calls (a purge) is not an error.
            let meta = match fs::metadata(entry.path()) {
                Ok(meta) => meta,
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            };
            if meta.is_dir() {
                continue;
            }
            if let Ok(name) = entry.file_name().into_string() {
                found.push(Listed { name, len: meta.len() });
            }
        }
        Ok(found)
    }

    fn kind(&self, path: &Path) -> io::Result<Option<Kind>> {
        match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => Ok(Some(Kind::Dir)),
            Ok(_) => Ok(Some(Kind::File)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn writable(&self, dir: &Path) -> bool {
        rustix::fs::access(dir, Access::WRITE_OK | Access::EXEC_OK).is_ok()
    }

    fn create_dirs(&self, dir: &Path) -> io::Result<()> {
        if self.kind(dir)?.is_some() {
            return if dir.is_dir() { Ok(()) } else { Err(ErrorKind::AlreadyExists.into()) };
        }
        let parent = dir.parent().filter(|p| !p.as_os_str().is_empty());
        if let Some(parent) = parent {
            self.create_dirs(parent)?;
        }
        match fs::DirBuilder::new().mode(0o700).create(dir) {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
        self.sync_dir(parent.unwrap_or(Path::new(".")))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        Ok(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs::File::open(dir)?.sync_all()
    }

    fn lock(&self, dir: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        let handle = fs::File::open(dir)?;
        match rustix::fs::flock(&handle, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Box::new(RealLock(handle)))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    fn monotonic(&self) -> Duration {
        #[expect(clippy::disallowed_methods, reason = "this is the edge: file operations are timed here")]
        fn now() -> Instant {
            Instant::now()
        }
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        now().saturating_duration_since(*START.get_or_init(now))
    }
}

#[cfg(test)]
mod tests {
    use super::super::BLOCK;
    use super::*;

    #[test]
    fn a_second_lock_is_refused_until_the_first_goes() {
        let dir = tempfile::tempdir().unwrap();
        let first = RealFiles.lock(dir.path()).unwrap();
        assert!(first.is_some());
        assert!(RealFiles.lock(dir.path()).unwrap().is_none());
        drop(first);
        assert!(RealFiles.lock(dir.path()).unwrap().is_some());
    }

    #[test]
    fn reserved_space_reads_as_zeros() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.1");
        let mut file = RealFiles.open(&path, Mode::CreateNew).unwrap();
        file.set_len(10_000).unwrap();
        file.reserve(0, 10_000).unwrap();
        file.write_at(3, b"abc").unwrap();
        file.sync_data().unwrap();
        let mut all = vec![1; 20_000];
        assert_eq!(file.read_at(0, &mut all).unwrap(), 10_000);
        assert_eq!(&all[..8], b"\0\0\0abc\0\0");
        assert!(all[6..10_000].iter().all(|b| *b == 0));
        assert_eq!(RealFiles.list(dir.path()).unwrap(), [Listed { name: "log.1".into(), len: 10_000 }]);
        assert!(RealFiles.open(&path, Mode::CreateNew).is_err());
    }

    #[test]
    fn what_no_disk_takes_past_the_cache_goes_through_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.1");
        let mut file = RealFiles.open(&path, Mode::Log).unwrap();
        file.write_at(0, &[1; 2 * BLOCK]).unwrap();
        let mut memory = vec![2; 3 * BLOCK];
        let at = memory.as_ptr().align_offset(BLOCK);
        file.write_durably(0, &memory[at..at + BLOCK]).unwrap();
        memory.fill(3);
        file.write_durably(7, &memory[at + 1..at + 11]).unwrap();
        memory.fill(4);
        file.write_durably(BLOCK as u64, &memory[at..at + BLOCK]).unwrap();
        let mut all = vec![0; 3 * BLOCK];
        assert_eq!(file.read_at(0, &mut all).unwrap(), 2 * BLOCK);
        assert_eq!(all[..18], [[2; 7].as_slice(), &[3; 10], &[2]].concat());
        assert!(all[17..BLOCK].iter().all(|byte| *byte == 2));
        assert!(all[BLOCK..2 * BLOCK].iter().all(|byte| *byte == 4));
    }

    #[test]
    fn what_cannot_be_looked_at_is_never_left_out_of_a_list() {
        let dir = tempfile::tempdir().unwrap();
        let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, dir.path().join(name)).unwrap();
        link("nowhere", "log.1");
        assert_eq!(RealFiles.list(dir.path()).unwrap(), [], "it is gone, as behind a purge");
        link("log.2", "log.2");
        assert!(RealFiles.list(dir.path()).is_err());
    }

    #[test]
    fn directories_are_made_all_the_way_down() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b/version-2");
        RealFiles.create_dirs(&deep).unwrap();
        RealFiles.create_dirs(&deep).unwrap();
        assert_eq!(RealFiles.kind(&deep).unwrap(), Some(Kind::Dir));
        assert!(RealFiles.writable(&deep));
    }
}
