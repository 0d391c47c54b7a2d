package accept

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

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

// While descriptors are short, a server neither ends nor takes a processor.
func TestConnectionsWaitWhileDescriptorsAreShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const failures = 50
		client, server := net.Pipe()
		l := &shortListener{failures: failures, conn: server, closed: make(chan struct{})}
		ctx, stop := context.WithCancel(t.Context())
		began, reported, ended := time.Now(), 0, make(chan error, 1)
		go func() {
			ended <- Connections(ctx, l, func(err error) {
				reported++
				if !errors.Is(err, unix.EMFILE) {
					t.Errorf("reported %v", err)
				}
			}, func(conn net.Conn) { _ = conn.Close() })
		}()
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the client reads %v", err)
		}
		if took := time.Since(began); reported != failures || took != failures*pause {
			t.Errorf("%d failures in %v", reported, took)
		}
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

// Once a server has ended, its socket or port is another one's to use. The client of the last moment
// is not left waiting.
func TestLastConnectionIsClosed(t *testing.T) {
	client, server := net.Pipe()
	ctx, stop := context.WithCancel(t.Context())
	l := &lastMomentListener{conn: server, end: stop}
	if err := Connections(ctx, l, nil, nil); err != nil {
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
