//! Frames of several clients through the whole brain: parsed, validated, ordered, applied, answered; then a snapshot of
//! what came of it, loaded again.
//!
//! The input is a list of moves: a byte that says whose and how, two bytes of length, a frame without its prefix.
//! The disk answers when a move says so, so validation runs ahead of the tree.

use super::disk::settings;
use quoll::auth::{AuthSettings, Identity, Rules};
use quoll::net::client::answer;
use quoll::replica::{ClientWrite, Effect, Effects, Input, Origin, Replica, ReplicaSettings};
use quoll::state::walk::Progress;
use quoll::state::{Caller, Fired, Loader, Machine, SnapshotWalk, TreeView as _, WatcherId, Watches};
use quoll::types::{ConnId, Flushed, Millis, Now, SessionId, Zxid};
use quoll::wire::{Request, parse, reply};
use std::collections::VecDeque;

const CLIENTS: usize = 3;

struct Server {
    replica: Replica,
    machine: Machine,
    watches: Watches,
    rules: Rules,
    effects: Effects,
    /// Entries that the disk has not reported yet.
    unflushed: VecDeque<Zxid>,
    now: Now,
    sessions: Vec<SessionId>,
    ids: Vec<Vec<Identity>>,
    out: Vec<u8>,
}

impl Server {
    fn new() -> Self {
        let rules = Rules::new(AuthSettings::default());
        let now = Now { mono: Millis(1_000), wall: 1_700_000_000_000 };
        let machine = Machine::new(settings());
        let replica_settings = ReplicaSettings {
            extended_types: true,
            enforce_quota: true,
            reconfig_enabled: true,
            ..ReplicaSettings::default()
        };
        let replica = Replica::solo(&replica_settings, &rules, now, &machine);
        let ids = (0..CLIENTS).map(|_| vec![Identity::new("ip", "127.0.0.1")]).collect();
        let mut server = Self {
            replica,
            machine,
            watches: Watches::new(7),
            rules,
            effects: Vec::new(),
            unflushed: VecDeque::new(),
            now,
            sessions: Vec::new(),
            ids,
            out: Vec::new(),
        };
        for client in 0..CLIENTS {
            server.input(Input::OpenSession { conn: ConnId(client as u64), timeout: Millis(10_000) });
        }
        server.flush(usize::MAX);
        let mut sessions = server.machine.sessions();
        sessions.sort();
        server.sessions = sessions.into_iter().map(|(session, _)| session).collect();
        assert_eq!(server.sessions.len(), CLIENTS);
        server
    }

    fn input(&mut self, input: Input<'_>) {
        self.replica.step(self.now, input, &self.machine, &mut self.effects);
        self.perform();
    }

