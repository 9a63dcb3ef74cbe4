//! Changes of the membership, as their leader sees them: asked for, agreed by old and new, in force.
//!
//! What a request leads to is [`membership`]'s to say. Invariant: one change at a time, and a leader that the new
//! membership does not keep orders nothing behind it.

use super::requests::Who;
use super::{Handover, Leading, Reign};
use crate::config::ensemble::Membership;
use crate::replica::Origin;
use crate::replica::prep::Ask;
use crate::replica::zab::member::{Ctx, Flow};
use crate::replica::zab::membership::{self, Change};
use crate::replica::zab::{View, Views};
use crate::state::TreeView;
use crate::types::{Epoch, ServerId, Zxid};
use crate::wire::WriteRequest;
use jute::ErrorCode;
use jute::records::proto::ReconfigRequest;
use std::collections::BTreeSet;
use std::sync::Arc;

impl Leading {
    /// A client wants another membership.
    pub(super) fn reconfig<T: TreeView>(
        &mut self,
        ctx: &mut Ctx<'_, T>,
        origin: Option<Origin>,
        (session, cxid, ids, via): Who<'_>,
        request: &ReconfigRequest<'_>,
    ) {
        let (min_voters, multi_address) = (ctx.me.ensemble.min_voters, ctx.me.ensemble.multi_address);
        let change = Change {
            joining: request.joining_servers.as_deref(),
            leaving: request.leaving_servers.as_deref(),
            members: request.new_members.as_deref(),
            base: request.cur_config_id,
        };
        let mut in_sync: BTreeSet<ServerId> = self
            .learners
            .heard(self.beat.tick())
            .filter(|(_, l)| l.follows())
            .map(|(_, l)| l.server)
            .collect();
        in_sync.insert(ctx.me.id);
        let views: Views = ctx.me.views.clone();
        let now = ctx.now;
        self.propose(ctx, origin, |authority, zxid, tree| {
            let next = || {
                let next = Arc::new(membership::reshape(&views, &change, zxid, min_voters, multi_address)?);
                let enough = View::new(next.clone()).is_quorum(&in_sync);
                if enough { Ok(next) } else { Err(ErrorCode::NewConfigNoQuorum) }
            };
            let ask = Ask { session, cxid, ids, via, request: WriteRequest::Reconfig(request.clone()) };
            authority.reconfig(now, zxid, &ask, next, tree)
        });
    }

    /// A membership is agreed, by this transaction: who leads it? If that is another server, this one is done.
    pub(super) fn change_membership<T: TreeView>(
        ctx: &mut Ctx<'_, T>,
        reign: &mut Reign,
        next: Arc<Membership>,
        zxid: Zxid,
    ) -> ServerId {
        let me = ctx.me.id;
        let stays = membership::may_stay_leader(me, ctx.me.views.committed.membership(), &next);
        let leader = if stays { me } else { reign.order.successor(me, &next).unwrap_or(me) };
        let flow = membership::commit(ctx, next, Some(leader), zxid);
        if let (true, Flow::Follow(to)) = (leader != me, flow) {
            reign.handover = Some(Handover { to, until: ctx.after(ctx.me.settings.tick) });
        }
        leader
    }

    /// The newest membership that was found when this epoch began is in force by the agreement on its history: a
    /// change that an earlier leader did not finish, or the number of the first one. Everybody learns of it with
    /// UPTODATE.
    pub(super) fn commit_found_membership<T: TreeView>(
        &mut self,
        ctx: &mut Ctx<'_, T>,
        reign: &mut Reign,
        epoch: Epoch,
    ) -> Flow {
        let me = ctx.me.id;
        let zxid = Zxid::new(epoch, 0);
        let next = ctx.me.views.newest().membership().clone();
        let stays = membership::may_stay_leader(me, ctx.me.views.committed.membership(), &next);
        // One that adopted this history may lead; else an election finds who.
        let heir = || {
            let adopted = |s: &ServerId| *s != me && self.agreement.has_adopted(*s);
            next.voters().map(ServerId).filter(adopted).max()
        };
        let leader = if stays { Some(me) } else { heir() };
        match membership::commit(ctx, next.clone(), leader, zxid) {
            Flow::Follow(to) if to.leader == me => Flow::Stay,
            Flow::Follow(to) => {
                reign.handover = Some(Handover { to, until: ctx.after(ctx.me.settings.tick) });
                Flow::Stay
            }
            flow => flow,
        }
    }
}
