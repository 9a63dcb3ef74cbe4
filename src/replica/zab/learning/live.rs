//! Broadcast: a learner in sync logs what its leader proposes, acknowledges what is on disk, and applies what is
//! committed (`Follower.processPacket`, `Observer.processPacket`).
//!
//! It validates nothing. Invariants: ACK of a zxid leaves only behind its flush, one for each, in order; what is logged
//! has no gap; only the head of what is logged is committed. Where the leader sends something else the role ends and
//! synchronization puts it right; nothing is guessed.

use super::clients::Clients;
use super::master::Master;
use super::{Next, stage, txn, writes_disk};
use crate::replica::PeerStatus;
use crate::replica::io::{Effect, Input, LinkInput};
use crate::replica::session::LocalSessions;
use crate::replica::zab::member::{Ctx, Flow};
use crate::replica::zab::{Packet, membership};
use crate::state::TreeView;
use crate::types::{Entry, Epoch, Flushed, LinkId, Millis, ServerId, Zxid};
use std::collections::VecDeque;

/// A learner that serves.
#[derive(Debug)]
pub(super) struct Live {
    link: LinkId,
    observer: bool,
    epoch: Epoch,
    /// Logged in this role, not acknowledged. No longer than what the leader has in flight and this disk has not.
    unacknowledged: VecDeque<Zxid>,
    clients: Clients,
    /// Where this follower takes observers.
    master: Option<Master>,
}

impl Live {
    /// UPTODATE came.
    pub(super) fn begin<T: TreeView>(
        ctx: &mut Ctx<'_, T>,
        link: LinkId,
        observer: bool,
        epoch: Epoch,
    ) -> Self {
        // Leaders ignore this one; the reference sends it.
        ctx.emit(Effect::Send(link, Packet::Ack(Zxid::new(epoch, 0))));
        ctx.me.vote.epoch = epoch;
        ctx.emit(Effect::Become(stage(observer, true)));
        let clients = Clients::new(ctx.me, link);
        let master = (ctx.me.ensemble.observer_masters && !observer).then(|| Master::new(ctx));
        Self { link, observer, epoch, unacknowledged: VecDeque::new(), clients, master }
    }

