//! The server under pressure, in one process: clients over pipes that hold as little as a test wants, and a
//! disk that waits when it is told to.

mod ahead;
mod sessions;

use super::applier::Applier;
use super::clock::Clock;
use super::conns::ConnLimits;
use super::core::{Core, CoreSettings, Log, Parts};
use super::facts::Facts;
use super::throttle::Throttle;
use crate::auth::{AuthSettings, Rules};
use crate::config::settings::ConnectionThrottle;
use crate::config::{RealWorld, Source, SystemProperties, load};
use crate::net::client::{Conn, Doorman as _, GateSettings, LargeRequests, RequestThrottle, attend};
use crate::replica::{Replica, ReplicaSettings};
use crate::report::{Counters, DirSizes};
use crate::state::TreeView;
use crate::state::{self, Machine, Shared};
use crate::types::limits::BACKLOG_STEP;
use crate::types::{Entry, Epoch, EpochFile, Flushed, Millis, Zxid};
use jute::records::proto::ConnectRequest;
use jute::{ErrorCode, OpCode, writer};
use parking_lot::{Condvar, Mutex};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::{sleep, timeout};

/// Nothing here takes longer unless something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A disk without a medium. It says that something is durable when nobody holds it.
#[derive(Default)]
struct Disk {
    state: Mutex<DiskState>,
    changed: Condvar,
    applier: Applier,
    /// How often the applier was asked for.
    handed_over: AtomicUsize,
}

#[derive(Default)]
struct DiskState {
    core: Weak<Core>,
    last: Option<Zxid>,
    held: bool,
    /// It says that something is durable, and does what follows.
    busy: bool,
    over: bool,
}

impl Disk {
    fn run(&self) {
        loop {
            let (core, zxid) = {
                let mut state = self.state.lock();
                self.changed.wait_while(&mut state, |s| !s.over && (s.held || s.last.is_none()));
                match (state.core.upgrade(), state.last.take()) {
                    (Some(core), Some(zxid)) if !state.over => {
                        state.busy = true;
                        (core, zxid)
                    }
                    _ => return,
                }
            };
            core.flushed(Flushed::mint(zxid));
            self.state.lock().busy = false;
        }
    }

    fn change(&self, f: impl FnOnce(&mut DiskState)) {
        f(&mut self.state.lock());
        self.changed.notify_all();
    }

    fn hold(&self) {
        self.change(|s| s.held = true);
    }

    fn release(&self) {
        self.change(|s| s.held = false);
    }
}

impl Log for Arc<Disk> {
    fn append(&self, entry: Entry) {
        self.change(|s| s.last = Some(entry.zxid));
    }

    fn save_epoch(&self, _: EpochFile, _: Epoch) {}

    fn hand_over(&self) -> bool {
        let there = self.applier.wake();
        self.handed_over.fetch_add(usize::from(there), Relaxed);
        there
    }

    fn sizes(&self) -> DirSizes {
        DirSizes::default()
    }
}

struct Server {
    core: Arc<Core>,
    disk: Arc<Disk>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.disk.change(|s| s.over = true);
    }
}

impl Server {
    fn new(settings: CoreSettings) -> Self {
        Self::throttled(settings, None)
    }

    fn throttled(settings: CoreSettings, throttle: Option<ConnectionThrottle>) -> Self {
        let clock = Clock::start();
        let rules = Rules::new(AuthSettings::default());
        let machine = Machine::new(state::machine::Settings::default());
        let source = Source::Arguments(vec!["0".to_owned(), "/nowhere".to_owned()]);
        let conf = load(&source, SystemProperties::default(), &RealWorld).unwrap();
        let disk = Arc::new(Disk::default());
        let core = Arc::new(Core::new(Parts {
            replica: Replica::solo(&ReplicaSettings::default(), &rules, clock.now(), &machine),
            throttle: throttle.and_then(|t| Throttle::new(&t, clock.mono(), 7)),
            clock,
            settings,
            rules,
            shared: Shared::new(machine, 1),
            counters: Counters::new(),
            facts: Facts::of(&conf),
            log: Box::new(Arc::clone(&disk)),
            peers: Box::new(()),
        }));
        disk.change(|s| s.core = Arc::downgrade(&core));
        let runner = Arc::clone(&disk);
        std::thread::spawn(move || runner.run());
        Self { core, disk }
    }

