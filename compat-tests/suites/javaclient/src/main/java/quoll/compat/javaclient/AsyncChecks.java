package quoll.compat.javaclient;

import static quoll.compat.Verify.equal;
import static quoll.compat.Verify.that;
import static quoll.compat.javaclient.Client.bytes;
import static quoll.compat.javaclient.Client.get;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.AsyncCallback;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.Watcher.WatcherType;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooDefs.Perms;
import org.apache.zookeeper.admin.ZooKeeperAdmin;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Stat;
import quoll.compat.Scope;
import quoll.compat.Suite;

/** The callback form of every method, and the order in which a pipelining client is answered. */
final class AsyncChecks {
    /** What a callback was told: the code, the path, the context and the value. */
    private record Answer(int rc, String path, Object context, Object value, Stat stat) {
        void ok(String expectedPath) {
            is(Code.OK, expectedPath);
        }

        void is(Code code, String expectedPath) {
            equal(code, Code.get(rc), "code for " + expectedPath);
            equal(expectedPath, path, "path in the callback");
            equal("context", context, "context in the callback");
        }
    }

    private static final class Waiting extends CompletableFuture<Answer> {
        void tell(int rc, String path, Object context, Object value, Stat stat) {
            complete(new Answer(rc, path, context, value, stat));
        }

        Answer answer() throws Exception {
            return AsyncChecks.answer(this);
        }
    }

    private AsyncChecks() {}

    static void register(Suite suite) {
        suite.shared("async create, all callback forms", AsyncChecks::create);
        suite.shared("async exists, getData and setData", AsyncChecks::data);
        suite.shared("async delete", AsyncChecks::delete);
        suite.shared("async getChildren, both callback forms", AsyncChecks::children);
        suite.shared("async getAllChildrenNumber and getEphemerals", AsyncChecks::counts);
        suite.shared("async getACL and setACL", AsyncChecks::acl);
        suite.shared("async sync", AsyncChecks::sync);
        suite.shared("async addWatch, removeWatches and removeAllWatches", AsyncChecks::watches);
        suite.shared("async getConfig and reconfigure", AsyncChecks::config);
        suite.shared("answers come in the order of the requests", AsyncChecks::order);
        suite.shared("a pipelined read sees the write before it", AsyncChecks::readYourWrites);
        suite.shared("a failed write does not stop the pipeline", AsyncChecks::failureInside);
        suite.shared("pipelined creates of a deep path", AsyncChecks::deep);
    }

    private static Answer answer(CompletableFuture<Answer> future) throws Exception {
        return get(future);
    }

