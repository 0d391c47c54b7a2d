package reconcile_test

import (
	"testing"

	"vxlan-driver/internal/plan"
)

// Below 1280 a link has no IPv6, and it comes back without addresses and with parameters forgotten.
// One run restores it all.
func TestOneRunRestoresIPv6(t *testing.T) {
	h := newRealHosts(t, 2, "198.18.0.", true)[0]
	h.start(2)
	p := plan.RepairDevices(h.hostNetwork())
	h.applyPlan(p)
	for _, device := range []string{realBridge, realDevice, h.n.Port(h.endpoints[0])} {
		run(t, h.ns, "ip link set "+device+" mtu 1000")
		h.applyPlan(p)
		h.applied = 0
		if h.applyPlan(p); h.applied > 0 {
			t.Errorf("%s: a second run made %d changes", device, h.applied)
		}
	}
}
