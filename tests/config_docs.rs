//! The written pages about configuration are true: generated ones are current, samples are read.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use quoll::config::{RealWorld, Source, SystemProperties, docs, keys, load, report};
use std::path::{Path, PathBuf};

fn top(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

#[test]
fn the_page_of_keys_is_current() {
    let path = top("docs/CONFIG.md");
    let page = docs::markdown();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "docs/CONFIG.md is stale; run UPDATE_DOCS=1 cargo test --test config_docs");
    for key in keys::all() {
        assert!(page.contains(&format!("`{}`", key.name)), "{}", key.name);
    }
}

#[test]
fn the_samples_are_read_without_a_warning_and_agree() {
    let read = |name: &str, copied_to: &str| {
        let source = Source::Text(copied_to.to_owned(), std::fs::read(top(name)).unwrap());
        load(&source, SystemProperties::default(), &RealWorld).unwrap_or_else(|error| panic!("{error}"))
    };
    let zoo = read("zoo.cfg.sample", "./zoo.cfg");
    let toml = read("docs/quoll.toml.sample", "./quoll.toml");
    for settings in [&zoo, &toml] {
        assert!(settings.warnings().is_empty(), "{:?}", settings.warnings());
        assert!(settings.unknown().is_empty(), "{:?}", settings.unknown());
        assert_eq!(settings.not_yet_warning(), None);
    }
    let values = |settings: &quoll::config::Settings| -> Vec<(String, Option<String>)> {
        settings.effective().iter().map(|value| (value.name.clone(), value.value.clone())).collect()
    };
    assert_eq!(values(&zoo), values(&toml));
    assert_eq!(zoo.sessions.tick_time_ms, 2000);
}

/// Every line that a sample comments out is a working line too.
#[test]
fn commented_settings_of_the_samples_work() {
    let zoo = std::fs::read_to_string(top("zoo.cfg.sample")).unwrap();
    let lines =
        zoo.lines().filter_map(|line| line.strip_prefix('#')).filter(|line| !line.starts_with([' ', '#']));
    let mut seen = 0;
    for line in lines.filter(|line| !line.is_empty()) {
        let text = format!("dataDir=/data\nclientPort=2181\n{line}\n");
        let source = Source::Text("./sample".to_owned(), text.into_bytes());
        let settings =
            load(&source, SystemProperties::default(), &RealWorld).unwrap_or_else(|e| panic!("{line}: {e}"));
        assert!(settings.unknown().is_empty(), "{line}");
        seen += 1;
    }
    assert!(seen >= 10, "{seen}");

    let toml = std::fs::read_to_string(top("docs/quoll.toml.sample")).unwrap();
    let all: Vec<String> = toml
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.is_empty() && !rest.starts_with([' ', '#']) => rest.to_owned(),
            _ => line.to_owned(),
        })
        .collect();
    let source = Source::Text("./sample.toml".to_owned(), all.join("\n").into_bytes());
    let settings =
        load(&source, SystemProperties::default(), &RealWorld).unwrap_or_else(|error| panic!("{error}"));
    let set = settings.effective().iter().filter(|value| value.origin.place().is_some()).count();
    assert!(set >= 20, "{set}");
}

#[test]
fn reports_of_the_sample_name_every_value() {
    let source = Source::File(top("zoo.cfg.sample"));
    let settings = load(&source, SystemProperties::default(), &RealWorld).unwrap();
    let text = report::text(&settings);
    assert!(text.contains("tickTime") && text.ends_with("No warnings\n"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&report::json(&settings)).unwrap();
    let rows = json["settings"].as_array().unwrap();
    assert_eq!(rows.len(), settings.effective().len());
    let tick = rows.iter().find(|row| row["key"] == "tickTime").unwrap();
    assert_eq!((&tick["value"], &tick["origin"]["kind"]), (&"2000".into(), &"file".into()));
}
