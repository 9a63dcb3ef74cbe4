//! Opening sessions without waiting for one at a time: a connect, a handshake, and a session that is up.

use super::clock::Clock;
use super::failure::Failure;
use super::frame;
use super::options::Plan;
use super::poll::Poller;
use jute::records::proto::{ConnectRequest, ConnectResponse};
use jute::{OpCode, Reader, Record, writer};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

/// Handshakes under way at once. Below what servers accept in their listen queue (the reference's has 50).
const UNDER_WAY: usize = 48;

/// An open session on a socket that does not block.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) stream: TcpStream,
    /// What the server granted, in milliseconds.
    pub(super) timeout: i32,
}

/// One session being opened.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) stream: TcpStream,
    connected: bool,
    answer: Vec<u8>,
    greeting: Vec<u8>,
}

/// What an attempt came to.
#[derive(Debug)]
pub(super) enum Progress {
    /// The TCP connection stands, the answer is awaited: room to write no longer matters.
    Greeted,
    /// Not there yet.
    Waiting,
    /// The session is open, with this timeout in milliseconds.
    Open(i32),
}

impl Attempt {
    /// Starts to connect; `number` chooses server and source in turns.
    pub(super) fn start(plan: &Plan, number: usize) -> io::Result<Self> {
        let server = plan.servers.get(number % plan.servers.len().max(1)).ok_or(io::ErrorKind::NotFound)?;
        let family = if server.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = net::socket_with(family, SocketType::STREAM, flags, None)?;
        if let Some(source) = in_turns(&plan.source, number) {
            net::bind(&socket, &SocketAddr::new(source, 0))?;
        }
        match net::connect(&socket, server) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        Ok(Self { stream, connected: false, answer: Vec::new(), greeting: greeting(plan.session_timeout) })
    }

    /// Goes on after the socket became ready.
    pub(super) fn advance(&mut self, writable: bool) -> io::Result<Progress> {
        if !self.connected {
            if let Some(error) = self.stream.take_error()? {
                return Err(error);
            }
            if !writable {
                return Ok(Progress::Waiting);
            }
            // The first bytes on a fresh socket always find room.
            (&self.stream).write_all(&self.greeting)?;
            self.connected = true;
            return Ok(Progress::Greeted);
        }
        let mut chunk = [0; 64];
        match (&self.stream).read(&mut chunk) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => self.answer.extend(chunk.iter().take(n)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Progress::Waiting),
            Err(error) => return Err(error),
        }
        match granted(&self.answer)? {
            None => Ok(Progress::Waiting),
            Some(timeout) => Ok(Progress::Open(timeout)),
        }
    }
}

fn in_turns(sources: &[IpAddr], number: usize) -> Option<IpAddr> {
    sources.get(number.checked_rem(sources.len())?).copied()
}

/// The frame that asks for a new session.
pub(super) fn greeting(timeout: i32) -> Vec<u8> {
    let mut out = Vec::with_capacity(49);
    let mark = writer::begin_frame(&mut out);
    let passwd: Option<&[u8]> = Some(&[0; 16]);
    ConnectRequest { protocol_version: 0, last_zxid_seen: 0, time_out: timeout, session_id: 0, passwd }
        .write(&mut out);
    false.write(&mut out);
    writer::end_frame(&mut out, mark);
    out
}

/// The timeout that the answer grants, once it is there.
pub(super) fn granted(answer: &[u8]) -> io::Result<Option<i32>> {
    let Some((prefix, body)) = answer.split_first_chunk::<4>() else { return Ok(None) };
    let len = u32::from_be_bytes(*prefix) as usize;
    if len > 64 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer to the handshake is too long"));
    }
    let Some(body) = body.get(..len) else { return Ok(None) };
    let response = ConnectResponse::read(&mut Reader::new(body))
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
    if response.session_id == 0 || response.time_out <= 0 {
        return Err(io::Error::other("the server granted no session"));
    }
    Ok(Some(response.time_out))
}

