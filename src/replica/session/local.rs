//! Sessions that only the server knows where their client is connected (`LocalSessionTracker`): opened, kept alive
//! and ended without a transaction. Leaders and learners keep them in the same way.
//!
//! It answers nobody and orders nothing. Invariant: a session is local or known to all, never both here: whoever
//! upgrades one takes it out of this list.

use super::Tracker;
use crate::types::{Millis, SessionId};
use crate::wire::WriteRequest;
use crate::wire::multi::WriteOp;
use jute::CreateMode;

/// What a write of a local session needs before it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// The session is not local here, or the write needs no session that everybody knows.
    Nothing,
    /// The session has to be made known to all first, with this timeout (createSession with this very id and cxid
    /// 0). It is local no more.
    Upgrade(Millis),
    /// Local sessions do not become global here: EphemeralOnLocalSession.
    Refuse,
}

/// The local sessions of one server.
#[derive(Debug)]
pub struct LocalSessions {
    tracker: Tracker,
    timeouts: std::collections::BTreeMap<SessionId, Millis>,
    allowed: bool,
    upgrading: bool,
}

impl LocalSessions {
    /// Nobody yet: whether there may be any (`localSessionsEnabled`), and whether they may become global
    /// (`localSessionsUpgradingEnabled`).
    #[must_use]
    pub fn new(tick: Millis, allowed: bool, upgrading: bool) -> Self {
        Self { tracker: Tracker::new(tick), timeouts: std::collections::BTreeMap::new(), allowed, upgrading }
    }

    /// Are new sessions local?
    #[must_use]
    pub fn allowed(&self) -> bool {
        self.allowed
    }

    /// Number of local sessions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.timeouts.len()
    }

    /// When they end, and who.
    #[must_use]
    pub fn buckets(&self) -> Vec<(Millis, Vec<SessionId>)> {
        self.tracker.buckets()
    }

    /// True without any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.timeouts.is_empty()
    }

    /// Is this session local here?
    #[must_use]
    pub fn knows(&self, session: SessionId) -> bool {
        self.timeouts.contains_key(&session)
    }

    /// A session begins.
    pub fn open(&mut self, session: SessionId, timeout: Millis, now: Millis) {
        self.tracker.track(session, timeout, now);
        self.timeouts.insert(session, timeout);
    }

    /// The session was heard of. False if it is not local here.
    pub fn touch(&mut self, session: SessionId, timeout: Millis, at: Millis) -> bool {
        let known = self.tracker.touch(session, timeout, at);
        if known {
            self.timeouts.insert(session, timeout);
        }
        known
    }

    /// The session is over, or not local any more; gives its timeout if it was local here.
    pub fn take(&mut self, session: SessionId) -> Option<Millis> {
        self.tracker.forget(session);
        self.timeouts.remove(&session)
    }

    /// Sessions that were silent for too long, with their timeouts; they are over.
    pub fn take_expired(&mut self, now: Millis) -> Vec<(SessionId, Millis)> {
        let expired = self.tracker.take_expired(now);
        for (session, _) in &expired {
            self.take(*session);
        }
        expired
    }

    /// When the next session may expire.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        self.tracker.next_deadline()
    }

    /// Looks at a write before it is ordered or passed on (`QuorumZooKeeperServer.checkUpgradeSession`).
    pub fn before(&mut self, session: SessionId, request: &WriteRequest<'_>) -> Before {
        if !self.knows(session) || !makes_ephemeral(request) {
            return Before::Nothing;
        }
        if !self.upgrading {
            return Before::Refuse;
        }
        self.take(session).map_or(Before::Nothing, Before::Upgrade)
    }
}

/// Does the write create a node that lives as long as its session?
fn makes_ephemeral(request: &WriteRequest<'_>) -> bool {
    let ephemeral = |flags| CreateMode::from_code(flags).is_some_and(CreateMode::is_ephemeral);
    match request {
        WriteRequest::Create(_, r) => ephemeral(r.flags),
        WriteRequest::Multi(parts) => {
            parts.iter().any(|part| matches!(part, WriteOp::Create(_, r) if ephemeral(r.flags)))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jute::OpCode;
    use jute::records::proto::CreateRequest;

    const S: SessionId = SessionId(7);

    fn create(flags: i32) -> WriteRequest<'static> {
        let r = CreateRequest { path: Some("/a".into()), data: None, acl: None, flags };
        WriteRequest::Create(OpCode::Create, r)
    }

    fn sessions(upgrading: bool) -> LocalSessions {
        let mut local = LocalSessions::new(Millis(1000), true, upgrading);
        local.open(S, Millis(5000), Millis(0));
        local
    }

    #[test]
    fn an_ephemeral_node_asks_for_a_session_that_all_know() {
        let mut local = sessions(true);
        assert_eq!(local.before(S, &create(0)), Before::Nothing);
        assert_eq!(local.before(SessionId(8), &create(1)), Before::Nothing);
        assert_eq!(local.before(S, &create(1)), Before::Upgrade(Millis(5000)));
        assert!(!local.knows(S) && local.is_empty());
        assert_eq!(local.before(S, &create(1)), Before::Nothing, "once");
        let WriteRequest::Create(op, r) = create(3) else { unreachable!() };
        let multi = WriteRequest::Multi(vec![WriteOp::Create(op, r)]);
        assert_eq!(sessions(false).before(S, &multi), Before::Refuse);
    }

    #[test]
    fn silence_ends_it_and_life_keeps_it() {
        let mut local = sessions(false);
        assert!(local.touch(S, Millis(5000), Millis(3000)));
        assert!(local.take_expired(Millis(7000)).is_empty());
        assert_eq!(local.deadline(), Some(Millis(9000)));
        assert_eq!(local.take_expired(Millis(9000)), [(S, Millis(5000))]);
        assert!(!local.touch(S, Millis(5000), Millis(9000)) && local.deadline().is_none());
        assert_eq!(local.take(S), None);
    }
}
