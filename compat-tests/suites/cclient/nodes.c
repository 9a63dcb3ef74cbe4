/* Nodes: every way to create, read, change, list and remove them, by the
 * blocking and by the asynchronous calls. */
#include "suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HOUR_MS (60 * 60 * 1000)

static int create(zhandle_t *handle, const char *path, int mode, char *made) {
    return zoo_create(handle, path, "v", 1, &ZOO_OPEN_ACL_UNSAFE, mode, made, made ? PATH_SIZE : 0);
}

static void connects(const char *root) {
    zhandle_t *handle = client();
    expect(zoo_state(handle), ZOO_CONNECTED_STATE);
    expect(zoo_recv_timeout(handle), 10000);
    const clientid_t *id = zoo_client_id(handle);
    holds(id->client_id != 0, "the session id is zero");
    int bits = 0;
    for (size_t index = 0; index < sizeof id->passwd; index++)
        bits |= id->passwd[index];
    holds(bits != 0, "the password is all zero");
    same_text("current server", zoo_get_current_server(handle), server());
    close_client(handle);
    struct events *session = new_events();
    handle = client_with(server(), 1000, NULL, session);
    session_state(session, ZOO_CONNECTED_STATE, 10);
    expect(zoo_recv_timeout(handle), 4000);
    close_client(handle);
}

static void read_only_flag(const char *root) {
    struct events *session = new_events();
    zhandle_t *handle = zookeeper_init(server(), note, 10000, NULL, session, ZOO_READONLY | ZOO_NO_LOG_CLIENTENV);
    session_state(session, ZOO_CONNECTED_STATE, 10);
    make(handle, below(root, "n"), "v");
    close_client(handle);
}

static void create_and_get(const char *root) {
    zhandle_t *handle = client();
    const char *path = below(root, "n");
    char made[PATH_SIZE];
    expect(create(handle, path, ZOO_PERSISTENT, made), ZOK);
    same_text("created path", made, path);
    same_data(handle, path, "v");
    struct Stat stat = look(handle, path);
    same_number("version", stat.version, 0);
    same_number("cversion", stat.cversion, 0);
    same_number("aversion", stat.aversion, 0);
    same_number("owner", stat.ephemeralOwner, 0);
    same_number("length", stat.dataLength, 1);
    same_number("children", stat.numChildren, 0);
    same_number("mzxid", stat.mzxid, stat.czxid);
    same_number("pzxid", stat.pzxid, stat.czxid);
    same_number("mtime", stat.mtime, stat.ctime);
    holds(llabs(stat.ctime / 1000 - (long long)time(NULL)) < 60, "ctime is not near the present");
    close_client(handle);
}

static void create_errors(const char *root) {
    zhandle_t *handle = client();
    make(handle, below(root, "n"), NULL);
    expect(create(handle, below(root, "n"), ZOO_PERSISTENT, NULL), ZNODEEXISTS);
    expect(create(handle, below(root, "gone/n"), ZOO_PERSISTENT, NULL), ZNONODE);
    expect(create(handle, below(root, "e"), ZOO_EPHEMERAL, NULL), ZOK);
    expect(create(handle, below(root, "e/c"), ZOO_PERSISTENT, NULL), ZNOCHILDRENFOREPHEMERALS);
    struct ACL_vector none = {0, NULL};
    expect(zoo_create(handle, below(root, "x"), "", 0, &none, ZOO_PERSISTENT, NULL, 0), ZINVALIDACL);
    close_client(handle);
}

static void null_data(const char *root) {
    zhandle_t *handle = client();
    char data[8];
    int length = sizeof data;
    make(handle, below(root, "null"), NULL);
    expect(zoo_get(handle, below(root, "null"), 0, data, &length, NULL), ZOK);
    same_number("length of null", length, -1);
    make(handle, below(root, "empty"), "");
    length = sizeof data;
    expect(zoo_get(handle, below(root, "empty"), 0, data, &length, NULL), ZOK);
    same_number("length of empty", length, 0);
    expect(zoo_set(handle, below(root, "empty"), NULL, -1, -1), ZOK);
    length = sizeof data;
    expect(zoo_get(handle, below(root, "empty"), 0, data, &length, NULL), ZOK);
    same_number("length after set to null", length, -1);
    close_client(handle);
}

