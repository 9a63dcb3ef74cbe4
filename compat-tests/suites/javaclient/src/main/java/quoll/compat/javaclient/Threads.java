package quoll.compat.javaclient;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/** Runs the same work on several threads and hands on the first thing that went wrong. */
final class Threads {
    @FunctionalInterface
    interface Work {
        void run(int number) throws Exception;
    }

    private Threads() {}

    static void together(int count, Work work) throws Exception {
        List<CompletableFuture<Void>> results = new ArrayList<>();
        for (int number = 0; number < count; number++) {
            int mine = number;
            CompletableFuture<Void> result = new CompletableFuture<>();
            results.add(result);
            Thread thread = new Thread(() -> {
                try {
                    work.run(mine);
                    result.complete(null);
                } catch (Throwable thrown) {
                    result.completeExceptionally(thrown);
                }
            });
            thread.setDaemon(true);
            thread.start();
        }
        for (CompletableFuture<Void> result : results) {
            Client.get(result);
        }
    }
}
