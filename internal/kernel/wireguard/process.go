package wireguard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// SocketDir has the sockets by which wireguard-go's processes are told keys and peers. `wg` and wgctrl look
// there too.
const SocketDir = "/run/wireguard"

// SocketPath returns the socket of a device's process.
func SocketPath(device string) string { return SocketDir + "/" + device + ".sock" }

// process is a process of wireguard-go that runs, or did.
type process struct {
	conn     net.Conn // to its socket; nothing is said there
	pid      int
	done     chan struct{} // closed when it has ended
	expected atomic.Bool   // it was told to end
	renewed  atomic.Bool   // it was told to begin anew, and goes on under its number
}

// endTimeout is how long a process may take to end. It takes some 10 ms.
const endTimeout = 2 * time.Second

// ensureProcess starts a device's process if none runs, and tells so. It has it replaced if its program was.
func (h *Host) ensureProcess(ctx context.Context, name string) (started bool, err error) {
	p, err := h.connect(name)
	if err == nil && !p.isOutdated() {
		return false, nil
	}
	if err == nil {
		return false, h.renew(ctx, name, p)
	}
	if errors.Is(err, errElsewhere) {
		return false, err // to take its socket would end it, until its agent takes ours
	}
	if h.Start == nil {
		return false, errors.New("nobody starts wireguard-go here")
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := h.Start(ctx, name); err != nil {
		return false, fmt.Errorf("start wireguard-go: %w", err)
	}
	return true, h.waitForProcess(ctx, name)
}

// waitForProcess waits until a device's process can be told keys.
func (h *Host) waitForProcess(ctx context.Context, name string) error {
	for {
		_, err := h.connect(name)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wireguard-go does not answer: %w", err)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// renew lets a process execute its program anew. It passes on keys and peers by itself, and peers shake
// hands with it: see package wggo.
func (h *Host) renew(ctx context.Context, name string, p *process) error {
	h.Log.Info("restarting wireguard-go in place, since its program was replaced", "device", name, "pid", p.pid)
	p.expectEnd()
	p.renewed.Store(true)
	if err := unix.Kill(p.pid, unix.SIGHUP); err != nil {
		return fmt.Errorf("restart process %d of wireguard-go: %w", p.pid, err)
	}
	select {
	case <-p.done:
	case <-time.After(endTimeout):
		return fmt.Errorf("restart process %d of wireguard-go: it did not begin within %v", p.pid, endTimeout)
	}
	h.known(name).process = nil
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return h.waitForProcess(ctx, name)
}

// connect returns a device's process, which may be an earlier agent's. A connection tells when it ends.
func (h *Host) connect(name string) (*process, error) {
	d := h.known(name)
	if d.process != nil && d.process.runs() {
		return d.process, nil
	}
	d.process = nil
	conn, err := dial(name)
	if err != nil {
		return nil, err
	}
	pid, err := listenerPID(conn)
	if err == nil && h.isElsewhere(pid) {
		err = fmt.Errorf("process %d listens on %s: %w", pid, SocketPath(name), errElsewhere)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	p := &process{conn: conn, pid: pid, done: make(chan struct{})}
	d.process = p
	go h.watch(name, p)
	return p, nil
}

// errElsewhere says that a process is none of this host. Sockets are found by name in all network namespaces.
var errElsewhere = errors.New("it has a device of this name in another network namespace; end it, or give the " +
	"network another name")

// isElsewhere tells whether a process is in another network namespace. One that cannot be looked at is not.
func (h *Host) isElsewhere(pid int) bool {
	own, ownErr := os.Stat(cmp.Or(h.Namespace, "/proc/self/ns/net"))
	its, err := os.Stat(fmt.Sprintf("/proc/%d/ns/net", pid))
	return ownErr == nil && err == nil && !os.SameFile(own, its)
}

func dial(device string) (*net.UnixConn, error) {
	return net.DialUnix("unix", nil, &net.UnixAddr{Net: "unix", Name: SocketPath(device)})
}

// watch waits for a process's end.
func (h *Host) watch(name string, p *process) {
	_, _ = p.conn.Read(make([]byte, 1)) // it says nothing unasked
	p.conn.Close()
	if !p.renewed.Load() {
		p.waitExit()
		go reapInherited(p.pid)
	}
	close(p.done)
	if p.expected.Load() {
		return
	}
	h.Log.Warn("wireguard-go has ended; no packet of its network passes until it is started again", "device", name,
		"pid", p.pid)
	select {
	case h.died <- struct{}{}:
	default:
	}
}

// waitExit waits until a process whose connection has ended has closed all that it had open. Until then the
// next one would not get the device, and its socket would take in connections that nobody answers.
func (p *process) waitExit() {
	fd, err := unix.PidfdOpen(p.pid, 0)
	if err != nil {
		return // it has exited, or the kernel is older than Linux 5.3
	}
	defer unix.Close(fd)
	for until := time.Now().Add(endTimeout); ; {
		left := int(time.Until(until).Milliseconds())
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, max(left, 0))
		if !errors.Is(err, unix.EINTR) || left <= 0 {
			return
		}
	}
}

// listenerPID returns the process that listens on the other end.
func listenerPID(conn *net.UnixConn) (int, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err := errors.Join(err, credErr); err != nil {
		return 0, err
	}
	if cred.Pid <= 0 { // to send a signal to number 0 would be to send it to this process's group
		return 0, errors.New("the process that listens is in another process namespace")
	}
	return int(cred.Pid), nil
}

func (p *process) runs() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// isOutdated tells whether the file of its program was replaced. A program that was removed is not.
func (p *process) isOutdated() bool {
	exe := fmt.Sprintf("/proc/%d/exe", p.pid)
	path, err := os.Readlink(exe)
	if err != nil {
		return false
	}
	running, err := os.Stat(exe)
	if err != nil {
		return false
	}
	installed, err := os.Stat(strings.TrimSuffix(path, " (deleted)"))
	return err == nil && !os.SameFile(running, installed)
}

// expectEnd says that the process is to end: nobody needs to hear of it.
func (p *process) expectEnd() { p.expected.Store(true) }

// waitEnd waits for its end, and kills it if that does not come.
func (p *process) waitEnd() error {
	select {
	case <-p.done:
		return nil
	case <-time.After(endTimeout):
	}
	if err := unix.Kill(p.pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("end process %d of wireguard-go: %w", p.pid, err)
	}
	<-p.done
	return nil
}
