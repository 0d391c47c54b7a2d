package membership

import (
	"net/netip"
	"slices"

	"vxlan-driver/internal/cluster"
)

// formerVTEPs are those that this host had on the network before its address changed.
func (n Network) formerVTEPs() []netip.Addr {
	if home := n.VTEP.Home.Local; home.IsValid() && home != n.VTEP.Local {
		return []netip.Addr{home}
	}
	return nil
}

// dropMoved drops the members that are hosts as they were before their address changed, this one
// included. Such a host cannot take its old record back: it has lost the address that its agent
// talked by. The others would believe in it for seconds, and reserve its addresses for a day.
//
// Another host may get the old address. So the record is dropped only if it has a container of the
// host that has moved. If both say that they were the other before, neither is believed.
func (n Network) dropMoved(members []*cluster.Member) []*cluster.Member {
	var moved []cluster.Membership
	if former := n.formerVTEPs(); len(former) > 0 {
		moved = append(moved, membershipOf(n))
	}
	for _, m := range members {
		if m.Reachable && len(m.FormerVTEPs) > 0 {
			moved = append(moved, m.Membership)
		}
	}
	if len(moved) == 0 {
		return members
	}
	return slices.DeleteFunc(slices.Clone(members), func(old *cluster.Member) bool {
		return slices.ContainsFunc(moved, func(now cluster.Membership) bool { return isFromBeforeMove(now, old.Membership) })
	})
}

// isFromBeforeMove tells whether two memberships are of one host, the second from before its
// address changed.
func isFromBeforeMove(now, old cluster.Membership) bool {
	if !slices.Contains(now.FormerVTEPs, old.VTEP) || slices.Contains(old.FormerVTEPs, now.VTEP) {
		return false
	}
	ids := make(map[string]bool, len(now.Endpoints))
	for _, e := range now.Endpoints {
		ids[e.ContainerID] = true
	}
	return slices.ContainsFunc(old.Endpoints, func(e cluster.Endpoint) bool { return ids[e.ContainerID] })
}
