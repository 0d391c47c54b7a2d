package agentapi

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/installed"
)

const (
	// startTimeout is how long a container start waits until the agent runs and answers.
	startTimeout = 2 * time.Second
	// pollInterval is how often a starting agent is called. It listens after some 10 ms.
	pollInterval = 5 * time.Millisecond
	// maxRestarts is how often an agent that is killed while it starts is started again.
	maxRestarts = 3
	// assignTimeout is how much longer the agent may take to assign addresses. It waits for other
	// hosts' objections, and may have to join the cluster first.
	assignTimeout = 10 * time.Second
)

// Client calls the agent of this host, and starts it where a request needs it.
type Client struct {
	Socket  string
	Log     string               // the output of an agent that is started without systemd
	Binary  string               // path of vxland; "": the places where it is installed
	Lock    string               // file that a running agent holds a lock on
	Systemd bool                 // systemd runs on this host
	Warn    func(message string) // shows the user a warning of the agent's
}

// Sync makes the agent act on the current store. The error says what is wrong with the network.
func (c Client) Sync(network string) error {
	_, err := c.callOrStart(Request{Verb: VerbSync, Network: network}, 0)
	return err
}

// EndpointAdded makes the agent answer the names of a container that has been set up. The result
// tells whether the agent announces the container's addresses; agents of earlier versions do not.
func (c Client) EndpointAdded(network, container string) (announces bool, err error) {
	r, err := c.callOrStart(Request{Verb: VerbSync, Network: network, Container: container}, 0)
	if r.Warning != "" {
		c.Warn(r.Warning)
	}
	return r.Announces, err
}

// AssignAddresses asks the agent for addresses of a container whose record is in the store.
func (c Client) AssignAddresses(network, container string, wanted []netip.Addr) ([]netip.Addr, error) {
	r, err := c.callOrStart(Request{Verb: VerbAssignAddresses, Assign: &AssignRequest{
		Network: network, Container: container, Wanted: wanted,
	}}, assignTimeout)
	if err == nil && r.Warning != "" {
		c.Warn(r.Warning)
	}
	return r.Addrs, err
}

// StoreChanged tells the agent, if it runs, that the store has changed. The agent also watches the
// store, so nothing depends on this message.
func (c Client) StoreChanged() {
	_ = Send(c.Socket, Request{Verb: VerbStoreChanged}, time.Now().Add(startTimeout))
}

// Joining tells the agent, if it runs, that this host joins a network.
func (c Client) Joining(networkID string, vni uint32, port uint16, vtep netip.Addr) {
	r := Request{Verb: VerbJoining, Joining: &JoiningRequest{Network: networkID, VNI: vni, Port: port, VTEP: vtep}}
	_ = Send(c.Socket, r, time.Now().Add(startTimeout))
}

// callOrStart returns the agent's answer, and starts the agent if it does not run. A request whose
// answer takes longer than the agent's start gets extra time.
func (c Client) callOrStart(r Request, extra time.Duration) (Response, error) {
	start := agentStart{Client: c, deadline: time.Now().Add(startTimeout)}
	call := func() (Response, error) {
		response, err := Call(c.Socket, r, start.deadline.Add(extra))
		return response, c.explainTimeout(err, startTimeout+extra)
	}
	response, err := call()
	if _, absent := errors.AsType[noAnswerError](err); absent {
		return response, c.withLogHint(err)
	}
	if !errors.Is(err, ErrNotRunning) {
		return response, err
	}
	if err := start.begin(); err != nil {
		return Response{}, fmt.Errorf("start vxland: %w", err)
	}
	for {
		response, err := call()
		if !errors.Is(err, ErrNotRunning) {
			return response, c.withLogHint(err)
		}
		if err := start.goOn(err); err != nil {
			return Response{}, c.withLogHint(err)
		}
	}
}

// agentStart is the start of an agent that does not answer yet.
type agentStart struct {
	Client
	deadline time.Time
	exited   <-chan error // receives how its process exits; nil: systemd starts it
	restarts int
	resetAt  time.Time // when systemd's unit is reset if nobody listens
	reset    bool
}

// begin starts the agent.
func (s *agentStart) begin() (err error) {
	s.resetAt = time.Now().Add(unitGrace)
	s.exited, err = s.startAgent(s.deadline)
	return err
}

// goOn waits for a moment after a call that failed with callErr. An error says that the agent does
// not start.
func (s *agentStart) goOn(callErr error) error {
	if s.exited == nil && !isConnectionLost(callErr) && !s.reset && time.Now().After(s.resetAt) {
		s.reset = true
		if err := s.resetUnit(s.deadline); err != nil {
			return fmt.Errorf("start vxland: %w", err)
		}
	}
	select {
	case err := <-s.exited:
		if errors.Is(err, errKilled) && s.restarts < maxRestarts {
			s.restarts++
			beginErr := s.begin()
			if beginErr == nil {
				return nil
			}
			err = errors.Join(err, beginErr)
		}
		return fmt.Errorf("start vxland: it ended at once: %w", cmp.Or(err, errors.New("exit status 0")))
	case <-time.After(pollInterval):
	}
	if time.Now().After(s.deadline) {
		return noAnswerError(startTimeout)
	}
	return nil
}

