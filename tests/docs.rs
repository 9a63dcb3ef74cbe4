//! The pages are true: links lead somewhere, commands exist, tables have every row, and tests that are named exist.
//!
//! Not here: the page of keys (`config_docs.rs`) and the table of rooms (`walls.rs`). Nothing is run but
//! `quoll --help` and `scripts/NAME --help`. Invariant: every check finds at least as many things to look at as there
//! were when it was written, so that none passes because it looked at nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use jute::OpCode;
use quoll::report::four_letter::Word;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: impl AsRef<Path>) -> String {
    let path = top().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Names below the top of every page.
fn pages() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for dir in ["", "docs", "docs/decisions"] {
        for entry in std::fs::read_dir(top().join(dir)).unwrap() {
            let name = Path::new(dir).join(entry.unwrap().file_name());
            if name.extension().is_some_and(|end| end == "md") {
                found.push(name);
            }
        }
    }
    found.sort();
    found
}

#[track_caller]
fn none(found: &[String]) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// A page without its blocks of code.
fn prose(page: &str) -> String {
    let mut inside = false;
    let lines = page.lines().filter(|line| {
        inside ^= line.trim_start().starts_with("```");
        !inside && !line.trim_start().starts_with("```")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// What stands between backticks.
fn ticked(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// The cells of every row of every table.
fn rows(page: &str) -> impl Iterator<Item = Vec<&str>> {
    let body = |line: &&str| line.starts_with('|') && !line.starts_with("|---");
    page.lines().filter(body).map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
}

/// The targets of links.
fn links(text: &str) -> Vec<&str> {
    text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target).collect()
}

/// The anchor of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(page: &str) -> BTreeSet<String> {
    prose(page)
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| anchor(line.trim_start_matches('#')))
        .collect()
}

/// Links of the page that lead nowhere, and how many there are in all.
fn dead_links(name: &Path, page: &str) -> (Vec<String>, usize) {
    let (mut dead, mut seen) = (Vec::new(), 0);
    for link in links(&prose(page)) {
        if link.contains("://") {
            continue;
        }
        seen += 1;
        let (file, heading) = link.split_once('#').map_or((link, None), |(file, h)| (file, Some(h)));
        let target = if file.is_empty() { name.to_owned() } else { name.parent().unwrap_or(name).join(file) };
        let full = top().join(&target);
        let is_there = match heading {
            None => full.exists(),
            Some(h) => full.is_file() && anchors(&read(&target)).contains(h),
        };
        if !is_there {
            dead.push(format!("{}: {link}", name.display()));
        }
    }
    (dead, seen)
}

#[test]
fn links_lead_somewhere() {
    let (mut dead, mut seen) = (Vec::new(), 0);
    for name in pages() {
        let (more, count) = dead_links(&name, &read(&name));
        dead.extend(more);
        seen += count;
    }
    none(&dead);
    assert!(seen > 50, "{seen}");
    let bad = "[a](no-such.md) [b](STYLE.md#no-such) [c](STYLE.md#names)";
    assert_eq!(dead_links(Path::new("docs/x.md"), bad).0.len(), 2, "the check can fail");
}

/// Is this, named in a page, something that has to exist?
fn missing(name: &str) -> Option<bool> {
    const PLACES: &[&str] = &["src/", "jute/", "tests/", "scripts/", "compat-tests/", "docs/"];
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    (plain && PLACES.iter().any(|place| name.starts_with(place))).then(|| !top().join(name).exists())
}

#[test]
fn files_that_pages_name_exist() {
    let (mut gone, mut seen) = (Vec::new(), 0);
    for page in pages() {
        let text = read(&page);
        for name in ticked(&prose(&text)) {
            match missing(name) {
                Some(true) => gone.push(format!("{}: {name}", page.display())),
                Some(false) => seen += 1,
                None => {}
            }
        }
    }
    none(&gone);
    assert!(seen > 150, "{seen}");
    assert_eq!(missing("src/no/such.rs"), Some(true), "the check can fail");
}

/// What `quoll WORDS --help` prints, if these words are a command.
fn help(words: &[&str]) -> Option<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_quoll")).args(words).arg("--help").output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

/// The names in the block `Commands:` of a help text.
fn commands(help: &str) -> Vec<String> {
    let block =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = block.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn every_command_of_quoll_stands_in_the_readme() {
    let readme = read("README.md");
    let mut seen = 0;
    for command in commands(&help(&[]).unwrap()) {
        let inner = commands(&help(&[&command]).unwrap());
        let full = if inner.is_empty() {
            vec![format!("quoll {command}")]
        } else {
            inner.iter().map(|inner| format!("quoll {command} {inner}")).collect()
        };
        for command in full {
            assert!(readme.contains(&format!("`{command}")), "README.md does not name `{command}`");
            seen += 1;
        }
    }
    assert!(seen >= 3, "{seen}");
}

/// The lines of code in the README.
fn code(page: &str) -> Vec<&str> {
    let mut inside = false;
    let lines = page.lines().filter(|line| {
        let fence = line.starts_with("```");
        inside ^= fence;
        inside && !fence
    });
    lines.collect()
}

#[test]
fn commands_of_the_readme_exist() {
    let readme = read("README.md");
    let mut quoll = 0;
    let mut scripts = BTreeSet::new();
    for line in code(&readme) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["quoll", rest @ ..] => {
                let named = rest.iter().take_while(|w| !w.starts_with('-') && !w.contains('.'));
                let named: Vec<&str> = named.copied().collect();
                let depth = if named.first() == Some(&"config") { 2 } else { 1 };
                let path: Vec<&str> = named.iter().take(depth).copied().collect();
                let help = help(&path).unwrap_or_else(|| panic!("no such command: {line}"));
                for flag in rest.iter().filter(|word| word.starts_with("--")) {
                    assert!(help.contains(flag), "no such flag: {line}");
                }
                if let (Some(&"bench"), Some(workload)) = (named.first(), named.get(1)) {
                    assert!(help.contains(&format!("- {workload}:")), "no such workload: {line}");
                }
                quoll += 1;
            }
            [script, ..] if script.starts_with("scripts/") => _ = scripts.insert((*script).to_owned()),
            _ => {}
        }
    }
    scripts.extend(
        ticked(&prose(&readme))
            .filter(|name| name.starts_with("scripts/"))
            .map(|name| name.split_whitespace().next().unwrap_or(name).to_owned()),
    );
    assert!(quoll >= 4 && scripts.len() >= 4, "{quoll} {scripts:?}");
    for script in scripts {
        let help = Command::new(top().join(&script)).arg("--help").output();
        let help = help.unwrap_or_else(|e| panic!("{script} cannot be run: {e}"));
        assert!(help.status.success(), "{script} --help: {}", String::from_utf8_lossy(&help.stderr));
    }
}

