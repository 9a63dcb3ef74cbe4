package quoll.compat.javaclient;

import static quoll.compat.Verify.between;
import static quoll.compat.Verify.equal;
import static quoll.compat.Verify.eventually;
import static quoll.compat.Verify.that;
import static quoll.compat.Verify.throwing;
import static quoll.compat.javaclient.Client.bytes;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooKeeper;
import quoll.compat.Relay;
import quoll.compat.Scope;
import quoll.compat.Suite;

/** The life of a session: its timeout, renewal, takeover, expiry and end. */
final class SessionChecks {
    /** The harness runs servers with tickTime 2000, so 4000 is the shortest session and 40000 the longest. */
    private static final int TICK = 2_000;

    private static final int SHORTEST = 2 * TICK;
    private static final int LONGEST = 20 * TICK;

    private SessionChecks() {}

    static void register(Suite suite) {
        suite.shared("session timeout is negotiated", SessionChecks::negotiated);
        suite.shared("session id and password", SessionChecks::identity);
        suite.shared("close removes ephemerals and ends the handle", SessionChecks::close);
        suite.shared("session is renewed with id and password", SessionChecks::renew);
        suite.shared("a second connection takes the session over", SessionChecks::takeOver);
        suite.shared("wrong password is answered with Expired", SessionChecks::wrongPassword);
        suite.shared("unknown session is answered with Expired", SessionChecks::unknownSession);
        suite.shared("closed session cannot be renewed", SessionChecks::renewClosed);
        suite.shared("silent session expires in time and its ephemerals go", SessionChecks::expiry);
        suite.shared("pings keep an idle session", SessionChecks::idle);
        suite.shared("renewal counts as a sign of life", SessionChecks::renewTouches);
        suite.shared("session killed by another handle expires", SessionChecks::killed);
        suite.shared("ephemerals can be changed and deleted by others", SessionChecks::ephemeralOfOthers);
        suite.shared("client that allows read-only gets a full connection", SessionChecks::readOnlyAllowed);
        suite.shared("many sessions at once", SessionChecks::many);
    }

    private static void negotiated(Scope scope) throws Exception {
        int[][] cases = {{100, SHORTEST}, {SHORTEST, SHORTEST}, {10_000, 10_000}, {LONGEST, LONGEST},
            {10_000_000, LONGEST}};
        for (int[] each : cases) {
            Client client = Client.connect(scope, scope.connect(), each[0]);
            equal(each[1], client.zk.getSessionTimeout(), "timeout after asking for " + each[0]);
            client.close();
        }
    }

    private static void identity(Scope scope) throws Exception {
        Client first = Client.connect(scope);
        Client second = Client.connect(scope);
        that(first.zk.getSessionId() != 0, "the id is not zero");
        that(second.zk.getSessionId() > first.zk.getSessionId(), "ids grow");
        equal(1, first.zk.getSessionId() >>> 56, "server number in the id");
        for (Client client : List.of(first, second)) {
            byte[] expected = new byte[16];
            new Random(client.zk.getSessionId() ^ 0xB3415C00L).nextBytes(expected);
            equal(expected, client.zk.getSessionPasswd(), "password");
        }
    }

    private static void close(Scope scope) throws Exception {
        Client watcher = Client.atRoot(scope);
        Client client = Client.connect(scope);
        client.create(scope.root() + "/e", CreateMode.EPHEMERAL);
        client.create(scope.root() + "/p");
        Events events = new Events();
        watcher.zk.exists(scope.root() + "/e", events);
        client.zk.close();
        events.expect(EventType.NodeDeleted, scope.root() + "/e");
        equal(List.of("p"), watcher.children(scope.root()), "children");
        client.events.state(KeeperState.Closed);
        equal(ZooKeeper.States.CLOSED, client.zk.getState(), "state");
        throwing(KeeperException.SessionExpiredException.class, "a request afterwards",
                () -> client.zk.exists("/", false));
    }

    private static Client renewed(Scope scope, ZooKeeper old) throws Exception {
        Events events = new Events();
        ZooKeeper zk = scope.own(new ZooKeeper(scope.connect(), Client.LONG_SESSION, events, old.getSessionId(),
                old.getSessionPasswd()));
        return new Client(zk, events);
    }

