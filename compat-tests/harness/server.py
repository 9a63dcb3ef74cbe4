"""One standalone server under test, the reference or Quoll, started from the same zoo.cfg.

It is not a client: all it says to a server is the word `srvr`, to learn that it serves. Its invariant: a process it
started never outlives it, for every way out passes `stop` and a killed harness takes its servers along.
"""

import ctypes
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT = 60.0
STOP_TIMEOUT = 20.0

# Below the range that Linux hands out to outgoing connections, so that a port stays ours across a restart.
PORTS = range(20000, 32000)

# super:test, as `DigestAuthenticationProvider super:test` prints it.
SUPER_DIGEST = "super:D/InIHSb7yEEbrWz8b9l71RjZJU="

BASE_CONFIG = {
    "tickTime": "2000",
    "clientPortAddress": "127.0.0.1",
    "maxClientCnxns": "0",
    "4lw.commands.whitelist": "*",
    "extendedTypesEnabled": "true",
    "admin.enableServer": "false",
}
BASE_PROPERTIES = [f"zookeeper.DigestAuthenticationProvider.superDigest={SUPER_DIGEST}"]


class HarnessError(Exception):
    """Something outside the checks went wrong; its text is for the person who runs the suites."""


@dataclass
class Settings:
    """What a suite adds to the base settings: zoo.cfg lines, base keys to leave out, `-D` properties."""

    config: list[str] = field(default_factory=list)
    without: list[str] = field(default_factory=list)
    properties: list[str] = field(default_factory=list)

    def extended(self, other: "Settings") -> "Settings":
        return Settings(
            self.config + other.config, self.without + other.without, self.properties + other.properties
        )


_given: set[int] = set()


def ports(tries: int = 200) -> Iterator[int]:
    """Ports to try, none of which this process was given before: who has one may open it later."""
    for _ in range(tries):
        # Not the seeded generator: processes that were forked from one another would all choose the same.
        port = random.SystemRandom().choice(PORTS)
        if port not in _given:
            _given.add(port)
            yield port


def free_port() -> int:
    """A port that nobody listens on now, at any address: some servers open theirs at all of them."""
    for port in ports():
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return port
    raise HarnessError(f"no free port between {PORTS.start} and {PORTS.stop}")


def four_letter(host: str, port: int, word: str, timeout: float = 2.0) -> str:
    """The answer to a four-letter word, up to the close."""
    with socket.create_connection((host, port), timeout=timeout) as conn:
        conn.sendall(word.encode())
        answer = b""
        while chunk := conn.recv(65536):
            answer += chunk
        return answer.decode(errors="replace")


def serves(host: str, port: int) -> bool:
    try:
        return "Mode:" in four_letter(host, port, "srvr")
    except OSError:
        return False


def die_with_parent() -> None:
    """Runs in the child before exec: Linux sends it SIGKILL when the harness dies without a chance to clean up."""
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def quoll_binary() -> Path:
    path = Path(os.environ.get("QUOLL_BIN") or ROOT / "target" / "release" / "quoll")
    if not os.access(path, os.X_OK):
        raise HarnessError(f"{path} is not there: run `cargo build --release` first, or name a binary in QUOLL_BIN")
    return path.resolve()


class Server:
    """A server with its own port and directory, which can be stopped, killed and started again on the same data."""

    def __init__(self, target: str, work: Path, settings: Settings, variants: dict[str, Settings]):
        self.target = target
        self.port = free_port()
        self.data = work / "data"
        self.log = work / f"{target}.log"
        self._cfg = work / "zoo.cfg"
        self._settings = settings
        self._variants = variants
        self._process: subprocess.Popen | None = None
        self.data.mkdir()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if running else None

    def start(self, variant: str | None = None) -> None:
        """Start with the settings of `variant`, or the plain ones, and return when it serves."""
        if self.pid is not None:
            raise HarnessError("the server is already running")
        settings = self._settings
        if variant is not None:
            if variant not in self._variants:
                raise HarnessError(f"suite.toml names no variant {variant!r}")
            settings = settings.extended(self._variants[variant])
        self._write_config(settings)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(settings),
                cwd=ROOT,
                # Both print dates in local time; the suites read them.
                env=os.environ | {"TZ": "UTC"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        self._wait_until_it_serves()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL to one that does not go."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: the crash of a process."""
        self._end(signal.SIGKILL)

    def tail(self, lines: int = 40) -> str:
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError as error:
            return f"(no log: {error})"

    def _command(self, settings: Settings) -> list[str]:
        properties = [f"-D{item}" for item in BASE_PROPERTIES + settings.properties]
        if self.target == "reference":
            return [str(ROOT / "scripts" / "reference"), "server", str(self._cfg), *properties]
        return [str(quoll_binary()), *properties, "server", str(self._cfg)]

    def _write_config(self, settings: Settings) -> None:
        lines = [f"dataDir={self.data}", f"clientPort={self.port}"]
        lines += [f"{key}={value}" for key, value in BASE_CONFIG.items() if key not in settings.without]
        self._cfg.write_text("\n".join(lines + settings.config) + "\n")

    def _wait_until_it_serves(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            code = self._process.poll()
            if code is not None:
                raise HarnessError(f"the {self.target} server ended with code {code} before it served")
            if serves("127.0.0.1", self.port):
                return
            time.sleep(0.05)
        self.kill()
        raise HarnessError(f"the {self.target} server did not serve within {START_TIMEOUT:.0f} s")

    def _end(self, sig: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(sig)
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            if sig == signal.SIGTERM:
                raise HarnessError(f"the {self.target} server ignored SIGTERM for {STOP_TIMEOUT:.0f} s") from None


def provision_reference(cache: Path) -> str:
    """Fetch the reference's jars where they are missing; its class path."""
    env = os.environ | {"COMPAT_CACHE": str(cache)}
    done = subprocess.run(
        [ROOT / "scripts" / "reference", "classpath"], env=env, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode != 0:
        raise HarnessError("the reference server could not be provisioned; see above")
    return done.stdout.strip()


def remove_tree(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