/// The rows of `page` whose first two cells are number and name of an operation.
fn operations(page: &str) -> BTreeSet<(i32, String)> {
    let row = |cells: Vec<&str>| Some((cells.first()?.parse().ok()?, cells.get(1)?.to_lowercase()));
    rows(page).filter_map(row).collect()
}

#[test]
fn every_operation_has_its_row() {
    let known: BTreeSet<_> = OpCode::ALL.iter().map(|op| (op.code(), op.name().to_lowercase())).collect();
    assert_eq!(operations(&section(&read("docs/COMPAT.md"), "Operations")), known, "docs/COMPAT.md");
    assert_eq!(operations(&section(&read("docs/WIRE.md"), "Operations")), known, "docs/WIRE.md");
}

/// What stands below a heading of the second order.
fn section(page: &str, heading: &str) -> String {
    let lines = page.lines().skip_while(|line| *line != format!("## {heading}")).skip(1);
    let text: Vec<_> = lines.take_while(|line| !line.starts_with("## ")).collect();
    assert!(!text.is_empty(), "no section {heading}");
    text.join("\n")
}

#[test]
fn every_word_has_its_row() {
    let page = section(&read("docs/COMPAT.md"), "Four-letter words");
    let rows: BTreeSet<_> = rows(&page).map(|cells| cells[0].to_owned()).collect();
    for word in Word::ALL.into_iter().filter(|word| *word != Word::Interrupt) {
        assert!(rows.contains(word.name()), "{}", word.name());
    }
}

#[test]
fn every_deviation_has_its_row() {
    let page = section(&read("docs/COMPAT.md"), "Deviations that tests know");
    let shown: BTreeSet<_> = rows(&page)
        .filter_map(|cells| cells[0].strip_prefix('`')?.strip_suffix('`'))
        .map(str::to_owned)
        .collect();
    let toml = read("compat-tests/deviations.toml");
    let known: BTreeSet<_> = toml
        .lines()
        .filter_map(|line| line.strip_prefix("id = \"")?.strip_suffix('"'))
        .map(str::to_owned)
        .collect();
    assert!(known.len() >= 3);
    assert_eq!(shown, known);
}

/// Every source file of the differential suite's hand-written sequences, in one text.
fn sequences() -> String {
    let dir = top().join("compat-tests/src/bin/differential/directed");
    std::fs::read_dir(dir)
        .unwrap()
        .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap())
        .collect()
}

