//! Clients: sessions, requests, watches, and what they remember of it all.
//!
//! A client speaks the wire protocol byte by byte and writes everything down; it judges nothing.

use super::rng::Rng;
use crate::check::history::{Call, Connect, Done, Event, History, Op, Reply, Rewatch, Stat, Welcome};
use jute::records::data::{Acl, Id, Stat as WireStat};
use jute::records::proto::{
    AddWatchRequest, CheckVersionRequest, ConnectRequest, ConnectResponse, CreateRequest, DeleteRequest,
    MultiHeader, PathRequest, ReconfigRequest, ReplyHeader, RequestHeader, SetDataRequest, SetWatches2,
    WatchRequest, WatcherEvent,
};
use jute::{OpCode, Reader, Record, Text, writer};
use std::collections::{BTreeSet, VecDeque};

/// Nodes that clients fight over.
const KEYS: [&str; 4] = ["/k0", "/k1", "/k2", "/k3"];

/// A client.
#[derive(Debug)]
pub struct Client {
    pub id: u32,
    pub session: i64,
    pub timeout: i32,
    /// What the server made of it.
    negotiated: i32,
    pub seen: i64,
    /// The pipe it speaks over.
    pub pipe: Option<u32>,
    /// The answer to its greeting is still to come: index of the connect.
    pub greeting: Option<usize>,
    pub server: usize,
    xid: i32,
    /// xid and index of the call.
    pending: VecDeque<(i32, usize)>,
    order: u64,
    /// When it last heard from its server, and last spoke.
    pub heard: u64,
    pub spoke: u64,
    data_watches: BTreeSet<String>,
    exist_watches: BTreeSet<String>,
    child_watches: BTreeSet<String>,
    persistent: BTreeSet<String>,
    recursive: BTreeSet<String>,
    counter: u64,
    /// Its own ephemerals and sequential nodes, to delete some of them.
    own: Vec<String>,
    /// It ends its session now and then.
    pub closes: bool,
    /// Successful writes in the calm.
    pub wrote_at: Option<u64>,
    buffer: Vec<u8>,
    pub rng: Rng,
    /// Memberships to ask for.
    pub reconfig: Option<(String, String)>,
}

fn text(s: &str) -> Option<Text<'_>> {
    Some(s.into())
}

fn open_acl() -> Option<Vec<Acl<'static>>> {
    Some(vec![Acl { perms: 31, id: Id { scheme: Some("world".into()), id: Some("anyone".into()) } }])
}

fn stat(s: &WireStat) -> Stat {
    Stat {
        czxid: s.czxid,
        mzxid: s.mzxid,
        version: s.version,
        cversion: s.cversion,
        owner: s.ephemeral_owner,
        length: s.data_length,
        children: s.num_children,
        pzxid: s.pzxid,
    }
}

impl Client {
    pub fn new(id: u32, rng: Rng, timeout: i32) -> Self {
        Self {
            id,
            session: 0,
            timeout,
            negotiated: timeout,
            seen: 0,
            pipe: None,
            greeting: None,
            server: 0,
            xid: 0,
            pending: VecDeque::new(),
            order: 0,
            heard: 0,
            spoke: 0,
            data_watches: BTreeSet::new(),
            exist_watches: BTreeSet::new(),
            child_watches: BTreeSet::new(),
            persistent: BTreeSet::new(),
            recursive: BTreeSet::new(),
            counter: 0,
            own: Vec::new(),
            closes: id % 3 == 2,
            wrote_at: None,
            buffer: Vec::new(),
            rng,
            reconfig: None,
        }
    }

    pub fn in_flight(&self) -> usize {
        self.pending.len()
    }

    /// How long it waits for a word of its server, in microseconds: two thirds of its timeout, and for an answer to
    /// its greeting a third of that.
    pub fn patience(&self) -> u64 {
        let patience = u64::from(self.negotiated.unsigned_abs()) * 1000 * 2 / 3;
        if self.greeting.is_some() { patience / 3 } else { patience }
    }

