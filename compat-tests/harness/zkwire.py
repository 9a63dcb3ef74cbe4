"""A raw client: one session on one socket, one request at a time, and four-letter words.

It is not a client library: no reconnects, no heartbeats, no threads. What it sends is exactly what it is asked to
send, so that suites can say wrong things too. Its invariant: every read has a deadline.
"""

import socket
import struct
import time
from collections import deque
from dataclasses import dataclass

CREATE, DELETE, EXISTS, GET_DATA, SET_DATA = 1, 2, 3, 4, 5
GET_CHILDREN, SYNC, PING, GET_CHILDREN2, CHECK = 8, 9, 11, 12, 13
MULTI, CREATE2, RECONFIG, CHECK_WATCHES, REMOVE_WATCHES = 14, 15, 16, 17, 18
CREATE_CONTAINER, DELETE_CONTAINER, CREATE_TTL, MULTI_READ = 19, 20, 21, 22
AUTH, SET_WATCHES, SET_WATCHES2, ADD_WATCH, WHO_AM_I = 100, 101, 105, 106, 107
CLOSE = -11
EPHEMERAL_FLAG, SEQUENTIAL_FLAG = 1, 2

EVENT_XID, PING_XID, AUTH_XID = -1, -2, -4
PATIENCE = 10.0

# world:anyone with all permissions, the list that nearly every create carries.
OPEN_ACL = ((31, "world", "anyone"),)


class Closed(Exception):
    """The server closed the connection."""


@dataclass
class Reply:
    xid: int
    zxid: int
    error: int
    body: bytes


@dataclass
class Event:
    type: int
    state: int
    path: str
    zxid: int


def buffer(value: bytes | str | None) -> bytes:
    """A length and the bytes; null is -1."""
    if value is None:
        return struct.pack(">i", -1)
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack(">i", len(raw)) + raw


def acls(entries) -> bytes:
    packed = struct.pack(">i", len(entries))
    for perms, scheme, name in entries:
        packed += struct.pack(">i", perms) + buffer(scheme) + buffer(name)
    return packed


def connect_request(
    timeout: int, session: int = 0, password: bytes = bytes(16), last_zxid: int = 0, read_only: bool = False
) -> bytes:
    return struct.pack(">iqiq", 0, last_zxid, timeout, session) + buffer(password) + bytes([read_only])


