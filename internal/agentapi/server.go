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
	// maxRequest bytes are far more than any request has.
	maxRequest = 4096
	// readTimeout is enough for a client, which sends its request at once.
	readTimeout = time.Second
	// answerTimeout is long since an answer may wait for the store's lock behind many container
	// starts.
	answerTimeout = time.Minute
)

// Listen creates the socket at path, and replaces one that a killed agent left. The caller must
// have made sure that no other agent runs.
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

// Serve answers requests until ctx is done, and then waits for those in progress.
func Serve(ctx context.Context, l net.Listener, handle func(context.Context, Request) Response) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	var inFlight sync.WaitGroup
	defer inFlight.Wait()
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		inFlight.Go(func() { serveConn(ctx, conn, handle) })
	}
}

// serveConn answers the one request of a connection. Write errors are left to the client, which
// gets no response.
func serveConn(ctx context.Context, conn net.Conn, handle func(context.Context, Request) Response) {
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	_ = conn.SetReadDeadline(time.Now().Add(readTimeout))
	response := Response{}
	if r, err := readRequest(conn); err != nil {
		response.Error = fmt.Sprintf("read request: %v", err)
	} else {
		response = handle(ctx, r)
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		// The agent is shutting down and may have done half of it. Without a response the client
		// starts the next agent (ErrNotRunning).
		return
	}
	_ = conn.SetWriteDeadline(time.Now().Add(readTimeout))
	_ = json.NewEncoder(conn).Encode(response)
}

// readRequest reads one line.
func readRequest(conn io.Reader) (r Request, err error) {
	line, err := bufio.NewReader(io.LimitReader(conn, maxRequest)).ReadBytes('\n')
	if err != nil {
		return Request{}, err
	}
	return r, json.Unmarshal(line, &r)
}
