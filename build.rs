//! Tells the crate which commit it is built from and when that was, for the version that operators read.
//!
//! Without a checkout of its own (a packaged source) there is no commit, and the date is that of the build, or
//! of `SOURCE_DATE_EPOCH`. Never fails: a missing fact is left out.

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let built = commit();
    let package = format!("quoll.{}", std::env::var("CARGO_PKG_VERSION").unwrap_or_default());
    let hash = built.as_ref().map_or(package, |(hash, _)| hash.clone());
    println!("cargo:rustc-env=QUOLL_COMMIT={hash}");
    println!(
        "cargo:rustc-env=QUOLL_BUILD={}",
        built.as_ref().and_then(|_| hash.get(..12)).unwrap_or("packaged")
    );
    let date = source_date().or(built.map(|(_, date)| date)).unwrap_or_else(|| shown(seconds_now()));
    println!("cargo:rustc-env=QUOLL_BUILT={date}");
}

/// Hash and date of the commit at hand, if this directory is the top of a checkout.
fn commit() -> Option<(String, String)> {
    let top = git(&["rev-parse", "--show-toplevel"])?;
    let here = std::env::var("CARGO_MANIFEST_DIR").ok()?;
    if Path::new(&top).canonicalize().ok()? != Path::new(&here).canonicalize().ok()? {
        return None;
    }
    let branch = git(&["symbolic-ref", "-q", "HEAD"]);
    for name in ["HEAD", "packed-refs"].into_iter().chain(branch.as_deref()) {
        if let Some(file) = git(&["rev-parse", "--git-path", name]).filter(|file| Path::new(file).exists()) {
            println!("cargo:rerun-if-changed={file}");
        }
    }
    let line = git(&["show", "-s", "--format=%H %cd", "--date=format-local:%Y-%m-%d %H:%M", "HEAD"])?;
    let (hash, date) = line.split_once(' ')?;
    Some((hash.to_owned(), date.to_owned()))
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).env("TZ", "UTC").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

fn source_date() -> Option<String> {
    std::env::var("SOURCE_DATE_EPOCH").ok()?.parse().ok().map(shown)
}

#[expect(clippy::disallowed_methods, reason = "the date of a build without a commit")]
fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Seconds since 1970 as date and time of day in UTC.
fn shown(seconds: u64) -> String {
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let (mut days, rest) = (seconds / 86_400, seconds % 86_400);
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year:04}-{month:02}-{:02} {:02}:{:02}", days + 1, rest / 3600, rest / 60 % 60)
}
