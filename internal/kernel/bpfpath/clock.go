package bpfpath

import (
	"fmt"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Programs read the time in jiffies, the kernel's count of ticks, as that takes no call. A jiffy is 1 to 10 ms, as the
// kernel was built.

// jiffiesNow is the time that programs see.
func (o *programsObjects) jiffiesNow() (now uint64, err error) {
	if _, err := o.ReadClock.Run(&ebpf.RunOptions{Context: make([]byte, 8), ContextOut: &now}); err != nil {
		return 0, fmt.Errorf("read jiffies by an eBPF program: %w", err)
	}
	return now, nil
}

// jiffiesIn returns how many a duration has. The resolution of the coarse clock is one jiffy.
func jiffiesIn(d time.Duration) (uint64, error) {
	var jiffy unix.Timespec
	if err := unix.ClockGetres(unix.CLOCK_MONOTONIC_COARSE, &jiffy); err != nil {
		return 0, fmt.Errorf("find how long a jiffy is: %w", err)
	}
	return uint64(d.Nanoseconds() / jiffy.Nano()), nil
}

// jiffiesAfter is the time that programs see after a duration.
func (o *programsObjects) jiffiesAfter(d time.Duration) (uint64, error) {
	now, err := o.jiffiesNow()
	if err != nil {
		return 0, err
	}
	more, err := jiffiesIn(d)
	return now + more, err
}
