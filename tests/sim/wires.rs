//! Connections at work: attempts, arrivals, ends, silence, and votes that go their own way.
//!
//! Invariant: an end hears of the other end's fate only over a way that is not cut.

use super::net::{End, Host, Lane, Message, Pipe};
use super::plan::Kind;
use super::world::{Happening, SECOND, World};
use quoll::replica::zab::Notification;
use quoll::replica::{Input, LinkInput};
use quoll::types::LinkId;

impl World {
    /// How long a message takes.
    pub fn delay(&mut self) -> u64 {
        let delay = 50 + self.rng.below(self.plan.delay);
        if self.plan.slow_one_in > 0 && !self.calm && self.rng.one_in(self.plan.slow_one_in) {
            self.count(Kind::Delay);
            return delay * 100;
        }
        delay
    }

    /// A new pipe, on its way.
    pub fn connect(&mut self, from: End, to: usize) -> u32 {
        let target = match from {
            End::Client(_) => End::Server(to, 0),
            _ => End::Peer(to, 0, LinkId(0)),
        };
        let index = self.pipes.len() as u32;
        let mut pipe = Pipe::new(from, target, self.now);
        pipe.open[1] = false;
        pipe.patience[0] = Some(5 * SECOND);
        self.pipes.push(pipe);
        let delay = self.delay();
        self.after(delay, Happening::Arrive(index));
        self.after(5 * SECOND, Happening::Silence(index, 0));
        index
    }

    pub fn arrive(&mut self, index: u32) {
        let [from, to] = self.pipes[index as usize].ends;
        if !self.pipes[index as usize].open[0] || self.cuts.blocks(from.host(), to.host()) {
            return;
        }
        let accepted = match to {
            End::Peer(n, ..) => self.accept_peer(n, index),
            End::Server(n, _) => self.accept_client(n, index),
            End::Client(_) => false,
        };
        match accepted {
            true => self.send(index, 1, Message::Open),
            // A machine without power says nothing; a living one refuses.
            false if self.servers[server_of(to)].live.is_some() => self.reset_back(index, 0),
            false => {}
        }
    }

    /// The end hears that the connection is no more, after a while.
    pub fn reset_back(&mut self, index: u32, side: usize) {
        let pipe = &self.pipes[index as usize];
        let (from, to) = (pipe.ends[1 - side].host(), pipe.ends[side].host());
        if !self.cuts.blocks(from, to) {
            self.pipes[index as usize].open[1 - side] = false;
            let delay = self.delay();
            let lane = &mut self.pipes[index as usize].lanes[side];
            lane.queue.clear();
            let at = self.now + delay;
            lane.queue.push_back((at, Message::Fin));
            lane.last = at;
            if !lane.scheduled {
                lane.scheduled = true;
                self.at(at, Happening::Deliver(index, side));
            }
        }
    }

    /// Sends from this end.
    pub fn send(&mut self, index: u32, from: usize, message: Message) {
        let pipe = &mut self.pipes[index as usize];
        if !pipe.open[from] {
            return;
        }
        if pipe.blocked[from] {
            pipe.backlog[from].push_back(message);
            return;
        }
        let delay = self.delay();
        let lane = &mut self.pipes[index as usize].lanes[1 - from];
        let at = (self.now + delay).max(lane.last);
        lane.last = at;
        lane.queue.push_back((at, message));
        if !lane.scheduled {
            lane.scheduled = true;
            self.at(at, Happening::Deliver(index, 1 - from));
        }
    }

    /// What waited behind a stream leaves.
    pub fn unblock(&mut self, index: u32, from: usize) {
        self.pipes[index as usize].blocked[from] = false;
        for message in std::mem::take(&mut self.pipes[index as usize].backlog[from]) {
            self.send(index, from, message);
        }
    }

    /// Closes this end; the other one hears of it behind what was sent before.
    pub fn close(&mut self, index: u32, side: usize) {
        let pipe = &mut self.pipes[index as usize];
        if !pipe.open[side] {
            return;
        }
        pipe.blocked[side] = false;
        pipe.backlog[side].clear();
        self.send(index, side, Message::Fin);
        self.pipes[index as usize].open[side] = false;
    }

