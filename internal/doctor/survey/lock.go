package survey

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/doctor"
)

const (
	// lockWait is longer than a start or a turn of the agent has the store's lock.
	lockWait  = 5 * time.Second
	lockPause = 50 * time.Millisecond
)

// lock finds out who has the store's lock, if nobody else gets it for long.
func (c *collector) lock() {
	path := filepath.Join(c.on.Host.StoreDir, "lock")
	for began := time.Now(); time.Since(began) < lockWait && c.ctx.Err() == nil; sleep(c.ctx, lockPause) {
		f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			return // nothing was started, or it is found otherwise
		}
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		holder := lockHolder(f)
		f.Close() // with it the lock is given back
		if err == nil {
			c.LockHolder = doctor.Holder{}
			return
		}
		c.LockHolder = holder
	}
}

// lockHolder finds the processes that have a lock of a file. Of several that share one, as after a
// fork, the kernel's own list names only the one that took it (proc_locks(5), proc_pid_fdinfo(5)).
func lockHolder(f *os.File) (h doctor.Holder) {
	h.Path = f.Name()
	info, err := f.Stat()
	if err != nil {
		return h
	}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range links {
		target, err := os.Stat(link)
		if err != nil || !os.SameFile(info, target) {
			continue
		}
		process := strings.Split(link, "/")[2]
		about, _ := os.ReadFile("/proc/" + process + "/fdinfo/" + filepath.Base(link))
		pid, err := strconv.Atoi(process)
		if err != nil || !strings.Contains(string(about), "\nlock:") || slices.Contains(h.PIDs, pid) {
			continue // it waits too
		}
		name, _ := os.ReadFile("/proc/" + process + "/comm")
		h.PIDs, h.Program = append(h.PIDs, pid), strings.TrimSpace(string(name))
	}
	return h
}
