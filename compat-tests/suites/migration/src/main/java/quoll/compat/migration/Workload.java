package quoll.compat.migration;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.atomic.AtomicValue;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.RetryForever;
import org.apache.curator.retry.RetryNTimes;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.data.Stat;

/**
 * What an application with Curator does all day, while the servers under it are replaced: locks, ephemeral nodes that
 * announce an instance, counters.
 *
 * <p>Prints what it came to so far after each line it reads; at the end of its input it stops, looks whether all that
 * was done is there, and prints {@code verdict ok} or {@code verdict} and what is wrong.
 */
public final class Workload {
    private static final int SESSION_MILLIS = 20_000;
    private static final int CLIENTS = 4;

    private final List<Instance> instances = new ArrayList<>();
    private final AtomicBoolean stopping = new AtomicBoolean();
    /** Who is inside the lock; more than one is a breach. */
    private final AtomicInteger inside = new AtomicInteger();
    private final AtomicInteger breaches = new AtomicInteger();
    private final AtomicLong locks = new AtomicLong();
    private final AtomicLong counted = new AtomicLong();
    private final AtomicLong maybe = new AtomicLong();
    private final AtomicInteger lost = new AtomicInteger();
    private final List<String> wrong = new ArrayList<>();

    private final class Instance {
        private final int number;
        private final CuratorFramework client;
        private final PersistentNode announced;
        private final Thread thread;
        private long session;
        private long czxid;

        private Instance(String connect, int number) throws Exception {
            this.number = number;
            client = CuratorFrameworkFactory.builder()
                .connectString(connect)
                .sessionTimeoutMs(SESSION_MILLIS)
                .connectionTimeoutMs(10_000)
                .retryPolicy(new RetryForever(20))
                .build();
            client.getConnectionStateListenable().addListener((who, state) -> {
                if (state == ConnectionState.LOST) {
                    lost.incrementAndGet();
                }
            });
            client.start();
            client.blockUntilConnected(20, TimeUnit.SECONDS);
            announced = new PersistentNode(client, CreateMode.EPHEMERAL, false, path(),
                ("instance " + number).getBytes(StandardCharsets.UTF_8));
            announced.start();
            if (!announced.waitForInitialCreate(20, TimeUnit.SECONDS)) {
                throw new IllegalStateException("instance " + number + " was not announced");
            }
            session = client.getZookeeperClient().getZooKeeper().getSessionId();
            czxid = client.checkExists().forPath(path()).getCzxid();
            thread = new Thread(this::work, "instance-" + number);
        }

        private String path() {
            return "/app/instances/i-" + number;
        }

        private void work() {
            InterProcessMutex mutex = new InterProcessMutex(client, "/app/lock");
            DistributedAtomicLong counter = new DistributedAtomicLong(client, "/app/counter", new RetryNTimes(50, 5));
            while (!stopping.get()) {
                try {
                    if (mutex.acquire(10, TimeUnit.SECONDS)) {
                        try {
                            if (inside.incrementAndGet() != 1) {
                                breaches.incrementAndGet();
                            }
                            count(counter);
                        } finally {
                            inside.decrementAndGet();
                            mutex.release();
                        }
                        locks.incrementAndGet();
                    }
                } catch (Exception problem) {
                    note("instance " + number + ": " + problem);
                }
            }
        }

        /** An increment that was answered counts; one that was cut off may count. */
        private void count(DistributedAtomicLong counter) {
            try {
                AtomicValue<Long> value = counter.increment();
                if (value.succeeded()) {
                    counted.incrementAndGet();
                }
            } catch (Exception cutOff) {
                maybe.incrementAndGet();
            }
        }

        private void audit() throws Exception {
            if (client.getZookeeperClient().getZooKeeper().getSessionId() != session) {
                note("instance " + number + " has another session");
            }
            Stat stat = client.checkExists().forPath(path());
            if (stat == null || stat.getEphemeralOwner() != session || stat.getCzxid() != czxid) {
                note("the announcement of instance " + number + " is not the one it made: " + stat);
            }
        }
    }

    private void note(String what) {
        synchronized (wrong) {
            wrong.add(what.replace('\n', ' '));
        }
    }

    private void audit() throws Exception {
        for (Instance instance : instances) {
            instance.audit();
        }
        long found = new DistributedAtomicLong(instances.get(0).client, "/app/counter", new RetryNTimes(50, 5))
            .get().postValue();
        // The recipe tries again by itself after a connection loss, so one increment may have been made twice.
        if (found < counted.get()) {
            note("the counter is at " + found + ", acknowledged were " + counted.get());
        }
        if (lost.get() != 0) {
            note("sessions were lost: " + lost.get());
        }
        if (breaches.get() != 0) {
            note("two held the lock at once, times: " + breaches.get());
        }
    }

    private String summary() {
        return "locks=" + locks + " counted=" + counted + " cut_off=" + maybe + " lost=" + lost + " breaches=" + breaches;
    }

    private void run(String connect) throws Exception {
        for (int number = 0; number < CLIENTS; number++) {
            instances.add(new Instance(connect, number));
        }
        instances.forEach(instance -> instance.thread.start());
        System.out.println("ready");
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        while (input.readLine() != null) {
            System.out.println(summary());
        }
        stopping.set(true);
        for (Instance instance : instances) {
            instance.thread.join(30_000);
        }
        audit();
        System.out.println(summary());
        System.out.println("verdict " + (wrong.isEmpty() ? "ok" : String.join("; ", wrong)));
        for (Instance instance : instances) {
            instance.announced.close();
            instance.client.close();
        }
    }

    /** The argument is the connect string. */
    public static void main(String[] arguments) throws Exception {
        Workload workload = new Workload();
        int code = 0;
        try {
            workload.run(arguments[0]);
        } catch (Exception problem) {
            System.out.println("verdict " + problem);
            problem.printStackTrace();
            code = 1;
        }
        System.out.flush();
        System.exit(code);
    }
}
