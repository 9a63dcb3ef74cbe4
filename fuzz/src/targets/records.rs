//! The archive: every record read from anything, and strings as the reference mends them.

use jute::records::{data, persistence, proto, quorum, txn};
use jute::{Reader, Record, decode_exact, encode, text};

#[macro_use]
#[path = "../../../jute/tests/common/mod.rs"]
mod common;

/// Is there a character beyond U+FFFF in the text of a value? Such go out as two halves, as the reference sends them,
/// and nobody reads those as one character.
fn beyond_the_first_plane(shown: &str) -> bool {
    let escaped = shown.split("\\u{").skip(1).any(|rest| rest.find('}').is_some_and(|digits| digits > 4));
    escaped || shown.chars().any(|c| u32::from(c) > 0xffff)
}

macro_rules! bodies {
    ($($row:literal => $record:ty,)*) => {
        fn one(index: usize, input: &[u8]) {
            let mut bodies: Vec<fn(&[u8])> = Vec::new();
            $(bodies.push(|input| {
                let Ok(record) = <$record as Record>::read(&mut Reader::new(input)) else { return };
                let bytes = encode(&record);
                let back: $record = decode_exact(&bytes).expect("what was written can be read");
                if back != record {
                    assert!(beyond_the_first_plane(&format!("{record:?}")), "{record:?} came back as {back:?}");
                }
            });)*
            bodies[index % bodies.len()](input);
        }

        const NAMES: &[&str] = &[$($row),*];
    };
}

every_record!(bodies);

/// The first byte chooses the record.
pub(super) fn records(input: &[u8]) {
    if let Some((choice, rest)) = input.split_first() {
        one(usize::from(*choice), rest);
    }
}

/// The golden vectors.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../jute/tests/vectors");
    let mut seeds = Vec::new();
    for (index, name) in NAMES.iter().enumerate() {
        let vectors = std::fs::read_to_string(format!("{dir}/{name}.txt")).expect("golden vectors are there");
        for hex in vectors.lines().filter_map(|line| line.split_once(' ')?.1.split(' ').next()) {
            if hex.bytes().all(|b| b.is_ascii_hexdigit()) {
                let mut seed = vec![index as u8];
                seed.extend(super::seeds::unhex(hex));
                seeds.push(seed);
            }
        }
    }
    assert!(seeds.len() >= 2 * NAMES.len(), "{} seeds of {} records", seeds.len(), NAMES.len());
    seeds
}

/// Mending gives text that is stable, never longer than one character a byte, and valid text is left alone.
pub(super) fn text(input: &[u8]) {
    let decoded = text::decode(input);
    match std::str::from_utf8(input) {
        Ok(valid) => assert_eq!(decoded, valid),
        Err(_) => assert!(decoded.contains('\u{fffd}')),
    }
    assert!(decoded.chars().count() <= input.len());
    if !text::fits_utf8(&decoded) {
        let halves = text::encode_halves(&decoded);
        assert!(text::fits_utf8(&text::decode(&halves)));
    }
    _ = quoll::types::path::validate(&decoded);
    _ = quoll::types::path::split(&decoded);
}
