package quoll.compat.javaclient;

import quoll.compat.Suite;

/** The raw Java client of ZooKeeper 3.9.5: every method, both forms, and what the server promises behind them. */
public final class Main {
    private Main() {}

    public static void main(String[] arguments) throws InterruptedException {
        Suite suite = new Suite(arguments);
        NodeChecks.register(suite);
        StatChecks.register(suite);
        AsyncChecks.register(suite);
        AclChecks.register(suite);
        MultiChecks.register(suite);
        WatchChecks.register(suite);
        ReplayChecks.register(suite);
        SessionChecks.register(suite);
        RestartChecks.register(suite);
        suite.runAndExit();
    }
}
