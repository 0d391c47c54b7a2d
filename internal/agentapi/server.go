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

	"vxlan-driver/internal/accept"

	"golang.org/x/sys/unix"
)

const (
	// maxRequest bytes are far more than any request has. They fit a question to another host.
	maxRequest = 16 << 10
	// readTimeout is enough for a client, which sends its request at once.
	readTimeout = time.Second
	// writeTimeout is enough for a client that reads a list of 50,000 containers, up to 30 MB, which
	// is made meanwhile.
	writeTimeout = 20 * time.Second
	// answerTimeout is long since an answer may wait for the store's lock behind many container
	// starts.
	answerTimeout = time.Minute
)

// ErrSocketInUse says that somebody listens on the agent's socket.
var ErrSocketInUse = errors.New("somebody listens on it")

// Listen creates the socket at path, and replaces one that a killed agent left. It leaves one that
// answers: it may be systemd's, which does not notice that its socket is gone.
func Listen(path string) (*net.UnixListener, error) {
	if IsAnswered(path) {
		return nil, fmt.Errorf("replace socket %s: %w", path, ErrSocketInUse)
	}
	if err := removeStale(path); err != nil {
		return nil, fmt.Errorf("replace socket %s: %w", path, err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if errors.Is(err, unix.EADDRINUSE) {
		err = fmt.Errorf("%w: %w", ErrSocketInUse, err)
	}
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// removeStale removes a socket on which nobody listens. It moves the file aside before it looks, as
// systemd may replace it at any time: what answers then is put back.
func removeStale(path string) error {
	aside := path + ".stale"
	switch err := os.Rename(path, aside); {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case IsAnswered(aside):
		// Not a rename, which would replace a socket that is newer still.
		return errors.Join(ErrSocketInUse, os.Link(aside, path), os.Remove(aside))
	}
	return os.Remove(aside)
}

// IsAnswered tells whether somebody listens on the socket at a path. A connection that is refused
// for another reason, such as a queue that is full, says that somebody does.
func IsAnswered(path string) bool {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err == nil {
		_ = conn.Close() // nothing was sent on it
	}
	return !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ECONNREFUSED)
}

// Serve answers requests until ctx is done, and then waits for those in progress. While descriptors
// or memory are short, connections wait, and shortage gets the error each time.
func Serve(ctx context.Context, l net.Listener, shortage func(error),
	handle func(context.Context, Request) Response) error {
	var inFlight sync.WaitGroup
	defer inFlight.Wait()
	return accept.Connections(ctx, l, shortage, func(conn net.Conn) {
		inFlight.Go(func() { serveConn(ctx, conn, handle) })
	})
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
	_ = conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_ = response.Write(conn)
}

// readRequest reads one line.
func readRequest(conn io.Reader) (r Request, err error) {
	line, err := bufio.NewReader(io.LimitReader(conn, maxRequest)).ReadBytes('\n')
	if err != nil {
		return Request{}, err
	}
	return r, json.Unmarshal(line, &r)
}
