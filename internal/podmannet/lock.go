package podmannet

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// rootLock is the lock of root's networks (containers/common, libnetwork/netavark, since Podman
	// 4.4). Before that it was in the networks' directory.
	rootLock  = "/run/lock/netavark.lock"
	ownedLock = "netavark.lock"

	lockTimeout = time.Minute
	lockPoll    = 20 * time.Millisecond
)

// ErrBusy says that Podman holds its lock for longer than a container takes to start.
var ErrBusy = errors.New("podman has been working on networks for a minute")

// Lock keeps Podman from starting, stopping and creating anything on networks until Close. It waits
// while Podman does.
func Lock(dir string) (io.Closer, error) {
	return lockFiles(lockTimeout, rootLock, filepath.Join(dir, ownedLock))
}

// locks are files that are locked.
type locks []*os.File

// lockFiles locks the first file, which it makes if need be, and those of the others that exist.
func lockFiles(timeout time.Duration, path string, others ...string) (io.Closer, error) {
	var held locks
	until := time.Now().Add(timeout)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("lock Podman's networks: %w", err)
	}
	for i, path := range append([]string{path}, others...) {
		flags := os.O_RDWR | os.O_CREATE
		if i > 0 {
			flags = os.O_RDWR
		}
		f, err := os.OpenFile(path, flags, 0o600)
		if i > 0 && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			held = append(held, f)
			err = lockWithin(f, until)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("lock Podman's networks: %s: %w", path, err), held.Close())
		}
	}
	return held, nil
}

// lockWithin takes the lock of a file. Podman's is a lock of the process (fcntl(2), F_SETLKW). One
// of the open file excludes it, and does not end when this process closes the file elsewhere.
func lockWithin(f *os.File, until time.Time) error {
	for {
		whole := unix.Flock_t{Type: unix.F_WRLCK, Whence: unix.SEEK_SET}
		err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &whole)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EINTR):
			return err
		case time.Now().After(until):
			return ErrBusy
		}
		time.Sleep(lockPoll)
	}
}

// Close releases the locks.
func (l locks) Close() error {
	var errs []error
	for _, f := range l {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
