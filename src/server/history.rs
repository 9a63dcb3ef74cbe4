//! Changes of the whole history, each on a thread of its own: the log is cut as a leader ordered, or a tree that a
//! leader sent takes the place of everything.
//!
//! Invariant: the tree in use changes after the disk has, never before, and the brain hears of it last.

use super::core::Core;
use super::disk::{Changed, DiskLog};
use super::shutdown;
use crate::rebuild::Rebuild;
use crate::replica::Input;
use crate::state::machine::Settings;
use crate::state::walk::Progress;
use crate::state::{Machine, SnapshotWalk, TreeView as _};
use crate::store::snapshots::PutNode;
use crate::store::{DiskCommand, SnapshotSource, StoreError};
use crate::types::{LinkId, SessionId, Zxid};
use jute::records::data::Acl;
use std::sync::Arc;

/// Nodes handed over at once. Nobody else waits for this tree.
const SLICE: u32 = 10_000;

/// Runs a change on a thread of its own. Without one the server cannot go on: its brain waits for the end.
fn on_a_thread(name: &str, work: impl FnOnce() -> Result<(), StoreError> + Send + 'static) {
    let run = move || {
        if let Err(error) = work() {
            shutdown::fatal(&error);
        }
    };
    if let Err(error) = std::thread::Builder::new().name(name.to_owned()).spawn(run) {
        tracing::error!("Cannot start a thread to change the history: {error}; stopping");
        shutdown::abort();
    }
}

/// Cuts the log behind `to`, and makes the tree from what is left.
pub(super) fn truncate(core: Arc<Core>, log: Arc<DiskLog>, settings: Settings, to: Zxid) {
    on_a_thread("truncate", move || {
        let guard = log.change_history();
        // Nothing but the end of the server answers differently.
        let Some(Changed::Cut(cut)) = guard.change(DiskCommand::TruncateAfter(to)) else { return Ok(()) };
        let Some(store) = log.store() else { return Ok(()) };
        let mut rebuild = Rebuild::new(settings);
        if cut.recoverable {
            let recovered = store.recover(&mut rebuild, &mut |_| {})?;
            for warning in &recovered.warnings {
                tracing::warn!("{warning}");
            }
            if recovered.last_zxid != cut.last {
                return Err(StoreError::Truncate {
                    to,
                    why: format!("what is left ends at {}", recovered.last_zxid),
                });
            }
        }
        tracing::info!("The log was cut behind {to}; the history ends at {}", cut.last);
        drop(core.replace_tree(rebuild.finish()));
        drop(guard);
        core.drive(|step| step.input(Input::Truncated(cut.last)));
        Ok(())
    });
}

/// Writes a tree that came from a leader, and puts it in place of the history and the tree in use.
pub(super) fn install(core: Arc<Core>, log: Arc<DiskLog>, link: LinkId, last: Zxid, machine: Machine) {
    on_a_thread("install", move || {
        let began = core.clock.mono();
        let guard = log.change_history();
        let Some(store) = log.store() else { return Ok(()) };
        let mut source = Whole { walk: SnapshotWalk::new(&machine), machine: &machine };
        let written = store.write_received(last, &mut source)?;
        drop(store);
        let Some(Changed::Begun) = guard.change(DiskCommand::Restart(last)) else { return Ok(()) };
        let took = core.clock.mono().0.saturating_sub(began.0);
        tracing::info!("Snapshot of the leader in place in {took} ms: {}", written.path.display());
        drop(core.replace_tree(machine));
        drop(guard);
        core.drive(|step| step.input(Input::Installed(link, last)));
        Ok(())
    });
}

/// A tree that nobody else sees.
struct Whole<'a> {
    machine: &'a Machine,
    walk: SnapshotWalk,
}

impl SnapshotSource for Whole<'_> {
    fn sessions(&mut self) -> Vec<(SessionId, i32)> {
        super::snapshotter::sessions(self.machine)
    }

    fn acls(&mut self) -> Vec<(i64, Vec<Acl<'static>>)> {
        super::snapshotter::acls(self.machine)
    }

    fn next_slice(&mut self, put: &mut PutNode<'_>) -> bool {
        self.walk.next_slice(self.machine, SLICE, put) == Progress::More
    }

    fn digest(&mut self) -> Option<(Zxid, i64)> {
        super::snapshotter::digest(self.machine)
    }

    fn last_zxid(&mut self) -> Option<Zxid> {
        self.machine.digest().map(|_| self.machine.last_zxid())
    }
}
