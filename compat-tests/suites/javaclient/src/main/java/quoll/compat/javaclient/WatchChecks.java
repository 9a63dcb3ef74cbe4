package quoll.compat.javaclient;

import static quoll.compat.Verify.equal;
import static quoll.compat.Verify.that;
import static quoll.compat.Verify.throwing;
import static quoll.compat.javaclient.Client.bytes;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.AsyncCallback;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.Watcher.WatcherType;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.Stat;
import quoll.compat.Scope;
import quoll.compat.Suite;

/** Watches on a living connection: what fires them, how often, in which order, and how they are taken back. */
final class WatchChecks {
    private WatchChecks() {}

    static void register(Suite suite) {
        suite.shared("data watch fires once", WatchChecks::dataWatch);
        suite.shared("exists watch sees create, change and delete", WatchChecks::existsWatch);
        suite.shared("child watch fires once, for direct children only", WatchChecks::childWatch);
        suite.shared("a deleted node is told once to data and child watch", WatchChecks::deletedOnce);
        suite.shared("a failed read leaves no watch", WatchChecks::failedRead);
        suite.shared("setACL and sync fire nothing", WatchChecks::silent);
        suite.shared("events go to the default watcher too", WatchChecks::defaultWatcher);
        suite.shared("events carry the zxid of their cause", WatchChecks::zxid);
        suite.shared("persistent watch stays", WatchChecks::persistent);
        suite.shared("recursive watch sees the whole subtree", WatchChecks::recursive);
        suite.shared("recursive watch on the root path", WatchChecks::recursiveRoot);
        suite.shared("one-shot and persistent watches on one path", WatchChecks::modesTogether);
        suite.shared("event comes before the data it announces", WatchChecks::eventBeforeData);
        suite.shared("events come in the order of the writes", WatchChecks::eventOrder);
        suite.shared("end of a session fires watches on its ephemerals", WatchChecks::sessionEnd);
        suite.shared("one event reaches many watchers", WatchChecks::fanOut);
        suite.shared("removeWatches for each type", WatchChecks::remove);
        suite.shared("removeAllWatches for each type", WatchChecks::removeAll);
        suite.shared("removeWatches without a watch is refused", WatchChecks::removeMissing);
        suite.shared("removing one of two watchers keeps the other", WatchChecks::removeOne);
        suite.shared("chroot", WatchChecks::chroot);
    }

    private static void dataWatch(Scope scope) throws Exception {
        Client watcher = Client.atRoot(scope);
        Client writer = Client.connect(scope);
        Events events = new Events();
        watcher.zk.getData(scope.root(), events, null);
        writer.zk.setData(scope.root(), bytes("1"), -1);
        writer.zk.setData(scope.root(), bytes("2"), -1);
        writer.create(scope.root() + "/child");
        events.expect(EventType.NodeDataChanged, scope.root());
        watcher.zk.sync("/");
        watcher.fence();
        events.none();
        watcher.zk.getData(scope.root(), events, null);
        writer.zk.setData(scope.root(), bytes("3"), -1);
        events.expect(EventType.NodeDataChanged, scope.root());
    }

    private static void existsWatch(Scope scope) throws Exception {
        Client watcher = Client.atRoot(scope);
        Client writer = Client.connect(scope);
        String node = scope.root() + "/node";
        Events events = new Events();
        equal(null, watcher.zk.exists(node, events), "Stat");
        writer.create(node);
        events.expect(EventType.NodeCreated, node);
        that(watcher.zk.exists(node, events) != null, "the node exists");
        writer.create(node + "/child");
        writer.zk.setData(node, null, -1);
        events.expect(EventType.NodeDataChanged, node);
        watcher.zk.exists(node, events);
        writer.zk.delete(node + "/child", -1);
        writer.zk.delete(node, -1);
        events.expect(EventType.NodeDeleted, node);
        watcher.zk.exists(node + "/deep/below", events);
        writer.create(node);
        writer.create(node + "/deep");
        writer.create(node + "/deep/below");
        events.expect(EventType.NodeCreated, node + "/deep/below");
        watcher.fence();
        events.none();
    }

