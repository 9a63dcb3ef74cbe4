//! Writing primitives. The archive is a growing `Vec<u8>`; nothing here can fail.
//!
//! A frame's length is only known when its body is: [`begin_frame`] reserves the prefix with a length that
//! no reader accepts, and [`end_frame`] puts the true one in, so half a frame can never pass for a whole one.

use crate::text;

/// A 32-bit integer.
pub fn i32(out: &mut Vec<u8>, v: i32) {
    out.extend_from_slice(&v.to_be_bytes());
}

/// A 64-bit integer.
pub fn i64(out: &mut Vec<u8>, v: i64) {
    out.extend_from_slice(&v.to_be_bytes());
}

/// The length of a slice as the archive writes it. Longer than `i32::MAX` cannot be written and saturates;
/// every caller is bounded far below (frames, records and files all have limits).
fn length(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

/// A buffer, or null.
pub fn buffer(out: &mut Vec<u8>, v: Option<&[u8]>) {
    match v {
        None => i32(out, -1),
        Some(bytes) => {
            i32(out, length(bytes.len()));
            out.extend_from_slice(bytes);
        }
    }
}

/// A string, or null.
pub fn text(out: &mut Vec<u8>, v: Option<&str>) {
    match v {
        None => i32(out, -1),
        Some(s) if text::fits_utf8(s) => buffer(out, Some(s.as_bytes())),
        Some(s) => buffer(out, Some(&text::encode_halves(s))),
    }
}

/// The count in front of a vector's elements, or null.
pub fn count(out: &mut Vec<u8>, n: Option<usize>) {
    i32(out, n.map_or(-1, length));
}

/// Reserves a frame's length prefix; returns the mark that [`end_frame`] wants.
pub fn begin_frame(out: &mut Vec<u8>) -> usize {
    let mark = out.len();
    i32(out, i32::MIN);
    mark
}

/// Puts the true length into the prefix at `mark`.
pub fn end_frame(out: &mut [u8], mark: usize) {
    let Some(body) = out.len().checked_sub(mark + 4) else { return };
    if let Some(prefix) = out.get_mut(mark..mark + 4) {
        prefix.copy_from_slice(&length(body).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_without_its_end_has_a_length_nobody_accepts() {
        let mut out = vec![7];
        let mark = begin_frame(&mut out);
        i64(&mut out, 1);
        assert_eq!(out[1..5], [0x80, 0, 0, 0]);
        end_frame(&mut out, mark);
        assert_eq!(out[1..5], [0, 0, 0, 8]);
    }
}
