package agentapi

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

const (
	// maxRequest is far more than a request has; who sends more is not ours.
	maxRequest = 4096
	// A client sends its request at once.
	readTimeout = time.Second
	// An answer may wait for the store's lock, behind a queue of container starts.
	answerTimeout = time.Minute
)

// Listen makes the socket at path, in place of one that a killed agent left. The
// caller makes sure that there is no other agent.
func Listen(path string) (*net.UnixListener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("replace socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Serve answers until ctx is done, and waits for what is under way.
func Serve(ctx context.Context, l net.Listener, handle func(context.Context, Request) Response) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	var open sync.WaitGroup
	defer open.Wait()
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		open.Go(func() { answer(ctx, conn, handle) })
	}
}

// answer serves one connection. What goes wrong is the client's to notice.
func answer(ctx context.Context, conn net.Conn, handle func(context.Context, Request) Response) {
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	_ = conn.SetReadDeadline(time.Now().Add(readTimeout))
	response := Response{}
	if r, err := read(conn); err != nil {
		response.Error = fmt.Sprintf("read request: %v", err)
	} else {
		response = handle(ctx, r)
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		// The agent ends, so what it says does not count any more: no answer tells the
		// client to start the next one (ErrNotRunning).
		return
	}
	_ = conn.SetWriteDeadline(time.Now().Add(readTimeout))
	_ = json.NewEncoder(conn).Encode(response)
}

// read reads one request.
func read(conn io.Reader) (r Request, err error) {
	line, err := bufio.NewReader(io.LimitReader(conn, maxRequest)).ReadBytes('\n')
	if err != nil {
		return Request{}, err
	}
	return r, json.Unmarshal(line, &r)
}
