package quoll.compat.curator;

import static quoll.compat.Verify.between;
import static quoll.compat.Verify.equal;
import static quoll.compat.Verify.eventually;
import static quoll.compat.Verify.that;
import static quoll.compat.Verify.throwing;
import static quoll.compat.curator.Clients.async;
import static quoll.compat.curator.Clients.bytes;
import static quoll.compat.curator.Clients.get;
import static quoll.compat.curator.Clients.text;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.locks.InterProcessLock;
import org.apache.curator.framework.recipes.locks.InterProcessMultiLock;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreMutex;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;
import org.apache.curator.framework.recipes.locks.Revoker;
import org.apache.curator.framework.recipes.shared.SharedCount;
import quoll.compat.Scope;
import quoll.compat.Suite;

/** Locks and semaphores: who gets in, who waits, and what happens when a holder vanishes. */
final class LockChecks {
    /** How long a lock that must not be had is asked for. */
    private static final int REFUSED_MS = 400;

    private LockChecks() {}

    static void register(Suite suite) {
        suite.shared("InterProcessMutex excludes under contention", LockChecks::exclusion);
        suite.shared("InterProcessMutex is reentrant", LockChecks::reentrancy);
        suite.shared("InterProcessMutex gives up after its timeout", LockChecks::timeout);
        suite.shared("InterProcessMutex is given in the order of asking", LockChecks::fairness);
        suite.shared("InterProcessMutex can be revoked", LockChecks::revocation);
        suite.shared("InterProcessMutex passes on when the holder's session ends", LockChecks::holderDies);
        suite.shared("InterProcessSemaphoreMutex is not reentrant and has no owner", LockChecks::semaphoreMutex);
        suite.shared("InterProcessReadWriteLock shares reads and excludes writes", LockChecks::readWrite);
        suite.shared("InterProcessReadWriteLock lets a writer become a reader", LockChecks::downgrade);
        suite.shared("InterProcessReadWriteLock under contention", LockChecks::readWriteContention);
        suite.shared("InterProcessSemaphoreV2 counts its leases", LockChecks::semaphore);
        suite.shared("InterProcessSemaphoreV2 with a shared size", LockChecks::semaphoreSize);
        suite.shared("InterProcessMultiLock takes all or none", LockChecks::multiLock);
    }

    private static boolean refused(InterProcessLock lock) throws Exception {
        return !lock.acquire(REFUSED_MS, TimeUnit.MILLISECONDS);
    }

    private static void mustGet(InterProcessLock lock, String what) throws Exception {
        that(lock.acquire(20, TimeUnit.SECONDS), what + " gets the lock");
    }

    private static void exclusion(Scope scope) throws Exception {
        List<CuratorFramework> clients = Clients.connect(scope, 4);
        String counter = scope.root() + "/counter";
        clients.get(0).create().creatingParentsIfNeeded().forPath(counter, bytes("0"));
        AtomicInteger inside = new AtomicInteger();
        Clients.together(clients, (client, number) -> {
            InterProcessMutex mutex = new InterProcessMutex(client, scope.root() + "/lock");
            for (int round = 0; round < 12; round++) {
                mustGet(mutex, "client " + number);
                equal(1, inside.incrementAndGet(), "clients inside");
                int value = Integer.parseInt(text(client.getData().forPath(counter)));
                client.setData().forPath(counter, bytes(String.valueOf(value + 1)));
                inside.decrementAndGet();
                mutex.release();
            }
        });
        equal("48", text(clients.get(0).getData().forPath(counter)), "counter");
    }

