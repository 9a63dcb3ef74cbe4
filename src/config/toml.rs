//! `quoll.toml`: the same settings under other names, turned into the entries a `zoo.cfg` would have.
//!
//! Names and types come from the key table. TOML is typed, so unlike in `zoo.cfg` a value of the wrong type or
//! an unknown key is an error with its line. The table `properties` takes raw `zoo.cfg` keys and their values.
//!
//! Invariant: what comes out, given to the same checks, means what the same keys mean in a `zoo.cfg`.

use super::error::ConfigError;
use super::keys::{self, Class, Key, Kind};
use super::parse::Entry;
use ::toml::Spanned;
use ::toml::de::{DeTable, DeValue};
use std::path::Path;

/// What a TOML file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entries {
    /// Keys as a `zoo.cfg` has them, in the order of the file.
    pub zoo: Vec<Entry>,
    /// System properties without prefix, which a `zoo.cfg` could not set.
    pub bare: Vec<Entry>,
}

/// The table for raw `zoo.cfg` keys.
const RAW: &str = "properties";

/// Is a configuration of this name read as TOML?
#[must_use]
pub fn is_named(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"))
}

/// Reads a TOML text.
///
/// # Errors
/// Bad TOML, unknown keys and values of the wrong type, with their line but without the file.
pub fn entries(text: &[u8]) -> Result<Entries, ConfigError> {
    let text = std::str::from_utf8(text).map_err(|error| {
        let before = text.get(..error.valid_up_to()).unwrap_or_default();
        ConfigError::new("not UTF-8").at("", Some(line_of(before)))
    })?;
    let line = |span: std::ops::Range<usize>| line_of(text.as_bytes().get(..span.start).unwrap_or_default());
    let root = DeTable::parse(text).map_err(|error| {
        ConfigError::new(error.message().replace('\n', ", ")).at("", error.span().map(line))
    })?;
    let mut walk = Walk { line: &line, out: Entries::default() };
    walk.table("", root.get_ref())?;
    walk.out.zoo.sort_by_key(|entry| entry.line);
    walk.out.bare.sort_by_key(|entry| entry.line);
    Ok(walk.out)
}

fn line_of(before: &[u8]) -> usize {
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

struct Walk<'a> {
    line: &'a dyn Fn(std::ops::Range<usize>) -> usize,
    out: Entries,
}

