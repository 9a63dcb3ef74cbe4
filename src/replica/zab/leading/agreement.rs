//! What a quorum has to agree on before a leader leads: the number of its epoch, the promise of it, and its history.
//!
//! It counts and sends nothing. Invariant: nothing counts before it is on disk: the leader's own promise, its own
//! adoption, and what learners say of theirs.

use crate::replica::zab::{Member, Views};
use crate::types::{Epoch, EpochFile, ServerId, Zxid};
use std::collections::BTreeSet;

/// Epochs travel as 32-bit integers, and this is the last: a learner that has promised it cannot be led, and whoever
/// says so is more likely broken than old.
const LAST_EPOCH: Epoch = Epoch(i32::MAX as i64);

/// How far a leader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// Its port is being opened.
    Opening,
    /// It asks for the epochs that were promised.
    Gathering,
    /// Its own promise goes to disk.
    Promising,
    /// It collects promises.
    Asking,
    /// Its own adoption goes to disk.
    Adopting,
    /// It brings learners up to its history.
    Syncing,
    /// It orders requests.
    Serving,
}

/// Why a learner is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It has history that a leader elected by a quorum should have.
    Ahead,
    /// Its epoch is no epoch.
    Epoch,
}

/// The three agreements.
#[derive(Debug)]
pub(super) struct Agreement {
    pub(super) step: Step,
    /// The epoch to come; decided from [`Step::Promising`] on.
    epoch: Epoch,
    /// The highest epoch anybody has promised.
    highest: Epoch,
    /// What this server has, as election compares it.
    own: (Epoch, Zxid),
    reported: BTreeSet<ServerId>,
    promised: BTreeSet<ServerId>,
    adopted: BTreeSet<ServerId>,
}

impl Agreement {
    pub(super) fn new(me: &Member) -> Self {
        let only = BTreeSet::from([me.id]);
        Self {
            step: Step::Opening,
            epoch: Epoch(0),
            highest: me.accepted,
            own: (me.current, me.ledger.last_logged()),
            reported: only.clone(),
            promised: only.clone(),
            adopted: only,
        }
    }

    /// The epoch, once this server's own promise of it is on disk.
    pub(super) fn epoch(&self) -> Option<Epoch> {
        (self.step >= Step::Asking).then_some(self.epoch)
    }

    /// A learner says which epoch it has promised. Members of the membership in force count; every number does.
    pub(super) fn report(&mut self, views: &Views, server: ServerId, accepted: Epoch) -> Result<(), Refusal> {
        if accepted >= LAST_EPOCH || accepted < Epoch(0) {
            return Err(Refusal::Epoch);
        }
        if self.step <= Step::Gathering {
            self.highest = self.highest.max(accepted);
            if views.committed.is_voter(server) {
                self.reported.insert(server);
            }
        }
        Ok(())
    }

    /// The epoch that this server has to promise now, when a quorum has reported.
    pub(super) fn decide(&mut self, views: &Views) -> Option<Epoch> {
        if self.step != Step::Gathering || !views.committed.is_quorum(&self.reported) {
            return None;
        }
        self.step = Step::Promising;
        self.epoch = Epoch(self.highest.0 + 1);
        Some(self.epoch)
    }

    /// A learner promises. `current` is the epoch whose history it has; `None` if it had promised before, which
    /// counts for nothing.
    pub(super) fn promise(
        &mut self,
        views: &Views,
        server: ServerId,
        current: Option<Epoch>,
        last: Zxid,
    ) -> Result<(), Refusal> {
        let Some(current) = current.filter(|_| self.step == Step::Asking) else { return Ok(()) };
        if (current, last) > self.own {
            return Err(Refusal::Ahead);
        }
        if last != Zxid(-1) && views.committed.is_voter(server) {
            self.promised.insert(server);
        }
        Ok(())
    }

    /// A quorum has promised: this server's adoption of the epoch has to go to disk.
    pub(super) fn is_promised(&mut self, views: &Views) -> bool {
        let done = self.step == Step::Asking && views.committed.is_quorum(&self.promised);
        if done {
            self.step = Step::Adopting;
        }
        done
    }

    /// Is this what this server waits to have on disk?
    pub(super) fn is_awaited(&self, file: EpochFile, epoch: Epoch) -> bool {
        let step = match file {
            EpochFile::Accepted => Step::Promising,
            EpochFile::Current => Step::Adopting,
        };
        self.step == step && epoch == self.epoch
    }

