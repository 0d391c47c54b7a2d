package watch

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// hostNameFile can be polled: an event says that the name was set (kernel/utsname_sysctl.c).
const hostNameFile = "/proc/sys/kernel/hostname"

// HostName sends, until ctx is done, whenever the host's name may have been set. The kernel does not
// tell its UTS namespace from others.
func HostName(ctx context.Context) (<-chan struct{}, error) {
	file, err := os.Open(hostNameFile)
	if err != nil {
		return nil, err
	}
	poller, err := newPoller(int(file.Fd()))
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	context.AfterFunc(ctx, func() { _ = poller.Close() })
	changes := make(chan struct{}, 1)
	go func() {
		defer file.Close()
		for waitForPoller(poller) == nil {
			select {
			case changes <- struct{}{}:
			default:
			}
		}
	}()
	return changes, nil
}

// newPoller returns an epoll descriptor that is ready when a file has had an event. The runtime
// polls only for reading and writing, which is always possible here. It can poll this descriptor.
func newPoller(fd int) (*os.File, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	event := unix.EpollEvent{Events: unix.EPOLLPRI | unix.EPOLLET}
	if err := errors.Join(unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &event), unix.SetNonblock(epoll, true)); err != nil {
		return nil, errors.Join(os.NewSyscallError("epoll_ctl", err), unix.Close(epoll))
	}
	return os.NewFile(uintptr(epoll), "epoll"), nil
}

// waitForPoller waits for an event, and fails once the poller is closed.
func waitForPoller(poller *os.File) error {
	conn, err := poller.SyscallConn()
	if err != nil {
		return err
	}
	woken := false
	return conn.Read(func(fd uintptr) (done bool) {
		var events [1]unix.EpollEvent
		n, err := unix.EpollWait(int(fd), events[:], 0)
		// The runtime has looked at the file too, and each event of it is seen once.
		done = n > 0 || err != nil || woken
		woken = true
		return done
	})
}
