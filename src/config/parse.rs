//! The text of a `zoo.cfg`: bytes in, entries out.
//!
//! The grammar is that of a Java properties file as `java.util.Properties.load(InputStream)` of Java 17 reads
//! it, quirks included: ISO-8859-1 bytes, no trailing comments, escapes, continuation lines. Nothing here
//! knows a key, opens a file or checks a value; `settings` and `ensemble` do.
//!
//! Invariant: any bytes at all give either entries or one error with its line. An entry's `line` is the line
//! on which its logical line starts, counted from 1.

/// One `key = value` of a configuration text, unescaped and trimmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key after unescaping and trimming; may be empty.
    pub key: String,
    /// The value after unescaping and trimming; may be empty.
    pub value: String,
    /// The line on which the entry starts, from 1.
    pub line: usize,
}

/// Why a text could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// A `\u` that is not followed by exactly four hexadecimal digits.
    #[error("Malformed \\uxxxx encoding.")]
    MalformedUnicode {
        /// The line on which the entry starts, from 1.
        line: usize,
        /// The raw logical line, for the message.
        text: String,
    },
}

impl ParseError {
    /// The line on which the faulty entry starts.
    #[must_use]
    pub fn line(&self) -> usize {
        match self {
            Self::MalformedUnicode { line, .. } => *line,
        }
    }
}

/// Reads every entry in the order of the text; a key given twice appears twice.
///
/// # Errors
/// The first malformed `\u` escape.
pub fn entries(text: &[u8]) -> Result<Vec<Entry>, ParseError> {
    let mut out = Vec::new();
    let mut lines = LogicalLines::new(text);
    while let Some((line, logical)) = lines.next_line() {
        let (key, value) = split(&logical);
        let malformed =
            || ParseError::MalformedUnicode { line, text: logical.iter().map(|b| char::from(*b)).collect() };
        let key = unescape(key).ok_or_else(malformed)?;
        let value = unescape(value).ok_or_else(malformed)?;
        out.push(Entry { key: java_trim(&key).to_owned(), value: java_trim(&value).to_owned(), line });
    }
    Ok(out)
}

/// Reads the text and keeps, of a key given more than once, only the last value (`Properties` does that).
/// What remains stays in the order of the text.
///
/// # Errors
/// As [`entries`].
pub fn last_wins(text: &[u8]) -> Result<Vec<Entry>, ParseError> {
    let all = entries(text)?;
    let mut seen = std::collections::HashSet::with_capacity(all.len());
    let mut kept: Vec<Entry> = all.into_iter().rev().filter(|e| seen.insert(e.key.clone())).collect();
    kept.reverse();
    Ok(kept)
}

/// `String.trim` of Java: everything up to and including the space goes, other white space stays.
#[must_use]
pub fn java_trim(text: &str) -> &str {
    text.trim_matches(|c: char| c <= ' ')
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x0c)
}

/// Joins natural lines to logical ones. The rules follow `Properties.LineReader`, whose odd corners are kept:
/// a continuation after a line that held nothing else starts afresh (so `#` is a comment there), and a
/// backslash at the very end of the text is dropped.
struct LogicalLines<'a> {
    text: &'a [u8],
    at: usize,
    line: usize,
}

