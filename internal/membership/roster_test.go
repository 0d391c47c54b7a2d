package membership

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
)

// randomHost has few values of everything, so that hosts claim what others have.
func randomHost(rnd *rand.Rand, n byte) cluster.Host {
	h := otherHost(n)
	h.ID = cluster.HostID{n}
	if rnd.IntN(4) == 0 {
		h.UnreachableSince = time.Unix(1, 0)
	}
	if rnd.IntN(6) == 0 {
		h.Memberships = nil
		return h
	}
	m := &h.Memberships[0]
	m.BridgeMAC = kernel.MAC{4, n}
	m.StaticFDB = rnd.IntN(5) > 0
	for i := range rnd.IntN(6) {
		e := cluster.Endpoint{
			ContainerID: fmt.Sprintf("c%d", i), MAC: kernel.MAC{2, 5: byte(rnd.IntN(8))},
			Names: []string{[]string{"web", "WEB", "db", "cache"}[rnd.IntN(4)]}, Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(2 + rnd.IntN(8))})},
		}
		e.Requested = rnd.IntN(2) == 0
		switch rnd.IntN(8) {
		case 0:
			e.MAC = kernel.MAC{}
		case 1:
			e.MAC, e.Names = kernel.MAC{}, nil // a claim
		case 2:
			e.Addrs = nil
		}
		m.Endpoints = append(m.Endpoints, e)
	}
	return h
}

// randomEndpoints are containers of this host.
func randomEndpoints(rnd *rand.Rand, before []*network.Endpoint) []*network.Endpoint {
	if len(before) > 0 && rnd.IntN(2) == 0 {
		return before[1:]
	}
	e := &network.Endpoint{
		ContainerID: fmt.Sprint("own-", rnd.IntN(100)), ContainerName: []string{"web", "db", "own"}[rnd.IntN(3)],
		MAC: kernel.MAC{2, 5: byte(rnd.IntN(8))}, Addrs: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(2 + rnd.IntN(8))}), 24)},
	}
	return append(slices.Clone(before), e)
}

// consequences is all that follows from a roster.
type consequences struct {
	tables                kernel.ForwardingTables
	names                 [][]string
	addrs                 [][]netip.Addr
	duplicates, conflicts []string
}

func followed(n Network, r *Roster) (c consequences) {
	var local []network.Endpoint
	for _, e := range n.Endpoints {
		local = append(local, *e)
	}
	c.tables = plan.Forward(n.Network, n.VTEP, plan.Known{Remotes: r.Remotes(), Local: local, Ceded: r.Ceded()}).Tables
	for _, group := range r.Names() {
		for _, record := range group.Records {
			c.names, c.addrs = append(c.names, record.Names), append(c.addrs, record.Addrs)
		}
	}
	c.duplicates, c.conflicts = texts(Duplicates(n, r)), texts(NameConflicts(n, r))
	return c
}

// kernelTables are those of a kernel in which only the entries are looked at that an update names.
type kernelTables struct {
	fdb        map[kernel.MAC]kernel.FDB
	neighbours map[netip.Addr]kernel.Neighbour
}

func (k *kernelTables) set(want kernel.ForwardingTables, named kernel.ForwardingKeys, all bool) {
	if all {
		*k = kernelTables{make(map[kernel.MAC]kernel.FDB), make(map[netip.Addr]kernel.Neighbour)}
	}
	for _, m := range named.MACs {
		delete(k.fdb, m)
	}
	for _, a := range named.Addrs {
		delete(k.neighbours, a)
	}
	for _, e := range want.FDB {
		if all || slices.Contains(named.MACs, e.MAC) {
			k.fdb[e.MAC] = e
		}
	}
	for _, e := range want.Neighbours {
		if all || slices.Contains(named.Addrs, e.Addr) {
			k.neighbours[e.Addr] = e
		}
	}
}

