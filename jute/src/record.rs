//! The trait every record and every field implements, and its blanket forms.

use crate::error::DecodeError;
use crate::reader::Reader;
use crate::text::Text;
use crate::writer;

/// Something with a place in the archive: fields one after the other, no tag, no length, no padding.
pub trait Record<'a>: Sized {
    /// Reads one from the cursor.
    fn read(r: &mut Reader<'a>) -> Result<Self, DecodeError>;
    /// Appends one to the archive.
    fn write(&self, out: &mut Vec<u8>);
}

/// The bytes of one record.
#[must_use]
pub fn encode<'a>(record: &impl Record<'a>) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    record.write(&mut out);
    out
}

/// Reads one record and refuses bytes behind it. The wire tolerates those; files and tests do not.
pub fn decode_exact<'a, T: Record<'a>>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    let mut r = Reader::new(bytes);
    let record = T::read(&mut r)?;
    r.finish()?;
    Ok(record)
}

impl<'a> Record<'a> for () {
    fn read(_: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(())
    }
    fn write(&self, _: &mut Vec<u8>) {}
}

impl<'a> Record<'a> for bool {
    fn read(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        r.bool()
    }
    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
}

impl<'a> Record<'a> for i32 {
    fn read(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        r.i32()
    }
    fn write(&self, out: &mut Vec<u8>) {
        writer::i32(out, *self);
    }
}

impl<'a> Record<'a> for i64 {
    fn read(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        r.i64()
    }
    fn write(&self, out: &mut Vec<u8>) {
        writer::i64(out, *self);
    }
}

impl<'a> Record<'a> for Option<&'a [u8]> {
    fn read(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        r.buffer()
    }
    fn write(&self, out: &mut Vec<u8>) {
        writer::buffer(out, *self);
    }
}

impl<'a> Record<'a> for Option<Text<'a>> {
    fn read(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        r.text()
    }
    fn write(&self, out: &mut Vec<u8>) {
        writer::text(out, self.as_deref());
    }
}

impl<'a, T: Record<'a>> Record<'a> for Option<Vec<T>> {
    fn read(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        r.vector()
    }
    fn write(&self, out: &mut Vec<u8>) {
        writer::count(out, self.as_ref().map(Vec::len));
        for item in self.iter().flatten() {
            item.write(out);
        }
    }
}
