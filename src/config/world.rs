//! The two things a configuration needs from outside: files that it names, and addresses of host names.
//!
//! Everything else in this room is text to values. Tests bring a world of their own.
//!
//! Invariant: nothing here writes.

use std::io::{self, Read};
use std::net::{IpAddr, ToSocketAddrs};
use std::path::Path;

/// Largest configuration file that is read. Real ones have a few KiB; a log or a disk image given by mistake
/// must not fill the memory.
pub const MAX_FILE: u64 = 8 << 20;

/// Files and names as a configuration sees them.
pub trait World {
    /// Reads a small file whole.
    ///
    /// # Errors
    /// As the operating system says, or a file above [`MAX_FILE`].
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The first address of a host name or address literal; the empty name is this machine.
    fn resolve(&self, host: &str) -> Option<IpAddr>;
}

/// The machine the process runs on.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealWorld;

impl World for RealWorld {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "larger than 8 MiB, not a configuration",
            ));
        }
        Ok(bytes)
    }

    fn resolve(&self, host: &str) -> Option<IpAddr> {
        if host.is_empty() {
            return Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
        }
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let mut all: Vec<IpAddr> = (bare, 0).to_socket_addrs().ok()?.map(|address| address.ip()).collect();
        // Java prefers IPv4 unless told otherwise.
        all.sort_by_key(IpAddr::is_ipv6);
        all.first().copied()
    }
}
