package quoll.compat.javaclient;

import static quoll.compat.Verify.equal;
import static quoll.compat.Verify.throwing;
import static quoll.compat.javaclient.Client.bytes;

import java.util.ArrayList;
import java.util.List;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooDefs.Ids;
import quoll.compat.Relay;
import quoll.compat.Scope;
import quoll.compat.Suite;
import quoll.compat.Verify;

/** What a client hears about the time when its connection was broken while its session lived on. */
final class ReplayChecks {
    private ReplayChecks() {}

    static void register(Suite suite) {
        suite.shared("missed changes are told after a reconnect", ReplayChecks::missed);
        suite.shared("watches without a missed change live on after a reconnect", ReplayChecks::liveOn);
        suite.shared("persistent watches live on but miss what happened", ReplayChecks::persistent);
        suite.shared("many watches are set again after a reconnect", ReplayChecks::many);
        suite.shared("watches below a chroot are set again", ReplayChecks::chroot);
        suite.shared("requests on a broken connection fail and the session lives", ReplayChecks::requests);
    }

    /** Breaks the connection of {@code client}, does the work, and lets the client come back. */
    private static void whileBroken(Relay relay, Client client, Verify.Action work) throws Exception {
        relay.cut();
        client.events.state(KeeperState.Disconnected);
        work.run();
        relay.heal();
        client.events.state(KeeperState.SyncConnected);
    }

    private static void missed(Scope scope) throws Exception {
        Client writer = Client.atRoot(scope);
        Relay relay = scope.relay();
        Client client = Client.connect(scope, relay.connect(), Client.LONG_SESSION);
        String root = scope.root();
        for (String name : List.of("changed", "deleted", "recreated", "parent", "emptied", "gone")) {
            writer.create(root + "/" + name);
        }
        writer.create(root + "/emptied/child");
        List<Events> events = new ArrayList<>();
        for (int number = 0; number < 8; number++) {
            events.add(new Events());
        }
        client.zk.getData(root + "/changed", events.get(0), null);
        client.zk.getData(root + "/deleted", events.get(1), null);
        client.zk.getData(root + "/recreated", events.get(2), null);
        client.zk.getChildren(root + "/parent", events.get(3));
        client.zk.getChildren(root + "/emptied", events.get(4));
        client.zk.getChildren(root + "/gone", events.get(5));
        client.zk.exists(root + "/new", events.get(6));
        client.zk.exists(root + "/still-missing", events.get(7));
        whileBroken(relay, client, () -> {
            writer.zk.setData(root + "/changed", bytes("new"), -1);
            writer.zk.delete(root + "/deleted", -1);
            writer.zk.delete(root + "/recreated", -1);
            writer.create(root + "/recreated");
            writer.create(root + "/parent/child");
            writer.zk.delete(root + "/emptied/child", -1);
            writer.zk.delete(root + "/gone", -1);
            writer.create(root + "/new");
            writer.create(root + "/still-missing");
            writer.zk.delete(root + "/still-missing", -1);
        });
        events.get(0).expect(EventType.NodeDataChanged, root + "/changed");
        events.get(1).expect(EventType.NodeDeleted, root + "/deleted");
        events.get(2).expect(EventType.NodeDataChanged, root + "/recreated");
        events.get(3).expect(EventType.NodeChildrenChanged, root + "/parent");
        events.get(4).expect(EventType.NodeChildrenChanged, root + "/emptied");
        events.get(5).expect(EventType.NodeDeleted, root + "/gone");
        events.get(6).expect(EventType.NodeCreated, root + "/new");
        // Each was one-shot: further changes are no news.
        writer.zk.setData(root + "/changed", null, -1);
        writer.zk.delete(root + "/parent/child", -1);
        client.zk.sync(root);
        client.fence();
        for (Events each : events) {
            each.none();
        }
        writer.create(root + "/still-missing");
        events.get(7).expect(EventType.NodeCreated, root + "/still-missing");
    }

