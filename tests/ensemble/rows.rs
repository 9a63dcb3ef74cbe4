//! Known failures of ensembles that only real processes can show: rows of `docs/RELIABILITY.md`.
//!
//! Not here: what the simulation can show (`tests/sim/rows.rs`).

use super::*;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::atomic::AtomicBool;
use std::thread;

impl Ensemble {
    fn process(&mut self, n: usize) -> &mut Child {
        self.running[n - 1].as_mut().expect("it was started")
    }

    /// How it ends by itself.
    fn end(&mut self, n: usize) -> ExitStatus {
        let status = until("it ends", || self.process(n).try_wait().unwrap());
        self.running[n - 1] = None;
        status
    }

    fn descriptors(&mut self, n: usize) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process(n).id())).unwrap().count()
    }

    /// Another leader than this one.
    fn successor(&self, old: usize) -> usize {
        let mut others = (1..=self.running.len()).filter(|n| *n != old).cycle();
        until("another leader", || {
            let n = others.next()?;
            (self.mode(n).as_deref() == Some("leader")).then_some(n)
        })
    }

    fn serves(&self, n: usize) {
        until(&format!("server {n} serves:\n{}", self.log(n)), || {
            matches!(self.mode(n).as_deref(), Some("leader" | "follower")).then_some(())
        });
    }

    #[track_caller]
    fn has(&self, n: usize, paths: &[String]) {
        let mut client = self.client(n);
        assert_eq!(client.sync(), Some(0));
        for path in paths {
            assert_eq!(client.exists(path), Some(0), "{path} at server {n}");
        }
    }
}

/// Says stop when it goes, whatever the reason: a test that fails must not wait for its load.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Writes through any of these until told to stop; what was acknowledged.
fn load(servers: &[(String, usize)], stop: &AtomicBool) -> Vec<String> {
    let mut made = Vec::new();
    let mut next = 0;
    while !stop.load(Ordering::Relaxed) {
        next += 1;
        let (net, port) = &servers[next % servers.len()];
        let Some(mut client) = dial(net, *port).and_then(|s| Client::greet(s, 0, [0; 16], false)) else {
            thread::sleep(Duration::from_millis(20));
            continue;
        };
        for n in 0..20 {
            let path = format!("/load{next}-{n}");
            match client.create(&path, 0) {
                Some(0) => made.push(path),
                _ => break,
            }
        }
    }
    made
}

/// By files and restarts, one server after the other; the suite `ensemble` does it by reconfiguration.
#[test]
fn row_15_three_become_five_by_restarts_under_load_and_serve_everybody() {
    let mut servers = Ensemble::start(&[true; 3], "");
    servers.leader();
    let (places, stop) =
        ((1..=3).map(|n| (servers.net.clone(), CLIENTS + n)).collect::<Vec<_>>(), AtomicBool::new(false));
    let made = thread::scope(|scope| {
        let made = scope.spawn(|| load(&places, &stop));
        let running = Stop(&stop);
        for n in [4, 5] {
            servers.running.push(None);
            servers.write(n, &[true; 5], "");
            servers.run(n);
            servers.serves(n);
        }
        let leader = servers.leader();
        for n in (1..=3).filter(|n| *n != leader).chain([leader]) {
            servers.kill(n);
            servers.write(n, &[true; 5], "");
            servers.run(n);
            servers.serves(n);
        }
        servers.leader();
        drop(running);
        made.join().unwrap()
    });
    assert!(made.len() > 50, "{} writes meanwhile", made.len());
    for n in 1..=5 {
        servers.serves(n);
        assert_eq!(servers.client(n).create(&format!("/through{n}"), 0), Some(0), "server {n}");
        servers.has(n, &made);
    }
    // Five they are: they do without two.
    let leader = servers.leader();
    servers.kill(leader);
    servers.kill(leader % 5 + 1);
    let next = servers.successor(leader);
    assert_eq!(servers.client(next).create("/by-three", 0), Some(0));
    servers.has(next, &made);
}

/// No number but its own lets a server in: it ends, and the others go on.
#[test]
fn row_20_a_server_with_a_changed_myid_leaves() {
    let mut servers = Ensemble::start(&[true; 3], "electionPortBindRetry=1");
    servers.leader();
    (1..=3).for_each(|n| servers.serves(n));
    assert_eq!(servers.client(1).create("/kept", 0), Some(0));
    servers.kill(1);
    for bit in 0..8 {
        std::fs::write(servers.at(1).join("data/myid"), [b'1' ^ (1 << bit)]).unwrap();
        servers.run(1);
        let status = servers.end(1);
        assert!(status.code().is_some_and(|code| code != 0), "bit {bit}: {status}");
        assert_eq!(servers.client(2).create(&format!("/bit{bit}"), 0), Some(0));
    }
    std::fs::write(servers.at(1).join("data/myid"), "1").unwrap();
    servers.run(1);
    servers.await_mode(1, "follower");
    servers.has(1, &["/kept".to_owned(), "/bit7".to_owned()]);
}

