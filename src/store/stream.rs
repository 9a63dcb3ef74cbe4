//! A snapshot on its way between servers: taken from a living tree, put into one that is being built.
//!
//! No sockets: bytes are asked for and handed in. Invariant: what was built is complete, or it is dropped.

use super::format::snapshot::{self, Decoder, Item, Step};
use super::recover::Restore;
use super::snapshots::SnapshotSource;

/// Bytes that are asked for at once; a slice of the tree may make it somewhat more.
const CHUNK: usize = 256 * 1024;

/// Takes a tree apart, for a learner.
pub struct Outgoing {
    source: Box<dyn SnapshotSource + Send>,
    begun: bool,
    done: bool,
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outgoing")
            .field("begun", &self.begun)
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}

impl Outgoing {
    /// Of a tree, as it is while it is taken apart.
    #[must_use]
    pub fn new(source: Box<dyn SnapshotSource + Send>) -> Self {
        Self { source, begun: false, done: false }
    }

    /// Appends what comes next; false once nothing follows.
    pub fn next(&mut self, out: &mut Vec<u8>) -> bool {
        if self.done {
            return false;
        }
        if !self.begun {
            snapshot::begin(out, &self.source.sessions(), &self.source.acls());
            self.begun = true;
        }
        let full = out.len() + CHUNK;
        while out.len() < full {
            let more = self.source.next_slice(&mut |path, data, acl, stat| {
                snapshot::put_node(out, path, data, acl, stat);
            });
            if !more {
                snapshot::sign(out);
                self.done = true;
                return false;
            }
        }
        true
    }
}

/// How far the stream behind SNAP is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fed {
    /// It goes on.
    More,
    /// It ended; so many of the bytes that were handed in last belong to it.
    Done(usize),
}

/// Builds a tree out of what a leader sends.
#[derive(Debug)]
pub struct Incoming<R> {
    decoder: Decoder,
    /// Bytes of an item that is not whole yet.
    rest: Vec<u8>,
    sink: R,
    nodes: u64,
}

impl<R: Restore> Incoming<R> {
    /// Into a sink; no string or buffer may be longer than `limit`.
    #[must_use]
    pub fn new(mut sink: R, limit: usize) -> Self {
        sink.clear();
        Self { decoder: Decoder::streamed(limit), rest: Vec::new(), sink, nodes: 0 }
    }

    /// Takes bytes as they come. After an error or the end nothing more may be fed.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Fed, String> {
        let mut owned = std::mem::take(&mut self.rest);
        let before = owned.len();
        let window = if before == 0 {
            bytes
        } else {
            owned.extend_from_slice(bytes);
            &owned
        };
        loop {
            match self.decoder.step(window, false).map_err(|e| e.to_string())? {
                Step::Item(Item::Session(id, timeout)) => self.sink.session(id, timeout),
                Step::Item(Item::Acl(id, list)) => self.sink.acl(id, &list)?,
                Step::Item(Item::Node(node)) => {
                    self.nodes += 1;
                    self.sink.node(&node.path, node.data, node.acl, &node.stat)?;
                }
                Step::Item(Item::End(_)) => {
                    return Ok(Fed::Done(self.decoder.used().saturating_sub(before)));
                }
                Step::More => {
                    let used = self.decoder.used();
                    let rest = window.get(used..).unwrap_or_default().to_vec();
                    self.decoder.advance(window);
                    self.rest = rest;
                    return Ok(Fed::More);
                }
            }
        }
    }

    /// Nodes so far.
    #[must_use]
    pub fn nodes(&self) -> u64 {
        self.nodes
    }

    /// What was built.
    #[must_use]
    pub fn into_sink(self) -> R {
        self.sink
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Trailer;
    use crate::types::{Entry, SessionId, Zxid};
    use jute::records::data::{Acl, StatPersisted};

    struct Three(u32);

    impl SnapshotSource for Three {
        fn sessions(&mut self) -> Vec<(SessionId, i32)> {
            vec![(SessionId(7), 5000)]
        }
        fn acls(&mut self) -> Vec<(i64, Vec<Acl<'static>>)> {
            vec![(1, vec![Acl::default()])]
        }
        fn next_slice(&mut self, put: &mut super::super::snapshots::PutNode<'_>) -> bool {
            let path = ["", "/a", "/a/b"][self.0 as usize];
            put(path, Some(path.as_bytes()), 1, &StatPersisted::default());
            self.0 += 1;
            self.0 < 3
        }
        fn digest(&mut self) -> Option<(Zxid, i64)> {
            None
        }
        fn last_zxid(&mut self) -> Option<Zxid> {
            None
        }
    }

    #[derive(Debug, Default, PartialEq)]
    struct Seen(Vec<String>);

    impl Restore for Seen {
        fn clear(&mut self) {
            self.0.clear();
        }
        fn session(&mut self, id: SessionId, timeout: i32) {
            self.0.push(format!("{} {timeout}", id.0));
        }
        fn acl(&mut self, id: i64, list: &[Acl<'_>]) -> Result<(), String> {
            self.0.push(format!("acl {id} {}", list.len()));
            Ok(())
        }
        fn node(&mut self, path: &str, data: Option<&[u8]>, _: i64, _: &StatPersisted) -> Result<(), String> {
            assert_eq!(data, Some(path.as_bytes()));
            self.0.push(path.to_owned());
            Ok(())
        }
        fn snapshot(&mut self, _: Zxid, _: &Trailer) -> Result<(), String> {
            Ok(())
        }
        fn txn(&mut self, _: Entry) -> Result<(), String> {
            Ok(())
        }
    }

    fn bytes() -> Vec<u8> {
        let mut out = Vec::new();
        let mut outgoing = Outgoing::new(Box::new(Three(0)));
        while outgoing.next(&mut out) {}
        out
    }

    #[test]
    fn whatever_the_pieces_the_tree_arrives_and_what_follows_is_left() {
        let stream = bytes();
        assert!(stream.ends_with(b"\0\0\0\x01/\0\0\0\x0aBenWasHere"));
        let all = [stream.as_slice(), b"packets"].concat();
        for piece in 1..all.len() {
            let mut incoming = Incoming::new(Seen::default(), 1 << 20);
            let mut consumed = 0;
            for part in all.chunks(piece) {
                match incoming.feed(part).unwrap() {
                    Fed::More => consumed += part.len(),
                    Fed::Done(n) => {
                        consumed += n;
                        break;
                    }
                }
            }
            assert_eq!(consumed, stream.len(), "in pieces of {piece}");
            assert_eq!(incoming.into_sink().0, ["7 5000", "acl 1 1", "", "/a", "/a/b"]);
        }
    }

    #[test]
    fn another_end_is_none() {
        let mut stream = bytes();
        let last = stream.len() - 1;
        stream[last] ^= 1;
        assert!(Incoming::new(Seen::default(), 1 << 20).feed(&stream).unwrap_err().contains("signature"));
        let huge = [0x7f; 64];
        assert!(
            Incoming::new(Seen::default(), 1 << 20).feed(&huge).is_ok(),
            "nothing is allocated by a count"
        );
    }
}
