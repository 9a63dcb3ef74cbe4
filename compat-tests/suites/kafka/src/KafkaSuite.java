import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;

/**
 * Kafka in ZooKeeper mode on the server named by ZK_CONNECT: what a Kafka user sees, and what Kafka left in the znodes.
 *
 * <p>The checks tell a story and depend on their order: one broker is used, loses its server twice, gets a companion,
 * and takes over from it and hands over to it. The checks are the same for every server.
 */
public final class KafkaSuite {
    static final String REGISTERS = "a broker starts and registers itself";
    static final String CREATES = "a topic is created and described";
    static final String FLOWS = "2000 keyed messages are produced and consumed in order";

    /** The bound of a whole run, several times what one takes. */
    private static final int SUITE_SECONDS = 240;

    final Report report = new Report(SUITE_SECONDS);
    final Path work;
    final Keeper keeper;
    final Broker first;
    final File controlLog;
    Admin admin;

    private KafkaSuite(Path work, String address, String control) throws Exception {
        this.work = work;
        keeper = new Keeper(address, control);
        controlLog = work.resolve("control.log").toFile();
        first = new Broker(work, "broker-0", 0, address, 18_000);
    }

    /** Runs the suite; see the `run` script beside it for the environment. */
    public static void main(String[] arguments) throws Exception {
        Path work = Path.of(System.getenv("ZK_WORK")).toAbsolutePath();
        KafkaSuite suite = new KafkaSuite(work, System.getenv("ZK_CONNECT"), System.getenv("ZK_CTL"));
        boolean green = suite.runAll();
        System.out.flush();
        // The brokers that still run are ended by their shutdown hooks.
        System.exit(green ? 0 : 1);
    }

    private boolean runAll() throws Exception {
        new OneBroker(this).run();
        new Outage(this).run();
        new TwoBrokers(this).run();
        report.check("no broker met a reply it could not make sense of", 10, this::logsAreSane, REGISTERS);
        if (admin != null) {
            admin.close(Duration.ofSeconds(1));
        }
        keeper.close();
        return report.close();
    }

    /** What Kafka's own zookeeper-shell prints when it is given these lines. */
    String shell(String address, String lines) throws Exception {
        Path out = Files.createTempFile(work, "shell", ".txt");
        Path in = Files.writeString(Files.createTempFile(work, "shell", ".in"), lines);
        Process process = Java.process("-Xmx100m", "log4j-quiet.properties",
                "org.apache.zookeeper.ZooKeeperMainWithTlsSupportForKafka", "-server", address)
            .redirectErrorStream(true)
            .redirectInput(in.toFile())
            .redirectOutput(out.toFile())
            .start();
        try {
            Report.isTrue(process.waitFor(20, TimeUnit.SECONDS), "zookeeper-shell did not end: " + Files.readString(out));
        } finally {
            process.destroyForcibly();
        }
        return Files.readString(out);
    }

    /** These lines mean that a client library rejected bytes of the server, or that a broker met a wrong result. */
    private void logsAreSane() throws Exception {
        List<String> alarms = List.of("Xid out of order", "Packet len", "Unreasonable length", "MarshallingError",
            "Unimplemented", "APIError", "BadArguments", "InvalidACL", "DataInconsistency", "RuntimeInconsistency",
            "SystemError", "Uncaught exception", "Unexpected error", "IllegalStateException", "IllegalArgumentException");
        try (var logs = Files.newDirectoryStream(work, "broker-*.log")) {
            for (Path log : logs) {
                List<String> lines = Files.readAllLines(log);
                for (int i = 0; i < lines.size(); i++) {
                    String line = lines.get(i);
                    String cause = i + 1 < lines.size() ? lines.get(i + 1) : "";
                    // A controller that slept through its own succession still sends orders; being fenced is right.
                    if (line.contains("Unexpected error handling request") && cause.contains("ControllerMovedException")) {
                        continue;
                    }
                    for (String alarm : alarms) {
                        Report.isTrue(!line.contains(alarm),
                            log.getFileName() + " has: " + line.substring(0, Math.min(300, line.length())) + " | " + cause);
                    }
                }
            }
        }
    }
}
