//! Members that only hold elections, and the messages between them, under a clock of their own.

use crate::auth::{AuthSettings, Rules};
use crate::config::ensemble::Membership;
use crate::replica::ReplicaSettings;
use crate::replica::io::{Effect, Effects, Input};
use crate::replica::zab::looking::Looking;
use crate::replica::zab::member::Begin;
use crate::replica::zab::{
    Ctx, EnsembleSettings, Flow, Ledger, Member, Notification, PeerState, Views, Vote, election,
};
use crate::state::Machine;
use crate::types::{Epoch, Millis, Now, ServerId, Zxid};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// What is on the disk of a server when it starts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Disk {
    pub(super) zxid: i64,
    pub(super) accepted: i64,
    pub(super) current: i64,
    pub(super) may_vote: bool,
}

pub(super) const EMPTY: Disk = Disk { zxid: 0, accepted: 0, current: 0, may_vote: true };

pub(super) fn history(epoch: i64, counter: i64) -> Disk {
    Disk { zxid: epoch << 32 | counter, accepted: epoch, current: epoch, may_vote: true }
}

pub(super) fn membership(text: &str) -> Arc<Membership> {
    Arc::new(Membership::from_text(text.as_bytes(), false).unwrap())
}

/// So many voters.
pub(super) fn voters(n: i64) -> String {
    let lines: String = (1..=n).map(|id| format!("server.{id}=h{id}:1:2\n")).collect();
    format!("{lines}version=0")
}

pub(super) struct Node {
    pub(super) me: Member,
    /// `None` while it follows or leads.
    looking: Option<Looking>,
    tree: Machine,
}

impl Node {
    pub(super) fn new(id: i64, text: &str, disk: Disk, now: Now) -> Self {
        let begin = Begin {
            id: ServerId(id),
            views: Views::new(membership(text)),
            ledger: Ledger::new(Zxid(disk.zxid), [], 500),
            accepted: Epoch(disk.accepted),
            current: Epoch(disk.current),
            may_vote: disk.may_vote,
            fresh: disk.accepted == 0 && disk.zxid == 0,
            seed: id.unsigned_abs(),
        };
        let settings = ReplicaSettings { reconfig_enabled: true, ..ReplicaSettings::default() };
        let ensemble = EnsembleSettings { observer_election: Millis(0), ..EnsembleSettings::default() };
        let me = Member::new(begin, settings, ensemble, Rules::new(AuthSettings::default()), now);
        Self { me, looking: Some(Looking::at_start(now)), tree: Machine::new(Default::default()) }
    }

    pub(super) fn step(&mut self, now: Now, input: Input<'_>) -> Effects {
        let mut out = Effects::new();
        let Self { me, looking, tree } = self;
        let mut ctx = Ctx { now, tree, me, out: &mut out };
        let flow = match (&mut *looking, input) {
            (Some(looking), input) => looking.step(&mut ctx, input),
            (None, Input::Vote(from, n)) => election::answer(&mut ctx, from, &n),
            _ => Flow::Stay,
        };
        Self::turn(&mut ctx, looking, flow);
        out
    }

    /// The role is over.
    pub(super) fn leave(&mut self, now: Now) -> Effects {
        let mut out = Effects::new();
        let Self { me, looking, tree } = self;
        let mut ctx = Ctx { now, tree, me, out: &mut out };
        Self::turn(&mut ctx, looking, Flow::Leave(String::new()));
        out
    }

    fn turn(ctx: &mut Ctx<'_, Machine>, looking: &mut Option<Looking>, flow: Flow) {
        match flow {
            Flow::Stay => {}
            Flow::Elected { vote, round } => {
                (ctx.me.vote, ctx.me.round) = (vote, round);
                ctx.me.state =
                    if vote.leader == ctx.me.id { PeerState::Leading } else { PeerState::Following };
                *looking = None;
            }
            Flow::Leave(_) | Flow::Follow(_) => {
                ctx.me.state = PeerState::Looking;
                let mut fresh = Looking::after_role(ctx, None);
                let flow = fresh.resume(ctx);
                *looking = Some(fresh);
                Self::turn(ctx, looking, flow);
            }
        }
    }

    pub(super) fn deadline(&self) -> Option<Millis> {
        self.looking.as_ref().and_then(Looking::deadline)
    }

    pub(super) fn leader(&self) -> Option<i64> {
        self.looking.is_none().then_some(self.me.vote.leader.0)
    }

