package quoll.compat.javaclient;

import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.client.ZKClientConfig;
import org.apache.zookeeper.data.Stat;
import quoll.compat.Scope;
import quoll.compat.Verify;

/** One connected handle of the Java client with the queue of its own events. */
final class Client implements AutoCloseable {
    /** Long enough that no session ends by accident on a loaded machine. */
    static final int LONG_SESSION = 30_000;

    final ZooKeeper zk;
    final Events events;

    Client(ZooKeeper zk, Events events) throws InterruptedException {
        this.zk = zk;
        this.events = events;
        events.state(KeeperState.SyncConnected);
    }

    static Client connect(Scope scope) throws Exception {
        return connect(scope, scope.connect(), LONG_SESSION);
    }

    static Client connect(Scope scope, String connect, int timeout) throws Exception {
        Events events = new Events();
        return scope.own(new Client(scope.own(new ZooKeeper(connect, timeout, events)), events));
    }

    static Client connect(Scope scope, ZKClientConfig config) throws Exception {
        Events events = new Events();
        ZooKeeper zk = scope.own(new ZooKeeper(scope.connect(), LONG_SESSION, events, config));
        return scope.own(new Client(zk, events));
    }

    /** A client whose own path exists already. */
    static Client atRoot(Scope scope) throws Exception {
        Client client = connect(scope);
        client.create(scope.root(), CreateMode.PERSISTENT);
        return client;
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    String create(String path, CreateMode mode) throws Exception {
        return zk.create(path, bytes("data"), Ids.OPEN_ACL_UNSAFE, mode);
    }

    String create(String path) throws Exception {
        return create(path, CreateMode.PERSISTENT);
    }

    Stat stat(String path) throws Exception {
        Stat stat = zk.exists(path, false);
        Verify.that(stat != null, path + " should exist");
        return stat;
    }

    List<String> children(String path) throws Exception {
        List<String> children = zk.getChildren(path, false);
        children.sort(null);
        return children;
    }

    /**
     * Returns when every event the server sent before now has been handed to its watcher: the callback of a read
     * travels behind them, on the wire and in the client's own queue.
     */
    void fence() throws Exception {
        CompletableFuture<Integer> done = new CompletableFuture<>();
        zk.exists("/", false, (rc, path, context, stat) -> done.complete(rc), null);
        Verify.equal(KeeperException.Code.OK.intValue(), get(done), "result of the fence");
    }

    /** The value of a callback, waited for with patience. */
    static <T> T get(CompletableFuture<T> future) throws Exception {
        return future.get(Verify.PATIENCE_MS, TimeUnit.MILLISECONDS);
    }

    @Override
    public void close() throws Exception {
        zk.close();
    }
}
