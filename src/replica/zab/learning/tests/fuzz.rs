//! What a leader sends in every legal order, against a disk that is done whenever it likes; and what no leader sends.

use super::super::sync::continues;
use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;

/// What the disk has still to do.
#[derive(Debug)]
enum Job {
    Append(Zxid),
    Save(EpochFile, Epoch),
    Truncate(Zxid),
    Install(Zxid),
}

/// A learner with its disk, and everything that must hold between what it says and what the disk has done.
struct World {
    server: Server,
    jobs: VecDeque<Job>,
    /// The end of the log, with all that was asked of it.
    handed: Zxid,
    /// The end of what is on disk.
    durable: Zxid,
    current: Epoch,
    committed: Vec<Zxid>,
    acked: Vec<Zxid>,
    promised: bool,
    adopted: bool,
    over: bool,
}

impl World {
    fn new(observer: bool) -> Self {
        let server = if observer { Server::observer() } else { Server::follower() };
        let mut world = Self {
            server,
            jobs: VecDeque::new(),
            handed: z(1, 8),
            durable: z(1, 8),
            current: Epoch(1),
            committed: vec![z(1, 8)],
            acked: Vec::new(),
            promised: false,
            adopted: false,
            over: false,
        };
        world.tell(Input::Link(LINK, LinkInput::Connected));
        world
    }

    fn last_committed(&self) -> Zxid {
        *self.committed.last().unwrap()
    }

    fn tell(&mut self, input: Input<'_>) {
        if self.over {
            return;
        }
        self.server.raw(input);
        for effect in std::mem::take(&mut self.server.out) {
            self.check(effect);
            if self.over {
                return;
            }
        }
    }

    fn check(&mut self, effect: Effect) {
        match effect {
            Effect::Append(e) => {
                assert!(continues(self.handed, e.zxid), "a hole between {} and {}", self.handed, e.zxid);
                self.handed = e.zxid;
                self.jobs.push_back(Job::Append(e.zxid));
            }
            Effect::Commit(c) => {
                let zxid = c.entry.get().zxid;
                assert!(continues(self.last_committed(), zxid) && zxid <= self.handed);
                self.committed.push(zxid);
            }
            Effect::SaveEpoch(file, epoch) => {
                if file == EpochFile::Current {
                    let last = self.last_committed();
                    assert!(self.durable >= last && self.jobs.is_empty(), "the epoch before the history");
                }
                self.jobs.push_back(Job::Save(file, epoch));
            }
            Effect::Truncate(to) => {
                self.handed = to;
                self.committed.retain(|c| *c < to);
                self.committed.push(to);
                self.jobs.push_back(Job::Truncate(to));
            }
            Effect::Install(_, last) => {
                self.handed = last;
                self.committed.push(last);
                self.jobs.push_back(Job::Install(last));
            }
            Effect::Send(_, Packet::Ack(zxid)) if zxid.counter() == 0 => {
                assert_eq!(zxid.epoch(), self.current, "ACK before the epoch is on disk");
                assert!(self.adopted || self.durable >= self.last_committed(), "ACK before the history");
                self.adopted = true;
            }
            Effect::Send(_, Packet::Ack(zxid)) => {
                assert!(self.adopted && self.durable >= zxid, "ACK of {zxid} at {}", self.durable);
                assert!(self.acked.last().is_none_or(|last| *last < zxid), "{zxid} again");
                self.acked.push(zxid);
            }
            Effect::Send(_, Packet::AckEpoch { .. }) => self.promised = true,
            Effect::Send(_, packet) => {
                assert!(!self.promised || self.adopted, "{} before ACK of NEWLEADER", packet.name());
            }
            Effect::Become(Stage::Looking) => self.over = true,
            _ => {}
        }
    }

    fn packet(&mut self, packet: Packet) {
        self.tell(Input::Link(LINK, LinkInput::Packet(packet)));
    }

    /// The disk does what is next; of transactions up to `batch` with one flush.
    fn disk(&mut self, batch: usize) {
        match self.jobs.pop_front() {
            None => {}
            Some(Job::Append(mut zxid)) => {
                for _ in 1..batch {
                    let Some(Job::Append(next)) = self.jobs.pop_front_if(|j| matches!(j, Job::Append(_)))
                    else {
                        break;
                    };
                    zxid = next;
                }
                self.durable = zxid;
                self.tell(Input::Flushed(Flushed::mint(zxid)));
            }
            Some(Job::Save(file, epoch)) => {
                if file == EpochFile::Current {
                    self.current = epoch;
                }
                self.tell(Input::EpochSaved(file, epoch));
            }
            Some(Job::Truncate(to)) => {
                let left = self.durable.min(to).max(Zxid::ZERO);
                self.durable = left;
                self.tell(Input::Truncated(left));
            }
            Some(Job::Install(last)) => {
                self.durable = last;
                self.tell(Input::Installed(LINK, last));
            }
        }
    }
}

/// A leader: it proposes and commits in order, whenever `next` says so.
struct Leader {
    log: Vec<Zxid>,
    proposed: usize,
    committed: usize,
}

