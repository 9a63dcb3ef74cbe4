package quoll.compat.javaclient;

import static quoll.compat.Verify.equal;
import static quoll.compat.Verify.eventually;
import static quoll.compat.Verify.that;
import static quoll.compat.Verify.throwing;
import static quoll.compat.javaclient.Client.bytes;

import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.admin.ZooKeeperAdmin;
import org.apache.zookeeper.client.ZKClientConfig;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;
import quoll.compat.Scope;
import quoll.compat.Suite;

/** Creating, reading, changing and deleting nodes; their names, sizes and refusals. */
final class NodeChecks {
    private static final long HOUR = 3_600_000;

    private NodeChecks() {}

    static void register(Suite suite) {
        suite.fresh("a fresh server holds the built-in nodes", NodeChecks::builtIn);
        suite.slow("an expired TTL node is removed by the server", NodeChecks::ttlReaped);
        suite.slow("an emptied container is removed by the server", NodeChecks::containerReaped);
        suite.shared("create in every mode", NodeChecks::createModes);
        suite.shared("create with a Stat in every mode", NodeChecks::createModesWithStat);
        suite.shared("create is refused for the right reasons", NodeChecks::createRefusals);
        suite.shared("create TTL refuses a bad time to live", NodeChecks::badTtl);
        suite.shared("exists", NodeChecks::exists);
        suite.shared("getData and setData", NodeChecks::data);
        suite.shared("null data and empty data stay apart", NodeChecks::nullAndEmpty);
        suite.shared("delete", NodeChecks::delete);
        suite.shared("built-in nodes are protected", NodeChecks::protectedNodes);
        suite.shared("getChildren with and without Stat", NodeChecks::children);
        suite.shared("many children in one reply", NodeChecks::manyChildren);
        suite.shared("getAllChildrenNumber", NodeChecks::allChildrenNumber);
        suite.shared("getEphemerals", NodeChecks::ephemerals);
        suite.shared("sequence numbers count creations", NodeChecks::sequence);
        suite.shared("sequential node below the root path", NodeChecks::sequenceAtRoot);
        suite.shared("sequential creates of several clients never collide", NodeChecks::sequenceContention);
        suite.shared("names and data in Unicode", NodeChecks::unicode);
        suite.shared("odd but legal names", NodeChecks::oddNames);
        suite.shared("largest frame is accepted, one byte more drops the connection", NodeChecks::largest);
        suite.shared("sync", NodeChecks::sync);
        suite.shared("getConfig", NodeChecks::config);
        suite.shared("reconfigure is refused", NodeChecks::reconfigure);
        suite.shared("compare and set under contention loses nothing", NodeChecks::compareAndSet);
        suite.shared("quota nodes count what is below", NodeChecks::quotaStats);
    }

    private static void builtIn(Scope scope) throws Exception {
        Client client = Client.connect(scope);
        equal(List.of("zookeeper"), client.children("/"), "children of /");
        equal(List.of("config", "quota"), client.children("/zookeeper"), "children of /zookeeper");
        equal(3, client.zk.getAllChildrenNumber("/"), "nodes below /");
        Stat root = client.stat("/");
        equal(new Stat(0, 0, 0, 0, 0, -1, 0, 0, 0, 1, 0), root, "Stat of /");
        equal(new Stat(0, 0, 0, 0, 0, -2, 0, 0, 0, 2, 0), client.stat("/zookeeper"), "Stat of /zookeeper");
        equal(new Stat(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), client.stat("/zookeeper/quota"), "Stat of quota");
        equal(new Stat(0, 0, 0, 0, 0, 0, -1, 0, 0, 0, 0), client.stat("/zookeeper/config"), "Stat of config");
        for (String path : List.of("/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config")) {
            equal(new byte[0], client.zk.getData(path, false, null), "data of " + path);
        }
        for (String path : List.of("/", "/zookeeper", "/zookeeper/quota")) {
            equal(Ids.OPEN_ACL_UNSAFE, client.zk.getACL(path, new Stat()), "ACL of " + path);
        }
        equal(Ids.READ_ACL_UNSAFE, client.zk.getACL("/zookeeper/config", new Stat()), "ACL of config");
    }

