//! Answers to four-letter words.

use super::core::Core;
use crate::net::client::Conn;

impl Core {
    pub(super) fn answer_word(&self, _conn: &Conn, word: [u8; 4], _rest: &[u8]) -> Option<Vec<u8>> {
        match &word {
            b"srvr" | b"stat" => Some(
                b"Zookeeper version: 3.9.5-0, built on 2026-11-20 00:00 UTC\nMode: standalone\n".to_vec(),
            ),
            b"ruok" => Some(b"imok".to_vec()),
            _ => None,
        }
    }

    pub(super) fn refused(&self, remote: std::net::SocketAddr, full: super::conns::Full) {
        let (reason, max) = match full {
            super::conns::Full::Total(max) => ("all addresses", max),
            super::conns::Full::Address(max) => ("it", max),
        };
        tracing::warn!(
            "Error accepting new connection: Too many connections from /{} - max is {max} for {reason}",
            remote.ip()
        );
    }
}
