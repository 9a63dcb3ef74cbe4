//! What there is to find out about a server's directories.

use super::leftovers::leftovers;
use crate::state::TreeView as _;
use crate::store::files::Kind;
use crate::store::format::names;
use crate::store::log_reader::follows;
use crate::store::{Files, Recovered, snapshots};
use crate::tools::failure::Failure;
use crate::tools::observe::Intent;
use crate::tools::place::{Place, User, writers};
use crate::tools::rehearse::{Rehearsal, rehearse};
use crate::tools::{log, snapshot};
use crate::types::Zxid;
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A running server writes while it is looked at: what seems wrong then is looked at again, so many times.
const ATTEMPTS: u32 = 5;

/// And after this pause.
const PAUSE: Duration = Duration::from_millis(200);

/// Something the operator should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// `damage` or `note`.
    pub(super) kind: &'static str,
    pub(super) text: String,
}

/// What a start would come to.
#[derive(Debug, Default, Serialize)]
pub(super) struct Start {
    /// A server starts on these directories.
    pub(super) succeeds: bool,
    /// Why it refuses.
    pub(super) refusal: Option<String>,
    pub(super) snapshot: Option<String>,
    pub(super) transactions: u64,
    pub(super) zxid: Option<String>,
    pub(super) nodes: u64,
    pub(super) sessions: u64,
    pub(super) digest: Option<String>,
    /// Transactions whose own digest differs from that of the tree they led to.
    pub(super) digest_mismatches: u64,
}

/// Everything.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) data_dir: String,
    pub(super) log_dir: String,
    /// Servers at work on the directories, as far as they can be seen.
    pub(super) in_use_by: Vec<String>,
    pub(super) snapshots: Vec<snapshot::Examination>,
    pub(super) logs: Vec<log::Examination>,
    pub(super) start: Start,
    pub(super) accepted_epoch: Option<i64>,
    pub(super) current_epoch: Option<i64>,
    pub(super) my_id: Option<String>,
    pub(super) findings: Vec<Finding>,
    /// No damage was found.
    pub(super) sound: bool,
}

impl Report {
    fn damage(&mut self, text: impl Into<String>) {
        self.findings.push(Finding { kind: "damage", text: text.into() });
    }

    pub(super) fn note(&mut self, text: impl Into<String>) {
        self.findings.push(Finding { kind: "note", text: text.into() });
    }
}

pub(super) fn examine(place: &Place, log_dir_given: bool) -> Result<Report, Failure> {
    examine_used(place, log_dir_given, Arc::new(crate::store::RealFiles), &writers(&place.folders()))
}

fn examine_used(
    place: &Place,
    log_dir_given: bool,
    files: Arc<dyn Files>,
    users: &[User],
) -> Result<Report, Failure> {
    let mut report = Report {
        data_dir: place.data.display().to_string(),
        log_dir: place.logs.display().to_string(),
        in_use_by: users.iter().map(User::to_string).collect(),
        ..Report::default()
    };
    directories(place, &files, log_dir_given, &mut report)?;
    each_snapshot(place, &files, &mut report)?;
    each_log(place, &files, !users.is_empty(), &mut report)?;
    let epoch_file = |name| matches!(files.kind(&place.snapshots().join(name)), Ok(Some(_)));
    let member = epoch_file(names::ACCEPTED_EPOCH) || epoch_file(names::CURRENT_EPOCH);
    continuity(&mut report, member);
    start(place, &files, !users.is_empty(), &mut report);
    my_id(place, &files, &mut report);
    leftovers(place, &files, &mut report)?;
    report.sound = report.findings.iter().all(|f| f.kind != "damage");
    Ok(report)
}

fn directories(
    place: &Place,
    files: &Arc<dyn Files>,
    log_dir_given: bool,
    report: &mut Report,
) -> Result<(), Failure> {
    let dir = place.open(Arc::clone(files))?;
    for stray in place.strays(&**files)? {
        report.damage(format!(
            "{} does not belong there, and servers refuse to start: check which directory is dataDir and which is \
             dataLogDir",
            stray.display()
        ));
    }
    let begun = dir.snapshot_files()?.iter().any(|s| s.zxid > Zxid::ZERO);
    if begun && !log_dir_given && dir.log_files()?.is_empty() {
        report
            .note("there are snapshots and no logs: if the server has a dataLogDir, give it with --log-dir");
    }
    Ok(())
}

fn each_snapshot(place: &Place, files: &Arc<dyn Files>, report: &mut Report) -> Result<(), Failure> {
    let dir = place.open(Arc::clone(files))?;
    for file in dir.snapshot_files()?.into_iter().rev() {
        let looked = snapshot::Source::open(Arc::clone(files), &file.path, place.options.limit)
            .and_then(|source| snapshot::examine(&source));
        let complete = snapshots::quick_check(&dir, &file);
        if gone(&**files, &file.path) {
            continue;
        }
        let mut found = looked?;
        if let (Some(why), false) = (&found.fault, complete) {
            found.fault = Some(format!("it was never finished, or was cut ({why})"));
        } else if !complete {
            found.fault = Some("it does not end as a snapshot does".to_owned());
        }
        if let Some(why) = &found.fault {
            let at =
                found.offset.map(|o| format!(" at offset {o} of the unpacked stream")).unwrap_or_default();
            report.damage(format!(
                "{}{at}: {why}. Servers pass it over; if a start succeeds all the same, move it away, or else restore \
                 it from a backup",
                found.file
            ));
        }
        for note in &found.notes {
            report.note(format!("{}: {note}", found.file));
        }
        report.snapshots.push(found);
    }
    Ok(())
}