    /** Even a server that keeps its default looks for such nodes once a minute. */
    private static final long REAPING_MS = 90_000;

    /** Short to wait for, long enough to give the node a child before the time is over. */
    private static final long BRIEF_MS = 4_000;

    private static void ttlReaped(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String brief = scope.root() + "/brief";
        String lasting = scope.root() + "/lasting";
        String parent = scope.root() + "/parent";
        Events events = new Events();
        long begun = System.currentTimeMillis();
        for (String path : List.of(brief, parent)) {
            client.zk.create(path, null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL, new Stat(),
                    BRIEF_MS);
        }
        client.zk.create(lasting, null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL, new Stat(), HOUR);
        client.create(parent + "/child");
        client.zk.exists(brief, events);
        eventually(REAPING_MS, brief + " is removed", () -> client.zk.exists(brief, false) == null);
        events.expect(EventType.NodeDeleted, brief);
        that(System.currentTimeMillis() - begun > BRIEF_MS, "a TTL node lives at least as long as it may");
        that(client.zk.exists(lasting, false) != null, "a node whose time has not come must stay");
        that(client.zk.exists(parent, false) != null, "a TTL node with a child must stay");
    }

    private static void containerReaped(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String used = scope.root() + "/used";
        String full = scope.root() + "/full";
        String unused = scope.root() + "/unused";
        for (String path : List.of(used, full, unused)) {
            client.create(path, CreateMode.CONTAINER);
        }
        client.create(full + "/child");
        client.create(used + "/child");
        Events events = new Events();
        client.zk.exists(used, events);
        client.zk.delete(used + "/child", -1);
        eventually(REAPING_MS, used + " is removed", () -> client.zk.exists(used, false) == null);
        events.expect(EventType.NodeDeleted, used);
        that(client.zk.exists(full, false) != null, "a container with a child must stay");
        that(client.zk.exists(unused, false) != null, "a container that never had a child must stay");
    }

    private static void createModes(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String root = scope.root();
        long session = client.zk.getSessionId();
        equal(root + "/p", client.create(root + "/p", CreateMode.PERSISTENT), "persistent path");
        equal(root + "/e", client.create(root + "/e", CreateMode.EPHEMERAL), "ephemeral path");
        equal(root + "/c", client.create(root + "/c", CreateMode.CONTAINER), "container path");
        equal(root + "/ps0000000003", client.create(root + "/ps", CreateMode.PERSISTENT_SEQUENTIAL), "numbered path");
        equal(root + "/es0000000004", client.create(root + "/es", CreateMode.EPHEMERAL_SEQUENTIAL), "numbered path");
        equal(0, client.stat(root + "/p").getEphemeralOwner(), "owner of a persistent node");
        equal(session, client.stat(root + "/e").getEphemeralOwner(), "owner of an ephemeral node");
        equal(0, client.stat(root + "/c").getEphemeralOwner(), "owner of a container");
        equal(session, client.stat(root + "/es0000000004").getEphemeralOwner(), "owner of an ephemeral sequence node");
        equal(bytes("data"), client.zk.getData(root + "/c", false, null), "data of a container");
        client.create(root + "/c/below", CreateMode.EPHEMERAL);
        equal(5, client.stat(root).getNumChildren(), "children");
    }

    private static void createModesWithStat(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        for (CreateMode mode : CreateMode.values()) {
            Stat made = new Stat();
            String path = client.zk.create(scope.root() + "/" + mode, bytes("x" + mode), Ids.OPEN_ACL_UNSAFE, mode,
                    made, mode.isTTL() ? HOUR : -1);
            equal(mode.isSequential(), path.matches(".*[0-9]{10}"), "a suffix for " + mode);
            equal(client.stat(path), made, "Stat of " + mode);
            equal(mode.isEphemeral() ? client.zk.getSessionId() : 0, made.getEphemeralOwner(), "owner of " + mode);
            equal(made.getCzxid(), made.getMzxid(), "mzxid of " + mode);
            equal(made.getCzxid(), made.getPzxid(), "pzxid of " + mode);
            equal(("x" + mode).length(), made.getDataLength(), "length of " + mode);
        }
    }

