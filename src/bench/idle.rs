//! Idle sessions: open many, keep them alive with heartbeats, see what they cost the server.
//!
//! Sessions are opened in groups and heartbeats go on between groups: opening many on a slow server takes
//! longer than a session lives without one.

use super::clock::{Clock, SECOND, seconds};
use super::control::Control;
use super::dial::{self, Session};
use super::failure::Failure;
use super::frame;
use super::gauge::{self, Look};
use super::inbox::{Inbox, Scratch};
use super::options::{Plan, Span};
use super::poll::{Poller, Ready};
use super::progress::Line;
use super::report::{Report, Row};
use super::tally::{Faults, Latencies};
use jute::OpCode;
use std::io::Write;
use std::net::TcpStream;

/// xid of heartbeats.
const PING: i32 = -2;
/// How long to wait for answers before the next heartbeats are due.
const STRIDE: u64 = 20_000_000;
/// Sessions opened at a time.
const GROUP: usize = 200;

#[derive(Debug)]
struct Sleeper {
    stream: TcpStream,
    inbox: Inbox,
    /// When the last heartbeat left, or the session was opened.
    last: u64,
    /// That heartbeat was not answered yet.
    is_asked: bool,
    is_open: bool,
}

#[derive(Debug)]
struct Dormitory {
    clock: Clock,
    poller: Poller,
    scratch: Scratch,
    sleepers: Vec<Sleeper>,
    ping: Vec<u8>,
    /// Nanoseconds between two heartbeats of a session: a third of the least timeout granted.
    interval: u64,
    /// Whose turn it is; heartbeats go round in the order of opening.
    turn: usize,
    row: Row,
    faults: Faults,
}

/// Opens them, holds them, ends them.
pub(super) fn run(plan: &Plan, clock: Clock) -> Result<Report, Failure> {
    let line = Line::new(plan);
    let look = || plan.server_pid.map(gauge::look).transpose();
    // One session first and last, so that what a server sets up for its first client is not counted.
    drop(Control::open(plan, clock)?);
    let mut dormitory = Dormitory {
        clock,
        poller: Poller::new()?,
        scratch: Scratch::new(),
        sleepers: Vec::with_capacity(plan.connections),
        ping: frame::request(PING, OpCode::Ping, &()),
        interval: u64::MAX,
        turn: 0,
        row: Row { name: "ping", operations: 0, latencies: Latencies::new() },
        faults: Faults::default(),
    };
    let (before, begin) = (look()?, clock.now());
    while dormitory.sleepers.len() < plan.connections {
        let group = GROUP.min(plan.connections - dormitory.sleepers.len());
        for session in dial::open_all(plan, clock, group, |_| {})? {
            dormitory.admit(session)?;
        }
        line.say(format!("{} sessions open", dormitory.sleepers.len()));
        dormitory.tend(0)?;
    }
    let opened = clock.now();
    let length = match plan.span {
        Span::Time(length) => length,
        Span::Count(_) => 10 * SECOND,
    };
    while clock.now() - opened < length {
        dormitory.tend(STRIDE)?;
        line.say(format!("{} sessions, {} heartbeats", plan.connections, dormitory.row.operations));
    }
    dormitory.interval = u64::MAX;
    let ended = clock.now();
    while dormitory.sleepers.iter().any(|s| s.is_asked) && clock.now() - ended < plan.timeout {
        dormitory.tend(STRIDE)?;
    }
    let after = look()?;
    let Dormitory { sleepers, row, mut faults, .. } = dormitory;
    faults.unanswered += sleepers.iter().filter(|s| s.is_asked).count() as u64;
    let facts = facts(plan.connections, opened - begin, before.zip(after));
    line.say("closing");
    dial::close_all(sleepers.into_iter().map(|s| (s.stream, 0)).collect(), plan.timeout);
    Ok(Report { rows: vec![row], faults, elapsed: ended - opened, looks: before.zip(after), facts })
}

fn facts(sessions: usize, opening: u64, looks: Option<(Look, Look)>) -> Vec<(&'static str, f64)> {
    let mut facts = vec![("sessions", figure(sessions as u64)), ("open_seconds", seconds(opening))];
    if let Some((before, after)) = looks {
        let grown = figure(after.resident.saturating_sub(before.resident) * 1024);
        facts.push(("resident_bytes_per_session", grown / figure(sessions.max(1) as u64)));
    }
    facts
}

impl Dormitory {
    fn admit(&mut self, session: Session) -> Result<(), Failure> {
        let Session { stream, timeout } = session;
        self.poller.add(&stream, self.sleepers.len(), false).map_err(Failure::io("epoll"))?;
        self.interval = self.interval.min(u64::try_from(timeout).unwrap_or(1) * 1_000_000 / 3);
        let last = self.clock.now();
        self.sleepers.push(Sleeper { stream, inbox: Inbox::default(), last, is_asked: false, is_open: true });
        Ok(())
    }

    /// Sends the heartbeats that are due and takes the answers that are there.
    fn tend(&mut self, at_most: u64) -> Result<(), Failure> {
        let now = self.clock.now();
        for _ in 0..self.sleepers.len() {
            let Some(sleeper) = self.sleepers.get_mut(self.turn) else {
                self.turn = 0;
                continue;
            };
            if sleeper.is_open {
                // The order of turns is the order of due times.
                if now.saturating_sub(sleeper.last) < self.interval {
                    break;
                }
                if !sleeper.is_asked {
                    sleeper.last = now;
                    sleeper.is_asked = true;
                    if (&sleeper.stream).write_all(&self.ping).is_err() {
                        self.lose(self.turn);
                    }
                }
            }
            self.turn += 1;
        }
        for ready in self.poller.wait(at_most)? {
            self.hear(ready);
        }
        Ok(())
    }

    fn hear(&mut self, ready: Ready) {
        let Some(sleeper) = self.sleepers.get_mut(ready.token) else { return };
        let taken = match sleeper.inbox.fill(&sleeper.stream, &mut self.scratch) {
            Ok(None) => return,
            Ok(Some(input)) => {
                let now = self.clock.now();
                let (is_asked, since) = (&mut sleeper.is_asked, sleeper.last);
                let (row, faults) = (&mut self.row, &mut self.faults);
                sleeper.inbox.take(input, |head, _| {
                    match (std::mem::take(is_asked), head.xid, head.err) {
                        (true, PING, 0) => {
                            row.operations += 1;
                            row.latencies.record(now.saturating_sub(since), 1);
                        }
                        (true, PING, err) => faults.error(err, 1),
                        _ => faults.out_of_order += 1,
                    }
                    true
                })
            }
            Err(error) => Err(error),
        };
        if taken.is_err() {
            self.lose(ready.token);
        }
    }

    fn lose(&mut self, token: usize) {
        let Some(sleeper) = self.sleepers.get_mut(token).filter(|sleeper| sleeper.is_open) else { return };
        sleeper.is_open = false;
        sleeper.is_asked = false;
        self.faults.lost += 1;
        // It will not be looked at again; that it may be gone already is fine.
        let _ = self.poller.remove(&sleeper.stream);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn figure(n: u64) -> f64 {
    n as f64
}
