//! Sound inputs, made with the product's own writers or written down: mutations of them get deeper than chance alone.

use flate2::Compression as Level;
use flate2::write::GzEncoder;
use jute::codes::perms;
use jute::records::data::{Acl, Id, StatPersisted};
use jute::records::proto::{
    AddWatchRequest, AuthPacket, CheckVersionRequest, ConnectRequest, CreateRequest, CreateTtlRequest,
    DeleteRequest, MultiHeader, PathRequest, ReconfigRequest, SetAclRequest, SetDataRequest, SetWatches2,
    WatchRequest, WatcherTypeRequest,
};
use jute::records::txn::{
    CloseSessionTxn, CreateContainerTxn, CreateSessionTxn, CreateTtlTxn, CreateTxn, DeleteTxn, ErrorTxn,
    MultiTxn, SetAclTxn, SetDataTxn, SubTxn, TxnDigest, TxnHeader,
};
use jute::{OpCode, Record, encode};
use quoll::store::format::log;
use quoll::store::format::mark::Mark;
use quoll::store::format::snapshot::{Encoder, empty};
use quoll::store::{Trailer, TreeDigest};
use quoll::types::{SessionId, Zxid};
use std::io::Write as _;

pub(super) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| {
        u8::from_str_radix(std::str::from_utf8(pair).unwrap_or_default(), 16).unwrap_or_default()
    };
    digits.chunks(2).map(byte).collect()
}

fn open() -> Option<Vec<Acl<'static>>> {
    let id = Id { scheme: Some("world".into()), id: Some("anyone".into()) };
    Some(vec![Acl { perms: perms::ALL, id }])
}

fn owned() -> Option<Vec<Acl<'static>>> {
    let id = Id { scheme: Some("auth".into()), id: Some("".into()) };
    let digest = Id { scheme: Some("digest".into()), id: Some("bob:WGAwC+XYxdw8bJ5K6KcPh8oL58U=".into()) };
    Some(vec![Acl { perms: perms::ALL, id }, Acl { perms: perms::READ, id: digest }])
}

fn create(path: &'static str, flags: i32) -> CreateRequest<'static> {
    CreateRequest { path: Some(path.into()), data: Some(b"hi"), acl: open(), flags }
}

/// A frame without its prefix.
fn request<'a>(op: OpCode, body: &impl Record<'a>) -> Vec<u8> {
    let mut frame = vec![0, 0, 0, 1];
    frame.extend(op.code().to_be_bytes());
    body.write(&mut frame);
    frame
}

