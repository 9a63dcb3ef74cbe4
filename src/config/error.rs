//! Why Quoll refuses to start with a configuration, in one line.
//!
//! Only configuration faults live here; faults of directories, ports and databases belong to other rooms.
//!
//! Invariant: the display form is one line, and never shows the value of a secret key.

use super::keys;

/// Exit code of the reference for an unexpected error at start.
pub const EXIT_UNEXPECTED: u8 = 1;
/// Exit code of the reference for bad arguments or a bad configuration.
pub const EXIT_INVALID: u8 = 2;

/// A fault in a configuration. The details are behind a pointer, so that results stay small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(Box<Fault>);

/// Where a fault is, what it is, what was expected, what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file as the user named it.
    pub file: Option<String>,
    /// The line on which the entry starts.
    pub line: Option<usize>,
    /// The key at fault, as it works in `zoo.cfg`, or as written.
    pub key: Option<String>,
    /// Its value.
    pub value: Option<String>,
    /// What is wrong, in the words of the reference where it has any.
    pub message: String,
    /// What a good value looks like.
    pub expected: Option<String>,
    /// What the user can do.
    pub remedy: Option<String>,
    code: u8,
}

impl ConfigError {
    /// A fault without a place yet.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self(Box::new(Fault {
            file: None,
            line: None,
            key: None,
            value: None,
            message: message.into(),
            expected: None,
            remedy: None,
            code: EXIT_INVALID,
        }))
    }

    /// Names the file, and the line if there is one.
    #[must_use]
    pub fn at(mut self, file: impl Into<String>, line: Option<usize>) -> Self {
        self.file = Some(file.into());
        self.line = line;
        self
    }

    /// Names the key.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Names the value.
    #[must_use]
    pub fn value(mut self, value: impl Into<String>) -> Self {
        self.value = Some(value.into());
        self
    }

    /// Says what a good value looks like.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// Says what the user can do.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Gives it another exit code than 2.
    #[must_use]
    pub fn code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// The exit code with which the reference ends on this fault.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.code
    }
}

impl std::ops::Deref for ConfigError {
    type Target = Fault;

    fn deref(&self) -> &Fault {
        &self.0
    }
}

impl std::ops::DerefMut for ConfigError {
    fn deref_mut(&mut self) -> &mut Fault {
        &mut self.0
    }
}

/// Longest part of a hostile value that a message repeats.
const SHOWN: usize = 200;

/// One line, no control characters, bounded.
pub(super) fn shown(text: &str) -> String {
    let mut out = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == SHOWN {
            out.push('…');
            break;
        }
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let secret = self.key.as_deref().is_some_and(keys::is_secret);
        if let Some(file) = &self.file {
            write!(f, "{}:", shown(file))?;
            if let Some(line) = self.line {
                write!(f, "{line}:")?;
            }
            f.write_str(" ")?;
        }
        if let Some(key) = &self.key {
            f.write_str(&shown(key))?;
            match &self.value {
                Some(_) if secret => f.write_str("=<hidden>")?,
                Some(value) => write!(f, "={}", shown(value))?,
                None => {}
            }
            f.write_str(": ")?;
        }
        match (&self.value, secret) {
            (Some(value), true) if !value.is_empty() => {
                f.write_str(&shown(&self.message.replace(value.as_str(), "<hidden>")))?;
            }
            _ => f.write_str(&shown_message(&self.message))?,
        }
        if let Some(expected) = &self.expected {
            write!(f, "; expected {expected}")?;
        }
        if let Some(remedy) = &self.remedy {
            write!(f, "; {remedy}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Messages of the reference may be long; only their control characters are made visible.
fn shown_message(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { c.escape_default().collect() } else { String::from(c) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_with_everything() {
        let error = ConfigError::new("port out of range:99999")
            .at("zoo.cfg", Some(12))
            .key("clientPort")
            .value("99999")
            .expected("an integer from 0 to 65535");
        assert_eq!(
            error.to_string(),
            "zoo.cfg:12: clientPort=99999: port out of range:99999; expected an integer from 0 to 65535"
        );
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn hostile_values_stay_on_one_line() {
        let error = ConfigError::new("bad\nvalue").at("a\nb", None).key("k\u{1b}").value("x\r\n".repeat(500));
        let text = error.to_string();
        assert!(!text.chars().any(char::is_control), "{text}");
        assert!(text.len() < 2_000);
    }

    #[test]
    fn secrets_do_not_show() {
        let error = ConfigError::new("cannot use hunter2").key("ssl.keyStore.password").value("hunter2");
        assert_eq!(error.to_string(), "ssl.keyStore.password=<hidden>: cannot use <hidden>");
    }
}
