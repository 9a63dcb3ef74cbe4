/* The server as seen through the C client library (zookeeper_mt) and its
 * shell cli_mt, in the version Debian ships. The library sends setWatches
 * under xid -8, counts xids from the clock and decodes replies strictly.
 *
 * Not a test of the library: a check that the reference server fails is wrong. */
#define _GNU_SOURCE /* pipe2 */
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int passed, failed, number;

static _Noreturn void in_child(const struct check *check, const char *root, int report) {
    dup2(report, STDOUT_FILENO);
    zoo_set_debug_level(ZOO_LOG_LEVEL_ERROR);
    zoo_set_log_stream(fopen("/dev/null", "w"));
    alarm(check->limit);
    zhandle_t *handle = client();
    make(handle, root, NULL);
    close_client(handle);
    check->run(root);
    fflush(stdout);
    _exit(0);
}

static void perform(const struct check *check) {
    char root[64], reason[1024] = "";
    snprintf(root, sizeof root, "/cclient-%d", number++);
    int ends[2], status = 0;
    size_t length = 0;
    /* Close-on-exec: a server restarted by a check must not hold the pipe open. */
    if (pipe2(ends, O_CLOEXEC) != 0)
        exit(3);
    fflush(stdout);
    pid_t child = fork();
    if (child < 0)
        exit(3);
    if (child == 0) {
        close(ends[0]);
        in_child(check, root, ends[1]);
    }
    close(ends[1]);
    for (ssize_t size; length < sizeof reason - 1;) {
        size = read(ends[0], reason + length, sizeof reason - 1 - length);
        if (size <= 0)
            break;
        length += (size_t)size;
    }
    reason[length] = 0;
    close(ends[0]);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    for (char *at = reason; *at; at++)
        if (*at == '\n')
            *at = ' ';
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        passed++;
        printf("ok %s\n", check->name);
    } else {
        failed++;
        if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
            printf("not ok %s: not finished within %u s %s\n", check->name, check->limit, reason);
        else if (WIFSIGNALED(status))
            printf("not ok %s: ended by signal %d %s\n", check->name, WTERMSIG(status), reason);
        else
            printf("not ok %s: %s\n", check->name, reason);
    }
}

int main(void) {
    if (!getenv("ZK_CONNECT") || !getenv("ZK_CTL")) {
        fprintf(stderr, "cclient: ZK_CONNECT and ZK_CTL must be set\n");
        return 2;
    }
    const struct check *tables[] = {node_checks, watch_checks, session_checks, cli_checks};
    for (size_t table = 0; table < sizeof tables / sizeof *tables; table++)
        for (const struct check *check = tables[table]; check->name; check++)
            perform(check);
    printf("%d passed, %d failed\n", passed, failed);
    return failed ? 1 : 0;
}
