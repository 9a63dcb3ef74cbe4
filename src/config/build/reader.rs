//! Typed reading of keys from their sources, driven by the key table.
//!
//! It knows classes, kinds and defaults, not what a key is for. Each read leaves one line in the list of
//! effective values, which `reset` may correct.
//!
//! Invariant: a key of class File fails on a bad value, any other takes its default and leaves a hint.

use crate::config::error::ConfigError;
use crate::config::keys::{self, Class, Fallback, Key, Kind, Status};
use crate::config::number;
use crate::config::origin::{Origin, Sourced, SystemProperties};
use crate::config::settings::{Effective, Warning};
use std::collections::BTreeMap;

/// A row nobody asked for by its right name; the tests see to it that there is no such question.
static NAMELESS: Key = Key {
    name: "",
    class: Class::File,
    kind: Kind::Text,
    fallback: Fallback::Unset,
    toml: "",
    group: keys::Group::Tuning,
    status: Status::Supported,
    rule: "",
    about: "",
};

pub(super) fn row(name: &str) -> &'static Key {
    let found = keys::all().find(|key| key.name == name);
    debug_assert!(found.is_some(), "no row for {name}");
    found.unwrap_or(&NAMELESS)
}

/// The default of a row that has a number.
pub(super) fn fallback_int(name: &str) -> i32 {
    match row(name).fallback {
        Fallback::Int(value) => i32::try_from(value).unwrap_or(0),
        _ => 0,
    }
}

/// The default of a row that has a fraction.
pub(super) fn fallback_real(name: &str) -> f64 {
    match row(name).fallback {
        Fallback::Real(value) => value,
        _ => 0.0,
    }
}

/// The sources of one configuration, and what was found in them so far.
pub(super) struct Reader {
    /// The configuration file, if there is one.
    pub(super) source: Option<String>,
    /// Keys of class File, and members, by key.
    pub(super) file: BTreeMap<String, Sourced>,
    /// System properties; the file's own are already among them.
    pub(super) properties: SystemProperties,
    pub(super) effective: Vec<Effective>,
    pub(super) warnings: Vec<Warning>,
}

impl Reader {
    /// What the sources say about a key, the winning one.
    pub(super) fn raw(&self, key: &Key) -> Option<Sourced> {
        match key.class {
            Class::File => self.file.get(key.name).cloned(),
            _ => key.properties().iter().find_map(|name| self.properties.get(name)).cloned(),
        }
    }

    /// A fault of a value, with its place.
    pub(super) fn fault(&self, name: &str, message: impl Into<String>) -> ConfigError {
        let mut error = ConfigError::new(message).key(name);
        if let Some(value) = self.effective.iter().rev().find(|value| value.name == name) {
            error = place(error, &value.origin);
            error.value.clone_from(&value.value);
        }
        error
    }

    /// Notes a sentence for the log.
    pub(super) fn warn(&mut self, name: &str, text: impl Into<String>) {
        let origin =
            self.effective.iter().rev().find(|value| value.name == name).map(|value| value.origin.clone());
        self.warnings.push(Warning { text: text.into(), origin: origin.unwrap_or(Origin::Default) });
    }

    pub(super) fn note(&mut self, key: &'static Key, name: &str, value: Option<String>, origin: Origin) {
        self.effective.push(Effective { key, name: name.to_owned(), value, origin });
    }

    /// Corrects the value in force after a check changed it.
    pub(super) fn reset(&mut self, name: &str, value: impl ToString) {
        if let Some(effective) = self.effective.iter_mut().rev().find(|effective| effective.name == name) {
            effective.value = Some(value.to_string());
        }
    }

    /// A fault of the file as a whole.
    pub(super) fn fault_of_file(&self, error: ConfigError, line: Option<usize>) -> ConfigError {
        match &self.source {
            Some(file) => error.at(file, line),
            None => error,
        }
    }

