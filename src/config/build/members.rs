//! Members, mode and the settings of quorums; the client address that a server line may bring.
//!
//! Line grammar and membership rules are in `ensemble`; here they meet files, ids and other settings.
//!
//! Invariant: in ensemble mode the own id is a member and both limits are set.

use super::reader::{self, Reader, place};
use crate::config::ensemble::{self, Membership, Mode, Role};
use crate::config::error::{ConfigError, EXIT_UNEXPECTED};
use crate::config::parse::{self, Entry};
use crate::config::settings::{Listen, Paths, Quorum, Sessions};
use crate::config::toml;
use crate::config::world::World;
use std::path::{Path, PathBuf};

/// What the reference parses and combines before it looks at anything else.
pub(super) struct Given {
    peer_type: Role,
    sasl: bool,
    sasl_learner: bool,
    sasl_server: bool,
}

pub(super) fn check_given(reader: &mut Reader) -> Result<Given, ConfigError> {
    let word = reader.text("peerType").unwrap_or_default();
    let peer_type = Role::read(&word).map_err(|error| {
        let fault = reader.fault("peerType", error.message.as_str());
        fault.expected("participant or observer")
    })?;
    if reader.int("electionAlg")? != 3 {
        return Err(reader.fault("electionAlg", "Invalid electionAlg value. Only 3 is supported."));
    }
    let [enable, learner, server] =
        ["quorum.auth.enableSasl", "quorum.auth.learnerRequireSasl", "quorum.auth.serverRequireSasl"];
    let given = Given {
        peer_type,
        sasl: reader.switch(enable)?,
        sasl_learner: reader.switch(learner)?,
        sasl_server: reader.switch(server)?,
    };
    let pairs = [
        (given.sasl, enable, given.sasl_server, server),
        (given.sasl, enable, given.sasl_learner, learner),
        (given.sasl_learner, learner, given.sasl_server, server),
    ];
    for (base, base_name, wish, wish_name) in pairs {
        if wish && !base {
            return Err(reader
                .fault(wish_name, format!("{base_name} is disabled, so cannot enable {wish_name}"))
                .remedy(format!("add {base_name}=true")));
        }
    }
    Ok(given)
}

