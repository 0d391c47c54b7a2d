package addrclaim

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"vxlan-driver/internal/membership"
)

// A plugin was killed, and another one asks for the same container while the first request is under
// way. Both get the same addresses, which stay claimed.
func TestTwoRequestsForOneContainer(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			h := newSimulation(seed).join("10.0.0.0/24", "fd00:10::/64")
			h.record(t, "c")
			var addrs [3][]netip.Addr
			var wg sync.WaitGroup
			for i := range addrs {
				wg.Go(func() {
					time.Sleep(h.simulation.random(30 * time.Millisecond))
					got, err := h.assign(t, "c")
					if addrs[i] = got; err != nil {
						t.Errorf("seed %d: %v", seed, err)
					}
				})
			}
			wg.Wait()
			if !slices.Equal(addrs[0], addrs[1]) || !slices.Equal(addrs[0], addrs[2]) {
				t.Errorf("seed %d: got %v", seed, addrs)
			}
			for _, a := range addrs[0] {
				if !h.simulation.claims[simClaim{h.name, "c", a}] {
					t.Errorf("seed %d: %v is not claimed: %v", seed, a, h.simulation.claims)
				}
			}
		})
	}
}

// A request with another wish is not answered with what an earlier one was granted. Neither is one
// that comes late: the claim may have ended.
func TestLaterRequestForOneContainer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newSimulation(1).join("10.0.0.0/24")
		h.record(t, "c")
		first, err := h.assign(t, "c")
		wanted := netip.MustParseAddr("10.0.0.77")
		if second, err2 := h.assign(t, "c", wanted); err != nil || err2 != nil || !slices.Equal(second, []netip.Addr{wanted}) {
			t.Errorf("got %v, then %v, %v", first, second, errors.Join(err, err2))
		}
		if len(h.simulation.claims) != 1 || !h.simulation.claims[simClaim{h.name, "c", wanted}] {
			t.Errorf("claimed are %v", h.simulation.claims)
		}
		time.Sleep(claimTimeout / 2)
		if _, err := h.assign(t, "c"); err != nil {
			t.Error(err)
		}
		time.Sleep(claimTimeout * 3 / 4)
		if h.turn(t, unchanged); len(h.active) != 1 {
			t.Error("the claim ended too early for whoever asked last")
		}
	})
}

// Who waits for another request does not outlast the agent.
func TestWaitForAnotherRequestEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newSimulation(1).join("10.0.0.0/24")
		h.record(t, "c")
		var first sync.WaitGroup
		first.Go(func() {
			if _, err := h.assign(t, "c"); err != nil {
				t.Error(err)
			}
		})
		defer first.Wait()
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := h.Assign(ctx, Request{EndpointKey: membership.EndpointKey{NetworkID: h.network.ID, ContainerID: "c"}}); !errors.Is(err, ErrShuttingDown) {
			t.Errorf("got %v", err)
		}
	})
}
