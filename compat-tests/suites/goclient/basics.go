// Reads, writes, access lists and transactions on a steady connection.
package main

import (
	"bytes"
	"fmt"
	"sort"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
)

const quick = 20 * time.Second

func basics() []check {
	return []check{
		{"connect: session id, state, server", quick, connects},
		{"create, get: data and stat", quick, createsAndGets},
		{"create: errors", quick, createErrors},
		{"create: null and empty data", quick, nullAndEmpty},
		{"create: sequential numbers", quick, sequences},
		{"create: ephemeral and ephemeral sequential", quick, ephemerals},
		{"create: container, swept once emptied", 25 * time.Second, container},
		{"create: TTL and sequential TTL, swept in time", 25 * time.Second, ttl},
		{"create: protected ephemeral sequential", quick, protected},
		{"set: versions", quick, setVersions},
		{"delete: versions and children", quick, deletes},
		{"exists: stat or nothing", quick, existence},
		{"children: names and parent stat", quick, children},
		{"sync returns the path", quick, syncs},
		{"one million bytes", quick, bigData},
		{"two thousand children in one reply", 30 * time.Second, manyChildren},
		{"concurrent writers: no version is lost", 30 * time.Second, concurrentWriters},
		{"acl: default, set, versions, refusals", quick, acls},
		{"acl: each permission guards its operation", quick, permissions},
		{"auth: digest under an ordinary xid", quick, digestAuth},
		{"auth: unknown scheme", quick, unknownScheme},
		{"auth: super user", quick, superUser},
		{"multi: every operation", quick, multiAll},
		{"multi: failure leaves nothing behind", quick, multiFailure},
		{"multi: version check", quick, multiCheck},
		{"multi: empty", quick, multiEmpty},
		{"reconfig is refused", quick, reconfigRefused},
	}
}

func connects(_ *client, _ string) {
	c := opened(defaultSession)
	defer c.Close()
	holds("session id is zero", c.SessionID() != 0)
	same("server", c.Server(), server)
	same("states", c.states, []zk.State{zk.StateConnecting, zk.StateConnected, zk.StateHasSession})
}

func createsAndGets(c *client, root string) {
	path := root + "/n"
	same("path", c.create(path, []byte("hello"), zk.FlagPersistent), path)
	data, stat := c.get(path)
	same("data", data, "hello")
	same("counters", []int32{stat.Version, stat.Cversion, stat.Aversion, stat.DataLength, stat.NumChildren}, []int32{0, 0, 0, 5, 0})
	same("owner", stat.EphemeralOwner, int64(0))
	same("mzxid", stat.Mzxid, stat.Czxid)
	same("pzxid", stat.Pzxid, stat.Czxid)
	same("mtime", stat.Mtime, stat.Ctime)
	age := time.Since(time.UnixMilli(stat.Ctime))
	holds("ctime is not near the present", age > -time.Minute && age < time.Minute)
}

func createErrors(c *client, root string) {
	c.create(root+"/n", nil, zk.FlagPersistent)
	_, err := c.Create(root+"/n", nil, zk.FlagPersistent, anyone)
	fails("same path", err, zk.ErrNodeExists)
	_, err = c.Create(root+"/gone/n", nil, zk.FlagPersistent, anyone)
	fails("missing parent", err, zk.ErrNoNode)
	_, err = c.Create(root+"/bad", nil, zk.FlagPersistent, []zk.ACL{})
	fails("empty acl", err, zk.ErrInvalidACL)
	_, _, err = c.Get(root + "/gone")
	fails("get", err, zk.ErrNoNode)
}

func nullAndEmpty(c *client, root string) {
	c.create(root+"/null", nil, zk.FlagPersistent)
	data, _, err := c.Get(root + "/null")
	must("get null", err)
	holds("null data is not null", data == nil)
	c.create(root+"/empty", []byte{}, zk.FlagPersistent)
	data, _, err = c.Get(root + "/empty")
	must("get empty", err)
	holds("empty data is not empty", data != nil && len(data) == 0)
}