pub(super) fn quorum(
    reader: &mut Reader,
    given: &Given,
    zoo: &[Entry],
    paths: &Paths,
    sessions: &Sessions,
    world: &dyn World,
) -> Result<(Quorum, Mode), ConfigError> {
    // The key in the file does not enable the feature, the property alone does.
    let several = reader.properties.get("zookeeper.multiAddress.enabled");
    let several = several.is_some_and(|sourced| sourced.value.eq_ignore_ascii_case("true"));
    let dynamic_file = reader.text("dynamicConfigFile");
    let membership = match &dynamic_file {
        Some(name) => from_dynamic_file(reader, name, zoo, several, world)?,
        None => from_main_file(reader, zoo, several)?,
    };
    // A quoll.toml is never rewritten to name a file of members; what was proposed or agreed lies beside it all the same.
    let changes = dynamic_file.is_some()
        || reader.source.as_deref().is_some_and(|name| toml::is_named(Path::new(name)));
    let proposed = changes.then(|| from_next_file(reader, several, world)).flatten();
    let proposed = proposed.filter(|proposed| proposed.version > membership.version);
    for name in ["server.*", "group*", "weight*"] {
        reader.family(name);
    }
    let standalone_enabled = reader.switch("standaloneEnabled")?;
    let (mode, notes) = ensemble::decide(&membership, standalone_enabled)
        .map_err(|error| reader.fault_of_file(error, None))?;
    for note in notes {
        reader.warn("server.*", note);
    }
    let my_id = my_id(paths, world)?;
    let mut role = Role::Participant;
    if mode == Mode::Ensemble {
        role = given.peer_type;
        if let Some(id) = my_id.filter(|id| membership.members.contains_key(id)) {
            let (own, warning) = ensemble::own_role(&membership, id, given.peer_type)?;
            role = own;
            if let Some(warning) = warning {
                reader.warn("peerType", warning);
            }
        }
    }
    let init_limit = reader.maybe_int("initLimit")?.unwrap_or(0);
    let sync_limit = reader.maybe_int("syncLimit")?.unwrap_or(0);
    let default_read_timeout = sync_limit.wrapping_mul(sessions.tick_time_ms);
    let read_timeout = reader.int("quorumCnxnTimeoutMs")?;
    let retries = reader.int("electionPortBindRetry")?;
    let factor = reader.real("snapshotSizeFactor")?;
    // Not above 1, and not "not a number" either.
    let log_sync_factor = if factor <= 1.0 { factor } else { reader::fallback_real("snapshotSizeFactor") };
    reader.reset("snapshotSizeFactor", log_sync_factor);
    let writes_disk = reader.switch("syncEnabled")?;
    let quorum = Quorum {
        membership,
        proposed,
        my_id,
        role,
        init_limit,
        sync_limit,
        connect_limit: reader.int("connectToLearnerMasterLimit")?,
        standalone_enabled,
        reconfig_enabled: reader.switch("reconfigEnabled")?,
        dynamic_file: dynamic_file.map(PathBuf::from),
        oracle_path: reader.text("oraclePath").map(PathBuf::from),
        leader_serves: reader.switch("leaderServes")?,
        listen_on_all_addresses: reader.switch("quorumListenOnAllIPs")?,
        tcp_keep_alive: reader.switch("tcpKeepAlive")?,
        connect_timeout_ms: connect_timeout(reader, mode)?,
        election_read_timeout_ms: if read_timeout > 0 { read_timeout } else { default_read_timeout },
        election_bind_retries: match retries {
            0 => None,
            negative if negative < 0 => Some(reader::fallback_int("electionPortBindRetry").unsigned_abs()),
            count => Some(count.unsigned_abs()),
        },
        election_min_interval_ms: reader.int("fastleader.minNotificationInterval")?,
        election_max_interval_ms: reader.int("fastleader.maxNotificationInterval")?,
        epoch_wait_ms: reader.int("leader.maxTimeToWaitForEpoch")?,
        concurrent_snap_syncs: reader.int("leader.maxConcurrentSnapSyncs")?,
        concurrent_diff_syncs: reader.int("leader.maxConcurrentDiffSyncs")?,
        ack_logging_frequency: reader.int("leader.ackLoggingFrequency")?,
        connect_retry_ms: reader.int("leaderConnectDelayDuringRetryMs")?,
        follower_nodelay: reader.switch("follower.nodelay")?,
        leader_nodelay: reader.switch("leader.nodelay")?,
        multi_address: reader.switch("multiAddress.enabled")? || several,
        multi_address_check: reader.switch("multiAddress.reachabilityCheckEnabled")?,
        multi_address_check_ms: reader.int("multiAddress.reachabilityCheckTimeoutMs")?,
        log_sync_factor,
        force_snapshot_sync: reader.switch("forceSnapshotSync")?,
        read_only_mode: reader.switch("readonlymode.enabled")?,
        observer_master_port: observer_port(reader, mode)?,
        observer_master_buffer: reader.int("observerMaster.sizeLimit")?,
        observer_reconnect_ms: reader.long("observer.reconnectDelayMs")?,
        observer_election_ms: reader.long("observer.election.DelayMs")?,
        observer_writes_disk: reader.switch_or("observer.syncEnabled", writes_disk)?,
        tls: reader.switch("sslQuorum")?,
        port_unification: reader.switch("portUnification")?,
        sasl: given.sasl,
        sasl_learner_require: given.sasl_learner,
        sasl_server_require: given.sasl_server,
    };
    Ok((quorum, mode))
}

fn connect_timeout(reader: &mut Reader, mode: Mode) -> Result<i32, ConfigError> {
    const KEY: &str = "cnxTimeout";
    let value = reader.raw(reader::row(KEY)).map(|raw| raw.value);
    let read = reader.int(KEY)?;
    match value.filter(|value| mode == Mode::Ensemble && crate::config::number::strict_int(value).is_none()) {
        Some(value) => Err(reader
            .fault(KEY, format!("For input string: \"{value}\""))
            .value(value)
            .expected("an integer")
            .code(EXIT_UNEXPECTED)),
        None => Ok(read),
    }
}

