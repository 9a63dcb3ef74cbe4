//! Synchronization: from DIFF, TRUNC or SNAP to UPTODATE (`Learner.syncWithLeader`).
//!
//! The order in which things become durable is the whole point. Invariants, each with the bug it keeps out:
//!
//! - ACK of NEWLEADER is the first packet behind ACKEPOCH (4685), and leaves only after everything that was committed
//!   is on disk (3911, 4646) and then, behind it, the current epoch (3023, 4643): a vote never claims more than the log.
//! - The zxid of a DIFF packet is never taken for what this server has (2355).
//! - A snapshot stands aside until NEWLEADER, and is on disk before anything newer is (2872, 3642, 3104): an
//!   interrupted one changes neither tree nor log.
//! - Proposals without their commit go neither to the log nor to the tree before UPTODATE (4394): a commit always
//!   finds its proposal at the head.
//! - No transaction is taken that does not follow the one before it (4925).

use super::live::Live;
use super::{Next, Phase, of, txn, writes_disk};
use crate::config::ensemble::Membership;
use crate::replica::io::{Effect, Input, LinkInput};
use crate::replica::zab::member::{self, Ctx, Flow};
use crate::replica::zab::{Packet, membership};
use crate::state::TreeView;
use crate::types::{Entry, Epoch, EpochFile, LinkId, ServerId, Zxid};
use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes that may be held back: proposals without commits, and whatever the leader goes on sending while this
/// server's disk stores a snapshot. Some seconds of a busy leader; whoever needs more begins again behind what it
/// has stored by then, so every attempt gets further.
const HELD_BYTES: usize = 256 * 1024 * 1024;

/// What a held packet costs beside its transaction.
const OVERHEAD: usize = 64;

/// How the history is brought up to the leader's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Transactions follow to what is in the log.
    Diff,
    /// The same, after the log was cut behind this.
    Trunc(Zxid),
    /// The tree comes whole, and was read up to this.
    Snap(Zxid),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// The log is being cut.
    Cutting(Zxid),
    /// Transactions come.
    Taking,
    /// NEWLEADER came: what was committed has to become durable.
    Storing,
    /// It is; the epoch follows.
    Adopting,
    /// The epoch is adopted and the leader knows; UPTODATE is to come.
    Adopted,
}

/// A learner in synchronization.
#[derive(Debug)]
pub(super) struct Syncing {
    link: LinkId,
    observer: bool,
    epoch: Epoch,
    way: Way,
    at: At,
    /// The last transaction that came; `None` before the first behind a snapshot.
    previous: Option<Zxid>,
    /// The last one known to be committed.
    committed: Zxid,
    /// Came, and its commit did not.
    waiting: VecDeque<Entry>,
    /// Came at a time at which it could not be looked at, in order.
    held: VecDeque<Packet>,
    held_bytes: usize,
    /// UPTODATE came.
    up_to_date: bool,
    /// The membership that NEWLEADER brought.
    config: Option<Arc<Membership>>,
}

/// Does `next` follow `last` without a gap? A counter of 0 names no transaction, whatever a leader says.
pub(super) fn continues(last: Zxid, next: Zxid) -> bool {
    last.leads_to(next) && next.counter() != 0
}

fn weight(packet: &Packet) -> usize {
    OVERHEAD
        + match packet {
            Packet::Proposal(e) | Packet::Inform(e) | Packet::InformAndActivate(e, _) => e.payload.len(),
            _ => 0,
        }
}

impl Syncing {
    /// The leader's first packet behind ACKEPOCH.
    pub(super) fn begin<T: TreeView>(
        ctx: &mut Ctx<'_, T>,
        link: LinkId,
        observer: bool,
        epoch: Epoch,
        first: &Packet,
    ) -> Next {
        let last = ctx.me.ledger.last_logged();
        let (way, at, previous, committed) = match first {
            Packet::Diff(_) | Packet::Trunc(_) if !ctx.me.may_vote => {
                // What lies behind the hole is still on the disk, as proof of it, until a snapshot takes its place.
                return Next::leave("no snapshot came where only a snapshot helps");
            }
            Packet::Diff(_) if ctx.me.needs_snapshot && last > Zxid::ZERO => {
                // Transactions from the beginning do not fit here. Next time this server says what it really has.
                ctx.me.needs_snapshot = false;
                return Next::leave("transactions came where only a snapshot helps");
            }
            Packet::Diff(_) => (Way::Diff, At::Taking, Some(last), last),
            Packet::Trunc(to) => {
                ctx.emit(Effect::Truncate(*to));
                (Way::Trunc(*to), At::Cutting(*to), Some(*to), *to)
            }
            Packet::Snap(zxid) => (Way::Snap(*zxid), At::Taking, None, *zxid),
            other => return Next::leave(format!("{} where synchronization begins", other.name())),
        };
        ctx.info(format!("synchronization by {}, from {last}", first.name()));
        Next::Phase(Phase::Syncing(Box::new(Self {
            link,
            observer,
            epoch,
            way,
            at,
            previous,
            committed,
            waiting: VecDeque::new(),
            held: VecDeque::new(),
            held_bytes: 0,
            up_to_date: false,
            config: None,
        })))
    }

