//! What a server sent, in the form in which it is compared: the frame's bytes with names in the place of
//! sessions and times, zxids counted from the base, and lists without a promised order sorted.
//!
//! It judges nothing. Invariant: every byte of a frame reaches the compared form, directly or as a name.

use jute::{DecodeError, OpCode, Reader, writer};

use crate::conn::Owed;
use crate::names::Names;
use crate::request::{op_name, show};

/// The kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Greeting,
    Reply {
        op: i32,
        err: i32,
    },
    Notice,
    Closed,
    Silence,
    /// A connection that another one took the place of is still there.
    Standing,
    Refused,
}

/// One event of one connection.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) what: What,
    /// The compared form.
    pub(crate) bytes: Vec<u8>,
    /// For people.
    pub(crate) text: String,
    /// As it came.
    pub(crate) raw: Vec<u8>,
    /// Of a notice or a reply, as it came.
    pub(crate) zxid: i64,
}

impl Event {
    pub(crate) fn plain(what: What, text: &str) -> Self {
        Self { what, bytes: Vec::new(), text: text.into(), raw: Vec::new(), zxid: 0 }
    }

    /// No answer, or nobody to give one.
    pub(crate) fn is_absence(&self) -> bool {
        matches!(self.what, What::Silence | What::Refused)
    }

    pub(crate) fn same(&self, other: &Self) -> bool {
        self.what == other.what && self.bytes == other.bytes
    }
}

/// Walks a frame and writes its compared form and its description.
struct Walk<'a, 'n> {
    r: Reader<'a>,
    names: &'n mut Names,
    out: Vec<u8>,
    text: String,
}

type Walked = Result<(), DecodeError>;

