//! Golden bytes: what the reference's own records write (one file per record, made by `scripts/golden-vectors`) and
//! what was seen on real sockets and in real files (`traffic`). Read, compared by value, written back.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod common;

use jute::records::{data, persistence, proto, quorum, txn};
use jute::{Reader, Record, encode};
use std::fmt::Debug;
use std::path::PathBuf;

fn vectors() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    assert!(digits.len().is_multiple_of(2), "an odd number of digits: {text}");
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// A record's values without the names: `{1, "a", [2, 3], None}`.
fn values(record: &impl Debug) -> String {
    let mut out = String::new();
    let text = format!("{record:?}");
    let mut rest = text.as_str();
    let mut wrappers = Vec::new();
    while let Some(c) = rest.chars().next() {
        let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        if c == '"' {
            let end = rest[1..].find('"').unwrap() + 2;
            out.push_str(&rest[..end]);
            rest = &rest[end..];
        } else if word > 0 && rest[word..].starts_with(": ") {
            rest = &rest[word + 2..];
        } else if word > 0 && rest[word..].starts_with(" { ") {
            out.push('{');
            rest = &rest[word + 3..];
        } else if let Some(after) = rest.strip_prefix(" }") {
            out.push('}');
            rest = after;
        } else if let Some(after) = rest.strip_prefix("Some(") {
            wrappers.push(());
            rest = after;
        } else if c == ')' {
            wrappers.pop().unwrap();
            rest = &rest[1..];
        } else {
            let taken = word.max(c.len_utf8());
            out.push_str(&rest[..taken]);
            rest = &rest[taken..];
        }
    }
    out
}

/// Reads one record off the front, compares its values, writes it back. Returns what is left.
fn check<'a, T: Record<'a> + Debug>(what: &str, bytes: &'a [u8], wanted: Option<&str>) -> &'a [u8] {
    let mut r = Reader::new(bytes);
    let record = T::read(&mut r).unwrap_or_else(|e| panic!("{what}: {e}"));
    if let Some(wanted) = wanted {
        assert_eq!(values(&record), wanted, "{what}");
    }
    assert_eq!(encode(&record), bytes[..bytes.len() - r.remaining()], "{what} is written back");
    r.rest()
}

fn check_by_name<'a>(name: &str, what: &str, bytes: &'a [u8], wanted: Option<&str>) -> &'a [u8] {
    macro_rules! look_up {
        ($($row:literal => $record:ty,)*) => {
            match name {
                $($row => check::<$record>(what, bytes, wanted),)*
                _ => panic!("{what}: no record is called {name}"),
            }
        };
    }
    every_record!(look_up)
}

fn names() -> Vec<&'static str> {
    macro_rules! listed {
        ($($row:literal => $record:ty,)*) => { vec![$($row),*] };
    }
    every_record!(listed)
}

/// The readOnly flag ends the records of the handshake there; here it is no part of them, since old clients send
/// none. Returns the values without it, and how many bytes it takes.
fn without_flag(name: &str, values: &str) -> (String, usize) {
    if !name.starts_with("Connect") {
        return (values.to_owned(), 0);
    }
    let (front, _) = values.rsplit_once(", ").unwrap();
    (format!("{front}}}"), 1)
}

#[test]
fn what_the_reference_writes_is_read_and_written_back() {
    let mut ways = 0;
    for name in names() {
        let path = vectors().join(format!("{name}.txt"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let lines: Vec<_> = text.lines().collect();
        for pair in lines.chunks(2) {
            let (way, hex) = pair[0].split_once(' ').unwrap();
            let what = format!("{name}, {way}");
            let bytes = unhex(hex);
            let (wanted, behind) = without_flag(name, pair[1]);
            let rest = check_by_name(name, &what, &bytes, Some(&wanted));
            assert_eq!(rest.len(), behind, "{what}: bytes left over");
            ways += 1;
        }
    }
    assert_eq!(ways, 3 * names().len());
}

/// A file of `traffic` tells one exchange or record: comments, then lines `RECORD hex` whose bytes follow each other.
/// `hex` alone stands for bytes between records (a frame's length, an end byte).
#[test]
fn what_was_seen_on_sockets_and_in_files_is_read_and_written_back() {
    let mut files = 0;
    for entry in std::fs::read_dir(vectors().join("traffic")).unwrap() {
        let path = entry.unwrap().path();
        let what = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let Some((name, hex)) = line.split_once(' ').filter(|(name, _)| names().contains(name)) else {
                unhex(line);
                continue;
            };
            let (hex, wanted) = hex.split_once('=').map_or((hex, None), |(hex, w)| (hex, Some(w.trim())));
            let bytes = unhex(hex);
            assert!(check_by_name(name, &what, &bytes, wanted).is_empty(), "{what}, {name}: bytes left over");
        }
        files += 1;
    }
    assert!(files >= 20, "{files} files");
}

/// The list of this test, the records of the sources and the files all name the same records.
#[test]
fn everything_is_listed() {
    let sources = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/records");
    let mut declared = Vec::new();
    for module in ["data", "proto", "quorum", "persistence", "txn"] {
        let text = std::fs::read_to_string(sources.join(format!("{module}.rs"))).unwrap();
        declared.extend(
            text.lines()
                .filter_map(|line| line.strip_prefix("    ")?.strip_suffix(" {"))
                .filter(|name| name.starts_with(char::is_uppercase))
                .map(|name| format!("{module}::{name}").replace("<'a>", "")),
        );
    }
    assert!(declared.len() > 50, "{}", declared.len());
    macro_rules! types {
        ($($row:literal => $record:ty,)*) => { [$(stringify!($record)),*] };
    }
    let listed: Vec<_> =
        every_record!(types).iter().map(|name| name.replace(' ', "").replace("<'_>", "")).collect();
    for name in &declared {
        assert!(listed.contains(name), "{name} has no golden bytes: add it to tests/common/mod.rs");
    }
    let here = std::fs::read_dir(sources).unwrap().filter_map(|f| f.unwrap().file_name().into_string().ok());
    let modules: Vec<_> = here.filter(|name| name != "mod.rs").collect();
    assert_eq!(modules.len(), 5, "a module of records that this test does not read: {modules:?}");
    for entry in std::fs::read_dir(vectors()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(record) = name.strip_suffix(".txt") else { continue };
        assert!(names().contains(&record), "{name} belongs to no record");
    }
}
