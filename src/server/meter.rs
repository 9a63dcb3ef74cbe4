//! What a member of an ensemble measures of itself: how long it had no leader and served nobody, how learners are
//! brought up to date, how long a transaction takes from station to station.
//!
//! It looks at the inputs and effects that pass, under the brain's lock; it decides and changes nothing. Invariant:
//! what passes with every transaction takes no lock and allocates nothing, but for the one of so many whose
//! acknowledgements are timed (`acks`); equal latencies, which is what those of a
//! batch are in milliseconds, reach the counters in one addition.

use super::acks::Acks;
use crate::replica::zab::{LearnerHello, Packet};
use crate::replica::{Effect, Input, LinkInput, Stage};
use crate::report::{Counters, Percentiles};
use crate::types::{Entry, LinkId, Millis, Now, Zxid};
use jute::records::txn::TxnHeader;
use jute::{Reader, Record as _};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering::Relaxed;

/// Equal values in a row.
#[derive(Debug, Default)]
pub(super) struct Run {
    value: i64,
    times: u64,
}

impl Run {
    /// One more, in ms. It is told from the clocks of two servers, which may disagree: less than nothing is left out
    /// (`Request.logLatency`).
    pub(super) fn add(&mut self, value: i64, into: &Percentiles) {
        if value < 0 {
            return;
        }
        if value != self.value {
            self.pour(into);
            self.value = value;
        }
        self.times += 1;
    }

    /// Hands over what has gathered.
    pub(super) fn pour(&mut self, into: &Percentiles) {
        into.add_many(self.value, std::mem::take(&mut self.times));
    }
}

/// How a learner is brought up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Transactions,
    Snapshot,
}

/// What is under way, and since when.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// What this member is; `None` on a server by itself, which measures nothing here.
    stage: Option<Stage>,
    /// It looks for a leader.
    looking: Option<Millis>,
    /// It is part of no working ensemble.
    away: Option<Millis>,
    /// A leader brings it up to date.
    syncing: Option<Millis>,
    /// Learners that it brings up to date itself.
    inflight: BTreeMap<LinkId, Way>,
    /// Proposals on their way to the disk, with the time that stands in them. As many as the disk has not written.
    unwritten: VecDeque<(Zxid, i64)>,
    acks: Acks,
    proposal: Run,
    ack_creation: Run,
    quorum_ack: Run,
    commit_propagation: Run,
}

/// The leader's wall clock when it made the transaction.
fn made(entry: &Entry) -> Option<i64> {
    TxnHeader::read(&mut Reader::new(&entry.payload)).ok().map(|header| header.time)
}

impl Meter {
    /// A member, about to look for its first leader.
    pub(super) fn member(now: Millis, acks: Acks, counters: &Counters) -> Self {
        let mut meter = Self { acks, ..Self::default() };
        meter.becomes(Stage::Looking, now, counters);
        meter
    }

    /// Something comes to the brain.
    pub(super) fn input(&mut self, input: &Input<'_>, now: Now, counters: &Counters) {
        match input {
            Input::Flushed(proof) => {
                let into = &counters.ack_creation_latency;
                while let Some((_, made)) = self.unwritten.pop_front_if(|(zxid, _)| *zxid <= proof.zxid()) {
                    self.ack_creation.add(now.wall.saturating_sub(made), into);
                }
                self.acks.flushed(proof.zxid(), now.wall, counters);
            }
            Input::Link(
                link,
                LinkInput::Packet(Packet::Hello(LearnerHello { server: Some(server), .. })),
            ) => {
                self.acks.named(*link, *server);
            }
            Input::Link(link, LinkInput::Packet(Packet::Ack(zxid))) => {
                // The first acknowledgement is the one of NEWLEADER.
                if let Some(way) = self.inflight.remove(link) {
                    self.count_inflight(way, counters);
                }
                self.acks.acknowledged(*link, *zxid, now.wall, counters);
            }
            Input::Link(link, LinkInput::Lost) => {
                self.inflight.remove(link);
                self.acks.gone(*link);
            }
            _ => {}
        }
    }

