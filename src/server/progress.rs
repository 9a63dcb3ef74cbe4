//! How far a recovery is, shown: a bar on a terminal, lines elsewhere.

use crate::store::{Phase, Progress};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal as _;

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
