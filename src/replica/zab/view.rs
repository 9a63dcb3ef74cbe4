//! Who belongs to the ensemble and what counts as a quorum, for one membership and for two while one replaces
//! the other.
//!
//! Invariant: two quorums of one view share a server; while two views are in force, a set decides only if it is
//! a quorum in both.

use crate::config::ensemble::{Membership, Role};
use crate::types::planted::{self, Bug};
use crate::types::{ServerId, Zxid};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One membership, ready for counting.
#[derive(Debug, Clone)]
pub struct View {
    membership: Arc<Membership>,
    voters: BTreeSet<ServerId>,
}

impl View {
    /// Of a membership.
    #[must_use]
    pub fn new(membership: Arc<Membership>) -> Self {
        let voters = membership.voters().map(ServerId).collect();
        Self { membership, voters }
    }

    /// The membership itself.
    #[must_use]
    pub fn membership(&self) -> &Arc<Membership> {
        &self.membership
    }

    /// The zxid at which it was agreed.
    #[must_use]
    pub fn version(&self) -> i64 {
        self.membership.version
    }

    /// Who votes.
    #[must_use]
    pub fn voters(&self) -> &BTreeSet<ServerId> {
        &self.voters
    }

    /// Is this server a voter?
    #[must_use]
    pub fn is_voter(&self, server: ServerId) -> bool {
        self.voters.contains(&server)
    }

    /// Its role, if it is a member.
    #[must_use]
    pub fn role(&self, server: ServerId) -> Option<Role> {
        self.membership.members.get(&server.0).map(|m| m.role)
    }

    /// Its weight in votes: 0 never wins.
    #[must_use]
    pub fn weight(&self, server: ServerId) -> i64 {
        if !self.membership.hierarchical {
            return 1;
        }
        self.membership.weights.get(&server.0).copied().unwrap_or(1)
    }

    /// Is this set enough to decide? Servers that have no vote do not count.
    #[must_use]
    pub fn is_quorum(&self, set: &BTreeSet<ServerId>) -> bool {
        let counted = || set.iter().filter(|s| self.voters.contains(s));
        if !self.membership.hierarchical {
            return counted().count() > self.voters.len() / 2;
        }
        let weight = |ids: &mut dyn Iterator<Item = i64>| {
            ids.fold(0_i64, |sum, id| sum.saturating_add(self.weight(ServerId(id))))
        };
        let (mut groups, mut won) = (0_usize, 0_usize);
        for ids in self.membership.groups.values() {
            let all = weight(&mut ids.iter().copied().filter(|id| self.voters.contains(&ServerId(*id))));
            if all == 0 {
                continue;
            }
            groups += 1;
            let mine = weight(&mut counted().map(|s| s.0).filter(|id| ids.contains(id)));
            won += usize::from(mine > all / 2);
        }
        won > groups / 2
    }

    /// The newest zxid that a quorum has acknowledged, when every server has acknowledged everything up to its
    /// own mark.
    #[must_use]
    pub fn agreed(&self, marks: &BTreeMap<ServerId, Zxid>) -> Option<Zxid> {
        let mut sorted: Vec<(Zxid, ServerId)> =
            marks.iter().filter(|(s, _)| self.voters.contains(s)).map(|(s, z)| (*z, *s)).collect();
        sorted.sort_unstable_by(|a, b| b.cmp(a));
        let mut set = BTreeSet::new();
        for (zxid, server) in sorted {
            set.insert(server);
            if self.is_quorum(&set) || planted::is(Bug::MinorityCommit) {
                return Some(zxid);
            }
        }
        None
    }
}

/// The membership in force, and the one that was proposed to replace it.
#[derive(Debug, Clone)]
pub struct Views {
    /// In force.
    pub committed: View,
    /// Proposed, with a higher version.
    pub proposed: Option<View>,
}

impl Views {
    /// Of a membership in force.
    #[must_use]
    pub fn new(committed: Arc<Membership>) -> Self {
        Self { committed: View::new(committed), proposed: None }
    }

