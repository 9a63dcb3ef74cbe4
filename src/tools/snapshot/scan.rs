//! A snapshot file as a stream of items, up to its end or to the first fault. Memory: a window and one item.

use crate::store::files::Mode;
use crate::store::format::compress::{GZIP_MAGIC, SNAPPY_MAGIC, Unpacked};
use crate::store::format::names::{self, Compression};
use crate::store::format::snapshot::{Decoder, Item, Step};
use crate::store::{Files, Trailer};
use crate::tools::failure::Failure;
use crate::tools::io::FileReader;
use crate::types::Zxid;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The window of the decoder.
const WINDOW: usize = 512 * 1024;

/// A snapshot file.
#[derive(Clone)]
pub(in crate::tools) struct Source {
    files: Arc<dyn Files>,
    pub(in crate::tools) path: PathBuf,
    /// The zxid in its name; a renamed copy has none.
    pub(in crate::tools) zxid: Option<Zxid>,
    pub(in crate::tools) len: u64,
    pub(in crate::tools) compression: Compression,
    limit: usize,
}

/// Why reading ended before the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::tools) struct Stopped {
    /// Offset in the unpacked stream.
    pub(in crate::tools) offset: u64,
    pub(in crate::tools) why: String,
}

impl Source {
    /// Looks at a file; how it is packed is told by its name, as servers do, or else by its first bytes.
    pub(in crate::tools) fn open(files: Arc<dyn Files>, path: &Path, limit: usize) -> Result<Self, Failure> {
        let unreadable = |e: io::Error| Failure::io("open", path, &e);
        let file = files.open(path, Mode::Read).map_err(unreadable)?;
        let len = file.len().map_err(unreadable)?;
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let zxid = names::snapshot_zxid(name);
        let compression = if zxid.is_some() {
            Compression::of_name(name)
        } else {
            let mut front = [0; 8];
            let n = file.read_at(0, &mut front).map_err(unreadable)?;
            match front.get(..n).unwrap_or_default() {
                f if f.starts_with(&GZIP_MAGIC) => Compression::Gzip,
                f if f.starts_with(&SNAPPY_MAGIC) => Compression::Snappy,
                _ => Compression::Plain,
            }
        };
        Ok(Self { files, path: path.to_path_buf(), zxid, len, compression, limit })
    }

    /// Hands over every item; `read` hears how many unpacked bytes are behind.
    pub(in crate::tools) fn walk(
        &self,
        visit: &mut dyn FnMut(Item<'_>) -> Result<(), Failure>,
        read: &mut dyn FnMut(u64),
    ) -> Result<Result<Trailer, Stopped>, Failure> {
        let file =
            self.files.open(&self.path, Mode::Read).map_err(|e| Failure::io("open", &self.path, &e))?;
        let packed = io::BufReader::with_capacity(WINDOW, FileReader::new(file));
        walk(Unpacked::new(packed, self.compression), self.limit, visit, read)
    }
}

fn walk(
    mut source: impl Read,
    limit: usize,
    visit: &mut dyn FnMut(Item<'_>) -> Result<(), Failure>,
    read: &mut dyn FnMut(u64),
) -> Result<Result<Trailer, Stopped>, Failure> {
    let mut decoder = Decoder::new(limit);
    let mut window = Vec::new();
    let mut wanted = WINDOW;
    let mut base = 0u64;
    let mut last = false;
    loop {
        let missing = wanted.saturating_sub(window.len()) as u64;
        let got = (&mut source).take(missing).read_to_end(&mut window);
        last |= matches!(got, Ok(n) if (n as u64) < missing);
        loop {
            match decoder.step(&window, last) {
                Ok(Step::More) => break,
                Ok(Step::Item(Item::End(trailer))) => {
                    // A packed stream has an end and a checksum of its own: read up to it.
                    return Ok(match io::copy(&mut source, &mut io::sink()) {
                        Ok(_) => Ok(trailer),
                        Err(e) => Err(Stopped { offset: base + window.len() as u64, why: unpacking(&e) }),
                    });
                }
                Ok(Step::Item(item)) => visit(item)?,
                Err(fault) => {
                    let offset = base + decoder.used() as u64;
                    return Ok(Err(Stopped { offset, why: fault.to_string() }));
                }
            }
        }
        if let Err(e) = got {
            return Ok(Err(Stopped { offset: base + window.len() as u64, why: unpacking(&e) }));
        }
        let used = decoder.used();
        if used == 0 {
            wanted = wanted.saturating_mul(2).min(decoder.longest_item().saturating_add(WINDOW));
            continue;
        }
        decoder.advance(&window);
        window.drain(..used);
        base += used as u64;
        read(base);
        wanted = WINDOW;
    }
}

fn unpacking(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the packed stream ends in the middle".to_owned(),
        _ => format!("it cannot be unpacked: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::format::snapshot::{Encoder, empty};
    use jute::records::data::StatPersisted;

    fn read(bytes: &[u8]) -> (Vec<String>, Result<Trailer, Stopped>) {
        let mut paths = Vec::new();
        let end = walk(
            bytes,
            1 << 20,
            &mut |item| {
                if let Item::Node(node) = item {
                    paths.push(node.path.into_owned());
                }
                Ok(())
            },
            &mut |_| {},
        );
        (paths, end.unwrap())
    }

    #[test]
    fn nodes_in_front_of_a_fault_are_seen_and_the_fault_is_located() {
        let mut bytes = empty();
        let (all, end) = read(&bytes);
        assert_eq!((all.len(), end.is_ok()), (4, true));
        bytes.truncate(320);
        let (some, end) = read(&bytes);
        assert_eq!(some.len(), 3);
        assert_eq!(end, Err(Stopped { offset: 314, why: "it ends in the middle".into() }));
    }

    #[test]
    fn items_longer_than_a_window() {
        let mut encoder = Encoder::new(&[], &[]);
        encoder.node("", None, -1, &StatPersisted::default());
        for n in 0..3 {
            encoder.node(&format!("/{n}"), Some(&vec![n; 1 << 20]), -1, &StatPersisted::default());
        }
        encoder.finish(&Trailer::default());
        let (all, end) = read(encoder.buffered());
        assert_eq!((all.len(), end.is_ok()), (4, true));
    }
}