impl<'a> LogicalLines<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, line: 1 }
    }

    fn take(&mut self) -> Option<u8> {
        let byte = *self.text.get(self.at)?;
        self.at += 1;
        let lf_follows = self.text.get(self.at) == Some(&b'\n');
        if byte == b'\n' || (byte == b'\r' && !lf_follows) {
            self.line += 1;
        }
        Some(byte)
    }

    fn next_line(&mut self) -> Option<(usize, Vec<u8>)> {
        let mut logical: Vec<u8> = Vec::new();
        let mut started = None;
        let mut skip_blanks = true;
        let mut continued = false;
        let mut backslash = false;
        loop {
            let line = self.line;
            let Some(byte) = self.take() else {
                if logical.is_empty() {
                    return None;
                }
                if backslash {
                    logical.pop();
                }
                return Some((started.unwrap_or(line), logical));
            };
            let end_of_line = matches!(byte, b'\n' | b'\r');
            if skip_blanks {
                if is_blank(byte) || (end_of_line && !continued) {
                    continue;
                }
                skip_blanks = false;
                continued = false;
            }
            if logical.is_empty() && matches!(byte, b'#' | b'!') {
                while self.take().is_some_and(|b| !matches!(b, b'\n' | b'\r')) {}
                skip_blanks = true;
                continue;
            }
            if !end_of_line {
                if logical.is_empty() {
                    started = Some(line);
                }
                logical.push(byte);
                backslash = byte == b'\\' && !backslash;
            } else if logical.is_empty() {
                skip_blanks = true;
            } else if backslash {
                logical.pop();
                if self.at >= self.text.len() {
                    return Some((started.unwrap_or(line), logical));
                }
                if byte == b'\r' && self.text.get(self.at) == Some(&b'\n') {
                    self.take();
                }
                (skip_blanks, continued, backslash) = (true, true, false);
            } else {
                return Some((started.unwrap_or(line), logical));
            }
        }
    }
}

/// Cuts a logical line at its first unescaped separator.
fn split(logical: &[u8]) -> (&[u8], &[u8]) {
    let mut backslash = false;
    let end = logical.iter().position(|&byte| {
        let separates = (matches!(byte, b'=' | b':') || is_blank(byte)) && !backslash;
        backslash = byte == b'\\' && !backslash;
        separates
    });
    let (key, rest) = logical.split_at(end.unwrap_or(logical.len()));
    let mut separator_seen = false;
    let value_at = rest.iter().position(|&byte| {
        if is_blank(byte) {
            return false;
        }
        let skip = matches!(byte, b'=' | b':') && !separator_seen;
        separator_seen |= skip;
        !skip
    });
    (key, rest.get(value_at.unwrap_or(rest.len())..).unwrap_or_default())
}

