//! What a learner does for its clients: passes their requests on with their very bytes, and finds out which of the
//! commits that come back is whose.
//!
//! It validates nothing and answers nothing by itself, sessions of this server alone aside. Invariant: a request that
//! was passed on is remembered until its transaction comes, and forgotten with the role; so what is remembered is no
//! more than what clients have in flight, which the gate in front of them bounds.

use super::txn;
use crate::auth::Identity;
use crate::replica::io::{ClientWrite, Effect, Origin};
use crate::replica::session::{Before, LocalSessions};
use crate::replica::zab::member::{Ctx, Member};
use crate::replica::zab::{Forwarded, Packet};
use crate::state::TreeView;
use crate::types::{ConnId, Entry, LinkId, Millis, SessionId};
use bytes::Bytes;
use jute::{ErrorCode, OpCode};
use std::collections::{BTreeMap, VecDeque};

/// Touches in one answer to a ping: 1.2 MB, below the 2 MiB at which the reference's reader closes the connection.
/// The others go with the next, half a tick later.
const TOUCHES: usize = 100_000;

/// What kind of transaction answers a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Open,
    Close,
    Write,
}

impl Kind {
    /// Can a transaction of this type be the answer? An expired session ends with cxid 0, which is nobody's request.
    fn fits(self, op: i32) -> bool {
        let (open, close) = (op == OpCode::CreateSession.code(), op == OpCode::CloseSession.code());
        match self {
            Self::Open => open,
            Self::Close => close || op == OpCode::Error.code(),
            Self::Write => !open && !close,
        }
    }
}

/// Sessions heard of between two pings, at most: more than one server has, but observers may say anything. Those
/// beyond are left out, and heard of again.
const TOUCHED: usize = 1 << 20;

/// Who waits for a sync.
#[derive(Debug, Clone, Copy)]
enum Syncer {
    Client(Origin),
    Observer(LinkId),
}

/// Who waits to hear whether a session is alive.
#[derive(Debug, Clone, Copy)]
enum Reviver {
    Client(ConnId, Millis),
    Observer(LinkId),
}

/// Requests on their way to the leader.
#[derive(Debug)]
pub(super) struct Clients {
    leader: LinkId,
    /// By session and number; clients may use a number twice.
    requests: BTreeMap<(SessionId, i32), VecDeque<(Kind, Origin)>>,
    /// Answered in order, without a number.
    syncs: VecDeque<Syncer>,
    revalidations: BTreeMap<SessionId, VecDeque<Reviver>>,
    /// Heard of since the last ping, with the timeouts; as many as there are sessions here.
    touched: BTreeMap<SessionId, Millis>,
    local: LocalSessions,
}

impl Clients {
    pub(super) fn new(me: &Member, leader: LinkId) -> Self {
        let local =
            LocalSessions::new(me.settings.tick, me.ensemble.local_sessions, me.ensemble.local_upgrading);
        Self {
            leader,
            requests: BTreeMap::new(),
            syncs: VecDeque::new(),
            revalidations: BTreeMap::new(),
            touched: BTreeMap::new(),
            local,
        }
    }

    fn send<T: TreeView>(
        &self,
        ctx: &mut Ctx<'_, T>,
        (session, cxid): (SessionId, i32),
        op: i32,
        body: &[u8],
        ids: Option<&[Identity]>,
    ) {
        let body = Bytes::copy_from_slice(body);
        let forwarded = Forwarded { session, cxid, op, body, ids: ids.map(<[_]>::to_vec) };
        ctx.emit(Effect::Send(self.leader, Packet::Request(forwarded)));
    }

    fn remember(&mut self, session: SessionId, kind: Kind, origin: Origin) {
        let cxid = if kind == Kind::Open { 0 } else { origin.xid };
        self.requests.entry((session, cxid)).or_default().push_back((kind, origin));
    }

    fn create_session<T: TreeView>(&self, ctx: &mut Ctx<'_, T>, session: SessionId, timeout: Millis) {
        let timeout = i32::try_from(timeout.0).unwrap_or(i32::MAX);
        self.send(ctx, (session, 0), OpCode::CreateSession.code(), &timeout.to_be_bytes(), None);
    }

