// Sessions: closing, expiry, reconnects with setWatches, restarts, locks.
package main

import (
	"fmt"
	"time"

	"github.com/go-zookeeper/zk"
)

func sessions() []check {
	return []check{
		{"session: close removes ephemerals at once", quick, closeRemoves},
		{"session: a short one is raised and kept alive by pings", quick, keptAlive},
		{"session: reconnect keeps id, ephemerals and credentials", quick, reconnects},
		{"session: missed events arrive after the reconnect", 30 * time.Second, missedEvents},
		{"session: seven hundred watches survive the reconnect", 30 * time.Second, manyWatches},
		{"session: expiry after a long absence", 40 * time.Second, expires},
		{"lock: exclusive, in order of arrival", 30 * time.Second, locks},
		{"lock: misuse, data, death of the holder", 30 * time.Second, lockEdges},
		{"restart: session, ephemerals, watches and data go on", 90 * time.Second, restart},
	}
}

func closeRemoves(main *client, root string) {
	c := opened(defaultSession)
	c.create(root+"/e", nil, zk.FlagEphemeral)
	events := watchExists(main, root+"/e")
	c.Close()
	expect("deletion", events, zk.EventNodeDeleted, root+"/e")
	same("exists", main.exists(root+"/e"), false)
}

func keptAlive(main *client, root string) {
	c := opened(time.Second) // granted: two ticks, four seconds
	defer c.Close()
	id := c.SessionID()
	c.create(root+"/e", nil, zk.FlagEphemeral)
	time.Sleep(6500 * time.Millisecond)
	same("session", c.SessionID(), id)
	same("state", c.State(), zk.StateHasSession)
	same("disconnected", c.saw(zk.StateDisconnected), false)
	same("exists", main.exists(root+"/e"), true)
}

func reconnects(main *client, root string) {
	c := opened(defaultSession)
	defer c.Close()
	id := c.SessionID()
	must("auth", c.AddAuth("digest", []byte("cat:pw")))
	_, err := c.Create(root+"/closed", []byte("v"), zk.FlagPersistent, zk.AuthACL(zk.PermAll))
	must("create", err)
	c.create(root+"/e", nil, zk.FlagEphemeral)
	c.cut()
	same("exists while away", main.exists(root+"/e"), true)
	c.mend()
	must("reconnect", c.ready(10*time.Second))
	same("session", c.SessionID(), id)
	data, _ := c.get(root + "/closed")
	same("data behind the acl", data, "v")
	_, stat := c.get(root + "/e")
	same("owner", stat.EphemeralOwner, id)
}

func missedEvents(main *client, root string) {
	for _, name := range []string{"changed", "deleted", "calm", "parent", "orphaned"} {
		main.create(root+"/"+name, nil, zk.FlagPersistent)
	}
	c := opened(20 * time.Second)
	defer c.Close()
	changed := watchData(c, root+"/changed")
	deleted := watchData(c, root+"/deleted")
	created := watchExists(c, root+"/created")
	parent := watchChildren(c, root+"/parent")
	orphaned := watchChildren(c, root+"/orphaned")
	calm := watchData(c, root+"/calm")
	absent := watchExists(c, root+"/absent")
	c.cut()
	main.set(root+"/changed", "x")
	main.delete(root + "/deleted")
	main.create(root+"/created", nil, zk.FlagPersistent)
	main.create(root+"/parent/c", nil, zk.FlagPersistent)
	main.delete(root + "/orphaned")
	c.mend()
	must("reconnect", c.ready(10*time.Second))
	expect("changed", changed, zk.EventNodeDataChanged, root+"/changed")
	expect("deleted", deleted, zk.EventNodeDeleted, root+"/deleted")
	expect("created", created, zk.EventNodeCreated, root+"/created")
	expect("parent", parent, zk.EventNodeChildrenChanged, root+"/parent")
	expect("orphaned", orphaned, zk.EventNodeDeleted, root+"/orphaned")
	c.exists(root)
	quiet("calm", calm)
	quiet("absent", absent)
	main.set(root+"/calm", "x")
	expect("calm, later", calm, zk.EventNodeDataChanged, root+"/calm")
	main.create(root+"/absent", nil, zk.FlagPersistent)
	expect("absent, later", absent, zk.EventNodeCreated, root+"/absent")
}

// manyWatches uses paths long enough that the client needs several setWatches
// requests for them.
func manyWatches(main *client, root string) {
	const total = 700
	c := opened(20 * time.Second)
	defer c.Close()
	channels := make([]<-chan zk.Event, total)
	path := func(number int) string { return fmt.Sprintf("%s/%0300d", root, number) }
	for number := range channels {
		channels[number] = watchExists(c, path(number))
	}
	c.cut()
	main.create(path(0), nil, zk.FlagPersistent)
	c.mend()
	must("reconnect", c.ready(10*time.Second))
	expect("missed", channels[0], zk.EventNodeCreated, path(0))
	// The client declares itself ready before it has sent its watches, and its
	// own requests queue up behind them only on the wire.
	for _, number := range []int{total - 1, total / 2, 1} {
		quiet("still absent", channels[number])
		main.create(path(number), nil, zk.FlagPersistent)
		expect("later", channels[number], zk.EventNodeCreated, path(number))
	}
}

