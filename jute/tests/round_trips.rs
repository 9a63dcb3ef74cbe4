//! Every record, filled by chance: what is written is read back equal; cut short at any byte it is an error and never
//! a panic; bytes behind it are left alone.
//!
//! The values are not made field by field: a record is read from chance bytes in which small numbers abound, so
//! lengths and counts are often ones that fit. Whatever can be read is a value that a peer could send.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod common;

use jute::records::{data, persistence, proto, quorum, txn};
use jute::{DecodeError, Reader, Record, decode_exact, encode};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::cell::Cell;
use std::fmt::Debug;

/// Values to try per record.
const CASES: u32 = 300;

/// Four bytes: a length that fits, an absence, text, or anything.
fn word() -> impl Strategy<Value = [u8; 4]> {
    prop_oneof![
        8 => (0i32..9).prop_map(i32::to_be_bytes),
        4 => Just([0xff; 4]),
        1 => any::<[u8; 4]>(),
        2 => "[/a-zäß漢]{4}".prop_map(|s| *s.as_bytes().first_chunk().unwrap()),
    ]
}

fn is_beyond_the_first_plane(record: &impl Debug) -> bool {
    let shown = format!("{record:?}");
    let escaped = shown.split("\\u{").skip(1).any(|rest| rest.find('}').is_some_and(|digits| digits > 4));
    escaped || shown.chars().any(|c| u32::from(c) > 0xffff)
}

macro_rules! round_trip {
    ($($row:literal => $record:ty,)*) => {
        /// One value; false if the bytes made none.
        fn one(name: &str, source: &[u8]) -> Result<bool, TestCaseError> {
            match name {
                $($row => {
                    let Ok(record) = <$record as Record>::read(&mut Reader::new(source)) else {
                        return Ok(false);
                    };
                    let bytes = encode(&record);
                    let back: Result<$record, _> = decode_exact(&bytes);
                    prop_assert!(back.is_ok(), "{record:?} as {bytes:02x?}: {back:?}");
                    // A character beyond U+FFFF goes out as two halves, which nobody reads as one character.
                    if !is_beyond_the_first_plane(&record) {
                        prop_assert_eq!(back.as_ref(), Ok(&record));
                    }
                    for cut in 0..bytes.len() {
                        let short: Result<$record, _> = decode_exact(&bytes[..cut]);
                        prop_assert!(matches!(short, Err(DecodeError::Short { .. })), "cut at {cut}: {short:?}");
                    }
                    let mut longer = bytes.clone();
                    longer.extend_from_slice(&[0xff; 7]);
                    let mut r = Reader::new(&longer);
                    prop_assert_eq!(<$record as Record>::read(&mut r), back);
                    prop_assert_eq!(r.remaining(), 7);
                    Ok(true)
                })*
                _ => unreachable!(),
            }
        }

        const NAMES: &[&str] = &[$($row),*];
    };
}

every_record!(round_trip);

#[test]
fn every_record_comes_back_equal_and_never_in_part() {
    for name in NAMES {
        let (values, failures) = (Cell::new(0u32), Cell::new(0u32));
        let mut runner =
            TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
        let outcome = runner.run(&vec(word(), 0..40), |words| {
            // Zeros at the end are empty strings and vectors: they let most beginnings become a whole value.
            let mut source = words.concat();
            source.extend_from_slice(&[0; 256]);
            let count = if one(name, &source)? { &values } else { &failures };
            count.set(count.get() + 1);
            Ok(())
        });
        if let Err(e) = outcome {
            panic!("{name}: {e}");
        }
        assert!(values.get() > CASES / 10, "{name}: only {} values, {} none", values.get(), failures.get());
    }
}

#[test]
fn counts_and_lengths_that_lie_are_errors() {
    for name in NAMES {
        for lie in [i32::MAX, i32::MAX - 8, 0x0100_0000, -2, i32::MIN] {
            for at in 0..64 {
                let mut source = vec![0u8; at];
                source.extend_from_slice(&lie.to_be_bytes());
                source.extend_from_slice(&[0xff; 32]);
                // An error or a value, as the number is a length or not; one() asserts the rest.
                one(name, &source).unwrap();
            }
        }
    }
}