// explainTimeout tells an agent that is slow from one that is absent, when no answer came in time.
// Connections do not tell: systemd accepts them for an agent that it cannot start.
func (c Client) explainTimeout(err error, waited time.Duration) error {
	switch {
	case !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, unix.EAGAIN): // EAGAIN: too many callers wait
		return err
	case isLocked(c.Lock):
		return SlowError{waited}
	}
	return noAnswerError(waited)
}

// isLocked tells whether a process holds a lock on the file.
func isLocked(path string) bool {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe would wait for a writer
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// SlowError says that an agent runs, but did not answer in time.
type SlowError struct{ waited time.Duration }

// Error says what to expect.
func (e SlowError) Error() string {
	return fmt.Sprintf("vxland is slow: it runs, but did not answer within %v", e.waited)
}

// AgentRuns marks the error as one of a running agent.
func (SlowError) AgentRuns() {}

// noAnswerError says after how long an agent that was started has not answered.
type noAnswerError time.Duration

// Error says how long somebody waited.
func (e noAnswerError) Error() string {
	return fmt.Sprintf("start vxland: it does not answer within %v", time.Duration(e))
}

// NotInstalledError says that there is no agent to start.
type NotInstalledError struct{ path string }

// Error says where to install it.
func (e NotInstalledError) Error() string {
	return "it is not installed; install it at " + e.path
}

// NotInstalled marks the error.
func (NotInstalledError) NotInstalled() {}

// withLogHint adds where the agent's log is.
func (c Client) withLogHint(err error) error {
	switch {
	case err == nil:
		return nil
	case c.Systemd:
		return fmt.Errorf("%w; see `journalctl -u vxland` or %s", err, c.Log)
	}
	return fmt.Errorf("%w; see %s", err, c.Log)
}

// startAgent starts the agent by its systemd unit if there is one. So the agent does not belong to
// the service of the first container. Otherwise it starts a process of its own; the channel
// receives how that process exits.
func (c Client) startAgent(deadline time.Time) (exited <-chan error, err error) {
	if c.Systemd && c.Binary == "" {
		if known, err := c.startUnit(deadline); known {
			return nil, err
		}
	}
	path, err := c.findBinary()
	if err != nil {
		return nil, err
	}
	// No container has run here yet if a network is created that is defined once for all hosts.
	if err := os.MkdirAll(filepath.Dir(c.Log), 0o700); err != nil {
		return nil, err
	}
	// A pipe in its place is an error, and does not wait for a reader.
	log, err := os.OpenFile(c.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	return spawnDetached(log, path, "--keep")
}

// BinaryPaths are the places where the agent is installed, besides the one beside the plugin.
var BinaryPaths = []string{
	"/usr/local/libexec/vxlan/vxland", "/usr/libexec/vxlan/vxland", "/usr/local/lib/vxlan/vxland", "/usr/lib/vxlan/vxland",
	"/usr/local/sbin/vxland", "/usr/sbin/vxland", "/usr/local/bin/vxland", "/usr/bin/vxland",
}

func (c Client) findBinary() (string, error) {
	if c.Binary != "" {
		return c.Binary, nil
	}
	candidates := BinaryPaths
	if self, err := os.Executable(); err == nil {
		candidates = append([]string{self[:strings.LastIndexByte(self, '/')+1] + "../vxlan/vxland"}, BinaryPaths...)
	}
	for _, path := range candidates {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", NotInstalledError{installed.Path("libexec/vxlan/vxland")}
}

// errKilled says that a signal ended a process. The cause may lie outside the program, such as a
// lack of memory, and another attempt may succeed.
var errKilled = errors.New("the process was killed")

// spawnDetached starts a program in a session of its own, with out as its output; the channel
// receives how it exits. os/exec would make the plugin 100 kB larger, and os.StartProcess first
// starts another process to probe the kernel.
func spawnDetached(out *os.File, argv ...string) (exited <-chan error, err error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	if out == nil {
		out = null
	}
	// The agent must not inherit what the plugin was given open, such as a pipe whose reader waits
	// for its end. Before Linux 5.11 it does.
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	pid, err := syscall.ForkExec(argv[0], argv, &syscall.ProcAttr{
		Dir: "/", Env: []string{"PATH=" + os.Getenv("PATH")},
		Files: []uintptr{null.Fd(), out.Fd(), out.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return nil, &os.PathError{Op: "start", Path: argv[0], Err: err}
	}
	result := make(chan error, 1)
	go func() { result <- waitForExit(pid) }()
	return result, nil
}

// waitForExit returns how a process exited: nil for exit status 0.
func waitForExit(pid int) error {
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(pid, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return fmt.Errorf("wait for process %d: %w", pid, err)
		case status.Signaled():
			return fmt.Errorf("signal: %v: %w", status.Signal(), errKilled)
		case status.ExitStatus() != 0:
			return fmt.Errorf("exit status %d", status.ExitStatus())
		default:
			return nil
		}
	}
}

// InstalledBinary returns the path of the agent's program, "" if it is not installed.
func (c Client) InstalledBinary() string {
	path, _ := c.findBinary()
	return path
}
