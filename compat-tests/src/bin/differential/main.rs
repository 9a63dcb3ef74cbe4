//! Two servers, the same requests, byte for byte the same answers.
//!
//! Directed sequences come first, then random ones from seeds. What differs without a reason in
//! `deviations.toml` fails, is made small and is printed. It is no model of the protocol: it does not know
//! what is right, only what is the same. Invariant: the same options give the same requests.

mod clock;
mod conn;
mod deviations;
mod directed;
mod duel;
mod event;
mod fields;
mod garbage;
mod generate;
mod names;
mod options;
mod request;
mod rng;
mod shrink;
mod side;
mod step;
mod walk;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

use deviations::Row;
use duel::{Difference, Duel};
use event::{Event, What};
use options::Options;
use step::Step;

/// Reproducers that are looked for in one run: more would be the same faults again.
const REPRODUCERS: usize = 40;

fn main() -> ExitCode {
    match options::parse(std::env::args().skip(1)).and_then(|o| Run::new(o)?.all()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(e) => {
            eprintln!("differential: {e}\n\n{}", options::USAGE);
            ExitCode::from(2)
        }
    }
}

struct Run {
    options: Options,
    duel: Duel,
    rows: Vec<Row>,
    started: Instant,
    passed: u64,
    failed: u64,
    sequences: u64,
    /// Where each sort of difference was seen.
    seen: BTreeMap<String, Vec<String>>,
    gone: bool,
}

