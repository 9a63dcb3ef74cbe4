//! Rules B, C, D, S, R, M and E: what clients were told, against the log and against each other.

use super::history::{Call, Done, History, Op, Reply};
use super::model::{Model, Touch};
use super::txn::{Change, Txn};
use super::{Judged, Terms};
use std::collections::{BTreeMap, HashMap};

const NO_NODE: i32 = -101;

fn is_write(op: &Op) -> bool {
    matches!(
        op,
        Op::Create { .. } | Op::Delete { .. } | Op::Set { .. } | Op::Multi(_) | Op::Close | Op::Reconfig(_)
    )
}

fn name(call: &Call) -> String {
    format!("call {} of session 0x{:x} at server {}: {:?}", call.xid, call.session, call.server, call.op)
}

/// Does this transaction do what was asked?
fn fits(op: &Op, change: &Change) -> bool {
    match (op, change) {
        (Op::Create { path, data, ephemeral, sequential }, Change::Create(made, d, e, _)) => {
            data == d
                && ephemeral == e
                && if *sequential { made.starts_with(path.as_str()) } else { made == path }
        }
        (Op::Delete { path, .. }, Change::Delete(p)) => path == p,
        (Op::Set { path, data, .. }, Change::Set(p, d, _)) => path == p && data == d,
        (Op::Check { path, .. }, Change::Check(p)) => path == p,
        (Op::Close, Change::Close(_)) | (Op::Reconfig(_), Change::Reconfig(_)) => true,
        (Op::Multi(ops), Change::Multi(parts)) => {
            ops.len() == parts.len() && ops.iter().zip(parts).all(|(op, part)| fits(op, part))
        }
        _ => false,
    }
}

/// The error of a multi: its parts tell.
fn multi_failed(reply: &Reply) -> bool {
    matches!(reply, Reply::Multi(parts) if parts.iter().any(|(err, _)| *err != 0))
}

/// B: what was acknowledged is in the log, once, as it was asked; what failed changed nothing.
///
/// # Errors
/// The first write that is lost, doubled or changed.
pub fn durable(history: &History, log: &[Txn]) -> Result<(), String> {
    let mut by_request: HashMap<(i64, i32), &Txn> = HashMap::with_capacity(log.len());
    for txn in log.iter().filter(|t| t.cxid > 0) {
        if let Some(first) = by_request.insert((txn.session, txn.cxid), txn) {
            return Err(format!(
                "B: request {} of session 0x{:x} is in the log twice, as 0x{:x} and 0x{:x}",
                txn.cxid, txn.session, first.zxid, txn.zxid
            ));
        }
    }
    for call in history.calls.iter().filter(|c| is_write(&c.op)) {
        let logged = by_request.get(&(call.session, call.xid));
        let failed_multi = |t: &Txn| matches!(&t.change, Change::Multi(parts) if parts.iter().any(|p| matches!(p, Change::Error(_))));
        let Some(done) = &call.done else {
            // Nobody knows whether it was done; if it was, then as it was asked.
            match logged {
                Some(txn)
                    if !matches!(txn.change, Change::Error(_))
                        && !failed_multi(txn)
                        && !fits(&call.op, &txn.change) =>
                {
                    return Err(format!("B: {} became {:?}", name(call), txn.change));
                }
                _ => continue,
            }
        };
        if done.err == 0 && !multi_failed(&done.reply) {
            let Some(txn) = logged else {
                return Err(format!("B: {} was acknowledged and is not in the log", name(call)));
            };
            if txn.zxid != done.zxid {
                return Err(format!("B: {} was told 0x{:x} and is 0x{:x}", name(call), done.zxid, txn.zxid));
            }
            if !fits(&call.op, &txn.change) {
                return Err(format!("B: {} was acknowledged and is {:?}", name(call), txn.change));
            }
        } else if let Some(txn) = logged {
            let told = match &txn.change {
                Change::Error(err) => *err == done.err,
                Change::Multi(_) => failed_multi(txn) && multi_failed(&done.reply),
                _ => false,
            };
            if !told {
                return Err(format!(
                    "B: {} failed with {} and is in the log: {:?}",
                    name(call),
                    done.err,
                    txn.change
                ));
            }
        }
    }
    Ok(())
}

