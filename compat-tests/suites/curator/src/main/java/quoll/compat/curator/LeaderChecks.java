package quoll.compat.curator;

import static quoll.compat.Verify.equal;
import static quoll.compat.Verify.eventually;
import static quoll.compat.Verify.that;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderLatchListener;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListenerAdapter;
import org.apache.curator.framework.recipes.leader.Participant;
import quoll.compat.Scope;
import quoll.compat.Suite;

/** Election of one among several clients. */
final class LeaderChecks {
    private LeaderChecks() {}

    static void register(Suite suite) {
        suite.shared("LeaderLatch has one leader and hands over on close", LeaderChecks::latch);
        suite.shared("LeaderLatch tells its listeners", LeaderChecks::listeners);
        suite.shared("LeaderLatch hands over when the leader's session ends", LeaderChecks::latchSession);
        suite.shared("LeaderSelector gives everybody a turn, one at a time", LeaderChecks::selector);
        suite.shared("LeaderSelector can be interrupted", LeaderChecks::interrupted);
    }

    private static List<LeaderLatch> leaders(List<LeaderLatch> latches) {
        return latches.stream().filter(LeaderLatch::hasLeadership).toList();
    }

    private static void latch(Scope scope) throws Exception {
        List<LeaderLatch> latches = new ArrayList<>();
        for (CuratorFramework client : Clients.connect(scope, 3)) {
            LeaderLatch latch = scope.own(new LeaderLatch(client, scope.root(), "id" + latches.size()));
            latch.start();
            latches.add(latch);
        }
        Set<String> served = new TreeSet<>();
        while (!latches.isEmpty()) {
            eventually("one leads", () -> leaders(latches).size() == 1);
            LeaderLatch leader = leaders(latches).get(0);
            that(leader.await(1, TimeUnit.SECONDS), "the leader's await returns");
            LeaderLatch last = latches.get(latches.size() - 1);
            int size = latches.size();
            eventually("all take part", () -> last.getParticipants().size() == size);
            Participant seen = last.getLeader();
            equal(leader.getId(), seen.getId(), "leader seen by another");
            that(seen.isLeader(), "the leader is marked as leader");
            served.add(leader.getId());
            leader.close();
            that(!leader.hasLeadership(), "a closed latch does not lead");
            latches.remove(leader);
        }
        equal(Set.of("id0", "id1", "id2"), served, "those who led");
    }

    private static void listeners(Scope scope) throws Exception {
        List<CuratorFramework> clients = Clients.connect(scope, 2);
        AtomicInteger gained = new AtomicInteger();
        AtomicInteger lost = new AtomicInteger();
        LeaderLatchListener listener = new LeaderLatchListener() {
            @Override
            public void isLeader() {
                gained.incrementAndGet();
            }

            @Override
            public void notLeader() {
                lost.incrementAndGet();
            }
        };
        LeaderLatch first = scope.own(new LeaderLatch(clients.get(0), scope.root(), "first"));
        first.addListener(listener);
        first.start();
        eventually("the first is told that it leads", () -> gained.get() == 1);
        LeaderLatch second = scope.own(new LeaderLatch(clients.get(1), scope.root(), "second"));
        second.start();
        that(!second.await(300, TimeUnit.MILLISECONDS), "the second waits");
        first.close(LeaderLatch.CloseMode.NOTIFY_LEADER);
        eventually("the first is told that it leads no more", () -> lost.get() == 1);
        that(second.await(20, TimeUnit.SECONDS), "the second leads");
        equal(1, gained.get(), "times the first was told that it leads");
    }

    private static void latchSession(Scope scope) throws Exception {
        Clients.Fragile fragile = Clients.fragile(scope);
        CuratorFramework steady = Clients.connect(scope);
        LeaderLatch first = scope.own(new LeaderLatch(fragile.client(), scope.root(), "first"));
        first.start();
        that(first.await(20, TimeUnit.SECONDS), "the first leads");
        LeaderLatch second = scope.own(new LeaderLatch(steady, scope.root(), "second"));
        second.start();
        eventually("both take part", () -> second.getParticipants().size() == 2);
        fragile.killSession();
        that(second.await(20, TimeUnit.SECONDS), "the second leads");
        eventually("the first knows", () -> !first.hasLeadership());
        eventually("the first stands in line again", () -> second.getParticipants().size() == 2);
        equal("second", first.getLeader().getId(), "leader");
        second.close();
        that(first.await(20, TimeUnit.SECONDS), "the first leads again");
    }

    private static void selector(Scope scope) throws Exception {
        List<CuratorFramework> clients = Clients.connect(scope, 3);
        AtomicInteger inside = new AtomicInteger();
        AtomicInteger crowded = new AtomicInteger();
        Set<String> served = ConcurrentHashMap.newKeySet();
        CountDownLatch turns = new CountDownLatch(9);
        List<LeaderSelector> selectors = new ArrayList<>();
        for (int number = 0; number < clients.size(); number++) {
            String id = "id" + number;
            LeaderSelector selector = scope.own(new LeaderSelector(clients.get(number), scope.root(),
                    new LeaderSelectorListenerAdapter() {
                        @Override
                        public void takeLeadership(CuratorFramework client) throws Exception {
                            if (inside.incrementAndGet() != 1) {
                                crowded.incrementAndGet();
                            }
                            served.add(id);
                            Thread.sleep(10);
                            inside.decrementAndGet();
                            turns.countDown();
                        }
                    }));
            selector.setId(id);
            selector.autoRequeue();
            selectors.add(selector);
        }
        selectors.forEach(LeaderSelector::start);
        that(turns.await(25, TimeUnit.SECONDS), "nine turns are taken");
        equal(0, crowded.get(), "times two led at once");
        equal(Set.of("id0", "id1", "id2"), Set.copyOf(served), "those who led");
        eventually("all take part", () -> selectors.get(0).getParticipants().size() == 3);
    }

    private static void interrupted(Scope scope) throws Exception {
        List<CuratorFramework> clients = Clients.connect(scope, 2);
        CountDownLatch leading = new CountDownLatch(1);
        CountDownLatch stopped = new CountDownLatch(1);
        CountDownLatch next = new CountDownLatch(1);
        LeaderSelector first = scope.own(new LeaderSelector(clients.get(0), scope.root(),
                new LeaderSelectorListenerAdapter() {
                    @Override
                    public void takeLeadership(CuratorFramework client) throws Exception {
                        leading.countDown();
                        try {
                            new CountDownLatch(1).await();
                        } finally {
                            stopped.countDown();
                        }
                    }
                }));
        first.setId("first");
        first.start();
        that(leading.await(20, TimeUnit.SECONDS), "the first leads");
        that(first.hasLeadership(), "the first knows it");
        LeaderSelector second = scope.own(new LeaderSelector(clients.get(1), scope.root(),
                new LeaderSelectorListenerAdapter() {
                    @Override
                    public void takeLeadership(CuratorFramework client) {
                        next.countDown();
                    }
                }));
        second.start();
        eventually("both take part", () -> second.getParticipants().size() == 2);
        equal("first", second.getLeader().getId(), "leader");
        equal(1, next.getCount(), "turns the second still waits for");
        first.interruptLeadership();
        that(stopped.await(20, TimeUnit.SECONDS), "the first stops");
        that(next.await(20, TimeUnit.SECONDS), "the second leads");
    }
}
