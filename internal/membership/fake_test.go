package membership

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// staticNetwork is a network of host 1 with hosts 2 and 3 on its list, and the container web.
func staticNetwork() Network {
	return Network{
		Network: network.Network{
			Identity: network.Identity{ID: "n1", Name: "blue", Bridge: network.DeviceName{Name: "br0"}},
			Tunnel:   kernel.Tunnel{VNI: 100, Port: 4789}, DNS: true,
			Subnets: []network.Subnet{{Prefix: netip.MustParsePrefix("10.0.0.0/24"), Gateway: netip.MustParseAddr("10.0.0.1"), HostAddress: netip.MustParseAddr("10.0.0.63")}},
		},
		VTEP: network.VTEP{Local: vtep(1), Remotes: []netip.Addr{vtep(2), vtep(3)}},
		Endpoints: []*network.Endpoint{{
			ContainerID: strings.Repeat("ab", 32), ContainerName: "web", Aliases: []string{"www", "web", "no name"},
			Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24")}, MAC: kernel.MAC{2, 1},
		}},
	}
}

// gossipNetwork is staticNetwork without a list.
func gossipNetwork() Network {
	n := staticNetwork()
	n.Discovery, n.VTEP.Remotes = network.DiscoveryGossip, nil
	return n
}

// everything is what gossip carries.
var everything = cluster.Capabilities{Members: true, ExactForwarding: true, Owners: true, Names: true}

func vtep(n byte) netip.Addr { return netip.AddrFrom4([4]byte{198, 18, 0, n}) }

// otherHost talks from its VTEP's address and has a part in staticNetwork.
func otherHost(n byte, change ...func(*cluster.Host)) cluster.Host {
	h := cluster.Host{Name: string(rune('a' + n)), Addr: vtep(n), Memberships: []cluster.Membership{{
		Network: cluster.NetworkKey{VNI: 100, Port: 4789}, VTEP: vtep(n), StaticFDB: true,
	}}}
	for _, c := range change {
		c(&h)
	}
	return h
}

func unreachable(h *cluster.Host)      { h.UnreachableSince = time.Unix(1, 0) }
func withoutContainer(h *cluster.Host) { h.Memberships = nil }
func withUnknownMACs(h *cluster.Host)  { h.Memberships[0].StaticFDB = false }

func withVTEP(addr string) func(*cluster.Host) {
	return func(h *cluster.Host) { h.Memberships[0].VTEP = netip.MustParseAddr(addr) }
}

func withEndpoints(endpoints ...cluster.Endpoint) func(*cluster.Host) {
	return func(h *cluster.Host) { h.Memberships[0].Endpoints = endpoints }
}

func snapshot(hosts ...cluster.Host) cluster.Snapshot { return cluster.NewSnapshot(hosts...) }

// always gives the roster of a network in the same snapshot.
func always(s cluster.Snapshot) func(Network) *Roster {
	return func(n Network) *Roster { return NewRoster(n, s) }
}

// texts is what people read of a list.
func texts[T fmt.Stringer](list []T) (all []string) {
	for _, one := range list {
		all = append(all, one.String())
	}
	return all
}
