package quoll.compat.curator;

import static quoll.compat.Verify.equal;
import static quoll.compat.Verify.eventually;
import static quoll.compat.Verify.that;
import static quoll.compat.Verify.throwing;
import static quoll.compat.curator.Clients.async;
import static quoll.compat.curator.Clients.bytes;
import static quoll.compat.curator.Clients.get;
import static quoll.compat.curator.Clients.text;

import java.util.ArrayList;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.queue.DistributedDelayQueue;
import org.apache.curator.framework.recipes.queue.DistributedIdQueue;
import org.apache.curator.framework.recipes.queue.DistributedPriorityQueue;
import org.apache.curator.framework.recipes.queue.DistributedQueue;
import org.apache.curator.framework.recipes.queue.QueueBuilder;
import org.apache.curator.framework.recipes.queue.QueueConsumer;
import org.apache.curator.framework.recipes.queue.QueueSerializer;
import org.apache.curator.framework.recipes.queue.SimpleDistributedQueue;
import org.apache.curator.framework.state.ConnectionState;
import quoll.compat.Scope;
import quoll.compat.Suite;

/** Queues between producers and consumers. */
final class QueueChecks {
    private static final QueueSerializer<String> STRINGS = new QueueSerializer<>() {
        @Override
        public byte[] serialize(String item) {
            return bytes(item);
        }

        @Override
        public String deserialize(byte[] data) {
            return text(data);
        }
    };

    private QueueChecks() {}

    static void register(Suite suite) {
        suite.shared("DistributedQueue keeps the order", QueueChecks::order);
        suite.shared("DistributedQueue gives each item to one consumer", QueueChecks::onceEach);
        suite.shared("DistributedQueue with locks gives a failed item again", QueueChecks::lockSafety);
        suite.shared("DistributedIdQueue removes by id", QueueChecks::ids);
        suite.shared("DistributedPriorityQueue sorts by priority", QueueChecks::priority);
        suite.shared("DistributedDelayQueue holds items back", QueueChecks::delay);
        suite.shared("SimpleDistributedQueue", QueueChecks::simple);
        suite.shared("SimpleDistributedQueue wakes a waiting consumer", QueueChecks::simpleWaits);
    }

    private static QueueConsumer<String> consumer(Consumer<String> action) {
        return new QueueConsumer<>() {
            @Override
            public void consumeMessage(String item) {
                action.accept(item);
            }

            @Override
            public void stateChanged(CuratorFramework client, ConnectionState state) {}
        };
    }

    private static QueueBuilder<String> builder(Scope scope, CuratorFramework client, QueueConsumer<String> consumer) {
        return QueueBuilder.builder(client, consumer, STRINGS, scope.root() + "/queue");
    }

    private static List<String> names(int count) {
        List<String> names = new ArrayList<>();
        for (int number = 0; number < count; number++) {
            names.add("item" + number);
        }
        return names;
    }

    private static void order(Scope scope) throws Exception {
        List<CuratorFramework> clients = Clients.connect(scope, 2);
        DistributedQueue<String> producer = scope.own(builder(scope, clients.get(0), null).buildQueue());
        producer.start();
        for (String name : names(25)) {
            producer.put(name);
        }
        that(producer.flushPuts(20, TimeUnit.SECONDS), "everything is put");
        equal(25, clients.get(1).getChildren().forPath(scope.root() + "/queue").size(), "items in the queue");
        List<String> seen = new CopyOnWriteArrayList<>();
        DistributedQueue<String> queue = scope.own(builder(scope, clients.get(1), consumer(seen::add)).buildQueue());
        queue.start();
        for (String name : names(50).subList(25, 50)) {
            producer.put(name);
        }
        eventually("everything is consumed", () -> seen.size() == 50);
        equal(names(50), seen, "order");
        eventually("the queue is empty", () -> clients.get(0).getChildren().forPath(scope.root() + "/queue").isEmpty());
    }

    private static void onceEach(Scope scope) throws Exception {
        List<CuratorFramework> clients = Clients.connect(scope, 3);
        List<String> seen = new CopyOnWriteArrayList<>();
        for (CuratorFramework client : clients.subList(1, 3)) {
            DistributedQueue<String> queue = scope.own(builder(scope, client, consumer(seen::add)).buildQueue());
            queue.start();
        }
        DistributedQueue<String> producer = scope.own(builder(scope, clients.get(0), null).buildQueue());
        producer.start();
        for (String name : names(60)) {
            producer.put(name);
        }
        eventually("everything is consumed", () -> Set.copyOf(seen).size() == 60);
        equal(60, seen.size(), "items consumed");
    }

    private static void lockSafety(Scope scope) throws Exception {
        List<CuratorFramework> clients = Clients.connect(scope, 2);
        Set<String> failed = ConcurrentHashMap.newKeySet();
        List<String> seen = new CopyOnWriteArrayList<>();
        QueueConsumer<String> unsteady = consumer(item -> {
            if (item.equals("item3") && failed.add(item)) {
                throw new IllegalStateException("the first try of this item is meant to fail");
            }
            seen.add(item);
        });
        for (CuratorFramework client : clients) {
            DistributedQueue<String> queue = scope.own(builder(scope, client, unsteady)
                    .lockPath(scope.root() + "/locks").buildQueue());
            queue.start();
        }
        DistributedQueue<String> producer = scope.own(builder(scope, clients.get(0), null).buildQueue());
        producer.start();
        for (String name : names(8)) {
            producer.put(name);
        }
        eventually("everything is consumed", () -> Set.copyOf(seen).size() == 8);
        equal(Set.of("item3"), failed, "items that failed once");
        equal(8, seen.size(), "items consumed");
    }

