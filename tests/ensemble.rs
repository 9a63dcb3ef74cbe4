//! Real processes of the real binary as an ensemble on this host: elections, a leader that is killed, members that come
//! back, one that lost its disk, observers, reads without a leader, and strangers at the ports between servers.
//!
//! Every ensemble has an address of its own in 127/8, so ports need not be looked for.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

#[path = "ensemble/rows.rs"]
mod rows;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Ports are these and the member's number: not the usual ones, which somebody may have open on every address.
const CLIENTS: usize = 21_180;
const QUORUM: usize = 22_880;
const ELECTION: usize = 23_880;

/// Nothing takes longer, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

#[expect(clippy::disallowed_methods, reason = "a test from outside has a clock of its own")]
fn now() -> Instant {
    Instant::now()
}

/// Waits until there is something.
fn until<T>(what: &str, mut is_there: impl FnMut() -> Option<T>) -> T {
    let start = now();
    loop {
        if let Some(found) = is_there() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

struct Ensemble {
    home: tempfile::TempDir,
    net: String,
    running: Vec<Option<Child>>,
}

impl Drop for Ensemble {
    fn drop(&mut self) {
        (1..=self.running.len()).for_each(|n| self.kill(n));
    }
}

impl Ensemble {
    /// Members in the order of their numbers; true for one with a vote.
    fn start(votes: &[bool], more: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let home = tempfile::tempdir().unwrap();
        let (pid, own) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let net = format!("127.{}.{}.{}", 1 + own % 250, pid / 250 % 250, 1 + pid % 250);
        let mut ensemble = Self { home, net, running: votes.iter().map(|_| None).collect() };
        for n in 1..=votes.len() {
            ensemble.write(n, votes, more);
            ensemble.run(n);
        }
        ensemble
    }

    /// The files with which a member starts: these are the members.
    fn write(&self, n: usize, votes: &[bool], more: &str) {
        let (at, net) = (self.at(n), &self.net);
        let lines: String = (1..=votes.len())
            .map(|n| {
                let role = if votes[n - 1] { "participant" } else { "observer" };
                format!("server.{n}={net}:{}:{}:{role}\n", QUORUM + n, ELECTION + n)
            })
            .collect();
        std::fs::create_dir_all(at.join("data")).unwrap();
        std::fs::write(at.join("data/myid"), n.to_string()).unwrap();
        let text = format!(
            "tickTime=500\ninitLimit=20\nsyncLimit=10\ndataDir={}\nclientPort={}\nclientPortAddress={net}\n\
             4lw.commands.whitelist=*\nadmin.enableServer=false\n{more}\n{lines}",
            at.join("data").display(),
            CLIENTS + n,
        );
        std::fs::write(at.join("zoo.cfg"), text).unwrap();
    }

    fn at(&self, n: usize) -> PathBuf {
        self.home.path().join(n.to_string())
    }

    fn run(&mut self, n: usize) {
        let log = std::fs::File::options().create(true).append(true).open(self.at(n).join("log")).unwrap();
        // A file that may not grow is an error to a write, as any other, and no signal.
        let child = Command::new("sh")
            .args(["-c", "trap '' XFSZ && exec \"$@\"", "sh", env!("CARGO_BIN_EXE_quoll")])
            .args(["-Dreadonlymode.enabled=true", "server"])
            .arg(self.at(n).join("zoo.cfg"))
            .stdout(log)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.running[n - 1] = Some(child);
    }

    fn kill(&mut self, n: usize) {
        if let Some(mut child) = self.running[n - 1].take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn log(&self, n: usize) -> String {
        std::fs::read_to_string(self.at(n).join("log")).unwrap_or_default()
    }

    fn dial(&self, n: usize) -> Option<TcpStream> {
        dial(&self.net, CLIENTS + n)
    }

    fn word(&self, n: usize, word: &str) -> Option<String> {
        let mut stream = self.dial(n)?;
        stream.write_all(word.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    fn mode(&self, n: usize) -> Option<String> {
        let answer = self.word(n, "srvr")?;
        Some(answer.lines().find_map(|line| line.strip_prefix("Mode: "))?.to_owned())
    }

    fn await_mode(&self, n: usize, mode: &str) {
        until(&format!("server {n} is {mode}:\n{}", self.log(n)), || {
            (self.mode(n).as_deref() == Some(mode)).then_some(())
        });
    }

    fn leader(&self) -> usize {
        until("somebody leads", || {
            (1..=self.running.len()).find(|n| self.mode(*n).as_deref() == Some("leader"))
        })
    }

    /// A client of a server that serves.
    fn client(&self, n: usize) -> Client {
        until("a session", || self.greet(n, 0, [0; 16], false))
    }

    fn greet(&self, n: usize, session: i64, passwd: [u8; 16], read_only: bool) -> Option<Client> {
        Client::greet(self.dial(n)?, session, passwd, read_only)
    }
}

fn dial(net: &str, port: usize) -> Option<TcpStream> {
    let stream = TcpStream::connect((net, u16::try_from(port).unwrap())).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    Some(stream)
}

struct Client {
    stream: TcpStream,
    session: i64,
    passwd: [u8; 16],
    xid: i32,
    read_only: bool,
}

impl Client {
    /// The session, or a new one, unless it is refused.
    fn greet(stream: TcpStream, session: i64, passwd: [u8; 16], read_only: bool) -> Option<Self> {
        let mut client = Self { stream, session, passwd, xid: 0, read_only };
        let mut body = vec![0; 12];
        body.extend_from_slice(&8000_i32.to_be_bytes());
        body.extend_from_slice(&session.to_be_bytes());
        body.extend_from_slice(&16_i32.to_be_bytes());
        body.extend_from_slice(&passwd);
        body.push(u8::from(read_only));
        client.send(&body)?;
        let answer = client.frame()?;
        client.session = i64::from_be_bytes(answer[8..16].try_into().unwrap());
        client.passwd = answer[20..36].try_into().unwrap();
        client.read_only = answer.get(36) == Some(&1);
        (client.session != 0).then_some(client)
    }

    fn send(&mut self, body: &[u8]) -> Option<()> {
        let mut frame = i32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
        frame.extend_from_slice(body);
        self.stream.write_all(&frame).ok()
    }

    fn frame(&mut self) -> Option<Vec<u8>> {
        let mut prefix = [0; 4];
        self.stream.read_exact(&mut prefix).ok()?;
        let mut frame = vec![0; usize::try_from(i32::from_be_bytes(prefix)).unwrap()];
        self.stream.read_exact(&mut frame).ok()?;
        Some(frame)
    }

    /// The error of the answer; nothing if the connection ended.
    fn ask(&mut self, op: i32, parts: &[&[u8]]) -> Option<i32> {
        self.xid += 1;
        let mut body = self.xid.to_be_bytes().to_vec();
        body.extend_from_slice(&op.to_be_bytes());
        parts.iter().for_each(|part| body.extend_from_slice(part));
        self.send(&body)?;
        let answer = self.frame()?;
        assert_eq!(answer[..4], self.xid.to_be_bytes());
        Some(i32::from_be_bytes(answer[12..16].try_into().unwrap()))
    }

    fn create(&mut self, path: &str, flags: i32) -> Option<i32> {
        let acl = [&1_i32.to_be_bytes()[..], &31_i32.to_be_bytes(), &text("world"), &text("anyone")].concat();
        self.ask(1, &[&text(path), &text("data"), &acl, &flags.to_be_bytes()])
    }

    fn exists(&mut self, path: &str) -> Option<i32> {
        self.ask(3, &[&text(path), &[0]])
    }

    /// Everything committed before is seen after.
    fn sync(&mut self) -> Option<i32> {
        self.ask(9, &[&text("/")])
    }
}

fn text(s: &str) -> Vec<u8> {
    let mut out = i32::try_from(s.len()).unwrap().to_be_bytes().to_vec();
    out.extend_from_slice(s.as_bytes());
    out
}

#[test]
fn an_ensemble_outlives_its_leader_and_takes_it_back() {
    let mut servers = Ensemble::start(&[true, true, true], "");
    let leader = servers.leader();
    for n in 1..=3 {
        assert_eq!(servers.client(n).create(&format!("/by{n}"), 0), Some(0));
    }
    for n in 1..=3 {
        let mut client = servers.client(n);
        assert_eq!(client.sync(), Some(0));
        (1..=3).for_each(|m| assert_eq!(client.exists(&format!("/by{m}")), Some(0), "server {n}"));
    }
    // A session moves to another server, with its ephemeral, and ends there.
    let other = leader % 3 + 1;
    let mut client = servers.client(other);
    assert_eq!(client.create("/mine", 1), Some(0));
    servers.kill(leader);
    let next = until("another leader", || {
        (1..=3).filter(|n| *n != leader).find(|n| servers.mode(*n).as_deref() == Some("leader"))
    });
    let (session, passwd) = (client.session, client.passwd);
    let mut moved = until("the session comes back", || servers.greet(next, session, passwd, false));
    assert_eq!((moved.session, moved.exists("/mine")), (session, Some(0)));
    for i in 0..50 {
        assert_eq!(moved.create(&format!("/without{i}"), 0), Some(0));
    }
    assert_eq!(moved.ask(-11, &[]), Some(0));
    servers.run(leader);
    servers.await_mode(leader, "follower");
    let mut client = servers.client(leader);
    assert_eq!(client.sync(), Some(0));
    assert_eq!((client.exists("/without49"), client.exists("/mine")), (Some(0), Some(-101)));
    assert!(!servers.log(leader).contains("Snapshot from the leader received"), "it was away for little");
    // All of them at once, and nothing is lost.
    (1..=3).for_each(|n| servers.kill(n));
    (1..=3).for_each(|n| servers.run(n));
    servers.leader();
    let mut client = servers.client(1);
    assert_eq!(
        (client.sync(), client.exists("/without49"), client.exists("/by3")),
        (Some(0), Some(0), Some(0))
    );
}

#[test]
fn a_wiped_member_takes_a_snapshot_and_strangers_at_the_ports_change_nothing() {
    let mut servers = Ensemble::start(&[true, true, true, false], "forceSnapshotSync=true");
    let leader = servers.leader();
    servers.await_mode(4, "observer");
    let mut client = servers.client(leader);
    for i in 0..20 {
        assert_eq!(client.create(&format!("/n{i}"), 0), Some(0));
    }
    let wiped = leader % 3 + 1;
    servers.kill(wiped);
    std::fs::remove_dir_all(servers.at(wiped).join("data/version-2")).unwrap();
    servers.run(wiped);
    servers.await_mode(wiped, "follower");
    assert!(servers.log(wiped).contains("Snapshot from the leader received"), "{}", servers.log(wiped));
    for n in [wiped, 4] {
        let mut there = servers.client(n);
        assert_eq!((there.sync(), there.exists("/n19")), (Some(0), Some(0)), "server {n}");
        assert_eq!(there.create(&format!("/through{n}"), 0), Some(0));
    }
    let noise: Vec<u8> =
        (0..5000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
    for port in (1..=4).flat_map(|n| [QUORUM + n, ELECTION + n]) {
        for length in [1, 3, 8, 40, 5000] {
            if let Some(mut stream) = dial(&servers.net, port) {
                let _ = stream.write_all(&noise[..length]);
            }
        }
    }
    assert_eq!(client.create("/still", 0), Some(0), "nobody took notice");
    assert_eq!(servers.leader(), leader);
}

#[test]
fn without_a_quorum_there_are_reads_for_those_who_want_them() {
    let mut servers = Ensemble::start(&[true, true, true], "");
    let leader = servers.leader();
    assert_eq!(servers.client(leader).create("/kept", 0), Some(0));
    let left = leader % 3 + 1;
    let mut client = servers.client(left);
    assert_eq!((client.sync(), client.exists("/kept")), (Some(0), Some(0)));
    (1..=3).filter(|n| *n != left).for_each(|n| servers.kill(n));
    assert_eq!(until("closed", || client.exists("/kept").is_none().then_some(())), ());
    servers.await_mode(left, "read-only");
    assert_eq!(servers.word(left, "isro").as_deref(), Some("ro"));
    assert!(servers.greet(left, 0, [0; 16], false).is_none(), "who wants to write goes elsewhere");
    let mut reader = until("a reader", || servers.greet(left, 0, [0; 16], true));
    assert!(reader.read_only);
    assert_eq!((reader.exists("/kept"), reader.create("/no", 0)), (Some(0), Some(-119)));
    (1..=3).filter(|n| *n != left).for_each(|n| servers.run(n));
    servers.leader();
    let mut client = servers.client(left);
    assert_eq!((client.create("/yes", 0), client.exists("/no")), (Some(0), Some(-101)));
}
