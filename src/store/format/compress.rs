//! Packed snapshots: gzip, and the chunks of the Java snappy library (not the official snappy framing).
//!
//! Both are streams over any reader or writer. What is unpacked at once is bounded by the format's block, never
//! by a length that the input claims.

use super::names::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use std::io::{self, Read, Write};

/// First bytes of a gzip member.
pub const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// First bytes of the snappy container.
pub const SNAPPY_MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];

/// The Java library's block: what its writer packs at once.
pub const SNAPPY_BLOCK: usize = 32 * 1024;

/// The largest block accepted from others, packed or not.
const SNAPPY_BLOCK_LIMIT: usize = 16 * 1024 * 1024;

/// Unpacks on the fly.
pub enum Unpacked<R: Read> {
    /// Nothing to do.
    Plain(R),
    /// One gzip member.
    Gzip(Box<GzDecoder<R>>),
    /// Snappy chunks.
    Snappy(SnappyReader<R>),
}

impl<R: Read> Unpacked<R> {
    /// Reads `inner` as packed by `how`.
    pub fn new(inner: R, how: Compression) -> Self {
        match how {
            Compression::Plain => Self::Plain(inner),
            Compression::Gzip => Self::Gzip(Box::new(GzDecoder::new(inner))),
            Compression::Snappy => Self::Snappy(SnappyReader::new(inner)),
        }
    }
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(r) => r.read(buf),
            Self::Gzip(r) => r.read(buf),
            Self::Snappy(r) => r.read(buf),
        }
    }
}

/// Packs on the fly.
pub enum Packer<W: Write> {
    /// Nothing to do.
    Plain(W),
    /// One gzip member.
    Gzip(Box<GzEncoder<W>>),
    /// Snappy chunks.
    Snappy(Box<SnappyWriter<W>>),
}

impl<W: Write> Packer<W> {
    /// Writes to `inner`, packed by `how`.
    pub fn new(inner: W, how: Compression) -> Self {
        match how {
            Compression::Plain => Self::Plain(inner),
            Compression::Gzip => Self::Gzip(Box::new(GzEncoder::new(inner, flate2::Compression::default()))),
            Compression::Snappy => Self::Snappy(Box::new(SnappyWriter::new(inner))),
        }
    }

    /// Writes what is left and gives the writer back.
    pub fn finish(self) -> io::Result<W> {
        match self {
            Self::Plain(w) => Ok(w),
            Self::Gzip(w) => w.finish(),
            Self::Snappy(w) => w.finish(),
        }
    }
}

impl<W: Write> Write for Packer<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(w) => w.write(buf),
            Self::Gzip(w) => w.write(buf),
            Self::Snappy(w) => w.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(w) => w.flush(),
            Self::Gzip(w) => w.flush(),
            Self::Snappy(w) => w.flush(),
        }
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// Reads the container.
pub struct SnappyReader<R: Read> {
    inner: R,
    started: bool,
    packed: Vec<u8>,
    block: Vec<u8>,
    at: usize,
}

impl<R: Read> SnappyReader<R> {
    fn new(inner: R) -> Self {
        Self { inner, started: false, packed: Vec::new(), block: Vec::new(), at: 0 }
    }

    /// Four bytes, or the clean end.
    fn word(&mut self) -> io::Result<Option<[u8; 4]>> {
        let mut word = [0; 4];
        let mut have = 0;
        while let Some(rest) = word.get_mut(have..).filter(|rest| !rest.is_empty()) {
            match self.inner.read(rest) {
                Ok(0) if have == 0 => return Ok(None),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => have += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(Some(word))
    }

    /// Unpacks the next chunk; false at the end.
    fn next_block(&mut self) -> io::Result<bool> {
        let Some(word) = self.word()? else {
            return if self.started { Ok(false) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        };
        if SNAPPY_MAGIC.starts_with(&word) {
            // The header, at the start or where two streams were joined.
            let mut rest = [0; 12];
            self.inner.read_exact(&mut rest)?;
            if !rest.starts_with(&[b'P', b'P', b'Y', 0]) {
                return Err(bad("the snappy header is damaged"));
            }
            self.started = true;
            return self.next_block_after_header();
        }
        if !self.started {
            return Err(bad("the snappy header is missing"));
        }
        self.chunk(word)
    }

    fn next_block_after_header(&mut self) -> io::Result<bool> {
        match self.word()? {
            Some(word) => self.chunk(word),
            None => Ok(false),
        }
    }

    fn chunk(&mut self, word: [u8; 4]) -> io::Result<bool> {
        let len = usize::try_from(i32::from_be_bytes(word)).map_err(|_| bad("a negative snappy chunk"))?;
        if len > SNAPPY_BLOCK_LIMIT {
            return Err(bad("a snappy chunk is longer than any may be"));
        }
        self.packed.clear();
        if (&mut self.inner).take(len as u64).read_to_end(&mut self.packed)? < len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let unpacked =
            snap::raw::decompress_len(&self.packed).map_err(|_| bad("a snappy chunk is damaged"))?;
        // A block of this format cannot grow more than 64 bytes per 3 when it is unpacked.
        if unpacked > SNAPPY_BLOCK_LIMIT || unpacked > len.saturating_mul(22) + 64 {
            return Err(bad("a snappy chunk claims more than it can hold"));
        }
        self.block.resize(unpacked, 0);
        let n = snap::raw::Decoder::new()
            .decompress(&self.packed, &mut self.block)
            .map_err(|_| bad("a snappy chunk is damaged"))?;
        self.block.truncate(n);
        self.at = 0;
        Ok(true)
    }
}

impl<R: Read> Read for SnappyReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.at >= self.block.len() {
            if !self.next_block()? {
                return Ok(0);
            }
        }
        let rest = self.block.get(self.at..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..n), rest.get(..n)) {
            to.copy_from_slice(from);
        }
        self.at += n;
        Ok(n)
    }
}

