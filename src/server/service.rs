//! The server as its connections see it.

use super::core::{Core, Step};
use super::facts::Facts;
use super::standing::Standing;
use crate::auth::Rules;
use crate::net::client::{Conn, Doorman, Driver, Gate, Pressure, Reads, Service, Tally};
use crate::replica::{ClientWrite, Effect, Input, Origin};
use crate::report::{ResponseSizes, Totals};
use crate::state::{Machine, Watches};
use crate::types::Millis;
use crate::wire::{Greeting, WriteRequest};
use jute::ErrorCode;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The brain, for one connection.
struct Hand<'s, 'b> {
    step: &'s mut Step<'b>,
    facts: &'s Facts,
    ids: Arc<[crate::auth::Identity]>,
}

impl Hand<'_, '_> {
    /// Does anybody order writes here? If not, the request is refused, or its connection is over anyway.
    fn is_taken(&mut self, conn: &Conn, origin: Origin) -> bool {
        match self.step.standing() {
            Standing::ReadOnly => {
                self.step.effect(Effect::Refuse(origin, ErrorCode::NotReadOnly));
                false
            }
            // Its task has not seen yet that it was closed when the role ended.
            Standing::Away => {
                drop(conn.outbox.close_now());
                self.step.give_up();
                false
            }
            standing => standing.takes_writes(),
        }
    }
}

impl Driver for Hand<'_, '_> {
    fn write(&mut self, conn: &Conn, origin: Origin, op: i32, body: &[u8], request: WriteRequest<'_>) {
        if self.is_taken(conn, origin) {
            let write = ClientWrite { origin, session: conn.session(), ids: &self.ids, op, body, request };
            self.step.hand(Input::Write(write));
        }
    }

    fn sync(&mut self, conn: &Conn, origin: Origin, body: &[u8]) {
        if self.is_taken(conn, origin) {
            self.step.hand(Input::Sync { origin, session: conn.session(), ids: &self.ids, body });
        }
    }

    fn close_session(&mut self, conn: &Conn, origin: Origin) {
        let here_alone = self.facts.made_read_only_session(conn.session());
        if self.step.standing() == Standing::ReadOnly && here_alone {
            self.step.effect(Effect::ClosedLocal { origin: Some(origin), session: conn.session() });
        } else if self.is_taken(conn, origin) {
            self.step.hand(Input::CloseSession { origin, session: conn.session() });
        }
    }
}

impl Service for Core {
    fn now(&self) -> Millis {
        self.clock.mono()
    }

    fn max_frame(&self) -> usize {
        self.settings.max_frame
    }

    fn rules(&self) -> &Rules {
        &self.rules
    }

    fn greet(&self, conn: &Arc<Conn>, greeting: &Greeting<'_>) {
        self.greet_client(conn, greeting);
    }

    fn read<R>(&self, f: impl FnOnce(&Machine, &Watches) -> R) -> R {
        self.shared.read(|machine| f(machine, self.shared.watches()))
    }

    fn drive(&self, conn: &Conn, f: impl FnOnce(&mut dyn Driver)) {
        let ids = conn.ids();
        Self::drive(self, |step| f(&mut Hand { step, facts: &self.facts, ids }));
    }

    fn four_letter(&self, conn: &Conn, word: [u8; 4], rest: &[u8]) -> Option<Vec<u8>> {
        self.answer_word(conn, word, rest)
    }

    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn pressed(&self, pressure: Pressure) {
        let counters = &self.counters;
        let counter = match pressure {
            Pressure::Waited(time) => return counters.throttle_queue_time.add(time.0.max(0)),
            Pressure::LargeRejected => &counters.large_requests_rejected,
            Pressure::Stalled => &counters.throttle_waits,
            Pressure::Throttled => &counters.throttled_ops,
            Pressure::StaleDropped => &counters.stale_requests_dropped,
            Pressure::Stale => &counters.stale_requests,
        };
        counter.fetch_add(1, Relaxed);
    }

    fn received(&self, frames: u64, bytes: u64) {
        self.counters.received(frames, bytes);
    }

    fn answered(&self, since: Millis, now: Millis, tally: &Tally<'_>) {
        let Tally { replies, bytes, events, event_bytes, .. } = *tally;
        self.counters.sent(
            replies + events,
            bytes,
            ResponseSizes { last: tally.last, min: tally.min, max: tally.max },
        );
        if events > 0 {
            self.counters.watch_bytes.fetch_add(event_bytes, Relaxed);
        }
        self.counters.read(now.0.saturating_sub(since.0), replies);
    }

    fn read_namespace(&self, namespace: &str, reads: Reads) {
        let Reads { count, sum, min, max } = reads;
        self.counters.read_namespace(namespace, Totals { count, sum, min, max });
    }

    fn replied_aside(&self, bytes: u64) {
        self.counters.replied(bytes);
    }

    fn vanished(&self) {
        self.counters.connections_dropped.fetch_add(1, Relaxed);
    }

    fn gone(&self, conn: &Arc<Conn>) {
        {
            let mut sessions = self.sessions.lock();
            if sessions.get(&conn.session()).is_some_and(|c| c.id == conn.id) {
                sessions.remove(&conn.session());
            }
        }
        // Under the shared lock, so that no apply can be registering for it at the same time.
        self.shared.read(|_| self.shared.watches().drop_watcher(conn.watcher));
        if self.conns.remove(conn) {
            self.collect_touches();
        }
    }
}

impl Doorman for Core {
    fn admit(&self, remote: SocketAddr) -> Option<Arc<Conn>> {
        match self.conns.admit(remote, self.clock.now()) {
            Ok(conn) => Some(conn),
            Err(full) => {
                self.counters.connections_rejected.fetch_add(1, Relaxed);
                self.refused(remote, full);
                None
            }
        }
    }
}