    fn read<T: ToString>(
        &mut self,
        name: &str,
        fallback: Option<T>,
        strict: fn(&str) -> Option<T>,
        lenient: fn(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let key = row(name);
        let Some(raw) = self.raw(key) else {
            self.note(key, name, fallback.as_ref().map(T::to_string), Origin::Default);
            return Ok(fallback);
        };
        let value = if key.class == Class::File { strict(&raw.value) } else { lenient(&raw.value) };
        if let Some(value) = value {
            self.note(key, name, Some(value.to_string()), raw.origin);
            return Ok(Some(value));
        }
        if key.class == Class::File {
            let error =
                ConfigError::new(format!("For input string: \"{}\"", raw.value)).key(name).value(raw.value);
            return Err(place(error, &raw.origin).expected(key.kind.expected()));
        }
        let instead = fallback.as_ref().map_or_else(|| "nothing".to_owned(), T::to_string);
        self.warnings.push(Warning {
            text: format!("{name}={} is not {}; ignored, {instead} is used", raw.value, key.kind.expected()),
            origin: raw.origin,
        });
        self.note(key, name, fallback.as_ref().map(T::to_string), Origin::Default);
        Ok(fallback)
    }

    /// A 32-bit number with the default of its row.
    pub(super) fn int(&mut self, name: &str) -> Result<i32, ConfigError> {
        self.int_or(name, fallback_int(name))
    }

    /// A 32-bit number with a default that depends on others.
    pub(super) fn int_or(&mut self, name: &str, fallback: i32) -> Result<i32, ConfigError> {
        Ok(self.read(name, Some(fallback), number::strict_int, number::decode_int)?.unwrap_or(fallback))
    }

    /// A 32-bit number that may be unset.
    pub(super) fn maybe_int(&mut self, name: &str) -> Result<Option<i32>, ConfigError> {
        self.read(name, None, number::strict_int, number::decode_int)
    }

    /// An option of the metrics provider, checked only if there is one that reads it; a bad one stops it with
    /// code 1.
    pub(super) fn option_int(&mut self, name: &str, read: bool) -> Result<i32, ConfigError> {
        let unread = self.raw(row(name)).filter(|raw| !read && number::strict_int(&raw.value).is_none());
        match unread {
            Some(raw) => {
                self.note(row(name), name, Some(raw.value), raw.origin);
                Ok(fallback_int(name))
            }
            None => self.int(name).map_err(|error| error.code(crate::config::error::EXIT_UNEXPECTED)),
        }
    }

    /// A 64-bit number with the default of its row.
    pub(super) fn long(&mut self, name: &str) -> Result<i64, ConfigError> {
        let fallback = match row(name).fallback {
            Fallback::Int(value) => value,
            _ => 0,
        };
        self.long_or(name, fallback)
    }

    /// A 64-bit number with a default that depends on others.
    pub(super) fn long_or(&mut self, name: &str, fallback: i64) -> Result<i64, ConfigError> {
        Ok(self.read(name, Some(fallback), number::strict_long, number::decode_long)?.unwrap_or(fallback))
    }

    /// A property that must be plain decimal; else its default holds and the given sentence is logged.
    pub(super) fn warned_long(&mut self, name: &str, sentence: impl Fn(&str) -> String) -> i64 {
        let key = row(name);
        let fallback = match key.fallback {
            Fallback::Int(value) => value,
            _ => 0,
        };
        let raw = self.raw(key);
        let value = raw.as_ref().and_then(|raw| number::strict_long(&raw.value));
        let origin = match raw {
            Some(raw) if value.is_none() => {
                self.warnings.push(Warning { text: sentence(&raw.value), origin: raw.origin });
                Origin::Default
            }
            Some(raw) => raw.origin,
            None => Origin::Default,
        };
        let value = value.unwrap_or(fallback);
        self.note(key, name, Some(value.to_string()), origin);
        value
    }

    /// A fraction with the default of its row.
    pub(super) fn real(&mut self, name: &str) -> Result<f64, ConfigError> {
        let fallback = fallback_real(name);
        Ok(self.read(name, Some(fallback), number::real, number::real)?.unwrap_or(fallback))
    }

    /// A fraction that stops the start when it is none.
    pub(super) fn strict_real(&mut self, name: &str) -> Result<f64, ConfigError> {
        if let Some(raw) = self.raw(row(name)).filter(|raw| number::real(&raw.value).is_none()) {
            let error = ConfigError::new("not a number").key(name).value(raw.value);
            return Err(place(error, &raw.origin)
                .expected(Kind::Real.expected())
                .code(crate::config::error::EXIT_UNEXPECTED));
        }
        self.real(name)
    }

    /// A switch with the default of its row.
    pub(super) fn switch(&mut self, name: &str) -> Result<bool, ConfigError> {
        let fallback = matches!(row(name).fallback, Fallback::Bool(true));
        self.switch_or(name, fallback)
    }

    /// A switch with a default that depends on others.
    pub(super) fn switch_or(&mut self, name: &str, fallback: bool) -> Result<bool, ConfigError> {
        let key = row(name);
        let Some(raw) = self.raw(key) else {
            self.note(key, name, Some(fallback.to_string()), Origin::Default);
            return Ok(fallback);
        };
        let text = raw.value.as_str();
        let value = match key.kind {
            Kind::OnUnlessNo => text != "no",
            Kind::OffUnlessYes => text == "yes",
            Kind::OnUnlessFalse => text != "false",
            Kind::OnlyTrue => text == "true",
            _ if text.eq_ignore_ascii_case("true") => true,
            _ if key.class == Class::File && !text.eq_ignore_ascii_case("false") => {
                let message = format!("Invalid option {text} for {name}. Choose 'true' or 'false.'");
                return Err(place(ConfigError::new(message).key(name).value(text), &raw.origin));
            }
            _ => false,
        };
        // Where the reference compares exactly, a word in capitals does not mean what it says.
        let clear = match key.kind {
            Kind::OnUnlessNo | Kind::OffUnlessYes => matches!(text, "yes" | "no"),
            Kind::OnUnlessFalse | Kind::OnlyTrue => matches!(text, "true" | "false"),
            _ => ["true", "false"].iter().any(|word| text.eq_ignore_ascii_case(word)),
        };
        if !clear {
            self.warnings.push(Warning {
                text: format!("{name}={text} is not {}; taken as {value}", key.kind.expected()),
                origin: raw.origin.clone(),
            });
        }
        self.note(key, name, Some(value.to_string()), raw.origin);
        Ok(value)
    }

    /// A text with the default of its row, if it has one.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        let key = row(name);
        let fallback = match key.fallback {
            Fallback::Text(value) => Some(value.to_owned()),
            Fallback::Bool(value) => Some(value.to_string()),
            _ => None,
        };
        let (value, origin) = match self.raw(key) {
            Some(raw) => (Some(raw.value), raw.origin),
            None => (fallback, Origin::Default),
        };
        self.note(key, name, value.clone(), origin);
        value
    }

