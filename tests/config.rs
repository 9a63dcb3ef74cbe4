//! The configuration room from outside: whole files, flags and arguments in, settings or one-line faults out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use quoll::config::keys::{self, Fallback};
use quoll::config::settings::{Compression, DigestAlgorithm, LogFormat, MetricsProvider};
use quoll::config::{
    ConfigError, Mode, Origin, Role, Settings, Source, SystemProperties, World, load, report,
};
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
            "" | "localhost" => "127.0.0.1".parse().ok(),
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
    let world = world.with("./zoo.cfg", text);
    load(&Source::File(PathBuf::from("./zoo.cfg")), flags(definitions), &world)
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

fn warnings(settings: &Settings) -> Vec<&str> {
    settings.warnings().iter().map(|warning| warning.text.as_str()).collect()
}

#[test]
fn defaults_are_those_of_the_reference() {
    let settings = ok("");
    assert_eq!(settings.mode, Mode::Standalone);
    assert_eq!(settings.quorum.role, Role::Participant);
    assert_eq!(settings.paths.data_log_dir, Path::new("/data"));
    assert_eq!(settings.sessions.tick_time_ms, 3000);
    assert_eq!((settings.sessions.min_timeout_ms, settings.sessions.max_timeout_ms), (6000, 60_000));
    assert_eq!(settings.limits.connections_per_address, Some(60));
    assert_eq!(settings.limits.connections, None);
    assert_eq!((settings.limits.max_buffer, settings.limits.max_buffer_extra), (1_048_575, 1_048_575));
    assert_eq!((settings.limits.large_request, settings.limits.large_requests_total), (None, 104_857_600));
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
    assert_eq!(settings.metrics.provider, MetricsProvider::Default);
    assert_eq!((settings.log.level.as_str(), settings.log.format), ("info", LogFormat::Human));
    assert!(settings.unknown().is_empty() && settings.not_yet_warning().is_none());
    assert!(warnings(&settings).is_empty(), "{:?}", settings.warnings());
}

