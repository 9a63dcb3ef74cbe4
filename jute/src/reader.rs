//! The borrowing cursor over one archive. It is not a stream: the whole input is there before reading starts.
//!
//! Invariant: the cursor never passes the end, and a failed read leaves it where it was.

use crate::error::DecodeError;
use crate::record::Record;
use crate::text::{self, Text};

/// A cursor over the bytes of one or more records.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of `input`.
    #[must_use]
    pub fn new(input: &'a [u8]) -> Self {
        Self { rest: input }
    }

    /// Bytes not read yet.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The bytes not read yet, without moving.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Takes the next `n` bytes.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        match self.rest.split_at_checked(n) {
            Some((head, tail)) => {
                self.rest = tail;
                Ok(head)
            }
            None => Err(DecodeError::Short { wanted: n, left: self.rest.len() }),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.rest.split_first_chunk::<N>() {
            Some((head, tail)) => {
                self.rest = tail;
                Ok(*head)
            }
            None => Err(DecodeError::Short { wanted: N, left: self.rest.len() }),
        }
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[b]| b)
    }

    /// A boolean: any byte but zero is true, as the reference reads it.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        self.u8().map(|b| b != 0)
    }

    /// A 32-bit integer.
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        self.array().map(i32::from_be_bytes)
    }

    /// A 64-bit integer.
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        self.array().map(i64::from_be_bytes)
    }

    /// A buffer; `None` is the null buffer, which differs from the empty one.
    pub fn buffer(&mut self) -> Result<Option<&'a [u8]>, DecodeError> {
        let start = self.rest;
        let taken = match self.i32()? {
            -1 => return Ok(None),
            n => usize::try_from(n).map_err(|_| DecodeError::NegativeLength(n)).and_then(|n| self.take(n)),
        };
        match taken {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) => {
                self.rest = start;
                Err(e)
            }
        }
    }

    /// A string; malformed UTF-8 is replaced the way the reference's runtime replaces it.
    pub fn text(&mut self) -> Result<Option<Text<'a>>, DecodeError> {
        Ok(self.buffer()?.map(text::decode))
    }

    /// A vector; -1 is null and any other negative count reads as empty, as in the reference. Grows with
    /// what is really there, never by the count.
    pub fn vector<T: Record<'a>>(&mut self) -> Result<Option<Vec<T>>, DecodeError> {
        let start = self.rest;
        let count = self.i32()?;
        if count == -1 {
            return Ok(None);
        }
        let mut items = Vec::new();
        for _ in 0..count.max(0) {
            match T::read(self) {
                Ok(item) => items.push(item),
                Err(e) => {
                    self.rest = start;
                    return Err(e);
                }
            }
        }
        Ok(Some(items))
    }

    /// Refuses bytes behind the end.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            n => Err(DecodeError::Trailing(n)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_read_leaves_the_cursor() {
        let mut r = Reader::new(&[0, 0, 0, 9, 1]);
        assert_eq!(r.buffer(), Err(DecodeError::Short { wanted: 9, left: 1 }));
        assert_eq!(r.remaining(), 5);
        assert_eq!(r.vector::<i64>(), Err(DecodeError::Short { wanted: 8, left: 1 }));
        assert_eq!(r.remaining(), 5);
    }

    #[test]
    fn null_empty_and_negative() {
        let mut r = Reader::new(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xfe]);
        assert_eq!(r.buffer(), Ok(None));
        assert_eq!(r.buffer(), Ok(Some(&[][..])));
        assert_eq!(r.clone().buffer(), Err(DecodeError::NegativeLength(-2)));
        assert_eq!(r.vector::<i32>(), Ok(Some(vec![])), "a negative count is an empty vector");
    }

    #[test]
    fn a_huge_count_allocates_nothing_by_itself() {
        let mut r = Reader::new(&[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 1]);
        assert!(r.vector::<i64>().is_err());
    }
}
