"""Three voters: writes through every server, sessions that move, watches that come along, a leader that dies."""

import struct
import time

from fixtures.client import GET_ACL, Session, create, multi, set_data
from fixtures.ledger import Ledger
from fixtures.stage import Stage, await_that, connect, need, owner_of, patiently, refused, same, superuser, sync, true
from fixtures.trees import disagreements, tree
from harness.check import Failed
from harness.ensemble import Ensemble
from harness.zkwire import EPHEMERAL_FLAG, RECONFIG, SEQUENTIAL_FLAG, SET_WATCHES, Client, Closed, buffer

NO_NODE, SESSION_EXPIRED, RECONFIG_DISABLED = -101, -112, -123
CHANGED, CREATED, DELETED, CHILD = 3, 1, 2, 4
# A tick of rounding, a tick of the leader's clock, and a busy machine.
SLACK = 2.0


def set_watches(relative: int, data: list[str], exist: list[str], child: list[str]) -> bytes:
    lists = [struct.pack(">i", len(paths)) + b"".join(map(buffer, paths)) for paths in (data, exist, child)]
    return struct.pack(">q", relative) + b"".join(lists)


def scene(stage: Stage) -> None:
    with stage.scene("plain") as servers:
        check = stage.checks.run
        check("one leads, two follow", lambda: roles_are(servers))
        check("what is written at one is read at each after a sync", lambda: written_and_read(servers))
        check("sequence numbers given out by three servers are one row", lambda: sequences(servers))
        check("a multi through a follower is all or nothing", lambda: multis(servers))
        check("1000 requests under way come back in order from a follower", lambda: pipelined(servers))
        check("writes and syncs of one row are answered in its order by each", lambda: row_of_both(servers))
        check("a session opened at a follower is known to all", lambda: known_to_all(servers))
        check("a wrong password opens no session anywhere", lambda: wrong_password(servers))
        check("a session that moved is refused at its former server", lambda: moved(servers))
        check("an ephemeral goes with a session that is closed elsewhere", lambda: closed_elsewhere(servers))
        check("a session nobody hears of expires on time, and its ephemeral with it", lambda: expires(servers))
        check("pings at a follower keep a session", lambda: kept_by_pings(servers))
        check("a client that has seen more is sent away", lambda: seen_more(servers))
        check("a data watch comes along and fires at another server", lambda: watch_moves(servers))
        check("a watch taken along fires at once for what was missed", lambda: watch_missed(servers))
        check("exists and child watches are made up for, too", lambda: other_watches(servers))
        check("an access list set at one holds at all", lambda: access_lists(servers))
        check("reconfig is refused where it is not enabled", lambda: reconfig_disabled(servers))
        check("the trees are equal", lambda: same(disagreements(servers), [], "differences"))


def roles_are(servers: Ensemble) -> None:
    modes = sorted(member.mode() for member in servers.members.values())
    same(modes, ["follower", "follower", "leader"], "modes")


def written_and_read(servers: Ensemble) -> None:
    clients = [connect(member) for member in servers.members.values()]
    need(clients[0].create("/spread"))
    for turn in range(60):
        writer, value = clients[turn % 3], b"%d" % turn
        zxid = need(writer.set("/spread", value)).zxid
        for reader in clients:
            if reader is not writer:
                need(sync(reader, "/spread"))
            reply = need(reader.get("/spread"))
            same(reply.body[4 : 4 + len(value)], value, f"data in turn {turn}")
            true(reply.zxid >= zxid, f"a read answered with zxid {reply.zxid:#x} after {zxid:#x}")
    for client in clients:
        client.close()


def sequences(servers: Ensemble) -> None:
    clients = [connect(member) for member in servers.members.values()]
    need(clients[0].create("/rows"))
    names = []
    for turn in range(60):
        reply = need(clients[turn % 3].create("/rows/r-", b"", SEQUENTIAL_FLAG))
        names.append(reply.body[4:].decode())
    same(names, [f"/rows/r-{number:010}" for number in range(60)], "names")
    for client in clients:
        client.close()


