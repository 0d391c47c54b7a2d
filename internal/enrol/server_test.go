package enrol

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// lastMomentListener lets a connection in while the server is told to end.
type lastMomentListener struct {
	net.Listener
	conn   net.Conn
	end    func()
	closed atomic.Bool
}

func (l *lastMomentListener) Accept() (net.Conn, error) { l.end(); return l.conn, nil }
func (l *lastMomentListener) Close() error              { l.closed.Store(true); return nil }

// Once Serve has returned, the port is free for the next agent. The host of the last moment is not
// left waiting.
func TestServeClosesWhatItHas(t *testing.T) {
	client, server := net.Pipe()
	ctx, stop := context.WithCancel(t.Context())
	l := &lastMomentListener{conn: server, end: stop}
	if err := new(Server).Serve(ctx, l); err != nil {
		t.Error(err)
	}
	if !l.closed.Load() {
		t.Error("the listener is still open")
	}
	_ = client.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the host reads %v", err)
	}
}
