//! Every word against what a server of the reference answered.

use super::super::{Bucket, ConnInfo, EnsembleConf, SessionDump};
use super::super::{
    Counters, DirSizes, Environment, Gauges, LeaderGauges, Metrics, NamespaceQuota, PeerInfo, ResponseSizes,
    ServerConf, SessionInfo, Status, Totals, Traffic, WatchSummary, java::Zone,
};
use super::*;
use crate::types::{Millis, SessionId, Zxid};
use jute::OpCode;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

const A: SessionId = SessionId(0x0100_000e_84af_0000);
const B: SessionId = SessionId(0x0100_000e_84af_0001);

/// A server in a test: what it is asked for is set, everything else is as on a fresh one.
struct Sample {
    mode: Option<Mode>,
    zone: Zone,
    traffic: Traffic,
    status: Status,
    gauges: Gauges,
    peer: Option<PeerInfo>,
    connections: Vec<ConnInfo>,
    sessions: SessionDump,
    deadlines: Option<Vec<Bucket<(String, SessionId)>>>,
    ephemerals: Vec<(SessionId, Vec<Box<str>>)>,
    watches: WatchSummary,
    by_session: Vec<(SessionId, Vec<Box<str>>)>,
    by_path: Vec<(Box<str>, Vec<SessionId>)>,
    digests: Vec<(Zxid, u64)>,
    conf: ServerConf,
    mask: Cell<i64>,
    /// Costly looks, in the order they were taken.
    looks: RefCell<Vec<&'static str>>,
    resets: RefCell<Vec<&'static str>>,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            mode: Some(Mode::Standalone),
            zone: Zone::utc(),
            traffic: Traffic::default(),
            status: Status::default(),
            gauges: Gauges::default(),
            peer: None,
            connections: Vec::new(),
            sessions: SessionDump::Tracked { local: None, global: Vec::new() },
            deadlines: Some(Vec::new()),
            ephemerals: Vec::new(),
            watches: WatchSummary::default(),
            by_session: Vec::new(),
            by_path: Vec::new(),
            digests: Vec::new(),
            conf: ServerConf::default(),
            mask: Cell::new(306),
            looks: RefCell::default(),
            resets: RefCell::default(),
        }
    }
}

impl Sample {
    fn look<T: Clone>(&self, name: &'static str, at: &T) -> T {
        self.looks.borrow_mut().push(name);
        at.clone()
    }

    fn ask(&self, word: &[u8; 4]) -> String {
        answer(Word::parse(*word).unwrap(), b"", true, self, self)
    }
}

impl View for Sample {
    fn mode(&self) -> Option<Mode> {
        self.mode
    }
    fn version(&self) -> String {
        "3.9.5-293c895a8d966a3ecb92872be4a1daf87d725da2, built on 2026-02-11 20:18 UTC".to_owned()
    }
    fn zone(&self) -> &Zone {
        &self.zone
    }
    fn trace_mask(&self) -> i64 {
        self.mask.get()
    }
    fn traffic(&self) -> Traffic {
        self.traffic
    }
    fn status(&self) -> Status {
        self.status
    }
    fn fsync_threshold_exceeded(&self) -> u64 {
        0
    }
    fn gauges(&self) -> Gauges {
        self.look("gauges", &self.gauges)
    }
    fn peer(&self) -> Option<PeerInfo> {
        self.peer.clone()
    }
    fn metrics(&self) -> Metrics {
        self.looks.borrow_mut().push("metrics");
        Counters::new().metrics()
    }
    fn is_secure(&self) -> bool {
        false
    }
    fn connections(&self) -> Vec<ConnInfo> {
        self.look("connections", &self.connections)
    }
    fn sessions(&self) -> SessionDump {
        self.look("sessions", &self.sessions)
    }
    fn connection_deadlines(&self) -> Option<Vec<Bucket<(String, SessionId)>>> {
        self.look("deadlines", &self.deadlines)
    }
    fn ephemerals(&self) -> Vec<(SessionId, Vec<Box<str>>)> {
        self.look("ephemerals", &self.ephemerals)
    }
    fn watch_summary(&self) -> WatchSummary {
        self.watches
    }
    fn watches_by_session(&self) -> Vec<(SessionId, Vec<Box<str>>)> {
        self.look("watches", &self.by_session)
    }
    fn watches_by_path(&self) -> Vec<(Box<str>, Vec<SessionId>)> {
        self.look("watches", &self.by_path)
    }
    fn digests(&self) -> Vec<(Zxid, u64)> {
        self.look("digests", &self.digests)
    }
    fn dir_sizes(&self) -> DirSizes {
        self.look("disk", &self.conf.sizes)
    }
    fn conf(&self) -> ServerConf {
        self.look("disk", &self.conf)
    }
    fn environment(&self) -> Environment {
        vec![("host.name", "localhost".to_owned()), ("java.compiler", String::new())]
    }
}

