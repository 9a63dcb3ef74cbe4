//! What waits to be sent on one link: packets as bytes, and long things to be made on the way.
//!
//! Putting in never waits. Invariant: pieces leave in the order they were put in, and no more bytes wait than the
//! limit (several times the limit behind a feed) and one packet; feeds cost nothing until their turn comes.

use super::super::service::{Feed, Left};
use crate::types::Millis;
use parking_lot::Mutex;
use std::collections::VecDeque;
use tokio::sync::Notify;

/// Capacity that is kept for the next bytes.
const KEEP: usize = 256 * 1024;

/// Of so many packets one is marked, so that its wait can be told (`LearnerHandler.queuePacket`).
const MARKED: u64 = 1000;

/// Behind a feed this many times the limit may wait. A learner reads nothing else while it takes a large tree; cut off for
/// what was written meanwhile it would begin again with the same tree, for as long as clients write that much.
const BEHIND_FEED: usize = 4;

/// Whole packets, and how they waited.
#[derive(Debug, Default)]
pub(super) struct Packets {
    pub(super) bytes: Vec<u8>,
    pub(super) left: Left,
}

/// A part of what waits.
pub(super) enum Piece {
    /// Packets.
    Packets(Packets),
    /// Something long.
    Feed(Box<dyn Feed + Send>),
}

#[derive(Default)]
struct Inner {
    pieces: VecDeque<Piece>,
    /// Of all pieces, and of what was taken and has not left.
    bytes: usize,
    /// Packets that wait, the same.
    packets: u64,
    /// Packets that were ever put in.
    count: u64,
    spare: Vec<u8>,
    /// A feed is on its way.
    feeding: bool,
    /// There was a feed, and what was put in behind it is still more than the limit.
    behind_feed: bool,
}

impl Inner {
    /// What was put in behind a feed has come down to the limit.
    fn relax(&mut self, most: usize) {
        let waits = |pieces: &VecDeque<Piece>| pieces.iter().any(|piece| matches!(piece, Piece::Feed(_)));
        self.behind_feed &= self.feeding || self.bytes > most || waits(&self.pieces);
    }
}

/// The queue between whoever decides and the task that owns the socket.
pub(super) struct Outbox {
    inner: Mutex<Inner>,
    filled: Notify,
    most: usize,
}

impl Outbox {
    /// Nothing waits; `most` bytes may.
    pub(super) fn new(most: usize) -> Self {
        Self { inner: Mutex::default(), filled: Notify::new(), most }
    }

    /// Lets `write` append a packet; `now` is asked for if it is one to be marked. False if too much waits.
    #[must_use]
    pub(super) fn put(&self, now: impl FnOnce() -> Millis, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut inner = self.inner.lock();
        let Inner { pieces, bytes, packets, count, spare, behind_feed, .. } = &mut *inner;
        if !matches!(pieces.back(), Some(Piece::Packets(_))) {
            let bytes = std::mem::take(spare);
            pieces.push_back(Piece::Packets(Packets { bytes, left: Left::default() }));
        }
        if let Some(Piece::Packets(last)) = pieces.back_mut() {
            let before = last.bytes.len();
            write(&mut last.bytes);
            *bytes += last.bytes.len().saturating_sub(before);
            last.left.note(*packets);
            if count.is_multiple_of(MARKED) {
                last.left.marked.push(now());
            }
            *packets += 1;
            *count += 1;
        }
        let most = if *behind_feed { self.most.saturating_mul(BEHIND_FEED) } else { self.most };
        let fits = *bytes <= most;
        drop(inner);
        self.filled.notify_one();
        fits
    }

    /// Something long, behind everything that was put in.
    pub(super) fn stream(&self, feed: Box<dyn Feed + Send>) {
        let mut inner = self.inner.lock();
        inner.pieces.push_back(Piece::Feed(feed));
        inner.behind_feed = true;
        drop(inner);
        self.filled.notify_one();
    }

    /// The next piece, as much as there is of it. Whoever asks is done with the one before.
    pub(super) fn try_take(&self) -> Option<Piece> {
        let mut inner = self.inner.lock();
        let piece = inner.pieces.pop_front();
        inner.feeding = matches!(piece, Some(Piece::Feed(_)));
        inner.relax(self.most);
        piece
    }

    /// The next piece, once there is one.
    pub(super) async fn take(&self) -> Piece {
        loop {
            if let Some(piece) = self.try_take() {
                return piece;
            }
            self.filled.notified().await;
        }
    }

    /// Packets have left: their bytes, and how many they were.
    pub(super) fn sent(&self, mut piece: Vec<u8>, packets: u64) {
        let mut inner = self.inner.lock();
        inner.bytes = inner.bytes.saturating_sub(piece.len());
        inner.packets = inner.packets.saturating_sub(packets);
        inner.relax(self.most);
        if piece.capacity() <= KEEP && inner.spare.capacity() < piece.capacity() {
            piece.clear();
            inner.spare = piece;
        }
    }

    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.inner.lock().bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl Feed for Nothing {
        fn next(&mut self, _: &mut Vec<u8>) -> std::io::Result<bool> {
            Ok(false)
        }
    }

    #[test]
    fn more_may_wait_behind_a_feed_until_it_has_come_down() {
        let outbox = Outbox::new(100);
        let put = |n: usize| outbox.put(|| Millis(0), |out| out.extend(std::iter::repeat_n(7, n)));
        let sent = |piece: Option<Piece>| {
            let Some(Piece::Packets(packets)) = piece else { panic!("packets") };
            outbox.sent(packets.bytes, packets.left.packets);
        };
        assert!(put(100) && !put(1));
        sent(outbox.try_take());
        outbox.stream(Box::new(Nothing));
        assert!(put(350), "it is on its way");
        assert!(matches!(outbox.try_take(), Some(Piece::Feed(_))));
        assert!(put(50) && !put(1), "behind it is no place for everything, either");
        let behind = outbox.try_take();
        sent(behind);
        assert!(put(100) && !put(1), "and then as before");
    }
}
