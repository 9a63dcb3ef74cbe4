//! The seam to the file system: what the store needs of it and nothing more.
//!
//! Two implementations: [`RealFiles`] over the operating system, and [`SimFiles`] in memory, which records
//! every operation, rebuilds what a crash could have left of them, and can be told to fail or to lie.
//!
//! Invariant: no other file of this crate opens, writes, syncs, renames or removes anything.

mod real;
mod sim;

pub use real::RealFiles;
pub use sim::{CrashPlan, Fault, Op, SimFiles, Tear};

use std::io;
use std::path::Path;
use std::time::Duration;

/// The error number of a full disk.
pub const NO_SPACE: i32 = 28;

/// Every disk and file system takes blocks of this size, and memory at its multiples, past the system's cache.
pub const BLOCK: usize = 4096;

/// How to open a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It is there; read only.
    Read,
    /// It is there; change it.
    Write,
    /// It must not be there yet.
    CreateNew,
    /// Made anew, empty, whatever was there.
    Replace,
    /// As `Replace`; [`File::write_durably`] goes past the system's cache where that can be done.
    Log,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Dir,
    /// Anything else.
    File,
}

/// One file of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name without the directory. Names that are no UTF-8 are left out: the store made none.
    pub name: String,
    /// Its length.
    pub len: u64,
}

/// Keeps a directory locked while it lives.
pub trait Lock: Send + Sync {}

/// An open file. Positions are explicit, so a file has no hidden state.
pub trait File: Send {
    /// The length.
    fn len(&self) -> io::Result<u64>;

    /// Nothing in it.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills the front of `buf`; fewer bytes than asked for mean the end of the file.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;

    /// Writes all of `bytes`.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// As [`write_at`](Self::write_at) with [`sync_data`](Self::sync_data) behind it. It is at its fastest over blocks
    /// that were written before, with whole ones of [`BLOCK`] bytes in memory that begins at a multiple of that.
    fn write_durably(&mut self, offset: u64, blocks: &[u8]) -> io::Result<()> {
        self.write_at(offset, blocks)?;
        self.sync_data()
    }

    /// Cuts, or grows with zeros.
    fn set_len(&mut self, len: u64) -> io::Result<()>;

    /// Asks for blocks in this range, which must lie inside the file; they read as zeros. A file system that
    /// cannot do it is no error: it only costs speed.
    fn reserve(&mut self, offset: u64, len: u64) -> io::Result<()>;

    /// Content, and as much of the metadata as is needed to read it back, is on disk afterwards.
    fn sync_data(&mut self) -> io::Result<()>;

    /// Content and metadata are on disk afterwards. The directory entry is not: see [`Files::sync_dir`].
    fn sync_all(&mut self) -> io::Result<()>;
}

/// A file system.
pub trait Files: Send + Sync {
    /// Opens a file.
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Box<dyn File>>;

    /// The files (no directories) of a directory, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>>;

    /// What the name stands for; `None` when nothing is there.
    fn kind(&self, path: &Path) -> io::Result<Option<Kind>>;

    /// May files be made in this directory?
    fn writable(&self, dir: &Path) -> bool;

    /// Makes a directory and those above it, durably.
    fn create_dirs(&self, dir: &Path) -> io::Result<()>;

    /// Gives a file another name, replacing what had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Two names change what they stand for, at once. Not every file system can; that is `Unsupported` or
    /// `InvalidInput`.
    fn exchange(&self, _one: &Path, _other: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// The directory's entries are on disk afterwards.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Locks a directory for this process; `None` when another one has it.
    fn lock(&self, dir: &Path) -> io::Result<Option<Box<dyn Lock>>>;

    /// A clock that never goes back, to time operations with.
    fn monotonic(&self) -> Duration;

    /// The whole of a small file; longer than `limit` is an error.
    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        let file = self.open(path, Mode::Read)?;
        let len = usize::try_from(file.len()?).unwrap_or(usize::MAX);
        if len > limit {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{len} bytes, at most {limit} make sense here"),
            ));
        }
        let mut bytes = vec![0; len];
        let n = file.read_at(0, &mut bytes)?;
        bytes.truncate(n);
        Ok(bytes)
    }
}

/// Writes a small file so that after a crash either the old or the new content is there, never a mixture:
/// beside it, synced, renamed over it, directory synced.
pub fn replace(files: &dyn Files, path: &Path, temporary: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = files.open(temporary, Mode::Replace)?;
    file.write_at(0, bytes)?;
    file.sync_all()?;
    drop(file);
    files.rename(temporary, path)?;
    files.sync_dir(path.parent().unwrap_or(path))
}
