"""Ensembles of three under load: what they carry, how long they are silent when their leader dies, how soon one that
was away is back.

It knows nothing of rows and bars: `scripts/bench` does. Its invariant: both kinds get the same configuration, the same
clients in the same order, and the same disk.
"""

import json
import shutil
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from harness import ensemble as servers
from harness.ensemble import QUOLL, REFERENCE, Ensemble, Member
from harness.server import HarnessError
from harness.zkwire import Client, Closed

# What an installation has; only the ports and the loopback address differ.
CONFIG = {"tickTime": "2000", "initLimit": "10", "syncLimit": "5", "preAllocSize": "65536"}
KINDS = {"quoll": QUOLL, "reference": REFERENCE}
HEAP = ["-Xmx1000m"]
WRITERS = 6
RETRY = 0.01
# Longer than any silence that is to be measured.
WATCHED = 6.0


class Three:
    """One ensemble."""

    def __init__(self, target: str, work: Path, binary: Path):
        self.target, self.binary = target, binary
        self.work = Path(tempfile.mkdtemp(prefix=f"ensemble-{target}-", dir=work))
        servers.JAVA = HEAP
        self.all = Ensemble(self.work, [KINDS[target]] * 3, CONFIG)

    def __enter__(self) -> "Three":
        self.all.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.all.close()
        shutil.rmtree(self.work, ignore_errors=True)

    def drive(self, arguments: list[str], members: list[Member] | None = None) -> dict:
        """One run of `quoll bench` on all servers, or on some."""
        addresses = ",".join(member.address for member in members or self.all.members.values())
        command = [str(self.binary), "bench", *arguments, "--server", addresses, "--json", "--timeout", "120"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise HarnessError(f"on three {self.target}: {' '.join(command)}\n{done.stdout}{done.stderr}")
        return json.loads(done.stdout)

    def silence(self) -> float:
        """Kill the leader: the longest time without a successful write, in milliseconds."""
        leader = self.all.settle()
        successes: list[float] = []
        halt = threading.Event()
        writers = [threading.Thread(target=self._write, args=(n, successes, halt), daemon=True) for n in range(WRITERS)]
        for writer in writers:
            writer.start()
        time.sleep(1.0)
        killed = time.monotonic()
        leader.kill()
        time.sleep(WATCHED)
        halt.set()
        for writer in writers:
            writer.join(10)
        leader.spawn()
        self.all.settle()
        times = sorted(moment for moment in successes if moment > killed - 0.2)
        if not times or times[-1] < killed + WATCHED - 1:
            raise HarnessError(f"three {self.target} did not serve again within {WATCHED:.0f} s")
        return max(later - earlier for earlier, later in zip(times, times[1:], strict=False)) * 1000

    def _write(self, number: int, successes: list[float], halt: threading.Event) -> None:
        """One request after the other; without a connection, another server after 10 ms."""
        members = list(self.all.members.values())
        turn, client, session, password = number, None, 0, bytes(16)
        path = f"/bench-silence-{number}"
        while not halt.is_set():
            try:
                if client is None:
                    member = members[turn % len(members)]
                    client = Client(member.host, member.port, 20000, session, password, patience=1.0)
                    session, password = client.session, client.password
                reply = client.set(path, b"x" * 100)
                if reply.error == -101:
                    reply = client.create(path)
                if reply.error == 0:
                    successes.append(time.monotonic())
            except (OSError, Closed, struct.error):
                if client:
                    client.drop()
                client, turn = None, turn + 1
                time.sleep(RETRY)
        if client:
            client.close()

    def back(self, txns: int) -> tuple[float, str]:
        """A follower misses so many transactions: the seconds until it serves again, and how it was brought up."""
        follower = self.all.followers()[0]
        follower.stop()
        leader = self.all.settle()
        rest = self.all.others()
        before = {key: int(leader.mntr().get(key, 0)) for key in ("zk_diff_count", "zk_snap_count")}
        self.drive(["write", "-c", "16", "-d", "64", "--ops", str(txns), "--warmup", "0"], rest)
        began = time.monotonic()
        follower.spawn()
        while follower.mode() != "follower":
            if time.monotonic() - began > 120:
                raise HarnessError(f"{follower} does not come back\n{follower.tail()}")
            time.sleep(0.01)
        took = time.monotonic() - began
        after = leader.mntr()
        how = [key[3:7].upper() for key in before if int(after.get(key, 0)) > before[key]]
        return took, "/".join(how) or "?"
