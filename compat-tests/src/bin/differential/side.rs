//! One of the two servers: its connections, its names, and how a step is carried out there. It compares
//! nothing.
//!
//! Invariant: `begin` only writes and `finish` only reads, so that both servers work at the same time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use jute::codes::xid::PING;
use jute::{OpCode, writer};

use crate::clock;
use crate::conn::{Conn, Incoming, Owed};
use crate::event::{self, Event, What};
use crate::names::Names;
use crate::request::Req;
use crate::step::{Greeting, Passwd, SLOTS, Seen, Step, Wanted};

/// A server that owes something and says nothing for this long has nothing to say.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
struct Slot {
    conn: Option<Conn>,
    /// Replaced by `conn`, but not closed by us.
    old: Option<Conn>,
    session: i64,
}

#[derive(Debug)]
pub(crate) struct Side {
    addr: SocketAddr,
    pub(crate) names: Names,
    slots: Vec<Slot>,
    pub(crate) replies: u64,
    pub(crate) notices: u64,
}

impl Side {
    pub(crate) fn new(addr: SocketAddr) -> Self {
        let slots = (0..SLOTS + 2).map(|_| Slot::default()).collect();
        Self { addr, names: Names::default(), slots, replies: 0, notices: 0 }
    }

    /// Forgets all connections.
    pub(crate) fn reset(&mut self) {
        for slot in &mut self.slots {
            *slot = Slot::default();
        }
    }

    fn slot(&mut self, at: usize) -> &mut Slot {
        let Some(slot) = self.slots.get_mut(at) else {
            unreachable!("a sequence has {SLOTS} slots and two more")
        };
        slot
    }

    pub(crate) fn live(&self) -> Vec<usize> {
        let live = |(i, s): (usize, &Slot)| s.conn.as_ref().map(|_| i);
        self.slots.iter().enumerate().filter_map(live).collect()
    }

    /// The slot that holds this session's connection.
    pub(crate) fn holder(&self, session: i64) -> Option<usize> {
        self.slots.iter().position(|s| s.session == session && s.conn.is_some())
    }

    /// Writes what the step writes.
    pub(crate) fn begin(&mut self, step: &Step) {
        let last = self.names.last;
        match step {
            Step::Greet { slot, greeting } => {
                let bytes = self.greeting(greeting);
                self.connect(*slot, &bytes, greeting.steal, &greeting.behind);
            }
            Step::First { slot, bytes, .. } => self.connect(*slot, bytes, false, &[]),
            Step::Drop { slot } => self.slot(*slot).conn = None,
            Step::Send { slot, reqs } => {
                if let Some(conn) = &mut self.slot(*slot).conn {
                    let bytes = queue(conn, reqs, last);
                    conn.send(&bytes);
                }
            }
            Step::Bytes { slot, bytes, wait, .. } => {
                if let Some(conn) = &mut self.slot(*slot).conn {
                    conn.in_a_frame = !wait;
                    conn.send(bytes);
                }
            }
            Step::Barrier => {
                for slot in &mut self.slots {
                    if let Some(conn) = slot.conn.as_mut().filter(|c| !c.in_a_frame) {
                        let bytes = queue(conn, &[crate::request::ping()], last);
                        conn.send(&bytes);
                    }
                }
            }
        }
    }

    fn connect(&mut self, at: usize, bytes: &[u8], steal: bool, behind: &[Req]) {
        let (addr, last) = (self.addr, self.names.last);
        let slot = self.slot(at);
        let before = slot.conn.take();
        slot.old = before.filter(|_| steal);
        slot.conn = Conn::open(addr).ok();
        if let Some(conn) = &mut slot.conn {
            conn.greeting_owed = true;
            let mut out = bytes.to_vec();
            out.extend(queue(conn, behind, last));
            conn.send(&out);
        }
    }

    fn greeting(&mut self, g: &Greeting) -> Vec<u8> {
        let id = match g.wanted {
            Wanted::New => 0,
            Wanted::OfSlot(at) => self.slot(at).session,
            Wanted::Numbered(at) => self.names.sessions.get(at).map_or(0, |s| s.id),
            Wanted::Unknown(id) => id,
        };
        let own = self.names.sessions.iter().find(|s| s.id == id).map_or(vec![0; 16], |s| s.passwd.clone());
        let passwd = match g.passwd {
            Passwd::Right => Some(own),
            Passwd::Wrong => Some(own.iter().map(|b| b ^ 0x55).collect()),
            Passwd::Null => None,
            Passwd::Short => Some(own.iter().copied().take(7).collect()),
            Passwd::Long => Some(own.iter().copied().chain([1, 2, 3]).collect()),
        };
        let seen = match g.seen {
            Seen::Exactly(z) => z,
            Seen::Last(delta) => self.names.last.wrapping_add(delta),
        };
        let mut out = Vec::new();
        let mark = writer::begin_frame(&mut out);
        writer::i32(&mut out, 0);
        writer::i64(&mut out, seen);
        writer::i32(&mut out, g.timeout);
        writer::i64(&mut out, id);
        writer::buffer(&mut out, passwd.as_deref());
        if let Some(flag) = g.read_only {
            out.push(u8::from(flag));
        }
        out.extend_from_slice(&g.trailing);
        writer::end_frame(&mut out, mark);
        out
    }

