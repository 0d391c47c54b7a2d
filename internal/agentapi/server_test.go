package agentapi

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// systemd does not notice that its socket's file was replaced, and everybody who calls it then
// waits in vain.
func TestListenLeavesSocketThatAnswers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	other, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	other.SetUnlinkOnClose(false)
	wantInUse := func(when string) {
		t.Helper()
		if _, err := Listen(path); !errors.Is(err, ErrSocketInUse) {
			t.Errorf("%s: got %v", when, err)
		}
	}
	wantInUse("nobody waits")
	fillBacklog(t, path)
	wantInUse("the queue is full")
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := Listen(path) // nobody listens any more
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

// systemd may begin to listen between a look at the socket and its removal.
func TestSocketThatAnswersIsPutBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := removeStale(path); !errors.Is(err, ErrSocketInUse) || !IsAnswered(path) {
		t.Errorf("got %v; it answers: %v", err, IsAnswered(path))
	}
	if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) {
		t.Errorf("another file: %v", err)
	}
	if left, err := filepath.Glob(path + "?*"); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// fillBacklog connects until no more connections fit into the queue of a socket.
func fillBacklog(t *testing.T, path string) {
	t.Helper()
	for range 1 << 16 {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Close(fd) })
		if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); errors.Is(err, unix.EAGAIN) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("the queue does not fill")
}
