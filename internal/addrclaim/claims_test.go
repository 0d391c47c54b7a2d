package addrclaim

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"vxlan-driver/internal/boottime"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/membership"
)

// A claim lasts until its container has the addresses, is gone, or its plugin must have given up.
func TestClaimsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newSimulation(1).join("10.0.0.0/24")
		claim := func(id string) {
			t.Helper()
			h.record(t, id)
			if _, err := h.assign(t, id); err != nil {
				t.Fatal(err)
			}
			h.turn(t, unchanged)
			if len(h.active) != 1 {
				t.Fatalf("active: %v", h.active)
			}
		}
		claim("gone")
		h.turn(t, func(n *membership.Network) { n.Endpoints = nil })
		if len(h.active) != 0 {
			t.Errorf("of a container that is gone: %v", h.active)
		}
		claim("killed")
		time.Sleep(claimTimeout + time.Second)
		h.turn(t, unchanged)
		if len(h.active) != 0 {
			t.Errorf("of a plugin that was killed: %v", h.active)
		}
	})
}

// A host with more than it can announce still claims.
func TestHostThatOmitsSomethingStillClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newSimulation(1).join("10.0.0.0/24")
		h.omitted = &cluster.OmittedError{Reasons: []string{"3 containers are not announced"}}
		if addrs, err := h.startContainer(t, "c1"); err != nil || len(addrs) != 1 {
			t.Errorf("got %v, %v", addrs, err)
		}
		if got := h.Omitted(); len(got) != 1 || got[0] != "3 containers are not announced" {
			t.Errorf("says %q", got)
		}
		h.omitted = nil
		if _, err := h.startContainer(t, "c3"); err != nil || len(h.Omitted()) != 0 {
			t.Errorf("got %v, says %q", err, h.Omitted())
		}
	})
}

// While this machine is suspended, others may forget it, and what it had claimed. A claim that was
// under way does not become an address after that.
func TestClaimExpiresInSuspend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newSimulation(1).join("10.0.0.0/24")
		h.record(t, "c1")
		t.Cleanup(func() { boottime.Simulated.Store(0) })
		time.AfterFunc(time.Microsecond, func() { boottime.Simulated.Store(int64(25 * time.Hour)) })
		if _, err := h.assign(t, "c1"); err == nil || !strings.HasSuffix(err.Error(), "expired; start it again") {
			t.Errorf("got %v", err)
		}
		if len(h.active) != 0 {
			t.Errorf("still claimed: %v", h.active)
		}
		if addrs, err := h.assign(t, "c1"); err != nil || len(addrs) != 1 {
			t.Errorf("again: %v, %v", addrs, err)
		}
	})
}
