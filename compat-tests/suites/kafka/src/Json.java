import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;

/** Reads the JSON texts that Kafka keeps in its znodes. */
final class Json {
    private static final ObjectMapper MAPPER = new ObjectMapper();

    private Json() { }

    /** The value under a path of keys; an absent one is a missing node, which is equal to nothing else. */
    static JsonNode at(String text, String... keys) throws IOException {
        JsonNode node = MAPPER.readTree(text);
        for (String key : keys) {
            node = node.path(key);
        }
        return node;
    }

    static int number(String text, String... keys) throws IOException {
        return at(text, keys).asInt(-1);
    }
}
