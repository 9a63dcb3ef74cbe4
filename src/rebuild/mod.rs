//! The state that a recovery builds: what the store reads back goes into a loader, then into the machine it becomes.
//!
//! It reads no file and knows no settings but the state's. Invariant: between two attempts of a recovery nothing of the
//! first is left.

use crate::state::machine::Settings;
use crate::state::{Loader, Machine};
use crate::store::{Restore, Trailer};
use crate::types::limits::REQUEST_OVERHEAD;
use crate::types::{Entry, Millis, SessionId, Zxid};
use bytes::Bytes;
use jute::records::data::{Acl, StatPersisted};
use std::collections::VecDeque;

/// How many of the newest transactions are kept: the oldest go while there are more than so many *and* more bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Transactions.
    pub txns: usize,
    /// Their bytes, with what each costs besides.
    pub bytes: usize,
}

/// A state being rebuilt.
#[derive(Debug)]
pub struct Rebuild {
    settings: Settings,
    loader: Option<Loader>,
    machine: Option<Machine>,
    /// The newest transactions of the log, for learners that are a little behind.
    recent: VecDeque<Entry>,
    recent_bytes: usize,
    /// How many of them anybody wants.
    window: Option<Window>,
}

impl Rebuild {
    /// Nothing yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, loader: None, machine: None, recent: VecDeque::new(), recent_bytes: 0, window: None }
    }

    /// The same, and the newest transactions are kept.
    #[must_use]
    pub fn keeping(settings: Settings, window: Window) -> Self {
        Self { window: Some(window), ..Self::new(settings) }
    }

    /// The newest transactions, in order.
    pub fn take_recent(&mut self) -> VecDeque<Entry> {
        std::mem::take(&mut self.recent)
    }

    /// The state that came of it: an empty one if nothing came.
    #[must_use]
    pub fn finish(mut self) -> Machine {
        self.machine();
        self.machine.unwrap_or_else(|| Machine::new(self.settings))
    }

    /// The state, if a snapshot or a transaction came.
    #[must_use]
    pub fn machine_found(self) -> Option<Machine> {
        self.machine
    }

    fn keep(&mut self, entry: Entry, window: Window) {
        self.recent_bytes += entry.payload.len() + REQUEST_OVERHEAD;
        // Out of the piece of file that was read, of which it would keep all.
        self.recent.push_back(Entry { payload: Bytes::copy_from_slice(&entry.payload), ..entry });
        while self.recent.len() > window.txns && self.recent_bytes > window.bytes {
            let Some(old) = self.recent.pop_front() else { break };
            self.recent_bytes -= old.payload.len() + REQUEST_OVERHEAD;
        }
    }

    fn loader(&mut self) -> &mut Loader {
        let settings = self.settings;
        self.loader.get_or_insert_with(|| Loader::new(settings))
    }

    fn machine(&mut self) -> &mut Machine {
        let (settings, loader) = (self.settings, &mut self.loader);
        self.machine.get_or_insert_with(|| match loader.take() {
            Some(loader) => loader.finish(0),
            None => Machine::new(settings),
        })
    }
}

impl Restore for Rebuild {
    fn clear(&mut self) {
        *self = Self { window: self.window, ..Self::new(self.settings) };
    }

    fn session(&mut self, id: SessionId, timeout: i32) {
        self.loader().session(id, Millis(i64::from(timeout)));
    }

    fn acl(&mut self, id: i64, list: &[Acl<'_>]) -> Result<(), String> {
        self.loader().acl(id, list);
        Ok(())
    }

    fn node(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        acl: i64,
        stat: &StatPersisted,
    ) -> Result<(), String> {
        self.loader().node(path, data, acl, stat).map_err(|e| e.to_string())
    }

    fn snapshot(&mut self, zxid: Zxid, trailer: &Trailer) -> Result<(), String> {
        let mut loader = self.loader.take().unwrap_or_else(|| Loader::new(self.settings));
        if let Some(digest) = &trailer.digest {
            loader.digest(digest.zxid.0, digest.value.cast_unsigned());
        }
        self.machine = Some(loader.finish(zxid.0));
        Ok(())
    }

    fn txn(&mut self, entry: Entry) -> Result<(), String> {
        self.machine().replay(&entry.payload).map_err(|e| e.to_string())?;
        if let Some(window) = self.window {
            self.keep(entry, window);
        }
        Ok(())
    }
}
