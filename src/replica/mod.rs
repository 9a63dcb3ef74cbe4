//! Everything one server decides, as a function of what it is told: sessions, validation, order.
//!
//! There is no socket, clock, disk or randomness behind [`Replica::step`]: time comes with each input, disk
//! and peers are effects that somebody else performs, in the order they were emitted, and reports back.
//!
//! Invariant: equal inputs over equal trees give equal effects, and every write that was accepted for
//! ordering takes exactly one zxid, also when validation turns it down.

pub mod prep;
pub mod session;
pub mod zab;

use crate::auth::{Identity, Rules};
use crate::state::TreeView;
use crate::state::quota::Overrun;
use crate::types::{Committed, ConnId, Entry, Flushed, Millis, Now, ServerId, SessionId, Zxid};
use crate::wire::WriteRequest;
use jute::ErrorCode;
use prep::Prep;
use session::Tracker;
use zab::Solo;

/// What the replica needs to know of the configuration.
#[derive(Debug, Clone)]
pub struct ReplicaSettings {
    /// Goes into the top byte of session ids.
    pub server_id: ServerId,
    /// Granularity of session expiry.
    pub tick: Millis,
    /// TTL nodes are allowed.
    pub extended_types: bool,
    /// Hard quotas are enforced.
    pub enforce_quota: bool,
    /// Transactions carry the digest of the tree.
    pub digest: bool,
    /// closeSession transactions list what they delete.
    pub close_session_txn: bool,
    /// reconfig is allowed at all.
    pub reconfig_enabled: bool,
}

impl Default for ReplicaSettings {
    fn default() -> Self {
        Self {
            server_id: ServerId(1),
            tick: Millis(3000),
            extended_types: false,
            enforce_quota: false,
            digest: true,
            close_session_txn: true,
            reconfig_enabled: false,
        }
    }
}

/// Who gets the answer to an ordered request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The connection it came from.
    pub conn: ConnId,
    /// Its xid.
    pub xid: i32,
}

/// A write of a client.
#[derive(Debug)]
pub struct ClientWrite<'a> {
    /// Where the answer goes.
    pub origin: Origin,
    /// The session it belongs to.
    pub session: SessionId,
    /// The connection's identities when the request was read.
    pub ids: &'a [Identity],
    /// What it asks.
    pub request: WriteRequest<'a>,
}

