//! The client side of a server: greetings, requests, replies, events; and applying, which tells them all.
//!
//! It does what `server::apply` and `net::client` do, one connection at a time. Invariant: an event is sent before
//! any reply of a later transaction, and reads behind a write see exactly its zxid.

use super::bugs::{self, Bug};
use super::net::{End, Message};
use super::server::{Conn, Live, Ordered, Server, Waiting};
use super::world::{Happening, World};
use jute::{ErrorCode, OpCode, Record as _};
use quoll::auth::Identity;
use quoll::replica::session::password;
use quoll::replica::{ClientWrite, Input, Origin};
use quoll::state::{Applied, Caller, Fired, Machine, TreeView as _, WatcherId, Watches};
use quoll::types::{Committed, ConnId, Entry, Millis, SessionId};
use quoll::wire::{Greeting, GreetingReply, Refusal, Request, parse, reply};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

fn answer(
    machine: &Machine,
    watches: &Watches,
    rules: &quoll::auth::Rules,
    pipe: u32,
    conn: &mut Conn,
    frame: &[u8],
) {
    let Ok(envelope) = parse(frame) else { return };
    let caller = Caller { session: conn.session, ids: &conn.ids, watcher: WatcherId(pipe), rules };
    let out = &mut conn.out;
    match &envelope.request {
        Ok(Request::Read(read)) => machine.answer(envelope.xid, read, &caller, watches, out),
        Ok(Request::Sync(sync)) => {
            let writer = reply::ReplyWriter::begin(out, envelope.xid, machine.last_zxid().0);
            sync.write(out);
            writer.finish(out, ErrorCode::Ok);
        }
        Err(Refusal::Unknown) => reply::bare(out, envelope.xid, -1, ErrorCode::Unimplemented),
        Err(refusal) => reply::bare(out, envelope.xid, machine.last_zxid().0, refusal.code()),
        Ok(_) => {}
    }
}

/// Runs what waited behind the front.
fn release(machine: &Machine, watches: &Watches, rules: &quoll::auth::Rules, pipe: u32, conn: &mut Conn) {
    while let Some(Waiting::Held(_) | Waiting::Refused(..)) = conn.lane.front() {
        match conn.lane.pop_front() {
            Some(Waiting::Held(frame)) => answer(machine, watches, rules, pipe, conn, &frame),
            Some(Waiting::Refused(xid, code)) => {
                reply::bare(&mut conn.out, xid, machine.last_zxid().0, code);
            }
            _ => {}
        }
    }
}

/// Where a request stands in its connection's lane, if it waits there.
fn place(conn: &Conn, xid: i32) -> Option<usize> {
    let is = |w: &Waiting| matches!(w, Waiting::Write(x) | Waiting::Sync(x, _) if *x == xid);
    conn.lane.iter().position(is)
}

fn tell(conns: &mut BTreeMap<u32, Conn>, fired: &Fired<'_>) {
    let mut frame = Vec::new();
    reply::event(&mut frame, fired.zxid, fired.kind, fired.path);
    for watcher in fired.watchers {
        if let Some(conn) = conns.get_mut(&watcher.0) {
            let out = if bugs::is(Bug::WatchAfterReply) { &mut conn.late } else { &mut conn.out };
            out.extend_from_slice(&frame);
        }
    }
}

impl Live {
    fn apply_one(
        &mut self,
        entry: &Committed<Entry>,
        origin: Option<Origin>,
        greet: &mut Vec<(u32, SessionId, Millis)>,
    ) -> Result<bool, String> {
        let Self { machine, watches, conns, sessions, gone, rules, .. } = self;
        let applied = machine
            .apply(entry, watches, &mut |fired: &Fired<'_>| tell(conns, fired))
            .map_err(|e| format!("{} cannot be applied: {e}", entry.get().zxid))?;
        if let Some(origin) = origin {
            let pipe = origin.conn.0 as u32;
            if let Some(conn) = conns.get_mut(&pipe) {
                if applied.op == OpCode::CreateSession {
                    let timeout = applied.opened_session.map_or(Millis(0), |(_, t)| t);
                    greet.push((pipe, applied.session, timeout));
                } else if let Some(at) = place(conn, origin.xid) {
                    if at > 0 {
                        return Err(format!("D: the answer to {} came before its turn", origin.xid));
                    }
                    conn.lane.pop_front();
                    replied(machine, conn, origin, &applied);
                    release(machine, watches, rules, pipe, conn);
                }
            }
        }
        if let Some(session) = applied.closed_session {
            gone.push(session);
            if let Some(pipe) = sessions.remove(&session)
                && let Some(conn) = conns.get_mut(&pipe)
            {
                conn.closing = true;
            }
        }
        Ok(applied.digest_agrees)
    }
}

fn replied(machine: &Machine, conn: &mut Conn, origin: Origin, applied: &Applied<'_>) {
    reply::outcome(&mut conn.out, origin.xid, machine.last_zxid().0, &applied.outcome);
}

impl World {
    /// Somebody connects to a server's client port.
    pub fn accept_client(&mut self, n: usize, pipe: u32) -> bool {
        if !self.servers[n].serving() {
            return false;
        }
        let life = self.servers[n].life;
        let Some(live) = &mut self.servers[n].live else { return false };
        // Clients may change the membership.
        let ids: Arc<[Identity]> = Arc::new([Identity::new("super", "")]);
        live.conns.insert(
            pipe,
            Conn {
                session: SessionId::NONE,
                timeout: Millis(0),
                greeted: false,
                lane: VecDeque::new(),
                out: Vec::new(),
                late: Vec::new(),
                closing: false,
                ids,
            },
        );
        let entry = &mut self.pipes[pipe as usize];
        entry.ends[1] = End::Server(n, life);
        entry.open[1] = true;
        true
    }

