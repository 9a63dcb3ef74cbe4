//! The judges judged: sound histories, changed in one place, must be found wrong.
//!
//! A history comes from a run of the simulator; each change is one that a wrong server could have caused.

use super::plan::Plan;
use super::rng::Rng;
use super::world::World;
use crate::check::history::{Call, History, Op, Reply};
use crate::check::{self, Terms, search};
use std::collections::BTreeMap;

/// One way to spoil a history. False if it does not apply to this one at this place.
type Spoil = fn(&mut History, &mut Rng) -> bool;

fn pick(history: &History, rng: &mut Rng, fits: impl Fn(&Call) -> bool) -> Option<usize> {
    let all: Vec<usize> = (0..history.calls.len()).filter(|n| fits(&history.calls[*n])).collect();
    if all.is_empty() { None } else { Some(all[rng.index(all.len())]) }
}

fn good(call: &Call) -> bool {
    call.done.as_ref().is_some_and(|d| d.err == 0 && d.zxid > 0)
}

fn is_set(call: &Call) -> bool {
    good(call) && matches!(call.op, Op::Set { .. })
}

fn done(history: &mut History, n: usize) -> &mut check::history::Done {
    history.calls[n].done.as_mut().expect("answered")
}

/// Changes the payload of a transaction wherever it is logged.
fn rewrite(history: &mut History, zxid: i64, change: impl Fn(&mut Vec<u8>)) {
    history.logs.iter_mut().filter(|l| l.zxid == zxid).for_each(|l| change(&mut l.payload));
}

