//! What a member of an ensemble keeps over all its roles, and what it hands to whichever role it is in.
//!
//! It decides nothing. Invariant: a role's own fields are dropped with the role; whatever must survive it is here.

use super::election::{Mandate, Trace};
use super::ledger::Ledger;
use super::packet::{Notification, PeerState, Vote};
use super::view::Views;
use crate::auth::Rules;
use crate::config::ensemble::{Membership, Role};
use crate::replica::ReplicaSettings;
use crate::replica::io::{Effect, Effects, Level};
use crate::replica::session::SessionIds;
use crate::types::{Epoch, EpochFile, LinkId, Millis, Now, ServerId, Zxid};
use bytes::Bytes;
use std::sync::Arc;

/// What a member needs to know of the configuration beside [`ReplicaSettings`].
#[derive(Debug, Clone)]
pub struct EnsembleSettings {
    /// Ticks to connect and catch up (`initLimit`).
    pub init_limit: i64,
    /// Ticks a learner may lag (`syncLimit`).
    pub sync_limit: i64,
    /// Ticks to connect to a leader (`connectToLearnerMasterLimit`); `init_limit` where that is 0.
    pub connect_limit: i64,
    /// First wait before votes are sent again (`fastleader.minNotificationInterval`).
    pub min_notification: Millis,
    /// Longest wait before votes are sent again (`fastleader.maxNotificationInterval`).
    pub max_notification: Millis,
    /// Silence after which a quorum of votes is final.
    pub finalize_wait: Millis,
    /// Pause between two attempts to reach a leader (`leaderConnectDelayDuringRetryMs`).
    pub connect_retry: Millis,
    /// Does the leader serve clients (`leaderServes`).
    pub leader_serves: bool,
    /// Committed transactions kept in memory at least (`commitLogCount`).
    pub commit_log_count: usize,
    /// Always send a snapshot (`forceSnapshotSync`).
    pub force_snapshot_sync: bool,
    /// May learners catch up from the log on disk (`snapshotSizeFactor` is not negative).
    pub log_sync: bool,
    /// Observers that may be sent snapshots at the same time.
    pub concurrent_snap_syncs: usize,
    /// Observers that may be sent transactions at the same time.
    pub concurrent_diff_syncs: usize,
    /// Sessions may stay on one server (`localSessionsEnabled`).
    pub local_sessions: bool,
    /// They may become global (`localSessionsUpgradingEnabled`).
    pub local_upgrading: bool,
    /// An observer writes to disk (`syncEnabled`).
    pub observer_writes_disk: bool,
    /// Followers take observers on this port (`observerMasterPort`).
    pub observer_masters: bool,
    /// Longest random pause before an observer connects (`observer.reconnectDelayMs`).
    pub observer_reconnect: Millis,
    /// Longest random pause before an observer looks for a leader again (`observer.election.DelayMs`).
    pub observer_election: Millis,
    /// Reads may be served without a leader (`readonlymode.enabled`).
    pub read_only_mode: bool,
    /// Leaders give up on members that vote again while epochs are agreed, after this (`leader.maxTimeToWaitForEpoch`).
    pub epoch_wait: Option<Millis>,
    /// Smallest ensemble that reconfig may leave: 2, or 1 where a member may be alone (`standaloneEnabled=false`).
    pub min_voters: usize,
    /// Several addresses for a server may be configured (`multiAddress.enabled`).
    pub multi_address: bool,
}

impl Default for EnsembleSettings {
    fn default() -> Self {
        Self {
            init_limit: 10,
            sync_limit: 5,
            connect_limit: 0,
            min_notification: Millis(200),
            max_notification: Millis(60_000),
            finalize_wait: Millis(200),
            connect_retry: Millis(100),
            leader_serves: true,
            commit_log_count: crate::types::limits::COMMITTED_RING,
            force_snapshot_sync: false,
            log_sync: true,
            concurrent_snap_syncs: 10,
            concurrent_diff_syncs: 100,
            local_sessions: false,
            local_upgrading: false,
            observer_writes_disk: true,
            observer_masters: false,
            observer_reconnect: Millis(0),
            observer_election: Millis(200),
            read_only_mode: false,
            epoch_wait: None,
            min_voters: 2,
            multi_address: false,
        }
    }
}

/// What outlives a role.
#[derive(Debug)]
pub struct Member {
    /// This server.
    pub id: ServerId,
    /// Settings that a standalone server has too.
    pub settings: ReplicaSettings,
    /// Settings of members.
    pub ensemble: EnsembleSettings,
    /// The rules of access.
    pub rules: Rules,
    /// Who belongs to the ensemble.
    pub views: Views,
    /// What was logged and committed.
    pub ledger: Ledger,
    /// The newest epoch promised to a leader, as on disk.
    pub accepted: Epoch,
    /// The epoch whose history was adopted, as on disk.
    pub current: Epoch,
    /// May the history here count in an election? Not after a hole in it, nor on an empty disk while others have
    /// history: then a snapshot has to come first.
    pub may_vote: bool,
    /// The disk was empty at start: no epoch was ever promised here.
    pub fresh: bool,
    /// What was heard of a history that others have.
    pub others: Trace,
    /// On whose votes this server leads, before it has its epoch.
    pub mandate: Option<Mandate>,
    /// What a leader sent did not fit to the history here: only a snapshot leads on.
    pub needs_snapshot: bool,
    /// Round of the last election.
    pub round: i64,
    /// The vote that others are told: while looking the current one, later the one that won.
    pub vote: Vote,
    /// What others are told of this server's state.
    pub state: PeerState,
    /// Numbers for sessions opened here.
    pub sessions: SessionIds,
    /// The tree has everything up to here.
    pub applied: Zxid,
    /// For pauses that must differ between servers; the same seed gives the same choices.
    pub seed: u64,
    next_link: u64,
}

