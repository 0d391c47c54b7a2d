package agent

import "time"

// scope is how much of its work a turn does. Each scope includes the ones before it.
type scope int

const (
	// scopeDNS answers a container's names, while its plugin waits, and publishes the container in
	// the clusters that run.
	scopeDNS scope = iota
	// scopePublish also records peers, starts missing clusters and makes containers announce their
	// addresses. The plugin has just built the rest.
	scopePublish
	// scopeForwarding also makes the kernel follow what other hosts said.
	scopeForwarding
	// scopeFull also checks that the kernel has everything that it should.
	scopeFull

	scopeCount = iota
)

const (
	// loadDivisor bounds the time that turns take which nobody waits for: one part in so many. They
	// hold the store's lock, which containers that start wait for, and take the longer the more
	// containers there are (500 on the host: 0.2 s).
	loadDivisor = 5
	// newsDivisor does so for news of other hosts. A cluster of 1,000 hosts has them all the time. A
	// turn takes 2 ms there, so there is one each 100 ms.
	newsDivisor = 50
	// maxNewsCredit is how much turns for news may take at once after a rest: a host that joins has news several
	// times within a moment, and its container's name is the last of them.
	maxNewsCredit = 100 * time.Millisecond
	// maxRepairDelay brings back within a second what somebody deleted.
	maxRepairDelay = 700 * time.Millisecond
	// retryInterval is how soon a failed turn is retried. It doubles each time, up to
	// maxRetryInterval: what would mend the failure, such as an underlay that comes back, is an
	// event anyway.
	retryInterval    = time.Second
	maxRetryInterval = 15 * time.Second
	maxRetryDoubling = 4
)

// schedule is when turns are due, by their scope. A zero time is never.
type schedule struct {
	dueAt    [scopeCount]time.Time
	duration [scopeCount]time.Duration // of the last turn
	ended    [scopeCount]time.Time     // the last turn
	failures int                       // full turns that failed in a row
	hurried  time.Time                 // when UrgentDelay last returned 0
	spent    time.Duration             // by turns for news, when the last one ended, beyond their part of the time
}

// Pace is a delay of least, or up to most where turns of the scope take long.
func (s *schedule) Pace(what scope, least, most time.Duration) time.Duration {
	return max(least, min((loadDivisor-1)*s.duration[what], most))
}

// NewsDelay is the delay of a turn that news of other hosts cause: newsDebounce, or longer if such turns have
// taken more than their part of the time.
func (s *schedule) NewsDelay() time.Duration {
	return min(max(newsDebounce, newsDivisor*s.newsSpent()), storeDebounce)
}

// newsSpent is how much longer turns for news took than their part of the time. Less than 0: so much is left.
func (s *schedule) newsSpent() time.Duration {
	if s.ended[scopeForwarding].IsZero() {
		return -maxNewsCredit
	}
	return max(-maxNewsCredit, s.spent-time.Since(s.ended[scopeForwarding])/newsDivisor)
}

// UrgentDelay is the delay of a turn that another host waits for: none, unless there was such a
// turn a moment ago. Then it is that of news: a cluster whose hosts all start must not keep this
// one busy.
func (s *schedule) UrgentDelay() time.Duration {
	if now := time.Now(); now.Sub(s.hurried) >= storeDebounce {
		s.hurried = now
		return 0
	}
	return s.NewsDelay()
}

// Took records how long a turn took that has just ended.
func (s *schedule) Took(what scope, d time.Duration) {
	if what == scopeForwarding {
		s.spent = min(s.newsSpent()+d, storeDebounce/newsDivisor)
	}
	s.duration[what], s.ended[what] = d, time.Now()
}

// Retry schedules a full turn after one that failed.
func (s *schedule) Retry(what scope, err error) {
	switch {
	case err != nil:
		s.Within(scopeFull, min(retryInterval<<s.failures, maxRetryInterval))
		if what == scopeFull {
			s.failures = min(s.failures+1, maxRetryDoubling)
		}
	case what == scopeFull:
		s.failures = 0
	}
}

// Within makes a turn due after d, unless one of its scope is due earlier.
func (s *schedule) Within(what scope, d time.Duration) {
	if at := time.Now().Add(d); s.dueAt[what].IsZero() || at.Before(s.dueAt[what]) {
		s.dueAt[what] = at
	}
}

// IsScheduled tells whether a turn of exactly this scope is to come.
func (s *schedule) IsScheduled(what scope) bool { return !s.dueAt[what].IsZero() }

// Timer fires when the next turn is due.
func (s *schedule) Timer() *time.Timer {
	next := time.Time{}
	for _, at := range s.dueAt {
		if !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	t := time.NewTimer(time.Until(next))
	if next.IsZero() {
		t.Stop()
	}
	return t
}

// TakeDue returns the widest scope that is due, and clears it with those that it includes. It is at
// least scopePublish, as a request wants.
func (s *schedule) TakeDue() scope {
	now, what := time.Now(), scopePublish
	for i, at := range s.dueAt {
		if !at.IsZero() && !at.After(now) {
			what = scope(i)
		}
	}
	clear(s.dueAt[:what+1])
	return what
}
