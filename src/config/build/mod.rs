//! From sources to settings: collects what file, flags and environment say, then checks group by group.
//!
//! The order of checks is the reference's, so that the first fault reported is the same. Typed reading is in
//! `reader`, the groups in `server`, `security` and `members`.
//!
//! Invariant: a value in the file replaces a system property of the same name, as the reference's parser does.

mod members;
mod reader;
mod security;
mod server;

use super::error::ConfigError;
use super::keys::{self, Class};
use super::origin::{Origin, Sourced, SystemProperties};
use super::parse::{self, Entry};
use super::settings::{Settings, Unknown};
use super::world::World;
use reader::Reader;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a configuration comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file: `quoll.toml` by its extension `.toml`, else a `zoo.cfg`.
    File(PathBuf),
    /// The text of a `zoo.cfg` under a name.
    Text(String, Vec<u8>),
    /// Positional arguments: `port dataDir [tickTime] [maxClientCnxns]`.
    Arguments(Vec<String>),
    /// Nothing at all: port 2181 and `./data`.
    Embedded,
}

/// Builds the settings of a server.
///
/// # Errors
/// The first fault, in the order in which the reference checks.
pub fn load(
    source: &Source,
    properties: SystemProperties,
    world: &dyn World,
) -> Result<Settings, ConfigError> {
    match source {
        Source::File(path) => {
            let name = path.display().to_string();
            let text = world.read(path).map_err(|error| unreadable(&name, &error))?;
            from_text(&name, path, text, properties, world)
        }
        Source::Text(name, text) => from_text(name, Path::new(name), text.clone(), properties, world),
        Source::Arguments(arguments) => {
            let entries = positional(arguments)?;
            let mut reader = collect(entries, properties, Origin::Argument);
            // What the file parser would derive from entries is the same; only one default differs.
            if arguments.len() < 4 {
                let unlimited = Sourced { value: "0".to_owned(), origin: Origin::Default };
                reader.file.insert("maxClientCnxns".to_owned(), unlimited);
            }
            finish("arguments".to_owned(), Vec::new(), Vec::new(), reader, world)
        }
        Source::Embedded => {
            let default =
                |key: &str, value: &str| Entry { key: key.to_owned(), value: value.to_owned(), line: 0 };
            let entries = vec![default("clientPort", "2181"), default("dataDir", "./data")];
            let reader = collect(entries, properties, |_| Origin::Default);
            finish("built-in defaults".to_owned(), Vec::new(), Vec::new(), reader, world)
        }
    }
}

fn from_text(
    name: &str,
    path: &Path,
    text: Vec<u8>,
    properties: SystemProperties,
    world: &dyn World,
) -> Result<Settings, ConfigError> {
    let file: Arc<str> = Arc::from(name);
    let at = |line: usize| Origin::File { file: Arc::clone(&file), line };
    let malformed =
        |error: parse::ParseError| ConfigError::new(error.to_string()).at(name, Some(error.line()));
    let entries = if super::toml::is_named(path) {
        super::toml::entries(&text).map_err(|error| {
            let line = error.line;
            error.at(name, line)
        })?
    } else {
        super::toml::Entries { zoo: parse::last_wins(&text).map_err(malformed)?, bare: Vec::new() }
    };
    let mut properties = properties;
    for entry in &entries.bare {
        properties.set(&entry.key, &entry.value, at(entry.line));
    }
    let zoo = entries.zoo.clone();
    let mut reader = collect(entries.zoo, properties, at);
    reader.source = Some(name.to_owned());
    if let Some(warning) = relative(name) {
        reader.warnings.push(super::settings::Warning { text: warning, origin: Origin::Default });
    }
    finish(name.to_owned(), text, zoo, reader, world)
}

fn unreadable(name: &str, error: &std::io::Error) -> ConfigError {
    match error.kind() {
        std::io::ErrorKind::NotFound => ConfigError::new(format!("{name} file is missing")).remedy(
            "give the path of a zoo.cfg or quoll.toml, or start without one for port 2181 and ./data",
        ),
        _ => ConfigError::new(format!("cannot be read: {error}")).at(name, None),
    }
}

/// The warning about a path that is neither absolute nor starts with `./`.
fn relative(path: &str) -> Option<String> {
    let odd = !Path::new(path).is_absolute() && !path.starts_with("./");
    odd.then(|| format!("{path} is relative. Prepend ./ to indicate that you're sure!"))
}

/// Puts file keys on one side and everything else among the system properties.
fn collect(entries: Vec<Entry>, mut properties: SystemProperties, at: impl Fn(usize) -> Origin) -> Reader {
    let mut file = BTreeMap::new();
    for entry in entries {
        let sourced = Sourced { value: entry.value, origin: at(entry.line) };
        let of_file = keys::find(&entry.key).is_some_and(|key| key.class == Class::File);
        let member = super::ensemble::is_membership_key(&entry.key);
        // The reference leaves members among its properties too.
        if !of_file || member {
            properties.set(&format!("zookeeper.{}", entry.key), &sourced.value, sourced.origin.clone());
        }
        if of_file || member {
            file.insert(entry.key, sourced);
        }
    }
    Reader { source: None, file, properties, effective: Vec::new(), warnings: Vec::new() }
}

