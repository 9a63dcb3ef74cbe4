/* Watches: what fires, once, for whom, and what removal does. */
#include "suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void watch_data(zhandle_t *handle, const char *path, struct events *events) {
    char data[64];
    int length = sizeof data;
    expect(zoo_wget(handle, path, note, events, data, &length, NULL), ZOK);
}

static void watch_existence(zhandle_t *handle, const char *path, struct events *events, int expected) {
    expect(zoo_wexists(handle, path, note, events, NULL), expected);
}

static void watch_children(zhandle_t *handle, const char *path, struct events *events) {
    struct String_vector names;
    expect(zoo_wget_children(handle, path, note, events, &names), ZOK);
    deallocate_String_vector(&names);
}

/* Returns once every event sent before has been delivered: events arrive in
 * order, and this one is the last. */
static void fence(zhandle_t *handle, const char *root) {
    struct events *last = new_events();
    const char *path = below(root, "fence");
    watch_existence(handle, path, last, ZNONODE);
    make(handle, path, NULL);
    next_event(last, ZOO_CREATED_EVENT, path);
    drop(handle, path);
}

static void data_watch(const char *root) {
    zhandle_t *handle = client(), *other = client();
    struct events *events = new_events();
    const char *path = below(root, "n");
    make(other, path, "a");
    watch_data(handle, path, events);
    put(other, path, "b");
    next_event(events, ZOO_CHANGED_EVENT, path);
    put(other, path, "c");
    fence(handle, root);
    no_event(events, "second write, one watch");
    watch_data(handle, path, events);
    drop(other, path);
    next_event(events, ZOO_DELETED_EVENT, path);
    close_client(other);
    close_client(handle);
}

static void existence_watch(const char *root) {
    zhandle_t *handle = client();
    struct events *events = new_events();
    const char *path = below(root, "n");
    watch_existence(handle, path, events, ZNONODE);
    make(handle, path, "a");
    next_event(events, ZOO_CREATED_EVENT, path);
    watch_existence(handle, path, events, ZOK);
    put(handle, path, "b");
    next_event(events, ZOO_CHANGED_EVENT, path);
    watch_existence(handle, path, events, ZOK);
    drop(handle, path);
    next_event(events, ZOO_DELETED_EVENT, path);
    close_client(handle);
}

static void children_watch(const char *root) {
    zhandle_t *handle = client();
    struct events *events = new_events();
    struct String_vector names;
    struct Stat stat;
    const char *path = below(root, "n");
    make(handle, path, "a");
    watch_children(handle, path, events);
    put(handle, path, "b");
    fence(handle, root);
    no_event(events, "data of the parent");
    make(handle, below(path, "c"), NULL);
    next_event(events, ZOO_CHILD_EVENT, path);
    expect(zoo_wget_children2(handle, path, note, events, &names, &stat), ZOK);
    same_number("children", stat.numChildren, names.count);
    deallocate_String_vector(&names);
    drop(handle, below(path, "c"));
    next_event(events, ZOO_CHILD_EVENT, path);
    watch_children(handle, path, events);
    drop(handle, path);
    next_event(events, ZOO_DELETED_EVENT, path);
    close_client(handle);
}

/* The old style: a flag on the read, and the handle's own watcher. */
static void default_watcher(const char *root) {
    struct events *session = new_events();
    zhandle_t *handle = client_with(server(), 10000, NULL, session);
    session_state(session, ZOO_CONNECTED_STATE, 10);
    char data[8];
    int length = sizeof data;
    struct String_vector names;
    const char *path = below(root, "n");
    expect(zoo_exists(handle, path, 1, NULL), ZNONODE);
    make(handle, path, "a");
    next_event(session, ZOO_CREATED_EVENT, path);
    expect(zoo_get(handle, path, 1, data, &length, NULL), ZOK);
    expect(zoo_get_children(handle, path, 1, &names), ZOK);
    deallocate_String_vector(&names);
    make(handle, below(path, "c"), NULL);
    next_event(session, ZOO_CHILD_EVENT, path);
    put(handle, path, "b");
    next_event(session, ZOO_CHANGED_EVENT, path);
    close_client(handle);
}

static void many_watchers(const char *root) {
    enum { CLIENTS = 3, WATCHERS = 4 };
    zhandle_t *handles[CLIENTS], *writer = client();
    struct events *events[CLIENTS][WATCHERS];
    const char *path = below(root, "n");
    make(writer, path, "a");
    for (int index = 0; index < CLIENTS; index++) {
        handles[index] = client();
        for (int watcher = 0; watcher < WATCHERS; watcher++) {
            events[index][watcher] = new_events();
            watch_data(handles[index], path, events[index][watcher]);
        }
    }
    put(writer, path, "b");
    for (int index = 0; index < CLIENTS; index++) {
        for (int watcher = 0; watcher < WATCHERS; watcher++)
            next_event(events[index][watcher], ZOO_CHANGED_EVENT, path);
        close_client(handles[index]);
    }
    close_client(writer);
}

