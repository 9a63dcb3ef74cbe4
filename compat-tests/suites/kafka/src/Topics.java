import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AdminClientConfig;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.config.ConfigResource;

/** Kafka's admin client in the few words that the checks use. */
final class Topics {
    private Topics() { }

    static Admin admin(String brokers) {
        Properties settings = new Properties();
        settings.put(AdminClientConfig.BOOTSTRAP_SERVERS_CONFIG, brokers);
        settings.put(AdminClientConfig.REQUEST_TIMEOUT_MS_CONFIG, 5_000);
        settings.put(AdminClientConfig.DEFAULT_API_TIMEOUT_MS_CONFIG, 15_000);
        return Admin.create(settings);
    }

    static <T> T done(KafkaFuture<T> future) throws Exception {
        return future.get(16, TimeUnit.SECONDS);
    }

    static void create(Admin admin, String topic, int partitions, int replicas) throws Exception {
        done(admin.createTopics(List.of(new NewTopic(topic, partitions, (short) replicas))).all());
    }

    /** Creates a topic whose partitions all have these replicas, the first being the preferred leader. */
    static void create(Admin admin, String topic, int partitions, List<Integer> replicas) throws Exception {
        Map<Integer, List<Integer>> assignment = new HashMap<>();
        for (int partition = 0; partition < partitions; partition++) {
            assignment.put(partition, replicas);
        }
        done(admin.createTopics(List.of(new NewTopic(topic, assignment))).all());
    }

    static TopicDescription describe(Admin admin, String topic) throws Exception {
        return done(admin.describeTopics(List.of(topic)).allTopicNames()).get(topic);
    }

    static Set<String> names(Admin admin) throws Exception {
        return done(admin.listTopics().names());
    }

    static void configure(Admin admin, ConfigResource of, String key, String value) throws Exception {
        AlterConfigOp set = new AlterConfigOp(new ConfigEntry(key, value), AlterConfigOp.OpType.SET);
        done(admin.incrementalAlterConfigs(Map.of(of, List.of(set))).all());
    }

    static ConfigEntry setting(Admin admin, ConfigResource of, String key) throws Exception {
        return done(admin.describeConfigs(List.of(of)).all()).get(of).get(key);
    }

    /** Whether every partition is led by one of the brokers and has exactly these in sync. */
    static boolean stands(Admin admin, String topic, Integer leader, Set<Integer> inSync) throws Exception {
        return describe(admin, topic).partitions().stream().allMatch(partition ->
            partition.leader() != null
                && (leader == null || partition.leader().id() == leader)
                && Set.copyOf(partition.isr().stream().map(node -> node.id()).toList()).equals(inSync));
    }
}
