"""The client API: nodes, transactions, access lists, watches, commands."""

import time

from kazoo import exceptions
from kazoo.protocol.states import EventType, KazooState
from kazoo.security import (
    CREATOR_ALL_ACL,
    OPEN_ACL_UNSAFE,
    READ_ACL_UNSAFE,
    make_acl,
    make_digest_acl,
    make_digest_acl_credential,
)

from support import CONNECT, Client, Events, check, eventually, fails, holds, same


@check("start and stop: states, id and password")
def start_and_stop(_, root):
    client = Client()
    with client:
        same("connected", client.connected, True)
        same("state", client.state, KazooState.CONNECTED)
        same("client state", str(client.client_state), "CONNECTED")
        session, password = client.client_id
        holds("session id is zero", session != 0)
        same("password length", len(password), 16)
        client.create(root + "/e", ephemeral=True)
        same("owner", client.exists(root + "/e").ephemeralOwner, session)
    same("states", client.seen, ["CONNECTED", "LOST"])
    with client:
        holds("the session survived its end", client.client_id[0] != session)
        same("exists", client.exists(root + "/e"), None)


@check("restart of the client makes a new session")
def client_restart(_, root):
    with Client() as client:
        first = client.client_id[0]
        client.create(root + "/e", ephemeral=True)
        client.restart()
        holds("same session", client.client_id[0] != first)
        same("exists", client.exists(root + "/e"), None)


@check("a client that accepts read-only servers gets a full one")
def read_only_flag(_, root):
    with Client(read_only=True) as client:
        same("client state", str(client.client_state), "CONNECTED")
        client.create(root + "/n")


@check("command: ruok, srvr, stat, mntr, conf")
def commands(client, _):
    same("ruok", client.command(b"ruok"), "imok")
    holds("srvr has no mode", "Mode: standalone" in client.command(b"srvr"))
    holds("stat does not list this client", f":{client._connection._socket.getsockname()[1]}[1]" in client.command(b"stat"))
    holds("mntr has no state", "zk_server_state\tstandalone" in client.command(b"mntr"))
    holds("conf has no tickTime", "tickTime=2000" in client.command(b"conf"))


@check("server_version from envi")
def server_version(client, _):
    same("version", client.server_version(), (3, 9, 5))


@check("create and get: data and stat")
def create_and_get(client, root):
    before = time.time()
    same("path", client.create(root + "/n", b"hello"), root + "/n")
    data, stat = client.get(root + "/n")
    same("data", data, b"hello")
    same("counters", (stat.version, stat.cversion, stat.aversion, stat.dataLength, stat.numChildren), (0, 0, 0, 5, 0))
    same("zxids", (stat.mzxid, stat.pzxid), (stat.czxid, stat.czxid))
    same("owner", stat.ephemeralOwner, 0)
    same("owner by name", stat.owner_session_id, None)
    holds("created", abs(stat.created - before) < 60)
    same("last_modified", stat.last_modified, stat.created)


@check("create with stat in the reply")
def create_with_stat(client, root):
    path, stat = client.create(root + "/n", b"abc", include_data=True)
    same("path", path, root + "/n")
    same("stat", stat, client.get(root + "/n")[1])
    path, stat = client.create(root + "/s-", ephemeral=True, sequence=True, include_data=True)
    same("sequential path", path, root + "/s-0000000001")
    same("owner", stat.ephemeralOwner, client.client_id[0])


@check("create: null, empty and binary data")
def create_data(client, root):
    client.create(root + "/null", None)
    same("null", client.get(root + "/null")[0], None)
    client.create(root + "/empty", b"")
    same("empty", client.get(root + "/empty")[0], b"")
    blob = bytes(range(256)) * 16
    client.create(root + "/blob", blob)
    same("blob", client.get(root + "/blob")[0], blob)
    client.set(root + "/blob", None)
    same("set to null", client.get(root + "/blob")[0], None)


