// The server as seen through node-zookeeper-client, a client written from
// scratch for Node.js: it sends the short ConnectRequest without the read-only
// flag, uses getChildren2 only, and restores its watches after a reconnect.
//
// Not a test of the client. Every check stands on its own nodes, so that one
// failure does not colour the next.
'use strict';

const crypto = require('crypto');
const net = require('net');
const { spawn, execFile } = require('child_process');
const zk = require('node-zookeeper-client');

const { ACL, Id, Permission, CreateMode, State, Event, Exception } = zk;
const CONNECT = process.env.ZK_CONNECT;
const CHECK_MS = 20000;

// ---------------------------------------------------------------- client use

// Starts a client and resolves once it is connected. The states it went
// through are kept, because the events are part of what is being checked.
function open(connect = CONNECT, options = {}) {
    const client = zk.createClient(connect, { sessionTimeout: 10000, spinDelay: 100, ...options });
    client.seen = [];
    client.on('state', (state) => client.seen.push(state.name));
    return new Promise((resolve, reject) => {
        client.once('connected', () => resolve(client));
        client.once('expired', () => reject(new Error('session expired')));
        client.once('authenticationFailed', () => reject(new Error('authentication failed')));
        client.connect();
    });
}

// One promise per call; values after the error come back as an array when
// there is more than one.
function call(client, method, ...args) {
    return new Promise((resolve, reject) => {
        client[method](...args, (error, ...values) => {
            if (error) {
                reject(error);
            } else {
                resolve(values.length > 1 ? values : values[0]);
            }
        });
    });
}

function commit(transaction) {
    return new Promise((resolve) => {
        transaction.commit((error, results) => resolve({ error, results }));
    });
}

function closed(client) {
    return new Promise((resolve) => {
        client.once('disconnected', resolve);
        client.close();
    });
}

function arrives(client, event, ms = 15000) {
    return within(ms, `event ${event}`, new Promise((resolve) => client.once(event, resolve)));
}

// A watcher with the promise of its first event, and every event it received.
function watcher(ms = 10000) {
    const events = [];
    let tell;
    const first = new Promise((resolve) => { tell = resolve; });
    const fn = (event) => {
        events.push(`${event.getName()} ${event.getPath()}`);
        tell(event);
    };
    return { fn, events, first: () => within(ms, 'watch event', first) };
}

function within(ms, what, promise) {
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`no ${what} within ${ms} ms`)), ms);
    });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function sleep(ms) {
    return new Promise((resolve) => setTimeout(resolve, ms));
}

async function eventually(what, probe, ms = 12000) {
    const until = Date.now() + ms;
    while (!(await probe())) {
        if (Date.now() > until) {
            throw new Error(`${what}: not within ${ms} ms`);
        }
        await sleep(50);
    }
}

// ---------------------------------------------------------------- assertions

function same(actual, expected, what) {
    const a = JSON.stringify(actual);
    const e = JSON.stringify(expected);
    if (a !== e) {
        throw new Error(`${what}: expected ${e}, got ${a}`);
    }
}

function holds(condition, what) {
    if (!condition) {
        throw new Error(what);
    }
}

async function fails(code, what, promise) {
    let error;
    try {
        await promise;
    } catch (thrown) {
        error = thrown;
    }
    holds(error, `${what}: expected error ${code}, but it succeeded`);
    same(error.code, code, `${what}: error code`);
}

const long = (buffer) => buffer.readBigInt64BE(0);
const bytes = (text) => Buffer.from(text);

function digest(user, password) {
    const hash = crypto.createHash('sha1').update(`${user}:${password}`).digest('base64');
    return `${user}:${hash}`;
}

