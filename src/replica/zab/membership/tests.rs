//! Requests, and what memberships do to roles.

use super::*;
use crate::auth::{AuthSettings, Rules};
use crate::replica::ReplicaSettings;
use crate::replica::io::Effects;
use crate::replica::zab::member::Begin;
use crate::replica::zab::{EnsembleSettings, Ledger, Member as Server};
use crate::state::Machine;
use crate::types::{Epoch, Now};

fn membership(text: &str) -> Arc<Membership> {
    Arc::new(Membership::from_text(text.as_bytes(), false).unwrap())
}

const THREE: &str = "server.1=a:1:2:participant;a:9\nserver.2=b:1:2:participant;b:9\n\
    server.3=c:1:2:participant;c:9\nversion=100000000";
const ZXID: Zxid = Zxid(0x1_0000_0005);

fn change<'a>(joining: &'a str, leaving: &'a str) -> Change<'a> {
    Change { joining: Some(joining), leaving: Some(leaving), members: None, base: -1 }
}

fn asked(change: &Change<'_>) -> String {
    shown(reshape(&Views::new(membership(THREE)), change, ZXID, 2, false))
}

fn shown(result: Result<Membership, ErrorCode>) -> String {
    match result {
        Ok(m) => m.members.values().map(|m| format!("{}={m}", m.id)).collect::<Vec<_>>().join(" "),
        Err(code) => format!("{code:?}"),
    }
}

#[test]
fn servers_join_and_leave() {
    let all = "1=a:1:2:participant;a:9 2=b:1:2:participant;b:9 3=c:1:2:participant;c:9";
    for (joining, leaving, outcome) in [
        ("", "", all.to_owned()),
        ("server.4=d:1:2;d:9", "", format!("{all} 4=d:1:2:participant;d:9")),
        (" server.4 = d:1:2:observer;9 ,", "", format!("{all} 4=d:1:2:observer;0.0.0.0:9")),
        ("", "3", all.replace(" 3=c:1:2:participant;c:9", "")),
        ("", " 3 , 77", all.replace(" 3=c:1:2:participant;c:9", "")),
        // The address of one that leaves is free, and a server may change its own.
        ("server.4=c:1:2;c:9", "3", all.replace("3=c", "4=c")),
        ("server.3=c:1:2:observer;c:9", "", all.replace("c:1:2:participant", "c:1:2:observer")),
        (
            "server.4=127.0.0.1:1:2;9,server.5=127.0.0.1:1:2;9",
            "",
            format!("{all} 4=127.0.0.1:1:2:participant;0.0.0.0:9 5=127.0.0.1:1:2:participant;0.0.0.0:9"),
        ),
        ("server.4=c:1:7;d:9", "", "BadArguments".to_owned()),
        ("server.4=d:5:9;d:8,server.5=e:1:2;d:9", "", "BadArguments".to_owned()),
        ("server.4=d:1:2", "", "BadArguments".to_owned()),
        ("server.4=d:1;9", "", "BadArguments".to_owned()),
        ("server.4", "", "BadArguments".to_owned()),
        ("server.4=d:1:2=x;9", "", "BadArguments".to_owned()),
        ("server.x=d:1:2;9", "", "MarshallingError".to_owned()),
        ("", "x", "MarshallingError".to_owned()),
        ("", "2,3", "BadArguments".to_owned()),
        ("", "1,2,3", "BadArguments".to_owned()),
    ] {
        assert_eq!(asked(&change(joining, leaving)), outcome, "{joining} / {leaving}");
    }
}

#[test]
fn a_whole_list_replaces_all() {
    let whole = |list, min| {
        let change = Change { joining: Some("x"), leaving: None, members: Some(list), base: -1 };
        shown(reshape(&Views::new(membership(THREE)), &change, ZXID, min, false))
    };
    let two = "1=a:1:2:participant;0.0.0.0:9 5=e:1:2:participant";
    assert_eq!(whole("server.1=a:1:2;9,server.5=e:1:2", 2), two);
    assert_eq!(whole("server.1=a:1:2;9\nserver.5=e:1:2\nversion=77", 2), two);
    assert_eq!(whole("server.1=a:1:2;9", 2), "BadArguments");
    assert_eq!(whole("server.1=a:1:2;9", 1), "1=a:1:2:participant;0.0.0.0:9");
    assert_eq!(whole("server.1=a:1:2;9,foo=1", 2), "BadArguments");
    assert_eq!(whole("server.1=a:1:2:observer;9", 2), "MarshallingError");
    assert_eq!(whole("", 2), "BadArguments");
    assert_eq!(whole("", 1), "MarshallingError");
}

#[test]
fn checks_come_in_the_order_of_the_reference() {
    let mut views = Views::new(membership(THREE));
    let bad = Change { base: 7, ..change("server.4", "") };
    assert_eq!(shown(reshape(&views, &bad, ZXID, 2, false)), "BadVersion");
    let right = Change { base: 0x1_0000_0000, ..change("", "") };
    assert_eq!(reshape(&views, &right, ZXID, 2, false).unwrap().version, ZXID.0);
    views.propose(membership(&THREE.replace("100000000", "100000004")));
    assert_eq!(shown(reshape(&views, &bad, ZXID, 2, false)), "ReconfigInProgress");
    let groups = format!("group.1=1:2:3\n{THREE}");
    assert_eq!(shown(reshape(&Views::new(membership(&groups)), &right, ZXID, 2, false)), "BadArguments");
}

