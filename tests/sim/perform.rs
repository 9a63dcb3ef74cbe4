//! What a replica wants of others, done: links, packets, streams, votes, and what the server becomes.
//!
//! Effects are performed in the order they were emitted; what comes of them comes back as inputs, later.

use super::disk::{Image, Job};
use super::net::{End, Message};
use super::plan::Kind;
use super::server::{Live, Ordered, Walking};
use super::world::{Happening, World};
use jute::records::data::{Acl, Id};
use quoll::auth::AclEntry;
use quoll::replica::zab::{Notification, Packet};
use quoll::replica::{ConfigEffect, Effect, Input, LinkInput, Stage, Stream};
use quoll::state::{Machine, SnapshotWalk, TreeView as _, walk};
use quoll::types::{LinkId, ServerId, Zxid};
use std::borrow::Cow;

/// Nodes of a tree that travel in one slice.
const SLICE: u32 = 6;

pub fn begin_walk(machine: &Machine) -> Walking {
    let own = |s: &str| Some(Cow::Owned(s.to_owned()));
    let record = |e: &AclEntry| Acl { perms: e.perms, id: Id { scheme: own(&e.scheme), id: own(&e.id) } };
    let image = Image {
        sessions: machine.sessions().into_iter().map(|(s, t)| (s, t.0 as i32)).collect(),
        acls: machine
            .acl_lists()
            .into_iter()
            .map(|(id, list)| (id, list.iter().map(record).collect()))
            .collect(),
        ..Image::default()
    };
    Walking { walk: SnapshotWalk::new(machine), zxid: machine.last_zxid(), image }
}

/// One slice; false when it was the last, `None` when the tree is another one by now.
pub fn slice(walking: &mut Walking, machine: &Machine, slots: u32) -> Option<bool> {
    let nodes = &mut walking.image.nodes;
    let progress = walking.walk.next_slice(machine, slots, &mut |path, data, acl, stat| {
        nodes.push((path.to_owned(), data.map(<[u8]>::to_vec), acl, stat.clone()));
    });
    match progress {
        walk::Progress::More => return Some(true),
        walk::Progress::Lost => return None,
        walk::Progress::Done => {}
    }
    walking.image.digest = machine.recorded_digest().map(|(zxid, sum)| (Zxid(zxid), sum.cast_signed()));
    walking.image.last = Some(machine.last_zxid());
    Some(false)
}

impl World {
    // --- links -----------------------------------------------------------------------------------------------------

    /// Somebody connects to the port of leaders.
    pub fn accept_peer(&mut self, n: usize, pipe: u32) -> bool {
        let life = self.servers[n].life;
        let Some(live) = &mut self.servers[n].live else { return false };
        if !matches!(live.stage, Stage::Leading { .. }) {
            return false;
        }
        live.next_link += 1;
        let link = LinkId(live.next_link);
        live.links.insert(link, (pipe, 1));
        let entry = &mut self.pipes[pipe as usize];
        entry.ends[1] = End::Peer(n, life, link);
        entry.open[1] = true;
        entry.heard[1] = self.now;
        self.step(n, Input::Link(link, LinkInput::Accepted));
        true
    }

    pub fn link_input(&mut self, n: usize, life: u64, link: LinkId, input: LinkInput) {
        let Some(live) = self.live(n, life) else { return };
        if live.links.contains_key(&link) {
            self.step(n, Input::Link(link, input));
        }
    }

    pub fn link_lost(&mut self, n: usize, life: u64, link: LinkId) {
        let Some(live) = self.live(n, life) else { return };
        live.candidates.remove(&link);
        live.walks.remove(&Some(link));
        if live.links.remove(&link).is_some() {
            self.step(n, Input::Link(link, LinkInput::Lost));
        }
    }

    pub fn from_peer(&mut self, n: usize, life: u64, link: LinkId, message: Message) {
        match message {
            Message::Packet(packet) => {
                if let Packet::Ping(_) = packet {
                    self.touch(n);
                }
                self.tell(|| format!("server {} gets {packet:?} on {link:?}", n + 1));
                self.link_input(n, life, link, LinkInput::Packet(packet));
            }
            Message::Snapshot(zxid, image) => {
                self.tell(|| format!("server {} gets SNAP {zxid} on {link:?}", n + 1));
                let candidate = image.load(zxid);
                let reach = image.last.max(image.digest.map(|(z, _)| z)).unwrap_or_default();
                if let Some(live) = self.live(n, life) {
                    live.reaches.insert(link, reach);
                    live.candidates.insert(link, candidate);
                }
                self.link_input(n, life, link, LinkInput::Packet(Packet::Snap(zxid)));
            }
            Message::Bytes(_) | Message::Open | Message::Fin => {}
        }
    }

    // --- effects ---------------------------------------------------------------------------------------------------

    pub fn perform(&mut self, n: usize) {
        loop {
            let Some(live) = &mut self.servers[n].live else { return };
            if live.effects.is_empty() {
                break;
            }
            let mut effects = std::mem::take(&mut live.effects);
            for effect in effects.drain(..) {
                self.effect(n, effect);
                if self.servers[n].live.is_none() {
                    return;
                }
            }
            if let Some(live) = &mut self.servers[n].live
                && live.effects.is_empty()
            {
                live.effects = effects;
            }
        }
        self.begin_disk(n);
    }

