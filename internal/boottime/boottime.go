// Package boottime is a clock for ages: it goes on while the machine is suspended.
package boottime

import (
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Now is time.Now, moved by how long the machine was suspended since it started. The difference of
// two of its times is the time that really went by, whoever sets the clock. That of two times of
// time.Now is not: it is measured by CLOCK_MONOTONIC, which stops in a suspend. As a time of day
// Now is wrong.
//
// It is for ages that count also while nobody runs, such as how long a host has been gone. What
// bounds work that is under way, as a timer does, stays with time.Now.
func Now() time.Time { return time.Now().Add(suspended()) }

// Since is the time that really went by since t, which is one of Now.
func Since(t time.Time) time.Duration { return Now().Sub(t) }

// Simulated is a time in suspend, in nanoseconds, that tests add.
var Simulated atomic.Int64

// leastSuspend is the shortest suspend that is counted. Two clocks cannot be read at once, so their
// difference is not exact, and a clock must not go back.
const leastSuspend = 100 * time.Millisecond

// counted is what suspended returned last, in nanoseconds, without Simulated.
var counted atomic.Int64

// suspended returns how long the machine was suspended since it started.
func suspended() time.Duration {
	simulated := time.Duration(Simulated.Load())
	before := time.Duration(counted.Load())
	now, ok := readDifference()
	if !ok || (now-before).Abs() < leastSuspend {
		return before + simulated
	}
	counted.Store(int64(now))
	return now + simulated
}

// readDifference returns by how much CLOCK_BOOTTIME is ahead of CLOCK_MONOTONIC. It fails if the
// program was interrupted between reading them.
func readDifference() (time.Duration, bool) {
	var before, boot, after unix.Timespec
	if !readClock(unix.CLOCK_MONOTONIC, &before) || !readClock(unix.CLOCK_BOOTTIME, &boot) ||
		!readClock(unix.CLOCK_MONOTONIC, &after) {
		return 0, false
	}
	took := time.Duration(after.Nano() - before.Nano())
	return time.Duration(boot.Nano() - before.Nano()), took < leastSuspend/2
}

// readClock is unix.ClockGettime, which could block for all that the runtime knows: it wakes a thread that
// watches over the call, and that takes longer than to read the clock.
func readClock(clock int32, t *unix.Timespec) (ok bool) {
	_, _, errno := unix.RawSyscall(unix.SYS_CLOCK_GETTIME, uintptr(clock), uintptr(unsafe.Pointer(t)), 0)
	return errno == 0
}