@check("create: errors")
def create_errors(client, root):
    client.create(root + "/n")
    fails(exceptions.NodeExistsError, client.create, root + "/n")
    fails(exceptions.NoNodeError, client.create, root + "/gone/n")
    client.create(root + "/e", ephemeral=True)
    fails(exceptions.NoChildrenForEphemeralsError, client.create, root + "/e/c")
    fails(exceptions.BadArgumentsError, client.create, root + "/a\x00b")


@check("create: sequences count per parent")
def sequences(client, root):
    for number in range(3):
        same("path", client.create(root + "/s-", sequence=True), f"{root}/s-{number:010d}")
    client.delete(root + "/s-0000000002")
    same("after a delete", client.create(root + "/t-", sequence=True), root + "/t-0000000003")


@check("makepath and ensure_path")
def make_path(client, root):
    same("path", client.create(root + "/a/b/c", b"x", makepath=True), root + "/a/b/c")
    same("ancestor data", client.get(root + "/a/b")[0], b"")
    client.ensure_path(root + "/a/b/d/e")
    client.ensure_path(root + "/a/b/d/e")
    same("children", sorted(client.get_children(root + "/a/b")), ["c", "d"])
    client.ensure_path(root + "/ro", acl=READ_ACL_UNSAFE)
    same("acl", client.get_acls(root + "/ro")[0], READ_ACL_UNSAFE)


@check("names outside ASCII")
def unicode_names(client, root):
    for name in ("ñandú", "漢字", "a b", "ツ-"):
        client.create(f"{root}/{name}", name.encode())
        same(name, client.get(f"{root}/{name}")[0].decode(), name)
    same("children", sorted(client.get_children(root)), sorted(("ñandú", "漢字", "a b", "ツ-")))


@check("exists: stat or None")
def exists(client, root):
    same("before", client.exists(root + "/n"), None)
    client.create(root + "/n", b"abc")
    same("length", client.exists(root + "/n").data_length, 3)
    same("root", client.exists("/").ephemeralOwner, 0)


@check("set: versions")
def set_versions(client, root):
    client.create(root + "/n", b"a")
    same("version", client.set(root + "/n", b"b").version, 1)
    stat = client.set(root + "/n", b"b", version=1)
    same("same data counts too", stat.version, 2)
    holds("mzxid did not grow", stat.mzxid > stat.czxid)
    fails(exceptions.BadVersionError, client.set, root + "/n", b"c", version=1)
    fails(exceptions.NoNodeError, client.set, root + "/gone", b"c")
    same("data", client.get(root + "/n")[0], b"b")


@check("delete: versions, children, recursion")
def delete(client, root):
    client.create(root + "/a/b/c", makepath=True)
    fails(exceptions.NotEmptyError, client.delete, root + "/a")
    fails(exceptions.BadVersionError, client.delete, root + "/a/b/c", version=4)
    same("delete", client.delete(root + "/a/b/c", version=0), True)
    client.create(root + "/a/b/d/e", makepath=True)
    client.delete(root + "/a", recursive=True)
    same("exists", client.exists(root + "/a"), None)
    fails(exceptions.NoNodeError, client.delete, root + "/a")


@check("get_children: names, stat, errors")
def get_children(client, root):
    for name in ("c", "a", "b"):
        client.create(f"{root}/{name}")
    client.delete(root + "/b")
    same("names", sorted(client.get_children(root)), ["a", "c"])
    names, stat = client.get_children(root, include_data=True)
    same("names with stat", sorted(names), ["a", "c"])
    same("counters", (stat.numChildren, stat.children_count, stat.cversion, stat.children_version), (2, 2, 4, 4))
    holds("pzxid did not grow", stat.pzxid > stat.czxid)
    same("leaf", client.get_children(root + "/a"), [])
    fails(exceptions.NoNodeError, client.get_children, root + "/gone")


@check("sync")
def sync(client, root):
    same("path", client.sync(root), root)
    same("absent", client.sync(root + "/gone"), root + "/gone")