    /// The client's connection is gone.
    pub fn client_gone(&mut self, n: usize, life: u64, pipe: u32) {
        if let Some(live) = self.live(n, life)
            && let Some(conn) = live.conns.remove(&pipe)
        {
            live.watches.drop_watcher(WatcherId(pipe));
            if live.sessions.get(&conn.session) == Some(&pipe) {
                live.sessions.remove(&conn.session);
            }
        }
    }

    /// The server closes the connection.
    pub fn drop_conn(&mut self, n: usize, pipe: u32) {
        let life = self.servers[n].life;
        self.client_gone(n, life, pipe);
        self.close(pipe, 1);
    }

    /// Sends what was put down for clients.
    pub fn flush_conns(&mut self, n: usize) {
        let Some(live) = &mut self.servers[n].live else { return };
        let ready: Vec<(u32, Vec<u8>, bool)> = live
            .conns
            .iter_mut()
            .filter(|(_, c)| !c.out.is_empty() || c.closing || !c.late.is_empty())
            .map(|(pipe, conn)| {
                let mut out = std::mem::take(&mut conn.out);
                out.append(&mut conn.late);
                (*pipe, out, conn.closing)
            })
            .collect();
        for (pipe, out, closing) in ready {
            if !out.is_empty() {
                self.send(pipe, 1, Message::Bytes(out));
            }
            if closing {
                self.drop_conn(n, pipe);
            }
        }
    }

    /// The session has this connection from here on, or is over.
    pub fn resumed(&mut self, n: usize, conn: ConnId, session: SessionId, timeout: Option<Millis>) {
        let pipe = conn.0 as u32;
        let Some(live) = &mut self.servers[n].live else { return };
        let Some(conn) = live.conns.get_mut(&pipe) else { return };
        match timeout {
            Some(timeout) => {
                GreetingReply {
                    time_out: timeout.0 as i32,
                    session_id: session.0,
                    passwd: password::of(session),
                    read_only: None,
                }
                .write(&mut conn.out);
                (conn.session, conn.timeout) = (session, timeout);
                if let Some(before) = live.sessions.insert(session, pipe)
                    && before != pipe
                {
                    self.drop_conn(n, before);
                }
            }
            None => {
                GreetingReply::expired(None).write(&mut conn.out);
                conn.closing = true;
            }
        }
    }

    /// Bytes of a client: one frame or more.
    pub fn from_client(&mut self, n: usize, life: u64, pipe: u32, message: Message) {
        let Message::Bytes(bytes) = message else { return };
        let mut at = 0;
        while let Some(len) = bytes.get(at..at + 4) {
            let len = u32::from_be_bytes([len[0], len[1], len[2], len[3]]) as usize;
            let frame = &bytes[at + 4..at + 4 + len];
            at += 4 + len;
            let now = self.servers[n].clock(self.now).mono;
            let Some(live) = self.live(n, life) else { return };
            let Some(conn) = live.conns.get_mut(&pipe) else { return };
            if conn.session != SessionId::NONE {
                live.heard.insert(conn.session, (conn.timeout, now));
            }
            if std::mem::replace(&mut conn.greeted, true) {
                self.request(n, pipe, frame);
            } else {
                self.greet(n, pipe, frame);
            }
        }
        self.flush_conns(n);
    }

