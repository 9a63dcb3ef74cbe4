import java.io.File;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/**
 * One Kafka broker in a process of its own, with its configuration, log directory and log file.
 *
 * <p>It keeps its id, port and data over a restart, and it never outlives the suite.
 */
final class Broker {
    final int id;
    final int port;
    final Path log;
    private final Path config;
    private Process process;

    Broker(Path work, String name, int id, String keepers, int sessionMillis) throws IOException {
        this.id = id;
        port = freePort();
        log = work.resolve(name + ".log");
        config = work.resolve(name + ".properties");
        Files.write(config, List.of(
            "broker.id=" + id,
            "listeners=PLAINTEXT://127.0.0.1:" + port,
            "log.dirs=" + work.resolve(name + "-data"),
            "zookeeper.connect=" + keepers,
            "zookeeper.session.timeout.ms=" + sessionMillis,
            "zookeeper.connection.timeout.ms=18000",
            "authorizer.class.name=kafka.security.authorizer.AclAuthorizer",
            "allow.everyone.if.no.acl.found=true",
            "super.users=User:ANONYMOUS",
            "auto.create.topics.enable=false",
            // A leader moves when a check asks for it, not when a timer says so.
            "auto.leader.rebalance.enable=false",
            // The last broker has nobody to hand its partitions to: it should not insist for long.
            "controlled.shutdown.retry.backoff.ms=500",
            "offsets.topic.replication.factor=1",
            "offsets.topic.num.partitions=4",
            "transaction.state.log.replication.factor=1",
            "transaction.state.log.min.isr=1",
            "transaction.state.log.num.partitions=4",
            "group.initial.rebalance.delay.ms=0",
            "num.network.threads=2",
            "num.io.threads=4",
            "log.cleaner.dedupe.buffer.size=4194304"));
        Runtime.getRuntime().addShutdownHook(new Thread(this::kill));
    }

    String address() {
        return "127.0.0.1:" + port;
    }

    void start() throws IOException {
        process = Java.process("-Xmx400m", "log4j.properties", "kafka.Kafka", config.toString())
            .redirectErrorStream(true)
            .redirectInput(new File("/dev/null"))
            .redirectOutput(ProcessBuilder.Redirect.appendTo(log.toFile()))
            .start();
    }

    /** Waits until the broker says itself that it has started, which it does after its registration. */
    void awaitStarted(int startsSoFar, int seconds) throws InterruptedException {
        Report.await(seconds, "broker " + id + " says that it has started", () -> {
            Report.isTrue(process.isAlive(), "broker " + id + " ended while it started: " + lastError());
            try (Stream<String> lines = Files.lines(log)) {
                return lines.filter(line -> line.endsWith("[KafkaServer id=" + id + "] started")).count() >= startsSoFar;
            }
        });
    }

    /** The clean stop: the broker hands its partitions over, closes its session and ends. */
    void stop(int seconds) throws InterruptedException {
        process.destroy();
        Report.isTrue(process.waitFor(seconds, TimeUnit.SECONDS), "broker " + id + " did not stop in " + seconds + " s");
        // 143 is how a JVM ends that was asked to by SIGTERM and ran its shutdown in full.
        Report.same(143, process.exitValue(), "exit code of broker " + id);
    }

    /** The power cut. Also what ends a broker that is frozen. */
    void kill() {
        if (process != null) {
            process.destroyForcibly();
        }
    }

    void freeze() throws IOException, InterruptedException {
        signal("-STOP");
    }

    void thaw() throws IOException, InterruptedException {
        signal("-CONT");
    }

    private void signal(String name) throws IOException, InterruptedException {
        Process sent = new ProcessBuilder("kill", name, Long.toString(process.pid())).inheritIO().start();
        Report.same(0, sent.waitFor(), "exit code of kill " + name);
    }

    private String lastError() {
        String last = "its log has no error";
        try {
            for (String line : Files.readAllLines(log)) {
                if (line.contains(" ERROR ") || line.contains(" FATAL ") || line.contains("Exception: ")) {
                    last = line;
                }
            }
        } catch (IOException unreadable) {
            return unreadable.toString();
        }
        return last;
    }

    /** A port below the ranges of the kernel and of the harness, so that it stays free while the broker is down. */
    private static int freePort() throws IOException {
        for (int attempt = 0; attempt < 100; attempt++) {
            int port = ThreadLocalRandom.current().nextInt(12_000, 20_000);
            try (ServerSocket probe = new ServerSocket(port, 1, InetAddress.getLoopbackAddress())) {
                return probe.getLocalPort();
            } catch (IOException taken) {
                continue;
            }
        }
        throw new IOException("found no free port in 100 attempts");
    }
}