/// Writes the container.
pub struct SnappyWriter<W: Write> {
    inner: W,
    started: bool,
    block: Vec<u8>,
    encoder: snap::raw::Encoder,
    packed: Vec<u8>,
}

impl<W: Write> SnappyWriter<W> {
    fn new(inner: W) -> Self {
        Self {
            inner,
            started: false,
            block: Vec::with_capacity(SNAPPY_BLOCK),
            encoder: snap::raw::Encoder::new(),
            packed: vec![0; snap::raw::max_compress_len(SNAPPY_BLOCK)],
        }
    }

    fn emit(&mut self) -> io::Result<()> {
        if !self.started {
            self.started = true;
            self.inner.write_all(&SNAPPY_MAGIC)?;
            self.inner.write_all(&[0, 0, 0, 1, 0, 0, 0, 1])?;
        }
        if self.block.is_empty() {
            return Ok(());
        }
        let n = self.encoder.compress(&self.block, &mut self.packed).map_err(io::Error::other)?;
        self.inner.write_all(&u32::try_from(n).unwrap_or(u32::MAX).to_be_bytes())?;
        self.inner.write_all(self.packed.get(..n).unwrap_or_default())?;
        self.block.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<W> {
        self.emit()?;
        Ok(self.inner)
    }
}

impl<W: Write> Write for SnappyWriter<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = buf.len().min(SNAPPY_BLOCK - self.block.len());
        self.block.extend_from_slice(buf.get(..n).unwrap_or_default());
        if self.block.len() == SNAPPY_BLOCK {
            self.emit()?;
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(how: Compression, data: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let mut packer = Packer::new(Vec::new(), how);
        packer.write_all(data).unwrap();
        let packed = packer.finish().unwrap();
        let mut back = Vec::new();
        Unpacked::new(&packed[..], how).read_to_end(&mut back).unwrap();
        (packed, back)
    }

    #[test]
    fn packs_and_unpacks() {
        let data: Vec<u8> = (0..200_000u32).map(|i| (i / 7 % 251) as u8).collect();
        for how in [Compression::Plain, Compression::Gzip, Compression::Snappy] {
            for n in [0, 1, SNAPPY_BLOCK - 1, SNAPPY_BLOCK, SNAPPY_BLOCK + 1, data.len()] {
                assert_eq!(round(how, &data[..n]).1, data[..n], "{how:?} {n}");
            }
        }
        let (packed, _) = round(Compression::Snappy, &data[..10]);
        assert_eq!(packed[..16], [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1]);
    }

    #[test]
    fn two_joined_containers_read_as_one() {
        let (one, _) = round(Compression::Snappy, b"one");
        let (two, _) = round(Compression::Snappy, b"two");
        let mut back = Vec::new();
        Unpacked::new(&[one, two].concat()[..], Compression::Snappy).read_to_end(&mut back).unwrap();
        assert_eq!(back, b"onetwo");
    }

    #[test]
    fn bombs_and_cuts_are_refused() {
        let read = |bytes: &[u8]| Unpacked::new(bytes, Compression::Snappy).read_to_end(&mut Vec::new());
        let mut head = SNAPPY_MAGIC.to_vec();
        head.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1]);
        let with = |tail: &[u8]| [&head[..], tail].concat();
        assert!(read(b"").is_err());
        assert!(read(&head[..12]).is_err());
        assert!(read(&with(&[0x7f, 0xff, 0xff, 0xff, 1])).is_err());
        assert!(read(&with(&[0xff, 0xff, 0xff, 0xff, 1])).is_err());
        assert!(read(&with(&[0, 0, 0, 9, 1, 2])).is_err());
        // Claims to unpack to 12 MiB from eight bytes.
        assert!(read(&with(&[0, 0, 0, 8, 0x80, 0x80, 0x80, 0x06, 0, 0, 0, 0])).is_err());
    }
}
