/* Sessions: resumed, expired, cut off, and kept across a server restart. */
#include "suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Leaves a session with an ephemeral node and no process behind it. Called
 * before the check has any client: only one thread survives a fork. */
static clientid_t orphan(const char *path, int timeout) {
    clientid_t id;
    int ends[2];
    holds(pipe(ends) == 0, "no pipe");
    pid_t child = fork();
    if (child == 0) {
        struct events *session = new_events();
        zhandle_t *handle = client_with(server(), timeout, NULL, session);
        session_state(session, ZOO_CONNECTED_STATE, 10);
        if (zoo_create(handle, path, "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL, NULL, 0) != ZOK)
            _exit(1);
        _exit(write(ends[1], zoo_client_id(handle), sizeof id) != sizeof id);
    }
    close(ends[1]);
    holds(read(ends[0], &id, sizeof id) == sizeof id, "the other process made no session");
    close(ends[0]);
    waitpid(child, NULL, 0);
    return id;
}

static void resumed(const char *root) {
    const char *path = below(root, "e");
    clientid_t id = orphan(path, 10000);
    zhandle_t *handle = client_with(server(), 10000, &id, NULL);
    same_number("session", zoo_client_id(handle)->client_id, id.client_id);
    holds(memcmp(zoo_client_id(handle)->passwd, id.passwd, sizeof id.passwd) == 0, "the password changed");
    same_number("owner", look(handle, path).ephemeralOwner, id.client_id);
    close_client(handle);
    handle = client();
    same_number("after the close", present(handle, path), 0);
    close_client(handle);
}

static void refused(clientid_t *id) {
    struct events *session = new_events();
    zhandle_t *handle = client_with(server(), 10000, id, session);
    session_state(session, ZOO_EXPIRED_SESSION_STATE, 10);
    expect(is_unrecoverable(handle), ZINVALIDSTATE);
    expect(zoo_exists(handle, "/", 0, NULL), ZINVALIDSTATE);
    zookeeper_close(handle);
}

static void wrong_password(const char *root) {
    const char *path = below(root, "e");
    clientid_t id = orphan(path, 10000);
    memset(id.passwd, 7, sizeof id.passwd);
    refused(&id);
    zhandle_t *handle = client();
    same_number("node of the owner", present(handle, path), 1);
    close_client(handle);
}

static void unknown_session(const char *root) {
    clientid_t id = orphan(below(root, "e"), 10000);
    id.client_id += 1000;
    refused(&id);
}

static void expired(const char *root) {
    const char *path = below(root, "e");
    clientid_t id = orphan(path, 4000);
    zhandle_t *handle = client();
    struct events *events = new_events();
    expect(zoo_wexists(handle, path, note, events, NULL), ZOK);
    for (int tries = 0; present(handle, path); tries++) {
        holds(tries < 300, "the session lives on");
        pause_ms(50);
    }
    next_event(events, ZOO_DELETED_EVENT, path);
    close_client(handle);
    refused(&id);
}

static void kept_alive(const char *root) {
    struct events *session = new_events();
    zhandle_t *handle = client_with(server(), 4000, NULL, session);
    session_state(session, ZOO_CONNECTED_STATE, 10);
    expect(zoo_create(handle, below(root, "e"), "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL, NULL, 0), ZOK);
    pause_ms(6500);
    same_number("session events", session->count, 1);
    same_number("node", present(handle, below(root, "e")), 1);
    close_client(handle);
}

static void close_removes(const char *root) {
    zhandle_t *one = client(), *two = client();
    struct events *events = new_events();
    const char *path = below(root, "e");
    expect(zoo_create(one, path, "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL, NULL, 0), ZOK);
    expect(zoo_wexists(two, path, note, events, NULL), ZOK);
    close_client(one);
    next_event(events, ZOO_DELETED_EVENT, path);
    same_number("node", present(two, path), 0);
    close_client(two);
}

static void await_loss(struct events *session) {
    session_state(session, ZOO_CONNECTING_STATE, 20);
}

static void missed_events(const char *root) {
    char hosts[64], data[8];
    int length = sizeof data;
    struct String_vector names;
    struct relay *relay = new_relay(hosts, sizeof hosts);
    struct events *session = new_events(), *changed = new_events(), *deleted = new_events(), *created = new_events();
    struct events *parent = new_events(), *calm = new_events();
    zhandle_t *other = client(), *handle = client_with(hosts, 20000, NULL, session);
    session_state(session, ZOO_CONNECTED_STATE, 10);
    int64_t id = zoo_client_id(handle)->client_id;
    authenticate(handle, "digest", "cat:pw", ZOK);
    expect(zoo_create(handle, below(root, "closed"), "v", 1, &ZOO_CREATOR_ALL_ACL, ZOO_PERSISTENT, NULL, 0), ZOK);
    expect(zoo_create(handle, below(root, "e"), "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL, NULL, 0), ZOK);
    make(other, below(root, "changed"), "a");
    make(other, below(root, "deleted"), "a");
    make(other, below(root, "parent"), "a");
    make(other, below(root, "calm"), "a");
    expect(zoo_wget(handle, below(root, "changed"), note, changed, data, &length, NULL), ZOK);
    expect(zoo_wexists(handle, below(root, "deleted"), note, deleted, NULL), ZOK);
    expect(zoo_wexists(handle, below(root, "created"), note, created, NULL), ZNONODE);
    expect(zoo_wget_children(handle, below(root, "parent"), note, parent, &names), ZOK);
    deallocate_String_vector(&names);
    length = sizeof data;
    expect(zoo_wget(handle, below(root, "calm"), note, calm, data, &length, NULL), ZOK);

    cut(relay);
    await_loss(session);
    put(other, below(root, "changed"), "b");
    drop(other, below(root, "deleted"));
    make(other, below(root, "created"), NULL);
    make(other, below(root, "parent/c"), NULL);
    same_number("ephemeral while away", present(other, below(root, "e")), 1);
    mend(relay);
    session_state(session, ZOO_CONNECTED_STATE, 15);

    same_number("session", zoo_client_id(handle)->client_id, id);
    next_event(changed, ZOO_CHANGED_EVENT, below(root, "changed"));
    next_event(deleted, ZOO_DELETED_EVENT, below(root, "deleted"));
    next_event(created, ZOO_CREATED_EVENT, below(root, "created"));
    next_event(parent, ZOO_CHILD_EVENT, below(root, "parent"));
    same_data(handle, below(root, "closed"), "v");
    no_event(calm, "untouched node");
    put(other, below(root, "calm"), "b");
    next_event(calm, ZOO_CHANGED_EVENT, below(root, "calm"));
    close_client(handle);
    close_client(other);
}

static void lost(const char *root) {
    char hosts[64];
    struct relay *relay = new_relay(hosts, sizeof hosts);
    struct events *session = new_events();
    const char *path = below(root, "e");
    zhandle_t *other = client(), *handle = client_with(hosts, 4000, NULL, session);
    session_state(session, ZOO_CONNECTED_STATE, 10);
    expect(zoo_create(handle, path, "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL, NULL, 0), ZOK);
    cut(relay);
    await_loss(session);
    vanishes(other, path, 15);
    mend(relay);
    session_state(session, ZOO_EXPIRED_SESSION_STATE, 15);
    zookeeper_close(handle);
    close_client(other);
}

static void below_chroot(const char *root) {
    char hosts[PATH_SIZE], made[PATH_SIZE];
    struct events *events = new_events();
    zhandle_t *other = client();
    snprintf(hosts, sizeof hosts, "%s%s", server(), root);
    zhandle_t *handle = client_with(hosts, 10000, NULL, NULL);
    expect(zoo_create(handle, "/n", "a", 1, &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT, made, sizeof made), ZOK);
    same_text("created path", made, "/n");
    same_data(other, below(root, "n"), "a");
    expect(zoo_wexists(handle, "/n", note, events, NULL), ZOK);
    put(other, below(root, "n"), "b");
    next_event(events, ZOO_CHANGED_EVENT, "/n");
    struct Stat stat = look(handle, "/");
    same_number("children of the chroot", stat.numChildren, 1);
    close_client(handle);
    close_client(other);
}

static void restart(const char *root) {
    char data[8], made[PATH_SIZE], address[64], hosts[PATH_SIZE];
    int length = sizeof data;
    struct String_vector names;
    struct events *session = new_events(), *changed = new_events(), *created = new_events(), *parent = new_events();
    struct relay *relay = new_relay(address, sizeof address);
    snprintf(hosts, sizeof hosts, "%s%s", address, root);
    zhandle_t *handle = client_with(hosts, 30000, NULL, session);
    session_state(session, ZOO_CONNECTED_STATE, 10);
    int64_t id = zoo_client_id(handle)->client_id;
    authenticate(handle, "digest", "cat:pw", ZOK);
    expect(zoo_create(handle, "/closed", "v", 1, &ZOO_CREATOR_ALL_ACL, ZOO_PERSISTENT, NULL, 0), ZOK);
    expect(zoo_create(handle, "/e", "a", 1, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL, NULL, 0), ZOK);
    expect(zoo_create(handle, "/s-", "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT_SEQUENTIAL, made, sizeof made), ZOK);
    expect(zoo_wget(handle, "/e", note, changed, data, &length, NULL), ZOK);
    expect(zoo_wexists(handle, "/later", note, created, NULL), ZNONODE);
    expect(zoo_wget_children(handle, made, note, parent, &names), ZOK);
    deallocate_String_vector(&names);
    struct Stat before = look(handle, "/e"), top = look(handle, "/"), after;

    restart_server(relay);
    await_loss(session);
    session_state(session, ZOO_CONNECTED_STATE, 40);
    same_number("session", zoo_client_id(handle)->client_id, id);
    same_data(handle, "/closed", "v");
    after = look(handle, "/e");
    same_stat("stat of the ephemeral", &after, &before);
    after = look(handle, "/");
    same_stat("stat of the parent", &after, &top);
    put(handle, "/e", "b");
    next_event(changed, ZOO_CHANGED_EVENT, "/e");
    make(handle, "/later", NULL);
    next_event(created, ZOO_CREATED_EVENT, "/later");
    make(handle, below(made, "c"), NULL);
    next_event(parent, ZOO_CHILD_EVENT, made);
    expect(zoo_create(handle, "/s-", "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT_SEQUENTIAL, made, sizeof made), ZOK);
    same_text("sequence goes on", made, "/s-0000000004");
    close_client(handle);
}

const struct check session_checks[] = {
    {"session: resumed by another process", 20, resumed},
    {"session: wrong password", 20, wrong_password},
    {"session: unknown id", 20, unknown_session},
    {"session: expires when its process dies", 30, expired},
    {"session: short and idle, kept alive by pings", 20, kept_alive},
    {"session: close removes ephemerals at once", 20, close_removes},
    {"session: chroot is relative", 30, below_chroot},
    {"reconnect: watches restored, missed events delivered", 40, missed_events},
    {"reconnect: too late, the session has expired", 50, lost},
    {"restart: session, stats, watches and sequences go on", 90, restart},
    {NULL, 0, NULL},
};