fn operations(ops: &[(OpCode, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (op, body) in ops {
        MultiHeader { op: op.code(), done: false, err: -1 }.write(&mut out);
        out.extend(body);
    }
    MultiHeader { op: -1, done: true, err: -1 }.write(&mut out);
    out
}

fn path(path: &'static str) -> PathRequest<'static> {
    PathRequest { path: Some(path.into()) }
}

fn watch(path: &'static str) -> WatchRequest<'static> {
    WatchRequest { path: Some(path.into()), watch: true }
}

fn set_data(path: &'static str, data: &'static [u8], version: i32) -> SetDataRequest<'static> {
    SetDataRequest { path: Some(path.into()), data: Some(data), version }
}

fn delete(path: &'static str) -> DeleteRequest<'static> {
    DeleteRequest { path: Some(path.into()), version: -1 }
}

/// One request of every kind, in an order that makes most of them succeed.
fn requests() -> Vec<Vec<u8>> {
    use OpCode as O;
    let names = Some(vec![Some("/a".into()), None, Some("/none".into())]);
    let kind = |kind| WatcherTypeRequest { path: Some("/a".into()), kind };
    let auth = AuthPacket { kind: 0, scheme: Some("digest".into()), auth: Some(b"bob:bobsecret") };
    let mut all = vec![
        request(O::Ping, &()),
        request(O::Auth, &auth),
        request(O::Exists, &watch("/a")),
        request(O::AddWatch, &AddWatchRequest { path: Some("/".into()), mode: 1 }),
        request(O::AddWatch, &AddWatchRequest { path: Some("/a".into()), mode: 0 }),
        request(O::Create, &create("/a", 0)),
        request(O::Create2, &create("/a/e", 1)),
        request(O::Create, &create("/a/s-", 2)),
        request(O::Create, &create("/a/es-", 3)),
        request(O::CreateContainer, &create("/c", 4)),
        request(O::Create, &CreateRequest { acl: owned(), ..create("/a/mine", 0) }),
        request(
            O::CreateTtl,
            &CreateTtlRequest { path: Some("/t".into()), data: None, acl: open(), flags: 5, ttl: 60_000 },
        ),
        request(O::GetData, &watch("/a")),
        request(O::GetChildren, &watch("/a")),
        request(O::GetChildren2, &watch("/")),
        request(O::GetAcl, &path("/a/mine")),
        request(O::GetEphemerals, &path("/")),
        request(O::GetAllChildrenNumber, &path("/")),
        request(O::SetData, &set_data("/a", b"more", 0)),
        request(O::SetAcl, &SetAclRequest { path: Some("/a".into()), acl: owned(), version: -1 }),
        request(O::Sync, &path("/a")),
        request(O::CheckWatches, &kind(2)),
        request(O::RemoveWatches, &kind(3)),
        request(O::WhoAmI, &()),
        request(
            O::SetWatches2,
            &SetWatches2 {
                relative_zxid: 0,
                data: names.clone(),
                exist: names.clone(),
                child: names.clone(),
                persistent: names.clone(),
                persistent_recursive: names,
            },
        ),
        request(O::Create, &create("/zookeeper/quota/a", 0)),
        request(
            O::Create,
            &CreateRequest {
                data: Some(b"count=3,bytes=40"),
                ..create("/zookeeper/quota/a/zookeeper_limits", 0)
            },
        ),
        request(O::Create, &create("/a/too-many", 0)),
        request(O::SetData, &set_data("/a", b"longer than the quota of this path lets anybody write", -1)),
        request(
            O::Reconfig,
            &ReconfigRequest {
                joining_servers: Some("server.2=h:1:2;3".into()),
                cur_config_id: -1,
                ..Default::default()
            },
        ),
        request(O::Delete, &delete("/a/e")),
        request(O::Delete, &delete("/a")),
        request(O::CloseSession, &()),
    ];
    for body in multis() {
        let mut frame = request(O::Multi, &());
        frame.extend(&body);
        all.insert(12, frame);
        let mut frame = request(O::MultiRead, &());
        frame.extend(&body);
        all.insert(12, frame);
    }
    all
}

pub(super) fn multis() -> Vec<Vec<u8>> {
    use OpCode as O;
    let check = CheckVersionRequest { path: Some("/a".into()), version: 0 };
    vec![
        operations(&[]),
        operations(&[(O::Create, encode(&create("/m", 0))), (O::Create2, encode(&create("/m/s-", 2)))]),
        operations(&[
            (O::Check, encode(&check)),
            (O::SetData, encode(&set_data("/a", b"x", -1))),
            (O::Delete, encode(&delete("/missing"))),
        ]),
        operations(&[(O::CreateContainer, encode(&create("/mc", 4))), (O::Delete, encode(&delete("/mc")))]),
        operations(&[(O::GetData, encode(&watch("/a"))), (O::GetChildren, encode(&watch("/")))]),
    ]
}

pub(super) fn frames() -> Vec<Vec<u8>> {
    let with_prefix = |frame: &Vec<u8>| [&(frame.len() as u32).to_be_bytes(), frame.as_slice()].concat();
    let all = requests();
    let mut seeds: Vec<Vec<u8>> = all.iter().map(with_prefix).collect();
    seeds.push(seeds.concat());
    seeds
}

pub(super) fn sessions() -> Vec<Vec<u8>> {
    let moves = |how: &dyn Fn(usize) -> u8| -> Vec<u8> {
        let all = requests();
        let one = |(i, frame): (usize, &Vec<u8>)| {
            [&[how(i)], &(frame.len() as u16).to_be_bytes()[..], frame].concat()
        };
        all.iter().enumerate().flat_map(one).collect()
    };
    vec![
        // One client, each write on disk at once; one client, pipelined; three clients, all kinds of moments.
        moves(&|_| 0x20),
        moves(&|_| 0x0c),
        moves(&|i| (i * 37) as u8),
        moves(&|i| 0x0c + (i % 3) as u8),
    ]
}

pub(super) fn handshakes() -> Vec<Vec<u8>> {
    let request = ConnectRequest { time_out: 30_000, passwd: Some(&[0; 16]), ..Default::default() };
    let old = encode(&request);
    let resumed = ConnectRequest { last_zxid_seen: 7, session_id: 0x0100_0000_0000_0000, ..request };
    vec![[old.clone(), vec![0]].concat(), [encode(&resumed), vec![1]].concat(), old]
}

pub(super) fn texts() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> =
        ["/", "/a/b", "/zookeeper/quota", "/ä/漢/😀", "/a/../b", "/\u{9f}"].map(|s| s.into()).to_vec();
    seeds.push(b"/\xed\xa0\x80\xf0\x9f\x98\xc0\x80\xf4\x90\x80\x80\xe2\x82".to_vec());
    seeds
}

fn transaction<'a>(zxid: i64, op: OpCode, body: &impl Record<'a>) -> Vec<u8> {
    let mut out = encode(&TxnHeader { client_id: 7, cxid: 1, zxid, time: 1_700_000_000_000, op: op.code() });
    body.write(&mut out);
    if op != OpCode::Error {
        TxnDigest { version: 2, tree_digest: 0x51c6_d660 }.write(&mut out);
    }
    out
}

pub(super) fn transactions() -> Vec<Vec<u8>> {
    use OpCode as O;
    let (a, data) = (Some("/a".into()), Some(&b"data"[..]));
    let created = CreateTxn { path: a.clone(), data, acl: open(), ephemeral: true, parent_c_version: 1 };
    let bodies = [
        (O::Create, encode(&created)),
        (O::SetData, encode(&SetDataTxn { path: a.clone(), data, version: 1 })),
    ];
    let part = |(op, body): &'static (OpCode, Vec<u8>)| SubTxn { op: op.code(), data: Some(body) };
    // Leaked once per run: the parts borrow from it.
    let bodies: &'static [(OpCode, Vec<u8>)] = Box::leak(Box::new(bodies));
    vec![
        transaction(1, O::CreateSession, &CreateSessionTxn { time_out: 20_000 }),
        transaction(2, O::Create, &created),
        transaction(
            3,
            O::CreateTtl,
            &CreateTtlTxn { path: Some("/t".into()), data, acl: open(), parent_c_version: 2, ttl: 60_000 },
        ),
        transaction(
            4,
            O::CreateContainer,
            &CreateContainerTxn { path: Some("/c".into()), data, acl: open(), parent_c_version: 3 },
        ),
        transaction(5, O::SetData, &SetDataTxn { path: a.clone(), data, version: 1 }),
        transaction(6, O::SetAcl, &SetAclTxn { path: a.clone(), acl: owned(), version: 1 }),
        transaction(7, O::Multi, &MultiTxn { txns: Some(bodies.iter().map(part).collect()) }),
        transaction(8, O::Error, &ErrorTxn { err: -110 }),
        transaction(9, O::Delete, &DeleteTxn { path: a }),
        transaction(10, O::CloseSession, &CloseSessionTxn { paths_to_delete: Some(vec![Some("/a".into())]) }),
    ]
}

pub(super) fn logs() -> Vec<Vec<u8>> {
    let mut whole = log::header().to_vec();
    let mut seeds = vec![whole.clone()];
    for payload in transactions() {
        log::push_record(&mut whole, &payload);
    }
    let mut padded = whole.clone();
    padded.resize(8192, 0);
    let mut torn = whole.clone();
    torn.truncate(whole.len() - 20);
    torn.resize(4096, 0);
    seeds.extend([whole, padded, torn]);
    seeds
}

fn plain_snapshots() -> Vec<Vec<u8>> {
    let acls = vec![(1, open().unwrap_or_default()), (2, owned().unwrap_or_default())];
    let mut encoder = Encoder::new(&[(SessionId(7), 4000), (SessionId(8), 40_000)], &acls);
    let stat =
        |owner| StatPersisted { czxid: 3, mzxid: 4, ephemeral_owner: owner, pzxid: 5, ..Default::default() };
    for (path, acl, owner) in [
        ("", -1, 0),
        ("/zookeeper", -1, 0),
        ("/zookeeper/quota", -1, 0),
        ("/a", 1, 0),
        ("/a/e", 2, 7),
        ("/c", 1, i64::MIN),
    ] {
        encoder.node(path, Some(b"some data"), acl, &stat(owner));
    }
    let digest = TreeDigest { zxid: Zxid(5), version: 2, value: 0x1234 };
    encoder.finish(&Trailer { digest: Some(digest), last_zxid: Some(Zxid(5)) });
    vec![empty(), encoder.buffered().to_vec()]
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Level::default());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).unwrap_or_default()
}

