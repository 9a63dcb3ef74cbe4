//! The election port: knocking and calling back, old and strange peers, dead ones, garbage, moving.

use super::super::codec::{hello, vote as codec};
use super::super::mesh::{Mesh, MeshSettings, Roster};
use super::super::place::Place;
use super::*;
use std::collections::BTreeMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

struct Node {
    mesh: Mesh,
    scribe: Arc<Scribe>,
    id: i64,
    place: Place,
}

fn settings(id: i64) -> MeshSettings {
    MeshSettings {
        server: ServerId(id),
        connect_timeout: Duration::from_secs(5),
        hello_timeout: Duration::from_secs(3),
        ..MeshSettings::default()
    }
}

fn roster(id: i64, places: &BTreeMap<i64, Place>) -> Roster {
    let members = places.iter().filter(|(other, _)| **other != id);
    Roster {
        doors: vec![door(&places[&id])],
        own: vec![places[&id].clone()],
        members: members.map(|(id, place)| (ServerId(*id), vec![place.clone()])).collect(),
        upcoming: BTreeMap::new(),
    }
}

fn node(id: i64, places: &BTreeMap<i64, Place>) -> Node {
    let (scribe, service) = scribe();
    let mesh = Mesh::start(settings(id), roster(id, places), service);
    Node { mesh, scribe, id, place: places[&id].clone() }
}

impl Node {
    fn tell(&self, to: i64, round: i64) {
        self.mesh.notify(ServerId(to), &vote(self.id, round));
    }

    #[track_caller]
    fn hears(&self, from: i64, round: i64) -> impl Future<Output = ()> {
        self.scribe.wait(move |heard| match heard {
            Heard::Vote(who, n) if who.0 == from && n.round == round => Some(()),
            _ => None,
        })
    }
}

fn places(ids: &[i64]) -> BTreeMap<i64, Place> {
    ids.iter().map(|id| (*id, place())).collect()
}

/// Reads one framed vote.
async fn heard(stream: &mut TcpStream) -> Notification {
    let mut prefix = [0; 4];
    soon(stream.read_exact(&mut prefix)).await.unwrap();
    let mut frame = vec![0; codec::length(prefix).unwrap()];
    soon(stream.read_exact(&mut frame)).await.unwrap();
    codec::read(&frame).unwrap()
}

