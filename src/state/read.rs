//! Answers to reads, written straight into a connection's outbox: one look at one state, permission first,
//! watches registered under the same look.
//!
//! getData and exists allocate nothing but what the outbox grows by.

use super::machine::Machine;
use super::tree::NodeId;
use super::watch::{Mode, Table, WatcherId, Watches};
use crate::auth::{Identity, Rules, mask};
use crate::types::SessionId;
use crate::wire::multi::ReadOp;
use crate::wire::{ReadRequest, ReplyWriter, reply};
use jute::codes::{perms, xid};
use jute::records::proto::{MultiHeader, SetWatches2};
use jute::{AddWatchMode, ErrorCode, EventType, OpCode, Record, Text, WatcherType, writer};

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    /// Session.
    pub session: SessionId,
    /// Identities as of when the request came in.
    pub ids: &'a [Identity],
    /// The connection, as watches name it.
    pub watcher: WatcherId,
    /// The rules of access.
    pub rules: &'a Rules,
}

/// One request being answered.
struct Answer<'m, 'a> {
    machine: &'m Machine,
    caller: &'m Caller<'a>,
    watches: &'m Watches,
}

type Asked<'a, 'p> = &'p Option<Text<'a>>;

fn path<'p>(path: Asked<'_, 'p>) -> Result<&'p str, ErrorCode> {
    path.as_deref().ok_or(ErrorCode::MarshallingError)
}

/// The path of a watch. A missing one is a path like any other, at which nothing ever happens.
fn watched<'p>(path: Asked<'_, 'p>) -> &'p str {
    path.as_deref().unwrap_or("\0")
}

impl Machine {
    /// Appends the whole reply to a read, in front of it the events that setWatches makes up for.
    pub fn answer(
        &self,
        xid: i32,
        request: &ReadRequest<'_>,
        caller: &Caller<'_>,
        watches: &Watches,
        out: &mut Vec<u8>,
    ) {
        let answer = Answer { machine: self, caller, watches };
        if let ReadRequest::Ping = request {
            return reply::bare(out, xid::PING, self.last_zxid, ErrorCode::Ok);
        }
        let replayed = match request {
            ReadRequest::SetWatches(lists) => answer.set_watches(lists, out),
            _ => Ok(()),
        };
        let reply = ReplyWriter::begin(out, xid, self.last_zxid);
        let result = replayed.and_then(|()| answer.body(request, out));
        let error = result.err().unwrap_or(ErrorCode::Ok);
        match request {
            ReadRequest::MultiRead(_) => reply.finish_with_body(out, error),
            _ => reply.finish(out, error),
        }
    }
}

impl Answer<'_, '_> {
    fn body(&self, request: &ReadRequest<'_>, out: &mut Vec<u8>) -> Result<(), ErrorCode> {
        match request {
            ReadRequest::Ping | ReadRequest::SetWatches(_) => Ok(()),
            ReadRequest::Exists(r) => self.exists(path(&r.path)?, r.watch, out),
            ReadRequest::GetData(r) => {
                let path = path(&r.path)?;
                self.get_data(path, out)?;
                self.watch(r.watch, path, Table::Data);
                Ok(())
            }
            ReadRequest::GetChildren(r) => {
                let path = path(&r.path)?;
                self.names(self.readable(path)?, out);
                self.watch(r.watch, path, Table::Child);
                Ok(())
            }
            ReadRequest::GetChildren2(r) => {
                let path = path(&r.path)?;
                let id = self.readable(path)?;
                self.names(id, out);
                self.machine.shown_stat(id).write(out);
                self.watch(r.watch, path, Table::Child);
                Ok(())
            }
            ReadRequest::GetAcl(r) => self.get_acl(path(&r.path)?, out),
            ReadRequest::GetAllChildrenNumber(r) => {
                let path = path(&r.path)?;
                let id = self.readable(path)?;
                // The reference keeps the root under two names, and counts one of them below the other.
                let below = self.machine.tree.descendants(id) + usize::from(path.is_empty());
                writer::i32(out, i32::try_from(below).unwrap_or(i32::MAX));
                Ok(())
            }
            ReadRequest::GetEphemerals(r) => {
                self.ephemerals(r.path.as_deref().unwrap_or_default(), out);
                Ok(())
            }
            ReadRequest::MultiRead(ops) => self.multi_read(ops, out),
            ReadRequest::AddWatch(r) => self.add_watch(watched(&r.path), r.mode, out),
            ReadRequest::CheckWatches(r) => {
                let (path, kind) = (watched(&r.path), watcher_type(r.kind)?);
                found(self.watches.check(self.caller.watcher, path, kind))
            }
            ReadRequest::RemoveWatches(r) => {
                let (path, kind) = (watched(&r.path), watcher_type(r.kind)?);
                found(self.watches.remove(self.caller.watcher, path, kind))
            }
            ReadRequest::WhoAmI => {
                self.who_am_i(out);
                Ok(())
            }
        }
    }

