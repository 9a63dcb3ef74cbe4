//! The report for people: a table of the files, what was found, and a verdict as the last line.

use super::examine::Report;
use crate::tools::failure::Failure;
use crate::tools::output::{Out, count, size, table};
use std::path::Path;

pub(super) fn tell(out: &mut Out<'_>, report: &Report) -> Result<(), Failure> {
    out.line(format_args!("dataDir     {}", report.data_dir))?;
    if report.log_dir != report.data_dir {
        out.line(format_args!("dataLogDir  {}", report.log_dir))?;
    }
    for user in &report.in_use_by {
        out.line(format_args!("in use by   {user}"))?;
    }
    if !report.snapshots.is_empty() || !report.logs.is_empty() {
        out.line("")?;
        for row in table(&rows(report), &[3]) {
            out.line(row)?;
        }
    }
    out.line("")?;
    for fact in facts(report) {
        out.line(fact)?;
    }
    for (kind, title) in [("damage", "Damage:"), ("note", "Notes:")] {
        let mut first = true;
        for finding in report.findings.iter().filter(|f| f.kind == kind) {
            if std::mem::take(&mut first) {
                out.line("")?;
                out.line(title)?;
            }
            out.line(format_args!("  - {}", finding.text))?;
        }
    }
    out.line("")?;
    out.line(verdict(report))
}

fn name(file: &str) -> String {
    Path::new(file).file_name().map_or_else(|| file.to_owned(), |n| n.to_string_lossy().into_owned())
}

fn rows(report: &Report) -> Vec<Vec<String>> {
    let mut rows = vec![["FILE", "ZXIDS", "CONTENT", "SIZE", "STATE"].map(str::to_owned).to_vec()];
    for s in &report.snapshots {
        let content = match s.sound() {
            true => format!("{}, {}", count(s.nodes, "node"), count(s.sessions, "session")),
            false => format!("{} readable", count(s.nodes, "node")),
        };
        let state = match &s.fault {
            None => format!("sound, {}", count(s.seals.into(), "checksum")),
            Some(_) => "DAMAGED".to_owned(),
        };
        rows.push(vec![name(&s.file), s.zxid.clone().unwrap_or_default(), content, size(s.length), state]);
    }
    for log in &report.logs {
        let range = match (&log.first, &log.last) {
            (Some(first), Some(last)) => format!("{first} - {last}"),
            _ => "none".to_owned(),
        };
        let at = log.offset.unwrap_or_default();
        let state = match (&log.fault, log.torn()) {
            (Some(_), _) => format!("DAMAGED at offset {at}"),
            (None, true) => format!("sound, torn tail at offset {at}"),
            (None, false) => "sound".to_owned(),
        };
        let content = count(log.records, "transaction");
        rows.push(vec![name(&log.file), range, content, size(log.length), state]);
    }
    rows
}

fn facts(report: &Report) -> Vec<String> {
    let start = &report.start;
    let mut lines = Vec::new();
    if start.succeeds {
        let from = start.snapshot.as_deref().unwrap_or("an empty database");
        lines.push(format!(
            "start       {from} and {} lead to {}: {}, {}",
            count(start.transactions, "transaction"),
            start.zxid.as_deref().unwrap_or("nothing"),
            count(start.nodes, "node"),
            count(start.sessions, "session")
        ));
        if let Some(digest) = &start.digest {
            let agree = match start.digest_mismatches {
                0 => "every transaction's own agrees".to_owned(),
                n => format!("{n} transactions' own DISAGREE"),
            };
            lines.push(format!("digest      {digest}, {agree}"));
        }
    } else {
        lines.push("start       refused".to_owned());
    }
    lines.push(match (report.accepted_epoch, report.current_epoch) {
        (Some(accepted), Some(current)) => format!("epochs      accepted {accepted}, current {current}"),
        _ if report.findings.iter().any(|f| f.text.contains("ensemble refuses")) => {
            "epochs      unusable".to_owned()
        }
        _ => "epochs      none, as a standalone server has it".to_owned(),
    });
    lines.push(match &report.my_id {
        Some(id) => format!("myid        {id}"),
        None => "myid        none".to_owned(),
    });
    lines
}

fn verdict(report: &Report) -> String {
    let zxid = report.start.zxid.as_deref().unwrap_or("0x0");
    let damages = report.findings.iter().filter(|f| f.kind == "damage").count() as u64;
    match (&report.start.refusal, report.sound) {
        (Some(_), _) => "VERDICT     damaged: a server refuses to start".to_owned(),
        (None, false) => {
            format!("VERDICT     {} found, yet a server starts, with zxid {zxid}", count(damages, "problem"))
        }
        (None, true) if report.snapshots.is_empty() && report.logs.is_empty() => {
            "VERDICT     empty: there is no database yet".to_owned()
        }
        (None, true) => format!("VERDICT     sound: a server starts with zxid {zxid}"),
    }
}
