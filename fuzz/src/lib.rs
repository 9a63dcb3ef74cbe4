//! Fuzzing: what a hostile byte may reach, as plain functions from bytes to nothing.
//!
//! A target passes when it returns: it must not panic, hang, or ask for memory by a number it has read. The bodies in
//! `targets` are the only ones; cargo-fuzz runs them under libFuzzer (`fuzz_targets`), and `smoke` runs them on stable
//! Rust over seeds and their mutations. Many check more than survival: what is read and written again must be equal,
//! and two ways of reading must agree.

pub mod gauge;
pub mod mutate;
pub mod targets;

use targets::{TARGETS, Target};

/// The target of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Runs a target on one input.
///
/// # Panics
/// When the target finds something, or does not exist.
pub fn run(name: &str, input: &[u8]) {
    let target = find(name).unwrap_or_else(|| panic!("no target is called {name}"));
    (target.body)(input);
}
