//! Replies to the byte, and what reading leaves behind in the watches.

use super::*;
use crate::auth::{Identity, Rules};
use crate::state::Caller;
use crate::wire::{ReadRequest, Request};
use jute::records::data::Stat;
use jute::records::proto::{
    AddWatchRequest, GetAclResponse, GetChildren2Response, GetDataResponse, MultiHeader, NamesResponse,
    PathRequest, ReplyHeader, SetWatches2, WatchRequest, WatcherEvent, WatcherTypeRequest, WhoAmIResponse,
};
use jute::{ErrorCode, Reader};

const ME: WatcherId = WatcherId(3);

struct Reply {
    header: ReplyHeader,
    body: Vec<u8>,
    events: Vec<(i32, String)>,
}

fn ask_as(w: &World, ids: &[Identity], request: &ReadRequest<'_>) -> Reply {
    let rules = Rules::default();
    let caller = Caller { session: SessionId(7), ids, watcher: ME, rules: &rules };
    let mut out = b"before".to_vec();
    w.machine.answer(5, request, &caller, &w.watches, &mut out);
    assert_eq!(&out[..6], b"before");
    let mut r = Reader::new(&out[6..]);
    let mut events = Vec::new();
    loop {
        let frame = r.buffer().unwrap().unwrap();
        let mut frame = Reader::new(frame);
        let header = ReplyHeader::read(&mut frame).unwrap();
        if header.xid == -1 {
            assert_eq!(header.zxid, -1);
            let event = WatcherEvent::read(&mut frame).unwrap();
            events.push((event.kind, event.path.unwrap().into_owned()));
            continue;
        }
        assert_eq!(r.remaining(), 0);
        assert_eq!(header.zxid, w.zxid);
        assert!(header.err == 0 || frame.remaining() == 0, "an error has no body");
        return Reply { header, body: frame.rest().to_vec(), events };
    }
}

fn ask(w: &World, request: &ReadRequest<'_>) -> Reply {
    ask_as(w, &[], request)
}

fn error(w: &World, request: &ReadRequest<'_>) -> Option<ErrorCode> {
    ErrorCode::from_code(ask(w, request).header.err)
}

fn watch(path: &str, watch: bool) -> WatchRequest<'_> {
    WatchRequest { path: Some(path.into()), watch }
}

fn path(path: &str) -> PathRequest<'_> {
    PathRequest { path: Some(path.into()) }
}

/// `/open`, `/secret` (nobody may), `/write` (ADMIN only).
fn world_of_nodes() -> World {
    let mut w = World::new();
    for (name, perms) in [("/open", 31), ("/secret", 2), ("/admin", 16)] {
        w.apply(create(name));
        w.apply(Body::SetAcl(name.into(), world(perms), 1));
    }
    w
}

#[test]
fn errors_and_what_they_leave() {
    use ReadRequest as R;
    let w = world_of_nodes();
    let all = |p: &'static str| {
        [R::GetData(watch(p, true)), R::GetChildren(watch(p, true)), R::GetChildren2(watch(p, true))]
    };
    for request in all("/none").iter().chain(&[R::GetAcl(path("/none")), R::GetAllChildrenNumber(path("x"))])
    {
        assert_eq!(error(&w, request), Some(ErrorCode::NoNode), "{request:?}");
    }
    for request in
        all("/secret").iter().chain(&[R::GetAcl(path("/secret")), R::Exists(watch("/secret", true))])
    {
        assert_eq!(error(&w, request), Some(ErrorCode::NoAuth), "{request:?}");
    }
    assert_eq!(w.watches.counts().total, 0, "no watch is left");
    assert_eq!(error(&w, &R::Exists(watch("/no\0de", true))), Some(ErrorCode::BadArguments));
    assert_eq!(w.watches.counts().total, 0);
    assert_eq!(error(&w, &R::Exists(watch("/none", true))), Some(ErrorCode::NoNode));
    assert_eq!(w.watches.counts().total, 1, "but exists watches what is missing");
    let null = WatchRequest { path: None, watch: true };
    for request in [R::Exists(null.clone()), R::GetData(null), R::GetAcl(PathRequest { path: None })] {
        assert_eq!(error(&w, &request), Some(ErrorCode::MarshallingError));
    }
}

