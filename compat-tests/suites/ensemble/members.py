"""Changes of members: growing from one to five and back under load, and everything that is refused."""

import struct

from fixtures.client import Body
from fixtures.ledger import Ledger
from fixtures.stage import Stage, await_that, connect, need, patiently, same, superuser, sync, true
from fixtures.trees import disagreements, tree
from harness.check import Failed
from harness.ensemble import Ensemble, Member
from harness.zkwire import RECONFIG, Closed, Reply, buffer

CONFIG = "/zookeeper/config"
MARSHALLING, BAD_ARGUMENTS, NEW_CONFIG_NO_QUORUM, NO_AUTH, BAD_VERSION = -5, -8, -13, -102, -103


def change(member: Member, joining=None, leaving=None, whole=None, version: int = -1) -> Reply:
    """One reconfig by the superuser."""
    client = superuser(member)
    try:
        body = b"".join(map(buffer, (joining, leaving, whole)))
        return client.request(RECONFIG, body + struct.pack(">q", version))
    finally:
        client.drop()


def configuration(member: Member) -> tuple[list[str], int]:
    """The lines of the configuration, and its version."""
    client = patiently(member)
    sync(client)
    lines = (Body(need(client.get(CONFIG)).body).buffer() or b"").decode().splitlines()
    client.close()
    servers = [line for line in lines if line.startswith("server.")]
    version = next((line for line in lines if line.startswith("version=")), "version=0")
    return servers, int(version.removeprefix("version="), 16)


def entry(member: Member) -> str:
    return f"server.{member.number}={member.line(with_client=True)}"


def insist(servers: Ensemble, what: str, **how) -> None:
    """Reconfigure; a connection that ends with the leader's role is asked about, not repeated blindly."""
    wanted = how.pop("then")
    for _ in range(60):
        try:
            reply = change(servers.leader(), **how)
        except (Closed, OSError):
            reply = None
        if reply and not reply.error:
            return
        members, _ = configuration(servers.leader())
        if {line.split("=")[0] for line in members} == wanted:
            return
        if reply and reply.error not in (NEW_CONFIG_NO_QUORUM, -14, -4):
            raise Failed(f"{what} answered {reply.error}")
        await_that("another attempt", Pause(), 2)
    raise Failed(f"{what} did not come through")


class Pause:
    """False the first times, so that a wait takes a moment."""

    def __init__(self) -> None:
        self.left = 10

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def names(*numbers: int) -> set[str]:
    return {f"server.{number}" for number in numbers}


def growing(stage: Stage) -> None:
    kinds = stage.kinds(5)
    options = {"reconfig": True, "config": {"standaloneEnabled": "false"}}
    with stage.scene("grow", kinds[:1], **options) as servers:
        check = stage.checks.run
        with Ledger(4, servers.serving) as ledger:
            check("one server alone leads an ensemble of one", lambda: alone(servers, ledger))
            check("one becomes three under load", lambda: grow(servers, ledger, kinds, 2, 3))
            check("three become five under load", lambda: grow(servers, ledger, kinds, 4, 5))
            check("five become three under load, the leader among those that go", lambda: shrink(servers, ledger))
            check("the three go on when one is killed", lambda: goes_on(servers, ledger))
            check("a whole new list is taken", lambda: whole_list(servers, ledger))
        check("nothing was lost while members came and went", lambda: nothing_lost(servers, ledger))
        check("the trees of the members are equal", lambda: same(disagreements(servers), [], "differences"))
        check("the files name the members, and a restart goes by them", lambda: restarted(servers))


def alone(servers: Ensemble, ledger: Ledger) -> None:
    same(servers[1].mode(), "leader", "mode")
    ledger.await_progress(50)


def grow(servers: Ensemble, ledger: Ledger, kinds: list[str], *numbers: int) -> None:
    there = list(servers.members.values())
    new = [servers.member(number, kinds[number - 1], there) for number in numbers]
    for member in new:
        member.spawn()
    everybody = names(*servers.members)
    for member in new:
        await_that(f"{member} serves", lambda member=member: member.mode() in ("follower", "observer"), 40)
    insist(servers, "growing", joining=",".join(entry(member) for member in new), then=everybody)
    servers.settle()
    ledger.await_progress(100)
    for member in servers.members.values():
        await_that(f"{member} has the new list", lambda member=member: of(member) == everybody)
    modes = sorted(member.mode() for member in servers.members.values())
    same(modes, ["follower"] * (len(modes) - 1) + ["leader"], "modes")


def of(member: Member) -> set[str]:
    return {line.split("=")[0] for line in configuration(member)[0]}


def shrink(servers: Ensemble, ledger: Ledger) -> None:
    leader = servers.leader()
    other = next(number for number in (5, 4, 3) if number != leader.number)
    leaving = sorted((leader.number, other))
    rest = names(*(number for number in servers.members if number not in leaving))
    insist(servers, "shrinking", leaving=",".join(map(str, leaving)), then=rest)
    for number in leaving:
        servers[number].kill()
    found = servers.settle()
    true(found.number not in leaving, f"{found} leads")
    ledger.await_progress(100)
    for member in servers.others():
        await_that(f"{member} has the new list", lambda member=member: of(member) == rest)