    fn perform(&mut self) {
        while !self.effects.is_empty() {
            for effect in std::mem::take(&mut self.effects) {
                match effect {
                    Effect::Append(entry) => {
                        assert!(self.unflushed.back().is_none_or(|last| *last < entry.zxid), "zxids go up");
                        self.unflushed.push_back(entry.zxid);
                    }
                    Effect::Commit(commit) => {
                        let zxid = commit.entry.get().zxid;
                        let mut told = |fired: &Fired<'_>| {
                            reply::event(&mut Vec::new(), fired.zxid, fired.kind, fired.path);
                        };
                        let applied = self
                            .machine
                            .apply(&commit.entry, &self.watches, &mut told)
                            .unwrap_or_else(|e| panic!("{zxid}: validated, and then {e}"));
                        assert!(applied.digest_agrees, "{zxid}: validation foresaw another tree");
                        let gone: Vec<SessionId> = applied.closed_session.into_iter().collect();
                        reply::outcome(&mut self.out, applied.cxid, applied.zxid, &applied.outcome);
                        self.replica.step(
                            self.now,
                            Input::Applied(zxid, &gone),
                            &self.machine,
                            &mut self.effects,
                        );
                    }
                    Effect::Resumed { .. }
                    | Effect::Synced(_)
                    | Effect::Refuse(..)
                    | Effect::Closing(..)
                    | Effect::OverQuota(_) => {}
                    other => panic!("{other:?} of a server by itself"),
                }
            }
        }
    }

    /// The disk reports up to so many entries.
    fn flush(&mut self, entries: usize) {
        let n = entries.min(self.unflushed.len());
        let last = self.unflushed.drain(..n).next_back();
        if let Some(last) = last {
            self.input(Input::Flushed(Flushed::mint(last)));
        }
    }

    fn frame(&mut self, client: usize, frame: &[u8]) {
        let Ok(envelope) = parse(frame) else { return };
        let (conn, session) = (ConnId(client as u64), self.sessions[client]);
        let origin = Origin { conn, xid: envelope.xid };
        match envelope.request {
            Ok(Request::Write(request)) => {
                let ids = self.ids[client].clone();
                self.input(Input::Write(ClientWrite {
                    origin,
                    session,
                    ids: &ids,
                    op: envelope.op,
                    body: &[],
                    request,
                }));
            }
            Ok(Request::Sync(_)) => self.input(Input::Sync { origin, session, ids: &[], body: &[] }),
            Ok(Request::CloseSession) => self.input(Input::CloseSession { origin, session }),
            Ok(Request::Auth(packet)) => {
                let scheme = packet.scheme.as_deref().unwrap_or_default();
                if let Some(ids) = self.rules.add_auth(scheme, packet.auth, "127.0.0.1")
                    && self.ids[client].len() < 20
                {
                    self.ids[client].extend(ids);
                }
            }
            _ => {
                let caller = Caller {
                    session,
                    ids: &self.ids[client],
                    watcher: WatcherId(client as u32),
                    rules: &self.rules,
                };
                answer(&self.machine, &self.watches, &caller, &envelope, &mut self.out);
            }
        }
    }

    /// The tree, written and loaded, is the tree.
    fn snapshot(&self) {
        let mut walk = SnapshotWalk::new(&self.machine);
        let mut loader = Loader::new(settings());
        for (session, timeout) in self.machine.sessions() {
            loader.session(session, timeout);
        }
        for (number, list) in self.machine.acl_lists() {
            let records: Vec<_> = list.iter().map(|entry| entry.record()).collect();
            loader.acl(number, &records);
        }
        loop {
            let progress = walk.next_slice(&self.machine, 50, &mut |path, data, acl, stat| {
                loader.node(path, data, acl, stat).expect("parents come first, and nobody twice");
            });
            match progress {
                Progress::More => {}
                Progress::Done => break,
                Progress::Lost => panic!("nobody replaced the tree"),
            }
        }
        let loaded = loader.finish(self.machine.last_zxid().0);
        assert_eq!(loaded.digest(), self.machine.digest());
        assert_eq!(loaded.node_count(), self.machine.node_count());
        assert_eq!(loaded.gauges().approximate_data_size, self.machine.gauges().approximate_data_size);
        assert_eq!(loaded.gauges().ephemerals_count, self.machine.gauges().ephemerals_count);
    }
}

pub(super) fn frames(mut input: &[u8]) {
    let mut server = Server::new();
    while let Some((&[how, high, low], rest)) = input.split_first_chunk::<3>() {
        let length = usize::from(u16::from_be_bytes([high, low])).min(rest.len());
        let (frame, rest) = rest.split_at(length);
        input = rest;
        server.now.wall += i64::from(how >> 5);
        server.now.mono.0 += i64::from(how >> 5) * 100;
        server.frame(usize::from(how) % CLIENTS, frame);
        match how & 0x0c {
            0 => server.flush(usize::MAX),
            4 => server.flush(1),
            8 => server.input(Input::Tick),
            _ => {}
        }
        // A reader that never reads costs what its outbox may hold; here it has none.
        server.out.clear();
    }
    server.flush(usize::MAX);
    assert_eq!(server.replica.status().in_flight, 0, "everything that was proposed was committed");
    assert_eq!(server.replica.status().pending, 0, "nothing lies over the tree any more");
    server.snapshot();
}
