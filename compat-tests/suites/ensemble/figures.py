"""What `mntr` counts and times in an ensemble: that figures move where their names say, in each role.

Values that depend on the machine are not compared.
"""

import re

from fixtures.stage import Stage, await_that, connect, need, sync, true
from harness.ensemble import Ensemble, Member

WRITES = 50

# Of each write one more, by role; observers hear of no proposals.
COUNTED = {
    "leader": ("proposal_count", "commit_count", "request_commit_queued"),
    "follower": ("learner_proposal_received_count", "learner_commit_received_count", "request_commit_queued"),
    "observer": ("learner_commit_received_count", "request_commit_queued"),
}
TIMED = {
    "leader": ("quorum_ack_latency", "proposal_ack_creation_latency", "propagation_latency"),
    "follower": (
        "proposal_latency",
        "proposal_ack_creation_latency",
        "commit_propagation_latency",
        "propagation_latency",
    ),
    "observer": ("commit_propagation_latency", "propagation_latency"),
}

# How often the way into a role is timed: attempts may fail, and whoever serves has come to it once.
ATTEMPTS, ONCE = (1, 100), (1, 1)
ENTERED = {
    "looking_count": {"leader": ATTEMPTS, "follower": ATTEMPTS, "observer": ATTEMPTS},
    "cnt_election_time": {"leader": ATTEMPTS, "follower": ATTEMPTS},
    "cnt_follower_sync_time": {"follower": ONCE},
    "cnt_observer_sync_time": {"observer": ONCE},
    "cnt_unavailable_time": {"leader": ONCE, "follower": ONCE, "observer": ONCE},
    "cnt_leader_unavailable_time": {"leader": ONCE},
}


def checks(stage: Stage, servers: Ensemble, roles: dict[str, Member]) -> None:
    check = stage.checks.run
    check("the way into each role was timed", lambda: entered(roles))
    check("each write is counted and timed at each station", lambda: written(roles))
    check("a session looked up for a follower is counted", lambda: looked_up(roles))
    check("the queue of each learner has its figures", lambda: queued(servers, roles))
    check("who acknowledges one transaction of a thousand is timed until a quorum has", lambda: acknowledged(roles))
    check("a follower that comes back is counted as one brought up by transactions", lambda: back(servers))


def figure(member: Member, name: str) -> int:
    return int(member.mntr().get(f"zk_{name}", -1))


def is_between(least: int, found: int, most: int, what: str) -> None:
    true(least <= found <= most, f"{what}: {found}, wanted from {least} to {most}")


def entered(roles: dict[str, Member]) -> None:
    for role, member in roles.items():
        table = member.mntr()
        for name in ENTERED:
            least, most = ENTERED[name].get(role, (0, 0))
            is_between(least, int(table[f"zk_{name}"]), most, f"zk_{name} of the {role}")


def written(roles: dict[str, Member]) -> None:
    client = connect(roles["follower"])
    need(client.create("/figures"))
    before = {role: settled(member) for role, member in roles.items()}
    for _ in range(WRITES):
        need(client.set("/figures", b"x" * 100))
    for role, member in roles.items():
        after = settled(member)
        for name in [*COUNTED[role], *(f"cnt_{name}" for name in TIMED[role])]:
            rise = int(after[f"zk_{name}"]) - int(before[role][f"zk_{name}"])
            # Its own session at each server, opened and closed.
            is_between(WRITES, rise, WRITES + 8, f"zk_{name} of the {role}")
    for name in ("proposal_count", "commit_count", "cnt_quorum_ack_latency"):
        is_between(0, figure(roles["follower"], name), 0, f"zk_{name} of the follower")
    for name in ("learner_proposal_received_count", "cnt_proposal_latency", "cnt_proposal_ack_creation_latency"):
        is_between(0, figure(roles["observer"], name), 0, f"zk_{name} of the observer")
    client.close()


def settled(member: Member) -> dict[str, str]:
    """The figures of a server that has everything."""
    client = connect(member)
    need(sync(client))
    table = member.mntr()
    client.close()
    return table


def looked_up(roles: dict[str, Member]) -> None:
    before = figure(roles["leader"], "revalidate_count")
    client = connect(roles["leader"])
    again = connect(roles["follower"], like=client)
    need(again.exists("/figures"))
    is_between(1, figure(roles["leader"], "revalidate_count") - before, 4, "revalidations")
    again.close()
    client.drop()


def queued(servers: Ensemble, roles: dict[str, Member]) -> None:
    table = roles["leader"].mntr()
    learners = [member.number for member in servers.others() if member is not roles["leader"]]
    true(len(learners) == len(servers.members) - 1, f"learners: {learners}")
    for number in learners:
        size, time = f"{number}_learner_handler_qp_size", f"{number}_learner_handler_qp_time_ms"
        is_between(WRITES, int(table.get(f"zk_cnt_{size}", -1)), 1_000_000, f"zk_cnt_{size}")
        is_between(1, int(table.get(f"zk_cnt_{time}", -1)), 1000, f"zk_cnt_{time}")
        is_between(0, int(table.get(f"zk_max_{time}", -1)), 20_000, f"zk_max_{time}")


def acknowledged(roles: dict[str, Member]) -> None:
    """Among so many writes one row of a thousand has its turn, or two with the sessions around them."""
    before = latencies(roles["leader"])
    client = connect(roles["leader"])
    for _ in range(1000):
        need(client.set("/figures", b"z"))
    client.close()
    after = latencies(roles["leader"])
    true(set(after) <= {"1", "2", "3"}, f"acknowledgements of {sorted(after)}, where 1, 2 and 3 have a vote")
    is_between(2, sum(after.values()) - sum(before.values()), 4, "acknowledgements that were timed")
    true(not latencies(roles["follower"]), "a follower timed acknowledgements")


def latencies(member: Member) -> dict[str, int]:
    rows = ((re.fullmatch(r"zk_cnt_(\d+)_ack_latency", key), value) for key, value in member.mntr().items())
    return {found[1]: int(value) for found, value in rows if found}


def back(servers: Ensemble) -> None:
    leader, follower = servers.leader(), servers.followers()[0]
    follower.stop()
    client = connect(leader)
    for _ in range(WRITES):
        need(client.set("/figures", b"y"))
    before = leader.mntr()
    follower.spawn()
    servers.settle()
    after = leader.mntr()
    rise = {key: int(after[key]) - int(before[key]) for key in ("zk_diff_count", "zk_snap_count")}
    true(rise == {"zk_diff_count": 1, "zk_snap_count": 0}, f"the leader's figures rose by {rise}")
    # One value when it begins, one when it ends.
    key = "zk_cnt_inflight_diff_count"
    await_that("the end of the synchronization counts", lambda: int(leader.mntr()[key]) - int(before[key]) == 2)
    is_between(1, figure(follower, "cnt_follower_sync_time"), 1, "zk_cnt_follower_sync_time behind a start")
    client.close()
