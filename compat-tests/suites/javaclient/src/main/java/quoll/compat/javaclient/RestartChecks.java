package quoll.compat.javaclient;

import static quoll.compat.Verify.equal;
import static quoll.compat.Verify.eventually;
import static quoll.compat.Verify.that;
import static quoll.compat.Verify.throwing;
import static quoll.compat.javaclient.Client.bytes;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooDefs.Perms;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;
import org.apache.zookeeper.server.auth.DigestAuthenticationProvider;
import quoll.compat.Relay;
import quoll.compat.Scope;
import quoll.compat.Suite;

/** What outlives the server process: the tree, the sessions, the watches of those who come back. */
final class RestartChecks {
    private RestartChecks() {}

    static void register(Suite suite) {
        suite.exclusive("tree and Stats outlive a restart", RestartChecks::tree);
        suite.exclusive("session, ephemerals and watches outlive a restart", RestartChecks::session);
        suite.exclusive("acknowledged writes outlive a kill", RestartChecks::kill);
        suite.exclusive("session whose client is gone expires after a restart", RestartChecks::expires);
        suite.exclusive("requests during an outage fail, later ones succeed", RestartChecks::outage);
    }

    private static Client connect(Scope scope) throws Exception {
        return Client.connect(scope, scope.connectThroughRestarts(), Client.LONG_SESSION);
    }

    private static Client atRoot(Scope scope) throws Exception {
        Client client = connect(scope);
        client.create(scope.root());
        return client;
    }

    private static void restart(Scope scope, Client client) throws Exception {
        scope.environment().control("restart");
        client.events.state(KeeperState.Disconnected);
        client.events.state(KeeperState.SyncConnected);
    }