impl Control for Sample {
    fn reset_connections(&self) {
        self.resets.borrow_mut().push("connections");
    }
    fn reset_server(&self) {
        self.resets.borrow_mut().push("server");
    }
    fn set_trace_mask(&self, mask: i64) {
        self.mask.set(mask);
    }
}

fn conn(port: u16, interest: u8, received: u64, sent: u64, session: Option<SessionInfo>) -> ConnInfo {
    let remote = format!("127.0.0.1:{port}");
    ConnInfo {
        remote,
        interest,
        received,
        sent,
        session,
        established: 1_795_180_949_209,
        ..ConnInfo::default()
    }
}

fn session(id: SessionId, op: OpCode) -> SessionInfo {
    SessionInfo {
        id,
        timeout: Millis(20_000),
        last_op: Some(op.code()),
        last_cxid: 4,
        last_zxid: 7,
        last_response: Millis(1_016_918),
        max_latency: 1,
        ..SessionInfo::default()
    }
}

fn bucket<T>(wall: i64, items: Vec<T>) -> Bucket<T> {
    Bucket { wall, mono: Millis(0), items }
}

const HEAD: &str =
    "Zookeeper version: 3.9.5-293c895a8d966a3ecb92872be4a1daf87d725da2, built on 2026-02-11 20:18 UTC\n";

#[test]
fn words() {
    assert_eq!(Word::parse(*b"srvr"), Some(Word::Srvr));
    assert_eq!(Word::parse(*b"\xff\xf4\xff\xfd").map(Word::name), Some("telnet close"));
    for stranger in [b"SRVR", b"reqs", b"lead", b"kill", b"srv\n", b"\0\0\0\x2c", b"telc"] {
        assert_eq!(Word::parse(*stranger), None);
    }
    for word in Word::ALL {
        assert_eq!(Word::parse(*word.bytes()), Some(word));
        let refused = answer(word, b"", false, &Sample::default(), &Sample::default());
        assert_eq!(refused, format!("{} is not executed because it is not in the whitelist.\n", word.name()));
    }
}

#[test]
fn while_not_serving() {
    let sample = Sample { mode: None, ..Sample::default() };
    let sentence = "This ZooKeeper instance is not currently serving requests";
    for word in Word::ALL {
        let answered = answer(word, &306_i64.to_be_bytes(), true, &sample, &sample);
        match word {
            Word::Ruok => assert_eq!(answered, "imok"),
            Word::Isro => assert_eq!(answered, "null"),
            Word::Gtmk | Word::Stmk => assert_eq!(answered, "306"),
            Word::Envi => assert!(answered.starts_with("Environment:\n")),
            Word::Hash => assert_eq!(answered, sentence),
            Word::Interrupt => assert_eq!(answered, ""),
            _ => assert_eq!(answered, format!("{sentence}\n"), "{}", word.name()),
        }
    }
    assert!(sample.resets.borrow().is_empty() && sample.looks.borrow().is_empty());
}

#[test]
fn cheap_words_stay_cheap() {
    let sample = Sample::default();
    for word in [b"ruok", b"isro", b"gtmk", b"srvr", b"wchs", b"srst", b"crst", b"envi", b"stmk"] {
        sample.ask(word);
    }
    assert_eq!(*sample.looks.borrow(), [""; 0]);
    assert_eq!(*sample.resets.borrow(), ["server", "connections"]);
    sample.ask(b"mntr");
    assert_eq!(*sample.looks.borrow(), ["gauges", "metrics"]);
    sample.looks.borrow_mut().clear();
    sample.ask(b"dump");
    assert_eq!(*sample.looks.borrow(), ["sessions", "ephemerals", "deadlines"]);
}

