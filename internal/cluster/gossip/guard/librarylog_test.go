package guard

import (
	"bytes"
	"io"
	"log"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"golang.org/x/sys/unix"

	"vxlan-driver/internal/cluster/gossip/refusal"
)

// The library logs each failed accept, several a second, and this is the only place that says why
// other hosts cannot connect. The text is the library's own, so a new version that words it
// differently is noticed.
func TestAcceptErrorIsLoggedOnce(t *testing.T) {
	var out bytes.Buffer
	quiet := slog.New(slog.DiscardHandler)
	library := NewLibraryLogger(refusal.NewCounter(quiet), slog.New(slog.NewTextHandler(&out, nil)))
	lines := acceptErrors(t, 2)
	for _, line := range lines {
		library.Print(line)
	}
	if got := out.String(); strings.Count(got, "level=WARN") != 1 || !strings.Contains(got, "cannot accept connections of other hosts") {
		t.Errorf("%q logged as\n%s", lines, got)
	}
}

// acceptErrors makes the library's accept fail for want of descriptors, and returns what it logs.
func acceptErrors(t *testing.T, n int) (lines []string) {
	t.Helper()
	r, w := io.Pipe()
	transport, err := memberlist.NewNetTransport(&memberlist.NetTransportConfig{BindAddrs: []string{"127.0.0.1"}, Logger: log.New(w, "", 0)})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.DialTCP("tcp", nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: transport.GetAutoBindPort()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	(<-transport.StreamCh()).Close()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	restore := func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Error(err)
		}
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	_ = unix.Connect(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: transport.GetAutoBindPort()}) // in progress
	read := make(chan string)
	go func() {
		buf := make([]byte, 1<<10)
		for {
			k, err := r.Read(buf)
			if err != nil {
				return
			}
			read <- string(buf[:k])
		}
	}()
	for range n {
		select {
		case line := <-read:
			lines = append(lines, line)
		case <-time.After(5 * time.Second):
			restore()
			t.Fatal("the library logs nothing")
		}
	}
	restore()
	r.Close()
	if err := transport.Shutdown(); err != nil {
		t.Error(err)
	}
	return lines
}