fn observer_port(reader: &mut Reader, mode: Mode) -> Result<Option<u16>, ConfigError> {
    const KEY: &str = "observerMasterPort";
    match reader.maybe_int(KEY)?.filter(|port| *port > 0) {
        None => Ok(None),
        Some(_) if mode == Mode::Standalone => Ok(None),
        Some(number) => u16::try_from(number).map(Some).map_err(|_| {
            reader.fault(KEY, format!("port out of range:{number}")).expected("an integer from 0 to 65535")
        }),
    }
}

fn from_main_file(reader: &Reader, zoo: &[Entry], several: bool) -> Result<Membership, ConfigError> {
    Membership::read(zoo, false, several).map_err(|error| {
        let line = error.line;
        reader.fault_of_file(error, line)
    })
}

fn from_dynamic_file(
    reader: &Reader,
    name: &str,
    zoo: &[Entry],
    several: bool,
    world: &dyn World,
) -> Result<Membership, ConfigError> {
    if let Some(entry) = zoo.iter().find(|entry| ensemble::is_membership_key(&entry.key)) {
        let error =
            ConfigError::new(format!("parameter: {} must be in a separate dynamic config file", entry.key))
                .key(&entry.key)
                .value(&entry.value)
                .remedy(format!("move it to {name}"));
        return Err(reader.fault_of_file(error, Some(entry.line)));
    }
    let text = world.read(Path::new(name)).map_err(|error| {
        let message = match error.kind() {
            std::io::ErrorKind::NotFound => format!("{name} (No such file or directory)"),
            _ => format!("cannot be read: {error}"),
        };
        reader.fault("dynamicConfigFile", message)
    })?;
    let entries = parse::last_wins(&text)
        .map_err(|error| ConfigError::new(error.to_string()).at(name, Some(error.line())))?;
    if let Some(entry) = entries.iter().find(|entry| entry.key == "version") {
        return Err(ConfigError::new("dynamic file shouldn't have version inside")
            .at(name, Some(entry.line))
            .key("version")
            .value(&entry.value)
            .remedy("the version is the suffix of the file name"));
    }
    let mut membership = Membership::read(&entries, true, several).map_err(|error| {
        let line = error.line;
        error.at(name, line)
    })?;
    membership.version = ensemble::version_in_name(name);
    Ok(membership)
}

/// The membership that was proposed last. One that cannot be read is as good as none: whoever leads tells it again.
fn from_next_file(reader: &mut Reader, several: bool, world: &dyn World) -> Option<Membership> {
    let name = format!("{}.dynamic.next", reader.source.as_deref()?);
    let text = world.read(Path::new(&name)).ok()?;
    match Membership::from_text(&text, several) {
        Ok(membership) => Some(membership),
        Err(error) => {
            reader.warn("dynamicConfigFile", format!("{name} is not used: {error}"));
            None
        }
    }
}

fn my_id(paths: &Paths, world: &dyn World) -> Result<Option<i64>, ConfigError> {
    let path = paths.data_dir.join("myid");
    match world.read(&path) {
        Ok(contents) => ensemble::read_my_id(&contents)
            .map(Some)
            .map_err(|error| error.at(path.display().to_string(), Some(1))),
        // Not there, or no file: both mean that nobody gave an id.
        Err(_) => Ok(None),
    }
}

