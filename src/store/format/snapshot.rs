//! The snapshot stream: its parts, and the decoder; encoder and decoder are without I/O. Compression is in
//! [`compress`](super::compress).
//!
//! The decoder is handed a window of the uncompressed stream and says what stands at its front; nothing it
//! returns is owned, so a million nodes cost no allocation here. Seals cover every byte before them.

mod encode;

use crate::types::{SessionId, Zxid};
use core::fmt;
use jute::records::data::{Acl, StatPersisted};
use jute::{DecodeError, Reader, Record, Text};
use simd_adler32::Adler32;

pub use encode::{Encoder, begin, empty, put_node, sign};

/// "ZKSN"
pub const MAGIC: i32 = 0x5A4B_534E;

/// Length of the file header.
pub const HEADER_LEN: usize = 16;

/// A seal: checksum and the string "/".
pub const SEAL_LEN: usize = 13;

/// The last bytes of every plain snapshot: the string "/".
pub const TAIL: [u8; 5] = [0, 0, 0, 1, b'/'];

const DIGEST_LEN: usize = 20;
const LAST_ZXID_LEN: usize = 8;
/// Bytes behind the nodes beyond which they are no sections: several times what there may be.
const TRAILER_MOST: usize = 4096;

/// The digest version this server writes and compares.
pub const DIGEST_VERSION: i32 = 2;

/// What follows the nodes: both sections or none, as every reader of any release needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trailer {
    /// Digest of the tree and the zxid it was true at.
    pub digest: Option<TreeDigest>,
    /// Last transaction in the tree when the last node was written.
    pub last_zxid: Option<Zxid>,
}

impl Trailer {
    /// The highest zxid the content may know of, as far as the trailer says.
    #[must_use]
    pub fn reach(&self) -> Option<Zxid> {
        self.digest.map(|d| d.zxid).max(self.last_zxid)
    }
}

/// A tree digest and the moment it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TreeDigest {
    /// The moment.
    pub zxid: Zxid,
    /// Version of the digest's rules.
    pub version: i32,
    /// The digest.
    pub value: i64,
}

/// One node as the stream has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node<'a> {
    /// Path; the root's is empty.
    pub path: Text<'a>,
    /// Data; null and empty differ.
    pub data: Option<&'a [u8]>,
    /// Id of its access list.
    pub acl: i64,
    /// The stat.
    pub stat: StatPersisted,
}

/// What is wrong with a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The header is not that of a snapshot.
    Magic,
    /// It ends in the middle.
    Ended,
    /// A count, length or node that no snapshot has.
    Malformed(&'static str),
    /// A field cannot be read.
    Record(DecodeError),
    /// A seal does not match what it covers.
    Seal(u8),
    /// The bytes behind the nodes are none of the known sections.
    Sections(usize),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => f.write_str("the header is not that of a snapshot"),
            Self::Ended => f.write_str("it ends in the middle"),
            Self::Malformed(what) => f.write_str(what),
            Self::Record(e) => write!(f, "a field cannot be read: {e}"),
            Self::Seal(n) => write!(f, "checksum {n} does not match"),
            Self::Sections(n) => write!(f, "{n} bytes behind the nodes are no known section"),
        }
    }
}

impl std::error::Error for Fault {}

/// One part of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item<'a> {
    /// A session and its timeout.
    Session(SessionId, i32),
    /// An access list and its id.
    Acl(i64, Vec<Acl<'a>>),
    /// A node.
    Node(Node<'a>),
    /// Everything was there and every seal matched.
    End(Trailer),
}

/// What the front of a window holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<'a> {
    /// A part.
    Item(Item<'a>),
    /// The window ends in the middle of one.
    More,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Header,
    SessionCount,
    Sessions(u32),
    AclCount,
    Acls(u32),
    Nodes,
    Trailer,
    Signature,
    Done,
}

/// Behind the nodes of a snapshot that a leader sends, in place of seals and sections.
pub const SIGNATURE: &str = "BenWasHere";

/// Reads a snapshot, window by window.
#[derive(Clone)]
pub struct Decoder {
    /// It comes from a leader and not from a file.
    streamed: bool,
    stage: Stage,
    adler: Adler32,
    /// Bytes of the current window that the checksum has seen.
    summed: usize,
    /// Bytes of the current window that were consumed.
    used: usize,
    limit: usize,
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("stage", &self.stage)
            .field("used", &self.used)
            .finish_non_exhaustive()
    }
}