    fn greet(&mut self, n: usize, pipe: u32, frame: &[u8]) {
        let Ok(greeting) = Greeting::parse(frame) else { return self.drop_conn(n, pipe) };
        let tick = self.plan.tick;
        let Some(live) = &mut self.servers[n].live else { return };
        let request = &greeting.request;
        if request.last_zxid_seen > live.machine.last_zxid().0 && !bugs::is(Bug::StaleZxidSeen) {
            return self.drop_conn(n, pipe);
        }
        let timeout = Millis(i64::from(request.time_out)).clamp(Millis(2 * tick), Millis(20 * tick));
        let (conn, session) = (ConnId(u64::from(pipe)), SessionId(request.session_id));
        if session == SessionId::NONE {
            self.step(n, Input::OpenSession { conn, timeout });
        } else if password::fits(session, request.passwd) {
            self.step(n, Input::ResumeSession { conn, session, timeout });
        } else {
            self.fail(|| "a client has the wrong password".to_owned());
        }
    }

    fn request(&mut self, n: usize, pipe: u32, frame: &[u8]) {
        let Ok(envelope) = parse(frame) else { return self.drop_conn(n, pipe) };
        let server = &mut self.servers[n];
        let Some(live) = &mut server.live else { return };
        let Live { machine, watches, conns, rules, .. } = live;
        let Some(conn) = conns.get_mut(&pipe) else { return };
        if conn.session == SessionId::NONE {
            return self.drop_conn(n, pipe);
        }
        let origin = Origin { conn: ConnId(u64::from(pipe)), xid: envelope.xid };
        let (session, ids) = (conn.session, Arc::clone(&conn.ids));
        let body = frame.get(8..).unwrap_or_default();
        match envelope.request {
            Ok(Request::Write(request)) => {
                conn.lane.push_back(Waiting::Write(envelope.xid));
                let write = ClientWrite { origin, session, ids: &ids, op: envelope.op, body, request };
                self.step(n, Input::Write(write));
            }
            Ok(Request::Sync(_)) if !bugs::is(Bug::LocalSync) => {
                conn.lane.push_back(Waiting::Sync(envelope.xid, frame.to_vec()));
                self.step(n, Input::Sync { origin, session, ids: &ids, body });
            }
            Ok(Request::CloseSession) => {
                conn.lane.push_back(Waiting::Write(envelope.xid));
                self.step(n, Input::CloseSession { origin, session });
            }
            _ if conn.lane.is_empty() => answer(machine, watches, rules, pipe, conn, frame),
            _ => conn.lane.push_back(Waiting::Held(frame.to_vec())),
        }
    }

    /// Applies everything that was decided so far, and reports it.
    pub fn apply(&mut self, n: usize) {
        let wall = self.servers[n].clock(self.now).wall;
        let mut last = None;
        let mut greet = Vec::new();
        while let Some(live) = &mut self.servers[n].live
            && let Some(ordered) = live.ordered.pop_front()
        {
            match ordered {
                Ordered::Commit(commit) => {
                    let zxid = commit.entry.get().zxid;
                    last = Some(zxid);
                    let agrees = match live.apply_one(&commit.entry, commit.origin, &mut greet) {
                        Ok(agrees) => agrees,
                        Err(why) => return self.fail(|| format!("server {}: {why}", n + 1)),
                    };
                    let (serving, digest) = (live.open(), live.machine.digest().unwrap_or(0));
                    if !agrees {
                        return self.fail(|| format!("X: the digest in {zxid} is not server {}'s", n + 1));
                    }
                    if serving && let Err(why) = self.truth.applied(n, zxid, digest) {
                        return self.fail(|| format!("X: {why}"));
                    }
                    for (pipe, session, timeout) in greet.drain(..) {
                        self.resumed(n, ConnId(u64::from(pipe)), session, Some(timeout));
                    }
                }
                Ordered::FastForward(entries) => {
                    for entry in entries {
                        last = Some(entry.zxid);
                        if let Err(error) = live.machine.replay(&entry.payload) {
                            return self.fail(|| format!("{} cannot be replayed: {error}", entry.zxid));
                        }
                    }
                }
                Ordered::Synced(origin) => {
                    if let Err(why) = live.synced(origin) {
                        return self.fail(|| format!("server {}: {why}", n + 1));
                    }
                }
                Ordered::Refused(origin, code) => live.refused(origin, code),
                Ordered::Show(membership) => {
                    live.machine.set_config(membership.text().as_bytes(), membership.version, wall);
                }
            }
        }
        let Some(live) = &mut self.servers[n].live else { return };
        if let Some(zxid) = last {
            let gone = std::mem::take(&mut live.gone);
            let server = &mut self.servers[n];
            let now = server.clock(self.now);
            if let Some(live) = &mut server.live {
                live.input(now, Input::Applied(zxid, &gone));
            }
        }
    }

    // --- clients ---------------------------------------------------------------------------------------------------

