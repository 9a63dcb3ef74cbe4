import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Starts main classes of the Kafka distribution in JVMs of their own. */
final class Java {
    private Java() { }

    static ProcessBuilder process(String heap, String logging, String mainClass, String... arguments) {
        String suite = System.getProperty("suite.dir");
        List<String> command = new ArrayList<>(List.of(
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            heap,
            // Start-up counts here, not peak speed.
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
            "-Dlog4j.configuration=file:" + suite + "/" + logging,
            "-cp", System.getProperty("suite.jars") + "/*",
            mainClass));
        command.addAll(List.of(arguments));
        return new ProcessBuilder(command);
    }
}