#[test]
fn short_answers() {
    let sample = Sample::default();
    assert_eq!(sample.ask(b"ruok"), "imok");
    assert_eq!(sample.ask(b"isro"), "rw");
    assert_eq!(sample.ask(b"srst"), "Server stats reset.\n");
    assert_eq!(sample.ask(b"crst"), "Connection stats reset.\n");
    assert_eq!(Sample { mode: Some(Mode::ReadOnly), ..Sample::default() }.ask(b"isro"), "ro");
}

#[test]
fn the_trace_mask() {
    let sample = Sample::default();
    let set = |rest: &[u8]| answer(Word::Stmk, rest, true, &sample, &sample);
    assert_eq!(sample.ask(b"gtmk"), "306");
    assert_eq!(set(&1022_i64.to_be_bytes()), "1022");
    assert_eq!(set(b"\xff\xff\xff\xff\xff\xff\xff\xfe\r\n"), "-2");
    assert_eq!((set(b""), set(b"1234567")), (String::new(), String::new()), "no mask, no answer");
    assert_eq!(sample.ask(b"gtmk"), "-2");
}

#[test]
fn conf_of_a_standalone_server() {
    let sample = Sample { conf: standalone_conf(), ..Sample::default() };
    assert_eq!(
        sample.ask(b"conf"),
        "clientPort=2300\nsecureClientPort=-1\ndataDir=/var/lib/zookeeper/version-2\ndataDirSize=67109358\n\
         dataLogDir=/var/lib/zookeeper/version-2\ndataLogSize=67109358\ntickTime=2000\nmaxClientCnxns=60\n\
         minSessionTimeout=4000\nmaxSessionTimeout=40000\nclientPortListenBacklog=-1\nserverId=0\n"
    );
    assert_eq!(sample.ask(b"dirs"), "datadir_size: 67109358\nlogdir_size: 67109358\n");
}

fn standalone_conf() -> ServerConf {
    ServerConf {
        client_port: 2300,
        secure_client_port: -1,
        data_dir: "/var/lib/zookeeper/version-2".to_owned(),
        data_log_dir: "/var/lib/zookeeper/version-2".to_owned(),
        sizes: DirSizes { data: 67_109_358, log: 67_109_358 },
        tick_time: 2000,
        max_client_cnxns: 60,
        min_session_timeout: 4000,
        max_session_timeout: 40_000,
        listen_backlog: -1,
        server_id: 0,
        ensemble: None,
    }
}

#[test]
fn conf_of_a_member() {
    let membership =
        "server.1=127.0.0.1:2321:2331:participant\nserver.4=127.0.0.1:2324:2334:observer\nversion=0";
    let mut ensemble = EnsembleConf {
        init_limit: 10,
        sync_limit: 5,
        election_alg: 3,
        election_port: "2331".to_owned(),
        quorum_port: "2321".to_owned(),
        peer_type: 0,
        membership: Some(membership.to_owned()),
    };
    let asked = |ensemble: EnsembleConf| {
        let conf = ServerConf { ensemble: Some(ensemble), ..standalone_conf() };
        let answered = Sample { conf, ..Sample::default() }.ask(b"conf");
        answered.split_once("serverId=0\n").unwrap().1.to_owned()
    };
    assert_eq!(
        asked(ensemble.clone()),
        "initLimit=10\nsyncLimit=5\nelectionAlg=3\nelectionPort=2331\nquorumPort=2321\npeerType=0\nmembership: \n\
         server.1=127.0.0.1:2321:2331:participant\nserver.4=127.0.0.1:2324:2334:observer\nversion=0"
    );
    ensemble.membership = None;
    assert!(asked(ensemble).ends_with("peerType=0\n"));
}

fn busy() -> Sample {
    Sample {
        traffic: Traffic {
            packets_received: 21,
            packets_sent: 21,
            latency: Totals { count: 14, sum: 22, min: 0, max: 7 },
            ..Traffic::default()
        },
        status: Status {
            connections: 3,
            outstanding: 0,
            last_zxid: Zxid(7),
            node_count: 10,
            proposals: None,
        },
        ..Sample::default()
    }
}

const NUMBERS: &str = "Latency min/avg/max: 0/1.5714/7\nReceived: 21\nSent: 21\nConnections: 3\nOutstanding: 0\n\
                       Zxid: 0x7\nMode: standalone\nNode count: 10\n";

