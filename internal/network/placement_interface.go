package network

import (
	"net/netip"
	"slices"

	"vxlan-driver/internal/kernel"
)

// findInterface returns the underlay interface, or a zero Interface and adds a problem.
func (p placement) findInterface() (kernel.Interface, error) {
	var (
		iface kernel.Interface
		err   error
	)
	switch {
	case p.problems.haveProblemWith(optionInterface):
	case p.PhysicalInterface != "":
		iface, err = p.host.Interface(p.PhysicalInterface)
		switch {
		case err != nil:
		case iface.Name == "":
			p.problems.AddAbsent(optionInterface, p.PhysicalInterface, "this host has no such interface; see `ip link`")
		case iface.Loopback:
			p.problems.Add(optionInterface, p.PhysicalInterface,
				"is the loopback interface, by which no packet leaves the host; name the one that leads to the other hosts, or "+
					"auto")
			return kernel.Interface{}, nil
		}
	case p.problems.haveProblemWith(optionLocal):
	default:
		iface, err = p.findInterfaceAuto()
	}
	if err != nil {
		return kernel.Interface{}, err
	}
	if iface.Name != "" && !iface.Up {
		p.problems.AddAbsent(optionInterface, iface.Name, "is down; bring it up with `ip link set %s up`", iface.Name)
	}
	return iface, nil
}

// findInterfaceAuto takes the interface that the network uses already. Else it takes the one that
// has the tunnel's address, then the one that leads to the other hosts, and at last that of the
// default route.
func (p placement) findInterfaceAuto() (kernel.Interface, error) {
	iface, err := p.lastInterface()
	if err != nil || iface.Name != "" {
		return iface, err
	}
	iface, err = p.interfaceOfAddr()
	if err != nil || iface.Name != "" || p.problems.haveProblemWith(optionLocal) {
		return iface, err
	}
	iface, err = p.interfaceByRoutes()
	if err != nil || iface.Name != "" || p.problems.haveProblemWith(optionInterface) {
		return iface, err
	}
	if iface, err = p.host.DefaultRouteInterface(p.wantsIPv6()); err == nil && iface.Name == "" {
		p.problems.AddAbsent(optionInterface, autoValue,
			"this host has no route to the other hosts, and no default route to find it by; name the interface")
	}
	return iface, err
}

// homes returns where the network was, the place that it belongs to first.
func (p placement) homes() []Underlay {
	last := Underlay{p.last.Interface, p.last.Local}
	switch {
	case !last.Local.IsValid():
		return nil
	case p.last.Home.Local.IsValid() && p.last.Home != last:
		return []Underlay{p.last.Home, last}
	}
	return []Underlay{last}
}

// lastInterface returns the interface of the last VTEP if that can still be right. One that is down
// comes up again, so the network does not move to another one, which may be less protected.
func (p placement) lastInterface() (kernel.Interface, error) {
	for _, home := range p.homes() {
		local := home.Local
		if p.LocalIP.IsValid() && p.LocalIP != local || len(p.own) > 0 && !slices.Contains(p.own, local) ||
			local.Is6() != p.wantsIPv6() {
			continue
		}
		iface, err := p.host.Interface(home.Interface)
		if err != nil {
			return kernel.Interface{}, err
		}
		if iface.Name != "" {
			ok, err := p.canStay(iface, local)
			if ok || err != nil {
				return iface, err
			}
		}
		// The interface has another name now, or its address moved to a bridge or a bond.
		iface, err = p.host.InterfaceByAddr(local)
		if err != nil || iface.Name != "" && !isOfWholeHost(iface) {
			return iface, err
		}
	}
	return kernel.Interface{}, nil
}

// canStay tells whether a network that sent from an address of the interface can stay there, unless
// another interface has the address.
func (p placement) canStay(iface kernel.Interface, local netip.Addr) (bool, error) {
	if ok, err := p.canSendFrom(iface, local); ok || err != nil {
		return ok, err
	}
	other, err := p.host.InterfaceByAddr(local)
	if err != nil || other.Name != "" {
		return false, err
	}
	hasFamily := slices.ContainsFunc(iface.Addrs, func(a netip.Prefix) bool { return a.Addr().Is6() == local.Is6() })
	return hasFamily || !iface.Up, nil
}

// absentListedHome returns where the network was, if the other hosts list that address and no
// listed address is here now: a VPN is started anew, or an address is set again. They would drop
// what came from another address, and it might leave the host unprotected. Where hosts find each
// other, they hear of a new address.
func (p placement) absentListedHome() (Underlay, bool) {
	if !p.ListsHosts() || len(p.own) > 0 || p.LocalIP.IsValid() {
		return Underlay{}, false
	}
	for _, home := range p.homes() {
		if slices.Contains(p.Network.Remotes, home.Local) {
			return home, true
		}
	}
	return Underlay{}, false
}

