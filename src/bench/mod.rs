//! `quoll bench`: drives any ZooKeeper server over the wire and tells how fast it was.
//!
//! A client like any other: this room uses the record tables of `jute` and nothing of the server, so what it
//! measures of Quoll and of another server is measured by the same hand. It is not a client library: no
//! reconnects, no watch manager, no retries.
//!
//! The client shares the machine with the server it measures, so it is built to cost little: one thread with
//! epoll for all connections, frames encoded once and patched, one write for a batch of requests, one read
//! for many replies, of which only the header is looked at.
//!
//! Invariant: every reply counted as an operation had the xid that was due, no error and the expected length.
//! Whatever did not is counted as a fault, and a run with faults does not exit with 0.

mod clock;
mod connect;
mod control;
mod dial;
mod failure;
mod fanout;
mod frame;
mod gauge;
mod idle;
mod inbox;
mod options;
mod poll;
mod progress;
mod pump;
mod report;
mod steady;
mod tally;

#[cfg(test)]
mod tests;

pub use failure::Failure;
pub use options::{Options, Workload};

use clock::Clock;
use options::Plan;

/// Exit code of a run in which every reply was right.
const CLEAN: u8 = 0;
/// Exit code of a run with wrong replies, errors or lost connections.
const FAULTY: u8 = 1;
/// Exit code of a run that could not be set up.
const FAILED: u8 = 2;

/// Runs one benchmark, prints its report on standard output, and returns the exit code.
#[must_use]
pub fn run(options: Options) -> u8 {
    match measure(options) {
        Ok(true) => CLEAN,
        Ok(false) => FAULTY,
        Err(failure) => {
            eprintln!("quoll bench: {failure}");
            FAILED
        }
    }
}

fn measure(options: Options) -> Result<bool, Failure> {
    let plan = Plan::try_from(options)?;
    let clock = Clock::start();
    poll::raise_descriptor_limit();
    let report = match plan.workload {
        Workload::Read | Workload::Write | Workload::Create | Workload::Mixed | Workload::Load => {
            steady::run(&plan, clock)?
        }
        Workload::Watch => fanout::run(&plan, clock)?,
        Workload::Connect => connect::run(&plan, clock)?,
        Workload::Idle => idle::run(&plan, clock)?,
        Workload::Clean => {
            control::Control::open(&plan, clock)?.remove_tree(&plan.root)?;
            return Ok(true);
        }
    };
    if plan.json {
        println!("{}", report.json(&plan));
    } else {
        print!("{}", report.text(&plan));
    }
    Ok(report.faults.is_clean())
}
