//! The client port: first frame, frames behind it, and the operations inside a multi.

use jute::{OpCode, Reader};
use quoll::types::limits::MAX_BUFFER;
use quoll::wire::{Greeting, GreetingReply, ReadRequest, Refusal, Request, WriteRequest, parse};

/// Frames as a socket has them; a length that no server takes ends it.
pub(super) fn frames(mut input: &[u8]) {
    while let Some((prefix, rest)) = input.split_first_chunk::<4>() {
        let Ok(length) = usize::try_from(i32::from_be_bytes(*prefix)) else { return };
        if length > MAX_BUFFER {
            return;
        }
        let frame = &rest[..length.min(rest.len())];
        input = &rest[frame.len()..];
        match parse(frame) {
            Err(_) => assert!(frame.len() < 8, "a header needs eight bytes, this has {}", frame.len()),
            Ok(envelope) => {
                let known = OpCode::from_code(envelope.op);
                if let Ok(Request::Write(WriteRequest::Multi(ops))) = &envelope.request {
                    assert!(ops.len() <= frame.len() / 9, "each operation has a header of nine bytes");
                }
                assert!(known.is_some() || envelope.request == Err(Refusal::Unknown));
            }
        }
    }
}

/// A greeting, and the answer to it.
pub(super) fn handshake(input: &[u8]) {
    let Ok(greeting) = Greeting::parse(input) else { return };
    let request = &greeting.request;
    let record = jute::encode(request);
    assert!(input.starts_with(&record));
    assert_eq!(greeting.read_only.is_some(), input.len() > record.len());
    let mut passwd = [0; 16];
    let given = request.passwd.unwrap_or_default();
    let n = given.len().min(16);
    passwd[..n].copy_from_slice(&given[..n]);
    let reply = GreetingReply {
        time_out: request.time_out,
        session_id: request.session_id,
        passwd,
        read_only: greeting.read_only,
    };
    let mut out = Vec::new();
    reply.write(&mut out);
    assert_eq!(out.len(), 40 + usize::from(greeting.read_only.is_some()));
}

/// The body of a multi, and the same bytes as a multiRead.
pub(super) fn multi(input: &[u8]) {
    for op in [OpCode::Multi, OpCode::MultiRead] {
        let mut frame = vec![0, 0, 0, 7];
        frame.extend_from_slice(&op.code().to_be_bytes());
        frame.extend_from_slice(input);
        let envelope = parse(&frame).expect("the header is there");
        match envelope.request {
            Ok(Request::Write(WriteRequest::Multi(ops))) => assert!(ops.len() <= input.len() / 9),
            Ok(Request::Write(WriteRequest::MalformedMulti)) => assert_eq!(op, OpCode::Multi),
            Ok(Request::Read(ReadRequest::MultiRead(ops))) => assert!(ops.len() <= input.len() / 9),
            Ok(other) => panic!("{op:?} became {other:?}"),
            Err(refusal) => assert!(matches!(refusal, Refusal::Malformed | Refusal::WritesInMultiRead)),
        }
    }
    // A password, a path and a scheme may stand anywhere: whatever follows a sound record is left alone.
    let mut r = Reader::new(input);
    while r.remaining() > 0 {
        if r.text().is_err() && r.u8().is_err() {
            break;
        }
    }
}
