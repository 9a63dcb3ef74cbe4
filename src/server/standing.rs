//! What the server is to its clients at the moment, and the one place from which everybody reads it.
//!
//! It changes under the brain's lock only, when an effect says so; so whoever holds that lock knows whether what a
//! client asks will be taken.

use crate::replica::Stage;
use crate::report::Mode;
use std::sync::atomic::{AtomicU8, Ordering};

/// What the server is to its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Standing {
    /// The only server.
    Alone = 0,
    /// Nothing: it looks for a leader, or is not in sync.
    Away = 1,
    /// A leader that serves.
    Leader = 2,
    /// A follower in sync.
    Follower = 3,
    /// An observer in sync.
    Observer = 4,
    /// Without a leader, for clients that only read.
    ReadOnly = 5,
}

impl Standing {
    /// What a stage of the replica means to clients.
    pub(super) fn of(stage: Stage) -> Self {
        match stage {
            Stage::Leading { serving: true } => Self::Leader,
            Stage::Following { serving: true } => Self::Follower,
            Stage::Observing { serving: true } => Self::Observer,
            Stage::ReadOnly => Self::ReadOnly,
            Stage::Looking
            | Stage::Leading { serving: false }
            | Stage::Following { serving: false }
            | Stage::Observing { serving: false } => Self::Away,
        }
    }

    /// May clients write here?
    pub(super) fn takes_writes(self) -> bool {
        !matches!(self, Self::Away | Self::ReadOnly)
    }

    /// As operators see it; nothing while clients are not served.
    pub(super) fn mode(self) -> Option<Mode> {
        Some(match self {
            Self::Away => return None,
            Self::Alone => Mode::Standalone,
            Self::Leader => Mode::Leader,
            Self::Follower => Mode::Follower,
            Self::Observer => Mode::Observer,
            Self::ReadOnly => Mode::ReadOnly,
        })
    }
}

/// The standing, as everybody may read it.
#[derive(Debug)]
pub(super) struct StandingCell(AtomicU8);

impl StandingCell {
    pub(super) fn new(standing: Standing) -> Self {
        Self(AtomicU8::new(standing as u8))
    }

    pub(super) fn get(&self) -> Standing {
        match self.0.load(Ordering::Acquire) {
            0 => Standing::Alone,
            2 => Standing::Leader,
            3 => Standing::Follower,
            4 => Standing::Observer,
            5 => Standing::ReadOnly,
            _ => Standing::Away,
        }
    }

    pub(super) fn set(&self, standing: Standing) {
        self.0.store(standing as u8, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_comes_out() {
        let cell = StandingCell::new(Standing::Alone);
        assert_eq!(cell.get(), Standing::Alone);
        for stage in [
            Stage::Looking,
            Stage::ReadOnly,
            Stage::Leading { serving: true },
            Stage::Following { serving: true },
            Stage::Observing { serving: true },
            Stage::Following { serving: false },
        ] {
            let standing = Standing::of(stage);
            cell.set(standing);
            assert_eq!(cell.get(), standing);
        }
        assert_eq!(cell.get().mode(), None);
    }
}
