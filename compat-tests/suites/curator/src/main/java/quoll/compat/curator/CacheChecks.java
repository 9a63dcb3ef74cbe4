package quoll.compat.curator;

import static quoll.compat.Verify.equal;
import static quoll.compat.Verify.eventually;
import static quoll.compat.Verify.that;
import static quoll.compat.curator.Clients.bytes;
import static quoll.compat.curator.Clients.text;

import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.cache.ChildData;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.cache.CuratorCacheListener;
import org.apache.curator.framework.recipes.cache.NodeCache;
import org.apache.curator.framework.recipes.cache.PathChildrenCache;
import org.apache.curator.framework.recipes.cache.TreeCache;
import org.apache.curator.framework.recipes.cache.TreeCacheEvent;
import org.apache.zookeeper.data.Stat;
import quoll.compat.Scope;
import quoll.compat.Suite;
import quoll.compat.Verify;

/** Local copies of nodes that follow the server. */
final class CacheChecks {
    /** What caches told, one line each. */
    private static final class Told {
        private final BlockingQueue<String> lines = new LinkedBlockingQueue<>();

        void add(String line) {
            lines.add(line);
        }

        void expect(String line) throws InterruptedException {
            equal(line, lines.poll(Verify.PATIENCE_MS, TimeUnit.MILLISECONDS), "what the cache tells");
        }

        void none() {
            that(lines.isEmpty(), "the cache tells too much: " + lines);
        }
    }

    private CacheChecks() {}

    static void register(Suite suite) {
        suite.shared("CuratorCache follows a subtree", CacheChecks::curatorCache);
        suite.shared("CuratorCache of a single node", CacheChecks::singleNode);
        suite.shared("CuratorCache loads again after a broken connection", CacheChecks::reloadAfterBreak);
        suite.shared("CuratorCache loads again in a new session", CacheChecks::reloadAfterSession);
        suite.shared("CuratorCache converges under load", CacheChecks::load);
        suite.shared("PathChildrenCache follows the children", CacheChecks::pathChildren);
        suite.shared("PathChildrenCache in a new session", CacheChecks::pathChildrenSession);
        suite.shared("TreeCache follows a subtree", CacheChecks::treeCache);
        suite.shared("NodeCache follows one node", CacheChecks::nodeCache);
    }

    private static CuratorCache started(Scope scope, CuratorFramework client, Told told,
            CuratorCache.Options... options) throws Exception {
        CuratorCache cache = scope.own(CuratorCache.build(client, scope.root(), options));
        CountDownLatch initialized = new CountDownLatch(1);
        cache.listenable().addListener(CuratorCacheListener.builder()
                .forCreates(node -> told.add("created " + node.getPath() + " " + text(node.getData())))
                .forChanges((old, node) -> told.add("changed " + node.getPath() + " " + text(old.getData()) + " to "
                        + text(node.getData())))
                .forDeletes(node -> told.add("deleted " + node.getPath() + " " + text(node.getData())))
                .forInitialized(initialized::countDown)
                .build());
        cache.start();
        that(initialized.await(20, TimeUnit.SECONDS), "the cache is filled");
        return cache;
    }

    private static String cached(CuratorCache cache, String path) {
        return cache.get(path).map(node -> text(node.getData())).orElse("absent");
    }

    private static void curatorCache(Scope scope) throws Exception {
        CuratorFramework writer = Clients.connect(scope);
        CuratorFramework reader = Clients.connect(scope);
        String root = scope.root();
        writer.create().forPath(root, bytes("r"));
        writer.create().forPath(root + "/old", bytes("o"));
        Told told = new Told();
        CuratorCache cache = started(scope, reader, told);
        told.expect("created " + root + " r");
        told.expect("created " + root + "/old o");
        equal(2, cache.size(), "nodes in the cache");
        writer.create().forPath(root + "/a", bytes("1"));
        told.expect("created " + root + "/a 1");
        writer.create().forPath(root + "/a/b", bytes("2"));
        told.expect("created " + root + "/a/b 2");
        writer.setData().forPath(root + "/a", bytes("3"));
        told.expect("changed " + root + "/a 1 to 3");
        equal("3", cached(cache, root + "/a"), "cached data");
        Stat stat = writer.checkExists().forPath(root + "/a");
        equal(stat.getVersion(), cache.get(root + "/a").orElseThrow().getStat().getVersion(), "cached version");
        writer.delete().forPath(root + "/a/b");
        told.expect("deleted " + root + "/a/b 2");
        writer.delete().forPath(root + "/a");
        told.expect("deleted " + root + "/a 3");
        equal(2, cache.size(), "nodes in the cache in the end");
        equal("absent", cached(cache, root + "/a"), "a deleted node");
        told.none();
    }