    /// Something leaves the brain.
    pub(super) fn effect(&mut self, effect: &Effect, now: Now, counters: &Counters) {
        match effect {
            Effect::Append(entry) => self.appended(entry, now, counters),
            Effect::Commit(commit) => self.committed(commit.entry.get(), now, counters),
            Effect::Send(link, packet) => self.sent(*link, packet, now, counters),
            Effect::Close(link) => {
                self.inflight.remove(link);
                self.acks.gone(*link);
            }
            Effect::Deserted(_) => {
                counters.disloyal_voters.fetch_add(1, Relaxed);
            }
            Effect::Become(stage) => self.becomes(*stage, now.mono, counters),
            _ => {}
        }
    }

    /// A step has ended.
    pub(super) fn pour(&mut self, counters: &Counters) {
        self.proposal.pour(&counters.proposal_latency);
        self.ack_creation.pour(&counters.ack_creation_latency);
        self.quorum_ack.pour(&counters.quorum_ack_latency);
        self.commit_propagation.pour(&counters.commit_propagation_latency);
    }

    /// An observer acknowledges nothing, and what comes before UPTODATE is acknowledged together.
    fn appended(&mut self, entry: &Entry, now: Now, counters: &Counters) {
        let is_leading = match self.stage {
            Some(Stage::Leading { .. }) => true,
            Some(Stage::Following { serving: true }) => false,
            _ => return,
        };
        let count = if is_leading { &counters.proposals } else { &counters.learner_proposals_received };
        count.fetch_add(1, Relaxed);
        let Some(made) = made(entry) else { return };
        self.unwritten.push_back((entry.zxid, made));
        if is_leading {
            self.acks.proposed(entry.zxid, made);
        } else {
            self.proposal.add(now.wall.saturating_sub(made), &counters.proposal_latency);
        }
    }

    fn committed(&mut self, entry: &Entry, now: Now, counters: &Counters) {
        let (count, run, into) = match self.stage {
            Some(Stage::Leading { .. }) => {
                (&counters.commits, &mut self.quorum_ack, &counters.quorum_ack_latency)
            }
            Some(Stage::Following { serving: true } | Stage::Observing { serving: true }) => (
                &counters.learner_commits_received,
                &mut self.commit_propagation,
                &counters.commit_propagation_latency,
            ),
            _ => return,
        };
        self.acks.committed(entry.zxid);
        count.fetch_add(1, Relaxed);
        counters.commits_queued.fetch_add(1, Relaxed);
        if let Some(made) = made(entry) {
            run.add(now.wall.saturating_sub(made), into);
        }
    }

    fn sent(&mut self, link: LinkId, packet: &Packet, now: Now, counters: &Counters) {
        match packet {
            Packet::Diff(_) | Packet::Trunc(_) => {
                counters.diffs.fetch_add(1, Relaxed);
                self.begin(link, Way::Transactions, counters);
            }
            Packet::Snap(_) => {
                counters.snaps.fetch_add(1, Relaxed);
                self.begin(link, Way::Snapshot, counters);
            }
            Packet::Revalidated(..) => {
                counters.revalidates.fetch_add(1, Relaxed);
            }
            Packet::AckEpoch { .. } => self.syncing = Some(now.mono),
            _ => {}
        }
    }

    fn begin(&mut self, link: LinkId, way: Way, counters: &Counters) {
        self.inflight.insert(link, way);
        self.count_inflight(way, counters);
    }

    /// How many are under way, at each beginning and each end.
    fn count_inflight(&self, way: Way, counters: &Counters) {
        let summary = match way {
            Way::Transactions => &counters.inflight_diffs,
            Way::Snapshot => &counters.inflight_snaps,
        };
        let count = self.inflight.values().filter(|other| **other == way).count();
        summary.add(i64::try_from(count).unwrap_or(i64::MAX));
    }

