//! Long things between servers: the living tree and pieces of the log on their way out, a leader's tree on its way
//! in. Each runs on a thread that may block, at the pace of the peer.
//!
//! Invariant: no lock is held while a peer is waited for; a tree is a candidate only once it is complete.

use super::core::Core;
use super::snapshotter;
use crate::net::peer::codec::packet;
use crate::net::peer::{Fed, Feed, SnapshotSink};
use crate::rebuild::Rebuild;
use crate::replica::zab::Packet;
use crate::replica::{Input, LinkInput};
use crate::state::SnapshotWalk;
use crate::state::machine::Settings;
use crate::state::walk::Progress;
use crate::store::snapshots::PutNode;
use crate::store::{self, History, Incoming, Outgoing, Restore as _, SnapshotSource, Store, Trailer};
use crate::types::{LinkId, SessionId, Zxid};
use jute::records::data::Acl;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Weak};

/// Nodes copied under one hold of the shared lock, as for a snapshot to disk.
const SLICE: u32 = 1000;

/// Bytes of packets made at once.
const CHUNK: usize = 64 * 1024;

/// The living tree, for a learner.
pub(super) struct TreeFeed {
    core: Arc<Core>,
    link: LinkId,
    outgoing: Outgoing,
    lost: Arc<AtomicBool>,
}

/// The living tree, slice by slice.
struct Living {
    core: Arc<Core>,
    walk: Option<SnapshotWalk>,
    /// The tree was replaced under the walk.
    lost: Arc<AtomicBool>,
}

impl TreeFeed {
    pub(super) fn new(core: Arc<Core>, link: LinkId) -> Self {
        let lost = Arc::<AtomicBool>::default();
        let living = Living { core: Arc::clone(&core), walk: None, lost: Arc::clone(&lost) };
        Self { core, link, outgoing: Outgoing::new(Box::new(living)), lost }
    }
}

impl Feed for TreeFeed {
    fn next(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        let more = self.outgoing.next(out);
        if self.lost.load(Relaxed) {
            return Err(io::Error::other("the tree was replaced while it was being sent"));
        }
        if !more {
            self.core.drive(|step| step.input(Input::Link(self.link, LinkInput::Streamed)));
        }
        Ok(more)
    }
}

impl SnapshotSource for Living {
    fn sessions(&mut self) -> Vec<(SessionId, i32)> {
        // The walk begins with the first look: whatever changes later follows as transactions.
        let (walk, sessions) = self.core.shared.read(|m| (SnapshotWalk::new(m), snapshotter::sessions(m)));
        self.walk = Some(walk);
        sessions
    }

    fn acls(&mut self) -> Vec<(i64, Vec<Acl<'static>>)> {
        self.core.shared.read(snapshotter::acls)
    }

    fn next_slice(&mut self, put: &mut PutNode<'_>) -> bool {
        let Some(walk) = &mut self.walk else { return false };
        match self.core.shared.read(|m| walk.next_slice(m, SLICE, put)) {
            Progress::More => true,
            Progress::Done => false,
            Progress::Lost => {
                self.lost.store(true, Relaxed);
                false
            }
        }
    }

    fn digest(&mut self) -> Option<(Zxid, i64)> {
        None
    }

    fn last_zxid(&mut self) -> Option<Zxid> {
        None
    }
}

/// Transactions from the log on disk, for a learner that is far behind.
pub(super) struct HistoryFeed {
    store: Arc<Store>,
    after: Zxid,
    until: Zxid,
    history: Option<History>,
    last: Zxid,
}

impl HistoryFeed {
    pub(super) fn new(store: Arc<Store>, after: Zxid, until: Zxid) -> Self {
        Self { store, after, until, history: None, last: after }
    }
}

impl Feed for HistoryFeed {
    fn next(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        let history = match &mut self.history {
            Some(history) => history,
            none => none.insert(self.store.read_from(self.after).map_err(io::Error::other)?),
        };
        let full = out.len() + CHUNK;
        while out.len() < full && self.last < self.until {
            let Some(entry) = history.next() else {
                return Err(io::Error::other(format!(
                    "the log ends at {}, but {} was promised",
                    self.last, self.until
                )));
            };
            let entry = entry.map_err(io::Error::other)?;
            // The oldest log may have been purged since the way was found.
            if !self.last.leads_to(entry.zxid) {
                return Err(io::Error::other(format!(
                    "{} does not follow {} in the log",
                    entry.zxid, self.last
                )));
            }
            self.last = entry.zxid;
            packet::write(&Packet::Proposal(entry), out);
            packet::write(&Packet::Commit(self.last), out);
        }
        Ok(self.last < self.until)
    }
}

/// A leader's tree on its way in.
pub(super) struct Arriving {
    core: Option<Weak<Core>>,
    link: LinkId,
    zxid: Zxid,
    incoming: Option<Incoming<Rebuild>>,
}

impl Arriving {
    pub(super) fn new(
        core: Option<Weak<Core>>,
        link: LinkId,
        zxid: Zxid,
        settings: Settings,
        limit: usize,
    ) -> Self {
        Self { core, link, zxid, incoming: Some(Incoming::new(Rebuild::new(settings), limit)) }
    }
}

impl SnapshotSink for Arriving {
    fn feed(&mut self, bytes: &[u8]) -> Result<Fed, String> {
        let incoming = self.incoming.as_mut().ok_or("the tree is complete already")?;
        let store::Fed::Done(used) = incoming.feed(bytes)? else { return Ok(Fed::More) };
        let Some(incoming) = self.incoming.take() else { return Ok(Fed::More) };
        let nodes = incoming.nodes();
        let mut rebuild = incoming.into_sink();
        rebuild.snapshot(self.zxid, &Trailer::default())?;
        let machine = rebuild.finish();
        tracing::info!("Snapshot from the leader received: {nodes} znodes at {}", self.zxid);
        let core = self.core.as_ref().and_then(Weak::upgrade).ok_or("the server is stopping")?;
        let mut candidates = core.candidates.lock();
        if !candidates.awaited.remove(&self.link) {
            return Err("nobody waits for the tree any more".to_owned());
        }
        candidates.trees.insert(self.link, machine);
        Ok(Fed::Done(used))
    }
}