def multis(servers: Ensemble) -> None:
    follower, other = servers.followers()
    session = Session(follower.port)
    session.must(multi(create("/batch", b"1"), create("/batch/a"), create("/batch/b"), set_data("/batch", b"2")))
    session.ask(multi(create("/batch/c"), create("/batch/a")))
    reader = connect(other)
    sync(reader)
    need(reader.exists("/batch/b"))
    need(reader.exists("/batch/c"), NO_NODE)
    session.close()
    reader.close()


def pipelined(servers: Ensemble) -> None:
    follower = servers.followers()[0]
    session = Session(follower.port)
    session.must(create("/pipe", b"start"))
    requests = []
    for number in range(500):
        requests += [set_data("/pipe", b"%d" % number), (4, buffer("/pipe") + b"\0")]
    answers = session.ask(*requests)
    xids = [reply.xid for reply in answers]
    same(xids, list(range(xids[0], xids[0] + 1000)), "xids")
    for number, reply in enumerate(answers[1::2]):
        wanted = b"%d" % number
        same(reply.body[4 : 4 + len(wanted)], wanted, f"read {number}")
    zxids = [reply.zxid for reply in answers]
    true(zxids == sorted(zxids), "zxids fall")
    session.close()


def row_of_both(servers: Ensemble) -> None:
    """A sync waits for others than a write does; neither may pass the other."""
    for member in servers.members.values():
        session = Session(member.port)
        path = f"/row-{member.number}"
        session.must(create(path, b"start"))
        requests = [set_data(path, b"x") if number % 3 else (9, buffer(path)) for number in range(600)]
        xids = [reply.xid for reply in session.ask(*requests)]
        same(xids, list(range(xids[0], xids[0] + 600)), f"xids at {member}")
        session.close()


def known_to_all(servers: Ensemble) -> None:
    client = connect(servers.followers()[0])
    need(client.create("/mine", b"", EPHEMERAL_FLAG))
    for member in [*servers.members.values(), servers.followers()[0]]:
        again = connect(member, like=client)
        same(again.session, client.session, f"session at {member}")
        # The session is known as soon as the leader answers for it; what was written may arrive a moment later.
        need(sync(again, "/mine"))
        same(owner_of(need(again.exists("/mine"))), client.session, "owner")
        client.drop()
        client = again
    need(client.delete("/mine"))
    client.close()


def wrong_password(servers: Ensemble) -> None:
    """The owner's connection may end, for the reference asks for the password last; the session lives on."""
    client = connect(servers[1])
    for member in servers.members.values():
        thief = Client(member.host, member.port, 20000, client.session, b"x" * 16)
        same(thief.session, 0, f"session at {member}")
        thief.drop()
    again = connect(servers[2], like=client)
    same(again.session, client.session, "the session of the owner")
    again.close()
    client.drop()


def moved(servers: Ensemble) -> None:
    """The former server learns of it only when it asks; then the leader refuses and the connection ends."""
    first, second = servers.followers()
    old = connect(first)
    need(old.create("/moving"))
    new = connect(second, like=old)
    need(new.set("/moving", b"new"))
    try:
        reply = old.set("/moving", b"old")
    except Closed:
        pass
    else:
        raise Failed(f"a write at the former server answered {reply.error}")
    data = need(new.get("/moving")).body
    same(data[4:7], b"new", "data")
    new.close()


def closed_elsewhere(servers: Ensemble) -> None:
    client = connect(servers[1])
    need(client.create("/closing", b"", EPHEMERAL_FLAG))
    watcher = connect(servers[2])
    sync(watcher)
    need(watcher.exists("/closing", watch=True))
    moved_on = connect(servers[3], like=client)
    moved_on.close()
    event = watcher.await_events(1)[0]
    same((event.type, event.path), (DELETED, "/closing"), "event")
    for member in servers.members.values():
        reader = connect(member)
        sync(reader)
        need(reader.exists("/closing"), NO_NODE)
        reader.close()
        same(connect(member, like=client).session, 0, f"the closed session at {member}")
    client.drop()
    watcher.close()