    /// A connection over a pipe that holds `room` bytes each way.
    fn dial(&self, room: usize) -> Client {
        let conn = self.core.admit("127.0.0.1:9".parse().unwrap()).unwrap();
        let (io, ours) = duplex(room);
        attend(&self.core, Arc::clone(&conn), ours);
        Client { io, conn }
    }

    async fn client(&self, room: usize) -> Client {
        let mut client = self.dial(room);
        client.send(&greeting(0, &[0; 16])).await;
        let answer = client.frame().await.unwrap();
        assert_ne!(answer[8..16], [0; 8], "a session");
        client
    }

    fn count(&self, of: impl Fn(&Counters) -> &std::sync::atomic::AtomicU64) -> u64 {
        of(&self.core.counters).load(Relaxed)
    }
}

fn settings() -> CoreSettings {
    CoreSettings {
        min_session_timeout: Millis(100),
        max_session_timeout: Millis(60_000),
        max_frame: 1 << 20,
        gate: GateSettings { outstanding: 1000, throttle: None, large: None },
        client_backlog: 1 << 26,
        total_backlog: 1 << 30,
        local_sessions: false,
        sessionless_timeout: Millis(10_000),
        limits: ConnLimits { per_address: 0, total: 0 },
        ack_sample: 0,
    }
}

struct Client {
    io: DuplexStream,
    conn: Arc<Conn>,
}

impl Client {
    async fn send(&mut self, bytes: &[u8]) {
        timeout(PATIENCE, self.io.write_all(bytes)).await.expect("the server reads").unwrap();
    }

    /// The next frame, or nothing if the server has closed.
    async fn frame(&mut self) -> Option<Vec<u8>> {
        let read = async {
            let mut prefix = [0; 4];
            self.io.read_exact(&mut prefix).await.ok()?;
            let mut frame = vec![0; usize::try_from(i32::from_be_bytes(prefix)).unwrap()];
            self.io.read_exact(&mut frame).await.ok()?;
            Some(frame)
        };
        timeout(PATIENCE, read).await.expect("an answer or an end, but nobody waits forever")
    }

    /// xid and error of the next reply.
    async fn reply(&mut self) -> (i32, i32) {
        let frame = self.frame().await.expect("a reply");
        let number = |at: usize| i32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
        (number(0), number(12))
    }

    async fn ends(&mut self) {
        assert_eq!(self.frame().await, None, "closed without another byte");
    }
}

fn framed(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    writer::i32(&mut out, i32::try_from(body.len()).unwrap());
    out.extend_from_slice(body);
    out
}

fn greeting(session_id: i64, passwd: &[u8]) -> Vec<u8> {
    framed(&jute::encode(&ConnectRequest {
        time_out: 30_000,
        session_id,
        passwd: Some(passwd),
        ..ConnectRequest::default()
    }))
}

fn ask(xid: i32, op: OpCode, body: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut frame = Vec::new();
    writer::i32(&mut frame, xid);
    writer::i32(&mut frame, op.code());
    body(&mut frame);
    framed(&frame)
}

fn ping() -> Vec<u8> {
    ask(-2, OpCode::Ping, |_| {})
}

fn get(xid: i32, path: &str) -> Vec<u8> {
    ask(xid, OpCode::GetData, |out| {
        writer::text(out, Some(path));
        out.push(0);
    })
}

fn create(xid: i32, path: &str, data: &[u8]) -> Vec<u8> {
    ask(xid, OpCode::Create, |out| {
        writer::text(out, Some(path));
        writer::buffer(out, Some(data));
        writer::i32(out, 1);
        writer::i32(out, 31);
        writer::text(out, Some("world"));
        writer::text(out, Some("anyone"));
        writer::i32(out, 0);
    })
}

fn set(xid: i32, path: &str, data: &[u8]) -> Vec<u8> {
    ask(xid, OpCode::SetData, |out| {
        writer::text(out, Some(path));
        writer::buffer(out, Some(data));
        writer::i32(out, -1);
    })
}

/// A persistent watch, so that the client is told of every change without asking again.
fn watch(xid: i32, path: &str) -> Vec<u8> {
    ask(xid, OpCode::AddWatch, |out| {
        writer::text(out, Some(path));
        writer::i32(out, 0);
    })
}

