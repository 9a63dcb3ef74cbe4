package quoll.compat.curator;

import static quoll.compat.Verify.equal;
import static quoll.compat.Verify.that;
import static quoll.compat.Verify.throwing;
import static quoll.compat.curator.Clients.bytes;
import static quoll.compat.curator.Clients.get;
import static quoll.compat.curator.Clients.text;

import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.api.CuratorEvent;
import org.apache.curator.framework.api.CuratorEventType;
import org.apache.curator.framework.api.transaction.CuratorOp;
import org.apache.curator.framework.api.transaction.CuratorTransactionResult;
import org.apache.curator.framework.api.transaction.OperationType;
import org.apache.curator.framework.api.transaction.TransactionOp;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.OpResult;
import quoll.compat.Scope;
import quoll.compat.Suite;

/** Several operations as one. */
final class TransactionChecks {
    private TransactionChecks() {}

    static void register(Suite suite) {
        suite.shared("transaction returns what each operation did", TransactionChecks::success);
        suite.shared("transaction that fails changes nothing", TransactionChecks::failure);
        suite.shared("transaction creates in every mode", TransactionChecks::modes);
        suite.shared("transaction in the background", TransactionChecks::background);
        suite.shared("transaction below a namespace", TransactionChecks::namespace);
        suite.shared("transaction with compressed data", TransactionChecks::compressed);
        suite.shared("older inTransaction form", TransactionChecks::older);
    }

    private static void success(Scope scope) throws Exception {
        CuratorFramework client = Clients.connect(scope);
        String root = scope.root();
        client.create().forPath(root, bytes("r"));
        TransactionOp ops = client.transactionOp();
        List<CuratorTransactionResult> results = client.transaction().forOperations(
                ops.check().withVersion(0).forPath(root),
                ops.create().forPath(root + "/a", bytes("1")),
                ops.setData().withVersion(0).forPath(root + "/a", bytes("22")),
                ops.create().withMode(CreateMode.PERSISTENT_SEQUENTIAL).forPath(root + "/s"),
                ops.create().forPath(root + "/b"),
                ops.delete().withVersion(0).forPath(root + "/b"));
        equal(List.of(OperationType.CHECK, OperationType.CREATE, OperationType.SET_DATA, OperationType.CREATE,
                OperationType.CREATE, OperationType.DELETE),
                results.stream().map(CuratorTransactionResult::getType).toList(), "types");
        equal(List.of(root, root + "/a", root + "/a", root + "/s", root + "/b", root + "/b"),
                results.stream().map(CuratorTransactionResult::getForPath).toList(), "paths");
        for (CuratorTransactionResult result : results) {
            equal(0, result.getError(), "error of " + result.getForPath());
        }
        equal(root + "/a", results.get(1).getResultPath(), "created path");
        equal(root + "/s0000000001", results.get(3).getResultPath(), "created sequential path");
        equal(1, results.get(2).getResultStat().getVersion(), "version in the result");
        equal(2, results.get(2).getResultStat().getDataLength(), "length in the result");
        equal(List.of("a", "s0000000001"), Clients.children(client, root), "children");
    }

    private static void failure(Scope scope) throws Exception {
        CuratorFramework client = Clients.connect(scope);
        String root = scope.root();
        client.create().forPath(root, bytes("r"));
        TransactionOp ops = client.transactionOp();
        KeeperException.BadVersionException thrown = throwing(KeeperException.BadVersionException.class, "transaction",
                () -> client.transaction().forOperations(
                        ops.create().forPath(root + "/a", bytes("1")),
                        ops.setData().withVersion(7).forPath(root, bytes("no")),
                        ops.create().forPath(root + "/b")));
        List<Integer> codes = thrown.getResults().stream()
                .map(result -> ((OpResult.ErrorResult) result).getErr()).toList();
        equal(List.of(0, Code.BADVERSION.intValue(), Code.RUNTIMEINCONSISTENCY.intValue()), codes, "codes");
        equal(List.of(), Clients.children(client, root), "children");
        equal("r", text(client.getData().forPath(root)), "data");
    }

