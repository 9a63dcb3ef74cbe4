package quoll.compat;

import java.io.File;
import java.io.IOException;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;

/** Where the server under test is and how it is stopped and started: what the harness hands to a suite. */
public record Environment(String connect, String control, Path work) {

    /** A server that takes longer than this to come back is broken. */
    private static final int CONTROL_SECONDS = 60;

    static Environment fromProcess() {
        return new Environment(required("ZK_CONNECT"), required("ZK_CTL"), Path.of(required("ZK_WORK")));
    }

    private static String required(String name) {
        String value = System.getenv(name);
        if (value == null || value.isEmpty()) {
            System.out.println("the variable " + name + " is missing: run this suite by compat-tests/run.py");
            System.out.flush();
            Runtime.getRuntime().halt(3);
        }
        return value;
    }

    /** Runs {@code start}, {@code stop}, {@code kill} or {@code restart} and returns when it is done. */
    public void control(String verb) throws IOException, InterruptedException {
        Process process = new ProcessBuilder(control, verb)
                .redirectInput(ProcessBuilder.Redirect.from(new File("/dev/null")))
                .redirectOutput(ProcessBuilder.Redirect.to(work.resolve("control.log").toFile()))
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        if (!process.waitFor(CONTROL_SECONDS, TimeUnit.SECONDS)) {
            process.destroyForcibly();
            throw new AssertionError("'" + verb + "' did not finish in " + CONTROL_SECONDS + " s");
        }
        Verify.equal(0, process.exitValue(), "exit code of '" + verb + "'");
    }

    public String host() {
        return connect.substring(0, connect.lastIndexOf(':'));
    }

    public int port() {
        return Integer.parseInt(connect.substring(connect.lastIndexOf(':') + 1));
    }
}