#[test]
fn tests_that_compat_names_exist() {
    let page = read("docs/COMPAT.md");
    let sequences = sequences();
    let suites = top().join("compat-tests/suites");
    let mut seen = 0;
    for name in rows(&page).flatten().flat_map(ticked) {
        if let Some(sequence) = name.strip_prefix("differential/") {
            assert!(sequences.contains(&format!("\"{sequence}\"")), "no sequence {sequence}");
        } else if let Some(session) = name.strip_prefix("zkcli/") {
            assert!(suites.join(format!("zkcli/sessions/{session}.txt")).exists(), "no session {session}");
        } else {
            continue;
        }
        seen += 1;
    }
    assert!(seen > 60, "{seen}");
    let named: BTreeSet<_> = rows(&page).flatten().flat_map(ticked).map(str::to_owned).collect();
    let testing = read("docs/TESTING.md");
    for suite in std::fs::read_dir(&suites).unwrap() {
        let suite = suite.unwrap().file_name().into_string().unwrap();
        assert!(
            testing.contains(&format!("| `{suite}` |")),
            "docs/TESTING.md does not tell of the suite {suite}"
        );
    }
    for suite in ["curator", "kazoo", "javaclient", "fourletter"] {
        assert!(named.contains(suite) && suites.join(suite).join("run").exists(), "{suite}");
    }
}

/// The text of every file below `dir`, but for what is built or fetched.
fn texts(dir: &Path, into: &mut String) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !["target", ".cache", "node_modules", "__pycache__"].iter().any(|name| path.ends_with(name)) {
                texts(&path, into);
            }
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            into.push_str(&text);
        }
    }
}

/// What is wrong with the tests that a table of known failures names; and how many it names.
fn tests_that_are_not_there(table: &str) -> (Vec<String>, usize) {
    let mut code = String::new();
    ["src", "tests", "jute"].iter().for_each(|dir| texts(&top().join(dir), &mut code));
    let (sequences, mut gone, mut seen) = (sequences(), Vec::new(), 0);
    for cells in rows(table).filter(|cells| !matches!(cells[0], "Row" | "CVE")) {
        let names: Vec<_> = cells.get(2).copied().map(ticked).into_iter().flatten().collect();
        if names.is_empty() && !cells.get(2).is_some_and(|cell| cell.starts_with("Not applicable until ")) {
            gone.push(format!("{} has no test", cells[0]));
        }
        for name in names {
            seen += 1;
            let is_there = match name.split_once('/') {
                None => code.contains(&format!("fn {name}(")),
                Some(("differential", sequence)) => sequences.contains(&format!("\"{sequence}\"")),
                Some((suite, check)) => {
                    let (dir, mut text) = (top().join("compat-tests/suites").join(suite), String::new());
                    if dir.is_dir() {
                        texts(&dir, &mut text);
                    }
                    text.contains(check)
                }
            };
            if !is_there {
                gone.push(format!("{}: there is no {name}", cells[0]));
            }
        }
    }
    (gone, seen)
}

#[test]
fn every_known_failure_has_its_test() {
    let table = section(&read("docs/RELIABILITY.md"), "Known failures");
    let (gone, seen) = tests_that_are_not_there(&table);
    none(&gone);
    assert!(seen > 60, "{seen}");
    let numbers: Vec<_> =
        rows(&table).flat_map(|cells| cells[0].split(", ")).filter_map(|n| n.parse().ok()).collect();
    assert_eq!(numbers.iter().copied().collect::<BTreeSet<u32>>(), (1..=36).collect(), "rows");
    let advisories =
        rows(&table).filter(|cells| cells[0].starts_with("20") && cells[0].contains('-')).count();
    assert_eq!(advisories, 9);
    let bad = "| 1 | x | `no_such_test` |\n| 2 | x | `hostile/no such check` |\n| 3 | x | |\n\
               | 4 | x | `differential/no-such` |\n| 5 | x | Not applicable until then |";
    assert_eq!(tests_that_are_not_there(bad).0.len(), 4, "the check can fail");
}

/// What pages call a type of the tables in `jute`.
fn kind(rust: &str) -> String {
    let plain = rust.replace("<'a>", "").replace("&'a ", "");
    match plain.as_str() {
        "bool" => "boolean".to_owned(),
        "i32" => "int".to_owned(),
        "i64" => "long".to_owned(),
        "Option<Text>" => "ustring".to_owned(),
        "Option<[u8]>" => "buffer".to_owned(),
        other => match other.strip_prefix("Option<Vec<").and_then(|of| of.strip_suffix(">>")) {
            Some(of) => format!("vector<{}>", kind(of)),
            None => other.to_owned(),
        },
    }
}

