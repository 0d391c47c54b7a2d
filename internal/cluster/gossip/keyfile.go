package gossip

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/memberlist"

	"vxlan-driver/internal/clusterkey"
)

// keyPollInterval is how often the key file is looked at, which costs a system call. Polling finds
// every way to change a file: in place, by renaming, by a symbolic link anywhere in its path, by
// its mode. inotify has to watch each directory and link of the path, and may have no instance
// left.
const keyPollInterval = time.Second

// KeyFile is a key file that is followed: planes that have it use the keys that it has at any time.
// A file that cannot be used changes nothing, so a mistake neither opens nor splits a cluster. Until
// it could be used once, no plane runs.
type KeyFile struct {
	// OnChange is called with a description of the keys whenever they have changed; nil: nobody is.
	OnChange func(keys string)

	path string
	log  *slog.Logger

	mu      sync.Mutex
	ring    *memberlist.Keyring // nil: there was no key yet
	keys    []clusterkey.Key
	seen    fileState // when it was looked at last
	applied fileState // when it was read
	problem string    // why it cannot be used, as logged
}

// NewKeyFile reads a key file. Whether it can be used, Status says.
func NewKeyFile(path string, log *slog.Logger) *KeyFile {
	f := &KeyFile{path: path, log: log}
	_ = f.Check() // logged, and tried again by Follow
	return f
}

// keyring returns the library's form of the keys, which follows the file.
func (f *KeyFile) keyring() (*memberlist.Keyring, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ring == nil {
		return nil, errors.New(f.problem)
	}
	return f.ring, nil
}

// Follow follows the file until ctx is done.
func (f *KeyFile) Follow(ctx context.Context) {
	for waitFor(ctx, keyPollInterval) {
		f.poll()
	}
}

// poll reads the file if it has changed, once it has been the same twice. So a file that is being
// written, or is gone for a moment, is left alone.
func (f *KeyFile) poll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := stateOf(f.path)
	settled := now == f.seen
	f.seen = now
	if settled && now != f.applied {
		f.applied = now
		f.readLocked()
	}
}

// Check acts on the file as it is now, and says what is wrong with it. It is for somebody who says
// that the file is complete.
func (f *KeyFile) Check() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.applied = fileState{} // the next poll reads it again: a change a moment later may look like this one
	return f.readLocked()
}

// Status says which keys are used, and what is wrong with the file, if anything.
func (f *KeyFile) Status() (keys, problem string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return clusterkey.Describe(f.keys), f.problem
}

// readLocked makes the planes use what the file has. A problem is logged once.
func (f *KeyFile) readLocked() error {
	keys, err := clusterkey.Load(f.path)
	if err == nil && !slices.Equal(keys, f.keys) {
		err = f.useLocked(keys)
	}
	if err != nil && f.ring == nil {
		err = fmt.Errorf("%w; this agent talks to no other host until the file can be used", err)
	} else if err != nil {
		err = fmt.Errorf("%w; the keys from before stay in use", err)
	}
	switch {
	case err != nil && err.Error() != f.problem:
		f.problem = err.Error()
		f.log.Error("cannot use the key file", "keys", clusterkey.Describe(f.keys), "err", err)
	case err == nil && f.problem != "":
		f.problem = ""
		f.log.Info("the key file can be used again", "file", f.path, "keys", clusterkey.Describe(f.keys))
	}
	return err
}

// useLocked makes the planes use these keys.
func (f *KeyFile) useLocked(keys []clusterkey.Key) error {
	if f.ring == nil {
		ring, err := newKeyring(keys)
		if err != nil {
			return err
		}
		f.ring = ring
	} else if err := replaceKeys(f.ring, keys); err != nil {
		return err
	}
	if len(f.keys) > 0 {
		f.log.Info("keys changed", "event", "keys-changed", "file", f.path, "keys", clusterkey.Describe(keys))
		if f.OnChange != nil {
			f.OnChange(clusterkey.Describe(keys))
		}
	}
	f.keys = keys
	return nil
}

// fileState is by what a file's change is seen. A file that is replaced is another one, and a
// change of its content or mode changes its ctime, which nobody can set.
type fileState struct {
	dev, inode   uint64
	size         int64
	sec, nanosec int64 // ctime
	problem      string
}

// stateOf looks at what the path leads to.
func stateOf(path string) fileState {
	info, err := os.Stat(path)
	if err != nil {
		if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
			err = pathErr.Err
		}
		return fileState{problem: err.Error()}
	}
	s := fileState{size: info.Size()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		s.dev, s.inode = st.Dev, st.Ino
		s.sec, s.nanosec = st.Ctim.Sec, st.Ctim.Nsec
	}
	return s
}
