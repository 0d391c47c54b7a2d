package membership

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
)

var shared = netip.MustParseAddr("10.0.0.9") // the address that containers of two hosts have

// rival is a container with the shared address.
type rival struct {
	host      byte // by its VTEP
	requested bool
	mac       kernel.MAC
	gone      bool // its host is unreachable
}

func (r rival) name() string { return fmt.Sprint("c", r.host) }

// viewOfRivals is what host 1, 2 or 3 has and hears, where some have a container each.
func viewOfRivals(self byte, rivals []rival) (Network, cluster.Snapshot) {
	n := gossipNetwork()
	n.VTEP.Local, n.VTEP.StaticFDB, n.Endpoints = vtep(self), true, nil
	var hosts []cluster.Host
	for host := byte(1); host <= 3; host++ {
		h := otherHost(host)
		for _, r := range rivals {
			switch {
			case r.host != host:
			case host == self:
				n.Endpoints = append(n.Endpoints, &network.Endpoint{
					ContainerID: r.name(), ContainerName: r.name(), MAC: r.mac, Requested: r.requested,
					Addrs: []netip.Prefix{netip.PrefixFrom(shared, 24), netip.PrefixFrom(ownAddr(host), 24)},
				})
			default:
				withEndpoints(cluster.Endpoint{
					ContainerID: r.name(), Names: []string{r.name()}, MAC: r.mac, Requested: r.requested,
					Addrs: []netip.Addr{shared, ownAddr(host)},
				})(&h)
				if r.gone {
					unreachable(&h)
				}
			}
		}
		if host != self {
			hosts = append(hosts, h)
		}
	}
	return n, snapshot(hosts...)
}

// ownAddr is an address that only the container of one host has.
func ownAddr(host byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, 100 + host}) }

// leadsTo says where the shared address leads on a host, and who is found by name.
func leadsTo(n Network, r *Roster) (forwarding string, names []string) {
	known := plan.Known{StaticFDB: true, Remotes: r.Remotes(), Ceded: r.Ceded()}
	for _, e := range n.Endpoints {
		known.Local = append(known.Local, *e)
	}
	fw := plan.Forward(n.Network, n.VTEP, known)
	forwarding = "this host"
	for _, neighbour := range fw.Tables.Neighbours {
		if neighbour.Addr == shared {
			i := slices.IndexFunc(fw.Tables.FDB, func(f kernel.FDB) bool { return f.MAC == neighbour.MAC })
			forwarding = fmt.Sprintf("%v on %v", neighbour.MAC, fw.Tables.FDB[i].Dst)
		}
	}
	zone := zoneOf(n, r, nil)
	records := zone.Records
	for _, group := range zone.Remote {
		records = append(records, group.Records...)
	}
	for _, record := range records {
		if slices.Contains(record.Addrs, shared) {
			names = append(names, record.Names[0])
		}
	}
	return forwarding, names
}

// Of two containers with one address one keeps it. All hosts come to the same, whether their MACs
// derive from the address or not.
func TestOneOfTwoContainersKeepsAnAddress(t *testing.T) {
	derived, m1, m2 := kernel.MAC{2, 9}, kernel.MAC{2, 1}, kernel.MAC{2, 2}
	tests := []struct {
		name   string
		rivals []rival
		winner byte
	}{
		{"the lower VTEP", []rival{{host: 1, mac: derived}, {host: 2, mac: derived}}, 1},
		{"the lower VTEP, own MACs", []rival{{host: 1, mac: m1}, {host: 2, mac: m2}}, 1},
		{"the one that was asked for", []rival{{host: 1, mac: derived}, {host: 2, mac: derived, requested: true}}, 2},
		{"the one that was asked for, own MACs", []rival{{host: 1, mac: m1}, {host: 2, mac: m2, requested: true}}, 2},
		{"both were asked for", []rival{{host: 1, mac: derived, requested: true}, {host: 2, mac: derived, requested: true}}, 1},
		{"three", []rival{{host: 1, mac: derived}, {host: 2, mac: derived, requested: true}, {host: 3, mac: derived}}, 2},
	}
	for _, tt := range tests {
		for self := byte(1); self <= 3; self++ {
			t.Run(fmt.Sprintf("%s, seen by host %d", tt.name, self), func(t *testing.T) {
				n, s := viewOfRivals(self, tt.rivals)
				winner := tt.rivals[slices.IndexFunc(tt.rivals, func(r rival) bool { return r.host == tt.winner })]
				want := fmt.Sprintf("%v on %v", winner.mac, vtep(tt.winner))
				if self == tt.winner {
					want = "this host"
				}
				forwarding, names := leadsTo(n, NewRoster(n, s))
				if forwarding != want || !slices.Equal(names, []string{winner.name()}) {
					t.Errorf("leads to %s, named %v, want %s, %s", forwarding, names, want, winner.name())
				}
			})
		}
	}
}

// A container whose host cannot be reached keeps nothing from one whose host can.
func TestUnreachableHostKeepsNoAddress(t *testing.T) {
	rivals := []rival{{host: 1, mac: kernel.MAC{2, 1}, requested: true, gone: true}, {host: 2, mac: kernel.MAC{2, 2}}}
	for _, self := range []byte{2, 3} {
		n, s := viewOfRivals(self, rivals)
		want := map[byte]string{2: "this host", 3: "02:02:00:00:00:00 on 198.18.0.2"}[self]
		if forwarding, names := leadsTo(n, NewRoster(n, s)); forwarding != want || !slices.Equal(names, []string{"c2"}) {
			t.Errorf("host %d: leads to %s, named %v", self, forwarding, names)
		}
		if got := Duplicates(n, NewRoster(n, s)); len(got) > 0 {
			t.Errorf("host %d reports %q", self, got)
		}
	}
}