// canSendFrom tells whether packets that leave by the interface may have the address: it is the
// interface's own, or one of the whole host.
func (p placement) canSendFrom(iface kernel.Interface, addr netip.Addr) (bool, error) {
	if iface.HasAddr(addr) {
		return true, nil
	}
	other, err := p.host.InterfaceByAddr(addr)
	return isOfWholeHost(other), err
}

// isOfWholeHost tells whether the interface's addresses are those of the whole host, as routed
// networks have them. No packet leaves by such an interface.
func isOfWholeHost(i kernel.Interface) bool { return i.Loopback || i.Kind == "dummy" }

// interfaceOfAddr returns the interface that has local_ip or else a listed address. Of several it
// prefers one that is up, and then the one that leads to the other hosts. For an address of the
// whole host it returns none.
func (p placement) interfaceOfAddr() (kernel.Interface, error) {
	candidates := p.own
	if p.LocalIP.IsValid() {
		candidates = []netip.Addr{p.LocalIP}
	}
	var up, down []kernel.Interface
	for _, a := range candidates {
		iface, err := p.host.InterfaceByAddr(a)
		switch {
		case err != nil:
			return kernel.Interface{}, err
		case iface.Name == "" && p.LocalIP.IsValid():
			p.problems.AddAbsent(optionLocal, a.String(), "no interface of this host has this address; see `ip address`")
		case iface.Name == "" || isOfWholeHost(iface):
		case iface.Up:
			up = append(up, iface)
		default:
			down = append(down, iface)
		}
	}
	if len(up) > 1 && len(p.remotes) > 0 {
		path, err := p.host.RouteTo(p.remotes[0], "", p.LocalIP)
		if err != nil {
			return kernel.Interface{}, err
		}
		if i := slices.IndexFunc(up, func(i kernel.Interface) bool { return i.Name == path.Interface }); i >= 0 {
			return up[i], nil
		}
	}
	for _, iface := range slices.Concat(up, down) {
		return iface, nil
	}
	return kernel.Interface{}, nil
}

// interfaceByRoutes returns the interface by which the kernel sends to the other hosts. For an IPv6
// group it returns none: each interface has a route to all groups (addrconf_add_mroute in
// net/ipv6/addrconf.c), and the kernel would take the first one.
func (p placement) interfaceByRoutes() (kernel.Interface, error) {
	dsts := p.remotes
	if p.Tunnel.Group.Is4() {
		dsts = []netip.Addr{p.Tunnel.Group}
	}
	var (
		chosen string
		first  netip.Addr
	)
	for _, dst := range dsts {
		path, err := p.host.RouteTo(dst, "", p.LocalIP)
		if err != nil {
			return kernel.Interface{}, err
		}
		if path.Interface == "" || path.Interface == chosen {
			continue
		}
		if chosen == "" {
			chosen, first = path.Interface, dst
			continue
		}
		if !p.creating {
			continue
		}
		either, err := p.reachesBoth(chosen, first, path.Interface, dst)
		if err != nil {
			return kernel.Interface{}, err
		}
		if !either {
			p.problems.Add(optionInterface, autoValue,
				"%s is reached by %s, but %s by %s; name the interface, or list addresses that are reached by one",
				first, chosen, dst, path.Interface)
			return kernel.Interface{}, nil
		}
	}
	if chosen == "" {
		return kernel.Interface{}, nil
	}
	return p.host.Interface(chosen)
}

// reachesBoth tells whether each of two hosts is reached by either of two interfaces, as by a route
// with several next hops. Of those the kernel takes one for each destination.
func (p placement) reachesBoth(iface1 string, host1 netip.Addr, iface2 string, host2 netip.Addr) (bool, error) {
	path, err := p.host.RouteTo(host2, iface1, p.LocalIP)
	if err != nil || path.Interface == "" {
		return false, err
	}
	path, err = p.host.RouteTo(host1, iface2, p.LocalIP)
	return path.Interface != "", err
}

// wantsIPv6 tells whether the other hosts' addresses are IPv6.
func (n Network) wantsIPv6() bool {
	switch {
	case len(n.Remotes) > 0:
		return n.Remotes[0].Is6()
	case n.Tunnel.Group.IsValid():
		return n.Tunnel.Group.Is6()
	}
	return n.LocalIP.Is6()
}
