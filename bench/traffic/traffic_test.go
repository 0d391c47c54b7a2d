package traffic

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// unitsOf is how many of what a rate counts are one of what CPU is for.
var unitsOf = map[Kind]float64{Stream: 8 * streamUnit, UDP: 1, Echo: 1, Connect: 1}

func TestEveryLoadArrives(t *testing.T) {
	// A port that is free, most likely for UDP too.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	failed := make(chan error, 1)
	go func() { failed <- Serve(addr) }()
	waitFor(t, addr, failed)
	for _, load := range []Load{
		{Kind: Stream, Streams: 1}, {Kind: Stream, Streams: 8}, {Kind: UDP}, {Kind: Echo}, {Kind: Connect},
	} {
		load.Period = 100 * time.Millisecond
		r, err := Send(addr, load)
		if err != nil || r.Rate <= 0 {
			t.Errorf("%+v: rate %v, error %v", load, r.Rate, err)
		}
		// This process is the receiver, too, and a unit takes at least a system call and at most
		// all cores.
		if units := r.Rate / unitsOf[load.Kind]; r.CPU < 50e-9 || r.CPU*units > 100 {
			t.Errorf("%+v: a unit takes %v s, of %v a second", load, r.CPU, units)
		}
		if load.Kind == Echo && (r.P50 <= 0 || r.P99 < r.P50) {
			t.Errorf("round trips take %v and %v", r.P50, r.P99)
		}
	}
	if _, err := Send(addr, Load{Kind: "none"}); err == nil {
		t.Error("an unknown load was sent")
	}
}

func waitFor(t *testing.T, addr string, failed <-chan error) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			return
		}
		select {
		case err := <-failed:
			t.Fatal(err)
		case <-time.After(time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// The kernel would tell the runtime of each packet that arrives, at the sender's cost.
func TestRuntimeDoesNotPollSockets(t *testing.T) {
	server, err := listenUDP("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	polled := polledFiles(t)
	if !strings.Contains(polled, "tfd:") {
		t.Fatal("the runtime polls nothing at all")
	}
	if strings.Contains(polled, fmt.Sprintf("tfd: %8d ", server.Fd())) {
		t.Errorf("the runtime polls file %d:\n%s", server.Fd(), polled)
	}
}

// polledFiles returns what the kernel tells of this process's epoll files (proc(5), fdinfo).
func polledFiles(t *testing.T) string {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, f := range files {
		if what, _ := os.Readlink("/proc/self/fd/" + f.Name()); what == "anon_inode:[eventpoll]" {
			info, err := os.ReadFile("/proc/self/fdinfo/" + f.Name())
			if err != nil {
				t.Fatal(err)
			}
			all.Write(info)
		}
	}
	return all.String()
}