    fn watch(&self, wanted: bool, path: &str, table: Table) {
        if wanted {
            self.watches.add(self.caller.watcher, path, table, Mode::Standard);
        }
    }

    fn may(&self, id: NodeId, perms: i32) -> bool {
        self.caller.rules.permits(self.machine.acl_of(id), perms, self.caller.ids)
    }

    fn readable(&self, path: &str) -> Result<NodeId, ErrorCode> {
        let id = self.machine.tree.find(path).ok_or(ErrorCode::NoNode)?;
        if self.may(id, perms::READ) { Ok(id) } else { Err(ErrorCode::NoAuth) }
    }

    /// Missing nodes can be watched too: that is what exists is for.
    fn exists(&self, path: &str, watch: bool, out: &mut Vec<u8>) -> Result<(), ErrorCode> {
        if path.contains('\0') {
            return Err(ErrorCode::BadArguments);
        }
        let found = self.readable(path);
        if found != Err(ErrorCode::NoAuth) {
            self.watch(watch, path, Table::Data);
        }
        self.machine.shown_stat(found?).write(out);
        Ok(())
    }

    fn get_data(&self, path: &str, out: &mut Vec<u8>) -> Result<(), ErrorCode> {
        let id = self.readable(path)?;
        writer::buffer(out, self.machine.tree.data(id));
        self.machine.shown_stat(id).write(out);
        Ok(())
    }

    fn names(&self, id: NodeId, out: &mut Vec<u8>) {
        let tree = &self.machine.tree;
        writer::i32(out, tree.num_children(id));
        for child in tree.children(id) {
            writer::text(out, Some(tree.name(child)));
        }
    }

    /// READ or ADMIN lets in; without ADMIN the hashes of digests stay hidden.
    fn get_acl(&self, path: &str, out: &mut Vec<u8>) -> Result<(), ErrorCode> {
        let id = self.machine.tree.find(path).ok_or(ErrorCode::NoNode)?;
        if !self.may(id, perms::READ | perms::ADMIN) {
            return Err(ErrorCode::NoAuth);
        }
        let list = self.machine.acl_of(id);
        let admin = self.may(id, perms::ADMIN);
        writer::count(out, Some(list.len()));
        for entry in list.iter() {
            if admin {
                entry.record().write(out);
            } else {
                mask(entry).record().write(out);
            }
        }
        self.machine.shown_stat(id).write(out);
        Ok(())
    }

    /// Own ephemerals only. The prefix is one of text, not of components.
    fn ephemerals(&self, prefix: &str, out: &mut Vec<u8>) {
        // Blank is what the reference's runtime trims: everything up to the space.
        let blank = prefix.trim_matches(|c| c <= ' ');
        let all = blank.is_empty() || blank == "/";
        let mut paths = self.machine.paths_of(self.machine.owners.of(self.caller.session).into_iter());
        paths.retain(|path| all || path.starts_with(prefix));
        writer::count(out, Some(paths.len()));
        for path in &paths {
            writer::text(out, Some(path));
        }
    }

