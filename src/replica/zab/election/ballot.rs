//! What votes mean: which is better, which are equal, what a server may vote at all, and who stands behind a leader.
//!
//! No course of an election here, and nothing is sent. Invariant: a server's own vote never names more than is
//! durable here, and one without a say names nothing.

use crate::config::ensemble::Role;
use crate::replica::zab::member::Member;
use crate::replica::zab::packet::{Notification, PeerState, Vote};
use crate::replica::zab::view::Views;
use crate::types::{Epoch, ServerId, Zxid};
use std::collections::{BTreeMap, BTreeSet};

/// In the vote of a server that must not be counted. Servers of the reference pass over such a vote, too.
pub(super) const MUTE: Zxid = Zxid(-1);

/// Whom a server names that has no vote: nobody, and less than everybody.
const NOBODY: i64 = i64::MIN;

/// A vote as it was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cast {
    /// For whom.
    pub(super) vote: Vote,
    /// In which round.
    pub(super) round: i64,
    /// What its sender does.
    pub(super) state: PeerState,
    /// The version of its message.
    pub(super) version: i32,
}

impl Cast {
    /// What a notification says.
    #[must_use]
    pub(super) fn of(n: &Notification) -> Self {
        Self { vote: n.vote, round: n.round, state: n.state, version: n.version }
    }

    /// Do both mean the same (Vote.equals)? Behind an election only the leader and its epoch count, because
    /// zxid and round of a vote may have been told at different times; and not even the epoch where one of the
    /// senders is too old to report it rightly.
    #[must_use]
    pub(super) fn agrees(&self, other: &Self) -> bool {
        let (a, b) = (&self.vote, &other.vote);
        if self.state == PeerState::Looking || other.state == PeerState::Looking {
            return a == b && self.round == other.round;
        }
        a.leader == b.leader && (a.epoch == b.epoch || (self.version > 0) != (other.version > 0))
    }
}

/// Votes by their senders.
pub(super) type Casts = BTreeMap<ServerId, Cast>;

/// Those whose vote means the same.
#[must_use]
pub(super) fn behind(casts: &Casts, cast: &Cast) -> BTreeSet<ServerId> {
    casts.iter().filter(|(_, c)| c.agrees(cast)).map(|(s, _)| *s).collect()
}

/// Is one vote better than another (FastLeaderElection.totalOrderPredicate)? The epoch comes first: a history
/// that a later leader had made its own is worth more than a longer one of its predecessor.
#[must_use]
pub(super) fn beats(views: &Views, new: &Vote, old: &Vote) -> bool {
    let rank = |v: &Vote| (v.epoch, v.zxid, v.leader);
    views.committed.weight(new.leader) != 0 && rank(new) > rank(old)
}

/// Traces of a history that others have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Trace {
    /// None.
    #[default]
    None,
    /// A leader was elected before.
    Epoch,
    /// Transactions were ordered by a leader.
    Transactions,
}

impl Trace {
    /// What a vote shows. A counter without an epoch is the past of a server that was alone: nobody else ever
    /// stored it, and it may grow into an ensemble with empty servers beside it. A server that follows or leads shows
    /// nothing by that: without an epoch in its vote it is in its first election, like everybody else.
    #[must_use]
    pub fn of(n: &Notification) -> Self {
        if n.vote.zxid.epoch() > Epoch(0) && n.vote.zxid.counter() > 0 {
            Self::Transactions
        } else if n.vote.zxid.epoch() > Epoch(0) || n.vote.epoch > Epoch(0) {
            Self::Epoch
        } else {
            Self::None
        }
    }
}

/// On whose votes a leader rests until it has its epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mandate {
    /// The current epoch when it was elected. Once that has changed, a quorum has promised the new one, and votes
    /// matter no more.
    pub epoch: Epoch,
    /// Who voted for it and has not changed its mind.
    pub backers: BTreeSet<ServerId>,
}

impl Member {
    /// May this server's vote count?
    ///
    /// Not where its history has a hole. Nor where its disk may have been lost: it may then have acknowledged what
    /// it no longer has, and a quorum with it would know less than a quorum did before. An empty disk shows that by
    /// itself only beside servers that are not empty:
    ///
    /// - Without a promised epoch, any trace of an earlier leader says so. Whenever some server shows an epoch, a
    ///   quorum has promised it, so an ensemble that has lost no disk is never kept from voting.
    /// - With a promise and nothing else, a leader may just have died before its first transaction. Only
    ///   transactions say that more is missing: they exist only after a quorum had taken over a history.
    ///
    /// The way out is the same in both cases: a leader brings it up to its history.
    #[must_use]
    pub fn has_say(&self) -> bool {
        let blank = self.current <= Epoch(0) && self.ledger.last_logged() == Zxid::ZERO;
        let lost = blank
            && self.views.is_voter(self.id)
            && match self.others {
                Trace::None => false,
                Trace::Epoch => self.accepted <= Epoch(0),
                Trace::Transactions => true,
            };
        self.may_vote && !lost
    }

    /// The vote with which a round begins (FastLeaderElection.getInitId and its kin): for itself, where it has one.
    #[must_use]
    pub fn initial_vote(&self) -> Vote {
        let leader = if self.views.committed.is_voter(self.id) { self.id } else { ServerId(NOBODY) };
        if self.role() == Role::Observer {
            return Vote { leader, zxid: Zxid(NOBODY), epoch: Epoch(NOBODY) };
        }
        let zxid = if self.has_say() { self.ledger.durable() } else { MUTE };
        Vote { leader, zxid, epoch: self.current }
    }
}
