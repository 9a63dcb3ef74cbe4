import java.nio.file.Files;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.ScramCredentialInfo;
import org.apache.kafka.clients.admin.ScramMechanism;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.admin.UserScramCredentialDeletion;
import org.apache.kafka.clients.admin.UserScramCredentialUpsertion;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.quota.ClientQuotaAlteration;
import org.apache.kafka.common.quota.ClientQuotaEntity;
import org.apache.kafka.common.quota.ClientQuotaFilter;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;
import org.apache.zookeeper.data.Stat;

/** One broker on a server that stays up: every admin duty that Kafka keeps in znodes, and messages. */
final class OneBroker {
    private final KafkaSuite suite;
    private final Keeper keeper;

    OneBroker(KafkaSuite suite) {
        this.suite = suite;
        keeper = suite.keeper;
    }

    void run() {
        Report report = suite.report;
        report.check(KafkaSuite.REGISTERS, 60, this::registers);
        String registers = KafkaSuite.REGISTERS;
        report.check("the broker lays out Kafka's tree", 10, this::laysOut, registers);
        report.check("the broker becomes the controller", 10, this::controls, registers);
        report.check(KafkaSuite.CREATES, 20, this::createsTopic, registers);
        String creates = KafkaSuite.CREATES;
        report.check("creating the topic again is refused", 20, this::refusesDouble, creates);
        report.check("the topic gets more partitions", 20, this::expands, creates);
        report.check("a topic setting changes at run time", 20, this::configuresTopic, creates);
        report.check("a broker setting changes at run time", 20, this::configuresBroker, creates);
        report.check("a SCRAM user is added and removed", 20, this::scram, registers);
        report.check("a client quota is set and removed", 20, this::quota, registers);
        report.check("ACLs are added, listed and removed", 20, this::acls, registers);
        report.check(KafkaSuite.FLOWS, 40, this::messagesFlow, creates);
        report.check("a consumer group goes on where it committed", 40, this::groupGoesOn, KafkaSuite.FLOWS);
        report.check("a transaction is committed and another aborted", 40, this::transactions, creates);
        report.check("producer ids come from a reserved block", 10, this::producerIds, KafkaSuite.FLOWS);
        report.check("Kafka's zookeeper-shell lists the topics", 30, this::shellLists, creates);
        report.check("Kafka's zookeeper-shell writes and is told of errors", 30, this::shellWrites, registers);
        report.check("a topic is deleted and can be created anew", 40, this::deletesTopic, creates);
    }

    private void registers() throws Exception {
        suite.first.start();
        suite.first.awaitStarted(1, 50);
        suite.admin = Topics.admin(suite.first.address());
        Stat stat = keeper.stat("/brokers/ids/0");
        Report.isTrue(stat != null, "/brokers/ids/0 is absent");
        Report.isTrue(stat.getEphemeralOwner() != 0, "/brokers/ids/0 is not ephemeral");
        // Created empty and filled in the same multi: the czxid and the mzxid are the same.
        Report.same(1, stat.getVersion(), "version of /brokers/ids/0");
        Report.same(stat.getCzxid(), stat.getMzxid(), "mzxid of /brokers/ids/0");
        String text = keeper.text("/brokers/ids/0");
        Report.same(suite.first.port, Json.number(text, "port"), "port in /brokers/ids/0");
        String cluster = Topics.done(suite.admin.describeCluster().clusterId());
        Report.same(cluster, Json.at(keeper.text("/cluster/id"), "id").asText(), "id in /cluster/id");
    }

    private void laysOut() throws Exception {
        for (String path : List.of("/consumers", "/brokers/ids", "/brokers/topics", "/config/changes", "/config/brokers",
                "/config/clients", "/config/ips", "/config/topics", "/config/users", "/admin/delete_topics",
                "/brokers/seqid", "/isr_change_notification", "/latest_producer_id_block", "/log_dir_event_notification",
                "/feature", "/kafka-acl/Topic", "/kafka-acl/Group", "/kafka-acl-changes",
                "/kafka-acl-extended/prefixed/Topic", "/kafka-acl-extended-changes")) {
            Stat stat = keeper.stat(path);
            Report.isTrue(stat != null, path + " is absent");
            Report.same(0L, stat.getEphemeralOwner(), "ephemeral owner of " + path);
        }
    }

