import java.util.HashSet;
import java.util.Set;
import java.util.concurrent.FutureTask;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * Runs the checks one after the other and prints their lines; it knows nothing of Kafka.
 *
 * <p>Every check that is declared yields exactly one line, also when what it builds on has failed or when the time of
 * the whole suite is used up: a check that did not run counts as failed.
 */
final class Report {
    /** What a check does; it fails by throwing. */
    interface Body {
        void run() throws Exception;
    }

    /** A condition that is waited for. */
    interface Condition {
        boolean holds() throws Exception;
    }

    private final Set<String> passedNames = new HashSet<>();
    private final long deadline;
    private int failed;

    Report(long suiteSeconds) {
        deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(suiteSeconds);
    }

    /** Runs one check, unless one of the earlier checks it builds on has failed. */
    void check(String name, int seconds, Body body, String... buildsOn) {
        for (String earlier : buildsOn) {
            if (!passedNames.contains(earlier)) {
                fail(name, "not run, for it builds on: " + earlier);
                return;
            }
        }
        long left = TimeUnit.NANOSECONDS.toMillis(deadline - System.nanoTime());
        if (left <= 0) {
            fail(name, "not run, the time of the whole suite is used up");
            return;
        }
        long started = System.nanoTime();
        FutureTask<Void> task = new FutureTask<>(() -> {
            body.run();
            return null;
        });
        Thread thread = new Thread(task, name);
        thread.setDaemon(true);
        thread.start();
        try {
            task.get(Math.min(left, seconds * 1000L), TimeUnit.MILLISECONDS);
            passedNames.add(name);
            System.out.println("ok " + name);
        } catch (TimeoutException late) {
            StackTraceElement[] stack = thread.getStackTrace();
            thread.interrupt();
            fail(name, "not done in time" + where(stack));
        } catch (ExecutionException thrown) {
            Throwable cause = thrown.getCause();
            boolean plain = cause instanceof AssertionError;
            fail(name, plain ? cause.getMessage() : cause + where(cause.getStackTrace()));
        } catch (InterruptedException stop) {
            fail(name, "interrupted");
        }
        long millis = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - started);
        System.err.println("kafka: " + millis + " ms: " + name);
    }

    /** Prints the closing line and says whether every check passed. */
    boolean close() {
        System.out.println(passedNames.size() + " passed, " + failed + " failed");
        return failed == 0;
    }

    static void isTrue(boolean condition, String complaint) {
        if (!condition) {
            throw new AssertionError(complaint);
        }
    }

    static void same(Object expected, Object found, String what) {
        isTrue(expected.equals(found), what + ": expected " + expected + ", found " + found);
    }

    /** Waits for the condition, which may fail by throwing until it holds. */
    static void await(int seconds, String what, Condition condition) throws InterruptedException {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(seconds);
        String last = "";
        do {
            try {
                if (condition.holds()) {
                    return;
                }
                last = "";
            } catch (InterruptedException stop) {
                throw stop;
            } catch (Exception notYet) {
                last = " (" + notYet + ")";
            }
            Thread.sleep(50);
        } while (System.nanoTime() < end);
        throw new AssertionError("waited " + seconds + " s in vain: " + what + last);
    }

    private void fail(String name, String reason) {
        failed++;
        System.out.println("not ok " + name + ": " + reason.replaceAll("\\s*\\R\\s*", " "));
    }

    private static String where(StackTraceElement[] stack) {
        for (StackTraceElement frame : stack) {
            // The suite's own classes are the ones outside any package.
            if (frame.getClassName().indexOf('.') < 0) {
                return " at " + frame.getFileName() + ":" + frame.getLineNumber();
            }
        }
        return "";
    }
}
