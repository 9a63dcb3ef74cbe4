//! The transaction log: header, record framing, and the reading of what a crash or a bad disk left behind.
//!
//! Scanning never repairs. It says how a file ends: clean, torn (a write that no sync ever covered), or
//! corrupt (bytes that were whole once). The difference decides whether a server may start, so the rules are
//! spelled out at [`judge`].

use crate::types::Zxid;
use crate::types::limits::COMMIT_BATCH;
use bytes::Bytes;
use core::fmt;

/// "ZKLG"
pub const MAGIC: i32 = 0x5A4B_4C47;

/// Length of the file header.
pub const HEADER_LEN: usize = 16;

/// Checksum and length, in front of a payload.
pub const PREFIX_LEN: usize = 12;

/// What a record costs beyond its payload: checksum, length, end byte.
pub const FRAME_LEN: usize = PREFIX_LEN + 1;

/// The byte behind every payload.
pub const END: u8 = 0x42;

/// A payload starts with a transaction header, and is never shorter.
pub const TXN_HEADER_LEN: usize = 32;

/// A payload longer than this makes the reference refuse to start (`jute.maxbuffer` twice).
pub const DEFAULT_LIMIT: usize = 2 * 0xf_ffff;

/// Disks write whole sectors of this size or nothing of them.
pub const SECTOR: u64 = 512;

/// Bytes one batch may put between two syncs before it is closed. It bounds how far a torn write can reach.
pub const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// The first bytes of a log.
#[must_use]
pub fn header() -> [u8; HEADER_LEN] {
    let mut out = [0; HEADER_LEN];
    if let Some((magic, rest)) = out.split_first_chunk_mut::<4>() {
        *magic = MAGIC.to_be_bytes();
        if let Some((version, _)) = rest.split_first_chunk_mut::<4>() {
            *version = 2i32.to_be_bytes();
        }
    }
    out
}

/// Is this the header of a log? Only the magic counts.
#[must_use]
pub fn is_header(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER_LEN && bytes.starts_with(&MAGIC.to_be_bytes())
}

/// Adler-32 as stored: zero-extended.
#[must_use]
pub fn checksum(payload: &[u8]) -> i64 {
    let mut adler = simd_adler32::Adler32::new();
    adler.write(payload);
    i64::from(adler.finish())
}

/// Appends a framed payload.
pub fn push_record(out: &mut Vec<u8>, payload: &[u8]) {
    out.reserve(payload.len() + FRAME_LEN);
    jute::writer::i64(out, checksum(payload));
    jute::writer::i32(out, i32::try_from(payload.len()).unwrap_or(i32::MAX));
    out.extend_from_slice(payload);
    out.push(END);
}

/// The zxid inside a payload.
#[must_use]
pub fn payload_zxid(payload: &[u8]) -> Option<Zxid> {
    if payload.len() < TXN_HEADER_LEN {
        return None;
    }
    let bytes = payload.get(12..20)?.first_chunk::<8>()?;
    Some(Zxid(i64::from_be_bytes(*bytes)))
}

/// What stands at the front of a window into the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A sound record: its payload is `window[12..12 + len]`, and it takes `len + 13` bytes.
    Record {
        /// Its zxid.
        zxid: Zxid,
        /// Length of the payload.
        len: usize,
    },
    /// The window is too short to tell; it takes this many bytes to go on.
    More(usize),
    /// No sound record here: padding, a tear or damage. [`judge`] tells which.
    Stop,
}

