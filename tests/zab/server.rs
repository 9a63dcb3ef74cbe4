//! A server: what is on its disk, and its process while it runs.

use bytes::Bytes;
use quoll::auth::Rules;
use quoll::config::ensemble::Membership;
use quoll::replica::zab::member::Begin;
use quoll::replica::zab::{EnsembleSettings, Ledger, Views};
use quoll::replica::{Effects, Replica, ReplicaSettings, Stage};
use quoll::state::{Machine, TreeView as _};
use quoll::types::{Entry, Epoch, LinkId, Millis, Now, ServerId, SessionId, Zxid};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// What outlives the process.
#[derive(Debug, Clone)]
pub struct Disk {
    /// Every transaction, from the first on.
    pub log: Vec<Entry>,
    pub accepted: Epoch,
    pub current: Epoch,
    pub committed: Arc<Membership>,
    pub proposed: Option<Arc<Membership>>,
    /// No log for others.
    pub snapshots_only: bool,
}

impl Disk {
    pub fn empty(committed: Arc<Membership>) -> Self {
        let (log, accepted, current) = (Vec::new(), Epoch(0), Epoch(0));
        Self { log, accepted, current, committed, proposed: None, snapshots_only: false }
    }

    pub fn last(&self) -> Zxid {
        self.log.last().map_or(Zxid::ZERO, |e| e.zxid)
    }

    /// The tree that these transactions make.
    pub fn tree(log: &[Entry]) -> Machine {
        let mut machine = Machine::new(Default::default());
        for entry in log {
            machine.replay(&entry.payload).unwrap();
        }
        machine
    }
}

/// The client at a server.
#[derive(Debug, Default)]
pub struct Client {
    pub session: Option<SessionId>,
    pub xid: i32,
    /// What it asks as soon as it has a session.
    pub wants: VecDeque<(i32, Bytes, String)>,
    /// What it waits for, by xid.
    pub asked: BTreeMap<i32, String>,
}

/// A snapshot on its way.
#[derive(Debug, Clone)]
pub struct Candidate(pub Vec<Entry>);

/// A process.
pub struct Live {
    pub replica: Replica,
    pub machine: Machine,
    pub stage: Stage,
    pub effects: Effects,
    /// Links here: the server at the other end and its number there.
    pub links: BTreeMap<LinkId, (i64, LinkId)>,
    pub candidates: BTreeMap<LinkId, Candidate>,
    /// SNAP was sent on these; the stream comes behind it.
    pub snaps: BTreeMap<LinkId, Zxid>,
    pub client: Client,
    pub next_link: u64,
}

impl Live {
    pub fn start(id: i64, disk: &Disk, now: Now) -> Self {
        let mut views = Views::new(disk.committed.clone());
        if let Some(proposed) = &disk.proposed {
            views.propose(proposed.clone());
        }
        let recent = disk.log.iter().filter(|_| !disk.snapshots_only);
        let begin = Begin {
            id: ServerId(id),
            views,
            ledger: Ledger::new(disk.last(), recent.cloned(), 500),
            accepted: disk.accepted,
            current: disk.current,
            may_vote: true,
            fresh: disk.log.is_empty() && disk.accepted == Epoch(0),
            seed: id.unsigned_abs(),
        };
        let settings = ReplicaSettings {
            server_id: ServerId(id),
            tick: Millis(2000),
            reconfig_enabled: true,
            ..ReplicaSettings::default()
        };
        let ensemble = EnsembleSettings { observer_election: Millis(0), ..EnsembleSettings::default() };
        let mut machine = Disk::tree(&disk.log);
        machine.set_config(disk.committed.text().as_bytes(), disk.committed.version, now.wall);
        Self {
            replica: Replica::member(begin, settings, ensemble, Rules::default(), now),
            machine,
            stage: Stage::Looking,
            effects: Effects::new(),
            links: BTreeMap::new(),
            candidates: BTreeMap::new(),
            snaps: BTreeMap::new(),
            client: Client::default(),
            next_link: 0,
        }
    }

    pub fn serving(&self) -> bool {
        use Stage::{Following, Leading, Observing};
        matches!(
            self.stage,
            Leading { serving: true } | Following { serving: true } | Observing { serving: true }
        )
    }

    pub fn last_applied(&self) -> Zxid {
        self.machine.last_zxid()
    }
}
