//! Snapshots on disk: writing one while the server works, finding the usable ones, checking one.
//!
//! Invariant: a file under a snapshot's name is complete and durable. It is written under a temporary name,
//! synced, renamed, and the directory synced; a crash before that leaves nothing that anyone takes for data.

use super::datadir::{DataDir, SnapshotFile};
use super::error::StoreError;
use super::files::{File, Mode};
use super::format::compress::{self, Packer, Unpacked};
use super::format::names::{self, Compression};
use super::format::snapshot::{
    self, DIGEST_VERSION, Decoder, Encoder, Fault, Item, Node, Step, Trailer, TreeDigest,
};
use crate::types::{SessionId, Zxid};
use jute::records::data::{Acl, StatPersisted};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Candidates looked at, newest first, as many as the reference does.
pub const CANDIDATES: usize = 100;

/// What is handed to the system at once.
const CHUNK: usize = 256 * 1024;

/// A snapshot is synced every so many bytes, so that the log's own syncs never queue behind all of it.
const SYNC_STEP: u64 = 4 * 1024 * 1024;

/// The window of the decoder.
const WINDOW: usize = 256 * 1024;

/// Takes a node: path (the root's is empty), data, id of its access list, stat.
pub type PutNode<'a> = dyn FnMut(&str, Option<&[u8]>, i64, &StatPersisted) + 'a;

/// What a snapshot is made of. The state room's owner implements it over the running tree: each call may take
/// the lock for as long as it lasts, and between two calls the tree may change.
pub trait SnapshotSource {
    /// Sessions and their timeouts in ms.
    fn sessions(&mut self) -> Vec<(SessionId, i32)>;