/// Reads the record at the front of `window`. A record that would be longer than `limit` is none.
#[must_use]
pub fn step(window: &[u8], limit: usize) -> Step {
    let Some((len, stored)) = prefix(window) else { return Step::More(PREFIX_LEN) };
    let len = match usize::try_from(len) {
        Ok(len) if (TXN_HEADER_LEN..=limit).contains(&len) => len,
        _ => return Step::Stop,
    };
    let Some(payload) = window.get(PREFIX_LEN..PREFIX_LEN + len) else {
        return Step::More(len + FRAME_LEN);
    };
    match window.get(PREFIX_LEN + len) {
        None => Step::More(len + FRAME_LEN),
        Some(&END) if checksum(payload) == stored => match payload_zxid(payload) {
            Some(zxid) => Step::Record { zxid, len },
            None => Step::Stop,
        },
        Some(_) => Step::Stop,
    }
}

fn prefix(window: &[u8]) -> Option<(i32, i64)> {
    let (sum, rest) = window.split_first_chunk::<8>()?;
    let len = rest.first_chunk::<4>()?;
    Some((i32::from_be_bytes(*len), i64::from_be_bytes(*sum)))
}

/// Why bytes are damaged rather than torn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The file does not begin as a log does.
    Magic,
    /// The payload is whole but for its length field.
    Length,
    /// A length that no record can have.
    ImpossibleLength(i32),
    /// The frame is whole, the checksum is not.
    Checksum,
    /// The byte behind the payload is wrong, and no tear explains it.
    EndByte,
    /// Sound records follow that no single batch could have held.
    SoundRecordsFollow,
    /// It lies before the point that is known to be durable.
    KnownDurable,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => f.write_str("the header is not that of a transaction log"),
            Self::Length => f.write_str("the length of a record was altered"),
            Self::ImpossibleLength(n) => write!(f, "a record claims a length of {n}"),
            Self::Checksum => f.write_str("the checksum of a record does not match"),
            Self::EndByte => f.write_str("a record does not end as it must"),
            Self::SoundRecordsFollow => f.write_str("sound records follow behind bytes that are none"),
            Self::KnownDurable => f.write_str("a record that is known to have been written is gone"),
        }
    }
}

/// How a log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogEnd {
    /// At the end of the file, or zeros from here on.
    Clean(u64),
    /// A write that no sync covered stands here; nothing acknowledged is lost by cutting it.
    TornTail(u64),
    /// Something that was whole is damaged here.
    Corrupt(u64, Why),
}

impl LogEnd {
    /// Where the sound part ends.
    #[must_use]
    pub const fn offset(self) -> u64 {
        match self {
            Self::Clean(at) | Self::TornTail(at) | Self::Corrupt(at, _) => at,
        }
    }
}

/// A sound record of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scanned {
    /// Where its frame starts.
    pub offset: u64,
    /// Its zxid.
    pub zxid: Zxid,
    /// Its payload.
    pub payload: Bytes,
}

/// Reads a whole log from memory.
#[must_use]
pub fn scan(bytes: &Bytes, limit: usize) -> (Vec<Scanned>, LogEnd) {
    let mut found = Vec::new();
    if !is_header(bytes) {
        return (found, judge_header(bytes, limit));
    }
    let mut at = HEADER_LEN;
    loop {
        let window = bytes.get(at..).unwrap_or_default();
        match step(window, limit) {
            Step::Record { zxid, len } => {
                let payload = bytes.slice(at + PREFIX_LEN..at + PREFIX_LEN + len);
                found.push(Scanned { offset: at as u64, zxid, payload });
                at += len + FRAME_LEN;
            }
            Step::More(_) | Step::Stop => return (found, judge(at as u64, window, limit)),
        }
    }
}

/// A file that does not begin as a log: torn while it was being made, or something else entirely.
#[must_use]
pub fn judge_header(bytes: &[u8], limit: usize) -> LogEnd {
    let front = bytes.get(..HEADER_LEN.min(bytes.len())).unwrap_or_default();
    let torn = if bytes.len() < HEADER_LEN {
        header().starts_with(front) || front.iter().all(|b| *b == 0)
    } else {
        // The first sector never arrived, later ones may have.
        bytes.get(..SECTOR.min(bytes.len() as u64) as usize).unwrap_or_default().iter().all(|b| *b == 0)
            && followers(bytes, HEADER_LEN, limit).fits_one_batch(limit)
    };
    if torn { LogEnd::TornTail(0) } else { LogEnd::Corrupt(0, Why::Magic) }
}