/// `port dataDir [tickTime] [maxClientCnxns]` as entries whose line is the position of the argument.
fn positional(arguments: &[String]) -> Result<Vec<Entry>, ConfigError> {
    const NAMES: [&str; 4] = ["clientPort", "dataDir", "tickTime", "maxClientCnxns"];
    if !(2..=NAMES.len()).contains(&arguments.len()) {
        return Err(ConfigError::new(format!("Invalid number of arguments:[{}]", arguments.join(", ")))
            .expected("port dataDir [tickTime] [maxClientCnxns]"));
    }
    let entry = |(at, (key, value)): (usize, (&&str, &String))| Entry {
        key: (*key).to_owned(),
        value: value.clone(),
        line: at + 1,
    };
    Ok(NAMES.iter().zip(arguments).enumerate().map(entry).collect())
}

fn finish(
    source: String,
    text: Vec<u8>,
    zoo: Vec<Entry>,
    mut reader: Reader,
    world: &dyn World,
) -> Result<Settings, ConfigError> {
    let given = members::check_given(&mut reader)?;
    let purge = server::purge(&mut reader)?;
    let paths = server::paths(&mut reader)?;
    let (plain, secure) = server::listeners(&mut reader, world)?;
    security::check_certificate_scheme(&mut reader, secure.is_some())?;
    let sessions = server::sessions(&mut reader)?;
    let metrics = server::metrics(&mut reader)?;
    let (mut quorum, mode) = members::quorum(&mut reader, &given, &zoo, &paths, &sessions, world)?;
    let plain = members::client_address(&mut reader, &mut quorum, plain, world)?;
    members::check_ensemble(&reader, &quorum, mode)?;
    let secure_port = secure.is_some();
    let client = server::client(&mut reader, plain, secure)?;
    let limits = server::limits(&mut reader)?;
    let throttle = server::throttle(&mut reader)?;
    let storage = server::storage(&mut reader)?;
    let snapshots = server::snapshots(&mut reader)?;
    let nodes = server::nodes(&mut reader)?;
    let auth = security::auth(&mut reader, secure_port)?;
    let four_letter_words = server::whitelist(&mut reader);
    let admin = server::admin(&mut reader)?;
    let audit = server::audit(&mut reader)?;
    let log = server::log(&mut reader)?;
    server::tuning(&mut reader)?;
    reader.rest()?;

    let order: BTreeMap<&str, usize> = keys::all().enumerate().map(|(at, key)| (key.name, at)).collect();
    reader.effective.sort_by_key(|value| order.get(value.key.name).copied());
    let unknown = unknown(&reader, &zoo);
    Ok(Settings {
        paths,
        client,
        sessions,
        limits,
        throttle,
        storage,
        snapshots,
        purge,
        nodes,
        auth,
        four_letter_words,
        admin,
        metrics,
        audit,
        log,
        quorum,
        mode,
        source,
        text,
        properties: reader.properties,
        effective: reader.effective,
        warnings: reader.warnings,
        unknown,
    })
}

/// Keys of the file, and properties under `zookeeper.` from elsewhere, that no row covers or that have no
/// effect where they stand.
fn unknown(reader: &Reader, zoo: &[Entry]) -> Vec<Unknown> {
    let mut out = Vec::new();
    for entry in zoo {
        let full = format!("zookeeper.{}", entry.key);
        let Some(sourced) = reader.properties.get(&full) else { continue };
        let hint = match keys::find(&entry.key) {
            Some(key) if key.class == Class::Bare => {
                Some(format!("works only as system property: -D{}={}", key.name, entry.value))
            }
            Some(_) => continue,
            None => {
                let bare = entry.key.strip_prefix("zookeeper.").filter(|name| keys::find(name).is_some());
                // A bare property may itself carry the prefix; then the file sets the very name that is read.
                if keys::all().any(|key| key.class == Class::Bare && key.name == full) {
                    continue;
                }
                match bare {
                    Some(name) => Some(format!("in the file the key is {name}, without zookeeper.")),
                    None => keys::suggestion(&entry.key).map(|name| format!("did you mean {name}?")),
                }
            }
        };
        out.push(Unknown {
            key: entry.key.clone(),
            value: entry.value.clone(),
            origin: sourced.origin.clone(),
            hint,
        });
    }
    for (name, sourced) in reader.properties.iter().filter(|(_, sourced)| sourced.origin.place().is_none()) {
        // Properties of other programs are nobody's business; ours are recognised by their prefix.
        let Some(bare) = name.strip_prefix("zookeeper.") else { continue };
        let hint = match keys::find(bare) {
            _ if keys::find(name).is_some() => continue,
            Some(key) if matches!(key.class, Class::System | Class::Both) => continue,
            // Read straight from the properties when server lines are parsed.
            Some(key) if key.name == "multiAddress.enabled" => continue,
            Some(key) if key.class == Class::Bare => {
                Some(format!("the property is {}, without zookeeper.", key.name))
            }
            Some(key) => Some(format!("works only in the configuration file, as {}", key.name)),
            None => keys::suggestion(bare).map(|name| format!("did you mean zookeeper.{name}?")),
        };
        out.push(Unknown {
            key: name.to_owned(),
            value: sourced.value.clone(),
            origin: sourced.origin.clone(),
            hint,
        });
    }
    out
}
