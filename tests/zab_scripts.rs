//! Ensembles told as text: each file of `tests/zab` says what happens to servers, and what they say to each other.
//!
//! `UPDATE=1 cargo test --test zab_scripts` writes the answers anew; the difference is for reviewers to read. What the
//! commands are, [`zab::script`] knows. Whole replicas run here, over real trees; disks and cables are in memory and
//! never fail: that is the simulator's business.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]
#![allow(unreachable_pub, reason = "one crate of tests")]

#[path = "zab/mod.rs"]
mod zab;

use std::fs;
use std::path::Path;

#[test]
fn the_scripts_tell_what_happens() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/zab");
    let update = std::env::var_os("UPDATE").is_some();
    let mut files: Vec<_> = fs::read_dir(&dir).unwrap().map(|f| f.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "txt"));
    files.sort();
    assert!(files.len() >= 4, "where are the scripts?");
    let mut differing = Vec::new();
    for file in files {
        let before = fs::read_to_string(&file).unwrap();
        let after = zab::script::run(&before);
        if before == after {
            continue;
        }
        if update {
            fs::write(&file, after).unwrap();
            continue;
        }
        let line = before.lines().zip(after.lines()).position(|(a, b)| a != b);
        let line = line.unwrap_or_else(|| before.lines().count().min(after.lines().count()));
        let name = file.file_name().unwrap().display().to_string();
        println!("{name}: the answers are now:\n{after}");
        differing.push(format!("{name}:{}", line + 1));
    }
    assert!(differing.is_empty(), "read, then UPDATE=1: {}", differing.join(", "));
}

#[test]
fn a_wrong_answer_is_seen() {
    let script = "> voters 1\n\n> start 1\n1 sings\n";
    let run = zab::script::run(script);
    assert!(run.starts_with("> voters 1\n\n> start 1\n") && !run.contains("sings"), "{run}");
    assert_eq!(zab::script::run(&run), run);
}
