"""Observers, observer masters, local sessions, and a leader that serves nobody."""

import socket
import time

from fixtures.ledger import Ledger
from fixtures.stage import Stage, await_that, connect, need, owner_of, patiently, same, sync, true
from fixtures.trees import disagreements, tree
from harness.ensemble import Ensemble
from harness.server import four_letter, free_port
from harness.zkwire import EPHEMERAL_FLAG

NO_NODE, EPHEMERAL_ON_LOCAL_SESSION = -101, -120
NOT_SERVING = "not currently serving"


def observers(stage: Stage) -> None:
    with stage.scene("observers", stage.kinds(5), observers=(4, 5)) as servers:
        check = stage.checks.run
        check("two observe, whatever their ids", lambda: observe(servers))
        check("an observer takes writes, reads and sessions", lambda: serves(servers))
        check("a watch at an observer fires", lambda: watches(servers))
        check("a session lives on pings at an observer", lambda: pinged(servers))
        check("observers count in no quorum", lambda: no_quorum(servers))
        check("an observer that was away catches up, and the leader dies meanwhile", lambda: away(servers))
        check("the trees of voters and observers are equal", lambda: same(disagreements(servers), [], "differences"))


def observe(servers: Ensemble) -> None:
    modes = [servers[number].mode() for number in range(1, 6)]
    same(sorted(modes[:3]), ["follower", "follower", "leader"], "modes of the voters")
    same(modes[3:], ["observer", "observer"], "modes of the observers")
    leader = servers.leader()
    table = leader.mntr()
    same(table.get("zk_synced_followers"), "2", "zk_synced_followers")
    same(table.get("zk_learners"), "4", "zk_learners")
    same(table.get("zk_synced_observers"), "2", "zk_synced_observers")


def serves(servers: Ensemble) -> None:
    client = connect(servers[4])
    need(client.create("/observed", b"1"))
    need(client.create("/observed/mine", b"", EPHEMERAL_FLAG))
    again = connect(servers[5], like=client)
    sync(again)
    same(owner_of(need(again.exists("/observed/mine"))), client.session, "owner")
    third = connect(servers[1], like=client)
    third.close()
    reader = connect(servers[4])
    sync(reader)
    need(reader.exists("/observed/mine"), NO_NODE)
    reader.close()
    client.drop()
    again.drop()


def watches(servers: Ensemble) -> None:
    watcher, writer = connect(servers[5]), connect(servers[1])
    sync(watcher)
    need(watcher.get("/observed", watch=True))
    need(writer.set("/observed", b"2"))
    same(watcher.await_events(1)[0].path, "/observed", "event")
    watcher.close()
    writer.close()


def pinged(servers: Ensemble) -> None:
    client = connect(servers[4], 2000)
    need(client.create("/seen-by-observer", b"", EPHEMERAL_FLAG))
    for _ in range(10):
        time.sleep(0.5)
        client.ping()
    need(client.exists("/seen-by-observer"))
    client.close()


def no_quorum(servers: Ensemble) -> None:
    followers = servers.followers()
    for member in followers:
        member.kill()
    await_that("nobody serves", lambda: not any(member.mode() for member in servers.others()))
    for member in followers:
        member.spawn()
    servers.settle()


def away(servers: Ensemble) -> None:
    with Ledger(4, servers.others) as ledger:
        ledger.await_progress(50)
        servers[4].kill()
        ledger.await_progress(200)
        leader = servers.leader()
        leader.kill()
        servers.settle()
        servers[4].spawn()
        await_that("it observes again", lambda: servers[4].mode() == "observer")
        leader.spawn()
        servers.settle()
        ledger.await_progress(100)
    same(ledger.wrong(tree(servers[4])), [], "what the ledger misses")


def observer_master(stage: Stage) -> None:
    port = free_port()
    options = {
        "config": {"observerMasterPort": str(port)},
        "observers": (4, 5),
        # Each at an address of its own, for the port is the same for all.
        "hosts": {number: f"127.0.0.{10 + number}" for number in range(1, 6)},
    }
    with stage.scene("observer-master", stage.kinds(5), **options) as servers:
        check = stage.checks.run
        check("followers listen for observers, the leader does not", lambda: listen(servers, port))
        check("observers hang on followers", lambda: hang(servers))
        check("an observer behind a follower takes writes and sessions", lambda: serves(servers))
        check("a watch behind a follower fires", lambda: watches(servers))
        check("observers change over when their master dies", lambda: master_dies(servers))
        check("the trees are equal behind masters, too", lambda: same(disagreements(servers), [], "differences"))


def listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError:
        return False
    return True


def listen(servers: Ensemble, port: int) -> None:
    leader = servers.leader()
    for member in servers.followers():
        true(listens(member.host, port), f"{member} does not listen for observers")
    true(not listens(leader.host, port), "the leader listens for observers")


def hang(servers: Ensemble) -> None:
    behind = sum(int(member.mntr().get("zk_synced_observers", 0)) for member in servers.followers())
    same(behind, 2, "observers behind followers")
    same(servers.leader().mntr().get("zk_synced_observers"), "0", "observers at the leader")


def master_dies(servers: Ensemble) -> None:
    with Ledger(4, lambda: [servers[4], servers[5]]) as ledger:
        ledger.await_progress(50)
        for member in servers.followers():
            member.kill()
            await_that("both observe", lambda: all(servers[number].mode() == "observer" for number in (4, 5)))
            ledger.await_progress(50)
            member.spawn()
            servers.settle()
    same(ledger.wrong(tree(servers[1])), [], "what the ledger misses")


def local_sessions(stage: Stage) -> None:
    with stage.scene("local", config={"localSessionsEnabled": "true"}) as servers:
        check = stage.checks.run
        check("a local session costs no transaction", lambda: costs_nothing(servers))
        check("a local session is known nowhere else", lambda: known_nowhere(servers))
        check("dump shows the local sessions of its server", lambda: dumped(servers))
        check("a local session writes, but makes no ephemeral", lambda: no_ephemeral(servers))
    config = {"localSessionsEnabled": "true", "localSessionsUpgradingEnabled": "true"}
    with stage.scene("local-upgrading", config=config) as servers:
        stage.checks.run("a local session becomes global with its first ephemeral", lambda: upgrades(servers))


def costs_nothing(servers: Ensemble) -> None:
    for member in servers.members.values():
        before = member.zxid()
        client = connect(member)
        need(client.exists("/"))
        client.close()
        same(member.zxid(), before, f"zxid at {member}")


def known_nowhere(servers: Ensemble) -> None:
    first, second = servers.followers()
    client = connect(first)
    same(connect(second, like=client).session, 0, "the session at another server")
    again = connect(first, like=client)
    same(again.session, client.session, "the session at its own server")
    again.close()
    client.drop()


def dumped(servers: Ensemble) -> None:
    for member in servers.members.values():
        client = connect(member)
        others = four_letter(member.host, member.port, "dump").split("Local Session Sets")[1].split("Global Session")[0]
        true(f"0x{client.session:x}" in others, f"dump of {member}: {others}")
        client.close()


def no_ephemeral(servers: Ensemble) -> None:
    client = connect(servers.followers()[0])
    need(client.create("/local"))
    need(client.create("/local/e", b"", EPHEMERAL_FLAG), EPHEMERAL_ON_LOCAL_SESSION)
    client.close()


def upgrades(servers: Ensemble) -> None:
    for number, member in enumerate(servers.members.values()):
        client = connect(member)
        path = f"/upgraded-{number}"
        need(client.create(path, b"", EPHEMERAL_FLAG))
        other = next(other for other in servers.members.values() if other is not member)
        again = connect(other, like=client)
        same(again.session, client.session, f"the session of {member} at {other}")
        sync(again)
        same(owner_of(need(again.exists(path))), client.session, "owner")
        again.close()
        client.drop()
        reader = connect(member)
        sync(reader)
        need(reader.exists(path), NO_NODE)
        reader.close()


def leader_serves_nobody(stage: Stage) -> None:
    with stage.scene("leader-serves", start=False, config={"leaderServes": "no"}) as servers:
        for member in servers.members.values():
            member.spawn()
        check = stage.checks.run
        check("two follow, the leader takes no client", lambda: two_follow(servers))
        check("when the leader dies the next one stops serving", lambda: next_leads(servers))


def two_follow(servers: Ensemble) -> None:
    await_that("1 and 2 follow", lambda: servers[1].mode() == servers[2].mode() == "follower")
    client = patiently(servers[1])
    need(client.create("/served", b""))
    client.close()
    same(servers[3].mode(), "", "mode of the leader")
    true(NOT_SERVING in servers[3].say("srvr"), "the leader answers srvr")


def next_leads(servers: Ensemble) -> None:
    servers[3].kill()
    await_that("1 follows, 2 leads", lambda: servers[1].mode() == "follower" and not servers[2].mode(), 30)
    client = patiently(servers[1])
    need(client.exists("/served"))
    need(client.set("/served", b"again"))
    client.close()
