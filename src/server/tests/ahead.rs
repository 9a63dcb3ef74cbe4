//! What the log's thread takes off a socket while the connection's task sleeps, and what it leaves alone.
//!
//! The runtime has no thread of its own here: a task runs while [`World::let_tasks`] waits, and at no other time.

use super::*;
use crate::net::client::{ListenSettings, Listener, Looked, serve};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

struct World {
    server: Server,
    runtime: Runtime,
    io: TcpStream,
}

impl World {
    /// A client with a session and a node `/n`.
    fn new() -> Self {
        let server = Server::new(settings());
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let io = dial(&server, &runtime);
        let mut world = Self { server, runtime, io };
        world.send(&greeting(0, &[0; 16]));
        world.let_tasks(|io| frame(io).expect("a session"));
        world.send(&create(1, "/n", b""));
        assert_eq!(world.let_tasks(reply), (1, 0));
        world
    }

    fn send(&mut self, bytes: &[u8]) {
        self.io.write_all(bytes).unwrap();
    }

    /// Lets tasks run until `f` is done.
    fn let_tasks<R: Send + 'static>(&self, f: impl FnOnce(&mut TcpStream) -> R + Send + 'static) -> R {
        let mut io = self.io.try_clone().unwrap();
        self.runtime.block_on(async { tokio::task::spawn_blocking(move || f(&mut io)).await.unwrap() })
    }

    fn look(&self) -> Looked {
        self.conn().look_ahead()
    }

    fn conn(&self) -> Arc<Conn> {
        self.server.core.conns.all().pop().expect("the only one")
    }

    /// Waits until this is the last that was applied.
    fn reaches(&self, counter: u32) {
        let last = || self.server.core.shared.read(|machine| machine.last_zxid().counter());
        self.runtime.block_on(until("it is applied", || last() == counter));
    }
}

/// A connection over a real socket, which the server serves in this runtime.
fn dial(server: &Server, runtime: &Runtime) -> TcpStream {
    let address = "127.0.0.1:0".parse().unwrap();
    let listener = {
        let _inside = runtime.enter();
        Listener::bind(&ListenSettings { address, backlog: 0, keep_alive: false }).unwrap()
    };
    let io = TcpStream::connect(listener.address().unwrap()).unwrap();
    io.set_read_timeout(Some(PATIENCE)).unwrap();
    runtime.spawn(serve(listener, Arc::clone(&server.core), CancellationToken::new()));
    io
}

fn frame(io: &mut TcpStream) -> Option<Vec<u8>> {
    let mut prefix = [0; 4];
    io.read_exact(&mut prefix).ok()?;
    let mut frame = vec![0; usize::try_from(i32::from_be_bytes(prefix)).unwrap()];
    io.read_exact(&mut frame).ok()?;
    Some(frame)
}

/// xid and error of the next reply.
fn reply(io: &mut TcpStream) -> (i32, i32) {
    let frame = frame(io).expect("a reply");
    let number = |at: usize| i32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
    (number(0), number(12))
}

#[test]
fn a_write_is_answered_while_its_task_sleeps() {
    let mut world = World::new();
    for xid in 2..=50 {
        world.send(&set(xid, "/n", b"x"));
        world.server.core.look_ahead();
        assert_eq!(reply(&mut world.io), (xid, 0), "no task has run");
    }
    world.send(&create(51, "/n", b""));
    assert_eq!(world.look(), Looked::Taken);
    assert_eq!(reply(&mut world.io), (51, ErrorCode::NodeExists.code()));
    assert_eq!(world.conn().stats.received.load(Relaxed), 52);
    world.send(&[set(52, "/n", b"y"), get(53, "/n"), ping()].concat());
    world.look();
    assert_eq!(reply(&mut world.io), (52, 0));
    assert_eq!(reply(&mut world.io), (53, 0), "what came with it waits behind it, and is answered with it");
    assert_eq!(reply(&mut world.io), (-2, 0));
}

