package agent

import "time"

// scope is how much of its work a turn does.
type scope int

const (
	// named is for a container that starts while its plugin waits: its names are answered.
	named scope = iota
	// said also tells other hosts what it has. The plugin has just built all else.
	said
	// heard also has the kernel follow what other hosts say.
	heard
	// all also looks whether the kernel has everything that it should.
	all
)

// schedule is when turns are due, by their scope; a zero time is never.
type schedule struct {
	at   [all + 1]time.Time
	last [all + 1]time.Duration // how long the last of the scope took
	lost int                    // how many that looked at everything failed in a row
}

const (
	// share is how much of the time turns may take that nobody waits for: one part in so
	// many. They have the store's lock, for which containers wait that start, and take the longer
	// the more containers there are (500 on the host: 0.2 s).
	share = 5
	// slowest keeps what was deleted coming back within a second.
	slowest = 700 * time.Millisecond
)

// pace is least, or up to most where turns of the scope take long.
func (s *schedule) pace(what scope, least, most time.Duration) time.Duration {
	return max(least, min((share-1)*s.last[what], most))
}

// took notes how long a turn took.
func (s *schedule) took(what scope, d time.Duration) { s.last[what] = d }

const (
	// retry is how soon what failed is tried again. It waits twice as long each time, up to
	// slowestRetry: what would mend it, as an underlay that comes back, is an event anyway.
	retry        = time.Second
	slowestRetry = 15 * time.Second
)

// again has what failed tried again.
func (s *schedule) again(what scope, err error) {
	switch {
	case err != nil:
		s.within(all, min(retry<<s.lost, slowestRetry))
		if what == all {
			s.lost = min(s.lost+1, 4)
		}
	case what == all:
		s.lost = 0
	}
}

// within has a turn come after d, if none of its scope is due before.
func (s *schedule) within(what scope, d time.Duration) {
	if at := time.Now().Add(d); s.at[what].IsZero() || at.Before(s.at[what]) {
		s.at[what] = at
	}
}

// timer sends when the next turn is due.
func (s *schedule) timer() *time.Timer {
	next := time.Time{}
	for _, at := range s.at {
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

// take returns how much is due now, and takes it off: a turn does the work of smaller ones.
func (s *schedule) take() scope {
	now, what := time.Now(), said // at least what somebody asked for
	for i, at := range s.at {
		if !at.IsZero() && !at.After(now) {
			what = scope(i)
		}
	}
	for i := range s.at[:what+1] {
		s.at[i] = time.Time{}
	}
	return what
}
