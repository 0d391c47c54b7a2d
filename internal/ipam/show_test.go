package ipam

import (
	"net/netip"
	"testing"

	"vxlan-driver/internal/network"
)

// Each host's slice is the one that AssignSlices gives it there.
func TestSlicesAreThoseOfTheHosts(t *testing.T) {
	hosts := underlayAddrs(3)
	n := network.Network{Remotes: hosts, MaxHosts: 5}
	subnet := parseSubnet("10.0.0.0/24", "10.0.0.1")
	at := func(local netip.Addr) (network.Network, network.VTEP) {
		here, v := n, network.VTEP{Local: local, Remotes: hosts}
		here.Subnets = []network.Subnet{subnet}
		if problems := AssignSlices(&here, v); problems.Err() != nil {
			t.Fatal(problems)
		}
		return here, v
	}
	here, v := at(hosts[0])
	all := Slices(here, v, here.Subnets[0])
	if len(all) != 5 || all[4].Host.IsValid() {
		t.Fatalf("got %+v", all)
	}
	for i, host := range hosts {
		there, _ := at(host)
		if s := there.Subnets[0]; all[i] != (HostSlice{host, s.Lease, s.HostAddress}) {
			t.Errorf("of %v: got %+v, want %+v", host, all[i], s)
		}
	}
	here.Subnets[0].Lease.Last = here.Subnets[0].Lease.Last.Prev() // of the user's choice
	if all := Slices(here, v, here.Subnets[0]); all != nil {
		t.Errorf("got %+v", all)
	}
}

// What is called unusable is what PickAddress never picks.
func TestUnusableIsNeverPicked(t *testing.T) {
	for _, tt := range []struct{ prefix, gateway, first, last string }{
		{"10.0.0.0/29", "10.0.0.1", "10.0.0.0", "10.0.0.7"},
		{"10.0.0.0/28", "10.0.0.15", "10.0.0.0", "10.0.0.15"},
		{"10.0.0.0/24", "10.0.0.1", "10.0.0.16", "10.0.0.31"},
		{"10.0.0.0/31", "", "10.0.0.0", "10.0.0.1"},
		{"fd00::/125", "fd00::1", "fd00::", "fd00::7"},
	} {
		s := parseSubnet(tt.prefix, tt.gateway)
		s.Lease = network.Range{First: parseAddr(tt.first), Last: parseAddr(tt.last)}
		taken := make(map[netip.Addr]bool)
		for {
			a, err := PickAddress(s, s.Lease.First, func(a netip.Addr) bool { return taken[a] })
			if err != nil {
				break
			}
			taken[a] = true
		}
		for a := s.Lease.First; s.Lease.Contains(a); a = a.Next() {
			if why := Unusable(s, a); (why == "") != taken[a] {
				t.Errorf("%s: %v is picked: %v, but called %q", tt.prefix, a, taken[a], why)
			}
		}
	}
}