#[test]
fn row_22_a_leader_whose_log_cannot_be_written_steps_down() {
    let mut servers = Ensemble::start(&[true; 3], "");
    let leader = servers.leader();
    (1..=3).for_each(|n| servers.serves(n));
    let mut client = servers.client(leader);
    assert_eq!(client.create("/first", 0), Some(0));
    let pid = Pid::from_raw(i32::try_from(servers.process(leader).id()).unwrap());
    let limit = Rlimit { current: Some(1 << 20), ..getrlimit(Resource::Fsize) };
    prlimit(pid, Resource::Fsize, limit).unwrap();
    let mut made = vec!["/first".to_owned()];
    for n in 0..200 {
        let path = format!("/{n}-{}", "x".repeat(20_000));
        match client.create(&path, 0) {
            Some(0) => made.push(path),
            _ => break,
        }
    }
    assert!((10..100).contains(&made.len()), "{} writes", made.len());
    // It ends within syncLimit, ten ticks of half a second, and does not go on sending pings.
    let began = now();
    let status = servers.end(leader);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(status.code().is_some_and(|code| code != 0), "{status}, signal {:?}", status.signal());
    let next = servers.successor(leader);
    servers.has(next, &made);
    servers.run(leader);
    servers.await_mode(leader, "follower");
    servers.has(leader, &made);
}

/// The list of what goes with the session is longer than any packet may be.
#[test]
fn row_28_a_session_with_more_ephemerals_than_a_packet_holds_ends_once() {
    const COUNT: i32 = 3_000;
    let mut servers = Ensemble::start(&[true; 3], "");
    let leader = servers.leader();
    (1..=3).for_each(|n| servers.serves(n));
    let mut client = servers.client(leader % 3 + 1);
    let path = |n: i32| format!("/{n}-{}", "x".repeat(1000));
    let acl = [&1_i32.to_be_bytes()[..], &31_i32.to_be_bytes(), &text("world"), &text("anyone")].concat();
    for n in 0..COUNT {
        let head = [n.to_be_bytes(), 1_i32.to_be_bytes()].concat();
        let body = [head, text(&path(n)), text(""), acl.clone(), 1_i32.to_be_bytes().to_vec()].concat();
        client.send(&body).unwrap();
        // Some on their way at any time, never more than the sockets hold.
        if n >= 50 {
            assert_eq!(client.frame().unwrap()[..4], (n - 50).to_be_bytes());
        }
    }
    (COUNT - 50..COUNT).for_each(|n| assert_eq!(client.frame().unwrap()[..4], n.to_be_bytes()));
    assert_eq!(client.exists(&path(COUNT - 1)), Some(0));
    assert_eq!(client.ask(-11, &[]), Some(0));
    let gone = |servers: &Ensemble| {
        for n in 1..=3 {
            servers.serves(n);
            let mut client = servers.client(n);
            assert_eq!(client.sync(), Some(0));
            for left in [0, 1, COUNT / 2, COUNT - 1] {
                assert_eq!(client.exists(&path(left)), Some(-101), "{left} at server {n}");
            }
        }
    };
    gone(&servers);
    (1..=3).for_each(|n| servers.kill(n));
    (1..=3).for_each(|n| servers.run(n));
    servers.leader();
    gone(&servers);
    assert_eq!(servers.client(1).create("/after", 0), Some(0));
}

/// Calls to servers that are gone, again and again, leave nothing open.
#[test]
fn row_36_calls_to_dead_peers_leave_no_descriptor() {
    let mut servers = Ensemble::start(&[true; 3], "");
    let leader = servers.leader();
    let left = leader % 3 + 1;
    (1..=3).for_each(|n| servers.serves(n));
    (1..=3).filter(|n| *n != left).for_each(|n| servers.kill(n));
    servers.await_mode(left, "read-only");
    let mut most = || {
        let counts = (0..20).map(|_| {
            thread::sleep(Duration::from_millis(50));
            servers.descriptors(left)
        });
        counts.max().unwrap()
    };
    let before = most();
    let after = (0..3).map(|_| most()).max().unwrap();
    assert!(after <= before + 3, "{after} descriptors, {before} before");
}
