//! Clients of a real ensemble that write down what they asked and were told, and the judgement of it.
//!
//! It starts no servers and breaks nothing: `suites/chaos` does. It is told on its standard input what to do next, a
//! line each, and answers each line with one: `stop` ends the clients, `judge` reads the servers' logs and holds what
//! was told against them. Invariant: the clients and the judges are those of the simulation (`tests/sim/client.rs`,
//! `tests/check`); only the sockets and the clock are real.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops where it is wrong"
)]
#![allow(unreachable_pub, dead_code, reason = "the simulation uses more of what is shared with it")]

#[path = "../../../../tests/check/mod.rs"]
mod check;
mod line;
mod logs;
mod shared;

use check::Terms;
use check::history::History;
use line::{Clock, Line, Target};
use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

/// What the command line asks for.
#[derive(Debug)]
struct Options {
    targets: Vec<Target>,
    clients: u32,
    rate: u64,
    seed: u64,
    timeout: i32,
    tick: u64,
    /// The servers are of a kind whose header is older than its answer, and whose sync no quorum confirms.
    lenient: bool,
}

const USAGE: &str = "usage: recorder --servers HOST:PORT,... [--clients 12] [--rate 1500] [--seed 1] [--timeout 8000] \
                     [--tick 500] [--lenient]";

fn options() -> Result<Options, String> {
    let mut found = Options {
        targets: Vec::new(),
        clients: 12,
        rate: 1500,
        seed: 1,
        timeout: 8000,
        tick: 500,
        lenient: false,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        if word == "--lenient" {
            found.lenient = true;
            continue;
        }
        let value = words.next().ok_or(USAGE)?;
        let number = || value.parse::<u64>().map_err(|_| format!("{word} wants a number, not {value}"));
        match word.as_str() {
            "--servers" => {
                found.targets = value.split(',').map(Target::parse).collect::<Result<_, _>>()?;
            }
            "--clients" => found.clients = u32::try_from(number()?).map_err(|e| e.to_string())?,
            "--rate" => found.rate = number()?,
            "--seed" => found.seed = number()?,
            "--timeout" => found.timeout = i32::try_from(number()?).map_err(|e| e.to_string())?,
            "--tick" => found.tick = number()?,
            _ => return Err(USAGE.to_owned()),
        }
    }
    if found.targets.is_empty() { Err(USAGE.to_owned()) } else { Ok(found) }
}

/// All clients at work.
struct Crew {
    halt: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    lines: Vec<JoinHandle<(History, Option<String>)>>,
}

impl Crew {
    fn start(options: &Options) -> Self {
        let (halt, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let clock = Clock::start();
        // Requests of one client a second.
        let pace = options.rate / u64::from(options.clients).max(1);
        let lines = (0..options.clients).map(|id| {
            let line = Line::new(id, options.seed, options.timeout, options.targets.clone(), pace, clock);
            let (halt, answered) = (Arc::clone(&halt), Arc::clone(&answered));
            std::thread::spawn(move || line.run(&halt, &answered))
        });
        Self { halt: Arc::clone(&halt), answered: Arc::clone(&answered), lines: lines.collect() }
    }

    fn stop(self) -> (History, Option<String>) {
        self.halt.store(true, Ordering::Relaxed);
        let mut all = History::default();
        let mut unanswered = None;
        for line in self.lines {
            let (mut one, left) = line.join().expect("a client stopped where it was wrong");
            unanswered = unanswered.or(left);
            all.connects.append(&mut one.connects);
            all.calls.append(&mut one.calls);
            all.events.append(&mut one.events);
        }
        all.connects.sort_by_key(|c| c.invoke);
        (all, unanswered)
    }
}

/// The judgement, in one line.
fn judge(history: &mut History, options: &Options, words: &[&str]) -> String {
    let [keep, folders @ ..] = words else { return "wrong judge wants a file and folders".to_owned() };
    match logs::committed(folders.iter().map(Path::new), options.lenient) {
        Err(why) => return format!("wrong {why}"),
        Ok(logs) => history.logs = logs,
    }
    let servers = || (1..).take(options.targets.len());
    let mut terms = Terms { tick: options.tick * 1000, ..Terms::default() };
    if options.lenient {
        terms.early_zxid = servers().collect();
        terms.loose_sync = servers().collect();
    }
    match check::all(history, &terms) {
        Ok(judged) => format!(
            "right calls={} reads={} txns={} events={} due={} searched={} connects={}",
            judged.calls,
            judged.reads,
            judged.txns,
            judged.events,
            judged.due,
            judged.searched,
            history.connects.len()
        ),
        Err(why) => {
            let saved = std::fs::write(keep, history.to_lines())
                .map_or_else(|e| e.to_string(), |()| (*keep).to_owned());
            format!("wrong {} (history: {saved})", why.replace('\n', " "))
        }
    }
}

fn main() -> std::process::ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(why) => {
            eprintln!("recorder: {why}");
            return std::process::ExitCode::from(2);
        }
    };
    let mut crew = Some(Crew::start(&options));
    let (mut history, mut unanswered) = (History::default(), None);
    for order in std::io::stdin().lock().lines().map_while(Result::ok) {
        let words: Vec<&str> = order.split_whitespace().collect();
        let answer = match words.split_first() {
            Some((&"count", _)) => {
                crew.as_ref().map_or(0, |c| c.answered.load(Ordering::Relaxed)).to_string()
            }
            Some((&"stop", _)) => {
                if let Some(crew) = crew.take() {
                    (history, unanswered) = crew.stop();
                }
                history.calls.iter().filter(|c| c.done.is_some()).count().to_string()
            }
            Some((&"judge", rest)) => match (judge(&mut history, &options, rest), &unanswered) {
                (verdict, Some(why)) if verdict.starts_with("right ") => format!("wrong {why}"),
                (verdict, _) => verdict,
            },
            _ => "unknown".to_owned(),
        };
        println!("{answer}");
        let _ = std::io::stdout().flush();
    }
    std::process::ExitCode::SUCCESS
}
