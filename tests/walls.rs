//! The walls between rooms, and the habits that a machine can watch. Reads the sources, runs nothing.
//!
//! What a room may import stands in the table of `docs/ARCHITECTURE.md`; this file reads that very table. What else it
//! knows is below, each rule with its places and its reason. The last tests show that every rule can fail.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

#[path = "walls/source.rs"]
mod source;

use source::{Source, below, line};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Look again at 600 lines; no file has a reason to be longer than this.
const LONGEST: usize = 700;

/// What only a few places may do: words of code, the places (a file, or a directory with `/` at its end), the reason.
const HANDS: &[(&[&str], &[&str], &str)] = &[
    (&["tokio::"], &["src/net/", "src/server/"], "everything that decides is plain code"),
    (
        &["std::fs", "tokio::fs", "rustix::fs", "fs::read", "File::open"],
        &[
            "src/store/files/real.rs",
            "src/server/facts.rs",
            "src/server/config_files.rs",
            "src/config/world.rs",
            "src/bench/gauge.rs",
            "src/tools/backup/mod.rs",
            "src/tools/data/leftovers.rs",
            "src/tools/place.rs",
        ],
        "one seam to the file system, which tests replace",
    ),
    (
        &["Instant::now", "SystemTime::now", "rustix::time", "clock_gettime"],
        &["src/server/clock.rs", "src/store/files/real.rs", "src/bench/clock.rs", "src/tools/clock.rs"],
        "time is handed in",
    ),
    (&["rustix::rand", "getrandom", "RandomState"], &["src/server/start.rs"], "one seed, drawn once"),
    (&["std::env", "env::var"], &["src/main.rs", "src/server/facts.rs"], "the environment is an argument"),
    (&["process::exit", "process::abort"], &["src/server/shutdown.rs"], "one way out"),
    (
        &["TcpStream", "TcpListener", "UdpSocket", "rustix::net"],
        &["src/net/", "src/bench/"],
        "sockets are the net room's",
    ),
    (
        &["thread::spawn", "thread::Builder", "thread::sleep"],
        &[
            "src/store/committer.rs",
            "src/server/",
            "src/bench/",
            "src/tools/backup/copy.rs",
            "src/tools/data/examine.rs",
        ],
        "threads are counted: the log's, the runtime's, the bench's",
    ),
    (
        &["println!", "print!", "eprintln!"],
        &["src/main.rs", "src/bench/mod.rs", "src/tools/output.rs"],
        "a server logs",
    ),
    (&["Flushed::mint"], &["src/store/txn_log.rs"], "only a finished fsync proves durability"),
    (&["Committed::mint"], &["src/replica/zab/"], "only the order proves a quorum"),
    (&["unsafe ", "static mut", "mem::forget", "Box::leak", "transmute"], &[], "memory is the compiler's"),
    (&["unbounded_channel", "mpsc::channel()"], &[], "every queue has a bound"),
    (&["todo!", "unimplemented!", "dbg!"], &[], "what is there works"),
];

/// Of `state`, validation may see the view alone and what it speaks of, so that tests and the simulator can stand in
/// for the tree; and how a node counts in the digest, which is arithmetic.
const OF_STATE: &[&str] = &["TreeView", "NodeView", "Verdict", "Overrun", "Share", "DIGEST_VERSION"];

fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Rooms and the rooms they may import.
type Table = BTreeMap<String, BTreeSet<String>>;

/// The rows of the table with the columns `Room | Duty | May import | Never`.
fn table(page: &str) -> Table {
    let mut rows = page.lines().skip_while(|line| *line != "| Room | Duty | May import | Never |").skip(2);
    let mut table = Table::new();
    for row in rows.by_ref().take_while(|line| line.starts_with('|')) {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [room, _, may, _] = cells.as_slice() else { panic!("not four cells: {row}") };
        let quoted =
            |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<BTreeSet<_>>();
        assert!(*may == "nothing" || !quoted(may).is_empty(), "name rooms in backticks, or `nothing`: {row}");
        let room = quoted(room).into_iter().next().unwrap_or_else(|| panic!("no room in backticks: {row}"));
        assert!(table.insert(room, quoted(may)).is_none(), "twice: {row}");
    }
    assert!(!table.is_empty(), "docs/ARCHITECTURE.md has no table of rooms");
    table
}

