//! The disk behind the files in memory: every change in order, and what a crash may leave of them.
//!
//! It answers no call of the store; that is the files' part.
//!
//! Invariant: what is shown now is what the first state became by every change in its order.

use super::NO_SPACE;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

/// One change, or one promise of durability.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// A name for a new file.
    Create {
        /// The name.
        path: PathBuf,
        /// The file.
        inode: u64,
    },
    /// Bytes at a position.
    Write {
        /// The file.
        inode: u64,
        /// The position.
        offset: u64,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// A new length.
    SetLen {
        /// The file.
        inode: u64,
        /// The length.
        len: u64,
    },
    /// The file's content is durable.
    SyncFile {
        /// The file.
        inode: u64,
    },
    /// Another name for a file: what becomes durable is that the new name stands for this very file.
    Rename {
        /// The file.
        inode: u64,
        /// The old one.
        from: PathBuf,
        /// The new one.
        to: PathBuf,
    },
    /// A name goes.
    Remove {
        /// The name.
        path: PathBuf,
    },
    /// The names in a directory are durable.
    SyncDir {
        /// The directory.
        dir: PathBuf,
    },
}

/// How a write arrives in part. Sectors are counted from the start of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tear {
    /// The first `keep` sectors of this size that the write touches.
    Front {
        /// Sector size.
        sector: usize,
        /// How many arrive.
        keep: usize,
    },
    /// All but one.
    Without {
        /// Sector size.
        sector: usize,
        /// Which one is missing.
        index: usize,
    },
    /// One and no other.
    Only {
        /// Sector size.
        sector: usize,
        /// Which one arrives.
        index: usize,
    },
    /// The length of the file arrives, the bytes do not.
    LengthAlone,
}

/// What a crash leaves: the first `prefix` operations, without some of those that were not durable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CrashPlan {
    /// Operations that were issued before the crash.
    pub prefix: usize,
    /// Those of them that never reached the disk.
    pub dropped: BTreeSet<usize>,
    /// A write that arrived in part.
    pub torn: Option<(usize, Tear)>,
}

/// What goes wrong, from some operation on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Writes and syncs fail.
    Io,
    /// Syncs fail, writes do not.
    FailedSync,
    /// Anything that needs space fails, after writing what fits.
    NoSpace,
    /// Syncs succeed and do nothing.
    LyingSync,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Disk {
    pub(super) dirs: BTreeSet<PathBuf>,
    pub(super) names: BTreeMap<PathBuf, u64>,
    pub(super) inodes: BTreeMap<u64, Vec<u8>>,
}

impl Disk {
    pub(super) fn apply(&mut self, op: &Op, tear: Option<Tear>) {
        match op {
            Op::Create { path, inode } => {
                self.inodes.entry(*inode).or_default();
                self.names.insert(path.clone(), *inode);
            }
            Op::Write { inode, offset, bytes } => {
                let content = self.inodes.entry(*inode).or_default();
                let at = usize::try_from(*offset).unwrap_or(usize::MAX);
                match tear {
                    None => put(content, at, bytes),
                    Some(tear) => put_torn(content, at, bytes, tear),
                }
            }
            Op::SetLen { inode, len } => {
                let content = self.inodes.entry(*inode).or_default();
                let len = usize::try_from(*len).unwrap_or(usize::MAX);
                content.truncate(len);
                grow(content, len);
            }
            Op::Rename { inode, from, to } => {
                if self.names.get(from) == Some(inode) {
                    self.names.remove(from);
                }
                self.names.insert(to.clone(), *inode);
            }
            Op::Remove { path } => {
                self.names.remove(path);
            }
            Op::SyncFile { .. } | Op::SyncDir { .. } => {}
        }
    }
}

/// Lengthens with zeros, a block at a time: byte by byte takes most of a test's time.
fn grow(content: &mut Vec<u8>, len: usize) {
    if content.len() < len {
        let zeros = vec![0; len - content.len()];
        content.extend_from_slice(&zeros);
    }
}

fn put(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    grow(content, end);
    if let Some(room) = content.get_mut(at..end) {
        room.copy_from_slice(bytes);
    }
}

