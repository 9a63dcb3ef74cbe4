//! The server as seen through the `zookeeper-client` crate: create2 for every create, persistent and
//! recursive watches, watcher removal by drop, multi read, getEphemerals, whoAmI, setWatches2.
//!
//! Not a test of the crate: a check that the reference server fails is a wrong check. Every check works
//! below a node of its own and reports by panicking, so that one failure does not colour the next.

mod basics;
mod multi;
mod session;
mod support;
mod watch;

use std::panic;
use std::process::ExitCode;
use std::time::Duration;

use support::{Check, Main, connect, message, within};

#[tokio::main]
async fn main() -> ExitCode {
    panic::set_hook(Box::new(|_| {}));
    let first = tokio::spawn(connect(Duration::from_secs(40)));
    let main = match within(20, "the first connection", first).await {
        Ok(Ok(client)) => client,
        Ok(Err(panicked)) => return give_up(&message(panicked)),
        Err(late) => return give_up(&late),
    };
    let (mut passed, mut failed) = (0, 0);
    let checks = [basics::checks(), multi::checks(), watch::checks(), session::checks()].concat();
    for (number, check) in checks.into_iter().enumerate() {
        match perform(&check, main.clone(), format!("/rustclient-{number}")).await {
            Ok(()) => {
                passed += 1;
                println!("ok {}", check.name);
            }
            Err(reason) => {
                failed += 1;
                println!(
                    "not ok {}: {}",
                    check.name,
                    reason.split_whitespace().collect::<Vec<_>>().join(" ")
                );
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn give_up(reason: &str) -> ExitCode {
    println!("not ok first connection: {reason}\n0 passed, 1 failed");
    ExitCode::FAILURE
}

async fn perform(check: &Check, client: Main, root: String) -> Result<(), String> {
    let run = check.run;
    let task = tokio::spawn(async move {
        support::ready(&client).await;
        support::make(&client, &root, "").await;
        run(client, root).await;
    });
    let abort = task.abort_handle();
    match within(check.seconds, "the end of the check", task).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(panicked)) => Err(message(panicked)),
        Err(late) => {
            abort.abort();
            Err(late)
        }
    }
}