fn each_log(place: &Place, files: &Arc<dyn Files>, in_use: bool, report: &mut Report) -> Result<(), Failure> {
    let dir = place.open(Arc::clone(files))?;
    let logs = dir.log_files()?;
    for (n, file) in logs.iter().enumerate() {
        let examined = || log::examine(&**files, &file.path, place.options.limit);
        let settled = |looked: &Result<log::Examination, _>| {
            matches!(looked, Ok(found) if found.sound()) || gone(&**files, &file.path)
        };
        let looked = again(in_use, examined, settled);
        if gone(&**files, &file.path) {
            continue;
        }
        let found = looked?;
        let newest = n + 1 == logs.len();
        let at = found.offset.unwrap_or_default();
        if let Some(why) = &found.fault {
            let behind = found.behind.as_ref().map_or(0, |b| b.records);
            report.damage(format!(
                "{} is damaged at offset {at}: {why}; {behind} sound records follow. `quoll log repair {0}` tells what \
                 is lost by cutting it",
                found.file
            ));
        } else if found.torn() && newest && in_use {
            report.note(format!("{}: a write is going on at offset {at}", found.file));
        }
        for note in &found.notes {
            report.note(format!("{}: {note}", found.file));
        }
        report.logs.push(found);
    }
    // Asked from the newest on: a purge takes old ones first, so what it takes meanwhile leaves no gap.
    report.logs.reverse();
    report.logs.retain(|log| !gone(&**files, Path::new(&log.file)));
    report.logs.reverse();
    Ok(())
}

/// Once more, and again, while a server is at work and the answer is a bad one.
fn again<T>(in_use: bool, mut ask: impl FnMut() -> T, good: impl Fn(&T) -> bool) -> T {
    let mut answer = ask();
    for _ in 1..ATTEMPTS {
        if !in_use || good(&answer) {
            break;
        }
        std::thread::sleep(PAUSE);
        answer = ask();
    }
    answer
}

/// A purge may have taken it since it was listed, at any moment: to be asked behind a look, not before.
fn gone(files: &dyn Files, path: &Path) -> bool {
    matches!(files.kind(path), Ok(None))
}

/// Does each log go on where the one before ended?
///
/// A member of an ensemble may have gaps that are as they should be: where the leader sent it a snapshot. A
/// standalone server has none.
fn continuity(report: &mut Report, member: bool) {
    let newest = report.snapshots.iter().filter(|s| s.sound()).filter_map(|s| s.name_zxid).max();
    let mut gaps: Vec<(Zxid, Zxid)> = Vec::new();
    let mut overlaps = Vec::new();
    let mut last: Option<(Zxid, String)> = None;
    for log in &report.logs {
        let Some((first, end)) = log.range else { continue };
        if let Some((before, file)) = &last {
            if first <= *before {
                overlaps.push(format!("{} begins with {first}, but {file} goes up to {before}", log.file));
            } else if !follows(*before, first) {
                gaps.push((*before, first));
            }
        }
        gaps.extend(&log.gaps);
        if last.as_ref().is_none_or(|(before, _)| end > *before) {
            last = Some((end, log.file.clone()));
        }
    }
    for overlap in overlaps {
        report.note(format!(
            "{overlap}: servers apply what comes twice twice; a copy under a name that begins with `log.` should be \
             moved away"
        ));
    }
    for (before, behind) in gaps {
        let text = format!("transactions between {before} and {behind} are in no log");
        let covered = newest.is_some_and(|s| s >= behind || follows(s, behind));
        if covered && member {
            report.note(format!(
                "{text}: a newer snapshot covers them, as after a snapshot from the leader; older snapshots are of no use"
            ));
        } else if covered {
            report.damage(format!(
                "{text}: a log file was deleted or cut. A newer snapshot covers them; put the file back if older \
                 snapshots are to be of use"
            ));
        } else {
            report.damage(format!("{text}: a log file was deleted or cut; put it back"));
        }
    }
}

