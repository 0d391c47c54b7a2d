package addrclaim

import (
	"cmp"
	"net/netip"
	"slices"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/ipam"
	"vxlan-driver/internal/membership"
	"vxlan-driver/internal/network"
)

// ChooseHostAddrs returns this host's own addresses on a network whose hosts find each other, one
// of each subnet. They stay what they were as long as nobody has a better right to them. Claims of
// addresses respect them from now on.
func (c *Claims) ChooseHostAddrs(n membership.Network, s cluster.Snapshot) []netip.Addr {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lists == nil {
		c.lists = make(map[string]*membership.MemberList)
	}
	list := cmp.Or(c.lists[n.ID], new(membership.MemberList))
	c.lists[n.ID] = list
	members := list.Update(n, s)
	if c.areUndisputedLocked(n, members) {
		return c.hostAddrs[n.ID]
	}
	var chosen []netip.Addr
	for _, subnet := range n.Subnets {
		owner, owned := c.ownerOfLocked(n, members, subnet.HostAddress)
		if !subnet.HostAddress.IsValid() || owned && owner.displaces(n.VTEP.Local) {
			subnet.HostAddress = c.pickHostAddressLocked(n, subnet, members)
		}
		// In a full subnet containers come first.
		if subnet.HostAddress.IsValid() {
			chosen = append(chosen, subnet.HostAddress)
		}
	}
	if c.hostAddrs == nil {
		c.hostAddrs, c.undisputed = make(map[string][]netip.Addr), make(map[string][]*cluster.Member)
	}
	c.hostAddrs[n.ID], c.undisputed[n.ID] = chosen, members
	return chosen
}

// areUndisputedLocked tells whether the addresses that were chosen stay, as nobody has them who did
// not when they were. It looks only at the members that have changed since: of 1,000 hosts that is
// mostly one.
func (c *Claims) areUndisputedLocked(n membership.Network, members []*cluster.Member) bool {
	chosen := c.hostAddrs[n.ID]
	if len(chosen) < len(n.Subnets) || !slices.Equal(chosen, n.HostAddrs()) {
		return false
	}
	isChosen := func(a netip.Addr) bool { return slices.Contains(chosen, a) }
	_, come := cluster.ChangedMembers(c.undisputed[n.ID], members)
	for _, m := range come {
		if slices.ContainsFunc(m.HostAddrs, isChosen) ||
			slices.ContainsFunc(m.Endpoints, func(e cluster.Endpoint) bool { return slices.ContainsFunc(e.Addrs, isChosen) }) {
			return false
		}
	}
	for _, e := range n.Endpoints {
		if slices.ContainsFunc(membership.AddrsOf(e), isChosen) {
			return false
		}
	}
	c.undisputed[n.ID] = members
	return true
}

// pickHostAddressLocked finds an address for this host. It looks at few addresses first, as mostly one
// of these is free: all of 50,000 containers would take too long while the store's lock is held.
func (c *Claims) pickHostAddressLocked(n membership.Network, s network.Subnet, members []*cluster.Member) netip.Addr {
	var looked netip.Prefix // all addresses of it were looked up
	var owners *addressOwners
	hostBits := 8
	taken := func(a netip.Addr) bool {
		if !looked.Contains(a) {
			looked = netip.PrefixFrom(a, max(0, a.BitLen()-hostBits)).Masked()
			owners = c.ownersWithinLocked(n, members, looked)
			hostBits *= 2
		}
		_, owned := owners.byAddr[a]
		return owned
	}
	a, err := ipam.PickHostAddress(s, ipam.HostStartAddress(s, "host "+n.VTEP.Local.String()), taken)
	if err != nil {
		return netip.Addr{}
	}
	return a
}
