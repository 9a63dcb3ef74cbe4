"""About how fast a durable write can be here: what the kernel and the disk take when a server adds nothing.

One connection over loopback: a request comes, its bytes are written behind the last ones into a file of zeros, the
file is synchronised, an answer leaves. It is no server. Its invariant: what it writes lies where the servers' logs lie,
so it waits for the same disk. A yardstick, no ceiling: the disk is another one in each minute.
"""

import os
import socket
import sys
import time
from pathlib import Path

# What a setData of 100 B is on the wire and in the log, and its reply.
REQUEST, ENTRY, REPLY = 140, 200, 92
# Zeros ahead, as both servers have them.
AHEAD = 64 << 20


def writes_per_second(directory: Path, seconds: float) -> float:
    """Requests at depth 1 that are answered in this time."""
    path = directory / "floor"
    with socket.create_server(("127.0.0.1", 0)) as listener, path.open("wb", buffering=0) as log:
        listener.settimeout(10)
        log.write(bytes(AHEAD))
        os.fsync(log.fileno())
        child = os.fork()
        if child == 0:
            try:
                answer(listener, log.fileno())
            except OSError as error:
                print(f"the loop without a server: {error}", file=sys.stderr, flush=True)
            finally:
                os._exit(0)
        try:
            return asked(listener.getsockname()[1], seconds)
        finally:
            os.waitpid(child, 0)
            path.unlink()


def asked(port: int, seconds: float) -> float:
    with socket.create_connection(("127.0.0.1", port)) as conn:
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request = bytes(REQUEST)
        begin, count = time.monotonic(), 0
        while (now := time.monotonic()) < begin + seconds:
            conn.sendall(request)
            if len(conn.recv(REPLY)) != REPLY:
                raise OSError("the other end has gone")
            count += 1
        return count / (now - begin)


def answer(listener: socket.socket, log: int) -> None:
    conn, _ = listener.accept()
    conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    entry, reply, at = b"x" * ENTRY, bytes(REPLY), 0
    while conn.recv(REQUEST):
        os.pwrite(log, entry, at % AHEAD)
        os.fdatasync(log)
        conn.sendall(reply)
        at += ENTRY
