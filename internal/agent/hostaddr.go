package agent

import (
	"net/netip"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/ipam"
	"vxlan-driver/internal/network"
)

// hostAddrs chooses this host's own addresses on a network whose hosts find each other,
// one of each subnet. They stay what they were as long as nobody has a better right to
// them. Before the others are asked there are none.
func (a *Agent) hostAddrs(l hoststate.Network) []netip.Addr {
	r := a.clusters[a.bind(l)]
	if r == nil {
		return l.HostAddrs()
	}
	select {
	case <-r.Ready():
		return a.claims.hostAddrs(l, r.Snapshot())
	default:
		return l.HostAddrs()
	}
}

// hostAddrs is the choice, which those who claim addresses must know at once.
func (c *claims) hostAddrs(l hoststate.Network, s cluster.Snapshot) []netip.Addr {
	c.mu.Lock()
	defer c.mu.Unlock()
	others := c.holdersLocked(l, s, "")
	var all []netip.Addr
	for _, subnet := range l.Subnets {
		h, held := others[subnet.HostAddress]
		if !subnet.HostAddress.IsValid() || held && h.ousts(l.VTEP.Local) {
			subnet.HostAddress = pickHost(subnet, l.VTEP.Local, others)
		}
		// In a full subnet containers come first.
		if subnet.HostAddress.IsValid() {
			all = append(all, subnet.HostAddress)
		}
	}
	if c.own == nil {
		c.own = make(map[string][]netip.Addr)
	}
	c.own[l.ID] = all
	return all
}

// ousts tells whether a host must leave its own address to the holder: to any container,
// since a host's changes more easily, and of two hosts to that with the lower VTEP. A
// claim is given up when the container's host hears of this one.
func (h holder) ousts(vtep netip.Addr) bool {
	if h.container != "" {
		return !h.claimed
	}
	return !h.hidden && h.vtep.Less(vtep)
}

func pickHost(s network.Subnet, vtep netip.Addr, others holders) netip.Addr {
	taken := func(a netip.Addr) bool { _, held := others[a]; return held }
	a, err := ipam.PickHostAddress(s, ipam.HostStartAddress(s, "host "+vtep.String()), taken)
	if err != nil {
		return netip.Addr{}
	}
	return a
}
