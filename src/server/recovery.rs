//! From the disk to a state: what the store reads back goes into a loader, then into the machine it becomes.

use crate::replica::zab::ledger::RECENT_BYTES;
use crate::state::machine::Settings;
use crate::state::{Loader, Machine};
use crate::store::{Phase, Progress, Restore, Trailer};
use crate::types::limits::{COMMITTED_RING, REQUEST_OVERHEAD};
use crate::types::{Entry, Millis, SessionId, Zxid};
use bytes::Bytes;
use indicatif::{ProgressBar, ProgressStyle};
use jute::records::data::{Acl, StatPersisted};
use std::collections::VecDeque;
use std::io::IsTerminal as _;

/// A state being rebuilt.
#[derive(Debug)]
pub(super) struct Rebuild {
    settings: Settings,
    loader: Option<Loader>,
    machine: Option<Machine>,
    /// The newest transactions of the log, for learners that are a little behind.
    recent: VecDeque<Entry>,
    recent_bytes: usize,
    /// Whether anybody wants them.
    keeps: bool,
}

impl Rebuild {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, loader: None, machine: None, recent: VecDeque::new(), recent_bytes: 0, keeps: false }
    }

    /// The same, and the newest transactions are kept.
    pub(super) fn keeping(settings: Settings) -> Self {
        Self { keeps: true, ..Self::new(settings) }
    }

    /// The newest transactions, in order.
    pub(super) fn take_recent(&mut self) -> VecDeque<Entry> {
        std::mem::take(&mut self.recent)
    }

    fn keep(&mut self, entry: Entry) {
        self.recent_bytes += entry.payload.len() + REQUEST_OVERHEAD;
        // Out of the window that was read, of which it would keep all.
        self.recent.push_back(Entry { payload: Bytes::copy_from_slice(&entry.payload), ..entry });
        while self.recent.len() > COMMITTED_RING && self.recent_bytes > RECENT_BYTES {
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

    pub(super) fn finish(mut self) -> Machine {
        self.machine();
        self.machine.unwrap_or_else(|| Machine::new(self.settings))
    }
}

impl Restore for Rebuild {
    fn clear(&mut self) {
        self.machine = None;
        self.loader = None;
        self.recent.clear();
        self.recent_bytes = 0;
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
        if self.keeps {
            self.keep(entry);
        }
        Ok(())
    }
}

/// How often a log tells of a long load.
const EVERY_BYTES: u64 = 256 * 1024 * 1024;

/// Shows how far a load is: a bar on a terminal, a line now and then elsewhere.
pub(super) struct Meter {
    bar: Option<ProgressBar>,
    told: u64,
}

impl Meter {
    pub(super) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{msg:9} {bar:40} {bytes}/{total_bytes} {eta}");
            ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar, told: 0 }
    }

    pub(super) fn show(&mut self, at: Progress) {
        let (what, items) = match at.phase {
            Phase::Snapshot => ("snapshot", "znodes"),
            Phase::Log => ("log", "transactions"),
        };
        match &self.bar {
            Some(bar) => {
                bar.set_message(what);
                bar.set_length(at.total.max(at.bytes));
                bar.set_position(at.bytes);
            }
            None if at.bytes < self.told => self.told = at.bytes,
            None if at.bytes - self.told >= EVERY_BYTES => {
                self.told = at.bytes;
                tracing::info!(
                    "Loading {what}: {} {items}, {} of {} MiB",
                    at.items,
                    at.bytes >> 20,
                    at.total >> 20
                );
            }
            None => {}
        }
    }

    pub(super) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