impl<'a> Walk<'a, '_> {
    fn say(&mut self, what: impl AsRef<str>) {
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        self.text.push_str(what.as_ref());
    }

    fn i32(&mut self, label: &str) -> Result<i32, DecodeError> {
        let v = self.r.i32()?;
        writer::i32(&mut self.out, v);
        self.say(format!("{label}={v}"));
        Ok(v)
    }

    fn zxid(&mut self, label: &str) -> Result<i64, DecodeError> {
        let v = self.r.i64()?;
        let named = self.names.zxid(v);
        writer::i64(&mut self.out, named);
        self.say(format!("{label}={named}"));
        Ok(v)
    }

    fn buffer(&mut self, label: &str) -> Result<Option<&'a [u8]>, DecodeError> {
        let v = self.r.buffer()?;
        writer::buffer(&mut self.out, v);
        self.say(format!("{label}={}", show(v)));
        Ok(v)
    }

    fn bool(&mut self) -> Result<bool, DecodeError> {
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
    fn body(&mut self, op: i32) -> Walked {
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
    fn finish(mut self, what: What, zxid: i64, raw: &[u8], walked: &Walked) -> Event {
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

fn walk<'a, 'n>(frame: &'a [u8], names: &'n mut Names) -> Walk<'a, 'n> {
    Walk { r: Reader::new(frame), names, out: Vec::with_capacity(frame.len()), text: String::new() }
}

/// The answer to the first frame; also the session it grants.
pub(crate) fn greeting(frame: &[u8], names: &mut Names) -> (Event, i64) {
    let mut id = 0;
    let mut w = walk(frame, names);
    let walked = (|| {
        w.i32("greeting version")?;
        w.i32("timeout")?;
        id = w.r.i64()?;
        let passwd = w.r.buffer()?;
        let (name, word) = w.names.meet(id, passwd.unwrap_or_default());
        writer::i64(&mut w.out, name);
        writer::i32(&mut w.out, passwd.map_or(-1, |p| i32::try_from(p.len()).unwrap_or(i32::MAX)));
        w.out.extend_from_slice(&word);
        w.say(format!("session={name} password={}", show(Some(&word))));
        if w.r.remaining() > 0 {
            let flag = w.bool()?;
            w.say(format!("readOnly={flag}"));
        }
        Ok(())
    })();
    (w.finish(What::Greeting, 0, frame, &walked), id)
}

/// A frame behind the greeting. Takes the reply's request out of those that are owed.
pub(crate) fn frame(frame: &[u8], names: &mut Names, owed: &mut std::collections::VecDeque<Owed>) -> Event {
    let mut head = Reader::new(frame);
    let (Ok(xid), Ok(zxid), Ok(err)) = (head.i32(), head.i64(), head.i32()) else {
        let mut w = walk(frame, names);
        w.say("a frame too short for a header:");
        return w.finish(What::Reply { op: 0, err: 0 }, 0, frame, &Ok(()));
    };
    let place = owed.iter().position(|o| o.xid == xid);
    let request = place.and_then(|at| owed.remove(at));
    if request.is_some() && zxid > names.last {
        names.last = zxid;
    }
    let mut w = walk(frame, names);
    let what = match request {
        Some(Owed { op, .. }) => What::Reply { op, err },
        None if xid == jute::codes::xid::NOTIFICATION => What::Notice,
        None => What::Reply { op: 0, err },
    };
    let walked = (|| {
        match (what, request) {
            (What::Notice, _) => w.say("NOTICE"),
            (_, Some(Owed { op, .. })) => w.say(op_name(op)),
            _ => w.say("REPLY NOBODY WAITS FOR"),
        }
        if let Some(at) = place.filter(|at| *at > 0) {
            w.out.extend_from_slice(format!("ahead of {at} others ").as_bytes());
            w.say(format!("AHEAD OF {at} OTHERS"));
        }
        w.i32("xid")?;
        w.zxid("zxid")?;
        w.i32("err")?;
        match (what, request) {
            (What::Notice, _) => {
                w.i32("type")?;
                w.i32("state")?;
                w.buffer("path")?;
            }
            (_, Some(Owed { op, .. })) if err == 0 => w.body(op)?,
            _ => {}
        }
        Ok(())
    })();
    w.finish(what, zxid, frame, &walked)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use jute::records::data::{Acl, ClientInfo, Id, Stat};
    use jute::records::proto::*;
    use jute::{Record, encode};

    use super::*;

    fn stat(now: i64) -> Stat {
        Stat { czxid: 11, mzxid: 12, ctime: now, mtime: now, version: 3, pzxid: 13, ..Stat::default() }
    }

    fn reply<'a>(op: OpCode, body: &impl Record<'a>) -> (OpCode, Vec<u8>) {
        let mut out = encode(&ReplyHeader { xid: 7, zxid: 14, err: 0 });
        body.write(&mut out);
        (op, out)
    }

    fn compared(op: OpCode, bytes: &[u8]) -> Event {
        let mut names = Names::start(10, false, false);
        let mut owed = VecDeque::from([Owed { xid: 7, op: op.code() }]);
        frame(bytes, &mut names, &mut owed)
    }

    /// The check of all checks: flip any bit of any reply, and the comparison must see it. The exceptions are
    /// the low bits of times, which differ between servers.
    #[test]
    fn no_flipped_bit_goes_unseen() {
        let now = crate::clock::wall_ms();
        let names = || Some(vec![Some("a".into()), Some("b".into())]);
        let acl = Acl { perms: 31, id: Id { scheme: Some("world".into()), id: Some("anyone".into()) } };
        let mut results = encode(&MultiHeader { op: 15, done: false, err: 0 });
        Create2Response { path: Some("/m".into()), stat: stat(now) }.write(&mut results);
        MultiHeader { op: -1, done: false, err: -101 }.write(&mut results);
        ErrorResponse { err: -101 }.write(&mut results);
        MultiHeader { op: -1, done: true, err: -1 }.write(&mut results);
        let mut multi = encode(&ReplyHeader { xid: 7, zxid: 14, err: 0 });
        multi.extend(results);
        let replies = [
            reply(OpCode::Create, &PathResponse { path: Some("/a".into()) }),
            reply(OpCode::GetData, &GetDataResponse { data: Some(b"d"), stat: stat(now) }),
            reply(OpCode::Create2, &Create2Response { path: Some("/a".into()), stat: stat(now) }),
            reply(OpCode::GetChildren2, &GetChildren2Response { children: names(), stat: stat(now) }),
            reply(OpCode::GetEphemerals, &NamesResponse { names: names() }),
            reply(OpCode::GetAcl, &GetAclResponse { acl: Some(vec![acl]), stat: stat(now) }),
            reply(OpCode::GetAllChildrenNumber, &GetAllChildrenNumberResponse { total_number: 3 }),
            reply(
                OpCode::WhoAmI,
                &WhoAmIResponse {
                    client_info: Some(vec![ClientInfo { auth_scheme: Some("ip".into()), user: None }]),
                },
            ),
            (OpCode::Multi, multi),
        ];
        for (op, bytes) in replies {
            let truth = compared(op, &bytes);
            assert!(!truth.text.contains("CUT") && !truth.text.contains("LEFT"), "{}", truth.text);
            let mut unseen = Vec::new();
            for at in 0..bytes.len() {
                for bit in 0..8 {
                    let mut lie = bytes.clone();
                    lie[at] ^= 1 << bit;
                    if compared(op, &lie).same(&truth) {
                        unseen.push(at);
                    }
                }
            }
            // A time has its two low bytes free: it must stay within seconds of the run.
            let times = truth.text.matches("czxid").count() * 2 * 12;
            assert!(unseen.len() <= times, "{op:?}: {unseen:?}");
        }
    }

    #[test]
    fn lists_without_an_order_are_sorted() {
        let list = |names: &[&'static str]| {
            let names = names.iter().map(|n| Some((*n).into())).collect();
            reply(OpCode::GetChildren, &NamesResponse { names: Some(names) }).1
        };
        let one = compared(OpCode::GetChildren, &list(&["a", "b"]));
        assert!(one.same(&compared(OpCode::GetChildren, &list(&["b", "a"]))));
        assert!(!one.same(&compared(OpCode::GetChildren, &list(&["b", "b"]))));
    }

    #[test]
    fn what_is_behind_a_record_counts() {
        let (op, mut bytes) = reply(OpCode::Create, &PathResponse { path: Some("/a".into()) });
        let truth = compared(op, &bytes);
        bytes.push(0);
        assert!(!compared(op, &bytes).same(&truth));
        bytes.truncate(bytes.len() - 2);
        assert!(!compared(op, &bytes).same(&truth));
    }
}
