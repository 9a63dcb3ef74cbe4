//! What a replica wants of its disk, done: one queue, work done at once and told of when its time has come.
//!
//! Bugs that live between a brain and its disk are planted here.

use super::bugs::{self, Bug};
use super::disk::{Job, MACHINE};
use super::net::Host;
use super::perform::{begin_walk, slice};
use super::world::{Happening, World};
use quoll::replica::{HistoryPlan, Input, Stage};
use quoll::state::Machine;
use quoll::store::log_reader::{LogCursor, Next, files_behind};
use quoll::store::{DiskCommand, DiskEvent, Truncated};
use quoll::types::{Entry, Epoch, EpochFile, Flushed, LinkId, Zxid};

impl World {
    // --- the disk --------------------------------------------------------------------------------------------------

    pub fn submit(&mut self, n: usize, job: Job) {
        if let Some(live) = &mut self.servers[n].live {
            live.disk.submit(job);
        }
    }

    /// A transaction for the log.
    pub fn append(&mut self, n: usize, entry: Entry) {
        let zxid = entry.zxid;
        self.servers[n].held.append(&entry);
        let Some(live) = &mut self.servers[n].live else { return };
        let job = Job::Command(DiskCommand::Append(entry));
        if bugs::is(Bug::EpochBeforeLog) && live.stage == (Stage::Following { serving: false }) {
            // What a synchronization brings is written with the first transaction behind it, the epoch at once.
            live.lazy.push(job);
            return self.early(n, DiskEvent::Flushed(Flushed::mint(zxid)));
        }
        for job in live.lazy.drain(..).chain([job]) {
            live.disk.submit(job);
        }
        if bugs::is(Bug::AckBeforeFsync) {
            self.early(n, DiskEvent::Flushed(Flushed::mint(zxid)));
        }
    }

    pub fn early(&mut self, n: usize, event: DiskEvent) {
        if let Some(live) = &mut self.servers[n].live {
            live.early.push_back(event);
        }
    }

    pub fn save_epoch(&mut self, n: usize, file: EpochFile, epoch: Epoch) {
        self.servers[n].held.asked = self.servers[n].held.asked.max(epoch);
        if bugs::is(Bug::EpochReuse) && file == EpochFile::Accepted {
            return self.early(n, DiskEvent::EpochSaved(file, epoch));
        }
        self.submit(n, Job::Command(DiskCommand::SaveEpoch(file, epoch)));
    }

    pub fn truncate(&mut self, n: usize, zxid: Zxid) {
        self.tell(|| format!("server {} truncates behind {zxid}", n + 1));
        if bugs::is(Bug::NoTrunc) {
            return self.early(n, DiskEvent::Truncated(Truncated { last: zxid, recoverable: true }));
        }
        let Some(live) = &mut self.servers[n].live else { return };
        if bugs::is(Bug::WriteAfterRoleChange) {
            // What the last role wrote last comes behind the cut.
            let late = self.servers[n].held.entries.last_key_value().map(|(z, p)| (*z, p.clone()));
            self.submit(n, Job::Command(DiskCommand::TruncateAfter(zxid)));
            if let Some((zxid, payload)) = late {
                self.submit(n, Job::Command(DiskCommand::Append(Entry { zxid: Zxid(zxid), payload })));
            }
        } else {
            live.disk.submit(Job::Command(DiskCommand::TruncateAfter(zxid)));
        }
        self.servers[n].held.cut(zxid);
    }

    pub fn install(&mut self, n: usize, link: LinkId, last: Zxid) {
        self.tell(|| format!("server {} installs {last}", n + 1));
        let Some(live) = &mut self.servers[n].live else { return };
        let Some(candidate) = live.candidates.remove(&link) else {
            return self.fail(|| format!("server {} installs a snapshot that it has not", n + 1));
        };
        let mut walking = begin_walk(&candidate);
        let _ = slice(&mut walking, &candidate, u32::MAX);
        if let Some(live) = &mut self.servers[n].live {
            live.disk.submit(Job::Install(last, Box::new(walking.image)));
            live.installing = Some((link, candidate));
        }
        let leader = self.servers[n].live.as_ref().and_then(|l| l.links.get(&link)).map(|(pipe, side)| {
            let pipe = &self.pipes[*pipe as usize];
            match pipe.ends[1 - side].host() {
                Host::Server(leader) | Host::Client(leader) => self.servers[leader].held.clone(),
            }
        });
        self.servers[n].held.replace(last, leader.as_ref());
    }

    pub fn begin_disk(&mut self, n: usize) {
        let server = &mut self.servers[n];
        let Some(live) = &mut server.live else { return };
        if !live.disk.can_begin() {
            return;
        }
        match live.disk.begin() {
            Err(error) => self.die(n, &error.to_string()),
            Ok(false) => self.begin_disk(n),
            Ok(true) => self.disk_later(n),
        }
    }

