//! The configuration room from outside: whole files, flags and arguments in, settings or one-line faults out.

use quoll::config::keys::{self, Class, Fallback};
use quoll::config::settings::{Compression, DigestAlgorithm};
use quoll::config::{ConfigError, Mode, Origin, Role, Settings, Source, SystemProperties, World, load};
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Files and names that exist only here.
#[derive(Default)]
struct Made {
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Made {
    fn with(mut self, path: &str, text: &str) -> Self {
        self.files.insert(PathBuf::from(path), text.as_bytes().to_vec());
        self
    }
}

impl World for Made {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.files.get(path).cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn resolve(&self, host: &str) -> Option<IpAddr> {
        match host {
            "localhost" => "127.0.0.1".parse().ok(),
            other => other.trim_matches(['[', ']']).parse().ok(),
        }
    }
}

fn flags(definitions: &[&str]) -> SystemProperties {
    let mut properties = SystemProperties::default();
    for definition in definitions {
        properties.define(definition);
    }
    properties
}

fn try_with(text: &str, definitions: &[&str], world: Made) -> Result<Settings, ConfigError> {
    let world = world.with("zoo.cfg", text);
    load(&Source::File(PathBuf::from("zoo.cfg")), flags(definitions), &world)
}

const BASE: &str = "dataDir=/data\nclientPort=2181\n";

#[track_caller]
fn ok(more: &str) -> Settings {
    ok_with(more, &[])
}

#[track_caller]
fn ok_with(more: &str, definitions: &[&str]) -> Settings {
    try_with(&format!("{BASE}{more}"), definitions, Made::default()).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn refused(more: &str) -> ConfigError {
    match try_with(&format!("{BASE}{more}"), &[], Made::default()) {
        Ok(_) => panic!("{more:?} was accepted"),
        Err(error) => error,
    }
}

fn warned(settings: &Settings) -> Vec<&str> {
    settings
        .warnings()
        .iter()
        .map(|warning| warning.text.as_str())
        .filter(|text| !text.starts_with("zoo.cfg is"))
        .collect()
}

#[test]
fn defaults_are_the_reference_s() {
    let settings = ok("");
    assert_eq!(settings.mode, Mode::Standalone);
    assert_eq!(settings.paths.data_log_dir, Path::new("/data"));
    assert_eq!(settings.sessions.tick_time_ms, 3000);
    assert_eq!((settings.sessions.min_timeout_ms, settings.sessions.max_timeout_ms), (6000, 60_000));
    assert_eq!(settings.limits.connections_per_address, Some(60));
    assert_eq!(settings.limits.connections, None);
    assert_eq!((settings.limits.max_buffer, settings.limits.max_buffer_extra), (1_048_575, 1_048_575));
    assert_eq!(settings.client.backlog(), 50);
    assert_eq!(
        settings.client.plain.as_ref().map(ToString::to_string).as_deref(),
        Some("0.0.0.0/0.0.0.0:2181")
    );
    assert_eq!(settings.storage.prealloc_kib, 65_536);
    assert!(settings.storage.force_sync && settings.storage.digest && settings.auth.digest);
    assert!(!settings.auth.skip_acl && settings.auth.enforced_schemes.is_none());
    assert_eq!(settings.auth.digest_algorithm, DigestAlgorithm::Sha1);
    assert_eq!((settings.snapshots.every_txns, settings.snapshots.every_kib), (100_000, Some(4_194_304)));
    assert_eq!((settings.purge.keep_snapshots, settings.purge.every_hours), (3, None));
    assert!(settings.four_letter_words.allows("srvr") && !settings.four_letter_words.allows("ruok"));
    assert!(settings.unknown().is_empty() && settings.not_yet_warning().is_none());
    assert!(warned(&settings).is_empty(), "{:?}", settings.warnings());
}

#[test]
fn every_row_is_in_force_once() {
    let settings = ok("");
    for key in keys::all().filter(|key| key.family().is_none()) {
        let found: Vec<_> = settings.effective().iter().filter(|value| value.name == key.name).collect();
        assert_eq!(found.len(), 1, "{}", key.name);
        let expected = match key.fallback {
            _ if ["dataDir", "clientPort"].contains(&key.name) => continue,
            Fallback::Derived(_) | Fallback::Unset => continue,
            Fallback::Text(text) => text.to_owned(),
            other => other.to_string(),
        };
        assert_eq!(found[0].value.as_deref(), Some(expected.as_str()), "{}", key.name);
        assert_eq!(found[0].origin, Origin::Default, "{}", key.name);
    }
}

#[test]
fn unknown_role() {
    assert_eq!(ok("").quorum.role, Role::Participant);
    assert_eq!(ok("snapshot.compression.method=GZ\n").snapshots.compression, Compression::Gzip);
    assert_eq!(keys::find("foo").map(|key| key.class), None::<Class>);
    assert_eq!(refused("clientPort=\n").exit_code(), 2);
}