    /// The newest there is.
    #[must_use]
    pub fn newest(&self) -> &View {
        self.proposed.as_ref().unwrap_or(&self.committed)
    }

    /// Is this set enough in every view?
    #[must_use]
    pub fn is_quorum(&self, set: &BTreeSet<ServerId>) -> bool {
        self.committed.is_quorum(set) && self.proposed.as_ref().is_none_or(|v| v.is_quorum(set))
    }

    /// Does it vote in any view?
    #[must_use]
    pub fn is_voter(&self, server: ServerId) -> bool {
        self.committed.is_voter(server) || self.proposed.as_ref().is_some_and(|v| v.is_voter(server))
    }

    /// Everybody who votes in any view.
    #[must_use]
    pub fn voters(&self) -> BTreeSet<ServerId> {
        let mut all = self.committed.voters().clone();
        all.extend(self.proposed.iter().flat_map(|v| v.voters().iter().copied()));
        all
    }

    /// A leader knows no newer membership than this one, so none is proposed that is older. True if that was news.
    pub fn propose(&mut self, membership: Arc<Membership>) -> bool {
        if membership.version == self.newest().version() {
            return false;
        }
        let pending = membership.version > self.committed.version();
        let news = pending || self.proposed.is_some();
        self.proposed = pending.then(|| View::new(membership));
        news
    }

    /// This membership is in force. False if it is not newer than the one that was.
    pub fn commit(&mut self, membership: Arc<Membership>) -> bool {
        if membership.version <= self.committed.version() {
            return false;
        }
        self.committed = View::new(membership);
        if self.proposed.as_ref().is_some_and(|v| v.version() <= self.committed.version()) {
            self.proposed = None;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ensemble::Membership;

    fn view(text: &str) -> View {
        View::new(Arc::new(Membership::from_text(text.as_bytes(), false).unwrap()))
    }

    fn set(ids: &[i64]) -> BTreeSet<ServerId> {
        ids.iter().map(|id| ServerId(*id)).collect()
    }

    #[test]
    fn more_than_half_of_the_voters() {
        let v = view("server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\nserver.4=d:1:2:observer\nversion=0");
        assert!(!v.is_quorum(&set(&[1, 4])));
        assert!(v.is_quorum(&set(&[1, 3])));
        let marks = [(1, 7), (2, 5), (3, 9), (4, 99)].map(|(s, z)| (ServerId(s), Zxid(z)));
        assert_eq!(v.agreed(&marks.into_iter().collect()), Some(Zxid(7)));
        assert_eq!(v.agreed(&BTreeMap::from([(ServerId(1), Zxid(7))])), None);
    }

    #[test]
    fn more_than_half_of_the_groups_by_weight() {
        let servers: String = (1..=6).map(|n| format!("server.{n}=h{n}:1:2\n")).collect();
        let v = view(&format!("{servers}group.1=1:2:3\ngroup.2=4:5:6\nweight.3=0\nversion=0"));
        assert!(!v.is_quorum(&set(&[1, 2, 4])), "one group of two");
        assert!(!v.is_quorum(&set(&[1, 3, 4, 5])), "half of the weight of a group");
        assert!(v.is_quorum(&set(&[1, 2, 4, 5])));
    }

    #[test]
    fn both_views_while_one_replaces_the_other() {
        let three = "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\n";
        let mut views = Views::new(view(&format!("{three}version=0")).membership().clone());
        let five = format!("{three}server.4=d:1:2\nserver.5=e:1:2\nversion=100000002");
        assert!(views.propose(view(&five).membership().clone()));
        assert!(!views.is_quorum(&set(&[1, 2])) && views.is_quorum(&set(&[1, 2, 4])));
        assert!(!views.is_quorum(&set(&[1, 4, 5])));
        assert!(views.commit(view(&five).membership().clone()));
        assert!(views.proposed.is_none() && views.is_quorum(&set(&[1, 4, 5])));
    }
}
