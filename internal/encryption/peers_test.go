package encryption

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/kernel/wireguard"
)

// member returns a host that talks from its VTEP, and has a key of generation 1.
func member(number byte, key byte) cluster.Host {
	vtep := netip.AddrFrom4([4]byte{198, 18, 0, number})
	return cluster.Host{ID: cluster.HostID{number}, Name: fmt.Sprintf("h%03d", number), Addr: vtep,
		Memberships: []cluster.Membership{{
			Network: simNetwork, VTEP: vtep, Keys: []cluster.TunnelKey{{Generation: 1, Public: [32]byte{key}, Port: 51820}},
		}}}
}

func membersOf(hosts ...cluster.Host) []*cluster.Member {
	return cluster.NewSnapshot(hosts...).Members(simNetwork)
}

func addrs(list ...string) (all []netip.Addr) {
	for _, a := range list {
		all = append(all, netip.MustParseAddr(a))
	}
	return all
}

// wantPeer checks the peer of a host: the first byte of its key, and its allowed addresses. Key 0: none.
func wantPeer(t *testing.T, table *peerTable, vtep string, key byte, allowed ...string) {
	t.Helper()
	p, ok := table.peer(netip.MustParseAddr(vtep), 1)
	if !ok {
		if key != 0 {
			t.Errorf("%s is no peer", vtep)
		}
		return
	}
	var got []string
	for _, a := range p.AllowedIPs {
		got = append(got, a.String())
	}
	if p.PublicKey != (wireguard.Key{key}) || p.Endpoint != netip.MustParseAddrPort(vtep+":51820") ||
		!slices.Equal(got, allowed) {
		t.Errorf("%s: got %v at %v, allowed %v; want key %d, allowed %v", vtep, p.PublicKey[:1], p.Endpoint, got, key,
			allowed)
	}
}

func TestPeersFollowHostsAndContainers(t *testing.T) {
	table, a, b := newPeerTable(), member(10, 1), member(11, 2)
	snapshot := cluster.Snapshot{}.With(a).With(b)
	if got := table.setMembers(snapshot.Members(simNetwork)); !slices.Equal(got, addrs("198.18.0.10", "198.18.0.11")) {
		t.Errorf("changed: %v", got)
	}
	wantPeer(t, table, "198.18.0.10", 1, "198.18.0.10/32")
	container, another := netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("fd00::2")
	at := func(vtep string) map[netip.Addr]netip.Addr {
		return map[netip.Addr]netip.Addr{container: netip.MustParseAddr(vtep), another: netip.MustParseAddr("198.18.0.11")}
	}
	if got := table.setHolders(at("198.18.0.10")); !slices.Equal(got, addrs("198.18.0.10", "198.18.0.11")) {
		t.Errorf("changed: %v", got)
	}
	wantPeer(t, table, "198.18.0.10", 1, "10.0.0.2/32", "198.18.0.10/32")
	wantPeer(t, table, "198.18.0.11", 2, "198.18.0.11/32", "fd00::2/128")
	if got := table.setHolders(at("198.18.0.10")); len(got) > 0 {
		t.Errorf("the same again: %v changed", got)
	}
	table.setHolders(at("198.18.0.11")) // the container has moved
	wantPeer(t, table, "198.18.0.10", 1, "198.18.0.10/32")
	wantPeer(t, table, "198.18.0.11", 2, "10.0.0.2/32", "198.18.0.11/32", "fd00::2/128")
	holders := map[netip.Addr]netip.Addr{container: netip.MustParseAddr("198.18.0.11")}
	if got := table.replaceHolders(holders); !slices.Equal(got, addrs("198.18.0.11")) {
		t.Errorf("changed: %v", got)
	}
	wantPeer(t, table, "198.18.0.11", 2, "10.0.0.2/32", "198.18.0.11/32")
	if got := table.setMembers(snapshot.Without(b).Members(simNetwork)); !slices.Equal(got, addrs("198.18.0.11")) {
		t.Errorf("changed: %v", got)
	}
	wantPeer(t, table, "198.18.0.11", 0)
	if _, ok := table.peer(netip.MustParseAddr("198.18.0.10"), 2); ok {
		t.Error("a host has no key of generation 2")
	}
}

