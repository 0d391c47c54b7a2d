package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// storeEvents are what happens to files that are replaced by renaming, and to
// directories.
const storeEvents = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_DELETE | unix.IN_DELETE_SELF

// watchStore sends, until ctx is done, whenever something below the store's directory
// may have changed; many changes are one event to a slow reader.
func watchStore(ctx context.Context, dir string) (<-chan struct{}, error) {
	networks := filepath.Join(dir, "networks")
	if err := os.MkdirAll(networks, 0o700); err != nil {
		return nil, err
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	// The runtime waits on it, and Close ends a read.
	f := os.NewFile(uintptr(fd), "inotify")
	w := storeWatch{fd, networks}
	if err := w.add(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	context.AfterFunc(ctx, func() { _ = f.Close() })
	changes := make(chan struct{}, 1)
	go func() {
		buf := make([]byte, 64<<10)
		for {
			if _, err := f.Read(buf); err != nil {
				return // closed
			}
			// Whatever it was: a directory may be new, and what came into it before it was
			// watched is found by the turn that follows.
			_ = w.add()
			select {
			case changes <- struct{}{}:
			default:
			}
		}
	}()
	return changes, nil
}

type storeWatch struct {
	fd       int
	networks string
}

// add watches the directory and those in it. To watch one again changes nothing.
func (w storeWatch) add() error {
	dirs, err := filepath.Glob(filepath.Join(w.networks, "*"))
	if err != nil {
		return err
	}
	more, err := filepath.Glob(filepath.Join(w.networks, "*", "endpoints"))
	if err != nil {
		return err
	}
	for _, dir := range append(append([]string{w.networks}, dirs...), more...) {
		_, err := unix.InotifyAddWatch(w.fd, dir, storeEvents|unix.IN_ONLYDIR)
		if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) {
			return os.NewSyscallError("inotify_add_watch", err)
		}
	}
	return nil
}