// A claim, and a host's own address, take nothing from a container.
func TestContainerKeepsItsAddressFromClaimsAndHosts(t *testing.T) {
	n, _ := viewOfRivals(3, []rival{{host: 3, mac: kernel.MAC{2, 3}}})
	h := otherHost(1, withEndpoints(cluster.Endpoint{ContainerID: "claim", Addrs: []netip.Addr{shared}}))
	h.Memberships[0].HostAddrs, h.Memberships[0].BridgeMAC = []netip.Addr{shared}, kernel.MAC{6, 1}
	r := NewRoster(n, snapshot(h))
	if forwarding, names := leadsTo(n, r); forwarding != "this host" || !slices.Equal(names, []string{"c3"}) || len(r.Ceded()) > 0 {
		t.Errorf("leads to %s, named %v", forwarding, names)
	}
}

// The loser's fast path leaves its MAC to the winner, and what it does not share stays its own.
func TestLoserKeepsWhatItDoesNotShare(t *testing.T) {
	for _, tt := range []struct {
		name   string
		theirs kernel.MAC
		ports  int
	}{{"one MAC", kernel.MAC{2, 9}, 0}, {"other MACs", kernel.MAC{2, 1}, 1}} {
		n, s := viewOfRivals(2, []rival{{host: 1, mac: tt.theirs}, {host: 2, mac: kernel.MAC{2, 9}}})
		r := NewRoster(n, s)
		fw := plan.Forward(n.Network, n.VTEP, plan.Known{StaticFDB: true, WishFastPath: plan.WishFastPath, Remotes: r.Remotes(), Ceded: r.Ceded(), Local: []network.Endpoint{*n.Endpoints[0]}})
		if len(fw.FastPath.Ports) != tt.ports {
			t.Errorf("%s: fast path to %v", tt.name, fw.FastPath.Ports)
		}
		zone := zoneOf(n, r, nil)
		if got := zone.Records[0].Addrs; !slices.Equal(got, []netip.Addr{ownAddr(2)}) {
			t.Errorf("%s: the loser's name leads to %v", tt.name, got)
		}
	}
}

// Whatever came first, the roster is that of a new one: the verdict depends on records alone.
func TestVerdictDoesNotDependOnOrder(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	r := new(Roster)
	for range 500 {
		var rivals []rival
		for host := byte(1); host <= 3; host++ {
			if rnd.IntN(3) > 0 {
				rivals = append(rivals, rival{host: host, requested: rnd.IntN(2) == 0, mac: kernel.MAC{2, byte(rnd.IntN(2))}, gone: rnd.IntN(4) == 0})
			}
		}
		n, s := viewOfRivals(3, rivals)
		r.Update(n, s)
		fresh := NewRoster(n, s)
		gotForwarding, gotNames := leadsTo(n, r)
		wantForwarding, wantNames := leadsTo(n, fresh)
		if gotForwarding != wantForwarding || !slices.Equal(gotNames, wantNames) || !reflect.DeepEqual(r.Ceded(), fresh.Ceded()) {
			t.Fatalf("%+v: leads to %s, named %v; at once %s, %v", rivals, gotForwarding, gotNames, wantForwarding, wantNames)
		}
	}
}

// After a host's address has changed, its record of before has the same container. That is no
// rival. A copy of the machine, which has its own ID by now, has another container of the same ID.
func TestContainerIsNoRivalOfItself(t *testing.T) {
	self, other := cluster.HostID{1}, cluster.HostID{2}
	for _, id := range []cluster.HostID{self, other} {
		n, s := viewOfRivals(2, []rival{{host: 1, mac: kernel.MAC{2, 1}}, {host: 2, mac: kernel.MAC{2, 2}}})
		n.Endpoints[0].ContainerID, n.Endpoints[0].ContainerName = "c1", "c1"
		s.Self, s.Hosts[0].ID = self, id
		r := NewRoster(n, s)
		forwarding, names := leadsTo(n, r)
		duplicates, conflicts := Duplicates(n, r), NameConflicts(n, r)
		switch id {
		case self:
			if forwarding != "this host" || !slices.Equal(names, []string{"c1"}) || len(duplicates)+len(conflicts) > 0 {
				t.Errorf("leads to %s, named %v, reported %q, %q", forwarding, names, duplicates, conflicts)
			}
		case other:
			if forwarding != "02:01:00:00:00:00 on 198.18.0.1" || len(duplicates) != 1 || len(conflicts) != 1 {
				t.Errorf("of a copy: leads to %s, reported %q, %q", forwarding, duplicates, conflicts)
			}
		}
	}
}

// The ID of this host becomes known when its plane starts. The roster is then that of a new one.
func TestRosterLearnsOwnID(t *testing.T) {
	n, s := viewOfRivals(2, []rival{{host: 1, mac: kernel.MAC{2, 1}}, {host: 2, mac: kernel.MAC{2, 2}}})
	n.Endpoints[0].ContainerID, s.Hosts[0].ID = "c1", cluster.HostID{1}
	r := NewRoster(n, s)
	if len(Duplicates(n, r)) != 1 {
		t.Fatal("no duplicate where the own ID is unknown")
	}
	s.Self = cluster.HostID{1}
	if _, all := r.Update(n, s); !all || len(Duplicates(n, r)) > 0 {
		t.Errorf("still reported: %q", Duplicates(n, r))
	}
}
