"""What counts as a quorum, what is served without one, and what happens when the zxids of an epoch are used up."""

import socket

from fixtures.ledger import Ledger
from fixtures.stage import Stage, await_that, connect, need, patiently, refused, same, sync, true
from fixtures.trees import disagreements, tree
from harness.ensemble import QUOLL, Ensemble
from harness.zkwire import EPHEMERAL_FLAG, PING_XID

NOT_READ_ONLY = -119


def read_only(stage: Stage) -> None:
    """With local sessions: without them the reference answers -119 instead of a handshake, or closes the connection."""
    properties = ["readonlymode.enabled=true"]
    with stage.scene("read-only", properties=properties, config={"localSessionsEnabled": "true"}) as servers:
        check = stage.checks.run
        check("a lone server answers readers who ask for it", lambda: lone(servers))
        check("a quorum ends the read-only mode", lambda: goes_on(servers))


def lone(servers: Ensemble) -> None:
    client = connect(servers[1])
    need(client.create("/kept", b"kept"))
    sync(client)
    client.close()
    servers[2].kill()
    servers[3].kill()
    await_that("server 1 is read-only", lambda: servers[1].mode() == "read-only")
    same(servers[1].say("isro"), "ro", "isro")
    true(refused(servers[1]), "a client that wants to write is taken")
    reader = connect(servers[1], read_only=True)
    true(reader.read_only and reader.session != 0, "the handshake does not say read-only")
    same(need(reader.get("/kept")).body[4:8], b"kept", "data")
    need(reader.exists("/absent", watch=True), -101)
    need(reader.create("/more"), NOT_READ_ONLY)
    need(reader.set("/kept", b"other"), NOT_READ_ONLY)
    need(reader.create("/e", b"", EPHEMERAL_FLAG), NOT_READ_ONLY)
    need(sync(reader), NOT_READ_ONLY)
    same(reader.ping().xid, PING_XID, "xid of a ping")
    reader.drop()


def goes_on(servers: Ensemble) -> None:
    servers[2].spawn()
    servers[3].spawn()
    servers.settle()
    same(servers[1].say("isro"), "rw", "isro")
    client = patiently(servers[1], read_only=True)
    true(not client.read_only, "a client that could do with less is told read-only")
    need(client.create("/more"))
    client.close()


def weights(stage: Stage) -> None:
    lines = ["group.1=1:2:3", "weight.1=3", "weight.2=1", "weight.3=1"]
    with stage.scene("weights", lines=lines) as servers:
        check = stage.checks.run
        check("the heavy one alone is a quorum", lambda: heavy_alone(servers))
        check("the two light ones are none", lambda: light_ones(servers))


def heavy_alone(servers: Ensemble) -> None:
    servers[2].kill()
    servers[3].kill()
    await_that("server 1 leads alone", lambda: servers[1].mode() == "leader", 30)
    client = patiently(servers[1])
    need(client.create("/heavy"))
    client.close()
    servers[2].spawn()
    servers[3].spawn()
    servers.settle()


def light_ones(servers: Ensemble) -> None:
    servers[1].kill()
    await_that("nobody serves", lambda: not servers[2].mode() and not servers[3].mode())
    true(refused(servers[2]) and refused(servers[3]), "two of weight 2 in 5 take a client")
    servers[1].spawn()
    servers.settle()
    client = patiently(servers[2])
    sync(client)
    need(client.exists("/heavy"))
    client.close()


def groups(stage: Stage) -> None:
    """Two groups of which both are needed, half of each is not enough; server 5 weighs nothing."""
    lines = ["group.1=1:2", "group.2=3:4:5", *(f"weight.{number}=1" for number in range(1, 5)), "weight.5=0"]
    with stage.scene("groups", stage.kinds(5), lines=lines) as servers:
        stage.checks.run("a quorum is a majority of both groups", lambda: both_groups(servers))


def both_groups(servers: Ensemble) -> None:
    true(servers.leader().number != 5, "one that weighs nothing leads")
    servers[5].kill()
    with Ledger(2, servers.serving) as ledger:
        ledger.await_progress(20)
    servers[1].kill()
    await_that("nobody serves without group 1", lambda: not any(servers[n].mode() for n in (2, 3, 4)))
    servers[1].spawn()
    servers.settle()
    servers[4].kill()
    await_that("nobody serves without group 2", lambda: not any(servers[n].mode() for n in (1, 2, 3)))
    servers[4].spawn()
    servers[5].spawn()
    servers.settle()
    same(ledger.wrong(tree(servers[1])), [], "what the ledger misses")


def all_addresses(stage: Stage) -> None:
    hosts = {1: "127.0.0.21", 2: "127.0.0.22", 3: "127.0.0.23"}
    with stage.scene("own-address", hosts=hosts) as servers:
        stage.checks.run("quorum ports are bound to the address in the configuration", lambda: bound(servers, False))
    with stage.scene("all-addresses", hosts=hosts, config={"quorumListenOnAllIPs": "true"}) as servers:
        stage.checks.run("quorumListenOnAllIPs binds quorum ports everywhere", lambda: bound(servers, True))


def bound(servers: Ensemble, everywhere: bool) -> None:
    leader = servers.leader()
    ports = [("election", member.election) for member in servers.members.values()] + [("quorum", leader.quorum)]
    for name, port in ports:
        try:
            socket.create_connection(("127.0.0.99", port), timeout=2).close()
            found = True
        except OSError:
            found = False
        same(found, everywhere, f"the {name} port answers at another address")


def rollover(stage: Stage) -> None:
    """The counter of each epoch starts close to its end, so that every few writes an epoch is used up."""
    if QUOLL in stage.kinds(3):
        print("# this test aid is the Java server's; tests/sim takes Quoll's epochs to their end", flush=True)
        return
    properties = [f"zookeeper.testingonly.initialZxid={0xFFFFFFE0}"]
    with stage.scene("rollover", properties=properties) as servers:
        check = stage.checks.run
        check("epochs that are used up lose nothing and give no zxid out twice", lambda: used_up(servers))
        check("the trees are equal after the epochs", lambda: same(disagreements(servers), [], "differences"))


def used_up(servers: Ensemble) -> None:
    with Ledger(3, servers.others) as ledger:
        ledger.await_progress(90, 90)
    servers.settle()
    same(ledger.wrong(tree(servers[1])), [], "what the ledger misses")
    zxids = sorted(zxid for writer in ledger.writers for zxid, _ in writer.account.created.values())
    true(len(zxids) == len(set(zxids)), "a zxid was given out twice")
    epochs = {zxid >> 32 for zxid in zxids}
    true(len(epochs) >= 3, f"only the epochs {sorted(epochs)}")
    late = [zxid for zxid in zxids if zxid & 0xFFFFFFFF < 0xFFFFFFE0 and zxid & 0xFFFFFFFF > 1 << 31]
    same(late, [], "zxids before the start")
    print(f"# {len(zxids)} creates in {len(epochs)} epochs, {ledger.longest:.2f} s the longest silence", flush=True)