    pub(super) fn link(&self) -> LinkId {
        self.link
    }

    /// As the reference names it; nothing once the history is adopted.
    pub(super) fn mode(&self) -> Option<&'static str> {
        let mode = match self.way {
            Way::Diff => "diff",
            Way::Trunc(_) => "trunc",
            Way::Snap(_) => "snap",
        };
        (self.at != At::Adopted).then_some(mode)
    }

    /// Is the disk about to end up with another history?
    pub(super) fn replaces_history(&self) -> bool {
        matches!(self.at, At::Cutting(_)) || (self.at == At::Storing && matches!(self.way, Way::Snap(_)))
    }

    pub(super) fn step<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, input: Input<'_>) -> Next {
        match (self.at, &input) {
            (At::Cutting(asked), Input::Truncated(left)) => return self.cut(ctx, asked, *left),
            (At::Storing, Input::Installed(link, _)) if *link == self.link => return self.adopt(ctx),
            (At::Storing, Input::Flushed(_)) if !matches!(self.way, Way::Snap(_)) => return self.store(ctx),
            (At::Adopting, Input::EpochSaved(EpochFile::Current, epoch)) if *epoch == self.epoch => {
                return self.adopted(ctx);
            }
            _ => {}
        }
        match of(self.link, &input) {
            Some(LinkInput::Lost) => {
                return Next::leave("the leader closed the connection in synchronization");
            }
            Some(LinkInput::Packet(_)) => {}
            _ => return Next::Stay,
        }
        let Input::Link(_, LinkInput::Packet(packet)) = input else { return Next::Stay };
        match self.at {
            At::Taking => self.take(ctx, packet),
            At::Cutting(_) => self.hold(packet),
            At::Storing | At::Adopting | At::Adopted => self.behind_new_leader(ctx, packet),
        }
    }

    /// The log ends where the leader wanted, or this server has less than the leader thinks and asks again with that.
    fn cut<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, asked: Zxid, left: Zxid) -> Next {
        self.at = At::Taking;
        if left != asked {
            return Next::leave(format!("the log was to end with {asked} and ends with {left}"));
        }
        self.held_bytes = 0;
        let mut held = std::mem::take(&mut self.held);
        while let Some(packet) = held.pop_front() {
            let next = match self.at {
                At::Taking => self.take(ctx, packet),
                _ => self.behind_new_leader(ctx, packet),
            };
            if !matches!(next, Next::Stay) {
                return next;
            }
        }
        Next::Stay
    }

    fn hold(&mut self, packet: Packet) -> Next {
        self.held_bytes = self.held_bytes.saturating_add(weight(&packet));
        if self.held_bytes > HELD_BYTES {
            return Next::leave("the disk is too slow for what the leader sends");
        }
        self.held.push_back(packet);
        Next::Stay
    }

    /// Before NEWLEADER.
    fn take<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, packet: Packet) -> Next {
        match packet {
            Packet::Proposal(entry) => self.proposal(ctx, entry),
            Packet::Commit(zxid) => self.commit(ctx, zxid, None),
            Packet::CommitAndActivate(zxid, leader) => self.commit(ctx, zxid, Some(leader)),
            Packet::Inform(entry) => self.inform(ctx, entry, None),
            Packet::InformAndActivate(entry, leader) => self.inform(ctx, entry, Some(leader)),
            Packet::NewLeader { epoch, config } => self.new_leader(ctx, epoch, &config),
            // Not answered before UPTODATE, as in the reference.
            Packet::Ping(_) | Packet::Revalidated(..) | Packet::Sync => Next::Stay,
            Packet::Unknown(kind) => {
                ctx.warn(format!("unknown packet {kind} from the leader"));
                Next::Stay
            }
            other => Next::leave(format!("{} in synchronization", other.name())),
        }
    }

    fn proposal<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, entry: Entry) -> Next {
        let zxid = entry.zxid;
        let fits = match (self.previous, self.way) {
            (Some(previous), _) => continues(previous, zxid),
            // The snapshot was read later than the way was chosen: what came in between is sent once more.
            (None, Way::Snap(last)) => zxid <= last || continues(last, zxid),
            (None, _) => false,
        };
        if !fits || zxid.epoch() > self.epoch {
            // Where the leader's list has a hole, it will have it again: only a snapshot leads past it.
            ctx.me.needs_snapshot = true;
            return Next::leave(format!("{zxid} does not follow what came before it"));
        }
        self.previous = Some(zxid);
        if let Some(membership) = txn::membership(&entry, ctx.me.ensemble.multi_address) {
            membership::propose(ctx, membership);
        }
        self.held_bytes = self.held_bytes.saturating_add(entry.payload.len()).saturating_add(OVERHEAD);
        if self.held_bytes > HELD_BYTES {
            return Next::leave("too many proposals without commits");
        }
        self.waiting.push_back(entry);
        Next::Stay
    }

    fn commit<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, zxid: Zxid, activates: Option<ServerId>) -> Next {
        let Some(entry) = self.waiting.pop_front_if(|e| e.zxid == zxid) else {
            if zxid <= self.committed {
                ctx.warn(format!("commit of {zxid}, which was committed before"));
                return Next::Stay;
            }
            return Next::leave(format!("commit of {zxid}, which is not next"));
        };
        self.held_bytes = self.held_bytes.saturating_sub(entry.payload.len().saturating_add(OVERHEAD));
        let change = txn::membership(&entry, ctx.me.ensemble.multi_address).filter(|_| activates.is_some());
        match self.way {
            // The snapshot shows it already.
            Way::Snap(last) if zxid <= last => {}
            Way::Snap(_) => ctx.emit(Effect::Prepare(self.link, entry)),
            Way::Diff | Way::Trunc(_) if writes_disk(ctx.me, self.observer) => {
                ctx.me.ledger.append(entry, ctx.out);
                ctx.me.ledger.commit(None, ctx.out);
            }
            Way::Diff | Way::Trunc(_) => ctx.me.ledger.commit_unlogged(entry, None, ctx.out),
        }
        self.committed = self.committed.max(zxid);
        match change {
            Some(change) => membership::commit(ctx, change, activates, zxid).into(),
            None => Next::Stay,
        }
    }

    fn inform<T: TreeView>(
        &mut self,
        ctx: &mut Ctx<'_, T>,
        entry: Entry,
        activates: Option<ServerId>,
    ) -> Next {
        let zxid = entry.zxid;
        match self.proposal(ctx, entry) {
            Next::Stay => self.commit(ctx, zxid, activates),
            over => over,
        }
    }

    fn new_leader<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, epoch: Epoch, config: &[u8]) -> Next {
        if epoch != self.epoch {
            return Next::leave(format!("NEWLEADER for epoch {} after {}", epoch.0, self.epoch.0));
        }
        self.config = member::membership(config, ctx.me.ensemble.multi_address);
        if let Some(config) = &self.config {
            membership::propose(ctx, config.clone());
        }
        self.at = At::Storing;
        self.store(ctx)
    }

    /// Makes durable what was committed.
    fn store<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>) -> Next {
        match self.way {
            Way::Snap(last) => {
                while self.waiting.pop_front_if(|e| e.zxid <= last).is_some() {}
                ctx.emit(Effect::Install(self.link, self.committed));
                Next::Stay
            }
            // What was appended is what was committed: proposals wait outside of the log.
            Way::Diff | Way::Trunc(_) if ctx.me.ledger.is_durable() => self.adopt(ctx),
            Way::Diff | Way::Trunc(_) => Next::Stay,
        }
    }

    /// The history is durable; the epoch follows it, never the other way round.
    fn adopt<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>) -> Next {
        if !writes_disk(ctx.me, self.observer) && !matches!(self.way, Way::Snap(_)) {
            // The history is in memory only: an epoch on disk would claim more than is there, should it ever vote.
            return self.adopted(ctx);
        }
        self.at = At::Adopting;
        ctx.emit(Effect::SaveEpoch(EpochFile::Current, self.epoch));
        Next::Stay
    }

    fn adopted<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>) -> Next {
        self.at = At::Adopted;
        (ctx.me.may_vote, ctx.me.fresh, ctx.me.needs_snapshot) = (true, false, false);
        let patience = ctx.me.ticks(ctx.me.ensemble.sync_limit);
        ctx.emit(Effect::Patience(self.link, patience));
        ctx.emit(Effect::Send(self.link, Packet::Ack(Zxid::new(self.epoch, 0))));
        if self.up_to_date { self.go_live(ctx) } else { Next::Stay }
    }

    /// Everything behind NEWLEADER belongs to the broadcast and waits for it, in its order: there commits meet
    /// proposals that were logged (4394), and nothing here depends on when the disk is done (4785).
    fn behind_new_leader<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, packet: Packet) -> Next {
        match packet {
            Packet::UpToDate if self.at == At::Adopted => self.go_live(ctx),
            Packet::UpToDate => {
                self.up_to_date = true;
                Next::Stay
            }
            Packet::Ping(_) if !self.up_to_date => Next::Stay,
            packet => self.hold(packet),
        }
    }

    fn go_live<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>) -> Next {
        match self.config.take() {
            Some(config) if ctx.me.settings.reconfig_enabled => {
                match membership::commit(ctx, config, None, Zxid::new(self.epoch, 0)) {
                    Flow::Stay => {}
                    over => return Next::Over(over),
                }
            }
            _ => {
                let own = ctx.me.views.committed.membership().clone();
                ctx.emit(Effect::ShowConfig(own));
            }
        }
        let mut live = Live::begin(ctx, self.link, self.observer, self.epoch);
        let waiting = std::mem::take(&mut self.waiting).into_iter().map(Packet::Proposal);
        for packet in waiting.chain(std::mem::take(&mut self.held)) {
            match live.packet(ctx, packet) {
                Next::Stay => {}
                over => return over,
            }
        }
        Next::Phase(Phase::Live(Box::new(live)))
    }
}