#[test]
fn srvr_in_every_mode() {
    assert_eq!(busy().ask(b"srvr"), format!("{HEAD}{NUMBERS}"));
    let mut leader = Sample { mode: Some(Mode::Leader), ..busy() };
    leader.status.proposals = Some(ResponseSizes { last: 92, min: 48, max: 92 });
    let numbers = NUMBERS.replace("standalone", "leader");
    assert_eq!(leader.ask(b"srvr"), format!("{HEAD}{numbers}Proposal sizes last/min/max: 92/48/92\n"));
    leader.status.proposals = Some(ResponseSizes::default());
    assert!(leader.ask(b"srvr").ends_with("Proposal sizes last/min/max: -1/-1/-1\n"));
    let read_only = Sample { mode: Some(Mode::ReadOnly), ..busy() };
    let numbers = NUMBERS.replace("standalone", "read-only");
    let sentence = "READ-ONLY mode; serving only read-only clients\n";
    assert_eq!(read_only.ask(b"srvr"), format!("{HEAD}{sentence}{numbers}"));
    assert_eq!(read_only.ask(b"stat"), format!("{HEAD}{sentence}Clients:\n\n{numbers}"));
}

#[test]
fn stat_and_cons() {
    let mut sample = busy();
    let elsewhere = ConnInfo { secure: true, ..conn(1, 1, 1, 1, None) };
    sample.connections =
        vec![conn(38324, 1, 5, 5, Some(session(B, OpCode::Exists))), elsewhere, conn(38330, 0, 1, 0, None)];
    assert_eq!(
        sample.ask(b"stat"),
        format!(
            "{HEAD}Clients:\n /127.0.0.1:38324[1](queued=0,recved=5,sent=5)\n \
             /127.0.0.1:38330[0](queued=0,recved=1,sent=0)\n\n{NUMBERS}"
        )
    );
    assert_eq!(
        sample.ask(b"cons"),
        " /127.0.0.1:38324[1](queued=0,recved=5,sent=5,sid=0x100000e84af0001,lop=EXIS,est=1795180949209,to=20000,\
         lcxid=0x4,lzxid=0x7,lresp=1016918,llat=0,minlat=0,avglat=0,maxlat=1)\n \
         /127.0.0.1:38330[0](queued=0,recved=1,sent=0)\n\n"
    );
}

#[test]
fn cons_behind_a_reset() {
    let fresh = SessionInfo {
        last_op: None,
        last_cxid: -1,
        last_zxid: -1,
        last_response: Millis(0),
        max_latency: 0,
        ..session(A, OpCode::Ping)
    };
    let sample = Sample { connections: vec![conn(1, 1, 0, 0, Some(fresh))], ..Sample::default() };
    assert_eq!(
        sample.ask(b"cons"),
        " /127.0.0.1:1[1](queued=0,recved=0,sent=0,sid=0x100000e84af0000,lop=NA,est=1795180949209,to=20000,\
         lzxid=0xffffffffffffffff,lresp=0,llat=0,minlat=0,avglat=0,maxlat=0)\n\n"
    );
}

#[test]
fn every_operation_has_a_name() {
    let shown: BTreeSet<&str> = OpCode::ALL.iter().map(|op| operation(Some(op.code()))).collect();
    let known = "NA PING SESS CLOS MULT MLTR CREA DELE SETD RECO SETA SYNC CHEC EXIS GETD SETW STW2 ADDW GETA GETC \
                 GETACN CHKW REMW HOMI GETE";
    assert_eq!(shown, known.split_whitespace().collect());
    assert_eq!((operation(None), operation(Some(4711))), ("NA", "NA"));
}

