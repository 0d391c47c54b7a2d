package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// storeEvents are the events of directories, and of files that are replaced by renaming.
const storeEvents = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_DELETE | unix.IN_DELETE_SELF

const (
	// watchPollInterval is how often paths are looked at that inotify does not report. Most changes
	// are reported by the plugin too. A look takes some 4 µs for each directory.
	watchPollInterval = time.Second
	// inotifyRetryInterval is how often inotify is tried again.
	inotifyRetryInterval = time.Minute
)

// pathWatcher tells when something may have happened to files. It uses inotify. The kernel gives a
// user 128 instances, which containers of root take too. Where there is none left, it polls.
type pathWatcher struct {
	log           *slog.Logger
	openInotify   func() (int, error)
	pollInterval  time.Duration
	retryInterval time.Duration

	mu      sync.Mutex
	polling int    // how many watches poll
	warning string // why
}

func newPathWatcher(log *slog.Logger) *pathWatcher {
	return &pathWatcher{
		log: log, pollInterval: watchPollInterval, retryInterval: inotifyRetryInterval,
		openInotify: func() (int, error) { return unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK) },
	}
}

// Store sends, until ctx is done, whenever something below the store's directory may have changed.
func (w *pathWatcher) Store(ctx context.Context, dir string) (<-chan struct{}, error) {
	networks := filepath.Join(dir, "networks")
	if err := os.MkdirAll(networks, 0o700); err != nil {
		return nil, err
	}
	return w.Watch(ctx, storeEvents, func() []string { return storeDirs(networks) }), nil
}

// storeDirs returns the directories of networks, each before what is in it. So what appears after a
// look at one is an event of the other.
func storeDirs(networks string) []string {
	dirs := []string{networks}
	entries, _ := os.ReadDir(networks) // it may be removed
	for _, e := range entries {
		dir := filepath.Join(networks, e.Name())
		dirs = append(dirs, dir, filepath.Join(dir, "endpoints"))
	}
	return dirs
}

// OwnFiles sends, until ctx is done, whenever a file beside the store, such as the agent's lock and
// socket, may have been removed or replaced, or the directory itself.
func (w *pathWatcher) OwnFiles(ctx context.Context, dir string) <-chan struct{} {
	const moved = unix.IN_MOVED_FROM | unix.IN_MOVE_SELF
	return w.Watch(ctx, storeEvents|moved, func() []string { return []string{dir} })
}

// Watch sends, until ctx is done, whenever something may have happened to the paths that list
// returns. To a slow reader many events are one.
func (w *pathWatcher) Watch(ctx context.Context, mask uint32, list func() []string) <-chan struct{} {
	p := &pathWatch{pathWatcher: w, mask: mask, list: list, changes: make(chan struct{}, 1)}
	if err := p.start(); err != nil {
		p.startPolling(err)
	}
	go p.run(ctx)
	return p.changes
}

// Warnings says what an administrator should know.
func (w *pathWatcher) Warnings() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.polling == 0 {
		return nil
	}
	return []string{w.warning}
}

// beginPolling logs why files are polled, once for all watches.
func (w *pathWatcher) beginPolling(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.polling++; w.polling > 1 {
		return
	}
	w.warning = fmt.Sprintf("files cannot be watched, so the agent looks at them each second: %v; %s", err,
		inotifyHint(err))
	w.log.Warn(w.warning)
}

// endPolling logs that no watch polls any more.
func (w *pathWatcher) endPolling() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.polling--; w.polling == 0 {
		w.log.Info("files are watched again")
	}
}

// inotifyHint says what to do about an error of inotify.
func inotifyHint(err error) string {
	switch {
	case errors.Is(err, unix.EMFILE):
		return "raise sysctl fs.inotify.max_user_instances, which containers of root use up too"
	case errors.Is(err, unix.ENOSPC):
		return "raise sysctl fs.inotify.max_user_watches, which containers of root use up too"
	}
	return "it tries again each minute"
}

