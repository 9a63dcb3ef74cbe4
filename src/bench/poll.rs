//! Readiness of many sockets for one thread. Level-triggered epoll; the number given with a socket comes back.

use super::failure::Failure;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::os::fd::OwnedFd;

/// Events taken at once: enough that 1,000 sockets becoming ready together cost few calls.
const BATCH: usize = 512;

/// A set of sockets.
#[derive(Debug)]
pub(super) struct Poller {
    epoll: OwnedFd,
}

/// A socket that is ready.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ready {
    pub(super) token: usize,
    /// Bytes, the end of the stream, or an error wait to be read.
    pub(super) readable: bool,
    pub(super) writable: bool,
}

impl Poller {
    pub(super) fn new() -> Result<Self, Failure> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(Failure::io("epoll"))?;
        Ok(Self { epoll })
    }

    /// Watches for input and, when asked to, for room to write.
    pub(super) fn add(&self, socket: &TcpStream, token: usize, writable: bool) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, socket, EventData::new_u64(token as u64), flags(writable))?)
    }

    pub(super) fn change(&self, socket: &TcpStream, token: usize, writable: bool) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, socket, EventData::new_u64(token as u64), flags(writable))?)
    }

    pub(super) fn remove(&self, socket: &TcpStream) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, socket)?)
    }

    /// Waits for events, at most so many nanoseconds.
    pub(super) fn wait(&self, at_most: u64) -> Result<Vec<Ready>, Failure> {
        let timeout = Timespec {
            tv_sec: i64::try_from(at_most / 1_000_000_000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(at_most % 1_000_000_000).unwrap_or(0),
        };
        let mut events = [const { MaybeUninit::<Event>::uninit() }; BATCH];
        let ready = match epoll::wait(&self.epoll, &mut events, Some(&timeout)) {
            Ok((ready, _)) => ready,
            Err(Errno::INTR) => &mut [],
            Err(error) => return Err(Failure::io("epoll")(error)),
        };
        Ok(ready.iter().map(Ready::from).collect())
    }
}

impl From<&Event> for Ready {
    fn from(event: &Event) -> Self {
        let flags = event.flags;
        Self {
            token: usize::try_from(event.data.u64()).unwrap_or(usize::MAX),
            readable: flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR),
            writable: flags.contains(EventFlags::OUT),
        }
    }
}

fn flags(writable: bool) -> EventFlags {
    if writable { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN }
}

/// Lets this process open as many sockets as the system grants without asking anybody.
pub(super) fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    // A refusal shows itself, with its reason, when sockets run out.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
