package quoll.compat.javaclient;

import static quoll.compat.Verify.equal;
import static quoll.compat.Verify.that;
import static quoll.compat.Verify.throwing;
import static quoll.compat.javaclient.Client.bytes;
import static quoll.compat.javaclient.Client.get;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.CreateOptions;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Stat;
import quoll.compat.Scope;
import quoll.compat.Suite;

/** Transactions of several operations, and several reads in one request. */
final class MultiChecks {
    private static final long HOUR = 3_600_000;

    private MultiChecks() {}

    static void register(Suite suite) {
        suite.shared("multi with every kind of operation", MultiChecks::everyKind);
        suite.shared("multi creates in every mode", MultiChecks::createModes);
        suite.shared("multi operations see the ones before them", MultiChecks::seesEarlier);
        suite.shared("a failed multi changes nothing and tells which failed", MultiChecks::failure);
        suite.shared("each kind of operation can fail a multi", MultiChecks::everyFailure);
        suite.shared("a failed multi gives back its sequence numbers", MultiChecks::sequenceRollback);
        suite.shared("all operations of a multi share zxid and time", MultiChecks::oneZxid);
        suite.shared("multi fires watches in order", MultiChecks::watches);
        suite.shared("async multi", MultiChecks::async);
        suite.shared("transaction builder", MultiChecks::builder);
        suite.shared("multi respects ACLs", MultiChecks::acl);
        suite.shared("large multi", MultiChecks::large);
        suite.shared("a multi is never seen half done", MultiChecks::atomic);
        suite.shared("multi read", MultiChecks::read);
        suite.shared("multi read reports each failure by itself", MultiChecks::readFailures);
        suite.shared("reads and writes do not mix in a multi", MultiChecks::mixed);
    }

    private static Op create(String path, CreateMode mode) {
        return Op.create(path, bytes("data"), Ids.OPEN_ACL_UNSAFE, mode);
    }

    private static Op create(String path) {
        return create(path, CreateMode.PERSISTENT);
    }

    /** The codes of the results of a failed multi, one per operation. */
    private static List<Code> codes(List<OpResult> results) {
        List<Code> codes = new ArrayList<>();
        for (OpResult result : results) {
            that(result instanceof OpResult.ErrorResult, "every result of a failed multi is an error: " + result);
            codes.add(Code.get(((OpResult.ErrorResult) result).getErr()));
        }
        return codes;
    }

    private static void everyKind(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String root = scope.root();
        client.create(root + "/old");
        List<OpResult> results = client.zk.multi(List.of(
                Op.check(root, 0),
                create(root + "/new"),
                Op.setData(root + "/old", bytes("changed"), 0),
                Op.create(root + "/options", null, CreateOptions.newBuilder(Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL)
                        .build()),
                Op.delete(root + "/old", 1)));
        equal(5, results.size(), "number of results");
        that(results.get(0) instanceof OpResult.CheckResult, "result of check: " + results.get(0));
        equal(root + "/new", ((OpResult.CreateResult) results.get(1)).getPath(), "path of create");
        Stat set = ((OpResult.SetDataResult) results.get(2)).getStat();
        equal(1, set.getVersion(), "version in the Stat of setData");
        equal(7, set.getDataLength(), "length in the Stat of setData");
        OpResult.CreateResult options = (OpResult.CreateResult) results.get(3);
        equal(root + "/options", options.getPath(), "path of create with options");
        equal(client.zk.getSessionId(), options.getStat().getEphemeralOwner(), "owner in the Stat of create");
        that(results.get(4) instanceof OpResult.DeleteResult, "result of delete: " + results.get(4));
        equal(List.of("new", "options"), client.children(root), "children");
    }

    private static void createModes(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String root = scope.root();
        List<Op> ops = new ArrayList<>();
        for (CreateMode mode : CreateMode.values()) {
            ops.add(mode.isTTL() ? Op.create(root + "/" + mode, null, Ids.OPEN_ACL_UNSAFE, mode, HOUR)
                    : create(root + "/" + mode, mode));
        }
        List<OpResult> results = client.zk.multi(ops);
        for (int index = 0; index < ops.size(); index++) {
            CreateMode mode = CreateMode.values()[index];
            String path = ((OpResult.CreateResult) results.get(index)).getPath();
            String suffix = mode.isSequential() ? String.format("%010d", index) : "";
            equal(root + "/" + mode + suffix, path, "path of " + mode);
            equal(mode.isEphemeral() ? client.zk.getSessionId() : 0, client.stat(path).getEphemeralOwner(),
                    "owner of " + mode);
            Stat stat = ((OpResult.CreateResult) results.get(index)).getStat();
            equal(mode.isTTL() || mode.isContainer(), stat != null, "a Stat for " + mode);
            if (stat != null) {
                equal(client.stat(path), stat, "Stat of " + mode);
            }
        }
        equal(ops.size(), client.stat(root).getCversion(), "cversion");
    }

