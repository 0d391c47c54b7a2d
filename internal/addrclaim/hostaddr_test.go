package addrclaim

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/kernel"
)

// Hosts keep their own addresses, and leave them to whoever has a better right.
func TestHostAddressIsKeptUnlessAnotherHasABetterRight(t *testing.T) {
	have := netip.MustParseAddr("10.0.0.9")
	otherHost := func(n byte, change func(*cluster.Membership)) cluster.Snapshot {
		m := cluster.Membership{Network: cluster.NetworkKey{VNI: 100, Port: 4789}, VTEP: vtep(n), StaticFDB: true}
		change(&m)
		return cluster.Snapshot{Hosts: []*cluster.Host{{Name: "other", Addr: vtep(n), Memberships: []cluster.Membership{m}}}}
	}
	itsOwn := func(m *cluster.Membership) { m.HostAddrs = []netip.Addr{have} }
	itsContainers := func(mac byte) func(*cluster.Membership) {
		return func(m *cluster.Membership) {
			m.Endpoints = []cluster.Endpoint{{ContainerID: "c", MAC: kernel.MAC{mac}, Addrs: []netip.Addr{have}}}
		}
	}
	unreachable := otherHost(1, itsOwn)
	unreachable.Hosts[0].UnreachableSince = time.Unix(1, 0)
	tests := []struct {
		name   string
		others cluster.Snapshot
		keeps  bool
	}{
		{"no other host", cluster.Snapshot{}, true},
		{"a host with a higher VTEP", otherHost(9, itsOwn), true},
		{"one with a lower VTEP", otherHost(1, itsOwn), false},
		{"one that does not answer", unreachable, true},
		{"a container", otherHost(9, itsContainers(2)), false},
		{"a claim", otherHost(1, itsContainers(0)), true},
	}
	for _, tt := range tests {
		n := gossipNetwork(vtep(5), "10.0.0.0/24")
		n.Subnets[0].HostAddress = have
		got := new(Claims).ChooseHostAddrs(n, tt.others)
		if len(got) != 1 || (got[0] == have) != tt.keeps {
			t.Errorf("%s: got %v", tt.name, got)
		}
		n.Subnets[0].HostAddress = netip.Addr{}
		first := new(Claims).ChooseHostAddrs(n, tt.others)
		if again := new(Claims).ChooseHostAddrs(n, tt.others); !slices.Equal(first, again) || len(first) != 1 {
			t.Errorf("%s: chose %v, then %v", tt.name, first, again)
		}
	}
}