    private static void liveOn(Scope scope) throws Exception {
        Client writer = Client.atRoot(scope);
        Relay relay = scope.relay();
        Client client = Client.connect(scope, relay.connect(), Client.LONG_SESSION);
        String root = scope.root();
        writer.create(root + "/node");
        Events data = new Events();
        Events children = new Events();
        Events missing = new Events();
        client.zk.getData(root + "/node", data, null);
        client.zk.getChildren(root + "/node", children);
        client.zk.exists(root + "/no", missing);
        for (int round = 0; round < 2; round++) {
            whileBroken(relay, client, () -> {
                writer.zk.setData(root, null, -1);
                writer.zk.setACL(root + "/node", Ids.OPEN_ACL_UNSAFE, -1);
            });
            client.fence();
            data.none();
            children.none();
            missing.none();
        }
        writer.zk.setData(root + "/node", null, -1);
        data.expect(EventType.NodeDataChanged, root + "/node");
        writer.create(root + "/node/child");
        children.expect(EventType.NodeChildrenChanged, root + "/node");
        writer.create(root + "/no");
        missing.expect(EventType.NodeCreated, root + "/no");
    }

    private static void persistent(Scope scope) throws Exception {
        Client writer = Client.atRoot(scope);
        Relay relay = scope.relay();
        Client client = Client.connect(scope, relay.connect(), Client.LONG_SESSION);
        String root = scope.root();
        Events stays = new Events();
        Events below = new Events();
        client.zk.addWatch(root, stays, AddWatchMode.PERSISTENT);
        client.zk.addWatch(root, below, AddWatchMode.PERSISTENT_RECURSIVE);
        Events once = new Events();
        client.zk.getData(root, once, null);
        whileBroken(relay, client, () -> {
            writer.zk.setData(root, null, -1);
            writer.create(root + "/unseen");
        });
        // The replayed event of the one-shot watch goes to everybody who watches that path in this client.
        once.expect(EventType.NodeDataChanged, root);
        client.fence();
        for (Events events : List.of(stays, below)) {
            while (events.size() > 0) {
                equal(EventType.NodeDataChanged, events.poll().getType(), "type of a replayed event");
            }
        }
        writer.create(root + "/seen");
        stays.expect(EventType.NodeChildrenChanged, root);
        below.expect(EventType.NodeCreated, root + "/seen");
        writer.zk.delete(root + "/unseen", -1);
        stays.expect(EventType.NodeChildrenChanged, root);
        below.expect(EventType.NodeDeleted, root + "/unseen");
    }

    /** So many paths that the client has to split them into several requests. */
    private static void many(Scope scope) throws Exception {
        Client writer = Client.atRoot(scope);
        Relay relay = scope.relay();
        Client client = Client.connect(scope, relay.connect(), Client.LONG_SESSION);
        int count = 1_500;
        String prefix = scope.root() + "/" + "a-long-name-".repeat(15);
        List<Events> events = new ArrayList<>();
        for (int number = 0; number < count; number++) {
            events.add(new Events());
            client.zk.exists(prefix + number, events.get(number), (rc, path, context, stat) -> {}, null);
        }
        client.fence();
        whileBroken(relay, client, () -> writer.create(prefix + 7));
        events.get(7).expect(EventType.NodeCreated, prefix + 7);
        for (int number : new int[] {0, 1, count / 2, count - 1}) {
            writer.create(prefix + number);
            events.get(number).expect(EventType.NodeCreated, prefix + number);
        }
        client.fence();
        for (Events each : events) {
            each.none();
        }
    }

    private static void chroot(Scope scope) throws Exception {
        Client writer = Client.atRoot(scope);
        Relay relay = scope.relay();
        Client client = Client.connect(scope, relay.connect() + scope.root(), Client.LONG_SESSION);
        writer.create(scope.root() + "/a");
        Events missed = new Events();
        Events later = new Events();
        client.zk.getData("/a", missed, null);
        client.zk.getChildren("/", later);
        whileBroken(relay, client, () -> writer.zk.setData(scope.root() + "/a", null, -1));
        missed.expect(EventType.NodeDataChanged, "/a");
        writer.create(scope.root() + "/b");
        later.expect(EventType.NodeChildrenChanged, "/");
    }

    private static void requests(Scope scope) throws Exception {
        Client writer = Client.atRoot(scope);
        Relay relay = scope.relay();
        Client client = Client.connect(scope, relay.connect(), Client.LONG_SESSION);
        long session = client.zk.getSessionId();
        client.create(scope.root() + "/mine", CreateMode.EPHEMERAL);
        whileBroken(relay, client, () -> throwing(KeeperException.ConnectionLossException.class, "a request", () -> {
            while (true) {
                client.zk.setData(scope.root(), bytes("lost"), 1_000_000);
            }
        }));
        equal(session, client.zk.getSessionId(), "session");
        equal(session, writer.stat(scope.root() + "/mine").getEphemeralOwner(), "owner of the ephemeral");
        equal(bytes("data"), client.zk.getData(scope.root() + "/mine", false, null), "data");
    }
}
