package quoll.compat.javaclient;

import static quoll.compat.Verify.equal;
import static quoll.compat.Verify.eventually;
import static quoll.compat.Verify.that;
import static quoll.compat.Verify.throwing;
import static quoll.compat.javaclient.Client.bytes;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.KeeperException.NoAuthException;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooDefs.Perms;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.ClientInfo;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;
import org.apache.zookeeper.server.auth.DigestAuthenticationProvider;
import quoll.compat.Relay;
import quoll.compat.Scope;
import quoll.compat.Suite;

/** Who may do what: ACLs, identities added to a connection, and what a stranger gets to see. */
final class AclChecks {
    private AclChecks() {}

    static void register(Suite suite) {
        suite.shared("getACL and setACL", AclChecks::getAndSet);
        suite.shared("each permission opens exactly its operations", AclChecks::permissions);
        suite.shared("digest identity opens what its creator closed", AclChecks::digest);
        suite.shared("several identities on one connection", AclChecks::several);
        suite.shared("ACL with scheme auth is stored as the identities", AclChecks::authExpanded);
        suite.shared("digests are masked for those who may not administer", AclChecks::masked);
        suite.shared("ip scheme matches address and network", AclChecks::ip);
        suite.shared("super user passes every ACL", AclChecks::superUser);
        suite.shared("unknown auth scheme fails the connection", AclChecks::unknownScheme);
        suite.shared("whoAmI", AclChecks::whoAmI);
        suite.shared("identities are given again after a reconnect", AclChecks::reconnect);
        suite.shared("a watch without READ stays silent and is used up", AclChecks::silentWatch);
        suite.shared("duplicates in an ACL are stored once", AclChecks::duplicates);
    }

    /** The client asks a list whether it contains null, which the immutable lists refuse to answer. */
    private static List<ACL> acl(ACL... entries) {
        return Arrays.asList(entries);
    }

    private static List<ACL> open(int perms) {
        return acl(new ACL(perms, Ids.ANYONE_ID_UNSAFE));
    }

    private static Id digest(String user, String password) throws Exception {
        return new Id("digest", DigestAuthenticationProvider.generateDigest(user + ":" + password));
    }

    private static void getAndSet(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String root = scope.root();
        Stat stat = new Stat();
        equal(Ids.OPEN_ACL_UNSAFE, client.zk.getACL(root, stat), "ACL");
        equal(client.stat(root), stat, "Stat of getACL");
        List<ACL> changed = acl(new ACL(Perms.ALL, digest("u", "p")),
                new ACL(Perms.READ | Perms.ADMIN, Ids.ANYONE_ID_UNSAFE));
        equal(1, client.zk.setACL(root, changed, 0).getAversion(), "aversion");
        equal(changed, client.zk.getACL(root, stat), "ACL");
        throwing(KeeperException.BadVersionException.class, "setACL of an old version",
                () -> client.zk.setACL(root, changed, 0));
        throwing(KeeperException.NoNodeException.class, "setACL of nothing",
                () -> client.zk.setACL(root + "/no", changed, -1));
        throwing(KeeperException.NoNodeException.class, "getACL of nothing",
                () -> client.zk.getACL(root + "/no", stat));
        throwing(KeeperException.InvalidACLException.class, "an empty ACL",
                () -> client.zk.setACL(root, new ArrayList<>(), -1));
        throwing(KeeperException.InvalidACLException.class, "an unknown scheme",
                () -> client.zk.setACL(root, acl(new ACL(31, new Id("what", "x"))), -1));
        equal(1, client.stat(root).getAversion(), "aversion in the end");
    }

    private static void permissions(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        for (int perm : new int[] {Perms.READ, Perms.WRITE, Perms.CREATE, Perms.DELETE, Perms.ADMIN}) {
            String node = scope.root() + "/p" + perm;
            client.create(node);
            client.create(node + "/child");
            client.zk.setACL(node, open(perm), -1);
            allowed(perm == Perms.READ, "getData", perm, () -> client.zk.getData(node, false, null));
            allowed(perm == Perms.READ, "exists", perm, () -> client.zk.exists(node, false));
            allowed(perm == Perms.READ, "getChildren", perm, () -> client.zk.getChildren(node, false));
            allowed(perm == Perms.READ, "getChildren with Stat", perm,
                    () -> client.zk.getChildren(node, false, new Stat()));
            allowed(perm == Perms.READ, "getAllChildrenNumber", perm, () -> client.zk.getAllChildrenNumber(node));
            allowed(perm == Perms.WRITE, "setData", perm, () -> client.zk.setData(node, null, -1));
            allowed(perm == Perms.CREATE, "create", perm, () -> client.create(node + "/new"));
            allowed(perm == Perms.DELETE, "delete", perm, () -> client.zk.delete(node + "/child", -1));
            allowed(perm == Perms.READ || perm == Perms.ADMIN, "getACL", perm,
                    () -> client.zk.getACL(node, new Stat()));
            client.zk.sync(node);
            allowed(perm == Perms.ADMIN, "setACL", perm, () -> client.zk.setACL(node, open(perm), -1));
        }
        // Nothing is asked of the node itself when it is deleted.
        client.create(scope.root() + "/closed");
        client.zk.setACL(scope.root() + "/closed", open(0), -1);
        client.zk.delete(scope.root() + "/closed", -1);
    }

