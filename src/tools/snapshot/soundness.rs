//! Is a snapshot sound: checksums, a tree with parents first, access lists that exist, its own digest.
//!
//! Memory: sixteen bytes for each node, not the tree.

use super::scan::{Source, Stopped};
use crate::state::digest::node_digest;
use crate::store::Trailer;
use crate::store::format::names::Compression;
use crate::store::format::snapshot::{DIGEST_VERSION, Item, Node};
use crate::tools::failure::Failure;
use crate::tools::output::Meter;
use crate::types::path;
use crate::types::{Owner, Zxid};
use foldhash::fast::FixedState;
use hashbrown::HashSet;
use serde::Serialize;
use std::cell::Cell;
use std::hash::BuildHasher as _;

/// What a snapshot holds, and what is wrong with it.
#[derive(Debug, Serialize)]
pub(in crate::tools) struct Examination {
    pub(in crate::tools) file: String,
    /// The zxid in its name.
    pub(in crate::tools) zxid: Option<String>,
    pub(in crate::tools) length: u64,
    pub(in crate::tools) compression: &'static str,
    pub(in crate::tools) sessions: u64,
    pub(in crate::tools) access_lists: u64,
    pub(in crate::tools) nodes: u64,
    pub(in crate::tools) ephemerals: u64,
    pub(in crate::tools) data_bytes: u64,
    /// Seals that matched.
    pub(in crate::tools) seals: u8,
    /// Digest of the tree in the file; it is the state's only where no write fell into the taking.
    pub(in crate::tools) digest: String,
    /// How far the content may reach beyond the name: writes go on while a snapshot is taken.
    pub(in crate::tools) reaches: Option<String>,
    /// Worth knowing, and no damage.
    pub(in crate::tools) notes: Vec<String>,
    /// Why a server cannot use it.
    pub(in crate::tools) fault: Option<String>,
    /// Where the fault is, in the unpacked stream.
    pub(in crate::tools) offset: Option<u64>,
    #[serde(skip)]
    pub(in crate::tools) name_zxid: Option<Zxid>,
    #[serde(skip)]
    pub(in crate::tools) reach: Option<Zxid>,
}

impl Examination {
    pub(in crate::tools) fn sound(&self) -> bool {
        self.fault.is_none()
    }
}

/// Reads all of it.
pub(in crate::tools) fn examine(source: &Source) -> Result<Examination, Failure> {
    let mut check = TreeCheck::default();
    let mut meter = Meter::new(format!("checking {}", source.path.display()), source.len);
    let mut broken: Option<Stopped> = None;
    let at = Cell::new(0u64);
    let end = source.walk(
        &mut |item| {
            match item {
                Item::Session(id, _) => {
                    check.sessions.insert(id.0);
                }
                Item::Acl(id, _) => {
                    check.acls.insert(id);
                }
                Item::Node(node) => {
                    if let (Err(why), None) = (check.node(&node), &broken) {
                        broken = Some(Stopped { offset: at.get(), why });
                    }
                }
                Item::End(_) => {}
            }
            Ok(())
        },
        &mut |read| {
            at.set(read);
            meter.at(read);
        },
    )?;
    meter.finish();
    let trailer = end.as_ref().ok().copied();
    let fault = match end {
        Err(stopped) => Some(stopped),
        Ok(_) => broken.or_else(|| check.no_root()),
    };
    Ok(check.into_examination(source, trailer, fault))
}

#[derive(Default)]
struct TreeCheck {
    seen: HashSet<u128, FixedState>,
    sessions: HashSet<i64, FixedState>,
    acls: HashSet<i64, FixedState>,
    nodes: u64,
    ephemerals: u64,
    orphans: u64,
    without_acl: u64,
    bad_paths: u64,
    data_bytes: u64,
    digest: u64,
}

/// A path as 128 bits of hash. Two paths of one snapshot that share them are less likely than a flipped bit
/// that no checksum sees.
fn key(path: &str) -> u128 {
    let half = |seed| u128::from(FixedState::with_seed(seed).hash_one(path));
    half(1) << 64 | half(2)
}