impl Leader {
    fn step(&mut self, propose: bool) -> Option<Packet> {
        if (propose || self.committed == self.proposed) && self.proposed < self.log.len() {
            self.proposed += 1;
            let zxid = self.log[self.proposed - 1];
            return Some(Packet::Proposal(txn(zxid, 9, 0, 5, &[])));
        }
        if self.committed < self.proposed {
            self.committed += 1;
            return Some(Packet::Commit(self.log[self.committed - 1]));
        }
        None
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Leader { propose: bool },
    Disk { batch: usize },
    Ping,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any::<bool>().prop_map(|propose| Step::Leader { propose }),
        3 => (1..4_usize).prop_map(|batch| Step::Disk { batch }),
        1 => Just(Step::Ping),
    ]
}

/// What nobody sends at that place: any packet with any small number.
fn nonsense() -> impl Strategy<Value = Packet> {
    let zxid = (0..4_i64, 0..12_u32).prop_map(|(e, c)| z(e, c));
    let odd = prop_oneof![9 => zxid, 1 => any::<i64>().prop_map(Zxid)];
    (0..19_u8, odd).prop_map(|(kind, zxid)| {
        let entry = Entry { zxid, payload: txn(zxid, 9, 0, 16, &[0, 0, 0, 9]).payload };
        match kind {
            0 => leader_info(zxid.epoch().0),
            1 => Packet::Diff(zxid),
            2 => Packet::Trunc(zxid),
            3 => Packet::Snap(zxid),
            4 => new_leader(zxid.epoch().0),
            5 => Packet::UpToDate,
            6..=8 => Packet::Proposal(entry),
            9..=11 => Packet::Commit(zxid),
            12 => Packet::CommitAndActivate(zxid, ServerId(2)),
            13 => Packet::Inform(entry),
            14 => Packet::InformAndActivate(Entry { zxid, payload: Bytes::from_static(&[1]) }, ServerId(2)),
            15 => Packet::Ping(zxid),
            16 => Packet::Revalidated(SessionId(zxid.0), true),
            17 => Packet::Sync,
            _ => Packet::Unknown(99),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// 4785, 4394, 4685, 4646, 3911: whatever the order, nothing is said too early and all is said in the end.
    #[test]
    fn every_legal_order_ends_in_sync(
        way in 0..3_u8,
        old in 0..4_u32,
        new in 0..6_u32,
        new_leader_after in 0..12_usize,
        up_to_date_after in 0..12_usize,
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let mut world = World::new(false);
        world.packet(leader_info(2));
        world.disk(1);
        let (first, base) = match way {
            0 => (Packet::Diff(z(1, 8 + old)), 8),
            1 => (Packet::Trunc(z(1, 5)), 5),
            _ => (Packet::Snap(z(1, 20)), 20),
        };
        world.packet(first);
        let log = (1..=old).map(|n| z(1, base + n)).chain((1..=new).map(|n| z(2, n))).collect();
        let mut leader = Leader { log, proposed: 0, committed: 0 };
        // All that is old was committed before this epoch.
        for _ in 0..old {
            for _ in 0..2 {
                world.packet(leader.step(false).unwrap());
            }
        }
        let (mut sent, mut since_ack, mut told, mut served) = (0, 0, false, false);
        let settle = [Step::Disk { batch: 9 }, Step::Leader { propose: false }];
        let steps = steps.into_iter().chain(settle.into_iter().cycle().take(100));
        for step in steps {
            if !told && sent >= new_leader_after.min(2 * leader.log.len() - 2 * old as usize) {
                told = true;
                world.packet(new_leader(2));
            }
            since_ack += usize::from(world.adopted);
            if world.adopted && !served && since_ack > up_to_date_after {
                served = true;
                world.packet(Packet::UpToDate);
            }
            match step {
                Step::Disk { batch } => world.disk(batch),
                Step::Ping => world.packet(Packet::Ping(z(2, 0))),
                Step::Leader { propose } => {
                    // Nothing of this epoch is committed before a quorum has adopted it, with this server or not.
                    if let Some(packet) = leader.step(propose) {
                        sent += 1;
                        world.packet(packet);
                    }
                }
            }
            assert!(!world.over, "{:?}", world.server.take());
        }
        assert!(served && world.jobs.is_empty());
        assert_eq!(world.server.state(), "following - broadcast");
        assert_eq!(world.last_committed(), *leader.log.last().unwrap_or(&z(1, base)));
        assert_eq!(world.durable, world.last_committed());
        // Those committed before NEWLEADER are acknowledged with it.
        if let Some(last) = world.acked.last() {
            assert_eq!(*last, z(2, new));
        }
    }

    /// Whatever comes, nothing is said that is not so, and nothing panics.
    #[test]
    fn nonsense_never_makes_it_lie(
        observer in any::<bool>(),
        begin in 0..5_u8,
        steps in proptest::collection::vec((nonsense(), 0..3_usize), 1..40),
    ) {
        let mut world = World::new(observer);
        let hellos = [leader_info(2), Packet::Diff(z(1, 8)), new_leader(2), Packet::UpToDate];
        for packet in hellos.into_iter().take(begin.into()) {
            world.packet(packet);
            world.disk(9);
        }
        for (packet, disk) in steps {
            world.packet(packet);
            for _ in 0..disk {
                world.disk(2);
            }
        }
    }
}
