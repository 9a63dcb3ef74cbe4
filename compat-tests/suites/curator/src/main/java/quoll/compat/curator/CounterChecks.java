package quoll.compat.curator;

import static quoll.compat.Verify.equal;
import static quoll.compat.Verify.eventually;
import static quoll.compat.Verify.that;
import static quoll.compat.curator.Clients.bytes;
import static quoll.compat.curator.Clients.text;

import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.atomic.AtomicValue;
import org.apache.curator.framework.recipes.atomic.CachedAtomicInteger;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicInteger;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.atomic.PromotedToLock;
import org.apache.curator.framework.recipes.shared.SharedCount;
import org.apache.curator.framework.recipes.shared.SharedCountListener;
import org.apache.curator.framework.recipes.shared.SharedCountReader;
import org.apache.curator.framework.recipes.shared.SharedValue;
import org.apache.curator.framework.recipes.shared.VersionedValue;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.RetryNTimes;
import quoll.compat.Scope;
import quoll.compat.Suite;

/** Numbers and values that several clients change. */
final class CounterChecks {
    private CounterChecks() {}

    static void register(Suite suite) {
        suite.shared("DistributedAtomicLong counts right under contention", CounterChecks::contention);
        suite.shared("DistributedAtomicLong promoted to a lock never fails", CounterChecks::promoted);
        suite.shared("DistributedAtomicLong operations", CounterChecks::operations);
        suite.shared("DistributedAtomicInteger and its cached form", CounterChecks::integers);
        suite.shared("SharedCount tells every client", CounterChecks::sharedCount);
        suite.shared("SharedCount under contention", CounterChecks::sharedCountContention);
        suite.shared("SharedValue refuses what is out of date", CounterChecks::sharedValue);
        suite.shared("SharedValue follows in a new session", CounterChecks::sharedValueSession);
    }

    private static void contention(Scope scope) throws Exception {
        List<CuratorFramework> clients = Clients.connect(scope, 4);
        Clients.together(clients, (client, number) -> {
            DistributedAtomicLong counter = new DistributedAtomicLong(client, scope.root(), new RetryNTimes(100, 5));
            for (int done = 0; done < 25;) {
                AtomicValue<Long> value = counter.increment();
                if (value.succeeded()) {
                    equal(value.preValue() + 1, value.postValue(), "value after an increment");
                    done++;
                }
            }
        });
        equal(100L, new DistributedAtomicLong(clients.get(0), scope.root(), new RetryNTimes(1, 1)).get().postValue(),
                "counter");
        equal(99, clients.get(0).checkExists().forPath(scope.root()).getVersion(), "version: one write each");
    }

    private static void promoted(Scope scope) throws Exception {
        List<CuratorFramework> clients = Clients.connect(scope, 3);
        clients.get(0).create().forPath(scope.root());
        Clients.together(clients, (client, number) -> {
            PromotedToLock lock = PromotedToLock.builder().lockPath(scope.root() + "/lock")
                    .timeout(20, TimeUnit.SECONDS).retryPolicy(new RetryNTimes(100, 5)).build();
            DistributedAtomicLong counter = new DistributedAtomicLong(client, scope.root() + "/counter",
                    new RetryNTimes(0, 0), lock);
            for (int round = 0; round < 10; round++) {
                that(counter.add(2L).succeeded(), "an addition with a lock succeeds");
            }
        });
        equal(60L, new DistributedAtomicLong(clients.get(0), scope.root() + "/counter", new RetryNTimes(1, 1)).get()
                .postValue(), "counter");
    }

    private static void operations(Scope scope) throws Exception {
        CuratorFramework client = Clients.connect(scope);
        DistributedAtomicLong counter = new DistributedAtomicLong(client, scope.root(), new RetryNTimes(5, 5));
        equal(0L, counter.get().postValue(), "value of nothing");
        that(counter.initialize(10L), "the first initialisation");
        that(!counter.initialize(20L), "a second initialisation is refused");
        equal(10L, counter.get().postValue(), "value");
        that(!counter.compareAndSet(11L, 12L).succeeded(), "a wrong expectation is refused");
        AtomicValue<Long> swapped = counter.compareAndSet(10L, -5L);
        that(swapped.succeeded(), "a right expectation");
        equal(10L, swapped.preValue(), "value before");
        equal(-5L, swapped.postValue(), "value after");
        equal(-6L, counter.decrement().postValue(), "decrement");
        equal(94L, counter.add(100L).postValue(), "add");
        equal(90L, counter.subtract(4L).postValue(), "subtract");
        that(counter.trySet(7L).succeeded(), "trySet");
        counter.forceSet(Long.MAX_VALUE);
        equal(Long.MAX_VALUE, counter.get().postValue(), "the largest value");
        equal(8, client.getData().forPath(scope.root()).length, "bytes in the node");
    }

