//! What a seed stands for: the ensemble, its pace, and the list of what will go wrong and when.
//!
//! The whole plan is made before anything runs, so a failing run can be repeated with some of its faults left
//! out. Invariant: no fault of a plan takes the data of a quorum.

use super::rng::Rng;

/// Everything that can go wrong, each with a floor in a full run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// Messages take long, some very long.
    Delay,
    /// A connection breaks, both sides know.
    Reset,
    /// A connection breaks and one side does not know.
    HalfOpen,
    /// One server does not reach another one, which reaches it.
    OneWay,
    /// Two servers do not see each other, a third one sees both.
    Bridge,
    /// A server is cut off from all others.
    Isolation,
    /// A client loses a server.
    ClientCut,
    /// A receiver reads nothing for a while.
    SlowReader,
    /// The process is killed.
    Kill,
    /// The machine loses power, between any two operations of its disk.
    PowerLoss,
    /// A power loss takes writes that no sync covered.
    LostWrites,
    /// It keeps later ones and takes earlier ones.
    Reordered,
    /// It leaves one in part.
    TornWrite,
    /// The process stands still for a while.
    Pause,
    /// Its monotonic clock runs up to 10 % fast or slow.
    Skew,
    /// Its wall clock jumps.
    WallJump,
    /// A write or sync fails.
    Eio,
    /// The disk is full.
    NoSpace,
    /// Syncs of the log take long.
    SlowDisk,
    /// The last syncs of the log were none.
    LyingSync,
    /// A bit of a file changes.
    BitFlip,
    /// The disk is empty.
    Wipe,
    /// The membership changes.
    Reconfig,
    /// The counter of the epoch is near its end.
    Rollover,
    /// A vote comes twice.
    DuplicateVote,
    /// The port of leaders cannot be opened.
    NoPort,
}

/// All of them.
pub const KINDS: [Kind; 26] = {
    use Kind::*;
    [
        Delay,
        Reset,
        HalfOpen,
        OneWay,
        Bridge,
        Isolation,
        ClientCut,
        SlowReader,
        Kill,
        PowerLoss,
        LostWrites,
        Reordered,
        TornWrite,
        Pause,
        Skew,
        WallJump,
        Eio,
        NoSpace,
        SlowDisk,
        LyingSync,
        BitFlip,
        Wipe,
        Reconfig,
        Rollover,
        DuplicateVote,
        NoPort,
    ]
};

/// Those that happen at a moment; the others come with one of these or hold for the whole run.
const MOMENTS: [Kind; 20] = {
    use Kind::*;
    [
        Reset, HalfOpen, OneWay, Bridge, Isolation, ClientCut, SlowReader, Kill, PowerLoss, Pause, WallJump,
        Eio, NoSpace, SlowDisk, LyingSync, BitFlip, Wipe, Reconfig, NoPort, Kill,
    ]
};

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// When, in microseconds.
    pub at: u64,
    /// What.
    pub kind: Kind,
    /// Decides whom it meets and how badly.
    pub chance: u64,
    /// How long it lasts, in microseconds; never into the calm.
    pub lasts: u64,
}

/// What a seed stands for.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub voters: usize,
    pub observers: usize,
    pub hierarchical: bool,
    /// tickTime in ms.
    pub tick: i64,
    pub clients: usize,
    /// Requests a client may have on their way.
    pub pipeline: usize,
    /// Pause of a client between two requests, at most, in microseconds.
    pub think: u64,
    /// Longest delay of a message, and of a disk, in microseconds.
    pub delay: u64,
    pub disk: u64,
    /// How long applying lags behind, at most, in microseconds.
    pub lag: u64,
    pub pre_alloc: u64,
    pub snap_count: u64,
    /// One message in so many takes a hundred times as long; 0 for none.
    pub slow_one_in: u64,
    /// One vote in so many comes twice; 0 for none.
    pub twice_one_in: u64,
    pub skew: bool,
    pub rollover: bool,
    pub force_snapshots: bool,
    pub log_sync: bool,
    pub commit_log_count: usize,
    /// Faults end here, in microseconds.
    pub calm: u64,
    pub steps: Vec<Step>,
}

impl Plan {
    /// The plan of a seed.
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed, 1);
        let voters = *rng.pick(&[3, 3, 3, 5]);
        let observers = usize::from(rng.one_in(4));
        let tick = *rng.pick(&[200, 500, 1000]);
        let calm = rng.range(7, 26) * 1_000_000;
        // A swarm: each seed has some of the kinds, so that none of them hides what another one shows.
        let n = rng.range(1, 6) as usize;
        let chosen: Vec<Kind> = (0..n).map(|_| *rng.pick(&MOMENTS)).collect();
        let every = *rng.pick(&[400_000, 1_000_000, 2_500_000]);
        let mut steps = Vec::new();
        let mut at = 1_500_000;
        loop {
            at += rng.range(every / 4, every * 2);
            if at >= calm {
                break;
            }
            let lasts = match rng.below(4) {
                0 => rng.range(1_000, 200_000),
                1 => rng.range(tick as u64 * 12_000, tick as u64 * 25_000),
                _ => rng.range(200_000, 3_000_000),
            };
            let lasts = lasts.min(calm - at);
            steps.push(Step { at, kind: *rng.pick(&chosen), chance: rng.next(), lasts });
        }
        Self {
            seed,
            voters,
            observers,
            hierarchical: voters == 5 && rng.one_in(6),
            tick,
            clients: rng.range(2, 6) as usize,
            pipeline: *rng.pick(&[1, 2, 4, 8]),
            think: *rng.pick(&[20_000, 80_000, 200_000]),
            delay: *rng.pick(&[1_000, 2_000, 20_000]),
            disk: *rng.pick(&[500, 3_000, 20_000]),
            lag: *rng.pick(&[0, 0, 2_000, 30_000]),
            pre_alloc: *rng.pick(&[0, 4096, 8192]),
            snap_count: *rng.pick(&[15, 60, 300]),
            slow_one_in: if rng.one_in(4) { rng.range(20, 500) } else { 0 },
            twice_one_in: if rng.one_in(3) { 10 } else { 0 },
            skew: rng.one_in(5),
            rollover: rng.one_in(16),
            force_snapshots: rng.one_in(12),
            log_sync: !rng.one_in(3),
            commit_log_count: *rng.pick(&[5, 50, 500]),
            calm,
            steps,
        }
    }

    /// A quiet ensemble of three.
    pub fn quiet(seed: u64) -> Self {
        Self {
            voters: 3,
            observers: 0,
            hierarchical: false,
            skew: false,
            rollover: false,
            slow_one_in: 0,
            twice_one_in: 0,
            steps: Vec::new(),
            ..Self::new(seed)
        }
    }

    /// How many servers there are.
    pub fn servers(&self) -> usize {
        self.voters + self.observers
    }
}
