//! Judges of histories. They know the records of the wire and nothing of the server, so that histories of real
//! processes can be judged by the same code.
//!
//! The rules have letters: A log agreement, B durability, C linearizable writes, D FIFO sessions, R reads, S sync,
//! W watches, E ephemerals and sessions, M multi and sequences, X equal replicas, and Z: the small search for
//! an order that trusts no zxid. Invariant: a judge only reads; the first breach is named with its letter.

pub mod calls;
pub mod history;
pub mod log;
pub mod model;
pub mod search;
pub mod txn;
pub mod watches;

use history::History;
use std::collections::BTreeSet;

/// What a judge must know of the run.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// Microseconds of one tick; 0 leaves expiry out of the judgement.
    pub tick: u64,
    /// Servers that take the zxid of a header before they look: a reply may show any state since the last one.
    pub early_zxid: BTreeSet<i64>,
    /// Servers whose sync no quorum confirms.
    pub loose_sync: BTreeSet<i64>,
}

/// How much was judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Judged {
    /// Transactions in the agreed log.
    pub txns: usize,
    /// Requests with an answer.
    pub calls: usize,
    /// Reads compared with a state.
    pub reads: usize,
    /// Events whose cause was found.
    pub events: usize,
    /// Events that had to come, and did.
    pub due: usize,
    /// Operations put in an order by search.
    pub searched: usize,
}

/// Everything that must hold.
///
/// # Errors
/// The first thing that does not, with the letter of its rule.
pub fn all(history: &History, terms: &Terms) -> Result<Judged, String> {
    let log = log::agreed(history)?;
    log::replicas(history)?;
    let mut judged = Judged { txns: log.len(), ..Judged::default() };
    calls::durable(history, &log)?;
    calls::ordered_writes(history)?;
    judged.calls = calls::fifo(history)?;
    calls::synced(history, terms)?;
    let touched = calls::replay(history, &log, terms, &mut judged)?;
    watches::all(history, &touched, &mut judged)?;
    calls::expiry(history, &log, terms)?;
    judged.searched = search::all(history)?;
    Ok(judged)
}