static void sequences(const char *root) {
    zhandle_t *handle = client();
    char made[PATH_SIZE];
    expect(create(handle, below(root, "s-"), ZOO_PERSISTENT_SEQUENTIAL, made), ZOK);
    same_text("first", made, below(root, "s-0000000000"));
    expect(create(handle, below(root, "e-"), ZOO_EPHEMERAL_SEQUENTIAL, made), ZOK);
    same_text("second", made, below(root, "e-0000000001"));
    same_number("owner", look(handle, made).ephemeralOwner, zoo_client_id(handle)->client_id);
    drop(handle, made);
    expect(create(handle, below(root, "s-"), ZOO_PERSISTENT_SEQUENTIAL, made), ZOK);
    same_text("after a delete", made, below(root, "s-0000000002"));
    close_client(handle);
}

static void create2(const char *root) {
    zhandle_t *handle = client();
    char made[PATH_SIZE];
    struct Stat stat, read;
    expect(zoo_create2(handle, below(root, "n"), "abc", 3, &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT, made, sizeof made, &stat), ZOK);
    same_text("path", made, below(root, "n"));
    read = look(handle, made);
    same_stat("stat of the reply", &stat, &read);
    same_number("length", stat.dataLength, 3);
    expect(zoo_create2(handle, below(root, "e-"), "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL_SEQUENTIAL, made, sizeof made, &stat), ZOK);
    same_text("sequential path", made, below(root, "e-0000000001"));
    same_number("owner", stat.ephemeralOwner, zoo_client_id(handle)->client_id);
    close_client(handle);
}

/* An emptied container goes away; one that never had a child stays. */
static void container(const char *root) {
    zhandle_t *handle = client();
    struct Stat stat;
    char made[PATH_SIZE];
    expect(create(handle, below(root, "c"), ZOO_CONTAINER, made), ZOK);
    same_text("path", made, below(root, "c"));
    expect(zoo_create2(handle, below(root, "d"), "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_CONTAINER, made, sizeof made, &stat), ZOK);
    same_number("owner is not shown", stat.ephemeralOwner, 0);
    make(handle, below(root, "c/child"), NULL);
    pause_ms(1200);
    same_number("container with a child", present(handle, below(root, "c")), 1);
    drop(handle, below(root, "c/child"));
    vanishes(handle, below(root, "c"), 10);
    same_number("container never used", present(handle, below(root, "d")), 1);
    close_client(handle);
}

static int create_ttl(zhandle_t *handle, const char *path, int mode, int64_t ttl, char *made) {
    return zoo_create_ttl(handle, path, "v", 1, &ZOO_OPEN_ACL_UNSAFE, mode, ttl, made, PATH_SIZE);
}

static void ttl(const char *root) {
    zhandle_t *handle = client();
    struct Stat stat;
    char made[PATH_SIZE];
    expect(create_ttl(handle, below(root, "short"), ZOO_PERSISTENT_WITH_TTL, 700, made), ZOK);
    expect(create_ttl(handle, below(root, "busy"), ZOO_PERSISTENT_WITH_TTL, 700, made), ZOK);
    make(handle, below(root, "busy/child"), NULL);
    expect(create_ttl(handle, below(root, "long-"), ZOO_PERSISTENT_SEQUENTIAL_WITH_TTL, HOUR_MS, made), ZOK);
    same_text("sequential path", made, below(root, "long-0000000002"));
    expect(zoo_create2_ttl(handle, below(root, "two"), "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT_WITH_TTL, HOUR_MS, made,
                           sizeof made, &stat), ZOK);
    same_number("owner is not shown", stat.ephemeralOwner, 0);
    expect(create_ttl(handle, below(root, "zero"), ZOO_PERSISTENT_WITH_TTL, 0, made), ZBADARGUMENTS);
    vanishes(handle, below(root, "short"), 10);
    same_number("node with a child", present(handle, below(root, "busy")), 1);
    same_number("node with time left", present(handle, below(root, "two")), 1);
    drop(handle, below(root, "busy/child"));
    vanishes(handle, below(root, "busy"), 10);
    close_client(handle);
}

static void set_versions(const char *root) {
    zhandle_t *handle = client();
    const char *path = below(root, "n");
    struct Stat stat;
    make(handle, path, "a");
    expect(zoo_set(handle, path, "b", 1, 0), ZOK);
    expect(zoo_set2(handle, path, "ccc", 3, 1, &stat), ZOK);
    same_number("version", stat.version, 2);
    same_number("length", stat.dataLength, 3);
    holds(stat.mzxid > stat.czxid, "mzxid did not grow");
    expect(zoo_set(handle, path, "d", 1, 1), ZBADVERSION);
    expect(zoo_set(handle, below(root, "gone"), "d", 1, -1), ZNONODE);
    same_data(handle, path, "ccc");
    close_client(handle);
}

static void deletes(const char *root) {
    zhandle_t *handle = client();
    make(handle, below(root, "n"), NULL);
    make(handle, below(root, "n/c"), NULL);
    expect(zoo_delete(handle, below(root, "n"), -1), ZNOTEMPTY);
    expect(zoo_delete(handle, below(root, "n/c"), 7), ZBADVERSION);
    expect(zoo_delete(handle, below(root, "n/c"), 0), ZOK);
    drop(handle, below(root, "n"));
    expect(zoo_delete(handle, below(root, "n"), -1), ZNONODE);
    close_client(handle);
}

static void children(const char *root) {
    zhandle_t *handle = client();
    struct String_vector names;
    struct Stat stat;
    const char *all[] = {"c", "a", "b"};
    for (int index = 0; index < 3; index++)
        make(handle, below(root, all[index]), NULL);
    drop(handle, below(root, "b"));
    expect(zoo_get_children(handle, root, 0, &names), ZOK);
    same_number("count", names.count, 2);
    holds(contains(&names, "a") && contains(&names, "c"), "a name is missing");
    deallocate_String_vector(&names);
    expect(zoo_get_children2(handle, root, 0, &names, &stat), ZOK);
    same_number("count with stat", names.count, 2);
    same_number("numChildren", stat.numChildren, 2);
    same_number("cversion", stat.cversion, 4);
    deallocate_String_vector(&names);
    expect(zoo_get_children(handle, below(root, "a"), 0, &names), ZOK);
    same_number("children of a leaf", names.count, 0);
    deallocate_String_vector(&names);
    expect(zoo_get_children(handle, below(root, "gone"), 0, &names), ZNONODE);
    close_client(handle);
}

static void big_data(const char *root) {
    enum { SIZE = 1000000 };
    zhandle_t *handle = client();
    char *data = malloc(SIZE), *back = malloc(SIZE);
    int length = SIZE;
    for (int index = 0; index < SIZE; index++)
        data[index] = (char)(index * 7);
    expect(zoo_create(handle, below(root, "n"), data, SIZE, &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT, NULL, 0), ZOK);
    expect(zoo_get(handle, below(root, "n"), 0, back, &length, NULL), ZOK);
    same_number("length", length, SIZE);
    holds(memcmp(data, back, SIZE) == 0, "the data differs");
    drop(handle, below(root, "n"));
    close_client(handle);
}

static struct ACL_vector one_acl(struct ACL *acl, int perms, char *scheme, char *id) {
    acl->perms = perms;
    acl->id.scheme = scheme;
    acl->id.id = id;
    return (struct ACL_vector){1, acl};
}

static void acls(const char *root) {
    zhandle_t *handle = client();
    struct ACL_vector list;
    struct ACL acl;
    struct Stat stat;
    const char *path = below(root, "n");
    make(handle, path, "v");
    expect(zoo_get_acl(handle, path, &list, &stat), ZOK);
    same_number("entries", list.count, 1);
    same_number("permissions", list.data[0].perms, ZOO_PERM_ALL);
    same_text("scheme", list.data[0].id.scheme, "world");
    same_text("id", list.data[0].id.id, "anyone");
    deallocate_ACL_vector(&list);
    struct ACL_vector closed = one_acl(&acl, ZOO_PERM_READ | ZOO_PERM_ADMIN, "world", "anyone");
    expect(zoo_set_acl(handle, path, 0, &closed), ZOK);
    same_number("aversion", look(handle, path).aversion, 1);
    expect(zoo_set_acl(handle, path, 0, &closed), ZBADVERSION);
    expect(zoo_set(handle, path, "x", 1, -1), ZNOAUTH);
    expect(create(handle, below(root, "n/c"), ZOO_PERSISTENT, NULL), ZNOAUTH);
    struct ACL_vector unknown = one_acl(&acl, ZOO_PERM_ALL, "nonesuch", "x");
    expect(zoo_create(handle, below(root, "x"), "", 0, &unknown, ZOO_PERSISTENT, NULL, 0), ZINVALIDACL);
    expect(zoo_create(handle, below(root, "x"), "", 0, &ZOO_CREATOR_ALL_ACL, ZOO_PERSISTENT, NULL, 0), ZINVALIDACL);
    struct ACL_vector away = one_acl(&acl, ZOO_PERM_ALL, "ip", "10.1.2.3");
    expect(zoo_create(handle, below(root, "away"), "", 0, &away, ZOO_PERSISTENT, NULL, 0), ZOK);
    char data[8];
    int length = sizeof data;
    expect(zoo_get(handle, below(root, "away"), 0, data, &length, NULL), ZNOAUTH);
    close_client(handle);
}

static void auth(const char *root) {
    zhandle_t *owner = client(), *other = client();
    const char *path = below(root, "n");
    char data[8];
    int length = sizeof data;
    authenticate(owner, "digest", "ann:secret", ZOK);
    expect(zoo_create(owner, path, "v", 1, &ZOO_CREATOR_ALL_ACL, ZOO_PERSISTENT, NULL, 0), ZOK);
    struct ACL_vector list;
    expect(zoo_get_acl(owner, path, &list, NULL), ZOK);
    same_text("scheme", list.data[0].id.scheme, "digest");
    same_text("id", list.data[0].id.id, "ann:7RJfAeIvrl4zdj6sS2fXrQHDvHM=");
    deallocate_ACL_vector(&list);
    expect(zoo_get(other, path, 0, data, &length, NULL), ZNOAUTH);
    authenticate(other, "digest", "ann:wrong", ZOK);
    expect(zoo_get(other, path, 0, data, &length, NULL), ZNOAUTH);
    authenticate(other, "digest", "ann:secret", ZOK);
    same_data(other, path, "v");
    zhandle_t *admin = client();
    authenticate(admin, "digest", "super:test", ZOK);
    same_data(admin, path, "v");
    drop(admin, path);
    close_client(admin);
    close_client(other);
    close_client(owner);
}

static void unknown_scheme(const char *root) {
    struct events *session = new_events();
    zhandle_t *handle = client_with(server(), 10000, NULL, session);
    session_state(session, ZOO_CONNECTED_STATE, 10);
    struct outcome *outcome = new_outcome();
    expect(zoo_add_auth(handle, "nonesuch", "x", 1, void_done, outcome), ZOK);
    same_number("result", settled(outcome), ZAUTHFAILED);
    session_state(session, ZOO_AUTH_FAILED_STATE, 10);
    expect(is_unrecoverable(handle), ZINVALIDSTATE);
    zookeeper_close(handle);
}

static void multi(const char *root) {
    zhandle_t *handle = client();
    char a[PATH_SIZE], sequential[PATH_SIZE];
    struct Stat stat;
    zoo_op_t ops[6];
    zoo_op_result_t results[6];
    make(handle, below(root, "old"), NULL);
    put(handle, below(root, "old"), "1");
    zoo_check_op_init(&ops[0], below(root, "old"), 1);
    zoo_create_op_init(&ops[1], below(root, "a"), "x", 1, &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT, a, sizeof a);
    zoo_set_op_init(&ops[2], below(root, "a"), "yy", 2, 0, &stat);
    zoo_create_op_init(&ops[3], below(root, "a/s-"), "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT_SEQUENTIAL, sequential,
                       sizeof sequential);
    zoo_create_op_init(&ops[4], below(root, "e"), NULL, -1, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL, NULL, 0);
    zoo_delete_op_init(&ops[5], below(root, "old"), 1);
    expect(zoo_multi(handle, 6, ops, results), ZOK);
    for (int index = 0; index < 6; index++)
        same_number("result", results[index].err, ZOK);
    same_text("path", a, below(root, "a"));
    same_text("sequential path", sequential, below(root, "a/s-0000000000"));
    same_number("version", stat.version, 1);
    same_number("length", stat.dataLength, 2);
    same_number("one zxid for all", look(handle, below(root, "e")).czxid, look(handle, below(root, "a")).czxid);
    same_number("deleted", present(handle, below(root, "old")), 0);
    close_client(handle);
}

static void multi_failure(const char *root) {
    zhandle_t *handle = client();
    zoo_op_t ops[3];
    zoo_op_result_t results[3];
    zoo_create_op_init(&ops[0], below(root, "a"), "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT, NULL, 0);
    zoo_delete_op_init(&ops[1], below(root, "gone"), -1);
    zoo_create_op_init(&ops[2], below(root, "b"), "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT, NULL, 0);
    expect(zoo_multi(handle, 3, ops, results), ZNONODE);
    same_number("before the culprit", results[0].err, ZOK);
    same_number("the culprit", results[1].err, ZNONODE);
    same_number("behind the culprit", results[2].err, ZRUNTIMEINCONSISTENCY);
    same_number("cversion", look(handle, root).cversion, 0);
    make(handle, below(root, "n"), NULL);
    zoo_check_op_init(&ops[0], below(root, "n"), 4);
    zoo_delete_op_init(&ops[1], below(root, "n"), -1);
    expect(zoo_multi(handle, 2, ops, results), ZBADVERSION);
    same_number("exists", present(handle, below(root, "n")), 1);
    close_client(handle);
}

static void config_node(const char *root) {
    zhandle_t *handle = client();
    char data[64];
    int length = sizeof data;
    struct Stat stat;
    expect(zoo_getconfig(handle, 0, data, &length, &stat), ZOK);
    same_number("length", length, 0);
    same_number("version", stat.version, 0);
    expect(zoo_reconfig(handle, "server.9=127.0.0.1:1:2;3", NULL, NULL, -1, data, &length, &stat), ZRECONFIGDISABLED);
    close_client(handle);
}

/* ----------------------------------------------------------- asynchronous */

static void string_done(int rc, const char *value, const void *outcome) {
    settle((struct outcome *)outcome, rc, value, NULL);
}

static void string_stat_done(int rc, const char *value, const struct Stat *stat, const void *outcome) {
    settle((struct outcome *)outcome, rc, value, stat);
}

static void stat_done(int rc, const struct Stat *stat, const void *outcome) {
    settle((struct outcome *)outcome, rc, NULL, stat);
}

static void data_done(int rc, const char *value, int length, const struct Stat *stat, const void *context) {
    char text[PATH_SIZE] = "";
    if (value && length >= 0)
        snprintf(text, sizeof text, "%.*s", length, value);
    settle((struct outcome *)context, rc, text, stat);
}

static void strings_done(int rc, const struct String_vector *names, const void *outcome) {
    settle((struct outcome *)outcome, rc, names && names->count > 0 ? names->data[0] : "", NULL);
}

static void strings_stat_done(int rc, const struct String_vector *names, const struct Stat *stat, const void *outcome) {
    settle((struct outcome *)outcome, rc, names && names->count > 0 ? names->data[0] : "", stat);
}

static void acl_done(int rc, struct ACL_vector *acl, struct Stat *stat, const void *outcome) {
    settle((struct outcome *)outcome, rc, acl && acl->count > 0 ? acl->data[0].id.scheme : "", stat);
}

/* Everything is sent before anything is awaited: dependent writes and the
 * reads behind them must work while nothing is committed yet. */
static void pipelined_calls(const char *root) {
    zhandle_t *handle = client();
    const struct ACL_vector *open = &ZOO_OPEN_ACL_UNSAFE;
    const char *n = below(root, "n");
    struct outcome *made = new_outcome(), *made2 = new_outcome(), *timed = new_outcome(), *timed2 = new_outcome();
    struct outcome *set = new_outcome(), *got = new_outcome(), *seen = new_outcome(), *listed = new_outcome();
    struct outcome *listed2 = new_outcome(), *acl = new_outcome(), *set_acl = new_outcome(), *synced = new_outcome();
    struct outcome *multi = new_outcome(), *deleted = new_outcome(), *missing = new_outcome(), *config = new_outcome();
    zoo_op_t ops[1];
    zoo_op_result_t results[1];
    zoo_create_op_init(&ops[0], below(n, "m"), "", 0, open, ZOO_PERSISTENT, NULL, 0);
    expect(zoo_acreate(handle, n, "v", 1, open, ZOO_PERSISTENT, string_done, made), ZOK);
    expect(zoo_acreate2(handle, below(n, "c"), "w", 1, open, ZOO_EPHEMERAL, string_stat_done, made2), ZOK);
    expect(zoo_acreate_ttl(handle, below(root, "t"), "", 0, open, ZOO_PERSISTENT_WITH_TTL, HOUR_MS, string_done, timed), ZOK);
    expect(zoo_acreate2_ttl(handle, below(root, "u-"), "", 0, open, ZOO_PERSISTENT_SEQUENTIAL_WITH_TTL, HOUR_MS, string_stat_done,
                            timed2), ZOK);
    expect(zoo_aset(handle, n, "x", 1, 0, stat_done, set), ZOK);
    expect(zoo_aget(handle, n, 0, data_done, got), ZOK);
    expect(zoo_aexists(handle, n, 0, stat_done, seen), ZOK);
    expect(zoo_aget_children(handle, n, 0, strings_done, listed), ZOK);
    expect(zoo_aget_children2(handle, n, 0, strings_stat_done, listed2), ZOK);
    expect(zoo_aget_acl(handle, n, acl_done, acl), ZOK);
    expect(zoo_aset_acl(handle, n, 0, &ZOO_OPEN_ACL_UNSAFE, void_done, set_acl), ZOK);
    expect(zoo_async(handle, n, string_done, synced), ZOK);
    expect(zoo_amulti(handle, 1, ops, results, void_done, multi), ZOK);
    expect(zoo_adelete(handle, below(n, "m"), 0, void_done, deleted), ZOK);
    expect(zoo_aget(handle, below(root, "gone"), 0, data_done, missing), ZOK);
    expect(zoo_agetconfig(handle, 0, data_done, config), ZOK);

    struct outcome *all[] = {made, made2, timed, timed2, set, got, seen, listed, listed2, acl, set_acl, synced, multi, deleted};
    for (int index = 0; index < 14; index++) {
        same_number("result code", settled(all[index]), ZOK);
        same_number("place in the order of replies", all[index]->order, index);
    }
    expect(settled(missing), ZNONODE);
    expect(settled(config), ZOK);
    same_text("create", made->text, n);
    same_text("create2", made2->text, below(n, "c"));
    same_number("owner", made2->stat.ephemeralOwner, zoo_client_id(handle)->client_id);
    same_text("create ttl", timed->text, below(root, "t"));
    same_text("create2 ttl", timed2->text, below(root, "u-0000000002"));
    same_number("set", set->stat.version, 1);
    same_text("get", got->text, "x");
    same_number("exists", seen->stat.numChildren, 1);
    same_text("get_children", listed->text, "c");
    same_number("get_children2", listed2->stat.cversion, 1);
    same_text("get_acl", acl->text, "world");
    same_text("sync", synced->text, n);
    same_number("aversion", look(handle, n).aversion, 1);
    close_client(handle);
}

static void pipelined_thousand(const char *root) {
    enum { COUNT = 1000 };
    static struct outcome *outcomes[COUNT];
    char expected[32];
    zhandle_t *handle = client();
    for (int index = 0; index < COUNT; index++) {
        outcomes[index] = new_outcome();
        expect(zoo_acreate(handle, below(root, "p-"), "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT_SEQUENTIAL, string_done,
                           outcomes[index]), ZOK);
    }
    for (int index = 0; index < COUNT; index++) {
        expect(settled(outcomes[index]), ZOK);
        snprintf(expected, sizeof expected, "p-%010d", index);
        same_text("path", outcomes[index]->text, below(root, expected));
        same_number("order", outcomes[index]->order, index);
    }
    same_number("children", look(handle, root).numChildren, COUNT);
    close_client(handle);
}

const struct check node_checks[] = {
    {"connect: state, timeout, id and password", 30, connects},
    {"connect: read-only servers accepted, full one given", 30, read_only_flag},
    {"create and get: data and stat", 20, create_and_get},
    {"create: errors", 20, create_errors},
    {"create: null and empty data", 20, null_data},
    {"create: sequences", 20, sequences},
    {"create2: stat in the reply", 20, create2},
    {"create: containers are swept once emptied", 25, container},
    {"create: TTL nodes are swept when their time is over", 35, ttl},
    {"set, set2: versions", 20, set_versions},
    {"delete: versions and children", 20, deletes},
    {"get_children, get_children2", 20, children},
    {"one million bytes", 30, big_data},
    {"acl: default, set, versions, refusals", 20, acls},
    {"auth: digest and super user", 20, auth},
    {"auth: unknown scheme", 30, unknown_scheme},
    {"multi: every operation", 20, multi},
    {"multi: failures", 20, multi_failure},
    {"getconfig and reconfig", 20, config_node},
    {"asynchronous: one of each, dependent, in order", 30, pipelined_calls},
    {"asynchronous: one thousand pipelined", 20, pipelined_thousand},
    {NULL, 0, NULL},
};
