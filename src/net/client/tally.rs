//! What a batch of replies comes to: counted while they are written, handed to the server once per batch.
//!
//! Invariant: it only looks at bytes that were written; it never changes an answer.

use crate::wire::{Envelope, ReadRequest, Request};
use jute::Text;
use std::borrow::Cow;

/// Bytes in front of the body of a reply: length, xid, zxid, error.
const HEAD: usize = 20;

/// Bytes of a stat in a reply.
const STAT: usize = 68;

/// Reads of one namespace: how many, and of how many bytes of path, data and stat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reads {
    /// How many.
    pub count: u64,
    /// Bytes in all.
    pub sum: i64,
    /// Bytes of the smallest.
    pub min: i64,
    /// Bytes of the largest.
    pub max: i64,
}

/// Replies so far. Sizes are without the length prefix.
#[derive(Debug, Default)]
pub struct Tally<'f> {
    /// Replies.
    pub replies: u64,
    /// Bytes of replies.
    pub bytes: u64,
    /// Size of the last reply or event.
    pub last: i64,
    /// Size of the smallest.
    pub min: i64,
    /// Size of the largest.
    pub max: i64,
    /// Events that setWatches made up for.
    pub events: u64,
    /// Bytes of events.
    pub event_bytes: u64,
    namespace: Option<&'f str>,
    reads: Reads,
}

impl<'f> Tally<'f> {
    /// `frames` is what `request` was answered with: events first, the reply last. Reads of another namespace
    /// than this one's are done with, and handed to `done`.
    pub fn add(&mut self, request: &Envelope<'f>, frames: &[u8], done: impl FnMut(&str, Reads)) {
        let mut rest = frames;
        while let Some((frame, behind)) = split_frame(rest) {
            let size = i64::try_from(frame.len() - 4).unwrap_or(i64::MAX);
            self.min = if self.replies + self.events == 0 { size } else { self.min.min(size) };
            self.max = self.max.max(size);
            self.last = size;
            if behind.is_empty() {
                self.replies += 1;
                self.bytes += frame.len() as u64;
                self.read(request, frame, done);
                return;
            }
            self.events += 1;
            self.event_bytes += frame.len() as u64;
            rest = behind;
        }
    }

    fn read(&mut self, request: &Envelope<'f>, frame: &[u8], mut done: impl FnMut(&str, Reads)) {
        let Ok(Request::Read(read)) = &request.request else { return };
        let Some(Cow::Borrowed(path)) = path_of(read) else { return };
        let Some(bytes) = bytes_read(read, frame) else { return };
        let namespace = path.strip_prefix('/').and_then(|p| p.split('/').next()).filter(|n| !n.is_empty());
        if namespace != self.namespace {
            self.finish(&mut done);
            self.namespace = namespace;
        }
        let value = i64::try_from(path.len() + bytes + STAT).unwrap_or(i64::MAX);
        let reads = &mut self.reads;
        reads.min = if reads.count == 0 { value } else { reads.min.min(value) };
        reads.max = reads.max.max(value);
        reads.sum = reads.sum.saturating_add(value);
        reads.count += 1;
    }

    /// Hands out the reads that were not handed out yet.
    pub fn finish(&mut self, mut done: impl FnMut(&str, Reads)) {
        let reads = std::mem::take(&mut self.reads);
        if let Some(namespace) = self.namespace.filter(|_| reads.count > 0) {
            done(namespace, reads);
        }
    }
}

fn split_frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (prefix, _) = bytes.split_first_chunk::<4>()?;
    let length = usize::try_from(i32::from_be_bytes(*prefix)).ok()?;
    bytes.split_at_checked(length.checked_add(4)?)
}

fn path_of<'r, 'f>(read: &'r ReadRequest<'f>) -> Option<&'r Text<'f>> {
    match read {
        ReadRequest::Exists(r)
        | ReadRequest::GetData(r)
        | ReadRequest::GetChildren(r)
        | ReadRequest::GetChildren2(r) => r.path.as_ref(),
        _ => None,
    }
}