    pub fn is_connected(&self) -> bool {
        self.pipe.is_some() && self.greeting.is_none()
    }

    /// The first frame of a connection.
    pub fn greet(&mut self, now: u64, pipe: u32, server: i64, history: &mut History, out: &mut Vec<u8>) {
        let passwd = quoll::replica::session::password::of(quoll::types::SessionId(self.session));
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: self.seen,
            time_out: self.timeout,
            session_id: self.session,
            passwd: Some(if self.session == 0 { &[0; 16] } else { &passwd }),
        };
        let mark = writer::begin_frame(out);
        request.write(out);
        writer::end_frame(out, mark);
        self.buffer.clear();
        self.greeting = Some(history.connects.len());
        history.connects.push(Connect {
            client: self.id,
            conn: u64::from(pipe),
            server,
            invoke: now,
            asked: self.session,
            seen: self.seen,
            answer: None,
        });
        (self.pipe, self.heard, self.spoke) = (Some(pipe), now, now);
    }

    /// The connection is gone: what was on its way stays unknown.
    pub fn disconnected(&mut self) {
        self.pipe = None;
        self.greeting = None;
        self.pending.clear();
        self.buffer.clear();
    }

    /// The session is gone, and its watches.
    fn forget_session(&mut self) {
        self.session = 0;
        for set in [
            &mut self.data_watches,
            &mut self.exist_watches,
            &mut self.child_watches,
            &mut self.persistent,
            &mut self.recursive,
        ] {
            set.clear();
        }
        self.own.clear();
    }

    /// One request, chosen by chance.
    pub fn ask(&mut self, now: u64, writes_only: bool, history: &mut History, out: &mut Vec<u8>) {
        let op = if let Some((joining, leaving)) = self.reconfig.take() {
            return self.send_reconfig(now, &joining, &leaving, history, out);
        } else if writes_only {
            let data = self.value();
            if self.counter.is_multiple_of(4) {
                Op::Create { path: KEYS[0].into(), data, ephemeral: false, sequential: false }
            } else {
                Op::Set { path: KEYS[0].into(), data, version: -1 }
            }
        } else {
            self.choose()
        };
        self.send(now, op, history, out);
    }

    fn value(&mut self) -> Vec<u8> {
        self.counter += 1;
        ((u64::from(self.id) << 32) | self.counter).to_be_bytes().to_vec()
    }

    fn key(&mut self) -> String {
        (*self.rng.pick(&KEYS)).to_owned()
    }

    fn choose(&mut self) -> Op {
        let watch = self.rng.one_in(4);
        let path = self.key();
        match self.rng.below(100) {
            0..20 => Op::Set { path, data: self.value(), version: -1 },
            20..28 => {
                let version = self.rng.below(6) as i32;
                Op::Set { path, data: self.value(), version }
            }
            28..36 => Op::Create { path, data: self.value(), ephemeral: false, sequential: false },
            36..42 => Op::Create {
                path: format!("{path}/n-"),
                data: self.value(),
                ephemeral: self.rng.one_in(2),
                sequential: true,
            },
            42..47 => Op::Create {
                path: format!("{path}/e{}", self.id),
                data: self.value(),
                ephemeral: true,
                sequential: false,
            },
            47..52 => match self.own.pop() {
                Some(path) => Op::Delete { path, version: -1 },
                None => Op::Delete { path, version: 3 },
            },
            52..60 => self.multi(path),
            60..72 => Op::Get { path, watch },
            72..80 => Op::Exists { path: self.somewhere(path), watch },
            80..89 => Op::Children { path, watch },
            89..95 => Op::Sync { path },
            95 => Op::AddWatch { path, recursive: self.rng.one_in(2) },
            96 if self.closes && self.rng.one_in(4) => Op::Close,
            _ => Op::Get { path, watch: false },
        }
    }

    fn somewhere(&mut self, path: String) -> String {
        match self.own.last() {
            Some(own) if self.rng.one_in(2) => own.clone(),
            _ => path,
        }
    }

    fn multi(&mut self, path: String) -> Op {
        let other = self.key();
        let mut ops = vec![
            Op::Set { path, data: self.value(), version: -1 },
            Op::Create {
                path: format!("{other}/m-"),
                data: self.value(),
                ephemeral: false,
                sequential: true,
            },
        ];
        if self.rng.one_in(2) {
            let version = self.rng.below(8) as i32;
            ops.insert(self.rng.index(3), Op::Check { path: other, version });
        }
        if let Some(own) = self.own.pop() {
            ops.push(Op::Delete { path: own, version: -1 });
        }
        Op::Multi(ops)
    }

    /// Sends a request.
    pub fn send(&mut self, now: u64, op: Op, history: &mut History, out: &mut Vec<u8>) {
        let xid = match &op {
            Op::SetWatches(_) => -8,
            _ => {
                self.xid += 1;
                self.xid
            }
        };
        let mark = writer::begin_frame(out);
        RequestHeader { xid, op: code(&op).code() }.write(out);
        write_body(&op, out);
        writer::end_frame(out, mark);
        self.note(now, xid, op, history);
    }

    fn note(&mut self, now: u64, xid: i32, op: Op, history: &mut History) {
        self.pending.push_back((xid, history.calls.len()));
        self.spoke = now;
        history.calls.push(Call {
            client: self.id,
            conn: u64::from(self.pipe.unwrap_or(u32::MAX)),
            session: self.session,
            server: self.server as i64 + 1,
            xid,
            op,
            invoke: now,
            done: None,
        });
    }

    fn send_reconfig(
        &mut self,
        now: u64,
        joining: &str,
        leaving: &str,
        history: &mut History,
        out: &mut Vec<u8>,
    ) {
        self.xid += 1;
        let some = |s: &'static str| Some(Text::from(s));
        let _ = some;
        let mark = writer::begin_frame(out);
        RequestHeader { xid: self.xid, op: OpCode::Reconfig.code() }.write(out);
        ReconfigRequest {
            joining_servers: (!joining.is_empty()).then(|| joining.into()),
            leaving_servers: (!leaving.is_empty()).then(|| leaving.into()),
            new_members: None,
            cur_config_id: -1,
        }
        .write(out);
        writer::end_frame(out, mark);
        let (xid, what) = (self.xid, format!("+{joining} -{leaving}"));
        self.note(now, xid, Op::Reconfig(what), history);
    }

    /// A ping, which nobody writes down.
    pub fn ping(&mut self, now: u64, out: &mut Vec<u8>) {
        let mark = writer::begin_frame(out);
        RequestHeader { xid: -2, op: OpCode::Ping.code() }.write(out);
        writer::end_frame(out, mark);
        self.spoke = now;
    }

    /// Bytes came. False if the connection is to be closed.
    pub fn receive(&mut self, now: u64, bytes: Vec<u8>, history: &mut History, out: &mut Vec<u8>) -> bool {
        self.heard = now;
        let mut at = 0;
        while let Some(len) = bytes.get(at..at + 4) {
            let len = u32::from_be_bytes([len[0], len[1], len[2], len[3]]) as usize;
            let frame = &bytes[at + 4..at + 4 + len];
            at += 4 + len;
            let good = if self.greeting.is_some() {
                self.welcomed(now, frame, history, out)
            } else {
                self.replied(now, frame, history)
            };
            if !good {
                return false;
            }
        }
        true
    }

    fn welcomed(&mut self, now: u64, frame: &[u8], history: &mut History, out: &mut Vec<u8>) -> bool {
        let Some(index) = self.greeting.take() else { return false };
        let answer = ConnectResponse::read(&mut Reader::new(frame)).expect("a greeting's answer");
        let connect = &mut history.connects[index];
        let order = self.next_order();
        connect.answer =
            Some(Welcome { at: now, session: answer.session_id, timeout: answer.time_out, order });
        if answer.session_id == 0 {
            self.forget_session();
            return false;
        }
        self.session = answer.session_id;
        self.negotiated = answer.time_out;
        let watches = Rewatch {
            relative: self.seen,
            data: self.data_watches.iter().cloned().collect(),
            exist: self.exist_watches.iter().cloned().collect(),
            child: self.child_watches.iter().cloned().collect(),
            persistent: self.persistent.iter().cloned().collect(),
            recursive: self.recursive.iter().cloned().collect(),
        };
        if watches != (Rewatch { relative: self.seen, ..Rewatch::default() }) {
            self.send(now, Op::SetWatches(watches), history, out);
        }
        true
    }

    fn next_order(&mut self) -> u64 {
        self.order += 1;
        self.order
    }

    fn replied(&mut self, now: u64, frame: &[u8], history: &mut History) -> bool {
        let mut r = Reader::new(frame);
        let header = ReplyHeader::read(&mut r).expect("a reply header");
        match header.xid {
            -2 => {
                self.seen = self.seen.max(header.zxid);
                return true;
            }
            -1 => {
                let event = WatcherEvent::read(&mut r).expect("an event");
                let path = event.path.as_deref().unwrap_or_default().to_owned();
                self.fired(event.kind, &path);
                let order = self.next_order();
                history.events.push(Event {
                    client: self.id,
                    conn: u64::from(self.pipe.unwrap_or(u32::MAX)),
                    session: self.session,
                    server: self.server as i64 + 1,
                    at: now,
                    order,
                    zxid: header.zxid,
                    kind: event.kind,
                    path,
                });
                return true;
            }
            _ => {}
        }
        let order = self.next_order();
        let Some((xid, index)) = self.pending.pop_front() else { panic!("a reply nobody waits for") };
        let call = &mut history.calls[index];
        // The checker says so if the numbers differ.
        let reply = if xid == header.xid { body(&call.op, header.err, &mut r) } else { Reply::Empty };
        let order_ok = xid == header.xid;
        call.done = Some(Done { at: now, order, zxid: header.zxid, err: header.err, reply });
        if !order_ok {
            call.xid = header.xid.wrapping_add(1_000_000);
        }
        if header.zxid > 0 {
            self.seen = self.seen.max(header.zxid);
        }
        let call = &history.calls[index];
        let done = call.done.as_ref().expect("just set");
        let mut closed = false;
        match (&call.op, &done.reply) {
            (Op::Close, _) => closed = true,
            (Op::Get { path, watch: true }, _) if done.err == 0 => _ = self.data_watches.insert(path.clone()),
            (Op::Exists { path, watch: true }, _) if done.err == 0 => {
                self.data_watches.insert(path.clone());
            }
            (Op::Exists { path, watch: true }, _) if done.err == -101 => {
                self.exist_watches.insert(path.clone());
            }
            (Op::Children { path, watch: true }, _) if done.err == 0 => {
                self.child_watches.insert(path.clone());
            }
            (Op::AddWatch { path, recursive }, _) if done.err == 0 => {
                let set = if *recursive { &mut self.recursive } else { &mut self.persistent };
                set.insert(path.clone());
            }
            (Op::Create { .. }, Reply::Path(path)) if path.matches('/').count() > 1 => {
                self.own.push(path.clone());
            }
            (Op::Set { .. }, Reply::Stat(_)) => self.wrote_at = Some(now),
            _ => {}
        }
        if closed || done.err == -112 {
            self.forget_session();
            return false;
        }
        // The session acts elsewhere, as the server believes: connect again.
        done.err != -118
    }

    /// One-shot watches are used up.
    fn fired(&mut self, kind: i32, path: &str) {
        match kind {
            1 => _ = self.exist_watches.remove(path) | self.data_watches.remove(path),
            3 => _ = self.data_watches.remove(path),
            4 => _ = self.child_watches.remove(path),
            _ => {
                self.data_watches.remove(path);
                self.exist_watches.remove(path);
                self.child_watches.remove(path);
            }
        }
    }
}

