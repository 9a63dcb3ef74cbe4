package quoll.compat.curator;

import static quoll.compat.Verify.equal;
import static quoll.compat.Verify.eventually;
import static quoll.compat.Verify.that;
import static quoll.compat.Verify.throwing;
import static quoll.compat.curator.Clients.async;
import static quoll.compat.curator.Clients.bytes;
import static quoll.compat.curator.Clients.get;
import static quoll.compat.curator.Clients.text;

import java.util.Arrays;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.api.ACLProvider;
import org.apache.curator.framework.api.BackgroundCallback;
import org.apache.curator.framework.api.CuratorEvent;
import org.apache.curator.framework.api.CuratorEventType;
import org.apache.curator.framework.api.CuratorWatcher;
import org.apache.curator.framework.imps.CuratorFrameworkState;
import org.apache.curator.framework.schema.Schema;
import org.apache.curator.framework.schema.SchemaSet;
import org.apache.curator.framework.schema.SchemaViolation;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.RetryNTimes;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooDefs.Perms;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;
import org.apache.zookeeper.server.auth.DigestAuthenticationProvider;
import quoll.compat.Relay;
import quoll.compat.Scope;
import quoll.compat.Suite;
import quoll.compat.Verify;

/** The framework below the recipes: builders, background work, protection against lost answers, ACLs, namespaces. */
final class FrameworkChecks {
    private FrameworkChecks() {}

    static void register(Suite suite) {
        suite.shared("create with parents and in every mode", FrameworkChecks::create);
        suite.shared("create or set data", FrameworkChecks::orSetData);
        suite.shared("read, change and delete with versions and Stats", FrameworkChecks::versions);
        suite.shared("delete with children, quietly and guaranteed", FrameworkChecks::delete);
        suite.shared("guaranteed delete goes on after a broken connection", FrameworkChecks::guaranteed);
        suite.shared("background operations", FrameworkChecks::background);
        suite.shared("background operations tell errors", FrameworkChecks::backgroundErrors);
        suite.shared("protected create finds its node after a lost answer", FrameworkChecks::protection);
        suite.shared("idempotent operations survive a lost answer", FrameworkChecks::idempotent);
        suite.shared("idempotent operations recognise what is done already", FrameworkChecks::idempotentRepeat);
        suite.shared("ACL provider with digest identity", FrameworkChecks::aclProvider);
        suite.shared("ACLs of a node", FrameworkChecks::acl);
        suite.shared("getConfig and reconfig", FrameworkChecks::config);
        suite.shared("compressed data", FrameworkChecks::compressed);
        suite.shared("namespace", FrameworkChecks::namespace);
        suite.shared("schema", FrameworkChecks::schema);
        suite.shared("default data and sync", FrameworkChecks::defaultData);
        suite.shared("connection states are told in order", FrameworkChecks::states);
        suite.shared("lost session is told and replaced", FrameworkChecks::lost);
    }

    private static void create(Scope scope) throws Exception {
        CuratorFramework client = Clients.connect(scope);
        String root = scope.root();
        throwing(KeeperException.NoNodeException.class, "create without parents",
                () -> client.create().forPath(root + "/a/b"));
        equal(root + "/a/b", client.create().creatingParentsIfNeeded().forPath(root + "/a/b", bytes("x")), "path");
        throwing(KeeperException.NodeExistsException.class, "a second create",
                () -> client.create().forPath(root + "/a/b"));
        Stat stat = new Stat();
        client.create().storingStatIn(stat).creatingParentContainersIfNeeded().withMode(CreateMode.EPHEMERAL)
                .forPath(root + "/c/d/e", bytes("12345"));
        equal(client.checkExists().forPath(root + "/c/d/e"), stat, "Stat of the create");
        equal(client.getZookeeperClient().getZooKeeper().getSessionId(), stat.getEphemeralOwner(), "owner");
        for (CreateMode mode : List.of(CreateMode.PERSISTENT_SEQUENTIAL, CreateMode.EPHEMERAL_SEQUENTIAL)) {
            String path = client.create().creatingParentsIfNeeded().withMode(mode).forPath(root + "/s/" + mode);
            that(path.matches(root + "/s/" + mode + "[0-9]{10}"), "sequential path " + path);
        }
        client.create().withTtl(3_600_000).withMode(CreateMode.PERSISTENT_WITH_TTL).forPath(root + "/t");
        String numbered = client.create().withTtl(3_600_000).withMode(CreateMode.PERSISTENT_SEQUENTIAL_WITH_TTL)
                .forPath(root + "/tn");
        that(numbered.matches(root + "/tn[0-9]{10}"), "sequential TTL path " + numbered);
        equal(0, client.checkExists().forPath(root + "/t").getEphemeralOwner(), "owner of a TTL node");
        client.create().withMode(CreateMode.CONTAINER).forPath(root + "/container");
        that(client.checkExists().creatingParentsIfNeeded().forPath(root + "/made/not-made") == null,
                "the node asked for does not exist");
        that(client.checkExists().forPath(root + "/made") != null, "its parent was made");
    }

