//! The server as operators see it: each look takes the one lock it needs, copies, and lets go.
//!
//! Four-letter words end here: counted, decided and rendered by the report room, over a look of this one.

use super::conns::Full;
use super::core::Core;
use super::facts;
use super::throttle::{Throttle, also};
use crate::config::ensemble::{MemberAddress, Role};
use crate::net::client::conn::shown_ip;
use crate::net::client::{Conn, Phase};
use crate::replica::PeerStatus;
use crate::report::four_letter::{self, Control, Word};
use crate::report::java::Zone;
use crate::report::{
    Bucket, ConnInfo, DirSizes, EnsembleConf, Environment, Gauges, LeaderGauges, Metrics, Mode,
    NamespaceQuota, PeerInfo, ResponseSizes, ServerConf, SessionDump, SessionInfo, Status, Traffic, View,
    WatchSummary, version,
};
use crate::state::TreeView as _;
use crate::state::watch::WatcherId;
use crate::types::{ConnId, Millis, SessionId, Zxid};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// A look at the server, taken for a connection.
struct Look<'a> {
    core: &'a Core,
    asking: ConnId,
}

impl Core {
    /// The answer to a four-letter word, if it is one.
    pub(super) fn answer_word(&self, conn: &Conn, word: [u8; 4], rest: &[u8]) -> Option<Vec<u8>> {
        let word = Word::parse(word)?;
        conn.stats.received.fetch_add(1, Relaxed);
        self.counters.received(1, 4);
        tracing::info!("Processing {} command from /{}", word.name(), shown_address(conn));
        let look = Look { core: self, asking: conn.id };
        let is_allowed = self.facts.whitelist.allows(word.name());
        let answer = four_letter::answer(word, rest, is_allowed, &look, &look);
        let pieces = four_letter::pieces(&answer);
        conn.stats.sent.fetch_add(pieces, Relaxed);
        self.counters.sent_pieces(pieces);
        Some(answer.into_bytes())
    }

    pub(super) fn refused(&self, remote: std::net::SocketAddr, full: Full) {
        let hush = match full {
            Full::Total(_) => &self.hushes.total,
            Full::Address(_) => &self.hushes.per_address,
        };
        let Some(withheld) = hush.breaks(self.clock.mono()) else { return };
        let also = also(withheld);
        match full {
            Full::Total(max) => tracing::warn!(
                "Error accepting new connection: Too many connections max allowed is {max}{also}"
            ),
            Full::Address(max) => tracing::warn!(
                "Error accepting new connection: Too many connections from /{} - max is {max}{also}",
                shown_ip(&remote)
            ),
        }
    }

    /// When a connection that stays silent is closed: in steps of the time it may be without a session.
    pub(super) fn deadline(&self, conn: &Conn) -> Millis {
        let step = self.settings.sessionless_timeout.0.max(1);
        let patience = match conn.phase() {
            Phase::Fresh | Phase::Greeting => step,
            Phase::Open | Phase::Closing => conn.timeout().0,
        };
        Millis((conn.last_heard().0.saturating_add(patience) / step).saturating_add(1).saturating_mul(step))
    }
}

/// A client's address and port as the reference's runtime prints them, since Java 14 with brackets around IPv6.
pub(super) fn shown_address(conn: &Conn) -> String {
    let (ip, port) = (shown_ip(&conn.remote), conn.remote.port());
    if conn.remote.is_ipv4() { format!("{ip}:{port}") } else { format!("[{ip}]:{port}") }
}

impl Look<'_> {
    fn bucket<T>(&self, at: Millis, items: Vec<T>) -> Bucket<T> {
        let now = self.core.clock.now();
        Bucket { wall: now.wall.saturating_add(at.0.saturating_sub(now.mono.0)), mono: at, items }
    }

    fn info(&self, conn: &Conn) -> ConnInfo {
        let stats = &conn.stats;
        let number = |of: &std::sync::atomic::AtomicI64| of.load(Relaxed);
        let replies = i64::try_from(stats.replies.load(Relaxed)).unwrap_or(i64::MAX);
        let last_op = stats.last_op.load(Relaxed);
        let session = (conn.session() != SessionId::NONE).then(|| SessionInfo {
            id: conn.session(),
            timeout: conn.timeout(),
            last_op: (last_op != 0).then_some(last_op),
            last_cxid: stats.last_cxid.load(Relaxed),
            last_zxid: number(&stats.last_zxid),
            last_response: Millis(number(&stats.last_response)),
            last_latency: number(&stats.last_latency),
            min_latency: number(&stats.min_latency),
            avg_latency: number(&stats.total_latency).checked_div(replies).unwrap_or(0),
            max_latency: number(&stats.max_latency),
        });
        let interest = if conn.id == self.asking { 0 } else { 1 | (u8::from(!conn.outbox.is_empty()) << 2) };
        ConnInfo {
            remote: shown_address(conn),
            secure: false,
            interest,
            outstanding: conn.lane.lock().len(),
            received: stats.received.load(Relaxed),
            sent: stats.sent.load(Relaxed),
            established: conn.established,
            session,
        }
    }

    /// Sessions of watchers. A connection that went away in between has none any more.
    fn sessions_of(&self, watchers: impl Iterator<Item = WatcherId>) -> Vec<SessionId> {
        self.core.conns.with(|conns| {
            watchers.map(|w| conns.by_watcher(w).map_or(SessionId::NONE, |conn| conn.session())).collect()
        })
    }
}

