//! What a server sent, in the form in which it is compared: the frame's bytes with names in the place of
//! sessions and times, zxids counted from the base, and lists without a promised order sorted.
//!
//! It judges nothing. Invariant: every byte of a frame reaches the compared form, directly or as a name.

use jute::{OpCode, Reader, writer};

use crate::conn::Owed;
use crate::names::Names;
use crate::request::{op_name, show};
use crate::walk::walk;

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
            // It may break off with an error and still carry results, whose names have no order either.
            (_, Some(Owed { op, .. })) if op == OpCode::MultiRead.code() && frame.len() > HEADER => {
                w.body(op)?
            }
            _ => {}
        }
        Ok(())
    })();
    w.finish(what, zxid, frame, &walked)
}

/// Bytes of a reply's header.
const HEADER: usize = 16;

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
