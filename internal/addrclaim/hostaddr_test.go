package addrclaim

import (
	"encoding/binary"
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

// However many addresses in a row are taken, and by however many hosts, a host finds the first that is free.
func TestHostAddressBehindTakenOnes(t *testing.T) {
	const all = 65533 // of the subnet: without the network's, the broadcast's and the gateway's
	for _, tt := range []struct{ taken, each int }{{0, 1}, {1, 1}, {300, 1}, {5000, 10}, {all, 100}} {
		n := gossipNetwork(vtep(5), "10.0.0.0/16")
		want := new(Claims).ChooseHostAddrs(n, cluster.Snapshot{})[0]
		s := cluster.Snapshot{}
		for taken := 0; taken < tt.taken; {
			m := cluster.Membership{Network: n.Key(), VTEP: memberAddr(len(s.Hosts)), StaticFDB: true}
			for ; taken < tt.taken && len(m.Endpoints) < tt.each; taken++ {
				m.Endpoints = append(m.Endpoints, endpointAt(want))
				if want = want.Next(); want == netip.MustParseAddr("10.0.255.255") {
					want = netip.MustParseAddr("10.0.0.2")
				}
			}
			s = s.With(cluster.Host{Name: m.VTEP.String(), Addr: m.VTEP, Memberships: []cluster.Membership{m}})
		}
		got := new(Claims).ChooseHostAddrs(n, s)
		if isFull := tt.taken == all; isFull && len(got) > 0 || !isFull && !slices.Equal(got, []netip.Addr{want}) {
			t.Errorf("behind %d taken ones: got %v, want %v", tt.taken, got, want)
		}
	}
}

// memberAddr is the VTEP of another host.
func memberAddr(n int) netip.Addr { return netip.AddrFrom4([4]byte{198, 19, byte(n >> 8), byte(n)}) }

// To find an address, a host keeps the store's lock. So it must not make a map of 50,000 containers, wherever
// these have their addresses.
func TestHostAddressAmongMany(t *testing.T) {
	n := gossipNetwork(vtep(5), "10.0.0.0/16")
	start := new(Claims).ChooseHostAddrs(n, cluster.Snapshot{})[0]
	var s cluster.Snapshot
	for i := range 1000 {
		m := cluster.Membership{Network: n.Key(), VTEP: memberAddr(i), StaticFDB: true}
		for j := range 50 {
			offset := uint16(i + 1000*j) // each host has some everywhere
			first := start.As4()
			at := binary.BigEndian.Uint16(first[2:]) + offset
			m.Endpoints = append(m.Endpoints, endpointAt(netip.AddrFrom4([4]byte{10, 0, byte(at >> 8), byte(at)})))
		}
		s = s.With(cluster.Host{Name: m.VTEP.String(), Addr: m.VTEP, Memberships: []cluster.Membership{m}})
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	taken := new(Claims).ownersWithinLocked(n, n.Members(s), netip.PrefixFrom(start, 24).Masked())
	runtime.ReadMemStats(&after)
	const most = 100_000
	if bytes := after.TotalAlloc - before.TotalAlloc; bytes > most {
		t.Errorf("it took %d bytes, want at most %d", bytes, most)
	}
	if len(taken.byAddr) > 256 || len(taken.byAddr) == 0 {
		t.Errorf("%d addresses of 256 are taken", len(taken.byAddr))
	}
}

func endpointAt(a netip.Addr) cluster.Endpoint {
	return cluster.Endpoint{ContainerID: a.String(), MAC: kernel.MAC{2}, Addrs: []netip.Addr{a}}
}
