//! What goes wrong, done to the world: each step of a plan at its time, and the end of all of them.
//!
//! Invariant: data that a quorum needs is never taken. A fault that would is left out, and not counted.

use super::disk::flip;
use super::plan::{Kind, Step};
use super::rng::Rng;
use super::server::Server;
use super::truth::Held;
use super::world::{Happening, SECOND, World};
use quoll::store::files::{Fault, SimFiles};

impl World {
    /// The step of the plan whose time has come.
    pub fn fault(&mut self, index: usize) {
        if self.calm {
            return;
        }
        let step = self.plan.steps[index];
        self.tell(|| format!("--- {:?} for {} us", step.kind, step.lasts));
        let mut rng = Rng::new(step.chance, 3);
        if self.inflict(step, &mut rng) {
            self.count(step.kind);
        }
    }

    fn inflict(&mut self, step: Step, rng: &mut Rng) -> bool {
        let count = self.servers.len();
        let n = self.victim(rng);
        let until = self.now + step.lasts;
        match step.kind {
            Kind::Reset | Kind::HalfOpen => return self.break_pipe(step.kind == Kind::HalfOpen, rng),
            Kind::OneWay => {
                let to = (n + 1 + rng.index(count - 1)) % count;
                self.cuts.cut(n, to);
                if rng.one_in(2) {
                    (0..count).filter(|m| *m != n).for_each(|m| self.cuts.cut(n, m));
                }
                self.cut_until(until);
            }
            Kind::Bridge => {
                let other = (n + 1 + rng.index(count - 1)) % count;
                self.cuts.cut(n, other);
                self.cuts.cut(other, n);
                self.cut_until(until);
            }
            Kind::Isolation => {
                for m in (0..count).filter(|m| *m != n) {
                    self.cuts.cut(n, m);
                    self.cuts.cut(m, n);
                }
                self.cut_until(until);
            }
            Kind::ClientCut => {
                let client = rng.index(self.clients.len());
                self.cuts.cut_client(client, n);
                self.cut_until(until);
            }
            Kind::SlowReader => return self.slow_reader(until, rng),
            Kind::Kill | Kind::PowerLoss => {
                return self.crash(n, step.kind == Kind::PowerLoss, step.lasts, rng);
            }
            Kind::Pause => {
                if self.servers[n].live.is_none() {
                    return false;
                }
                self.servers[n].paused_until = self.servers[n].paused_until.max(until);
            }
            Kind::WallJump => {
                let hours = rng.range(1, 48) as i64 - 24;
                self.servers[n].wall_shift += hours * 3_600_000 + 1;
            }
            Kind::Eio | Kind::NoSpace => {
                let Some(live) = &self.servers[n].live else { return false };
                let fault = if step.kind == Kind::Eio { Fault::Io } else { Fault::NoSpace };
                live.disk.fail(fault, rng.index(4));
                self.at(until, Happening::Mend(n));
            }
            Kind::SlowDisk => self.servers[n].slow_disk_until = until,
            Kind::LyingSync => return self.lose(n, step.lasts, rng),
            Kind::BitFlip => return self.flip_bit(n, step.lasts, rng),
            Kind::Wipe => return self.wipe_disk(n, step.lasts),
            Kind::Reconfig => return self.reconfigure(rng),
            Kind::NoPort => self.servers[n].no_port = true,
            Kind::Delay
            | Kind::LostWrites
            | Kind::Reordered
            | Kind::TornWrite
            | Kind::Skew
            | Kind::Rollover
            | Kind::DuplicateVote => return false,
        }
        true
    }

    /// Whom it meets: often the leader.
    fn victim(&self, rng: &mut Rng) -> usize {
        let leads = |s: &Server| {
            s.live.as_ref().is_some_and(|l| matches!(l.stage, quoll::replica::Stage::Leading { .. }))
        };
        match self.servers.iter().position(leads) {
            Some(leader) if rng.one_in(2) => leader,
            _ => rng.index(self.servers.len()),
        }
    }

    fn cut_until(&mut self, until: u64) {
        self.open_cuts += 1;
        self.at(until, Happening::Heal);
    }

    fn break_pipe(&mut self, half: bool, rng: &mut Rng) -> bool {
        let open: Vec<usize> =
            (0..self.pipes.len()).filter(|p| self.pipes[*p].open == [true, true]).collect();
        if open.is_empty() {
            return false;
        }
        let index = open[rng.index(open.len())];
        let side = rng.index(2);
        for lane in &mut self.pipes[index].lanes {
            lane.queue.clear();
        }
        self.lost(index as u32, side);
        if !half {
            self.lost(index as u32, 1 - side);
        }
        true
    }

    fn slow_reader(&mut self, until: u64, rng: &mut Rng) -> bool {
        let open: Vec<usize> =
            (0..self.pipes.len()).filter(|p| self.pipes[*p].open == [true, true]).collect();
        if open.is_empty() {
            return false;
        }
        let pipe = &mut self.pipes[open[rng.index(open.len())]];
        pipe.lanes[rng.index(2)].slow_until = until;
        true
    }

