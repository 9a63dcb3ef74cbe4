"""Ensembles under test: several servers, each of a kind of its own, on ports and directories of their own.

A kind is `quoll` or `java-VERSION`, and a member may change its kind in place, between two starts, on the same data
and the same configuration file. It is not a client: it asks for `srvr` alone. Its invariant: a process that it started
never outlives it, stopped or frozen as it may be.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from .server import (
    BASE_PROPERTIES,
    ROOT,
    HarnessError,
    die_with_parent,
    four_letter,
    free_port,
    quoll_binary,
)

QUOLL = "quoll"
REFERENCE = "java-3.9.5"
FORMER = "java-3.8.4"

PATIENCE = 60.0
STOP_PATIENCE = 20.0
LOOPBACK = "127.0.0.1"

LINES = {
    "tickTime": "500",
    "initLimit": "20",
    "syncLimit": "10",
    "maxClientCnxns": "0",
    "maxSessionTimeout": "120000",
    "4lw.commands.whitelist": "*",
    "extendedTypesEnabled": "true",
    "admin.enableServer": "false",
    "preAllocSize": "64",
}
# Many short-lived servers on few processors: what compiles less starts sooner.
JAVA = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Xshare:auto"]

_CLASS_PATHS: dict[str, str] = {}


def class_path(version: str) -> str:
    """The class path of a release; its jars are fetched when they are missing."""
    if version not in _CLASS_PATHS:
        cache = Path(os.environ.get("COMPAT_CACHE") or ROOT / "compat-tests" / ".cache").resolve()
        done = subprocess.run(
            [ROOT / "scripts" / "reference", "classpath"],
            env=os.environ | {"REFERENCE_VERSION": version, "COMPAT_CACHE": str(cache)},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise HarnessError(f"ZooKeeper {version} could not be provisioned; see above")
        _CLASS_PATHS[version] = done.stdout.strip()
    return _CLASS_PATHS[version]


def kinds_of(target: str, count: int = 3) -> list[str]:
    """What a suite's target means for an ensemble of `count`."""
    match target:
        case "reference":
            return [REFERENCE] * count
        case "mixed":
            return [(QUOLL, REFERENCE)[number % 2] for number in range(count)]
    return [QUOLL] * count