/// C: a write that was asked for after another one had returned has the higher zxid.
///
/// # Errors
/// Two writes the wrong way round.
pub fn ordered_writes(history: &History) -> Result<(), String> {
    let done = |c: &&Call| is_write(&c.op) && c.done.as_ref().is_some_and(|d| d.err == 0 && d.zxid > 0);
    let writes: Vec<(&Call, &Done)> =
        history.calls.iter().filter(done).filter_map(|c| Some((c, c.done.as_ref()?))).collect();
    let mut by_invoke = writes.clone();
    by_invoke.sort_by_key(|(c, _)| c.invoke);
    let mut by_return = writes;
    by_return.sort_by_key(|(_, d)| d.at);
    let mut returned = by_return.into_iter().peekable();
    let mut highest: Option<(&Call, i64)> = None;
    for (call, answer) in by_invoke {
        while let Some((before, d)) = returned.next_if(|(_, d)| d.at < call.invoke) {
            if highest.is_none_or(|(_, z)| d.zxid > z) {
                highest = Some((before, d.zxid));
            }
        }
        if let Some((before, zxid)) = highest.filter(|(_, z)| *z >= answer.zxid) {
            return Err(format!(
                "C: {} got 0x{:x}, although {} had returned with 0x{zxid:x}",
                name(call),
                answer.zxid,
                name(before)
            ));
        }
    }
    Ok(())
}

/// D: answers come in the order of requests, with zxids that never fall, and never below what was seen before.
/// Returns how many answers there were.
///
/// # Errors
/// The first answer out of order.
pub fn fifo(history: &History) -> Result<usize, String> {
    let seen: HashMap<u64, i64> = history
        .connects
        .iter()
        .filter(|c| c.answer.is_some_and(|a| a.session != 0))
        .map(|c| (c.conn, c.seen))
        .collect();
    // Of a connection: the last answer's place, the highest zxid, and whether an answer was left out.
    let mut conns: HashMap<u64, (u64, i64, Option<&Call>)> = HashMap::new();
    let mut answers = 0;
    for call in &history.calls {
        let seen = seen.get(&call.conn).copied().unwrap_or(0);
        let (order, zxid, skipped) = conns.entry(call.conn).or_insert((0, seen, None));
        let Some(done) = &call.done else {
            skipped.get_or_insert(call);
            continue;
        };
        answers += 1;
        if let Some(skipped) = skipped {
            return Err(format!("D: {} was answered, {} before it was not", name(call), name(skipped)));
        }
        if call.xid >= 1_000_000 {
            return Err(format!("D: {} was answered with another number", name(call)));
        }
        if done.order <= *order {
            return Err(format!("D: {} was answered out of order", name(call)));
        }
        *order = done.order;
        if done.zxid < *zxid && done.zxid >= 0 {
            return Err(format!("D: {} was answered at 0x{:x} behind 0x{zxid:x}", name(call), done.zxid));
        }
        *zxid = (*zxid).max(done.zxid);
    }
    Ok(answers)
}

/// S: behind a sync, everything is seen that had returned to anybody before the sync was asked for.
///
/// # Errors
/// The first answer that is older.
pub fn synced(history: &History, terms: &Terms) -> Result<(), String> {
    let mut returned: Vec<(u64, i64)> = history
        .calls
        .iter()
        .filter(|c| is_write(&c.op))
        .filter_map(|c| c.done.as_ref().filter(|d| d.err == 0).map(|d| (d.at, d.zxid)))
        .collect();
    returned.sort_unstable();
    let mut highest = 0;
    for (_, zxid) in &mut returned {
        highest = highest.max(*zxid);
        *zxid = highest;
    }
    let mut floors: HashMap<u64, i64> = HashMap::new();
    for call in &history.calls {
        let Some(done) = call.done.as_ref().filter(|d| d.err == 0 || d.err == NO_NODE) else { continue };
        let floor = floors.entry(call.conn).or_insert(0);
        if matches!(call.op, Op::Sync { .. }) && done.err == 0 && !terms.loose_sync.contains(&call.server) {
            let before = returned.partition_point(|(at, _)| *at < call.invoke);
            if let Some((_, zxid)) = before.checked_sub(1).and_then(|i| returned.get(i)) {
                *floor = (*floor).max(*zxid);
            }
        }
        if done.zxid < *floor {
            return Err(format!(
                "S: {} was answered at 0x{:x}, behind a sync for 0x{floor:x}",
                name(call),
                done.zxid
            ));
        }
    }
    Ok(())
}

