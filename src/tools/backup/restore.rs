//! `quoll restore`: checks the backup, builds the new directory beside the old one, recovers from it once, and
//! only then lets them change places.

use super::archive::{self, Destination};
use super::manifest::{self, Held, Manifest};
use super::swap::{self, BARRIER};
use super::{Proof, Staging, copy, parent, prove};
use crate::store::epochs::{self, EpochFile};
use crate::store::files::{File, Kind, Lock, Mode};
use crate::store::format::epoch;
use crate::store::format::names::{self, FOLDER};
use crate::store::{DataDir, Files, RealFiles};
use crate::tools::cli::RestoreArgs;
use crate::tools::clock;
use crate::tools::failure::{FINE, Failure};
use crate::tools::output::{Out, count};
use crate::tools::place::{Place, refuse_writers};
use crate::types::Epoch;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(in crate::tools) fn restore(out: &mut Out<'_>, args: &RestoreArgs, limit: usize) -> Result<u8, Failure> {
    let place = Place::new(&args.data_dir, args.log_dir.as_deref(), limit);
    let kind = RealFiles.kind(&args.backup).map_err(|e| Failure::io("look at", &args.backup, &e))?;
    let Some(kind) = kind else {
        return Err(Failure::Unable(format!("there is no backup {}", args.backup.display())));
    };
    let locks = keep_servers_out(&place, &place.folders())?;
    for home in [&place.data, &place.logs] {
        RealFiles.create_dirs(home).map_err(|e| Failure::io("create", home, &e))?;
    }
    let time = clock::compact(clock::now());
    let staged = Staged::make(&place, &time, limit)?;
    let manifest = match kind {
        Kind::Dir => staged.fill_from_directory(&args.backup)?,
        Kind::File => archive::unpack(&args.backup, &mut &staged)?,
    };
    let kept_promise = settle_epochs(&place, &staged.place, &manifest)?;
    staged.sync()?;
    let proof = prove(&staged.place, &args.backup)?;
    if proof.zxid.to_string() != manifest.zxid {
        return Err(Failure::Found(format!(
            "the backup {} leads to {} and not to {}, as it says",
            args.backup.display(),
            proof.zxid,
            manifest.zxid
        )));
    }
    // Whoever comes while the places are exchanged finds the new directories locked too.
    let new_locks = keep_servers_out(&staged.place, &staged.place.folders())?;
    let kept = exchange(&place, &staged, &time)?;
    drop((locks, new_locks));
    tell(out, &place, &manifest, &proof, &kept, kept_promise)?;
    Ok(FINE)
}

/// Locks the folders that are there, and looks for servers that know nothing of locks.
fn keep_servers_out(place: &Place, folders: &[PathBuf]) -> Result<Vec<Box<dyn Lock>>, Failure> {
    let mut locks = Vec::new();
    for folder in folders {
        if !matches!(RealFiles.kind(folder), Ok(Some(Kind::Dir))) {
            continue;
        }
        match RealFiles.lock(folder) {
            Ok(Some(lock)) => locks.push(lock),
            Ok(None) => {
                return Err(Failure::Unable(format!(
                    "{} is in use by a server: stop it first",
                    folder.display()
                )));
            }
            Err(e) => return Err(Failure::io("lock", folder, &e)),
        }
    }
    refuse_writers(folders)?;
    let pid_file = place.data.join("zookeeper_server.pid");
    let pid = RealFiles.read(&pid_file, 64).ok().and_then(|b| String::from_utf8(b).ok());
    if let Some(pid) = pid.and_then(|t| t.trim().parse::<u32>().ok())
        && matches!(RealFiles.kind(&PathBuf::from(format!("/proc/{pid}"))), Ok(Some(_)))
    {
        return Err(Failure::Unable(format!(
            "{} names process {pid}, which is running: stop that server first, or remove the file if it is another's",
            pid_file.display()
        )));
    }
    Ok(locks)
}

