package quoll.compat;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Named checks, the order in which they run, and the lines the harness reads.
 *
 * <p>Four stages: <em>fresh</em> checks look at the untouched server one after the other; <em>slow</em> checks mostly
 * wait for the server's own clock and run beside everything that follows; <em>shared</em> checks run a few at a time on
 * the living server; <em>exclusive</em> checks stop and start the server, so they run alone, last, one by one.
 *
 * <p>Invariant: every registered check prints exactly one line, whatever it does: a check that hangs is reported with
 * the place where it hung.
 */
public final class Suite {
    /** The body of one check: returning is success, any throwable is failure. */
    @FunctionalInterface
    public interface Body {
        void run(Scope scope) throws Throwable;
    }

    private record Check(String name, int seconds, Body body) {}

    /** Enough to overlap waiting, few enough that two cores keep up. */
    private static final int LANES = 4;

    private static final int DEFAULT_SECONDS = 45;
    private static final int SLOW_SECONDS = 100;
    private static final int EXCLUSIVE_SECONDS = 75;

    private final Environment environment = Environment.fromProcess();
    private final Set<String> names = new HashSet<>();
    private final List<Check> fresh = new ArrayList<>();
    private final List<Check> slow = new ArrayList<>();
    private final List<Check> shared = new ArrayList<>();
    private final List<Check> exclusive = new ArrayList<>();
    private final List<String> only;
    private final AtomicInteger passed = new AtomicInteger();
    private final AtomicInteger failed = new AtomicInteger();

    /** With arguments, only the checks whose name contains one of them run: a help while writing checks. */
    public Suite(String... only) {
        this.only = List.of(only);
    }

    public void fresh(String name, Body body) {
        add(fresh, name, DEFAULT_SECONDS, body);
    }

    public void slow(String name, Body body) {
        add(slow, name, SLOW_SECONDS, body);
    }

    public void shared(String name, Body body) {
        add(shared, name, DEFAULT_SECONDS, body);
    }

    public void exclusive(String name, Body body) {
        add(exclusive, name, EXCLUSIVE_SECONDS, body);
    }

    private void add(List<Check> stage, String name, int seconds, Body body) {
        if (!names.add(name)) {
            throw new IllegalArgumentException("two checks are named " + name);
        }
        if (only.isEmpty() || only.stream().anyMatch(name::contains)) {
            stage.add(new Check(name, seconds, body));
        }
    }

    /** Runs everything, prints the closing line and ends the process. */
    public void runAndExit() throws InterruptedException {
        List<Thread> waiting = new ArrayList<>();
        fresh.forEach(this::runOne);
        for (Check check : slow) {
            waiting.add(start("slow " + check.name(), () -> runOne(check)));
        }
        BlockingQueue<Check> queue = new LinkedBlockingQueue<>(shared);
        for (int lane = 0; lane < LANES; lane++) {
            waiting.add(start("lane " + lane, () -> {
                for (Check check = queue.poll(); check != null; check = queue.poll()) {
                    runOne(check);
                }
            }));
        }
        for (Thread thread : waiting) {
            thread.join();
        }
        exclusive.forEach(this::runOne);
        System.out.println(passed + " passed, " + failed + " failed");
        System.out.flush();
        // Client threads of a failed check may still be alive; they must not keep the process up.
        Runtime.getRuntime().halt(failed.get() == 0 ? 0 : 1);
    }

    private static Thread start(String name, Runnable work) {
        Thread thread = new Thread(work, name);
        thread.setDaemon(true);
        thread.start();
        return thread;
    }

    private void runOne(Check check) {
        long started = System.nanoTime();
        List<Throwable> failure = new CopyOnWriteArrayList<>();
        AtomicBoolean done = new AtomicBoolean();
        Thread body = start(check.name(), () -> {
            Scope scope = new Scope(check.name(), environment);
            try {
                check.body().run(scope);
            } catch (Throwable thrown) {
                failure.add(thrown);
            }
            done.set(true);
            scope.close();
        });
        long deadline = started + check.seconds() * 1_000_000_000L;
        try {
            // Closing the clients of a finished check is waited for as well, so that lanes stay lanes.
            while (body.isAlive() && System.nanoTime() < deadline) {
                body.join(100);
            }
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
        if (System.getenv("COMPAT_TIMES") != null) {
            System.err.println(check.name() + " took " + (System.nanoTime() - started) / 1_000_000 + " ms");
        }
        if (!done.get()) {
            String place = place(body.getStackTrace());
            body.interrupt();
            report(check, "no result after " + check.seconds() + " s, waiting at " + place);
        } else if (failure.isEmpty()) {
            report(check, null);
        } else {
            Throwable thrown = failure.get(0);
            if (!(thrown instanceof AssertionError)) {
                thrown.printStackTrace();
            }
            report(check, thrown.getClass().getSimpleName() + ": " + thrown.getMessage() + " at "
                    + place(thrown.getStackTrace()));
        }
    }

    private synchronized void report(Check check, String reason) {
        if (reason == null) {
            passed.incrementAndGet();
            System.out.println("ok " + check.name());
        } else {
            failed.incrementAndGet();
            System.out.println("not ok " + check.name() + ": " + reason.replaceAll("\\s+", " "));
        }
        System.out.flush();
    }

    /** The first two frames of our own code: the helper and the line of the check. */
    private static String place(StackTraceElement[] stack) {
        List<String> frames = new ArrayList<>();
        for (StackTraceElement frame : stack) {
            boolean ours = frame.getClassName().startsWith("quoll.compat.")
                    && !frame.getClassName().endsWith(".Verify");
            if (ours && frames.size() < 2) {
                frames.add(frame.getFileName() + ":" + frame.getLineNumber());
            }
        }
        return frames.isEmpty() ? "unknown place" : String.join(" < ", frames);
    }
}
