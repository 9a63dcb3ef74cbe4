//! Accepting on the client port. Refused connections are closed at once without a byte.
//!
//! Invariant: an error of one accept never ends the listener; when the process is out of descriptors it
//! waits a little instead of spinning.

use super::ahead;
use super::conn::Conn;
use super::service::Service;
use super::socket::Socket;
use super::task::Task;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;

/// The runtime's listen backlog where none is set, as the reference's runtime has it.
const DEFAULT_BACKLOG: u32 = 50;

/// How long to wait after an accept failed for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Failed accepts in a row for one line in the log.
const ACCEPT_FAILURES: u32 = 20;

/// What an operator may set about listening.
#[derive(Debug, Clone)]
pub struct ListenSettings {
    /// Where.
    pub address: SocketAddr,
    /// Length of the backlog; not positive for the default.
    pub backlog: i32,
    /// Send keep-alive probes.
    pub keep_alive: bool,
}

/// A bound port.
#[derive(Debug)]
pub struct Listener {
    inner: TcpListener,
    keep_alive: bool,
}

impl Listener {
    /// Binds. The address that stands for all of this machine's means those of both families, as for the reference.
    pub fn bind(settings: &ListenSettings) -> io::Result<Self> {
        let address = settings.address;
        if !address.ip().is_unspecified() {
            return Self::at(settings, address, false);
        }
        match Self::at(settings, (Ipv6Addr::UNSPECIFIED, address.port()).into(), true) {
            // A machine may have no IPv6 at all.
            Err(e) if e.kind() != io::ErrorKind::AddrInUse => {
                Self::at(settings, (Ipv4Addr::UNSPECIFIED, address.port()).into(), false)
            }
            bound => bound,
        }
    }

    fn at(settings: &ListenSettings, address: SocketAddr, both_families: bool) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if both_families {
            rustix::net::sockopt::set_ipv6_v6only(&socket, false)?;
        }
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let backlog = u32::try_from(settings.backlog).ok().filter(|b| *b > 0).unwrap_or(DEFAULT_BACKLOG);
        Ok(Self { inner: socket.listen(backlog)?, keep_alive: settings.keep_alive })
    }

    /// Where it is bound.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

/// Admits connections to the server.
pub trait Doorman: Service {
    /// A slot for a new connection from `remote`, or nothing if a limit is reached.
    fn admit(&self, remote: SocketAddr) -> Option<Arc<Conn>>;
}

/// Accepts until it is told to stop.
pub async fn serve<S: Doorman>(listener: Listener, service: Arc<S>, stop: CancellationToken) {
    let mut failures = 0_u32;
    loop {
        let accepted = tokio::select! {
            accepted = listener.inner.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, remote)) => {
                failures = 0;
                welcome(stream, remote, listener.keep_alive, &service);
            }
            Err(e) if is_transient(&e) => {}
            Err(e) => {
                // One line a second: this may last until somebody raises the limit on descriptors.
                if failures.is_multiple_of(ACCEPT_FAILURES) {
                    tracing::warn!("Cannot accept connections: {e}; trying again every {ACCEPT_PAUSE:?}");
                }
                failures = failures.wrapping_add(1);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_transient(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

/// Serves a connection that was admitted, over whatever carries its bytes.
pub fn attend<S, IO>(service: &Arc<S>, conn: Arc<Conn>, io: IO)
where
    S: Service,
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(Task::new(Arc::clone(service), conn, io));
}

fn welcome<S: Doorman>(stream: TcpStream, remote: SocketAddr, keep_alive: bool, service: &Arc<S>) {
    let set = stream.set_nodelay(true).and_then(|()| {
        if keep_alive {
            rustix::net::sockopt::set_socket_keepalive(&stream, true).map_err(io::Error::from)
        } else {
            Ok(())
        }
    });
    if set.is_err() {
        return;
    }
    match service.admit(remote) {
        Some(conn) => {
            let (socket, direct) = Socket::share(stream);
            conn.outbox.open_to_others(direct);
            ahead::attend(service, conn, socket);
        }
        None => {
            // The reference's stack resets refused connections instead of leaving them half closed.
            let _ = rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_of_every_address_takes_both_families() {
        for address in ["0.0.0.0:0", "[::]:0"] {
            let address = address.parse().unwrap();
            let listener =
                Listener::bind(&ListenSettings { address, backlog: 0, keep_alive: false }).unwrap();
            let port = listener.address().unwrap().port();
            for client in ["127.0.0.1", "::1"] {
                // A machine may have no IPv6 at all.
                if std::net::TcpListener::bind((client, 0)).is_ok() {
                    TcpStream::connect((client, port)).await.unwrap();
                }
            }
        }
    }
}