impl TreeCheck {
    fn node(&mut self, node: &Node<'_>) -> Result<(), String> {
        let path = &*node.path;
        self.nodes += 1;
        self.data_bytes += node.data.map_or(0, <[u8]>::len) as u64;
        self.digest = self.digest.wrapping_add(node_digest(path, node.data, &node.stat));
        if let Owner::Ephemeral(session) = Owner::unpack(node.stat.ephemeral_owner, true) {
            self.ephemerals += 1;
            self.orphans += u64::from(!self.sessions.contains(&session.0));
        }
        self.without_acl += u64::from(node.acl != -1 && !self.acls.contains(&node.acl));
        if !self.seen.insert(key(path)) {
            return Err(format!("node {path:?} comes twice"));
        }
        if path.is_empty() {
            return Ok(());
        }
        let Some((parent, name)) = path.rsplit_once('/') else {
            return Err(format!("{path:?} is no path of a node"));
        };
        if name.is_empty() {
            return Err(format!("{path:?} is no path of a node"));
        }
        if !self.seen.contains(&key(parent)) {
            return Err(format!("node {path:?} comes without its parent"));
        }
        self.bad_paths += u64::from(path::validate(path).is_err());
        Ok(())
    }

    fn no_root(&self) -> Option<Stopped> {
        let missing = !self.seen.contains(&key(""));
        missing.then(|| Stopped { offset: 0, why: "the root is missing".to_owned() })
    }

