package survey

import (
	"fmt"
	"os"
	"path/filepath"
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
		f, err := os.Open(path)
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

// lockHolder finds the process that has a lock of a file in the kernel's list (proc_locks(5)).
func lockHolder(f *os.File) (h doctor.Holder) {
	h.Path = f.Name()
	var info unix.Stat_t
	text, err := os.ReadFile("/proc/locks")
	if err != nil || unix.Fstat(int(f.Fd()), &info) != nil {
		return h
	}
	inode := fmt.Sprintf("%02x:%02x:%d", unix.Major(info.Dev), unix.Minor(info.Dev), info.Ino)
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line) // 1: FLOCK ADVISORY WRITE PID DEVICE:INODE 0 EOF
		if len(fields) < 6 || fields[1] != "FLOCK" || fields[5] != inode {
			continue
		}
		if pid, err := strconv.Atoi(fields[4]); err == nil && pid > 0 {
			name, _ := os.ReadFile("/proc/" + fields[4] + "/comm")
			h.PID, h.Program = pid, strings.TrimSpace(string(name))
		}
	}
	return h
}
