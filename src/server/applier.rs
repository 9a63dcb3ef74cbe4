//! A thread that applies what was committed while the log's thread has more to write. The log's thread applies by
//! itself when it has nothing else to do, which is sooner; with more at hand, the disk and the tree work side by side.
//!
//! Invariant: whoever applies has the `applying` lock, so it does not matter who it is.

use super::core::Core;
use std::sync::{OnceLock, Weak};
use std::thread::Thread;

/// The thread, once there is something to apply to.
#[derive(Debug, Default)]
pub(super) struct Applier(OnceLock<Thread>);

impl Applier {
    /// Starts it. Without it everything is applied where it is reported.
    pub(super) fn start(&self, core: Weak<Core>) {
        match std::thread::Builder::new().name("apply".to_owned()).spawn(move || run(&core)) {
            Ok(started) => _ = self.0.set(started.thread().clone()),
            Err(error) => tracing::warn!("Cannot start a thread to apply with: {error}; going on without"),
        }
    }

    /// Has it look. False: there is none.
    pub(super) fn wake(&self) -> bool {
        let thread = self.0.get();
        thread.inspect(|thread| thread.unpark()).is_some()
    }
}

impl Drop for Applier {
    fn drop(&mut self) {
        // The server is gone; it sees that, and ends.
        self.wake();
    }
}

fn run(core: &Weak<Core>) {
    loop {
        std::thread::park();
        let Some(core) = core.upgrade() else { return };
        core.apply_ready();
    }
}
