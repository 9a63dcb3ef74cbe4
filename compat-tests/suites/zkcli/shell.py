"""The stock shell as a person at a terminal uses it: a line in, then whatever it says up to its next prompt.

It is `zkCli.sh` without the script around the Java class. The shell's main thread prints answers and its event thread
prints watch events, so the two may interleave anywhere; an exchange keeps them apart. Its invariant: every wait is
bounded, and the child is gone after `end`.
"""

import os
import re
import selectors
import subprocess
import time
from dataclasses import dataclass, field

PROMPT = re.compile(r"\[zk: [^\]\n]*\(\w+\) \d+\] $")
EVENT = re.compile(r"\nWATCHER::\n|\nWatchedEvent [^\n]*\n")
MAIN = "org.apache.zookeeper.ZooKeeperMain"
PATIENCE = 30.0

JVM = [
    "java",
    "-Xmx96m",
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-Duser.timezone=UTC",
    "-Duser.language=en",
    "-DREFERENCE_LOG=OFF",
    # A pipe is no terminal; saying so beforehand spares the library's warning.
    "-Dorg.jline.terminal.dumb=true",
]


class Stuck(Exception):
    """The shell did not do what was waited for; the text says what it printed instead."""


@dataclass
class Exchange:
    """One command and what came of it."""

    prompt: str
    command: str
    answer: str = ""
    events: list[str] = field(default_factory=list)


def split_events(text: str) -> tuple[str, list[str]]:
    """The text without watch events, and the events in their order."""
    events = [match[0].strip() for match in EVENT.finditer(text) if "WatchedEvent" in match[0]]
    return EVENT.sub("", text), events


class Shell:
    """One running interactive shell."""

    def __init__(self, classpath: str, server: str, options: list[str] | None = None):
        command = [*JVM, "-cp", classpath, MAIN, "-server", server, "-waitforconnection", *(options or [])]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=quiet_environment()
        )
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._process.stdout, selectors.EVENT_READ)
        self._text = ""
        self._prompt = ""
        self.exchanges = [Exchange("", "")]
        self._until(self._at_prompt, "its first prompt")
        self._settle()

    def say(self, command: str) -> None:
        """Send one command and wait for the next prompt."""
        self._close_exchange(command)
        self._process.stdin.write(command.encode() + b"\n")
        self._process.stdin.flush()
        self._until(self._at_prompt, f"a prompt after {command!r}")
        self._settle()

    def await_events(self, count: int) -> None:
        """Wait until the current exchange has seen `count` watch events."""
        self._until(lambda: len(split_events(self._text)[1]) >= count, f"{count} watch events")
        self._settle()

    def end(self, command: str = "quit") -> int:
        """Say the last command and wait for the end; the exit code."""
        try:
            self._close_exchange(command)
            self._process.stdin.write(command.encode() + b"\n")
            self._process.stdin.close()
            self._until(lambda: False, "its end", ends=True)
            self.exchanges[-1].answer, self.exchanges[-1].events = split_events(self._text)
            return self._process.wait(PATIENCE)
        finally:
            self.kill()

    def kill(self) -> None:
        self._selector.close()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    def _at_prompt(self) -> bool:
        plain, _ = split_events(self._text)
        return PROMPT.search(plain) is not None

    def _settle(self) -> None:
        plain, events = split_events(self._text)
        prompt = PROMPT.search(plain)
        self.exchanges[-1].answer = plain[: prompt.start()]
        self.exchanges[-1].events = events
        self._prompt = prompt[0]

    def _close_exchange(self, command: str) -> None:
        self._text = ""
        self.exchanges.append(Exchange(self._prompt, command))

    def _until(self, reached, what: str, ends: bool = False) -> None:
        deadline = time.monotonic() + PATIENCE
        while not reached():
            left = deadline - time.monotonic()
            if left <= 0 or not self._selector.select(left):
                raise Stuck(f"waited {PATIENCE:.0f} s for {what}; it printed {self._text[-500:]!r}")
            chunk = os.read(self._process.stdout.fileno(), 65536)
            if not chunk:
                if ends:
                    return
                raise Stuck(f"ended before {what}; it printed {self._text[-500:]!r}")
            self._text += chunk.decode(errors="replace")


def one_shot(classpath: str, server: str, words: list[str], options: list[str] | None = None) -> tuple[int, Exchange]:
    """Run the shell for one command; exit code and exchange."""
    done = subprocess.run(
        [*JVM, "-cp", classpath, MAIN, "-server", server, *(options or []), *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=PATIENCE,
        env=quiet_environment(),
        check=False,
    )
    answer, events = split_events(done.stdout.decode(errors="replace"))
    return done.returncode, Exchange("", " ".join(words), answer, events)


def quiet_environment() -> dict[str, str]:
    """Without the variables that make a JVM print a line about having read them."""
    return {key: value for key, value in os.environ.items() if key not in ("JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS")}
