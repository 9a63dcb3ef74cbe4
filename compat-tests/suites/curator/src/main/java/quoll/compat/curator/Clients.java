package quoll.compat.curator;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.retry.RetryForever;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooKeeper;
import quoll.compat.Relay;
import quoll.compat.Scope;
import quoll.compat.Verify;

/** Curator clients as the checks use them: each its own session, closed with the check. */
final class Clients {
    /** Long enough that no session ends by accident on a loaded machine. */
    private static final int SESSION_MS = 20_000;

    private static final int CONNECTION_MS = 10_000;
    private static final int RETRY_MS = 100;

    private Clients() {}

    static CuratorFrameworkFactory.Builder builder(String connect) {
        return CuratorFrameworkFactory.builder()
                .connectString(connect)
                .sessionTimeoutMs(SESSION_MS)
                .connectionTimeoutMs(CONNECTION_MS)
                .retryPolicy(new RetryForever(RETRY_MS));
    }

    static CuratorFramework start(Scope scope, CuratorFrameworkFactory.Builder builder) throws Exception {
        CuratorFramework client = scope.own(builder.build());
        client.start();
        Verify.that(client.blockUntilConnected(20, TimeUnit.SECONDS), "a client connects");
        return client;
    }

    static CuratorFramework connect(Scope scope) throws Exception {
        return start(scope, builder(scope.connect()));
    }

    static List<CuratorFramework> connect(Scope scope, int count) throws Exception {
        List<CuratorFramework> clients = new ArrayList<>();
        for (int number = 0; number < count; number++) {
            clients.add(connect(scope));
        }
        return clients;
    }

    /** A client whose network and session can be taken away. */
    record Fragile(CuratorFramework client, Relay relay, String server) {
        /** Ends the session on the server, as an administrator or a long absence would. */
        void killSession() throws Exception {
            ZooKeeper victim = client.getZookeeperClient().getZooKeeper();
            // Without this the client might take its session back before it is closed.
            relay.admitNoMore();
            CountDownLatch connected = new CountDownLatch(1);
            try (ZooKeeper killer = new ZooKeeper(server, SESSION_MS, event -> {
                if (event.getState() == KeeperState.SyncConnected) {
                    connected.countDown();
                }
            }, victim.getSessionId(), victim.getSessionPasswd().clone())) {
                Verify.that(connected.await(20, TimeUnit.SECONDS), "the session is taken over");
            }
            relay.heal();
        }

        long session() throws Exception {
            return client.getZookeeperClient().getZooKeeper().getSessionId();
        }
    }

    static Fragile fragile(Scope scope) throws Exception {
        Relay relay = scope.relay();
        return new Fragile(start(scope, builder(relay.connect())), relay, scope.connect());
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static String text(byte[] data) {
        return data == null ? null : new String(data, StandardCharsets.UTF_8);
    }

    static List<String> children(CuratorFramework client, String path) throws Exception {
        return client.getChildren().forPath(path).stream().sorted().toList();
    }

    /** Work on a thread of its own; locks belong to threads. */
    @FunctionalInterface
    interface Work<T> {
        T run() throws Exception;
    }

    static <T> CompletableFuture<T> async(Work<T> work) {
        CompletableFuture<T> result = new CompletableFuture<>();
        Thread thread = new Thread(() -> {
            try {
                result.complete(work.run());
            } catch (Throwable thrown) {
                result.completeExceptionally(thrown);
            }
        });
        thread.setDaemon(true);
        thread.start();
        return result;
    }

    static <T> T get(CompletableFuture<T> future) throws Exception {
        return future.get(Verify.PATIENCE_MS, TimeUnit.MILLISECONDS);
    }

    /** Work for each client at the same time; the first thing that goes wrong is thrown. */
    @FunctionalInterface
    interface Each {
        void run(CuratorFramework client, int number) throws Exception;
    }

    static void together(List<CuratorFramework> clients, Each work) throws Exception {
        List<CompletableFuture<Void>> all = new ArrayList<>();
        for (int number = 0; number < clients.size(); number++) {
            int mine = number;
            all.add(async(() -> {
                work.run(clients.get(mine), mine);
                return null;
            }));
        }
        for (CompletableFuture<Void> each : all) {
            get(each);
        }
    }
}
