//! Idle sessions: open many, keep them alive with heartbeats, see what they cost the server.

use super::clock::{Clock, SECOND, seconds};
use super::control::Control;
use super::dial;
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
use std::io::Write;
use std::net::TcpStream;

/// xid of heartbeats.
const PING: i32 = -2;
/// How often the round of heartbeats goes on.
const STRIDE: u64 = 20_000_000;

#[derive(Debug)]
struct Sleeper {
    stream: TcpStream,
    inbox: Inbox,
    /// When the heartbeat left that was not answered yet.
    asked: Option<u64>,
}

/// Opens them, holds them, ends them.
pub(super) fn run(plan: &Plan, clock: Clock) -> Result<Report, Failure> {
    let line = Line::new(plan);
    // One session first, so that what a server sets up for its first client is not counted.
    let control = Control::open(plan, clock)?;
    let look = || plan.server_pid.map(gauge::look).transpose();
    let before = look()?;
    let begin = clock.now();
    let sessions = dial::open_all(plan, clock, plan.connections, |n| line.say(format!("{n} sessions open")))?;
    let opened = clock.now();
    let granted = sessions.iter().map(|session| session.timeout).min().unwrap_or(plan.session_timeout);
    let poller = Poller::new()?;
    let mut sleepers = Vec::with_capacity(sessions.len());
    for (token, session) in sessions.into_iter().enumerate() {
        poller.add(&session.stream, token, false).map_err(Failure::io("epoll"))?;
        sleepers.push(Sleeper { stream: session.stream, inbox: Inbox::default(), asked: None });
    }
    let mut row = Row { name: "ping", operations: 0, latencies: Latencies::new() };
    let mut faults = Faults::default();
    hold(plan, clock, granted, poller, &mut sleepers, &mut row, &mut faults, &line)?;
    let elapsed = clock.now() - opened;
    let after = look()?;
    let mut facts = vec![("sessions", figure(sleepers.len())), ("open_seconds", seconds(opened - begin))];
    if let (Some(before), Some(after)) = (before, after) {
        let grown = after.resident.saturating_sub(before.resident) * 1024;
        let grown = figure(usize::try_from(grown).unwrap_or(usize::MAX));
        facts.push(("resident_bytes_per_session", grown / figure(sleepers.len().max(1))));
    }
    line.say("closing");
    dial::close_all(sleepers.into_iter().map(|s| (s.stream, 0)).collect(), plan.timeout);
    drop(control);
    Ok(Report { rows: vec![row], faults, elapsed, looks: before.zip(after), facts })
}

/// Sends heartbeats to each in turn, every one three times per session timeout.
#[expect(clippy::too_many_arguments, reason = "a loop with its surroundings, used once")]
fn hold(
    plan: &Plan,
    clock: Clock,
    granted: i32,
    poller: Poller,
    sleepers: &mut [Sleeper],
    row: &mut Row,
    faults: &mut Faults,
    line: &Line,
) -> Result<(), Failure> {
    let ping = frame::request(PING, OpCode::Ping, &());
    let interval = (u64::try_from(granted).unwrap_or(1) * 1_000_000 / 3).max(STRIDE);
    let begin = clock.now();
    let length = match plan.span {
        Span::Time(length) => length,
        Span::Count(_) => 10 * SECOND,
    };
    let mut scratch = Scratch::new();
    let mut sent: u64 = 0;
    let mut open: Vec<bool> = vec![true; sleepers.len()];
    loop {
        let past = clock.now() - begin;
        let is_over = past >= length;
        if is_over && (sleepers.iter().all(|s| s.asked.is_none()) || past >= length + plan.timeout) {
            faults.unanswered += sleepers.iter().filter(|s| s.asked.is_some()).count() as u64;
            return Ok(());
        }
        // 128 bits: sessions times nanoseconds.
        let due = u128::from(past.min(length)) * sleepers.len() as u128 / u128::from(interval);
        while u128::from(sent) < due {
            let token = usize::try_from(sent).unwrap_or(0) % sleepers.len().max(1);
            sent += 1;
            let (Some(sleeper), Some(true)) = (sleepers.get_mut(token), open.get(token)) else { continue };
            sleeper.asked = Some(clock.now());
            if (&sleeper.stream).write_all(&ping).is_err() {
                lose(&poller, sleeper, open.get_mut(token), faults);
            }
        }
        line.say(format!("{} sessions held, {} heartbeats answered", sleepers.len(), row.operations));
        for ready in poller.wait(STRIDE)? {
            let Some(sleeper) = sleepers.get_mut(ready.token) else { continue };
            let taken = match sleeper.inbox.fill(&sleeper.stream, &mut scratch) {
                Ok(None) => Ok(()),
                Ok(Some(input)) => {
                    let now = clock.now();
                    let asked = &mut sleeper.asked;
                    sleeper.inbox.take(input, |head, _| {
                        match (asked.take(), head.xid, head.err) {
                            (Some(since), PING, 0) => {
                                row.operations += 1;
                                row.latencies.record(now.saturating_sub(since), 1);
                            }
                            (_, PING, err) if err != 0 => faults.error(err, 1),
                            _ => faults.out_of_order += 1,
                        }
                        true
                    })
                }
                Err(error) => Err(error),
            };
            if taken.is_err() {
                lose(&poller, sleeper, open.get_mut(ready.token), faults);
            }
        }
    }
}

fn lose(poller: &Poller, sleeper: &mut Sleeper, open: Option<&mut bool>, faults: &mut Faults) {
    if let Some(open) = open.filter(|open| **open) {
        *open = false;
        faults.lost += 1;
        sleeper.asked = None;
        // It will not be looked at again; that it may be gone already is fine.
        let _ = poller.remove(&sleeper.stream);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn figure(n: usize) -> f64 {
    n as f64
}
