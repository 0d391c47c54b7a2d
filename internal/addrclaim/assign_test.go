package addrclaim

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/membership"
	"vxlan-driver/internal/network"
)

// However their claims cross, hosts that pick at once never hand out one address twice, and in a
// subnet with room each container gets one.
func TestHostsThatPickAtOnceNeverShareAnAddress(t *testing.T) {
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) {
			s := newSimulation(seed)
			subnet, each := "10.0.0.0/28", 8 // 13 usable, 4 of them the hosts' own
			if seed%2 == 0 {
				subnet = "10.0.0.0/26" // 61: room for 32 containers and 4 hosts
			}
			for range 4 {
				s.join(subnet)
			}
			var wg sync.WaitGroup
			for _, h := range s.hosts {
				h.turn(t, unchanged)
				// Each host would start elsewhere; here all start at the same place.
				h.nextStart = map[string]netip.Addr{h.network.ID + " " + subnet: netip.MustParseAddr("10.0.0.2")}
				wg.Go(func() {
					for i := range each {
						time.Sleep(s.random(30 * time.Millisecond))
						addrs, err := h.startContainer(t, fmt.Sprintf("%s%d", h.name, i))
						if err != nil && (seed%2 == 0 || !strings.Contains(err.Error(), "no free address")) {
							t.Errorf("seed %d: %s: %v", seed, h.name, err)
						}
						if err == nil && len(addrs) != 1 {
							t.Errorf("got %v", addrs)
						}
					}
				})
			}
			wg.Wait()
			time.Sleep(time.Second)
			for range 5 { // until the hosts agree on their own addresses
				for _, h := range s.hosts {
					h.turn(t, unchanged)
					time.Sleep(50 * time.Millisecond)
				}
			}
			owners := s.owners(t)
			if want := 36; seed%2 == 0 && len(owners) != want {
				t.Errorf("seed %d: %d addresses are in use, want %d", seed, len(owners), want)
			}
		})
	}
}

// Hosts that cannot hear each other start at different places, so most of what they hand out does
// not collide. What does is reported when they hear each other again.
func TestPartitionedHostsStartAtDifferentPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimulation(1)
		a, b := s.join("10.0.0.0/16"), s.join("10.0.0.0/16")
		s.partitions["b"] = 1
		for _, h := range s.hosts {
			for i := range 20 {
				if _, err := h.startContainer(t, fmt.Sprint(h.name, i)); err != nil {
					t.Fatal(err)
				}
			}
		}
		s.owners(t)
		// A user may want an address that the other side has.
		taken := b.network.Endpoints[3].Addrs[0].Addr()
		if _, err := a.startContainer(t, "same", taken.String()); err != nil {
			t.Fatal(err)
		}
		s.partitions["b"] = 0
		b.turn(t, unchanged)
		time.Sleep(time.Second)
		want := fmt.Sprintf("address %v of network blue is that of container name-same here and of container name-b3 on host b; the one here keeps it: restart the other one with another address", taken)
		if got := membership.Duplicates(a.network, membership.NewRoster(a.network, a.Snapshot())); len(got) != 1 || got[0].String() != want {
			t.Errorf("got %q", got)
		}
	})
}

