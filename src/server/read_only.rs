//! Who may come in, and sessions while no leader is known (`ReadOnlyZooKeeperServer`): clients that said that they
//! can do with reading get one that nobody else knows and that no transaction records.
//!
//! Invariant: nothing here changes the tree, and such a session ends with its connection.

use super::core::{Core, Step};
use super::standing::Standing;
use super::view::shown_address;
use crate::net::client::Conn;
use crate::replica::{Effect, Input};
use crate::types::{Millis, SessionId};
use crate::wire::Greeting;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

impl Core {
    /// Is this client served at all, now?
    pub(super) fn is_open_to(&self, conn: &Conn, greeting: &Greeting<'_>) -> bool {
        match self.standing.get() {
            Standing::Away => {
                self.counters.closed_without_server.fetch_add(1, Relaxed);
                false
            }
            Standing::ReadOnly if greeting.read_only != Some(true) => {
                tracing::info!("Refusing session request for not-read-only client {}", conn.remote);
                false
            }
            _ => true,
        }
    }

    /// Is it a session that only a leader can renew, and there is none (`ReadOnlyZooKeeperServer.validateSession`)?
    pub(super) fn is_kept_elsewhere(&self, conn: &Conn, session: SessionId) -> bool {
        let refused = self.standing.get() == Standing::ReadOnly
            && self.shared.read(|machine| machine.has_session(session));
        if refused {
            tracing::info!("Refusing global session reconnection in RO mode /{}", shown_address(conn));
        }
        refused
    }

    /// Opens a session the way this server does it now. The standing may have changed since the greeting was looked
    /// at; then the connection is closed by now, or is here.
    pub(super) fn open_session(&self, step: &mut Step<'_>, conn: &Arc<Conn>, timeout: Millis) {
        match step.standing() {
            Standing::Away => self.turn_away(step, conn),
            Standing::ReadOnly => {
                let session = SessionId(self.facts.next_read_only_session());
                step.effect(Effect::OpenedLocal { conn: conn.id, session, timeout });
            }
            _ => step.hand(Input::OpenSession { conn: conn.id, timeout }),
        }
    }

    /// Brings a session back. Without a leader nobody knows which are over. What this server's tree holds may be kept
    /// up by others, who hear nothing of it from here, so it is not renewed; each other is taken at its word.
    pub(super) fn resume_session(
        &self,
        step: &mut Step<'_>,
        conn: &Arc<Conn>,
        session: SessionId,
        timeout: Millis,
    ) {
        match step.standing() {
            Standing::Away => drop(conn.outbox.close_now()),
            Standing::ReadOnly if step.has_session(session) => drop(conn.outbox.close_now()),
            Standing::ReadOnly => {
                step.effect(Effect::Resumed { conn: conn.id, session, timeout: Some(timeout) });
            }
            _ => step.input(Input::ResumeSession { conn: conn.id, session, timeout }),
        }
    }

    fn turn_away(&self, step: &mut Step<'_>, conn: &Conn) {
        drop(conn.outbox.close_now());
        step.give_up();
    }
}
