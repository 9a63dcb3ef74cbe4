//! Brings a learner up to the leader's history and makes it a recipient of everything behind it, in one step.
//!
//! Invariant: between what a learner is brought up to and the first thing that is forwarded to it, nothing is
//! missing and nothing comes twice; NEWLEADER is the last packet of it.

use super::Leading;
use super::decision::{Way, decide, decide_with_disk};
use super::learner::{At, Cost};
use crate::replica::io::{Effect, HistoryPlan, Stream};
use crate::replica::zab::Packet;
use crate::replica::zab::member::{Ctx, Flow};
use crate::state::TreeView;
use crate::types::{Entry, LinkId};
use bytes::Bytes;

impl Leading {
    /// A learner may be brought into line: the epoch is promised by a quorum, and here.
    pub(super) fn synchronize<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, link: LinkId) {
        let Some(learner) = self.learners.get_mut(link) else { return };
        let ensemble = &ctx.me.ensemble;
        let way = decide(&ctx.me.ledger, learner.last, ensemble.force_snapshot_sync, ensemble.log_sync);
        if way == Way::AskDisk {
            learner.at = At::Asking;
            let last = learner.last;
            ctx.emit(Effect::AskHistory(link, last));
        } else {
            self.bring(ctx, link, way);
        }
    }

    /// The disk has answered.
    pub(super) fn history<T: TreeView>(
        &mut self,
        ctx: &mut Ctx<'_, T>,
        link: LinkId,
        plan: Option<HistoryPlan>,
    ) -> Flow {
        if let Some(learner) = self.learners.get(link).filter(|l| l.at == At::Asking) {
            let way = decide_with_disk(&ctx.me.ledger, learner.last, plan);
            self.bring(ctx, link, way);
        }
        Flow::Stay
    }

    fn bring<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, link: LinkId, way: Way) {
        let Some((server, observer, last)) = self.learners.get(link).map(|l| (l.server, l.observer, l.last))
        else {
            return;
        };
        let snap = ctx.tree.last_zxid();
        let (cost, from, name) = match way {
            Way::Diff(after) => (Cost::Transactions, after, "DIFF"),
            Way::Trunc(to) => (Cost::Transactions, to, "TRUNC"),
            Way::Disk { until, .. } => (Cost::Transactions, until, "DIFF from the log"),
            Way::Snap | Way::AskDisk => (Cost::Snapshot, snap, "SNAP"),
        };
        let limit = match cost {
            Cost::Snapshot => ctx.me.ensemble.concurrent_snap_syncs,
            Cost::Transactions => ctx.me.ensemble.concurrent_diff_syncs,
        };
        if observer && self.learners.syncing(cost) >= limit {
            self.refuse(
                ctx,
                link,
                "as many observers as are allowed are being synchronized; it may try again",
            );
            return;
        }
        let rest: Option<Vec<Entry>> = ctx.me.ledger.since(from).map(|rest| rest.cloned().collect());
        let Some(rest) = rest else {
            self.refuse(ctx, link, "what follows its history is not remembered any more; it may try again");
            return;
        };
        let committed = ctx.me.ledger.committed();
        ctx.info(format!("server {} is at {last} and gets {name} to {committed}", server.0));
        let send = |packet| Effect::Send(link, packet);
        match way {
            Way::Diff(_) => ctx.emit(send(Packet::Diff(committed))),
            Way::Trunc(to) => ctx.emit(send(Packet::Trunc(to))),
            Way::Disk { after, until } => {
                ctx.emit(send(Packet::Diff(committed)));
                ctx.emit(Effect::Stream(link, Stream::History { after, until }));
            }
            Way::Snap | Way::AskDisk => {
                ctx.emit(send(Packet::Snap(snap)));
                ctx.emit(Effect::Stream(link, Stream::Snapshot));
            }
        }
        for entry in rest {
            let zxid = entry.zxid;
            ctx.emit(send(Packet::Proposal(entry)));
            ctx.emit(send(Packet::Commit(zxid)));
        }
        if !observer {
            ctx.out.extend(ctx.me.ledger.tail().iter().map(|e| send(Packet::Proposal(e.clone()))));
        }
        if let Some(learner) = self.learners.get_mut(link) {
            (learner.at, learner.cost) = (At::Streaming, Some(cost));
        }
        // A cut takes away what it has acknowledged, and a snapshot replaces it.
        if let Some(reign) = &mut self.reign
            && !observer
        {
            reign.order.unmark(server);
        }
        if cost == Cost::Transactions {
            self.new_leader(ctx, link);
        }
    }

    /// Everything that the learner has to adopt was sent to it.
    pub(super) fn new_leader<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, link: LinkId) {
        let Some(epoch) = self.agreement.epoch() else { return };
        let Some(learner) = self.learners.get_mut(link).filter(|l| l.at == At::Streaming) else { return };
        (learner.at, learner.base) = (At::Syncing, ctx.me.ledger.committed());
        let config = Bytes::from(ctx.me.views.newest().membership().text());
        ctx.emit(Effect::Send(link, Packet::NewLeader { epoch, config }));
    }
}
