// The server as seen through github.com/go-zookeeper/zk: a client that sends
// the short ConnectRequest, authenticates under an ordinary xid, lists with
// getChildren2 only and restores watches with the oldest setWatches.
//
// Not a test of the client. Every check works below a node of its own.
package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"
)

const defaultSession = 10 * time.Second

var (
	server  = os.Getenv("ZK_CONNECT")
	control = os.Getenv("ZK_CTL")
)

// A check receives the shared client and the path of its own fresh node.
type check struct {
	name  string
	limit time.Duration
	run   func(main *client, root string)
}

func main() {
	checks := append(append(append(basics(), watching()...), sessions()...), admin()...)
	shared := open(40 * time.Second)
	if err := shared.ready(20 * time.Second); err != nil {
		fmt.Printf("not ok first connection: %v\n0 passed, 1 failed\n", err)
		os.Exit(1)
	}
	passed, failed := 0, 0
	for number, c := range checks {
		if err := perform(c, shared, fmt.Sprintf("/goclient-%d", number)); err != nil {
			failed++
			fmt.Printf("not ok %s: %s\n", c.name, strings.Join(strings.Fields(err.Error()), " "))
		} else {
			passed++
			fmt.Printf("ok %s\n", c.name)
		}
	}
	fmt.Printf("%d passed, %d failed\n", passed, failed)
	if failed > 0 {
		os.Exit(1)
	}
}

// perform runs one check to its end or to its limit; a check reports by panic.
func perform(c check, shared *client, root string) error {
	done := make(chan error, 1)
	go func() {
		defer func() {
			if reason := recover(); reason != nil {
				done <- fmt.Errorf("%v", reason)
				return
			}
			done <- nil
		}()
		must("connection", shared.ready(30*time.Second))
		shared.create(root, nil, zk.FlagPersistent)
		c.run(shared, root)
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(c.limit):
		return fmt.Errorf("not finished within %v", c.limit)
	}
}

// ---------------------------------------------------------------- the client

// client is a connection whose socket the check can cut and hold down, and
// whose session states are remembered.
type client struct {
	*zk.Conn
	mu     sync.Mutex
	socket net.Conn
	down   bool
	states []zk.State
}

func open(session time.Duration) *client {
	c := &client{}
	conn, _, err := zk.Connect([]string{server}, session,
		zk.WithLogInfo(false),
		zk.WithLogger(silent{}),
		zk.WithDialer(c.dial),
		zk.WithEventCallback(c.note))
	must("connect", err)
	c.mu.Lock()
	c.Conn = conn
	c.mu.Unlock()
	return c
}

func opened(session time.Duration) *client {
	c := open(session)
	must("connection", c.ready(15*time.Second))
	return c
}

// starting is set while the server is being restarted. The reference can forget
// a connection that it accepts before it runs, and the client then waits for
// its whole timeout; that is not what is checked.
var starting atomic.Bool

type silent struct{}

func (silent) Printf(string, ...interface{}) {}

func (c *client) dial(network, address string, timeout time.Duration) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down || starting.Load() {
		return nil, errors.New("held down by the check")
	}
	socket, err := net.DialTimeout(network, address, timeout)
	c.socket = socket
	return socket, err
}

func (c *client) note(event zk.Event) {
	if event.Type == zk.EventSession {
		c.mu.Lock()
		c.states = append(c.states, event.State)
		c.mu.Unlock()
	}
}

// cut closes the socket under the client and refuses new ones until mend.
func (c *client) cut() {
	c.mu.Lock()
	c.down = true
	c.socket.Close()
	c.mu.Unlock()
	must("loss", eventually("loss of the connection", 5*time.Second, func() bool { return c.State() != zk.StateHasSession }))
}

func (c *client) mend() {
	c.mu.Lock()
	c.down = false
	c.mu.Unlock()
}

func (c *client) saw(state zk.State) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, seen := range c.states {
		if seen == state {
			return true
		}
	}
	return false
}

func (c *client) ready(limit time.Duration) error {
	return eventually("a session", limit, func() bool { return c.State() == zk.StateHasSession })
}

var anyone = zk.WorldACL(zk.PermAll)

func (c *client) create(path string, data []byte, flags int32) string {
	made, err := c.Create(path, data, flags, anyone)
	must("create "+path, err)
	return made
}

func (c *client) set(path, data string) *zk.Stat {
	stat, err := c.Set(path, []byte(data), -1)
	must("set "+path, err)
	return stat
}

func (c *client) get(path string) (string, *zk.Stat) {
	data, stat, err := c.Get(path)
	must("get "+path, err)
	return string(data), stat
}

func (c *client) exists(path string) bool {
	found, _, err := c.Exists(path)
	must("exists "+path, err)
	return found
}

func (c *client) delete(path string) {
	must("delete "+path, c.Delete(path, -1))
}

// ----------------------------------------------------------------- assertion

func must(what string, err error) {
	if err != nil {
		panic(fmt.Sprintf("%s: %v", what, err))
	}
}

func same(what string, actual, expected interface{}) {
	if !reflect.DeepEqual(actual, expected) {
		panic(fmt.Sprintf("%s: expected %v, got %v", what, expected, actual))
	}
}

func holds(what string, condition bool) {
	if !condition {
		panic(what)
	}
}

func fails(what string, actual, expected error) {
	if !errors.Is(actual, expected) {
		panic(fmt.Sprintf("%s: expected error %q, got %v", what, expected, actual))
	}
}

// event takes the one event a watch channel delivers.
func event(what string, events <-chan zk.Event, limit time.Duration) zk.Event {
	select {
	case received := <-events:
		return received
	case <-time.After(limit):
		panic(fmt.Sprintf("%s: no event within %v", what, limit))
	}
}

func quiet(what string, events <-chan zk.Event) {
	select {
	case received := <-events:
		panic(fmt.Sprintf("%s: unexpected event %v", what, received))
	default:
	}
}

func eventually(what string, limit time.Duration, probe func() bool) error {
	for until := time.Now().Add(limit); !probe(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(until) {
			return fmt.Errorf("%s: not within %v", what, limit)
		}
	}
	return nil
}

func restartServer() {
	starting.Store(true)
	defer starting.Store(false)
	for _, verb := range []string{"stop", "start"} {
		running := exec.Command(control, verb)
		running.Stderr = os.Stderr
		must("server "+verb, running.Run())
	}
}
