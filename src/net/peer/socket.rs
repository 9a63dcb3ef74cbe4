//! What every socket between servers needs: binding, accepting, connecting to many addresses at once, options.
//!
//! TLS and SASL will stand here, between a connection and its first byte. Invariant: an error of one accept or of one
//! address never ends the others.

use super::place::{Door, Place};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Connections that the kernel may finish before they are accepted. All members may come at once, and garbage with
/// them.
const BACKLOG: u32 = 256;

/// How long to wait after an accept failed for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Addresses tried at once: more than any server has.
const DIALS: usize = 32;

/// Options of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tuning {
    /// Send small packets at once.
    pub(super) nodelay: bool,
    /// Probe peers that are silent.
    pub(super) keep_alive: bool,
    /// Give up when what was sent is not acknowledged for this long: a peer behind a cut cable.
    pub(super) unheard: Option<Duration>,
}

impl Tuning {
    /// Sets them.
    pub(super) fn apply(&self, stream: &TcpStream) -> io::Result<()> {
        use rustix::net::sockopt;
        stream.set_nodelay(self.nodelay)?;
        if self.keep_alive {
            sockopt::set_socket_keepalive(stream, true)?;
        }
        if let Some(unheard) = self.unheard {
            sockopt::set_tcp_user_timeout(stream, u32::try_from(unheard.as_millis()).unwrap_or(u32::MAX))?;
        }
        Ok(())
    }
}

/// Opens every address of these doors, or none.
pub(super) async fn bind(doors: &[Door]) -> io::Result<Vec<TcpListener>> {
    let mut bound = Vec::new();
    for door in doors {
        let named = |e: io::Error| io::Error::new(e.kind(), format!("{door}: {e}"));
        match door {
            Door::Everywhere(port) => bound.push(everywhere(*port).map_err(named)?),
            Door::At(place) => {
                let address = place.resolve().await.map_err(named)?.into_iter().next();
                let address = address.ok_or_else(|| named(io::ErrorKind::AddrNotAvailable.into()))?;
                bound.push(at(address, false).map_err(named)?);
            }
        }
    }
    Ok(bound)
}

fn everywhere(port: u16) -> io::Result<TcpListener> {
    match at((Ipv6Addr::UNSPECIFIED, port).into(), true) {
        // A machine may have no IPv6 at all.
        Err(e) if e.kind() != io::ErrorKind::AddrInUse => at((Ipv4Addr::UNSPECIFIED, port).into(), false),
        bound => bound,
    }
}

fn at(address: SocketAddr, both_families: bool) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if both_families {
        rustix::net::sockopt::set_ipv6_v6only(&socket, false)?;
    }
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts on all of these until told to stop; `welcome` must not wait.
pub(super) async fn accept<F>(listeners: Vec<TcpListener>, stop: CancellationToken, welcome: F)
where
    F: Fn(TcpStream, SocketAddr) + Clone + Send + 'static,
{
    let mut all = JoinSet::new();
    for listener in listeners {
        let welcome = welcome.clone();
        all.spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, remote)) => welcome(stream, remote),
                    Err(e) => {
                        tracing::debug!("Cannot accept from a server: {e}");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        });
    }
    stop.cancelled().await;
    // Waited for, so that the ports are free once this returns.
    all.shutdown().await;
}

/// Connects to whichever of these answers first; all are asked at once.
pub(super) async fn dial(places: &[Place], limit: Duration) -> Result<TcpStream, String> {
    let mut attempts = JoinSet::new();
    for place in places.iter().take(DIALS) {
        let place = place.clone();
        attempts.spawn(async move {
            let named = |e: io::Error| format!("{place}: {e}");
            let mut addresses = JoinSet::new();
            for address in place.resolve().await.map_err(named)?.into_iter().take(DIALS) {
                addresses.spawn(async move {
                    TcpStream::connect(address).await.map_err(|e| format!("{address}: {e}"))
                });
            }
            first(addresses, format!("{place}: no address")).await
        });
    }
    match tokio::time::timeout(limit, first(attempts, "no address".to_owned())).await {
        Ok(done) => done,
        Err(_) => Err(format!("{}: no answer within {limit:?}", list(places))),
    }
}

/// How long a port that refuses is tried again: whoever has just been elected opens its port as soon as it knows.
const INSIST: Duration = Duration::from_millis(100);

/// Pause between two such attempts.
const PAUSE: Duration = Duration::from_millis(5);

/// Dials again for a moment if the port is not open yet.
pub(super) async fn dial_until_open(places: &[Place], limit: Duration) -> Result<TcpStream, String> {
    let mut failure = None;
    let insist = async {
        loop {
            match dial(places, limit).await {
                Ok(stream) => return stream,
                Err(reason) => failure = Some(reason),
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    match tokio::time::timeout(INSIST.min(limit), insist).await {
        Ok(stream) => Ok(stream),
        // Refused all the time; else it may only be far away.
        Err(_) => match failure {
            Some(reason) => Err(reason),
            None => dial(places, limit).await,
        },
    }
}

fn list(places: &[Place]) -> String {
    places.iter().map(Place::to_string).collect::<Vec<_>>().join(", ")
}

/// The first success; after failures only, the last of them.
async fn first(mut attempts: JoinSet<Result<TcpStream, String>>, none: String) -> Result<TcpStream, String> {
    let mut failure = none;
    while let Some(done) = attempts.join_next().await {
        match done {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(e)) => failure = e,
            Err(e) => failure = e.to_string(),
        }
    }
    Err(failure)
}
