//! The end of a log as whole blocks, which is how it is written: past the system's cache nothing else can be. It
//! writes nothing itself.
//!
//! Invariant: what is held are the log's bytes from the last boundary of a block to its end, so a block that is
//! written again has what it had, and more.

use super::files::BLOCK;

/// A batch laid out in whole blocks, in memory that begins at a multiple of one.
pub(super) struct Blocks {
    memory: Vec<u8>,
    /// Where in the memory the first block begins.
    at: usize,
    /// How many bytes of the block that is not full yet are held.
    held: usize,
    /// The memory is not larger than for so many bytes between batches.
    keep: usize,
}

impl Blocks {
    /// At the begin of a file; between batches there is room for `keep` bytes.
    pub(super) fn new(keep: usize) -> Self {
        let mut blocks = Self { memory: Vec::new(), at: 0, held: 0, keep };
        blocks.resize(keep);
        blocks
    }

    fn resize(&mut self, room: usize) {
        let memory = vec![0; room.next_multiple_of(BLOCK) + BLOCK];
        // Without such an address the system refuses to go past the cache, and nothing else.
        let at = memory.as_ptr().align_offset(BLOCK).min(BLOCK);
        let old = std::mem::replace(self, Self { memory, at, ..*self });
        let held = old.memory.get(old.at..old.at + old.held);
        if let (Some(to), Some(held)) = (self.memory.get_mut(at..at + self.held), held) {
            to.copy_from_slice(held);
        }
    }

    /// Whole blocks that begin with what is held: the batch behind it, then `zeros`, and more to the boundary.
    pub(super) fn lay(&mut self, batch: &[u8], zeros: usize) -> &[u8] {
        let end = self.held + batch.len();
        let len = (end + zeros).next_multiple_of(BLOCK);
        if self.memory.len() < len + BLOCK {
            self.resize(len);
        }
        let memory = self.memory.get_mut(self.at..self.at + len).unwrap_or_default();
        if let Some((front, rest)) = memory.split_at_mut_checked(end) {
            if let Some(room) = front.get_mut(self.held..) {
                room.copy_from_slice(batch);
            }
            rest.fill(0);
        }
        memory
    }

    /// The batch was written: holds the part of it that fills no block.
    pub(super) fn hold(&mut self, batch: &[u8]) {
        let keep = (self.held + batch.len()) % BLOCK;
        // Less than what is to be kept: the block goes on.
        let (from, to) = batch.len().checked_sub(keep).map_or((0, self.held), |from| (from, 0));
        let room = self.memory.get_mut(self.at + to..self.at + keep);
        if let (Some(room), Some(bytes)) = (room, batch.get(from..)) {
            room.copy_from_slice(bytes);
        }
        self.held = keep;
        if self.memory.len() > self.keep.next_multiple_of(BLOCK) + BLOCK {
            self.resize(self.keep);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEEP: usize = 3 * BLOCK;

    proptest! {
        #[test]
        fn blocks_written_over_one_another_are_the_log(
            batches in prop::collection::vec(
                (prop_oneof![1..300usize, 1..9000usize, 4090..4100usize, 50_000..60_000usize],
                 prop_oneof![Just(0), 0..30_000usize]),
                1..40,
            )
        ) {
            let mut blocks = Blocks::new(KEEP);
            let (mut log, mut disk) = (Vec::new(), Vec::new());
            for (n, (size, zeros)) in batches.into_iter().enumerate() {
                let batch: Vec<u8> = (0..size).map(|i| (n + i) as u8 | 1).collect();
                let laid = blocks.lay(&batch, zeros);
                prop_assert_eq!((laid.as_ptr().align_offset(BLOCK), laid.len() % BLOCK), (0, 0));
                let begin = log.len() / BLOCK * BLOCK;
                disk.truncate(begin);
                disk.extend_from_slice(laid);
                log.extend_from_slice(&batch);
                prop_assert_eq!(disk.len(), (log.len() + zeros).next_multiple_of(BLOCK));
                blocks.hold(&batch);
                prop_assert!(blocks.memory.len() <= KEEP + BLOCK);
                prop_assert_eq!(&disk[..log.len()], &log[..]);
                prop_assert!(disk[log.len()..].iter().all(|byte| *byte == 0));
            }
        }
    }
}
