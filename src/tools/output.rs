//! What a tool says: lines for people or JSON for programs on standard output, progress on standard error.

use super::failure::Failure;
use crate::store::{Phase, Progress};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::fmt;
use std::io::{self, IsTerminal as _, Write};

/// Where answers go.
pub(super) struct Out<'w> {
    to: &'w mut dyn Write,
    /// JSON is wanted.
    pub(super) json: bool,
}

impl<'w> Out<'w> {
    pub(super) fn new(to: &'w mut dyn Write, json: bool) -> Self {
        Self { to, json }
    }

    /// A line for people; none when JSON is wanted.
    pub(super) fn line(&mut self, text: impl fmt::Display) -> Result<(), Failure> {
        if self.json {
            return Ok(());
        }
        writeln!(self.to, "{text}").map_err(|e| Failure::output(&e))
    }

    /// A value on a line of its own; none when people read.
    pub(super) fn value(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        if !self.json {
            return Ok(());
        }
        serde_json::to_writer(&mut *self.to, value).map_err(|e| Failure::output(&e.into()))?;
        writeln!(self.to).map_err(|e| Failure::output(&e))
    }

    /// A value over several lines; none when people read.
    pub(super) fn document(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        if !self.json {
            return Ok(());
        }
        serde_json::to_writer_pretty(&mut *self.to, value).map_err(|e| Failure::output(&e.into()))?;
        writeln!(self.to).map_err(|e| Failure::output(&e))
    }

    /// Everything said is out.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        self.to.flush().map_err(|e| Failure::output(&e))
    }
}

/// How often a log tells of long work.
const EVERY_BYTES: u64 = 256 * 1024 * 1024;

/// Work below this is over before a bar would be read.
const WORTH_SHOWING: u64 = 32 * 1024 * 1024;

/// Shows how far long work is: a bar on a terminal, a line now and then elsewhere.
pub(super) struct Meter {
    bar: Option<ProgressBar>,
    what: String,
    total: u64,
    told: u64,
}

impl Meter {
    /// Work on `total` bytes.
    pub(super) fn new(what: impl Into<String>, total: u64) -> Self {
        let what = what.into();
        let bar = (total >= WORTH_SHOWING && io::stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template("{msg} {bar:40} {bytes}/{total_bytes} {eta}");
            let bar = ProgressBar::new(total);
            bar.set_message(what.clone());
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar, what, total, told: 0 }
    }

    /// So many bytes are done.
    pub(super) fn at(&mut self, bytes: u64) {
        match &self.bar {
            Some(bar) => {
                bar.set_length(self.total.max(bytes));
                bar.set_position(bytes);
            }
            None if bytes >= self.told.saturating_add(EVERY_BYTES) => {
                self.told = bytes;
                eprintln!("{}: {} of {} MiB", self.what, bytes >> 20, self.total.max(bytes) >> 20);
            }
            None => {}
        }
    }

    /// A recovery is so far.
    pub(super) fn recovery(&mut self, at: Progress) {
        let what = match at.phase {
            Phase::Snapshot => "loading the snapshot",
            Phase::Log => "replaying the logs",
        };
        if self.what != what {
            self.finish();
            *self = Self::new(what, at.total);
        }
        self.at(at.bytes);
    }

    /// Takes the bar away.
    pub(super) fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.finish();
    }
}

/// A length as people read it, with one decimal from a KiB on.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut tenths = bytes.saturating_mul(10) / 1024;
    for unit in UNITS {
        if tenths < 10_240 || unit == "TiB" {
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
        tenths /= 1024;
    }
    format!("{bytes} B")
}

/// `1 node`, `2 nodes`.
pub(super) fn count(n: u64, one: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {one}{plural}")
}

/// A table: columns as wide as their widest cell, the first `left` of them to the left, the rest to the right.
pub(super) fn table(rows: &[Vec<String>], right: &[usize]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|t| t.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    rows.iter()
        .map(|row| {
            let cells: Vec<String> =
                row.iter()
                    .zip(&widths)
                    .enumerate()
                    .map(|(c, (cell, width))| {
                        if right.contains(&c) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
                    })
                    .collect();
            cells.join("  ").trim_end().to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_048_575, "1023.9 KiB"),
            (67_108_880, "64.0 MiB"),
            (u64::MAX, "1677721.5 TiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
        assert_eq!((count(1, "node"), count(0, "node")), ("1 node".into(), "0 nodes".into()));
    }

    #[test]
    fn tables() {
        let rows = vec![vec!["a".into(), "1".into()], vec!["bcd".into(), "22".into()]];
        assert_eq!(table(&rows, &[1]), ["a     1", "bcd  22"]);
    }

    #[test]
    fn people_and_programs_read_different_things() {
        let (mut people, mut programs) = (Vec::new(), Vec::new());
        for (to, json) in [(&mut people, false), (&mut programs, true)] {
            let mut out = Out::new(to, json);
            out.line("text").unwrap();
            out.value(&1).unwrap();
        }
        assert_eq!((people, programs), (b"text\n".to_vec(), b"1\n".to_vec()));
    }
}