/// The new directories, under names that no server looks at.
struct Staged {
    place: Place,
    dirs: Vec<Staging>,
}

impl Staged {
    fn make(place: &Place, time: &str, limit: usize) -> Result<Self, Failure> {
        let name = format!("restore-{time}.partial");
        let mut dirs = vec![Staging::make(place.data.join(&name))?];
        if place.apart() {
            dirs.push(Staging::make(place.logs.join(&name))?);
        }
        let logs = place.apart().then(|| place.logs.join(&name));
        let staged = Place::new(&place.data.join(&name), logs.as_deref(), limit);
        for folder in staged.folders() {
            RealFiles.create_dirs(&folder).map_err(|e| Failure::io("create", &folder, &e))?;
        }
        Ok(Self { place: staged, dirs })
    }

    /// Where a file of the backup goes.
    fn path(&self, name: &str) -> PathBuf {
        let log = names::log_zxid(name).is_some();
        if log { self.place.log_folder().join(name) } else { self.place.snapshots().join(name) }
    }

    fn fill_from_directory(&self, backup: &Path) -> Result<Manifest, Failure> {
        let path = backup.join(manifest::NAME);
        let bytes = RealFiles.read(&path, manifest::LIMIT).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => Failure::Unable(format!(
                "{} is no backup: there is no {} in it",
                backup.display(),
                manifest::NAME
            )),
            _ => Failure::io("read", &path, &e),
        })?;
        let manifest = Manifest::decode(&bytes, backup)?;
        for held in &manifest.files {
            let from = backup.join(FOLDER).join(&held.name);
            let damaged = |why: &str| {
                Failure::Found(format!(
                    "the backup {} is damaged: {} {why}",
                    backup.display(),
                    from.display()
                ))
            };
            if !matches!(RealFiles.kind(&from), Ok(Some(Kind::File))) {
                return Err(damaged("is missing"));
            }
            let seal = copy::copy_file(&from, &self.path(&held.name))?;
            if !held.matches(&seal) {
                return Err(damaged("does not have the length and checksum that it had"));
            }
        }
        Ok(manifest)
    }

    fn sync(&self) -> Result<(), Failure> {
        for folder in self.place.folders() {
            for dir in [&*folder, parent(&folder)] {
                RealFiles.sync_dir(dir).map_err(|e| Failure::io("sync", dir, &e))?;
            }
        }
        Ok(())
    }
}

/// Writes a file, and is durable once it was flushed.
struct Durable {
    file: Box<dyn File>,
    offset: u64,
}

impl Write for Durable {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.file.write_at(self.offset, buf)?;
        self.offset += buf.len() as u64;
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.sync_all()
    }
}

impl Destination for &Staged {
    fn open(&mut self, name: &str) -> Result<Box<dyn Write + '_>, Failure> {
        let path = self.path(name);
        let file = RealFiles.open(&path, Mode::CreateNew).map_err(|e| Failure::io("create", &path, &e))?;
        Ok(Box::new(Durable { file, offset: 0 }))
    }
}

/// The epoch files of the restored server: the history's epoch is the backup's, but a promise that this server
/// once made to a leader is kept, whatever it forgets otherwise. Returns that promise if it was needed.
fn settle_epochs(place: &Place, staged: &Place, manifest: &Manifest) -> Result<Option<Epoch>, Failure> {
    let new = DataDir::unlocked(Arc::new(RealFiles), &staged.options);
    let mut promised = None;
    if matches!(RealFiles.kind(&place.snapshots()), Ok(Some(Kind::Dir))) {
        let old = DataDir::unlocked(Arc::new(RealFiles), &place.options);
        // What cannot be read cannot be kept; a server with such a file did not start either.
        promised = epochs::read(&old, EpochFile::Accepted).ok().flatten();
    }
    let accepted = epochs::read(&new, EpochFile::Accepted)?;
    let member = accepted.is_some() || manifest.file(names::CURRENT_EPOCH).is_some();
    match promised {
        Some(promise) if accepted.is_none_or(|accepted| promise > accepted) => {
            if !member {
                // From a standalone server: its epoch is that of its last transaction.
                let zxid = i64::from_str_radix(manifest.zxid.trim_start_matches("0x"), 16).unwrap_or(0);
                let current = Epoch(zxid >> 32);
                let path = staged.snapshots().join(names::CURRENT_EPOCH);
                copy::write_small(&path, &epoch::encode(current))?;
                let promise = promise.max(current);
                epochs::save(&new, EpochFile::Accepted, promise)?;
                return Ok(Some(promise));
            }
            epochs::save(&new, EpochFile::Accepted, promise)?;
            Ok(Some(promise))
        }
        _ => Ok(None),
    }
}

