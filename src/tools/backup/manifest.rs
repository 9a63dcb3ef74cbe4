//! `backup.json`: what a backup holds.
//!
//! It is read from places that anybody may have written to, so a name in it is accepted only if it is one that
//! a backup can hold: no file of another kind and nothing outside the folder is ever made from it.

use crate::store::format::names;
use crate::tools::failure::Failure;
use crate::tools::io::Seal;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Its name.
pub(super) const NAME: &str = "backup.json";

/// Longest manifest that is read: some hundred thousand files.
pub(super) const LIMIT: usize = 32 * 1024 * 1024;

const FORMAT: u32 = 1;

/// One file of the backup, in `version-2`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Held {
    pub(super) name: String,
    pub(super) length: u64,
    pub(super) sha256: String,
}

impl Held {
    pub(super) fn new(name: impl Into<String>, seal: Seal) -> Self {
        Self { name: name.into(), length: seal.len, sha256: seal.sha256 }
    }

    pub(super) fn matches(&self, seal: &Seal) -> bool {
        self.length == seal.len && self.sha256 == seal.sha256
    }
}

/// The manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) format: u32,
    pub(super) created: String,
    pub(super) by: String,
    /// Everything up to here is in it.
    pub(super) zxid: String,
    pub(super) snapshot: String,
    pub(super) transactions: u64,
    pub(super) nodes: u64,
    pub(super) sessions: u64,
    pub(super) digest: Option<String>,
    /// Which server of its ensemble it was taken from.
    pub(super) my_id: Option<String>,
    pub(super) files: Vec<Held>,
}

impl Manifest {
    pub(super) const FORMAT: u32 = FORMAT;

    pub(super) fn encode(&self) -> Result<Vec<u8>, Failure> {
        let mut bytes =
            serde_json::to_vec_pretty(self).map_err(|e| Failure::Unable(format!("{NAME}: {e}")))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    pub(super) fn decode(bytes: &[u8], from: &Path) -> Result<Self, Failure> {
        let bad = |why: String| Failure::Found(format!("{NAME} of {} {why}", from.display()));
        let manifest: Self =
            serde_json::from_slice(bytes).map_err(|e| bad(format!("cannot be understood: {e}")))?;
        if manifest.format != FORMAT {
            return Err(Failure::Unable(format!(
                "{} is a backup of format {}, and this release reads {FORMAT}: use the release that wrote it ({})",
                from.display(),
                manifest.format,
                manifest.by
            )));
        }
        for (n, held) in manifest.files.iter().enumerate() {
            if !holdable(&held.name) {
                return Err(bad(format!("names {:?}, which no backup holds", held.name)));
            }
            if manifest.files.iter().skip(n + 1).any(|other| other.name == held.name) {
                return Err(bad(format!("names {:?} twice", held.name)));
            }
        }
        Ok(manifest)
    }

    pub(super) fn file(&self, name: &str) -> Option<&Held> {
        self.files.iter().find(|f| f.name == name)
    }
}

/// Logs, snapshots and the two epoch files, under nothing but letters, digits and dots.
fn holdable(name: &str) -> bool {
    let data = names::log_zxid(name).is_some() || names::snapshot_zxid(name).is_some();
    let epoch = matches!(name, names::ACCEPTED_EPOCH | names::CURRENT_EPOCH);
    (data || epoch) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(names: &[&str]) -> Vec<u8> {
        let seal = Seal { len: 1, sha256: "00".into() };
        let manifest = Manifest {
            format: FORMAT,
            created: "2026-11-20T13:22:40Z".into(),
            by: "quoll".into(),
            zxid: "0x5".into(),
            snapshot: "snapshot.0".into(),
            transactions: 5,
            nodes: 4,
            sessions: 0,
            digest: None,
            my_id: None,
            files: names.iter().map(|n| Held::new(*n, seal.clone())).collect(),
        };
        manifest.encode().unwrap()
    }

    #[test]
    fn only_names_that_a_backup_holds_are_accepted() {
        let read = |names: &[&str]| Manifest::decode(&manifest(names), Path::new("b"));
        let good = ["snapshot.0", "snapshot.5.gz", "log.1", "acceptedEpoch", "currentEpoch"];
        assert_eq!(read(&good).unwrap().files.len(), 5);
        for bad in
            ["../log.1", "log.1/../../x", "/log.1", "myid", "log.1.\u{e9}", "durable", "snapshot.5.tmp", ""]
        {
            assert!(read(&[bad]).is_err(), "{bad}");
        }
        assert!(read(&["log.1", "log.1"]).is_err());
        assert!(Manifest::decode(b"{}", Path::new("b")).is_err());
    }

    #[test]
    fn another_format_is_named() {
        let text = String::from_utf8(manifest(&[])).unwrap().replace("\"format\": 1", "\"format\": 2");
        let error = Manifest::decode(text.as_bytes(), Path::new("b")).unwrap_err();
        assert!(error.message().unwrap().contains("format 2"), "{error:?}");
    }
}
