package store

import (
	"fmt"
	"os"
	"path/filepath"
)

// Dir is where the programs keep their store.
const Dir = "/run/vxlan"

// Store is an open store. Its lock is held until Close.
type Store struct {
	dir   string
	lock  *os.File
	cache *Cache // nil: none
}

// Open takes the lock of the store in dir, making the directory if need be.
func Open(dir string) (*Store, error) { return openWithin(dir, waitLimit{timeout: lockTimeout}) }

func openWithin(dir string, limit waitLimit) (*Store, error) {
	for {
		s, err := openOnce(dir, limit)
		if err != nil || s.holdsLock() {
			return s, err
		}
		// Somebody removed the directory while this process waited. Others lock the new file.
		if err := s.Close(); err != nil {
			return nil, err
		}
	}
}

func openOnce(dir string, limit waitLimit) (*Store, error) {
	// Only root may read port mappings and names.
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	path := filepath.Join(dir, "lock")
	lock, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if lock, err = flock(lock, limit); err != nil {
		return nil, fmt.Errorf("lock store %s: %w", path, err)
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

// OpenCached is Open with a cache, and with a channel that is closed when the program is to end.
// From then on nobody waits for the lock for long. Both may be nil.
func OpenCached(dir string, c *Cache, interrupt <-chan struct{}) (*Store, error) {
	s, err := openWithin(dir, waitLimit{lockTimeout, interrupt})
	if err == nil {
		s.cache = c
	}
	return s, err
}

// Close releases the lock.
func (s *Store) Close() error { return s.lock.Close() }
