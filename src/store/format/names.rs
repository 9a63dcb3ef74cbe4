//! File names: what they say, in the reference's own reading (`Util.getZxidFromName`).
//!
//! A name is split at its dots; the first part is the kind, the second the zxid in hexadecimal, the rest is
//! ignored. So `log.5.old` is a log of zxid 5, and no copy may ever be left behind under such a name.

use crate::types::Zxid;

/// What kind of file a name claims to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameKind {
    /// A transaction log.
    Log,
    /// A snapshot.
    Snapshot,
}

/// How a snapshot is packed, told by the last suffix of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// As it is.
    #[default]
    Plain,
    /// One gzip member.
    Gzip,
    /// The Java library's chunks of snappy blocks.
    Snappy,
}

impl Compression {
    /// The setting's reading: case does not matter, and what is not known is plain.
    #[must_use]
    pub fn from_setting(text: &str) -> Self {
        match text.to_ascii_lowercase().as_str() {
            "gz" => Self::Gzip,
            "snappy" => Self::Snappy,
            _ => Self::Plain,
        }
    }

    /// The suffix of the file name, with its dot.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Gzip => ".gz",
            Self::Snappy => ".snappy",
        }
    }

    /// What the name of a snapshot says.
    #[must_use]
    pub fn of_name(name: &str) -> Self {
        match name.rsplit_once('.') {
            Some((_, "gz")) => Self::Gzip,
            Some((_, "snappy")) => Self::Snappy,
            _ => Self::Plain,
        }
    }
}

/// The folder below `dataDir` and `dataLogDir`.
pub const FOLDER: &str = "version-2";

/// The epoch promised to a leader.
pub const ACCEPTED_EPOCH: &str = "acceptedEpoch";

/// The epoch whose history was adopted.
pub const CURRENT_EPOCH: &str = "currentEpoch";

/// The marker that lets an empty server vote.
pub const INITIALIZE: &str = "initialize";

/// Our own note of how far the log is known to be durable. No other server looks at this name.
pub const MARK: &str = "durable";

/// The note of what a snapshot from a leader replaces, while it does.
pub const INSTALL: &str = "install";

/// Prefix of half-written files. Its first part is neither `log` nor `snapshot`, so nobody takes one for data.
pub const TEMPORARY: &str = "tmp-";

/// The name of a log whose first transaction is `first`.
#[must_use]
pub fn log(first: Zxid) -> String {
    format!("log.{:x}", first.0)
}

/// The name of a snapshot.
#[must_use]
pub fn snapshot(zxid: Zxid, compression: Compression) -> String {
    format!("snapshot.{:x}{}", zxid.0, compression.suffix())
}

/// What a name claims: kind, and the zxid if it can be read.
#[must_use]
pub fn parse(name: &str) -> Option<(NameKind, Option<Zxid>)> {
    let mut parts = name.split('.');
    let kind = match parts.next()? {
        "log" => NameKind::Log,
        "snapshot" => NameKind::Snapshot,
        _ => return None,
    };
    let hex = parts.next()?;
    let zxid = i64::from_str_radix(hex, 16).ok().filter(|z| *z >= 0).map(Zxid);
    Some((kind, zxid))
}

/// The zxid of a log's name.
#[must_use]
pub fn log_zxid(name: &str) -> Option<Zxid> {
    match parse(name) {
        Some((NameKind::Log, zxid)) => zxid,
        _ => None,
    }
}

/// The zxid of a snapshot's name. One still being written by the reference (`.tmp`) is none.
#[must_use]
pub fn snapshot_zxid(name: &str) -> Option<Zxid> {
    match parse(name) {
        Some((NameKind::Snapshot, zxid)) if !name.ends_with(".tmp") => zxid,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_without_zeros() {
        assert_eq!(log(Zxid(0x1_0000_000a)), "log.10000000a");
        assert_eq!(snapshot(Zxid(0), Compression::Plain), "snapshot.0");
        assert_eq!(snapshot(Zxid(0xff), Compression::Snappy), "snapshot.ff.snappy");
    }

    #[test]
    fn the_reference_s_reading() {
        assert_eq!(log_zxid("log.5.old"), Some(Zxid(5)));
        assert_eq!(snapshot_zxid("snapshot.A.gz"), Some(Zxid(10)));
        assert_eq!(snapshot_zxid("snapshot.5.tmp"), None);
        assert_eq!(parse("log.zz"), Some((NameKind::Log, None)));
        assert_eq!(parse("log.ffffffffffffffff"), Some((NameKind::Log, None)));
        for stranger in ["log", "snapshots.5", "tmp-snapshot.5", "acceptedEpoch", "", ".", "Log.5"] {
            assert_eq!(parse(stranger), None, "{stranger}");
        }
        assert_eq!(Compression::of_name("snapshot.5.gz"), Compression::Gzip);
        assert_eq!(Compression::of_name("snapshot.5"), Compression::Plain);
        assert_eq!(Compression::from_setting("GZ"), Compression::Gzip);
        assert_eq!(Compression::from_setting("zstd"), Compression::Plain);
    }
}
