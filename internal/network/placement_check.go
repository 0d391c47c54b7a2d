package network

import (
	"fmt"
	"net/netip"
	"slices"

	"vxlan-driver/internal/kernel"
)

// checkPaths refuses listed hosts that are not reached, and an interface that has none of the
// listed addresses although another one has.
func (p placement) checkPaths(iface kernel.Interface, local netip.Addr) error {
	for _, r := range p.remotes {
		p.checkHostAddr(iface, r)
		if err := p.checkRoute(iface, local, r); err != nil {
			return err
		}
	}
	if p.LocalIP.IsValid() || len(p.own) == 0 {
		return nil
	}
	for _, a := range p.own {
		if ok, err := p.canSendFrom(iface, a); ok || err != nil {
			return err
		}
	}
	p.problems.Add(optionInterface, iface.Name,
		"has none of the addresses in remote_ips, but this host has %s there on another interface; use that one, "+
			"or auto", p.own[0])
	return nil
}

// checkHostAddr refuses addresses of the underlay that no host can have.
func (p placement) checkHostAddr(iface kernel.Interface, r netip.Addr) {
	for _, prefix := range iface.Addrs {
		s := Subnet{Prefix: prefix.Masked()}
		isNetwork := r.Is4() && r == s.Prefix.Addr() && prefix.Bits() < 31
		if (isNetwork || s.isBroadcast(r)) && !p.problems.haveProblem(optionRemotes, r.String()) {
			p.problems.Add(optionRemotes, r.String(), "is the network or broadcast address of %s, which %s has, and no host's",
				s.Prefix, iface.Name)
		}
	}
}

// checkRoute refuses a host that is reached by another interface only. Packets have the source
// local, which a host with several uplinks may route by a table of its own.
func (p placement) checkRoute(iface kernel.Interface, local, r netip.Addr) error {
	path, err := p.host.RouteTo(r, "", local)
	if err != nil || path.Interface == "" || path.Interface == iface.Name {
		return err
	}
	via, err := p.host.RouteTo(r, iface.Name, local)
	if err == nil && via.Interface == "" {
		p.problems.Add(optionRemotes, r.String(),
			"is reached by %s, and there is no route to it by %s; list the address by which that host is reached there, or "+
				"use another physical_interface",
			path.Interface, iface.Name)
	}
	return err
}

// checkListed sees to it that this host can tell its own place among the listed ones, by which the
// subnets are divided.
func (p placement) checkListed(v *VTEP) {
	listed := p.Network.Remotes
	if !p.ListsHosts() || len(listed) == 0 || slices.Contains(listed, v.Local) || len(p.own) > 0 || !p.dividesSubnets() {
		return
	}
	switch {
	case isPrivate(v.Local) && !slices.ContainsFunc(listed, isPrivate):
		p.problems.Add(optionRemotes, p.Options()["remote_ips"],
			"has public addresses only, but this host has %s: behind NAT it cannot tell which of them is its own, and would "+
				"hand out the same container addresses as others; "+
				"list the addresses that the hosts themselves have, such as those of a VPN between them, or give each host its "+
				"own --ip-range and list only the others", v.Local)
	case !p.LocalIP.IsValid() && len(listed) > 1:
		v.Warnings = append(v.Warnings,
			fmt.Sprintf("none of the addresses in remote_ips is this host's, so it takes part as one more host, %s; "+
				"the other hosts must list that address, or they drop its packets and may hand out the same "+
				"container addresses", v.Local))
	}
}

// dividesSubnets tells whether a subnet is divided among the listed hosts.
func (n Network) dividesSubnets() bool {
	return slices.ContainsFunc(n.Subnets, func(s Subnet) bool { return s.Lease.IsZero() })
}

// privateRanges are those that hosts behind NAT have: RFC 1918, RFC 6598, RFC 3927, RFC 4193, and
// that of benchmarks (RFC 2544).
var privateRanges = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("fc00::/7"),
}

func isPrivate(a netip.Addr) bool {
	return slices.ContainsFunc(privateRanges, func(p netip.Prefix) bool { return p.Contains(a) })
}
