//! Both servers, one sequence: every step goes to both, and what comes back must be the same. Behind the last
//! step the whole trees are compared, too, all sessions are ended and the tree is emptied.
//!
//! Invariant: a sequence leaves no session and no node behind, whatever it found.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use jute::records::proto::{NamesResponse, ReplyHeader};
use jute::{OpCode, Reader, Record};

use crate::event::{Event, What};
use crate::names::Names;
use crate::request::{Req, auth_super, bare, children, delete, get, get_acl, op_name, open, ping, set_acl};
use crate::side::Side;
use crate::step::{Greeting, JANITOR, Step, UNDERTAKER, Wanted};

/// Waiting notices are fetched every so many steps: often enough to find the step that made a difference,
/// seldom enough to be quick.
const BARRIER_EVERY: usize = 12;
/// Nodes that are there from the start.
const BUILT_IN: [&str; 4] = ["/", "/zookeeper", "/zookeeper/config", "/zookeeper/quota"];
/// Requests that the walk sends at once.
const BURST: usize = 90;

/// Differences of one sequence: more would only be the consequences of the first ones.
const DIFFERENCES: usize = 30;

/// A difference.
#[derive(Debug, Clone)]
pub(crate) struct Difference {
    /// Position of the step; behind the last one for what the final walk finds.
    pub(crate) at: usize,
    pub(crate) step: String,
    pub(crate) slot: usize,
    pub(crate) left: Option<Event>,
    pub(crate) right: Option<Event>,
}

impl Difference {
    pub(crate) fn op(&self) -> String {
        match [&self.left, &self.right].into_iter().flatten().find_map(|e| match e.what {
            What::Reply { op, .. } => Some(op),
            _ => None,
        }) {
            Some(op) => op_name(op),
            None => "connection".into(),
        }
    }

    /// One of the servers said nothing at all.
    pub(crate) fn silent(&self) -> bool {
        [&self.left, &self.right].into_iter().any(|e| e.as_ref().is_none_or(Event::is_absence))
    }

    /// Both replied to the same request under the same zxid, and if it was a write, to the same effect.
    fn still_in_step(&self, left: &Side, right: &Side) -> bool {
        let (Some(l), Some(r)) = (&self.left, &self.right) else { return false };
        let (What::Reply { op, err: le }, What::Reply { op: same, err: re }) = (l.what, r.what) else {
            return false;
        };
        let done = |e: &Event, err: i32| err == 0 && !e.text.contains(" code=");
        let harmless = !changes_the_tree(op) || done(l, le) == done(r, re);
        op == same && op != 0 && left.names.zxid(l.zxid) == right.names.zxid(r.zxid) && harmless
    }

    /// What sort of difference it is: the same fault in two seeds has the same one.
    pub(crate) fn signature(&self) -> String {
        let one = |e: &Option<Event>| match e {
            None => "nothing".to_owned(),
            Some(e) => match e.what {
                What::Reply { op, err } => format!("{} err {err}", op_name(op)),
                What::Notice => "notice".into(),
                What::Greeting => "greeting".into(),
                What::Closed | What::Silence | What::Refused | What::Standing => e.text.clone(),
            },
        };
        let (l, r) = (one(&self.left), one(&self.right));
        if l != r {
            return format!("{l} against {r}");
        }
        let (l, r) = (text(&self.left), text(&self.right));
        let word = l.split(' ').zip(r.split(' ')).find(|(a, b)| a != b).map_or("length", |(a, _)| a);
        format!("{} with another {}", one(&self.left), word.split('=').next().unwrap_or(word))
    }
}

fn text(event: &Option<Event>) -> String {
    event.as_ref().map_or_else(|| "nothing".into(), |e| e.text.clone())
}

type Compared = Result<Vec<(Event, Event)>, Box<Difference>>;

/// Two servers.
#[derive(Debug)]
pub(crate) struct Duel {
    pub(crate) left: Side,
    pub(crate) right: Side,
    /// Both began empty and have seen the same writes: their zxids must agree.
    pub(crate) fresh: bool,
    /// They went different ways once.
    pub(crate) estranged: bool,
    pub(crate) trace: Option<Vec<String>>,
    pub(crate) requests: u64,
    /// How often each operation was answered with each error; for a multi also whether an error is inside.
    pub(crate) outcomes: BTreeMap<(i32, i32, bool), u64>,
    now_at: usize,
    /// Differences behind which the two were still in step.
    found: Vec<Difference>,
}

