//! Keeps every connection of one thread filled with requests up to the depth, and checks what comes back.
//!
//! A closed loop: a reply makes room for a request. Requests that leave together share one moment of sending
//! and one write; replies that arrive together share one read and one moment of arrival.
//!
//! Invariant: requests of a connection are answered in order, so the oldest run of requests is the one that
//! the next reply belongs to.

use super::clock::Clock;
use super::dial::Session;
use super::failure::Failure;
use super::frame::next_xid;
use super::inbox::{Inbox, Scratch};
use super::options::{Plan, Span};
use super::poll::Poller;
use super::tally::{Faults, Latencies};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};

/// What one write carries at most, beyond one frame.
const WRITE: usize = 4 << 20;
/// How long to wait for events before looking at the clock again.
const NAP: u64 = 100_000_000;

/// Where requests come from.
pub(super) trait Source: Send {
    /// Appends the next request for this connection of the thread and says which shape it has, or appends
    /// nothing when there is no more to do.
    fn push(&mut self, lane: usize, xid: i32, out: &mut Vec<u8>) -> Option<usize>;

    /// What is known of each shape.
    fn shapes(&self) -> Vec<Shape>;
}

/// A kind of request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// Row of the report.
    pub(super) row: usize,
    /// Length of its reply behind the prefix when there is no error.
    pub(super) reply: usize,
    /// Operations that one request stands for.
    pub(super) weight: u64,
}

/// When to count: the same for all threads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// Counting starts here.
    pub(super) start: u64,
    /// For so long, or for so many operations of this thread.
    pub(super) span: Span,
}

/// What one thread counted.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) rows: Vec<Latencies>,
    /// Operations by row.
    pub(super) operations: Vec<u64>,
    pub(super) faults: Faults,
    /// When the last counted reply arrived.
    pub(super) last: u64,
}

/// Requests of one shape that left at one moment.
#[derive(Debug, Clone, Copy)]
struct Run {
    sent: u64,
    shape: usize,
    left: u64,
}

/// A connection.
#[derive(Debug)]
struct Lane {
    stream: TcpStream,
    inbox: Inbox,
    /// xid of the last request.
    asked: i32,
    /// xid of the next reply.
    due: i32,
    in_flight: usize,
    runs: VecDeque<Run>,
    /// What the socket had no room for.
    unsent: Vec<u8>,
    alive: bool,
}

/// The connections of one thread.
#[derive(Debug)]
pub(super) struct Pump<'a, S> {
    plan: &'a Plan,
    clock: Clock,
    window: Window,
    source: S,
    shapes: Vec<Shape>,
    poller: Poller,
    lanes: Vec<Lane>,
    scratch: Scratch,
    out: Vec<u8>,
    issuing: bool,
    counted: u64,
    outcome: Outcome,
    /// Operations answered so far, counted or not; for the progress line.
    served: &'a AtomicU64,
}

impl<'a, S: Source> Pump<'a, S> {
    pub(super) fn new(
        plan: &'a Plan,
        clock: Clock,
        sessions: Vec<Session>,
        source: S,
        rows: usize,
        served: &'a AtomicU64,
    ) -> Result<Self, Failure> {
        let poller = Poller::new()?;
        let mut lanes = Vec::with_capacity(sessions.len());
        for (token, session) in sessions.into_iter().enumerate() {
            poller.add(&session.stream, token, false).map_err(Failure::io("epoll"))?;
            lanes.push(Lane {
                stream: session.stream,
                inbox: Inbox::default(),
                asked: 0,
                due: 1,
                in_flight: 0,
                runs: VecDeque::new(),
                unsent: Vec::new(),
                alive: true,
            });
        }
        let outcome = Outcome {
            rows: vec![Latencies::new(); rows],
            operations: vec![0; rows],
            faults: Faults::default(),
            last: 0,
        };
        Ok(Self {
            plan,
            clock,
            window: Window { start: 0, span: Span::Count(0) },
            shapes: source.shapes(),
            source,
            poller,
            lanes,
            scratch: Scratch::new(),
            out: Vec::with_capacity(64 << 10),
            issuing: true,
            counted: 0,
            outcome,
            served,
        })
    }

    /// Runs until the window is over and every request is answered. Leaves sessions open; they are returned
    /// with the xid of their last request.
    pub(super) fn run(mut self, window: Window) -> Result<(Outcome, Vec<(TcpStream, i32)>), Failure> {
        self.window = window;
        let mut last_heard = self.clock.now();
        for token in 0..self.lanes.len() {
            self.guard(token, |pump| pump.refill(token, pump.clock.now()));
        }
        while self.lanes.iter().any(|lane| lane.alive && lane.in_flight > 0) {
            let ready = self.poller.wait(NAP)?;
            if ready.is_empty() {
                if self.clock.now().saturating_sub(last_heard) > self.plan.timeout {
                    let silent =
                        self.lanes.iter().filter(|lane| lane.alive).map(|lane| lane.in_flight as u64);
                    self.outcome.faults.unanswered += silent.sum::<u64>();
                    break;
                }
                continue;
            }
            for event in ready {
                if event.writable {
                    self.guard(event.token, |pump| pump.flush(event.token));
                }
                if event.readable {
                    self.guard(event.token, |pump| pump.serve(event.token));
                }
            }
            last_heard = self.clock.now();
        }
        let alive = self.lanes.into_iter().filter(|lane| lane.alive);
        Ok((self.outcome, alive.map(|lane| (lane.stream, lane.asked)).collect()))
    }

