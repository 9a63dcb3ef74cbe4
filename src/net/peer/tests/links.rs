//! Links of the quorum port: order, streams, snapshots, stalls, silence, and strangers at the port.

use super::super::codec::packet;
use super::super::links::{LinkSettings, Links};
use super::super::service::Feed;
use super::*;
use crate::replica::zab::LearnerHello;
use crate::types::{Entry, Millis};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

struct Side {
    links: Links,
    scribe: Arc<Scribe>,
}

fn side(settings: LinkSettings) -> Side {
    let (scribe, service) = scribe();
    Side { links: Links::start(settings, service), scribe }
}

/// By the clock of the scripted servers.
const NOW: Millis = Millis(77);

/// A number as the replica gives it.
const OUT: LinkId = LinkId(1 << 63);

fn introduction(server: i64) -> Packet {
    Packet::Hello(LearnerHello {
        observer: false,
        accepted: Epoch(1),
        server: Some(ServerId(server)),
        protocol: 0x10000,
        config_version: 0,
    })
}

fn proposal(n: i64, length: usize) -> Packet {
    Packet::Proposal(Entry { zxid: Zxid(n), payload: vec![7; length].into() })
}

fn raw(packets: &[Packet]) -> Vec<u8> {
    let mut out = Vec::new();
    packets.iter().for_each(|p| packet::write(p, &mut out));
    out
}

impl Side {
    fn send(&self, link: LinkId, packet: &Packet) {
        self.links.send(link, packet, || NOW);
    }

    async fn open(&self, place: &Place) {
        self.links.listen(1, vec![door(place)]);
        self.scribe.wait(|h| (*h == Heard::Listening(1, true)).then_some(())).await;
    }

    #[track_caller]
    fn accepted(&self) -> impl Future<Output = LinkId> {
        self.scribe.wait(|h| if let Heard::Accepted(link, _) = h { Some(*link) } else { None })
    }

    #[track_caller]
    fn gets(&self, link: LinkId, packet: Packet) -> impl Future<Output = ()> {
        self.scribe.wait(move |h| (*h == Heard::Packet(link, packet.clone())).then_some(()))
    }

    #[track_caller]
    fn loses(&self, link: LinkId) -> impl Future<Output = String> {
        self.scribe.wait(move |h| match h {
            Heard::Lost(lost, reason) if *lost == link => Some(reason.clone()),
            _ => None,
        })
    }

    fn packets(&self, link: LinkId) -> Vec<Packet> {
        let of = |h: Heard| if let Heard::Packet(l, p) = h { (l == link).then_some(p) } else { None };
        self.scribe.all().into_iter().filter_map(of).collect()
    }
}

/// A leader's port, and a scripted learner that was accepted there.
async fn leader(settings: LinkSettings) -> (Side, Place, TcpStream, LinkId) {
    let (leader, place) = (side(settings), place());
    leader.open(&place).await;
    let mut learner = knock(&place).await;
    learner.write_all(&raw(&[introduction(9)])).await.unwrap();
    let link = leader.accepted().await;
    leader.gets(link, introduction(9)).await;
    (leader, place, learner, link)
}