    /// Reads what the step brings, per slot.
    pub(crate) fn finish(&mut self, step: &Step) -> Vec<(usize, Vec<Event>)> {
        let deadline = clock::now() + PATIENCE;
        match step {
            Step::Greet { slot, .. } | Step::First { slot, .. } => {
                let events = self.collect(*slot, deadline, step);
                let old = self.drain_old(*slot, deadline);
                vec![(*slot, events.into_iter().chain(old).collect())]
            }
            Step::Drop { .. } => Vec::new(),
            Step::Send { slot, .. } => vec![(*slot, self.collect(*slot, deadline, step))],
            Step::Bytes { slot, wait, .. } if *wait => vec![(*slot, self.one(*slot, deadline))],
            Step::Bytes { .. } => Vec::new(),
            Step::Barrier => {
                self.live().into_iter().map(|slot| (slot, self.collect(slot, deadline, step))).collect()
            }
        }
    }

    /// What the connection brings that this step's took the place of: nothing but its end, if it ends.
    fn drain_old(&mut self, at: usize, deadline: Instant) -> Option<Event> {
        let mut old = self.slot(at).old.take()?;
        let wait = deadline.min(clock::now() + Duration::from_millis(700));
        Some(match old.receive(wait) {
            Incoming::Frame(_) => Event::plain(What::Standing, "the old connection still talks"),
            Incoming::Closed => Event::plain(What::Closed, "the old connection is closed"),
            Incoming::Silence => Event::plain(What::Standing, "the old connection stands"),
        })
    }

    /// One frame, or the end; or both, where the frame announces it.
    fn one(&mut self, at: usize, deadline: Instant) -> Vec<Event> {
        let mut events = Vec::new();
        if self.receive(at, deadline, &mut events) && events.last().is_some_and(announces_end) {
            self.receive(at, deadline, &mut events);
        }
        events
    }

    /// All that is owed, and the end of the connection where the last reply announces it.
    fn collect(&mut self, at: usize, deadline: Instant, step: &Step) -> Vec<Event> {
        let mut events = Vec::new();
        if self.slot(at).conn.is_none() {
            if step.reconnects() {
                events.push(Event::plain(What::Refused, "the connection is refused"));
            }
            return events;
        }
        while self.slot(at).conn.as_ref().is_some_and(|c| c.greeting_owed || !c.owed.is_empty()) {
            if !self.receive(at, deadline, &mut events) {
                break;
            }
        }
        if self.slot(at).conn.is_some() && events.last().is_some_and(announces_end) {
            self.receive(at, deadline, &mut events);
        }
        events
    }

    /// One more event; false when there will be none.
    fn receive(&mut self, at: usize, deadline: Instant, events: &mut Vec<Event>) -> bool {
        let Some(slot) = self.slots.get_mut(at) else { return false };
        let Some(conn) = &mut slot.conn else { return false };
        let frame = match conn.receive(deadline) {
            Incoming::Frame(frame) => frame,
            Incoming::Closed => {
                slot.conn = None;
                events.push(Event::plain(What::Closed, "the connection is closed"));
                return false;
            }
            Incoming::Silence => {
                conn.owed.clear();
                conn.greeting_owed = false;
                events.push(Event::plain(What::Silence, "no answer"));
                return false;
            }
        };
        // The reference carries createSession out and answers it like a first frame.
        let as_greeting =
            conn.owed.front().is_some_and(|o| o.op == OpCode::CreateSession.code()) && frame.len() > 16;
        let event = if conn.greeting_owed || as_greeting {
            if !std::mem::take(&mut conn.greeting_owed) {
                conn.owed.pop_front();
            }
            let (event, id) = event::greeting(&frame, &mut self.names);
            if id != 0 {
                slot.session = id;
            }
            event
        } else {
            event::frame(&frame, &mut self.names, &mut conn.owed)
        };
        match event.what {
            What::Notice => self.notices += 1,
            _ => self.replies += 1,
        }
        if let What::Reply { op, err: 0 } = event.what
            && op == OpCode::CloseSession.code()
        {
            self.names.unordered.insert(event.zxid, ());
            if let Some(s) = self.names.sessions.iter_mut().find(|s| s.id == slot.session) {
                s.closed = true;
            }
        }
        events.push(event);
        true
    }
}

/// After these the server closes: a refused greeting, the end of a session, a failed login, an operation that
/// does not exist.
fn announces_end(event: &Event) -> bool {
    match event.what {
        What::Greeting => event.raw.get(4..8) == Some(&[0; 4]),
        What::Reply { err: -115 | -124, .. } => true,
        What::Reply { op, err } => {
            op == OpCode::CloseSession.code() || (err == -6 && !may_be_switched_off(op))
        }
        _ => false,
    }
}

/// Operations that answer Unimplemented while the connection stays.
fn may_be_switched_off(op: i32) -> bool {
    use OpCode as O;
    [O::Create, O::Create2, O::CreateContainer, O::CreateTtl, O::Reconfig].iter().any(|o| o.code() == op)
}

fn queue(conn: &mut Conn, reqs: &[Req], last: i64) -> Vec<u8> {
    let mut out = Vec::new();
    for req in reqs {
        let xid = req.xid.unwrap_or_else(|| conn.xid());
        out.extend(req.frame(xid, last));
        let answer = if req.op == OpCode::Ping.code() { PING } else { xid };
        conn.owed.push_back(Owed { xid: answer, op: req.op });
    }
    out
}
