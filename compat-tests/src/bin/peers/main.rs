//! The sockets between servers against real servers of the reference: votes with two of them, then one of them is
//! followed as an observer that no membership lists.
//!
//! It is no member itself: it decides nothing, it says what the script says. One line for each check, the last line
//! sums them up, and the exit code is 0 only when none failed; 3 when the reference cannot be run here.

mod java;
mod watch;

use java::{Java, Ports, ports};
use quoll::net::peer::{Door, LinkSettings, Links, Mesh, MeshSettings, PeerService, Place, Roster};
use quoll::replica::zab::{Forwarded, LearnerHello, Notification, Packet, PeerState, Vote};
use quoll::types::{Epoch, LinkId, Millis, ServerId, SessionId, Zxid};
use std::collections::BTreeMap;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;
use watch::{Checks, Watch};

/// This side's number among the members: one of the reference is smaller, one is larger.
const ME: i64 = 2;

/// Numbers that the replica gives to its links have this bit.
const LINK: LinkId = LinkId(1 << 63);

fn main() -> ExitCode {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/reference");
    let there = Command::new(script).arg("provision").stdin(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        println!("SKIPPED: scripts/reference cannot run the reference here (Java 17 and Maven are needed)");
        return ExitCode::from(3);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            println!("not ok runtime: {e}");
            return ExitCode::FAILURE;
        }
    };
    let mut checks = Checks::default();
    if let Err(e) = runtime.block_on(run(&mut checks)) {
        checks.failed("the script runs to its end", &e);
    }
    runtime.shutdown_background();
    checks.sum()
}

fn place(port: u16) -> Place {
    Place::new("127.0.0.1", port)
}

fn vote(leader: i64, zxid: Zxid, epoch: Epoch, round: i64) -> Notification {
    let vote = Vote { leader: ServerId(leader), zxid, epoch };
    Notification { state: PeerState::Looking, vote, round, version: 2, config: bytes_of("") }
}

fn bytes_of(text: &str) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(text.as_bytes())
}

async fn run(checks: &mut Checks) -> Result<(), String> {
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    let mut members = Vec::new();
    for id in 1..=3 {
        members.push((id, ports().map_err(|e| e.to_string())?));
    }
    let start = |id| Java::start(id, &members, dir.path()).map_err(|e| e.to_string());
    let watch = Arc::new(Watch::default());
    let service: Arc<dyn PeerService> = Arc::clone(&watch) as Arc<dyn PeerService>;
    let mesh = Mesh::start(
        MeshSettings { server: ServerId(ME), ..MeshSettings::default() },
        roster(&members),
        Arc::clone(&service),
    );
    let one = start(1)?;
    elections(checks, &watch, &mesh, &one).await?;
    let three = start(3)?;
    let epoch = join(checks, &watch, &mesh).await?;
    follow(checks, &watch, service, &members, epoch).await?;
    back(checks, &watch, &mesh, three, &start).await?;
    mesh.stop();
    Ok(())
}

fn roster(members: &[(i64, Ports)]) -> Roster {
    let own = |ports: &Ports| place(ports.election);
    Roster {
        doors: members.iter().filter(|(id, _)| *id == ME).map(|(_, p)| Door::At(own(p))).collect(),
        own: members.iter().filter(|(id, _)| *id == ME).map(|(_, p)| own(p)).collect(),
        members: members
            .iter()
            .filter(|(id, _)| *id != ME)
            .map(|(id, p)| (ServerId(*id), vec![own(p)]))
            .collect(),
        upcoming: BTreeMap::new(),
    }
}

/// With the smaller server alone: it votes for itself, hears this side's vote, and takes it over.
async fn elections(checks: &mut Checks, watch: &Arc<Watch>, mesh: &Mesh, one: &Java) -> Result<(), String> {
    let first = watch.vote(|from, n| from == 1 && n.vote.leader == ServerId(1)).await;
    checks.ok("a smaller server knocks, is called back, and its first vote is read", first.is_some());
    let Some(first) = first else { return Err(format!("server 1 said nothing:\n{}", one.said())) };
    checks.ok("it is looking, with the text of its membership", {
        first.state == PeerState::Looking && first.version == 2 && first.config.ends_with(b"version=0")
    });
    // The better vote, in its round.
    mesh.notify(ServerId(1), &vote(ME, first.vote.zxid, first.vote.epoch, first.round));
    let taken = watch.vote(|from, n| from == 1 && n.vote.leader == ServerId(ME)).await;
    checks.ok("it hears the better vote and takes it over", taken.is_some());
    Ok(())
}

