package membership

import (
	"net/netip"
	"slices"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/network"
)

// Network is a network that has containers on this host.
type Network struct {
	network.Network
	VTEP      network.VTEP
	Endpoints []*network.Endpoint
	Keys      []cluster.TunnelKey // this host's, of an encrypted network
	// KeysVersion tells other hosts which of the keys are the later ones.
	KeysVersion uint64
}

// EndpointKey names a container's endpoint on a network of this host.
type EndpointKey struct{ NetworkID, ContainerID string }

// Key is what the hosts of a cluster know the network by.
func (n Network) Key() cluster.NetworkKey {
	return cluster.NetworkKey{VNI: n.Tunnel.VNI, Port: n.Tunnel.Port}
}

// Endpoint returns the endpoint of a container of this host.
func (n Network) Endpoint(containerID string) (*network.Endpoint, bool) {
	for _, e := range n.Endpoints {
		if e.ContainerID == containerID {
			return e, true
		}
	}
	return nil, false
}

// AwaitsAddresses tells whether an endpoint of the network still waits for the agent to assign its
// addresses.
func (n Network) AwaitsAddresses(e *network.Endpoint) bool {
	return n.AgentPicks() && len(e.Addrs) == 0
}

// Members returns the other hosts that have a part in the network.
//
// On a static network only the hosts on its list are trusted: others may be in the same cluster for
// another network's sake. A VTEP inside the network's own subnets is ignored, as network.Parse
// refuses it on a list: the tunnel's packets would go into the tunnel.
//
// The list must not be changed: mostly it is the snapshot's.
func (n Network) Members(s cluster.Snapshot) []*cluster.Member {
	isForeign, all := n.isForeign(), s.Members(n.Key())
	if !slices.ContainsFunc(all, isForeign) {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), isForeign)
}

func (n Network) trustsAll() bool { return n.FindsHosts() || n.Tunnel.Group.IsValid() }

// listed are the other hosts of the network's list, if it has one.
func (n Network) listed() []netip.Addr {
	switch {
	case n.FindsHosts():
		return n.VTEP.Listed
	case n.ListsHosts():
		return n.VTEP.Remotes
	}
	return nil
}

// ListedAlone returns what a snapshot says of hosts on the network's list, while the network moves between
// the list and a control plane. Those of the plane are trusted, and the plane of the list's hosts may have
// others for another network's sake.
func (n Network) ListedAlone(s cluster.Snapshot) cluster.Snapshot {
	for _, m := range s.Members(n.Key()) {
		if slices.Contains(n.listed(), m.VTEP) {
			continue
		}
		for _, h := range s.Hosts {
			if h.ID == m.ID && h.Addr == m.Addr {
				s = s.Without(*h)
				break
			}
		}
	}
	return s
}

// Unlisted returns the hosts of the network's list that a plane does not reach as members.
func (n Network) Unlisted(members []*cluster.Member) (missing []netip.Addr) {
	for _, a := range n.listed() {
		if !slices.ContainsFunc(members, func(m *cluster.Member) bool { return m.VTEP == a && m.Reachable }) {
			missing = append(missing, a)
		}
	}
	return missing
}

// isForeign returns what tells whether a member has no part in the network.
func (n Network) isForeign() func(*cluster.Member) bool {
	trustsAll, listed := n.trustsAll(), make(map[netip.Addr]bool)
	if !trustsAll {
		for _, r := range n.VTEP.Remotes {
			listed[r] = true
		}
	}
	return func(m *cluster.Member) bool {
		_, inside := n.SubnetOf(m.VTEP)
		return !trustsAll && !listed[m.VTEP] || inside || m.VTEP == n.VTEP.Local || m.VTEP.Is4() != n.VTEP.Local.Is4()
	}
}

// AddrsOf returns an endpoint's addresses without the subnets' lengths.
func AddrsOf(e *network.Endpoint) []netip.Addr {
	var addrs []netip.Addr
	for _, p := range e.Addrs {
		addrs = append(addrs, p.Addr())
	}
	return addrs
}

// ContainerLabel is how a person knows a container: by its name, or else by the start of its ID.
func ContainerLabel(names []string, containerID string) string {
	if len(names) > 0 && names[0] != "" {
		return names[0]
	}
	return containerID[:min(12, len(containerID))]
}
