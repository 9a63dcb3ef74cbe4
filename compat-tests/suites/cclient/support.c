/* The helpers declared in suite.h. */
#include "suite.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ------------------------------------------------------------ assertions */

void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    fflush(stdout);
    _exit(1);
}

void same_number(const char *what, int64_t actual, int64_t expected) {
    if (actual != expected)
        fail("%s: expected %lld, got %lld", what, (long long)expected, (long long)actual);
}

void same_text(const char *what, const char *actual, const char *expected) {
    if (strcmp(actual, expected) != 0)
        fail("%s: expected \"%s\", got \"%s\"", what, expected, actual);
}

/* ---------------------------------------------------------------- events */

static struct timespec in_seconds(int seconds) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += seconds;
    return until;
}

struct events *new_events(void) {
    struct events *events = calloc(1, sizeof *events);
    pthread_mutex_init(&events->lock, NULL);
    pthread_cond_init(&events->arrived, NULL);
    return events;
}

void note(zhandle_t *handle, int type, int state, const char *path, void *context) {
    struct events *events = context;
    /* A watch object hears of the session too; only session listeners care. */
    if (!events)
        return;
    pthread_mutex_lock(&events->lock);
    if (events->count < EVENTS_KEPT) {
        events->kept[events->count].type = type;
        events->kept[events->count].state = state;
        snprintf(events->kept[events->count].path, PATH_SIZE, "%s", path ? path : "");
        events->count++;
        pthread_cond_broadcast(&events->arrived);
    }
    pthread_mutex_unlock(&events->lock);
}

void next_event(struct events *events, int type, const char *path) {
    struct timespec until = in_seconds(10);
    pthread_mutex_lock(&events->lock);
    for (;;) {
        while (events->taken < events->count && events->kept[events->taken].type == ZOO_SESSION_EVENT)
            events->taken++;
        if (events->taken < events->count)
            break;
        if (pthread_cond_timedwait(&events->arrived, &events->lock, &until) != 0)
            fail("no event of type %d for %s", type, path);
    }
    int index = events->taken++;
    same_number("event type", events->kept[index].type, type);
    same_text("event path", events->kept[index].path, path);
    pthread_mutex_unlock(&events->lock);
}

void session_state(struct events *events, int state, int seconds) {
    struct timespec until = in_seconds(seconds);
    pthread_mutex_lock(&events->lock);
    for (;;) {
        while (events->taken < events->count) {
            int index = events->taken++;
            if (events->kept[index].type == ZOO_SESSION_EVENT && events->kept[index].state == state) {
                pthread_mutex_unlock(&events->lock);
                return;
            }
        }
        if (pthread_cond_timedwait(&events->arrived, &events->lock, &until) != 0)
            fail("session state %d not reached within %d s", state, seconds);
    }
}

void no_event(struct events *events, const char *when) {
    pthread_mutex_lock(&events->lock);
    for (; events->taken < events->count; events->taken++)
        if (events->kept[events->taken].type != ZOO_SESSION_EVENT)
            fail("%s: unexpected event %d for %s", when, events->kept[events->taken].type, events->kept[events->taken].path);
    pthread_mutex_unlock(&events->lock);
}

/* -------------------------------------------------------------- outcomes */

static int settled_so_far; /* completions run on one thread, in reply order */

struct outcome *new_outcome(void) {
    struct outcome *outcome = calloc(1, sizeof *outcome);
    pthread_mutex_init(&outcome->lock, NULL);
    pthread_cond_init(&outcome->arrived, NULL);
    return outcome;
}

void settle(struct outcome *outcome, int rc, const char *text, const struct Stat *stat) {
    pthread_mutex_lock(&outcome->lock);
    outcome->rc = rc;
    outcome->order = settled_so_far++;
    snprintf(outcome->text, sizeof outcome->text, "%s", text ? text : "");
    if (stat)
        outcome->stat = *stat;
    outcome->done = 1;
    pthread_cond_broadcast(&outcome->arrived);
    pthread_mutex_unlock(&outcome->lock);
}

int settled(struct outcome *outcome) {
    struct timespec until = in_seconds(15);
    pthread_mutex_lock(&outcome->lock);
    while (!outcome->done)
        if (pthread_cond_timedwait(&outcome->arrived, &outcome->lock, &until) != 0)
            fail("an asynchronous call was not answered");
    pthread_mutex_unlock(&outcome->lock);
    return outcome->rc;
}

