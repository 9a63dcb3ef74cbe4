//! A file system that can be read and not be changed: what a server would do to it is noted instead.
//!
//! Recovery sweeps, cuts torn tails, removes empty files and may write the first snapshot. Over this layer it
//! does all of that, believes it, and the disk stays as it is; [`Observed::intents`] tells what a start would
//! have done. New files live in memory, and recovery writes only small ones.
//!
//! Invariant: of the files below, only `open` for reading, `list`, `kind` and `writable` are called.

use crate::store::files::{File, Files, Kind, Listed, Lock, Mode};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What would have happened to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Intent {
    /// Removed.
    Remove(PathBuf),
    /// Cut here.
    Cut(PathBuf, u64),
    /// Written anew.
    Write(PathBuf),
}

type Content = Arc<Mutex<Vec<u8>>>;

#[derive(Default)]
struct Changes {
    /// New content by path; `None` where the file is gone.
    files: BTreeMap<PathBuf, Option<Content>>,
    cuts: BTreeMap<PathBuf, u64>,
}

/// The layer.
pub(super) struct Observed {
    below: Arc<dyn Files>,
    changes: Arc<Mutex<Changes>>,
}

impl Observed {
    pub(super) fn over(below: Arc<dyn Files>) -> Self {
        Self { below, changes: Arc::default() }
    }

    /// What would have been done so far, by path.
    pub(super) fn intents(&self) -> Vec<Intent> {
        let changes = self.changes.lock();
        let files = changes.files.iter().filter_map(|(path, content)| match content {
            Some(_) => Some(Intent::Write(path.clone())),
            // What was made and removed again never was.
            None => matches!(self.below.kind(path), Ok(Some(_))).then(|| Intent::Remove(path.clone())),
        });
        files.chain(changes.cuts.iter().map(|(path, at)| Intent::Cut(path.clone(), *at))).collect()
    }

    fn change(&self, path: &Path) -> Option<Option<Content>> {
        self.changes.lock().files.get(path).cloned()
    }
}

/// A file that exists here only.
struct Held(Content);

impl File for Held {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().len() as u64)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let bytes = self.0.lock();
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = bytes.get(from..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        for (to, from) in buf.iter_mut().zip(rest) {
            *to = *from;
        }
        Ok(n)
    }

    fn write_at(&mut self, offset: u64, new: &[u8]) -> io::Result<()> {
        let mut bytes = self.0.lock();
        let from = usize::try_from(offset).map_err(io::Error::other)?;
        let to = from.saturating_add(new.len());
        if bytes.len() < to {
            bytes.resize(to, 0);
        }
        if let Some(range) = bytes.get_mut(from..to) {
            range.copy_from_slice(new);
        }
        Ok(())
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.0.lock().resize(usize::try_from(len).map_err(io::Error::other)?, 0);
        Ok(())
    }

    fn reserve(&mut self, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync_data(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file below, opened for a change that is only noted.
struct Noted {
    file: Box<dyn File>,
    path: PathBuf,
    changes: Arc<Mutex<Changes>>,
}

impl File for Noted {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, buf)
    }

    fn write_at(&mut self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.changes.lock().cuts.insert(self.path.clone(), len);
        Ok(())
    }

    fn reserve(&mut self, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync_data(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Nobody is kept out.
struct NoLock;

impl Lock for NoLock {}

impl Files for Observed {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Box<dyn File>> {
        let known = self.change(path);
        match (mode, known) {
            (Mode::Read | Mode::Write, Some(None)) => Err(io::ErrorKind::NotFound.into()),
            (Mode::Read | Mode::Write, Some(Some(content))) => Ok(Box::new(Held(content))),
            (Mode::Read, None) => self.below.open(path, Mode::Read),
            (Mode::Write, None) => {
                let file = self.below.open(path, Mode::Read)?;
                Ok(Box::new(Noted { file, path: path.to_path_buf(), changes: Arc::clone(&self.changes) }))
            }
            (Mode::CreateNew, _) if self.kind(path)?.is_some() => Err(io::ErrorKind::AlreadyExists.into()),
            (Mode::CreateNew | Mode::Replace | Mode::Log, _) => {
                let content = Content::default();
                self.changes.lock().files.insert(path.to_path_buf(), Some(Arc::clone(&content)));
                Ok(Box::new(Held(content)))
            }
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        let mut found = self.below.list(dir)?;
        let changes = self.changes.lock();
        found.retain(|f| !changes.files.contains_key(&dir.join(&f.name)));
        for (path, content) in &changes.files {
            let name = path.file_name().and_then(|n| n.to_str()).filter(|_| path.parent() == Some(dir));
            if let (Some(name), Some(content)) = (name, content) {
                found.push(Listed { name: name.to_owned(), len: content.lock().len() as u64 });
            }
        }
        Ok(found)
    }

    fn kind(&self, path: &Path) -> io::Result<Option<Kind>> {
        match self.change(path) {
            Some(content) => Ok(content.map(|_| Kind::File)),
            None => self.below.kind(path),
        }
    }

    fn writable(&self, dir: &Path) -> bool {
        self.below.writable(dir)
    }

    fn create_dirs(&self, dir: &Path) -> io::Result<()> {
        match self.below.kind(dir)? {
            Some(Kind::Dir) => Ok(()),
            _ => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut changes = self.changes.lock();
        match changes.files.get(from).cloned() {
            Some(Some(content)) => {
                changes.files.insert(from.to_path_buf(), None);
                changes.files.insert(to.to_path_buf(), Some(content));
                Ok(())
            }
            // Only what was written here is ever renamed.
            _ => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if self.kind(path)?.is_none() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut changes = self.changes.lock();
        changes.files.insert(path.to_path_buf(), None);
        changes.cuts.remove(path);
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, _: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        Ok(Some(Box::new(NoLock)))
    }

    fn monotonic(&self) -> Duration {
        self.below.monotonic()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::files::SimFiles;

    #[test]
    fn changes_are_believed_and_the_disk_stays_as_it_was() {
        let sim = SimFiles::new();
        let at = |name: &str| Path::new("/d").join(name);
        sim.create_dirs(Path::new("/d")).unwrap();
        for name in ["a", "b", "c"] {
            sim.plant(&at(name), b"12345");
        }
        let before = sim.recorded();
        let seen = Observed::over(Arc::new(sim.clone()));
        seen.remove(&at("a")).unwrap();
        assert!(seen.open(&at("a"), Mode::Read).is_err());
        assert!(seen.remove(&at("a")).is_err());
        seen.open(&at("b"), Mode::Write).unwrap().set_len(2).unwrap();
        assert!(seen.open(&at("b"), Mode::Write).unwrap().write_at(0, b"x").is_err());
        crate::store::files::replace(&seen, &at("new"), &at("tmp"), b"content").unwrap();
        assert_eq!(seen.read(&at("new"), 99).unwrap(), b"content");
        let mut names: Vec<String> =
            seen.list(Path::new("/d")).unwrap().into_iter().map(|f| f.name).collect();
        names.sort();
        assert_eq!(names, ["b", "c", "new"]);
        assert_eq!(
            seen.intents(),
            [Intent::Remove(at("a")), Intent::Write(at("new")), Intent::Cut(at("b"), 2)]
        );
        assert!(seen.rename(&at("c"), &at("d")).is_err());
        assert_eq!(sim.recorded(), before, "nothing reached the disk");
        assert_eq!(sim.read(&at("a"), 99).unwrap(), b"12345");
    }
}