@check("data up to the limit, connection lost beyond it")
def data_limit(_, root):
    with Client() as client:
        data = b"x" * 1000000
        client.create(root + "/n", data)
        holds("data differs", client.get(root + "/n")[0] == data)
        client.delete(root + "/n")
        fails(exceptions.ConnectionLoss, client.create, root + "/n", b"x" * 1100000)
        client.reaches("SUSPENDED")
        eventually("reconnect", lambda: client.connected)
        same("exists", client.retry(client.exists, root + "/n"), None)


@check("async calls: one thousand pipelined, answered in order")
def pipelined(client, root):
    order = []
    results = []
    for _ in range(1000):
        result = client.create_async(root + "/p-", sequence=True)
        result.rawlink(lambda done: order.append(done.get()))
        results.append(result)
    paths = [result.get(timeout=15) for result in results]
    same("paths", paths, [f"{root}/p-{number:010d}" for number in range(1000)])
    eventually("callbacks", lambda: len(order) == 1000)
    same("reply order", order, paths)
    same("children", client.exists(root).numChildren, 1000)


@check("async calls: errors arrive with their request")
def async_errors(client, root):
    calls = [
        client.create_async(root + "/a"),
        client.create_async(root + "/gone/b"),
        client.create_async(root + "/a/c", b"x"),
        client.set_async(root + "/a", b"y", version=9),
        client.get_async(root + "/a/c"),
        client.exists_async(root + "/gone"),
        client.get_children_async(root),
        client.delete_async(root + "/a"),
        client.get_acls_async(root + "/a"),
        client.sync_async(root),
    ]
    for call in calls:
        call.wait(10)
    kinds = [type(call.exception).__name__ if call.exception else None for call in calls]
    same("errors", kinds, [None, "NoNodeError", None, "BadVersionError", None, None, None, "NotEmptyError", None, None])
    same("read behind writes", calls[4].get()[0], b"x")
    same("children", calls[6].get(), ["a"])


@check("transaction: every operation")
def transaction(client, root):
    client.create(root + "/old")
    client.set(root + "/old", b"1")
    request = client.transaction()
    request.check(root + "/old", version=1)
    request.create(root + "/a", b"x")
    request.set_data(root + "/a", b"yy", version=0)
    request.create(root + "/a/s-", sequence=True)
    request.create(root + "/e", ephemeral=True)
    request.delete(root + "/old", version=1)
    checked, created, stat, sequential, ephemeral, deleted = request.commit()
    same("check, delete", (checked, deleted), (True, True))
    same("paths", (created, sequential, ephemeral), (root + "/a", root + "/a/s-0000000000", root + "/e"))
    same("stat", (stat.version, stat.dataLength), (1, 2))
    same("one zxid for all", client.exists(root + "/e").czxid, client.exists(root + "/a").czxid)
    same("old", client.exists(root + "/old"), None)


@check("transaction: a failure rolls back and says where")
def transaction_failure(client, root):
    request = client.transaction()
    request.create(root + "/a")
    request.delete(root + "/gone")
    request.create(root + "/b")
    kinds = [type(result).__name__ for result in request.commit()]
    same("results", kinds, ["RolledBackError", "NoNodeError", "RuntimeInconsistency"])
    same("children", client.get_children(root), [])
    request = client.transaction()
    request.create(root + "/a")
    request.check(root + "/a", version=5)
    kinds = [type(result).__name__ for result in request.commit()]
    same("failed check", kinds, ["RolledBackError", "BadVersionError"])


@check("transaction: as a context, with ACL, without operations")
def transaction_context(client, root):
    with client.transaction() as request:
        request.create(root + "/n", b"x", acl=READ_ACL_UNSAFE)
    same("acl", client.get_acls(root + "/n")[0], READ_ACL_UNSAFE)
    same("empty", client.transaction().commit(), [])
    request = client.transaction()
    request.set_data(root + "/n", b"y")
    same("without right", [type(result).__name__ for result in request.commit()], ["NoAuthError"])


