//! Bytes of the ports between servers: those that were seen, those that come back, those that must be refused.

use super::{Extent, Hello, PeerError, Speaker, hello, packet, vote};
use crate::auth::Identity;
use crate::net::peer::place::Place;
use crate::replica::zab::{Forwarded, LearnerHello, Notification, Packet, PeerState, Vote};
use crate::types::{Entry, Epoch, Millis, ServerId, SessionId, Zxid};
use bytes::Bytes;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const MOST: usize = 2 * 0xf_ffff;

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn bytes(packet: &Packet) -> Vec<u8> {
    let mut out = Vec::new();
    packet::write(packet, &mut out);
    out
}

#[track_caller]
fn golden(hex: &str, speaker: Speaker, packet: &Packet) {
    let want = unhex(hex);
    assert_eq!(bytes(packet), want, "{packet:?}");
    assert_eq!(Extent::new(MOST).find(&want), Ok(Some(want.len())));
    assert_eq!(packet::read(&want, speaker).as_ref(), Ok(packet));
}

fn introduction(server: i64) -> LearnerHello {
    LearnerHello {
        observer: false,
        accepted: Epoch(1),
        server: Some(ServerId(server)),
        protocol: 0x10000,
        config_version: 0,
    }
}

/// The packets that were seen between servers of the reference.
#[test]
fn packets_as_the_reference_writes_them() {
    use Speaker::{Leader, Learner};
    let session = SessionId(0x0100_0019_abcd_0000);
    golden(
        "0000000b 0000000100000000 00000014 0000000000000001 00010000 0000000000000000 ffffffff",
        Learner,
        &Packet::Hello(introduction(1)),
    );
    golden(
        "00000011 0000000100000000 00000004 00010000 ffffffff",
        Leader,
        &Packet::LeaderInfo { epoch: Epoch(1), protocol: 0x10000 },
    );
    let ack = Packet::AckEpoch { last: Zxid(0x1_0000_0004), current: None };
    golden("00000012 0000000100000004 00000004 ffffffff ffffffff", Learner, &ack);
    golden("0000000c ffffffffffffffff ffffffff ffffffff", Leader, &Packet::UpToDate);
    let payload = unhex(
        "01000019abcd0000 00000000 0000000100000001 000001a1f92a7c04 fffffff6 00004e20 00000002 0000000051c6d660",
    );
    golden(
        "00000002 0000000100000001 00000030 01000019abcd0000 00000000 0000000100000001 000001a1f92a7c04 fffffff6 \
         00004e20 00000002 0000000051c6d660 ffffffff",
        Leader,
        &Packet::Proposal(Entry { zxid: Zxid(0x1_0000_0001), payload: payload.into() }),
    );
    let heard = vec![(SessionId(0x0200_0021_f885_0000), Millis(15000))];
    golden(
        "00000005 0000000100000006 0000000c 02000021f8850000 00003a98 ffffffff",
        Learner,
        &Packet::Pong(Zxid(0x1_0000_0006), heard),
    );
    golden(
        "00000005 0000000100000006 00000000 ffffffff",
        Learner,
        &Packet::Pong(Zxid(0x1_0000_0006), vec![]),
    );
    golden("00000005 0000000100000006 ffffffff ffffffff", Leader, &Packet::Ping(Zxid(0x1_0000_0006)));
    let revalidate = Packet::Revalidate(SessionId(0x0200_0021_f885_0000), Millis(15000));
    golden("00000006 ffffffffffffffff 0000000c 02000021f8850000 00003a98 ffffffff", Learner, &revalidate);
    let answer = Packet::Revalidated(SessionId(0x0200_0021_f885_0000), true);
    golden("00000006 ffffffffffffffff 00000009 02000021f8850000 01 ffffffff", Leader, &answer);
    golden("00000007 0000000000000000 ffffffff ffffffff", Leader, &Packet::Sync);
    let create = unhex(
        "00000002 2f61 00000003 6f6e65 00000001 0000001f 00000005 776f726c64 00000006 616e796f6e65 00000000",
    );
    golden(
        "00000001 ffffffffffffffff 0000003c 01000019abcd0000 00000001 00000001 00000002 2f61 00000003 6f6e65 00000001 \
         0000001f 00000005 776f726c64 00000006 616e796f6e65 00000000 00000001 00000002 6970 00000009 3132372e302e302e31",
        Learner,
        &Packet::Request(Forwarded {
            session,
            cxid: 1,
            op: 1,
            body: create.into(),
            ids: Some(vec![Identity::new("ip", "127.0.0.1")]),
        }),
    );
}

