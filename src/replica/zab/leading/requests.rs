//! What clients ask, at this server and through learners.
//!
//! Invariant: a request that changes something becomes exactly one transaction, an error transaction where it is
//! turned down; only a sync and a revalidation become none.

use super::Leading;
use super::rounds::Asker;
use crate::auth::Identity;
use crate::replica::io::{ClientWrite, Effect, Origin};
use crate::replica::prep::Ask;
use crate::replica::session::{Before, Via};
use crate::replica::zab::member::{Ctx, Flow};
use crate::replica::zab::{Forwarded, Packet};
use crate::state::TreeView;
use crate::types::{ConnId, LinkId, Millis, SessionId};
use crate::wire::{Refusal, Request, WriteRequest, parse_body};
use jute::{ErrorCode, OpCode, Reader};

/// Whose a write is: session, cxid, identities, way.
pub(super) type Who<'a> = (SessionId, i32, &'a [Identity], Via);

impl Leading {
    /// A client of this server wants to change the tree.
    pub(super) fn write<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, write: &ClientWrite<'_>) {
        let ClientWrite { origin, session, ids, ref request, .. } = *write;
        let Some(reign) = &mut self.reign else { return };
        let via = match reign.local.before(session, request) {
            Before::Nothing if reign.local.knows(session) => Via::Local,
            Before::Nothing => Via::Here,
            Before::Upgrade(timeout) => {
                let now = ctx.now;
                self.propose(ctx, None, |authority, zxid, _| {
                    (authority.open(now, zxid, session, timeout, Via::Here), None)
                });
                Via::Here
            }
            Before::Refuse => {
                let code = ErrorCode::EphemeralOnLocalSession;
                return self.turn_down(ctx, Some(origin), session, origin.xid, code);
            }
        };
        self.order(ctx, Some(origin), (session, origin.xid, ids, via), request);
    }

    fn order<T: TreeView>(
        &mut self,
        ctx: &mut Ctx<'_, T>,
        origin: Option<Origin>,
        who: Who<'_>,
        request: &WriteRequest<'_>,
    ) {
        if let WriteRequest::Reconfig(r) = request {
            return self.reconfig(ctx, origin, who, r);
        }
        let now = ctx.now;
        let (session, cxid, ids, via) = who;
        let ask = Ask { session, cxid, ids, via, request: request.clone() };
        self.propose(ctx, origin, |authority, zxid, tree| (authority.write(now, zxid, &ask, tree), None));
    }

    /// Orders an error transaction.
    fn turn_down<T: TreeView>(
        &mut self,
        ctx: &mut Ctx<'_, T>,
        origin: Option<Origin>,
        session: SessionId,
        cxid: i32,
        code: ErrorCode,
    ) {
        let now = ctx.now;
        self.propose(ctx, origin, |authority, zxid, _| {
            (authority.refuse(now, zxid, session, cxid, code), None)
        });
    }

    /// A client here or at a learner wants to see all that is committed.
    pub(super) fn sync<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, asker: Asker) {
        if let Some(reign) = &mut self.reign {
            reign.syncs.push(asker, reign.order.last(), &mut self.learners, ctx.out);
        }
        self.release(ctx);
    }

    /// A client of this server wants a session.
    pub(super) fn open_session<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, conn: ConnId, timeout: Millis) {
        let Some(reign) = &mut self.reign else { return };
        let session = ctx.me.sessions.take(|id| reign.authority.sessions.knows(id) || reign.local.knows(id));
        if reign.local.allowed() {
            reign.local.open(session, timeout, ctx.now.mono);
            ctx.emit(Effect::OpenedLocal { conn, session, timeout });
            return;
        }
        let now = ctx.now;
        self.propose(ctx, Some(Origin { conn, xid: 0 }), |authority, zxid, _| {
            (authority.open(now, zxid, session, timeout, Via::Here), None)
        });
    }

    /// A client of this server ends its session.
    pub(super) fn end_session<T: TreeView>(
        &mut self,
        ctx: &mut Ctx<'_, T>,
        origin: Origin,
        session: SessionId,
    ) {
        let Some(reign) = &mut self.reign else { return };
        if reign.local.take(session).is_some() {
            // Behind the answers to what it asked before.
            reign.syncs.push_closing(origin, session, reign.order.last());
            return self.release(ctx);
        }
        ctx.emit(Effect::Closing(session, None));
        self.close_session(ctx, session, origin.xid, Some(origin));
    }

    /// Orders the end of a session.
    pub(super) fn close_session<T: TreeView>(
        &mut self,
        ctx: &mut Ctx<'_, T>,
        session: SessionId,
        cxid: i32,
        origin: Option<Origin>,
    ) {
        let now = ctx.now;
        self.propose(ctx, origin, |authority, zxid, tree| {
            (authority.close(now, zxid, session, cxid, tree), None)
        });
    }

    /// A client comes back to this server.
    pub(super) fn resume_session<T: TreeView>(
        &mut self,
        ctx: &mut Ctx<'_, T>,
        conn: ConnId,
        session: SessionId,
        timeout: Millis,
    ) {
        let Some(reign) = &mut self.reign else { return };
        let now = ctx.now.mono;
        let local = reign.local.touch(session, timeout, now);
        let alive = local || reign.authority.sessions.touch(session, timeout, now);
        if alive && !local {
            reign.authority.sessions.moves(session, Via::Here);
        }
        ctx.emit(Effect::Resumed { conn, session, timeout: alive.then_some(timeout) });
    }

    /// Clients of this server were heard of.
    pub(super) fn touch(&mut self, heard: &[(SessionId, Millis, Millis)]) {
        let Some(reign) = &mut self.reign else { return };
        for (session, timeout, at) in heard {
            if !reign.local.touch(*session, *timeout, *at) {
                reign.authority.sessions.touch(*session, *timeout, *at);
            }
        }
    }

    /// A container or TTL node looks ready to go.
    pub(super) fn reap<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, path: &str) {
        let now = ctx.now;
        self.propose(ctx, None, |authority, zxid, tree| {
            (authority.reap(now, zxid, (SessionId::NONE, 0), path, tree), None)
        });
    }

    /// A learner answers a ping, and tells whom it has heard of.
    pub(super) fn pong<T: TreeView>(
        &mut self,
        ctx: &mut Ctx<'_, T>,
        link: LinkId,
        heard: &[(SessionId, Millis)],
    ) -> Flow {
        if let Some(learner) = self.learners.get_mut(link) {
            learner.pongs = learner.pings.min(learner.pongs + 1);
        }
        if let Some(reign) = &mut self.reign {
            for (session, timeout) in heard {
                reign.authority.sessions.touch(*session, *timeout, ctx.now.mono);
            }
        }
        self.release(ctx);
        Flow::Stay
    }

    /// A client came back through a learner: is its session alive? It acts through that learner from now on.
    pub(super) fn revalidate<T: TreeView>(
        &mut self,
        ctx: &mut Ctx<'_, T>,
        link: LinkId,
        session: SessionId,
        timeout: Millis,
    ) {
        let Some(reign) = self.reign.as_deref_mut().filter(|r| r.handover.is_none()) else { return };
        let alive = reign.authority.sessions.touch(session, timeout, ctx.now.mono);
        if alive {
            reign.authority.sessions.moves(session, Via::Learner(link));
        }
        ctx.emit(Effect::Send(link, Packet::Revalidated(session, alive)));
    }

    /// A learner passes on what one of its clients asked.
    pub(super) fn request<T: TreeView>(
        &mut self,
        ctx: &mut Ctx<'_, T>,
        link: LinkId,
        request: &Forwarded,
    ) -> Flow {
        let Forwarded { session, cxid, op, ref body, ref ids } = *request;
        if self.reign.as_ref().is_none_or(|r| r.handover.is_some()) {
            return Flow::Stay;
        }
        let (via, now) = (Via::Learner(link), ctx.now);
        match OpCode::from_code(op) {
            Some(OpCode::CreateSession) => match Reader::new(body).i32() {
                Ok(timeout) => self.propose(ctx, None, |authority, zxid, _| {
                    (authority.open(now, zxid, session, Millis(i64::from(timeout)), via), None)
                }),
                Err(_) => self.turn_down(ctx, None, session, cxid, ErrorCode::MarshallingError),
            },
            Some(OpCode::CloseSession) => self.close_session(ctx, session, cxid, None),
            Some(OpCode::Sync) => self.sync(ctx, Asker::Learner(link)),
            Some(OpCode::DeleteContainer) => match std::str::from_utf8(body) {
                Ok(path) => self.propose(ctx, None, |authority, zxid, tree| {
                    (authority.reap(now, zxid, (session, cxid), path, tree), None)
                }),
                Err(_) => self.turn_down(ctx, None, session, cxid, ErrorCode::BadArguments),
            },
            // It has no meaning outside of a multi (ZOOKEEPER-2623).
            Some(OpCode::Check) => self.turn_down(ctx, None, session, cxid, ErrorCode::Unimplemented),
            _ => match (parse_body(op, body), ids) {
                (Ok(Request::Write(write)), Some(ids)) => {
                    self.order(ctx, None, (session, cxid, ids, via), &write);
                }
                // Nobody asks: the reference fails over it.
                (Ok(Request::Write(_)), None) | (Err(Refusal::Malformed), _) => {
                    self.turn_down(ctx, None, session, cxid, ErrorCode::MarshallingError);
                }
                (Ok(_) | Err(_), _) => {
                    ctx.warn(format!("a learner passed on operation {op}, which is none for a leader"));
                }
            },
        }
        Flow::Stay
    }
}
