"""Where faults are made: processes alone, a network of our own, relays between all servers, disks of our own.

Each ground makes its ensemble and knows its faults. A fault is made, lasts, and is taken back. Its invariant: behind
`heal` every process runs and every way is open.
"""

import os
import random
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.ensemble import Ensemble, Member
from harness.netns import Network
from harness.relay import Relay
from harness.server import HarnessError

HERE = Path(__file__).resolve().parent
TICK = 500
SYNC_LIMIT = 4
CONFIG = {"tickTime": str(TICK), "initLimit": "10", "syncLimit": str(SYNC_LIMIT), "snapCount": "3000"}
# Longer than a leader may be silent.
LONG = TICK * SYNC_LIMIT / 1000 * 1.6
TMPFS = "96m"


@dataclass
class Fault:
    """What it is called, and what it does; it returns when it has lasted."""

    name: str
    make: Callable[[], None]


class Ground:
    """Processes, which can be killed, stopped and frozen."""

    # Nodes in which the servers may differ.
    views: tuple[str, ...] = ()

    def __init__(self, work: Path, kinds: list[str], chance: random.Random):
        self.work, self.kinds, self.random = work, kinds, chance
        self.servers = self.ensemble()

    def ensemble(self) -> Ensemble:
        return Ensemble(self.work, self.kinds, CONFIG)

    def faults(self) -> list[Fault]:
        return [
            Fault("the leader is killed", lambda: self.down([self.leader()], Member.kill)),
            Fault("a follower is killed", lambda: self.down([self.follower()], Member.kill)),
            Fault("a majority is killed", lambda: self.down(self.some(len(self.kinds) // 2 + 1), Member.kill)),
            Fault("all are killed", lambda: self.down(self.some(len(self.kinds)), Member.kill)),
            Fault("the leader is stopped", lambda: self.down([self.leader()], Member.stop)),
            Fault("one is killed while it starts", self.interrupted),
            Fault("the leader is frozen for a moment", lambda: self.frozen(self.leader(), LONG / 4)),
            Fault("the leader is frozen", lambda: self.frozen(self.leader(), LONG)),
            Fault("a follower is frozen", lambda: self.frozen(self.follower(), LONG)),
        ]

    def close(self) -> None:
        self.servers.close()

    def heal(self) -> None:
        for member in self.servers.members.values():
            if member.frozen:
                member.thaw()
            if not member.alive:
                member.spawn()

    def leader(self) -> Member:
        """Who leads now; anybody, while nobody does."""
        found = [member for member in self.servers.others() if member.mode() == "leader"]
        return found[0] if found else self.random.choice(self.servers.others())

    def follower(self) -> Member:
        leader = self.leader()
        return self.random.choice([member for member in self.servers.others() if member is not leader] or [leader])

    def some(self, count: int) -> list[Member]:
        return self.random.sample(self.servers.others(), count)

    def down(self, members: list[Member], how: Callable[[Member], object]) -> None:
        for member in members:
            how(member)
        time.sleep(self.random.uniform(0.1, 2.0))
        for member in members:
            member.spawn()

    def interrupted(self) -> None:
        member = self.follower()
        member.kill()
        for _ in range(3):
            member.spawn()
            time.sleep(self.random.uniform(0.01, 0.4))
            member.kill()
        member.spawn()

    def frozen(self, member: Member, seconds: float) -> None:
        member.freeze()
        time.sleep(seconds)
        member.thaw()


class Nets(Ground):
    """Each server in a network namespace."""

    def ensemble(self) -> Ensemble:
        self.net = Network(len(self.kinds))
        numbers = self.net.numbers
        return Ensemble(
            self.work,
            self.kinds,
            CONFIG,
            hosts={number: self.net.host(number) for number in numbers},
            wraps={number: self.net.wrap(number) for number in numbers},
        )

    def faults(self) -> list[Fault]:
        faults = [
            Fault("the leader reaches nobody", self.dumb),
            Fault("the leader hears nobody", self.deaf),
            Fault("the leader is cut off", lambda: self.apart([self.leader().number])),
            Fault("a follower is cut off", lambda: self.apart([self.follower().number])),
            Fault("one sees all, others do not see each other", self.bridge),
            Fault("one way of a link is dead", self.one_way),
            Fault("a link comes and goes", self.flapping),
        ]
        if len(self.kinds) > 3:
            faults.append(Fault("the network falls in two", self.in_two))
        return faults

    def close(self) -> None:
        super().close()
        self.net.close()

    def heal(self) -> None:
        self.net.heal()
        super().heal()

    def last(self) -> None:
        time.sleep(self.random.uniform(LONG * 0.7, LONG * 1.5))
        self.net.heal()

    def rest(self, number: int) -> list[int]:
        return [other for other in self.net.numbers if other != number]

    def dumb(self) -> None:
        leader = self.leader().number
        for other in self.rest(leader):
            self.net.cut(leader, other)
        self.last()

    def deaf(self) -> None:
        leader = self.leader().number
        for other in self.rest(leader):
            self.net.cut(other, leader)
        self.last()

    def apart(self, group: list[int]) -> None:
        self.net.split(group, [number for number in self.net.numbers if number not in group])
        self.last()

    def bridge(self) -> None:
        hub = self.random.choice(self.net.numbers)
        others = self.rest(hub)
        half = len(others) // 2
        self.net.split(others[:half], others[half:])
        self.last()

    def one_way(self) -> None:
        self.net.cut(*self.random.sample(list(self.net.numbers), 2))
        self.last()

    def flapping(self) -> None:
        leader = self.leader().number
        other = self.random.choice(self.rest(leader))
        for _ in range(8):
            self.net.split([leader], [other])
            time.sleep(self.random.uniform(0.05, 0.5))
            self.net.heal()
            time.sleep(self.random.uniform(0.02, 0.2))

    def in_two(self) -> None:
        leader = self.leader().number
        self.apart([leader, self.random.choice(self.rest(leader))])


class Relays(Ground):
    """Everybody reaches everybody else through relays.

    Only votes are spoilt: the quorum protocol has no checksum, neither has the reference's, so a changed byte of a
    proposal or of an acknowledgement is a lie that no server can see through.
    """

    # Through the relays each has another view of the others.
    views = ("/zookeeper/config",)

    def ensemble(self) -> Ensemble:
        servers = Ensemble(self.work, self.kinds, CONFIG)
        self.quorum = {n: Relay(m.host, m.quorum) for n, m in servers.members.items()}
        self.election = {n: Relay(m.host, m.election) for n, m in servers.members.items()}
        for member in servers.members.values():
            servers.write(member, via=self.through)
        return servers

    def through(self, other: Member) -> str:
        ports = f":{self.quorum[other.number].port}:{self.election[other.number].port}:"
        return other.line().replace(f":{other.quorum}:{other.election}:", ports, 1)

    def faults(self) -> list[Fault]:
        return [
            Fault("all is slow between the servers", self.slow),
            Fault("packets come in drops", self.drip),
            Fault("connections to the leader are half open", lambda: self.held("hold_out", "hold_back")),
            Fault("the leader's words are held up", lambda: self.held("hold_back")),
            Fault("votes are spoilt while the leader dies", self.corrupt),
            Fault("all connections are reset", self.reset),
        ]

    def close(self) -> None:
        super().close()
        for relay in self.all():
            relay.close()

    def heal(self) -> None:
        for relay in self.all():
            relay.heal()
        super().heal()

    def all(self) -> list[Relay]:
        return [*self.quorum.values(), *self.election.values()]

    def slow(self) -> None:
        for relay in self.all():
            relay.fault.delay = self.random.uniform(0.02, 0.15)
        time.sleep(3)
        self.heal()

    def drip(self) -> None:
        for relay in self.all():
            relay.fault.drip = self.random.choice((7, 64, 300))
        time.sleep(3)
        self.heal()

    def held(self, *names: str) -> None:
        relay = self.quorum[self.leader().number]
        for name in names:
            setattr(relay.fault, name, True)
        time.sleep(LONG * self.random.uniform(0.5, 1.5))
        # What was held goes with its connection, as it does when a network is away for too long.
        relay.break_off()
        relay.heal()

    def corrupt(self) -> None:
        for relay in self.election.values():
            relay.fault.corrupt = 0.3
            relay.fault.dice = random.Random(self.random.random())
        leader = self.leader()
        leader.kill()
        time.sleep(2)
        leader.spawn()
        time.sleep(1)
        self.heal()

    def reset(self) -> None:
        for _ in range(4):
            for relay in self.all():
                relay.break_off()
            time.sleep(self.random.uniform(0.1, 0.6))


class Disks(Ground):
    """Each server on a small file system of its own, with syncs that can be made to last."""

    def ensemble(self) -> Ensemble:
        library = self.work / "slowdisk.so"
        command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(HERE / "slowdisk.c"), "-ldl"]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (FileNotFoundError, subprocess.CalledProcessError) as error:
            raise HarnessError(f"no slow disk can be made: a C compiler is missing (Debian: gcc): {error}") from None
        servers = Ensemble(self.work, self.kinds, CONFIG)
        self.mounts = []
        for member in servers.members.values():
            member.wrap = ["env", f"LD_PRELOAD={library}", f"SLOW_DISK={member.home / 'slow'}"]
            done = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={TMPFS}", "tmpfs", str(member.data)], capture_output=True, check=False
            )
            if done.returncode:
                raise HarnessError(f"no file system of our own can be mounted: {done.stderr.decode().strip()} (needs root)")
            self.mounts.append(member.data)
            (member.data / "myid").write_text(f"{member.number}\n")
        return servers

    def faults(self) -> list[Fault]:
        return [
            Fault("the leader's disk is slow", lambda: self.slow(self.leader(), 300)),
            Fault("a follower's disk is slow", lambda: self.slow(self.follower(), 300)),
            Fault("the leader's disk stands still", lambda: self.slow(self.leader(), int(LONG * 1500))),
            Fault("the leader's disk is full", lambda: self.full(self.leader())),
            Fault("a follower's disk is full", lambda: self.full(self.follower())),
        ]

    def close(self) -> None:
        super().close()
        for mount in self.mounts:
            subprocess.run(["umount", "-l", str(mount)], capture_output=True, check=False)

    def heal(self) -> None:
        for member in self.servers.members.values():
            (member.home / "slow").unlink(missing_ok=True)
            (member.data / "filler").unlink(missing_ok=True)
        super().heal()

    def slow(self, member: Member, millis: int) -> None:
        told = member.home / "slow.new"
        told.write_text(f"{millis}\n")
        told.rename(member.home / "slow")
        time.sleep(LONG * 1.5)
        (member.home / "slow").unlink(missing_ok=True)

    def full(self, member: Member) -> None:
        """Nothing is left; the server ends, as it must, or goes on in what it had reserved."""
        try:
            with (member.data / "filler").open("wb") as filler:
                while True:
                    filler.write(bytes(65536))
                    filler.flush()
        except OSError:
            pass
        deadline = time.monotonic() + 4
        while member.alive and time.monotonic() < deadline:
            time.sleep(0.05)
        (member.data / "filler").unlink(missing_ok=True)
        if not member.alive:
            member.kill()
            member.spawn()


def recorder() -> Path:
    """The clients that write down; built with the other programs of the workspace."""
    root = HERE.parents[2]
    path = Path(os.environ.get("RECORDER_BIN") or root / "target" / "release" / "recorder")
    if not os.access(path, os.X_OK):
        raise HarnessError(f"{path} is not there: run `cargo build --release --workspace --bins`, or set RECORDER_BIN")
    return path
