//! Frames: requests encoded once and patched, replies looked at by their header.
//!
//! A template is the whole frame of a request; what differs between two requests of one kind is the xid and
//! the eight digits at the end of the path, and both have a fixed place.

use jute::records::data::{Acl, Id};
use jute::records::proto::{
    CreateRequest, DeleteRequest, MultiHeader, RequestHeader, SetDataRequest, WatchRequest,
};
use jute::{CreateMode, OpCode, Record, Text, writer};

/// Digits at the end of a numbered name.
pub(super) const DIGITS: usize = 8;
/// xid and zxid and err.
pub(super) const REPLY_HEADER: usize = 16;
/// A stat on the wire.
pub(super) const STAT: usize = 68;

/// The digits of a number, for the end of a name.
pub(super) fn digits(mut n: u32) -> [u8; DIGITS] {
    let mut out = [b'0'; DIGITS];
    for place in out.iter_mut().rev() {
        *place = b'0' + u8::try_from(n % 10).unwrap_or(0);
        n /= 10;
    }
    out
}

/// The xid behind this one. Positive: the others have meanings of their own.
pub(super) fn next_xid(xid: i32) -> i32 {
    if xid == i32::MAX { 1 } else { xid + 1 }
}

/// A whole frame.
pub(super) fn request<'a>(xid: i32, op: OpCode, body: &impl Record<'a>) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    let mark = writer::begin_frame(&mut out);
    RequestHeader { xid, op: op.code() }.write(&mut out);
    body.write(&mut out);
    writer::end_frame(&mut out, mark);
    out
}

/// getData, exists or getChildren.
pub(super) fn watch_request(path: &str, watch: bool) -> WatchRequest<'_> {
    WatchRequest { path: Some(Text::from(path)), watch }
}

/// create of a persistent node that is open to all.
pub(super) fn create_request<'a>(path: &'a str, data: &'a [u8]) -> CreateRequest<'a> {
    CreateRequest {
        path: Some(Text::from(path)),
        data: Some(data),
        acl: open_to_all(),
        flags: CreateMode::Persistent.code(),
    }
}

fn open_to_all() -> Option<Vec<Acl<'static>>> {
    let id = Id { scheme: Some(Text::from("world")), id: Some(Text::from("anyone")) };
    Some(vec![Acl { perms: 31, id }])
}

/// setData of any version.
pub(super) fn set_data_request<'a>(path: &'a str, data: &'a [u8]) -> SetDataRequest<'a> {
    SetDataRequest { path: Some(Text::from(path)), data: Some(data), version: -1 }
}

/// delete of any version.
pub(super) fn delete_request(path: &str) -> DeleteRequest<'_> {
    DeleteRequest { path: Some(Text::from(path)), version: -1 }
}

/// The operations of a multi, which are appended one by one.
#[derive(Debug, Default)]
pub(super) struct Multi(Vec<u8>);

impl Multi {
    pub(super) fn push<'a>(&mut self, op: OpCode, body: &impl Record<'a>) {
        MultiHeader { op: op.code(), done: false, err: -1 }.write(&mut self.0);
        body.write(&mut self.0);
    }

    pub(super) fn finish(mut self, xid: i32) -> Vec<u8> {
        MultiHeader { op: -1, done: true, err: -1 }.write(&mut self.0);
        let mut out = Vec::with_capacity(self.0.len() + 12);
        let mark = writer::begin_frame(&mut out);
        RequestHeader { xid, op: OpCode::Multi.code() }.write(&mut out);
        out.extend_from_slice(&self.0);
        writer::end_frame(&mut out, mark);
        out
    }
}

/// A frame whose xid, and whose paths' last digits, are filled in for each request.
#[derive(Debug, Clone)]
pub(super) struct Template {
    bytes: Vec<u8>,
    /// Where the digits of each path begin.
    places: Vec<usize>,
}

impl Template {
    /// getData of `stem` and digits.
    pub(super) fn read(stem: &str) -> Self {
        Self::single(stem, |path| request(0, OpCode::GetData, &watch_request(path, false)))
    }

