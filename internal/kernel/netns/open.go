package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// ErrNotNamespace says that the path names something else than a network namespace. The plain file
// that a namespace was once mounted on is the usual case: it stays at /run/netns/x when the mount
// is lost in a reboot or a crash.
var ErrNotNamespace = errors.New("not a network namespace")

// Gone tells whether err, of this package, says that there is no namespace at the path: nothing at
// all, or something that isn't one.
func Gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrNotNamespace)
}

// Open opens the network namespace at path, such as /run/netns/x or /proc/1/ns/net. The file keeps
// the namespace alive until it is closed. The error is fs.ErrNotExist where nothing is at path, and
// ErrNotNamespace where something else is.
func Open(path string) (*os.File, error) {
	// O_NONBLOCK: whatever it is, opening must not wait, as it would on a FIFO.
	f, err := os.OpenFile(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if !isNamespace(int(f.Fd())) {
		f.Close()
		return nil, fmt.Errorf("open %s: %w", path, ErrNotNamespace)
	}
	return f, nil
}

// isNamespace asks for the filesystem before the namespace's type (ioctl_nsfs(2)), since the same
// ioctl number could mean anything to another kind of file.
func isNamespace(fd int) bool {
	var st unix.Statfs_t
	if unix.Fstatfs(fd, &st) != nil || int64(st.Type) != unix.NSFS_MAGIC {
		return false
	}
	kind, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE)
	return err == nil && kind == unix.CLONE_NEWNET
}