/// What the replica is told.
#[derive(Debug)]
pub enum Input<'a> {
    /// A client wants to change the tree.
    Write(ClientWrite<'a>),
    /// A client wants a new session with this negotiated timeout.
    OpenSession {
        /// Where the answer goes.
        conn: ConnId,
        /// Negotiated timeout.
        timeout: Millis,
    },
    /// A client ends its session.
    CloseSession {
        /// Where the answer goes.
        origin: Origin,
        /// The session.
        session: SessionId,
    },
    /// A client comes back with a session whose password was right.
    ResumeSession {
        /// Where the answer goes.
        conn: ConnId,
        /// The session.
        session: SessionId,
        /// The timeout it has from now on.
        timeout: Millis,
    },
    /// Sessions that were heard of: id, timeout, and when that was on the monotonic clock.
    Touch(&'a [(SessionId, Millis, Millis)]),
    /// Time has passed: sessions may be over.
    Tick,
    /// A container or TTL node looks ready to go.
    Reap(&'a str),
    /// The log is durable up to here.
    Flushed(Flushed),
    /// The tree has everything up to here, and these sessions are gone from it.
    Applied(Zxid, &'a [SessionId]),
}

/// What somebody must do for the replica, in this order.
#[derive(Debug)]
pub enum Effect {
    /// Write this to the log and report [`Input::Flushed`].
    Append(Entry),
    /// Apply this to the tree, tell the origin, and report [`Input::Applied`].
    Commit(Commit),
    /// Answer a resumed session: alive with this timeout, or over.
    Resumed {
        /// Where the answer goes.
        conn: ConnId,
        /// The session.
        session: SessionId,
        /// The timeout, or `None` if the session is over.
        timeout: Option<Millis>,
    },
    /// Answer a request that will never be ordered.
    Refuse(Origin, ErrorCode),
    /// A limit was passed: refused if it is a hard one, else only worth a line in the log.
    OverQuota(Overrun),
    /// The session will take no more requests; its end is being ordered. Its timeout is given when silence
    /// was the reason.
    Closing(SessionId, Option<Millis>),
}

/// A transaction that may be applied.
#[derive(Debug)]
pub struct Commit {
    /// The transaction.
    pub entry: Committed<Entry>,
    /// Who is waiting for it here.
    pub origin: Option<Origin>,
}

/// The effects of one or more steps.
pub type Effects = Vec<Effect>;

/// One server's brain.
#[derive(Debug)]
pub struct Replica {
    sessions: Tracker,
    prep: Prep,
    order: Solo,
}

impl Replica {
    /// A standalone server that continues from what recovery found in `tree`. Every session it knows gets
    /// its full timeout from now.
    #[must_use]
    pub fn solo(settings: ReplicaSettings, rules: Rules, now: Now, tree: &impl TreeView) -> Self {
        let mut sessions = Tracker::new(settings.server_id, settings.tick, now);
        for (session, timeout) in tree.sessions() {
            sessions.track(session, timeout, now.mono);
        }
        let order = Solo::new(tree.last_zxid());
        Self { sessions, prep: Prep::new(settings, rules, tree.digest()), order }
    }

    /// Takes one input, appends what follows from it.
    pub fn step(&mut self, now: Now, input: Input<'_>, tree: &impl TreeView, out: &mut Effects) {
        match input {
            Input::Write(write) => self.write(now, &write, tree, out),
            Input::OpenSession { conn, timeout } => {
                let session = self.sessions.open(timeout, now.mono);
                let origin = Origin { conn, xid: 0 };
                let zxid = self.order.next_zxid();
                let entry = self.prep.create_session(now, zxid, session, timeout);
                self.order.propose(entry, Some(origin), out);
            }
            Input::CloseSession { origin, session } => {
                self.close(now, session, origin.xid, Some(origin), None, tree, out);
            }
            Input::ResumeSession { conn, session, timeout } => {
                let alive = self.sessions.touch(session, timeout, now.mono);
                out.push(Effect::Resumed { conn, session, timeout: alive.then_some(timeout) });
            }
            Input::Touch(heard) => {
                for (session, timeout, at) in heard {
                    self.sessions.touch(*session, *timeout, *at);
                }
            }
            Input::Tick => {
                for (session, timeout) in self.sessions.take_expired(now.mono) {
                    self.close(now, session, 0, None, Some(timeout), tree, out);
                }
            }
            Input::Reap(path) => {
                let zxid = self.order.next_zxid();
                let entry = self.prep.delete_container(now, zxid, path, tree);
                self.order.propose(entry, None, out);
            }
            Input::Flushed(proof) => self.order.flushed(proof, out),
            Input::Applied(zxid, gone) => {
                self.prep.applied(zxid);
                for session in gone {
                    self.sessions.forget(*session);
                }
            }
        }
    }

    fn write(&mut self, now: Now, write: &ClientWrite<'_>, tree: &impl TreeView, out: &mut Effects) {
        let zxid = self.order.next_zxid();
        let entry = self.prep.write(now, zxid, write, &self.sessions, tree);
        out.extend(self.prep.take_overruns().into_iter().map(Effect::OverQuota));
        self.order.propose(entry, Some(write.origin), out);
    }

    #[expect(clippy::too_many_arguments, reason = "both ends of a session, its client's and its silence's")]
    fn close(
        &mut self,
        now: Now,
        session: SessionId,
        cxid: i32,
        origin: Option<Origin>,
        silent_for: Option<Millis>,
        tree: &impl TreeView,
        out: &mut Effects,
    ) {
        self.sessions.close(session);
        out.push(Effect::Closing(session, silent_for));
        let zxid = self.order.next_zxid();
        let entry = self.prep.close_session(now, zxid, session, cxid, tree);
        self.order.propose(entry, origin, out);
    }

    /// Plain figures for the report.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            sessions: self.sessions.len(),
            in_flight: self.order.in_flight(),
            pending: self.prep.pending(),
        }
    }

    /// The expiry buckets: when, and who.
    #[must_use]
    pub fn expiry_buckets(&self) -> Vec<(Millis, Vec<SessionId>)> {
        self.sessions.buckets()
    }
}

/// Figures of the replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status {
    /// Sessions tracked for expiry.
    pub sessions: usize,
    /// Transactions proposed and not yet committed.
    pub in_flight: usize,
    /// Rows that validation lays over the tree.
    pub pending: usize,
}
