//! The one session that prepares and cleans up: it blocks, it is not measured, and it reads replies whole.

use super::clock::Clock;
use super::dial;
use super::failure::Failure;
use super::frame::{self, Head, Multi, Step};
use super::options::{FRAME_LIMIT, Plan};
use jute::records::proto::NamesResponse;
use jute::{ErrorCode, OpCode, Reader, Record};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Operations of one preparing multi.
const BATCH: usize = 500;

/// A session.
#[derive(Debug)]
pub(super) struct Control {
    stream: TcpStream,
    xid: i32,
    input: Vec<u8>,
}

impl Control {
    pub(super) fn open(plan: &Plan, clock: Clock) -> Result<Self, Failure> {
        let session = dial::open_all(plan, clock, 1, |_| {})?.pop();
        let stream = session.ok_or_else(|| Failure::Server("no session".into()))?.stream;
        let set_up = |stream: &TcpStream| {
            stream.set_nonblocking(false)?;
            stream.set_read_timeout(Some(Duration::from_nanos(plan.timeout)))
        };
        set_up(&stream).map_err(Failure::io("control connection"))?;
        Ok(Self { stream, xid: 0, input: Vec::new() })
    }

    /// Creates a node and its parents; those that are there already are fine.
    pub(super) fn create_path(&mut self, path: &str) -> Result<(), Failure> {
        let ends = path.match_indices('/').skip(1).map(|(at, _)| at).chain([path.len()]);
        for end in ends {
            let Some(prefix) = path.get(..end) else { continue };
            self.create(prefix, &[])?;
        }
        Ok(())
    }

    /// Creates a node unless it exists.
    pub(super) fn create(&mut self, path: &str, data: &[u8]) -> Result<(), Failure> {
        let (head, _) = self.call(OpCode::Create, &frame::create_request(path, data))?;
        expect(&format!("create {path}"), head.err, &[ErrorCode::Ok, ErrorCode::NodeExists])
    }

    /// Creates `stem` and digits for every number below `count`; those that are there already are fine.
    pub(super) fn create_numbered(&mut self, stem: &str, count: u32, data: &[u8]) -> Result<(), Failure> {
        let per_frame = (FRAME_LIMIT / (stem.len() + data.len() + 128)).clamp(1, BATCH);
        let paths: Vec<String> = (0..count).map(|n| frame::numbered(stem, n)).collect();
        for chunk in paths.chunks(per_frame) {
            let mut multi = Multi::default();
            for path in chunk {
                multi.push(OpCode::Create, &frame::create_request(path, data));
            }
            if !self.multi(multi)? {
                for path in chunk {
                    self.create(path, data)?;
                }
            }
        }
        Ok(())
    }

    /// Sends a setData and returns at once; [`Self::settle`] takes its reply.
    pub(super) fn send_set_data(&mut self, path: &str, data: &[u8]) -> Result<(), Failure> {
        self.send(OpCode::SetData, &frame::set_data_request(path, data))
    }

    /// The reply to the last request: must be without error.
    pub(super) fn settle(&mut self) -> Result<(), Failure> {
        let (head, _) = self.receive()?;
        expect("the control session's request", head.err, &[ErrorCode::Ok])
    }

    /// Removes a node and everything below it. A node that vanishes meanwhile is fine.
    pub(super) fn remove_tree(&mut self, root: &str) -> Result<(), Failure> {
        let mut todo = vec![(root.to_owned(), false)];
        let mut leaves: Vec<String> = Vec::new();
        while let Some((path, emptied)) = todo.pop() {
            let known_empty = emptied || is_leaf(&path);
            let names = if known_empty { Vec::new() } else { self.children(&path)?.unwrap_or_default() };
            if names.is_empty() {
                leaves.push(path);
            } else {
                // Children first; the path itself again when they are gone.
                todo.push((path.clone(), true));
                todo.extend(names.into_iter().map(|name| (format!("{path}/{name}"), false)));
            }
            if leaves.len() >= BATCH {
                self.delete(&std::mem::take(&mut leaves))?;
            }
        }
        self.delete(&leaves)
    }