    /// A client does what comes next.
    pub fn client_step(&mut self, n: usize) {
        let (now, tick) = (self.now, self.plan.tick as u64 * 1000);
        let client = &mut self.clients[n];
        let Some(pipe) = client.pipe else {
            let server = client.rng.index(self.servers.len());
            client.server = server;
            let pipe = self.connect(End::Client(n), server);
            self.clients[n].pipe = Some(pipe);
            self.clients[n].greeting = Some(usize::MAX);
            self.clients[n].heard = now;
            return self.after(tick, Happening::Client(n));
        };
        let patience = client.patience();
        if now - client.heard > patience {
            self.close(pipe, 0);
            self.client_lost(n, pipe);
            return self.after(1_000, Happening::Client(n));
        }
        let mut out = Vec::new();
        if client.is_connected() {
            if client.in_flight() < self.plan.pipeline && !self.quiet {
                client.ask(now, self.calm, &mut self.history, &mut out);
            } else if now - client.spoke > patience / 2 {
                client.ping(now, &mut out);
            }
            if !out.is_empty() {
                self.send(pipe, 0, Message::Bytes(out));
            }
        }
        let pause = self.clients[n].rng.range(100, self.plan.think);
        self.after(pause, Happening::Client(n));
    }

    /// Its connection stands: it says who it is.
    pub fn client_opened(&mut self, n: usize, pipe: u32) {
        let (now, server) = (self.now, self.clients[n].server as i64 + 1);
        if self.clients[n].pipe != Some(pipe) {
            return;
        }
        let mut out = Vec::new();
        self.clients[n].greet(now, pipe, server, &mut self.history, &mut out);
        self.send(pipe, 0, Message::Bytes(out));
    }

    pub fn to_client(&mut self, n: usize, pipe: u32, message: Message) {
        let Message::Bytes(bytes) = message else { return };
        if self.clients[n].pipe != Some(pipe) {
            return;
        }
        let mut out = Vec::new();
        let good = self.clients[n].receive(self.now, bytes, &mut self.history, &mut out);
        if !out.is_empty() {
            self.send(pipe, 0, Message::Bytes(out));
        }
        if !good {
            self.close(pipe, 0);
            self.client_lost(n, pipe);
        }
    }

    pub fn client_lost(&mut self, n: usize, pipe: u32) {
        if self.clients[n].pipe == Some(pipe) {
            self.clients[n].disconnected();
        }
    }

    /// Is it in the newest membership that was agreed?
    pub fn is_member(&self, server: &Server) -> bool {
        let newest = self.servers.iter().map(|s| &s.config).max_by_key(|c| c.version);
        newest.is_none_or(|c| c.members.contains_key(&server.id.0))
    }

    /// Has it promised a newer epoch than the leader's that all others follow? It then has to wait for the next
    /// election, as servers of the reference have to.
    pub fn is_locked_out(&self, server: &Server) -> bool {
        let me =
            |s: &Server| s.live.as_ref().and_then(|l| l.replica.as_member()).map(|m| (m.accepted, m.current));
        let leads = |s: &&Server| {
            s.live.as_ref().is_some_and(|l| l.stage == quoll::replica::Stage::Leading { serving: true })
        };
        let epoch = self.servers.iter().filter(leads).filter_map(me).map(|(_, current)| current).max();
        me(server).is_some_and(|(accepted, _)| epoch.is_some_and(|epoch| accepted > epoch))
    }

    /// Everybody is served, and all members have applied the same.
    pub fn is_settled(&self) -> bool {
        let last = self.truth.last();
        self.servers.iter().filter(|s| self.is_member(s) && !self.is_locked_out(s)).all(|s| {
            s.live.as_ref().is_some_and(|l| l.open() && l.machine.last_zxid() == last && l.disk.idle())
        }) && self.clients.iter().all(|c| c.in_flight() == 0)
    }
}

impl Live {
    /// Answers a sync.
    fn synced(&mut self, origin: Origin) -> Result<(), String> {
        let Self { machine, watches, conns, rules, .. } = self;
        let pipe = origin.conn.0 as u32;
        let Some(conn) = conns.get_mut(&pipe) else { return Ok(()) };
        match place(conn, origin.xid) {
            None => return Ok(()),
            Some(0) => {}
            Some(_) => return Err(format!("D: the answer to sync {} came before its turn", origin.xid)),
        }
        if let Some(Waiting::Sync(_, frame)) = conn.lane.pop_front() {
            answer(machine, watches, rules, pipe, conn, &frame);
        }
        release(machine, watches, rules, pipe, conn);
        Ok(())
    }

    /// Turns a request down, once its turn has come.
    fn refused(&mut self, origin: Origin, code: ErrorCode) {
        let Self { machine, watches, conns, rules, .. } = self;
        let pipe = origin.conn.0 as u32;
        let Some(conn) = conns.get_mut(&pipe) else { return };
        let Some(at) = place(conn, origin.xid) else { return };
        conn.lane[at] = Waiting::Refused(origin.xid, code);
        release(machine, watches, rules, pipe, conn);
    }
}
