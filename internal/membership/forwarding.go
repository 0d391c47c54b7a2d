package membership

import (
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
)

// Classes of trust. Reachable hosts come first: a container may have moved away from an unreachable
// one.
const (
	trustReachable = iota
	trustUnreachable
	trustListed
)

// Rights to an address, of reachable hosts. Two containers may have one address, given out while
// their hosts could not hear each other. All hosts decide alike which one keeps it: by these, then
// the lower VTEP.
const (
	rightRequested = iota // its user chose the address
	rightContainer
	rightHost  // a host's own address changes more easily
	rightClaim // not yet the container's
)

func rightOf(e cluster.Endpoint) int {
	switch {
	case e.Claimed():
		return rightClaim
	case e.Requested:
		return rightRequested
	}
	return rightContainer
}

// remotesOf returns the MACs of a member: its bridge's and its containers'. Where MACs are learned,
// those of unreachable hosts are left to learning. Those that are as before are the same.
func remotesOf(m *cluster.Member, staticFDB bool, before []*plan.Remote) []*plan.Remote {
	if m == nil || !m.Reachable && !staticFDB {
		return nil
	}
	trust := plan.Trust{Class: trustReachable, Right: rightHost, VTEP: m.VTEP, Host: keyOf(m)}
	if !m.Reachable {
		trust.Class = trustUnreachable
	}
	remotes := make([]*plan.Remote, 0, len(m.Endpoints)+1)
	remotes = appendRemote(remotes, plan.Remote{MAC: m.BridgeMAC, VTEP: m.VTEP, Addrs: m.HostAddrs, Trust: trust}, before)
	for _, e := range m.Endpoints {
		trust.Place, trust.Right = e.ContainerID, rightOf(e)
		remotes = appendRemote(remotes, plan.Remote{MAC: e.MAC, VTEP: m.VTEP, Addrs: e.Addrs, Trust: trust}, before)
	}
	return remotes
}

// appendRemote appends the one that was in the same place before, if it says the same.
func appendRemote(remotes []*plan.Remote, r plan.Remote, before []*plan.Remote) []*plan.Remote {
	if i := len(remotes); i < len(before) && sameRemote(before[i], &r) {
		return append(remotes, before[i])
	}
	return append(remotes, &plan.Remote{MAC: r.MAC, VTEP: r.VTEP, Addrs: r.Addrs, Trust: r.Trust})
}

// listedBridges returns the bridges of all hosts on the static list, members or not. A host that is
// about to become a member probes for its first container's address from its bridge. The answer
// must find that bridge, also where nothing is learned.
func listedBridges(n Network) (bridges []*plan.Remote) {
	for _, vtep := range n.listed() {
		bridges = append(bridges, &plan.Remote{
			MAC: network.BridgeMAC(n.Tunnel.VNI, vtep), VTEP: vtep, Trust: plan.Trust{Class: trustListed, Place: vtep.String()},
		})
	}
	return bridges
}