impl Duel {
    pub(crate) fn new(left: SocketAddr, right: SocketAddr, fresh: bool) -> Self {
        Self {
            left: Side::new(left),
            right: Side::new(right),
            fresh,
            estranged: false,
            trace: None,
            requests: 0,
            outcomes: BTreeMap::new(),
            now_at: 0,
            found: Vec::new(),
        }
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(line());
        }
    }

    /// Runs a sequence from a clean state to a clean state; all its differences, as far as one can see behind
    /// the first.
    pub(crate) fn run(&mut self, steps: &[Step], exact_sessions: bool) -> Vec<Difference> {
        let last = self.play(steps, exact_sessions).err().map(|d| *d);
        let mut found = std::mem::take(&mut self.found);
        found.extend(last);
        if !found.is_empty() {
            self.estranged = true;
        }
        for side in [&mut self.left, &mut self.right] {
            tidy(side);
            side.reset();
        }
        found
    }

    fn play(&mut self, steps: &[Step], exact_sessions: bool) -> Result<(), Box<Difference>> {
        self.now_at = 0;
        self.aside(|duel| duel.measure(exact_sessions))?;
        let mut since = 0;
        for (at, step) in steps.iter().enumerate() {
            self.now_at = at;
            since += 1;
            if step.reconnects() || since >= BARRIER_EVERY || self.trace.is_some() {
                self.step(&Step::Barrier)?;
                since = 0;
            }
            self.requests += u64::try_from(step.weight()).unwrap_or(0);
            self.step(step)?;
            if step.reconnects() {
                self.step(&Step::Barrier)?;
            }
        }
        self.now_at = steps.len();
        self.step(&Step::Barrier)?;
        self.aside(Self::compare_trees)?;
        self.end_sessions()
    }

    /// Something that belongs to every sequence: traced only where it finds a difference.
    fn aside(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<(), Box<Difference>>,
    ) -> Result<(), Box<Difference>> {
        let trace = self.trace.take();
        let result = work(self);
        self.trace = trace;
        if let Err(d) = &result {
            self.note(|| format!("apart from the sequence: {}", d.step));
            self.note(|| format!("    left:  {}", text(&d.left)));
            self.note(|| format!("    right: {}", text(&d.right)));
        }
        result
    }

    /// Fixes the zxid from which this sequence counts.
    fn measure(&mut self, exact_sessions: bool) -> Result<(), Box<Difference>> {
        for side in [&mut self.left, &mut self.right] {
            side.names = Names::start(0, self.estranged, false);
        }
        let strict = self.fresh && !self.estranged;
        let steps = [
            Step::Greet { slot: JANITOR, greeting: Greeting::plain() },
            Step::Send { slot: JANITOR, reqs: vec![ping(), bare(OpCode::CloseSession)] },
        ];
        for step in &steps {
            match self.step(step) {
                Err(d) if strict || d.silent() => return Err(d),
                _ => {}
            }
        }
        for side in [&mut self.left, &mut self.right] {
            side.names = Names::start(side.names.last, self.estranged, exact_sessions);
        }
        Ok(())
    }

    /// One step on both sides; the pairs of events, or the first that do not match.
    fn step(&mut self, step: &Step) -> Compared {
        self.left.begin(step);
        self.right.begin(step);
        let mut left = self.left.finish(step);
        let mut right = self.right.finish(step);
        let quiet = matches!(step, Step::Barrier) && nothing_but_pings(&left) && nothing_but_pings(&right);
        if !quiet {
            self.note(|| step.describe());
        }
        let mut pairs = Vec::new();
        for slot in 0..=UNDERTAKER {
            let l = canonical(take(&mut left, slot), &self.left.names);
            let r = canonical(take(&mut right, slot), &self.right.names);
            let count = l.len().max(r.len());
            let (mut l, mut r) = (l.into_iter(), r.into_iter());
            for _ in 0..count {
                let (l, r) = (l.next(), r.next());
                match (l, r) {
                    // Two servers that say nothing have not agreed on anything.
                    (Some(l), Some(r)) if l.same(&r) && !l.is_absence() => {
                        if !quiet {
                            self.note(|| format!("    [{slot}] {}", l.text));
                        }
                        if let What::Reply { op, err } = l.what {
                            let inside = l.text.contains(" code=");
                            *self.outcomes.entry((op, err, inside)).or_default() += 1;
                        }
                        pairs.push((l, r));
                    }
                    (left, right) => {
                        self.note(|| format!("    [{slot}] left:  {}", text(&left)));
                        self.note(|| format!("    [{slot}] right: {}", text(&right)));
                        let step = step.describe();
                        let d = Difference { at: self.now_at, step, slot, left, right };
                        if self.found.len() >= DIFFERENCES || !d.still_in_step(&self.left, &self.right) {
                            return Err(Box::new(d));
                        }
                        pairs.extend(d.left.clone().zip(d.right.clone()));
                        self.found.push(d);
                    }
                }
            }
        }
        Ok(pairs)
    }

    /// Every node with its data, stat, access list and children.
    fn compare_trees(&mut self) -> Result<(), Box<Difference>> {
        self.step(&Step::Greet { slot: JANITOR, greeting: Greeting::plain() })?;
        self.step(&Step::Send { slot: JANITOR, reqs: vec![auth_super()] })?;
        let mut level = vec!["/".to_owned()];
        while !level.is_empty() {
            let mut next = Vec::new();
            for some in level.chunks(BURST / 3) {
                let reqs =
                    some.iter().flat_map(|p| [get(p, false), get_acl(p), children(p, false)]).collect();
                let pairs = self.step(&Step::Send { slot: JANITOR, reqs })?;
                let lists = pairs.iter().filter(|(l, _)| is_reply(l, OpCode::GetChildren));
                for (path, (left, _)) in some.iter().zip(lists) {
                    next.extend(names_of(left).iter().map(|n| join(path, n)));
                }
            }
            level = next;
        }
        Ok(())
    }

    /// Ends all sessions one after the other, also those that nobody holds any more.
    fn end_sessions(&mut self) -> Result<(), Box<Difference>> {
        let close = || vec![bare(OpCode::CloseSession)];
        for number in 0..self.left.names.sessions.len() {
            let Some(session) = self.left.names.sessions.get(number).cloned() else { continue };
            let held = self.left.holder(session.id);
            if session.closed || held == Some(JANITOR) {
                continue;
            }
            let slot = held.unwrap_or(UNDERTAKER);
            self.step(&Step::Barrier)?;
            if held.is_none() {
                let greeting = Greeting { wanted: Wanted::Numbered(number), ..Greeting::plain() };
                self.step(&Step::Greet { slot, greeting })?;
            }
            self.step(&Step::Send { slot, reqs: close() })?;
        }
        self.step(&Step::Barrier)?;
        Ok(())
    }
}

