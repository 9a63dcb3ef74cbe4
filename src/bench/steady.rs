//! Workloads that keep every connection filled: read, write, mixed, create, load.

use super::clock::{Clock, SECOND};
use super::control::Control;
use super::dial::{self, Session};
use super::failure::Failure;
use super::frame::{self, DIGITS, REPLY_HEADER, STAT, Template};
use super::gauge;
use super::options::{Plan, Span, Workload};
use super::progress::Line;
use super::pump::{Outcome, Pump, Shape, Source, Window};
use super::report::{Report, Row};
use super::tally::{Faults, Latencies};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Children of one parent in load: as many as real trees tend to have at most.
const SIBLINGS: u32 = 1000;

/// Prepares the nodes, runs the workload, cleans up.
pub(super) fn run(plan: &Plan, clock: Clock) -> Result<Report, Failure> {
    let value = value(plan.value_size);
    let stem = format!("{}/n", plan.root);
    {
        let mut control = Control::open(plan, clock)?;
        control.create_path(&plan.root)?;
        let parents = format!("{}/p", plan.root);
        match plan.workload {
            Workload::Create => control.create_numbered(&parents, count(plan.connections), &[])?,
            Workload::Load => control.create_numbered(&parents, plan.nodes.div_ceil(SIBLINGS), &[])?,
            _ => control.create_numbered(&stem, plan.nodes, &value)?,
        }
    }
    let shares = shares(plan.connections, plan.threads);
    let report = match plan.workload {
        Workload::Create => {
            let mut first = 0;
            let sources = shares.iter().map(|&lanes| {
                let own = first..first + count(lanes);
                first = own.end;
                Creates::new(plan, own, &value)
            });
            measure(plan, clock, sources.collect(), &["create"])
        }
        Workload::Load => {
            let sources = (0..count(plan.threads)).map(|thread| Loads::new(plan, thread, &value));
            measure(plan, clock, sources.collect(), &["load"])
        }
        _ => {
            let percent = match plan.workload {
                Workload::Read => 100,
                Workload::Write => 0,
                _ => plan.ratio,
            };
            let sources = (0..plan.threads).map(|thread| Mix::new(plan, thread, percent, &stem, &value));
            let rows: &[&'static str] = match plan.workload {
                Workload::Read => &["read"],
                Workload::Write => &["write"],
                _ => &["read", "write"],
            };
            measure(plan, clock, sources.collect(), rows)
        }
    };
    if !plan.keep {
        Control::open(plan, clock)?.remove_tree(&plan.root)?;
    }
    report
}

