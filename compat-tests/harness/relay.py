"""A relay between two servers, which can hold what passes, let it through slowly or spoiled, or break off.

It knows nothing of what it relays; whoever wants to know gives it an ear. Its invariant: bytes of one connection stay
in order, and what was held is lost with the connection, as it is on a network.
"""

import random
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from .server import HarnessError, ports

# Bytes at a time; few enough that a fault hits in the middle of something.
CHUNK = 16384
NAP = 0.01
# How long a target is tried.
DIAL = 1.0


@dataclass
class Fault:
    """What is done to each of the two directions. `out` is from the one who connected."""

    hold_out: bool = False
    hold_back: bool = False
    delay: float = 0.0
    # Bytes at a time, and seconds between them.
    drip: int = 0
    # Chance that one byte of a chunk is changed.
    corrupt: float = 0.0
    dice: random.Random = field(default_factory=lambda: random.Random(1))


Ear = Callable[[int, str, bytes], None]


class Relay:
    """Listens on a port of its own and connects each who comes to the target."""

    def __init__(self, host: str, port: int, ear: Ear | None = None):
        self.target = (host, port)
        self.fault = Fault()
        self.taken = 0
        self._ear = ear
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._listener = listen(host)
        self.host, self.port = self._listener.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    def heal(self) -> None:
        self.fault = Fault()

    def break_off(self, hard: bool = True) -> None:
        """End every connection, with a reset or in order."""
        with self._lock:
            ends, self._open = list(self._open), set()
        for end in ends:
            try:
                if hard:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()

    def close(self) -> None:
        self._closed = True
        self._listener.close()
        self.break_off()

    def _accept(self) -> None:
        while not self._closed:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._join, args=(near,), daemon=True).start()

    def _join(self, near: socket.socket) -> None:
        far = self._reach()
        if far is None:
            near.close()
            return
        far.settimeout(None)
        with self._lock:
            self.taken += 1
            number = self.taken
            self._open |= {near, far}
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=self._pump, args=(number, "back", far, near), daemon=True).start()
        self._pump(number, "out", near, far)

    def _reach(self) -> socket.socket | None:
        """The target. Whoever connected would have tried again where nobody listens yet; here he cannot know."""
        deadline = time.monotonic() + DIAL
        while not self._closed:
            try:
                return socket.create_connection(self.target, timeout=DIAL)
            except OSError:
                if time.monotonic() > deadline:
                    return None
                time.sleep(NAP)
        return None

    def _pump(self, number: int, direction: str, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(CHUNK):
                while self._holds(direction) and source in self._open:
                    time.sleep(NAP)
                if source not in self._open:
                    break
                fault = self.fault
                if fault.delay:
                    time.sleep(fault.delay)
                if fault.corrupt and fault.dice.random() < fault.corrupt:
                    at = fault.dice.randrange(len(data))
                    data = data[:at] + bytes([data[at] ^ (1 << fault.dice.randrange(8))]) + data[at + 1 :]
                if self._ear:
                    self._ear(number, direction, data)
                if fault.drip:
                    for start in range(0, len(data), fault.drip):
                        sink.sendall(data[start : start + fault.drip])
                        time.sleep(NAP)
                else:
                    sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            with self._lock:
                self._open.discard(end)
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()

    def _holds(self, direction: str) -> bool:
        return self.fault.hold_out if direction == "out" else self.fault.hold_back


def listen(host: str) -> socket.socket:
    """A listener on a port of our range: others choose from it by binding, too."""
    for port in ports():
        listener = socket.socket()
        try:
            listener.bind((host, port))
            listener.listen(64)
        except OSError:
            listener.close()
            continue
        return listener
    raise HarnessError(f"no free port at {host}")