@dataclass(eq=False)
class Member:
    """One server: an id, a kind, ports and a directory that stay, and at most one process."""

    number: int
    kind: str
    home: Path
    host: str = LOOPBACK
    observer: bool = False
    client: int = field(default_factory=free_port)
    quorum: int = field(default_factory=free_port)
    election: int = field(default_factory=free_port)
    # Lines of zoo.cfg and properties of this member alone.
    config: list[str] = field(default_factory=list)
    properties: list[str] = field(default_factory=list)
    # Put before the command, for servers in a network namespace of their own.
    wrap: list[str] = field(default_factory=list)
    process: subprocess.Popen | None = None
    frozen: bool = False

    def __str__(self) -> str:
        return f"server {self.number} ({self.kind})"

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def log(self) -> Path:
        return self.home / "server.log"

    @property
    def cfg(self) -> Path:
        return self.home / "zoo.cfg"

    @property
    def port(self) -> int:
        return self.client

    @property
    def address(self) -> str:
        return f"{self.host}:{self.client}"

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def line(self, with_client: bool = False) -> str:
        """Its line in everybody's configuration, without the key."""
        role = ":observer" if self.observer else ":participant"
        client = f";{self.host}:{self.client}" if with_client else ""
        return f"{self.host}:{self.quorum}:{self.election}{role}{client}"

    def spawn(self) -> None:
        """Start and return at once."""
        if self.alive:
            raise HarnessError(f"{self} is already running")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.wrap, *self.command()],
                cwd=self.home,
                env=os.environ | {"TZ": "UTC"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        self.frozen = False

    def command(self) -> list[str]:
        defines = [f"-D{item}" for item in [*BASE_PROPERTIES, *self.properties]]
        if self.kind == QUOLL:
            return [str(quoll_binary()), *defines, "server", str(self.cfg)]
        version = self.kind.removeprefix("java-")
        level = os.environ.get("REFERENCE_LOG", "WARN")
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        return ["java", *JAVA, "-cp", class_path(version), f"-DREFERENCE_LOG={level}", *defines, main, str(self.cfg)]

    def signal(self, number: signal.Signals) -> None:
        if self.alive:
            self.process.send_signal(number)

    def freeze(self) -> None:
        """SIGSTOP: there, connected, and silent."""
        self.signal(signal.SIGSTOP)
        self.frozen = True

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)
        self.frozen = False

    def kill(self) -> int | None:
        """SIGKILL; the exit code if it had ended by itself."""
        process, self.process, self.frozen = self.process, None, False
        if process is None:
            return None
        code = process.poll()
        if code is None:
            process.kill()
            process.wait()
        return code

    def stop(self) -> None:
        """SIGTERM, and an error when it does not go."""
        process = self.process
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise HarnessError(f"{self} ignored SIGTERM for {STOP_PATIENCE:.0f} s") from None
        self.process = None

    def become(self, kind: str) -> None:
        """Another program on the same files, from the next start on."""
        if self.alive:
            raise HarnessError(f"{self} is running")
        self.kind = kind

    def say(self, word: str, patience: float = 5.0) -> str:
        return four_letter(self.host, self.client, word, patience)

    def mode(self) -> str:
        """The role that `srvr` tells; empty while it serves nobody."""
        if not self.alive or self.frozen:
            return ""
        try:
            answer = self.say("srvr", 2.0)
        except OSError:
            return ""
        return next((line[6:] for line in answer.splitlines() if line.startswith("Mode: ")), "")

    def mntr(self) -> dict[str, str]:
        return dict(line.split("\t", 1) for line in self.say("mntr").splitlines() if "\t" in line)

    def zxid(self) -> int:
        """What `srvr` says it has reached."""
        lines = self.say("srvr").splitlines()
        return int(next(line[6:] for line in lines if line.startswith("Zxid: ")), 16)

    def tail(self, lines: int = 12) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        # The harness itself asks all the time.
        told = [line for line in text.splitlines() if "Processing srvr command" not in line]
        return "\n".join([f"--- the end of the log of {self}", *told[-lines:]])

    def grep(self, word: str) -> list[str]:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return [line for line in text.splitlines() if word in line]