    /// setData of `stem` and digits.
    pub(super) fn write(stem: &str, data: &[u8]) -> Self {
        Self::single(stem, |path| request(0, OpCode::SetData, &set_data_request(path, data)))
    }

    /// create of `stem` and digits.
    pub(super) fn create(stem: &str, data: &[u8]) -> Self {
        Self::single(stem, |path| request(0, OpCode::Create, &create_request(path, data)))
    }

    fn single(stem: &str, encode: impl FnOnce(&str) -> Vec<u8>) -> Self {
        // Prefix, xid, operation, length of the path, path: the path comes first in each of these records.
        let place = 4 + 8 + 4 + stem.len();
        Self { bytes: encode(&numbered(stem, 0)), places: vec![place] }
    }

    /// A multi of `count` creates of `root/p`, digits, `/n` and digits.
    pub(super) fn creates(root: &str, data: &[u8], count: u32) -> Self {
        let path = nested(root, 0, 0);
        let mut multi = Multi::default();
        let mut places = Vec::new();
        for _ in 0..count {
            // Frame prefix and request header in front, then this operation's header and the path's length.
            let start = 4 + 8 + multi.0.len() + 9 + 4;
            places.push(start + root.len() + 2);
            places.push(start + path.len() - DIGITS);
            multi.push(OpCode::Create, &create_request(&path, data));
        }
        Self { bytes: multi.finish(0), places }
    }

    /// Appends the frame with its xid, the first path ending in the first digits given, and so on.
    #[inline]
    pub(super) fn push(&self, out: &mut Vec<u8>, xid: i32, mut numbers: impl FnMut() -> [u8; DIGITS]) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        let Some(frame) = out.get_mut(start..) else { return };
        if let Some(place) = frame.get_mut(4..8) {
            place.copy_from_slice(&xid.to_be_bytes());
        }
        for &at in &self.places {
            if let Some(place) = frame.get_mut(at..at + DIGITS) {
                place.copy_from_slice(&numbers());
            }
        }
    }
}

/// A stem with its digits.
pub(super) fn numbered(stem: &str, n: u32) -> String {
    format!("{stem}{n:0DIGITS$}")
}

/// The path of a node that has a parent of its own below the root.
pub(super) fn nested(root: &str, parent: u32, n: u32) -> String {
    format!("{root}/p{parent:0DIGITS$}/n{n:0DIGITS$}")
}

/// What stands in front of every reply and notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) xid: i32,
    pub(super) err: i32,
    /// Bytes behind the frame's prefix, this header included.
    pub(super) len: usize,
}

/// What the input begins with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// A whole frame: its header, the bytes behind its header, and what follows the frame.
    Frame(Head, &'a [u8], &'a [u8]),
    /// Not a whole frame yet.
    Partial,
    /// Nothing that a server may send.
    Garbage,
}

