"""The recipes, with several sessions competing where that is the point."""

import contextlib
import datetime
import threading

from kazoo.exceptions import CancelledError, LockTimeout
from kazoo.recipe.cache import TreeCache, TreeEvent
from kazoo.recipe.partitioner import PartitionState

from support import Client, Events, Task, check, eventually, fails, holds, same


@contextlib.contextmanager
def clients(count):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Client()) for _ in range(count)]


def queued(client, path, count):
    eventually(f"{count} contenders at {path}", lambda: len(client.retry(client.get_children, path)) == count)


@check("Lock: exclusive, in order of arrival")
def lock_order(client, root):
    order = []
    first = client.Lock(root + "/lock", "first")
    same("acquire", first.acquire(), True)
    with clients(3) as others:
        tasks = []
        for number, other in enumerate(others):

            def turn(other=other, number=number):
                with other.Lock(root + "/lock", f"c{number}"):
                    order.append(number)

            tasks.append(Task(turn))
            queued(client, root + "/lock", number + 2)
        same("contenders", first.contenders(), ["first", "c0", "c1", "c2"])
        same("nobody else is in", order, [])
        first.release()
        for task in tasks:
            task.done()
    same("order", order, [0, 1, 2])
    same("left over", client.get_children(root + "/lock"), [])


@check("Lock: without waiting, with a time limit, cancelled")
def lock_limits(client, root):
    with clients(1) as (other,), client.Lock(root + "/lock", "holder"):
        late = other.Lock(root + "/lock", "late")
        same("not blocking", late.acquire(blocking=False), False)
        fails(LockTimeout, late.acquire, timeout=0.3)
        waiting = Task(late.acquire)
        queued(client, root + "/lock", 2)
        late.cancel()
        fails(CancelledError, waiting.done)
        queued(client, root + "/lock", 1)


@check("Lock: passed on when the holder's session ends")
def lock_of_the_dead(client, root):
    with Client() as holder:
        holder.Lock(root + "/lock").acquire()
        heir = client.Lock(root + "/lock")
        waiting = Task(heir.acquire)
        queued(client, root + "/lock", 2)
    same("acquire", waiting.done(), True)
    heir.release()


@check("Lock: persistent nodes outlive their session")
def lock_persistent(client, root):
    with Client() as holder:
        holder.Lock(root + "/lock", "stays").acquire(ephemeral=False)
    same("contenders", client.Lock(root + "/lock").contenders(), ["stays"])
    same("not blocking", client.Lock(root + "/lock").acquire(blocking=False), False)


@check("ReadLock and WriteLock: readers share, writers do not")
def read_write_lock(client, root):
    with clients(3) as (one, two, three):
        first, second = one.ReadLock(root + "/lock"), two.ReadLock(root + "/lock")
        writer = three.WriteLock(root + "/lock")
        same("first reader", first.acquire(timeout=5), True)
        same("second reader", second.acquire(timeout=5), True)
        waiting = Task(writer.acquire)
        queued(client, root + "/lock", 3)
        late = client.ReadLock(root + "/lock")
        same("reader behind a writer", late.acquire(blocking=False), False)
        first.release()
        holds("the writer is in with a reader", waiting.is_alive())
        second.release()
        same("writer", waiting.done(), True)
        same("reader beside the writer", late.acquire(blocking=False), False)
        writer.release()
        same("reader afterwards", late.acquire(timeout=5), True)
        late.release()


@check("Semaphore: as many leases as allowed")
def semaphore(client, root):
    with clients(3) as others:
        leases = [other.Semaphore(root + "/s", f"c{number}", max_leases=2) for number, other in enumerate(others)]
        same("first", leases[0].acquire(), True)
        same("second", leases[1].acquire(), True)
        same("third", leases[2].acquire(blocking=False), False)
        same("holders", sorted(leases[2].lease_holders()), ["c0", "c1"])
        waiting = Task(leases[2].acquire)
        leases[0].release()
        same("third after a release", waiting.done(), True)
        same("holders", sorted(leases[0].lease_holders()), ["c1", "c2"])
        fails(ValueError, client.Semaphore(root + "/s", max_leases=5).acquire)


@check("Election: one leader, succession by cancel and by death")
def election(client, root):
    led = Events()
    leave = threading.Event()

    def lead(name):
        led(name)
        if name == "a":
            leave.wait(15)
        elif name == "b":
            threading.Event().wait(30)  # leads until its session ends

    one = client.Election(root + "/e", "a")
    first = Task(one.run, lead, "a")
    same("first leader", led.next(), "a")
    with Client() as two, Client() as three:
        second = two.Election(root + "/e", "b")
        Task(second.run, lead, "b")
        eventually("second contender", lambda: second.contenders() == ["a", "b"])
        third = three.Election(root + "/e", "c")
        last = Task(third.run, lead, "c")
        eventually("third contender", lambda: one.contenders() == ["a", "b", "c"])
        led.quiet("more than one leader")
        leave.set()
        first.done()
        same("second leader", led.next(), "b")
        two.stop()
        same("third leader", led.next(), "c")
        last.done()


