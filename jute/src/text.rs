//! Strings as the reference reads and writes them: the one place that knows how its runtime treats UTF-8.
//!
//! Reading replaces malformed sequences by U+FFFD exactly as often as the reference does (its runtime takes
//! a three-byte surrogate as one error, the standard library here would take it as three). Writing puts a
//! character beyond U+FFFF out as two three-byte halves, as the reference's writer does.

use std::borrow::Cow;

/// A string of a record: a slice of the input where it was valid, owned where it had to be mended.
pub type Text<'a> = Cow<'a, str>;

/// Decodes bytes; never fails.
#[must_use]
pub fn decode(bytes: &[u8]) -> Text<'_> {
    match core::str::from_utf8(bytes) {
        Ok(s) => Cow::Borrowed(s),
        Err(_) => Cow::Owned(mend(bytes)),
    }
}

fn continuation(b: Option<&u8>) -> bool {
    b.is_some_and(|b| b & 0xc0 == 0x80)
}

/// How many bytes the malformed sequence at the front of `s` takes, or the valid character there.
fn next(s: &[u8]) -> Result<(char, usize), usize> {
    let Some(&b1) = s.first() else { return Err(1) };
    let want = match b1 {
        0x00..=0x7f => return Ok((char::from(b1), 1)),
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return Err(1),
    };
    if let Some(head) = s.get(..want)
        && let Some(c) = core::str::from_utf8(head).ok().and_then(|t| t.chars().next())
    {
        return Ok((c, want));
    }
    let b2_fits = match (b1, s.get(1)) {
        (0xe0, Some(b)) => (0xa0..=0xbf).contains(b),
        (0xf0, Some(b)) => (0x90..=0xbf).contains(b),
        (0xf4, Some(b)) => (0x80..=0x8f).contains(b),
        (_, b) => continuation(b),
    };
    if !b2_fits {
        return Err(1);
    }
    match want {
        3 if b1 == 0xed && s.get(1).is_some_and(|b| *b >= 0xa0) && continuation(s.get(2)) => Err(3),
        3 => Err(2),
        4 if continuation(s.get(2)) => Err(3),
        4 => Err(2),
        _ => Err(1),
    }
}

fn mend(mut bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    while !bytes.is_empty() {
        let used = match next(bytes) {
            Ok((c, n)) => {
                out.push(c);
                n
            }
            Err(n) => {
                out.push(char::REPLACEMENT_CHARACTER);
                n
            }
        };
        bytes = bytes.get(used..).unwrap_or_default();
    }
    out
}

/// True where plain UTF-8 is also what the reference writes: no character beyond U+FFFF.
#[must_use]
pub fn fits_utf8(s: &str) -> bool {
    s.bytes().all(|b| b < 0xf0)
}

/// The reference's form of a string with characters beyond U+FFFF.
#[must_use]
pub fn encode_halves(s: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(s.len() + 8);
    for c in s.chars() {
        let mut units = [0u16; 2];
        let units = c.encode_utf16(&mut units);
        if let [unit] = units {
            let mut utf8 = [0u8; 4];
            let c = char::from_u32(u32::from(*unit)).unwrap_or(char::REPLACEMENT_CHARACTER);
            out.extend_from_slice(c.encode_utf8(&mut utf8).as_bytes());
        } else {
            for unit in units {
                let [hi, lo] = unit.to_be_bytes();
                out.extend_from_slice(&[
                    0xe0 | (hi >> 4),
                    0x80 | ((hi & 0x0f) << 2) | (lo >> 6),
                    0x80 | (lo & 0x3f),
                ]);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_text_is_borrowed() {
        assert!(matches!(decode("/a/ü/漢".as_bytes()), Cow::Borrowed("/a/ü/漢")));
    }

    #[test]
    fn malformed_text_is_mended_as_the_reference_mends_it() {
        let one = "\u{fffd}";
        assert_eq!(decode(&[0xed, 0xa0, 0x80]), one, "a surrogate is one error");
        assert_eq!(decode(&[0xc0, 0x80]), one.repeat(2));
        assert_eq!(decode(&[b'a', 0xe2, 0x82]), format!("a{one}"));
        assert_eq!(decode(&[0xe2, b'a']), format!("{one}a"));
        assert_eq!(decode(&[0xf0, 0x9f, 0x98, b'a']), format!("{one}a"));
        assert_eq!(decode(&[0xf5, 0x80, 0x80]), one.repeat(3));
        assert_eq!(decode(&[0xf4, 0x90, 0x80, 0x80]), one.repeat(4));
    }

    #[test]
    fn beyond_the_first_plane_goes_out_as_two_halves() {
        assert!(!fits_utf8("😀"));
        assert_eq!(encode_halves("a😀"), [b'a', 0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80]);
        assert_eq!(decode(&encode_halves("😀")), "\u{fffd}\u{fffd}");
    }
}
