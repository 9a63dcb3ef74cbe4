//! One log file: its records, whether they follow each other, and how it ends.

use super::salvage::{Behind, behind};
use crate::state::DecodedTxn;
use crate::store::Files;
use crate::store::format::log::{HEADER_LEN, LogEnd, Scanned, Why};
use crate::store::format::names;
use crate::store::log_reader::{LogCursor, Next, follows};
use crate::store::replay::{mark_beside, with_mark};
use crate::tools::failure::Failure;
use crate::tools::output::Meter;
use crate::types::Zxid;
use serde::Serialize;
use std::path::Path;

/// Oddities told of one file at most.
const NOTES: usize = 20;

/// What a log holds, and what is wrong with it.
#[derive(Debug, Serialize)]
pub(in crate::tools) struct Examination {
    pub(in crate::tools) file: String,
    pub(in crate::tools) length: u64,
    /// Bytes that hold header and sound records; the rest is padding, a tear or damage.
    pub(in crate::tools) used: u64,
    pub(in crate::tools) records: u64,
    pub(in crate::tools) first: Option<String>,
    pub(in crate::tools) last: Option<String>,
    /// Milliseconds since 1970 of the first and the last record.
    pub(in crate::tools) times: Option<[i64; 2]>,
    /// `clean`, `torn` or `damaged`.
    pub(in crate::tools) end: &'static str,
    /// What is damaged.
    pub(in crate::tools) fault: Option<String>,
    /// Where the tear or the damage is.
    pub(in crate::tools) offset: Option<u64>,
    /// Sound records behind the damage: what cutting there would lose, as far as it can still be read.
    pub(in crate::tools) behind: Option<Behind>,
    /// Worth knowing, and no damage of this file.
    pub(in crate::tools) notes: Vec<String>,
    #[serde(skip)]
    pub(in crate::tools) log_end: Option<LogEnd>,
    #[serde(skip)]
    pub(in crate::tools) range: Option<(Zxid, Zxid)>,
    /// Inside the file: the last transaction before a gap and the first one behind it.
    #[serde(skip)]
    pub(in crate::tools) gaps: Vec<(Zxid, Zxid)>,
}

impl Examination {
    pub(in crate::tools) fn sound(&self) -> bool {
        self.fault.is_none()
    }

    pub(in crate::tools) fn torn(&self) -> bool {
        matches!(self.log_end, Some(LogEnd::TornTail(_)))
    }
}

/// Reads one file record by record; the second value says how it ends.
pub(super) fn walk(
    files: &dyn Files,
    path: &Path,
    limit: usize,
    visit: &mut dyn FnMut(&Scanned) -> Result<(), Failure>,
) -> Result<(LogEnd, u64), Failure> {
    let mark = mark_beside(files, path);
    let mut cursor = LogCursor::open(files, path, limit)?;
    while let Next::Record(record) = cursor.step()? {
        visit(&record)?;
    }
    Ok((with_mark(cursor.judge()?, cursor.file_len(), mark), cursor.file_len()))
}

/// Reads all of it.
pub(in crate::tools) fn examine(
    files: &dyn Files,
    path: &Path,
    limit: usize,
) -> Result<Examination, Failure> {
    let length = files
        .open(path, crate::store::files::Mode::Read)
        .and_then(|f| f.len())
        .map_err(|e| Failure::io("open", path, &e))?;
    let mut meter = Meter::new(format!("checking {}", path.display()), length);
    let mut facts = Facts::default();
    let (end, length) = walk(files, path, limit, &mut |record| {
        facts.record(record);
        meter.at(record.offset);
        Ok(())
    })?;
    meter.finish();
    let mut fault = None;
    let mut at = None;
    let mut beyond = None;
    let name = match end {
        LogEnd::Clean(_) => "clean",
        LogEnd::TornTail(offset) => {
            at = Some(offset);
            "torn"
        }
        LogEnd::Corrupt(offset, why) => {
            at = Some(offset);
            fault = Some(why.to_string());
            if why != Why::Magic || length > HEADER_LEN as u64 {
                beyond = Some(behind(files, path, offset, limit)?);
            }
            "damaged"
        }
    };
    if let Some((offset, why)) = facts.undecodable
        && at.is_none_or(|at| offset < at)
    {
        at = Some(offset);
        fault = Some(why);
    }
    let file_name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    if let (Some(named), Some((first, _))) = (names::log_zxid(file_name), facts.range)
        && named != first
    {
        facts.notes.push(format!("the name says that it begins with {named}, and it begins with {first}"));
    }
    Ok(Examination {
        file: path.display().to_string(),
        length,
        used: end.offset(),
        records: facts.records,
        first: facts.range.map(|r| r.0.to_string()),
        last: facts.range.map(|r| r.1.to_string()),
        times: facts.times,
        end: if fault.is_some() { "damaged" } else { name },
        fault,
        offset: at,
        behind: beyond,
        notes: facts.notes,
        log_end: Some(end),
        range: facts.range,
        gaps: facts.gaps,
    })
}

#[derive(Default)]
struct Facts {
    records: u64,
    /// First and last zxid.
    range: Option<(Zxid, Zxid)>,
    times: Option<[i64; 2]>,
    notes: Vec<String>,
    undecodable: Option<(u64, String)>,
    gaps: Vec<(Zxid, Zxid)>,
}

impl Facts {
    fn record(&mut self, record: &Scanned) {
        self.records += 1;
        match DecodedTxn::parse(&record.payload) {
            Ok(txn) => self.times = Some([self.times.map_or(txn.header.time, |t| t[0]), txn.header.time]),
            Err(why) if self.undecodable.is_none() => {
                let text = format!("{} is no transaction: {why}", record.zxid);
                self.undecodable = Some((record.offset, text));
            }
            Err(_) => {}
        }
        if let Some((_, last)) = self.range
            && !follows(last, record.zxid)
            && self.notes.len() < NOTES
        {
            let next = record.zxid;
            if next > last {
                self.gaps.push((last, next));
            }
            let what = if next > last { "transactions are missing" } else { "out of order" };
            self.notes.push(format!("{what} at offset {}: {last} is followed by {next}", record.offset));
        }
        let first = self.range.map_or(record.zxid, |r| r.0);
        self.range = Some((first, record.zxid));
    }
}
