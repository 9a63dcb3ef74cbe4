// Watches: what fires, once, in which order, and before which reply.
package main

import (
	"fmt"
	"time"

	"github.com/go-zookeeper/zk"
)

const soon = 5 * time.Second

func watching() []check {
	return []check{
		{"watch: GetW sees change and deletion", quick, getWatch},
		{"watch: ExistsW sees creation, change and deletion", quick, existsWatch},
		{"watch: ChildrenW sees children and own deletion", quick, childrenWatch},
		{"watch: one event each, to every watcher", quick, oneEach},
		{"watch: the event precedes the reply of the writer", quick, eventBeforeReply},
		{"watch: nothing is registered by a failed read", quick, failedRead},
		{"watch: a transaction fires for every node in it", quick, multiWatch},
		{"watch: a failed transaction fires nothing", quick, failedMulti},
	}
}

func watchData(c *client, path string) <-chan zk.Event {
	_, _, events, err := c.GetW(path)
	must("getW "+path, err)
	return events
}

func watchExists(c *client, path string) <-chan zk.Event {
	_, _, events, err := c.ExistsW(path)
	must("existsW "+path, err)
	return events
}

func watchChildren(c *client, path string) <-chan zk.Event {
	_, _, events, err := c.ChildrenW(path)
	must("childrenW "+path, err)
	return events
}

func expect(what string, events <-chan zk.Event, kind zk.EventType, path string) {
	received := event(what, events, soon)
	same(what+": type", received.Type, kind)
	same(what+": path", received.Path, path)
}

func getWatch(c *client, root string) {
	other := opened(defaultSession)
	defer other.Close()
	path := root + "/n"
	other.create(path, nil, zk.FlagPersistent)
	events := watchData(c, path)
	other.set(path, "x")
	expect("change", events, zk.EventNodeDataChanged, path)
	events = watchData(c, path)
	other.delete(path)
	expect("deletion", events, zk.EventNodeDeleted, path)
}

func existsWatch(c *client, root string) {
	path := root + "/n"
	events := watchExists(c, path)
	c.create(path, nil, zk.FlagPersistent)
	expect("creation", events, zk.EventNodeCreated, path)
	events = watchExists(c, path)
	c.set(path, "x")
	expect("change", events, zk.EventNodeDataChanged, path)
	events = watchExists(c, path)
	c.delete(path)
	expect("deletion", events, zk.EventNodeDeleted, path)
}

func childrenWatch(c *client, root string) {
	path := root + "/n"
	c.create(path, nil, zk.FlagPersistent)
	events := watchChildren(c, path)
	c.set(path, "x")
	quiet("own data", events)
	c.create(path+"/c", nil, zk.FlagPersistent)
	expect("new child", events, zk.EventNodeChildrenChanged, path)
	events = watchChildren(c, path)
	c.set(path+"/c", "x")
	quiet("data of the child", events)
	c.delete(path + "/c")
	expect("lost child", events, zk.EventNodeChildrenChanged, path)
	events = watchChildren(c, path)
	c.delete(path)
	expect("deletion", events, zk.EventNodeDeleted, path)
}

func oneEach(c *client, root string) {
	path := root + "/n"
	c.create(path, nil, zk.FlagPersistent)
	others := []*client{opened(defaultSession), opened(defaultSession), opened(defaultSession)}
	var channels []<-chan zk.Event
	for _, other := range others {
		defer other.Close()
		channels = append(channels, watchData(other, path))
	}
	c.set(path, "1")
	c.set(path, "2")
	for number, events := range channels {
		expect(fmt.Sprintf("watcher %d", number), events, zk.EventNodeDataChanged, path)
		_, more := <-events
		same("more events", more, false)
	}
}

// eventBeforeReply reads the channel without waiting: once the client has the
// reply of its own write, the event must already be there.
func eventBeforeReply(c *client, root string) {
	path := root + "/n"
	c.create(path, nil, zk.FlagPersistent)
	for round := 0; round < 20; round++ {
		events := watchData(c, path)
		c.set(path, "x")
		select {
		case <-events:
		default:
			panic(fmt.Sprintf("round %d: the reply overtook the event", round))
		}
	}
}

func failedRead(c *client, root string) {
	path := root + "/n"
	_, _, _, err := c.GetW(path)
	fails("getW", err, zk.ErrNoNode)
	_, _, _, err = c.ChildrenW(path)
	fails("childrenW", err, zk.ErrNoNode)
	events := watchExists(c, path)
	c.create(path, nil, zk.FlagPersistent)
	expect("creation", events, zk.EventNodeCreated, path)
}

func multiWatch(c *client, root string) {
	c.create(root+"/a", nil, zk.FlagPersistent)
	c.create(root+"/b", nil, zk.FlagPersistent)
	changed := watchData(c, root+"/a")
	deleted := watchData(c, root+"/b")
	created := watchExists(c, root+"/c")
	parent := watchChildren(c, root)
	_, err := c.Multi(
		&zk.SetDataRequest{Path: root + "/a", Data: []byte("x"), Version: -1},
		&zk.DeleteRequest{Path: root + "/b", Version: -1},
		&zk.CreateRequest{Path: root + "/c", Acl: anyone},
	)
	must("multi", err)
	expect("changed", changed, zk.EventNodeDataChanged, root+"/a")
	expect("deleted", deleted, zk.EventNodeDeleted, root+"/b")
	expect("created", created, zk.EventNodeCreated, root+"/c")
	expect("parent", parent, zk.EventNodeChildrenChanged, root)
}

func failedMulti(c *client, root string) {
	c.create(root+"/a", nil, zk.FlagPersistent)
	changed := watchData(c, root+"/a")
	parent := watchChildren(c, root)
	_, err := c.Multi(
		&zk.SetDataRequest{Path: root + "/a", Data: []byte("x"), Version: -1},
		&zk.CreateRequest{Path: root + "/c", Acl: anyone},
		&zk.DeleteRequest{Path: root + "/gone", Version: -1},
	)
	fails("multi", err, zk.ErrNoNode)
	c.exists(root)
	quiet("data", changed)
	quiet("parent", parent)
}
