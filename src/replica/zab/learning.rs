//! A follower or an observer: promises the leader's epoch, takes its history, then what it proposes and commits.

use super::member::{Ctx, Flow, Member};
use crate::replica::Status;
use crate::replica::io::Input;
use crate::state::TreeView;
use crate::types::{Millis, ServerId};

/// A follower or an observer.
#[derive(Debug)]
pub struct Learning {}

impl Learning {
    /// The election named this leader.
    pub fn begin<T: TreeView>(ctx: &mut Ctx<'_, T>, leader: ServerId) -> Self {
        let _ = (ctx, leader);
        Self {}
    }

    /// Is it an observer?
    #[must_use]
    pub fn observes(&self) -> bool {
        false
    }

    /// One input.
    pub fn step<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, input: Input<'_>) -> Flow {
        let _ = (ctx, input);
        Flow::Stay
    }

    /// When time matters next.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        None
    }

    /// Figures.
    #[must_use]
    pub fn status(&self, me: &Member) -> Status {
        let _ = me;
        Status::default()
    }
}