    private static void seesEarlier(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String node = scope.root() + "/node";
        List<OpResult> results = client.zk.multi(List.of(
                create(node),
                create(node + "/child"),
                Op.setData(node, bytes("one"), 0),
                Op.check(node, 1),
                Op.setData(node, bytes("two"), 1),
                Op.delete(node + "/child", 0),
                Op.delete(node, 2),
                create(node),
                Op.check(node, 0),
                create(node + "/s", CreateMode.PERSISTENT_SEQUENTIAL),
                create(node + "/s", CreateMode.PERSISTENT_SEQUENTIAL)));
        equal(2, ((OpResult.SetDataResult) results.get(4)).getStat().getVersion(), "version");
        equal(node + "/s0000000000", ((OpResult.CreateResult) results.get(9)).getPath(), "first number");
        equal(node + "/s0000000001", ((OpResult.CreateResult) results.get(10)).getPath(), "second number");
        equal(0, client.stat(node).getVersion(), "version of the recreated node");
        equal(2, client.stat(node).getCversion(), "cversion of the recreated node");
    }

    private static void failure(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String root = scope.root();
        client.create(root + "/there");
        Stat before = client.stat(root);
        KeeperException.NoNodeException thrown = throwing(KeeperException.NoNodeException.class, "multi",
                () -> client.zk.multi(List.of(
                        create(root + "/new"),
                        Op.setData(root + "/there", bytes("changed"), 0),
                        Op.delete(root + "/no", -1),
                        create(root + "/there"),
                        Op.check(root, 0))));
        equal(List.of(Code.OK, Code.OK, Code.NONODE, Code.RUNTIMEINCONSISTENCY, Code.RUNTIMEINCONSISTENCY),
                codes(thrown.getResults()), "codes");
        equal(List.of("there"), client.children(root), "children");
        equal(0, client.stat(root + "/there").getVersion(), "version");
        equal(before, client.stat(root), "Stat of the parent");
    }

    private static void everyFailure(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String root = scope.root();
        client.create(root + "/full");
        client.create(root + "/full/child");
        client.create(root + "/brief", CreateMode.EPHEMERAL);
        List<Op> bad = List.of(
                create(root + "/full"),
                create(root + "/no/child"),
                create(root + "/brief/child"),
                Op.create(root + "/acl", null, Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT),
                Op.delete(root + "/full", -1),
                Op.delete(root + "/full", 3),
                Op.delete(root + "/no", -1),
                Op.setData(root + "/full", null, 3),
                Op.setData(root + "/no", null, -1),
                Op.check(root + "/full", 3),
                Op.check(root + "/no", -1),
                Op.delete("/zookeeper/quota", -1));
        List<Code> expected = List.of(Code.NODEEXISTS, Code.NONODE, Code.NOCHILDRENFOREPHEMERALS, Code.INVALIDACL,
                Code.NOTEMPTY, Code.BADVERSION, Code.NONODE, Code.BADVERSION, Code.NONODE, Code.BADVERSION,
                Code.NONODE, Code.BADARGUMENTS);
        for (int index = 0; index < bad.size(); index++) {
            Op op = bad.get(index);
            try {
                client.zk.multi(List.of(create(root + "/fine"), op, Op.check(root, -1)));
                throw new AssertionError("operation " + index + " succeeded");
            } catch (KeeperException thrown) {
                equal(expected.get(index), thrown.code(), "code of operation " + index);
                equal(List.of(Code.OK, expected.get(index), Code.RUNTIMEINCONSISTENCY), codes(thrown.getResults()),
                        "codes with operation " + index);
            }
        }
        equal(List.of("brief", "full"), client.children(root), "children");
    }

