package plan

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"vxlan-driver/internal/network"
)

// Whoever has an address is the host to which the entries lead.
func TestHoldersAreWhereEntriesLead(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	found := 0
	for range 300 {
		k, _ := randomKnown(rnd)
		n := HostNetwork{PlacedNetwork: PlacedNetwork{Network: blue(), VTEP: vtep}}
		for _, e := range k.Local {
			n.Endpoints = append(n.Endpoints, RecordedEndpoint{Endpoint: e})
		}
		want := make(map[netip.Addr]netip.Addr)
		for a := range k.Remotes.byAddr {
			want[a] = netip.Addr{}
		}
		tables := Forward(n.Network, n.VTEP, k).Tables
		for _, neighbour := range tables.Neighbours {
			for _, e := range tables.FDB {
				if e.MAC == neighbour.MAC {
					want[neighbour.Addr] = e.Dst
					found++
				}
			}
		}
		got := Holders(n, k, nil)
		if len(got) != len(want) {
			t.Fatalf("got %v, want %v", got, want)
		}
		for a, v := range want {
			if one := Holders(n, k, []netip.Addr{a}); got[a] != v || len(one) != 1 || one[a] != v {
				t.Fatalf("%v: got %v and %v, want %v", a, got[a], one, v)
			}
		}
	}
	if found == 0 {
		t.Error("nobody had an address")
	}
	stranger := netip.MustParseAddr("203.0.113.1")
	n := HostNetwork{PlacedNetwork: PlacedNetwork{Network: network.Network{}, VTEP: vtep}}
	if got := Holders(n, Known{Remotes: new(Remotes)}, []netip.Addr{stranger}); got[stranger].IsValid() || len(got) != 1 {
		t.Errorf("got %v", got)
	}
}