impl Walk<'_> {
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) -> Result<(), ConfigError> {
        for (name, value) in table {
            let line = (self.line)(name.span());
            let full = if prefix.is_empty() {
                name.get_ref().to_string()
            } else {
                format!("{prefix}.{}", name.get_ref())
            };
            if full == RAW {
                let rows = value.get_ref().as_table().ok_or_else(|| wrong(&full, value, "a table", line))?;
                self.raw("", rows)?;
                continue;
            }
            if let Some(key) = keys::all().find(|key| key.toml == full) {
                self.setting(key, &full, value, line)?;
                continue;
            }
            let inside = format!("{full}.");
            match value.get_ref().as_table() {
                Some(inner) if keys::all().any(|key| key.toml.starts_with(&inside)) => {
                    self.table(&full, inner)?
                }
                _ => return Err(unknown(&full, line)),
            }
        }
        Ok(())
    }

    fn setting(
        &mut self,
        key: &'static Key,
        full: &str,
        value: &Spanned<DeValue<'_>>,
        line: usize,
    ) -> Result<(), ConfigError> {
        let Some(prefix) = key.family() else {
            let value =
                text_of(key.kind, value).ok_or_else(|| wrong(full, value, type_of(key.kind), line))?;
            self.push(key, key.name.to_owned(), value, line);
            return Ok(());
        };
        let members = value.get_ref().as_table().ok_or_else(|| wrong(full, value, "a table", line))?;
        for (suffix, value) in members {
            let line = (self.line)(suffix.span());
            let name = format!("{full}.{}", suffix.get_ref());
            let value = scalar(value).ok_or_else(|| wrong(&name, value, "a string", line))?;
            let dot = if prefix.ends_with('.') { "" } else { "." };
            self.push(key, format!("{prefix}{dot}{}", suffix.get_ref()), value, line);
        }
        Ok(())
    }

    /// Raw keys; a dotted key without quotes arrives as nested tables.
    fn raw(&mut self, prefix: &str, table: &DeTable<'_>) -> Result<(), ConfigError> {
        for (name, value) in table {
            let line = (self.line)(name.span());
            let full = format!("{prefix}{}", name.get_ref());
            match value.get_ref().as_table() {
                Some(inner) => self.raw(&format!("{full}."), inner)?,
                None => {
                    let value = scalar(value)
                        .ok_or_else(|| wrong(&full, value, "a string, number or boolean", line))?;
                    self.out.zoo.push(Entry { key: full, value, line });
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, key: &Key, name: String, value: String, line: usize) {
        let to = if key.class == Class::Bare { &mut self.out.bare } else { &mut self.out.zoo };
        to.push(Entry { key: name, value, line });
    }
}

/// A value of the kind as `zoo.cfg` text; `None` if it has another type or does not fit.
fn text_of(kind: Kind, value: &Spanned<DeValue<'_>>) -> Option<String> {
    let value = value.get_ref();
    match kind {
        Kind::OnUnlessNo | Kind::OffUnlessYes => {
            value.as_bool().map(|on| if on { "yes" } else { "no" }.to_owned())
        }
        _ if kind.is_switch() => value.as_bool().map(|on| on.to_string()),
        Kind::Port => {
            integer(value).filter(|number| (0..=65_535).contains(number)).map(|number| number.to_string())
        }
        Kind::Int => {
            integer(value).filter(|number| i32::try_from(*number).is_ok()).map(|number| number.to_string())
        }
        Kind::Long => integer(value).map(|number| number.to_string()),
        Kind::Real => match value {
            DeValue::Float(number) => Some(number.as_str().to_owned()),
            _ => integer(value).map(|number| number.to_string()),
        },
        Kind::List => match value.as_array() {
            Some(items) => {
                let words: Option<Vec<&str>> = items.iter().map(|item| item.get_ref().as_str()).collect();
                words.map(|words| words.join(","))
            }
            None => value.as_str().map(str::to_owned),
        },
        _ => value.as_str().map(str::to_owned),
    }
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    value.as_integer().and_then(|number| i64::from_str_radix(number.as_str(), number.radix()).ok())
}

fn scalar(value: &Spanned<DeValue<'_>>) -> Option<String> {
    match value.get_ref() {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Boolean(on) => Some(on.to_string()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        value => integer(value).map(|number| number.to_string()),
    }
}

fn type_of(kind: Kind) -> &'static str {
    match kind {
        kind if kind.is_switch() => "true or false",
        Kind::Text | Kind::Path | Kind::Host | Kind::Class => "a string",
        Kind::List => "an array of strings",
        kind => kind.expected(),
    }
}

fn wrong(name: &str, value: &Spanned<DeValue<'_>>, expected: &str, line: usize) -> ConfigError {
    let shown = scalar(value).unwrap_or_else(|| format!("({})", value.get_ref().type_str()));
    ConfigError::new("wrong type or out of range")
        .at("", Some(line))
        .key(name)
        .value(shown)
        .expected(expected)
}

fn unknown(full: &str, line: usize) -> ConfigError {
    let error = ConfigError::new("unknown key").at("", Some(line)).key(full);
    let raw = keys::find(full).map(|key| key.toml);
    match raw.or_else(|| keys::nearest(full, keys::all().map(|key| key.toml))) {
        Some(near) => error.remedy(format!("did you mean {near}?")),
        None => error.remedy(format!("keys of a zoo.cfg go into the table [{RAW}]")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Entries {
        entries(text.as_bytes()).unwrap()
    }

    fn flat(entries: &[Entry]) -> Vec<(&str, &str, usize)> {
        entries.iter().map(|entry| (entry.key.as_str(), entry.value.as_str(), entry.line)).collect()
    }

    #[test]
    fn names_become_keys() {
        let all = read(
            "[client]\nport = 2181\n[storage]\nforce_sync = false\n[auth]\nskip_acl = true\n\
             [four_letter_words]\nwhitelist = ['ruok', \"stat\"]\n[limits]\nmax_buffer_bytes = 0x1000\n\
             [throttle]\nconnection_drop_increase = 0.5\n",
        );
        assert_eq!(
            flat(&all.zoo),
            [
                ("clientPort", "2181", 2),
                ("forceSync", "no", 4),
                ("skipACL", "yes", 6),
                ("4lw.commands.whitelist", "ruok,stat", 8),
                ("connection_throttle_drop_increase", "0.5", 12),
            ]
        );
        assert_eq!(flat(&all.bare), [("jute.maxbuffer", "4096", 10)]);
    }

    #[test]
    fn families_are_tables() {
        let all = read(
            "[ensemble.servers]\n1 = 'a:2888:3888'\n'2' = 'b:2888:3888'\n[ensemble.groups]\n1 = '1:2'\n\
             [ensemble.weights]\n1 = 0\n[auth.providers]\nsasl = 'x.Y'\n",
        );
        assert_eq!(
            flat(&all.zoo),
            [
                ("server.1", "a:2888:3888", 2),
                ("server.2", "b:2888:3888", 3),
                ("group.1", "1:2", 5),
                ("weight.1", "0", 7),
                ("authProvider.sasl", "x.Y", 9),
            ]
        );
    }

    #[test]
    fn raw_keys_pass_through() {
        let all = read("[properties]\nfoo = 1\n\"a.b\" = 'x'\nc.d = true\n");
        assert_eq!(flat(&all.zoo), [("foo", "1", 2), ("a.b", "x", 3), ("c.d", "true", 4)]);
    }

    #[track_caller]
    fn fails(text: &str, line: usize, part: &str) {
        let error = entries(text.as_bytes()).unwrap_err();
        assert_eq!(error.line, Some(line), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }

    #[test]
    fn faults_name_line_and_remedy() {
        fails("[client]\nprot = 2181\n", 2, "did you mean client.port?");
        fails("[client]\nport = '2181'\n", 2, "expected an integer from 0 to 65535");
        fails("[client]\n\nport = 99999\n", 3, "client.port=99999: wrong type or out of range");
        fails("[storage]\nforce_sync = 'yes'\n", 2, "expected true or false");
        fails("clientPort = 1\n", 1, "did you mean client.port?");
        fails("[quite.another]\nthing = 1\n", 1, "[properties]");
        fails("[client]\nport = \n", 2, "");
        fails("a = 1\na = 2\n", 2, "duplicate");
        let bad = entries(b"a = 1\nb = '\xff'").unwrap_err();
        assert_eq!((bad.line, bad.message.as_str()), (Some(2), "not UTF-8"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(\\[|\\]|[a-z.]{1,9}|=|\n| |'|\"|[0-9]{1,4}|\\PC){0,40}") {
            let _ = entries(text.as_bytes());
        }
    }
}
