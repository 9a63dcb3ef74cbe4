"""Suites on disk, and one run of one suite: its process, its control socket, its verdict.

It is not a judge of checks: a suite judges itself and prints the outcome; this file only refuses a report that
contradicts itself. Its invariant: a run that reports nothing, dies or hangs is a failure, never a pass.
"""

import os
import re
import signal
import socket
import stat
import subprocess
import time
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from .server import ROOT, HarnessError, Server, Settings, die_with_parent

SUITES = ROOT / "compat-tests" / "suites"
DEFAULT_TIMEOUT = 300.0
NOT_PROVISIONED = 3
# The servers under test. `mixed` is for suites that start ensembles: of both kinds together.
TARGETS = ("reference", "quoll", "mixed")
SINGLE = "single"
SUMMARY = re.compile(r"^(\d+) passed, (\d+) failed$")

# What a suite finds as ZK_CTL. The harness keeps the server as its own child, so the script only asks.
CTL_SCRIPT = """\
#!/usr/bin/env python3
import socket, sys
if not 2 <= len(sys.argv) <= 3 or sys.argv[1] not in ("start", "stop", "kill", "restart", "pid"):
    sys.exit("usage: $ZK_CTL start|stop|kill|restart [VARIANT] | pid")
with socket.socket(socket.AF_UNIX) as conn:
    conn.connect({path!r})
    conn.sendall(" ".join(sys.argv[1:]).encode() + b"\\n")
    answer = conn.makefile().read()
status, _, text = answer.partition(" ")
if status != "ok":
    sys.exit("ZK_CTL: " + (text.strip() or "the harness gave no answer"))
if text.strip():
    print(text.strip())
"""
CTL_ABSENT = """\
#!/bin/sh
echo "ZK_CTL: the server was started by somebody else (--connect) and cannot be controlled" >&2
exit 3
"""


@dataclass
class Suite:
    """A directory below `suites` with an executable `run` and an optional `suite.toml`."""

    name: str
    run: Path
    timeout: float = DEFAULT_TIMEOUT
    settings: Settings = field(default_factory=Settings)
    variants: dict[str, Settings] = field(default_factory=dict)
    # Suites that run together: `single` with one server each, others with servers of their own.
    group: str = SINGLE
    targets: tuple[str, ...] = TARGETS[:2]
    # Targets that a suite can run against, and does only when `--target` names them.
    on_request: tuple[str, ...] = ()
    # Whether the harness is to start a server for it.
    server: bool = True


@dataclass
class Report:
    """What one run of a suite came to. `trouble` is set when the run itself went wrong."""

    passed: int
    failed: int
    failures: list[str]
    output: str
    errors: str
    seconds: float
    trouble: str | None = None


def discover() -> list[Suite]:
    if not SUITES.is_dir():
        return []
    return [load(path) for path in sorted(SUITES.iterdir()) if (path / "run").is_file()]


def load(path: Path) -> Suite:
    suite = Suite(path.name, path / "run")
    if not os.access(suite.run, os.X_OK):
        raise HarnessError(f"suites/{path.name}/run is not executable")
    described = path / "suite.toml"
    if described.is_file():
        try:
            table = tomllib.loads(described.read_text())
            suite.timeout = float(table.pop("timeout", DEFAULT_TIMEOUT))
            suite.group = str(table.pop("group", SINGLE))
            suite.server = bool(table.pop("server", True))
            suite.targets = targets_of(table.pop("targets", list(suite.targets)))
            suite.on_request = targets_of(table.pop("on_request", []))
            suite.variants = {name: settings_of(row) for name, row in table.pop("variants", {}).items()}
            suite.settings = settings_of(table)
        except (tomllib.TOMLDecodeError, ValueError, TypeError) as error:
            raise HarnessError(f"{path.name}/suite.toml: {error}") from None
    return suite


def turns_of(suite: Suite, wanted: str) -> list[str]:
    """The targets of a run: all its own for `both`, or the named one."""
    if wanted == "both":
        return list(suite.targets)
    return [target for target in (*suite.targets, *suite.on_request) if target == wanted]


def targets_of(names: list) -> tuple[str, ...]:
    for name in names:
        if name not in TARGETS:
            raise ValueError(f"unknown target {name!r}")
    return tuple(names)


