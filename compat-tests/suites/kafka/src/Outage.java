import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.zookeeper.data.Stat;

/** The server goes away and comes back within the broker's session timeout: the broker must not lose its place. */
final class Outage {
    private final KafkaSuite suite;
    private final Keeper keeper;
    /** The next message of the topic «events» to be sent and to be read. */
    private int next = 2100;

    Outage(KafkaSuite suite) {
        this.suite = suite;
        keeper = suite.keeper;
    }

    void run() {
        outage("a restart of the server", "stop");
        outage("a kill -9 of the server", "kill");
    }

    private void outage(String what, String down) {
        Report report = suite.report;
        String keeps = "the broker keeps its session over " + what;
        String topic = "after-" + down;
        report.check(keeps, 60, () -> keepsSession(down), KafkaSuite.FLOWS);
        report.check("a topic is created after " + what, 30, () -> {
            Topics.create(suite.admin, topic, 2, 1);
            Report.await(10, "every partition has a leader", () ->
                Topics.stands(suite.admin, topic, 0, Set.of(0)));
        }, keeps);
        report.check("messages flow after " + what, 40, () -> {
            flow(200);
            Traffic.send(suite.first.address(), topic, 0, 100);
            Traffic.expect(suite.first.address(), topic, "readers-" + down, 0, 100);
        }, "a topic is created after " + what);
        report.check("older topics, settings and sequences survived " + what, 20, this::remembers, keeps);
    }

    private void keepsSession(String down) throws Exception {
        Stat broker = keeper.stat("/brokers/ids/0");
        Stat controller = keeper.stat("/controller");
        int epoch = keeper.controllerEpoch();
        try (KafkaProducer<String, String> producer = Traffic.producer(suite.first.address(), null)) {
            flow(producer, 10);
            keeper.power(down, suite.controlLog);
            // Messages to topics that exist need no ZooKeeper.
            flow(producer, 100);
            keeper.power("start", suite.controlLog);
            flow(producer, 100);
        }
        same(broker, "/brokers/ids/0");
        same(controller, "/controller");
        // The broker has come back on its own session once it answers what it must ask the server for.
        Topics.create(suite.admin, "probe-" + down, 1, 1);
        same(broker, "/brokers/ids/0");
        same(controller, "/controller");
        Report.same(epoch, keeper.controllerEpoch(), "controller epoch");
        Report.same(0, keeper.controller(), "controller");
    }

    private void same(Stat before, String path) throws Exception {
        Stat after = keeper.stat(path);
        Report.isTrue(after != null, path + " is gone");
        Report.same(Long.toHexString(before.getEphemeralOwner()), Long.toHexString(after.getEphemeralOwner()),
            "session behind " + path);
        Report.same(before, after, "stat of " + path);
    }

    private void remembers() throws Exception {
        Report.isTrue(Topics.names(suite.admin).contains("events"), "the topic is gone");
        Report.same("7654321", Json.at(keeper.text("/config/topics/events"), "config", "retention.ms").asText(),
            "retention.ms in the znode");
        List<String> before = keeper.children("/config/changes");
        Topics.configure(suite.admin, new ConfigResource(
            ConfigResource.Type.TOPIC, "events"), "flush.ms", "60000");
        List<String> after = new ArrayList<>(keeper.children("/config/changes"));
        after.removeAll(before);
        Report.same(1, after.size(), "new notices");
        for (String older : before) {
            Report.isTrue(older.compareTo(after.get(0)) < 0, "notice " + after.get(0) + " comes after " + older);
        }
    }

    private void flow(int count) throws Exception {
        try (KafkaProducer<String, String> producer = Traffic.producer(suite.first.address(), null)) {
            flow(producer, count);
        }
    }

    private void flow(KafkaProducer<String, String> producer, int count) throws Exception {
        int from = next;
        next += count;
        Traffic.send(producer, "events", from, next);
        Traffic.expect(suite.first.address(), "events", "readers", from, next);
    }
}
