//! Reading logs from disk: a cursor over one file, and an iterator over the history behind a zxid.
//!
//! Memory is bounded by a window, whatever the size of the file. Reading changes nothing on disk.

use super::datadir::{DataDir, LogFile};
use super::error::StoreError;
use super::files::{File, Files, Mode};
use super::format::log::{self, BATCH_BYTES, LogEnd, Scanned, Step, Why};
use crate::types::{Entry, Zxid};
use bytes::Bytes;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// What is read at once.
const WINDOW: usize = 1024 * 1024;

/// What the cursor finds next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// A sound record.
    Record(Scanned),
    /// None here. [`LogCursor::judge`] tells why.
    End,
}

/// Walks through one log file.
pub struct LogCursor {
    file: Box<dyn File>,
    path: PathBuf,
    len: u64,
    limit: usize,
    window: Bytes,
    /// Offset in the file of the window's first byte.
    base: u64,
    /// Consumed bytes of the window.
    at: usize,
    header: bool,
}

impl std::fmt::Debug for LogCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogCursor")
            .field("path", &self.path)
            .field("offset", &self.offset())
            .finish_non_exhaustive()
    }
}

impl LogCursor {
    /// Opens a log and reads its header.
    pub fn open(files: &dyn Files, path: &Path, limit: usize) -> Result<Self, StoreError> {
        let file = files.open(path, Mode::Read).map_err(|e| StoreError::io("open", path, e))?;
        let len = file.len().map_err(|e| StoreError::io("read", path, e))?;
        let mut cursor = Self {
            file,
            path: path.to_path_buf(),
            len,
            limit,
            window: Bytes::new(),
            base: 0,
            at: 0,
            header: false,
        };
        cursor.fill(log::HEADER_LEN)?;
        cursor.header = log::is_header(&cursor.window);
        if cursor.header {
            cursor.at = log::HEADER_LEN;
        }
        Ok(cursor)
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its length when it was opened.
    #[must_use]
    pub const fn file_len(&self) -> u64 {
        self.len
    }

    /// Where the next record would start; 0 when the header is missing.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    /// The next record.
    pub fn step(&mut self) -> Result<Next, StoreError> {
        if !self.header {
            return Ok(Next::End);
        }
        loop {
            let rest = self.window.get(self.at..).unwrap_or_default();
            match log::step(rest, self.limit) {
                Step::Record { zxid, len } => {
                    let from = self.at + log::PREFIX_LEN;
                    let payload = self.window.slice(from..from + len);
                    let record = Scanned { offset: self.offset(), zxid, payload };
                    self.at += len + log::FRAME_LEN;
                    return Ok(Next::Record(record));
                }
                Step::More(n) if self.offset() + n as u64 <= self.len => self.fill(n)?,
                Step::More(_) | Step::Stop => return Ok(Next::End),
            }
        }
    }

    /// Replaces the window by one that begins at the cursor and holds at least `n` bytes of what is there.
    fn fill(&mut self, n: usize) -> Result<(), StoreError> {
        let start = self.offset();
        let left = usize::try_from(self.len.saturating_sub(start)).unwrap_or(usize::MAX);
        let kept = self.window.get(self.at..).unwrap_or_default();
        let have = kept.len();
        let mut bytes = vec![0; n.max(WINDOW).min(left).max(have)];
        if let Some(front) = bytes.get_mut(..have) {
            front.copy_from_slice(kept);
        }
        let room = bytes.get_mut(have..).unwrap_or_default();
        let got = self
            .file
            .read_at(start + have as u64, room)
            .map_err(|e| StoreError::io("read", &self.path, e))?;
        bytes.truncate(have + got);
        if have + got < n {
            // Cut while it is being read, or shorter than a header.
            self.len = self.len.min(start + (have + got) as u64);
        }
        self.base = start;
        self.at = 0;
        self.window = bytes.into();
        Ok(())
    }

    /// Says what stands where no record does.
    pub fn judge(&self) -> Result<LogEnd, StoreError> {
        let at = self.offset();
        let reach = (BATCH_BYTES + 2 * self.limit + WINDOW) as u64;
        let left = self.len.saturating_sub(at);
        let mut tail = vec![0; usize::try_from(left.min(reach)).unwrap_or(0)];
        let read = |offset, buf: &mut [u8]| {
            self.file.read_at(offset, buf).map_err(|e| StoreError::io("read", &self.path, e))
        };
        let n = read(at, &mut tail)?;
        tail.truncate(n);
        let end = if self.header {
            log::judge(at, &tail, self.limit)
        } else {
            log::judge_header(&tail, self.limit)
        };
        drop(tail);
        if matches!(end, LogEnd::Corrupt(..)) {
            return Ok(end);
        }
        // No batch reaches that far: whatever is written there was written later.
        let mut from = at + n as u64;
        let mut chunk = vec![0; WINDOW];
        while from < self.len {
            let n = read(from, &mut chunk)?;
            if n == 0 {
                break;
            }
            if chunk.get(..n).unwrap_or_default().iter().any(|b| *b != 0) {
                return Ok(LogEnd::Corrupt(at, Why::SoundRecordsFollow));
            }
            from += n as u64;
        }
        Ok(end)
    }
}

/// The files that may hold transactions behind `after`: the last one that begins before, and all that follow.
#[must_use]
pub fn files_behind(mut files: Vec<LogFile>, after: Zxid) -> Vec<LogFile> {
    let before = files.iter().filter(|f| f.zxid <= after).map(|f| f.zxid).max();
    files.retain(|f| f.zxid > after || Some(f.zxid) == before);
    files
}

/// May `next` directly follow `last`: [`Zxid::leads_to`].
#[must_use]
pub fn follows(last: Zxid, next: Zxid) -> bool {
    last.leads_to(next)
}

/// The durable history behind a zxid, read while the server runs. It ends at the first transaction that does
/// not follow: what is there may be used, what lies behind a gap may not.
#[derive(Debug)]
pub struct History {
    dir: DataDir,
    limit: usize,
    files: VecDeque<LogFile>,
    cursor: Option<LogCursor>,
    after: Zxid,
    until: Zxid,
    gap: Option<(Zxid, Zxid)>,
    last: Option<Zxid>,
}

impl History {
    pub(crate) fn new(dir: DataDir, limit: usize, after: Zxid, until: Zxid) -> Result<Self, StoreError> {
        let files = files_behind(dir.log_files()?, after).into();
        Ok(Self { dir, limit, files, cursor: None, after, until, gap: None, last: None })
    }