fn architecture() -> Table {
    let path = top().join("docs/ARCHITECTURE.md");
    table(&std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
}

/// What in `files` goes through a wall of `table`.
fn breaches(files: &[Source], table: &Table) -> Vec<String> {
    let mut found = Vec::new();
    for file in files.iter().filter(|f| !f.is_test()) {
        let Some(room) = file.room() else { continue };
        let Some(may) = table.get(&room) else {
            found.push(format!("{}: the room {room} is not in the table", file.name));
            continue;
        };
        for (line, path) in file.paths() {
            let Some(other) = path.first().filter(|other| **other != room) else { continue };
            let what = format!("{}:{line}: {room} names {}", file.name, path.join("::"));
            if !table.contains_key(other) {
                continue;
            }
            if !may.contains(other) {
                found.push(what);
            } else if room == "replica"
                && other == "state"
                && !path.last().is_some_and(|item| OF_STATE.contains(&item.as_str()))
            {
                found.push(format!("{what}; of state only {}", OF_STATE.join(" and ")));
            }
        }
    }
    found
}

/// Who in `files` does what only others may.
fn strangers(files: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files.iter().filter(|f| !f.is_test()) {
        for (words, places, reason) in HANDS {
            let is_at_home =
                |place: &str| file.name == place || place.ends_with('/') && file.name.starts_with(place);
            if places.iter().any(|place| is_at_home(place)) {
                continue;
            }
            for word in *words {
                for (at, _) in file.code.match_indices(word) {
                    if !file.code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
                        found.push(format!("{}:{}: {word} ({reason})", file.name, line(&file.code, at)));
                    }
                }
            }
        }
    }
    found
}

fn sources() -> Vec<Source> {
    let files = below(&top(), "src");
    assert!(files.len() > 100, "only {} files", files.len());
    files
}

#[track_caller]
fn none(found: &[String]) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn rooms_name_only_the_rooms_of_their_row() {
    none(&breaches(&sources(), &architecture()));
}

#[test]
fn the_table_names_the_rooms_there_are_and_allows_what_is_used() {
    let (table, files) = (architecture(), sources());
    let rooms: BTreeSet<_> =
        files.iter().filter(|f| f.name.matches('/').count() > 1).filter_map(Source::room).collect();
    assert_eq!(rooms, table.keys().cloned().collect(), "rooms of src, and rooms of the table");
    let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files.iter().filter(|f| !f.is_test()) {
        let Some(room) = file.room() else { continue };
        let others = file.paths().into_iter().filter_map(|(_, path)| path.into_iter().next());
        used.entry(room.clone())
            .or_default()
            .extend(others.filter(|other| rooms.contains(other) && *other != room));
    }
    for (room, may) in &table {
        assert!(!may.contains("server"), "{room} may import the room that wires");
        let idle: Vec<_> = may.difference(&used[room]).collect();
        assert!(idle.is_empty(), "{room} may import {idle:?} and does not: take it out of the table");
    }
}

#[test]
fn hands_are_where_they_belong() {
    none(&strangers(&sources()));
    for (words, places, _) in HANDS {
        for place in *places {
            assert!(top().join(place).exists(), "{place}, allowed to use {words:?}, is gone");
        }
    }
}

#[test]
fn the_codec_knows_nobody() {
    for file in below(&top(), "jute/src") {
        for word in ["std::fs", "std::net", "std::io", "std::time", "std::env", "quoll", "tokio"] {
            assert!(!file.code.contains(word), "{}: {word}", file.name);
        }
    }
}

#[test]
fn files_say_what_they_are_and_stay_short() {
    let mut found = Vec::new();
    for dir in ["src", "jute", "tests", "compat-tests", "benches", "fuzz"] {
        if !top().join(dir).is_dir() {
            continue;
        }
        for file in below(&top(), dir).iter().filter(|f| !f.name.contains("/.cache/")) {
            if !file.text.starts_with("//!") {
                found.push(format!("{}: the first line does not say what it is (//!)", file.name));
            }
            let lines = file.text.lines().count();
            if lines > LONGEST {
                found.push(format!("{}: {lines} lines, {LONGEST} are enough", file.name));
            }
        }
    }
    none(&found);
}

/// The table of fuzz targets, the files for cargo-fuzz and their entries name the same targets.
#[test]
fn fuzz_targets_agree() {
    let read = |path: &str| std::fs::read_to_string(top().join(path)).unwrap();
    let quoted = |text: &str, key: &str| -> BTreeSet<String> {
        let values = text.lines().filter_map(|line| line.trim().strip_prefix(key));
        values.filter_map(|value| Some(value.split('"').nth(1)?.to_owned())).collect()
    };
    let table = quoted(&read("fuzz/src/targets/mod.rs"), "name: ");
    assert!(table.len() >= 12, "only {} targets", table.len());
    let mut bins = quoted(&read("fuzz/Cargo.toml"), "name = ");
    assert!(bins.remove("quoll-fuzz"));
    let files: BTreeSet<_> = below(&top(), "fuzz/fuzz_targets")
        .into_iter()
        .map(|file| {
            let name = file.name.rsplit('/').next().unwrap().trim_end_matches(".rs").to_owned();
            assert!(
                file.text.contains(&format!("run(\"{name}\", input)")),
                "{} runs another target",
                file.name
            );
            name
        })
        .collect();
    assert_eq!(bins, table, "bins of fuzz/Cargo.toml, and the table");
    assert_eq!(files, table, "files of fuzz/fuzz_targets, and the table");
}