    private static void renew(Scope scope) throws Exception {
        Client watcher = Client.atRoot(scope);
        Relay relay = scope.relay();
        Client old = Client.connect(scope, relay.connect(), 20_000);
        old.create(scope.root() + "/e", CreateMode.EPHEMERAL);
        relay.cut();
        Client next = renewed(scope, old.zk);
        equal(old.zk.getSessionId(), next.zk.getSessionId(), "session id");
        equal(old.zk.getSessionPasswd(), next.zk.getSessionPasswd(), "password");
        equal(Client.LONG_SESSION, next.zk.getSessionTimeout(), "timeout asked for by the renewal");
        equal(List.of(scope.root() + "/e"), next.zk.getEphemerals(), "ephemerals");
        next.create(scope.root() + "/f", CreateMode.EPHEMERAL);
        next.zk.close();
        eventually("the ephemerals are gone", () -> watcher.children(scope.root()).isEmpty());
        relay.heal();
        old.events.state(KeeperState.Expired);
        equal(ZooKeeper.States.CLOSED, old.zk.getState(), "state of the old handle");
    }

    private static void takeOver(Scope scope) throws Exception {
        Client watcher = Client.atRoot(scope);
        Relay relay = scope.relay();
        Client old = Client.connect(scope, relay.connect(), Client.LONG_SESSION);
        old.create(scope.root() + "/e", CreateMode.EPHEMERAL);
        Events oldEvents = new Events();
        old.zk.getData(scope.root(), oldEvents, null);
        // The old handle must not come back by itself and take the session over again.
        relay.admitNoMore();
        Client next = renewed(scope, old.zk);
        old.events.state(KeeperState.Disconnected);
        next.zk.setData(scope.root(), bytes("by the new one"), -1);
        equal(old.zk.getSessionId(), watcher.stat(scope.root() + "/e").getEphemeralOwner(), "owner");
        throwing(KeeperException.ConnectionLossException.class, "a request of the old one", () -> {
            while (true) {
                old.zk.setData(scope.root(), null, 1_000_000);
            }
        });
        oldEvents.none();
        Events events = new Events();
        next.zk.getData(scope.root(), events, null);
        watcher.zk.setData(scope.root(), null, -1);
        events.expect(EventType.NodeDataChanged, scope.root());
    }

    private static void refused(Scope scope, long session, byte[] password) throws Exception {
        Events events = new Events();
        ZooKeeper zk = scope.own(new ZooKeeper(scope.connect(), Client.LONG_SESSION, events, session, password));
        events.state(KeeperState.Expired);
        equal(ZooKeeper.States.CLOSED, zk.getState(), "state");
        throwing(KeeperException.SessionExpiredException.class, "a request", () -> zk.exists("/", false));
    }

    private static void wrongPassword(Scope scope) throws Exception {
        Client watcher = Client.atRoot(scope);
        Client client = Client.connect(scope);
        client.create(scope.root() + "/e", CreateMode.EPHEMERAL);
        byte[] password = client.zk.getSessionPasswd().clone();
        password[15] ^= 1;
        refused(scope, client.zk.getSessionId(), password);
        refused(scope, client.zk.getSessionId(), new byte[16]);
        // Whether the real owner had to reconnect or not: the session and what it owns are untouched.
        eventually("the owner still works", () -> client.zk.exists(scope.root() + "/e", false) != null);
        equal(client.zk.getSessionId(), watcher.stat(scope.root() + "/e").getEphemeralOwner(), "owner");
    }

    private static void unknownSession(Scope scope) throws Exception {
        long session = 0x0100_0000_1234_0000L;
        byte[] password = new byte[16];
        new Random(session ^ 0xB3415C00L).nextBytes(password);
        refused(scope, session, password);
    }

    private static void renewClosed(Scope scope) throws Exception {
        Client client = Client.connect(scope);
        long session = client.zk.getSessionId();
        byte[] password = client.zk.getSessionPasswd();
        client.zk.close();
        refused(scope, session, password);
    }

    private static void expiry(Scope scope) throws Exception {
        Client watcher = Client.atRoot(scope);
        Relay relay = scope.relay();
        Client client = Client.connect(scope, relay.connect(), SHORTEST);
        String node = scope.root() + "/e";
        client.create(node, CreateMode.EPHEMERAL);
        Events events = new Events();
        watcher.zk.exists(node, events);
        long touched = System.nanoTime();
        client.zk.exists(node, false);
        relay.cut();
        events.expect(EventType.NodeDeleted, node);
        long lived = (System.nanoTime() - touched) / 1_000_000;
        // Never before the timeout; then within one tick. The rest is room for a slow machine.
        between(SHORTEST - 50, SHORTEST + TICK + 8_000, lived, "life of a silent session in ms");
        relay.heal();
        client.events.state(KeeperState.Expired);
        throwing(KeeperException.SessionExpiredException.class, "a request", () -> client.zk.exists(node, false));
    }