const SPOILS: [(&str, &str, Spoil); 27] = [
    ("a transaction is missing everywhere", "AB", |h, rng| {
        let Some(n) = pick(h, rng, is_set) else { return false };
        let zxid = done(h, n).zxid;
        h.logs.retain(|l| l.zxid != zxid);
        true
    }),
    ("the end of the log is missing everywhere", "BRM", |h, rng| {
        let last = h.calls.iter().filter(|c| is_set(c)).filter_map(|c| c.done.as_ref()).map(|d| d.zxid).max();
        let Some(last) = last else { return false };
        let from = last - rng.below(3) as i64;
        h.logs.retain(|l| l.zxid < from);
        true
    }),
    ("one server has a byte of its own", "A", |h, rng| {
        let n = rng.index(h.logs.len());
        let at = rng.index(h.logs[n].payload.len());
        h.logs[n].payload[at] ^= 1;
        true
    }),
    ("a transaction says another zxid", "A", |h, rng| {
        let n = rng.index(h.logs.len());
        let zxid = h.logs[n].zxid;
        rewrite(h, zxid, |p| p[19] ^= 1);
        true
    }),
    ("a transaction is in the log twice", "BAM", |h, rng| {
        let n = rng.index(h.logs.len());
        let mut again = h.logs[n].clone();
        let last = h.logs.iter().map(|l| l.zxid).max().unwrap_or(0);
        again.zxid = last + 1;
        again.payload[12..20].copy_from_slice(&(last + 1).to_be_bytes());
        again.server = 0;
        // An expiry that comes again, or a refusal of nobody's, is no lie.
        let cxid =
            i32::from_be_bytes([again.payload[8], again.payload[9], again.payload[10], again.payload[11]]);
        h.logs.push(again);
        cxid > 0
    }),
    ("a version skips", "MR", |h, rng| {
        let Some(n) = pick(h, rng, is_set) else { return false };
        let zxid = done(h, n).zxid;
        rewrite(h, zxid, |p| {
            let at = p.len() - 13;
            p[at] = p[at].wrapping_add(1);
        });
        true
    }),
    ("an answer has the next zxid", "BDRS", |h, rng| {
        let Some(n) = pick(h, rng, is_set) else { return false };
        done(h, n).zxid += 1;
        true
    }),
    ("a read shows another version", "R", |h, rng| {
        let Some(n) = pick(h, rng, |c| matches!(c.done.as_ref().map(|d| &d.reply), Some(Reply::Data(..))))
        else {
            return false;
        };
        if let Reply::Data(_, stat) = &mut done(h, n).reply {
            stat.version += 1;
        }
        matches!(h.calls[n].op, Op::Get { .. })
    }),
    ("a read shows other data", "R", |h, rng| {
        let Some(n) = pick(h, rng, |c| good(c) && matches!(c.op, Op::Get { .. })) else { return false };
        if let Reply::Data(data, _) = &mut done(h, n).reply {
            data.push(1);
        }
        true
    }),
    ("a child is missing", "R", |h, rng| {
        let children = |c: &Call| matches!(c.done.as_ref().map(|d| &d.reply), Some(Reply::Children(names, _)) if !names.is_empty());
        let Some(n) = pick(h, rng, children) else { return false };
        if let Reply::Children(names, _) = &mut done(h, n).reply {
            names.pop();
        }
        true
    }),
    ("the last change of children is another one", "R", |h, rng| {
        let Some(n) = pick(h, rng, |c| good(c) && matches!(c.op, Op::Children { .. })) else { return false };
        if let Reply::Children(_, stat) = &mut done(h, n).reply {
            stat.pzxid += 1;
        }
        true
    }),
    ("what is there is said not to be", "R", |h, rng| {
        let Some(n) = pick(h, rng, |c| good(c) && matches!(c.op, Op::Get { watch: false, .. })) else {
            return false;
        };
        let done = done(h, n);
        (done.err, done.reply) = (-101, Reply::Empty);
        true
    }),
    ("a sequential node has another name", "R", |h, rng| {
        let Some(n) = pick(h, rng, |c| good(c) && matches!(c.op, Op::Create { sequential: true, .. })) else {
            return false;
        };
        if let Reply::Path(path) = &mut done(h, n).reply {
            path.push('9');
        }
        true
    }),
    ("a success is told as a failure", "B", |h, rng| {
        let Some(n) = pick(h, rng, is_set) else { return false };
        let done = done(h, n);
        (done.err, done.reply) = (-103, Reply::Empty);
        true
    }),
    ("a failure is told as a success", "B", |h, rng| {
        let failed =
            |c: &Call| matches!(c.op, Op::Set { .. }) && c.done.as_ref().is_some_and(|d| d.err == -103);
        let Some(n) = pick(h, rng, failed) else { return false };
        done(h, n).err = 0;
        true
    }),
    ("an answer is left out", "D", |h, rng| {
        let Some(n) = pick(h, rng, good) else { return false };
        let (conn, order) = (h.calls[n].conn, done(h, n).order);
        h.calls[n].done = None;
        h.calls.iter().any(|c| c.conn == conn && c.done.as_ref().is_some_and(|d| d.order > order))
    }),
    ("two answers change places", "D", |h, rng| {
        let Some(n) = pick(h, rng, good) else { return false };
        let (conn, order) = (h.calls[n].conn, done(h, n).order);
        let next =
            h.calls.iter().position(|c| c.conn == conn && c.done.as_ref().is_some_and(|d| d.order > order));
        let Some(m) = next else { return false };
        let other = done(h, m).order;
        done(h, n).order = other;
        done(h, m).order = order;
        true
    }),
    ("a server is behind what its client has seen", "D", |h, rng| {
        let Some(n) = pick(h, rng, good) else { return false };
        let (conn, zxid) = (h.calls[n].conn, done(h, n).zxid);
        let Some(connect) = h.connects.iter_mut().find(|c| c.conn == conn) else { return false };
        connect.seen = zxid + 1;
        true
    }),
    ("a later write has the smaller zxid", "C", |h, rng| {
        let (Some(a), Some(b)) = (pick(h, rng, is_set), pick(h, rng, is_set)) else { return false };
        if done(h, a).zxid >= done(h, b).zxid {
            return false;
        }
        let returned = done(h, b).at;
        h.calls[a].invoke = returned + 1;
        done(h, a).at = returned + 2;
        true
    }),
    ("a sync misses what had returned", "SC", |h, rng| {
        let Some(sync) = pick(h, rng, |c| good(c) && matches!(c.op, Op::Sync { .. })) else { return false };
        let (asked, at) = (h.calls[sync].invoke, done(h, sync).zxid);
        let Some(n) = pick(h, rng, |c| is_set(c) && c.done.as_ref().is_some_and(|d| d.zxid > at)) else {
            return false;
        };
        h.calls[n].invoke = asked.saturating_sub(2);
        done(h, n).at = asked.saturating_sub(1);
        true
    }),
    ("an event is lost", "W", |h, rng| {
        if h.events.is_empty() {
            return false;
        }
        let n = rng.index(h.events.len());
        let event = h.events.remove(n);
        // One that nothing follows may still be on its way.
        h.calls.iter().any(|c| {
            c.conn == event.conn
                && c.done.as_ref().is_some_and(|d| d.zxid >= event.zxid && d.order > event.order)
        }) && event.zxid > 0
    }),
    ("an event comes twice", "W", |h, rng| {
        if h.events.is_empty() {
            return false;
        }
        let event = h.events[rng.index(h.events.len())].clone();
        h.events.push(event);
        true
    }),
    ("an event comes behind newer data", "W", |h, rng| {
        if h.events.is_empty() {
            return false;
        }
        let n = rng.index(h.events.len());
        let event = h.events[n].clone();
        let behind = h.calls.iter().filter(|c| c.conn == event.conn).filter_map(|c| c.done.as_ref());
        let Some(order) = behind.filter(|d| d.zxid >= event.zxid).map(|d| d.order).max() else {
            return false;
        };
        if event.zxid < 0 || order <= event.order {
            return false;
        }
        h.events[n].order = order;
        // Behind the reply of the same place: replies are looked at first.
        true
    }),
    ("an event is of another kind", "W", |h, rng| {
        if h.events.is_empty() {
            return false;
        }
        let n = rng.index(h.events.len());
        h.events[n].kind = h.events[n].kind % 4 + 1;
        true
    }),
    ("two trees differ", "X", |h, rng| {
        let n = rng.index(h.digests.len());
        h.digests[n].tree ^= 1;
        true
    }),
    ("sessions differ", "X", |h, rng| {
        let n = rng.index(h.digests.len());
        h.digests[n].rest ^= 1;
        true
    }),
    ("a node outlives its session", "EM", |h, _| {
        // The transaction that ends a session names one node less.
        let mut changed = false;
        for logged in &mut h.logs {
            let p = &mut logged.payload;
            let close = p.len() > 32 && p[28..32] == (-11_i32).to_be_bytes();
            if close && p.len() > 48 && p[35] > 0 {
                p[35] = 0;
                changed = true;
            }
        }
        changed
    }),
];