/// Old and new change places; returns where the old ones are.
fn exchange(place: &Place, staged: &Staged, time: &str) -> Result<Vec<PathBuf>, Failure> {
    let mut kept = Vec::new();
    let logs = place.log_folder();
    let there = matches!(RealFiles.kind(&logs), Ok(Some(Kind::Dir)));
    let barrier = place.apart() && there;
    if barrier {
        let path = logs.join(BARRIER);
        if matches!(RealFiles.kind(&path), Ok(None)) {
            copy::write_small(&path, b"")?;
        }
        RealFiles.sync_dir(&logs).map_err(|e| Failure::io("sync", &logs, &e))?;
    }
    // Where no old logs are that the barrier could stand among, the new logs go first.
    let mut order: Vec<(PathBuf, PathBuf)> =
        staged.place.folders().into_iter().zip(place.folders()).collect();
    if !barrier {
        order.reverse();
    }
    for (new, at) in order {
        let aside = swap::aside(&at, time);
        let swapped = swap::swap(&new, &at, &aside).map_err(|undone| {
            if undone.stranded {
                staged.dirs.iter().for_each(Staging::keep);
            }
            undone.failure
        })?;
        if swapped {
            kept.push(aside);
        }
    }
    for path in kept.iter().map(|aside| aside.join(BARRIER)) {
        match RealFiles.remove(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(Failure::io("remove", &path, &e));
            }
            _ => {}
        }
    }
    Ok(kept)
}

fn tell(
    out: &mut Out<'_>,
    place: &Place,
    manifest: &Manifest,
    proof: &Proof,
    kept: &[PathBuf],
    kept_promise: Option<Epoch>,
) -> Result<(), Failure> {
    out.line(format_args!(
        "{} holds the backup of {}: zxid {}, {}, {}, digest {}",
        place.data.display(),
        manifest.created,
        proof.zxid,
        count(proof.nodes, "node"),
        count(proof.sessions, "session"),
        proof.digest.as_deref().unwrap_or("none")
    ))?;
    for aside in kept {
        out.line(format_args!("what was there is kept as {}", aside.display()))?;
    }
    if let Some(epoch) = kept_promise {
        out.line(format_args!(
            "acceptedEpoch stays {}, which this server had promised to a leader",
            epoch.0
        ))?;
    }
    let member = manifest.files.iter().map(|f: &Held| &*f.name).any(|n| n == names::CURRENT_EPOCH);
    if member || kept_promise.is_some() {
        out.line(
            "this was a member of an ensemble: restore every member from the same backup while all are stopped, or the \
             others bring back their newer history",
        )?;
    }
    if let Some(id) = &manifest.my_id
        && matches!(RealFiles.kind(&place.data.join("myid")), Ok(None))
    {
        out.line(format_args!("there is no myid here; the server of the backup had {id}"))?;
    }
    out.document(&serde_json::json!({
        "data_dir": place.data, "log_dir": place.logs, "zxid": manifest.zxid, "nodes": proof.nodes,
        "sessions": proof.sessions, "digest": proof.digest, "kept": kept,
        "accepted_epoch_kept": kept_promise.map(|e| e.0),
    }))
}
