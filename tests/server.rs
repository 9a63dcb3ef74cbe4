//! The real binary on a free port of this host, and clients that know no manners: lengths without bytes, bytes
//! without sense, halves of everything, requests without end, replies that nobody reads.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

#[path = "server/rows.rs"]
mod rows;

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Nothing takes longer, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

#[expect(clippy::disallowed_methods, reason = "a test from outside has a clock of its own")]
fn now() -> Instant {
    Instant::now()
}

struct Server {
    process: Child,
    port: u16,
    log: Arc<Mutex<Vec<String>>>,
    data: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    fn start(more: &str) -> Self {
        Self::start_telling("info", more)
    }

    /// With this much in its log.
    fn start_telling(level: &str, more: &str) -> Self {
        // As many descriptors as there may be, for this process and the one that it starts.
        let mut files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        files.current = files.maximum;
        rustix::process::setrlimit(rustix::process::Resource::Nofile, files).unwrap();
        let data = tempfile::tempdir().unwrap();
        let file = data.path().join("zoo.cfg");
        let text = format!(
            "dataDir={}\nclientPort=0\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n\
             4lw.commands.whitelist=*\nmaxClientCnxns=0\nclientPortListenBacklog=1024\n\
             quoll.log.level={level}\n{more}\n",
            data.path().join("data").display()
        );
        std::fs::write(&file, text).unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_quoll"))
            .env_remove("QUOLL_LOG")
            .arg("server")
            .arg(&file)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut first = Vec::new();
        let port = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| {
                let port =
                    line.split_once("binding to port 127.0.0.1:").and_then(|(_, p)| p.trim().parse().ok());
                first.push(line);
                port
            })
            .expect("a line that names the port");
        let log = Arc::new(Mutex::new(first));
        let into = Arc::clone(&log);
        std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| into.lock().unwrap().push(line));
        });
        Self { process, port, log, data }
    }

    fn dial(&self) -> Client {
        self.try_dial().unwrap()
    }

    fn try_dial(&self) -> std::io::Result<Client> {
        let stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Client { stream, session: 0, passwd: [0; 16], timeout: 0 })
    }

    fn client(&self) -> Client {
        self.greet(0, [0; 16], 30_000)
    }

    fn greet(&self, session: i64, passwd: [u8; 16], timeout: i32) -> Client {
        let mut client = self.dial();
        client.send(&greeting(session, &passwd, timeout));
        let answer = client.frame().expect("an answer to the greeting");
        client.timeout = i32_at(&answer, 4);
        client.session = i64::from_be_bytes(answer[8..16].try_into().unwrap());
        client.passwd = answer[20..36].try_into().unwrap();
        client
    }

    fn word(&self, word: &str) -> String {
        self.try_word(word).unwrap()
    }

    fn try_word(&self, word: &str) -> std::io::Result<String> {
        let mut stream = self.try_dial()?.stream;
        stream.write_all(word.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    fn metric(&self, name: &str) -> i64 {
        metric(&self.word("mntr"), name)
    }

    /// Resident KiB of the server.
    fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let row = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        row.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// How many lines of the log have it.
    fn logged(&self, text: &str) -> usize {
        self.log.lock().unwrap().iter().filter(|line| line.contains(text)).count()
    }

    /// Waits for a line of the log that has it: what the server has written is read beside the test.
    #[track_caller]
    fn tells(&self, text: &str) {
        let start = now();
        while self.logged(text) == 0 {
            assert!(start.elapsed() < PATIENCE, "no line of the log has {text:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[track_caller]
    fn is_well(&self, client: &mut Client) {
        client.send(&ping());
        assert_eq!(client.reply(), (-2, 0));
        assert_eq!(self.logged("panicked"), 0);
    }
}

/// One of the rows of `mntr`.
fn metric(rows: &str, name: &str) -> i64 {
    let row = rows.lines().find_map(|row| row.strip_prefix(&format!("zk_{name}\t")));
    row.unwrap_or_else(|| panic!("no {name} in\n{rows}")).parse().unwrap()
}

struct Client {
    stream: TcpStream,
    session: i64,
    passwd: [u8; 16],
    timeout: i32,
}

impl Client {
    #[track_caller]
    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The next frame, or nothing once the server has closed.
    #[track_caller]
    fn frame(&mut self) -> Option<Vec<u8>> {
        let mut prefix = [0; 4];
        match self.stream.read_exact(&mut prefix) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => panic!("no answer and no end"),
            Err(_) => return None,
        }
        let mut frame = vec![0; usize::try_from(i32::from_be_bytes(prefix)).unwrap()];
        self.stream.read_exact(&mut frame).unwrap();
        Some(frame)
    }

    #[track_caller]
    fn reply(&mut self) -> (i32, i32) {
        let frame = self.frame().expect("a reply");
        (i32_at(&frame, 0), i32_at(&frame, 12))
    }

    #[track_caller]
    fn ends(&mut self) {
        assert_eq!(self.frame(), None, "closed without another byte");
    }

    fn is_open(&mut self) -> bool {
        self.stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let seen = self.stream.peek(&mut [0]);
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        matches!(seen, Err(e) if e.kind() == ErrorKind::WouldBlock)
    }
}

fn i32_at(frame: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(frame[at..at + 4].try_into().unwrap())
}

fn framed(body: &[u8]) -> Vec<u8> {
    [&i32::try_from(body.len()).unwrap().to_be_bytes(), body].concat()
}

fn text(s: &str) -> Vec<u8> {
    framed(s.as_bytes())
}

fn greeting(session: i64, passwd: &[u8], timeout: i32) -> Vec<u8> {
    let head = [&[0; 12][..], &timeout.to_be_bytes(), &session.to_be_bytes()].concat();
    framed(&[head, framed(passwd), vec![0]].concat())
}

fn ask(xid: i32, op: i32, body: &[u8]) -> Vec<u8> {
    framed(&[&xid.to_be_bytes()[..], &op.to_be_bytes(), body].concat())
}

fn ping() -> Vec<u8> {
    ask(-2, 11, b"")
}

fn create(xid: i32, path: &str, data: &[u8], flags: i32) -> Vec<u8> {
    let acl = [&[0, 0, 0, 1, 0, 0, 0, 31][..], &text("world"), &text("anyone")].concat();
    ask(xid, 1, &[text(path), framed(data), acl, flags.to_be_bytes().to_vec()].concat())
}

fn set(xid: i32, path: &str, data: &[u8]) -> Vec<u8> {
    ask(xid, 5, &[text(path), framed(data), vec![255; 4]].concat())
}

fn exists(xid: i32, path: &str) -> Vec<u8> {
    ask(xid, 3, &[text(path), vec![0]].concat())
}

/// A persistent watch.
fn watch(xid: i32, path: &str) -> Vec<u8> {
    ask(xid, 106, &[text(path), vec![0; 4]].concat())
}

#[test]
fn memory_does_not_follow_announced_lengths() {
    let server = Server::start("");
    let mut bystander = server.client();
    let huge = |server: &Server| {
        let mut client = server.dial();
        client.send(&[0x7f, 0xff, 0xff, 0xff]);
        client.ends();
        let mut client = server.client();
        client.send(&[0x7f, 0xff, 0xff, 0xff, 1, 2, 3]);
        client.ends();
    };
    (0..100).for_each(|_| huge(&server));
    // The allocator takes memory in steps of a huge page; what follows the lengths would grow both times.
    let grown = (0..2).map(|_| {
        let before = server.resident();
        for _ in 0..10 {
            (0..100).for_each(|_| huge(&server));
            server.is_well(&mut bystander);
        }
        server.resident().saturating_sub(before)
    });
    let grown = grown.min().unwrap_or_default();
    assert!(grown < 1024, "{grown} KiB for 1,000 lengths of 2 GiB");

    let (before, mut waiting) = (server.resident(), Vec::new());
    for _ in 0..500 {
        let mut client = server.client();
        client.send(&[0, 0x0f, 0xff, 0xff, 9]);
        waiting.push(client);
    }
    server.is_well(&mut bystander);
    let grown = server.resident().saturating_sub(before);
    assert!(grown < 16 * 1024, "{grown} KiB for 500 frames of which one byte has come");
}

#[test]
fn what_is_no_frame_ends_its_connection_and_no_other() {
    let server = Server::start("");
    let mut bystander = server.client();
    let firsts: [&[u8]; 10] = [
        &[255, 255, 255, 255],
        &[128, 0, 0, 0],
        &[0, 0x10, 0, 0],
        &[0, 0, 0, 0],
        &[0, 0, 0, 1, 0],
        &[0, 0, 0, 27, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        b"GET / HTTP/1.1\r\n\r\n",
        &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3],
        b"\r\nruok",
        b"\xff\xff\xff\xffmntr",
    ];
    for first in firsts {
        let mut client = server.dial();
        client.send(first);
        client.ends();
    }
    let later: [&[u8]; 6] = [
        &[255, 255, 255, 255],
        &[128, 0, 0, 0],
        &[0, 0x10, 0, 0],
        &[0, 0, 0, 0],
        &[0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0],
        &[0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 100, 0, 0, 0, 9],
    ];
    for frame in later {
        let mut client = server.client();
        client.send(&[&exists(1, "/"), frame, &exists(2, "/")].concat());
        assert_eq!(client.reply(), (1, 0), "what came before is answered");
        client.ends();
        server.is_well(&mut bystander);
    }
    // A sound header with nonsense behind it is an error, not an end.
    let mut client = server.client();
    for (xid, op) in [(1, 1), (2, 3), (3, 4), (4, 5), (5, 8), (6, 14), (7, 101), (8, 106), (9, 22)] {
        client.send(&ask(xid, op, &[0x7f, 0xff, 0xff, 0xff]));
        let (answered, error) = client.reply();
        assert_eq!(answered, xid);
        assert_ne!(error, 0, "{op}");
    }
    server.is_well(&mut client);
    // Seeded noise, before and behind the handshake.
    let mut seed = 0x2545_f491_u32;
    let mut byte = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        seed.to_be_bytes()[0]
    };
    for round in 0..300 {
        let noise: Vec<u8> = (0..64).map(|_| byte()).collect();
        let mut client = if round % 2 == 0 { server.dial() } else { server.client() };
        let sent = client.stream.write_all(&[&[0, 0, 0, 60], noise.as_slice()].concat());
        drop((sent, client));
    }
    server.is_well(&mut bystander);
}

#[test]
fn ten_thousand_requests_at_once_are_answered_in_their_order() {
    let server = Server::start("snapCount=1000000");
    let mut client = server.client();
    let mut requests = Vec::new();
    for xid in 1..=10_000 {
        let path = format!("/n{}", xid / 5);
        requests.extend(match xid % 5 {
            0 => create(xid, &path, b"x", 0),
            1 => exists(xid, &path),
            2 => set(xid, &path, b"y"),
            3 => ask(xid, 9, &text(&path)),
            _ => ask(xid, 4, &[text(&path), vec![0]].concat()),
        });
        if xid % 97 == 0 {
            requests.extend(ping());
        }
    }
    let mut writer = client.stream.try_clone().unwrap();
    let sends = std::thread::spawn(move || writer.write_all(&requests).unwrap());
    let (mut next, mut last_zxid) = (1, 0);
    while next <= 10_000 {
        let frame = client.frame().expect("a reply");
        let (xid, error) = (i32_at(&frame, 0), i32_at(&frame, 12));
        if xid != -2 {
            assert_eq!(xid, next);
            assert_eq!(error, if xid < 5 && xid != 3 { -101 } else { 0 }, "{xid}");
            let zxid = i64::from_be_bytes(frame[4..12].try_into().unwrap());
            assert!(zxid >= last_zxid, "time does not run backwards");
            (next, last_zxid) = (next + 1, zxid);
        }
    }
    sends.join().unwrap();
}

#[test]
fn clients_that_pipeline_are_all_served_under_the_smallest_limit() {
    let server = Arc::new(Server::start("globalOutstandingLimit=1\nsnapCount=1000000"));
    let clients: Vec<_> = (0..6)
        .map(|n| {
            let server = Arc::clone(&server);
            std::thread::spawn(move || {
                let mut client = server.client();
                let path = format!("/c{n}");
                let writes = (2..=200).flat_map(|xid| [set(xid, &path, b"x"), ping()].concat());
                let requests: Vec<u8> = create(1, &path, b"", 0).into_iter().chain(writes).collect();
                client.send(&requests);
                for xid in 1..=200 {
                    assert_eq!(client.reply(), (xid, 0));
                    if xid > 1 {
                        assert_eq!(client.reply(), (-2, 0));
                    }
                }
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    assert_eq!(server.metric("outstanding_requests"), 0);
}

#[test]
fn half_handshakes_do_no_harm_and_are_closed() {
    let server = Server::start("nio.sessionlessCnxnTimeout=1000");
    let mut bystander = server.client();
    let half = greeting(0, &[0; 16], 30_000);
    let began = now();
    let halves: Vec<Client> = (0..2000)
        .map(|n| {
            let mut client = server.dial();
            client.send(&half[..n % half.len()]);
            client
        })
        .collect();
    server.is_well(&mut bystander);
    server.client();
    for mut client in halves {
        client.ends();
    }
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(900), "{took:?}");
    assert!(server.metric("sessionless_connections_expired") >= 1900);
    server.is_well(&mut bystander);
    assert!(bystander.is_open());
}

#[test]
fn a_client_that_never_reads_is_cut_off_and_nobody_waits_for_it() {
    let server = Server::start("snapCount=1000000");
    let (mut writer, mut hears, mut deaf) = (server.client(), server.client(), server.client());
    let path = format!("/{}", "w".repeat(500_000));
    writer.send(&create(1, &path, b"", 0));
    assert_eq!(writer.reply(), (1, 0));
    for client in [&mut hears, &mut deaf] {
        client.send(&watch(1, &path));
        assert_eq!(client.reply(), (1, 0));
    }
    let is_cut = || server.word("cons").lines().filter(|line| line.contains("sid=")).count() < 3;
    let mut changes = 0;
    while !is_cut() {
        changes += 1;
        assert!(changes < 200, "100 MB wait for a client that does not read");
        writer.send(&set(changes, &path, b""));
        assert_eq!(writer.reply(), (changes, 0));
        assert_eq!(hears.reply(), (-1, 0));
    }
    assert!(changes > 100, "cut off after {changes} events of 500 KB, before 50 MB waited");
    server.is_well(&mut hears);
}

#[test]
fn sessions_end_when_they_should() {
    let server = Server::start("tickTime=400");
    let mut bystander = server.client();
    let mut mute = server.greet(0, [0; 16], 1600);
    assert_eq!(mute.timeout, 1600);
    let began = now();
    mute.send(&create(1, "/gone", b"", 1));
    assert_eq!(mute.reply(), (1, 0));
    let mut xid = 0;
    loop {
        xid += 1;
        bystander.send(&exists(xid, "/gone"));
        let (_, error) = bystander.reply();
        let age = began.elapsed();
        if error == -101 {
            // From the timeout to a tick later, and what a busy machine adds.
            assert!(age >= Duration::from_millis(1550), "{age:?} are too soon");
            assert!(age < Duration::from_millis(2000 + 1500), "{age:?} are too late");
            break;
        }
        assert!(age < PATIENCE, "it never ended");
        std::thread::sleep(Duration::from_millis(10));
    }
    mute.ends();
    let over = server.greet(mute.session, mute.passwd, 1600);
    assert_eq!((over.session, over.timeout, over.passwd), (0, 0, [0; 16]), "there is no such session");
}

#[test]
fn the_newer_connection_of_a_session_wins_if_it_has_the_password() {
    let server = Server::start("");
    let mut first = server.client();
    let mut forged = server.greet(first.session, [7; 16], 30_000);
    assert_eq!(forged.session, 0);
    forged.ends();
    server.is_well(&mut first);
    let mut second = server.greet(first.session, first.passwd, 30_000);
    assert_eq!(second.session, first.session);
    first.ends();
    server.is_well(&mut second);
    // Half a frame and gone: the session outlives it.
    second.send(&[0, 0, 0, 40, 1]);
    drop(second);
    let mut third = server.greet(first.session, first.passwd, 30_000);
    assert_eq!(third.session, first.session);
    third.send(&[create(1, "/e", b"", 1), ask(2, -11, b""), exists(3, "/e")].concat());
    assert_eq!((third.reply(), third.reply()), ((1, 0), (2, 0)));
    third.ends();
    let mut other = server.client();
    other.send(&exists(1, "/e"));
    assert_eq!(other.reply(), (1, -101), "what was the session's went with it");
}

#[test]
fn a_snapshot_is_taken_when_somebody_asks_for_it() {
    let server = Server::start("");
    let mut client = server.client();
    client.send(&create(1, "/a", b"x", 0));
    assert_eq!(client.reply(), (1, 0));
    let pid = rustix::process::Pid::from_child(&server.process);
    let start = now();
    // The session is 1, the node 2. One that is being written when the signal comes is not repeated.
    let snapshot = server.data.path().join("data/version-2/snapshot.2");
    while !snapshot.exists() {
        assert!(start.elapsed() < PATIENCE, "{:?}", server.log.lock().unwrap());
        rustix::process::kill_process(pid, rustix::process::Signal::USR1).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    server.is_well(&mut client);
}

#[test]
fn a_flood_of_refused_connections_does_not_flood_the_log() {
    let server = Server::start("maxClientCnxns=3");
    let mut clients: Vec<Client> = (0..3).map(|_| server.client()).collect();
    for _ in 0..500 {
        // A refused connection may be reset before all of it is set up here.
        match server.try_dial() {
            Ok(mut client) => client.ends(),
            Err(e) => assert_eq!(e.kind(), ErrorKind::ConnectionReset),
        }
    }
    server.is_well(&mut clients[0]);
    drop(clients.pop());
    let start = now();
    // Until the server has heard that one is gone, those who ask are refused too.
    let mut refused = 500;
    let rows = loop {
        match server.try_word("mntr") {
            Ok(rows) if !rows.is_empty() => break rows,
            _ => refused += 1,
        }
        assert!(start.elapsed() < PATIENCE, "no room for another");
        std::thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(metric(&rows, "connection_rejected"), refused);
    let refusal = "Error accepting new connection: Too many connections from /127.0.0.1 - max is 3";
    server.tells(refusal);
    let lines = server.logged(refusal);
    assert!((1..20).contains(&lines), "{lines} lines");
}

#[test]
fn the_throttle_on_connections_follows_its_settings() {
    let server = Server::start(
        "connection_throttle_tokens=4\nconnection_throttle_fill_time=1000000\n\
         connection_throttle_weight_enabled=true",
    );
    // Four times three tokens: three new sessions, one renewed, and one token is left.
    let mut clients: Vec<Client> = (0..3).map(|_| server.client()).collect();
    let mut back = server.greet(clients[2].session, clients[2].passwd, 30_000);
    let mut late = server.dial();
    late.send(&greeting(0, &[0; 16], 30_000));
    late.ends();
    server.is_well(&mut clients[0]);
    server.is_well(&mut back);
    assert_eq!(server.metric("connection_rejected"), 1);
    assert_eq!(server.metric("connection_request_count"), 4);
    assert_eq!(server.metric("max_connection_token_deficit"), 11);
}
