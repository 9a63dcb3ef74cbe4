//! Rule Z: a search for an order of the writes of one node that explains every answer, trusting no zxid
//! (Wing and Gong's, with Lowe's memory of dead ends).
//!
//! It guards against servers that lie about zxids, but consistently. Invariant: an operation whose outcome nobody
//! knows may have happened at any time after it was asked, or never.

use super::history::{Call, History, Op, Reply};
use std::collections::{BTreeMap, HashSet};

/// Longer pieces than this are cut where nothing was on its way.
const LIMIT: usize = 200;

/// The state of a node: its version, if it is there.
type State = Option<i32>;

#[derive(Debug, Clone, Copy)]
enum Asked {
    Create,
    Delete(i32),
    Set(i32),
}

#[derive(Debug, Clone, Copy)]
struct Item {
    invoke: u64,
    returned: u64,
    asked: Asked,
    /// What it was told: an error, or the version it made; `None` if nobody knows.
    told: Option<Result<i32, i32>>,
}

/// Searches the writes of every node. Returns how many operations were put in an order.
///
/// # Errors
/// A node whose answers no order explains.
pub fn all(history: &History) -> Result<usize, String> {
    let mut nodes: BTreeMap<&str, Vec<Item>> = BTreeMap::new();
    for call in &history.calls {
        collect(call, &mut nodes);
    }
    // Ephemerals go without being asked to, and sequential nodes come under names that nobody asked for: only
    // nodes that were asked for by their name, and stay, are searched.
    let mut lasting: BTreeMap<&str, bool> = BTreeMap::new();
    for call in &history.calls {
        if let Op::Create { path, ephemeral, sequential: false, .. } = &call.op {
            *lasting.entry(path).or_insert(true) &= !ephemeral;
        }
    }
    let mut searched = 0;
    for (path, mut items) in nodes {
        if !lasting.get(path).copied().unwrap_or(false) {
            continue;
        }
        items.sort_by_key(|i| i.invoke);
        let Some(piece) = piece(&items) else { continue };
        searched += piece.len();
        if !explained(piece) {
            return Err(format!("Z: no order of the writes of {path} explains their answers: {piece:?}"));
        }
    }
    Ok(searched)
}

fn collect<'h>(call: &'h Call, nodes: &mut BTreeMap<&'h str, Vec<Item>>) {
    let mut add = |path: &'h str, asked, told| {
        let returned = call.done.as_ref().map_or(u64::MAX, |d| d.at);
        nodes.entry(path).or_default().push(Item { invoke: call.invoke, returned, asked, told });
    };
    let told = |reply: &Reply, err: i32| match (err, reply) {
        (0, Reply::Stat(stat)) => Some(Ok(stat.version)),
        (0, _) => Some(Ok(0)),
        (err, _) => Some(Err(err)),
    };
    let done = call.done.as_ref();
    match &call.op {
        Op::Set { path, version, .. } => {
            add(path, Asked::Set(*version), done.and_then(|d| told(&d.reply, d.err)))
        }
        // A node with children cannot be created or deleted in a way that its version alone explains.
        Op::Create { path, sequential: false, .. } => {
            add(path, Asked::Create, done.and_then(|d| told(&d.reply, d.err)));
        }
        Op::Delete { path, version } => {
            add(path, Asked::Delete(*version), done.and_then(|d| told(&d.reply, d.err)));
        }
        Op::Multi(ops) => {
            let parts = match done.map(|d| &d.reply) {
                Some(Reply::Multi(parts)) => Some(parts),
                _ => None,
            };
            // A multi that failed has done nothing.
            if parts.is_some_and(|p| p.iter().any(|(err, _)| *err != 0)) || done.is_some_and(|d| d.err != 0) {
                return;
            }
            for (n, op) in ops.iter().enumerate() {
                let told = parts.and_then(|p| p.get(n)).and_then(|(err, reply)| told(reply, *err));
                match op {
                    Op::Set { path, version, .. } => add(path, Asked::Set(*version), told),
                    Op::Delete { path, version } => add(path, Asked::Delete(*version), told),
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

/// The longest front, up to the limit, that ends where nothing with an answer was on its way.
fn piece(items: &[Item]) -> Option<&[Item]> {
    if items.len() <= LIMIT {
        return Some(items);
    }
    let mut latest = 0;
    let mut cut = None;
    for (n, item) in items.iter().enumerate().take(LIMIT + 1) {
        if item.invoke > latest && n > 0 {
            cut = Some(n);
        }
        if item.returned != u64::MAX {
            latest = latest.max(item.returned);
        }
    }
    cut.and_then(|n| items.get(..n))
}

/// What an operation does to a state, if its answer allows it.
fn step(state: State, item: &Item) -> Vec<State> {
    let matches = |version: i32| state.is_some_and(|v| version == -1 || version == v);
    let done: Option<(State, i32)> = match item.asked {
        Asked::Create if state.is_none() => Some((Some(0), 0)),
        Asked::Create => None,
        Asked::Delete(version) => matches(version).then_some((None, 0)),
        Asked::Set(version) => state.filter(|_| matches(version)).map(|v| (Some(v + 1), v + 1)),
    };
    match item.told {
        Some(Ok(version)) => done.filter(|(_, v)| *v == version).map(|(s, _)| s).into_iter().collect(),
        Some(Err(err)) => {
            let fits = match err {
                -101 => state.is_none() || matches!(item.asked, Asked::Create),
                -103 => state.is_some() && done.is_none(),
                -110 => state.is_some(),
                // Children, sessions and the like are none of this search's business.
                _ => true,
            };
            if fits { vec![state] } else { Vec::new() }
        }
        None => done.map(|(s, _)| s).into_iter().chain([state]).collect(),
    }
}

fn explained(items: &[Item]) -> bool {
    let mut dead: HashSet<([u64; 4], State)> = HashSet::new();
    let mut budget = 200_000;
    let mut stack = vec![([0_u64; 4], None)];
    while let Some((taken, state)) = stack.pop() {
        if !dead.insert((taken, state)) {
            continue;
        }
        budget -= 1;
        if budget == 0 {
            return true;
        }
        let is_taken = |n: usize| taken[n / 64] >> (n % 64) & 1 == 1;
        let rest: Vec<usize> = (0..items.len()).filter(|n| !is_taken(*n)).collect();
        if rest.iter().all(|n| items[*n].told.is_none()) {
            return true;
        }
        let deadline = rest.iter().map(|n| items[*n].returned).min().unwrap_or(u64::MAX);
        for n in rest.into_iter().rev().filter(|n| items[*n].invoke <= deadline) {
            let mut next = taken;
            next[n / 64] |= 1 << (n % 64);
            stack.extend(step(state, &items[n]).into_iter().map(|s| (next, s)));
        }
    }
    false
}