/// A record: its name, then name and type of each field in order.
type Fields = (String, Vec<String>);

/// The records of a table in `jute`.
fn records(source: &str) -> Vec<Fields> {
    let mut found: Vec<Fields> = Vec::new();
    for line in source.lines() {
        let Some(rest) = line.strip_prefix("    ").filter(|rest| !rest.trim_start().starts_with("//")) else {
            continue;
        };
        if let Some(name) = rest.strip_suffix(" {").filter(|name| name.starts_with(char::is_uppercase)) {
            found.push((name.trim_end_matches("<'a>").to_owned(), Vec::new()));
        } else if let (Some((field, of)), Some((_, fields))) =
            (rest.strip_prefix("    ").and_then(|rest| rest.split_once(": ")), found.last_mut())
        {
            fields.push(format!("{field} {}", kind(of.trim_end_matches(','))));
        }
    }
    found
}

/// The records of a table in a page.
fn shown_records(section: &str) -> Vec<Fields> {
    rows(section)
        .filter(|cells| cells[0].starts_with('`'))
        .map(|cells| {
            let fields = cells[1].replace("&lt;", "<").replace("&gt;", ">");
            (cells[0].trim_matches('`').to_owned(), fields.split(", ").map(str::to_owned).collect())
        })
        .collect()
}

#[test]
fn every_record_has_its_row() {
    let shown = shown_records(&section(&read("docs/WIRE.md"), "Records"));
    let mut known = records(&read("jute/src/records/proto.rs"));
    known.extend(records(&read("jute/src/records/data.rs")));
    known.retain(|(name, _)| name != "StatPersisted");
    assert!(known.len() > 30, "{}", known.len());
    assert_eq!(shown, known, "docs/WIRE.md and jute/src/records");
}

#[test]
fn every_record_of_transactions_has_its_row() {
    let page = section(&read("docs/DISK.md"), "Transactions");
    let known = records(&read("jute/src/records/txn.rs"));
    assert!(known.len() > 15, "{}", known.len());
    assert_eq!(shown_records(&page), known, "docs/DISK.md and jute/src/records/txn.rs");
    let mut types = BTreeSet::new();
    let cells = rows(&page).filter_map(|cells| cells.get(2).copied());
    for word in cells.flat_map(|cell| cell.split([',', ';'])) {
        let mut words = word.split_whitespace();
        let Some(code) = words.next().and_then(|code| code.parse().ok()) else { continue };
        let op = OpCode::from_code(code).unwrap_or_else(|| panic!("there is no type {code}"));
        assert_eq!(words.next().map(str::to_lowercase), Some(op.name().to_lowercase()), "type {code}");
        types.insert(code);
    }
    assert_eq!(types.len(), 14, "types with a body: {types:?}");
}

#[test]
fn every_crate_has_its_reason() {
    let manifest = read("Cargo.toml");
    let page = read("docs/decisions/dependencies.md");
    let shown: BTreeSet<_> = rows(&page)
        .filter_map(|cells| cells[0].strip_prefix('`')?.strip_suffix('`'))
        .map(str::to_owned)
        .collect();
    let mut known = BTreeSet::new();
    let mut inside = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line == "[dependencies]" || line == "[dev-dependencies]";
        } else if inside && let Some((name, _)) = line.split_once(['.', ' ', '=']) {
            known.insert(name.to_owned());
        }
    }
    assert!(known.len() > 20);
    assert_eq!(shown, known, "docs/decisions/dependencies.md and Cargo.toml");
}

#[test]
fn every_decision_is_in_the_list() {
    let list = read("docs/decisions/README.md");
    let named: BTreeSet<_> = links(&list).into_iter().collect();
    let mut seen = 0;
    for page in pages().iter().filter(|p| p.starts_with("docs/decisions") && !p.ends_with("README.md")) {
        let name = page.file_name().and_then(|name| name.to_str()).unwrap();
        assert!(named.contains(name), "docs/decisions/README.md does not list {name}");
        seen += 1;
    }
    assert!(seen > 15, "{seen}");
}

#[test]
fn pages_are_as_wide_as_the_code() {
    let mut wide = Vec::new();
    for page in pages().iter().filter(|p| !p.ends_with("CONFIG.md")) {
        for (at, line) in read(page).lines().enumerate() {
            if line.chars().count() > 125 && !line.starts_with('|') && !line.contains("](") {
                wide.push(format!("{}:{}", page.display(), at + 1));
            }
        }
    }
    none(&wide);
}
