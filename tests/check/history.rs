//! What happened, as plain values: what clients asked and were told, what the servers logged.
//!
//! One record is one line of JSON, so a history can come from a simulation or from real processes. Nothing here
//! judges. Invariant: times come from one monotonic clock; `order` counts what one client received, in its order.

use serde::{Deserialize, Serialize};

/// One line of a history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// An attempt to get or keep a session.
    Connect(Connect),
    /// A request and what came of it.
    Call(Call),
    /// A watch event that reached a client.
    Event(Event),
    /// One transaction of a server's log.
    Logged(Logged),
    /// The state of a server at some moment.
    Digest(Digest),
}

/// The whole of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// Connections, in the order they were asked for.
    pub connects: Vec<Connect>,
    /// Requests, by client in the order they were sent.
    pub calls: Vec<Call>,
    /// Events, by client in the order they came.
    pub events: Vec<Event>,
    /// Logs of all servers.
    pub logs: Vec<Logged>,
    /// States of servers.
    pub digests: Vec<Digest>,
}

/// A client connected to a server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Connect {
    /// Which client.
    pub client: u32,
    /// Its connection, never used again.
    pub conn: u64,
    /// To whom.
    pub server: i64,
    /// When it asked.
    pub invoke: u64,
    /// The session it came back with; 0 for a new one.
    pub asked: i64,
    /// The newest zxid it had seen.
    pub seen: i64,
    /// The answer; `None` if none came.
    pub answer: Option<Welcome>,
}

/// A server's answer to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// When it came.
    pub at: u64,
    /// The session; 0 if it is over.
    pub session: i64,
    /// Its timeout in ms.
    pub timeout: i32,
    /// Its place in what the client received.
    pub order: u64,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Which client.
    pub client: u32,
    /// The connection it went over.
    pub conn: u64,
    /// The session it belongs to.
    pub session: i64,
    /// Who was asked.
    pub server: i64,
    /// Its number.
    pub xid: i32,
    /// What was asked.
    pub op: Op,
    /// When it was sent.
    pub invoke: u64,
    /// The answer; `None` if it never came: then nobody knows whether it was done.
    pub done: Option<Done>,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// When it came.
    pub at: u64,
    /// Its place in what the client received.
    pub order: u64,
    /// zxid of the header.
    pub zxid: i64,
    /// Error of the header; 0 is none.
    pub err: i32,
    /// The body.
    pub reply: Reply,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Op {
    /// create
    Create {
        /// Where; a prefix, if sequential.
        path: String,
        /// The data.
        data: Vec<u8>,
        /// Goes with its session.
        ephemeral: bool,
        /// The server appends a number.
        sequential: bool,
    },
    /// delete
    Delete {
        /// Where.
        path: String,
        /// The version it must have; -1 for any.
        version: i32,
    },
    /// setData
    Set {
        /// Where.
        path: String,
        /// The data.
        data: Vec<u8>,
        /// The version it must have; -1 for any.
        version: i32,
    },
    /// check, inside a multi only.
    Check {
        /// Where.
        path: String,
        /// The version it must have; -1 for any.
        version: i32,
    },
    /// multi
    Multi(Vec<Self>),
    /// getData
    Get {
        /// Where.
        path: String,
        /// Leaves a watch.
        watch: bool,
    },
    /// exists
    Exists {
        /// Where.
        path: String,
        /// Leaves a watch.
        watch: bool,
    },
    /// getChildren2
    Children {
        /// Where.
        path: String,
        /// Leaves a watch.
        watch: bool,
    },
    /// addWatch
    AddWatch {
        /// Where.
        path: String,
        /// For everything below it, too.
        recursive: bool,
    },
    /// setWatches2
    SetWatches(Rewatch),
    /// sync
    Sync {
        /// Any path.
        path: String,
    },
    /// closeSession
    Close,
    /// reconfig; what it asks is in words, for people.
    Reconfig(String),
    /// ping; not recorded by everybody.
    Ping,
}

/// The watches a client registers again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewatch {
    /// The newest zxid the client had seen.
    pub relative: i64,
    /// Data watches.
    pub data: Vec<String>,
    /// Watches for nodes that are not there.
    pub exist: Vec<String>,
    /// Watches of children.
    pub child: Vec<String>,
    /// Persistent ones.
    pub persistent: Vec<String>,
    /// Persistent and recursive ones.
    pub recursive: Vec<String>,
}

/// The body of an answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// Nothing.
    #[default]
    Empty,
    /// The path that was made.
    Path(String),
    /// A stat.
    Stat(Stat),
    /// Data and stat.
    Data(Vec<u8>, Stat),
    /// Names and stat.
    Children(Vec<String>, Stat),
    /// One result for each operation of a multi: error and body.
    Multi(Vec<(i32, Self)>),
}

/// The stat of a node as clients see it, without its times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stat {
    /// Made by.
    pub czxid: i64,
    /// Last written by.
    pub mzxid: i64,
    /// Writes.
    pub version: i32,
    /// Changes of children.
    pub cversion: i32,
    /// Whose.
    pub owner: i64,
    /// Length of the data.
    pub length: i32,
    /// Children.
    pub children: i32,
    /// Last change of children.
    pub pzxid: i64,
}

/// A watch event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Which client.
    pub client: u32,
    /// Over which connection.
    pub conn: u64,
    /// In which session.
    pub session: i64,
    /// From whom.
    pub server: i64,
    /// When.
    pub at: u64,
    /// Its place in what the client received.
    pub order: u64,
    /// zxid of its header; -1 if it makes up for a missed one.
    pub zxid: i64,
    /// 1 created, 2 deleted, 3 data changed, 4 children changed.
    pub kind: i32,
    /// Where.
    pub path: String,
}

/// One transaction of a server's log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Logged {
    /// Whose log; 0 is the order as it was committed, where somebody saw it.
    pub server: i64,
    /// Its place.
    pub zxid: i64,
    /// Header, body, digest.
    pub payload: Vec<u8>,
}

/// The state of a server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Digest {
    /// Whose.
    pub server: i64,
    /// The last transaction in it.
    pub zxid: i64,
    /// The tree.
    pub tree: u64,
    /// Sessions and access lists.
    pub rest: u64,
}

impl History {
    /// Reads lines of JSON.
    ///
    /// # Errors
    /// The first line that is no record.
    pub fn from_lines(lines: &str) -> Result<Self, String> {
        let mut history = Self::default();
        for (n, line) in lines.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            match serde_json::from_str(line).map_err(|e| format!("line {}: {e}", n + 1))? {
                Record::Connect(r) => history.connects.push(r),
                Record::Call(r) => history.calls.push(r),
                Record::Event(r) => history.events.push(r),
                Record::Logged(r) => history.logs.push(r),
                Record::Digest(r) => history.digests.push(r),
            }
        }
        Ok(history)
    }

    /// Writes lines of JSON.
    #[must_use]
    pub fn to_lines(&self) -> String {
        let mut out = String::new();
        let records = (self.connects.iter().cloned().map(Record::Connect))
            .chain(self.calls.iter().cloned().map(Record::Call))
            .chain(self.events.iter().cloned().map(Record::Event))
            .chain(self.logs.iter().cloned().map(Record::Logged))
            .chain(self.digests.iter().cloned().map(Record::Digest));
        for record in records {
            out.push_str(&serde_json::to_string(&record).expect("plain values"));
            out.push('\n');
        }
        out
    }
}