    pub fn disk_later(&mut self, n: usize) {
        let mut delay = 20 + self.rng.below(self.plan.disk);
        if self.servers[n].slow_disk_until > self.now {
            delay += self.servers[n].slow_disk_until - self.now;
        }
        let life = self.servers[n].life;
        self.after(delay, Happening::Disk(n, life));
    }

    /// The disk tells what it has done.
    pub fn disk_done(&mut self, n: usize, life: u64) {
        let Some(live) = self.live(n, life) else { return };
        let Some(report) = live.disk.tell() else { return };
        match report {
            DiskEvent::Flushed(proof) => {
                live.durable = live.durable.max(proof.zxid());
                self.servers[n].held.flushed(proof.zxid());
                self.step(n, Input::Flushed(proof));
            }
            DiskEvent::EpochSaved(file, epoch) => {
                let held = &mut self.servers[n].held;
                held.promised = held.promised.max(epoch);
                self.step(n, Input::EpochSaved(file, epoch));
            }
            DiskEvent::SnapshotDue => {
                if !live.walks.contains_key(&None) {
                    live.walks.insert(None, begin_walk(&live.machine));
                    self.after(1_000, Happening::Walk(n, life, None));
                }
            }
            DiskEvent::Truncated(done) => {
                if live.installing.is_none() {
                    self.truncated(n, done.last);
                }
            }
            DiskEvent::Fatal(error) => self.die(n, &error.to_string()),
            DiskEvent::Restarted(last) => {
                live.durable = last;
                if let Some((link, candidate)) = live.installing.take() {
                    live.machine = candidate;
                    live.reach = Zxid::ZERO;
                    if live.reaches.remove(&link).is_some_and(|reach| reach > last) {
                        return self.fail(|| {
                            format!("R: server {} installs a tree of {last} that shows more", n + 1)
                        });
                    }
                    live.walks.remove(&None);
                    self.servers[n].held.flushed(last);
                    self.servers[n].damaged = false;
                    self.step(n, Input::Installed(link, last));
                }
            }
        }
        let Some(live) = self.live(n, life) else { return };
        if live.disk.has_more() {
            self.disk_later(n);
        } else {
            self.begin_disk(n);
        }
    }

    pub fn truncated(&mut self, n: usize, last: Zxid) {
        let Some(live) = &mut self.servers[n].live else { return };
        live.reach = Zxid::ZERO;
        if last == Zxid::ZERO {
            live.machine = Machine::new(MACHINE);
            self.servers[n].held.replace(Zxid::ZERO, None);
        } else {
            match live.disk.rebuild() {
                Ok((found, machine)) if found.last_zxid == last || bugs::is(Bug::WriteAfterRoleChange) => {
                    live.reach = found.uncovered.unwrap_or_default();
                    live.machine = machine;
                }
                Ok((found, _)) => {
                    return self.fail(|| format!("cut at {last}, recovered to {}", found.last_zxid));
                }
                Err(error) => {
                    return self.fail(|| format!("nothing to recover behind a cut at {last}: {error}"));
                }
            }
        }
        let Some(live) = &mut self.servers[n].live else { return };
        live.walks.remove(&None);
        live.durable = last;
        self.step(n, Input::Truncated(last));
    }

    /// Transactions of the log on disk behind `after`, up to `until`.
    pub fn logged(&self, n: usize, after: Zxid, until: Zxid) -> Vec<Entry> {
        let Some(live) = &self.servers[n].live else { return Vec::new() };
        let dir = &live.disk.dir;
        let mut found: Vec<Entry> = Vec::new();
        for file in files_behind(dir.log_files().unwrap_or_default(), after) {
            let Ok(mut cursor) = LogCursor::open(&*dir.files, &file.path, 1 << 20) else { continue };
            while let Ok(Next::Record(r)) = cursor.step() {
                if r.zxid > after && r.zxid <= until && found.last().is_none_or(|e| r.zxid > e.zxid) {
                    found.push(Entry { zxid: r.zxid, payload: r.payload });
                }
            }
        }
        found
    }

    /// What the log holds around and behind a zxid.
    pub fn plan_history(&self, n: usize, zxid: Zxid) -> Option<HistoryPlan> {
        let live = self.servers[n].live.as_ref()?;
        let until = live.durable;
        let all = self.logged(n, Zxid(-1), until);
        let at = all.iter().rev().map(|e| e.zxid).find(|z| *z <= zxid)?;
        let mut last = at;
        for entry in all.iter().filter(|e| e.zxid > at) {
            if !quoll::store::log_reader::follows(last, entry.zxid) {
                return None;
            }
            last = entry.zxid;
        }
        (last == until).then_some(HistoryPlan { at, until })
    }
}