    private static void singleNode(Scope scope) throws Exception {
        CuratorFramework writer = Clients.connect(scope);
        CuratorFramework reader = Clients.connect(scope);
        Told told = new Told();
        CuratorCache cache = started(scope, reader, told, CuratorCache.Options.SINGLE_NODE_CACHE);
        equal(0, cache.size(), "nodes in the cache");
        writer.create().forPath(scope.root(), bytes("1"));
        told.expect("created " + scope.root() + " 1");
        writer.create().forPath(scope.root() + "/child", bytes("x"));
        writer.setData().forPath(scope.root(), bytes("2"));
        told.expect("changed " + scope.root() + " 1 to 2");
        writer.delete().deletingChildrenIfNeeded().forPath(scope.root());
        told.expect("deleted " + scope.root() + " 2");
        told.none();
    }

    private static void reload(Scope scope, boolean newSession) throws Exception {
        CuratorFramework writer = Clients.connect(scope);
        Clients.Fragile fragile = Clients.fragile(scope);
        String root = scope.root();
        for (String name : new String[] {"kept", "changed", "deleted"}) {
            writer.create().creatingParentsIfNeeded().forPath(root + "/" + name, bytes("1"));
        }
        CuratorCache cache = started(scope, fragile.client(), new Told());
        eventually("the cache is complete", () -> cache.size() == 4);
        long session = fragile.session();
        if (newSession) {
            fragile.killSession();
        }
        fragile.relay().cut();
        writer.setData().forPath(root + "/changed", bytes("2"));
        writer.delete().forPath(root + "/deleted");
        writer.create().forPath(root + "/new", bytes("3"));
        fragile.relay().heal();
        eventually("the change is seen", () -> cached(cache, root + "/changed").equals("2"));
        eventually("the delete is seen", () -> cached(cache, root + "/deleted").equals("absent"));
        eventually("the create is seen", () -> cached(cache, root + "/new").equals("3"));
        equal("1", cached(cache, root + "/kept"), "what was not touched");
        equal(newSession, session != fragile.session(), "a new session");
        writer.setData().forPath(root + "/kept", bytes("4"));
        writer.create().forPath(root + "/new/below", bytes("5"));
        eventually("later changes are seen", () -> cached(cache, root + "/kept").equals("4")
                && cached(cache, root + "/new/below").equals("5"));
    }

    private static void reloadAfterBreak(Scope scope) throws Exception {
        reload(scope, false);
    }

    private static void reloadAfterSession(Scope scope) throws Exception {
        reload(scope, true);
    }

    private static void load(Scope scope) throws Exception {
        CuratorFramework reader = Clients.connect(scope);
        reader.create().forPath(scope.root());
        CuratorCache cache = started(scope, reader, new Told());
        Clients.together(Clients.connect(scope, 3), (client, number) -> {
            for (int round = 0; round < 60; round++) {
                String path = scope.root() + "/" + number + "-" + round % 10;
                if (client.checkExists().forPath(path) == null) {
                    client.create().forPath(path, bytes("c" + round));
                } else if (round % 7 == 0) {
                    client.delete().forPath(path);
                } else {
                    client.setData().forPath(path, bytes("s" + round));
                }
            }
        });
        Map<String, String> expected = new TreeMap<>();
        expected.put(scope.root(), text(reader.getData().forPath(scope.root())));
        for (String name : reader.getChildren().forPath(scope.root())) {
            expected.put(scope.root() + "/" + name, text(reader.getData().forPath(scope.root() + "/" + name)));
        }
        eventually("cache and server agree", () -> {
            Map<String, String> actual = new TreeMap<>();
            cache.stream().forEach(node -> actual.put(node.getPath(), text(node.getData())));
            return actual.equals(expected);
        });
    }