func sequences(c *client, root string) {
	for number := 0; number < 3; number++ {
		same("path", c.create(root+"/s-", nil, zk.FlagSequence), fmt.Sprintf("%s/s-%010d", root, number))
	}
	c.delete(root + "/s-0000000002")
	same("after a delete", c.create(root+"/s-", nil, zk.FlagSequence), root+"/s-0000000003")
	same("bare number", c.create(root+"/", nil, zk.FlagSequence), root+"/0000000004")
}

func ephemerals(c *client, root string) {
	c.create(root+"/e", nil, zk.FlagEphemeral)
	_, stat := c.get(root + "/e")
	same("owner", stat.EphemeralOwner, c.SessionID())
	_, err := c.Create(root+"/e/c", nil, zk.FlagPersistent, anyone)
	fails("child of ephemeral", err, zk.ErrNoChildrenForEphemerals)
	path := c.create(root+"/es-", nil, zk.FlagEphemeralSequential)
	same("path", path, root+"/es-0000000001")
	_, stat = c.get(path)
	same("owner of the sequential", stat.EphemeralOwner, c.SessionID())
}

func container(c *client, root string) {
	path, err := c.CreateContainer(root+"/c", []byte("v"), zk.FlagContainer, anyone)
	must("container", err)
	same("path", path, root+"/c")
	data, stat := c.get(path)
	same("data", data, "v")
	same("owner is not shown", stat.EphemeralOwner, int64(0))
	c.create(path+"/child", nil, zk.FlagPersistent)
	c.delete(path + "/child")
	must("sweep", eventually("removal of the emptied container", 10*time.Second, func() bool { return !c.exists(path) }))
}

func ttl(c *client, root string) {
	path, err := c.CreateTTL(root+"/t", []byte("v"), zk.FlagTTL, anyone, time.Hour)
	must("ttl", err)
	same("path", path, root+"/t")
	_, stat := c.get(path)
	same("owner is not shown", stat.EphemeralOwner, int64(0))
	path, err = c.CreateTTL(root+"/ts-", nil, zk.FlagPersistentSequentialWithTTL, anyone, time.Minute)
	must("sequential ttl", err)
	same("sequential path", path, root+"/ts-0000000001")
	_, err = c.CreateTTL(root+"/zero", nil, zk.FlagTTL, anyone, 0)
	fails("ttl of zero", err, zk.ErrBadArguments)
	path, err = c.CreateTTL(root+"/short", nil, zk.FlagTTL, anyone, 700*time.Millisecond)
	must("short ttl", err)
	must("sweep", eventually("removal of the outlived node", 10*time.Second, func() bool { return !c.exists(path) }))
	same("node with time left", c.exists(root+"/t"), true)
}

func protected(c *client, root string) {
	path, err := c.CreateProtectedEphemeralSequential(root+"/p-", []byte("v"), anyone)
	must("protected", err)
	found, _, err := c.Children(root)
	must("children", err)
	same("children", found, []string{path[len(root)+1:]})
	same("suffix", path[len(path)-13:], "-p-0000000000")
	_, stat := c.get(path)
	same("owner", stat.EphemeralOwner, c.SessionID())
}

func setVersions(c *client, root string) {
	c.create(root+"/n", []byte("a"), zk.FlagPersistent)
	same("version", c.set(root+"/n", "b").Version, int32(1))
	stat, err := c.Set(root+"/n", []byte("b"), 1)
	must("set the same data", err)
	same("version", stat.Version, int32(2))
	holds("mzxid did not grow", stat.Mzxid > stat.Czxid)
	_, err = c.Set(root+"/n", []byte("c"), 1)
	fails("old version", err, zk.ErrBadVersion)
	_, err = c.Set(root+"/gone", nil, -1)
	fails("no node", err, zk.ErrNoNode)
}

