package quoll.compat.curator;

import quoll.compat.Suite;

/** Curator 5.9.0: its recipes between several clients, its framework, and how both come back from trouble. */
public final class Main {
    private Main() {}

    public static void main(String[] arguments) throws InterruptedException {
        Suite suite = new Suite(arguments);
        LockChecks.register(suite);
        LeaderChecks.register(suite);
        BarrierChecks.register(suite);
        CacheChecks.register(suite);
        NodeChecks.register(suite);
        CounterChecks.register(suite);
        QueueChecks.register(suite);
        FrameworkChecks.register(suite);
        WatcherChecks.register(suite);
        TransactionChecks.register(suite);
        DiscoveryChecks.register(suite);
        RecoveryChecks.register(suite);
        suite.runAndExit();
    }
}