/// The client address of the own server line: it must agree with a static one, and wins where there is none.
pub(super) fn client_address(
    reader: &mut Reader,
    quorum: &mut Quorum,
    plain: Option<Listen>,
    world: &dyn World,
) -> Result<Option<Listen>, ConfigError> {
    let Some(id) = quorum.my_id else { return Ok(plain) };
    let Some(line) = quorum.membership.members.get(&id).and_then(|member| member.client.clone()) else {
        return Ok(plain);
    };
    let name = format!("server.{id}");
    let ip = world.resolve(&line.host).ok_or_else(|| {
        let fault = reader.fault(&name, format!("{}: Name or service not known", line.host));
        fault.code(EXIT_UNEXPECTED)
    })?;
    let found = Listen { host: Some(line.host.clone()), ip, port: line.port };
    if let Some(fixed) = &plain {
        let agrees = fixed.port == found.port && (fixed.is_wildcard() || fixed.ip == found.ip);
        if !agrees {
            return Err(reader.fault(
                "clientPort",
                format!(
                    "client address for this server (id = {id}) in static config file is {fixed} is different from \
                     client address found in dynamic file: {found}"
                ),
            ));
        }
    }
    let origin = reader.effective.iter().find(|value| value.name == name).map(|value| value.origin.clone());
    if plain.is_none() {
        for key in ["clientPort", "clientPortAddress"] {
            if let (Some(value), Some(origin)) =
                (reader.effective.iter_mut().find(|value| value.name == key), origin.clone())
            {
                value.origin = origin;
            }
        }
    }
    reader.reset("clientPort", line.port);
    reader.reset("clientPortAddress", line.host);
    Ok(Some(found))
}

/// What between servers would be without the protection, or the vote, that the operator asked for: refused, because
/// going on without it is worse than not starting.
fn refuse_unserved(reader: &Reader, quorum: &Quorum) -> Result<(), ConfigError> {
    let asked = [
        ("sslQuorum", quorum.tls, "TLS between servers"),
        ("portUnification", quorum.port_unification, "TLS between servers"),
        ("quorum.auth.enableSasl", quorum.sasl, "SASL between servers"),
        ("oraclePath", quorum.oracle_path.is_some(), "the oracle of two voters"),
    ];
    match asked.iter().find(|(_, is_asked, _)| *is_asked) {
        None => Ok(()),
        Some((key, _, what)) => Err(reader
            .fault(key, format!("Quoll does not have {what} yet"))
            .remedy(format!("remove {key} to run without it"))),
    }
}

pub(super) fn check_ensemble(reader: &Reader, quorum: &Quorum, mode: Mode) -> Result<(), ConfigError> {
    if mode == Mode::Standalone {
        return Ok(());
    }
    refuse_unserved(reader, quorum)?;
    let missing = |name: &str, value: i32| match value {
        0 => {
            Err(reader.fault(name, format!("{name} is not set")).expected("a number of ticks in an ensemble"))
        }
        _ => Ok(()),
    };
    missing("initLimit", quorum.init_limit)?;
    missing("syncLimit", quorum.sync_limit)?;
    let Some(id) = quorum.my_id else {
        let error = ConfigError::new("myid file is missing")
            .remedy("write the number of this server's server.N line into the file myid in dataDir");
        return Err(reader.fault_of_file(error, None));
    };
    ensemble::own_role(&quorum.membership, id, quorum.role).map(drop).map_err(|error| {
        let origin =
            reader.effective.iter().find(|value| value.name.starts_with("server.")).map(|v| v.origin.clone());
        match origin {
            Some(origin) => place(error, &origin),
            None => error,
        }
    })
}

#[cfg(test)]
mod tests {
    use crate::config::{RealWorld, Source, SystemProperties, load};

    /// CVE-2018-8012: who thinks that servers prove who they are must not run without it.
    #[test]
    fn protection_between_servers_that_is_not_there_is_refused() {
        let of = |more: &str| {
            let lines = "dataDir=/nowhere\ninitLimit=5\nsyncLimit=2\nserver.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\n";
            let source = Source::Text("./zoo.cfg".to_owned(), format!("{lines}{more}\n").into_bytes());
            let error = load(&source, SystemProperties::default(), &RealWorld).unwrap_err();
            (error.exit_code(), error.to_string())
        };
        let asked =
            ["quorum.auth.enableSasl=true", "sslQuorum=true", "portUnification=true", "oraclePath=/nowhere"];
        for line in asked {
            let (code, text) = of(line);
            let key = line.split('=').next().unwrap();
            assert!(
                code == 2 && text.contains("Quoll does not have") && text.contains(key),
                "{code}: {text}"
            );
        }
        let (_, text) = of("");
        assert!(text.contains("myid file is missing"), "without them it gets further: {text}");
    }
}