class Client:
    """A session. `events` collects the watch events that came before a reply that was waited for."""

    def __init__(
        self,
        host: str,
        port: int,
        timeout: int = 30000,
        session: int = 0,
        password: bytes = bytes(16),
        *,
        last_zxid: int = 0,
        read_only: bool = False,
        patience: float = PATIENCE,
    ):
        self.patience = patience
        self.conn = socket.create_connection((host, port), timeout=patience)
        self.events: deque[Event] = deque()
        self._xid = 0
        self._received = b""
        try:
            self.conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.send_frame(connect_request(timeout, session, password, last_zxid, read_only))
            answer = self.read_frame(patience)
        except BaseException:
            self.conn.close()
            raise
        _, self.timeout, self.session = struct.unpack_from(">iiq", answer)
        self.password = answer[20:36]
        # Behind the password; servers that know no read-only mode leave it out.
        self.read_only = answer[36:37] == b"\x01"

    @property
    def local_port(self) -> int:
        return self.conn.getsockname()[1]

    def send_frame(self, body: bytes) -> None:
        self.conn.sendall(struct.pack(">i", len(body)) + body)

    def read_frame(self, patience: float = PATIENCE) -> bytes:
        deadline = time.monotonic() + patience
        size = struct.unpack(">i", self._read(4, deadline))[0]
        return self._read(size, deadline)

    def request(self, op: int, body: bytes = b"", xid: int | None = None) -> Reply:
        """Send one request and wait for its reply."""
        if xid is None:
            self._xid += 1
            xid = self._xid
        self.send_frame(struct.pack(">ii", xid, op) + body)
        while True:
            reply = self._next(self.patience)
            if reply.xid == xid:
                return reply

    def await_events(self, count: int, patience: float = PATIENCE) -> list[Event]:
        """Wait until `count` events have come, and take them."""
        deadline = time.monotonic() + patience
        while len(self.events) < count:
            self._next(deadline - time.monotonic())
        return [self.events.popleft() for _ in range(count)]

    def create(self, path: str, data: bytes | None = b"", flags: int = 0, acl=OPEN_ACL) -> Reply:
        return self.request(CREATE, buffer(path) + buffer(data) + acls(acl) + struct.pack(">i", flags))

    def delete(self, path: str, version: int = -1) -> Reply:
        return self.request(DELETE, buffer(path) + struct.pack(">i", version))

    def set(self, path: str, data: bytes | None, version: int = -1) -> Reply:
        return self.request(SET_DATA, buffer(path) + buffer(data) + struct.pack(">i", version))

    def get(self, path: str, watch: bool = False) -> Reply:
        return self.request(GET_DATA, buffer(path) + bytes([watch]))

    def exists(self, path: str, watch: bool = False) -> Reply:
        return self.request(EXISTS, buffer(path) + bytes([watch]))

    def children(self, path: str, watch: bool = False) -> Reply:
        return self.request(GET_CHILDREN2, buffer(path) + bytes([watch]))

    def add_watch(self, path: str, mode: int) -> Reply:
        return self.request(ADD_WATCH, buffer(path) + struct.pack(">i", mode))

    def ping(self) -> Reply:
        return self.request(PING, xid=PING_XID)

    def auth(self, scheme: str, secret: str) -> Reply:
        return self.request(AUTH, struct.pack(">i", 0) + buffer(scheme) + buffer(secret), xid=AUTH_XID)

    def close(self) -> None:
        """Close the session, wait until the server has closed the connection, and close the socket."""
        try:
            self.request(CLOSE)
            while True:
                self._next(PATIENCE)
        except Closed:
            pass
        finally:
            self.conn.close()

    def drop(self) -> None:
        """Close the socket alone: the session stays until it expires."""
        self.conn.close()

    def _next(self, patience: float) -> Reply:
        """The next reply; an event goes to `events` and comes back as a reply nobody asked for."""
        frame = self.read_frame(patience)
        reply = Reply(*struct.unpack_from(">iqi", frame), frame[16:])
        if reply.xid == EVENT_XID:
            kind, state, size = struct.unpack_from(">iii", reply.body)
            self.events.append(Event(kind, state, reply.body[12 : 12 + size].decode(), reply.zxid))
        return reply

    def _read(self, size: int, deadline: float) -> bytes:
        while len(self._received) < size:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("no frame in time")
            self.conn.settimeout(left)
            try:
                chunk = self.conn.recv(65536)
            except ConnectionResetError:
                chunk = b""
            if not chunk:
                raise Closed
            self._received += chunk
        taken, self._received = self._received[:size], self._received[size:]
        return taken


def say(
    host: str,
    port: int,
    *pieces: bytes,
    pause: float = 0.05,
    half_close: bool = False,
    patience: float = PATIENCE,
) -> tuple[bytes, bool, int]:
    """Send pieces with pauses between them on a fresh connection and read to the end.

    Returns the bytes, whether the server closed the connection in time, and our own port.
    """
    with socket.create_connection((host, port), timeout=patience) as conn:
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        own = conn.getsockname()[1]
        answer = b""
        try:
            for number, piece in enumerate(pieces):
                if number:
                    time.sleep(pause)
                conn.sendall(piece)
            if half_close:
                conn.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # The server was faster: it has closed already, and what it answered can still be read.
        try:
            deadline = time.monotonic() + patience
            while (left := deadline - time.monotonic()) > 0:
                conn.settimeout(left)
                chunk = conn.recv(65536)
                if not chunk:
                    return answer, True, own
                answer += chunk
        except TimeoutError:
            pass
        except ConnectionResetError:
            # The server closed while bytes of ours lay unread: a reset, which is a close all the same.
            return answer, True, own
        return answer, False, own