fn code(op: &Op) -> OpCode {
    match op {
        Op::Create { .. } => OpCode::Create,
        Op::Delete { .. } => OpCode::Delete,
        Op::Set { .. } => OpCode::SetData,
        Op::Check { .. } => OpCode::Check,
        Op::Multi(_) => OpCode::Multi,
        Op::Get { .. } => OpCode::GetData,
        Op::Exists { .. } => OpCode::Exists,
        Op::Children { .. } => OpCode::GetChildren2,
        Op::AddWatch { .. } => OpCode::AddWatch,
        Op::SetWatches(_) => OpCode::SetWatches2,
        Op::Sync { .. } => OpCode::Sync,
        Op::Close => OpCode::CloseSession,
        Op::Reconfig(_) => OpCode::Reconfig,
        Op::Ping => OpCode::Ping,
    }
}

fn write_body(op: &Op, out: &mut Vec<u8>) {
    match op {
        Op::Create { path, data, ephemeral, sequential } => {
            let flags = i32::from(*ephemeral) | i32::from(*sequential) << 1;
            CreateRequest { path: text(path), data: Some(data), acl: open_acl(), flags }.write(out);
        }
        Op::Delete { path, version } => DeleteRequest { path: text(path), version: *version }.write(out),
        Op::Set { path, data, version } => {
            SetDataRequest { path: text(path), data: Some(data), version: *version }.write(out);
        }
        Op::Check { path, version } => {
            CheckVersionRequest { path: text(path), version: *version }.write(out);
        }
        Op::Multi(ops) => {
            for op in ops {
                MultiHeader { op: code(op).code(), done: false, err: -1 }.write(out);
                write_body(op, out);
            }
            MultiHeader { op: -1, done: true, err: -1 }.write(out);
        }
        Op::Get { path, watch } | Op::Exists { path, watch } | Op::Children { path, watch } => {
            WatchRequest { path: text(path), watch: *watch }.write(out);
        }
        Op::AddWatch { path, recursive } => {
            AddWatchRequest { path: text(path), mode: i32::from(*recursive) }.write(out);
        }
        Op::SetWatches(w) => {
            let list = |paths: &[String]| Some(paths.iter().map(|p| Some(Text::from(p.clone()))).collect());
            SetWatches2 {
                relative_zxid: w.relative,
                data: list(&w.data),
                exist: list(&w.exist),
                child: list(&w.child),
                persistent: list(&w.persistent),
                persistent_recursive: list(&w.recursive),
            }
            .write(out);
        }
        Op::Sync { path } => PathRequest { path: text(path) }.write(out),
        Op::Close | Op::Ping | Op::Reconfig(_) => {}
    }
}

