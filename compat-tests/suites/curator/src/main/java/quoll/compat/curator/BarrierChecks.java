package quoll.compat.curator;

import static quoll.compat.Verify.equal;
import static quoll.compat.Verify.eventually;
import static quoll.compat.Verify.that;
import static quoll.compat.curator.Clients.async;
import static quoll.compat.curator.Clients.get;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.barriers.DistributedBarrier;
import org.apache.curator.framework.recipes.barriers.DistributedDoubleBarrier;
import quoll.compat.Scope;
import quoll.compat.Suite;

/** Barriers that hold several clients back. */
final class BarrierChecks {
    private BarrierChecks() {}

    static void register(Suite suite) {
        suite.shared("DistributedBarrier holds everybody until it is removed", BarrierChecks::barrier);
        suite.shared("DistributedDoubleBarrier lets all in and out together", BarrierChecks::doubleBarrier);
        suite.shared("DistributedDoubleBarrier gives up when somebody is missing", BarrierChecks::missing);
    }

    private static void barrier(Scope scope) throws Exception {
        List<CuratorFramework> clients = Clients.connect(scope, 4);
        DistributedBarrier control = new DistributedBarrier(clients.get(0), scope.root());
        that(control.waitOnBarrier(5, TimeUnit.SECONDS), "without a barrier nobody waits");
        control.setBarrier();
        AtomicInteger passed = new AtomicInteger();
        List<CompletableFuture<Boolean>> waiting = new ArrayList<>();
        for (CuratorFramework client : clients.subList(1, 4)) {
            DistributedBarrier barrier = new DistributedBarrier(client, scope.root());
            waiting.add(async(() -> {
                boolean result = barrier.waitOnBarrier(20, TimeUnit.SECONDS);
                passed.incrementAndGet();
                return result;
            }));
        }
        that(!new DistributedBarrier(clients.get(1), scope.root()).waitOnBarrier(500, TimeUnit.MILLISECONDS),
                "a wait ends with its time");
        equal(0, passed.get(), "clients that passed the standing barrier");
        control.removeBarrier();
        for (CompletableFuture<Boolean> each : waiting) {
            that(get(each), "a waiting client passes");
        }
        control.removeBarrier();
    }

    private static void doubleBarrier(Scope scope) throws Exception {
        List<CuratorFramework> clients = Clients.connect(scope, 4);
        AtomicInteger entered = new AtomicInteger();
        AtomicInteger left = new AtomicInteger();
        AtomicInteger leaving = new AtomicInteger();
        AtomicInteger arriving = new AtomicInteger();
        for (int round = 1; round <= 2; round++) {
            int all = clients.size() * round;
            Clients.together(clients, (client, number) -> {
                DistributedDoubleBarrier barrier = new DistributedDoubleBarrier(client, scope.root(), clients.size());
                Thread.sleep(number * 30L);
                arriving.incrementAndGet();
                that(barrier.enter(20, TimeUnit.SECONDS), "client " + number + " enters");
                equal(all, arriving.get(), "arrived when somebody is let in");
                entered.incrementAndGet();
                Thread.sleep(number * 30L);
                leaving.incrementAndGet();
                that(barrier.leave(20, TimeUnit.SECONDS), "client " + number + " leaves");
                equal(all, leaving.get(), "ready to leave when somebody is let out");
                left.incrementAndGet();
            });
            equal(all, entered.get(), "entered");
            equal(all, left.get(), "left");
        }
    }

    private static void missing(Scope scope) throws Exception {
        List<CuratorFramework> clients = Clients.connect(scope, 2);
        DistributedDoubleBarrier lonely = new DistributedDoubleBarrier(clients.get(0), scope.root(), 2);
        that(!lonely.enter(500, TimeUnit.MILLISECONDS), "one of two is not let in");
        that(lonely.leave(20, TimeUnit.SECONDS), "it can leave");
        eventually("its node is gone", () -> clients.get(1).checkExists().forPath(scope.root()) == null
                || clients.get(1).getChildren().forPath(scope.root()).isEmpty());
    }
}