fn server(id: i64, text: &str, enabled: bool) -> Server {
    let begin = Begin {
        id: ServerId(id),
        views: Views::new(membership(text)),
        ledger: Ledger::new(Zxid(7), [], 500),
        accepted: Epoch(1),
        current: Epoch(1),
        may_vote: true,
        fresh: false,
        seed: 1,
    };
    let settings = ReplicaSettings { reconfig_enabled: enabled, ..ReplicaSettings::default() };
    let rules = Rules::new(AuthSettings::default());
    let mut server = Server::new(begin, settings, EnsembleSettings::default(), rules, Now::default());
    server.vote = Vote { leader: ServerId(3), zxid: Zxid(7), epoch: Epoch(1) };
    server
}

fn committed(me: &mut Server, text: &str, designated: Option<i64>) -> (Flow, Vec<&'static str>) {
    let mut out = Effects::new();
    let tree = Machine::new(Default::default());
    let mut ctx = Ctx { now: Now::default(), tree: &tree, me, out: &mut out };
    let flow = commit(&mut ctx, membership(text), designated.map(ServerId), ZXID);
    let names = out.iter().filter_map(|e| match e {
        Effect::Config(ConfigEffect::Commit(_)) => Some("commit"),
        Effect::Config(ConfigEffect::Propose(_)) => Some("propose"),
        Effect::ShowConfig(_) => Some("show"),
        _ => None,
    });
    (flow, names.collect())
}

#[test]
fn a_membership_in_force_keeps_changes_or_ends_a_role() {
    let next = |from: &str, to: &str| THREE.replace("100000000", "100000005").replace(from, to);
    let kind = |flow: &Flow| match flow {
        Flow::Stay => "stay".to_owned(),
        Flow::Follow(vote) => format!("follow {}", vote.leader.0),
        Flow::Leave(_) => "leave".to_owned(),
        Flow::Elected { .. } => "elected".to_owned(),
    };
    let four = next("version", "server.4=d:1:2\nversion");
    for (id, text, designated, flow) in [
        (1, four.clone(), Some(3), "stay"),
        (1, four.clone(), None, "stay"),
        (1, next("?", "?"), None, "stay"),
        // Its role changes: the leader is known.
        (1, next("a:1:2:participant", "a:1:2:observer"), Some(3), "follow 3"),
        (1, next("a:1:2:participant", "a:1:2:observer"), None, "leave"),
        (4, four, Some(3), "stay"),
        // The leader goes, or moves.
        (1, next("server.3=c:1:2:participant;c:9\n", ""), Some(2), "follow 2"),
        (3, next("server.3=c:1:2:participant;c:9\n", ""), Some(2), "follow 2"),
        (1, next("server.3=c:1:2:participant;c:9\n", ""), None, "leave"),
        (1, next("c:1:2", "c:7:2"), None, "leave"),
        (1, next("c:1:2", "c:1:7"), None, "stay"),
        // Not in it any more: a follower without a vote.
        (1, next("server.1=a:1:2:participant;a:9\n", ""), Some(3), "stay"),
    ] {
        let (became, effects) = committed(&mut server(id, THREE, true), &text, designated);
        assert_eq!(kind(&became), flow, "{id} {designated:?} {text}");
        assert_eq!(effects, ["commit", "show"]);
    }
}

#[test]
fn what_is_known_is_only_shown_and_nothing_happens_where_it_is_switched_off() {
    let mut me = server(1, THREE, true);
    let older = THREE.replace("100000000", "0").replace("c:1:2", "d:1:2");
    assert_eq!(committed(&mut me, &older, None), (Flow::Stay, vec!["show"]));
    assert_eq!(me.views.committed.version(), 0x1_0000_0000);
    let mut me = server(1, THREE, false);
    let newer = THREE.replace("100000000", "200000000").replace("c:1:2", "d:1:2");
    assert_eq!(committed(&mut me, &newer, None), (Flow::Stay, vec![]));
    assert_eq!(me.views.committed.version(), 0x1_0000_0000);
}

#[test]
fn a_proposal_is_remembered_until_it_is_in_force_or_its_leader_is_gone() {
    let mut me = server(1, THREE, true);
    let tree = Machine::new(Default::default());
    let told = |me: &mut Server, text: &str| {
        let mut out = Effects::new();
        let mut ctx = Ctx { now: Now::default(), tree: &tree, me, out: &mut out };
        propose(&mut ctx, membership(text));
        out.iter().filter(|e| matches!(e, Effect::Config(ConfigEffect::Propose(_)))).count()
    };
    let next = THREE.replace("100000000", "100000005");
    assert_eq!(told(&mut me, THREE), 0);
    assert_eq!(told(&mut me, &next), 1);
    assert_eq!(told(&mut me, &next), 0);
    assert_eq!(me.views.newest().version(), ZXID.0);
    // The next leader has never seen it.
    assert_eq!(told(&mut me, THREE), 1);
    assert!(me.views.proposed.is_none());
    assert_eq!(told(&mut me, &next), 1);
    committed(&mut me, &next, Some(3));
    assert!(me.views.proposed.is_none());
    let mut me = server(1, THREE, false);
    assert_eq!(told(&mut me, &next), 0);
    assert!(me.views.proposed.is_none());
}

#[test]
fn a_leader_stays_where_it_is_reached_as_before() {
    let before = membership(THREE);
    for (from, to, stays) in
        [("a:1:2", "a:1:7", true), ("c:1:2", "c:7:2", false), ("c:1:2:participant", "c:1:2:observer", false)]
    {
        assert_eq!(may_stay_leader(ServerId(3), &before, &membership(&THREE.replace(from, to))), stays);
    }
}