fn body(op: &Op, err: i32, r: &mut Reader<'_>) -> Reply {
    if err != 0 {
        return Reply::Empty;
    }
    let wire = |r: &mut Reader<'_>| stat(&WireStat::read(r).expect("a stat"));
    let string = |r: &mut Reader<'_>| r.text().expect("a string").unwrap_or_default().into_owned();
    match op {
        Op::Create { .. } => Reply::Path(string(r)),
        Op::Set { .. } | Op::Exists { .. } => Reply::Stat(wire(r)),
        Op::Get { .. } | Op::Reconfig(_) => {
            let data = r.buffer().expect("data").unwrap_or_default().to_vec();
            Reply::Data(data, wire(r))
        }
        Op::Children { .. } => {
            let n = r.i32().expect("a count");
            let mut names: Vec<String> = (0..n).map(|_| string(r)).collect();
            names.sort_unstable();
            Reply::Children(names, wire(r))
        }
        Op::Multi(ops) => {
            let mut parts = Vec::new();
            for op in ops {
                let header = MultiHeader::read(r).expect("a multi header");
                if header.op == -1 {
                    let err = r.i32().expect("an error");
                    parts.push((err, Reply::Empty));
                } else {
                    parts.push((0, body(op, 0, r)));
                }
            }
            Reply::Multi(parts)
        }
        _ => Reply::Empty,
    }
}
