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
    /// How many bytes of the log are there, from that block on.
    end: usize,
    /// Between batches there is room for so many bytes.
    room: usize,
}

impl Blocks {
    /// At the begin of a file; between batches there is room for `room` bytes.
    pub(super) fn new(room: usize) -> Self {
        let mut blocks = Self { memory: Vec::new(), at: 0, end: 0, room };
        blocks.move_to(room);
        blocks
    }

    /// Other memory, for so many bytes, with what the log has here.
    fn move_to(&mut self, room: usize) {
        let mut memory: Vec<u8> = Vec::with_capacity(room + 2 * BLOCK);
        // Without such an address the system refuses to go past the cache, and nothing else.
        let at = memory.as_ptr().align_offset(BLOCK).min(BLOCK);
        memory.resize(at, 0);
        memory.extend(self.memory.drain(self.at..));
        (self.memory, self.at) = (memory, at);
    }

    /// Whole blocks that begin with what is held: the batch behind it, then `zeros`, and more to the boundary.
    pub(super) fn lay(&mut self, batch: &[u8], zeros: usize) -> &[u8] {
        let end = self.end + batch.len();
        let len = (end + zeros).next_multiple_of(BLOCK);
        if self.memory.capacity() < self.at + len {
            self.move_to(len);
        }
        self.memory.extend_from_slice(batch);
        self.memory.resize(self.at + len, 0);
        self.end = end;
        self.memory.split_at(self.at).1
    }

    /// What was laid is written: holds the part of it that fills no block.
    pub(super) fn written(&mut self) {
        let full = self.end / BLOCK * BLOCK;
        self.memory.copy_within(self.at + full..self.at + self.end, self.at);
        self.end -= full;
        self.memory.truncate(self.at + self.end);
        if self.memory.capacity() > self.room + 2 * BLOCK {
            self.move_to(self.room);
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
                blocks.written();
                prop_assert!(blocks.memory.capacity() <= KEEP + 2 * BLOCK);
                prop_assert_eq!(&disk[..log.len()], &log[..]);
                prop_assert!(disk[log.len()..].iter().all(|byte| *byte == 0));
            }
        }
    }
}