    private void controls() throws Exception {
        Report.await(5, "broker 0 is the controller", () -> keeper.controller() == 0);
        Report.same(1, keeper.controllerEpoch(), "epoch of the first controller");
        Report.same(keeper.stat("/brokers/ids/0").getEphemeralOwner(), keeper.stat("/controller").getEphemeralOwner(),
            "session behind /controller");
        Report.same(0, Topics.done(suite.admin.describeCluster().controller()).id(), "controller told to clients");
    }

    private void createsTopic() throws Exception {
        Topics.create(suite.admin, "events", 3, 1);
        TopicDescription described = Topics.describe(suite.admin, "events");
        Report.same(3, described.partitions().size(), "partitions");
        Report.await(10, "every partition has a leader", () -> Topics.stands(suite.admin, "events", 0, Set.of(0)));
        String node = keeper.text("/brokers/topics/events");
        Report.same(3, Json.at(node, "partitions").size(), "partitions in the znode");
        Report.same(described.topicId().toString(), Json.at(node, "topic_id").asText(), "topic id in the znode");
        Report.same(0, Json.number(keeper.text("/brokers/topics/events/partitions/2/state"), "leader"), "leader");
    }

    private void refusesDouble() {
        refused("TopicExistsException", () -> Topics.create(suite.admin, "events", 1, 1));
    }

    private void expands() throws Exception {
        Topics.done(suite.admin.createPartitions(Map.of("events", NewPartitions.increaseTo(5))).all());
        Report.await(10, "the topic has five led partitions", () ->
            Topics.describe(suite.admin, "events").partitions().size() == 5
                && Topics.stands(suite.admin, "events", 0, Set.of(0)));
        Report.same(5, keeper.children("/brokers/topics/events/partitions").size(), "partitions in the znodes");
        refused("InvalidPartitionsException", () ->
            Topics.done(suite.admin.createPartitions(Map.of("events", NewPartitions.increaseTo(2))).all()));
    }

    private void configuresTopic() throws Exception {
        ConfigResource topic = new ConfigResource(ConfigResource.Type.TOPIC, "events");
        int notices = keeper.children("/config/changes").size();
        Topics.configure(suite.admin, topic, "retention.ms", "7654321");
        String node = keeper.text("/config/topics/events");
        Report.same("7654321", Json.at(node, "config", "retention.ms").asText(), "retention.ms in the znode");
        List<String> changes = keeper.children("/config/changes");
        Report.same(notices + 1, changes.size(), "notices in /config/changes");
        for (String change : changes) {
            Report.isTrue(change.matches("config_change_\\d{10}"), "a notice is named " + change);
        }
        // The broker itself learns of the change through its watch.
        awaitLog("Processing override for entityPath: topics/events");
        Report.await(10, "the broker tells the setting", () -> {
            ConfigEntry told = Topics.setting(suite.admin, topic, "retention.ms");
            return told.value().equals("7654321") && told.source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG;
        });
    }