def settings_of(table: dict) -> Settings:
    unknown = set(table) - {"config", "without", "properties"}
    if unknown:
        raise ValueError(f"unknown key {sorted(unknown)[0]!r}")
    for key, value in table.items():
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ValueError(f"{key} is not a list of strings")
    return Settings(**table)


class Control:
    """The listening end of ZK_CTL: a unix socket that turns requests of the suite into calls on its server."""

    def __init__(self, work: Path, server: Server):
        self._server = server
        path = work / "ctl.sock"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(8)
        self.script = work / "ctl"
        write_script(self.script, CTL_SCRIPT.format(path=str(path)))

    def serve(self, patience: float) -> None:
        """Wait for at most `patience` seconds for one request and carry it out."""
        self._listener.settimeout(patience)
        try:
            conn, _ = self._listener.accept()
        except TimeoutError:
            return
        with conn:
            conn.settimeout(5.0)
            try:
                request = conn.makefile().readline().split()
                conn.sendall(self._answer(request).encode())
            except OSError:
                pass  # The suite went away while it asked; its exit code tells the rest.

    def close(self) -> None:
        self._listener.close()

    def _answer(self, request: list[str]) -> str:
        verb, variant = (request + [None, None])[:2]
        try:
            match verb:
                case "start":
                    self._server.start(variant)
                case "stop":
                    self._server.stop()
                case "kill":
                    self._server.kill()
                case "restart":
                    self._server.stop()
                    self._server.start(variant)
                case "pid":
                    return f"ok {self._server.pid or ''}"
                case _:
                    return "error unknown request"
        except HarnessError as error:
            return f"error {error}"
        return "ok"


def write_script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def run_suite(suite: Suite, env: dict[str, str], work: Path, server: Server | None) -> Report:
    """Run the suite against a server that serves; `server` is None for one that somebody else started."""
    scratch = work / "scratch"
    scratch.mkdir()
    control = Control(work, server) if server else None
    if control is None:
        write_script(work / "ctl", CTL_ABSENT)
    env = env | {"ZK_WORK": str(scratch), "ZK_CTL": str(work / "ctl")}
    out, err = work / "suite.out", work / "suite.err"
    begun = time.monotonic()
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(
            [suite.run],
            cwd=suite.run.parent,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        try:
            code = attend(process, control, begun + suite.timeout)
        finally:
            end_group(process)
            if control:
                control.close()
    seconds = time.monotonic() - begun
    return judge(code, suite.timeout, out.read_text(errors="replace"), err.read_text(errors="replace"), seconds)


def failed_twice(first: Report, second: Report) -> int:
    """How many checks failed in both runs. A run that ended otherwise than by its own verdict is one more."""
    names = {name_of(failure) for failure in first.failures}
    return sum(name_of(failure) in names for failure in second.failures) + bool(second.trouble)


def name_of(failure: str) -> str:
    return failure.partition(": ")[0]


def attend(process: subprocess.Popen, control: Control | None, deadline: float) -> int | None:
    """Serve the control socket until the suite ends; its exit code, or None when its time is over."""
    while (code := process.poll()) is None:
        if time.monotonic() > deadline:
            return None
        if control:
            control.serve(0.05)
        else:
            time.sleep(0.05)
    return code


def end_group(process: subprocess.Popen) -> None:
    """End whatever the suite left behind: it runs in a process group of its own."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    process.wait()


def judge(code: int | None, timeout: float, output: str, errors: str, seconds: float) -> Report:
    lines = output.splitlines()
    passed = sum(line.startswith("ok ") for line in lines)
    failures = [line for line in lines if line.startswith("not ok ")]
    trouble = None
    last = SUMMARY.match(lines[-1]) if lines else None
    if code is None:
        trouble = f"no end after {timeout:.0f} s"
    elif code == NOT_PROVISIONED:
        trouble = "its dependencies could not be provisioned"
    elif last is None:
        trouble = f"ended with code {code} without the line 'N passed, N failed'"
    elif (int(last[1]), int(last[2])) != (passed, len(failures)):
        trouble = f"counts {last[0]!r}, but printed {passed} ok and {len(failures)} not ok"
    elif passed + len(failures) == 0:
        trouble = "made no check"
    elif (code == 0) != (not failures):
        trouble = f"ended with code {code} after {len(failures)} failures"
    return Report(passed, len(failures) + (trouble is not None), failures, output, errors, seconds, trouble)