/// Waits until it is so.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waits = async {
        while !is_so() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, waits).await.unwrap_or_else(|_| panic!("waited in vain: {what}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_request_at_a_time_still_serves_everybody() {
    let mut settings = settings();
    settings.gate.outstanding = 1;
    let server = Arc::new(Server::new(settings));
    let mut clients = Vec::new();
    for n in 0..8 {
        let server = Arc::clone(&server);
        clients.push(tokio::spawn(async move {
            let mut client = server.client(1 << 16).await;
            client.send(&create(1, &format!("/n{n}"), b"")).await;
            assert_eq!(client.reply().await, (1, 0));
            let (mut reader, mut writer) = tokio::io::split(client.io);
            let path = format!("/n{n}");
            let sends = async {
                for xid in 2..=600 {
                    let request = match xid % 3 {
                        0 => get(xid, &path),
                        1 => [ping(), set(xid, &path, b"x")].concat(),
                        _ => set(xid, &path, b"y"),
                    };
                    writer.write_all(&request).await.unwrap();
                }
            };
            let reads = async {
                let mut next = 2;
                while next <= 600 {
                    let mut prefix = [0; 4];
                    reader.read_exact(&mut prefix).await.unwrap();
                    let mut frame = vec![0; usize::try_from(i32::from_be_bytes(prefix)).unwrap()];
                    reader.read_exact(&mut frame).await.unwrap();
                    let xid = i32::from_be_bytes(frame[..4].try_into().unwrap());
                    if xid != -2 {
                        assert_eq!(xid, next, "in order");
                        next += 1;
                    }
                }
            };
            timeout(PATIENCE, async { tokio::join!(sends, reads) }).await.expect("nobody is forgotten");
        }));
    }
    for client in clients {
        client.await.unwrap();
    }
    until("all requests are accounted for", || server.core.gate.at_work() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writes_are_applied_by_another_thread() {
    let server = Server::new(settings());
    server.disk.applier.start(Arc::downgrade(&server.core));
    let mut client = server.client(1 << 20).await;
    for round in 0..5 {
        server.disk.hold();
        let xids = round * 300 + 1..round * 300 + 301;
        let requests: Vec<u8> = xids.clone().flat_map(|xid| create(xid, &format!("/n{xid}"), b"x")).collect();
        client.send(&requests).await;
        until("all are in the works", || server.core.gate.at_work() == 300).await;
        server.disk.release();
        for xid in xids {
            assert_eq!(client.reply().await, (xid, 0));
        }
        // The replies may be here before whoever asked for the applier has counted it.
        let at_rest = || !server.disk.state.lock().busy;
        until("the disk is at rest", at_rest).await;
        // One at a time is not worth it.
        let before = server.disk.handed_over.load(Relaxed);
        client.send(&set(9000 + round, "/n1", b"y")).await;
        assert_eq!(client.reply().await, (9000 + round, 0));
        until("the disk is at rest again", at_rest).await;
        assert_eq!(server.disk.handed_over.load(Relaxed), before);
    }
    assert!(server.disk.handed_over.load(Relaxed) >= 5);
    assert_eq!(server.core.shared.read(|m| m.node("/n1").map(|n| n.stat.version)), Some(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_connections_with_work_of_their_own_pause() {
    let mut settings = settings();
    settings.gate.outstanding = 2;
    let server = Server::new(settings);
    let (mut busy, mut idle) = (server.client(1 << 16).await, server.client(1 << 16).await);
    server.disk.hold();
    let requests: Vec<u8> = (1..=50).flat_map(|xid| create(xid, &format!("/b{xid}"), b"")).collect();
    busy.send(&requests).await;
    until("the limit is reached", || server.core.gate.at_work() >= 3).await;
    sleep(Duration::from_millis(20)).await;
    assert_eq!(server.core.gate.at_work(), 3, "and passed by one request, not by a batch");
    idle.send(&get(1, "/")).await;
    assert_eq!(idle.reply().await, (1, 0), "nothing in the works: read and answered");
    server.disk.release();
    for xid in 1..=50 {
        assert_eq!(busy.reply().await, (xid, 0));
    }
    until("all requests are accounted for", || server.core.gate.at_work() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_clients_that_never_read_are_cut_at_their_cap() {
    let server = Server::new(CoreSettings { client_backlog: 32 << 10, ..settings() });
    let mut writer = server.client(1 << 16).await;
    let path = format!("/{}", "w".repeat(4000));
    writer.send(&create(1, &path, b"")).await;
    assert_eq!(writer.reply().await, (1, 0));
    let mut deaf = Vec::new();
    for _ in 0..1000 {
        let mut client = server.client(256).await;
        client.send(&watch(1, &path)).await;
        assert_eq!(client.reply().await, (1, 0));
        deaf.push(client);
    }
    let mut hears = server.client(1 << 16).await;
    hears.send(&watch(1, &path)).await;
    assert_eq!(hears.reply().await, (1, 0));
    for xid in 2..=20 {
        writer.send(&set(xid, &path, b"x")).await;
        assert_eq!(writer.reply().await, (xid, 0), "a writer waits for no reader");
        assert_eq!(hears.reply().await, (-1, 0), "nor does another watcher");
    }
    until("all of them are gone", || server.core.conns.len() == 2).await;
    assert!(deaf.iter().all(|client| client.conn.outbox.backlog().bytes() <= 64 << 10));
    drop(deaf);
    assert_eq!(server.core.conns.budget().excess(), 0);
    hears.send(&ping()).await;
    assert_eq!(hears.reply().await, (-2, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_reads_can_still_be_closed() {
    let server = Server::new(settings());
    let mut deaf = server.client(64).await;
    deaf.send(&get(1, "/zookeeper")).await;
    until("its socket is full", || deaf.conn.outbox.backlog().bytes() > 0).await;
    server.core.close_all();
    until("it is gone", || server.core.conns.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_the_common_budget_the_largest_goes_first() {
    let total = 64 * BACKLOG_STEP;
    let server = Server::new(CoreSettings { total_backlog: total, ..settings() });
    let relief = tokio::spawn(super::start::relieve(Arc::clone(&server.core)));
    let mut halves = Vec::new();
    // Halves of frames: 10, 20 and 40 steps are more than the 64 there are.
    for steps in [10, 20, 40] {
        let mut client = server.client(1 << 16).await;
        let mut half = i32::try_from(50 * BACKLOG_STEP).unwrap().to_be_bytes().to_vec();
        half.resize(steps * BACKLOG_STEP + 100, 0);
        // The last one may be cut while it sends.
        let _ = client.io.write_all(&half).await;
        halves.push(client);
    }
    halves.pop().unwrap().ends().await;
    until("there is room again", || server.core.conns.budget().excess() == 0).await;
    assert_eq!(server.core.conns.len(), 2, "the others stay");
    let mut small = server.client(1 << 16).await;
    small.send(&get(1, "/")).await;
    assert_eq!(small.reply().await, (1, 0));
    relief.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_batch_cannot_ask_for_a_thousand_times_its_size() {
    let server = Server::new(settings());
    let mut client = server.client(1 << 17).await;
    client.send(&create(1, "/big", &vec![7; 900_000])).await;
    assert_eq!(client.reply().await, (1, 0));
    let batch: Vec<u8> = (2..=1001).flat_map(|xid| get(xid, "/big")).collect();
    client.send(&batch).await;
    sleep(Duration::from_millis(50)).await;
    let waits = client.conn.outbox.backlog().bytes();
    assert!((1 << 20..4 << 20).contains(&waits), "{waits} bytes wait for 1,000 reads of 900,000");
    for xid in 2..=1001 {
        assert_eq!(client.reply().await, (xid, 0), "and all of them are answered in the end");
    }
}

fn request_throttle(max_requests: usize, operation_wait: Option<Millis>) -> RequestThrottle {
    RequestThrottle {
        max_requests,
        stall: Duration::from_millis(10),
        drop_stale: true,
        stale_connection: true,
        stale_latency: false,
        operation_wait,
    }
}

fn throttled(throttle: RequestThrottle) -> Server {
    let gate = GateSettings { outstanding: 1000, throttle: Some(throttle), large: None };
    Server::new(CoreSettings { gate, ..settings() })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_wait_in_front_of_a_full_pipeline() {
    let server = throttled(request_throttle(1, None));
    let (mut first, mut second) = (server.client(1 << 16).await, server.client(1 << 16).await);
    server.disk.hold();
    first.send(&create(1, "/a", b"")).await;
    until("it is in the works", || server.core.gate.at_work() == 1).await;
    second.send(&[get(1, "/a"), create(2, "/b", b""), get(3, "/b")].concat()).await;
    let mut third = server.dial(1 << 16);
    third.send(&greeting(0, &[0; 16])).await;
    until("they go round and round", || server.count(|c| &c.throttle_waits) >= 6).await;
    assert_eq!(server.core.gate.at_work(), 1, "nothing goes past");
    server.disk.release();
    assert_eq!(first.reply().await, (1, 0));
    for xid in 1..=3 {
        assert_eq!(second.reply().await, (xid, 0), "they only waited");
    }
    assert!(third.frame().await.is_some(), "and so did the greeting");
    assert_eq!(server.count(|c| &c.throttled_ops), 0);
    assert!(server.core.counters.throttle_queue_time.totals().max >= 20);
    until("all requests are accounted for", || server.core.gate.at_work() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waited_too_long_is_turned_down_but_not_what_keeps_sessions() {
    let server = throttled(request_throttle(1, Some(Millis(30))));
    let (mut first, mut second) = (server.client(1 << 16).await, server.client(1 << 16).await);
    server.disk.hold();
    first.send(&create(1, "/a", b"")).await;
    until("it is in the works", || server.core.gate.at_work() == 1).await;
    let close = ask(5, OpCode::CloseSession, |_| {});
    let unknown = create(2, "/b", b"");
    second.send(&[get(1, "/a"), unknown, ping(), set(4, "/a", b"x"), close].concat()).await;
    sleep(Duration::from_millis(100)).await;
    server.disk.release();
    assert_eq!(first.reply().await, (1, 0));
    let late = ErrorCode::ThrottledOp.code();
    for expected in [(1, late), (2, late), (-2, 0), (4, late), (5, 0)] {
        assert_eq!(second.reply().await, expected);
    }
    second.ends().await;
    assert_eq!(server.count(|c| &c.throttled_ops), 3);
    first.send(&get(2, "/b")).await;
    assert_eq!(first.reply().await, (2, ErrorCode::NoNode.code()), "what was turned down was not done");
    let zxid = server.core.shared.read(TreeView::last_zxid);
    assert_eq!(zxid, Zxid(4), "two sessions, a create, a close: what was turned down took no zxid");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_turned_down_behind_an_own_write_keep_their_order() {
    let server = throttled(request_throttle(2, Some(Millis(30))));
    let (mut first, mut second) = (server.client(1 << 16).await, server.client(1 << 16).await);
    server.disk.hold();
    second.send(&create(1, "/own", b"")).await;
    until("one is in the works", || server.core.gate.at_work() == 1).await;
    first.send(&create(1, "/a", b"")).await;
    until("two are", || server.core.gate.at_work() == 2).await;
    second.send(&[get(2, "/own"), ping(), get(3, "/own")].concat()).await;
    sleep(Duration::from_millis(100)).await;
    server.disk.release();
    let late = ErrorCode::ThrottledOp.code();
    for expected in [(1, 0), (2, late), (-2, 0), (3, late)] {
        assert_eq!(second.reply().await, expected);
    }
    until("all requests are accounted for", || server.core.gate.at_work() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stale_requests_are_dropped_with_their_connection() {
    for (drop_stale, executed) in [(true, ErrorCode::NoNode.code()), (false, 0)] {
        let server = throttled(RequestThrottle { drop_stale, ..request_throttle(1, None) });
        let (mut first, mut gone) = (server.client(1 << 16).await, server.client(1 << 16).await);
        server.disk.hold();
        first.send(&create(1, "/a", b"")).await;
        until("it is in the works", || server.core.gate.at_work() == 1).await;
        gone.send(&create(1, "/stale", b"")).await;
        until("it waits", || server.count(|c| &c.throttle_waits) > 0).await;
        drop(gone);
        server.disk.release();
        assert_eq!(first.reply().await, (1, 0));
        until("the connection is gone", || server.core.conns.len() == 1).await;
        until("its request is decided", || server.core.gate.at_work() == 0).await;
        first.send(&get(2, "/stale")).await;
        assert_eq!(first.reply().await, (2, executed));
        assert_eq!(server.count(|c| &c.stale_requests_dropped), u64::from(drop_stale));
        assert_eq!(server.count(|c| &c.stale_requests), u64::from(!drop_stale));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_older_than_their_session_timeout_are_stale() {
    let throttle = RequestThrottle { stale_latency: true, ..request_throttle(1, None) };
    let gate = GateSettings { outstanding: 1000, throttle: Some(throttle), large: None };
    let max_session_timeout = Millis(100);
    let server = Server::new(CoreSettings { gate, max_session_timeout, ..settings() });
    let (mut first, mut late) = (server.client(1 << 16).await, server.client(1 << 16).await);
    server.disk.hold();
    first.send(&create(1, "/a", b"")).await;
    until("it is in the works", || server.core.gate.at_work() == 1).await;
    late.send(&get(1, "/a")).await;
    late.ends().await;
    assert_eq!(server.count(|c| &c.stale_requests_dropped), 1);
    server.disk.release();
    assert_eq!(first.reply().await, (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_requests_share_what_may_be_in_flight() {
    let large = Some(LargeRequests { threshold: 1000, total: 5000 });
    let gate = GateSettings { outstanding: 1000, throttle: None, large };
    let server = Server::new(CoreSettings { gate, ..settings() });
    let (mut first, mut second) = (server.client(1 << 16).await, server.client(1 << 16).await);
    let mut third = server.client(1 << 16).await;
    server.disk.hold();
    first.send(&create(1, "/a", &[1; 4000])).await;
    until("it is in the works", || server.core.gate.at_work() == 1).await;
    second.send(&create(1, "/small", &[1; 900])).await;
    until("small ones pass", || server.core.gate.at_work() == 2).await;
    third.send(&create(1, "/b", &[1; 2000])).await;
    third.ends().await;
    assert_eq!(server.count(|c| &c.large_requests_rejected), 1);
    server.disk.release();
    assert_eq!(first.reply().await, (1, 0));
    assert_eq!(second.reply().await, (1, 0));
    let mut fourth = server.client(1 << 16).await;
    for xid in 1..=20 {
        fourth.send(&create(xid, &format!("/c{xid}"), &[1; 2000])).await;
        assert_eq!(fourth.reply().await, (xid, 0), "what is done makes room");
    }
    let mut fifth = server.client(1 << 16).await;
    fifth.send(&[0, 0, 0x13, 0x89]).await;
    fifth.ends().await;
    assert_eq!(server.count(|c| &c.large_requests_rejected), 2, "more than fits is known by its length");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn greetings_without_a_token_are_refused_without_a_byte() {
    let throttle = ConnectionThrottle {
        tokens: 3,
        fill_ms: i32::MAX,
        fill_count: 1,
        freeze_ms: -1,
        drop_increase: 0.02,
        drop_decrease: 0.002,
        decrease_ratio: 0.0,
        weights: false,
        global_weight: 3,
        local_weight: 1,
        renew_weight: 2,
    };
    let server = Server::throttled(settings(), Some(throttle));
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(server.client(1 << 16).await);
    }
    let mut refused = server.dial(1 << 16);
    refused.send(&greeting(0, &[0; 16])).await;
    refused.ends().await;
    let mut renewal = server.dial(1 << 16);
    let session = clients[0].conn.session();
    renewal.send(&greeting(session.0, &crate::replica::session::password::of(session))).await;
    renewal.ends().await;
    assert_eq!(server.count(|c| &c.connections_rejected), 2);
    assert_eq!(server.count(|c| &c.connection_requests), 3);
    let deficit = server.core.counters.token_deficit.totals();
    assert_eq!((deficit.count, deficit.min, deficit.max), (3, 1, 3));
    clients[0].send(&ping()).await;
    assert_eq!(clients[0].reply().await, (-2, 0), "who is in stays in");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_nothing_is_closed_in_steps_and_halves_of_frames_do_not_count() {
    let sessionless_timeout = Millis(100);
    let server = Server::new(CoreSettings { sessionless_timeout, ..settings() });
    let (mut mute, mut slow) = (server.dial(64), server.dial(64));
    let mut open = server.client(1 << 16).await;
    let began = server.core.clock.mono().0;
    slow.send(&[0, 0, 0, 44]).await;
    while server.core.conns.len() > 1 {
        server.core.sweep();
        let _ = slow.io.write_all(&[0]).await;
        sleep(Duration::from_millis(5)).await;
        let waited = server.core.clock.mono().0 - began;
        assert!(waited >= 90 || server.core.conns.len() == 3, "{waited} ms are too soon");
        assert!(waited < 5000, "too late");
    }
    mute.ends().await;
    slow.ends().await;
    assert_eq!(server.count(|c| &c.sessionless_connections_expired), 2);
    open.send(&get(1, "/")).await;
    assert_eq!(open.reply().await, (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dripping_request_keeps_no_session_alive() {
    let server = Server::new(CoreSettings { max_session_timeout: Millis(200), ..settings() });
    let mut drip = server.client(1 << 16).await;
    let heard = drip.conn.last_heard();
    drip.send(&[0, 0, 0, 200]).await;
    for _ in 0..10 {
        sleep(Duration::from_millis(5)).await;
        drip.send(&[0]).await;
    }
    until("it has arrived", || drip.conn.outbox.backlog().bytes() == 14).await;
    assert_eq!(drip.conn.last_heard(), heard);
    assert!(drip.conn.take_heard().is_none_or(|news| news.2 == heard));
}
