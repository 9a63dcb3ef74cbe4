//! One TCP connection that speaks in frames. It knows no record; it remembers which replies are owed.
//!
//! Invariant: every wait ends, at the latest at the deadline it was given.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::clock;

/// No server sends frames as long as this; a longer one is a fault, not something to wait for.
const LONGEST_FRAME: usize = 64 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A reply that is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owed {
    pub(crate) xid: i32,
    pub(crate) op: i32,
}

/// What came.
#[derive(Debug)]
pub(crate) enum Incoming {
    Frame(Vec<u8>),
    Closed,
    Silence,
}

#[derive(Debug)]
pub(crate) struct Conn {
    stream: TcpStream,
    inbox: Vec<u8>,
    pub(crate) owed: VecDeque<Owed>,
    next_xid: i32,
    /// The answer to the first frame has no header and is not here yet.
    pub(crate) greeting_owed: bool,
    /// Half a frame went out: whatever is sent now would be its other half.
    pub(crate) in_a_frame: bool,
}

impl Conn {
    pub(crate) fn open(addr: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, CONNECT_TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(CONNECT_TIMEOUT))?;
        let (inbox, owed) = (Vec::new(), VecDeque::new());
        Ok(Self { stream, inbox, owed, next_xid: 1, greeting_owed: false, in_a_frame: false })
    }

    /// The next ordinary xid.
    pub(crate) fn xid(&mut self) -> i32 {
        let xid = self.next_xid;
        self.next_xid = self.next_xid.wrapping_add(1);
        xid
    }

    /// Sends; a connection that takes no more bytes shows itself when it is read.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let _closed_shows_on_reading = self.stream.write_all(bytes);
    }

    /// The next frame, the end of the connection, or the deadline.
    pub(crate) fn receive(&mut self, deadline: Instant) -> Incoming {
        let mut chunk = [0; 1 << 14];
        loop {
            if let Some((prefix, rest)) = self.inbox.split_first_chunk::<4>() {
                let Ok(len) = usize::try_from(i32::from_be_bytes(*prefix)) else { return Incoming::Closed };
                if len > LONGEST_FRAME {
                    return Incoming::Closed;
                }
                if let Some(body) = rest.get(..len) {
                    let frame = body.to_vec();
                    self.inbox.drain(..len + 4);
                    return Incoming::Frame(frame);
                }
            }
            let left = deadline.saturating_duration_since(clock::now());
            if left.is_zero() || self.stream.set_read_timeout(Some(left)).is_err() {
                return Incoming::Silence;
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => return Incoming::Closed,
                Ok(n) => self.inbox.extend_from_slice(chunk.get(..n).unwrap_or_default()),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Incoming::Silence;
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Incoming::Closed,
            }
        }
    }
}
