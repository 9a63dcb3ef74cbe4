//! Servers, the cables between them, and the clock; what happens is told line by line.
//!
//! A message takes a millisecond, so does the disk, and a tree is changed at once. Each connection keeps its order.

use super::server::{Candidate, Disk, Live};
use super::show;
use bytes::Bytes;
use jute::records::data::{Acl, Id};
use jute::records::proto::{CreateRequest, PathRequest, ReconfigRequest};
use jute::{OpCode, Record as _};
use quoll::auth::Identity;
use quoll::config::ensemble::Membership;
use quoll::replica::zab::{Notification, Packet};
use quoll::replica::{
    ClientWrite, Commit, ConfigEffect, Effect, HistoryPlan, Input, LinkInput, Origin, Stage, Stream,
};
use quoll::state::{Body, DecodedTxn, TreeView as _};
use quoll::types::{ConnId, Entry, EpochFile, Flushed, LinkId, Millis, Now, ServerId, SessionId, Zxid};
use quoll::wire::{Request, parse_body};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// So long nothing worth telling happens before a command is over.
const QUIET: i64 = 1000;
/// A gap worth telling.
const GAP: i64 = 20;

enum Happening {
    Vote(i64, i64, Notification),
    Connect(i64, LinkId, i64),
    /// To a server, on its link.
    Packet(i64, LinkId, Packet, Option<Candidate>),
    Link(i64, LinkId, LinkInput),
    /// The disk of this life of a server has done it.
    Flushed(Zxid),
    Saved(EpochFile, quoll::types::Epoch),
    Truncate(Zxid),
    Install(LinkId, Vec<Entry>, Zxid),
    History(LinkId, HistoryPlan),
    NoHistory(LinkId),
    Streamed(LinkId),
    Listening,
    Applied(Zxid, Vec<SessionId>),
    /// With the server and the life it happens to.
    Here(i64, u64, Box<Self>),
}

#[derive(Default)]
pub struct World {
    membership: Option<Arc<Membership>>,
    disks: BTreeMap<i64, Disk>,
    lives: BTreeMap<i64, (u64, Live)>,
    count: u64,
    deaf: BTreeSet<i64>,
    now: i64,
    queue: BTreeMap<(i64, u64), Happening>,
    told: Vec<(String, Vec<i64>, String)>,
    told_at: i64,
    last_votes: BTreeMap<(i64, i64), Notification>,
}

impl World {
    // --- commands --------------------------------------------------------------------------------------------------

    pub fn ensemble(&mut self, voters: i64, observers: i64) {
        let line = |id: i64| {
            let role = if id <= voters { "participant" } else { "observer" };
            format!("server.{id}=host{id}:2888:3888:{role};2181\n")
        };
        let text: String = (1..=voters + observers).map(line).collect();
        let text = format!("{text}version=0");
        self.membership = Some(Arc::new(Membership::from_text(text.as_bytes(), false).unwrap()));
    }

    pub fn start(&mut self, id: i64) {
        let membership = self.membership.clone().expect("an ensemble first");
        let disk = self.disks.entry(id).or_insert_with(|| Disk::empty(membership));
        self.count += 1;
        let live = Live::start(id, disk, Now { mono: Millis(self.now), wall: 1_700_000_000_000 + self.now });
        assert!(self.lives.insert(id, (self.count, live)).is_none(), "server {id} runs");
        // A new connection begins with what was said last on the one before, be it old.
        let again = self.last_votes.iter().filter(|((_, to), _)| *to == id);
        for (from, n) in again.map(|((from, _), n)| (*from, n.clone())).collect::<Vec<_>>() {
            self.tell(from, Some(id), format!("{} (again)", show::vote(&n)));
            self.later(1, Happening::Vote(from, id, n));
        }
    }

    pub fn kill(&mut self, id: i64) {
        let (_, live) = self.lives.remove(&id).unwrap_or_else(|| panic!("server {id} does not run"));
        for (peer, link) in live.links.into_values() {
            self.later(1, Happening::Link(peer, link, LinkInput::Lost));
        }
        self.last_votes.retain(|(from, _), _| *from != id);
    }