    private static void childWatch(Scope scope) throws Exception {
        Client watcher = Client.atRoot(scope);
        Client writer = Client.connect(scope);
        String root = scope.root();
        Events events = new Events();
        writer.create(root + "/a");
        watcher.zk.getChildren(root, events);
        writer.create(root + "/a/grandchild");
        writer.zk.setData(root + "/a", null, -1);
        writer.zk.setData(root, null, -1);
        watcher.zk.sync(root);
        watcher.fence();
        events.none();
        writer.create(root + "/b");
        events.expect(EventType.NodeChildrenChanged, root);
        writer.create(root + "/c");
        watcher.zk.sync(root);
        watcher.fence();
        events.none();
        watcher.zk.getChildren(root, events, new Stat());
        writer.zk.delete(root + "/c", -1);
        events.expect(EventType.NodeChildrenChanged, root);
    }

    private static void deletedOnce(Scope scope) throws Exception {
        Client watcher = Client.atRoot(scope);
        Client writer = Client.connect(scope);
        String node = scope.root() + "/node";
        writer.create(node);
        Events data = new Events();
        Events both = new Events();
        Events child = new Events();
        Events parent = new Events();
        watcher.zk.getData(node, data, null);
        watcher.zk.getData(node, both, null);
        watcher.zk.getChildren(node, both);
        watcher.zk.getChildren(node, child);
        watcher.zk.getChildren(scope.root(), parent);
        writer.zk.delete(node, -1);
        data.expect(EventType.NodeDeleted, node);
        both.expect(EventType.NodeDeleted, node);
        child.expect(EventType.NodeDeleted, node);
        parent.expect(EventType.NodeChildrenChanged, scope.root());
        watcher.fence();
        for (Events events : List.of(data, both, child, parent)) {
            events.none();
        }
    }

    private static void failedRead(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String node = scope.root() + "/node";
        Events events = new Events();
        throwing(KeeperException.NoNodeException.class, "getData", () -> client.zk.getData(node, events, null));
        throwing(KeeperException.NoNodeException.class, "getChildren", () -> client.zk.getChildren(node, events));
        client.create(node);
        client.create(node + "/child");
        client.zk.setData(node, null, -1);
        client.fence();
        events.none();
    }

    private static void silent(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        Events events = new Events();
        client.zk.getData(scope.root(), events, null);
        client.zk.getChildren(scope.root(), events);
        client.zk.setACL(scope.root(), Ids.OPEN_ACL_UNSAFE, -1);
        client.zk.sync(scope.root());
        throwing(KeeperException.BadVersionException.class, "setData", () -> client.zk.setData(scope.root(), null, 9));
        client.fence();
        events.none();
    }

    private static void defaultWatcher(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        client.zk.getData(scope.root(), true, null);
        client.zk.getChildren(scope.root(), true);
        client.zk.exists(scope.root() + "/new", true);
        client.create(scope.root() + "/new");
        client.events.expect(EventType.NodeCreated, scope.root() + "/new");
        client.events.expect(EventType.NodeChildrenChanged, scope.root());
        client.zk.setData(scope.root(), null, -1);
        client.events.expect(EventType.NodeDataChanged, scope.root());
        Events later = new Events();
        client.zk.register(later);
        client.zk.getData(scope.root(), true, null);
        client.zk.setData(scope.root(), null, -1);
        later.expect(EventType.NodeDataChanged, scope.root());
        client.fence();
        client.events.none();
    }