    pub(super) fn step<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, input: Input<'_>) -> Next {
        match input {
            Input::Link(link, what) if link == self.link => match what {
                LinkInput::Packet(packet) => return self.packet(ctx, packet),
                LinkInput::Lost => return Next::leave("the connection to the leader is gone"),
                LinkInput::Accepted
                | LinkInput::AcceptedObserver
                | LinkInput::Connected
                | LinkInput::Streamed => {}
            },
            Input::Link(link, what) => match (&mut self.master, what) {
                (Some(master), LinkInput::AcceptedObserver) => master.accept(ctx, link),
                (_, LinkInput::Accepted | LinkInput::AcceptedObserver) => ctx.emit(Effect::Close(link)),
                (Some(master), what) => master.link(ctx, &mut self.clients, link, what),
                (None, _) => {}
            },
            Input::History(link, plan) => {
                if let Some(master) = &mut self.master {
                    master.history(ctx, link, plan);
                }
            }
            Input::Flushed(proof) => self.flushed(ctx, proof),
            Input::Tick => {
                self.clients.tick(ctx);
                if let Some(master) = &mut self.master {
                    master.tick(ctx);
                }
            }
            Input::Write(write) => self.clients.write(ctx, &write),
            Input::Sync { origin, session, ids, body } => {
                self.clients.sync(ctx, origin, session, ids, body);
            }
            Input::OpenSession { conn, timeout } => self.clients.open(ctx, conn, timeout),
            Input::CloseSession { origin, session } => self.clients.close(ctx, origin, session),
            Input::ResumeSession { conn, session, timeout } => {
                self.clients.resume(ctx, conn, session, timeout);
            }
            Input::Touch(heard) => self.clients.touch(heard),
            // Containers are the leader's to remove; the rest is late, or not for a role.
            _ => {}
        }
        Next::Stay
    }

    fn flushed<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, proof: Flushed) {
        while let Some(zxid) = self.unacknowledged.pop_front_if(|z| *z <= proof.zxid()) {
            ctx.emit(Effect::Send(self.link, Packet::Ack(zxid)));
        }
    }

    /// One packet of the leader.
    pub(super) fn packet<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, packet: Packet) -> Next {
        match packet {
            Packet::Proposal(entry) if !self.observer => return self.proposal(ctx, entry),
            Packet::Commit(zxid) if !self.observer => return self.commit(ctx, zxid, None),
            Packet::CommitAndActivate(zxid, leader) if !self.observer => {
                return self.commit(ctx, zxid, Some(leader));
            }
            Packet::Inform(entry) if self.observer => return self.inform(ctx, entry, None),
            Packet::InformAndActivate(entry, leader) if self.observer => {
                return self.inform(ctx, entry, Some(leader));
            }
            Packet::Ping(zxid) => {
                let heard = self.clients.take_touched();
                ctx.emit(Effect::Send(self.link, Packet::Pong(zxid, heard)));
            }
            Packet::Revalidated(session, alive) => {
                let asker = self.clients.revalidated(ctx, session, alive);
                self.answer(ctx, asker, Packet::Revalidated(session, alive));
            }
            Packet::Sync => {
                let asker = self.clients.synced(ctx);
                self.answer(ctx, asker, Packet::Sync);
            }
            Packet::Diff(_) | Packet::Trunc(_) | Packet::Snap(_) | Packet::LeaderInfo { .. } => {
                return Next::leave(format!("{} after synchronization", packet.name()));
            }
            other => ctx.warn(format!("{} from the leader is ignored", other.name())),
        }
        Next::Stay
    }

    fn answer<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, asker: Option<LinkId>, packet: Packet) {
        if let (Some(link), Some(master)) = (asker, &mut self.master) {
            master.answer(ctx, link, packet);
        }
    }

    /// Does it come right behind the last one? The reference only warns, and has a hole in its log.
    fn follows<T: TreeView>(&self, ctx: &Ctx<'_, T>, zxid: Zxid) -> bool {
        super::sync::continues(ctx.me.ledger.last_logged(), zxid) && zxid.epoch() <= self.epoch
    }

    fn proposal<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, entry: Entry) -> Next {
        let zxid = entry.zxid;
        if !self.follows(ctx, zxid) {
            return Next::leave(format!("proposal {zxid} does not follow {}", ctx.me.ledger.last_logged()));
        }
        if let Some(proposed) = txn::membership(&entry, ctx.me.ensemble.multi_address) {
            membership::propose(ctx, proposed);
        }
        ctx.me.ledger.append(entry, ctx.out);
        self.unacknowledged.push_back(zxid);
        Next::Stay
    }

    fn commit<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, zxid: Zxid, activates: Option<ServerId>) -> Next {
        let Some(entry) = ctx.me.ledger.tail().front().filter(|e| e.zxid == zxid).cloned() else {
            if ctx.me.ledger.tail().is_empty() && zxid <= ctx.me.ledger.committed() {
                ctx.warn(format!("commit of {zxid}, which was committed before"));
                return Next::Stay;
            }
            // The reference ends its process here.
            return Next::leave(format!("commit of {zxid}, which is not next"));
        };
        let flow = activate(ctx, &entry, activates);
        let origin = self.clients.origin_of(&entry);
        ctx.me.ledger.commit(origin, ctx.out);
        if let Some(master) = &mut self.master {
            master.committed(ctx, &entry, activates);
        }
        flow.into()
    }

    /// An observer hears of what is committed. It answers nothing.
    fn inform<T: TreeView>(
        &mut self,
        ctx: &mut Ctx<'_, T>,
        entry: Entry,
        activates: Option<ServerId>,
    ) -> Next {
        let zxid = entry.zxid;
        if zxid <= ctx.me.ledger.committed() {
            // Followers that take observers send some once more behind a snapshot.
            return Next::Stay;
        }
        if !self.follows(ctx, zxid) {
            return Next::leave(format!("{zxid} does not follow {}", ctx.me.ledger.last_logged()));
        }
        let flow = activate(ctx, &entry, activates);
        let origin = self.clients.origin_of(&entry);
        if writes_disk(ctx.me, true) {
            ctx.me.ledger.append(entry, ctx.out);
            ctx.me.ledger.commit(origin, ctx.out);
        } else {
            ctx.me.ledger.commit_unlogged(entry, origin, ctx.out);
        }
        flow.into()
    }

    pub(super) fn local_sessions(&self) -> &LocalSessions {
        self.clients.local()
    }

    pub(super) fn deadline(&self) -> Option<Millis> {
        let pings = self.master.as_ref().and_then(Master::deadline);
        self.clients.deadline().into_iter().chain(pings).min()
    }

    pub(super) fn fill(&self, peer: &mut PeerStatus) {
        (peer.pending_syncs, peer.local_sessions) = self.clients.figures();
        peer.learners = self.master.as_ref().map(Master::learners).unwrap_or_default();
    }
}

/// The membership of this transaction comes into force, before its commit is seen here (`Follower.processPacket`).
fn activate<T: TreeView>(ctx: &mut Ctx<'_, T>, entry: &Entry, leader: Option<ServerId>) -> Flow {
    let Some(leader) = leader else { return Flow::Stay };
    match txn::membership(entry, ctx.me.ensemble.multi_address) {
        Some(change) => membership::commit(ctx, change, Some(leader), entry.zxid),
        None => Flow::Stay,
    }
}