/// Where a path was touched: zxid and kind, in order.
pub type Touched = HashMap<String, Vec<(i64, i32)>>;

/// R and M: every answer equals the state at its zxid. Returns what was touched when.
///
/// # Errors
/// The first answer that does not.
pub fn replay(history: &History, log: &[Txn], terms: &Terms, judged: &mut Judged) -> Result<Touched, String> {
    let mut model = Model::new();
    let mut touched = Touched::new();
    let mut asked: Vec<(i64, i64, &Call, &Done)> = windows(history, terms);
    asked.sort_by_key(|(low, ..)| *low);
    let mut asked = asked.into_iter().peekable();
    let mut open: Vec<(i64, &Call, &Done)> = Vec::new();
    let mut steps = log.iter().peekable();
    let mut now = i64::MIN;
    loop {
        let next = steps.peek().map_or(i64::MAX, |t| t.zxid);
        while let Some((_, high, call, done)) = asked.next_if(|(low, ..)| *low < next) {
            open.push((high, call, done));
        }
        judge_open(&mut open, &model, next, judged)?;
        let Some(txn) = steps.next() else { break };
        now = now.max(txn.zxid);
        let mut touches: Vec<Touch> = Vec::new();
        model.apply(txn, &mut touches)?;
        for (kind, path) in touches {
            touched.entry(path).or_default().push((txn.zxid, kind));
        }
    }
    Ok(touched)
}

/// Answers with the first and the last state they may show.
fn windows<'h>(history: &'h History, terms: &Terms) -> Vec<(i64, i64, &'h Call, &'h Done)> {
    let mut last: BTreeMap<u64, i64> = BTreeMap::new();
    let mut found = Vec::new();
    for call in &history.calls {
        let Some(done) = &call.done else { continue };
        let before = last.insert(call.conn, done.zxid).unwrap_or(0);
        let compared = matches!(
            (&call.op, done.err),
            (Op::Get { .. } | Op::Exists { .. } | Op::Children { .. }, 0 | NO_NODE)
                | (Op::Set { .. } | Op::Create { .. } | Op::Multi(_), 0)
        );
        if compared {
            let early = terms.early_zxid.contains(&call.server) && !is_write(&call.op);
            let low = if early { before.min(done.zxid) } else { done.zxid };
            // An early zxid may be followed by the state of anything up to the next answer; a little is allowed.
            let high = if early { done.zxid.saturating_add(64) } else { done.zxid };
            found.push((low, high, call, done));
        }
    }
    found
}

fn judge_open(
    open: &mut Vec<(i64, &Call, &Done)>,
    model: &Model,
    next: i64,
    judged: &mut Judged,
) -> Result<(), String> {
    let mut wrong = None;
    open.retain(|(high, call, done)| {
        let verdict = agrees(&call.op, done.err, &done.reply, done.zxid, model);
        match verdict {
            Ok(()) => {
                judged.reads += 1;
                false
            }
            Err(why) => {
                if next > *high {
                    wrong.get_or_insert_with(|| {
                        format!(
                            "R: {} was told {:?} ({}) at 0x{:x}: {why}",
                            name(call),
                            done.reply,
                            done.err,
                            done.zxid
                        )
                    });
                    return false;
                }
                true
            }
        }
    });
    wrong.map_or(Ok(()), Err)
}

