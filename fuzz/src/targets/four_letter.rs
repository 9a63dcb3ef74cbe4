//! Four-letter words: any four bytes with anything behind them, answered from a server whose paths, names and
//! addresses clients have chosen.

use quoll::report::four_letter::{Control, Word, answer, pieces};
use quoll::report::java::Zone;
use quoll::report::{
    Bucket, ConnInfo, Counters, DirSizes, Environment, Gauges, Metrics, Mode, PeerInfo, ServerConf,
    SessionDump, SessionInfo, Status, Traffic, View, WatchSummary,
};
use quoll::types::{Millis, SessionId, Zxid};

/// A server as its clients made it.
struct Hostile {
    zone: Zone,
    names: Vec<Box<str>>,
    numbers: Vec<i64>,
    counters: Counters,
}

impl Hostile {
    fn number(&self, at: usize) -> i64 {
        self.numbers.get(at % self.numbers.len().max(1)).copied().unwrap_or(0)
    }

    fn sessions_of_names(&self) -> Vec<(SessionId, Vec<Box<str>>)> {
        (0..3).map(|i| (SessionId(self.number(i)), self.names.clone())).collect()
    }
}

impl Control for Hostile {
    fn reset_connections(&self) {}
    fn reset_server(&self) {
        self.counters.reset();
    }
    fn set_trace_mask(&self, _: i64) {}
}

impl View for Hostile {
    fn mode(&self) -> Option<Mode> {
        [Some(Mode::Standalone), Some(Mode::Leader), Some(Mode::Follower), Some(Mode::ReadOnly), None]
            [self.number(1).rem_euclid(5) as usize]
    }
    fn version(&self) -> String {
        "1".to_owned()
    }
    fn zone(&self) -> &Zone {
        &self.zone
    }
    fn trace_mask(&self) -> i64 {
        self.number(2)
    }
    fn traffic(&self) -> Traffic {
        self.counters.traffic()
    }
    fn status(&self) -> Status {
        Status { last_zxid: Zxid(self.number(3)), node_count: self.number(4) as usize, ..Status::default() }
    }
    fn fsync_threshold_exceeded(&self) -> u64 {
        0
    }
    fn gauges(&self) -> Gauges {
        Gauges { uptime: self.number(5), ..Gauges::default() }
    }
    fn peer(&self) -> Option<PeerInfo> {
        None
    }
    fn metrics(&self) -> Metrics {
        self.counters.metrics()
    }
    fn is_secure(&self) -> bool {
        false
    }
    fn connections(&self) -> Vec<ConnInfo> {
        let session = SessionInfo {
            id: SessionId(self.number(6)),
            timeout: Millis(self.number(7)),
            last_op: Some(self.number(8) as i32),
            last_response: Millis(self.number(9)),
            ..SessionInfo::default()
        };
        let names = self.names.iter().map(|name| name.to_string());
        names
            .map(|remote| ConnInfo {
                remote,
                established: self.number(10),
                session: Some(session),
                ..ConnInfo::default()
            })
            .collect()
    }
    fn sessions(&self) -> SessionDump {
        let bucket = Bucket {
            wall: self.number(11),
            mono: Millis(self.number(12)),
            items: self.numbers.iter().map(|n| SessionId(*n)).collect(),
        };
        SessionDump::Tracked { local: None, global: vec![bucket] }
    }
    fn connection_deadlines(&self) -> Option<Vec<Bucket<(String, SessionId)>>> {
        let items = self.names.iter().map(|name| (name.to_string(), SessionId(self.number(13)))).collect();
        Some(vec![Bucket { wall: self.number(14), mono: Millis(self.number(15)), items }])
    }
    fn ephemerals(&self) -> Vec<(SessionId, Vec<Box<str>>)> {
        self.sessions_of_names()
    }
    fn watch_summary(&self) -> WatchSummary {
        WatchSummary::default()
    }
    fn watches_by_session(&self) -> Vec<(SessionId, Vec<Box<str>>)> {
        self.sessions_of_names()
    }
    fn watches_by_path(&self) -> Vec<(Box<str>, Vec<SessionId>)> {
        self.names
            .iter()
            .map(|name| (name.clone(), self.numbers.iter().map(|n| SessionId(*n)).collect()))
            .collect()
    }
    fn digests(&self) -> Vec<(Zxid, u64)> {
        self.numbers.iter().map(|n| (Zxid(*n), n.cast_unsigned())).collect()
    }
    fn dir_sizes(&self) -> DirSizes {
        DirSizes::default()
    }
    fn conf(&self) -> ServerConf {
        ServerConf {
            data_dir: self.names.first().map(ToString::to_string).unwrap_or_default(),
            ..ServerConf::default()
        }
    }
    fn environment(&self) -> Environment {
        vec![("host.name", self.names.first().map(ToString::to_string).unwrap_or_default())]
    }
}

/// Four bytes of a word, then what came with it; the rest also makes the server's names and numbers.
pub(super) fn words(input: &[u8]) {
    let Some((word, rest)) = input.split_first_chunk::<4>() else { return };
    let text = jute::text::decode(rest);
    let server = Hostile {
        zone: Zone::utc(),
        names: text.split('\n').take(20).map(Box::from).collect(),
        numbers: rest
            .chunks_exact(8)
            .take(20)
            .filter_map(|c| Some(i64::from_be_bytes(*c.first_chunk()?)))
            .collect(),
        counters: Counters::new(),
    };
    for name in &server.names {
        server.counters.wrote(name, name.len());
    }
    let Some(word) = Word::parse(*word) else { return };
    let refused = answer(word, rest, false, &server, &server);
    assert!(refused.contains("whitelist"));
    let allowed = answer(word, rest, true, &server, &server);
    _ = pieces(&allowed);
    assert!(allowed.len() <= 64 * 1024 + 64 * input.len(), "{word:?} answers {} bytes", allowed.len());
}
