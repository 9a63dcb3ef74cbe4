//! Where values come from: files, system properties, environment, arguments; and the property map itself.
//!
//! It reads no environment: the caller hands in what it found, so tests and other rooms stay pure.
//!
//! Invariant: every property carries its origin, and a later source replaces an earlier one.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Where an effective value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A line of a configuration file.
    File {
        /// The file as the user named it.
        file: Arc<str>,
        /// The line on which the entry starts.
        line: usize,
    },
    /// A `-D` flag on the command line.
    Flag(String),
    /// A variable of the environment.
    Environment(&'static str),
    /// A positional argument, from 1.
    Argument(usize),
}

impl Origin {
    /// The file and line, if it is one.
    #[must_use]
    pub fn place(&self) -> Option<(&str, usize)> {
        match self {
            Self::File { file, line } => Some((file, *line)),
            _ => None,
        }
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line } => write!(f, "{}:{line}", super::error::shown(file)),
            Self::Flag(name) => write!(f, "-D{}", super::error::shown(name)),
            Self::Environment(variable) => write!(f, "environment {variable}"),
            Self::Argument(position) => write!(f, "argument {position}"),
        }
    }
}

/// A value with its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sourced {
    /// The text of the value.
    pub value: String,
    /// Where it was set.
    pub origin: Origin,
}

/// The environment variables whose `-D` words count, weakest first. The scripts of the reference pass
/// `SERVER_JVMFLAGS` before `JVMFLAGS`, and a virtual machine takes the last of two equal flags.
pub const FLAG_VARIABLES: [&str; 3] = ["SERVER_JVMFLAGS", "JVMFLAGS", "QUOLL_OPTS"];

/// What a Java server would find among its system properties.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SystemProperties {
    map: BTreeMap<String, Sourced>,
}

impl SystemProperties {
    /// Takes what the environment says, through a lookup such as `|name| std::env::var(name).ok()`.
    #[must_use]
    pub fn from_environment(lookup: impl Fn(&str) -> Option<String>) -> Self {
        const NO_CREATE: &str = "ZOO_DATADIR_AUTOCREATE_DISABLE";
        let mut properties = Self::default();
        if lookup(NO_CREATE).is_some_and(|value| !value.is_empty()) {
            properties.set("zookeeper.datadir.autocreate", "false", Origin::Environment(NO_CREATE));
        }
        for variable in FLAG_VARIABLES {
            for word in lookup(variable).unwrap_or_default().split_ascii_whitespace() {
                if let Some(definition) = word.strip_prefix("-D") {
                    let (name, value) = definition.split_once('=').unwrap_or((definition, ""));
                    properties.set(name, value, Origin::Environment(variable));
                }
            }
        }
        properties
    }

    /// Takes one `name=value` of a `-D` flag; without `=` the value is empty, as in Java.
    pub fn define(&mut self, definition: &str) {
        let (name, value) = definition.split_once('=').unwrap_or((definition, ""));
        self.set(name, value, Origin::Flag(name.to_owned()));
    }

    /// Sets a property, replacing what an earlier source said. A nameless one is dropped.
    pub fn set(&mut self, name: &str, value: &str, origin: Origin) {
        if !name.is_empty() {
            self.map.insert(name.to_owned(), Sourced { value: value.to_owned(), origin });
        }
    }

    /// The property of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Sourced> {
        self.map.get(name)
    }

    /// Every property by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Sourced)> {
        self.map.iter().map(|(name, sourced)| (name.as_str(), sourced))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_definitions_count_and_the_later_variable_wins() {
        let properties = SystemProperties::from_environment(|name| {
            match name {
                "SERVER_JVMFLAGS" => Some("-Xmx1g -Dzookeeper.snapCount=5 -Djute.maxbuffer=0x1000"),
                "JVMFLAGS" => Some(" -Dzookeeper.snapCount=7  -Dbare "),
                "ZOO_DATADIR_AUTOCREATE_DISABLE" => Some("1"),
                _ => None,
            }
            .map(str::to_owned)
        });
        assert_eq!(properties.get("zookeeper.snapCount").unwrap().value, "7");
        assert_eq!(properties.get("zookeeper.snapCount").unwrap().origin, Origin::Environment("JVMFLAGS"));
        assert_eq!(properties.get("jute.maxbuffer").unwrap().value, "0x1000");
        assert_eq!(properties.get("bare").unwrap().value, "");
        assert_eq!(properties.get("zookeeper.datadir.autocreate").unwrap().value, "false");
        assert_eq!(properties.iter().count(), 4);
    }

    #[test]
    fn a_flag_replaces_the_environment() {
        let mut properties =
            SystemProperties::from_environment(|name| (name == "QUOLL_OPTS").then(|| "-Da=1".to_owned()));
        properties.define("a=2=3");
        properties.define("=x");
        assert_eq!(
            properties.get("a").unwrap(),
            &Sourced { value: "2=3".into(), origin: Origin::Flag("a".into()) }
        );
        assert_eq!(properties.iter().count(), 1);
    }
}
