//! Watch fan-out: every connection watches one node; how long until all of them know that it changed.

use super::clock::Clock;
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

/// xid of notifications.
const NOTIFICATION: i32 = -1;
/// Rounds that are not counted.
const WARM_UP: u64 = 3;

/// A connection that watches.
#[derive(Debug)]
struct Watcher {
    stream: TcpStream,
    inbox: Inbox,
    xid: i32,
}

/// All of them.
#[derive(Debug)]
struct Crowd<'a> {
    plan: &'a Plan,
    clock: Clock,
    poller: Poller,
    watchers: Vec<Watcher>,
    scratch: Scratch,
    faults: Faults,
}

/// What every watcher is to hear next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Reply,
    Notification,
}

/// Runs the rounds.
pub(super) fn run(plan: &Plan, clock: Clock) -> Result<Report, Failure> {
    let line = Line::new(plan);
    let rounds = match plan.span {
        Span::Count(n) => n,
        Span::Time(_) => 20,
    };
    let path = format!("{}/watched", plan.root);
    let data = vec![b'w'; plan.value_size];
    let mut control = Control::open(plan, clock)?;
    control.create_path(&plan.root)?;
    control.create(&path, &data)?;
    let sessions = dial::open_all(plan, clock, plan.connections, |n| line.say(format!("{n} sessions open")))?;
    let poller = Poller::new()?;
    let mut watchers = Vec::with_capacity(sessions.len());
    for (token, session) in sessions.into_iter().enumerate() {
        poller.add(&session.stream, token, false).map_err(Failure::io("epoll"))?;
        watchers.push(Watcher { stream: session.stream, inbox: Inbox::default(), xid: 0 });
    }
    let mut crowd =
        Crowd { plan, clock, poller, watchers, scratch: Scratch::new(), faults: Faults::default() };
    let mut all = Row { name: "all notified", operations: 0, latencies: Latencies::new() };
    let mut each = Row { name: "each watcher", operations: 0, latencies: Latencies::new() };
    let look = || plan.server_pid.map(gauge::look).transpose();
    let (mut begin, mut before) = (clock.now(), look()?);
    for round in 0..WARM_UP + rounds {
        if round == WARM_UP {
            (begin, before) = (clock.now(), look()?);
        }
        crowd.register(&path)?;
        let sent = clock.now();
        control.send_set_data(&path, &data)?;
        let mut told = Vec::with_capacity(plan.connections);
        crowd.hear(Due::Notification, |now| told.push(now))?;
        control.settle()?;
        line.say(format!("round {round} of {}", WARM_UP + rounds));
        if round >= WARM_UP {
            for &now in &told {
                each.latencies.record(now.saturating_sub(sent), 1);
            }
            each.operations += told.len() as u64;
            let last = told.last().copied().unwrap_or(sent);
            all.latencies.record(last.saturating_sub(sent), 1);
            all.operations += 1;
        }
        if !crowd.faults.is_clean() {
            break;
        }
    }
    let (elapsed, after) = (clock.now() - begin, look()?);
    let faults = crowd.faults;
    dial::close_all(crowd.watchers.into_iter().map(|w| (w.stream, w.xid)).collect(), plan.timeout);
    if !plan.keep {
        control.remove_tree(&plan.root)?;
    }
    Ok(Report { rows: vec![all, each], faults, elapsed, looks: before.zip(after), facts: Vec::new() })
}

impl Crowd<'_> {
    /// Every connection reads the node and leaves a watch.
    fn register(&mut self, path: &str) -> Result<(), Failure> {
        for watcher in &mut self.watchers {
            watcher.xid = frame::next_xid(watcher.xid);
            let bytes = frame::request(watcher.xid, OpCode::GetData, &frame::watch_request(path, true));
            watcher.stream.write_all(&bytes).map_err(Failure::io("watching connection"))?;
        }
        self.hear(Due::Reply, |_| {})
    }

    /// Waits until every connection has heard one thing; `each` is told when.
    fn hear(&mut self, due: Due, mut each: impl FnMut(u64)) -> Result<(), Failure> {
        let mut heard = 0;
        while heard < self.watchers.len() {
            let mut silent = true;
            for ready in self.poller.wait(self.plan.timeout)? {
                silent = false;
                let Some(watcher) = self.watchers.get_mut(ready.token) else { continue };
                let failed = Failure::io("watching connection");
                let input = match watcher.inbox.fill(&watcher.stream, &mut self.scratch) {
                    Ok(Some(input)) => input,
                    Ok(None) => continue,
                    Err(error) => return Err(failed(error)),
                };
                let now = self.clock.now();
                let (xid, faults, expected) = (watcher.xid, &mut self.faults, reply_len(self.plan));
                let taken = watcher.inbox.take(input, |head, _| {
                    if head.xid != (if due == Due::Reply { xid } else { NOTIFICATION }) {
                        faults.out_of_order += 1;
                    } else if head.err != 0 {
                        faults.error(head.err, 1);
                    } else if due == Due::Reply && head.len != expected {
                        faults.wrong_length += 1;
                    }
                    heard += 1;
                    each(now);
                    true
                });
                taken.map_err(failed)?;
            }
            if silent {
                self.faults.unanswered += (self.watchers.len() - heard) as u64;
                break;
            }
        }
        Ok(())
    }
}

fn reply_len(plan: &Plan) -> usize {
    frame::REPLY_HEADER + 4 + plan.value_size + frame::STAT
}