    private static void modes(Scope scope) throws Exception {
        CuratorFramework client = Clients.connect(scope);
        String root = scope.root();
        client.create().forPath(root);
        TransactionOp ops = client.transactionOp();
        List<CuratorTransactionResult> results = client.transaction().forOperations(
                ops.create().withMode(CreateMode.EPHEMERAL).forPath(root + "/e"),
                ops.create().withMode(CreateMode.CONTAINER).forPath(root + "/c"),
                ops.create().withTtl(3_600_000).withMode(CreateMode.PERSISTENT_WITH_TTL).forPath(root + "/t"),
                ops.create().withMode(CreateMode.EPHEMERAL_SEQUENTIAL).forPath(root + "/es"));
        long session = client.getZookeeperClient().getZooKeeper().getSessionId();
        equal(session, client.checkExists().forPath(root + "/e").getEphemeralOwner(), "owner of the ephemeral");
        equal(0, client.checkExists().forPath(root + "/c").getEphemeralOwner(), "owner of the container");
        equal(0, client.checkExists().forPath(root + "/t").getEphemeralOwner(), "owner of the TTL node");
        equal(root + "/es0000000003", results.get(3).getResultPath(), "path of the sequential node");
    }

    private static CuratorEvent inBackground(CuratorFramework client, CuratorOp... ops) throws Exception {
        CompletableFuture<CuratorEvent> told = new CompletableFuture<>();
        client.transaction().inBackground((source, event) -> told.complete(event), "context").forOperations(ops);
        CuratorEvent event = get(told);
        equal(CuratorEventType.TRANSACTION, event.getType(), "type of the event");
        equal("context", event.getContext(), "context");
        return event;
    }

    private static void background(Scope scope) throws Exception {
        CuratorFramework client = Clients.connect(scope);
        String root = scope.root();
        client.create().forPath(root);
        TransactionOp ops = client.transactionOp();
        CuratorEvent good = inBackground(client, ops.create().forPath(root + "/a", bytes("1")),
                ops.check().forPath(root + "/a"));
        equal(Code.OK.intValue(), good.getResultCode(), "code");
        equal(root + "/a", good.getOpResults().get(0).getResultPath(), "path");
        CuratorEvent bad = inBackground(client, ops.create().forPath(root + "/b"), ops.delete().forPath(root + "/no"),
                ops.create().forPath(root + "/c"));
        equal(Code.NONODE.intValue(), bad.getResultCode(), "code");
        equal(List.of(0, Code.NONODE.intValue(), Code.RUNTIMEINCONSISTENCY.intValue()),
                bad.getOpResults().stream().map(CuratorTransactionResult::getError).toList(), "codes");
        equal(List.of("a"), Clients.children(client, root), "children");
    }

    private static void namespace(Scope scope) throws Exception {
        CuratorFramework plain = Clients.connect(scope);
        CuratorFramework client = plain.usingNamespace(scope.root().substring(1));
        TransactionOp ops = client.transactionOp();
        client.create().forPath("/there");
        List<CuratorTransactionResult> results = client.transaction().forOperations(
                ops.create().forPath("/a", bytes("1")), ops.delete().forPath("/there"));
        equal("/a", results.get(0).getResultPath(), "path without the namespace");
        equal(List.of("a"), Clients.children(plain, scope.root()), "children");
    }

    private static void compressed(Scope scope) throws Exception {
        CuratorFramework client = Clients.connect(scope);
        String text = "compressible ".repeat(200);
        TransactionOp ops = client.transactionOp();
        client.transaction().forOperations(ops.create().compressed().forPath(scope.root(), bytes(text)));
        that(client.getData().forPath(scope.root()).length < text.length() / 2, "the stored data is small");
        equal(text, text(client.getData().decompressed().forPath(scope.root())), "data");
    }

    @SuppressWarnings("deprecation")
    private static void older(Scope scope) throws Exception {
        CuratorFramework client = Clients.connect(scope);
        String root = scope.root();
        List<CuratorTransactionResult> results = List.copyOf(client.inTransaction()
                .create().forPath(root, bytes("1"))
                .and().create().forPath(root + "/a")
                .and().setData().forPath(root, bytes("2"))
                .and().delete().forPath(root + "/a")
                .and().commit());
        equal(4, results.size(), "results");
        equal("2", text(client.getData().forPath(root)), "data");
        throwing(KeeperException.NodeExistsException.class, "a second time",
                () -> client.inTransaction().create().forPath(root + "/b").and().create().forPath(root).and().commit());
        equal(List.of(), Clients.children(client, root), "children");
    }
}