/// Links that the replica asked for have this bit; those that were accepted have not.
const OUTGOING: u64 = 1 << 63;

/// What a member begins with, beside its settings.
#[derive(Debug)]
pub struct Begin {
    /// This server.
    pub id: ServerId,
    /// Memberships.
    pub views: Views,
    /// What is on disk.
    pub ledger: Ledger,
    /// The newest epoch promised.
    pub accepted: Epoch,
    /// The epoch whose history was adopted.
    pub current: Epoch,
    /// The history has no hole.
    pub may_vote: bool,
    /// The disk was empty.
    pub fresh: bool,
    /// Any number, different on each server.
    pub seed: u64,
}

impl Member {
    /// A member before its first election.
    #[must_use]
    pub fn new(
        begin: Begin,
        settings: ReplicaSettings,
        ensemble: EnsembleSettings,
        rules: Rules,
        now: Now,
    ) -> Self {
        let Begin { id, views, mut ledger, accepted, current, may_vote, fresh, seed } = begin;
        if !ensemble.log_sync {
            ledger.keep_no_more();
        }
        let applied = ledger.last_logged();
        Self {
            id,
            sessions: SessionIds::new(id, now),
            settings,
            ensemble,
            rules,
            views,
            ledger,
            accepted,
            current,
            may_vote,
            fresh,
            others: Trace::None,
            mandate: None,
            needs_snapshot: false,
            round: 0,
            vote: Vote { leader: id, zxid: applied, epoch: current },
            state: PeerState::Looking,
            applied,
            seed,
            next_link: 0,
        }
    }

    /// What this server is in the committed membership; a server that is not in it takes part without a vote.
    #[must_use]
    pub fn role(&self) -> Role {
        self.views.committed.role(self.id).unwrap_or(Role::Participant)
    }

    /// A number for a connection from here.
    pub fn next_link(&mut self) -> LinkId {
        self.next_link += 1;
        LinkId(OUTGOING | self.next_link)
    }

    /// So many ticks.
    #[must_use]
    pub fn ticks(&self, n: i64) -> Millis {
        Millis(self.settings.tick.0.saturating_mul(n))
    }

    /// What this server says of itself on the election port, under this round.
    #[must_use]
    pub fn notification(&self, round: i64) -> Notification {
        Notification {
            state: self.state,
            vote: self.vote,
            round,
            version: 2,
            config: Bytes::from(self.views.committed.membership().text()),
        }
    }

    /// A number below `bound`; the next call gives another.
    pub fn random(&mut self, bound: u64) -> u64 {
        // xorshift64*: pauses need no more.
        let mut x = self.seed | 1;
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.seed = x;
        x.wrapping_mul(0x2545_f491_4f6c_dd1d) % bound.max(1)
    }

    /// The log was cut behind this. Zero says that nothing on disk led to the place that was wanted, and all of it is
    /// gone: this server has acknowledged more than it knows, so it has no vote until a snapshot has come.
    pub fn cut(&mut self, last: Zxid) {
        self.ledger.cut(last);
        self.may_vote &= last != Zxid::ZERO;
    }

    /// An epoch file says this now.
    pub fn epoch_saved(&mut self, file: EpochFile, epoch: Epoch) {
        match file {
            EpochFile::Accepted => self.accepted = epoch,
            EpochFile::Current => self.current = epoch,
        }
    }
}

/// A step of a role: when it is, what the tree shows, what outlives the role, and where effects go.
pub struct Ctx<'a, T> {
    /// The clocks.
    pub now: Now,
    /// The tree as applied so far.
    pub tree: &'a T,
    /// What outlives the role.
    pub me: &'a mut Member,
    /// What follows.
    pub out: &'a mut Effects,
}

impl<T> Ctx<'_, T> {
    /// Emits an effect.
    pub fn emit(&mut self, effect: Effect) {
        self.out.push(effect);
    }

    /// Sends a vote to another server.
    pub fn notify(&mut self, to: ServerId, notification: Notification) {
        self.out.push(Effect::Notify(to, notification));
    }

    /// Tells the operator of the course of things.
    pub fn info(&mut self, text: impl Into<String>) {
        self.out.push(Effect::Say(Level::Info, text.into()));
    }

    /// Tells the operator of something to look at.
    pub fn warn(&mut self, text: impl Into<String>) {
        self.out.push(Effect::Say(Level::Warn, text.into()));
    }

    /// The monotonic time, so much later.
    #[must_use]
    pub fn after(&self, span: Millis) -> Millis {
        Millis(self.now.mono.0.saturating_add(span.0))
    }
}

/// What becomes of a role after a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flow {
    /// It goes on.
    Stay,
    /// It is over; the reason is for the operator. The server looks for a leader again.
    Leave(String),
    /// It is over, and who leads from here on is known without an election: a membership said so.
    Follow(Vote),
    /// An election found its leader: this one, in this round.
    Elected {
        /// The vote that won.
        vote: Vote,
        /// Its round.
        round: i64,
    },
}

/// Reads the text of a membership. `None` for one that is none.
#[must_use]
pub fn membership(text: &[u8], multi_address: bool) -> Option<Arc<Membership>> {
    if text.is_empty() {
        return None;
    }
    Membership::from_text(text, multi_address).ok().map(Arc::new)
}