impl Decoder {
    /// A decoder that refuses any string or buffer longer than `limit`.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { streamed: false, stage: Stage::Header, adler: Adler32::new(), summed: 0, used: 0, limit }
    }

    /// A decoder of what a leader sends behind SNAP: no header, no seals, a signature at the end. Its end is
    /// followed by packets.
    #[must_use]
    pub fn streamed(limit: usize) -> Self {
        Self { streamed: true, stage: Stage::SessionCount, ..Self::new(limit) }
    }

    /// Consumed bytes of the window.
    #[must_use]
    pub const fn used(&self) -> usize {
        self.used
    }

    /// The longest window an item may need.
    #[must_use]
    pub const fn longest_item(&self) -> usize {
        // Path and data at the limit, or an access list: a list beyond that has no place in a request.
        self.limit.saturating_mul(2).saturating_add(4096)
    }

    /// Reads on in `window`, whose consumed front stays where it was until [`Decoder::advance`]. `last` says
    /// that nothing follows the window.
    pub fn step<'a>(&mut self, window: &'a [u8], last: bool) -> Result<Step<'a>, Fault> {
        loop {
            let rest = window.get(self.used..).unwrap_or_default();
            let mut r = Reader::new(rest);
            let read = match self.stage {
                Stage::Header => self.header(&mut r).map(|()| None),
                Stage::SessionCount => self.count(&mut r, Stage::Sessions).map(|()| None),
                Stage::Sessions(0) => {
                    self.stage = Stage::AclCount;
                    continue;
                }
                Stage::Sessions(left) => self.session(&mut r, left).map(Some),
                Stage::AclCount => self.count(&mut r, Stage::Acls).map(|()| None),
                Stage::Acls(0) => {
                    self.stage = Stage::Nodes;
                    continue;
                }
                Stage::Acls(left) => self.acl(&mut r, left).map(Some),
                Stage::Nodes => self.node(&mut r),
                // Whether it came in one piece or in many: so much is no end that any release writes.
                Stage::Trailer if rest.len() >= TRAILER_MOST => return Err(Fault::Sections(TRAILER_MOST)),
                Stage::Trailer if !last => return Ok(Step::More),
                Stage::Signature => self.signature(&mut r).map(Some),
                Stage::Trailer => {
                    let trailer = self.trailer(window)?;
                    self.stage = Stage::Done;
                    return Ok(Step::Item(Item::End(trailer)));
                }
                Stage::Done => return Err(Fault::Malformed("it goes on behind its end")),
            };
            match read {
                Ok(item) => {
                    self.used += rest.len() - r.remaining();
                    if let Some(item) = item {
                        return Ok(Step::Item(item));
                    }
                }
                Err(Fault::Record(DecodeError::Short { .. })) if last => return Err(Fault::Ended),
                Err(Fault::Record(DecodeError::Short { .. })) if rest.len() > self.longest_item() => {
                    return Err(Fault::Malformed("an item is longer than any may be"));
                }
                Err(Fault::Record(DecodeError::Short { .. })) => return Ok(Step::More),
                Err(e) => return Err(e),
            }
        }
    }

    /// The window is given up; the next one begins with its first byte that was not consumed.
    pub fn advance(&mut self, window: &[u8]) {
        self.sum(window, self.used);
        self.used = 0;
        self.summed = 0;
    }

    fn sum(&mut self, window: &[u8], to: usize) {
        if self.streamed {
            return;
        }
        self.adler.write(window.get(self.summed..to).unwrap_or_default());
        self.summed = to;
    }

    fn header(&mut self, r: &mut Reader<'_>) -> Result<(), Fault> {
        let mut at = r.clone();
        let magic = at.i32().map_err(Fault::Record)?;
        at.take(HEADER_LEN - 4).map_err(Fault::Record)?;
        if magic != MAGIC {
            return Err(Fault::Magic);
        }
        *r = at;
        self.stage = Stage::SessionCount;
        Ok(())
    }

    fn count(&mut self, r: &mut Reader<'_>, next: fn(u32) -> Stage) -> Result<(), Fault> {
        let n = r.i32().map_err(Fault::Record)?;
        self.stage = next(u32::try_from(n).map_err(|_| Fault::Malformed("a negative count"))?);
        Ok(())
    }

    fn session<'a>(&mut self, r: &mut Reader<'a>, left: u32) -> Result<Item<'a>, Fault> {
        let mut at = r.clone();
        let id = at.i64().map_err(Fault::Record)?;
        let timeout = at.i32().map_err(Fault::Record)?;
        *r = at;
        self.stage = Stage::Sessions(left - 1);
        Ok(Item::Session(SessionId(id), timeout))
    }

    fn acl<'a>(&mut self, r: &mut Reader<'a>, left: u32) -> Result<Item<'a>, Fault> {
        let mut at = r.clone();
        let id = at.i64().map_err(Fault::Record)?;
        let list = at.vector().map_err(Fault::Record)?;
        let list = list.ok_or(Fault::Malformed("an access list is null"))?;
        *r = at;
        self.stage = Stage::Acls(left - 1);
        Ok(Item::Acl(id, list))
    }

    fn node<'a>(&mut self, r: &mut Reader<'a>) -> Result<Option<Item<'a>>, Fault> {
        let mut at = r.clone();
        self.guard(&at)?;
        let path = at.text().map_err(Fault::Record)?.ok_or(Fault::Malformed("a path is null"))?;
        if path == "/" {
            *r = at;
            self.stage = if self.streamed { Stage::Signature } else { Stage::Trailer };
            return Ok(None);
        }
        self.guard(&at)?;
        let data = at.buffer().map_err(Fault::Record)?;
        let acl = at.i64().map_err(Fault::Record)?;
        let stat = StatPersisted::read(&mut at).map_err(Fault::Record)?;
        *r = at;
        Ok(Some(Item::Node(Node { path, data, acl, stat })))
    }

    fn signature<'a>(&mut self, r: &mut Reader<'a>) -> Result<Item<'a>, Fault> {
        self.guard(r)?;
        if r.text().map_err(Fault::Record)?.as_deref() != Some(SIGNATURE) {
            return Err(Fault::Malformed("the leader's signature is missing"));
        }
        self.stage = Stage::Done;
        Ok(Item::End(Trailer::default()))
    }

    /// Looks at a length before anything waits for so many bytes.
    fn guard(&self, r: &Reader<'_>) -> Result<(), Fault> {
        match r.clone().i32() {
            Ok(n) if usize::try_from(n).is_ok_and(|n| n > self.limit) => {
                Err(Fault::Malformed("a string or buffer is longer than the limit (jute.maxbuffer)"))
            }
            _ => Ok(()),
        }
    }

    /// The seal behind the nodes, and the sections told apart by how many bytes are left: a release before
    /// 3.6 writes none, 3.6 to 3.8 the digest, later ones both.
    fn trailer(&mut self, window: &[u8]) -> Result<Trailer, Fault> {
        self.seal(window, 1)?;
        let mut trailer = Trailer::default();
        let left = window.len() - self.used;
        let (digest, last) = match left {
            0 => return Ok(trailer),
            n if n == LAST_ZXID_LEN + SEAL_LEN => (false, true),
            n if n >= DIGEST_LEN + LAST_ZXID_LEN + 2 * SEAL_LEN => (true, true),
            n if n >= DIGEST_LEN + SEAL_LEN => (true, false),
            n => return Err(Fault::Sections(n)),
        };
        if digest {
            let mut r = self.section(window, DIGEST_LEN);
            trailer.digest = Some(TreeDigest {
                zxid: Zxid(r.i64().map_err(Fault::Record)?),
                version: r.i32().map_err(Fault::Record)?,
                value: r.i64().map_err(Fault::Record)?,
            });
            self.seal(window, 2)?;
        }
        if last {
            let mut r = self.section(window, LAST_ZXID_LEN);
            trailer.last_zxid = Some(Zxid(r.i64().map_err(Fault::Record)?));
            self.seal(window, 3)?;
        }
        // Behind the last section the reference reads no further, but its quick check looks at the very end.
        let rest = window.get(self.used..).unwrap_or_default();
        if rest.is_empty() || rest.ends_with(&TAIL) { Ok(trailer) } else { Err(Fault::Sections(left)) }
    }

    fn section<'a>(&mut self, window: &'a [u8], len: usize) -> Reader<'a> {
        let from = self.used;
        self.used += len;
        Reader::new(window.get(from..self.used).unwrap_or_default())
    }

    fn seal(&mut self, window: &[u8], number: u8) -> Result<(), Fault> {
        self.sum(window, self.used);
        let expected = i64::from(self.adler.clone().finish());
        let mut r = Reader::new(window.get(self.used..).unwrap_or_default());
        let stored = r.i64().map_err(|_| Fault::Ended)?;
        let tail = r.take(TAIL.len()).map_err(|_| Fault::Ended)?;
        if stored != expected || tail != TAIL {
            return Err(Fault::Seal(number));
        }
        self.used += SEAL_LEN;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jute::writer;

    const LIMIT: usize = 1 << 20;

    type Content =
        (Vec<(SessionId, i32)>, usize, Vec<(String, Option<Vec<u8>>, i64, StatPersisted)>, Trailer);

    /// Reads with windows of `chunk` bytes.
    fn read(bytes: &[u8], chunk: usize) -> Result<Content, Fault> {
        let mut decoder = Decoder::new(LIMIT);
        let (mut sessions, mut acls, mut nodes) = (Vec::new(), 0, Vec::new());
        let (mut from, mut to) = (0, 0);
        loop {
            match decoder.step(&bytes[from..to], to == bytes.len())? {
                Step::More => {
                    decoder.clone().advance(&bytes[from..to]);
                    let used = decoder.used();
                    decoder.advance(&bytes[from..to]);
                    from += used;
                    to = (to + chunk).min(bytes.len());
                }
                Step::Item(Item::Session(id, timeout)) => sessions.push((id, timeout)),
                Step::Item(Item::Acl(..)) => acls += 1,
                Step::Item(Item::Node(n)) => {
                    nodes.push((n.path.into_owned(), n.data.map(<[u8]>::to_vec), n.acl, n.stat));
                }
                Step::Item(Item::End(trailer)) => return Ok((sessions, acls, nodes, trailer)),
            }
        }
    }

    fn sample(trailer: &Trailer) -> Vec<u8> {
        let acl = Acl {
            perms: 31,
            id: jute::records::data::Id { scheme: Some("world".into()), id: Some("anyone".into()) },
        };
        let mut e = Encoder::new(&[(SessionId(7), 4000), (SessionId(-9), 1)], &[(1, vec![acl]), (5, vec![])]);
        let stat = StatPersisted { czxid: 1, mzxid: 2, ephemeral_owner: 7, pzxid: 3, ..Default::default() };
        e.node("", None, -1, &StatPersisted::default());
        e.node("/a", Some(b""), 1, &stat);
        e.node("/a/b", Some(&[9; 300]), 5, &stat);
        let mut out = e.buffered().to_vec();
        e.drained();
        e.finish(trailer);
        out.extend_from_slice(e.buffered());
        out
    }

    #[test]
    fn a_long_end_is_none_however_it_comes() {
        for more in [4000, 5000, 9000] {
            let mut bytes = sample(&full());
            bytes.extend(std::iter::repeat_n(0, more));
            bytes.extend_from_slice(&TAIL);
            for chunk in [1, 100, 4096, bytes.len()] {
                let read = read(&bytes, chunk).map(|_| ());
                assert_eq!(read.is_ok(), more == 4000, "{more} in pieces of {chunk}: {read:?}");
                assert!(more == 4000 || matches!(read, Err(Fault::Sections(TRAILER_MOST))), "{more} {chunk}");
            }
        }
    }

    fn full() -> Trailer {
        Trailer {
            digest: Some(TreeDigest { zxid: Zxid(9), version: 2, value: -5 }),
            last_zxid: Some(Zxid(11)),
        }
    }

    /// Example 12.7 of the format sheet: all 478 bytes.
    #[test]
    fn the_empty_snapshot_is_the_reference_s() {
        let bytes = empty();
        assert_eq!(bytes.len(), 478);
        assert_eq!(bytes[..20], *b"ZKSN\0\0\0\x02\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0");
        assert_eq!(bytes[411..424], [0, 0, 0, 0, 0xb8, 0xa2, 0x3b, 0x49, 0, 0, 0, 1, b'/']);
        assert_eq!(bytes[444..457], [0, 0, 0, 0, 0x95, 0xb9, 0x3d, 0x59, 0, 0, 0, 1, b'/']);
        assert_eq!(bytes[465..478], [0, 0, 0, 0, 0xbd, 0xe8, 0x3f, 0x6d, 0, 0, 0, 1, b'/']);
        let (_, acls, nodes, trailer) = read(&bytes, 4096).unwrap();
        assert_eq!((acls, nodes.len(), trailer.last_zxid), (1, 4, Some(Zxid::ZERO)));
        assert_eq!(nodes[2].3.aversion, -1);
    }

    #[test]
    fn what_is_written_is_read_in_windows_of_any_size() {
        for trailer in [full(), Trailer { last_zxid: None, ..full() }, Trailer::default()] {
            let bytes = sample(&trailer);
            let whole = read(&bytes, usize::MAX / 2).unwrap();
            assert_eq!((whole.0.len(), whole.1, whole.2.len(), whole.3), (2, 2, 3, trailer));
            assert_eq!(whole.2[0].1, None);
            assert_eq!(whole.2[1].1, Some(vec![]));
            for chunk in [1, 2, 7, 64, 400] {
                assert_eq!(read(&bytes, chunk).unwrap(), whole, "windows of {chunk}");
            }
        }
    }

    #[test]
    fn a_last_zxid_without_a_digest_is_understood() {
        let mut e = Encoder::new(&[], &[]);
        e.finish(&Trailer::default());
        writer::i64(&mut e.buffer, 11);
        e.seal();
        let (.., trailer) = read(&e.buffer, 4096).unwrap();
        assert_eq!(trailer, Trailer { digest: None, last_zxid: Some(Zxid(11)) });
    }

    #[test]
    fn every_altered_or_missing_byte_is_found() {
        let bytes = sample(&full());
        let good = read(&bytes, 4096).unwrap();
        for at in 0..bytes.len() {
            for change in [0xff, 1, 0x80] {
                let mut bad = bytes.clone();
                bad[at] ^= change;
                assert!(read(&bad, 4096).is_err(), "byte {at}");
            }
            match read(&bytes[..at], 4096) {
                Err(_) => {}
                // Cut exactly behind a seal it is an older release's snapshot: same content, fewer sections.
                Ok(shorter) => assert_eq!((&shorter.0, &shorter.2), (&good.0, &good.2), "cut at {at}"),
            }
        }
    }

    #[test]
    fn hostile_counts_and_lengths_are_refused_without_waiting() {
        let mut bytes = sample(&full())[..16].to_vec();
        writer::i32(&mut bytes, -1);
        assert_eq!(read(&bytes, 4096), Err(Fault::Malformed("a negative count")));
        bytes.truncate(16);
        writer::i32(&mut bytes, i32::MAX);
        assert_eq!(read(&bytes, 4096), Err(Fault::Ended));
        bytes.truncate(16);
        writer::i32(&mut bytes, 0);
        writer::i32(&mut bytes, 0);
        writer::i32(&mut bytes, i32::MAX);
        let mut decoder = Decoder::new(LIMIT);
        assert!(matches!(decoder.step(&bytes, false), Err(Fault::Malformed(_))));
    }
}
