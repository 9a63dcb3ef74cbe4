//! What can be wrong with bytes. One reaction fits all of it: the record cannot be used.

use core::fmt;

/// Why bytes are not the record that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// The input ended before the field did.
    Short {
        /// Bytes the field wanted.
        wanted: usize,
        /// Bytes that were left.
        left: usize,
    },
    /// A string or buffer length below -1.
    NegativeLength(i32),
    /// Bytes were left where the format allows none.
    Trailing(usize),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { wanted, left } => write!(f, "a field of {wanted} bytes with {left} bytes left"),
            Self::NegativeLength(n) => write!(f, "a length of {n}"),
            Self::Trailing(n) => write!(f, "{n} bytes behind the end of the record"),
        }
    }
}

impl std::error::Error for DecodeError {}
