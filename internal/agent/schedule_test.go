package agent

import (
	"testing"
	"testing/synctest"
	"time"
)

// Turns that other hosts wait for leave the lock to containers, as those for news do.
func TestUrgentTurnsLeaveTheLockToContainers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s schedule
		for i, want := range []time.Duration{0, newsDebounce, storeDebounce} {
			if i == 2 {
				s.Took(scopeForwarding, 100*time.Millisecond)
			}
			if got := s.UrgentDelay(); got != want {
				t.Errorf("request %d: the turn comes after %v, want %v", i, got, want)
			}
		}
	})
}