/// A history with something of everything in it.
fn sound(seed: u64) -> Option<(History, Terms)> {
    let mut world = World::new(Plan::new(seed));
    world.run();
    let terms = Terms { tick: world.plan.tick as u64 * 1000, ..Terms::default() };
    let history = std::mem::take(&mut world.history);
    (check::all(&history, &terms).is_ok() && history.events.len() > 3).then_some((history, terms))
}

/// A history survives being written down.
pub fn lines() {
    let (history, _) = sound(3).or_else(|| sound(5)).or_else(|| sound(8)).expect("a sound history");
    let lines = history.to_lines();
    assert!(lines.lines().count() > 100);
    assert!(History::from_lines(&lines).unwrap() == history, "the lines say something else");
    assert!(History::from_lines("{}").is_err());
}

/// Spoils histories in every way; returns how many were found out, by rule.
pub fn spoil_all() -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    let mut tried: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 1..60 {
        let Some((history, terms)) = sound(seed) else { continue };
        let mut rng = Rng::new(seed, 9);
        for (name, rules, spoil) in SPOILS {
            if tried.get(name).copied().unwrap_or(0) >= 10 {
                continue;
            }
            let mut spoiled = history.clone();
            if !spoil(&mut spoiled, &mut rng) {
                continue;
            }
            *tried.entry(name).or_default() += 1;
            match check::all(&spoiled, &terms) {
                Ok(_) => panic!("seed {seed}: nobody noticed that {name}"),
                Err(why) => {
                    let rule = why.chars().next().unwrap_or('?');
                    assert!(rules.contains(rule), "seed {seed}: that {name} was found as {why}");
                    *found.entry(rule.to_string()).or_default() += 1;
                }
            }
        }
    }
    for (name, ..) in SPOILS {
        assert!(tried.get(name).is_some_and(|n| *n > 0), "no history could be spoiled so that {name}");
    }
    found
}

/// Two writers that both believe to have won, with zxids that fit: only the search can know.
pub fn lying_zxids() {
    let mut history = sound(3).or_else(|| sound(5)).or_else(|| sound(8)).expect("a sound history").0;
    let mut rng = Rng::new(1, 1);
    let mut caught = 0;
    for _ in 0..40 {
        let before = history.clone();
        if let Some(n) = pick(&history, &mut rng, is_set)
            && let Reply::Stat(stat) = &mut done(&mut history, n).reply
        {
            stat.version += 1;
            caught += usize::from(search::all(&history).is_err());
        }
        history = before;
    }
    assert!(caught >= 20, "the search found {caught} of 40");
}
