package agent

import (
	"context"
	"runtime/debug"
	"sync"
	"time"
)

const (
	// longWork is what takes so long that it leaves megabytes of garbage. They are given back to the
	// system: beside 50,000 containers the agent would keep a third more memory than it needs.
	longWork = 50 * time.Millisecond
	// frugalPercent is how much garbage there may be, as a part of what lives, while work needs
	// megabytes for a moment.
	frugalPercent = 10
)

// frugality has the runtime collect garbage more often while work needs megabytes for a moment. It
// is the process's, so it is shared.
var frugality struct {
	mu     sync.Mutex
	users  int
	before int // the percentage otherwise
}

// beginFrugal begins such work. To call end ends it, and gives memory back if it took long.
func beginFrugal() (end func()) {
	frugality.mu.Lock()
	defer frugality.mu.Unlock()
	if frugality.users++; frugality.users == 1 {
		frugality.before = debug.SetGCPercent(frugalPercent)
	}
	began := time.Now()
	return func() { endFrugalAfter(time.Since(began)) }
}

func endFrugalAfter(took time.Duration) {
	frugality.mu.Lock()
	defer frugality.mu.Unlock()
	if frugality.users--; frugality.users == 0 {
		debug.SetGCPercent(frugality.before)
	}
	if took > longWork {
		debug.FreeOSMemory()
	}
}

// largeAnswers lets answers that grow with all containers of a cluster be made one at a time. Each
// needs megabytes, and the memory of the agent is bounded.
type largeAnswers chan struct{}

func newLargeAnswers() largeAnswers { return make(largeAnswers, 1) }

// Begin waits for its turn, which ends with ctx: once the answer was read, or cannot be.
func (l largeAnswers) Begin(ctx context.Context) error {
	select {
	case l <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	end := beginFrugal()
	context.AfterFunc(ctx, func() {
		end()
		<-l
	})
	return nil
}
