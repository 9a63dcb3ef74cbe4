//! Snapshots of the living state: a walk in short slices under the shared lock, on a thread of low priority.
//!
//! Writes go on in between, so the snapshot is fuzzy, as the reference's are; replay mends that.

use super::core::Core;
use super::disk::DiskLog;
use crate::state::walk;
use crate::state::{Machine, SnapshotWalk, TreeView as _};
use crate::store::snapshots::PutNode;
use crate::store::{SnapshotSource, Store};
use crate::types::{Millis, SessionId, Zxid};
use jute::records::data::{Acl, Id};
use std::borrow::Cow;
use std::cell::Cell;
use std::sync::Arc;

/// Nodes copied under one hold of the shared lock: some tenths of a millisecond, a write's patience.
const SLICE: u32 = 1000;

/// How much less than others the thread wants the processor.
const NICE: i32 = 10;

/// After a snapshot none is due for this many times as long as it took. Without a pause a server that reaches
/// `snapCount` before its snapshot is finished would write snapshots all the time, and share disk, memory and
/// processors between them and its clients. What it costs is a longer log to replay: what that time brings in.
const PAUSE: i64 = 3;

/// Sessions with their timeouts, as a snapshot has them.
pub(super) fn sessions(machine: &Machine) -> Vec<(SessionId, i32)> {
    let timeout = |ms: i64| i32::try_from(ms).unwrap_or(i32::MAX);
    machine.sessions().into_iter().map(|(session, ms)| (session, timeout(ms.0))).collect()
}

/// Access lists, as a snapshot has them.
pub(super) fn acls(machine: &Machine) -> Vec<(i64, Vec<Acl<'static>>)> {
    fn text(s: &str) -> Option<Cow<'static, str>> {
        Some(Cow::Owned(s.to_owned()))
    }
    let record = |e: &crate::auth::AclEntry| Acl {
        perms: e.perms,
        id: Id { scheme: text(&e.scheme), id: text(&e.id) },
    };
    let lists = machine.acl_lists();
    lists.into_iter().map(|(id, list)| (id, list.iter().map(record).collect())).collect()
}

/// The digest, as a snapshot has it.
pub(super) fn digest(machine: &Machine) -> Option<(Zxid, i64)> {
    machine.digest()?;
    let (zxid, digest) = machine.recorded_digest().unwrap_or((0, 0));
    Some((Zxid(zxid), digest.cast_signed()))
}

struct Source<'a> {
    core: &'a Core,
    walk: SnapshotWalk,
    /// The tree was replaced under the walk: what came so far is no snapshot.
    lost: &'a Cell<bool>,
}

impl SnapshotSource for Source<'_> {
    fn sessions(&mut self) -> Vec<(SessionId, i32)> {
        self.core.shared.read(sessions)
    }

    fn acls(&mut self) -> Vec<(i64, Vec<Acl<'static>>)> {
        self.core.shared.read(acls)
    }

    fn next_slice(&mut self, put: &mut PutNode<'_>) -> bool {
        let walk = &mut self.walk;
        match self.core.shared.read(|m| walk.next_slice(m, SLICE, put)) {
            walk::Progress::More => true,
            walk::Progress::Done => false,
            walk::Progress::Lost => {
                self.lost.set(true);
                // There is more, but the writer gives up before it asks.
                true
            }
        }
    }

    fn digest(&mut self) -> Option<(Zxid, i64)> {
        self.core.shared.read(digest)
    }

    fn last_zxid(&mut self) -> Option<Zxid> {
        self.core.shared.read(|m| m.digest().map(|_| m.last_zxid()))
    }
}

/// Takes a snapshot on the calling thread, pause or no pause.
pub(super) fn take(core: &Core, store: &Store, log: &DiskLog) {
    let Some((generation, _held)) = log.keep_history() else {
        tracing::warn!("Too busy to snap, skipping");
        return;
    };
    let start = core.clock.mono();
    let (zxid, walk) = core.shared.read(|m| (m.last_zxid(), SnapshotWalk::new(m)));
    let lost = Cell::new(false);
    let mut source = Source { core, walk, lost: &lost };
    let between = &mut || {
        std::thread::yield_now();
        !lost.get() && log.is_current(generation)
    };
    match store.write_snapshot(zxid, &mut source, between) {
        Ok(Some(written)) => {
            let now = core.clock.mono();
            let took = now.0 - start.0;
            log.pause_until(Millis(now.0 + PAUSE * took));
            core.counters.snapshot_time.add(took);
            tracing::info!(
                "Snapshot taken in {took} ms: {} ({} znodes)",
                written.path.display(),
                written.nodes
            );
        }
        Ok(None) => {}
        Err(error) => super::shutdown::fatal(&error),
    }
}

/// Takes a snapshot whenever somebody sends SIGUSR1, as an operator does before a copy or a migration.
pub(super) async fn on_demand(core: Arc<Core>, log: Arc<DiskLog>) {
    use tokio::signal::unix::{SignalKind, signal};
    let mut asked = match signal(SignalKind::user_defined1()) {
        Ok(asked) => asked,
        Err(error) => return tracing::warn!("Cannot listen for SIGUSR1, which asks for snapshots: {error}"),
    };
    while asked.recv().await.is_some() {
        // The tree of a member that has not found a leader may hold what will never be committed.
        if core.standing.get().takes_writes() {
            tracing::info!("A snapshot was asked for by a signal");
            start(Arc::clone(&core), Arc::clone(&log));
        } else {
            tracing::warn!("A snapshot was asked for by a signal, but the server does not serve; skipping");
        }
    }
}

/// Takes a snapshot on a thread of its own, unless the last one is too short a while ago.
pub(super) fn spawn(core: Arc<Core>, log: Arc<DiskLog>) {
    if log.pauses(core.clock.mono()) {
        tracing::debug!("The last snapshot took so long that this one is left out");
        return;
    }
    start(core, log);
}

fn start(core: Arc<Core>, log: Arc<DiskLog>) {
    let work = move || {
        // Without the right to change it the thread simply runs like any other.
        let _ = rustix::process::setpriority_process(None, NICE);
        if let Some(store) = log.store() {
            take(&core, &store, &log);
        }
    };
    if let Err(error) = std::thread::Builder::new().name("snapshot".to_owned()).spawn(work) {
        tracing::warn!("Cannot start a thread for a snapshot: {error}; the next one will be tried later");
    }
}
