//! One test for each known failure that an ensemble can have: rows of `docs/RELIABILITY.md`.
//!
//! Each runs a few dozen plans that hold nothing but what the row is about, and sees that it really came up.

use super::disk::{flip, flip_in};
use super::plan::{Kind, Plan, Step};
use super::rng::Rng;
use super::runner::run_with;
use super::world::{Happening, SECOND, World};
use crate::check::history::Op;
use quoll::replica::Stage;

/// A plan of these faults only, one after the other.
fn plan(seed: u64, kinds: &[Kind], every: u64, lasts: u64) -> Plan {
    let mut plan = Plan::quiet(seed);
    let mut rng = Rng::new(seed, 77);
    let mut at = 2 * SECOND;
    while at < plan.calm {
        let kind = *rng.pick(kinds);
        plan.steps.push(Step { at, kind, chance: rng.next(), lasts: rng.range(lasts / 2, lasts * 2) });
        at += rng.range(every / 2, every * 2);
    }
    plan
}

/// Runs such plans and hands each world to `see` afterwards.
fn run(
    seeds: u64,
    kinds: &[Kind],
    every: u64,
    lasts: u64,
    edit: impl Fn(&mut Plan),
    see: impl Fn(&World) -> u64,
) {
    let mut seen = 0;
    for seed in 1..=seeds {
        let mut plan = plan(seed, kinds, every, lasts);
        edit(&mut plan);
        let mut world = World::new(plan);
        if let Some(why) = world.run().failure {
            panic!("seed {seed}: {why}");
        }
        seen += see(&world);
    }
    assert!(seen > 0, "what this is about never came up");
}

fn of(kinds: &'static [Kind]) -> impl Fn(&World) -> u64 {
    move |world| kinds.iter().map(|k| world.counts[*k as usize]).sum()
}

fn leads(world: &World, n: usize) -> bool {
    world.servers[n].live.as_ref().is_some_and(|l| l.stage == Stage::Leading { serving: true })
}

const SHORT: u64 = SECOND / 5;

#[test]
fn row_01_no_vote_exceeds_the_durable_log_after_a_crash_in_a_sync() {
    run(30, &[Kind::PowerLoss], SECOND / 2, SHORT, |p| p.disk = 20_000, of(&[Kind::LostWrites]));
}

#[test]
fn row_02_an_ack_means_that_all_before_it_is_durable() {
    run(20, &[Kind::SlowDisk, Kind::PowerLoss], SECOND, SHORT, |p| p.pipeline = 8, of(&[Kind::SlowDisk]));
}

#[test]
fn row_03_a_slow_disk_and_a_sync_lose_nothing() {
    run(20, &[Kind::SlowDisk, Kind::Reset], SECOND / 3, SHORT, |p| p.disk = 20_000, of(&[Kind::Reset]));
}

#[test]
fn row_04_no_order_of_commits_and_acks_of_a_sync_breaks_anything() {
    run(
        20,
        &[Kind::Reset, Kind::SlowReader],
        SECOND / 4,
        SHORT,
        |p| (p.lag, p.pipeline) = (30_000, 8),
        of(&[Kind::Reset]),
    );
}

#[test]
fn row_05_a_short_memory_of_commits_has_no_gap() {
    let edit = |p: &mut Plan| (p.commit_log_count, p.log_sync) = (5, false);
    run(20, &[Kind::Isolation, Kind::Kill], SECOND, SECOND, edit, of(&[Kind::Kill]));
}

#[test]
fn row_06_a_disk_that_fails_once_leaves_no_memory_ahead_of_the_log() {
    run(20, &[Kind::Eio], SECOND, SHORT, |_| {}, of(&[Kind::Eio]));
}

#[test]
fn row_07_writes_of_an_old_role_do_not_reach_the_disk() {
    run(
        20,
        &[Kind::Isolation, Kind::SlowDisk],
        SECOND,
        2 * SECOND,
        |p| p.disk = 20_000,
        of(&[Kind::Isolation]),
    );
}

#[test]
fn row_08_and_10_an_uncommitted_tail_goes_when_another_leader_has_gone_on() {
    let edit = |p: &mut Plan| (p.tick, p.pipeline) = (200, 8);
    run(30, &[Kind::Isolation], 3 * SECOND, 2 * SECOND, edit, of(&[Kind::Isolation]));
}

#[test]
fn row_09_a_snapshot_in_part_is_never_trusted() {
    let edit = |p: &mut Plan| p.force_snapshots = true;
    run(30, &[Kind::Kill, Kind::PowerLoss, Kind::Reset], SECOND / 3, SHORT, edit, of(&[Kind::PowerLoss]));
}

#[test]
fn row_11_leaders_that_crash_one_after_the_other_use_no_epoch_twice() {
    let edit = |p: &mut Plan| (p.clients, p.think) = (1, 2_000_000);
    run(20, &[Kind::Kill, Kind::PowerLoss], SECOND / 2, SHORT, edit, of(&[Kind::Kill]));
}

