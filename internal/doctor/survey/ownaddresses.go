package survey

import (
	"net/netip"
	"slices"

	"vxlan-driver/internal/doctor"
	"vxlan-driver/internal/network"
)

// ownAddresses finds out which addresses of the underlay and of bridges the kernel does not take for
// its own, and for which addresses of others it answers.
func (c *collector) ownAddresses() {
	taken := c.localAddrs()
	for i := range c.Networks {
		n := &c.Networks[i]
		if taken == nil {
			break
		}
		add := func(device string, have []netip.Prefix, tentative []netip.Addr) {
			for _, p := range have {
				if isWanted(*n, p.Addr()) && !taken[p.Addr()] && !slices.Contains(tentative, p.Addr()) {
					n.Unowned = append(n.Unowned, doctor.InterfaceAddr{Interface: device, Addr: p})
				}
			}
		}
		if n.Underlay.Up {
			add(n.Underlay.Name, n.Underlay.Addrs, n.Underlay.Tentative)
		}
		if n.VRF != "" {
			continue // it has a table of its own
		}
		if bridge, err := c.ns.Interface(n.Bridge.Name); err == nil && bridge.Up {
			add(bridge.Name, bridge.Addrs, bridge.Tentative)
		}
	}
	c.proxies()
}

// narrowAddrs returns the addresses of an interface that are of one subnet with the given one, if their
// scope is not global.
func (c *collector) narrowAddrs(device string, addr netip.Addr) (found doctor.ScopedAddrs) {
	links, err := readAddrs(device, func(to any, args ...string) error {
		return c.readJSON(to, "ip", append([]string{"-j"}, args...)...)
	})
	i := slices.IndexFunc(links, func(a scopedAddr) bool { return a.Local == addr && a.Scope != globalScope })
	if err != nil || i < 0 {
		return found
	}
	found.Scope = links[i].Scope
	for _, a := range links {
		if a.Scope == found.Scope && a.prefix().Masked() == links[i].prefix().Masked() {
			found.Addrs = append(found.Addrs, a.prefix())
		}
	}
	return found
}

// localAddrs are the addresses of the table local; nil: it is not known.
func (c *collector) localAddrs() map[netip.Addr]bool {
	taken := make(map[netip.Addr]bool)
	for _, family := range []string{"-4", "-6"} {
		var routes []struct{ Dst string } // a range too, as of lo
		if err := c.readJSON(&routes, "ip", "-j", family, "route", "show", "table", "local", "type", "local"); err != nil {
			c.gap("the table local", err)
			return nil
		}
		for _, r := range routes {
			if addr, err := netip.ParseAddr(r.Dst); err == nil {
				taken[addr] = true
			}
		}
	}
	return taken
}

// isWanted tells whether a network needs an address of this host.
func isWanted(n doctor.Network, addr netip.Addr) bool {
	return addr == n.VTEP.Local || slices.ContainsFunc(n.Subnets, func(s network.Subnet) bool {
		return s.Gateway == addr || s.HostAddress == addr
	})
}

// proxies finds out for which addresses of a network's containers and hosts this host answers ARP or
// ND in their place (ip-neighbour(8), proxy).
func (c *collector) proxies() {
	for _, family := range []string{"-4", "-6"} {
		var entries []struct {
			Dst netip.Addr
			Dev string
		}
		if c.readJSON(&entries, "ip", "-j", family, "neigh", "show", "proxy") != nil {
			continue // what is not known is not judged
		}
		for _, e := range entries {
			isConcerned := slices.ContainsFunc(c.Networks, func(n doctor.Network) bool {
				_, isOfNetwork := n.SubnetOf(e.Dst)
				return e.Dev == n.Bridge.Name && isOfNetwork ||
					e.Dev == n.VTEP.Interface && slices.Contains(n.VTEP.Remotes, e.Dst)
			})
			if isConcerned && e.Dst.Is4() == (family == "-4") {
				c.Proxies = append(c.Proxies,
					doctor.InterfaceAddr{Interface: e.Dev, Addr: netip.PrefixFrom(e.Dst, e.Dst.BitLen())})
			}
		}
	}
}
