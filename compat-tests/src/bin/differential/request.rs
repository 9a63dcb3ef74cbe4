//! Requests as bytes, together with the words that describe them. It checks nothing: what a server must turn
//! down can be built as easily as what it must take.
//!
//! Invariant: a request is the same bytes for both servers, apart from a zxid counted from what that server
//! has said last.

use jute::{OpCode, writer};

pub(crate) use crate::fields::{Acls, NULL, Paths, Str, acl, only, open, paths, show};
use crate::fields::{put_acls, show_acls};

/// A request, or a sub-operation of a multi.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Req {
    /// `None` takes the connection's next one.
    pub(crate) xid: Option<i32>,
    pub(crate) op: i32,
    pub(crate) body: Vec<u8>,
    pub(crate) text: String,
    /// The first eight bytes of the body are the last zxid seen plus this.
    pub(crate) relative: Option<i64>,
}

impl Req {
    /// With a fixed xid.
    pub(crate) fn xid(mut self, xid: i32) -> Self {
        self.xid = Some(xid);
        self.text = format!("{} xid={xid}", self.text);
        self
    }

    /// With bytes behind the record.
    pub(crate) fn trailing(mut self, bytes: &[u8]) -> Self {
        self.body.extend_from_slice(bytes);
        self.text = format!("{} + {} trailing bytes", self.text, bytes.len());
        self
    }

    /// With the body cut after `n` bytes.
    pub(crate) fn cut(mut self, n: usize) -> Self {
        self.body.truncate(n);
        if n < 8 {
            self.relative = None;
        }
        self.text = format!("{} cut after {n} bytes", self.text);
        self
    }

    /// The frame as it goes out.
    pub(crate) fn frame(&self, xid: i32, last_zxid: i64) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.body.len() + 12);
        let mark = writer::begin_frame(&mut out);
        writer::i32(&mut out, xid);
        writer::i32(&mut out, self.op);
        let start = out.len();
        out.extend_from_slice(&self.body);
        if let (Some(delta), Some(field)) = (self.relative, out.get_mut(start..start + 8)) {
            field.copy_from_slice(&last_zxid.wrapping_add(delta).to_be_bytes());
        }
        writer::end_frame(&mut out, mark);
        out
    }
}

/// The name of an operation, known or not.
pub(crate) fn op_name(op: i32) -> String {
    OpCode::from_code(op).map_or_else(|| format!("opcode {op}"), |op| op.name().into())
}

/// A request of any bytes.
pub(crate) fn raw(op: i32, body: Vec<u8>, text: impl Into<String>) -> Req {
    Req { xid: None, op, body, text: format!("{} {}", op_name(op), text.into()), relative: None }
}

fn build(op: OpCode, text: String, put: impl FnOnce(&mut Vec<u8>)) -> Req {
    let mut body = Vec::new();
    put(&mut body);
    raw(op.code(), body, text)
}

/// A request without a body.
pub(crate) fn bare(op: OpCode) -> Req {
    build(op, String::new(), |_| ())
}

/// create, create2 or createContainer.
pub(crate) fn create_as(
    op: OpCode,
    path: impl Into<Str>,
    data: Option<&[u8]>,
    acls: &Acls,
    flags: i32,
) -> Req {
    let path = path.into();
    let text = format!("{} data={} acl={} flags={flags}", path.show(), show(data), show_acls(acls));
    build(op, text, |out| {
        path.put(out);
        writer::buffer(out, data);
        put_acls(out, acls);
        writer::i32(out, flags);
    })
}

/// create with open access.
pub(crate) fn create(path: impl Into<Str>, flags: i32) -> Req {
    create_as(OpCode::Create, path, Some(b"x"), &open(), flags)
}

/// create2 with open access.
pub(crate) fn create2(path: impl Into<Str>, flags: i32) -> Req {
    create_as(OpCode::Create2, path, Some(b"x"), &open(), flags)
}

/// createContainer with open access.
pub(crate) fn container(path: impl Into<Str>, flags: i32) -> Req {
    create_as(OpCode::CreateContainer, path, Some(b""), &open(), flags)
}

/// createTTL.
pub(crate) fn create_ttl(
    path: impl Into<Str>,
    data: Option<&[u8]>,
    acls: &Acls,
    flags: i32,
    ttl: i64,
) -> Req {
    let path = path.into();
    let text = format!("{} data={} acl={} flags={flags} ttl={ttl}", path.show(), show(data), show_acls(acls));
    build(OpCode::CreateTtl, text, |out| {
        path.put(out);
        writer::buffer(out, data);
        put_acls(out, acls);
        writer::i32(out, flags);
        writer::i64(out, ttl);
    })
}

fn path_and_number(op: OpCode, path: impl Into<Str>, label: &str, number: i32) -> Req {
    let path = path.into();
    build(op, format!("{} {label}={number}", path.show()), |out| {
        path.put(out);
        writer::i32(out, number);
    })
}

/// delete.
pub(crate) fn delete(path: impl Into<Str>, version: i32) -> Req {
    path_and_number(OpCode::Delete, path, "version", version)
}

/// check.
pub(crate) fn check(path: impl Into<Str>, version: i32) -> Req {
    path_and_number(OpCode::Check, path, "version", version)
}

/// addWatch.
pub(crate) fn add_watch(path: impl Into<Str>, mode: i32) -> Req {
    path_and_number(OpCode::AddWatch, path, "mode", mode)
}

