//! Files of the store as streams.

use crate::store::files::File;
use sha2::{Digest, Sha256};
use std::io::{self, Read, Write};

/// What is copied at once.
pub(super) const CHUNK: usize = 256 * 1024;

/// Reads a file from its start.
pub(super) struct FileReader {
    file: Box<dyn File>,
    offset: u64,
}

impl FileReader {
    pub(super) fn new(file: Box<dyn File>) -> Self {
        Self { file, offset: 0 }
    }
}

impl Read for FileReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read_at(self.offset, buf)?;
        self.offset += n as u64;
        Ok(n)
    }
}

/// Writes a file from its start.
pub(super) struct FileWriter {
    file: Box<dyn File>,
    offset: u64,
}

impl FileWriter {
    pub(super) fn new(file: Box<dyn File>) -> Self {
        Self { file, offset: 0 }
    }

    /// Everything is on disk afterwards; returns the length.
    pub(super) fn sync(mut self) -> io::Result<u64> {
        self.file.sync_all()?;
        Ok(self.offset)
    }
}

impl Write for FileWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.file.write_at(self.offset, buf)?;
        self.offset += buf.len() as u64;
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What went through: its length and its SHA-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seal {
    pub(super) len: u64,
    pub(super) sha256: String,
}

/// Takes bytes and remembers their length and SHA-256.
#[derive(Default)]
pub(super) struct Sealer {
    hash: Sha256,
    len: u64,
}

impl Sealer {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.len += bytes.len() as u64;
    }

    pub(super) fn finish(self) -> Seal {
        let sha256 = self.hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
        Seal { len: self.len, sha256 }
    }
}

/// Copies everything; `through` hears how many bytes went through so far.
pub(super) fn copy(
    from: &mut dyn Read,
    to: &mut dyn Write,
    through: &mut dyn FnMut(u64),
) -> io::Result<Seal> {
    let mut sealer = Sealer::default();
    let mut chunk = vec![0; CHUNK];
    loop {
        let n = match from.read(&mut chunk) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        let bytes = chunk.get(..n).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(sealer.finish());
        }
        to.write_all(bytes)?;
        sealer.add(bytes);
        through(sealer.len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_sealed() {
        let data = vec![7u8; CHUNK + 5];
        let mut copied = Vec::new();
        let mut told = 0;
        let seal = copy(&mut &data[..], &mut copied, &mut |n| told = n).unwrap();
        assert_eq!((copied.len() as u64, seal.len, told), (seal.len, CHUNK as u64 + 5, seal.len));
        let empty = copy(&mut &b""[..], &mut Vec::new(), &mut |_| {}).unwrap().sha256;
        assert_eq!(empty, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
