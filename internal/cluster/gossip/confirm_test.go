package gossip

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"vxlan-driver/internal/cluster/gossip/wire/wiretest"
)

// confirm waits for at most half a second, and returns who did not follow and after what time.
func (h *host) confirm() (silent []string, after time.Duration) {
	ctx, cancel := context.WithTimeout(h.t.Context(), second/2)
	defer cancel()
	began := time.Now()
	silent = h.Confirm(ctx, wiretest.Network)
	return silent, time.Since(began)
}

// followAlways makes a host follow each snapshot after a while.
func (h *host) followAlways(after time.Duration) {
	go func() {
		for {
			changed, s := h.Changed(), h.Snapshot()
			time.Sleep(after)
			h.Acknowledge(s)
			select {
			case <-changed:
			case <-h.AckRequested():
			case <-h.t.Context().Done():
				return
			}
		}
	}()
}

// A host that publishes something hears when the others follow it, and not earlier.
func TestConfirmWaitsUntilOthersFollow(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		a, b, c := startHost(t, n, 1), startHost(t, n, 2), startHost(t, n, 3)
		b.announce("b")
		a.waitUntilSees(3*second, "host-2: b")
		time.Sleep(second) // until all know each other as members
		b.followAlways(20 * time.Millisecond)
		c.followAlways(0)
		a.announce("a")
		if silent, after := a.confirm(); len(silent) > 0 || after < 20*time.Millisecond || after > 70*time.Millisecond {
			t.Errorf("%v are silent after %v", silent, after)
		}
		if b.sees() != "host-1: a" {
			t.Errorf("b sees %s", b.sees())
		}
		// Nothing has changed since, so the answer is on record.
		if silent, after := a.confirm(); len(silent) > 0 || after > 10*time.Millisecond {
			t.Errorf("again: %v are silent after %v", silent, after)
		}
	})
}

// A host that follows nothing, or whose agent has died, is waited for no longer than the caller
// wants.
func TestConfirmIsBounded(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		a, b, c := startHost(t, n, 1), startHost(t, n, 2), startHost(t, n, 3)
		a.announce()
		b.announce("b")
		c.announce("c")
		a.waitUntilSees(3*second, "host-2: b, host-3: c")
		b.crash()
		if silent, after := a.confirm(); !slices.Equal(silent, []string{"host-2 (198.18.0.2)", "host-3 (198.18.0.3)"}) || after != second/2 {
			t.Errorf("%v are silent after %v", silent, after)
		}
		c.followAlways(0)
		time.Sleep(20 * second) // b counts as unreachable by now
		if silent, after := a.confirm(); len(silent) > 0 || after > 50*time.Millisecond {
			t.Errorf("%v are silent after %v", silent, after)
		}
	})
}

// Two hosts that join a network at the same time, each of which has not heard of the other, wait
// for each other.
func TestConfirmOfTwoHostsAtOnce(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		a, b := startHost(t, n, 1), startHost(t, n, 2)
		a.announce()
		b.announce()
		a.waitUntilSees(3*second, "host-2: ")
		b.waitUntilSees(3*second, "host-1: ")
		a.followAlways(0)
		b.followAlways(0)
		for _, pair := range [][2]*host{{a, b}, {b, a}} {
			go func() {
				pair[0].announce("x")
				if silent, _ := pair[0].confirm(); len(silent) > 0 || pair[1].sees() != pair[0].cfg.Host.Name()+": x" {
					t.Errorf("%s: %v are silent, the other sees %s", pair[0].cfg.Host.Name(), silent, pair[1].sees())
				}
			}()
		}
		time.Sleep(second)
		synctest.Wait()
	})
}
