//! Whole frames off the front of a buffer, and the requests in them.
//!
//! Invariant: nothing is set aside for a length that was announced; bytes count once they are there.

use super::gate::Gate;
use crate::wire::{Envelope, ReadRequest, Refusal, Request};

/// Why the client is not listened to any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfit {
    /// A negative length, or one beyond the limit.
    Length,
    /// One large request too many.
    Large,
}

/// One request, with the bytes it came in.
pub(super) struct Item<'f> {
    pub(super) frame: &'f [u8],
    pub(super) request: Envelope<'f>,
}

impl Item<'_> {
    /// Does it go through the order?
    pub(super) fn is_write(&self) -> bool {
        matches!(self.request.request, Ok(Request::Write(_) | Request::Sync(_) | Request::CloseSession))
    }

    pub(super) fn is_out_of_band(&self) -> bool {
        matches!(self.request.request, Ok(Request::Auth(_) | Request::Sasl(_)) | Err(Refusal::Close))
    }

    /// May it be turned down for having waited? What keeps a session alive or ends it may not
    /// (`Request.isThrottlable`).
    pub(super) fn is_throttlable(&self) -> bool {
        !self.is_out_of_band()
            && !matches!(
                self.request.request,
                Ok(Request::Read(ReadRequest::Ping) | Request::CloseSession) | Err(Refusal::Unknown)
            )
    }
}

/// A buffer that frames are taken off.
pub(super) struct Frames<'f> {
    pub(super) bytes: &'f [u8],
    /// Bytes taken off.
    pub(super) used: usize,
    /// Frames taken off.
    pub(super) count: u64,
    /// The next frame is there and must wait in front of the gate.
    pub(super) held_up: bool,
    pub(super) max: usize,
}

impl<'f> Frames<'f> {
    pub(super) fn new(bytes: &'f [u8], max: usize) -> Self {
        Self { bytes, used: 0, count: 0, held_up: false, max }
    }

    /// Those in the first `length` bytes only; [`Frames::took`] tells this one what became of them.
    pub(super) fn front(&self, length: usize) -> Self {
        let bytes = self.bytes.get(..length).unwrap_or(self.bytes);
        Self { bytes, used: self.used, count: self.count, held_up: false, max: self.max }
    }

    pub(super) fn took(&mut self, front: &Self) {
        (self.used, self.count) = (front.used, front.count);
    }

    /// Bytes not taken off.
    pub(super) fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.used)
    }

    pub(super) fn next(&mut self, gate: &Gate) -> Result<Option<&'f [u8]>, Unfit> {
        let rest = self.bytes.get(self.used..).unwrap_or_default();
        let Some((prefix, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let length = usize::try_from(i32::from_be_bytes(*prefix)).map_err(|_| Unfit::Length)?;
        if length > self.max {
            return Err(Unfit::Length);
        }
        if !gate.admits(length) {
            return Err(Unfit::Large);
        }
        let Some(frame) = rest.get(..length) else { return Ok(None) };
        self.used += 4 + length;
        self.count += 1;
        Ok(Some(frame))
    }

    /// Puts the frame back that came last: it must wait.
    pub(super) fn hold_up(&mut self, frame: &[u8]) {
        self.used = self.used.saturating_sub(4 + frame.len());
        self.count = self.count.saturating_sub(1);
        self.held_up = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::client::gate::{GateSettings, LargeRequests};

    #[test]
    fn frames_come_off_whole_or_not_at_all() {
        let gate = Gate::new(GateSettings::default());
        let bytes = [0, 0, 0, 1, 7, 0, 0, 0, 0, 0, 0, 0, 2, 8];
        let mut frames = Frames::new(&bytes, 2);
        assert_eq!(frames.next(&gate), Ok(Some(&[7_u8][..])));
        frames.hold_up(&[7]);
        assert_eq!((frames.used, frames.count, frames.held_up), (0, 0, true));
        assert_eq!(frames.next(&gate), Ok(Some(&[7_u8][..])));
        let mut front = frames.front(9);
        assert_eq!(front.next(&gate), Ok(Some(&[][..])));
        assert_eq!((front.next(&gate), front.left()), (Ok(None), 0));
        frames.took(&front);
        assert_eq!((frames.next(&gate), frames.used, frames.left()), (Ok(None), 9, 5));
    }

    #[test]
    fn lengths_that_close() {
        let open = Gate::new(GateSettings::default());
        for bytes in [[255, 255, 255, 255], [128, 0, 0, 0], [127, 255, 255, 255], [0, 0, 0, 101]] {
            assert_eq!(Frames::new(&bytes, 100).next(&open), Err(Unfit::Length), "{bytes:?}");
        }
        assert_eq!(Frames::new(&[0, 0, 0, 100], 100).next(&open), Ok(None));
        let large = Some(LargeRequests { threshold: 10, total: 50 });
        let gate = Gate::new(GateSettings { large, ..GateSettings::default() });
        assert_eq!(Frames::new(&[0, 0, 0, 51], 100).next(&gate), Err(Unfit::Large), "when announced");
        assert_eq!(Frames::new(&[0, 0, 0, 50], 100).next(&gate), Ok(None));
    }
}