    pub fn wipe(&mut self, id: i64) {
        assert!(!self.lives.contains_key(&id), "server {id} runs");
        self.disks.remove(&id);
    }

    pub fn deaf(&mut self, id: i64, deaf: bool) {
        if deaf {
            self.deaf.insert(id)
        } else {
            self.deaf.remove(&id)
        };
    }

    pub fn without_log(&mut self, id: i64) {
        self.disks.get_mut(&id).unwrap().snapshots_only = true;
    }

    pub fn create(&mut self, id: i64, path: &str) {
        let acl = Acl { perms: 31, id: Id { scheme: Some("world".into()), id: Some("anyone".into()) } };
        let mut body = Vec::new();
        CreateRequest { path: Some(path.into()), data: Some(b"x"), acl: Some(vec![acl]), flags: 0 }
            .write(&mut body);
        self.ask(id, OpCode::Create, body, format!("create {path}"));
    }

    pub fn sync(&mut self, id: i64) {
        let mut body = Vec::new();
        PathRequest { path: Some("/".into()) }.write(&mut body);
        self.ask(id, OpCode::Sync, body, "sync".to_owned());
    }

    pub fn close(&mut self, id: i64) {
        self.ask(id, OpCode::CloseSession, Vec::new(), "close".to_owned());
    }

    /// `+4` and `+4:observer` join, `-4` leaves.
    pub fn reconfig(&mut self, id: i64, changes: &[&str]) {
        let entry = |spec: &str| {
            let (id, role) = spec.split_once(':').unwrap_or((spec, "participant"));
            format!("server.{id}=host{id}:2888:3888:{role};2181")
        };
        let joining: Vec<String> = changes.iter().filter_map(|c| c.strip_prefix('+')).map(entry).collect();
        let leaving: Vec<&str> = changes.iter().filter_map(|c| c.strip_prefix('-')).collect();
        let list = |l: String| (!l.is_empty()).then_some(l);
        let (joining, leaving) = (list(joining.join(",")), list(leaving.join(",")));
        let mut body = Vec::new();
        ReconfigRequest {
            joining_servers: joining.as_deref().map(Into::into),
            leaving_servers: leaving.as_deref().map(Into::into),
            new_members: None,
            cur_config_id: -1,
        }
        .write(&mut body);
        self.ask(id, OpCode::Reconfig, body, format!("reconfig {}", changes.join(" ")));
    }

    pub fn show(&mut self) {
        let ids: Vec<i64> = self.disks.keys().copied().collect();
        for id in ids {
            let disk = &self.disks[&id];
            let (log, current, accepted) = (show::zxid(disk.last()), disk.current.0, disk.accepted.0);
            let config = show::zxid(Zxid(disk.committed.version));
            let (state, tree) = match self.lives.get(&id) {
                None => ("is down".to_owned(), String::new()),
                Some((_, live)) => {
                    let tree = format!(", tree {}", show::zxid(live.last_applied()));
                    (show::stage(live.stage).to_owned(), tree)
                }
            };
            let line =
                format!("{state}: log {log}{tree}, accepted {accepted}, current {current}, config {config}");
            self.tell(id, None, line);
        }
    }

    /// Until it is quiet.
    pub fn run(&mut self) {
        self.told_at = self.now;
        while self.now < self.told_at + QUIET {
            self.pass(1);
        }
    }

    pub fn pass(&mut self, ms: i64) {
        let end = self.now + ms;
        while self.now < end {
            self.happen();
            self.now += 1;
        }
        self.happen();
    }

    /// What was told since the last time; the same from one server to several is one line.
    pub fn take_told(&mut self) -> Vec<String> {
        let told = std::mem::take(&mut self.told);
        told.into_iter()
            .map(|(from, to, what)| {
                let to: Vec<String> = to.iter().map(i64::to_string).collect();
                if to.is_empty() {
                    format!("{from}{what}")
                } else {
                    format!("{from}→{} {what}", to.join(","))
                }
            })
            .collect()
    }