/// Opens the connections, drives them from all threads, sums up.
fn measure<S: Source>(
    plan: &Plan,
    clock: Clock,
    sources: Vec<S>,
    names: &[&'static str],
) -> Result<Report, Failure> {
    let line = Line::new(plan);
    let mut sessions =
        dial::open_all(plan, clock, plan.connections, |n| line.say(format!("{n} sessions open")))?;
    let served = AtomicU64::new(0);
    let running = AtomicUsize::new(sources.len());
    let barrier = Barrier::new(sources.len() + 1);
    let start = AtomicU64::new(0);
    let shares = shares(plan.connections, plan.threads);
    let mut pumps = Vec::new();
    for (share, source) in shares.into_iter().zip(sources) {
        let own: Vec<Session> = sessions.drain(..share.min(sessions.len())).collect();
        pumps.push(Pump::new(plan, clock, own, source, names.len(), &served)?);
    }
    let span = match plan.span {
        Span::Count(n) => Span::Count(n.div_ceil(pumps.len().max(1) as u64)),
        time => time,
    };
    let before = AtomicU64::new(0);
    thread::scope(|scope| {
        let workers: Vec<_> = pumps
            .into_iter()
            .map(|pump| {
                let (barrier, start, running) = (&barrier, &start, &running);
                scope.spawn(move || {
                    barrier.wait();
                    let result = pump.run(Window { start: start.load(Ordering::Acquire), span });
                    running.fetch_sub(1, Ordering::AcqRel);
                    result
                })
            })
            .collect();
        let begin = clock.now() + plan.warmup;
        start.store(begin, Ordering::Release);
        barrier.wait();
        let looks = watch_over(plan, clock, begin, &line, &served, &running, &before)?;
        let mut outcomes = Vec::new();
        let mut streams = Vec::new();
        for worker in workers {
            let joined = worker.join().map_err(|_| Failure::Server("a client thread failed".into()))?;
            let (outcome, own) = joined?;
            outcomes.push(outcome);
            streams.extend(own);
        }
        dial::close_all(streams, plan.timeout);
        drop(line);
        Ok(sum_up(plan, begin, outcomes, names, looks))
    })
}

/// Shows progress while the threads work, and looks at the server's process when counting starts and ends.
fn watch_over(
    plan: &Plan,
    clock: Clock,
    begin: u64,
    line: &Line,
    served: &AtomicU64,
    running: &AtomicUsize,
    before: &AtomicU64,
) -> Result<Option<(gauge::Look, gauge::Look)>, Failure> {
    let end = match plan.span {
        Span::Time(length) => begin.saturating_add(length),
        Span::Count(_) => u64::MAX,
    };
    let look = || plan.server_pid.map(gauge::look).transpose();
    let pace = u64::try_from(Line::PACE.as_nanos()).unwrap_or(SECOND);
    let mut first = None;
    loop {
        let now = clock.now();
        if first.is_none() && now >= begin {
            first = look()?;
            if first.is_none() {
                first = Some(gauge::Look::default());
            }
        }
        if now >= end || running.load(Ordering::Acquire) == 0 {
            let last = look()?;
            return Ok(first.zip(last));
        }
        let seen = served.load(Ordering::Relaxed);
        let fresh = seen - before.swap(seen, Ordering::Relaxed);
        line.say(format!("{seen} done, {} per second", fresh.saturating_mul(SECOND / pace)));
        let boundary = if now < begin { begin } else { end };
        // Short naps while a count runs out, so that the last look is not late.
        let nap = if end == u64::MAX { pace.min(20_000_000) } else { pace };
        thread::sleep(Duration::from_nanos(nap.min(boundary - now)));
    }
}

fn sum_up(
    plan: &Plan,
    begin: u64,
    outcomes: Vec<Outcome>,
    names: &[&'static str],
    looks: Option<(gauge::Look, gauge::Look)>,
) -> Report {
    let mut faults = Faults::default();
    let mut rows: Vec<Row> =
        names.iter().map(|name| Row { name, operations: 0, latencies: Latencies::new() }).collect();
    let mut last = begin;
    for outcome in outcomes {
        faults.merge(&outcome.faults);
        last = last.max(outcome.last);
        for ((row, latencies), operations) in rows.iter_mut().zip(&outcome.rows).zip(&outcome.operations) {
            row.latencies.merge(latencies);
            row.operations += operations;
        }
    }
    let elapsed = match plan.span {
        Span::Time(length) => length,
        Span::Count(_) => last - begin,
    };
    Report { rows, faults, elapsed, looks, facts: Vec::new() }
}

/// Connections of each thread.
fn shares(connections: usize, threads: usize) -> Vec<usize> {
    let (each, more) = (connections / threads.max(1), connections % threads.max(1));
    (0..threads).map(|thread| each + usize::from(thread < more)).collect()
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Data that is neither all zeros nor text that compresses to nothing.
fn value(size: usize) -> Vec<u8> {
    let mut random = Random::new(1);
    (0..size).map(|_| u8::try_from(random.below(256)).unwrap_or(0)).collect()
}

/// A small generator: the choice of nodes must cost next to nothing.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn new(seed: usize) -> Self {
        Self(0x9e37_79b9_7f4a_7c15 ^ (seed as u64 + 1).wrapping_mul(0xd134_2543_de82_ef95))
    }

    /// Even enough for this purpose.
    #[inline]
    fn below(&mut self, bound: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u32::try_from(((self.0 >> 32) * u64::from(bound)) >> 32).unwrap_or(0)
    }
}

/// Reads and writes of random nodes.
#[derive(Debug)]
struct Mix {
    read: Template,
    write: Template,
    percent: u32,
    nodes: u32,
    names: Vec<[u8; DIGITS]>,
    random: Random,
    shapes: Vec<Shape>,
}

impl Mix {
    fn new(plan: &Plan, thread: usize, percent: u8, stem: &str, value: &[u8]) -> Self {
        let read = Shape { row: 0, reply: REPLY_HEADER + 4 + value.len() + STAT, weight: 1 };
        // Where there are no reads, writes are the first row.
        let write = Shape {
            row: usize::from(percent > 0 || plan.workload == Workload::Mixed),
            reply: REPLY_HEADER + STAT,
            weight: 1,
        };
        Self {
            read: Template::read(stem),
            write: Template::write(stem, value),
            percent: u32::from(percent),
            nodes: plan.nodes,
            names: (0..plan.nodes).map(frame::digits).collect(),
            random: Random::new(thread),
            shapes: vec![read, write],
        }
    }
}

impl Source for Mix {
    #[inline]
    fn push(&mut self, _: usize, xid: i32, out: &mut Vec<u8>) -> Option<usize> {
        let is_read = match self.percent {
            0 => false,
            100 => true,
            percent => self.random.below(100) < percent,
        };
        let name = self.names.get(self.random.below(self.nodes) as usize)?;
        let (template, shape) = if is_read { (&self.read, 0) } else { (&self.write, 1) };
        template.push(out, xid, || *name);
        Some(shape)
    }

    fn shapes(&self) -> Vec<Shape> {
        self.shapes.clone()
    }
}

/// New nodes, each connection counting below its own parent.
#[derive(Debug)]
struct Creates {
    lanes: Vec<(Template, u32)>,
    reply: usize,
}

impl Creates {
    fn new(plan: &Plan, own: std::ops::Range<u32>, value: &[u8]) -> Self {
        let stem = |parent| format!("{}/n", frame::numbered(&format!("{}/p", plan.root), parent));
        Self {
            lanes: own.map(|parent| (Template::create(&stem(parent), value), 0)).collect(),
            reply: REPLY_HEADER + 4 + stem(0).len() + DIGITS,
        }
    }
}

impl Source for Creates {
    #[inline]
    fn push(&mut self, lane: usize, xid: i32, out: &mut Vec<u8>) -> Option<usize> {
        let (template, next) = self.lanes.get_mut(lane)?;
        let name = frame::digits(*next);
        *next += 1;
        template.push(out, xid, || name);
        Some(0)
    }

    fn shapes(&self) -> Vec<Shape> {
        vec![Shape { row: 0, reply: self.reply, weight: 1 }]
    }
}

/// A given number of new nodes, many per multi.
#[derive(Debug)]
struct Loads {
    whole: Template,
    rest: Template,
    batch: u32,
    next: u32,
    end: u32,
    path: usize,
}

impl Loads {
    /// The part of a thread.
    fn new(plan: &Plan, thread: u32, value: &[u8]) -> Self {
        let each = plan.nodes.div_ceil(count(plan.threads));
        let (next, end) = ((each * thread).min(plan.nodes), (each * (thread + 1)).min(plan.nodes));
        Self {
            whole: Template::creates(&plan.root, value, plan.batch),
            rest: Template::creates(&plan.root, value, (end - next) % plan.batch),
            batch: plan.batch,
            next,
            end,
            path: frame::nested(&plan.root, 0, 0).len(),
        }
    }

    fn shape(&self, creates: u32) -> Shape {
        // A header and a path for each, and the header that ends the list.
        Shape {
            row: 0,
            reply: REPLY_HEADER + creates as usize * (9 + 4 + self.path) + 9,
            weight: u64::from(creates),
        }
    }
}

impl Source for Loads {
    fn push(&mut self, _: usize, xid: i32, out: &mut Vec<u8>) -> Option<usize> {
        let left = self.end - self.next;
        let (template, creates, shape) = match left {
            0 => return None,
            n if n >= self.batch => (&self.whole, self.batch, 0),
            n => (&self.rest, n, 1),
        };
        let (mut n, mut is_parent) = (self.next, true);
        template.push(out, xid, || {
            let number = if is_parent { n / SIBLINGS } else { n };
            n += u32::from(!is_parent);
            is_parent = !is_parent;
            frame::digits(number)
        });
        self.next += creates;
        Some(shape)
    }

    fn shapes(&self) -> Vec<Shape> {
        vec![self.shape(self.batch), self.shape((self.end - self.next) % self.batch)]
    }
}
