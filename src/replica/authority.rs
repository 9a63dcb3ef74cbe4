//! Sessions and validation together: what a server has while it decides for others, alone or as a leader.
//!
//! The zxid comes from the order and the entry goes back to it. Invariant: one zxid in, one entry out.

use super::ReplicaSettings;
use super::prep::{Ask, Prep};
use super::session::{Strangers, Tracker, Via};
use crate::auth::Rules;
use crate::config::ensemble::Membership;
use crate::state::TreeView;
use crate::state::quota::Overrun;
use crate::types::{Entry, Millis, Now, SessionId, Zxid};
use jute::ErrorCode;
use std::sync::Arc;

/// Who is alive, and what may be done.
#[derive(Debug)]
pub struct Authority {
    /// Everybody's sessions.
    pub sessions: Tracker,
    /// Validation, with what it has accepted and the tree does not show yet.
    pub prep: Prep,
}

impl Authority {
    /// Over a tree that shows everything logged so far. Every session it knows gets its full timeout from now.
    #[must_use]
    pub fn new(
        settings: &ReplicaSettings,
        rules: &Rules,
        now: Now,
        tree: &impl TreeView,
        strangers: Strangers,
    ) -> Self {
        let mut sessions = Tracker::new(settings.tick).with_strangers(strangers);
        for (session, timeout) in tree.sessions() {
            sessions.track(session, timeout, now.mono);
        }
        Self { sessions, prep: Prep::new(settings.clone(), rules.clone(), tree.digest()) }
    }

    /// A session begins, at the server it came through.
    pub fn open(&mut self, now: Now, zxid: Zxid, session: SessionId, timeout: Millis, via: Via) -> Entry {
        self.sessions.track(session, timeout, now.mono);
        self.sessions.claim(session, via);
        self.prep.create_session(now, zxid, session, timeout)
    }

    /// A session ends.
    pub fn close(
        &mut self,
        now: Now,
        zxid: Zxid,
        session: SessionId,
        cxid: i32,
        tree: &impl TreeView,
    ) -> Entry {
        self.sessions.close(session);
        self.prep.close_session(now, zxid, session, cxid, tree)
    }

    /// A write that came through this server or a learner.
    pub fn write(&mut self, now: Now, zxid: Zxid, ask: &Ask<'_>, tree: &impl TreeView) -> Entry {
        self.sessions.claim(ask.session, ask.via);
        self.prep.write(now, zxid, ask, &self.sessions, tree)
    }

    /// A request that is turned down before it is looked into.
    pub fn refuse(&mut self, now: Now, zxid: Zxid, session: SessionId, cxid: i32, code: ErrorCode) -> Entry {
        Prep::refuse(now, zxid, session, cxid, code)
    }

    /// A container or TTL node goes; the session and its number are those of whoever passed it on, if anybody did.
    pub fn reap(
        &mut self,
        now: Now,
        zxid: Zxid,
        from: (SessionId, i32),
        path: &str,
        tree: &impl TreeView,
    ) -> Entry {
        self.prep.delete_container(now, zxid, from, path, tree)
    }

    /// Another membership, which `next` makes of the request where that is possible.
    pub fn reconfig(
        &mut self,
        now: Now,
        zxid: Zxid,
        ask: &Ask<'_>,
        next: impl FnOnce() -> Result<Arc<Membership>, ErrorCode>,
        tree: &impl TreeView,
    ) -> (Entry, Option<Arc<Membership>>) {
        self.sessions.claim(ask.session, ask.via);
        self.prep.reconfig(now, zxid, ask, next, &self.sessions, tree)
    }

    /// Limits that the last write passed.
    pub fn take_overruns(&mut self) -> Vec<Overrun> {
        self.prep.take_overruns()
    }

    /// The tree has everything up to here; these sessions are gone from it.
    pub fn applied(&mut self, zxid: Zxid, gone: &[SessionId]) {
        self.prep.applied(zxid);
        for session in gone {
            self.sessions.forget(*session);
        }
    }
}
