//! Sessions per second: every slot connects, shakes hands, ends its session, and begins again.

use super::clock::Clock;
use super::dial::{Attempt, Progress};
use super::failure::Failure;
use super::frame;
use super::gauge;
use super::inbox::{Inbox, Scratch};
use super::options::{Plan, Span};
use super::poll::Poller;
use super::progress::Line;
use super::report::{Report, Row};
use super::tally::{Faults, Latencies};
use jute::OpCode;
use std::io::{self, Write};
use std::net::TcpStream;

/// xid of the only request of a session.
const CLOSE: i32 = 1;
/// How long to wait for events before looking at the clock again.
const NAP: u64 = 100_000_000;

/// What a slot is doing, and since when.
#[derive(Debug)]
enum Slot {
    Opening(Attempt, u64),
    /// The server answers and then closes the connection; whoever closes first has the port blocked for a
    /// while, so the client waits for it.
    Closing(TcpStream, Inbox, u64, bool),
    Idle,
}

#[derive(Debug)]
struct Turnstile<'a> {
    plan: &'a Plan,
    clock: Clock,
    poller: Poller,
    scratch: Scratch,
    slots: Vec<Slot>,
    attempts: usize,
    start: u64,
    issuing: bool,
    opened: Row,
    closed: Row,
    faults: Faults,
    last: u64,
}

/// Runs it.
pub(super) fn run(plan: &Plan, clock: Clock) -> Result<Report, Failure> {
    let line = Line::new(plan);
    let row = |name| Row { name, operations: 0, latencies: Latencies::new() };
    let start = clock.now() + plan.warmup;
    let mut turnstile = Turnstile {
        plan,
        clock,
        poller: Poller::new()?,
        scratch: Scratch::new(),
        slots: (0..plan.connections).map(|_| Slot::Idle).collect(),
        attempts: 0,
        start,
        issuing: true,
        opened: row("connect"),
        closed: row("close"),
        faults: Faults::default(),
        last: start,
    };
    let look = || plan.server_pid.map(gauge::look).transpose();
    let mut before = look()?;
    let mut warm = false;
    for token in 0..plan.connections {
        turnstile.begin(token)?;
    }
    let mut heard = clock.now();
    while turnstile.slots.iter().any(|slot| !matches!(slot, Slot::Idle)) {
        let ready = turnstile.poller.wait(NAP)?;
        let now = clock.now();
        if !warm && now >= start {
            (warm, before) = (true, look()?);
        }
        turnstile.issuing = turnstile.issuing
            && match plan.span {
                Span::Time(length) => now < start.saturating_add(length),
                Span::Count(n) => turnstile.opened.operations < n,
            };
        if !ready.is_empty() {
            heard = now;
        } else if now.saturating_sub(heard) > plan.timeout {
            let busy = turnstile.slots.iter().filter(|slot| !matches!(slot, Slot::Idle));
            turnstile.faults.unanswered += busy.count() as u64;
            break;
        }
        for event in ready {
            turnstile.advance(event.token, event.writable)?;
        }
        line.say(format!("{} sessions", turnstile.opened.operations));
    }
    let after = look()?;
    let elapsed = match plan.span {
        Span::Time(length) => length,
        Span::Count(_) => turnstile.last - start,
    };
    let Turnstile { opened, closed, faults, .. } = turnstile;
    Ok(Report { rows: vec![opened, closed], faults, elapsed, looks: before.zip(after), facts: Vec::new() })
}

impl Turnstile<'_> {
    fn begin(&mut self, token: usize) -> Result<(), Failure> {
        let Some(slot) = self.slots.get_mut(token) else { return Ok(()) };
        *slot = Slot::Idle;
        if self.issuing {
            let attempt = Attempt::start(self.plan, self.attempts).map_err(Failure::io("connect"))?;
            self.attempts += 1;
            self.poller.add(&attempt.stream, token, true).map_err(Failure::io("epoll"))?;
            *slot = Slot::Opening(attempt, self.clock.now());
        }
        Ok(())
    }

    fn advance(&mut self, token: usize, writable: bool) -> Result<(), Failure> {
        match self.act(token, writable) {
            Ok(false) => Ok(()),
            Ok(true) => self.begin(token),
            Err(_) => {
                self.faults.lost += 1;
                // A server that refuses everybody would otherwise be asked in a tight loop for ever.
                self.issuing &= self.faults.total() < 1000;
                self.begin(token)
            }
        }
    }

    /// Whether the session is over.
    fn act(&mut self, token: usize, writable: bool) -> io::Result<bool> {
        let Some(place) = self.slots.get_mut(token) else { return Ok(false) };
        match std::mem::replace(place, Slot::Idle) {
            Slot::Idle => Ok(false),
            Slot::Opening(mut attempt, since) => match attempt.advance(writable)? {
                Progress::Waiting => {
                    *place = Slot::Opening(attempt, since);
                    Ok(false)
                }
                Progress::Greeted => {
                    self.poller.change(&attempt.stream, token, false)?;
                    *place = Slot::Opening(attempt, since);
                    Ok(false)
                }
                Progress::Open(_) => {
                    let now = self.clock.now();
                    let stream = attempt.stream;
                    (&stream).write_all(&frame::request(CLOSE, OpCode::CloseSession, &()))?;
                    *place = Slot::Closing(stream, Inbox::default(), now, false);
                    if self.issuing && now >= self.start {
                        self.opened.operations += 1;
                        self.opened.latencies.record(now.saturating_sub(since), 1);
                        self.last = now;
                    }
                    Ok(false)
                }
            },
            Slot::Closing(stream, mut inbox, since, mut answered) => {
                let input = match inbox.fill(&stream, &mut self.scratch) {
                    Ok(input) => input,
                    Err(error) if answered && error.kind() == io::ErrorKind::UnexpectedEof => {
                        return Ok(true);
                    }
                    Err(error) => return Err(error),
                };
                if let Some(input) = input {
                    let now = self.clock.now();
                    let faults = &mut self.faults;
                    inbox.take(input, |head, _| {
                        match (head.xid, head.err) {
                            (CLOSE, 0) => {}
                            (CLOSE, err) => faults.error(err, 1),
                            _ => faults.out_of_order += 1,
                        }
                        answered = true;
                        true
                    })?;
                    if self.issuing && answered && now >= self.start {
                        self.closed.operations += 1;
                        self.closed.latencies.record(now.saturating_sub(since), 1);
                    }
                }
                *place = Slot::Closing(stream, inbox, since, answered);
                Ok(false)
            }
        }
    }
}
