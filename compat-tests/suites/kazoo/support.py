"""What the checks of this suite share: registration, clients, a relay.

Not a test framework beyond need: a check is a function that gets a connected
client and the path of a fresh node, and that reports by raising. Each runs in
a thread of its own with a time limit, so a hanging recipe costs one check.
"""

import os
import queue
import socket
import subprocess
import sys
import threading
import time

from kazoo.client import KazooClient
from kazoo.handlers.threading import SequentialThreadingHandler
from kazoo.retry import KazooRetry

CONNECT = os.environ.get("ZK_CONNECT", "")
CHECKS = []


def check(name, limit=20):
    """Registers a function as a check."""

    def register(function):
        CHECKS.append((name, limit, function))
        return function

    return register


class Gate(SequentialThreadingHandler):
    """Makes connections for a client, but none while the server starts.

    The reference can forget a connection that it accepts before it runs, and
    the client then waits for its whole timeout. That is not what is checked.
    """

    open = threading.Event()

    def create_connection(self, *args, **options):
        if not self.open.is_set():
            raise ConnectionRefusedError("the server is being restarted")
        return super().create_connection(*args, **options)


Gate.open.set()


class Client(KazooClient):
    """A kazoo client that remembers the states it went through."""

    def __init__(self, hosts=None, timeout=10, **options):
        patient = KazooRetry(max_tries=-1, delay=0.05, max_delay=0.5)
        super().__init__(
            hosts=hosts or CONNECT, timeout=timeout, handler=Gate(), connection_retry=patient, **options
        )
        self.seen = []
        self.add_listener(lambda state: self.seen.append(str(state)) and None)

    def __enter__(self):
        self.start(timeout=15)
        return self

    def __exit__(self, *_):
        self.stop()
        self.close()

    def reaches(self, state, limit=30):
        """Waits until the given state has been reported."""
        eventually(f"state {state}", lambda: state in self.seen, limit)


def restart(how):
    """Ends the server by `stop` or `kill` and starts it again."""
    Gate.open.clear()
    try:
        for verb in (how, "start"):
            subprocess.run([os.environ["ZK_CTL"], verb], check=True, timeout=60, stdout=subprocess.DEVNULL)
    finally:
        Gate.open.set()


def same(what, actual, expected):
    if actual != expected:
        raise AssertionError(f"{what}: expected {expected!r}, got {actual!r}")


def holds(what, condition):
    if not condition:
        raise AssertionError(what)


def fails(kind, function, *args, **options):
    """Asserts that the call raises exactly this error."""
    try:
        result = function(*args, **options)
    except Exception as error:
        if type(error) is not kind:
            raise AssertionError(f"expected {kind.__name__}, got {error!r}") from error
        return error
    raise AssertionError(f"expected {kind.__name__}, but the result is {result!r}")


def eventually(what, probe, limit=10):
    until = time.monotonic() + limit
    while not probe():
        if time.monotonic() > until:
            raise AssertionError(f"{what}: not within {limit} s")
        time.sleep(0.02)


class Events:
    """A watch function that keeps what it was called with."""

    def __init__(self):
        self.queue = queue.Queue()

    def __call__(self, *args):
        self.queue.put(args if len(args) != 1 else args[0])

    def next(self, what="event", limit=10):
        try:
            return self.queue.get(timeout=limit)
        except queue.Empty:
            raise AssertionError(f"no {what} within {limit} s") from None

    def expect(self, kind, path):
        event = self.next(f"{kind} of {path}")
        same("event", (event.type, event.path), (kind, path))

    def quiet(self, what):
        if not self.queue.empty():
            raise AssertionError(f"{what}: unexpected {self.queue.get()!r}")


class Task(threading.Thread):
    """A call in the background whose result or error is collected by done()."""

    def __init__(self, function, *args):
        super().__init__(daemon=True)
        self.function, self.args = function, args
        self.result = self.error = None
        self.start()

    def run(self):
        try:
            self.result = self.function(*self.args)
        except BaseException as error:
            self.error = error

    def done(self, limit=10):
        self.join(limit)
        if self.is_alive():
            raise AssertionError(f"{self.function} has not returned within {limit} s")
        if self.error:
            raise self.error
        return self.result


class Relay:
    """Stands between client and server; its links can be cut and held down."""

    def __init__(self):
        host, port = CONNECT.split(":")
        self.target = (host, int(port))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.hosts = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.lock = threading.Lock()
        self.links = []
        self.down = False
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.cut()
        self.listener.close()

    def cut(self):
        with self.lock:
            self.down = True
            for link in self.links:
                self._end(link)
            self.links.clear()

    def mend(self):
        with self.lock:
            self.down = False

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                if self.down:
                    near.close()
                    continue
                far = socket.create_connection(self.target)
                self.links += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source, sink):
        try:
            while chunk := source.recv(65536):
                sink.sendall(chunk)
        except OSError:
            pass
        self._end(source)
        self._end(sink)

    @staticmethod
    def _end(link):
        try:
            link.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        link.close()


def orphan(path, timeout):
    """Leaves a session with an ephemeral node behind, its process killed."""
    command = [sys.executable, os.path.abspath(sys.argv[0]), "--orphan", path, str(timeout)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        session, password = process.stdout.readline().split()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    return int(session), bytes.fromhex(password)


def be_orphan(path, timeout):
    client = Client(timeout=timeout)
    client.start()
    client.create(path, ephemeral=True)
    session, password = client.client_id
    print(session, password.hex(), flush=True)
    time.sleep(60)


def perform(function, limit, client, root):
    task = Task(function, client, root)
    task.join(limit)
    if task.is_alive():
        return f"not finished within {limit} s"
    if task.error is not None:
        return f"{type(task.error).__name__} {task.error}"
    return None


def run():
    """Runs every registered check and returns the exit code."""
    passed = failed = 0
    client = Client(timeout=40)
    client.start(timeout=20)
    for number, (name, limit, function) in enumerate(CHECKS):
        root = f"/kazoo-{number}"
        prepared = Task(lambda: (eventually("connection", lambda: client.connected, 30), client.create(root)))
        prepared.join(40)
        reason = perform(function, limit, client, root) if prepared.error is None else repr(prepared.error)
        if reason is None:
            passed += 1
            print(f"ok {name}", flush=True)
        else:
            failed += 1
            print(f"not ok {name}: {' '.join(reason.split())}", flush=True)
    print(f"{passed} passed, {failed} failed", flush=True)
    return 0 if failed == 0 else 1