// A relay in front of the server whose connections can be cut while the
// server itself keeps running, and which then refuses until reopened.
async function relay() {
    const [host, port] = CONNECT.split(':');
    const links = new Set();
    let open = true;
    const server = net.createServer((near) => {
        if (!open) {
            near.destroy();
            return;
        }
        const far = net.connect(Number(port), host);
        links.add(near);
        for (const [one, other] of [[near, far], [far, near]]) {
            one.on('data', (chunk) => other.write(chunk));
            one.on('close', () => other.destroy());
            one.on('error', () => other.destroy());
        }
        near.on('close', () => links.delete(near));
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    return {
        connect: `127.0.0.1:${server.address().port}`,
        // Refuses new links and leaves the present ones alone.
        hold() {
            open = false;
        },
        cut() {
            this.hold();
            for (const link of links) {
                link.destroy();
            }
        },
        mend() {
            open = true;
        },
        stop() {
            this.cut();
            server.close();
        },
    };
}

// A process of its own that opens a session with one ephemeral node and is
// then killed, leaving the session to itself.
async function orphan(path, timeout) {
    const child = spawn(process.execPath, [__filename, '--orphan', path, String(timeout)], { stdio: ['ignore', 'pipe', 'inherit'] });
    const exited = new Promise((resolve) => child.once('exit', resolve));
    const line = await within(10000, 'session of the other process', new Promise((resolve) => {
        let text = '';
        child.stdout.on('data', (chunk) => {
            text += chunk;
            if (text.includes('\n')) {
                resolve(text);
            }
        });
    })).finally(() => child.kill('SIGKILL'));
    await exited;
    const [id, password] = line.trim().split(' ').map((hex) => Buffer.from(hex, 'hex'));
    return { id, password };
}

async function beOrphan(path, timeout) {
    const client = await open(CONNECT, { sessionTimeout: timeout });
    await call(client, 'create', path, CreateMode.EPHEMERAL);
    process.stdout.write(`${client.getSessionId().toString('hex')} ${client.getSessionPassword().toString('hex')}\n`);
}

function control(verb) {
    return new Promise((resolve, reject) => {
        execFile(process.env.ZK_CTL, [verb], { timeout: 60000 }, (error) => (error ? reject(error) : resolve()));
    });
}

// -------------------------------------------------------------------- checks

const checks = [];
function check(name, fn, ms = CHECK_MS) {
    checks.push({ name, fn, ms });
}

let main; // the client most checks share
let root; // a fresh parent node for the running check

check('connect: events, session id and password', async () => {
    const client = await open();
    same(client.getState().name, 'SYNC_CONNECTED', 'state');
    same(client.seen, ['SYNC_CONNECTED'], 'states seen');
    holds(long(client.getSessionId()) !== 0n, 'session id is zero');
    same(client.getSessionPassword().length, 16, 'password length');
    holds(client.getSessionPassword().some((byte) => byte !== 0), 'password is all zero');
    await closed(client);
});

check('session timeout is negotiated between 2 and 20 ticks', async () => {
    for (const [asked, granted] of [[1000, 4000], [10000, 10000], [90000, 40000]]) {
        const client = await open(CONNECT, { sessionTimeout: asked });
        same(client.getSessionTimeout(), granted, `timeout for ${asked}`);
        await closed(client);
    }
});

check('create and getData: data and stat', async () => {
    const path = `${root}/n`;
    same(await call(main, 'create', path, bytes('hello')), path, 'created path');
    const [data, stat] = await call(main, 'getData', path);
    same(data.toString(), 'hello', 'data');
    same([stat.version, stat.cversion, stat.aversion, stat.dataLength, stat.numChildren], [0, 0, 0, 5, 0], 'stat counters');
    same(String(long(stat.ephemeralOwner)), '0', 'ephemeralOwner');
    same([String(long(stat.mzxid)), String(long(stat.pzxid))], [String(long(stat.czxid)), String(long(stat.czxid))], 'mzxid, pzxid');
    same(String(long(stat.mtime)), String(long(stat.ctime)), 'mtime');
    holds(Math.abs(Number(long(stat.ctime)) - Date.now()) < 60000, 'ctime is not near the present');
});

check('create without data and with an empty buffer', async () => {
    await call(main, 'create', `${root}/none`);
    const [none, stat] = await call(main, 'getData', `${root}/none`);
    holds(none === undefined || none === null, `null data came back as ${JSON.stringify(none)}`);
    same(stat.dataLength, 0, 'dataLength of null data');
    await call(main, 'create', `${root}/empty`, Buffer.alloc(0));
    const [empty] = await call(main, 'getData', `${root}/empty`);
    holds(Buffer.isBuffer(empty) && empty.length === 0, `empty data came back as ${JSON.stringify(empty)}`);
});

check('create refuses an existing node and a missing parent', async () => {
    await call(main, 'create', `${root}/n`);
    await fails(Exception.NODE_EXISTS, 'same path', call(main, 'create', `${root}/n`));
    await fails(Exception.NO_NODE, 'missing parent', call(main, 'create', `${root}/gone/n`));
    await fails(Exception.NODE_EXISTS, 'root', call(main, 'create', '/'));
});

check('create persistent sequential: ten digits, counting up', async () => {
    for (const number of ['0000000000', '0000000001', '0000000002']) {
        same(await call(main, 'create', `${root}/s-`, CreateMode.PERSISTENT_SEQUENTIAL), `${root}/s-${number}`, 'path');
    }
    await call(main, 'remove', `${root}/s-0000000002`);
    same(await call(main, 'create', `${root}/s-`, CreateMode.PERSISTENT_SEQUENTIAL), `${root}/s-0000000003`, 'path after a delete');
});

check('create ephemeral: owner, no children', async () => {
    await call(main, 'create', `${root}/e`, CreateMode.EPHEMERAL);
    const stat = await call(main, 'exists', `${root}/e`);
    same(stat.ephemeralOwner.toString('hex'), main.getSessionId().toString('hex'), 'owner');
    await fails(Exception.NO_CHILDREN_FOR_EPHEMERALS, 'child of ephemeral', call(main, 'create', `${root}/e/c`));
    const path = await call(main, 'create', `${root}/es-`, CreateMode.EPHEMERAL_SEQUENTIAL);
    same(path, `${root}/es-0000000001`, 'sequential path');
    const second = await call(main, 'exists', path);
    same(second.ephemeralOwner.toString('hex'), main.getSessionId().toString('hex'), 'owner of sequential');
});

check('setData: version counts up, bad version refused', async () => {
    await call(main, 'create', `${root}/n`, bytes('a'));
    same((await call(main, 'setData', `${root}/n`, bytes('b'))).version, 1, 'version after -1');
    const stat = await call(main, 'setData', `${root}/n`, bytes('ccc'), 1);
    same([stat.version, stat.dataLength], [2, 3], 'version and length');
    holds(long(stat.mzxid) > long(stat.czxid), 'mzxid did not grow');
    await fails(Exception.BAD_VERSION, 'old version', call(main, 'setData', `${root}/n`, bytes('d'), 1));
    await fails(Exception.NO_NODE, 'no node', call(main, 'setData', `${root}/gone`, bytes('d')));
    same((await call(main, 'getData', `${root}/n`))[0].toString(), 'ccc', 'data');
});

check('remove: versions, children, absence', async () => {
    await call(main, 'create', `${root}/n`);
    await call(main, 'create', `${root}/n/c`);
    await fails(Exception.NOT_EMPTY, 'node with child', call(main, 'remove', `${root}/n`));
    await fails(Exception.BAD_VERSION, 'wrong version', call(main, 'remove', `${root}/n/c`, 5));
    await call(main, 'remove', `${root}/n/c`, 0);
    await call(main, 'remove', `${root}/n`);
    await fails(Exception.NO_NODE, 'again', call(main, 'remove', `${root}/n`));
    same(await call(main, 'exists', `${root}/n`), null, 'exists');
});

check('getChildren: names and parent stat', async () => {
    for (const name of ['c', 'a', 'b']) {
        await call(main, 'create', `${root}/${name}`);
    }
    await call(main, 'remove', `${root}/b`);
    const [children, stat] = await call(main, 'getChildren', root);
    same(children.sort(), ['a', 'c'], 'children');
    same([stat.numChildren, stat.cversion, stat.version], [2, 4, 0], 'parent counters');
    const [none] = await call(main, 'getChildren', `${root}/a`);
    same(none, [], 'children of a leaf');
    await fails(Exception.NO_NODE, 'no node', call(main, 'getChildren', `${root}/gone`));
});

check('mkdirp makes the whole way and accepts what exists', async () => {
    same(await call(main, 'mkdirp', `${root}/x/y/z`, bytes('p')), `${root}/x/y/z`, 'mkdirp path');
    same(await call(main, 'mkdirp', `${root}/x/w`), `${root}/x/w`, 'second path');
    same((await call(main, 'getData', `${root}/x/y`))[0].toString(), 'p', 'data of an ancestor');
    same((await call(main, 'getChildren', `${root}/x`))[0].sort(), ['w', 'y'], 'children');
});

// With the release of its helper library that the lock file names, this client
// walks one level only, so the tree is one level deep.
check('listSubTreeBFS and removeRecursive', async () => {
    for (const path of ['x', 'x/a', 'x/b']) {
        await call(main, 'create', `${root}/${path}`);
    }
    const tree = await call(main, 'listSubTreeBFS', `${root}/x`);
    same(tree.sort(), [`${root}/x`, `${root}/x/a`, `${root}/x/b`], 'tree');
    await call(main, 'removeRecursive', `${root}/x`);
    same(await call(main, 'exists', `${root}/x`), null, 'exists after removal');
});

check('data of one million bytes comes back intact', async () => {
    const data = crypto.randomBytes(1000000);
    await call(main, 'create', `${root}/big`, data);
    const [back, stat] = await call(main, 'getData', `${root}/big`);
    holds(back.equals(data), 'data differs');
    same(stat.dataLength, data.length, 'dataLength');
    await call(main, 'setData', `${root}/big`, Buffer.alloc(0));
});

check('five hundred pipelined creates answered in order', async () => {
    const order = [];
    const calls = [];
    for (let i = 0; i < 500; i += 1) {
        calls.push(call(main, 'create', `${root}/p-`, bytes(String(i)), CreateMode.PERSISTENT_SEQUENTIAL).then((path) => order.push(path)));
    }
    await Promise.all(calls);
    same(order, order.map((_, i) => `${root}/p-${String(i).padStart(10, '0')}`), 'paths in reply order');
    same((await call(main, 'getData', `${root}/p-0000000499`))[0].toString(), '499', 'data of the last');
    same((await call(main, 'getChildren', root))[0].length, 500, 'number of children');
});

check('pipelined dependent writes see each other', async () => {
    const results = await Promise.all([
        call(main, 'create', `${root}/a`),
        call(main, 'create', `${root}/a/b`),
        call(main, 'setData', `${root}/a/b`, bytes('1'), 0),
        call(main, 'getData', `${root}/a/b`),
        call(main, 'remove', `${root}/a/b`, 1),
        call(main, 'exists', `${root}/a/b`),
    ]);
    same(results[3][0].toString(), '1', 'read behind the write');
    same(results[5], null, 'exists behind the delete');
});

check('ACL: default, set, versions, refusals', async () => {
    await call(main, 'create', `${root}/n`);
    const [acls, stat] = await call(main, 'getACL', `${root}/n`);
    same(acls.map((acl) => [acl.permission, acl.id.scheme, acl.id.id]), [[31, 'world', 'anyone']], 'default acl');
    same(stat.aversion, 0, 'aversion');
    const readOnly = [new ACL(Permission.READ | Permission.ADMIN, Id.ANYONE_ID_UNSAFE)];
    same((await call(main, 'setACL', `${root}/n`, readOnly, 0)).aversion, 1, 'aversion after set');
    await fails(Exception.BAD_VERSION, 'old aversion', call(main, 'setACL', `${root}/n`, readOnly, 0));
    await fails(Exception.NO_AUTH, 'write', call(main, 'setData', `${root}/n`, bytes('x')));
    await fails(Exception.NO_AUTH, 'create below', call(main, 'create', `${root}/n/c`));
    const unknown = [new ACL(Permission.ALL, new Id('nonesuch', 'who'))];
    await fails(Exception.INVALID_ACL, 'unknown scheme', call(main, 'create', `${root}/bad`, unknown));
    await fails(Exception.INVALID_ACL, 'auth without credentials', call(main, 'create', `${root}/bad`, ACL.CREATOR_ALL_ACL));
});

check('ACL: ip scheme admits this address and no other', async () => {
    await call(main, 'create', `${root}/in`, bytes('v'), [new ACL(Permission.ALL, new Id('ip', '127.0.0.0/8'))]);
    same((await call(main, 'getData', `${root}/in`))[0].toString(), 'v', 'data');
    await call(main, 'create', `${root}/out`, bytes('v'), [new ACL(Permission.ALL, new Id('ip', '10.1.2.3'))]);
    await fails(Exception.NO_AUTH, 'foreign address', call(main, 'getData', `${root}/out`));
});

check('auth: digest opens what the creator closed', async () => {
    const owner = await open();
    owner.addAuthInfo('digest', bytes('ann:secret'));
    await call(owner, 'create', `${root}/n`, bytes('v'), ACL.CREATOR_ALL_ACL);
    const [acls] = await call(owner, 'getACL', `${root}/n`);
    same(acls.map((acl) => [acl.permission, acl.id.scheme, acl.id.id]), [[31, 'digest', digest('ann', 'secret')]], 'acl');
    await fails(Exception.NO_AUTH, 'stranger', call(main, 'getData', `${root}/n`));
    const other = await open();
    other.addAuthInfo('digest', bytes('ann:wrong'));
    await fails(Exception.NO_AUTH, 'wrong password', call(other, 'getData', `${root}/n`));
    other.addAuthInfo('digest', bytes('ann:secret'));
    same((await call(other, 'getData', `${root}/n`))[0].toString(), 'v', 'second credential');
    await closed(owner);
    await closed(other);
});

check('auth: credentials given before connecting', async () => {
    const client = zk.createClient(CONNECT, { sessionTimeout: 10000 });
    client.addAuthInfo('digest', bytes('bob:pw'));
    const connected = arrives(client, 'connected');
    client.connect();
    await connected;
    await call(client, 'create', `${root}/n`, bytes('v'), [new ACL(Permission.ALL, new Id('digest', digest('bob', 'pw')))]);
    same((await call(client, 'getData', `${root}/n`))[0].toString(), 'v', 'data');
    await closed(client);
});

check('auth: the super user passes every ACL', async () => {
    await call(main, 'create', `${root}/n`, bytes('v'), [new ACL(Permission.ALL, new Id('digest', digest('x', 'y')))]);
    await fails(Exception.NO_AUTH, 'stranger', call(main, 'getData', `${root}/n`));
    const admin = await open();
    admin.addAuthInfo('digest', bytes('super:test'));
    same((await call(admin, 'getData', `${root}/n`))[0].toString(), 'v', 'data');
    await call(admin, 'remove', `${root}/n`);
    await closed(admin);
});

check('auth: an unknown scheme fails the connection', async () => {
    const client = await open();
    const failed = arrives(client, 'authenticationFailed');
    client.addAuthInfo('nonesuch', bytes('x'));
    await failed;
});

check('transaction: all four operations', async () => {
    await call(main, 'create', `${root}/old`);
    await call(main, 'setData', `${root}/old`, bytes('1'));
    const { error, results } = await commit(main.transaction()
        .check(`${root}/old`, 1)
        .create(`${root}/a`, bytes('x'))
        .setData(`${root}/a`, bytes('yy'))
        .create(`${root}/a/s-`, CreateMode.PERSISTENT_SEQUENTIAL)
        .create(`${root}/e`, CreateMode.EPHEMERAL)
        .remove(`${root}/old`, 1));
    holds(!error, `failed: ${error}`);
    same(results.map((r) => r.type), [13, 1, 5, 1, 1, 2], 'result types');
    same(results[1].path, `${root}/a`, 'path');
    same([results[2].stat.version, results[2].stat.dataLength], [1, 2], 'stat of setData');
    same(results[3].path, `${root}/a/s-0000000000`, 'sequential path');
    same(await call(main, 'exists', `${root}/old`), null, 'removed node');
    const zxids = [(await call(main, 'exists', `${root}/a`)).czxid, (await call(main, 'exists', `${root}/e`)).czxid];
    same(zxids[0].toString('hex'), zxids[1].toString('hex'), 'one zxid for all');
});

check('transaction: a failure undoes everything and names the culprit', async () => {
    const { error, results } = await commit(main.transaction()
        .create(`${root}/a`)
        .setData(`${root}/a`, bytes('x'))
        .remove(`${root}/gone`)
        .create(`${root}/b`));
    same(error && error.code, Exception.NO_NODE, 'error');
    same(results.map((r) => [r.type, r.err]), [[-1, 0], [-1, 0], [-1, -101], [-1, -2]], 'results');
    same((await call(main, 'getChildren', root))[0], [], 'children');
    await call(main, 'create', `${root}/n`);
    const bad = await commit(main.transaction().create(`${root}/a`).check(`${root}/n`, 7));
    same(bad.error && bad.error.code, Exception.BAD_VERSION, 'check error');
    same(await call(main, 'exists', `${root}/a`), null, 'exists');
});

check('transaction: empty', async () => {
    const { error, results } = await commit(main.transaction());
    holds(!error, `failed: ${error}`);
    same(results, [], 'results');
});

check('watch: data change fires once, before the reply of the writer', async () => {
    await call(main, 'create', `${root}/n`, bytes('a'));
    const watch = watcher();
    await call(main, 'getData', `${root}/n`, watch.fn);
    await call(main, 'setData', `${root}/n`, bytes('b'));
    same(watch.events, [`NODE_DATA_CHANGED ${root}/n`], 'events when the reply is here');
    await call(main, 'setData', `${root}/n`, bytes('c'));
    same(watch.events.length, 1, 'events after a second write');
});

check('watch: deletion reaches data and child watchers', async () => {
    const other = await open();
    await call(main, 'create', `${root}/n`);
    const data = watcher();
    const child = watcher();
    await call(main, 'getData', `${root}/n`, data.fn);
    await call(main, 'getChildren', `${root}/n`, child.fn);
    await call(other, 'remove', `${root}/n`);
    same((await data.first()).getType(), Event.NODE_DELETED, 'data watcher');
    same((await child.first()).getType(), Event.NODE_DELETED, 'child watcher');
    await sleep(100);
    same([data.events.length, child.events.length], [1, 1], 'events per watcher');
    await closed(other);
});

check('watch: exists sees creation, then change', async () => {
    const other = await open();
    const birth = watcher();
    same(await call(main, 'exists', `${root}/n`, birth.fn), null, 'exists');
    await call(other, 'create', `${root}/n`);
    same((await birth.first()).getType(), Event.NODE_CREATED, 'creation');
    const change = watcher();
    holds(await call(main, 'exists', `${root}/n`, change.fn), 'node should exist');
    await call(other, 'setData', `${root}/n`, bytes('x'));
    same((await change.first()).getType(), Event.NODE_DATA_CHANGED, 'change');
    await closed(other);
});

check('watch: children come and go, data changes do not count', async () => {
    const watch = watcher();
    await call(main, 'getChildren', root, watch.fn);
    await call(main, 'setData', root, bytes('x'));
    same(watch.events, [], 'after setData of the parent');
    await call(main, 'create', `${root}/c`);
    same(watch.events, [`NODE_CHILDREN_CHANGED ${root}`], 'after create');
    await call(main, 'setData', `${root}/c`, bytes('x'));
    const again = watcher();
    await call(main, 'getChildren', root, again.fn);
    await call(main, 'remove', `${root}/c`);
    same(again.events, [`NODE_CHILDREN_CHANGED ${root}`], 'after remove');
});

check('watch: events of one transaction come in its order', async () => {
    const seen = [];
    const note = (event) => seen.push(`${event.getName()} ${event.getPath()}`);
    for (const name of ['b', 'a', 'c']) {
        await call(main, 'create', `${root}/${name}`);
        await call(main, 'getData', `${root}/${name}`, (event) => note(event));
    }
    await commit(main.transaction().setData(`${root}/c`, bytes('1')).remove(`${root}/a`).setData(`${root}/b`, bytes('1')));
    same(seen, [`NODE_DATA_CHANGED ${root}/c`, `NODE_DELETED ${root}/a`, `NODE_DATA_CHANGED ${root}/b`], 'events');
});

check('chroot: paths and events are relative', async () => {
    const client = await open(`${CONNECT}${root}`);
    same(await call(client, 'create', '/a', bytes('x')), '/a', 'created path');
    same((await call(main, 'getData', `${root}/a`))[0].toString(), 'x', 'seen from outside');
    same((await call(client, 'getChildren', '/'))[0], ['a'], 'children of the chroot');
    const watch = watcher();
    await call(client, 'getData', '/a', watch.fn);
    await call(main, 'setData', `${root}/a`, bytes('y'));
    same((await watch.first()).getPath(), '/a', 'event path');
    await closed(client);
});

check('close: ephemerals are gone for everybody at once', async () => {
    const client = await open();
    await call(client, 'create', `${root}/e`, CreateMode.EPHEMERAL);
    const watch = watcher();
    await call(main, 'exists', `${root}/e`, watch.fn);
    await closed(client);
    same(client.seen, ['SYNC_CONNECTED', 'DISCONNECTED'], 'states seen');
    same((await watch.first()).getType(), Event.NODE_DELETED, 'event');
    same(await call(main, 'exists', `${root}/e`), null, 'exists');
});

check('session: another process takes it over with id and password', async () => {
    const { id, password } = await orphan(`${root}/e`, 10000);
    const client = await open(CONNECT, { sessionId: id, sessionPassword: password });
    same(client.getSessionId().toString('hex'), id.toString('hex'), 'session id');
    same(client.getSessionPassword().toString('hex'), password.toString('hex'), 'password');
    holds(await call(client, 'exists', `${root}/e`), 'the ephemeral is gone');
    await closed(client);
    same(await call(main, 'exists', `${root}/e`), null, 'exists after close');
});

check('session: a wrong password is answered with expiry', async () => {
    const { id } = await orphan(`${root}/e`, 10000);
    const client = zk.createClient(CONNECT, { sessionTimeout: 10000, sessionId: id, sessionPassword: Buffer.alloc(16, 7) });
    const expired = arrives(client, 'expired');
    client.connect();
    await expired;
    holds(await call(main, 'exists', `${root}/e`), 'the ephemeral of the true owner is gone');
});

check('session: an abandoned one expires and takes its ephemerals along', async () => {
    const { id, password } = await orphan(`${root}/e`, 4000);
    const watch = watcher(15000);
    holds(await call(main, 'exists', `${root}/e`, watch.fn), 'the ephemeral went too early');
    same((await watch.first()).getType(), Event.NODE_DELETED, 'event');
    const late = zk.createClient(CONNECT, { sessionTimeout: 10000, sessionId: id, sessionPassword: password });
    const expired = arrives(late, 'expired');
    late.connect();
    await expired;
}, 30000);

check('session: an idle one is kept alive by pings', async () => {
    const client = await open(CONNECT, { sessionTimeout: 4000 });
    await call(client, 'create', `${root}/e`, CreateMode.EPHEMERAL);
    await sleep(7000);
    same(client.seen, ['SYNC_CONNECTED'], 'states seen');
    holds(await call(main, 'exists', `${root}/e`), 'the ephemeral is gone');
    await closed(client);
});

check('reconnect: watches restored, missed events delivered', async () => {
    const link = await relay();
    try {
        const client = await open(link.connect);
        const id = client.getSessionId().toString('hex');
        for (const name of ['changed', 'deleted', 'calm', 'parent']) {
            await call(main, 'create', `${root}/${name}`);
        }
        const watches = {};
        for (const name of ['changed', 'deleted', 'calm']) {
            watches[name] = watcher();
            await call(client, 'getData', `${root}/${name}`, watches[name].fn);
        }
        watches.created = watcher();
        await call(client, 'exists', `${root}/created`, watches.created.fn);
        watches.parent = watcher();
        await call(client, 'getChildren', `${root}/parent`, watches.parent.fn);

        const lost = arrives(client, 'disconnected');
        link.cut();
        await lost;
        await call(main, 'setData', `${root}/changed`, bytes('x'));
        await call(main, 'remove', `${root}/deleted`);
        await call(main, 'create', `${root}/created`);
        await call(main, 'create', `${root}/parent/c`);
        const back = arrives(client, 'connected');
        link.mend();
        await back;

        same(client.getSessionId().toString('hex'), id, 'session id');
        same((await watches.changed.first()).getType(), Event.NODE_DATA_CHANGED, 'changed');
        same((await watches.deleted.first()).getType(), Event.NODE_DELETED, 'deleted');
        same((await watches.created.first()).getType(), Event.NODE_CREATED, 'created');
        same((await watches.parent.first()).getType(), Event.NODE_CHILDREN_CHANGED, 'parent');
        await call(client, 'exists', root);
        same(watches.calm.events, [], 'watch on the untouched node');
        await call(main, 'setData', `${root}/calm`, bytes('x'));
        same((await watches.calm.first()).getType(), Event.NODE_DATA_CHANGED, 'restored watch');
        await closed(client);
    } finally {
        link.stop();
    }
});

// The last check, because the shared client does not survive it.
check('restart: same session, ephemeral, credentials and watches', async () => {
    // Nobody connects while the server starts: the reference can forget a
    // connection that it accepts before it runs, and this client waits forever.
    const link = await relay();
    const client = await open(link.connect, { sessionTimeout: 30000 });
    const id = client.getSessionId().toString('hex');
    client.addAuthInfo('digest', bytes('cat:pw'));
    await call(client, 'create', `${root}/closed`, bytes('v'), ACL.CREATOR_ALL_ACL);
    await call(client, 'create', `${root}/e`, CreateMode.EPHEMERAL);
    await call(client, 'create', `${root}/s-`, CreateMode.PERSISTENT_SEQUENTIAL);
    const data = watcher();
    const birth = watcher();
    const child = watcher();
    await call(client, 'getData', `${root}/e`, data.fn);
    await call(client, 'exists', `${root}/later`, birth.fn);
    await call(client, 'getChildren', `${root}/s-0000000002`, child.fn);
    const before = await call(client, 'exists', `${root}/closed`);

    const back = arrives(client, 'connected', 60000);
    link.hold();
    await control('stop');
    await control('start');
    link.mend();
    await back;
    same(client.seen, ['SYNC_CONNECTED', 'DISCONNECTED', 'SYNC_CONNECTED'], 'states seen');
    same(client.getSessionId().toString('hex'), id, 'session id');
    const [value, after] = await call(client, 'getData', `${root}/closed`);
    same(value.toString(), 'v', 'data behind the ACL');
    same(after.czxid.toString('hex'), before.czxid.toString('hex'), 'czxid');
    same(after.ctime.toString('hex'), before.ctime.toString('hex'), 'ctime');
    same((await call(client, 'exists', `${root}/e`)).ephemeralOwner.toString('hex'), id, 'owner');
    same(await call(client, 'create', `${root}/s-`, CreateMode.PERSISTENT_SEQUENTIAL), `${root}/s-0000000003`, 'sequence goes on');

    await call(client, 'setData', `${root}/e`, bytes('x'));
    await call(client, 'create', `${root}/later`);
    await call(client, 'create', `${root}/s-0000000002/c`);
    same((await data.first()).getType(), Event.NODE_DATA_CHANGED, 'data watch');
    same((await birth.first()).getType(), Event.NODE_CREATED, 'exists watch');
    same((await child.first()).getType(), Event.NODE_CHILDREN_CHANGED, 'child watch');
    await closed(client);
    link.stop();
}, 90000);

// -------------------------------------------------------------------- runner

let passed = 0;
let failed = 0;

function giveUp(error) {
    console.log(`not ok suite: ${String(error.message || error).replace(/\s+/g, ' ')}`);
    console.log(`${passed} passed, ${failed + 1} failed`);
    process.exit(1);
}

async function run() {
    main = await within(30000, 'first connection', open(CONNECT, { sessionTimeout: 40000 }));
    await call(main, 'mkdirp', '/nodeclient');
    for (const [number, { name, fn, ms }] of checks.entries()) {
        try {
            if (main.getState() !== State.SYNC_CONNECTED) {
                await arrives(main, 'connected', 30000);
            }
            root = `/nodeclient/${number}`;
            await within(5000, 'reply', call(main, 'create', root));
            await within(ms, 'end of the check', fn());
            passed += 1;
            console.log(`ok ${name}`);
        } catch (error) {
            failed += 1;
            console.log(`not ok ${name}: ${String(error.message || error).replace(/\s+/g, ' ')}`);
        }
    }
    console.log(`${passed} passed, ${failed} failed`);
    process.exit(failed === 0 && passed === checks.length ? 0 : 1);
}

if (process.argv[2] === '--orphan') {
    beOrphan(process.argv[3], Number(process.argv[4]));
} else {
    // The client throws from socket callbacks when a reply makes no sense.
    process.on('uncaughtException', giveUp);
    run().catch(giveUp);
}