    // --- telling ---------------------------------------------------------------------------------------------------

    fn tell(&mut self, from: i64, to: Option<i64>, what: String) {
        if self.now - self.told_at >= GAP && !self.told.is_empty() {
            let gap = format!("({} ms later)", self.now - self.told_at);
            self.told.push((gap, Vec::new(), String::new()));
        }
        self.told_at = self.now;
        let from = from.to_string();
        let Some(to) = to else { return self.told.push((from, Vec::new(), format!(" {what}"))) };
        if let Some((f, tos, w)) = self.told.last_mut()
            && *f == from
            && *w == what
            && !tos.is_empty()
        {
            return tos.push(to);
        }
        self.told.push((from, vec![to], what));
    }

    // --- the clock -------------------------------------------------------------------------------------------------

    fn later(&mut self, ms: i64, what: Happening) {
        self.count += 1;
        self.queue.insert((self.now + ms, self.count), what);
    }

    fn here(&mut self, ms: i64, id: i64, what: Happening) {
        let Some((life, _)) = self.lives.get(&id) else { return };
        let life = *life;
        self.later(ms, Happening::Here(id, life, Box::new(what)));
    }

    fn happen(&mut self) {
        loop {
            let due = |l: &(u64, Live)| l.1.replica.deadline().is_some_and(|d| d.0 <= self.now);
            let ids: Vec<i64> = self.lives.iter().filter(|(_, l)| due(l)).map(|(id, _)| *id).collect();
            for id in ids {
                self.step(id, Input::Tick);
                let next = self.lives.get(&id).and_then(|(_, l)| l.replica.deadline());
                assert!(next.is_none_or(|d| d.0 > self.now), "server {id} wants the same moment twice");
            }
            match self.queue.first_entry() {
                Some(first) if first.key().0 <= self.now => {
                    let what = first.remove();
                    self.occur(what);
                }
                _ => return,
            }
        }
    }

    fn cut(&self, a: i64, b: i64) -> bool {
        self.deaf.contains(&a) || self.deaf.contains(&b)
    }

    fn occur(&mut self, what: Happening) {
        match what {
            Happening::Vote(from, to, n) => self.step(to, Input::Vote(ServerId(from), n)),
            Happening::Connect(from, link, to) => self.connect(from, link, to),
            Happening::Packet(to, link, packet, candidate) => {
                let Some((_, live)) = self.lives.get_mut(&to) else { return };
                if live.links.contains_key(&link) {
                    live.candidates.extend(candidate.map(|c| (link, c)));
                    self.step(to, Input::Link(link, LinkInput::Packet(packet)));
                }
            }
            Happening::Link(to, link, input) => {
                let Some((_, live)) = self.lives.get_mut(&to) else { return };
                if matches!(input, LinkInput::Lost) && live.links.remove(&link).is_none() {
                    return;
                }
                self.step(to, Input::Link(link, input));
            }
            Happening::Here(id, life, what) => {
                if self.lives.get(&id).is_some_and(|(l, _)| *l == life) {
                    self.disk(id, *what);
                }
            }
            _ => unreachable!("it happens to a life"),
        }
    }

    fn disk(&mut self, id: i64, what: Happening) {
        match what {
            Happening::Flushed(zxid) => self.step(id, Input::Flushed(Flushed::mint(zxid))),
            Happening::Saved(file, epoch) => self.step(id, Input::EpochSaved(file, epoch)),
            Happening::Truncate(zxid) => {
                let log = &mut self.disks.get_mut(&id).unwrap().log;
                log.retain(|e| e.zxid <= zxid);
                let (tree, last) = (Disk::tree(log), log.last().map_or(Zxid::ZERO, |e| e.zxid));
                self.lives.get_mut(&id).unwrap().1.machine = tree;
                self.step(id, Input::Truncated(last));
            }
            Happening::Install(link, log, last) => {
                self.lives.get_mut(&id).unwrap().1.machine = Disk::tree(&log);
                self.disks.get_mut(&id).unwrap().log = log;
                self.step(id, Input::Installed(link, last));
            }
            Happening::History(link, plan) => self.step(id, Input::History(link, Some(plan))),
            Happening::NoHistory(link) => self.step(id, Input::History(link, None)),
            Happening::Streamed(link) => self.step(id, Input::Link(link, LinkInput::Streamed)),
            Happening::Listening => self.step(id, Input::Listening(true)),
            Happening::Applied(zxid, gone) => self.step(id, Input::Applied(zxid, &gone)),
            _ => unreachable!("it happens between servers"),
        }
    }

