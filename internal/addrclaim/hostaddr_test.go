package addrclaim

import (
	"net/netip"
	"runtime"
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

// However many addresses in a row are taken, a host finds the first that is free, and looks only as far.
func TestHostAddressBehindTakenOnes(t *testing.T) {
	for _, taken := range []int{0, 1, 300, 5000, 65533} {
		n := gossipNetwork(vtep(5), "10.0.0.0/16")
		first := new(Claims).ChooseHostAddrs(n, cluster.Snapshot{})[0]
		m := cluster.Membership{Network: n.Key(), VTEP: vtep(9), StaticFDB: true}
		want := first
		for range taken {
			m.Endpoints = append(m.Endpoints, endpointAt(want))
			if want = want.Next(); want == netip.MustParseAddr("10.0.255.255") {
				want = netip.MustParseAddr("10.0.0.2")
			}
		}
		s := cluster.Snapshot{Hosts: []*cluster.Host{{Name: "other", Addr: vtep(9), Memberships: []cluster.Membership{m}}}}
		got := new(Claims).ChooseHostAddrs(n, s)
		if isFull := taken == 65533; isFull && len(got) > 0 || !isFull && !slices.Equal(got, []netip.Addr{want}) {
			t.Errorf("behind %d taken ones: got %v, want %v", taken, got, want)
		}
	}
}

// To find an address, a host keeps the store's lock. So it must not make a map of 50,000 containers.
func TestHostAddressAmongMany(t *testing.T) {
	n := gossipNetwork(vtep(5), "10.0.0.0/8")
	start := new(Claims).ChooseHostAddrs(n, cluster.Snapshot{})[0]
	var s cluster.Snapshot
	addr := start
	for i := range 1000 {
		host := netip.AddrFrom4([4]byte{198, 19, byte(i >> 8), byte(i)})
		m := cluster.Membership{Network: n.Key(), VTEP: host, StaticFDB: true}
		for range 50 {
			m.Endpoints = append(m.Endpoints, endpointAt(addr))
			addr = addr.Next()
		}
		addr = addr.Next()
		s = s.With(cluster.Host{Name: host.String(), Addr: host, Memberships: []cluster.Membership{m}})
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got := new(Claims).ChooseHostAddrs(n, s)
	runtime.ReadMemStats(&after)
	const most = 100_000
	if bytes := after.TotalAlloc - before.TotalAlloc; bytes > most {
		t.Errorf("it took %d bytes, want at most %d", bytes, most)
	}
	if len(got) != 1 || got[0] == start {
		t.Errorf("chose %v, and %v was taken", got, start)
	}
}

func endpointAt(a netip.Addr) cluster.Endpoint {
	return cluster.Endpoint{ContainerID: a.String(), MAC: kernel.MAC{2}, Addrs: []netip.Addr{a}}
}
