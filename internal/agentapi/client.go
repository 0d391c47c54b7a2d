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

// ErrNotRunning says that no agent listens, or that it ended before it responseed.
var ErrNotRunning = errors.New("vxland does not run")

// Call sends a request to the agent that listens on the socket at path, and returns its response.
func Call(path string, r Request, deadline time.Time) (Response, error) {
	conn, err := dialAgent(path, deadline)
	if err != nil {
		return Response{}, err
	}
	defer conn.Close()
	if err := json.NewEncoder(conn).Encode(r); err != nil {
		return Response{}, wrapCallError(err)
	}
	var response Response
	if err := json.NewDecoder(conn).Decode(&response); err != nil {
		return Response{}, wrapCallError(err)
	}
	return response, response.agentError()
}

// statusTimeout is longer than the agent is busy behind many container starts.
const statusTimeout = 10 * time.Second

// Status asks the agent that listens on the socket at path for its status, and does not start one.
func Status(path string) (StatusReport, error) {
	return callStatus(path, Request{Verb: VerbStatus})
}

// StatusWithRates is Status with the networks' rates. It may take half a second.
func StatusWithRates(path string) (StatusReport, error) {
	return callStatus(path, Request{Verb: VerbStatus, Rates: true})
}

func callStatus(path string, request Request) (StatusReport, error) {
	r, err := Call(path, request, time.Now().Add(statusTimeout))
	if err != nil || r.Status == nil {
		return StatusReport{}, err
	}
	return *r.Status, nil
}

// examineTimeout is longer than the search for the largest frame that passes takes.
const examineTimeout = 30 * time.Second

// Examine asks the agent that listens on the socket at path to look at all that it can look at.
func Examine(path string) (StatusReport, error) {
	r, err := Call(path, Request{Verb: VerbExamine}, time.Now().Add(examineTimeout))
	if err != nil || r.Status == nil {
		return StatusReport{}, err
	}
	return *r.Status, nil
}

// ForgetHost asks the agent that listens on the socket at path to forget a host that is gone for
// good. It returns the host's whole name, and a warning.
func ForgetHost(path, name string) (host, warning string, err error) {
	r, err := Call(path, Request{Verb: VerbForgetHost, Host: name}, time.Now().Add(statusTimeout))
	if errors.Is(err, ErrNotRunning) {
		err = fmt.Errorf(
			"forget host: %w here, so nothing is known of other hosts; type the command on a host that has containers", err)
	}
	return r.Host, r.Warning, err
}

// Send sends a request and does not wait for the response.
func Send(path string, r Request, deadline time.Time) error {
	conn, err := dialAgent(path, deadline)
	if err != nil {
		return err
	}
	return wrapCallError(errors.Join(json.NewEncoder(conn).Encode(r), conn.Close()))
}

func dialAgent(path string, deadline time.Time) (*net.UnixConn, error) {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err == nil {
		err = conn.SetDeadline(deadline)
	}
	return conn, wrapCallError(err)
}

// wrapCallError marks errors that mean that there is no agent with ErrNotRunning.
func wrapCallError(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return noListenerError{err}
	}
	for _, notRunning := range []error{syscall.EPIPE, syscall.ECONNRESET, io.EOF, io.ErrUnexpectedEOF} {
		if errors.Is(err, notRunning) {
			return fmt.Errorf("%w: %w", ErrNotRunning, err)
		}
	}
	return fmt.Errorf("ask vxland: %w", err)
}

// noListenerError says that nobody listens. How that was found out tells a person nothing.
type noListenerError struct{ err error }

// Error says it.
func (noListenerError) Error() string { return ErrNotRunning.Error() }

// Unwrap lets callers find out how.
func (e noListenerError) Unwrap() []error { return []error{ErrNotRunning, e.err} }
