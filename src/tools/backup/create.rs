//! `quoll backup`

use super::archive::{self, Nowhere};
use super::copy::{self, Copied};
use super::manifest::{self, Manifest};
use super::{Proof, Staging, parent, prove};
use crate::store::files::Kind;
use crate::store::format::names::FOLDER;
use crate::store::{DataDir, Files, RealFiles};
use crate::tools::cli::BackupArgs;
use crate::tools::clock;
use crate::tools::failure::{FINE, Failure};
use crate::tools::output::{Out, count, size};
use crate::tools::place::{Place, writers};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How often a copy is begun while a server is at work. What is really damaged is so every time.
const ATTEMPTS: u32 = 5;

pub(in crate::tools) fn backup(out: &mut Out<'_>, args: &BackupArgs, limit: usize) -> Result<u8, Failure> {
    let place = Place::new(&args.data_dir, args.log_dir.as_deref(), limit);
    let dir = place.open(Arc::new(RealFiles))?;
    place.refuse_strays(&RealFiles)?;
    let target = &args.target;
    check_target(target, &place)?;
    let now = clock::now();
    let in_use = !writers(&place.folders()).is_empty();

    let mut attempts = 0;
    let (staging, copied, proof) = loop {
        let staging = Staging::make(beside(target, &format!("partial-{}", clock::compact(now))))?;
        attempts += 1;
        match proven(&dir, &staging, &place, in_use) {
            Ok((copied, proof)) => break (staging, copied, proof),
            // A server at work may purge what is being copied; from its newest snapshot on it can be tried again.
            Err(_) if in_use && attempts < ATTEMPTS => drop(staging),
            Err(failure) => return Err(failure),
        }
    };
    for text in &copied.passed_over {
        out.line(format_args!("note: {text}"))?;
    }
    let manifest = Manifest {
        format: Manifest::FORMAT,
        created: clock::iso(now),
        by: format!("quoll {}", crate::report::version::OWN),
        zxid: proof.zxid.to_string(),
        snapshot: copied.snapshot.clone(),
        transactions: proof.transactions,
        nodes: proof.nodes,
        sessions: proof.sessions,
        digest: proof.digest.clone(),
        my_id: my_id(&place),
        files: copied.files.clone(),
    };
    copy::write_small(&staging.path.join(manifest::NAME), &manifest.encode()?)?;
    RealFiles.sync_dir(&staging.path).map_err(|e| Failure::io("sync", &staging.path, &e))?;
    publish(&staging, &manifest, now, target)?;
    tell(out, &copied, &manifest, target, in_use)?;
    Ok(FINE)
}

/// A copy, and what a server would make of it.
fn proven(dir: &DataDir, staging: &Staging, place: &Place, in_use: bool) -> Result<(Copied, Proof), Failure> {
    let limit = place.options.limit;
    let folder = staging.path.join(FOLDER);
    RealFiles.create_dirs(&folder).map_err(|e| Failure::io("create", &folder, &e))?;
    let copied = copy::take(dir, &folder, limit, in_use)?;
    let proof = prove(&Place::new(&staging.path, None, limit), &place.data)?;
    if proof.zxid == copied.last {
        return Ok((copied, proof));
    }
    Err(Failure::Found(format!(
        "the copy leads to {}, but {} was copied: transactions between are missing in {}",
        proof.zxid,
        copied.last,
        dir.logs.display()
    )))
}

fn check_target(target: &Path, place: &Place) -> Result<(), Failure> {
    let exists = RealFiles.kind(target).map_err(|e| Failure::io("look at", target, &e))?;
    if exists.is_some() {
        return Err(Failure::Unable(format!(
            "{} is there already; a backup never replaces anything: name a new one",
            target.display()
        )));
    }
    let home = parent(target);
    if !matches!(RealFiles.kind(home), Ok(Some(Kind::Dir))) {
        return Err(Failure::Unable(format!("{} is no directory: create it first", home.display())));
    }
    let inside = |folder: &PathBuf| match (home.canonicalize(), folder.canonicalize()) {
        (Ok(home), Ok(folder)) => home.starts_with(folder),
        _ => false,
    };
    if place.folders().iter().any(inside) {
        return Err(Failure::Unable(format!(
            "{} lies inside the server's own files: put backups elsewhere, best on another disk",
            target.display()
        )));
    }
    Ok(())
}

fn beside(target: &Path, suffix: &str) -> PathBuf {
    let name = target.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    target.with_file_name(format!(".{name}.{suffix}"))
}

fn my_id(place: &Place) -> Option<String> {
    let bytes = RealFiles.read(&place.data.join("myid"), 256).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    Some(text.lines().next()?.trim().to_owned())
}

/// Gives the proven copy its final name, as a directory or packed. A packed one is read back first.
fn publish(staging: &Staging, manifest: &Manifest, now: i64, target: &Path) -> Result<(), Failure> {
    let mut ready = staging.path.clone();
    if archive::is_name(target) {
        ready = staging.path.join("archive");
        archive::pack(&staging.path, manifest, now, &ready)?;
        if archive::unpack(&ready, &mut Nowhere)? != *manifest {
            return Err(Failure::Unable(format!("{} was not written as it should be", ready.display())));
        }
    }
    RealFiles
        .rename(&ready, target)
        .and_then(|()| RealFiles.sync_dir(parent(target)))
        .map_err(|e| Failure::io("rename the finished backup to", target, &e))
}

fn tell(
    out: &mut Out<'_>,
    copied: &Copied,
    manifest: &Manifest,
    target: &Path,
    in_use: bool,
) -> Result<(), Failure> {
    let bytes: u64 = manifest.files.iter().map(|f| f.length).sum();
    let logs = manifest.files.iter().filter(|f| f.name.starts_with("log.")).count() as u64;
    out.line(format_args!(
        "{}: complete up to zxid {} ({}, {} of {}, {})",
        target.display(),
        manifest.zxid,
        copied.snapshot,
        count(manifest.transactions, "transaction"),
        count(logs, "log"),
        size(bytes)
    ))?;
    out.line(format_args!(
        "verified by recovering from the copy: {}, {}, digest {}",
        count(manifest.nodes, "node"),
        count(manifest.sessions, "session"),
        manifest.digest.as_deref().unwrap_or("none")
    ))?;
    if in_use {
        out.line("a server was at work meanwhile; what it wrote after that zxid is not in the backup")?;
    }
    out.document(&serde_json::json!({
        "target": target, "complete": true, "verified": true, "server_running": in_use,
        "passed_over": copied.passed_over, "manifest": manifest,
    }))
}