    private static void createRefusals(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String root = scope.root();
        client.create(root + "/there");
        client.create(root + "/brief", CreateMode.EPHEMERAL);
        KeeperException.NodeExistsException exists = throwing(KeeperException.NodeExistsException.class,
                "a second create", () -> client.create(root + "/there"));
        equal(root + "/there", exists.getPath(), "path in the exception");
        throwing(KeeperException.NodeExistsException.class, "create of /", () -> client.create("/"));
        throwing(KeeperException.NoNodeException.class, "create without parent",
                () -> client.create(root + "/no/child"));
        throwing(KeeperException.NoChildrenForEphemeralsException.class, "child of an ephemeral",
                () -> client.create(root + "/brief/child"));
        throwing(KeeperException.NoChildrenForEphemeralsException.class, "sequential child of an ephemeral",
                () -> client.create(root + "/brief/child", CreateMode.PERSISTENT_SEQUENTIAL));
        for (Id id : List.of(new Id("world", "somebody"), new Id("nosuchscheme", "x"), new Id("digest", "nohash"),
                new Id("ip", "not-an-address"), Ids.AUTH_IDS)) {
            throwing(KeeperException.InvalidACLException.class, "create with " + id, () -> client.zk.create(
                    root + "/acl", null, Collections.singletonList(new ACL(31, id)), CreateMode.PERSISTENT));
        }
        equal(List.of("brief", "there"), client.children(root), "children after all refusals");
        equal(2, client.stat(root).getCversion(), "cversion after all refusals");
    }

    private static void badTtl(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        for (long ttl : new long[] {0, -1, 0x10000000000L}) {
            throwing(IllegalArgumentException.class, "ttl " + ttl, () -> client.zk.create(scope.root() + "/t", null,
                    Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL, new Stat(), ttl));
        }
        Stat stat = new Stat();
        client.zk.create(scope.root() + "/longest", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL, stat,
                0xFFFFFFFFFFL);
        equal(0, stat.getEphemeralOwner(), "owner shown for a TTL node");
        client.create(scope.root() + "/longest/child");
    }

    private static void exists(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        equal(null, client.zk.exists(scope.root() + "/no", false), "Stat of a missing node");
        equal(null, client.zk.exists(scope.root() + "/no/deeper/still", false), "Stat of a missing node");
        Stat read = new Stat();
        client.zk.getData(scope.root(), false, read);
        equal(read, client.zk.exists(scope.root(), false), "Stat of exists and getData");
        throwing(IllegalArgumentException.class, "exists of a relative path", () -> client.zk.exists("no", false));
    }

    private static void data(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String path = scope.root();
        Stat first = client.stat(path);
        Stat second = client.zk.setData(path, bytes("two"), 0);
        equal(1, second.getVersion(), "version after setData");
        that(second.getMzxid() > first.getMzxid(), "mzxid grows");
        equal(first.getCzxid(), second.getCzxid(), "czxid after setData");
        equal(first.getCtime(), second.getCtime(), "ctime after setData");
        equal(3, second.getDataLength(), "length after setData");
        Stat read = new Stat();
        equal(bytes("two"), client.zk.getData(path, false, read), "data");
        equal(second, read, "Stat of getData and of setData");
        KeeperException.BadVersionException bad = throwing(KeeperException.BadVersionException.class,
                "setData of an old version", () -> client.zk.setData(path, bytes("no"), 0));
        equal(path, bad.getPath(), "path in the exception");
        throwing(KeeperException.BadVersionException.class, "setData of a future version",
                () -> client.zk.setData(path, bytes("no"), 2));
        throwing(KeeperException.BadVersionException.class, "setData of version -2",
                () -> client.zk.setData(path, bytes("no"), -2));
        equal(2, client.zk.setData(path, bytes("two"), -1).getVersion(), "version after the same data again");
        throwing(KeeperException.NoNodeException.class, "setData of nothing",
                () -> client.zk.setData(path + "/no", bytes("x"), -1));
        throwing(KeeperException.NoNodeException.class, "getData of nothing",
                () -> client.zk.getData(path + "/no", false, null));
    }

