package quoll.compat;

import java.util.Arrays;
import java.util.Objects;
import java.util.concurrent.Callable;

/** Assertions that say what was expected, and waiting that is bounded. */
public final class Verify {
    /** Long enough for a loaded machine; no passing check ever waits it out. */
    public static final long PATIENCE_MS = 25_000;

    private Verify() {}

    /** Something that should throw. */
    @FunctionalInterface
    public interface Action {
        void run() throws Exception;
    }

    public static void that(boolean condition, String what) {
        if (!condition) {
            throw new AssertionError(what);
        }
    }

    /** Arrays by content, whole numbers by value whatever their width, everything else by its own equality. */
    public static void equal(Object expected, Object actual, String what) {
        boolean same;
        if (expected instanceof byte[] left && actual instanceof byte[] right) {
            same = Arrays.equals(left, right);
        } else if (expected instanceof Number left && actual instanceof Number right) {
            same = left.longValue() == right.longValue();
        } else {
            same = Objects.equals(expected, actual);
        }
        if (!same) {
            throw new AssertionError(what + " is " + show(actual) + ", expected " + show(expected));
        }
    }

    public static void between(long low, long high, long actual, String what) {
        if (actual < low || actual > high) {
            throw new AssertionError(what + " is " + actual + ", expected " + low + " to " + high);
        }
    }

    /** Runs the action and returns what it threw, which must be of exactly this class. */
    public static <T extends Throwable> T throwing(Class<T> expected, String what, Action action) {
        try {
            action.run();
        } catch (Throwable thrown) {
            if (thrown.getClass() == expected) {
                return expected.cast(thrown);
            }
            throw new AssertionError(what + " threw " + thrown + ", expected " + expected.getSimpleName());
        }
        throw new AssertionError(what + " succeeded, expected " + expected.getSimpleName());
    }

    /** Asks again until the answer is true. An exception of the question counts as "not yet". */
    public static void eventually(String what, Callable<Boolean> question) throws InterruptedException {
        eventually(PATIENCE_MS, what, question);
    }

    public static void eventually(long patienceMs, String what, Callable<Boolean> question)
            throws InterruptedException {
        long deadline = System.nanoTime() + patienceMs * 1_000_000;
        String last = "";
        do {
            try {
                if (question.call()) {
                    return;
                }
                last = "";
            } catch (InterruptedException interrupted) {
                throw interrupted;
            } catch (Exception thrown) {
                last = " (" + thrown + ")";
            }
            Thread.sleep(20);
        } while (System.nanoTime() < deadline);
        throw new AssertionError("never became true: " + what + last);
    }

    private static String show(Object value) {
        if (value instanceof byte[] bytes) {
            return bytes.length + " bytes" + (bytes.length <= 32 ? " " + Arrays.toString(bytes) : "");
        }
        String text = String.valueOf(value);
        return text.length() > 400 ? text.substring(0, 400) + "..." : text;
    }
}