/// Takes one frame off the input.
#[inline]
pub(super) fn step(input: &[u8]) -> Step<'_> {
    let Some((head, rest)) = input.split_first_chunk::<20>() else { return Step::Partial };
    let len = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
    // Servers do not limit their replies; past this the prefix is not a length.
    if !(REPLY_HEADER..=(1 << 30)).contains(&len) {
        return Step::Garbage;
    }
    match rest.split_at_checked(len - REPLY_HEADER) {
        None => Step::Partial,
        Some((body, rest)) => Step::Frame(
            Head {
                xid: i32::from_be_bytes([head[4], head[5], head[6], head[7]]),
                err: i32::from_be_bytes([head[16], head[17], head[18], head[19]]),
                len,
            },
            body,
            rest,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jute::Reader;

    fn decode<'a, T: Record<'a>>(frame: &'a [u8]) -> (RequestHeader, T) {
        assert_eq!(u32::from_be_bytes(frame[..4].try_into().unwrap()) as usize, frame.len() - 4);
        let mut r = Reader::new(&frame[4..]);
        let head = RequestHeader::read(&mut r).unwrap();
        let body = T::read(&mut r).unwrap();
        r.finish().unwrap();
        (head, body)
    }

    #[test]
    fn digits_count_from_the_right() {
        assert_eq!(&digits(0), b"00000000");
        assert_eq!(&digits(907), b"00000907");
        assert_eq!(&digits(99_999_999), b"99999999");
        assert_eq!(numbered("/a/n", 42), "/a/n00000042");
    }

    #[test]
    fn xids_stay_positive() {
        assert_eq!(next_xid(1), 2);
        assert_eq!(next_xid(i32::MAX), 1);
    }

    #[test]
    fn a_patched_template_is_the_request_encoded_afresh() {
        for (template, fresh) in [
            (Template::read("/r/n"), request(77, OpCode::GetData, &watch_request("/r/n00000031", false))),
            (
                Template::write("/r/n", b"value"),
                request(77, OpCode::SetData, &set_data_request("/r/n00000031", b"value")),
            ),
            (
                Template::create("/r/n", b"value"),
                request(77, OpCode::Create, &create_request("/r/n00000031", b"value")),
            ),
        ] {
            let mut out = b"before".to_vec();
            template.push(&mut out, 77, || digits(31));
            assert_eq!(out[6..], fresh);
        }
    }

    #[test]
    fn the_fields_of_a_template_are_where_the_server_looks_for_them() {
        let mut out = Vec::new();
        Template::create("/r/n", b"xyz").push(&mut out, 5, || digits(12));
        let (head, body) = decode::<CreateRequest<'_>>(&out);
        assert_eq!((head.xid, head.op), (5, OpCode::Create.code()));
        assert_eq!(body.path.as_deref(), Some("/r/n00000012"));
        assert_eq!(body.data, Some(&b"xyz"[..]));
        assert_eq!(body.acl.unwrap()[0].perms, 31);
    }

    #[test]
    fn every_path_of_a_multi_gets_its_own_digits() {
        let mut out = Vec::new();
        let mut numbers = [7, 1, 7, 2, 8, 3].into_iter();
        Template::creates("/r", b"xyz", 3).push(&mut out, 9, || digits(numbers.next().unwrap()));
        let mut fresh = Multi::default();
        for path in ["/r/p00000007/n00000001", "/r/p00000007/n00000002", "/r/p00000008/n00000003"] {
            fresh.push(OpCode::Create, &create_request(path, b"xyz"));
        }
        assert_eq!(out, fresh.finish(9));
        assert_eq!(nested("/r", 7, 1), "/r/p00000007/n00000001");
    }

    #[test]
    fn replies_are_cut_at_their_length() {
        let mut input = Vec::new();
        for (xid, body) in [(1, &b"abc"[..]), (2, &b""[..])] {
            let mark = writer::begin_frame(&mut input);
            writer::i32(&mut input, xid);
            writer::i64(&mut input, 99);
            writer::i32(&mut input, -101 * (xid - 1));
            input.extend_from_slice(body);
            writer::end_frame(&mut input, mark);
        }
        let Step::Frame(head, body, rest) = step(&input) else { panic!("no frame") };
        assert_eq!((head, body), (Head { xid: 1, err: 0, len: 19 }, &b"abc"[..]));
        let Step::Frame(head, body, rest) = step(rest) else { panic!("no frame") };
        assert_eq!((head, body), (Head { xid: 2, err: -101, len: 16 }, &b""[..]));
        assert_eq!(step(rest), Step::Partial);
        for cut in 0..23 {
            assert_eq!(step(&input[..cut]), Step::Partial, "{cut}");
        }
    }

    #[test]
    fn a_length_no_server_sends_is_garbage() {
        for length in [0u32, 15, 0x8000_0000, u32::MAX] {
            let mut input = length.to_be_bytes().to_vec();
            input.extend_from_slice(&[0; 32]);
            assert_eq!(step(&input), Step::Garbage);
        }
    }
}
