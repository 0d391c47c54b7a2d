package inventory

import (
	"slices"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/membership"
)

// Owners tells whose the MACs of other hosts are. It has 24 bytes for each.
type Owners []macOwner // sorted by MAC

type macOwner struct {
	mac      kernel.MAC
	endpoint int32 // of the member; hostItself for its bridge
	member   *cluster.Member
}

const hostItself = -1

// OwnersOf returns the owners of members' MACs.
func OwnersOf(members []*cluster.Member) Owners {
	count := 0
	for _, m := range members {
		count += 1 + len(m.Endpoints)
	}
	owners := make(Owners, 0, count)
	for _, m := range members {
		owners = append(owners, macOwner{m.BridgeMAC, hostItself, m})
		for i, e := range m.Endpoints {
			owners = append(owners, macOwner{e.MAC, int32(i), m})
		}
	}
	slices.SortStableFunc(owners, func(a, b macOwner) int { return compareMACs(a.mac, b.mac) })
	return owners
}

// Of returns whose a MAC is, or "". Of two that claim it, it is the last one.
func (o Owners) Of(mac kernel.MAC) string {
	if mac.IsZero() {
		return "" // unknown
	}
	end, _ := slices.BinarySearchFunc(o, mac, func(have macOwner, mac kernel.MAC) int {
		if compareMACs(have.mac, mac) <= 0 {
			return -1
		}
		return 1
	})
	if end == 0 || o[end-1].mac != mac {
		return ""
	}
	owner := o[end-1]
	if owner.endpoint == hostItself {
		return owner.member.Host
	}
	e := owner.member.Endpoints[owner.endpoint]
	return membership.ContainerLabel(e.Names, e.ContainerID) + " on " + owner.member.Host
}
