package quoll.compat;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/**
 * A TCP relay between a client and the server, so that a check can play a broken network.
 *
 * <p>It is not a protocol mock: bytes pass unchanged. While it is closed, a connection is accepted and dropped at
 * once, which a client sees as a server that is not there.
 */
public final class Relay implements AutoCloseable {
    private final ServerSocket listener;
    private final InetSocketAddress target;
    private final Set<Socket> open = ConcurrentHashMap.newKeySet();
    private volatile boolean admitting = true;
    private volatile boolean swallowing = false;

    Relay(String host, int port) throws IOException {
        target = new InetSocketAddress(host, port);
        listener = new ServerSocket(0, 50, InetAddress.getByName("127.0.0.1"));
        spawn(this::accept);
    }

    /** What a client connects to. */
    public String connect() {
        return "127.0.0.1:" + listener.getLocalPort();
    }

    /** Lets running connections live but takes no new one. */
    public void admitNoMore() {
        admitting = false;
    }

    /** The server still hears the client, but its answers get lost; {@link #cut} ends that. */
    public void swallowReplies() {
        swallowing = true;
    }

    /** Drops every connection and takes no new one. */
    public void cut() {
        admitting = false;
        dropAll();
        swallowing = false;
    }

    /** Takes connections again. */
    public void heal() {
        admitting = true;
    }

    private void dropAll() {
        open.forEach(Relay::closeQuietly);
        open.clear();
    }

    private void accept() {
        while (!listener.isClosed()) {
            try {
                Socket near = listener.accept();
                if (!admitting) {
                    closeQuietly(near);
                    continue;
                }
                Socket far = new Socket();
                try {
                    far.connect(target, 5_000);
                } catch (IOException refused) {
                    closeQuietly(near);
                    closeQuietly(far);
                    continue;
                }
                near.setTcpNoDelay(true);
                far.setTcpNoDelay(true);
                open.add(near);
                open.add(far);
                if (!admitting) {
                    dropAll();
                }
                spawn(() -> copy(near, far, false));
                spawn(() -> copy(far, near, true));
            } catch (IOException closed) {
                // Either the listener was closed, which ends the loop, or one client went away.
            }
        }
    }

    private void copy(Socket from, Socket to, boolean replies) {
        byte[] buffer = new byte[64 * 1024];
        try {
            InputStream in = from.getInputStream();
            OutputStream out = to.getOutputStream();
            for (int count = in.read(buffer); count >= 0; count = in.read(buffer)) {
                if (!(replies && swallowing)) {
                    out.write(buffer, 0, count);
                }
            }
        } catch (IOException gone) {
            // One side ended; both are closed below.
        }
        closeQuietly(from);
        closeQuietly(to);
        open.remove(from);
        open.remove(to);
    }

    private static void spawn(Runnable work) {
        Thread thread = new Thread(work, "relay");
        thread.setDaemon(true);
        thread.start();
    }

    private static void closeQuietly(Socket socket) {
        try {
            socket.close();
        } catch (IOException ignored) {
            // Closing twice is harmless.
        }
    }

    @Override
    public void close() throws IOException {
        listener.close();
        cut();
    }
}
