package agentapi

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

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

// shortListener fails for want of descriptors, and then has one connection.
type shortListener struct {
	net.Listener
	failures int
	conn     net.Conn
	closed   chan struct{}
	close    sync.Once
}

func (l *shortListener) Accept() (net.Conn, error) {
	if l.failures > 0 {
		l.failures--
		return nil, &net.OpError{Op: "accept", Net: "unix", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	if c := l.conn; c != nil {
		l.conn = nil
		return c, nil
	}
	<-l.closed
	return nil, net.ErrClosed
}

func (l *shortListener) Close() error { l.close.Do(func() { close(l.closed) }); return nil }

// While descriptors are short, the agent neither ends nor takes a processor.
func TestServeWaitsWhileDescriptorsAreShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const failures = 50
		client, server := net.Pipe()
		l := &shortListener{failures: failures, conn: server, closed: make(chan struct{})}
		ctx, stop := context.WithCancel(t.Context())
		began, reported, ended := time.Now(), 0, make(chan error, 1)
		go func() {
			ended <- Serve(ctx, l, func(err error) {
				reported++
				if !errors.Is(err, unix.EMFILE) {
					t.Errorf("reported %v", err)
				}
			}, func(context.Context, Request) Response { return Response{} })
		}()
		if _, err := client.Write([]byte("{}\n")); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); reported != failures || took != failures*acceptPause {
			t.Errorf("%d failures in %v", reported, took)
		}
		client.Close()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// lastMomentListener lets a connection in while the server is told to end.
type lastMomentListener struct {
	net.Listener
	conn   net.Conn
	end    func()
	closed atomic.Bool
}

func (l *lastMomentListener) Accept() (net.Conn, error) { l.end(); return l.conn, nil }
func (l *lastMomentListener) Close() error              { l.closed.Store(true); return nil }

// Once Serve has returned, the socket is another agent's to use. The client of the last moment is
// not left waiting.
func TestServeClosesWhatItHas(t *testing.T) {
	client, server := net.Pipe()
	ctx, stop := context.WithCancel(t.Context())
	l := &lastMomentListener{conn: server, end: stop}
	if err := Serve(ctx, l, nil, nil); err != nil {
		t.Error(err)
	}
	if !l.closed.Load() {
		t.Error("the listener is still open")
	}
	_ = client.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the client reads %v", err)
	}
}