/// Epochs are made to end early, which needs the feature.
#[cfg(feature = "planted-bugs")]
#[test]
fn row_12_an_epoch_whose_counter_ends_goes_over_into_the_next() {
    run(10, &[Kind::Reset], 4 * SECOND, SHORT, |p| p.rollover = true, of(&[Kind::Rollover]));
}

#[test]
fn row_16_every_one_way_cut_leaves_a_majority_that_works() {
    for voters in [3, 5] {
        for from in 0..voters {
            for to in (0..voters).filter(|to| *to != from) {
                let mut plan = Plan::quiet((voters * 100 + from * 10 + to) as u64);
                (plan.voters, plan.tick, plan.calm) = (voters, 200, 3 * SECOND);
                let mut world = World::new(plan);
                world.run_until(3 * SECOND, |_| false);
                world.cuts.cut(from, to);
                world.calm = true;
                world.started_writing = world.now + SECOND;
                let until = world.now + 20 * SECOND;
                let written = world.run_until(until, World::has_written);
                assert!(world.failure.is_none(), "{:?}", world.failure);
                assert!(written, "nothing was written with {} not reaching {}", from + 1, to + 1);
            }
        }
    }
}

#[test]
fn row_13_a_new_leader_comes_soon_although_others_are_silent() {
    for (voters, seed) in [(3, 1), (5, 2), (5, 3)] {
        let mut plan = Plan::quiet(seed);
        (plan.voters, plan.tick, plan.calm) = (voters, 200, 3 * SECOND);
        let mut world = World::new(plan);
        world.run_until(3 * SECOND, |_| false);
        let leader = (0..voters).find(|n| leads(&world, *n)).expect("a leader");
        let files = world.servers[leader].files.clone();
        world.stop(leader, files, true);
        let from = world.now;
        // Five ticks of silence, and as much again for the election.
        let limit = from + 2 * 5 * 200_000;
        let found = world.run_until(limit, |w| (0..voters).any(|n| n != leader && leads(w, n)));
        assert!(found, "no leader of {voters} after {} ms", (world.now - from) / 1000);
    }
}

/// Bits of logs, snapshots and epoch files, on whichever of three: what is served is right, or the server leaves and
/// takes everything from the others. `tests/crash.rs` changes every byte, and looks at one server alone.
#[test]
fn row_20_a_changed_bit_on_one_server_loses_nothing() {
    let (mut changed, mut left) = ([0; 3], 0);
    for seed in 1..=60 {
        let mut rng = Rng::new(seed, 78);
        let mut plan = Plan::quiet(seed);
        (plan.tick, plan.snap_count, plan.calm) = (200, 60, 6 * SECOND);
        let mut world = World::new(plan);
        world.run_until(2 * SECOND + rng.below(SECOND), |_| false);
        let n = rng.index(3);
        // What only this server and a quorum's least have must not be hit: nobody could give it back.
        let limit = world.now + SECOND;
        if !world.run_until(limit, |w| w.can_lose(n)) {
            continue;
        }
        let files = world.servers[n].live.as_ref().expect("it runs").disk.kill(&mut rng);
        let kind = (seed % 3) as usize;
        let flipped = match kind {
            0 => flip(&files, &mut rng),
            1 => flip_in(&files, "acceptedEpoch", &mut rng),
            _ => flip_in(&files, "currentEpoch", &mut rng),
        };
        let Some(what) = flipped else { continue };
        world.stop(n, files, false);
        world.servers[n].damaged = true;
        let life = world.servers[n].life;
        world.after(SECOND / 10, Happening::Start(n, life));
        // Whoever refuses to start gets an empty disk at once, and starts again a tenth of a second later.
        world.run_until(world.now + SECOND * 3 / 20, |_| false);
        left += u64::from(world.servers[n].blank);
        let failure = world.run().failure;
        assert_eq!(failure, None, "seed {seed}, server {}: {what}", n + 1);
        changed[kind] += 1;
    }
    assert!(changed.iter().all(|n| *n > 10) && left > 10, "{changed:?} were changed, {left} left");
}

#[test]
fn row_21_a_disk_that_is_full_in_a_write_a_cut_or_a_snapshot_splits_nothing() {
    let kinds = [Kind::NoSpace, Kind::NoSpace, Kind::Isolation];
    run(30, &kinds, SECOND, 2 * SECOND, |p| (p.tick, p.pipeline) = (200, 8), of(&[Kind::NoSpace]));
    let snapshots = |p: &mut Plan| (p.tick, p.force_snapshots, p.snap_count) = (200, true, 15);
    run(20, &[Kind::NoSpace, Kind::Kill], SECOND / 2, SECOND, snapshots, of(&[Kind::NoSpace]));
}

