import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewPartitionReassignment;
import org.apache.kafka.common.TopicPartition;
import org.apache.zookeeper.data.Stat;

/** A second broker with a short session timeout: hand-over, fencing, expiry; and a broker under a chroot. */
final class TwoBrokers {
    /** The broker's session timeout: short, so that its end can be waited for. */
    private static final int SESSION_MILLIS = 6_000;
    /** Within this an expired session is found: the timeout, a tick of rounding, and slack for a busy machine. */
    private static final int EXPIRY_SECONDS = 15;

    private final KafkaSuite suite;
    private final Keeper keeper;
    private final Broker first;
    private Broker second;
    private Broker rooted;
    private Admin secondAdmin;

    TwoBrokers(KafkaSuite suite) {
        this.suite = suite;
        keeper = suite.keeper;
        first = suite.first;
    }

    void run() throws Exception {
        second = new Broker(suite.work, "broker-1", 1, keeper.address, SESSION_MILLIS);
        rooted = new Broker(suite.work, "broker-rooted", 7, keeper.address + "/deep/kafka", 18_000);
        Report report = suite.report;
        String joins = "a second broker joins and replicates";
        String handsOver = "a stopped controller hands over to the other broker";
        String returns = "a restarted broker takes its replicas back";
        String fences = "a frozen controller is replaced when its session expires";
        String thaws = "a broker that lost its session registers anew";
        report.check(joins, 60, this::joins, KafkaSuite.FLOWS);
        report.check("partitions are moved to the second broker", 40, this::reassigns, joins);
        report.check(handsOver, 40, this::handsOver, joins);
        report.check("messages flow through the broker that is left", 30, () -> flow(second, 100, 200), handsOver);
        report.check(returns, 60, this::returns, handsOver);
        report.check("a znode asks the controller for the preferred leaders", 30, this::preferredLeaders, returns);
        // The broker under the chroot starts while the next checks wait for a session to expire.
        rooted.start();
        report.check(fences, 40, this::fences, returns);
        report.check(thaws, 40, this::thaws, fences);
        report.check("a broker under a chroot keeps to its own tree", 60, this::chroot, KafkaSuite.REGISTERS);
        report.check("a killed broker is registered until its session expires", 40, this::expires, thaws);
        report.check("a restarted broker leads with a higher controller epoch", 60, this::leadsAgain, thaws);
    }

    private void joins() throws Exception {
        second.start();
        second.awaitStarted(1, 50);
        secondAdmin = Topics.admin(second.address());
        Report.same(Set.of("0", "1"), Set.copyOf(keeper.children("/brokers/ids")), "registered brokers");
        Report.same(0, keeper.controller(), "controller");
        // Broker epochs are the zxids of the registrations: later is greater.
        Report.isTrue(keeper.stat("/brokers/ids/1").getCzxid() > keeper.stat("/brokers/ids/0").getCzxid(),
            "the second broker's epoch is not the greater one");
        Topics.create(suite.admin, "pair", 2, List.of(0, 1));
        Report.await(15, "both brokers are in sync", () -> Topics.stands(suite.admin, "pair", 0, Set.of(0, 1)));
        flow(first, 0, 100);
    }

    private void reassigns() throws Exception {
        Topics.create(suite.admin, "moving", 1, List.of(0));
        Traffic.send(first.address(), "moving", 0, 100);
        Topics.done(suite.admin.alterPartitionReassignments(Map.of(new TopicPartition("moving", 0),
            Optional.of(new NewPartitionReassignment(List.of(1))))).all());
        Report.await(20, "the partition has moved", () ->
            Topics.done(suite.admin.listPartitionReassignments().reassignments()).isEmpty()
                && Topics.stands(suite.admin, "moving", 1, Set.of(1)));
        Report.same("[1]", Json.at(keeper.text("/brokers/topics/moving"), "partitions", "0").toString(),
            "replicas in the znode");
        Traffic.expect(second.address(), "moving", "movers", 0, 100);
    }

    private void handsOver() throws Exception {
        int epoch = keeper.controllerEpoch();
        first.stop(30);
        Report.same(List.of("1"), keeper.children("/brokers/ids"), "brokers registered after a clean stop");
        Report.await(10, "broker 1 is the controller", () -> keeper.controller() == 1);
        Report.same(epoch + 1, keeper.controllerEpoch(), "controller epoch");
        Report.await(10, "broker 1 leads every partition", () -> Topics.stands(secondAdmin, "pair", 1, Set.of(1)));
    }

    private void returns() throws Exception {
        first.start();
        first.awaitStarted(2, 50);
        Report.await(20, "both brokers are in sync", () -> Topics.stands(secondAdmin, "pair", 1, Set.of(0, 1)));
        Report.same(1, keeper.controller(), "controller");
    }