    /// Gives a connection up when something about it fails.
    fn guard(&mut self, token: usize, act: impl FnOnce(&mut Self) -> io::Result<()>) {
        if act(self).is_ok() {
            return;
        }
        let Some(lane) = self.lanes.get_mut(token) else { return };
        if lane.alive {
            lane.alive = false;
            self.outcome.faults.lost += 1;
            // A socket that was never registered or is gone already is as good as removed.
            let _ = self.poller.remove(&lane.stream);
        }
    }

    fn serve(&mut self, token: usize) -> io::Result<()> {
        let Some(lane) = self.lanes.get_mut(token) else { return Ok(()) };
        let Some(input) = lane.inbox.fill(&lane.stream, &mut self.scratch)? else { return Ok(()) };
        let now = self.clock.now();
        let counting = self.issuing && now >= self.window.start;
        let (shapes, outcome) = (&self.shapes, &mut self.outcome);
        let (due, in_flight, runs) = (&mut lane.due, &mut lane.in_flight, &mut lane.runs);
        let (mut good, mut operations) = (0, 0);
        let mut book = |run: &Run, shape: Option<&Shape>, n: u64| {
            let Some(shape) = shape else { return };
            operations += n * shape.weight;
            if counting && n > 0 {
                if let (Some(row), Some(sum)) =
                    (outcome.rows.get_mut(shape.row), outcome.operations.get_mut(shape.row))
                {
                    row.record(now.saturating_sub(run.sent), n);
                    *sum += n * shape.weight;
                }
                outcome.last = now;
            }
        };
        let faults = &mut outcome.faults;
        let taken = lane.inbox.take(input, |head, _| {
            let Some(run) = runs.front_mut() else {
                faults.out_of_order += 1;
                return false;
            };
            if head.xid != *due {
                faults.out_of_order += 1;
                return false;
            }
            let shape = shapes.get(run.shape);
            if head.err != 0 {
                faults.error(head.err, 1);
            } else if shape.is_some_and(|shape| shape.reply != head.len) {
                faults.wrong_length += 1;
            } else {
                good += 1;
            }
            *due = next_xid(*due);
            *in_flight -= 1;
            run.left -= 1;
            if run.left == 0 {
                book(run, shape, good);
                good = 0;
                runs.pop_front();
            }
            true
        });
        if let Some(run) = runs.front().filter(|_| good > 0) {
            book(run, shapes.get(run.shape), good);
        }
        if counting {
            self.counted += operations;
        }
        self.served.fetch_add(operations, Ordering::Relaxed);
        taken?;
        self.issuing = self.issuing
            && match self.window.span {
                Span::Time(length) => now < self.window.start.saturating_add(length),
                Span::Count(n) => self.counted < n,
            };
        self.refill(token, now)
    }

    /// Asks again until the depth is reached.
    fn refill(&mut self, token: usize, now: u64) -> io::Result<()> {
        let Some(lane) = self.lanes.get_mut(token) else { return Ok(()) };
        if !self.issuing || !lane.unsent.is_empty() {
            return Ok(());
        }
        self.out.clear();
        while lane.in_flight < self.plan.depth && self.out.len() < WRITE {
            let xid = next_xid(lane.asked);
            let Some(shape) = self.source.push(token, xid, &mut self.out) else { break };
            lane.asked = xid;
            lane.in_flight += 1;
            match lane.runs.back_mut() {
                Some(run) if run.sent == now && run.shape == shape => run.left += 1,
                _ => lane.runs.push_back(Run { sent: now, shape, left: 1 }),
            }
        }
        if self.out.is_empty() {
            return Ok(());
        }
        let sent = write_some(&lane.stream, &self.out)?;
        if let Some(rest) = self.out.get(sent..).filter(|rest| !rest.is_empty()) {
            lane.unsent.extend_from_slice(rest);
            self.poller.change(&lane.stream, token, true)?;
        }
        Ok(())
    }

    fn flush(&mut self, token: usize) -> io::Result<()> {
        let Some(lane) = self.lanes.get_mut(token) else { return Ok(()) };
        let sent = write_some(&lane.stream, &lane.unsent)?;
        lane.unsent.drain(..sent);
        if lane.unsent.is_empty() {
            self.poller.change(&lane.stream, token, false)?;
            return self.refill(token, self.clock.now());
        }
        Ok(())
    }
}

fn write_some(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    match stream.write(bytes) {
        Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(0),
        other => other,
    }
}
