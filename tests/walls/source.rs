//! Reads Rust sources well enough for the walls: no comments, no strings, no test code, and the paths that code names.
//!
//! It is no parser. It knows comments, literals, braces and `use` groups; that is what the rules are made of.

use std::path::{Path, PathBuf};

/// A source file of the crate.
pub(crate) struct Source {
    /// Relative to the top of the repository, with `/`.
    pub(crate) name: String,
    /// As it is written.
    pub(crate) text: String,
    /// The same without comments, contents of literals, and items under `#[cfg(test)]`; line numbers stay.
    pub(crate) code: String,
}

/// Every `.rs` file below `dir`, by name.
pub(crate) fn below(top: &Path, dir: &str) -> Vec<Source> {
    let mut names = Vec::new();
    collect(&top.join(dir), &mut names);
    names.sort();
    names
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let name = path.strip_prefix(top).unwrap().to_str().unwrap().replace('\\', "/");
            let code = without_tests(&bare(&text));
            Source { name, text, code }
        })
        .collect()
}

fn collect(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "target") {
                collect(&path, into);
            }
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

impl Source {
    /// Test code has walls of its own: none.
    pub(crate) fn is_test(&self) -> bool {
        self.name.contains("/tests/") || self.name.ends_with("/tests.rs")
    }

    /// `src/a/b.rs` is `[a, b]`; `src/a/mod.rs` is `[a]`; `src/main.rs` and `src/lib.rs` are `[]`.
    pub(crate) fn module(&self) -> Vec<String> {
        let inner = self.name.trim_start_matches("src/").trim_end_matches(".rs");
        let mut parts: Vec<String> = inner.split('/').map(str::to_owned).collect();
        if parts.last().is_some_and(|last| matches!(last.as_str(), "mod" | "main" | "lib")) {
            parts.pop();
        }
        parts
    }

    /// The room a file belongs to, if it is in one.
    pub(crate) fn room(&self) -> Option<String> {
        self.module().into_iter().next()
    }

    /// Paths within the crate that the code names, from its root, each with its line.
    pub(crate) fn paths(&self) -> Vec<(usize, Vec<String>)> {
        let mut found = Vec::new();
        for (at, _) in self.code.match_indices("crate::").chain(self.code.match_indices("quoll::")) {
            if !begins_word(&self.code, at) {
                continue;
            }
            expand(&self.code[at + 7..], &[], &mut |path| found.push((line(&self.code, at), path)));
        }
        for (at, _) in self.code.match_indices("super::") {
            if !begins_word(&self.code, at) || self.code[..at].ends_with("super::") {
                continue;
            }
            let mut base = self.module();
            let mut rest = &self.code[at..];
            while let Some(after) = rest.strip_prefix("super::") {
                base.pop();
                rest = after;
            }
            expand(rest, &base, &mut |path| found.push((line(&self.code, at), path)));
        }
        found.sort();
        found
    }
}

fn begins_word(code: &str, at: usize) -> bool {
    !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
}

/// The number of the line that `at` is on.
pub(crate) fn line(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// Walks `a::b::{c, d::e}` behind a root, calling `found` with every path to its end.
fn expand(rest: &str, base: &[String], found: &mut dyn FnMut(Vec<String>)) -> usize {
    let mut path = base.to_vec();
    let mut at = 0;
    loop {
        at += rest[at..].len() - rest[at..].trim_start().len();
        let word = rest[at..].find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len() - at);
        if word > 0 {
            path.push(rest[at..at + word].to_owned());
            at += word;
            match rest[at..].strip_prefix("::") {
                Some(_) => at += 2,
                None => break,
            }
        } else if rest[at..].starts_with('{') {
            at += 1;
            loop {
                at += expand(&rest[at..], &path, found);
                at += rest[at..].find([',', '}']).unwrap_or(rest.len() - at - 1);
                let closes = rest[at..].starts_with('}');
                at += 1;
                if closes || at >= rest.len() {
                    return at;
                }
            }
        } else {
            break;
        }
    }
    found(path);
    at
}

/// Blanks comments and the insides of literals.
fn bare(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let end = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |n| n + 2)
        } else if let Some(length) = raw_string(text, at) {
            length
        } else if rest.starts_with('"') {
            quoted(rest)
        } else if rest.starts_with('\'') {
            character(rest).unwrap_or(0)
        } else {
            0
        };
        if end == 0 {
            let c = rest.chars().next().unwrap();
            out.push(c);
            at += c.len_utf8();
        } else {
            out.extend(rest[..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            at += end;
        }
    }
    out
}

fn raw_string(text: &str, at: usize) -> Option<usize> {
    let rest = text[at..].strip_prefix('r')?;
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    if !rest[hashes..].starts_with('"')
        || (at > 0
            && text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
            && !text[..at].ends_with('b'))
    {
        return None;
    }
    let close = format!("\"{}", "#".repeat(hashes));
    let body = hashes + 1;
    rest[body..].find(&close).map(|n| 1 + body + n + close.len())
}

fn quoted(rest: &str) -> usize {
    let mut escaped = false;
    for (i, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return i + 1,
            _ => {}
        }
    }
    rest.len()
}

/// A character literal, as opposed to a lifetime.
fn character(rest: &str) -> Option<usize> {
    let mut chars = rest.char_indices().skip(1);
    match chars.next()?.1 {
        '\\' => rest[3..].find('\'').map(|n| n + 4),
        _ => chars.next().filter(|(_, c)| *c == '\'').map(|(i, _)| i + 1),
    }
}

/// Blanks items under `#[cfg(test)]`, up to their closing brace or semicolon.
fn without_tests(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        out.push_str(&rest[..at]);
        let item = &rest[at..];
        let (mut depth, mut end) = (0usize, item.len());
        for (i, c) in item.char_indices().skip("#[cfg(test)]".len()) {
            match c {
                '{' => depth += 1,
                '}' if depth == 1 => {
                    end = i + 1;
                    break;
                }
                '}' => depth = depth.saturating_sub(1),
                ';' if depth == 0 => {
                    end = i + 1;
                    break;
                }
                _ => {}
            }
        }
        out.extend(item[..end].chars().filter(|c| *c == '\n'));
        rest = &item[end..];
    }
    out + rest
}