/// checkWatches.
pub(crate) fn check_watches(path: impl Into<Str>, kind: i32) -> Req {
    path_and_number(OpCode::CheckWatches, path, "type", kind)
}

/// removeWatches.
pub(crate) fn remove_watches(path: impl Into<Str>, kind: i32) -> Req {
    path_and_number(OpCode::RemoveWatches, path, "type", kind)
}

fn watching(op: OpCode, path: impl Into<Str>, watch: bool) -> Req {
    let path = path.into();
    build(op, format!("{} watch={watch}", path.show()), |out| {
        path.put(out);
        out.push(u8::from(watch));
    })
}

/// exists.
pub(crate) fn exists(path: impl Into<Str>, watch: bool) -> Req {
    watching(OpCode::Exists, path, watch)
}

/// getData.
pub(crate) fn get(path: impl Into<Str>, watch: bool) -> Req {
    watching(OpCode::GetData, path, watch)
}

/// getChildren.
pub(crate) fn children(path: impl Into<Str>, watch: bool) -> Req {
    watching(OpCode::GetChildren, path, watch)
}

/// getChildren2.
pub(crate) fn children2(path: impl Into<Str>, watch: bool) -> Req {
    watching(OpCode::GetChildren2, path, watch)
}

/// setData.
pub(crate) fn set(path: impl Into<Str>, data: Option<&[u8]>, version: i32) -> Req {
    let path = path.into();
    build(OpCode::SetData, format!("{} data={} version={version}", path.show(), show(data)), |out| {
        path.put(out);
        writer::buffer(out, data);
        writer::i32(out, version);
    })
}

/// setACL.
pub(crate) fn set_acl(path: impl Into<Str>, acls: &Acls, version: i32) -> Req {
    let path = path.into();
    build(OpCode::SetAcl, format!("{} acl={} version={version}", path.show(), show_acls(acls)), |out| {
        path.put(out);
        put_acls(out, acls);
        writer::i32(out, version);
    })
}

/// A request that is a path: getACL, sync, getEphemerals, getAllChildrenNumber, deleteContainer.
pub(crate) fn of_path(op: OpCode, path: impl Into<Str>) -> Req {
    let path = path.into();
    build(op, path.show(), |out| path.put(out))
}

/// getACL.
pub(crate) fn get_acl(path: impl Into<Str>) -> Req {
    of_path(OpCode::GetAcl, path)
}

/// auth.
pub(crate) fn auth(scheme: impl Into<Str>, data: Option<&[u8]>) -> Req {
    let scheme = scheme.into();
    build(OpCode::Auth, format!("{} {}", scheme.show(), show(data)), |out| {
        writer::i32(out, 0);
        scheme.put(out);
        writer::buffer(out, data);
    })
}

/// auth as the super user of the suites.
pub(crate) fn auth_super() -> Req {
    auth("digest", Some(b"super:test"))
}

/// ping, with its usual xid.
pub(crate) fn ping() -> Req {
    let mut req = bare(OpCode::Ping);
    req.xid = Some(jute::codes::xid::PING);
    req
}

/// setWatches with three lists, setWatches2 with five; the zxid counts from the last one seen.
pub(crate) fn set_watches(op: OpCode, delta: i64, lists: &[Paths]) -> Req {
    let one = |l: &Paths| match l {
        None => "null".into(),
        Some(l) => format!("[{}]", l.iter().map(Str::show).collect::<Vec<_>>().join(", ")),
    };
    let text = format!("zxid=last{delta:+} {}", lists.iter().map(one).collect::<Vec<_>>().join(" "));
    let mut req = build(op, text, |out| {
        writer::i64(out, 0);
        for list in lists {
            writer::count(out, list.as_ref().map(Vec::len));
            for path in list.iter().flatten() {
                path.put(out);
            }
        }
    });
    req.relative = Some(delta);
    req
}

/// reconfig.
pub(crate) fn reconfig(joining: Str, leaving: Str, members: Str, version: i64) -> Req {
    let text = format!("{} {} {} version={version}", joining.show(), leaving.show(), members.show());
    build(OpCode::Reconfig, text, |out| {
        joining.put(out);
        leaving.put(out);
        members.put(out);
        writer::i64(out, version);
    })
}

/// sasl.
pub(crate) fn sasl(token: Option<&[u8]>) -> Req {
    build(OpCode::Sasl, show(token), |out| writer::buffer(out, token))
}

fn put_header(out: &mut Vec<u8>, op: i32, done: bool, err: i32) {
    writer::i32(out, op);
    out.push(u8::from(done));
    writer::i32(out, err);
}

/// multi or multiRead without its end marker.
pub(crate) fn unfinished(op: OpCode, subs: &[Req]) -> Req {
    let text = subs.iter().map(|s| s.text.clone()).collect::<Vec<_>>().join("; ");
    build(op, format!("[{text}]"), |out| {
        for sub in subs {
            put_header(out, sub.op, false, -1);
            out.extend_from_slice(&sub.body);
        }
    })
}

/// multi.
pub(crate) fn multi(subs: &[Req]) -> Req {
    finished(OpCode::Multi, subs)
}

/// multiRead.
pub(crate) fn multi_read(subs: &[Req]) -> Req {
    finished(OpCode::MultiRead, subs)
}

/// multi or multiRead.
pub(crate) fn finished(op: OpCode, subs: &[Req]) -> Req {
    let mut req = unfinished(op, subs);
    put_header(&mut req.body, -1, true, -1);
    req
}