@check("acl: default, set, versions")
def acls(client, root):
    client.create(root + "/n")
    current, stat = client.get_acls(root + "/n")
    same("default", current, OPEN_ACL_UNSAFE)
    same("aversion", stat.aversion, 0)
    same("set", client.set_acls(root + "/n", READ_ACL_UNSAFE + [make_acl("world", "anyone", admin=True)], 0).aversion, 1)
    fails(exceptions.BadVersionError, client.set_acls, root + "/n", OPEN_ACL_UNSAFE, 0)
    fails(exceptions.NoAuthError, client.set, root + "/n", b"x")
    fails(exceptions.NoAuthError, client.create, root + "/n/c")
    fails(exceptions.InvalidACLError, client.create, root + "/bad", acl=[make_acl("nonesuch", "x", all=True)])
    fails(exceptions.InvalidACLError, client.create, root + "/bad", acl=CREATOR_ALL_ACL)
    fails(exceptions.NoNodeError, client.get_acls, root + "/gone")


@check("auth: digest, by call and by constructor, default_acl")
def digest_auth(client, root):
    mine = [make_digest_acl("ann", "secret", all=True)]
    with Client(default_acl=mine, auth_data=[("digest", "ann:secret")]) as owner:
        owner.create(root + "/n", b"v")
        owner.create(root + "/creator", acl=CREATOR_ALL_ACL)
        same("acl", owner.get_acls(root + "/n")[0], mine)
        same("creator acl", owner.get_acls(root + "/creator")[0], mine)
        same("data", owner.get(root + "/n")[0], b"v")
    fails(exceptions.NoAuthError, client.get, root + "/n")
    with Client() as other:
        other.add_auth("digest", "ann:wrong")
        fails(exceptions.NoAuthError, other.get, root + "/n")
        other.add_auth("digest", "ann:secret")
        same("data", other.get(root + "/n")[0], b"v")
        same("credential", mine[0].id.id, make_digest_acl_credential("ann", "secret"))


@check("auth: ids are hidden from those who may only read")
def masked_acl(client, root):
    with Client(auth_data=[("digest", "ann:secret")]) as owner:
        owner.create(root + "/n", acl=[make_digest_acl("ann", "secret", all=True), make_acl("world", "anyone", read=True)])
    seen = {acl.id.scheme: acl.id.id for acl in client.get_acls(root + "/n")[0]}
    same("ids", seen, {"digest": "ann:x", "world": "anyone"})


@check("auth: unknown scheme")
def unknown_scheme(_, root):
    with Client() as client:
        fails(exceptions.AuthFailedError, client.add_auth, "nonesuch", "x")


@check("auth: super user")
def super_user(client, root):
    client.create(root + "/n", b"v", acl=[make_digest_acl("x", "y", all=True)])
    with Client(auth_data=[("digest", "super:test")]) as admin:
        same("data", admin.get(root + "/n")[0], b"v")
        admin.delete(root + "/n")


@check("chroot: relative paths, also in events")
def chroot(client, root):
    with Client(hosts=CONNECT + root + "/inner/world") as inner:
        fails(exceptions.NoNodeError, inner.create, "/n")
        client.ensure_path(root + "/inner/world")
        same("path", inner.create("/n", b"x"), "/n")
        same("makepath", inner.create("/a/b", makepath=True), "/a/b")
        same("sequential with stat", inner.create("/a/s-", sequence=True, include_data=True)[0], "/a/s-0000000001")
        same("outside", client.get(root + "/inner/world/n")[0], b"x")
        same("children", sorted(inner.get_children("/")), ["a", "n"])
        same("unchroot", inner.unchroot(root + "/inner/world/n"), "/n")
        events = Events()
        inner.get("/n", watch=events)
        client.set(root + "/inner/world/n", b"y")
        events.expect(EventType.CHANGED, "/n")
        request = inner.transaction()
        request.create("/t")
        same("transaction", request.commit(), ["/t"])