    private static void nullAndEmpty(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String path = scope.root() + "/node";
        client.zk.create(path, null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        equal(null, client.zk.getData(path, false, null), "data after create with null");
        equal(0, client.stat(path).getDataLength(), "length of null");
        client.zk.setData(path, new byte[0], -1);
        equal(new byte[0], client.zk.getData(path, false, null), "data after setData with nothing");
        equal(0, client.stat(path).getDataLength(), "length of nothing");
        client.zk.setData(path, null, -1);
        equal(null, client.zk.getData(path, false, null), "data after setData with null");
        client.zk.delete(path, 2);
        client.zk.create(path, new byte[0], Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        equal(new byte[0], client.zk.getData(path, false, null), "data after create with nothing");
    }

    private static void delete(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String path = scope.root() + "/node";
        client.create(path);
        client.create(path + "/child");
        throwing(KeeperException.NotEmptyException.class, "delete of a parent", () -> client.zk.delete(path, -1));
        throwing(KeeperException.BadVersionException.class, "a bad version is noticed before the child",
                () -> client.zk.delete(path, 7));
        client.zk.delete(path + "/child", 0);
        client.zk.setData(path, null, 0);
        throwing(KeeperException.BadVersionException.class, "delete of an old version",
                () -> client.zk.delete(path, 0));
        client.zk.delete(path, 1);
        KeeperException.NoNodeException gone = throwing(KeeperException.NoNodeException.class, "delete of nothing",
                () -> client.zk.delete(path, -1));
        equal(path, gone.getPath(), "path in the exception");
        throwing(KeeperException.NoNodeException.class, "delete below nothing",
                () -> client.zk.delete(path + "/x", -1));
    }

    private static void protectedNodes(Scope scope) throws Exception {
        Client client = Client.connect(scope);
        for (String path : List.of("/zookeeper", "/zookeeper/quota", "/zookeeper/config")) {
            throwing(KeeperException.BadArgumentsException.class, "delete of " + path,
                    () -> client.zk.delete(path, -1));
        }
        throwing(KeeperException.BadArgumentsException.class, "delete of /", () -> client.zk.delete("/", -1));
        throwing(KeeperException.NoAuthException.class, "setData of config",
                () -> client.zk.setData("/zookeeper/config", bytes("x"), -1));
        throwing(KeeperException.NoAuthException.class, "create below config",
                () -> client.create("/zookeeper/config/x"));
    }

    private static void children(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String root = scope.root();
        equal(List.of(), client.zk.getChildren(root, false), "children of a leaf");
        for (String name : List.of("b", "a", "c")) {
            client.create(root + "/" + name);
        }
        client.create(root + "/a/deeper");
        client.zk.delete(root + "/c", -1);
        equal(List.of("a", "b"), client.children(root), "children");
        Stat stat = new Stat();
        List<String> listed = client.zk.getChildren(root, false, stat);
        equal(Set.of("a", "b"), Set.copyOf(listed), "children with Stat");
        equal(2, listed.size(), "number of names");
        equal(client.stat(root), stat, "Stat of getChildren");
        equal(4, stat.getCversion(), "cversion after three creates and one delete");
        throwing(KeeperException.NoNodeException.class, "children of nothing",
                () -> client.zk.getChildren(root + "/no", false));
        throwing(KeeperException.NoNodeException.class, "children of nothing, with Stat",
                () -> client.zk.getChildren(root + "/no", false, new Stat()));
    }

    private static void manyChildren(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        int count = 2_000;
        Set<String> expected = new TreeSet<>();
        CountDownLatch done = new CountDownLatch(count);
        for (int number = 0; number < count; number++) {
            String name = String.format("child-with-a-fairly-long-name-%06d", number);
            expected.add(name);
            client.zk.create(scope.root() + "/" + name, null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT,
                    (rc, path, context, made) -> done.countDown(), null);
        }
        that(done.await(25, TimeUnit.SECONDS), "all creates are answered");
        equal(expected, new TreeSet<>(client.zk.getChildren(scope.root(), false)), "names");
        equal(count, client.zk.getAllChildrenNumber(scope.root()), "number");
        equal(count, client.stat(scope.root()).getNumChildren(), "number in the Stat");
    }

    private static void allChildrenNumber(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String root = scope.root();
        equal(0, client.zk.getAllChildrenNumber(root), "below a leaf");
        client.create(root + "/a");
        client.create(root + "/a/b");
        client.create(root + "/a/b/c", CreateMode.EPHEMERAL);
        client.create(root + "/ab");
        equal(4, client.zk.getAllChildrenNumber(root), "below the root of the check");
        equal(2, client.zk.getAllChildrenNumber(root + "/a"), "a name with the same beginning does not count");
        equal(0, client.zk.getAllChildrenNumber(root + "/a/b/c"), "below the ephemeral");
        throwing(KeeperException.NoNodeException.class, "below nothing",
                () -> client.zk.getAllChildrenNumber(root + "/no"));
    }

    private static void ephemerals(Scope scope) throws Exception {
        Client mine = Client.atRoot(scope);
        Client other = Client.connect(scope);
        String root = scope.root();
        equal(List.of(), mine.zk.getEphemerals(), "ephemerals of a session without any");
        mine.create(root + "/e1", CreateMode.EPHEMERAL);
        mine.create(root + "/e2", CreateMode.EPHEMERAL);
        mine.create(root + "/persistent");
        mine.create(root + "/persistent/e3", CreateMode.EPHEMERAL);
        other.create(root + "/other", CreateMode.EPHEMERAL);
        equal(Set.of(root + "/e1", root + "/e2", root + "/persistent/e3"), Set.copyOf(mine.zk.getEphemerals()), "mine");
        equal(List.of(root + "/other"), other.zk.getEphemerals(), "the other's");
        equal(Set.of(root + "/e1", root + "/e2"), Set.copyOf(mine.zk.getEphemerals(root + "/e")), "with the prefix");
        equal(List.of(root + "/persistent/e3"), mine.zk.getEphemerals(root + "/pers"), "with half a name");
        equal(List.of(), mine.zk.getEphemerals(root + "/other"), "of somebody else");
        mine.zk.delete(root + "/e1", -1);
        equal(Set.of(root + "/e2", root + "/persistent/e3"), Set.copyOf(mine.zk.getEphemerals("/")), "after a delete");
    }

    private static void sequence(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String root = scope.root();
        CreateMode mode = CreateMode.PERSISTENT_SEQUENTIAL;
        equal(root + "/a0000000000", client.create(root + "/a", mode), "first");
        equal(root + "/b0000000001", client.create(root + "/b", mode), "second, under another name");
        client.create(root + "/plain");
        equal(root + "/0000000003", client.create(root + "/", mode), "after a plain create, without a name");
        client.zk.delete(root + "/plain", -1);
        client.zk.delete(root + "/b0000000001", -1);
        equal(root + "/a0000000004", client.create(root + "/a", mode), "after two deletes");
        throwing(KeeperException.NodeExistsException.class, "a failed create",
                () -> client.create(root + "/a0000000004"));
        equal(root + "/a0000000005", client.create(root + "/a", CreateMode.EPHEMERAL_SEQUENTIAL), "after a failure");
        client.create(root + "/a0000000000/child");
        equal(root + "/a0000000006", client.create(root + "/a", mode), "after a grandchild");
        equal(root + "/a0000000000/x0000000001", client.create(root + "/a0000000000/x", mode), "each parent by itself");
        Stat stat = new Stat();
        equal(root + "/t0000000007", client.zk.create(root + "/t", null, Ids.OPEN_ACL_UNSAFE,
                CreateMode.PERSISTENT_SEQUENTIAL_WITH_TTL, stat, HOUR), "with a time to live");
    }

    private static void sequenceAtRoot(Scope scope) throws Exception {
        Client client = Client.connect(scope);
        String path = client.create("/", CreateMode.EPHEMERAL_SEQUENTIAL);
        that(path.matches("/[0-9]{10}"), "the path is a slash and ten digits, not " + path);
        equal(client.zk.getSessionId(), client.stat(path).getEphemeralOwner(), "owner");
        client.zk.delete(path, -1);
    }

    private static void sequenceContention(Scope scope) throws Exception {
        Client.atRoot(scope);
        int each = 50;
        Set<String> seen = ConcurrentHashMap.newKeySet();
        Threads.together(4, number -> {
            Client client = Client.connect(scope);
            String last = "";
            for (int count = 0; count < each; count++) {
                String path = client.create(scope.root() + "/n", CreateMode.PERSISTENT_SEQUENTIAL);
                that(path.compareTo(last) > 0, "numbers of one client grow");
                that(seen.add(path), path + " was given twice");
                last = path;
            }
        });
        TreeSet<String> expected = new TreeSet<>();
        for (int number = 0; number < 4 * each; number++) {
            expected.add(String.format("%s/n%010d", scope.root(), number));
        }
        equal(expected, new TreeSet<>(seen), "all numbers");
    }

    private static void unicode(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String path = scope.root() + "/żółw-小亀-κουκουβάγια";
        equal(path, client.create(path), "path");
        equal(List.of("żółw-小亀-κουκουβάγια"), client.children(scope.root()), "children");
        client.zk.setData(path, bytes("жаба 🐸"), -1);
        equal(bytes("жаба 🐸"), client.zk.getData(path, false, null), "data");
        throwing(IllegalArgumentException.class, "a name outside the basic plane",
                () -> client.create(scope.root() + "/🐸"));
    }

    private static void oddNames(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        List<String> names = List.of("...", ".hidden", "a b", "a.", "a:b=c", "quota", "zookeeper", "~!@#$%^&*()");
        for (String name : names) {
            client.create(scope.root() + "/" + name);
        }
        equal(names.stream().sorted().toList(), client.children(scope.root()), "children");
        for (String path : List.of("/a//b", "/a/./b", "/a/../b", "/a/", "a", "", "/a\u0000", "/a\u0001", "/\ufff0")) {
            throwing(IllegalArgumentException.class, "create of '" + path + "'", () -> client.create(path));
        }
    }

    /** The frame holds xid and type, the path with its length, the data with its length, and the version. */
    private static int largestData(String path) {
        return 1_048_575 - 8 - 4 - path.length() - 4 - 4;
    }

    private static void largest(Scope scope) throws Exception {
        ZKClientConfig config = new ZKClientConfig();
        config.setProperty(ZKClientConfig.JUTE_MAXBUFFER, String.valueOf(4 << 20));
        Client client = Client.connect(scope, config);
        client.create(scope.root());
        byte[] data = new byte[largestData(scope.root())];
        for (int index = 0; index < data.length; index++) {
            data[index] = (byte) (index * 31);
        }
        equal(data.length, client.zk.setData(scope.root(), data, 0).getDataLength(), "length of the largest data");
        equal(data, client.zk.getData(scope.root(), false, null), "the largest data");
        long session = client.zk.getSessionId();
        throwing(KeeperException.ConnectionLossException.class, "one byte more",
                () -> client.zk.setData(scope.root(), new byte[data.length + 1], -1));
        client.events.state(KeeperState.SyncConnected);
        equal(session, client.zk.getSessionId(), "session after the refusal");
        equal(1, client.stat(scope.root()).getVersion(), "version after the refusal");
    }

    private static void sync(Scope scope) throws Exception {
        Client writer = Client.atRoot(scope);
        Client reader = Client.connect(scope);
        writer.zk.setData(scope.root(), bytes("new"), -1);
        reader.zk.sync(scope.root());
        equal(bytes("new"), reader.zk.getData(scope.root(), false, null), "data after sync");
        reader.zk.sync("/no/such/path");
    }

    private static void config(Scope scope) throws Exception {
        Client client = Client.connect(scope);
        Stat stat = new Stat();
        equal(new byte[0], client.zk.getConfig(false, stat), "configuration of a standalone server");
        equal(0, stat.getVersion(), "its version");
        equal(-1, stat.getAversion(), "its aversion");
        Events events = new Events();
        equal(new byte[0], client.zk.getConfig(events, null), "configuration with a watch");
        client.fence();
        events.none();
    }

    private static void reconfigure(Scope scope) throws Exception {
        Events events = new Events();
        ZooKeeperAdmin admin = scope.own(new ZooKeeperAdmin(scope.connect(), Client.LONG_SESSION, events));
        events.state(KeeperState.SyncConnected);
        throwing(KeeperException.ReconfigDisabledException.class, "reconfigure", () -> admin.reconfigure(
                "server.2=127.0.0.1:2888:3888;2181", null, null, -1, new Stat()));
        admin.addAuthInfo("digest", bytes("super:test"));
        throwing(KeeperException.ReconfigDisabledException.class, "reconfigure by the super user",
                () -> admin.reconfigure(null, "1", null, -1, new Stat()));
    }

    private static void compareAndSet(Scope scope) throws Exception {
        Client owner = Client.connect(scope);
        owner.zk.create(scope.root(), bytes("0"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        int each = 40;
        Threads.together(4, number -> {
            Client client = Client.connect(scope);
            for (int done = 0; done < each;) {
                Stat stat = new Stat();
                int value = Integer.parseInt(new String(client.zk.getData(scope.root(), false, stat)));
                try {
                    client.zk.setData(scope.root(), bytes(String.valueOf(value + 1)), stat.getVersion());
                    done++;
                } catch (KeeperException.BadVersionException lost) {
                    // Somebody was faster; read again.
                }
            }
        });
        Stat stat = new Stat();
        equal(bytes(String.valueOf(4 * each)), owner.zk.getData(scope.root(), false, stat), "the counter");
        equal(4 * each, stat.getVersion(), "the version");
    }

    private static void quotaStats(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String quota = "/zookeeper/quota" + scope.root();
        client.zk.create(quota, null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        client.zk.create(quota + "/zookeeper_limits", bytes("count=2,bytes=10"), Ids.OPEN_ACL_UNSAFE,
                CreateMode.PERSISTENT);
        client.zk.create(quota + "/zookeeper_stats", bytes("count=0,bytes=0"), Ids.OPEN_ACL_UNSAFE,
                CreateMode.PERSISTENT);
        equal("count=1,bytes=4", text(client, quota + "/zookeeper_stats"), "usage at first");
        client.zk.create(scope.root() + "/a", new byte[100], Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        client.create(scope.root() + "/a/b");
        equal("count=3,bytes=108", text(client, quota + "/zookeeper_stats"), "usage above the soft limit");
        client.zk.setData(scope.root() + "/a", new byte[1], -1);
        client.zk.delete(scope.root() + "/a/b", -1);
        equal("count=2,bytes=5", text(client, quota + "/zookeeper_stats"), "usage after shrinking");
        equal(0, client.stat(quota + "/zookeeper_stats").getVersion(), "version of the usage");
    }

    private static String text(Client client, String path) throws Exception {
        return new String(client.zk.getData(path, false, null));
    }
}
