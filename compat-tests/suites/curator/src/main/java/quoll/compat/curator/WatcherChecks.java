package quoll.compat.curator;

import static quoll.compat.Verify.equal;
import static quoll.compat.Verify.eventually;
import static quoll.compat.Verify.that;
import static quoll.compat.Verify.throwing;
import static quoll.compat.curator.Clients.bytes;
import static quoll.compat.curator.Clients.get;

import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.WatcherRemoveCuratorFramework;
import org.apache.curator.framework.api.CuratorEvent;
import org.apache.curator.framework.api.CuratorEventType;
import org.apache.curator.framework.recipes.watch.PersistentWatcher;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.Watcher.WatcherType;
import quoll.compat.Scope;
import quoll.compat.Suite;
import quoll.compat.Verify;

/** Watches set through Curator: kept, taken back, and set again after trouble. */
final class WatcherChecks {
    private static final class Told implements Watcher {
        private final BlockingQueue<String> lines = new LinkedBlockingQueue<>();

        @Override
        public void process(WatchedEvent event) {
            if (event.getType() != EventType.None) {
                lines.add(event.getType() + " " + event.getPath());
            }
        }

        void expect(String line) throws InterruptedException {
            equal(line, lines.poll(Verify.PATIENCE_MS, TimeUnit.MILLISECONDS), "the event");
        }

        /** Says something only after an answer that came behind all events. */
        void none(CuratorFramework client) throws Exception {
            CompletableFuture<CuratorEvent> fence = new CompletableFuture<>();
            client.checkExists().inBackground((source, event) -> fence.complete(event)).forPath("/");
            get(fence);
            that(lines.isEmpty(), "events that should not come: " + lines);
        }
    }

    private WatcherChecks() {}

    static void register(Suite suite) {
        suite.shared("PersistentWatcher on one node", WatcherChecks::persistent);
        suite.shared("PersistentWatcher on a subtree", WatcherChecks::recursive);
        suite.shared("PersistentWatcher is set again in a new session", WatcherChecks::reset);
        suite.shared("watchers().add in both modes", WatcherChecks::add);
        suite.shared("one-shot watches through the builders", WatcherChecks::oneShot);
        suite.shared("watches().remove for each type", WatcherChecks::remove);
        suite.shared("watches().removeAll", WatcherChecks::removeAll);
        suite.shared("a client that removes its watchers", WatcherChecks::removeOwn);
    }

    private static PersistentWatcher started(Scope scope, CuratorFramework client, Told told, boolean recursive)
            throws Exception {
        PersistentWatcher watcher = scope.own(new PersistentWatcher(client, scope.root(), recursive));
        AtomicInteger set = new AtomicInteger();
        watcher.getListenable().addListener(told);
        watcher.getResetListenable().addListener(set::incrementAndGet);
        watcher.start();
        eventually("the watch is set", () -> set.get() > 0);
        return watcher;
    }

    private static void persistent(Scope scope) throws Exception {
        CuratorFramework writer = Clients.connect(scope);
        CuratorFramework client = Clients.connect(scope);
        String root = scope.root();
        Told told = new Told();
        PersistentWatcher watcher = started(scope, client, told, false);
        for (int round = 0; round < 2; round++) {
            writer.create().forPath(root);
            writer.setData().forPath(root, bytes("1"));
            writer.create().forPath(root + "/a");
            writer.setData().forPath(root + "/a", bytes("2"));
            writer.delete().forPath(root + "/a");
            writer.delete().forPath(root);
            told.expect("NodeCreated " + root);
            told.expect("NodeDataChanged " + root);
            told.expect("NodeChildrenChanged " + root);
            told.expect("NodeChildrenChanged " + root);
            told.expect("NodeDeleted " + root);
        }
        watcher.close();
        told.none(client);
        eventually("the watch is gone", () -> !watched(client, root));
        writer.create().forPath(root);
        told.none(client);
    }

    /** Asks the server whether this client watches the path. */
    private static boolean watched(CuratorFramework client, String path) throws Exception {
        try {
            client.getZookeeperClient().getZooKeeper().removeAllWatches(path, WatcherType.Any, false);
            return true;
        } catch (KeeperException.NoWatcherException none) {
            return false;
        }
    }

    private static void recursive(Scope scope) throws Exception {
        CuratorFramework writer = Clients.connect(scope);
        CuratorFramework client = Clients.connect(scope);
        String root = scope.root();
        Told told = new Told();
        started(scope, client, told, true);
        writer.create().creatingParentsIfNeeded().forPath(root + "/a/b", bytes("1"));
        writer.setData().forPath(root + "/a/b", bytes("2"));
        writer.setData().forPath(root + "/a", bytes("3"));
        writer.delete().deletingChildrenIfNeeded().forPath(root);
        told.expect("NodeCreated " + root);
        told.expect("NodeCreated " + root + "/a");
        told.expect("NodeCreated " + root + "/a/b");
        told.expect("NodeDataChanged " + root + "/a/b");
        told.expect("NodeDataChanged " + root + "/a");
        told.expect("NodeDeleted " + root + "/a/b");
        told.expect("NodeDeleted " + root + "/a");
        told.expect("NodeDeleted " + root);
        told.none(client);
    }