/// Every packet in the vectors that other tests read record by record is understood here too.
#[test]
fn packets_of_the_recorded_traffic() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("jute/tests/vectors/traffic");
    let mut seen = 0;
    for file in std::fs::read_dir(dir).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for line in text.lines().filter_map(|line| line.strip_prefix("QuorumPacket ")) {
            let raw = unhex(line.split('=').next().unwrap());
            assert_eq!(Extent::new(MOST).find(&raw), Ok(Some(raw.len())), "{line}");
            let packet = packet::read(&raw, Speaker::Learner).unwrap();
            assert!(!matches!(packet, Packet::Unknown(_)), "{line}");
            assert_eq!(bytes(&packet), raw, "{line}");
            seen += 1;
        }
    }
    assert_eq!(seen, 8);
}

#[test]
fn introductions_of_older_learners() {
    let read = |data: &str| {
        let raw = unhex(&format!("00000010 0000000500000000 {data} ffffffff"));
        packet::read(&raw, Speaker::Learner).map(|packet| match packet {
            Packet::Hello(hello) => {
                (hello.observer, hello.server.map(|s| s.0), hello.protocol, hello.config_version)
            }
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(read("ffffffff"), Ok((true, None, 1, 0)), "no data: it has no id");
    assert_eq!(read("00000008 0000000000000003"), Ok((true, Some(3), 1, 0)));
    assert_eq!(read("0000000c 0000000000000003 00010000"), Ok((true, Some(3), 0x10000, 0)), "3.4");
    assert_eq!(
        read("00000016 0000000000000003 00010000 0000000100000002 abcd"),
        Ok((true, Some(3), 0x10000, 0x1_0000_0002)),
        "longer ones are still to come"
    );
    assert!(read("00000007 00000000000003").is_err());
}

#[test]
fn what_is_missing_or_unknown_in_a_packet() {
    let read = |raw: &str, speaker| packet::read(&unhex(raw), speaker);
    let null = |kind: &str| read(&format!("{kind} 0000000000000001 ffffffff ffffffff"), Speaker::Leader);
    for kind in ["00000002", "00000008", "00000009", "00000013", "00000011", "00000006"] {
        assert!(matches!(null(kind), Err(PeerError::Null(_))), "{kind}");
    }
    assert!(null("00000001").is_err() && null("00000012").is_err());
    assert_eq!(null("00000063"), Ok(Packet::Unknown(0x63)), "a type of the future");
    let half = "00000005 0000000000000001 0000000b 02000021f8850000 00003a ffffffff";
    assert!(read(half, Speaker::Learner).is_err(), "half a session");
    assert_eq!(read(half, Speaker::Leader), Ok(Packet::Ping(Zxid(1))));
}

#[test]
fn lengths_are_refused_before_anything_is_kept() {
    for raw in [
        "00000002 0000000000000001 7fffffff",
        "00000002 0000000000000001 fffffffe",
        "00000002 0000000000000001 001fffff",
        "00000001 0000000000000001 ffffffff 00000001 7fffffff",
        "00000001 0000000000000001 ffffffff 00000001 80000000",
    ] {
        assert!(matches!(Extent::new(MOST).find(&unhex(raw)), Err(PeerError::Length { .. })), "{raw}");
    }
    // A vector of two billion nulls is walked as it comes, and no further than what is taken.
    let mut raw = unhex("00000001 0000000000000001 ffffffff 7fffffff");
    let mut extent = Extent::new(1000);
    assert_eq!(extent.find(&raw), Ok(None));
    raw.resize(raw.len() + 1000, 0xff);
    assert_eq!(extent.find(&raw), Ok(None));
    raw.resize(raw.len() + 4, 0xff);
    assert!(extent.find(&raw).is_err());
    let exact = unhex("00000002 0000000000000001 00000004 01020304 80000000");
    assert_eq!(Extent::new(4).find(&exact), Ok(Some(exact.len())), "a negative count is an empty vector");
    assert!(Extent::new(3).find(&exact).is_err());
}

fn notification(config: &'static str) -> Notification {
    Notification {
        state: PeerState::Leading,
        vote: Vote { leader: ServerId(3), zxid: Zxid(0x1_0000_0008), epoch: Epoch(1) },
        round: 2,
        version: 2,
        config: Bytes::from_static(config.as_bytes()),
    }
}

#[test]
fn a_notification_byte_by_byte() {
    let mut out = Vec::new();
    vote::write(&notification("version=0"), &mut out);
    let want = "00000035 00000002 0000000000000003 0000000100000008 0000000000000002 0000000000000001 00000002 \
                00000009 76657273696f6e3d30";
    assert_eq!(out, unhex(want));
    assert_eq!(vote::length(*out.first_chunk().unwrap()), Ok(out.len() - 4));
    assert_eq!(vote::read(&out[4..]), Some(notification("version=0")));
}

#[test]
fn notifications_of_older_servers_and_broken_ones() {
    let fields = "00000000 0000000000000003 0000000200000008 0000000000000007";
    let read = |more: &str| vote::read(&unhex(&format!("{fields} {more}")));
    let of = |epoch, version, config: &'static str| {
        Some(Notification {
            state: PeerState::Looking,
            vote: Vote { leader: ServerId(3), zxid: Zxid(0x2_0000_0008), epoch: Epoch(epoch) },
            round: 7,
            version,
            config: Bytes::from_static(config.as_bytes()),
        })
    };
    assert_eq!(read(""), of(2, 0, ""), "28 bytes: the epoch of the zxid");
    assert_eq!(read("0000000000000005 00000001"), of(5, 0, ""), "40 bytes: the version is not read");
    assert_eq!(read("0000000000000005 00000001 00"), of(5, 1, ""));
    assert_eq!(read("0000000000000005 00000002 00000001 61 ffff"), of(5, 2, "a"), "more to come");
    for broken in [
        "00",
        "0000000000000005",
        "0000000000000005 000000",
        "0000000000000005 00000002 00",
        "0000000000000005 00000002 ffffffff",
        "0000000000000005 00000002 fffffffe 61",
        "0000000000000005 00000002 00000002 61",
        "0000000000000005 00000002 7fffffff 61",
    ] {
        assert_eq!(read(broken), None, "{broken}");
    }
    for short in 0..28 {
        assert_eq!(vote::read(&unhex(fields)[..short]), None);
    }
    for state in ["00000004", "ffffffff"] {
        assert_eq!(vote::read(&unhex(&format!("{state} {}", &fields[9..]))), None, "an unknown state");
    }
    for length in [0, -1, i32::MIN, 512 * 1024 + 1, i32::MAX] {
        assert!(vote::length(length.to_be_bytes()).is_err(), "{length}");
    }
    assert_eq!(vote::length((512 * 1024_i32).to_be_bytes()), Ok(512 * 1024));
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// What is read from these bytes, arriving in pieces of this length, and what is left behind it.
fn meet(bytes: &[u8], piece: usize) -> (std::io::Result<Hello>, Vec<u8>) {
    runtime().block_on(async {
        let (mut from, mut to) = tokio::io::duplex(piece.max(1));
        let writing = async {
            for part in bytes.chunks(piece.max(1)) {
                if to.write_all(part).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            drop(to);
        };
        let reading = async {
            let hello = hello::read(&mut from).await;
            let mut rest = Vec::new();
            from.read_to_end(&mut rest).await.unwrap();
            (hello, rest)
        };
        tokio::join!(reading, writing).0
    })
}

#[test]
fn introductions_are_read_to_the_byte() {
    let places = [Place::new("127.0.0.1", 3888), Place::new("::1", 3889)];
    let mut first = hello::write(ServerId(2), &places, false);
    assert_eq!(first, unhex("ffffffffffff0000 0000000000000002 0000000e 3132372e302e302e313a33383838"));
    first.extend(b"\0\0\0\x1c");
    let mut second = hello::write(ServerId(2), &places, true);
    assert_eq!(second[..8], unhex("ffffffffffff0001"));
    assert!(second.ends_with(b"127.0.0.1:3888|[::1]:3889"));
    second.extend(b"\0\0\0\x1c");
    for piece in [1, 2, 7, 8, 19, 20, 4096] {
        let (hello, rest) = meet(&first, piece);
        assert_eq!(hello.unwrap(), Hello { server: Some(ServerId(2)), places: places[..1].to_vec() });
        assert_eq!(rest, b"\0\0\0\x1c", "in pieces of {piece}");
        let (hello, rest) = meet(&second, piece);
        assert_eq!(hello.unwrap(), Hello { server: Some(ServerId(2)), places: places.to_vec() });
        assert_eq!(rest, b"\0\0\0\x1c");
    }
    let (hello, rest) = meet(&unhex("0000000000000007 0000001c"), 3);
    assert_eq!((hello.unwrap(), rest.len()), (Hello { server: Some(ServerId(7)), places: vec![] }, 4), "3.4");
    let (hello, _) = meet(&hello::write(ServerId(i64::MAX), &places, false), 64);
    assert_eq!(hello.unwrap().server, None, "an observer without a number");
    let wild = [Place::new("0.0.0.0", 1), Place::new("zk1", 2), Place::new("::", 3)];
    let (hello, _) = meet(&hello::write(ServerId(1), &wild, true), 64);
    assert_eq!(hello.unwrap().places, [Place::new("zk1", 2)]);
}

#[test]
fn introductions_that_are_none() {
    let with = |text: &str| {
        let mut raw = unhex("ffffffffffff0000 0000000000000002");
        raw.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
        raw.extend(text.as_bytes());
        raw
    };
    let crowd = (1..=17).map(|n| format!("h{n}:1")).collect::<Vec<_>>().join("|");
    for raw in [
        unhex("ffffffffffff0002 0000000000000002 00000003 613a31"),
        unhex("ffffffffffff0000 0000000000000002 00000000"),
        unhex("ffffffffffff0000 0000000000000002 ffffffff"),
        unhex("ffffffffffff0000 0000000000000002 00000801"),
        unhex("ffffffffffff0000 0000000000000002 7fffffff"),
        unhex("ffffffffffff0000 ffffffffffffffff 00000003 613a31"),
        with("nohost"),
        with("a:1|"),
        with("a:1|b:x"),
        with(&crowd),
        b"GET / HTTP/1.1\r\n\r\n".to_vec()[..4].to_vec(),
        with("a:1")[..22].to_vec(),
        vec![],
    ] {
        assert!(meet(&raw, 64).0.is_err(), "{raw:?}");
    }
    let most = "a".repeat(2046) + ":1";
    assert!(meet(&with(&most), 64).0.is_ok());
}

fn entries() -> impl Strategy<Value = Entry> {
    (any::<i64>(), proptest::collection::vec(any::<u8>(), 0..40))
        .prop_map(|(zxid, payload)| Entry { zxid: Zxid(zxid), payload: payload.into() })
}

/// Of characters that Java's writer keeps as they are.
fn identities() -> impl Strategy<Value = Option<Vec<Identity>>> {
    let one = ("[a-z]{0,5}", "[ -~à-ÿ一-十]{0,9}").prop_map(|(scheme, id)| Identity::new(&scheme, &id));
    proptest::option::of(proptest::collection::vec(one, 0..4))
}

/// Packets that this speaker sends.
fn packets() -> impl Strategy<Value = (Speaker, Packet)> {
    use Speaker::{Leader, Learner};
    let zxid = || any::<i64>().prop_map(Zxid);
    let epoch = || any::<i32>().prop_map(|epoch| Epoch(i64::from(epoch)));
    let blob = || proptest::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from);
    let session = || any::<i64>().prop_map(SessionId);
    let time = || (0..=i32::MAX).prop_map(|t| Millis(i64::from(t)));
    let server = || any::<i64>().prop_map(ServerId);
    prop_oneof![
        (any::<bool>(), epoch(), server(), any::<i32>(), any::<i64>()).prop_map(
            |(observer, accepted, server, protocol, config_version)| {
                let server = Some(server);
                let hello = LearnerHello { observer, accepted, server, protocol, config_version };
                (Learner, Packet::Hello(hello))
            }
        ),
        (epoch(), any::<i32>())
            .prop_map(|(epoch, protocol)| (Leader, Packet::LeaderInfo { epoch, protocol })),
        (zxid(), proptest::option::of((0..i32::MAX).prop_map(|epoch| Epoch(i64::from(epoch)))))
            .prop_map(|(last, current)| (Learner, Packet::AckEpoch { last, current })),
        zxid().prop_map(|z| (Leader, Packet::Diff(z))),
        zxid().prop_map(|z| (Leader, Packet::Trunc(z))),
        zxid().prop_map(|z| (Leader, Packet::Snap(z))),
        (epoch(), blob()).prop_map(|(epoch, config)| (Leader, Packet::NewLeader { epoch, config })),
        entries().prop_map(|e| (Leader, Packet::Proposal(e))),
        zxid().prop_map(|z| (Learner, Packet::Ack(z))),
        zxid().prop_map(|z| (Leader, Packet::Commit(z))),
        (zxid(), server()).prop_map(|(z, s)| (Leader, Packet::CommitAndActivate(z, s))),
        entries().prop_map(|e| (Leader, Packet::Inform(e))),
        (entries(), server()).prop_map(|(e, s)| (Leader, Packet::InformAndActivate(e, s))),
        zxid().prop_map(|z| (Leader, Packet::Ping(z))),
        (zxid(), proptest::collection::vec((session(), time()), 0..5))
            .prop_map(|(z, heard)| (Learner, Packet::Pong(z, heard))),
        (session(), any::<i32>(), any::<i32>(), blob(), identities()).prop_map(
            |(session, cxid, op, body, ids)| {
                (Learner, Packet::Request(Forwarded { session, cxid, op, body, ids }))
            }
        ),
        (session(), time()).prop_map(|(s, t)| (Learner, Packet::Revalidate(s, t))),
        (session(), any::<bool>()).prop_map(|(s, alive)| (Leader, Packet::Revalidated(s, alive))),
        Just((Leader, Packet::Sync)),
        Just((Leader, Packet::UpToDate)),
    ]
}

proptest! {
    #[test]
    fn packets_come_back_whatever_pieces_they_arrive_in(
        sent in proptest::collection::vec(packets(), 1..8),
        piece in 1_usize..60,
    ) {
        let mut stream = Vec::new();
        sent.iter().for_each(|(_, packet)| packet::write(packet, &mut stream));
        let (mut extent, mut read, mut came) = (Extent::new(MOST), Vec::new(), Vec::new());
        for part in stream.chunks(piece) {
            read.extend_from_slice(part);
            while let Some(length) = extent.find(&read).unwrap() {
                let speaker = sent[came.len()].0;
                came.push((speaker, packet::read(&read[..length], speaker).unwrap()));
                read.drain(..length);
            }
        }
        prop_assert_eq!(came, sent);
        prop_assert!(read.is_empty());
    }

    #[test]
    fn any_bytes_are_packets_or_refused(raw in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(Some(length)) = Extent::new(100).find(&raw) {
            for speaker in [Speaker::Learner, Speaker::Leader] {
                let _ = packet::read(&raw[..length], speaker);
            }
        }
        let _ = (vote::read(&raw), meet(&raw, 16));
    }

    #[test]
    fn notifications_come_back(
        state in 0..4, leader: i64, zxid: i64, round: i64, epoch: i64, version in 2..9, config in "\\PC{0,60}",
    ) {
        let state = [PeerState::Looking, PeerState::Following, PeerState::Leading, PeerState::Observing]
            [usize::try_from(state).unwrap()];
        let vote = Vote { leader: ServerId(leader), zxid: Zxid(zxid), epoch: Epoch(epoch) };
        let sent = Notification { state, vote, round, version, config: config.into() };
        let mut out = Vec::new();
        vote::write(&sent, &mut out);
        prop_assert_eq!(vote::read(&out[4..]), Some(sent));
    }
}
