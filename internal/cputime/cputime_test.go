package cputime

import (
	"testing"
	"time"
)

// Work counts, and waiting does not.
func TestOnlyWorkCounts(t *testing.T) {
	const limit = 50 * time.Millisecond
	if waiting := Of(t, func() { time.Sleep(2 * limit) }); waiting > limit {
		t.Errorf("to wait costs %v", waiting)
	}
	working := Of(t, func() {
		for began := used(t); used(t)-began < limit; {
		}
	})
	if working < limit {
		t.Errorf("to work for %v costs %v", limit, working)
	}
}