    pub fn effect(&mut self, n: usize, effect: Effect) {
        let life = self.servers[n].life;
        let Some(live) = &mut self.servers[n].live else { return };
        match effect {
            Effect::Append(entry) => self.append(n, entry),
            Effect::SaveEpoch(file, epoch) => self.save_epoch(n, file, epoch),
            Effect::Truncate(zxid) => self.truncate(n, zxid),
            Effect::Commit(commit) => {
                let serving = live.serving();
                if serving {
                    let entry = commit.entry.get();
                    if let Err(why) = self.truth.committed(n, entry) {
                        return self.fail(|| format!("A: {why}"));
                    }
                }
                if let Some(live) = &mut self.servers[n].live {
                    live.ordered.push_back(Ordered::Commit(commit));
                }
            }
            Effect::FastForward(entries) => live.ordered.push_back(Ordered::FastForward(entries)),
            Effect::Synced(origin) => live.ordered.push_back(Ordered::Synced(origin)),
            Effect::Refuse(origin, code) => live.ordered.push_back(Ordered::Refused(origin, code)),
            Effect::ShowConfig(membership) => live.ordered.push_back(Ordered::Show(membership)),
            Effect::Prepare(link, entry) => {
                if let Some(candidate) = live.candidates.get_mut(&link)
                    && let Err(error) = candidate.replay(&entry.payload)
                {
                    self.fail(|| format!("server {} cannot prepare {}: {error}", n + 1, entry.zxid));
                }
            }
            Effect::Install(link, last) => self.install(n, link, last),
            Effect::Resumed { conn, session, timeout } => self.resumed(n, conn, session, timeout),
            Effect::OpenedLocal { conn, session, timeout } => self.resumed(n, conn, session, Some(timeout)),
            Effect::Notify(to, vote) => self.notify(n, to, vote),
            Effect::Connect { link, to, .. } => {
                let to = to.0 as usize - 1;
                let pipe = self.connect(End::Peer(n, life, link), to);
                if let Some(live) = &mut self.servers[n].live {
                    live.links.insert(link, (pipe, 0));
                }
            }
            Effect::Send(link, packet) => self.send_packet(n, link, packet),
            Effect::Stream(link, stream) => self.stream(n, link, stream),
            Effect::AskHistory(link, zxid) => {
                let plan = if self.plan.log_sync { self.plan_history(n, zxid) } else { None };
                let delay = self.rng.below(5_000);
                self.after(delay, Happening::History(n, life, link, plan));
            }
            Effect::Patience(link, span) => {
                if let Some((pipe, side)) = live.links.get(&link).copied() {
                    let us = span.0.max(1) as u64 * 1000;
                    let us =
                        (i128::from(us) * 1_000_000 / i128::from(1_000_000 + self.servers[n].ppm)) as u64;
                    let entry = &mut self.pipes[pipe as usize];
                    let first = entry.patience[side].replace(us).is_none();
                    entry.heard[side] = self.now;
                    if first {
                        self.after(us, Happening::Silence(pipe, side));
                    }
                }
            }
            Effect::Close(link) => {
                live.candidates.remove(&link);
                live.walks.remove(&Some(link));
                if let Some((pipe, side)) = live.links.remove(&link) {
                    self.close(pipe, side);
                }
            }
            Effect::Become(stage) => self.become_stage(n, stage),
            Effect::Config(ConfigEffect::Commit(membership)) => self.servers[n].config = membership,
            Effect::Config(ConfigEffect::Propose(_))
            | Effect::ClosedLocal { .. }
            | Effect::OverQuota(_)
            | Effect::Closing(..)
            | Effect::Deserted(_) => {}
            Effect::Say(level, text) => self.tell(|| format!("server {} says {level:?}: {text}", n + 1)),
        }
    }

    pub fn notify(&mut self, n: usize, to: ServerId, vote: Notification) {
        let to = to.0 as usize - 1;
        if to >= self.servers.len() {
            return;
        }
        let server = &self.servers[n];
        let Some(live) = &server.live else { return };
        let own = vote.vote.leader == server.id && vote.state == quoll::replica::zab::PeerState::Looking;
        if own && self.invariants && !server.forgot && vote.vote.zxid > live.durable {
            let (zxid, durable) = (vote.vote.zxid, live.durable);
            return self
                .fail(|| format!("server {} votes with {zxid} while only {durable} is durable", n + 1));
        }
        self.tell(|| {
            format!(
                "server {} votes {:?} {:?} round {} to {}",
                n + 1,
                vote.state,
                vote.vote,
                vote.round,
                to + 1
            )
        });
        self.send_vote(n, to, Box::new(vote));
    }

