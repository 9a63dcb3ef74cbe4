// The four-letter words as the client's own helpers parse them.
package main

import (
	"io"
	"net"
	"regexp"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
)

func admin() []check {
	return []check{
		{"FLWRuok", quick, ruok},
		{"FLWSrvr", quick, srvr},
		{"FLWCons", quick, cons},
	}
}

func ruok(_ *client, _ string) {
	same("ruok", zk.FLWRuok([]string{server}, soon), []bool{true})
}

// The helper wants the build date as month/day/year, which servers stopped
// printing; a relay turns it round and leaves everything else alone.
func srvr(main *client, root string) {
	main.create(root+"/n", nil, zk.FlagPersistent)
	_, stat := main.get(root + "/n")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must("listen", err)
	defer listener.Close()
	replies := make(chan string, 1)
	go func() {
		near, err := listener.Accept()
		if err != nil {
			return
		}
		defer near.Close()
		far, err := net.DialTimeout("tcp", server, soon)
		if err != nil {
			return
		}
		defer far.Close()
		word := make([]byte, 4)
		if _, err := io.ReadFull(near, word); err != nil {
			return
		}
		far.Write(word)
		far.SetReadDeadline(time.Now().Add(soon))
		text, _ := io.ReadAll(far)
		replies <- string(text)
		io.WriteString(near, buildDate.ReplaceAllString(string(text), "built on $2/$3/$1 $4"))
	}()
	parsed, ok := zk.FLWSrvr([]string{listener.Addr().String()}, soon)
	raw := <-replies
	holds("no build date in: "+raw, buildDate.MatchString(raw))
	must("parsing", parsed[0].Error)
	same("result", ok, true)
	stats := parsed[0]
	holds("version "+stats.Version, strings.HasPrefix(stats.Version, "3.9.5"))
	same("mode", stats.Mode, zk.ModeStandalone)
	same("epoch", stats.Epoch, int32(0))
	holds("zxid is behind the last write", int64(stats.Counter) >= stat.Czxid)
	holds("too few nodes", stats.NodeCount > 5)
	holds("no connections", stats.Connections >= 2)
	holds("nothing received", stats.Received > 0)
	holds("nothing sent", stats.Sent > 0)
}

var buildDate = regexp.MustCompile(`built on (\d{4})-(\d\d)-(\d\d) (\d\d:\d\d UTC)`)

// The asking connection itself has no session and is listed in a short form
// the helper cannot read, so the overall result is false; the sessions count.
func cons(main *client, root string) {
	c := opened(defaultSession)
	defer c.Close()
	c.create(root+"/e", nil, zk.FlagEphemeral)
	lists, _ := zk.FLWCons([]string{server}, soon)
	must("parsing", lists[0].Error)
	for _, client := range lists[0].Clients {
		if client.SessionID == c.SessionID() {
			same("timeout", client.Timeout, int32(10000))
			same("last operation", client.LastOperation, "CREA")
			holds("nothing received", client.Received >= 2)
			holds("nothing sent", client.Sent >= 2)
			holds("address "+client.Addr, strings.HasPrefix(client.Addr, "127.0.0.1:"))
			holds("last zxid is zero", client.Lzxid > 0)
			// The server prints milliseconds, the helper takes them for seconds.
			age := time.Since(time.UnixMilli(client.Established.Unix()))
			holds("established is not near the present", age > -time.Minute && age < time.Minute)
			return
		}
	}
	panic("the session is not listed")
}