    /// Access lists by id.
    fn acls(&mut self) -> Vec<(i64, Vec<Acl<'static>>)>;

    /// Hands over the next nodes, parents before children; false when these were the last. A slice should be
    /// small: all of it is held in memory, and it is as long as the tree is locked.
    fn next_slice(&mut self, put: &mut PutNode<'_>) -> bool;

    /// The tree's digest and its zxid now; `None` where digests are off. Asked after the last slice.
    fn digest(&mut self) -> Option<(Zxid, i64)>;

    /// The last applied transaction now. Asked after the last slice; `None` leaves the section out.
    fn last_zxid(&mut self) -> Option<Zxid>;
}

/// A written snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Where it is.
    pub path: PathBuf,
    /// Its length on disk.
    pub len: u64,
    /// Nodes in it.
    pub nodes: u64,
}

struct Sink {
    file: Box<dyn File>,
    offset: u64,
    synced: u64,
}

impl Write for Sink {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.file.write_at(self.offset, buf)?;
        self.offset += buf.len() as u64;
        if self.offset - self.synced >= SYNC_STEP {
            self.file.sync_data()?;
            self.synced = self.offset;
        }
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a snapshot named `zxid`: the last applied transaction, sampled before this call. `between` runs
/// between two slices and may pause; its false gives up.
pub fn write(
    dir: &DataDir,
    zxid: Zxid,
    compression: Compression,
    source: &mut dyn SnapshotSource,
    between: &mut dyn FnMut() -> bool,
) -> Result<Option<Written>, StoreError> {
    write_noting(dir, zxid, compression, source, between, &mut |_| Ok(()))
}

/// The same; `note` runs when everything is durable under a temporary name, which it is given, and nothing has its
/// own name yet.
pub(crate) fn write_noting(
    dir: &DataDir,
    zxid: Zxid,
    compression: Compression,
    source: &mut dyn SnapshotSource,
    between: &mut dyn FnMut() -> bool,
    note: &mut dyn FnMut(&Path) -> Result<(), StoreError>,
) -> Result<Option<Written>, StoreError> {
    let name = names::snapshot(zxid, compression);
    let path = dir.snaps.join(&name);
    let temporary = dir.snaps.join(format!("{}{name}", names::TEMPORARY));
    match write_file(dir, &temporary, compression, source, between) {
        Ok(Some((len, nodes))) => {
            note(&temporary)?;
            publish(dir, &temporary, &path)?;
            Ok(Some(Written { path, len, nodes }))
        }
        Ok(None) => {
            let _ = dir.files.remove(&temporary);
            Ok(None)
        }
        Err(e) => {
            let _ = dir.files.remove(&temporary);
            Err(StoreError::snapshot("write", &path, e))
        }
    }
}

fn publish(dir: &DataDir, temporary: &Path, path: &Path) -> Result<(), StoreError> {
    dir.files.rename(temporary, path).map_err(|e| StoreError::snapshot("rename", path, e))?;
    dir.files.sync_dir(&dir.snaps).map_err(|e| StoreError::snapshot("sync the directory of", path, e))
}

fn write_file(
    dir: &DataDir,
    temporary: &Path,
    compression: Compression,
    source: &mut dyn SnapshotSource,
    between: &mut dyn FnMut() -> bool,
) -> io::Result<Option<(u64, u64)>> {
    let file = dir.files.open(temporary, Mode::Replace)?;
    let mut out = Packer::new(Sink { file, offset: 0, synced: 0 }, compression);
    let mut encoder = Encoder::new(&source.sessions(), &source.acls());
    let mut nodes = 0;
    loop {
        let more = source.next_slice(&mut |path, data, acl, stat| {
            nodes += 1;
            encoder.node(path, data, acl, stat);
        });
        if encoder.buffered().len() >= CHUNK {
            drain(&mut encoder, &mut out)?;
        }
        // Behind the last slice, too: it may show what the others did not.
        if !between() {
            return Ok(None);
        }
        if !more {
            break;
        }
    }
    let digest = source.digest().map(|(zxid, value)| TreeDigest { zxid, version: DIGEST_VERSION, value });
    encoder.finish(&Trailer { digest, last_zxid: source.last_zxid() });
    drain(&mut encoder, &mut out)?;
    let mut sink = out.finish()?;
    sink.file.sync_all()?;
    Ok(Some((sink.offset, nodes)))
}

fn drain(encoder: &mut Encoder, out: &mut Packer<Sink>) -> io::Result<()> {
    for chunk in encoder.buffered().chunks(CHUNK) {
        out.write_all(chunk)?;
    }
    encoder.drained();
    Ok(())
}

/// Writes the snapshot of an empty database, as a new server begins.
pub(crate) fn write_empty(dir: &DataDir) -> Result<(), StoreError> {
    let name = names::snapshot(Zxid::ZERO, Compression::Plain);
    let path = dir.snaps.join(&name);
    let temporary = dir.snaps.join(format!("{}{name}", names::TEMPORARY));
    super::files::replace(&*dir.files, &path, &temporary, &snapshot::empty())
        .map_err(|e| StoreError::snapshot("write", &path, e))
}

/// The quick check before anything is parsed: a plain file ends as every snapshot does, a packed one begins
/// as its packing does.
#[must_use]
pub fn quick_check(dir: &DataDir, file: &SnapshotFile) -> bool {
    let Ok(open) = dir.files.open(&file.path, Mode::Read) else { return false };
    let mut bytes = [0; 8];
    match file.compression {
        Compression::Plain => {
            let tail = bytes.get_mut(..5).unwrap_or_default();
            file.len >= 10 && matches!(open.read_at(file.len - 5, tail), Ok(5)) && *tail == snapshot::TAIL[..]
        }
        Compression::Gzip => {
            matches!(open.read_at(0, &mut bytes), Ok(n) if n >= 2) && bytes.starts_with(&compress::GZIP_MAGIC)
        }
        Compression::Snappy => {
            matches!(open.read_at(0, &mut bytes), Ok(8)) && bytes == compress::SNAPPY_MAGIC
        }
    }
}

/// The newest snapshots that pass the quick check, at most `n`, newest first.
pub fn candidates(dir: &DataDir, n: usize) -> Result<Vec<SnapshotFile>, StoreError> {
    let mut found = Vec::new();
    for file in dir.snapshot_files()? {
        if found.len() == n {
            break;
        }
        if quick_check(dir, &file) {
            found.push(file);
        }
    }
    Ok(found)
}

/// Why a snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It cannot be read, or not be unpacked.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is no sound snapshot.
    #[error("{0}")]
    Fault(#[from] Fault),
    /// The one who takes it refuses it.
    #[error("{0}")]
    Rejected(String),
}

struct FileReader {
    file: Box<dyn File>,
    offset: u64,
}

impl Read for FileReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read_at(self.offset, buf)?;
        self.offset += n as u64;
        Ok(n)
    }
}

