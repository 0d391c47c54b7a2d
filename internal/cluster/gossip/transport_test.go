package gossip

import (
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"vxlan-driver/internal/logtest"

	"github.com/hashicorp/memberlist"
	"golang.org/x/sys/unix"
)

// An agent that has no descriptor left says once why other hosts cannot connect, and accepts them as
// soon as it has one.
func TestAcceptErrorIsLoggedOnce(t *testing.T) {
	log := new(logtest.Buffer)
	conf := memberlist.DefaultLANConfig()
	conf.BindPort = 17947
	transport, err := newBoundTransport(conf, netip.MustParseAddr("127.0.0.1"), slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = transport.Shutdown() })
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	restore := func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit) }
	t.Cleanup(restore)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	_ = unix.Connect(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: conf.BindPort}) // in progress
	time.Sleep(5 * socketPause)                                                                 // it fails several times
	restore()
	select {
	case conn := <-transport.StreamCh():
		_ = conn.Close()
	case <-time.After(5 * time.Second):
		t.Fatal("the stream is not accepted")
	}
	const text = "level=WARN msg=\"gossip cannot accept connections of other hosts; they try again\" err="
	if log.Count(text) != 1 || log.Count("too many open files") != 1 {
		t.Errorf("log\n%s", log.String())
	}
}