fn snappied(bytes: &[u8]) -> Vec<u8> {
    let mut out = unhex("82534e4150505900 00000001 00000001");
    let packed = snap::raw::Encoder::new().compress_vec(bytes).unwrap_or_default();
    out.extend((packed.len() as u32).to_be_bytes());
    out.extend(packed);
    out
}

pub(super) fn snapshots() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for plain in plain_snapshots() {
        seeds.push([vec![0x10], plain.clone()].concat());
        seeds.push([vec![0x41], plain.clone()].concat());
        seeds.push([vec![0x22], gzipped(&plain)].concat());
        seeds.push([vec![0x33], snappied(&plain)].concat());
    }
    // A bomb: a mebibyte of zeros in a kilobyte.
    seeds.push([vec![0x02], gzipped(&vec![0; 1 << 20])].concat());
    seeds.push([vec![0x03], snappied(&vec![0; 1 << 20])].concat());
    seeds
}

pub(super) fn epochs() -> Vec<Vec<u8>> {
    let mark = Mark { file: Zxid(1), offset: 4711, last: Zxid(9) }.encode();
    let names = "log.1\nsnapshot.0\nsnapshot.100000005.gz\nsnapshot.5.snappy\nlog.ffffffffffffffff\nlog.\nacceptedEpoch";
    vec![b"12".to_vec(), b"7\n".to_vec(), b"9223372036854775807".to_vec(), mark.to_vec(), names.into()]
}

