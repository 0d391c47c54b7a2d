package agent

import (
	"testing"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/membership"
)

// What a network's options rule out is said first. Of the rest the programs know.
func TestFastPathStatus(t *testing.T) {
	tests := map[string]struct {
		alter   func(*membership.Network)
		without bool // no programs are wanted
		want    agentapi.FastPathStatus
	}{
		"by programs":     {func(*membership.Network) {}, false, agentapi.FastPathStatus{EBPF: true}},
		"not configured":  {func(*membership.Network) {}, true, agentapi.FastPathStatus{Reason: "ebpf = false in the agent's configuration", Chosen: true}},
		"fast_path=false": {func(n *membership.Network) { n.FastPath = kernel.Some(false) }, false, agentapi.FastPathStatus{Reason: "the network has fast_path=false", Chosen: true}},
		"gbp":             {func(n *membership.Network) { n.Tunnel.GBP = kernel.Some(true) }, false, agentapi.FastPathStatus{Reason: "the network has gbp=true", Chosen: true}},
		"learning":        {func(n *membership.Network) { n.VTEP.StaticFDB = false }, false, agentapi.FastPathStatus{Reason: "the network learns where MACs are"}},
	}
	for name, test := range tests {
		var n membership.Network
		n.VTEP.StaticFDB, n.Device.Name = true, "vxlan-blue"
		test.alter(&n)
		s := &statusReporter{}
		if !test.without {
			s.fastPathOf = func(device string) agentapi.FastPathStatus {
				return agentapi.FastPathStatus{EBPF: device == "vxlan-blue"}
			}
		}
		if got := s.fastPathStatus(n); got != test.want {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}