    fn connect(&mut self, from: i64, link: LinkId, to: i64) {
        let listens = |l: &(u64, Live)| matches!(l.1.stage, Stage::Leading { .. });
        if self.cut(from, to) || !self.lives.get(&to).is_some_and(listens) {
            return self.later(1, Happening::Link(from, link, LinkInput::Lost));
        }
        let Some((_, live)) = self.lives.get_mut(&to) else { return };
        live.next_link += 1;
        let there = LinkId(live.next_link);
        live.links.insert(there, (from, link));
        if let Some((_, live)) = self.lives.get_mut(&from) {
            live.links.insert(link, (to, there));
        }
        self.step(to, Input::Link(there, LinkInput::Accepted));
        self.later(1, Happening::Link(from, link, LinkInput::Connected));
    }

    // --- performing ------------------------------------------------------------------------------------------------

    fn step(&mut self, id: i64, input: Input<'_>) {
        let now = Now { mono: Millis(self.now), wall: 1_700_000_000_000 + self.now };
        let Some((_, live)) = self.lives.get_mut(&id) else { return };
        let Live { replica, machine, effects, .. } = live;
        replica.step(now, input, machine, effects);
        for effect in std::mem::take(effects) {
            self.effect(id, effect);
        }
    }

    fn effect(&mut self, id: i64, effect: Effect) {
        let disk = self.disks.get_mut(&id).unwrap();
        let live = &mut self.lives.get_mut(&id).unwrap().1;
        match effect {
            Effect::Append(entry) => {
                let zxid = entry.zxid;
                disk.log.push(entry);
                self.here(1, id, Happening::Flushed(zxid));
            }
            Effect::SaveEpoch(file, epoch) => {
                match file {
                    EpochFile::Accepted => disk.accepted = epoch,
                    EpochFile::Current => disk.current = epoch,
                }
                self.here(1, id, Happening::Saved(file, epoch));
            }
            Effect::Truncate(zxid) => self.here(1, id, Happening::Truncate(zxid)),
            Effect::Commit(commit) => self.apply(id, commit),
            Effect::FastForward(entries) => {
                for entry in &entries {
                    live.machine.replay(&entry.payload).unwrap();
                }
                if let Some(last) = entries.last() {
                    self.here(0, id, Happening::Applied(last.zxid, Vec::new()));
                }
            }
            Effect::Prepare(link, entry) => live.candidates.get_mut(&link).unwrap().0.push(entry),
            Effect::Install(link, last) => {
                let log = live.candidates.remove(&link).unwrap().0;
                self.here(1, id, Happening::Install(link, log, last));
            }
            Effect::Synced(origin) => self.answered(id, origin.xid, "done"),
            Effect::Refuse(origin, code) => self.answered(id, origin.xid, &format!("{code:?}")),
            Effect::Notify(to, n) => self.notify(id, to.0, n),
            Effect::Connect { link, to, .. } => {
                live.links.insert(link, (to.0, LinkId(0)));
                self.later(1, Happening::Connect(id, link, to.0));
            }
            Effect::Send(link, packet) => self.send(id, link, packet),
            Effect::Stream(link, stream) => self.stream(id, link, stream),
            Effect::AskHistory(link, zxid) => self.history(id, link, zxid),
            Effect::Close(link) => {
                if let Some((peer, there)) = live.links.remove(&link) {
                    self.later(1, Happening::Link(peer, there, LinkInput::Lost));
                }
            }
            Effect::Become(stage) => self.become_stage(id, stage),
            Effect::Config(ConfigEffect::Propose(membership)) => disk.proposed = Some(membership),
            Effect::Config(ConfigEffect::Commit(membership)) => {
                let line = format!("is in config {}", show::zxid(Zxid(membership.version)));
                (disk.committed, disk.proposed) = (membership, None);
                self.tell(id, None, line);
            }
            Effect::ShowConfig(m) => live.machine.set_config(m.text().as_bytes(), m.version, 0),
            Effect::Resumed { .. }
            | Effect::OpenedLocal { .. }
            | Effect::ClosedLocal { .. }
            | Effect::OverQuota(_)
            | Effect::Closing(..)
            | Effect::Deserted(_)
            | Effect::Patience(..)
            | Effect::Say(..) => {}
        }
    }

