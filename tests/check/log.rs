//! Rules A and X: one log on all servers, and one state behind it.

use super::history::History;
use super::txn::Txn;
use std::collections::BTreeMap;

/// The log that all servers agree on, in order.
///
/// # Errors
/// Two transactions under one zxid, a gap, or one that cannot be read.
pub fn agreed(history: &History) -> Result<Vec<Txn>, String> {
    let mut all: BTreeMap<i64, (&[u8], i64)> = BTreeMap::new();
    let complete = history.logs.iter().any(|l| l.server == 0);
    for logged in history.logs.iter().filter(|l| l.server == 0 || !complete) {
        let (payload, server) = *all.entry(logged.zxid).or_insert((&logged.payload, logged.server));
        if payload != logged.payload {
            return Err(format!(
                "A: servers {server} and {} have different transactions as 0x{:x}",
                logged.server, logged.zxid
            ));
        }
    }
    // Where the whole order is known, every server's log must be a piece of it.
    let mut before: BTreeMap<i64, i64> = BTreeMap::new();
    for logged in history.logs.iter().filter(|l| l.server != 0) {
        if all.get(&logged.zxid).is_none_or(|(payload, _)| *payload != logged.payload) {
            return Err(format!(
                "A: server {} has 0x{:x}, which is not in the order",
                logged.server, logged.zxid
            ));
        }
        if before.insert(logged.server, logged.zxid).is_some_and(|last| last >= logged.zxid) {
            return Err(format!("A: the log of server {} goes back to 0x{:x}", logged.server, logged.zxid));
        }
    }
    let mut log = Vec::with_capacity(all.len());
    let mut last: Option<i64> = None;
    for (zxid, (payload, _)) in all {
        let txn = Txn::read(payload).map_err(|e| format!("A: 0x{zxid:x}: {e}"))?;
        if txn.zxid != zxid {
            return Err(format!("A: the transaction at 0x{zxid:x} says it is 0x{:x}", txn.zxid));
        }
        if let Some(last) = last {
            let (epoch, counter) = (zxid >> 32, zxid & 0xffff_ffff);
            if zxid != last + 1 && !(epoch > last >> 32 && counter == 1) {
                return Err(format!("A: 0x{zxid:x} does not follow 0x{last:x}"));
            }
        }
        last = Some(zxid);
        log.push(txn);
    }
    Ok(log)
}

/// Equal states at equal zxids.
///
/// # Errors
/// Two servers that differ.
pub fn replicas(history: &History) -> Result<(), String> {
    let mut seen: BTreeMap<i64, (u64, u64, i64)> = BTreeMap::new();
    for digest in &history.digests {
        let (tree, rest, server) =
            *seen.entry(digest.zxid).or_insert((digest.tree, digest.rest, digest.server));
        if tree != digest.tree {
            return Err(format!(
                "X: the trees of servers {server} and {} differ at 0x{:x}",
                digest.server, digest.zxid
            ));
        }
        if rest != digest.rest {
            return Err(format!(
                "X: sessions or access lists of servers {server} and {} differ at 0x{:x}",
                digest.server, digest.zxid
            ));
        }
    }
    Ok(())
}