/// Ends what is left of the sessions of one side and empties its tree.
fn tidy(side: &mut Side) {
    for number in 0..side.names.sessions.len() {
        let Some(session) = side.names.sessions.get(number).cloned() else { continue };
        if session.closed {
            continue;
        }
        let greeting = Greeting { wanted: Wanted::Numbered(number), ..Greeting::plain() };
        act(side, &Step::Greet { slot: UNDERTAKER, greeting });
        ask(side, UNDERTAKER, vec![bare(OpCode::CloseSession)]);
    }
    act(side, &Step::Greet { slot: JANITOR, greeting: Greeting::plain() });
    ask(side, JANITOR, vec![auth_super()]);
    let mut all = vec!["/".to_owned()];
    let mut done = 0;
    while let Some(path) = all.get(done).cloned() {
        done += 1;
        let found = ask(side, JANITOR, vec![children(&path, false)]);
        all.extend(found.iter().flat_map(names_of).map(|n| join(&path, &n)));
    }
    let ours: Vec<Req> =
        all.iter().rev().filter(|p| !BUILT_IN.contains(&p.as_str())).map(|p| delete(p, -1)).collect();
    for some in ours.chunks(BURST) {
        ask(side, JANITOR, some.to_vec());
    }
    let open_to_all = open();
    for path in ["/", "/zookeeper", "/zookeeper/quota"] {
        let shut =
            |e: &Event| is_answer(e, OpCode::GetAcl) && e.raw.get(16..43) != Some(OPEN_LIST.as_slice());
        if ask(side, JANITOR, vec![get_acl(path)]).iter().any(shut) {
            ask(side, JANITOR, vec![set_acl(path, &open_to_all, -1)]);
        }
    }
    ask(side, JANITOR, vec![bare(OpCode::CloseSession)]);
}

