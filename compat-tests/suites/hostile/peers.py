"""Those who come to the ports between servers and mean no good, or know no better.

They know the first bytes of both protocols and get them wrong. Its invariant: each connection is bounded, and all end
with the attack.
"""

import random
import socket
import struct
import threading
import time
from collections import Counter

# Identities and addresses as servers tell them when they call on an election port.
ADDRESSED = -65536
FOLLOWERINFO, OBSERVERINFO, ACK, REQUEST, PING = 11, 16, 3, 1, 5


def hello(sid: int, address: bytes = b"127.0.0.1:1") -> bytes:
    return struct.pack(">qqi", ADDRESSED, sid, len(address)) + address


def vote(state: int, leader: int, zxid: int, round_: int, epoch: int, config: bytes = b"") -> bytes:
    body = struct.pack(">iqqqqii", state, leader, zxid, round_, epoch, 2, len(config)) + config
    return struct.pack(">i", len(body)) + body


def packet(kind: int, zxid: int, data: bytes | None = None, length: int | None = None) -> bytes:
    size = length if length is not None else (-1 if data is None else len(data))
    return struct.pack(">iqi", kind, zxid, size) + (data or b"") + struct.pack(">i", -1)


class Crowd:
    """Attackers on both ports of all servers until they are told to stop."""

    def __init__(self, ports: list[tuple[str, int, str]], seed: int = 1, each: int = 3):
        self.done: Counter[str] = Counter()
        self._halt = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(host, port, kind, random.Random(f"{seed}/{port}/{n}")), daemon=True)
            for host, port, kind in ports
            for n in range(each)
        ]

    def __enter__(self) -> "Crowd":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._halt.set()
        for thread in self._threads:
            thread.join(10)

    def _work(self, host: str, port: int, kind: str, chance: random.Random) -> None:
        deeds = ELECTION if kind == "election" else QUORUM
        while not self._halt.is_set():
            name, deed = chance.choice(deeds)
            try:
                with socket.create_connection((host, port), timeout=2) as conn:
                    conn.settimeout(2)
                    deed(self, conn, chance)
                    self.done[name] += 1
            except OSError:
                # Sent away, which is what is wanted; or the port is not open at the moment.
                self.done[name] += 1
                time.sleep(0.01)

    def _wait(self, seconds: float) -> None:
        self._halt.wait(seconds)

    # What they do; the ones for both ports first.

    def garbage(self, conn: socket.socket, chance: random.Random) -> None:
        conn.sendall(chance.randbytes(chance.choice((1, 7, 20, 300, 70_000))))
        self._wait(0.02)

    def silent(self, conn: socket.socket, chance: random.Random) -> None:
        self._wait(chance.uniform(0.2, 3))

    def reset(self, conn: socket.socket, chance: random.Random) -> None:
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def drip(self, conn: socket.socket, chance: random.Random) -> None:
        for byte in hello(77) + vote(0, 77, 0, 1, 0):
            conn.sendall(bytes([byte]))
            self._wait(0.05)
            if self._halt.is_set():
                return

    def oversized_hello(self, conn: socket.socket, chance: random.Random) -> None:
        size = chance.choice((2**31 - 1, 1 << 20, -1, -(2**31)))
        conn.sendall(struct.pack(">qqi", ADDRESSED, 77, size) + b"x" * 100)
        self._wait(0.05)

    def strange_hello(self, conn: socket.socket, chance: random.Random) -> None:
        conn.sendall(struct.pack(">qq", chance.choice((-1, -65537, -65535, 1 << 62)), chance.getrandbits(63)) + bytes(8))
        self._wait(0.05)

    def unknown_server(self, conn: socket.socket, chance: random.Random) -> None:
        """One that nobody listed, with the best of all histories."""
        conn.sendall(hello(chance.choice((99, 2**62))))
        best = vote(0, 99, 2**62, 2**40, 2**40, chance.choice((b"", b"server.99=127.0.0.1:1:2", b"\xff\xfe")))
        conn.sendall(best)
        self._wait(0.3)

    def oversized_vote(self, conn: socket.socket, chance: random.Random) -> None:
        conn.sendall(hello(98))
        conn.sendall(struct.pack(">i", chance.choice((2**31 - 1, 600_000, -5, 3))) + b"y" * 50)
        self._wait(0.1)

    def oversized_packet(self, conn: socket.socket, chance: random.Random) -> None:
        conn.sendall(packet(FOLLOWERINFO, 0, None, chance.choice((2**31 - 1, 1 << 26, -7))))
        self._wait(0.1)

    def strange_packet(self, conn: socket.socket, chance: random.Random) -> None:
        conn.sendall(packet(chance.choice((0, 4, 12, 15, 99, -1)), chance.getrandbits(63), chance.randbytes(8)))
        self._wait(0.1)

    def strange_learner(self, conn: socket.socket, chance: random.Random) -> None:
        """Introduces itself properly, as somebody nobody knows, and then talks nonsense."""
        info = struct.pack(">qiq", 97, 0x10000, 0)
        conn.sendall(packet(chance.choice((FOLLOWERINFO, OBSERVERINFO)), 0, info))
        self._wait(0.2)
        conn.sendall(packet(chance.choice((ACK, REQUEST, PING, 6, 42)), 2**62, chance.randbytes(11)))
        self._wait(0.2)

    def half_packet(self, conn: socket.socket, chance: random.Random) -> None:
        conn.sendall(packet(FOLLOWERINFO, 0, struct.pack(">qiq", 96, 0x10000, 0))[: chance.randrange(1, 40)])
        self._wait(chance.uniform(0.2, 2))

    def reads_nothing(self, conn: socket.socket, chance: random.Random) -> None:
        """Joins as an observer and never reads what it is told."""
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        conn.sendall(packet(OBSERVERINFO, 0, struct.pack(">qiq", 95, 0x10000, 0)))
        conn.sendall(packet(18, 0, struct.pack(">i", -1)))
        self._wait(chance.uniform(0.5, 3))


BOTH = [
    ("garbage", Crowd.garbage),
    ("silence", Crowd.silent),
    ("reset", Crowd.reset),
    ("drip", Crowd.drip),
]
ELECTION = [
    *BOTH,
    ("oversized hello", Crowd.oversized_hello),
    ("strange hello", Crowd.strange_hello),
    ("unknown server", Crowd.unknown_server),
    ("oversized vote", Crowd.oversized_vote),
]
QUORUM = [
    *BOTH,
    ("oversized packet", Crowd.oversized_packet),
    ("strange packet", Crowd.strange_packet),
    ("strange learner", Crowd.strange_learner),
    ("half a packet", Crowd.half_packet),
    ("reads nothing", Crowd.reads_nothing),
]