    private void configuresBroker() throws Exception {
        ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, "0");
        Topics.configure(suite.admin, broker, "log.cleaner.threads", "2");
        Report.same("2", Json.at(keeper.text("/config/brokers/0"), "config", "log.cleaner.threads").asText(), "znode");
        Report.await(10, "the broker tells the setting", () -> {
            ConfigEntry told = Topics.setting(suite.admin, broker, "log.cleaner.threads");
            return told.value().equals("2") && told.source() == ConfigEntry.ConfigSource.DYNAMIC_BROKER_CONFIG;
        });
    }

    private void scram() throws Exception {
        Admin admin = suite.admin;
        ScramCredentialInfo info = new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096);
        Topics.done(admin.alterUserScramCredentials(
            List.of(new UserScramCredentialUpsertion("reader", info, "a password"))).all());
        String stored = Json.at(keeper.text("/config/users/reader"), "config", "SCRAM-SHA-256").asText();
        Report.isTrue(stored.contains("iterations=4096"), "the znode has no SCRAM secret: " + stored);
        Report.await(10, "the broker tells the user", () -> Topics.done(
            admin.describeUserScramCredentials(List.of("reader")).all()).get("reader").credentialInfos().size() == 1);
        Topics.done(admin.alterUserScramCredentials(
            List.of(new UserScramCredentialDeletion("reader", ScramMechanism.SCRAM_SHA_256))).all());
        // With its last setting the user's znode goes.
        Report.await(10, "the user's znode is gone", () -> !keeper.exists("/config/users/reader"));
    }

    private void quota() throws Exception {
        ClientQuotaEntity entity = new ClientQuotaEntity(Map.of(ClientQuotaEntity.CLIENT_ID, "loader"));
        alterQuota(entity, 1048576.0);
        String stored = Json.at(keeper.text("/config/clients/loader"), "config", "producer_byte_rate").asText();
        Report.same(1048576.0, Double.valueOf(stored), "rate in the znode");
        Report.same(Map.of(entity, Map.of("producer_byte_rate", 1048576.0)),
            Topics.done(suite.admin.describeClientQuotas(ClientQuotaFilter.all()).entities()), "quotas told");
        alterQuota(entity, null);
        Report.same(Map.of(), Topics.done(suite.admin.describeClientQuotas(ClientQuotaFilter.all()).entities()),
            "quotas told after the removal");
    }

    private void alterQuota(ClientQuotaEntity entity, Double rate) throws Exception {
        ClientQuotaAlteration.Op op = new ClientQuotaAlteration.Op("producer_byte_rate", rate);
        Topics.done(suite.admin.alterClientQuotas(List.of(new ClientQuotaAlteration(entity, List.of(op)))).all());
    }

    private void acls() throws Exception {
        AccessControlEntry read = new AccessControlEntry("User:ann", "*", AclOperation.READ, AclPermissionType.ALLOW);
        AccessControlEntry write = new AccessControlEntry("User:ann", "*", AclOperation.WRITE, AclPermissionType.DENY);
        AclBinding one = new AclBinding(new ResourcePattern(ResourceType.TOPIC, "private", PatternType.LITERAL), read);
        AclBinding two = new AclBinding(new ResourcePattern(ResourceType.TOPIC, "private", PatternType.LITERAL), write);
        AclBinding many = new AclBinding(new ResourcePattern(ResourceType.TOPIC, "team-", PatternType.PREFIXED), read);
        Topics.done(suite.admin.createAcls(List.of(one, two, many)).all());
        Report.same(2, Json.at(keeper.text("/kafka-acl/Topic/private"), "acls").size(), "ACLs in the znode");
        Report.same(1, Json.at(keeper.text("/kafka-acl-extended/prefixed/Topic/team-"), "acls").size(), "prefixed ACLs");
        Report.await(10, "the broker tells the ACLs", () -> Set.of(one, two, many).equals(
            Set.copyOf(Topics.done(suite.admin.describeAcls(AclBindingFilter.ANY).values()))));
        for (String change : keeper.children("/kafka-acl-changes")) {
            Report.isTrue(change.matches("acl_changes_\\d{10}"), "a notice is named " + change);
        }
        Topics.done(suite.admin.deleteAcls(List.of(one.toFilter())).all());
        Report.same(1, Json.at(keeper.text("/kafka-acl/Topic/private"), "acls").size(), "ACLs after a removal");
        Topics.done(suite.admin.deleteAcls(List.of(AclBindingFilter.ANY)).all());
        Report.isTrue(!keeper.exists("/kafka-acl/Topic/private"), "the znode of a resource without ACLs stays");
        Report.await(10, "the broker tells no ACL", () ->
            Topics.done(suite.admin.describeAcls(AclBindingFilter.ANY).values()).isEmpty());
    }

    private void messagesFlow() throws Exception {
        Traffic.send(suite.first.address(), "events", 0, 2000);
        Traffic.expect(suite.first.address(), "events", "readers", 0, 2000);
        Report.same(2000L, committed("readers"), "sum of the committed offsets");
    }

    private void groupGoesOn() throws Exception {
        Traffic.send(suite.first.address(), "events", 2000, 2100);
        Traffic.expect(suite.first.address(), "events", "readers", 2000, 2100);
        Report.same(2100L, committed("readers"), "sum of the committed offsets");
        Report.isTrue(keeper.exists("/brokers/topics/__consumer_offsets"), "the topic of the offsets has no znode");
    }

    private long committed(String group) throws Exception {
        return Topics.done(suite.admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata())
            .values().stream().mapToLong(offset -> offset.offset()).sum();
    }

    private void transactions() throws Exception {
        Topics.create(suite.admin, "ledger", 1, 1);
        try (KafkaProducer<String, String> producer = Traffic.producer(suite.first.address(), "teller")) {
            producer.initTransactions();
            producer.beginTransaction();
            Traffic.send(producer, "ledger", 0, 10);
            producer.commitTransaction();
            producer.beginTransaction();
            Traffic.send(producer, "ledger", 10, 20);
            producer.abortTransaction();
            producer.beginTransaction();
            Traffic.send(producer, "ledger", 20, 30);
            producer.commitTransaction();
        }
        Traffic.expect(suite.first.address(), "ledger", "auditors-1", 0, 10, 20, 30);
        Report.isTrue(keeper.exists("/brokers/topics/__transaction_state"), "the topic of transactions has no znode");
    }

    private void producerIds() throws Exception {
        String block = keeper.text("/latest_producer_id_block");
        Report.same(0, Json.number(block, "broker"), "broker in /latest_producer_id_block");
        Report.same("999", Json.at(block, "block_end").asText(), "end of the first block");
    }

    private void shellLists() throws Exception {
        String printed = suite.shell(keeper.address, "ls /brokers/topics\nget /brokers/ids/0\nls /brokers/ids\nquit\n");
        Report.isTrue(printed.matches("(?s).*\\[.*\\bevents\\b.*\\].*"), "the listing has no topic: " + printed);
        Report.isTrue(printed.contains("\"port\":" + suite.first.port), "the broker's address is missing: " + printed);
        Report.isTrue(printed.contains("\n[0]\n"), "the broker's id is missing: " + printed);
    }

    private void shellWrites() throws Exception {
        String printed = suite.shell(keeper.address, "create /note one\nset /note two\nget /note\ndelete /note\n"
            + "get /note\ndelete /brokers\nquit\n");
        for (String expected : List.of("Created /note", "\ntwo\n", "Node does not exist: /note",
                "Node not empty: /brokers")) {
            Report.isTrue(printed.contains(expected), "«" + expected.strip() + "» is missing: " + printed);
        }
        Report.isTrue(!keeper.exists("/note"), "/note is still there");
    }

    private void deletesTopic() throws Exception {
        Map<Boolean, String> ids = new HashMap<>();
        for (boolean anew : new boolean[] {false, true}) {
            Topics.create(suite.admin, "brief", 2, 1);
            ids.put(anew, Topics.describe(suite.admin, "brief").topicId().toString());
            Traffic.send(suite.first.address(), "brief", 0, 10);
            Topics.done(suite.admin.deleteTopics(List.of("brief")).all());
            Report.await(15, "the topic is gone", () -> !keeper.exists("/brokers/topics/brief")
                && !keeper.exists("/config/topics/brief") && keeper.children("/admin/delete_topics").isEmpty()
                && !Topics.names(suite.admin).contains("brief"));
        }
        Report.isTrue(!ids.get(false).equals(ids.get(true)), "the new topic has the id of the deleted one");
    }

    private void awaitLog(String text) throws Exception {
        Report.await(10, "broker 0 logs: " + text, () -> {
            try (var lines = Files.lines(suite.first.log)) {
                return lines.anyMatch(line -> line.contains(text));
            }
        });
    }

    private static void refused(String exception, Report.Body body) {
        try {
            body.run();
        } catch (Exception refusal) {
            Throwable cause = refusal.getCause() == null ? refusal : refusal.getCause();
            Report.same(exception, cause.getClass().getSimpleName(), "refusal");
            return;
        }
        throw new AssertionError("it was not refused with " + exception);
    }
}
