package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Dir is where the programs keep their store.
const Dir = "/run/vxlan"

// lockTimeout is far longer than the queue of a host that starts all its containers at once (1,000
// at 10 ms). Podman waits for the plugin without a limit of its own, and must not hang for good.
const lockTimeout = time.Minute

// Store is an open store. Its lock is held until Close.
type Store struct {
	dir   string
	lock  *os.File
	cache *Cache // nil: none
}

// Open takes the lock of the store in dir, making the directory if need be.
func Open(dir string) (*Store, error) {
	for {
		s, err := openOnce(dir)
		if err != nil || s.holdsLock() {
			return s, err
		}
		// Somebody removed the directory while this process waited. Others lock the new file.
		if err := s.Close(); err != nil {
			return nil, err
		}
	}
}

func openOnce(dir string) (*Store, error) {
	// Only root may read port mappings and names.
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	path := filepath.Join(dir, "lock")
	lock, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if err := flock(lock, lockTimeout); err != nil {
		return nil, errors.Join(fmt.Errorf("lock store %s: %w", path, err), lock.Close())
	}
	return &Store{dir: dir, lock: lock}, nil
}

// holdsLock tells whether the file that is locked is still the one at its path.
func (s *Store) holdsLock() bool {
	locked, err := s.lock.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(s.lock.Name())
	return err == nil && os.SameFile(locked, named)
}

// RemoveAll removes the store with all that others keep in its directory. The lock is held until
// Close. Who waits for it makes a new store.
func (s *Store) RemoveAll() error {
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("remove store: %w", err)
	}
	return nil
}

// OpenCached is Open with a cache, which may be nil.
func OpenCached(dir string, c *Cache) (*Store, error) {
	s, err := Open(dir)
	if err == nil {
		s.cache = c
	}
	return s, err
}

// flock waits for the lock in a goroutine, since flock(2) takes no limit. When the limit is reached
// the process is about to end, and the goroutine with it.
func flock(f *os.File, limit time.Duration) error {
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
		return nil
	}
	done := make(chan error, 1)
	go func() {
		for {
			err := unix.Flock(int(f.Fd()), unix.LOCK_EX)
			if !errors.Is(err, unix.EINTR) {
				done <- err
				return
			}
		}
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(limit):
		return fmt.Errorf("another vxlan process has held it for %v; see `fuser %s`", limit, f.Name())
	}
}

// Close releases the lock.
func (s *Store) Close() error { return s.lock.Close() }