    /// The gap at which it ended, if it was one. The transaction at `after` itself need not be there any more,
    /// so the first one delivered may lie far behind: compare it with [`follows`].
    #[must_use]
    pub const fn gap(&self) -> Option<(Zxid, Zxid)> {
        self.gap
    }

    fn read(&mut self) -> Result<Option<Entry>, StoreError> {
        loop {
            let Some(cursor) = &mut self.cursor else {
                let Some(file) = self.files.pop_front() else { return Ok(None) };
                self.cursor = Some(LogCursor::open(&*self.dir.files, &file.path, self.limit)?);
                continue;
            };
            match cursor.step()? {
                Next::End => self.cursor = None,
                Next::Record(r) if r.zxid <= self.after => {}
                Next::Record(r) if r.zxid > self.until => return Ok(None),
                Next::Record(r) => {
                    if let Some(last) = self.last {
                        if r.zxid <= last {
                            continue;
                        }
                        if !follows(last, r.zxid) {
                            self.gap = Some((last, r.zxid));
                            return Ok(None);
                        }
                    }
                    self.last = Some(r.zxid);
                    return Ok(Some(Entry { zxid: r.zxid, payload: r.payload }));
                }
            }
        }
    }
}

impl Iterator for History {
    type Item = Result<Entry, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.gap.is_some() {
            return None;
        }
        self.read().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Epoch;

    #[test]
    fn what_may_follow() {
        let at = |e, c| Zxid::new(Epoch(e), c);
        assert!(follows(at(0, 7), at(0, 8)));
        assert!(!follows(at(0, 7), at(0, 9)));
        assert!(follows(at(1, 7), at(2, 1)));
        assert!(follows(at(1, 7), at(5, 1)));
        assert!(!follows(at(1, 7), at(2, 2)), "the beginning of an epoch is missing");
        assert!(follows(at(0, u32::MAX), at(1, 0)), "the plain counter carries over");
        assert!(!follows(at(2, 1), at(1, 2)));
    }

    #[test]
    fn files_are_chosen_by_name() {
        let file = |z| LogFile { zxid: Zxid(z), path: format!("log.{z:x}").into(), len: 0 };
        let all = || vec![file(1), file(5), file(9)];
        let names = |after| files_behind(all(), Zxid(after)).iter().map(|f| f.zxid.0).collect::<Vec<_>>();
        assert_eq!(names(0), [1, 5, 9]);
        assert_eq!(names(4), [1, 5, 9]);
        assert_eq!(names(5), [5, 9]);
        assert_eq!(names(100), [9]);
    }
}