    private static void orSetData(Scope scope) throws Exception {
        CuratorFramework client = Clients.connect(scope);
        client.create().orSetData().forPath(scope.root(), bytes("1"));
        client.create().orSetData().forPath(scope.root(), bytes("2"));
        equal("2", text(client.getData().forPath(scope.root())), "data");
        Stat stat = new Stat();
        client.create().orSetData(1).storingStatIn(stat).forPath(scope.root(), bytes("3"));
        equal(2, stat.getVersion(), "version");
        throwing(KeeperException.BadVersionException.class, "an old version",
                () -> client.create().orSetData(0).forPath(scope.root(), bytes("4")));
        equal("3", text(client.getData().forPath(scope.root())), "data in the end");
    }

    private static void versions(Scope scope) throws Exception {
        CuratorFramework client = Clients.connect(scope);
        String root = scope.root();
        client.create().forPath(root, bytes("1"));
        equal(1, client.setData().withVersion(0).forPath(root, bytes("2")).getVersion(), "version");
        throwing(KeeperException.BadVersionException.class, "setData of an old version",
                () -> client.setData().withVersion(0).forPath(root, bytes("3")));
        Stat read = new Stat();
        equal("2", text(client.getData().storingStatIn(read).forPath(root)), "data");
        equal(client.checkExists().forPath(root), read, "Stat of getData");
        client.create().forPath(root + "/b");
        client.create().forPath(root + "/a");
        Stat listed = new Stat();
        equal(2, client.getChildren().storingStatIn(listed).forPath(root).size(), "children");
        equal(2, listed.getNumChildren(), "children in the Stat");
        throwing(KeeperException.BadVersionException.class, "delete of an old version",
                () -> client.delete().withVersion(5).forPath(root + "/a"));
        client.delete().withVersion(0).forPath(root + "/a");
        equal(List.of("b"), Clients.children(client, root), "children");
    }

    private static void delete(Scope scope) throws Exception {
        CuratorFramework client = Clients.connect(scope);
        String root = scope.root();
        client.create().creatingParentsIfNeeded().forPath(root + "/a/b/c");
        client.create().forPath(root + "/a/d");
        throwing(KeeperException.NotEmptyException.class, "delete of a parent",
                () -> client.delete().forPath(root + "/a"));
        client.delete().deletingChildrenIfNeeded().forPath(root + "/a");
        equal(List.of(), Clients.children(client, root), "children");
        throwing(KeeperException.NoNodeException.class, "delete of nothing",
                () -> client.delete().forPath(root + "/a"));
        client.delete().quietly().forPath(root + "/a");
        client.create().forPath(root + "/g");
        client.delete().guaranteed().forPath(root + "/g");
        equal(null, client.checkExists().forPath(root + "/g"), "Stat of the deleted node");
    }

    /** A client that has no patience: it fails instead of trying again. */
    private static CuratorFramework impatient(Scope scope, Relay relay) throws Exception {
        return Clients.start(scope, Clients.builder(relay.connect()).connectionTimeoutMs(1_000)
                .retryPolicy(new RetryNTimes(0, 0)));
    }

    private static void guaranteed(Scope scope) throws Exception {
        CuratorFramework observer = Clients.connect(scope);
        observer.create().forPath(scope.root());
        Relay relay = scope.relay();
        CuratorFramework client = impatient(scope, relay);
        relay.cut();
        throwing(KeeperException.ConnectionLossException.class, "a delete without a connection",
                () -> client.delete().guaranteed().forPath(scope.root()));
        that(observer.checkExists().forPath(scope.root()) != null, "the node is still there");
        relay.heal();
        eventually("the node is deleted in the end", () -> observer.checkExists().forPath(scope.root()) == null);
    }