fn put_torn(content: &mut Vec<u8>, at: usize, bytes: &[u8], tear: Tear) {
    let end = at + bytes.len();
    let (sector, arrives): (usize, Box<dyn Fn(usize) -> bool>) = match tear {
        Tear::Front { sector, keep } => (sector, Box::new(move |i| i < keep)),
        Tear::Without { sector, index } => (sector, Box::new(move |i| i != index)),
        Tear::Only { sector, index } => (sector, Box::new(move |i| i == index)),
        Tear::LengthAlone => {
            return grow(content, end);
        }
    };
    let mut from = at;
    let mut index = 0;
    while from < end {
        let to = ((from / sector + 1) * sector).min(end);
        if arrives(index) {
            put(content, from, bytes.get(from - at..to - at).unwrap_or_default());
        }
        from = to;
        index += 1;
    }
}

#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) initial: Disk,
    pub(super) now: Disk,
    pub(super) ops: Vec<Op>,
    /// Those of them that a failed sync should have covered: the system shows them and takes them for clean, so no later
    /// sync writes them.
    pub(super) forsaken: BTreeSet<usize>,
    pub(super) next_inode: u64,
    pub(super) locks: BTreeSet<PathBuf>,
    pub(super) fault: Option<(Fault, usize)>,
    pub(super) calls: usize,
}

impl Inner {
    pub(super) fn record(&mut self, op: Op) {
        self.now.apply(&op, None);
        self.ops.push(op);
    }

    /// The fault that is due at this call, if any.
    pub(super) fn due(&mut self) -> Option<Fault> {
        self.calls += 1;
        self.fault.filter(|(_, after)| self.calls > *after).map(|(fault, _)| fault)
    }

    pub(super) fn check(&mut self, needs_space: bool) -> io::Result<()> {
        match self.due() {
            Some(Fault::Io) => Err(io::Error::from_raw_os_error(5)),
            Some(Fault::NoSpace) if needs_space => Err(io::Error::from_raw_os_error(NO_SPACE)),
            _ => Ok(()),
        }
    }

    /// The same behind its first `prefix` operations.
    pub(super) fn at(&self, prefix: usize) -> Self {
        let mut initial = self.initial.clone();
        initial.dirs.clone_from(&self.now.dirs);
        let ops: Vec<Op> = self.ops.iter().take(prefix).cloned().collect();
        let mut now = initial.clone();
        ops.iter().for_each(|op| now.apply(op, None));
        let forsaken = self.forsaken.range(..prefix).copied().collect();
        Self { initial, now, ops, forsaken, next_inode: self.next_inode, ..Self::default() }
    }

    /// What a sync should have covered is given up.
    fn forsake(&mut self, sync: &Op) {
        let Op::SyncFile { inode: of } = sync else { return };
        for i in self.unsynced(self.ops.len()) {
            if matches!(self.ops.get(i), Some(Op::Write { inode, .. } | Op::SetLen { inode, .. }) if inode == of)
            {
                self.forsaken.insert(i);
            }
        }
    }

    /// Changes among the first so many that no sync covers.
    pub(super) fn unsynced(&self, prefix: usize) -> Vec<usize> {
        let mut files: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        let mut dirs: BTreeMap<PathBuf, Vec<usize>> = BTreeMap::new();
        let parent = |path: &Path| path.parent().unwrap_or(path).to_path_buf();
        for (i, op) in self.ops.iter().take(prefix).enumerate() {
            match op {
                Op::Write { inode, .. } | Op::SetLen { inode, .. } => {
                    files.entry(*inode).or_default().push(i)
                }
                Op::SyncFile { inode } => {
                    if let Some(pending) = files.get_mut(inode) {
                        pending.retain(|i| self.forsaken.contains(i));
                    }
                }
                Op::Create { path, .. } | Op::Remove { path } | Op::Rename { to: path, .. } => {
                    dirs.entry(parent(path)).or_default().push(i);
                }
                Op::SyncDir { dir } => {
                    dirs.remove(dir);
                }
            }
        }
        let mut all: Vec<usize> = files.into_values().chain(dirs.into_values()).flatten().collect();
        all.sort_unstable();
        all
    }

    /// May this sync be recorded? A lying one says yes and does nothing.
    pub(super) fn sync(&mut self, op: Op) -> io::Result<()> {
        match self.due() {
            Some(Fault::Io | Fault::FailedSync) => {
                self.forsake(&op);
                Err(io::Error::from_raw_os_error(5))
            }
            Some(Fault::LyingSync) => Ok(()),
            _ => {
                self.record(op);
                Ok(())
            }
        }
    }
}
