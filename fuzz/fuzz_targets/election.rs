//! The target `election` for cargo-fuzz; its body is in `src/targets`.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| quoll_fuzz::run("election", input));