    /** Starts the operation with a callback and returns what the callback was told. */
    private static CuratorEvent told(Verify.Action start, CompletableFuture<CuratorEvent> event) throws Exception {
        start.run();
        return get(event);
    }

    private static BackgroundCallback into(CompletableFuture<CuratorEvent> event) {
        return (client, told) -> event.complete(told);
    }

    private static void background(Scope scope) throws Exception {
        CuratorFramework client = Clients.connect(scope);
        String root = scope.root();
        ExecutorService executor = Executors.newSingleThreadExecutor();
        scope.own((AutoCloseable) executor::shutdownNow);

        CompletableFuture<CuratorEvent> created = new CompletableFuture<>();
        CuratorEvent event = told(() -> client.create().creatingParentsIfNeeded()
                .withMode(CreateMode.PERSISTENT_SEQUENTIAL)
                .inBackground(into(created), "context").forPath(root + "/n", bytes("1")), created);
        equal(CuratorEventType.CREATE, event.getType(), "type");
        equal("context", event.getContext(), "context");
        equal(root + "/n", event.getPath(), "path asked for");
        equal(root + "/n0000000000", event.getName(), "path made");
        String node = root + "/n0000000000";

        CompletableFuture<CuratorEvent> set = new CompletableFuture<>();
        event = told(() -> client.setData().inBackground(into(set)).forPath(node, bytes("22")), set);
        equal(CuratorEventType.SET_DATA, event.getType(), "type");
        equal(1, event.getStat().getVersion(), "version");

        CompletableFuture<CuratorEvent> read = new CompletableFuture<>();
        CompletableFuture<String> thread = new CompletableFuture<>();
        event = told(() -> client.getData().inBackground((source, got) -> {
            thread.complete(Thread.currentThread().getName());
            read.complete(got);
        }, executor).forPath(node), read);
        equal(CuratorEventType.GET_DATA, event.getType(), "type");
        equal("22", text(event.getData()), "data");
        that(get(thread).startsWith("pool-"), "the callback runs in the given executor");

        CompletableFuture<CuratorEvent> exists = new CompletableFuture<>();
        event = told(() -> client.checkExists().inBackground(into(exists)).forPath(node), exists);
        equal(CuratorEventType.EXISTS, event.getType(), "type");
        equal(client.checkExists().forPath(node), event.getStat(), "Stat");

        CompletableFuture<CuratorEvent> children = new CompletableFuture<>();
        event = told(() -> client.getChildren().inBackground(into(children)).forPath(root), children);
        equal(CuratorEventType.CHILDREN, event.getType(), "type");
        equal(List.of("n0000000000"), event.getChildren(), "children");

        CompletableFuture<CuratorEvent> acl = new CompletableFuture<>();
        event = told(() -> client.getACL().inBackground(into(acl)).forPath(node), acl);
        equal(CuratorEventType.GET_ACL, event.getType(), "type");
        equal(Ids.OPEN_ACL_UNSAFE, event.getACLList(), "ACL");

        CompletableFuture<CuratorEvent> synced = new CompletableFuture<>();
        event = told(() -> client.sync().inBackground(into(synced)).forPath(node), synced);
        equal(CuratorEventType.SYNC, event.getType(), "type");
        equal(node, event.getPath(), "path");

        CompletableFuture<CuratorEvent> deleted = new CompletableFuture<>();
        event = told(() -> client.delete().inBackground(into(deleted)).forPath(node), deleted);
        equal(CuratorEventType.DELETE, event.getType(), "type");
        equal(Code.OK.intValue(), event.getResultCode(), "code");
        equal(List.of(), Clients.children(client, root), "children");
    }

    private static void backgroundErrors(Scope scope) throws Exception {
        CuratorFramework client = Clients.connect(scope);
        String root = scope.root();
        client.create().forPath(root);
        CompletableFuture<CuratorEvent> exists = new CompletableFuture<>();
        equal(Code.NODEEXISTS.intValue(), told(() -> client.create().inBackground(into(exists)).forPath(root),
                exists).getResultCode(), "create");
        CompletableFuture<CuratorEvent> none = new CompletableFuture<>();
        equal(Code.NONODE.intValue(), told(() -> client.getData().inBackground(into(none)).forPath(root + "/no"),
                none).getResultCode(), "getData");
        CompletableFuture<CuratorEvent> version = new CompletableFuture<>();
        equal(Code.BADVERSION.intValue(), told(() -> client.setData().withVersion(3).inBackground(into(version))
                .forPath(root, bytes("x")), version).getResultCode(), "setData");
        CompletableFuture<CuratorEvent> missing = new CompletableFuture<>();
        equal(Code.NONODE.intValue(), told(() -> client.delete().inBackground(into(missing)).forPath(root + "/no"),
                missing).getResultCode(), "delete");
    }

