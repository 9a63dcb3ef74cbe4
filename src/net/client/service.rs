//! What a connection's task asks of the server. The server room implements it; scripted ones serve in tests.

use super::conn::Conn;
use super::gate::Gate;
use super::tally::{Reads, Tally};
use crate::auth::Rules;
use crate::replica::Origin;
use crate::state::{Machine, Watches};
use crate::types::Millis;
use crate::wire::{Greeting, WriteRequest};
use std::sync::Arc;

/// Hands writes to the order, one after the other, under one lock.
pub trait Driver {
    /// A client's write.
    fn write(&mut self, conn: &Conn, origin: Origin, op: i32, body: &[u8], request: WriteRequest<'_>);
    /// A client wants to see everything that was committed before.
    fn sync(&mut self, conn: &Conn, origin: Origin, body: &[u8]);
    /// A client ends its session.
    fn close_session(&mut self, conn: &Conn, origin: Origin);
}

/// What limits did to requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pressure {
    /// A large request would have been one too many.
    LargeRejected,
    /// A connection began a round of waiting.
    Stalled,
    /// A request has waited so long in front of the order.
    Waited(Millis),
    /// A request had waited too long to be run.
    Throttled,
    /// A request was stale when its turn came, and was dropped.
    StaleDropped,
    /// A request was stale when its turn came, and was run.
    Stale,
}

/// The server, as far as a connection's task sees it.
pub trait Service: Send + Sync + 'static {
    /// The monotonic clock.
    fn now(&self) -> Millis;

    /// The longest frame a client may send.
    fn max_frame(&self) -> usize;

    /// The rules of access.
    fn rules(&self) -> &Rules;

    /// Answers a greeting, now or later; the connection reads nothing until then.
    fn greet(&self, conn: &Arc<Conn>, greeting: &Greeting<'_>);

    /// Runs `f` under the shared lock of the state.
    fn read<R>(&self, f: impl FnOnce(&Machine, &Watches) -> R) -> R;

    /// Runs `f` with the order at hand. The state's lock must not be held.
    fn drive(&self, conn: &Conn, f: impl FnOnce(&mut dyn Driver));

    /// Is this a four-letter word, and if so, what is the answer? `rest` is what came in the same read. Both
    /// are counted here.
    fn four_letter(&self, conn: &Conn, word: [u8; 4], rest: &[u8]) -> Option<Vec<u8>>;

    /// How much may be in the works, and how much is.
    fn gate(&self) -> &Gate;

    /// Something was held up or turned down.
    fn pressed(&self, pressure: Pressure);

    /// Frames and bytes came in.
    fn received(&self, frames: u64, bytes: u64);

    /// Requests that are no writes, read at `since`, were answered.
    fn answered(&self, since: Millis, now: Millis, tally: &Tally<'_>);

    /// Nodes of a namespace were read.
    fn read_namespace(&self, namespace: &str, reads: Reads);

    /// A reply went out that answers no request of the session's order.
    fn replied_aside(&self, bytes: u64);

    /// The client went away without a word.
    fn vanished(&self);

    /// The connection is over: forget its watches, its session's place, its slot.
    fn gone(&self, conn: &Arc<Conn>);
}
