//! What the servers of an ensemble have logged, and which of it was committed.
//!
//! It reads files as they are left by servers that have stopped; it is no store. Invariant: what it leaves out was
//! passed over by a server that has logged what came before and what came after.

use crate::check::history::Logged;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A record is this much longer than its payload: checksum, length, and the mark behind it.
const FRAME: usize = 13;
const HEADER: usize = 16;
/// Of a payload: session, cxid, zxid, time and type.
const HEAD: usize = 32;

/// The committed transactions of all, as logs of server 0.
///
/// Logs may hold more: what a leader that died had told nobody. Such a record lies between two that others have
/// logged one right behind the other.
///
/// The reference notes in its own log what a part of a failed multi was asked to do, where it tells others only that it
/// failed. `lenient` takes the one for the other.
pub(crate) fn committed<'p>(
    folders: impl Iterator<Item = &'p Path>,
    lenient: bool,
) -> Result<Vec<Logged>, String> {
    let mut all: BTreeMap<i64, BTreeSet<Vec<u8>>> = BTreeMap::new();
    let mut steps: BTreeSet<(i64, i64)> = BTreeSet::new();
    for folder in folders {
        let snapshots = numbered(folder, "snapshot.")?;
        let mut last: Option<i64> = None;
        for (zxid, payload) in records(folder)? {
            if let Some(last) = last.filter(|last| *last >= zxid) {
                return Err(format!("{}: 0x{zxid:x} comes behind 0x{last:x}", folder.display()));
            }
            // A snapshot in between came from a leader, and with it what is missing here.
            let mut between = snapshots.range(last.map_or(i64::MIN, |last| last + 1)..zxid);
            let before = between.next_back().map(|(zxid, _)| *zxid).or(last);
            if let Some(before) = before.filter(|before| follows(zxid, *before)) {
                steps.insert((before, zxid));
            }
            last = Some(zxid);
            all.entry(zxid).or_default().insert(payload);
        }
    }
    // Steps within an epoch pass nothing over; only those into another epoch can.
    let leaps: Vec<(i64, i64)> = steps.into_iter().filter(|(before, after)| after - before > 1).collect();
    let passed_over = |zxid: i64| leaps.iter().any(|(before, after)| *before < zxid && zxid < *after);
    let mut log = Vec::with_capacity(all.len());
    for (zxid, payloads) in all {
        if passed_over(zxid) {
            continue;
        }
        let alike = payloads.iter().map(|p| p.get(..HEAD)).collect::<BTreeSet<_>>().len() == 1;
        let skipped = if lenient && alike { payloads.len() - 1 } else { 0 };
        for payload in payloads.into_iter().skip(skipped) {
            log.push(Logged { server: 0, zxid, payload });
        }
    }
    joined(&log, &leaps)?;
    Ok(log)
}

/// Every epoch must be seen to begin where the one before it ends: by some server that has logged both, or had the one
/// in a snapshot. Otherwise a log is lost that told more, and what is here may never have been committed.
fn joined(log: &[Logged], leaps: &[(i64, i64)]) -> Result<(), String> {
    for (before, after) in log.iter().zip(log.iter().skip(1)).map(|(a, b)| (a.zxid, b.zxid)) {
        if after >> 32 > before >> 32 && !leaps.contains(&(before, after)) {
            return Err(format!(
                "0x{after:x} is in no log right behind 0x{before:x}: a log that had what came before it was lost, \
                 and nothing can be judged"
            ));
        }
    }
    Ok(())
}

/// Is this the next one, in the same epoch or as the first of a later one?
fn follows(zxid: i64, last: i64) -> bool {
    zxid == last + 1 || (zxid >> 32 > last >> 32 && zxid & 0xffff_ffff == 1)
}

/// Files of this kind, by the zxids they are named after.
fn numbered(folder: &Path, kind: &str) -> Result<BTreeMap<i64, PathBuf>, String> {
    let place = folder.join("version-2");
    let entries = std::fs::read_dir(&place).map_err(|e| format!("{}: {e}", place.display()))?;
    let mut files = BTreeMap::new();
    for entry in entries.flatten() {
        let name = entry.file_name();
        if let Some(zxid) = name.to_str().and_then(|n| n.strip_prefix(kind))
            && let Ok(zxid) = i64::from_str_radix(zxid, 16)
        {
            files.insert(zxid, entry.path());
        }
    }
    Ok(files)
}

