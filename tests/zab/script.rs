//! The language: a line that begins with `> ` does something, the lines below it are what followed.
//!
//! | Command | What it does |
//! |---|---|
//! | `voters N [observers M]` | the ensemble; its servers are 1 to N+M. First of all |
//! | `start ID …` | the processes start, at the same moment |
//! | `kill ID …` | the processes end; their disks stay |
//! | `wipe ID` | the disk is emptied |
//! | `deaf ID` / `hears ID` | nothing reaches it or leaves it any more / again |
//! | `snapshots ID …` | when they start again, they have no log to bring others up with |
//! | `write ID PATH` | a client at this server creates a node, and waits |
//! | `try ID PATH` | the same, without waiting for an answer |
//! | `sync ID`, `close ID` | the client at this server |
//! | `reconfig ID +ENTRY\|-ID …` | a client asks for another membership |
//! | `wait MS` | time passes |
//! | `show` | what each server is and has |
//!
//! Each command but `try` and `wait` goes on until nothing is under way but pings and votes sent again.

use super::world::World;
use std::fmt::Write as _;

/// Runs a script: the same text with the answers of now.
pub fn run(text: &str) -> String {
    let (mut out, mut world) = (String::new(), World::default());
    let mut answered = false;
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("> ") {
            if answered && !out.ends_with("\n\n") {
                out.push('\n');
            }
            let _ = writeln!(out, "{line}");
            perform(&mut world, command);
            for answer in world.take_told() {
                let _ = writeln!(out, "{answer}");
            }
            answered = true;
        } else if line.starts_with('#') || !answered {
            if line.starts_with('#') && answered && !out.ends_with("\n\n") && !out.ends_with("#\n") {
                let last = out.lines().next_back().unwrap_or_default();
                if !last.starts_with('#') {
                    out.push('\n');
                }
            }
            let _ = writeln!(out, "{line}");
        }
    }
    out
}

fn perform(world: &mut World, command: &str) {
    let words: Vec<&str> = command.split_whitespace().collect();
    let id = |word: &str| word.parse::<i64>().unwrap_or_else(|_| panic!("{command}: no id: {word}"));
    let ids = |words: &[&str]| words.iter().map(|w| id(w)).collect::<Vec<_>>();
    match words.as_slice() {
        ["voters", n] => world.ensemble(id(n), 0),
        ["voters", n, "observers", m] => world.ensemble(id(n), id(m)),
        ["start", rest @ ..] => {
            ids(rest).into_iter().for_each(|id| world.start(id));
            world.run();
        }
        ["kill", rest @ ..] => {
            ids(rest).into_iter().for_each(|id| world.kill(id));
            world.run();
        }
        ["wipe", n] => world.wipe(id(n)),
        ["deaf", n] => world.deaf(id(n), true),
        ["hears", n] => world.deaf(id(n), false),
        ["snapshots", rest @ ..] => ids(rest).into_iter().for_each(|id| world.without_log(id)),
        ["write", n, path] => {
            world.create(id(n), path);
            world.run();
        }
        ["try", n, path] => {
            world.create(id(n), path);
            world.pass(20);
        }
        ["sync", n] => {
            world.sync(id(n));
            world.run();
        }
        ["close", n] => {
            world.close(id(n));
            world.run();
        }
        ["reconfig", n, changes @ ..] => {
            world.reconfig(id(n), changes);
            world.run();
        }
        ["wait", ms] => world.pass(id(ms)),
        ["show"] => world.show(),
        _ => panic!("no such command: {command}"),
    }
}