@check("Election: a contender withdraws")
def election_cancel(client, root):
    led = Events()
    end = threading.Event()
    leader = Task(client.Election(root + "/e", "a").run, lambda: (led("a"), end.wait(15)))
    led.next()
    with Client() as other:
        election = other.Election(root + "/e", "b")
        task = Task(election.run, led, "b")
        eventually("second contender", lambda: len(election.contenders()) == 2)
        election.cancel()
        task.done()
        eventually("withdrawal", lambda: election.contenders() == ["a"])
        end.set()
        leader.done()
        led.quiet("the withdrawn one led")


@check("Party and ShallowParty")
def party(client, root):
    with clients(2) as (one, two):
        for kind, path in (("Party", root + "/p"), ("ShallowParty", root + "/q")):
            here = getattr(one, kind)(path, "one")
            there = getattr(two, kind)(path, "two")
            here.join()
            here.join()
            there.join()
            same(kind, sorted(here), ["one", "two"])
            same(kind + " size", len(there), 2)
            here.leave()
            same(kind + " after leaving", list(there), ["two"])
    same("after the sessions", list(client.Party(root + "/p")), [])


@check("Barrier")
def barrier(client, root):
    gate = client.Barrier(root + "/b")
    same("no barrier, no wait", gate.wait(timeout=1), True)
    gate.create()
    same("held", gate.wait(timeout=0.3), False)
    with Client() as other:
        waiting = Task(other.Barrier(root + "/b").wait, 10)
        holds("passed through", waiting.is_alive())
        same("remove", gate.remove(), True)
        same("released", waiting.done(), True)
    same("remove twice", gate.remove(), False)


@check("DoubleBarrier: in together, out together")
def double_barrier(client, root):
    entered, left = [], []
    with clients(3) as others:
        barriers = [other.DoubleBarrier(root + "/b", 3) for other in others]

        def enter(barrier):
            barrier.enter()
            entered.append(barrier)

        def leave(barrier):
            barrier.leave()
            left.append(barrier)

        tasks = [Task(enter, barriers[0])]
        eventually("first one", lambda: client.exists(root + "/b") and client.get_children(root + "/b"))
        tasks.append(Task(enter, barriers[1]))
        queued(client, root + "/b", 2)
        same("entered early", entered, [])
        tasks.append(Task(enter, barriers[2]))
        for task in tasks:
            task.done()
        same("participating", [one.participating for one in barriers], [True] * 3)
        tasks = [Task(leave, barriers[0]), Task(leave, barriers[1])]
        eventually("ready node gone", lambda: client.exists(root + "/b/ready") is None)
        same("left early", left, [])
        tasks.append(Task(leave, barriers[2]))
        for task in tasks:
            task.done()
        same("nodes", client.get_children(root + "/b"), [])


@check("Counter: concurrent, float, default, Curator's format", limit=30)
def counter(client, root):
    with clients(3) as others:

        def count(other):
            number = other.Counter(root + "/c")
            for _ in range(20):
                number += 1

        tasks = [Task(count, other) for other in others]
        for task in tasks:
            task.done(25)
    total = client.Counter(root + "/c")
    same("sum", total.value, 60)
    same("version", client.exists(root + "/c").version, 60)
    total -= 10
    same("before and after", (total.pre_value, total.post_value), (60, 50))
    ratio = client.Counter(root + "/f", default=1.5)
    ratio += 0.25
    same("float", ratio.value, 1.75)
    shared = client.Counter(root + "/s", default=7, support_curator=True)
    shared += 1
    same("bytes", client.get(root + "/s")[0], b"\x00\x00\x00\x08")


@check("Queue: by priority, then by arrival")
def queue(client, root):
    one = client.Queue(root + "/q")
    same("empty", one.get(), None)
    one.put(b"late", priority=200)
    one.put(b"a")
    one.put(b"b")
    one.put(b"urgent", priority=1)
    same("length", len(one), 4)
    with Client() as other:
        two = other.Queue(root + "/q")
        same("values", [two.get(), one.get(), two.get(), one.get(), two.get()], [b"urgent", b"a", b"b", b"late", None])
    same("length", len(one), 0)