#[test]
fn dump_of_a_tracker() {
    let sample = Sample {
        sessions: SessionDump::Tracked {
            local: None,
            global: vec![bucket(1_795_180_960_000, vec![A]), bucket(1_795_180_970_000, vec![B])],
        },
        ephemerals: vec![(B, vec!["/app/e3".into()]), (A, vec!["/app/e1".into(), "/app/e2".into()])],
        deadlines: Some(vec![
            bucket(
                1_795_180_962_000,
                vec![("127.0.0.1:38322".to_owned(), A), ("127.0.0.1:38344".to_owned(), SessionId::NONE)],
            ),
            bucket(1_795_180_972_000, vec![("127.0.0.1:38324".to_owned(), B)]),
        ]),
        ..Sample::default()
    };
    assert_eq!(
        sample.ask(b"dump"),
        "SessionTracker dump:\nSession Sets (2)/(2):\n\
         1 expire at Fri Nov 20 13:22:40 UTC 2026:\n\t0x100000e84af0000\n\
         1 expire at Fri Nov 20 13:22:50 UTC 2026:\n\t0x100000e84af0001\n\
         ephemeral nodes dump:\nSessions with Ephemerals (2):\n\
         0x100000e84af0001:\n\t/app/e3\n0x100000e84af0000:\n\t/app/e1\n\t/app/e2\n\
         Connections dump:\nConnections Sets (2)/(3):\n\
         2 expire at Fri Nov 20 13:22:42 UTC 2026:\n\
         \tip: /127.0.0.1:38322 sessionId: 0x100000e84af0000\n\tip: /127.0.0.1:38344 sessionId: 0x0\n\
         1 expire at Fri Nov 20 13:22:52 UTC 2026:\n\tip: /127.0.0.1:38324 sessionId: 0x100000e84af0001\n"
    );
}

#[test]
fn dump_of_others() {
    let global = vec![(B, Millis(20_000)), (A, Millis(10_000))];
    let sample = Sample {
        sessions: SessionDump::Learner { local: None, global: global.clone() },
        deadlines: None,
        ..Sample::default()
    };
    let rest = "ephemeral nodes dump:\nSessions with Ephemerals (0):\nConnections dump:\n";
    let sessions = "Global Sessions(2):\n0x100000e84af0000\t10000ms\n0x100000e84af0001\t20000ms\n";
    assert_eq!(sample.ask(b"dump"), format!("SessionTracker dump:\n{sessions}{rest}"));
    let local = Some(vec![bucket(0, vec![A])]);
    let shown =
        "Local Session Sets (1)/(1):\n1 expire at Thu Jan 01 00:00:00 UTC 1970:\n\t0x100000e84af0000\n";
    let learner = SessionDump::Learner { local: local.clone(), global };
    let sample = Sample { sessions: learner, ..sample };
    assert_eq!(sample.ask(b"dump"), format!("SessionTracker dump:\n{shown}{sessions}{rest}"));
    let leader = SessionDump::Tracked { local, global: vec![bucket(0, vec![])] };
    let sample = Sample { sessions: leader, ..sample };
    let none = "Global Session Sets (1)/(0):\n0 expire at Thu Jan 01 00:00:00 UTC 1970:\n";
    assert_eq!(sample.ask(b"dump"), format!("SessionTracker dump:\n{shown}{none}{rest}"));
}

#[test]
fn watches() {
    let fresh = Sample::default();
    assert_eq!(fresh.ask(b"wchs"), "0 connections watching 0 paths\nTotal watches:0\n");
    assert_eq!((fresh.ask(b"wchc"), fresh.ask(b"wchp")), ("\n".to_owned(), "\n".to_owned()));
    let sample = Sample {
        watches: WatchSummary { connections: 2, paths: 2, total: 3 },
        by_session: vec![(B, vec!["/app".into(), "/nope".into()]), (A, vec!["/app".into()])],
        by_path: vec![("/app".into(), vec![B, A]), ("/nope".into(), vec![B])],
        ..Sample::default()
    };
    assert_eq!(sample.ask(b"wchs"), "2 connections watching 2 paths\nTotal watches:3\n");
    assert_eq!(sample.ask(b"wchc"), "0x100000e84af0001\n\t/app\n\t/nope\n0x100000e84af0000\n\t/app\n\n");
    assert_eq!(
        sample.ask(b"wchp"),
        "/app\n\t0x100000e84af0001\n\t0x100000e84af0000\n/nope\n\t0x100000e84af0001\n\n"
    );
}

#[test]
fn digests_and_environment() {
    assert_eq!(Sample::default().ask(b"hash"), "");
    let digests = vec![(Zxid(0x80), 268_450_895_487), (Zxid(0x100), u64::MAX)];
    assert_eq!(Sample { digests, ..Sample::default() }.ask(b"hash"), "80: 268450895487\n100: -1\n");
    let head = HEAD.replace("Zookeeper version: ", "zookeeper.version=");
    assert_eq!(
        Sample::default().ask(b"envi"),
        format!("Environment:\n{head}host.name=localhost\njava.compiler=<NA>\n")
    );
}

