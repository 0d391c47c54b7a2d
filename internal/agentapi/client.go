package agentapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"syscall"
	"time"
)

// ErrNotRunning says that nobody listens, or that whoever did ended before it answered.
var ErrNotRunning = errors.New("vxland does not run")

// Call asks the agent that listens on the socket at path.
func Call(path string, r Request, deadline time.Time) (Response, error) {
	conn, err := dial(path, deadline)
	if err != nil {
		return Response{}, err
	}
	defer conn.Close()
	if err := json.NewEncoder(conn).Encode(r); err != nil {
		return Response{}, wrap(err)
	}
	var answer Response
	if err := json.NewDecoder(conn).Decode(&answer); err != nil {
		return Response{}, wrap(err)
	}
	return answer, answer.err()
}

// Send sends a request whose answer nobody waits for.
func Send(path string, r Request, deadline time.Time) error {
	conn, err := dial(path, deadline)
	if err != nil {
		return err
	}
	return wrap(errors.Join(json.NewEncoder(conn).Encode(r), conn.Close()))
}

func dial(path string, deadline time.Time) (*net.UnixConn, error) {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err == nil {
		err = conn.SetDeadline(deadline)
	}
	return conn, wrap(err)
}

func wrap(err error) error {
	if err == nil {
		return nil
	}
	for _, gone := range []error{fs.ErrNotExist, syscall.ECONNREFUSED, syscall.EPIPE, syscall.ECONNRESET, io.EOF, io.ErrUnexpectedEOF} {
		if errors.Is(err, gone) {
			return fmt.Errorf("%w: %w", ErrNotRunning, err)
		}
	}
	return fmt.Errorf("ask vxland: %w", err)
}