def expires(servers: Ensemble) -> None:
    timeout = 2000
    follower, other = servers.followers()
    client = connect(follower, timeout)
    same(client.timeout, timeout, "timeout")
    need(client.create("/expiring", b"", EPHEMERAL_FLAG))
    last_heard = time.monotonic()
    watcher = connect(other)
    sync(watcher)
    need(watcher.exists("/expiring", watch=True))
    watcher.await_events(1, 10)
    took = time.monotonic() - last_heard
    client.drop()
    watcher.close()
    true(timeout / 1000 <= took + 0.05, f"expired after {took:.2f} s, before its timeout")
    true(took <= timeout / 1000 + 1.0 + SLACK, f"expired after {took:.2f} s, too late")
    same(connect(other, like=client).session, 0, "the expired session")


def kept_by_pings(servers: Ensemble) -> None:
    client = connect(servers.followers()[0], 2000)
    need(client.create("/pinged", b"", EPHEMERAL_FLAG))
    for _ in range(12):
        time.sleep(0.5)
        client.ping()
    need(client.exists("/pinged"))
    client.close()


def seen_more(servers: Ensemble) -> None:
    for member in servers.members.values():
        true(refused(member, last_zxid=servers[1].zxid() + (1 << 32)), f"{member} takes a client that has seen more")


def watch_moves(servers: Ensemble) -> None:
    client = connect(servers[1])
    need(client.create("/watched", b"1"))
    seen = need(client.get("/watched", watch=True)).zxid
    again = connect(servers[2], like=client, last_zxid=seen)
    need(again.request(SET_WATCHES, set_watches(seen, ["/watched"], [], []), xid=-8))
    writer = connect(servers[3])
    zxid = need(writer.set("/watched", b"2")).zxid
    event = again.await_events(1)[0]
    same((event.type, event.path), (CHANGED, "/watched"), "event")
    true(need(again.get("/watched")).zxid >= zxid, "a read behind the event is older than the event")
    client.drop()
    again.close()
    writer.close()


def watch_missed(servers: Ensemble) -> None:
    client = connect(servers[1])
    need(client.create("/missed", b"1"))
    seen = need(client.get("/missed", watch=True)).zxid
    client.drop()
    writer = connect(servers[3])
    need(writer.set("/missed", b"2"))
    again = connect(servers[2], like=client, last_zxid=seen)
    sync(again)
    need(again.request(SET_WATCHES, set_watches(seen, ["/missed"], [], []), xid=-8))
    event = again.await_events(1, 5)[0]
    same((event.type, event.path), (CHANGED, "/missed"), "event")
    need(writer.set("/missed", b"3"))
    sync(again)
    same(len(again.events), 0, "further events of a one-shot watch")
    again.close()
    writer.close()


def other_watches(servers: Ensemble) -> None:
    client = connect(servers[2])
    need(client.create("/parent"))
    need(client.exists("/parent/born", watch=True), NO_NODE)
    seen = need(client.children("/parent", watch=True)).zxid
    client.drop()
    writer = connect(servers[3])
    need(writer.create("/parent/born"))
    again = connect(servers[1], like=client, last_zxid=seen)
    sync(again)
    need(again.request(SET_WATCHES, set_watches(seen, [], ["/parent/born"], ["/parent"]), xid=-8))
    events = sorted((event.type, event.path) for event in again.await_events(2, 5))
    same(events, [(CREATED, "/parent/born"), (CHILD, "/parent")], "events")
    again.close()
    writer.close()


def access_lists(servers: Ensemble) -> None:
    """Identities travel with a forwarded request, and the list with the transaction."""
    first, second = servers.followers()
    owner = connect(first)
    need(owner.auth("digest", "ann:secret"))
    need(owner.create("/owned", b"1", acl=((31, "auth", ""),)))
    for member in servers.members.values():
        stranger = connect(member)
        sync(stranger)
        need(stranger.get("/owned"), -102)
        need(stranger.set("/owned", b"2"), -102)
        stranger.close()
    again = connect(second)
    need(again.auth("digest", "ann:secret"))
    need(again.set("/owned", b"3"))
    lists = {bytes(need(again.request(GET_ACL, buffer("/owned"))).body[:-68])}
    owner.close()
    again.close()
    same(len(lists), 1, "access lists")


def reconfig_disabled(servers: Ensemble) -> None:
    for member in (servers.leader(), servers.followers()[0]):
        client = superuser(member)
        body = buffer(None) + buffer("1") + buffer(None) + struct.pack(">q", -1)
        need(client.request(RECONFIG, body), RECONFIG_DISABLED, f"reconfig at {member}")
        client.close()


