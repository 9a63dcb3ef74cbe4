"""Writers, each below a node of its own, and a model of the tree that says what their requests come to.

The model is made from what the log says happened, never from what was hoped for; an answer that was given has to
agree with it. Its invariant: a writer's requests depend on its own earlier ones alone.
"""

import random
from dataclasses import dataclass, replace

from fixtures.client import Dump, Request, Session, create, delete, multi, multi_error, set_acl, set_data
from fixtures.logs import CLOSE_SESSION, CREATE_SESSION, Txn
from harness.zkwire import Closed

NO_NODE, BAD_VERSION, EXISTS = -101, -103, -110
TIMEOUT = 600_000
# A writer's nodes: few, so that they are made, changed and deleted again and again.
NODES = 12
UNDER_WAY = 200
NARROWER = ((31, "world", "anyone"), (1, "ip", "10.1.2.3"))


@dataclass
class Part:
    """What a request does, in words that the model knows."""

    kind: str
    path: str
    data: bytes = b""
    version: int = -1
    ephemeral: bool = False

    def request(self) -> Request:
        match self.kind:
            case "create":
                return create(self.path, self.data, int(self.ephemeral))
            case "delete":
                return delete(self.path, self.version)
            case "set":
                return set_data(self.path, self.data, self.version)
        return set_acl(self.path, NARROWER)


@dataclass
class Deed:
    """A request: one part, or several in a multi."""

    parts: list[Part]
    multi: bool = False

    def request(self) -> Request:
        return multi(*(part.request() for part in self.parts)) if self.multi else self.parts[0].request()


@dataclass
class Modelled:
    data: bytes
    owner: int
    czxid: int
    mzxid: int
    pzxid: int
    version: int = 0
    aversion: int = 0
    made: int = 0
    children: int = 0


class Model:
    """The tree below the writers' nodes, and the sessions."""

    def __init__(self) -> None:
        self.nodes: dict[str, Modelled] = {"": Modelled(b"", 0, 0, 0, 0, made=0, children=1)}
        self.sessions: set[int] = set()

    def carry_out(self, deed: Deed, txn: Txn) -> int:
        """The error, if any; then nothing has changed."""
        before = {path: replace(node) for path, node in self.nodes.items()} if deed.multi else None
        for part in deed.parts:
            if error := self._carry_out(part, txn):
                if before is not None:
                    self.nodes = before
                return error
        return 0

    def _carry_out(self, part: Part, txn: Txn) -> int:
        parent = self.nodes.get(part.path.rpartition("/")[0])
        node = self.nodes.get(part.path)
        if part.kind == "create":
            if parent is None or node is not None:
                return NO_NODE if parent is None else EXISTS
            owner = txn.session if part.ephemeral else 0
            self.nodes[part.path] = Modelled(part.data, owner, txn.zxid, txn.zxid, txn.zxid)
            parent.made += 1
            parent.children += 1
            parent.pzxid = txn.zxid
            return 0
        if node is None:
            return NO_NODE
        if part.kind == "acl":
            node.aversion += 1
            return 0
        if part.version not in (-1, node.version):
            return BAD_VERSION
        if part.kind == "delete":
            self._remove(part.path, txn.zxid)
        else:
            node.data, node.mzxid = part.data, txn.zxid
            node.version += 1
        return 0

    def _remove(self, path: str, zxid: int) -> None:
        del self.nodes[path]
        parent = self.nodes[path.rpartition("/")[0]]
        parent.children -= 1
        parent.pzxid = zxid

    def sessions_follow(self, txn: Txn) -> None:
        """What a transaction of anybody does to the sessions, and to the ephemerals of one that is closed."""
        if txn.type == CREATE_SESSION:
            self.sessions.add(txn.session)
        elif txn.type == CLOSE_SESSION:
            self.sessions.discard(txn.session)
            for path in [path for path, node in self.nodes.items() if node.owner == txn.session]:
                self._remove(path, txn.zxid)


def compare(model: Model, state: Dump) -> list[str]:
    """What the server answers otherwise than the model."""
    wrong = []
    found = {path for path in state.nodes if not path.startswith("/zookeeper")} - {"/"}
    wanted = model.nodes.keys() - {""}
    wrong += [f"{path} is lost, it was created at zxid {model.nodes[path].czxid:#x}" for path in wanted - found]
    wrong += [f"{path} is there and should not be" for path in found - wanted]
    for path in wanted & found:
        node, stat = model.nodes[path], state.nodes[path].stat
        pairs = {
            "czxid": node.czxid,
            "mzxid": node.mzxid,
            "pzxid": node.pzxid,
            "version": node.version,
            "aversion": node.aversion,
            "cversion": 2 * node.made - node.children,
            "ephemeralOwner": node.owner,
        }
        wrong += [f"{path} has {key} {stat[key]}, wanted {value}" for key, value in pairs.items() if stat[key] != value]
        if state.nodes[path].data != node.data:
            wrong.append(f"{path} has other data")
    if state.sessions.keys() != model.sessions:
        lost = sorted(f"0x{ident:x}" for ident in model.sessions - state.sessions.keys())
        more = sorted(f"0x{ident:x}" for ident in state.sessions.keys() - model.sessions)
        wrong.append(f"sessions lost {lost}, sessions that should be gone {more}")
    return wrong