/// Tells padding, a torn write and damage apart. `tail` is the file from offset `at`, where no sound record
/// stands, to its end; it may be cut short once only zeros follow.
///
/// - Only zeros: padding. The log ends cleanly.
/// - The payload is whole under its checksum with some length other than the one stored, or with a wrong end
///   byte: it was written completely, so this is damage.
/// - The record runs past the end of the file, or the file holds only zeros from somewhere inside the record
///   on: the write stopped there, as it does when a process or a disk runs out.
/// - Some sector that the record covers holds only zeros: that sector was never written while others of the
///   same write were. Sound records behind it must fit into the same write, and the difference of the
///   checksums must not be explained by one altered byte.
/// - Everything else is damage.
#[must_use]
pub fn judge(at: u64, tail: &[u8], limit: usize) -> LogEnd {
    let Some(last) = tail.iter().rposition(|b| *b != 0) else { return LogEnd::Clean(at) };
    let Some((len, stored)) = prefix(tail) else { return LogEnd::TornTail(at) };
    if whole_with_other_length(tail, len, stored, limit) {
        return LogEnd::Corrupt(at, Why::Length);
    }
    let len = match usize::try_from(len) {
        Ok(len) if len <= limit => len,
        _ => return LogEnd::Corrupt(at, Why::ImpossibleLength(len)),
    };
    let end = PREFIX_LEN + len;
    let Some(payload) = tail.get(PREFIX_LEN..end) else { return LogEnd::TornTail(at) };
    let end_byte = tail.get(end).copied();
    let found = checksum(payload);
    if found == stored && len >= TXN_HEADER_LEN {
        // The payload arrived. Its end byte did not, or was altered.
        let unwritten = last < end || covers_blank_sector(at, tail, len + FRAME_LEN);
        return match end_byte {
            None => LogEnd::TornTail(at),
            Some(0) if unwritten => LogEnd::TornTail(at),
            Some(END) => LogEnd::Corrupt(at, Why::ImpossibleLength(i32::try_from(len).unwrap_or(i32::MAX))),
            Some(_) => LogEnd::Corrupt(at, Why::EndByte),
        };
    }
    if last < end {
        return LogEnd::TornTail(at);
    }
    let whole = end_byte == Some(END);
    if whole && one_byte_off(payload, stored, found) {
        return LogEnd::Corrupt(at, Why::Checksum);
    }
    let why = if whole { Why::Checksum } else { Why::EndByte };
    if !covers_blank_sector(at, tail, len + FRAME_LEN) {
        return LogEnd::Corrupt(at, why);
    }
    match followers(tail, 1, limit) {
        f if f.fits_one_batch(limit) => LogEnd::TornTail(at),
        _ => LogEnd::Corrupt(at, Why::SoundRecordsFollow),
    }
}

/// Is the payload whole if another length is assumed? One pass with a rolling checksum.
fn whole_with_other_length(tail: &[u8], claimed: i32, stored: i64, limit: usize) -> bool {
    let body = tail.get(PREFIX_LEN..).unwrap_or_default();
    let (mut a, mut b) = (1u32, 0u32);
    for (len, byte) in body.iter().enumerate().take(limit.saturating_add(1)) {
        if len >= TXN_HEADER_LEN
            && *byte == END
            && i64::from((b << 16) | a) == stored
            && i64::try_from(len) != Ok(i64::from(claimed))
        {
            return true;
        }
        a = (a + u32::from(*byte)) % 65521;
        b = (b + a) % 65521;
    }
    false
}