# Failover.


def failover(stage: Stage) -> None:
    with stage.scene("failover") as servers:
        check = stage.checks.run
        check("a dead leader's sessions, ephemerals and watches live on", lambda: leader_dies(servers))
        check("the dead one comes back as a follower", lambda: comes_back(servers))
        check("no quorum, no service; a quorum, service again", lambda: quorum_lost(servers))
        check("five changes of the leader under load lose nothing", lambda: hunted(servers))
        check("a frozen leader is replaced, and follows when it wakes", lambda: frozen_leader(servers))
        check("the trees are equal after the changes", lambda: same(disagreements(servers), [], "differences"))


def leader_dies(servers: Ensemble) -> None:
    leader = servers.leader()
    here, there = servers.followers()
    at_leader, at_follower = connect(leader), connect(here)
    need(at_leader.create("/at-leader", b"", EPHEMERAL_FLAG))
    need(at_follower.create("/at-follower", b"", EPHEMERAL_FLAG))
    before = need(at_follower.create("/before-the-end", b"")).zxid
    sync(at_follower)
    need(at_follower.get("/before-the-end", watch=True))
    leader.kill()
    servers.settle()
    first = patiently(there, like=at_leader, last_zxid=before)
    second = patiently(here, like=at_follower, last_zxid=before)
    same((first.session, second.session), (at_leader.session, at_follower.session), "sessions")
    reply = need(first.create("/after-the-end"))
    true(reply.zxid >> 32 > before >> 32, f"no new epoch: {reply.zxid:#x} after {before:#x}")
    for client in (first, second):
        sync(client)
        need(client.exists("/at-leader"))
        need(client.exists("/at-follower"))
    need(second.request(SET_WATCHES, set_watches(before, ["/before-the-end"], [], []), xid=-8))
    need(first.set("/before-the-end", b"new"))
    same(second.await_events(1)[0].path, "/before-the-end", "event")
    first.close()
    second.close()
    at_leader.drop()
    at_follower.drop()


def comes_back(servers: Ensemble) -> None:
    away = next(member for member in servers.members.values() if not member.alive)
    away.spawn()
    leader = servers.settle()
    true(leader is not away, "the one that came back leads")
    reader = connect(away)
    sync(reader)
    need(reader.exists("/after-the-end"))
    reader.close()


def quorum_lost(servers: Ensemble) -> None:
    last = servers.followers()[0]
    for member in servers.others(last):
        member.kill()
    await_that("the last one stops serving", lambda: last.alive and not last.mode())
    true(refused(last), "a server without a quorum takes a client")
    true("not currently serving" in last.say("stat"), "stat without a quorum")
    same(last.say("ruok"), "imok", "ruok")
    back = next(member for member in servers.members.values() if not member.alive)
    back.spawn()
    servers.settle()
    patiently(last).close()
    for member in servers.members.values():
        if not member.alive:
            member.spawn()
    servers.settle()


def hunted(servers: Ensemble) -> None:
    with Ledger(6, servers.others, name="hunted") as ledger:
        for turn in range(5):
            ledger.await_progress(100)
            leader = servers.leader()
            if turn % 2:
                leader.stop()
            else:
                leader.kill()
            servers.settle()
            ledger.await_progress(100)
            leader.spawn()
            servers.settle()
        ledger.await_progress(100)
    same(ledger.wrong(tree(servers[1])), [], "what the ledger misses")
    true(ledger.moves > 5, f"only {ledger.moves} sessions moved")
    print(f"# {ledger.done} acknowledged, {ledger.moves} moves, {ledger.longest:.2f} s the longest silence", flush=True)


def frozen_leader(servers: Ensemble) -> None:
    awake = lambda: [member for member in servers.others() if not member.frozen]  # noqa: E731
    with Ledger(4, awake, name="frozen") as ledger:
        ledger.await_progress(50)
        leader = servers.leader()
        leader.freeze()
        found = servers.settle()
        true(found is not leader, "a frozen leader leads")
        ledger.await_progress(100)
        leader.thaw()
        await_that("the thawed one follows", lambda: leader.mode() == "follower")
        ledger.await_progress(50)
    same(ledger.wrong(tree(leader)), [], "what the ledger misses")