    pub fn deliver(&mut self, index: u32, side: usize) {
        let now = self.now;
        let pipe = &mut self.pipes[index as usize];
        let (from, to) = (pipe.ends[1 - side].host(), pipe.ends[side].host());
        pipe.lanes[side].scheduled = false;
        if self.cuts.blocks(from, to) {
            return;
        }
        let pipe = &mut self.pipes[index as usize];
        if !pipe.open[side] {
            pipe.lanes[side] = Lane::default();
            let up = match to {
                Host::Server(n) => self.servers[n].live.is_some(),
                Host::Client(_) => true,
            };
            if up && pipe.open[1 - side] {
                self.lost_later(index, 1 - side);
            }
            return;
        }
        let lane = &mut pipe.lanes[side];
        if lane.slow_until > now {
            lane.scheduled = true;
            let at = lane.slow_until;
            return self.at(at, Happening::Deliver(index, side));
        }
        let Some((_, message)) = lane.queue.pop_front() else { return };
        if let Some((at, _)) = lane.queue.front() {
            lane.scheduled = true;
            let at = *at;
            self.at(at, Happening::Deliver(index, side));
        }
        let pipe = &mut self.pipes[index as usize];
        pipe.heard[side] = now;
        match message {
            Message::Open => {
                pipe.patience[side] = None;
                self.opened(index);
            }
            Message::Fin => self.lost(index, side),
            message => match pipe.ends[side] {
                End::Peer(n, life, link) => self.from_peer(n, life, link, message),
                End::Server(n, life) => self.from_client(n, life, index, message),
                End::Client(n) => self.to_client(n, index, message),
            },
        }
    }

    /// This end is told that the other one is gone, as soon as the way allows.
    pub fn lost_later(&mut self, index: u32, side: usize) {
        self.reset_back(index, side);
    }

    pub fn opened(&mut self, index: u32) {
        match self.pipes[index as usize].ends[0] {
            End::Peer(n, life, link) => self.link_input(n, life, link, LinkInput::Connected),
            End::Client(n) => self.client_opened(n, index),
            End::Server(..) => {}
        }
    }

    /// This end loses the connection.
    pub fn lost(&mut self, index: u32, side: usize) {
        let pipe = &mut self.pipes[index as usize];
        if !pipe.open[side] {
            return;
        }
        pipe.open[side] = false;
        pipe.backlog[side].clear();
        match pipe.ends[side] {
            End::Peer(n, life, link) => self.link_lost(n, life, link),
            End::Server(n, life) => self.client_gone(n, life, index),
            End::Client(n) => self.client_lost(n, index),
        }
    }

    pub fn silence(&mut self, index: u32, side: usize) {
        let pipe = &self.pipes[index as usize];
        let Some(patience) = pipe.patience[side].filter(|_| pipe.open[side]) else { return };
        let until = pipe.heard[side] + patience;
        if until > self.now {
            return self.at(until, Happening::Silence(index, side));
        }
        self.tell(|| format!("pipe {index} end {side} has heard nothing for too long"));
        // The other end hears of it, if it can.
        self.pipes[index as usize].backlog[side].clear();
        self.pipes[index as usize].blocked[side] = false;
        self.send(index, side, Message::Fin);
        self.lost(index, side);
    }

    pub fn vote(&mut self, from: usize, to: usize, vote: Box<Notification>) {
        let sent = self.votes_sent.entry((from, to)).or_default();
        *sent = sent.saturating_sub(1);
        let idle = *sent == 0;
        if self.servers[to].live.is_none() || self.cuts.blocks(Host::Server(from), Host::Server(to)) {
            // It is sent again once the way is there, unless there is a newer one by then.
            self.held_votes.entry((from, to)).or_insert(vote);
            return;
        }
        if idle && let Some(next) = self.held_votes.remove(&(from, to)) {
            self.send_vote(from, to, next);
        }
        self.step(to, Input::Vote(self.servers[from].id, *vote));
    }

    /// All cuts end: what was held back goes on.
    pub fn heal_cuts(&mut self) {
        self.open_cuts = self.open_cuts.saturating_sub(1);
        if self.open_cuts > 0 && !self.calm {
            return;
        }
        self.cuts.heal();
        for index in 0..self.pipes.len() {
            for side in 0..2 {
                let lane = &mut self.pipes[index].lanes[side];
                if !lane.queue.is_empty() && !lane.scheduled {
                    lane.scheduled = true;
                    let delay = self.rng.below(5_000);
                    self.after(delay, Happening::Deliver(index as u32, side));
                }
            }
        }
        self.release_votes();
    }

    /// Votes that were held back are sent anew.
    pub fn release_votes(&mut self) {
        for ((from, to), vote) in std::mem::take(&mut self.held_votes) {
            self.send_vote(from, to, vote);
        }
    }
}

fn server_of(end: End) -> usize {
    match end.host() {
        Host::Server(n) | Host::Client(n) => n,
    }
}