    private void preferredLeaders() throws Exception {
        keeper.create("/admin/preferred_replica_election", "{\"version\":1,\"partitions\":["
            + "{\"topic\":\"pair\",\"partition\":0},{\"topic\":\"pair\",\"partition\":1}]}");
        Report.await(15, "the controller has taken the order", () -> !keeper.exists("/admin/preferred_replica_election"));
        Report.await(10, "broker 0 leads every partition", () -> Topics.stands(secondAdmin, "pair", 0, Set.of(0, 1)));
    }

    private void fences() throws Exception {
        int epoch = keeper.controllerEpoch();
        second.freeze();
        Report.await(EXPIRY_SECONDS, "the frozen broker's registration is gone", () -> !keeper.exists("/brokers/ids/1"));
        Report.await(10, "broker 0 is the controller", () -> keeper.controller() == 0);
        Report.same(epoch + 1, keeper.controllerEpoch(), "controller epoch");
        Report.await(15, "broker 0 is alone in sync", () -> Topics.stands(suite.admin, "pair", 0, Set.of(0)));
    }

    private void thaws() throws Exception {
        second.thaw();
        Report.await(20, "the thawed broker is registered", () -> keeper.exists("/brokers/ids/1"));
        Report.same(0, keeper.controller(), "controller");
        Report.await(20, "both brokers are in sync", () -> Topics.stands(suite.admin, "pair", 0, Set.of(0, 1)));
        flow(first, 200, 300);
    }

    private void chroot() throws Exception {
        rooted.awaitStarted(1, 50);
        Report.same(List.of("7"), keeper.children("/deep/kafka/brokers/ids"), "brokers under the chroot");
        Report.isTrue(!keeper.children("/brokers/ids").contains("7"), "the broker is registered outside its chroot");
        try (Admin admin = Topics.admin(rooted.address())) {
            Topics.create(admin, "inner", 1, 1);
            Traffic.send(rooted.address(), "inner", 0, 50);
            Traffic.expect(rooted.address(), "inner", "readers", 0, 50);
        }
        Report.isTrue(keeper.exists("/deep/kafka/brokers/topics/inner"), "the topic is not under the chroot");
        Report.isTrue(!keeper.exists("/brokers/topics/inner"), "the topic is outside the chroot");
        String printed = suite.shell(keeper.address + "/deep/kafka", "ls /brokers/ids\nquit\n");
        Report.isTrue(printed.contains("\n[7]\n"), "zookeeper-shell under the chroot printed: " + printed);
        rooted.stop(20);
        Report.same(List.of(), keeper.children("/deep/kafka/brokers/ids"), "brokers after the clean stop");
    }

    private void expires() throws Exception {
        Stat registered = keeper.stat("/brokers/ids/1");
        second.kill();
        long killed = System.nanoTime();
        Report.await(EXPIRY_SECONDS, "the killed broker's registration is gone", () -> !keeper.exists("/brokers/ids/1"));
        long millis = (System.nanoTime() - killed) / 1_000_000;
        // An idle client is heard from at least every third of its timeout.
        Report.isTrue(millis > SESSION_MILLIS / 2, "a session of " + SESSION_MILLIS + " ms ended after " + millis + " ms");
        Report.isTrue(registered.getEphemeralOwner() != 0, "/brokers/ids/1 was not ephemeral");
        Report.await(15, "broker 0 is alone in sync", () -> Topics.stands(suite.admin, "pair", 0, Set.of(0)));
    }

    private void leadsAgain() throws Exception {
        int epoch = keeper.controllerEpoch();
        long session = keeper.stat("/brokers/ids/0").getEphemeralOwner();
        first.stop(30);
        Report.isTrue(!keeper.exists("/controller"), "/controller outlives the clean stop of its broker");
        first.start();
        first.awaitStarted(3, 50);
        Report.await(10, "broker 0 is the controller", () -> keeper.controller() == 0);
        Report.same(epoch + 1, keeper.controllerEpoch(), "controller epoch");
        Report.isTrue(keeper.stat("/brokers/ids/0").getEphemeralOwner() != session, "the session is the old one");
        Report.await(15, "broker 0 leads every partition", () -> Topics.stands(suite.admin, "pair", 0, Set.of(0)));
        flow(first, 300, 400);
    }

    /**
     * Adds the messages `from` to `to` - 1 to the replicated topic through this broker, and reads the topic in full.
     * It reads without a group, for the offsets of groups are kept on broker 0 alone.
     */
    private void flow(Broker through, int from, int to) throws Exception {
        Traffic.send(through.address(), "pair", from, to);
        Traffic.expect(through.address(), "pair", null, 0, to);
    }
}
