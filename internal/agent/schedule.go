package agent

import "time"

// scope is how much of its work a turn does.
type scope int

const (
	// said is for a container that starts: what it has is answered and told to others. The
	// plugin has just built all else, and waits.
	said scope = iota
	// heard also has the kernel follow what other hosts say.
	heard
	// all also looks whether the kernel has everything that it should.
	all
)

// schedule is when turns are due, by their scope; a zero time is never.
type schedule [all + 1]time.Time

// within has a turn come after d, if none of its scope is due before.
func (s *schedule) within(what scope, d time.Duration) {
	if at := time.Now().Add(d); s[what].IsZero() || at.Before(s[what]) {
		s[what] = at
	}
}

// timer sends when the next turn is due.
func (s *schedule) timer() *time.Timer {
	next := time.Time{}
	for _, at := range s {
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
	now, what := time.Now(), said
	for i, at := range s {
		if !at.IsZero() && !at.After(now) {
			what = scope(i)
		}
	}
	for i := range s[:what+1] {
		s[i] = time.Time{}
	}
	return what
}