    private static void tree(Scope scope) throws Exception {
        Client client = atRoot(scope);
        String root = scope.root();
        client.zk.create(root + "/null", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        client.zk.create(root + "/empty", new byte[0], Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        client.zk.create(root + "/ttl", bytes("t"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL, new Stat(),
                3_600_000);
        client.create(root + "/container", CreateMode.CONTAINER);
        client.create(root + "/s", CreateMode.PERSISTENT_SEQUENTIAL);
        client.create(root + "/deleted");
        client.zk.delete(root + "/deleted", -1);
        client.zk.setData(root, bytes("changed"), -1);
        List<ACL> acl = Arrays.asList(new ACL(Perms.ALL,
                new Id("digest", DigestAuthenticationProvider.generateDigest("bob:x"))),
                new ACL(Perms.READ | Perms.ADMIN, Ids.ANYONE_ID_UNSAFE));
        client.zk.setACL(root + "/null", acl, -1);
        client.zk.multi(List.of(Op.create(root + "/multi", bytes("m"), Ids.OPEN_ACL_UNSAFE,
                CreateMode.PERSISTENT), Op.setData(root + "/empty", new byte[0], 0)));
        List<String> paths = List.of(root, root + "/null", root + "/empty", root + "/ttl", root + "/container",
                root + "/s0000000004", root + "/multi");
        List<Stat> before = new ArrayList<>();
        for (String path : paths) {
            before.add(client.stat(path));
        }
        restart(scope, client);
        for (int index = 0; index < paths.size(); index++) {
            equal(before.get(index), client.stat(paths.get(index)), "Stat of " + paths.get(index));
        }
        equal(null, client.zk.getData(root + "/null", false, null), "null data");
        equal(new byte[0], client.zk.getData(root + "/empty", false, null), "empty data");
        equal(bytes("t"), client.zk.getData(root + "/ttl", false, null), "data of the TTL node");
        equal(bytes("changed"), client.zk.getData(root, false, null), "changed data");
        equal(acl, client.zk.getACL(root + "/null", new Stat()), "ACL");
        equal(root + "/s0000000007", client.create(root + "/s", CreateMode.PERSISTENT_SEQUENTIAL), "next number");
        Stat later = client.zk.setData(root, null, -1);
        that(later.getMzxid() > before.get(6).getCzxid(), "zxids grow across a restart");
        equal(2, later.getVersion(), "version goes on");
    }

    private static void session(Scope scope) throws Exception {
        Client client = atRoot(scope);
        Client other = connect(scope);
        String root = scope.root();
        long session = client.zk.getSessionId();
        client.zk.addAuthInfo("digest", bytes("bob:secret"));
        client.create(root + "/e", CreateMode.EPHEMERAL);
        client.zk.create(root + "/closed", bytes("x"), Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
        Events data = new Events();
        Events child = new Events();
        Events missing = new Events();
        Events below = new Events();
        client.zk.getData(root, data, null);
        client.zk.getChildren(root, child);
        client.zk.exists(root + "/new", missing);
        client.zk.addWatch(root, below, AddWatchMode.PERSISTENT_RECURSIVE);
        restart(scope, client);
        equal(session, client.zk.getSessionId(), "session id");
        equal(session, client.stat(root + "/e").getEphemeralOwner(), "owner");
        equal(List.of(root + "/e"), client.zk.getEphemerals(), "ephemerals");
        equal(bytes("x"), client.zk.getData(root + "/closed", false, null), "data behind an ACL");
        client.fence();
        for (Events events : List.of(data, child, missing, below)) {
            events.none();
        }
        other.events.state(KeeperState.SyncConnected);
        other.create(root + "/new");
        missing.expect(EventType.NodeCreated, root + "/new");
        child.expect(EventType.NodeChildrenChanged, root);
        other.zk.setData(root, null, -1);
        data.expect(EventType.NodeDataChanged, root);
        below.expect(EventType.NodeCreated, root + "/new");
        below.expect(EventType.NodeDataChanged, root);
        client.fence();
        below.none();
        client.zk.close();
        equal(null, other.zk.exists(root + "/e", false), "ephemeral after the close");
    }

    /** A writer is answered until the server is killed in the middle of its work. */
    private static void kill(Scope scope) throws Exception {
        Client client = atRoot(scope);
        AtomicInteger acknowledged = new AtomicInteger(-1);
        AtomicBoolean running = new AtomicBoolean(true);
        Thread writer = new Thread(() -> {
            try {
                for (int number = 0; running.get(); number++) {
                    client.zk.create(scope.root() + "/n" + number, bytes("v" + number), Ids.OPEN_ACL_UNSAFE,
                            CreateMode.PERSISTENT);
                    acknowledged.set(number);
                }
            } catch (KeeperException | InterruptedException stopped) {
                running.set(false);
            }
        });
        writer.start();
        eventually("some writes are acknowledged", () -> acknowledged.get() > 200);
        scope.environment().control("kill");
        writer.join(30_000);
        that(!running.get(), "the writer noticed");
        scope.environment().control("start");
        client.events.state(KeeperState.SyncConnected);
        int last = acknowledged.get();
        int found = client.zk.getChildren(scope.root(), false).size();
        // One more may have been on its way.
        that(found == last + 1 || found == last + 2, found + " nodes are there, acknowledged were " + (last + 1));
        for (int number = 0; number <= last; number++) {
            equal(bytes("v" + number), client.zk.getData(scope.root() + "/n" + number, false, null), "data");
        }
        equal(found, client.stat(scope.root()).getCversion(), "cversion");
    }

    private static void expires(Scope scope) throws Exception {
        Client watcher = atRoot(scope);
        Relay relay = scope.relay();
        Client client = Client.connect(scope, relay.connect(), 4_000);
        client.create(scope.root() + "/e", CreateMode.EPHEMERAL);
        relay.cut();
        restart(scope, watcher);
        eventually("the ephemeral is gone", () -> watcher.children(scope.root()).isEmpty());
        relay.heal();
        client.events.state(KeeperState.Expired);
    }

    private static void outage(Scope scope) throws Exception {
        Client client = atRoot(scope);
        long session = client.zk.getSessionId();
        Stat before = client.stat(scope.root());
        scope.environment().control("stop");
        client.events.state(KeeperState.Disconnected);
        throwing(KeeperException.ConnectionLossException.class, "a request", () -> {
            while (true) {
                client.zk.exists(scope.root(), false);
            }
        });
        scope.environment().control("start");
        client.events.state(KeeperState.SyncConnected);
        equal(session, client.zk.getSessionId(), "session id");
        equal(before, client.stat(scope.root()), "Stat");
        Client fresh = connect(scope);
        that(fresh.zk.getSessionId() != session, "a new session gets a new id");
        that(fresh.zk.setData(scope.root(), null, 0).getMzxid() > before.getMzxid(), "zxids grow");
    }
}
