package agentapi

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// restartTimeout is how long an agent may take to start anew. It takes some 30 ms.
const restartTimeout = 10 * time.Second

// Refresh makes sure that the agent has the program and the configuration that are installed, and
// has acted on the current store. It starts an agent only if one is needed.
func (c Client) Refresh(needed bool) error {
	if !needed && !isLocked(c.Lock) { // an agent that runs holds it
		return nil
	}
	_, err := Call(c.Socket, Request{Verb: VerbRestart}, time.Now().Add(restartTimeout))
	switch {
	case err == nil:
		return c.Sync("")
	case isUnknownVerb(err):
		return c.replaceOldAgent()
	case errors.Is(err, ErrNotRunning):
		return c.awaitRestart(err)
	}
	return err
}

// isUnknownVerb tells whether the agent is of a version that does not know the verb.
func isUnknownVerb(err error) bool {
	_, isAgents := errors.AsType[AgentError](err)
	return isAgents && strings.Contains(err.Error(), "unknown request")
}

// awaitRestart waits for an agent that ended the connection since it starts anew, and starts one
// where nobody listens.
func (c Client) awaitRestart(err error) error {
	for until := time.Now().Add(restartTimeout); isConnectionLost(err) && time.Now().Before(until); {
		if _, err = Call(c.Socket, Request{Verb: VerbSync}, until); err == nil {
			return nil
		}
		time.Sleep(pollInterval)
	}
	return c.Sync("")
}

// isConnectionLost tells whether somebody listened, and ended the connection.
func isConnectionLost(err error) bool {
	return errors.Is(err, ErrNotRunning) && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ECONNREFUSED)
}

// replaceOldAgent replaces an agent of a version that cannot start anew by itself. One that is
// killed leaves everything as it is, and its keeper starts the program that is installed by now.
func (c Client) replaceOldAgent() error {
	if c.Systemd && runSystemctl(time.Now().Add(restartTimeout), "restart", ServiceUnit) == nil {
		return c.Sync("")
	}
	if err := c.signalAgent(unix.SIGKILL); err != nil {
		return err
	}
	return c.Sync("")
}

// Stop ends the agent, if it runs. Networks with a list of hosts follow it then.
func (c Client) Stop() error {
	if c.Systemd {
		_ = runSystemctl(time.Now().Add(restartTimeout), "stop", SocketUnit, ServiceUnit) // they may not be installed
	}
	return c.signalAgent(unix.SIGTERM)
}

// stopTimeout is more than an agent takes to end.
const stopTimeout = 5 * time.Second

// signalAgent sends a signal that ends the agent, if it runs, and waits until it has ended.
func (c Client) signalAgent(signal unix.Signal) error {
	pid, err := c.agentPID()
	if pid == 0 || err != nil {
		return err
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("stop vxland, process %d: %w", pid, err)
	}
	defer unix.Close(fd)
	// The number may have become another process's before PidfdOpen.
	if again, err := c.agentPID(); err != nil || again != pid {
		return err
	}
	if err := unix.PidfdSendSignal(fd, signal, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("stop vxland, process %d: %w", pid, err)
	}
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(stopTimeout.Milliseconds()))
	if err == nil && n == 0 {
		err = fmt.Errorf("it still runs after %v", stopTimeout)
	}
	if err != nil {
		return fmt.Errorf("stop vxland, process %d: %w", pid, err)
	}
	return nil
}

// agentPID returns the number of the process that listens on the socket, or 0 if none does, or not
// an agent.
func (c Client) agentPID() (int, error) {
	conn, err := dialAgent(c.Socket, time.Now().Add(startTimeout))
	if errors.Is(err, ErrNotRunning) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var peer *unix.Ucred
	var peerErr error
	err = raw.Control(func(fd uintptr) {
		peer, peerErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err := errors.Join(err, peerErr); err != nil {
		return 0, fmt.Errorf("ask who listens on %s: %w", c.Socket, err)
	}
	// With a socket of systemd's it is systemd.
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", peer.Pid))
	if err != nil || string(name) != "vxland\n" {
		return 0, nil
	}
	return int(peer.Pid), nil
}
