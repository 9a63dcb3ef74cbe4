//! The snapshot stream as it is written: sections in a buffer that the caller drains, and the sum over all of them.
//!
//! Invariant: what the caller drained is what the next seal covers, each byte once.

use super::{DIGEST_VERSION, MAGIC, SIGNATURE, Trailer, TreeDigest};
use crate::types::{SessionId, Zxid};
use core::fmt;
use jute::records::data::{Acl, StatPersisted};
use jute::{Record, writer};
use simd_adler32::Adler32;

/// What stands before the nodes, in a file and in a stream: sessions and access lists.
pub fn begin(out: &mut Vec<u8>, sessions: &[(SessionId, i32)], acls: &[(i64, Vec<Acl<'static>>)]) {
    writer::count(out, Some(sessions.len()));
    for (id, timeout) in sessions {
        writer::i64(out, id.0);
        writer::i32(out, *timeout);
    }
    writer::count(out, Some(acls.len()));
    for (id, list) in acls {
        writer::i64(out, *id);
        writer::count(out, Some(list.len()));
        for acl in list {
            acl.write(out);
        }
    }
}

/// A node; a parent comes before its children.
pub fn put_node(out: &mut Vec<u8>, path: &str, data: Option<&[u8]>, acl: i64, stat: &StatPersisted) {
    writer::text(out, Some(path));
    writer::buffer(out, data);
    writer::i64(out, acl);
    stat.write(out);
}

/// The end of a stream to a learner.
pub fn sign(out: &mut Vec<u8>) {
    writer::text(out, Some("/"));
    writer::text(out, Some(SIGNATURE));
}

/// Writes a snapshot: bytes gather in a buffer that the caller takes away as it likes.
pub struct Encoder {
    pub(super) buffer: Vec<u8>,
    adler: Adler32,
    summed: usize,
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").field("buffered", &self.buffer.len()).finish_non_exhaustive()
    }
}

impl Encoder {
    /// Starts with header, sessions and access lists.
    #[must_use]
    pub fn new(sessions: &[(SessionId, i32)], acls: &[(i64, Vec<Acl<'static>>)]) -> Self {
        let mut out = Vec::with_capacity(64 * 1024);
        writer::i32(&mut out, MAGIC);
        writer::i32(&mut out, 2);
        writer::i64(&mut out, -1);
        begin(&mut out, sessions, acls);
        Self { buffer: out, adler: Adler32::new(), summed: 0 }
    }

    /// Appends a node; a parent comes before its children.
    pub fn node(&mut self, path: &str, data: Option<&[u8]>, acl: i64, stat: &StatPersisted) {
        put_node(&mut self.buffer, path, data, acl, stat);
    }

    /// Bytes waiting.
    #[must_use]
    pub fn buffered(&self) -> &[u8] {
        &self.buffer
    }

    /// The waiting bytes were written.
    pub fn drained(&mut self) {
        self.sum();
        self.buffer.clear();
        self.summed = 0;
    }

    /// Ends the nodes, seals, and writes the sections: the digest when there is one, the last zxid only
    /// behind a digest, because a reader that looks for a digest would take it for one.
    pub fn finish(&mut self, trailer: &Trailer) {
        writer::text(&mut self.buffer, Some("/"));
        self.seal();
        let Some(digest) = trailer.digest else { return };
        writer::i64(&mut self.buffer, digest.zxid.0);
        writer::i32(&mut self.buffer, digest.version);
        writer::i64(&mut self.buffer, digest.value);
        self.seal();
        let Some(last) = trailer.last_zxid else { return };
        writer::i64(&mut self.buffer, last.0);
        self.seal();
    }

    fn sum(&mut self) {
        self.adler.write(self.buffer.get(self.summed..).unwrap_or_default());
        self.summed = self.buffer.len();
    }

    pub(super) fn seal(&mut self) {
        self.sum();
        let sum = i64::from(self.adler.clone().finish());
        writer::i64(&mut self.buffer, sum);
        writer::text(&mut self.buffer, Some("/"));
    }
}

/// The snapshot of a server that has never seen a write, as the reference writes it.
#[must_use]
pub fn empty() -> Vec<u8> {
    use std::borrow::Cow::Borrowed;
    let anyone = jute::records::data::Id { scheme: Some(Borrowed("world")), id: Some(Borrowed("anyone")) };
    let mut encoder = Encoder::new(&[], &[(1, vec![Acl { perms: 1, id: anyone }])]);
    let zero = StatPersisted::default();
    let config = StatPersisted { aversion: -1, ..zero.clone() };
    encoder.node("", Some(b""), -1, &zero);
    encoder.node("/zookeeper", Some(b""), -1, &zero);
    encoder.node("/zookeeper/config", Some(b""), 1, &config);
    encoder.node("/zookeeper/quota", Some(b""), -1, &zero);
    let digest = TreeDigest { zxid: Zxid::ZERO, version: DIGEST_VERSION, value: 0 };
    encoder.finish(&Trailer { digest: Some(digest), last_zxid: Some(Zxid::ZERO) });
    encoder.buffer
}