    private static void reentrancy(Scope scope) throws Exception {
        List<CuratorFramework> clients = Clients.connect(scope, 2);
        InterProcessMutex mine = new InterProcessMutex(clients.get(0), scope.root());
        InterProcessMutex other = new InterProcessMutex(clients.get(1), scope.root());
        mustGet(mine, "the first");
        mustGet(mine, "the first again");
        equal(1, mine.getParticipantNodes().size(), "nodes of the lock");
        that(mine.isOwnedByCurrentThread(), "this thread owns the lock");
        that(refused(other), "another client is refused");
        mine.release();
        that(mine.isAcquiredInThisProcess(), "still held after one release");
        that(refused(other), "another client is still refused");
        mine.release();
        mustGet(other, "the other");
        throwing(IllegalMonitorStateException.class, "release of a lock not held", mine::release);
        get(async(() -> throwing(IllegalMonitorStateException.class, "release by another thread", other::release)));
        other.release();
    }

    private static void timeout(Scope scope) throws Exception {
        List<CuratorFramework> clients = Clients.connect(scope, 2);
        InterProcessMutex mine = new InterProcessMutex(clients.get(0), scope.root());
        InterProcessMutex other = new InterProcessMutex(clients.get(1), scope.root());
        mustGet(mine, "the first");
        long begun = System.nanoTime();
        that(!other.acquire(700, TimeUnit.MILLISECONDS), "the second is refused");
        between(690, 15_000, (System.nanoTime() - begun) / 1_000_000, "milliseconds of waiting");
        equal(1, mine.getParticipantNodes().size(), "nodes after giving up");
        mine.release();
        equal(0, mine.getParticipantNodes().size(), "nodes after the release");
    }

    private static void fairness(Scope scope) throws Exception {
        List<CuratorFramework> clients = Clients.connect(scope, 4);
        InterProcessMutex first = new InterProcessMutex(clients.get(0), scope.root());
        mustGet(first, "the first");
        List<Integer> order = new CopyOnWriteArrayList<>();
        List<CompletableFuture<Void>> waiting = new ArrayList<>();
        for (int number = 1; number < 4; number++) {
            int mine = number;
            InterProcessMutex mutex = new InterProcessMutex(clients.get(number), scope.root());
            waiting.add(async(() -> {
                mustGet(mutex, "client " + mine);
                order.add(mine);
                mutex.release();
                return null;
            }));
            eventually("client " + number + " stands in line", () -> first.getParticipantNodes().size() == mine + 1);
        }
        first.release();
        for (CompletableFuture<Void> each : waiting) {
            get(each);
        }
        equal(List.of(1, 2, 3), order, "order");
    }

    private static void revocation(Scope scope) throws Exception {
        List<CuratorFramework> clients = Clients.connect(scope, 2);
        InterProcessMutex mine = new InterProcessMutex(clients.get(0), scope.root());
        InterProcessMutex other = new InterProcessMutex(clients.get(1), scope.root());
        CountDownLatch asked = new CountDownLatch(1);
        mine.makeRevocable(lock -> asked.countDown());
        mustGet(mine, "the first");
        Collection<String> nodes = other.getParticipantNodes();
        equal(1, nodes.size(), "nodes of the lock");
        Revoker.attemptRevoke(clients.get(1), nodes.iterator().next());
        that(asked.await(20, TimeUnit.SECONDS), "the holder is asked to let go");
        mine.release();
        mustGet(other, "who asked");
        other.release();
    }

    private static void holderDies(Scope scope) throws Exception {
        Clients.Fragile holder = Clients.fragile(scope);
        CuratorFramework heir = Clients.connect(scope);
        mustGet(new InterProcessMutex(holder.client(), scope.root()), "the holder");
        InterProcessMutex other = new InterProcessMutex(heir, scope.root());
        that(refused(other), "the heir waits");
        holder.killSession();
        mustGet(other, "the heir");
    }