/// Sizes of proposals, as a leader shows them: all -1 before the first.
fn proposals(peer: &PeerStatus) -> Option<ResponseSizes> {
    let size = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    if !peer.state.starts_with("leading") {
        return None;
    }
    Some(match peer.proposals {
        None => ResponseSizes { last: -1, min: -1, max: -1 },
        Some((min, max, last)) => ResponseSizes { last: size(last), min: size(min), max: size(max) },
    })
}

fn leader(peer: &PeerStatus, uptime: i64) -> LeaderGauges {
    let followers =
        |voter: bool| peer.learners.iter().filter(|l| !l.observer && l.synced && l.voter == voter).count();
    LeaderGauges {
        learners: peer.learners.len(),
        synced_followers: followers(true),
        synced_non_voting_followers: followers(false),
        pending_syncs: peer.pending_syncs,
        uptime,
    }
}

impl Look<'_> {
    /// What the server is within its ensemble.
    fn standing_peer(&self) -> Option<PeerStatus> {
        self.core.brain.lock().replica.status().peer
    }

    /// Shown by whoever takes observers.
    fn synced_observers(&self, peer: &PeerStatus) -> Option<usize> {
        let takes = self.mode() == Some(Mode::Leader)
            || (self.mode() == Some(Mode::Follower) && self.core.facts.takes_observers);
        takes.then(|| peer.learners.iter().filter(|l| l.observer && l.synced).count())
    }

    /// The membership in force, as `conf` shows it: with the ports of this server.
    fn membership(&self, conf: EnsembleConf) -> EnsembleConf {
        let (membership, own) = {
            let brain = self.core.brain.lock();
            let Some(me) = brain.replica.as_member() else { return conf };
            (Arc::clone(me.views.committed.membership()), me.id)
        };
        let ports = |of: fn(&MemberAddress) -> u16| {
            let addresses = membership.members.get(&own.0).into_iter().flat_map(|m| &m.addresses);
            addresses.map(|a| of(a).to_string()).collect::<Vec<_>>().join("|")
        };
        let role = membership.members.get(&own.0).map(|member| member.role);
        EnsembleConf {
            election_port: ports(|a| a.election_port),
            quorum_port: ports(|a| a.quorum_port),
            peer_type: role.map_or(conf.peer_type, |role| i32::from(role == Role::Observer)),
            membership: (self.mode() != Some(Mode::ReadOnly)).then(|| membership.text()),
            ..conf
        }
    }
}

