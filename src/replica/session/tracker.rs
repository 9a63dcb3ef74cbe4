//! Who is alive until when (`SessionTrackerImpl`, `ExpiryQueue`). Time is the monotonic clock's only.
//!
//! Deadlines are rounded up to the next tick, so sessions end in batches: a silent session lives at least
//! its timeout and at most a tick longer. Invariant: every session is in exactly one bucket, or closing.

use crate::types::planted::{self, Bug};
use crate::types::{LinkId, Millis, Now, ServerId, SessionId};
use jute::ErrorCode;
use std::collections::{BTreeMap, BTreeSet};

/// The server through which a session acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Via {
    /// This one.
    Here,
    /// This one, for a session that only this server knows: it may do all that leaves no ephemeral node.
    Local,
    /// The learner at the other end of this connection.
    Learner(LinkId),
}

#[derive(Debug, Clone, Copy)]
struct Tracked {
    timeout: Millis,
    /// When it was last heard of.
    heard: Millis,
    deadline: Millis,
    closing: bool,
    /// Through whom it acts; `None` until it has acted since this server began to decide.
    via: Option<Via>,
}

/// Why a session may not act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionFault {
    /// Nobody knows it.
    Unknown,
    /// Its end has been ordered.
    Closing,
    /// It acts through another server by now.
    Moved,
}

impl SessionFault {
    /// What its client is told. An ephemeral needs a session that everybody knows, so there an unknown one
    /// counts as expired.
    #[must_use]
    pub fn code(self, for_ephemeral: bool) -> ErrorCode {
        match self {
            Self::Unknown if !for_ephemeral => ErrorCode::UnknownSession,
            Self::Unknown | Self::Closing => ErrorCode::SessionExpired,
            Self::Moved => ErrorCode::SessionMoved,
        }
    }
}

/// What to make of a session that nobody here knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strangers {
    /// A standalone server knows all there are (`SessionTrackerImpl`).
    #[default]
    Unknown,
    /// A leader knows all there are (`LeaderSessionTracker`).
    Expired,
    /// Other servers have sessions of their own; those of this one would be known.
    LocalElsewhere(ServerId),
}

/// Numbers for new sessions.
#[derive(Debug)]
pub struct SessionIds {
    next: i64,
}

impl SessionIds {
    /// They begin at a number made of server id and wall clock: unlike the time since boot that the reference
    /// takes, that does not come again after a restart of the machine.
    #[must_use]
    pub fn new(server: ServerId, now: Now) -> Self {
        let clock = (now.wall.wrapping_shl(24).cast_unsigned() >> 8).cast_signed();
        Self { next: clock | server.0.wrapping_shl(56) }
    }

    /// The next one that nobody has.
    pub fn take(&mut self, is_taken: impl Fn(SessionId) -> bool) -> SessionId {
        let mut id = SessionId(self.next);
        while id == SessionId::NONE || id.0 == jute::codes::CONTAINER_OWNER || is_taken(id) {
            id = SessionId(id.0.wrapping_add(1));
        }
        self.next = id.0.wrapping_add(1);
        id
    }
}

/// The byte that a server puts on top of the ids it gives.
fn server_byte(server: ServerId) -> i64 {
    server.0 & 0xff
}

fn server_of(session: SessionId) -> i64 {
    (session.0 >> 56) & 0xff
}

/// The sessions that this server watches over.
#[derive(Debug)]
pub struct Tracker {
    tick: i64,
    strangers: Strangers,
    sessions: BTreeMap<SessionId, Tracked>,
    buckets: BTreeMap<Millis, BTreeSet<SessionId>>,
}

impl Tracker {
    /// Starts with nobody.
    #[must_use]
    pub fn new(tick: Millis) -> Self {
        let strangers = Strangers::default();
        Self { tick: tick.0.max(1), strangers, sessions: BTreeMap::new(), buckets: BTreeMap::new() }
    }

    /// The same, with another mind about sessions that nobody here knows.
    #[must_use]
    pub fn with_strangers(mut self, strangers: Strangers) -> Self {
        self.strangers = strangers;
        self
    }

    fn deadline(&self, at: Millis, timeout: Millis) -> Millis {
        let timeout = if planted::is(Bug::EarlyExpiry) { Millis(timeout.0 / 5) } else { timeout };
        Millis((at.0.saturating_add(timeout.0) / self.tick).saturating_add(1).saturating_mul(self.tick))
    }

