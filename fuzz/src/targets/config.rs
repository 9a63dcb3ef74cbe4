//! Texts of operators. They are trusted, but a server that dies of a slip of the pen tells nothing about it.

use quoll::config::ensemble::{Member, Membership};
use quoll::config::{Settings, Source, SystemProperties, World, keys, load, report};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

/// A world in which only the configuration itself exists.
struct Bare<'a>(&'a [u8]);

impl World for Bare<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match path.to_str() {
            Some("/quoll.toml") => Ok(self.0.to_vec()),
            Some(name) if name.ends_with("/myid") => Ok(b"1\n".to_vec()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn resolve(&self, host: &str) -> Option<IpAddr> {
        host.parse().ok().or(Some(IpAddr::V4(Ipv4Addr::LOCALHOST)))
    }
}

fn loaded(source: &Source, world: &Bare<'_>) {
    match load(source, SystemProperties::default(), world) {
        Ok(settings) => shown(&settings),
        Err(error) => {
            let line = error.to_string();
            assert!(!line.is_empty());
            assert!(!line.contains('\n'), "one fault, one line: {line:?}");
        }
    }
}

/// Whatever was accepted can be reported, and secrets are not in the report.
fn shown(settings: &Settings) {
    assert!(!report::text(settings).is_empty());
    assert!(!report::json(settings).is_empty());
    _ = settings.not_yet_warning();
}

pub(super) fn zoo_cfg(input: &[u8]) {
    loaded(&Source::Text("/zoo.cfg".to_owned(), input.to_vec()), &Bare(b""));
}

pub(super) fn toml(input: &[u8]) {
    loaded(&Source::File("/quoll.toml".into()), &Bare(input));
}

/// One line, then all of it as a dynamic configuration; what is understood is written and understood again.
pub(super) fn servers(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    _ = text.lines().next().map(keys::suggestion);
    for line in text.lines() {
        for multi_address in [false, true] {
            _ = Member::read(1, line, multi_address);
        }
        _ = keys::find(line);
    }
    for multi_address in [false, true] {
        let Ok(membership) = Membership::from_text(input, multi_address) else { continue };
        // A properties file is Latin-1, what is written is UTF-8; a negative version has no form that is read back; a
        // backslash that was kept is written bare, as the reference does, and escapes what follows when read again.
        if !input.is_ascii() || input.contains(&b'\\') || membership.version < 0 {
            continue;
        }
        // A blank at the front of a later address may be sorted to the front of the line, where reading trims it.
        if membership.members.values().any(|member| member.to_string().starts_with(|c| c <= ' ')) {
            continue;
        }
        let written = membership.text();
        let again = Membership::from_text(written.as_bytes(), multi_address)
            .unwrap_or_else(|e| panic!("{written:?} cannot be read back: {e}"));
        assert_eq!(again.text(), written);
        _ = membership.dynamic_file();
        _ = (membership.voters().count(), membership.observers().count());
    }
}
