package agent

import (
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"
)

// running is a cluster whose Run is under way.
type running struct {
	Cluster
	since  time.Time
	seeded atomic.Bool               // there are other hosts to ask
	joined atomic.Pointer[time.Time] // when the last host was found
	err    atomic.Pointer[error]     // why it does not run
	heard  map[netip.Addr]bool       // hosts that the agent before this one knew, and that were mentioned since
}

// failure tells why the cluster does not run, if it does not.
func (r *running) failure() error {
	if err := r.err.Load(); err != nil {
		return *err
	}
	return nil
}

// start starts the cluster of an address. It is kept for good: Run is tried again when
// it cannot listen, as while the address is not there yet.
func (a *Agent) start(ctx context.Context, bind netip.Addr) error {
	c, err := a.NewCluster(bind)
	if err != nil {
		return fmt.Errorf("cluster of %v: %w", bind, err)
	}
	r := &running{Cluster: c, since: time.Now()}
	a.clusters[bind] = r
	a.running.Go(func() { a.keepRunning(ctx, bind, r) })
	a.running.Go(func() { a.follow(ctx, r) })
	return nil
}

func (a *Agent) keepRunning(ctx context.Context, bind netip.Addr, r *running) {
	told := "" // what fails each second is said once
	for ctx.Err() == nil {
		r.err.Store(nil)
		err := r.Run(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			return // it has left
		}
		r.err.Store(&err)
		if err.Error() != told {
			told = err.Error()
			a.Log.Error("cannot talk to other hosts; trying again", "address", bind, "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(retry):
		}
	}
}

// follow wakes the loop whenever another host has something new, and when there turns out
// to be none.
func (a *Agent) follow(ctx context.Context, r *running) {
	ready, members := r.Ready(), 1
	for {
		changed := r.Changed()
		if n := r.Stats().Members; n != members {
			if now := time.Now(); n > members {
				r.joined.Store(&now)
			}
			members = n
		}
		select {
		case a.wake <- struct{}{}:
		default:
		}
		select {
		case <-changed:
		case <-ready:
			ready = nil // once
		case <-ctx.Done():
			return
		}
	}
}