/// Writes through others than `but` that were asked for in this time: how many, and the time that 99 of 100 took.
fn writes(world: &World, but: usize, time: std::ops::Range<u64>) -> (usize, u64) {
    let is_write =
        |op: &Op| matches!(op, Op::Create { .. } | Op::Delete { .. } | Op::Set { .. } | Op::Multi(_));
    let calls = world.history.calls.iter();
    let calls = calls.filter(|c| c.server != but as i64 + 1 && time.contains(&c.invoke) && is_write(&c.op));
    let mut took: Vec<u64> = calls.filter_map(|c| Some(c.done.as_ref()?.at - c.invoke)).collect();
    took.sort_unstable();
    (took.len(), took.get(took.len() * 99 / 100).copied().unwrap_or(u64::MAX))
}

#[test]
fn row_25_a_slow_disk_of_a_follower_slows_nobody_down_and_a_leader_hands_over() {
    for (seed, stall) in [(1, 2), (2, 5), (3, 10), (4, 30)] {
        let mut plan = Plan::quiet(seed);
        (plan.clients, plan.pipeline, plan.think, plan.calm) = (6, 1, 20_000, 60 * SECOND);
        let mut world = World::new(plan);
        world.run_until(12 * SECOND, |_| false);
        let leader = (0..3).find(|n| leads(&world, *n)).expect("a leader");
        let slow = (leader + 1) % 3;
        let (from, until) = (world.now, world.now + stall * SECOND);
        world.servers[slow].slow_disk_until = until;
        world.run_until(until, |_| false);
        let (count, before) = writes(&world, slow, 2 * SECOND..from);
        let (kept, during) = writes(&world, slow, from..until);
        let expected = count as u64 * stall / 10;
        assert!(kept as u64 > expected / 2, "{kept} writes in {stall} s, {count} in 10 s before");
        assert!(during <= 2 * before, "{stall} s: {during} us, {before} us before");
        assert!(leads(&world, leader), "the leader stays");
        assert_eq!(world.run().failure, None, "seed {seed}");
    }
    for seed in 1..=5 {
        let mut plan = Plan::quiet(seed);
        (plan.tick, plan.calm) = (200, 40 * SECOND);
        let mut world = World::new(plan);
        world.run_until(4 * SECOND, |_| false);
        let leader = (0..3).find(|n| leads(&world, *n)).expect("a leader");
        let until = world.now + 30 * SECOND;
        world.servers[leader].slow_disk_until = until;
        // Five ticks to see it, and as much again for the election.
        let limit = world.now + 2 * 2 * 5 * 200_000;
        let found = world.run_until(limit, |w| (0..3).any(|n| n != leader && leads(w, n)));
        assert!(found, "seed {seed}: nobody took over");
        world.started_writing = world.now;
        assert!(world.run_until(until, World::has_written), "seed {seed}: nothing was written");
        assert_eq!(world.run().failure, None, "seed {seed}");
    }
}

#[test]
fn row_27_ephemerals_go_with_their_sessions_whatever_happens() {
    let kinds = [Kind::ClientCut, Kind::Kill, Kind::Isolation];
    run(
        30,
        &kinds,
        SECOND,
        2 * SECOND,
        |p| p.tick = 200,
        |w| {
            w.history
                .logs
                .iter()
                .filter(|l| l.server == 0 && l.payload[28..32] == (-11_i32).to_be_bytes())
                .count() as u64
        },
    );
}

#[test]
fn row_30_a_peer_that_reads_nothing_stops_nobody_else() {
    run(20, &[Kind::SlowReader], SECOND, 3 * SECOND, |p| p.pipeline = 8, of(&[Kind::SlowReader]));
}

#[test]
fn row_32_a_leader_that_stood_still_commits_nothing_of_its_own() {
    let edit = |p: &mut Plan| p.tick = 200;
    run(20, &[Kind::Pause], 2 * SECOND, SECOND * 3 / 2, edit, of(&[Kind::Pause]));
    run(10, &[Kind::Pause], 12 * SECOND, 10 * SECOND, edit, of(&[Kind::Pause]));
}

#[test]
fn row_33_no_session_ends_because_a_clock_jumps() {
    for seed in 1..=10 {
        let outcome = run_with(plan(seed, &[Kind::WallJump], SECOND / 2, SHORT), |_| {});
        assert_eq!(outcome.failure, None, "seed {seed}");
        let mut world = World::new(plan(seed, &[Kind::WallJump], SECOND / 2, SHORT));
        world.run();
        // What expires by silence has no number of a request.
        let expired = |p: &[u8]| p[28..32] == (-11_i32).to_be_bytes() && p[8..12] == [0; 4];
        let ended = world.history.logs.iter().filter(|l| l.server == 0 && expired(&l.payload)).count();
        assert_eq!(ended, 0, "seed {seed}");
    }
}