    /// The members of a family of properties: suffix and value, by suffix.
    pub(super) fn family(&mut self, name: &str) -> Vec<(String, Sourced)> {
        let key = row(name);
        let prefix = key.family().unwrap_or(key.name);
        let found: Vec<(String, Sourced)> = match key.class {
            Class::File => self
                .file
                .iter()
                .filter_map(|(name, sourced)| Some((name.strip_prefix(prefix)?.to_owned(), sourced.clone())))
                .collect(),
            _ => {
                let full = format!("zookeeper.{prefix}");
                self.properties
                    .iter()
                    .filter_map(|(name, sourced)| {
                        Some((name.strip_prefix(&full)?.to_owned(), sourced.clone()))
                    })
                    .collect()
            }
        };
        for (suffix, sourced) in &found {
            self.note(key, &format!("{prefix}{suffix}"), Some(sourced.value.clone()), sourced.origin.clone());
        }
        found
    }

    /// Reads the rows that nothing in Quoll asks for yet, so that their values are checked and shown.
    pub(super) fn rest(&mut self) -> Result<(), ConfigError> {
        let seen: std::collections::BTreeSet<String> =
            self.effective.iter().map(|value| value.name.clone()).collect();
        for key in keys::all().filter(|key| !seen.contains(key.name)) {
            match key.kind {
                // Families leave their members in the list, under names of their own.
                Kind::Family if key.name.starts_with("metricsProvider") => {
                    let known: Vec<_> =
                        keys::all().filter(|key| key.family().is_none()).map(|key| key.name).collect();
                    let others: Vec<_> = self
                        .file
                        .iter()
                        .filter(|(name, _)| key.covers(name) && !known.contains(&name.as_str()))
                        .map(|(name, sourced)| (name.clone(), sourced.clone()))
                        .collect();
                    for (name, sourced) in others {
                        self.note(key, &name, Some(sourced.value), sourced.origin);
                    }
                }
                Kind::Family => {}
                Kind::Int | Kind::Port => match key.fallback {
                    Fallback::Int(_) => drop(self.int(key.name)?),
                    _ => drop(self.maybe_int(key.name)?),
                },
                Kind::Long => drop(self.read(
                    key.name,
                    match key.fallback {
                        Fallback::Int(value) => Some(value),
                        _ => None,
                    },
                    number::strict_long,
                    number::decode_long,
                )?),
                Kind::Real => drop(self.real(key.name)?),
                kind if kind.is_switch() => drop(self.switch(key.name)?),
                _ => drop(self.text(key.name)),
            }
        }
        Ok(())
    }
}

/// Puts the place of a value into an error.
pub(super) fn place(error: ConfigError, origin: &Origin) -> ConfigError {
    match origin {
        Origin::File { file, line } => error.at(file.to_string(), Some(*line)),
        Origin::Default => error,
        other => error.at(other.to_string(), None),
    }
}