    fn notify(&mut self, from: i64, to: i64, n: Notification) {
        assert_ne!(from, to, "nobody votes by mail to itself");
        if self.last_votes.insert((from, to), n.clone()).as_ref() != Some(&n) && self.lives.contains_key(&to)
        {
            self.tell(from, Some(to), show::vote(&n));
        }
        if !self.cut(from, to) && self.lives.contains_key(&to) {
            self.later(1, Happening::Vote(from, to, n));
        }
    }

    fn send(&mut self, from: i64, link: LinkId, packet: Packet) {
        let live = &mut self.lives.get_mut(&from).unwrap().1;
        let Some((to, there)) = live.links.get(&link).copied() else { return };
        if let Some(line) = show::packet(&packet) {
            self.tell(from, Some(to), line);
        }
        if let Packet::Snap(zxid) = packet {
            self.lives.get_mut(&from).unwrap().1.snaps.insert(link, zxid);
        } else if !self.cut(from, to) {
            self.later(1, Happening::Packet(to, there, packet, None));
        }
    }

    fn stream(&mut self, from: i64, link: LinkId, stream: Stream) {
        let (live, disk) = (&mut self.lives.get_mut(&from).unwrap().1, &self.disks[&from]);
        let Some((to, there)) = live.links.get(&link).copied() else { return };
        match stream {
            Stream::Snapshot => {
                let (zxid, last) = (live.snaps.remove(&link).unwrap(), live.last_applied());
                let log = disk.log.iter().filter(|e| e.zxid <= last).cloned().collect();
                self.tell(from, Some(to), format!("(tree at {})", show::zxid(last)));
                if !self.cut(from, to) {
                    let packet = Packet::Snap(zxid);
                    self.later(1, Happening::Packet(to, there, packet, Some(Candidate(log))));
                }
                self.here(1, from, Happening::Streamed(link));
            }
            Stream::History { after, until } => {
                let wanted = disk.log.iter().filter(|e| e.zxid > after && e.zxid <= until);
                for entry in wanted.cloned().collect::<Vec<_>>() {
                    let zxid = entry.zxid;
                    self.send(from, link, Packet::Proposal(entry));
                    self.send(from, link, Packet::Commit(zxid));
                }
            }
        }
    }

    fn history(&mut self, id: i64, link: LinkId, zxid: Zxid) {
        let disk = &self.disks[&id];
        let at = disk.log.iter().rev().map(|e| e.zxid).find(|z| *z <= zxid);
        let plan = at.filter(|_| !disk.snapshots_only).map(|at| HistoryPlan { at, until: disk.last() });
        let answer = plan.map_or(Happening::NoHistory(link), |plan| Happening::History(link, plan));
        self.here(1, id, answer);
    }

