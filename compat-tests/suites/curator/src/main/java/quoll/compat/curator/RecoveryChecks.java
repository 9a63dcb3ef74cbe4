package quoll.compat.curator;

import static quoll.compat.Verify.equal;
import static quoll.compat.Verify.eventually;
import static quoll.compat.Verify.that;
import static quoll.compat.curator.Clients.bytes;
import static quoll.compat.curator.Clients.text;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.RetryNTimes;
import org.apache.zookeeper.CreateMode;
import quoll.compat.Scope;
import quoll.compat.Suite;

/** Recipes that are at work while the server goes away and comes back on the same data. */
final class RecoveryChecks {
    private RecoveryChecks() {}

    static void register(Suite suite) {
        suite.exclusive("cache, node and latch recover from a restart", scope -> recover(scope, "restart"));
        suite.exclusive("cache, node and latch recover from a kill", scope -> recover(scope, "kill"));
        suite.exclusive("mutex is held across a restart", RecoveryChecks::mutex);
        suite.exclusive("counting goes on through a restart", RecoveryChecks::counting);
    }

    private static List<CuratorFramework> clients(Scope scope) throws Exception {
        List<CuratorFramework> clients = new ArrayList<>();
        for (int number = 0; number < 2; number++) {
            clients.add(Clients.start(scope, Clients.builder(scope.connectThroughRestarts())));
        }
        return clients;
    }

    private static void outage(Scope scope, String how) throws Exception {
        scope.environment().control(how);
        if (how.equals("kill")) {
            scope.environment().control("start");
        }
    }

    private static void recover(Scope scope, String how) throws Exception {
        List<CuratorFramework> clients = clients(scope);
        CuratorFramework first = clients.get(0);
        CuratorFramework second = clients.get(1);
        String root = scope.root();
        first.create().forPath(root, bytes("r"));
        first.create().forPath(root + "/tree");
        first.create().forPath(root + "/tree/a", bytes("1"));
        CuratorCache cache = scope.own(CuratorCache.build(first, root + "/tree"));
        cache.start();
        PersistentNode node = scope.own(new PersistentNode(first, CreateMode.EPHEMERAL, false, root + "/node",
                bytes("n")));
        node.start();
        that(node.waitForInitialCreate(20, TimeUnit.SECONDS), "the node is created");
        List<LeaderLatch> latches = new ArrayList<>();
        for (CuratorFramework client : clients) {
            LeaderLatch latch = scope.own(new LeaderLatch(client, root + "/latch", "id" + latches.size()));
            latch.start();
            latches.add(latch);
        }
        eventually("everything runs", () -> cache.size() == 2
                && latches.get(0).getParticipants().size() == 2
                && latches.stream().filter(LeaderLatch::hasLeadership).count() == 1);
        AtomicBoolean suspended = new AtomicBoolean();
        first.getConnectionStateListenable().addListener((client, state) ->
                suspended.compareAndSet(false, state == ConnectionState.SUSPENDED));
        long session = first.getZookeeperClient().getZooKeeper().getSessionId();

        outage(scope, how);

        eventually("the client noticed", suspended::get);
        that(first.blockUntilConnected(20, TimeUnit.SECONDS), "the client is connected again");
        equal(session, first.getZookeeperClient().getZooKeeper().getSessionId(), "session");
        equal("r", text(second.getData().forPath(root)), "data");
        second.setData().forPath(root + "/tree/a", bytes("2"));
        second.create().forPath(root + "/tree/b", bytes("3"));
        eventually("the cache follows", () -> cache.size() == 3
                && cache.get(root + "/tree/a").map(data -> text(data.getData())).orElse("").equals("2"));
        equal(session, second.checkExists().forPath(root + "/node").getEphemeralOwner(), "owner of the node");
        second.delete().forPath(root + "/node");
        eventually("the node comes back", () -> second.checkExists().forPath(root + "/node") != null);
        eventually("one leads", () -> latches.stream().filter(LeaderLatch::hasLeadership).count() == 1);
        eventually("both take part", () -> latches.get(1).getParticipants().size() == 2);
        LeaderLatch leader = latches.stream().filter(LeaderLatch::hasLeadership).findFirst().orElseThrow();
        latches.remove(leader);
        leader.close();
        that(latches.get(0).await(20, TimeUnit.SECONDS), "the other leads");
    }

    private static void mutex(Scope scope) throws Exception {
        List<CuratorFramework> clients = clients(scope);
        InterProcessMutex mine = new InterProcessMutex(clients.get(0), scope.root());
        InterProcessMutex other = new InterProcessMutex(clients.get(1), scope.root());
        that(mine.acquire(20, TimeUnit.SECONDS), "the first gets the lock");
        outage(scope, "restart");
        that(!other.acquire(1, TimeUnit.SECONDS), "another client is refused after the restart");
        eventually("the failed attempt is cleaned up", () -> mine.getParticipantNodes().size() == 1);
        mine.release();
        that(other.acquire(20, TimeUnit.SECONDS), "another client gets the lock after the release");
        other.release();
    }

    private static void counting(Scope scope) throws Exception {
        List<CuratorFramework> clients = clients(scope);
        AtomicBoolean running = new AtomicBoolean(true);
        AtomicLong succeeded = new AtomicLong();
        AtomicLong tried = new AtomicLong();
        List<Thread> threads = new ArrayList<>();
        for (CuratorFramework client : clients) {
            DistributedAtomicLong counter = new DistributedAtomicLong(client, scope.root(), new RetryNTimes(20, 10));
            Thread thread = new Thread(() -> {
                while (running.get()) {
                    tried.incrementAndGet();
                    try {
                        if (counter.increment().succeeded()) {
                            succeeded.incrementAndGet();
                        }
                    } catch (Exception broken) {
                        // A request in the moment of the outage may or may not have been carried out.
                    }
                }
            });
            thread.setDaemon(true);
            thread.start();
            threads.add(thread);
        }
        eventually("counting has begun", () -> succeeded.get() > 50);
        outage(scope, "restart");
        long before = succeeded.get();
        eventually("counting goes on", () -> succeeded.get() > before + 50);
        running.set(false);
        for (Thread thread : threads) {
            thread.join(20_000);
        }
        long value = new DistributedAtomicLong(clients.get(0), scope.root(), new RetryNTimes(5, 10)).get().postValue();
        that(value >= succeeded.get(), value + " counted, at least " + succeeded + " were acknowledged");
        // Curator repeats a write whose answer it did not get, so each client may have counted once more.
        long most = tried.get() + clients.size();
        that(value <= most, value + " counted, at most " + most + " were tried");
    }
}
