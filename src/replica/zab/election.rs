//! Fast leader election: votes go round until a quorum names the same server.
//!
//! No sockets: votes come in, votes go out. Invariant: a decision rests on a quorum of the views in force, and a
//! server never votes for less than it has.

use super::member::{Ctx, Flow};
use super::packet::Notification;
use crate::state::TreeView;
use crate::types::{Millis, ServerId};

/// One round after the other until it is decided.
#[derive(Debug)]
pub struct Election {
    next: Option<Millis>,
}

impl Election {
    /// A new round.
    pub fn begin<T: TreeView>(ctx: &mut Ctx<'_, T>) -> (Self, Flow) {
        let _ = ctx;
        (Self { next: None }, Flow::Stay)
    }

    /// A vote came.
    pub fn heard<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, from: ServerId, n: &Notification) -> Flow {
        let _ = (ctx, from, n);
        Flow::Stay
    }

    /// Time has passed.
    pub fn tick<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>) -> Flow {
        let _ = ctx;
        Flow::Stay
    }

    /// When time matters next.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        self.next
    }
}

/// What a server says to votes while it is in no election itself.
pub fn answer<T: TreeView>(ctx: &mut Ctx<'_, T>, from: ServerId, n: &Notification) {
    let _ = (ctx, from, n);
}
