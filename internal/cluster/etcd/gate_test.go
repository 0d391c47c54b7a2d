package etcd

import (
	"net"
	"strings"
	"sync"
	"testing"
)

// gate is between a host and a server. While it is shut nothing passes, as on a cable that is pulled:
// what was sent comes when it is opened again, if the connection still is.
type gate struct {
	listener net.Listener
	to       string

	mu   sync.Mutex
	open chan struct{} // is closed while the gate is open
}

// startProxy starts a gate to a server.
func startProxy(t *testing.T, url string) *gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{listener: l, to: strings.TrimPrefix(url, "http://"), open: make(chan struct{})}
	close(g.open)
	go g.accept()
	t.Cleanup(func() { l.Close() })
	return g
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = make(chan struct{})
}

func (g *gate) reopen() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.open)
}

func (g *gate) wait() {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	<-open
}

func (g *gate) accept() {
	for {
		from, err := g.listener.Accept()
		if err != nil {
			return
		}
		go func() {
			g.wait()
			to, err := net.Dial("tcp", g.to)
			if err != nil {
				from.Close()
				return
			}
			go g.pass(from, to)
			g.pass(to, from)
		}()
	}
}

// pass passes on what comes from one side.
func (g *gate) pass(from, to net.Conn) {
	defer to.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		g.wait()
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
