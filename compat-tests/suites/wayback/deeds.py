"""Random operations of several sessions, the same for the same seed.

It does not know what the tree should look like: a request may fail, and failures are part of the history. What is
left out is what ends the reference: quotas whose counts cannot be read. Its invariant: a session that is left comes
back by its id and password, at whichever server is next.
"""

import random

from fixtures.client import (
    Body,
    Request,
    Session,
    check,
    container,
    create,
    create2,
    delete,
    multi,
    set_acl,
    set_data,
    ttl,
)
from harness.zkwire import CREATE, CREATE2, CREATE_CONTAINER, CREATE_TTL, OPEN_ACL, SYNC, buffer

LISTS = (
    OPEN_ACL,
    OPEN_ACL,
    ((1, "world", "anyone"),),
    ((31, "digest", "ann:UK5v7f5ocd8WwfnRvTnwr0d1q0w="), (1, "world", "anyone")),
    ((31, "auth", ""),),
    ((31, "ip", "127.0.0.1"), (7, "ip", "10.0.0.0/8")),
    (),
)
NAMES = ("a", "b", "c", "d", "e", "ünï", "x y")
# Long enough that nothing expires by itself while the directory goes from server to server.
TIMEOUT = 600_000
MOST_PATHS = 90
MOST_SESSIONS = 6


class Crowd:
    """Sessions that work at random."""

    def __init__(self, source: random.Random, create2_in_multi: bool, data_of_root: bool):
        self.random = source
        # 3.6 leaves a create2 inside a multi out of its digest, and 3.9.5 foretells a wrong digest when the data of
        # the root is set: with these, digests cannot be compared.
        self.create2_in_multi = create2_in_multi
        self.data_of_root = data_of_root
        self.paths = ["/"]
        self.quotas: list[str] = []
        self.here: list[Session] = []
        self.away: list[tuple[int, bytes]] = []

    def work(self, port: int) -> None:
        """Come back, work, and have every answer."""
        self.arrive(port)
        for _ in range(self.random.randint(3, 7)):
            sent = [(session, self.batch(self.random.randint(1, 9))) for session in self.here]
            for session, requests in sent:
                session.post(*requests)
            for session, requests in sent:
                for request, reply in zip(requests, session.settle(len(requests)), strict=True):
                    self.learn(request, reply)
            if self.random.random() < 0.3:
                self.exchange(port)

    def overwhelm(self, port: int) -> None:
        """Send much and wait for nothing."""
        for _ in range(3):
            for session in self.here:
                try:
                    session.post(*self.batch(12))
                except OSError:
                    pass

    def lost(self) -> None:
        """The server is gone; whether requests that were under way were carried out, nobody knows."""
        self.leave()

    def arrive(self, port: int) -> None:
        """Some of those who are away come back; new ones come."""
        self.random.shuffle(self.away)
        for _ in range(self.random.randint(0, len(self.away))):
            ident, password = self.away.pop()
            session = Session(port, TIMEOUT, ident, password)
            if session.session != ident:
                raise AssertionError(f"session 0x{ident:x} cannot be renewed")
            self.welcome(session)
        while len(self.here) < 2:
            self.welcome(Session(port, self.random.choice((TIMEOUT, 400_000, 300_000))))

    def welcome(self, session: Session) -> None:
        session.auth("digest", "ann:secret")
        self.here.append(session)

    def exchange(self, port: int) -> None:
        """One closes its session, or one more comes."""
        if len(self.here) > 1 and self.random.random() < 0.5:
            self.here.pop(self.random.randrange(len(self.here))).close()
        elif len(self.here) + len(self.away) < MOST_SESSIONS:
            self.welcome(Session(port, TIMEOUT))

    def leave(self) -> None:
        """All hang up; their sessions stay."""
        for session in self.here:
            self.away.append((session.session, session.password))
            session.drop()
        self.here.clear()

    def learn(self, request: Request, reply) -> None:
        """Remember a path that was created."""
        if request[0] in (CREATE, CREATE2, CREATE_CONTAINER, CREATE_TTL) and reply.error == 0:
            path = Body(reply.body).text()
            if not path.startswith("/zookeeper") and path not in self.paths:
                self.paths.append(path)
                if len(self.paths) > MOST_PATHS:
                    self.paths.pop(self.random.randrange(1, len(self.paths)))

    def batch(self, count: int) -> list[Request]:
        return [self.request() for _ in range(count)]

    def request(self) -> Request:
        dice = self.random.random()
        if dice < 0.14:
            return multi(*(self.simple() for _ in range(self.random.randint(0, 5))))
        if dice < 0.17:
            return self.quota()
        if dice < 0.20:
            return set_acl(self.any_path(), self.random.choice(LISTS), self.random.choice((-1, -1, 0, 1)))
        if dice < 0.21:
            return SYNC, buffer("/")
        return self.simple(alone=True)

    def simple(self, alone: bool = False) -> Request:
        """What may also be a part of a multi; a check may only be that."""
        dice = self.random.random()
        acl = self.random.choice(LISTS) if self.random.random() < 0.2 else OPEN_ACL
        if dice < 0.26:
            return create(self.new_path(), self.data(), 0, acl)
        if dice < 0.34:
            make = create2 if alone or self.create2_in_multi else create
            return make(self.new_path(), self.data(), self.random.choice((0, 2)), acl)
        if dice < 0.42:
            return create(self.new_path(), self.data(), 1, acl)
        if dice < 0.46:
            return create(self.new_path(), self.data(), 3, acl)
        if dice < 0.50:
            return container(self.new_path(), self.data())
        if dice < 0.55:
            return ttl(self.new_path(), self.data(), self.random.randint(1 << 30, 1 << 39), self.random.choice((5, 6)))
        if dice < 0.75:
            return delete(self.any_path(), self.random.choice((-1, -1, -1, 0, 1)))
        if alone or dice < 0.95:
            path = self.any_path()
            if path == "/" and not self.data_of_root:
                path = "/a"
            return set_data(path, self.data(), self.random.choice((-1, -1, -1, 0, 1)))
        return check(self.any_path(), self.random.choice((-1, 0, 1)))

    def quota(self) -> Request:
        """A quota on a node at the top, all of it at once; or its end."""
        if self.quotas and self.random.random() < 0.4:
            home = "/zookeeper/quota" + self.quotas.pop(self.random.randrange(len(self.quotas)))
            return multi(delete(home + "/zookeeper_limits"), delete(home + "/zookeeper_stats"), delete(home))
        path = "/" + self.random.choice(NAMES)
        if path not in self.quotas:
            self.quotas.append(path)
        home = "/zookeeper/quota" + path
        limits = b"count=%d,bytes=%d" % (self.random.randint(-1, 9), self.random.randint(-1, 999))
        return multi(
            check(path),
            create(home, None),
            create(home + "/zookeeper_limits", limits),
            create(home + "/zookeeper_stats", b"count=0,bytes=0"),
        )

    def data(self) -> bytes | None:
        dice = self.random.random()
        if dice < 0.1:
            return None
        if dice < 0.2:
            return b""
        size = 5000 if dice > 0.97 else self.random.randint(1, 120)
        return self.random.randbytes(size // 2) + b"q" * (size - size // 2)

    def any_path(self) -> str:
        return self.random.choice(self.paths) if self.random.random() < 0.93 else "/none"

    def new_path(self) -> str:
        parent = self.random.choice(self.paths)
        if parent.count("/") > 5:
            parent = "/"
        return parent.rstrip("/") + "/" + self.random.choice(NAMES)
