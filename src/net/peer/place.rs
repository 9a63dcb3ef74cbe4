//! Where servers are: host names and ports, as a configuration or a peer names them. Names are looked up before
//! each use, because servers move.
//!
//! Invariant: an address that is one already needs no name service.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl Place {
    /// Puts the two together.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }

    /// Reads `host:port` or `[address]:port`.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => rest.split_once("]:")?,
            None => text.split_once(':')?,
        };
        let plain = host.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'[' | b']' | b'|' | b'/'));
        if host.is_empty() || !plain {
            return None;
        }
        Some(Self::new(host, port.parse().ok()?))
    }

    /// Does it mean every address of a machine, and so none to connect to?
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified())
    }

    /// Its addresses now.
    pub async fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        if let Ok(ip) = self.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, self.port)]);
        }
        Ok(tokio::net::lookup_host((self.host.as_str(), self.port)).await?.collect())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An IPv6 address, with or without a zone.
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Door {
    /// On this address.
    At(Place),
    /// On this port of every interface (`quorumListenOnAllIPs`).
    Everywhere(u16),
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(place) => place.fmt(f),
            Self::Everywhere(port) => write!(f, "*:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        for text in ["zk1:3888", "127.0.0.1:1", "[::1]:3888", "[fe80::1%eth0]:65535", "[:9:1]:23"] {
            assert_eq!(Place::read(text).unwrap().to_string(), text);
        }
        for text in
            ["", ":1", "a", "a:", "a:65536", "a:-1", "[::1]", "[]:1", "a b:1", "a\n:1", "::1", "a|b:1"]
        {
            assert_eq!(Place::read(text), None, "{text:?}");
        }
        assert!(Place::new("0.0.0.0", 1).is_wildcard() && Place::new("0:0:0:0:0:0:0:0", 1).is_wildcard());
        assert!(!Place::new("127.0.0.1", 1).is_wildcard() && !Place::new("zk1", 1).is_wildcard());
    }
}