#[test]
fn reads_are_left_to_the_task() {
    let mut world = World::new();
    let received = |world: &World| world.conn().stats.received.load(Relaxed);
    for (request, before) in [(get(2, "/n"), 2), (ping(), 3)] {
        assert_eq!(world.look(), Looked::Nothing);
        world.send(&request);
        assert_eq!(world.look(), Looked::Other);
        assert_eq!(received(&world), before, "not run yet");
        world.let_tasks(reply);
        assert_eq!(received(&world), before + 1);
    }
}

#[test]
fn a_client_that_reads_behind_its_writes_is_looked_at_rarely() {
    let mut world = World::new();
    let looked_at = |world: &World| world.server.core.lookout.lock().conn().is_some();
    let mut looks = 0;
    for _ in 0..100 {
        world.send(&set(2, "/n", b"x"));
        world.let_tasks(reply);
        looks += usize::from(looked_at(&world));
        world.send(&get(3, "/n"));
        world.server.core.look_ahead();
        assert!(!looked_at(&world), "no use in another look");
        world.let_tasks(reply);
    }
    assert_eq!(looks, 6, "ever less often");
}

#[test]
fn bytes_are_run_in_order_however_they_are_cut_and_whoever_reads_them() {
    let mut world = World::new();
    let long = vec![7; 10_000];
    let bytes = [set(2, "/n", b"x"), set(3, "/n", &long), get(4, "/n"), set(5, "/n", b"y")].concat();
    for cut in [1, 7, 60, 4000, 9000] {
        for piece in bytes.chunks(cut) {
            world.send(piece);
            world.look();
        }
        let answers = world.let_tasks(|io| [(); 4].map(|()| reply(io)));
        assert_eq!(answers, [(2, 0), (3, 0), (4, 0), (5, 0)], "{cut}");
    }
    world.reaches(2 + 3 * 5);
}

#[test]
fn nothing_is_taken_of_a_connection_that_is_to_be_closed() {
    let mut world = World::new();
    drop(world.conn().outbox.close_now());
    world.send(&set(2, "/n", b"x"));
    assert_eq!(world.look(), Looked::Other);
    world.reaches(2);
    assert!(world.server.disk.state.lock().last.is_none(), "nor is anything on its way");
}

#[test]
fn what_is_no_request_ends_the_connection() {
    let mut world = World::new();
    let mut endless = set(3, "/n", b"x");
    endless[0] = 0x7f;
    world.send(&[set(2, "/n", b"x"), endless].concat());
    world.look();
    world.let_tasks(|io| while frame(io).is_some() {});
    assert!(world.server.core.conns.is_empty());
    world.reaches(3);
}

#[test]
fn a_task_and_another_thread_take_turns() {
    let server = Server::new(settings());
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut io = dial(&server, &runtime);
    io.write_all(&greeting(0, &[0; 16])).unwrap();
    frame(&mut io).expect("a session");
    io.write_all(&create(1, "/n", b"")).unwrap();
    assert_eq!(reply(&mut io), (1, 0));
    let conn = server.core.conns.all().pop().unwrap();
    let mut writer = io.try_clone().unwrap();
    let asking = std::thread::spawn(move || {
        for xid in 2..=20_000 {
            let request = if xid % 5 == 0 { get(xid, "/n") } else { set(xid, "/n", b"xyz") };
            // Now and then in two pieces, now and then many at once.
            let (front, back) = request.split_at(if xid % 7 == 0 { request.len() / 2 } else { 0 });
            writer.write_all(front).unwrap();
            writer.write_all(back).unwrap();
            if xid % 64 < 16 {
                std::thread::sleep(Duration::from_micros(30));
            }
        }
    });
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            while !asking.is_finished() {
                conn.look_ahead();
            }
        });
        for xid in 2..=20_000 {
            assert_eq!(reply(&mut io), (xid, 0));
        }
        looking.join().unwrap();
    });
    runtime.block_on(until("nothing counts as waiting", || conn.outbox.backlog().bytes() == 0));
}
