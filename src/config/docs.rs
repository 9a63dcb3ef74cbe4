//! `docs/CONFIG.md`, written from the key table.
//!
//! A pure function; a test in `tests/config_docs.rs` compares it with the file and can rewrite it.
//!
//! Invariant: every row of the table is in the page.

use super::keys::{self, Class, Fallback, Group, Key, Kind, Status};
use std::fmt::Write as _;

const HEAD: &str = "\
# Configuration

<!-- Written from src/config/keys by `UPDATE_DOCS=1 cargo test --test config_docs`. Do not edit. -->

Quoll reads the `zoo.cfg` of an Apache ZooKeeper 3.9 server unchanged, or the same settings as `quoll.toml`.
`quoll config check FILE` prints the values in force, where each comes from, and what deserves a look.
Commented samples: [zoo.cfg.sample](../zoo.cfg.sample), [quoll.toml.sample](quoll.toml.sample).

## Sources

| Start | Settings |
|---|---|
| `quoll server FILE` | the file; by extension `.toml` a `quoll.toml`, else a `zoo.cfg` |
| `quoll server` | clientPort 2181, dataDir `./data`, everything else as below (tickTime is 3000) |
| `port dataDir [tickTime] [maxClientCnxns]` | these, and maxClientCnxns 0 unless given |

System properties come from `-Dname=value` flags and from the `-D` words of the environment variables
`SERVER_JVMFLAGS`, `JVMFLAGS` and `QUOLL_OPTS`. A later one of these three wins over an earlier one, a flag wins
over all of them, and a value in the file wins over a property of the same name.
A non-empty `ZOO_DATADIR_AUTOCREATE_DISABLE` means `-Dzookeeper.datadir.autocreate=false`.

## Grammar of zoo.cfg

It is a Java properties file: ISO-8859-1, `\\uXXXX` for other characters, `#` or `!` at the start of a line for a
comment and never behind a value, `=`, `:` or white space between key and value, a backslash at the end of a line
to continue it, the last of two equal keys wins. A backslash in a Windows path has to be doubled.

## Classes

| Class | Where the key may be set | Bad value |
|---|---|---|
| F | in the file only | stops the start |
| S | in the file, or as system property `zookeeper.<key>` | ignored, with a hint; some stop the start, see the rule |
| D | as system property `<key>` only, not in `zoo.cfg` | as S |
| B | as S, or as system property `<key>` | as S |

Unknown keys are no error: as in the reference they become system properties. `quoll config check` lists them,
with the name that was probably meant. In `quoll.toml` an unknown key is an error; raw `zoo.cfg` keys go into its
table `[properties]`. A `quoll.toml` can also set the keys of class D.

## Names in the manual of the reference that do not work

The documentation of the reference uses some names that its server never reads:

";

/// The page.
#[must_use]
pub fn markdown() -> String {
    let mut out = String::from(HEAD);
    out.push_str("| Documented | Works |\n|---|---|\n");
    for (documented, works) in keys::DOCUMENTED_NAMES {
        let _ = writeln!(out, "| {documented} | {works} |");
    }
    out.push_str("\n## Keys\n\n");
    out.push_str(
        "`quoll.toml` names are given as table and key. Times and sizes keep the unit of the key.\n",
    );
    for group in Group::ALL {
        let _ = writeln!(out, "\n### {}\n", group.title());
        out.push_str("| Key | Class | Type | Default | In quoll.toml | What it does | In Quoll |\n");
        out.push_str("|---|---|---|---|---|---|---|\n");
        for key in keys::all().filter(|key| key.group == group) {
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {} | {} | {} |",
                cell(key.name),
                class(key.class),
                key.kind.word(),
                default(key),
                cell(key.toml),
                about(key),
                status(key.status)
            );
        }
    }
    out
}

fn cell(text: &str) -> String {
    format!("`{text}`")
}

fn class(class: Class) -> &'static str {
    match class {
        Class::File => "F",
        Class::System => "S",
        Class::Bare => "D",
        Class::Both => "B",
    }
}

fn default(key: &Key) -> String {
    match (key.kind, key.fallback) {
        (Kind::OnUnlessNo | Kind::OffUnlessYes, Fallback::Bool(on)) => {
            if on { "yes" } else { "no" }.to_owned()
        }
        (_, fallback) => fallback.to_string().replace('|', "\\|"),
    }
}

fn about(key: &Key) -> String {
    let sentence = key.about.replace('|', "\\|");
    if key.rule.is_empty() { sentence } else { format!("{sentence}. Rule: {}", key.rule.replace('|', "\\|")) }
}

fn status(status: Status) -> String {
    match status {
        Status::Supported => "supported".to_owned(),
        Status::NoEffect(reason) => format!("accepted, no effect: {reason}"),
        Status::NotYet(feature) => format!("not yet ({})", feature.name()),
    }
}