pub(super) fn directories() -> Vec<Vec<u8>> {
    let files = |files: &[&[u8]]| -> Vec<u8> {
        let one = |file: &&[u8]| [&(file.len() as u16).to_be_bytes()[..], file].concat();
        std::iter::once(0).chain(files.iter().flat_map(one)).collect()
    };
    let (snapshots, logs) = (plain_snapshots(), logs());
    let [empty, full] = snapshots.as_slice() else { return Vec::new() };
    let late: Vec<u8> = {
        let mut out = log::header().to_vec();
        for payload in transactions().iter().skip(5) {
            log::push_record(&mut out, payload);
        }
        out
    };
    vec![
        files(&[empty, &logs[1]]),
        files(&[empty, &logs[2], b"1", b"1"]),
        files(&[empty, &logs[3], b"", b"", full, &late]),
        files(&[b"", b"", b"", b"", full, &late, &snappied(full)]),
    ]
}

pub(super) fn zoo_cfgs() -> Vec<Vec<u8>> {
    let sample = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../zoo.cfg.sample"));
    let ensemble = "tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir=/d\nclientPort=2181\nserver.1=h1:2888:3888;2181\n\
                    server.2=h2:2888:3888|h3:1:2:observer;0.0.0.0:2182\ngroup.1=1:2\nweight.1=2\n";
    let odd = "dataDir = /d\\\n  /e\nclientPort:2181\n! c\n# c\nautopurge.purgeInterval 1\n4lw.commands.whitelist=*\n\
               secureClientPort=2281\nssl.keyStore.password=secret\nmetricsProvider.httpPort=7000\nminSessionTimeout=-1\n\\u0061=b\n";
    vec![sample.unwrap_or_default(), ensemble.into(), odd.into()]
}

pub(super) fn tomls() -> Vec<Vec<u8>> {
    let sample = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/quoll.toml.sample"));
    vec![sample.unwrap_or_default(), b"[client]\nport = 2181\n[data]\ndir = \"/d\"\n".to_vec()]
}

pub(super) fn servers() -> Vec<Vec<u8>> {
    let lines = [
        "server.1=127.0.0.1:26181:27181:participant;127.0.0.1:28181\nserver.2=h:1:2:observer;3\nversion=100000000",
        "server.1=[::1]:2888:3888;[::]:2181\nserver.2=a:1:2|b:3:4\ngroup.1=1\ngroup.2=2\nweight.2=5\nversion=a",
        "h:1:2\nh:1:2:participant;0.0.0.0:4\n[fe80::1]:1:2:observer",
        // A backslash that survives reading does not survive being written and read again.
        "server.1=127.0.0.1\\\\:26181:27181:participant;127.0.0.1:28181\nversion=100000000",
    ];
    lines.map(|text| text.into()).to_vec()
}

pub(super) fn words() -> Vec<Vec<u8>> {
    let words = [
        "conf",
        "cons",
        "crst",
        "dirs",
        "dump",
        "envi",
        "gtmk",
        "hash",
        "isro",
        "mntr",
        "ruok",
        "srst",
        "srvr",
        "stat",
        "stmk",
        "wchc",
        "wchp",
        "wchs",
        "reqs",
        "\u{1}\u{2}\u{3}\u{4}",
    ];
    let rest = "/a/b\n/zookeeper/quota\n\r\n0123456789abcdef/x\u{7f}\n/ä";
    words.iter().map(|word| [word.as_bytes(), &[0; 8], rest.as_bytes()].concat()).collect()
}