/// A learner that is connected to a scripted leader.
async fn learner(settings: LinkSettings) -> (Side, TcpStream) {
    let place = place();
    let listener = listen(&place).await;
    let learner = side(settings);
    learner.links.connect(OUT, vec![place], SOON);
    let (leader, _) = soon(listener.accept()).await.unwrap();
    learner.scribe.wait(|h| (*h == Heard::Connected(OUT)).then_some(())).await;
    (learner, leader)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_go_both_ways_in_order() {
    let (leader, learner, place) = (side(LinkSettings::default()), side(LinkSettings::default()), place());
    leader.open(&place).await;
    learner.links.connect(OUT, vec![place], SOON);
    // What is put down before the connection stands waits.
    learner.send(OUT, &introduction(2));
    let link = leader.accepted().await;
    assert_eq!(link, LinkId(1));
    for n in 0..20_000 {
        leader.send(link, &proposal(n, usize::try_from(n % 300).unwrap()));
        if n % 7 == 0 {
            learner.send(OUT, &Packet::Ack(Zxid(n)));
        }
    }
    leader.send(link, &Packet::UpToDate);
    learner.send(OUT, &Packet::Pong(Zxid(1), vec![]));
    learner.gets(OUT, Packet::UpToDate).await;
    leader.gets(link, Packet::Pong(Zxid(1), vec![])).await;
    let zxids: Vec<_> = learner
        .packets(OUT)
        .iter()
        .map(|p| if let Packet::Proposal(e) = p { e.zxid.0 } else { -1 })
        .collect();
    assert_eq!(zxids[..20_000], (0..20_000).collect::<Vec<_>>());
    assert_eq!(leader.packets(link).len(), 2 + 20_000_usize.div_ceil(7));
    leader.links.close(link);
    learner.loses(OUT).await;
    assert_eq!(leader.scribe.count(|h| matches!(h, Heard::Lost(..))), 0, "who closes is not told");
}

#[tokio::test]
async fn packets_are_put_together_from_any_segments() {
    let (side, mut leader) = learner(LinkSettings::default()).await;
    leader.set_nodelay(true).unwrap();
    let sent = [Packet::Diff(Zxid(3)), proposal(1, 50), Packet::Commit(Zxid(1)), Packet::UpToDate];
    for byte in raw(&sent) {
        leader.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    side.gets(OUT, Packet::UpToDate).await;
    assert_eq!(side.packets(OUT), sent);
    drop(leader);
    side.loses(OUT).await;
}

#[tokio::test]
async fn a_snapshot_is_read_aside_and_its_packet_comes_behind_it() {
    for piece in [1_usize, 13, 100_000] {
        let (side, mut leader) = learner(LinkSettings::default()).await;
        let mut stream = raw(&[Packet::Ping(Zxid(1)), Packet::Snap(Zxid(77))]);
        let tree = if piece == 1 { 500 } else { 3_000_000 };
        // Bytes that would pass for a packet of two gigabytes.
        stream.extend(std::iter::repeat_n(0x7f, tree));
        stream.extend(SIGNATURE);
        stream.extend(raw(&[proposal(78, 10), Packet::Commit(Zxid(78))]));
        for part in stream.chunks(piece) {
            leader.write_all(part).await.unwrap();
        }
        side.gets(OUT, Packet::Commit(Zxid(78))).await;
        let behind: Vec<_> =
            side.scribe.all().into_iter().filter(|h| !matches!(h, Heard::Connected(_))).collect();
        assert_eq!(
            behind,
            [
                Heard::Packet(OUT, Packet::Ping(Zxid(1))),
                Heard::Tree(OUT, Zxid(77), tree + SIGNATURE.len()),
                Heard::Packet(OUT, Packet::Snap(Zxid(77))),
                Heard::Packet(OUT, proposal(78, 10)),
                Heard::Packet(OUT, Packet::Commit(Zxid(78))),
            ]
        );
    }
    // One that cannot be read, and one that ends too early.
    for (tree, why) in [(&b"bad"[..], "no tree"), (b"half", "closed")] {
        let (side, mut leader) = learner(LinkSettings::default()).await;
        leader.write_all(&raw(&[Packet::Snap(Zxid(5))])).await.unwrap();
        leader.write_all(tree).await.unwrap();
        drop(leader);
        let reason = side.loses(OUT).await;
        assert!(reason.contains(why), "{reason}");
        assert!(side.packets(OUT).is_empty());
    }
}

/// A long stream: counts what was made of it.
struct Long {
    made: Arc<AtomicUsize>,
    left: usize,
    fails: bool,
}

const STEP: usize = 50_000;

impl Feed for Long {
    fn next(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        if self.fails && self.left == 0 {
            return Err(io::Error::other("the tree is gone"));
        }
        out.resize(out.len() + STEP, 1);
        self.made.fetch_add(STEP, Relaxed);
        self.left = self.left.saturating_sub(1);
        Ok(self.left > 0 || self.fails)
    }
}

fn long(steps: usize) -> (Arc<AtomicUsize>, Box<Long>) {
    let made = Arc::new(AtomicUsize::new(0));
    (Arc::clone(&made), Box::new(Long { made, left: steps, fails: false }))
}

/// Row 30: whoever stalls, stalls alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_peer_holds_back_its_own_stream_and_nothing_else() {
    let (leader, place, mut stalled, link) = leader(LinkSettings::default()).await;
    let (made, feed) = long(2000);
    leader.send(link, &Packet::Snap(Zxid(5)));
    leader.links.stream(link, feed);
    leader.send(link, &Packet::UpToDate);
    let learner = side(LinkSettings::default());
    learner.links.connect(OUT, vec![place], SOON);
    learner.send(OUT, &introduction(3));
    let other = leader.scribe.wait(|h| match h {
        Heard::Accepted(other, _) if *other != link => Some(*other),
        _ => None,
    });
    let other = other.await;
    for n in 0..1000 {
        leader.send(other, &proposal(n, 100));
        leader.send(link, &proposal(n, 100));
    }
    learner.gets(OUT, proposal(999, 100)).await;
    let before = made.load(Relaxed);
    assert!(before < 40_000_000, "{before} bytes made for a peer that reads nothing");
    assert!(leader.links.backlog(link) < 1_000_000, "a stream costs nothing while it waits");
    // It reads after all, and finds everything in its place.
    let mut all = Vec::new();
    let want = raw(&[Packet::Snap(Zxid(5))]).len() + 2000 * STEP + raw(&[Packet::UpToDate]).len();
    let mut chunk = vec![0; 1 << 20];
    while all.len() < want {
        let n = soon(stalled.read(&mut chunk)).await.unwrap();
        all.extend_from_slice(&chunk[..n]);
    }
    let (head, rest) = all.split_at(20);
    assert_eq!(head, raw(&[Packet::Snap(Zxid(5))]));
    let (tree, rest) = rest.split_at(2000 * STEP);
    assert!(tree.iter().all(|b| *b == 1));
    assert_eq!(rest[..20], raw(&[Packet::UpToDate]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_cannot_be_made_ends_its_link() {
    let (leader, _, _learner, link) = leader(LinkSettings::default()).await;
    let (_, mut feed) = long(3);
    feed.fails = true;
    leader.links.stream(link, feed);
    let reason = leader.loses(link).await;
    assert!(reason.contains("the tree is gone"), "{reason}");
}

#[tokio::test]
async fn a_peer_that_leaves_too_much_unread_is_given_up() {
    let (leader, _, _learner, link) =
        leader(LinkSettings { backlog: 1_000_000, ..LinkSettings::default() }).await;
    for n in 0..200_000 {
        leader.send(link, &proposal(n, 1000));
        assert!(leader.links.backlog(link) < 1_100_000);
        if n % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let reason = leader.loses(link).await;
    assert!(reason.contains("wait for the peer"), "{reason}");
}

#[tokio::test]
async fn silence_ends_a_link_when_patience_does() {
    let (leader, _, mut learner, link) = leader(LinkSettings::default()).await;
    leader.links.patience(link, Millis(300));
    let begin = Instant::now();
    for n in 0..5 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        learner.write_all(&raw(&[Packet::Ack(Zxid(n))])).await.unwrap();
    }
    let reason = leader.loses(link).await;
    assert!(reason.contains("silent"), "{reason}");
    assert!(begin.elapsed() > Duration::from_millis(750), "{:?}", begin.elapsed());
    assert_eq!(soon(learner.read(&mut [0; 8])).await.unwrap_or(0), 0, "and the socket is closed");
}

/// A learner that takes a long snapshot says nothing meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_a_stream_is_not_silent() {
    let (leader, _, mut learner, link) = leader(LinkSettings::default()).await;
    leader.links.patience(link, Millis(300));
    let (_, feed) = long(1000);
    leader.links.stream(link, feed);
    let begin = Instant::now();
    let mut chunk = vec![0; 1_000_000];
    let mut left = 1000 * STEP;
    while left > 0 {
        left -= soon(learner.read(&mut chunk)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(begin.elapsed() > Duration::from_millis(900), "{:?}", begin.elapsed());
    assert_eq!(leader.scribe.count(|h| matches!(h, Heard::Lost(..))), 0);
    leader.loses(link).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_put_down_before_a_close_still_leaves() {
    let (leader, _, mut learner, link) = leader(LinkSettings::default()).await;
    // Bytes that nobody reads would make the kernel reset the connection.
    learner.write_all(&raw(&[Packet::Ack(Zxid(1)), Packet::Ack(Zxid(2))])).await.unwrap();
    for n in 0..1000 {
        leader.send(link, &proposal(n, 1000));
    }
    leader.send(link, &Packet::CommitAndActivate(Zxid(1000), ServerId(2)));
    leader.links.close_all();
    leader.send(link, &proposal(1001, 1000));
    let mut all = Vec::new();
    soon(learner.read_to_end(&mut all)).await.unwrap();
    let mut want: Vec<_> = (0..1000).map(|n| proposal(n, 1000)).collect();
    want.push(Packet::CommitAndActivate(Zxid(1000), ServerId(2)));
    assert!(all == raw(&want), "{} bytes came", all.len());
    assert_eq!(leader.scribe.count(|h| matches!(h, Heard::Lost(..))), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_packets_for_learners_it_is_told_how_they_waited() {
    let (leader, place, mut learner, link) = leader(LinkSettings::default()).await;
    // Behind something that leaves later, none of them leaves by itself.
    leader.links.stream(link, long(200).1);
    (0..2001).for_each(|n| leader.send(link, &proposal(n, 10)));
    let reading = tokio::spawn(async move {
        let mut chunk = vec![0; 1 << 20];
        while learner.read(&mut chunk).await.is_ok_and(|n| n > 0) {}
    });
    let left = leader.scribe.wait(|h| if let Heard::Left(_, left) = h { Some(left.clone()) } else { None });
    let want = Left { packets: 2001, ahead: 2000 * 2001 / 2, fewest: 0, most: 2000, marked: vec![NOW; 3] };
    assert_eq!(left.await, want);
    leader.send(link, &Packet::UpToDate);
    let last = leader.scribe.wait(|h| match h {
        Heard::Left(_, left) if left.packets == 1 => Some(left.clone()),
        _ => None,
    });
    assert_eq!(last.await, Left { packets: 1, ahead: 0, fewest: 0, most: 0, marked: vec![] });
    // A learner's own packets are of no interest.
    let other = side(LinkSettings::default());
    other.links.connect(OUT, vec![place], SOON);
    other.send(OUT, &introduction(2));
    leader.scribe.wait(|h| matches!(h, Heard::Packet(l, _) if *l != link).then_some(())).await;
    assert_eq!(other.scribe.count(|h| matches!(h, Heard::Left(..))), 0);
    reading.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_follows_half_of_a_stream() {
    let (leader, _, mut learner, link) = leader(LinkSettings::default()).await;
    leader.links.stream(link, long(2000).1);
    leader.send(link, &Packet::UpToDate);
    tokio::time::sleep(Duration::from_millis(50)).await;
    leader.links.close(link);
    let mut all = Vec::new();
    let _ = soon(learner.read_to_end(&mut all)).await;
    assert!(!all.is_empty() && all.len() < 2000 * STEP && all.iter().all(|b| *b == 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_introduces_itself_becomes_a_link() {
    let settings = LinkSettings { patience: Duration::from_millis(500), ..LinkSettings::default() };
    let (leader, place) = (side(settings), place());
    leader.open(&place).await;
    let mut held = Vec::new();
    for n in 0..300_usize {
        let mut stranger = knock(&place).await;
        let garbage = match n % 5 {
            0 => vec![],
            1 => b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            2 => raw(&[Packet::Ack(Zxid(1))]),
            3 => b"\0\0\0\x0b\0\0\0\0\0\0\0\0\x7f\xff\xff\xff".to_vec(),
            _ => raw(&[introduction(1)])[..30].to_vec(),
        };
        let _ = stranger.write_all(&garbage).await;
        held.push(stranger);
    }
    let mut learner = knock(&place).await;
    learner.write_all(&raw(&[introduction(2), Packet::Ack(Zxid(9))])).await.unwrap();
    let link = leader.accepted().await;
    leader.links.patience(link, Millis(10_000));
    leader.gets(link, Packet::Ack(Zxid(9))).await;
    for stranger in &mut held {
        assert_eq!(soon(stranger.read(&mut [0; 1])).await.unwrap_or(0), 0, "all are shown out");
    }
    assert_eq!(leader.scribe.count(|h| matches!(h, Heard::Accepted(..))), 1);
    // Garbage behind an introduction ends the link.
    learner.write_all(b"\0\0\0\x02\0\0\0\0\0\0\0\0\x7f\xff\xff\xff").await.unwrap();
    let reason = leader.loses(link).await;
    assert!(reason.contains("2147483647"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ports_open_and_close_with_roles() {
    let (leader, place, other) = (side(LinkSettings::default()), place(), place());
    for ticket in 1..=20 {
        leader.links.listen(ticket, vec![door(&place)]);
        leader.scribe.wait(move |h| (*h == Heard::Listening(ticket, true)).then_some(())).await;
        if ticket % 2 == 0 {
            leader.links.unlisten();
        }
    }
    leader.links.listen(50, vec![door(&place)]);
    leader.links.listen(51, vec![door(&place)]);
    leader.scribe.wait(|h| (*h == Heard::Listening(51, true)).then_some(())).await;
    leader.links.listen_observers(52, vec![door(&other)]);
    leader.scribe.wait(|h| (*h == Heard::Listening(52, true)).then_some(())).await;
    let mut observer = knock(&other).await;
    observer.write_all(&raw(&[introduction(5)])).await.unwrap();
    leader.scribe.wait(|h| matches!(h, Heard::Accepted(_, true)).then_some(())).await;
    leader.links.unlisten();
    let closed = async {
        while TcpStream::connect((place.host.as_str(), place.port)).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(closed).await;
    let _holder = listen(&place).await;
    leader.links.listen(53, vec![door(&place)]);
    leader.scribe.wait(|h| (*h == Heard::Listening(53, false)).then_some(())).await;
    assert!(leader.scribe.count(|h| *h == Heard::Listening(50, true)) <= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_addresses_are_tried_and_failure_is_told() {
    let (hole, _held, _listener) = blackhole().await;
    let (nobody, real) = (place(), place());
    let listener = listen(&real).await;
    let learner = side(LinkSettings::default());
    learner.links.connect(OUT, vec![hole.clone(), nobody.clone(), real], SOON);
    soon(listener.accept()).await.unwrap();
    learner.scribe.wait(|h| (*h == Heard::Connected(OUT)).then_some(())).await;
    let (second, third, fourth) = (LinkId(OUT.0 + 1), LinkId(OUT.0 + 2), LinkId(OUT.0 + 3));
    learner.links.connect(second, vec![nobody], SOON);
    assert!(learner.loses(second).await.contains("refused"));
    learner.links.connect(third, vec![hole.clone()], Duration::from_millis(200));
    assert!(learner.loses(third).await.contains("no answer"));
    learner.links.connect(fourth, vec![hole], SOON);
    learner.links.close(fourth);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(learner.scribe.count(|h| matches!(h, Heard::Lost(lost, _) if *lost == fourth)), 0);
}
