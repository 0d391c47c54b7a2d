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

// openListener returns the socket that the agent has from before it started anew, or that systemd
// passes to it, or opens one. activated says that the socket is systemd's.
func openListener() (l net.Listener, activated bool, err error) {
	if f := takeInherited(socketVar, agentapi.SocketPath); f != nil {
		isOwn := os.Getenv(ownSocketVar) != ""
		_ = os.Unsetenv(ownSocketVar)
		l, err = listenOn(f)
		return l, !isOwn, err
	}
	if hasListenFD() {
		unix.CloseOnExec(firstListenFD)
		f := os.NewFile(firstListenFD, agentapi.SocketPath)
		// As this agent has the lock, who listens is systemd, with the socket that it passed. If
		// its file was removed, an agent before this one may have left its own.
		if agentapi.IsAnswered(agentapi.SocketPath) {
			l, err = listenOn(f)
			return l, true, err
		}
		f.Close()
	}
	u, err := agentapi.Listen(agentapi.SocketPath)
	if err != nil {
		return nil, false, err
	}
	u.SetUnlinkOnClose(false) // removeSocket does, unless the agent starts anew
	return u, false, nil
}

// hasListenFD tells whether systemd passes a socket. It holds once: after a start anew the
// descriptor may be another file's.
func hasListenFD() bool {
	pid, _ := strconv.Atoi(os.Getenv("LISTEN_PID"))
	passed := pid == os.Getpid() && os.Getenv("LISTEN_FDS") == "1"
	_ = errors.Join(os.Unsetenv("LISTEN_PID"), os.Unsetenv("LISTEN_FDS"))
	return passed
}

// listenOn accepts connections on a copy of a socket.
func listenOn(f *os.File) (net.Listener, error) {
	defer f.Close()
	return net.FileListener(f)
}

// takeInherited returns the file whose descriptor a variable names, or nil.
func takeInherited(variable, name string) *os.File {
	fd, err := strconv.Atoi(os.Getenv(variable))
	_ = os.Unsetenv(variable)
	if err != nil || !isOpen(fd) {
		return nil
	}
	unix.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), name)
}

func isOpen(fd int) bool {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil
}

// removeSocket removes the socket of an agent that ends, unless it is systemd's or another one has
// its place.
func (p *process) removeSocket(activated bool) error {
	if activated || p.Lost() {
		return nil
	}
	return os.Remove(agentapi.SocketPath)
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

// lockHost takes the lock that makes this agent the only one of the host, or has it from before it
// started anew.
func lockHost(ctx context.Context, dir string) (*os.File, error) {
	path := filepath.Join(dir, agentapi.LockFile)
	if f := takeInherited(lockVar, path); f != nil {
		return f, nil
	}
	for until := time.Now().Add(handOverTimeout); ; {
		f, err := tryLock(path)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, err
		}
		if time.Now().After(until) || ctx.Err() != nil {
			return nil, fmt.Errorf("another vxland runs on this host: lock %s: %w", path, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// tryLock takes a lock that nobody has. A file that was removed meanwhile is no lock.
func tryLock(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil && !isAtPath(f) {
		err = unix.EWOULDBLOCK
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