    private static void integers(Scope scope) throws Exception {
        List<CuratorFramework> clients = Clients.connect(scope, 2);
        CachedAtomicInteger left = new CachedAtomicInteger(
                new DistributedAtomicInteger(clients.get(0), scope.root(), new RetryNTimes(10, 5)), 10);
        CachedAtomicInteger right = new CachedAtomicInteger(
                new DistributedAtomicInteger(clients.get(1), scope.root(), new RetryNTimes(10, 5)), 10);
        equal(1, left.next().postValue(), "first of the left block");
        equal(11, right.next().postValue(), "first of the right block");
        equal(2, left.next().postValue(), "second of the left block");
    }

    private static SharedCount count(Scope scope, CuratorFramework client) throws Exception {
        SharedCount count = scope.own(new SharedCount(client, scope.root(), 10));
        count.start();
        return count;
    }

    private static void sharedCount(Scope scope) throws Exception {
        List<CuratorFramework> clients = Clients.connect(scope, 2);
        SharedCount mine = count(scope, clients.get(0));
        SharedCount other = count(scope, clients.get(1));
        AtomicInteger told = new AtomicInteger(-1);
        other.addListener(new SharedCountListener() {
            @Override
            public void countHasChanged(SharedCountReader reader, int value) {
                told.set(value);
            }

            @Override
            public void stateChanged(CuratorFramework client, ConnectionState state) {}
        });
        equal(10, other.getCount(), "the seed");
        mine.setCount(20);
        eventually("the listener is told", () -> told.get() == 20);
        equal(20, other.getCount(), "count at the other");
        VersionedValue<Integer> old = other.getVersionedValue();
        that(mine.trySetCount(mine.getVersionedValue(), 30), "a change of the newest version");
        that(!other.trySetCount(old, 40), "a change of an old version is refused");
        equal(30, other.getCount(), "count after the refusal");
        that(other.trySetCount(other.getVersionedValue(), 50), "a change after reading again");
        eventually("the first follows", () -> mine.getCount() == 50);
    }

    private static void sharedCountContention(Scope scope) throws Exception {
        List<CuratorFramework> clients = Clients.connect(scope, 3);
        Clients.together(clients, (client, number) -> {
            SharedCount count = count(scope, client);
            for (int done = 0; done < 15;) {
                VersionedValue<Integer> seen = count.getVersionedValue();
                if (count.trySetCount(seen, seen.getValue() + 1)) {
                    done++;
                }
            }
        });
        equal(55, count(scope, clients.get(0)).getCount(), "count");
    }

    private static SharedValue value(Scope scope, CuratorFramework client) throws Exception {
        SharedValue value = scope.own(new SharedValue(client, scope.root(), bytes("seed")));
        value.start();
        return value;
    }

    private static void sharedValue(Scope scope) throws Exception {
        List<CuratorFramework> clients = Clients.connect(scope, 2);
        SharedValue mine = value(scope, clients.get(0));
        SharedValue other = value(scope, clients.get(1));
        equal("seed", text(other.getValue()), "the seed");
        VersionedValue<byte[]> old = other.getVersionedValue();
        that(mine.trySetValue(mine.getVersionedValue(), bytes("one")), "a change of the newest version");
        that(!other.trySetValue(old, bytes("two")), "a change of an old version is refused");
        equal("one", text(other.getValue()), "value after the refusal");
        other.setValue(bytes("three"));
        eventually("the first follows", () -> text(mine.getValue()).equals("three"));
    }

    private static void sharedValueSession(Scope scope) throws Exception {
        Clients.Fragile fragile = Clients.fragile(scope);
        SharedValue steady = value(scope, Clients.connect(scope));
        SharedValue broken = value(scope, fragile.client());
        fragile.killSession();
        steady.setValue(bytes("while away"));
        eventually("the other follows", () -> text(broken.getValue()).equals("while away"));
        steady.setValue(bytes("later"));
        eventually("the other still follows", () -> text(broken.getValue()).equals("later"));
    }
}
