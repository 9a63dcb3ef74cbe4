package quoll.compat;

import java.io.IOException;
import java.util.ArrayDeque;
import java.util.Collections;
import java.util.Deque;

/**
 * What one check may use: a path of its own, the server, and a list of things that are closed when it ends.
 *
 * <p>Invariant: two checks never share a path below {@link #root()}, so they can run side by side.
 */
public final class Scope implements AutoCloseable {
    private final String root;
    private final Environment environment;
    private final Deque<AutoCloseable> owned = new ArrayDeque<>();

    Scope(String name, Environment environment) {
        this.root = "/" + name.replaceAll("[^A-Za-z0-9]+", "-");
        this.environment = environment;
    }

    /** The path that belongs to this check; it does not exist yet. */
    public String root() {
        return root;
    }

    public Environment environment() {
        return environment;
    }

    public String connect() {
        return environment.connect();
    }

    /**
     * The same server named several times, for clients that live through a restart of it.
     *
     * <p>The reference may leave a connection open and mute when it arrives in the first moment of its start. A client
     * waits for an answer as long as its session timeout divided by the number of servers it knows: with one name it
     * would wait until its session is gone.
     */
    public String connectThroughRestarts() {
        return String.join(",", Collections.nCopies(5, connect()));
    }

    /** Closes {@code thing} when the check ends, in reverse order of registration. */
    public <T extends AutoCloseable> T own(T thing) {
        synchronized (owned) {
            owned.push(thing);
        }
        return thing;
    }

    /** A relay to the server that the check can cut. */
    public Relay relay() throws IOException {
        return own(new Relay(environment.host(), environment.port()));
    }

    @Override
    public void close() {
        while (true) {
            AutoCloseable next;
            synchronized (owned) {
                next = owned.poll();
            }
            if (next == null) {
                return;
            }
            try {
                next.close();
            } catch (Exception ignored) {
                // The verdict is already known; a client that was closed by the check itself may complain here.
            }
        }
    }
}