    private static void create(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String root = scope.root();
        Waiting plain = new Waiting();
        client.zk.create(root + "/a", bytes("x"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_SEQUENTIAL,
                (rc, path, context, name) -> plain.tell(rc, path, context, name, null), "context");
        plain.answer().ok(root + "/a");
        equal(root + "/a0000000000", plain.answer().value(), "name");

        Waiting two = new Waiting();
        client.zk.create(root + "/b", bytes("xy"), Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL,
                (rc, path, context, name, stat) -> two.tell(rc, path, context, name, stat), "context");
        two.answer().ok(root + "/b");
        equal(root + "/b", two.answer().value(), "name");
        equal(client.stat(root + "/b"), two.answer().stat(), "Stat");

        Waiting ttl = new Waiting();
        client.zk.create(root + "/c", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL,
                (rc, path, context, name, stat) -> ttl.tell(rc, path, context, name, stat), "context", 3_600_000);
        ttl.answer().ok(root + "/c");
        equal(client.stat(root + "/c"), ttl.answer().stat(), "Stat of the TTL node");

        Waiting container = new Waiting();
        client.zk.create(root + "/d", null, Ids.OPEN_ACL_UNSAFE, CreateMode.CONTAINER,
                (rc, path, context, name, stat) -> container.tell(rc, path, context, name, stat), "context");
        container.answer().ok(root + "/d");
        equal(0, container.answer().stat().getEphemeralOwner(), "owner of the container");

        Waiting exists = new Waiting();
        client.zk.create(root + "/b", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT,
                (rc, path, context, name) -> exists.tell(rc, path, context, name, null), "context");
        exists.answer().is(Code.NODEEXISTS, root + "/b");
        equal(null, exists.answer().value(), "name of a failed create");
    }

    private static void data(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String root = scope.root();
        Waiting set = new Waiting();
        AsyncCallback.StatCallback setDone = (rc, path, context, stat) -> set.tell(rc, path, context, null, stat);
        client.zk.setData(root, bytes("new"), 0, setDone, "context");
        set.answer().ok(root);
        equal(1, set.answer().stat().getVersion(), "version");
        Waiting read = new Waiting();
        client.zk.getData(root, false, (rc, path, context, data, stat) -> read.tell(rc, path, context, data, stat),
                "context");
        read.answer().ok(root);
        equal(bytes("new"), read.answer().value(), "data");
        equal(set.answer().stat(), read.answer().stat(), "Stat");
        Waiting there = new Waiting();
        client.zk.exists(root, false, (rc, path, context, stat) -> there.tell(rc, path, context, null, stat),
                "context");
        there.answer().ok(root);
        equal(set.answer().stat(), there.answer().stat(), "Stat");

        Waiting bad = new Waiting();
        client.zk.setData(root, null, 0, (rc, path, context, stat) -> bad.tell(rc, path, context, null, stat),
                "context");
        bad.answer().is(Code.BADVERSION, root);
        equal(null, bad.answer().stat(), "Stat of a failed setData");
        Waiting missing = new Waiting();
        client.zk.exists(root + "/no", false,
                (rc, path, context, stat) -> missing.tell(rc, path, context, null, stat), "context");
        missing.answer().is(Code.NONODE, root + "/no");
        Waiting nothing = new Waiting();
        client.zk.getData(root + "/no", false,
                (rc, path, context, data, stat) -> nothing.tell(rc, path, context, data, stat), "context");
        nothing.answer().is(Code.NONODE, root + "/no");
    }

    private static void delete(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String node = scope.root() + "/node";
        client.create(node);
        for (Code expected : List.of(Code.BADVERSION, Code.OK, Code.NONODE)) {
            Waiting deleted = new Waiting();
            client.zk.delete(node, expected == Code.BADVERSION ? 5 : 0,
                    (rc, path, context) -> deleted.tell(rc, path, context, null, null), "context");
            deleted.answer().is(expected, node);
        }
        client.create(node);
        client.create(node + "/child");
        Waiting full = new Waiting();
        client.zk.delete(node, -1, (rc, path, context) -> full.tell(rc, path, context, null, null), "context");
        full.answer().is(Code.NOTEMPTY, node);
    }

    private static void children(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String root = scope.root();
        client.create(root + "/a");
        client.create(root + "/b");
        Waiting plain = new Waiting();
        AsyncCallback.ChildrenCallback plainDone =
                (rc, path, context, names) -> plain.tell(rc, path, context, Set.copyOf(names), null);
        client.zk.getChildren(root, false, plainDone, "context");
        plain.answer().ok(root);
        equal(Set.of("a", "b"), plain.answer().value(), "children");
        Waiting two = new Waiting();
        AsyncCallback.Children2Callback twoDone =
                (rc, path, context, names, stat) -> two.tell(rc, path, context, Set.copyOf(names), stat);
        client.zk.getChildren(root, false, twoDone, "context");
        two.answer().ok(root);
        equal(Set.of("a", "b"), two.answer().value(), "children");
        equal(client.stat(root), two.answer().stat(), "Stat");
        Waiting none = new Waiting();
        AsyncCallback.ChildrenCallback noneDone =
                (rc, path, context, names) -> none.tell(rc, path, context, names, null);
        client.zk.getChildren(root + "/no", false, noneDone, "context");
        none.answer().is(Code.NONODE, root + "/no");
    }

    private static void counts(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String root = scope.root();
        client.create(root + "/e", CreateMode.EPHEMERAL);
        client.create(root + "/p");
        client.create(root + "/p/q");
        Waiting number = new Waiting();
        client.zk.getAllChildrenNumber(root,
                (rc, path, context, count) -> number.tell(rc, path, context, count, null), "context");
        number.answer().ok(root);
        equal(3, number.answer().value(), "number");
        CompletableFuture<List<String>> all = new CompletableFuture<>();
        client.zk.getEphemerals((rc, context, paths) -> all.complete(paths), "context");
        equal(List.of(root + "/e"), get(all), "ephemerals");
        CompletableFuture<List<String>> some = new CompletableFuture<>();
        client.zk.getEphemerals(root + "/p", (rc, context, paths) -> some.complete(paths), "context");
        equal(List.of(), get(some), "ephemerals with a prefix");
    }

    private static void acl(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String root = scope.root();
        List<ACL> acl = Collections.singletonList(new ACL(Perms.READ | Perms.ADMIN, Ids.ANYONE_ID_UNSAFE));
        Waiting set = new Waiting();
        client.zk.setACL(root, acl, 0, (rc, path, context, stat) -> set.tell(rc, path, context, null, stat), "context");
        set.answer().ok(root);
        equal(1, set.answer().stat().getAversion(), "aversion");
        Waiting read = new Waiting();
        client.zk.getACL(root, new Stat(), (rc, path, context, list, stat) -> read.tell(rc, path, context, list, stat),
                "context");
        read.answer().ok(root);
        equal(acl, read.answer().value(), "ACL");
        equal(set.answer().stat(), read.answer().stat(), "Stat");
        Waiting refused = new Waiting();
        client.zk.setData(root, null, -1, (rc, path, context, stat) -> refused.tell(rc, path, context, null, stat),
                "context");
        refused.answer().is(Code.NOAUTH, root);
        Waiting bad = new Waiting();
        client.zk.setACL(root, acl, 0, (rc, path, context, stat) -> bad.tell(rc, path, context, null, stat), "context");
        bad.answer().is(Code.BADVERSION, root);
    }

    private static void sync(Scope scope) throws Exception {
        Client client = Client.connect(scope);
        Waiting synced = new Waiting();
        client.zk.sync("/no/such/node", (rc, path, context) -> synced.tell(rc, path, context, null, null), "context");
        synced.answer().ok("/no/such/node");
    }

    private static void watches(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String root = scope.root();
        Events events = new Events();
        Waiting added = new Waiting();
        client.zk.addWatch(root, events, AddWatchMode.PERSISTENT_RECURSIVE,
                (rc, path, context) -> added.tell(rc, path, context, null, null), "context");
        added.answer().ok(root);
        client.create(root + "/a");
        events.expect(EventType.NodeCreated, root + "/a");
        Waiting wrong = new Waiting();
        client.zk.removeAllWatches(root, WatcherType.Children, false,
                (rc, path, context) -> wrong.tell(rc, path, context, null, null), "context");
        wrong.answer().is(Code.NOWATCHER, root);
        Waiting removed = new Waiting();
        client.zk.removeWatches(root, events, WatcherType.Any, false,
                (rc, path, context) -> removed.tell(rc, path, context, null, null), "context");
        removed.answer().ok(root);
        events.expect(EventType.PersistentWatchRemoved, root);
        client.zk.exists(root, events);
        Waiting all = new Waiting();
        client.zk.removeAllWatches(root, WatcherType.Data, false,
                (rc, path, context) -> all.tell(rc, path, context, null, null), "context");
        all.answer().ok(root);
        events.expect(EventType.DataWatchRemoved, root);
        client.zk.setData(root, null, -1);
        client.fence();
        events.none();
    }

    private static void config(Scope scope) throws Exception {
        Events events = new Events();
        ZooKeeperAdmin admin = scope.own(new ZooKeeperAdmin(scope.connect(), Client.LONG_SESSION, events));
        events.state(KeeperState.SyncConnected);
        Waiting read = new Waiting();
        admin.getConfig(false, (rc, path, context, data, stat) -> read.tell(rc, path, context, data, stat), "context");
        read.answer().ok("/zookeeper/config");
        equal(new byte[0], read.answer().value(), "configuration");
        Waiting refused = new Waiting();
        admin.reconfigure("server.2=127.0.0.1:2888:3888;2181", null, null, -1,
                (rc, path, context, data, stat) -> refused.tell(rc, path, context, data, stat), "context");
        equal(Code.RECONFIGDISABLED, Code.get(refused.answer().rc()), "code of reconfigure");
    }

    private static void order(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        int count = 1_000;
        List<Integer> seen = new CopyOnWriteArrayList<>();
        CountDownLatch done = new CountDownLatch(count);
        for (int number = 0; number < count; number++) {
            int mine = number;
            AsyncCallback.StatCallback told = (rc, path, context, stat) -> {
                seen.add(mine);
                done.countDown();
            };
            switch (number % 4) {
                case 0 -> client.zk.setData(scope.root(), bytes("n" + number), -1, told, null);
                case 1 -> client.zk.exists(scope.root(), false, told, null);
                case 2 -> client.zk.setData(scope.root() + "/no", null, -1, told, null);
                default -> client.zk.sync(scope.root(), (rc, path, context) -> told.processResult(rc, path, context,
                        null), null);
            }
        }
        that(done.await(25, TimeUnit.SECONDS), "every request is answered");
        List<Integer> expected = new ArrayList<>();
        for (int number = 0; number < count; number++) {
            expected.add(number);
        }
        equal(expected, seen, "order of the answers");
    }

    private static void readYourWrites(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        int count = 300;
        List<Integer> versions = new CopyOnWriteArrayList<>();
        CountDownLatch done = new CountDownLatch(count);
        for (int number = 0; number < count; number++) {
            client.zk.setData(scope.root(), bytes("n" + number), number, (rc, path, context, stat) -> {}, null);
            client.zk.exists(scope.root(), false, (rc, path, context, stat) -> {
                versions.add(stat.getVersion());
                done.countDown();
            }, null);
        }
        that(done.await(25, TimeUnit.SECONDS), "every read is answered");
        for (int number = 0; number < count; number++) {
            equal(number + 1, versions.get(number), "version seen by read " + number);
        }
    }

    private static void failureInside(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String root = scope.root();
        List<Waiting> answers = new ArrayList<>();
        List<String> paths = List.of(root + "/a", root + "/a", root + "/no/b", root + "/c", root + "/c/d");
        for (String path : paths) {
            Waiting waiting = new Waiting();
            answers.add(waiting);
            client.zk.create(path, null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT,
                    (rc, asked, context, name) -> waiting.tell(rc, asked, context, name, null), "context");
        }
        List<Code> codes = List.of(Code.OK, Code.NODEEXISTS, Code.NONODE, Code.OK, Code.OK);
        for (int index = 0; index < paths.size(); index++) {
            answers.get(index).answer().is(codes.get(index), paths.get(index));
        }
        equal(List.of("a", "c"), client.children(root), "children");
    }

    private static void deep(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        List<Waiting> answers = new ArrayList<>();
        StringBuilder path = new StringBuilder(scope.root());
        for (int depth = 0; depth < 100; depth++) {
            path.append("/d").append(depth);
            Waiting waiting = new Waiting();
            answers.add(waiting);
            client.zk.create(path.toString(), null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT,
                    (rc, asked, context, name) -> waiting.tell(rc, asked, context, name, null), "context");
        }
        for (Waiting waiting : answers) {
            equal(Code.OK, Code.get(waiting.answer().rc()), "code for " + waiting.answer().path());
        }
        equal(100, client.zk.getAllChildrenNumber(scope.root()), "nodes below");
    }
}