/// A part of a snapshot on its way from reader to taker: one window of bytes, and what stands where in it.
#[derive(Debug, Default)]
pub(crate) struct Part {
    window: Vec<u8>,
    pub(crate) sessions: Vec<(SessionId, i32)>,
    pub(crate) acls: Vec<(i64, Vec<Acl<'static>>)>,
    nodes: Vec<NodeAt>,
    pub(crate) end: Option<Trailer>,
    /// Bytes of the stream so far.
    pub(crate) read: u64,
}

#[derive(Debug)]
struct NodeAt {
    path: PathAt,
    data: Option<(usize, usize)>,
    acl: i64,
    stat: StatPersisted,
}

#[derive(Debug)]
enum PathAt {
    Window(usize, usize),
    Mended(Box<str>),
}

impl Part {
    fn node(&mut self, window: &[u8], node: Node<'_>) {
        let at = |bytes: &[u8]| {
            let from = (bytes.as_ptr() as usize).wrapping_sub(window.as_ptr() as usize);
            (from, from.wrapping_add(bytes.len()))
        };
        let path = match node.path {
            jute::Text::Borrowed(path) => {
                let (from, to) = at(path.as_bytes());
                PathAt::Window(from, to)
            }
            jute::Text::Owned(path) => PathAt::Mended(path.into_boxed_str()),
        };
        self.nodes.push(NodeAt { path, data: node.data.map(at), acl: node.acl, stat: node.stat });
    }