    private static void zxid(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String root = scope.root();
        Events data = new Events();
        Events child = new Events();
        client.zk.getData(root, data, null);
        client.zk.getChildren(root, child);
        long changed = client.zk.setData(root, null, -1).getMzxid();
        data.expect(EventType.NodeDataChanged, root, changed);
        Stat made = new Stat();
        client.zk.exists(root + "/a", data);
        client.zk.create(root + "/a", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT,
                made);
        data.expect(EventType.NodeCreated, root + "/a", made.getCzxid());
        child.expect(EventType.NodeChildrenChanged, root, made.getCzxid());
        client.zk.exists(root + "/a", data);
        client.zk.delete(root + "/a", -1);
        data.expect(EventType.NodeDeleted, root + "/a", client.stat(root).getPzxid());
    }

    private static void persistent(Scope scope) throws Exception {
        Client watcher = Client.atRoot(scope);
        Client writer = Client.connect(scope);
        String node = scope.root() + "/node";
        Events events = new Events();
        watcher.zk.addWatch(node, events, AddWatchMode.PERSISTENT);
        for (int round = 0; round < 3; round++) {
            writer.create(node);
            writer.zk.setData(node, null, -1);
            writer.zk.setData(node, null, -1);
            writer.create(node + "/child");
            writer.zk.setData(node + "/child", null, -1);
            writer.create(node + "/child/grandchild");
            writer.zk.delete(node + "/child/grandchild", -1);
            writer.zk.delete(node + "/child", -1);
            writer.zk.delete(node, -1);
            events.expect(EventType.NodeCreated, node);
            events.expect(EventType.NodeDataChanged, node);
            events.expect(EventType.NodeDataChanged, node);
            events.expect(EventType.NodeChildrenChanged, node);
            events.expect(EventType.NodeChildrenChanged, node);
            events.expect(EventType.NodeDeleted, node);
        }
        watcher.zk.sync(node);
        watcher.fence();
        events.none();
    }

    private static void recursive(Scope scope) throws Exception {
        Client watcher = Client.atRoot(scope);
        Client writer = Client.connect(scope);
        String root = scope.root();
        Events events = new Events();
        watcher.zk.addWatch(root, events, AddWatchMode.PERSISTENT_RECURSIVE);
        writer.create(root + "/a");
        writer.create(root + "/a/b");
        writer.create(root + "/a/b/c", CreateMode.EPHEMERAL);
        writer.zk.setData(root + "/a/b/c", null, -1);
        writer.zk.setData(root, null, -1);
        writer.zk.delete(root + "/a/b/c", -1);
        writer.zk.delete(root + "/a/b", -1);
        events.expect(EventType.NodeCreated, root + "/a");
        events.expect(EventType.NodeCreated, root + "/a/b");
        events.expect(EventType.NodeCreated, root + "/a/b/c");
        events.expect(EventType.NodeDataChanged, root + "/a/b/c");
        events.expect(EventType.NodeDataChanged, root);
        events.expect(EventType.NodeDeleted, root + "/a/b/c");
        events.expect(EventType.NodeDeleted, root + "/a/b");
        writer.zk.delete(root + "/a", -1);
        events.expect(EventType.NodeDeleted, root + "/a");
        writer.zk.delete(root, -1);
        events.expect(EventType.NodeDeleted, root);
        writer.create(root + "-neighbour");
        writer.zk.delete(root + "-neighbour", -1);
        writer.create(root);
        events.expect(EventType.NodeCreated, root);
        watcher.zk.sync(root);
        watcher.fence();
        events.none();
    }

    private static void recursiveRoot(Scope scope) throws Exception {
        Client client = Client.connect(scope);
        Events events = new Events();
        client.zk.addWatch("/", events, AddWatchMode.PERSISTENT_RECURSIVE);
        client.create(scope.root());
        client.create(scope.root() + "/a");
        client.zk.setData(scope.root() + "/a", null, -1);
        client.fence();
        // Other checks work on the same tree; only the events of this path are of interest.
        List<String> mine = new ArrayList<>();
        for (WatchedEvent event = events.poll(); event != null; event = events.poll()) {
            that(event.getType() != EventType.NodeChildrenChanged, "a recursive watch tells no children events");
            if (event.getPath().equals(scope.root()) || event.getPath().startsWith(scope.root() + "/")) {
                mine.add(event.getType() + " " + event.getPath());
            }
        }
        equal(List.of("NodeCreated " + scope.root(), "NodeCreated " + scope.root() + "/a",
                "NodeDataChanged " + scope.root() + "/a"), mine, "events");
    }

