//! Where a packet ends. Packets follow each other without a length in front, so the fields have to be walked.
//!
//! Invariant: bytes are walked once, however small the pieces they come in; nothing is reserved for what was only
//! announced.

use super::PeerError;

/// Type and zxid in front of the data's length.
const HEAD: usize = 12;

/// Walks one packet after the other.
#[derive(Debug, Clone)]
pub struct Extent {
    /// Longest data, and longest identities all in all.
    most: usize,
    /// Where the next number of the current packet stands, or its end.
    at: usize,
    stage: Stage,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// The length of the data comes next.
    Data,
    /// The count of identities.
    Count,
    /// So many strings, of the identities that start there.
    Strings { left: u64, start: usize },
}

impl Extent {
    /// At the front of a packet whose data and identities are `most` bytes long at most.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most, at: HEAD, stage: Stage::Data }
    }

    /// The length of the packet at the front of `bytes`, once all of it is there. Between two calls `bytes` may only
    /// grow; after a length the packet must be taken off the front.
    pub fn find(&mut self, bytes: &[u8]) -> Result<Option<usize>, PeerError> {
        loop {
            if let Stage::Strings { left: 0, .. } = self.stage {
                let length = self.at;
                if bytes.len() < length {
                    return Ok(None);
                }
                *self = Self::new(self.most);
                return Ok(Some(length));
            }
            let Some(number) = bytes.get(self.at..).and_then(<[u8]>::first_chunk) else { return Ok(None) };
            let number = i32::from_be_bytes(*number);
            let behind = self.at + 4;
            match self.stage {
                Stage::Data => {
                    self.at = self.skip("data", number, behind, behind)?;
                    self.stage = Stage::Count;
                }
                Stage::Count => {
                    // As for the reference, a negative count is an empty vector.
                    let left = 2 * u64::from(number.max(0).cast_unsigned());
                    (self.at, self.stage) = (behind, Stage::Strings { left, start: behind });
                }
                Stage::Strings { left, start } => {
                    self.at = self.skip("identities", number, start, behind)?;
                    self.stage = Stage::Strings { left: left - 1, start };
                }
            }
        }
    }

    /// Behind a field of this length; all from `start` on must be no longer than what is taken.
    fn skip(&self, what: &'static str, number: i32, start: usize, at: usize) -> Result<usize, PeerError> {
        let length = if number == -1 { Some(0) } else { usize::try_from(number).ok() };
        length
            .filter(|length| *length <= self.most)
            .map(|length| at.saturating_add(length))
            .filter(|end| end.saturating_sub(start) <= self.most)
            .ok_or(PeerError::Length { what, length: i64::from(number), most: self.most })
    }
}
