//! Discovery: the learner says who it is and what it has, and promises the epoch that its leader names
//! (`Learner.registerWithLeader`).
//!
//! It changes no history. Invariant: a promise leaves only once it is on disk (ZOOKEEPER-335, 1653, 2307); an epoch
//! below an earlier promise is never followed; nothing is sent behind the promise before the history of the epoch is
//! adopted (ZOOKEEPER-4685).

use super::sync::Syncing;
use super::{Next, of};
use crate::replica::io::{Effect, Input, LinkInput};
use crate::replica::zab::member::Ctx;
use crate::replica::zab::{LearnerHello, PROTOCOL, Packet};
use crate::state::TreeView;
use crate::types::{Epoch, EpochFile, LinkId, ServerId, Zxid};

/// Names no history at all: leaders answer with a snapshot and do not count the promise.
const NO_HISTORY: Zxid = Zxid(-1);

/// Names the beginning of all history: leaders whose list begins later answer with a snapshot, and count the promise.
const BEGINNING: Zxid = Zxid::ZERO;

/// Connected, not in sync.
#[derive(Debug)]
pub(super) struct Discovery {
    link: LinkId,
    observer: bool,
    through: Option<ServerId>,
    /// What this server had when it connected.
    last: Zxid,
    at: At,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// LEADERINFO is to come.
    Asked,
    /// The promise is on its way to the disk.
    Promising(Epoch),
    /// ACKEPOCH was sent; the way of synchronization is to come.
    Promised(Epoch),
}

impl Discovery {
    pub(super) fn begin<T: TreeView>(
        ctx: &mut Ctx<'_, T>,
        link: LinkId,
        observer: bool,
        through: Option<ServerId>,
    ) -> Self {
        let me = &*ctx.me;
        let patience = me.ticks(me.ensemble.init_limit);
        let hello = LearnerHello {
            observer,
            accepted: me.accepted,
            server: Some(me.id),
            protocol: PROTOCOL,
            config_version: me.views.committed.version(),
        };
        // Sampled before anything is said; everything up to it is on disk and in the tree, as no role begins before.
        let last = me.ledger.last_logged();
        ctx.emit(Effect::Patience(link, patience));
        ctx.emit(Effect::Send(link, Packet::Hello(hello)));
        Self { link, observer, through, last, at: At::Asked }
    }

    pub(super) fn through(&self) -> Option<ServerId> {
        self.through
    }

    pub(super) fn step<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, input: Input<'_>) -> Next {
        if let (Input::EpochSaved(EpochFile::Accepted, saved), At::Promising(epoch)) = (&input, self.at)
            && *saved == epoch
        {
            self.promise(ctx, epoch, Some(ctx.me.current));
            return Next::Stay;
        }
        match of(self.link, &input) {
            Some(LinkInput::Lost) => return Next::leave("the leader closed the connection during discovery"),
            Some(LinkInput::Packet(_)) => {}
            _ => return Next::Stay,
        }
        let Input::Link(_, LinkInput::Packet(packet)) = input else { return Next::Stay };
        match (self.at, packet) {
            (_, Packet::Unknown(kind)) => {
                ctx.warn(format!("unknown packet {kind} from the leader"));
                Next::Stay
            }
            (At::Asked, Packet::LeaderInfo { epoch, .. }) => self.named(ctx, epoch),
            (At::Promised(epoch), packet) => Syncing::begin(ctx, self.link, self.observer, epoch, &packet),
            (_, packet) => Next::leave(format!("{} during discovery", packet.name())),
        }
    }

    /// The leader named its epoch.
    fn named<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, epoch: Epoch) -> Next {
        let accepted = ctx.me.accepted;
        if epoch < accepted {
            return Next::leave(format!("the leader's epoch {} is below {}", epoch.0, accepted.0));
        }
        if epoch > accepted {
            // File first, memory second: [`Member::epoch_saved`](super::super::Member::epoch_saved).
            ctx.emit(Effect::SaveEpoch(EpochFile::Accepted, epoch));
            self.at = At::Promising(epoch);
        } else {
            // It may have been promised to another leader of the same number: that does not count again.
            self.promise(ctx, epoch, None);
        }
        Next::Stay
    }

    /// A history that may not vote is no base for a promise, either. One that did not fit to what a leader sent
    /// ([`Member::needs_snapshot`](super::super::Member::needs_snapshot)) is not named, though it counts: where the
    /// leader cannot begin without this server, it has to begin all the same.
    fn promise<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, epoch: Epoch, current: Option<Epoch>) {
        let last = match (ctx.me.may_vote, ctx.me.needs_snapshot) {
            (false, _) => NO_HISTORY,
            (true, true) => BEGINNING,
            (true, false) => self.last,
        };
        let current = current.filter(|_| ctx.me.may_vote);
        ctx.emit(Effect::Send(self.link, Packet::AckEpoch { last, current }));
        self.at = At::Promised(epoch);
    }
}