    /** Lets the server do the work while its answer gets lost, then lets the client connect again. */
    private static <T> T withLostAnswer(Relay relay, Clients.Work<T> work, Clients.Work<Boolean> done)
            throws Exception {
        relay.swallowReplies();
        CompletableFuture<T> result = async(work);
        eventually("the server has done it", done::run);
        relay.cut();
        relay.heal();
        return get(result);
    }

    private static void protection(Scope scope) throws Exception {
        CuratorFramework observer = Clients.connect(scope);
        observer.create().forPath(scope.root());
        Clients.Fragile fragile = Clients.fragile(scope);
        String path = withLostAnswer(fragile.relay(),
                () -> fragile.client().create().withProtection().withMode(CreateMode.EPHEMERAL_SEQUENTIAL)
                        .forPath(scope.root() + "/n-", bytes("x")),
                () -> observer.getChildren().forPath(scope.root()).size() == 1);
        String name = path.substring(scope.root().length() + 1);
        that(name.matches("_c_[0-9a-f-]{36}-n-0000000000"), "protected name " + name);
        equal(List.of(name), Clients.children(observer, scope.root()), "children: one create, not two");
        equal(fragile.session(), observer.checkExists().forPath(path).getEphemeralOwner(), "owner");
    }

    private static void idempotent(Scope scope) throws Exception {
        CuratorFramework observer = Clients.connect(scope);
        observer.create().forPath(scope.root());
        Clients.Fragile fragile = Clients.fragile(scope);
        CuratorFramework client = fragile.client();
        String path = scope.root() + "/node";
        equal(path, withLostAnswer(fragile.relay(), () -> client.create().idempotent().forPath(path, bytes("1")),
                () -> observer.checkExists().forPath(path) != null), "path");
        equal(0, observer.checkExists().forPath(path).getVersion(), "version after the create");
        that(client.blockUntilConnected(20, TimeUnit.SECONDS), "connected again");
        Stat stat = withLostAnswer(fragile.relay(),
                () -> client.setData().idempotent().withVersion(0).forPath(path, bytes("2")),
                () -> observer.checkExists().forPath(path).getVersion() == 1);
        equal(1, stat.getVersion(), "version after the change");
        that(client.blockUntilConnected(20, TimeUnit.SECONDS), "connected again");
        withLostAnswer(fragile.relay(), () -> client.delete().idempotent().withVersion(1).forPath(path),
                () -> observer.checkExists().forPath(path) == null);
        equal(2, observer.checkExists().forPath(scope.root()).getCversion(), "one create and one delete");
    }

    private static void idempotentRepeat(Scope scope) throws Exception {
        CuratorFramework client = Clients.connect(scope);
        String path = scope.root();
        client.create().idempotent().forPath(path, bytes("1"));
        throwing(KeeperException.NodeExistsException.class, "a create that was never tried before",
                () -> client.create().idempotent().forPath(path, bytes("other")));
        throwing(KeeperException.BadVersionException.class, "a change of another version",
                () -> client.setData().idempotent().withVersion(5).forPath(path, bytes("2")));
        client.delete().idempotent().forPath(path);
        client.delete().quietly().forPath(path);
        equal(null, client.checkExists().forPath(path), "Stat in the end");
    }

    private static ACL digest(int perms, String who) throws Exception {
        return new ACL(perms, new Id("digest", DigestAuthenticationProvider.generateDigest(who)));
    }