    fn delete(&mut self, paths: &[String]) -> Result<(), Failure> {
        let mut multi = Multi::default();
        for path in paths {
            multi.push(OpCode::Delete, &frame::delete_request(path));
        }
        if self.multi(multi)? {
            return Ok(());
        }
        for path in paths {
            let (head, _) = self.call(OpCode::Delete, &frame::delete_request(path))?;
            expect(&format!("delete {path}"), head.err, &[ErrorCode::Ok, ErrorCode::NoNode])?;
        }
        Ok(())
    }

    fn children(&mut self, path: &str) -> Result<Option<Vec<String>>, Failure> {
        let (head, body) = self.call(OpCode::GetChildren, &frame::watch_request(path, false))?;
        expect(&format!("children of {path}"), head.err, &[ErrorCode::Ok, ErrorCode::NoNode])?;
        if head.err != 0 {
            return Ok(None);
        }
        let response = NamesResponse::read(&mut Reader::new(&body))
            .map_err(|error| Failure::Server(format!("children of {path}: {error}")))?;
        let names = response.names.unwrap_or_default().into_iter().flatten();
        Ok(Some(names.map(std::borrow::Cow::into_owned).collect()))
    }

    /// Whether all of it was done.
    fn multi(&mut self, multi: Multi) -> Result<bool, Failure> {
        self.xid = frame::next_xid(self.xid);
        let bytes = multi.finish(self.xid);
        self.stream.write_all(&bytes).map_err(Failure::io("control connection"))?;
        let (head, body) = self.receive()?;
        expect("multi", head.err, &[ErrorCode::Ok])?;
        // Every result of a multi that failed carries the type -1.
        Ok(!body.starts_with(&[0xff; 4]) || body.get(4) == Some(&1))
    }

    fn call<'a>(&mut self, op: OpCode, body: &impl Record<'a>) -> Result<(Head, Vec<u8>), Failure> {
        self.send(op, body)?;
        self.receive()
    }

    fn send<'a>(&mut self, op: OpCode, body: &impl Record<'a>) -> Result<(), Failure> {
        self.xid = frame::next_xid(self.xid);
        let bytes = frame::request(self.xid, op, body);
        self.stream.write_all(&bytes).map_err(Failure::io("control connection"))
    }

    fn receive(&mut self) -> Result<(Head, Vec<u8>), Failure> {
        let mut chunk = vec![0; 64 << 10];
        loop {
            match frame::step(&self.input) {
                Step::Frame(head, body, rest) => {
                    let (body, rest) = (body.to_vec(), rest.to_vec());
                    self.input = rest;
                    if head.xid != self.xid {
                        let message =
                            format!("control connection: reply {} where {} was due", head.xid, self.xid);
                        return Err(Failure::Server(message));
                    }
                    return Ok((head, body));
                }
                Step::Garbage => return Err(Failure::Server("control connection: not a reply".into())),
                Step::Partial => {
                    let n = self.stream.read(&mut chunk).map_err(Failure::io("control connection"))?;
                    if n == 0 {
                        return Err(Failure::Server("control connection: closed by the server".into()));
                    }
                    self.input.extend(chunk.iter().take(n));
                }
            }
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // Best effort: without it the session ends by its timeout.
        if self.send(OpCode::CloseSession, &()).is_ok() {
            let _ = self.receive();
        }
    }
}

/// Names of the form that only childless nodes of a benchmark have: no need to ask for their children.
fn is_leaf(path: &str) -> bool {
    path.rsplit('/')
        .next()
        .and_then(|name| name.strip_prefix('n'))
        .is_some_and(|digits| digits.len() == frame::DIGITS && digits.bytes().all(|b| b.is_ascii_digit()))
}

fn expect(what: &str, err: i32, fine: &[ErrorCode]) -> Result<(), Failure> {
    if fine.iter().any(|code| code.code() == err) {
        return Ok(());
    }
    let name = ErrorCode::from_code(err).map_or_else(|| err.to_string(), |code| code.name().to_owned());
    Err(Failure::Server(format!("{what}: the server answered {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbered_nodes_are_leaves() {
        assert!(is_leaf("/r/n00000007") && is_leaf("/r/p00000001/n12345678"));
        assert!(!is_leaf("/r/p00000007") && !is_leaf("/r/names") && !is_leaf("/r/n0000000x"));
    }
}
