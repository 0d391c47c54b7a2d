package network

import (
	"net/netip"
	"slices"

	"vxlan-driver/internal/kernel"
)

// findLocalAddr returns this host's VTEP address, or an invalid one and adds a problem.
func (p placement) findLocalAddr(iface kernel.Interface) (netip.Addr, error) {
	if p.problems.haveProblemWith(optionLocal) {
		return netip.Addr{}, nil
	}
	if p.LocalIP.IsValid() {
		return p.checkLocalAddr(iface)
	}
	candidates, err := p.localAddrs(iface)
	if err != nil {
		return netip.Addr{}, err
	}
	for _, a := range candidates {
		if a.Is6() != p.wantsIPv6() {
			continue
		}
		if ok, err := p.canSendFrom(iface, a); ok || err != nil {
			return a, err
		}
	}
	p.problems.AddAbsent(optionLocal, autoValue, "%s has no address of the remote hosts' family; it has %s", iface.Name,
		addrsOf(iface))
	return netip.Addr{}, nil
}

// localAddrs returns the addresses that local_ip=auto may stand for, the best first: the one in
// use, one by which the other hosts list this one, the one that the kernel would send from.
func (p placement) localAddrs(iface kernel.Interface) ([]netip.Addr, error) {
	var all []netip.Addr
	for _, home := range p.homes() {
		if home.Interface == iface.Name && (len(p.own) == 0 || slices.Contains(p.own, home.Local)) {
			all = append(all, home.Local)
		}
	}
	for _, a := range p.own {
		if iface.HasAddr(a) {
			all = append(all, a)
		}
	}
	all = append(all, p.own...)
	for _, r := range p.remotes {
		path, err := p.host.RouteTo(r, iface.Name, p.LocalIP)
		if err != nil {
			return nil, err
		}
		if path.Source.IsValid() {
			all = append(all, path.Source)
			break
		}
	}
	for _, a := range iface.Addrs {
		all = append(all, a.Addr())
	}
	return slices.DeleteFunc(all, func(a netip.Addr) bool { return !a.IsValid() }), nil
}

// checkLocalAddr returns local_ip, or an invalid address and adds a problem.
func (p placement) checkLocalAddr(iface kernel.Interface) (netip.Addr, error) {
	ok, err := p.canSendFrom(iface, p.LocalIP)
	if err != nil {
		return netip.Addr{}, err
	}
	if !ok {
		return netip.Addr{}, p.refuseLocalAddr(iface)
	}
	if len(p.own) > 0 && !slices.Contains(p.own, p.LocalIP) {
		p.problems.Add(optionLocal, p.LocalIP.String(),
			"is not in remote_ips, but %s is, which this host has too; use the one that the other hosts list", p.own[0])
	}
	return p.LocalIP, nil
}

// refuseLocalAddr adds why local_ip is no address of the interface that other hosts could send to.
func (p placement) refuseLocalAddr(iface kernel.Interface) error {
	holder, err := p.host.InterfaceByAddr(p.LocalIP)
	switch {
	case err != nil:
	case holder.Name == iface.Name:
		p.problems.AddAbsent(optionLocal, p.LocalIP.String(), "is an address of %[1]s that is not for other hosts: "+
			"its scope is not global, or it is temporary; see `ip address show dev %[1]s`", iface.Name)
	default:
		p.problems.AddAbsent(optionLocal, p.LocalIP.String(),
			"is not an address of %s, which has %s; use one of those, or auto", iface.Name, addrsOf(iface))
	}
	return err
}

func addrsOf(iface kernel.Interface) string {
	var all []string
	for _, p := range iface.Addrs {
		all = append(all, p.Addr().String())
	}
	return joinOr(all, "none")
}