    /// Operations stand alone: one that fails says so in its place.
    fn multi_read(&self, ops: &[ReadOp<'_>], out: &mut Vec<u8>) -> Result<(), ErrorCode> {
        let mut whole = Ok(());
        for op in ops {
            let (ReadOp::GetData(r) | ReadOp::GetChildren(r)) = op;
            let Some(path) = r.path.as_deref() else {
                whole = Err(ErrorCode::MarshallingError);
                break;
            };
            let start = out.len();
            let header = |op: OpCode| MultiHeader { op: op.code(), done: false, err: 0 };
            let result = match op {
                ReadOp::GetData(_) => {
                    header(OpCode::GetData).write(out);
                    self.get_data(path, out)
                }
                ReadOp::GetChildren(_) => {
                    header(OpCode::GetChildren).write(out);
                    self.readable(path).map(|id| self.names(id, out))
                }
            };
            if let Err(code) = result {
                out.truncate(start);
                reply::write_multi_error(out, code);
            }
        }
        MultiHeader { op: OpCode::Error.code(), done: true, err: -1 }.write(out);
        whole
    }

    /// Neither existence nor permission nor the path's form matters.
    fn add_watch(&self, path: &str, mode: i32, out: &mut Vec<u8>) -> Result<(), ErrorCode> {
        match AddWatchMode::from_code(mode).ok_or(ErrorCode::MarshallingError)? {
            AddWatchMode::Persistent => self.watches.add_persistent(self.caller.watcher, path),
            AddWatchMode::PersistentRecursive => self.watches.add_recursive(self.caller.watcher, path),
        }
        writer::i32(out, ErrorCode::Ok.code());
        Ok(())
    }

    fn who_am_i(&self, out: &mut Vec<u8>) {
        writer::count(out, Some(self.caller.ids.len()));
        for id in self.caller.ids {
            writer::text(out, Some(&id.scheme));
            writer::text(out, Some(self.caller.rules.shown_user(id)));
        }
    }

    /// Registers again what a reconnecting client had, and sends what it missed meanwhile. No permission is
    /// asked for, as in the reference.
    fn set_watches(&self, lists: &SetWatches2<'_>, out: &mut Vec<u8>) -> Result<(), ErrorCode> {
        // A list or a path that is missing ends it there: what came before has been told and registered.
        let each = |list: &Option<Vec<Option<Text<'_>>>>, f: &mut dyn FnMut(&str)| {
            let list = list.as_ref().ok_or(ErrorCode::MarshallingError)?;
            list.iter().try_for_each(|p| path(p).map(&mut *f))
        };
        let tree = &self.machine.tree;
        let watcher = self.caller.watcher;
        let standard = |path: &str, table| self.watches.add(watcher, path, table, Mode::Standard);
        let mut event = |kind, path: &str| reply::event(out, -1, kind, path);
        each(&lists.data, &mut |path| match tree.find(path).map(|id| tree.stat(id).mzxid) {
            None => event(EventType::NodeDeleted, path),
            Some(mzxid) if mzxid > lists.relative_zxid => event(EventType::NodeDataChanged, path),
            Some(_) => standard(path, Table::Data),
        })?;
        each(&lists.exist, &mut |path| match tree.find(path) {
            Some(_) => event(EventType::NodeCreated, path),
            None => standard(path, Table::Data),
        })?;
        each(&lists.child, &mut |path| match tree.find(path).map(|id| tree.stat(id).pzxid) {
            None => event(EventType::NodeDeleted, path),
            Some(pzxid) if pzxid > lists.relative_zxid => event(EventType::NodeChildrenChanged, path),
            Some(_) => standard(path, Table::Child),
        })?;
        let anything = |list: &Option<Vec<Option<Text<'_>>>>, f: &dyn Fn(&str)| {
            let list = list.as_ref().ok_or(ErrorCode::MarshallingError)?;
            list.iter().for_each(|path| f(watched(path)));
            Ok(())
        };
        anything(&lists.persistent, &|path| self.watches.add_persistent(watcher, path))?;
        anything(&lists.persistent_recursive, &|path| self.watches.add_recursive(watcher, path))?;
        Ok(())
    }
}

fn watcher_type(kind: i32) -> Result<WatcherType, ErrorCode> {
    WatcherType::from_code(kind).ok_or(ErrorCode::MarshallingError)
}

fn found(hit: bool) -> Result<(), ErrorCode> {
    if hit { Ok(()) } else { Err(ErrorCode::NoWatcher) }
}
