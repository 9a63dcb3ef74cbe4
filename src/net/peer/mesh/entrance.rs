//! The listening side of the election port: opening it, moving it, and what becomes of whoever comes.
//!
//! Invariant: a stranger that sends garbage, little or nothing costs a place in the lobby for a while and nothing else.

use super::super::codec::{Hello, hello};
use super::super::lobby::Pass;
use super::super::socket;
use super::{Shared, State};
use crate::types::ServerId;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// Between two attempts to open the port.
const BIND_PAUSE: Duration = Duration::from_secs(1);

impl Shared {
    /// Opens the port where the roster says, after closing the one that is open.
    pub(super) fn open(self: &Arc<Self>, state: &mut State) {
        let before = state.entrance.take().map(|(stop, task)| {
            stop.cancel();
            task
        });
        let stop = self.stop.child_token();
        let (shared, token, roster) = (Arc::clone(self), stop.clone(), Arc::clone(&state.roster));
        let task = self.runtime.spawn(async move {
            if let Some(before) = before {
                let _ = before.await;
            }
            let listeners = tokio::select! {
                () = token.cancelled() => return,
                bound = shared.bind(&roster.doors) => bound,
            };
            match listeners {
                Ok(listeners) => {
                    let welcome = move |stream, remote: SocketAddr| {
                        let (shared, pass) = (Arc::clone(&shared), shared.lobby.enter(remote.ip()));
                        tokio::spawn(async move { shared.welcome(stream, remote, pass).await });
                    };
                    socket::accept(listeners, token, welcome).await;
                }
                Err(reason) => shared.service.election_port_failed(reason),
            }
        });
        state.entrance = Some((stop, task));
    }

    async fn bind(&self, doors: &[super::Door]) -> Result<Vec<TcpListener>, String> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match socket::bind(doors).await {
                Ok(listeners) => return Ok(listeners),
                Err(e) if attempt == self.settings.bind_retries => {
                    return Err(format!("cannot open the election port, {attempt} attempts: {e}"));
                }
                Err(e) => tracing::warn!("Cannot open the election port, attempt {attempt}: {e}"),
            }
            tokio::time::sleep(BIND_PAUSE).await;
        }
    }

    async fn welcome(self: Arc<Self>, mut stream: TcpStream, remote: SocketAddr, pass: Pass) {
        if self.tuning().apply(&stream).is_err() {
            return;
        }
        let introduced = tokio::select! {
            () = self.stop.cancelled() => return,
            () = pass.shown_out() => Err("others came and spoke sooner".to_owned()),
            met = tokio::time::timeout(self.settings.hello_timeout, hello::read(&mut stream)) => match met {
                Ok(met) => met.map_err(|e| e.to_string()),
                Err(_) => Err("no introduction in time".to_owned()),
            }
        };
        drop(pass);
        match introduced {
            Ok(hello) => self.meet(hello, stream, remote),
            Err(reason) => tracing::info!("Closed a connection from {remote} to the election port: {reason}"),
        }
    }

    fn meet(self: &Arc<Self>, hello: Hello, stream: TcpStream, remote: SocketAddr) {
        let me = self.settings.server;
        let Some(peer) = hello.server else {
            // It has no number to be called back under: its connection is kept.
            self.at_desk(self.anonymous(), |desk| desk.opened(stream));
            return;
        };
        if peer == me {
            tracing::warn!("Closed a connection from {remote}: it says that it is server {} too", me.0);
            return;
        }
        let taken = self.at_desk(peer, |desk| {
            if peer > me {
                desk.opened(stream);
            } else {
                desk.call_back(hello.places);
            }
        });
        if !taken {
            tracing::info!("Closed a connection from {remote}: too many servers that are no members");
        }
    }

    fn anonymous(&self) -> ServerId {
        let mut state = self.state.lock();
        state.last_anonymous -= 1;
        ServerId(state.last_anonymous)
    }
}
