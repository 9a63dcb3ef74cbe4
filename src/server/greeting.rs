//! A client's first words: let in or turned away, and the session it gets or gets back.
//!
//! Whether a session exists is the brain's to decide; this asks it, and tells the client what came of it.
//!
//! Invariant: of all connections only the last that was given a session speaks for it.

use super::core::{Core, Wakers, wake};
use super::standing::Standing;
use super::throttle::{Asked, also};
use crate::net::client::{Conn, Phase};
use crate::replica::session::password;
use crate::state::TreeView as _;
use crate::types::{Millis, SessionId};
use crate::wire::{Greeting, GreetingReply};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

impl Core {
    /// Has the throttle a token for this greeting?
    fn has_token(&self, conn: &Conn, session: SessionId) -> bool {
        let Some(throttle) = &self.throttle else {
            self.counters.token_deficit.add(0);
            return true;
        };
        let asked = match session {
            SessionId::NONE if self.settings.local_sessions => Asked::Local,
            SessionId::NONE => Asked::Global,
            _ => Asked::Renewal,
        };
        let now = self.clock.mono();
        let Some(deficit) = throttle.admit(now, asked) else {
            self.counters.connections_rejected.fetch_add(1, Relaxed);
            if let Some(withheld) = self.hushes.throttled.breaks(now) {
                let also = also(withheld);
                tracing::warn!(
                    "Closing session {session} of {}: connections come too fast{also}",
                    conn.remote
                );
            }
            return false;
        };
        self.counters.token_deficit.add(deficit);
        true
    }

    /// Answers a greeting: refuses clients that come too fast or from the future, opens or resumes the session.
    pub(super) fn greet_client(&self, conn: &Arc<Conn>, greeting: &Greeting<'_>) {
        let request = &greeting.request;
        if !self.has_token(conn, SessionId(request.session_id)) {
            wake(conn.outbox.close_now().into_iter().collect());
            return;
        }
        self.counters.connection_requests.fetch_add(1, Relaxed);
        conn.set_read_only_flag(greeting.read_only);
        if !self.is_open_to(conn, greeting) {
            wake(conn.outbox.close_now().into_iter().collect());
            return;
        }
        let seen = request.last_zxid_seen;
        let last = self.shared.read(|machine| machine.last_zxid().0);
        if seen > last {
            tracing::info!(
                "Refusing session({}) request for client {} as it has seen zxid 0x{seen:x} our last zxid is \
                 0x{last:x} client must try another server",
                SessionId(request.session_id),
                conn.remote,
            );
            wake(conn.outbox.close_now().into_iter().collect());
            return;
        }
        let timeout = Millis(i64::from(request.time_out))
            .clamp(self.settings.min_session_timeout, self.settings.max_session_timeout);
        let session = SessionId(request.session_id);
        if self.is_kept_elsewhere(conn, session) {
            wake(conn.outbox.close_now().into_iter().collect());
            return;
        }
        if session == SessionId::NONE {
            self.gate.begin();
            self.drive(|step| self.open_session(step, conn, timeout));
        } else if password::fits(session, request.passwd) {
            self.counters.connection_revalidates.fetch_add(1, Relaxed);
            self.drive(|step| self.resume_session(step, conn, session, timeout));
        } else {
            if let Some(withheld) = self.hushes.password.breaks(self.clock.mono()) {
                let also = also(withheld);
                tracing::warn!("Incorrect password from {} for session {session}{also}", conn.remote);
            }
            let mut wakers = Wakers::new();
            self.over(conn, &mut wakers);
            wake(wakers);
        }
    }

    /// The session a client asked for is over: it is told so, and the connection ends.
    fn over(&self, conn: &Conn, wakers: &mut Wakers) {
        conn.enter(Phase::Closing);
        let reply = GreetingReply::expired(conn.read_only_flag());
        wakers.extend(conn.outbox.put(|out| reply.write(out)).1);
        wakers.extend(conn.outbox.close_when_flushed());
    }

    pub(super) fn resumed(
        &self,
        conn: &Arc<Conn>,
        session: SessionId,
        timeout: Option<Millis>,
        wakers: &mut Wakers,
    ) {
        match timeout {
            Some(timeout) => self.attach(conn, session, timeout, wakers),
            None => {
                tracing::info!("Invalid session {session} for client {}, probably expired", conn.remote);
                self.over(conn, wakers);
            }
        }
    }

    /// The connection speaks for the session from here on; one that did before is closed.
    pub(super) fn attach(&self, conn: &Arc<Conn>, session: SessionId, timeout: Millis, wakers: &mut Wakers) {
        let before = self.sessions.lock().insert(session, Arc::clone(conn));
        if let Some(before) = before.filter(|b| b.id != conn.id) {
            wakers.extend(before.outbox.close_now());
        }
        let reply = GreetingReply {
            time_out: i32::try_from(timeout.0).unwrap_or(i32::MAX),
            session_id: session.0,
            passwd: password::of(session),
            read_only: conn.read_only_flag().map(|_| self.standing.get() == Standing::ReadOnly),
        };
        let (_, waker) = conn.outbox.put(|out| reply.write(out));
        conn.stats.sent.fetch_add(1, Relaxed);
        self.counters.sent_pieces(1);
        conn.attach(session, timeout);
        wakers.extend(waker);
    }
}