    /// All that decides what it will do.
    pub(super) fn key(&self) -> String {
        let Member { vote, round, state, mandate, .. } = &self.me;
        format!("{vote:?}{round}{state:?}{mandate:?}{:?}", self.looking)
    }
}

/// A message under way.
pub(super) type Letter = (i64, i64, Notification);

pub(super) struct Net {
    pub(super) nodes: BTreeMap<i64, Node>,
    pub(super) now: i64,
    /// By the time it arrives; each takes a millisecond.
    letters: VecDeque<(i64, Letter)>,
    /// What these are told, they never hear, and the other way round.
    pub(super) cut: BTreeSet<i64>,
    /// Every vote that was sent.
    pub(super) sent: Vec<Letter>,
}

impl Net {
    pub(super) fn new(text: &str, disks: &[(i64, Disk)]) -> Self {
        let mut net = Self {
            nodes: BTreeMap::new(),
            now: 1000,
            letters: VecDeque::new(),
            cut: BTreeSet::new(),
            sent: Vec::new(),
        };
        for (id, disk) in disks {
            net.start(*id, text, *disk);
        }
        net
    }

    pub(super) fn now(&self) -> Now {
        Now { mono: Millis(self.now), wall: 0 }
    }

    pub(super) fn start(&mut self, id: i64, text: &str, disk: Disk) {
        self.nodes.insert(id, Node::new(id, text, disk, self.now()));
    }

    pub(super) fn kill(&mut self, id: i64) {
        self.nodes.remove(&id);
        self.letters.retain(|(_, (from, to, _))| *from != id && *to != id);
    }

    /// All that follow this server notice that it is gone.
    pub(super) fn lose(&mut self, leader: i64) {
        let now = self.now();
        let ids: Vec<i64> = self.nodes.keys().copied().collect();
        for id in ids {
            if self.nodes[&id].leader() == Some(leader) {
                let effects = self.nodes.get_mut(&id).unwrap().leave(now);
                self.post(id, effects);
            }
        }
    }

    pub(super) fn say(&mut self, from: i64, to: i64, n: Notification) {
        let now = self.now();
        let effects = self.nodes.get_mut(&to).unwrap().step(now, Input::Vote(ServerId(from), n));
        self.post(to, effects);
    }

    fn post(&mut self, from: i64, effects: Effects) {
        for effect in effects {
            if let Effect::Notify(to, n) = effect {
                assert_ne!(to.0, from, "nobody writes to itself");
                self.sent.push((from, to.0, n.clone()));
                self.letters.push_back((self.now + 1, (from, to.0, n)));
            }
        }
    }

    /// Runs for so long, or until everybody has a leader. Returns how long it took.
    pub(super) fn run(&mut self, at_most: i64) -> i64 {
        let begin = self.now;
        loop {
            let due: Vec<i64> = (self.nodes.iter())
                .filter(|(_, n)| n.deadline().is_some_and(|d| d.0 <= self.now))
                .map(|(id, _)| *id)
                .collect();
            for id in due {
                let now = self.now();
                let effects = self.nodes.get_mut(&id).unwrap().step(now, Input::Tick);
                self.post(id, effects);
            }
            while self.letters.front().is_some_and(|(at, _)| *at <= self.now) {
                let (_, (from, to, n)) = self.letters.pop_front().unwrap();
                if self.nodes.contains_key(&to) && !self.cut.contains(&from) && !self.cut.contains(&to) {
                    self.say(from, to, n);
                }
            }
            let reachable = |id: &i64| !self.cut.contains(id);
            if self.nodes.iter().filter(|(id, _)| reachable(id)).all(|(_, n)| n.leader().is_some()) {
                return self.now - begin;
            }
            if self.now - begin >= at_most {
                return self.now - begin;
            }
            self.now += 1;
        }
    }

    /// Whom each server follows; 0 for one that looks.
    pub(super) fn leaders(&self) -> Vec<i64> {
        self.nodes.values().map(|n| n.leader().unwrap_or(0)).collect()
    }
}

/// A vote as a message.
pub(super) fn letter(state: PeerState, leader: i64, zxid: i64, epoch: i64, round: i64) -> Notification {
    let vote = Vote { leader: ServerId(leader), zxid: Zxid(zxid), epoch: Epoch(epoch) };
    Notification { state, vote, round, version: 2, config: bytes::Bytes::new() }
}