def goes_on(servers: Ensemble, ledger: Ledger) -> None:
    victim = servers.leader()
    victim.kill()
    servers.settle()
    ledger.await_progress(50)
    victim.spawn()
    servers.settle()


def whole_list(servers: Ensemble, ledger: Ledger) -> None:
    lines = configuration(servers.leader())[0]
    before = configuration(servers.leader())[1]
    need(change(servers.leader(), whole="\n".join(lines)), 0, "the whole list")
    found, version = configuration(servers.leader())
    same(sorted(found), sorted(lines), "members")
    true(version > before, f"version {version:#x} after {before:#x}")
    ledger.await_progress(20)


def nothing_lost(servers: Ensemble, ledger: Ledger) -> None:
    same(ledger.wrong(tree(servers.leader())), [], "what the ledger misses")


def restarted(servers: Ensemble) -> None:
    lines, version = configuration(servers.leader())
    running = servers.others()
    for member in running:
        member.stop()
    for member in running:
        text = member.cfg.read_text()
        true("dynamicConfigFile=" in text, f"zoo.cfg of {member} names no dynamic file")
        true("server." not in text, f"zoo.cfg of {member} still names servers")
        path = next(line.split("=", 1)[1] for line in text.splitlines() if line.startswith("dynamicConfigFile="))
        same(path.rsplit(".", 1)[1], f"{version:x}", "version in the name of the dynamic file")
    for member in running:
        member.spawn()
    servers.settle()
    same(configuration(servers.leader()), (lines, version), "configuration")


# What is refused.


def errors(stage: Stage) -> None:
    with stage.scene("reconfig", reconfig=True) as servers:
        check = stage.checks.run
        for where in ("leader", "follower"):
            check(f"refusals at the {where}", lambda where=where: refusals(servers, where))
        check("a version that is the current one is accepted", lambda: right_version(servers))
        check("a change of nothing is a change", lambda: nothing_at_all(servers))
        check("a watch on the configuration fires at every server", lambda: watched(servers))
        check("a voter becomes an observer and a voter again", lambda: changes_role(servers))


def pick(servers: Ensemble, where: str) -> Member:
    return servers.leader() if where == "leader" else servers.followers()[0]


def refusals(servers: Ensemble, where: str) -> None:
    member = pick(servers, where)
    client = connect(member)
    body = buffer(None) + buffer("1") + buffer(None) + struct.pack(">q", -1)
    need(client.request(RECONFIG, body), NO_AUTH, "a stranger")
    client.close()
    absent = "127.0.0.1:1:2:participant;127.0.0.1:3"
    cases = {
        "an old version": ({"leaving": "1", "version": 7}, BAD_VERSION),
        "nonsense as a server": ({"joining": "server.9=nonsense"}, BAD_ARGUMENTS),
        "nonsense as an id": ({"leaving": "x"}, MARSHALLING),
        "a whole list that is nonsense": ({"whole": "server.1=nonsense"}, BAD_ARGUMENTS),
        "servers that are not there": ({"joining": f"server.8={absent},server.9={absent.replace(':1:2', ':4:5')}",
                                        "leaving": "1,2"}, NEW_CONFIG_NO_QUORUM),
    }  # fmt: skip
    wrong = []
    for name, (how, wanted) in cases.items():
        found = change(member, **how).error
        if found != wanted:
            wrong.append(f"{name} answered {found}, wanted {wanted}")
    same(wrong, [], "refusals")
    same(of(member), names(1, 2, 3), "members")


def right_version(servers: Ensemble) -> None:
    _, version = configuration(servers.leader())
    need(change(servers.leader(), joining=entry(servers[1]), version=version))


def nothing_at_all(servers: Ensemble) -> None:
    before = configuration(servers.leader())
    need(change(servers.leader()))
    found = configuration(servers.leader())
    same(found[0], before[0], "members")
    true(found[1] > before[1], "the version stayed")


def watched(servers: Ensemble) -> None:
    watchers = [connect(member) for member in servers.members.values()]
    for watcher in watchers:
        sync(watcher)
        need(watcher.get(CONFIG, watch=True))
    need(change(servers.followers()[0], joining=entry(servers[2])))
    for watcher in watchers:
        same(watcher.await_events(1)[0].path, CONFIG, "event")
        watcher.close()


def changes_role(servers: Ensemble) -> None:
    follower = servers.followers()[0]
    follower.observer = True
    need(change(servers.leader(), joining=entry(follower)), 0, "the change to an observer")
    await_that("it observes", lambda: follower.mode() == "observer")
    follower.observer = False
    need(change(servers.leader(), joining=entry(follower)), 0, "the change to a participant")
    await_that("it follows", lambda: follower.mode() == "follower")
    servers.settle()
    same(disagreements(servers), [], "differences")