    private static void sequenceRollback(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String root = scope.root();
        throwing(KeeperException.BadVersionException.class, "multi", () -> client.zk.multi(List.of(
                create(root + "/s", CreateMode.PERSISTENT_SEQUENTIAL),
                create(root + "/s", CreateMode.PERSISTENT_SEQUENTIAL),
                Op.check(root, 9))));
        equal(root + "/s0000000000", client.create(root + "/s", CreateMode.PERSISTENT_SEQUENTIAL), "first number");
    }

    private static void oneZxid(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String root = scope.root();
        client.zk.multi(List.of(create(root + "/a"), create(root + "/b"), Op.setData(root, bytes("x"), -1)));
        Stat first = client.stat(root + "/a");
        Stat second = client.stat(root + "/b");
        Stat parent = client.stat(root);
        equal(first.getCzxid(), second.getCzxid(), "czxid of the second");
        equal(first.getCtime(), second.getCtime(), "ctime of the second");
        equal(first.getCzxid(), parent.getMzxid(), "mzxid of the parent");
        equal(first.getCzxid(), parent.getPzxid(), "pzxid of the parent");
        equal(first.getCtime(), parent.getMtime(), "mtime of the parent");
    }

    private static void watches(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String root = scope.root();
        Client watcher = Client.connect(scope);
        Events events = new Events();
        watcher.zk.addWatch(root, events, AddWatchMode.PERSISTENT_RECURSIVE);
        client.zk.multi(List.of(create(root + "/b"), create(root + "/a"), Op.setData(root + "/b", null, 0),
                Op.delete(root + "/a", 0), Op.setData(root, null, 0)));
        long zxid = client.stat(root).getMzxid();
        events.expect(EventType.NodeCreated, root + "/b", zxid);
        events.expect(EventType.NodeCreated, root + "/a", zxid);
        events.expect(EventType.NodeDataChanged, root + "/b", zxid);
        events.expect(EventType.NodeDeleted, root + "/a", zxid);
        events.expect(EventType.NodeDataChanged, root, zxid);
        try {
            client.zk.multi(List.of(create(root + "/c"), Op.check(root, 99)));
        } catch (KeeperException.BadVersionException expected) {
            // A failed multi is no event.
        }
        watcher.zk.sync(root);
        watcher.fence();
        events.none();
    }

    private static void async(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String root = scope.root();
        CompletableFuture<List<OpResult>> good = new CompletableFuture<>();
        client.zk.multi(List.of(create(root + "/a"), Op.check(root + "/a", 0)), (rc, path, context, results) -> {
            equal("context", context, "context");
            good.complete(rc == 0 ? results : null);
        }, "context");
        equal(root + "/a", ((OpResult.CreateResult) get(good).get(0)).getPath(), "path");
        CompletableFuture<Integer> code = new CompletableFuture<>();
        CompletableFuture<List<OpResult>> bad = new CompletableFuture<>();
        client.zk.multi(List.of(create(root + "/b"), create(root + "/a"), create(root + "/c")),
                (rc, path, context, results) -> {
                    code.complete(rc);
                    bad.complete(results);
                }, null);
        equal(Code.NODEEXISTS, Code.get(get(code)), "code");
        equal(List.of(Code.OK, Code.NODEEXISTS, Code.RUNTIMEINCONSISTENCY), codes(get(bad)), "codes");
        equal(List.of("a"), client.children(root), "children");
    }

