//! What can go wrong on disk, grouped by what the server does about it: the reaction is in the type.
//!
//! Every message is one line that names the file, where it helps the offset, and what to do next.
//! Nothing here is ever retried: after a failed write or sync the kernel's copy cannot be trusted.

use super::files::NO_SPACE;
use crate::types::Zxid;
use std::io;
use std::path::{Path, PathBuf};

/// Why the store cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directories are missing, unusable or mixed up. Refuse to start.
    #[error("{0}")]
    DataDir(String),

    /// Somebody else works on these directories. Refuse to start.
    #[error("{} is in use by another server process; stop that one or give this one its own dataDir", .dir.display())]
    Locked {
        /// The directory whose lock is taken.
        dir: PathBuf,
    },

    /// Bytes that were once durable are no longer what was written. Refuse to start; never guess.
    #[error("{} is damaged at offset {offset}: {what}; {remedy}", .file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where in it.
        offset: u64,
        /// What was found there.
        what: String,
        /// What the operator can do.
        remedy: String,
    },

    /// Transactions are missing between two that are there. Refuse to start, or end the history there.
    #[error(
        "transactions are missing: {last} is followed by {found} in {} at offset {offset}; a log file was deleted or cut: put it back, or let this server fetch a full snapshot by moving the directory away (`quoll data verify {}` lists the files)",
        .file.display(), parent(.file)
    )]
    Hole {
        /// Where the gap shows.
        file: PathBuf,
        /// Offset of the first record behind it.
        offset: u64,
        /// Last transaction before the gap.
        last: Zxid,
        /// First one behind it.
        found: Zxid,
    },

    /// History is known to reach further than what is there. Refuse to start.
    #[error("{0}")]
    Lost(String),

    /// There are logs or snapshots, but no snapshot that can be used. Refuse to start.
    #[error("{0}")]
    NoSnapshot(String),

    /// The epoch files contradict the history or each other. Refuse to start.
    #[error("{0}")]
    Epoch(String),

    /// Reading or changing a file failed while starting or working.
    #[error("cannot {doing} {}: {source}{}", .file.display(), hint(.source))]
    Io {
        /// The verb.
        doing: &'static str,
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// Writing or syncing the log failed. Stop; nothing is acknowledged any more.
    #[error("cannot {doing} transaction log {}: {source}{}; nothing more is acknowledged, restart the server once the disk is well", .file.display(), hint(.source))]
    LogWrite {
        /// The verb.
        doing: &'static str,
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// An earlier failure has ended this log.
    #[error("the transaction log failed earlier and takes no more writes")]
    Poisoned,

    /// A transaction is longer than what a start reads back. Stop before it is written: afterwards the log would be
    /// taken for damaged.
    #[error(
        "transaction {zxid} has {len} bytes, and a start reads no more than {limit}: it is not written; raise jute.maxbuffer on every member, then restart"
    )]
    TooLong {
        /// The transaction.
        zxid: Zxid,
        /// Its length.
        len: usize,
        /// What a start reads.
        limit: usize,
    },

    /// Taking a snapshot failed.
    #[error("cannot {doing} snapshot {}: {source}{}", .file.display(), hint(.source))]
    Snapshot {
        /// The verb.
        doing: &'static str,
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// The log cannot be cut at the wanted place.
    #[error("cannot truncate the transaction log to {to}: {why}")]
    Truncate {
        /// The place.
        to: Zxid,
        /// Why not.
        why: String,
    },

    /// What was read is sound, but the one who applies it refuses it.
    #[error("{} at offset {offset} cannot be applied: {why}", .file.display())]
    Rejected {
        /// The file.
        file: PathBuf,
        /// Offset of the record.
        offset: u64,
        /// The sink's reason.
        why: String,
    },
}

fn parent(file: &Path) -> String {
    file.parent().unwrap_or(file).display().to_string()
}

fn hint(source: &io::Error) -> &'static str {
    if source.raw_os_error() == Some(NO_SPACE) {
        " (free some space on that file system: old snapshots and logs can go with `quoll purge`)"
    } else {
        ""
    }
}

impl StoreError {
    /// Exit code of the process, as the reference would give it.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::DataDir(_) | Self::Locked { .. } => 3,
            Self::Snapshot { .. } => 10,
            Self::Truncate { .. } => 13,
            _ => 1,
        }
    }

    /// A failure while starting or working, with the verb.
    #[must_use]
    pub(crate) fn io(doing: &'static str, file: &Path, source: io::Error) -> Self {
        Self::Io { doing, file: file.to_path_buf(), source }
    }

    /// A failure of the log.
    #[must_use]
    pub(crate) fn log(doing: &'static str, file: &Path, source: io::Error) -> Self {
        Self::LogWrite { doing, file: file.to_path_buf(), source }
    }

    /// A failure while taking a snapshot.
    #[must_use]
    pub(crate) fn snapshot(doing: &'static str, file: &Path, source: io::Error) -> Self {
        Self::Snapshot { doing, file: file.to_path_buf(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_the_reference_s() {
        let io = || io::Error::from_raw_os_error(NO_SPACE);
        let p = Path::new("/d/version-2/log.1");
        assert_eq!(StoreError::DataDir(String::new()).exit_code(), 3);
        assert_eq!(StoreError::snapshot("write", p, io()).exit_code(), 10);
        assert_eq!(StoreError::Truncate { to: Zxid(1), why: String::new() }.exit_code(), 13);
        assert_eq!(StoreError::log("sync", p, io()).exit_code(), 1);
        let text = StoreError::log("sync", p, io()).to_string();
        assert!(text.contains("/d/version-2/log.1") && text.contains("free some space"), "{text}");
        assert!(!text.contains('\n'));
    }
}