    fn into_examination(
        self,
        source: &Source,
        trailer: Option<Trailer>,
        fault: Option<Stopped>,
    ) -> Examination {
        let mut notes = Vec::new();
        let mut note = |n: u64, text: &str| {
            if n > 0 {
                notes.push(format!("{n} {text}"));
            }
        };
        note(self.without_acl, "nodes with an access list that is not there; replaying the log mends it");
        note(self.orphans, "ephemeral nodes of sessions that are not there; a start removes them");
        note(self.bad_paths, "nodes with paths that no client could create");
        let reach = trailer.as_ref().and_then(Trailer::reach);
        // Nothing was written while it was taken: then its own digest must be that of what is in it.
        if let (Some(Trailer { digest: Some(d), last_zxid: Some(last) }), Some(name)) = (trailer, source.zxid)
            && d.version == DIGEST_VERSION
            && (d.zxid, last) == (name, name)
            && name != Zxid::ZERO
            && d.value.cast_unsigned() != self.digest
        {
            notes.push(format!(
                "the digest in it is {:x}, that of its nodes {:x}: the server that wrote it had diverged",
                d.value, self.digest
            ));
        }
        let seals = trailer.map_or(0, |t| 1 + u8::from(t.digest.is_some()) + u8::from(t.last_zxid.is_some()));
        let (offset, fault) = match fault {
            Some(stopped) => (Some(stopped.offset), Some(stopped.why)),
            None => (None, None),
        };
        Examination {
            file: source.path.display().to_string(),
            zxid: source.zxid.map(|z| z.to_string()),
            length: source.len,
            compression: match source.compression {
                Compression::Plain => "none",
                Compression::Gzip => "gzip",
                Compression::Snappy => "snappy",
            },
            sessions: self.sessions.len() as u64,
            access_lists: self.acls.len() as u64,
            nodes: self.nodes,
            ephemerals: self.ephemerals,
            data_bytes: self.data_bytes,
            seals,
            digest: format!("{:x}", self.digest),
            reaches: reach.map(|z| z.to_string()),
            notes,
            fault,
            offset,
            name_zxid: source.zxid,
            reach,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Files as _;
    use crate::store::files::SimFiles;
    use crate::store::format::snapshot::{Encoder, TreeDigest, empty};
    use jute::records::data::StatPersisted;
    use std::path::Path;
    use std::sync::Arc;

    fn examined(name: &str, bytes: &[u8]) -> Examination {
        let sim = SimFiles::new();
        sim.create_dirs(Path::new("/d")).unwrap();
        let path = Path::new("/d").join(name);
        sim.plant(&path, bytes);
        examine(&Source::open(Arc::new(sim), &path, 1 << 20).unwrap()).unwrap()
    }

    fn snapshot(paths: &[&str], trailer: &Trailer) -> Vec<u8> {
        let mut encoder = Encoder::new(&[], &[]);
        for path in paths {
            let stat =
                StatPersisted { czxid: 3, ephemeral_owner: i64::from(*path == "/e"), ..Default::default() };
            encoder.node(path, Some(b"12"), if *path == "/a" { 4 } else { -1 }, &stat);
        }
        encoder.finish(trailer);
        encoder.buffered().to_vec()
    }

    #[test]
    fn what_is_no_tree() {
        let fault = |paths: &[&str]| examined("snapshot.5", &snapshot(paths, &Trailer::default())).fault;
        assert_eq!(fault(&["", "/a", "/a/b"]), None);
        assert_eq!(fault(&["", "/a/b", "/a"]).unwrap(), "node \"/a/b\" comes without its parent");
        assert_eq!(fault(&["", "/a", "/a"]).unwrap(), "node \"/a\" comes twice");
        assert_eq!(fault(&["/a"]).unwrap(), "node \"/a\" comes without its parent");
        assert_eq!(fault(&[]).unwrap(), "the root is missing");
        assert_eq!(fault(&["", "a"]).unwrap(), "\"a\" is no path of a node");
    }

    #[test]
    fn notes_and_numbers() {
        let found = examined("snapshot.5", &snapshot(&["", "/a", "/e"], &Trailer::default()));
        assert!(found.sound());
        assert_eq!((found.nodes, found.ephemerals, found.data_bytes, found.seals), (3, 1, 6, 1));
        assert_eq!(found.notes.len(), 2, "{:?}", found.notes);
        let fresh = examined("snapshot.0", &empty());
        assert_eq!((fresh.digest.as_str(), fresh.seals, fresh.notes.len()), ("51c6d660", 3, 0));
    }

    #[test]
    fn a_digest_of_another_tree_is_noted_where_it_must_be_right() {
        let with = |value, last| {
            let digest = Some(TreeDigest { zxid: Zxid(5), version: 2, value });
            let trailer = Trailer { digest, last_zxid: Some(Zxid(last)) };
            examined("snapshot.5", &snapshot(&[""], &trailer))
        };
        let right = i64::from_str_radix(&with(0, 5).digest, 16).unwrap();
        assert!(with(right, 5).notes.is_empty());
        assert_eq!(with(right + 1, 5).notes.len(), 1);
        assert!(with(right + 1, 6).notes.is_empty(), "written while it was taken");
    }

    fn unpacked(bytes: &[u8], how: Compression) -> std::io::Result<Vec<u8>> {
        use std::io::Read as _;
        let mut out = Vec::new();
        crate::store::format::compress::Unpacked::new(bytes, how).read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn every_flipped_byte_is_found_in_every_packing() {
        use std::io::Write as _;
        for (name, how) in [
            ("snapshot.0", Compression::Plain),
            ("snapshot.0.gz", Compression::Gzip),
            ("snapshot.0.snappy", Compression::Snappy),
        ] {
            let mut packer = crate::store::format::compress::Packer::new(Vec::new(), how);
            packer.write_all(&empty()).unwrap();
            let good = packer.finish().unwrap();
            assert!(examined(name, &good).sound(), "{name}");
            for at in 0..good.len() {
                let mut bad = good.clone();
                bad[at] ^= 0x04;
                let found = examined(name, &bad);
                // Version and id of the header, and gzip's own header fields, are read by nobody.
                let unread = match how {
                    Compression::Plain => false,
                    Compression::Gzip => (2..10).contains(&at),
                    Compression::Snappy => (8..16).contains(&at),
                };
                // A packing may name the same bytes in more than one way.
                let same = || unpacked(&bad, how).is_ok_and(|bytes| bytes == empty());
                assert!(!found.sound() || unread || same(), "{name} byte {at}");
            }
        }
    }
}