func deletes(c *client, root string) {
	c.create(root+"/n", nil, zk.FlagPersistent)
	c.create(root+"/n/c", nil, zk.FlagPersistent)
	fails("with child", c.Delete(root+"/n", -1), zk.ErrNotEmpty)
	fails("wrong version", c.Delete(root+"/n/c", 3), zk.ErrBadVersion)
	must("right version", c.Delete(root+"/n/c", 0))
	c.delete(root + "/n")
	fails("again", c.Delete(root+"/n", -1), zk.ErrNoNode)
	fails("root", c.Delete("/", -1), zk.ErrBadArguments)
}

func existence(c *client, root string) {
	found, _, err := c.Exists(root + "/n")
	must("exists", err)
	same("before", found, false)
	c.create(root+"/n", []byte("abc"), zk.FlagPersistent)
	found, stat, err := c.Exists(root + "/n")
	must("exists", err)
	same("after", found, true)
	same("length", stat.DataLength, int32(3))
}

func children(c *client, root string) {
	for _, name := range []string{"c", "a", "b"} {
		c.create(root+"/"+name, nil, zk.FlagPersistent)
	}
	c.delete(root + "/b")
	names, stat, err := c.Children(root)
	must("children", err)
	sort.Strings(names)
	same("names", names, []string{"a", "c"})
	same("counters", []int32{stat.NumChildren, stat.Cversion}, []int32{2, 4})
	holds("pzxid did not grow", stat.Pzxid > stat.Czxid)
	_, _, err = c.Children(root + "/gone")
	fails("no node", err, zk.ErrNoNode)
}

func syncs(c *client, root string) {
	path, err := c.Sync(root)
	must("sync", err)
	same("path", path, root)
	path, err = c.Sync(root + "/gone")
	must("sync of an absent node", err)
	same("path of an absent node", path, root+"/gone")
}

func bigData(c *client, root string) {
	data := bytes.Repeat([]byte("0123456789"), 100000)
	c.create(root+"/n", data, zk.FlagPersistent)
	back, stat, err := c.Get(root + "/n")
	must("get", err)
	holds("data differs", bytes.Equal(back, data))
	same("length", stat.DataLength, int32(len(data)))
	c.delete(root + "/n")
}

func manyChildren(c *client, root string) {
	const total, batch = 2000, 200
	for first := 0; first < total; first += batch {
		ops := make([]interface{}, 0, batch)
		for number := first; number < first+batch; number++ {
			ops = append(ops, &zk.CreateRequest{Path: fmt.Sprintf("%s/%040d", root, number), Acl: anyone})
		}
		_, err := c.Multi(ops...)
		must("multi", err)
	}
	names, stat, err := c.Children(root)
	must("children", err)
	same("children", len(names), total)
	same("numChildren", stat.NumChildren, int32(total))
	same("cversion", stat.Cversion, int32(total))
	sort.Strings(names)
	same("last", names[total-1], fmt.Sprintf("%040d", total-1))
}

// concurrentWriters counts a node up by compare-and-set from four sessions.
func concurrentWriters(main *client, root string) {
	const writers, rounds = 4, 25
	main.create(root+"/n", []byte("0"), zk.FlagPersistent)
	errs := make(chan error, writers)
	var all sync.WaitGroup
	for writer := 0; writer < writers; writer++ {
		c := opened(defaultSession)
		defer c.Close()
		all.Add(1)
		go func() {
			defer all.Done()
			for done := 0; done < rounds; {
				data, stat, err := c.Get(root + "/n")
				if err == nil {
					var value int
					fmt.Sscan(string(data), &value)
					_, err = c.Set(root+"/n", []byte(fmt.Sprint(value+1)), stat.Version)
				}
				if err == nil {
					done++
				} else if err != zk.ErrBadVersion {
					errs <- err
					return
				}
			}
		}()
	}
	all.Wait()
	select {
	case err := <-errs:
		must("writer", err)
	default:
	}
	data, stat := main.get(root + "/n")
	same("value", data, fmt.Sprint(writers*rounds))
	same("version", stat.Version, int32(writers*rounds))
}