#[test]
fn every_row_is_in_force_once_with_its_default() {
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

/// What the reference answers to a bad file, and with which exit code. Text after `dataDir` and the line that is
/// named; 0 stands for the file as a whole.
#[test]
fn faults_have_the_words_and_codes_of_the_reference() {
    let table: &[(&str, usize, u8, &str)] = &[
        ("clientPort=99999", 2, 2, "port out of range:99999"),
        ("clientPort=-1", 2, 2, "port out of range:-1"),
        ("clientPort=", 2, 2, "For input string: \"\""),
        ("clientPort=0x10", 2, 2, "For input string: \"0x10\""),
        ("maxClientCnxns=60 # x", 2, 2, "For input string: \"60 # x\""),
        ("clientPortAddress=127.0.0.1", 2, 2, "clientPortAddress is set but clientPort is not set"),
        (
            "secureClientPortAddress=127.0.0.1",
            2,
            2,
            "secureClientPortAddress is set but secureClientPort is not set",
        ),
        ("clientPort=1\nclientPortAddress=no.such", 3, 2, "no.such: Name or service not known"),
        ("secureClientPort=2182", 2, 1, "SSL isn't supported in NIOServerCnxn"),
        (
            "ssl.authProvider=foo\nsecureClientPort=1",
            2,
            2,
            "No auth provider configured for the SSL authentication scheme 'foo'.",
        ),
        ("tickTime=0", 2, 2, "tickTime is not set"),
        ("tickTime=-5", 2, 2, "minSessionTimeout must not be larger than maxSessionTimeout"),
        ("tickTime=107374183", 2, 2, "minSessionTimeout must not be larger than maxSessionTimeout"),
        (
            "\n\nminSessionTimeout=5000\nmaxSessionTimeout=4000",
            4,
            2,
            "minSessionTimeout must not be larger than maxSessionTimeout",
        ),
        ("serverCnxnFactory=foo.Bar", 2, 1, "Couldn't instantiate foo.Bar"),
        ("nio.numSelectorThreads=0", 2, 1, "numSelectorThreads must be at least 1"),
        ("intBufferStartingSizeBytes=31", 2, 1, "too small"),
        ("watchManagerName=foo", 2, 1, "Couldn't instantiate foo"),
        ("commitProcessor.maxCommitBatchSize=0", 2, 1, "must be positive"),
        ("connection_throttle_drop_increase=x", 2, 1, "not a number"),
        (
            "localSessionsEnabled=yes",
            2,
            2,
            "Invalid option yes for localSessionsEnabled. Choose 'true' or 'false.'",
        ),
        (
            "standaloneEnabled=false",
            0,
            2,
            "standaloneEnabled = false then number of participants should be >0",
        ),
        ("electionAlg=2", 2, 2, "Invalid electionAlg value. Only 3 is supported."),
        ("peerType=foo", 2, 2, "Unrecognised peertype: foo"),
        (
            "quorum.auth.serverRequireSasl=true",
            2,
            2,
            "quorum.auth.enableSasl is disabled, so cannot enable quorum.auth.serverRequireSasl",
        ),
        (
            "quorum.auth.learnerRequireSasl=true",
            2,
            2,
            "quorum.auth.enableSasl is disabled, so cannot enable quorum.auth.learnerRequireSasl",
        ),
        (
            "quorum.auth.enableSasl=true\nquorum.auth.serverRequireSasl=true",
            3,
            2,
            "quorum.auth.learnerRequireSasl is disabled, so cannot enable quorum.auth.serverRequireSasl",
        ),
        ("groupFoo=1", 2, 2, "For input string: \"groupFoo\""),
        ("weight.1=x", 2, 2, "For input string: \"x\""),
        ("quoll.log.level=loud", 2, 2, "no such level"),
        ("quoll.log.format=xml", 2, 2, "no such format"),
        ("metricsProvider.className=foo", 2, 2, "metrics provider class was not found"),
        ("a=\\u12", 2, 2, "Malformed \\uxxxx encoding."),
        ("enforce.auth.enabled=true", 2, 2, "enforce.auth.schemes is not set"),
        (
            "enforce.auth.enabled=true\nenforce.auth.schemes=digest,sasl",
            3,
            2,
            "Authentication scheme sasl is not available.",
        ),
        ("sessionRequireClientSASLAuth=true", 2, 2, "Authentication scheme sasl is not available."),
        ("DigestAuthenticationProvider.digestAlg=nope", 2, 1, "no such digest algorithm"),
        ("dataLogDir=", 2, 1, "empty path"),
        ("dynamicConfigFile=nope", 2, 2, "nope (No such file or directory)"),
        ("server.a=h:1:2", 2, 2, "For input string: \"a\""),
        (
            "server.1=h:1",
            2,
            2,
            "h:1 does not have the form server_config or server_config;client_config where server_config is the pipe separated list of host:port:port or host:port:port:type and client_config is port or host:port",
        ),
        ("server.1=h:1:2:participant:x", 2, 2, "does not have the form"),
        ("server.1=h:1:2;2181;x", 2, 2, "does not have the form"),
        ("server.1=h:1:2:foo", 2, 2, "Unrecognised peertype: foo"),
        (
            "server.7=h:1:1",
            2,
            2,
            "Client and election port must be different! Please update the configuration file on server.7",
        ),
        (
            "server.1=h:1:2|k:3:4",
            2,
            2,
            "Multiple address feature is disabled, but multiple addresses were specified for sid 1",
        ),
        ("multiAddress.enabled=true\nserver.1=h:1:2|k:3:4", 3, 2, "Multiple address feature is disabled"),
        ("server.1=h:1:2;a", 2, 2, "Address unresolved: null:a"),
        ("server.1=h:x:2", 2, 2, "Address unresolved: h:x"),
        ("server.1=h:1:99999", 2, 2, "port out of range:99999"),
        ("server.1=[::1:1:2", 2, 2, "[::1:1:2 starts with '[' but has no matching ']:'"),
        ("server.1=[::1]:", 2, 2, "[::1]: doesn't have a port after colon"),
        ("server.1=h:1:2:observer", 0, 2, "Observers w/o participants is an invalid configuration"),
        ("server.1=h:1:2\nserver.2=h:1:2:observer", 0, 2, "Observers w/o quorum is an invalid configuration"),
    ];
    for (text, line, code, message) in table {
        let file = format!("dataDir=/data\n{text}\n");
        let error = match try_with(&file, &[], Made::default()) {
            Ok(_) => panic!("{text:?} was accepted"),
            Err(error) => error,
        };
        let shown = error.to_string();
        assert!(shown.contains(message), "{text:?} gave {shown}");
        assert_eq!(error.exit_code(), *code, "{shown}");
        let place = if *line == 0 { "./zoo.cfg: ".to_owned() } else { format!("./zoo.cfg:{line}: ") };
        assert!(shown.starts_with(&place), "{text:?} gave {shown}");
        assert!(!shown.contains('\n'), "{shown}");
    }
}

#[test]
fn a_fault_reads_as_one_sentence() {
    let error = try_with("dataDir=/d\nclientPort=99999\n", &[], Made::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "./zoo.cfg:2: clientPort=99999: port out of range:99999; expected an integer from 0 to 65535"
    );
    let error = load(&Source::File("nope.cfg".into()), flags(&[]), &Made::default()).unwrap_err();
    assert!(error.to_string().starts_with("nope.cfg file is missing"), "{error}");
    let error = try_with("clientPort=1\n", &[], Made::default()).unwrap_err();
    assert!(error.to_string().starts_with("./zoo.cfg: dataDir is not set"), "{error}");
}

#[test]
fn values_out_of_bounds_are_reset_with_a_warning() {
    let settings =
        ok("autopurge.snapRetainCount=1\nsnapCount=1\npreAllocSize=abc\nlargeRequestThreshold=0\n\
         largeRequestMaxBytes=0\ncommitLogCount=10\nmaxCnxns=-3\njute.maxbuffer.extrasize=5\n\
         connection_throttle_local_session_weight=5\nconnection_throttle_global_session_weight=-1\n");
    assert_eq!(settings.purge.keep_snapshots, 3);
    assert_eq!(settings.snapshots.every_txns, 2);
    assert_eq!(settings.storage.prealloc_kib, 65_536);
    assert_eq!((settings.limits.large_request, settings.limits.large_requests_total), (None, 104_857_600));
    assert_eq!((settings.storage.committed_log_count, settings.limits.connections), (500, None));
    assert_eq!(settings.limits.max_buffer_extra, 1024);
    let weights = settings.throttle.connections;
    assert_eq!((weights.local_weight, weights.global_weight, weights.renew_weight), (5, 5, 5));
    let texts = warnings(&settings);
    for expected in [
        "Invalid autopurge.snapRetainCount: 1. Defaulting to 3",
        "SnapCount should be 2 or more. Now, snapCount is reset to 2",
        "abc is not a valid value for preAllocSize",
    ] {
        assert!(texts.contains(&expected), "{expected} not in {texts:?}");
    }
    assert_eq!(texts.len(), 7, "{texts:?}");
    let shown =
        |key: &str| settings.effective().iter().find(|value| value.name == key).and_then(|v| v.value.clone());
    assert_eq!(shown("snapCount").as_deref(), Some("2"));
    assert_eq!(settings.origin("snapCount").and_then(Origin::place), Some(("./zoo.cfg", 4)));
}

#[test]
fn properties_are_decoded_and_bad_ones_ignored() {
    let settings = ok("snapCount=0x10\nmaxBatchSize=010\nflushDelay=#1e\nglobalOutstandingLimit=many\n");
    assert_eq!(settings.snapshots.every_txns, 16);
    assert_eq!(settings.storage.flush_max_writes, 8);
    assert_eq!((settings.storage.flush_delay_ms, settings.storage.flush_idle_ms), (30, 10));
    assert_eq!(settings.limits.outstanding_requests, 1000);
    assert_eq!(warnings(&settings).len(), 1);
}

#[test]
fn switches_follow_their_own_rules() {
    let read = |text: &str| {
        let settings = ok(text);
        (settings.storage.force_sync, settings.auth.skip_acl, settings.admin.enabled, settings.nodes.ttl)
    };
    assert_eq!(
        read("forceSync=no\nskipACL=yes\nadmin.enableServer=false\nextendedTypesEnabled=TRUE\n"),
        (false, true, false, true)
    );
    assert_eq!(
        read("forceSync=NO\nskipACL=true\nadmin.enableServer=FALSE\nextendedTypesEnabled=yes\n"),
        (true, false, true, false)
    );
    assert_eq!(warnings(&ok("forceSync=NO\n")), ["forceSync=NO is not yes or no; taken as true"]);
    assert!(!ok("digest.enabled=maybe\n").storage.digest);
    assert!(ok("localSessionsEnabled=True\n").sessions.local);
}

#[test]
fn the_file_wins_over_properties_and_bare_keys_do_not_come_from_it() {
    let settings = ok_with(
        "snapCount=7\njute.maxbuffer=5\n",
        &[
            "zookeeper.snapCount=9",
            "zookeeper.forceSync=no",
            "jute.maxbuffer=0x2000",
            "zookeeper.clientPort=1",
        ],
    );
    assert_eq!(settings.snapshots.every_txns, 7);
    assert!(!settings.storage.force_sync);
    assert_eq!((settings.limits.max_buffer, settings.limits.max_buffer_extra), (8192, 8192));
    assert_eq!(settings.client.plain.as_ref().map(|listen| listen.port), Some(2181));
    assert_eq!(settings.origin("forceSync"), Some(&Origin::Flag("zookeeper.forceSync".into())));
    let hints: Vec<_> =
        settings.unknown().iter().map(|u| (u.key.as_str(), u.hint.as_deref().unwrap_or(""))).collect();
    assert_eq!(
        hints,
        [
            ("jute.maxbuffer", "works only as system property: -Djute.maxbuffer=5"),
            ("zookeeper.clientPort", "works only in the configuration file, as clientPort"),
        ]
    );
}

#[test]
fn the_prefixed_name_of_a_double_key_wins() {
    let warn = |more: &str, definitions: &[&str]| ok_with(more, definitions).storage.fsync_warning_ms;
    assert_eq!(warn("", &["fsync.warningthresholdms=5"]), 5);
    assert_eq!(warn("fsync.warningthresholdms=6\n", &["fsync.warningthresholdms=5"]), 6);
    assert_eq!(warn("", &["fsync.warningthresholdms=5", "zookeeper.fsync.warningthresholdms=7"]), 7);
}

#[test]
fn unknown_keys_become_properties_and_are_pointed_out() {
    let settings =
        ok("foo=1\nmaxClientCnxn=5\nzookeeper.snapCount=5\nconnectionMaxTokens=3\nserver.1=h:1:2\n");
    assert_eq!(settings.snapshots.every_txns, 100_000);
    assert_eq!(settings.properties().get("zookeeper.foo").map(|sourced| sourced.value.as_str()), Some("1"));
    assert!(settings.properties().get("zookeeper.zookeeper.snapCount").is_some());
    assert!(settings.properties().get("zookeeper.server.1").is_some());
    let hints: Vec<_> = settings.unknown().iter().map(|u| (u.key.as_str(), u.hint.as_deref())).collect();
    assert_eq!(
        hints,
        [
            ("foo", None),
            ("maxClientCnxn", Some("did you mean maxClientCnxns?")),
            ("zookeeper.snapCount", Some("in the file the key is snapCount, without zookeeper.")),
            ("connectionMaxTokens", Some("did you mean connection_throttle_tokens?")),
        ]
    );
}

#[test]
fn what_waits_for_a_feature_is_named_once_and_only_if_asked_for() {
    let settings = ok(
        "admin.enableServer=true\nsslQuorum=false\ninitLimit=5\nsyncLimit=2\naudit.enable=true\n\
         authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider\nadmin.serverPort=8081\n",
    );
    assert_eq!(
        settings.not_yet_warning().as_deref(),
        Some(
            "Not supported yet and without effect: authentication providers beyond ip and digest (authProvider.1); \
             AdminServer (admin.enableServer, admin.serverPort); audit log (audit.enable)"
        )
    );
    assert_eq!(ok("admin.enableServer=false\n").not_yet_warning(), None);
}

#[test]
fn relative_directories_are_warned_about() {
    let settings = try_with("dataDir=data\ndataLogDir=./log\nclientPort=1\n", &[], Made::default()).unwrap();
    assert_eq!(warnings(&settings), ["data is relative. Prepend ./ to indicate that you're sure!"]);
    let world = Made::default().with("zoo.cfg", BASE);
    let settings = load(&Source::File("zoo.cfg".into()), flags(&[]), &world).unwrap();
    assert_eq!(warnings(&settings), ["zoo.cfg is relative. Prepend ./ to indicate that you're sure!"]);
}

#[test]
fn arguments_are_a_configuration_too() {
    let read = |words: &[&str]| {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        load(&Source::Arguments(words), flags(&["zookeeper.snapCount=5"]), &Made::default())
    };
    let settings = read(&["2200", "/d"]).unwrap();
    assert_eq!((settings.sessions.tick_time_ms, settings.limits.connections_per_address), (3000, None));
    assert_eq!(settings.snapshots.every_txns, 5);
    assert_eq!(settings.origin("dataDir"), Some(&Origin::Argument(2)));
    let settings = read(&["2200", "/d", "500", "7"]).unwrap();
    assert_eq!((settings.sessions.tick_time_ms, settings.limits.connections_per_address), (500, Some(7)));
    for (words, part) in [
        (&["1"][..], "Invalid number of arguments:[1]"),
        (&["1", "/d", "2", "3", "4"], "Invalid number of arguments:[1, /d, 2, 3, 4]"),
        (&["x", "/d"], "argument 1: clientPort=x: For input string: \"x\""),
        (&["1", "/d", "no"], "argument 3: tickTime=no"),
    ] {
        let error = read(words).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
        assert_eq!(error.exit_code(), 2);
    }
}

#[test]
fn without_a_file_the_server_starts_on_2181() {
    let settings = load(&Source::Embedded, flags(&[]), &Made::default()).unwrap();
    assert_eq!(settings.client.plain.as_ref().map(|listen| listen.port), Some(2181));
    assert_eq!(settings.paths.data_dir, Path::new("./data"));
    assert_eq!(settings.sessions.tick_time_ms, 3000);
    assert!(warnings(&settings).is_empty());
}

#[test]
fn the_server_line_may_bring_the_client_port() {
    let world = || Made::default().with("/data/myid", "1\n");
    let line = "dataDir=/data\nserver.1=localhost:2888:3888;2181\n";
    let settings = try_with(line, &[], world()).unwrap();
    assert_eq!(settings.mode, Mode::Standalone);
    assert_eq!(settings.client.plain.as_ref().map(ToString::to_string).as_deref(), Some("/0.0.0.0:2181"));
    assert_eq!(settings.origin("clientPort").and_then(Origin::place), Some(("./zoo.cfg", 2)));
    assert_eq!(warnings(&settings), ["Invalid configuration, only one server specified (ignoring)"]);
    assert!(try_with(line, &[], Made::default()).unwrap().client.plain.is_none());

    let agree = |more: &str| try_with(&format!("{line}{more}"), &[], world());
    assert!(agree("clientPort=2181\n").is_ok());
    assert_eq!(
        agree("clientPort=2350\nclientPortAddress=127.0.0.1\n").unwrap_err().message,
        "client address for this server (id = 1) in static config file is /127.0.0.1:2350 is different from client \
         address found in dynamic file: /0.0.0.0:2181"
    );
    assert!(
        agree("clientPort=2182\n").unwrap_err().to_string().contains("is 0.0.0.0/0.0.0.0:2182 is different")
    );
}

#[test]
fn the_configuration_of_the_container_image_is_understood() {
    let text = "dataDir=/data\ndataLogDir=/datalog\ntickTime=2000\ninitLimit=5\nsyncLimit=2\n\
         autopurge.snapRetainCount=3\nautopurge.purgeInterval=0\nmaxClientCnxns=60\nstandaloneEnabled=true\n\
         admin.enableServer=true\nserver.1=localhost:2888:3888;2181\n";
    let settings = try_with(text, &[], Made::default().with("/data/myid", "1")).unwrap();
    assert_eq!(settings.mode, Mode::Standalone);
    assert_eq!(settings.client.plain.as_ref().map(|listen| listen.port), Some(2181));
    assert_eq!(settings.quorum.my_id, Some(1));
}

const THREE: &str =
    "dataDir=/data\ninitLimit=5\nsyncLimit=2\nserver.1=a:1:2\nserver.2=b:1:2;2181\nserver.3=c:1:2\n";

#[test]
fn an_ensemble_needs_limits_and_an_id() {
    let world = |id: &str| Made::default().with("/data/myid", id);
    let settings = try_with(THREE, &[], world("2")).unwrap();
    assert_eq!((settings.mode, settings.quorum.role), (Mode::Ensemble, Role::Participant));
    assert_eq!(settings.quorum.election_read_timeout_ms, 6000);
    let fault = |text: &str, id: Option<&str>| {
        let world = id.map_or_else(Made::default, world);
        let error = try_with(text, &[], world).unwrap_err();
        (error.message.clone(), error.exit_code())
    };
    let expect = |message: &str, code: u8| (message.to_owned(), code);
    assert_eq!(fault(THREE, None), expect("myid file is missing", 2));
    assert_eq!(fault(THREE, Some("9")), expect("My id 9 not in the peer list", 1));
    assert_eq!(fault(THREE, Some("1 ")), expect("serverid 1  is not a number", 2));
    assert_eq!(fault(THREE, Some("")), expect("serverid null is not a number", 2));
    assert_eq!(fault(&THREE.replace("initLimit=5", ""), Some("1")), expect("initLimit is not set", 2));
    assert_eq!(
        fault(&THREE.replace("syncLimit=2", "syncLimit=0"), Some("1")),
        expect("syncLimit is not set", 2)
    );
    assert_eq!(fault(&format!("{THREE}group.1=1:2\n"), Some("1")), expect("Server 3is not in a group", 2));
    assert_eq!(
        fault(&format!("{THREE}group.1=1:2\ngroup.2=3:1\n"), Some("1")),
        expect("Server 1is in multiple groups", 2)
    );
    assert_eq!(fault(&format!("{THREE}cnxTimeout=x\n"), Some("1")), expect("For input string: \"x\"", 1));
}

#[test]
fn the_size_of_an_ensemble_is_commented_on() {
    let notes = |text: &str| {
        let settings = try_with(text, &[], Made::default().with("/data/myid", "1")).unwrap();
        warnings(&settings).iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()
    };
    assert!(notes(THREE).is_empty());
    assert_eq!(
        notes(&THREE.replace("server.3=c:1:2\n", "")),
        ["No server failure will be tolerated. You need at least 3 servers."]
    );
    assert_eq!(
        notes(&format!("{THREE}server.4=d:1:2\n")),
        ["Non-optimal configuration, consider an odd number of servers."]
    );
    assert_eq!(
        notes(&format!("{THREE}peerType=observer\n")),
        [
            "Peer type from servers list (PARTICIPANT) doesn't match peerType (OBSERVER). Defaulting to servers list."
        ]
    );
}

#[test]
fn members_may_live_in_a_file_of_their_own() {
    let main = "dataDir=/data\ninitLimit=5\nsyncLimit=2\ndynamicConfigFile=/c/zoo.cfg.dynamic.100000000\n";
    let lines = "server.1=a:1:2;2181\nserver.2=b:1:2\nserver.3=c:1:2";
    let read = |main: &str, lines: &str| {
        let world = Made::default().with("/data/myid", "1").with("/c/zoo.cfg.dynamic.100000000", lines);
        try_with(main, &[], world)
    };
    let settings = read(main, lines).unwrap();
    assert_eq!((settings.mode, settings.quorum.membership.version), (Mode::Ensemble, 0x1_0000_0000));
    assert_eq!(settings.client.plain.as_ref().map(|listen| listen.port), Some(2181));
    for (main, lines, part) in [
        (
            format!("{main}server.1=a:1:2\n"),
            lines.to_owned(),
            "parameter: server.1 must be in a separate dynamic config file",
        ),
        (
            format!("{main}groupFoo=1\n"),
            lines.to_owned(),
            "parameter: groupFoo must be in a separate dynamic config file",
        ),
        (main.to_owned(), format!("{lines}\nversion=1"), "/c/zoo.cfg.dynamic.100000000:4: version=1"),
        (main.to_owned(), format!("{lines}\nfoo=1"), "Unrecognised parameter: foo"),
    ] {
        let error = read(&main, &lines).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
        assert_eq!(error.exit_code(), 2);
    }
}

#[test]
fn several_addresses_need_the_property() {
    let text = format!("{THREE}server.3=h:1:2|c:3:4:participant;2182\n");
    let world = || Made::default().with("/data/myid", "1");
    assert!(try_with(&text, &[], world()).is_err());
    let settings = try_with(&text, &["zookeeper.multiAddress.enabled=true"], world()).unwrap();
    assert!(settings.quorum.multi_address && settings.unknown().is_empty());
    assert_eq!(settings.quorum.membership.members[&3].to_string(), "c:3:4|h:1:2:participant;0.0.0.0:2182");
}

#[test]
fn security_settings() {
    let settings = ok("authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider\n\
         authProvider.2=foo.Bar\nenforce.auth.enabled=true\nenforce.auth.schemes=sasl, digest\n\
         DigestAuthenticationProvider.digestAlg=sha-256\nDigestAuthenticationProvider.superDigest=super:x\n\
         superUser=bob\nsuperUser.2=eve\n4lw.commands.whitelist=ruok, stat\n");
    let auth = &settings.auth;
    assert_eq!(auth.digest_algorithm, DigestAlgorithm::Sha256);
    assert_eq!(auth.super_digest.as_deref(), Some("super:x"));
    assert_eq!(auth.sasl_super_users, ["bob", "eve"]);
    let schemes: Vec<_> = auth.enforced_schemes.iter().flatten().map(String::as_str).collect();
    assert_eq!(schemes, ["digest", "sasl"]);
    assert_eq!(warnings(&settings), ["Problems loading foo.Bar"]);
    let words = &settings.four_letter_words;
    assert!(words.allows("ruok") && words.allows("stat") && words.allows("srvr") && !words.allows("mntr"));
    assert!(ok("4lw.commands.whitelist=*\n").four_letter_words.allows("mntr"));
    assert!(!ok("readonlymode.enabled=true\n").four_letter_words.allows("isro"));
    assert!(ok_with("", &["readonlymode.enabled=true"]).four_letter_words.allows("isro"));
    assert_eq!(ok("snapshot.compression.method=GZ\n").snapshots.compression, Compression::Gzip);
}

#[test]
fn a_toml_file_means_what_the_zoo_cfg_means() {
    let toml = "[paths]\ndata_dir = '/data'\n[client]\nport = 2181\n[snapshots]\nevery_txns = 7\n\
         [limits]\nmax_buffer_bytes = 4096\n[properties]\nfoo = 1\n";
    let world = Made::default().with("./quoll.toml", toml);
    let settings = load(&Source::File("./quoll.toml".into()), flags(&["jute.maxbuffer=5"]), &world).unwrap();
    let same = ok_with("snapCount=7\nfoo=1\n", &["jute.maxbuffer=4096"]);
    let values = |settings: &Settings| -> Vec<_> {
        settings.effective().iter().map(|value| (value.name.clone(), value.value.clone())).collect()
    };
    assert_eq!(values(&settings), values(&same));
    assert_eq!(settings.origin("snapCount").and_then(Origin::place), Some(("./quoll.toml", 6)));
    assert_eq!(settings.unknown().len(), 1);

    let world = Made::default().with("./quoll.toml", "[client]\nprot = 1\n");
    let error = load(&Source::File("./quoll.toml".into()), flags(&[]), &world).unwrap_err();
    assert_eq!(error.to_string(), "./quoll.toml:2: client.prot: unknown key; did you mean client.port?");
}

/// A switch in `quoll.toml` and its words in `zoo.cfg` agree for every switch of the table.
#[test]
fn every_key_can_be_set_from_toml() {
    for key in keys::all().filter(|key| key.family().is_none() && !key.toml.starts_with("paths.data_dir")) {
        let (table, name) = key.toml.rsplit_once('.').unwrap();
        let (value, expected) = match key.kind {
            kind if kind.is_switch() => ("true", Some("true")),
            keys::Kind::Int | keys::Kind::Long | keys::Kind::Port => ("64", Some("64")),
            keys::Kind::Real => ("0.25", Some("0.25")),
            _ => continue,
        };
        // These are bound by others and have tests of their own.
        let bound =
            ["electionAlg", "minSessionTimeout", "maxSessionTimeout", "secureClientPort", "commitLogCount"];
        let checked = [
            "quorum.auth",
            "sessionRequireClientSASLAuth",
            "enforce.auth.enabled",
            "jute.maxbuffer.extrasize",
        ];
        if bound.contains(&key.name) || checked.iter().any(|name| key.name.starts_with(name)) {
            continue;
        }
        let text = if table == "paths" {
            format!("[paths]\ndata_dir = '/data'\n{name} = {value}\n")
        } else {
            format!("[paths]\ndata_dir = '/data'\n[{table}]\n{name} = {value}\n")
        };
        let world = Made::default().with("./q.toml", &text);
        let settings = load(&Source::File("./q.toml".into()), flags(&[]), &world)
            .unwrap_or_else(|error| panic!("{}: {error}", key.name));
        let found = settings.effective().iter().find(|value| value.name == key.name).unwrap();
        assert_eq!(found.value.as_deref(), expected, "{}", key.name);
        assert!(found.origin.place().is_some(), "{}: {}", key.name, found.origin);
    }
}

#[test]
fn reports_hide_secrets_and_name_origins() {
    let settings = ok_with(
        "DigestAuthenticationProvider.superDigest=super:SECRET\nmyPassword=SECRET\nssl.keyStore.password=SECRET\n\
         admin.serverPort=1\ntikcTime=5\nautopurge.snapRetainCount=1\n",
        &["zookeeper.snapCount=9"],
    );
    let (text, json) = (report::text(&settings), report::json(&settings));
    assert!(!text.contains("SECRET") && !json.contains("SECRET"), "{text}\n{json}");
    for part in [
        "./zoo.cfg: standalone",
        "-Dzookeeper.snapCount",
        "./zoo.cfg:8: Invalid autopurge.snapRetainCount: 1. Defaulting to 3",
        "./zoo.cfg:6: admin.serverPort has no effect yet: AdminServer is not supported",
        "./zoo.cfg:7: tikcTime is not a known key; did you mean tickTime?",
        "(hidden)",
    ] {
        assert!(text.contains(part), "{part} not in\n{text}");
    }
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["mode"], "standalone");
    assert_eq!(json["unknown"][0]["key"], "myPassword");
    assert_eq!(json["unknown"][1]["hint"], "did you mean tickTime?");
    assert_eq!(json["not_supported_yet"][0]["key"], "admin.serverPort");
}

proptest::proptest! {
    #[test]
    fn no_file_makes_it_panic(
        lines in proptest::collection::vec((proptest::sample::select(names()), "\\PC{0,24}|-?[0-9]{1,12}"), 0..6),
        tail in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40),
    ) {
        let mut text = BASE.as_bytes().to_vec();
        for (name, value) in lines {
            text.extend(format!("{}={value}\n", name.replace('*', "1")).bytes());
        }
        text.extend(tail);
        let source = Source::Text("./zoo.cfg".to_owned(), text);
        match load(&source, flags(&[]), &Made::default()) {
            Ok(settings) => { let _ = (report::text(&settings), report::json(&settings)); }
            Err(error) => proptest::prop_assert!(!error.to_string().contains(['\n', '\r'])),
        }
    }
}

fn names() -> Vec<&'static str> {
    keys::all().map(|key| key.name).collect()
}
