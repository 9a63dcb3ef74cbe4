//! The ports between servers: packets without a length in front, votes, introductions.

use super::seeds::unhex;
use jute::Reader;
use quoll::net::peer::codec::{Extent, Speaker, hello, packet, vote};
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// Longest data, as small as makes both sides of the limit likely.
const MOST: usize = 4096;

/// A stream of packets, whole and in pieces; what was understood is written and understood alike.
pub(super) fn packets(input: &[u8]) {
    let Some((cut, stream)) = input.split_first() else { return };
    let speaker = if cut & 1 == 0 { Speaker::Learner } else { Speaker::Leader };
    let (whole, refused) = walk(stream, stream.len().max(1));
    let (pieces, refused_in_pieces) = walk(stream, usize::from(cut >> 1) + 1);
    assert_eq!((&whole, refused), (&pieces, refused_in_pieces), "where packets end");
    let mut rest = stream;
    for length in whole {
        let (bytes, behind) = rest.split_at(length);
        rest = behind;
        let Ok(read) = packet::read(bytes, speaker) else { continue };
        let mut written = Vec::new();
        packet::write(&read, &mut written);
        assert_eq!(Extent::new(2 * MOST).find(&written), Ok(Some(written.len())));
        // A character beyond U+FFFF goes out as two halves and comes back as two errors, as with the reference: alike
        // from the second time on.
        let twice = rewritten(&written, speaker);
        assert_eq!(written.len(), twice.len());
        assert_eq!(rewritten(&twice, speaker), twice);
    }
}

fn rewritten(bytes: &[u8], speaker: Speaker) -> Vec<u8> {
    let mut out = Vec::new();
    packet::write(&packet::read(bytes, speaker).expect("what was written"), &mut out);
    out
}

/// The lengths of the packets of a stream that arrives in pieces, and whether something in it was refused.
fn walk(stream: &[u8], piece: usize) -> (Vec<usize>, bool) {
    let (mut extent, mut front, mut lengths) = (Extent::new(MOST), 0, Vec::new());
    let mut end = 0;
    while end < stream.len() {
        end = stream.len().min(end + piece);
        loop {
            match extent.find(&stream[front..end]) {
                Ok(Some(length)) => {
                    front += length;
                    lengths.push(length);
                }
                Ok(None) => break,
                Err(_) => return (lengths, true),
            }
        }
    }
    (lengths, false)
}

/// What a stranger says on the election port: an introduction, then votes.
pub(super) fn election(input: &[u8]) {
    let mut rest = input;
    {
        let reading = pin!(hello::read(&mut rest));
        let Poll::Ready(met) = reading.poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("all bytes are there");
        };
        let Ok(met) = met else { return };
        assert!(met.places.len() <= 16 && met.places.iter().all(|place| !place.is_wildcard()));
        if let Some(server) = met.server.filter(|_| !met.places.is_empty()) {
            let written = hello::write(server, &met.places, true);
            let mut bytes = written.as_slice();
            let again = pin!(hello::read(&mut bytes));
            match again.poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Ok(again)) => assert_eq!(again, met),
                // IPv6 addresses gain brackets, and the list may become too long.
                other => assert!(written.len() > 2048, "{other:?}"),
            }
        }
    }
    let mut r = Reader::new(rest);
    while let Ok(prefix) = r.take(4) {
        let Ok(length) = vote::length([prefix[0], prefix[1], prefix[2], prefix[3]]) else { return };
        let Ok(frame) = r.take(length) else { return };
        let Some(read) = vote::read(frame) else { continue };
        assert!(frame.len() >= 28 && read.config.len() <= frame.len());
        if read.version > 1 {
            let mut written = Vec::new();
            vote::write(&read, &mut written);
            assert_eq!(vote::read(&written[4..]), Some(read));
            assert!(frame.starts_with(&written[4..]));
        }
    }
}

pub(super) fn packet_seeds() -> Vec<Vec<u8>> {
    let learner = "00 0000000b 0000000100000000 00000014 0000000000000001 00010000 0000000000000000 ffffffff \
        00000012 0000000100000004 00000004 ffffffff ffffffff 00000003 0000000100000000 ffffffff ffffffff \
        00000005 0000000100000006 0000000c 02000021f8850000 00003a98 ffffffff \
        00000006 ffffffffffffffff 0000000c 02000021f8850000 00003a98 ffffffff \
        00000001 ffffffffffffffff 0000003c 01000019abcd0000 00000001 00000001 00000002 2f61 00000003 6f6e65 00000001 \
        0000001f 00000005 776f726c64 00000006 616e796f6e65 00000000 00000001 00000002 6970 00000009 3132372e302e302e31";
    let leader = "0b 00000011 0000000100000000 00000004 00010000 ffffffff \
        0000000d 0000000100000004 ffffffff ffffffff \
        00000002 0000000100000001 00000030 01000019abcd0000 00000000 0000000100000001 000001a1f92a7c04 fffffff6 \
        00004e20 00000002 0000000051c6d660 ffffffff 00000004 0000000100000001 ffffffff ffffffff \
        0000000a 0000000100000000 00000009 76657273696f6e3d30 ffffffff 0000000c ffffffffffffffff ffffffff ffffffff \
        00000005 0000000100000006 ffffffff ffffffff 00000006 ffffffffffffffff 00000009 02000021f8850000 01 ffffffff \
        00000009 0000000100000001 00000008 0000000000000002 ffffffff \
        00000013 0000000100000001 0000000a 0000000000000002 abcd ffffffff 00000007 0000000000000000 ffffffff ffffffff";
    [learner, leader].into_iter().map(unhex).collect()
}

pub(super) fn election_seeds() -> Vec<Vec<u8>> {
    let vote = "00000035 00000002 0000000000000003 0000000100000008 0000000000000002 0000000000000001 00000002 \
        00000009 76657273696f6e3d30";
    let old = "0000001c 00000000 0000000000000003 0000000100000008 0000000000000002 \
        00000028 00000001 0000000000000003 0000000100000008 0000000000000002 0000000000000001 00000001";
    [
        format!("ffffffffffff0000 0000000000000002 0000000e 3132372e302e302e313a33383838 {vote} {old}"),
        format!("ffffffffffff0001 0000000000000002 00000012 613a317c5b3a3a315d3a327c302e302e302e {vote}"),
        format!("ffffffffffff0001 0000000000000002 0000000c 613a317c5b3a3a315d3a3233 {vote}"),
        format!("0000000000000002 {old}"),
    ]
    .iter()
    .map(|hex| unhex(hex))
    .collect()
}