    fn crash(&mut self, n: usize, power: bool, lasts: u64, rng: &mut Rng) -> bool {
        let Some(live) = &self.servers[n].live else { return false };
        let files = if power {
            let (files, damage) = live.disk.power_off(rng, false);
            for (kind, happened) in [
                (Kind::TornWrite, damage.torn),
                (Kind::LostWrites, damage.lost),
                (Kind::Reordered, damage.reordered),
            ] {
                if happened {
                    self.count(kind);
                }
            }
            files
        } else {
            live.disk.kill(rng)
        };
        self.stop(n, files, power);
        self.start_later(n, lasts);
        true
    }

    fn start_later(&mut self, n: usize, lasts: u64) {
        let life = self.servers[n].life;
        self.after(lasts.min(5 * SECOND), Happening::Start(n, life));
    }

    /// May this server's data go? Only if a quorum can do without it: all that it may have acknowledged, and the
    /// newest epoch it may have promised, must be with enough of the others.
    pub fn can_lose(&self, n: usize) -> bool {
        let reconfigured = self.counts[Kind::Reconfig as usize] > 0;
        if self.plan.hierarchical || reconfigured || self.servers.iter().any(|s| s.damaged) {
            return false;
        }
        if n >= self.plan.voters {
            return true;
        }
        let mine = (self.servers[n].held.last(), self.servers[n].held.asked);
        let lacking = (0..self.plan.voters)
            .filter(|m| *m != n)
            .filter(|m| {
                let theirs = self.promise(*m);
                theirs.0 < mine.0 || theirs.1 < mine.1 || self.servers[*m].blank
            })
            .count();
        lacking + 2 <= self.plan.voters / 2 + 1
    }

    /// Durable history and promised epoch of a server, as far as others may rely on it.
    fn promise(&self, n: usize) -> (quoll::types::Zxid, quoll::types::Epoch) {
        let server = &self.servers[n];
        let durable =
            server.live.as_ref().map_or(server.held.durable, |l| l.durable.min(server.held.durable));
        (durable, server.held.promised)
    }

    fn lose(&mut self, n: usize, lasts: u64, rng: &mut Rng) -> bool {
        if !self.can_lose(n) {
            return false;
        }
        let Some(live) = &self.servers[n].live else { return false };
        let (files, damage) = live.disk.power_off(rng, true);
        if !damage.lied {
            return false;
        }
        self.stop(n, files, true);
        self.servers[n].damaged = true;
        self.start_later(n, lasts);
        true
    }

    fn flip_bit(&mut self, n: usize, lasts: u64, rng: &mut Rng) -> bool {
        if !self.can_lose(n) {
            return false;
        }
        let Some(live) = &self.servers[n].live else { return false };
        let files = live.disk.kill(rng);
        let flipped = flip(&files, rng);
        self.tell(|| format!("server {}: {flipped:?}", n + 1));
        let flipped = flipped.is_some();
        self.stop(n, files, false);
        self.servers[n].damaged = flipped;
        self.start_later(n, lasts);
        flipped
    }

    fn wipe_disk(&mut self, n: usize, lasts: u64) -> bool {
        if !self.can_lose(n) || self.servers[n].live.is_none() {
            return false;
        }
        self.stop(n, SimFiles::new(), true);
        self.wipe(n);
        self.start_later(n, lasts);
        true
    }

    /// An empty directory.
    pub fn wipe(&mut self, n: usize) {
        let server = &mut self.servers[n];
        server.files = SimFiles::new();
        server.held = Held::default();
        (server.damaged, server.blank) = (true, true);
    }

    fn reconfigure(&mut self, rng: &mut Rng) -> bool {
        let client = rng.index(self.clients.len());
        let n = rng.index(self.servers.len()) + 1;
        let role = if rng.one_in(3) { "observer" } else { "participant" };
        self.clients[client].reconfig = Some(match rng.below(3) {
            0 => (String::new(), format!("{n}")),
            _ => (format!("server.{n}=10.0.0.{n}:2888:3888:{role};2181"), String::new()),
        });
        true
    }

    /// The disk works again.
    pub fn mend(&mut self, n: usize) {
        if let Some(live) = &self.servers[n].live {
            live.disk.heal();
        }
        self.servers[n].files.heal();
    }

    /// Faults are over: everybody is up, nothing is cut, nothing is slow.
    pub fn calm_down(&mut self) {
        self.tell(|| "--- all is well from here on".to_owned());
        self.calm = true;
        self.heal_cuts();
        for pipe in 0..self.pipes.len() {
            for side in 0..2 {
                self.pipes[pipe].lanes[side].slow_until = 0;
            }
        }
        for n in 0..self.servers.len() {
            self.mend(n);
            let server = &mut self.servers[n];
            server.paused_until = server.paused_until.min(self.now + SECOND / 2);
            server.slow_disk_until = 0;
            server.no_port = false;
            if server.live.is_none() {
                let life = server.life;
                self.after(SECOND / 10, Happening::Start(n, life));
            }
        }
        self.release_votes();
    }
}