class Ensemble:
    """Members that know each other from the start; more may be added later, by `member`, for a reconfiguration."""

    def __init__(
        self,
        work: Path,
        kinds: Iterable[str],
        config: dict[str, str] | None = None,
        *,
        lines: Iterable[str] = (),
        observers: Iterable[int] = (),
        properties: Iterable[str] = (),
        reconfig: bool = False,
        hosts: dict[int, str] | None = None,
        wraps: dict[int, list[str]] | None = None,
    ):
        self.work = work
        self.config = LINES | (config or {})
        self.lines = list(lines)
        self.properties = list(properties)
        self.reconfig = reconfig
        self.members: dict[int, Member] = {}
        for number, kind in enumerate(kinds, 1):
            member = self._new(number, kind, number in set(observers))
            member.host = (hosts or {}).get(number, LOOPBACK)
            member.wrap = (wraps or {}).get(number, [])
        for member in self.members.values():
            self.write(member)

    def __enter__(self) -> "Ensemble":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getitem__(self, number: int) -> Member:
        return self.members[number]

    def _new(self, number: int, kind: str, observer: bool = False) -> Member:
        home = self.work / f"server-{number}"
        (home / "data").mkdir(parents=True)
        (home / "data" / "myid").write_text(f"{number}\n")
        member = Member(number, kind, home, observer=observer)
        self.members[number] = member
        return member

    def write(
        self, member: Member, known: Iterable[Member] | None = None, via: Callable[[Member], str] | None = None
    ) -> None:
        """The configuration file. `known` are the servers it names, `via` tells where this member finds another."""
        known = list(known if known is not None else self.members.values())
        lines = [f"dataDir={member.data}"]
        if not self.reconfig:
            lines += [f"clientPort={member.client}", f"clientPortAddress={member.host}"]
        else:
            lines += ["reconfigEnabled=true"]
        lines += [f"{key}={value}" for key, value in self.config.items() if value is not None]
        for other in known:
            line = other.line(self.reconfig)
            if via and other is not member:
                line = via(other)
            lines.append(f"server.{other.number}={line}")
        if member.observer:
            lines.append("peerType=observer")
        member.cfg.write_text("\n".join([*lines, *self.lines, *member.config]) + "\n")
        member.properties = [*self.properties, *(item for item in member.properties if item not in self.properties)]

    def member(self, number: int, kind: str, known: Iterable[Member], observer: bool = False) -> Member:
        """One more, which names `known` and itself, as somebody who waits to be let in."""
        member = self._new(number, kind, observer)
        self.write(member, [*known, member])
        return member

    # All at once.

    def start(self, *numbers: int) -> None:
        """Start the members named, or all, and return when each of them serves in a role."""
        chosen = [self.members[number] for number in numbers] or list(self.members.values())
        for member in chosen:
            member.spawn()
        self.settle(PATIENCE, chosen)

    def settle(self, patience: float = PATIENCE, members: Iterable[Member] | None = None) -> Member:
        """Wait until those that run serve and one of them leads; who that is."""
        deadline = time.monotonic() + patience
        while True:
            running = [member for member in self.members.values() if member.alive and not member.frozen]
            for member in members or ():
                if not member.alive:
                    code = member.process.poll() if member.process else None
                    raise HarnessError(f"{member} ended with code {code}\n{member.tail()}")
            modes = {member.number: member.mode() for member in running}
            leaders = [member for member in running if modes[member.number] in ("leader", "standalone")]
            if all(mode not in ("", "read-only") for mode in modes.values()) and len(leaders) == 1:
                return leaders[0]
            if time.monotonic() > deadline:
                tails = "\n".join(member.tail() for member in running)
                raise HarnessError(f"no order within {patience:.0f} s: {modes}\n{tails}")
            time.sleep(0.05)

    def leader(self) -> Member:
        return self.settle()

    def others(self, *but: Member) -> list[Member]:
        """Those that run, without these."""
        return [member for member in self.members.values() if member.alive and member not in but]

    def followers(self) -> list[Member]:
        """In the order of their ids, observers left out."""
        leader = self.leader()
        return [member for member in self.others(leader) if member.mode() == "follower"]

    def serving(self) -> list[Member]:
        return [member for member in self.members.values() if member.mode()]

    def connect_string(self) -> str:
        return ",".join(member.address for member in self.members.values())

    def restart_led_by(self, number: int) -> Member:
        """Stop all and start again so that this one leads: it stops last, and starts with just enough smaller ones."""
        chosen = self.members[number]
        running = self.others()
        for member in [*(member for member in running if member is not chosen), *([chosen] if chosen in running else [])]:
            member.stop()
        voters = [member for member in self.members.values() if not member.observer]
        smaller = [member for member in voters if member.number < number]
        first = [chosen, *smaller[: len(voters) // 2]]
        for member in first:
            member.spawn()
        found = self.settle(PATIENCE, first)
        if found is not chosen:
            raise HarnessError(f"{found} leads, not {chosen}")
        for member in running:
            if not member.alive:
                member.spawn()
        return self.settle()

    def close(self) -> None:
        for member in self.members.values():
            member.kill()

    def tails(self, lines: int = 12) -> str:
        return "\n".join(member.tail(lines) for member in self.members.values())