@check("LockingQueue: an entry is held until consumed")
def locking_queue(client, root):
    with clients(2) as (one, two):
        mine, other = one.LockingQueue(root + "/q"), two.LockingQueue(root + "/q")
        mine.put(b"a")
        mine.put_all([b"b", b"c"], priority=150)
        same("length", len(other), 3)
        same("first", mine.get(), b"a")
        same("second", other.get(timeout=5), b"b")
        same("locks", (mine.holds_lock(), other.holds_lock()), (True, True))
        same("released", other.release(), True)
        same("again", other.get(timeout=5), b"b")
        same("consume", (mine.consume(), other.consume()), (True, True))
        same("last", mine.get(timeout=5), b"c")
        same("nothing left", other.get(timeout=0.3), None)
        waiting = Task(other.get, 10)
        mine.consume()
        client.LockingQueue(root + "/q").put(b"d")
        same("woken", waiting.done(), b"d")
        other.consume()
        same("length", len(mine), 0)


@check("LockingQueue: the entry of a dead consumer returns")
def locking_queue_death(client, root):
    queue = client.LockingQueue(root + "/q")
    queue.put(b"a")
    with Client() as consumer:
        same("taken", consumer.LockingQueue(root + "/q").get(), b"a")
        same("not twice", queue.get(timeout=0.3), None)
    same("returned", queue.get(timeout=5), b"a")
    queue.consume()


@check("TreeCache: mirrors a subtree")
def tree_cache(client, root):
    names = ("ADDED", "UPDATED", "REMOVED", "SUSPENDED", "RECONNECTED", "LOST", "INITIALIZED")
    seen = []
    client.create(root + "/t/a/b", b"1", makepath=True)
    with Client() as follower:
        cache = TreeCache(follower, root + "/t")
        cache.listen(
            lambda event: seen.append(
                names[event.event_type] + (" " + event.event_data.path[len(root) :] if event.event_data else "")
            )
        )
        faults = []
        cache.listen_fault(faults.append)
        cache.start()
        eventually("initial load", lambda: "INITIALIZED" in seen)
        same("loaded", sorted(seen[:-1]), ["ADDED /t", "ADDED /t/a", "ADDED /t/a/b"])
        same("data", cache.get_data(root + "/t/a/b").data, b"1")
        seen.clear()
        client.set(root + "/t/a/b", b"2")
        eventually("update", lambda: seen == ["UPDATED /t/a/b"])
        same("version", cache.get_data(root + "/t/a/b").stat.version, 1)
        client.create(root + "/t/c")
        eventually("addition", lambda: seen[1:] == ["ADDED /t/c"])
        same("children", cache.get_children(root + "/t"), frozenset(("a", "c")))
        client.delete(root + "/t/a", recursive=True)
        eventually("removal", lambda: sorted(seen[2:]) == ["REMOVED /t/a", "REMOVED /t/a/b"])
        same("absent", cache.get_data(root + "/t/a"), None)
        same("faults", faults, [])
        same("event type", TreeEvent.INITIALIZED, 6)
        cache.close()


@check("SetPartitioner: divides the set, again when a member leaves", limit=40)
def partitioner(client, root):
    items = tuple(range(6))

    def settle(*members):
        def settled():
            for member in members:
                if member.release:
                    member.release_set()
                holds("partitioner failed", not member.failed)
            return all(member.acquired for member in members)

        eventually("acquisition", settled, 20)

    with clients(2) as (one, two):
        first = one.SetPartitioner(root + "/p", set=items, identifier="one", time_boundary=0.3)
        second = two.SetPartitioner(root + "/p", set=items, identifier="two", time_boundary=0.3)
        settle(first, second)
        shares = [sorted(first), sorted(second)]
        same("all of it", sorted(shares[0] + shares[1]), list(items))
        same("halves", [len(share) for share in shares], [3, 3])
        second.finish()
        same("state of the leaver", second.state, PartitionState.FAILURE)
        eventually("notice of the change", lambda: first.release or first.allocating)
        settle(first)
        same("everything", sorted(first), list(items))
        first.finish()


@check("NonBlockingLease and MultiNonBlockingLease")
def lease(client, root):
    hour = datetime.timedelta(hours=1)
    later = lambda: datetime.datetime(2100, 1, 1)  # noqa: E731
    now = lambda: datetime.datetime(2099, 1, 1)  # noqa: E731
    same("first", bool(client.NonBlockingLease(root + "/l", hour, identifier="a", utcnow=now)), True)
    with Client() as other:
        same("second", bool(other.NonBlockingLease(root + "/l", hour, identifier="b", utcnow=now)), False)
        same("renewal", bool(client.NonBlockingLease(root + "/l", hour, identifier="a", utcnow=now)), True)
        same("after its end", bool(other.NonBlockingLease(root + "/l", hour, identifier="b", utcnow=later)), True)
        got = [
            bool(other.MultiNonBlockingLease(2, root + "/m", hour, identifier=name, utcnow=now)) for name in ("a", "b", "c")
        ]
    same("two of three", got, [True, True, False])
