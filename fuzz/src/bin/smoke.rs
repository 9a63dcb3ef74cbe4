//! Runs every target on stable Rust for some seconds: its seeds, the inputs that once found something, and mutations
//! of both. Counts allocations and time. Ends with a line `N passed, N failed`.
//!
//! usage: smoke [TARGET ...]          all targets, or these (FUZZ_SECONDS each, FUZZ_SEED to repeat a run)
//!        smoke TARGET=FILE ...       these inputs alone
//!        smoke --list
//!
//! What ends the process, by memory that cannot be had or by not coming back, leaves no name: run it again with the
//! same FUZZ_SEED and FUZZ_TRACE=1, which writes every input to `artifacts/at-work` before it is tried.
//!
//! An input that finds something is kept in `artifacts/TARGET`; once the fault is gone, it moves to
//! `regressions/TARGET` and is tried first from then on.

use quoll_fuzz::gauge::{Counting, Measure};
use quoll_fuzz::mutate::{Chance, change};
use quoll_fuzz::targets::{LARGEST, SLOWEST, TARGETS, Target};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// When the input at work must be done, in milliseconds since the start; 0 while there is none.
static DEADLINE: AtomicU64 = AtomicU64::new(0);

/// An input that hangs is stopped after this many times the longest it may take.
const PATIENCE: u64 = 5;

fn here() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[expect(clippy::disallowed_methods, reason = "a run lasts as long as it is told")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "a new run tries new inputs; the seed is printed")]
fn any_seed() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|a| a == "--list") {
        for target in TARGETS {
            println!("{:14} {}", target.name, target.about);
        }
        return ExitCode::SUCCESS;
    }
    let seconds = variable("FUZZ_SECONDS").unwrap_or(5);
    let seed = variable("FUZZ_SEED").unwrap_or_else(any_seed);
    println!("fuzz: seed {seed}, {seconds} s for each target");
    watch();
    let (mut passed, mut failed) = (0, 0);
    for target in TARGETS {
        let files: Vec<&str> =
            arguments.iter().filter_map(|a| a.strip_prefix(target.name)?.strip_prefix('=')).collect();
        let is_wanted =
            arguments.is_empty() || !files.is_empty() || arguments.iter().any(|a| a == target.name);
        if !is_wanted {
            continue;
        }
        let mut run = Run::new(target);
        let fault = if files.is_empty() {
            run.at_length(seed, Duration::from_secs(seconds))
        } else {
            files.iter().find_map(|file| run.one(&std::fs::read(file).expect("the input can be read")).err())
        };
        match fault {
            None => {
                passed += 1;
                println!(
                    "ok {}: {} inputs, at most {} KiB, {} ms",
                    target.name,
                    run.inputs,
                    run.highest / 1024,
                    run.slowest
                );
            }
            Some(fault) => {
                failed += 1;
                println!("not ok {}: {fault}", target.name);
            }
        }
    }
    if passed + failed == 0 {
        println!("not ok: no target is called {arguments:?}");
        failed = 1;
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Ends the process when an input does not come back.
fn watch() {
    let begun = now();
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(200));
            let deadline = DEADLINE.load(Relaxed);
            if deadline != 0 && begun.elapsed().as_millis() as u64 > deadline {
                println!(
                    "not ok: an input does not come back; it is artifacts/*/at-work\n0 passed, 1 failed"
                );
                std::process::abort();
            }
        }
    });
    BEGUN.get_or_init(|| begun);
}

static BEGUN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();

struct Run {
    target: &'static Target,
    trace: bool,
    inputs: u64,
    highest: usize,
    slowest: u64,
}

impl Run {
    fn new(target: &'static Target) -> Self {
        let trace = std::env::var_os("FUZZ_TRACE").is_some();
        Self { target, trace, inputs: 0, highest: 0, slowest: 0 }
    }

    fn at_length(&mut self, seed: u64, time: Duration) -> Option<String> {
        let begun = now();
        let mut inputs = (self.target.seeds)();
        // A thing that is set up once costs memory once: the first input pays for it.
        drop(catch_unwind(AssertUnwindSafe(|| {
            (self.target.body)(inputs.first().map_or(b"", Vec::as_slice))
        })));
        inputs.push(Vec::new());
        inputs.extend(kept(&here().join("regressions").join(self.target.name)));
        for input in &inputs {
            if let Err(fault) = self.one(input) {
                return Some(fault);
            }
        }
        let mut chance = Chance::new(seed);
        let mut input = Vec::new();
        while begun.elapsed() < time {
            input.clear();
            let from = chance.below(inputs.len());
            input.extend_from_slice(&inputs[from]);
            change(&mut chance, &mut input, &inputs);
            if let Err(fault) = self.one(&input) {
                return Some(fault);
            }
        }
        None
    }

    fn one(&mut self, input: &[u8]) -> Result<(), String> {
        self.inputs += 1;
        if self.trace {
            let dir = here().join("artifacts");
            drop(std::fs::create_dir_all(&dir).and_then(|()| std::fs::write(dir.join("at-work"), input)));
        }
        let begun = now();
        let since = BEGUN.get().map_or(0, |start| start.elapsed().as_millis() as u64);
        DEADLINE.store(since + PATIENCE * SLOWEST, Relaxed);
        let measure = Measure::begin();
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.target.body)(input)));
        let used = measure.end();
        DEADLINE.store(0, Relaxed);
        let took = begun.elapsed().as_millis() as u64;
        self.highest = self.highest.max(used.risen);
        self.slowest = self.slowest.max(took);
        let allowed = self.target.base + self.target.per_byte * input.len();
        let fault = if let Err(panic) = outcome {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            format!("panicked: {}", text.unwrap_or_default())
        } else if used.largest > LARGEST {
            format!("asked for {} bytes at once", used.largest)
        } else if used.risen > allowed {
            format!(
                "took {} bytes of memory for {} bytes of input; {allowed} are allowed",
                used.risen,
                input.len()
            )
        } else if took > SLOWEST {
            format!("took {took} ms")
        } else {
            return Ok(());
        };
        Err(format!("{fault}; input kept as {}", keep(self.target.name, input).display()))
    }
}

/// Inputs of a directory, if there is one.
fn kept(dir: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths.iter().filter_map(|path| std::fs::read(path).ok()).collect()
}

fn keep(target: &str, input: &[u8]) -> PathBuf {
    let dir = here().join("artifacts").join(target);
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in input {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let path = dir.join(format!("{hash:016x}"));
    if std::fs::create_dir_all(&dir).and_then(|()| std::fs::write(&path, input)).is_err() {
        println!("the input could not be kept: {input:02x?}");
    }
    path
}