    private static void modesTogether(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String root = scope.root();
        Events once = new Events();
        Events stays = new Events();
        Events below = new Events();
        client.zk.addWatch(root, stays, AddWatchMode.PERSISTENT);
        client.zk.addWatch(root, below, AddWatchMode.PERSISTENT_RECURSIVE);
        client.zk.getData(root, once, null);
        client.zk.setData(root, null, -1);
        client.zk.setData(root, null, -1);
        client.create(root + "/a");
        client.fence();
        once.expect(EventType.NodeDataChanged, root);
        once.none();
        stays.expect(EventType.NodeDataChanged, root);
        stays.expect(EventType.NodeDataChanged, root);
        stays.expect(EventType.NodeChildrenChanged, root);
        stays.none();
        below.expect(EventType.NodeDataChanged, root);
        below.expect(EventType.NodeDataChanged, root);
        below.expect(EventType.NodeCreated, root + "/a");
        below.none();
    }

    /** The watcher's callbacks run on one thread in the order in which things came off the wire. */
    private static void eventBeforeData(Scope scope) throws Exception {
        Client writer = Client.atRoot(scope);
        Client reader = Client.connect(scope);
        String config = scope.root() + "/config";
        String ready = scope.root() + "/ready";
        writer.create(config);
        for (int round = 1; round <= 30; round++) {
            AtomicInteger told = new AtomicInteger();
            AtomicReference<String> wrong = new AtomicReference<>();
            CountDownLatch seen = new CountDownLatch(1);
            int version = round;
            reader.zk.getData(config, event -> told.incrementAndGet(), (rc, path, context, data, stat) -> {}, null);
            AsyncCallback.StatCallback look = new AsyncCallback.StatCallback() {
                @Override
                public void processResult(int rc, String path, Object context, Stat stat) {
                    // Whoever sees the ready node must have heard of the change written before it.
                    if (stat == null || stat.getVersion() < version) {
                        reader.zk.exists(ready, false, this, null);
                        return;
                    }
                    if (told.get() != 1) {
                        wrong.set("the new data was seen before its event, in round " + version);
                    }
                    seen.countDown();
                }
            };
            if (round == 1) {
                writer.create(ready);
            }
            reader.fence();
            reader.zk.exists(ready, false, look, null);
            writer.zk.setData(config, bytes("v" + round), -1);
            writer.zk.setData(ready, null, -1);
            that(seen.await(20, TimeUnit.SECONDS), "the reader sees the ready node");
            equal(null, wrong.get(), "order");
        }
    }

    private static void eventOrder(Scope scope) throws Exception {
        Client writer = Client.atRoot(scope);
        Client watcher = Client.connect(scope);
        Events events = new Events();
        watcher.zk.addWatch(scope.root(), events, AddWatchMode.PERSISTENT_RECURSIVE);
        int count = 200;
        for (int number = 0; number < count; number++) {
            writer.zk.create(scope.root() + "/n" + number, null, Ids.OPEN_ACL_UNSAFE,
                    CreateMode.PERSISTENT, (rc, path, context, name) -> {}, null);
        }
        long last = 0;
        for (int number = 0; number < count; number++) {
            WatchedEvent event = events.expect(EventType.NodeCreated, scope.root() + "/n" + number);
            that(event.getZxid() > last, "zxids of events grow");
            last = event.getZxid();
        }
    }

