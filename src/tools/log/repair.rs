//! `quoll log repair`: keeps what is sound of a log, and says exactly what is lost.
//!
//! Nothing is destroyed. Without `--truncate` the sound part is written to a new file; with it the file is cut
//! after the whole of it was copied. Neither name begins with `log.`, because every server takes whatever
//! begins so for a log, whatever follows.

use super::examine::{Examination, examine};
use super::verify::lost;
use crate::store::files::Mode;
use crate::store::format::log::{HEADER_LEN, LogEnd};
use crate::store::format::names;
use crate::store::replay::repair_log;
use crate::store::{DataDir, Files, RealFiles, StoreOptions};
use crate::tools::cli::RepairArgs;
use crate::tools::clock;
use crate::tools::failure::{FINE, FOUND, Failure};
use crate::tools::io::{FileReader, FileWriter, copy};
use crate::tools::output::{Meter, Out, count, size};
use crate::tools::place::refuse_writers;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(in crate::tools) fn repair(out: &mut Out<'_>, args: &RepairArgs, limit: usize) -> Result<u8, Failure> {
    let path = &args.file;
    let found = examine(&RealFiles, path, limit)?;
    tell(out, &found)?;
    let cut = cut_at(&found);
    let mut written = None;
    let mut kept = None;
    let mut code = FINE;
    match cut {
        None => out.line("nothing to repair")?,
        Some(at) if args.truncate => {
            if !found.sound() && !args.accept_loss {
                return Err(Failure::Found(format!(
                    "{} is damaged at offset {at}, which is no torn tail: what is behind was acknowledged and would \
                     be lost; restore the file from a backup, or give --accept-loss as well",
                    path.display()
                )));
            }
            kept = Some(truncate(out, path, &found, limit)?);
        }
        Some(at) => {
            let target = args.output.clone().unwrap_or_else(|| beside(path, "repaired"));
            written = Some(write_sound(out, path, &target, at)?);
            code = if found.sound() { FINE } else { FOUND };
        }
    }
    out.document(&serde_json::json!({
        "log": found, "cut_at": cut, "written": written, "kept": kept,
        "truncated": kept.is_some(),
    }))?;
    Ok(code)
}

/// Where the sound part ends, unless it is all of the file.
fn cut_at(found: &Examination) -> Option<u64> {
    match found.log_end {
        _ if found.fault.is_some() => found.offset,
        Some(LogEnd::TornTail(at)) => Some(at),
        _ => None,
    }
}

fn tell(out: &mut Out<'_>, found: &Examination) -> Result<(), Failure> {
    let last = found.last.as_deref().unwrap_or("none");
    let sound = count(found.records, "sound transaction");
    let at = found.offset.unwrap_or_default();
    match (&found.fault, found.torn()) {
        (Some(why), _) => {
            out.line(format_args!("{}: DAMAGED at offset {at}: {why}", found.file))?;
            out.line(format_args!("  kept: {sound}, the last one {last}"))?;
            let behind = found.behind.as_ref().map_or_else(|| "whatever follows".to_owned(), lost);
            out.line(format_args!(
                "  lost: the transaction at the damage, and behind it {behind}; {} of the file",
                size(found.length.saturating_sub(at))
            ))
        }
        (None, true) => {
            out.line(format_args!("{}: torn tail at offset {at}", found.file))?;
            out.line(format_args!("  kept: {sound}, the last one {last}"))?;
            out.line("  lost: nothing that was acknowledged; the last write was never completed")
        }
        (None, false) => out.line(format_args!("{}: sound: {sound}, the last one {last}", found.file)),
    }
}

/// `repaired.log.5` beside `log.5`.
fn beside(path: &Path, prefix: &str) -> PathBuf {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_file_name(format!("{prefix}.{name}"))
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Copies the first `len` bytes, durably, to a file that must not be there yet.
fn copy_front(path: &Path, target: &Path, len: u64) -> Result<(), Failure> {
    let from = RealFiles.open(path, Mode::Read).map_err(|e| Failure::io("open", path, &e))?;
    let to = RealFiles.open(target, Mode::CreateNew).map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Failure::Unable(format!("{} is there already; move it away or name another", target.display()))
        }
        _ => Failure::io("create", target, &e),
    })?;
    let mut writer = FileWriter::new(to);
    let mut meter = Meter::new(format!("writing {}", target.display()), len);
    copy(&mut FileReader::new(from).take(len), &mut writer, &mut |n| meter.at(n))
        .and_then(|_| writer.sync())
        .and_then(|_| RealFiles.sync_dir(parent(target)))
        .map_err(|e| Failure::io("write", target, &e))
}

fn write_sound(out: &mut Out<'_>, path: &Path, target: &Path, at: u64) -> Result<PathBuf, Failure> {
    let name = target.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    if parent(target) == parent(path) && names::parse(name).is_some() {
        return Err(Failure::Unable(format!(
            "servers would take {} for a log or snapshot of their own; give another name or directory",
            target.display()
        )));
    }
    if at < HEADER_LEN as u64 {
        return Err(Failure::Found(format!(
            "{} has no sound header: there is nothing in it to keep; a log without any transaction can be moved away",
            path.display()
        )));
    }
    copy_front(path, target, at)?;
    out.line(format_args!("the sound part is in {} ({})", target.display(), size(at)))?;
    out.line(format_args!(
        "{} is as it was. To use the sound part: stop the server, move {0} out of the directory and give it this name",
        path.display()
    ))?;
    Ok(target.to_path_buf())
}

/// Cuts the file itself, with nobody at work on it, after a whole copy was made.
fn truncate(out: &mut Out<'_>, path: &Path, found: &Examination, limit: usize) -> Result<PathBuf, Failure> {
    let undecodable = found.log_end.is_some_and(|end| Some(end.offset()) != found.offset && !found.sound());
    if undecodable {
        return Err(Failure::Unable(format!(
            "the record at offset {} is whole under its checksum but is no transaction this release knows; it was \
             written so, and is not cut",
            found.offset.unwrap_or_default()
        )));
    }
    let folder = parent(path).to_path_buf();
    let lock = RealFiles.lock(&folder).map_err(|e| Failure::io("lock", &folder, &e))?;
    if lock.is_none() {
        let text = format!("{} is in use by a server: stop it first", folder.display());
        return Err(Failure::Unable(text));
    }
    refuse_writers(std::slice::from_ref(&folder))?;
    let copy = beside(path, &format!("before-repair-{}", clock::compact(clock::now())));
    copy_front(path, &copy, found.length)?;
    out.line(format_args!("the whole file is kept as {}", copy.display()))?;
    let mut options = StoreOptions::new(&folder, &folder);
    options.limit = limit;
    let mut dir = DataDir::unlocked(Arc::new(RealFiles), &options);
    // The file may lie anywhere; the note of what is durable is looked for beside it and nowhere else.
    dir.snaps.clone_from(&folder);
    dir.logs.clone_from(&folder);
    let end = repair_log(&dir, &options, path, !found.sound())?;
    out.line(format_args!("{} was cut at offset {}", path.display(), end.offset()))?;
    drop(lock);
    Ok(copy)
}
