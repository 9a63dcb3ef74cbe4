//! Syncs: confirmed by a quorum, behind everything that was proposed before them.
//!
//! A quorum that still answers pings sent after a sync came has not gone over to another leader before it came, so
//! nothing that another leader acknowledged by then can be missing here. The reference does without, and may answer
//! from a leader that has been replaced (ZOOKEEPER-1675). Invariant: syncs are answered in the order they came, and
//! none behind the commit of something that was proposed after it.

use super::learner::Learners;
use crate::replica::Origin;
use crate::replica::io::{Effect, Effects};
use crate::replica::zab::{Packet, Views};
use crate::types::{LinkId, ServerId, SessionId, Zxid};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Who waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    /// A client of this server.
    Client(Origin),
    /// A learner, for one of its clients.
    Learner(LinkId),
    /// A client of this server, whose session nobody else knows, ends it: behind the answers to what it asked before.
    Closing(Origin, SessionId),
}

#[derive(Debug)]
struct Waiting {
    asker: Asker,
    /// The last proposal when it came.
    after: Zxid,
    /// The round that confirms it.
    round: u64,
}

/// Syncs that wait, and the round of pings that is under way. Each learner and client may have as many as it may
/// have requests, which is bounded where they are read.
#[derive(Debug, Default)]
pub(super) struct Syncs {
    waiting: VecDeque<Waiting>,
    /// The round under way; it began after all syncs that name it, or an earlier one, had come.
    round: u64,
    /// Which answer of which link it waits for; empty between rounds.
    targets: BTreeMap<LinkId, (ServerId, u64)>,
    running: bool,
    /// The last round that a quorum has answered.
    confirmed: u64,
}

impl Syncs {
    /// Syncs that wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// A sync came. It takes part in the next round, which begins now if none is under way.
    pub(super) fn push(&mut self, asker: Asker, last: Zxid, learners: &mut Learners, out: &mut Effects) {
        self.waiting.push_back(Waiting { asker, after: last, round: self.round + 1 });
        if !self.running {
            self.begin(last, learners, out);
        }
    }

    fn begin(&mut self, last: Zxid, learners: &mut Learners, out: &mut Effects) {
        self.round += 1;
        self.running = true;
        self.targets.clear();
        let serving: Vec<LinkId> =
            learners.iter().filter(|(_, l)| l.follows()).map(|(link, _)| link).collect();
        for link in serving {
            learners.ping(link, last, out);
        }
        self.pinged(learners);
    }

    /// All learners were pinged: those that the round has not asked yet take part from here on.
    pub(super) fn pinged(&mut self, learners: &Learners) {
        if !self.running {
            return;
        }
        for (link, learner) in learners.iter().filter(|(_, l)| l.follows() && l.pings > l.pongs) {
            self.targets.entry(link).or_insert((learner.server, learner.pings));
        }
    }

    /// The end of a session that only this server knows: behind everything before it, and confirmed by nobody.
    pub(super) fn push_closing(&mut self, origin: Origin, session: SessionId, last: Zxid) {
        let round = self.waiting.back().map_or(0, |w| w.round);
        self.waiting.push_back(Waiting { asker: Asker::Closing(origin, session), after: last, round });
    }

    /// This proposal is about to be committed. What came before it is answered first: its client may be the same, and
    /// expects its answers in its order. A quorum has acknowledged what was proposed after these syncs had come, which
    /// confirms them as well as a ping does.
    pub(super) fn overtaken(&mut self, zxid: Zxid, learners: &Learners, out: &mut Effects) {
        while let Some(done) = self.waiting.pop_front_if(|w| w.after < zxid) {
            Self::answer(done.asker, learners, out);
        }
    }

    fn answer(asker: Asker, learners: &Learners, out: &mut Effects) {
        match asker {
            Asker::Client(origin) => out.push(Effect::Synced(origin)),
            Asker::Learner(link) if learners.get(link).is_some() => {
                out.push(Effect::Send(link, Packet::Sync))
            }
            Asker::Learner(_) => {}
            Asker::Closing(origin, session) => {
                out.push(Effect::ClosedLocal { origin: Some(origin), session });
            }
        }
    }

    /// Looks who has answered, then answers all syncs that are confirmed and whose proposals are committed.
    pub(super) fn release(
        &mut self,
        me: ServerId,
        views: &Views,
        in_order: impl Fn(Zxid) -> bool,
        last: Zxid,
        learners: &mut Learners,
        out: &mut Effects,
    ) {
        while self.running {
            let answered =
                |link: &LinkId, target: u64| learners.get(*link).is_some_and(|l| l.pongs >= target);
            let mut set: BTreeSet<ServerId> =
                self.targets.iter().filter(|(l, (_, t))| answered(l, *t)).map(|(_, (s, _))| *s).collect();
            set.insert(me);
            if !views.is_quorum(&set) {
                break;
            }
            self.confirmed = self.round;
            self.running = false;
            if self.waiting.back().is_some_and(|w| w.round > self.confirmed) {
                self.begin(last, learners, out);
            }
        }
        let confirmed = self.confirmed;
        while let Some(done) = self.waiting.pop_front_if(|w| w.round <= confirmed && in_order(w.after)) {
            Self::answer(done.asker, learners, out);
        }
    }
}
