import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.zookeeper.data.Stat;

/**
 * Three brokers, a steady producer and a steady consumer, while the servers under them are replaced.
 *
 * <p>Prints what it came to so far after each line it reads; at the end of its input it stops producing, lets the
 * consumer come to the end, and prints {@code verdict ok} or {@code verdict} and what is wrong.
 */
public final class Flow {
    private static final int BROKERS = 3;
    private static final int PAUSE_MILLIS = 2;
    private static final String TOPIC = "flow";

    private final Path work;
    private final String keepers;
    private final List<Broker> brokers = new ArrayList<>();
    private final List<Stat> registered = new ArrayList<>();
    private final List<String> wrong = new ArrayList<>();
    private final AtomicBoolean stopping = new AtomicBoolean();
    private final AtomicLong sent = new AtomicLong();
    private final BitSet acknowledged = new BitSet();
    private final BitSet received = new BitSet();
    private final AtomicInteger topics = new AtomicInteger();
    private Keeper keeper;

    private Flow(Path work, String keepers) {
        this.work = work;
        this.keepers = keepers;
    }

    public static void main(String[] arguments) throws Exception {
        Flow flow = new Flow(Path.of(arguments[0]), arguments[1]);
        int code = 0;
        try {
            flow.run();
        } catch (Exception problem) {
            System.out.println("verdict " + problem);
            problem.printStackTrace();
            code = 1;
        }
        System.out.flush();
        System.exit(code);
    }

    private void run() throws Exception {
        for (int id = 0; id < BROKERS; id++) {
            brokers.add(new Broker(work, "broker-" + id, id, keepers, 30_000));
            brokers.get(id).start();
        }
        for (Broker broker : brokers) {
            broker.awaitStarted(1, 120);
        }
        keeper = new Keeper(keepers, "");
        for (int id = 0; id < BROKERS; id++) {
            registered.add(keeper.stat("/brokers/ids/" + id));
        }
        try (Admin admin = Topics.admin(addresses())) {
            Topics.done(admin.createTopics(List.of(new NewTopic(TOPIC, 6, (short) 3)
                .configs(Map.of("min.insync.replicas", "2")))).all());
        }
        Thread producer = new Thread(this::produce, "producer");
        Thread consumer = new Thread(this::consume, "consumer");
        producer.start();
        consumer.start();
        System.out.println("ready");
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        while (input.readLine() != null) {
            makeTopic();
            System.out.println(summary());
        }
        stopping.set(true);
        producer.join(90_000);
        consumer.join(90_000);
        audit();
        System.out.println(summary());
        System.out.println("verdict " + (wrong.isEmpty() ? "ok" : String.join("; ", wrong)));
        brokers.forEach(Broker::kill);
    }

    /** Through the controller and its znodes: that the brokers still write to the ensemble. */
    private void makeTopic() throws Exception {
        String name = "step-" + topics.get();
        try (Admin admin = Topics.admin(addresses())) {
            Topics.done(admin.createTopics(List.of(new NewTopic(name, 1, (short) 3))).all());
            Report.await(20, name + " is in sync", () -> Topics.stands(admin, name, null, java.util.Set.of(0, 1, 2)));
            topics.incrementAndGet();
        } catch (Exception problem) {
            note("topic " + name + ": " + problem);
        }
    }

    private void produce() {
        Properties settings = new Properties();
        settings.put(ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, addresses());
        settings.put(ProducerConfig.ACKS_CONFIG, "all");
        settings.put(ProducerConfig.ENABLE_IDEMPOTENCE_CONFIG, true);
        settings.put(ProducerConfig.DELIVERY_TIMEOUT_MS_CONFIG, 60_000);
        try (KafkaProducer<String, String> producer =
                new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            for (int number = 0; !stopping.get(); number++) {
                int message = number;
                producer.send(new ProducerRecord<>(TOPIC, "key-" + number % 50, Integer.toString(number)), (meta, error) -> {
                    if (error != null) {
                        note("message " + message + ": " + error);
                        return;
                    }
                    synchronized (acknowledged) {
                        acknowledged.set(message);
                    }
                });
                sent.incrementAndGet();
                Thread.sleep(PAUSE_MILLIS);
            }
            producer.flush();
        } catch (Exception problem) {
            note("the producer: " + problem);
        }
    }

    private void consume() {
        try (KafkaConsumer<String, String> consumer = Traffic.consumer(addresses(), "flow-readers")) {
            consumer.subscribe(List.of(TOPIC));
            long idle = System.nanoTime();
            while (!stopping.get() || System.nanoTime() - idle < TimeUnit.SECONDS.toNanos(5)) {
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(200))) {
                    int number = Integer.parseInt(record.value());
                    synchronized (received) {
                        if (received.get(number)) {
                            note("message " + number + " came twice");
                        }
                        received.set(number);
                    }
                    idle = System.nanoTime();
                }
                consumer.commitAsync();
            }
        } catch (Exception problem) {
            note("the consumer: " + problem);
        }
    }

    private void audit() throws Exception {
        BitSet missing = (BitSet) acknowledged.clone();
        missing.andNot(received);
        if (!missing.isEmpty()) {
            note("acknowledged messages that never came: " + missing.cardinality() + ", the first " + missing.nextSetBit(0));
        }
        for (int id = 0; id < BROKERS; id++) {
            Stat before = registered.get(id);
            Stat now = keeper.stat("/brokers/ids/" + id);
            if (now == null || now.getCzxid() != before.getCzxid() || now.getEphemeralOwner() != before.getEphemeralOwner()) {
                note("broker " + id + " has lost its session: " + now);
            }
        }
        if (keeper.controllerEpoch() != 1) {
            note("the controller changed: epoch " + keeper.controllerEpoch());
        }
        for (Broker broker : brokers) {
            if (Files.readString(broker.log).contains("Session expired")) {
                note("broker " + broker.id + " logged an expired session");
            }
        }
    }

    private String summary() {
        int read;
        synchronized (received) {
            read = received.cardinality();
        }
        int done;
        synchronized (acknowledged) {
            done = acknowledged.cardinality();
        }
        return "sent=" + sent + " acknowledged=" + done + " received=" + read + " topics=" + topics;
    }

    private void note(String what) {
        synchronized (wrong) {
            if (wrong.size() < 20) {
                wrong.add(what.replace('\n', ' '));
            }
        }
    }

    private String addresses() {
        return String.join(",", brokers.stream().map(Broker::address).toList());
    }
}