impl Run {
    fn new(options: Options) -> Result<Self, String> {
        let rows = match &options.deviations {
            None => Vec::new(),
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
                deviations::parse(&text).map_err(|e| format!("{}: {e}", path.display()))?
            }
        };
        let duel = Duel::new(options.left, options.right, options.fresh);
        let started = clock::now();
        let seen = BTreeMap::new();
        Ok(Self { options, duel, rows, started, passed: 0, failed: 0, sequences: 0, seen, gone: false })
    }

    fn all(&mut self) -> Result<u64, String> {
        match self.options.only.clone() {
            Some(name) if name == "list" => {
                directed::all().iter().for_each(|d| println!("{}", d.name));
                return Ok(0);
            }
            Some(name) => {
                let one = directed::all().into_iter().find(|d| d.name == name);
                let one = one.ok_or_else(|| format!("no directed sequence '{name}'"))?;
                self.directed(&one);
            }
            None => {
                // Behind a deviation the two trees have different pasts: those sequences come last.
                let directed = if self.options.directed { directed::all() } else { Vec::new() };
                directed.iter().filter(|d| !d.deviates).for_each(|d| self.directed(d));
                self.listed_seeds()?;
                self.seeds();
                directed.iter().filter(|d| d.deviates).for_each(|d| self.directed(d));
                if self.options.directed {
                    self.stale_rows();
                }
            }
        }
        self.sum_up();
        Ok(self.failed)
    }

    fn ok(&mut self, name: &str) {
        self.passed += 1;
        println!("ok {name}");
    }

    fn not_ok(&mut self, name: &str, reason: &str) {
        self.failed += 1;
        println!("not ok {name}: {reason}");
    }

    /// Whether there is still somebody to talk to, and time.
    fn over(&self) -> Option<&'static str> {
        if self.gone {
            Some("a server is gone")
        } else if clock::now().duration_since(self.started) > self.options.limit {
            Some("out of time")
        } else {
            None
        }
    }

    fn directed(&mut self, d: &directed::Directed) {
        let name = format!("directed {}", d.name);
        if let Some(why) = self.over() {
            return self.not_ok(&name, why);
        }
        match self.judge(d.name, &d.steps, d.exact_sessions) {
            Ok(()) => self.ok(&name),
            Err(reason) => self.not_ok(&name, &reason),
        }
    }

    fn listed_seeds(&mut self) -> Result<(), String> {
        let Some(path) = self.options.seed_list.clone() else { return Ok(()) };
        let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        for line in text.lines().map(|l| l.split('#').next().unwrap_or("").trim()).filter(|l| !l.is_empty()) {
            let mut words = line.split_whitespace().map(str::parse::<u64>);
            let (seed, ops) = match (words.next(), words.next()) {
                (Some(Ok(seed)), None) => (seed, self.options.ops),
                (Some(Ok(seed)), Some(Ok(ops))) => (seed, usize::try_from(ops).unwrap_or(usize::MAX)),
                _ => return Err(format!("{}: '{line}' is no seed", path.display())),
            };
            let name = format!("kept seed {seed}");
            match self.seed(seed, ops) {
                Ok(()) => self.ok(&name),
                Err(reason) => self.not_ok(&name, &reason),
            }
        }
        Ok(())
    }

    fn seed(&mut self, seed: u64, ops: usize) -> Result<(), String> {
        if let Some(why) = self.over() {
            return Err(why.into());
        }
        self.judge(&format!("seed {seed}"), &generate::sequence(seed, ops), false)
    }

    fn seeds(&mut self) {
        let mut from = self.options.seeds.start;
        while from < self.options.seeds.end {
            let to = (from + self.options.batch).min(self.options.seeds.end);
            let name = format!("seeds {from}..{to}");
            let mut bad = Vec::new();
            for seed in from..to {
                if let Err(reason) = self.seed(seed, self.options.ops) {
                    bad.push(format!("seed {seed}: {reason}"));
                }
            }
            match bad.first() {
                None => self.ok(&name),
                Some(first) => {
                    let reason = format!("{} of {} differ, first {first}", bad.len(), to - from);
                    self.not_ok(&name, &reason);
                }
            }
            from = to;
        }
    }

    /// Runs one sequence; the error is the reason for the report.
    fn judge(&mut self, name: &str, steps: &[Step], exact: bool) -> Result<(), String> {
        self.sequences += 1;
        self.duel.trace = self.options.trace.then(Vec::new);
        let found = self.duel.run(steps, exact);
        if let Some(trace) = self.duel.trace.take() {
            println!("# {name}");
            trace.iter().for_each(|line| println!("# {line}"));
        }
        if found.iter().flat_map(|d| [&d.left, &d.right]).flatten().any(is_refusal) {
            self.gone = true;
        }
        let mut reasons: Vec<String> = Vec::new();
        for d in found {
            if let Some(row) = deviations::explain(&mut self.rows, name, &d) {
                println!("# {name}: known deviation {}", row.id);
                continue;
            }
            let signature = d.signature();
            let reason = format!("step {}: {signature}", d.at);
            if reasons.iter().any(|r| r.ends_with(&format!(": {signature}"))) {
                continue;
            }
            reasons.push(reason);
            let places = self.seen.entry(signature).or_default();
            places.push(name.to_owned());
            let first = places.len() == 1;
            if self.options.json {
                println!("{}", json(name, &d));
            }
            if first && !self.gone && self.seen.len() <= REPRODUCERS {
                self.explain_at_length(name, steps, &d, exact);
            }
        }
        if reasons.is_empty() { Ok(()) } else { Err(reasons.join("; ")) }
    }

    fn explain_at_length(&mut self, name: &str, steps: &[Step], d: &Difference, exact: bool) {
        println!("# ---- {name} differs at step {} of {}: {}", d.at, steps.len(), d.signature());
        show(d);
        if !self.options.shrink || self.over().is_some() {
            return;
        }
        match shrink::shrink(&mut self.duel, steps, d, exact) {
            None => println!("# it does not happen again with these steps alone"),
            Some((small, _)) => {
                self.duel.trace = Some(Vec::new());
                let again = self.duel.run(&small, exact);
                println!("# reproducer of {} steps:", small.len());
                for line in self.duel.trace.take().unwrap_or_default() {
                    line.lines().for_each(|l| println!("#   {l}"));
                }
                match again.first() {
                    Some(again) => show(again),
                    None => println!("# the last time it was not there: it depends on time"),
                }
            }
        }
        println!("# ----");
    }

    fn stale_rows(&mut self) {
        for row in std::mem::take(&mut self.rows) {
            let name = format!("deviation {}", row.id);
            if row.hits > 0 {
                self.ok(&name);
            } else {
                self.not_ok(&name, "stale: nothing in this run needs it");
            }
        }
    }

    fn sum_up(&self) {
        for (signature, places) in &self.seen {
            let some: Vec<&str> = places.iter().take(8).map(String::as_str).collect();
            println!("# {} times {signature}: {}", places.len(), some.join(", "));
        }
        if self.options.outcomes {
            for ((op, err, inside), count) in &self.duel.outcomes {
                let note = if *inside { " with an error inside" } else { "" };
                println!("# {count:>8} {} err {err}{note}", request::op_name(*op));
            }
        }
        let seconds = clock::now().duration_since(self.started).as_secs_f64();
        println!(
            "# {} sequences, {} requests, {} replies and {} notifications compared, {seconds:.1} s",
            self.sequences, self.duel.requests, self.duel.left.replies, self.duel.left.notices
        );
        println!("{} passed, {} failed", self.passed, self.failed);
    }
}

fn is_refusal(event: &Event) -> bool {
    event.what == What::Refused
}

fn hex(event: &Option<Event>) -> String {
    event.as_ref().map_or_else(String::new, |e| e.raw.iter().map(|b| format!("{b:02x}")).collect())
}

fn words(event: &Option<Event>) -> &str {
    event.as_ref().map_or("nothing", |e| e.text.as_str())
}

fn show(d: &Difference) {
    println!(
        "# connection [{}], step {}: {}",
        d.slot,
        d.at,
        d.step.lines().collect::<Vec<_>>().join("\n#   ")
    );
    for (side, event) in [("left", &d.left), ("right", &d.right)] {
        println!("# {side}: {}", words(event));
        println!("# {side}: {}", hex(event));
    }
}

fn json(name: &str, d: &Difference) -> serde_json::Value {
    serde_json::json!({
        "sequence": name,
        "step": d.at,
        "connection": d.slot,
        "operation": d.step,
        "signature": d.signature(),
        "left": { "text": words(&d.left), "bytes": hex(&d.left) },
        "right": { "text": words(&d.right), "bytes": hex(&d.right) },
    })
}
