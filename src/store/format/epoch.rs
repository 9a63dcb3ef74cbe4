//! `acceptedEpoch` and `currentEpoch`: one decimal number in ASCII, written without a newline.
//!
//! Read strictly, but for the newline and blanks that an administrator's editor may have added: anything else
//! is damage, and a guess could let a server vote twice in one epoch.

use crate::types::Epoch;

/// The longest such file that makes sense.
pub const LIMIT: usize = 256;

/// The bytes of an epoch file.
#[must_use]
pub fn encode(epoch: Epoch) -> Vec<u8> {
    epoch.0.to_string().into_bytes()
}

/// Reads one; `None` when the first line is no number of zero or more.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Epoch> {
    let text = core::str::from_utf8(bytes).ok()?;
    let line = text.lines().next()?.trim();
    if !line.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    line.parse().ok().map(Epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_newline_out_a_newline_in() {
        assert_eq!(encode(Epoch(12)), b"12");
        assert_eq!(decode(b"12"), Some(Epoch(12)));
        assert_eq!(decode(b"12\n"), Some(Epoch(12)));
        assert_eq!(decode(b"0\r\nnoise"), Some(Epoch(0)));
        for bad in [&b""[..], b"\n12", b"-1", b"+1", b"1x", b"\xff", b"99999999999999999999", b"1 2"] {
            assert_eq!(decode(bad), None, "{bad:?}");
        }
    }
}
