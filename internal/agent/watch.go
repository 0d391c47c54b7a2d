package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// storeEvents are the events of directories, and of files that are replaced by renaming.
const storeEvents = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_DELETE | unix.IN_DELETE_SELF

// watchStore sends, until ctx is done, whenever something below the store's directory may have
// changed.
func watchStore(ctx context.Context, dir string) (<-chan struct{}, error) {
	networks := filepath.Join(dir, "networks")
	if err := os.MkdirAll(networks, 0o700); err != nil {
		return nil, err
	}
	return watchPaths(ctx, storeEvents, func() ([]string, error) {
		dirs, err := filepath.Glob(filepath.Join(networks, "*"))
		if err != nil {
			return nil, err
		}
		more, err := filepath.Glob(filepath.Join(networks, "*", "endpoints"))
		return append(append([]string{networks}, dirs...), more...), err
	})
}

// watchOwnFiles sends, until ctx is done, whenever a file beside the store, such as the agent's
// lock and socket, may have been removed or replaced, or the directory itself.
func watchOwnFiles(ctx context.Context, dir string) (<-chan struct{}, error) {
	const moved = unix.IN_MOVED_FROM | unix.IN_MOVE_SELF
	return watchPaths(ctx, storeEvents|moved, func() ([]string, error) { return []string{dir}, nil })
}

// watchPaths sends, until ctx is done, whenever something may have happened to the paths that list
// returns. To a slow reader many events are one.
func watchPaths(ctx context.Context, mask uint32, list func() ([]string, error)) (<-chan struct{}, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	// As an os.File, the runtime's poller waits for it, and Close ends a read.
	f := os.NewFile(uintptr(fd), "inotify")
	w := pathWatch{fd, mask, list}
	if err := w.addWatches(); err != nil {
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
			// The events are not parsed. A new directory must be watched too; whoever reads it
			// after that finds what came into it before.
			_ = w.addWatches()
			select {
			case changes <- struct{}{}:
			default:
			}
		}
	}()
	return changes, nil
}

type pathWatch struct {
	fd   int
	mask uint32
	list func() ([]string, error)
}

// addWatches watches the paths, and those that appeared meanwhile. Watching one again changes
// nothing.
func (w pathWatch) addWatches() error {
	for watched := []string(nil); ; {
		paths, err := w.list()
		if err != nil || slices.Equal(paths, watched) {
			return err
		}
		for _, path := range paths {
			_, err := unix.InotifyAddWatch(w.fd, path, w.mask)
			if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) {
				return os.NewSyscallError("inotify_add_watch", err)
			}
		}
		watched = paths
	}
}