// pathWatch is a watch of some paths.
type pathWatch struct {
	*pathWatcher
	mask    uint32
	list    func() []string
	changes chan struct{}

	inotify *os.File    // nil: it polls
	seen    []pathState // where it polls
}

// start makes inotify watch the paths.
func (p *pathWatch) start() error {
	fd, err := p.openInotify()
	if err != nil {
		return os.NewSyscallError("inotify_init1", err)
	}
	if err := p.addWatches(fd); err != nil {
		return errors.Join(err, unix.Close(fd))
	}
	// As an os.File, the runtime's poller waits for it, and Close ends a read.
	p.inotify = os.NewFile(uintptr(fd), "inotify")
	return nil
}

func (p *pathWatch) startPolling(err error) {
	p.inotify = nil
	p.seen = lookAt(p.list())
	p.beginPolling(err)
}

// run watches by inotify as far as it can. What happens between two ways to watch is a change.
func (p *pathWatch) run(ctx context.Context) {
	for ctx.Err() == nil {
		if p.inotify != nil {
			if err := p.readEvents(ctx); ctx.Err() == nil {
				p.startPolling(err)
				p.send()
			}
			continue
		}
		p.poll(ctx)
		if p.start() == nil {
			p.endPolling()
			p.send()
		}
	}
	if p.inotify != nil {
		_ = p.inotify.Close() // it may be closed already
	}
}

// readEvents sends for each event, until ctx is done or inotify fails.
func (p *pathWatch) readEvents(ctx context.Context) error {
	f := p.inotify
	defer context.AfterFunc(ctx, func() { _ = f.Close() })()
	buf := make([]byte, 64<<10)
	for {
		if _, err := f.Read(buf); err != nil {
			return errors.Join(err, f.Close())
		}
		// The events are not parsed. A new directory must be watched too; whoever reads it after
		// that finds what came into it before.
		err := p.watchNew(f)
		p.send()
		if err != nil {
			return errors.Join(err, f.Close())
		}
	}
}

// watchNew watches what appeared.
func (p *pathWatch) watchNew(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var watchErr error
	err = conn.Control(func(fd uintptr) { watchErr = p.addWatches(int(fd)) })
	return errors.Join(err, watchErr)
}

// addWatches watches the paths, and those that appeared meanwhile. Watching one again changes
// nothing.
func (p *pathWatch) addWatches(fd int) error {
	for watched := []string(nil); ; {
		paths := p.list()
		if slices.Equal(paths, watched) {
			return nil
		}
		for _, path := range paths {
			_, err := unix.InotifyAddWatch(fd, path, p.mask)
			if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) {
				return os.NewSyscallError("inotify_add_watch", err)
			}
		}
		watched = paths
	}
}

func (p *pathWatch) send() {
	select {
	case p.changes <- struct{}{}:
	default:
	}
}

// poll sends whenever the paths are found to have changed, until inotify is to be tried again.
func (p *pathWatch) poll(ctx context.Context) {
	ticker := time.NewTicker(p.pollInterval)
	defer ticker.Stop()
	retry := time.After(p.retryInterval)
	for changed := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-retry:
			return
		case <-ticker.C:
		}
		// Clocks of files are coarse: a second change may leave the same time, so it is looked for
		// once more.
		changedBefore := changed
		now := lookAt(p.list())
		changed, p.seen = !slices.Equal(now, p.seen), now
		if changed || changedBefore {
			p.send()
		}
	}
}

// pathState is what tells whether something has happened to a path.
type pathState struct {
	path              string
	device, inode     uint64
	size              int64
	modified, changed unix.Timespec
}

// lookAt returns the state of paths. Of one that does not exist it has the name only.
func lookAt(paths []string) (states []pathState) {
	for _, path := range paths {
		s := pathState{path: path}
		var st unix.Stat_t
		if unix.Stat(path, &st) == nil {
			s.device, s.inode, s.size, s.modified, s.changed = uint64(st.Dev), st.Ino, st.Size, st.Mtim, st.Ctim
		}
		states = append(states, s)
	}
	return states
}
