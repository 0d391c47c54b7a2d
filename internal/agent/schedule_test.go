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
				s.Took(scopeForwarding, maxNewsCredit+100*time.Millisecond)
			}
			if got := s.UrgentDelay(); got != want {
				t.Errorf("request %d: the turn comes after %v, want %v", i, got, want)
			}
		}
	})
}

// Where turns take long, there is time for others between them. News that come after a rest do not wait for that.
func TestNewsWaitForTheTurnBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s schedule
		want := func(when string, want time.Duration) {
			t.Helper()
			if got := s.NewsDelay(); got != want {
				t.Errorf("%s: news wait for %v, want %v", when, got, want)
			}
		}
		want("at first", newsDebounce)
		for range 10 {
			s.Took(scopeForwarding, 10*time.Millisecond)
			want("after turns for a joining host", newsDebounce)
		}
		s.Took(scopeForwarding, 2*time.Millisecond)
		want("after one too many", 100*time.Millisecond)
		sleep(50 * time.Millisecond)
		want("later", 50*time.Millisecond)
		sleep(50 * time.Millisecond)
		s.Took(scopeForwarding, time.Second)
		want("after a long turn", storeDebounce)
		sleep(storeDebounce)
		want("long after that", newsDebounce)
		s.Took(scopeForwarding, 2*time.Millisecond)
		want("after another one", 100*time.Millisecond)
		sleep(50*10*time.Millisecond + 100*time.Millisecond)
		s.Took(scopeForwarding, 10*time.Millisecond)
		want("after a rest", newsDebounce)
	})
}