#[test]
fn data_stat_and_children() {
    use ReadRequest as R;
    let mut w = world_of_nodes();
    w.apply(create("/open/x"));
    w.apply(create("/open/y"));
    let stat = w.machine.shown_stat(w.machine.tree.find("/open").unwrap());
    let want = jute::encode(&GetDataResponse { data: Some(b"data"), stat: stat.clone() });
    assert_eq!(ask(&w, &R::GetData(watch("/open", true))).body, want);
    assert_eq!(ask(&w, &R::Exists(watch("/open", false))).body, jute::encode(&stat));
    let names = || Some(vec![Some("y".into()), Some("x".into())]);
    let want = jute::encode(&NamesResponse { names: names() });
    assert_eq!(ask(&w, &R::GetChildren(watch("/open", true))).body, want);
    let want = jute::encode(&GetChildren2Response { children: names(), stat });
    assert_eq!(ask(&w, &R::GetChildren2(watch("/open", true))).body, want);
    assert_eq!(w.watches.counts().total, 2, "one of data, one of children");
    let number = |p| ask(&w, &R::GetAllChildrenNumber(path(p))).body;
    assert_eq!((number("/open"), number("/open/x")), (vec![0, 0, 0, 2], vec![0; 4]));
    assert_eq!((number("/"), number("")), (vec![0, 0, 0, 8], vec![0, 0, 0, 9]), "the root's two names");
}

#[test]
fn a_fresh_root_has_three_below_it() {
    let reply = ask(&World::new(), &ReadRequest::GetAllChildrenNumber(path("/")));
    assert_eq!(reply.body, [0, 0, 0, 3]);
}

#[test]
fn pings() {
    let w = world_of_nodes();
    let header = ask(&w, &ReadRequest::Ping).header;
    assert_eq!(header, ReplyHeader { xid: -2, zxid: 6, err: 0 });
}

#[test]
fn the_sheet_s_no_node() {
    let mut w = World::new();
    w.apply(create("/a"));
    w.apply(create("/c"));
    let frame = unhex("00000002 00000003 00000002 2f62 01");
    let Ok(Request::Read(request)) = crate::wire::parse(&frame).unwrap().request else { panic!() };
    let (rules, mut out) = (Rules::default(), Vec::new());
    let caller = Caller { session: SessionId(7), ids: &[], watcher: ME, rules: &rules };
    w.machine.answer(2, &request, &caller, &w.watches, &mut out);
    assert_eq!(hex(&out), "00000010000000020000000000000002ffffff9b");
    w.apply(create("/b"));
    assert_eq!(w.told(), [(1, "/b".to_owned(), 3, vec![3])]);
}

#[test]
fn hashes_stay_hidden_without_admin() {
    let mut w = World::new();
    let digest = |perms| AclEntry { perms, scheme: "digest".into(), id: "bob:hash".into() };
    let open = AclEntry { perms: 1, ..AclEntry::open() };
    w.apply(create("/a"));
    w.apply(Body::SetAcl("/a".into(), vec![digest(31).record(), open.record()], 1));
    let ids = |ids: &[Identity]| {
        let reply = ask_as(&w, ids, &ReadRequest::GetAcl(path("/a")));
        let mut r = Reader::new(&reply.body);
        let acl = GetAclResponse::read(&mut r).unwrap();
        assert_eq!(acl.stat.aversion, 1);
        acl.acl.unwrap().iter().map(|a| a.id.id.clone().unwrap().into_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&[]), ["bob:x", "anyone"]);
    assert_eq!(ids(&[Identity::new("digest", "bob:hash")]), ["bob:hash", "anyone"]);
    assert_eq!(ids(&[Identity::new("super", "")]), ["bob:hash", "anyone"]);
    let admin = world_of_nodes();
    assert_eq!(error(&admin, &ReadRequest::GetAcl(path("/admin"))), Some(ErrorCode::Ok), "ADMIN will do");
}

#[test]
fn own_ephemerals_by_prefix_of_text() {
    let mut w = World::new();
    for p in ["/ab", "/ac", "/b"] {
        w.apply(ephemeral(p, 7));
    }
    w.apply_for(8, ephemeral("/ad", 8));
    let of = |p: Option<&str>| {
        let request = PathRequest { path: p.map(|p| p.to_owned().into()) };
        let reply = ask(&w, &ReadRequest::GetEphemerals(request));
        let names = NamesResponse::read(&mut Reader::new(&reply.body)).unwrap().names.unwrap();
        names.into_iter().map(|n| n.unwrap().into_owned()).collect::<Vec<_>>()
    };
    for all in [None, Some(""), Some("/"), Some(" ")] {
        assert_eq!(of(all), ["/ab", "/ac", "/b"]);
    }
    assert_eq!((of(Some("/a")), of(Some("/x"))), (vec!["/ab".into(), "/ac".into()], vec![]));
}