    private static void semaphoreMutex(Scope scope) throws Exception {
        List<CuratorFramework> clients = Clients.connect(scope, 2);
        InterProcessSemaphoreMutex mine = new InterProcessSemaphoreMutex(clients.get(0), scope.root());
        InterProcessSemaphoreMutex other = new InterProcessSemaphoreMutex(clients.get(1), scope.root());
        mustGet(mine, "the first");
        that(refused(new InterProcessSemaphoreMutex(clients.get(0), scope.root())), "the same client is refused");
        that(refused(other), "another client is refused");
        get(async(() -> {
            mine.release();
            return null;
        }));
        mustGet(other, "the other after a release by another thread");
        other.release();
        AtomicInteger inside = new AtomicInteger();
        Clients.together(clients, (client, number) -> {
            InterProcessSemaphoreMutex mutex = new InterProcessSemaphoreMutex(client, scope.root());
            for (int round = 0; round < 8; round++) {
                mustGet(mutex, "client " + number);
                equal(1, inside.incrementAndGet(), "clients inside");
                inside.decrementAndGet();
                mutex.release();
            }
        });
    }

    private static void readWrite(Scope scope) throws Exception {
        List<CuratorFramework> clients = Clients.connect(scope, 3);
        List<InterProcessReadWriteLock> locks = new ArrayList<>();
        for (CuratorFramework client : clients) {
            locks.add(new InterProcessReadWriteLock(client, scope.root(), bytes("holder")));
        }
        mustGet(locks.get(0).readLock(), "the first reader");
        mustGet(locks.get(1).readLock(), "the second reader");
        that(refused(locks.get(2).writeLock()), "a writer waits for readers");
        locks.get(0).readLock().release();
        that(refused(locks.get(2).writeLock()), "a writer waits for the last reader");
        locks.get(1).readLock().release();
        mustGet(locks.get(2).writeLock(), "the writer");
        that(refused(locks.get(0).readLock()), "a reader waits for the writer");
        that(refused(locks.get(1).writeLock()), "a writer waits for the writer");
        locks.get(2).writeLock().release();
        mustGet(locks.get(0).readLock(), "a reader after the writer");
        that(refused(locks.get(0).writeLock()), "a reader cannot become a writer");
        locks.get(0).readLock().release();
    }

    private static void downgrade(Scope scope) throws Exception {
        List<CuratorFramework> clients = Clients.connect(scope, 2);
        InterProcessReadWriteLock mine = new InterProcessReadWriteLock(clients.get(0), scope.root());
        InterProcessReadWriteLock other = new InterProcessReadWriteLock(clients.get(1), scope.root());
        mustGet(mine.writeLock(), "the writer");
        mustGet(mine.readLock(), "the writer as a reader");
        that(refused(other.readLock()), "another reader waits");
        mine.writeLock().release();
        mustGet(other.readLock(), "another reader");
        that(refused(other.writeLock()), "another writer waits");
        mine.readLock().release();
        other.readLock().release();
        mustGet(other.writeLock(), "another writer");
        other.writeLock().release();
    }

    private static void readWriteContention(Scope scope) throws Exception {
        List<CuratorFramework> clients = Clients.connect(scope, 4);
        AtomicInteger readers = new AtomicInteger();
        AtomicInteger writers = new AtomicInteger();
        Clients.together(clients, (client, number) -> {
            InterProcessReadWriteLock lock = new InterProcessReadWriteLock(client, scope.root());
            for (int round = 0; round < 8; round++) {
                if (number == 0) {
                    mustGet(lock.writeLock(), "the writer");
                    equal(1, writers.incrementAndGet(), "writers inside");
                    equal(0, readers.get(), "readers beside the writer");
                    Thread.sleep(5);
                    writers.decrementAndGet();
                    lock.writeLock().release();
                } else {
                    mustGet(lock.readLock(), "reader " + number);
                    readers.incrementAndGet();
                    equal(0, writers.get(), "writers beside a reader");
                    Thread.sleep(5);
                    readers.decrementAndGet();
                    lock.readLock().release();
                }
            }
        });
    }