/// All sound records of a directory, in the order of its files.
fn records(folder: &Path) -> Result<Vec<(i64, Vec<u8>)>, String> {
    let files = numbered(folder, "log.")?;
    let mut found = Vec::new();
    for path in files.into_values() {
        let raw = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let mut at = HEADER;
        while let Some((zxid, payload)) = record(&raw, at) {
            at += payload.len() + FRAME;
            found.push((zxid, payload.to_vec()));
        }
    }
    Ok(found)
}

/// The record at this place, if there is one.
fn record(raw: &[u8], at: usize) -> Option<(i64, &[u8])> {
    let sum = u64::from_be_bytes(raw.get(at..at + 8)?.try_into().ok()?);
    let size = usize::try_from(i32::from_be_bytes(raw.get(at + 8..at + 12)?.try_into().ok()?)).ok()?;
    let payload = raw.get(at + 12..at + 12 + size)?;
    if size < 32 || raw.get(at + 12 + size) != Some(&0x42) || adler32(payload) != sum {
        return None;
    }
    let zxid = i64::from_be_bytes(payload.get(12..20)?.try_into().ok()?);
    Some((zxid, payload))
}

fn adler32(bytes: &[u8]) -> u64 {
    let (mut a, mut b) = (1_u32, 0_u32);
    for chunk in bytes.chunks(5552) {
        for byte in chunk {
            a += u32::from(*byte);
            b += a;
        }
        (a, b) = (a % 65521, b % 65521);
    }
    u64::from(b << 16 | a)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    /// Logs in one file, and snapshots, as a server leaves them.
    fn folder(home: &TempDir, name: &str, zxids: &[i64], snapshots: &[i64]) -> PathBuf {
        let place = home.path().join(name).join("version-2");
        std::fs::create_dir_all(&place).unwrap();
        let mut bytes = vec![0; HEADER];
        for zxid in zxids {
            let mut payload = vec![0; HEAD];
            payload[12..20].copy_from_slice(&zxid.to_be_bytes());
            bytes.extend_from_slice(&adler32(&payload).to_be_bytes());
            bytes.extend_from_slice(&(HEAD as i32).to_be_bytes());
            bytes.extend_from_slice(&payload);
            bytes.push(0x42);
        }
        std::fs::write(place.join(format!("log.{:x}", zxids[0])), bytes).unwrap();
        for zxid in snapshots {
            std::fs::write(place.join(format!("snapshot.{zxid:x}")), []).unwrap();
        }
        home.path().join(name)
    }

    const NEXT: i64 = 1 << 32 | 1;

    fn found(folders: &[PathBuf]) -> Result<Vec<i64>, String> {
        committed(folders.iter().map(PathBuf::as_path), false).map(|log| log.iter().map(|l| l.zxid).collect())
    }

    #[test]
    fn what_a_dead_leader_told_nobody_is_left_out() {
        let home = tempfile::tempdir().unwrap();
        let dead = folder(&home, "dead", &[1, 2, 3, 4], &[0]);
        let other = folder(&home, "other", &[1, 2, NEXT, NEXT + 1], &[0]);
        assert_eq!(found(&[dead.clone(), other]), Ok(vec![1, 2, NEXT, NEXT + 1]));
        // A leader's snapshot says the same, as long as it was taken there.
        let fresh = folder(&home, "fresh", &[NEXT], &[0, 2]);
        assert_eq!(found(&[dead, fresh]), Ok(vec![1, 2, NEXT]));
    }

    #[test]
    fn an_end_of_an_epoch_that_nobody_has_seen_is_not_judged() {
        let home = tempfile::tempdir().unwrap();
        let dead = folder(&home, "dead", &[1, 2, 3, 4], &[0]);
        let late = folder(&home, "late", &[NEXT + 5], &[0, NEXT + 4]);
        let why = found(&[dead.clone(), late.clone()]).unwrap_err();
        assert!(why.contains("is in no log right behind 0x4"), "{why}");
        let whole = folder(&home, "whole", &[4, NEXT], &[0, 3]);
        assert_eq!(found(&[dead, whole]), Ok(vec![1, 2, 3, 4, NEXT]));
    }

    #[test]
    fn a_snapshot_between_two_records_hides_no_step() {
        let home = tempfile::tempdir().unwrap();
        let all = folder(&home, "all", &[1, 2, 3, 4, NEXT], &[0]);
        let synced = folder(&home, "synced", &[1, NEXT], &[0, 4]);
        assert_eq!(found(&[all, synced]), Ok(vec![1, 2, 3, 4, NEXT]));
    }
}
