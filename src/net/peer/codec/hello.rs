//! How a server introduces itself on the election port.
//!
//! Written as one piece, because the reference reads the addresses with one call and takes what that brings; read
//! to the byte, however it arrives, because notifications follow at once.

use super::PeerError;
use crate::net::peer::place::Place;
use crate::types::ServerId;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// One address.
const VERSION_1: i64 = -65536;

/// Several.
const VERSION_2: i64 = -65535;

/// Longest list of addresses (`QuorumCnxManager.maxBuffer`).
const LONGEST: usize = 2048;

/// An observer without a number of its own (`QuorumPeer.OBSERVER_ID`).
const ANONYMOUS: i64 = i64::MAX;

/// More addresses than a server has: all of them are tried at once, and a stranger must not choose how many.
const PLACES: usize = 16;

/// An introduction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Who; `None` for an observer without a number.
    pub server: Option<ServerId>,
    /// Where its election port is; wildcards are left out.
    pub places: Vec<Place>,
}

/// The bytes of an introduction. Several addresses are told only where `several` are allowed, for servers before 3.6
/// do not understand them.
#[must_use]
pub fn write(server: ServerId, places: &[Place], several: bool) -> Vec<u8> {
    let places = if several { places } else { places.get(..1).unwrap_or(places) };
    let text = places.iter().map(Place::to_string).collect::<Vec<_>>().join("|");
    let mut out = Vec::with_capacity(20 + text.len());
    jute::writer::i64(&mut out, if several { VERSION_2 } else { VERSION_1 });
    jute::writer::i64(&mut out, server.0);
    jute::writer::buffer(&mut out, Some(text.as_bytes()));
    out
}

/// Reads an introduction and not a byte more.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Hello> {
    let first = stream.read_i64().await?;
    if first >= 0 {
        // 3.4 says its number and nothing else.
        return Ok(Hello { server: server(first), places: Vec::new() });
    }
    if first != VERSION_1 && first != VERSION_2 {
        return refuse(PeerError::Hello("a version that nobody knows"));
    }
    let id = stream.read_i64().await?;
    let length = stream.read_i32().await?;
    let mut text = [0; LONGEST];
    let Some(text) = usize::try_from(length).ok().filter(|n| *n > 0).and_then(|n| text.get_mut(..n)) else {
        return refuse(PeerError::Length { what: "addresses", length: i64::from(length), most: LONGEST });
    };
    stream.read_exact(text).await?;
    if id < 0 {
        return refuse(PeerError::Hello("a negative server id"));
    }
    match places(text) {
        Some(places) => Ok(Hello { server: server(id), places }),
        None => refuse(PeerError::Hello("addresses that are none")),
    }
}

fn server(id: i64) -> Option<ServerId> {
    (id != ANONYMOUS).then_some(ServerId(id))
}

fn places(text: &[u8]) -> Option<Vec<Place>> {
    let text = std::str::from_utf8(text).ok()?;
    let places = text.split('|').map(Place::read).collect::<Option<Vec<_>>>()?;
    (places.len() <= PLACES).then(|| places.into_iter().filter(|place| !place.is_wildcard()).collect())
}

fn refuse<T>(error: PeerError) -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::InvalidData, error))
}