/// The larger server comes, and the two of the reference agree; this side asks until it hears so.
async fn join(checks: &mut Checks, watch: &Arc<Watch>, mesh: &Mesh) -> Result<Epoch, String> {
    let mut led = None;
    let mut followed = None;
    let mut looked = false;
    for _ in 0..150 {
        let latest = watch.latest();
        for (id, wanted) in [(3, &mut led), (1, &mut followed)] {
            let state = if id == 3 { PeerState::Leading } else { PeerState::Following };
            let heard = latest.get(&id);
            *wanted = heard.filter(|n| n.state == state && n.vote.leader == ServerId(3)).cloned();
            looked |= id == 3 && heard.is_some_and(|n| n.state == PeerState::Looking);
            // What is said in one's own round is answered; this side agrees with whoever leads.
            let (zxid, epoch, round) =
                heard.map_or((Zxid::ZERO, Epoch(0), 1), |n| (n.vote.zxid, n.vote.epoch, n.round));
            mesh.notify(ServerId(id), &vote(3, zxid, epoch, round));
        }
        if led.as_ref().is_some_and(|n| n.vote.epoch.0 > 0) && followed.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    checks.ok("a larger server calls, and is heard", looked || led.is_some());
    checks.ok("it leads", led.is_some());
    checks.ok("the smaller one follows it", followed.is_some());
    let connected: Vec<_> = mesh.connected().into_iter().map(|server| server.0).collect();
    checks.ok("one connection stands with each", connected == [1, 3]);
    led.map(|n| n.vote.epoch).ok_or_else(|| "nobody leads".to_owned())
}

/// As an observer that is on no list: introduction, epochs, the snapshot, and life afterwards.
async fn follow(
    checks: &mut Checks,
    watch: &Arc<Watch>,
    service: Arc<dyn PeerService>,
    members: &[(i64, Ports)],
    epoch: Epoch,
) -> Result<(), String> {
    let links = Links::start(LinkSettings::default(), service);
    let leader = members.iter().find(|(id, _)| *id == 3).map(|(_, p)| p.quorum).unwrap_or_default();
    links.connect(LINK, vec![place(leader)], Duration::from_secs(10));
    // How long packets wait is of no interest here.
    let send = |packet: &Packet| links.send(LINK, packet, || Millis(0));
    let hello = LearnerHello {
        observer: true,
        accepted: Epoch(0),
        server: Some(ServerId(9)),
        protocol: quoll::replica::zab::PROTOCOL,
        config_version: 0,
    };
    send(&Packet::Hello(hello));
    let info =
        watch.packet(|p| if let Packet::LeaderInfo { epoch, .. } = p { Some(*epoch) } else { None }).await;
    checks.ok("FOLLOWERINFO as an observer is answered by LEADERINFO of this epoch", info == Some(epoch));
    send(&Packet::AckEpoch { last: Zxid::ZERO, current: Some(Epoch(0)) });
    let snap = watch.packet(|p| if let Packet::Snap(z) = p { Some(*z) } else { None }).await;
    let tree = watch.tree();
    println!("   SNAP at {snap:?}; the tree and its signature have {tree:?} bytes");
    checks.ok("SNAP brings a tree up to its signature", snap.is_some() && tree.is_some_and(|n| n > 100));
    let new = watch.packet(|p| {
        if let Packet::NewLeader { epoch, config } = p { Some((*epoch, config.clone())) } else { None }
    });
    let new = new.await;
    checks.ok("NEWLEADER follows the tree, with the membership", {
        new.is_some_and(|(e, config)| e == epoch && config.ends_with(b"version=0"))
    });
    let begin = Zxid::new(epoch, 0);
    send(&Packet::Ack(begin));
    let up = watch.packet(|p| (*p == Packet::UpToDate).then_some(())).await;
    checks.ok("UPTODATE follows the ACK", up.is_some());
    send(&Packet::Ack(begin));
    let session = SessionId(0x0900_0000_0000_0001);
    let open = Forwarded { session, cxid: 0, op: -10, body: bytes_of("\0\0\x75\x30"), ids: None };
    send(&Packet::Request(open));
    let inform = watch.packet(|p| if let Packet::Inform(e) = p { Some(e.clone()) } else { None }).await;
    checks.ok("a forwarded createSession comes back as INFORM", {
        inform.is_some_and(|e| e.payload.starts_with(&session.0.to_be_bytes()))
    });
    send(&Packet::Revalidate(session, Millis(30_000)));
    let alive =
        watch.packet(|p| if let Packet::Revalidated(_, alive) = p { Some(*alive) } else { None }).await;
    checks.ok("REVALIDATE is answered", alive == Some(true));
    let sync = Forwarded { session, cxid: 1, op: 9, body: bytes_of("\0\0\0\x01/"), ids: Some(Vec::new()) };
    send(&Packet::Request(sync));
    checks.ok("a sync is answered", watch.packet(|p| (*p == Packet::Sync).then_some(())).await.is_some());
    // Ten times as long as a leader waits for silent learners would be 50 s; twice is enough.
    for _ in 0..40 {
        for zxid in watch.pings() {
            send(&Packet::Pong(zxid, vec![(session, Millis(30_000))]));
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    println!("   {} pings were answered in 10 s; syncLimit is 5 s", watch.answered());
    checks.ok("answered pings keep the link", watch.lost().is_none() && watch.answered() >= 20);
    links.close(LINK);
    links.stop();
    Ok(())
}

/// The larger server is killed and comes back: both find each other again.
async fn back(
    checks: &mut Checks,
    watch: &Arc<Watch>,
    mesh: &Mesh,
    three: Java,
    start: &impl Fn(i64) -> Result<Java, String>,
) -> Result<(), String> {
    drop(three);
    tokio::time::sleep(Duration::from_millis(500)).await;
    checks.ok("a killed server is noticed", !mesh.connected().contains(&ServerId(3)));
    watch.forget();
    let _three = start(3)?;
    let heard = watch.vote(|from, _| from == 3).await;
    checks.ok("it calls again when it is back", heard.is_some());
    Ok(())
}