static void order_in_multi(const char *root) {
    zhandle_t *handle = client();
    struct events *events = new_events();
    zoo_op_t ops[3];
    zoo_op_result_t results[3];
    make(handle, below(root, "a"), NULL);
    make(handle, below(root, "b"), NULL);
    watch_data(handle, below(root, "a"), events);
    watch_data(handle, below(root, "b"), events);
    watch_existence(handle, below(root, "c"), events, ZNONODE);
    zoo_create_op_init(&ops[0], below(root, "c"), "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT, NULL, 0);
    zoo_delete_op_init(&ops[1], below(root, "b"), -1);
    zoo_set_op_init(&ops[2], below(root, "a"), "x", 1, -1, NULL);
    expect(zoo_multi(handle, 3, ops, results), ZOK);
    next_event(events, ZOO_CREATED_EVENT, below(root, "c"));
    next_event(events, ZOO_DELETED_EVENT, below(root, "b"));
    next_event(events, ZOO_CHANGED_EVENT, below(root, "a"));
    close_client(handle);
}

static void removal(const char *root) {
    zhandle_t *handle = client();
    struct events *removed = new_events(), *kept = new_events(), *children = new_events(), *absent = new_events();
    const char *path = below(root, "n");
    make(handle, path, "a");
    watch_data(handle, path, removed);
    watch_children(handle, path, children);
    watch_existence(handle, below(root, "absent"), absent, ZNONODE);
    watch_data(handle, root, kept);
    expect(zoo_remove_watches(handle, path, ZWATCHTYPE_DATA, note, removed, 0), ZOK);
    expect(zoo_remove_watches(handle, path, ZWATCHTYPE_DATA, note, removed, 0), ZNOWATCHER);
    expect(zoo_remove_watches(handle, below(root, "absent"), ZWATCHTYPE_ANY, note, absent, 0), ZOK);
    put(handle, path, "b");
    make(handle, below(root, "absent"), NULL);
    fence(handle, root);
    no_event(removed, "removed data watch");
    no_event(absent, "removed existence watch");
    make(handle, below(path, "c"), NULL);
    next_event(children, ZOO_CHILD_EVENT, path);
    put(handle, root, "x");
    next_event(kept, ZOO_CHANGED_EVENT, root);
    close_client(handle);
}

static void removal_of_all(const char *root) {
    zhandle_t *handle = client();
    struct events *one = new_events(), *two = new_events(), *children = new_events();
    struct outcome *outcome = new_outcome();
    const char *path = below(root, "n");
    make(handle, path, "a");
    watch_data(handle, path, one);
    watch_existence(handle, path, two, ZOK);
    watch_children(handle, path, children);
    expect(zoo_remove_all_watches(handle, path, ZWATCHTYPE_CHILD, 0), ZOK);
    make(handle, below(path, "c"), NULL);
    drop(handle, below(path, "c"));
    fence(handle, root);
    no_event(children, "removed child watch");
    expect(zoo_aremove_all_watches(handle, path, ZWATCHTYPE_ANY, 0, (void_completion_t *)void_done, outcome), ZOK);
    expect(settled(outcome), ZOK);
    put(handle, path, "b");
    fence(handle, root);
    no_event(one, "removed data watch");
    no_event(two, "removed existence watch");
    watch_data(handle, path, one);
    put(handle, path, "c");
    next_event(one, ZOO_CHANGED_EVENT, path);
    close_client(handle);
}

static void config_watch(const char *root) {
    zhandle_t *handle = client();
    struct events *events = new_events();
    char data[64];
    int length = sizeof data;
    expect(zoo_wgetconfig(handle, note, events, data, &length, NULL), ZOK);
    put(handle, root, "x");
    fence(handle, root);
    no_event(events, "config watch");
    close_client(handle);
}

const struct check watch_checks[] = {
    {"watch: data", 30, data_watch},
    {"watch: existence", 30, existence_watch},
    {"watch: children", 30, children_watch},
    {"watch: by flag, at the handle's watcher", 30, default_watcher},
    {"watch: several watchers in several clients", 20, many_watchers},
    {"watch: events of a multi in its order", 30, order_in_multi},
    {"watch: removal of one watcher", 30, removal},
    {"watch: removal of all watchers", 30, removal_of_all},
    {"watch: configuration", 30, config_watch},
    {NULL, 0, NULL},
};