/// Would changing one byte, of the payload or of the stored checksum, make the two agree?
fn one_byte_off(payload: &[u8], stored: i64, found: i64) -> bool {
    if (stored ^ found).to_be_bytes().iter().filter(|b| **b != 0).count() == 1 {
        return true;
    }
    let Ok(stored) = u32::try_from(stored) else { return false };
    let Ok(found) = u32::try_from(found) else { return false };
    const M: i64 = 65521;
    let da = (i64::from(stored & 0xffff) - i64::from(found & 0xffff)).rem_euclid(M);
    let db = (i64::from(stored >> 16) - i64::from(found >> 16)).rem_euclid(M);
    let delta = if da > M / 2 { da - M } else { da };
    if delta == 0 || delta.abs() > 255 {
        return false;
    }
    // A byte at position p of n counts n - p times in the second sum.
    let times = db * inverse(da, M) % M;
    let n = payload.len() as i64;
    (times..=n).step_by(M as usize).filter(|t| *t > 0).any(|t| {
        let byte = usize::try_from(n - t).ok().and_then(|p| payload.get(p));
        byte.is_some_and(|b| (0..=255).contains(&(i64::from(*b) + delta)))
    })
}

/// The inverse modulo a prime.
fn inverse(value: i64, prime: i64) -> i64 {
    let (mut base, mut exponent, mut result) = (value % prime, prime - 2, 1);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = result * base % prime;
        }
        base = base * base % prime;
        exponent >>= 1;
    }
    result
}

/// Does the record at `at` cover a sector of which, from the record's start on, nothing was written?
fn covers_blank_sector(at: u64, tail: &[u8], length: usize) -> bool {
    let end = at + length as u64;
    let mut sector = at / SECTOR * SECTOR;
    while sector < end {
        let from = usize::try_from(sector.max(at) - at).unwrap_or(usize::MAX);
        let to = usize::try_from(sector + SECTOR - at).unwrap_or(usize::MAX).min(tail.len());
        if tail.get(from..to).is_none_or(|bytes| bytes.iter().all(|b| *b == 0)) {
            return true;
        }
        sector += SECTOR;
    }
    false
}

/// Sound records somewhere behind a place that holds none.
struct Followers {
    count: usize,
    reach: usize,
    /// The search gave up: too much looked like a record.
    exhausted: bool,
}

impl Followers {
    /// A batch is closed by the entry that fills it, which may be as long as an entry can be.
    const fn fits_one_batch(&self, limit: usize) -> bool {
        let longest = BATCH_BYTES.saturating_add(limit).saturating_add(FRAME_LEN);
        !self.exhausted && self.count <= COMMIT_BATCH && self.reach <= longest
    }
}

