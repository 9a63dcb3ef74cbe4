//! The one lock around the state: many readers or one writer, and beside it the watches with their own.
//!
//! Whatever must be seen together happens inside one closure: a read with its registration and the place of
//! its reply in the outbox; a transaction with its events and its reply. Nothing in here awaits.

use super::machine::Machine;
use super::watch::Watches;
use parking_lot::RwLock;

/// The state as tasks share it.
#[derive(Debug)]
pub struct Shared {
    machine: RwLock<Machine>,
    watches: Watches,
}

impl Shared {
    /// Around a state; `seed` is for the watches.
    #[must_use]
    pub fn new(machine: Machine, seed: u64) -> Self {
        Self { machine: RwLock::new(machine), watches: Watches::new(seed) }
    }

    /// Looks, together with others.
    pub fn read<R>(&self, f: impl FnOnce(&Machine) -> R) -> R {
        f(&self.machine.read())
    }

    /// Changes, alone. One caller in the server: the apply loop.
    pub fn write<R>(&self, f: impl FnOnce(&mut Machine) -> R) -> R {
        f(&mut self.machine.write())
    }

    /// Puts another state in, as after a snapshot from the leader. The old one comes back, so that its end
    /// does not happen under the lock.
    pub fn replace(&self, machine: Machine) -> Machine {
        std::mem::replace(&mut *self.machine.write(), machine)
    }

    /// The watches.
    pub fn watches(&self) -> &Watches {
        &self.watches
    }
}
