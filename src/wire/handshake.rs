//! The first frame each way. It has no header, and its last byte is optional: old clients send none, and
//! must then get none back (`ProtocolManager`).

use jute::records::proto::{ConnectRequest, ConnectResponse};
use jute::{DecodeError, Reader, Record, writer};

/// A client's first frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting<'a> {
    /// The record.
    pub request: ConnectRequest<'a>,
    /// The optional flag: `None` where the client is too old to know it.
    pub read_only: Option<bool>,
}

impl<'a> Greeting<'a> {
    /// Reads the frame; whatever stands behind the flag is ignored.
    pub fn parse(frame: &'a [u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(frame);
        let request = ConnectRequest::read(&mut r)?;
        let read_only = r.bool().ok();
        Ok(Self { request, read_only })
    }
}

/// The answer: a session, or the news that it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GreetingReply {
    /// Negotiated timeout, ms.
    pub time_out: i32,
    /// The session.
    pub session_id: i64,
    /// Its password.
    pub passwd: [u8; 16],
    /// Whether the client knows the flag, and its value.
    pub read_only: Option<bool>,
}

impl GreetingReply {
    /// The answer to a session that is over: zero timeout, zero id, zero password. Clients look at
    /// different fields, so all of them must be zero.
    #[must_use]
    pub fn expired(read_only: Option<bool>) -> Self {
        Self { time_out: 0, session_id: 0, passwd: [0; 16], read_only }
    }

    /// Appends the frame.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mark = writer::begin_frame(out);
        ConnectResponse {
            protocol_version: 0,
            time_out: self.time_out,
            session_id: self.session_id,
            passwd: Some(&self.passwd),
        }
        .write(out);
        if let Some(flag) = self.read_only {
            flag.write(out);
        }
        writer::end_frame(out, mark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_is_mirrored() {
        let mut frame =
            jute::encode(&ConnectRequest { time_out: 30_000, passwd: Some(&[0; 16]), ..Default::default() });
        assert_eq!(frame.len(), 44);
        assert_eq!(Greeting::parse(&frame).unwrap().read_only, None);
        frame.push(0);
        assert_eq!(Greeting::parse(&frame).unwrap().read_only, Some(false));
        let mut out = Vec::new();
        GreetingReply::expired(None).write(&mut out);
        assert_eq!(out.len(), 40);
        GreetingReply::expired(Some(false)).write(&mut out);
        assert_eq!(out.len(), 40 + 41);
    }
}