    private static void ids(Scope scope) throws Exception {
        CuratorFramework client = Clients.connect(scope);
        DistributedIdQueue<String> producer = scope.own(builder(scope, client, null).buildIdQueue());
        producer.start();
        producer.put("first", "a");
        producer.put("second", "b");
        producer.put("third", "c");
        that(producer.flushPuts(20, TimeUnit.SECONDS), "everything is put");
        equal(1, producer.remove("b"), "items removed");
        equal(0, producer.remove("nobody"), "items removed");
        List<String> seen = new CopyOnWriteArrayList<>();
        DistributedIdQueue<String> queue = scope.own(builder(scope, client, consumer(seen::add)).buildIdQueue());
        queue.start();
        eventually("both are consumed", () -> seen.size() == 2);
        equal(List.of("first", "third"), seen, "items");
    }

    private static void priority(Scope scope) throws Exception {
        List<CuratorFramework> clients = Clients.connect(scope, 2);
        DistributedPriorityQueue<String> producer = scope.own(builder(scope, clients.get(0), null)
                .buildPriorityQueue(0));
        producer.start();
        int[] priorities = {5, 1, -3, 100, 1, 0, 2_000_000};
        for (int index = 0; index < priorities.length; index++) {
            producer.put("p" + priorities[index] + "n" + index, priorities[index]);
            that(producer.flushPuts(20, TimeUnit.SECONDS), "the item is put");
        }
        List<String> seen = new CopyOnWriteArrayList<>();
        DistributedPriorityQueue<String> queue = scope.own(builder(scope, clients.get(1), consumer(seen::add))
                .buildPriorityQueue(0));
        queue.start();
        eventually("everything is consumed", () -> seen.size() == priorities.length);
        equal(List.of("p-3n2", "p0n5", "p1n1", "p1n4", "p5n0", "p100n3", "p2000000n6"), seen, "order");
    }

    private static void delay(Scope scope) throws Exception {
        List<CuratorFramework> clients = Clients.connect(scope, 2);
        List<String> seen = new CopyOnWriteArrayList<>();
        List<Long> times = new CopyOnWriteArrayList<>();
        DistributedDelayQueue<String> queue = scope.own(builder(scope, clients.get(1), consumer(item -> {
            times.add(System.currentTimeMillis());
            seen.add(item);
        })).buildDelayQueue());
        queue.start();
        DistributedDelayQueue<String> producer = scope.own(builder(scope, clients.get(0), null).buildDelayQueue());
        producer.start();
        long base = System.currentTimeMillis();
        long[] due = {base + 2_500, base + 1_500, base + 2_000};
        for (long each : due) {
            producer.put("after" + (each - base), each);
        }
        eventually("everything is consumed", () -> seen.size() == 3);
        equal(List.of("after1500", "after2000", "after2500"), seen, "order");
        for (int index = 0; index < 3; index++) {
            that(times.get(index) >= base + 1_500 + 500L * index, seen.get(index) + " is not too early");
        }
    }

    private static void simple(Scope scope) throws Exception {
        List<CuratorFramework> clients = Clients.connect(scope, 2);
        SimpleDistributedQueue mine = new SimpleDistributedQueue(clients.get(0), scope.root() + "/queue");
        SimpleDistributedQueue other = new SimpleDistributedQueue(clients.get(1), scope.root() + "/queue");
        equal(null, mine.peek(), "peek of nothing");
        equal(null, mine.poll(), "poll of nothing");
        throwing(NoSuchElementException.class, "element of nothing", mine::element);
        throwing(NoSuchElementException.class, "remove of nothing", mine::remove);
        for (String name : names(6)) {
            that(mine.offer(bytes(name)), "an offer");
        }
        equal("item0", text(other.peek()), "peek");
        equal("item0", text(other.element()), "element");
        equal("item0", text(other.poll()), "poll");
        equal("item1", text(mine.remove()), "remove");
        equal("item2", text(other.take()), "take");
        equal("item3", text(other.poll(10, TimeUnit.SECONDS)), "poll with a time");
        List<String> rest = new CopyOnWriteArrayList<>();
        Clients.together(clients, (client, number) -> {
            SimpleDistributedQueue queue = new SimpleDistributedQueue(client, scope.root() + "/queue");
            for (byte[] item = queue.poll(); item != null; item = queue.poll()) {
                rest.add(text(item));
            }
        });
        equal(List.of("item4", "item5"), rest.stream().sorted().toList(), "the rest");
        equal(null, mine.poll(200, TimeUnit.MILLISECONDS), "poll with a time of nothing");
    }

    private static void simpleWaits(Scope scope) throws Exception {
        List<CuratorFramework> clients = Clients.connect(scope, 2);
        // The parent must be there and stay: the consumer waits by watching it.
        clients.get(0).create().creatingParentsIfNeeded().forPath(scope.root() + "/queue");
        SimpleDistributedQueue producer = new SimpleDistributedQueue(clients.get(0), scope.root() + "/queue");
        SimpleDistributedQueue consumer = new SimpleDistributedQueue(clients.get(1), scope.root() + "/queue");
        CompletableFuture<byte[]> taken = async(consumer::take);
        Thread.sleep(200);
        that(!taken.isDone(), "the consumer waits");
        producer.offer(bytes("late"));
        equal("late", text(get(taken)), "item");
    }
}