/// Data, or names of children, in a reply without an error.
fn bytes_read(read: &ReadRequest<'_>, frame: &[u8]) -> Option<usize> {
    let (head, body) = frame.split_at_checked(HEAD)?;
    if head.last_chunk::<4>() != Some(&[0; 4]) {
        return None;
    }
    let number =
        || body.first_chunk::<4>().map_or(0, |n| usize::try_from(i32::from_be_bytes(*n)).unwrap_or(0));
    // Each name has a length in front of it, and so has their list.
    let names = |rest: usize| body.len().saturating_sub(rest + 4 + 4 * number());
    Some(match read {
        ReadRequest::GetData(_) => number(),
        ReadRequest::GetChildren(_) => names(0),
        ReadRequest::GetChildren2(_) => names(STAT),
        _ => 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::parse;
    use jute::{OpCode, writer};

    fn ask(op: OpCode, path: &str) -> Vec<u8> {
        let mut frame = Vec::new();
        writer::i32(&mut frame, 1);
        writer::i32(&mut frame, op.code());
        writer::text(&mut frame, Some(path));
        frame.push(0);
        frame
    }

    fn reply(error: i32, body: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        writer::i32(&mut frame, i32::try_from(16 + body.len()).unwrap());
        writer::i32(&mut frame, 1);
        writer::i64(&mut frame, 9);
        writer::i32(&mut frame, error);
        frame.extend_from_slice(body);
        frame
    }

    fn children(names: &[&str], stat: usize) -> Vec<u8> {
        let mut body = Vec::new();
        writer::i32(&mut body, i32::try_from(names.len()).unwrap());
        names.iter().for_each(|name| writer::text(&mut body, Some(name)));
        body.resize(body.len() + stat, 7);
        reply(0, &body)
    }

    #[test]
    fn reads_are_gathered_by_namespace() {
        let data = {
            let mut body = vec![0, 0, 0, 10];
            body.resize(4 + 10 + STAT, 7);
            reply(0, &body)
        };
        let steps = [
            (ask(OpCode::GetData, "/app/a"), data.clone()),
            (ask(OpCode::GetChildren, "/app"), children(&["a", "bc"], 0)),
            (ask(OpCode::GetChildren2, "/app"), children(&["a", "bc"], STAT)),
            (ask(OpCode::Exists, "/b"), reply(0, &[7; STAT])),
            (ask(OpCode::Exists, "/b/none"), reply(-101, b"")),
            (ask(OpCode::GetData, "/"), data),
        ];
        let mut done = Vec::new();
        let mut tally = Tally::default();
        for (frame, answer) in &steps {
            tally.add(&parse(frame).unwrap(), answer, |n, r| done.push((n.to_owned(), r)));
        }
        tally.finish(|n, r| done.push((n.to_owned(), r)));
        let app = Reads { count: 3, sum: 84 + 75 + 75, min: 75, max: 84 };
        let b = Reads { count: 1, sum: 70, min: 70, max: 70 };
        assert_eq!(done, [("app".to_owned(), app), ("b".to_owned(), b)]);
        let total: usize = steps.iter().map(|step| step.1.len()).sum();
        assert_eq!((tally.replies, tally.bytes), (6, total as u64));
        assert_eq!((tally.last, tally.min, tally.max), (98, 16, 99));
    }

    #[test]
    fn events_in_front_of_a_reply_are_told_apart() {
        let frame = ask(OpCode::Exists, "/a");
        let mut answer = reply(0, b"an event");
        answer.extend(reply(0, &[7; STAT]));
        let mut tally = Tally::default();
        tally.add(&parse(&frame).unwrap(), &answer, |_, _| {});
        assert_eq!((tally.events, tally.event_bytes), (1, 28));
        assert_eq!((tally.replies, tally.bytes, tally.min, tally.last), (1, 88, 24, 84));
    }

    #[test]
    fn whatever_was_written_nothing_breaks() {
        let frame = ask(OpCode::GetData, "/a");
        for answer in [&b""[..], b"\0\0", b"\xff\xff\xff\xff", b"\0\0\0\x09short", b"\0\0\0\0"] {
            Tally::default().add(&parse(&frame).unwrap(), answer, |_, _| panic!("nothing was read"));
        }
    }
}