    private static void semaphore(Scope scope) throws Exception {
        List<CuratorFramework> clients = Clients.connect(scope, 2);
        InterProcessSemaphoreV2 mine = new InterProcessSemaphoreV2(clients.get(0), scope.root(), 3);
        InterProcessSemaphoreV2 other = new InterProcessSemaphoreV2(clients.get(1), scope.root(), 3);
        mine.setNodeData(bytes("mine"));
        Collection<Lease> two = mine.acquire(2, 20, TimeUnit.SECONDS);
        that(two != null && two.size() == 2, "two leases at once");
        equal("mine", text(two.iterator().next().getData()), "data of a lease");
        Lease third = other.acquire(20, TimeUnit.SECONDS);
        that(third != null, "the third lease");
        equal(null, other.acquire(REFUSED_MS, TimeUnit.MILLISECONDS), "a fourth lease");
        equal(null, mine.acquire(2, REFUSED_MS, TimeUnit.MILLISECONDS), "two more leases");
        equal(3, mine.getParticipantNodes().size(), "leases");
        mine.returnLease(two.iterator().next());
        Lease again = other.acquire(20, TimeUnit.SECONDS);
        that(again != null, "a lease that was returned");
        mine.returnAll(two);
        other.returnAll(List.of(third, again));
        eventually("all leases are back", () -> mine.getParticipantNodes().isEmpty());
        AtomicInteger inside = new AtomicInteger();
        AtomicInteger most = new AtomicInteger();
        List<CuratorFramework> crowd = new ArrayList<>(clients);
        crowd.addAll(Clients.connect(scope, 3));
        Clients.together(crowd, (client, number) -> {
            InterProcessSemaphoreV2 semaphore = new InterProcessSemaphoreV2(client, scope.root(), 3);
            for (int round = 0; round < 5; round++) {
                Lease lease = semaphore.acquire(20, TimeUnit.SECONDS);
                that(lease != null, "a lease for client " + number);
                most.accumulateAndGet(inside.incrementAndGet(), Math::max);
                Thread.sleep(5);
                inside.decrementAndGet();
                semaphore.returnLease(lease);
            }
        });
        between(1, 3, most.get(), "most clients inside");
    }

    private static void semaphoreSize(Scope scope) throws Exception {
        CuratorFramework client = Clients.connect(scope);
        SharedCount size = scope.own(new SharedCount(client, scope.root() + "/size", 1));
        size.start();
        InterProcessSemaphoreV2 semaphore = new InterProcessSemaphoreV2(client, scope.root() + "/leases", size);
        Lease first = semaphore.acquire(20, TimeUnit.SECONDS);
        that(first != null, "the first lease");
        equal(null, semaphore.acquire(REFUSED_MS, TimeUnit.MILLISECONDS), "a second lease");
        CompletableFuture<Lease> waiting = async(() -> semaphore.acquire(20, TimeUnit.SECONDS));
        size.setCount(2);
        Lease second = get(waiting);
        that(second != null, "a second lease after the size grew");
        semaphore.returnAll(List.of(first, second));
    }

    private static void multiLock(Scope scope) throws Exception {
        List<CuratorFramework> clients = Clients.connect(scope, 2);
        List<String> paths = List.of(scope.root() + "/a", scope.root() + "/b");
        InterProcessMultiLock all = new InterProcessMultiLock(clients.get(0), paths);
        InterProcessMutex first = new InterProcessMutex(clients.get(1), paths.get(0));
        InterProcessMutex second = new InterProcessMutex(clients.get(1), paths.get(1));
        mustGet(second, "the holder of the second lock");
        that(refused(all), "both locks are refused while one is held");
        that(!all.isAcquiredInThisProcess(), "nothing is held after the refusal");
        mustGet(first, "somebody else, the first lock");
        first.release();
        second.release();
        mustGet(all, "both locks");
        that(refused(first) && refused(second), "both are taken");
        all.release();
        mustGet(first, "the first lock after the release");
        first.release();
    }
}