#[test]
fn several_reads_stand_alone() {
    use crate::wire::multi::ReadOp;
    let w = world_of_nodes();
    let ops = vec![
        ReadOp::GetData(watch("/secret", true)),
        ReadOp::GetData(watch("/open", true)),
        ReadOp::GetChildren(watch("/open", true)),
        ReadOp::GetChildren(watch("/none", true)),
    ];
    let body = ask(&w, &ReadRequest::MultiRead(ops)).body;
    let mut want = Vec::new();
    let header = |op, err| MultiHeader { op, done: false, err };
    header(-1, -102).write(&mut want);
    (-102_i32).write(&mut want);
    header(4, 0).write(&mut want);
    let stat = w.machine.shown_stat(w.machine.tree.find("/open").unwrap());
    GetDataResponse { data: Some(b"data"), stat }.write(&mut want);
    header(8, 0).write(&mut want);
    NamesResponse { names: Some(vec![]) }.write(&mut want);
    header(-1, -101).write(&mut want);
    (-101_i32).write(&mut want);
    MultiHeader { op: -1, done: true, err: -1 }.write(&mut want);
    assert_eq!((hex(&body), w.watches.counts().total), (hex(&want), 0));
}

#[test]
fn who_am_i() {
    let w = World::new();
    let ids =
        [Identity::new("ip", "127.0.0.1"), Identity::new("digest", "bob:h"), Identity::new("super", "")];
    let body = ask_as(&w, &ids, &ReadRequest::WhoAmI).body;
    let info = WhoAmIResponse::read(&mut Reader::new(&body)).unwrap().client_info.unwrap();
    let pairs: Vec<_> = info.into_iter().map(|i| (i.auth_scheme.unwrap(), i.user.unwrap())).collect();
    assert_eq!(
        pairs,
        [("ip".into(), "127.0.0.1".into()), ("digest".into(), "bob".into()), ("super".into(), "".into())]
    );
}

#[test]
fn watches_are_added_checked_and_removed() {
    use ReadRequest as R;
    let w = World::new();
    let add = |mode| R::AddWatch(AddWatchRequest { path: Some("/x".into()), mode });
    assert_eq!(ask(&w, &add(0)).body, [0; 4]);
    assert_eq!(ask(&w, &add(1)).body, [0; 4]);
    assert_eq!(error(&w, &add(2)), Some(ErrorCode::MarshallingError));
    let kind = |kind| WatcherTypeRequest { path: Some("/x".into()), kind };
    for (k, want) in [(1, -121), (2, -121), (3, 0), (4, 0), (5, 0), (6, -5), (0, -5)] {
        assert_eq!(ask(&w, &R::CheckWatches(kind(k))).header.err, want, "{k}");
    }
    for (k, want) in [(4, 0), (4, -121), (3, 0), (3, -121), (9, -5)] {
        assert_eq!(ask(&w, &R::RemoveWatches(kind(k))).header.err, want, "{k}");
    }
    assert_eq!(w.watches.counts().total, 0);
}

#[test]
fn set_watches_makes_up_for_what_was_missed() {
    let mut w = World::new();
    for p in ["/old", "/new", "/again"] {
        w.apply(create(p));
    }
    let seen = w.zxid;
    w.apply(set_data("/new", b"", 1));
    w.apply(create("/new/child"));
    w.apply(delete("/again"));
    w.apply(create("/again"));
    let list = |paths: &[&str]| Some(paths.iter().map(|p| Some((*p).to_owned().into())).collect());
    let request = |persistent| SetWatches2 {
        relative_zxid: seen,
        data: list(&["/gone", "/new", "/old", "/again"]),
        exist: list(&["/old", "/gone"]),
        child: list(&["/gone", "/new", "/old"]),
        persistent,
        persistent_recursive: list(&["/r"]),
    };
    let null = ask(&w, &ReadRequest::SetWatches(request(None)));
    assert_eq!(
        (null.header.err, null.events.len(), w.watches.counts().total),
        (-5, 6, 3),
        "what came before"
    );
    w.watches.drop_watcher(WatcherId(1));
    let reply = ask(&w, &ReadRequest::SetWatches(request(list(&["/p"]))));
    let event = |kind, path: &str| (kind, path.to_owned());
    assert_eq!(
        reply.events,
        [
            event(2, "/gone"),
            event(3, "/new"),
            event(3, "/again"),
            event(1, "/old"),
            event(2, "/gone"),
            event(4, "/new"),
        ]
    );
    assert_eq!((reply.header, reply.body.len()), (ReplyHeader { xid: 5, zxid: w.zxid, err: 0 }, 0));
    assert_eq!(
        w.watches.by_path().iter().map(|(p, _)| &**p).collect::<Vec<_>>(),
        ["/gone", "/old", "/p", "/r"]
    );
    assert_eq!(w.watches.counts().total, 6, "of /old data and children, of /p both");
    let _: Stat = w.machine.shown_stat(crate::state::tree::ROOT);
}