@check("reconfig is refused while disabled")
def reconfig(_, root):
    with Client() as client:
        change = dict(joining="server.9=127.0.0.1:1:2;3", leaving=None, new_members=None)
        fails(exceptions.ReconfigDisabledError, client.reconfig, **change)


@check("watch: data")
def data_watch(client, root):
    client.create(root + "/n")
    events = Events()
    client.get(root + "/n", watch=events)
    client.set(root + "/n", b"x")
    events.expect(EventType.CHANGED, root + "/n")
    client.set(root + "/n", b"y")
    client.get(root + "/n", watch=events)
    client.delete(root + "/n")
    events.expect(EventType.DELETED, root + "/n")
    events.quiet("one event per watch")


@check("watch: existence")
def exists_watch(client, root):
    events = Events()
    client.exists(root + "/n", watch=events)
    client.create(root + "/n")
    events.expect(EventType.CREATED, root + "/n")
    client.exists(root + "/n", watch=events)
    client.set(root + "/n", b"x")
    events.expect(EventType.CHANGED, root + "/n")
    client.exists(root + "/n", watch=events)
    client.delete(root + "/n")
    events.expect(EventType.DELETED, root + "/n")


@check("watch: children")
def children_watch(client, root):
    client.create(root + "/n")
    events = Events()
    client.get_children(root + "/n", watch=events)
    client.set(root + "/n", b"x")
    client.create(root + "/n/c")
    events.expect(EventType.CHILD, root + "/n")
    client.get_children(root + "/n", watch=events)
    client.delete(root + "/n/c")
    events.expect(EventType.CHILD, root + "/n")
    client.get_children(root + "/n", watch=events)
    client.delete(root + "/n")
    events.expect(EventType.DELETED, root + "/n")


@check("DataWatch: from absence to absence")
def data_watch_recipe(client, root):
    values = Events()

    @client.DataWatch(root + "/n")
    def changed(data, stat, event):
        values(data, stat.version if stat else None, event.type if event else None)
        return None if data != b"stop" else False

    same("at first", values.next(), (None, None, None))
    client.create(root + "/n", b"a")
    same("created", values.next(), (b"a", 0, EventType.CREATED))
    client.set(root + "/n", b"b")
    same("changed", values.next(), (b"b", 1, EventType.CHANGED))
    client.delete(root + "/n")
    same("deleted", values.next(), (None, None, EventType.DELETED))
    client.create(root + "/n", b"stop")
    same("created again", values.next(), (b"stop", 0, EventType.CREATED))
    client.set(root + "/n", b"unseen")
    client.sync(root)
    time.sleep(0.1)
    values.quiet("a stopped watch")


@check("ChildrenWatch: follows the children, ends with the node")
def children_watch_recipe(client, root):
    values = Events()
    client.create(root + "/n")
    client.ChildrenWatch(root + "/n", lambda children: values(sorted(children)))
    same("at first", values.next(), [])
    client.create(root + "/n/b")
    same("one", values.next(), ["b"])
    client.create(root + "/n/a")
    same("two", values.next(), ["a", "b"])
    client.delete(root + "/n/b")
    same("back to one", values.next(), ["a"])
    client.delete(root + "/n/a")
    same("none", values.next(), [])
    client.delete(root + "/n")
    client.create(root + "/n/c", makepath=True)
    time.sleep(0.1)
    values.quiet("a watch whose node is gone")


@check("PatientChildrenWatch: waits until it is calm")
def patient_watch(client, root):
    from kazoo.recipe.watchers import PatientChildrenWatch

    watcher = PatientChildrenWatch(client, root, time_boundary=0.5)
    result = watcher.start()
    for name in ("a", "b"):
        client.create(f"{root}/{name}")
    children, changed = result.get(timeout=10)
    same("children", sorted(children), ["a", "b"])
    client.create(root + "/c")
    changed.wait(10)
    holds("no change seen", changed.ready())