/// `world:anyone` with all bits, alone, as getACL answers it.
const OPEN_LIST: &[u8; 27] = b"\0\0\0\x01\0\0\0\x1f\0\0\0\x05world\0\0\0\x06anyone";

fn act(side: &mut Side, step: &Step) -> Vec<Event> {
    side.begin(step);
    side.finish(step).into_iter().flat_map(|(_, events)| events).collect()
}

fn ask(side: &mut Side, slot: usize, reqs: Vec<Req>) -> Vec<Event> {
    act(side, &Step::Send { slot, reqs })
}

fn join(parent: &str, name: &str) -> String {
    if parent == "/" { format!("/{name}") } else { format!("{parent}/{name}") }
}

fn is_reply(event: &Event, wanted: OpCode) -> bool {
    matches!(event.what, What::Reply { op, .. } if op == wanted.code())
}

fn changes_the_tree(op: i32) -> bool {
    use OpCode as O;
    let writes =
        [O::Create, O::Delete, O::SetData, O::SetAcl, O::Multi, O::Create2, O::CreateContainer, O::CreateTtl];
    writes.iter().any(|w| w.code() == op)
}

fn is_answer(event: &Event, wanted: OpCode) -> bool {
    matches!(event.what, What::Reply { op, err: 0 } if op == wanted.code())
}

/// The names in the answer to getChildren, sorted; none in any other event.
fn names_of(event: &Event) -> Vec<String> {
    if !is_answer(event, OpCode::GetChildren) {
        return Vec::new();
    }
    let mut r = Reader::new(&event.raw);
    let parsed = ReplyHeader::read(&mut r).and_then(|_| NamesResponse::read(&mut r));
    let names = parsed.ok().and_then(|n| n.names).unwrap_or_default();
    let mut names: Vec<String> = names.into_iter().flatten().map(|n| n.into_owned()).collect();
    names.sort();
    names
}

fn take(all: &mut [(usize, Vec<Event>)], slot: usize) -> Vec<Event> {
    all.iter_mut().filter(|(s, _)| *s == slot).flat_map(|(_, e)| std::mem::take(e)).collect()
}

fn nothing_but_pings(all: &[(usize, Vec<Event>)]) -> bool {
    all.iter().all(|(_, events)| events.len() == 1 && events.iter().all(|e| is_reply(e, OpCode::Ping)))
}

/// Notices of one closeSession in a fixed order, for the order of its deletions is not promised.
fn canonical(mut events: Vec<Event>, names: &Names) -> Vec<Event> {
    let alike = |a: &Event, b: &Event| {
        a.what == What::Notice
            && b.what == What::Notice
            && a.zxid == b.zxid
            && names.unordered.contains_key(&a.zxid)
    };
    for run in events.chunk_by_mut(alike) {
        run.sort_by(|a, b| a.bytes.cmp(&b.bytes));
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(zxid: i64, path: &str) -> Event {
        Event { what: What::Notice, bytes: path.into(), text: path.into(), raw: Vec::new(), zxid }
    }

    fn order(events: &[Event]) -> String {
        events.iter().map(|e| e.text.as_str()).collect()
    }

    #[test]
    fn only_deletions_of_an_ended_session_may_change_places() {
        let mut names = Names::start(0, false, false);
        names.unordered.insert(5, ());
        let mixed = vec![
            notice(4, "d"),
            notice(4, "c"),
            notice(5, "b"),
            notice(5, "a"),
            notice(6, "y"),
            notice(6, "x"),
        ];
        assert_eq!(order(&canonical(mixed, &names)), "dcabyx");
    }
}
