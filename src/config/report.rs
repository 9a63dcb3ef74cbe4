//! What `quoll config check` prints: values in force, where each comes from, and what deserves a look.
//!
//! Pure functions from settings to text. Rows that are at their default and have no effect anyway are left out
//! of the text form, not of the JSON form.
//!
//! Invariant: no secret value appears in either form.

use super::ensemble::Mode;
use super::error::shown;
use super::keys::{Group, Key, Status, is_secret};
use super::origin::Origin;
use super::settings::{Effective, Settings};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// The report for people.
#[must_use]
pub fn text(settings: &Settings) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}: {}", shown(settings.source()), mode(settings));
    let listed: Vec<&Effective> = settings.effective().iter().filter(|value| is_listed(value)).collect();
    let names = listed.iter().map(|value| value.name.chars().count()).max().unwrap_or(0);
    let values = listed.iter().map(|value| shown(value.shown()).chars().count()).max().unwrap_or(0).min(48);
    for group in Group::ALL {
        let mut rows = listed.iter().filter(|value| value.key.group == group).peekable();
        if rows.peek().is_none() {
            continue;
        }
        let _ = writeln!(out, "\n{}", group.title());
        for value in rows {
            let _ = writeln!(
                out,
                "  {:names$}  {:values$}  {}",
                shown(&value.name),
                shown(value.shown()),
                value.origin
            );
        }
    }
    let hidden = settings.effective().len() - listed.len();
    let _ = writeln!(
        out,
        "\n{hidden} further keys are at their defaults and without effect here; see docs/CONFIG.md"
    );
    let notes = notes(settings);
    if notes.is_empty() {
        out.push_str("\nNo warnings\n");
    } else {
        let _ = writeln!(out, "\nWarnings");
        for note in notes {
            let _ = writeln!(out, "  {note}");
        }
    }
    out
}

/// The report for programs.
#[must_use]
pub fn json(settings: &Settings) -> String {
    let effective: Vec<Value> = settings
        .effective()
        .iter()
        .map(|value| {
            json!({
                "key": value.name,
                "toml": value.key.toml,
                "group": value.key.group.title(),
                "value": value.value.as_ref().map(|_| value.shown().trim_start_matches("(empty)")),
                "origin": origin(&value.origin),
                "status": status(value.key),
            })
        })
        .collect();
    let warnings: Vec<Value> = settings
        .warnings()
        .iter()
        .map(|warning| json!({ "text": warning.text, "origin": origin(&warning.origin) }))
        .collect();
    let not_yet: Vec<Value> = settings
        .not_yet()
        .map(|(value, feature)| {
            json!({ "key": value.name, "feature": feature.name(), "origin": origin(&value.origin) })
        })
        .collect();
    let unknown: Vec<Value> = settings
        .unknown()
        .iter()
        .map(|unknown| {
            let value = if is_secret(&unknown.key) { "(hidden)" } else { &unknown.value };
            json!({ "key": unknown.key, "value": value, "origin": origin(&unknown.origin), "hint": unknown.hint })
        })
        .collect();
    let all = json!({
        "source": settings.source(),
        "mode": mode(settings),
        "settings": effective,
        "warnings": warnings,
        "not_supported_yet": not_yet,
        "unknown": unknown,
    });
    let mut out = format!("{all:#}");
    out.push('\n');
    out
}

fn mode(settings: &Settings) -> &'static str {
    match settings.mode {
        Mode::Standalone => "standalone",
        Mode::Ensemble => "ensemble",
    }
}

fn is_listed(value: &Effective) -> bool {
    value.origin != Origin::Default || value.key.status == Status::Supported
}

fn notes(settings: &Settings) -> Vec<String> {
    let placed = |origin: &Origin, text: String| match origin {
        Origin::Default => text,
        origin => format!("{origin}: {text}"),
    };
    let mut out: Vec<String> =
        settings.warnings().iter().map(|warning| placed(&warning.origin, shown(&warning.text))).collect();
    for (value, feature) in settings.not_yet() {
        out.push(placed(
            &value.origin,
            format!("{} has no effect yet: {} is not supported", shown(&value.name), feature.name()),
        ));
    }
    for unknown in settings.unknown() {
        let hint = unknown.hint.as_deref().unwrap_or("it becomes a system property that nothing reads");
        let what = if unknown.hint.as_deref().is_some_and(|hint| !hint.starts_with("did you")) {
            "has no effect"
        } else {
            "is not a known key"
        };
        out.push(placed(&unknown.origin, format!("{} {what}; {}", shown(&unknown.key), shown(hint))));
    }
    out
}

fn status(key: &Key) -> Value {
    match key.status {
        Status::Supported => json!("supported"),
        Status::NoEffect(reason) => json!({ "no_effect": reason }),
        Status::NotYet(feature) => json!({ "not_supported_yet": feature.name() }),
    }
}

fn origin(origin: &Origin) -> Value {
    match origin {
        Origin::Default => json!({ "kind": "default" }),
        Origin::File { file, line } => json!({ "kind": "file", "file": &**file, "line": line }),
        Origin::Flag(name) => json!({ "kind": "flag", "name": name }),
        Origin::Environment(variable) => json!({ "kind": "environment", "name": variable }),
        Origin::Argument(position) => json!({ "kind": "argument", "position": position }),
    }
}