func expires(main *client, root string) {
	c := opened(4 * time.Second)
	defer c.Close()
	id := c.SessionID()
	c.create(root+"/e", nil, zk.FlagEphemeral)
	own := watchData(c, root+"/e")
	seen := watchExists(main, root+"/e")
	c.cut()
	gone := event("expiry", seen, 20*time.Second)
	same("type", gone.Type, zk.EventNodeDeleted)
	c.mend()
	lost := event("own watch", own, 10*time.Second)
	fails("own watch", lost.Err, zk.ErrSessionExpired)
	must("new session", c.ready(10*time.Second))
	holds("StateExpired was not reported", c.saw(zk.StateExpired))
	holds("the session id is still the old one", c.SessionID() != id)
	c.create(root+"/e", nil, zk.FlagEphemeral)
	_, stat := c.get(root + "/e")
	same("owner", stat.EphemeralOwner, c.SessionID())
}

func locks(main *client, root string) {
	const contenders = 4
	path := root + "/lock"
	first := zk.NewLock(main.Conn, path, anyone)
	must("lock", first.Lock())
	order := make(chan int, contenders)
	errs := make(chan error, contenders)
	for number := 0; number < contenders; number++ {
		c := opened(defaultSession)
		defer c.Close()
		go func(number int) {
			lock := zk.NewLock(c.Conn, path, anyone)
			if err := lock.Lock(); err != nil {
				errs <- err
				return
			}
			order <- number
			errs <- lock.Unlock()
		}(number)
		must("queue", eventually("contender in the queue", soon, func() bool {
			names, _, err := main.Children(path)
			return err == nil && len(names) == number+2
		}))
	}
	same("holders besides the first", len(order), 0)
	must("unlock", first.Unlock())
	for number := 0; number < contenders; number++ {
		must("contender", <-errs)
		same("order", <-order, number)
	}
	names, _, err := main.Children(path)
	must("children", err)
	same("left over", len(names), 0)
}

func lockEdges(main *client, root string) {
	path := root + "/deep/lock"
	holder := opened(defaultSession)
	held := zk.NewLock(holder.Conn, path, anyone)
	fails("unlock before lock", held.Unlock(), zk.ErrNotLocked)
	must("lock", held.LockWithData([]byte("me")))
	fails("twice", held.Lock(), zk.ErrDeadlock)
	names, _, err := main.Children(path)
	must("children", err)
	same("queue", len(names), 1)
	data, _ := main.get(path + "/" + names[0])
	same("data", data, "me")

	waiting := make(chan error, 1)
	heir := zk.NewLock(main.Conn, path, anyone)
	go func() { waiting <- heir.Lock() }()
	must("queue", eventually("heir in the queue", soon, func() bool {
		names, _, err := main.Children(path)
		return err == nil && len(names) == 2
	}))
	holder.Close()
	select {
	case err := <-waiting:
		must("heir", err)
	case <-time.After(soon):
		panic("the lock of a closed session was not passed on")
	}
	must("unlock", heir.Unlock())
}

func restart(main *client, root string) {
	c := opened(30 * time.Second)
	defer c.Close()
	id := c.SessionID()
	must("auth", c.AddAuth("digest", []byte("cat:pw")))
	_, err := c.Create(root+"/closed", []byte("v"), zk.FlagPersistent, zk.AuthACL(zk.PermAll))
	must("create", err)
	c.create(root+"/e", nil, zk.FlagEphemeral)
	c.create(root+"/s-", nil, zk.FlagSequence)
	ttlNode, err := c.CreateTTL(root+"/t", nil, zk.FlagTTL, anyone, time.Hour)
	must("ttl", err)
	_, before := c.get(ttlNode)
	_, parentBefore := c.get(root)
	changed := watchData(c, root+"/e")
	created := watchExists(c, root+"/later")
	parent := watchChildren(c, root+"/s-0000000002")

	restartServer()
	must("loss", eventually("loss of the connection", 20*time.Second, func() bool { return c.saw(zk.StateDisconnected) }))
	must("reconnect", c.ready(40*time.Second))
	must("reconnect of the shared client", main.ready(40*time.Second))

	same("session", c.SessionID(), id)
	same("expired", c.saw(zk.StateExpired), false)
	data, _ := c.get(root + "/closed")
	same("data behind the acl", data, "v")
	_, stat := c.get(root + "/e")
	same("owner", stat.EphemeralOwner, id)
	_, after := c.get(ttlNode)
	same("stat of the ttl node", *after, *before)
	_, parentAfter := c.get(root)
	same("stat of the parent", *parentAfter, *parentBefore)
	same("sequence", c.create(root+"/s-", nil, zk.FlagSequence), root+"/s-0000000004")

	main.set(root+"/e", "x")
	expect("data watch", changed, zk.EventNodeDataChanged, root+"/e")
	main.create(root+"/later", nil, zk.FlagPersistent)
	expect("exists watch", created, zk.EventNodeCreated, root+"/later")
	main.create(root+"/s-0000000002/c", nil, zk.FlagPersistent)
	expect("child watch", parent, zk.EventNodeChildrenChanged, root+"/s-0000000002")
}