    /// Every node, in order.
    pub(crate) fn each_node<E>(
        &self,
        mut take: impl FnMut(&str, Option<&[u8]>, i64, &StatPersisted) -> Result<(), E>,
    ) -> Result<(), E> {
        for node in &self.nodes {
            let bytes = |(from, to)| self.window.get(from..to).unwrap_or_default();
            let path = match &node.path {
                PathAt::Window(from, to) => core::str::from_utf8(bytes((*from, *to))).unwrap_or_default(),
                PathAt::Mended(path) => path,
            };
            take(path, node.data.map(bytes), node.acl, &node.stat)?;
        }
        Ok(())
    }
}

/// Reads a whole snapshot in parts; `take` says whether to go on. `None` when it said no.
pub(crate) fn read_parts(
    dir: &DataDir,
    file: &SnapshotFile,
    limit: usize,
    take: &mut dyn FnMut(Part) -> bool,
) -> Result<Option<Trailer>, Unusable> {
    let open = dir.files.open(&file.path, Mode::Read)?;
    let source = io::BufReader::with_capacity(CHUNK, FileReader { file: open, offset: 0 });
    read_stream(Unpacked::new(source, file.compression), limit, take)
}

/// The same over any unpacked stream.
pub(crate) fn read_stream(
    mut source: impl Read,
    limit: usize,
    take: &mut dyn FnMut(Part) -> bool,
) -> Result<Option<Trailer>, Unusable> {
    let mut decoder = Decoder::new(limit);
    let mut part = Part::default();
    let mut window = Vec::new();
    let mut wanted = WINDOW;
    let mut last = false;
    loop {
        if !last {
            let missing = wanted.saturating_sub(window.len()) as u64;
            let got = (&mut source).take(missing).read_to_end(&mut window)? as u64;
            last = got < missing;
        }
        let end = loop {
            match decoder.step(&window, last)? {
                Step::More => break None,
                Step::Item(Item::Session(id, timeout)) => part.sessions.push((id, timeout)),
                Step::Item(Item::Acl(id, list)) => part.acls.push((id, list.iter().map(owned).collect())),
                Step::Item(Item::Node(node)) => part.node(&window, node),
                Step::Item(Item::End(trailer)) => break Some(trailer),
            }
        };
        let used = decoder.used();
        if used == 0 && end.is_none() {
            wanted = wanted.saturating_mul(2).min(decoder.longest_item() + WINDOW);
            continue;
        }
        decoder.advance(&window);
        let rest = window.get(used..).unwrap_or_default().to_vec();
        part.read += used as u64;
        let read = part.read;
        part.window = std::mem::replace(&mut window, rest);
        part.end = end;
        wanted = WINDOW.max(window.len());
        let whole = std::mem::replace(&mut part, Part { read, ..Part::default() });
        if !take(whole) {
            return Ok(None);
        }
        if let Some(trailer) = end {
            // A packed stream has an end of its own, with a checksum of its own: read up to it.
            io::copy(&mut source, &mut io::sink())?;
            return Ok(Some(trailer));
        }
    }
}

fn owned(acl: &Acl<'_>) -> Acl<'static> {
    let text = |t: &Option<jute::Text<'_>>| t.as_ref().map(|t| jute::Text::Owned(t.clone().into_owned()));
    Acl {
        perms: acl.perms,
        id: jute::records::data::Id { scheme: text(&acl.id.scheme), id: text(&acl.id.id) },
    }
}

/// Reads all of a snapshot and checks every seal.
pub fn verify(dir: &DataDir, file: &SnapshotFile, limit: usize) -> Result<Trailer, Unusable> {
    let trailer = read_parts(dir, file, limit, &mut |_| true)?;
    trailer.ok_or(Unusable::Fault(Fault::Ended))
}

#[cfg(test)]
mod tests {
    use super::super::files::{Fault, Files, SimFiles};
    use super::super::options::StoreOptions;
    use super::*;
    use std::sync::Arc;

    struct Nodes(usize, usize);

    impl SnapshotSource for Nodes {
        fn sessions(&mut self) -> Vec<(SessionId, i32)> {
            vec![(SessionId(5), 3000)]
        }
        fn acls(&mut self) -> Vec<(i64, Vec<Acl<'static>>)> {
            vec![(1, vec![Acl::default()])]
        }
        fn next_slice(&mut self, put: &mut PutNode<'_>) -> bool {
            for n in self.1..self.0.min(self.1 + 100) {
                let path = if n == 0 { String::new() } else { format!("/n{n}") };
                put(&path, Some(&[n as u8; 90]), 1, &StatPersisted { czxid: n as i64, ..Default::default() });
            }
            self.1 += 100;
            self.1 < self.0
        }
        fn digest(&mut self) -> Option<(Zxid, i64)> {
            Some((Zxid(9), 4))
        }
        fn last_zxid(&mut self) -> Option<Zxid> {
            Some(Zxid(9))
        }
    }

    fn open() -> (SimFiles, DataDir) {
        let sim = SimFiles::new();
        let dir = DataDir::open(Arc::new(sim.clone()), &StoreOptions::new("/d", "/d")).unwrap();
        (sim, dir)
    }

    #[test]
    fn what_is_written_is_durable_and_read_back() {
        for compression in [Compression::Plain, Compression::Gzip, Compression::Snappy] {
            let (sim, dir) = open();
            let n = 12_000;
            let written = write(&dir, Zxid(7), compression, &mut Nodes(n, 0), &mut || true).unwrap().unwrap();
            assert_eq!(written.nodes, n as u64);
            assert!(sim.unsynced(sim.recorded()).is_empty());
            let found = candidates(&dir, 9).unwrap();
            assert_eq!((found.len(), found[0].zxid, found[0].compression), (1, Zxid(7), compression));
            assert_eq!(found[0].len, written.len);
            let mut nodes = 0;
            let trailer = read_parts(&dir, &found[0], 1 << 20, &mut |part| {
                part.each_node(|path, data, _, stat| {
                    let expected = if nodes == 0 { String::new() } else { format!("/n{nodes}") };
                    assert_eq!((path, data), (&*expected, Some(&[nodes as u8; 90][..])));
                    assert_eq!(stat.czxid, nodes);
                    nodes += 1;
                    Ok::<_, ()>(())
                })
                .is_ok()
            });
            assert_eq!((nodes as usize, trailer.unwrap().unwrap().last_zxid), (n, Some(Zxid(9))));
        }
    }

    #[test]
    fn every_altered_byte_of_a_packed_one_is_found_or_harmless() {
        for compression in [Compression::Gzip, Compression::Snappy] {
            let (sim, dir) = open();
            let path =
                write(&dir, Zxid(7), compression, &mut Nodes(30, 0), &mut || true).unwrap().unwrap().path;
            let good = sim.read(&path, usize::MAX).unwrap();
            let content = |sim: &SimFiles| {
                let dir = DataDir::unlocked(Arc::new(sim.clone()), &StoreOptions::new("/d", "/d"));
                let file = candidates(&dir, 1).ok()?.pop()?;
                let mut all = Vec::new();
                let trailer = read_parts(&dir, &file, 1 << 20, &mut |part| {
                    part.each_node(|p, d, a, s| {
                        all.push((p.to_owned(), d.map(<[u8]>::to_vec), a, s.clone()));
                        Ok::<_, ()>(())
                    })
                    .is_ok()
                });
                trailer.ok()?.map(|t| (all, t))
            };
            let whole = content(&sim).unwrap();
            let mut refused = 0;
            for at in 0..good.len() {
                let mut bad = good.clone();
                bad[at] ^= 0x41;
                sim.plant(&path, &bad);
                match content(&sim) {
                    None => refused += 1,
                    Some(read) => assert_eq!(read, whole, "byte {at}"),
                }
            }
            assert!(refused > good.len() * 3 / 4, "{refused} of {}", good.len());
        }
    }

    #[test]
    fn a_failure_or_a_giving_up_leaves_nothing() {
        let (sim, dir) = open();
        assert_eq!(
            write(&dir, Zxid(7), Compression::Plain, &mut Nodes(500, 0), &mut || false).unwrap(),
            None
        );
        for after in 0..3 {
            sim.inject(Fault::NoSpace, after);
            let outcome = write(&dir, Zxid(7), Compression::Plain, &mut Nodes(500, 0), &mut || true);
            sim.heal();
            match outcome {
                Err(e) => {
                    assert_eq!(e.exit_code(), 10);
                    assert!(sim.list(&dir.snaps).unwrap().is_empty());
                }
                Ok(_) => assert!(after >= 2),
            }
        }
    }

    #[test]
    fn the_quick_check() {
        let (sim, dir) = open();
        let check = |name: &str, bytes: &[u8]| {
            sim.plant(&dir.snaps.join(name), bytes);
            let file = dir.snapshot_files().unwrap().into_iter().find(|f| f.path.ends_with(name)).unwrap();
            quick_check(&dir, &file)
        };
        assert!(check("snapshot.1", b"01234\0\0\0\x01/"));
        assert!(!check("snapshot.2", b"0123\0\0\0\x01/"));
        assert!(!check("snapshot.3", b"01234\0\0\0\x01x"));
        assert!(check("snapshot.4.gz", &[0x1f, 0x8b]));
        assert!(!check("snapshot.5.gz", &[0x1f]));
        assert!(check("snapshot.6.snappy", &compress::SNAPPY_MAGIC));
        assert!(!check("snapshot.7.snappy", b"01234\0\0\0\x01/"));
    }
}
