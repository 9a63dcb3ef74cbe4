//! The client port, which moves when a new membership gives this server another address for clients.
//!
//! Invariant: the old port closes only once the new one is open; connections that stand are kept.

use super::core::Core;
use super::start::StartError;
use crate::config::Settings;
use crate::config::ensemble::{HostPort, Membership};
use crate::net::client::{ListenSettings, Listener, serve};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The client port.
pub(super) struct ClientDoor {
    core: Arc<Core>,
    server: i64,
    listen: ListenSettings,
    /// Where it is, as the membership says it.
    place: Option<HostPort>,
    /// Closes everything.
    stop: CancellationToken,
    /// Closes the port that is open.
    open: Option<CancellationToken>,
}

impl ClientDoor {
    /// Closed.
    pub(super) fn new(settings: &Settings, core: &Arc<Core>, stop: &CancellationToken) -> Self {
        let server = settings.quorum.my_id.unwrap_or(0);
        let place = settings.quorum.membership.members.get(&server).and_then(|m| m.client.clone());
        let listen = ListenSettings {
            address: SocketAddr::from(([0, 0, 0, 0], 0)),
            backlog: settings.client.listen_backlog,
            keep_alive: settings.client.tcp_keep_alive,
        };
        Self { core: Arc::clone(core), server, listen, place, stop: stop.clone(), open: None }
    }

    /// Opens it, in place of one that is open.
    pub(super) fn open(&mut self, address: SocketAddr) -> Result<(), StartError> {
        let listener = Listener::bind(&ListenSettings { address, ..self.listen.clone() })
            .map_err(|source| StartError::Bind { address, source })?;
        let bound = listener.address()?;
        self.core.facts.bound(bound.port());
        // The wildcard as the reference prints it, whose runtime calls that of both families so.
        match address.ip().is_unspecified() {
            true => tracing::info!("binding to port 0.0.0.0/0.0.0.0:{}", bound.port()),
            false => tracing::info!("binding to port {bound}"),
        }
        let stop = self.stop.child_token();
        tokio::spawn(serve(listener, Arc::clone(&self.core), stop.clone()));
        if let Some(old) = self.open.replace(stop) {
            old.cancel();
        }
        Ok(())
    }

    /// Moves it to where this membership wants it. A port that cannot be opened leaves the old one open.
    pub(super) async fn follow(&mut self, membership: &Membership) {
        let wanted = membership.members.get(&self.server).and_then(|member| member.client.clone());
        if wanted.is_none() || wanted == self.place {
            return;
        }
        let Some(wanted) = wanted else { return };
        let address = match tokio::net::lookup_host((wanted.host.as_str(), wanted.port)).await {
            Ok(mut found) => found.next(),
            Err(error) => {
                tracing::error!("Cannot move the client port to {wanted}: {error}");
                return;
            }
        };
        let Some(address) = address else { return };
        match self.open(address) {
            Ok(()) => self.place = Some(wanted),
            Err(error) => tracing::error!("Cannot move the client port to {wanted}: {error}"),
        }
    }
}