func TestAssignPicksOneAddressOfEachSubnet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimulation(1)
		h := s.join("10.0.0.0/24", "fd00:10::/64")
		began := time.Now()
		addrs, err := h.startContainer(t, "c1")
		if err != nil || len(addrs) != 2 || !addrs[0].Is4() || !addrs[1].Is6() {
			t.Errorf("got %v, %v", addrs, err)
		}
		if took := time.Since(began); took > 150*time.Millisecond {
			t.Errorf("took %v", took)
		}
		addrs, err = h.startContainer(t, "c2", "fd00:10::77")
		if err != nil || len(addrs) != 2 || !addrs[0].Is4() || addrs[1] != netip.MustParseAddr("fd00:10::77") {
			t.Errorf("got %v, %v", addrs, err)
		}
		// A freed address is not handed out at once.
		h.turn(t, func(n *membership.Network) { n.Endpoints = n.Endpoints[1:] })
		again, err := h.startContainer(t, "c3")
		if err != nil || slices.Contains(addrs, again[0]) {
			t.Errorf("got %v after %v, %v", again, addrs, err)
		}
		// Asked twice, as after a plugin was killed.
		twice, err := h.assign(t, "c3")
		if err != nil || !slices.Equal(twice, again) {
			t.Errorf("got %v, then %v, %v", again, twice, err)
		}
		if _, err := h.assign(t, "c9"); err == nil || err.Error() != "container c9 is not recorded on network n1" {
			t.Errorf("got %v", err)
		}
		if len(h.active) > 0 {
			t.Errorf("assigned and recorded, and still claimed: %v", h.active)
		}
		s.owners(t)
	})
}

// The error names who has the address: a container here or elsewhere, one whose host does not
// answer, a host.
func TestAssignRefusesAddressesInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimulation(1)
		a, b := s.join("10.0.0.0/24"), s.join("10.0.0.0/24")
		for _, h := range s.hosts {
			h.turn(t, unchanged)
		}
		if _, err := a.startContainer(t, "here", "10.0.0.7"); err != nil {
			t.Fatal(err)
		}
		if _, err := b.startContainer(t, "there", "10.0.0.8"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		own := a.network.HostAddrs()[0]
		other := b.network.HostAddrs()[0]
		for wanted, want := range map[string]string{
			"10.0.0.7":     "address 10.0.0.7 of network blue is in use by container name-here; choose another --ip",
			"10.0.0.8":     "address 10.0.0.8 of network blue is in use by container name-there on host b; choose another --ip",
			other.String(): "is in use by host b itself; choose another --ip",
			own.String():   "is in use by this host itself; choose another --ip",
			"10.0.1.1":     "address 10.0.1.1 is in no subnet of network blue",
		} {
			if _, err := a.startContainer(t, "c", wanted); err == nil || !strings.HasSuffix(err.Error(), want) {
				t.Errorf("%s: got %v", wanted, err)
			}
		}
		a.setSnapshot(func(s *cluster.Snapshot) { s.Hosts[0].UnreachableSince, s.Hosts[0].Addr = time.Now(), vtep(2) })
		if _, err := a.startContainer(t, "c", "10.0.0.8"); err == nil || !strings.HasSuffix(err.Error(), "on host b (198.18.0.2), which does not answer; choose another --ip; if host b (198.18.0.2) is gone for good: `vxlanctl host forget 198.18.0.2`") {
			t.Errorf("got %v", err)
		}
		if len(a.active) > 0 {
			t.Errorf("refused, and still claimed: %v", a.active)
		}
	})
}

// A host may become unreachable while a claim is under way, or only another one knows of it. The error
// names the host to forget as well.
func TestHolderThatIsGoneIsNamed(t *testing.T) {
	var n membership.Network
	n.Name = "blue"
	a := netip.MustParseAddr("10.0.0.8")
	gone := cluster.Holder{Host: "b (198.18.0.2)", Addr: vtep(2), Container: "web", ContainerID: "c", Unreachable: true}
	want := "address 10.0.0.8 of network blue is in use by container web on host b (198.18.0.2), which does not answer; " +
		"choose another --ip; if host b (198.18.0.2) is gone for good: `vxlanctl host forget 198.18.0.2`"
	if got := errInUse(n, a, ownerOf(gone)); got.Error() != want {
		t.Errorf("got  %v\nwant %s", got, want)
	}
}

