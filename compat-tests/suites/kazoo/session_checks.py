"""Sessions that are resumed, lost, expired, and that outlive the server."""

import time

from kazoo.protocol.states import EventType, KazooState
from kazoo.security import make_digest_acl

from support import Client, Events, Relay, Task, check, eventually, holds, orphan, restart, same


@check("session: resumed by another process with id and password")
def resumed(client, root):
    session, password = orphan(root + "/e", 10)
    with Client(client_id=(session, password)) as heir:
        same("session", heir.client_id, (session, password))
        same("owner", heir.exists(root + "/e").ephemeralOwner, session)
    same("after the close", client.exists(root + "/e"), None)


@check("session: a wrong password gets a new session")
def wrong_password(client, root):
    session, _ = orphan(root + "/e", 10)
    with Client(client_id=(session, b"\x07" * 16)) as stranger:
        holds("the session was handed over", stranger.client_id[0] != session)
        holds("the owner's node is gone", stranger.exists(root + "/e"))


@check("session: expires when its process dies", limit=30)
def expires(client, root):
    events = Events()
    session, password = orphan(root + "/e", 4)
    holds("gone at once", client.exists(root + "/e", watch=events))
    same("event", events.next(limit=20).type, EventType.DELETED)
    with Client(client_id=(session, password)) as late:
        holds("an expired session was resumed", late.client_id[0] != session)


@check("session: short and idle, kept alive by pings")
def kept_alive(client, root):
    with Client(timeout=4) as idle:
        idle.create(root + "/e", ephemeral=True)
        time.sleep(6.5)
        same("states", idle.seen, ["CONNECTED"])
        holds("ephemeral gone", client.exists(root + "/e"))


@check("connection cut: same session, watches of recipes catch up")
def cut(client, root):
    client.create(root + "/n", b"old")
    values, children = Events(), Events()
    with Relay() as relay, Client(hosts=relay.hosts, auth_data=[("digest", "cat:pw")]) as away:
        session = away.client_id
        away.create(root + "/closed", b"v", acl=[make_digest_acl("cat", "pw", all=True)])
        away.create(root + "/e", ephemeral=True)
        away.DataWatch(root + "/n", lambda data, stat: values(data))
        away.ChildrenWatch(root, lambda names: children(sorted(names)))
        same("data", values.next(), b"old")
        same("children", children.next(), ["closed", "e", "n"])
        lock = away.Lock(root + "/lock")
        lock.acquire()
        same("children", children.next(), ["closed", "e", "lock", "n"])
        relay.cut()
        away.reaches("SUSPENDED")
        same("state", away.state, KazooState.SUSPENDED)
        client.set(root + "/n", b"new")
        client.create(root + "/more")
        holds("ephemeral gone", client.exists(root + "/e"))
        relay.mend()
        eventually("reconnect", lambda: away.connected)
        same("data", values.next(), b"new")
        same("children", children.next(), ["closed", "e", "lock", "more", "n"])
        same("session", away.client_id, session)
        same("states", away.seen, ["CONNECTED", "SUSPENDED", "CONNECTED"])
        same("behind the acl", away.get(root + "/closed")[0], b"v")
        same("lock", lock.is_acquired, True)
        lock.release()


@check("connection held down: the session is lost, a new one begins", limit=40)
def lost(client, root):
    events = Events()
    with Relay() as relay, Client(hosts=relay.hosts, timeout=4) as away:
        session = away.client_id[0]
        away.create(root + "/e", ephemeral=True)
        client.exists(root + "/e", watch=events)
        relay.cut()
        same("event", events.next(limit=20).type, EventType.DELETED)
        relay.mend()
        away.reaches("LOST")
        eventually("new session", lambda: away.connected, 20)
        holds("same session", away.client_id[0] != session)
        same("states", away.seen, ["CONNECTED", "SUSPENDED", "LOST", "CONNECTED"])
        same("owner", away.create(root + "/e", ephemeral=True, include_data=True)[1].ephemeralOwner, away.client_id[0])


@check("server restart: session, nodes, recipes and waiting lock go on", limit=90)
def restarted(client, root):
    values = Events()
    with Client(timeout=30) as one, Client(timeout=30) as two:
        session = one.client_id
        one.create(root + "/e", b"v", ephemeral=True)
        one.create(root + "/s-", sequence=True)
        before = one.get(root + "/e"), one.get_children(root, include_data=True)
        one.DataWatch(root + "/n", lambda data, stat: values(data))
        same("data", values.next(), None)
        held = one.Lock(root + "-lock", "held")
        held.acquire()
        waiting = Task(two.Lock(root + "-lock", "waiting").acquire)
        eventually("second contender", lambda: len(client.get_children(root + "-lock")) == 2)
        restart("stop")
        for someone in (one, two, client):
            eventually("reconnect", lambda someone=someone: someone.connected, 40)
        same("session", one.client_id, session)
        holds("the session was lost", "LOST" not in one.seen + two.seen)
        after = one.retry(one.get, root + "/e"), one.retry(one.get_children, root, include_data=True)
        same("ephemeral", after[0], before[0])
        same("parent", (sorted(after[1][0]), after[1][1]), (sorted(before[1][0]), before[1][1]))
        same("sequence", one.retry(one.create, root + "/s-", sequence=True), root + "/s-0000000002")
        one.retry(one.create, root + "/n", b"x")
        same("data", values.next(), b"x")
        holds("the lock was lost", waiting.is_alive())
        held.release()
        same("waiting lock", waiting.done(20), True)


@check("server killed: what was acknowledged is there afterwards", limit=90)
def killed(client, root):
    acknowledged = []
    for number in range(50):
        acknowledged.append(client.create(root + "/n-", str(number).encode(), sequence=True))
    restart("kill")
    eventually("reconnect", lambda: client.connected, 40)
    names = sorted(client.retry(client.get_children, root))
    same("nodes", [f"{root}/{name}" for name in names], acknowledged)
    same("data", client.retry(client.get, acknowledged[-1])[0], b"49")
