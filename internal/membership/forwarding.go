package membership

import (
	"slices"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
)

// Forwarding is the input that a network's forwarding entries are planned from, besides this host's
// own containers.
type Forwarding struct {
	Remotes   []plan.Remote
	Complete  bool // every host has been heard of, so entries that are not in Remotes may go
	StaticFDB bool
}

// Forwarding returns the input of a network's forwarding entries.
func (d Discovery) Forwarding(n Network) Forwarding {
	return Forwarding{
		Remotes:   remotesOf(n, d.Snapshot),
		Complete:  d.Converged(n),
		StaticFDB: n.VTEP.StaticFDB,
	}
}

// remotesOf returns the MACs of other hosts. Reachable hosts come first: a container may have moved
// away from an unreachable one. Where MACs are learned, those of unreachable hosts are left to
// learning.
func remotesOf(n Network, s cluster.Snapshot) []plan.Remote {
	var reachable, unreachable []plan.Remote
	for _, m := range n.Members(s) {
		remotes := []plan.Remote{{MAC: m.BridgeMAC, VTEP: m.VTEP, Addrs: m.HostAddrs}}
		for _, e := range m.Endpoints {
			remotes = append(remotes, plan.Remote{MAC: e.MAC, VTEP: m.VTEP, Addrs: e.Addrs})
		}
		switch {
		case m.Reachable:
			reachable = append(reachable, remotes...)
		case n.VTEP.StaticFDB:
			unreachable = append(unreachable, remotes...)
		}
	}
	return slices.Concat(reachable, unreachable, listedBridges(n))
}

// listedBridges returns the bridges of all hosts on the static list, members or not. A host that is
// about to become a member probes for its first container's address from its bridge. The answer
// must find that bridge, also where nothing is learned.
func listedBridges(n Network) (bridges []plan.Remote) {
	if n.Gossip {
		return nil // the list has seeds only
	}
	for _, vtep := range n.VTEP.Remotes {
		bridges = append(bridges, plan.Remote{MAC: network.BridgeMAC(n.Tunnel.VNI, vtep), VTEP: vtep})
	}
	return bridges
}
