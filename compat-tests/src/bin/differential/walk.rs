//! A walk over a frame, field by field, that writes its compared form and its description.
//!
//! It knows the records of replies and nothing of what they mean. Invariant: a field that is read is written,
//! as it is or as its name.

use jute::{DecodeError, OpCode, Reader, writer};

use crate::event::{Event, What};
use crate::names::Names;
use crate::request::show;

/// Walks a frame and writes its compared form and its description.
pub(crate) struct Walk<'a, 'n> {
    pub(crate) r: Reader<'a>,
    pub(crate) names: &'n mut Names,
    pub(crate) out: Vec<u8>,
    text: String,
}

/// The way through a record, or where it ended.
pub(crate) type Walked = Result<(), DecodeError>;

impl<'a> Walk<'a, '_> {
    pub(crate) fn say(&mut self, what: impl AsRef<str>) {
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        self.text.push_str(what.as_ref());
    }

    pub(crate) fn i32(&mut self, label: &str) -> Result<i32, DecodeError> {
        let v = self.r.i32()?;
        writer::i32(&mut self.out, v);
        self.say(format!("{label}={v}"));
        Ok(v)
    }

    pub(crate) fn zxid(&mut self, label: &str) -> Result<i64, DecodeError> {
        let v = self.r.i64()?;
        let named = self.names.zxid(v);
        writer::i64(&mut self.out, named);
        self.say(format!("{label}={named}"));
        Ok(v)
    }

    pub(crate) fn buffer(&mut self, label: &str) -> Result<Option<&'a [u8]>, DecodeError> {
        let v = self.r.buffer()?;
        writer::buffer(&mut self.out, v);
        self.say(format!("{label}={}", show(v)));
        Ok(v)
    }

    pub(crate) fn bool(&mut self) -> Result<bool, DecodeError> {
        let v = self.r.u8()?;
        self.out.push(v);
        Ok(v != 0)
    }

    fn stat(&mut self) -> Walked {
        self.say("{");
        let czxid = self.zxid("czxid")?;
        let mzxid = self.zxid("mzxid")?;
        for (label, zxid) in [("ctime", czxid), ("mtime", mzxid)] {
            let time = self.r.i64()?;
            let named = self.names.time(zxid, time);
            writer::i64(&mut self.out, named);
            if named != 0 {
                self.say(format!("{label}={time}(impossible)"));
            }
        }
        for label in ["version", "cversion", "aversion"] {
            self.i32(label)?;
        }
        let owner = self.r.i64()?;
        let named = self.names.session(owner);
        writer::i64(&mut self.out, named);
        self.say(format!("owner=session {named}"));
        self.i32("length")?;
        self.i32("children")?;
        self.zxid("pzxid")?;
        self.say("}");
        Ok(())
    }

    /// Elements of one or more buffers, in any order: sorted.
    fn unordered(&mut self, fields: usize) -> Walked {
        let count = self.r.i32()?;
        writer::i32(&mut self.out, count);
        let mut items = Vec::new();
        for _ in 0..count.max(0) {
            let mut item = Vec::new();
            for _ in 0..fields {
                item.push(self.r.buffer()?);
            }
            items.push(item);
        }
        items.sort();
        self.say(format!("{count}["));
        for item in items {
            for field in item {
                writer::buffer(&mut self.out, field);
                self.say(show(field));
            }
        }
        self.say("]");
        Ok(())
    }

    /// An access list. Neighbours with the same bits under `digest` may be what `auth` was expanded to, which
    /// has no promised order: they are sorted.
    fn acls(&mut self) -> Walked {
        let count = self.r.i32()?;
        writer::i32(&mut self.out, count);
        let mut list = Vec::new();
        for _ in 0..count.max(0) {
            list.push((self.r.i32()?, self.r.buffer()?, self.r.buffer()?));
        }
        let alike = |a: &(i32, Option<&[u8]>, Option<&[u8]>), b: &(i32, Option<&[u8]>, Option<&[u8]>)| {
            a.0 == b.0 && a.1 == b.1 && a.1 == Some(b"digest")
        };
        for run in list.chunk_by_mut(alike) {
            run.sort();
        }
        self.say(format!("{count}["));
        for (perms, scheme, id) in list {
            writer::i32(&mut self.out, perms);
            writer::buffer(&mut self.out, scheme);
            writer::buffer(&mut self.out, id);
            self.say(format!("{}:{}:{perms}", show(scheme), show(id)));
        }
        self.say("]");
        Ok(())
    }

    fn results(&mut self) -> Walked {
        loop {
            let op = self.i32("; type")?;
            let done = self.bool()?;
            self.i32("err")?;
            if done {
                self.say("end");
                return Ok(());
            }
            match op {
                -1 => drop(self.i32("code")?),
                op => self.body(op)?,
            }
        }
    }

    /// The record of a reply without an error, or of a result of a multi.
    pub(crate) fn body(&mut self, op: i32) -> Walked {
        let Some(op) = OpCode::from_code(op) else { return Ok(()) };
        match op {
            OpCode::Create | OpCode::Sync => drop(self.buffer("path")?),
            OpCode::Exists | OpCode::SetData | OpCode::SetAcl => self.stat()?,
            OpCode::GetData | OpCode::Reconfig => {
                self.buffer("data")?;
                self.stat()?;
            }
            OpCode::GetAcl => {
                self.acls()?;
                self.stat()?;
            }
            OpCode::GetChildren | OpCode::GetEphemerals => self.unordered(1)?,
            OpCode::GetChildren2 => {
                self.unordered(1)?;
                self.stat()?;
            }
            OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
                self.buffer("path")?;
                self.stat()?;
            }
            OpCode::Multi | OpCode::MultiRead => self.results()?,
            OpCode::GetAllChildrenNumber => drop(self.i32("total")?),
            OpCode::AddWatch => drop(self.i32("err")?),
            OpCode::WhoAmI => self.unordered(2)?,
            OpCode::Sasl => drop(self.buffer("token")?),
            _ => {}
        }
        Ok(())
    }

    /// Whatever is left belongs to the compared form as it is.
    pub(crate) fn finish(mut self, what: What, zxid: i64, raw: &[u8], walked: &Walked) -> Event {
        if walked.is_err() {
            self.out.extend_from_slice(b"cut short");
            self.say("CUT SHORT");
        }
        let rest = self.r.rest();
        if !rest.is_empty() {
            self.say(format!("LEFT OVER {}", rest.escape_ascii()));
            self.out.extend_from_slice(rest);
        }
        Event { what, bytes: self.out, text: self.text, raw: raw.to_vec(), zxid }
    }
}

/// At the first byte of the frame.
pub(crate) fn walk<'a, 'n>(frame: &'a [u8], names: &'n mut Names) -> Walk<'a, 'n> {
    Walk { r: Reader::new(frame), names, out: Vec::with_capacity(frame.len()), text: String::new() }
}
