package agent

import (
	"slices"
	"sync"
	"time"

	"vxlan-driver/internal/agentapi"
)

// turnBounds are those of the buckets of turns. One that finds nothing to do takes a millisecond,
// and one beside 50,000 containers half a second. Containers that start wait for it.
var turnBounds = []time.Duration{
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
}

// turnDurations counts turns by how long they took.
type turnDurations struct {
	mu     sync.Mutex
	counts []uint64 // one more than bounds
	sum    time.Duration
}

// Add counts a turn.
func (d *turnDurations) Add(took time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.counts == nil {
		d.counts = make([]uint64, len(turnBounds)+1)
	}
	bucket, _ := slices.BinarySearch(turnBounds, took)
	d.counts[bucket]++
	d.sum += took
}

// Report returns what was counted.
func (d *turnDurations) Report() agentapi.DurationCounts {
	d.mu.Lock()
	defer d.mu.Unlock()
	return agentapi.DurationCounts{Bounds: turnBounds, Counts: slices.Clone(d.counts), Sum: d.sum}
}