    pub(super) fn write<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, write: &ClientWrite<'_>) {
        let ClientWrite { origin, session, ids, op, body, request } = write;
        match self.local.before(*session, request) {
            Before::Nothing => {}
            Before::Upgrade(timeout) => self.create_session(ctx, *session, timeout),
            Before::Refuse => {
                ctx.emit(Effect::Refuse(*origin, ErrorCode::EphemeralOnLocalSession));
                return;
            }
        }
        self.remember(*session, Kind::Write, *origin);
        self.send(ctx, (*session, origin.xid), *op, body, Some(ids));
    }

    pub(super) fn sync<T: TreeView>(
        &mut self,
        ctx: &mut Ctx<'_, T>,
        origin: Origin,
        session: SessionId,
        ids: &[Identity],
        body: &[u8],
    ) {
        self.syncs.push_back(Syncer::Client(origin));
        self.send(ctx, (session, origin.xid), OpCode::Sync.code(), body, Some(ids));
    }

    /// Everything that was committed before the oldest sync was sent has come. Gives the observer whose sync it was.
    pub(super) fn synced<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>) -> Option<LinkId> {
        match self.syncs.pop_front() {
            Some(Syncer::Client(origin)) => ctx.emit(Effect::Synced(origin)),
            Some(Syncer::Observer(link)) => return Some(link),
            None => ctx.warn("SYNC from the leader, and nobody waits for one"),
        }
        None
    }

    pub(super) fn open<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, conn: ConnId, timeout: Millis) {
        let Self { local, requests, .. } = &*self;
        let session = ctx.me.sessions.take(|id| local.knows(id) || requests.contains_key(&(id, 0)));
        if self.local.allowed() {
            self.local.open(session, timeout, ctx.now.mono);
            ctx.emit(Effect::OpenedLocal { conn, session, timeout });
            return;
        }
        self.remember(session, Kind::Open, Origin { conn, xid: 0 });
        self.create_session(ctx, session, timeout);
    }

    pub(super) fn close<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, origin: Origin, session: SessionId) {
        if self.local.take(session).is_some() {
            ctx.emit(Effect::ClosedLocal { origin: Some(origin), session });
            return;
        }
        ctx.emit(Effect::Closing(session, None));
        self.remember(session, Kind::Close, origin);
        self.send(ctx, (session, origin.xid), OpCode::CloseSession.code(), &[], Some(&[]));
    }

    pub(super) fn resume<T: TreeView>(
        &mut self,
        ctx: &mut Ctx<'_, T>,
        conn: ConnId,
        session: SessionId,
        timeout: Millis,
    ) {
        if self.local.touch(session, timeout, ctx.now.mono) {
            ctx.emit(Effect::Resumed { conn, session, timeout: Some(timeout) });
            return;
        }
        self.revalidations.entry(session).or_default().push_back(Reviver::Client(conn, timeout));
        ctx.emit(Effect::Send(self.leader, Packet::Revalidate(session, timeout)));
    }

    /// The leader says whether a session is alive. Gives the observer that had asked.
    pub(super) fn revalidated<T: TreeView>(
        &mut self,
        ctx: &mut Ctx<'_, T>,
        session: SessionId,
        alive: bool,
    ) -> Option<LinkId> {
        let Some(waiting) = self.revalidations.get_mut(&session) else {
            ctx.warn(format!("session {session} was revalidated, and nobody had asked"));
            return None;
        };
        let first = waiting.pop_front();
        if waiting.is_empty() {
            self.revalidations.remove(&session);
        }
        match first? {
            Reviver::Client(conn, timeout) => {
                ctx.emit(Effect::Resumed { conn, session, timeout: alive.then_some(timeout) });
                None
            }
            Reviver::Observer(link) => Some(link),
        }
    }

    /// Passes on what an observer asks. True if there will be an answer to pass back: requests come back as
    /// transactions, which it finds itself.
    pub(super) fn relay<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, link: LinkId, packet: Packet) -> bool {
        let answered = match &packet {
            Packet::Revalidate(session, _) => {
                self.revalidations.entry(*session).or_default().push_back(Reviver::Observer(link));
                true
            }
            Packet::Request(request) if request.op == OpCode::Sync.code() => {
                self.syncs.push_back(Syncer::Observer(link));
                true
            }
            _ => false,
        };
        ctx.emit(Effect::Send(self.leader, packet));
        answered
    }

    /// Sessions that an observer has heard of.
    pub(super) fn touch_elsewhere(&mut self, heard: &[(SessionId, Millis)]) {
        for (session, timeout) in heard {
            self.heard_of(*session, *timeout);
        }
    }

    fn heard_of(&mut self, session: SessionId, timeout: Millis) {
        if self.touched.len() < TOUCHED || self.touched.contains_key(&session) {
            self.touched.insert(session, timeout);
        }
    }

    pub(super) fn touch(&mut self, heard: &[(SessionId, Millis, Millis)]) {
        for (session, timeout, at) in heard {
            if !self.local.touch(*session, *timeout, *at) {
                self.heard_of(*session, *timeout);
            }
        }
    }

    /// For the answer to a ping.
    pub(super) fn take_touched(&mut self) -> Vec<(SessionId, Millis)> {
        if self.touched.len() <= TOUCHES {
            return std::mem::take(&mut self.touched).into_iter().collect();
        }
        std::iter::from_fn(|| self.touched.pop_first()).take(TOUCHES).collect()
    }

    /// Who here asked for this transaction.
    pub(super) fn origin_of(&mut self, entry: &Entry) -> Option<Origin> {
        let source = txn::source(entry)?;
        let key = (source.session, source.cxid);
        let waiting = self.requests.get_mut(&key)?;
        let (_, origin) = waiting.pop_front_if(|(kind, _)| kind.fits(source.op))?;
        if waiting.is_empty() {
            self.requests.remove(&key);
        }
        Some(origin)
    }

    /// Sessions of this server alone that were silent for too long.
    pub(super) fn tick<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>) {
        for (session, _) in self.local.take_expired(ctx.now.mono) {
            ctx.emit(Effect::ClosedLocal { origin: None, session });
        }
    }

    pub(super) fn deadline(&self) -> Option<Millis> {
        self.local.deadline()
    }

    /// Syncs that wait, and sessions of this server alone.
    pub(super) fn local(&self) -> &LocalSessions {
        &self.local
    }

    pub(super) fn figures(&self) -> (usize, usize) {
        (self.syncs.len(), self.local.len())
    }
}
