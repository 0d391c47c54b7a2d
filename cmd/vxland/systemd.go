package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/agentapi"
)

// firstListenFD is the first descriptor that systemd passes (sd_listen_fds(3)).
const firstListenFD = 3

// openListener returns the socket that systemd passes to the agent, or opens one.
func openListener() (l net.Listener, activated bool, err error) {
	pid, _ := strconv.Atoi(os.Getenv("LISTEN_PID"))
	if pid != os.Getpid() || os.Getenv("LISTEN_FDS") != "1" {
		l, err := agentapi.Listen(agentapi.SocketPath)
		return l, false, err
	}
	unix.CloseOnExec(firstListenFD)
	f := os.NewFile(firstListenFD, agentapi.SocketPath)
	defer f.Close() // FileListener has a copy
	l, err = net.FileListener(f)
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	return l, true, err
}

// notifySystemd reports a state to systemd, if it asks for that (sd_notify(3)).
func notifySystemd(state string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return // systemd reports that it got no message
	}
	defer conn.Close()
	_, _ = conn.Write([]byte(state))
}

// handOverTimeout is how long a new agent waits for one that is shutting down.
const handOverTimeout = 1500 * time.Millisecond

// lockHost takes the lock that makes this agent the only one of the host.
func lockHost(ctx context.Context, dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, agentapi.LockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for until := time.Now().Add(handOverTimeout); ; {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if time.Now().After(until) || ctx.Err() != nil {
			return nil, errors.Join(fmt.Errorf("another vxland runs on this host: lock %s: %w", f.Name(), err), f.Close())
		}
		time.Sleep(10 * time.Millisecond)
	}
}