    /// Does anybody have this number?
    #[must_use]
    pub fn knows(&self, session: SessionId) -> bool {
        self.sessions.contains_key(&session)
    }

    /// Watches over a session that is known already.
    pub fn track(&mut self, session: SessionId, timeout: Millis, now: Millis) {
        self.forget(session);
        let deadline = self.deadline(now, timeout);
        self.sessions.insert(session, Tracked { timeout, heard: now, deadline, closing: false, via: None });
        self.buckets.entry(deadline).or_default().insert(session);
    }

    /// The session was heard of at `at`. False if it is unknown or closing. A deadline moves back with a shorter timeout
    /// only, not with older news.
    pub fn touch(&mut self, session: SessionId, timeout: Millis, at: Millis) -> bool {
        let Some(heard) = self.sessions.get(&session).filter(|t| !t.closing).map(|t| t.heard.max(at)) else {
            return false;
        };
        let deadline = self.deadline(heard, timeout);
        let Some(tracked) = self.sessions.get_mut(&session) else { return false };
        (tracked.timeout, tracked.heard) = (timeout, heard);
        let before = std::mem::replace(&mut tracked.deadline, deadline);
        if before != deadline {
            self.leave_bucket(before, session);
            self.buckets.entry(deadline).or_default().insert(session);
        }
        true
    }

    fn leave_bucket(&mut self, deadline: Millis, session: SessionId) {
        if let Some(bucket) = self.buckets.get_mut(&deadline) {
            bucket.remove(&session);
            if bucket.is_empty() {
                self.buckets.remove(&deadline);
            }
        }
    }