    /// Has this learner adopted this server's history?
    pub(super) fn has_adopted(&self, server: ServerId) -> bool {
        self.adopted.contains(&server)
    }

    /// A learner has adopted this server's history.
    pub(super) fn adopt(&mut self, server: ServerId) {
        self.adopted.insert(server);
    }

    /// A quorum of the membership in force, and of the one that may follow it, has adopted the history.
    pub(super) fn is_adopted(&mut self, views: &Views) -> bool {
        let done = self.step == Step::Syncing && views.is_quorum(&self.adopted);
        if done {
            self.step = Step::Serving;
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Rules;
    use crate::config::ensemble::Membership;
    use crate::replica::ReplicaSettings;
    use crate::replica::zab::member::Begin;
    use crate::replica::zab::{EnsembleSettings, Ledger};
    use crate::types::Now;
    use std::sync::Arc;

    fn member(accepted: i64, current: i64, last: Zxid) -> Member {
        let text = "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\nserver.4=d:1:2:observer\nversion=0";
        let begin = Begin {
            id: ServerId(3),
            views: Views::new(Arc::new(Membership::from_text(text.as_bytes(), false).unwrap())),
            ledger: Ledger::new(last, [], 500),
            accepted: Epoch(accepted),
            current: Epoch(current),
            may_vote: true,
            fresh: false,
            seed: 1,
        };
        let rules = Rules::default();
        Member::new(begin, ReplicaSettings::default(), EnsembleSettings::default(), rules, Now::default())
    }

    #[test]
    fn the_epoch_is_one_more_than_anybody_has_promised() {
        let me = member(4, 4, Zxid(0));
        let mut a = Agreement::new(&me);
        a.step = Step::Gathering;
        assert_eq!(a.decide(&me.views), None);
        assert_eq!(a.report(&me.views, ServerId(4), Epoch(9)), Ok(()));
        assert_eq!(a.report(&me.views, ServerId(77), Epoch(6)), Ok(()));
        assert_eq!(a.decide(&me.views), None, "observers and strangers raise the number and do not count");
        assert_eq!(a.report(&me.views, ServerId(2), LAST_EPOCH), Err(Refusal::Epoch));
        assert_eq!(a.decide(&me.views), None);
        assert_eq!(a.report(&me.views, ServerId(2), Epoch(7)), Ok(()));
        assert_eq!(a.decide(&me.views), Some(Epoch(10)));
        assert_eq!((a.epoch(), a.decide(&me.views)), (None, None), "not before it is on disk, and once");
        assert_eq!(a.report(&me.views, ServerId(1), Epoch(50)), Ok(()));
        a.step = Step::Asking;
        assert_eq!(a.epoch(), Some(Epoch(10)));
    }

    #[test]
    fn promises_count_unless_they_are_old_or_from_one_that_is_ahead() {
        let last = Zxid::new(Epoch(4), 7);
        let me = member(4, 4, last);
        let mut a = Agreement::new(&me);
        a.step = Step::Asking;
        let ahead = [(5, Zxid::new(Epoch(4), 1)), (4, Zxid::new(Epoch(4), 8))];
        for (current, zxid) in ahead {
            assert_eq!(a.promise(&me.views, ServerId(2), Some(Epoch(current)), zxid), Err(Refusal::Ahead));
        }
        assert_eq!(a.promise(&me.views, ServerId(2), None, Zxid(i64::MAX)), Ok(()), "promised before");
        assert_eq!(a.promise(&me.views, ServerId(4), Some(Epoch(4)), last), Ok(()), "an observer");
        assert_eq!(a.promise(&me.views, ServerId(2), Some(Epoch(3)), Zxid(-1)), Ok(()), "without history");
        assert!(!a.is_promised(&me.views));
        assert_eq!(a.promise(&me.views, ServerId(2), Some(Epoch(3)), Zxid::new(Epoch(9), 1)), Ok(()));
        assert!(a.is_promised(&me.views) && !a.is_promised(&me.views));
        a.step = Step::Syncing;
        let late = a.promise(&me.views, ServerId(1), Some(Epoch(9)), Zxid(0));
        assert_eq!(late, Ok(()), "once a quorum has promised, a late one is brought into line");
        a.adopt(ServerId(4));
        assert!(!a.is_adopted(&me.views));
        a.adopt(ServerId(1));
        assert!(a.is_adopted(&me.views));
    }
}