func acls(c *client, root string) {
	c.create(root+"/n", nil, zk.FlagPersistent)
	list, stat, err := c.GetACL(root + "/n")
	must("get acl", err)
	same("default", list, anyone)
	same("aversion", stat.Aversion, int32(0))
	readOnly := zk.WorldACL(zk.PermRead | zk.PermAdmin)
	stat, err = c.SetACL(root+"/n", readOnly, 0)
	must("set acl", err)
	same("aversion", stat.Aversion, int32(1))
	_, err = c.SetACL(root+"/n", readOnly, 0)
	fails("old aversion", err, zk.ErrBadVersion)
	list, _, err = c.GetACL(root + "/n")
	must("get acl", err)
	same("list", list, readOnly)
	_, err = c.Create(root+"/bad", nil, zk.FlagPersistent, []zk.ACL{{Perms: zk.PermAll, Scheme: "nonesuch", ID: "x"}})
	fails("unknown scheme", err, zk.ErrInvalidACL)
	_, err = c.Create(root+"/bad", nil, zk.FlagPersistent, zk.AuthACL(zk.PermAll))
	fails("auth without credentials", err, zk.ErrInvalidACL)
	_, err = c.SetACL(root+"/gone", readOnly, -1)
	fails("no node", err, zk.ErrNoNode)
}

func permissions(c *client, root string) {
	closed := func(name string, perms int32) string {
		path := root + "/" + name
		c.create(path, []byte("v"), zk.FlagPersistent)
		c.create(path+"/child", nil, zk.FlagPersistent)
		_, err := c.SetACL(path, zk.WorldACL(zk.PermAll&^perms), -1)
		must("set acl "+name, err)
		return path
	}
	path := closed("read", zk.PermRead)
	_, _, err := c.Get(path)
	fails("get", err, zk.ErrNoAuth)
	_, _, err = c.Children(path)
	fails("children", err, zk.ErrNoAuth)

	path = closed("write", zk.PermWrite)
	_, err = c.Set(path, nil, -1)
	fails("set", err, zk.ErrNoAuth)

	path = closed("create", zk.PermCreate)
	_, err = c.Create(path+"/other", nil, zk.FlagPersistent, anyone)
	fails("create", err, zk.ErrNoAuth)

	path = closed("delete", zk.PermDelete)
	fails("delete", c.Delete(path+"/child", -1), zk.ErrNoAuth)

	path = closed("admin", zk.PermAdmin)
	_, err = c.SetACL(path, anyone, -1)
	fails("set acl", err, zk.ErrNoAuth)
	_, _, err = c.GetACL(path)
	must("get acl", err)
}

func digestAuth(main *client, root string) {
	owner := opened(defaultSession)
	defer owner.Close()
	must("auth", owner.AddAuth("digest", []byte("ann:secret")))
	_, err := owner.Create(root+"/n", []byte("v"), zk.FlagPersistent, zk.AuthACL(zk.PermAll))
	must("create", err)
	list, _, err := owner.GetACL(root + "/n")
	must("get acl", err)
	same("acl", list, zk.DigestACL(zk.PermAll, "ann", "secret"))
	_, _, err = main.Get(root + "/n")
	fails("stranger", err, zk.ErrNoAuth)
	other := opened(defaultSession)
	defer other.Close()
	must("first credential", other.AddAuth("digest", []byte("ann:wrong")))
	_, _, err = other.Get(root + "/n")
	fails("wrong password", err, zk.ErrNoAuth)
	must("second credential", other.AddAuth("digest", []byte("ann:secret")))
	data, _ := other.get(root + "/n")
	same("data", data, "v")
}

func unknownScheme(_ *client, _ string) {
	c := opened(defaultSession)
	defer c.Close()
	fails("auth", c.AddAuth("nonesuch", []byte("x")), zk.ErrAuthFailed)
}