    fn become_stage(&mut self, id: i64, stage: Stage) {
        let live = &mut self.lives.get_mut(&id).unwrap().1;
        let was = std::mem::replace(&mut live.stage, stage);
        if stage == Stage::Looking {
            live.candidates.clear();
            live.snaps.clear();
            let links = std::mem::take(&mut live.links);
            let lost: Vec<String> = std::mem::take(&mut live.client).asked.into_values().collect();
            for (peer, there) in links.into_values() {
                self.later(1, Happening::Link(peer, there, LinkInput::Lost));
            }
            for what in lost {
                self.tell(id, None, format!("client: {what}: connection lost"));
            }
        }
        if was != stage {
            self.tell(id, None, show::stage(stage).to_owned());
        }
        if stage == (Stage::Leading { serving: false }) {
            self.here(0, id, Happening::Listening);
        }
    }

    fn apply(&mut self, id: i64, commit: Commit) {
        let Commit { entry, origin } = commit;
        let entry = entry.get();
        let live = &mut self.lives.get_mut(&id).unwrap().1;
        let before: BTreeSet<SessionId> = live.machine.sessions().into_iter().map(|(s, _)| s).collect();
        let header = live.machine.replay(&entry.payload).unwrap();
        let after: BTreeSet<SessionId> = live.machine.sessions().into_iter().map(|(s, _)| s).collect();
        let gone = before.difference(&after).copied().collect();
        self.here(0, id, Happening::Applied(entry.zxid, gone));
        let Some(origin) = origin else { return };
        let opened = after.difference(&before).next().is_some();
        let failed = match DecodedTxn::parse(&entry.payload).unwrap().body {
            Body::Error(code) => Some(format!("{code:?}")),
            _ => None,
        };
        if opened {
            let client = &mut self.lives.get_mut(&id).unwrap().1.client;
            client.session = Some(SessionId(header.client_id));
            while let Some((op, body, what)) = self.want(id) {
                self.request(id, op, &body, what);
            }
            return;
        }
        let outcome = failed.unwrap_or_else(|| format!("done at {}", show::zxid(entry.zxid)));
        self.answered(id, origin.xid, &outcome);
    }

    // --- clients ---------------------------------------------------------------------------------------------------

    fn want(&mut self, id: i64) -> Option<(i32, Bytes, String)> {
        self.lives.get_mut(&id)?.1.client.wants.pop_front()
    }

    fn ask(&mut self, id: i64, op: OpCode, body: Vec<u8>, what: String) {
        let live = &mut self.lives.get_mut(&id).unwrap_or_else(|| panic!("server {id} does not run")).1;
        if !live.serving() {
            return self.tell(id, None, format!("client: {what}: not served"));
        }
        if live.client.session.is_some() {
            return self.request(id, op.code(), &body.into(), what);
        }
        let first = live.client.wants.is_empty();
        live.client.wants.push_back((op.code(), body.into(), what));
        if first {
            self.step(id, Input::OpenSession { conn: ConnId(1), timeout: Millis(60_000) });
        }
    }

    fn request(&mut self, id: i64, op: i32, body: &Bytes, what: String) {
        let client = &mut self.lives.get_mut(&id).unwrap().1.client;
        client.xid += 1;
        client.asked.insert(client.xid, what);
        let origin = Origin { conn: ConnId(1), xid: client.xid };
        let session = client.session.unwrap();
        let ids = [Identity::new("super", ""), Identity::new("ip", "127.0.0.1")];
        match parse_body(op, body).unwrap() {
            Request::Write(request) => {
                self.step(id, Input::Write(ClientWrite { origin, session, ids: &ids, op, body, request }));
            }
            Request::Sync(_) => self.step(id, Input::Sync { origin, session, ids: &ids, body }),
            Request::CloseSession => {
                self.step(id, Input::CloseSession { origin, session });
                if let Some((_, live)) = self.lives.get_mut(&id) {
                    live.client.session = None;
                }
            }
            other => panic!("{other:?}"),
        }
    }

    fn answered(&mut self, id: i64, xid: i32, outcome: &str) {
        let client = &mut self.lives.get_mut(&id).unwrap().1.client;
        if let Some(what) = client.asked.remove(&xid) {
            self.tell(id, None, format!("client: {what}: {outcome}"));
        }
    }
}
