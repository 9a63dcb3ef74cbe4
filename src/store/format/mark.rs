//! The durable mark: our own note of how far the log is known to be on disk.
//!
//! The reference's log format cannot tell a batch that a crash tore apart from damage to what was acknowledged:
//! both are wrong bytes near the end. The mark can. It is written after a sync returned and never synced for
//! its own sake, so it may be older than the truth, but never ahead of it. It is a help and no truth of its
//! own: missing or unreadable, recovery goes by the log alone.

use crate::types::Zxid;
use simd_adler32::Adler32;

/// Length of the file.
pub const LEN: usize = 40;

const MAGIC: [u8; 8] = *b"QLDURAB1";

/// A statement: in `log.<file>` everything before `offset` is durable, and `last` is the transaction there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The zxid in the name of the log file.
    pub file: Zxid,
    /// End of the last durable record.
    pub offset: u64,
    /// Its zxid.
    pub last: Zxid,
}

impl Mark {
    /// The bytes of the file.
    #[must_use]
    pub fn encode(&self) -> [u8; LEN] {
        let mut out = Vec::with_capacity(LEN);
        out.extend_from_slice(&MAGIC);
        jute::writer::i64(&mut out, self.file.0);
        jute::writer::i64(&mut out, self.offset.cast_signed());
        jute::writer::i64(&mut out, self.last.0);
        let sum = sum(&out);
        jute::writer::i64(&mut out, sum);
        let mut bytes = [0; LEN];
        bytes.copy_from_slice(&out);
        bytes
    }

    /// Reads one; `None` when it is torn, damaged or something else.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, _) = bytes.split_at_checked(LEN - 8)?;
        let mut r = jute::Reader::new(bytes);
        if r.take(MAGIC.len()).ok()? != MAGIC {
            return None;
        }
        let mark = Self {
            file: Zxid(r.i64().ok()?),
            offset: r.i64().ok()?.cast_unsigned(),
            last: Zxid(r.i64().ok()?),
        };
        let stored = r.i64().ok()?;
        (r.finish().is_ok() && stored == sum(body)).then_some(mark)
    }
}

fn sum(bytes: &[u8]) -> i64 {
    let mut adler = Adler32::new();
    adler.write(bytes);
    i64::from(adler.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_byte_makes_it_unreadable() {
        let mark = Mark { file: Zxid(0x1_0000_0001), offset: 4711, last: Zxid(0x1_0000_0009) };
        let good = mark.encode();
        assert_eq!(Mark::decode(&good), Some(mark));
        for at in 0..LEN {
            let mut bad = good;
            bad[at] ^= 0x10;
            assert_eq!(Mark::decode(&bad), None, "byte {at}");
            assert_eq!(Mark::decode(&good[..at]), None);
        }
    }
}