/// Notes to oneself belong into issues. Every text of the repository is looked at.
#[test]
fn nobody_left_a_note() {
    let notes: Vec<String> =
        ["TO-DO", "FIX-ME", "X-X-X", "HA-CK"].iter().map(|n| n.replace('-', "")).collect();
    let mut found = Vec::new();
    for path in texts(&top()) {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        for (number, line) in text.lines().enumerate() {
            let words = line.split(|c: char| !c.is_alphanumeric());
            if words.into_iter().any(|word| notes.iter().any(|note| note == word)) {
                found.push(format!("{}:{}: {line}", path.display(), number + 1));
            }
        }
    }
    none(&found);
}

fn texts(dir: &Path) -> Vec<PathBuf> {
    const SKIPPED: &[&str] = &["target", ".git", ".cache", "node_modules", "corpus", "artifacts", "data"];
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            // Only generated directories carry these names, except for the records' room of data.
            if !SKIPPED.contains(&name.as_str()) {
                found.extend(texts(&path));
            }
        } else {
            found.push(path);
        }
    }
    found
}

/// The rules are worth something only if they can fail.
mod every_rule_can_fail {
    use super::*;

    fn file(name: &str, text: &str) -> Vec<Source> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        below(dir.path(), "src")
    }

    const PAGE: &str = "text\n| Room | Duty | May import | Never |\n|---|---|---|---|\n| `types` | x | nothing | y |\n\
                        | `state` | x | `types` | y |\n| `replica` | x | `types`, `state` | `net` |\n\
                        | `net` | x | `state` | y |\n\nmore\n";

    fn through_walls(name: &str, text: &str) -> Vec<String> {
        breaches(&file(name, text), &table(PAGE))
    }

    #[test]
    fn the_table_is_read() {
        let table = table(PAGE);
        assert_eq!(table.len(), 4);
        assert_eq!(table["replica"], BTreeSet::from(["types".to_owned(), "state".to_owned()]));
        assert!(table["types"].is_empty());
    }

    #[test]
    fn a_use_a_path_a_group_and_a_climb_are_seen() {
        for text in [
            "use crate::net::Conn;",
            "fn f() { crate::net::go(); }",
            "use crate::{types::Zxid, net::{self, Conn}};",
            "use crate::{\n    types::Zxid,\n    net,\n};",
            "pub(crate) use super::super::super::net::x;",
            "let x: super::super::super::net::X = y;",
        ] {
            let found = through_walls("src/state/tree/node.rs", text);
            assert_eq!(found.len(), 1 + usize::from(text.contains("{self")), "{text}: {found:?}");
        }
        assert!(through_walls("src/kitchen/mod.rs", "").len() == 1, "a room that nobody knows");
    }

    #[test]
    fn comments_strings_tests_and_neighbours_are_not() {
        for text in [
            "// use crate::net::Conn;",
            "/* crate::net */",
            "const X: &str = \"crate::net::x\";",
            "const X: &str = r#\"crate::net::x \" \"#; const Y: char = '\"';",
            "use crate::types::Zxid;",
            "use super::node::Node;",
            "fn f<'a>(x: &'a str) { /* ' */ }\n#[cfg(test)]\nmod tests { use crate::net::Conn; fn g() { } }\nfn h() {}",
        ] {
            assert_eq!(through_walls("src/state/tree/x.rs", text), Vec::<String>::new(), "{text}");
        }
        assert_eq!(through_walls("src/state/tests/x.rs", "use crate::net::Conn;"), Vec::<String>::new());
        let after = "#[cfg(test)]\nmod tests;\nuse crate::net::Conn;";
        assert_eq!(through_walls("src/state/x.rs", after).len(), 1, "what follows test code is seen");
    }

    #[test]
    fn of_state_validation_sees_the_view_alone() {
        assert!(through_walls("src/replica/prep/x.rs", "use crate::state::{TreeView, NodeView};").is_empty());
        assert_eq!(through_walls("src/replica/prep/x.rs", "use crate::state::{TreeView, Machine};").len(), 1);
    }

    #[test]
    fn hands_out_of_place_are_seen() {
        for (words, _, _) in HANDS {
            for word in *words {
                assert!(!strangers(&file("src/types/x.rs", word)).is_empty(), "{word}");
            }
        }
        assert_eq!(strangers(&file("src/state/apply.rs", "let c = Committed::mint(x);")).len(), 1);
        assert!(strangers(&file("src/replica/zab/solo.rs", "let c = Committed::mint(x);")).is_empty());
        assert!(strangers(&file("src/types/x.rs", "eprintable!(x); my_tokio::x")).is_empty());
    }
}
