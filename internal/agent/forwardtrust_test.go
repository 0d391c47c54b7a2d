package agent

import (
	"net/netip"
	"testing"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/membership"
	"vxlan-driver/internal/store"
)

// The first container of a network makes its devices. What these lack then was never there, since a
// host that had come meanwhile found none: to set it repairs nothing.
func TestEntriesOfNewDevicesAreNoRepairs(t *testing.T) {
	first, second := new(store.Record), new(store.Record)
	second.Addrs = []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24")}
	for _, tt := range []struct {
		name          string
		before, after []*store.Record
		trusted       bool
	}{
		{"nothing changed", []*store.Record{first}, []*store.Record{first}, true},
		{"the first container started", nil, []*store.Record{first}, false},
		{"it got its address", []*store.Record{first}, []*store.Record{second}, false},
		{"another one started", []*store.Record{first}, []*store.Record{first, second}, true},
	} {
		var d membership.Discovery
		n := &forwardedNetwork{roster: membership.NewRoster(membership.Network{}, cluster.Snapshot{}), known: knownState{complete: d.Converged(membership.Network{})}}
		n.local.Endpoints, n.trusted = tt.before, true
		n.follow(hoststate.Network{Endpoints: tt.after}, membership.Network{}, d)
		if n.trusted != tt.trusted {
			t.Errorf("%s: trusted %v", tt.name, n.trusted)
		}
	}
}