class Writer:
    """One who writes through a session, and keeps it over restarts, mostly."""

    def __init__(self, index: int, source: random.Random):
        self.home = f"/writer-{index}"
        self.random = source
        self.session: Session | None = None
        self.identity: tuple[int, bytes, int] | None = None
        # Requests by session and cxid; those that wait for an answer, in order; answers that are to be verified.
        self.asked: dict[tuple[int, int], Deed] = {}
        self.waiting: list[tuple[int, int]] = []
        self.answered: dict[tuple[int, int], tuple[int, int]] = {}
        self.outcome: dict[tuple[int, int], int] = {}
        self.ours: set[int] = set()
        self.closing: tuple[int, int] | None = None
        self.turn = 0
        self.counted = 0

    def prepare(self, model: Model) -> None:
        """Before a round: stay with the session, or make another one the next time."""
        if self.identity is not None and self.identity[0] not in model.sessions:
            self.identity = None

    def connect(self, port: int) -> None:
        if self.session is not None:
            return
        ident, password, xid = self.identity or (0, bytes(16), 0)
        self.session = Session(port, TIMEOUT, ident, password)
        if ident and self.session.session != ident:
            raise AssertionError(f"session 0x{ident:x} cannot be renewed")
        self.session._xid = xid
        self.identity = (self.session.session, self.session.password, xid)
        self.ours.add(self.session.session)

    def furnish(self, writers: int, fat: int, size: int) -> None:
        parts = [Part("create", f"/writer-{index}") for index in range(writers)]
        parts += [Part("create", f"/fat-{index}", self.random.randbytes(size)) for index in range(fat)]
        for part in parts:
            self._post([Deed([part])])

    def send(self, count: int) -> None:
        """Some requests; now and then the end of the session among them."""
        if self.session is None:
            raise Closed
        self._post([self._deed() for _ in range(min(count, UNDER_WAY - len(self.waiting)))])
        if self.random.random() < 0.01:
            self.session.post((CLOSE_SESSION, b""))
            self.closing = (self.session.session, self.session._xid)
            self.waiting.append(self.closing)

    def _post(self, deeds: list[Deed]) -> None:
        requests = [deed.request() for deed in deeds]
        for number, deed in enumerate(deeds):
            key = (self.session.session, self.session._xid + number + 1)
            self.asked[key] = deed
            self.waiting.append(key)
        self.session.post(*requests)

    def receive(self) -> None:
        """Every answer that is due."""
        while self.waiting:
            self._take(self.session.settle(1)[0])
        if self.closing:
            # Closed in order: the next connection makes another session.
            self.session.drop()
            self.session, self.identity, self.closing = None, None, None
            raise Closed

    def drain(self) -> None:
        """The server is gone: answers that had come, and then the end of the connection."""
        session, self.session = self.session, None
        if session is not None:
            try:
                while self.waiting:
                    self._take(session.settle(1)[0])
            except (Closed, OSError):
                pass
            self.identity = (session.session, session.password, session._xid)
            session.drop()
        self.waiting.clear()
        self.closing = None

    def _take(self, reply) -> None:
        key = self.waiting[0]
        if reply.xid != key[1]:
            raise AssertionError(f"reply {reply.xid} to request {key[1]}")
        self.waiting.pop(0)
        deed = self.asked.get(key)
        error = multi_error(reply) if deed is not None and deed.multi else reply.error
        self.answered[key] = (reply.zxid, error)

    def owns(self, txn: Txn) -> bool:
        return txn.session in self.ours and (txn.session, txn.cxid) in self.asked

    def happened(self, txn: Txn, model: Model) -> None:
        """The log says that this was carried out."""
        key = (txn.session, txn.cxid)
        self.outcome[key] = model.carry_out(self.asked[key], txn)

    def settle(self, logged: dict[tuple[int, int], Txn]) -> list[str]:
        """Answers that the log does not bear out."""
        wrong = []
        for key, (zxid, error) in self.answered.items():
            where = f"request {key[1]} of session 0x{key[0]:x}, acknowledged with zxid {zxid:#x}"
            txn = logged.get(key)
            if txn is None:
                wrong.append(f"{where}, is not in the log")
            elif txn.zxid != zxid:
                wrong.append(f"{where}, is in the log with {txn.zxid:#x}")
            elif self.outcome.get(key, 0) != error:
                wrong.append(f"{where}, answered {error}; it comes to {self.outcome[key]}")
        return wrong

    def taken(self) -> int:
        """Forget what was verified; how many answers that were."""
        count = len(self.answered)
        self.asked.clear()
        self.answered.clear()
        self.outcome.clear()
        return count

    def _deed(self) -> Deed:
        if self.random.random() < 0.15:
            # A multi may not change access lists.
            parts = [self._part() for _ in range(self.random.randint(1, 4))]
            return Deed([part for part in parts if part.kind != "acl"], multi=True)
        return Deed([self._part()])

    def _part(self) -> Part:
        self.turn += 1
        path = f"{self.home}/{self.random.randrange(NODES)}"
        dice = self.random.random()
        data = b"%d " % self.turn + bytes(self.random.randrange(200))
        if dice < 0.3:
            return Part("create", path, data)
        if dice < 0.4:
            return Part("create", path, data, ephemeral=True)
        if dice < 0.6:
            return Part("delete", path, version=self.random.choice((-1, -1, 0)))
        if dice < 0.63:
            return Part("acl", path)
        return Part("set", path, data, self.random.choice((-1, -1, -1, 1)))
