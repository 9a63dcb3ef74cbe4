//! Rule W: a client sees the event of a transaction before any reply of that or a later one; a one-shot watch
//! fires once; nothing is lost, nothing made up.

use super::Judged;
use super::calls::Touched;
use super::history::{Call, Event, History, Op, Rewatch};
use std::collections::{BTreeMap, HashMap};

const NO_NODE: i32 = -101;

/// A registration on a connection.
#[derive(Debug, Clone)]
struct Watch {
    path: String,
    /// The state in which it was made.
    since: i64,
    mode: Mode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Data or existence, once.
    Data,
    /// Children, once.
    Child,
    /// Everything at this path.
    Persistent,
    /// Everything at and below this path, but no changes of children.
    Recursive,
}

impl Mode {
    fn hears(self, kind: i32) -> bool {
        match self {
            Self::Data | Self::Recursive => kind != 4,
            Self::Child => kind == 4 || kind == 2,
            Self::Persistent => true,
        }
    }

    fn once(self) -> bool {
        matches!(self, Self::Data | Self::Child)
    }
}

/// What one connection received, in its order.
enum Received<'h> {
    Reply(&'h Call),
    Event(&'h Event),
}

/// Judges every connection.
///
/// # Errors
/// The first event that is lost, doubled, late or made up.
pub fn all(history: &History, touched: &Touched, judged: &mut Judged) -> Result<(), String> {
    let mut conns: BTreeMap<u64, Vec<(u64, Received<'_>)>> = BTreeMap::new();
    let mut watched: HashMap<u64, bool> = HashMap::new();
    for call in &history.calls {
        if let Some(done) = &call.done {
            conns.entry(call.conn).or_default().push((done.order, Received::Reply(call)));
            *watched.entry(call.conn).or_default() |=
                watch_of(call).is_some() || matches!(call.op, Op::SetWatches(_));
        }
    }
    for event in &history.events {
        conns.entry(event.conn).or_default().push((event.order, Received::Event(event)));
        watched.insert(event.conn, true);
    }
    for (conn, mut received) in conns {
        if watched.get(&conn).copied().unwrap_or(false) {
            received.sort_by_key(|(order, _)| *order);
            judge(&received, touched, judged)?;
        }
    }
    Ok(())
}

/// The watch that an answered request leaves.
fn watch_of(call: &Call) -> Option<Watch> {
    let done = call.done.as_ref()?;
    let found = done.err == 0;
    let (path, mode) = match &call.op {
        Op::Get { path, watch: true } if found => (path, Mode::Data),
        Op::Exists { path, watch: true } if found || done.err == NO_NODE => (path, Mode::Data),
        Op::Children { path, watch: true } if found => (path, Mode::Child),
        Op::AddWatch { path, recursive } if found => {
            (path, if *recursive { Mode::Recursive } else { Mode::Persistent })
        }
        _ => return None,
    };
    Some(Watch { path: path.clone(), since: done.zxid, mode })
}

fn judge(received: &[(u64, Received<'_>)], touched: &Touched, judged: &mut Judged) -> Result<(), String> {
    let mut watches: Vec<Watch> = Vec::new();
    let mut made_up: Vec<(i32, String)> = Vec::new();
    let mut came: HashMap<(i64, i32, &str), u32> = HashMap::new();
    let mut highest = 0;
    for (_, item) in received {
        match item {
            Received::Event(event) if event.zxid == -1 => made_up.push((event.kind, event.path.clone())),
            Received::Event(event) => {
                if highest >= event.zxid {
                    return Err(format!("W: {event:?} came behind a reply of 0x{highest:x}"));
                }
                *came.entry((event.zxid, event.kind, &event.path)).or_default() += 1;
            }
            Received::Reply(call) => {
                let Some(done) = &call.done else { continue };
                highest = highest.max(done.zxid);
                watches.extend(watch_of(call));
                if let Op::SetWatches(again) = &call.op {
                    rewatch(again, done.zxid, touched, std::mem::take(&mut made_up), &mut watches, call)?;
                }
            }
        }
    }
    let happened = |(zxid, kind, path): &(i64, i32, &str)| {
        let touches = touched.get(*path).map(Vec::as_slice).unwrap_or_default();
        touches.iter().filter(|t| **t == (*zxid, *kind)).count()
    };
    // A multi may touch a path more than once.
    if let Some((key, n)) = came.iter().find(|(key, n)| **n as usize > happened(key).max(1)) {
        return Err(format!("W: the event {key:?} came {n} times"));
    }
    // Everything that a watch had to say by the last reply has come; and all that came, some watch had to say.
    let mut due: HashMap<(i64, i32, &str), ()> = HashMap::new();
    for watch in &watches {
        for (zxid, kind, path) in says(watch, touched) {
            due.insert((zxid, kind, path), ());
            if zxid <= highest && !came.contains_key(&(zxid, kind, path)) {
                return Err(format!(
                    "W: kind {kind} at {path} by 0x{zxid:x} was lost to {watch:?} before 0x{highest:x}"
                ));
            }
            judged.due += usize::from(zxid <= highest);
        }
    }
    for key in came.keys() {
        judged.events += 1;
        if !due.contains_key(key) {
            return Err(format!("W: nobody had asked for the event {key:?}"));
        }
    }
    Ok(())
}

/// Everything that a watch will ever say.
fn says<'t>(watch: &Watch, touched: &'t Touched) -> Vec<(i64, i32, &'t str)> {
    let mut found = Vec::new();
    let mut at = |path: &'t str, touches: &[(i64, i32)]| {
        let from = touches.partition_point(|(zxid, _)| *zxid <= watch.since);
        let heard =
            touches.get(from..).unwrap_or_default().iter().filter(|(_, kind)| watch.mode.hears(*kind));
        if watch.mode.once() {
            found.extend(heard.take(1).map(|(zxid, kind)| (*zxid, *kind, path)));
        } else {
            found.extend(heard.map(|(zxid, kind)| (*zxid, *kind, path)));
        }
    };
    if watch.mode == Mode::Recursive {
        for (path, touches) in touched {
            let below = path
                .strip_prefix(watch.path.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            if below || watch.path == "/" {
                at(path, touches);
            }
        }
    } else if let Some((path, touches)) = touched.get_key_value(&watch.path) {
        at(path, touches);
    }
    found
}

/// The last touch of a path up to a state.
fn last(touched: &Touched, path: &str, zxid: i64, kinds: &[i32]) -> Option<(i64, i32)> {
    let touches = touched.get(path)?;
    let until = touches.partition_point(|(z, _)| *z <= zxid);
    touches.get(..until)?.iter().rev().find(|(_, kind)| kinds.contains(kind)).copied()
}

/// Watches that came back with a session: what was missed is made up for, the rest is registered anew.
fn rewatch(
    again: &Rewatch,
    zxid: i64,
    touched: &Touched,
    mut came: Vec<(i32, String)>,
    watches: &mut Vec<Watch>,
    call: &Call,
) -> Result<(), String> {
    let there = |path: &str| matches!(last(touched, path, zxid, &[1, 2]), Some((_, 1)));
    let changed =
        |path: &str, kinds: &[i32]| last(touched, path, zxid, kinds).is_some_and(|(z, _)| z > again.relative);
    let mut due: Vec<(i32, String)> = Vec::new();
    let mut keep = |path: &String, mode| watches.push(Watch { path: path.clone(), since: zxid, mode });
    for path in &again.data {
        match () {
            () if !there(path) => due.push((2, path.clone())),
            () if changed(path, &[1, 3]) => due.push((3, path.clone())),
            () => keep(path, Mode::Data),
        }
    }
    for path in &again.exist {
        if there(path) { due.push((1, path.clone())) } else { keep(path, Mode::Data) }
    }
    for path in &again.child {
        match () {
            () if !there(path) => due.push((2, path.clone())),
            // A node that was made again has a new history of children.
            () if changed(path, &[1, 4]) => due.push((4, path.clone())),
            () => keep(path, Mode::Child),
        }
    }
    again.persistent.iter().for_each(|path| keep(path, Mode::Persistent));
    again.recursive.iter().for_each(|path| keep(path, Mode::Recursive));
    due.sort_unstable();
    came.sort_unstable();
    if due == came {
        Ok(())
    } else {
        Err(format!(
            "W: coming back at 0x{zxid:x} with {again:?}, {:?} was told, not {due:?} ({})",
            came, call.conn
        ))
    }
}