    private static void builder(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String root = scope.root();
        List<OpResult> results = client.zk.transaction()
                .create(root + "/a", bytes("1"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT)
                .setData(root + "/a", bytes("22"), 0)
                .check(root + "/a", 1)
                .delete(root + "/a", 1)
                .commit();
        equal(4, results.size(), "number of results");
        equal(2, ((OpResult.SetDataResult) results.get(1)).getStat().getDataLength(), "length");
        equal(List.of(), client.children(root), "children");
    }

    private static void acl(Scope scope) throws Exception {
        Client owner = Client.atRoot(scope);
        owner.zk.addAuthInfo("digest", bytes("bob:secret"));
        String closed = scope.root() + "/closed";
        owner.zk.create(closed, null, Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
        Client stranger = Client.connect(scope);
        for (Op op : List.of(create(closed + "/x"), Op.setData(closed, null, -1), Op.check(closed, -1),
                Op.delete(closed + "/x", -1))) {
            KeeperException.NoAuthException thrown = throwing(KeeperException.NoAuthException.class,
                    "operation " + op.getType(), () -> stranger.zk.multi(List.of(Op.check(scope.root(), 0), op)));
            equal(List.of(Code.OK, Code.NOAUTH), codes(thrown.getResults()), "codes");
        }
        owner.zk.multi(List.of(create(closed + "/x"), Op.setData(closed, null, -1), Op.check(closed, -1),
                Op.delete(closed + "/x", -1)));
    }

    private static void large(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        List<Op> ops = new ArrayList<>();
        for (int number = 0; number < 1_000; number++) {
            ops.add(Op.create(scope.root() + "/n", new byte[100], Ids.OPEN_ACL_UNSAFE,
                    CreateMode.PERSISTENT_SEQUENTIAL));
        }
        List<OpResult> results = client.zk.multi(ops);
        equal(1_000, results.size(), "number of results");
        equal(scope.root() + "/n0000000999", ((OpResult.CreateResult) results.get(999)).getPath(), "the last path");
        equal(1_000, client.stat(scope.root()).getNumChildren(), "children");
    }

    private static void atomic(Scope scope) throws Exception {
        Client writer = Client.atRoot(scope);
        String left = scope.root() + "/left";
        String right = scope.root() + "/right";
        writer.create(left);
        writer.create(right);
        Client reader = Client.connect(scope);
        AtomicBoolean running = new AtomicBoolean(true);
        Threads.together(2, number -> {
            if (number == 0) {
                for (int count = 0; count < 200; count++) {
                    writer.zk.multi(List.of(Op.setData(left, bytes("v" + count), count),
                            Op.setData(right, bytes("v" + count), count)));
                }
                running.set(false);
                return;
            }
            while (running.get()) {
                List<OpResult> pair = reader.zk.multi(List.of(Op.getData(left), Op.getData(right)));
                equal(((OpResult.GetDataResult) pair.get(0)).getData(),
                        ((OpResult.GetDataResult) pair.get(1)).getData(), "the right side");
            }
        });
        equal(200, reader.stat(left).getVersion(), "version");
    }

    private static void read(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String root = scope.root();
        client.create(root + "/a");
        client.create(root + "/b");
        client.zk.setData(root + "/b", null, -1);
        List<OpResult> results = client.zk.multi(List.of(Op.getData(root + "/a"), Op.getChildren(root),
                Op.getData(root + "/b"), Op.getChildren(root + "/a")));
        equal(4, results.size(), "number of results");
        OpResult.GetDataResult data = (OpResult.GetDataResult) results.get(0);
        equal(bytes("data"), data.getData(), "data");
        equal(client.stat(root + "/a"), data.getStat(), "Stat");
        equal(Set.of("a", "b"), Set.copyOf(((OpResult.GetChildrenResult) results.get(1)).getChildren()), "children");
        equal(null, ((OpResult.GetDataResult) results.get(2)).getData(), "null data");
        equal(List.of(), ((OpResult.GetChildrenResult) results.get(3)).getChildren(), "no children");
    }

    private static void readFailures(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String root = scope.root();
        client.zk.create(root + "/closed", null, Collections.singletonList(new ACL(16, Ids.ANYONE_ID_UNSAFE)),
                CreateMode.PERSISTENT);
        List<OpResult> results = client.zk.multi(List.of(Op.getData(root + "/no"), Op.getData(root),
                Op.getChildren(root + "/closed"), Op.getChildren(root + "/no"), Op.getData(root)));
        equal(Code.NONODE.intValue(), ((OpResult.ErrorResult) results.get(0)).getErr(), "first");
        equal(bytes("data"), ((OpResult.GetDataResult) results.get(1)).getData(), "second");
        equal(Code.NOAUTH.intValue(), ((OpResult.ErrorResult) results.get(2)).getErr(), "third");
        equal(Code.NONODE.intValue(), ((OpResult.ErrorResult) results.get(3)).getErr(), "fourth");
        equal(bytes("data"), ((OpResult.GetDataResult) results.get(4)).getData(), "fifth");
    }

    private static void mixed(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        throwing(IllegalArgumentException.class, "a read among writes", () -> client.zk.multi(
                List.of(Op.check(scope.root(), -1), Op.getData(scope.root()))));
    }
}