    private static void aclProvider(Scope scope) throws Exception {
        CuratorFramework stranger = Clients.connect(scope);
        CuratorFramework owner = Clients.start(scope, Clients.builder(scope.connect())
                .authorization("digest", bytes("bob:secret")).aclProvider(new ACLProvider() {
                    @Override
                    public List<ACL> getDefaultAcl() {
                        return Ids.CREATOR_ALL_ACL;
                    }

                    @Override
                    public List<ACL> getAclForPath(String path) {
                        return path.endsWith("/open") ? Ids.OPEN_ACL_UNSAFE : Ids.CREATOR_ALL_ACL;
                    }
                }));
        String root = scope.root();
        owner.create().creatingParentsIfNeeded().forPath(root + "/closed", bytes("x"));
        owner.create().forPath(root + "/open", bytes("y"));
        equal(List.of(digest(Perms.ALL, "bob:secret")), owner.getACL().forPath(root + "/closed"), "stored ACL");
        equal(List.of(digest(Perms.ALL, "bob:secret")), owner.getACL().forPath(root), "stored ACL of the parent");
        throwing(KeeperException.NoAuthException.class, "getData", () -> stranger.getData().forPath(root + "/closed"));
        throwing(KeeperException.NoAuthException.class, "setData",
                () -> stranger.setData().forPath(root + "/closed", bytes("z")));
        throwing(KeeperException.NoAuthException.class, "getChildren", () -> stranger.getChildren().forPath(root));
        throwing(KeeperException.NoAuthException.class, "delete", () -> stranger.delete().forPath(root + "/open"));
        equal("y", text(stranger.getData().forPath(root + "/open")), "open data");
        CuratorFramework friend = Clients.start(scope, Clients.builder(scope.connect())
                .authorization("digest", bytes("bob:secret")));
        equal("x", text(friend.getData().forPath(root + "/closed")), "data for the same identity");
    }

    private static void acl(Scope scope) throws Exception {
        CuratorFramework client = Clients.start(scope, Clients.builder(scope.connect())
                .authorization("digest", bytes("bob:secret")));
        String root = scope.root();
        List<ACL> acl = Arrays.asList(digest(Perms.ALL, "bob:secret"), new ACL(Perms.READ, Ids.ANYONE_ID_UNSAFE));
        client.create().creatingParentsIfNeeded().withACL(acl, true).forPath(root + "/a/b", bytes("x"));
        equal(acl, client.getACL().forPath(root + "/a"), "ACL of a parent made on the way");
        equal(acl, client.getACL().forPath(root + "/a/b"), "ACL");
        Stat stat = client.setACL().withVersion(0).withACL(Ids.OPEN_ACL_UNSAFE).forPath(root + "/a/b");
        equal(1, stat.getAversion(), "aversion");
        throwing(KeeperException.BadVersionException.class, "setACL of an old version",
                () -> client.setACL().withVersion(0).withACL(acl).forPath(root + "/a/b"));
        Stat read = new Stat();
        equal(Ids.OPEN_ACL_UNSAFE, client.getACL().storingStatIn(read).forPath(root + "/a/b"), "ACL in the end");
        equal(1, read.getAversion(), "aversion in the end");
    }

    private static void config(Scope scope) throws Exception {
        CuratorFramework client = Clients.connect(scope);
        Stat stat = new Stat();
        equal("", text(client.getConfig().storingStatIn(stat).forEnsemble()), "configuration of a standalone server");
        equal(0, stat.getVersion(), "its version");
        throwing(KeeperException.ReconfigDisabledException.class, "reconfig",
                () -> client.reconfig().leaving("1").forEnsemble());
    }

    private static void compressed(Scope scope) throws Exception {
        CuratorFramework client = Clients.connect(scope);
        String first = "compressible ".repeat(100);
        String second = "something else ".repeat(100);
        client.create().compressed().forPath(scope.root(), bytes(first));
        byte[] stored = client.getData().forPath(scope.root());
        equal(0x1f8b, (stored[0] & 0xff) << 8 | stored[1] & 0xff, "the mark of gzip");
        that(stored.length < first.length() / 2, "the stored data is small");
        equal(stored.length, client.checkExists().forPath(scope.root()).getDataLength(), "length in the Stat");
        equal(first, text(client.getData().decompressed().forPath(scope.root())), "data");
        client.setData().compressed().forPath(scope.root(), bytes(second));
        equal(second, text(client.getData().decompressed().forPath(scope.root())), "changed data");
        CuratorFramework always = Clients.start(scope, Clients.builder(scope.connect()).enableCompression());
        equal(second, text(always.getData().forPath(scope.root())), "data for a client that always compresses");
    }