func superUser(main *client, root string) {
	_, err := main.Create(root+"/n", []byte("v"), zk.FlagPersistent, zk.DigestACL(zk.PermAll, "x", "y"))
	must("create", err)
	c := opened(defaultSession)
	defer c.Close()
	must("auth", c.AddAuth("digest", []byte("super:test")))
	data, _ := c.get(root + "/n")
	same("data", data, "v")
	c.set(root+"/n", "w")
}

func multiAll(c *client, root string) {
	c.create(root+"/old", nil, zk.FlagPersistent)
	c.set(root+"/old", "1")
	results, err := c.Multi(
		&zk.CheckVersionRequest{Path: root + "/old", Version: 1},
		&zk.CreateRequest{Path: root + "/a", Data: []byte("x"), Acl: anyone},
		&zk.SetDataRequest{Path: root + "/a", Data: []byte("yy"), Version: 0},
		&zk.CreateRequest{Path: root + "/a/s-", Acl: anyone, Flags: zk.FlagSequence},
		&zk.CreateRequest{Path: root + "/e", Acl: anyone, Flags: zk.FlagEphemeral},
		&zk.DeleteRequest{Path: root + "/old", Version: 1},
	)
	must("multi", err)
	same("results", len(results), 6)
	same("path", results[1].String, root+"/a")
	same("stat", []int32{results[2].Stat.Version, results[2].Stat.DataLength}, []int32{1, 2})
	same("sequential path", results[3].String, root+"/a/s-0000000000")
	same("deleted", c.exists(root+"/old"), false)
	_, a := c.get(root + "/a")
	_, e := c.get(root + "/e")
	same("one zxid for all", e.Czxid, a.Czxid)
	same("mzxid", a.Mzxid, a.Czxid)
	same("owner", e.EphemeralOwner, c.SessionID())
}

func multiFailure(c *client, root string) {
	results, err := c.Multi(
		&zk.CreateRequest{Path: root + "/a", Acl: anyone},
		&zk.CreateRequest{Path: root + "/a", Acl: anyone},
		&zk.DeleteRequest{Path: root + "/gone", Version: -1},
	)
	fails("multi", err, zk.ErrNodeExists)
	same("results", len(results), 3)
	same("before the culprit", results[0].Error, nil)
	fails("the culprit", results[1].Error, zk.ErrNodeExists)
	holds("an operation behind the culprit reports no error", results[2].Error != nil)
	holds("it reports the error it would have had", results[2].Error != zk.ErrNoNode)
	same("exists", c.exists(root+"/a"), false)
	_, stat, err := c.Children(root)
	must("children", err)
	same("cversion", stat.Cversion, int32(0))
}

func multiCheck(c *client, root string) {
	c.create(root+"/n", nil, zk.FlagPersistent)
	_, err := c.Multi(&zk.CheckVersionRequest{Path: root + "/n", Version: 3}, &zk.DeleteRequest{Path: root + "/n", Version: -1})
	fails("wrong version", err, zk.ErrBadVersion)
	same("exists", c.exists(root+"/n"), true)
	_, err = c.Multi(&zk.CheckVersionRequest{Path: root + "/gone", Version: -1})
	fails("absent node", err, zk.ErrNoNode)
	_, err = c.Multi(&zk.CheckVersionRequest{Path: root + "/n", Version: -1}, &zk.DeleteRequest{Path: root + "/n", Version: 0})
	must("any version", err)
}

func multiEmpty(c *client, _ string) {
	results, err := c.Multi()
	must("multi", err)
	same("results", len(results), 0)
}

func reconfigRefused(_ *client, _ string) {
	c := opened(defaultSession)
	defer c.Close()
	_, err := c.IncrementalReconfig([]string{"server.9=127.0.0.1:1:2;3"}, nil, -1)
	fails("incremental", err, zk.ErrReconfigDisabled)
	_, err = c.Reconfig([]string{"server.9=127.0.0.1:1:2;3"}, -1)
	fails("whole", err, zk.ErrReconfigDisabled)
}