// A host that announces the key of another gains nothing, and takes nothing from it, whichever of the two
// is heard of first.
func TestForgedKeyGainsNothing(t *testing.T) {
	for _, number := range []byte{10, 30} { // before the genuine one, and behind it
		testForgedKey(t, member(20, 1), member(number, 1))
	}
}

func testForgedKey(t *testing.T, genuine, forger cluster.Host) {
	t.Helper()
	vtep := forger.Addr.String()
	forger.Addr = netip.MustParseAddr("198.18.0.99") // as it does not talk from its VTEP
	for name, order := range map[string][][]cluster.Host{
		"the forger comes later": {{genuine}, {forger, genuine}},
		"both come at once":      {{forger, genuine}},
	} {
		table := newPeerTable()
		for _, hosts := range order {
			table.setMembers(membersOf(hosts...))
		}
		wantPeer(t, table, "198.18.0.20", 1, "198.18.0.20/32")
		wantPeer(t, table, vtep, 0)
		if got := table.disputedKeys(); len(got) != 1 || got[0] != forger.Label() {
			t.Errorf("%s: disputed by %v", name, got)
		}
		// A container of the genuine host changes its record, and the key stays its own.
		changed := genuine
		changed.Memberships = slices.Clone(genuine.Memberships)
		changed.Memberships[0].BridgeMAC[5] = 1
		table.setMembers(membersOf(forger, changed))
		wantPeer(t, table, "198.18.0.20", 1, "198.18.0.20/32")
		wantPeer(t, table, vtep, 0)
	}
}

// The record of another host with this VTEP does not take the place of one that talks from there.
func TestForgedVTEPIsNotBelieved(t *testing.T) {
	genuine, forger := member(20, 1), member(20, 2)
	forger.ID, forger.Name, forger.Addr = cluster.HostID{99}, "a", netip.MustParseAddr("198.18.0.99")
	table := newPeerTable()
	table.setMembers(membersOf(forger, genuine))
	wantPeer(t, table, "198.18.0.20", 1, "198.18.0.20/32")
	table.setMembers(membersOf(forger))
	wantPeer(t, table, "198.18.0.20", 2, "198.18.0.20/32")
	table.setMembers(membersOf(forger, genuine))
	wantPeer(t, table, "198.18.0.20", 1, "198.18.0.20/32")
}

// Whatever the changes were, the peers are those of a table that was told once.
func TestPeersDoNotDependOnThePast(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	table, holders := newPeerTable(), make(map[netip.Addr]netip.Addr)
	for range 2000 {
		var hosts []cluster.Host
		for i := range byte(8) {
			if rng.IntN(4) > 0 {
				h := member(i, 1+i+byte(rng.IntN(2))*100)
				hosts = append(hosts, h)
			}
		}
		members := membersOf(hosts...)
		news := make(map[netip.Addr]netip.Addr)
		for range 3 {
			vtep := netip.AddrFrom4([4]byte{198, 18, 0, byte(rng.IntN(8))})
			if rng.IntN(3) == 0 {
				vtep = netip.Addr{}
			}
			addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(rng.IntN(20))})
			news[addr], holders[addr] = vtep, vtep
		}
		before := peersOf(table)
		changed := slices.Concat(table.setMembers(members), table.setHolders(news))
		after, anew := peersOf(table), newPeerTable()
		anew.setMembers(members)
		anew.setHolders(holders)
		if !reflect.DeepEqual(after, peersOf(anew)) {
			t.Fatalf("got %v\nwant %v", after, peersOf(anew))
		}
		for vtep := range 8 {
			vtep := netip.AddrFrom4([4]byte{198, 18, 0, byte(vtep)})
			if !reflect.DeepEqual(before[vtep], after[vtep]) && !slices.Contains(changed, vtep) {
				t.Fatalf("%v changed from %v to %v, which was not said", vtep, before[vtep], after[vtep])
			}
		}
	}
}

func peersOf(table *peerTable) map[netip.Addr]wireguard.Peer {
	peers := make(map[netip.Addr]wireguard.Peer)
	for _, vtep := range table.vteps() {
		if p, ok := table.peer(vtep, 1); ok {
			peers[vtep] = p
		}
	}
	return peers
}