    private static void namespace(Scope scope) throws Exception {
        CuratorFramework plain = Clients.connect(scope);
        String space = scope.root().substring(1) + "/deep/space";
        CuratorFramework client = Clients.start(scope, Clients.builder(scope.connect()).namespace(space));
        equal(space, client.getNamespace(), "namespace");
        equal("/a", client.create().forPath("/a", bytes("1")), "path");
        equal("1", text(plain.getData().forPath("/" + space + "/a")), "data from outside");
        equal("/s0000000001", client.create().withMode(CreateMode.PERSISTENT_SEQUENTIAL).forPath("/s"), "path");
        equal(List.of("a", "s0000000001"), Clients.children(client, "/"), "children");
        BlockingQueue<String> told = new LinkedBlockingQueue<>();
        client.getData().usingWatcher((CuratorWatcher) event ->
                told.add(event.getType() + " " + event.getPath())).forPath("/a");
        plain.setData().forPath("/" + space + "/a", bytes("2"));
        equal("NodeDataChanged /a", told.poll(20, TimeUnit.SECONDS), "event");
        CuratorFramework other = client.usingNamespace(scope.root().substring(1) + "/other");
        other.create().forPath("/b");
        equal(List.of("deep", "other"), Clients.children(plain, scope.root()), "namespaces");
        that(client.usingNamespace(null).checkExists().forPath("/" + space + "/a") != null, "no namespace");
    }

    private static void schema(Scope scope) throws Exception {
        Schema schema = Schema.builder(scope.root()).name("settings")
                .dataValidator((which, path, data, acl) -> data.length > 0)
                .ephemeral(Schema.Allowance.CANNOT).canBeDeleted(false).build();
        CuratorFramework client = Clients.start(scope, Clients.builder(scope.connect())
                .schemaSet(new SchemaSet(List.of(schema), true)));
        throwing(SchemaViolation.class, "create without data", () -> client.create().forPath(scope.root(),
                new byte[0]));
        throwing(SchemaViolation.class, "ephemeral create",
                () -> client.create().withMode(CreateMode.EPHEMERAL).forPath(scope.root(), bytes("x")));
        equal(null, client.checkExists().forPath(scope.root()), "Stat after the violations");
        client.create().forPath(scope.root(), bytes("x"));
        throwing(SchemaViolation.class, "delete", () -> client.delete().forPath(scope.root()));
        equal("x", text(client.getData().forPath(SchemaSet.getNamedPath(client, "settings"))), "data");
    }

    private static void defaultData(Scope scope) throws Exception {
        CuratorFramework client = Clients.start(scope, Clients.builder(scope.connect()).defaultData(bytes("default")));
        CuratorFramework reader = Clients.connect(scope);
        client.create().forPath(scope.root());
        reader.sync().forPath(scope.root());
        equal("default", text(reader.getData().forPath(scope.root())), "data");
        client.setData().forPath(scope.root());
        equal(1, reader.checkExists().forPath(scope.root()).getVersion(), "version");
    }

    private static void expect(BlockingQueue<ConnectionState> states, ConnectionState state) throws Exception {
        equal(state, states.poll(Verify.PATIENCE_MS, TimeUnit.MILLISECONDS), "state told");
    }

    private static void states(Scope scope) throws Exception {
        Relay relay = scope.relay();
        CuratorFramework client = scope.own(Clients.builder(relay.connect()).build());
        BlockingQueue<ConnectionState> told = new LinkedBlockingQueue<>();
        client.getConnectionStateListenable().addListener((source, state) -> told.add(state));
        equal(CuratorFrameworkState.LATENT, client.getState(), "state before the start");
        client.start();
        expect(told, ConnectionState.CONNECTED);
        long session = client.getZookeeperClient().getZooKeeper().getSessionId();
        for (int round = 0; round < 2; round++) {
            relay.cut();
            expect(told, ConnectionState.SUSPENDED);
            relay.heal();
            expect(told, ConnectionState.RECONNECTED);
        }
        equal(session, client.getZookeeperClient().getZooKeeper().getSessionId(), "session");
        client.close();
        equal(CuratorFrameworkState.STOPPED, client.getState(), "state after the end");
    }

    private static void lost(Scope scope) throws Exception {
        Clients.Fragile fragile = Clients.fragile(scope);
        CuratorFramework client = fragile.client();
        BlockingQueue<ConnectionState> told = new LinkedBlockingQueue<>();
        client.getConnectionStateListenable().addListener((source, state) -> {
            if (state != ConnectionState.CONNECTED) {
                told.add(state);
            }
        });
        client.create().withMode(CreateMode.EPHEMERAL).forPath(scope.root());
        long session = fragile.session();
        fragile.killSession();
        expect(told, ConnectionState.SUSPENDED);
        expect(told, ConnectionState.LOST);
        expect(told, ConnectionState.RECONNECTED);
        that(fragile.session() != session, "a new session");
        equal(null, client.checkExists().forPath(scope.root()), "Stat of the ephemeral");
    }
}