    /// May the session act, through this server? An ephemeral node needs a session that everybody knows.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, session: SessionId, via: Via, for_ephemeral: bool) -> Result<(), SessionFault> {
        match self.sessions.get(&session) {
            None if via == Via::Local && !for_ephemeral => Ok(()),
            None => match self.strangers {
                Strangers::LocalElsewhere(here)
                    if !for_ephemeral && server_of(session) != server_byte(here) =>
                {
                    Ok(())
                }
                Strangers::Unknown => Err(SessionFault::Unknown),
                Strangers::Expired | Strangers::LocalElsewhere(_) => Err(SessionFault::Closing),
            },
            Some(tracked) if tracked.closing => Err(SessionFault::Closing),
            Some(Tracked { via: Some(owner), .. }) if *owner != via => Err(SessionFault::Moved),
            Some(_) => Ok(()),
        }
    }

    /// A session acts for the first time since this server began to decide: it stays with this one.
    pub fn claim(&mut self, session: SessionId, via: Via) {
        if let Some(tracked) = self.sessions.get_mut(&session) {
            tracked.via.get_or_insert(via);
        }
    }

    /// The session came back, through this server.
    pub fn moves(&mut self, session: SessionId, via: Via) {
        if let Some(tracked) = self.sessions.get_mut(&session) {
            tracked.via = Some(via);
        }
    }

    /// From here on the session may not act.
    pub fn close(&mut self, session: SessionId) {
        if let Some(tracked) = self.sessions.get_mut(&session) {
            tracked.closing = true;
            let deadline = tracked.deadline;
            self.leave_bucket(deadline, session);
        }
    }

    /// The session is gone for good.
    pub fn forget(&mut self, session: SessionId) {
        if let Some(tracked) = self.sessions.remove(&session) {
            self.leave_bucket(tracked.deadline, session);
        }
    }

    /// Sessions whose deadline has passed, with their timeouts; they are closing from now on.
    pub fn take_expired(&mut self, now: Millis) -> Vec<(SessionId, Millis)> {
        let mut expired = Vec::new();
        while let Some(bucket) = self.buckets.first_entry().filter(|b| *b.key() <= now) {
            for session in bucket.remove() {
                if let Some(tracked) = self.sessions.get_mut(&session) {
                    tracked.closing = true;
                    expired.push((session, tracked.timeout));
                }
            }
        }
        expired
    }

    /// When the next session may expire.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Millis> {
        self.buckets.first_key_value().map(|(at, _)| *at)
    }

    /// Number of sessions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// True with no session at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// The buckets in order.
    #[must_use]
    pub fn buckets(&self) -> Vec<(Millis, Vec<SessionId>)> {
        self.buckets.iter().map(|(at, ids)| (*at, ids.iter().copied().collect())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracker() -> Tracker {
        Tracker::new(Millis(2000))
    }

    #[test]
    fn ids_carry_server_and_clock() {
        let mut ids = SessionIds::new(ServerId(1), Now { mono: Millis(0), wall: 0x123 });
        let a = ids.take(|_| false);
        assert_eq!(a.0, 0x0100_0000_0123_0000);
        assert_eq!(ids.take(|id| id.0 == a.0 + 1).0, a.0 + 2);
    }

    #[test]
    fn a_session_acts_through_one_server() {
        let mut t = tracker();
        let there = Via::Learner(LinkId(4));
        t.track(SessionId(7), Millis(5000), Millis(0));
        assert_eq!(t.check(SessionId(7), there, false), Ok(()));
        t.claim(SessionId(7), there);
        t.claim(SessionId(7), Via::Here);
        assert_eq!(t.check(SessionId(7), Via::Here, false), Err(SessionFault::Moved));
        t.moves(SessionId(7), Via::Here);
        assert_eq!(t.check(SessionId(7), there, false), Err(SessionFault::Moved));
    }

    #[test]
    fn what_a_leader_thinks_of_strangers() {
        let ours = SessionId(0x0300_0000_0000_0001);
        let theirs = SessionId(0x0400_0000_0000_0001);
        let leader = tracker().with_strangers(Strangers::Expired);
        assert_eq!(leader.check(ours, Via::Here, false), Err(SessionFault::Closing));
        assert_eq!(leader.check(ours, Via::Local, false), Ok(()));
        assert_eq!(leader.check(ours, Via::Local, true), Err(SessionFault::Closing));
        let leader = tracker().with_strangers(Strangers::LocalElsewhere(ServerId(3)));
        assert_eq!(leader.check(ours, Via::Here, false), Err(SessionFault::Closing));
        assert_eq!(leader.check(theirs, Via::Learner(LinkId(1)), false), Ok(()));
        assert_eq!(leader.check(theirs, Via::Learner(LinkId(1)), true), Err(SessionFault::Closing));
    }

    #[test]
    fn never_early_and_at_most_a_tick_late() {
        for start in [0, 1, 1999, 2000, 2001] {
            let mut t = tracker();
            t.track(SessionId(7), Millis(5000), Millis(start));
            assert!(t.take_expired(Millis(start + 5000)).is_empty(), "alive at its timeout");
            assert_eq!(t.take_expired(Millis(start + 7000)), [(SessionId(7), Millis(5000))]);
        }
    }

    #[test]
    fn a_shorter_timeout_counts_from_the_last_sign_of_life() {
        let mut t = tracker();
        t.track(SessionId(7), Millis(40_000), Millis(0));
        assert!(t.touch(SessionId(7), Millis(40_000), Millis(3000)));
        assert!(t.touch(SessionId(7), Millis(4000), Millis(2000)), "renewed, and told late");
        assert!(t.take_expired(Millis(7000)).is_empty());
        assert_eq!(t.take_expired(Millis(9000)), [(SessionId(7), Millis(4000))]);
        assert!(t.buckets.is_empty());
    }

    #[test]
    fn a_touch_moves_forward_only() {
        let mut t = tracker();
        t.track(SessionId(7), Millis(5000), Millis(0));
        assert!(t.touch(SessionId(7), Millis(5000), Millis(4000)));
        assert!(t.touch(SessionId(7), Millis(5000), Millis(1000)), "late news is still news of life");
        assert!(t.take_expired(Millis(9000)).is_empty());
        assert_eq!(t.take_expired(Millis(10_000)).len(), 1);
        assert!(!t.touch(SessionId(7), Millis(5000), Millis(9500)), "closing sessions stay closing");
        assert_eq!(t.check(SessionId(7), Via::Here, false), Err(SessionFault::Closing));
        t.forget(SessionId(7));
        assert_eq!(t.check(SessionId(7), Via::Here, false), Err(SessionFault::Unknown));
    }

    #[test]
    fn a_closed_session_leaves_its_bucket() {
        let mut t = tracker();
        t.track(SessionId(7), Millis(5000), Millis(0));
        t.close(SessionId(7));
        assert!(t.buckets().is_empty());
        assert!(t.take_expired(Millis(i64::MAX)).is_empty());
    }
}