impl View for Look<'_> {
    fn mode(&self) -> Option<Mode> {
        self.core.standing.get().mode()
    }

    fn version(&self) -> String {
        version::shown()
    }

    fn zone(&self) -> &Zone {
        &self.core.facts.zone
    }

    fn trace_mask(&self) -> i64 {
        self.core.facts.trace_mask()
    }

    fn traffic(&self) -> Traffic {
        self.core.counters.traffic()
    }

    fn status(&self) -> Status {
        let (last_zxid, node_count) = self.core.shared.read(|m| (m.last_zxid(), m.node_count()));
        Status {
            connections: self.core.conns.len(),
            outstanding: self.core.gate.at_work(),
            last_zxid,
            node_count,
            proposals: self.standing_peer().and_then(|peer| proposals(&peer)),
        }
    }

    fn fsync_threshold_exceeded(&self) -> u64 {
        self.core.counters.fsync_threshold_exceeded.load(Relaxed)
    }

    fn gauges(&self) -> Gauges {
        let tree = self.core.shared.read(crate::state::Machine::gauges);
        let (open_files, max_files) = facts::open_files();
        let quota = |q: crate::state::quota::NamespaceQuota| NamespaceQuota {
            namespace: q.namespace,
            count_limit: q.count_limit,
            bytes_limit: q.bytes_limit,
            count_usage: q.count_usage,
            bytes_usage: q.bytes_usage,
        };
        let peer = self.standing_peer();
        let uptime = self.core.clock.mono().0.saturating_sub(self.core.serving_since.load(Relaxed));
        Gauges {
            uptime,
            watch_count: self.core.shared.watches().counts().total,
            ephemerals_count: tree.ephemerals_count,
            approximate_data_size: tree.approximate_data_size,
            global_sessions: tree.sessions,
            open_files,
            max_files,
            connection_drop_probability: self.core.throttle.as_ref().map_or(0.0, Throttle::drop_probability),
            quotas: tree.quotas.into_iter().map(quota).collect(),
            local_sessions: peer.as_ref().map_or(0, |peer| peer.local_sessions),
            quorum_size: peer.as_ref().map(|peer| peer.voters),
            synced_observers: peer.as_ref().and_then(|peer| self.synced_observers(peer)),
            leader: peer
                .as_ref()
                .filter(|_| self.mode() == Some(Mode::Leader))
                .map(|peer| leader(peer, uptime)),
            ..Gauges::default()
        }
    }

    fn peer(&self) -> Option<PeerInfo> {
        let mode = self.mode();
        self.standing_peer().filter(|_| mode != Some(Mode::ReadOnly)).map(|peer| PeerInfo {
            state: peer.state,
            observer_master: (mode == Some(Mode::Observer))
                .then(|| peer.observer_master.unwrap_or(peer.leader).0),
        })
    }

    fn metrics(&self) -> Metrics {
        self.core.counters.metrics()
    }

    fn is_secure(&self) -> bool {
        false
    }

    fn connections(&self) -> Vec<ConnInfo> {
        self.core.conns.all().iter().map(|conn| self.info(conn)).collect()
    }

    fn sessions(&self) -> SessionDump {
        let decides = self.core.decides();
        if decides {
            // What was heard since the last beat counts already.
            self.core.collect_touches();
        }
        let local = self.core.settings.local_sessions.then(|| {
            let buckets = self.core.brain.lock().replica.local_buckets();
            buckets.into_iter().map(|(at, sessions)| self.bucket(at, sessions)).collect()
        });
        if !decides {
            return SessionDump::Learner { local, global: self.core.shared.read(|m| m.sessions()) };
        }
        let buckets = self.core.brain.lock().replica.expiry_buckets();
        SessionDump::Tracked {
            local,
            global: buckets.into_iter().map(|(at, sessions)| self.bucket(at, sessions)).collect(),
        }
    }

    fn connection_deadlines(&self) -> Option<Vec<Bucket<(String, SessionId)>>> {
        let mut buckets: BTreeMap<Millis, Vec<(String, SessionId)>> = BTreeMap::new();
        for conn in self.core.conns.all() {
            let bucket = buckets.entry(self.core.deadline(&conn)).or_default();
            bucket.push((shown_address(&conn), conn.session()));
        }
        Some(buckets.into_iter().map(|(at, conns)| self.bucket(at, conns)).collect())
    }

    fn ephemerals(&self) -> Vec<(SessionId, Vec<Box<str>>)> {
        self.core.shared.read(crate::state::Machine::ephemerals_by_session)
    }

    fn watch_summary(&self) -> WatchSummary {
        let counts = self.core.shared.watches().counts();
        WatchSummary { connections: counts.data_watchers, paths: counts.data_paths, total: counts.data }
    }

    fn watches_by_session(&self) -> Vec<(SessionId, Vec<Box<str>>)> {
        let watches = self.core.shared.watches().by_watcher();
        let sessions = self.sessions_of(watches.iter().map(|(watcher, _)| *watcher));
        sessions.into_iter().zip(watches).map(|(session, (_, paths))| (session, paths)).collect()
    }

    fn watches_by_path(&self) -> Vec<(Box<str>, Vec<SessionId>)> {
        let watches = self.core.shared.watches().by_path();
        watches.into_iter().map(|(path, ids)| (path, self.sessions_of(ids.into_iter()))).collect()
    }

    fn digests(&self) -> Vec<(Zxid, u64)> {
        let log = self.core.shared.read(crate::state::Machine::gauges).digest_log;
        log.into_iter().map(|(zxid, digest)| (Zxid(zxid), digest)).collect()
    }

    fn dir_sizes(&self) -> DirSizes {
        self.core.log.sizes()
    }

    fn conf(&self) -> ServerConf {
        let conf = self.core.facts.conf();
        let ensemble = conf.ensemble.map(|ensemble| self.membership(ensemble));
        ServerConf { sizes: self.dir_sizes(), ensemble, ..conf }
    }

    fn environment(&self) -> Environment {
        facts::environment()
    }
}

impl Control for Look<'_> {
    fn reset_connections(&self) {
        self.core.conns.all().iter().for_each(|conn| conn.stats.reset());
    }

    fn reset_server(&self) {
        self.core.counters.reset();
        self.core.brain.lock().replica.forget_proposal_sizes();
    }

    fn set_trace_mask(&self, mask: i64) {
        self.core.facts.set_trace_mask(mask);
    }
}
