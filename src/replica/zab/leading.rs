//! A leader: agrees on an epoch, brings learners up to its history, then orders what everybody asks.

use super::member::{Ctx, Flow, Member};
use crate::replica::Status;
use crate::replica::io::Input;
use crate::state::TreeView;
use crate::types::{Millis, SessionId};

/// A leader.
#[derive(Debug)]
pub struct Leading {}

impl Leading {
    /// The election was won.
    pub fn begin<T: TreeView>(ctx: &mut Ctx<'_, T>) -> Self {
        let _ = ctx;
        Self {}
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

    /// The expiry buckets.
    #[must_use]
    pub fn expiry_buckets(&self) -> Vec<(Millis, Vec<SessionId>)> {
        Vec::new()
    }
}
