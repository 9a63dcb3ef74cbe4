"""A network of its own for servers: a namespace each, joined by a bridge, in which single directions can be cut.

Nothing is asked of iptables or tc: a direction is cut by a wrong link-layer address for the neighbour, so packets leave
and arrive nowhere, silently, as behind a dead switch port. It needs root and `ip`. Its invariant: what it made is gone
when it is closed; what a killed run left behind is taken away by the next one.
"""

import os
import re
import shutil
import subprocess
from itertools import permutations

from .server import HarnessError

# Nobody has this address.
NOWHERE = "02:51:ff:ff:ff:ff"


def lacking() -> str:
    """What is missing for this, in words; empty when nothing is."""
    if os.geteuid() != 0:
        return "root"
    if not shutil.which("ip"):
        return "`ip` (Debian: iproute2)"
    tried = subprocess.run(["ip", "netns", "add", "quoll-try"], capture_output=True, text=True, check=False)
    subprocess.run(["ip", "netns", "del", "quoll-try"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else f"network namespaces ({tried.stderr.strip()})"


def ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise HarnessError(f"ip {' '.join(words)}: {done.stderr.strip()}")


class Network:
    """Servers 1 to `count` at addresses of their own; the machine itself is on the bridge, too."""

    def __init__(self, count: int):
        if missing := lacking():
            raise HarnessError(f"no network of our own can be made here: {missing} is missing")
        self.numbers = range(1, count + 1)
        self.tag = f"q{os.getpid()}"
        self.cuts: set[tuple[int, int]] = set()
        sweep()
        octet = os.getpid() % 250 + 1
        self.prefix = f"10.213.{octet}"
        self.bridge = f"{self.tag}b"[:15]
        try:
            ip("link", "add", self.bridge, "type", "bridge")
            ip("addr", "add", f"{self.prefix}.254/24", "dev", self.bridge)
            ip("link", "set", self.bridge, "up")
            for number in self.numbers:
                self._join(number)
        except HarnessError:
            self.close()
            raise

    def _join(self, number: int) -> None:
        space, outer = self.space(number), f"{self.tag}v{number}"[:15]
        ip("netns", "add", space)
        ip("link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", space, "address", mac(number))
        ip("link", "set", outer, "master", self.bridge, "up")
        ip("-n", space, "link", "set", "lo", "up")
        ip("-n", space, "addr", "add", f"{self.host(number)}/24", "dev", "eth0")
        ip("-n", space, "link", "set", "eth0", "up")
        for other in self.numbers:
            if other != number:
                self._neighbour(number, other, mac(other))

    def space(self, number: int) -> str:
        return f"{self.tag}-{number}"

    def host(self, number: int) -> str:
        return f"{self.prefix}.{number}"

    def wrap(self, number: int) -> list[str]:
        """What comes before the command of a server."""
        return ["ip", "netns", "exec", self.space(number)]

    def cut(self, sender: int, receiver: int) -> None:
        """From now on nothing that `sender` says reaches `receiver`."""
        self._neighbour(sender, receiver, NOWHERE)
        self.cuts.add((sender, receiver))

    def mend(self, sender: int, receiver: int) -> None:
        self._neighbour(sender, receiver, mac(receiver))
        self.cuts.discard((sender, receiver))

    def heal(self) -> None:
        for sender, receiver in list(self.cuts):
            self.mend(sender, receiver)

    def split(self, *groups: list[int]) -> None:
        """No word between those of different groups."""
        for one, other in permutations(groups, 2):
            for sender in one:
                for receiver in other:
                    self.cut(sender, receiver)

    def _neighbour(self, at: int, of: int, address: str) -> None:
        words = ["neigh", "replace", self.host(of), "lladdr", address, "dev", "eth0", "nud", "permanent"]
        ip("-n", self.space(at), *words)

    def close(self) -> None:
        for number in self.numbers:
            subprocess.run(["ip", "netns", "del", self.space(number)], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", self.bridge], capture_output=True, check=False)


def mac(number: int) -> str:
    return f"02:51:00:00:00:{number:02x}"


def sweep() -> None:
    """Take away what runs that are no more have left."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=False).stdout
    for name in re.findall(r"(?m)^(q\d+-\d+)\b", listed):
        if not os.path.exists(f"/proc/{name[1:].split('-')[0]}"):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    links = subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=False).stdout
    for name, owner in re.findall(r"(?m)^(q(\d+)b)\b", links):
        if not os.path.exists(f"/proc/{owner}"):
            subprocess.run(["ip", "link", "del", name], capture_output=True, check=False)