    private static void idle(Scope scope) throws Exception {
        Client client = Client.connect(scope, scope.connect(), SHORTEST);
        client.create(scope.root(), CreateMode.EPHEMERAL);
        Thread.sleep(SHORTEST + 2 * TICK + 500);
        equal(client.zk.getSessionId(), client.stat(scope.root()).getEphemeralOwner(), "owner");
        equal(ZooKeeper.States.CONNECTED, client.zk.getState(), "state");
    }

    /** Each renewal comes before the session would end; together they keep it well beyond its timeout. */
    private static void renewTouches(Scope scope) throws Exception {
        Client watcher = Client.atRoot(scope);
        Relay relay = scope.relay();
        Client client = Client.connect(scope, relay.connect(), SHORTEST);
        client.create(scope.root() + "/e", CreateMode.EPHEMERAL);
        long end = System.nanoTime() + (SHORTEST + 2L * TICK) * 1_000_000;
        while (System.nanoTime() < end) {
            relay.cut();
            client.events.state(KeeperState.Disconnected);
            relay.heal();
            client.events.state(KeeperState.SyncConnected);
        }
        equal(client.zk.getSessionId(), watcher.stat(scope.root() + "/e").getEphemeralOwner(), "owner");
    }

    private static void killed(Scope scope) throws Exception {
        Client watcher = Client.atRoot(scope);
        Relay relay = scope.relay();
        Client victim = Client.connect(scope, relay.connect(), Client.LONG_SESSION);
        victim.create(scope.root() + "/e", CreateMode.EPHEMERAL);
        relay.admitNoMore();
        Client killer = renewed(scope, victim.zk);
        killer.zk.close();
        relay.heal();
        victim.events.state(KeeperState.Expired);
        eventually("the ephemeral is gone", () -> watcher.children(scope.root()).isEmpty());
    }

    private static void ephemeralOfOthers(Scope scope) throws Exception {
        Client owner = Client.atRoot(scope);
        Client other = Client.connect(scope);
        String node = scope.root() + "/e";
        owner.create(node, CreateMode.EPHEMERAL);
        equal(1, other.zk.setData(node, bytes("x"), 0).getVersion(), "version");
        equal(owner.zk.getSessionId(), other.stat(node).getEphemeralOwner(), "owner after a change by another");
        other.zk.delete(node, 1);
        equal(List.of(), owner.zk.getEphemerals(), "ephemerals of the owner");
        other.create(node, CreateMode.EPHEMERAL);
        owner.zk.close();
        equal(other.zk.getSessionId(), other.stat(node).getEphemeralOwner(), "owner of the second life");
    }

    private static void readOnlyAllowed(Scope scope) throws Exception {
        Events events = new Events();
        ZooKeeper zk = scope.own(new ZooKeeper(scope.connect(), Client.LONG_SESSION, events, true));
        Client client = new Client(zk, events);
        equal(ZooKeeper.States.CONNECTED, client.zk.getState(), "state");
        client.create(scope.root());
        client.zk.setData(scope.root(), bytes("written"), 0);
        equal(bytes("written"), client.zk.getData(scope.root(), false, null), "data");
    }

    private static void many(Scope scope) throws Exception {
        Client watcher = Client.atRoot(scope);
        int count = 40;
        List<Client> clients = new ArrayList<>();
        for (int number = 0; number < count; number++) {
            Client client = Client.connect(scope);
            client.create(scope.root() + "/e" + number, CreateMode.EPHEMERAL);
            clients.add(client);
        }
        equal(count, clients.stream().map(client -> client.zk.getSessionId()).distinct().count(), "distinct ids");
        equal(count, watcher.children(scope.root()).size(), "ephemerals");
        for (int number = 0; number < count; number += 2) {
            clients.get(number).zk.close();
        }
        equal(count / 2, watcher.children(scope.root()).size(), "ephemerals after half of them closed");
    }
}
