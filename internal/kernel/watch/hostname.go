package watch

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// hostNameFile can be polled: an event says that the name was set (kernel/utsname_sysctl.c).
const hostNameFile = "/proc/sys/kernel/hostname"

// HostName sends, until ctx is done, whenever the host's name may have been set. The kernel does
// not tell its UTS namespace from others.
//
// It takes a thread, which sleeps. An open file shows an event only to the first who polls it. That
// must not be the runtime's poller, which polls all files of package os.
func HostName(ctx context.Context) (<-chan struct{}, error) {
	file, err := unix.Open(hostNameFile, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: hostNameFile, Err: err}
	}
	ended, end, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, unix.Close(file))
	}
	context.AfterFunc(ctx, func() { _ = end.Close() })
	changes := make(chan struct{}, 1)
	go func() {
		defer unix.Close(file)
		defer ended.Close()
		for waitForEvent(file, int(ended.Fd())) {
			select {
			case changes <- struct{}{}:
			default:
			}
		}
	}()
	return changes, nil
}

// waitForEvent waits for an event of a file, and returns false once the other end of the pipe is
// closed.
func waitForEvent(file, pipe int) bool {
	files := []unix.PollFd{{Fd: int32(file), Events: unix.POLLPRI}, {Fd: int32(pipe)}}
	for {
		_, err := unix.Poll(files, -1)
		if !errors.Is(err, unix.EINTR) {
			return err == nil && files[1].Revents == 0
		}
	}
}