/// Looks for sound records from `from` on, at every offset: a lost sector takes the framing with it.
fn followers(tail: &[u8], from: usize, limit: usize) -> Followers {
    // A hostile file could make every offset look like a record: the work is bounded by the file's size.
    let mut budget = tail.len().saturating_mul(4).saturating_add(limit);
    let mut seen = Followers { count: 0, reach: 0, exhausted: false };
    let end = tail.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    let mut at = from;
    while at + FRAME_LEN + TXN_HEADER_LEN <= end {
        let window = tail.get(at..end).unwrap_or_default();
        let plausible = prefix(window).filter(|(_, sum)| u32::try_from(*sum).is_ok()).and_then(|(len, _)| {
            let len = usize::try_from(len).ok().filter(|n| (TXN_HEADER_LEN..=limit).contains(n))?;
            (window.get(PREFIX_LEN + len) == Some(&END)).then_some(len)
        });
        if let Some(len) = plausible {
            let Some(left) = budget.checked_sub(len) else {
                seen.exhausted = true;
                return seen;
            };
            budget = left;
            if matches!(step(window, limit), Step::Record { .. }) {
                seen.count += 1;
                at += len + FRAME_LEN;
                seen.reach = at;
                continue;
            }
        }
        at += 1;
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(zxid: i64, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        jute::writer::i64(&mut out, 0x16_095a_0000);
        jute::writer::i32(&mut out, 0);
        jute::writer::i64(&mut out, zxid);
        jute::writer::i64(&mut out, 0x1a1_f926_0435);
        jute::writer::i32(&mut out, -10);
        out.extend_from_slice(body);
        out
    }

    fn file(bodies: &[Vec<u8>]) -> Vec<u8> {
        let mut out = header().to_vec();
        for (i, body) in bodies.iter().enumerate() {
            push_record(&mut out, &payload(i as i64 + 1, body));
        }
        out
    }

    fn end_of(bytes: &[u8]) -> (usize, LogEnd) {
        let (found, end) = scan(&Bytes::copy_from_slice(bytes), DEFAULT_LIMIT);
        (found.len(), end)
    }

    fn noise(n: usize, mut seed: u32) -> Vec<u8> {
        (0..n)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 24) as u8 | 1
            })
            .collect()
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits.chunks(2).map(|p| u8::from_str_radix(core::str::from_utf8(p).unwrap(), 16).unwrap()).collect()
    }

    /// Examples 12.1 and 12.2 of the format sheet, as the reference wrote them.
    #[test]
    fn the_reference_s_bytes() {
        let real =
            hex("5a4b4c47 00000002 0000000000000000 0000000099000926 00000030 01000016095a0000 00000000
             0000000000000001 000001a1f9260435 fffffff6 00004e20 00000002 0000000051c6d660 42
             00000000b8020c15 0000005b 01000016095a0000 00000001 0000000000000002 000001a1f9260445 00000001
             00000002 2f70 00000005 68656c6c6f 00000001 0000001f 00000005 776f726c64 00000006 616e796f6e65
             00 00000001 00000002 000000009684b325 42
             000000004ebb0a62 00000024 01000016095a0000 0000000c 000000000000000d 000001a1f926047e ffffffff
             ffffff92 42");
        let (found, end) = scan(&Bytes::from(real.clone()), DEFAULT_LIMIT);
        assert_eq!(found.iter().map(|r| r.zxid.0).collect::<Vec<_>>(), [1, 2, 13]);
        assert_eq!(end, LogEnd::Clean(real.len() as u64));
        let mut written = header().to_vec();
        for record in &found {
            push_record(&mut written, &record.payload);
        }
        assert_eq!(written, real);
    }

    #[test]
    fn padding_is_a_clean_end() {
        let mut bytes = file(&[vec![1; 40], vec![2; 50]]);
        let end = bytes.len() as u64;
        assert_eq!(end_of(&bytes), (2, LogEnd::Clean(end)));
        bytes.resize(70_000, 0);
        assert_eq!(end_of(&bytes), (2, LogEnd::Clean(end)));
        assert_eq!(end_of(&header()), (0, LogEnd::Clean(16)));
    }

    /// Whatever prefix of the last write arrived, padded or not, it is a tear and the rest is kept.
    #[test]
    fn every_prefix_of_the_last_record_is_a_tear() {
        let kept = file(&[noise(60, 1)]);
        let whole = file(&[noise(60, 1), noise(700, 2)]);
        for cut in kept.len() + 1..whole.len() {
            for padded in [0, 8192] {
                let mut bytes = whole[..cut].to_vec();
                bytes.resize(cut.max(padded), 0);
                let (found, end) = end_of(&bytes);
                assert_eq!((found, end.offset()), (1, kept.len() as u64), "cut at {cut}");
                let zeros = bytes[kept.len()..].iter().all(|b| *b == 0);
                assert_eq!(matches!(end, LogEnd::Clean(_)), zeros, "cut at {cut}: {end:?}");
                assert!(!matches!(end, LogEnd::Corrupt(..)), "cut at {cut}: {end:?}");
            }
        }
    }

    /// Any set of sectors of an unsynced batch may be missing.
    #[test]
    fn missing_sectors_of_a_batch_are_a_tear() {
        let kept = file(&[noise(100, 1), noise(100, 2)]);
        let bodies: Vec<Vec<u8>> =
            (1..=12).map(|i| noise(if i < 3 { 100 } else { 150 * i }, i as u32)).collect();
        let mut whole = file(&bodies);
        whole.resize(16_384, 0);
        let data_end = file(&bodies).len();
        let sectors = data_end.div_ceil(512);
        for first in 0..sectors {
            for second in first..sectors {
                let mut torn = whole.clone();
                for sector in [first, second] {
                    let from = (sector * 512).max(kept.len());
                    torn[from..(sector * 512 + 512).max(from)].fill(0);
                }
                if torn == whole {
                    continue;
                }
                let (found, end) = end_of(&torn);
                assert!(matches!(end, LogEnd::TornTail(_) | LogEnd::Clean(_)), "{first} {second}: {end:?}");
                assert!(found >= 2);
            }
        }
    }

    /// One altered byte of what was written is never taken for a tear.
    #[test]
    fn every_altered_byte_is_found() {
        for padded in [0, 8192] {
            for zeros in [false, true] {
                let body = if zeros { vec![0; 1500] } else { noise(1500, 3) };
                let mut good = file(&[noise(30, 1), body, noise(20, 2)]);
                let written = good.len();
                good.resize(written.max(padded), 0);
                for at in 4..written {
                    for change in [0xff, 1, 0x80] {
                        let mut bad = good.clone();
                        bad[at] ^= change;
                        let (found, end) = end_of(&bad);
                        let harmless = (4..16).contains(&at);
                        assert_eq!(found == 3, harmless, "byte {at}");
                        assert!(
                            harmless || matches!(end, LogEnd::Corrupt(..)),
                            "byte {at} ^ {change}, zeros {zeros}, padded {padded}: {end:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn headers_torn_and_foreign() {
        assert_eq!(end_of(b""), (0, LogEnd::TornTail(0)));
        assert_eq!(end_of(&header()[..9]), (0, LogEnd::TornTail(0)));
        assert_eq!(end_of(&[0; 4096]), (0, LogEnd::TornTail(0)));
        assert_eq!(end_of(b"PK\x03\x04 something else entirely"), (0, LogEnd::Corrupt(0, Why::Magic)));
    }

    #[test]
    fn impossible_lengths_are_damage() {
        for len in [-1, i32::MIN, i32::MAX, DEFAULT_LIMIT as i32 + 1] {
            let mut bytes = file(&[noise(10, 1)]);
            let at = bytes.len() as u64;
            bytes.extend_from_slice(&[0, 0, 0, 0, 9, 9, 9, 9]);
            bytes.extend_from_slice(&len.to_be_bytes());
            bytes.extend_from_slice(&[7; 100]);
            assert_eq!(end_of(&bytes), (1, LogEnd::Corrupt(at, Why::ImpossibleLength(len))));
        }
    }

    /// With a raised `jute.maxbuffer` the last transaction of a batch may be longer than the default allows.
    #[test]
    fn a_torn_batch_may_be_as_long_as_the_limit_allows() {
        let limit = 16 << 20;
        let mut bytes = file(&[noise(4000, 1), noise(12 << 20, 2)]);
        bytes[1024..1536].fill(0);
        let (found, end) = scan(&Bytes::from(bytes), limit);
        assert_eq!((found.len(), end), (0, LogEnd::TornTail(HEADER_LEN as u64)));
    }

    #[test]
    fn too_many_followers_are_no_tear() {
        let bodies: Vec<Vec<u8>> = (0..2500).map(|i| noise(40, i)).collect();
        let mut bytes = file(&bodies);
        bytes[1024..1536].fill(0);
        let (_, end) = end_of(&bytes);
        assert!(matches!(end, LogEnd::Corrupt(_, Why::SoundRecordsFollow)), "{end:?}");
    }
}