    private static void sessionEnd(Scope scope) throws Exception {
        Client watcher = Client.atRoot(scope);
        Client owner = Client.connect(scope);
        String root = scope.root();
        owner.create(root + "/a", CreateMode.EPHEMERAL);
        owner.create(root + "/b", CreateMode.EPHEMERAL);
        Events data = new Events();
        Events children = new Events();
        Events stays = new Events();
        watcher.zk.exists(root + "/a", data);
        watcher.zk.getChildren(root, children);
        watcher.zk.addWatch(root, stays, AddWatchMode.PERSISTENT);
        owner.zk.close();
        data.expect(EventType.NodeDeleted, root + "/a");
        children.expect(EventType.NodeChildrenChanged, root);
        long zxid = stays.expect(EventType.NodeChildrenChanged, root).getZxid();
        stays.expect(EventType.NodeChildrenChanged, root, zxid);
        equal(zxid, watcher.stat(root).getPzxid(), "pzxid of the parent");
        equal(List.of(), watcher.children(root), "children");
        watcher.fence();
        children.none();
        stays.none();
    }

    private static void fanOut(Scope scope) throws Exception {
        Client writer = Client.atRoot(scope);
        List<Events> all = new ArrayList<>();
        for (int number = 0; number < 20; number++) {
            Client watcher = Client.connect(scope);
            Events events = new Events();
            watcher.zk.getData(scope.root(), events, null);
            all.add(events);
        }
        long zxid = writer.zk.setData(scope.root(), null, -1).getMzxid();
        for (Events events : all) {
            events.expect(EventType.NodeDataChanged, scope.root(), zxid);
        }
    }

    private record Kind(WatcherType type, EventType removed) {}

    private static final List<Kind> KINDS = List.of(
            new Kind(WatcherType.Data, EventType.DataWatchRemoved),
            new Kind(WatcherType.Children, EventType.ChildWatchRemoved),
            new Kind(WatcherType.Persistent, EventType.PersistentWatchRemoved),
            new Kind(WatcherType.PersistentRecursive, EventType.PersistentWatchRemoved));

    private static void watch(Client client, String path, Watcher events, WatcherType type) throws Exception {
        switch (type) {
            case Data -> client.zk.getData(path, events, null);
            case Children -> client.zk.getChildren(path, events);
            case Persistent -> client.zk.addWatch(path, events, AddWatchMode.PERSISTENT);
            default -> client.zk.addWatch(path, events, AddWatchMode.PERSISTENT_RECURSIVE);
        }
    }

    private static void remove(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        for (Kind kind : KINDS) {
            for (WatcherType asked : List.of(kind.type(), WatcherType.Any)) {
                String node = scope.root() + "/" + kind.type() + asked;
                client.create(node);
                Events events = new Events();
                watch(client, node, events, kind.type());
                client.zk.removeWatches(node, events, asked, false);
                events.expect(kind.removed(), node);
                client.zk.setData(node, null, -1);
                client.create(node + "/child");
                client.fence();
                events.none();
            }
        }
    }

    private static void removeAll(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        for (Kind kind : KINDS) {
            String node = scope.root() + "/" + kind.type();
            client.create(node);
            List<Events> removed = List.of(new Events(), new Events());
            for (Events events : removed) {
                watch(client, node, events, kind.type());
            }
            List<Events> kept = new ArrayList<>();
            for (Kind other : KINDS) {
                if (other != kind) {
                    Events events = new Events();
                    watch(client, node, events, other.type());
                    kept.add(events);
                }
            }
            client.zk.removeAllWatches(node, kind.type(), false);
            for (Events events : removed) {
                events.expect(kind.removed(), node);
            }
            client.zk.setData(node, null, -1);
            client.create(node + "/child");
            client.fence();
            for (Events events : removed) {
                events.none();
            }
            for (Events events : kept) {
                that(events.size() > 0, "removing " + kind.type() + " keeps the other watches");
            }
        }
        String node = scope.root() + "/any";
        client.create(node);
        Events all = new Events();
        for (Kind kind : KINDS) {
            watch(client, node, all, kind.type());
        }
        client.zk.removeAllWatches(node, WatcherType.Any, false);
        client.fence();
        Set<EventType> told = new TreeSet<>();
        for (WatchedEvent event = all.poll(); event != null; event = all.poll()) {
            told.add(event.getType());
        }
        equal(Set.of(EventType.DataWatchRemoved, EventType.ChildWatchRemoved, EventType.PersistentWatchRemoved),
                Set.copyOf(told), "kinds of removals");
        client.zk.setData(node, null, -1);
        client.create(node + "/child");
        client.fence();
        all.none();
    }

