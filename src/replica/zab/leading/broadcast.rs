//! From a request to its commit: proposed to all, written here meanwhile, committed when a quorum has it.
//!
//! The proposal leaves before this server's own disk has it: its own mark is worth as much as any other. Invariant:
//! every proposal is appended, sent and queued in the same step, under one zxid.

use super::order::Waiting;
use super::{Handover, Leading, Reign};
use crate::config::ensemble::Membership;
use crate::replica::io::{Effect, Origin};
use crate::replica::zab::member::{Ctx, Flow};
use crate::replica::{Authority, zab::membership};
use crate::state::TreeView;
use crate::types::{Entry, Zxid};
use std::sync::Arc;

impl Leading {
    /// Orders what `make` makes of the next zxid. An epoch without zxids, or one that is being handed over, takes
    /// nothing more; its clients will see their connections closed, as with any change of leaders.
    pub(super) fn propose<T: TreeView>(
        &mut self,
        ctx: &mut Ctx<'_, T>,
        origin: Option<Origin>,
        make: impl FnOnce(&mut Authority, Zxid, &T) -> (Entry, Option<Arc<Membership>>),
    ) {
        let Some(reign) = self.reign.as_deref_mut().filter(|r| r.handover.is_none() && r.over.is_none())
        else {
            return;
        };
        let Some(zxid) = reign.order.take_zxid() else {
            reign.over = Some("the epoch has no zxids left; the next one begins".to_owned());
            return;
        };
        let (entry, membership) = make(&mut reign.authority, zxid, ctx.tree);
        ctx.out.extend(reign.authority.take_overruns().into_iter().map(Effect::OverQuota));
        if let Some(membership) = &membership {
            membership::propose(ctx, membership.clone());
        }
        self.learners.propose(&entry, ctx.now.mono, ctx.out);
        reign.order.push(Waiting { zxid, origin, membership }, entry.payload.len());
        ctx.me.ledger.append(entry, ctx.out);
    }

    /// This server's disk has got further.
    pub(super) fn flushed<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>) -> Flow {
        let Some(reign) = &mut self.reign else { return Flow::Stay };
        reign.order.mark(ctx.me.id, ctx.me.ledger.durable());
        self.advance(ctx)
    }

    /// Commits what can be, then answers who waited for it.
    pub(super) fn advance<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>) -> Flow {
        let flow = self.commit_agreed(ctx);
        self.release(ctx);
        flow
    }

    fn commit_agreed<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>) -> Flow {
        let Some(reign) = self.reign.as_deref_mut() else { return Flow::Stay };
        let mut limit = reign.order.agreed(&ctx.me.views);
        while reign.handover.is_none()
            && let Some(Waiting { zxid, origin, membership }) = reign.order.pop(limit)
        {
            let Some(entry) = ctx.me.ledger.tail().front().filter(|e| e.zxid == zxid).cloned() else {
                return Flow::Leave(format!("{zxid} is not where it was proposed"));
            };
            let mut activate = None;
            if let Some(membership) = membership {
                activate = Some(Self::change_membership(ctx, reign, membership, zxid));
                // Other quorums from here on.
                limit = reign.order.agreed(&ctx.me.views);
            }
            reign.syncs.overtaken(zxid, &self.learners, ctx.out);
            self.learners.commit(&entry, activate, ctx.out);
            ctx.me.ledger.commit(origin, ctx.out);
        }
        Flow::Stay
    }

    /// Answers syncs, and whatever else waited for a commit.
    pub(super) fn release<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>) {
        let Some(Reign { order, syncs, .. }) = self.reign.as_deref_mut() else { return };
        let done = |after: Zxid| order.is_done(after);
        syncs.release(ctx.me.id, &ctx.me.views, done, order.last(), &mut self.learners, ctx.out);
    }

    /// A leader on its way out goes when its followers have gone, or when it has waited long enough for them.
    pub(super) fn hand_over<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>) -> Flow {
        let Some(Handover { to, until }) = self.reign.as_ref().and_then(|r| r.handover) else {
            return Flow::Stay;
        };
        let followed = self.learners.iter().any(|(_, l)| l.follows() && ctx.me.views.is_voter(l.server));
        if followed && ctx.now.mono < until { Flow::Stay } else { Flow::Follow(to) }
    }
}
