//! From the first learner to the first request: the epoch, its promises, the adoption of the history, the start.
//!
//! Which step is due is [`Agreement`](super::agreement::Agreement)'s to say; here is what is sent and saved for it.

use super::agreement::{Refusal, Step};
use super::learner::At;
use super::rounds::Syncs;
use super::{Leading, Order, Reign};
use crate::config::ensemble::Membership;
use crate::replica::Authority;
use crate::replica::io::{Effect, Stage};
use crate::replica::session::{LocalSessions, Strangers};
use crate::replica::zab::member::{Ctx, Flow};
use crate::replica::zab::{LearnerHello, PROTOCOL, Packet, membership};
use crate::state::TreeView;
use crate::types::{Epoch, EpochFile, LinkId, Zxid};
use std::sync::Arc;

impl Leading {
    /// The port is open.
    pub(super) fn listening<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>) -> Flow {
        if self.agreement.step == Step::Opening {
            self.agreement.step = Step::Gathering;
            self.gather(ctx);
        }
        Flow::Stay
    }

    pub(super) fn accept<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, link: LinkId) {
        let limits = ctx.me.ensemble.init_limit.saturating_add(ctx.me.ensemble.sync_limit);
        self.learners.accept(link, self.beat.tick().saturating_add(limits));
        ctx.emit(Effect::Patience(link, ctx.me.ticks(ctx.me.ensemble.init_limit)));
    }

    /// A learner says who it is.
    pub(super) fn hello<T: TreeView>(
        &mut self,
        ctx: &mut Ctx<'_, T>,
        link: LinkId,
        hello: LearnerHello,
    ) -> Flow {
        let LearnerHello { observer, accepted, server, protocol, config_version } = hello;
        let server = server.unwrap_or_else(|| self.learners.invent());
        let committed = ctx.me.views.committed.version();
        let refusal = if protocol < PROTOCOL {
            Some(format!("server {} speaks the protocol of releases before 3.4", server.0))
        } else if server == ctx.me.id {
            Some(format!("it calls itself server {}, which is this one", server.0))
        } else if config_version > committed {
            Some(format!("server {} knows a later membership, {config_version:x}", server.0))
        } else {
            let reported = self.agreement.report(&ctx.me.views, server, accepted);
            reported
                .err()
                .map(|_| format!("server {} has promised epoch {}, the last one", server.0, accepted.0))
        };
        if let Some(why) = refusal {
            self.refuse(ctx, link, &why);
            return Flow::Stay;
        }
        // Whoever connects anew has given up the old connection, whether or not that is known here.
        for old in self.learners.links_of(server) {
            self.learners.drop(old);
            ctx.emit(Effect::Close(old));
        }
        if let Some(learner) = self.learners.get_mut(link) {
            (learner.server, learner.observer, learner.at) = (server, observer, At::Known);
        }
        self.gather(ctx);
        self.ask(ctx);
        Flow::Stay
    }

    /// Decides the epoch when a quorum has reported.
    fn gather<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>) {
        if let Some(epoch) = self.agreement.decide(&ctx.me.views) {
            ctx.emit(Effect::SaveEpoch(EpochFile::Accepted, epoch));
        }
    }

    /// Tells the epoch to everybody who does not know it yet.
    fn ask<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>) {
        let Some(epoch) = self.agreement.epoch() else { return };
        for link in self.learners.links_at(At::Known) {
            if let Some(learner) = self.learners.get_mut(link) {
                learner.at = At::Asked;
            }
            ctx.emit(Effect::Send(link, Packet::LeaderInfo { epoch, protocol: PROTOCOL }));
        }
    }

    /// This server's own promise, or its own adoption, is on disk.
    pub(super) fn epoch_saved<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, file: EpochFile) -> Flow {
        match file {
            EpochFile::Accepted => {
                self.agreement.step = Step::Asking;
                self.beat.next_step(ctx);
                self.number_first_membership(ctx);
                self.ask(ctx);
                self.promised(ctx);
                Flow::Stay
            }
            EpochFile::Current => {
                self.agreement.step = Step::Syncing;
                self.beat.next_step(ctx);
                for link in self.learners.links_at(At::Promised) {
                    self.synchronize(ctx, link);
                }
                self.adopted(ctx)
            }
        }
    }

    /// A membership that was never agreed on gets its number from the first epoch (ZOOKEEPER-1783).
    fn number_first_membership<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>) {
        let views = &ctx.me.views;
        if views.committed.version() != 0 || views.proposed.is_some() {
            return;
        }
        let Some(epoch) = self.agreement.epoch() else { return };
        let version = Zxid::new(epoch, 0).0;
        let numbered = Membership { version, ..(**views.committed.membership()).clone() };
        membership::propose(ctx, Arc::new(numbered));
    }

    /// A learner promises the epoch and says what it has.
    pub(super) fn ack_epoch<T: TreeView>(
        &mut self,
        ctx: &mut Ctx<'_, T>,
        link: LinkId,
        last: Zxid,
        current: Option<Epoch>,
    ) -> Flow {
        let Some(learner) = self.learners.get_mut(link) else { return Flow::Stay };
        (learner.last, learner.at) = (last, At::Promised);
        let server = learner.server;
        let counted = self.agreement.promise(&ctx.me.views, server, current, last);
        if let Err(Refusal::Ahead | Refusal::Epoch) = counted {
            let epoch = current.unwrap_or_default().0;
            self.refuse(ctx, link, &format!("with epoch {epoch} and {last} it is ahead of this leader"));
            return Flow::Stay;
        }
        if self.agreement.step >= Step::Syncing {
            self.synchronize(ctx, link);
        } else {
            self.promised(ctx);
        }
        Flow::Stay
    }

    fn promised<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>) {
        if self.agreement.is_promised(&ctx.me.views)
            && let Some(epoch) = self.agreement.epoch()
        {
            ctx.emit(Effect::SaveEpoch(EpochFile::Current, epoch));
        }
    }

    /// A learner acknowledges the history or a proposal.
    pub(super) fn ack<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, link: LinkId, zxid: Zxid) -> Flow {
        let Some(learner) = self.learners.get_mut(link) else { return Flow::Stay };
        let (server, votes) = (learner.server, !learner.observer);
        if zxid.counter() != 0 {
            // Counter 0 names no proposal, and observers acknowledge none.
            let mark = learner.acknowledged(zxid).filter(|_| votes);
            return match (mark, &mut self.reign) {
                (Some(mark), Some(reign)) => {
                    reign.order.mark(server, mark);
                    self.advance(ctx)
                }
                _ => Flow::Stay,
            };
        }
        if learner.at != At::Syncing || Some(zxid.epoch()) != self.agreement.epoch() {
            return Flow::Stay;
        }
        let mark = learner.adopted();
        ctx.emit(Effect::Patience(link, ctx.me.ticks(ctx.me.ensemble.sync_limit)));
        if votes {
            self.agreement.adopt(server);
        }
        let Some(reign) = &mut self.reign else { return self.adopted(ctx) };
        if votes {
            reign.order.mark(server, mark);
        }
        self.learners.up_to_date(link, reign.order.last(), ctx.now.mono, ctx.out);
        self.advance(ctx)
    }

    /// Begins to rule when a quorum has adopted the history. All of it is committed by that, and the tree shows it.
    fn adopted<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>) -> Flow {
        if !self.agreement.is_adopted(&ctx.me.views) {
            return Flow::Stay;
        }
        let Some(epoch) = self.agreement.epoch() else { return Flow::Stay };
        let ensemble = &ctx.me.ensemble;
        let (allowed, upgrading) = (ensemble.local_sessions, ensemble.local_upgrading);
        let strangers = if allowed { Strangers::LocalElsewhere(ctx.me.id) } else { Strangers::Expired };
        let mut reign = Box::new(Reign {
            authority: Authority::new(&ctx.me.settings, &ctx.me.rules, ctx.now, ctx.tree, strangers),
            local: LocalSessions::new(ctx.me.settings.tick, allowed, upgrading),
            order: Order::new(epoch),
            syncs: Syncs::default(),
            over: None,
            handover: None,
        });
        ctx.info(format!("leads epoch {} from {} on", epoch.0, ctx.me.ledger.committed()));
        ctx.me.vote.epoch = epoch;
        reign.order.mark(ctx.me.id, ctx.me.ledger.durable());
        self.beat.start_of_service(ctx);
        if !ctx.me.settings.reconfig_enabled {
            // A tree from an old snapshot may show another.
            ctx.emit(Effect::ShowConfig(ctx.me.views.committed.membership().clone()));
        }
        let flow = self.commit_found_membership(ctx, &mut reign, epoch);
        ctx.emit(Effect::Become(Stage::Leading { serving: ctx.me.ensemble.leader_serves }));
        let last = reign.order.last();
        self.reign = Some(reign);
        for link in self.learners.links_at(At::Adopted) {
            self.learners.up_to_date(link, last, ctx.now.mono, ctx.out);
        }
        flow
    }
}