    private static void reset(Scope scope) throws Exception {
        CuratorFramework writer = Clients.connect(scope);
        Clients.Fragile fragile = Clients.fragile(scope);
        writer.create().forPath(scope.root());
        PersistentWatcher watcher = scope.own(new PersistentWatcher(fragile.client(), scope.root(), true));
        Told told = new Told();
        AtomicInteger set = new AtomicInteger();
        watcher.getListenable().addListener(told);
        watcher.getResetListenable().addListener(set::incrementAndGet);
        watcher.start();
        eventually("the watch is set", () -> set.get() == 1);
        fragile.killSession();
        eventually("the watch is set again", () -> set.get() == 2);
        writer.create().forPath(scope.root() + "/a");
        told.expect("NodeCreated " + scope.root() + "/a");
        told.none(fragile.client());
    }

    private static void add(Scope scope) throws Exception {
        CuratorFramework client = Clients.connect(scope);
        String root = scope.root();
        client.create().forPath(root);
        Told one = new Told();
        Told all = new Told();
        client.watchers().add().withMode(AddWatchMode.PERSISTENT).usingWatcher((Watcher) one).forPath(root);
        client.watchers().add().withMode(AddWatchMode.PERSISTENT_RECURSIVE).usingWatcher((Watcher) all).forPath(root);
        client.create().forPath(root + "/a");
        client.setData().forPath(root + "/a", bytes("1"));
        client.setData().forPath(root, bytes("2"));
        one.expect("NodeChildrenChanged " + root);
        one.expect("NodeDataChanged " + root);
        one.none(client);
        all.expect("NodeCreated " + root + "/a");
        all.expect("NodeDataChanged " + root + "/a");
        all.expect("NodeDataChanged " + root);
        all.none(client);
    }

    private static void oneShot(Scope scope) throws Exception {
        CuratorFramework client = Clients.connect(scope);
        String root = scope.root();
        client.create().forPath(root);
        Told data = new Told();
        Told children = new Told();
        Told missing = new Told();
        client.getData().usingWatcher(data).forPath(root);
        client.getChildren().usingWatcher(children).forPath(root);
        client.checkExists().usingWatcher(missing).forPath(root + "/a");
        client.setData().forPath(root, bytes("1"));
        client.setData().forPath(root, bytes("2"));
        client.create().forPath(root + "/a");
        client.create().forPath(root + "/b");
        data.expect("NodeDataChanged " + root);
        children.expect("NodeChildrenChanged " + root);
        missing.expect("NodeCreated " + root + "/a");
        data.none(client);
        children.none(client);
        missing.none(client);
        BlockingQueue<String> listened = new LinkedBlockingQueue<>();
        client.getCuratorListenable().addListener((source, event) -> {
            if (event.getType() == CuratorEventType.WATCHED && event.getPath() != null) {
                listened.add(event.getWatchedEvent().getType() + " " + event.getPath());
            }
        });
        client.getData().watched().forPath(root);
        client.setData().forPath(root, bytes("3"));
        equal("NodeDataChanged " + root, listened.poll(20, TimeUnit.SECONDS), "event for the listeners");
    }

    private static void remove(Scope scope) throws Exception {
        CuratorFramework client = Clients.connect(scope);
        String root = scope.root();
        client.create().forPath(root);
        Told data = new Told();
        Told children = new Told();
        client.getData().usingWatcher(data).forPath(root);
        client.getChildren().usingWatcher(children).forPath(root);
        throwing(KeeperException.NoWatcherException.class, "removal of the wrong type",
                () -> client.watchers().remove(data).ofType(WatcherType.Children).forPath(root));
        client.watchers().remove(data).ofType(WatcherType.Data).forPath(root);
        data.expect("DataWatchRemoved " + root);
        client.watchers().remove(children).ofType(WatcherType.Any).forPath(root);
        children.expect("ChildWatchRemoved " + root);
        throwing(KeeperException.NoWatcherException.class, "a second removal",
                () -> client.watchers().remove(data).forPath(root));
        client.watchers().remove(data).quietly().forPath(root);
        client.setData().forPath(root, bytes("1"));
        client.create().forPath(root + "/a");
        data.none(client);
        children.none(client);
    }

    private static void removeAll(Scope scope) throws Exception {
        CuratorFramework client = Clients.connect(scope);
        String root = scope.root();
        client.create().forPath(root);
        Told first = new Told();
        Told second = new Told();
        client.getData().usingWatcher(first).forPath(root);
        client.getData().usingWatcher(second).forPath(root);
        CompletableFuture<CuratorEvent> told = new CompletableFuture<>();
        client.watchers().removeAll().ofType(WatcherType.Data)
                .inBackground((source, event) -> told.complete(event)).forPath(root);
        equal(0, get(told).getResultCode(), "code");
        equal(CuratorEventType.REMOVE_WATCHES, get(told).getType(), "type");
        first.expect("DataWatchRemoved " + root);
        second.expect("DataWatchRemoved " + root);
        client.setData().forPath(root, bytes("1"));
        first.none(client);
        second.none(client);
    }

    private static void removeOwn(Scope scope) throws Exception {
        CuratorFramework client = Clients.connect(scope);
        String root = scope.root();
        client.create().forPath(root);
        Told kept = new Told();
        Told removed = new Told();
        client.getData().usingWatcher(kept).forPath(root);
        WatcherRemoveCuratorFramework facade = client.newWatcherRemoveCuratorFramework();
        facade.getChildren().usingWatcher(removed).forPath(root);
        facade.removeWatchers();
        removed.expect("ChildWatchRemoved " + root);
        client.create().forPath(root + "/a");
        client.setData().forPath(root, bytes("1"));
        kept.expect("NodeDataChanged " + root);
        removed.none(client);
    }
}
