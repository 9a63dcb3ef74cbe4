import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Sends numbered messages and reads them back; a lost, doubled or disordered one fails the check. */
final class Traffic {
    private Traffic() { }

    /** The messages of numbers `from` to `to` - 1; a key has every hundredth of them. */
    static void send(KafkaProducer<String, String> producer, String topic, int from, int to) throws Exception {
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        for (int number = from; number < to; number++) {
            sent.add(producer.send(new ProducerRecord<>(topic, "key-" + number % 100, Integer.toString(number))));
        }
        producer.flush();
        for (Future<RecordMetadata> one : sent) {
            Report.isTrue(one.get(10, TimeUnit.SECONDS).hasOffset(), "a message was sent but got no offset");
        }
    }

    static void send(String brokers, String topic, int from, int to) throws Exception {
        try (KafkaProducer<String, String> producer = producer(brokers, null)) {
            send(producer, topic, from, to);
        }
    }

    /**
     * Reads as the given group from where it stands, expects exactly these messages, and commits. Without a group, it
     * reads the topic from its beginning and needs no broker but the leaders.
     *
     * <p>The range is a pair of numbers, the second one outside it; more pairs add more ranges.
     */
    static void expect(String brokers, String topic, String group, int... ranges) {
        Set<Integer> missing = new HashSet<>();
        for (int range = 0; range + 1 < ranges.length; range += 2) {
            for (int number = ranges[range]; number < ranges[range + 1]; number++) {
                missing.add(number);
            }
        }
        int expected = missing.size();
        try (KafkaConsumer<String, String> consumer = consumer(brokers, group)) {
            if (group == null) {
                List<TopicPartition> all = consumer.partitionsFor(topic, Duration.ofSeconds(10)).stream()
                    .map(partition -> new TopicPartition(topic, partition.partition())).toList();
                consumer.assign(all);
                consumer.seekToBeginning(all);
            } else {
                consumer.subscribe(List.of(topic));
            }
            Map<String, Integer> lastOfKey = new HashMap<>();
            long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(15);
            while (!missing.isEmpty()) {
                Report.isTrue(System.nanoTime() < end, missing.size() + " of " + expected + " messages did not arrive");
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(200))) {
                    int number = Integer.parseInt(record.value());
                    Report.isTrue(missing.remove(number), "message " + number + " came twice or is not of this read");
                    Report.same("key-" + number % 100, record.key(), "key of message " + number);
                    Integer before = lastOfKey.put(record.key(), number);
                    Report.isTrue(before == null || before < number, "message " + number + " came after " + before);
                }
            }
            if (group != null) {
                consumer.commitSync(Duration.ofSeconds(10));
            }
        }
    }

    static KafkaProducer<String, String> producer(String brokers, String transactionalId) {
        Properties settings = new Properties();
        settings.put(ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, brokers);
        settings.put(ProducerConfig.ACKS_CONFIG, "all");
        settings.put(ProducerConfig.LINGER_MS_CONFIG, 5);
        settings.put(ProducerConfig.MAX_BLOCK_MS_CONFIG, 15_000);
        settings.put(ProducerConfig.REQUEST_TIMEOUT_MS_CONFIG, 5_000);
        settings.put(ProducerConfig.DELIVERY_TIMEOUT_MS_CONFIG, 15_000);
        if (transactionalId != null) {
            settings.put(ProducerConfig.TRANSACTIONAL_ID_CONFIG, transactionalId);
        }
        return new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer());
    }

    static KafkaConsumer<String, String> consumer(String brokers, String group) {
        Properties settings = new Properties();
        settings.put(ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, brokers);
        if (group != null) {
            settings.put(ConsumerConfig.GROUP_ID_CONFIG, group);
        }
        settings.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
        settings.put(ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, false);
        settings.put(ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_committed");
        return new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
    }
}