/// Names of a recorded answer of a standalone server, without those of namespaces.
fn recorded_names() -> BTreeSet<&'static str> {
    let recorded = include_str!("../../../compat-tests/suites/fourletter/golden/mntr.txt");
    let names = recorded.lines().map(|line| line.split_once('\t').unwrap().0);
    names.filter(|name| !name.ends_with("_per_namespace")).collect()
}

#[test]
fn mntr_has_every_recorded_name_and_no_other() {
    let answered = Sample::default().ask(b"mntr");
    let names: Vec<&str> = answered.lines().map(|line| line.split_once('\t').unwrap().0).collect();
    let unique: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(names.len(), unique.len(), "each once");
    assert_eq!(unique, recorded_names());
    assert!(answered.lines().skip(1).all(|line| line.matches('\t').count() == 1 && !line.contains(' ')));
    assert!(pieces(&answered) > 1);
}

#[test]
fn mntr_begins_as_recorded_on_a_leader() {
    let sample = Sample {
        mode: Some(Mode::Leader),
        peer: Some(PeerInfo { state: "leading - broadcast".to_owned(), observer_master: None }),
        traffic: Traffic {
            packets_sent: 20,
            packets_received: 21,
            latency: Totals { count: 4, sum: 9, min: 0, max: 7 },
            responses: ResponseSizes { last: 16, min: 16, max: 88 },
            auth_failed: 0,
        },
        status: Status {
            connections: 1,
            node_count: 7,
            proposals: Some(ResponseSizes { last: 92, min: 48, max: 92 }),
            ..Status::default()
        },
        gauges: Gauges {
            synced_observers: Some(1),
            quorum_size: Some(3),
            leader: Some(LeaderGauges { synced_followers: 2, ..LeaderGauges::default() }),
            quotas: vec![NamespaceQuota {
                namespace: "app".into(),
                bytes_limit: 100_000,
                ..NamespaceQuota::default()
            }],
            ..Gauges::default()
        },
        ..Sample::default()
    };
    let answered = sample.ask(b"mntr");
    let head = "zk_version	3.9.5-293c895a8d966a3ecb92872be4a1daf87d725da2, built on 2026-02-11 20:18 UTC
zk_server_state	leader
zk_peer_state	leading - broadcast
zk_ephemerals_count	0
zk_num_alive_connections	1
zk_avg_latency	2.25
zk_min_proposal_size	48
zk_outstanding_requests	0
zk_znode_count	7
zk_global_sessions	0
zk_non_mtls_remote_conn_count	0
zk_last_client_response_size	16
zk_packets_sent	20
zk_packets_received	21
zk_max_proposal_size	92
zk_max_client_response_size	88
zk_synced_followers	2
zk_connection_drop_probability	0.0
zk_watch_count	0
zk_synced_non_voting_followers	0
zk_synced_observers	1
zk_auth_failed_count	0
";
    assert!(answered.starts_with(head), "{answered}");
    for line in
        ["zk_quorum_size\t3", "zk_app_quota_bytes_limit_per_namespace\t100000", "zk_avg_fsynctime\t0.0"]
    {
        assert!(answered.lines().any(|l| l == line), "{line}");
    }
}

#[test]
fn observers_name_their_master() {
    let peer = PeerInfo { state: "observing - broadcast".to_owned(), observer_master: Some(3) };
    let answered = Sample { mode: Some(Mode::Observer), peer: Some(peer), ..Sample::default() }.ask(b"mntr");
    let lines: Vec<&str> = answered.lines().take(4).skip(1).collect();
    assert_eq!(
        lines,
        ["zk_server_state\tobserver", "zk_peer_state\tobserving - broadcast", "zk_observer_master_id\t3"]
    );
}

#[test]
fn answers_are_counted_in_pieces() {
    assert_eq!([0, 1, 8192, 8193].map(|n| pieces(&"x".repeat(n))), [0, 1, 1, 2]);
    assert_eq!(pieces(&"\u{e9}".repeat(8192)), 1, "characters, not bytes");
}