    private static void removeMissing(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        Events events = new Events();
        for (WatcherType type : WatcherType.values()) {
            throwing(KeeperException.NoWatcherException.class, "removeWatches " + type,
                    () -> client.zk.removeWatches(scope.root(), events, type, false));
            throwing(KeeperException.NoWatcherException.class, "removeAllWatches " + type,
                    () -> client.zk.removeAllWatches(scope.root(), type, false));
        }
        client.zk.getData(scope.root(), events, null);
        throwing(KeeperException.NoWatcherException.class, "removeWatches of another kind",
                () -> client.zk.removeWatches(scope.root(), events, WatcherType.Children, false));
        client.zk.setData(scope.root(), null, -1);
        events.expect(EventType.NodeDataChanged, scope.root());
        throwing(KeeperException.NoWatcherException.class, "removeWatches of a used watch",
                () -> client.zk.removeWatches(scope.root(), events, WatcherType.Data, false));
    }

    private static void removeOne(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        Events first = new Events();
        Events second = new Events();
        client.zk.getData(scope.root(), first, null);
        client.zk.getData(scope.root(), second, null);
        client.zk.removeWatches(scope.root(), first, WatcherType.Data, false);
        first.expect(EventType.DataWatchRemoved, scope.root());
        client.zk.setData(scope.root(), null, -1);
        second.expect(EventType.NodeDataChanged, scope.root());
        client.fence();
        first.none();
    }

    private static void chroot(Scope scope) throws Exception {
        Client outside = Client.atRoot(scope);
        Client inside = Client.connect(scope, scope.connect() + scope.root() + "/inner", Client.LONG_SESSION);
        throwing(KeeperException.NoNodeException.class, "create below a missing chroot", () -> inside.create("/a"));
        outside.create(scope.root() + "/inner");
        equal("/a", inside.create("/a"), "path of create");
        equal("/s0000000001", inside.create("/s", CreateMode.PERSISTENT_SEQUENTIAL), "path of a sequential create");
        equal(List.of("a", "s0000000001"), outside.children(scope.root() + "/inner"), "children from outside");
        equal(List.of("a", "s0000000001"), inside.children("/"), "children from inside");
        equal(2, inside.zk.getAllChildrenNumber("/"), "nodes below");
        Events events = new Events();
        inside.zk.getData("/a", events, null);
        outside.zk.setData(scope.root() + "/inner/a", null, -1);
        events.expect(EventType.NodeDataChanged, "/a");
        inside.zk.addWatch("/", events, AddWatchMode.PERSISTENT_RECURSIVE);
        outside.create(scope.root() + "/inner/a/b");
        events.expect(EventType.NodeCreated, "/a/b");
        inside.zk.multi(List.of(Op.check("/a", -1), Op.create("/t", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT)));
        that(outside.zk.exists(scope.root() + "/inner/t", false) != null, "a multi works below the chroot");
        events.expect(EventType.NodeCreated, "/t");
        equal(new byte[0], inside.zk.getConfig(false, null), "configuration from inside");
        KeeperException.NoNodeException thrown = throwing(KeeperException.NoNodeException.class, "delete",
                () -> inside.zk.delete("/no", -1));
        equal("/no", thrown.getPath(), "path in the exception");
        equal(ZooKeeper.States.CONNECTED, inside.zk.getState(), "state");
        inside.events.none();
    }
}