// In a full subnet the error counts. What unreachable hosts have stays theirs, and what a host had
// that has left is free.
// A host that was given a range (--ip-range), or had a part of the subnet before the network moved to a plane, hands
// out addresses of that alone. A user may still choose another one.
func TestAssignKeepsToTheRange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimulation(1)
		h := s.join("10.0.0.0/24")
		lease := network.Range{First: netip.MustParseAddr("10.0.0.64"), Last: netip.MustParseAddr("10.0.0.67")}
		h.turn(t, func(n *membership.Network) { n.Subnets[0].Lease = lease })
		for i := range 4 {
			addrs, err := h.startContainer(t, fmt.Sprint("c", i))
			if err != nil || len(addrs) != 1 || !lease.Contains(addrs[0]) {
				t.Errorf("got %v, %v", addrs, err)
			}
		}
		if addrs, err := h.startContainer(t, "c8"); err == nil ||
			!strings.Contains(err.Error(), "no free address in 10.0.0.64-10.0.0.67") {
			t.Errorf("got %v, %v", addrs, err)
		}
		if addrs, err := h.startContainer(t, "c9", "10.0.0.9"); err != nil || len(addrs) != 1 {
			t.Errorf("got %v, %v", addrs, err)
		}
	})
}

func TestAssignInFullSubnet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimulation(1)
		a, b := s.join("10.0.0.0/29"), s.join("10.0.0.0/29") // 5 usable
		for i := range 3 {
			for _, h := range s.hosts {
				h.turn(t, unchanged)
				time.Sleep(100 * time.Millisecond)
			}
			if _, err := b.startContainer(t, fmt.Sprint("b", i)); err != nil {
				t.Fatal(err)
			}
		}
		want := "network blue: no free address in 10.0.0.0/29: all 5 in use by containers and hosts, those of hosts that do not answer included"
		for _, since := range []time.Time{{}, time.Now()} {
			a.setSnapshot(func(s *cluster.Snapshot) { s.Hosts[0].UnreachableSince = since })
			want := want
			if !since.IsZero() {
				want += "; `vxlanctl host forget HOST` frees those of a host that is gone for good: b"
			}
			if _, err := a.startContainer(t, "c"); err == nil || err.Error() != want {
				t.Errorf("got %v", err)
			}
		}
		s.partitions["b"] = 1
		a.setSnapshot(func(s *cluster.Snapshot) { *s = cluster.Snapshot{} })
		if _, err := a.startContainer(t, "c"); err != nil {
			t.Error(err)
		}
	})
}

// A host without an agent that answers a probe keeps its address, and another is claimed.
func TestAssignLeavesWhatAnswersAProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newSimulation(1).join("10.0.0.0/24")
		h.record(t, "c")
		state := h.states[h.network.VTEP.Local]
		probes := 0
		state.Probe = func(_ string, _ network.Endpoint, addrs []netip.Addr) (map[netip.Addr]error, error) {
			if probes++; probes > 3 {
				return nil, nil
			}
			return map[netip.Addr]error{addrs[0]: fmt.Errorf("%v answers", addrs[0])}, nil
		}
		if err := h.Publish(h.network.VTEP.Local, state); err != nil {
			t.Fatal(err)
		}
		addrs, err := h.assign(t, "c")
		if err != nil || len(addrs) != 1 || probes != 4 {
			t.Errorf("got %v after %d probes, %v", addrs, probes, err)
		}
		if len(h.simulation.claims) != 1 || !h.simulation.claims[simClaim{h.name, "c", addrs[0]}] {
			t.Errorf("claimed are %v", h.simulation.claims)
		}
		probes = 0
		h.record(t, "d")
		if err := h.Publish(h.network.VTEP.Local, HostState{Cluster: h, Networks: []membership.Network{h.network}, Probe: state.Probe}); err != nil {
			t.Fatal(err)
		}
		if _, err := h.assign(t, "d", netip.MustParseAddr("10.0.0.77")); err == nil || err.Error() != "10.0.0.77 answers" {
			t.Errorf("got %v", err)
		}
		if len(h.active) != 1 || len(h.simulation.claims) != 1 {
			t.Errorf("refused, and still claimed: %v, %v", h.active, h.simulation.claims)
		}
	})
}
