"""Replacing the servers of an ensemble one at a time, there and back, under programs that must not notice.

It is not the programs: those are in Java, one with Curator, one with Kafka. Its invariant: at any moment at most one
server is away, and the next one is taken only when the last one follows again.
"""

import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Empty, Queue

from fixtures.ledger import Ledger
from fixtures.trees import lasting_disagreements, tree
from harness.check import Failed
from harness.ensemble import Ensemble, Member
from harness.server import HarnessError, die_with_parent

HERE = Path(__file__).resolve().parent
PATIENCE = 120.0

Say = Callable[[str], None]


class Program:
    """One of the Java programs: it works until its input ends, and answers each line with what it came to so far."""

    def __init__(self, command: list[str], log: Path):
        self.log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        self._lines: Queue[str] = Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._process.stdout:
            self._lines.put(line.strip())
        self._lines.put("")

    def await_ready(self) -> None:
        self._expect("ready", 240.0)

    def ask(self) -> str:
        """What it came to so far."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._next(PATIENCE)

    def finish(self) -> tuple[str, str]:
        """Let it come to an end: its summary, and its verdict."""
        self._process.stdin.close()
        summary, line = "", self._next(PATIENCE)
        while not line.startswith("verdict"):
            summary, line = line, self._next(PATIENCE)
        self._process.wait(PATIENCE)
        return summary, line.removeprefix("verdict ")

    def kill(self) -> None:
        try:
            os.killpg(self._process.pid, 9)
        except ProcessLookupError:
            pass
        self._process.wait()

    def _expect(self, word: str, patience: float) -> None:
        line = self._next(patience)
        if line != word:
            raise Failed(f"the program said {line!r}, not {word!r}: {self._tail()}")

    def _next(self, patience: float) -> str:
        try:
            line = self._lines.get(timeout=patience)
        except Empty:
            raise Failed(f"the program said nothing for {patience:.0f} s: {self._tail()}") from None
        if not line:
            raise Failed(f"the program ended with code {self._process.wait()}: {self._tail()}")
        return line

    def _tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])


def cache() -> Path:
    return Path(os.environ.get("COMPAT_CACHE") or HERE.parents[1] / ".cache").resolve()


def curator(servers: Ensemble, work: Path) -> Program:
    main = "quoll.compat.migration.Workload"
    frame = HERE.parent / "javaclient" / "java-suite"
    return Program([str(frame), str(HERE), main, servers.connect_string()], work / "curator.log")


def kafka(servers: Ensemble, work: Path) -> Program:
    """Three brokers, with the classes of the kafka suite."""
    suite = HERE.parent / "kafka"
    done = subprocess.run([suite / "provision", cache()], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise HarnessError("Kafka could not be provisioned; see above")
    jars = done.stdout.strip()
    classes = work / "classes"
    sources = [str(path) for path in [*(suite / "src").glob("*.java"), *(HERE / "kafka").glob("*.java")]]
    subprocess.run(["javac", "-cp", f"{jars}/*", "-d", str(classes), *sources], check=True)
    (work / "brokers").mkdir()
    command = ["java", "-Xmx200m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
    command += [f"-Dlog4j.configuration=file:{suite}/log4j-quiet.properties"]
    command += [f"-Dsuite.jars={jars}", f"-Dsuite.dir={suite}", "-cp", f"{classes}:{jars}/*", "Flow"]
    return Program([*command, str(work / "brokers"), servers.connect_string()], work / "kafka.log")


def replace(servers: Ensemble, kind: str, say: Say, after_each: Callable[[Member], None]) -> None:
    """All members become `kind`, the leader last."""
    leader = servers.settle()
    order = [member for member in servers.members.values() if member is not leader] + [leader]
    for member in order:
        role = member.mode()
        say(f"stop server {member.number}, a {role} of {member.kind}; start {kind} on its directory")
        member.stop()
        servers.settle()
        member.become(kind)
        member.spawn()
        found = servers.settle()
        say(f"server {member.number} is a {member.mode()} of {kind}; server {found.number} ({found.kind}) leads")
        after_each(member)


def there_and_back(servers: Ensemble, program: Program, old: str, new: str, say: Say) -> list[str]:
    """The whole way; what is wrong at the end."""
    program.await_ready()
    say(f"the program is at work: {program.ask()}")
    with Ledger(3, servers.serving, pause=0.02) as ledger:
        ledger.await_progress(30)

        def after_each(_: Member) -> None:
            ledger.await_progress(30)
            say(f"  {program.ask()}; {ledger.done} writes of our own")

        say(f"--- from {old} to {new}")
        replace(servers, new, say, after_each)
        say(f"--- and back from {new} to {old}")
        replace(servers, old, say, after_each)
    summary, verdict = program.finish()
    say(f"the program came to: {summary}")
    wrong = [] if verdict == "ok" else [verdict]
    wrong += lasting_disagreements(servers)
    for member in servers.members.values():
        wrong += [f"{member}: {line}" for line in ledger.wrong(tree(member))]
    say(f"{ledger.done} writes of our own were acknowledged, {ledger.longest:.2f} s was the longest silence")
    return wrong
