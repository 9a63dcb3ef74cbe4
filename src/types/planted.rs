//! Bugs that tests plant on purpose, to see that they are found, and epochs that end early, to see the next one begin.
//! Without the feature `planted-bugs` none of this is at work: [`is`] is then the constant `false`, and the compiler
//! leaves out what hangs on it.

/// A bug that can be planted. Each is one that a server of this kind has really had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bug {
    /// A transaction is acknowledged before it is on disk.
    AckBeforeFsync,
    /// The current epoch is saved before the history that it stands for.
    EpochBeforeLog,
    /// A learner ignores the order to cut its log.
    NoTrunc,
    /// One server less than a quorum is enough to commit.
    MinorityCommit,
    /// A transaction is missing among those kept in memory for learners.
    CommittedLogGap,
    /// A client that has seen more than the server is let in.
    StaleZxidSeen,
    /// An event is sent behind the reply of the transaction that caused it.
    WatchAfterReply,
    /// A sync is answered from what this server has.
    LocalSync,
    /// A multi that fails leaves its first operations done.
    PartialMulti,
    /// A sequential node takes the number of the one before.
    SequenceReuse,
    /// An ephemeral stays when its session ends.
    OrphanEphemeral,
    /// A write of an earlier role reaches the disk behind a cut.
    WriteAfterRoleChange,
    /// A promised epoch is not written down.
    EpochReuse,
    /// A session ends before its time.
    EarlyExpiry,
}

/// All of them.
pub const ALL: [Bug; 14] = {
    use Bug::*;
    [
        AckBeforeFsync,
        EpochBeforeLog,
        NoTrunc,
        MinorityCommit,
        CommittedLogGap,
        StaleZxidSeen,
        WatchAfterReply,
        LocalSync,
        PartialMulti,
        SequenceReuse,
        OrphanEphemeral,
        WriteAfterRoleChange,
        EpochReuse,
        EarlyExpiry,
    ]
};

#[cfg(feature = "planted-bugs")]
mod switch {
    use super::Bug;
    use std::cell::Cell;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
        static LAST_COUNTER: Cell<u32> = const { Cell::new(u32::MAX) };
    }

    /// Plants this bug in every server that this thread runs, and no other.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }

    /// Lets epochs of this thread's servers end early.
    pub fn end_epochs_at(counter: u32) {
        LAST_COUNTER.set(counter);
    }

    /// The counter that no transaction gets: before it the epoch ends.
    #[must_use]
    pub fn last_counter() -> u32 {
        LAST_COUNTER.get()
    }

    /// Is it planted?
    #[must_use]
    pub fn is(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }
}

#[cfg(feature = "planted-bugs")]
pub use switch::{end_epochs_at, is, last_counter, plant};

/// Is it planted? Never.
#[cfg(not(feature = "planted-bugs"))]
#[must_use]
pub const fn is(_: Bug) -> bool {
    false
}

/// The counter that no transaction gets: before it the epoch ends (`Leader.propose`).
#[cfg(not(feature = "planted-bugs"))]
#[must_use]
pub const fn last_counter() -> u32 {
    u32::MAX
}

/// Changes nothing.
#[cfg(not(feature = "planted-bugs"))]
pub const fn end_epochs_at(_: u32) {}

/// Plants nothing.
#[cfg(not(feature = "planted-bugs"))]
pub const fn plant(_: Option<Bug>) {}