fn start(place: &Place, files: &Arc<dyn Files>, in_use: bool, report: &mut Report) {
    let rehearsed = || rehearse(place, Arc::clone(files));
    let Rehearsal { outcome, machine, epochs, intents } =
        again(in_use, rehearsed, |r| r.outcome.is_ok() && !matches!(r.epochs, Some(Err(_))));
    match outcome {
        Ok(found) => started(report, found, intents, in_use),
        Err(why) => {
            let text = why.to_string();
            report.start.refusal = Some(text.clone());
            // Exchanged directories and the like were told of already.
            report.damage(format!("a server refuses to start: {text}"));
        }
    }
    if let Some(machine) = machine.filter(|_| report.start.succeeds) {
        report.start.nodes = machine.node_count() as u64;
        report.start.sessions = machine.sessions().len() as u64;
        report.start.digest = machine.digest().map(|d| format!("{d:x}"));
        report.start.digest_mismatches = machine.digest_mismatches();
        if report.start.digest_mismatches > 0 {
            report.note(format!(
                "{} of the replayed transactions carry another digest than the tree had: this server and its leader \
                 had diverged; compare with another member, and fetch a snapshot from it if they differ",
                report.start.digest_mismatches
            ));
        }
    }
    match epochs {
        Some(Ok(both)) => {
            report.accepted_epoch = Some(both.accepted.0);
            report.current_epoch = Some(both.current.0);
        }
        Some(Err(why)) => {
            report.start.succeeds = false;
            report.start.refusal.get_or_insert_with(|| why.to_string());
            report.damage(format!("a member of an ensemble refuses to start: {why}"));
        }
        None => {}
    }
}

fn started(report: &mut Report, found: Recovered, intents: Vec<Intent>, in_use: bool) {
    report.start.succeeds = true;
    let name = |p: &Path| p.file_name().map(|n| n.to_string_lossy().into_owned());
    report.start.snapshot = found.snapshot.as_ref().and_then(|s| name(&s.path));
    report.start.transactions = found.txns;
    report.start.zxid = Some(found.last_zxid.to_string());
    if let Some(reach) = found.uncovered {
        report.damage(format!(
            "the snapshot holds effects of transactions up to {reach}, but the logs end at {}: the tree is a mixture; \
             put the missing log back, or let this server fetch a snapshot from the ensemble",
            found.last_zxid
        ));
    }
    if found.trusted_empty {
        report.note("there is no snapshot; the logs are taken for the whole history");
    }
    if found.last_zxid < Zxid::ZERO {
        report.note(
            "there is no database, and a server with these files may not begin one: it does not vote until a leader \
             has sent it a snapshot",
        );
    }
    for intent in intents {
        match intent {
            Intent::Cut(..) if in_use => {}
            Intent::Cut(path, at) => report.note(format!(
                "{} ends with a write that was never completed; nothing acknowledged is lost; the next start cuts it \
                 at offset {at}",
                path.display()
            )),
            Intent::Remove(path) if names::parse(&file_name(&path)).is_some() => report.note(format!(
                "{} holds no transaction; the next start removes it (Apache ZooKeeper may refuse to start with it)",
                path.display()
            )),
            Intent::Remove(path) => {
                report.note(format!("{}: the next start removes it", path.display()));
            }
            Intent::Write(path) => {
                report.note(format!("{}: the next start writes it", path.display()));
            }
        }
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The longest `myid` that makes sense.
const MY_ID_LIMIT: usize = 256;

fn my_id(place: &Place, files: &Arc<dyn Files>, report: &mut Report) {
    let path = place.data.join("myid");
    if !matches!(files.kind(&path), Ok(Some(Kind::File))) {
        return;
    }
    let text = files.read(&path, MY_ID_LIMIT).map(|b| String::from_utf8_lossy(&b).into_owned());
    let line = text.as_ref().map(|t| t.lines().next().unwrap_or_default().trim().to_owned());
    match line {
        Ok(line) if line.parse::<i64>().is_ok_and(|id| (0..=255).contains(&id)) => report.my_id = Some(line),
        Ok(line) => report.damage(format!(
            "{} holds {line:?}, which is no server id from 0 to 255: write the number of this server's `server.N` line \
             into it",
            path.display()
        )),
        Err(e) => report.damage(format!("{} cannot be read: {e}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::format::snapshot as stream;
    use crate::tools::meanwhile::{Meanwhile, log_of};

    #[test]
    fn a_purge_at_any_moment_is_no_damage() {
        let user = User { pid: 1, name: "server".into() };
        for call in 0.. {
            let home = tempfile::tempdir().unwrap();
            let folder = home.path().join(names::FOLDER);
            std::fs::create_dir(&folder).unwrap();
            for n in 0..6 {
                std::fs::write(folder.join(format!("snapshot.{n}")), stream::empty()).unwrap();
            }
            for n in 1..=6 {
                std::fs::write(folder.join(format!("log.{n}")), log_of(n..=n)).unwrap();
            }
            let purge = move || {
                for n in 0..4 {
                    std::fs::remove_file(folder.join(format!("snapshot.{n}"))).unwrap();
                }
                for n in 1..=3 {
                    std::fs::remove_file(folder.join(format!("log.{n}"))).unwrap();
                }
            };
            let files = Arc::new(Meanwhile::new(call, purge));
            let place = Place::new(home.path(), None, 1 << 20);
            let looking: Arc<dyn Files> = Arc::clone(&files) as _;
            let report = examine_used(&place, false, looking, std::slice::from_ref(&user)).unwrap();
            assert!(report.sound && report.start.succeeds, "at call {call}: {:#?}", report.findings);
            if !files.happened() {
                assert!(call > 30, "only {call} calls");
                break;
            }
        }
    }
}
