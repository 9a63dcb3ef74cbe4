/* What the checks share: assertions, watch events, clients, a relay.
 *
 * A check runs in a forked process of its own and reports by ending it: a
 * failed assertion prints its reason and exits, so no check has to clean up
 * after a failure and a hanging one is stopped by its alarm. */
#ifndef SUITE_H
#define SUITE_H

#include <pthread.h>
#include <stdint.h>
#include <zookeeper/zookeeper.h>

#define PATH_SIZE 512
#define EVENTS_KEPT 64

struct check {
    const char *name;
    unsigned limit; /* seconds */
    void (*run)(const char *root);
};

/* Each file of checks ends with its table. */
extern const struct check node_checks[], watch_checks[], session_checks[], cli_checks[];

/* Assertions. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
void same_number(const char *what, int64_t actual, int64_t expected);
void same_text(const char *what, const char *actual, const char *expected);
#define expect(call, code) same_number(#call, (call), (code))
#define holds(condition, ...) ((condition) ? (void)0 : fail(__VA_ARGS__))

/* Watch events, kept in order of arrival. A zeroed struct is not enough. */
struct events {
    pthread_mutex_t lock;
    pthread_cond_t arrived;
    int count, taken;
    struct {
        int type, state;
        char path[PATH_SIZE];
    } kept[EVENTS_KEPT];
};
struct events *new_events(void);
void note(zhandle_t *handle, int type, int state, const char *path, void *events);
void next_event(struct events *events, int type, const char *path);
void session_state(struct events *events, int state, int seconds);
void no_event(struct events *events, const char *when);

/* The outcome of one asynchronous call. */
struct outcome {
    pthread_mutex_t lock;
    pthread_cond_t arrived;
    int done, rc, order, length;
    char text[PATH_SIZE];
    struct Stat stat;
};
struct outcome *new_outcome(void);
void settle(struct outcome *outcome, int rc, const char *text, const struct Stat *stat);
int settled(struct outcome *outcome); /* waits, returns the result code */
void void_done(int rc, const void *outcome);

/* Clients. */
const char *server(void);
zhandle_t *client(void);
zhandle_t *client_with(const char *hosts, int timeout, const clientid_t *id, struct events *session);
void close_client(zhandle_t *handle);
void authenticate(zhandle_t *handle, const char *scheme, const char *credential, int expected);

/* Nodes, in the shortest form; each fails the check when the server refuses. */
const char *below(const char *root, const char *name); /* valid for the check */
void make(zhandle_t *handle, const char *path, const char *data);
void put(zhandle_t *handle, const char *path, const char *data);
void drop(zhandle_t *handle, const char *path);
struct Stat look(zhandle_t *handle, const char *path);
void same_stat(const char *what, const struct Stat *actual, const struct Stat *expected);
void same_data(zhandle_t *handle, const char *path, const char *expected);
int present(zhandle_t *handle, const char *path);
void vanishes(zhandle_t *handle, const char *path, int seconds);
int contains(const struct String_vector *names, const char *name);

/* A relay between client and server whose links can be cut and held down. */
struct relay;
struct relay *new_relay(char *hosts, size_t size);
void hold(struct relay *relay); /* refuses new links, leaves the present ones */
void cut(struct relay *relay);
void mend(struct relay *relay);

void restart_server(struct relay *relay); /* with the relay in front of every client */
void pause_ms(int milliseconds);

#endif