/// Opens all sessions of a plan; `each` hears how many are open.
pub(super) fn open_all(
    plan: &Plan,
    clock: Clock,
    count: usize,
    mut each: impl FnMut(usize),
) -> Result<Vec<Session>, Failure> {
    let poller = Poller::new()?;
    let mut attempts: Vec<Option<Attempt>> = Vec::new();
    let mut open = Vec::with_capacity(count);
    let mut last = clock.now();
    while open.len() < count {
        while attempts.len() < count && attempts.len() - open.len() < UNDER_WAY {
            let token = attempts.len();
            let attempt = Attempt::start(plan, token).map_err(Failure::io(format!("connection {token}")))?;
            poller.add(&attempt.stream, token, true).map_err(Failure::io("epoll"))?;
            attempts.push(Some(attempt));
        }
        let mut finished = Vec::new();
        for ready in poller.wait(plan.timeout)? {
            let Some(Some(attempt)) = attempts.get_mut(ready.token) else { continue };
            let failed = |error| Failure::io(format!("connection {}", ready.token))(error);
            match attempt.advance(ready.writable).map_err(failed)? {
                Progress::Greeted => finished.push((ready.token, None)),
                Progress::Waiting => {}
                Progress::Open(timeout) => finished.push((ready.token, Some(timeout))),
            }
        }
        if finished.is_empty() && clock.now().saturating_sub(last) >= plan.timeout {
            return Err(Failure::Server(format!(
                "no session within the timeout; {} of {count} are open",
                open.len()
            )));
        }
        for (token, timeout) in finished {
            last = clock.now();
            let Some(slot) = attempts.get_mut(token) else { continue };
            match (timeout, slot.take()) {
                (Some(timeout), Some(Attempt { stream, .. })) => {
                    poller.remove(&stream).map_err(Failure::io("epoll"))?;
                    open.push(Session { stream, timeout });
                    each(open.len());
                }
                (_, Some(attempt)) => {
                    poller.change(&attempt.stream, token, false).map_err(Failure::io("epoll"))?;
                    *slot = Some(attempt);
                }
                (_, None) => {}
            }
        }
    }
    Ok(open)
}

/// Ends sessions: asks all, then waits for all. What does not answer ends by its session timeout.
pub(super) fn close_all(sessions: Vec<(TcpStream, i32)>, timeout: u64) {
    let asked: Vec<TcpStream> =
        sessions.into_iter().filter_map(|(stream, xid)| ask_to_close(stream, xid, timeout).ok()).collect();
    for mut stream in asked {
        let mut chunk = [0; 256];
        while matches!(stream.read(&mut chunk), Ok(1..)) {}
    }
}

fn ask_to_close(mut stream: TcpStream, xid: i32, timeout: u64) -> io::Result<TcpStream> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_nanos(timeout)))?;
    stream.write_all(&frame::request(frame::next_xid(xid), OpCode::CloseSession, &()))?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_is_a_frame_of_45_bytes() {
        let frame = greeting(30_000);
        assert_eq!(frame.len(), 49);
        assert_eq!(frame[..4], [0, 0, 0, 45]);
        assert_eq!(frame[16..20], 30_000i32.to_be_bytes());
    }

    fn answer(timeout: i32, session: i64) -> Vec<u8> {
        let mut out = Vec::new();
        let mark = writer::begin_frame(&mut out);
        let passwd: Option<&[u8]> = Some(&[7; 16]);
        ConnectResponse { protocol_version: 0, time_out: timeout, session_id: session, passwd }
            .write(&mut out);
        false.write(&mut out);
        writer::end_frame(&mut out, mark);
        out
    }

    #[test]
    fn an_answer_counts_when_it_is_whole_and_grants_a_session() {
        let whole = answer(10_000, 5);
        for cut in 0..whole.len() {
            assert!(granted(&whole[..cut]).unwrap().is_none(), "{cut}");
        }
        assert_eq!(granted(&whole).unwrap(), Some(10_000));
        assert!(granted(&answer(0, 0)).is_err());
        assert!(granted(&[0x7f, 0, 0, 0]).is_err());
    }
}