    private static void pathChildren(Scope scope) throws Exception {
        CuratorFramework writer = Clients.connect(scope);
        CuratorFramework reader = Clients.connect(scope);
        String root = scope.root();
        writer.create().creatingParentsIfNeeded().forPath(root + "/old", bytes("o"));
        Told told = new Told();
        PathChildrenCache cache = scope.own(new PathChildrenCache(reader, root, true));
        cache.getListenable().addListener((client, event) -> told.add(event.getType()
                + (event.getData() == null ? "" : " " + event.getData().getPath() + " "
                        + text(event.getData().getData()))));
        cache.start(PathChildrenCache.StartMode.POST_INITIALIZED_EVENT);
        told.expect("CHILD_ADDED " + root + "/old o");
        told.expect("INITIALIZED");
        writer.create().forPath(root + "/a", bytes("1"));
        told.expect("CHILD_ADDED " + root + "/a 1");
        writer.create().forPath(root + "/a/grandchild", bytes("x"));
        writer.setData().forPath(root + "/a", bytes("2"));
        told.expect("CHILD_UPDATED " + root + "/a 2");
        writer.delete().deletingChildrenIfNeeded().forPath(root + "/a");
        told.expect("CHILD_REMOVED " + root + "/a 2");
        equal(1, cache.getCurrentData().size(), "children in the cache");
        equal("o", text(cache.getCurrentData(root + "/old").getData()), "cached data");
        told.none();
        PathChildrenCache filled = scope.own(new PathChildrenCache(reader, root, true));
        filled.start(PathChildrenCache.StartMode.BUILD_INITIAL_CACHE);
        equal(1, filled.getCurrentData().size(), "children in a cache that is filled at the start");
    }

    private static void pathChildrenSession(Scope scope) throws Exception {
        CuratorFramework writer = Clients.connect(scope);
        Clients.Fragile fragile = Clients.fragile(scope);
        writer.create().creatingParentsIfNeeded().forPath(scope.root() + "/a", bytes("1"));
        PathChildrenCache cache = scope.own(new PathChildrenCache(fragile.client(), scope.root(), true));
        cache.start(PathChildrenCache.StartMode.BUILD_INITIAL_CACHE);
        fragile.killSession();
        writer.setData().forPath(scope.root() + "/a", bytes("2"));
        writer.create().forPath(scope.root() + "/b", bytes("3"));
        eventually("both children are seen", () -> cache.getCurrentData().size() == 2
                && text(cache.getCurrentData(scope.root() + "/a").getData()).equals("2"));
        writer.delete().forPath(scope.root() + "/b");
        eventually("the delete is seen", () -> cache.getCurrentData().size() == 1);
    }

    private static void treeCache(Scope scope) throws Exception {
        CuratorFramework writer = Clients.connect(scope);
        CuratorFramework reader = Clients.connect(scope);
        String root = scope.root();
        writer.create().forPath(root, bytes("r"));
        Told told = new Told();
        TreeCache cache = scope.own(TreeCache.newBuilder(reader, root).setCacheData(true).build());
        cache.getListenable().addListener((client, event) -> {
            ChildData node = event.getData();
            told.add(event.getType() + (event.getType() == TreeCacheEvent.Type.INITIALIZED ? ""
                    : " " + node.getPath() + " " + text(node.getData())));
        });
        cache.start();
        told.expect("NODE_ADDED " + root + " r");
        told.expect("INITIALIZED");
        writer.create().forPath(root + "/a", bytes("1"));
        told.expect("NODE_ADDED " + root + "/a 1");
        writer.create().forPath(root + "/a/b", bytes("2"));
        told.expect("NODE_ADDED " + root + "/a/b 2");
        writer.setData().forPath(root + "/a/b", bytes("3"));
        told.expect("NODE_UPDATED " + root + "/a/b 3");
        equal("3", text(cache.getCurrentData(root + "/a/b").getData()), "cached data");
        equal(Set.of("a"), cache.getCurrentChildren(root).keySet(), "cached children");
        writer.delete().forPath(root + "/a/b");
        told.expect("NODE_REMOVED " + root + "/a/b 3");
        writer.delete().forPath(root + "/a");
        told.expect("NODE_REMOVED " + root + "/a 1");
        told.none();
    }

    private static void nodeCache(Scope scope) throws Exception {
        CuratorFramework writer = Clients.connect(scope);
        Clients.Fragile fragile = Clients.fragile(scope);
        Told told = new Told();
        NodeCache cache = scope.own(new NodeCache(fragile.client(), scope.root()));
        cache.getListenable().addListener(() -> told.add(cache.getCurrentData() == null ? "nothing"
                : text(cache.getCurrentData().getData())));
        cache.start(true);
        equal(null, cache.getCurrentData(), "data before the node exists");
        writer.create().forPath(scope.root(), bytes("1"));
        told.expect("1");
        writer.setData().forPath(scope.root(), bytes("2"));
        told.expect("2");
        fragile.killSession();
        writer.setData().forPath(scope.root(), bytes("3"));
        told.expect("3");
        writer.delete().forPath(scope.root());
        told.expect("nothing");
        told.none();
    }
}
