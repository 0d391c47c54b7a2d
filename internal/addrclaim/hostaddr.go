package addrclaim

import (
	"net/netip"

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
	owners := c.ownersLocked(n, s, "")
	var chosen []netip.Addr
	for _, subnet := range n.Subnets {
		owner, owned := owners[subnet.HostAddress]
		if !subnet.HostAddress.IsValid() || owned && owner.displaces(n.VTEP.Local) {
			subnet.HostAddress = pickHostAddress(subnet, n.VTEP.Local, owners)
		}
		// In a full subnet containers come first.
		if subnet.HostAddress.IsValid() {
			chosen = append(chosen, subnet.HostAddress)
		}
	}
	if c.hostAddrs == nil {
		c.hostAddrs = make(map[string][]netip.Addr)
	}
	c.hostAddrs[n.ID] = chosen
	return chosen
}

func pickHostAddress(s network.Subnet, vtep netip.Addr, owners addressOwners) netip.Addr {
	taken := func(a netip.Addr) bool { _, owned := owners[a]; return owned }
	a, err := ipam.PickHostAddress(s, ipam.HostStartAddress(s, "host "+vtep.String()), taken)
	if err != nil {
		return netip.Addr{}
	}
	return a
}
