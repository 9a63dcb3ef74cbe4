//! Replies off one socket: as much as is there with one call, whole frames handed out, the rest kept.

use super::frame::{self, Head, Step};
use std::io::{self, Read};
use std::net::TcpStream;

/// What one read takes at most, unless a single reply is larger.
const READ: usize = 256 << 10;

/// A buffer that all sockets of a thread read through, so that it stays in the processor's cache.
#[derive(Debug)]
pub(super) struct Scratch(Vec<u8>);

impl Scratch {
    pub(super) fn new() -> Self {
        Self(vec![0; READ])
    }
}

/// The beginning of a frame whose end has not come yet.
#[derive(Debug, Default)]
pub(super) struct Inbox(Vec<u8>);

impl Inbox {
    /// Reads once. Returns the bytes at hand, or none when the socket had nothing to say.
    pub(super) fn fill<'a>(
        &self,
        mut stream: &TcpStream,
        scratch: &'a mut Scratch,
    ) -> io::Result<Option<&'a [u8]>> {
        let kept = self.0.len();
        if kept * 2 > scratch.0.len() {
            scratch.0.resize(kept * 4, 0);
        }
        let Some((front, room)) = scratch.0.split_at_mut_checked(kept) else { return Ok(None) };
        front.copy_from_slice(&self.0);
        match stream.read(room) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => Ok(scratch.0.get(..kept + n)),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Hands out the whole frames of `input` (header, and the bytes behind it) and keeps the rest. Stops with
    /// an error when the bytes are no frames or when `each` does not want to go on.
    #[inline]
    pub(super) fn take(
        &mut self,
        mut input: &[u8],
        mut each: impl FnMut(Head, &[u8]) -> bool,
    ) -> io::Result<()> {
        loop {
            match frame::step(input) {
                Step::Frame(head, body, rest) => {
                    if !each(head, body) {
                        return Err(io::ErrorKind::InvalidData.into());
                    }
                    input = rest;
                }
                Step::Partial => break,
                Step::Garbage => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
        self.0.clear();
        self.0.extend_from_slice(input);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jute::writer;
    use std::io::Write;
    use std::net::TcpListener;

    fn reply(xid: i32, body: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let mark = writer::begin_frame(&mut out);
        writer::i32(&mut out, xid);
        writer::i64(&mut out, 1);
        writer::i32(&mut out, 0);
        out.resize(out.len() + body, 7);
        writer::end_frame(&mut out, mark);
        out
    }

    #[test]
    fn frames_arrive_whole_however_the_bytes_are_cut() {
        let bytes: Vec<u8> = (1..=20).flat_map(|xid| reply(xid, usize::try_from(xid).unwrap() * 3)).collect();
        for cut in [1, 3, 19, 20, 21, 50, bytes.len()] {
            let (mut inbox, mut seen) = (Inbox::default(), Vec::new());
            for piece in bytes.chunks(cut) {
                let input = [inbox.0.clone(), piece.to_vec()].concat();
                inbox
                    .take(&input, |head, body| {
                        assert!(body.iter().all(|&b| b == 7));
                        seen.push((head.xid, body.len()));
                        true
                    })
                    .unwrap();
            }
            let due: Vec<_> = (1..=20).map(|xid| (xid, usize::try_from(xid).unwrap() * 3)).collect();
            assert_eq!(seen, due, "{cut}");
            assert!(inbox.0.is_empty());
        }
    }

    #[test]
    fn a_reply_larger_than_the_buffer_gets_through() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let writer = std::thread::spawn(move || {
            TcpStream::connect(address).unwrap().write_all(&reply(5, 3 * READ)).unwrap();
        });
        let (stream, _) = listener.accept().unwrap();
        let (mut inbox, mut scratch, mut seen) = (Inbox::default(), Scratch::new(), 0);
        while seen == 0 {
            let input = inbox.fill(&stream, &mut scratch).unwrap().unwrap();
            inbox
                .take(input, |head, _| {
                    seen = head.len;
                    true
                })
                .unwrap();
        }
        assert_eq!(seen, 3 * READ + 16);
        writer.join().unwrap();
        assert_eq!(inbox.fill(&stream, &mut scratch).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn what_is_no_frame_is_an_error() {
        let mut inbox = Inbox::default();
        assert!(inbox.take(&[0; 40], |_, _| true).is_err());
        assert!(inbox.take(&reply(1, 0), |_, _| false).is_err());
    }
}
