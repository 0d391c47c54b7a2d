package cputime

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Of returns the processor time that this process takes while a function runs: its own, the kernel's, and the garbage
// collector's. Time by the clock says more about what else the machine does. Call it from tests that are not parallel
// to others.
func Of(t testing.TB, f func()) time.Duration {
	t.Helper()
	before := used(t)
	f()
	return used(t) - before
}

func used(t testing.TB) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
