package quoll.compat.javaclient;

import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import quoll.compat.Verify;

/** A watcher that keeps what it is told: events of nodes in one queue, changes of the connection in another. */
final class Events implements Watcher {
    private final BlockingQueue<WatchedEvent> nodes = new LinkedBlockingQueue<>();
    private final BlockingQueue<WatchedEvent> states = new LinkedBlockingQueue<>();

    @Override
    public void process(WatchedEvent event) {
        (event.getType() == EventType.None ? states : nodes).add(event);
    }

    /** The next event of a node, which must be this one. */
    WatchedEvent expect(EventType type, String path) throws InterruptedException {
        WatchedEvent event = nodes.poll(Verify.PATIENCE_MS, TimeUnit.MILLISECONDS);
        Verify.that(event != null, "no event came, expected " + type + " " + path);
        Verify.equal(type + " " + path, event.getType() + " " + event.getPath(), "the event");
        Verify.equal(KeeperState.SyncConnected, event.getState(), "state in the event");
        return event;
    }

    /** Like {@link #expect}, and the event names the transaction that caused it. */
    void expect(EventType type, String path, long zxid) throws InterruptedException {
        Verify.equal(zxid, expect(type, path).getZxid(), "zxid in " + type + " " + path);
    }

    /** Nothing has been delivered. Says something only after a {@link Client#fence()}. */
    void none() {
        Verify.that(nodes.isEmpty(), "an event came that should not: " + nodes.peek());
    }

    /** Waits until the connection says this; earlier changes are forgotten. */
    void state(KeeperState wanted) throws InterruptedException {
        long deadline = System.nanoTime() + Verify.PATIENCE_MS * 1_000_000;
        while (true) {
            WatchedEvent event = states.poll(Math.max(0, deadline - System.nanoTime()), TimeUnit.NANOSECONDS);
            Verify.that(event != null, "the connection never became " + wanted);
            if (event.getState() == wanted) {
                return;
            }
        }
    }

    int size() {
        return nodes.size();
    }

    WatchedEvent poll() {
        return nodes.poll();
    }
}