fn agrees(op: &Op, err: i32, reply: &Reply, zxid: i64, model: &Model) -> Result<(), String> {
    let missing = |path: &str| {
        if model.node(path).is_some() { Err(format!("{path} is there")) } else { Ok(()) }
    };
    match (op, reply) {
        (Op::Get { path, .. } | Op::Exists { path, .. } | Op::Children { path, .. }, _) if err == NO_NODE => {
            missing(path)
        }
        (Op::Get { path, .. }, Reply::Data(data, stat)) => {
            let node = model.node(path).ok_or_else(|| format!("{path} is not there"))?;
            if node.data != *data {
                return Err(format!("the data is {:?}", node.data));
            }
            same(*stat, node.stat())
        }
        (Op::Exists { path, .. }, Reply::Stat(stat)) => {
            let node = model.node(path).ok_or_else(|| format!("{path} is not there"))?;
            same(*stat, node.stat())
        }
        (Op::Set { path, .. }, Reply::Stat(stat)) => {
            // In a multi a later part may have written again.
            let node = model.node(path).ok_or_else(|| format!("{path} is not there"))?;
            if stat.mzxid != zxid {
                return Err(format!("it was written by 0x{:x}", stat.mzxid));
            }
            same(*stat, node.stat())
        }
        (Op::Children { path, .. }, Reply::Children(names, stat)) => {
            let node = model.node(path).ok_or_else(|| format!("{path} is not there"))?;
            if !node.children.iter().eq(names) {
                return Err(format!("the children are {:?}", node.children));
            }
            same(*stat, node.stat())
        }
        (Op::Create { path, sequential, .. }, Reply::Path(made)) => {
            if !(if *sequential { made.starts_with(path.as_str()) } else { made == path }) {
                return Err(format!("{path} was asked for"));
            }
            model.node(made).map(|_| ()).ok_or_else(|| format!("{made} is not there"))
        }
        (Op::Multi(ops), Reply::Multi(parts)) => {
            if ops.len() != parts.len() {
                return Err(format!("{} results", parts.len()));
            }
            if multi_failed(reply) {
                return Ok(());
            }
            let settled = |op: &Op| {
                // What later parts touch again cannot be compared with the state behind all of them.
                !matches!(op, Op::Set { .. })
            };
            ops.iter()
                .zip(parts)
                .filter(|(op, _)| settled(op) && !matches!(op, Op::Create { .. } if deletes_later(ops)))
                .try_for_each(|(op, (err, reply))| agrees(op, *err, reply, zxid, model))
        }
        (Op::Check { .. } | Op::Delete { .. }, Reply::Empty) => Ok(()),
        _ => Err("an answer of another kind".to_owned()),
    }
}

fn deletes_later(ops: &[Op]) -> bool {
    ops.iter().any(|op| matches!(op, Op::Delete { .. }))
}

fn same(told: super::history::Stat, is: super::history::Stat) -> Result<(), String> {
    if told == is { Ok(()) } else { Err(format!("the stat is {is:?}")) }
}

/// E: a session that spoke with its server does not end before its time. Only what is certain is judged: the
/// session was heard of through the order itself, and its end was seen by somebody.
///
/// # Errors
/// A session that ended too early.
pub fn expiry(history: &History, log: &[Txn], terms: &Terms) -> Result<(), String> {
    if terms.tick == 0 {
        return Ok(());
    }
    let ends = log.iter().filter(|t| t.cxid == 0 && matches!(t.change, Change::Close(_)));
    let timeouts: HashMap<i64, i32> = history
        .connects
        .iter()
        .filter_map(|c| c.answer.filter(|a| a.session != 0).map(|a| (a.session, a.timeout)))
        .collect();
    for end in ends {
        let Some(timeout) = timeouts.get(&end.session) else { continue };
        let seen = history
            .calls
            .iter()
            .filter_map(|c| c.done.as_ref())
            .filter(|d| d.zxid >= end.zxid)
            .map(|d| d.at)
            .min();
        let heard = history
            .calls
            .iter()
            .filter(|c| c.session == end.session && is_write(&c.op))
            .filter(|c| c.done.as_ref().is_some_and(|d| d.zxid < end.zxid && d.zxid > 0))
            .map(|c| c.invoke)
            .max();
        let (Some(seen), Some(heard)) = (seen, heard) else { continue };
        // Clocks are off by up to a tenth on either side, and a learner tells its leader with the pings.
        let least = (timeout.unsigned_abs() as u64 * 1000) * 8 / 10;
        if seen + terms.tick * 7 < heard + least {
            return Err(format!(
                "E: session 0x{:x} with a timeout of {timeout} ms was over {} ms after it had written",
                end.session,
                seen.saturating_sub(heard) / 1000
            ));
        }
    }
    Ok(())
}