/// Undoes the escapes; `None` for a malformed `\u`. Java keeps UTF-16 units: a surrogate pair written as two
/// escapes is one character, a lone half has no meaning in a path or a number and becomes U+FFFD.
fn unescape(raw: &[u8]) -> Option<String> {
    let mut units: Vec<u16> = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            units.push(u16::from(byte));
            continue;
        }
        let Some(escaped) = bytes.next() else { break };
        units.push(match escaped {
            b'u' => {
                let mut unit = 0u16;
                for _ in 0..4 {
                    let digit = char::from(bytes.next()?).to_digit(16)?;
                    unit = unit << 4 | u16::try_from(digit).ok()?;
                }
                unit
            }
            b't' => u16::from(b'\t'),
            b'n' => u16::from(b'\n'),
            b'r' => u16::from(b'\r'),
            b'f' => 0x0c,
            other => u16::from(other),
        });
    }
    Some(String::from_utf16_lossy(&units))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(text: &str) -> Vec<(String, String, usize)> {
        entries(text.as_bytes()).unwrap().into_iter().map(|e| (e.key, e.value, e.line)).collect()
    }

    fn one(text: &str) -> (String, String) {
        let mut all = pairs(text);
        assert_eq!(all.len(), 1, "{text:?} gave {all:?}");
        let (key, value, _) = all.remove(0);
        (key, value)
    }

    #[track_caller]
    fn check(text: &str, key: &str, value: &str) {
        assert_eq!(one(text), (key.to_owned(), value.to_owned()), "{text:?}");
    }

    #[test]
    fn every_separator_works() {
        check("dataDir:/x", "dataDir", "/x");
        check("clientPort 2181", "clientPort", "2181");
        check("tickTime = 2000", "tickTime", "2000");
        check("tickTime\t:\t2000", "tickTime", "2000");
        check("a\x0cb", "a", "b");
        check("server.1:host:2888:3888", "server.1", "host:2888:3888");
        check("server.1=host:2888:3888;2181", "server.1", "host:2888:3888;2181");
        check("a==b", "a", "=b");
        check("a = : b", "a", ": b");
        check("a", "a", "");
        check("=b", "", "b");
    }

    #[test]
    fn there_are_no_trailing_comments() {
        check("maxClientCnxns=60 # x", "maxClientCnxns", "60 # x");
        assert!(pairs("  # a=b\n\t! c=d\n\n").is_empty());
    }

    #[test]
    fn a_comment_is_not_continued() {
        check("# comment \\\na=b", "a", "b");
    }

    #[test]
    fn a_backslash_before_an_ordinary_character_is_dropped() {
        check(r"dataDir=C:\data\zk", "dataDir", "C:datazk");
        check(r"a\=b\ c\:d=\#\!", "a=b c:d", "#!");
        check(r"a=x\ty\\z", "a", "x\ty\\z");
    }

    #[test]
    fn an_odd_number_of_backslashes_joins_lines() {
        check("a=b\\\n   c", "a", "bc");
        check("a=b\\\r\n \t c\\\r  d", "a", "bcd");
        assert_eq!(pairs("a=b\\\\\nc=d").len(), 2);
        check("a=b\\\n#c", "a", "b#c");
        check("a=b\\\n\nc=d".split_at(6).0, "a", "b");
        assert_eq!(pairs("a=b\\\n\nc=d"), [("a".into(), "b".into(), 1), ("c".into(), "d".into(), 3)]);
    }

    #[test]
    fn a_lone_backslash_line_starts_afresh() {
        assert!(pairs("\\\n#x=y").is_empty());
        assert_eq!(pairs("\\\n\na=b"), [("a".into(), "b".into(), 3)]);
    }

    #[test]
    fn a_backslash_at_the_end_of_the_text_is_dropped() {
        check("a=b\\", "a", "b");
        check("a=b\\\n", "a", "b");
        check("\\", "", "");
    }

    #[test]
    fn line_ends_and_numbers() {
        assert_eq!(
            pairs("# one\r\na=1\r\n\r\nb=2\rc=3\\\n  4\nd=5"),
            [
                ("a".into(), "1".into(), 2),
                ("b".into(), "2".into(), 4),
                ("c".into(), "34".into(), 5),
                ("d".into(), "5".into(), 7)
            ]
        );
    }

    #[test]
    fn bytes_are_latin_1() {
        let all = entries("dataDir=/d\u{e9}".as_bytes()).unwrap();
        assert_eq!(all[0].value, "/d\u{c3}\u{a9}");
        check(r"dataDir=/d\u00e9", "dataDir", "/d\u{e9}");
        check(r"a=\uD83D\uDE00", "a", "\u{1f600}");
        check(r"a=\uD83Dx", "a", "\u{fffd}x");
    }

    #[test]
    fn a_malformed_unicode_escape_names_its_line() {
        for bad in [r"a=\u12", r"a=\u12g4", r"a\u=b", "a=\\u00\\\n e9x\\u"] {
            let error = entries(format!("x=1\n{bad}").as_bytes()).unwrap_err();
            assert_eq!(error.line(), 2, "{bad}");
            assert_eq!(error.to_string(), "Malformed \\uxxxx encoding.");
        }
        check("a=\\u00\\\n  e9", "a", "\u{e9}");
    }

    #[test]
    fn the_last_duplicate_wins() {
        let all = last_wins(b"a=1\nb=2\na=3\n").unwrap();
        let flat: Vec<_> = all.iter().map(|e| (e.key.as_str(), e.value.as_str(), e.line)).collect();
        assert_eq!(flat, [("b", "2", 2), ("a", "3", 3)]);
    }

    #[test]
    fn values_are_trimmed_once_more() {
        check("a=b  \t ", "a", "b");
        check("a=\\ b\\n", "a", "b");
        check("clientPort=", "clientPort", "");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(text in proptest::collection::vec(any::<u8>(), 0..400)) {
            if let Ok(all) = entries(&text) {
                let lines = 1 + text.iter().filter(|b| matches!(b, b'\n' | b'\r')).count();
                prop_assert!(all.iter().all(|e| e.line >= 1 && e.line <= lines));
                prop_assert!(all.windows(2).all(|w| w[0].line < w[1].line));
            }
        }

        #[test]
        fn dense_grammar_bytes_never_panic(
            text in proptest::collection::vec(proptest::sample::select(b"\\\\u0aF#!=: \t\x0c\r\nx".to_vec()), 0..80),
        ) {
            let _ = entries(&text);
        }
    }
}