// Whatever the hosts say, one after the other, and whatever comes and goes on this host: a roster
// that followed has all that one has that begins with the last snapshot. The entries that it named
// are enough to bring a kernel's tables there.
func TestRosterThatFollowsHasWhatANewOneHas(t *testing.T) {
	rnd := rand.New(rand.NewPCG(11, 12))
	for round := range 300 {
		n := gossipNetwork()
		if round%3 == 0 {
			n = staticNetwork()
			n.VTEP.Remotes = []netip.Addr{vtep(2), vtep(3), vtep(4)}
		}
		n.VTEP.StaticFDB = round%2 == 0
		var s cluster.Snapshot
		var have kernelTables
		r, peers, recorded := new(Roster), new(PeerList), network.Peers{StaticFDB: true, Flood: []netip.Addr{vtep(9)}}
		for step := range 40 {
			switch host := byte(2 + rnd.IntN(4)); rnd.IntN(8) {
			case 0:
				gone := otherHost(host)
				gone.ID = cluster.HostID{host}
				s = s.Without(gone)
			case 1, 2:
				n.Endpoints = randomEndpoints(rnd, n.Endpoints)
			case 3:
				n.VTEP.StaticFDB = rnd.IntN(2) == 0
			case 4:
				n.VTEP.Remotes = n.VTEP.Remotes[:rnd.IntN(len(n.VTEP.Remotes)+1)]
			default:
				s = s.With(randomHost(rnd, host))
			}
			named, all := r.Update(n, s)
			got, want := followed(n, r), followed(n, NewRoster(n, cluster.Snapshot{Hosts: s.Hosts}))
			if fmt.Sprint(got) != fmt.Sprint(want) { // no addresses may be nil or an empty list
				t.Fatalf("step %d: it has\n%+v\na new one has\n%+v", step, got, want)
			}
			m := n
			if rnd.IntN(4) == 0 {
				m.Discovery, m.VTEP.Remotes = network.DiscoveryStatic, []netip.Addr{vtep(2), vtep(3), vtep(8)}
			}
			d := Discovery{Snapshot: s, Synced: step > 20, Carries: everything, ForgetOver: step > 30}
			d.Unheard = []netip.Addr{vtep(9)}[:step%2]
			if got, want := peers.Update(m, d, &recorded), d.Peers(m, &recorded); !got.Equal(want) {
				t.Fatalf("step %d: peers are %+v, and found anew %+v", step, got, want)
			}
			have.set(want.tables, named, all)
			var exact kernelTables
			exact.set(want.tables, kernel.ForwardingKeys{}, true)
			if !reflect.DeepEqual(have, exact) {
				t.Fatalf("step %d: the tables are\n%+v\nand should be\n%+v\nnamed were %+v", step, have, exact, named)
			}
		}
	}
}

// What one host says costs nothing for what the others have.
func TestRosterNamesOnlyWhatHasChanged(t *testing.T) {
	n := gossipNetwork()
	var s cluster.Snapshot
	for i := range byte(100) {
		s = s.With(otherHost(2+i, withEndpoints(
			cluster.Endpoint{ContainerID: "a", Names: []string{"a"}, MAC: kernel.MAC{2, 1, i}, Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, 100 + i})}},
			cluster.Endpoint{ContainerID: "c", Names: []string{"c"}, MAC: kernel.MAC{2, 2, i}})))
	}
	r := NewRoster(n, s)
	before := r.Names()
	h := otherHost(50, withEndpoints(s.Hosts[48].Memberships[0].Endpoints...))
	h.Memberships[0].Endpoints = slices.Insert(slices.Clone(h.Memberships[0].Endpoints), 1,
		cluster.Endpoint{ContainerID: "b", Names: []string{"b"}, MAC: kernel.MAC{2, 3}, Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.90")}})
	named, all := r.Update(n, s.With(h))
	want := kernel.ForwardingKeys{MACs: []kernel.MAC{{2, 3}}, Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.90")}}
	if all || !reflect.DeepEqual(named, want) {
		t.Errorf("named %+v (all: %v), want %+v", named, all, want)
	}
	changed := 0
	for i, group := range r.Names() {
		if group != before[i] {
			changed++
		}
	}
	if changed != 1 {
		t.Errorf("the names of %d hosts have changed", changed)
	}
}