void void_done(int rc, const void *outcome) {
    settle((struct outcome *)outcome, rc, NULL, NULL);
}

/* --------------------------------------------------------------- clients */

const char *server(void) {
    return getenv("ZK_CONNECT");
}

zhandle_t *client_with(const char *hosts, int timeout, const clientid_t *id, struct events *session) {
    struct events *watched = session ? session : new_events();
    zhandle_t *handle = zookeeper_init2(hosts, note, timeout, id, watched, ZOO_NO_LOG_CLIENTENV, NULL);
    holds(handle != NULL, "zookeeper_init returned nothing");
    if (!session)
        session_state(watched, ZOO_CONNECTED_STATE, 15);
    return handle;
}

zhandle_t *client(void) {
    return client_with(server(), 10000, NULL, NULL);
}

void close_client(zhandle_t *handle) {
    expect(zookeeper_close(handle), ZOK);
}

void authenticate(zhandle_t *handle, const char *scheme, const char *credential, int expected) {
    struct outcome *outcome = new_outcome();
    expect(zoo_add_auth(handle, scheme, credential, (int)strlen(credential), void_done, outcome), ZOK);
    same_number("result of add_auth", settled(outcome), expected);
}

/* ----------------------------------------------------------------- nodes */

const char *below(const char *root, const char *name) {
    char *path = malloc(PATH_SIZE);
    snprintf(path, PATH_SIZE, "%s/%s", root, name);
    return path;
}

void make(zhandle_t *handle, const char *path, const char *data) {
    int length = data ? (int)strlen(data) : -1;
    same_number(path, zoo_create(handle, path, data, length, &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT, NULL, 0), ZOK);
}

void put(zhandle_t *handle, const char *path, const char *data) {
    same_number(path, zoo_set(handle, path, data, (int)strlen(data), -1), ZOK);
}

void drop(zhandle_t *handle, const char *path) {
    same_number(path, zoo_delete(handle, path, -1), ZOK);
}

struct Stat look(zhandle_t *handle, const char *path) {
    struct Stat stat;
    same_number(path, zoo_exists(handle, path, 0, &stat), ZOK);
    return stat;
}

/* Field by field: the struct has padding. */
void same_stat(const char *what, const struct Stat *actual, const struct Stat *expected) {
    same_number(what, actual->czxid, expected->czxid);
    same_number(what, actual->mzxid, expected->mzxid);
    same_number(what, actual->pzxid, expected->pzxid);
    same_number(what, actual->ctime, expected->ctime);
    same_number(what, actual->mtime, expected->mtime);
    same_number(what, actual->version, expected->version);
    same_number(what, actual->cversion, expected->cversion);
    same_number(what, actual->aversion, expected->aversion);
    same_number(what, actual->ephemeralOwner, expected->ephemeralOwner);
    same_number(what, actual->dataLength, expected->dataLength);
    same_number(what, actual->numChildren, expected->numChildren);
}

void same_data(zhandle_t *handle, const char *path, const char *expected) {
    char data[4096];
    int length = sizeof data - 1;
    same_number(path, zoo_get(handle, path, 0, data, &length, NULL), ZOK);
    holds(length >= 0, "%s: the data is null", path);
    data[length] = 0;
    same_text(path, data, expected);
}

int present(zhandle_t *handle, const char *path) {
    int rc = zoo_exists(handle, path, 0, NULL);
    holds(rc == ZOK || rc == ZNONODE, "exists %s: %d", path, rc);
    return rc == ZOK;
}

void vanishes(zhandle_t *handle, const char *path, int seconds) {
    for (int tries = 0; present(handle, path); tries++) {
        holds(tries < seconds * 20, "%s is still there after %d s", path, seconds);
        pause_ms(50);
    }
}

int contains(const struct String_vector *names, const char *name) {
    for (int index = 0; index < names->count; index++)
        if (strcmp(names->data[index], name) == 0)
            return 1;
    return 0;
}

static void control(const char *verb) {
    char command[PATH_SIZE];
    snprintf(command, sizeof command, "\"$ZK_CTL\" %s >/dev/null", verb);
    same_number(verb, system(command), 0);
}

/* Nobody connects while the server starts: the reference can forget a
 * connection that it accepts before it runs, and the client then waits for
 * its whole timeout. That is not what is checked. */
void restart_server(struct relay *relay) {
    hold(relay);
    control("stop");
    control("start");
    mend(relay);
}

void pause_ms(int milliseconds) {
    usleep((useconds_t)milliseconds * 1000);
}