    private static void allowed(boolean expected, String operation, int perm, quoll.compat.Verify.Action action)
            throws Exception {
        if (expected) {
            action.run();
        } else {
            throwing(NoAuthException.class, operation + " with permission " + perm, action);
        }
    }

    private static void digest(Scope scope) throws Exception {
        Client owner = Client.atRoot(scope);
        Client stranger = Client.connect(scope);
        String node = scope.root() + "/closed";
        owner.zk.addAuthInfo("digest", bytes("bob:secret"));
        owner.zk.create(node, bytes("x"), Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
        owner.create(node + "/child");
        throwing(NoAuthException.class, "getData", () -> stranger.zk.getData(node, false, null));
        throwing(NoAuthException.class, "exists", () -> stranger.zk.exists(node, false));
        throwing(NoAuthException.class, "create", () -> stranger.create(node + "/x"));
        throwing(NoAuthException.class, "delete", () -> stranger.zk.delete(node + "/child", -1));
        equal(bytes("data"), stranger.zk.getData(node + "/child", false, null), "an open child of a closed node");
        stranger.zk.addAuthInfo("digest", bytes("bob:wrong"));
        throwing(NoAuthException.class, "getData with a wrong password", () -> stranger.zk.getData(node, false, null));
        stranger.zk.addAuthInfo("digest", bytes("bob:secret"));
        equal(bytes("x"), stranger.zk.getData(node, false, null), "data with the right password");
        stranger.zk.delete(node + "/child", -1);
        stranger.zk.delete(node, -1);
    }

    private static void several(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        client.zk.create(scope.root() + "/a", null, acl(new ACL(Perms.ALL, digest("a", "1"))),
                CreateMode.PERSISTENT);
        client.zk.create(scope.root() + "/b", null, acl(new ACL(Perms.ALL, digest("b", "2"))),
                CreateMode.PERSISTENT);
        client.zk.addAuthInfo("digest", bytes("a:1"));
        client.zk.getData(scope.root() + "/a", false, null);
        throwing(NoAuthException.class, "getData of the other", () -> client.zk.getData(scope.root() + "/b", false,
                null));
        client.zk.addAuthInfo("digest", bytes("b:2"));
        client.zk.getData(scope.root() + "/a", false, null);
        client.zk.getData(scope.root() + "/b", false, null);
    }

    private static void authExpanded(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        throwing(KeeperException.InvalidACLException.class, "scheme auth without an identity",
                () -> client.zk.setACL(scope.root(), Ids.CREATOR_ALL_ACL, -1));
        client.zk.addAuthInfo("digest", bytes("bob:secret"));
        client.zk.setACL(scope.root(), acl(new ACL(Perms.READ | Perms.ADMIN, Ids.AUTH_IDS)), -1);
        equal(acl(new ACL(Perms.READ | Perms.ADMIN, digest("bob", "secret"))),
                client.zk.getACL(scope.root(), new Stat()), "stored ACL");
    }

    private static void masked(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        Id bob = digest("bob", "secret");
        client.zk.setACL(scope.root(),
                acl(new ACL(Perms.ALL, bob), new ACL(Perms.READ, Ids.ANYONE_ID_UNSAFE)), -1);
        equal(acl(new ACL(Perms.ALL, new Id("digest", "bob:x")), new ACL(Perms.READ, Ids.ANYONE_ID_UNSAFE)),
                client.zk.getACL(scope.root(), new Stat()), "ACL shown to a stranger");
        client.zk.addAuthInfo("digest", bytes("bob:secret"));
        equal(acl(new ACL(Perms.ALL, bob), new ACL(Perms.READ, Ids.ANYONE_ID_UNSAFE)),
                client.zk.getACL(scope.root(), new Stat()), "ACL shown to bob");
    }

    private static void ip(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String[][] cases = {{"127.0.0.1", "yes"}, {"127.0.0.0/8", "yes"}, {"127.0.0.1/32", "yes"},
            {"10.0.0.0/8", "no"}, {"127.0.0.2", "no"}};
        for (int number = 0; number < cases.length; number++) {
            String node = scope.root() + "/n" + number;
            client.zk.create(node, null, acl(new ACL(Perms.ALL, new Id("ip", cases[number][0]))),
                    CreateMode.PERSISTENT);
            allowed(cases[number][1].equals("yes"), "getData with ip " + cases[number][0], Perms.ALL,
                    () -> client.zk.getData(node, false, null));
        }
        for (String bad : List.of("127.0.0.1/33", "300.1.1.1", "localhost")) {
            throwing(KeeperException.InvalidACLException.class, "ip " + bad, () -> client.zk.create(
                    scope.root() + "/bad", null, acl(new ACL(31, new Id("ip", bad))), CreateMode.PERSISTENT));
        }
    }

    private static void superUser(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String node = scope.root() + "/closed";
        client.zk.create(node, bytes("x"), open(0), CreateMode.PERSISTENT);
        throwing(NoAuthException.class, "getData", () -> client.zk.getData(node, false, null));
        throwing(NoAuthException.class, "setACL", () -> client.zk.setACL(node, Ids.OPEN_ACL_UNSAFE, -1));
        client.zk.addAuthInfo("digest", bytes("super:wrong"));
        throwing(NoAuthException.class, "getData with a wrong password", () -> client.zk.getData(node, false, null));
        client.zk.addAuthInfo("digest", bytes("super:test"));
        equal(bytes("x"), client.zk.getData(node, false, null), "data for the super user");
        client.zk.setACL(node, Ids.OPEN_ACL_UNSAFE, -1);
        throwing(KeeperException.BadArgumentsException.class, "delete of a built-in node",
                () -> client.zk.delete("/zookeeper/config", -1));
    }

    private static void unknownScheme(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        client.zk.addAuthInfo("nosuchscheme", bytes("x"));
        client.events.state(KeeperState.AuthFailed);
        equal(ZooKeeper.States.AUTH_FAILED, client.zk.getState(), "state of the handle");
        throwing(KeeperException.AuthFailedException.class, "a request afterwards",
                () -> client.zk.exists(scope.root(), false));
    }

    private static void whoAmI(Scope scope) throws Exception {
        Client client = Client.connect(scope);
        equal(List.of("ip 127.0.0.1"), names(client), "a new connection");
        client.zk.addAuthInfo("digest", bytes("bob:secret"));
        client.zk.addAuthInfo("digest", bytes("ann:other"));
        equal(List.of("digest ann", "digest bob", "ip 127.0.0.1"), names(client), "with two identities");
        client.zk.addAuthInfo("digest", bytes("bob:secret"));
        equal(List.of("digest ann", "digest bob", "ip 127.0.0.1"), names(client), "the same given again");
        client.zk.addAuthInfo("digest", bytes("super:test"));
        that(names(client).contains("super "), "super user is named: " + names(client));
    }

    private static List<String> names(Client client) throws Exception {
        List<String> names = new ArrayList<>();
        for (ClientInfo info : client.zk.whoAmI()) {
            names.add(info.getAuthScheme() + " " + info.getUser());
        }
        names.sort(null);
        return names;
    }

    private static void reconnect(Scope scope) throws Exception {
        Relay relay = scope.relay();
        Client client = Client.connect(scope, relay.connect(), Client.LONG_SESSION);
        client.zk.addAuthInfo("digest", bytes("bob:secret"));
        client.zk.create(scope.root(), bytes("x"), Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
        relay.cut();
        client.events.state(KeeperState.Disconnected);
        relay.heal();
        client.events.state(KeeperState.SyncConnected);
        equal(bytes("x"), client.zk.getData(scope.root(), false, null), "data after the reconnect");
        equal(List.of("digest bob", "ip 127.0.0.1"), names(client), "identities after the reconnect");
    }

    private static void silentWatch(Scope scope) throws Exception {
        Client owner = Client.atRoot(scope);
        Client stranger = Client.connect(scope);
        owner.zk.addAuthInfo("digest", bytes("bob:secret"));
        String node = scope.root() + "/node";
        owner.create(node);
        Events ownEvents = new Events();
        Events events = new Events();
        owner.zk.getData(node, ownEvents, null);
        stranger.zk.getData(node, events, null);
        owner.zk.setACL(node, Ids.CREATOR_ALL_ACL, -1);
        owner.zk.setData(node, bytes("hidden"), -1);
        ownEvents.expect(EventType.NodeDataChanged, node);
        owner.zk.setACL(node, Ids.OPEN_ACL_UNSAFE, -1);
        owner.zk.setData(node, bytes("shown"), -1);
        stranger.fence();
        events.none();
        eventually("the stranger reads", () -> stranger.zk.getData(node, false, null).length == 5);
    }

    private static void duplicates(Scope scope) throws Exception {
        Client client = Client.connect(scope);
        ACL read = new ACL(Perms.READ, Ids.ANYONE_ID_UNSAFE);
        ACL all = new ACL(Perms.ALL, Ids.ANYONE_ID_UNSAFE);
        client.zk.create(scope.root(), null, acl(read, all, read), CreateMode.PERSISTENT);
        equal(acl(read, all), client.zk.getACL(scope.root(), new Stat()), "stored ACL");
    }
}
