import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.ZooDefs;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.Stat;

/**
 * The server under test as the suite sees it: its znodes, read through a session of its own, and its power switch.
 *
 * <p>A read outlives a restart of the server: it is tried again while the connection is away.
 */
final class Keeper {
    final String address;
    private final String control;
    private final ZooKeeper client;

    Keeper(String address, String control) throws IOException {
        this.address = address;
        this.control = control;
        client = new ZooKeeper(address, 30_000, event -> { });
    }

    boolean exists(String path) throws Exception {
        return stat(path) != null;
    }

    Stat stat(String path) throws Exception {
        return patiently(() -> client.exists(path, false));
    }

    String text(String path) throws Exception {
        byte[] data = patiently(() -> client.getData(path, false, null));
        return data == null ? "" : new String(data, StandardCharsets.UTF_8);
    }

    List<String> children(String path) throws Exception {
        return patiently(() -> client.getChildren(path, false));
    }

    void create(String path, String text) throws Exception {
        byte[] data = text.getBytes(StandardCharsets.UTF_8);
        client.create(path, data, ZooDefs.Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
    }

    int controllerEpoch() throws Exception {
        return Integer.parseInt(text("/controller_epoch"));
    }

    /** The id of the broker that is the controller, or -1 while there is none. */
    int controller() throws Exception {
        try {
            return Json.number(text("/controller"), "brokerid");
        } catch (KeeperException.NoNodeException none) {
            return -1;
        }
    }

    /** Sends the server one of start, stop, kill and restart; when this returns, it has been done. */
    void power(String command, File log) throws IOException, InterruptedException {
        Process process = new ProcessBuilder(control, command)
            .redirectErrorStream(true)
            .redirectInput(new File("/dev/null"))
            .redirectOutput(ProcessBuilder.Redirect.appendTo(log))
            .start();
        boolean ended = process.waitFor(30, TimeUnit.SECONDS);
        if (!ended) {
            process.destroyForcibly();
        }
        Report.isTrue(ended && process.exitValue() == 0, "the server did not obey: " + command);
    }

    void close() throws InterruptedException {
        client.close();
    }

    private static <T> T patiently(Callable<T> read) throws Exception {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(15);
        while (true) {
            try {
                return read.call();
            } catch (KeeperException.ConnectionLossException away) {
                if (System.nanoTime() > end) {
                    throw away;
                }
                Thread.sleep(50);
            }
        }
    }
}