    /// Votes to one server wait in a queue of one, the newest pushing out the one before it.
    pub fn send_vote(&mut self, n: usize, to: usize, vote: Box<Notification>) {
        if self.votes_sent.get(&(n, to)).is_some_and(|sent| *sent > 0) {
            self.held_votes.insert((n, to), vote);
            return;
        }
        let delay = self.delay();
        *self.votes_sent.entry((n, to)).or_default() += 1;
        if self.plan.twice_one_in > 0 && !self.calm && self.rng.one_in(self.plan.twice_one_in) {
            self.count(Kind::DuplicateVote);
            *self.votes_sent.entry((n, to)).or_default() += 1;
            self.after(delay, Happening::Vote(n, to, vote.clone()));
        }
        self.after(delay, Happening::Vote(n, to, vote));
    }

    pub fn send_packet(&mut self, n: usize, link: LinkId, packet: Packet) {
        let Some(live) = &mut self.servers[n].live else { return };
        let Some((pipe, side)) = live.links.get(&link).copied() else { return };
        if let Packet::Snap(zxid) = packet {
            live.snaps.insert(link, zxid);
            return;
        }
        if let Packet::Ack(zxid) = packet
            && zxid.counter() != 0
            && zxid > live.durable
            && self.invariants
        {
            let durable = live.durable;
            return self.fail(|| format!("server {} acknowledges {zxid}, durable is {durable}", n + 1));
        }
        self.send(pipe, side, Message::Packet(packet));
    }

    pub fn stream(&mut self, n: usize, link: LinkId, stream: Stream) {
        let life = self.servers[n].life;
        let Some(live) = &mut self.servers[n].live else { return };
        let Some((pipe, side)) = live.links.get(&link).copied() else { return };
        match stream {
            Stream::Snapshot => {
                live.walks.insert(Some(link), begin_walk(&live.machine));
                self.pipes[pipe as usize].blocked[side] = true;
                let delay = self.delay();
                self.after(delay, Happening::Walk(n, life, Some(link)));
            }
            Stream::History { after, until } => {
                for entry in self.logged(n, after, until) {
                    let zxid = entry.zxid;
                    self.send(pipe, side, Message::Packet(Packet::Proposal(entry)));
                    self.send(pipe, side, Message::Packet(Packet::Commit(zxid)));
                }
            }
        }
    }

    /// The next slice of a tree.
    pub fn walk(&mut self, n: usize, life: u64, link: Option<LinkId>) {
        let Some(live) = self.live(n, life) else { return };
        let Live { walks, machine, links, snaps, .. } = live;
        let Some(walking) = walks.get_mut(&link) else { return };
        match slice(walking, machine, SLICE) {
            Some(true) => {
                let delay = self.rng.below(4_000);
                return self.after(delay, Happening::Walk(n, life, link));
            }
            None => {
                // The tree is another one: a file is given up, a link ends.
                walks.remove(&link);
                if let Some((pipe, side)) = link.and_then(|link| links.get(&link).copied()) {
                    self.close(pipe, side);
                    self.link_lost(n, life, link.unwrap_or_default());
                }
                return;
            }
            Some(false) => {}
        }
        let Some(walking) = walks.remove(&link) else { return };
        let Some(link) = link else {
            live.disk.submit(Job::Snapshot(walking.zxid, Box::new(walking.image)));
            return self.begin_disk(n);
        };
        let (Some((pipe, side)), Some(zxid)) = (links.get(&link).copied(), snaps.remove(&link)) else {
            return;
        };
        self.pipes[pipe as usize].blocked[side] = false;
        self.send(pipe, side, Message::Snapshot(zxid, Box::new(walking.image)));
        self.unblock(pipe, side);
        self.link_input(n, life, link, LinkInput::Streamed);
        self.step(n, Input::Link(link, LinkInput::Streamed));
    }

    pub fn become_stage(&mut self, n: usize, stage: Stage) {
        self.tell(|| format!("server {} becomes {stage:?}", n + 1));
        let life = self.servers[n].life;
        let Some(live) = &mut self.servers[n].live else { return };
        let was_serving = live.serving();
        live.stage = stage;
        let serves = live.serving();
        self.servers[n].blank &= !serves;
        let Some(live) = &mut self.servers[n].live else { return };
        match stage {
            Stage::Looking => {
                live.candidates.clear();
                live.snaps.clear();
                live.walks.retain(|link, _| link.is_none());
                let links: Vec<_> = std::mem::take(&mut live.links).into_values().collect();
                let conns: Vec<u32> = live.conns.keys().copied().collect();
                for (pipe, side) in links {
                    self.close(pipe, side);
                }
                for pipe in conns {
                    self.drop_conn(n, pipe);
                }
            }
            Stage::Leading { serving: false } => {
                let open = !std::mem::take(&mut self.servers[n].no_port);
                let delay = self.rng.below(2_000);
                self.after(delay, Happening::Listening(n, life, open));
            }
            Stage::Leading { serving: true } if !was_serving => {
                let me = live.replica.as_member().expect("a member");
                let epoch = me.current;
                if self.truth.last().counter() + 1 == self.epoch_ends_at() {
                    self.count(Kind::Rollover);
                }
                let server = &self.servers[n];
                if let Err(why) = self.truth.established(n, epoch, &server.held) {
                    self.fail(|| format!("A: {why}"));
                }
            }
            _ => {}
        }
    }
}