fn framed(notification: &Notification) -> Vec<u8> {
    let mut out = Vec::new();
    codec::write(notification, &mut out);
    out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn votes_go_both_ways_whoever_is_larger() {
    let places = places(&[1, 2, 3]);
    let nodes: Vec<_> = [1, 2, 3].iter().map(|id| node(*id, &places)).collect();
    for from in &nodes {
        for to in nodes.iter().filter(|to| to.id != from.id) {
            from.tell(to.id, 10 * from.id + to.id);
        }
    }
    for from in &nodes {
        for to in nodes.iter().filter(|to| to.id != from.id) {
            to.hears(from.id, 10 * from.id + to.id).await;
        }
    }
    // And again over what stands now.
    nodes[0].tell(3, 99);
    nodes[2].tell(1, 98);
    nodes[2].hears(1, 99).await;
    nodes[0].hears(3, 98).await;
    assert_eq!(nodes[0].mesh.connected(), [ServerId(2), ServerId(3)]);
    nodes.iter().for_each(|node| node.mesh.stop());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_late_or_back_hears_the_last_vote() {
    let places = places(&[1, 2]);
    let one = node(1, &places);
    one.tell(2, 1);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let two = node(2, &places);
    two.hears(1, 1).await;
    two.tell(1, 2);
    one.hears(2, 2).await;
    two.mesh.stop();
    drop(two);
    let two = node(2, &places);
    two.tell(1, 3);
    one.hears(2, 3).await;
    two.hears(1, 1).await;
}

#[tokio::test]
async fn a_smaller_server_knocks_with_one_segment_hangs_up_and_is_called_back() {
    let places = places(&[1, 2]);
    let peer = listen(&places[&2]).await;
    let one = node(1, &places);
    one.tell(2, 7);
    let (mut caller, _) = soon(peer.accept()).await.unwrap();
    caller.readable().await.unwrap();
    let mut first = [0; 4096];
    let n = caller.read(&mut first).await.unwrap();
    assert_eq!(
        first[..n],
        hello::write(ServerId(1), std::slice::from_ref(&one.place), false),
        "all of it at once"
    );
    assert_eq!(soon(caller.read(&mut first)).await.unwrap(), 0, "and hangs up");
    let mut call = knock(&one.place).await;
    call.write_all(&hello::write(ServerId(2), &[places[&2].clone()], false)).await.unwrap();
    assert_eq!(heard(&mut call).await.round, 7);
    call.write_all(&framed(&vote(2, 8))).await.unwrap();
    one.hears(2, 8).await;
}

#[tokio::test]
async fn a_larger_server_calls_back_where_the_knock_said() {
    let places = places(&[1, 2]);
    let elsewhere = place();
    let peer = listen(&elsewhere).await;
    let two = node(2, &places);
    let mut caller = knock(&two.place).await;
    caller
        .write_all(&hello::write(ServerId(1), &[Place::new("0.0.0.0", 1), elsewhere.clone()], true))
        .await
        .unwrap();
    assert_eq!(soon(caller.read(&mut [0; 8])).await.unwrap_or(0), 0, "it is hung up");
    let (mut call, _) = soon(peer.accept()).await.unwrap();
    assert_eq!(soon(hello::read(&mut call)).await.unwrap().server, Some(ServerId(2)));
    two.tell(1, 4);
    assert_eq!(heard(&mut call).await.round, 4);
    // A wish that leads nowhere takes nothing away.
    let mut forged = knock(&two.place).await;
    forged.write_all(&hello::write(ServerId(1), &[place()], false)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    two.tell(1, 5);
    assert_eq!(heard(&mut call).await.round, 5);
}

#[tokio::test]
async fn old_strange_and_nameless_peers_are_heard() {
    let places = places(&[1, 2]);
    let one = node(1, &places);
    // 3.4 says its number only; the vote follows in the same segment.
    let mut old = knock(&one.place).await;
    let mut bytes = 2_i64.to_be_bytes().to_vec();
    bytes.extend(framed(&vote(2, 3)));
    old.write_all(&bytes).await.unwrap();
    one.hears(2, 3).await;
    // Byte by byte, from a server that is no member.
    let mut drip = knock(&one.place).await;
    drip.set_nodelay(true).unwrap();
    let mut bytes = hello::write(ServerId(9), &[place()], false);
    bytes.extend(framed(&vote(9, 4)));
    for byte in bytes {
        drip.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    one.hears(9, 4).await;
    one.tell(9, 5);
    assert_eq!(heard(&mut drip).await.round, 5);
    // Observers without a number get one.
    for n in [-1, -2] {
        let mut nameless = knock(&one.place).await;
        nameless.write_all(&hello::write(ServerId(i64::MAX), &[place()], false)).await.unwrap();
        nameless.write_all(&framed(&vote(1, 6))).await.unwrap();
        one.hears(n, 6).await;
        one.tell(n, 7);
        assert_eq!(heard(&mut nameless).await.round, 7);
    }
}

#[tokio::test]
async fn what_is_newer_replaces_what_waits() {
    let places = places(&[1, 2]);
    let two = node(2, &places);
    let peer = listen(&places[&1]).await;
    let mut big = vote(2, 0);
    big.config = vec![b'x'; 400_000].into();
    two.mesh.notify(ServerId(1), &big);
    let (mut call, _) = soon(peer.accept()).await.unwrap();
    soon(hello::read(&mut call)).await.unwrap();
    // It reads nothing, far beyond what sockets hold, and putting down never waits.
    for round in 1..=2000 {
        big.round = round;
        two.mesh.notify(ServerId(1), &big);
        if round % 100 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let mut rounds = vec![heard(&mut call).await.round];
    while rounds.last() != Some(&2000) {
        rounds.push(heard(&mut call).await.round);
    }
    assert!(rounds.is_sorted() && rounds.len() < 1000, "{} came", rounds.len());
}

/// Row 13: dead peers are a matter between them and their couriers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blackholed_peers_delay_nobody() {
    let (hole, _held, _listener) = blackhole().await;
    let mut places = places(&[1, 2, 3]);
    places.insert(4, hole.clone());
    places.insert(5, hole);
    let nodes: Vec<_> = [1, 2, 3].iter().map(|id| node(*id, &places)).collect();
    let begin = Instant::now();
    for from in &nodes {
        for to in [5, 4, 3, 2, 1].into_iter().filter(|to| *to != from.id) {
            from.tell(to, from.id);
        }
    }
    for to in &nodes {
        for from in nodes.iter().filter(|from| from.id != to.id) {
            to.hears(from.id, from.id).await;
        }
    }
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
}

/// Row 14, and half-open peers: strangers cost nothing but a place in the lobby.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_stops_neither_the_port_nor_an_election() {
    let places = places(&[1, 2]);
    let (one, two) = (node(1, &places), node(2, &places));
    let mut held = Vec::new();
    for n in 0..400_usize {
        for place in places.values() {
            let mut stranger = knock(place).await;
            let garbage: &[u8] = match n % 8 {
                0 => b"",
                1 => b"\xff",
                2 => b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                3 => b"\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\x09\x7f\xff\xff\xff",
                // Well introduced, then a frame of two gigabytes, of none, and a vote that is none.
                4 => b"\0\0\0\0\0\0\0\x09\x7f\xff\xff\xff",
                5 => b"\0\0\0\0\0\0\0\x0a\0\0\0\0",
                6 => b"\0\0\0\0\0\0\0\x0b\0\0\0\x03abc",
                _ => b"\0\0\0\0\0\0\0\x0c\0\0\0\xffhalf",
            };
            let _ = stranger.write_all(garbage).await;
            if n % 3 == 0 {
                held.push(stranger);
            }
        }
    }
    let begin = Instant::now();
    one.tell(2, 1);
    two.tell(1, 2);
    two.hears(1, 1).await;
    one.hears(2, 2).await;
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    let forged = |heard: &Heard| matches!(heard, Heard::Vote(from, _) if from.0 > 2);
    assert_eq!(one.scribe.count(forged) + two.scribe.count(forged), 0);
    // After a vote that is none the connection still stands.
    let mut peer = knock(&one.place).await;
    peer.write_all(b"\0\0\0\0\0\0\0\x0d\0\0\0\x03abc").await.unwrap();
    peer.write_all(&framed(&vote(2, 77))).await.unwrap();
    one.hears(13, 77).await;
}

#[tokio::test]
async fn a_stranger_that_says_nothing_is_shown_out_in_time() {
    let places = places(&[1, 2]);
    let one = node(1, &places);
    let mut silent = knock(&one.place).await;
    silent.write_all(&[0xff; 3]).await.unwrap();
    let begin = Instant::now();
    assert_eq!(soon(silent.read(&mut [0; 1])).await.unwrap_or(0), 0);
    assert!(begin.elapsed() > Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_port_moves_with_the_membership() {
    let mut places = places(&[1, 2]);
    let (one, two) = (node(1, &places), node(2, &places));
    one.tell(2, 1);
    two.hears(1, 1).await;
    let before = places.insert(1, place()).unwrap();
    one.mesh.update(roster(1, &places));
    drop(knock(&places[&1]).await);
    let closed = async {
        while TcpStream::connect((before.host.as_str(), before.port)).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(closed).await;
    one.tell(2, 2);
    two.hears(1, 2).await;
    two.mesh.update(roster(2, &places));
    one.mesh.stop();
    let parted = async {
        while !two.mesh.connected().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(parted).await;
    let one = node(1, &places);
    two.tell(1, 3);
    one.hears(2, 3).await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_reported_after_the_attempts() {
    let places = places(&[1, 2]);
    let holder = listen(&places[&1]).await;
    let (scribe, service) = scribe();
    let patient = MeshSettings { bind_retries: 2, ..settings(1) };
    let _mesh = Mesh::start(patient, roster(1, &places), service);
    let reason = scribe.wait(|heard| match heard {
        Heard::NoElectionPort(reason) => Some(reason.clone()),
        _ => None,
    });
    assert!(reason.await.contains(&places[&1].to_string()));
    // One that becomes free in time is taken.
    let waiting = node(1, &places);
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(holder);
    drop(knock(&places[&1]).await);
    assert!(waiting.scribe.all().is_empty());
}

#[tokio::test]
async fn everywhere_means_both_families_and_several_addresses_race() {
    let (places, lonely) = (places(&[1, 2]), place());
    let (scribe, service) = scribe();
    let mut open = roster(1, &places);
    open.doors = vec![Door::Everywhere(places[&1].port)];
    let _mesh = Mesh::start(settings(1), open, service);
    drop(knock(&places[&1]).await);
    let two = node(2, &places);
    let (hole, _held, _listener) = blackhole().await;
    let mut many = roster(2, &places);
    many.members.insert(ServerId(1), vec![hole, lonely, places[&1].clone()]);
    two.mesh.update(many);
    let begin = Instant::now();
    two.tell(1, 5);
    scribe.wait(|h| matches!(h, Heard::Vote(from, n) if from.0 == 2 && n.round == 5).then_some(())).await;
    assert!(begin.elapsed() < Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn made_up_servers_take_no_place_of_a_member() {
    let places = places(&[1, 2]);
    let one = node(1, &places);
    let mut held = Vec::new();
    for server in 100..300_i64 {
        let mut stranger = knock(&one.place).await;
        stranger.write_all(&server.to_be_bytes()).await.unwrap();
        stranger.write_all(&framed(&vote(server, 1))).await.unwrap();
        held.push(stranger);
    }
    let two = node(2, &places);
    two.tell(1, 3);
    one.hears(2, 3).await;
    let known = one.mesh.connected();
    assert!(known.contains(&ServerId(2)) && known.len() <= 65, "{} desks", known.len());
    // Once they are gone, others that are no members are heard.
    drop(held);
    let heard = async {
        loop {
            let mut joining = knock(&one.place).await;
            joining.write_all(&hello::write(ServerId(9), &[place()], false)).await.unwrap();
            let _ = joining.write_all(&framed(&vote(9, 4))).await;
            let mine = |heard: &Heard| matches!(heard, Heard::Vote(from, _) if from.0 == 9);
            tokio::time::sleep(Duration::from_millis(50)).await;
            if one.scribe.count(mine) > 0 {
                return;
            }
        }
    };
    soon(heard).await;
}