    fn becomes(&mut self, stage: Stage, now: Millis, counters: &Counters) {
        let before = self.stage.replace(stage);
        let in_force = match stage {
            Stage::Looking => {
                self.syncing = None;
                self.inflight.clear();
                self.unwritten.clear();
                self.acks.end();
                self.away.get_or_insert(now);
                // Whoever lets its readers go has been looking all the time.
                if self.looking.is_none() {
                    self.looking = Some(now);
                    counters.looking.fetch_add(1, Relaxed);
                }
                return;
            }
            Stage::ReadOnly => return,
            // It is said twice of a leader, and the second time it rules, be it for itself only (`leaderServes=no`).
            Stage::Leading { .. } => matches!(before, Some(Stage::Leading { .. })),
            Stage::Following { serving } | Stage::Observing { serving } => serving,
        };
        let is_observer = matches!(stage, Stage::Observing { .. });
        let since = |then: Millis| now.0.saturating_sub(then.0);
        // An observer elects nobody (`Follower.followLeader`, `Leader.lead`).
        if let Some(then) = self.looking.take().filter(|_| !is_observer) {
            counters.election_time.add(since(then));
        }
        if !in_force {
            return;
        }
        if let Some(then) = self.syncing.take() {
            let summary =
                if is_observer { &counters.observer_sync_time } else { &counters.follower_sync_time };
            summary.add(since(then));
        }
        if let Some(then) = self.away.take() {
            counters.unavailable_time.add(since(then));
            if matches!(stage, Stage::Leading { .. }) {
                counters.leader_unavailable_time.add(since(then));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::Commit;
    use crate::report::Totals;
    use crate::types::{Committed, Epoch, Flushed, ServerId, SessionId};

    const TERM: Epoch = Epoch(1);

    /// A member, its clock, and its figures.
    struct Rig {
        meter: Meter,
        counters: Counters,
        now: Now,
    }

    impl Rig {
        /// Starts when its monotonic clock shows 1000 and the wall clock 100 more.
        fn start() -> Self {
            let (counters, mono) = (Counters::new(), Millis(1000));
            Self {
                meter: Meter::member(mono, Acks::default(), &counters),
                counters,
                now: Now { mono, wall: 1100 },
            }
        }

        fn alone() -> Self {
            Self { meter: Meter::default(), counters: Counters::new(), ..Self::start() }
        }

        /// A step after so many ms.
        fn step(&mut self, after: i64, input: Option<&Input<'_>>, effects: &[Effect]) {
            self.now = Now { mono: Millis(self.now.mono.0 + after), wall: self.now.wall + after };
            if let Some(input) = input {
                self.meter.input(input, self.now, &self.counters);
            }
            for effect in effects {
                self.meter.effect(effect, self.now, &self.counters);
            }
            self.meter.pour(&self.counters);
        }

        fn does(&mut self, after: i64, effect: Effect) {
            self.step(after, None, &[effect]);
        }

        fn becomes(&mut self, after: i64, stage: Stage) {
            self.does(after, Effect::Become(stage));
        }

        fn sends(&mut self, link: u64, packet: Packet) {
            self.does(0, Effect::Send(LinkId(link), packet));
        }

        fn hears(&mut self, link: u64, input: LinkInput) {
            self.step(0, Some(&Input::Link(LinkId(link), input)), &[]);
        }

        fn flushed(&mut self, after: i64, zxid: i64) {
            self.step(after, Some(&Input::Flushed(Flushed::mint(Zxid(zxid)))), &[]);
        }

        /// Counters that are not zero, and summaries with values, by their names.
        fn told(&self) -> Vec<(&'static str, u64, i64)> {
            let metrics = self.counters.metrics();
            let counters = metrics.counters.iter().map(|(name, n)| (*name, *n, 0)).filter(|c| c.1 > 0);
            let summaries = metrics.summaries.iter().map(|(name, t)| (*name, *t));
            let percentiles = metrics.percentiles.iter().map(|(name, t, _)| (*name, *t));
            let sums = summaries.chain(percentiles).filter(|(_, t)| t.count > 0);
            counters.chain(sums.map(|(name, t)| (name, t.count, t.sum))).collect()
        }
    }

    /// A transaction that was made when the wall clock showed `time`.
    fn entry(zxid: i64, time: i64) -> Entry {
        let header = TxnHeader { client_id: 1, cxid: 1, zxid, time, op: -1 };
        Entry { zxid: Zxid(zxid), payload: jute::encode(&header).into() }
    }

    fn append(zxid: i64, time: i64) -> Effect {
        Effect::Append(entry(zxid, time))
    }

    fn commit(zxid: i64, time: i64) -> Effect {
        Effect::Commit(Commit { entry: Committed::mint(entry(zxid, time)), origin: None })
    }

    #[test]
    fn a_leader_measures_its_election_its_proposals_and_its_absence() {
        let mut rig = Rig::start();
        rig.becomes(20, Stage::Leading { serving: false });
        rig.becomes(30, Stage::Leading { serving: false });
        rig.step(0, None, &[append(1, 1150), append(2, 1150), append(3, 1151)]);
        rig.flushed(4, 2);
        rig.step(1, None, &[commit(1, 1150), commit(2, 1150)]);
        rig.flushed(0, 3);
        assert_eq!(
            rig.told(),
            [
                ("looking_count", 1, 0),
                ("proposal_count", 3, 0),
                ("commit_count", 2, 0),
                ("request_commit_queued", 2, 0),
                ("election_time", 1, 20),
                ("unavailable_time", 1, 50),
                ("leader_unavailable_time", 1, 50),
                ("proposal_ack_creation_latency", 3, 4 + 4 + 4),
                ("quorum_ack_latency", 2, 5 + 5),
            ]
        );
    }

    #[test]
    fn a_follower_measures_its_synchronization_and_what_it_hears_behind_it() {
        let mut rig = Rig::start();
        rig.becomes(5, Stage::Following { serving: false });
        rig.sends(1, Packet::AckEpoch { last: Zxid(0), current: None });
        // What its leader brings it up to is no proposal.
        rig.step(7, None, &[append(1, 0), commit(1, 0)]);
        rig.becomes(0, Stage::Following { serving: true });
        // The leader's clock is ahead of this one: less than nothing is no latency.
        rig.step(1, None, &[append(2, 1100), append(3, 9999), commit(2, 1100)]);
        rig.flushed(1, 3);
        assert_eq!(
            rig.told(),
            [
                ("looking_count", 1, 0),
                ("learner_proposal_received_count", 2, 0),
                ("learner_commit_received_count", 1, 0),
                ("request_commit_queued", 1, 0),
                ("follower_sync_time", 1, 7),
                ("election_time", 1, 5),
                ("unavailable_time", 1, 12),
                ("proposal_latency", 1, 13),
                ("proposal_ack_creation_latency", 1, 14),
                ("commit_propagation_latency", 1, 13),
            ]
        );
    }

    #[test]
    fn an_observer_elects_nobody_and_acknowledges_nothing() {
        let mut rig = Rig::start();
        rig.becomes(5, Stage::Observing { serving: false });
        rig.sends(1, Packet::AckEpoch { last: Zxid(0), current: None });
        rig.becomes(3, Stage::Observing { serving: true });
        rig.step(0, None, &[append(1, 1100), commit(1, 1100)]);
        rig.flushed(0, 1);
        assert_eq!(
            rig.told(),
            [
                ("looking_count", 1, 0),
                ("learner_commit_received_count", 1, 0),
                ("request_commit_queued", 1, 0),
                ("observer_sync_time", 1, 3),
                ("unavailable_time", 1, 8),
                ("commit_propagation_latency", 1, 8),
            ]
        );
    }

    #[test]
    fn who_reads_without_a_leader_looks_for_one_all_the_time() {
        let mut rig = Rig::start();
        rig.becomes(5, Stage::ReadOnly);
        rig.becomes(5, Stage::Looking);
        rig.becomes(5, Stage::Following { serving: false });
        rig.becomes(1, Stage::Looking);
        rig.becomes(1, Stage::Following { serving: false });
        rig.becomes(1, Stage::Following { serving: true });
        let want =
            [("looking_count", 2, 0), ("election_time", 2, 15 + 1), ("unavailable_time", 1, 15 + 1 + 1 + 1)];
        assert_eq!(rig.told(), want);
    }

    #[test]
    fn learners_are_counted_when_their_synchronization_begins_and_when_it_ends() {
        let mut rig = Rig::alone();
        rig.sends(1, Packet::Diff(Zxid(1)));
        rig.sends(2, Packet::Trunc(Zxid(1)));
        rig.sends(3, Packet::Snap(Zxid(1)));
        rig.hears(1, LinkInput::Packet(Packet::Ack(Zxid::new(TERM, 0))));
        rig.hears(1, LinkInput::Packet(Packet::Ack(Zxid::new(TERM, 1))));
        rig.hears(2, LinkInput::Lost);
        rig.hears(2, LinkInput::Packet(Packet::Ack(Zxid::new(TERM, 1))));
        rig.does(0, Effect::Close(LinkId(3)));
        rig.sends(3, Packet::Revalidated(SessionId(1), true));
        rig.does(0, Effect::Deserted(ServerId(2)));
        assert_eq!(
            rig.told(),
            [
                ("diff_count", 2, 0),
                ("snap_count", 1, 0),
                ("revalidate_count", 1, 0),
                ("quit_leading_due_to_disloyal_voter", 1, 0),
                ("inflight_snap_count", 1, 1),
                ("inflight_diff_count", 3, 1 + 2 + 1),
            ]
        );
        assert!(rig.meter.inflight.is_empty());
    }

    #[test]
    fn acknowledgements_are_timed_by_who_gives_them() {
        let mut rig = Rig::start();
        rig.meter.acks = Acks::new(ServerId(1), 2);
        rig.becomes(0, Stage::Leading { serving: false });
        rig.becomes(0, Stage::Leading { serving: true });
        let hello = LearnerHello {
            observer: false,
            accepted: TERM,
            server: Some(ServerId(2)),
            protocol: 0x10000,
            config_version: 0,
        };
        rig.hears(1, LinkInput::Packet(Packet::Hello(hello)));
        rig.step(0, None, &[append(3, 1100), append(4, 1100)]);
        rig.flushed(5, 4);
        rig.step(
            1,
            Some(&Input::Link(LinkId(1), LinkInput::Packet(Packet::Ack(Zxid(4))))),
            &[commit(4, 1100)],
        );
        rig.hears(1, LinkInput::Packet(Packet::Ack(Zxid(4))));
        let told = rig.counters.ack_latencies.totals();
        let told: Vec<_> = told.iter().map(|(server, (t, _))| (&**server, t.count, t.sum)).collect();
        assert_eq!(told, [("1", 1, 5), ("2", 1, 6)]);
    }

    #[test]
    fn nothing_is_left_of_a_role_and_a_server_by_itself_measures_nothing() {
        let mut rig = Rig::alone();
        rig.step(0, None, &[append(1, 1000), commit(1, 1000)]);
        assert_eq!(rig.told(), []);
        let mut rig = Rig::start();
        rig.becomes(0, Stage::Following { serving: true });
        rig.does(0, append(5, 1000));
        rig.sends(1, Packet::Diff(Zxid(1)));
        rig.becomes(0, Stage::Looking);
        assert!(rig.meter.unwritten.is_empty() && rig.meter.inflight.is_empty());
        rig.flushed(0, 5);
        assert_eq!(rig.counters.ack_creation_latency.totals(), Totals::default());
    }
}
