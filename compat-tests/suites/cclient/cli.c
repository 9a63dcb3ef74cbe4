/* The shell cli_mt, driven through pipes: one command at a time, and what it
 * prints about it. */
#include "suite.h"

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct shell {
    pid_t process;
    int input, output;
    size_t length, consumed;
    char text[65536]; /* everything it has printed */
};

static struct shell *open_shell(const char *command) {
    struct shell *shell = calloc(1, sizeof *shell);
    int in[2], out[2];
    holds(pipe(in) == 0 && pipe(out) == 0, "no pipe");
    shell->process = fork();
    if (shell->process == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        dup2(out[1], STDERR_FILENO);
        for (int number = 3; number < 64; number++)
            close(number);
        const char *program = getenv("CLI_MT");
        execl(program, program, "-h", server(), command ? "-c" : NULL, command, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    shell->input = in[1];
    shell->output = out[0];
    return shell;
}

/* Waits until the text appears behind what was consumed before. */
static void prints(struct shell *shell, const char *format, ...) {
    char wanted[PATH_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(wanted, sizeof wanted, format, arguments);
    va_end(arguments);
    time_t until = time(NULL) + 10;
    for (;;) {
        char *found = strstr(shell->text + shell->consumed, wanted);
        if (found) {
            shell->consumed = (size_t)(found - shell->text) + strlen(wanted);
            return;
        }
        struct pollfd ready = {.fd = shell->output, .events = POLLIN};
        ssize_t size = 0;
        if (poll(&ready, 1, 200) > 0) {
            size = read(shell->output, shell->text + shell->length, sizeof shell->text - 1 - shell->length);
            if (size <= 0)
                fail("it ended without printing \"%s\"; it said: %.400s", wanted, shell->text + shell->consumed);
            shell->length += (size_t)size;
        }
        if (size == 0 && time(NULL) > until)
            fail("it did not print \"%s\", but: %.400s", wanted, shell->text + shell->consumed);
    }
}

static void types(struct shell *shell, const char *format, ...) {
    char line[PATH_SIZE];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    line[length++] = '\n';
    holds(write(shell->input, line, (size_t)length) == length, "it does not read its input");
}

static void quit(struct shell *shell) {
    int status;
    types(shell, "quit");
    prints(shell, "Quitting...");
    holds(waitpid(shell->process, &status, 0) == shell->process, "no exit status");
    same_number("exit status", status, 0);
}

static struct shell *connected(void) {
    struct shell *shell = open_shell(NULL);
    prints(shell, "SESSION_EVENT state = CONNECTED_STATE");
    prints(shell, "Got a new session id: 0x");
    return shell;
}

static void creates(const char *root) {
    struct shell *shell = connected();
    const char *modes[][3] = {{"create", "a", "a"},        {"create +s", "s-", "s-0000000001"}, {"create +e", "e", "e"},
                              {"create +es", "t-", "t-0000000003"}, {"create +c", "c", "c"},    {"create +t=3600000", "ttl", "ttl"}};
    for (size_t index = 0; index < sizeof modes / sizeof *modes; index++) {
        types(shell, "%s %s/%s", modes[index][0], root, modes[index][1]);
        prints(shell, "[%s/%s]: rc = 0\n\tname = %s/%s\n", root, modes[index][1], root, modes[index][2]);
    }
    types(shell, "create %s/a", root);
    prints(shell, "[%s/a]: rc = %d", root, ZNODEEXISTS);
    types(shell, "create %s/gone/a", root);
    prints(shell, "[%s/gone/a]: rc = %d", root, ZNONODE);
    types(shell, "create2 %s/two", root);
    prints(shell, "[%s/two]: rc = 0\n\tname = %s/two\n", root, root);
    prints(shell, "version=0\taversion=0\n\tephemeralOwner = 0");
    zhandle_t *handle = client();
    same_number("ephemeral seen by others", present(handle, below(root, "t-0000000003")), 1);
    quit(shell);
    same_number("ephemeral after quit", present(handle, below(root, "t-0000000003")), 0);
    close_client(handle);
}

static void reads_and_writes(const char *root) {
    struct shell *shell = connected();
    zhandle_t *handle = client();
    const char *path = below(root, "n");
    make(handle, path, "old");
    types(shell, "get %s", path);
    prints(shell, "%s: rc = 0\n value_len = 3\nold\n", path);
    types(shell, "set %s some words", path);
    prints(shell, "%s: rc = 0 Stat:", path);
    prints(shell, "version=1\taversion=0");
    same_data(handle, path, "some words");
    types(shell, "get %s", path);
    prints(shell, "%s: rc = 0\n value_len = 10\nsome words\n", path);
    prints(shell, "version=1");
    types(shell, "get %s/gone", root);
    prints(shell, "%s/gone: rc = %d", root, ZNONODE);
    make(handle, below(path, "c"), NULL);
    types(shell, "ls %s", path);
    prints(shell, "%s: rc = 0\n\tc\n", path);
    types(shell, "ls2 %s", path);
    prints(shell, "%s: rc = 0\n\tc\n", path);
    prints(shell, "version=1\taversion=0");
    types(shell, "delete %s", path);
    prints(shell, "%s: rc = %d", path, ZNOTEMPTY);
    types(shell, "delete %s/c", path);
    prints(shell, "%s/c: rc = 0", path);
    types(shell, "adelete %s", path);
    prints(shell, "%s: rc = 0", path);
    same_number("deleted", present(handle, path), 0);
    types(shell, "sync %s", root);
    prints(shell, "[%s]: rc = 0\n\tname = %s\n", root, root);
    types(shell, "config");
    prints(shell, "%s: rc = 0\n value_len = 0", ZOO_CONFIG_NODE);
    types(shell, "ls /zookeeper");
    prints(shell, "/zookeeper: rc = 0\n");
    quit(shell);
    close_client(handle);
}

static void existence_and_watch(const char *root) {
    struct shell *shell = connected();
    zhandle_t *handle = client();
    const char *path = below(root, "n");
    types(shell, "wexists %s", path);
    prints(shell, "Error %d for %s\n", ZNONODE, path);
    make(handle, path, "v");
    prints(shell, "Watcher CREATED_EVENT state = CONNECTED_STATE for path %s\n", path);
    /* For a node that exists it prints nothing: the next reply says it is done. */
    types(shell, "wexists %s", path);
    types(shell, "sync %s", root);
    prints(shell, "[%s]: rc = 0", root);
    put(handle, path, "w");
    prints(shell, "Watcher CHANGED_EVENT state = CONNECTED_STATE for path %s\n", path);
    quit(shell);
    close_client(handle);
}

static void credentials(const char *root) {
    struct shell *shell = connected();
    zhandle_t *handle = client();
    const char *path = below(root, "n");
    authenticate(handle, "digest", "ann:secret", ZOK);
    expect(zoo_create(handle, path, "v", 1, &ZOO_CREATOR_ALL_ACL, ZOO_PERSISTENT, NULL, 0), ZOK);
    types(shell, "get %s", path);
    prints(shell, "%s: rc = %d", path, ZNOAUTH);
    types(shell, "addauth digest ann:secret");
    types(shell, "get %s", path);
    prints(shell, "%s: rc = 0\n value_len = 1\nv\n", path);
    quit(shell);
    close_client(handle);
}

static void one_command(const char *root) {
    zhandle_t *handle = client();
    char command[PATH_SIZE];
    int status;
    make(handle, below(root, "n"), "v");
    snprintf(command, sizeof command, "ls %s", root);
    struct shell *shell = open_shell(command);
    prints(shell, "%s: rc = 0\n\tn\n", root);
    holds(waitpid(shell->process, &status, 0) == shell->process, "no exit status");
    same_number("exit status", status, 0);
    close_client(handle);
}

const struct check cli_checks[] = {
    {"cli_mt: create in every mode", 30, creates},
    {"cli_mt: get, set, ls, delete, sync, config", 30, reads_and_writes},
    {"cli_mt: exists and its watch", 30, existence_and_watch},
    {"cli_mt: addauth", 30, credentials},
    {"cli_mt: one command from the command line", 30, one_command},
    {NULL, 0, NULL},
};
