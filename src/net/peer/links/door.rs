//! A port that learners connect to: opened and closed with the role, and what happens between a connection and a
//! link.
//!
//! Invariant: nothing reaches the service before a learner has introduced itself; of two openings the later one
//! counts, and it waits until the earlier port is closed.

use super::super::codec::{Extent, Speaker, packet};
use super::super::lobby::{Lobby, Pass};
use super::super::place::Door;
use super::super::socket::{self, Tuning};
use super::Shared;
use crate::replica::zab::Packet;
use bytes::BytesMut;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The longest introduction: a real one has 44 bytes.
const LONGEST_HELLO: usize = 4096;

/// Attempts while another process still holds the port, and the pause between them. A port that stays taken is for
/// the replica to hear of soon: somebody else should lead.
const BIND_ATTEMPTS: u32 = 10;
const BIND_PAUSE: Duration = Duration::from_millis(100);

/// A port, open or not.
#[derive(Default)]
pub(super) struct Doorway {
    current: Option<(CancellationToken, JoinHandle<()>)>,
}

impl Doorway {
    /// Opens it, once it is closed.
    pub(super) fn open(&mut self, shared: &Arc<Shared>, observers: bool, ticket: u64, doors: Vec<Door>) {
        let before = self.current.take().map(|(stop, task)| {
            stop.cancel();
            task
        });
        let stop = CancellationToken::new();
        let (shared, token) = (Arc::clone(shared), stop.clone());
        let runtime = shared.runtime.clone();
        let task = runtime.spawn(async move {
            if let Some(before) = before {
                let _ = before.await;
            }
            let bound = tokio::select! {
                () = token.cancelled() => return,
                bound = bind(&doors) => bound,
            };
            let lobby = Arc::new(Lobby::default());
            match bound {
                Err(e) => shared.service.listening(ticket, Err(e.to_string())),
                Ok(listeners) => {
                    shared.service.listening(ticket, Ok(()));
                    let stop = token.clone();
                    let welcome = move |stream, remote: SocketAddr| {
                        let pass = lobby.enter(remote.ip());
                        let (shared, stop) = (Arc::clone(&shared), stop.clone());
                        tokio::spawn(
                            async move { shared.welcome(stream, remote, observers, pass, stop).await },
                        );
                    };
                    socket::accept(listeners, token, welcome).await;
                }
            }
        });
        self.current = Some((stop, task));
    }

    /// Closes it.
    pub(super) fn close(&mut self) {
        // The task stays known: the next opening waits for it.
        if let Some((stop, _)) = &self.current {
            stop.cancel();
        }
    }
}

async fn bind(doors: &[Door]) -> io::Result<Vec<TcpListener>> {
    let mut attempt = 1;
    loop {
        match socket::bind(doors).await {
            Err(e) if e.kind() == io::ErrorKind::AddrInUse && attempt < BIND_ATTEMPTS => attempt += 1,
            bound => return bound,
        }
        tokio::time::sleep(BIND_PAUSE).await;
    }
}

/// One link less when dropped.
struct Seat<'a>(&'a Shared);

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.learners.fetch_sub(1, Relaxed);
    }
}

impl Shared {
    async fn welcome(
        &self,
        mut stream: TcpStream,
        remote: SocketAddr,
        observers: bool,
        pass: Pass,
        stop: CancellationToken,
    ) {
        let tuning = Tuning { nodelay: self.settings.leader_nodelay, keep_alive: false, unheard: None };
        if tuning.apply(&stream).is_err() {
            return;
        }
        let mut read = BytesMut::new();
        let introduced = tokio::select! {
            // A door that is closed lets nobody in any more.
            biased;
            () = stop.cancelled() => return,
            () = pass.shown_out() => Err("others came and spoke sooner".to_owned()),
            met = tokio::time::timeout(self.settings.patience, meet(&mut stream, &mut read)) => {
                met.unwrap_or_else(|_| Err("no introduction in time".to_owned()))
            }
        };
        drop(pass);
        let seat = Seat(self);
        let taken = self.learners.fetch_add(1, Relaxed);
        if let Err(reason) = introduced {
            tracing::info!("Closed a connection from {remote} to the port for learners: {reason}");
            return;
        }
        if taken >= self.settings.learners {
            tracing::warn!("Closed a connection from {remote}: {taken} learners are connected");
            return;
        }
        let line = self.line(self.next_accepted(), Speaker::Learner, CancellationToken::new());
        self.service.accepted(line.id, observers, remote);
        self.carry(&line, stream, read).await;
        drop(seat);
    }
}

/// Reads until the first packet is there, which must be an introduction. It stays in `read`.
async fn meet(stream: &mut TcpStream, read: &mut BytesMut) -> Result<(), String> {
    let mut extent = Extent::new(LONGEST_HELLO);
    loop {
        if let Some(length) = extent.find(read).map_err(|e| e.to_string())? {
            let bytes = read.get(..length).unwrap_or_default();
            return match packet::read(bytes, Speaker::Learner) {
                Ok(Packet::Hello(_)) => Ok(()),
                Ok(_) => Err("its first packet is no introduction".to_owned()),
                Err(e) => Err(e.to_string()),
            };
        }
        match stream.read_buf(read).await {
            Ok(0) => return Err("it said nothing".to_owned()),
            Ok(_) => {}
            Err(e) => return Err(e.to_string()),
        }
    }
}
